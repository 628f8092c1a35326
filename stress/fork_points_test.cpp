// SPDX-License-Identifier: BSL-1.0
/// @file
/// A fork at each point of another thread's operation in turn: the operation is stopped there, the process forks, and the
/// child, to which that thread is gone for ever, must go on. Points are all atomic operations, all accesses to garbage
/// lists, and `fork_point`, the places where the order of plain stores matters.
///
/// Threads are fibers of one process (scheduled_env), so the fork copies exactly the state that the schedule says; the
/// domain's hook for the child is called by hand.
#include "env/scheduled_env.hpp"

#include "domain_scenario.hpp"

#include "epoque/domain.hpp"
#include "epoque/queue.hpp"
#include "epoque/stack.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

// Weak: null where no sanitizer is linked. NOLINTNEXTLINE(bugprone-reserved-identifier): its name
extern "C" [[gnu::weak]] void __sanitizer_start_switch_fiber(void** fake_stack, const void* bottom, std::size_t size);

namespace epoque::stress {
namespace {

/// A fork with AddressSanitizer's shadow takes 30 ms, a hundred times as long: there we look at each seventh point.
std::uint64_t stride() {
    return __sanitizer_start_switch_fiber == nullptr ? 1 : 7;
}

struct env : scheduled_env {
    template <class T>
    class var : public scheduled_env::var<T> {
        using base = scheduled_env::var<T>;

      public:
        using base::base;
        T get() const {
            scheduler::switch_point();
            return base::get();
        }
        void set(T value) {
            scheduler::switch_point();
            base::set(value);
        }
    };
    static void fork_point() { scheduler::switch_point(); }
    static constexpr bool pooling = true;
};

static_assert(environment<env>);

enum class work { retire, barrier, end_with_garbage, queue, stack, collect, trim };

std::string name_of(work what) {
    constexpr const char* names[] = {"retire", "barrier", "end_with_garbage", "queue", "stack", "collect", "trim"};
    return names[static_cast<std::size_t>(what)];
}

/// One thread does some work and is stopped; the other one forks.
class scenario {
  public:
    scenario(work what, bool pinned) : what_(what), pinned_(pinned) {
        table_.emplace(*domain_);
        line_.emplace(*domain_);
        pile_.emplace(*domain_);
        if (what ==
            work::collect) { // records whose threads ended: the two bodies inherit two, the third is for adoption
            const auto ends = [this] { table_->replace(0, 0); };
            scheduler::run(schedule{.switch_every = 1}, {ends, ends, ends});
        }
    }

    std::vector<std::function<void()>> bodies() {
        return {[this] { first(); }, [this] { second(); }};
    }

    int ending() const { return ending_; }

    /// In the parent, when both are done: as if nothing had happened.
    void judge() {
        domain_->barrier();
        EXPECT_EQ(table_->live(), table_->cells());
        EXPECT_EQ(domain_->stats().lost_objects, 0U);
    }

  private:
    void first() {
        switch (what_) {
        case work::retire:
            for (std::uint64_t i = 0; i < 9; ++i) { // through the bags, to the deleters
                table_->replace(0, i);
            }
            break;
        case work::barrier:
            table_->replace(0, 1);
            table_->replace(0, 2);
            domain_->barrier();
            break;
        case work::end_with_garbage:
            table_->replace(0, 1); // the fiber's end gives the record back
            break;
        case work::queue:
            for (std::uint64_t i = 0; i < 5; ++i) {
                line_->push(i);
                static_cast<void>(line_->try_pop());
            }
            break;
        case work::stack:
            for (std::uint64_t i = 0; i < 4; ++i) {
                pile_->push(i);
                static_cast<void>(pile_->try_pop());
            }
            break;
        case work::collect:
            for (std::uint64_t i = 0; i < 7; ++i) {
                table_->replace(1, i);
            }
            break;
        case work::trim:
            for (std::uint64_t i = 0; i < 4; ++i) { // so that there are nodes in the magazine
                pile_->push(i);
            }
            while (pile_->try_pop()) {
            }
            domain_->barrier();
            domain_->trim();
        }
    }

    void second() {
        if (what_ == work::barrier) {
            for (std::uint64_t i = 0; i < 3; ++i) {
                table_->replace(1, i); // for the other one's barrier() to take, had it come so far
            }
        }
        core::record<env>* mine = nullptr;
        {
            const auto guard = domain_->pin();
            mine = &guard.record();
        }
        if (pinned_) {
            domain_->lock();
        }
        const pid_t child = ::fork();
        if (child == 0) {
            ::alarm(60);
            domain_->continue_in_child(mine);
            ::_exit(in_child());
        }
        if (pinned_) {
            domain_->unlock();
        }
        int status = 0;
        ::waitpid(child, &status, 0);
        ending_ = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    }

    int in_child() {
        if (domain_->stats().pinned != (pinned_ ? 1U : 0U)) {
            return 1;
        }
        if (pinned_) {
            domain_->unlock();
        }
        const std::uint64_t first_pushed = 1000;
        for (std::uint64_t i = 0; i < 10; ++i) {
            line_->push(first_pushed + i);
            pile_->push(first_pushed + i);
            table_->replace(i % 2, i);
        }
        std::uint64_t mine = first_pushed;
        while (auto number = line_->try_pop()) {
            if (*number >= first_pushed && *number != mine++) {
                return 2;
            }
        }
        std::uint64_t popped = 0;
        while (auto number = pile_->try_pop()) {
            popped += *number >= first_pushed ? 1U : 0U;
        }
        if (mine != first_pushed + 10 || popped != 10) {
            return 3;
        }
        domain_->barrier();
        const domain_stats stats = domain_->stats();
        if (stats.pending_objects != 0 || stats.pending_bytes != 0) {
            return 4;
        }
        // A box that was replaced and not yet retired is lost, too.
        const auto more = static_cast<std::uint64_t>(table_->live()) - static_cast<std::uint64_t>(table_->cells());
        if (more > stats.lost_objects + 1 || stats.lost_objects > most_lost) {
            return 5;
        }
        for (std::uint64_t i = 0; i < 20; ++i) { // and on it goes, with what was mended
            table_->replace(i % 2, i);
        }
        domain_->barrier();
        return domain_->stats().pending_objects == 0 ? 0 : 6;
    }

    // A whole bag may be on its way from one list to another.
    static constexpr std::uint64_t most_lost = 8;

    work what_;
    bool pinned_;
    int ending_ = -1;
    std::optional<basic_domain<env>> domain_{std::in_place};
    std::optional<cell_table<env, 2>> table_;
    std::optional<queue<std::uint64_t, env>> line_;
    std::optional<stack<std::uint64_t, env>> pile_;
};

class fork_points : public testing::TestWithParam<std::tuple<work, bool>> {};

TEST_P(fork_points, the_child_goes_on_wherever_another_thread_was) {
    scheduled_env::set_asymmetric(std::get<1>(GetParam()));
    std::uint64_t point = 1;
    for (bool froze = true; froze; point += stride()) {
        scenario tried(std::get<0>(GetParam()), point % 2 == 0);
        schedule wanted;
        wanted.seed = point;
        wanted.freeze_at = point;
        const schedule_result result = scheduler::run(wanted, tried.bodies());
        ASSERT_TRUE(result.completed) << "stopped at point " << point << ": " << result.stuck;
        ASSERT_EQ(tried.ending(), 0) << "the child, forked when the other was stopped at its point " << point;
        tried.judge();
        ASSERT_FALSE(HasFailure()) << "stopped at point " << point;
        froze = result.froze;
    }
    EXPECT_GT(point, 20U);
    RecordProperty("points", static_cast<int>(point - 1));
}

INSTANTIATE_TEST_SUITE_P(all, fork_points,
                         testing::Combine(testing::Values(work::retire, work::barrier, work::end_with_garbage,
                                                          work::queue, work::stack, work::collect, work::trim),
                                          testing::Bool()),
                         [](const auto& each) {
                             return name_of(std::get<0>(each.param)) + (std::get<1>(each.param) ? "" : "_fallback");
                         });

} // namespace
} // namespace epoque::stress
