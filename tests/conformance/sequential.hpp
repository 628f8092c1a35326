// SPDX-License-Identifier: BSL-1.0
/// @file
/// The contract of a container, for one thread and every kind of element.
#pragma once

#include "containers.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

namespace epoque::test {

// ---- the contract, for every kind of element -----------------------------------------------------------------------------

template <class Container>
class conformance : public contained<Container> {};
TYPED_TEST_SUITE_P(conformance);

TYPED_TEST_P(conformance, a_new_container_is_empty_and_open) {
    EXPECT_TRUE(this->container_.was_empty());
    EXPECT_FALSE(this->container_.is_closed());
    const auto nothing = this->container_.try_pop();
    ASSERT_FALSE(nothing.has_value());
    EXPECT_EQ(nothing.error(), conqueue_status::empty);
}

TYPED_TEST_P(conformance, elements_come_out_in_its_order) {
    for (const std::uint64_t count : {1U, 2U, 3U, 100U, 3000U}) {
        this->push_all(0, count);
        EXPECT_FALSE(this->container_.was_empty());
        EXPECT_EQ(drain(this->container_), in_order_of<TypeParam>(numbers(0, count)));
        EXPECT_TRUE(this->container_.was_empty());
    }
}

TYPED_TEST_P(conformance, pushes_and_pops_take_turns) {
    std::vector<std::uint64_t> inside; // the front is next
    std::uint64_t next = 0;
    for (std::uint64_t round = 0; round < 300; ++round) {
        for (std::uint64_t i = 0; i < round % 7; ++i, ++next) {
            ASSERT_TRUE(this->push(next));
            inside.insert(TypeParam::is_fifo ? inside.end() : inside.begin(), next);
        }
        for (std::uint64_t i = 0; i < round % 5 && !inside.empty(); ++i) {
            auto element = this->container_.try_pop();
            ASSERT_TRUE(element.has_value());
            ASSERT_EQ(number_of(*element), inside.front());
            inside.erase(inside.begin());
        }
    }
    EXPECT_EQ(drain(this->container_), inside);
}

TYPED_TEST_P(conformance, every_way_to_push_answers_success) {
    using element_type = typename TypeParam::value_type;
    EXPECT_TRUE(this->container_.push(make<element_type>(0)));
    EXPECT_EQ(this->container_.try_push(make<element_type>(1)), conqueue_status::success);
    EXPECT_TRUE(this->container_.emplace(make<element_type>(2)));
    EXPECT_EQ(this->container_.try_emplace(make<element_type>(3)), conqueue_status::success);
    if constexpr (std::is_copy_constructible_v<element_type>) {
        const element_type kept = make<element_type>(4);
        EXPECT_TRUE(this->container_.push(kept));
        EXPECT_EQ(this->container_.try_push(kept), conqueue_status::success);
        EXPECT_EQ(number_of(kept), 4U);
        EXPECT_EQ(drain(this->container_), in_order_of<TypeParam>({0, 1, 2, 3, 4, 4}));
    } else {
        EXPECT_EQ(drain(this->container_), in_order_of<TypeParam>({0, 1, 2, 3}));
    }
}

TYPED_TEST_P(conformance, a_closed_container_refuses_pushes_and_gives_what_it_has) {
    this->push_all(0, 10);
    this->container_.close();
    EXPECT_TRUE(this->container_.is_closed());
    EXPECT_FALSE(this->push(10));
    EXPECT_EQ(drain(this->container_), in_order_of<TypeParam>(numbers(0, 10)));
}

TYPED_TEST_P(conformance, closed_is_not_empty) {
    this->push_all(0, 1);
    ASSERT_TRUE(this->container_.try_pop());
    EXPECT_EQ(this->container_.try_pop().error(), conqueue_status::empty);
    this->container_.close();
    EXPECT_EQ(this->container_.try_pop().error(), conqueue_status::closed);
    EXPECT_EQ(this->container_.try_pop().error(), conqueue_status::closed);
}

TYPED_TEST_P(conformance, close_is_idempotent) {
    this->push_all(0, 3);
    for (int i = 0; i < 3; ++i) {
        this->container_.close();
        EXPECT_TRUE(this->container_.is_closed());
        EXPECT_FALSE(this->push(9));
    }
    EXPECT_EQ(drain(this->container_), in_order_of<TypeParam>({0, 1, 2}));
    this->container_.close();
    EXPECT_EQ(this->container_.try_pop().error(), conqueue_status::closed);
}

TYPED_TEST_P(conformance, failed_push_leaves_the_value_with_the_caller) {
    using element_type = typename TypeParam::value_type;
    this->container_.close();
    auto element = make<element_type>(42);
    EXPECT_FALSE(this->container_.push(std::move(element)));
    EXPECT_EQ(number_of(element), 42U); // NOLINT(bugprone-use-after-move): that it is not moved from is the test
    EXPECT_EQ(this->container_.try_push(std::move(element)), conqueue_status::closed);
    EXPECT_EQ(number_of(element), 42U); // NOLINT(bugprone-use-after-move): as above
    EXPECT_EQ(this->container_.try_emplace(make<element_type>(43)), conqueue_status::closed);
}

TYPED_TEST_P(conformance, close_at_any_fill_level) {
    for (const std::uint64_t count : {0U, 1U, 2U, 255U, 256U, 257U, 511U, 512U, 1023U, 1024U, 1025U, 2048U, 4096U}) {
        auto container = make_container<TypeParam>::in(this->home_);
        for (std::uint64_t number = 0; number < count; ++number) {
            ASSERT_TRUE(container.push(make<typename TypeParam::value_type>(number)));
        }
        container.close();
        EXPECT_FALSE(container.push(make<typename TypeParam::value_type>(count)));
        EXPECT_TRUE(container.is_closed());
        EXPECT_EQ(drain(container), in_order_of<TypeParam>(numbers(0, count)));
        EXPECT_EQ(container.try_pop().error(), conqueue_status::closed) << count << " elements";
    }
}

TYPED_TEST_P(conformance, bulk_pops_keep_the_order) {
    for (const std::size_t share : {1U, 2U, 7U, 1000U, 5000U}) {
        this->push_all(0, 3000);
        EXPECT_EQ(drain_in_bulk(this->container_, share), in_order_of<TypeParam>(numbers(0, 3000)));
        EXPECT_TRUE(this->container_.was_empty());
    }
}

TYPED_TEST_P(conformance, it_dies_with_elements_in_it_and_after_it_was_drained) {
    for (const std::uint64_t left : {0U, 1U, 500U, 3000U}) {
        auto container = make_container<TypeParam>::in(this->home_);
        for (std::uint64_t number = 0; number < 3000; ++number) {
            ASSERT_TRUE(container.push(make<typename TypeParam::value_type>(number)));
        }
        for (std::uint64_t number = left; number < 3000; ++number) {
            ASSERT_TRUE(container.try_pop());
        }
    }
}

REGISTER_TYPED_TEST_SUITE_P(conformance, a_new_container_is_empty_and_open, elements_come_out_in_its_order,
                            pushes_and_pops_take_turns, every_way_to_push_answers_success,
                            a_closed_container_refuses_pushes_and_gives_what_it_has, closed_is_not_empty,
                            close_is_idempotent, failed_push_leaves_the_value_with_the_caller, close_at_any_fill_level,
                            bulk_pops_keep_the_order, it_dies_with_elements_in_it_and_after_it_was_drained);

} // namespace epoque::test
