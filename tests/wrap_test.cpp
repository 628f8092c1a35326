// SPDX-License-Identifier: BSL-1.0
/// @file
/// Counters of 32 bits that have run for long (pitfall 19): they begin shortly before they wrap. An object_table's generations,
/// which must not wrap, are in object_table_test.cpp. Positions are 64 bits, or begin anew in each segment; 2^32 elements go
/// through every structure in memory_test, for whoever has the time.
#include "epoque/core/pool.hpp"
#include "epoque/deque.hpp"
#include "epoque/queue.hpp"
#include "support.hpp"

#include "../ffi/waiting.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>

namespace epoque::test {
namespace {

constexpr std::uint32_t most = ~std::uint32_t{0};

/// Makes the n-th 32-bit atomic that the calling thread builds in a `late_env` begin at `value`, where it would begin at 0.
class begins_late {
  public:
    begins_late(unsigned nth, std::uint32_t value) noexcept {
        left_ = nth;
        value_ = value;
    }
    begins_late(const begins_late&) = delete;
    begins_late& operator=(const begins_late&) = delete;
    ~begins_late() { EXPECT_EQ(left_, 0U) << "there are fewer such atomics"; }

    static std::uint32_t first(std::uint32_t otherwise) noexcept {
        if (left_ == 0 || --left_ != 0) {
            return otherwise;
        }
        EXPECT_EQ(otherwise, 0U) << "that is no counter";
        return value_;
    }

  private:
    inline static thread_local unsigned left_ = 0;
    inline static thread_local std::uint32_t value_ = 0;
};

/// Counts its thread's additions, too.
template <class T>
class late_atomic : public std::atomic<T> {
  public:
    late_atomic() noexcept : late_atomic(T{}) {}
    explicit(false) late_atomic(T value) noexcept : std::atomic<T>(first(value)) {}
    T fetch_add(T step, std::memory_order order) noexcept {
        ++additions;
        return std::atomic<T>::fetch_add(step, order);
    }

    inline static thread_local std::uint64_t additions = 0;

  private:
    static T first(T value) noexcept {
        if constexpr (std::is_same_v<T, std::uint32_t>) {
            return begins_late::first(value);
        } else {
            return value;
        }
    }
};
/// Pointers count nothing.
template <class T>
class late_atomic<T*> : public std::atomic<T*> {
  public:
    using std::atomic<T*>::atomic;
};

struct late_env : staged_env {
    template <class T>
    using atomic = late_atomic<T>;
};

// ---- the deque: thieves that count themselves behind one that sleeps ----------------------------------------------------

TEST(wrap, a_thief_takes_a_sleeping_ones_place_also_where_their_count_wraps) {
    if (!late_env::asymmetric()) {
        GTEST_SKIP() << "there is no heavy barrier to sleep before";
    }
    constexpr std::uint64_t turn = std_env::spin_before_abandon + 1;
    for (std::uint32_t before = 1; before <= turn; ++before) { // contenders until the count is 0
        basic_domain<late_env> home;
        const auto deque = [&] {
            const begins_late count(1, most - before + 1);
            return std::make_unique<work_stealing_deque<std::uint64_t, late_env>>(home);
        }();
        for (const std::uint64_t number : numbers(0, 6)) {
            deque->push(number);
        }
        gate claimed;
        actor sleeper;
        auto steal = sleeper.start([&] {
            late_env::before_heavy = &claimed;
            static_cast<void>(deque->try_steal());
        });
        claimed.wait_until_reached();
        std::uint64_t tries = 1;
        while (!deque->try_steal() && tries < 1000) {
            ++tries;
        }
        // Once a turn before the wrap, and once a turn behind it: nobody waits for longer than two.
        EXPECT_LE(tries, 2 * turn) << before << " before the wrap";
        claimed.open();
        steal.get();
    }
}

// ---- the pool: whether somebody has asked for memory since ---------------------------------------------------------------

TEST(wrap, the_4294967296th_trim_of_a_pool_is_heard_too) {
    using pool = core::pool<late_env>;
    constexpr std::size_t bytes = 64;
    const std::uint64_t blocks = late_env::live_blocks();
    const auto shared = [] {
        const begins_late trims(1, most);
        return std::make_unique<pool>();
    }();
    const std::uint32_t index = shared->class_of(bytes, alignof(std::max_align_t));
    pool::magazine mine;
    shared->trim_mine(mine); // hears of the 4294967295th
    shared->deallocate(mine, index, shared->allocate(mine, index, bytes, alignof(std::max_align_t)), bytes,
                       alignof(std::max_align_t));
    EXPECT_EQ(late_env::live_blocks(), blocks + 1) << "kept for reuse";
    shared->trim();
    shared->trim_mine(mine);
    EXPECT_EQ(late_env::live_blocks(), blocks);
}

// ---- the queue: a closed segment keeps its number of elements above the lower half of `enq` -----------------------------

TEST(wrap, pushes_that_a_closed_queue_refuses_do_not_count) {
    for (std::uint64_t elements = 0; elements <= 2 * small_env::segment_slots; ++elements) {
        basic_domain<late_env> home;
        queue<std::uint64_t, late_env> line(home);
        for (const std::uint64_t number : numbers(0, elements)) {
            ASSERT_TRUE(line.push(number));
        }
        line.close();
        const std::uint64_t before = late_atomic<std::uint64_t>::additions;
        for (int i = 0; i < 1000; ++i) {
            ASSERT_FALSE(line.push(7U)); // 2^32 that took tickets would carry into the number
        }
        EXPECT_EQ(late_atomic<std::uint64_t>::additions, before);
        EXPECT_EQ(line.was_size(), elements);
    }
}

// ---- the C interface: the word on which its threads sleep ----------------------------------------------------------------

/// Wakes nobody, and nobody sleeps here.
struct no_kernel {
    static void wake(const std::atomic<std::uint32_t>&, std::uint32_t) noexcept { ++wakes; }
    class event {
      public:
        void signal() noexcept {}
    };
    inline static std::uint64_t wakes = 0;
};

TEST(wrap, the_word_of_sleepers_changes_at_each_wake) {
    no_kernel::wakes = 0;
    ffi::notifier<late_env, no_kernel> announcer;
    ffi::waiting_cell<late_env, no_kernel>* const cell = [] {
        const begins_late sequence(4, most - 2); // references, listed, waiters
        return ffi::waiting_cell<late_env, no_kernel>::make();
    }();
    {
        const ffi::sleeper<late_env, no_kernel> self(*cell);
        ASSERT_EQ(self.key(), most - 2);
        for (std::uint64_t wakes = 1; wakes <= 6; ++wakes) {
            const std::uint32_t key = self.key();
            cell->sent(late_env::asymmetric(), announcer, 1);
            EXPECT_NE(self.key(), key) << "who has read it before the wake would sleep on";
            EXPECT_EQ(no_kernel::wakes, wakes);
        }
    }
    cell->release();
}

} // namespace
} // namespace epoque::test
