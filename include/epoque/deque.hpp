// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. Depends on: base, domain, core/word_ring.hpp.
///
/// `work_stealing_deque<T>`: one owner pushes and pops at the bottom, any number of thieves steal at the top.
///
///     top_                    border_                       bottom_
///      | 7 | 8 | 9 | 10 | 11 |  12 | 13 | 14 | 15 | 16 | 17 |
///      +---- public ---------+---------- private -----------+        ring_: index modulo a power of two
///      thieves: CAS of top_    the owner: store of bottom_
///
/// Chase and Lev's deque, with a border. Thieves take only what lies below `settled_` <= `border_`. The owner takes what
/// lies at or above the border without a read-modify-write, and does one for each element below it. A thief that finds
/// nothing public moves the border up to the middle of what there is, or by `share_`, and pays one heavy barrier for all of
/// that. share_ doubles whenever thieves have taken all that was public and halves when the owner finds a public element that
/// nobody wanted, so that a deque that is mostly stolen from, however short it is, needs few barriers.
///
/// Why so: with a barrier for each steal (Chase and Lev's deque with its fence made asymmetric) eight idle thieves cost
/// 75 us a round in the kernel; with a read-modify-write for each pop the owner's pair costs several times as much.
///
/// Invariants:
///   W1  top_, border_ and settled_ only grow; top_ <= border_ and settled_ <= border_. An index is 64 bits, never wraps,
///       and never comes back to top_: no ABA.
///   W2  settled_ becomes s only after a heavy barrier that followed border_ >= s. So a thief that takes below s knows of
///       every element at s or below that the owner took without having seen the border.
///   W3  An element at index i >= top_ leaves by [pop.border] reading a border <= i (the owner's), by [pop.meet] reading a
///       top_ < i (the owner's), or by the CAS that moves top_ from i (whoever wins it). Exactly one of them.
///   W4  A slot's value is read speculatively and counts only when the CAS of top_ succeeds; the slot is not written again
///       before top_ has passed its index.
///   W5  bottom_ is written by the owner only, without membarrier by read-modify-writes only (base/env.hpp).
///   W6  A thief looks into a ring only while that is its hazard and ring_ was read to lead there since
///       (core/domain_hazards.hpp, H1). The owner alone changes ring_, and retires what was there. Nobody's guard keeps it.
///
/// Progress: the owner is wait-free, but for the growth of the ring, which is the allocator's. Thieves are lock-free: a
/// steal fails only because another one, or a pop, succeeded, or because the border is just being moved; every 33rd thief
/// moves it in the place of one that sleeps there. Where the kernel begins to refuse membarrier after start-up, thieves
/// answer busy about what is not public yet; the owner goes on.
/// Linearizes: push at [push.bottom]; pop at [pop.announce], [pop.lower] or [pop.last], its `empty` at [pop.look] or the
/// failed [pop.last]; steal at [steal.take], its `empty` at [steal.peek] or [steal.bottom].
/// Proof: docs/memory-model.md#deque.
///
/// Sources: Chase, Lev, Dynamic circular work-stealing deque, SPAA 2005. Le, Pop, Cohen, Zappa Nardelli, Correct and
/// efficient work-stealing for weak memory models, PPoPP 2013. Dinan et al., Scalable work stealing, SC 2009 (a private and
/// a shared part). Ladan-Mozes, Lee, Vyukov, Location-based memory fences, SPAA 2011 (the thief pays). That thieves move the
/// border is ours.
#pragma once

#include "epoque/base/config.hpp"
#include "epoque/base/error.hpp"
#include "epoque/base/expected.hpp"
#include "epoque/core/word_ring.hpp"
#include "epoque/domain.hpp"

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>

namespace epoque {

/// What fits in one lock-free atomic word: a thief reads an element before it knows whether it gets it.
template <class T>
concept stealable =
    std::is_object_v<T> && !std::is_const_v<T> && !std::is_array_v<T> && std::is_trivially_copyable_v<T> &&
    std::is_nothrow_default_constructible_v<T> && sizeof(T) <= sizeof(std::uint64_t) && std::has_single_bit(sizeof(T));

/// An unbounded deque: the owner's stack at one end, everybody's queue at the other.
///
/// Use it when:      each thread has tasks of its own and takes others' when it has none (fork-join, task pools).
/// Use instead:      `queue` where no thread owns the work; `stack` where several push.
/// Elements:         `stealable`: trivially copyable, default-constructible without exceptions, 1, 2, 4 or 8 bytes. For anything else, pointers:
///                   who takes one owns the object. The destructor destroys no objects behind pointers.
/// Order:            the owner takes the newest, thieves the oldest. Linearizable in the order of happens-before: a push that
///                   nothing has told a thief of may still be on its way when its call has returned.
/// Memory:           8 bytes an element (or fewer, with the element), at least 64, in a ring that doubles by itself and shrinks by trim();
///                   rings out of use are freed when no thief looks at them; up to 256 KiB of them wait with the owner's thread.
///                   A thief that sleeps inside a steal keeps one.
/// Fairness:         none among thieves: one may take all for as long as it is quick (docs/robustness.md#fairness).
/// Progress:         the owner wait-free (the ring's growth apart), thieves lock-free.
/// Concurrency:      push and try_pop: one thread at a time, the owner; who hands ownership over synchronizes. try_steal,
///                   was_empty, was_size: any thread.
///
///     epoque::work_stealing_deque<task*> mine;
///     mine.push(split_off(work));                       // the owner
///     if (auto task = mine.try_pop()) { run(*task); }   // the owner
///     if (auto task = others.try_steal()) {             // any thread
///         run(*task);
///     } else if (task.error() == epoque::conqueue_status::busy) {
///         // somebody else was faster: try here again, or at the next deque
///     }
template <stealable T, class Env = std_env>
class work_stealing_deque {
    template <class V>
    using atomic = typename Env::template atomic<V>;
    using ring = core::word_ring<T, Env>;

  public:
    using value_type = T;

    /// An empty deque. Throws: bad_alloc.
    work_stealing_deque()
        requires std::is_same_v<Env, std_env>
        : work_stealing_deque(default_domain()) {}
    /// The same, reclaimed by `home`, which must outlive the deque and every thread's last operation on it.
    explicit work_stealing_deque(basic_domain<Env>& home);
    work_stealing_deque(const work_stealing_deque&) = delete;
    work_stealing_deque& operator=(const work_stealing_deque&) = delete;
    /// Precondition: no operation runs. May run inside a deleter.
    ~work_stealing_deque();

    /// Puts `value` at the bottom. The owner only.
    ///
    /// Returns:         nothing; the push succeeds or throws.
    /// Progress:        wait-free, but for the growth of the ring.
    /// Linearizes at:   [push.bottom] or [grow.bottom].
    /// Synchronization: with the steal that returns this value (release/acquire).
    /// Complexity:      O(1), no read-modify-write; amortised over the ring's growth.
    /// Throws:          bad_alloc, when the ring has to grow; the deque is then unchanged.
    /// Pins:            nothing, and runs no deleters.
    /// See:             docs/memory-model.md#deque
    void push(T value);

    /// Takes the newest element. The owner only.
    ///
    /// Returns:         the element; or empty (there was a moment during the call at which the deque was).
    /// Progress:        wait-free.
    /// Linearizes at:   [pop.announce], [pop.lower] or [pop.last]; `empty` at [pop.look] or the failed [pop.last].
    /// Synchronization: none is needed: the owner pushed the element.
    /// Complexity:      O(1); no read-modify-write, but one or two for an element that a thief has made public.
    /// Throws:          nothing.
    /// Pins:            no.
    expected<T, conqueue_status> try_pop() noexcept;

    /// Takes the oldest element.
    ///
    /// Returns:         the element; or empty (there was a moment during the call at which the deque was); or busy (somebody
    ///                  else took that element or is making one public: trying again, here or elsewhere, is right).
    /// Progress:        lock-free.
    /// Linearizes at:   [steal.take]; `empty` at [steal.peek] or [steal.bottom].
    /// Synchronization: with the push of this element.
    /// Complexity:      O(1), one read-modify-write; a heavy barrier once for each half of what the deque holds.
    /// Throws:          bad_alloc, on a thread's first use of the domain only.
    /// Pins:            as push.
    expected<T, conqueue_status> try_steal();

    /// Gives memory back: what it holds goes into the smallest ring with room for one more. The owner only.
    ///
    /// Returns:         whether the ring is that small now; false: no memory for one, nothing has changed.
    /// Progress:        wait-free, but for the allocator.
    /// Synchronization: as push.
    /// Complexity:      O(elements); O(1) where the ring is that small already.
    /// Throws:          nothing.
    bool trim() noexcept;

    /// Whether it looked empty a moment ago. Progress: wait-free.
    bool was_empty() const noexcept { return was_size() == 0; }
    /// How many elements it held a moment ago; exact for the owner while no thief operates. Progress: wait-free.
    std::size_t was_size() const noexcept;

  private:
    static constexpr std::uint64_t first_index = 1; // so that bottom_ - 1 exists
    // As many pops with a read-modify-write as cost the owner one heavy barrier.
    static constexpr std::uint64_t most_shared = 64;
    static constexpr std::uint64_t first_slots = std::max<std::uint64_t>(2, Env::segment_slots / 16);

    EPOQUE_COLD void push_and_grow(T value, ring* outgrown, std::uint64_t top, std::uint64_t bottom);
    ring* copied(ring& from, std::uint64_t slots, std::uint64_t top, std::uint64_t bottom);
    void publish(ring* fresh) noexcept;
    EPOQUE_NOINLINE expected<T, conqueue_status> pop_public(std::uint64_t bottom, bool announced) noexcept;
    EPOQUE_COLD bool make_public(std::uint64_t top, std::uint64_t bottom) noexcept;
    ring* protect_ring(core::hazard<Env>& held) const noexcept;

    // The owner's line: bottom_ is read by thieves, too.
    alignas(interference_size) atomic<std::uint64_t> bottom_{first_index}; // one past the newest element
    typename Env::template var<std::uint64_t> top_seen_{first_index};      // a value that top_ had; the owner's
    // The thieves' line; the owner reads it when it meets the border.
    alignas(interference_size) atomic<std::uint64_t> top_{first_index}; // the oldest element
    atomic<std::uint64_t> settled_{first_index};                        // below it thieves may take
    atomic<std::uint64_t> share_{1};      // make_public() moves the border by this at least
    atomic<std::uint32_t> contenders_{0}; // thieves that met one at make_public()
    // Read by every operation, written rarely.
    alignas(interference_size) atomic<std::uint64_t> border_{first_index}; // below it the owner must ask top_
    atomic<ring*> ring_{nullptr};                                          // written by the owner
    basic_domain<Env>& home_;
    const bool fast_; // asymmetric barriers are available
};

// ---- life cycle ----------------------------------------------------------------------------------------------------------

template <stealable T, class Env>
work_stealing_deque<T, Env>::work_stealing_deque(basic_domain<Env>& home) : home_(home), fast_(Env::asymmetric()) {
    // [init.ring] relaxed: whoever shares the deque with other threads publishes it.
    ring_.store(ring::make(home_, first_slots), Env::relaxed);
}

template <stealable T, class Env>
work_stealing_deque<T, Env>::~work_stealing_deque() {
    // [dtor.ring] relaxed: destruction is exclusive, whoever ordered it ordered all use before it.
    ring::destroy(home_, ring_.load(Env::relaxed));
}

// ---- the owner -----------------------------------------------------------------------------------------------------------

template <stealable T, class Env>
void work_stealing_deque<T, Env>::push(T value) {
    // [push.own] relaxed: our own store.
    const std::uint64_t bottom = bottom_.load(Env::relaxed);
    // [push.ring] relaxed: our own store.
    ring* at = ring_.load(Env::relaxed);
    if (bottom - top_seen_.get() >= at->slots()) [[unlikely]] {
        // [push.top] acquire: pairs with [steal.take]
        //   W4: the thieves' reads of the slots that top_ has passed come before our writes to them.
        const std::uint64_t top = top_.load(Env::acquire);
        top_seen_.set(top);
        if (bottom - top >= at->slots()) {
            return push_and_grow(value, at, top, bottom);
        }
    }
    // [push.slot] relaxed: [push.bottom] publishes it.
    (*at)[bottom].store(value, Env::relaxed);
    // [push.bottom] release: pairs with [steal.peek], [steal.bottom]
    //   The slot, and the ring that it lies in. // LP
    Env::store_release(fast_, bottom_, bottom + 1);
}

/// push, into a ring of twice the size. The old one is retired last: that may run the allocator's code, which may use this deque.
template <stealable T, class Env>
void work_stealing_deque<T, Env>::push_and_grow(T value, ring* outgrown, std::uint64_t top, std::uint64_t bottom) {
    core::record<Env>& record = home_.own_record();
    ring* larger = copied(*outgrown, 2 * outgrown->slots(), top, bottom);
    // [grow.slot] relaxed: as [push.slot].
    (*larger)[bottom].store(value, Env::relaxed);
    publish(larger);
    // [grow.bottom] release: pairs with [steal.peek], [steal.bottom]
    //   As [push.bottom].  // LP
    Env::store_release(fast_, bottom_, bottom + 1);
    home_.retire_unguarded(record, outgrown);
}

/// A ring of `slots` with the elements [top, bottom) in it. Throws: bad_alloc.
template <stealable T, class Env>
auto work_stealing_deque<T, Env>::copied(ring& from, std::uint64_t slots, std::uint64_t top, std::uint64_t bottom)
    -> ring* {
    ring* fresh = ring::make(home_, slots);
    for (std::uint64_t index = top; index != bottom; ++index) {
        // [grow.copy] relaxed: the owner wrote both, and [grow.ring] publishes the copy.
        (*fresh)[index].store(from[index].load(Env::relaxed), Env::relaxed);
    }
    return fresh;
}

template <stealable T, class Env>
void work_stealing_deque<T, Env>::publish(ring* fresh) noexcept {
    // [grow.ring] release: pairs with [ring.check]
    //   The ring and the copies. Thieves that still read the old one find the same elements there: nobody writes it again.
    ring_.store(fresh, Env::release);
}

template <stealable T, class Env>
bool work_stealing_deque<T, Env>::trim() noexcept {
    // [trim.own] relaxed: our own store.
    const std::uint64_t bottom = bottom_.load(Env::relaxed);
    // [trim.ring] relaxed: our own store.
    ring* const at = ring_.load(Env::relaxed);
    // [trim.top] acquire: pairs with [steal.take]
    //   As [push.top].
    const std::uint64_t top = top_.load(Env::acquire);
    top_seen_.set(top);
    const std::uint64_t slots = std::max(first_slots, std::bit_ceil(bottom - top + 1));
    if (slots >= at->slots()) {
        return true;
    }
    try {
        core::record<Env>& record = home_.own_record();
        publish(copied(*at, slots, top, bottom));
        home_.retire_unguarded(record, at);
        return true;
    } catch (const std::bad_alloc&) {
        return false;
    }
}

template <stealable T, class Env>
expected<T, conqueue_status> work_stealing_deque<T, Env>::try_pop() noexcept {
    // [pop.own] relaxed: our own store.
    const std::uint64_t bottom = bottom_.load(Env::relaxed);
    const std::uint64_t index = bottom - 1;
    // [pop.hint] relaxed: spares a poll of an empty deque the store; [pop.border] decides.
    if (index < border_.load(Env::relaxed)) {
        return pop_public(bottom, false);
    }
    // [pop.announce] barrier: pairs with [public.heavy], [public.meet], [steal.peek], [steal.bottom]
    //   If our barrier is first, a thief that takes below the border that it is about to settle reads this bottom_ or a
    //   later one, and leaves the element alone.
    //   If the heavy one is first, [pop.border] reads the border that its thread had read or written.  // LP
    Env::store_light(fast_, bottom_, index);
    // [pop.border] relaxed: see [pop.announce]; nothing else is read through it.
    if (index < border_.load(Env::relaxed)) [[unlikely]] {
        return pop_public(bottom, true);
    }
    // [pop.take] relaxed: our own stores.  // owns: the element
    return (*ring_.load(Env::relaxed))[index].load(Env::relaxed);
}

/// Takes the newest element, which lies below the border. `announced`: bottom_ says already that we want it. It then must
/// not be raised again while the element is there: a thief may have answered `empty` on the strength of it.
template <stealable T, class Env>
expected<T, conqueue_status> work_stealing_deque<T, Env>::pop_public(std::uint64_t bottom, bool announced) noexcept {
    const std::uint64_t index = bottom - 1;
    // [pop.limit] relaxed: any value that border_ had since it passed `index` will do.
    const std::uint64_t border = border_.load(Env::relaxed);
    // [pop.look] relaxed: of `empty` it proves all there is to know, as top_ only grows; otherwise only a hint.  // LP
    std::uint64_t top = top_.load(Env::relaxed);
    if (!announced) {
        if (top == bottom) {
            // Empty, with a public part ahead: skip its indices, so that what comes next is private again.
            // [pop.skip] release: pairs with [steal.top]
            //   As [pop.last]. Failure (relaxed): cannot be while it is empty; nothing would depend on it.
            if (border != bottom && top_.compare_exchange_strong(top, border, Env::release, Env::relaxed)) {
                // [pop.follow] release: pairs with [steal.peek], [steal.bottom]
                //   As [push.bottom], though there is nothing new.
                Env::store_release(fast_, bottom_, border);
            }
            return unexpected(conqueue_status::empty);
        }
        // [pop.lower] release: pairs with [steal.peek], [steal.bottom]
        //   Who reads it also reads what we pushed before; that [pop.meet] comes after it is what counts.  // LP
        Env::store_release(fast_, bottom_, index);
    }
    if (top < index) {
        // [pop.meet] release: pairs with [steal.top]
        //   All changes of top_ are read-modify-writes, so of this one and the CAS that moves top_ to `index` the later one
        //   knows the earlier. If ours is first, who reads that top_ also reads the lowered bottom_, and leaves the element
        //   alone (a release sequence). If it is second, we read that top_.
        top = top_.fetch_add(0, Env::release);
        if (top < index) {
            // No thief wanted it: next time less.
            // [pop.share] relaxed: a guess.
            if (const std::uint64_t share = share_.load(Env::relaxed); share > 1) {
                share_.store(share / 2, Env::relaxed);
            }
            // [pop.get] relaxed: our own stores.  // owns: the element
            return (*ring_.load(Env::relaxed))[index].load(Env::relaxed);
        }
    }
    // The last one: whoever moves top_ has it. We move it to the border, thieves by one.
    // [pop.last] release: pairs with [steal.top]
    //   Who reads the new top_ must not read a bottom_ of before, from a time at which it was higher. Failure (relaxed): a
    //   thief has it.  // LP
    if (top == index && top_.compare_exchange_strong(top, border, Env::release, Env::relaxed)) {
        // [pop.last_slot] relaxed: our own stores.  // owns: the element
        const T value = (*ring_.load(Env::relaxed))[index].load(Env::relaxed);
        // [pop.raise] release: pairs with [steal.peek], [steal.bottom]
        //   As [pop.follow].
        Env::store_release(fast_, bottom_, border);
        return value;
    }
    // [pop.restore] release: pairs with [steal.peek], [steal.bottom]
    //   As [pop.follow].
    Env::store_release(fast_, bottom_, bottom);
    return unexpected(conqueue_status::empty);
}

// ---- thieves ---------------------------------------------------------------------------------------------------------------

/// The ring, protected (W6).
template <stealable T, class Env>
auto work_stealing_deque<T, Env>::protect_ring(core::hazard<Env>& held) const noexcept -> ring* {
    // [ring.look] relaxed: only what to protect; [ring.check] decides.
    for (ring* at = ring_.load(Env::relaxed);;) {
        held.protect(static_cast<const core::retired<Env>*>(at));
        // [ring.check] acquire: pairs with [grow.ring]
        //   The ring was built, and the elements copied, before it was published.
        ring* const now = ring_.load(Env::acquire);
        if (now == at) [[likely]] {
            return at;
        }
        at = now;
    }
}

template <stealable T, class Env>
expected<T, conqueue_status> work_stealing_deque<T, Env>::try_steal() {
    // [steal.top] acquire: pairs with [steal.take], [pop.meet], [pop.last], [pop.skip]
    //   bottom_ must be read after it, and be at least as new as what the one who moved top_ had seen or written.
    std::uint64_t top = top_.load(Env::acquire);
    // [steal.settled] acquire: pairs with [public.settle]
    //   W2: with it we see what the heavy barrier collected.
    if (top >= settled_.load(Env::acquire)) {
        // [steal.peek] acquire: pairs with [push.bottom], [grow.bottom], [pop.announce], [pop.lower], [pop.follow], [pop.raise],
        //   [pop.restore]
        //   As [steal.bottom]. // LP of `empty`
        const std::uint64_t bottom = bottom_.load(Env::acquire);
        if (bottom <= top) {
            return unexpected(conqueue_status::empty);
        }
        if (!make_public(top, bottom)) {
            return unexpected(conqueue_status::busy);
        }
    }
    // [steal.bottom] acquire: pairs with [push.bottom], [grow.bottom], [pop.announce], [pop.lower], [pop.follow], [pop.raise],
    //   [pop.restore]
    //   The slot was written before bottom_ passed it, and the ring was there.  // LP of `empty`
    if (bottom_.load(Env::acquire) <= top) {
        return unexpected(conqueue_status::empty);
    }
    core::hazard<Env> held(home_.own_record());
    ring* at = protect_ring(held);
    // [steal.slot] relaxed: published by [push.bottom] or [grow.ring]; counts only if [steal.take] succeeds.
    const T value = (*at)[top].load(Env::relaxed);
    // [steal.take] release: pairs with [steal.top], [push.top], [trim.top]
    //   As [steal.top]; and [steal.slot] comes before the owner's next write to that slot. Failure (relaxed): nothing of it
    //   is used.  // LP
    if (!top_.compare_exchange_strong(top, top + 1, Env::release, Env::relaxed)) {
        return unexpected(conqueue_status::busy);
    }
    // owns: the element
    return value;
}

/// Makes the older half of the elements public, `top` at least. False: somebody else is about it, or the kernel refuses.
template <stealable T, class Env>
bool work_stealing_deque<T, Env>::make_public(std::uint64_t top, std::uint64_t bottom) noexcept {
    // [public.border] relaxed: what counts is that it is read before the barrier.
    std::uint64_t border = border_.load(Env::relaxed);
    if (border > top) {
        // One barrier is enough. Not a lock: when that thief sleeps, every 33rd contender takes its place.
        // [public.elect] relaxed: rationing only, nothing depends on it.
        const std::uint32_t before = contenders_.fetch_add(1, Env::relaxed);
        if (before % (Env::spin_before_abandon + 1) != Env::spin_before_abandon) {
            return false;
        }
    } else {
        // [public.share] relaxed: a guess.
        const std::uint64_t share = share_.load(Env::relaxed);
        const std::uint64_t next = top + std::max((bottom - top + 1) / 2, share);
        // [public.claim] relaxed: as [public.border]. Failure (relaxed): somebody else has begun.
        if (!border_.compare_exchange_strong(border, next, Env::relaxed, Env::relaxed)) {
            return false;
        }
        border = next;
        // Everything that was public is gone: next time more, even more than there is.
        // [public.more] relaxed: a guess.
        share_.store(std::min(2 * share, most_shared), Env::relaxed);
    }
    if (fast_) {
        // [public.heavy] barrier: pairs with [pop.announce]
        //   If the light barrier is first, we and who reads [public.settle] read the lowered bottom_ or a later one.
        //   If ours is first, the owner reads our border and asks top_.
        if (!Env::heavy()) {
            return false;
        }
    } else {
        // [public.meet] barrier: pairs with [pop.announce]
        //   If the owner's read-modify-write is first, as in [public.heavy].
        //   If ours is first, the owner synchronizes with it and reads our border.
        Env::load_heavy(fast_, bottom_);
    }
    // [public.settled] relaxed: only the expected value of [public.settle].
    std::uint64_t settled = settled_.load(Env::relaxed);
    // [public.settle] release: pairs with [steal.settled]
    //   W2: what the barrier collected comes before it. Failure (relaxed): another value to compare with.
    while (settled < border && !settled_.compare_exchange_weak(settled, border, Env::release, Env::relaxed)) {
    }
    return true;
}

template <stealable T, class Env>
std::size_t work_stealing_deque<T, Env>::was_size() const noexcept {
    // [size.top] relaxed: a snapshot.
    const std::uint64_t top = top_.load(Env::relaxed);
    // [size.bottom] relaxed: a snapshot.
    const std::uint64_t bottom = bottom_.load(Env::relaxed);
    return bottom > top ? static_cast<std::size_t>(bottom - top) : 0;
}

} // namespace epoque
