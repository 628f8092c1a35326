// SPDX-License-Identifier: BSL-1.0
/// @file
/// freeze_test: the frozen threads' scheduler itself. The homes' scenarios are in stress/<home>_freeze.cpp.
#include "env/scheduled_env.hpp"

#include <gtest/gtest.h>

#include <string>

namespace epoque::stress {
namespace {

using env = scheduled_env;

// ---- the check itself ----------------------------------------------------------------------------------------------------------

TEST(frozen_lock, is_noticed) {
    // A spin lock is not lock-free: somebody frozen inside stops the others.
    env::atomic<std::uint32_t> lock{0};
    std::uint64_t count = 0;
    const auto locked = [&] {
        for (int i = 0; i < 3; ++i) {
            while (lock.exchange(1, env::acquire) != 0) {
                env::pause();
            }
            ++count;
            lock.store(0, env::release);
            scheduler::progress();
        }
    };
    bool stuck = false;
    for (std::uint64_t point = 1; point <= 6 && !stuck; ++point) {
        lock.store(0, env::relaxed);
        schedule wanted;
        wanted.freeze_at = point;
        wanted.patience = 10'000;
        stuck = !scheduler::run(wanted, {locked, locked}).completed;
    }
    EXPECT_TRUE(stuck);
}

TEST(scheduler, repeats_an_execution_by_its_seed) {
    const auto trace = [](std::uint64_t seed) {
        std::string order;
        env::atomic<std::uint32_t> word{0};
        const auto body = [&](char name) {
            return [&order, &word, name] {
                for (int i = 0; i < 20; ++i) {
                    word.fetch_add(1U, env::relaxed);
                    order += name;
                }
            };
        };
        schedule wanted;
        wanted.seed = seed;
        EXPECT_TRUE(scheduler::run(wanted, {body('a'), body('b'), body('c')}).completed);
        return order;
    };
    EXPECT_EQ(trace(7), trace(7));
    EXPECT_NE(trace(7), trace(8));
}

TEST(scheduler, survives_exceptions_in_its_threads) {
    int caught = 0;
    env::atomic<std::uint32_t> word{0};
    const auto thrower = [&] {
        for (int i = 0; i < 10; ++i) {
            try {
                word.fetch_add(1U, env::relaxed);
                throw i; // NOLINT(misc-throw-by-value-catch-by-reference): a number is all there is to it
            } catch (const int thrown) {
                word.fetch_add(1U, env::relaxed); // another thread may throw while we handle ours
                caught += thrown == i ? 1 : 0;
            }
        }
    };
    schedule wanted;
    wanted.switch_every = 1;
    EXPECT_TRUE(scheduler::run(wanted, {thrower, thrower, thrower}).completed);
    EXPECT_EQ(caught, 30);
}

} // namespace
} // namespace epoque::stress
