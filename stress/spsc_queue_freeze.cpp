// SPDX-License-Identifier: BSL-1.0
/// @file
/// freeze_test: the single-producer queue. One side is frozen, the other must get to the end of all that it wants.
#include "harness/freezing.hpp"
#include "spsc_queue_scenario.hpp"

namespace epoque::stress {
namespace {

enum class frozen { producer, consumer, closer };

/// The first body is the one that is frozen; what it did not do, and all the others do, is judged in the end.
class spsc_scenario {
    using tested = spsc_queue_of_numbers<scheduled_env, 3>;
    using lane_type = lane<tested, counted_stamps>;

  public:
    spsc_scenario(frozen victim, std::uint64_t filled, std::uint64_t others)
        : victim_(victim), others_(others), shared_(std::in_place, domain_) {
        for (std::uint32_t thread = 0; thread < 4; ++thread) {
            lanes_.emplace_back(*shared_, thread, room_for(others), counted_stamps(clock_));
        }
        for (lane_type& each : lanes_) {
            each.log().count_only(others > most_recorded);
        }
        for (std::uint64_t i = 0; i < filled; ++i) {
            lanes_[0].push();
        }
    }

    std::vector<std::function<void()>> bodies() {
        const auto produce = [this](std::uint64_t count) {
            return [this, count] {
                for (std::uint64_t i = 0; i < count; ++i) {
                    i % 5 == 4 ? static_cast<void>(lanes_[0].push_many(2)) : static_cast<void>(lanes_[0].push());
                    scheduler::progress();
                }
            };
        };
        const auto consume = [this](std::uint64_t count) {
            return [this, count] {
                for (std::uint64_t i = 0; i < count; ++i) {
                    i % 5 == 4 ? static_cast<void>(lanes_[1].pop_many(2)) : static_cast<void>(lanes_[1].pop());
                    scheduler::progress();
                }
            };
        };
        const auto close = [this] { lanes_[2].close(); };
        switch (victim_) {
        case frozen::producer:
            return {produce(5), consume(others_)};
        case frozen::consumer:
            return {consume(5), produce(others_)};
        case frozen::closer:
            break;
        }
        return {close, produce(others_), consume(others_)};
    }

    void judge() {
        while (lanes_[3].pop() == answer::success) {
        }
        if (others_ > most_recorded) {
            EXPECT_TRUE(counted(lanes_).is_even()) << "something was lost or doubled";
            shared_.reset();
            return;
        }
        const history events = joined(lanes_);
        const monitor check = monitor_of<tested>(container::queue);
        if (check(events)) {
            ADD_FAILURE() << explain(events, check);
        }
        EXPECT_TRUE(balance_of(events).is_even);
        shared_.reset();
    }

  private:
    frozen victim_;
    std::uint64_t others_;
    stamp clock_ = 0;
    basic_domain<scheduled_env> domain_;
    std::optional<tested> shared_;
    std::vector<lane_type> lanes_;
};

class spsc_queue_freeze : public freezing {
  protected:
    static auto with(frozen victim, std::uint64_t filled, std::uint64_t others) {
        return [=] { return std::make_unique<spsc_scenario>(victim, filled, others); };
    }
};

TEST_P(spsc_queue_freeze, a_frozen_producer_does_not_stop_the_consumer) {
    for (const std::uint64_t filled : {0U, 2U, 3U}) {
        freeze_everywhere(with(frozen::producer, filled, operations_of_the_others()));
    }
}

TEST_P(spsc_queue_freeze, a_frozen_consumer_does_not_stop_the_producer) {
    for (const std::uint64_t filled : {0U, 1U, 3U}) {
        freeze_everywhere(with(frozen::consumer, filled, operations_of_the_others()));
    }
}

TEST_P(spsc_queue_freeze, a_frozen_close_stops_neither) {
    for (const std::uint64_t filled : {0U, 3U}) {
        freeze_everywhere(with(frozen::closer, filled, operations_of_the_others()));
    }
}

TEST_P(spsc_queue_freeze, the_queue_stands_random_schedules) {
    random_schedules(with(frozen::producer, 0, 20), 200);
    random_schedules(with(frozen::closer, 0, 20), 400);
}

INSTANTIATE_TEST_SUITE_P(both, spsc_queue_freeze, testing::Bool(), mode_name());

} // namespace
} // namespace epoque::stress
