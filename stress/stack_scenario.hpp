// SPDX-License-Identifier: BSL-1.0
/// @file
/// The stack's scenario, for every engine: a stack of numbers that tell who pushed them (harness/recorded.hpp).
#pragma once

#include "harness/container_stress.hpp"

#include "epoque/stack.hpp"

namespace epoque::stress {

template <class Env>
using stack_of_numbers = stack<std::uint64_t, Env>;

} // namespace epoque::stress
