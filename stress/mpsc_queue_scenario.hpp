// SPDX-License-Identifier: BSL-1.0
/// @file
/// The single-consumer queue's scenario, for every engine: a queue of numbers that tell who pushed them.
#pragma once

#include "harness/container_stress.hpp"

#include "epoque/mpsc_queue.hpp"

namespace epoque::stress {

template <class Env>
struct mpsc_queue_of_numbers : mpsc_queue<std::uint64_t, Env> {
    static constexpr bool one_consumer = true;
    using mpsc_queue<std::uint64_t, Env>::mpsc_queue;
};

} // namespace epoque::stress
