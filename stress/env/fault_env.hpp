// SPDX-License-Identifier: BSL-1.0
/// @file
/// `fault_env`: std_env on real threads, where things go wrong on purpose. Delays at atomic operations (a thread that is
/// interrupted at the worst moment), weak CASes that fail for no reason, memory that runs out, membarrier that is missing
/// or refused. Seeded, so that a run can be had again (as far as real threads allow).
#pragma once

#include "env_concept.hpp"
#include "wrapped_atomic.hpp"

#include "epoque/base/env.hpp"

#include <atomic>
#include <cstdint>
#include <ctime>
#include <new>

#include <sched.h>

namespace epoque::stress {

/// What goes wrong. Rates are "one in n operations"; 0 is never.
struct faults {
    std::uint64_t seed = 1;
    std::uint32_t pause_every = 0; ///< a few pauses
    std::uint32_t yield_every = 0; ///< the processor goes to somebody else
    std::uint32_t sleep_every = 0; ///< 50 us
    std::uint32_t spurious_every = 0;
    std::int64_t failing_allocation =
        0;                 ///< the n-th allocation from now, from 1, throws bad_alloc; so do those after it
    bool fallback = false; ///< as if the kernel had no membarrier; before a domain is made
    std::int64_t refuse_heavy_after = -1; ///< heavy barriers that still succeed; -1: all
};

/// The plan in force, for all threads. Set it while no thread operates.
class fault_plan {
  public:
    static void set(const faults& wanted) noexcept {
        plan() = wanted;
        allocations().store(0, std::memory_order_relaxed);
        heavies().store(0, std::memory_order_relaxed);
        epoch().fetch_add(1, std::memory_order_relaxed);
    }
    static const faults& get() noexcept { return plan(); }

    static void before_atomic() noexcept {
        const faults& now = plan();
        if (hits(now.pause_every)) {
            for (int i = 0; i < 40; ++i) {
                std_env::pause();
            }
        }
        if (hits(now.yield_every)) {
            ::sched_yield();
        }
        if (hits(now.sleep_every)) {
            const timespec nap{0, 50'000};
            ::nanosleep(&nap, nullptr);
        }
    }
    static bool spurious() noexcept { return hits(plan().spurious_every); }
    static bool allocation_fails() noexcept {
        const std::int64_t failing = plan().failing_allocation;
        return failing != 0 && allocations().fetch_add(1, std::memory_order_relaxed) + 1 >= failing;
    }
    static std::int64_t allocations_so_far() noexcept { return allocations().load(std::memory_order_relaxed); }
    static bool heavy_refused() noexcept {
        const std::int64_t still = plan().refuse_heavy_after;
        return still >= 0 && heavies().fetch_add(1, std::memory_order_relaxed) >= still;
    }

  private:
    static faults& plan() noexcept {
        static faults instance;
        return instance;
    }
    static std::atomic<std::int64_t>& allocations() noexcept {
        static std::atomic<std::int64_t> count{0};
        return count;
    }
    static std::atomic<std::int64_t>& heavies() noexcept {
        static std::atomic<std::int64_t> count{0};
        return count;
    }
    static std::atomic<std::uint64_t>& epoch() noexcept {
        static std::atomic<std::uint64_t> count{1};
        return count;
    }

    // xorshift64, seeded anew in each thread after each set().
    static bool hits(std::uint32_t every) noexcept {
        struct generator {
            std::uint64_t epoch = 0;
            std::uint64_t bits = 0;
        };
        static thread_local generator mine;
        static std::atomic<std::uint64_t> threads{0};
        if (every == 0) {
            return false;
        }
        if (const std::uint64_t now = epoch().load(std::memory_order_relaxed); mine.epoch != now) {
            mine.epoch = now;
            mine.bits = (plan().seed + threads.fetch_add(1, std::memory_order_relaxed)) * 0x9E3779B97F4A7C15U | 1;
        }
        mine.bits ^= mine.bits << 13;
        mine.bits ^= mine.bits >> 7;
        mine.bits ^= mine.bits << 17;
        return (mine.bits >> 11) % every == 0;
    }
};

struct fault_env {
    static constexpr std::memory_order relaxed = std_env::relaxed;
    static constexpr std::memory_order acquire = std_env::acquire;
    static constexpr std::memory_order release = std_env::release;
    static constexpr std::memory_order acq_rel = std_env::acq_rel;
    static constexpr std::memory_order seq_cst = std_env::seq_cst;

    struct hook {
        static void before() noexcept { fault_plan::before_atomic(); }
        static bool spurious() noexcept { return fault_plan::spurious(); }
    };
    template <class T>
    using atomic = wrapped_atomic<T, hook>;
    template <class T>
    using var = std_env::var<T>;
    template <class T>
    using storage = std_env::storage<T>;

    static bool asymmetric() noexcept { return !fault_plan::get().fallback && std_env::asymmetric(); }

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
            barrier::light();
        } else {
            own.exchange(value, acq_rel);
        }
    }
    template <class V>
    static void light(bool fast, atomic<V>& own) noexcept {
        if (fast) {
            barrier::light();
        } else {
            own.fetch_add(0, acq_rel);
        }
    }
    template <class V>
    static V load_heavy(bool fast, atomic<V>& other) noexcept {
        return fast ? other.load(acquire) : other.fetch_add(0, acq_rel);
    }
    static bool heavy() noexcept { return !fault_plan::heavy_refused() && std_env::heavy(); }
    static void fork_point() noexcept { std_env::fork_point(); }

    static void pause() noexcept { std_env::pause(); }
    static void relax(unsigned round) noexcept { std_env::relax(round); }
    static std::int64_t now() noexcept { return std_env::now(); }
    static void park(const atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t deadline) noexcept {
        fault_plan::before_atomic();
        std_env::park(word.bare(), expected, deadline);
    }
    static void unpark(const atomic<std::uint32_t>& word, std::uint32_t count) noexcept {
        fault_plan::before_atomic();
        std_env::unpark(word.bare(), count);
    }

    static local_record& local(std::uint64_t domain) noexcept { return std_env::local(domain); }
    using fork_hook = std_env::fork_hook;
    static std::uint64_t open_domain(void* domain = nullptr, fork_hook after_fork = nullptr) {
        return std_env::open_domain(domain, after_fork);
    }
    static void close_domain(std::uint64_t domain) noexcept { std_env::close_domain(domain); }
    static void* find_local(std::uint64_t domain) noexcept { return std_env::find_local(domain); }
    static void remember_local(std::uint64_t domain, void* record, void (*at_end)(void*) noexcept) {
        std_env::remember_local(domain, record, at_end);
    }

    static void*& worker() noexcept { return std_env::worker(); }
    static std::uint64_t thread_number() noexcept { return std_env::thread_number(); }

    static void* allocate(std::size_t bytes, std::size_t align) {
        if (fault_plan::allocation_fails()) {
            throw std::bad_alloc();
        }
        return std_env::allocate(bytes, align);
    }
    static void deallocate(void* block, std::size_t bytes, std::size_t align) noexcept {
        std_env::deallocate(block, bytes, align);
    }
    static constexpr bool pooling = false;

    static constexpr std::size_t segment_slots = 8;
    static constexpr unsigned spin_before_abandon = 2;
    static constexpr std::size_t spare_cells = 4;
    static constexpr unsigned spin_before_park = 2;
    static constexpr unsigned looks_before_park = 2;
    static constexpr std::int64_t advance_objects = 16;
    static constexpr std::int64_t advance_bytes = 1 << 12;
    static constexpr std::uint32_t table_chunk_slots = 8;
    static constexpr std::uint32_t table_chunks = 64;
};

static_assert(environment<fault_env>);

} // namespace epoque::stress
