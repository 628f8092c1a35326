// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. Depends on: base, domain, core/unbounded_fifo.hpp (its members).
///
/// `mpsc_queue<T>`: the unbounded FIFO of which one thread pops.
#pragma once

#include "epoque/core/unbounded_fifo.hpp"

namespace epoque {

/// An unbounded FIFO for any number of producers and one consumer: `queue` without the consumers' share of its cost.
///
/// Use it when:      one thread handles what many send it (an actor, a logger, an event loop), and producers must never wait.
/// Use instead:      `queue` where several threads pop; `spsc_queue` where one thread pushes and memory must not grow.
/// Elements:         `element`: nothrow move-constructible and destructible; move-only is fine; no default constructor.
/// Order:            linearizable FIFO over all producers; bulk operations keep the order of their elements.
/// Memory:           as `queue`.
/// Fairness:         producers get tickets in the order of one atomic counter; a pop that arrives at a slow producer's cell
///                   skips it after 32 pauses.
/// Progress:         lock-free, every operation. Needs membarrier (or runs in the fallback mode, see base/barrier.hpp).
/// Concurrency:      try_pop, try_pop_n: one thread at a time, the consumer; who hands its role over synchronizes. Everything
///                   else: any thread, but constructors and destructor.
/// Fork:             a consumer that fork leaves behind inside an operation keeps its role in the child: nobody may take it
///                   over there.
/// Members:          core/unbounded_fifo.hpp.
/// Sources:          core/segment_queue.hpp.
///
///     epoque::mpsc_queue<event> inbox;
///     inbox.push(event{...});                            // any thread
///     while (auto next = inbox.try_pop()) {              // the consumer
///         handle(std::move(*next));
///     }
template <element T, class Env = std_env>
class mpsc_queue : public core::unbounded_fifo<T, Env, core::consumers::one> {
  public:
    using core::unbounded_fifo<T, Env, core::consumers::one>::unbounded_fifo;
};

static_assert(concurrent_queue<mpsc_queue<int>>);

} // namespace epoque
