// SPDX-License-Identifier: BSL-1.0
/// @file
/// The bounded queue's scenario, for every engine: a small queue of numbers, so that it is often full and often empty.
#pragma once

#include "harness/recorded.hpp"

#include "epoque/bounded_queue.hpp"
#include "epoque/domain.hpp"

namespace epoque::stress {

template <class Env, std::size_t Capacity>
struct bounded_queue_of_numbers : bounded_queue<std::uint64_t, Env> {
    static constexpr std::size_t tested_capacity = Capacity;
    explicit bounded_queue_of_numbers(basic_domain<Env>& home) : bounded_queue<std::uint64_t, Env>(Capacity, home) {}
};

} // namespace epoque::stress
