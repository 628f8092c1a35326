// SPDX-License-Identifier: BSL-1.0
/// @file
/// freeze_test: the single-consumer queue.
#include "harness/freezing.hpp"
#include "mpsc_queue_scenario.hpp"

namespace epoque::stress {
namespace {

using mpsc_scenario = container_scenario<mpsc_queue_of_numbers<scheduled_env>, container::queue>;

class mpsc_queue_freeze : public freezing {};

TEST_P(mpsc_queue_freeze, a_frozen_push_stops_neither_the_consumer_nor_a_producer) {
    for (const std::uint64_t filled : {0U, 3U, 4U}) { // also at a segment's end
        freeze_everywhere(with<mpsc_scenario>(victim::push, filled, operations_of_the_others()));
    }
}

TEST_P(mpsc_queue_freeze, a_frozen_pop_stops_no_producer) {
    for (const std::uint64_t filled : {0U, 1U, 4U, 5U}) {
        freeze_everywhere(with<mpsc_scenario>(victim::pop, filled, operations_of_the_others()));
    }
}

TEST_P(mpsc_queue_freeze, frozen_bulk_operations_stop_nobody) {
    freeze_everywhere(with<mpsc_scenario>(victim::push_many, 2, operations_of_the_others()));
    freeze_everywhere(with<mpsc_scenario>(victim::pop_many, 7, operations_of_the_others()));
}

TEST_P(mpsc_queue_freeze, a_frozen_close_stops_nobody) {
    for (const std::uint64_t filled : {0U, 3U}) {
        freeze_everywhere(with<mpsc_scenario>(victim::close, filled, operations_of_the_others()));
    }
}

TEST_P(mpsc_queue_freeze, the_queue_stands_random_schedules) {
    random_schedules(with<mpsc_scenario>(victim::mixed, 0, 20), 400);
    random_schedules(with<mpsc_scenario>(victim::close, 0, 10), 400);
}

INSTANTIATE_TEST_SUITE_P(both, mpsc_queue_freeze, testing::Bool(), mode_name());

} // namespace
} // namespace epoque::stress
