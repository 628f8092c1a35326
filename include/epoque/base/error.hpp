// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: base. Depends on: nothing of epoque.
///
/// How epoque answers: `conqueue_status` for the normal flow of a queue (names of P0260R20), and `misuse` for a
/// broken precondition, which is a bug of the program and ends it with a sentence instead of corrupting memory.
#pragma once

#include <cstdint>
#include <string_view>

namespace epoque {

/// What an operation that did not wait has to say (P0260R20, [conqueues.status]).
enum class conqueue_status : std::uint8_t {
    success, ///< done
    empty,   ///< there was a moment during the call at which no element was in the structure
    full,    ///< there was a moment during the call at which the structure held its capacity
    closed,  ///< the structure takes no more elements (push), or takes no more and has none left (pop)
    busy,    ///< neither done nor known to be impossible; trying again is the right answer
};

/// A word for logs and messages.
constexpr std::string_view to_string(conqueue_status status) noexcept {
    switch (status) {
    case conqueue_status::success:
        return "success";
    case conqueue_status::empty:
        return "empty";
    case conqueue_status::full:
        return "full";
    case conqueue_status::closed:
        return "closed";
    case conqueue_status::busy:
        return "busy";
    }
    return "unknown";
}

/// Prints `epoque: <what>` on standard error and ends the process. For broken preconditions only: `what` says which
/// object, why it is wrong and what to do instead.
[[noreturn]] void misuse(std::string_view what) noexcept;

} // namespace epoque
