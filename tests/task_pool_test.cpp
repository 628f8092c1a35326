// SPDX-License-Identifier: BSL-1.0
/// @file
/// Tests of task_pool.hpp: threads, their end, and coroutines. Futures and lanes on their own: tasks_test.cpp.
#include "detached.hpp"
#include "epoque/channel.hpp"
#include "epoque/task_pool.hpp"
#include "support.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <numeric>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace epoque::test {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

// ---- tasks ---------------------------------------------------------------------------------------------------------------

TEST(task_pool, runs_each_task_once) {
    constexpr std::size_t submitters = 4;
    const std::size_t each = many(5'000);
    std::vector<std::atomic<int>> runs(submitters * each);
    {
        task_pool pool(3);
        together(submitters, [&](std::size_t number) {
            for (std::size_t i = 0; i < each; ++i) {
                ASSERT_TRUE(pool.execute([&run = runs[number * each + i]] { run.fetch_add(1); }));
            }
        });
    }
    EXPECT_TRUE(std::ranges::all_of(runs, [](const auto& run) { return run.load() == 1; }));
}

TEST(task_pool, an_idle_pool_wakes_for_each_task) {
    task_pool pool(2);
    for (std::uint64_t i = 0; i < many(5'000); ++i) {
        for (unsigned round = 0; i % 50 == 0 && pool.stats().asleep != pool.size(); ++round) {
            std_env::relax(round);
        }
        EXPECT_EQ(pool.submit([i] { return i; }).get(), i);
    }
    EXPECT_GT(pool.stats().sleeps, 0U);
}

std::uint64_t fibonacci(task_pool& pool, unsigned n) {
    if (n < 2) {
        return n;
    }
    auto left = pool.submit([&pool, n] { return fibonacci(pool, n - 1); });
    const std::uint64_t right = fibonacci(pool, n - 2);
    return left.get() + right;
}

TEST(task_pool, tasks_wait_for_tasks_whatever_the_number_of_threads) {
    for (const unsigned threads : {1U, 2U, 5U}) {
        task_pool pool(threads);
        EXPECT_EQ(pool.submit([&] { return fibonacci(pool, 17); }).get(), 1597U) << threads;
    }
}

TEST(task_pool, a_task_waits_for_one_that_came_from_outside) {
    gate begun;
    task_pool pool(1);
    future<int> second;
    auto first = pool.submit([&] {
        begun.pass();
        return second.get() + 1;
    });
    begun.wait_until_reached();
    second = pool.submit([] { return 1; });
    begun.open();
    EXPECT_EQ(first.get(), 2);
}

TEST(task_pool, tasks_are_stolen_from_one_that_takes_long) {
    std::atomic<int> done{0};
    task_pool pool(2);
    auto breeder = pool.submit([&] {
        for (int i = 0; i < 100; ++i) {
            pool.execute([&] { done.fetch_add(1); });
        }
        while (done.load() != 100) {
            std::this_thread::yield();
        }
    });
    breeder.get();
    EXPECT_GE(pool.stats().stolen, 100U);
}

/// A task that puts itself there again until it is told to stop.
template <class Executor>
struct breeder {
    Executor& on;
    std::atomic<bool>& stop;
    void operator()() const {
        if (!stop.load()) {
            on.execute(breeder{on, stop});
        }
    }
};

TEST(task_pool, tasks_that_breed_tasks_starve_nobody) {
    std::atomic<bool> outsider_ran{false}; // before the pool, whose last tasks look at it
    task_pool pool(1);
    pool.execute(breeder<task_pool>{pool, outsider_ran});
    pool.submit([&] { outsider_ran = true; }).get();
}

TEST(task_pool, tells_what_it_did) {
    task_pool pool(2);
    for (int i = 0; i < 10; ++i) {
        pool.submit([] {}).get();
    }
    pool.shutdown();
    const task_pool_stats stats = pool.stats();
    EXPECT_EQ(stats.tasks, 10U);
    EXPECT_EQ(pool.size(), 2U);
}

TEST(task_pool, each_thread_begins_with_on_start) {
    std::mutex mutex;
    std::set<unsigned> numbers;
    {
        task_pool pool(task_pool_options{.threads = 3, .on_start = [&](unsigned number) {
                                             const std::lock_guard lock(mutex);
                                             numbers.insert(number);
                                         }});
        EXPECT_EQ(pool.size(), 3U);
    }
    EXPECT_EQ(numbers, (std::set<unsigned>{0, 1, 2}));
    EXPECT_GE(task_pool(task_pool_options{}).size(), 1U);
}

TEST(task_pool, lies_in_the_domain_it_is_given) {
    domain home;
    {
        task_pool pool(task_pool_options{.threads = 2, .home = &home});
        for (int i = 0; i < 3'000; ++i) {
            pool.execute([] {});
        }
    }
    home.barrier();
    EXPECT_GT(home.stats().retired_objects, 0U);
    EXPECT_EQ(home.stats().pending_objects, 0U);
}

TEST(task_pool_death_test, an_empty_task_is_a_misuse) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_DEATH(
        {
            task_pool pool(1);
            pool.execute(task());
        },
        "an empty task was given to a task pool");
}

TEST(task_pool, a_task_that_is_put_back_is_seen_by_those_who_sleep) {
    // A task submits another one and waits for a third, that waits for the second: whoever looks where cannot matter.
    for (std::uint64_t round = 0; round < many(300); ++round) {
        task_pool pool(3);
        std::atomic<bool> second_ran{false};
        gate begun;
        future<void> third;
        auto first = pool.submit([&] {
            begun.pass();
            pool.execute([&] { second_ran = true; });
            third.get();
        });
        begun.wait_until_reached();
        third = pool.submit([&] {
            while (!second_ran) {
                std::this_thread::yield();
            }
        });
        begun.open();
        first.get();
    }
}

TEST(task_pool, a_deleter_may_submit) {
    domain home;
    std::atomic<int> retired{0};
    std::atomic<int> taken{0};
    std::atomic<int> runs{0};
    {
        task_pool pool(task_pool_options{.threads = 2, .home = &home});
        struct object {};
        for (int i = 0; i < 2'000; ++i) {
            pool.execute([&] {
                home.retire(new object, [&](object* gone) noexcept {
                    delete gone;
                    taken.fetch_add(pool.execute([&] { runs.fetch_add(1); }) ? 1 : 0);
                });
                retired.fetch_add(1);
            });
        }
        while (taken.load() < 200) { // the rest waits for epochs
            pool.submit([&] { const auto pinned = home.pin(); }).get();
            tick(home);
        }
        while (retired.load() < 2'000) {
            std::this_thread::yield();
        }
        home.barrier(); // no deleter outlives the pool that it submits to
        EXPECT_EQ(taken.load(), 2'000);
    }
    EXPECT_EQ(runs.load(), 2'000);
}

TEST(task_pool, old_tasks_of_a_worker_do_not_starve_behind_new_ones) {
    std::atomic<bool> old_ran{false};
    task_pool pool(1);
    pool.submit([&] {
            pool.execute([&] { old_ran = true; });
            pool.execute(breeder<task_pool>{pool, old_ran});
        })
        .get();
    pool.shutdown();
    EXPECT_TRUE(old_ran);
}

// ---- lanes over a pool -----------------------------------------------------------------------------------------------------

TEST(task_pool_lane, keeps_the_order_and_never_runs_two) {
    task_pool pool(3);
    keyed_lanes<std::uint64_t, task_pool> lanes(pool, 4);
    constexpr std::size_t submitters = 3;
    const std::uint64_t each = many(3'000);
    struct line {
        std::vector<std::uint64_t> seen; // no lock: the lane is one
        std::atomic<int> inside{0};
    };
    std::vector<line> lines(submitters);
    together(submitters, [&](std::size_t number) {
        for (std::uint64_t i = 0; i < each; ++i) {
            lanes.of(number).execute([&mine = lines[number], i] {
                EXPECT_EQ(mine.inside.fetch_add(1), 0);
                mine.seen.push_back(i);
                mine.inside.fetch_sub(1);
            });
        }
    });
    pool.shutdown();
    for (const line& mine : lines) {
        EXPECT_EQ(mine.seen, numbers(0, each));
    }
}

TEST(task_pool_lane, all_workers_may_wait_for_its_tasks) {
    for (const unsigned threads : {1U, 2U}) {
        task_pool pool(threads);
        lane order(pool);
        std::vector<future<void>> waiting;
        std::uint64_t sum = 0;
        for (std::uint64_t i = 1; i <= many(300); ++i) {
            waiting.push_back(pool.submit([&order, &sum, i] { order.submit([&sum, i] { sum += i; }).get(); }));
        }
        for (auto& each : waiting) {
            each.get();
        }
        const std::uint64_t most = many(300);
        EXPECT_EQ(order.submit([&] { return sum; }).get(), most * (most + 1) / 2);
    }
}

TEST(task_pool_lane, a_busy_one_lets_others_have_their_turn) {
    task_pool pool(1);
    lane first(pool);
    lane second(pool);
    std::atomic<bool> second_ran{false};
    first.execute(breeder<lane<task_pool>>{first, second_ran});
    second.execute([&] { second_ran = true; });
    pool.shutdown();
    EXPECT_TRUE(second_ran);
}

TEST(task_pool_lane, over_a_lane_keeps_both_orders) {
    task_pool pool(3);
    lane inner(pool);
    lane<lane<task_pool>> outer(inner);
    std::uint64_t count = 0; // of both: no lock, for the inner lane is one
    std::vector<future<void>> waiting;
    for (std::uint64_t i = 0; i < many(1'000); ++i) {
        inner.execute([&] { ++count; });
        waiting.push_back(pool.submit([&] { outer.submit([&] { ++count; }).wait(); }));
        if (waiting.size() == 2) { // one thread is left for the lane
            for (auto& each : waiting) {
                each.get();
            }
            waiting.clear();
        }
    }
    for (auto& each : waiting) {
        each.get();
    }
    pool.shutdown();
    EXPECT_EQ(count, 2 * many(1'000));
}

TEST(task_pool_lane, a_wait_with_a_deadline_only_waits) {
    task_pool pool(1);
    lane order(pool);
    auto late = order.submit([&] {
        auto later = order.submit([] { return 1; });
        EXPECT_FALSE(later.wait_for(milliseconds(0)));
        EXPECT_FALSE(later.wait_for(milliseconds(1)));
        return later;
    });
    EXPECT_EQ(late.get().get(), 1);
}

TEST(task_pool_lane, refuses_with_its_pool) {
    task_pool pool(1);
    lane order(pool);
    EXPECT_TRUE(order.execute([] {}));
    pool.shutdown();
    EXPECT_FALSE(order.execute([] {}));
    EXPECT_THROW(order.submit([] {}).get(), task_cancelled);
}

TEST(task_pool_lane, a_waiting_worker_takes_a_turn_that_is_given_up) {
    // One worker holds the lane's turn and gives it up for fairness; the only other one waits for the lane's last task.
    task_pool pool(2);
    lane order(pool);
    gate first;
    order.execute([&] { first.pass(); });
    first.wait_until_reached();
    std::atomic<unsigned> runs{0};
    for (unsigned i = 0; i < 100; ++i) {
        order.execute([&] { runs.fetch_add(1); });
    }
    auto last = order.submit([&] { return runs.load(); });
    auto waits = pool.submit([&] { return last.get(); });
    first.open();
    EXPECT_EQ(waits.get(), 100U);
}

TEST(task_pool_lane_death_test, a_task_that_waits_for_a_later_one_of_its_lane_is_a_misuse) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_DEATH(
        {
            task_pool pool(2);
            lane order(pool);
            order.submit([&] { order.submit([] {}).get(); }).get();
        },
        "a task waits for one that comes after it in its own lane");
}

// ---- the end -------------------------------------------------------------------------------------------------------------

TEST(task_pool_shutdown, runs_what_is_there_and_what_that_submits) {
    std::atomic<int> runs{0};
    task_pool pool(2);
    struct chain {
        task_pool& pool;
        std::atomic<int>& runs;
        int left;
        void operator()() const {
            runs.fetch_add(1);
            if (left != 0) {
                EXPECT_TRUE(pool.execute(chain{pool, runs, left - 1}));
            }
        }
    };
    gate begun;
    pool.execute([&] { begun.pass(); });
    begun.wait_until_reached();
    for (int i = 0; i < 10; ++i) {
        pool.execute(chain{pool, runs, 99});
    }
    pool.close();
    begun.open();
    pool.shutdown();
    EXPECT_EQ(runs.load(), 1'000);
}

TEST(task_pool_shutdown, refuses_what_comes_later) {
    task_pool pool(1);
    pool.shutdown();
    EXPECT_TRUE(pool.is_closed());
    int runs = 0;
    task late([&] { ++runs; });
    EXPECT_FALSE(pool.execute(std::move(late)));
    EXPECT_TRUE(late); // NOLINT(bugprone-use-after-move): it was refused
    late();
    EXPECT_EQ(runs, 1);
    EXPECT_THROW(pool.submit([] {}).get(), task_cancelled);
    pool.shutdown(); // again
}

TEST(task_pool_shutdown, happens_in_reverse_order) {
    std::string order;
    {
        task_pool pool(2);
        pool.on_shutdown([&] { order += "first "; });
        pool.on_shutdown([&] { order += "second "; });
        pool.execute([&] { order += "task "; });
    }
    EXPECT_EQ(order, "task second first ");
}

TEST(task_pool_shutdown, may_find_more_to_do_meanwhile) {
    std::string order;
    {
        task_pool pool(1);
        pool.on_shutdown([&] {
            order += "a";
            pool.on_shutdown([&] { order += "b"; });
        });
    }
    EXPECT_EQ(order, "ab");
}

TEST(task_pool_shutdown, has_a_deadline) {
    gate running;
    task_pool pool(2);
    pool.execute([&] { running.pass(); });
    running.wait_until_reached();
    EXPECT_FALSE(pool.shutdown_for(milliseconds(5)));
    EXPECT_FALSE(pool.execute([] {}));
    running.open();
    EXPECT_TRUE(pool.shutdown_for(hours(1)));
}

TEST(task_pool_shutdown, may_be_asked_for_by_several) {
    std::atomic<int> last{0};
    task_pool pool(2);
    pool.on_shutdown([&] { last.fetch_add(1); });
    pool.execute([] { std::this_thread::sleep_for(milliseconds(2)); });
    together(3, [&](std::size_t) {
        pool.shutdown();
        EXPECT_EQ(last.load(), 1);
    });
}

TEST(task_pool_shutdown, races_with_those_who_submit_and_loses_nothing) {
    for (std::uint64_t round = 0; round < many(300); ++round) {
        std::atomic<std::uint64_t> taken{0};
        std::atomic<std::uint64_t> runs{0};
        {
            task_pool pool(2);
            together(3, [&](std::size_t number) {
                if (number == 0) {
                    pool.close();
                    return;
                }
                for (int i = 0; i < 20; ++i) {
                    taken.fetch_add(pool.execute([&] { runs.fetch_add(1); }) ? 1U : 0U);
                }
            });
        }
        ASSERT_EQ(taken.load(), runs.load());
    }
}

TEST(task_pool_shutdown, stop_drops_what_has_not_begun_and_tells_what_has) {
    gate begun;
    task_pool pool(1);
    auto running = pool.submit([&](const std::stop_token& stop) {
        begun.pass();
        while (!stop.stop_requested()) {
            std::this_thread::yield();
        }
        return 7;
    });
    begun.wait_until_reached();
    auto owner = std::make_shared<int>(1);
    auto waiting = pool.submit([owner] { return *owner; });
    begun.open();
    pool.stop();
    EXPECT_EQ(running.get(), 7);
    EXPECT_THROW(waiting.get(), task_cancelled);
    pool.shutdown();
    EXPECT_EQ(owner.use_count(), 1) << "a dropped task was not destroyed";
}

TEST(task_pool_shutdown, stop_drops_what_tasks_wait_for_too) {
    std::atomic<int> begun{0};
    gate running;
    task_pool pool(1);
    auto parent = pool.submit([&] {
        auto child = pool.submit([&] { begun.fetch_add(1); });
        running.pass();
        child.get();
    });
    running.wait_until_reached();
    pool.stop();
    running.open();
    EXPECT_THROW(parent.get(), task_cancelled);
    pool.shutdown();
    EXPECT_EQ(begun.load(), 0);
}

TEST(task_pool_shutdown_death_test, by_one_of_its_tasks_is_a_misuse) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_DEATH(
        {
            task_pool pool(1);
            pool.submit([&] { pool.shutdown(); }).get();
        },
        "by one of its own tasks");
}

// ---- coroutines ------------------------------------------------------------------------------------------------------------

detached hop(task_pool& to, std::vector<bool>& where, std::atomic<bool>& done) {
    where.push_back(to.is_worker());
    co_await to.schedule();
    where.push_back(to.is_worker());
    done = true;
}

TEST(task_pool_coroutine, goes_on_in_the_pool) {
    std::vector<bool> where;
    std::atomic<bool> done{false};
    {
        task_pool pool(1);
        hop(pool, where, done);
    }
    EXPECT_TRUE(done);
    EXPECT_EQ(where, (std::vector<bool>{false, true}));
}

detached hop_in_vain(task_pool& to, int& cancelled) {
    try {
        co_await to.schedule();
    } catch (const task_cancelled&) {
        ++cancelled;
    }
}

TEST(task_pool_coroutine, is_told_when_the_pool_has_ended) {
    int cancelled = 0;
    gate running;
    task_pool pool(1);
    pool.execute([&] { running.pass(); });
    running.wait_until_reached();
    hop_in_vain(pool, cancelled); // waits behind the first
    pool.stop();
    running.open();
    pool.shutdown();
    EXPECT_EQ(cancelled, 1);
    hop_in_vain(pool, cancelled);
    EXPECT_EQ(cancelled, 2);
}

detached add_up(task_pool& pool, std::vector<future<int>> parts, std::atomic<int>& sum) {
    int all = 0;
    for (auto& part : parts) {
        try {
            all += co_await std::move(part);
        } catch (const std::runtime_error&) {
            all += 1'000;
        } catch (const task_cancelled&) {
            all += 10'000;
        }
    }
    static_cast<void>(pool);
    sum = all;
}

TEST(task_pool_coroutine, awaits_futures) {
    std::atomic<int> sum{0};
    {
        gate running;
        task_pool pool(2);
        std::vector<future<int>> parts;
        parts.push_back(pool.submit([&] {
            running.pass();
            return 1;
        }));
        parts.push_back(pool.submit([]() -> int { throw std::runtime_error("as the test wants it"); }));
        running.wait_until_reached();
        parts.push_back(pool.submit([] { return 2; }));
        add_up(pool, std::move(parts), sum);
        EXPECT_EQ(sum.load(), 0);
        running.open();
    }
    EXPECT_EQ(sum.load(), 1'003);
}

detached consume(channel<int>& from, task_pool& pool, std::atomic<int>& sum, std::atomic<int>& elsewhere) {
    while (auto got = co_await from.async_pop(pool.resumer())) {
        sum.fetch_add(*got);
        elsewhere.fetch_add(pool.is_worker() ? 1 : 0);
    }
}

TEST(task_pool_coroutine, is_resumed_when_its_task_is_dropped) {
    std::atomic<int> sum{0};
    gate running;
    task_pool pool(1);
    pool.execute([&] { running.pass(); });
    running.wait_until_reached();
    std::vector<future<int>> parts;
    parts.push_back(pool.submit([] { return 5; }));
    add_up(pool, std::move(parts), sum);
    pool.stop();
    running.open();
    pool.shutdown();
    EXPECT_EQ(sum.load(), 10'000);
}

TEST(task_pool_coroutine, is_resumed_by_a_pool_that_is_stopped) {
    channel<int> numbers;
    std::atomic<int> sum{0};
    std::atomic<int> elsewhere{0};
    gate running;
    task_pool pool(1);
    pool.execute([&] { running.pass(); });
    running.wait_until_reached();
    consume(numbers, pool, sum, elsewhere);
    numbers.push(1); // its resumption waits behind the first task
    pool.stop();
    running.open();
    pool.shutdown();
    EXPECT_EQ(sum.load(), 1);
    numbers.push(2); // resumed here
    EXPECT_EQ(sum.load(), 3);
    numbers.close();
}

TEST(task_pool_coroutine, waits_in_a_channel_and_goes_on_in_the_pool) {
    channel<int> numbers;
    std::atomic<int> sum{0};
    std::atomic<int> elsewhere{0};
    {
        task_pool pool(1);
        consume(numbers, pool, sum, elsewhere);
        for (int i = 1; i <= 100; ++i) {
            numbers.push(i);
        }
        numbers.close();
        while (sum.load() != 5'050) {
            std::this_thread::yield();
        }
    }
    EXPECT_GT(elsewhere.load(), 0);
}

TEST(task_pool, tasks_travel_through_channels) {
    channel<task> work;
    int runs = 0;
    work.push(task([&] { ++runs; }));
    work.close();
    while (auto next = work.pop()) {
        (*next)();
    }
    EXPECT_EQ(runs, 1);
}

} // namespace
} // namespace epoque::test
