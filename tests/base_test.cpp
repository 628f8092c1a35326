// SPDX-License-Identifier: BSL-1.0
/// @file
/// Tests of base/: barriers and their fallback, Env, back-off, expected, errors.
#include "epoque/base/backoff.hpp"
#include "epoque/base/barrier.hpp"
#include "epoque/base/config.hpp"
#include "epoque/base/env.hpp"
#include "epoque/base/error.hpp"
#include "epoque/base/expected.hpp"
#include "epoque/concepts.hpp"
#include "support.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <forward_list>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace epoque::test {
namespace {

// ---- barriers ----------------------------------------------------------------------------------------------------------

bool fallback_is_asked_for() {
    const char* wish = std::getenv("EPOQUE_BARRIER"); // NOLINT(concurrency-mt-unsafe): nothing here writes it
    return wish != nullptr && std::string_view(wish) == "fallback";
}

bool kernel_has_membarrier() {
    const long commands = ::syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0U, 0);
    return commands > 0 && (commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0;
}

TEST(barrier, the_mode_follows_the_kernel_and_the_environment) {
    EXPECT_EQ(barrier::asymmetric(), kernel_has_membarrier() && !fallback_is_asked_for());
    EXPECT_EQ(std_env::asymmetric(), barrier::asymmetric());
}

TEST(barrier, a_heavy_one_takes_place_exactly_where_there_are_light_ones) {
    const barrier::counters before = barrier::was_called();
    EXPECT_EQ(barrier::heavy(), barrier::asymmetric());
    EXPECT_EQ(std_env::heavy(), barrier::asymmetric());
    const barrier::counters after = barrier::was_called();
    EXPECT_EQ(after.heavy - before.heavy, 2U);
    EXPECT_EQ(after.refused - before.refused, barrier::asymmetric() ? 0U : 2U);
}

TEST(barrier, store_light_publishes_the_value_in_both_modes) {
    for (const bool fast : {false, true}) {
        std::atomic<std::uint32_t> word{1};
        std_env::store_light(fast, word, std::uint32_t{7});
        EXPECT_EQ(std_env::load_heavy(fast, word), 7U);
        std_env::light(fast, word);
        EXPECT_EQ(word.load(std::memory_order_relaxed), 7U);
    }
}

TEST(barrier, load_heavy_reads_pointers_too) {
    int object = 0;
    for (const bool fast : {false, true}) {
        std::atomic<int*> word{&object};
        EXPECT_EQ(std_env::load_heavy(fast, word), &object);
        EXPECT_EQ(word.load(std::memory_order_relaxed), &object);
    }
}

// The litmus test for which the file exists. One side is fast, the other one looks; they must not miss each other.
TEST(barrier, at_least_one_side_sees_the_others_store) {
    const bool fast = barrier::asymmetric();
    const std::uint64_t rounds = many(4000);
    std::uint64_t missed = 0;
    std::atomic<std::uint32_t> own{0};     // written by the fast side
    std::atomic<std::uint32_t> asked{0};   // written by the one who looks
    std::atomic<std::uint64_t> arrived{0}; // both have come to round `arrived / 2`
    std::uint32_t fast_saw = 0;
    std::uint32_t heavy_saw = 0;
    const auto meet = [&arrived, before = std::uint64_t{0}]() mutable {
        before += 2;
        arrived.fetch_add(1, std::memory_order_acq_rel);
        for (unsigned spins = 0; arrived.load(std::memory_order_acquire) < before; ++spins) {
            if (spins > 200) {
                std::this_thread::yield();
            }
        }
    };
    together(2, [&, meet](std::size_t index) {
        auto both = meet;
        for (std::uint64_t round = 0; round < rounds; ++round) {
            both();
            if (index == 0) {
                std_env::store_light(fast, own, std::uint32_t{1});
                fast_saw = asked.load(std::memory_order_relaxed);
            } else {
                asked.store(1, std::memory_order_relaxed);
                if (fast) {
                    std_env::heavy();
                }
                heavy_saw = std_env::load_heavy(fast, own);
            }
            both();
            if (index == 0) {
                missed += fast_saw == 0 && heavy_saw == 0 ? 1U : 0U;
                own.store(0, std::memory_order_relaxed);
                asked.store(0, std::memory_order_relaxed);
            }
        }
    });
    EXPECT_EQ(missed, 0U) << "of " << rounds;
}

// ---- Env ---------------------------------------------------------------------------------------------------------------

static_assert(std::is_same_v<std_env::atomic<int>, std::atomic<int>>, "the seam costs nothing");
static_assert(sizeof(std_env::var<std::uint64_t>) == sizeof(std::uint64_t));
static_assert(sizeof(std_env::storage<large>) == sizeof(large));
static_assert(alignof(std_env::storage<aligned<128>>) == 128);
static_assert((std_env::segment_slots & (std_env::segment_slots - 1)) == 0);

TEST(env, storage_constructs_takes_and_destroys) {
    const std::uint64_t live = counted::live();
    std_env::storage<counted> room;
    EXPECT_EQ(counted::live(), live);
    room.construct(7U);
    EXPECT_EQ(counted::live(), live + 1);
    EXPECT_EQ(room.get()->number(), 7U);
    {
        const counted taken = room.take();
        EXPECT_EQ(taken.number(), 7U);
        EXPECT_EQ(counted::live(), live + 1) << "what was moved from is still there";
    }
    EXPECT_EQ(counted::live(), live);
    room.construct(8U);
    room.destroy();
    EXPECT_EQ(counted::live(), live);
}

TEST(env, storage_is_noexcept_where_the_element_is) {
    std_env::storage<fragile> room;
    static_assert(noexcept(room.construct(std::declval<fragile>())));
    static_assert(!noexcept(room.construct(std::declval<const fragile&>())));
    const fragile original(3);
    fragile::copies_fail = true;
    EXPECT_THROW(room.construct(original), copy_failed);
    fragile::copies_fail = false;
}

TEST(env, blocks_have_the_alignment_that_was_asked_for) {
    for (const std::size_t align : {std::size_t{8}, std::size_t{64}, std::size_t{128}, std::size_t{4096}}) {
        void* block = std_env::allocate(100, align);
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % align, 0U);
        std_env::deallocate(block, 100, align);
    }
}

TEST(env, relax_returns_in_every_round) {
    for (const unsigned round : {0U, 15U, 16U, 79U, 80U, ~0U}) {
        std_env::relax(round);
    }
}

TEST(env, each_domain_gets_an_id_of_its_own) {
    const std::uint64_t first = std_env::open_domain();
    std_env::close_domain(first);
    const std::uint64_t second = std_env::open_domain();
    std_env::close_domain(second);
    EXPECT_NE(first, 0U);
    EXPECT_NE(first, second) << "an id that is used again lets a thread's cache mistake one domain for another";
}

TEST(env, a_threads_record_is_found_until_its_domain_closes) {
    const std::uint64_t domain = std_env::open_domain();
    int record = 0;
    EXPECT_EQ(std_env::find_local(domain), nullptr);
    std_env::remember_local(domain, &record, [](void*) noexcept {});
    EXPECT_EQ(std_env::find_local(domain), &record);
    actor other;
    other([&] { EXPECT_EQ(std_env::find_local(domain), nullptr); });
    std_env::close_domain(domain);
}

TEST(env, the_end_of_a_thread_is_told_for_each_domain_that_still_lives) {
    const std::uint64_t lives = std_env::open_domain();
    const std::uint64_t closes = std_env::open_domain();
    std::atomic<int> told{0};
    std::thread([&] {
        const auto tell = [](void* count) noexcept { static_cast<std::atomic<int>*>(count)->fetch_add(1); };
        std_env::remember_local(lives, &told, tell);
        std_env::remember_local(closes, &told, tell);
        std_env::close_domain(closes);
    }).join();
    EXPECT_EQ(told, 1);
    std_env::close_domain(lives);
}

// ---- back-off ----------------------------------------------------------------------------------------------------------

struct pause_counter {
    inline static unsigned pauses = 0;
    static void pause() noexcept { ++pauses; }
};

TEST(backoff, waits_longer_each_time_up_to_a_bound) {
    backoff<pause_counter> wait;
    std::vector<unsigned> waits;
    for (int i = 0; i < 8; ++i) {
        pause_counter::pauses = 0;
        wait();
        waits.push_back(pause_counter::pauses);
    }
    EXPECT_EQ(waits, (std::vector<unsigned>{1, 2, 4, 8, 16, 32, 32, 32}));
}

// ---- expected and errors -------------------------------------------------------------------------------------------------

using answer = expected<move_only, conqueue_status>;

TEST(expected, holds_a_value) {
    answer some = make<move_only>(7);
    ASSERT_TRUE(some.has_value());
    ASSERT_TRUE(static_cast<bool>(some));
    EXPECT_EQ(**some, 7U);
    EXPECT_EQ(*some.value(), 7U);
    EXPECT_NE(some->get(), nullptr);
    const move_only taken = *std::move(some);
    EXPECT_EQ(*taken, 7U);
    answer other = make<move_only>(8);
    EXPECT_EQ(*std::move(other).value(), 8U);
}

TEST(expected, holds_an_error) {
    answer none = unexpected(conqueue_status::closed);
    EXPECT_FALSE(none.has_value());
    EXPECT_FALSE(static_cast<bool>(none));
    EXPECT_EQ(none.error(), conqueue_status::closed);
    EXPECT_ANY_THROW(none.value());
    EXPECT_EQ(*std::move(none).value_or(make<move_only>(9)), 9U);
}

TEST(expected, holds_a_value_and_an_error_of_the_same_type) {
    const expected<int, int> value = 1;
    const expected<int, int> error = unexpected(1);
    EXPECT_TRUE(value.has_value());
    EXPECT_FALSE(error.has_value());
    EXPECT_EQ(*value, 1);
    EXPECT_EQ(error.error(), 1);
}

TEST(expected, moves_and_destroys_its_value_once) {
    const std::uint64_t live = counted::live();
    {
        expected<counted, conqueue_status> first = counted(5U);
        expected<counted, conqueue_status> second = std::move(first);
        EXPECT_EQ(second->number(), 5U);
        EXPECT_EQ(counted::live(), live + 2);
    }
    EXPECT_EQ(counted::live(), live);
}

TEST(error, every_status_has_a_word) {
    EXPECT_EQ(to_string(conqueue_status::success), "success");
    EXPECT_EQ(to_string(conqueue_status::empty), "empty");
    EXPECT_EQ(to_string(conqueue_status::full), "full");
    EXPECT_EQ(to_string(conqueue_status::closed), "closed");
    EXPECT_EQ(to_string(conqueue_status::busy), "busy");
    EXPECT_EQ(to_string(static_cast<conqueue_status>(200)), "unknown");
}

TEST(error_death, misuse_says_its_sentence_and_aborts) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(misuse("the pot is cracked. Use another one."), testing::KilledBySignal(SIGABRT),
                "^epoque: the pot is cracked\\. Use another one\\.\n$");
}

// ---- concepts ------------------------------------------------------------------------------------------------------------

struct throws_when_moved {
    throws_when_moved() = default;
    throws_when_moved(throws_when_moved&&) noexcept(false) {}
};

static_assert(element<int> && element<move_only> && element<least> && element<counted> && element<fragile>);
static_assert(!element<const int> && !element<int&> && !element<int[2]> && !element<void>);
static_assert(!element<throws_when_moved>);

static_assert(multi_pass_iterator<int*> && multi_pass_iterator<std::forward_list<int>::iterator>);
static_assert(multi_pass_iterator<std::move_iterator<move_only*>>);
static_assert(!multi_pass_iterator<std::istream_iterator<int>>);

} // namespace
} // namespace epoque::test
