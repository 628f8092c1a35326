// SPDX-License-Identifier: BSL-1.0
/// @file
/// The report of a stress run: what was run on which machine, what was checked, what was measured. Written as JSON
/// (format "epoque-stress/1", the same that epoque-stress-crosslang writes), joined with others, shown as one HTML page.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace epoque::stress {

struct figure {
    std::string name{};
    double value = 0;
    std::string unit{};
};

struct check {
    std::string name{};
    bool ok = false;
    std::string detail{};
};

/// As in jcstress: one observable result of a small test, and what we think of it.
struct outcome {
    std::string what{};
    double samples = 0;
    std::string grade{}; ///< "acceptable", "interesting" or "forbidden"
    std::string note{};
};

/// One line of a plot: (seconds, value).
struct series {
    std::string name{};
    std::string unit{};
    std::vector<std::pair<double, double>> points{};
};

struct failure_text {
    std::string clause{};
    std::string history{};
    std::string replay{};
};

struct scenario_result {
    std::string name{};
    std::string engine{}; ///< "threads", "model", "schedule" or "crosslang"
    bool ok = true;
    double seconds = 0;
    std::string summary{};
    std::vector<figure> figures{};
    std::vector<check> checks{};
    std::vector<outcome> outcomes{};
    std::vector<series> plots{};
    std::vector<std::string> notes{};
    std::optional<failure_text> failure{};

    /// Adds a check; a failed one fails the scenario.
    void expect(std::string what, bool holds, std::string detail = {}) {
        ok = ok && holds;
        checks.push_back({std::move(what), holds, std::move(detail)});
    }
};

struct machine_facts {
    std::string cpu{};
    unsigned cores = 0;
    std::string kernel{};
    std::string compiler{};
    std::string go{};
    bool asymmetric_barrier = false;
};

struct report {
    std::string program{};
    unsigned long long seed = 0;
    std::string started{}; ///< RFC 3339
    double seconds = 0;
    std::vector<std::string> command{};
    machine_facts machine{};
    std::vector<scenario_result> scenarios{};

    bool ok() const;

    std::chrono::steady_clock::time_point begun{};
};

/// A report that begins now on this machine.
report begin_report(std::string program, unsigned long long seed, int argc, char** argv);
void finish_report(report& unfinished);

/// Throws: std::runtime_error with a sentence that names the file.
void write_json(const report& finished, const std::filesystem::path& file);
report read_json(const std::filesystem::path& file);

/// One report of several: the scenarios in turn, failed if any failed, seconds summed.
report merge(const std::vector<report>& parts);

/// One self-contained page: no external resources, light and dark, readable on a phone.
std::string to_html(const report& finished);
void write_html(const report& finished, const std::filesystem::path& file);

} // namespace epoque::stress
