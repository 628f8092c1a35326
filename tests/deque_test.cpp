// SPDX-License-Identifier: BSL-1.0
/// @file
/// Tests of deque.hpp.
#include "epoque/deque.hpp"
#include "support.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <new>
#include <numeric>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace epoque::test {
namespace {

static_assert(stealable<std::uint64_t> && stealable<int*> && stealable<std::byte> && stealable<conqueue_status>);
static_assert(!stealable<std::unique_ptr<int>> && !stealable<large> && !stealable<const int> && !stealable<int[2]>);

/// Real threads; counts the read-modify-writes of the calling thread.
struct counting_env : small_env {
    inline static thread_local std::uint64_t read_modify_writes = 0;

    template <class T>
    struct atomic : std::atomic<T> {
        using std::atomic<T>::atomic;
        T exchange(T value, std::memory_order order) noexcept {
            ++read_modify_writes;
            return std::atomic<T>::exchange(value, order);
        }
        T fetch_add(T value, std::memory_order order) noexcept {
            ++read_modify_writes;
            return std::atomic<T>::fetch_add(value, order);
        }
        bool compare_exchange_strong(T& seen, T wanted, std::memory_order success, std::memory_order failure) noexcept {
            ++read_modify_writes;
            return std::atomic<T>::compare_exchange_strong(seen, wanted, success, failure);
        }
    };
};

template <class Deque>
std::vector<std::uint64_t> steal_all(Deque& from) {
    std::vector<std::uint64_t> all;
    while (const auto got = from.try_steal()) {
        all.push_back(*got);
    }
    return all;
}

// ---- sequential --------------------------------------------------------------------------------------------------------

/// Runs a program on a deque and on a std::deque; every answer must be the same.
template <class T, class Env>
void agrees_with_std_deque(const std::vector<std::uint8_t>& steps) {
    basic_domain<Env> home;
    work_stealing_deque<T, Env> deque(home);
    std::deque<T> model;
    std::uint64_t next = 0;
    for (const std::uint8_t step : steps) {
        switch (step % 8) {
        case 0:
        case 1:
        case 2:
            deque.push(static_cast<T>(++next));
            model.push_back(static_cast<T>(next));
            break;
        case 3:
        case 4: {
            const auto got = deque.try_pop();
            RC_ASSERT(got.has_value() == !model.empty());
            if (got) {
                RC_ASSERT(*got == model.back());
                model.pop_back();
            } else {
                RC_ASSERT(got.error() == conqueue_status::empty);
            }
            break;
        }
        case 5:
        case 6: {
            const auto got = deque.try_steal();
            RC_ASSERT(got.has_value() == !model.empty());
            if (got) {
                RC_ASSERT(*got == model.front());
                model.pop_front();
            } else {
                RC_ASSERT(got.error() == conqueue_status::empty);
            }
            break;
        }
        default:
            tick(home);
            RC_ASSERT(deque.was_size() == model.size());
            RC_ASSERT(deque.was_empty() == model.empty());
        }
    }
    for (; !model.empty(); model.pop_back()) {
        RC_ASSERT(deque.try_pop().value() == model.back());
    }
    RC_ASSERT(!deque.try_pop());
}

TEST(deque, agrees_with_a_std_deque_on_random_programs) {
    EXPECT_TRUE(rc::check("numbers", agrees_with_std_deque<std::uint64_t, small_env>));
    EXPECT_TRUE(rc::check("bytes, no pool", agrees_with_std_deque<std::uint8_t, unpooled_env>));
    EXPECT_EQ(small_env::live_bytes(), 0U);
}

TEST(deque, the_owner_takes_the_newest_and_a_thief_the_oldest) {
    domain home;
    work_stealing_deque<std::uint64_t> deque(home);
    for (const std::uint64_t number : numbers(0, 10)) {
        deque.push(number);
    }
    EXPECT_EQ(deque.try_pop().value(), 9U);
    EXPECT_EQ(deque.try_steal().value(), 0U);
    EXPECT_EQ(deque.try_steal().value(), 1U);
    EXPECT_EQ(deque.try_pop().value(), 8U);
    EXPECT_EQ(deque.was_size(), 6U);
    EXPECT_EQ(steal_all(deque), numbers(2, 8));
    EXPECT_EQ(deque.try_steal().error(), conqueue_status::empty);
    EXPECT_EQ(deque.try_pop().error(), conqueue_status::empty);
}

TEST(deque, takes_every_kind_of_element_that_fits_in_a_word) {
    struct pair {
        std::uint32_t first;
        std::uint32_t second;
    };
    domain home;
    work_stealing_deque<pair> pairs(home);
    pairs.push({1, 2});
    pairs.push({3, 4});
    EXPECT_EQ(pairs.try_steal().value().second, 2U);
    EXPECT_EQ(pairs.try_pop().value().first, 3U);
    work_stealing_deque<conqueue_status> words(home);
    words.push(conqueue_status::busy);
    EXPECT_EQ(words.try_steal().value(), conqueue_status::busy);
    work_stealing_deque<std::unique_ptr<int>*> pointers(home);
    auto owned = std::make_unique<int>(7);
    pointers.push(&owned);
    EXPECT_EQ(**pointers.try_pop().value(), 7);
}

TEST(deque, works_on_when_it_ran_empty_in_any_way) {
    // Where the border lies when the last element goes differs in each round.
    domain home;
    work_stealing_deque<std::uint64_t> deque(home);
    std::uint64_t next = 0;
    for (std::uint64_t size = 1; size < 20; ++size) {
        for (std::uint64_t steals = 0; steals <= size; ++steals) {
            std::deque<std::uint64_t> model;
            for (std::uint64_t i = 0; i < size; ++i) {
                deque.push(++next);
                model.push_back(next);
            }
            for (std::uint64_t i = 0; i < steals; ++i) {
                ASSERT_EQ(deque.try_steal().value(), model.front());
                model.pop_front();
            }
            for (; !model.empty(); model.pop_back()) {
                ASSERT_EQ(deque.try_pop().value(), model.back());
            }
            ASSERT_FALSE(deque.try_pop());
            ASSERT_FALSE(deque.try_steal());
            ASSERT_TRUE(deque.was_empty());
        }
    }
}

// ---- capacity and cost -------------------------------------------------------------------------------------------------

TEST(deque, grows_without_bound_and_keeps_everything) {
    basic_domain<small_env> home;
    work_stealing_deque<std::uint64_t, small_env> deque(home);
    for (const std::uint64_t number : numbers(0, 10'000)) {
        deque.push(number);
        if (number % 3 == 0) {
            ASSERT_EQ(deque.try_steal().value(), number / 3);
        }
    }
    EXPECT_EQ(steal_all(deque), numbers(3334, 10'000));
}

TEST(deque, does_not_grow_while_it_holds_little) {
    basic_domain<small_env> home;
    work_stealing_deque<std::uint64_t, small_env> deque(home);
    deque.push(0);
    static_cast<void>(deque.try_steal());
    const std::uint64_t before = small_env::live_bytes();
    for (std::uint64_t number = 0; number < 10'000; ++number) {
        deque.push(number);
        ASSERT_EQ((number % 2 == 0 ? deque.try_steal() : deque.try_pop()).value(), number);
    }
    EXPECT_EQ(small_env::live_bytes(), before);
}

TEST(deque, trim_gives_back_what_it_grew_to_and_keeps_everything) {
    basic_domain<unpooled_env> home;
    work_stealing_deque<std::uint64_t, unpooled_env> deque(home);
    deque.push(0);
    {
        const std::scoped_lock record_is_made(home);
    }
    const std::uint64_t small = unpooled_env::live_bytes();
    for (const std::uint64_t number : numbers(1, 3'000)) {
        deque.push(number);
    }
    for (std::uint64_t number = 0; number < 2'000; ++number) { // what is left lies at high indices
        ASSERT_EQ(deque.try_steal().value(), number);
    }
    EXPECT_TRUE(deque.trim());
    EXPECT_EQ(deque.was_size(), 1'000U);
    EXPECT_EQ(deque.try_pop().value(), 2'999U);
    deque.push(2'999);
    deque.push(3'000); // the last slot but some, and the next ones
    EXPECT_EQ(steal_all(deque), numbers(2'000, 3'001));
    for (std::uint64_t held = 0; held < 20; ++held) {
        for (const std::uint64_t number : numbers(0, 50)) {
            deque.push(number);
        }
        for (std::uint64_t number = 50; number > held; --number) {
            ASSERT_EQ(deque.try_pop().value(), number - 1);
        }
        EXPECT_TRUE(deque.trim());
        deque.push(held); // into the last slot
        deque.push(held + 1);
        EXPECT_EQ(steal_all(deque), numbers(0, held + 2));
    }
    EXPECT_TRUE(deque.trim());
    home.barrier();
    EXPECT_EQ(unpooled_env::live_bytes(), small);
}

TEST(deque, a_trim_that_finds_no_memory_changes_nothing) {
    basic_domain<unpooled_env> home;
    work_stealing_deque<std::uint64_t, unpooled_env> deque(home);
    for (const std::uint64_t number : numbers(0, 100)) {
        deque.push(number);
    }
    for (std::uint64_t number = 99; number >= 3; --number) {
        ASSERT_EQ(deque.try_pop().value(), number);
    }
    {
        const out_of_memory from_now(0);
        EXPECT_FALSE(deque.trim());
    }
    EXPECT_EQ(deque.was_size(), 3U);
    EXPECT_TRUE(deque.trim());
    EXPECT_EQ(steal_all(deque), numbers(0, 3));
}

TEST(deque, the_owner_needs_no_read_modify_write_while_nobody_steals) {
    if (!counting_env::asymmetric()) {
        GTEST_SKIP() << "without membarrier each operation of the owner is a read-modify-write";
    }
    basic_domain<counting_env> home;
    work_stealing_deque<std::uint64_t, counting_env> deque(home);
    const auto up_and_down = [&deque](std::uint64_t count) {
        const std::uint64_t before = counting_env::read_modify_writes;
        for (std::uint64_t i = 0; i < count; ++i) {
            deque.push(i);
        }
        for (std::uint64_t i = 0; i < count; ++i) {
            static_cast<void>(deque.try_pop());
        }
        static_cast<void>(deque.try_pop()); // empty
        return counting_env::read_modify_writes - before;
    };
    up_and_down(100); // the ring has its size
    EXPECT_EQ(up_and_down(100), 0U);
    for (std::uint64_t i = 0; i < 100; ++i) {
        deque.push(i);
    }
    actor thief;
    thief([&deque] { static_cast<void>(deque.try_steal()); });
    EXPECT_LE(up_and_down(100), 102U) << "one for each of the 49 elements that are public still";
    while (deque.try_pop()) {
    }
    EXPECT_EQ(up_and_down(100), 0U) << "a deque that ran empty is private again";
}

TEST(deque, a_thief_pays_one_heavy_barrier_for_half_of_what_there_is) {
    domain home;
    work_stealing_deque<std::uint64_t> deque(home);
    for (const std::uint64_t number : numbers(0, 1000)) {
        deque.push(number);
    }
    const std::uint64_t before = barrier::was_called().heavy;
    EXPECT_EQ(steal_all(deque).size(), 1000U);
    EXPECT_LE(barrier::was_called().heavy - before, 10U);
}

// ---- lifetime ----------------------------------------------------------------------------------------------------------

TEST(deque, deques_of_the_default_domain_need_no_other) {
    work_stealing_deque<int> deque;
    deque.push(5);
    EXPECT_EQ(deque.try_pop().value(), 5);
}

TEST(deque, a_guard_that_stays_keeps_no_outgrown_ring) {
    basic_domain<unpooled_env> home;
    {
        work_stealing_deque<std::uint64_t, unpooled_env> deque(home);
        actor holder;
        holder([&] { home.lock(); });
        for (const std::uint64_t number : numbers(0, 2000)) {
            deque.push(number);
        }
        EXPECT_EQ(home.stats().retired_objects, 10U) << "rings of 2, 4, 8, .. 1024";
        EXPECT_LE(home.stats().pending_objects, std::uint64_t{unpooled_env::advance_objects});
        EXPECT_EQ(steal_all(deque), numbers(0, 2000));
        holder([&] { home.unlock(); });
        home.barrier();
        EXPECT_EQ(home.stats().pending_objects, 0U);
    }
    home.barrier();
}

TEST(deque, may_end_inside_a_deleter_with_elements_in_it) {
    domain home;
    auto deque = std::make_unique<work_stealing_deque<std::uint64_t>>(home);
    deque->push(1);
    home.retire(deque.release());
    home.barrier();
    EXPECT_EQ(home.stats().pending_objects, 0U);
}

// ---- exceptions --------------------------------------------------------------------------------------------------------

TEST(deque, a_push_that_finds_no_memory_changes_nothing) {
    bool failed = true;
    for (std::uint64_t allowed = 0; failed; ++allowed) {
        std::thread([&] { // a new thread each time: its record is an allocation, too
            failed = false;
            basic_domain<unpooled_env> home;
            std::optional<work_stealing_deque<std::uint64_t, unpooled_env>> deque;
            std::uint64_t next = 0;
            {
                const out_of_memory from_now(allowed);
                try {
                    deque.emplace(home);
                    for (; next < 40; ++next) {
                        deque->push(next);
                    }
                } catch (const std::bad_alloc&) {
                    failed = true;
                }
            }
            if (!deque) {
                deque.emplace(home);
            }
            EXPECT_EQ(deque->was_size(), next);
            for (; next < 40; ++next) {
                deque->push(next);
            }
            EXPECT_EQ(deque->try_pop().value(), 39U);
            EXPECT_EQ(steal_all(*deque), numbers(0, 39));
        })
            .join();
        ASSERT_LT(allowed, 100U) << "the allocations never suffice";
    }
    EXPECT_EQ(small_env::live_blocks(), 0U);
}

TEST(deque, a_steal_that_finds_no_memory_for_its_record_leaves_the_element) {
    basic_domain<small_env> home;
    work_stealing_deque<std::uint64_t, small_env> deque(home);
    deque.push(7);
    actor thief;
    thief([&] {
        {
            const out_of_memory from_now(0);
            EXPECT_THROW(static_cast<void>(deque.try_steal()), std::bad_alloc);
        }
        EXPECT_EQ(deque.try_steal().value(), 7U);
    });
}

// ---- two threads -------------------------------------------------------------------------------------------------------

TEST(deque, a_thief_that_sleeps_before_its_barrier_stops_neither_the_owner_nor_other_thieves) {
    if (!staged_env::asymmetric()) {
        GTEST_SKIP() << "there is no heavy barrier to sleep before";
    }
    basic_domain<staged_env> home;
    work_stealing_deque<std::uint64_t, staged_env> deque(home);
    for (const std::uint64_t number : numbers(0, 6)) {
        deque.push(number);
    }
    gate claimed;
    actor sleeper;
    std::optional<std::uint64_t> got;
    auto steal = sleeper.start([&] {
        staged_env::before_heavy = &claimed;
        if (const auto stolen = deque.try_steal()) {
            got = *stolen;
        }
    });
    claimed.wait_until_reached();
    EXPECT_EQ(deque.try_pop().value(), 5U) << "private";
    EXPECT_EQ(deque.try_steal().error(), conqueue_status::busy) << "leaves the barrier to the sleeper";
    std::uint64_t tries = 1;
    auto stolen = deque.try_steal();
    for (; !stolen && tries < 100; ++tries) {
        EXPECT_EQ(stolen.error(), conqueue_status::busy);
        stolen = deque.try_steal();
    }
    EXPECT_EQ(stolen.value(), 0U);
    EXPECT_EQ(tries, std_env::spin_before_abandon) << "every 33rd does not";
    EXPECT_EQ(deque.try_pop().value(), 4U);
    EXPECT_EQ(deque.try_pop().value(), 3U);
    EXPECT_EQ(deque.try_pop().value(), 2U) << "public";
    EXPECT_EQ(deque.try_pop().value(), 1U) << "public, and the last one";
    EXPECT_EQ(deque.try_pop().error(), conqueue_status::empty);
    deque.push(6);
    claimed.open();
    steal.get();
    if (!got) { // it lost element 0, and says so
        got = deque.try_steal().value();
    }
    EXPECT_EQ(got, 6U);
}

TEST(deque, where_the_kernel_refuses_the_barrier_thieves_say_busy_and_the_owner_goes_on) {
    basic_domain<refusing_env> home;
    work_stealing_deque<std::uint64_t, refusing_env> deque(home);
    for (const std::uint64_t number : numbers(0, 10)) {
        deque.push(number);
    }
    for (int i = 0; i < 100; ++i) {
        EXPECT_EQ(deque.try_steal().error(), conqueue_status::busy);
    }
    for (std::uint64_t number = 10; number != 0; --number) {
        EXPECT_EQ(deque.try_pop().value(), number - 1);
    }
    EXPECT_EQ(deque.try_pop().error(), conqueue_status::empty);
    EXPECT_EQ(deque.try_steal().error(), conqueue_status::empty);
}

TEST(deque, the_owner_and_a_thief_share_single_elements_out) {
    const std::uint64_t count = many(200'000);
    domain home;
    work_stealing_deque<std::uint64_t> deque(home);
    std::vector<std::uint64_t> popped;
    std::vector<std::uint64_t> stolen;
    std::atomic<bool> done{false};
    together(2, [&](std::size_t index) {
        if (index == 0) {
            for (std::uint64_t number = 0; number < count; ++number) {
                deque.push(number);
                if (const auto got = deque.try_pop()) {
                    ASSERT_EQ(*got, number);
                    popped.push_back(number);
                }
            }
            done = true;
            return;
        }
        while (!done) {
            if (const auto got = deque.try_steal()) {
                stolen.push_back(*got);
            }
        }
    });
    EXPECT_TRUE(std::is_sorted(stolen.begin(), stolen.end()));
    popped.insert(popped.end(), stolen.begin(), stolen.end());
    std::sort(popped.begin(), popped.end());
    EXPECT_EQ(popped, numbers(0, count));
}

TEST(deque, ownership_can_be_handed_over) {
    domain home;
    work_stealing_deque<std::uint64_t> deque(home);
    std::uint64_t next = 0;
    for (int thread = 0; thread < 20; ++thread) {
        actor owner;
        owner([&] {
            for (int i = 0; i < 50; ++i) {
                deque.push(next++);
            }
            for (int i = 0; i < 20; ++i) {
                EXPECT_EQ(deque.try_pop().value(), --next);
            }
        });
    }
    EXPECT_EQ(steal_all(deque), numbers(0, 600));
}

// ---- many threads ------------------------------------------------------------------------------------------------------

TEST(deque, each_element_is_taken_once_while_the_deque_grows_and_runs_empty) {
    const std::uint64_t bursts = many(300);
    basic_domain<small_env> home;
    work_stealing_deque<std::uint64_t, small_env> deque(home);
    std::atomic<bool> done{false};
    std::vector<std::vector<std::uint64_t>> taken(4);
    std::uint64_t next = 0;
    together(taken.size(), [&](std::size_t index) {
        if (index != 0) {
            while (!done) {
                if (const auto got = deque.try_steal()) {
                    taken[index].push_back(*got);
                }
            }
            EXPECT_TRUE(std::is_sorted(taken[index].begin(), taken[index].end())) << "older ones come first";
            return;
        }
        for (std::uint64_t burst = 0; burst < bursts; ++burst) {
            for (std::uint64_t i = 0; i < burst % 50; ++i) {
                deque.push(next++);
            }
            while (const auto got = deque.try_pop()) {
                taken[0].push_back(*got);
            }
        }
        done = true;
    });
    std::vector<std::uint64_t> all;
    for (const auto& each : taken) {
        all.insert(all.end(), each.begin(), each.end());
    }
    std::sort(all.begin(), all.end());
    EXPECT_EQ(all, numbers(0, next));
}

TEST(deque, threads_with_a_deque_each_work_off_a_tree_of_tasks) {
    // A task of size n becomes two of n-1: work that multiplies at the owner and is shared by stealing.
    constexpr std::size_t workers = 4;
    constexpr std::uint64_t depth = 13;
    constexpr std::uint64_t all_tasks = (std::uint64_t{2} << depth) - 1;
    domain home;
    std::vector<std::unique_ptr<work_stealing_deque<std::uint64_t>>> deques;
    for (std::size_t index = 0; index < workers; ++index) {
        deques.push_back(std::make_unique<work_stealing_deque<std::uint64_t>>(home));
    }
    deques[0]->push(depth);
    std::atomic<std::uint64_t> executed{0};
    together(workers, [&](std::size_t index) {
        for (std::size_t victim = index; executed < all_tasks; ++victim) {
            auto task = deques[index]->try_pop();
            if (!task) {
                task = deques[victim % workers]->try_steal();
            }
            if (!task) {
                std::this_thread::yield();
                continue;
            }
            if (*task != 0) {
                deques[index]->push(*task - 1);
                deques[index]->push(*task - 1);
            }
            ++executed;
        }
    });
    EXPECT_EQ(executed, all_tasks);
    for (const auto& each : deques) {
        EXPECT_TRUE(each->was_empty());
    }
}

} // namespace
} // namespace epoque::test
