// SPDX-License-Identifier: BSL-1.0
/// @file
/// The least coroutine, for tests of what coroutines can wait for.
#pragma once

#include <coroutine>
#include <exception>

namespace epoque::test {

/// Runs at once, ends by itself.
struct detached {
    struct promise_type {
        detached get_return_object() noexcept { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() noexcept { std::terminate(); }
    };
};

} // namespace epoque::test
