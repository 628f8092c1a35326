// SPDX-License-Identifier: BSL-1.0
/// @file
/// The one domain that every structure uses unless it is given another.
#include "epoque/domain.hpp"

namespace epoque {

domain& default_domain() {
    // Never destroyed: structures with static storage duration, and threads that end late, may still use it.
    static auto* const leaked = new domain; // NOLINT(cppcoreguidelines-owning-memory)
    return *leaked;
}

} // namespace epoque
