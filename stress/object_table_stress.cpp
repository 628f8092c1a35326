// SPDX-License-Identifier: BSL-1.0
/// @file
/// epoque-stress: the object table on real threads. A few desks, many threads: each look-up races with destroys and with
/// new objects in the same slots.
#include "object_table_scenario.hpp"

#include "env/fault_env.hpp"
#include "harness/scenario.hpp"

#include <fmt/format.h>

namespace epoque::stress {
namespace {

constexpr std::size_t desks = 8;

template <class Env>
void run_rounds(scenario_run& run, std::size_t operations, double until) {
    basic_domain<Env> domain;
    std::atomic<std::uint64_t> unsound{0};
    std::uint64_t rounds = 0;
    std::int64_t left = 0;
    std::uint64_t left_handles = 0;
    {
        desk_table<Env, desks> office(domain);
        for (; rounds < 2 || (run.time_is_left() && run.seconds_left() > until); ++rounds) {
            const std::uint64_t seed = run.round_seed(rounds);
            run.phase(rounds % 2 == 0 ? "few look, many move" : "many look, few move");
            const unsigned moves = rounds % 2 == 0 ? 60 : 5; // per cent
            run_threads(run.threads(), [&](unsigned thread) {
                auto random = thread_random(seed, thread);
                std::uint64_t bad = 0;
                for (std::size_t i = 0; i < operations; ++i) {
                    const std::size_t desk = random() % desks;
                    const auto choice = random() % 100;
                    bool sound = true;
                    if (choice < moves) {
                        sound = choice % 4 == 0 ? office.destroy(desk)
                                                : office.create(desk, seed ^ (thread * operations + i));
                    } else {
                        sound = choice % 8 == 0   ? office.look_wrongly(desk)
                                : choice % 8 == 1 ? office.look_at_slot(static_cast<std::uint32_t>(random() % desks))
                                                  : office.look(desk);
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
            });
            if (unsound.load() != 0) {
                run.fail("a handle found another object or a dead one, or a live handle could not be destroyed",
                         fmt::format("{} times in round {}", unsound.load(), rounds), seed);
                break;
            }
        }
        for (std::size_t desk = 0; desk < desks; ++desk) {
            office.destroy(desk);
        }
        domain.barrier();
        left = office.live_objects();
        left_handles = office.table().was_live();
    }
    const domain_stats stats = domain.stats();
    const char* mode = stats.asymmetric ? "membarrier" : "fallback";
    run.result.expect(fmt::format("a handle finds its object or nothing ({})", mode), unsound.load() == 0,
                      fmt::format("{} rounds", rounds));
    run.result.expect(fmt::format("every object ends with its handle ({})", mode), left == 0 && left_handles == 0,
                      fmt::format("{} objects and {} handles left", left, left_handles));
}

void run_table(scenario_run& run) {
    run_rounds<std_env>(run, 50'000, 0);
}

void run_table_with_faults(scenario_run& run) {
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
    {"object-table", "threads", "Look-ups race with destroys and with new objects in the same slots.", &run_table}};
const scenario_registration with_faults{{"object-table-faults", "threads",
                                         "The same in a small table, with delays and both barrier modes.",
                                         &run_table_with_faults}};

} // namespace
} // namespace epoque::stress
