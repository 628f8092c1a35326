// SPDX-License-Identifier: BSL-1.0
/// @file
/// Scenarios of epoque-stress: how a home registers one, and what it is given when it runs.
///
///     const scenario_registration queue_threads{{"queue", "threads", "what it does, one sentence", &run_queue}};
///
/// A scenario runs rounds until its time is over: threads are started, work, end, and what they did is judged. So every
/// round also tries the starting and ending of threads.
#pragma once

#include "report.hpp"

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace epoque::stress {

struct stress_options {
    double seconds = 20; ///< for all scenarios together
    unsigned threads = 4;
    std::uint64_t seed = 1;
    bool replay = false; ///< the same round again and again
};

/// What a running scenario has: its share of time, its result, and counters that the progress line and the plots read.
class scenario_run {
  public:
    scenario_run(const stress_options& options, double seconds)
        : options_(options),
          end_(std::chrono::steady_clock::now() +
               std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds))) {}

    const stress_options& options() const noexcept { return options_; }
    unsigned threads() const noexcept { return options_.threads; }
    bool time_is_left() const noexcept { return result.ok && std::chrono::steady_clock::now() < end_; }
    double seconds_left() const noexcept {
        return std::max(0.0, std::chrono::duration<double>(end_ - std::chrono::steady_clock::now()).count());
    }

    /// The seed of the n-th round (from 0), from which the whole round follows as far as real threads allow.
    std::uint64_t round_seed(std::uint64_t round) const noexcept {
        return options_.replay ? options_.seed : (options_.seed + round) * 0x9E3779B97F4A7C15U | 1;
    }

    /// For the progress line.
    void phase(std::string what) {
        const std::lock_guard lock(mutex_);
        phase_ = std::move(what);
    }
    std::string phase() const {
        const std::lock_guard lock(mutex_);
        return phase_;
    }
    std::atomic<std::uint64_t> operations{0}; ///< completed so far
    std::atomic<std::uint64_t> garbage{0};    ///< bytes that wait in the domain now

    /// The first failure counts; it ends the scenario.
    void fail(std::string clause, std::string text, std::uint64_t seed);

    scenario_result result;

  private:
    const stress_options& options_;
    std::chrono::steady_clock::time_point end_;
    mutable std::mutex mutex_;
    std::string phase_;
};

struct scenario {
    std::string name{};
    std::string engine{};
    std::string summary{};
    void (*run)(scenario_run&) = nullptr;
};

/// All that is registered, by name.
std::vector<scenario>& scenarios();

struct scenario_registration {
    explicit scenario_registration(scenario what) { scenarios().push_back(std::move(what)); }
};

/// Starts `count` threads that begin `work(thread)` at the same moment, and waits for all. An exception in one of them
/// ends the program: scenarios catch what they expect.
template <class Work>
void run_threads(unsigned count, Work work) {
    std::barrier start(static_cast<std::ptrdiff_t>(count));
    std::vector<std::jthread> threads;
    threads.reserve(count);
    for (unsigned thread = 0; thread < count; ++thread) {
        threads.emplace_back([&start, &work, thread] {
            start.arrive_and_wait();
            work(thread);
        });
    }
}

/// A thread's own random numbers in a round.
inline std::mt19937_64 thread_random(std::uint64_t round_seed, unsigned thread) {
    return std::mt19937_64(round_seed ^ (std::uint64_t{thread} + 1) * 0xD1B54A32D192ED03U);
}

/// Runs the chosen scenarios and writes a progress line: each second on a terminal, every 15 s in a log.
enum class progress_style { silent, terminal, log };
void run_scenarios(const std::vector<scenario>& chosen, const stress_options& options, progress_style style,
                   report& out);

} // namespace epoque::stress
