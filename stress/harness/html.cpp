// SPDX-License-Identifier: BSL-1.0
//
// The report as one page: no script, no external resource. Colours are CSS variables with a light and a dark set; the
// plots are inline SVG that scales with the page.
#include "report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

namespace epoque::stress {
namespace {

constexpr const char* style = R"(
:root{color-scheme:light dark;--bg:#fbfbfa;--card:#fff;--text:#1c1d1f;--dim:#6b6f76;--line:#e3e4e6;--ok:#1a7f4b;--bad:#c22f2f;
--okbg:#e5f4ec;--badbg:#fbe9e9;--warn:#9a6700;--warnbg:#fff4d6;--p0:#2f6fde;--p1:#d9730d;--p2:#1a9b76;--p3:#9b51c9}
@media(prefers-color-scheme:dark){:root{--bg:#141518;--card:#1d1f23;--text:#e7e8ea;--dim:#9a9fa8;--line:#33363c;--ok:#5fd39b;
--bad:#ff8585;--okbg:#16352a;--badbg:#3d1f21;--warn:#f0c35a;--warnbg:#3a3018;--p0:#7aa8ff;--p1:#ffab5e;--p2:#5fd9b4;--p3:#cf9bf2}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1000px;margin:0 auto;padding:24px 16px 64px}
h1{font-size:24px;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:17px;margin:0;display:inline}
a{color:inherit}
.dim{color:var(--dim)}
.badge{display:inline-block;padding:1px 10px;border-radius:99px;font-size:13px;font-weight:600;background:var(--okbg);color:var(--ok);white-space:nowrap}
.badge.failed,.badge.forbidden{background:var(--badbg);color:var(--bad)}
.badge.interesting{background:var(--warnbg);color:var(--warn)}
.badge.engine{background:none;border:1px solid var(--line);color:var(--dim);font-weight:400}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:16px;margin:16px 0}
section.failed{border-color:var(--bad)}
.head{display:flex;flex-wrap:wrap;gap:6px 10px;align-items:center}
.head .dim{margin-left:auto}
.figures{display:flex;flex-wrap:wrap;gap:8px 28px;margin:12px 0}
.figures b{display:block;font-size:20px;font-variant-numeric:tabular-nums;font-weight:600}
.figures span{color:var(--dim);font-size:13px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;margin:8px 0}
td,th{text-align:left;padding:5px 10px 5px 0;border-top:1px solid var(--line);vertical-align:top}
th{font-weight:600;font-size:13px;color:var(--dim);border-top:0}
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.mark{font-weight:700;color:var(--ok);width:1.6em}
.mark.failed{color:var(--bad)}
pre{background:var(--bg);border:1px solid var(--line);border-radius:8px;padding:12px;overflow-x:auto;font:12.5px/1.45 ui-monospace,Menlo,Consolas,monospace;margin:8px 0}
svg{width:100%;height:auto;display:block;margin-top:8px}
svg text{fill:var(--dim);font:11px system-ui,sans-serif}
.grid{stroke:var(--line);stroke-width:1}
.curve{fill:none;stroke-width:1.8;stroke-linejoin:round}
.legend{display:flex;flex-wrap:wrap;gap:2px 18px;font-size:13px;color:var(--dim);margin-top:10px}
.legend i{display:inline-block;width:14px;height:3px;border-radius:2px;margin-right:6px;vertical-align:middle}
ul{margin:8px 0;padding-left:20px;color:var(--dim)}
)";

std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
        switch (c) {
        case '<':
            out += "&lt;";
            break;
        case '>':
            out += "&gt;";
            break;
        case '&':
            out += "&amp;";
            break;
        case '"':
            out += "&quot;";
            break;
        default:
            out += c;
        }
    }
    return out;
}

std::string number(double value) {
    const double size = std::fabs(value);
    if (size >= 1e15) {
        return fmt::format("{:.3g}", value);
    }
    std::string text = size >= 100 || value == std::floor(value) ? fmt::format("{:.0f}", value)
                       : size >= 1                               ? fmt::format("{:.2f}", value)
                                                                 : fmt::format("{:.3g}", value);
    // Thousands: 1234567 -> 1,234,567
    const std::size_t end = std::min(text.find_first_of(".e"), text.size());
    const std::size_t begin = text.starts_with('-') ? 1 : 0;
    for (std::size_t at = end; at > begin + 3; at -= 3) {
        text.insert(at - 3, 1, ',');
    }
    return text;
}

std::string duration(double seconds) {
    return seconds < 120 ? fmt::format("{:.1f} s", seconds) : fmt::format("{:.0f} min", seconds / 60);
}

const char* verdict(bool ok) {
    return ok ? "ok" : "failed";
}

std::string anchor(std::string_view name) {
    std::string out = "s-";
    for (const char c : name) {
        out += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '-';
    }
    return out;
}

// ---- plots -----------------------------------------------------------------------------------------------------------------

/// The next 1, 2 or 5 times a power of ten.
double round_up(double value) {
    const double power = std::pow(10, std::floor(std::log10(value)));
    for (const double step : {1.0, 2.0, 5.0}) {
        if (value <= step * power) {
            return step * power;
        }
    }
    return 10 * power;
}

/// All series of one unit over the same seconds.
std::string plot(const std::string& unit, const std::vector<const series*>& lines) {
    constexpr double width = 900;
    constexpr double height = 210;
    constexpr double left = 62;
    constexpr double right = 12;
    constexpr double top = 12;
    constexpr double bottom = 26;
    double last = 0;
    double most = 0;
    for (const series* line : lines) {
        for (const auto& [second, value] : line->points) {
            last = std::max(last, second);
            most = std::max(most, value);
        }
    }
    if (last <= 0) {
        return {};
    }
    const double step = round_up(most > 0 ? most / 4 : 0.25);
    const double ceiling = step * std::max(1.0, std::ceil(most / step));
    const auto x = [&](double second) { return left + (width - left - right) * second / last; };
    const auto y = [&](double value) { return height - bottom - (height - top - bottom) * value / ceiling; };

    std::string out = "<div class=\"legend\">";
    for (std::size_t i = 0; i < lines.size(); ++i) {
        out += fmt::format("<span><i style=\"background:var(--p{})\"></i>{}, {}</span>", i % 4, escaped(lines[i]->name),
                           escaped(unit));
    }
    out += fmt::format("</div><svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{} over time\">", width, height,
                       escaped(unit));
    for (double value = 0; value <= ceiling * 1.001; value += step) {
        out += fmt::format("<line class=\"grid\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>"
                           "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>",
                           left, y(value), width - right, y(value), left - 6, y(value) + 4, number(value));
    }
    const double tick = round_up(last / 6);
    for (double second = 0; second <= last; second += tick) {
        out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{} s</text>", x(second), height - 8,
                           number(second));
    }
    for (std::size_t i = 0; i < lines.size(); ++i) {
        out += fmt::format("<polyline class=\"curve\" style=\"stroke:var(--p{})\" points=\"", i % 4);
        for (const auto& [second, value] : lines[i]->points) {
            out += fmt::format("{:.1f},{:.1f} ", x(second), y(value));
        }
        out += "\"/>";
    }
    return out + "</svg>";
}

std::string plots(const scenario_result& of) {
    std::vector<std::pair<std::string, std::vector<const series*>>> by_unit;
    for (const series& each : of.plots) {
        const auto found = std::ranges::find(by_unit, each.unit, [](const auto& entry) { return entry.first; });
        if (found != by_unit.end()) {
            found->second.push_back(&each);
        } else {
            by_unit.push_back({each.unit, {&each}});
        }
    }
    std::string out;
    for (const auto& [unit, lines] : by_unit) {
        out += plot(unit, lines);
    }
    return out;
}

// ---- the page ----------------------------------------------------------------------------------------------------------------

std::string section(const scenario_result& of) {
    std::string out =
        fmt::format("<section id=\"{}\" class=\"{}\"><div class=\"head\"><h2>{}</h2><span class=\"badge {}\">{}"
                    "</span><span class=\"badge engine\">{}</span><span class=\"dim\">{}</span></div>",
                    anchor(of.name), verdict(of.ok), escaped(of.name), verdict(of.ok), verdict(of.ok),
                    escaped(of.engine), duration(of.seconds));
    out += fmt::format("<p>{}</p>", escaped(of.summary));
    if (of.failure) {
        out += fmt::format("<p><b>Violated:</b> {}</p><pre>{}</pre><pre>{}</pre>", escaped(of.failure->clause),
                           escaped(of.failure->history), escaped(of.failure->replay));
    }
    if (!of.figures.empty()) {
        out += "<div class=\"figures\">";
        for (const figure& each : of.figures) {
            out += fmt::format("<div><b>{}</b><span>{} {}</span></div>", number(each.value), escaped(each.unit),
                               escaped(each.unit.empty() ? each.name : fmt::format("· {}", each.name)));
        }
        out += "</div>";
    }
    if (!of.checks.empty()) {
        out += "<div class=\"scroll\"><table>";
        for (const check& each : of.checks) {
            out += fmt::format("<tr><td class=\"mark {}\">{}</td><td>{}</td><td class=\"dim\">{}</td></tr>",
                               verdict(each.ok), each.ok ? "✓" : "✗", escaped(each.name), escaped(each.detail));
        }
        out += "</table></div>";
    }
    if (!of.outcomes.empty()) {
        out += "<div class=\"scroll\"><table><tr><th>outcome</th><th>samples</th><th>grade</th><th></th></tr>";
        for (const outcome& each : of.outcomes) {
            out += fmt::format("<tr><td>{}</td><td class=\"n\">{}</td><td><span class=\"badge {}\">{}</span></td>"
                               "<td class=\"dim\">{}</td></tr>",
                               escaped(each.what), number(each.samples), escaped(each.grade), escaped(each.grade),
                               escaped(each.note));
        }
        out += "</table></div>";
    }
    out += plots(of);
    if (!of.notes.empty()) {
        out += "<ul>";
        for (const std::string& note : of.notes) {
            out += fmt::format("<li>{}</li>", escaped(note));
        }
        out += "</ul>";
    }
    return out + "</section>\n";
}

std::string overview(const report& all) {
    std::string out =
        "<section><div class=\"scroll\"><table><tr><th></th><th>scenario</th><th>engine</th><th>checks</th>"
        "<th>time</th></tr>";
    for (const scenario_result& each : all.scenarios) {
        const auto held = std::ranges::count_if(each.checks, &check::ok);
        out += fmt::format("<tr><td class=\"mark {}\">{}</td><td><a href=\"#{}\">{}</a></td><td class=\"dim\">{}</td>"
                           "<td>{} of {}</td><td class=\"n\">{}</td></tr>",
                           verdict(each.ok), each.ok ? "✓" : "✗", anchor(each.name), escaped(each.name),
                           escaped(each.engine), held, each.checks.size(), duration(each.seconds));
    }
    return out + "</table></div></section>\n";
}

std::string machine_text(const report& all) {
    const machine_facts& on = all.machine;
    std::string out = fmt::format("{}, {} cores, {}, {}", on.cpu, on.cores, on.kernel, on.compiler);
    if (!on.go.empty()) {
        out += fmt::format(", {}", on.go);
    }
    return out + (on.asymmetric_barrier ? ", barriers by membarrier" : ", barriers in fallback mode");
}

} // namespace

std::string to_html(const report& all) {
    std::string command;
    for (const std::string& word : all.command) {
        command += fmt::format("{}{}", command.empty() ? "" : " ", word);
    }
    std::string out = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
                      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                      "<link rel=\"icon\" href=\"data:,\">";
    out +=
        fmt::format("<title>epoque stress: {}</title><style>{}</style></head><body><main>", verdict(all.ok()), style);
    out += fmt::format(
        "<div class=\"head\"><h1>epoque stress</h1><span class=\"badge {}\">{}</span><span class=\"dim\">{}, {}"
        "</span></div>",
        verdict(all.ok()), verdict(all.ok()), escaped(all.started), duration(all.seconds));
    out += fmt::format("<p class=\"dim\">{}<br>{} · seed {:#x}</p><pre>{}</pre>\n", escaped(machine_text(all)),
                       escaped(all.program), all.seed, escaped(command));
    out += overview(all);
    for (const scenario_result& each : all.scenarios) {
        out += section(each);
    }
    return out + "</main></body></html>\n";
}

} // namespace epoque::stress
