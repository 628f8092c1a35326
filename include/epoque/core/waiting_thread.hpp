// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. Depends on: base, core/deadline.hpp, core/waiters.hpp.
///
/// A waiter (core/waiters.hpp) that is a thread: asleep on a word of its own until it is told, or until its deadline or a
/// stop request, which have it answered one way or the other. So one wake goes to one thread, and is never in vain.
#pragma once

#include "epoque/base/env.hpp"
#include "epoque/base/parking.hpp"
#include "epoque/core/deadline.hpp"
#include "epoque/core/waiters.hpp"

#include <algorithm>
#include <cstdint>
#include <stop_token>

namespace epoque::core {

template <class Env>
class waiting_thread : public waiter<Env> {
  protected:
    explicit waiting_thread(awaited what) noexcept : waiter<Env>(what) {}
    ~waiting_thread() = default;

  public:
    /// It wants `busy` as an answer, and pauses.
    static constexpr bool tries_when_busy = true;

    /// Waits until it is answered: done, or given up after the deadline or a stop request.
    template <class Deadline>
    void wait(waiters<Env>& among, const Deadline& until, const std::stop_token& stop);

  private:
    enum : std::uint32_t { awake = 0, asleep = 1, told = 2 };

    void deliver() noexcept final {
        atomic_word& word = word_;
        // [tell.word] release: pairs with [sleep.look]
        //   The answer.
        if (word.exchange(told, Env::release) == asleep) {
            // The thread may be gone by now. Only the word's address is used: at worst somebody else wakes for no reason,
            // which parking allows.
            Env::unpark(word, 1);
        }
    }

    using atomic_word = typename Env::template atomic<std::uint32_t>;
    atomic_word word_{awake};
};

template <class Env>
template <class Deadline>
void waiting_thread<Env>::wait(waiters<Env>& among, const Deadline& until, const std::stop_token& stop) {
    constexpr std::int64_t poll_interval = 1'000'000;
    // [sleep.begin] relaxed: nobody knows us yet.
    word_.store(awake, Env::relaxed);
    const bool ordered = among.enter(*this);
    // Its destructor waits for a callback that runs in another thread: nobody cancels us once we have returned.
    const std::stop_callback on_stop(stop, [this, &among]() noexcept { among.cancel(*this); });
    for (bool cancelled = false;;) {
        // [sleep.look] acquire: pairs with [tell.word]
        //   The answer.
        const std::uint32_t seen = word_.load(Env::acquire);
        if (seen == told) {
            break;
        }
        if (!cancelled && until.passed()) {
            cancelled = true;
            among.cancel(*this);
            continue;
        }
        std::uint32_t expected = awake;
        // [sleep.mark] relaxed: says only that a wake is needed; [sleep.look] reads the answer. Failure (relaxed): marked
        // before, or told, which the next look sees.
        if (seen == awake && !word_.compare_exchange_strong(expected, asleep, Env::relaxed, Env::relaxed)) {
            continue;
        }
        std::int64_t deadline = cancelled ? parking::never : until.next();
        if (!ordered) {
            deadline = std::min(deadline, moment_in<Env>(poll_interval));
        }
        Env::park(word_, asleep, deadline);
        if (!ordered) {
            among.look_at_all();
        }
    }
}

} // namespace epoque::core
