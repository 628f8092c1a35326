// SPDX-License-Identifier: BSL-1.0
/// @file
/// Programs of mpsc_queue's operations: unbounded_program.hpp.
#include "unbounded_program.hpp"

#include "epoque/mpsc_queue.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return epoque::fuzz::run_unbounded<epoque::mpsc_queue>(data, size);
}
