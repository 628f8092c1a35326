// SPDX-License-Identifier: BSL-1.0
/// @file
/// Programs of the single-producer queue's operations (bounded_program.hpp); the input's first byte is the element type.
#include "bounded_program.hpp"

#include "epoque/spsc_queue.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>

namespace epoque::fuzz {
namespace {

template <class T>
struct maker {
    static std::unique_ptr<spsc_queue<T>> make(std::size_t capacity) {
        return std::make_unique<spsc_queue<T>>(capacity);
    }
};

template <class T>
void run(program& input) {
    bounded_program<T, maker<T>>(input, maker<T>()).run();
}

} // namespace
} // namespace epoque::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace epoque::fuzz; // NOLINT(google-build-using-namespace)
    program input(data, size);
    switch (input.below(4)) {
    case 0:
        run<std::uint64_t>(input);
        break;
    case 1:
        run<counted>(input);
        break;
    case 2:
        run<wide>(input);
        break;
    default:
        run<std::unique_ptr<counted>>(input);
    }
    return 0;
}
