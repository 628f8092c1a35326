// SPDX-License-Identifier: BSL-1.0
/// @file
/// epoque-stress: workers that steal, sleep and wait for each other's tasks; futures that are cancelled; lanes; crews that are
/// closed and stopped half-way. Every task ends once, run or dropped, and its future says which.
#include "harness/scenario.hpp"

#include "env/fault_env.hpp"
#include "task_pool_scenario.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace epoque::stress {
namespace {

struct ledger {
    std::atomic<std::uint64_t> made{0};
    std::atomic<std::uint64_t> run{0};
    std::atomic<std::uint64_t> dropped{0};
    std::atomic<std::uint64_t> disorder{0};
    std::atomic<std::uint64_t> lies{0}; // futures that say something else than what happened
};

/// A task's own account: it counts in one column at its end.
class account {
  public:
    explicit account(ledger& in) noexcept : in_(&in) { in_->made.fetch_add(1, std::memory_order_relaxed); }
    account(account&& other) noexcept : in_(std::exchange(other.in_, nullptr)), was_run_(other.was_run_) {}
    account& operator=(account&&) = delete;
    ~account() {
        if (in_ != nullptr) {
            (was_run_ ? in_->run : in_->dropped).fetch_add(1, std::memory_order_relaxed);
        }
    }
    void runs() noexcept {
        if (std::exchange(was_run_, true)) {
            in_->lies.fetch_add(1, std::memory_order_relaxed); // twice
        }
    }

  private:
    ledger* in_;
    bool was_run_ = false;
};

constexpr unsigned most_threads = 16;

/// A lane and what only its tasks touch.
template <class Env>
struct line {
    explicit line(crew_executor<Env>& over) : order(over) {}
    epoque::lane<crew_executor<Env>> order;
    std::array<std::uint64_t, most_threads> last{}; // by who put
};

/// Takes the result.
template <class R, class Env>
bool was_cancelled(future<R, Env>& of) {
    try {
        of.get();
        return false;
    } catch (const task_cancelled&) {
        return true;
    }
}

template <class Env>
class round_of_tasks {
  public:
    using executor = crew_executor<Env>;

    round_of_tasks(basic_domain<Env>& domain, unsigned workers, ledger& books)
        : team_(domain, workers), books_(books), lines_{line<Env>(team_), line<Env>(team_)} {}

    core::crew<Env>& crew() noexcept { return team_.crew(); }

    void one(unsigned who, std::uint64_t random) {
        switch (random % 16) {
        case 0:
            return fork(6);
        case 1:
        case 2:
            return cancelled();
        case 3:
            return waited_for_in_a_lane(who, random);
        case 4:
        case 5:
        case 6:
            return put(who, random);
        default:
            team_.execute([mine = account(books_)]() mutable { mine.runs(); });
        }
    }

  private:
    std::uint64_t grow(unsigned depth) {
        if (depth == 0) {
            return 1;
        }
        auto left = submit(team_, [this, depth, mine = account(books_)]() mutable {
            mine.runs();
            return grow(depth - 1);
        });
        const std::uint64_t right = grow(depth - 1);
        try {
            return left.get() + right;
        } catch (const task_cancelled&) {
            return std::uint64_t{1} << depth; // the crew was stopped
        }
    }
    void fork(unsigned depth) {
        team_.execute([this, depth, mine = account(books_)]() mutable {
            mine.runs();
            if (grow(depth) != std::uint64_t{1} << depth) {
                books_.lies.fetch_add(1, std::memory_order_relaxed);
            }
        });
    }
    void cancelled() {
        std::atomic<bool> was_run{false};
        auto result = submit(team_, [&was_run, mine = account(books_)]() mutable {
            mine.runs();
            was_run.store(true, std::memory_order_relaxed);
            return 1;
        });
        const bool says_cancelled = result.cancel();
        const bool got = !was_cancelled(result);
        // (A task that is just being dropped has neither begun nor been cancelled by us.)
        if ((says_cancelled && got) || got != was_run.load(std::memory_order_relaxed)) {
            books_.lies.fetch_add(1, std::memory_order_relaxed);
        }
    }
    auto step(line<Env>& on, unsigned who) {
        return [this, &on, who, number = ++numbers_[who][&on == &lines_[0] ? 0 : 1], mine = account(books_)]() mutable {
            mine.runs();
            if (on.last[who] >= number) {
                books_.disorder.fetch_add(1, std::memory_order_relaxed);
            }
            on.last[who] = number;
            return number;
        };
    }
    void put(unsigned who, std::uint64_t random) {
        line<Env>& on = lines_[random / 16 % 2];
        on.order.execute(step(on, who));
    }
    void waited_for_in_a_lane(unsigned who, std::uint64_t random) {
        line<Env>& on = lines_[random / 16 % 2];
        team_.execute([result = on.order.submit(step(on, who)), mine = account(books_)]() mutable {
            mine.runs();
            static_cast<void>(was_cancelled(result));
        });
    }

    executor team_;
    ledger& books_;
    std::array<line<Env>, 2> lines_;
    std::array<std::array<std::uint64_t, 2>, most_threads> numbers_{}; // each its own thread's
};

template <class Env>
void run_rounds(scenario_run& run, std::uint64_t operations, double until) {
    basic_domain<Env> domain;
    ledger books;
    std::uint64_t rounds = 0;
    std::uint64_t stopped = 0;
    core::crew_stats totals;
    const unsigned threads = std::min(std::max(2U, run.threads()), most_threads);
    for (; rounds < 8 || (run.time_is_left() && run.seconds_left() > until); ++rounds) {
        const std::uint64_t seed = run.round_seed(rounds);
        const unsigned workers = 1 + static_cast<unsigned>(seed % (threads - 1));
        const bool stops = rounds % 4 == 3;
        run.phase(stops ? "stopped half-way" : "to the end");
        round_of_tasks<Env> tasks(domain, workers, books);
        std::atomic<unsigned> submitters{threads - workers};
        run_threads(threads, [&](unsigned thread) {
            if (thread < workers) {
                tasks.crew().work(thread);
                return;
            }
            auto random = thread_random(seed, thread);
            for (std::uint64_t i = 0; i < operations; ++i) {
                tasks.one(thread, random());
                if (stops && thread == workers && i == operations / 2) {
                    tasks.crew().stop();
                }
            }
            run.operations.fetch_add(operations, std::memory_order_relaxed);
            if (submitters.fetch_sub(1) == 1) {
                tasks.crew().close();
            }
        });
        const core::crew_stats stats = tasks.crew().stats();
        totals.tasks += stats.tasks;
        totals.stolen += stats.stolen;
        totals.sleeps += stats.sleeps;
        stopped += stops ? 1U : 0U;
        run.garbage.store(domain.stats().pending_bytes, std::memory_order_relaxed);
    }
    domain.barrier();
    const domain_stats stats = domain.stats();
    const char* mode = stats.asymmetric ? "membarrier" : "fallback";
    run.result.expect(fmt::format("each task ended once ({})", mode), books.made == books.run + books.dropped,
                      fmt::format("{} made, {} run, {} dropped, in {} rounds, {} of them stopped half-way",
                                  books.made.load(), books.run.load(), books.dropped.load(), rounds, stopped));
    run.result.expect(fmt::format("futures say what happened ({})", mode), books.lies == 0,
                      fmt::format("{} do not", books.lies.load()));
    run.result.expect(fmt::format("lanes keep their order ({})", mode), books.disorder == 0,
                      fmt::format("{} out of order", books.disorder.load()));
    run.result.expect(fmt::format("nothing waits after barrier() ({})", mode), stats.pending_objects == 0,
                      fmt::format("{} retired, {} freed", stats.retired_objects, stats.freed_objects));
    run.result.figures.push_back({fmt::format("tasks ({})", mode), double(totals.tasks) / 1e6, "M"});
    run.result.figures.push_back({fmt::format("stolen ({})", mode), double(totals.stolen) / 1e6, "M"});
    run.result.figures.push_back({fmt::format("sleeps ({})", mode), double(totals.sleeps) / 1e6, "M"});
}

void run_tasks(scenario_run& run) {
    run_rounds<std_env>(run, 20'000, 0);
}

void run_tasks_with_faults(scenario_run& run) {
    const double all = run.seconds_left();
    faults plan{
        .seed = run.options().seed, .pause_every = 50, .yield_every = 200, .sleep_every = 5'000, .spurious_every = 10};
    fault_plan::set(plan);
    run_rounds<fault_env>(run, 1'000, all / 2);
    plan.fallback = true;
    fault_plan::set(plan);
    run_rounds<fault_env>(run, 1'000, 0);
    fault_plan::set({});
}

const scenario_registration threads{
    {"task_pool", "threads", "Tasks fork, wait, go through lanes, are cancelled; crews end or are stopped half-way.",
     &run_tasks}};
const scenario_registration with_faults{{"task_pool-faults", "threads",
                                         "The same with delays at atomic operations and both barrier modes.",
                                         &run_tasks_with_faults}};

} // namespace
} // namespace epoque::stress
