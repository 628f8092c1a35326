// SPDX-License-Identifier: BSL-1.0
//
// How the monitors work. A value lives from its push to its pop. It is *certainly inside* in the open interval
// (push.ret, pop.call), if that is not empty; a value that is never certainly inside can be pushed and popped at one
// moment and says nothing about others.
//
//   empty   The answer is possible exactly if some moment of its interval is in nobody's certain interval.
//   queue   Impossible exactly if for some a, b: a's push ended before b's began, and b's pop ended before a's began
//           (Henzinger, Sezgin, Vafeiadis, CONCUR 2013): sort by time, prefix maximum.
//   stack   Where certain intervals join to one component (L, R), the stack is never empty in it, so one value lies at
//           the bottom from L to R: pushed at L or before, popped at R or after. Any such value will do: whatever order
//           proves the history possible, moving its push to L and its pop to R keeps it a proof. Take the value out; the
//           rest of the component falls into smaller ones; again. Impossible exactly if a component has no bottom.
//   close   takes effect at the latest moment that `closed` answers and close's own return allow; an earlier one only
//           makes `empty` harder to explain and values certain for longer. Pushes end before it, `closed` answers begin
//           after it; so that this also holds between operations with equal stamps, moments are split in four.
#include "linearizability.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <numeric>
#include <stdexcept>

namespace epoque::stress {
namespace {

// A stamp is a moment in which operations may still follow each other: its first and its last quarter.
constexpr stamp first_quarter(stamp when) {
    return when == never ? never : 4 * when;
}
constexpr stamp last_quarter(stamp when) {
    return when == never ? never : 4 * when + 3;
}

/// One value's time in the container, in quarters, after close and pending calls have been taken into account.
struct life {
    stamp push_call = 0;
    stamp push_ret = 0;
    stamp pop_call = never;
    stamp pop_ret = never;
    std::size_t push = 0; // event indices
    std::optional<std::size_t> pop{};

    bool is_certain() const noexcept { return push_ret < pop_call; }
    void add_events(std::vector<std::size_t>& to) const {
        to.push_back(push);
        if (pop) {
            to.push_back(*pop);
        }
    }
};

/// A pop that found nothing.
struct emptiness {
    stamp call = 0;
    stamp ret = 0;
    std::size_t index = 0;
};

struct digest {
    std::vector<life> lives;
    std::vector<emptiness> empties;
};

std::optional<violation> impossible(std::string clause, std::vector<std::size_t> culprits) {
    return violation{std::move(clause), std::move(culprits)};
}

// ---- values, pending calls, close --------------------------------------------------------------------------------------

class digester {
  public:
    explicit digester(const history& events) : events_(events) {}

    std::optional<violation> run(digest& out) {
        if (auto wrong = find_lives(out.lives)) {
            return wrong;
        }
        return apply_close(out);
    }

  private:
    std::optional<violation> find_lives(std::vector<life>& lives) {
        std::vector<std::size_t> by_value;
        stamp pending_pop = never;
        for (std::size_t i = 0; i < events_.size(); ++i) {
            const event& each = events_[i];
            const bool pushed = each.op == operation::push && each.got != answer::closed && each.got != answer::full;
            const bool popped = each.op == operation::pop && each.got == answer::success;
            if (pushed || popped) {
                by_value.push_back(i);
            }
            if (each.op == operation::pop && each.got == answer::pending) {
                pending_pop = std::min(pending_pop, each.call);
            }
        }
        std::ranges::sort(by_value, [this](std::size_t a, std::size_t b) {
            const event& x = events_[a];
            const event& y = events_[b];
            return x.value != y.value ? x.value < y.value : x.op < y.op; // pushes first
        });
        for (std::size_t i = 0; i < by_value.size();) {
            const std::size_t first = by_value[i];
            std::size_t end = i + 1;
            while (end < by_value.size() && events_[by_value[end]].value == events_[first].value) {
                ++end;
            }
            if (auto wrong = add_life(lives,
                                      {by_value.begin() + static_cast<std::ptrdiff_t>(i),
                                       by_value.begin() + static_cast<std::ptrdiff_t>(end)},
                                      pending_pop)) {
                return wrong;
            }
            i = end;
        }
        return std::nullopt;
    }

    std::optional<violation> add_life(std::vector<life>& lives, std::vector<std::size_t> all, stamp pending_pop) {
        const event& push = events_[all[0]];
        if (push.op != operation::push) {
            return impossible(fmt::format("{} was popped, but no push of it succeeded", push.value), all);
        }
        if (all.size() > 1 && events_[all[1]].op == operation::push) {
            throw std::invalid_argument(
                fmt::format("two pushes of the value {}: histories need distinct values", push.value));
        }
        if (all.size() > 2) {
            return impossible(fmt::format("{} was pushed once and popped {} times", push.value, all.size() - 1), all);
        }
        life value{first_quarter(push.call), push.got == answer::pending ? never : last_quarter(push.ret), never, never,
                   all[0]};
        if (all.size() == 1) {
            if (push.got == answer::pending) {
                return std::nullopt; // it may never have happened
            }
            value.pop_call = first_quarter(pending_pop); // if there is one, it may have taken this
        } else {
            const event& pop = events_[all[1]];
            if (pop.ret < push.call) {
                return impossible(fmt::format("{} was popped before its push began", push.value), all);
            }
            value.pop_call = first_quarter(pop.call);
            value.pop_ret = last_quarter(pop.ret);
            value.pop = all[1];
        }
        lives.push_back(value);
        return std::nullopt;
    }

    std::optional<violation> apply_close(digest& out) {
        stamp earliest = 0; // max over what must come before the close
        std::size_t earliest_event = 0;
        stamp latest = never;
        std::size_t latest_event = 0;
        stamp first_call = never;
        std::optional<std::size_t> answered; // somebody was told `closed`
        const auto must_precede = [&](stamp call, std::size_t index) {
            if (call >= earliest) {
                earliest = call;
                earliest_event = index;
            }
        };
        for (std::size_t i = 0; i < events_.size(); ++i) {
            const event& each = events_[i];
            if (each.op == operation::close) {
                first_call = std::min(first_call, each.call);
            }
            if (each.op == operation::close ? each.got != answer::pending : each.got == answer::closed) {
                if (each.op != operation::close) {
                    answered = i;
                }
                if (each.ret <= latest) {
                    latest = each.ret;
                    latest_event = i;
                }
            } else if ((each.op == operation::push && (each.got == answer::success || each.got == answer::full)) ||
                       (each.op == operation::pop && each.got == answer::empty && each.batch == 0)) {
                must_precede(each.call, i);
            }
            if (each.op == operation::pop && (each.got == answer::empty || each.got == answer::closed)) {
                out.empties.push_back({first_quarter(each.call), last_quarter(each.ret), i});
            }
        }
        for (const life& value : out.lives) {
            must_precede(events_[value.push].call, value.push); // also a pending push that was popped
        }
        if (answered && first_call == never) {
            return impossible("an operation answered `closed`, but nobody called close", {*answered});
        }
        if (first_call != never && first_call > latest) {
            return impossible("an operation answered `closed` before the first call of close", {latest_event});
        }
        if (first_call != never && earliest > latest) {
            return impossible(
                fmt::format("{} began after the container was certainly closed, and did not answer `closed`",
                            events_[earliest_event].op == operation::push ? "a push" : "a pop"),
                {earliest_event, latest_event});
        }
        if (latest == never) {
            return std::nullopt;
        }
        const stamp closed = first_quarter(latest) + 1;
        for (life& value : out.lives) {
            value.push_ret = std::min(value.push_ret, closed);
        }
        for (emptiness& each : out.empties) {
            if (events_[each.index].got == answer::closed) {
                each.call = std::max(each.call, closed + 1);
            } else if (events_[each.index].batch == 0) {
                each.ret = std::min(each.ret, closed);
            }
        }
        return std::nullopt;
    }

    const history& events_;
};

// ---- empty -------------------------------------------------------------------------------------------------------------

std::optional<violation> check_empties(const history& events, const digest& all) {
    struct span {
        stamp first, last;
        std::size_t from, to; // lives in `certain`
    };
    std::vector<const life*> certain;
    for (const life& value : all.lives) {
        if (value.is_certain()) {
            certain.push_back(&value);
        }
    }
    std::ranges::sort(certain, {}, [](const life* value) { return value->push_ret; });
    std::vector<span> spans;
    for (std::size_t i = 0; i < certain.size(); ++i) {
        // Open intervals: two that only touch leave a moment between them.
        if (!spans.empty() && certain[i]->push_ret < spans.back().last) {
            spans.back().last = std::max(spans.back().last, certain[i]->pop_call);
            spans.back().to = i + 1;
        } else {
            spans.push_back({certain[i]->push_ret, certain[i]->pop_call, i, i + 1});
        }
    }
    for (const emptiness& each : all.empties) {
        auto found = std::ranges::lower_bound(spans, each.call, {}, &span::first);
        if (found == spans.begin()) {
            continue;
        }
        --found; // the last span that began before the call
        if (each.ret >= found->last) {
            continue;
        }
        // A chain of values, each inside before the previous one left, that lasts from the call to the return.
        std::vector<std::size_t> culprits{each.index};
        std::string names;
        stamp reached = each.call;
        const life* best = nullptr;
        for (std::size_t i = found->from; i <= found->to && reached <= each.ret; ++i) {
            if (i == found->to || (best != nullptr && certain[i]->push_ret >= reached && best->pop_call > reached)) {
                reached = best->pop_call;
                best->add_events(culprits);
                names += fmt::format("{}{}", names.empty() ? "" : ", ", events[best->push].value);
                if (i == found->to) {
                    break;
                }
            }
            if (best == nullptr || certain[i]->pop_call > best->pop_call) {
                best = certain[i];
            }
        }
        return impossible(fmt::format("a pop answered `{}`, but it was never empty during its call: {} {} inside",
                                      events[each.index].got == answer::closed ? "closed" : "empty", names,
                                      names.find(',') == names.npos ? "was" : "were in turn"),
                          std::move(culprits));
    }
    return std::nullopt;
}

// ---- queue -------------------------------------------------------------------------------------------------------------

std::optional<violation> check_order(const history& events, const std::vector<life>& lives) {
    std::vector<const life*> by_call;
    for (const life& value : lives) {
        by_call.push_back(&value);
    }
    std::vector<const life*> by_ret = by_call;
    std::ranges::sort(by_call, {}, [](const life* value) { return value->push_call; });
    std::ranges::sort(by_ret, {}, [](const life* value) { return value->push_ret; });
    const life* last_popped = nullptr; // of those whose push ended before the current one began
    std::size_t ended = 0;
    for (const life* later : by_call) {
        for (; ended < by_ret.size() && by_ret[ended]->push_ret < later->push_call; ++ended) {
            if (last_popped == nullptr || by_ret[ended]->pop_call > last_popped->pop_call) {
                last_popped = by_ret[ended];
            }
        }
        if (last_popped != nullptr && later->pop_ret < last_popped->pop_call) {
            std::vector<std::size_t> culprits;
            last_popped->add_events(culprits);
            later->add_events(culprits);
            return impossible(
                fmt::format("{} was pushed before {}, but {}", events[last_popped->push].value,
                            events[later->push].value,
                            last_popped->pop ? "popped after it" : "never popped, though the later one was"),
                std::move(culprits));
        }
    }
    return std::nullopt;
}

// ---- stack -------------------------------------------------------------------------------------------------------------

/// How many certain intervals cover each index; finds the next one that none covers.
class cover_tree {
  public:
    explicit cover_tree(std::size_t n) : size_(std::max<std::size_t>(n, 1)), least_(4 * size_), added_(4 * size_) {}

    void add(std::size_t from, std::size_t to, int delta) { // [from, to)
        if (from < to) {
            add(1, 0, size_, from, to, delta);
        }
    }
    /// The first uncovered index >= from; size when there is none.
    std::size_t next_uncovered(std::size_t from) const { return find(1, 0, size_, from, 0); }

  private:
    void add(std::size_t node, std::size_t lo, std::size_t hi, std::size_t from, std::size_t to, int delta) {
        if (from <= lo && hi <= to) {
            least_[node] += delta;
            added_[node] += delta;
            return;
        }
        const std::size_t mid = std::midpoint(lo, hi);
        if (from < mid) {
            add(2 * node, lo, mid, from, to, delta);
        }
        if (to > mid) {
            add(2 * node + 1, mid, hi, from, to, delta);
        }
        least_[node] = std::min(least_[2 * node], least_[2 * node + 1]) + added_[node];
    }
    std::size_t find(std::size_t node, std::size_t lo, std::size_t hi, std::size_t from, int above) const {
        if (hi <= from || least_[node] + above > 0) {
            return size_;
        }
        if (hi - lo == 1) {
            return lo;
        }
        const std::size_t mid = std::midpoint(lo, hi);
        const std::size_t left = find(2 * node, lo, mid, from, above + added_[node]);
        return left != size_ ? left : find(2 * node + 1, mid, hi, from, above + added_[node]);
    }

    std::size_t size_;
    std::vector<int> least_;
    std::vector<int> added_;
};

/// Positions that hold a stamp or nothing; finds the greatest of a range.
class latest_tree {
  public:
    explicit latest_tree(std::size_t n) : size_(std::bit_ceil(std::max<std::size_t>(n, 1))), best_(2 * size_) {}

    void set(std::size_t at, std::optional<stamp> value) {
        std::size_t node = at + size_;
        best_[node] = {value, at};
        for (node /= 2; node != 0; node /= 2) {
            best_[node] = std::max(best_[2 * node], best_[2 * node + 1]);
        }
    }
    std::pair<std::optional<stamp>, std::size_t> greatest(std::size_t from, std::size_t to) const { // [from, to)
        std::pair<std::optional<stamp>, std::size_t> found;
        for (from += size_, to += size_; from < to; from /= 2, to /= 2) {
            if (from % 2 == 1) {
                found = std::max(found, best_[from++]);
            }
            if (to % 2 == 1) {
                found = std::max(found, best_[--to]);
            }
        }
        return found;
    }

  private:
    std::size_t size_;
    std::vector<std::pair<std::optional<stamp>, std::size_t>> best_;
};

class stack_order {
  public:
    stack_order(const history& events, const std::vector<life>& lives)
        : events_(events), values_(certain(lives)), moments_(ends(values_)), cover_(moments_.size()),
          candidates_(values_.size()), present_(values_.size()), first_(values_.size()) {
        for (std::size_t i = 0; i < values_.size(); ++i) {
            first_[i] = index_of(values_[i]->push_ret);
            cover_.add(first_[i] + 1, index_of(values_[i]->pop_call), 1);
            present_.set(i, 0);
        }
        waiting_.resize(values_.size());
        std::iota(waiting_.begin(), waiting_.end(), std::size_t{0});
        std::ranges::sort(waiting_, {}, [this](std::size_t i) { return values_[i]->push_call; });
    }

    std::optional<violation> run() {
        if (values_.empty()) {
            return std::nullopt;
        }
        split(0, moments_.size() - 1);
        while (!open_.empty()) {
            const auto [from, to] = open_.back();
            open_.pop_back();
            const auto bottom = take_bottom(from, to);
            if (!bottom) {
                return no_bottom(from, to);
            }
            split(from, to);
        }
        return std::nullopt;
    }

  private:
    static std::vector<const life*> certain(const std::vector<life>& lives) {
        std::vector<const life*> out;
        for (const life& value : lives) {
            if (value.is_certain()) {
                out.push_back(&value);
            }
        }
        std::ranges::sort(out, {}, [](const life* value) { return value->push_ret; });
        return out;
    }
    static std::vector<stamp> ends(const std::vector<const life*>& values) {
        std::vector<stamp> out;
        for (const life* value : values) {
            out.push_back(value->push_ret);
            out.push_back(value->pop_call);
        }
        std::ranges::sort(out);
        out.erase(std::unique(out.begin(), out.end()), out.end());
        return out;
    }
    std::size_t index_of(stamp moment) const {
        return static_cast<std::size_t>(std::ranges::lower_bound(moments_, moment) - moments_.begin());
    }
    // Values whose certain interval begins at moment `from` or later, but before `to`.
    std::pair<std::size_t, std::size_t> starting(std::size_t from, std::size_t to) const {
        const auto begin = std::ranges::lower_bound(first_, from);
        const auto end = std::lower_bound(begin, first_.end(), to);
        return {static_cast<std::size_t>(begin - first_.begin()), static_cast<std::size_t>(end - first_.begin())};
    }

    /// Cuts (from, to) at its uncovered moments and remembers the parts that hold values, the first one on top.
    void split(std::size_t from, std::size_t to) {
        const std::size_t old = open_.size();
        while (from < to) {
            const std::size_t next = std::min(cover_.next_uncovered(from + 1), to);
            const auto [begin, end] = starting(from, next);
            if (present_.greatest(begin, end).first) {
                open_.emplace_back(from, next);
            }
            from = next;
        }
        std::reverse(open_.begin() + static_cast<std::ptrdiff_t>(old), open_.end());
    }

    /// Components come in the order of their first moments, so a value, once pushed early enough, stays a candidate.
    std::optional<std::size_t> take_bottom(std::size_t from, std::size_t to) {
        for (; pushed_ < waiting_.size() && values_[waiting_[pushed_]]->push_call <= moments_[from]; ++pushed_) {
            candidates_.set(waiting_[pushed_], values_[waiting_[pushed_]]->pop_ret);
        }
        const auto [begin, end] = starting(from, to);
        const auto [latest, index] = candidates_.greatest(begin, end);
        if (!latest || *latest < moments_[to]) {
            return std::nullopt;
        }
        candidates_.set(index, std::nullopt);
        present_.set(index, std::nullopt);
        cover_.add(first_[index] + 1, index_of(values_[index]->pop_call), -1);
        return index;
    }

    std::optional<violation> no_bottom(std::size_t from, std::size_t to) const {
        std::vector<std::size_t> culprits;
        std::string names;
        const auto [begin, end] = starting(from, to);
        for (std::size_t i = begin; i < end; ++i) {
            if (present_.greatest(i, i + 1).first) {
                values_[i]->add_events(culprits);
                names += fmt::format("{}{}", names.empty() ? "" : ", ", events_[values_[i]->push].value);
            }
        }
        return impossible(fmt::format("no last-in-first-out order explains {}: for some time there was always one of "
                                      "them inside, but each was pushed too late or popped too early to be below the "
                                      "others all that time",
                                      names),
                          std::move(culprits));
    }

    const history& events_;
    std::vector<const life*> values_; // by the beginning of the certain interval
    std::vector<stamp> moments_;      // all ends of certain intervals
    cover_tree cover_;
    latest_tree candidates_; // values pushed early enough for the current component; pop_ret
    latest_tree present_;    // values not yet taken out
    std::vector<std::size_t> first_;
    std::vector<std::size_t> waiting_; // values by push_call
    std::size_t pushed_ = 0;
    std::vector<std::pair<std::size_t, std::size_t>> open_;
};

// pop_all lists what it took from the top down.
std::optional<violation> check_batches(const history& events, const std::vector<life>& lives) {
    struct member {
        std::uint32_t batch;
        std::size_t pop;
        const life* value;
    };
    std::vector<member> members;
    for (const life& value : lives) {
        if (value.pop && events[*value.pop].batch != 0) {
            members.push_back({events[*value.pop].batch, *value.pop, &value});
        }
    }
    std::ranges::sort(members, {}, [](const member& each) { return std::pair(each.batch, each.pop); });
    const life* above = nullptr; // of those above in the same batch, the one whose push ended first
    for (std::size_t i = 0; i < members.size(); ++i) {
        if (i == 0 || members[i].batch != members[i - 1].batch) {
            above = nullptr;
        }
        const life* value = members[i].value;
        if (above != nullptr && above->push_ret < value->push_call) {
            std::vector<std::size_t> culprits;
            above->add_events(culprits);
            value->add_events(culprits);
            return impossible(fmt::format("pop_all put {} above {}, which was pushed after it",
                                          events[above->push].value, events[value->push].value),
                              std::move(culprits));
        }
        if (above == nullptr || value->push_ret < above->push_ret) {
            above = value;
        }
    }
    return std::nullopt;
}

// ---- capacity ------------------------------------------------------------------------------------------------------------

/// How many values are inside at each moment at most, and whether that suffices for every `full`.
std::optional<violation> check_fulls(const history& events, const digest& all, std::size_t capacity) {
    std::vector<std::pair<stamp, int>> changes; // a value may be inside from its push's call to its pop's return
    for (const life& value : all.lives) {
        changes.emplace_back(value.push_call, 1);
        if (value.pop_ret != never) {
            changes.emplace_back(value.pop_ret + 1, -1);
        }
    }
    std::ranges::sort(changes);
    std::vector<stamp> moments{0};
    std::vector<std::vector<int>> most{{0}}; // most[k][i]: the maximum over 2^k moments from the i-th on
    for (const auto& [when, change] : changes) {
        const int now = most[0].back() + change;
        if (when == moments.back()) {
            most[0].back() = now;
        } else {
            moments.push_back(when);
            most[0].push_back(now);
        }
    }
    for (std::size_t width = 1; 2 * width <= moments.size(); width *= 2) {
        const std::vector<int>& half = most.back();
        std::vector<int> whole;
        for (std::size_t i = 0; i + 2 * width <= moments.size(); ++i) {
            whole.push_back(std::max(half[i], half[i + width]));
        }
        most.push_back(std::move(whole));
    }
    for (std::size_t i = 0; i < events.size(); ++i) {
        const event& each = events[i];
        if (each.op != operation::push || each.got != answer::full) {
            continue;
        }
        const auto index = [&moments](stamp when) {
            return static_cast<std::size_t>(std::ranges::upper_bound(moments, when) - moments.begin()) - 1;
        };
        const std::size_t from = index(first_quarter(each.call));
        const std::size_t count = index(last_quarter(each.ret)) - from + 1;
        const auto level = static_cast<std::size_t>(std::bit_width(count)) - 1;
        const int inside = std::max(most[level][from], most[level][from + count - (std::size_t{1} << level)]);
        if (static_cast<std::size_t>(inside) < capacity) {
            return impossible(
                fmt::format("a push answered `full`, but there were never more than {} of {} inside", inside, capacity),
                {i});
        }
    }
    return std::nullopt;
}

std::optional<violation> check_capacity(const digest& all, std::size_t capacity) {
    std::vector<const life*> certain; // in open intervals
    for (const life& value : all.lives) {
        if (value.is_certain()) {
            certain.push_back(&value);
        }
    }
    std::ranges::sort(certain, {}, &life::push_ret);
    std::vector<stamp> pops;
    for (const life* value : certain) {
        pops.push_back(value->pop_call);
    }
    std::ranges::sort(pops);
    std::size_t gone = 0;
    for (std::size_t i = 0; i < certain.size(); ++i) {
        for (; pops[gone] <= certain[i]->push_ret; ++gone) {
        }
        if (i + 1 - gone > capacity) {
            return impossible(
                fmt::format("{} values were certainly inside, where {} is the capacity", i + 1 - gone, capacity),
                {certain[i]->push});
        }
    }
    return std::nullopt;
}

} // namespace

std::optional<violation> check_bounded_queue(const history& events, std::size_t capacity) {
    if (auto wrong = check_queue(events)) {
        return wrong;
    }
    digest all;
    static_cast<void>(digester(events).run(all));
    if (auto wrong = check_capacity(all, capacity)) {
        return wrong;
    }
    return check_fulls(events, all, capacity);
}

std::optional<violation> check_queue(const history& events) {
    digest all;
    if (auto wrong = digester(events).run(all)) {
        return wrong;
    }
    if (auto wrong = check_order(events, all.lives)) {
        return wrong;
    }
    return check_empties(events, all);
}

std::optional<violation> check_stack(const history& events) {
    digest all;
    if (auto wrong = digester(events).run(all)) {
        return wrong;
    }
    if (auto wrong = stack_order(events, all.lives).run()) {
        return wrong;
    }
    if (auto wrong = check_batches(events, all.lives)) {
        return wrong;
    }
    return check_empties(events, all);
}

} // namespace epoque::stress
