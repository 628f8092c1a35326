// SPDX-License-Identifier: BSL-1.0
/// @file
/// How often the tests of the harness repeat what they do; see docs/harness.md.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace epoque::stress {

/// The number in the environment's variable `name`, or `otherwise`.
inline std::uint64_t wished(const char* name, std::uint64_t otherwise) {
    const char* wish = std::getenv(name); // NOLINT(concurrency-mt-unsafe): nothing here writes it
    return wish == nullptr ? otherwise : std::strtoull(wish, nullptr, 10);
}

/// `n` for what runs one thread at a time, whose thousandth round is as its first to a sanitizer: their presets divide it by
/// EPOQUE_TEST_SERIAL_SCALE.
inline std::uint64_t many_in_turn(std::uint64_t n) {
    const std::uint64_t divisor = wished("EPOQUE_TEST_SERIAL_SCALE", 1);
    return std::max<std::uint64_t>(1, n / std::max<std::uint64_t>(1, divisor));
}

} // namespace epoque::stress
