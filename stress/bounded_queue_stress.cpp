// SPDX-License-Identifier: BSL-1.0
/// @file
/// epoque-stress: the bounded queue on real threads.
#include "bounded_queue_scenario.hpp"
#include "harness/container_stress.hpp"

namespace epoque::stress {
namespace {

template <class Env>
using narrow = bounded_queue_of_numbers<Env, 3>;
template <class Env>
using wide = bounded_queue_of_numbers<Env, 1000>;

const scenario_registration threads{
    {"bounded_queue", "threads",
     "Threads push and pop, one by one and in bulk, close at random, capacity 1,000; every history is judged.",
     &run_container<wide, container::queue>}};
const scenario_registration with_faults{
    {"bounded_queue-faults", "threads",
     "The same with capacity 3, delays at atomic operations, spurious failures and both barrier modes.",
     &run_container_with_faults<narrow, container::queue>}};

} // namespace
} // namespace epoque::stress
