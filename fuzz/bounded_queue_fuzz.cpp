// SPDX-License-Identifier: BSL-1.0
/// @file
/// Programs of the bounded queue's operations (bounded_program.hpp); the input's first byte is the element type and Env.
#include "bounded_program.hpp"

#include "epoque/bounded_queue.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>

namespace epoque::fuzz {
namespace {

template <class T, class Env>
struct maker {
    basic_domain<Env>& home;
    std::unique_ptr<bounded_queue<T, Env>> make(std::size_t capacity) {
        return std::make_unique<bounded_queue<T, Env>>(capacity, home);
    }
};

template <class T, class Env>
void run(program& input) {
    basic_domain<Env> home;
    home.own_record(); // the thread's first use allocates, and no step expects that
    bounded_program<T, maker<T, Env>>(input, {home}).run();
}

} // namespace
} // namespace epoque::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace epoque::fuzz; // NOLINT(google-build-using-namespace)
    program input(data, size);
    switch (input.below(5)) {
    case 0:
        run<std::uint64_t, epoque::std_env>(input);
        break;
    case 1:
        run<counted, small_env>(input);
        break;
    case 2:
        run<wide, small_env>(input);
        break;
    case 3:
        run<std::unique_ptr<counted>, small_env>(input);
        break;
    default:
        run<wide, epoque::std_env>(input);
    }
    return 0;
}
