// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: tasks. Depends on: base, tasks/executor.hpp, tasks/promise.hpp (the protocol), tasks/crew.hpp (who helps).
///
/// `future<R>`: what a task will have come to. `submit(executor, work)` makes one over any executor.
#pragma once

#include "epoque/base/config.hpp"
#include "epoque/base/error.hpp"
#include "epoque/core/deadline.hpp"
#include "epoque/tasks/crew.hpp"
#include "epoque/tasks/executor.hpp"
#include "epoque/tasks/promise.hpp"

#include <chrono>
#include <concepts>
#include <coroutine>
#include <exception>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace epoque {

/// What get() throws of a task that was cancelled before it began, or dropped by its executor. A task may throw it, too, when
/// it stops half-way.
class task_cancelled : public std::exception {
  public:
    const char* what() const noexcept override {
        return "epoque: the task was cancelled before it began: by future.cancel(), or since its executor was stopped, "
               "closed, or refused it";
    }
};

/// What a task will have come to. The future of one task, for one thread at a time.
///
/// Use it when:      one place waits for one result.
/// Use instead:      a `channel` for many results; a coroutine that awaits the future where no thread must be held up.
/// Progress:         is_ready: wait-free; cancel: lock-free, but for the callable's destructor and stop callbacks. get, wait:
///                   blocking, by nature. Inside of a task of the pool that the awaited one was submitted to, they run that
///                   one themselves where it has not begun; so tasks may wait for tasks, in a pool of one thread, too. (Not
///                   for each other in a circle; not for a later one of their own lane, which is a `misuse`; and tasks of two
///                   pools that wait for each other's need a thread each.) Waits with a deadline only wait.
/// Synchronization:  the task's end with the return of get, of a wait that says true, and of is_ready that says true.
/// Memory:           one block for task, callable and result; an exception's own.
/// Destruction:      lets go of the result. The task runs all the same: call cancel() where it should not.
///
///     auto sum = pool.submit([] { return add_up(); });
///     use(sum.get());
template <class R, class Env = std_env>
class future {
    using promise_type = core::promise_of<Env, R>;

  public:
    using value_type = R;

    future() noexcept = default;
    explicit future(promise_type& made) noexcept : promise_(&made) {}
    future(future&& other) noexcept : promise_(std::exchange(other.promise_, nullptr)) {}
    future& operator=(future&& other) noexcept {
        future(std::move(other)).swap(*this);
        return *this;
    }
    ~future() {
        if (promise_ != nullptr) {
            if (promise_->is_awaited()) {
                misuse(
                    "a coroutine that awaits a future was destroyed; the task's end would resume freed memory. Let the "
                    "task end, or stop its executor, first.");
            }
            promise_->leave();
        }
    }
    void swap(future& other) noexcept { std::swap(promise_, other.promise_); }

    /// Whether there is a task: not after get(), nor when moved from.
    bool valid() const noexcept { return promise_ != nullptr; }

    /// Whether the task has ended, in whichever way. Precondition, here and below: valid().
    bool is_ready() const { return state().is_ready(); }

    /// Waits for the end. Blocking.
    void wait() const { state().wait_for_end(); }
    /// The same, until the deadline at the latest. Returns: whether it has ended.
    template <class Rep, class Period>
    bool wait_for(const std::chrono::duration<Rep, Period>& patience) const {
        return state().wait(core::passes_in<Env>(core::nanoseconds_of(patience)));
    }
    template <class Clock, class Duration>
    bool wait_until(const std::chrono::time_point<Clock, Duration>& deadline) const {
        return state().wait(core::passes_at<Env, Clock, Duration>(deadline));
    }

    /// Waits, and takes the result; there is no task any more then.
    ///
    /// Returns:         what the task returned.
    /// Throws:          what the task threw; task_cancelled.
    R get() {
        wait();
        return take();
    }

    /// Has a task that has not begun never begin, and its callable destroyed before this returns; asks one that runs to stop by
    /// its stop token, if it takes one. Returns: whether the task was cancelled, now or before. (False of one that its executor
    /// is dropping at this very moment.)
    bool cancel() { return state().cancel(); }

    /// `co_await std::move(f)`: as get(), with the coroutine suspended instead of the thread. Resumed by the thread that ends or
    /// drops the task, inside of that: up to its next suspension it is a part of the task, and of its lane's turn, and should
    /// not block. Who wants to block goes elsewhere first: `co_await pool.schedule()`.
    auto operator co_await() && {
        class awaiter final : public core::task_node<Env> {
          public:
            explicit awaiter(future&& of) noexcept : core::task_node<Env>(&awaiter::resume), future_(std::move(of)) {}
            bool await_ready() const { return future_.is_ready(); }
            /// Not inlined: a compiler might keep locals in the frame, which may be gone before this returns.
            EPOQUE_NOINLINE bool await_suspend(std::coroutine_handle<> self) {
                self_ = self;
                return future_.state().subscribe(*this);
            }
            R await_resume() { return future_.take(); }

          private:
            static void resume(core::task_node<Env>& node, core::fate) noexcept {
                static_cast<awaiter&>(node).self_.resume();
            }
            future future_;
            std::coroutine_handle<> self_;
        };
        static_cast<void>(state());
        return awaiter(std::move(*this));
    }

  private:
    promise_type& state() const {
        if (promise_ == nullptr) {
            misuse("a future without a task was used: its result has been taken, or it was moved from.");
        }
        return *promise_;
    }
    R take() {
        const future last(std::move(*this));
        if (last.state().was_cancelled()) {
            throw task_cancelled();
        }
        return last.state().take();
    }

    promise_type* promise_ = nullptr;
};

/// Hands `work`, a callable without arguments or with a std::stop_token, to `where`.
///
/// Returns:         the future of its result. A callable that takes a stop token is given one whose stop is requested by
///                  future::cancel, and by where.get_stop_token() if there is such a member.
/// Throws:          bad_alloc, what moving or copying `work` throws, what the executor throws.
template <executor Executor, class Work>
    requires(std::constructible_from<std::decay_t<Work>, Work> &&
             (std::invocable<std::decay_t<Work>&> || core::takes_stop_token<std::decay_t<Work>>))
auto submit(Executor& where, Work&& work) {
    using env = typename detail::env_of<Executor>::type;
    using callable = std::decay_t<Work>;
    using result = typename core::result_of<callable>::type;
    core::origin<env> from;
    if constexpr (requires { where.origin(); }) {
        from = where.origin();
    }
    std::stop_token outer;
    if constexpr (core::takes_stop_token<callable> && requires { where.get_stop_token(); }) {
        outer = where.get_stop_token();
    }
    auto* const made = core::make_by_env<env, core::promise_to<env, callable>>(from, outer, std::forward<Work>(work));
    future<result, env> awaited(*made);
    where.execute(basic_task<env>::adopt(*made));
    return awaited;
}

} // namespace epoque
