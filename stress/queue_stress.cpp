// SPDX-License-Identifier: BSL-1.0
/// @file
/// epoque-stress: the queue on real threads.
#include "queue_scenario.hpp"

namespace epoque::stress {
namespace {

const scenario_registration threads{
    {"queue", "threads", "Threads push and pop, one by one and in bulk, close at random; every history is judged.",
     &run_container<queue_of_numbers, container::queue>}};
const scenario_registration with_faults{
    {"queue-faults", "threads", "The same with small segments, delays at atomic operations and both barrier modes.",
     &run_container_with_faults<queue_of_numbers, container::queue>}};

} // namespace
} // namespace epoque::stress
