// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: channel, task_pool. Depends on: base, domain, tasks/executor.hpp, tasks/future.hpp, tasks/lane.hpp, tasks/crew.hpp (the algorithm).
///
/// `task_pool`: threads that run tasks, by work stealing.
#pragma once

#include "epoque/base/config.hpp"
#include "epoque/base/error.hpp"
#include "epoque/core/deadline.hpp"
#include "epoque/domain.hpp"
#include "epoque/tasks/crew.hpp"
#include "epoque/tasks/executor.hpp"
#include "epoque/tasks/future.hpp"
#include "epoque/tasks/lane.hpp"

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace epoque {

/// A pool's figures. Each count was right at some moment of the call.
using task_pool_stats = core::crew_stats;

struct task_pool_options {
    /// How many threads; 0: as many as the machine runs at once. More help where tasks block.
    unsigned threads = 0;
    /// Called by each thread before its first task, with its number from 0: to name it, or to tie it to a processor. It must
    /// not wait for tasks of the pool. An exception ends the program.
    std::function<void(unsigned)> on_start = {};
    /// Reclaims the pool's queues; must outlive it. Null: default_domain().
    domain* home = nullptr;
};

/// Threads that run tasks. Each has a deque of its own for what its tasks submit, newest first, and steals the oldest of the
/// others when it has none; tasks from outside come through one queue, in order.
///
/// Use it when:      work comes in pieces, and pieces make more pieces.
/// Use instead:      threads and a `channel` where each thread has one job; `lane` on top of it where pieces must keep an order.
/// Order:            tasks from outside begin in the order of submission, but for those that run at the same time. A task's own
///                   tasks begin newest first, or are stolen oldest first. Use a `lane` where order matters.
/// Memory:           a block for each task; deques and the queue as theirs.
/// Fairness:         once in 61 tasks a worker takes the oldest from outside, or the oldest of its own, by turns; a lane's turn
///                   (32 tasks) counts as one, and what get() runs is not counted. None among workers.
/// Progress:         submit and execute are lock-free, plus a system call that does not block where a thread sleeps. A task that
///                   sleeps holds up its own thread only.
/// Cost:             bench/task_pool_bench.cpp.
/// Concurrency:      any thread, every member but constructor and destructor. A fork's child must not use it: its threads are the
///                   parent's.
/// Shutdown:         in reverse order of acquisition: what comes in is refused; tasks that are there, and what they submit, run;
///                   the threads are joined, the youngest first; then on_shutdown's callables run, the last one first.
/// Sources:          tasks/crew.hpp.
///
///     epoque::task_pool pool;
///     auto left = pool.submit([&] { return sum(begin, middle); });
///     const auto right = sum(middle, end);
///     use(left.get() + right);
class task_pool {
    using crew_type = core::crew<std_env>;

  public:
    /// Throws: bad_alloc, system_error where the system has no thread left. (A thread that finds no memory for its record in the
    /// domain ends the program.)
    explicit task_pool(const task_pool_options& options = {})
        : crew_(options.home != nullptr ? *options.home : default_domain(), count_of(options.threads)) {
        threads_.reserve(crew_.size());
        try {
            for (unsigned number = 0; number < crew_.size(); ++number) {
                threads_.emplace_back([this, number, start = options.on_start]() noexcept {
                    crew_.work(number, [&] {
                        if (start) {
                            start(number);
                        }
                    });
                });
            }
        } catch (...) {
            crew_.dismiss();
            join();
            throw;
        }
    }
    explicit task_pool(unsigned threads) : task_pool(task_pool_options{.threads = threads}) {}
    task_pool(const task_pool&) = delete;
    task_pool& operator=(const task_pool&) = delete;
    /// As shutdown(). Precondition: nobody else uses the pool any more.
    ~task_pool() { shutdown(); }

    // ---- tasks -------------------------------------------------------------------------------------------------------

    /// Hands `work` over; nobody waits for it.
    ///
    /// Returns:         true; false: the pool is closed, `work` is unchanged. Never false inside one of the pool's own tasks.
    ///                  (After stop() what is taken is dropped.)
    /// Progress:        lock-free, plus a system call where a thread sleeps.
    /// Linearizes at:   the queue's or the deque's push.
    /// Synchronization: with the task's begin.
    /// Throws:          bad_alloc; `work` is then unchanged.
    bool execute(task&& work) { return crew_.take(checked(work)); }
    /// The same; and a task's own tasks go behind those that wait, not before them.
    bool execute_last(task&& work) { return crew_.take(checked(work), true); }

    /// Hands `work` over: a callable without arguments or with a std::stop_token, whose stop is requested by future::cancel and by
    /// stop().
    ///
    /// Returns:         the future of its result. Of a closed pool: of a cancelled task.
    /// Throws:          bad_alloc, and what moving or copying `work` throws.
    template <class Work>
    auto submit(Work&& work) {
        return epoque::submit(*this, std::forward<Work>(work));
    }

    /// `co_await pool.schedule()`: the coroutine goes on in one of the pool's threads. Allocates nothing but what the queue does.
    /// Throws: bad_alloc; task_cancelled, in the coroutine, when the pool was closed or stopped before it came to that.
    auto schedule() noexcept {
        class [[nodiscard]] awaiter final : public core::task_node<std_env> {
          public:
            explicit awaiter(task_pool& to) noexcept : core::task_node<std_env>(&awaiter::resume), pool_(to) {}
            awaiter(const awaiter&) = delete;
            awaiter& operator=(const awaiter&) = delete;
            ~awaiter() {
                if (state_ == state::waiting) {
                    misuse("a coroutine was destroyed while it waits for a thread of a task pool, which would resume "
                           "freed "
                           "memory. Let it go on, or shut the pool down, first.");
                }
            }
            static constexpr bool await_ready() noexcept { return false; }
            /// Not inlined: a compiler might keep locals in the frame, which may be gone before this returns.
            EPOQUE_NOINLINE bool await_suspend(std::coroutine_handle<> self) {
                self_ = self;
                state_ = state::waiting;
                conqueue_status status = conqueue_status::closed;
                try {
                    status = pool_.crew_.submit(*this); // it may be resumed, and gone, before that returns
                } catch (...) {
                    state_ = state::refused;
                    throw;
                }
                if (status == conqueue_status::success) {
                    return true;
                }
                state_ = state::refused;
                return false;
            }
            void await_resume() const {
                if (state_ == state::refused) {
                    throw task_cancelled();
                }
            }

          private:
            enum class state : std::uint8_t { fresh, waiting, runs, refused };

            static void resume(core::task_node<std_env>& node, core::fate what) noexcept {
                auto& self = static_cast<awaiter&>(node);
                self.state_ = what == core::fate::run ? state::runs : state::refused;
                self.self_.resume();
            }
            task_pool& pool_;
            std::coroutine_handle<> self_;
            state state_ = state::fresh;
        };
        return awaiter(*this);
    }
    /// For channel::async_pop and its like: has coroutines resumed by the pool instead of by who wakes them. By that one all the
    /// same where the pool is closed or there is no memory; also by a pool that is stopped, which drops tasks, not coroutines.
    auto resumer() noexcept {
        return [this](std::coroutine_handle<> waiting) noexcept {
            resumption* made = nullptr;
            try {
                made = core::make_by_env<std_env, resumption>(waiting);
                if (crew_.submit(*made) == conqueue_status::success) {
                    return;
                }
            } catch (...) { // NOLINT(bugprone-empty-catch): no memory
            }
            if (made != nullptr) {
                core::end_by_env<std_env>(made);
            }
            waiting.resume();
        };
    }

    // ---- the end -----------------------------------------------------------------------------------------------------

    /// Has `last` called by shutdown(), after all tasks, before those that were registered earlier. It may register others, and
    /// must not shut the pool down. An exception of it ends the program. Throws: bad_alloc.
    void on_shutdown(std::function<void()> last) {
        const std::lock_guard lock(list_);
        last_.push_back(std::move(last));
    }

    /// Refuses what comes in from now on. What is there still runs, and so does what its tasks submit. (Not the tasks of a lane that
    /// somebody from outside has called for in the meantime.) Idempotent, lock-free. As the queue's, it ends the program where
    /// a thread's first use of the domain finds no memory.
    void close() noexcept { crew_.close(); }
    /// The same; but tasks that have not begun are dropped (their futures say cancelled), and stop tokens are told. Lock-free,
    /// but for what tasks do when they are told.
    void stop() noexcept {
        crew_.stop(); // first: who ends because it was told to must find that what has not begun is dropped
        stop_.request_stop();
    }

    /// Ends the pool in the order that is described above, and returns when that is done. Idempotent.
    /// Precondition: not inside one of its tasks (`misuse`). Blocking, by nature.
    void shutdown() { static_cast<void>(end_by(core::never_passes())); }
    /// The same, if the tasks have ended by the deadline (what follows is not hurried). Returns: whether it is done. If not, the pool
    /// is closed, its tasks go on, and nothing else was ended: ask again, or stop() first.
    template <class Rep, class Period>
    bool shutdown_for(const std::chrono::duration<Rep, Period>& patience) {
        return end_by(core::passes_in<std_env>(core::nanoseconds_of(patience)));
    }

    // ---- the whole ---------------------------------------------------------------------------------------------------

    bool is_closed() const noexcept { return crew_.is_closed(); }
    /// How many threads.
    unsigned size() const noexcept { return crew_.size(); }
    /// Whether the calling thread is one of them.
    bool is_worker() const noexcept { return crew_type::has_caller(&crew_); }
    task_pool_stats stats() const noexcept { return crew_.stats(); }
    /// Stop is requested by stop().
    std::stop_token get_stop_token() const noexcept { return stop_.get_token(); }

    /// For epoque::submit.
    core::origin<std_env> origin() noexcept { return {&crew_, nullptr}; }

  private:
    /// A coroutine that is resumed, also by a pool that drops its tasks.
    class resumption final : public core::task_node<std_env> {
      public:
        explicit resumption(std::coroutine_handle<> waiting) noexcept
            : core::task_node<std_env>(&resumption::end), waiting_(waiting) {}

      private:
        static void end(core::task_node<std_env>& node, core::fate) noexcept {
            auto* const self = static_cast<resumption*>(&node);
            const std::coroutine_handle<> waiting = self->waiting_;
            core::end_by_env<std_env>(self);
            waiting.resume();
        }
        std::coroutine_handle<> waiting_;
    };

    static task& checked(task& work) {
        if (!work) {
            misuse("an empty task was given to a task pool: it has been run, or moved from, before.");
        }
        return work;
    }
    static unsigned count_of(unsigned wanted) noexcept {
        const unsigned all = wanted != 0 ? wanted : std::thread::hardware_concurrency();
        return all != 0 ? all : 1;
    }
    void join() {
        while (!threads_.empty()) {
            threads_.back().join();
            threads_.pop_back();
        }
    }
    template <class Deadline>
    bool end_by(const Deadline& until) {
        if (is_worker()) {
            misuse("a task pool was shut down, or destroyed, by one of its own tasks, which it would wait for. Do it "
                   "outside, or use close() or stop().");
        }
        close();
        if (!crew_.wait_for_end(until)) {
            return false;
        }
        const std::lock_guard lock(end_); // a second caller waits until all is done
        join();
        while (const std::function<void()> next = take_last()) {
            [&next]() noexcept { next(); }();
        }
        return true;
    }
    std::function<void()> take_last() {
        const std::lock_guard lock(list_);
        std::function<void()> taken;
        if (!last_.empty()) {
            taken = std::move(last_.back());
            last_.pop_back();
        }
        return taken;
    }

    crew_type crew_;
    std::stop_source stop_;
    std::mutex end_;  // of the end; also of threads_, once they run
    std::mutex list_; // of last_
    std::vector<std::function<void()>> last_;
    std::vector<std::thread> threads_;
};

static_assert(executor<task_pool>);
static_assert(executor<lane<task_pool>>);

} // namespace epoque
