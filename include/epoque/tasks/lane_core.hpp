// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: tasks. Depends on: base, tasks/task.hpp.
///
/// Tasks one after the other, in the order in which they were put, by whichever thread of an executor has the turn.
///
///     head_ --> i5 --> i4          put by a CAS; newest first. Null: the lane rests. `at_work`: nothing new
///     todo_ --> i1 --> i2 --> i3   in order; touched by who has the turn
///     turn_                        resting -> called -> taken -> called ... -> resting
///
/// The put that finds the lane resting calls for a thread: it hands the lane's *call* to the executor, which is a task, too. Its
/// run takes the turn, does up to `batch` tasks, and calls again, behind the executor's other tasks, where some are left. A
/// worker that waits for one of the lane's tasks may take a turn that is called, too; the call then comes in vain.
///
/// Invariants:
///   L1  turn_ is changed resting -> called by the put that moved head_ from null, called -> taken by one CAS, and from there by
///       who has the turn. So one thread at a time runs the lane, and its tasks happen one after the other.
///   L2  While turn_ is called a call is on its way: each change to it is followed by one. (There may be others, of turns that
///       somebody else took; they take what they find, or nothing.)
///   L3  head_ is null, and turn_ resting, only where no task is left: the turn's last step moves head_ from `at_work`, and a
///       put that comes before that makes it fail.
///   L4  An item carries its task through the lane, and at most one call through the executor: the one of its put, or the
///       one of the turn that found it first in todo_. It goes when both have ended. Each item keeps the lane.
///
/// Progress: put is lock-free, plus what the executor does with a call. A thread that sleeps with the turn stops its lane: that
/// is what a lane is; so does one that sleeps in the put that found the lane resting, until it has made its call.
/// Linearizes: put at [put.link]. Proof: docs/memory-model.md#tasks.
///
/// Sources: Treiber's list (core/treiber_stack.hpp), emptied by one exchange and turned round. Boost.Asio's strands promise the
/// same order.
#pragma once

#include "epoque/tasks/completion.hpp"
#include "epoque/tasks/task.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>

namespace epoque::core {

template <class Env>
class lane_core {
    template <class T>
    using atomic = typename Env::template atomic<T>;
    using task_type = basic_task<Env>;

  public:
    /// How many tasks a turn does before the executor's other tasks have theirs.
    static constexpr unsigned batch = 32;
    /// What hands a call to the executor, `last`: behind its other tasks. False: refused. It, too, drops the call; or throws.
    using executor_call = bool (*)(void* executor, task_type&& call, bool last);

    /// A lane with one reference, the caller's. Throws: bad_alloc.
    static lane_core* make(void* executor, executor_call how) { return make_by_env<Env, lane_core>(executor, how); }
    lane_core(void* executor, executor_call how) noexcept : executor_(executor), call_(how) {}
    lane_core(const lane_core&) = delete;
    lane_core& operator=(const lane_core&) = delete;

    void retain() noexcept {
        // [retain.count] relaxed: the caller has a reference.
        references_.fetch_add(1, Env::relaxed);
    }
    void release() noexcept {
        // [release.count] acq_rel: pairs with [release.count]
        //   Whoever ends the lane has seen the last use of all others.
        if (references_.fetch_sub(1, Env::acq_rel) == 1) {
            end_by_env<Env>(this);
        }
    }

    /// True; false: the executor has refused the lane's call. Where it does, or throws, the lane's tasks are dropped, this one too.
    /// Throws: bad_alloc, `work` is then unchanged; what the executor throws.
    bool put(task_type&& work) {
        item* const fresh = make_by_env<Env, item>(*this);
        fresh->work = std::move(work);
        // [put.look] relaxed: only the expected value of [put.link].
        item* head = head_.load(Env::relaxed);
        do {
            fresh->next.set(head == at_work() ? nullptr : head);
            // [put.link] acq_rel: pairs with [take.all], [rest.end]
            //   Release: the item. Acquire: where the lane rests, the last turn's end (L1). Failure (relaxed): only `head` changes.
        } while (!head_.compare_exchange_weak(head, fresh, Env::acq_rel, Env::relaxed)); // LP
        if (head != nullptr) {
            return true;
        }
        fresh->stay(); // before a worker that waits could serve and end it
        // [put.call] release: pairs with [turn.take]
        //   As [turn.pass]; nobody else changes it now (L1).
        turn_.store(called, Env::release);
        return call_(executor_, task_type::adopt(*fresh), false);
    }

    /// Takes the turn if it is called for. True: the caller has it, and calls serve().
    bool take_turn() noexcept {
        std::uint32_t expected = called;
        // [turn.take] acquire: pairs with [turn.pass], [put.call]
        //   todo_ as the last turn has left it. Failure (relaxed): somebody has it, or nobody is wanted.
        return turn_.compare_exchange_strong(expected, taken, Env::acquire, Env::relaxed);
    }

    /// Ends tasks until `batch` of them are done, or the one that `until` belongs to, or none is left; those that are dropped
    /// all. Precondition: the caller has the turn, and a reference to the lane (L4).
    void serve(fate what, const completion<Env>* until = nullptr) noexcept {
        do {
            serve_as(Env::worker());
            for (unsigned count = 0; count < batch || what == fate::drop; ++count) {
                if (todo_.get() == nullptr && !take_in()) {
                    return;
                }
                item& next = *todo_.get();
                todo_.set(next.next.get());
                task_type work = std::move(next.work);
                next.leave();
                if (what == fate::run) {
                    work();
                }
                if (until != nullptr && until->is_ready()) {
                    break;
                }
            }
        } while ((todo_.get() != nullptr || take_in()) && comes_back() && take_turn());
    }

    /// Whether the calling worker has the turn, further down its stack.
    bool is_served_by(const void* worker) const noexcept {
        // [served.look] relaxed: only the caller itself makes it true, and takes it back.
        return served_by_.load(Env::relaxed) == worker;
    }

  private:
    enum : std::uint32_t { resting = 0, called = 1, taken = 2 };

    /// See L4. As a task it is the lane's call.
    struct item final : task_node<Env> {
        explicit item(lane_core& through) noexcept : task_node<Env>(&item::arrive), lane(through) { lane.retain(); }
        ~item() { lane.release(); }

        static void arrive(task_node<Env>& node, fate what) noexcept {
            auto& self = static_cast<item&>(node);
            // [arrive.caller] relaxed: only the caller's own store makes it true.
            if (what == fate::run && self.caller.load(Env::relaxed) == &Env::worker()) {
                self.came_at_once = true; // inside of comes_back(), which sees to it
            } else if (self.lane.take_turn()) {
                self.lane.serve(what);
            }
            self.leave();
        }
        void stay() noexcept {
            // [item.stay] relaxed: the caller has the item.
            uses.fetch_add(1, Env::relaxed);
        }
        void leave() noexcept {
            // [item.leave] acq_rel: pairs with [item.leave]
            //   Whoever ends the item has seen the other use's end.
            if (uses.fetch_sub(1, Env::acq_rel) == 1) {
                end_by_env<Env>(this);
            }
        }

        lane_core& lane;
        task_type work;
        typename Env::template var<item*> next{nullptr};
        atomic<std::uint32_t> uses{1};
        atomic<void**> caller{nullptr}; // the thread that is handing the call over just now, by an address of its own
        bool came_at_once = false;      // the caller's
    };

    static item* at_work() noexcept {
        // SAFETY: an address that no item has; never looked into.
        return reinterpret_cast<item*>(std::uintptr_t{1});
    }

    void serve_as(void* worker) noexcept {
        // [served.mark] relaxed: read by the same thread.
        served_by_.store(worker, Env::relaxed);
    }
    /// Calls for another turn, since tasks are left. True: an executor that runs at once, or cannot take the call, has given it
    /// back: the caller goes on, rather than deeper into its stack.
    bool comes_back() noexcept {
        item& first = *todo_.get();
        first.stay(); // the call
        first.stay(); // we
        serve_as(nullptr);
        // [call.begin] relaxed: read by this thread only, or in vain.
        first.caller.store(&Env::worker(), Env::relaxed);
        // [turn.pass] release: pairs with [turn.take]
        //   todo_, and everything that the tasks did.
        turn_.store(called, Env::release);
        task_type turn = task_type::adopt(first);
        try {
            static_cast<void>(call_(executor_, std::move(turn), true));
        } catch (...) { // NOLINT(bugprone-empty-catch): out of memory, perhaps; the call is still here, or was dropped
        }
        if (turn) { // NOLINT(bugprone-use-after-move): thrown back
            turn();
        }
        // [call.end] relaxed: as [call.begin].
        first.caller.store(nullptr, Env::relaxed);
        const bool back = first.came_at_once;
        first.leave();
        return back;
    }

    /// Lists what has come in, the oldest first. False: nothing; the caller has given its turn up, and the lane rests.
    bool take_in() noexcept {
        for (;;) {
            // [take.all] acquire: pairs with [put.link]
            //   The items. head_ is only changed by read-modify-writes, so every put's release is in the sequence that we read from.
            item* each = head_.exchange(at_work(), Env::acquire);
            if (each != at_work()) {
                item* oldest = nullptr;
                while (each != nullptr) {
                    item* const newer = each->next.get();
                    each->next.set(oldest);
                    oldest = each;
                    each = newer;
                }
                todo_.set(oldest);
                return true;
            }
            serve_as(nullptr);
            // [rest.turn] relaxed: [rest.end] publishes it to the next put; nobody else looks while head_ isn't null.
            turn_.store(resting, Env::relaxed);
            // [rest.end] release: pairs with [put.link]
            //   L3, and all that was done in this turn. Failure (relaxed): a put came; [take.all] takes it.
            if (head_.compare_exchange_strong(each, nullptr, Env::release, Env::relaxed)) {
                return false;
            }
            // [rest.again] relaxed: nobody takes a turn that isn't called.
            turn_.store(taken, Env::relaxed);
            serve_as(Env::worker());
        }
    }

    void* const executor_;
    const executor_call call_;
    atomic<item*> head_{nullptr};
    atomic<std::uint32_t> turn_{resting};
    atomic<std::uint32_t> references_{1};
    typename Env::template var<item*> todo_{nullptr};
    atomic<void*> served_by_{nullptr}; // the worker that has the turn; null: none, or a thread that is no worker
};

} // namespace epoque::core
