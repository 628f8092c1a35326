// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. Depends on: base, domain, core/swap_ring.hpp (the algorithm, its invariants and its sources).
///
/// `bounded_queue<T>`: the bounded multi-producer multi-consumer FIFO.
#pragma once

#include "epoque/concepts.hpp"
#include "epoque/core/elements.hpp"
#include "epoque/core/swap_ring.hpp"

#include <cstddef>
#include <iterator>
#include <type_traits>
#include <utility>

namespace epoque {

/// A bounded FIFO for any number of producers and consumers.
///
/// Use it when:      memory must not grow with the backlog, or producers should learn that consumers are behind.
/// Use instead:      `spsc_queue` between two threads; `queue` where producers must never be refused; a mutex and a
///                   `std::deque` where operations are rare.
/// Elements:         `element`: nothrow move-constructible and destructible; move-only is fine; no default constructor. Their
///                   move constructors and destructors must not use the queue that they are in.
/// Order:            linearizable FIFO over all producers.
/// Answers:          exact, whoever sleeps where: at some moment during a call that answers `full` the queue held `capacity`
///                   elements, and none during one that answers `empty`. There is no `busy`.
/// Memory:           8 bytes + sizeof(T) for each of `capacity` places, sizeof(T) + 128 bytes for each thread that its domain ever
///                   had at the same time (a thread's number there is its cell's), in steps of 32, all until the queue is destroyed. Only the constructor and a
///                   thread's first operation allocate. At most 2^32 places and 2^15 threads.
/// Fairness:         none: under contention a thread may lose its CAS any number of times; measured in docs/robustness.md#fairness.
/// Progress:         lock-free, every operation. A thread that sleeps inside one keeps nothing but its own spare cell.
/// Concurrency:      any thread, every member, but constructors and destructor.
/// Sources:          core/swap_ring.hpp.
///
///     epoque::bounded_queue<request> waiting(1000);
///     if (waiting.try_push(std::move(next)) == epoque::conqueue_status::full) {
///         refuse(std::move(next));                                              // still yours
///     }
template <element T, class Env = std_env>
class bounded_queue {
    using core_type = core::swap_ring<core::typed_cells<T, Env>, Env>;
    using cell = typename core_type::cell;

  public:
    using value_type = T;
    static constexpr bool is_fifo = true;

    /// An empty, open queue that takes exactly `capacity` elements. Throws: bad_alloc. Capacity 0 is a `misuse`.
    explicit bounded_queue(std::size_t capacity)
        requires std::is_same_v<Env, std_env>
        : bounded_queue(capacity, default_domain()) {}
    /// The same for threads of `home`, which must outlive the queue. (Nothing is retired: the queue uses the domain's records of
    /// its threads, and its memory.)
    bounded_queue(std::size_t capacity, basic_domain<Env>& home) : core_(capacity, home, core::typed_cells<T, Env>()) {}
    bounded_queue(const bounded_queue&) = delete;
    bounded_queue& operator=(const bounded_queue&) = delete;
    /// Destroys the elements that are left. Precondition: no operation runs.
    ~bounded_queue() {
        core_.destroy([](cell& slot) noexcept { slot.element.destroy(); });
    }

    /// Appends `value` at the tail.
    ///
    /// Returns:         success; full (there was a moment during the call at which the queue held `capacity` elements), or
    ///                  closed. `value` is unchanged then.
    /// Progress:        lock-free.
    /// Linearizes at:   [push.fill]; `full` and `closed` at [push.word].
    /// Synchronization: with the pop that returns this value (release/acquire); `closed` with the close.
    /// Complexity:      O(1), one read-modify-write; repeated when another operation came first.
    /// Throws:          bad_alloc, on a thread's first use of the domain or the queue; what T's copy constructor throws; queue
    ///                  and `value` are then unchanged.
    /// Pins:            none.
    /// See:             docs/memory-model.md#bounded-queue
    conqueue_status try_push(T&& value) {
        conqueue_status why = conqueue_status::success;
        core_.push(
            1, why, [&value](cell& slot) noexcept { slot.element.construct(std::move(value)); },
            [&value](cell& slot) noexcept { core::give_back(value, slot.element.take()); });
        return why;
    }
    conqueue_status try_push(const T& value)
        requires std::is_copy_constructible_v<T>
    {
        return try_push(T(value));
    }

    /// Builds the element from `args`, then as try_push. What it built is destroyed where try_push would give it back.
    template <class... Args>
    conqueue_status try_emplace(Args&&... args)
        requires std::is_constructible_v<T, Args...>
    {
        return try_push(T(std::forward<Args>(args)...));
    }

    /// Appends [first, last) in this order as far as there is room; other producers' elements may come in between.
    ///
    /// Returns:         an iterator to the first element that was not appended. With move iterators those elements are
    ///                  unchanged.
    /// Linearizes at:   each element as in try_push.
    /// Complexity:      O(n), one read-modify-write for each.
    /// Throws:          as try_push. `first` then tells nothing of how many were appended; use try_push where that matters.
    template <multi_pass_iterator Iterator>
    Iterator push_range(Iterator first, Iterator last)
        requires core::gives_back<Iterator, T>;

    /// Takes the element at the head.
    ///
    /// Returns:         the element; or empty (there was a moment during the call at which the queue was), or closed (empty, and
    ///                  nothing will come any more).
    /// Progress:        lock-free.
    /// Linearizes at:   [pop.take]; `empty` and `closed` at [pop.word].
    /// Synchronization: with the push of this element; `closed` with the close.
    /// Complexity:      O(1), one read-modify-write; none on an empty queue; repeated when another operation came first.
    /// Throws:          bad_alloc, on a thread's first use of the domain or the queue.
    /// Pins:            none.
    expected<T, conqueue_status> try_pop() { return core::pop_one<T>(core_); }

    /// Takes up to `count` elements into `out`, in order; other consumers may take some in between.
    ///
    /// Returns:         how many; 0 when the queue was empty (or closed and drained: ask is_closed before, or try_pop after).
    /// Linearizes at:   each element as in try_pop.
    /// Complexity:      O(n), one read-modify-write for each.
    /// Throws:          as try_pop, and what assigning through `out` throws: one element is lost then.
    template <class Output>
    std::size_t try_pop_n(Output out, std::size_t count) {
        return core::pop_many<T>(core_, out, count);
    }

    /// No push succeeds any more. Idempotent.
    ///
    /// Progress:        lock-free.
    /// Linearizes at:   [close.mark].
    /// Synchronization: with every operation that answers closed.
    /// Complexity:      O(1), one read-modify-write; none when it was closed before.
    /// Throws:          nothing.
    void close() noexcept { core_.close(); }

    /// Whether a close has taken effect; true once one has returned. Progress: wait-free.
    bool is_closed() const noexcept { return core_.is_closed(); }

    /// Whether it looked empty a moment ago. Progress: wait-free.
    bool was_empty() const noexcept { return core_.was_size() == 0; }
    /// About how many elements it held a moment ago. Progress: wait-free.
    std::size_t was_size() const noexcept { return core_.was_size(); }

    /// How many elements it takes.
    std::size_t capacity() const noexcept { return core_.capacity(); }

  private:
    core_type core_;
};

template <element T, class Env>
template <multi_pass_iterator Iterator>
Iterator bounded_queue<T, Env>::push_range(Iterator first, Iterator last)
    requires core::gives_back<Iterator, T>
{
    if constexpr (core::goes_in_bulk<Iterator, T>) {
        const auto count = static_cast<std::size_t>(std::distance(first, last));
        if (count == 0) {
            return first;
        }
        core::range_feed<T, Iterator> feed(first);
        conqueue_status why = conqueue_status::success;
        core_.push(
            count, why, [&feed](cell& slot) noexcept { feed.put(slot); },
            [&feed](cell& slot) noexcept { feed.undo(slot); });
        return feed.next();
    } else {
        for (; first != last && try_push(T(*first)) == conqueue_status::success; ++first) {
        }
        return first;
    }
}

static_assert(concurrent_queue<bounded_queue<int>>);

} // namespace epoque
