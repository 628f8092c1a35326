// SPDX-License-Identifier: BSL-1.0
/// @file
/// The last words of a process whose program broke a precondition.
#include "epoque/base/error.hpp"

#include <cstdlib>

#include <unistd.h>

namespace epoque {

void misuse(std::string_view what) noexcept {
    const auto say = [](std::string_view text) noexcept {
        // Nothing can be done about a closed standard error.
        [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    };
    say("epoque: ");
    say(what);
    say("\n");
    std::abort();
}

} // namespace epoque
