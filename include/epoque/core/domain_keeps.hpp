// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: domain. Keeps: how a view of a snapshot, or a call by handle, keeps one object for as long as it likes; include
/// domain.hpp.
///
/// A guard keeps everything that is retired while it lasts. Who looks at one version of a value, or works on the object behind
/// one handle, needs that object alone, destructor and all, perhaps for long, and may call anything meanwhile. A hazard of
/// domain_hazards.hpp is an operation's, ends in the order of calls, and keeps blocks without a destructor; a keep may end in
/// any order, and the object it keeps is retired like any other:
///
///     reader, in its own record                       whoever runs the reclaimer of X, after X's grace period
///       kept[i] = X, light barrier                      is X in any record's kept[0], kept[1]?
///       does the source still lead to X? (else again)     yes: retire X again
///       ... use X, for as long as you like ...             no: destroy it
///       kept[i] = none
///
/// Invariants (proof: docs/memory-model.md#keeps):
///   G1  A thread uses X only between a check, after `kept[i] = X` and its light barrier, that found the source leading to X,
///       and the store that takes the keep back; or inside a guard that began before it read the source.
///   G2  X is retired once, after its source was changed for good: nothing leads to it ever after.
///   G3  X ends only in a reclaimer, so at epoch e+3 or later, that has looked at every record's keeps and not found it.
///   G1 to G3 imply: nobody uses an object that has ended, and no address that somebody keeps is used again: no ABA.
///
/// Bound: a thread keeps two objects; a third one at the same time by a guard, with all that follows from that. There is no
/// heavy barrier here: those of the grace period do. (A look-up that fails may have named an object for a moment.)
/// Progress: wait-free, O(records) for each object that ends.
///
/// Sources: Michael, Hazard pointers, TPDS 2004. McKenney, Slingwine, Read-copy update, 1998.
#pragma once

#include "epoque/base/config.hpp"
#include "epoque/domain.hpp"

#include <cstdint>

namespace epoque {

namespace core {

/// One object, kept until this ends; the calling thread's. It first keeps nothing.
template <class Env>
class keep {
  public:
    /// Throws: bad_alloc, on a thread's first use of the domain only.
    explicit keep(basic_domain<Env>& home) : home_(home), record_(home.own_record()) {}
    keep(const keep&) = delete;
    keep& operator=(const keep&) = delete;
    EPOQUE_ALWAYS_INLINE ~keep() { release(); }

    record<Env>& mine() const noexcept { return record_; }

    /// Keeps the object with this hook, in place of the one before, if a check that follows finds that the source leads to it.
    /// Where the thread keeps two others already: whatever a read that follows finds.
    EPOQUE_ALWAYS_INLINE void protect(const void* hook) noexcept {
        if (slot_ == nullptr && !find_slot()) [[unlikely]] {
            return;
        }
        // [keep.protect] barrier: pairs with [domain_impl:meet.heavy], [kept.slot]
        //   If our barrier is first, whoever runs the object's reclaimer sees that we keep it.
        //   If the heavy one is first, our check reads that the source leads elsewhere.
        Env::store_light(record_.fast, *slot_, hazard_of(hook));
    }

    /// Keeps nothing any more.
    EPOQUE_ALWAYS_INLINE void release() noexcept {
        if (slot_ != nullptr) [[likely]] {
            // [keep.end] release: pairs with [kept.slot]
            //   Whoever reads it destroys the object after our last use.
            Env::store_release(record_.fast, *slot_, std::uintptr_t{0});
            slot_ = nullptr;
        } else if (pinned_) {
            unpin(home_, record_);
            pinned_ = false;
        }
    }

    /// What `source` leads to, kept.
    template <class Node>
    EPOQUE_ALWAYS_INLINE Node* latest(const typename Env::template atomic<Node*>& source) noexcept {
        // [latest.guess] relaxed: only [latest.check] decides.
        Node* guess = source.load(Env::relaxed);
        for (unsigned tries = 0; tries != most_tries; ++tries) {
            protect(guess);
            // [latest.check] acquire: pairs with [snapshot:replace.swap]
            //   The node was built before it was published.  // LP
            Node* const found = source.load(Env::acquire);
            if (found == guess || pinned_) [[likely]] {
                return found;
            }
            guess = found;
        }
        return latest_by_pin(home_, record_, *slot_, source);
    }

  private:
    // So many writers may come in between; then a pin, which none of them can disturb.
    static constexpr unsigned most_tries = 4;

    EPOQUE_ALWAYS_INLINE bool find_slot() noexcept {
        if (pinned_) {
            return false;
        }
        for (auto& slot : record_.kept) {
            // [keep.free] relaxed: our own thread's.
            if (slot.load(Env::relaxed) == 0) {
                slot_ = &slot;
                return true;
            }
        }
        pin(home_, record_);
        pinned_ = true;
        return false;
    }
    // Static: no member is called, so that a keep can live in registers.
    EPOQUE_COLD static void pin(basic_domain<Env>& home, record<Env>& mine) noexcept { home.enter(mine); }
    EPOQUE_COLD static void unpin(basic_domain<Env>& home, record<Env>& mine) noexcept { home.leave_quietly(mine); }

    /// Names the node inside a pin: whoever could end it waits for the pin's end, and sees the name then.
    template <class Node>
    EPOQUE_COLD static Node* latest_by_pin(basic_domain<Env>& home, record<Env>& mine,
                                           typename Env::template atomic<std::uintptr_t>& slot,
                                           const typename Env::template atomic<Node*>& source) noexcept {
        home.enter(mine);
        // [latest.pinned] acquire: pairs with [snapshot:replace.swap]
        //   As [latest.check].  // LP
        Node* const found = source.load(Env::acquire);
        // [keep.pinned] release: pairs with [kept.slot]
        //   As [keep.end]; and the unpin that follows carries it.
        Env::store_release(mine.fast, slot, hazard_of(found));
        home.leave_quietly(mine);
        return found;
    }

    basic_domain<Env>& home_;
    record<Env>& record_;
    typename Env::template atomic<std::uintptr_t>* slot_ = nullptr;
    bool pinned_ = false;
};

} // namespace core

template <class Env>
bool basic_domain<Env>::keeps_something(const record_type& record) noexcept {
    for (const auto& slot : record.kept) {
        // [keeps.own] relaxed: the caller's own, or nobody's any more.
        if (slot.load(Env::relaxed) != 0) {
            return true;
        }
    }
    return false;
}

/// G3. Precondition: the object's grace period is over, and the caller knows (D3).
template <class Env>
bool basic_domain<Env>::is_kept(const void* object) noexcept {
    // [kept.records] barrier: pairs with [domain_impl:acquire.link]
    //   If our read comes first, the new thread synchronizes with us before its first keep.
    //   If the link comes first, we see the record.
    for (record_type* other = Env::load_heavy(fast_, records_); other != nullptr; other = other->next) {
        for (auto& slot : other->kept) {
            // [kept.slot] barrier: pairs with [keep.protect], [keep.end], [keep.pinned]
            //   If our read is first (fallback) or the heavy barrier was, the reader's check finds that the source leads elsewhere.
            //   If the keep is first, we see it, or its end; acquire: the reader has done with the object then.
            if (Env::load_heavy(fast_, slot) == core::hazard_of(object)) {
                return true;
            }
        }
    }
    return false;
}

template <class Env>
bool basic_domain<Env>::retired_again(record_type& runner, hook* object) noexcept {
    if (!is_kept(object)) {
        return false;
    }
    --runner.running_objects; // run() had counted it: it is not freed
    runner.running_bytes -= object->bytes;
    put_again(runner, object);
    return true;
}

} // namespace epoque
