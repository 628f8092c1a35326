// SPDX-License-Identifier: BSL-1.0
#include "linearizability.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <deque>
#include <stdexcept>
#include <unordered_set>

namespace epoque::stress {
namespace {

/// One step of the sequential specification: an event, or a pop_all with all that it took.
struct step {
    stamp call = 0;
    stamp ret = 0;
    operation op = operation::push;
    answer got = answer::success;
    bool takes_all = false;
    std::vector<std::uint64_t> values; // of a pop_all from the top down
};

class search {
  public:
    search(const history& events, container kind, std::size_t capacity) : kind_(kind), capacity_(capacity) {
        std::vector<std::uint32_t> batches;
        for (const event& each : events) {
            if (each.batch != 0) {
                const auto known = std::ranges::find(batches, each.batch);
                if (known != batches.end()) {
                    step& whole = steps_[batch_step_[static_cast<std::size_t>(known - batches.begin())]];
                    if (each.got == answer::success) {
                        whole.values.push_back(each.value);
                    }
                    continue;
                }
                batches.push_back(each.batch);
                batch_step_.push_back(steps_.size());
            }
            step next{each.call, each.got == answer::pending ? never : each.ret, each.op, each.got, each.batch != 0,
                      {}};
            if (each.batch == 0 || each.got == answer::success) {
                next.values.push_back(each.value);
            }
            steps_.push_back(std::move(next));
        }
        if (steps_.size() > 64) {
            throw std::invalid_argument(
                fmt::format("{} operations are too many for the general search", steps_.size()));
        }
        for (std::size_t i = 0; i < steps_.size(); ++i) {
            must_ |= steps_[i].got == answer::pending ? 0 : std::uint64_t{1} << i;
        }
    }

    bool run() { return extend(0); }

  private:
    bool extend(std::uint64_t done) {
        if ((done & must_) == must_) {
            return true;
        }
        if (!tried_.insert(key(done)).second) {
            return false;
        }
        stamp first_return = never; // whoever comes next must have been called by then
        for (std::size_t i = 0; i < steps_.size(); ++i) {
            if ((done >> i & 1) == 0) {
                first_return = std::min(first_return, steps_[i].ret);
            }
        }
        for (std::size_t i = 0; i < steps_.size(); ++i) {
            if ((done >> i & 1) == 0 && steps_[i].call <= first_return) {
                const std::deque<std::uint64_t> content = content_;
                const bool closed = closed_;
                if (apply(steps_[i]) && extend(done | std::uint64_t{1} << i)) {
                    return true;
                }
                content_ = content;
                closed_ = closed;
            }
        }
        return false;
    }

    bool apply(const step& next) {
        if (next.op == operation::close) {
            closed_ = true;
            return true;
        }
        if (next.op == operation::push) {
            if (next.got == answer::closed || closed_) {
                return closed_ && (next.got == answer::closed || next.got == answer::pending);
            }
            if (content_.size() == capacity_ || next.got == answer::full) {
                return content_.size() == capacity_ && next.got != answer::success;
            }
            content_.push_back(next.values[0]);
            return true;
        }
        if (next.takes_all) {
            const bool fits =
                std::ranges::equal(next.values.rbegin(), next.values.rend(), content_.begin(), content_.end());
            content_.clear();
            return fits;
        }
        if (next.got == answer::empty || next.got == answer::closed) {
            return content_.empty() && closed_ == (next.got == answer::closed);
        }
        if (content_.empty()) {
            return next.got == answer::pending;
        }
        const bool oldest = kind_ == container::queue || next.op == operation::steal;
        const std::uint64_t taken = oldest ? content_.front() : content_.back();
        oldest ? content_.pop_front() : content_.pop_back();
        return next.got == answer::pending || taken == next.values[0];
    }

    std::string key(std::uint64_t done) const {
        std::string out(reinterpret_cast<const char*>(&done), sizeof done); // SAFETY: any object may be read as bytes
        out += closed_ ? 'c' : 'o';
        for (const std::uint64_t value : content_) {
            out.append(reinterpret_cast<const char*>(&value), sizeof value); // SAFETY: as above
        }
        return out;
    }

    container kind_;
    std::size_t capacity_;
    std::vector<step> steps_;
    std::vector<std::size_t> batch_step_;
    std::uint64_t must_ = 0;
    std::deque<std::uint64_t> content_;
    bool closed_ = false;
    std::unordered_set<std::string> tried_;
};

} // namespace

bool is_linearizable(const history& events, container kind, std::size_t capacity) {
    return search(events, kind, capacity).run();
}

} // namespace epoque::stress
