// SPDX-License-Identifier: BSL-1.0
/// @file
/// Tests of snapshot.hpp.
#include "epoque/snapshot.hpp"
#include "support.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace epoque::test {
namespace {

/// Neither copied nor moved: built in place.
struct immovable {
    explicit immovable(std::uint64_t value) : number(value) {}
    immovable(const immovable&) = delete;
    immovable& operator=(const immovable&) = delete;
    const std::uint64_t number;
};

template <class T, class Env>
std::uint64_t number_in(const snapshot<T, Env>& shared) {
    return shared.read([](const T& value) { return number_of(value); });
}

// ---- sequential --------------------------------------------------------------------------------------------------------

/// Runs a program on a snapshot and on a plain value; every answer must be the same.
template <class T, class Env>
void agrees_with_a_plain_value(const std::vector<std::uint8_t>& steps) {
    basic_domain<Env> home;
    snapshot<T, Env> shared(home, make<T>(0));
    std::uint64_t model = 0;
    std::uint64_t version = 1;
    std::uint64_t next = 0;
    for (const std::uint8_t step : steps) {
        ++next;
        switch (step % 6) {
        case 0:
            RC_ASSERT(shared.store(make<T>(next)) == ++version);
            model = next;
            break;
        case 1: {
            const bool current = step % 4 < 2;
            T value = make<T>(next);
            RC_ASSERT(shared.compare_and_store(current ? version : version - 1, std::move(value)) == current);
            if (current) {
                model = next;
                ++version;
            } else {
                RC_ASSERT(number_of(value) == next); // NOLINT(bugprone-use-after-move): refused, so not moved from
            }
            break;
        }
        case 2:
            if constexpr (std::is_copy_assignable_v<T>) {
                RC_ASSERT(shared.update([next](T& value) { value = T(next); }) == ++version);
                model = next;
            }
            break;
        case 3:
            tick(home);
            break;
        case 4:
            RC_ASSERT(shared.version() == version);
            break;
        default: {
            const auto now = shared.load();
            RC_ASSERT(number_of(*now) == model);
            RC_ASSERT(now.version() == version);
        }
        }
    }
    RC_ASSERT(number_in(shared) == model);
}

TEST(snapshot, agrees_with_a_plain_value_on_random_programs) {
    EXPECT_TRUE(rc::check("numbers", agrees_with_a_plain_value<std::uint64_t, small_env>));
    EXPECT_TRUE(rc::check("move-only", agrees_with_a_plain_value<move_only, unpooled_env>));
    EXPECT_TRUE(rc::check("over-aligned", agrees_with_a_plain_value<aligned<128>, small_env>));
    EXPECT_TRUE(rc::check("least", agrees_with_a_plain_value<least, unpooled_env>));
    EXPECT_TRUE(rc::check("large", agrees_with_a_plain_value<large, unpooled_env>));
    EXPECT_EQ(small_env::live_bytes(), 0U);
}

TEST(snapshot, a_view_stays_what_it_was) {
    domain home;
    snapshot<std::string> text(home, "one");
    const auto before = text.load();
    EXPECT_EQ(text.store("two"), 2U);
    EXPECT_EQ(text.update([](std::string& value) { value += "!"; }), 3U);
    EXPECT_EQ(*before, "one");
    EXPECT_EQ(before->size(), 3U);
    EXPECT_EQ(before.version(), 1U);
    const auto after = text.load();
    EXPECT_EQ(*after, "two!");
    EXPECT_EQ(after.version(), 3U);
}

TEST(snapshot, an_element_that_cannot_be_moved_is_built_in_place) {
    domain home;
    snapshot<immovable> shared(home, std::uint64_t{1});
    EXPECT_EQ(shared.emplace(std::uint64_t{2}), 2U);
    EXPECT_EQ(shared.load()->number, 2U);
}

TEST(snapshot, the_first_version_may_be_the_default_one) {
    domain home;
    const snapshot<std::map<int, int>> here(home);
    const snapshot<std::map<int, int>> there;
    EXPECT_TRUE(here.load()->empty());
    EXPECT_TRUE(there.load()->empty());
}

TEST(snapshot, a_version_may_be_made_from_the_one_before) {
    domain home;
    snapshot<std::string> text(home, "a");
    text.store(*text.load() + "b");
    EXPECT_TRUE(text.compare_and_store(text.version(), *text.load() + "c"));
    EXPECT_EQ(*text.load(), "abc");
}

// ---- lifetime ----------------------------------------------------------------------------------------------------------

TEST(snapshot, each_version_is_destroyed_once_and_the_last_with_the_snapshot) {
    const std::uint64_t live = counted::live();
    {
        domain home;
        snapshot<counted> shared(home, std::uint64_t{0});
        for (const std::uint64_t number : numbers(1, 2000)) {
            shared.emplace(number);
        }
        home.barrier();
        EXPECT_EQ(counted::live(), live + 1);
        EXPECT_EQ(number_in(shared), 1999U);
    }
    EXPECT_EQ(counted::live(), live);
}

TEST(snapshot, a_view_keeps_its_version_and_stops_nobody) {
    const std::uint64_t live = counted::live();
    basic_domain<small_env> home;
    snapshot<counted, small_env> shared(home, std::uint64_t{0});
    gate looking;
    actor reader;
    auto look = reader.start([&] {
        const auto view = shared.load();
        looking.pass();
        EXPECT_EQ(view->number(), 0U);
    });
    looking.wait_until_reached();
    for (const std::uint64_t number : numbers(1, 101)) {
        shared.emplace(number);
    }
    EXPECT_LT(counted::live(), live + 80) << "a view keeps its own version only";
    home.barrier(); // does not wait for it
    EXPECT_EQ(counted::live(), live + 2);
    looking.open();
    look.get();
    home.barrier();
    EXPECT_EQ(counted::live(), live + 1);
}

TEST(snapshot, a_thread_may_have_any_number_of_views_and_end_them_in_any_order) {
    const std::uint64_t live = counted::live();
    basic_domain<small_env> home;
    snapshot<counted, small_env> shared(home, std::uint64_t{0});
    using view = decltype(shared.load());
    std::vector<std::unique_ptr<view>> views;
    for (const std::uint64_t number : numbers(0, 5)) {
        shared.emplace(number);
        views.emplace_back(new view(shared.load()));
    }
    actor other;
    other([&] {
        for (const std::uint64_t number : numbers(5, 100)) {
            shared.emplace(number);
        }
    });
    for (const std::size_t next : {2U, 0U, 4U, 1U, 3U}) {
        EXPECT_EQ((*views[next])->number(), next);
        views[next].reset();
    }
    EXPECT_EQ(home.stats().pinned, 0U);
    home.barrier();
    EXPECT_EQ(counted::live(), live + 1);
}

TEST(snapshot, a_thread_with_a_view_may_replace_what_it_sees) {
    basic_domain<small_env> home;
    snapshot<counted, small_env> shared(home, std::uint64_t{0});
    const auto view = shared.load();
    for (const std::uint64_t number : numbers(1, 200)) {
        shared.emplace(number); // runs deleters, which find that we keep the first version
    }
    EXPECT_EQ(view->number(), 0U);
    EXPECT_EQ(number_in(shared), 199U);
}

TEST(snapshot, replacing_forever_does_not_grow) {
    basic_domain<small_env> home;
    snapshot<std::uint64_t, small_env> shared(home, 0U);
    std::uint64_t most = 0;
    for (std::uint64_t number = 0; number < 20'000; ++number) {
        shared.store(number);
        most = std::max(most, small_env::live_blocks());
    }
    EXPECT_LT(most, 300U);
}

TEST(snapshot, may_end_inside_a_deleter_and_hold_another_one) {
    using inner = snapshot<counted>;
    const std::uint64_t live = counted::live();
    domain home;
    {
        snapshot<std::unique_ptr<inner>> outer(home, std::make_unique<inner>(home, std::uint64_t{1}));
        outer.store(std::make_unique<inner>(home, std::uint64_t{2})); // the first inner one ends in a deleter
        EXPECT_EQ(number_in(**outer.load()), 2U);
        home.barrier();
        EXPECT_EQ(counted::live(), live + 1);
    }
    EXPECT_EQ(counted::live(), live);
}

// ---- exceptions --------------------------------------------------------------------------------------------------------

TEST(snapshot, a_change_that_throws_changes_nothing) {
    domain home;
    snapshot<std::string> text(home, "before");
    EXPECT_THROW(text.update([](std::string& value) {
        value = "half done";
        throw std::runtime_error("no");
    }),
                 std::runtime_error);
    EXPECT_EQ(*text.load(), "before");
    EXPECT_EQ(text.version(), 1U);
    EXPECT_THROW(text.read([](const std::string&) { throw std::runtime_error("no"); }), std::runtime_error);
    EXPECT_EQ(home.stats().pinned, 0U);
}

TEST(snapshot, a_copy_that_throws_changes_nothing) {
    {
        basic_domain<small_env> home;
        snapshot<fragile, small_env> shared(home, std::uint64_t{1});
        fragile::copies_fail = true;
        EXPECT_THROW(shared.update([](fragile&) {}), copy_failed);
        fragile::copies_fail = false;
        EXPECT_EQ(number_in(shared), 1U);
        EXPECT_EQ(shared.update([](fragile& value) { value = fragile(2); }), 2U);
        EXPECT_EQ(number_in(shared), 2U);
    }
    EXPECT_EQ(small_env::live_blocks(), 0U);
}

TEST(snapshot, a_replacement_that_finds_no_memory_changes_nothing) {
    bool failed = true;
    for (std::uint64_t allowed = 0; failed; ++allowed) {
        std::thread([&] { // a new thread each time: its record is an allocation, too
            failed = false;
            basic_domain<unpooled_env> home;
            std::optional<snapshot<move_only, unpooled_env>> shared;
            move_only value = make<move_only>(1);
            std::uint64_t version = 0;
            {
                const out_of_memory from_now(allowed);
                try {
                    shared.emplace(home);
                    version = 1;
                    if (shared->compare_and_store(1, std::move(value))) {
                        version = 2;
                    }
                    shared->emplace(nullptr);
                    version = 3;
                } catch (const std::bad_alloc&) {
                    failed = true;
                }
            }
            if (version == 0) {
                EXPECT_FALSE(shared.has_value());
                return;
            }
            EXPECT_EQ(shared->version(), version);
            EXPECT_EQ(value != nullptr, version == 1) // NOLINT(bugprone-use-after-move): refused, so not moved from
                << "a replacement that failed has moved from its argument";
        })
            .join();
        ASSERT_LT(allowed, 100U) << "the allocations never suffice";
    }
    EXPECT_EQ(small_env::live_blocks(), 0U);
}

// ---- two threads -------------------------------------------------------------------------------------------------------

TEST(snapshot, an_update_that_came_second_is_made_again_from_the_new_version) {
    domain home;
    snapshot<std::string> text(home, "a");
    gate changing;
    actor slow;
    unsigned calls = 0;
    auto update = slow.start([&] {
        EXPECT_EQ(text.update([&](std::string& value) {
            if (++calls == 1) {
                changing.pass();
            }
            value += "c";
        }),
                  3U);
    });
    changing.wait_until_reached();
    EXPECT_EQ(text.update([](std::string& value) { value += "b"; }), 2U);
    changing.open();
    update.get();
    EXPECT_EQ(*text.load(), "abc");
    EXPECT_EQ(calls, 2U);
}

TEST(snapshot, a_compare_and_store_that_came_second_gives_its_value_back) {
    // The other writer comes between the look at the version and the swap: in T's move constructor.
    struct slow {
        explicit slow(std::uint64_t value) : number(std::make_unique<std::uint64_t>(value)) {}
        slow(slow&& other) noexcept : number(std::move(other.number)), stop(std::exchange(other.stop, nullptr)) {
            if (stop != nullptr) {
                std::exchange(stop, nullptr)->pass();
            }
        }
        move_only number;
        gate* stop = nullptr;
    };
    domain home;
    snapshot<slow> shared(home, std::uint64_t{0});
    gate moving;
    actor second;
    slow value(1);
    value.stop = &moving;
    auto stored = second.start([&] {
        EXPECT_FALSE(shared.compare_and_store(1, std::move(value)));
        ASSERT_NE(value.number, nullptr); // NOLINT(bugprone-use-after-move): given back
        EXPECT_EQ(*value.number, 1U);
    });
    moving.wait_until_reached();
    shared.emplace(std::uint64_t{2});
    moving.open();
    stored.get();
    EXPECT_EQ(*shared.load()->number, 2U);
    EXPECT_EQ(shared.version(), 2U);
}

TEST(snapshot, a_reader_sees_whole_versions_in_their_order) {
    const std::uint64_t count = many(50'000);
    basic_domain<small_env> home;
    snapshot<large, small_env> shared(home, std::uint64_t{1});
    std::atomic<bool> done{false};
    together(2, [&](std::size_t index) {
        if (index == 0) {
            for (std::uint64_t number = 2; number <= count; ++number) {
                ASSERT_EQ(shared.emplace(number), number);
            }
            done = true;
            return;
        }
        for (std::uint64_t last = 0; !done;) {
            const auto now = shared.load();
            ASSERT_EQ(now->number(), now.version());
            ASSERT_GE(now.version(), last);
            last = now.version();
        }
    });
}

// ---- many threads ------------------------------------------------------------------------------------------------------

TEST(snapshot, no_update_is_lost) {
    constexpr std::size_t threads = 4;
    const std::uint64_t each = many(10'000);
    basic_domain<small_env> home;
    snapshot<std::vector<std::uint64_t>, small_env> sums(home, threads, std::uint64_t{0});
    together(threads, [&](std::size_t index) {
        for (std::uint64_t i = 0; i < each; ++i) {
            sums.update([index](std::vector<std::uint64_t>& value) { ++value[index]; });
        }
    });
    EXPECT_EQ(*sums.load(), std::vector<std::uint64_t>(threads, each));
    EXPECT_EQ(sums.version(), 1 + threads * each);
}

TEST(snapshot, of_those_who_replace_the_same_version_one_wins) {
    constexpr std::size_t threads = 4;
    const std::uint64_t rounds = many(5'000);
    domain home;
    snapshot<std::uint64_t> shared(home, 0U);
    std::atomic<std::uint64_t> won{0};
    together(threads, [&](std::size_t index) {
        while (true) {
            const std::uint64_t seen = shared.version();
            if (seen > rounds) {
                return;
            }
            won += shared.compare_and_store(seen, std::uint64_t{index}) ? 1U : 0U;
        }
    });
    EXPECT_EQ(won, shared.version() - 1);
}

} // namespace
} // namespace epoque::test
