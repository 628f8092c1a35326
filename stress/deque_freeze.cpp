// SPDX-License-Identifier: BSL-1.0
/// @file
/// freeze_test: the deque. A frozen owner stops no thief, a frozen thief stops neither the owner nor other thieves.
#include "deque_scenario.hpp"
#include "harness/freezing.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace epoque::stress {
namespace {

using env = scheduled_env;

class deque_scenario {
  public:
    enum class first_is { pushing_owner, popping_owner, trimming_owner, thief, everybody };

    deque_scenario(first_is what, std::uint64_t filled, std::uint64_t others) : what_(what), others_(others) {
        domain_.emplace();
        shared_.emplace(*domain_);
        const std::size_t capacity = 4 * room_for(others) + filled;
        owner_.emplace(*shared_, capacity, counted_stamps(clock_));
        for (std::uint32_t thread = 1; thread < 3; ++thread) {
            thieves_.emplace_back(*shared_, thread, capacity, counted_stamps(clock_));
        }
        owner_->log().count_only(others > most_recorded);
        for (auto& thief : thieves_) {
            thief.log().count_only(others > most_recorded);
        }
        for (std::uint64_t i = 0; i < filled; ++i) {
            owner_->push();
        }
        if (what == first_is::trimming_owner) { // there is something to trim
            for (std::uint64_t i = 0; i < 2 * filled; ++i) {
                owner_->push();
            }
            for (std::uint64_t i = 0; i < 2 * filled; ++i) {
                owner_->pop();
            }
        }
    }

    std::vector<std::function<void()>> bodies() {
        switch (what_) {
        case first_is::pushing_owner:
            return {[this] { owner_->push(); }, [this] { steal_all(0); }, [this] { steal_all(1); }};
        case first_is::popping_owner:
            return {[this] { owner_->pop(); }, [this] { steal_all(0); }, [this] { steal_all(1); }};
        case first_is::trimming_owner:
            return {[this] { owner_->trim(); }, [this] { steal_all(0); }, [this] { steal_all(1); }};
        case first_is::thief:
            return {[this] { thieves_[0].steal(); }, [this] { work(); }, [this] { steal_some(1); }};
        case first_is::everybody:
            break;
        }
        return {[this] { work(); }, [this] { steal_some(0); }, [this] { steal_some(1); }};
    }

    std::string work_of_the_others() const {
        return others_ == 0 ? "two thieves, all that they can get" : "two times " + std::to_string(others_);
    }
    void judge() {
        while (owner_->pop()) {
        }
        if (others_ > most_recorded) {
            tally sum = counted(thieves_);
            sum += owner_->log().counted();
            EXPECT_TRUE(sum.is_even() && owner_->is_sound()) << "something was lost, doubled, or came in another order";
        } else {
            const auto fault = find_fault(*owner_, thieves_, true);
            EXPECT_FALSE(fault) << *fault;
        }
        if (what_ == first_is::pushing_owner || what_ == first_is::popping_owner || what_ == first_is::trimming_owner) {
            EXPECT_LE(left_, 1U) << "thieves left elements behind";
        }
        shared_.reset();
        domain_.reset();
    }

  private:
    /// What thieves do while the owner sleeps in one operation: they get all but the element it was about.
    void steal_all(std::size_t thief) {
        for (std::uint64_t answers = 0; answers < 40; ++answers) {
            if (thieves_[thief].steal() == conqueue_status::empty) {
                break;
            }
            scheduler::progress();
        }
        left_ = shared_->was_size();
    }
    void steal_some(std::size_t thief) {
        for (std::uint64_t i = 0; i < others_; ++i) {
            if (thieves_[thief].steal() == conqueue_status::empty) {
                scheduler::yield();
            }
            scheduler::progress();
        }
    }
    void work() {
        for (std::uint64_t i = 0; i < others_; ++i) {
            if (i % 5 < 3) {
                owner_->push();
            } else {
                owner_->pop();
            }
            if (i % 7 == 0) {
                owner_->trim();
            }
            scheduler::progress();
        }
    }

    first_is what_;
    std::uint64_t others_;
    std::size_t left_ = 0;
    stamp clock_ = 0;
    std::optional<basic_domain<env>> domain_;
    std::optional<deque_of_numbers<env>> shared_;
    std::optional<deque_owner<deque_of_numbers<env>, counted_stamps>> owner_;
    std::vector<deque_thief<deque_of_numbers<env>, counted_stamps>> thieves_;
};

using first_is = deque_scenario::first_is;

auto with_first(first_is what, std::uint64_t filled, std::uint64_t others) {
    return [=] { return std::make_unique<deque_scenario>(what, filled, others); };
}

class deque_freeze : public freezing {};

TEST_P(deque_freeze, a_frozen_push_stops_no_thief) {
    for (const std::uint64_t filled : {0U, 1U, 2U, 4U, 5U}) { // also where the ring grows
        freeze_everywhere(with_first(first_is::pushing_owner, filled, 0));
    }
}

TEST_P(deque_freeze, a_frozen_pop_stops_no_thief) {
    for (const std::uint64_t filled : {1U, 2U, 5U}) {
        freeze_everywhere(with_first(first_is::popping_owner, filled, 0));
    }
}

TEST_P(deque_freeze, a_frozen_trim_stops_no_thief) {
    for (const std::uint64_t filled : {1U, 2U, 5U}) {
        freeze_everywhere(with_first(first_is::trimming_owner, filled, 0));
    }
}

TEST_P(deque_freeze, a_frozen_thief_stops_nobody) {
    for (const std::uint64_t filled : {1U, 2U, 5U}) {
        freeze_everywhere(with_first(first_is::thief, filled, operations_of_the_others()));
    }
}

TEST_P(deque_freeze, the_deque_stands_random_schedules) {
    random_schedules(with_first(first_is::everybody, 0, 15), 2'000); // short enough to be judged by the search
    random_schedules(with_first(first_is::everybody, 3, 100), 300);
}

INSTANTIATE_TEST_SUITE_P(both, deque_freeze, testing::Bool(), mode_name());

} // namespace
} // namespace epoque::stress
