// SPDX-License-Identifier: BSL-1.0
/// @file
/// epoque-stress: the single-producer queue on real threads: one pushes, one pops, in some rounds a third one closes.
#include "env/fault_env.hpp"
#include "harness/scenario.hpp"
#include "spsc_queue_scenario.hpp"

#include <fmt/format.h>

namespace epoque::stress {
namespace {

template <class Env, std::size_t Capacity>
class spsc_rounds {
    using tested = spsc_queue_of_numbers<Env, Capacity>;
    using lane_type = lane<tested, steady_stamps>;

  public:
    spsc_rounds(scenario_run& run, std::size_t operations) : run_(run), operations_(operations) {}

    void round(std::uint64_t number) {
        const std::uint64_t seed = run_.round_seed(number);
        const bool closes = number % 3 == 2;
        basic_domain<Env> domain;
        tested shared(domain);
        std::vector<lane_type> lanes;
        lanes.reserve(4);
        for (std::uint32_t thread = 0; thread < 4; ++thread) {
            lanes.emplace_back(shared, thread, 9 * operations_);
        }
        std::atomic<std::size_t> done{0}; // by the producer: the closer waits for its moment
        run_threads(closes ? 3 : 2, [&](unsigned thread) {
            auto random = thread_random(seed, thread);
            if (thread == 2) {
                const std::size_t moment = random() % operations_;
                for (unsigned looks = 0; done.load(std::memory_order_relaxed) < moment; ++looks) {
                    Env::relax(looks % 64);
                }
                lanes[2].close();
                return;
            }
            for (std::size_t i = 0; i < operations_; ++i) {
                const bool bulk = random() % 16 == 0;
                if (thread == 0) {
                    bulk ? static_cast<void>(lanes[0].push_many(1 + random() % 8)) : static_cast<void>(lanes[0].push());
                    done.store(i + 1, std::memory_order_relaxed);
                } else {
                    bulk ? static_cast<void>(lanes[1].pop_many(1 + random() % 8)) : static_cast<void>(lanes[1].pop());
                }
            }
            run_.operations.fetch_add(operations_, std::memory_order_relaxed);
        });
        while (lanes[3].pop() == answer::success) {
        }
        judge(joined(lanes), seed);
        closings_ += closes ? 1U : 0U;
    }

    void finish(const char* mode) {
        run_.result.expect(fmt::format("every history is a possible one of a FIFO queue of {}{}", Capacity, mode),
                           !run_.result.failure.has_value(),
                           fmt::format("{} operations judged, {} closings", judged_, closings_));
        run_.result.figures.push_back(
            {fmt::format("judged, capacity {}{}", Capacity, mode), double(judged_) / 1e6, "M operations"});
    }

  private:
    void judge(const history& events, std::uint64_t seed) {
        const monitor check = monitor_of<tested>(container::queue);
        if (const auto wrong = check(events)) {
            run_.fail(wrong->clause, explain(events, check), seed);
        }
        if (const balance sums = balance_of(events); !sums.is_even) {
            run_.fail("an element was lost or came twice",
                      fmt::format("{} pushed, {} popped", sums.pushed, sums.popped), seed);
        }
        judged_ += events.size();
    }

    scenario_run& run_;
    std::size_t operations_;
    std::uint64_t judged_ = 0;
    std::uint64_t closings_ = 0;
};

void run_spsc(scenario_run& run) {
    spsc_rounds<std_env, 1> narrow(run, 2'000);
    spsc_rounds<std_env, 1000> wide(run, 4'000);
    for (std::uint64_t round = 0; round < 3 || run.time_is_left(); ++round) {
        narrow.round(round);
        wide.round(round);
        if (!run.result.ok) {
            break;
        }
    }
    narrow.finish("");
    wide.finish("");
}

void run_spsc_with_faults(scenario_run& run) {
    const double all = run.seconds_left();
    for (const bool fallback : {false, true}) {
        fault_plan::set({.seed = run.options().seed,
                         .pause_every = 50,
                         .yield_every = 200,
                         .sleep_every = 5'000,
                         .spurious_every = 10,
                         .fallback = fallback});
        spsc_rounds<fault_env, 3> rounds(run, 1'000);
        for (std::uint64_t round = 0;
             round < 3 || (run.time_is_left() && run.seconds_left() > (fallback ? 0 : all / 2)); ++round) {
            rounds.round(round);
            if (!run.result.ok) {
                break;
            }
        }
        rounds.finish(fallback ? " (fallback)" : " (membarrier)");
        fault_plan::set({});
    }
}

const scenario_registration threads{
    {"spsc_queue", "threads", "One thread pushes, one pops, a third one closes at random; every history is judged.",
     &run_spsc}};
const scenario_registration with_faults{{"spsc_queue-faults", "threads",
                                         "The same with delays at atomic operations and both barrier modes.",
                                         &run_spsc_with_faults}};

} // namespace
} // namespace epoque::stress
