// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: tasks. Depends on: base, tasks/task.hpp.
///
/// What a task and whoever waits for it have in common: one word.
///
///     phase        queued --claim()--> running --finish()--> done | cancelled
///     asleep       a thread is parked on the word
///     subscribed   `next_` is to be run at the end
///     references   one is the task's, in its queue; one is the future's
///
/// Invariants:
///   F1  Of all who try (the executor, a thread that waits, who cancels, who drops) one wins claim(); it alone touches the
///       callable, writes the result, and calls finish(), once.
///   F2  The result is read only by who has read the end of the word's phases (acquire): finish() releases it.
///   F3  (no lost wake-up) finish() and the waiter's announcement are read-modify-writes of one word. If the announcement is
///       first, finish() sees it, and wakes; if finish() is first, the announcement fails or reads the end.
///   F4  A finish() that also gives up the task's reference does so in the same step. It touches the object afterwards only
///       where `subscribed` says that the one who waits is still suspended, and with it the future's reference; the parked
///       thread is woken by the word's address alone. (Who finishes without giving it up has the future's, or the task's, still.)
///
/// Progress: wait-free but for wait(), which blocks, and claim() and release(), which are lock-free.
/// Proof: docs/memory-model.md#tasks.
#pragma once

#include "epoque/base/env.hpp"
#include "epoque/tasks/task.hpp"

#include <cstdint>

namespace epoque::core {

template <class Env>
class completion {
    enum : std::uint32_t {
        queued = 0,
        running = 1,
        done = 2,
        cancelled = 3,
        phases = 3,
        asleep = 4,
        subscribed = 8,
        one_reference = 16,
    };

  public:
    completion() = default;
    completion(const completion&) = delete;
    completion& operator=(const completion&) = delete;

    /// Whether the callable is the caller's now (F1).
    bool claim() noexcept {
        // [claim.look] relaxed: only the expected value of [claim.start].
        std::uint32_t seen = word_.load(Env::relaxed);
        while ((seen & phases) == queued) {
            // [claim.start] relaxed: only one wins; the callable came to it with the task or the future.
            if (word_.compare_exchange_weak(seen, seen | running, Env::relaxed, Env::relaxed)) {
                return true;
            }
        }
        return false;
    }

    enum class outcome : std::uint32_t { done = completion::done, cancelled = completion::cancelled };

    /// The end, by the claimant; tells whoever waits. `with_reference`: and gives up the task's reference. True: that was the
    /// last one, the caller ends the object.
    bool finish(outcome how, bool with_reference) noexcept {
        atomic_word& word = word_;
        const std::uint32_t step = static_cast<std::uint32_t>(how) - running;
        // [finish.end] acq_rel: pairs with [wait.look], [subscribe.add], [ready.look], [release.drop], [release.last]
        //   Release: the result (F2), and that we have done with the object. Acquire: `next_`, and the end of the future's use.
        const std::uint32_t before = word.fetch_add(step - (with_reference ? one_reference : 0U), Env::acq_rel);
        if (with_reference && before / one_reference == 1) {
            return true;
        }
        if ((before & asleep) != 0) {
            Env::unpark(word, UINT32_MAX); // F4
        }
        if ((before & subscribed) != 0) {
            next_.get()->act(*next_.get(), fate::run);
        }
        return false;
    }

    /// Gives up a reference. True: it was the last one.
    bool release() noexcept {
        // [release.last] acquire: pairs with [finish.end], [release.drop]
        //   Nobody else knows the object any more, and their use of it is over.
        if (word_.load(Env::acquire) / one_reference == 1) {
            return true;
        }
        // [release.drop] acq_rel: pairs with [finish.end], [release.last]
        //   Release: our use is over. Acquire: as [release.last].
        return word_.fetch_sub(one_reference, Env::acq_rel) / one_reference == 1;
    }

    bool is_ready() const noexcept {
        // [ready.look] acquire: pairs with [finish.end]
        //   F2.
        return (word_.load(Env::acquire) & phases) >= done;
    }
    /// Precondition: is_ready().
    bool was_cancelled() const noexcept {
        // [ready.how] relaxed: it does not change any more.
        return (word_.load(Env::relaxed) & phases) == cancelled;
    }

    /// Sleeps until the end or the deadline; true: it has ended.
    template <class Deadline>
    bool wait(const Deadline& until) noexcept {
        for (unsigned spins = 0;;) {
            // [wait.look] acquire: pairs with [finish.end]
            //   F2.
            std::uint32_t seen = word_.load(Env::acquire);
            if ((seen & phases) >= done) {
                return true;
            }
            if (spins < Env::spin_before_park) {
                ++spins;
                Env::pause();
                continue;
            }
            if (until.passed()) {
                return false;
            }
            // [wait.announce] relaxed: F3; says only that a wake is needed. Failure (relaxed): the next look sees why.
            if ((seen & asleep) == 0 && !word_.compare_exchange_weak(seen, seen | asleep, Env::relaxed, Env::relaxed)) {
                continue;
            }
            Env::park(word_, seen | asleep, until.next());
        }
    }

    /// Has `next` run at the end, by whoever brings it about. False: it has come already, and `next` is left alone. Once.
    bool subscribe(task_node<Env>& next) noexcept {
        next_.set(&next);
        // [subscribe.add] acq_rel: pairs with [finish.end]
        //   Release: `next_`. Acquire: F2.
        const std::uint32_t before = word_.fetch_add(subscribed, Env::acq_rel);
        return (before & phases) < done;
    }
    /// Whether something is to be run at an end that has not come.
    bool is_awaited() const noexcept {
        // [awaited.look] relaxed: asked by the one who has subscribed.
        const std::uint32_t seen = word_.load(Env::relaxed);
        return (seen & subscribed) != 0 && (seen & phases) < done;
    }

  protected:
    ~completion() = default;

  private:
    using atomic_word = typename Env::template atomic<std::uint32_t>;

    atomic_word word_{2 * one_reference};
    typename Env::template var<task_node<Env>*> next_{nullptr};
};

} // namespace epoque::core
