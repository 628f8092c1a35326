// SPDX-License-Identifier: BSL-1.0
#include "columns.hpp"

#include "source_tags.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

namespace epoque::stress {
namespace {

std::string fitted(std::string_view text, std::size_t width) {
    if (text.size() <= width) {
        return fmt::format("{:<{}}", text, width);
    }
    return fmt::format("{}~", text.substr(0, width - 1));
}

template <class Number>
bool read_number(std::string_view text, Number& number) {
    return std::from_chars(text.data(), text.data() + text.size(), number).ec == std::errc();
}

void replace_first(std::string& text, std::string_view what, std::string_view by) {
    if (const std::size_t at = text.find(what); at != std::string::npos) {
        text.replace(at, what.size(), by);
    }
}

class relacy_line {
  public:
    // "[17] 1: <0x5583> atomic load, value=3 [NOT CURRENT], order=acquire, in , include/epoque/domain.hpp(211)"
    static std::optional<relacy_line> parse(std::string_view line) {
        relacy_line out;
        const std::size_t colon = line.find(": ");
        const std::size_t space = line.find("] ");
        const std::size_t in = line.rfind(", in ");
        if (line.empty() || line[0] != '[' || colon == line.npos || space == line.npos || space > colon ||
            in == line.npos || !read_number(line.substr(space + 2), out.thread_)) {
            return std::nullopt;
        }
        out.event_ = std::string(line.substr(colon + 2, in - colon - 2));
        std::string_view where = line.substr(in + 5);
        const std::size_t comma = where.find(", ");
        const std::size_t open = where.rfind('(');
        if (comma == where.npos || open == where.npos || open < comma) {
            return std::nullopt;
        }
        out.function_ = std::string(where.substr(0, comma));
        out.file_ = std::string(where.substr(comma + 2, open - comma - 2));
        read_number(where.substr(open + 1), out.line_);
        return out;
    }

    // A canary's access, a construction, or one of Relacy's own marks such as "[CTOR BEGIN]"; verdicts are neither.
    bool is_noise() const {
        return thread_ < 0 || (is_lifetime() && event_.starts_with('<')) ||
               (file_.find("relacy/") != std::string::npos && event_.starts_with('['));
    }
    bool is_verdict() const { return !event_.starts_with('<') && !event_.starts_with('['); }
    bool thread_known() const { return thread_ >= 0; }
    std::size_t thread() const { return static_cast<std::size_t>(thread_); }

    std::string text(std::map<std::string, std::size_t>& names) const {
        std::string event = event_;
        if (!event.empty() && event[0] == '<') {
            const std::size_t end = event.find('>');
            const std::string address = event.substr(1, end - 1);
            const std::size_t number = names.emplace(address, names.size() + 1).first->second;
            event = fmt::format("#{}{}", number, event.substr(end + 1));
        }
        replace_first(event, " atomic", "");
        replace_first(event, ", value=", " ");
        replace_first(event, ", order=", " ");
        replace_first(event, ", (prev value=", " (was ");
        replace_first(event, "[NOT CURRENT]", "(stale)");
        const std::string where = line_ == 0 ? (function_.empty() ? file_ : function_) : describe_line(file_, line_);
        return where.empty() ? event : fmt::format("{} {}", where, event);
    }

  private:
    bool is_lifetime() const { return function_ == "lifetime" || file_ == "lifetime"; }

    int thread_ = -1;
    std::string event_;
    std::string function_;
    std::string file_;
    unsigned line_ = 0;
};

} // namespace

std::string draw_columns(const std::vector<cell>& cells, std::size_t threads, std::size_t width) {
    std::string out = " step";
    for (std::size_t thread = 0; thread < threads; ++thread) {
        out += fmt::format(" | {}", fitted(fmt::format("thread {}", thread + 1), width));
    }
    out += '\n';
    for (std::size_t step = 0; step < cells.size(); ++step) {
        out += fmt::format("{:5}", step + 1);
        for (std::size_t thread = 0; thread < threads; ++thread) {
            out += fmt::format(" | {}", fitted(cells[step].thread == thread ? cells[step].text : "", width));
        }
        while (out.back() == ' ') {
            out.pop_back();
        }
        out += '\n';
    }
    return out;
}

std::string draw_relacy_trace(std::string_view trace) {
    std::vector<cell> cells;
    std::map<std::string, std::size_t> names;
    std::string head;
    std::size_t threads = 1;
    bool in_history = false;
    std::optional<relacy_line> last_noise;
    while (!trace.empty()) {
        const std::size_t end = trace.find('\n');
        const std::string_view line = trace.substr(0, end);
        trace.remove_prefix(end == trace.npos ? trace.size() : end + 1);
        if (line.starts_with("thread 0:")) {
            break; // Relacy repeats the history by thread
        }
        if (line.starts_with("execution history")) {
            in_history = true;
            continue;
        }
        auto parsed = in_history ? relacy_line::parse(line) : std::nullopt;
        if (!parsed) {
            head += line.empty() || in_history ? "" : fmt::format("{}\n", line);
            continue;
        }
        if (parsed->is_noise()) {
            if (parsed->thread_known()) {
                last_noise = std::move(parsed);
            }
            continue;
        }
        if (parsed->is_verdict() && last_noise) { // what the canary saw is the reason
            cells.push_back({last_noise->thread(), last_noise->text(names)});
        }
        last_noise.reset();
        threads = std::max(threads, parsed->thread() + 1);
        cells.push_back({parsed->thread(), parsed->text(names)});
    }
    return head + draw_columns(cells, threads, 56);
}

} // namespace epoque::stress
