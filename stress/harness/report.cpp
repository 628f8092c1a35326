// SPDX-License-Identifier: BSL-1.0
#include "report.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <sys/utsname.h>

#include <algorithm>
#include <fstream>
#include <stdexcept>
#include <thread>

namespace epoque::stress {
namespace {

using nlohmann::json;

constexpr const char* format_name = "epoque-stress/1";

std::string cpu_name() {
    std::ifstream info("/proc/cpuinfo");
    std::string line;
    while (std::getline(info, line)) {
        if (line.starts_with("model name")) {
            const std::size_t colon = line.find(": ");
            return colon == line.npos ? line : line.substr(colon + 2);
        }
    }
    return "unknown";
}

std::string kernel_name() {
    utsname name{};
    return uname(&name) == 0 ? fmt::format("{} {}", name.sysname, name.release) : "unknown";
}

const char* verdict_word(bool ok) {
    return ok ? "ok" : "failed";
}

// ---- to JSON ---------------------------------------------------------------------------------------------------------

json to_json(const scenario_result& scenario) {
    json out{{"name", scenario.name},       {"engine", scenario.engine},   {"verdict", verdict_word(scenario.ok)},
             {"seconds", scenario.seconds}, {"summary", scenario.summary}, {"notes", scenario.notes}};
    out["figures"] = json::array();
    for (const figure& each : scenario.figures) {
        out["figures"].push_back({{"name", each.name}, {"value", each.value}, {"unit", each.unit}});
    }
    out["checks"] = json::array();
    for (const check& each : scenario.checks) {
        out["checks"].push_back({{"name", each.name}, {"ok", each.ok}, {"detail", each.detail}});
    }
    for (const outcome& each : scenario.outcomes) {
        out["outcomes"].push_back(
            {{"outcome", each.what}, {"samples", each.samples}, {"grade", each.grade}, {"note", each.note}});
    }
    for (const series& each : scenario.plots) {
        json points = json::array();
        for (const auto& [second, value] : each.points) {
            points.push_back({second, value});
        }
        out["series"].push_back({{"name", each.name}, {"unit", each.unit}, {"points", std::move(points)}});
    }
    if (scenario.failure) {
        out["failure"] = {{"clause", scenario.failure->clause},
                          {"history", scenario.failure->history},
                          {"replay", scenario.failure->replay}};
    }
    return out;
}

json to_json(const report& all) {
    json out{{"format", format_name},
             {"program", all.program},
             {"verdict", verdict_word(all.ok())},
             {"seed", all.seed},
             {"started", all.started},
             {"seconds", all.seconds},
             {"command", all.command},
             {"machine",
              {{"cpu", all.machine.cpu},
               {"cores", all.machine.cores},
               {"kernel", all.machine.kernel},
               {"compiler", all.machine.compiler},
               {"go", all.machine.go},
               {"asymmetric_barrier", all.machine.asymmetric_barrier}}}};
    out["scenarios"] = json::array();
    for (const scenario_result& each : all.scenarios) {
        out["scenarios"].push_back(to_json(each));
    }
    return out;
}

// ---- from JSON -------------------------------------------------------------------------------------------------------

std::string text(const json& from, const char* key) {
    return from.value(key, std::string());
}

// Absent and null mean the same: Go writes null for an empty slice.
const json& list(const json& from, const char* key) {
    static const json nothing = json::array();
    const auto found = from.find(key);
    return found == from.end() || found->is_null() ? nothing : *found;
}

scenario_result scenario_from(const json& from) {
    scenario_result out;
    out.name = text(from, "name");
    out.engine = text(from, "engine");
    out.ok = text(from, "verdict") == "ok";
    out.seconds = from.value("seconds", 0.0);
    out.summary = text(from, "summary");
    for (const json& each : list(from, "figures")) {
        out.figures.push_back({text(each, "name"), each.value("value", 0.0), text(each, "unit")});
    }
    for (const json& each : list(from, "checks")) {
        out.checks.push_back({text(each, "name"), each.value("ok", false), text(each, "detail")});
    }
    for (const json& each : list(from, "outcomes")) {
        out.outcomes.push_back(
            {text(each, "outcome"), each.value("samples", 0.0), text(each, "grade"), text(each, "note")});
    }
    for (const json& each : list(from, "series")) {
        series line{text(each, "name"), text(each, "unit"), {}};
        for (const json& point : list(each, "points")) {
            line.points.emplace_back(point.at(0).get<double>(), point.at(1).get<double>());
        }
        out.plots.push_back(std::move(line));
    }
    for (const json& each : list(from, "notes")) {
        out.notes.push_back(each.get<std::string>());
    }
    if (const auto failure = from.find("failure"); failure != from.end() && failure->is_object()) {
        out.failure = failure_text{text(*failure, "clause"), text(*failure, "history"), text(*failure, "replay")};
    }
    return out;
}

report report_from(const json& from) {
    if (const std::string format = text(from, "format"); format != format_name) {
        throw std::runtime_error(fmt::format("its format is \"{}\", not \"{}\"", format, format_name));
    }
    report out;
    out.program = text(from, "program");
    out.seed = from.value("seed", 0ULL);
    out.started = text(from, "started");
    out.seconds = from.value("seconds", 0.0);
    for (const json& each : list(from, "command")) {
        out.command.push_back(each.get<std::string>());
    }
    const json machine = from.value("machine", json::object());
    out.machine = {text(machine, "cpu"),      machine.value("cores", 0U), text(machine, "kernel"),
                   text(machine, "compiler"), text(machine, "go"),        machine.value("asymmetric_barrier", false)};
    for (const json& each : list(from, "scenarios")) {
        out.scenarios.push_back(scenario_from(each));
    }
    return out;
}

void write_text(const std::string& content, const std::filesystem::path& file) {
    std::ofstream out(file, std::ios::binary);
    out << content;
    out.close();
    if (!out) {
        throw std::runtime_error(
            fmt::format("{}: cannot be written; does the folder exist, and is there room?", file.string()));
    }
}

} // namespace

bool report::ok() const {
    return std::ranges::all_of(scenarios, [](const scenario_result& each) { return each.ok; });
}

report begin_report(std::string program, unsigned long long seed, int argc, char** argv) {
    report out;
    out.program = std::move(program);
    out.seed = seed;
    out.started = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
    out.command.assign(argv, argv + argc);
#ifdef __clang__
    const char* compiler = "clang " __clang_version__;
#else
    const char* compiler = "gcc " __VERSION__;
#endif
    out.machine = {cpu_name(), std::thread::hardware_concurrency(), kernel_name(), compiler, "", false};
    out.begun = std::chrono::steady_clock::now();
    return out;
}

void finish_report(report& unfinished) {
    unfinished.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - unfinished.begun).count();
}

void write_json(const report& finished, const std::filesystem::path& file) {
    write_text(to_json(finished).dump(1) + '\n', file);
}

report read_json(const std::filesystem::path& file) {
    std::ifstream in(file);
    if (!in) {
        throw std::runtime_error(fmt::format("{}: cannot be read", file.string()));
    }
    try {
        return report_from(json::parse(in));
    } catch (const std::exception& error) {
        throw std::runtime_error(fmt::format("{}: is not a report of epoque-stress ({})", file.string(), error.what()));
    }
}

report merge(const std::vector<report>& parts) {
    report out = parts.at(0);
    for (std::size_t i = 1; i < parts.size(); ++i) {
        const report& part = parts[i];
        if (out.program.find(part.program) == std::string::npos) {
            out.program += " + " + part.program;
        }
        out.started = std::min(out.started, part.started);
        out.seconds += part.seconds;
        out.command.emplace_back("+");
        out.command.insert(out.command.end(), part.command.begin(), part.command.end());
        if (out.machine.go.empty()) {
            out.machine.go = part.machine.go;
        }
        out.machine.asymmetric_barrier = out.machine.asymmetric_barrier || part.machine.asymmetric_barrier;
        out.scenarios.insert(out.scenarios.end(), part.scenarios.begin(), part.scenarios.end());
    }
    return out;
}

void write_html(const report& finished, const std::filesystem::path& file) {
    write_text(to_html(finished), file);
}

} // namespace epoque::stress
