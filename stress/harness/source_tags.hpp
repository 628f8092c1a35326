// SPDX-License-Identifier: BSL-1.0
/// @file
/// The `[operation.step]` tags that every atomic operation of our headers carries in a comment above it: which one
/// belongs to a source line, and which lines belong to a tag.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace epoque::stress {

/// One tag. Its lines reach from the comment to the line before the next tag's comment.
struct source_tag {
    std::string name;  ///< "push.ticket"
    std::string order; ///< the word after the bracket: "release", "relaxed", ...
    unsigned first = 0;
    unsigned last = 0;
};

/// All tags of a file in the order of its lines; empty when the file cannot be read.
std::vector<source_tag> tags_of(const std::filesystem::path& file);

/// "[push.ticket]" for a line that belongs to a tag, else "queue.hpp:123". Files are read once and kept.
std::string describe_line(std::string_view file, unsigned line);

} // namespace epoque::stress
