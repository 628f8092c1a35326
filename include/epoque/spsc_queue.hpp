// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. Depends on: base, core/spsc_ring.hpp (the algorithm, its invariants and its sources).
///
/// `spsc_queue<T>`: the bounded FIFO between one producer and one consumer.
#pragma once

#include "epoque/concepts.hpp"
#include "epoque/core/elements.hpp"
#include "epoque/core/spsc_ring.hpp"

#include <cstddef>
#include <iterator>
#include <memory_resource>
#include <type_traits>
#include <utility>

namespace epoque {

/// A bounded FIFO from one thread to another.
///
/// Use it when:      exactly one thread pushes and exactly one pops (at a time: either role may move to another thread, if
///                   the program orders the two).
/// Use instead:      `bounded_queue` or `queue` where there may be more of either.
/// Elements:         `element`: nothrow move-constructible and destructible; move-only is fine; no default constructor.
/// Order:            FIFO, linearizable in the order of happens-before: a push that nothing has told the consumer of may still be
///                   on its way when its call has returned.
/// Memory:           sizeof(T) for each of bit_ceil(capacity) cells, allocated by the constructor, and 384 bytes; no operation
///                   allocates.
/// Progress:         wait-free, every operation; neither side is ever stopped by the other. close() is wait-free modulo the
///                   kernel's membarrier lock.
/// Concurrency:      try_push, try_emplace, push_range: one thread at a time, the producer. try_pop, try_pop_n: one thread at
///                   a time, the consumer. close and the observers: any thread. An element's constructors, assignments and
///                   destructor must not use the queue that it is in: they would take or build an element twice.
/// Fork:             a thread that fork leaves behind inside an operation keeps its role in the child: nobody may take it over there, nor
///                   destroy the queue.
/// Sources:          core/spsc_ring.hpp.
///
///     epoque::spsc_queue<sample> samples(1000);
///     while (samples.try_push(measure()) == epoque::conqueue_status::full) { ... }      // the producer
///     if (auto next = samples.try_pop()) { show(*next); }                               // the consumer
template <element T, class Env = std_env>
class spsc_queue {
    using core_type = core::spsc_ring<core::typed_cells<T, Env>, Env>;
    using cell = typename core_type::cell;

  public:
    using value_type = T;
    static constexpr bool is_fifo = true;

    /// An empty, open queue that takes exactly `capacity` elements, in memory from `memory`, which outlives it; null: operator
    /// new. Throws: bad_alloc. Capacity 0 is a `misuse`.
    explicit spsc_queue(std::size_t capacity, std::pmr::memory_resource* memory = nullptr)
        : core_(capacity, core::typed_cells<T, Env>(), memory) {}
    spsc_queue(const spsc_queue&) = delete;
    spsc_queue& operator=(const spsc_queue&) = delete;
    /// Destroys the elements that are left. Precondition: no operation runs.
    ~spsc_queue() {
        core_.destroy([](cell& slot) noexcept { slot.element.destroy(); });
    }

    /// Appends `value` at the tail; the producer only.
    ///
    /// Returns:         success; full (there was a moment during the call at which the queue held `capacity` elements), or
    ///                  closed. `value` is unchanged then.
    /// Progress:        wait-free.
    /// Linearizes at:   [push.publish]; `full` at [push.full].
    /// Synchronization: with the pop that returns this value (release/acquire); `closed` with the close.
    /// Complexity:      O(1), no read-modify-write, but one to say full (and one without membarrier).
    /// Throws:          what T's copy constructor throws; queue and `value` are then unchanged.
    /// Pins:            none.
    /// See:             docs/memory-model.md#spsc-queue
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

    /// Appends [first, last) in this order as far as there is room; the producer only.
    ///
    /// Returns:         an iterator to the first element that was not appended. With move iterators those elements are
    ///                  unchanged.
    /// Linearizes at:   [push.publish], all at one moment, where T is constructed from *first without a chance to throw;
    ///                  otherwise each as in try_push.
    /// Complexity:      O(n); one store for all, or one each.
    /// Throws:          as try_push. `first` then tells nothing of how many were appended; use try_push where that matters.
    template <multi_pass_iterator Iterator>
    Iterator push_range(Iterator first, Iterator last)
        requires core::gives_back<Iterator, T>;

    /// Takes the element at the head; the consumer only.
    ///
    /// Returns:         the element; or empty (there was a moment during the call at which the queue was), closed (empty, and
    ///                  nothing will come any more), or busy (it is being closed, and the kernel refuses the barrier that
    ///                  would tell; only if it began to refuse membarrier after start-up).
    /// Progress:        wait-free.
    /// Linearizes at:   [pop.head]; `empty` at [pop.empty].
    /// Synchronization: with the push of this element; `closed` with the close.
    /// Complexity:      O(1), no read-modify-write, but one to say empty.
    /// Throws:          nothing.
    /// Pins:            none.
    expected<T, conqueue_status> try_pop() { return core::pop_one<T>(core_); }

    /// Takes up to `count` elements into `out`, in order; the consumer only.
    ///
    /// Returns:         how many; 0 when the queue was empty (or closed and drained: ask is_closed before, or try_pop after).
    /// Linearizes at:   [pop.head], all at one moment, where assigning through `out` can't throw; otherwise each as in
    ///                  try_pop, so that an exception loses one element only.
    /// Complexity:      O(n); one store for all, or one each.
    template <class Output>
    std::size_t try_pop_n(Output out, std::size_t count) {
        return core::pop_many<T>(core_, out, count);
    }

    /// No push succeeds any more. Idempotent; any thread.
    ///
    /// Progress:        wait-free, but for the kernel's membarrier.
    /// Linearizes at:   [decide.end], [keep.end] or [refuse.end].
    /// Synchronization: with every operation that answers closed.
    /// Complexity:      one heavy barrier; none when it was closed before.
    /// Throws:          nothing.
    void close() noexcept { core_.close(); }

    /// Whether close has begun to take effect; true once a close has returned. Progress: wait-free.
    bool is_closed() const noexcept { return core_.is_closed(); }

    /// Whether it looked empty a moment ago. Progress: wait-free.
    bool was_empty() const noexcept { return core_.was_size() == 0; }
    /// How many elements it held a moment ago. Progress: wait-free.
    std::size_t was_size() const noexcept { return core_.was_size(); }

    /// How many elements it takes.
    std::size_t capacity() const noexcept { return core_.capacity(); }

  private:
    core_type core_;
};

template <element T, class Env>
template <multi_pass_iterator Iterator>
Iterator spsc_queue<T, Env>::push_range(Iterator first, Iterator last)
    requires core::gives_back<Iterator, T>
{
    if constexpr (core::goes_in_bulk<Iterator, T>) {
        const auto count = static_cast<std::size_t>(std::distance(first, last));
        if (count == 0) {
            return first;
        }
        core::range_feed<T, Iterator> feed(first);
        Iterator back = first; // the core takes a refused batch back from its first element on
        conqueue_status why = conqueue_status::success;
        const std::size_t pushed = core_.push(
            count, why, [&feed](cell& slot) noexcept { feed.put(slot); },
            [&](cell& slot) noexcept { feed.take_back(back++, slot); });
        return pushed == 0 ? first : feed.next();
    } else {
        for (; first != last && try_push(T(*first)) == conqueue_status::success; ++first) {
        }
        return first;
    }
}

static_assert(concurrent_queue<spsc_queue<int>>);

} // namespace epoque
