// SPDX-License-Identifier: BSL-1.0
/// @file
/// Programs of queue's operations: unbounded_program.hpp.
#include "unbounded_program.hpp"

#include "epoque/queue.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return epoque::fuzz::run_unbounded<epoque::queue>(data, size);
}
