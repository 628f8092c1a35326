// SPDX-License-Identifier: BSL-1.0
/// @file
/// `scheduled_env`: threads that run one at a time, on real memory, in an order that a seed decides. Every atomic operation
/// is a switch point. So an execution can be repeated exactly, AddressSanitizer watches it, and a thread can be frozen at
/// its k-th switch point for as long as one likes: the test of lock-freedom.
///
/// The threads are fibers of one operating system's thread (ucontext), so memory is sequentially consistent here; weak
/// memory is model_env's business.
#pragma once

#include "env_concept.hpp"
#include "wrapped_atomic.hpp"

#include "epoque/base/env.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <vector>

namespace epoque::stress {

/// How the scheduler chooses.
struct schedule {
    std::uint64_t seed = 1;
    std::uint32_t switch_every = 4; ///< at one in n switch points another thread goes on; 0: only when one ends
    /// Freezes the first thread at its n-th switch point (from 1), until all others have ended or wait. Until then it runs alone.
    std::uint64_t freeze_at = 0;
    /// Switch points without any completed operation (`scheduler::progress`) that mean: nobody gets anywhere.
    std::uint64_t patience = 1'000'000;
};

/// How an execution ended.
struct schedule_result {
    bool completed = false;  ///< all threads came to their ends
    bool froze = false;      ///< the first thread reached its freezing point
    std::uint64_t steps = 0; ///< switch points, of all threads
    std::string stuck{};     ///< who was running when patience ended
};

/// Runs bodies as threads of one execution. An execution that is stuck keeps its fibers' stacks; the test fails anyway.
class scheduler {
  public:
    static constexpr std::size_t max_threads = 8;

    static schedule_result run(const schedule& wanted, std::vector<std::function<void()>> bodies);

    /// The current thread: 0 outside of an execution, else 1 for the first body, and so on.
    static std::size_t current() noexcept;
    static void switch_point();
    /// Gives way: somebody else goes on, if there is one.
    static void yield();
    /// Gives way, and is no switch point: for the first thread, which otherwise runs alone until it freezes.
    static void hold_back();
    /// Sleeps until an unpark of this word. An execution in which nobody can run any more is stuck.
    static void park(const void* word);
    static void unpark(const void* word, std::uint32_t count);
    /// Tells that an operation has been completed.
    static void progress() noexcept;
};

struct scheduled_env {
    static constexpr std::memory_order relaxed = std_env::relaxed;
    static constexpr std::memory_order acquire = std_env::acquire;
    static constexpr std::memory_order release = std_env::release;
    static constexpr std::memory_order acq_rel = std_env::acq_rel;
    static constexpr std::memory_order seq_cst = std_env::seq_cst;

    struct hook {
        static void before() { scheduler::switch_point(); }
        static bool spurious() noexcept { return false; }
    };
    template <class T>
    using atomic = wrapped_atomic<T, hook>;
    template <class T>
    using var = std_env::var<T>;
    template <class T>
    using storage = std_env::storage<T>;

    /// Which of the two ways of base/barrier.hpp the next domain takes. With one thread at a time both are correct.
    static void set_asymmetric(bool wanted) noexcept;
    static bool asymmetric() noexcept;

    template <class V>
    static void store_release(bool fast, atomic<V>& own, V value) noexcept {
        if (fast) {
            own.store(value, release);
        } else {
            own.exchange(value, acq_rel);
        }
    }
    template <class V>
    static void store_light(bool fast, atomic<V>& own, V value) noexcept {
        if (fast) {
            own.store(value, release);
        } else {
            own.exchange(value, acq_rel);
        }
    }
    template <class V>
    static void light(bool fast, atomic<V>& own) noexcept {
        if (!fast) {
            own.fetch_add(0, acq_rel);
        }
    }
    template <class V>
    static V load_heavy(bool fast, atomic<V>& other) noexcept {
        return fast ? other.load(acquire) : other.fetch_add(0, acq_rel);
    }
    static bool heavy() {
        scheduler::switch_point();
        return asymmetric();
    }

    static void fork_point() noexcept {}

    static void pause() { scheduler::yield(); }
    static void relax(unsigned) { scheduler::yield(); }
    static std::int64_t now() noexcept { return std_env::now(); }
    /// The look at the word and the falling asleep are one step. A deadline is never far: who has one looks again in its turn.
    static void park(const atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t deadline) {
        if (word.load(relaxed) != expected) {
            return;
        }
        if (deadline == parking::never) {
            scheduler::park(&word);
        } else {
            scheduler::yield();
        }
    }
    static void unpark(const atomic<std::uint32_t>& word, std::uint32_t count) {
        scheduler::switch_point();
        scheduler::unpark(&word, count);
    }

    static local_record& local(std::uint64_t domain) noexcept;
    using fork_hook = std_env::fork_hook;
    static std::uint64_t open_domain(void* domain = nullptr, fork_hook after_fork = nullptr);
    static void close_domain(std::uint64_t domain) noexcept;
    static void* find_local(std::uint64_t domain) noexcept;
    static void remember_local(std::uint64_t domain, void* record, void (*at_end)(void*) noexcept);

    static void*& worker() noexcept;
    static std::uint64_t thread_number() noexcept { return scheduler::current(); }

    static void* allocate(std::size_t bytes, std::size_t align) { return std_env::allocate(bytes, align); }
    static void deallocate(void* block, std::size_t bytes, std::size_t align) noexcept {
        std_env::deallocate(block, bytes, align);
    }
    static constexpr bool pooling = false;

    static constexpr std::size_t segment_slots = 4;
    static constexpr unsigned spin_before_abandon = 1;
    static constexpr std::size_t spare_cells = 2;
    static constexpr unsigned spin_before_park = 1;
    static constexpr unsigned looks_before_park = 1;
    static constexpr std::int64_t advance_objects = 2;
    static constexpr std::int64_t advance_bytes = 256;
    static constexpr std::uint32_t table_chunk_slots = 4;
    static constexpr std::uint32_t table_chunks = 4;
};

static_assert(environment<scheduled_env>);

} // namespace epoque::stress
