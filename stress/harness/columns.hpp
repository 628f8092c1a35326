// SPDX-License-Identifier: BSL-1.0
/// @file
/// A failure as a picture: one column per thread, time from top to bottom.
///
///      step | thread 1                 | thread 2
///         1 | push(7)                  |
///         2 |   [push.ticket] 0 -> 1   |
///         3 |                          | try_pop()
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace epoque::stress {

/// One cell: what a thread did at a step. Steps are the order in the vector.
struct cell {
    std::size_t thread = 0; ///< from 0
    std::string text;
};

/// Cells wider than `width` are cut off and marked by "~".
std::string draw_columns(const std::vector<cell>& cells, std::size_t threads, std::size_t width = 44);

/// Relacy's trace as such a picture: its addresses become #1, #2, ..., its source lines become tags, and the accesses of
/// the lifetime canaries are left out. What cannot be read is kept as it is.
std::string draw_relacy_trace(std::string_view trace);

} // namespace epoque::stress
