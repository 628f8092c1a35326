// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: base. Depends on: config.hpp, barrier.hpp, parking.hpp.
///
/// `std_env`, the one seam. Every structure is `template <..., class Env = std_env>` and takes from its Env: atomics,
/// shared plain fields, element storage, asymmetric barriers, pauses, the thread's record, parking and memory; nothing
/// else is abstracted. The model checker, the deterministic scheduler and the fault injector are other Envs that
/// compile the same headers (stress/env/). `std_env::atomic` *is* `std::atomic`: no wrapper, no cost.
///
/// Rules for a structure: no operators on atomics, every order spelled out (both of them on a CAS), every atomic call
/// tagged (ci/check_orderings), no std::atomic, new, delete, thread_local or sleep of its own.
#pragma once

#include "epoque/base/barrier.hpp"
#include "epoque/base/config.hpp"
#include "epoque/base/parking.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

namespace epoque {

/// What a thread remembers about one domain: its record there. `owner` is the domain's id, 0 for none.
struct local_record {
    std::uint64_t owner = 0;
    void* record = nullptr;
};

namespace detail {

inline constexpr std::size_t local_records = 4;

// Direct-mapped by domain id; the full list of this thread's records is in src/registry.cpp.
inline constinit thread_local local_record local_cache[local_records] EPOQUE_TLS_INITIAL_EXEC = {};

inline constinit thread_local void* worker EPOQUE_TLS_INITIAL_EXEC = nullptr;

} // namespace detail

/// Real threads on real memory: what ships.
struct std_env {
    static constexpr std::memory_order relaxed = std::memory_order_relaxed;
    static constexpr std::memory_order acquire = std::memory_order_acquire;
    static constexpr std::memory_order release = std::memory_order_release;
    static constexpr std::memory_order acq_rel = std::memory_order_acq_rel;
    static constexpr std::memory_order seq_cst = std::memory_order_seq_cst;

    template <class T>
    using atomic = std::atomic<T>;

    /// A plain field that several threads touch, ordered by atomics elsewhere. Checkers see each access.
    template <class T>
    class var {
      public:
        constexpr var() noexcept = default;
        constexpr explicit var(T value) noexcept : value_(value) {}
        constexpr T get() const noexcept { return value_; }
        constexpr void set(T value) noexcept { value_ = value; }

      private:
        T value_{};
    };

    /// Room for one element inside a slot or node. Whoever owns the slot by the protocol may call these.
    template <class T>
    class storage {
      public:
        template <class... Args>
        void construct(Args&&... args) noexcept(std::is_nothrow_constructible_v<T, Args...>) {
            // SAFETY: bytes_ is sized and aligned for T, and the protocol says that no T lives here now.
            ::new (static_cast<void*>(bytes_)) T(std::forward<Args>(args)...);
        }
        /// Moves the element out and destroys what is left of it.
        T take() noexcept {
            T value(std::move(*get()));
            destroy();
            return value;
        }
        void destroy() noexcept { std::destroy_at(get()); }
        // SAFETY: only called between construct and destroy, where a T lives in bytes_.
        T* get() noexcept { return std::launder(reinterpret_cast<T*>(bytes_)); }

      private:
        alignas(T) std::byte bytes_[sizeof(T)]; // NOLINT(bugprone-sizeof-expression): also where T is a pointer
    };

    // ---- asymmetric barriers -------------------------------------------------------------------------------------
    // `own` is a word that only the calling thread writes; the thread at the heavy side reads it by `load_heavy`.
    // `fast` is asymmetric(), kept by the caller next to the data it is about to touch.

    static bool asymmetric() noexcept { return barrier::asymmetric(); }

    /// Publishes `value` in `own`, then the light side of a barrier.
    template <class V>
    static void store_light(bool fast, std::atomic<V>& own, V value) noexcept {
        if (fast) [[likely]] {
            // [store_light.store] release: pairs with [load_heavy.load]
            //   What the caller did before the store is seen by whoever reads `value`; the order against the caller's
            //   later loads is the light barrier's.
            own.store(value, release);
            barrier::light();
        } else {
            // [store_light.rmw] acq_rel: pairs with [load_heavy.rmw]
            //   Both are read-modify-writes of one word. If ours is first, the other reads our value and what came
            //   before it; if the other is first, we synchronize with it and see what its thread did before.
            own.exchange(value, acq_rel);
        }
    }

    /// Changes `own` without a barrier, with release. Without barriers every write of such a word is a read-modify-write, so
    /// that of any two of them the first synchronizes with the second (docs/memory-model.md#barriers).
    template <class V>
    static void store_release(bool fast, std::atomic<V>& own, V value) noexcept {
        if (fast) [[likely]] {
            // [store_release.store] release: pairs with [load_heavy.load]
            //   As [store_light.store].
            own.store(value, release);
        } else {
            // [store_release.rmw] acq_rel: pairs with [load_heavy.rmw]
            //   As [store_light.rmw].
            own.exchange(value, acq_rel);
        }
    }

    /// The light side of a barrier alone.
    template <class V>
    static void light(bool fast, std::atomic<V>& own) noexcept {
        if (fast) [[likely]] {
            barrier::light();
        } else {
            // [light.rmw] acq_rel: pairs with [load_heavy.rmw]
            //   As [store_light.rmw], with the value left as it is.
            own.fetch_add(0, acq_rel);
        }
    }

    /// Reads, at the heavy side, a word that others publish by `store_light`. Without barriers the read itself is the
    /// read-modify-write that meets theirs.
    template <class V>
    static V load_heavy(bool fast, std::atomic<V>& other) noexcept {
        // [load_heavy.load] acquire: pairs with [store_light.store], [store_release.store]
        //   What the other thread did before it stored the value that we read.
        // [load_heavy.rmw] acq_rel: pairs with [store_light.rmw], [store_release.rmw], [light.rmw]
        //   As [store_light.rmw], seen from the other side.
        return fast ? other.load(acquire) : other.fetch_add(0, acq_rel);
    }

    /// The heavy side. False: it did not happen.
    static bool heavy() noexcept { return barrier::heavy(); }

    /// Memory that a fork copies here is as the source says up to here: what this thread stores before it is stored before
    /// what it stores after it. A compiler barrier, no instruction (docs/memory-model.md#fork).
    static void fork_point() noexcept { barrier::light(); }

    // ---- time ------------------------------------------------------------------------------------------------

    static void pause() noexcept { EPOQUE_CPU_RELAX(); }
    /// For waits that may be long (synchronize, barrier): the `round`-th look found nothing yet. Pauses, then yields,
    /// then sleeps for 50 us. src/parking.cpp.
    static void relax(unsigned round) noexcept;

    /// Nanoseconds on the clock of park's deadlines.
    static std::int64_t now() noexcept { return parking::now(); }
    /// Sleeps while `word` is `expected`, until an unpark or the deadline (parking::never: none); may return early.
    static void park(const std::atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t deadline) noexcept {
        parking::wait(word, expected, deadline);
    }
    /// Wakes up to `count` threads that are parked on `word`, of which only the address is used.
    static void unpark(const std::atomic<std::uint32_t>& word, std::uint32_t count) noexcept {
        parking::wake(word, count);
    }

    // ---- the thread's record in a domain ---------------------------------------------------------------------

    /// This thread's cache line for `domain`; the caller compares `owner`.
    static local_record& local(std::uint64_t domain) noexcept {
        return detail::local_cache[domain % detail::local_records];
    }
    /// What a fork's child calls for each domain that lives, with its object and the calling thread's record in it or null,
    /// while no other thread exists. Allocates and frees nothing.
    using fork_hook = void (*)(void* domain, void* record) noexcept;

    /// The rest is rare and lives in src/registry.cpp.
    /// Throws: bad_alloc, system_error.
    static std::uint64_t open_domain(void* domain = nullptr, fork_hook after_fork = nullptr);
    static void close_domain(std::uint64_t domain) noexcept;
    static void* find_local(std::uint64_t domain) noexcept;
    /// Remembers `record` until the thread ends or the domain closes; at the thread's end calls `at_end(record)`.
    /// Throws: bad_alloc; nothing is remembered then.
    static void remember_local(std::uint64_t domain, void* record, void (*at_end)(void*) noexcept);

    /// What the calling thread works for, where it is a task pool's: a pointer of the thread's own.
    static void*& worker() noexcept { return detail::worker; }

    /// The operating system's number of the calling thread, for messages.
    static std::uint64_t thread_number() noexcept;

    // ---- memory ----------------------------------------------------------------------------------------------

    /// Throws: bad_alloc. The aligned operator new is the slower one, and only called where it is needed.
    static void* allocate(std::size_t bytes, std::size_t align) {
        return align <= plain_alignment ? ::operator new(bytes) : ::operator new(bytes, std::align_val_t{align});
    }
    static void deallocate(void* block, std::size_t bytes, std::size_t align) noexcept {
        if (align <= plain_alignment) {
            ::operator delete(block, bytes);
        } else {
            ::operator delete(block, bytes, std::align_val_t{align});
        }
    }
    /// Whether the domain keeps freed blocks for reuse. Checkers that watch the heap say no.
    static constexpr bool pooling = true;

    static constexpr std::size_t plain_alignment = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

    // ---- constants that shrink under a checker ---------------------------------------------------------------

    static constexpr std::size_t segment_slots = 1024;  ///< slots of a queue's segment, a power of two
    static constexpr unsigned spin_before_abandon = 32; ///< pauses; 32 measured the throughput of 256
    static constexpr std::size_t spare_cells = 32;      ///< of a bounded queue, for threads; more are made when needed
    static constexpr unsigned spin_before_park = 32;    ///< pauses, less than a microsecond
    static constexpr unsigned looks_before_park = 32;   ///< of a task pool's idle thread, with a yield after each
    /// A thread tries to advance the epoch when it has retired this many objects, or this many bytes, or a mixture.
    static constexpr std::int64_t advance_objects = 512;
    static constexpr std::int64_t advance_bytes = std::int64_t{1} << 18;
    static constexpr std::uint32_t table_chunk_slots = 1024; ///< slots of an object_table's chunk
    static constexpr std::uint32_t table_chunks = 16384;     ///< and how many chunks at most
};

} // namespace epoque
