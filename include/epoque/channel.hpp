// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: channel. Depends on: base, queue.hpp (the default container), core/waiters.hpp (the protocol and its proof),
/// core/waiting_*.hpp.
///
/// `channel<T, Queue>`: waiting, deadlines, stop tokens and coroutines over any concurrent queue or stack.
///
///     push ---> queue ---> pop            the container does the work; nobody waits: the channel only looks, by one load
///                 |
///           waiters: w1 w2 w3             those who found it empty (or full), served in the order of their arrival by
///                                         whoever makes an element (or room)
///
/// Invariants:
///   C1  Every operation that puts an element in, or takes one out of a container that can be full, looks for waiters
///       afterwards; close attempts everybody's operation. With I1 and D2 (core/): no wake-up is lost.
///   C2  While an operation waits it does nothing itself: the dispatcher does it, once. So a container for one producer or
///       one consumer stays one: its owner and the dispatcher never operate at the same time, and each sees what the other
///       did.
///   C3  A container answers `busy` to a pop (push) only beside an operation of the other side that is under way in this channel
///       and will look; or, where the kernel has begun to refuse membarrier, until the producer of a closing spsc_queue
///       comes by, who looks. Threads then try again with pauses. A coroutine that waits relies on that look.
#pragma once

#include "epoque/concepts.hpp"
#include "epoque/core/waiters.hpp"
#include "epoque/core/waiting_coroutine.hpp"
#include "epoque/core/waiting_operation.hpp"
#include "epoque/core/waiting_thread.hpp"
#include "epoque/queue.hpp"

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <iterator>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace epoque {

/// What has a `push` that never waits, can't be full.
template <class Queue>
concept never_full = requires(Queue& container, typename Queue::value_type value) {
    { container.push(std::move(value)) } -> std::same_as<bool>;
};

/// Resumes a coroutine where it is answered: inside of the other side's push, pop, close or request_stop.
struct resume_inline {
    void operator()(std::coroutine_handle<> waiting) const { waiting.resume(); }
};

/// Where async operations have their coroutines resumed: a callable that resumes the handle itself, or has somebody else do
/// it. Called once for each wait, from any thread; must not throw (an exception ends the program).
template <class Resume>
concept resumer = std::move_constructible<Resume> && std::invocable<Resume&, std::coroutine_handle<>>;

/// A queue (or stack) on which one can wait.
///
/// Use it when:      consumers have nothing else to do while it is empty, or producers while it is full.
/// Use instead:      the queue itself where nobody ever waits; `std::mutex` and `std::condition_variable` where a condition
///                   spans more than one container.
/// Elements:         as Queue.
/// Order:            as Queue. Waiters of one side are served in the order of their arrival, one for each element (or
///                   room); an operation that need not wait does not queue up behind them, so a waiter may be overtaken.
/// Memory:           as Queue, and 256 bytes. Waiting allocates nothing.
/// Progress:         the try_ operations, close, and pushes into what is never full: as Queue. What waits, blocks.
/// Cost:             a load and a branch an operation while nobody waits (in the fallback mode a read-modify-write). A wait
///                   spins for less than a microsecond, then costs a heavy barrier and a system call, its wake another one.
/// Concurrency:      as Queue, and any thread for the rest, but for constructors and destructor. An element's own code and a
///                   deleter must not wait in the channel. A fork's child must not use a channel that somebody waited in.
/// Sources:          core/waiters.hpp. The interface is P0260R20's, with coroutines in place of senders.
///
///     epoque::channel<job> jobs;
///     std::jthread worker([&] {
///         while (auto next = jobs.pop()) {
///             run(*std::move(next));
///         }
///     });
///     jobs.push(job{42});
///     jobs.close(); // the worker takes what is there, and ends
template <element T, class Queue = queue<T>, class Env = std_env>
    requires concurrent_container<Queue> && std::same_as<T, typename Queue::value_type>
class channel {
    using popping = core::popping<Queue>;
    using pushing = core::pushing<Queue>;

  public:
    using value_type = T;
    using container_type = Queue;
    static constexpr bool is_fifo = Queue::is_fifo;

    /// An open channel over Queue(arguments...). Throws: what that throws.
    template <class... Arguments>
        requires std::constructible_from<Queue, Arguments...>
    explicit channel(Arguments&&... arguments) : queue_(std::forward<Arguments>(arguments)...) {}
    channel(const channel&) = delete;
    channel& operator=(const channel&) = delete;
    /// Precondition: no operation runs, nobody waits. Ends the program when it sees that somebody does.
    ~channel() {
        if (waiters_.was_waiting() != 0) {
            misuse(
                "a channel was destroyed while threads or coroutines wait in it. Close it and let them leave first.");
        }
    }

    // ---- push --------------------------------------------------------------------------------------------------------

    /// Puts `value` in; waits while the container is full.
    ///
    /// Returns:         true; false when the channel is closed, `value` is then unchanged.
    /// Progress:        as the container where that is never full; else blocking.
    /// Linearizes at:   the container's push.
    /// Synchronization: with the pop that returns this value.
    /// Complexity:      the container's, and a load; with somebody waiting O(1), and a system call for a thread.
    /// Throws:          what the container's push throws; `value` is then unchanged.
    /// Pins:            as the container; not while it waits.
    /// See:             docs/memory-model.md#waiting
    bool push(T&& value) {
        if constexpr (never_full<Queue>) {
            return try_push(std::move(value)) == conqueue_status::success;
        } else {
            return perform(pushing(queue_, value), core::never_passes(), {}) == conqueue_status::success;
        }
    }
    bool push(const T& value)
        requires std::copy_constructible<T>
    {
        return push(T(value));
    }
    template <class... Arguments>
    bool emplace(Arguments&&... arguments)
        requires std::constructible_from<T, Arguments...>
    {
        return push(T(std::forward<Arguments>(arguments)...));
    }

    /// The same without waiting. Returns: success, closed, full or busy; but for success `value` is unchanged.
    conqueue_status try_push(T&& value) {
        const conqueue_status status = queue_.try_push(std::move(value));
        done<pushing>(status);
        return status;
    }
    conqueue_status try_push(const T& value)
        requires std::copy_constructible<T>
    {
        return try_push(T(value));
    }
    template <class... Arguments>
    conqueue_status try_emplace(Arguments&&... arguments)
        requires std::constructible_from<T, Arguments...>
    {
        return try_push(T(std::forward<Arguments>(arguments)...));
    }

    /// The same, waiting until a stop request or the deadline at the latest; room that is there is always used.
    ///
    /// Returns:         success; closed; full (or busy): given up. But for success `value` is unchanged. A deadline that is
    ///                  past is no wait, and one in the future is never answered before it passes.
    conqueue_status push(T&& value, const std::stop_token& stop) {
        return perform(pushing(queue_, value), core::never_passes(), stop);
    }
    template <class Rep, class Period>
    conqueue_status push_for(T&& value, const std::chrono::duration<Rep, Period>& patience,
                             const std::stop_token& stop = {}) {
        return perform(pushing(queue_, value), core::passes_in<Env>(core::nanoseconds_of(patience)), stop);
    }
    template <class Clock, class Duration>
    conqueue_status push_until(T&& value, const std::chrono::time_point<Clock, Duration>& deadline,
                               const std::stop_token& stop = {}) {
        return perform(pushing(queue_, value), core::passes_at<Env, Clock, Duration>(deadline), stop);
    }

    /// Puts [first, last) in as the container's push_range does, waiting where it is full. Returns: as that; of a queue the
    /// iterator to the first element that was not put in: `last`, unless closed.
    template <class Iterator>
    auto push_range(Iterator first, Iterator last)
        requires requires(Queue& container) { container.push_range(first, last); };

    // ---- pop ---------------------------------------------------------------------------------------------------------

    /// Takes the next element; waits while there is none.
    ///
    /// Returns:         the element; nothing when the channel is closed and drained.
    /// Progress:        blocking.
    /// Linearizes at:   the container's pop.
    /// Synchronization: with the push of this element; nothing: with the close.
    /// Complexity:      the container's where an element is there.
    /// Throws:          what the container's pop throws.
    /// Pins:            as the container; not while it waits.
    std::optional<T> pop() {
        auto got = perform(popping(queue_), core::never_passes(), {});
        return got ? std::optional<T>(*std::move(got)) : std::nullopt;
    }

    /// The same without waiting. Returns: the element; or empty, closed (and drained) or busy.
    expected<T, conqueue_status> try_pop() {
        auto got = queue_.try_pop();
        done<popping>(got ? conqueue_status::success : got.error());
        return got;
    }

    /// The same, waiting until a stop request or the deadline at the latest; an element that is there is always taken.
    ///
    /// Returns:         the element; closed; empty (or busy): given up. Deadlines are as in push_until.
    expected<T, conqueue_status> pop(const std::stop_token& stop) {
        return perform(popping(queue_), core::never_passes(), stop);
    }
    template <class Rep, class Period>
    expected<T, conqueue_status> pop_for(const std::chrono::duration<Rep, Period>& patience,
                                         const std::stop_token& stop = {}) {
        return perform(popping(queue_), core::passes_in<Env>(core::nanoseconds_of(patience)), stop);
    }
    template <class Clock, class Duration>
    expected<T, conqueue_status> pop_until(const std::chrono::time_point<Clock, Duration>& deadline,
                                           const std::stop_token& stop = {}) {
        return perform(popping(queue_), core::passes_at<Env, Clock, Duration>(deadline), stop);
    }

    /// Takes up to `count` elements into `out` by the container's bulk operation, without waiting; returns how many.
    template <class Output>
    std::size_t try_pop_n(Output out, std::size_t count)
        requires requires(Queue& container) { container.try_pop_n(out, count); };
    /// The same, waiting for the first one. Returns: how many; 0 when the channel is closed and drained.
    template <class Output>
    std::size_t pop_n(Output out, std::size_t count)
        requires requires(Queue& container) { container.try_pop_n(out, count); };
    /// Takes everything that is there by `consume(T&&)`, noexcept, without waiting; returns how many.
    template <class Consume>
    std::size_t pop_all(Consume consume)
        requires requires(Queue& container) { container.pop_all(consume); }
    {
        const std::size_t taken = queue_.pop_all(std::move(consume));
        done<popping>(conqueue_status::success);
        return taken;
    }

    // ---- coroutines --------------------------------------------------------------------------------------------------

    /// `co_await channel.async_pop()`: as pop, but the coroutine is suspended instead of the thread. Gives an
    /// expected<T, conqueue_status>: the element; closed; empty: a stop was requested.
    ///
    /// Where:           resumed by `resume(handle)`, from the thread that serves it; not suspended where an element is there.
    ///                  Inline is for coroutines that go to sleep again soon: the push that resumes one waits for it, and
    ///                  where it has a stop token also for its stop callback. Two such coroutines with different tokens
    ///                  whose stops are requested at once can wait for each other: give them a `resume` that hands them on.
    /// Life cycle:      the channel must outlive the wait; a coroutine that is destroyed while it waits ends the program.
    /// Throws:          as pop; system_error where the kernel has begun to refuse membarrier (seccomp), so that nobody can
    ///                  promise a wake-up.
    /// Concurrency:     allocates nothing. The order among waiters is that of threads and coroutines together.
    auto async_pop(std::stop_token stop = {}) { return async_pop(resume_inline(), std::move(stop)); }
    template <resumer Resume>
    auto async_pop(Resume resume, std::stop_token stop = {}) {
        return async_operation<popping, Resume>(*this, popping(queue_), std::move(resume), std::move(stop));
    }

    /// `co_await channel.async_push(value)`: as push. Gives success; closed; full: a stop was requested. But for success
    /// `value` is unchanged. It is kept by reference where it is an rvalue: await in the same expression.
    auto async_push(T&& value, std::stop_token stop = {}) {
        return async_push(std::move(value), resume_inline(), std::move(stop));
    }
    template <resumer Resume>
    auto async_push(T&& value, Resume resume, std::stop_token stop = {}) {
        return async_operation<pushing, Resume>(*this, pushing(queue_, value), std::move(resume), std::move(stop));
    }

    // ---- the whole ---------------------------------------------------------------------------------------------------

    /// No push succeeds any more; everybody who waits is told when the elements are used up. Idempotent.
    ///
    /// Progress, Throws, Linearizes at: as the container's close. Resumes coroutines, as a push does.
    void close() noexcept {
        queue_.close();
        waiters_.look_at_all();
    }
    bool is_closed() const noexcept { return queue_.is_closed(); }

    /// Racy observers, as the container's.
    bool was_empty() const
        requires requires(const Queue& container) { container.was_empty(); }
    {
        return queue_.was_empty();
    }
    std::size_t was_size() const
        requires requires(const Queue& container) { container.was_size(); }
    {
        return queue_.was_size();
    }
    /// How many operations waited a moment ago.
    std::size_t was_waiting() const noexcept { return waiters_.was_waiting(); }

  private:
    template <class Action, class Resume>
    class async_operation;

    /// C1: after an operation that needed nobody's help.
    template <class Action>
    void done(conqueue_status status) noexcept {
        constexpr bool awaited_by_nobody = Action::makes == core::awaited::room && never_full<Queue>;
        if constexpr (!awaited_by_nobody) {
            // Closed: where the kernel has begun to refuse membarrier, this operation may have decided an spsc_queue's close.
            if (status == conqueue_status::success || status == conqueue_status::closed) [[likely]] {
                waiters_.look(Action::makes);
            }
        }
    }
    template <class Action, class Deadline>
    typename Action::result perform(Action action, const Deadline& until, const std::stop_token& stop);

    Queue queue_;
    core::waiters<Env> waiters_;
};

template <element T, class Queue, class Env>
    requires concurrent_container<Queue> && std::same_as<T, typename Queue::value_type>
template <class Action, class Deadline>
typename Action::result channel<T, Queue, Env>::perform(Action action, const Deadline& until,
                                                        const std::stop_token& stop) {
    core::waiting_operation<core::waiting_thread<Env>, Action> self(action);
    unsigned spins = 0;
    for (unsigned busy = 0;;) {
        if (core::is_answer(self.try_now())) {
            done<Action>(self.status());
            return self.answer();
        }
        if (until.passed() || stop.stop_requested()) {
            return self.answer();
        }
        if (self.status() == conqueue_status::busy) {
            Env::relax(busy++);
        } else if (spins < Env::spin_before_park) {
            ++spins;
            Env::pause();
        } else {
            self.wait(waiters_, until, stop);
            if (self.status() != conqueue_status::busy) {
                return self.answer();
            }
        }
    }
}

/// The awaiter of async_pop and async_push.
template <element T, class Queue, class Env>
    requires concurrent_container<Queue> && std::same_as<T, typename Queue::value_type>
template <class Action, class Resume>
class [[nodiscard]] channel<T, Queue, Env>::async_operation {
  public:
    async_operation(channel& on, Action action, Resume resume, std::stop_token stop) noexcept
        : channel_(on), self_(action, std::move(resume), std::move(stop)) {}

    bool await_ready() {
        channel_.template done<Action>(self_.try_now());
        return core::is_answer(self_.status()) || self_.stop_requested();
    }
    bool await_suspend(std::coroutine_handle<> self) { return self_.suspend(channel_.waiters_, self); }
    typename Action::result await_resume() {
        self_.resumed(self_.gave_up());
        return self_.answer();
    }

  private:
    channel& channel_;
    core::waiting_operation<core::waiting_coroutine<Env, Resume>, Action> self_;
};

// ---- bulk ------------------------------------------------------------------------------------------------------------------

template <element T, class Queue, class Env>
    requires concurrent_container<Queue> && std::same_as<T, typename Queue::value_type>
                                        template <class Iterator>
                                        auto channel<T, Queue, Env>::push_range(Iterator first, Iterator last)
                 requires requires(Queue& container) { container.push_range(first, last); }
{
    const auto put = [&] {
        try {
            auto answer = queue_.push_range(first, last);
            done<pushing>(conqueue_status::success); // or nothing was put in, and the look is in vain
            return answer;
        } catch (...) {
            done<pushing>(conqueue_status::success);
            throw;
        }
    };
    if constexpr (std::same_as<decltype(put()), Iterator> && !never_full<Queue>) {
        using reference = std::iter_reference_t<Iterator>;
        using origin = std::conditional_t<std::is_same_v<reference, T&&>, T&&, T>;
        for (;;) {
            first = put();
            if (first == last || !push(static_cast<origin>(*first))) { // the next one waits for all of them
                return first;
            }
            ++first;
        }
    } else {
        return put();
    }
}

template <element T, class Queue, class Env>
    requires concurrent_container<Queue> && std::same_as<T, typename Queue::value_type>
                                        template <class Output>
                                        std::size_t channel<T, Queue, Env>::try_pop_n(Output out, std::size_t count)
                 requires requires(Queue& container) { container.try_pop_n(out, count); }
{
    try {
        const std::size_t taken = queue_.try_pop_n(std::move(out), count);
        done<popping>(taken == 0 ? conqueue_status::empty : conqueue_status::success);
        return taken;
    } catch (...) {
        done<popping>(conqueue_status::success); // some may have been taken
        throw;
    }
}

template <element T, class Queue, class Env>
    requires concurrent_container<Queue> && std::same_as<T, typename Queue::value_type>
                                        template <class Output>
                                        std::size_t channel<T, Queue, Env>::pop_n(Output out, std::size_t count)
                 requires requires(Queue& container) { container.try_pop_n(out, count); }
{
    if (count == 0) {
        return 0;
    }
    if (const std::size_t taken = try_pop_n(out, count); taken != 0) {
        return taken;
    }
    std::optional<T> first = pop();
    if (!first) {
        return 0;
    }
    *out = *std::move(first);
    ++out;
    return 1 + try_pop_n(std::move(out), count - 1);
}

static_assert(concurrent_queue<channel<int>>);

} // namespace epoque
