// SPDX-License-Identifier: BSL-1.0
#include "source_tags.hpp"

#include <fmt/format.h>

#include <cctype>
#include <fstream>
#include <limits>
#include <map>
#include <optional>

namespace epoque::stress {
namespace {

bool is_word(char c) {
    return std::islower(static_cast<unsigned char>(c)) != 0 || std::isdigit(static_cast<unsigned char>(c)) != 0 ||
           c == '_';
}

std::size_t skip_word(std::string_view text, std::size_t from) {
    while (from < text.size() && is_word(text[from])) {
        ++from;
    }
    return from;
}

// "    // [push.ticket] acq_rel: pairs with ..."
std::optional<source_tag> parse(std::string_view line) {
    const std::size_t slashes = line.find_first_not_of(" \t");
    if (slashes == std::string_view::npos || line.substr(slashes, 4) != "// [") {
        return std::nullopt;
    }
    const std::size_t open = slashes + 4;
    const std::size_t dot = skip_word(line, open);
    if (dot == open || dot >= line.size() || line[dot] != '.') {
        return std::nullopt;
    }
    const std::size_t close = skip_word(line, dot + 1);
    if (close == dot + 1 || close >= line.size() || line[close] != ']') {
        return std::nullopt;
    }
    const std::size_t order = std::min(close + 2, line.size());
    return source_tag{std::string(line.substr(open, close - open)),
                      std::string(line.substr(order, skip_word(line, order) - order))};
}

} // namespace

std::vector<source_tag> tags_of(const std::filesystem::path& file) {
    std::vector<source_tag> tags;
    std::ifstream in(file);
    std::string line;
    for (unsigned number = 1; std::getline(in, line); ++number) {
        if (auto tag = parse(line)) {
            if (!tags.empty()) {
                tags.back().last = number - 1;
            }
            tag->first = number;
            tag->last = std::numeric_limits<unsigned>::max();
            tags.push_back(std::move(*tag));
        }
    }
    return tags;
}

std::string describe_line(std::string_view file, unsigned line) {
    static std::map<std::string, std::vector<source_tag>, std::less<>> known;
    auto found = known.find(file);
    if (found == known.end()) {
        found = known.emplace(std::string(file), tags_of(std::filesystem::path(file))).first;
    }
    for (const source_tag& tag : found->second) {
        if (tag.first <= line && line <= tag.last) {
            return fmt::format("[{}]", tag.name);
        }
    }
    return fmt::format("{}:{}", std::filesystem::path(file).filename().string(), line);
}

} // namespace epoque::stress
