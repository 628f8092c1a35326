// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. Depends on: base, domain, core/segment_queue.hpp (the algorithm, its invariants and its sources).
///
/// `queue<T>`: the unbounded multi-producer multi-consumer FIFO.
#pragma once

#include "epoque/concepts.hpp"
#include "epoque/core/segment_queue.hpp"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace epoque {

/// An unbounded FIFO for any number of producers and consumers; elements live in the queue's own segments.
///
/// Use it when:      producers must never wait, and memory may grow with the backlog.
/// Use instead:      `std::deque` and a mutex where operations are rare; a bounded queue where memory must not grow.
/// Elements:         `element`: nothrow move-constructible and destructible; move-only is fine; no default constructor.
/// Order:            linearizable FIFO over all producers; bulk operations keep the order of their elements.
/// Memory:           sizeof(T) + 8 bytes an element, rounded up to the alignment, in segments of 1,024 (fewer for elements
///                   above 56 bytes: a segment has at most 64 KiB). A segment is reclaimed by the domain when it is
///                   drained. A thread that sleeps inside an operation keeps the segments retired meanwhile from being
///                   freed; it never keeps another thread from operating.
/// Fairness:         producers get tickets in the order of one atomic counter; a pop that arrives at a slow producer's cell
///                   skips it after 32 pauses.
/// Progress:         lock-free, every operation. Needs membarrier (or runs in the fallback mode, see base/barrier.hpp).
/// Concurrency:      any thread, every member, but constructors and destructor.
/// Sources:          core/segment_queue.hpp.
///
///     epoque::queue<std::unique_ptr<order>> orders;
///     orders.push(std::make_unique<order>(42));
///     if (auto next = orders.try_pop()) {
///         handle(std::move(*next));
///     } else if (next.error() == epoque::conqueue_status::closed) {
///         return;
///     }
template <element T, class Env = std_env>
class queue {
    using core_type = core::segment_queue<core::typed_cells<T, Env>, Env>;
    using cell = typename core_type::cell;

  public:
    using value_type = T;
    static constexpr bool is_fifo = true;

    /// An empty, open queue. Throws: bad_alloc.
    queue()
        requires std::is_same_v<Env, std_env>
        : queue(default_domain()) {}
    /// The same, reclaimed by `home`, which must outlive the queue and every thread's last operation on it.
    explicit queue(basic_domain<Env>& home) : core_(home, core::typed_cells<T, Env>()) {}
    queue(const queue&) = delete;
    queue& operator=(const queue&) = delete;
    /// Destroys the elements that are left. Precondition: no operation runs. May run inside a deleter.
    ~queue() {
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
    /// Pins:            for the duration of the call; may run up to 8 deferred deleters.
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
            [&value](cell& slot) noexcept { core::give_back(value, slot); });
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
        requires core::gives_back<Iterator, T>;

    /// Takes the element at the head.
    ///
    /// Returns:         the element; or empty (there was a moment during the call at which the queue was), or closed
    ///                  (empty, and nothing will come any more).
    /// Progress:        lock-free.
    /// Linearizes at:   the later one of [pop.ticket] and its element's push; `empty` at [pop.empty] or [pop.end].
    /// Synchronization: with the push of this element; `closed` with the close.
    /// Complexity:      O(1), one read-modify-write; none on an empty queue.
    /// Throws:          bad_alloc, on a thread's first use of the domain only.
    /// Pins:            as push.
    expected<T, conqueue_status> try_pop() {
        std::optional<T> value;
        conqueue_status why = conqueue_status::empty;
        core_.pop(1, why, [&value](cell& slot) noexcept { value.emplace(slot.element.take()); });
        if (value.has_value()) [[likely]] {
            return std::move(*value);
        }
        return unexpected(why);
    }

    /// Takes up to `count` elements into `out`, in order.
    ///
    /// Returns:         how many; 0 when the queue was empty (or closed and drained: ask is_closed, or try_pop).
    /// Linearizes at:   each element as in try_pop.
    /// Complexity:      one read-modify-write for all, where assigning through `out` can't throw; otherwise one each, so
    ///                  that an exception loses one element only.
    template <class Output>
    std::size_t try_pop_n(Output out, std::size_t count);

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

    /// Whether the queue looked empty a moment ago. Progress: wait-free.
    bool was_empty() const { return core_.was_empty(); }
    /// About how many elements it held a moment ago; cells that were abandoned count until they are passed.
    std::size_t was_size() const {
        const std::uint64_t received = core_.was_received();
        const std::uint64_t sent = core_.was_sent();
        return sent > received ? static_cast<std::size_t>(sent - received) : 0;
    }

  private:
    core_type core_;
};

template <element T, class Env>
template <multi_pass_iterator Iterator>
Iterator queue<T, Env>::push_range(Iterator first, Iterator last)
    requires core::gives_back<Iterator, T>
{
    using reference = std::iter_reference_t<Iterator>;
    constexpr bool moves = std::is_same_v<reference, T&&>;
    if constexpr (std::is_nothrow_constructible_v<T, reference> && (moves || std::is_lvalue_reference_v<reference>)) {
        Iterator current = first;
        std::size_t pushed = 0;
        core_.push(
            static_cast<std::size_t>(std::distance(first, last)), pushed,
            [&](cell& slot) noexcept {
                current = first++;
                slot.element.construct(*current);
            },
            [&](cell& slot) noexcept {
                first = current;
                if constexpr (moves) {
                    T&& origin = *current;
                    core::give_back(origin, slot);
                } else {
                    slot.element.destroy();
                }
            });
        return first;
    } else {
        for (; first != last && push(T(*first)); ++first) {
        }
        return first;
    }
}

template <element T, class Env>
template <class Output>
std::size_t queue<T, Env>::try_pop_n(Output out, std::size_t count) {
    conqueue_status why = conqueue_status::empty;
    constexpr bool no_throw = noexcept(*out = std::declval<T>(), ++out);
    if constexpr (no_throw) {
        return core_.pop(count, why, [&out](cell& slot) noexcept {
            *out = slot.element.take();
            ++out;
        });
    } else {
        std::size_t taken = 0;
        for (; taken < count; ++taken) {
            auto value = try_pop();
            if (!value) {
                break;
            }
            *out = *std::move(value);
            ++out;
        }
        return taken;
    }
}

static_assert(concurrent_queue<queue<int>>);

} // namespace epoque
