// SPDX-License-Identifier: BSL-1.0
/// @file
/// epoque-stress: the domain on real threads. Readers look into boxes that writers retire; threads come and go; now and
/// then somebody asks for everything to be freed, or waits for all readers.
#include "domain_scenario.hpp"

#include "env/fault_env.hpp"
#include "harness/scenario.hpp"

#include <fmt/format.h>

#include <optional>

namespace epoque::stress {
namespace {

constexpr std::size_t cells = 16;

template <class Env>
void run_rounds(scenario_run& run, std::size_t operations, double until) {
    basic_domain<Env> domain;
    std::uint64_t rounds = 0;
    std::atomic<std::uint64_t> unsound{0};
    {
        cell_table<Env, cells> table(domain);
        for (; rounds < 2 || (run.time_is_left() && run.seconds_left() > until); ++rounds) {
            const std::uint64_t seed = run.round_seed(rounds);
            run.phase(rounds % 2 == 0 ? "readers and writers" : "everybody reads and writes");
            run_threads(run.threads(), [&](unsigned thread) {
                auto random = thread_random(seed, thread);
                const unsigned writes = rounds % 2 == 1 ? 30 : (thread == 0 ? 90 : 2); // per cent
                std::uint64_t bad = 0;
                for (std::size_t i = 0; i < operations; ++i) {
                    const std::size_t cell = random() % cells;
                    const auto choice = random() % 100'000;
                    if (choice < 3) {
                        table.replace_and_wait(cell, i);
                    } else if (choice < 6) {
                        domain.barrier();
                    } else if (choice % 100 < writes) {
                        table.replace(cell, i);
                    } else {
                        bad += table.read(cell, choice % 64 == 0 ? 50 : 1) ? 0U : 1U;
                    }
                    if (i % 256 == 255) {
                        run.operations.fetch_add(256, std::memory_order_relaxed);
                        if (thread == 0) {
                            run.garbage.store(domain.stats().pending_bytes, std::memory_order_relaxed);
                        }
                    }
                }
                unsound.fetch_add(bad, std::memory_order_relaxed);
            });
            if (unsound.load() != 0) {
                run.fail("a reader looked into a freed box",
                         fmt::format("{} times in round {}", unsound.load(), rounds), seed);
                break;
            }
        }
        domain.barrier();
        const domain_stats stats = domain.stats();
        scenario_result& result = run.result;
        const char* mode = stats.asymmetric ? "membarrier" : "fallback";
        result.expect(fmt::format("no reader sees a freed box ({})", mode), unsound.load() == 0,
                      fmt::format("{} rounds, {} boxes retired", rounds, stats.retired_objects));
        result.expect(fmt::format("barrier() frees all that was retired ({})", mode),
                      stats.pending_objects == 0 && table.live() == table.cells(),
                      fmt::format("{} freed, {} live in {} cells", stats.freed_objects, table.live(), table.cells()));
        result.figures.push_back(
            {fmt::format("most garbage ({})", mode), double(stats.peak_pending_bytes) / 1024, "KiB"});
        result.figures.push_back(
            {fmt::format("most freed by one call ({})", mode), double(stats.most_freed_at_once), "objects"});
    }
}

void run_domain(scenario_run& run) {
    run_rounds<std_env>(run, 50'000, 0);
}

void run_domain_with_faults(scenario_run& run) {
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
    {"domain", "threads", "Readers look into boxes that writers retire; threads come and go; some wait for all others.",
     &run_domain}};
const scenario_registration with_faults{{"domain-faults", "threads",
                                         "The same with delays at atomic operations and both barrier modes.",
                                         &run_domain_with_faults}};

} // namespace
} // namespace epoque::stress
