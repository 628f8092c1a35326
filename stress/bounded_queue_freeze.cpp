// SPDX-License-Identifier: BSL-1.0
/// @file
/// freeze_test: the bounded queue.
#include "bounded_queue_scenario.hpp"
#include "harness/freezing.hpp"

namespace epoque::stress {
namespace {

using one = container_scenario<bounded_queue_of_numbers<scheduled_env, 1>, container::queue>;
using four = container_scenario<bounded_queue_of_numbers<scheduled_env, 4>, container::queue>;

class bounded_queue_freeze : public freezing {};

TEST_P(bounded_queue_freeze, a_frozen_push_stops_no_queue_operation) {
    for (const std::uint64_t filled : {0U, 3U, 4U}) { // also into a full queue
        freeze_everywhere(with<four>(victim::push, filled, operations_of_the_others()));
    }
    freeze_everywhere(with<one>(victim::push, 0, operations_of_the_others()));
}

TEST_P(bounded_queue_freeze, a_frozen_pop_stops_no_queue_operation) {
    for (const std::uint64_t filled : {0U, 1U, 4U}) {
        freeze_everywhere(with<four>(victim::pop, filled, operations_of_the_others()));
    }
    freeze_everywhere(with<one>(victim::pop, 1, operations_of_the_others()));
}

TEST_P(bounded_queue_freeze, frozen_bulk_operations_stop_no_queue_operation) {
    freeze_everywhere(with<four>(victim::push_many, 1, operations_of_the_others()));
    freeze_everywhere(with<four>(victim::pop_many, 4, operations_of_the_others()));
}

TEST_P(bounded_queue_freeze, a_frozen_close_stops_no_queue_operation) {
    for (const std::uint64_t filled : {0U, 3U, 4U}) {
        freeze_everywhere(with<four>(victim::close, filled, operations_of_the_others()));
    }
}

TEST_P(bounded_queue_freeze, the_queue_stands_random_schedules) {
    random_schedules(with<one>(victim::mixed, 0, 20), 300);
    random_schedules(with<four>(victim::mixed, 0, 20), 300);
    random_schedules(with<four>(victim::close, 0, 10), 300);
}

INSTANTIATE_TEST_SUITE_P(both, bounded_queue_freeze, testing::Bool(), mode_name());

} // namespace
} // namespace epoque::stress
