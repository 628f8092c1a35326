// SPDX-License-Identifier: BSL-1.0
/// @file
/// Model tests: how one is written, and the `main` of every <home>_model executable.
///
///     struct hand_over : model::suite<hand_over, 2> {
///         basic_domain<model_env> domain;            // made anew for each execution
///         void body(unsigned thread) { ... }         // each thread; model::require(condition, "reason") checks
///         void finish() { ... }                      // after all threads ended
///     };
///     int main(int argc, char** argv) {
///         model::program program("domain_model");
///         program.add<hand_over>({.name = "hand_over", .what = "a sentence", .executions = 20'000});
///         return program.run(argc, argv);
///     }
///
/// Include it in one translation unit per executable: it also defines `epoque::misuse` and
/// operator delete.
///
/// The search is random by default; `--search bound --bound 2` tries all schedules with that many preemptions (tiny
/// tests only). An execution is reproduced by its number: `--test hand_over --replay 149`.
#pragma once

#include "model_env.hpp"

#include "../harness/columns.hpp"
#include "../harness/report.hpp"
#include "../harness/source_tags.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

// Relacy replaces operator delete, but is older than the sized ones, which would go to the wrong heap.
void operator delete(void* block, std::size_t) noexcept {
    ::operator delete(block);
}
void operator delete[](void* block, std::size_t) noexcept {
    ::operator delete[](block);
}

namespace epoque {

// The library's own one ends the process; here a broken precondition ends the execution, with its sentence in the trace.
[[noreturn]] void misuse(std::string_view what) noexcept {
    static char sentence[512];
    const std::size_t length = what.copy(sentence, sizeof sentence - 1);
    sentence[length] = '\0';
    stress::model::fail(sentence);
    std::abort(); // fail() does not return
}

} // namespace epoque

namespace epoque::stress::model {

/// See the file's head. `Derived` may also define `setup()` and `finish()`, which run before and after all threads.
template <class Derived, int Threads>
struct suite {
    static constexpr int threads = Threads;
    static_assert(Threads <= static_cast<int>(max_threads));
    void setup() {}
    void finish() {}
};

/// A suite without its type. Relacy's machinery is a template over the test; one instance for each number of threads
/// compiles several times faster than one for each suite.
struct erased_suite {
    void (*make)(void*);
    void (*destroy)(void*);
    void (*setup)(void*);
    void (*body)(void*, unsigned);
    void (*finish)(void*);
};

/// Where the suite of the current execution lives; of static size, because Relacy watches the heap meanwhile.
inline constexpr std::size_t suite_room = std::size_t{1} << 18;
inline constexpr std::size_t suite_alignment = 256;

template <class Suite>
inline constexpr erased_suite erased{
    // SAFETY: all five get the room of the one suite that lives there, from make to destroy.
    [](void* room) { ::new (room) Suite(); },
    [](void* room) { std::destroy_at(static_cast<Suite*>(room)); },
    [](void* room) { static_cast<Suite*>(room)->setup(); },
    [](void* room, unsigned thread) { static_cast<Suite*>(room)->body(thread); },
    [](void* room) { static_cast<Suite*>(room)->finish(); },
};

/// What Relacy runs, with its names.
template <int Threads>
struct runner : rl::test_suite<runner<Threads>, Threads> {
    static inline const erased_suite* chosen = nullptr;
    alignas(suite_alignment) static inline std::byte room[suite_room];

    runner() {
        current() = state{};
        heap::instance().begin_execution();
        chosen->make(room);
    }
    ~runner() {
        chosen->destroy(room);
        require(heap::instance().live() == 0, "memory leak: blocks of the Env are still allocated at the end");
    }
    void before() { chosen->setup(room); }
    void thread(unsigned index) {
        chosen->body(room, index);
        model_env::thread_exit();
    }
    void after() { chosen->finish(room); }
};

/// Whether a test must pass, or must fail because it is there to show that a check bites.
enum class expectation { clean, caught };

struct test {
    std::string name{};
    std::string what{};
    rl::iteration_t executions = 10'000;
    barrier_mode mode = barrier_mode::axioms;
    expectation expected = expectation::clean;
};

/// What one test did.
struct verdict {
    bool failed = false;
    rl::iteration_t executions = 0; ///< until the failure, or all
    double seconds = 0;
    std::string reason; ///< of a failure: Relacy's words
    std::string picture;
};

class program {
  public:
    explicit program(std::string name) : name_(std::move(name)) {}

    template <class Suite>
    void add(test wanted) {
        static_assert(sizeof(Suite) <= suite_room && alignof(Suite) <= suite_alignment);
        entries_.push_back({std::move(wanted), [](rl::test_params& params) {
                                using engine = runner<Suite::threads>;
                                engine::chosen = &erased<Suite>;
                                rl::simulate<engine>(params);
                            }});
    }

    int run(int argc, char** argv);

  private:
    struct entry {
        test wanted;
        std::function<void(rl::test_params&)> simulate;
    };
    struct options {
        std::vector<std::string> tests;
        std::string search = "random";
        unsigned bound = 2;
        double scale = 1;
        rl::iteration_t replay = 0;
        std::string weaken;
        std::string mutants;
        std::string json;
    };

    verdict execute(const entry& which, const options& wish) const;
    bool run_tests(const options& wish, report& out) const;
    bool run_mutants(const options& wish, report& out) const;
    bool is_wished(const entry& which, const options& wish) const {
        return wish.tests.empty() || std::ranges::find(wish.tests, which.wanted.name) != wish.tests.end();
    }
    static mutation find_mutation(const std::string& file_and_tag);

    std::string name_;
    std::vector<entry> entries_;
};

inline verdict program::execute(const entry& which, const options& wish) const {
    rl::ostringstream trace; // not std's: Relacy writes to it while it watches the heap
    rl::ostringstream progress;
    rl::test_params params;
    params.output_stream = &trace;
    params.progress_stream = &progress;
    params.execution_depth_limit = 100'000;
    params.iteration_count =
        std::max<rl::iteration_t>(1, static_cast<rl::iteration_t>(double(which.wanted.executions) * wish.scale));
    if (wish.search == "bound") {
        params.search_type = rl::fair_context_bound_scheduler_type;
        params.context_bound = wish.bound;
    } else if (wish.search == "full") {
        params.search_type = rl::fair_full_search_scheduler_type;
    }
    if (wish.replay != 0) {
        params.initial_state = fmt::format("{} ", wish.replay).c_str();
        params.iteration_count = wish.replay;
    }
    model::chosen().mode = which.wanted.mode;

    const auto start = std::chrono::steady_clock::now();
    which.simulate(params);
    verdict out;
    out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    out.failed = params.test_result != rl::test_result_success;
    out.executions = wish.replay != 0 ? 1 : params.stop_iteration;
    if (out.failed) {
        out.picture = draw_relacy_trace(trace.str().c_str());
        out.reason = rl::test_result_str(params.test_result);
    }
    return out;
}

inline bool program::run_tests(const options& wish, report& out) const {
    bool all_ok = true;
    for (const entry& which : entries_) {
        if (!is_wished(which, wish)) {
            continue;
        }
        const verdict result = execute(which, wish);
        const bool must_fail = which.wanted.expected == expectation::caught;
        const bool ok = result.failed == must_fail;
        all_ok = all_ok && ok;
        const double rate = double(result.executions) / std::max(result.seconds, 1e-6);
        const std::string replay = fmt::format("{} --test {} --replay {}", name_, which.wanted.name, result.executions);
        std::string outcome = "no execution failed";
        if (result.failed) {
            outcome = fmt::format("{} in execution {}", result.reason, result.executions);
        }
        fmt::print("{:6} {:<44} {:<14} {:>10} executions {:>7.2f} s {:>9.0f}/s  {}\n", ok ? "ok" : "FAILED",
                   which.wanted.name, to_string(which.wanted.mode), result.executions, result.seconds, rate, outcome);
        if (!ok) {
            fmt::print("\n{}\n", which.wanted.what);
            if (must_fail) {
                fmt::print("This test is there to be caught, and was not: the check has lost its teeth.\n\n");
            } else {
                fmt::print("{}\nreplay: {}\n\n", result.picture, replay);
            }
        }
        std::fflush(stdout);

        scenario_result scenario;
        scenario.name = fmt::format("{}/{}", name_, which.wanted.name);
        scenario.engine = "model";
        scenario.ok = ok;
        scenario.seconds = result.seconds;
        scenario.summary = which.wanted.what;
        scenario.figures = {{"executions", double(result.executions), ""}, {"rate", rate, "executions/s"}};
        scenario.checks = {{must_fail ? "the planted bug is caught" : "no execution fails", ok, outcome}};
        scenario.notes = {fmt::format("barriers: {}; search: {}", to_string(which.wanted.mode), wish.search)};
        if (!ok) {
            scenario.failure = failure_text{must_fail ? "nothing was caught" : result.reason, result.picture, replay};
        }
        out.scenarios.push_back(std::move(scenario));
    }
    return all_ok;
}

// "core/domain.ipp:pin.publish"
inline mutation program::find_mutation(const std::string& file_and_tag) {
    const std::size_t colon = file_and_tag.rfind(':');
    if (colon != std::string::npos) {
        const std::string file = file_and_tag.substr(0, colon);
        for (const source_tag& tag : tags_of(std::filesystem::path(EPOQUE_INCLUDE_DIR) / "epoque" / file)) {
            if (tag.name == file_and_tag.substr(colon + 1)) {
                return {file, tag.first, tag.last};
            }
        }
    }
    throw CLI::ValidationError("--weaken", file_and_tag + " names no tag: write a header below include/epoque, a colon "
                                                          "and a tag, for example domain.hpp:pin.publish");
}

inline bool program::run_mutants(const options& wish, report& out) const {
    scenario_result scenario;
    scenario.name = fmt::format("{}/mutants of {}", name_, wish.mutants);
    scenario.engine = "model";
    scenario.summary = "Every ordered atomic operation loses its order in turn; some test must notice.";
    const auto tags = tags_of(std::filesystem::path(EPOQUE_INCLUDE_DIR) / "epoque" / wish.mutants);
    if (tags.empty()) {
        fmt::print("no tags in include/epoque/{}: name a header that has atomic operations\n", wish.mutants);
        return false;
    }
    for (const source_tag& tag : tags) {
        if (tag.order == "relaxed") {
            continue;
        }
        model::chosen().planted = {wish.mutants, tag.first, tag.last};
        std::string killer;
        double seconds = 0;
        for (const entry& which : entries_) {
            if (!is_wished(which, wish) || which.wanted.expected != expectation::clean) {
                continue;
            }
            const verdict result = execute(which, wish);
            seconds += result.seconds;
            if (result.failed) {
                killer = fmt::format("{} ({}), execution {}", which.wanted.name, result.reason, result.executions);
                break;
            }
        }
        model::chosen().planted = {};
        fmt::print("{:<9} {:<28} {:<8} {:>7.2f} s  {}\n", killer.empty() ? "SURVIVED" : "killed", tag.name, tag.order,
                   seconds, killer);
        std::fflush(stdout);
        scenario.seconds += seconds;
        scenario.checks.push_back({tag.name, !killer.empty(), killer.empty() ? "no test noticed" : killer});
        scenario.ok = scenario.ok && !killer.empty();
    }
    const bool ok = scenario.ok;
    out.scenarios.push_back(std::move(scenario));
    return ok;
}

inline int program::run(int argc, char** argv) {
    options wish;
    bool list = false;
    CLI::App app{"Model-checks epoque's headers under Relacy.", name_};
    app.add_flag("--list", list, "print the tests and leave");
    app.add_option("--test", wish.tests, "run only these");
    app.add_option("--scale", wish.scale, "multiply the number of executions")
        ->envname("EPOQUE_MODEL_SCALE")
        ->check(CLI::PositiveNumber);
    app.add_option("--search", wish.search, "random, bound or full")->check(CLI::IsMember({"random", "bound", "full"}));
    app.add_option("--bound", wish.bound, "preemptions for --search bound");
    app.add_option("--replay", wish.replay, "run only the execution of this number (random search)");
    app.add_option("--weaken", wish.weaken, "HEADER:TAG loses its memory order");
    app.add_option("--mutants", wish.mutants, "weaken every tag of this header in turn; each must be noticed");
    app.add_option("--json", wish.json, "write a report");
    try {
        app.parse(argc, argv);
        if (!wish.weaken.empty()) {
            model::chosen().planted = find_mutation(wish.weaken);
        }
    } catch (const CLI::ParseError& error) {
        return app.exit(error);
    }
    for (const std::string& name : wish.tests) {
        if (std::ranges::none_of(entries_, [&](const entry& each) { return each.wanted.name == name; })) {
            fmt::print(stderr, "{}: no test is named {}; see --list\n", name_, name);
            return 2;
        }
    }
    if (list) {
        for (const entry& each : entries_) {
            fmt::print("{:<44} {}\n", each.wanted.name, each.wanted.what);
        }
        return 0;
    }
    report out = begin_report(name_, 0, argc, argv);
    const bool ok = wish.mutants.empty() ? run_tests(wish, out) : run_mutants(wish, out);
    finish_report(out);
    if (!wish.json.empty()) {
        write_json(out, wish.json);
    }
    return ok ? 0 : 1;
}

} // namespace epoque::stress::model
