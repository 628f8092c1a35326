// SPDX-License-Identifier: BSL-1.0
/// @file
/// The deque's scenario, for every engine: one owner with a notebook of what must still be there, thieves who remember
/// what they took last. Both notice at once what a history would show later; histories are kept all the same, for `empty`.
#pragma once

#include "harness/linearizability.hpp"
#include "harness/recorded.hpp"

#include "epoque/deque.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

namespace epoque::stress {

template <class Env>
using deque_of_numbers = work_stealing_deque<std::uint64_t, Env>;

/// The thread that pushes and pops.
template <class Deque, class Stamps>
class deque_owner {
  public:
    deque_owner(Deque& deque, std::size_t capacity, Stamps stamps = Stamps())
        : deque_(deque), log_(0, capacity, stamps) {
        notebook_.reserve(capacity);
    }

    void push() {
        const std::uint64_t value = ++pushed_;
        notebook_.push_back(value);
        const stamp call = log_.call();
        deque_.push(value);
        log_.returned(operation::push, answer::success, call, value);
    }
    /// False: empty.
    bool pop() {
        const stamp call = log_.call();
        const auto got = deque_.try_pop();
        if (!got) {
            log_.returned(operation::pop, answer::empty, call);
            notebook_.clear(); // all stolen: the balance tells whether that is so
            return false;
        }
        log_.returned(operation::pop, answer::success, call, *got);
        // Thieves take the oldest, so the newest is there or nothing is.
        sound_ = sound_ && !notebook_.empty() && notebook_.back() == *got;
        if (!notebook_.empty()) {
            notebook_.pop_back();
        }
        return true;
    }

    void trim() { deque_.trim(); }

    bool is_sound() const noexcept { return sound_; }
    recorder<Stamps>& log() noexcept { return log_; }

  private:
    Deque& deque_;
    std::uint64_t pushed_ = 0;
    std::vector<std::uint64_t> notebook_;
    bool sound_ = true;
    recorder<Stamps> log_;
};

/// A thread that steals.
template <class Deque, class Stamps>
class deque_thief {
  public:
    deque_thief(Deque& deque, std::uint32_t thread, std::size_t capacity, Stamps stamps = Stamps())
        : deque_(deque), log_(thread, capacity, stamps) {}

    /// Success, empty or busy. A steal that answers busy has no effect, and is not recorded.
    conqueue_status steal() {
        const stamp call = log_.call();
        const auto got = deque_.try_steal();
        if (!got) {
            if (got.error() == conqueue_status::empty) {
                log_.returned(operation::steal, answer::empty, call);
            }
            return got.error();
        }
        log_.returned(operation::steal, answer::success, call, *got);
        sound_ = sound_ && *got > last_; // what lies above something is younger
        last_ = *got;
        return conqueue_status::success;
    }

    bool is_sound() const noexcept { return sound_; }
    recorder<Stamps>& log() noexcept { return log_; }

  private:
    Deque& deque_;
    std::uint64_t last_ = 0;
    bool sound_ = true;
    recorder<Stamps> log_;
};

/// What is wrong with an execution, in words; nothing otherwise. `timed`: stamps prove an order.
template <class Owner, class Thieves>
std::optional<const char*> find_fault(Owner& owner, Thieves& thieves, bool timed) {
    if (!owner.is_sound()) {
        return "the owner's pop did not return the newest element";
    }
    history events = owner.log().events();
    for (auto& thief : thieves) {
        if (!thief.is_sound()) {
            return "a thief's elements came out of order";
        }
        const history& part = thief.log().events();
        events.insert(events.end(), part.begin(), part.end());
    }
    std::vector<std::uint64_t> in;
    std::vector<std::uint64_t> out;
    for (const event& each : events) {
        if (each.got == answer::success) {
            (each.op == operation::push ? in : out).push_back(each.value);
        }
    }
    std::ranges::sort(in);
    std::ranges::sort(out);
    if (in != out) {
        return "an element was lost or came twice";
    }
    if (timed && events.size() <= 64 && !is_linearizable(events, container::deque)) {
        return "the history is impossible for a deque";
    }
    return {};
}

} // namespace epoque::stress
