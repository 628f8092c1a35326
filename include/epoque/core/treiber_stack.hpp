// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. Depends on: base, domain, core/cells.hpp.
///
/// The algorithm of `stack`: Treiber's linked stack under hazards, with elimination behind a failed CAS.
///
///     head_ (| closed bit) --> [next | element] --> [next | element] --> null
///
///     elimination_[i]:  0 --offer--> node --take--> node|taken --collect--> 0      (any of them | dead, for ever)
///
/// Invariants:
///   S1  A node is linked once in its life, and `next` does not change from then on. Its life does not end while it is
///       the hazard of a thread that found it linked (core/domain_hazards.hpp): that thread may read its `next`, and when its
///       CAS finds the same address it finds the same node. No ABA.
///   S2  A node's element belongs to the push until the node is linked or is taken from an offer; then to the pop whose
///       CAS removed it.
///   S3  An offer is taken at most once, by the CAS that sets `taken`; only its owner clears a place.
///   S4  close kills all places (`dead`) before it sets the closed bit, so no elimination comes after it.
///
/// Progress: lock-free; a CAS of head_ fails only because another one succeeded. Offers are waited for a bounded time.
/// Linearizes: push at [push.link] or [eliminate.take]; pop at [pop.unlink] or [eliminate.take] (the push directly before
/// it); `empty` and `closed` at [pop.head], [pop.check] or [pop.again]; pop_all at [all.unlink]; close at [close.mark].
/// Proof: docs/memory-model.md#stack.
///
/// Sources: Treiber, Systems programming: coping with parallelism, 1986. Hendler, Shavit, Yerushalmi, A scalable lock-free
/// stack algorithm, SPAA 2004 (elimination as back-off). Michael, Hazard pointers, TPDS 2004.
#pragma once

#include "epoque/base/backoff.hpp"
#include "epoque/base/config.hpp"
#include "epoque/core/cells.hpp"
#include "epoque/domain.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace epoque::core {

template <class Cells, class Env>
class treiber_stack {
    template <class T>
    using atomic = typename Env::template atomic<T>;
    using domain_type = basic_domain<Env>;
    using hook = core::retired<Env>;
    using record_type = core::record<Env>;

    struct header;

  public:
    using cell = typename Cells::template cell<header>;

    /// Throws: nothing.
    treiber_stack(domain_type& home, Cells cells) noexcept
        : home_(home), cells_(cells), block_class_(home.pool_class(block_bytes(), block_align)) {}
    treiber_stack(const treiber_stack&) = delete;
    treiber_stack& operator=(const treiber_stack&) = delete;
    ~treiber_stack() {
        destroy([](cell&) noexcept {});
    }

    /// Ends every element by `drop(cell)`. The destructor's first half, for whoever knows what the elements are.
    template <class Drop>
    void destroy(Drop drop) noexcept;

    /// Pushes `count` elements at once, the last one ends on top. `put(cell)` builds the next one; `undo(cell)` moves it
    /// back to where it came from, called for all in reverse order. Both noexcept. Returns success or closed.
    /// Throws: bad_alloc; nothing is pushed then, and all are undone.
    template <class Put, class Undo>
    conqueue_status push(std::size_t count, Put put, Undo undo);

    /// Takes the top by `take(cell)`, noexcept. Returns success, empty or closed.
    template <class Take>
    conqueue_status pop(Take take);

    /// Takes everything there is at one moment by `take(cell)` for each, from the top; returns how many.
    template <class Take>
    std::size_t pop_all(Take take);

    void close() noexcept;
    bool is_closed() const noexcept;
    bool was_empty() const noexcept;

    const Cells& cells() const noexcept { return cells_; }

  private:
    struct header {
        typename Env::template var<cell*> next{nullptr};
    };

    // Low bits of an address.
    static constexpr std::uintptr_t closed_bit = 1; // in head_
    static constexpr std::uintptr_t taken_bit = 1;  // in elimination_
    static constexpr std::uintptr_t dead_bit = 2;   // in elimination_
    static constexpr std::size_t places = 4;

    // After its pop a node carries its hook where the element was.
    static constexpr std::size_t hook_offset = (sizeof(header) + alignof(hook) - 1) / alignof(hook) * alignof(hook);
    static constexpr std::size_t block_align =
        std::max({Cells::template align<header>(), alignof(hook), alignof(std::max_align_t)});
    std::size_t block_bytes() const noexcept {
        return std::max(cells_.template stride<header>(), hook_offset + sizeof(hook));
    }
    static cell* pointer(std::uintptr_t word) noexcept {
        // SAFETY: the words hold addresses of nodes, and bits that their alignment leaves free.
        return reinterpret_cast<cell*>(word & ~(taken_bit | dead_bit));
    }
    static std::byte* hook_at(cell* node) noexcept {
        // SAFETY: an address inside of the node's block (block_bytes).
        return reinterpret_cast<std::byte*>(node) + hook_offset;
    }
    static std::uintptr_t number(const cell* node) noexcept { return reinterpret_cast<std::uintptr_t>(node); }

    static void end(hook* self, record_type& runner) noexcept;
    void discard(record_type& record, cell* unused) noexcept;
    void retire(record_type& record, cell* popped) noexcept;
    EPOQUE_COLD bool offer(const record_type& record, cell* node) noexcept;
    EPOQUE_COLD cell* take_offer(const record_type& record) noexcept;
    /// Where a thread begins to look for a partner; threads spread over the places by the addresses of their records.
    static std::size_t first_place(const record_type& record) noexcept {
        return static_cast<std::size_t>(reinterpret_cast<std::uintptr_t>(&record) / sizeof(record_type)) % places;
    }

    struct alignas(interference_size) place {
        atomic<std::uintptr_t> word{0};
    };

    alignas(interference_size) atomic<std::uintptr_t> head_{0};
    alignas(interference_size) domain_type& home_;
    [[no_unique_address]] const Cells cells_;
    const std::uint32_t block_class_;
    place elimination_[places];
};

// ---- nodes ---------------------------------------------------------------------------------------------------------------

template <class Cells, class Env>
template <class Drop>
void treiber_stack<Cells, Env>::destroy(Drop drop) noexcept {
    // [dtor.head] relaxed: destruction is exclusive, whoever ordered it ordered all use before it.
    for (cell* node = pointer(head_.exchange(closed_bit, Env::relaxed)); node != nullptr;) {
        cell* next = node->next.get();
        drop(*node);
        Cells::end_element(*node);
        std::destroy_at(static_cast<header*>(node));
        // To the allocator, not to the pool: a destructor has no record to hand, and getting one may throw.
        home_.deallocate(node, block_bytes(), block_align);
        node = next;
    }
}

template <class Cells, class Env>
void treiber_stack<Cells, Env>::end(hook* self, record_type& runner) noexcept {
    const std::uint32_t block_class = self->block_class;
    const std::size_t bytes = self->bytes;
    std::destroy_at(self);
    // SAFETY: this reclaimer is only ever given to the hook at hook_offset of a node, whose element is gone.
    auto* block = reinterpret_cast<std::byte*>(self) - hook_offset;
    std::destroy_at(std::launder(reinterpret_cast<header*>(block)));
    runner.deallocate(block_class, block, bytes, block_align);
}

template <class Cells, class Env>
void treiber_stack<Cells, Env>::discard(record_type& record, cell* unused) noexcept {
    Cells::end_element(*unused);
    std::destroy_at(static_cast<header*>(unused));
    record.deallocate(block_class_, unused, block_bytes(), block_align);
}

template <class Cells, class Env>
void treiber_stack<Cells, Env>::retire(record_type& record, cell* popped) noexcept {
    Cells::end_element(*popped);
    // SAFETY: the element was moved out, its room is large enough (block_bytes) and nobody else looks at it (S2).
    auto* garbage = ::new (hook_at(popped)) hook(&end, static_cast<std::uint32_t>(block_bytes()), block_class_);
    home_.retire_unguarded(record, garbage);
}

// ---- push ----------------------------------------------------------------------------------------------------------------

template <class Cells, class Env>
template <class Put, class Undo>
conqueue_status treiber_stack<Cells, Env>::push(std::size_t count, Put put, Undo undo) {
    if (count == 0) {
        return conqueue_status::success;
    }
    record_type& record = home_.own_record();
    // A private chain, the last element first.
    cell* top = nullptr;
    cell* bottom = nullptr;
    const auto undo_all = [&]() noexcept {
        while (top != nullptr) {
            cell* next = top == bottom ? nullptr : top->next.get();
            undo(*top);
            discard(record, top);
            top = next;
        }
    };
    for (std::size_t i = 0; i < count; ++i) {
        void* block = nullptr;
        try {
            block = record.allocate(block_class_, block_bytes(), block_align);
        } catch (...) {
            undo_all();
            throw;
        }
        // SAFETY: a fresh block, large enough and aligned for a cell.
        cell* node = ::new (block) cell;
        put(*node);
        node->next.set(top);
        top = node;
        if (bottom == nullptr) {
            bottom = node;
        }
    }
    backoff<Env> wait;
    bool contended = false;
    // [push.head] relaxed: only the expected value of [push.link]; the node below is not looked into.
    std::uintptr_t head = head_.load(Env::relaxed);
    for (;;) {
        if ((head & closed_bit) != 0) {
            // [push.closed] acquire: pairs with [close.mark]
            //   Who is told `closed` sees what happened before the close.
            static_cast<void>(head_.load(Env::acquire));
            undo_all();
            return conqueue_status::closed;
        }
        bottom->next.set(pointer(head));
        // [push.link] release: pairs with [pop.head], [pop.check], [pop.again], [pop.unlink], [all.unlink]
        //   The nodes and their elements. Failure (relaxed): as [push.head].  // LP
        if (head_.compare_exchange_strong(head, number(top), Env::release, Env::relaxed)) [[likely]] {
            return conqueue_status::success;
        }
        // The first failure is a passing collision; from the second one on, an offer is the back-off.
        if (!contended || count != 1) {
            contended = true;
            wait();
        } else if (offer(record, top)) {
            return conqueue_status::success;
        }
        // [push.again] relaxed: as [push.head].
        head = head_.load(Env::relaxed);
    }
}

// ---- pop -----------------------------------------------------------------------------------------------------------------

template <class Cells, class Env>
template <class Take>
conqueue_status treiber_stack<Cells, Env>::pop(Take take) {
    record_type& record = home_.own_record();
    hazard<Env> held(record);
    backoff<Env> wait;
    // [pop.head] acquire: pairs with [push.link], [close.mark]
    //   As [pop.check]. // LP of `empty`, `closed`
    std::uintptr_t head = head_.load(Env::acquire);
    for (;;) {
        cell* node = pointer(head);
        if (node == nullptr) {
            return (head & closed_bit) != 0 ? conqueue_status::closed : conqueue_status::empty;
        }
        held.protect(hook_at(node));
        // [pop.check] acquire: pairs with [push.link], [close.mark]
        //   The node was built before it was linked; all changes of head_ are read-modify-writes, so every earlier
        //   push's release is in the same release sequence.  // LP of `empty`, `closed`
        if (const std::uintptr_t now = head_.load(Env::acquire); now != head) {
            head = now;
            continue;
        }
        const std::uintptr_t next = number(node->next.get()) | (head & closed_bit);
        // [pop.unlink] acquire: pairs with [push.link]
        //   As [pop.head]. Failure (relaxed): nothing of it is used.  // LP
        if (head_.compare_exchange_strong(head, next, Env::acquire, Env::relaxed)) [[likely]] {
            // owns: the element of `node`
            held.release(); // it is ours now; and the element's own code may use stacks
            take(*node);
            retire(record, node);
            return conqueue_status::success;
        }
        if (cell* offered = take_offer(record); offered != nullptr) {
            held.release();
            take(*offered);
            discard(record, offered); // it was never linked: nobody looks into it
            return conqueue_status::success;
        }
        wait();
        // [pop.again] acquire: pairs with [push.link], [close.mark]
        //   As [pop.head].
        head = head_.load(Env::acquire);
    }
}

template <class Cells, class Env>
template <class Take>
std::size_t treiber_stack<Cells, Env>::pop_all(Take take) {
    record_type& record = home_.own_record();
    // [all.unlink] acquire: pairs with [push.link]
    //   As [pop.head], for every node.  // LP
    cell* node = pointer(head_.fetch_and(closed_bit, Env::acquire));
    std::size_t count = 0;
    while (node != nullptr) {
        cell* next = node->next.get();
        take(*node);
        retire(record, node);
        node = next;
        ++count;
    }
    return count;
}

// ---- elimination -----------------------------------------------------------------------------------------------------------

/// Offers the node to a pop for a bounded time; true when one took it.
template <class Cells, class Env>
bool treiber_stack<Cells, Env>::offer(const record_type& record, cell* node) noexcept {
    atomic<std::uintptr_t>& word = elimination_[first_place(record)].word;
    std::uintptr_t seen = 0;
    // [offer.place] release: pairs with [eliminate.take]
    //   The node and its element. Failure (relaxed): the place is in use, or dead.
    if (!word.compare_exchange_strong(seen, number(node), Env::release, Env::relaxed)) {
        return false;
    }
    for (unsigned spins = 0; spins < Env::spin_before_abandon; ++spins) {
        Env::pause();
        // [offer.look] relaxed: only a hint; [offer.collect] decides.
        if (word.load(Env::relaxed) != number(node)) {
            break;
        }
    }
    // [offer.collect] relaxed: clears the place but for `dead`, and tells whether the node was taken. When it was not, the
    //   node is ours as before; when it was, we do not touch it any more.
    return (word.fetch_and(dead_bit, Env::relaxed) & taken_bit) != 0;
}

/// A node that a push offers, or null.
template <class Cells, class Env>
auto treiber_stack<Cells, Env>::take_offer(const record_type& record) noexcept -> cell* {
    for (std::size_t i = 0; i < places; ++i) {
        atomic<std::uintptr_t>& word = elimination_[(first_place(record) + i) % places].word;
        // [eliminate.look] relaxed: only the expected value of [eliminate.take].
        std::uintptr_t seen = word.load(Env::relaxed);
        if (seen == 0 || (seen & (taken_bit | dead_bit)) != 0) {
            continue;
        }
        // [eliminate.take] acquire: pairs with [offer.place]
        //   The node and its element: those of the offer that is there now, whatever `seen` was before. Failure (relaxed):
        //   withdrawn, taken or dead.  // LP of both, push first
        if (word.compare_exchange_strong(seen, seen | taken_bit, Env::acquire, Env::relaxed)) {
            return pointer(seen);
        }
    }
    return nullptr;
}

// ---- close and observers -----------------------------------------------------------------------------------------------

template <class Cells, class Env>
void treiber_stack<Cells, Env>::close() noexcept {
    for (place& each : elimination_) {
        // [close.kill] acq_rel: pairs with [close.mark]
        //   S4: no take succeeds here any more, before [close.mark].
        each.word.fetch_or(dead_bit, Env::acq_rel);
    }
    // [close.mark] acq_rel: pairs with [pop.head], [pop.check], [pop.again], [push.closed], [closed.head], [close.kill]
    //   Who reads the closed bit sees what happened before the close.  // LP
    head_.fetch_or(closed_bit, Env::acq_rel);
}

template <class Cells, class Env>
bool treiber_stack<Cells, Env>::is_closed() const noexcept {
    // [closed.head] acquire: pairs with [close.mark]
    //   What happened before the close is seen by who knows of it.
    return (head_.load(Env::acquire) & closed_bit) != 0;
}

template <class Cells, class Env>
bool treiber_stack<Cells, Env>::was_empty() const noexcept {
    // [empty.head] relaxed: a snapshot.
    return pointer(head_.load(Env::relaxed)) == nullptr;
}

} // namespace epoque::core
