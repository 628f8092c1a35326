// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. Depends on: base, domain (a thread's record names the thread), core/cells.hpp.
///
/// The algorithm of `bounded_queue`: a ring of words, each of which names the cell where its element lies. Every operation
/// takes effect by one CAS of one word, and brings a free cell of its own into the exchange.
///
///     words_     [FULL 7 | c4] [EMPTY 7 | c0] [EMPTY 7 | c9] [FULL 6 | c2] [FULL 6 | c7]      capacity of them
///                              ^ tail_: next push             ^ head_: next pop                7, 6: the lap
///     cells      c0 c1 c2 ...    one for each word, and one for each thread's record: its spare cell
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
    /// How many elements were pushed (popped) a moment ago, since the beginning: the positions, which cost nothing.
    std::uint64_t was_pushed() const noexcept { return count_of(was_tail()); }
    std::uint64_t was_popped() const noexcept { return count_of(was_head()); }

    std::size_t capacity() const noexcept { return capacity_; }
    const Cells& cells() const noexcept { return cells_; }

  private:
    using word_type = atomic<std::uint64_t>;

    enum state : std::uint64_t { empty = 0, full = 1, last = 2, closed = 3 };
    static constexpr std::size_t shelves = 11;
    static constexpr std::uint64_t most_spares = std::uint64_t{Env::spare_cells}
                                                 << (shelves - 1); // threads of one queue
    static constexpr std::uint64_t most_places = std::uint64_t{1} << 32;
    static constexpr std::uint64_t nothing = ~std::uint64_t{0};

    /// A thread's spare cell; the owner's of the record with its number.
    struct alignas(interference_size) locker {
        explicit locker(std::uint64_t number) noexcept : cell(number) {}
        typename Env::template var<std::uint64_t> cell; // `nothing` while an operation has it
    };
    /// An operation's spare cell.
    class spare {
      public:
        explicit spare(swap_ring& ring)
            : locker_(ring.own_locker(ring.home_.own_record().number)), number(locker_.cell.get()) {
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
    static unsigned number_bits(std::uint64_t capacity) noexcept {
        return static_cast<unsigned>(std::bit_width(capacity + most_spares));
    }
    std::uint64_t one_lap() const noexcept { return 4 * state_unit_; }
    std::uint64_t make(std::uint64_t lap, state what, std::uint64_t number) const noexcept {
        return (lap & lap_mask_) + what * state_unit_ + number;
    }
    state state_of(std::uint64_t word) const noexcept { return static_cast<state>(word >> state_shift_ & 3); }
    std::uint64_t number_of(std::uint64_t word) const noexcept { return word & (state_unit_ - 1); }
    /// Whether the word says `what` at the position's lap.
    bool says(std::uint64_t word, std::uint64_t position, state what) const noexcept {
        return (word & ~(state_unit_ - 1)) == make(position, what, 0);
    }
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
        return (position >> (state_shift_ + 2)) * capacity_ + (position & ~lap_mask_);
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
    locker& own_locker(std::uint32_t number) {
        return number < Env::spare_cells ? lockers_[number] : far_locker(number);
    }
    EPOQUE_COLD locker& far_locker(std::uint32_t number);
    void advance(word_type& hint, std::uint64_t position) noexcept;
    std::uint64_t was_head() const noexcept;
    std::uint64_t was_tail() const noexcept;

    std::size_t stride() const noexcept { return cells_.template stride<header>(); }
    static constexpr std::size_t align() noexcept { return Cells::template align<header>(); }

    // Shelf 0 has the first spare_cells lockers, its cells lie with those of the words; shelf k > 0 as many as all before it,
    // and their cells behind them.
    static std::size_t shelf_of(std::uint64_t number) noexcept {
        return static_cast<std::size_t>(std::bit_width(number / Env::spare_cells));
    }
    static std::uint64_t shelf_begin(std::size_t index) noexcept { return Env::spare_cells << index >> 1; } // index > 0
    static constexpr std::size_t shelf_align() noexcept { return std::max(alignof(locker), align()); }
    static std::size_t shelf_cells(std::uint64_t count) noexcept {
        return (count * sizeof(locker) + align() - 1) / align() * align();
    }
    std::size_t shelf_bytes(std::uint64_t count) const noexcept { return shelf_cells(count) + count * stride(); }
    static locker* make_lockers(void* memory, std::uint64_t first, std::uint64_t count) noexcept;
    std::byte* make_cells(void* memory, std::uint64_t count) noexcept;
    void end_cells(std::byte* where, std::uint64_t count) noexcept;
    void end_shelf(locker* shelf, std::uint64_t count) noexcept;

    // Constant.
    alignas(interference_size) const std::uint64_t capacity_;
    const unsigned state_shift_;
    const std::uint64_t state_unit_; // the state's lower bit
    const std::uint64_t lap_mask_;
    domain_type& home_;
    [[no_unique_address]] const Cells cells_;
    word_type* words_ = nullptr;
    std::byte* cells_at_ = nullptr;
    locker* lockers_ = nullptr;
    atomic<locker*> shelves_[shelves] = {};
    atomic<std::uint32_t> closed_{0}; // written once; follows [close.mark]
    // Read by every push (pop), written by each that succeeded.
    alignas(interference_size) word_type tail_{0};
    alignas(interference_size) word_type head_{0};
};

} // namespace epoque::core

#include "epoque/core/swap_ring_impl.hpp"
