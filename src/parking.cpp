// SPDX-License-Identifier: BSL-1.0
/// @file
/// Waiting: how a thread spends the time until something it can't hurry along has happened.
#include "epoque/base/env.hpp"

#include <ctime>

#include <sched.h>

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

} // namespace epoque
