// SPDX-License-Identifier: BSL-1.0
/// @file
/// What the stress, freeze and model tests of task_pool share: a crew as an executor, whoever its threads are.
#pragma once

#include "epoque/domain.hpp"
#include "epoque/tasks/crew.hpp"
#include "epoque/tasks/future.hpp"
#include "epoque/tasks/lane.hpp"

#include <utility>

namespace epoque::stress {

template <class Env>
class crew_executor {
  public:
    using env_type = Env;

    crew_executor(basic_domain<Env>& home, unsigned workers) : crew_(home, workers) {}

    bool execute(basic_task<Env>&& work) { return crew_.take(work); }
    bool execute_last(basic_task<Env>&& work) { return crew_.take(work, true); }
    core::origin<Env> origin() noexcept { return {&crew_, nullptr}; }
    core::crew<Env>& crew() noexcept { return crew_; }

  private:
    core::crew<Env> crew_;
};

} // namespace epoque::stress
