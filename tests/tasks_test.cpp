// SPDX-License-Identifier: BSL-1.0
/// @file
/// Tests of tasks/: tasks, futures and lanes over executors that are not ours, step by step.
#include "epoque/tasks/executor.hpp"
#include "epoque/tasks/future.hpp"
#include "epoque/tasks/lane.hpp"
#include "support.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace epoque::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

using small_task = basic_task<small_env>;

/// Somebody's own executor: runs tasks when the test says so.
struct by_hand {
    using env_type = small_env;

    void execute(small_task work) {
        if (refuses) {
            return;
        }
        if (throws) {
            throw std::bad_alloc();
        }
        waiting.push_back(std::move(work));
    }
    bool run_one() {
        if (waiting.empty()) {
            return false;
        }
        small_task next = std::move(waiting.front());
        waiting.pop_front();
        next();
        return true;
    }
    void run_all() {
        while (run_one()) {
        }
    }

    std::deque<small_task> waiting;
    bool refuses = false;
    bool throws = false;
};

/// Runs each task where it is submitted.
struct at_once {
    using env_type = small_env;
    void execute(small_task work) { work(); }
};

/// A thread for each task, as in the first pool that anybody writes.
class a_thread_each {
  public:
    void execute(task work) {
        threads_.emplace_back([work = std::move(work)]() mutable { work(); });
    }

  private:
    std::vector<std::jthread> threads_;
};

static_assert(executor<by_hand> && executor<at_once> && executor<a_thread_each> && executor<lane<by_hand>>);
static_assert(!executor<int>);
static_assert(std::is_nothrow_move_constructible_v<task> && !std::is_copy_constructible_v<task>);
static_assert(!std::is_copy_constructible_v<future<int>> && std::is_nothrow_move_constructible_v<future<int>>);

class nothing_leaks : public testing::Test {
  protected:
    void TearDown() override { EXPECT_EQ(small_env::live_blocks() - before_, 0U); }

  private:
    const std::uint64_t before_ = small_env::live_blocks();
};

// ---- task ------------------------------------------------------------------------------------------------------------------

class tasks : public nothing_leaks {};

TEST_F(tasks, are_run_once) {
    int runs = 0;
    small_task work([&] { ++runs; });
    EXPECT_TRUE(work);
    work();
    EXPECT_FALSE(work);
    EXPECT_EQ(runs, 1);
}

TEST_F(tasks, are_moved_and_dropped) {
    const auto owner = std::make_shared<int>(0);
    {
        small_task first([owner] { ++*owner; });
        small_task second(std::move(first));
        EXPECT_FALSE(first); // NOLINT(bugprone-use-after-move): what is left of it
        EXPECT_TRUE(second);
        second = small_task([owner] { *owner += 10; });
        EXPECT_EQ(owner.use_count(), 2);
        second();
    }
    EXPECT_EQ(*owner, 10);
    EXPECT_EQ(owner.use_count(), 1);
}

TEST_F(tasks, of_any_callable) {
    struct alignas(256) wide {
        std::byte bytes[256];
        bool* aligned;
        void operator()() const { *aligned = reinterpret_cast<std::uintptr_t>(this) % 256 == 0; }
    };
    bool aligned = false;
    wide callable{};
    callable.aligned = &aligned;
    small_task{callable}();
    EXPECT_TRUE(aligned);
    int sum = 0;
    small_task([part = std::make_unique<int>(5), &sum] { sum += *part; })();
    EXPECT_EQ(sum, 5);
}

TEST_F(tasks, keep_the_callable_when_memory_runs_out) {
    const auto owner = std::make_shared<int>(0);
    auto callable = [owner] {};
    {
        const out_of_memory now(0);
        EXPECT_THROW(small_task{callable}, std::bad_alloc);
    }
    EXPECT_EQ(owner.use_count(), 2);
}

TEST(tasks_death_test, an_empty_one_is_called) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_DEATH(small_task()(), "an empty task was called");
}

// ---- future ----------------------------------------------------------------------------------------------------------------

class futures : public nothing_leaks {
  protected:
    by_hand executor_;
};

TEST_F(futures, have_what_the_task_returned) {
    int there = 5;
    auto moved = submit(executor_, [&]() -> int&& { return std::move(there); });
    auto failure = submit(executor_, [] { return std::make_exception_ptr(std::runtime_error("a value")); });
    auto number = submit(executor_, [] { return 42; });
    auto none = submit(executor_, [] {});
    auto reference = submit(executor_, [&]() -> int& { return there; });
    auto owned = submit(executor_, [] { return std::make_unique<int>(7); });
    auto wide = submit(executor_, [] { return aligned<128>(9); });
    static_assert(std::is_same_v<decltype(reference), future<int&, small_env>>);
    EXPECT_FALSE(number.is_ready());
    executor_.run_all();
    EXPECT_TRUE(number.is_ready());
    EXPECT_EQ(number.get(), 42);
    EXPECT_FALSE(number.valid());
    none.get();
    reference.get() = 6;
    EXPECT_EQ(there, 6);
    EXPECT_EQ(*owned.get(), 7);
    EXPECT_EQ(wide.get().number(), 9U);
    EXPECT_EQ(moved.get(), 6);
    EXPECT_THROW(std::rethrow_exception(failure.get()), std::runtime_error);
}

TEST_F(futures, have_what_the_task_threw) {
    auto failed = submit(executor_, []() -> int { throw std::runtime_error("as the test wants it"); });
    executor_.run_all();
    EXPECT_THROW(failed.get(), std::runtime_error);
    EXPECT_FALSE(failed.valid());
}

TEST_F(futures, end_the_callable_before_they_are_ready) {
    auto owner = std::make_shared<int>(1);
    auto ended = submit(executor_, [owner] { return *owner; });
    EXPECT_EQ(owner.use_count(), 2);
    executor_.run_all();
    EXPECT_EQ(owner.use_count(), 1);
    EXPECT_EQ(ended.get(), 1);
}

TEST_F(futures, may_be_let_go_of) {
    int runs = 0;
    static_cast<void>(submit(executor_, [&] { return ++runs; }));
    executor_.run_all();
    EXPECT_EQ(runs, 1);
    auto late = submit(executor_, [&] { return ++runs; });
    executor_.run_all();
    late = submit(executor_, [&] { return ++runs; });
    executor_.run_all();
    EXPECT_EQ(late.get(), 3);
}

TEST_F(futures, wait_until_a_deadline) {
    auto slow = submit(executor_, [] { return 1; });
    EXPECT_FALSE(slow.wait_for(milliseconds(1)));
    EXPECT_FALSE(slow.wait_for(milliseconds(-1)));
    EXPECT_FALSE(slow.wait_until(steady_clock::now() + milliseconds(1)));
    executor_.run_all();
    EXPECT_TRUE(slow.wait_for(milliseconds(0)));
    EXPECT_TRUE(slow.wait_until(steady_clock::now()));
    EXPECT_EQ(slow.get(), 1);
}

TEST_F(futures, are_cancelled_before_the_task_begins) {
    auto owner = std::make_shared<int>(1);
    auto never = submit(executor_, [owner] { return *owner; });
    EXPECT_TRUE(never.cancel());
    EXPECT_EQ(owner.use_count(), 1);
    EXPECT_TRUE(never.is_ready());
    EXPECT_TRUE(never.cancel()); // still
    executor_.run_all();
    EXPECT_THROW(never.get(), task_cancelled);
    EXPECT_NE(std::string(task_cancelled().what()).find("cancelled"), std::string::npos);
}

TEST_F(futures, are_not_cancelled_afterwards) {
    auto ended = submit(executor_, [] { return 1; });
    executor_.run_all();
    EXPECT_FALSE(ended.cancel());
    EXPECT_EQ(ended.get(), 1);
}

TEST_F(futures, ask_a_running_task_to_stop) {
    gate running;
    auto obeys = submit(executor_, [&](const std::stop_token& stop) {
        running.pass();
        return stop.stop_requested();
    });
    actor other;
    auto end = other.start([&] { executor_.run_all(); });
    running.wait_until_reached();
    EXPECT_FALSE(obeys.cancel());
    running.open();
    end.get();
    EXPECT_TRUE(obeys.get());
}

TEST_F(futures, are_cancelled_when_the_executor_drops_the_task) {
    auto dropped = submit(executor_, [] { return 1; });
    executor_.waiting.clear();
    EXPECT_THROW(dropped.get(), task_cancelled);
    executor_.refuses = true;
    EXPECT_THROW(submit(executor_, [] { return 1; }).get(), task_cancelled);
    executor_.refuses = false;
    executor_.throws = true;
    EXPECT_THROW(static_cast<void>(submit(executor_, [] { return 1; })), std::bad_alloc);
}

TEST_F(futures, lose_nothing_when_memory_runs_out) {
    for (std::uint64_t after = 0;; ++after) {
        const auto owner = std::make_shared<int>(1);
        future<int, small_env> result;
        try {
            const out_of_memory from(after);
            result = submit(executor_, [owner] { return *owner; });
        } catch (const std::bad_alloc&) {
            EXPECT_EQ(owner.use_count(), 1);
            continue;
        }
        executor_.run_all();
        EXPECT_EQ(result.get(), 1);
        EXPECT_GT(after, 0U) << "no allocation ever failed";
        break;
    }
}

TEST_F(futures, wake_the_thread_that_waits) {
    for (std::uint64_t round = 0; round < many(2'000); ++round) {
        auto number = submit(executor_, [round] { return round; });
        small_task work = std::move(executor_.waiting.front());
        executor_.waiting.pop_front();
        const std::jthread other([&work] { work(); });
        ASSERT_EQ(number.get(), round);
    }
}

TEST(futures_over_threads, of_an_executor_that_knows_nothing_of_us) {
    a_thread_each threads;
    auto sum = submit(threads, [] { return 1; });
    EXPECT_EQ(sum.get() + submit(threads, [] { return 2; }).get(), 3);
}

TEST_F(futures, race_for_the_task) {
    // Cancelled, run and dropped at the same time: one of them wins, and the callable ends once.
    for (std::uint64_t round = 0; round < many(2'000); ++round) {
        std::atomic<int> runs{0};
        auto owner = std::make_shared<int>(0);
        auto contested = submit(executor_, [owner, &runs] { runs.fetch_add(1); });
        bool cancelled = false;
        together(2, [&](std::size_t which) {
            if (which == 0) {
                cancelled = contested.cancel();
            } else {
                executor_.run_all();
            }
        });
        ASSERT_EQ(runs.load(), cancelled ? 0 : 1);
        ASSERT_EQ(owner.use_count(), 1);
    }
}

TEST(futures_death_test, used_without_a_task) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    future<int> none;
    EXPECT_DEATH(none.wait(), "a future without a task was used");
}

// ---- lane ------------------------------------------------------------------------------------------------------------------

class lanes : public nothing_leaks {
  protected:
    by_hand executor_;
};

TEST_F(lanes, keep_the_order) {
    lane order(executor_);
    std::vector<int> seen;
    for (int i = 0; i < 5; ++i) {
        order.execute([&seen, i] { seen.push_back(i); });
    }
    EXPECT_EQ(executor_.waiting.size(), 1U) << "one call for all";
    executor_.run_all();
    EXPECT_EQ(seen, (std::vector<int>{0, 1, 2, 3, 4}));
    order.execute([&seen] { seen.push_back(5); });
    executor_.run_all();
    EXPECT_EQ(seen.size(), 6U);
}

TEST_F(lanes, give_the_thread_back_now_and_then) {
    lane order(executor_);
    int runs = 0;
    for (int i = 0; i < 100; ++i) {
        order.execute([&] { ++runs; });
    }
    int turns = 0;
    while (executor_.run_one()) {
        ++turns;
    }
    EXPECT_EQ(runs, 100);
    EXPECT_EQ(turns, 4);
}

TEST_F(lanes, take_what_their_own_tasks_put) {
    lane order(executor_);
    std::string seen;
    order.execute([&] {
        order.execute([&] { seen += "b"; });
        seen += "a";
    });
    executor_.run_all();
    EXPECT_EQ(seen, "ab");
}

TEST_F(lanes, run_where_they_are_called) {
    at_once immediately;
    lane order(immediately);
    std::string seen;
    order.execute([&] {
        order.execute([&] { seen += "b"; }); // not inside of the first
        seen += "a";
    });
    EXPECT_EQ(seen, "ab");
}

TEST_F(lanes, run_any_number_where_they_are_called) {
    at_once immediately;
    lane order(immediately);
    std::uint64_t runs = 0;
    order.execute([&] {
        for (int i = 0; i < 100'000; ++i) { // 32 a turn: as deep as that would overflow a stack
            order.execute([&] { ++runs; });
        }
    });
    EXPECT_EQ(runs, 100'000U);
}

TEST_F(lanes, go_on_when_a_turn_cant_be_handed_on_and_comes_back) {
    struct full : by_hand {
        void execute(small_task&& work) {
            if (throws) {
                throw std::bad_alloc();
            }
            waiting.push_back(std::move(work));
        }
    } limited;
    lane order(limited);
    int runs = 0;
    for (int i = 0; i < 100; ++i) {
        order.execute([&] {
            limited.throws = true;
            ++runs;
        });
    }
    EXPECT_TRUE(limited.run_one());
    EXPECT_EQ(runs, 100);
    EXPECT_FALSE(limited.run_one());
}

TEST_F(lanes, may_go_before_their_tasks) {
    int runs = 0;
    {
        lane order(executor_);
        for (int i = 0; i < 50; ++i) {
            order.execute([&] { ++runs; });
        }
    }
    executor_.run_all();
    EXPECT_EQ(runs, 50);
}

TEST_F(lanes, are_moved) {
    lane first(executor_);
    lane second(executor_);
    int runs = 0;
    first.execute([&] { ++runs; });
    second = std::move(first);
    second.execute([&] { ++runs; });
    executor_.run_all();
    EXPECT_EQ(runs, 2);
}

TEST_F(lanes, have_futures_that_can_be_cancelled) {
    lane order(executor_);
    std::string seen;
    auto first = order.submit([&] { seen += "a"; });
    auto second = order.submit([&] { seen += "b"; });
    auto third = order.submit([&] { seen += "c"; });
    EXPECT_TRUE(second.cancel());
    executor_.run_all();
    first.get();
    third.get();
    EXPECT_EQ(seen, "ac");
}

TEST_F(lanes, drop_their_tasks_with_the_executor) {
    lane order(executor_);
    auto first = order.submit([] {});
    auto second = order.submit([] {});
    executor_.waiting.clear();
    EXPECT_THROW(first.get(), task_cancelled);
    EXPECT_THROW(second.get(), task_cancelled);
    executor_.refuses = true;
    EXPECT_THROW(order.submit([] {}).get(), task_cancelled);
    executor_.refuses = false;
    executor_.throws = true;
    EXPECT_THROW(static_cast<void>(order.submit([] {})), std::bad_alloc);
    executor_.throws = false;
    auto again = order.submit([] { return 1; });
    executor_.run_all();
    EXPECT_EQ(again.get(), 1);
}

TEST_F(lanes, drop_their_tasks_when_a_turn_cant_be_handed_on) {
    lane order(executor_);
    std::vector<future<int, small_env>> all;
    for (int i = 0; i < 40; ++i) {
        all.push_back(order.submit([&, i] {
            executor_.throws = true;
            return i;
        }));
    }
    executor_.run_all();
    executor_.throws = false;
    for (int i = 0; i < 40; ++i) {
        if (i < 32) {
            EXPECT_EQ(all[static_cast<std::size_t>(i)].get(), i);
        } else {
            EXPECT_THROW(all[static_cast<std::size_t>(i)].get(), task_cancelled);
        }
    }
}

TEST_F(lanes, lose_nothing_when_memory_runs_out) {
    lane order(executor_);
    for (int round = 0; round < 2; ++round) {
        int runs = 0;
        small_task work([&] { ++runs; });
        {
            const out_of_memory from(0);
            EXPECT_THROW(order.execute(std::move(work)), std::bad_alloc);
        }
        executor_.run_all();
        EXPECT_EQ(runs, 0);
        ASSERT_TRUE(work); // NOLINT(bugprone-use-after-move): it was refused
        work();
        EXPECT_EQ(runs, 1);
    }
}

TEST_F(lanes, of_keys) {
    keyed_lanes<std::string, by_hand> by_name(executor_, 8);
    EXPECT_EQ(by_name.size(), 8U);
    EXPECT_EQ(&by_name.of("one"), &by_name.of(std::string("one")));
    keyed_lanes<std::uint64_t, by_hand> by_number(executor_, 8);
    std::array<int, 8> hits{};
    for (std::uint64_t key = 0; key < 8'000; ++key) {
        ++hits[static_cast<std::size_t>(&by_number.of(key * 4'096) - &by_number.of(0) + 8) % 8];
    }
    for (const int hit : hits) {
        EXPECT_GT(hit, 500) << "keys in steps fall on a few lanes";
    }
}

TEST(lanes_death_test, none) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    at_once immediately;
    EXPECT_DEATH((keyed_lanes<int, at_once>(immediately, 0)), "keyed_lanes with no lane");
}

// ---- crew ------------------------------------------------------------------------------------------------------------------

TEST(crews, leave_the_task_with_its_owner_when_memory_runs_out) {
    basic_domain<small_env> home;
    core::crew<small_env> crew(home, 1);
    std::uint64_t runs = 0;
    std::uint64_t submitted = 0;
    std::uint64_t failed = 0;
    for (int round = 0; round < 50; ++round) { // four tasks fill a segment
        small_task work([&] { ++runs; });
        auto* const node = work.release();
        try {
            const out_of_memory now(0);
            EXPECT_EQ(crew.submit(*node), conqueue_status::success);
            ++submitted;
        } catch (const std::bad_alloc&) {
            ++failed;
            EXPECT_EQ(crew.submit(*node), conqueue_status::success);
            ++submitted;
        }
    }
    EXPECT_GT(failed, 0U);
    crew.close();
    crew.work(0);
    EXPECT_EQ(runs, submitted);
    EXPECT_EQ(crew.stats().tasks, submitted);
    EXPECT_TRUE(crew.wait_for_end(core::never_passes()));
}

TEST(crews, refuse_when_they_are_closed) {
    basic_domain<small_env> home;
    core::crew<small_env> crew(home, 1);
    crew.close();
    EXPECT_TRUE(crew.is_closed());
    small_task work([] {});
    auto* const node = work.release();
    EXPECT_EQ(crew.submit(*node), conqueue_status::closed);
    static_cast<void>(small_task::adopt(*node));
    crew.work(0);
}

TEST(crews, go_on_when_the_kernel_begins_to_refuse_membarrier) {
    basic_domain<refusing_env> home;
    core::crew<refusing_env> crew(home, 2);
    std::atomic<std::uint64_t> runs{0};
    const std::uint64_t all = many(300);
    together(3, [&](std::size_t number) {
        if (number < 2) {
            crew.work(static_cast<unsigned>(number));
            return;
        }
        for (std::uint64_t i = 0; i < all; ++i) {
            basic_task<refusing_env> work([&] { runs.fetch_add(1); });
            EXPECT_EQ(crew.submit(*work.release()), conqueue_status::success);
            if (i % 50 == 0) {
                std::this_thread::sleep_for(milliseconds(3)); // longer than a sleeper polls
            }
        }
        crew.close();
    });
    EXPECT_EQ(runs.load(), all);
}

} // namespace
} // namespace epoque::test
