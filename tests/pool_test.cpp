// SPDX-License-Identifier: BSL-1.0
/// @file
/// Tests of core/pool.hpp: blocks are kept for reuse, each is in one place, and what is kept is bounded.
#include "epoque/core/pool.hpp"
#include "support.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

namespace epoque::test {
namespace {

using pool = core::pool<small_env>;

constexpr std::size_t align = alignof(std::max_align_t);

/// Blocks of one bundle, as the header says.
constexpr std::size_t bundle(std::size_t bytes) {
    return std::clamp<std::size_t>(pool::bundle_bytes / bytes, 1, pool::bundle_blocks);
}

/// A pool with one magazine for each thread of the test. Ends with nothing left.
class pools : public testing::Test {
  protected:
    void TearDown() override {
        for (auto& magazine : magazines) {
            shared->drain(magazine);
        }
        shared.reset();
        EXPECT_EQ(small_env::live_blocks(), 0U);
        EXPECT_EQ(small_env::live_bytes(), 0U) << "blocks were given back with another size than they were taken with";
    }
    void* take(std::size_t thread, std::uint32_t index, std::size_t bytes) {
        return shared->allocate(magazines[thread], index, bytes, align);
    }
    void give(std::size_t thread, std::uint32_t index, void* block, std::size_t bytes) {
        shared->deallocate(magazines[thread], index, block, bytes, align);
    }

    std::unique_ptr<pool> shared = std::make_unique<pool>();
    std::vector<pool::magazine> magazines = std::vector<pool::magazine>(4);
};

// ---- sequential --------------------------------------------------------------------------------------------------------

TEST_F(pools, a_shape_has_one_class_and_each_shape_its_own) {
    const std::uint32_t first = shared->class_of(32, 8);
    EXPECT_EQ(shared->class_of(32, 8), first);
    EXPECT_NE(shared->class_of(32, 64), first);
    EXPECT_NE(shared->class_of(40, 8), first);
    EXPECT_EQ(shared->class_of(32, 8), first);
}

TEST_F(pools, when_all_classes_are_taken_blocks_come_from_the_allocator) {
    for (std::uint32_t i = 0; i < pool::classes; ++i) {
        EXPECT_EQ(shared->class_of(64 + i * 8, 8), i);
    }
    const std::uint32_t none = shared->class_of(8000, 8);
    EXPECT_EQ(none, core::unpooled);
    EXPECT_EQ(shared->class_of(64, 8), 0U) << "those that were there first still have theirs";
    void* block = take(0, none, 8000);
    EXPECT_EQ(small_env::live_blocks(), 1U);
    give(0, none, block, 8000);
    EXPECT_EQ(small_env::live_blocks(), 0U);
}

TEST_F(pools, an_env_without_pooling_keeps_nothing) {
    core::pool<unpooled_env> direct;
    core::pool<unpooled_env>::magazine magazine;
    const std::uint32_t none = direct.class_of(64, 8);
    EXPECT_EQ(none, core::unpooled);
    direct.deallocate(magazine, none, direct.allocate(magazine, none, 64, 8), 64, 8);
    EXPECT_EQ(small_env::live_blocks(), 0U);
}

TEST_F(pools, a_block_that_was_given_back_is_used_again) {
    const std::uint32_t index = shared->class_of(64, align);
    void* block = take(0, index, 64);
    give(0, index, block, 64);
    EXPECT_EQ(take(0, index, 64), block);
    EXPECT_EQ(small_env::live_blocks(), 1U);
    give(0, index, block, 64);
}

TEST_F(pools, blocks_of_different_shapes_do_not_mix) {
    const std::uint32_t small = shared->class_of(64, align);
    const std::uint32_t big = shared->class_of(4096, align);
    give(0, small, take(0, small, 64), 64);
    void* block = take(0, big, 4096);
    std::memset(block, 0xab, 4096); // AddressSanitizer looks
    give(0, big, block, 4096);
    void* other = take(0, small, 64);
    EXPECT_NE(other, block);
    give(0, small, other, 64);
}

TEST_F(pools, blocks_are_aligned_as_their_class_says) {
    for (const std::size_t alignment : {std::size_t{16}, std::size_t{128}, std::size_t{4096}}) {
        const std::uint32_t index = shared->class_of(256, alignment);
        std::vector<void*> blocks;
        for (int round = 0; round < 2; ++round) { // fresh ones, and used ones
            for (int i = 0; i < 300; ++i) {
                blocks.push_back(shared->allocate(magazines[0], index, 256, alignment));
                ASSERT_EQ(reinterpret_cast<std::uintptr_t>(blocks.back()) % alignment, 0U);
            }
            for (void* block : blocks) {
                shared->deallocate(magazines[0], index, block, 256, alignment);
            }
            blocks.clear();
        }
    }
}

/// Takes and gives back as `steps` say, with several magazines, and checks that no block is in two places. A step is the
/// thread and whether it takes (its oldest block goes back, to the magazine of the next thread, otherwise).
void no_block_is_handed_out_twice(const std::vector<std::pair<std::uint8_t, bool>>& steps, std::size_t bytes) {
    pool shared;
    std::vector<pool::magazine> magazines(3);
    const std::uint32_t index = shared.class_of(bytes, align);
    std::set<void*> out;
    std::vector<void*> order;
    for (const auto& [who, takes] : steps) {
        const std::size_t thread = who % magazines.size();
        for (int i = 0; i < 9; ++i) { // so that short sequences fill bundles
            if (takes) {
                void* block = shared.allocate(magazines[thread], index, bytes, align);
                std::memset(block, 0x5a, 64); // the pool's links lie there
                RC_ASSERT(out.insert(block).second);
                order.push_back(block);
            } else if (!order.empty()) {
                out.erase(order.back());
                shared.deallocate(magazines[thread], index, order.back(), bytes, align);
                order.pop_back();
            }
        }
    }
    for (void* block : order) {
        shared.deallocate(magazines[0], index, block, bytes, align);
    }
    for (auto& magazine : magazines) {
        shared.drain(magazine);
    }
}

TEST_F(pools, no_block_is_in_two_places) {
    for (const std::size_t bytes : {std::size_t{64}, std::size_t{4096}, std::size_t{40'000}}) {
        EXPECT_TRUE(rc::check("no block is handed out twice", [bytes] {
            no_block_is_handed_out_twice(*rc::gen::arbitrary<std::vector<std::pair<std::uint8_t, bool>>>(), bytes);
        }));
        EXPECT_EQ(small_env::live_bytes(), 0U);
    }
}

// ---- capacity ----------------------------------------------------------------------------------------------------------

TEST_F(pools, what_is_kept_is_bounded) {
    for (const std::size_t bytes : {std::size_t{32}, std::size_t{1024}, std::size_t{65'536 + 384}}) {
        const std::uint64_t before = small_env::live_blocks();
        const std::uint32_t index = shared->class_of(bytes, align);
        const std::size_t count = 40 * bundle(bytes);
        std::vector<void*> blocks;
        for (std::size_t i = 0; i < count; ++i) {
            blocks.push_back(take(0, index, bytes));
        }
        EXPECT_EQ(small_env::live_blocks() - before, count);
        for (void* block : blocks) {
            give(0, index, block, bytes);
        }
        const std::uint64_t kept = small_env::live_blocks() - before;
        EXPECT_LE(kept, (pool::places(bytes) + 2) * bundle(bytes)) << "P3, for blocks of " << bytes;
        EXPECT_GE(kept, pool::places(bytes) * bundle(bytes)) << "a pool that keeps nothing is none";
    }
}

TEST_F(pools, what_one_thread_frees_another_one_uses) {
    constexpr std::size_t bytes = 64;
    const std::uint32_t index = shared->class_of(bytes, align);
    std::vector<void*> blocks;
    for (std::size_t i = 0; i < 6 * bundle(bytes); ++i) {
        blocks.push_back(take(0, index, bytes));
    }
    for (void* block : blocks) {
        give(1, index, block, bytes);
    }
    const std::uint64_t live = small_env::live_blocks();
    for (std::size_t i = 0; i < 4 * bundle(bytes); ++i) {
        blocks[i] = take(0, index, bytes);
    }
    EXPECT_EQ(small_env::live_blocks(), live) << "the depot had blocks, but the allocator was asked";
    for (std::size_t i = 0; i < 4 * bundle(bytes); ++i) {
        give(0, index, blocks[i], bytes);
    }
}

// ---- exceptions --------------------------------------------------------------------------------------------------------

TEST_F(pools, a_kept_block_is_there_when_memory_is_not) {
    const std::uint32_t index = shared->class_of(64, align);
    void* block = take(0, index, 64);
    give(0, index, block, 64);
    const out_of_memory now(0);
    EXPECT_EQ(take(0, index, 64), block);
    EXPECT_THROW(take(0, index, 64), std::bad_alloc);
    EXPECT_THROW(take(0, core::unpooled, 64), std::bad_alloc);
    give(0, index, block, 64);
    EXPECT_EQ(take(0, index, 64), block) << "and works on after the failure";
    give(0, index, block, 64);
}

// ---- many threads ------------------------------------------------------------------------------------------------------

// Each block carries the stamp of its user from the time it is taken until it is given back, in another thread.
TEST_F(pools, blocks_travel_between_threads_and_have_one_user_at_a_time) {
    constexpr std::size_t bytes = 256;
    const std::uint64_t rounds = many(3000);
    const std::uint32_t index = shared->class_of(bytes, align);
    std::mutex mutex;
    std::vector<std::uint64_t*> market;
    std::atomic<std::uint64_t> wrong{0};
    together(magazines.size(), [&](std::size_t thread) {
        std::vector<std::uint64_t*> mine;
        for (std::uint64_t round = 0; round < rounds; ++round) {
            for (std::size_t i = 0; i < round % 40; ++i) {
                auto* words = static_cast<std::uint64_t*>(take(thread, index, bytes));
                std::fill_n(words, bytes / sizeof(*words), thread << 32 | round);
                mine.push_back(words);
            }
            {
                const std::lock_guard lock(mutex); // some change hands
                const std::size_t share = mine.size() / 2;
                for (std::size_t i = 0; i < share; ++i) {
                    market.push_back(mine.back());
                    mine.pop_back();
                }
                for (std::size_t i = 0; i < share && !market.empty(); ++i) {
                    mine.push_back(market.front());
                    std::swap(market.front(), market.back());
                    market.pop_back();
                }
            }
            while (mine.size() > 20) {
                std::uint64_t* words = mine.back();
                mine.pop_back();
                for (std::size_t i = 1; i < bytes / sizeof(*words); ++i) {
                    wrong += words[i] == words[0] ? 0U : 1U;
                }
                give(thread, index, words, bytes);
            }
        }
        for (std::uint64_t* words : mine) {
            give(thread, index, words, bytes);
        }
    });
    for (std::uint64_t* words : market) {
        give(0, index, words, bytes);
    }
    EXPECT_EQ(wrong, 0U);
}

TEST_F(pools, threads_that_ask_for_the_same_shape_at_once_get_the_same_class) {
    for (int round = 0; round < 20; ++round) {
        core::pool<small_env> fresh;
        std::vector<std::uint32_t> found(4);
        together(4, [&](std::size_t thread) {
            for (std::size_t i = 0; i < 8; ++i) {
                const std::size_t shape = (i + thread) % 8;
                const std::uint32_t index = fresh.class_of(64 + shape * 64, 8);
                if (shape == 3) {
                    found[thread] = index;
                }
            }
        });
        for (const std::uint32_t each : found) {
            ASSERT_EQ(each, found[0]);
        }
        ASSERT_EQ(fresh.class_of(64 + 3 * 64, 8), found[0]);
        ASSERT_LT(fresh.class_of(8000, 8), 9U) << "two classes were made for one shape";
    }
}

} // namespace
} // namespace epoque::test
