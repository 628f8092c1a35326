// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. The definitions of segment_queue.hpp, in its order; include that one.
#pragma once

#include "epoque/core/segment_queue.hpp"

namespace epoque::core {

namespace detail {

// At most 64 KiB of cells a segment, so that large elements do not make huge segments; a power of two; at least 2.
template <class Env>
constexpr std::size_t slots_for(std::size_t stride) noexcept {
    constexpr std::size_t most_bytes = std::size_t{1} << 16;
    return std::clamp<std::size_t>(std::bit_floor(most_bytes / stride), 2, Env::segment_slots);
}

} // namespace detail

template <class Cells, class Env, consumers Consumers>
segment_queue<Cells, Env, Consumers>::segment_queue(domain_type& home, Cells cells)
    : home_(home), cells_(cells), slots_(detail::slots_for<Env>(cells_.template stride<header>())),
      block_class_(home.pool_class(segment_bytes(), segment_align())) {
    record_type& record = home_.own_record();
    fast_ = record.fast;
    segment* first = make_segment(record, 0);
    // [init.head] relaxed: whoever shares the queue with other threads publishes it.
    head_.store(first, Env::relaxed);
    // [init.tail] relaxed: as [init.head].
    tail_.store(number(first), Env::relaxed);
}

template <class Cells, class Env, consumers Consumers>
template <class Drop>
void segment_queue<Cells, Env, Consumers>::destroy(Drop drop) noexcept {
    // [dtor.head] relaxed: destruction is exclusive, whoever ordered it ordered all use before it; so for all of this.
    for (segment* at = head_.load(Env::relaxed); at != nullptr && at != closed_end();) {
        // [dtor.enq] relaxed: as [dtor.head].
        const std::uint64_t end = tickets(at->enq.load(Env::relaxed));
        // [dtor.deq] relaxed: as [dtor.head].
        for (std::uint64_t ticket = tickets(at->deq.load(Env::relaxed)); ticket < end; ++ticket) {
            cell& slot = cell_of(at, ticket);
            // [dtor.state] relaxed: as [dtor.head]. No consumer had this ticket, so FULL is kept (Q2).
            if (slot.state.load(Env::relaxed) == full) {
                drop(slot);
            }
        }
        // [dtor.next] relaxed: as [dtor.head].
        segment* next = at->next.load(Env::relaxed);
        for (std::uint64_t ticket = 0; ticket < slots_; ++ticket) {
            std::destroy_at(&cell_of(at, ticket));
        }
        std::destroy_at(at);
        // To the allocator, not to the pool: a destructor has no record to hand, and getting one may throw.
        home_.deallocate(at, segment_bytes(), segment_align());
        at = next;
    }
    // [dtor.done] relaxed: as [dtor.head].
    head_.store(nullptr, Env::relaxed);
}

template <class Cells, class Env, consumers Consumers>
auto segment_queue<Cells, Env, Consumers>::make_segment(record_type& record, std::uint64_t base) -> segment* {
    const std::size_t bytes = segment_bytes();
    record.pool.trim_mine(record.magazine); // a thread that only pushes has no other moment for it
    void* memory = record.allocate(block_class_, bytes, segment_align());
    // SAFETY: a fresh block, large enough for the header and `slots_` cells behind it, aligned for both.
    auto* made = ::new (memory) segment(base, slots_, static_cast<std::uint32_t>(bytes), block_class_);
    for (std::uint64_t ticket = 0; ticket < slots_; ++ticket) {
        // SAFETY: as above; each cell lies in the block.
        ::new (static_cast<std::byte*>(memory) + first_cell() + ticket * stride()) cell;
    }
    return made;
}

template <class Cells, class Env, consumers Consumers>
void segment_queue<Cells, Env, Consumers>::segment::end(hook* self, record_type& runner) noexcept {
    // SAFETY: this reclaimer is only ever given to the hook inside a segment.
    auto* gone = static_cast<segment*>(self);
    const std::uint32_t block_class = gone->block_class;
    const std::size_t bytes = gone->bytes;
    if constexpr (!std::is_trivially_destructible_v<cell>) {
        const std::size_t stride = (bytes - first_cell()) / gone->slots;
        for (std::size_t index = 0; index < gone->slots; ++index) {
            // SAFETY: make_segment built a cell at each of these addresses; its element is gone.
            std::destroy_at(std::launder(
                reinterpret_cast<cell*>(reinterpret_cast<std::byte*>(gone) + first_cell() + index * stride)));
        }
    }
    std::destroy_at(gone);
    runner.deallocate(block_class, gone, bytes, segment_align());
}

// ---- hazards -----------------------------------------------------------------------------------------------------------

/// tail_; the segment that it leads to is protected (Q7).
template <class Cells, class Env, consumers Consumers>
std::uintptr_t segment_queue<Cells, Env, Consumers>::protect_tail(hazard<Env>& held) const noexcept {
    // [tail.look] relaxed: only what to protect; [tail.check] decides.
    for (std::uintptr_t tail = tail_.load(Env::relaxed);;) {
        held.protect(static_cast<const hook*>(pointer(tail)));
        // [tail.check] acquire: pairs with [push.advance], [leave.tail], [close.tail_on], [close.hint], [push.closed]
        //   The segment was built before it was linked. Who is told `closed` sees what happened before the close.
        const std::uintptr_t now = tail_.load(Env::acquire);
        if (now == tail) [[likely]] {
            return tail;
        }
        tail = now;
    }
}

/// head_, protected.
template <class Cells, class Env, consumers Consumers>
auto segment_queue<Cells, Env, Consumers>::protect_head(hazard<Env>& held) const noexcept -> segment* {
    // [head.look] relaxed: as [tail.look].
    for (segment* head = head_.load(Env::relaxed);;) {
        held.protect(static_cast<const hook*>(head));
        // [head.check] acquire: pairs with [leave.head]
        //   The segment was built before it was linked; and tail_ has come here, too (Q4).
        segment* const now = head_.load(Env::acquire);
        if (now == head) [[likely]] {
            return head;
        }
        head = now;
    }
}

// ---- push --------------------------------------------------------------------------------------------------------------

template <class Cells, class Env, consumers Consumers>
template <class Put, class Undo>
void segment_queue<Cells, Env, Consumers>::push(std::size_t count, std::size_t& pushed, Put put, Undo undo) {
    record_type& record = home_.own_record();
    hazard<Env> held(record);
    pushed = 0;
    while (pushed < count) {
        const std::uintptr_t tail = protect_tail(held);
        segment* last = pointer(tail);
        if ((tail & closed_tail) != 0) {
            return;
        }
        const std::uint64_t wanted = std::min<std::uint64_t>(count - pushed, slots_);
        // [push.ticket] relaxed: tickets only have to be distinct; the element is published by [publish.full].  // LP
        const std::uint64_t first = last->enq.fetch_add(wanted, Env::relaxed);
        if (first < slots_) [[likely]] {
            // owns: cells first .. end-1 until each is published
            const std::uint64_t end = std::min<std::uint64_t>(first + wanted, slots_);
            for (std::uint64_t ticket = first; ticket < end; ++ticket) {
                cell& slot = cell_of(last, ticket);
                put(slot);
                if (publish(record, slot)) [[likely]] {
                    ++pushed;
                } else {
                    undo(slot); // and the same element goes into the next cell, so that their order stays
                }
            }
            continue;
        }
        conqueue_status extended = conqueue_status::closed;
        if ((first & closed_ticket) == 0) {
            extended = extend(record, last, put, undo);
        } else {
            // [push.refused] acquire: pairs with [close.mark]
            //   Who is told `closed` sees what happened before the close; all changes since are read-modify-writes.
            static_cast<void>(last->enq.load(Env::acquire));
        }
        if (extended == conqueue_status::closed) {
            std::uintptr_t open = number(last);
            // [push.closed] release: pairs with [closed.hint], [tail.check]
            //   Spares later pushes the ticket, and tells is_closed(). Failure (relaxed): it is set already.
            tail_.compare_exchange_strong(open, open | closed_tail, Env::release, Env::relaxed);
            return;
        }
        pushed += extended == conqueue_status::success ? 1U : 0U;
    }
}

/// Publishes the cell; false when its consumer has given up, and the element is the producer's again.
template <class Cells, class Env, consumers Consumers>
bool segment_queue<Cells, Env, Consumers>::publish(const record_type& record, cell& slot) noexcept {
    if (record.fast) [[likely]] {
        // [publish.full] barrier: pairs with [obtain.state], [alone.state], [abandon.state], [abandon.heavy]
        //   A release store of the element, then the light side of a barrier.
        //   If our barrier is first, the consumer that gives up reads FULL and takes the element or loses the CAS.
        //   If the heavy barrier is first, [publish.claim] reads its ABANDONING or what came of it.
        Env::store_light(true, slot.state, std::uint32_t{full});
        // [publish.claim] relaxed: nothing but the claim itself is read through it.
        std::uint32_t claim = slot.claim.load(Env::relaxed);
        if (claim == nobody) [[likely]] {
            return true;
        }
        if (claim == abandoning) {
            // [publish.retract] relaxed: decides who owns the element; only our own data depends on it when we win, and
            //   [abandon.decide] when we lose.
            if (slot.claim.compare_exchange_strong(claim, retracted, Env::relaxed, Env::relaxed)) {
                return false;
            }
        }
        return claim == taken;
    }
    std::uint32_t seen = empty;
    // [publish.cas] release: pairs with [obtain.state], [alone.state], [abandon.exchange]
    //   The element is visible to whoever reads FULL. Failure (relaxed): the consumer gave up, the element stays ours.
    return slot.state.compare_exchange_strong(seen, full, Env::release, Env::relaxed);
}

/// The segment is full: links the next one, with an element in its first cell (success), or finds that somebody else
/// did (busy) or that the queue was closed here.
template <class Cells, class Env, consumers Consumers>
template <class Put, class Undo>
conqueue_status segment_queue<Cells, Env, Consumers>::extend(record_type& record, segment* last, Put& put, Undo& undo) {
    conqueue_status result = conqueue_status::busy;
    // [extend.next] acquire: pairs with [push.link], [close.end]
    //   The segment was built before it was linked.
    segment* next = last->next.load(Env::acquire);
    if (next == nullptr) {
        segment* fresh = make_segment(record, last->base + slots_);
        cell& slot = cell_of(fresh, 0);
        put(slot);
        // [extend.full] relaxed: [push.link] publishes the whole segment.
        slot.state.store(full, Env::relaxed);
        // [extend.enq] relaxed: as [extend.full].
        fresh->enq.store(1, Env::relaxed);
        // [push.link] acq_rel: pairs with [extend.next], [pop.end], [alone.end], [obtain.state], [alone.state]
        //   Release: the segment and the element in it. Failure (acquire): somebody else's segment.  // LP
        if (last->next.compare_exchange_strong(next, fresh, Env::acq_rel, Env::acquire)) {
            next = fresh;
            result = conqueue_status::success;
        } else {
            undo(slot);
            segment::end(fresh, record);
        }
    }
    if (next == closed_end()) {
        return conqueue_status::closed;
    }
    std::uintptr_t expected = number(last);
    // [push.advance] release: pairs with [tail.check]
    //   Who reads the new tail sees the segment built. Failure (relaxed): somebody else advanced it.
    tail_.compare_exchange_strong(expected, number(next), Env::release, Env::relaxed);
    return result;
}

// ---- pop ---------------------------------------------------------------------------------------------------------------

template <class Cells, class Env, consumers Consumers>
template <class Take>
std::size_t segment_queue<Cells, Env, Consumers>::pop(std::size_t count, conqueue_status& why, Take take)
    requires(Consumers == consumers::many)
{
    if (count == 0) {
        return 0;
    }
    record_type& record = home_.own_record();
    hazard<Env> held(record);
    for (;;) {
        segment* first = protect_head(held);
        // [pop.deq] acquire: orders this load before [pop.empty]; pairs with [pop.ticket]
        //   `deq` must be the older one of the two readings, otherwise a queue that is never empty may look so.
        const std::uint64_t next = first->deq.load(Env::acquire);
        std::uint64_t wanted = 1;
        // [pop.peek] relaxed: only a hint that spares us the producers' line; the ticket decides.
        if (count > 1 || next >= slots_ || cell_of(first, next).state.load(Env::relaxed) != full) {
            // [pop.empty] acquire: pairs with [close.mark]
            //   With the closed bit we must see everything that was pushed before.  // LP of `empty`
            const std::uint64_t word = first->enq.load(Env::acquire);
            const std::uint64_t end = tickets(word);
            if (next >= end && end < slots_) {
                why = (word & closed_ticket) != 0 ? conqueue_status::closed : conqueue_status::empty;
                return 0;
            }
            if (next >= slots_) {
                // [pop.end] acquire: pairs with [push.link], [close.end]
                //   The next segment was built before it was linked.  // LP of `empty` at a segment's end
                segment* following = first->next.load(Env::acquire);
                if (following == nullptr || following == closed_end()) {
                    const bool closed = following != nullptr || (word & closed_ticket) != 0;
                    why = closed ? conqueue_status::closed : conqueue_status::empty;
                    return 0;
                }
                const bool left = leave_segment(first, following);
                held.release(); // so that the pass that this may begin finds the segment free
                if (left) {
                    home_.retire_unguarded(record, first);
                }
                continue;
            }
            wanted = std::min<std::uint64_t>(count, end - next);
        }
        // [pop.ticket] acq_rel: pairs with [pop.deq], [received.deq]
        //   Release: who reads the new `deq` reads an `enq` at least as new as the one that we went by.  // LP (or push's)
        const std::uint64_t ticket = first->deq.fetch_add(wanted, Env::acq_rel);
        const std::uint64_t end = std::min<std::uint64_t>(ticket + wanted, slots_);
        std::size_t got = 0;
        for (std::uint64_t mine = ticket; mine < end; ++mine) {
            cell& slot = cell_of(first, mine);
            if (obtain(first, mine, slot)) {
                take(slot);
                ++got;
            }
        }
        if (got != 0) {
            return got;
        }
    }
}

/// The same for the only consumer (Q6): neither a hazard nor a read-modify-write. A batch ends at what is not there yet, and at
/// the end of a segment.
template <class Cells, class Env, consumers Consumers>
template <class Take>
std::size_t segment_queue<Cells, Env, Consumers>::pop(std::size_t count, conqueue_status& why, Take take)
    requires(Consumers == consumers::one)
{
    // Who runs no element's code needs the record at the end of a segment only.
    record_type* record = nullptr;
    if constexpr (!Cells::runs_no_code) {
        record = &home_.own_record(); // now: it may throw, and a ticket can't be given back
    }
    std::size_t got = 0;
    while (got < count) {
        // [alone.head] relaxed: our own last write (Q6).
        segment* first = head_.load(Env::relaxed);
        // [alone.deq] relaxed: as [alone.head].
        const std::uint64_t next = first->deq.load(Env::relaxed);
        bool ours = false;
        // [alone.state] acquire: pairs with [publish.full], [publish.cas], [push.link]
        //   As [obtain.state].
        if (next < slots_ && cell_of(first, next).state.load(Env::acquire) == full) [[likely]] {
            ours = true;
        } else if (got != 0) {
            return got;
        } else {
            // [alone.empty] acquire: pairs with [close.mark]
            //   As [pop.empty]; `next` is exact.  // LP of `empty`
            const std::uint64_t word = first->enq.load(Env::acquire);
            const std::uint64_t end = tickets(word);
            if (next >= end && end < slots_) {
                why = (word & closed_ticket) != 0 ? conqueue_status::closed : conqueue_status::empty;
                return 0;
            }
            if (next >= slots_) {
                // [alone.end] acquire: pairs with [push.link], [close.end]
                //   As [pop.end].  // LP of `empty` at a segment's end
                segment* following = first->next.load(Env::acquire);
                if (following == nullptr || following == closed_end()) {
                    const bool closed = following != nullptr || (word & closed_ticket) != 0;
                    why = closed ? conqueue_status::closed : conqueue_status::empty;
                    return 0;
                }
                if (record == nullptr) {
                    // The first one of a thread allocates, which may run code that pops from here: all that we read is old then.
                    record = &home_.own_record();
                } else if (leave_segment(first, following)) {
                    home_.retire_unguarded(*record, first);
                }
                continue;
            }
            ours = obtain(first, next, cell_of(first, next));
        }
        // [alone.pass] release: pairs with [received.deq]
        //   Who reads the new `deq` reads an `enq` that is at least as new: we acquired the cell's FULL, or read `enq`.
        //   // LP (or push's)
        first->deq.store(next + 1, Env::release);
        if (ours) {
            if constexpr (Cells::runs_no_code) {
                take(cell_of(first, next));
            } else {
                hazard<Env> held(*record); // Q6. Nobody else retires the segment: there is nothing to check
                held.protect(static_cast<const hook*>(first));
                take(cell_of(first, next));
            }
            ++got;
        }
    }
    return got;
}

/// Waits shortly for the cell's producer; true when the element is ours, false when the cell was skipped.
template <class Cells, class Env, consumers Consumers>
bool segment_queue<Cells, Env, Consumers>::obtain(const segment* of, std::uint64_t ticket, cell& slot) noexcept {
    for (unsigned spins = 0;; ++spins) {
        // [obtain.state] acquire: pairs with [publish.full], [publish.cas], [push.link]
        //   The element was built before FULL was stored.
        if (slot.state.load(Env::acquire) == full) [[likely]] {
            return true;
        }
        if (spins == Env::spin_before_abandon) {
            return abandon(of, ticket, slot);
        }
        Env::pause();
    }
}

template <class Cells, class Env, consumers Consumers>
bool segment_queue<Cells, Env, Consumers>::abandon(const segment* of, std::uint64_t ticket, cell& slot) noexcept {
    if (!fast_) {
        // [abandon.exchange] acquire: pairs with [publish.cas]
        //   FULL: the element. EMPTY: the producer's CAS will fail.
        return slot.state.exchange(given_up, Env::acquire) == full;
    }
    // [abandon.claim] relaxed: one consumer a cell; the heavy barrier orders it before [abandon.state].
    slot.claim.store(abandoning, Env::relaxed);
    for (unsigned round = 0;; ++round) {
        // [abandon.heavy] barrier: pairs with [publish.full]
        //   If the light barrier is first, we read FULL.
        //   If our barrier is first, the producer reads ABANDONING or what we make of it.
        const bool ordered = Env::heavy();
        // [abandon.state] acquire: pairs with [publish.full]
        //   As [obtain.state].
        const bool published = slot.state.load(Env::acquire) == full;
        if (ordered || published) {
            std::uint32_t claim = abandoning;
            // [abandon.decide] relaxed: as [publish.retract]; the element was acquired by [abandon.state].
            const bool decided =
                slot.claim.compare_exchange_strong(claim, published ? taken : skipped, Env::relaxed, Env::relaxed);
            return decided && published;
        }
        // The kernel began to refuse membarrier: without it only the producer can tell that it saw us. Wait for either,
        // unless no producer will ever have this ticket.
        // [abandon.enq] acquire: pairs with [close.mark]
        //   As [pop.empty].
        const std::uint64_t word = of->enq.load(Env::acquire);
        if ((word & closed_ticket) != 0 && ticket >= tickets(word)) {
            return false;
        }
        Env::relax(round);
    }
}

/// Moves tail_ and head_ on from a segment of which every ticket is given out; true when it is ours to retire.
template <class Cells, class Env, consumers Consumers>
bool segment_queue<Cells, Env, Consumers>::leave_segment(segment* passed, segment* next) noexcept {
    std::uintptr_t tail = number(passed);
    // [leave.tail] release: pairs with [tail.check]
    //   Q4: tail_ leaves the segment first. Failure (relaxed): it has left already; whoever checks tail_ after a heavy barrier
    //   that follows will not find what we did not find.
    tail_.compare_exchange_strong(tail, number(next), Env::release, Env::relaxed);
    segment* head = passed;
    // [leave.head] release: pairs with [head.check]
    //   Who reads the new head sees the segment built, and tail_ past the old one. Failure (relaxed): not ours to retire.
    return head_.compare_exchange_strong(head, next, Env::release, Env::relaxed);
}

// ---- close and observers -----------------------------------------------------------------------------------------------

template <class Cells, class Env, consumers Consumers>
void segment_queue<Cells, Env, Consumers>::close() noexcept {
    hazard<Env> held(home_.own_record());
    segment* last = nullptr;
    for (;;) {
        last = pointer(protect_tail(held));
        // [close.enq] relaxed: only the expected value of [close.mark].
        std::uint64_t word = last->enq.load(Env::relaxed);
        while ((word & closed_ticket) == 0 && word < slots_) {
            // [close.mark] release: pairs with [pop.empty], [alone.empty], [push.refused], [abandon.enq]
            //   Who reads the closed bit also sees what happened before the close. Failure (relaxed): `word` is new.  // LP
            if (last->enq.compare_exchange_weak(word, word | word << closed_count | closed_ticket, Env::release,
                                                Env::relaxed)) {
                word |= closed_ticket;
            }
        }
        segment* next = nullptr;
        // [close.end] acq_rel: pairs with [extend.next], [pop.end], [alone.end]
        //   Release: as [close.mark]. Failure (acquire): somebody linked a segment, or closed here.  // LP
        if ((word & closed_ticket) != 0 ||
            last->next.compare_exchange_strong(next, closed_end(), Env::acq_rel, Env::acquire) ||
            next == closed_end()) {
            break;
        }
        std::uintptr_t expected = number(last);
        // [close.tail_on] release: pairs with [tail.check]
        //   As [push.advance]; `next` was acquired by the failed [close.end].
        tail_.compare_exchange_strong(expected, number(next), Env::release, Env::relaxed);
    }
    std::uintptr_t open = number(last);
    // [close.hint] release: pairs with [closed.hint], [tail.check]
    //   As [push.closed]; tail_ is at `last`: we found it there, and nothing is linked behind.
    tail_.compare_exchange_strong(open, open | closed_tail, Env::release, Env::relaxed);
}

template <class Cells, class Env, consumers Consumers>
bool segment_queue<Cells, Env, Consumers>::is_closed() const noexcept {
    // [closed.hint] acquire: pairs with [close.hint], [push.closed]
    //   What happened before the close is seen by who knows of it.
    return (tail_.load(Env::acquire) & closed_tail) != 0;
}

template <class Cells, class Env, consumers Consumers>
std::uint64_t segment_queue<Cells, Env, Consumers>::was_sent() const {
    hazard<Env> held(home_.own_record());
    const segment* last = pointer(protect_tail(held));
    // [sent.enq] relaxed: a snapshot.
    return last->base + tickets(last->enq.load(Env::relaxed));
}

template <class Cells, class Env, consumers Consumers>
std::uint64_t segment_queue<Cells, Env, Consumers>::was_received() const {
    hazard<Env> held(home_.own_record());
    const segment* first = protect_head(held);
    // [received.deq] acquire: pairs with [pop.ticket], [alone.pass]
    //   As [pop.deq], for was_empty().
    return first->base + tickets(first->deq.load(Env::acquire));
}

} // namespace epoque::core
