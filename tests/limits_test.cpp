// SPDX-License-Identifier: BSL-1.0
/// @file
/// Tests of what a domain does about garbage that does not go away, and about memory: stalls, the limit, the allocator, trim.
#include "epoque/bounded_queue.hpp"
#include "epoque/deque.hpp"
#include "epoque/domain.hpp"
#include "epoque/queue.hpp"
#include "epoque/snapshot.hpp"
#include "epoque/spsc_queue.hpp"
#include "epoque/stack.hpp"
#include "support.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <unistd.h>

namespace epoque::test {
namespace {

/// Counts what was taken from it and not given back.
class counting_resource : public std::pmr::memory_resource {
  public:
    std::uint64_t bytes() const { return bytes_; }
    std::uint64_t blocks() const { return blocks_; }
    std::uint64_t allocations() const { return allocations_; }

  protected:
    void* do_allocate(std::size_t bytes, std::size_t align) override {
        if (out_of_memory::strikes()) {
            throw std::bad_alloc();
        }
        void* block = std::pmr::new_delete_resource()->allocate(bytes, align);
        bytes_ += bytes;
        ++blocks_;
        ++allocations_;
        return block;
    }
    void do_deallocate(void* block, std::size_t bytes, std::size_t align) override {
        bytes_ -= bytes;
        --blocks_;
        std::pmr::new_delete_resource()->deallocate(block, bytes, align);
    }
    bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

    std::atomic<std::uint64_t> bytes_{0};
    std::atomic<std::uint64_t> blocks_{0};
    std::atomic<std::uint64_t> allocations_{0};
};

/// What on_stalled was told, and where.
class witness {
  public:
    domain_options options(domain_options others = {}) {
        others.on_stalled = [](const stall& what, void* self) noexcept { static_cast<witness*>(self)->hear(what); };
        others.context = this;
        return others;
    }
    std::vector<stall> heard() {
        const std::lock_guard lock(mutex_);
        return heard_;
    }
    std::atomic<void (*)()> then{nullptr}; ///< called inside on_stalled

  private:
    void hear(const stall& what) noexcept {
        {
            const std::lock_guard lock(mutex_);
            heard_.push_back(what);
        }
        if (auto* const call = then.load()) {
            call();
        }
    }
    std::mutex mutex_;
    std::vector<stall> heard_;
};

/// 1,000 bytes that count, at no cost.
struct kilobyte {
    std::byte bytes[1000];
    static void retire_to(domain& home) {
        static kilobyte object;
        home.retire(&object, [](kilobyte*) noexcept {});
    }
};

template <class Condition>
void wait_until(Condition condition) {
    for (unsigned round = 0; !condition(); ++round) {
        std_env::relax(round);
    }
}

bool has_ended(const std::future<void>& work) {
    return work.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

// ---- sequential: how long garbage waited -----------------------------------------------------------------------------------

std::uint64_t sum_of(const domain_stats& stats) {
    return std::accumulate(stats.retired_meanwhile.begin(), stats.retired_meanwhile.end(), std::uint64_t{0});
}

TEST(waits, every_freed_object_is_counted_once) {
    domain home;
    actor other;
    for (int i = 0; i < 5000; ++i) {
        kilobyte::retire_to(home);
    }
    EXPECT_EQ(sum_of(home.stats()), home.stats().freed_objects);
    other([&] {
        for (int i = 0; i < 700; ++i) {
            kilobyte::retire_to(home);
        }
    });
    home.barrier(); // its own, and the other thread's
    EXPECT_EQ(home.stats().freed_objects, 5700U);
    EXPECT_EQ(sum_of(home.stats()), 5700U);
}

TEST(waits, garbage_without_readers_waits_for_three_to_five_epochs_of_it) {
    struct small {};
    static small object;
    domain home;
    for (int i = 0; i < 100'000; ++i) {
        home.retire(&object, [](small*) noexcept {});
    }
    const domain_stats stats = home.stats();
    // 3 * 512 up to 5 * 512 more objects were retired before each one was freed: the buckets of 1,024 to 4,095.
    EXPECT_EQ(stats.retired_meanwhile[11] + stats.retired_meanwhile[12], stats.freed_objects);
    EXPECT_GT(stats.freed_objects, 90'000U);
}

TEST(waits, a_reader_that_stays_shows_in_the_waits_and_not_in_the_epochs) {
    struct small {};
    static small object;
    domain home;
    actor sleeper;
    sleeper([&] { home.lock(); });
    for (int i = 0; i < 100'000; ++i) {
        home.retire(&object, [](small*) noexcept {});
    }
    sleeper([&] { home.unlock(); });
    for (int i = 0; i < 5; ++i) {
        tick(home);
    }
    EXPECT_GT(home.stats().retired_meanwhile[17], 0U) << "more than 65,536 objects were retired after the first one";
    EXPECT_LE(home.stats().epoch, 20U);
}

// ---- stalls ----------------------------------------------------------------------------------------------------------------

TEST(stalls, a_guard_that_blocks_as_many_advances_as_allowed_is_reported_once) {
    witness seen;
    domain home(seen.options({.stalled_after = 5}));
    actor sleeper;
    std::uint64_t thread = 0;
    sleeper([&] {
        home.lock();
        thread = static_cast<std::uint64_t>(::gettid());
    });
    const std::uint64_t pinned = home.stats().epoch;
    tick(home); // to the next epoch, which is as far as it goes
    for (int i = 0; i < 4; ++i) {
        tick(home);
        EXPECT_EQ(seen.heard().size(), 0U);
    }
    tick(home);
    ASSERT_EQ(seen.heard().size(), 1U);
    const stall what = seen.heard()[0];
    EXPECT_EQ(what.why, stall::cause::old_guard);
    EXPECT_EQ(what.thread, thread);
    EXPECT_EQ(what.epoch, pinned + 1);
    EXPECT_EQ(what.pinned_epoch, pinned);
    EXPECT_EQ(what.blocked_advances, 5U);
    EXPECT_GE(what.pending_bytes, 6U * static_cast<std::uint64_t>(std_env::advance_bytes));
    for (int i = 0; i < 50; ++i) {
        tick(home);
    }
    EXPECT_EQ(seen.heard().size(), 1U);
    EXPECT_EQ(home.stats().stalls, 1U);
    sleeper([&] { home.unlock(); });
}

TEST(stalls, the_next_stall_of_the_same_thread_is_another_one) {
    witness seen;
    domain home(seen.options({.stalled_after = 3}));
    actor sleeper;
    for (std::size_t stalls = 1; stalls <= 3; ++stalls) {
        sleeper([&] { home.lock(); });
        for (int i = 0; i < 10; ++i) {
            tick(home);
        }
        EXPECT_EQ(seen.heard().size(), stalls);
        sleeper([&] { home.unlock(); });
        for (int i = 0; i < 10; ++i) {
            tick(home);
        }
    }
}

TEST(stalls, nobody_is_reported_while_guards_come_and_go) {
    witness seen;
    domain home(seen.options({.stalled_after = 2}));
    actor reader;
    for (int i = 0; i < 100; ++i) {
        reader([&] { const auto guard = home.pin(); });
        tick(home);
    }
    EXPECT_EQ(seen.heard().size(), 0U);
}

TEST(stalls, whoever_waits_in_synchronize_reports_too) {
    witness seen;
    domain home(seen.options());
    actor sleeper;
    actor waiter;
    sleeper([&] { home.lock(); });
    auto waiting = waiter.start([&] { home.synchronize(); });
    wait_until([&] { return !seen.heard().empty(); });
    EXPECT_FALSE(has_ended(waiting));
    sleeper([&] { home.unlock(); });
    waiting.get();
    EXPECT_EQ(seen.heard().size(), 1U);
}

TEST(stalls, the_callback_may_use_structures_and_retire) {
    static std::optional<domain> home;
    static std::optional<queue<int>> line;
    witness seen;
    home.emplace(seen.options({.stalled_after = 1}));
    line.emplace(*home);
    seen.then = [] {
        line->push(1);
        kilobyte::retire_to(*home);
        tick(*home); // and even tries to advance
        EXPECT_TRUE(line->try_pop());
    };
    actor sleeper;
    sleeper([&] { home->lock(); });
    for (int i = 0; i < 10; ++i) {
        tick(*home);
    }
    EXPECT_EQ(seen.heard().size(), 1U);
    sleeper([&] { home->unlock(); });
    line.reset();
    home.reset();
}

TEST(stalls_death, the_callback_that_calls_barrier_is_told_so) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_DEATH(
        {
            static std::optional<domain> home;
            witness seen;
            home.emplace(seen.options({.stalled_after = 1}));
            seen.then = [] { home->barrier(); };
            actor sleeper;
            sleeper([&] { home->lock(); });
            home->synchronize();
        },
        "epoque: .*barrier");
}

// ---- the limit -------------------------------------------------------------------------------------------------------------

TEST(limit, garbage_of_idle_threads_is_freed_by_the_one_who_meets_the_limit) {
    constexpr std::uint64_t limit = 1 << 20;
    witness seen;
    domain home(seen.options({.max_pending_bytes = limit}));
    std::vector<std::unique_ptr<actor>> others(4);
    for (auto& each : others) { // each keeps a part of the limit, and sleeps
        each = std::make_unique<actor>();
        (*each)([&] {
            for (int i = 0; i < 200; ++i) {
                kilobyte::retire_to(home);
            }
        });
    }
    std::uint64_t most = 0;
    for (int i = 0; i < 20'000; ++i) {
        kilobyte::retire_to(home);
        most = std::max(most, home.stats().pending_bytes);
    }
    EXPECT_LE(most, limit + 5 * (limit / 16 + 2000)) << "the bound in docs/memory-model.md#garbage";
    EXPECT_GE(most, limit / 2) << "it frees more than it has to";
    EXPECT_EQ(seen.heard().size(), 0U);
}

TEST(limit, retire_waits_while_a_guard_of_another_thread_stays) {
    constexpr std::uint64_t limit = 1 << 18;
    witness seen;
    domain home(seen.options({.max_pending_bytes = limit, .stalled_after = 10}));
    actor sleeper;
    actor writer;
    sleeper([&] { home.lock(); });
    std::atomic<std::uint64_t> retired{0};
    constexpr std::uint64_t objects = 2000;
    auto writing = writer.start([&] {
        for (; retired < objects; ++retired) {
            kilobyte::retire_to(home);
        }
    });
    wait_until([&] { return seen.heard().size() == 1; }); // it waits, and says why
    EXPECT_EQ(seen.heard()[0].why, stall::cause::old_guard);
    EXPECT_FALSE(has_ended(writing));
    EXPECT_LE(home.stats().pending_bytes, limit + limit / 16 + 3000);
    EXPECT_LT(retired, objects);
    sleeper([&] { home.unlock(); });
    writing.get();
    EXPECT_EQ(retired, objects);
    EXPECT_LE(home.stats().pending_bytes, limit + limit / 16 + 3000);
}

TEST(limit, whoever_is_pinned_reports_and_goes_on) {
    constexpr std::uint64_t limit = 1 << 18;
    witness seen;
    domain home(seen.options({.max_pending_bytes = limit, .stalled_after = 1'000'000}));
    for (std::size_t excess = 1; excess <= 2; ++excess) {
        {
            const auto guard = home.pin();
            for (int i = 0; i < 1000; ++i) {
                kilobyte::retire_to(home);
            }
            EXPECT_GT(home.stats().pending_bytes, 3 * limit);
            ASSERT_EQ(seen.heard().size(), excess) << "once for each time that the garbage grows above the limit";
            EXPECT_EQ(seen.heard().back().why, stall::cause::too_much_garbage);
            EXPECT_EQ(seen.heard().back().thread, static_cast<std::uint64_t>(::gettid()));
            EXPECT_GT(seen.heard().back().pending_bytes, limit);
        }
        for (int i = 0; i < 100; ++i) {
            kilobyte::retire_to(home); // the first check outside of the guard makes it good
        }
        EXPECT_LE(home.stats().pending_bytes, limit);
    }
}

TEST(limit, a_deleter_that_retires_does_not_wait_for_itself) {
    constexpr std::uint64_t limit = 1 << 16;
    static domain home({.max_pending_bytes = limit});
    static kilobyte object;
    home.retire(&object, [](kilobyte*) noexcept {
        for (int i = 0; i < 200; ++i) {
            kilobyte::retire_to(home);
        }
    });
    home.barrier();
    home.barrier();
    EXPECT_EQ(home.stats().pending_objects, 0U);
}

TEST(limit, structures_never_wait_and_report) {
    witness seen;
    domain home(seen.options({.max_pending_bytes = 1 << 16}));
    snapshot<std::uint64_t> versions(home, 0U);
    actor sleeper;
    sleeper([&] { home.lock(); });
    for (std::uint64_t i = 0; i < 20'000; ++i) { // more than the limit of versions, while nothing can be freed
        versions.store(i);
    }
    const auto heard = seen.heard();
    EXPECT_TRUE(std::any_of(heard.begin(), heard.end(),
                            [](const stall& each) { return each.why == stall::cause::too_much_garbage; }));
    sleeper([&] { home.unlock(); });
}

TEST(limit, what_queues_and_stacks_keep_for_reuse_does_not_count) {
    witness seen;
    constexpr std::uint64_t limit = 1 << 16;
    domain home(seen.options({.max_pending_bytes = limit}));
    queue<std::uint64_t> line(home);
    stack<std::uint64_t> pile(home);
    actor sleeper;
    sleeper([&] { home.lock(); });
    std::uint64_t most = 0;
    for (std::uint64_t i = 0; i < 200'000; ++i) { // segments and nodes of more than the limit, while no guard ends
        line.push(i);
        pile.push(i);
        ASSERT_TRUE(line.try_pop());
        ASSERT_TRUE(pile.try_pop());
        if (i % 100 == 0) {
            most = std::max(most, home.stats().pending_bytes);
        }
        if (i % 5000 == 0) {
            kilobyte::retire_to(home); // has a look: 40 KB of these wait at most. It would wait for the guard's end
        }
    }
    EXPECT_LE(most, std_env::advance_bytes + (std::uint64_t{1} << 17)) << "one limbo, a segment, and 40 kilobytes";
    EXPECT_EQ(seen.heard().size(), 0U);
    sleeper([&] { home.unlock(); });
}

TEST(limit, many_threads_that_retire_stay_near_it) {
    constexpr std::uint64_t limit = 1 << 19;
    constexpr std::size_t threads = 4;
    domain home({.max_pending_bytes = limit});
    std::atomic<std::uint64_t> most{0};
    together(threads, [&](std::size_t thread) {
        for (std::uint64_t i = many(8000); i != 0; --i) {
            kilobyte::retire_to(home);
            if (i % 64 == 0) {
                const std::uint64_t now = home.stats().pending_bytes;
                std::uint64_t seen = most;
                while (now > seen && !most.compare_exchange_weak(seen, now)) {
                }
            }
            if (thread == 0 && i % 100 == 0) { // a reader that stays for a moment
                const auto guard = home.pin();
                std::this_thread::yield();
            }
        }
    });
    EXPECT_LE(most, limit + 2 * (threads + 1) * (limit / 16 + 2000)) << "the bound in docs/memory-model.md#garbage";
    home.barrier();
    EXPECT_EQ(home.stats().pending_objects, 0U);
}

// ---- memory ----------------------------------------------------------------------------------------------------------------

TEST(memory, everything_comes_from_the_resource_and_goes_back_to_it) {
    counting_resource memory;
    {
        domain home({.memory = &memory});
        queue<std::uint64_t> line(home);
        stack<aligned<256>> pile(home);
        snapshot<std::uint64_t> versions(home, 1U);
        bounded_queue<std::uint64_t> ring(1'000, home);
        work_stealing_deque<std::uint64_t> work(home);
        spsc_queue<std::uint64_t> pair(1'000, &memory);
        for (std::uint64_t i = 0; i < 3000; ++i) {
            static_cast<void>(ring.try_push(i));
            work.push(i); // in ever larger rings
            static_cast<void>(pair.try_push(i));
        }
        EXPECT_GT(memory.bytes(), (1'000 + 3'000 + 1'000) * sizeof(std::uint64_t));
        together(3, [&](std::size_t) {
            for (std::uint64_t i = 0; i < 3000; ++i) {
                line.push(i);
                pile.push(aligned<256>(i));
                if (i % 3 == 0) {
                    static_cast<void>(line.try_pop());
                    static_cast<void>(pile.try_pop());
                }
            }
        });
        EXPECT_GT(memory.bytes(), 3 * 2000 * (16U + 256U));
    }
    EXPECT_EQ(memory.blocks(), 0U);
    EXPECT_EQ(memory.bytes(), 0U) << "a block was given back with another size than it was taken with";
}

TEST(memory, a_resource_that_runs_out_is_as_memory_that_runs_out) {
    counting_resource memory;
    {
        domain home({.memory = &memory});
        stack<std::uint64_t> pile(home);
        home.synchronize();
        const out_of_memory now(0);
        EXPECT_THROW(pile.push(1), std::bad_alloc);
        EXPECT_THROW(home.retire(&memory, [](counting_resource*) noexcept {}), std::bad_alloc);
        EXPECT_EQ(home.stats().retired_objects, 0U);
    }
    EXPECT_EQ(memory.blocks(), 0U);
}

TEST(memory, steady_use_of_queue_and_stack_allocates_nothing) {
    counting_resource memory;
    domain home({.memory = &memory});
    queue<std::uint64_t> line(home);
    stack<std::uint64_t> pile(home);
    const auto use = [&](std::uint64_t operations) {
        for (std::uint64_t i = 0; i < operations; i += 4) {
            line.push(i);
            pile.push(i);
            ASSERT_TRUE(line.try_pop());
            ASSERT_TRUE(pile.try_pop());
        }
    };
    use(many(2'000'000)); // until as much is pooled as ever waits for its grace period
    const std::uint64_t before = memory.allocations();
    use(many(1'000'000));
    EXPECT_EQ(memory.allocations(), before);
}

TEST(memory, trim_gives_back_what_the_pool_keeps) {
    counting_resource memory;
    domain home({.memory = &memory});
    home.synchronize();
    const std::uint64_t bare = memory.bytes();
    {
        stack<std::uint64_t> pile(home);
        for (std::uint64_t i = 0; i < 10'000; ++i) {
            pile.push(i);
        }
        while (pile.try_pop()) {
        }
    }
    home.barrier();
    EXPECT_GT(memory.bytes(), bare) << "a pool that keeps nothing is none";
    home.trim();
    EXPECT_EQ(memory.bytes(), bare);
    home.trim();
    EXPECT_EQ(memory.bytes(), bare);
}

TEST(memory, trim_empties_what_other_threads_keep_when_their_next_operation_ends) {
    counting_resource memory;
    domain home({.memory = &memory});
    stack<std::uint64_t> pile(home);
    actor other;
    other([&] { home.synchronize(); });
    home.synchronize();
    const std::uint64_t bare = memory.bytes();
    other([&] {
        for (std::uint64_t i = 0; i < 5000; ++i) {
            pile.push(i);
            ASSERT_TRUE(pile.try_pop());
        }
        home.barrier();
    });
    home.barrier();
    home.trim();
    const std::uint64_t kept = memory.bytes() - bare;
    EXPECT_GT(kept, 0U) << "the other thread's magazine is its own until it operates";
    EXPECT_LE(kept, std::size_t{6} * core::pool<std_env>::bundle_bytes) << "two bundles of each of three sizes";
    other([&] { const auto guard = home.pin(); });
    EXPECT_EQ(memory.bytes(), bare);
}

TEST(memory, trim_gives_back_what_ended_threads_kept) {
    counting_resource memory;
    domain home({.memory = &memory});
    stack<std::uint64_t> pile(home);
    home.synchronize();
    std::thread([&] { home.synchronize(); }).join();
    const std::uint64_t bare = memory.bytes();
    actor keeps_the_record; // of the ended thread, no longer free for others: no
    std::thread([&] {
        for (std::uint64_t i = 0; i < 5000; ++i) {
            pile.push(i);
            ASSERT_TRUE(pile.try_pop());
        }
        home.barrier();
    }).join();
    home.barrier();
    home.trim();
    EXPECT_EQ(memory.bytes(), bare);
}

TEST(memory, trim_by_a_thread_that_never_used_the_domain_makes_no_record) {
    counting_resource memory;
    domain home({.memory = &memory});
    actor user;
    user([&] {
        home.synchronize();
        const auto guard = home.pin();
    });
    const std::uint64_t before = memory.bytes();
    home.trim();
    EXPECT_LE(memory.bytes(), before);
    EXPECT_EQ(home.stats().threads, 1U);
}

/// Uses structures of its domain while it gives memory, or takes it back.
class busy_resource : public counting_resource {
  public:
    std::function<void()> use;
    std::function<void()> use_to_allocate;

  private:
    void* do_allocate(std::size_t bytes, std::size_t align) override {
        if (auto now = std::exchange(use_to_allocate, nullptr)) {
            now();
        }
        return counting_resource::do_allocate(bytes, align);
    }
    void do_deallocate(void* block, std::size_t bytes, std::size_t align) override {
        if (auto now = std::exchange(use, nullptr)) {
            now();
        }
        counting_resource::do_deallocate(block, bytes, align);
    }
};

TEST(memory, a_resource_may_use_the_pool_while_it_is_trimmed) {
    busy_resource memory;
    {
        domain home({.memory = &memory});
        stack<std::uint64_t> pile(home);
        for (std::uint64_t i = 0; i < 2'000; ++i) {
            pile.push(i);
        }
        while (pile.try_pop()) {
        }
        home.barrier();
        memory.use = [&pile] {
            for (std::uint64_t i = 0; i < 10; ++i) {
                pile.push(i);
            }
        };
        home.trim();
        for (std::uint64_t i = 10; i-- != 0;) {
            ASSERT_EQ(pile.try_pop().value(), i);
        }
        EXPECT_EQ(memory.use, nullptr);
    }
    EXPECT_EQ(memory.blocks(), 0U) << "a block was lost, or given back twice";
}

TEST(memory, a_resource_may_use_the_queue_that_needs_a_segment) {
    busy_resource memory;
    {
        domain home({.memory = &memory});
        queue<std::uint64_t> line(home);
        std::uint64_t next = 0;
        std::uint64_t expected = 0;
        const auto push_and_pop = [&](std::uint64_t pairs) { // over the ends of segments, which are freed
            for (std::uint64_t i = 0; i < pairs; ++i) {
                ASSERT_TRUE(line.push(next++));
                ASSERT_EQ(line.try_pop().value(), expected++);
            }
        };
        for (int round = 0; round < 5; ++round) {
            for (std::uint64_t i = 0; i < 5 * std_env::segment_slots; ++i) { // until the pool has none
                ASSERT_TRUE(line.push(next++));
            }
            std::uint64_t inside = 0;
            memory.use_to_allocate = [&] { // in a push that has met the end of a segment, and has its number already
                const std::uint64_t outer = next - 1;
                while (expected != outer) {
                    ASSERT_EQ(line.try_pop().value(), expected++);
                }
                EXPECT_FALSE(line.try_pop());
                for (; inside < 40 * std_env::segment_slots; ++inside) {
                    ASSERT_TRUE(line.push(next + inside));
                    ASSERT_EQ(line.try_pop().value(), next + inside);
                }
            };
            while (memory.use_to_allocate != nullptr) {
                ASSERT_TRUE(line.push(next++));
            }
            EXPECT_EQ(inside, 40 * std_env::segment_slots);
            while (expected != next) {
                ASSERT_EQ(line.try_pop().value(), expected++);
            }
            EXPECT_FALSE(line.try_pop());
            home.trim();
            push_and_pop(3 * std_env::segment_slots);
        }
        EXPECT_LE(home.stats().pending_bytes, std::uint64_t{std_env::advance_bytes} + (1U << 16));
    }
    EXPECT_EQ(memory.blocks(), 0U);
}

TEST(memory, a_push_that_finds_no_memory_for_a_segment_keeps_none) {
    counting_resource memory;
    domain home({.memory = &memory});
    queue<std::uint64_t> line(home);
    actor other;
    for (std::uint64_t i = 0; i < std_env::segment_slots; ++i) {
        line.push(i);
    }
    {
        const out_of_memory now(0);
        EXPECT_THROW(line.push(0U), std::bad_alloc);
    }
    other([&] { // drains that segment, and frees it: the failed push has taken its hazard back
        for (std::uint64_t i = 0; i < 30 * std_env::segment_slots; ++i) {
            line.push(i);
            ASSERT_TRUE(line.try_pop());
        }
        while (line.try_pop()) {
        }
        home.barrier();
        EXPECT_EQ(home.stats().pending_objects, 0U);
    });
}

TEST(memory, trim_runs_beside_everything_else) {
    counting_resource memory;
    {
        domain home({.memory = &memory});
        queue<std::uint64_t> line(home);
        stack<std::uint64_t> pile(home);
        std::atomic<std::uint64_t> sent{0};
        std::atomic<std::uint64_t> received{0};
        together(4, [&](std::size_t thread) {
            for (std::uint64_t i = many(20'000); i != 0; --i) {
                line.push(i);
                pile.push(i);
                sent += 2 * i;
                received += line.try_pop().value_or(0) + pile.try_pop().value_or(0);
                if (thread == 0 && i % 64 == 0) {
                    home.trim();
                }
            }
        });
        while (auto number = line.try_pop()) {
            received += *number;
        }
        while (auto number = pile.try_pop()) {
            received += *number;
        }
        EXPECT_EQ(sent, received);
    }
    EXPECT_EQ(memory.bytes(), 0U);
}

/// Resident memory of the process in bytes.
std::uint64_t resident() {
    std::ifstream file("/proc/self/statm");
    std::uint64_t total = 0;
    std::uint64_t pages = 0;
    file >> total >> pages;
    return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

TEST(memory, after_ten_million_elements_a_barrier_and_a_trim_it_is_as_before) {
    const std::uint64_t elements = many_by_one_thread(10'000'000);
    counting_resource memory;
    domain home({.memory = &memory});
    home.synchronize();
    const std::uint64_t held = memory.bytes();
    const std::uint64_t before = resident();
    std::uint64_t at_most = 0;
    {
        queue<std::uint64_t> line(home);
        stack<std::uint64_t> pile(home);
        constexpr std::uint64_t batch = 100'000;
        for (std::uint64_t done = 0; done < elements; done += batch) {
            for (std::uint64_t i = 0; i < batch; ++i) {
                line.push(i);
                pile.push(i);
            }
            at_most = std::max(at_most, memory.bytes());
            for (std::uint64_t i = 0; i < batch; ++i) {
                ASSERT_TRUE(line.try_pop());
                ASSERT_TRUE(pile.try_pop());
            }
        }
        home.barrier();
        home.trim();
        EXPECT_LE(memory.bytes(), held + (std::uint64_t{1} << 20)) << "the structures still live: a segment is theirs";
    }
    home.trim();
    EXPECT_LE(memory.bytes(), held + (std::uint64_t{1} << 20));
    EXPECT_GT(at_most, held + (std::uint64_t{1} << 20));
    RecordProperty("bytes_held_at_most", std::to_string(at_most));
    RecordProperty("bytes_held_after", std::to_string(memory.bytes()));
    RecordProperty("resident_before", std::to_string(before));
    RecordProperty("resident_after", std::to_string(resident())); // the C library may keep what it was given back
}

} // namespace
} // namespace epoque::test
