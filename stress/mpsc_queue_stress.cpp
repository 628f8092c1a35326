// SPDX-License-Identifier: BSL-1.0
/// @file
/// epoque-stress: the single-consumer queue on real threads.
#include "mpsc_queue_scenario.hpp"

namespace epoque::stress {
namespace {

const scenario_registration threads{
    {"mpsc_queue", "threads",
     "Threads push, one pops, too, one by one and in bulk, close at random; every history is judged.",
     &run_container<mpsc_queue_of_numbers, container::queue>}};
const scenario_registration with_faults{
    {"mpsc_queue-faults", "threads",
     "The same with small segments, delays at atomic operations and both barrier modes.",
     &run_container_with_faults<mpsc_queue_of_numbers, container::queue>}};

} // namespace
} // namespace epoque::stress
