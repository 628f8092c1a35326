// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. Depends on: base, domain, core/segment_queue.hpp (the algorithm, its invariants and its sources).
///
/// The members that `queue` and `mpsc_queue` have in common: all.
#pragma once

#include "epoque/concepts.hpp"
#include "epoque/core/elements.hpp"
#include "epoque/core/segment_queue.hpp"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <type_traits>
#include <utility>

namespace epoque::core {

/// See queue.hpp and mpsc_queue.hpp for when, and for the guarantees as a whole.
template <element T, class Env, consumers Consumers>
class unbounded_fifo {
    using core_type = segment_queue<typed_cells<T, Env>, Env, Consumers>;
    using cell = typename core_type::cell;

  public:
    using value_type = T;
    static constexpr bool is_fifo = true;

    /// An empty, open queue. Throws: bad_alloc.
    unbounded_fifo()
        requires std::is_same_v<Env, std_env>
        : unbounded_fifo(default_domain()) {}
    /// The same, reclaimed by `home`, which must outlive the queue and every thread's last operation on it.
    explicit unbounded_fifo(basic_domain<Env>& home) : core_(home, typed_cells<T, Env>()) {}
    unbounded_fifo(const unbounded_fifo&) = delete;
    unbounded_fifo& operator=(const unbounded_fifo&) = delete;
    /// Destroys the elements that are left. Precondition: no operation runs. May run inside a deleter.
    ~unbounded_fifo() {
        core_.destroy([](cell& slot) noexcept { slot.element.destroy(); });
    }

    /// Appends `value` at the tail.
    ///
    /// Returns:         true; false when the queue is closed, `value` is then unchanged.
    /// Progress:        lock-free; at most one allocation per segment, none while the pool has one.
    /// Linearizes at:   [push.ticket], the ticket that is kept, or [push.link].
    /// Synchronization: with the pop that returns this value (release/acquire).
    /// Complexity:      O(1), one read-modify-write; retries only when a consumer abandoned the cell.
    /// Throws:          bad_alloc, or what T's copy constructor throws; queue and `value` are then unchanged.
    /// Pins:            nothing, and runs no deleters.
    /// See:             docs/memory-model.md#queue
    bool push(T&& value) { return try_push(std::move(value)) == conqueue_status::success; }
    bool push(const T& value)
        requires std::is_copy_constructible_v<T>
    {
        return push(T(value));
    }

    /// As push. Returns: success or closed (a queue without bound is never full).
    conqueue_status try_push(T&& value) {
        std::size_t pushed = 0;
        core_.push(
            1, pushed, [&value](cell& slot) noexcept { slot.element.construct(std::move(value)); },
            [&value](cell& slot) noexcept { give_back(value, slot.element.take()); });
        return pushed == 1 ? conqueue_status::success : conqueue_status::closed;
    }
    conqueue_status try_push(const T& value)
        requires std::is_copy_constructible_v<T>
    {
        return try_push(T(value));
    }

    /// Builds the element from `args`, then as push. What it built is destroyed where push would give it back.
    template <class... Args>
    bool emplace(Args&&... args)
        requires std::is_constructible_v<T, Args...>
    {
        return push(T(std::forward<Args>(args)...));
    }
    template <class... Args>
    conqueue_status try_emplace(Args&&... args)
        requires std::is_constructible_v<T, Args...>
    {
        return try_push(T(std::forward<Args>(args)...));
    }

    /// Appends [first, last) in this order; other producers' elements may come in between.
    ///
    /// Returns:         an iterator to the first element that was not appended: `last`, unless closed. With move
    ///                  iterators those elements are unchanged.
    /// Linearizes at:   each element as in push.
    /// Complexity:      one read-modify-write for up to a segment's worth of elements, where T is constructed from
    ///                  *first without a chance to throw; otherwise as a push for each.
    /// Throws:          as push. `first` then tells nothing of how many were appended; use `push` where that matters.
    template <multi_pass_iterator Iterator>
    Iterator push_range(Iterator first, Iterator last)
        requires gives_back<Iterator, T>;

    /// Takes the element at the head. Of an mpsc_queue: the consumer only.
    ///
    /// Returns:         the element; or empty (there was a moment during the call at which the queue was), or closed
    ///                  (empty, and nothing will come any more).
    /// Progress:        lock-free.
    /// Linearizes at:   the later one of [pop.ticket] (or [alone.pass]) and its element's push; `empty` at [pop.empty] or
    ///                  [pop.end] ([alone.empty], [alone.end]).
    /// Synchronization: with the push of this element; `closed` with the close.
    /// Complexity:      O(1), one read-modify-write; none on an empty queue, and none by the only consumer.
    /// Throws:          bad_alloc, on a thread's first use of the domain only.
    /// Pins:            as push.
    expected<T, conqueue_status> try_pop() { return pop_one<T>(core_); }

    /// Takes up to `count` elements into `out`, in order. Of an mpsc_queue: the consumer only.
    ///
    /// Returns:         how many, fewer than there are where a producer is not ready or a segment ends; 0 when the queue was
    ///                  empty (or closed and drained: ask is_closed before, or try_pop after).
    /// Linearizes at:   each element as in try_pop.
    /// Complexity:      one read-modify-write for all, where assigning through `out` can't throw; otherwise one each, so
    ///                  that an exception loses one element only.
    template <class Output>
    std::size_t try_pop_n(Output out, std::size_t count) {
        return pop_many<T>(core_, out, count);
    }

    /// No push succeeds any more. Idempotent.
    ///
    /// Progress:        lock-free.
    /// Linearizes at:   [close.mark] or [close.end].
    /// Synchronization: with every operation that answers closed.
    /// Throws:          nothing; allocates nothing, but on a thread's first use of the domain, where running out of memory
    ///                  ends the program (pin first where that matters).
    void close() noexcept { core_.close(); }

    /// Whether close has begun to take effect; true once a close has returned. Progress: wait-free.
    bool is_closed() const noexcept { return core_.is_closed(); }

    /// Whether the queue looked empty a moment ago. Progress: lock-free.
    bool was_empty() const { return core_.was_empty(); }
    /// About how many elements it held a moment ago; cells that were abandoned count until they are passed. Progress: lock-free.
    std::size_t was_size() const {
        const std::uint64_t received = core_.was_received();
        const std::uint64_t sent = core_.was_sent();
        return sent > received ? static_cast<std::size_t>(sent - received) : 0;
    }

  private:
    core_type core_;
};

template <element T, class Env, consumers Consumers>
template <multi_pass_iterator Iterator>
Iterator unbounded_fifo<T, Env, Consumers>::push_range(Iterator first, Iterator last)
    requires gives_back<Iterator, T>
{
    if constexpr (goes_in_bulk<Iterator, T>) {
        range_feed<T, Iterator> feed(first);
        std::size_t pushed = 0;
        core_.push(
            static_cast<std::size_t>(std::distance(first, last)), pushed,
            [&feed](cell& slot) noexcept { feed.put(slot); }, [&feed](cell& slot) noexcept { feed.undo(slot); });
        return feed.next();
    } else {
        for (; first != last && push(T(*first)); ++first) {
        }
        return first;
    }
}

} // namespace epoque::core
