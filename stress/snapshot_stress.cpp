// SPDX-License-Identifier: BSL-1.0
/// @file
/// epoque-stress: the snapshot on real threads. Readers check every version that they see; the versions count the writes.
#include "snapshot_scenario.hpp"

#include "env/fault_env.hpp"
#include "harness/scenario.hpp"

#include <fmt/format.h>

namespace epoque::stress {
namespace {

template <class Env>
void run_rounds(scenario_run& run, std::size_t operations, double until) {
    basic_domain<Env> domain;
    std::uint64_t rounds = 0;
    std::uint64_t turned = 0;
    std::uint64_t looks = 0;
    std::int64_t left = 0;
    {
        notice_board<Env> office(domain);
        for (; rounds < 2 || (run.time_is_left() && run.seconds_left() > until); ++rounds) {
            const std::uint64_t seed = run.round_seed(rounds);
            run.phase(rounds % 2 == 0 ? "few write" : "all write");
            const unsigned writes = rounds % 2 == 0 ? 2 : 50; // per cent
            std::atomic<std::uint64_t> unsound{0};
            std::atomic<std::uint64_t> replaced{0};
            run_threads(run.threads(), [&](unsigned thread) {
                auto random = thread_random(seed, thread);
                typename notice_board<Env>::memory mine;
                std::uint64_t bad = 0;
                for (std::size_t i = 0; i < operations; ++i) {
                    const auto choice = random() % 100;
                    bool sound = true;
                    if (choice < writes) {
                        sound = choice % 4 == 0 ? office.turn_if_unchanged(mine) : office.turn(mine);
                    } else if (choice == 99) {
                        sound = office.look_long(mine, [] { Env::relax(18); });
                    } else {
                        sound = office.look(mine);
                    }
                    bad += sound ? 0U : 1U;
                    if (i % 256 == 255) {
                        run.operations.fetch_add(256, std::memory_order_relaxed);
                        if (thread == 0) {
                            run.garbage.store(domain.stats().pending_bytes, std::memory_order_relaxed);
                        }
                    }
                }
                unsound.fetch_add(bad, std::memory_order_relaxed);
                replaced.fetch_add(mine.turned, std::memory_order_relaxed);
            });
            turned += replaced.load();
            looks += operations * run.threads();
            if (unsound.load() != 0) {
                run.fail("a version was torn, dead, out of order, or older than what was told",
                         fmt::format("{} times in round {}", unsound.load(), rounds), seed);
                break;
            }
            if (office.version() != 1 + turned) {
                run.fail("a replacement was lost or counted twice",
                         fmt::format("{} replacements, version {}", turned, office.version()), seed);
                break;
            }
        }
        domain.barrier();
        left = office.live_pages();
    }
    const domain_stats stats = domain.stats();
    const char* mode = stats.asymmetric ? "membarrier" : "fallback";
    run.result.expect(fmt::format("every version is whole and in order ({})", mode), !run.result.failure.has_value(),
                      fmt::format("{} rounds, {} operations", rounds, looks));
    run.result.expect(fmt::format("no replacement is lost ({})", mode), !run.result.failure.has_value(),
                      fmt::format("{} replacements", turned));
    run.result.expect(fmt::format("only the last version is left ({})", mode), left == 1,
                      fmt::format("{} left, {} retired, {} freed", left, stats.retired_objects, stats.freed_objects));
}

void run_snapshot(scenario_run& run) {
    run_rounds<std_env>(run, 50'000, 0);
}

void run_snapshot_with_faults(scenario_run& run) {
    const double all = run.seconds_left();
    faults plan{
        .seed = run.options().seed, .pause_every = 50, .yield_every = 300, .sleep_every = 10'000, .spurious_every = 10};
    fault_plan::set(plan);
    run_rounds<fault_env>(run, 5'000, all / 2);
    plan.fallback = true;
    fault_plan::set(plan);
    run_rounds<fault_env>(run, 5'000, 0);
    fault_plan::set({});
}

const scenario_registration threads{
    {"snapshot", "threads", "Readers check every version that they see, writers count theirs.", &run_snapshot}};
const scenario_registration with_faults{{"snapshot-faults", "threads",
                                         "The same with delays at atomic operations and both barrier modes.",
                                         &run_snapshot_with_faults}};

} // namespace
} // namespace epoque::stress
