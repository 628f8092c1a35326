// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. Depends on: base, core/cells.hpp.
///
/// The algorithm of `spsc_queue`: a ring with one producer and one consumer, each of which remembers what it last saw of
/// the other; and a close by anybody, which costs neither of them an instruction on the way.
///
///     positions   0 1 2 3 4 5 6 7 8 9 ...      never wrap (64 bits); position p lies in cell p & mask_
///                       ^head_    ^tail_       head_ <= tail_ <= head_ + capacity_
///                                              head_seen_ <= head_  (producer's),  tail_seen_ <= tail_  (consumer's)
///
///     closed_     open -> closing -> decided(end)
///
/// Invariants:
///   R1  tail_ is written by the producer only, head_ by the consumer only; both only grow.
///   R2  The cells [head_, tail_) hold elements. Before a position is below tail_ it is the producer's, until it is below
///       head_ the consumer's.
///   R3  `end` is decided once, by a CAS. A push that answered success lies below it, one that answered closed does not: its
///       element is taken back out of its cell, and tail_ stays where it is.
///   R4  The consumer takes nothing at or behind `end`: tail_seen_ <= end.
///
/// Progress: wait-free, every operation. Where the kernel begins to refuse membarrier after start-up, a close is decided
/// by the producer's next push, or when the kernel relents; until then a pop that finds nothing else answers busy.
/// Linearizes: push at [push.publish]; pop at [pop.head]; `full` at [push.full], `empty` at [pop.empty]; close at the CAS that
/// decides: [decide.end], [keep.end] or [refuse.end].
/// Proof: docs/memory-model.md#spsc-queue.
///
/// Sources: Lamport, Proving the correctness of multiprocess programs, 1977 (the ring). Lee, Bu, Chandranmenon, MCRingBuffer,
/// 2010 (the other side's position remembered). The close is ours.
#pragma once

#include "epoque/base/config.hpp"
#include "epoque/base/env.hpp"
#include "epoque/base/error.hpp"
#include "epoque/core/cells.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <memory_resource>
#include <new>

namespace epoque::core {

template <class Cells, class Env>
class spsc_ring {
    template <class T>
    using atomic = typename Env::template atomic<T>;

    struct header {}; // positions say all there is to say about a cell

  public:
    using cell = typename Cells::template cell<header>;

    /// Throws: bad_alloc. Precondition: capacity > 0.
    spsc_ring(std::size_t capacity, Cells cells, std::pmr::memory_resource* memory);
    spsc_ring(const spsc_ring&) = delete;
    spsc_ring& operator=(const spsc_ring&) = delete;
    ~spsc_ring();

    /// Ends every element by `drop(cell)`. For whoever knows what the elements are, before the destructor.
    template <class Drop>
    void destroy(Drop drop) noexcept;

    /// Appends up to `count` elements, at least 1. `put(cell)` builds the next one; `undo(cell)` moves it back to where it
    /// came from, called for all that were put, in the same order. Both noexcept. Returns how many; fewer: `why` says
    /// full or closed.
    template <class Put, class Undo>
    std::size_t push(std::size_t count, conqueue_status& why, Put put, Undo undo) noexcept;

    /// Takes up to `count` elements by `take(cell)`, noexcept; returns how many. 0: `why` says empty, closed or busy.
    template <class Take>
    std::size_t pop(std::size_t count, conqueue_status& why, Take take) noexcept;

    void close() noexcept;
    bool is_closed() const noexcept;
    std::size_t was_size() const noexcept;
    /// How many elements were pushed (popped) a moment ago, since the beginning: the positions, which cost nothing.
    std::uint64_t was_pushed() const noexcept;
    std::uint64_t was_popped() const noexcept;

    std::size_t capacity() const noexcept { return capacity_; }
    const Cells& cells() const noexcept { return cells_; }

  private:
    // closed_
    static constexpr std::uint64_t open = 0;
    static constexpr std::uint64_t closing = 1;
    static constexpr std::uint64_t decided(std::uint64_t end) noexcept { return end << 1 | std::uint64_t{1} << 63; }
    static constexpr std::uint64_t end_of(std::uint64_t word) noexcept { return word << 1 >> 2; }

    cell& cell_of(std::uint64_t position) const noexcept {
        // SAFETY: the constructor built a cell at each of these addresses.
        return *std::launder(reinterpret_cast<cell*>(memory_ + (position & mask_) * stride()));
    }
    std::size_t stride() const noexcept { return cells_.template stride<header>(); }
    static constexpr std::size_t align() noexcept { return Cells::template align<header>(); }

    EPOQUE_NOINLINE void settle(std::uint64_t tail) noexcept;
    EPOQUE_COLD bool keep(std::uint64_t end) noexcept;
    EPOQUE_COLD void refuse(std::uint64_t tail) noexcept;
    EPOQUE_COLD std::uint64_t decide() noexcept;
    std::uint64_t look(std::uint64_t head, conqueue_status& why) noexcept;

    // Read by both, written twice at most.
    alignas(interference_size) atomic<std::uint64_t> closed_{open};
    const std::uint64_t capacity_;
    const std::uint64_t mask_;
    const bool fast_;
    [[no_unique_address]] const Cells cells_;
    std::pmr::memory_resource* const source_; // null: Env's allocator
    std::byte* memory_;
    // The producer's line; the consumer reads tail_ when it has taken all that it knows of.
    alignas(interference_size) atomic<std::uint64_t> tail_{0};
    typename Env::template var<std::uint64_t> head_seen_{0};
    // The consumer's line; the producer reads head_ when there is no more room that it knows of.
    alignas(interference_size) atomic<std::uint64_t> head_{0};
    typename Env::template var<std::uint64_t> tail_seen_{0};
};

// ---- construction and destruction ----------------------------------------------------------------------------------------

template <class Cells, class Env>
spsc_ring<Cells, Env>::spsc_ring(std::size_t capacity, Cells cells, std::pmr::memory_resource* memory)
    : capacity_(capacity),
      mask_(capacity > std::numeric_limits<std::size_t>::max() / 4 ? 0 : std::bit_ceil(capacity) - 1),
      fast_(Env::asymmetric()), cells_(cells), source_(memory) {
    if (capacity == 0) {
        misuse("a queue was made with capacity 0: nothing could ever be pushed. Give it at least 1.");
    }
    if (mask_ + 1 < capacity || mask_ >= std::numeric_limits<std::size_t>::max() / 2 / stride()) {
        throw std::bad_alloc();
    }
    const std::size_t bytes = (mask_ + 1) * stride();
    memory_ =
        static_cast<std::byte*>(source_ != nullptr ? source_->allocate(bytes, align()) : Env::allocate(bytes, align()));
    for (std::uint64_t position = 0; position <= mask_; ++position) {
        // SAFETY: fresh memory, room for one cell at each stride.
        ::new (static_cast<void*>(memory_ + position * stride())) cell;
    }
}

template <class Cells, class Env>
spsc_ring<Cells, Env>::~spsc_ring() {
    for (std::uint64_t position = 0; position <= mask_; ++position) {
        Cells::end_element(cell_of(position));
    }
    if (const std::size_t bytes = (mask_ + 1) * stride(); source_ != nullptr) {
        source_->deallocate(memory_, bytes, align());
    } else {
        Env::deallocate(memory_, bytes, align());
    }
}

template <class Cells, class Env>
template <class Drop>
void spsc_ring<Cells, Env>::destroy(Drop drop) noexcept {
    // [dtor.head] relaxed: destruction is exclusive, whoever ordered it ordered all use before it.
    std::uint64_t position = head_.load(Env::relaxed);
    for (const std::uint64_t end = position + was_size(); position != end; ++position) {
        drop(cell_of(position));
    }
}

// ---- the producer --------------------------------------------------------------------------------------------------------

template <class Cells, class Env>
template <class Put, class Undo>
std::size_t spsc_ring<Cells, Env>::push(std::size_t count, conqueue_status& why, Put put, Undo undo) noexcept {
    // [push.tail] relaxed: our own store.
    const std::uint64_t tail = tail_.load(Env::relaxed);
    // [push.open] relaxed: spares a push after the close the way into the cell and back; [push.closed] decides.
    if (closed_.load(Env::relaxed) != open) [[unlikely]] {
        refuse(tail);
        why = conqueue_status::closed;
        return 0;
    }
    std::uint64_t room = head_seen_.get() + capacity_ - tail;
    if (room < count) [[unlikely]] {
        // [push.head] acquire: pairs with [pop.head]
        //   The consumer has done with the cells that it left.
        head_seen_.set(head_.load(Env::acquire));
        if (head_seen_.get() + capacity_ == tail) {
            settle(tail);
        }
        room = head_seen_.get() + capacity_ - tail;
        if (room < count) {
            why = conqueue_status::full;
            if (room == 0) {
                return 0;
            }
            count = static_cast<std::size_t>(room);
        }
    }
    const std::uint64_t end = tail + count;
    for (std::uint64_t position = tail; position != end; ++position) {
        put(cell_of(position));
    }
    // [push.publish] barrier: pairs with [decide.heavy], [decide.tail], [pop.tail], [pop.empty], [size.tail]
    //   The store is a release: the elements are built before anybody sees them.
    //   If our barrier is first, whoever decides after the heavy one reads this tail, or a later one.
    //   If the heavy barrier is first, [push.closed] does not read `open`.  // LP
    Env::store_light(fast_, tail_, end);
    // [push.closed] relaxed: ordered by the barrier; what it leads to acquires.
    if (closed_.load(Env::relaxed) != open) [[unlikely]] {
        if (!keep(end)) {
            for (std::uint64_t position = tail; position != end; ++position) {
                undo(cell_of(position)); // owns: R3, the consumer stops before
            }
            why = conqueue_status::closed;
            return 0;
        }
    }
    return count;
}

/// Before the producer says full: makes its tail known, and looks at the head again.
template <class Cells, class Env>
void spsc_ring<Cells, Env>::settle(std::uint64_t tail) noexcept {
    // [push.settle] seq_cst: pairs with [pop.empty]
    //   If ours is first, a consumer that is about to say empty sees our tail.
    //   If [pop.settle] is first, [push.full] sees the consumer's head.
    tail_.exchange(tail, Env::seq_cst);
    // [push.full] seq_cst: pairs with [pop.settle], [pop.head]
    //   As [push.settle].  // LP of `full`
    head_seen_.set(head_.load(Env::seq_cst));
}

/// The queue is being closed and we have published up to `end`: whether that still counts.
template <class Cells, class Env>
bool spsc_ring<Cells, Env>::keep(std::uint64_t end) noexcept {
    std::uint64_t word = closing;
    // [keep.end] acq_rel: pairs with [pop.closed], [decide.closed], [size.closed], [closed.word]
    //   Release: whoever reads our decision sees our elements, and through [close.begin] what happened before the close.
    //   Failure (acquire): somebody else has decided.  // LP of close
    if (closed_.compare_exchange_strong(word, decided(end), Env::acq_rel, Env::acquire)) {
        return true;
    }
    return end_of(word) >= end;
}

/// The queue is being closed or is: nothing comes any more.
template <class Cells, class Env>
void spsc_ring<Cells, Env>::refuse(std::uint64_t tail) noexcept {
    std::uint64_t word = closing;
    // [refuse.end] acq_rel: pairs with [pop.closed], [decide.closed], [size.closed], [closed.word]
    //   As [keep.end]. Failure (acquire): decided; who answers closed knows what happened before the close.  // LP of close
    closed_.compare_exchange_strong(word, decided(tail), Env::acq_rel, Env::acquire);
}

// ---- the consumer --------------------------------------------------------------------------------------------------------

template <class Cells, class Env>
template <class Take>
std::size_t spsc_ring<Cells, Env>::pop(std::size_t count, conqueue_status& why, Take take) noexcept {
    // [pop.own] relaxed: our own store.
    const std::uint64_t head = head_.load(Env::relaxed);
    std::uint64_t there = tail_seen_.get() - head;
    if (there < count) [[unlikely]] {
        there = look(head, why);
        if (there == 0) {
            return 0;
        }
        count = static_cast<std::size_t>(std::min<std::uint64_t>(there, count));
    }
    const std::uint64_t end = head + count;
    for (std::uint64_t position = head; position != end; ++position) {
        take(cell_of(position)); // owns: R2
    }
    // [pop.head] release: pairs with [push.head], [push.full], [size.head]
    //   We have done with these cells.  // LP
    head_.store(end, Env::release);
    return count;
}

/// How many elements are there for the consumer; when there are none, `why`.
template <class Cells, class Env>
std::uint64_t spsc_ring<Cells, Env>::look(std::uint64_t head, conqueue_status& why) noexcept {
    // [pop.tail] acquire: pairs with [push.publish]
    //   The elements were built before.
    std::uint64_t tail = tail_.load(Env::acquire);
    if (tail == head) {
        // [pop.settle] seq_cst: pairs with [push.full]
        //   As [push.settle]: our head, before we say empty.
        head_.exchange(head, Env::seq_cst);
        // [pop.empty] seq_cst: pairs with [push.settle], [push.publish]
        //   As [push.settle].  // LP of `empty`
        tail = tail_.load(Env::seq_cst);
    }
    if (fast_) {
        // [pop.light] barrier: pairs with [decide.heavy]
        //   If our barrier is first, who decides reads a tail as new as ours, so all that we are about to take counts.
        //   If the heavy barrier is first, [pop.closed] does not read `open`.
        //   Without barriers there is nothing to do: a tail that was stored after the deciding read-modify-write of that word
        //   has synchronized with it, and we with that store.
        Env::light(true, tail_);
    }
    // [pop.closed] acquire: pairs with [close.begin], [decide.end], [keep.end], [refuse.end]
    //   `closed` synchronizes with the close; the elements below the end were published before it was decided.
    std::uint64_t word = closed_.load(Env::acquire);
    if (word != open) [[unlikely]] {
        word = decide();
        if (word == closing) {
            why = conqueue_status::busy;
            return tail_seen_.get() - head;
        }
        why = conqueue_status::closed;
        tail = end_of(word);
    } else {
        why = conqueue_status::empty;
    }
    tail_seen_.set(tail);
    return tail - head;
}

// ---- close and observers -------------------------------------------------------------------------------------------------

template <class Cells, class Env>
void spsc_ring<Cells, Env>::close() noexcept {
    std::uint64_t word = open;
    // [close.begin] release: pairs with [pop.closed], [decide.closed], [size.closed], [closed.word]
    //   What happened before the close; a thread that goes on from `closing` to a heavy barrier of its own hands it on.
    //   Failure (relaxed): closed, or being closed, already.
    closed_.compare_exchange_strong(word, closing, Env::release, Env::relaxed);
    decide();
}

/// Brings a close to its end; returns closed_, which is still `closing` only when the kernel refuses membarrier.
template <class Cells, class Env>
std::uint64_t spsc_ring<Cells, Env>::decide() noexcept {
    // [decide.closed] acquire: pairs with [close.begin], [decide.end], [keep.end], [refuse.end]
    //   `closing` was stored before our barrier, whoever stored it.
    std::uint64_t word = closed_.load(Env::acquire);
    if (word != closing) {
        return word;
    }
    if (fast_) {
        // [decide.heavy] barrier: pairs with [push.publish], [pop.light]
        //   If the light barrier is first, [decide.tail] reads what its thread stored, or had read.
        //   If ours is first, its thread reads `closing`, or what became of it.
        if (!Env::heavy()) {
            return closing;
        }
    }
    // [decide.tail] barrier: pairs with [push.publish]
    //   Acquires the elements, for who takes them on the strength of our decision. Without barriers:
    //   If the producer's read-modify-write of tail_ is first, we read what it stored.
    //   If ours is first, the producer synchronizes with us, and reads `closing` or what became of it.
    const std::uint64_t end = Env::load_heavy(fast_, tail_);
    // [decide.end] acq_rel: pairs with [pop.closed], [decide.closed], [size.closed], [closed.word]
    //   As [keep.end].  // LP
    if (closed_.compare_exchange_strong(word, decided(end), Env::acq_rel, Env::acquire)) {
        return decided(end);
    }
    return word;
}

template <class Cells, class Env>
bool spsc_ring<Cells, Env>::is_closed() const noexcept {
    // [closed.word] acquire: pairs with [close.begin], [decide.end], [keep.end], [refuse.end]
    //   What happened before the close is seen by who knows of it.
    return closed_.load(Env::acquire) != open;
}

template <class Cells, class Env>
std::size_t spsc_ring<Cells, Env>::was_size() const noexcept {
    const std::uint64_t head = was_popped(); // the older of the two: so the tail is not below it
    const std::uint64_t end = was_pushed();
    return end > head ? static_cast<std::size_t>(std::min(end - head, capacity_)) : 0;
}

template <class Cells, class Env>
std::uint64_t spsc_ring<Cells, Env>::was_popped() const noexcept {
    // [size.head] acquire: pairs with [pop.head]
    //   A tail that is read afterwards is not below it.
    return head_.load(Env::acquire);
}

template <class Cells, class Env>
std::uint64_t spsc_ring<Cells, Env>::was_pushed() const noexcept {
    // [size.tail] acquire: pairs with [push.publish]
    //   A push that was refused is found so by [size.closed].
    const std::uint64_t tail = tail_.load(Env::acquire);
    // [size.closed] acquire: pairs with [close.begin], [decide.end], [keep.end], [refuse.end]
    //   As [size.head]: the end is not below a head that was read before.
    const std::uint64_t word = closed_.load(Env::acquire);
    return word > closing ? end_of(word) : tail;
}

} // namespace epoque::core
