// SPDX-License-Identifier: BSL-1.0
/// @file
/// Tests of domain.hpp.
#include "epoque/domain.hpp"
#include "epoque/queue.hpp"
#include "epoque/stack.hpp"
#include "support.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

namespace epoque::test {
namespace {

using namespace std::chrono_literals;

/// An object that says when its deleter has run. Lives in the test, so that looking at it is always allowed.
class tracked {
  public:
    template <class Domain>
    void retire_to(Domain& domain) {
        domain.retire(this, [](tracked* self) noexcept { self->freed_.fetch_add(1, std::memory_order_relaxed); });
    }
    bool freed() const { return times_freed() != 0; }
    int times_freed() const { return freed_.load(std::memory_order_relaxed); }

  private:
    std::atomic<int> freed_{0};
};

/// Gives the calling thread's expired garbage every chance to be freed at this epoch.
template <class Domain>
void pin_often(Domain& domain) {
    for (int i = 0; i < 64; ++i) {
        const auto guard = domain.pin();
    }
}

/// An actor that can stay inside a guard between two pieces of work.
class reader {
  public:
    explicit reader(domain& home) : home_(home) {}
    void pin() {
        thread_([this] { home_.lock(); });
    }
    void unpin() {
        thread_([this] { home_.unlock(); });
    }
    actor& thread() { return thread_; }

  private:
    domain& home_;
    actor thread_;
};

template <class Condition>
void wait_until(Condition condition) {
    for (unsigned round = 0; !condition(); ++round) {
        std_env::relax(round);
    }
}

bool has_ended(const std::future<void>& work) {
    return work.wait_for(0s) == std::future_status::ready;
}

// ---- sequential --------------------------------------------------------------------------------------------------------

TEST(domain, guards_nest_and_only_the_outermost_one_ends_the_pin) {
    domain home;
    {
        const auto outer = home.pin();
        {
            const auto inner = home.pin();
            EXPECT_EQ(home.stats().pinned, 1U);
        }
        EXPECT_EQ(home.stats().pinned, 1U);
    }
    EXPECT_EQ(home.stats().pinned, 0U);
    EXPECT_EQ(home.stats().threads, 1U);
}

TEST(domain, it_is_lockable_and_works_with_scoped_lock) {
    domain first;
    domain second;
    {
        const std::scoped_lock both(first, second);
        EXPECT_EQ(first.stats().pinned, 1U);
        EXPECT_EQ(second.stats().pinned, 1U);
        const std::scoped_lock nested(first);
        EXPECT_TRUE(first.try_lock());
        first.unlock();
    }
    EXPECT_EQ(first.stats().pinned, 0U);
    EXPECT_EQ(second.stats().pinned, 0U);
}

TEST(domain, default_delete_frees_what_was_retired) {
    const std::uint64_t live = counted::live();
    domain home;
    home.retire(new counted(7));
    EXPECT_EQ(counted::live(), live + 1);
    home.barrier();
    EXPECT_EQ(counted::live(), live);
}

TEST(domain, a_deleter_may_be_move_only_and_carry_state) {
    int object = 0;
    int seen = 0;
    domain home;
    home.retire(&object, [&seen, state = std::make_unique<int>(42)](int*) noexcept { seen = *state; });
    home.barrier();
    EXPECT_EQ(seen, 42);
}

TEST(domain, each_deleter_runs_exactly_once) {
    std::vector<tracked> objects(2000);
    {
        domain home;
        for (tracked& object : objects) {
            object.retire_to(home);
        }
        home.barrier();
    }
    for (const tracked& object : objects) {
        ASSERT_EQ(object.times_freed(), 1);
    }
}

TEST(domain, a_tick_advances_the_epoch_by_one) {
    domain home;
    const std::uint64_t before = home.stats().epoch;
    for (std::uint64_t n = 1; n < 10; ++n) {
        tick(home);
        ASSERT_EQ(home.stats().epoch, before + n);
    }
    EXPECT_EQ(home.stats().advances, home.stats().epoch - 1);
}

TEST(domain, the_grace_period_is_exactly_three_epochs) {
    for (int start = 0; start < 5; ++start) { // all places of the ring of bags, and around it
        tracked object;
        domain home;
        for (int i = 0; i < start; ++i) {
            tick(home);
        }
        const std::uint64_t stamp = home.stats().epoch;
        object.retire_to(home);
        while (home.stats().epoch < stamp + 2) {
            tick(home);
            pin_often(home);
            ASSERT_FALSE(object.freed()) << "at epoch " << home.stats().epoch << ", stamped " << stamp;
        }
        tick(home);
        pin_often(home);
        EXPECT_TRUE(object.freed()) << "at epoch " << home.stats().epoch << ", stamped " << stamp;
    }
}

TEST(domain, statistics_count_objects_and_bytes) {
    struct kilobyte {
        std::byte bytes[1024];
    };
    domain home;
    EXPECT_EQ(home.stats().epoch, 1U);
    EXPECT_EQ(home.stats().threads, 0U);
    std::vector<kilobyte> objects(10);
    for (kilobyte& object : objects) {
        home.retire(&object, [](kilobyte*) noexcept {});
    }
    const domain_stats waiting = home.stats();
    EXPECT_EQ(waiting.retired_objects, 10U);
    EXPECT_EQ(waiting.freed_objects, 0U);
    EXPECT_EQ(waiting.pending_objects, 10U);
    EXPECT_GE(waiting.pending_bytes, 10U * 1024U);
    EXPECT_LT(waiting.pending_bytes, 10U * 1200U);
    home.barrier();
    const domain_stats done = home.stats();
    EXPECT_EQ(done.freed_objects, 10U);
    EXPECT_EQ(done.pending_objects, 0U);
    EXPECT_EQ(done.pending_bytes, 0U);
    EXPECT_GE(done.peak_pending_bytes, 10U * 1024U);
    EXPECT_EQ(done.heavy_failures, 0U);
    EXPECT_EQ(done.asymmetric, barrier::asymmetric());
}

TEST(domain, a_guard_that_stays_shows_in_the_statistics) {
    domain home;
    reader sleeper(home);
    sleeper.pin();
    tick(home);
    EXPECT_EQ(home.stats().pinned, 1U);
    EXPECT_EQ(home.stats().oldest_pin_age, 1U);
    EXPECT_EQ(home.stats().blocked_advances, 0U);
    tick(home);
    EXPECT_EQ(home.stats().oldest_pin_age, 1U);
    EXPECT_EQ(home.stats().blocked_advances, 1U);
    sleeper.unpin();
}

TEST(domain, one_thread_uses_two_domains_by_turns) {
    tracked in_one;
    tracked in_other;
    domain one;
    domain other;
    in_one.retire_to(one);
    const auto guard = other.pin(); // holds nothing in `one`
    in_other.retire_to(other);
    for (int i = 0; i < 4; ++i) {
        tick(one);
        tick(other);
        pin_often(one);
        pin_often(other);
    }
    EXPECT_TRUE(in_one.freed());
    EXPECT_FALSE(in_other.freed());
}

TEST(domain, one_thread_uses_more_domains_than_it_caches) {
    constexpr std::size_t count = 3 * detail::local_records + 1;
    std::vector<tracked> objects(count);
    std::vector<std::unique_ptr<domain>> domains(count);
    for (auto& each : domains) {
        each = std::make_unique<domain>();
    }
    for (int round = 0; round < 20; ++round) {
        for (const auto& each : domains) {
            const auto guard = each->pin();
            ASSERT_EQ(each->stats().pinned, 1U);
        }
    }
    for (std::size_t i = 0; i < domains.size(); ++i) {
        objects[i].retire_to(*domains[i]);
    }
    for (std::size_t i = 0; i < domains.size(); ++i) {
        EXPECT_EQ(domains[i]->stats().threads, 1U) << "a second record was made for the same thread";
        EXPECT_FALSE(objects[i].freed());
        domains[i]->barrier();
        EXPECT_TRUE(objects[i].freed());
    }
}

TEST(domain, guards_of_many_domains_may_end_in_any_order) {
    std::vector<std::unique_ptr<domain>> domains(2 * detail::local_records + 1);
    for (auto& each : domains) {
        each = std::make_unique<domain>();
        each->lock();
    }
    for (const auto& each : domains) { // first in, first out: all but the last ones have left the cache
        EXPECT_EQ(each->stats().pinned, 1U);
        each->unlock();
        EXPECT_EQ(each->stats().pinned, 0U);
    }
}

TEST(domain, the_default_domain_is_one_and_works) {
    EXPECT_EQ(&default_domain(), &default_domain());
    tracked object;
    object.retire_to(default_domain());
    default_domain().barrier();
    EXPECT_TRUE(object.freed());
}

// ---- capacity: how much waits, and how much is freed at once -------------------------------------------------------------

/// Counts the deleters that ran, by thread.
struct deleter_count {
    inline static thread_local std::uint64_t ran = 0;
    int unused = 0;
    static void retire_to(domain& home) {
        static deleter_count object;
        home.retire(&object, [](deleter_count*) noexcept { ++ran; });
    }
};

TEST(domain, no_call_runs_more_than_eight_deleters_while_100000_objects_are_retired) {
    constexpr std::uint64_t objects = 100'000;
    domain home;
    deleter_count::ran = 0;
    std::uint64_t most = 0;
    std::uint64_t most_pending = 0;
    for (std::uint64_t i = 0; i < objects; ++i) {
        const std::uint64_t before = deleter_count::ran;
        deleter_count::retire_to(home);
        most = std::max(most, deleter_count::ran - before);
        most_pending = std::max(most_pending, i + 1 - deleter_count::ran);
    }
    EXPECT_LE(most, 8U);
    EXPECT_EQ(home.stats().most_freed_at_once, most);
    // Three epochs of grace, the epoch that is being filled, and one that is being freed.
    EXPECT_LE(most_pending, 5U * std_env::advance_objects);
    EXPECT_GE(most_pending, 3U * std_env::advance_objects);
}

TEST(domain, a_backlog_is_freed_in_small_shares_and_completely) {
    constexpr std::uint64_t objects = 100'000;
    domain home;
    reader sleeper(home);
    deleter_count::ran = 0;
    sleeper.pin();
    for (std::uint64_t i = 0; i < objects; ++i) {
        deleter_count::retire_to(home);
    }
    EXPECT_EQ(deleter_count::ran, 0U);
    EXPECT_EQ(home.stats().pending_objects, objects);
    sleeper.unpin();
    for (int i = 0; i < 5; ++i) {
        tick(home);
    }
    std::uint64_t most = 0;
    std::uint64_t calls = 0;
    for (; deleter_count::ran < objects && calls < objects; ++calls) {
        const std::uint64_t before = deleter_count::ran;
        const auto guard = home.pin();
        // The guard of the round before has ended by now.
        most = std::max(most, deleter_count::ran - before);
    }
    EXPECT_EQ(deleter_count::ran, objects);
    EXPECT_LE(home.stats().most_freed_at_once, 8U);
    EXPECT_LT(calls, objects / 4) << "a backlog of this size is worth more than two deleters a call";
    EXPECT_EQ(most, 0U) << "pin itself frees nothing";
}

TEST(domain, one_guard_that_retires_a_thousand_objects_frees_as_it_goes) {
    domain home;
    deleter_count::ran = 0;
    for (int i = 0; i < 4096; ++i) {
        deleter_count::retire_to(home);
    }
    tick(home);
    tick(home);
    tick(home);
    const std::uint64_t before = deleter_count::ran;
    {
        const auto outer = home.pin();
        for (int i = 0; i < 1000; ++i) {
            const std::uint64_t ran = deleter_count::ran;
            deleter_count::retire_to(home);
            ASSERT_LE(deleter_count::ran - ran, 8U);
        }
    }
    EXPECT_GE(deleter_count::ran - before, 1000U);
}

TEST(domain, large_objects_advance_the_epoch_by_their_bytes) {
    struct sixteen_kilobytes {
        std::byte bytes[std::size_t{1} << 14];
    };
    domain home;
    sixteen_kilobytes object{};
    for (int i = 0; i < 1000; ++i) {
        home.retire(&object, [](sixteen_kilobytes*) noexcept {});
    }
    EXPECT_GE(home.stats().advances, 1000U / (std_env::advance_bytes / sizeof(object)) - 1);
    EXPECT_LE(home.stats().pending_bytes, 5U * (std_env::advance_bytes + 2U * sizeof(object)));
}

// ---- lifetime ----------------------------------------------------------------------------------------------------------

TEST(domain, the_destructor_runs_every_deleter_that_waits) {
    std::vector<tracked> objects(1000);
    {
        domain home;
        actor other;
        other([&] {
            for (std::size_t i = 0; i < 500; ++i) {
                objects[i].retire_to(home);
            }
        });
        for (std::size_t i = 500; i < 1000; ++i) {
            objects[i].retire_to(home);
        }
        EXPECT_EQ(home.stats().pending_objects, 1000U);
    }
    for (const tracked& object : objects) {
        ASSERT_EQ(object.times_freed(), 1);
    }
}

/// Retires a chain: the deleter of each link retires the next one.
void retire_chain(domain& home, std::atomic<int>& ran, int links) {
    if (links != 0) {
        home.retire(&ran, [&home, links](std::atomic<int>* count) noexcept {
            count->fetch_add(1, std::memory_order_relaxed);
            retire_chain(home, *count, links - 1);
        });
    }
}

TEST(domain, a_deleter_may_retire_again) {
    std::atomic<int> ran{0};
    domain home;
    retire_chain(home, ran, 10);
    for (int i = 0; i < 10; ++i) {
        EXPECT_EQ(ran, i);
        home.barrier();
    }
    EXPECT_EQ(ran, 10);
}

TEST(domain, the_destructor_runs_what_deleters_retire_meanwhile) {
    std::atomic<int> ran{0};
    {
        domain home;
        retire_chain(home, ran, 10);
    }
    EXPECT_EQ(ran, 10);
}

TEST(domain, a_thread_that_never_used_the_domain_destroys_it_with_deleters_that_retire_again) {
    std::atomic<int> ran{0};
    actor owner; // lives on: its record is not free for the thread that destroys
    {
        domain home;
        owner([&] { retire_chain(home, ran, 10); });
    }
    EXPECT_EQ(ran, 10);
}

TEST(domain, deleters_push_to_other_structures_pop_and_pin) {
    int object = 0;
    domain home;
    queue<int> numbers(home);
    stack<int> spare(home);
    for (int i = 0; i < 5000; ++i) { // across segments, from inside deleters
        home.retire(&object, [&](int*) noexcept {
            const auto guard = home.pin();
            numbers.push(1);
            spare.push(1);
            if (auto top = spare.try_pop()) {
                numbers.push(*top);
            }
        });
    }
    home.barrier();
    int sum = 0;
    while (auto number = numbers.try_pop()) {
        sum += *number;
    }
    EXPECT_EQ(sum, 10'000);
    EXPECT_TRUE(spare.was_empty());
    EXPECT_LE(home.stats().most_freed_at_once, 8U);
}

TEST(domain, a_queue_is_destroyed_inside_a_deleter) {
    const std::uint64_t live = counted::live();
    domain home;
    auto* doomed = new queue<counted>(home);
    for (std::uint64_t i = 0; i < 3000; ++i) {
        doomed->emplace(i);
    }
    for (int i = 0; i < 1500; ++i) { // some of its own segments wait for their grace period
        ASSERT_TRUE(doomed->try_pop());
    }
    home.retire(doomed);
    EXPECT_EQ(counted::live(), live + 1500);
    home.barrier();
    EXPECT_EQ(counted::live(), live);
}

TEST(domain, structures_die_with_garbage_left_and_the_domain_frees_it) {
    {
        basic_domain<small_env> home;
        queue<counted, small_env> line(home);
        stack<counted, small_env> pile(home);
        for (std::uint64_t i = 0; i < 100; ++i) {
            line.emplace(i);
            pile.emplace(i);
        }
        for (int i = 0; i < 50; ++i) {
            ASSERT_TRUE(line.try_pop());
            ASSERT_TRUE(pile.try_pop());
        }
    }
    EXPECT_EQ(small_env::live_blocks(), 0U);
    EXPECT_EQ(small_env::live_bytes(), 0U);
}

TEST(domain, domains_come_and_go_while_a_thread_lives) {
    actor user;
    std::optional<basic_domain<small_env>> home; // each at the same address
    for (int i = 0; i < 100; ++i) {
        home.emplace();
        tracked object;
        user([&] {
            const auto guard = home->pin();
            object.retire_to(*home);
        });
        {
            const auto guard = home->pin();
            ASSERT_EQ(home->stats().threads, 2U) << "a record of an earlier domain was mistaken for one of this";
        }
        home.reset();
        ASSERT_EQ(object.times_freed(), 1);
        ASSERT_EQ(small_env::live_blocks(), 0U);
    }
}

TEST(domain, a_record_outlives_its_thread_and_serves_the_next_one) {
    basic_domain<small_env> home;
    const auto once = [&home] { std::thread([&home] { const auto guard = home.pin(); }).join(); };
    once();
    const std::uint64_t blocks = small_env::live_blocks();
    EXPECT_EQ(home.stats().threads, 0U);
    for (int i = 0; i < 100; ++i) {
        once();
    }
    EXPECT_EQ(small_env::live_blocks(), blocks);
    EXPECT_EQ(home.stats().threads, 0U);
}

TEST(domain, garbage_of_an_exited_thread_is_freed_by_those_that_go_on) {
    std::vector<tracked> objects(300);
    domain home;
    const auto guard_of_a_record = [&home] { const auto guard = home.pin(); };
    guard_of_a_record(); // so that the exited thread's record is not ours to reuse
    for (std::size_t first = 0; first < objects.size(); first += 100) {
        std::thread([&, first] {
            for (std::size_t i = first; i < first + 100; ++i) {
                objects[i].retire_to(home);
            }
        }).join();
    }
    const auto all_freed = [&objects] {
        return std::all_of(objects.begin(), objects.end(), [](const tracked& object) { return object.freed(); });
    };
    for (int ticks = 0; ticks < 50 && !all_freed(); ++ticks) {
        tick(home);
        pin_often(home);
    }
    EXPECT_TRUE(all_freed());
}

TEST(domain, garbage_of_an_exited_thread_passes_to_the_thread_that_inherits_its_record) {
    tracked object;
    domain home;
    std::thread([&] { object.retire_to(home); }).join();
    std::thread([&] {
        for (int i = 0; i < 4; ++i) {
            tick(home);
            pin_often(home);
        }
    }).join();
    EXPECT_TRUE(object.freed());
    EXPECT_EQ(home.stats().threads, 0U);
}

/// Uses a queue when its thread ends.
struct last_words {
    ~last_words() {
        if (to != nullptr) {
            to->push(number);
            at_home->retire(
                new int(number)); // NOLINT(bugprone-unhandled-exception-at-new): without memory the test ends
        }
    }
    queue<int>* to = nullptr;
    domain* at_home = nullptr;
    int number = 0;
};

TEST(domain, destructors_of_thread_locals_use_a_queue_after_everything_else) {
    domain home;
    queue<int> heard(home);
    for (int number = 1; number <= 3; ++number) {
        std::thread([&, number] {
            thread_local last_words words; // made before the thread's record, hence destroyed after
            words.to = &heard;
            words.at_home = &home;
            words.number = number;
            const auto guard = home.pin();
        }).join();
    }
    int sum = 0;
    while (auto number = heard.try_pop()) {
        sum += *number;
    }
    EXPECT_EQ(sum, 1 + 2 + 3);
    EXPECT_EQ(home.stats().threads, 1U) << "the ended threads still hold records";
    home.barrier();
    EXPECT_EQ(home.stats().pending_objects, 0U);
}

TEST(domain, destructors_of_pthread_keys_use_a_queue_after_our_own_one) {
    static domain home;
    static queue<int> heard(home);
    pthread_key_t key{};
    ASSERT_EQ(pthread_key_create(&key, [](void* memory) { heard.push(*static_cast<int*>(memory)); }), 0);
    int number = 42;
    std::thread([&] {
        const auto guard = home.pin(); // our key is older than this one, so it is cleaned up first
        ASSERT_EQ(pthread_setspecific(key, &number), 0);
    }).join();
    auto last = heard.try_pop();
    ASSERT_TRUE(last);
    EXPECT_EQ(*last, 42);
    EXPECT_EQ(home.stats().threads, 1U) << "the record that was taken again at the very end was not given back";
    pthread_key_delete(key);
}

/// A static object that is built before the default domain, so that it is destroyed after whatever that one destroys.
struct last_of_all {
    last_of_all() = default;
    last_of_all(const last_of_all&) = delete;
    last_of_all& operator=(const last_of_all&) = delete;
    // NOLINTNEXTLINE(bugprone-exception-escape): the program would end there, and be noticed
    ~last_of_all() {
        std::uint64_t sum = 0;
        const std::uint64_t live = counted::live();
        {
            queue<counted> line(default_domain());
            for (std::uint64_t number = 0; number < 3000; ++number) {
                line.emplace(number);
                sum += line.try_pop()->number();
            }
        }
        default_domain().barrier();
        const domain_stats now = default_domain().stats();
        const bool good =
            sum == 3000 * 2999 / 2 && counted::live() == live && now.pending_objects == 0 && now.threads == 1;
        std::_Exit(good ? 42 : 43);
    }
};

TEST(domain, destructors_of_static_objects_use_the_default_one_after_everything_else) {
    GTEST_FLAG_SET(death_test_style, "threadsafe"); // so that nothing has used the default domain before
    EXPECT_EXIT(
        {
            static const last_of_all late;
            {
                const auto guard = default_domain().pin();
            }
            std::exit(0); // NOLINT(concurrency-mt-unsafe): one thread
        },
        testing::ExitedWithCode(42), "");
}

// ---- misuse ------------------------------------------------------------------------------------------------------------

class domain_death : public testing::Test {
  protected:
    domain_death() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(domain_death, destroyed_while_the_same_thread_is_pinned) {
    EXPECT_DEATH(
        {
            domain home;
            home.lock();
        },
        "epoque: .*destroyed.*guard");
}

TEST_F(domain_death, destroyed_while_another_thread_is_pinned) {
    EXPECT_DEATH(
        {
            auto home = std::make_unique<domain>();
            reader other(*home);
            other.pin();
            home.reset();
        },
        "epoque: .*destroyed.*guard");
}

TEST_F(domain_death, synchronize_inside_a_guard) {
    EXPECT_DEATH(
        {
            domain home;
            const auto guard = home.pin();
            home.synchronize();
        },
        "epoque: .*synchronize.*inside a guard");
}

TEST_F(domain_death, barrier_inside_a_guard) {
    EXPECT_DEATH(
        {
            domain home;
            const auto guard = home.pin();
            home.barrier();
        },
        "epoque: .*barrier.*inside a guard");
}

TEST_F(domain_death, barrier_inside_a_deleter) {
    EXPECT_DEATH(
        {
            domain home;
            int object = 0;
            // NOLINTNEXTLINE(bugprone-exception-escape): the program ends there
            home.retire(&object, [&home](int*) noexcept { home.barrier(); });
            home.barrier();
        },
        "epoque: .*barrier.*deleter");
}

TEST_F(domain_death, synchronize_inside_a_deleter) {
    EXPECT_DEATH(
        {
            domain home;
            int object = 0;
            // NOLINTNEXTLINE(bugprone-exception-escape): the program ends there
            home.retire(&object, [&home](int*) noexcept { home.synchronize(); });
            home.barrier();
        },
        "epoque: .*synchronize.*deleter");
}

TEST_F(domain_death, a_thread_that_ends_locked) {
    EXPECT_DEATH(
        {
            domain home;
            std::thread([&home] { home.lock(); }).join();
        },
        "epoque: .*thread ended inside a guard");
}

/// What happens in a process that forbids itself membarrier after it has begun to rely on it. Exit code 0: as promised.
int forbid_membarrier_and_go_on() {
    tracked object;
    domain home;
    queue<int> numbers(home);
    numbers.push(1);
    tick(home);
    const std::uint64_t granted = home.stats().epoch;
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), // seccomp_data::nr
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog filter{static_cast<unsigned short>(std::size(program)), program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
        return 2;
    }
    object.retire_to(home);
    for (int i = 0; i < 5; ++i) {
        tick(home);
        pin_often(home);
        numbers.push(i);
    }
    const bool asymmetric = barrier::asymmetric();
    if (object.freed() == asymmetric || (home.stats().epoch == granted) != asymmetric) {
        return 3; // a barrier that failed was taken for one that happened (or the fallback needs the kernel)
    }
    if ((home.stats().heavy_failures != 0) != asymmetric) {
        return 4;
    }
    for (int i = 0; i < 6; ++i) {
        if (!numbers.try_pop()) {
            return 5;
        }
    }
    try {
        home.synchronize();
        return asymmetric ? 6 : 0;
    } catch (const std::system_error& error) {
        return asymmetric && error.code() == std::errc::operation_not_permitted ? 0 : 7;
    }
}

TEST_F(domain_death, a_kernel_that_begins_to_refuse_barriers_stops_reclamation_and_is_reported) {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): the child of a death test has this one thread
    EXPECT_EXIT(std::exit(forbid_membarrier_and_go_on()), testing::ExitedWithCode(0), "");
}

// ---- two threads -------------------------------------------------------------------------------------------------------

TEST(domain, nothing_is_freed_while_a_guard_of_before_is_held) {
    std::vector<tracked> objects(2000);
    domain home;
    reader holder(home);
    holder.pin();
    const std::uint64_t pinned_at = home.stats().epoch;
    for (tracked& object : objects) {
        object.retire_to(home);
        pin_often(home);
    }
    for (int i = 0; i < 10; ++i) {
        tick(home);
        pin_often(home);
    }
    EXPECT_EQ(home.stats().epoch, pinned_at + 1);
    EXPECT_EQ(home.stats().freed_objects, 0U);
    holder.unpin();
    for (int i = 0; i < 5; ++i) {
        tick(home);
    }
    for (int i = 0; i < 100; ++i) {
        pin_often(home);
    }
    for (const tracked& object : objects) {
        ASSERT_EQ(object.times_freed(), 1);
    }
}

TEST(domain, a_nested_guard_that_ends_protects_on_through_the_outer_one) {
    tracked object;
    domain home;
    reader holder(home);
    holder.pin();
    holder.pin();
    holder.unpin();
    object.retire_to(home);
    for (int i = 0; i < 5; ++i) {
        tick(home);
        pin_often(home);
    }
    EXPECT_FALSE(object.freed());
    holder.unpin();
}

// Pitfall 8. The one who retires is pinned at an older epoch than the object's readers.
TEST(domain, garbage_is_stamped_with_the_global_epoch_and_not_with_that_of_its_thread) {
    tracked object;
    domain home;
    reader retirer(home);
    reader early(home); // pinned at the retirer's epoch
    reader late(home);  // pinned at the next one, and has the object in its hand
    const std::uint64_t epoch = home.stats().epoch;
    retirer.pin();
    early.pin();
    tick(home);
    ASSERT_EQ(home.stats().epoch, epoch + 1);
    late.pin();
    retirer.thread()([&] { object.retire_to(home); });
    retirer.unpin();
    early.unpin();
    const auto everybody_pins = [&] {
        pin_often(home);
        retirer.thread()([&] { pin_often(home); });
        early.thread()([&] { pin_often(home); });
    };
    for (int i = 0; i < 5; ++i) { // the reader at epoch + 1 lets one advance happen
        tick(home);
        everybody_pins();
        ASSERT_FALSE(object.freed()) << "freed under its reader";
    }
    ASSERT_EQ(home.stats().epoch, epoch + 2);
    late.unpin();
    tick(home);
    everybody_pins();
    EXPECT_EQ(home.stats().epoch, epoch + 3);
    EXPECT_FALSE(object.freed()) << "the stamp was older than the epoch at the time of the retirement";
    tick(home);
    everybody_pins();
    EXPECT_EQ(home.stats().epoch, epoch + 4);
    EXPECT_TRUE(object.freed());
}

TEST(domain, synchronize_waits_for_the_guards_of_before) {
    domain home;
    reader holder(home);
    actor waiter;
    std::atomic<bool> ended{false};
    holder.pin();
    auto waiting = waiter.start([&] {
        home.synchronize();
        EXPECT_TRUE(ended);
    });
    wait_until([&] { return home.stats().blocked_advances >= 3; });
    EXPECT_FALSE(has_ended(waiting));
    ended = true;
    holder.unpin();
    waiting.get();
}

TEST(domain, synchronize_returns_at_once_where_nobody_reads) {
    domain home;
    reader idle(home);
    idle.pin();
    idle.unpin();
    home.synchronize();
    home.synchronize();
    EXPECT_EQ(home.stats().blocked_advances, 0U);
}

TEST(domain, barrier_waits_for_the_guards_of_before_and_then_runs_the_deleters) {
    tracked object;
    domain home;
    reader holder(home);
    actor waiter;
    holder.pin();
    object.retire_to(home);
    auto waiting = waiter.start([&] { home.barrier(); });
    wait_until([&] { return home.stats().blocked_advances >= 3; });
    EXPECT_FALSE(object.freed());
    EXPECT_FALSE(has_ended(waiting));
    holder.unpin();
    waiting.get();
    EXPECT_TRUE(object.freed());
}

TEST(domain, barrier_takes_over_the_garbage_of_a_sleeping_thread) {
    std::vector<tracked> objects(1000);
    domain home;
    actor sleeper;
    sleeper([&] {
        for (tracked& object : objects) {
            object.retire_to(home);
        }
    });
    home.barrier();
    for (const tracked& object : objects) {
        ASSERT_EQ(object.times_freed(), 1);
    }
    EXPECT_EQ(home.stats().pending_objects, 0U);
    sleeper([&] { // and it goes on as if nothing had happened
        tracked object;
        object.retire_to(home);
        home.barrier();
        EXPECT_TRUE(object.freed());
    });
}

TEST(domain, barrier_takes_over_the_garbage_of_an_exited_thread) {
    tracked object;
    domain home;
    {
        const auto guard = home.pin();
    }
    std::thread([&] { object.retire_to(home); }).join();
    home.barrier();
    EXPECT_TRUE(object.freed());
}

TEST(domain, barrier_waits_for_deleters_that_run_in_another_thread) {
    int object = 0;
    domain home;
    actor runner;
    actor waiter;
    std::atomic<bool> running{false};
    std::atomic<bool> may_end{false};
    std::atomic<bool> ended{false};
    auto run = runner.start([&] {
        home.retire(&object, [&](int*) noexcept {
            running = true;
            wait_until([&] { return may_end.load(); });
            ended = true;
        });
        for (int i = 0; i < 4; ++i) {
            tick(home);
            pin_often(home);
        }
    });
    wait_until([&] { return running.load(); });
    std::atomic<bool> begun{false};
    auto waiting = waiter.start([&] {
        begun = true;
        home.barrier();
        EXPECT_TRUE(ended);
    });
    wait_until([&] { return begun.load(); });
    for (int i = 0; i < 1'000; ++i) {
        std::this_thread::yield();
    }
    EXPECT_FALSE(has_ended(waiting));
    may_end = true;
    run.get();
    waiting.get();
}

/// Begins `home.barrier()` in `caller`, and stops it where it has waited for its grace period and meets `holder`, who has
/// pinned the very epoch that ended it. Two more readers hold the epochs before back until the next one is in.
std::future<void> begin_barrier_that_meets(reader& holder, domain& home, actor& caller) {
    const auto wait_for = [&home](std::uint64_t epoch) {
        wait_until([&] { return home.stats().epoch == epoch; });
        const std::uint64_t blocked = home.stats().blocked_advances;
        wait_until([&] { return home.stats().blocked_advances >= blocked + 2; });
    };
    reader first(home);
    reader second(home);
    const std::uint64_t begin = home.stats().epoch;
    first.pin();
    auto barrier = caller.start([&home] { home.barrier(); });
    wait_for(begin + 1); // `first`, at begin, allows no more
    second.pin();
    first.unpin();
    wait_for(begin + 2); // `second`, at begin + 1
    holder.pin();
    second.unpin();
    wait_until([&] { return home.stats().epoch == begin + 3; });
    return barrier;
}

TEST(domain, barrier_is_granted_the_lists_by_a_thread_that_goes_on_inside_its_guard) {
    tracked before;
    tracked meanwhile;
    domain home;
    reader holder(home);
    actor caller;
    holder.thread()([&] { before.retire_to(home); });
    auto barrier = begin_barrier_that_meets(holder, home, caller);
    // The holder is inside a guard for as long as this test wants, but it operates; so barrier() gets what it asks for.
    while (!has_ended(barrier)) {
        holder.thread()([&] { deleter_count::retire_to(home); });
    }
    barrier.get();
    EXPECT_TRUE(before.freed());
    holder.thread()([&] { meanwhile.retire_to(home); });
    EXPECT_FALSE(meanwhile.freed());
    holder.unpin();
    home.barrier();
    EXPECT_TRUE(meanwhile.freed());
    EXPECT_EQ(home.stats().pending_objects, 0U);
}

TEST(domain, barrier_does_not_miss_garbage_that_is_adopted_meanwhile) {
    std::vector<tracked> objects(100);
    domain home;
    // Records, oldest first: exited, holder, adopter. barrier() goes from the newest to the oldest; it has passed the
    // adopter, and waits for the holder, when the adopter takes in what the exited thread has left.
    actor exited;
    reader holder(home);
    actor adopter;
    actor caller;
    const auto make_record = [&home] { const auto guard = home.pin(); };
    exited(make_record);
    holder.thread()(make_record);
    adopter(make_record);
    exited([&] {
        for (tracked& object : objects) {
            object.retire_to(home);
        }
    });
    auto barrier = begin_barrier_that_meets(holder, home, caller);
    std::this_thread::sleep_for(20ms); // for barrier() to come to the holder; were it too short, we would only see less
    exited.leave();
    for (int i = 0; i < 3; ++i) {
        adopter([&] { tick(home); });
    }
    holder.unpin();
    barrier.get();
    for (const tracked& object : objects) {
        ASSERT_TRUE(object.freed());
    }
}

// ---- many threads ------------------------------------------------------------------------------------------------------

TEST(domain, threads_that_come_and_go_reuse_records_and_lose_no_garbage) {
    basic_domain<small_env> home;
    std::atomic<std::uint64_t> freed{0};
    std::uint64_t retired = 0;
    constexpr std::size_t at_once = 4;
    for (std::uint64_t round = many(100); round != 0; --round) {
        together(at_once, [&](std::size_t) {
            for (int i = 0; i < 20; ++i) {
                home.retire(&freed, [](auto* count) noexcept { count->fetch_add(1, std::memory_order_relaxed); });
            }
        });
        retired += at_once * 20;
    }
    EXPECT_EQ(home.stats().threads, 0U);
    EXPECT_EQ(home.stats().retired_objects, retired);
    home.barrier();
    EXPECT_EQ(home.stats().threads, 1U);
    EXPECT_EQ(freed, retired);
    EXPECT_EQ(home.stats().pending_objects, 0U);
    EXPECT_LE(home.stats().most_freed_at_once, 8U);
}

/// Objects that are never given back to the allocator, so that looking at a freed one shows it.
struct husk {
    std::atomic<bool> alive{false};
};

TEST(domain, readers_never_meet_what_was_freed) {
    const std::uint64_t exchanges = many(40'000);
    constexpr std::size_t writers = 2;
    domain home;
    std::vector<std::vector<husk>> husks;
    for (std::size_t i = 0; i <= writers; ++i) {
        husks.emplace_back(exchanges);
    }
    std::atomic<husk*> shared{&husks[writers][0]};
    shared.load()->alive = true;
    std::atomic<std::size_t> writing{writers};
    std::atomic<std::uint64_t> met_dead{0};
    together(writers + 2, [&](std::size_t index) {
        if (index < writers) {
            for (husk& fresh : husks[index]) {
                // [test.build] relaxed: the exchange publishes it.
                fresh.alive.store(true, std::memory_order_relaxed);
                husk* old = shared.exchange(&fresh, std::memory_order_acq_rel);
                home.retire(old, [](husk* dead) noexcept { dead->alive.store(false, std::memory_order_relaxed); });
            }
            --writing;
        } else {
            for (unsigned round = 0; writing != 0; ++round) {
                const auto guard = home.pin();
                const husk* held = shared.load(std::memory_order_acquire);
                for (unsigned look = 0; look < round % 64; ++look) {
                    met_dead += held->alive.load(std::memory_order_relaxed) ? 0U : 1U;
                }
                if (round % 16 == 0) {
                    std::this_thread::yield();
                }
                met_dead += held->alive.load(std::memory_order_relaxed) ? 0U : 1U;
            }
        }
    });
    EXPECT_EQ(met_dead, 0U);
    EXPECT_EQ(home.stats().retired_objects, writers * exchanges);
    home.barrier();
    EXPECT_EQ(home.stats().freed_objects, writers * exchanges);
}

TEST(domain, barriers_of_several_threads_each_see_their_own_objects_freed) {
    domain home;
    together(4, [&](std::size_t) {
        for (std::uint64_t round = many(50); round != 0; --round) {
            std::vector<tracked> mine(10);
            for (tracked& object : mine) {
                object.retire_to(home);
            }
            home.barrier();
            for (const tracked& object : mine) {
                ASSERT_EQ(object.times_freed(), 1);
            }
        }
    });
}

TEST(domain, barrier_and_synchronize_run_beside_threads_that_retire_and_end) {
    domain home;
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> retired{0};
    std::atomic<std::uint64_t> freed{0};
    together(4, [&](std::size_t index) {
        if (index == 0) {
            for (std::uint64_t round = many(60); round != 0; --round) {
                const std::uint64_t before = retired;
                home.barrier();
                ASSERT_GE(freed.load(), before);
                home.synchronize();
            }
            stop = true;
            return;
        }
        while (!stop) {
            std::thread([&] {
                for (int i = 0; i < 700 && !stop; ++i) {
                    home.retire(&freed, [](auto* count) noexcept { count->fetch_add(1); });
                    retired.fetch_add(1);
                }
            }).join();
        }
    });
    home.barrier();
    EXPECT_EQ(freed, retired);
}

} // namespace
} // namespace epoque::test
