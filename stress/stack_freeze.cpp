// SPDX-License-Identifier: BSL-1.0
/// @file
/// freeze_test: the stack.
#include "harness/freezing.hpp"
#include "stack_scenario.hpp"

namespace epoque::stress {
namespace {

using stack_scenario = container_scenario<stack_of_numbers<scheduled_env>, container::stack>;

class stack_freeze : public freezing {};

TEST_P(stack_freeze, a_frozen_push_stops_no_stack_operation) {
    for (const std::uint64_t filled : {0U, 2U}) {
        freeze_everywhere(with<stack_scenario>(victim::push, filled, operations_of_the_others()));
    }
}

TEST_P(stack_freeze, a_frozen_pop_stops_no_stack_operation) {
    for (const std::uint64_t filled : {0U, 2U}) {
        freeze_everywhere(with<stack_scenario>(victim::pop, filled, operations_of_the_others()));
    }
}

TEST_P(stack_freeze, frozen_bulk_operations_stop_no_stack_operation) {
    freeze_everywhere(with<stack_scenario>(victim::push_many, 2, operations_of_the_others()));
    freeze_everywhere(with<stack_scenario>(victim::pop_many, 7, operations_of_the_others()));
}

TEST_P(stack_freeze, a_frozen_close_stops_no_stack_operation) {
    freeze_everywhere(with<stack_scenario>(victim::close, 2, operations_of_the_others()));
}

TEST_P(stack_freeze, the_stack_stands_random_schedules) {
    random_schedules(with<stack_scenario>(victim::mixed, 0, 20), 400);
    random_schedules(with<stack_scenario>(victim::close, 0, 10), 400);
}

INSTANTIATE_TEST_SUITE_P(both, stack_freeze, testing::Bool(), mode_name());

} // namespace
} // namespace epoque::stress
