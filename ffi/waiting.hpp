// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: ffi. Depends on: base, core/interest.hpp, notifier.hpp (the Env and the Kernel are parameters, as there).
///
/// Waiting for an object to have something to receive: native threads asleep in _recv_n, and a runtime that has armed it.
///
///     object ---> waiting_cell { waiters: threads * 2 | armed        sequence }
///                                   ^                                   ^
///     each send looks --------------+ (a plain load)    sleepers wait --+
///
/// Invariants:
///   W1  A cell is an announcement (notifier.hpp, N1): a registered waiter refers to it. Hence a sleeper, which keeps no object,
///       may outlive the object and never touches freed memory.
///   W2  (no lost send) A waiter registers in `waiters`, orders, looks for an element, and only then sleeps; a sender publishes
///       the element, then looks at `waiters`: the protocol and the proof are those of core/interest.hpp (I1). The
///       registration stays until the waiter leaves, so one barrier serves all its looks (I2).
///   W3  (no lost end) close and destroy do their deed, then a read-modify-write of `waiters`: ordered with the
///       registration by that word, in both modes.
///   W4  (no lost wake) Who wakes sleepers steps `sequence` before it wakes; who sleeps reads `sequence` before it looks the
///       last time. So either the look sees what the waker did, or the kernel sees that the word has changed.
///   W5  (no wake is swallowed) A woken thread looks before it leaves, also when its time is over; and where it leaves
///       elements behind, or can't look (its handle was revoked), it wakes the next one. So a sender that is preempted before its wake leaves nobody asleep beside
///       elements, once another wake comes through.
///
/// Progress: a send that finds nobody waiting pays one load of a line that is rarely written. One that does is lock-free,
/// plus a system call that does not block.
#pragma once

#include "notifier.hpp"

#include "epoque/base/config.hpp"
#include "epoque/base/env.hpp"
#include "epoque/core/interest.hpp"

#include <cstddef>
#include <cstdint>
#include <new>

namespace epoque::ffi {

/// Where threads wait for one object. See W1 to W5.
template <class Env = std_env, class Kernel = kernel>
class alignas(interference_size) waiting_cell final : public announcement<Env> {
    template <class T>
    using atomic = typename Env::template atomic<T>;
    using notifier_type = notifier<Env, Kernel>;

    static constexpr std::uint32_t armed = 1;
    static constexpr std::uint32_t one_sleeper = 2;

  public:
    /// A cell with one reference, the caller's. Throws: bad_alloc.
    static waiting_cell* make() {
        // SAFETY: fresh memory of the cell's size and alignment.
        return ::new (Env::allocate(sizeof(waiting_cell), alignof(waiting_cell))) waiting_cell;
    }

    // ---- senders; they keep the object ----------------------------------------------------------------------------------

    /// After `count` elements were published: wakes as many, and announces. Progress: see above.
    /// `fast` is Env::asymmetric(), which the thread's record has at hand.
    void sent(bool fast, notifier_type& announcer, std::size_t count) noexcept {
        const std::uint32_t seen = waiters_.look(fast); // W2
        if (seen != 0) [[unlikely]] {
            wake(seen, announcer, count);
        }
    }

    /// After a close or destroy has taken effect: wakes all, and announces.
    void ended(notifier_type& announcer) noexcept {
        // W3. If ours is first, the waiter synchronizes with us and finds the object closed or gone; if the waiter's is first,
        // we see it here.
        const std::uint32_t seen = waiters_.take(armed);
        if (seen >= one_sleeper) {
            wake_sleepers(UINT32_MAX);
        }
        if ((seen & armed) != 0) {
            announcer.announce(*this);
        }
    }

    // ---- native waiters -----------------------------------------------------------------------------------------------

    /// How many threads are registered, plus 1 if armed. Racy.
    std::uint64_t was_waiting() const noexcept {
        const std::uint32_t now = waiters_.was();
        return now / one_sleeper + (now & armed);
    }

    // ---- the runtime's watcher; it keeps the object -----------------------------------------------------------------------

    /// Arms, after a claim that succeeded: the next send, close or destroy announces that handle. False: the kernel has begun to
    /// refuse membarrier; a send may then be overlooked (or announced all the same).
    bool arm() noexcept {
        waiters_.set(armed); // W2 and W3; whoever disarms sees the handle
        return waiters_.order(Env::asymmetric());
    }

  private:
    template <class, class>
    friend class sleeper;

    waiting_cell() = default;
    ~waiting_cell() override = default;
    void end() noexcept override {
        this->~waiting_cell();
        Env::deallocate(this, sizeof(waiting_cell), alignof(waiting_cell));
    }

    EPOQUE_COLD void wake(std::uint32_t seen, notifier_type& announcer, std::size_t count) noexcept {
        if (seen >= one_sleeper) {
            wake_sleepers(count);
        }
        if ((seen & armed) != 0) {
            if ((waiters_.take(armed) & armed) != 0) { // one of several senders announces
                announcer.announce(*this);
            }
        }
    }
    void wake_sleepers(std::size_t count) noexcept {
        // [wake.step] release: pairs with [sleep.key]
        //   W4: who reads the new number sees what it is woken for.
        sequence_.fetch_add(1, Env::release);
        Kernel::wake(sequence_, count < UINT32_MAX ? static_cast<std::uint32_t>(count) : UINT32_MAX);
    }

    alignas(interference_size) core::interest<Env> waiters_;       // read by every send
    alignas(interference_size) atomic<std::uint32_t> sequence_{0}; // the futex
};

/// A thread registered at a cell, which it keeps alive (W1).
template <class Env = std_env, class Kernel = kernel>
class sleeper {
    using cell_type = waiting_cell<Env, Kernel>;

  public:
    /// Precondition: the caller keeps the object.
    explicit sleeper(cell_type& cell) noexcept : cell_(cell) {
        cell_.retain();
        cell_.waiters_.add(cell_type::one_sleeper); // W2 and W3
    }
    sleeper(const sleeper&) = delete;
    sleeper& operator=(const sleeper&) = delete;
    ~sleeper() {
        cell_.waiters_.leave(cell_type::one_sleeper);
        cell_.release();
    }

    /// W2, once, before the first look. Where the kernel has begun to refuse membarrier, a sender may overlook us for as
    /// long as its core keeps a store to itself: then sleeps end after a millisecond at most.
    void order() noexcept { polls_ = !cell_.waiters_.order(Env::asymmetric()); }

    /// W4: the number to sleep on; to be read before the look.
    std::uint32_t key() const noexcept {
        // [sleep.key] acquire: pairs with [wake.step]
        //   With the new number, what we were woken for.
        return cell_.sequence_.load(Env::acquire);
    }
    void sleep(std::uint32_t key, std::int64_t deadline) const noexcept {
        constexpr std::int64_t interval = 1'000'000;
        if (polls_) {
            const std::int64_t next = Kernel::deadline_in(interval);
            deadline = next < deadline ? next : deadline;
        }
        Kernel::wait(cell_.sequence_, key, deadline);
    }

    /// Wakes another sleeper if there is one; for one that was woken itself and leaves something behind, or can't know (W5).
    void pass_on() noexcept {
        if (cell_.waiters_.was() >= 2 * cell_type::one_sleeper) { // one is the caller
            cell_.wake_sleepers(1);
        }
    }

  private:
    cell_type& cell_;
    bool polls_ = false;
};

} // namespace epoque::ffi
