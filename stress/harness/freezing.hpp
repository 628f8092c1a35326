// SPDX-License-Identifier: BSL-1.0
/// @file
/// Lock-freedom, tried out: a thread is frozen at each switch point of an operation in turn, and the others must still
/// complete all of theirs. Then the sleeper wakes up, and nothing may be lost, doubled, reordered or touched after its end.
/// The same scenarios also run under random schedules without freezing.
///
/// A home brings its scenarios in stress/<home>_freeze.cpp; all of them are linked into freeze_test.
///
/// EPOQUE_FREEZE_OPERATIONS: how many operations each of the others completes for each point (default 300). Above 20,000 they are
/// counted, not recorded: nothing may be lost or doubled, but nobody looks at the order.
#pragma once

#include "env/scheduled_env.hpp"
#include "harness/linearizability.hpp"
#include "harness/recorded.hpp"
#include "harness/scale.hpp"

#include "epoque/domain.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace epoque::stress {

inline std::uint64_t operations_of_the_others() {
    return wished("EPOQUE_FREEZE_OPERATIONS", 300);
}

/// More operations of a thread than this are counted, not recorded.
inline constexpr std::uint64_t most_recorded = 20'000;

/// Room for the history of `others` operations.
inline std::size_t room_for(std::uint64_t others) {
    return others <= most_recorded ? 64 + 2 * static_cast<std::size_t>(others) : 0;
}

struct mode_name {
    std::string operator()(const testing::TestParamInfo<bool>& info) const {
        return info.param ? "barriers" : "fallback";
    }
};

/// Both ways of base/barrier.hpp.
class freezing : public testing::TestWithParam<bool> {
  protected:
    void SetUp() override { scheduled_env::set_asymmetric(GetParam()); }

    /// Freezes the first body at its 1st, 2nd, ... switch point until it has none left. `make` builds a fresh scenario
    /// whose `bodies()` run and whose `judge()` looks at what came of it.
    template <class Make>
    void freeze_everywhere(Make make) {
        std::uint64_t point = 1;
        for (;; ++point) {
            auto scenario = make();
            schedule wanted;
            wanted.seed = point;
            wanted.freeze_at = point;
            wanted.switch_every = operations_of_the_others() > most_recorded ? 64 : wanted.switch_every;
            const schedule_result result = scheduler::run(wanted, scenario->bodies());
            ASSERT_TRUE(result.completed) << "frozen at point " << point << ": " << result.stuck;
            scenario->judge();
            if (HasFatalFailure() || HasNonfatalFailure()) {
                FAIL() << "the first thread was frozen at its switch point " << point;
            }
            if constexpr (requires { scenario->garbage(); }) {
                garbage_ = std::max(garbage_, scenario->garbage());
            }
            if constexpr (requires { scenario->work_of_the_others(); }) {
                work_of_the_others_ = scenario->work_of_the_others();
            }
            if (!result.froze) {
                break;
            }
        }
        EXPECT_GT(point, 3U) << "an operation with hardly a switch point: does it use the Env?";
        points_ += point - 1;
        RecordProperty("points", std::to_string(points_));
        RecordProperty("operations", work_of_the_others_);
        RecordProperty("garbage", std::to_string(garbage_));
    }

    /// `most_apart`: switches come at one in 1 to so many switch points. Many for bugs that want a thread to sleep for long.
    template <class Make>
    void random_schedules(Make make, std::uint64_t executions, std::uint64_t most_apart = 7) {
        const std::uint64_t most = many_in_turn(executions);
        for (std::uint64_t seed = 1; seed <= most; ++seed) {
            auto scenario = make();
            schedule wanted;
            wanted.seed = seed;
            wanted.switch_every = 1 + static_cast<std::uint32_t>(seed % most_apart);
            const schedule_result result = scheduler::run(wanted, scenario->bodies());
            ASSERT_TRUE(result.completed) << "seed " << seed << ": " << result.stuck;
            scenario->judge();
            if (HasFatalFailure() || HasNonfatalFailure()) {
                FAIL() << "seed " << seed;
            }
        }
    }

  private:
    std::uint64_t points_ = 0;
    std::uint64_t garbage_ = 0; // most objects that waited
    std::string work_of_the_others_ = "two times " + std::to_string(operations_of_the_others());
};

/// docs/memory-model.md#garbage, in objects: how many may wait in a domain of three threads, whoever of them sleeps where, but in a
/// guard of its own. The smallest object counts for a part of advance_bytes that lets advance_objects of them in.
inline constexpr std::uint64_t most_pending_of_three = (5 * 3 + 7) * (scheduled_env::advance_objects + 1) + 2 * 3;

// ---- a queue or a stack --------------------------------------------------------------------------------------------------

enum class victim { push, pop, push_many, pop_many, close, mixed };

/// One thread does one operation, two others many.
template <class Container, container Kind>
class container_scenario {
  public:
    container_scenario(victim what, std::uint64_t filled, std::uint64_t others) : what_(what), others_(others) {
        shared_.emplace(domain_);
        for (std::uint32_t thread = 0; thread < 4; ++thread) {
            lanes_.emplace_back(*shared_, thread, room_for(others) + filled, counted_stamps(clock_));
        }
        for (lane_type& each : lanes_) {
            each.log().count_only(others > most_recorded);
        }
        for (std::uint64_t i = 0; i < filled; ++i) {
            lanes_[3].push();
        }
    }

    std::vector<std::function<void()>> bodies() {
        return {[this] { first(); }, [this] { other(1); }, [this] { other(2); }};
    }

    std::uint64_t garbage() const { return pending_; }
    void judge() {
        while (lanes_[3].pop() == answer::success) {
        }
        EXPECT_LE(pending_, most_pending) << "a sleeper kept more than the one block that it looked into";
        if (others_ > most_recorded) {
            EXPECT_TRUE(counted(lanes_).is_even()) << "something was lost or doubled";
            shared_.reset();
            return;
        }
        const history events = joined(lanes_);
        const monitor check = monitor_of<Container>(Kind);
        if (check(events)) {
            ADD_FAILURE() << explain(events, check);
        }
        const balance sums = balance_of(events);
        EXPECT_TRUE(sums.is_even) << sums.pushed << " pushed, " << sums.popped << " popped";
        shared_.reset();
    }

  private:
    void first() {
        lane_type& mine = lanes_[0];
        switch (what_) {
        case victim::push:
            mine.push();
            break;
        case victim::pop:
            mine.pop();
            break;
        case victim::push_many:
            mine.push_many(6);
            break;
        case victim::pop_many:
            if constexpr (Kind == container::queue) {
                mine.pop_many(6);
            } else {
                mine.pop_all(1);
            }
            break;
        case victim::close:
            mine.push();
            mine.close();
            break;
        case victim::mixed:
            for (std::uint64_t i = 0; i < others_; ++i) {
                other_operation(0, i);
            }
        }
    }
    void other(std::uint32_t thread) {
        for (std::uint64_t i = 0; i < others_; ++i) {
            other_operation(thread, i);
            scheduler::progress();
        }
        pending_ = std::max(pending_, domain_.stats().pending_objects);
    }
    void other_operation(std::uint32_t thread, std::uint64_t i) {
        const std::uint32_t consumer = what_ == victim::pop || what_ == victim::pop_many ? 0 : 1;
        if ((i + thread) % 2 == 0 || (has_one_consumer<Container> && thread != consumer)) {
            lanes_[thread].push();
        } else {
            lanes_[thread].pop();
        }
    }

    using lane_type = lane<Container, counted_stamps>;

    // In three threads' limbos: what waits for a pass, what three hazards keep, what the filter takes for one.
    static constexpr std::uint64_t most_pending = 3 * (scheduled_env::advance_objects + 1) + 3 + 3;

    victim what_;
    std::uint64_t others_;
    stamp clock_ = 0;
    basic_domain<scheduled_env> domain_;
    std::optional<Container> shared_;
    std::vector<lane_type> lanes_;
    std::uint64_t pending_ = 0; // while the first thread slept
};

template <class Scenario>
auto with(victim what, std::uint64_t filled, std::uint64_t others) {
    return [=] { return std::make_unique<Scenario>(what, filled, others); };
}

} // namespace epoque::stress
