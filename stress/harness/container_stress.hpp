// SPDX-License-Identifier: BSL-1.0
/// @file
/// The rounds of a queue's and a stack's stress, for both Envs of real threads. A round is recorded and judged by the
/// monitor, or runs without stamps at full speed and is judged by its sums and by each producer's order.
#pragma once

#include "../env/fault_env.hpp"
#include "linearizability.hpp"
#include "recorded.hpp"
#include "scenario.hpp"

#include "epoque/domain.hpp"

#include <fmt/format.h>

namespace epoque::stress {

/// What one thread of a round mostly does.
struct role {
    unsigned pushes = 50; ///< per cent of its operations
    unsigned bulk = 5;    ///< per cent that are bulk
};

/// How a round's threads share the work.
inline role role_of(std::uint64_t round, unsigned thread, unsigned threads) {
    switch (round % 4) {
    case 0:
        return {50, 5}; // everybody does everything
    case 1:
        return thread < (threads + 1) / 2 ? role{100, 10} : role{0, 10}; // producers and consumers
    case 2:
        return {35, 0}; // mostly empty: consumers overtake producers
    default:
        return thread == 0 ? role{100, 0} : role{0, 0}; // one producer, many consumers
    }
}

/// The same where only thread 0 may pop.
inline role role_of_one_consumer(std::uint64_t round, unsigned thread) {
    return thread != 0 ? role{100, 10} : round % 4 == 0 ? role{50, 5} : role{0, 10};
}

struct container_totals {
    std::uint64_t judged_rounds = 0;
    std::uint64_t judged_events = 0;
    std::uint64_t pushed = 0;
    std::uint64_t popped = 0;
    std::uint64_t closings = 0;
    std::uint64_t fast_operations = 0;
    double fast_seconds = 0;
    stamp longest = 0;
};

template <class Container, class Env, container Kind>
class container_rounds {
  public:
    container_rounds(scenario_run& run, std::size_t operations) : run_(run), operations_(operations) {}

    void recorded(std::uint64_t round) {
        const unsigned threads = run_.threads();
        const std::uint64_t seed = run_.round_seed(round);
        const bool closes = round % 3 == 2;
        run_.phase(closes ? "recorded, with close" : "recorded");
        std::vector<lane<Container, steady_stamps>> lanes;
        lanes.reserve(threads + 1);
        Container shared(domain_);
        for (unsigned thread = 0; thread <= threads; ++thread) {
            lanes.emplace_back(shared, thread, 9 * operations_);
        }
        run_threads(threads, [&](unsigned thread) {
            auto random = thread_random(seed, thread);
            const role mine =
                has_one_consumer<Container> ? role_of_one_consumer(seed, thread) : role_of(seed, thread, threads);
            auto& lane = lanes[thread];
            const std::size_t close_at = closes && thread == seed % threads ? random() % operations_ : operations_;
            for (std::size_t i = 0; i < operations_; ++i) {
                if (i == close_at) {
                    lane.close();
                }
                operate(lane, mine, random, thread * operations_ + i + 1);
            }
            run_.operations.fetch_add(operations_, std::memory_order_relaxed);
        });
        while (lanes.back().pop() == answer::success) {
        }
        judge(joined(lanes), seed);
        totals_.closings += closes ? 1U : 0U;
        watch_garbage();
    }

    /// No stamps, no history: as fast as it goes.
    void at_full_speed(std::uint64_t round) {
        const unsigned threads = run_.threads();
        const std::uint64_t seed = run_.round_seed(round);
        const std::size_t count = 50 * operations_;
        run_.phase("at full speed");
        Container shared(domain_);
        struct alignas(interference_size) sums {
            std::uint64_t pushed = 0, popped = 0, pushes = 0, pops = 0, disorder = 0;
            std::vector<std::uint64_t> last;
        };
        std::vector<sums> all(threads + 1);
        const auto take = [&](sums& mine) {
            auto got = shared.try_pop();
            if (!got) {
                return false;
            }
            const std::uint64_t value = static_cast<std::uint64_t>(*got);
            mine.popped += value;
            ++mine.pops;
            std::uint64_t& last = mine.last[pusher_of(value)];
            mine.disorder += Kind == container::queue && value <= last ? 1U : 0U;
            last = value;
            return true;
        };
        for (sums& each : all) {
            each.last.resize(threads);
        }
        const auto begun = std::chrono::steady_clock::now();
        run_threads(threads, [&](unsigned thread) {
            sums& mine = all[thread];
            for (std::size_t i = 0; i < count; ++i) {
                const std::uint64_t value = value_of(thread, i + 1);
                if (shared.try_push(typename Container::value_type(value)) == conqueue_status::success) {
                    mine.pushed += value;
                    ++mine.pushes;
                }
                if (!has_one_consumer<Container> || thread == 0) {
                    take(mine);
                }
                if (i % 1024 == 1023) {
                    run_.operations.fetch_add(2048, std::memory_order_relaxed);
                }
            }
        });
        totals_.fast_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
        while (take(all.back())) {
        }
        sums sum;
        for (const sums& each : all) {
            sum.pushed += each.pushed;
            sum.popped += each.popped;
            sum.pushes += each.pushes;
            sum.pops += each.pops;
            sum.disorder += each.disorder;
        }
        totals_.fast_operations += sum.pushes + sum.pops;
        totals_.pushed += sum.pushes;
        totals_.popped += sum.pops;
        if (sum.pushed != sum.popped || sum.pushes != sum.pops) {
            run_.fail("an element was lost or came twice",
                      fmt::format("{} pushed with the sum {}, {} popped with the sum {}", sum.pushes, sum.pushed,
                                  sum.pops, sum.popped),
                      seed);
        }
        if (sum.disorder != 0) {
            run_.fail("a producer's elements came out of order", fmt::format("{} times", sum.disorder), seed);
        }
        watch_garbage();
    }

    /// Call when time is over: the checks and figures of all rounds, and the domain's end.
    void finish() {
        domain_.barrier();
        const domain_stats stats = domain_.stats();
        scenario_result& result = run_.result;
        const bool broken = result.failure.has_value();
        // Scenarios with faults run once for each barrier mode.
        const char* mode = std::is_same_v<Env, std_env> ? "" : stats.asymmetric ? " (membarrier)" : " (fallback)";
        result.expect(fmt::format("every history is a possible one of a {}{}",
                                  Kind == container::queue ? "FIFO queue" : "LIFO stack", mode),
                      !broken,
                      fmt::format("{} rounds, {} operations judged", totals_.judged_rounds, totals_.judged_events));
        result.expect(
            fmt::format("nothing is lost, nothing comes twice{}", mode), totals_.pushed == totals_.popped,
            fmt::format("{} pushed, {} popped, {} closings", totals_.pushed, totals_.popped, totals_.closings));
        result.expect(fmt::format("nothing waits after barrier(){}", mode), stats.pending_objects == 0,
                      fmt::format("{} retired, {} freed", stats.retired_objects, stats.freed_objects));
        if (totals_.fast_seconds > 0) {
            result.figures.push_back(
                {"throughput", double(totals_.fast_operations) / totals_.fast_seconds / 1e6, "M operations/s"});
        }
        result.figures.push_back({fmt::format("longest operation{}", mode), double(totals_.longest) / 1e6, "ms"});
        result.figures.push_back({fmt::format("judged{}", mode), double(totals_.judged_events) / 1e6, "M operations"});
    }

    basic_domain<Env>& domain() noexcept { return domain_; }

  private:
    template <class Lane>
    void operate(Lane& lane, const role& mine, std::mt19937_64& random, std::size_t batch) {
        const bool bulk = random() % 100 < mine.bulk;
        const bool push = random() % 100 < mine.pushes;
        if (push) {
            bulk ? static_cast<void>(lane.push_many(1 + random() % 8)) : static_cast<void>(lane.push());
        } else if (!bulk) {
            lane.pop();
        } else if constexpr (Kind == container::queue) {
            lane.pop_many(1 + random() % 8);
        } else {
            lane.pop_all(static_cast<std::uint32_t>(batch));
        }
    }

    void judge(const history& events, std::uint64_t seed) {
        const monitor check = monitor_of<Container>(Kind);
        if (const auto wrong = check(events)) {
            run_.fail(wrong->clause, explain(events, check), seed);
        }
        const balance sums = balance_of(events);
        totals_.pushed += sums.pushed;
        totals_.popped += sums.popped;
        if (!sums.is_even) {
            run_.fail("an element was lost or came twice",
                      fmt::format("{} pushed, {} popped", sums.pushed, sums.popped), seed);
        }
        for (const event& each : events) {
            totals_.longest = std::max(totals_.longest, each.ret - each.call);
        }
        ++totals_.judged_rounds;
        totals_.judged_events += events.size();
    }

    void watch_garbage() { run_.garbage.store(domain_.stats().pending_bytes, std::memory_order_relaxed); }

    scenario_run& run_;
    std::size_t operations_;
    basic_domain<Env> domain_;
    container_totals totals_;
};

/// The whole scenario on std_env: judged and fast rounds in turn.
template <template <class> class Of, container Kind>
void run_container(scenario_run& run) {
    container_rounds<Of<std_env>, std_env, Kind> rounds(run, 4'000);
    for (std::uint64_t round = 0; round < 2 || run.time_is_left(); ++round) {
        round % 4 == 1 ? rounds.at_full_speed(round) : rounds.recorded(round);
        if (!run.result.ok) {
            break;
        }
    }
    rounds.finish();
}

/// The same with delays, spurious failures and both barrier modes: small segments, threads that stall anywhere.
template <template <class> class Of, container Kind>
void run_container_with_faults(scenario_run& run) {
    const auto part = [&run](const faults& plan, double until) {
        fault_plan::set(plan);
        container_rounds<Of<fault_env>, fault_env, Kind> rounds(run, 1'000);
        for (std::uint64_t round = 0; round < 3 || (run.time_is_left() && run.seconds_left() > until); ++round) {
            rounds.recorded(round);
            if (!run.result.ok) {
                break;
            }
        }
        rounds.finish();
        fault_plan::set({});
    };
    const double all = run.seconds_left();
    const std::uint64_t seed = run.options().seed;
    part({.seed = seed, .pause_every = 50, .yield_every = 200, .sleep_every = 5'000, .spurious_every = 10}, all / 2);
    part({.seed = seed,
          .pause_every = 50,
          .yield_every = 200,
          .sleep_every = 5'000,
          .spurious_every = 10,
          .fallback = true},
         0);
}

} // namespace epoque::stress
