// SPDX-License-Identifier: BSL-1.0
/// @file
/// Tests of object_table.hpp.
#include "epoque/object_table.hpp"
#include "support.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace epoque::test {
namespace {

constexpr std::uint8_t kind_a = 1;
constexpr std::uint8_t kind_b = 2;

/// What the tables of these tests name: knows its own handle, so that an exchanged identity shows.
struct named {
    explicit named(std::uint64_t n) noexcept : element(n) {}
    counted element;
    std::atomic<std::uint64_t> handle{0};
};

/// A table in a domain of its own. Ends with all objects destroyed and all memory given back.
class tables : public testing::Test {
  protected:
    using home_type = basic_domain<small_env>;
    using table_type = object_table<named, small_env>;

    tables() : live_before_(counted::live()) { make(0); }
    void TearDown() override {
        home_->barrier();
        table_.reset();
        home_.reset();
        EXPECT_EQ(counted::live(), live_before_) << "objects leaked, or died twice";
        EXPECT_EQ(small_env::live_blocks(), 0U);
    }
    void make(std::uint32_t first_generation) {
        table_.reset();
        home_ = std::make_unique<home_type>();
        table_ = std::make_unique<table_type>(*home_, first_generation);
    }

    std::uint64_t create(std::uint64_t number, std::uint8_t kind = kind_a) {
        auto object = std::make_unique<named>(number);
        const std::uint64_t handle = table_->create(kind, object);
        EXPECT_EQ(handle == 0, object != nullptr);
        return handle;
    }
    find_status find(std::uint64_t handle, std::uint8_t kind = kind_a) {
        const auto guard = home_->pin();
        named* found = nullptr;
        return table_->find(handle, kind, found);
    }
    std::uint64_t number_behind(std::uint64_t handle, std::uint8_t kind = kind_a) {
        const auto guard = home_->pin();
        named* found = nullptr;
        EXPECT_EQ(table_->find(handle, kind, found), find_status::found);
        return found == nullptr ? ~std::uint64_t{0} : found->element.number();
    }
    find_status destroy(std::uint64_t handle, std::uint8_t kind = kind_a) {
        table_type::keep held(*home_);
        named* gone = nullptr;
        return table_->destroy(held, handle, kind, gone);
    }
    std::uint64_t inside() const { return counted::live() - live_before_; }

    std::unique_ptr<home_type> home_;
    std::unique_ptr<table_type> table_;

  private:
    std::uint64_t live_before_;
};

// ---- sequential --------------------------------------------------------------------------------------------------------

static_assert(handle_parts::of(handle_parts{7, 0xabcdef, 0x12345679}.bits()).kind == 7);
static_assert(handle_parts::of(handle_parts{7, 0xabcdef, 0x12345679}.bits()).index == 0xabcdef);
static_assert(handle_parts::of(handle_parts{7, 0xabcdef, 0x12345679}.bits()).generation == 0x12345679);

TEST_F(tables, an_object_is_found_by_its_handle) {
    const std::uint64_t first = create(10);
    const std::uint64_t second = create(20, kind_b);
    EXPECT_NE(first, 0U);
    EXPECT_NE(first, second);
    EXPECT_EQ(number_behind(first), 10U);
    EXPECT_EQ(number_behind(second, kind_b), 20U);
    EXPECT_EQ(table_->was_live(), 2U);
    EXPECT_EQ(handle_parts::of(second).kind, kind_b);
    EXPECT_EQ(handle_parts::of(second).generation & 1, 1U) << "a live handle's generation is odd";
}

TEST_F(tables, the_wrong_kind_is_told_and_changes_nothing) {
    const std::uint64_t handle = create(10);
    EXPECT_EQ(find(handle, kind_b), find_status::wrong_kind);
    EXPECT_EQ(destroy(handle, kind_b), find_status::wrong_kind);
    EXPECT_EQ(number_behind(handle), 10U);
}

TEST_F(tables, a_destroyed_handle_is_stale_for_ever) {
    const std::uint64_t handle = create(10);
    EXPECT_EQ(destroy(handle), find_status::found);
    EXPECT_EQ(table_->was_live(), 0U);
    EXPECT_EQ(find(handle), find_status::stale);
    EXPECT_EQ(destroy(handle), find_status::stale);
    home_->barrier();
    EXPECT_EQ(inside(), 0U);
    for (std::uint64_t number = 0; number < 50; ++number) { // the slot lives again, and again
        const std::uint64_t next = create(number);
        ASSERT_NE(next, handle);
        ASSERT_EQ(find(handle), find_status::stale);
        ASSERT_EQ(destroy(handle), find_status::stale);
        ASSERT_EQ(number_behind(next), number);
        ASSERT_EQ(destroy(next), find_status::found);
        home_->barrier();
    }
}

TEST_F(tables, forged_handles_are_stale) {
    EXPECT_EQ(find(0), find_status::stale);
    EXPECT_EQ(find(~std::uint64_t{0}), find_status::stale);
    const handle_parts real = handle_parts::of(create(10));
    const auto forged = [&](std::uint8_t kind, std::uint32_t index, std::uint32_t generation) {
        return handle_parts{kind, index, generation}.bits();
    };
    EXPECT_EQ(find(forged(kind_a, real.index, real.generation + 1)), find_status::stale);
    EXPECT_EQ(find(forged(kind_a, real.index, real.generation + 2)), find_status::stale);
    EXPECT_EQ(find(forged(kind_a, real.index, real.generation - 1)), find_status::stale);
    EXPECT_EQ(find(forged(kind_a, real.index, 0)), find_status::stale);
    EXPECT_EQ(find(forged(kind_b, real.index, real.generation), kind_b), find_status::stale)
        << "the kind in the handle is part of it";
    EXPECT_EQ(find(forged(kind_a, real.index + 1, real.generation)), find_status::stale)
        << "a slot that was never used";
    EXPECT_EQ(find(forged(kind_a, table_type::chunk_slots, real.generation)), find_status::stale)
        << "no such chunk yet";
    EXPECT_EQ(find(forged(kind_a, table_type::max_slots, real.generation)), find_status::stale) << "no such slot ever";
    EXPECT_EQ(find(forged(kind_a, 0xffffff, real.generation)), find_status::stale);
    EXPECT_EQ(destroy(forged(kind_b, real.index, real.generation), kind_b), find_status::stale);
    EXPECT_EQ(number_behind(real.bits()), 10U);
}

TEST_F(tables, generations_grow_by_two_from_life_to_life) {
    const std::uint64_t first = create(1);
    const handle_parts before = handle_parts::of(first);
    EXPECT_EQ(before.generation, 1U);
    destroy(first);
    home_->barrier();
    const handle_parts after = handle_parts::of(create(2));
    EXPECT_EQ(after.index, before.index) << "the only slot that was used is free again";
    EXPECT_EQ(after.generation, before.generation + 2);
}

TEST_F(tables, generations_begin_where_the_table_is_told) {
    make(1000);
    EXPECT_EQ(handle_parts::of(create(1)).generation, 1001U);
    make(1001); // odd: rounded down, or slots would begin as live ones
    EXPECT_EQ(handle_parts::of(create(1)).generation, 1001U);
}

TEST_F(tables, handle_at_lists_what_is_live) {
    const std::uint64_t first = create(1);
    const std::uint64_t second = create(2, kind_b);
    destroy(first);
    std::vector<std::uint64_t> listed;
    for (std::uint32_t index = 0; index < table_type::max_slots + 3; ++index) {
        if (const std::uint64_t handle = table_->handle_at(index); handle != 0) {
            listed.push_back(handle);
        }
    }
    EXPECT_EQ(listed, std::vector<std::uint64_t>{second});
}

TEST_F(tables, agrees_with_a_map_on_random_programs) {
    EXPECT_TRUE(rc::check("create, destroy, find", [this](const std::vector<std::uint8_t>& steps) {
        make(0xfffffff0); // each slot has eight lives
        std::map<std::uint64_t, std::uint64_t> model;
        std::vector<std::uint64_t> dead;
        std::uint64_t next = 0;
        for (const std::uint8_t choice : steps) {
            if (choice % 4 < 2) {
                if (const std::uint64_t handle = create(next); handle != 0) {
                    RC_ASSERT(model.emplace(handle, next).second);
                    RC_ASSERT(std::find(dead.begin(), dead.end(), handle) == dead.end());
                }
                ++next;
            } else if (choice % 4 == 2 && !model.empty()) {
                const auto victim = std::next(model.begin(), static_cast<std::ptrdiff_t>(choice / 4 % model.size()));
                RC_ASSERT(destroy(victim->first) == find_status::found);
                dead.push_back(victim->first);
                model.erase(victim);
            } else {
                home_->barrier();
            }
            RC_ASSERT(table_->was_live() == model.size());
        }
        for (const auto& [handle, number] : model) {
            RC_ASSERT(number_behind(handle) == number);
        }
        for (const std::uint64_t handle : dead) {
            RC_ASSERT(find(handle) == find_status::stale);
        }
        home_->barrier();
    }));
}

// ---- capacity ----------------------------------------------------------------------------------------------------------

TEST_F(tables, it_grows_by_chunks_and_says_when_it_is_full) {
    std::set<std::uint64_t> handles;
    for (std::uint64_t number = 0; number < table_type::max_slots; ++number) {
        const std::uint64_t handle = create(number);
        ASSERT_NE(handle, 0U);
        ASSERT_TRUE(handles.insert(handle).second);
    }
    EXPECT_EQ(create(99), 0U); // and the object is still its caller's: `create` checks
    for (const std::uint64_t handle : handles) {
        EXPECT_EQ(find(handle), find_status::found);
    }
    EXPECT_EQ(destroy(*handles.begin()), find_status::found);
    home_->barrier();
    EXPECT_NE(create(100), 0U);
    EXPECT_EQ(create(101), 0U);
}

TEST(object_table, it_grows_past_the_first_chunk_as_shipped) {
    constexpr std::uint64_t count = 3 * std_env::table_chunk_slots + 5;
    const std::uint64_t live = counted::live();
    {
        domain home;
        const auto table = std::make_unique<object_table<counted>>(home);
        std::vector<std::uint64_t> handles;
        for (std::uint64_t number = 0; number < count; ++number) {
            auto object = std::make_unique<counted>(number);
            handles.push_back(table->create(kind_a, object));
            ASSERT_EQ(object, nullptr);
        }
        const auto guard = home.pin();
        for (std::uint64_t number = 0; number < count; ++number) {
            counted* found = nullptr;
            ASSERT_EQ(table->find(handles[number], kind_a, found), find_status::found);
            ASSERT_EQ(found->number(), number);
        }
    }
    EXPECT_EQ(counted::live(), live) << "the table's destructor destroys what is left";
}

// Pitfall 17.
TEST_F(tables, a_slot_whose_generation_would_wrap_is_never_used_again) {
    make(0xfffffffc);
    std::vector<std::uint64_t> used;
    for (std::uint32_t slot = 0; slot < table_type::max_slots; ++slot) {
        for (const std::uint32_t generation : {0xfffffffdU, 0xffffffffU}) {
            const std::uint64_t handle = create(7);
            ASSERT_EQ(handle_parts::of(handle).index, slot);
            ASSERT_EQ(handle_parts::of(handle).generation, generation);
            ASSERT_EQ(number_behind(handle), 7U);
            ASSERT_EQ(destroy(handle), find_status::found);
            used.push_back(handle);
            home_->barrier();
            ASSERT_EQ(inside(), 0U) << "the last life's object dies too";
        }
    }
    EXPECT_EQ(create(8), 0U) << "all slots have lived their last life";
    for (const std::uint64_t handle : used) {
        EXPECT_EQ(find(handle), find_status::stale);
    }
    EXPECT_EQ(find(handle_parts{0, 0, 0}.bits()), find_status::stale);
}

// ---- lifetime ----------------------------------------------------------------------------------------------------------

TEST_F(tables, a_destroyed_object_lives_as_long_as_a_guard_of_before) {
    const std::uint64_t handle = create(10);
    actor reader;
    named* held = nullptr;
    reader([&] {
        home_->lock();
        EXPECT_EQ(table_->find(handle, kind_a, held), find_status::found);
    });
    EXPECT_EQ(destroy(handle), find_status::found);
    for (int i = 0; i < 10; ++i) {
        tick(*home_);
    }
    EXPECT_EQ(inside(), 1U);
    reader([&] {
        EXPECT_EQ(held->element.number(), 10U);
        home_->unlock();
    });
    home_->barrier();
    EXPECT_EQ(inside(), 0U);
}

TEST_F(tables, a_destroyed_object_lives_as_long_as_somebody_keeps_it_and_keeps_nothing_else) {
    const std::uint64_t handle = create(10);
    actor reader;
    std::optional<table_type::keep> held;
    named* found = nullptr;
    reader([&] { EXPECT_EQ(table_->find(held.emplace(*home_), handle, kind_a, found), find_status::found); });
    EXPECT_EQ(destroy(handle), find_status::found);
    for (std::uint64_t number = 0; number < 100; ++number) {
        tick(*home_);
        const std::uint64_t other = create(number);
        EXPECT_NE(handle_parts::of(other).index, handle_parts::of(handle).index)
            << "the slot that is kept was used again";
        EXPECT_EQ(destroy(other), find_status::found);
    }
    home_->barrier(); // does not wait
    EXPECT_EQ(inside(), 1U);
    reader([&] {
        EXPECT_EQ(found->element.number(), 10U);
        held.reset();
    });
    home_->barrier();
    EXPECT_EQ(inside(), 0U);
}

TEST_F(tables, a_thread_keeps_as_many_objects_as_it_likes) {
    std::vector<std::uint64_t> handles;
    std::vector<std::unique_ptr<table_type::keep>> held;
    std::vector<named*> found;
    for (std::uint64_t number = 0; number < 5; ++number) {
        handles.push_back(create(number));
        held.push_back(std::make_unique<table_type::keep>(*home_));
        EXPECT_EQ(table_->find(*held.back(), handles.back(), kind_a, found.emplace_back()), find_status::found);
    }
    for (const std::uint64_t handle : handles) {
        actor other;
        other([&] { EXPECT_EQ(destroy(handle), find_status::found); });
    }
    for (int i = 0; i < 100; ++i) {
        tick(*home_);
    }
    for (const std::size_t next : {1U, 3U, 0U, 4U, 2U}) { // in any order
        EXPECT_EQ(found[next]->element.number(), next);
        held[next].reset();
    }
    home_->barrier();
    EXPECT_EQ(inside(), 0U);
    EXPECT_EQ(home_->stats().pinned, 0U);
}

TEST_F(tables, one_keep_serves_one_object_after_the_other) {
    const std::uint64_t first = create(1);
    const std::uint64_t second = create(2);
    table_type::keep held(*home_);
    named* found = nullptr;
    EXPECT_EQ(table_->find(held, first, kind_a, found), find_status::found);
    EXPECT_EQ(table_->find(held, second, kind_a, found), find_status::found);
    actor other;
    other([&] {
        EXPECT_EQ(destroy(first), find_status::found);
        EXPECT_EQ(destroy(second), find_status::found);
        home_->barrier();
    });
    EXPECT_EQ(inside(), 1U) << "only the second one is kept";
    EXPECT_EQ(found->element.number(), 2U);
}

TEST_F(tables, the_one_who_destroys_may_use_the_object_for_as_long_as_it_keeps_it) {
    const std::uint64_t handle = create(10);
    {
        table_type::keep held(*home_);
        named* gone = nullptr;
        EXPECT_EQ(table_->destroy(held, handle, kind_a, gone), find_status::found);
        for (int i = 0; i < 20; ++i) {
            tick(*home_);
        }
        EXPECT_EQ(gone->element.number(), 10U);
        named* none = nullptr;
        EXPECT_EQ(table_->destroy(held, handle, kind_a, none), find_status::stale);
        EXPECT_EQ(gone->element.number(), 10U);
    }
    home_->barrier();
    EXPECT_EQ(inside(), 0U);
}

// T3: with reuse at once, a reader between the generation and the pointer would get another object.
TEST_F(tables, an_index_is_not_used_again_while_a_guard_of_before_is_held) {
    const std::uint64_t handle = create(10);
    const std::uint32_t index = handle_parts::of(handle).index;
    actor reader;
    reader([&] { home_->lock(); });
    EXPECT_EQ(destroy(handle), find_status::found);
    std::vector<std::uint64_t> others;
    for (std::uint64_t number = 1; number < table_type::max_slots; ++number) {
        tick(*home_);
        others.push_back(create(number));
        ASSERT_NE(others.back(), 0U);
        ASSERT_NE(handle_parts::of(others.back()).index, index);
    }
    EXPECT_EQ(create(99), 0U) << "the only slot that is left waits for its grace period";
    reader([&] { home_->unlock(); });
    home_->barrier();
    EXPECT_EQ(handle_parts::of(create(99)).index, index);
}

TEST_F(tables, an_objects_destructor_may_destroy_and_create_others) {
    struct parent {
        explicit parent(object_table<parent, small_env>& where) noexcept : table(where) {}
        ~parent() {
            if (child != 0) {
                object_table<parent, small_env>::keep held(*home);
                parent* gone = nullptr;
                EXPECT_EQ(table.destroy(held, child, kind_a, gone), find_status::found);
                auto heir = std::make_unique<parent>(table);
                EXPECT_NE(table.create(kind_b, heir), 0U);
            }
        }
        object_table<parent, small_env>& table;
        home_type* home = nullptr;
        std::uint64_t child = 0;
    };
    object_table<parent, small_env> family(*home_);
    auto child = std::make_unique<parent>(family);
    auto mother = std::make_unique<parent>(family);
    mother->home = home_.get();
    mother->child = family.create(kind_a, child);
    const std::uint64_t handle = family.create(kind_a, mother);
    {
        object_table<parent, small_env>::keep held(*home_);
        parent* gone = nullptr;
        EXPECT_EQ(family.destroy(held, handle, kind_a, gone), find_status::found);
    }
    EXPECT_EQ(family.was_live(), 1U);
    home_->barrier(); // the mother, who destroys the child and leaves an heir
    home_->barrier(); // the child
    EXPECT_EQ(family.was_live(), 1U);
}

TEST_F(tables, an_object_counts_as_garbage_with_what_it_owns) {
    struct heavy {
        static std::size_t footprint() noexcept { return std::size_t{5} << 30; } // more than the figure can say
    };
    object_table<heavy, small_env> loads(*home_);
    auto object = std::make_unique<heavy>();
    const std::uint64_t handle = loads.create(kind_a, object);
    {
        object_table<heavy, small_env>::keep held(*home_);
        heavy* gone = nullptr;
        EXPECT_EQ(loads.destroy(held, handle, kind_a, gone), find_status::found);
    }
    EXPECT_EQ(home_->stats().pending_bytes, std::uint64_t{UINT32_MAX});
    home_->barrier();
    EXPECT_EQ(home_->stats().pending_bytes, 0U);
}

TEST_F(tables, death_before_the_end_of_its_objects_is_a_misuse) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const std::uint64_t handle = create(10);
    EXPECT_EQ(destroy(handle), find_status::found);
    EXPECT_DEATH(table_.reset(), "call barrier\\(\\) of its domain first");
    home_->barrier();
    table_.reset();
}

// ---- exceptions --------------------------------------------------------------------------------------------------------

TEST_F(tables, a_chunk_that_finds_no_memory_loses_no_slot) {
    for (std::uint32_t i = 0; i < table_type::chunk_slots; ++i) {
        ASSERT_NE(create(i), 0U);
    }
    auto object = std::make_unique<named>(42U);
    {
        const out_of_memory now(0);
        EXPECT_THROW(table_->create(kind_a, object), std::bad_alloc);
    }
    ASSERT_NE(object, nullptr);
    EXPECT_EQ(object->element.number(), 42U);
    EXPECT_EQ(table_->was_live(), table_type::chunk_slots);
    const std::uint64_t handle = table_->create(kind_a, object);
    EXPECT_EQ(handle_parts::of(handle).index, table_type::chunk_slots);
}

// ---- many threads ------------------------------------------------------------------------------------------------------

TEST_F(tables, exactly_one_of_several_destroyers_wins) {
    for (std::uint64_t round = many(300); round != 0; --round) {
        const std::uint64_t handle = create(round);
        ASSERT_NE(handle, 0U);
        std::atomic<int> winners{0};
        together(3, [&](std::size_t) { winners += destroy(handle) == find_status::found ? 1 : 0; });
        ASSERT_EQ(winners, 1);
        home_->barrier();
    }
}

TEST_F(tables, finders_get_the_object_they_ask_for_or_none) {
    constexpr std::size_t places = 8;
    constexpr std::size_t writers = 2;
    const std::uint64_t rounds = many(10'000);
    std::vector<std::atomic<std::uint64_t>> handles(places);
    std::atomic<std::size_t> writing{writers};
    std::atomic<std::uint64_t> created{0};
    std::atomic<std::uint64_t> destroyed{0};
    std::atomic<std::uint64_t> mistaken{0};
    together(writers + 2, [&](std::size_t index) {
        if (index < writers) {
            for (std::uint64_t round = 0; round < rounds; ++round) {
                auto& place = handles[(round * 5 + index) % places];
                auto object = std::make_unique<named>(round);
                named* const fresh = object.get();
                const std::uint64_t handle = table_->create(kind_a, object);
                if (handle != 0) {
                    ++created;
                    fresh->handle.store(handle, std::memory_order_relaxed);
                }
                if (const std::uint64_t old = place.exchange(handle, std::memory_order_acq_rel); old != 0) {
                    table_type::keep held(*home_);
                    named* gone = nullptr;
                    EXPECT_EQ(table_->destroy(held, old, kind_a, gone), find_status::found);
                    mistaken += gone->handle.load(std::memory_order_relaxed) == old ? 0U : 1U;
                    ++destroyed;
                }
            }
            --writing;
            return;
        }
        for (std::uint64_t look = 0; writing != 0; ++look) {
            const std::uint64_t handle = handles[look % places].load(std::memory_order_acquire);
            std::optional<table_type::keep> held; // every other time; else a guard
            named* found = nullptr;
            if (look % 2 == 0) {
                home_->lock();
            }
            const find_status status = look % 2 == 0 ? table_->find(handle, kind_a, found)
                                                     : table_->find(held.emplace(*home_), handle, kind_a, found);
            if (status == find_status::found) {
                mistaken += found->handle.load(std::memory_order_relaxed) == handle ? 0U : 1U;
                found->element.number(); // checks that it is alive
            }
            if (look % 2 == 0) {
                home_->unlock();
            }
            if (look % 64 == 0) {
                std::this_thread::yield();
            }
        }
    });
    EXPECT_EQ(mistaken, 0U);
    EXPECT_EQ(table_->was_live(), created - destroyed);
    EXPECT_GT(created, places);
    home_->barrier();
    EXPECT_EQ(inside(), created - destroyed);
}

TEST_F(tables, threads_that_create_at_once_get_different_slots) {
    for (std::uint64_t round = many(100); round != 0; --round) {
        make(0);
        std::vector<std::vector<std::uint64_t>> handles(4);
        together(4, [&](std::size_t index) {
            for (std::uint64_t number = 0; number < table_type::max_slots / 4; ++number) {
                handles[index].push_back(create(number));
            }
        });
        std::set<std::uint64_t> all;
        for (const auto& part : handles) {
            all.insert(part.begin(), part.end());
        }
        ASSERT_EQ(all.size(), table_type::max_slots);
        ASSERT_EQ(all.count(0), 0U);
    }
}

} // namespace
} // namespace epoque::test
