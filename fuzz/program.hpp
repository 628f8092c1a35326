// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: outside. Depends on: nothing.
///
/// How bytes become a program: every byte string is a meaningful one. Choices are taken modulo the number of choices, so
/// no input is rejected, a changed byte changes one step, and a cut-off end is a shorter program.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <source_location>
#include <span>

namespace epoque::fuzz {

/// A fuzzer's input, read from the front. Past its end all choices are 0.
class program {
  public:
    program(const std::uint8_t* bytes, std::size_t size) noexcept : left_(bytes, size) {}

    bool ended() const noexcept { return left_.empty(); }

    std::uint8_t byte() noexcept {
        if (left_.empty()) {
            return 0;
        }
        const std::uint8_t first = left_.front();
        left_ = left_.subspan(1);
        return first;
    }
    bool flag() noexcept { return (byte() & 1) != 0; }

    /// One of 0 .. choices-1; takes one byte, two where there are more than 256 choices.
    std::size_t below(std::size_t choices) noexcept {
        std::size_t value = byte();
        if (choices > 256) {
            value = value << 8 | byte();
        }
        return value % choices;
    }

    /// Takes eight bytes.
    std::uint64_t word() noexcept {
        std::uint64_t value = 0;
        for (unsigned i = 0; i < 8; ++i) {
            value = value << 8 | byte();
        }
        return value;
    }

  private:
    std::span<const std::uint8_t> left_;
};

/// Ends the process with the clause that broke, where that is not so. libFuzzer then keeps the input.
inline void check(bool holds, const char* clause,
                  const std::source_location& where = std::source_location::current()) noexcept {
    if (!holds) [[unlikely]] {
        std::fprintf(stderr, "%s:%u: violated: %s\n", where.file_name(), static_cast<unsigned>(where.line()), clause);
        std::abort();
    }
}

} // namespace epoque::fuzz

/// What each target defines; libFuzzer and replay_main.cpp call it. Returns 0.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
