// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: domain. Depends on: garbage.hpp, pool.hpp.
///
/// What a domain knows of one thread: whether it is pinned, and what it retired.
///
/// Who may touch the garbage lists and the magazine (they are plain memory):
///   R1  `owner` is `held` while a thread owns the record. It is taken by CAS and given back by store, so ownership, and
///       the garbage with it, passes from an exited thread to the next owner or to an adopter.
///   R2  The owner touches the lists only while `state` is not idle, that is pinned or `at_lists`, and only after it has read
///       `takeover == none` following the light barrier of that state.
///   R3  `domain::barrier()` touches the lists of a record that somebody else owns only between the store
///       `takeover = asked` + heavy barrier + (`state == idle` or `takeover == granted`), and its store
///       `takeover = none`.
///   R2 and R3 exclude each other by the barrier axioms: either the owner's state comes after the heavy barrier and it
///   reads `takeover != none`, or the one who asks reads a `state` that is not idle and waits. The owner never waits: what it
///   retires meanwhile goes to the domain's shared list `aside_`. The magazine and `due` are the owner's alone.
///   A thread at its lists is not pinned: asleep there it holds up nobody's epoch.
///   R4  A fork's child finds them as they were at some moment of each other thread (domain_fork.hpp).
#pragma once

#include "epoque/base/config.hpp"
#include "epoque/core/garbage.hpp"
#include "epoque/core/pool.hpp"

#include <cstddef>
#include <cstdint>

namespace epoque::core {

/// Bags of garbage by epoch. Four: an epoch's bag is reused four epochs later, when it is past its grace period.
inline constexpr std::size_t bags = 4;

/// How many epochs must pass after an object's stamp before nobody can hold it (docs/memory-model.md#grace).
inline constexpr std::uint64_t grace_epochs = 3;

/// Whether `domain::barrier()` wants or has the lists of a record that another thread owns.
enum takeover_state : std::uint32_t { none = 0, asked = 1, granted = 2 };

/// domain_stats::retired_meanwhile has so many numbers.
inline constexpr std::size_t wait_buckets = 24;

/// Who owns a record: nobody, a thread, or nobody although garbage waits in it (an adopter is welcome).
enum owner_state : std::uint32_t { vacant = 0, held = 1, orphaned = 2 };

/// What a thread can keep at a time without a pin (core/domain_keeps.hpp).
inline constexpr std::size_t keeps = 2;

/// The hazard of a thread whose operation runs inside another one of its own: it names both, and all else.
inline constexpr std::uintptr_t everything = 1;

/// How a hazard names an object that carries its hook here.
inline std::uintptr_t hazard_of(const void* hook) noexcept {
    // SAFETY: a number to compare; never made a pointer again.
    return reinterpret_cast<std::uintptr_t>(hook);
}

template <class Env>
struct alignas(interference_size) record {
    template <class T>
    using atomic = typename Env::template atomic<T>;

    static constexpr std::uint64_t idle = 0;
    static constexpr std::uint64_t at_lists = 2;
    static constexpr std::uint64_t pinned(std::uint64_t epoch) noexcept { return (epoch << 1) | 1; }
    static constexpr bool is_pinned(std::uint64_t state) noexcept { return (state & 1) != 0; }

    record(bool asymmetric, std::uint32_t which, core::pool<Env>& shared) noexcept
        : fast(asymmetric), number(which), pool(shared) {}

    /// A block from the domain's pool, by way of this thread's magazine; the owner only. Throws: bad_alloc.
    void* allocate(std::uint32_t block_class, std::size_t bytes, std::size_t align) {
        return pool.allocate(magazine, block_class, bytes, align);
    }
    void deallocate(std::uint32_t block_class, void* block, std::size_t bytes, std::size_t align) noexcept {
        pool.deallocate(magazine, block_class, block, bytes, align);
    }

    /// A counter with one writer, readable by all: no read-modify-write needed.
    class counter {
      public:
        void add(std::uint64_t n) noexcept {
            // [counter.add] relaxed: one writer at a time (the record's owner); readers only want a recent figure.
            value_.store(value_.load(Env::relaxed) + n, Env::relaxed);
        }
        void raise_to(std::uint64_t n) noexcept {
            // [counter.raise] relaxed: as [counter.add].
            if (value_.load(Env::relaxed) < n) {
                value_.store(n, Env::relaxed);
            }
        }
        std::uint64_t get() const noexcept {
            // [counter.get] relaxed: a statistic.
            return value_.load(Env::relaxed);
        }

      private:
        atomic<std::uint64_t> value_{0};
    };

    // The line of every operation: written by the owner, read by whoever advances the epoch.
    atomic<std::uint64_t> state{idle};
    atomic<std::uintptr_t> hazard{0};        // what the owner's operation looks into, or 0 (core/domain_hazards.hpp)
    atomic<std::uintptr_t> kept[keeps] = {}; // what it keeps for longer, or 0 (core/domain_keeps.hpp)
    std::uint64_t calm_state = idle;         // a pin with this state has no garbage to look after: see leave()
    std::uint32_t nest = 0;                  // guards of the owner
    const bool fast;                         // asymmetric barriers are available
    std::uint32_t number;    // which one of the domain's it is, from 0; another one when a fork left its owner behind
    bool reclaiming = false; // the owner runs deleters now; nested operations do not
    std::int64_t budget = 0; // bytes that may still be retired before the owner tries to advance the epoch

    // Garbage: R1 to R3.
    alignas(interference_size) garbage_list<Env> bag[bags];
    garbage_list<Env> expired;         // past its grace period
    garbage_list<Env> due;             // of these, what the owner is running the deleters of
    std::uint64_t running_objects = 0; // taken out of `due`, not yet counted as freed
    std::uint64_t running_bytes = 0;
    garbage_list<Env> limbo;                        // unlinked, perhaps somebody's hazard; not R2's: the owner's alone
    std::int64_t limbo_budget = Env::advance_bytes; // bytes that may still go there before the next pass
    std::uint64_t passes = 0;                       // through the limbo
    bool passing = false;
    typename core::pool<Env>::magazine magazine;
    core::pool<Env>& pool;

    counter limbo_size;
    counter retired_count;
    counter retired_size;
    counter freed_count;
    counter freed_size;
    counter most_freed_at_once;
    counter retired_meanwhile[wait_buckets]; // domain_stats::retired_meanwhile

    // Written rarely.
    alignas(interference_size) atomic<std::uint32_t> takeover{none};
    atomic<std::uint32_t> owner{held};
    atomic<std::uint32_t> has_garbage{0}; // the lists may not be empty: an adopter should look; only a hint
    atomic<std::uint32_t> running{0};     // the owner runs deleters out of the lists, or stamps what was put aside
    record* next = nullptr;               // constant once linked
    atomic<std::uint64_t> thread{0};      // the owner's number, as the operating system has it
    bool over_limit = false;              // the owner found more garbage than the domain allows

    // Written by whoever advances: how long this record's pin has blocked the epoch.
    atomic<std::uint64_t> blocking_state{idle};
    atomic<std::uint64_t> reported_state{idle};
    atomic<std::uint32_t> blocked_advances{0};
};

} // namespace epoque::core
