// SPDX-License-Identifier: BSL-1.0
/// @file
/// The bounded kinds of the C interface under threads: capacity, order, close; and the ends of an spsc, which any number of threads
/// may come to. What they have in common with the unbounded ones is in ffi_test.cpp.
#include "ffi_support.hpp"

#include "epoque.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <random>
#include <thread>

namespace {

using namespace epoque::test; // NOLINT(google-build-using-namespace): a test of that

template <class Kind>
class ffi_bounded : public ffi<Kind> {};
using bounded_kinds = testing::Types<boundeds, spscs>;
TYPED_TEST_SUITE(ffi_bounded, bounded_kinds, kind_names);

TYPED_TEST(ffi_bounded, holds_exactly_its_capacity_and_keeps_the_order) {
    for (const std::uint64_t capacity : {1U, 2U, 3U, 7U, 64U}) {
        const auto handle = make<TypeParam>("", capacity);
        std::uint64_t next_in = 0;
        std::uint64_t next_out = 0;
        std::mt19937_64 random(capacity);
        for (int round = 0; round < many(2000); ++round) {
            std::array<std::uint64_t, 80> room{};
            const std::size_t wish = 1 + random() % room.size();
            const std::uint64_t held = next_in - next_out;
            std::size_t done = 0;
            if (random() % 2 == 0) {
                for (std::size_t i = 0; i < wish; ++i) {
                    room[i] = next_in + i;
                }
                const epq_status status = TypeParam::send_n(handle, room.data(), size, wish, &done, nullptr);
                const std::uint64_t fits = std::min<std::uint64_t>(wish, capacity - held);
                ASSERT_EQ(status, fits == wish ? EPQ_OK : fits == 0 ? EPQ_FULL : EPQ_PARTIAL);
                ASSERT_EQ(done, fits);
                next_in += done;
            } else {
                const epq_status status = TypeParam::recv_n(handle, room.data(), size, wish, &done, 0, nullptr);
                ASSERT_EQ(status, held == 0 ? EPQ_EMPTY : EPQ_OK);
                ASSERT_EQ(done, std::min<std::uint64_t>(wish, held));
                for (std::size_t i = 0; i < done; ++i) {
                    ASSERT_EQ(room[i], next_out++);
                }
            }
            const epq_stats now = stats<TypeParam>(handle);
            ASSERT_EQ(now.sends, next_in);
            ASSERT_EQ(now.receives, next_out);
            ASSERT_EQ(now.length, next_in - next_out);
            ASSERT_EQ(now.capacity, capacity);
        }
        ASSERT_EQ(TypeParam::destroy(handle, nullptr), EPQ_OK);
    }
}

TYPED_TEST(ffi_bounded, a_close_lets_what_was_accepted_through_and_nothing_else) {
    for (int round = 0; round < many(300); ++round) {
        const auto handle = make<TypeParam>("", 8);
        std::uint64_t sent = 0;
        std::uint64_t received = 0;
        crew threads;
        threads.add([&] {
            while (send<TypeParam>(handle, sent) == EPQ_OK) {
                ++sent;
            }
        });
        threads.add([&] {
            std::uint64_t value = 0;
            epq_status status = EPQ_OK;
            while ((status = receive<TypeParam>(handle, value)) == EPQ_OK) {
                ASSERT_EQ(value, received++);
            }
            ASSERT_EQ(status, EPQ_CLOSED);
        });
        std::this_thread::sleep_for(std::chrono::microseconds(round % 50));
        ASSERT_EQ(TypeParam::close(handle, nullptr), EPQ_OK);
        threads.join();
        EXPECT_EQ(received, sent);
        ASSERT_EQ(TypeParam::destroy(handle, nullptr), EPQ_OK);
    }
}

TEST(ffi_spsc, any_number_of_threads_at_an_end_get_busy_and_break_nothing) {
    constexpr std::uint64_t senders = 3;
    const auto each = static_cast<std::uint64_t>(many(20000));
    const auto handle = make<spscs>("", 16);
    std::atomic<std::uint64_t> left{senders * each};
    std::atomic<std::uint64_t> sum{0};
    crew threads;
    for (std::uint64_t i = 0; i < senders; ++i) {
        threads.add([&, i] {
            for (std::uint64_t next = 0; next < each; ++next) {
                ASSERT_EQ(send<spscs>(handle, i * each + next), EPQ_OK);
            }
        });
        threads.add([&] {
            while (left.load() != 0) {
                std::array<std::uint64_t, 8> room{};
                std::size_t count = 0;
                const epq_status status = spscs::recv_n(handle, room.data(), size, room.size(), &count, 1000, nullptr);
                ASSERT_TRUE(status == EPQ_OK || status == EPQ_BUSY || status == EPQ_TIMEOUT) << status;
                for (std::size_t at = 0; at < count; ++at) {
                    sum += room[at];
                }
                left -= count;
            }
        });
    }
    threads.join();
    const std::uint64_t all = senders * each;
    EXPECT_EQ(sum.load(), all * (all - 1) / 2);
    ASSERT_EQ(spscs::destroy(handle, nullptr), EPQ_OK);
}

} // namespace
