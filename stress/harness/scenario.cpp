// SPDX-License-Identifier: BSL-1.0
#include "scenario.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>

namespace epoque::stress {
namespace {

using clock = std::chrono::steady_clock;

std::string bytes_text(std::uint64_t bytes) {
    if (bytes < 10'000) {
        return fmt::format("{} B", bytes);
    }
    return bytes < 10'000'000 ? fmt::format("{:.0f} KiB", double(bytes) / 1024)
                              : fmt::format("{:.0f} MiB", double(bytes) / (1024 * 1024));
}

/// Looks at a running scenario ten times a second: collects what the plots need, and says how far it is.
class observer {
  public:
    observer(scenario_run& run, const scenario& what, progress_style style)
        : run_(run), what_(what), style_(style), thread_([this](const std::stop_token& stop) { watch(stop); }) {}
    ~observer() { // also wakes it
        thread_.request_stop();
        thread_.join();
        if (style_ == progress_style::terminal) {
            fmt::print(stderr, "\r\x1b[K");
        }
        run_.result.plots.push_back({"operations", "M/s", std::move(rates_)});
        run_.result.plots.push_back({"garbage", "KiB", std::move(garbage_)});
    }
    observer(const observer&) = delete;
    observer& operator=(const observer&) = delete;

    std::uint64_t peak_garbage() const noexcept { return peak_.load(); }

  private:
    void watch(const std::stop_token& stop) {
        const auto begun = clock::now();
        auto last = begun;
        auto next_line = begun + line_period();
        std::uint64_t done = 0;
        std::mutex mutex;
        std::condition_variable_any wake;
        while (!stop.stop_requested()) {
            {
                std::unique_lock lock(mutex);
                wake.wait_for(lock, stop, std::chrono::milliseconds(100), [] { return false; });
            }
            const auto now = clock::now();
            const double period = std::chrono::duration<double>(now - last).count();
            if (period < 0.05) {
                continue;
            }
            last = now;
            const std::uint64_t total = run_.operations.load(std::memory_order_relaxed);
            const std::uint64_t waiting = run_.garbage.load(std::memory_order_relaxed);
            peak_.store(std::max(peak_.load(), waiting));
            const double rate = double(total - std::exchange(done, total)) / period / 1e6;
            const double second = std::chrono::duration<double>(now - begun).count();
            add(rates_, second, rate);
            add(garbage_, second, double(waiting) / 1024);
            if (now >= next_line) {
                next_line = now + line_period();
                say(rate, waiting);
            }
        }
    }

    // A plot needs no more than a few hundred points: beyond that, neighbours are joined and the spacing doubles.
    static void add(std::vector<std::pair<double, double>>& points, double second, double value) {
        points.emplace_back(second, value);
        if (points.size() < 600) {
            return;
        }
        for (std::size_t i = 0; i < points.size() / 2; ++i) {
            points[i] = {points[2 * i].first, (points[2 * i].second + points[2 * i + 1].second) / 2};
        }
        points.resize(points.size() / 2);
    }

    std::chrono::milliseconds line_period() const {
        return style_ == progress_style::terminal ? std::chrono::milliseconds(1000) : std::chrono::milliseconds(15'000);
    }
    void say(double rate, std::uint64_t waiting) const {
        if (style_ == progress_style::silent) {
            return;
        }
        const bool tty = style_ == progress_style::terminal;
        fmt::print(stderr, "{}{:<22} {:<28} {:7.2f} M ops/s  garbage {:>9}  {:4.0f} s left{}", tty ? "\r\x1b[K" : "",
                   what_.name, run_.phase(), rate, bytes_text(waiting), run_.seconds_left(), tty ? "" : "\n");
        std::fflush(stderr);
    }

    scenario_run& run_;
    const scenario& what_;
    progress_style style_;
    std::vector<std::pair<double, double>> rates_;
    std::vector<std::pair<double, double>> garbage_;
    std::atomic<std::uint64_t> peak_{0};
    std::jthread thread_;
};

} // namespace

std::vector<scenario>& scenarios() {
    static std::vector<scenario> all;
    return all;
}

void scenario_run::fail(std::string clause, std::string text, std::uint64_t seed) {
    const std::lock_guard lock(mutex_);
    if (!result.failure) {
        result.ok = false;
        result.failure = failure_text{std::move(clause), std::move(text),
                                      fmt::format("epoque-stress --scenario {} --threads {} --replay {:#x}",
                                                  result.name, options_.threads, seed)};
    }
}

void run_scenarios(const std::vector<scenario>& chosen, const stress_options& options, progress_style style,
                   report& out) {
    for (std::size_t i = 0; i < chosen.size(); ++i) {
        const scenario& each = chosen[i];
        const double share = options.seconds / double(chosen.size());
        scenario_run run(options, share);
        run.result.name = each.name;
        run.result.engine = each.engine;
        run.result.summary = each.summary;
        const auto begun = clock::now();
        {
            const observer watching(run, each, style);
            each.run(run);
            run.result.figures.push_back({"most garbage seen", double(watching.peak_garbage()) / 1024, "KiB"});
        }
        run.result.seconds = std::chrono::duration<double>(clock::now() - begun).count();
        const scenario_result& result = run.result;
        fmt::print("{:6} {:<22} {:6.1f} s ", result.ok ? "ok" : "FAILED", each.name, result.seconds);
        for (const figure& shown : result.figures) {
            fmt::print(" {}: {:.{}f} {}", shown.name, shown.value, shown.value < 100 ? 2 : 0, shown.unit);
            fmt::print("{}", &shown == &result.figures.back() ? "\n" : ";");
        }
        for (const check& broken : result.checks) {
            if (!broken.ok) {
                fmt::print("       not so: {} ({})\n", broken.name, broken.detail);
            }
        }
        if (result.failure) {
            fmt::print("\n{}\n{}\nreplay: {}\n\n", result.failure->clause, result.failure->history,
                       result.failure->replay);
        }
        std::fflush(stdout);
        out.scenarios.push_back(result);
    }
}

} // namespace epoque::stress
