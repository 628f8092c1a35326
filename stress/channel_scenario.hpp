// SPDX-License-Identifier: BSL-1.0
/// @file
/// The channel's scenarios, for every engine: channels of numbers that tell who pushed them (harness/recorded.hpp).
#pragma once

#include "harness/container_stress.hpp"

#include "epoque/channel.hpp"

#include <chrono>

namespace epoque::stress {

template <class Env>
using channel_of_numbers = channel<std::uint64_t, queue<std::uint64_t, Env>, Env>;

/// A channel whose pops wait for a moment: what they say after it must be as true as what try_pop says.
template <class Env>
class patient_channel : public channel_of_numbers<Env> {
  public:
    using channel_of_numbers<Env>::channel_of_numbers;
    expected<std::uint64_t, conqueue_status> try_pop() { return this->pop_for(std::chrono::microseconds(20)); }
};

} // namespace epoque::stress
