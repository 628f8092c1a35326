// SPDX-License-Identifier: BSL-1.0
/// @file
/// Tests of rcu.hpp, after the wording of [saferecl.rcu] in the C++26 draft.
#include "epoque/rcu.hpp"
#include "support.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

namespace epoque::test {
namespace {

// ---- [rcu.syn], [saferecl.rcu.base], [saferecl.rcu.domain] ----------------------------------------------------------------

struct plain : rcu_obj_base<plain> {
    int number = 0;
};
struct traced;
struct trivial_deleter {
    void operator()(traced*) const noexcept {}
};
struct incomplete; // T may be incomplete when the base is named
static_assert(sizeof(rcu_obj_base<incomplete>) <= 40);

static_assert(!std::is_copy_constructible_v<rcu_domain> && !std::is_copy_assignable_v<rcu_domain>);
static_assert(noexcept(rcu_default_domain()));
static_assert(noexcept(rcu_synchronize()) && noexcept(rcu_synchronize(std::declval<rcu_domain&>())));
static_assert(noexcept(rcu_barrier()) && noexcept(rcu_barrier(std::declval<rcu_domain&>())));
static_assert(noexcept(std::declval<plain&>().retire()));
static_assert(std::is_same_v<decltype(std::declval<plain&>().retire()), void>);
static_assert(std::is_same_v<decltype(rcu_default_domain()), rcu_domain&>);
// "If D is trivially copyable, all specializations of rcu_obj_base<T, D> are trivially copyable."
static_assert(std::is_trivially_copyable_v<rcu_obj_base<traced, trivial_deleter>>);
// Its constructors and its destructor are protected.
static_assert(!std::is_default_constructible_v<rcu_obj_base<plain>> && !std::is_destructible_v<rcu_obj_base<plain>>);
static_assert(std::is_copy_constructible_v<plain> && std::is_move_assignable_v<plain>);

TEST(rcu, the_default_domain_is_one_object) {
    EXPECT_EQ(&rcu_default_domain(), &rcu_default_domain());
    EXPECT_EQ(&rcu_default_domain(), &default_domain());
}

TEST(rcu, a_region_is_a_scoped_lock_and_nests) {
    const std::scoped_lock outer(rcu_default_domain());
    EXPECT_TRUE(rcu_default_domain().try_lock());
    {
        const std::scoped_lock<rcu_domain> inner(rcu_default_domain());
    }
    rcu_default_domain().unlock();
}

// ---- retire ----------------------------------------------------------------------------------------------------------------

/// Its base is not at its beginning, and its address is not to be had by &.
struct front {
    virtual ~front() = default;
    std::uint64_t words[3] = {1, 2, 3};
};
struct hidden;
struct note_address {
    void operator()(hidden* what) const noexcept;
    const void** into = nullptr;
};
struct hidden : front, rcu_obj_base<hidden, note_address> {
    hidden* operator&() = delete; // NOLINT(google-runtime-operator): that is the test
};
void note_address::operator()(hidden* what) const noexcept {
    *into = what;
}

TEST(rcu, the_deleter_is_called_with_the_objects_own_address) {
    hidden object;
    const void* deleted = nullptr;
    object.retire(note_address{&deleted});
    EXPECT_EQ(deleted, nullptr);
    rcu_barrier();
    EXPECT_EQ(deleted, std::addressof(object));
}

TEST(rcu, the_default_deleter_deletes) {
    struct owned : rcu_obj_base<owned> {
        counted inner{1};
    };
    const std::uint64_t live = counted::live();
    (new owned)->retire();
    rcu_retire(new counted(2));
    EXPECT_EQ(counted::live(), live + 2);
    rcu_barrier();
    EXPECT_EQ(counted::live(), live);
}

/// What the standard asks of D for rcu_obj_base, and no more: default-constructible and move-assignable.
struct assigned_only {
    assigned_only() = default;
    explicit assigned_only(int* to) : into(to) {}
    assigned_only(const assigned_only&) = delete;
    assigned_only& operator=(const assigned_only&) = delete;
    assigned_only(assigned_only&& other) noexcept : into(std::exchange(other.into, nullptr)) {}
    assigned_only& operator=(assigned_only&& other) noexcept {
        into = std::exchange(other.into, nullptr);
        return *this;
    }
    ~assigned_only() = default;
    template <class T>
    void operator()(T*) noexcept {
        ++*into;
    }
    int* into = nullptr;
};
struct by_move_only : rcu_obj_base<by_move_only, assigned_only> {};

TEST(rcu, a_deleter_may_be_move_only_and_carry_state) {
    by_move_only object;
    int calls = 0;
    object.retire(assigned_only(&calls));
    rcu_barrier();
    EXPECT_EQ(calls, 1);
    int other = 0;
    rcu_retire(&other, assigned_only(&calls));
    rcu_barrier();
    EXPECT_EQ(calls, 2);
}

/// Looks at its state after it has deleted the object, which it was kept in.
struct careful_owner;
struct careful {
    void operator()(careful_owner* what) const noexcept;
    std::shared_ptr<std::string> state{};
    std::string* into = nullptr;
};
struct careful_owner : rcu_obj_base<careful_owner, careful> {};
void careful::operator()(careful_owner* what) const noexcept {
    std::unique_ptr<careful_owner>(what).reset();
    *into = *state;
}

TEST(rcu, a_deleter_outlives_the_object_that_it_deletes) {
    std::string last;
    (new careful_owner)->retire(careful{std::make_shared<std::string>("still there"), &last});
    rcu_barrier();
    EXPECT_EQ(last, "still there");
}

TEST(rcu, a_domain_of_its_own_keeps_its_objects_apart) {
    const std::uint64_t live = counted::live();
    rcu_domain mine;
    struct owned : rcu_obj_base<owned> {
        counted inner{1};
    };
    (new owned)->retire({}, mine);
    rcu_retire(new counted(2), std::default_delete<counted>(), mine);
    rcu_barrier();
    EXPECT_EQ(counted::live(), live + 2);
    rcu_synchronize(mine);
    rcu_barrier(mine);
    EXPECT_EQ(counted::live(), live);
}

struct no_deleter {
    template <class T>
    void operator()(T*) const noexcept {}
};
struct reused : rcu_obj_base<reused, no_deleter> {};

TEST(rcu, retire_allocates_nothing) {
    std::pmr::monotonic_buffer_resource enough_for_a_record(8192, std::pmr::new_delete_resource());
    rcu_domain home({.memory = &enough_for_a_record});
    rcu_synchronize(home);
    reused object;
    void* const before = enough_for_a_record.allocate(1, 1);
    object.retire({}, home);
    EXPECT_EQ(enough_for_a_record.allocate(1, 1), static_cast<std::byte*>(before) + 1) << "something came in between";
    EXPECT_EQ(home.stats().pending_objects, 1U);
    EXPECT_EQ(home.stats().pending_bytes, sizeof(reused)) << "and counts as what it is";
    rcu_barrier(home);
    EXPECT_EQ(home.stats().pending_objects, 0U);
}

/// "May invoke scheduled evaluations": a deleter that retires the next object.
struct link_of_chain : rcu_obj_base<link_of_chain> {
    explicit link_of_chain(int left, std::atomic<int>& counter) : rest(left), ended(counter) {}
    link_of_chain(const link_of_chain&) = delete;
    link_of_chain& operator=(const link_of_chain&) = delete;
    ~link_of_chain() {
        ++ended;
        if (rest != 0) {
            // NOLINTNEXTLINE(bugprone-unhandled-exception-at-new): without memory the test ends
            (new link_of_chain(rest - 1, ended))->retire();
        }
    }
    int rest;
    std::atomic<int>& ended;
};

TEST(rcu, a_destructor_may_retire) {
    std::atomic<int> ended{0};
    (new link_of_chain(5, ended))->retire();
    for (int i = 1; i <= 6; ++i) {
        rcu_barrier();
        EXPECT_EQ(ended, i);
    }
}

// ---- regions, synchronize and barrier ----------------------------------------------------------------------------------------

bool has_ended(const std::future<void>& work) {
    return work.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

TEST(rcu, what_is_retired_inside_a_region_of_another_thread_waits_for_its_end) {
    rcu_domain home;
    actor reader;
    const std::uint64_t live = counted::live();
    reader([&] { home.lock(); });
    rcu_retire(new counted(1), std::default_delete<counted>(), home);
    for (int i = 0; i < 10; ++i) {
        tick(home);
    }
    EXPECT_EQ(counted::live(), live + 1);
    reader([&] { home.unlock(); });
    rcu_barrier(home);
    EXPECT_EQ(counted::live(), live);
}

TEST(rcu, synchronize_blocks_until_regions_of_before_are_closed) {
    rcu_domain home;
    actor reader;
    actor updater;
    std::atomic<bool> closed{false};
    reader([&] { home.lock(); });
    auto waiting = updater.start([&] {
        rcu_synchronize(home);
        EXPECT_TRUE(closed);
    });
    while (home.stats().blocked_advances < 3) {
        std::this_thread::yield();
    }
    EXPECT_FALSE(has_ended(waiting));
    closed = true;
    reader([&] { home.unlock(); });
    waiting.get();
}

TEST(rcu, barrier_blocks_until_what_was_scheduled_before_has_been_evaluated) {
    rcu_domain home;
    actor other;
    const std::uint64_t live = counted::live();
    other([&] { // and the thread sleeps
        for (std::uint64_t i = 0; i < 100; ++i) {
            rcu_retire(new counted(i), std::default_delete<counted>(), home);
        }
    });
    rcu_barrier(home);
    EXPECT_EQ(counted::live(), live);
}

// ---- the paper's example -----------------------------------------------------------------------------------------------------

struct settings : rcu_obj_base<settings> {
    explicit settings(std::uint64_t version) : first(version), second(~version) {}
    settings(const settings&) = delete;
    settings& operator=(const settings&) = delete;
    ~settings() {
        first = 1;
        second = 1;
    }
    std::uint64_t first;
    std::uint64_t second;
};

TEST(rcu, readers_always_see_whole_settings_while_an_updater_replaces_them) {
    std::atomic<settings*> current{new settings(0)};
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> torn{0};
    together(3, [&](std::size_t thread) {
        if (thread == 0) {
            for (std::uint64_t version = 1; version <= many(30'000); ++version) {
                current.exchange(new settings(version), std::memory_order_acq_rel)->retire();
            }
            stop = true;
            return;
        }
        while (!stop) {
            const std::scoped_lock region(rcu_default_domain());
            const settings* seen = current.load(std::memory_order_acquire);
            torn += seen->first == ~seen->second ? 0U : 1U;
        }
    });
    EXPECT_EQ(torn, 0U);
    rcu_retire(current.load());
    rcu_barrier();
}

} // namespace
} // namespace epoque::test
