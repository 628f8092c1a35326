// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. Depends on: base.
///
/// How long a wait may last: passed(), and the next moment at which to ask, on the Env's clock.
#pragma once

#include "epoque/base/parking.hpp"

#include <chrono>
#include <cstdint>

namespace epoque::core {

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

} // namespace epoque::core
