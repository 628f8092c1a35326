// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: base. Depends on: nothing of epoque. The operating system's part is in src/parking.cpp, and nowhere else.
///
/// Sleeping on a word (futex): the bottom of every wait that gives its processor away.
///
///     waiter                               waker
///       key = word (acquire)                 change what the waiter looks for
///       look once more                       word += 1 (release)
///       wait(word, key)                      wake(word, 1)
///
/// The kernel compares `word` with `key` and falls asleep in one step: a waker that changed the word before that is not
/// missed, one that changes it later wakes the sleeper.
#pragma once

#include <atomic>
#include <cstdint>

namespace epoque::parking {

/// Nanoseconds on the clock that deadlines are on; it never jumps. Progress: wait-free.
std::int64_t now() noexcept;

/// A deadline that never comes.
inline constexpr std::int64_t never = INT64_MAX;

/// The deadline `nanoseconds` from now; negative: never.
std::int64_t deadline_in(std::int64_t nanoseconds) noexcept;

/// Sleeps while `word` is `expected`, until a wake or the deadline; may return early for no reason. The caller looks
/// again in any case. Where the kernel refuses futexes (seccomp) it is a nap of at most a millisecond.
/// Progress: blocking, by nature.
void wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t deadline) noexcept;

/// Wakes up to `count` threads that sleep on `word`. Complexity: a system call.
void wake(const std::atomic<std::uint32_t>& word, std::uint32_t count) noexcept;

} // namespace epoque::parking
