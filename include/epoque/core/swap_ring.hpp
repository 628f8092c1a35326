// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. Depends on: base, domain (a thread's record names the thread), core/cells.hpp.
///
/// The algorithm of `bounded_queue`: a ring of words, each of which names the cell where its element lies. Every operation
/// takes effect by one CAS of one word, and brings a free cell of its own into the exchange.
///
///     words_     [FULL 7 | c4] [EMPTY 7 | c0] [EMPTY 7 | c9] [FULL 6 | c2] [FULL 6 | c7]      capacity of them
///                              ^ tail_: next push             ^ head_: next pop                7, 6: the lap
///     cells      c0 c1 c2 ...    one for each word, and one for each thread that ever came: its spare cell
///
///     push   EMPTY(lap, c) -> FULL(lap, mine)           the element was built in `mine`; c is my spare cell now
///     pop    FULL(lap, c) -> EMPTY(lap+1, mine)         the element is in c, which is my spare cell afterwards
///     close  EMPTY(lap, c) -> CLOSED(lap, c)            at the tail; where the queue is full, the word there is FULL:
///            FULL(lap, c) -> LAST(lap, c)               and its pop: LAST(lap, c) -> CLOSED(lap+1, mine)
///
/// A position is a lap and a place. Position (l, i) is *filled* when word i has said FULL(l) or LAST(l), and *popped* when
/// it has gone on to lap l+1. Invariants:
///   W1  A word changes by the CASes above only; its lap never falls, so no value of it ever comes back. (Laps have 64 bits less
///       those of a cell's number and 2: with capacity 1 there are 2^46 of them, with more capacity each takes longer.)
///   W2  Positions are filled in their order, and popped in their order: whoever fills (pops) one knows that all before it have
///       been filled (popped), and has synchronized with who did.
///   W3  tail_ (head_) is a position before which all are filled (popped). It may lag behind: whoever comes goes on
///       from word to word.
///   W4  Each cell is in one place: named by one word, or some thread's spare one. So whoever has won a cell by its CAS is alone
///       with it, and nobody ever looks into a cell before.
///   W5  Behind the position that says CLOSED nothing is ever filled.
///
/// Progress: lock-free; a CAS fails only because another operation took effect. A sleeping thread holds nothing but its own
/// spare cell. An operation that finds tail_ or head_ behind (somebody sleeps between a CAS and the store after it) walks over at
/// most `capacity` words once.
/// Linearizes: push at [push.fill]; `full` and `closed` at [push.word]; pop at [pop.take]; `empty` and `closed` at [pop.word];
/// close at [close.mark]. All answers are exact: see the proof, docs/memory-model.md#bounded-queue.
///
/// Sources: Colvin, Groves, Formal verification of an array-based nonblocking queue, ICECCS 2005, after Shann, Huang, Chen, ICPADS
/// 2000 (a counter in each word of the ring, positions that may lag). Words that name cells, the exchange of cells and the close
/// are ours.
#pragma once

#include "epoque/base/config.hpp"
#include "epoque/base/error.hpp"
#include "epoque/core/cells.hpp"
#include "epoque/domain.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>

namespace epoque::core {

template <class Cells, class Env>
class swap_ring {
    template <class T>
    using atomic = typename Env::template atomic<T>;
    using domain_type = basic_domain<Env>;
    using record_type = core::record<Env>;

    struct header {}; // words say all there is to say about a cell

  public:
    using cell = typename Cells::template cell<header>;

    /// Throws: bad_alloc. A capacity of 0 is a misuse.
    swap_ring(std::size_t capacity, domain_type& home, Cells cells);
    swap_ring(const swap_ring&) = delete;
    swap_ring& operator=(const swap_ring&) = delete;
    ~swap_ring();

    /// Ends every element by `drop(cell)`. For whoever knows what the elements are, before the destructor.
    template <class Drop>
    void destroy(Drop drop) noexcept;

    /// Appends up to `count` elements, at least 1, each for itself. `put(cell)` builds the next one; `undo(cell)` moves the one
    /// that was put last back to where it came from. Both noexcept. Returns how many; fewer: `why` says full or closed.
    /// Throws: bad_alloc, before anything else, on a thread's first use of the domain or the queue.
    template <class Put, class Undo>
    std::size_t push(std::size_t count, conqueue_status& why, Put put, Undo undo);

    /// Takes up to `count` elements by `take(cell)`, noexcept, each for itself; returns how many; fewer: `why` says empty or
    /// closed. Throws: as push.
    template <class Take>
    std::size_t pop(std::size_t count, conqueue_status& why, Take take);

    void close() noexcept;
    bool is_closed() const noexcept;
    std::size_t was_size() const noexcept;

    std::size_t capacity() const noexcept { return capacity_; }
    const Cells& cells() const noexcept { return cells_; }

  private:
    using word_type = atomic<std::uint64_t>;

    enum state : std::uint64_t { empty = 0, full = 1, last = 2, closed = 3 };
    static constexpr std::uint64_t most_spares = std::uint64_t{1} << 15; // threads of one queue
    static constexpr std::uint64_t most_places = std::uint64_t{1} << 32;
    static constexpr std::uint64_t nothing = ~std::uint64_t{0};
    /// The owner of a locker that nobody will ever use again: no record's address.
    static record_type* nobody() noexcept {
        // SAFETY: never looked into.
        return reinterpret_cast<record_type*>(std::uintptr_t{1});
    }

    /// A thread's spare cell. Which thread's: that of the record, for as long as the domain lives.
    struct alignas(interference_size) locker {
        atomic<record_type*> owner{nullptr};
        typename Env::template var<std::uint64_t> cell{nothing}; // the owner's; `nothing` while an operation has it
        typename Env::template var<std::uint32_t> forks{0};      // the record's, when its thread was last here

        /// Whether a fork left the locker's user behind while it had the cell; nobody knows then where that is.
        bool is_lost(const record_type& record) noexcept {
            if (forks.get() == record.forks) [[likely]] {
                return false;
            }
            forks.set(record.forks);
            return cell.get() == nothing;
        }
    };
    /// Lockers, and their cells behind them. The first shelf's cells lie with those of the words.
    struct shelf {
        explicit shelf(std::uint64_t first) noexcept {
            for (locker& each : lockers) {
                each.cell.set(first++);
            }
        }
        locker lockers[Env::spare_cells];
        atomic<shelf*> next{nullptr};
    };
    /// An operation's spare cell.
    class spare {
      public:
        explicit spare(swap_ring& ring)
            : locker_(ring.own_locker(ring.home_.own_record())), number(locker_.cell.get()) {
            if (number == nothing) {
                misuse("an element's move constructor or destructor used the bounded queue that it is in. Use another "
                       "one.");
            }
            locker_.cell.set(nothing);
        }
        spare(const spare&) = delete;
        spare& operator=(const spare&) = delete;
        ~spare() { locker_.cell.set(number); }

      private:
        locker& locker_;

      public:
        std::uint64_t number;
    };

    // A word: lap, state, cell; from the high bits to the low ones. A position: lap, place.
    static unsigned lap_shift(std::uint64_t capacity) noexcept {
        return static_cast<unsigned>(std::bit_width(capacity + most_spares)) + 2;
    }
    std::uint64_t one_lap() const noexcept { return std::uint64_t{1} << shift_; }
    std::uint64_t make(std::uint64_t lap, state what, std::uint64_t number) const noexcept {
        return (lap & lap_mask_) | std::uint64_t{what} << (shift_ - 2) | number;
    }
    state state_of(std::uint64_t word) const noexcept { return static_cast<state>(word >> (shift_ - 2) & 3); }
    std::uint64_t number_of(std::uint64_t word) const noexcept { return word & (~lap_mask_ >> 2); }
    bool holds_element(std::uint64_t word) const noexcept {
        const state what = state_of(word);
        return what == full || what == last;
    }
    /// By how many laps (times one_lap()) the word is ahead of the position.
    std::int64_t ahead(std::uint64_t word, std::uint64_t position) const noexcept {
        return static_cast<std::int64_t>((word & lap_mask_) - (position & lap_mask_));
    }
    std::uint64_t next(std::uint64_t position) const noexcept {
        ++position;
        return (position & ~lap_mask_) == capacity_ ? (position & lap_mask_) + one_lap() : position;
    }
    /// The position behind the newest one at this place that the word tells to be filled.
    std::uint64_t behind_filled(std::uint64_t word, std::uint64_t position) const noexcept {
        const std::uint64_t lap = (word & lap_mask_) - (holds_element(word) ? 0 : one_lap());
        return next(lap | (position & ~lap_mask_));
    }
    std::uint64_t behind_popped(std::uint64_t word, std::uint64_t position) const noexcept {
        return next(((word & lap_mask_) - one_lap()) | (position & ~lap_mask_));
    }
    std::uint64_t count_of(std::uint64_t position) const noexcept {
        return (position >> shift_) * capacity_ + (position & ~lap_mask_);
    }

    word_type& word_at(std::uint64_t position) const noexcept { return words_[position & ~lap_mask_]; }
    cell& cell_at(std::uint64_t number) const noexcept {
        return number < capacity_ + Env::spare_cells ? cell_in(cells_at_, number) : far_cell(number);
    }
    cell& cell_in(std::byte* where, std::uint64_t index) const noexcept {
        // SAFETY: make_cells built a cell at each of these addresses.
        return *std::launder(reinterpret_cast<cell*>(where + index * stride()));
    }
    EPOQUE_COLD cell& far_cell(std::uint64_t number) const noexcept;
    locker& own_locker(record_type& record);
    EPOQUE_COLD shelf* add_shelf(shelf& behind, std::uint64_t first);
    void advance(word_type& hint, std::uint64_t position) noexcept;

    std::size_t stride() const noexcept { return cells_.template stride<header>(); }
    static constexpr std::size_t align() noexcept { return Cells::template align<header>(); }
    static constexpr std::size_t shelf_align() noexcept { return std::max(alignof(shelf), align()); }
    static constexpr std::size_t shelf_cells() noexcept { return (sizeof(shelf) + align() - 1) / align() * align(); }
    std::size_t shelf_bytes() const noexcept { return shelf_cells() + Env::spare_cells * stride(); }
    std::byte* make_cells(void* memory, std::uint64_t count) noexcept;
    void end_cells(std::byte* where, std::uint64_t count) noexcept;

    // Constant.
    alignas(interference_size) const std::uint64_t capacity_;
    const unsigned shift_; // where the lap begins
    const std::uint64_t lap_mask_;
    domain_type& home_;
    [[no_unique_address]] const Cells cells_;
    word_type* words_ = nullptr;
    std::byte* cells_at_ = nullptr;
    shelf* first_shelf_ = nullptr;
    atomic<std::uint32_t> closed_{0}; // written once; follows [close.mark]
    // Read by every push (pop), written by each that succeeded.
    alignas(interference_size) word_type tail_{0};
    alignas(interference_size) word_type head_{0};
};

// ---- construction and destruction ------------------------------------------------------------------------------------------

template <class Cells, class Env>
swap_ring<Cells, Env>::swap_ring(std::size_t capacity, domain_type& home, Cells cells)
    : capacity_(std::min<std::uint64_t>(capacity, most_places + 1)), shift_(lap_shift(capacity_)),
      lap_mask_(~std::uint64_t{0} << shift_), home_(home), cells_(cells) {
    if (capacity == 0) {
        misuse("a queue was made with capacity 0: nothing could ever be pushed. Give it at least 1.");
    }
    const std::uint64_t all = capacity_ + Env::spare_cells;
    if (capacity > most_places || all > std::numeric_limits<std::size_t>::max() / 2 / stride()) {
        throw std::bad_alloc();
    }
    void* const words = Env::allocate(capacity * sizeof(word_type), alignof(word_type));
    void* room = nullptr;
    void* first = nullptr;
    try {
        room = Env::allocate(all * stride(), align());
        first = Env::allocate(sizeof(shelf), alignof(shelf));
    } catch (...) {
        if (room != nullptr) {
            Env::deallocate(room, all * stride(), align());
        }
        Env::deallocate(words, capacity * sizeof(word_type), alignof(word_type));
        throw;
    }
    words_ = static_cast<word_type*>(words);
    for (std::uint64_t place = 0; place < capacity; ++place) {
        // SAFETY: fresh memory, room for one word at each place.
        ::new (static_cast<void*>(words_ + place)) word_type(make(0, empty, place));
    }
    cells_at_ = make_cells(room, all);
    // SAFETY: fresh memory of the shelf's size and alignment.
    first_shelf_ = ::new (first) shelf(capacity);
}

template <class Cells, class Env>
swap_ring<Cells, Env>::~swap_ring() {
    // [dtor.shelf] relaxed: destruction is exclusive, whoever ordered it ordered all use before it.
    for (shelf* each = first_shelf_->next.load(Env::relaxed); each != nullptr;) {
        // [dtor.next] relaxed: as [dtor.shelf].
        shelf* const behind = each->next.load(Env::relaxed);
        // SAFETY: add_shelf put the cells there.
        end_cells(reinterpret_cast<std::byte*>(each) + shelf_cells(), Env::spare_cells);
        std::destroy_at(each);
        Env::deallocate(each, shelf_bytes(), shelf_align());
        each = behind;
    }
    std::destroy_at(first_shelf_);
    Env::deallocate(first_shelf_, sizeof(shelf), alignof(shelf));
    end_cells(cells_at_, capacity_ + Env::spare_cells);
    Env::deallocate(cells_at_, (capacity_ + Env::spare_cells) * stride(), align());
    std::destroy_n(words_, capacity_);
    Env::deallocate(words_, capacity_ * sizeof(word_type), alignof(word_type));
}

template <class Cells, class Env>
template <class Drop>
void swap_ring<Cells, Env>::destroy(Drop drop) noexcept {
    for (std::uint64_t place = 0; place < capacity_; ++place) {
        // [dtor.word] relaxed: as [dtor.shelf].
        const std::uint64_t word = words_[place].load(Env::relaxed);
        if (holds_element(word)) {
            drop(cell_at(number_of(word)));
        }
    }
}

template <class Cells, class Env>
std::byte* swap_ring<Cells, Env>::make_cells(void* memory, std::uint64_t count) noexcept {
    auto* const where = static_cast<std::byte*>(memory);
    for (std::uint64_t index = 0; index < count; ++index) {
        // SAFETY: fresh memory, room for one cell at each stride.
        ::new (static_cast<void*>(where + index * stride())) cell;
    }
    return where;
}

template <class Cells, class Env>
void swap_ring<Cells, Env>::end_cells(std::byte* where, std::uint64_t count) noexcept {
    for (std::uint64_t index = 0; index < count; ++index) {
        Cells::end_element(cell_in(where, index));
    }
}

// ---- spare cells -------------------------------------------------------------------------------------------------------------

template <class Cells, class Env>
auto swap_ring<Cells, Env>::own_locker(record_type& record) -> locker& {
    // Threads spread over the lockers by the addresses of their records.
    const std::size_t begin =
        static_cast<std::size_t>(reinterpret_cast<std::uintptr_t>(&record) / sizeof(record_type)) % Env::spare_cells;
    std::uint64_t first = capacity_;
    for (shelf* on = first_shelf_;;) {
        for (std::size_t i = 0; i < Env::spare_cells; ++i) {
            locker& mine = on->lockers[(begin + i) % Env::spare_cells];
            // [locker.owner] relaxed: when it is our record, then its thread, we or the one before us, wrote it; the record's
            //   ownership has been handed over since.
            record_type* owner = mine.owner.load(Env::relaxed);
            // [locker.claim] relaxed: the locker was complete before we knew the shelf; nothing else goes with it. Failure
            //   (relaxed): another thread's.
            if (owner == nullptr && mine.owner.compare_exchange_strong(owner, &record, Env::relaxed, Env::relaxed)) {
                mine.forks.set(record.forks);
                return mine;
            }
            if (owner == &record) {
                if (!mine.is_lost(record)) [[likely]] {
                    return mine;
                }
                // [locker.lost] relaxed: nobody else looks for this record.
                mine.owner.store(nobody(), Env::relaxed);
            }
        }
        first += Env::spare_cells;
        // [locker.next] acquire: pairs with [shelf.link]
        //   The shelf and its cells were built before.
        shelf* const behind = on->next.load(Env::acquire);
        on = behind != nullptr ? behind : add_shelf(*on, first);
    }
}

template <class Cells, class Env>
auto swap_ring<Cells, Env>::add_shelf(shelf& behind, std::uint64_t first) -> shelf* {
    if (first + Env::spare_cells > capacity_ + most_spares) {
        throw std::bad_alloc();
    }
    void* const memory = Env::allocate(shelf_bytes(), shelf_align());
    // SAFETY: fresh memory with room for the shelf and, behind it, its cells.
    auto* const fresh = ::new (memory) shelf(first);
    std::byte* const where = make_cells(static_cast<std::byte*>(memory) + shelf_cells(), Env::spare_cells);
    shelf* linked = nullptr;
    // [shelf.link] acq_rel: pairs with [locker.next], [far.next]
    //   Release: the shelf and its cells are built. Failure (acquire): somebody else's shelf will do.
    if (behind.next.compare_exchange_strong(linked, fresh, Env::acq_rel, Env::acquire)) {
        return fresh;
    }
    end_cells(where, Env::spare_cells);
    std::destroy_at(fresh);
    Env::deallocate(memory, shelf_bytes(), shelf_align());
    return linked;
}

template <class Cells, class Env>
auto swap_ring<Cells, Env>::far_cell(std::uint64_t number) const noexcept -> cell& {
    std::uint64_t index = number - capacity_;
    shelf* on = first_shelf_;
    for (; index >= Env::spare_cells; index -= Env::spare_cells) {
        // [far.next] acquire: pairs with [shelf.link]
        //   The shelf was linked before its first cell came into a word, and we have that number from a word.
        on = on->next.load(Env::acquire);
    }
    // SAFETY: add_shelf put the cells there.
    return cell_in(reinterpret_cast<std::byte*>(on) + shelf_cells(), index);
}

// ---- push --------------------------------------------------------------------------------------------------------------------

template <class Cells, class Env>
template <class Put, class Undo>
std::size_t swap_ring<Cells, Env>::push(std::size_t count, conqueue_status& why, Put put, Undo undo) {
    spare mine(*this);
    bool built = false;
    std::size_t done = 0;
    // [push.tail] acquire: pairs with [advance.store]
    //   W2: all before are filled, and we synchronize with who filled them.
    for (std::uint64_t tail = tail_.load(Env::acquire);;) {
        word_type& place = word_at(tail);
        // [push.word] acquire: pairs with [push.fill], [pop.take], [close.mark]
        //   W2: as [push.tail], where this word lets us go on.  // LP of `full`, `closed`
        std::uint64_t word = place.load(Env::acquire);
        while (ahead(word, tail) == 0 && state_of(word) == empty) {
            if (!built) {
                put(cell_at(mine.number));
                built = true;
            }
            // [push.fill] acq_rel: pairs with [push.word], [pop.word], [pop.take], [close.word], [close.mark]
            //   Release: the element is built, and all before it are filled. Acquire: whoever left us its cell has done with it.
            //   Failure (acquire): as [push.word].  // LP
            if (place.compare_exchange_weak(word, make(tail, full, mine.number), Env::acq_rel, Env::acquire)) {
                mine.number = number_of(word); // owns: the cell, and no longer the element
                built = false;
                word = make(tail, full, 0);
                ++done;
            }
        }
        const std::int64_t laps = ahead(word, tail);
        if (laps < 0 || (laps == 0 && state_of(word) == closed)) {
            why = state_of(word) == full ? conqueue_status::full : conqueue_status::closed;
        } else {
            tail = behind_filled(word, tail);
            if (done != count) {
                continue;
            }
        }
        if (built) {
            undo(cell_at(mine.number));
        }
        advance(tail_, tail);
        return done;
    }
}

/// Moves the hint on to `position`, unless it is there already.
template <class Cells, class Env>
void swap_ring<Cells, Env>::advance(word_type& hint, std::uint64_t position) noexcept {
    // [advance.look] relaxed: W3: a hint that goes back costs a walk and nothing else.
    if (static_cast<std::int64_t>(position - hint.load(Env::relaxed)) > 0) {
        // [advance.store] release: pairs with [push.tail], [pop.head], [close.tail], [size.head], [size.tail]
        //   What we know of the positions before.
        hint.store(position, Env::release);
    }
}

// ---- pop ---------------------------------------------------------------------------------------------------------------------

template <class Cells, class Env>
template <class Take>
std::size_t swap_ring<Cells, Env>::pop(std::size_t count, conqueue_status& why, Take take) {
    spare mine(*this);
    std::size_t done = 0;
    // [pop.head] acquire: pairs with [advance.store]
    //   W2: all before are popped, and we synchronize with who popped them.
    for (std::uint64_t head = head_.load(Env::acquire);;) {
        word_type& place = word_at(head);
        // [pop.word] acquire: pairs with [push.fill], [pop.take], [close.mark]
        //   W2: as [pop.head], where this word lets us go on.  // LP of `empty`, `closed`
        std::uint64_t word = place.load(Env::acquire);
        while (ahead(word, head) == 0 && holds_element(word)) {
            const std::uint64_t left = make(head + one_lap(), state_of(word) == last ? closed : empty, mine.number);
            // [pop.take] acq_rel: pairs with [push.word], [push.fill], [pop.word], [close.word], [close.mark]
            //   Acquire: the element was built. Release: we have done with the cell that we leave. Failure (acquire): as
            //   [pop.word].  // LP
            if (place.compare_exchange_weak(word, left, Env::acq_rel, Env::acquire)) {
                mine.number = number_of(word); // owns: the cell and its element
                take(cell_at(mine.number));
                word = left;
                ++done;
            }
        }
        if (ahead(word, head) == 0) {
            why = state_of(word) == closed ? conqueue_status::closed : conqueue_status::empty;
        } else {
            head = behind_popped(word, head);
            if (done != count) {
                continue;
            }
        }
        advance(head_, head);
        return done;
    }
}

// ---- close and observers -----------------------------------------------------------------------------------------------------

template <class Cells, class Env>
void swap_ring<Cells, Env>::close() noexcept {
    // [close.tail] acquire: pairs with [advance.store]
    //   As [push.tail].
    for (std::uint64_t tail = tail_.load(Env::acquire);;) {
        word_type& place = word_at(tail);
        // [close.word] acquire: pairs with [push.fill], [pop.take], [close.mark]
        //   As [push.word].
        std::uint64_t word = place.load(Env::acquire);
        bool ended = false;
        while (!ended) {
            const std::int64_t laps = ahead(word, tail);
            const state what = state_of(word);
            if (laps > 0 || (laps == 0 && holds_element(word))) {
                break;
            }
            if (what == closed || what == last) {
                ended = true;
                continue;
            }
            const std::uint64_t mark = make(word, laps == 0 ? closed : last, number_of(word));
            // [close.mark] acq_rel: pairs with [push.word], [push.fill], [pop.word], [pop.take], [close.word]
            //   Release: whoever answers closed sees what happened before the close. Acquire: a pop that goes on from our
            //   word hands on the push's release. Failure (acquire): as [close.word].  // LP
            ended = place.compare_exchange_weak(word, mark, Env::acq_rel, Env::acquire);
        }
        if (ended) {
            break;
        }
        tail = behind_filled(word, tail);
    }
    // [close.hint] release: pairs with [closed.hint]
    //   What happened before the close.
    closed_.store(1, Env::release);
}

template <class Cells, class Env>
bool swap_ring<Cells, Env>::is_closed() const noexcept {
    // [closed.hint] acquire: pairs with [close.hint]
    //   What happened before the close is seen by who knows of it.
    return closed_.load(Env::acquire) != 0;
}

template <class Cells, class Env>
std::size_t swap_ring<Cells, Env>::was_size() const noexcept {
    // [size.head] acquire: pairs with [advance.store]
    //   The older of the two, so that the tail is mostly not before it.
    const std::uint64_t head = head_.load(Env::acquire);
    // [size.tail] acquire: pairs with [advance.store]
    //   As [size.head].
    const std::uint64_t tail = tail_.load(Env::acquire);
    if (static_cast<std::int64_t>(tail - head) <= 0) {
        return 0;
    }
    return static_cast<std::size_t>(std::min(count_of(tail) - count_of(head), capacity_));
}

} // namespace epoque::core
