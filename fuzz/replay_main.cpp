// SPDX-License-Identifier: BSL-1.0
/// @file
/// Runs a target over files, where there is no libFuzzer: `<home>_fuzz FILE|FOLDER...` prints `N inputs replayed`.
/// An input that breaks something ends the process; its name is the last one on standard error.
#include "program.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

/// The files that the arguments name, those in folders in the order of their names.
std::vector<fs::path> inputs_of(int count, char** arguments) {
    std::vector<fs::path> inputs;
    for (int i = 1; i < count; ++i) {
        const fs::path given(arguments[i]);
        if (!fs::is_directory(given)) {
            inputs.push_back(given);
            continue;
        }
        const std::size_t first = inputs.size();
        for (const fs::directory_entry& each : fs::recursive_directory_iterator(given)) {
            if (each.is_regular_file()) {
                inputs.push_back(each.path());
            }
        }
        std::sort(inputs.begin() + static_cast<std::ptrdiff_t>(first), inputs.end());
    }
    return inputs;
}

std::vector<std::uint8_t> content_of(const fs::path& input) {
    std::ifstream file(input, std::ios::binary);
    if (!file) {
        throw std::runtime_error("cannot read " + input.string() + ". Name files, or folders of files, to replay.");
    }
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

} // namespace

int main(int count, char** arguments) try {
    const std::vector<fs::path> inputs = inputs_of(count, arguments);
    if (inputs.empty()) {
        std::fprintf(stderr, "%s: nothing to replay. Name files, or folders of files.\n", arguments[0]);
        return 2;
    }
    for (const fs::path& each : inputs) {
        std::fprintf(stderr, "%s\n", each.c_str());
        const std::vector<std::uint8_t> content = content_of(each);
        LLVMFuzzerTestOneInput(content.data(), content.size());
    }
    std::printf("%zu inputs replayed\n", inputs.size());
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", arguments[0], error.what());
    return 2;
}
