// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. Depends on: base, core/interest.hpp.
///
/// Operations that wait for an element or for room, and who serves them.
///
///     arriving_ --> w7 --> w6            any thread lists itself; newest first
///
///     elements_: w1 <-> w4 <-> w5        in the order of arrival; only the dispatcher touches these
///     rooms_:    w2 <-> w3
///                 |
///                 +-- attempt(): the dispatcher does w2's operation for it, and takes it off the list when that
///                     succeeds, or when the container is closed, or when w2 has been cancelled
///
/// Whoever finds somebody waiting adds a request. The one whose request is the first becomes the dispatcher; everybody
/// else leaves at once. The dispatcher goes on until no request is left, then tells those that it has served.
///
/// Invariants:
///   D1  There is one dispatcher while `requests_` isn't 0, none otherwise. All changes of `requests_` are acquire-release
///       read-modify-writes, so everything before a request happens before the pass that follows it.
///   D2  After a waiter is listed, announced and ordered (core/interest.hpp) it makes a request: some pass attempts its
///       operation. That is its look for the deed (I1). Whoever does the deed later sees the announcement, and makes a
///       request. So no waiter stays listed beside something that it could have, but for as long as the dispatcher, or
///       the one who did the deed and hasn't looked yet, is kept from running.
///   D3  A waiter is answered once: when it is taken off its list. It lives until deliver() has told it, and nothing here
///       touches it afterwards.
///   D4  The dispatcher delivers after it has given up its part, and touches nothing of *this from then on: a coroutine
///       that is resumed inside deliver() may do everything, and even end the channel. Those whose deliver() runs their code
///       come last, so that they may wait for the others of their pass (but not for each other).
///
/// Progress: no operation waits for the dispatcher. A dispatcher that is preempted delays those who wait; what they wait for
/// stays with everybody else. Fairness: waiters of one side are served in the order of their arrival; an operation that
/// need not wait does not queue up behind them.
/// Proof: docs/memory-model.md#waiting.
#pragma once

#include "epoque/base/config.hpp"
#include "epoque/base/env.hpp"
#include "epoque/core/interest.hpp"

#include <cstddef>
#include <cstdint>

namespace epoque::core {

enum class awaited : unsigned { an_element = 0, room = 1 };

template <class Env>
class waiters;

/// An operation that waits: lives in its thread's stack or its coroutine's frame.
template <class Env>
class waiter {
  public:
    waiter(const waiter&) = delete;
    waiter& operator=(const waiter&) = delete;

  protected:
    /// `runs_code`: deliver() may run code of whoever waits.
    explicit waiter(awaited what, bool runs_code = false) noexcept : what_(what), runs_code_(runs_code) {}
    ~waiter() = default;

  private:
    friend class waiters<Env>;

    // All three by the dispatcher.
    virtual bool attempt() noexcept = 0; ///< does the operation, if that is possible now; true: answered
    virtual void give_up() noexcept = 0; ///< answers a cancelled one that can't be done
    virtual void deliver() noexcept = 0; ///< tells whoever waits; the last access (D3)

    const awaited what_;
    const bool runs_code_;
    typename Env::template atomic<std::uint32_t> cancelled_{0};
    typename Env::template var<waiter*> next_{nullptr}; // the lister's until it is listed, then the dispatcher's
};

template <class Env>
class waiters {
    template <class T>
    using atomic = typename Env::template atomic<T>;
    using waiter_type = waiter<Env>;

  public:
    waiters() = default;
    waiters(const waiters&) = delete;
    waiters& operator=(const waiters&) = delete;

    /// After an element or room came to be. Lock-free; see interest::look for what it costs.
    void look(awaited what) noexcept {
        if (interest_[index(what)].look(fast_) != 0) [[unlikely]] {
            request(one_request);
        }
    }
    /// After a close has taken effect, and for a waiter that must poll.
    void look_at_all() noexcept { request(one_request); }

    /// Lists `self`, announces it and attempts its operation. It may be answered and delivered before this returns.
    /// False: the kernel refuses membarrier (interest::order); somebody has to come back to look_at_all().
    bool enter(waiter_type& self) noexcept;

    /// Has `self` answered soon, done or given up. Precondition: it has not been delivered, or its owner waits for us.
    void cancel(waiter_type& self) noexcept {
        // [cancel.mark] relaxed: [request.add] orders it before the pass that obeys.
        self.cancelled_.store(1, Env::relaxed);
        request(one_request | one_cancel);
    }

    /// How many wait. Racy.
    std::size_t was_waiting() const noexcept {
        return std::size_t{interest_[0].was()} + std::size_t{interest_[1].was()};
    }

  private:
    static constexpr std::uint64_t one_request = 1;
    static constexpr std::uint64_t one_cancel = std::uint64_t{1} << 32;

    static constexpr std::size_t index(awaited what) noexcept { return static_cast<std::size_t>(what); }

    /// First in, first out; touched by one thread at a time.
    class list {
      public:
        waiter_type* first() const noexcept { return first_.get(); }
        void append(waiter_type& last) noexcept {
            last.next_.set(nullptr);
            if (first_.get() == nullptr) {
                first_.set(&last);
            } else {
                last_.get()->next_.set(&last);
            }
            last_.set(&last);
        }
        waiter_type& take_first() noexcept {
            waiter_type* taken = first_.get();
            first_.set(taken->next_.get());
            return *taken;
        }
        void clear() noexcept { first_.set(nullptr); }

      private:
        typename Env::template var<waiter_type*> first_{nullptr};
        typename Env::template var<waiter_type*> last_{nullptr}; // where first_ is not null
    };

    /// Who has been answered, and is still to be told.
    class answers {
      public:
        void append(waiter_type& each) noexcept { (each.runs_code_ ? last_ : first_).append(each); }
        /// D4.
        void deliver() noexcept {
            for (list* part : {&first_, &last_}) {
                while (part->first() != nullptr) {
                    part->take_first().deliver();
                }
            }
        }

      private:
        list first_;
        list last_;
    };

    void request(std::uint64_t what) noexcept {
        // [request.add] acq_rel: pairs with [request.done]
        //   D1. If we are the first, we synchronize with the last dispatcher and see the lists as it left them; if not,
        //   the dispatcher synchronizes with us and passes once more.
        if (requests_.fetch_add(what, Env::acq_rel) == 0) {
            dispatch(what);
        }
    }
    EPOQUE_NOINLINE void dispatch(std::uint64_t seen) noexcept;
    bool take_in() noexcept;
    void serve(answers& answered) noexcept;
    void drop_cancelled(answers& answered) noexcept;

    alignas(interference_size) const bool fast_ = Env::asymmetric();
    interest<Env> interest_[2]; // read by every operation; by index(awaited)
    atomic<waiter_type*> arriving_{nullptr};
    alignas(interference_size) atomic<std::uint64_t> requests_{0}; // in units of one_request and one_cancel
    list waiting_[2];                                              // the dispatcher's; by index(awaited)
};

template <class Env>
bool waiters<Env>::enter(waiter_type& self) noexcept {
    interest<Env>& announced = interest_[index(self.what_)];
    announced.add(1);
    // [enter.head] relaxed: only the expected value of [enter.push].
    waiter_type* head = arriving_.load(Env::relaxed);
    do {
        self.next_.set(head);
        // [enter.push] release: pairs with [take.all]
        //   The waiter, whole. Failure (relaxed): only `head` changes.
    } while (!arriving_.compare_exchange_weak(head, &self, Env::release, Env::relaxed));
    const bool ordered = announced.order(fast_);
    request(one_request);
    return ordered;
}

template <class Env>
void waiters<Env>::dispatch(std::uint64_t seen) noexcept {
    answers answered;
    for (;;) {
        const bool cancelled = take_in();
        serve(answered);
        if (cancelled || seen >= one_cancel) {
            drop_cancelled(answered);
        }
        // [request.done] acq_rel: pairs with [request.add]
        //   D1. Release: the next dispatcher sees the lists. Acquire: what was done before the requests that are left.
        const std::uint64_t before = requests_.fetch_sub(seen, Env::acq_rel);
        if (before == seen) {
            break;
        }
        seen = before - seen;
    }
    answered.deliver();
}

/// Lists those who have arrived, the first one first. True: one of them has been cancelled.
template <class Env>
bool waiters<Env>::take_in() noexcept {
    bool cancelled = false;
    waiter_type* oldest = nullptr;
    // [take.all] acquire: pairs with [enter.push]
    //   The waiters. The head is only changed by read-modify-writes, so every lister's release is in the sequence that we
    //   read from.
    for (waiter_type* each = arriving_.exchange(nullptr, Env::acquire); each != nullptr;) {
        waiter_type* newer = each->next_.get();
        each->next_.set(oldest);
        oldest = each;
        each = newer;
    }
    while (oldest != nullptr) {
        waiter_type& each = *oldest;
        oldest = each.next_.get();
        waiting_[index(each.what_)].append(each);
        // [take.cancelled] relaxed: as [drop.cancelled].
        cancelled = cancelled || each.cancelled_.load(Env::relaxed) != 0;
    }
    return cancelled;
}

/// An element that is taken makes room, and an element that is put may be what another one waits for: by turns, until
/// neither side has its way.
template <class Env>
void waiters<Env>::serve(answers& answered) noexcept {
    for (bool moved = true; moved;) {
        moved = false;
        for (std::size_t side = 0; side < 2; ++side) {
            list& waiting = waiting_[side];
            while (waiting.first() != nullptr && waiting.first()->attempt()) {
                interest_[side].leave(1);
                answered.append(waiting.take_first());
                moved = true;
            }
        }
    }
}

template <class Env>
void waiters<Env>::drop_cancelled(answers& answered) noexcept {
    for (std::size_t side = 0; side < 2; ++side) {
        waiter_type* each = waiting_[side].first();
        waiting_[side].clear();
        while (each != nullptr) {
            waiter_type* const next = each->next_.get();
            // [drop.cancelled] relaxed: a request or an arrival that we acquired follows the mark; one that we see earlier
            // is as good.
            if (each->cancelled_.load(Env::relaxed) != 0) {
                interest_[side].leave(1);
                each->give_up();
                answered.append(*each);
            } else {
                waiting_[side].append(*each);
            }
            each = next;
        }
    }
}

} // namespace epoque::core
