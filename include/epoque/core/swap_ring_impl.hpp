// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. The definitions of core/swap_ring.hpp, in its order; include that one.
#pragma once

#include "epoque/core/swap_ring.hpp"

namespace epoque::core {

// ---- construction and destruction ------------------------------------------------------------------------------------------

template <class Cells, class Env>
swap_ring<Cells, Env>::swap_ring(std::size_t capacity, domain_type& home, Cells cells)
    : capacity_(std::min<std::uint64_t>(capacity, most_places + 1)), state_shift_(number_bits(capacity_)),
      state_unit_(std::uint64_t{1} << state_shift_), lap_mask_(~(4 * state_unit_ - 1)), home_(home), cells_(cells) {
    if (capacity == 0) {
        misuse("a queue was made with capacity 0: nothing could ever be pushed. Give it at least 1.");
    }
    const std::uint64_t all = capacity_ + Env::spare_cells;
    if (capacity > most_places || all > std::numeric_limits<std::size_t>::max() / 2 / stride()) {
        throw std::bad_alloc();
    }
    void* const words = home_.allocate(capacity * sizeof(word_type), alignof(word_type));
    void* room = nullptr;
    void* lockers = nullptr;
    try {
        room = home_.allocate(all * stride(), align());
        lockers = home_.allocate(Env::spare_cells * sizeof(locker), alignof(locker));
    } catch (...) {
        if (room != nullptr) {
            home_.deallocate(room, all * stride(), align());
        }
        home_.deallocate(words, capacity * sizeof(word_type), alignof(word_type));
        throw;
    }
    words_ = static_cast<word_type*>(words);
    for (std::uint64_t place = 0; place < capacity; ++place) {
        // SAFETY: fresh memory, room for one word at each place.
        ::new (static_cast<void*>(words_ + place)) word_type(make(0, empty, place));
    }
    cells_at_ = make_cells(room, all);
    lockers_ = make_lockers(lockers, capacity_, Env::spare_cells);
}

template <class Cells, class Env>
swap_ring<Cells, Env>::~swap_ring() {
    for (std::size_t index = 1; index < shelves; ++index) {
        // [dtor.shelf] relaxed: destruction is exclusive, whoever ordered it ordered all use before it.
        if (locker* const shelf = shelves_[index].load(Env::relaxed); shelf != nullptr) {
            end_shelf(shelf, shelf_begin(index));
        }
    }
    std::destroy_n(lockers_, Env::spare_cells);
    home_.deallocate(lockers_, Env::spare_cells * sizeof(locker), alignof(locker));
    end_cells(cells_at_, capacity_ + Env::spare_cells);
    home_.deallocate(cells_at_, (capacity_ + Env::spare_cells) * stride(), align());
    std::destroy_n(words_, capacity_);
    home_.deallocate(words_, capacity_ * sizeof(word_type), alignof(word_type));
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
auto swap_ring<Cells, Env>::make_lockers(void* memory, std::uint64_t first, std::uint64_t count) noexcept -> locker* {
    auto* const lockers = static_cast<locker*>(memory);
    for (std::uint64_t index = 0; index < count; ++index) {
        // SAFETY: fresh memory with room for `count` lockers.
        ::new (static_cast<void*>(lockers + index)) locker(first + index);
    }
    return lockers;
}

template <class Cells, class Env>
void swap_ring<Cells, Env>::end_shelf(locker* shelf, std::uint64_t count) noexcept {
    // SAFETY: far_locker put the cells there.
    end_cells(reinterpret_cast<std::byte*>(shelf) + shelf_cells(count), count);
    std::destroy_n(shelf, count);
    home_.deallocate(shelf, shelf_bytes(count), shelf_align());
}

template <class Cells, class Env>
auto swap_ring<Cells, Env>::far_locker(std::uint32_t number) -> locker& {
    if (number >= most_spares) {
        throw std::bad_alloc();
    }
    const std::size_t index = shelf_of(number);
    const std::uint64_t count = shelf_begin(index); // it has as many as are before it
    // [locker.shelf] acquire: pairs with [shelf.link]
    //   The shelf was built before.
    locker* shelf = shelves_[index].load(Env::acquire);
    if (shelf == nullptr) {
        void* const memory = home_.allocate(shelf_bytes(count), shelf_align());
        locker* const fresh = make_lockers(memory, capacity_ + count, count);
        make_cells(static_cast<std::byte*>(memory) + shelf_cells(count), count);
        // [shelf.link] acq_rel: pairs with [locker.shelf], [far.shelf]
        //   Release: the shelf and its cells are built. Failure (acquire): somebody else's shelf will do.
        if (shelves_[index].compare_exchange_strong(shelf, fresh, Env::acq_rel, Env::acquire)) {
            shelf = fresh;
        } else {
            end_shelf(fresh, count);
        }
    }
    return shelf[number - count];
}

template <class Cells, class Env>
auto swap_ring<Cells, Env>::far_cell(std::uint64_t number) const noexcept -> cell& {
    const std::size_t index = shelf_of(number - capacity_);
    const std::uint64_t count = shelf_begin(index);
    // [far.shelf] acquire: pairs with [shelf.link]
    //   The shelf was linked before its first cell came into a word, and we have the number from a word, or of our own.
    locker* const shelf = shelves_[index].load(Env::acquire);
    // SAFETY: far_locker put the cells there.
    return cell_in(reinterpret_cast<std::byte*>(shelf) + shelf_cells(count), number - capacity_ - count);
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
    std::uint64_t tail = tail_.load(Env::acquire);
    while (done != count) {
        word_type& place = word_at(tail);
        // [push.word] seq_cst: pairs with [push.fill], [pop.take], [close.mark]
        //   W2: as [push.tail], where this word lets us go on. All operations on words are seq_cst, so that `full` and `empty`,
        //   which look at different words, fit into one order with all else; x86 and ARMv8 charge nothing for it.
        //   If the other's change is first, we read it.
        //   If we are first, our answer comes before it.  // LP of `full`, `closed`
        std::uint64_t word = place.load(Env::seq_cst);
        if (says(word, tail, empty)) [[likely]] {
            if (!built) {
                put(cell_at(mine.number));
                built = true;
            }
            // [push.fill] seq_cst: pairs with [push.word], [pop.word], [pop.take], [close.word], [close.mark]
            //   Release: the element is built, and all before it are filled. Acquire: whoever left us its cell has done with it.
            //   As [push.word]. Failure (relaxed): [push.word] looks again.  // LP
            if (place.compare_exchange_weak(word, make(tail, full, mine.number), Env::seq_cst, Env::relaxed))
                [[likely]] {
                mine.number = number_of(word); // owns: the cell, and no longer the element
                built = false;
                tail = next(tail);
                ++done;
            }
            continue;
        }
        const std::int64_t laps = ahead(word, tail);
        if (laps < 0 || (laps == 0 && state_of(word) == closed)) {
            why = state_of(word) == full ? conqueue_status::full : conqueue_status::closed;
            if (why == conqueue_status::closed) {
                // [push.closed] release: pairs with [closed.hint]
                //   As [close.hint], whose thread may be asleep before it.
                closed_.store(1, Env::release);
            }
            break;
        }
        tail = behind_filled(word, tail);
    }
    if (built) {
        undo(cell_at(mine.number));
    }
    advance(tail_, tail);
    return done;
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
    std::uint64_t head = head_.load(Env::acquire);
    while (done != count) {
        word_type& place = word_at(head);
        // [pop.word] seq_cst: pairs with [push.fill], [pop.take], [close.mark]
        //   W2: as [pop.head], where this word lets us go on. As [push.word].  // LP of `empty`, `closed`
        std::uint64_t word = place.load(Env::seq_cst);
        const bool is_last = says(word, head, last);
        if (is_last || says(word, head, full)) [[likely]] {
            const std::uint64_t left = make(head + one_lap(), is_last ? closed : empty, mine.number);
            // [pop.take] seq_cst: pairs with [push.word], [push.fill], [pop.word], [close.word], [close.mark]
            //   Acquire: the element was built. Release: we have done with the cell that we leave. As [push.word].
            //   Failure (relaxed): [pop.word] looks again.  // LP
            if (place.compare_exchange_weak(word, left, Env::seq_cst, Env::relaxed)) [[likely]] {
                mine.number = number_of(word); // owns: the cell and its element
                take(cell_at(mine.number));
                head = next(head);
                ++done;
            }
            continue;
        }
        if (ahead(word, head) == 0) {
            why = state_of(word) == closed ? conqueue_status::closed : conqueue_status::empty;
            if (why == conqueue_status::closed) {
                // [pop.closed] release: pairs with [closed.hint]
                //   As [push.closed].
                closed_.store(1, Env::release);
            }
            break;
        }
        head = behind_popped(word, head);
    }
    advance(head_, head);
    return done;
}

// ---- close and observers -----------------------------------------------------------------------------------------------------

template <class Cells, class Env>
void swap_ring<Cells, Env>::close() noexcept {
    // [close.tail] acquire: pairs with [advance.store]
    //   As [push.tail].
    std::uint64_t tail = tail_.load(Env::acquire);
    for (bool ended = false; !ended;) {
        word_type& place = word_at(tail);
        // [close.word] seq_cst: pairs with [push.fill], [pop.take], [close.mark]
        //   As [push.word].
        std::uint64_t word = place.load(Env::seq_cst);
        const std::int64_t laps = ahead(word, tail);
        const state what = state_of(word);
        if (laps > 0 || (laps == 0 && holds_element(word))) {
            tail = behind_filled(word, tail);
        } else if (what == closed || what == last) {
            ended = true;
        } else {
            const std::uint64_t mark = make(word, laps == 0 ? closed : last, number_of(word));
            // [close.mark] seq_cst: pairs with [push.word], [push.fill], [pop.word], [pop.take], [close.word]
            //   Release: whoever answers closed sees what happened before the close. Acquire: who goes on from our word goes on
            //   from what we read. As [push.word]. Failure (relaxed): [close.word] looks again.  // LP
            ended = place.compare_exchange_weak(word, mark, Env::seq_cst, Env::relaxed);
        }
    }
    // [close.hint] release: pairs with [closed.hint]
    //   What happened before the close.
    closed_.store(1, Env::release);
}

template <class Cells, class Env>
bool swap_ring<Cells, Env>::is_closed() const noexcept {
    // [closed.hint] acquire: pairs with [close.hint], [push.closed], [pop.closed]
    //   What happened before the close is seen by who knows of it.
    return closed_.load(Env::acquire) != 0;
}

template <class Cells, class Env>
std::size_t swap_ring<Cells, Env>::was_size() const noexcept {
    const std::uint64_t head = was_head(); // the older of the two, so that the tail is mostly not before it
    const std::uint64_t tail = was_tail();
    if (static_cast<std::int64_t>(tail - head) <= 0) {
        return 0;
    }
    return static_cast<std::size_t>(std::min(count_of(tail) - count_of(head), capacity_));
}

/// The position of the next pop. W3: a hint may lag; from there on the words tell. At most a lap, so that it ends while others
/// run.
template <class Cells, class Env>
std::uint64_t swap_ring<Cells, Env>::was_head() const noexcept {
    // [size.head] acquire: pairs with [advance.store]
    //   What is popped here was pushed before, and a tail that is read afterwards is mostly not before it.
    std::uint64_t head = head_.load(Env::acquire);
    for (std::uint64_t steps = 0; steps != capacity_; ++steps) {
        // [size.popped_word] relaxed: a snapshot.
        const std::uint64_t word = word_at(head).load(Env::relaxed);
        if (ahead(word, head) <= 0) {
            break;
        }
        head = behind_popped(word, head);
    }
    return head;
}

/// The position of the next push. As was_head.
template <class Cells, class Env>
std::uint64_t swap_ring<Cells, Env>::was_tail() const noexcept {
    // [size.tail] acquire: pairs with [advance.store]
    //   As [size.head].
    std::uint64_t tail = tail_.load(Env::acquire);
    for (std::uint64_t steps = 0; steps != capacity_; ++steps) {
        // [size.filled_word] relaxed: a snapshot.
        const std::uint64_t word = word_at(tail).load(Env::relaxed);
        const std::int64_t laps = ahead(word, tail);
        if (laps < 0 || (laps == 0 && !holds_element(word))) {
            break;
        }
        tail = behind_filled(word, tail);
    }
    return tail;
}

} // namespace epoque::core
