// SPDX-License-Identifier: BSL-1.0
/// @file
/// freeze_test: task_pool. A thread that is frozen while it submits stops nobody; a worker that is frozen stops the task in its
/// hands, and no other.
#include "harness/freezing.hpp"
#include "task_pool_scenario.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace epoque::stress {
namespace {

using env = scheduled_env;

class crew_scenario {
  public:
    enum class first_is { submitter, submitter_beside_a_sleeper, putter_in_a_lane, waiter_for_a_future, worker };

    crew_scenario(first_is what, std::uint64_t others) : what_(what), others_(others) {
        domain_.emplace();
        team_.emplace(*domain_, what == first_is::worker ? 2U : 1U);
        lane_.emplace(*team_);
    }

    std::vector<std::function<void()>> bodies() {
        std::vector<std::function<void()>> all;
        switch (what_) {
        case first_is::submitter_beside_a_sleeper:
        case first_is::submitter:
            all.emplace_back([this] {
                while (what_ == first_is::submitter_beside_a_sleeper && !somebody_sleeps_) {
                    scheduler::hold_back();
                }
                for (int i = 0; i < 3; ++i) {
                    taken_ += team_->execute([this] { ++runs_; }) ? 1U : 0U;
                }
            });
            break;
        case first_is::waiter_for_a_future:
            all.emplace_back([this] {
                auto answer = submit(*team_, [this] {
                    ++runs_;
                    return 7;
                });
                ++taken_;
                try {
                    EXPECT_EQ(answer.get(), 7);
                } catch (const task_cancelled&) {
                    dropped_is_allowed_ = true; // as below
                }
            });
            break;
        case first_is::putter_in_a_lane:
            all.emplace_back([this] {
                for (std::uint64_t i = 0; i < 3; ++i) {
                    lane_->execute([this] { ++runs_; });
                }
                dropped_is_allowed_ = true; // the crew may have been closed while it was frozen
            });
            break;
        case first_is::worker:
            all.emplace_back([this] { team_->crew().work(1); });
            break;
        }
        all.emplace_back([this] { team_->crew().work(0); });
        all.emplace_back([this] { other(); });
        return all;
    }

    std::string work_of_the_others() const { return std::to_string(others_) + " tasks"; }
    void judge() {
        EXPECT_EQ(others_run_, others_);
        if (!dropped_is_allowed_) {
            EXPECT_EQ(runs_, taken_);
        }
        lane_.reset();
        team_.reset();
        domain_.reset();
    }

  private:
    void other() {
        if (what_ == first_is::submitter_beside_a_sleeper) {
            while (team_->crew().stats().asleep == 0) {
                scheduler::yield();
            }
            const auto let_run = [](int turns) {
                for (; turns != 0; --turns) {
                    scheduler::yield();
                }
            };
            let_run(50); // it is announced: now it parks
            somebody_sleeps_ = true;
            let_run(50); // now the first one goes, until it freezes
        }
        for (std::uint64_t i = 0; i < others_; ++i) {
            EXPECT_TRUE(team_->execute([this] {
                ++others_run_;
                scheduler::progress();
            }));
            scheduler::progress();
        }
        if (what_ == first_is::worker) {
            // All but the one that the frozen worker may have in its hands. It would keep the crew from its end: dismissed.
            for (std::uint64_t patience = 0; others_run_ != others_ && (others_run_ + 1 < others_ || patience < 200);
                 patience += others_run_ + 1 == others_ ? 1U : 0U) {
                scheduler::yield();
            }
            EXPECT_GE(others_run_ + 1, others_);
            team_->crew().close();
            team_->crew().dismiss();
        } else {
            while (others_run_ != others_) {
                scheduler::yield();
            }
            team_->crew().close();
        }
    }

    first_is what_;
    std::uint64_t others_;
    std::uint64_t others_run_ = 0; // one thread runs at a time
    std::uint64_t runs_ = 0;
    std::uint64_t taken_ = 0;
    bool dropped_is_allowed_ = false;
    bool somebody_sleeps_ = false;
    std::optional<basic_domain<env>> domain_;
    std::optional<crew_executor<env>> team_;
    std::optional<epoque::lane<crew_executor<env>>> lane_;
};

using first_is = crew_scenario::first_is;

auto with_first(first_is what) {
    return [=] { return std::make_unique<crew_scenario>(what, operations_of_the_others()); };
}

class task_pool_freeze : public freezing {};

TEST_P(task_pool_freeze, a_frozen_submitter_stops_nobody) {
    freeze_everywhere(with_first(first_is::submitter));
}

TEST_P(task_pool_freeze, a_submitter_frozen_before_its_wake_stops_nobody) {
    freeze_everywhere(with_first(first_is::submitter_beside_a_sleeper));
}

TEST_P(task_pool_freeze, a_frozen_wait_for_a_future_stops_nobody) {
    freeze_everywhere(with_first(first_is::waiter_for_a_future));
}

TEST_P(task_pool_freeze, a_frozen_put_into_a_lane_stops_no_other_task) {
    freeze_everywhere(with_first(first_is::putter_in_a_lane));
}

TEST_P(task_pool_freeze, a_frozen_worker_stops_the_task_in_its_hands) {
    for (const std::uint64_t point : {1U, 2U, 3U, 5U, 8U, 13U, 21U, 34U, 55U, 89U, 144U, 233U, 377U, 610U}) {
        crew_scenario scenario(first_is::worker, operations_of_the_others());
        schedule wanted;
        wanted.seed = point;
        wanted.freeze_at = point;
        const schedule_result result = scheduler::run(wanted, scenario.bodies());
        ASSERT_TRUE(result.completed) << "frozen at point " << point << ": " << result.stuck;
        scenario.judge();
    }
}

TEST_P(task_pool_freeze, the_crew_stands_random_schedules) {
    random_schedules([] { return std::make_unique<crew_scenario>(first_is::submitter, 30); }, 300);
    random_schedules([] { return std::make_unique<crew_scenario>(first_is::submitter_beside_a_sleeper, 30); }, 300);
    random_schedules([] { return std::make_unique<crew_scenario>(first_is::waiter_for_a_future, 30); }, 300);
    random_schedules([] { return std::make_unique<crew_scenario>(first_is::putter_in_a_lane, 30); }, 300);
}

INSTANTIATE_TEST_SUITE_P(both, task_pool_freeze, testing::Bool(), mode_name());

} // namespace
} // namespace epoque::stress
