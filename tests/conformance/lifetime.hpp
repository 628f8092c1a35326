// SPDX-License-Identifier: BSL-1.0
/// @file
/// Lifetimes, for containers of `counted`; exceptions, for containers of `fragile`.
#pragma once

#include "containers.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace epoque::test {

// ---- lifetime: for containers of `counted` ----------------------------------------------------------------------------------

template <class Container>
class lifetime_conformance : public testing::Test {
  protected:
    lifetime_conformance() : live_before_(counted::live()) {}
    void TearDown() override { EXPECT_EQ(counted::live(), live_before_) << "elements leaked, or died twice"; }
    std::uint64_t inside() const { return counted::live() - live_before_; }

  private:
    std::uint64_t live_before_;
};
TYPED_TEST_SUITE_P(lifetime_conformance);

TYPED_TEST_P(lifetime_conformance, it_holds_exactly_the_elements_that_were_pushed_and_not_popped) {
    domain home;
    auto container = make_container<TypeParam>::in(home);
    for (std::uint64_t number = 0; number < 3000; ++number) {
        ASSERT_TRUE(container.emplace(number));
        ASSERT_EQ(this->inside(), number + 1);
    }
    for (std::uint64_t left = 3000; left != 0; --left) {
        ASSERT_TRUE(container.try_pop());
        ASSERT_EQ(this->inside(), left - 1);
    }
}

TYPED_TEST_P(lifetime_conformance, the_destructor_destroys_what_is_left) {
    domain home;
    for (const std::uint64_t popped : {0U, 1U, 1023U, 1024U, 1025U, 2999U, 3000U}) {
        {
            auto container = make_container<TypeParam>::in(home);
            for (std::uint64_t number = 0; number < 3000; ++number) {
                ASSERT_TRUE(container.emplace(number));
            }
            for (std::uint64_t i = 0; i < popped; ++i) {
                ASSERT_TRUE(container.try_pop());
            }
            EXPECT_EQ(this->inside(), 3000 - popped);
        }
        EXPECT_EQ(this->inside(), 0U);
    }
}

TYPED_TEST_P(lifetime_conformance, the_destructor_destroys_what_is_left_in_a_closed_container) {
    domain home;
    for (const std::uint64_t count : {0U, 1U, 1023U, 1024U, 1025U, 3000U}) {
        {
            auto container = make_container<TypeParam>::in(home);
            for (std::uint64_t number = 0; number < count; ++number) {
                ASSERT_TRUE(container.emplace(number));
            }
            container.close();
            EXPECT_FALSE(container.emplace(count));
            EXPECT_EQ(this->inside(), count);
        }
        EXPECT_EQ(this->inside(), 0U);
    }
}

TYPED_TEST_P(lifetime_conformance, what_a_refused_push_has_built_is_destroyed_or_still_its_owners) {
    domain home;
    auto container = make_container<TypeParam>::in(home);
    container.close();
    {
        counted mine(7);
        EXPECT_FALSE(container.push(std::move(mine)));
        EXPECT_FALSE(container.push(mine)); // NOLINT(bugprone-use-after-move): refused, so not moved from
        EXPECT_FALSE(container.emplace(8U));
        EXPECT_FALSE(push_as_range(container, numbers(0, 100)));
        EXPECT_EQ(this->inside(), 1U);
    }
    EXPECT_EQ(this->inside(), 0U);
}

TYPED_TEST_P(lifetime_conformance, bulk_operations_construct_and_destroy_each_element_once) {
    domain home;
    auto container = make_container<TypeParam>::in(home);
    ASSERT_TRUE(push_as_range(container, numbers(0, 3000)));
    EXPECT_EQ(this->inside(), 3000U);
    EXPECT_EQ(drain_in_bulk(container, 100), in_order_of<TypeParam>(numbers(0, 3000)));
    EXPECT_EQ(this->inside(), 0U);
}

// The consumers try less often than one producer alone has pushed when it closes: something is always left.
TYPED_TEST_P(lifetime_conformance, it_dies_with_what_many_threads_left_in_it) {
    constexpr std::size_t producers = test::producers<TypeParam>(2);
    constexpr std::size_t consumers = test::consumers<TypeParam>(2);
    domain home;
    for (std::uint64_t round = many(20); round != 0; --round) {
        auto container = make_container<TypeParam>::in(home);
        std::atomic<std::uint64_t> balance{0};
        together(producers + consumers, [&](std::size_t index) {
            if (index >= producers) {
                for (int i = 0; i < 300; ++i) {
                    if (container.try_pop()) {
                        --balance;
                    }
                }
                return;
            }
            for (std::uint64_t i = 0; i < 700 && container.emplace(i); ++i) {
                ++balance;
            }
            if (index == 0) {
                container.close();
            }
        });
        ASSERT_GE(balance, 700 - 300 * consumers);
        ASSERT_EQ(this->inside(), balance);
    }
}

REGISTER_TYPED_TEST_SUITE_P(lifetime_conformance, it_holds_exactly_the_elements_that_were_pushed_and_not_popped,
                            the_destructor_destroys_what_is_left,
                            the_destructor_destroys_what_is_left_in_a_closed_container,
                            what_a_refused_push_has_built_is_destroyed_or_still_its_owners,
                            bulk_operations_construct_and_destroy_each_element_once,
                            it_dies_with_what_many_threads_left_in_it);

// ---- exceptions: for containers of `fragile` --------------------------------------------------------------------------------

template <class Container>
class exception_conformance : public contained<Container> {
  protected:
    ~exception_conformance() override { fragile::copies_fail = false; }
};
TYPED_TEST_SUITE_P(exception_conformance);

TYPED_TEST_P(exception_conformance, a_copy_that_throws_leaves_container_and_value_as_they_were) {
    const fragile value(42);
    for (const std::uint64_t before : {0U, 1U, 1023U, 1024U, 1025U}) { // also where a new segment is due
        this->push_all(0, before);
        fragile::copies_fail = true;
        EXPECT_THROW(this->container_.push(value), copy_failed);
        EXPECT_THROW(this->container_.try_push(value), copy_failed);
        EXPECT_THROW(this->container_.emplace(value), copy_failed);
        EXPECT_THROW(this->container_.try_emplace(value), copy_failed);
        fragile::copies_fail = false;
        EXPECT_EQ(value.number(), 42U);
        ASSERT_TRUE(this->push(before));
        EXPECT_EQ(drain(this->container_), in_order_of<TypeParam>(numbers(0, before + 1)));
    }
}

TYPED_TEST_P(exception_conformance, moving_in_and_out_copies_nothing) {
    fragile::copies_fail = true;
    this->push_all(0, 3000);
    EXPECT_EQ(drain(this->container_), in_order_of<TypeParam>(numbers(0, 3000)));
}

REGISTER_TYPED_TEST_SUITE_P(exception_conformance, a_copy_that_throws_leaves_container_and_value_as_they_were,
                            moving_in_and_out_copies_nothing);

} // namespace epoque::test
