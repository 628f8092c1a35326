// SPDX-License-Identifier: BSL-1.0
/// @file
/// epoque-stress: the stack on real threads.
#include "stack_scenario.hpp"

namespace epoque::stress {
namespace {

const scenario_registration threads{
    {"stack", "threads",
     "Threads push and pop, one by one, in bulk and by pop_all, close at random; every history is judged.",
     &run_container<stack_of_numbers, container::stack>}};
const scenario_registration with_faults{{"stack-faults", "threads",
                                         "The same with delays at atomic operations and both barrier modes.",
                                         &run_container_with_faults<stack_of_numbers, container::stack>}};

} // namespace
} // namespace epoque::stress
