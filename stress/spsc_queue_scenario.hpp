// SPDX-License-Identifier: BSL-1.0
/// @file
/// The single-producer queue's scenario, for every engine: a small queue of numbers, so that it is often full and often empty.
#pragma once

#include "harness/recorded.hpp"

#include "epoque/domain.hpp"
#include "epoque/spsc_queue.hpp"

namespace epoque::stress {

template <class Env, std::size_t Capacity>
struct spsc_queue_of_numbers : spsc_queue<std::uint64_t, Env> {
    static constexpr std::size_t tested_capacity = Capacity;
    explicit spsc_queue_of_numbers(basic_domain<Env>&) : spsc_queue<std::uint64_t, Env>(Capacity) {}
};

} // namespace epoque::stress
