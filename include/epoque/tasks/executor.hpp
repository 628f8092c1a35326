// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: tasks. Depends on: base, tasks/task.hpp.
///
/// `task`, and what an executor is: anything that runs tasks. `task_pool` is one; your own thread pool is one as soon as it has
/// a member `execute(epoque::task)`.
#pragma once

#include "epoque/concepts.hpp"
#include "epoque/tasks/task.hpp"

#include <utility>

namespace epoque {

/// Work to be run once (tasks/task.hpp). Cost: one allocation.
using task = basic_task<std_env>;

static_assert(element<task>);

namespace detail {

/// The Env that an executor's tasks are for: its own, or real threads.
template <class Executor>
struct env_of {
    using type = std_env;
};
template <class Executor>
    requires requires { typename Executor::env_type; }
struct env_of<Executor> {
    using type = typename Executor::env_type;
};
template <class Executor>
using task_for = basic_task<typename env_of<Executor>::type>;

} // namespace detail

/// Runs each task that it is given once, at some time, on some thread. One that it does not want it destroys, or throws; whoever
/// waits for that task learns that it was cancelled. What happens before execute() happens before the task.
///
///     struct my_pool {
///         void execute(epoque::task work) { theirs.post([work = std::move(work)]() mutable { work(); }); }
///         ...
///     };
///     auto answer = epoque::submit(pool, [] { return 42; }); // tasks/future.hpp
template <class Executor>
concept executor = requires(Executor& where, detail::task_for<Executor> work) { where.execute(std::move(work)); };

} // namespace epoque
