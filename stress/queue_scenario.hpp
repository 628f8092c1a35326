// SPDX-License-Identifier: BSL-1.0
/// @file
/// The queue's scenario, for every engine: a queue of numbers that tell who pushed them (harness/recorded.hpp).
#pragma once

#include "harness/container_stress.hpp"

#include "epoque/queue.hpp"

namespace epoque::stress {

template <class Env>
using queue_of_numbers = queue<std::uint64_t, Env>;

} // namespace epoque::stress
