// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. Depends on: base, core/waiters.hpp.
///
/// A waiter (core/waiters.hpp) that is a thread: asleep on a word of its own until it is told, or until its deadline or a
/// stop request, which have it answered one way or the other. So one wake goes to one thread, and is never in vain.
#pragma once

#include "epoque/base/env.hpp"
#include "epoque/base/parking.hpp"
#include "epoque/core/waiters.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <stop_token>

namespace epoque::core {

// ---- deadlines: passed(), and the next moment at which to ask, on the Env's clock ------------------------------------------

struct never_passes {
    static constexpr bool passed() noexcept { return false; }
    static constexpr std::int64_t next() noexcept { return parking::never; }
};

/// A duration as whole nanoseconds, rounded up; none is 0, and what does not fit is parking::never.
template <class Rep, class Period>
std::int64_t nanoseconds_of(const std::chrono::duration<Rep, Period>& span) noexcept {
    constexpr double most = 9e18;
    if (!(span > span.zero())) {
        return 0;
    }
    if (std::chrono::duration<double, std::nano>(span).count() >= most) {
        return parking::never;
    }
    return std::chrono::ceil<std::chrono::nanoseconds>(span).count();
}

template <class Env>
std::int64_t moment_in(std::int64_t nanoseconds) noexcept {
    const std::int64_t now = Env::now();
    return nanoseconds < parking::never - now ? now + nanoseconds : parking::never;
}

/// After a time on the Env's clock, which never jumps.
template <class Env>
class passes_in {
  public:
    explicit passes_in(std::int64_t nanoseconds) noexcept : at_(moment_in<Env>(nanoseconds)) {}
    bool passed() const noexcept { return at_ != parking::never && Env::now() >= at_; }
    std::int64_t next() const noexcept { return at_; }

  private:
    std::int64_t at_;
};

/// At a point in time on any clock, which may jump: it is asked at least once a second.
template <class Env, class Clock, class Duration>
class passes_at {
  public:
    explicit passes_at(const std::chrono::time_point<Clock, Duration>& at) : at_(at) {}
    bool passed() const noexcept {
        const auto now = Clock::now();
        const double left = seconds_from(now);
        return left < 1 && (left < -1 || now >= at_);
    }
    std::int64_t next() const noexcept {
        constexpr std::int64_t second = 1'000'000'000;
        const auto now = Clock::now();
        return moment_in<Env>(seconds_from(now) < 1 ? nanoseconds_of(at_ - now) : second);
    }

  private:
    /// About; for any two points in time, also where their difference does not fit in the clock's own units.
    double seconds_from(const typename Clock::time_point& now) const noexcept {
        using seconds = std::chrono::duration<double>;
        return seconds(at_.time_since_epoch()).count() - seconds(now.time_since_epoch()).count();
    }

    std::chrono::time_point<Clock, Duration> at_;
};

// ---- the waiter --------------------------------------------------------------------------------------------------------------

template <class Env>
class waiting_thread : public waiter<Env> {
  protected:
    explicit waiting_thread(awaited what) noexcept : waiter<Env>(what) {}
    ~waiting_thread() = default;

  public:
    /// It wants `busy` as an answer, and pauses.
    static constexpr bool tries_when_busy = true;

    /// Waits until it is answered: done, or given up after the deadline or a stop request.
    template <class Deadline>
    void wait(waiters<Env>& among, const Deadline& until, const std::stop_token& stop);

  private:
    enum : std::uint32_t { awake = 0, asleep = 1, told = 2 };

    void deliver() noexcept final {
        atomic_word& word = word_;
        // [tell.word] release: pairs with [sleep.look]
        //   The answer.
        if (word.exchange(told, Env::release) == asleep) {
            // The thread may be gone by now. Only the word's address is used: at worst somebody else wakes for no reason,
            // which parking allows.
            Env::unpark(word, 1);
        }
    }

    using atomic_word = typename Env::template atomic<std::uint32_t>;
    atomic_word word_{awake};
};

template <class Env>
template <class Deadline>
void waiting_thread<Env>::wait(waiters<Env>& among, const Deadline& until, const std::stop_token& stop) {
    constexpr std::int64_t poll_interval = 1'000'000;
    // [sleep.begin] relaxed: nobody knows us yet.
    word_.store(awake, Env::relaxed);
    const bool ordered = among.enter(*this);
    // Its destructor waits for a callback that runs in another thread: nobody cancels us once we have returned.
    const std::stop_callback on_stop(stop, [this, &among]() noexcept { among.cancel(*this); });
    for (bool cancelled = false;;) {
        // [sleep.look] acquire: pairs with [tell.word]
        //   The answer.
        const std::uint32_t seen = word_.load(Env::acquire);
        if (seen == told) {
            break;
        }
        if (!cancelled && until.passed()) {
            cancelled = true;
            among.cancel(*this);
            continue;
        }
        std::uint32_t expected = awake;
        // [sleep.mark] relaxed: says only that a wake is needed; [sleep.look] reads the answer. Failure (relaxed): marked
        // before, or told, which the next look sees.
        if (seen == awake && !word_.compare_exchange_strong(expected, asleep, Env::relaxed, Env::relaxed)) {
            continue;
        }
        std::int64_t deadline = cancelled ? parking::never : until.next();
        if (!ordered) {
            deadline = std::min(deadline, moment_in<Env>(poll_interval));
        }
        Env::park(word_, asleep, deadline);
        if (!ordered) {
            among.look_at_all();
        }
    }
}

} // namespace epoque::core
