// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: stress. Depends on: nothing.
///
/// Where to cut a file into chunks, so that no identifier is split: between words (runs of [A-Za-z0-9_]). A word longer
/// than a chunk travels alone, in fragments:
///
///     ... = b ; aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ( x )
///     [ chunk  ][ fragment ][ fragment ][last fragm.][ chunk ...
#pragma once

#include <cstddef>

namespace crosslang {

constexpr bool is_word(unsigned char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

struct cut {
    std::size_t length;
    bool fragment;
    bool last; // of the fragments of its word
};

/// The next chunk of a file, which goes on with bytes[0], bytes[1] ... bytes[available - 1]. More than `limit` bytes must be
/// available, or all that is left (1 or more). `in_long_word`: the chunk before was a fragment, not the last.
inline cut next_cut(const unsigned char* bytes, std::size_t available, std::size_t limit, bool in_long_word) noexcept {
    if (in_long_word) {
        std::size_t length = 0;
        while (length < limit && length < available && is_word(bytes[length])) {
            ++length;
        }
        const bool goes_on = length == limit && length < available && is_word(bytes[length]);
        return {length, true, !goes_on};
    }
    if (available <= limit) {
        return {available, false, false};
    }
    if (!is_word(bytes[limit])) {
        return {limit, false, false};
    }
    std::size_t length = limit;
    while (length > 0 && is_word(bytes[length - 1])) {
        --length;
    }
    if (length == 0) { // bytes[0] to bytes[limit] are all of one word
        return {limit, true, false};
    }
    return {length, false, false};
}

} // namespace crosslang
