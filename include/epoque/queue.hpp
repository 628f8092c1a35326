// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. Depends on: base, domain, core/unbounded_fifo.hpp (its members).
///
/// `queue<T>`: the unbounded multi-producer multi-consumer FIFO.
#pragma once

#include "epoque/core/unbounded_fifo.hpp"

namespace epoque {

/// An unbounded FIFO for any number of producers and consumers; elements live in the queue's own segments.
///
/// Use it when:      producers must never wait, and memory may grow with the backlog.
/// Use instead:      `std::deque` and a mutex where operations are rare; a bounded queue where memory must not grow;
///                   `mpsc_queue` where one thread pops.
/// Elements:         `element`: nothrow move-constructible and destructible; move-only is fine; no default constructor.
/// Order:            linearizable FIFO over all producers; bulk operations keep the order of their elements.
/// Memory:           sizeof(T) + 8 bytes an element, rounded up to the alignment, in segments of 1,024 (fewer for elements
///                   above 56 bytes: a segment has at most 64 KiB). A drained segment waits for reuse with the thread that
///                   drained it, up to 256 KiB a thread. A thread that sleeps inside an operation keeps one segment; it
///                   never keeps another thread from operating.
/// Fairness:         producers get tickets in the order of one atomic counter; a pop that arrives at a slow producer's cell
///                   skips it after 32 pauses.
/// Progress:         lock-free, every operation. Needs membarrier (or runs in the fallback mode, see base/barrier.hpp).
/// Concurrency:      any thread, every member, but constructors and destructor.
/// Members:          core/unbounded_fifo.hpp.
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
class queue : public core::unbounded_fifo<T, Env, core::consumers::many> {
  public:
    using core::unbounded_fifo<T, Env, core::consumers::many>::unbounded_fifo;
};

static_assert(concurrent_queue<queue<int>>);

} // namespace epoque
