// SPDX-License-Identifier: BSL-1.0
/// @file
/// Tests of object_table.hpp where an object has several handles: rights, dup, revoke, and a destroy that ends them all.
#include "epoque/object_table.hpp"
#include "support.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <vector>

namespace epoque::test {
namespace {

constexpr std::uint8_t kind = 3;
constexpr std::uint8_t other_kind = 4;

/// Ends with all objects destroyed and all memory given back.
class names : public testing::Test {
  protected:
    using home_type = basic_domain<small_env>;
    using table_type = object_table<counted, small_env>;

    names() : live_before_(counted::live()) { make(0); }
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

    std::uint64_t create(std::uint64_t number, std::uint8_t rights = table_type::all_rights) {
        auto object = std::make_unique<counted>(number);
        return table_->create(kind, object, rights);
    }
    find_status find(std::uint64_t handle, std::uint8_t needs = 0) {
        table_type::keep held(*home_);
        counted* found = nullptr;
        return table_->find(held, handle, kind, found, needs);
    }
    std::uint64_t number_behind(std::uint64_t handle) {
        table_type::keep held(*home_);
        counted* found = nullptr;
        EXPECT_EQ(table_->find(held, handle, kind, found), find_status::found);
        return found == nullptr ? ~std::uint64_t{0} : found->number();
    }
    find_status try_dup(std::uint64_t handle, std::uint8_t rights, std::uint64_t& made, std::uint8_t as = kind) {
        table_type::keep held(*home_);
        counted* found = nullptr;
        return table_->dup(held, handle, as, rights, found, made);
    }
    std::uint64_t dup(std::uint64_t handle, std::uint8_t rights) {
        std::uint64_t made = 0;
        EXPECT_EQ(try_dup(handle, rights, made), find_status::found);
        return made;
    }
    find_status revoke(std::uint64_t handle) {
        table_type::keep held(*home_);
        counted* found = nullptr;
        return table_->revoke(held, handle, kind, found);
    }
    find_status destroy(std::uint64_t handle, std::uint8_t needs = 0) {
        table_type::keep held(*home_);
        counted* found = nullptr;
        return table_->destroy(held, handle, kind, found, needs);
    }
    std::uint64_t inside() {
        home_->barrier();
        return counted::live() - live_before_;
    }

    std::unique_ptr<home_type> home_;
    std::unique_ptr<table_type> table_;

  private:
    std::uint64_t live_before_;
};

// ---- sequential --------------------------------------------------------------------------------------------------------

TEST_F(names, a_handle_is_good_for_its_rights_and_no_others) {
    const std::uint64_t handle = create(10, 0b0101);
    EXPECT_EQ(table_->was_rights(handle), 0b0101);
    for (unsigned needs = 0; needs < 256; ++needs) {
        const find_status wanted = (needs & ~0b0101U) == 0 ? find_status::found : find_status::no_right;
        ASSERT_EQ(find(handle, static_cast<std::uint8_t>(needs)), wanted) << needs;
    }
    EXPECT_EQ(destroy(handle, 0b0010), find_status::no_right);
    EXPECT_EQ(destroy(handle, 0b0100), find_status::found);
    EXPECT_EQ(table_->was_rights(handle), 0);
    EXPECT_EQ(find(handle, 0b1000), find_status::stale) << "a handle that is not live has no rights to speak of";
}

TEST_F(names, a_dup_has_a_part_of_its_parents_rights) {
    const std::uint64_t all = create(10, 0b0111);
    const std::uint64_t some = dup(all, 0b0011);
    std::uint64_t made = 4242;
    EXPECT_EQ(try_dup(some, 0b0100, made), find_status::no_right);
    EXPECT_EQ(try_dup(some, 0b0101, made), find_status::no_right) << "one of two is not enough";
    EXPECT_EQ(try_dup(all, 0b1000, made), find_status::no_right);
    EXPECT_EQ(try_dup(all, 0b0001, made, other_kind), find_status::wrong_kind);
    EXPECT_EQ(made, 4242U);
    const std::uint64_t one = dup(some, 0b0001);
    const std::uint64_t none = dup(one, 0);
    for (const std::uint64_t handle : {all, some, one, none}) {
        EXPECT_EQ(number_behind(handle), 10U);
    }
    EXPECT_EQ(table_->was_rights(one), 0b0001);
    EXPECT_EQ(find(some, 0b0010), find_status::found);
    EXPECT_EQ(find(one, 0b0010), find_status::no_right);
    EXPECT_EQ(find(none, 0b0001), find_status::no_right);
    EXPECT_EQ(table_->was_live(), 4U);
    EXPECT_EQ(destroy(all), find_status::found);
}

TEST_F(names, a_revoked_handle_ends_alone) {
    const std::uint64_t first = create(10);
    const std::uint64_t second = dup(first, 1);
    const std::uint64_t third = dup(second, 1);
    EXPECT_EQ(revoke(second), find_status::found);
    EXPECT_EQ(revoke(second), find_status::stale);
    EXPECT_EQ(find(second), find_status::stale);
    EXPECT_EQ(inside(), 1U);
    EXPECT_EQ(number_behind(first), 10U);
    EXPECT_EQ(revoke(first), find_status::found);
    EXPECT_EQ(inside(), 1U) << "the object lives by its last handle";
    EXPECT_EQ(number_behind(third), 10U);
    EXPECT_EQ(number_behind(dup(third, 1)), 10U) << "and can be named again";
    EXPECT_EQ(destroy(third), find_status::found);
    EXPECT_EQ(inside(), 0U);
}

TEST_F(names, the_last_revoke_ends_the_object) {
    const std::uint64_t first = create(10);
    const std::uint64_t second = dup(first, 1);
    EXPECT_EQ(revoke(first), find_status::found);
    EXPECT_EQ(revoke(second), find_status::found);
    EXPECT_EQ(inside(), 0U);
    EXPECT_EQ(table_->was_live(), 0U);
    std::uint64_t made = 4242;
    EXPECT_EQ(try_dup(second, 1, made), find_status::stale);
}

TEST_F(names, a_destroy_by_any_handle_ends_them_all) {
    for (int by = 0; by < 4; ++by) {
        const std::uint64_t other = create(20);
        const std::uint64_t first = create(10);
        const std::uint64_t handles[4] = {first, dup(first, 1), dup(first, 2), dup(first, 3)};
        const std::uint64_t others = dup(other, 1);
        EXPECT_EQ(destroy(handles[by]), find_status::found);
        for (const std::uint64_t handle : handles) {
            EXPECT_EQ(find(handle), find_status::stale);
            EXPECT_EQ(destroy(handle), find_status::stale);
        }
        EXPECT_EQ(inside(), 1U);
        EXPECT_EQ(number_behind(others), 20U);
        EXPECT_EQ(destroy(others), find_status::found);
    }
}

TEST_F(names, the_first_slot_waits_for_the_last_name) {
    const std::uint64_t first = create(10);
    const std::uint64_t second = dup(first, 1);
    EXPECT_EQ(revoke(first), find_status::found);
    home_->barrier();
    std::vector<std::uint64_t> others;
    for (std::uint64_t number = 0; number < 5; ++number) {
        others.push_back(create(number));
        EXPECT_NE(handle_parts::of(others.back()).index, handle_parts::of(first).index);
    }
    EXPECT_EQ(number_behind(second), 10U);
    EXPECT_EQ(revoke(second), find_status::found);
    home_->barrier();
    others.push_back(create(100));
    others.push_back(create(101));
    EXPECT_TRUE(std::any_of(others.begin(), others.end(), [&](std::uint64_t each) {
        return handle_parts::of(each).index == handle_parts::of(first).index;
    })) << "and is used again then";
    for (const std::uint64_t each : others) {
        EXPECT_EQ(destroy(each), find_status::found);
    }
}

TEST_F(names, agree_with_a_map_on_random_programs) {
    std::mt19937_64 random(11);
    struct name {
        std::uint64_t object;
        std::uint8_t rights;
    };
    for (int program = 0; program < 60; ++program) {
        std::map<std::uint64_t, name> live;
        std::vector<std::uint64_t> dead;
        const auto forget = [&](std::uint64_t object) {
            for (auto at = live.begin(); at != live.end();) {
                dead.push_back(at->first);
                at = at->second.object == object ? live.erase(at) : (dead.pop_back(), std::next(at));
            }
        };
        for (std::uint64_t step = 0; step < 80; ++step) {
            const auto some = live.empty()
                                  ? live.end()
                                  : std::next(live.begin(), static_cast<std::ptrdiff_t>(random() % live.size()));
            const auto rights = static_cast<std::uint8_t>(random() % 8);
            switch (live.empty() ? 0 : random() % 6) {
            case 0:
                if (const std::uint64_t made = create(step, rights); made != 0) {
                    live.emplace(made, name{step, rights});
                }
                break;
            case 1: {
                std::uint64_t made = 0;
                const bool allowed = (some->second.rights & rights) == rights;
                ASSERT_EQ(try_dup(some->first, rights, made), allowed ? find_status::found : find_status::no_right);
                if (made != 0) {
                    ASSERT_TRUE(live.emplace(made, name{some->second.object, rights}).second);
                }
                break;
            }
            case 2:
                ASSERT_EQ(revoke(some->first), find_status::found);
                dead.push_back(some->first);
                live.erase(some);
                break;
            case 3:
                if (destroy(some->first, rights) == find_status::found) {
                    ASSERT_EQ(some->second.rights & rights, rights);
                    forget(some->second.object);
                }
                break;
            case 4:
                home_->barrier();
                break;
            default:
                break;
            }
            for (const auto& [handle, what] : live) {
                ASSERT_EQ(number_behind(handle), what.object);
                ASSERT_EQ(table_->was_rights(handle), what.rights);
            }
            for (const std::uint64_t handle : dead) {
                ASSERT_EQ(find(handle), find_status::stale);
            }
            ASSERT_EQ(table_->was_live(), live.size());
        }
        while (!live.empty()) {
            const std::uint64_t object = live.begin()->second.object;
            ASSERT_EQ(destroy(live.begin()->first), find_status::found);
            forget(object);
        }
        ASSERT_EQ(inside(), 0U);
    }
}

// ---- capacity ------------------------------------------------------------------------------------------------------------

TEST_F(names, a_dup_that_finds_no_slot_changes_nothing) {
    const std::uint64_t first = create(10);
    std::vector<std::uint64_t> dups;
    for (std::uint64_t made = dup(first, 1); made != 0; made = dup(first, 1)) {
        dups.push_back(made);
    }
    EXPECT_EQ(dups.size() + 1, std::size_t{table_type::max_slots});
    EXPECT_EQ(revoke(dups.back()), find_status::found);
    home_->barrier();
    EXPECT_NE(dup(first, 1), 0U);
    dups.pop_back();
    for (const std::uint64_t each : dups) {
        EXPECT_EQ(revoke(each), find_status::found);
    }
    EXPECT_EQ(destroy(first), find_status::found);
    EXPECT_EQ(inside(), 0U);
}

TEST_F(names, slots_that_are_used_up_serve_as_first_slots_to_the_end) {
    make(0xfffffffe); // one life each
    const std::uint64_t first = create(10);
    const std::uint64_t second = dup(first, 1);
    EXPECT_EQ(revoke(first), find_status::found);
    home_->barrier();
    EXPECT_EQ(number_behind(second), 10U);
    EXPECT_EQ(revoke(second), find_status::found);
    EXPECT_EQ(inside(), 0U);
}

// ---- lifetime ------------------------------------------------------------------------------------------------------------

TEST_F(names, the_table_ends_an_object_with_several_handles_once) {
    const std::uint64_t first = create(10);
    static_cast<void>(dup(first, 1));
    const std::uint64_t second = create(20);
    static_cast<void>(dup(second, 1));
    EXPECT_EQ(revoke(second), find_status::found);
    home_->barrier();
    table_.reset(); // first with two handles, second with its dup alone
    EXPECT_EQ(inside(), 0U);
}

TEST_F(names, a_destroyed_object_lives_as_long_as_somebody_keeps_any_of_its_slots) {
    const std::uint64_t first = create(10);
    const std::uint64_t second = dup(first, 1);
    actor reader;
    std::optional<table_type::keep> held;
    counted* found = nullptr;
    reader([&] { EXPECT_EQ(table_->find(held.emplace(*home_), second, kind, found), find_status::found); });
    EXPECT_EQ(destroy(first), find_status::found);
    EXPECT_EQ(inside(), 1U);
    reader([&] {
        EXPECT_EQ(found->number(), 10U);
        held.reset();
    });
    EXPECT_EQ(inside(), 0U);
}

// ---- many threads --------------------------------------------------------------------------------------------------------

TEST_F(names, dups_beside_a_destroy_end_with_the_object) {
    for (std::uint64_t round = many(1000); round != 0; --round) {
        const std::uint64_t first = create(10);
        ASSERT_NE(first, 0U);
        std::uint64_t dups[2] = {};
        std::atomic<int> destroyed{0};
        together(4, [&](std::size_t thread) {
            if (thread >= 2) {
                destroyed += destroy(first) == find_status::found ? 1 : 0;
                return;
            }
            std::uint64_t made = 0;
            while (try_dup(first, 1, made) == find_status::found) {
                if (made != 0) {
                    dups[thread] = made;
                    if (table_->was_live() > 3) {
                        static_cast<void>(revoke(made));
                    }
                }
            }
        });
        ASSERT_EQ(destroyed.load(), 1);
        ASSERT_EQ(find(dups[0]), find_status::stale);
        ASSERT_EQ(find(dups[1]), find_status::stale);
        ASSERT_EQ(table_->was_live(), 0U);
        ASSERT_EQ(inside(), 0U);
    }
}

struct heavy {
    static constexpr std::size_t weight = std::size_t{1} << 20;
    std::size_t footprint() const noexcept { return weight; }
};

TEST(names_of_heavy_objects, the_last_revoke_counts_what_the_object_holds_as_garbage) {
    basic_domain<small_env> home;
    object_table<heavy, small_env> table(home);
    using keep = object_table<heavy, small_env>::keep;
    auto object = std::make_unique<heavy>();
    const std::uint64_t first = table.create(kind, object);
    heavy* found = nullptr;
    std::uint64_t second = 0;
    {
        keep held(home);
        ASSERT_EQ(table.dup(held, first, kind, 1, found, second), find_status::found);
    }
    const std::uint64_t before = home.stats().pending_bytes;
    {
        keep held(home);
        ASSERT_EQ(table.revoke(held, first, kind, found), find_status::found);
    }
    EXPECT_LT(home.stats().pending_bytes - before, heavy::weight) << "the object lives on by its other handle";
    {
        keep held(home);
        ASSERT_EQ(table.revoke(held, second, kind, found), find_status::found);
    }
    EXPECT_GE(home.stats().pending_bytes - before, heavy::weight);
    home.barrier();
    EXPECT_EQ(home.stats().pending_bytes, 0U);
}

} // namespace
} // namespace epoque::test
