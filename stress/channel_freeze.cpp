// SPDX-License-Identifier: BSL-1.0
/// @file
/// freeze_test: the channel. Who waits, blocks; who need not wait must never be blocked by it, whoever is frozen: also not
/// by a thread that is frozen while it serves those who wait.
#include "channel_scenario.hpp"
#include "harness/freezing.hpp"

#include "../tests/detached.hpp"

#include <coroutine>
#include <exception>

namespace epoque::stress {
namespace {

using tested = channel_of_numbers<scheduled_env>;
using channel_scenario = container_scenario<tested, container::queue>;

using test::detached;

struct sums {
    std::uint64_t pushed = 0;
    std::uint64_t popped = 0;
    unsigned waiting = 0;
};

detached consume(tested& from, sums& into) {
    ++into.waiting;
    while (auto got = co_await from.async_pop()) {
        into.popped += *got;
    }
    --into.waiting;
}

/// Three coroutines wait all the time; one thread pushes or closes, two others push and pop.
class waited_for {
  public:
    waited_for(victim what, std::uint64_t others) : what_(what), others_(others) {
        shared_.emplace(domain_);
        for (int i = 0; i < 3; ++i) {
            consume(*shared_, sums_);
        }
    }
    std::vector<std::function<void()>> bodies() {
        return {[this] { first(); }, [this] { other(1); }, [this] { other(2); }};
    }
    void judge() {
        shared_->close();
        EXPECT_EQ(sums_.waiting, 0U) << "a coroutine was forgotten";
        while (auto rest = shared_->try_pop()) {
            sums_.popped += *rest;
        }
        EXPECT_EQ(sums_.pushed, sums_.popped);
        shared_.reset();
    }

  private:
    void first() {
        for (std::uint64_t i = 1; i <= 3; ++i) {
            push(i);
        }
        if (what_ == victim::close) {
            shared_->close();
        }
    }
    void other(std::uint64_t thread) {
        for (std::uint64_t i = 0; i < others_; ++i) {
            if (i % 3 == 2) {
                if (auto got = shared_->try_pop()) {
                    sums_.popped += *got;
                }
            } else {
                push(thread << 32 | i);
            }
            scheduler::progress();
        }
    }
    void push(std::uint64_t number) { // counted first: it may be popped before push returns
        sums_.pushed += number;
        if (!shared_->push(number)) {
            sums_.pushed -= number;
        }
    }

    victim what_;
    std::uint64_t others_;
    sums sums_; // one thread runs at a time
    basic_domain<scheduled_env> domain_;
    std::optional<tested> shared_;
};

class channel_freeze : public freezing {};

TEST_P(channel_freeze, a_frozen_push_stops_no_operation_that_need_not_wait) {
    freeze_everywhere(with<channel_scenario>(victim::push, 2, operations_of_the_others()));
    freeze_everywhere([] { return std::make_unique<waited_for>(victim::push, operations_of_the_others()); });
}

TEST_P(channel_freeze, a_frozen_pop_stops_no_operation_that_need_not_wait) {
    freeze_everywhere(with<channel_scenario>(victim::pop, 2, operations_of_the_others()));
}

TEST_P(channel_freeze, a_frozen_close_stops_no_operation_that_need_not_wait) {
    freeze_everywhere(with<channel_scenario>(victim::close, 2, operations_of_the_others()));
    freeze_everywhere([] { return std::make_unique<waited_for>(victim::close, operations_of_the_others()); });
}

TEST_P(channel_freeze, the_channel_stands_random_schedules) {
    random_schedules(with<channel_scenario>(victim::mixed, 0, 20), 200);
    random_schedules([] { return std::make_unique<waited_for>(victim::push, 20); }, 200);
    random_schedules([] { return std::make_unique<waited_for>(victim::close, 10); }, 200);
}

INSTANTIATE_TEST_SUITE_P(both, channel_freeze, testing::Bool(), mode_name());

} // namespace
} // namespace epoque::stress
