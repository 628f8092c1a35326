// SPDX-License-Identifier: BSL-1.0
/// @file
/// Waiting: how a thread spends the time until something it can't hurry along has happened, and the operating system's
/// half of base/parking.hpp.
#include "epoque/base/parking.hpp"
#include "epoque/base/env.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <ctime>

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace epoque {

void std_env::relax(unsigned round) noexcept {
    constexpr unsigned pauses = 16;
    constexpr unsigned yields = 64;
    if (round < pauses) {
        pause();
    } else if (round < pauses + yields) {
        ::sched_yield();
    } else {
        const timespec nap{0, 50'000};
        ::nanosleep(&nap, nullptr);
    }
}

namespace parking {
namespace {

constexpr std::int64_t second = 1'000'000'000;

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t) &&
                  std::atomic<std::uint32_t>::is_always_lock_free,
              "a futex is a plain 32-bit word");

long futex(const std::atomic<std::uint32_t>& word, int operation, std::uint32_t value, const timespec* until) noexcept {
    return ::syscall(SYS_futex, &word, operation | FUTEX_PRIVATE_FLAG, value, until, nullptr,
                     static_cast<unsigned>(FUTEX_BITSET_MATCH_ANY));
}

} // namespace

std::int64_t now() noexcept {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<std::int64_t>(time.tv_sec) * second + time.tv_nsec;
}

std::int64_t deadline_in(std::int64_t nanoseconds) noexcept {
    if (nanoseconds < 0) {
        return never;
    }
    const std::int64_t begin = now();
    return nanoseconds < never - begin ? begin + nanoseconds : never;
}

void wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t deadline) noexcept {
    timespec until{};
    until.tv_sec = static_cast<std::time_t>(deadline / second);
    until.tv_nsec = static_cast<long>(deadline % second);
    // FUTEX_WAIT_BITSET: the only wait that takes a point in time instead of a duration.
    if (futex(word, FUTEX_WAIT_BITSET, expected, deadline == never ? nullptr : &until) == 0) {
        return;
    }
    if (errno != EAGAIN && errno != EINTR && errno != ETIMEDOUT) {
        const timespec nap{0, 1'000'000};
        ::nanosleep(&nap, nullptr);
    }
}

void wake(const std::atomic<std::uint32_t>& word, std::uint32_t count) noexcept {
    futex(word, FUTEX_WAKE, std::min<std::uint32_t>(count, INT_MAX), nullptr);
}

} // namespace parking
} // namespace epoque
