// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. Depends on: base, domain, core/cells.hpp.
///
/// The algorithm of `queue` and `mpsc_queue`: an unbounded FIFO of segments, for any number of producers; two
/// read-modify-writes for a push and a pop together, one where there is one consumer only.
///
///     head_ --> [segment 3] -> [segment 4] -> [segment 5] <-- tail_ (| closed bit)
///               deq  ^            every ticket is given out once;      ^ enq
///                    next pop     a segment is used once and retired   next push
///
///     a cell:   state  EMPTY -> FULL                         written by the producer of its ticket
///               claim  NONE -> ABANDONING -> TAKEN           written by the consumer of its ticket when it has waited
///                                         -> SKIPPED         long enough; RETRACTED is written by the producer
///                                         -> RETRACTED
///               element
///
/// Invariants:
///   Q1  Each ticket of a segment (0 .. slots-1) goes to at most one producer (`enq`) and at most one consumer (`deq`).
///   Q2  The element in a cell belongs to the producer until the cell is published; then to the consumer of the ticket
///       if the producer keeps the ticket, and to the producer (who moves it out again) if not. Exactly one of the two:
///         - hand-off by barriers: the producer keeps it unless it reads claim SKIPPED, or moves ABANDONING to RETRACTED;
///           the consumer has it if it read FULL before claiming anything, or moved ABANDONING to TAKEN.
///         - hand-off by CAS (no membarrier): whoever changes `state` away from EMPTY first decides.
///   Q3  A queue is closed once, at its last segment: by the closed bit in `enq` while its ticket is below `slots`, or by
///       `next` = closed_end when the segment is full and has no next one. Nothing is ever linked behind it.
///   Q4  head_ never passes tail_: a segment is left by tail_ before it is left by head_, and retired after both. Neither word
///       comes back to a segment that it has left.
///   Q5  A segment is linked with an element already in cell 0.
///   Q6  One consumer: it alone writes deq and head_, and it alone retires segments; so it reads them, and the segments from
///       head_ on, without a hazard. `deq` passes a cell before its element is taken: an element's code may pop again, and
///       leave the segment. So while it is moved out by such code the segment is the consumer's hazard.
///   Q7  A thread looks into a segment only while that is its hazard and tail_ or head_ was read to lead there since
///       (core/domain_hazards.hpp, H1). So the segment's address is that of no other one, and the CASes that expect it
///       ([push.advance], [close.tail_on], [close.hint], [push.closed], [leave.tail], [leave.head]) find that very segment: no
///       ABA. `next` is followed by tail_ or head_ only; a thread that read it goes there by reading these again.
///
/// Garbage: a thread that sleeps in an operation keeps one segment, and a thread that pops keeps up to 256 KiB of drained ones
/// (one, where a segment is larger) for reuse. Nobody's guard keeps any.
///
/// Progress: lock-free. A push retries only when a consumer abandoned its cell, and each round uses up a ticket; after at
/// most `slots` of them the segment is full, and the push that links the next one cannot be abandoned (Q5). A pop retries
/// only when it abandoned a cell or somebody else took a ticket. Either begins again, as close and the observers do, when its
/// segment was left while it was being protected: a push succeeded in between. Where the kernel begins to refuse membarrier after
/// start-up, abandoning waits for the producer, or for the kernel (the queue is blocking then; barrier::was_called() says
/// so).
/// Linearizes: push at the FAA of the ticket that it keeps ([push.ticket]) or at [push.link]; pop at the later one of its
/// own [pop.ticket] and the push's point; `empty` at [pop.empty] or [pop.end]; close at [close.mark] or [close.end].
/// Proof: docs/memory-model.md#queue.
///
/// Sources: Ramalhete, FAAArrayQueue, 2016 (array segments, FAA). Yang, Mellor-Crummey, A wait-free queue as fast as
/// fetch-and-add, PPoPP 2016. The biased hand-off is ours.
#pragma once

#include "epoque/base/config.hpp"
#include "epoque/core/cells.hpp"
#include "epoque/domain.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace epoque::core {

/// How many threads may pop at the same time.
enum class consumers : bool { one, many };

template <class Cells, class Env, consumers Consumers = consumers::many>
class segment_queue {
    template <class T>
    using atomic = typename Env::template atomic<T>;
    using domain_type = basic_domain<Env>;
    using hook = core::retired<Env>;
    using record_type = core::record<Env>;

    enum : std::uint32_t { empty = 0, full = 1, given_up = 2 };                                 // state
    enum : std::uint32_t { nobody = 0, abandoning = 1, taken = 2, skipped = 3, retracted = 4 }; // claim

    struct header {
        atomic<std::uint32_t> state{empty};
        atomic<std::uint32_t> claim{nobody};
    };

  public:
    using cell = typename Cells::template cell<header>;

    /// Throws: bad_alloc.
    segment_queue(domain_type& home, Cells cells);
    segment_queue(const segment_queue&) = delete;
    segment_queue& operator=(const segment_queue&) = delete;
    ~segment_queue() {
        destroy([](cell&) noexcept {});
    }

    /// Ends every element by `drop(cell)`. The destructor's first half, for whoever knows what the elements are.
    template <class Drop>
    void destroy(Drop drop) noexcept;

    /// Appends `count` elements. `put(cell)` builds the next one in the cell; `undo(cell)` moves the one that was put
    /// last back to where it came from. Both noexcept. Returns how many were appended: all, unless closed.
    /// Throws: bad_alloc; `pushed` then says how many were appended.
    template <class Put, class Undo>
    void push(std::size_t count, std::size_t& pushed, Put put, Undo undo);

    /// Takes up to `count` elements by `take(cell)`, noexcept; returns how many. 0: `why` says empty or closed
    /// (and is left alone when `count` is 0).
    template <class Take>
    std::size_t pop(std::size_t count, conqueue_status& why, Take take)
        requires(Consumers == consumers::many);
    template <class Take>
    std::size_t pop(std::size_t count, conqueue_status& why, Take take)
        requires(Consumers == consumers::one);

    void close() noexcept;
    bool is_closed() const noexcept;
    bool was_empty() const {
        const std::uint64_t received = was_received(); // the older one, as in pop
        return received >= was_sent();
    }

    /// Tickets given out so far: the elements, plus those cells that were abandoned.
    std::uint64_t was_sent() const;
    std::uint64_t was_received() const;

    const Cells& cells() const noexcept { return cells_; }

  private:
    // In `enq`: closed; bits 32 to 62 are then the tickets given out before, as later pushes still raise the lower half.
    static constexpr std::uint64_t closed_ticket = std::uint64_t{1} << 63;
    static constexpr unsigned closed_count = 32;
    static constexpr std::uintptr_t closed_tail = 1; // in `tail_`

    struct segment : hook { // the hook first: it is written once, when the segment is retired
        segment(std::uint64_t first, std::size_t cells, std::uint32_t size, std::uint32_t pool) noexcept
            : hook(&segment::end, size, pool), base(first), slots(cells) {}

        const std::uint64_t base; // tickets in the segments before this one
        const std::size_t slots;
        atomic<segment*> next{nullptr};                          // written once, when the segment is full
        alignas(interference_size) atomic<std::uint64_t> enq{0}; // producers: next ticket, and the closed bit
        alignas(interference_size) atomic<std::uint64_t> deq{0}; // consumers: next ticket

        static void end(hook* self, record_type& runner) noexcept;
    };

    /// A cell by its number. The cells lie behind the segment's header, `stride` apart.
    cell& cell_of(segment* of, std::uint64_t ticket) const noexcept {
        // SAFETY: make_segment built a cell at each of these addresses.
        return *std::launder(
            reinterpret_cast<cell*>(reinterpret_cast<std::byte*>(of) + first_cell() + ticket * stride()));
    }
    std::size_t stride() const noexcept { return cells_.template stride<header>(); }
    static constexpr std::size_t first_cell() noexcept {
        constexpr std::size_t align = Cells::template align<header>();
        return (sizeof(segment) + align - 1) / align * align;
    }
    static constexpr std::size_t segment_align() noexcept {
        return std::max(alignof(segment), Cells::template align<header>());
    }
    std::size_t segment_bytes() const noexcept { return first_cell() + slots_ * stride(); }
    static segment* pointer(std::uintptr_t tail) noexcept {
        // SAFETY: tail_ holds a segment's address and the closed bit, which its alignment leaves free.
        return reinterpret_cast<segment*>(tail & ~closed_tail);
    }
    /// What `next` says when the queue was closed at a segment's very end.
    static segment* closed_end() noexcept { return reinterpret_cast<segment*>(closed_tail); }
    static std::uintptr_t number(const segment* of) noexcept { return reinterpret_cast<std::uintptr_t>(of); }
    std::uint64_t tickets(std::uint64_t word) const noexcept {
        return (word & closed_ticket) != 0 ? (word & ~closed_ticket) >> closed_count
                                           : std::min<std::uint64_t>(word, slots_);
    }

    segment* make_segment(record_type& record, std::uint64_t base);
    bool publish(const record_type& record, cell& slot) noexcept;
    bool obtain(const segment* of, std::uint64_t ticket, cell& slot) noexcept;
    EPOQUE_COLD bool abandon(const segment* of, std::uint64_t ticket, cell& slot) noexcept;
    template <class Put, class Undo>
    EPOQUE_COLD conqueue_status extend(record_type& record, segment* last, Put& put, Undo& undo);
    bool leave_segment(segment* passed, segment* next) noexcept;
    std::uintptr_t protect_tail(hazard<Env>& held) const noexcept;
    segment* protect_head(hazard<Env>& held) const noexcept;

    // Read by every operation, written once a segment.
    alignas(interference_size) atomic<segment*> head_{nullptr}; // consumers
    alignas(interference_size) atomic<std::uintptr_t> tail_{
        0}; // producers; with the closed bit, set after [close.mark]
    // Constant, once constructed.
    bool fast_ = false;
    domain_type& home_;
    [[no_unique_address]] const Cells cells_;
    const std::size_t slots_;
    const std::uint32_t block_class_;
};

} // namespace epoque::core

#include "epoque/core/segment_queue_impl.hpp"
