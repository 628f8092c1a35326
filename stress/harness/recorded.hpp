// SPDX-License-Identifier: BSL-1.0
/// @file
/// A thread's view of a queue or stack that records what it does: the operations of every scenario over them.
#pragma once

#include "history.hpp"
#include "linearizability.hpp"

#include "epoque/base/error.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace epoque::stress {

/// Stamps for engines that only count elements: histories made with them prove no order.
struct no_stamps {
    static stamp before() noexcept { return 0; }
    static stamp after() noexcept { return 0; }
};

/// Which value a thread pushes next: distinct over all threads, and telling whose it is.
constexpr std::uint64_t value_of(std::uint32_t thread, std::uint64_t number) noexcept {
    return (std::uint64_t{thread} + 1) << 40 | number;
}
constexpr std::uint32_t pusher_of(std::uint64_t value) noexcept {
    return static_cast<std::uint32_t>(value >> 40) - 1;
}

/// A scenario's container that takes `tested_capacity` elements.
template <class Container>
concept is_bounded = requires { Container::tested_capacity; };

/// A scenario's container of which one thread at a time pops.
template <class Container>
concept has_one_consumer = requires { Container::one_consumer; };

/// What judges the histories of such a container.
template <class Container>
monitor monitor_of(container kind) {
    if constexpr (is_bounded<Container>) {
        return [](const history& events) { return check_bounded_queue(events, Container::tested_capacity); };
    } else {
        return kind == container::queue ? check_queue : check_stack;
    }
}

constexpr answer answer_of(conqueue_status status) noexcept {
    switch (status) {
    case conqueue_status::success:
        return answer::success;
    case conqueue_status::empty:
        return answer::empty;
    case conqueue_status::full:
        return answer::full;
    case conqueue_status::closed:
        return answer::closed;
    case conqueue_status::busy:
        break;
    }
    return answer::pending;
}

template <class Container, class Stamps>
class lane {
  public:
    lane(Container& container, std::uint32_t thread, std::size_t capacity, Stamps stamps = Stamps())
        : container_(container), thread_(thread), log_(thread, capacity, stamps) {}

    /// Pushes this thread's next value. False: closed or full.
    bool push() {
        const std::uint64_t value = value_of(thread_, ++pushed_);
        const stamp call = log_.call();
        const conqueue_status status = container_.try_push(typename Container::value_type(value));
        if (status != conqueue_status::busy) { // busy says nothing that could be judged
            log_.returned(operation::push, answer_of(status), call, value);
        }
        return status == conqueue_status::success;
    }

    answer pop() {
        const stamp call = log_.call();
        auto taken = container_.try_pop();
        if (taken) {
            log_.returned(operation::pop, answer::success, call, static_cast<std::uint64_t>(*taken));
            return answer::success;
        }
        if (taken.error() == conqueue_status::busy) {
            return answer::empty;
        }
        log_.returned(operation::pop, answer_of(taken.error()), call);
        return answer_of(taken.error());
    }

    /// Bulk: `count` values in this order. They are pushed one after another as far as others can tell.
    std::size_t push_many(std::size_t count) {
        std::vector<typename Container::value_type> values;
        const std::uint64_t first = pushed_ + 1;
        for (std::size_t i = 0; i < count; ++i) {
            values.emplace_back(value_of(thread_, ++pushed_));
        }
        const stamp call = log_.call();
        std::size_t done = 0;
        if constexpr (Container::is_fifo) {
            done = static_cast<std::size_t>(container_.push_range(values.begin(), values.end()) - values.begin());
        } else { // a stack takes all or nothing
            done = container_.push_range(values.begin(), values.end()) == conqueue_status::success ? count : 0;
        }
        const stamp ret = log_.moment();
        // What a bounded container did not take may have found it full or closed: nothing to be judged.
        const std::size_t told = is_bounded<Container> ? done : count;
        for (std::size_t i = 0; i < told; ++i) {
            log_.add({call, ret, value_of(thread_, first + i), thread_, operation::push,
                      i < done ? answer::success : answer::closed, 0});
        }
        return done;
    }

    std::size_t pop_many(std::size_t count) {
        std::vector<std::uint64_t> values(count);
        const stamp call = log_.call();
        const std::size_t got = container_.try_pop_n(values.begin(), count);
        const stamp ret = log_.moment();
        for (std::size_t i = 0; i < got; ++i) {
            log_.add({call, ret, values[i], thread_, operation::pop, answer::success, 0});
        }
        return got;
    }

    /// A stack's pop_all. `batch` is a number that no other pop_all of the history has.
    std::size_t pop_all(std::uint32_t batch) {
        std::vector<std::uint64_t> values;
        const stamp call = log_.call();
        const std::size_t got = container_.pop_all([&values](typename Container::value_type&& value) noexcept {
            values.push_back(static_cast<std::uint64_t>(value));
        });
        log_.popped_all(call, values, batch);
        return got;
    }

    void close() {
        const stamp call = log_.call();
        container_.close();
        log_.returned(operation::close, answer::success, call);
    }

    std::uint64_t pushed() const noexcept { return pushed_; }
    recorder<Stamps>& log() noexcept { return log_; }

  private:
    Container& container_;
    std::uint32_t thread_;
    std::uint64_t pushed_ = 0;
    recorder<Stamps> log_;
};

/// All lanes' events as one history.
template <class Lanes>
history joined(Lanes& lanes) {
    history out;
    for (auto& each : lanes) {
        const history& part = each.log().events();
        out.insert(out.end(), part.begin(), part.end());
    }
    return out;
}

/// What all lanes counted, where they recorded nothing.
template <class Lanes>
tally counted(Lanes& lanes) {
    tally sum;
    for (auto& each : lanes) {
        sum += each.log().counted();
    }
    return sum;
}

/// What came in and what came out, without regard to order.
struct balance {
    std::uint64_t pushed = 0; ///< pushes that succeeded
    std::uint64_t popped = 0;
    bool is_even = false; ///< the same values, each once
};
inline balance balance_of(const history& events) {
    std::vector<std::uint64_t> in;
    std::vector<std::uint64_t> out;
    for (const event& each : events) {
        if (each.got == answer::success && each.op != operation::close) {
            (each.op == operation::push ? in : out).push_back(each.value);
        }
    }
    std::ranges::sort(in);
    std::ranges::sort(out);
    return {in.size(), out.size(), in == out};
}

} // namespace epoque::stress
