// SPDX-License-Identifier: BSL-1.0
/// @file
/// epoque-stress: runs the scenarios of all homes, and joins reports.
#include "harness/report.hpp"
#include "harness/scenario.hpp"

#include "epoque/base/barrier.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <ranges>

#include <unistd.h>

namespace {

using namespace epoque::stress;

struct wishes {
    stress_options stress;
    std::vector<std::string> names;
    std::string json;
    std::string html;
    std::string progress = "auto";
    std::string replay;
    std::string seed;
    bool list = false;
};

struct merge_wishes {
    std::vector<std::string> files;
    std::string json;
    std::string html;
};

void write(const report& finished, const std::string& json, const std::string& html) {
    if (!json.empty()) {
        write_json(finished, json);
    }
    if (!html.empty()) {
        write_html(finished, html);
        fmt::print("report: {}\n", html);
    }
}

progress_style style_of(const std::string& wish) {
    if (wish == "auto") {
        return ::isatty(STDERR_FILENO) != 0 ? progress_style::terminal : progress_style::log;
    }
    return wish == "tty" ? progress_style::terminal : progress_style::log;
}

std::vector<scenario> choose(const std::vector<std::string>& names) {
    std::vector<scenario> known = scenarios();
    std::ranges::sort(known, {}, &scenario::name);
    if (names.empty()) {
        return known;
    }
    std::vector<scenario> chosen;
    for (const std::string& name : names) {
        const auto found = std::ranges::find(known, name, &scenario::name);
        if (found == known.end()) {
            throw CLI::ValidationError("--scenario", fmt::format("no scenario is named {}; see --list", name));
        }
        chosen.push_back(*found);
    }
    return chosen;
}

int stress(wishes& wish, int argc, char** argv) {
    const std::vector<scenario> chosen = choose(wish.names);
    if (wish.list) {
        for (const scenario& each : chosen) {
            fmt::print("{:<22} {:<9} {}\n", each.name, each.engine, each.summary);
        }
        return 0;
    }
    wish.stress.seed = wish.seed.empty() ? std::random_device()() : std::stoull(wish.seed, nullptr, 0);
    if (!wish.replay.empty()) {
        wish.stress.seed = std::stoull(wish.replay, nullptr, 0);
        wish.stress.replay = true;
    }
    report out = begin_report("epoque-stress", wish.stress.seed, argc, argv);
    out.machine.asymmetric_barrier = epoque::barrier::asymmetric();
    fmt::print("epoque-stress: {} scenarios, {} threads, {:.0f} s, seed {:#x}, barriers {}\n", chosen.size(),
               wish.stress.threads, wish.stress.seconds, wish.stress.seed,
               out.machine.asymmetric_barrier ? "by membarrier" : "in fallback mode");
    run_scenarios(chosen, wish.stress, style_of(wish.progress), out);
    finish_report(out);
    write(out, wish.json, wish.html);
    fmt::print("verdict: {}\n", out.ok() ? "OK" : "FAILED");
    return out.ok() ? 0 : 1;
}

int join(const merge_wishes& wish) {
    std::vector<report> parts;
    for (const std::string& file : wish.files) {
        parts.push_back(read_json(file));
    }
    const report all = merge(parts);
    write(all, wish.json, wish.html);
    fmt::print("verdict: {} ({} reports, {} scenarios)\n", all.ok() ? "OK" : "FAILED", parts.size(),
               all.scenarios.size());
    return all.ok() ? 0 : 1;
}

} // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): out of memory, or a defect: its message is the best end
int main(int argc, char** argv) {
    const CLI::Validator number(
        [](std::string& text) {
            std::size_t used = 0;
            try {
                std::stoull(text, &used, 0);
            } catch (const std::exception&) {
                used = 0;
            }
            return used == text.size() && !text.starts_with('-') ? std::string() : text + " is not a number (12, 0x2f)";
        },
        "NUMBER");
    wishes wish;
    CLI::App app{"Stresses epoque on real threads and under a deterministic scheduler, and says whether it held.",
                 "epoque-stress"};
    app.add_option("--seconds", wish.stress.seconds, "for all scenarios together")->check(CLI::PositiveNumber);
    app.add_option("--threads", wish.stress.threads, "of each scenario")->check(CLI::Range(1U, 64U));
    app.add_option("--seed", wish.seed, "of all that is random; otherwise a new one each time")->check(number);
    app.add_option("--scenario", wish.names, "only these");
    app.add_flag("--list", wish.list, "print the scenarios and leave");
    app.add_option("--json", wish.json, "write the report");
    app.add_option("--html", wish.html, "write the report as a page");
    app.add_option("--progress", wish.progress, "a line a second (tty) or every 15 s (log)")
        ->check(CLI::IsMember({"auto", "tty", "log"}));
    app.add_option("--replay", wish.replay, "repeat the round of this seed, as a failure printed it")->check(number);
    merge_wishes join_wish;
    CLI::App* joining = app.add_subcommand("merge", "join the reports of several runs");
    joining->add_option("files", join_wish.files, "reports (JSON)")->required();
    joining->add_option("--json", join_wish.json, "write the joined report");
    joining->add_option("--html", join_wish.html, "write it as a page");
    try {
        app.parse(argc, argv);
        return joining->parsed() ? join(join_wish) : stress(wish, argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error);
    } catch (const std::exception& error) {
        fmt::print(stderr, "epoque-stress: {}\n", error.what());
        return 2;
    }
}
