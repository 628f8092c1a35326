// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. Depends on: base.
///
/// "Does anybody wait?", asked after every operation by a plain load: the one word in which those who are about to sleep
/// announce themselves to those who may have something for them. The protocol of every wait in epoque: threads and
/// coroutines in a channel (core/waiters.hpp), sleepers and the armed watcher of the C interface (ffi/waiting.hpp).
///
///     one who acts                          one who is about to wait
///       the deed (an element, room)           add or set: a read-modify-write of the word
///       look: light barrier, load the word    order: heavy barrier
///       not 0: wake                           look for the deed once more; sleep only if it isn't there
///
/// Invariants:
///   I1  (no lost deed) Of a deed with its look and an announcement with its order, one sees the other: the look reads the
///       announcement, or the announcer's next look for the deed finds it (or finds that somebody else took it).
///       With barriers this is the axioms' (base/barrier.hpp). In the fallback mode the look is a read-modify-write of the
///       word, too, and of two of them the first one synchronizes with the second.
///   I2  An announcement stands until it is taken back, so one barrier serves any number of looks for deeds.
///
/// Progress: wait-free, every function. A look that finds nobody costs one load of a line that is rarely written; in the
/// fallback mode a read-modify-write.
/// Proof: docs/memory-model.md#waiting.
#pragma once

#include "epoque/base/env.hpp"

#include <cstdint>

namespace epoque::core {

template <class Env>
class interest {
  public:
    interest() = default;
    interest(const interest&) = delete;
    interest& operator=(const interest&) = delete;

    // ---- those who act -------------------------------------------------------------------------------------------

    /// After the deed: what is announced. `fast` is Env::asymmetric().
    std::uint32_t look(bool fast) noexcept {
        // [look.order] barrier: pairs with [announce.heavy], [announce.add], [announce.set], [announce.change]
        //   If our barrier is first, the announcer's look that follows its own barrier finds the deed.
        //   If the heavy barrier is first, [look.word] sees the announcement.
        //   Without barriers this is a read-modify-write of the word: if ours is first, the announcer synchronizes with
        //   us; if the announcement is first, [look.word] sees it.
        Env::light(fast, word_);
        // [look.word] relaxed: [look.order] orders it; what follows synchronizes by itself.
        return word_.load(Env::relaxed);
    }

    // ---- those who wait ------------------------------------------------------------------------------------------

    void add(std::uint32_t amount) noexcept {
        // [announce.add] acq_rel: pairs with [look.order], [announce.take], [announce.change], [interest.read]
        //   I1, in the fallback mode. Release: who sees us sees what we did before.
        word_.fetch_add(amount, Env::acq_rel);
    }
    void set(std::uint32_t bits) noexcept {
        // [announce.set] acq_rel: pairs with [look.order], [announce.take]
        //   As [announce.add].
        word_.fetch_or(bits, Env::acq_rel);
    }
    /// After add or set, once, before the look for the deed. False: the kernel has begun to refuse membarrier; a deed may
    /// then be overlooked for as long as its core keeps a store to itself.
    bool order(bool fast) noexcept {
        if (!fast) {
            return true;
        }
        // [announce.heavy] barrier: pairs with [look.order]
        //   If our barrier is first, [look.word] sees us.
        //   If the light one is first, our next look finds the deed.
        return Env::heavy();
    }
    void leave(std::uint32_t amount) noexcept {
        // [announce.leave] relaxed: who still counts us wakes in vain, nothing else.
        word_.fetch_sub(amount, Env::relaxed);
    }
    /// Makes `wanted` of the word if it is `seen`. False: it is something else, which `seen` is now.
    bool change(std::uint32_t& seen, std::uint32_t wanted) noexcept {
        // [announce.change] acq_rel: pairs with [look.order], [announce.add], [interest.read]
        //   As [announce.add]; and who takes an announcement back sees what its owner did before. Failure (relaxed): nothing
        //   is concluded from `seen` but what to try next.
        return word_.compare_exchange_weak(seen, wanted, Env::acq_rel, Env::relaxed);
    }

    /// For those who sleep on the word itself: until it isn't `seen` any more and somebody says so, or the deadline; or less.
    void park(std::uint32_t seen, std::int64_t deadline) noexcept { Env::park(word_, seen, deadline); }
    void unpark(std::uint32_t count) noexcept { Env::unpark(word_, count); }

    /// Takes bits back; what was announced before.
    std::uint32_t take(std::uint32_t bits) noexcept {
        // [announce.take] acq_rel: pairs with [announce.add], [announce.set]
        //   One of several takers gets a bit, and sees what its setter did before. Whoever announces later synchronizes
        //   with us.
        return word_.fetch_and(~bits, Env::acq_rel);
    }

    /// What is announced, and with it what its announcers did before.
    std::uint32_t read() const noexcept {
        // [interest.read] acquire: pairs with [announce.add], [announce.change]
        //   All changes are read-modify-writes, so every earlier one's release is in the sequence that we read from.
        return word_.load(Env::acquire);
    }
    /// Racy.
    std::uint32_t was() const noexcept {
        // [interest.was] relaxed: a hint or a statistic.
        return word_.load(Env::relaxed);
    }

  private:
    typename Env::template atomic<std::uint32_t> word_{0};
};

} // namespace epoque::core
