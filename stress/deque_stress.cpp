// SPDX-License-Identifier: BSL-1.0
/// @file
/// epoque-stress: the deque on real threads. Short rounds are judged by the general search, long ones by what the owner and
/// the thieves notice themselves and by their sums.
#include "deque_scenario.hpp"

#include "env/fault_env.hpp"
#include "harness/scenario.hpp"

#include <fmt/format.h>

namespace epoque::stress {
namespace {

struct deque_totals {
    std::uint64_t judged = 0;
    std::uint64_t rounds = 0;
    std::uint64_t pushed = 0;
    std::uint64_t stolen = 0;
    std::uint64_t busy = 0;
};

/// One round: the owner goes up and down, thieves steal until it is done and the deque empty.
template <class Env>
void run_round(scenario_run& run, basic_domain<Env>& domain, std::uint64_t seed, std::size_t operations,
               deque_totals& totals) {
    using tested = deque_of_numbers<Env>;
    const bool judged = operations <= 20;
    const unsigned threads = std::max(2U, run.threads());
    tested shared(domain);
    deque_owner<tested, steady_stamps> owner(shared, 3 * operations);
    std::vector<deque_thief<tested, steady_stamps>> thieves;
    for (unsigned thread = 1; thread < threads; ++thread) {
        thieves.emplace_back(shared, thread, judged ? 64 : 2 * operations);
    }
    std::atomic<bool> done{false};
    std::atomic<std::uint64_t> stolen{0};
    std::atomic<std::uint64_t> busy{0};
    run_threads(threads, [&](unsigned thread) {
        auto random = thread_random(seed, thread);
        if (thread == 0) {
            // Phases of growing and shrinking, so that the owner meets the border from both sides.
            unsigned pushes = 50;
            for (std::size_t i = 0; i < operations; ++i) {
                if (i % 64 == 0) {
                    pushes = static_cast<unsigned>(20 + random() % 60);
                }
                if (random() % 16 == 0) {
                    owner.trim();
                }
                random() % 100 < pushes ? owner.push() : static_cast<void>(owner.pop());
            }
            while (owner.pop()) {
            }
            done.store(true, std::memory_order_release);
            return;
        }
        std::uint64_t own_stolen = 0;
        std::uint64_t own_busy = 0;
        for (std::size_t i = 0; judged ? i < 6 : !done.load(std::memory_order_acquire); ++i) {
            if (!judged && !thieves[thread - 1].log().has_room(1)) {
                break;
            }
            const conqueue_status status = thieves[thread - 1].steal();
            own_stolen += status == conqueue_status::success ? 1U : 0U;
            own_busy += status == conqueue_status::busy ? 1U : 0U;
            if (status == conqueue_status::empty && !judged) {
                Env::relax(static_cast<unsigned>(i % 20));
            }
        }
        stolen.fetch_add(own_stolen, std::memory_order_relaxed);
        busy.fetch_add(own_busy, std::memory_order_relaxed);
    });
    run.operations.fetch_add(operations, std::memory_order_relaxed);
    if (const auto fault = find_fault(owner, thieves, judged)) {
        history events = owner.log().events();
        for (auto& thief : thieves) {
            events.insert(events.end(), thief.log().events().begin(), thief.log().events().end());
        }
        run.fail(*fault, judged ? draw_history(events) : fmt::format("in a round of {} operations", operations), seed);
    }
    ++totals.rounds;
    totals.judged += judged ? 1U : 0U;
    totals.stolen += stolen.load();
    totals.busy += busy.load();
    totals.pushed += static_cast<std::uint64_t>(std::ranges::count(owner.log().events(), operation::push, &event::op));
}

template <class Env>
void run_rounds(scenario_run& run, std::size_t operations, double until) {
    basic_domain<Env> domain;
    deque_totals totals;
    for (std::uint64_t round = 0; round < 8 || (run.time_is_left() && run.seconds_left() > until); ++round) {
        const bool judged = round % 4 != 0;
        run.phase(judged ? "short rounds, judged" : "long rounds");
        for (int repeat = 0; repeat < (judged ? 20 : 1) && run.result.ok; ++repeat) {
            run_round(run, domain, run.round_seed(round) + static_cast<unsigned>(repeat), judged ? 20 : operations,
                      totals);
        }
        if (!run.result.ok) {
            break;
        }
        run.garbage.store(domain.stats().pending_bytes, std::memory_order_relaxed);
    }
    domain.barrier();
    const domain_stats stats = domain.stats();
    const char* mode = stats.asymmetric ? "membarrier" : "fallback";
    run.result.expect(fmt::format("the owner takes the newest, thieves the oldest, each once ({})", mode),
                      !run.result.failure.has_value(),
                      fmt::format("{} rounds, {} of them judged as histories", totals.rounds, totals.judged));
    run.result.expect(fmt::format("nothing waits after barrier() ({})", mode), stats.pending_objects == 0,
                      fmt::format("{} retired, {} freed", stats.retired_objects, stats.freed_objects));
    run.result.figures.push_back({fmt::format("pushed ({})", mode), double(totals.pushed) / 1e6, "M"});
    run.result.figures.push_back({fmt::format("stolen ({})", mode), double(totals.stolen) / 1e6, "M"});
    run.result.figures.push_back({fmt::format("busy ({})", mode), double(totals.busy) / 1e6, "M"});
}

void run_deque(scenario_run& run) {
    run_rounds<std_env>(run, 200'000, 0);
}

void run_deque_with_faults(scenario_run& run) {
    const double all = run.seconds_left();
    faults plan{
        .seed = run.options().seed, .pause_every = 50, .yield_every = 200, .sleep_every = 5'000, .spurious_every = 10};
    fault_plan::set(plan);
    run_rounds<fault_env>(run, 5'000, all / 2);
    plan.fallback = true;
    fault_plan::set(plan);
    run_rounds<fault_env>(run, 5'000, 0);
    fault_plan::set({});
}

const scenario_registration threads{
    {"deque", "threads", "An owner goes up and down, thieves steal; what each of them took is judged.", &run_deque}};
const scenario_registration with_faults{{"deque-faults", "threads",
                                         "The same with delays at atomic operations and both barrier modes.",
                                         &run_deque_with_faults}};

} // namespace
} // namespace epoque::stress
