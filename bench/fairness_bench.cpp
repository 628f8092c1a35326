// SPDX-License-Identifier: BSL-1.0
//
// Does everybody get their share? Threads do nothing but one structure's operations for a while; reported are the least share that one of
// them had of its fair one (1: all had the same), and the longest time that passed between two of a thread's successes. With as many threads
// as cores that is the structure's doing; with twice as many mostly the scheduler's. The figures are in docs/robustness.md.
#include "epoque/bounded_queue.hpp"
#include "epoque/channel.hpp"
#include "epoque/deque.hpp"
#include "epoque/domain.hpp"
#include "epoque/mpsc_queue.hpp"
#include "epoque/object_table.hpp"
#include "epoque/queue.hpp"
#include "epoque/snapshot.hpp"
#include "epoque/stack.hpp"
#include "epoque/task_pool.hpp"

#include "contest.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace epoque::bench {
namespace {

using clock = std::chrono::steady_clock;

struct alignas(interference_size) tally {
    std::uint64_t successes = 0;
    clock::duration longest{0};
};

/// What the `threads` that compete achieve in a tenth of a second each time; `operate()` says whether it succeeded.
template <class Operate>
void compete(benchmark::State& state, unsigned threads, Operate operate) {
    double least = 1;
    double longest = 0;
    std::uint64_t operations = 0;
    for (auto _ : state) {
        std::vector<tally> tallies(threads);
        std::atomic<bool> over{false};
        starting_gun start(threads + 1);
        std::vector<std::jthread> all;
        for (unsigned thread = 0; thread < threads; ++thread) {
            all.emplace_back([&, thread] {
                tally& mine = tallies[thread];
                start.arrive_and_wait();
                clock::time_point last = clock::now();
                while (!over.load(std::memory_order_relaxed)) {
                    if (operate()) {
                        const clock::time_point now = clock::now();
                        mine.longest = std::max(mine.longest, now - last);
                        last = now;
                        ++mine.successes;
                    }
                }
                mine.longest = std::max(mine.longest, clock::now() - last);
            });
        }
        start.arrive_and_wait();
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        over.store(true, std::memory_order_relaxed);
        all.clear();
        std::uint64_t sum = 0;
        std::uint64_t fewest = UINT64_MAX;
        for (const tally& each : tallies) {
            sum += each.successes;
            fewest = std::min(fewest, each.successes);
            longest = std::max(longest, std::chrono::duration<double, std::micro>(each.longest).count());
        }
        operations += sum;
        least = std::min(least,
                         static_cast<double>(fewest * threads) / static_cast<double>(std::max<std::uint64_t>(sum, 1)));
        state.SetIterationTime(start.elapsed());
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(operations));
    state.counters["least share"] = least;
    state.counters["longest wait us"] = longest;
}

template <class Run>
void enter(const std::string& what, Run run) {
    for (const unsigned threads : {2U, 4U}) {
        benchmark::RegisterBenchmark(("fairness/" + what + "/" + std::to_string(threads) + " threads").c_str(),
                                     [=](benchmark::State& state) { run(state, threads); })
            ->UseManualTime()
            ->Iterations(1)
            ->Unit(benchmark::kMillisecond);
    }
}

/// Everybody pushes and pops, an element each time.
template <class Container>
void enter_container(const std::string& what) {
    enter(what + ", push and pop", [](benchmark::State& state, unsigned threads) {
        domain home;
        Container shared(home);
        compete(state, threads,
                [&] { return shared.try_push(1) == conqueue_status::success && shared.try_pop().has_value(); });
    });
}

struct bounded : bounded_queue<std::uint64_t> {
    explicit bounded(domain& home) : bounded_queue<std::uint64_t>(1024, home) {}
};

struct word {
    std::uint64_t value = 1;
};

[[maybe_unused]] const bool entered = [] {
    enter_container<queue<std::uint64_t>>("queue");
    enter_container<bounded>("bounded_queue");
    enter_container<stack<std::uint64_t>>("stack");
    enter_container<channel<std::uint64_t>>("channel, nobody waits");
    enter("mpsc_queue, producers", [](benchmark::State& state, unsigned threads) {
        domain home;
        mpsc_queue<std::uint64_t> shared(home);
        std::jthread consumer([&](const std::stop_token& stop) {
            while (!stop.stop_requested()) {
                static_cast<void>(shared.try_pop());
            }
        });
        compete(state, threads, [&] { return shared.try_push(1) == conqueue_status::success; });
    });
    enter("work_stealing_deque, thieves", [](benchmark::State& state, unsigned threads) {
        domain home;
        work_stealing_deque<std::uint64_t> shared(home);
        std::jthread owner([&](const std::stop_token& stop) {
            while (!stop.stop_requested()) {
                if (shared.was_size() < 1'000) {
                    shared.push(1);
                }
            }
        });
        compete(state, threads, [&] { return shared.try_steal().has_value(); });
    });
    enter("snapshot, writers", [](benchmark::State& state, unsigned threads) {
        domain home;
        snapshot<std::uint64_t> shared(home, 0U);
        compete(state, threads, [&] {
            shared.update([](std::uint64_t& value) { ++value; });
            return true;
        });
    });
    enter("snapshot, readers beside a writer", [](benchmark::State& state, unsigned threads) {
        domain home;
        snapshot<std::uint64_t> shared(home, 0U);
        std::jthread writer([&](const std::stop_token& stop) {
            for (std::uint64_t value = 0; !stop.stop_requested(); ++value) {
                shared.store(value);
            }
        });
        compete(state, threads, [&] {
            benchmark::DoNotOptimize(*shared.load());
            return true;
        });
    });
    enter("object_table, create and destroy", [](benchmark::State& state, unsigned threads) {
        domain home;
        const auto table = std::make_unique<object_table<word>>(home);
        compete(state, threads, [&] {
            auto fresh = std::make_unique<word>();
            const std::uint64_t handle = table->create(1, fresh);
            object_table<word>::keep held(home);
            word* gone = nullptr;
            return table->destroy(held, handle, 1, gone) == find_status::found;
        });
        home.barrier();
    });
    enter("channel, consumers that wait", [](benchmark::State& state, unsigned threads) {
        domain home;
        channel<std::uint64_t> shared(home);
        std::jthread producer([&](const std::stop_token& stop) {
            while (!stop.stop_requested()) {
                static_cast<void>(shared.try_push(1));
            }
            shared.close();
        });
        compete(state, threads, [&] { return shared.pop().has_value(); });
    });
    enter("task_pool, submitters", [](benchmark::State& state, unsigned threads) {
        task_pool pool({.threads = 2});
        compete(state, threads, [&] {
            pool.submit([] { return 1; }).wait();
            return true;
        });
    });
    enter("std::mutex and std::deque, push and pop", [](benchmark::State& state, unsigned threads) {
        std::mutex mutex;
        std::deque<std::uint64_t> shared;
        compete(state, threads, [&] {
            {
                const std::lock_guard lock(mutex);
                shared.push_back(1);
            }
            const std::lock_guard lock(mutex);
            shared.pop_front();
            return true;
        });
    });
    return true;
}();

} // namespace
} // namespace epoque::bench
