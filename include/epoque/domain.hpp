// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: domain. Depends on: base, core/{garbage,pool,record}.hpp.
///
/// Epoch-based reclamation: when may memory that was unlinked from a shared structure be freed?
///
///      thread records                      epoch 7
///     +--------------------------+
///     | state: pinned at 7       |   bags:  [5: a b] [6: c] [7: d e] [4: -]      expired: x y z
///     +--------------------------+            |                                     |
///     | state: idle              |            +-- all readers gone at epoch 8       +-- each unpin frees two
///     +--------------------------+
///
/// Invariants (proof: docs/memory-model.md#grace):
///   D1  The epoch goes from e to e+1 only after a heavy barrier that followed the reading of e, and a scan that found
///       each record idle or pinned at e.
///   D2  An object is stamped with the epoch read after its unlinking, with a light barrier between the two.
///   D3  An object stamped e is freed by a thread that has read an epoch >= e+3 (acquire).
///   D1 to D3 imply: nobody who could still reach an object is inside its guard when the object is freed. Two epochs
///   are not enough: a reader that pinned at e+1 may have read the link before it was cut.
///   D4  Garbage lists are touched by one thread at a time (core/record.hpp, R1 to R3).
///
/// Progress: pin and unpin are wait-free after a thread's first (which allocates a record), but for the deleters that an
/// unpin runs, 2 to 8 of them. retire is lock-free modulo the kernel's membarrier lock, which it meets once in 512 calls.
/// A thread that stays inside a guard stops the reclamation, not the operations, of all others: see `stats()`.
///
/// Sources: Fraser, Practical lock-freedom, 2004 (epochs). Dice, Herlihy, Kogan, Fast non-intrusive memory reclamation,
/// 2016 (asymmetric barriers). Kim, Brown, Singh, Are your epochs too epic?, PPoPP 2024 (amortised frees).
/// P2545 / C++26 <rcu> (vocabulary).
#pragma once

#include "epoque/base/config.hpp"
#include "epoque/base/env.hpp"
#include "epoque/base/error.hpp"
#include "epoque/core/record.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <new>
#include <system_error>
#include <type_traits>
#include <utility>

namespace epoque {

namespace core {
class address_filter;
template <class Env>
class keep;
} // namespace core

/// A domain's figures at about the time of the call. Counts are since the domain was made, sizes in bytes. While threads run,
/// `pending_*` and the peak err, rather to too little garbage; what one pass frees counts as pending until its end.
struct domain_stats {
    std::uint64_t epoch = 0;           ///< the current one; starts at 1
    std::uint64_t threads = 0;         ///< records in use
    std::uint64_t pinned = 0;          ///< of these, inside a guard
    std::uint64_t oldest_pin_age = 0;  ///< epochs that the oldest pin lags behind; above 0 it blocks the next advance
    std::uint64_t retired_objects = 0; ///< so far
    std::uint64_t freed_objects = 0;   ///< so far
    std::uint64_t pending_objects = 0; ///< retired, not yet freed
    std::uint64_t pending_bytes = 0;   ///< the same in bytes: the garbage
    std::uint64_t peak_pending_bytes = 0; ///< highest seen by an advance of the epoch
    std::uint64_t most_freed_at_once = 0; ///< deleters that one call ran, at most
    std::uint64_t advances = 0;           ///< epochs so far
    std::uint64_t blocked_advances = 0;   ///< attempts that found a thread pinned at an older epoch
    std::uint64_t heavy_failures = 0;     ///< heavy barriers that did not take place
    std::uint64_t lost_objects =
        0; ///< retired, and in the hands of a thread that a fork left behind: never freed, or just freed
    std::uint64_t stalls = 0; ///< guards that were reported to domain_options::on_stalled
    /// How long garbage waited: [i] counts the freed objects after which their thread had retired at least 2^(i-1) and fewer
    /// than 2^i more ([0]: none). In objects and not in epochs, since a stalled reader stops those, too. Exact for a thread
    /// that frees its own garbage; what barrier() frees is counted with the longest wait of its batch.
    std::array<std::uint64_t, core::wait_buckets> retired_meanwhile{};
    bool asymmetric = false; ///< barriers by membarrier; otherwise the fallback
};

/// What `domain_options::on_stalled` is told.
struct stall {
    enum class cause : std::uint8_t {
        old_guard,        ///< a guard has blocked `blocked_advances` advances
        too_much_garbage, ///< more than max_pending_bytes wait, and the calling thread is in no position to wait
    };
    cause why = cause::old_guard;
    std::uint64_t thread = 0;           ///< whose guard it is (gettid), or who retires
    std::uint64_t epoch = 0;            ///< the domain's
    std::uint64_t pinned_epoch = 0;     ///< the guard's; 0 for too_much_garbage
    std::uint64_t blocked_advances = 0; ///< by this guard
    std::uint64_t pending_bytes = 0;    ///< garbage, about
};

/// How a domain treats garbage that does not go away, and where its memory comes from.
///
///     epoque::domain d({.max_pending_bytes = 64 << 20, .on_stalled = &log_stall});
struct domain_options {
    /// Above this much garbage retire() waits until it has been freed; 0: no limit. See domain::retire.
    std::uint64_t max_pending_bytes = 0;
    /// A guard that blocks this many advances of the epoch is reported, once.
    std::uint32_t stalled_after = 64;
    /// Called by the thread that finds the stall, which may be inside any operation of this domain and of its structures.
    /// It may do what a deleter may: use structures, retire; not synchronize() or barrier(). Holds no lock of the domain,
    /// but the turn of barrier() where that finds the stall.
    void (*on_stalled)(const stall& what, void* context) noexcept = nullptr;
    void* context = nullptr; ///< handed to on_stalled
    /// Where records, pooled blocks, segments, nodes, rings and cells come from; thread-safe, outlives the domain. Null: operator new.
    /// It may use other domains and their structures. Used inside of itself, this one gives a thread two records.
    std::pmr::memory_resource* memory = nullptr;
};

/// A set of threads that read shared memory inside guards, and the garbage that waits for them.
///
/// Use it when:      several lock-free structures or your own pointers share readers; one domain per process is enough.
/// Use instead:      `std::shared_ptr` when a reader may hold an object for long.
/// Elements:         retire(p) takes any complete object; the deleter must not throw.
/// Memory:           n threads that retire and no guard that stays: about 5 * n * 256 KiB wait at most, where an object of s
///                   bytes counts max(s, 512). A guard that stays adds all that is retired meanwhile;
///                   domain_options::max_pending_bytes makes retire() wait instead. A thread asleep inside an operation of this
///                   library is no guard; what it adds is bounded (docs/memory-model.md#garbage). What a thread retired is
///                   freed when that thread retires again or leaves a guard, by barrier(), or after the thread's end by others.
/// Concurrency:      any thread, every member but the destructor.
/// Fork:             the child goes on with the calling thread, guards and all; the other threads' guards end and their garbage
///                   is adopted. An object that another thread had in its hands (an element it was moving, a deleter that it
///                   ran, what was on its way between two lists) is lost to the child. fork() only: _Fork, clone and vfork
///                   tell nobody. A fork handler that was registered before the process's first domain must not use one.
/// Models:           Lockable (lock pins, unlock unpins), as std::rcu_domain.
///
///     epoque::domain& d = epoque::default_domain();
///     {
///         auto guard = d.pin();
///         use(shared.load(std::memory_order_acquire));     // cannot be freed while the guard lives
///     }
///     d.retire(shared.exchange(fresh, std::memory_order_acq_rel));
template <class Env = std_env>
class basic_domain {
    using record_type = core::record<Env>;

  public:
    using hook = core::retired<Env>;

    /// The thread is pinned while one of these lives. Guards nest. Not copyable: it belongs to one thread and scope.
    class [[nodiscard]] guard {
      public:
        guard(const guard&) = delete;
        guard& operator=(const guard&) = delete;
        /// Progress: wait-free, but for 2 to 8 deferred deleters that the outermost one may run.
        ~guard() { domain_.leave(record_); }

        // For structures of this library: the record spares them a second look-up.
        record_type& record() const noexcept { return record_; }

      private:
        friend class basic_domain;
        guard(basic_domain& domain, record_type& record) noexcept : domain_(domain), record_(record) {
            domain_.enter(record_);
        }
        basic_domain& domain_;
        record_type& record_;
    };

    /// Throws: bad_alloc, system_error (the platform has no thread-exit hook left).
    basic_domain() : basic_domain(domain_options()) {}
    explicit basic_domain(const domain_options& options);
    basic_domain(const basic_domain&) = delete;
    basic_domain& operator=(const basic_domain&) = delete;
    /// Runs all deleters that still wait. Precondition: no guard of this domain lives and no structure uses it;
    /// a live guard is a `misuse`.
    ~basic_domain();

    /// Enters a read-side region.
    ///
    /// Returns:         the guard that ends it.
    /// Progress:        wait-free; a thread's first call allocates its record.
    /// Linearizes at:   none (it is no operation on a value).
    /// Synchronization: nothing that was unlinked after this call is freed before the guard ends.
    /// Complexity:      O(1), one store.
    /// Throws:          bad_alloc, on a thread's first call only.
    guard pin() { return guard(*this, local()); }

    /// Lockable: pin without an object. `unlock` ends the latest `lock`. As pin, and ~guard.
    void lock() { enter(local()); }
    bool try_lock() {
        lock();
        return true;
    }
    void unlock() {
        record_type& record = local();
        if (record.nest == 0) {
            misuse("unlock() without lock(): the thread is in no guard of this domain. Unlock as often as you lock.");
        }
        leave(record);
    }

    /// Frees `object` by `deleter(object)` once no guard that existed at this call does any longer.
    ///
    /// Precondition:    no reader can reach `object` any more (it was unlinked before this call).
    /// Progress:        lock-free modulo membarrier; may run up to 8 deleters of earlier calls.
    /// Synchronization: the end of every guard that could reach `object` happens before its deleter.
    /// Complexity:      O(1), one small allocation; every 512th call or 256 KiB tries to advance the epoch, O(threads).
    /// Throws:          bad_alloc; `object` is then still the caller's.
    /// Limit:           with domain_options::max_pending_bytes it may find that more waits. Then, if the thread is in no
    ///                  guard of this domain, view or deleter, it does what barrier() does before it returns: not lock-free,
    ///                  and a deadlock if it holds what another guard's end waits for. Otherwise it reports through
    ///                  on_stalled, once until the garbage is below the limit, and goes on. It looks after each
    ///                  max_pending_bytes / 16 (at most 256 KiB, or 512 objects) that its thread retired. The structures'
    ///                  own operations never wait; they report.
    template <class T, class Deleter = std::default_delete<T>>
    void retire(T* object, Deleter deleter = Deleter());

    /// Waits until every guard that exists at this call has ended.
    ///
    /// Precondition:    the calling thread is not inside a guard of this domain or a deleter (otherwise `misuse`).
    /// Progress:        blocking, by nature.
    /// Throws:          bad_alloc; system_error when the kernel has begun to refuse membarrier.
    void synchronize();

    /// Waits until everything retired before this call has been freed, also what sleeping and exited threads retired. It does not
    /// wait for views of snapshots and uses of handles: what one keeps is freed after its end. (Nor is freed
    /// what stacks, queues and deques keep for reuse by a thread that lives, 512 blocks or 256 KiB at most: no deleter is among it, but
    /// code of the structure's; end the domain before you unload that.)
    ///
    /// Precondition:    as synchronize.
    /// Progress:        blocking, by nature. No deleter may wait for a thread that is in barrier().
    /// Throws:          as synchronize.
    void barrier();

    /// Whether the calling thread may call synchronize() and barrier(): it is inside of no guard, view, deleter or element's code.
    /// For interfaces that answer instead of ending the program. Progress: wait-free. Throws: bad_alloc, on a thread's first use.
    bool may_wait() { return may_wait(local()); }

    /// Gives pooled memory back to the allocator: the depot's, the caller's and that of exited threads at once, and what
    /// other threads keep (per size two bundles of 16 KiB, or one block where that is larger) at the end of their next
    /// guard, when they next retire something, when they next need a segment, or when they next free nodes or segments that wait for reuse. A thread that never
    /// operates again keeps that much until it ends and somebody trims, or the domain ends.
    ///
    /// Progress:        wait-free but for the allocator; one attempt to advance the epoch.
    /// Complexity:      O(blocks given back + threads).
    /// Throws:          nothing.
    void trim() noexcept;

    /// A look at all records. Progress: wait-free. Complexity: O(threads that ever were at the same time).
    domain_stats stats() const noexcept;

    // ---- for the structures of this library --------------------------------------------------------------------------

    /// Retires an object that carries its hook. Precondition: `record` is the calling thread's. May run up to 8 deleters of
    /// earlier calls. Never waits.
    void retire_hook(record_type& record, hook* object) noexcept {
        put(record, object);
        if (record.over_limit) [[unlikely]] {
            report_garbage(record);
        }
    }
    /// Retires an object that only hazards keep, no guards (core/domain_hazards.hpp). Precondition: `record` is the calling
    /// thread's. Its reclaimer calls no user's code.
    void retire_unguarded(record_type& record, hook* object) noexcept;

    /// As retire, for an object that carries its hook. Throws: bad_alloc, on a thread's first call only.
    void retire_with_hook(hook* object);

    /// For reclaimers: whether somebody keeps the object, which is then retired once more (core/domain_keeps.hpp).
    bool retired_again(record_type& runner, hook* object) noexcept;

    /// For a fork's child: forgets every thread but the calling one, whose record here is `mine`, null if it has none. The
    /// calling thread's guards go on, the others' end; garbage of the others waits for whoever adopts it.
    void continue_in_child(record_type* mine) noexcept;

    /// Memory from the domain's allocator, unpooled. Throws: bad_alloc. `deallocate` also takes a block of record::allocate.
    void* allocate(std::size_t bytes, std::size_t align) { return pool_.allocate(bytes, align); }
    void deallocate(void* block, std::size_t bytes, std::size_t align) noexcept {
        pool_.deallocate(block, bytes, align);
    }

    /// The calling thread's record, its own until it ends. Throws: bad_alloc, on a thread's first use of the domain.
    record_type& own_record() { return local(); }

    /// The pool class for blocks of this shape; see record::allocate.
    std::uint32_t pool_class(std::size_t bytes, std::size_t align) noexcept { return pool_.class_of(bytes, align); }

  private:
    friend class core::keep<Env>;

    template <class T>
    using atomic = typename Env::template atomic<T>;
    using list = core::garbage_list<Env>;

    record_type& local() {
        const local_record& cached = Env::local(id_);
        if (cached.owner == id_) [[likely]] {
            return *static_cast<record_type*>(cached.record);
        }
        return attach();
    }
    EPOQUE_COLD record_type& attach();
    record_type* acquire_record();
    static void release_record(void* record) noexcept;

    void enter(record_type& record) noexcept;
    void leave(record_type& record) noexcept;
    void leave_quietly(record_type& record) noexcept;
    EPOQUE_NOINLINE void leave_with_garbage(record_type& record) noexcept;

    class list_access;
    bool lists_are_mine(record_type& record) noexcept;
    list& bag_of(record_type& record, std::uint64_t epoch) noexcept;
    void sweep(record_type& record, std::uint64_t epoch) noexcept;
    void take_due(record_type& record, std::uint64_t epoch) noexcept;
    void put(record_type& record, hook* object) noexcept;
    void put_again(record_type& record, hook* object) noexcept;
    void put_aside(hook* object) noexcept;
    void pay(record_type& record) noexcept;
    void run(record_type& record) noexcept;
    static void after_fork(void* self, void* record) noexcept;
    void forget_thread(record_type& record) noexcept;

    void try_advance(record_type& record) noexcept;
    bool advance_from(record_type& mine, std::uint64_t epoch) noexcept;
    bool meet_all() noexcept;
    void collect_strays(record_type& record) noexcept;
    void take_aside(record_type& record) noexcept;
    void wait_for_grace(record_type& record);
    void take_all(record_type& mine, list& due);
    void take_over(record_type& mine, record_type& record, list& due);
    void refuse_without_barriers(std::uint64_t before) const;
    bool own_for_a_moment(record_type& record, std::uint32_t expected) noexcept;
    void disown(record_type& record) noexcept;
    void take_expired(record_type& record, list& due) noexcept;
    bool may_wait(const record_type& record) const noexcept;
    void refuse(const record_type& record, const char* what) const noexcept;
    static bool runs_inside_ours(const record_type& record) noexcept;
    static bool keeps_something(const record_type& record) noexcept;

    /// barrier()'s: one thread has it.
    class turn {
      public:
        turn(basic_domain& home, record_type& mine) noexcept;
        turn(const turn&) = delete;
        turn& operator=(const turn&) = delete;
        ~turn();

      private:
        basic_domain& domain_;
    };
    void free_all(record_type& mine);
    void wait_for_runners() noexcept;
    EPOQUE_NOINLINE void free_unprotected(record_type& record) noexcept;
    void take_in_limbos(record_type& mine, std::uint64_t most) noexcept;
    void collect_limbos(record_type& mine) noexcept;
    bool collect_hazards(core::address_filter& found) noexcept;
    bool is_kept(const void* object) noexcept;

    static void count_waits(record_type& runner, const record_type& from, std::uint64_t objects) noexcept;
    std::uint64_t pending_bytes() const noexcept;
    EPOQUE_COLD void note_blocked(record_type& mine, record_type& other, std::uint64_t state,
                                  std::uint64_t epoch) noexcept;
    EPOQUE_COLD void report(record_type& mine, const stall& what) noexcept;
    EPOQUE_COLD void report_garbage(record_type& mine) noexcept;
    void check_limit(record_type& mine) noexcept;
    EPOQUE_COLD void relieve(record_type& mine) noexcept;

    // Read by every operation, written once in a while.
    alignas(interference_size) atomic<std::uint64_t> epoch_{1};
    const bool fast_;
    std::uint64_t id_ = 0;                  // constant, once constructed
    atomic<record_type*> records_{nullptr}; // all there ever were; newest first; never shrinks

    // Written by whoever advances or waits.
    alignas(interference_size) atomic<std::uint32_t> contenders_{0}; // threads that tried to advance since one began
    atomic<record_type*> barrier_turn_{nullptr};                     // of the thread that is in barrier()
    atomic<std::uint32_t> records_made_{0};                          // numbers given to records
    atomic<std::uint64_t> peak_pending_bytes_{0};
    atomic<std::uint64_t> blocked_advances_{0};
    atomic<std::uint64_t> heavy_failures_{0};
    atomic<std::uint64_t> adoptions_{0};    // changes when garbage moves from an exited thread's record to another's
    atomic<hook*> aside_{nullptr};          // retired while barrier() held its thread's lists; not stamped yet
    atomic<std::uint64_t> lost_objects_{0}; // written by a fork's child
    atomic<std::uint64_t> lost_bytes_{0};

    atomic<std::uint64_t> stalls_{0};
    atomic<std::uint32_t> over_limit_reported_{0};

    const domain_options options_;
    const std::int64_t step_; // bytes that a thread retires between two attempts to advance the epoch
    core::pool<Env> pool_;
};

/// Real threads.
using domain = basic_domain<std_env>;

/// The process's domain, made on first use and never destroyed, so that it outlives every static object.
domain& default_domain();

} // namespace epoque

#include "epoque/core/domain_fork.hpp"
#include "epoque/core/domain_hazards.hpp"
#include "epoque/core/domain_impl.hpp"
#include "epoque/core/domain_keeps.hpp"
#include "epoque/core/domain_limits.hpp"
