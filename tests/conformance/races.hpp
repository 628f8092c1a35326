// SPDX-License-Identifier: BSL-1.0
/// @file
/// The contract under races: single elements, and ranges with a close in between. As many threads push and pop as the
/// structure is made for.
#pragma once

#include "containers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace epoque::test {

// ---- the contract under races ------------------------------------------------------------------------------------------------

template <class Container>
class race_conformance : public contained<Container> {};
TYPED_TEST_SUITE_P(race_conformance);

// What one thread has pushed, another one takes whole and in order.
TYPED_TEST_P(race_conformance, one_thread_to_another) {
    const std::uint64_t count = many(20'000);
    std::vector<std::uint64_t> taken;
    together(2, [&](std::size_t index) {
        if (index == 0) {
            for (std::uint64_t number = 0; number < count; ++number) {
                ASSERT_TRUE(this->push(number));
            }
            this->container_.close();
            return;
        }
        for (unsigned idle = 0;;) {
            auto element = this->container_.try_pop();
            if (element) {
                taken.push_back(number_of(*element));
                idle = 0;
            } else if (element.error() == conqueue_status::closed) {
                return;
            } else {
                std_env::relax(idle++);
            }
        }
    });
    if (TypeParam::is_fifo) {
        EXPECT_EQ(taken, numbers(0, count));
    } else {
        std::sort(taken.begin(), taken.end());
        EXPECT_EQ(taken, numbers(0, count));
    }
}

// Pitfall 18.
TYPED_TEST_P(race_conformance, every_push_that_succeeded_before_a_racing_close_is_popped_exactly_once) {
    using element_type = typename TypeParam::value_type;
    constexpr std::size_t producers = test::producers<TypeParam>(3);
    constexpr std::size_t consumers = test::consumers<TypeParam>(2);
    for (std::uint64_t round = many(20); round != 0; --round) {
        auto container = make_container<TypeParam>::in(this->home_);
        std::vector<std::vector<std::uint64_t>> pushed(producers);
        std::vector<std::vector<std::uint64_t>> taken(consumers);
        std::atomic<std::uint64_t> popped{0};
        const std::uint64_t close_after = round * 37; // about: that is the race
        together(producers + consumers + 1, [&](std::size_t index) {
            if (index < producers) {
                for (std::uint64_t serial = 0;; ++serial) {
                    const std::uint64_t number = signed_number(index, serial);
                    auto element = make<element_type>(number);
                    const conqueue_status status = container.try_push(std::move(element));
                    if (status != conqueue_status::success) {
                        EXPECT_EQ(status, conqueue_status::closed);
                        EXPECT_EQ(number_of(element), number); // NOLINT(bugprone-use-after-move): still its owner's
                        return;
                    }
                    pushed[index].push_back(number);
                    if (serial % 64 == 63) {
                        std::this_thread::yield();
                    }
                }
            }
            if (index < producers + consumers) {
                for (unsigned idle = 0;;) {
                    auto element = container.try_pop();
                    if (element) {
                        taken[index - producers].push_back(number_of(*element));
                        popped.fetch_add(1, std::memory_order_relaxed);
                        idle = 0;
                    } else if (element.error() == conqueue_status::closed) {
                        return;
                    } else {
                        std_env::relax(idle++);
                    }
                }
            }
            for (unsigned idle = 0; popped.load(std::memory_order_relaxed) < close_after; ++idle) {
                std_env::relax(idle);
            }
            container.close();
            EXPECT_TRUE(container.is_closed());
        });
        for (const auto& part : taken) {
            expect_order_of_each_producer<TypeParam>(part);
        }
        expect_same_elements(joined(pushed), joined(taken));
        if (testing::Test::HasFatalFailure()) {
            return;
        }
    }
}

// Where one thread at a time may push (or pop), each has its turn at it.
TYPED_TEST_P(race_conformance, threads_that_push_and_pop_by_turns_lose_nothing) {
    using element_type = typename TypeParam::value_type;
    constexpr std::size_t threads = 4;
    const std::uint64_t each = many(5000);
    std::vector<std::vector<std::uint64_t>> taken(threads);
    right<made_for<TypeParam>::producers> to_push;
    right<made_for<TypeParam>::consumers> to_pop;
    together(threads, [&](std::size_t index) {
        for (std::uint64_t serial = 0; serial < each; ++serial) {
            {
                const std::lock_guard mine(to_push);
                ASSERT_TRUE(this->container_.push(make<element_type>(signed_number(index, serial))));
            }
            const std::lock_guard mine(to_pop);
            if (auto element = this->container_.try_pop()) {
                taken[index].push_back(number_of(*element));
            }
        }
    });
    taken.push_back(drain(this->container_));
    std::vector<std::uint64_t> pushed;
    for (std::size_t index = 0; index < threads; ++index) {
        for (std::uint64_t serial = 0; serial < each; ++serial) {
            pushed.push_back(signed_number(index, serial));
        }
    }
    for (const auto& part : taken) {
        expect_order_of_each_producer<TypeParam>(part);
    }
    expect_same_elements(pushed, joined(taken));
}

REGISTER_TYPED_TEST_SUITE_P(race_conformance, one_thread_to_another,
                            every_push_that_succeeded_before_a_racing_close_is_popped_exactly_once,
                            threads_that_push_and_pop_by_turns_lose_nothing);

// ---- ranges: for elements that the container takes as a range --------------------------------------------------------------

template <class Container>
class range_conformance : public contained<Container> {};
TYPED_TEST_SUITE_P(range_conformance);

TYPED_TEST_P(range_conformance, a_range_keeps_its_order) {
    std::vector<std::uint64_t> all;
    for (const std::uint64_t count : {0U, 1U, 2U, 3U, 100U, 1023U, 1024U, 1025U, 2600U}) {
        const auto wanted = numbers(all.size(), all.size() + count);
        ASSERT_TRUE(push_as_range(this->container_, wanted));
        all.insert(all.end(), wanted.begin(), wanted.end());
    }
    EXPECT_EQ(drain(this->container_), in_order_of<TypeParam>(all));
}

TYPED_TEST_P(range_conformance, single_pushes_and_ranges_mix) {
    ASSERT_TRUE(this->push(0));
    ASSERT_TRUE(push_as_range(this->container_, numbers(1, 10)));
    ASSERT_TRUE(this->push(10));
    EXPECT_EQ(drain_in_bulk(this->container_, 4), in_order_of<TypeParam>(numbers(0, 11)));
}

TYPED_TEST_P(range_conformance, a_closed_container_takes_nothing_of_a_range) {
    this->push_all(0, 5);
    this->container_.close();
    EXPECT_FALSE(push_as_range(this->container_, numbers(5, 2000))); // and checks that the elements are unchanged
    EXPECT_EQ(drain(this->container_), in_order_of<TypeParam>(numbers(0, 5)));
}

// A producer's range goes in as it is, up to a point: a prefix of it when the container is closed in between.
TYPED_TEST_P(range_conformance, ranges_race_with_close_and_every_element_taken_is_popped_exactly_once) {
    using element_type = typename TypeParam::value_type;
    constexpr std::size_t producers = test::producers<TypeParam>(2);
    constexpr std::uint64_t length = 50;
    for (std::uint64_t round = many(20); round != 0; --round) {
        auto container = make_container<TypeParam>::in(this->home_);
        std::vector<std::vector<std::uint64_t>> pushed(producers);
        std::vector<std::uint64_t> taken;
        std::atomic<std::uint64_t> popped{0};
        together(producers + 2, [&](std::size_t index) {
            if (index < producers) {
                for (std::uint64_t serial = 0;; serial += length) {
                    std::vector<element_type> elements;
                    for (std::uint64_t i = 0; i < length; ++i) {
                        elements.push_back(make<element_type>(signed_number(index, serial + i)));
                    }
                    std::uint64_t went_in = 0;
                    if constexpr (TypeParam::is_fifo) {
                        const auto first = std::make_move_iterator(elements.begin());
                        went_in = static_cast<std::uint64_t>(
                            container.push_range(first, std::make_move_iterator(elements.end())) - first);
                    } else {
                        const auto status = container.push_range(elements.begin(), elements.end());
                        went_in = status == conqueue_status::success ? length : 0;
                    }
                    for (std::uint64_t i = 0; i < went_in; ++i) {
                        pushed[index].push_back(signed_number(index, serial + i));
                    }
                    if (went_in != length) {
                        for (std::uint64_t i = went_in; i < length; ++i) {
                            EXPECT_EQ(number_of(elements[i]), signed_number(index, serial + i));
                        }
                        return;
                    }
                    std::this_thread::yield();
                }
            }
            if (index == producers) {
                for (unsigned idle = 0;;) {
                    auto element = container.try_pop();
                    if (element) {
                        taken.push_back(number_of(*element));
                        popped.fetch_add(1, std::memory_order_relaxed);
                        idle = 0;
                    } else if (element.error() == conqueue_status::closed) {
                        return;
                    } else {
                        std_env::relax(idle++);
                    }
                }
            }
            for (unsigned idle = 0; popped.load(std::memory_order_relaxed) < round * 23; ++idle) {
                std_env::relax(idle);
            }
            container.close();
        });
        expect_order_of_each_producer<TypeParam>(taken);
        expect_same_elements(joined(pushed), taken);
        if (testing::Test::HasFatalFailure()) {
            return;
        }
    }
}

REGISTER_TYPED_TEST_SUITE_P(range_conformance, a_range_keeps_its_order, single_pushes_and_ranges_mix,
                            a_closed_container_takes_nothing_of_a_range,
                            ranges_race_with_close_and_every_element_taken_is_popped_exactly_once);

} // namespace epoque::test
