// SPDX-License-Identifier: BSL-1.0
/// @file
/// epoque-stress: the channel on real threads, that wait, give up and are woken.
#include "channel_scenario.hpp"

namespace epoque::stress {
namespace {

const scenario_registration threads{
    {"channel", "threads",
     "Threads push and wait to pop, give up after a moment, close at random; every history is judged.",
     &run_container<patient_channel, container::queue>}};
const scenario_registration with_faults{
    {"channel-faults", "threads", "The same with delays at atomic operations and at sleeps, in both barrier modes.",
     &run_container_with_faults<patient_channel, container::queue>}};

} // namespace
} // namespace epoque::stress
