// SPDX-License-Identifier: BSL-1.0
#include "columns.hpp"
#include "linearizability.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>

namespace epoque::stress {
namespace {

/// What leaves a history together: all operations on one value, or one other operation.
std::vector<std::vector<event>> units_of(const history& events) {
    std::vector<std::vector<event>> units;
    std::map<std::uint64_t, std::size_t> of_value;
    for (const event& each : events) {
        const bool has_value =
            each.op != operation::close && (each.op == operation::push || each.got == answer::success);
        if (has_value) {
            const auto [place, is_new] = of_value.emplace(each.value, units.size());
            if (!is_new) {
                units[place->second].push_back(each);
                continue;
            }
        }
        units.push_back({each});
    }
    return units;
}

history joined(const std::vector<std::vector<event>>& units) {
    history out;
    for (const auto& unit : units) {
        out.insert(out.end(), unit.begin(), unit.end());
    }
    std::ranges::stable_sort(out, {}, &event::call);
    return out;
}

std::string call_text(const event& each) {
    switch (each.op) {
    case operation::push:
        return fmt::format("push({})", each.value);
    case operation::pop:
        return each.batch == 0 ? "try_pop()" : "pop_all()";
    case operation::close:
        return "close()";
    case operation::steal:
        return "try_steal()";
    }
    return {};
}

std::string return_text(const event& each) {
    switch (each.got) {
    case answer::success:
        return each.op == operation::pop || each.op == operation::steal ? fmt::format("  -> {}", each.value)
                                                                        : "  -> done";
    case answer::empty:
        return "  -> empty";
    case answer::closed:
        return "  -> closed";
    case answer::full:
        return "  -> full";
    case answer::pending:
        return {};
    }
    return {};
}

} // namespace

history shrink(const history& events, const monitor& check) {
    const auto found = check(events);
    if (!found) {
        return events;
    }
    // With fewer values a `full` would become impossible, so a history with them is thinned out only where it is wrong
    // without them, too.
    history rest;
    std::ranges::copy_if(events, std::back_inserter(rest), [](const event& each) { return each.got != answer::full; });
    if (rest.size() != events.size()) {
        return check(rest) ? shrink(rest, check) : events;
    }
    // Most often the culprits alone are enough; then only they have to be thinned out.
    history culprits;
    for (const std::size_t index : found->culprits) {
        culprits.push_back(events[index]);
    }
    auto units = units_of(check(culprits) ? culprits : events);
    for (std::size_t chunk = std::max<std::size_t>(units.size() / 2, 1); chunk != 0;) {
        bool removed = false;
        for (std::size_t from = 0; from < units.size() && units.size() > 1;) {
            auto fewer = units;
            const auto first = fewer.begin() + static_cast<std::ptrdiff_t>(from);
            fewer.erase(first, first + static_cast<std::ptrdiff_t>(std::min(chunk, fewer.size() - from)));
            if (!fewer.empty() && check(joined(fewer))) {
                units = std::move(fewer);
                removed = true;
            } else {
                from += chunk;
            }
        }
        if (!removed) {
            chunk /= 2;
        }
    }
    return joined(units);
}

std::string draw_history(const history& events) {
    struct edge {
        stamp when;
        bool is_return;
        std::size_t index;
    };
    std::vector<edge> edges;
    std::vector<std::uint32_t> threads;
    for (std::size_t i = 0; i < events.size(); ++i) {
        edges.push_back({events[i].call, false, i});
        if (events[i].got != answer::pending) {
            edges.push_back({events[i].ret, true, i});
        }
        if (std::ranges::find(threads, events[i].thread) == threads.end()) {
            threads.push_back(events[i].thread);
        }
    }
    std::ranges::sort(threads);
    // At equal stamps calls come first: closed intervals overlap there.
    std::ranges::stable_sort(edges, {}, [](const edge& each) { return std::pair(each.when, each.is_return); });
    std::vector<cell> cells;
    for (const edge& each : edges) {
        const event& shown = events[each.index];
        const auto column = static_cast<std::size_t>(std::ranges::find(threads, shown.thread) - threads.begin());
        cells.push_back({column, each.is_return ? return_text(shown) : call_text(shown)});
    }
    return draw_columns(cells, threads.size(), 20);
}

std::string explain(const history& events, const monitor& check) {
    const history smallest = shrink(events, check);
    const auto wrong = check(smallest);
    return fmt::format("{}violated: {}.\n", draw_history(smallest), wrong ? wrong->clause : "nothing");
}

} // namespace epoque::stress
