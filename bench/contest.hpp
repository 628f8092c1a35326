// SPDX-License-Identifier: BSL-1.0
/// @file
/// What the benchmarks share: the contestants behind one small interface, the scenarios, and the check that every run
/// makes: nothing lost, nothing invented, and (for queues) each producer's order. A contestant that breaks it is shown as
/// broken instead of fast.
///
/// A contestant has:  bool push(std::uint64_t);  bool pop(std::uint64_t&);  static constexpr bool is_fifo.
/// For bulk also:     push_n(const std::uint64_t*, n) of all;  std::size_t pop_n(std::uint64_t*, n) of up to n.
#pragma once

#include "epoque/base/env.hpp"

#include <benchmark/benchmark.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include <sched.h>

namespace epoque::bench {

/// Peers that were not installed when this was compiled: the report names them.
inline std::vector<std::string>& absent_peers() {
    static std::vector<std::string> names;
    return names;
}

/// What every contestant does when an operation could not be done: a brief pause, then the processor to somebody else.
class back_off {
  public:
    void operator()() noexcept {
        if (++failures_ < 16) {
            std_env::pause();
        } else {
            ::sched_yield();
            failures_ = 0;
        }
    }

  private:
    unsigned failures_ = 0;
};

/// Lets all threads of a run go at once, and takes the time at which it does.
class starting_gun {
  public:
    explicit starting_gun(unsigned threads) : barrier_(static_cast<std::ptrdiff_t>(threads), taken{&begin_}) {}
    void arrive_and_wait() { barrier_.arrive_and_wait(); }
    /// Seconds since; after all threads have been joined.
    double elapsed() const { return std::chrono::duration<double>(clock::now() - begin_).count(); }

  private:
    using clock = std::chrono::steady_clock;
    struct taken {
        void operator()() const noexcept { *at = clock::now(); }
        clock::time_point* at;
    };
    clock::time_point begin_{};
    std::barrier<taken> barrier_;
};

/// One thread: a push and a pop.
template <class Contestant>
void pair(benchmark::State& state) {
    Contestant contestant;
    std::uint64_t next = 0;
    std::uint64_t popped = 0;
    for (auto _ : state) {
        contestant.push(++next);
        if (!contestant.pop(popped) || popped != next) {
            state.SkipWithError("broken: it did not give back what it was given");
            break;
        }
    }
    state.SetItemsProcessed(state.iterations());
}

/// So many looks in vain, seconds of them, for what was pushed before: it is lost.
inline constexpr unsigned patience = 1U << 22;

/// `producers` threads push, `consumers` threads pop, `Batch` at a time; the time from the start of all to the end of all.
template <class Contestant, std::size_t Batch = 1>
void flow(benchmark::State& state, unsigned producers, unsigned consumers) {
    constexpr std::uint64_t elements = 400'000;
    const std::uint64_t each = elements / producers / Batch * Batch;
    bool intact = true;
    for (auto _ : state) {
        Contestant contestant;
        std::atomic<std::uint64_t> left{each * producers};
        std::atomic<std::uint64_t> sum{0};
        std::atomic<unsigned> pushing{producers};
        std::atomic<bool> ordered{true};
        starting_gun start(producers + consumers);
        std::vector<std::jthread> threads;
        for (std::uint64_t producer = 0; producer < producers; ++producer) {
            threads.emplace_back([&, producer] {
                start.arrive_and_wait();
                back_off wait;
                for (std::uint64_t i = 1; i <= each; i += Batch) {
                    if constexpr (Batch == 1) {
                        while (!contestant.push(producer << 32 | i)) {
                            wait();
                        }
                    } else {
                        std::uint64_t batch[Batch];
                        for (std::uint64_t at = 0; at < Batch; ++at) {
                            batch[at] = producer << 32 | (i + at);
                        }
                        contestant.push_n(batch, Batch);
                    }
                }
                pushing.fetch_sub(1, std::memory_order_relaxed);
            });
        }
        for (unsigned consumer = 0; consumer < consumers; ++consumer) {
            threads.emplace_back([&] {
                std::vector<std::uint64_t> last(producers, 0);
                std::uint64_t own_sum = 0;
                std::uint64_t own_count = 0;
                unsigned in_vain = 0;
                start.arrive_and_wait();
                back_off wait;
                for (std::uint64_t batch[Batch];;) {
                    std::size_t taken = 0;
                    if constexpr (Batch == 1) {
                        taken = contestant.pop(batch[0]) ? 1 : 0;
                    } else {
                        taken = contestant.pop_n(batch, Batch);
                    }
                    for (std::size_t at = 0; at < taken; ++at) {
                        const std::uint64_t element = batch[at];
                        const std::uint64_t producer = element >> 32;
                        const std::uint64_t sequence = element & 0xffffffffU;
                        if (producer >= producers || (Contestant::is_fifo && sequence <= last[producer])) {
                            ordered.store(false, std::memory_order_relaxed);
                        } else {
                            last[producer] = sequence;
                        }
                        own_sum += element;
                    }
                    own_count += taken;
                    if (taken == 0) {
                        // Published now and then, so that consumers see the end without a shared counter on each element.
                        if (left.fetch_sub(own_count, std::memory_order_relaxed) == own_count) {
                            break;
                        }
                        own_count = 0;
                        if (left.load(std::memory_order_relaxed) == 0) {
                            break;
                        }
                        if (pushing.load(std::memory_order_relaxed) == 0 && ++in_vain == patience) {
                            ordered.store(false, std::memory_order_relaxed);
                            break;
                        }
                        wait();
                    }
                }
                sum.fetch_add(own_sum, std::memory_order_relaxed);
            });
        }
        threads.clear(); // joins
        state.SetIterationTime(start.elapsed());
        std::uint64_t expected = 0;
        for (std::uint64_t producer = 0; producer < producers; ++producer) {
            expected += (producer << 32) * each + each * (each + 1) / 2;
        }
        intact = intact && ordered && sum == expected;
    }
    if (!intact) {
        state.SkipWithError("broken: elements were lost, doubled or out of their producer's order");
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(each * producers));
}

/// `threads` threads that push and pop in turn.
template <class Contestant>
void pairs(benchmark::State& state, unsigned threads_wanted) {
    constexpr std::uint64_t elements = 400'000;
    const std::uint64_t each = elements / threads_wanted;
    bool intact = true;
    for (auto _ : state) {
        Contestant contestant;
        std::atomic<std::uint64_t> sum{0};
        starting_gun start(threads_wanted);
        std::vector<std::jthread> threads;
        for (std::uint64_t thread = 0; thread < threads_wanted; ++thread) {
            threads.emplace_back([&, thread] {
                std::uint64_t own = 0;
                std::uint64_t popped = 0;
                start.arrive_and_wait();
                back_off wait;
                for (std::uint64_t i = 1; i <= each; ++i) {
                    while (!contestant.push(thread << 32 | i)) {
                        wait();
                    }
                    for (unsigned in_vain = 0; !contestant.pop(popped); ++in_vain) {
                        if (in_vain == patience) {
                            return; // the sum tells
                        }
                        wait();
                    }
                    own += popped;
                }
                sum.fetch_add(own, std::memory_order_relaxed);
            });
        }
        threads.clear(); // joins
        state.SetIterationTime(start.elapsed());
        std::uint64_t expected = 0;
        for (std::uint64_t thread = 0; thread < threads_wanted; ++thread) {
            expected += (thread << 32) * each + each * (each + 1) / 2;
        }
        intact = intact && sum == expected;
    }
    if (!intact) {
        state.SkipWithError("broken: elements were lost or doubled");
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(each * threads_wanted));
}

/// Registers the bulk scenarios of a queue for one contestant.
template <class Contestant>
void enter_bulk(const std::string& home, const std::string& name) {
    for (const unsigned threads : {1U, 2U, 4U}) {
        const std::string scenario = std::to_string(threads) + "P" + std::to_string(threads) + "C, 32 at once";
        benchmark::RegisterBenchmark((home + "/" + scenario + "/" + name).c_str(),
                                     [=](benchmark::State& state) { flow<Contestant, 32>(state, threads, threads); })
            ->UseManualTime()
            ->Unit(benchmark::kMillisecond);
    }
}

/// Registers the scenarios of a container for one contestant, as `<home>/<scenario>/<name>`.
template <class Contestant>
void enter(const std::string& home, const std::string& name) {
    benchmark::RegisterBenchmark((home + "/1 thread, pair/" + name).c_str(), &pair<Contestant>);
    const auto flows = [&](unsigned producers, unsigned consumers) {
        const std::string scenario = std::to_string(producers) + "P" + std::to_string(consumers) + "C";
        benchmark::RegisterBenchmark((home + "/" + scenario + "/" + name).c_str(),
                                     [=](benchmark::State& state) { flow<Contestant>(state, producers, consumers); })
            ->UseManualTime()
            ->Unit(benchmark::kMillisecond);
    };
    flows(1, 1);
    flows(2, 2);
    flows(4, 4);
    benchmark::RegisterBenchmark((home + "/8 threads, pairs/" + name).c_str(),
                                 [](benchmark::State& state) { pairs<Contestant>(state, 8); })
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
}

} // namespace epoque::bench
