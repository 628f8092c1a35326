// SPDX-License-Identifier: BSL-1.0
/// @file
/// The contract of a concurrent container as tests: what a `concurrent_queue` or `concurrent_stack` promises to whoever
/// uses it, whatever its algorithm is. conformance_test.cpp runs them over every structure and every kind of element.
///
/// A structure that can't be made from a domain alone (one with a capacity) specialises `make_container`.
#pragma once

#include "epoque/concepts.hpp"
#include "epoque/domain.hpp"
#include "support.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <new>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace epoque::test {

template <class Container>
struct make_container {
    /// An empty, open container that takes at least 5,000 elements.
    template <class Domain>
    static Container in(Domain& home) {
        return Container(home);
    }
};

/// The elements that are in the container, in the order in which it gives them.
template <class Container>
std::vector<std::uint64_t> drain(Container& container) {
    std::vector<std::uint64_t> all;
    while (auto element = container.try_pop()) {
        all.push_back(number_of(*element));
    }
    return all;
}

/// The same through the bulk operation, `share` at once where it takes a number.
template <class Container>
std::vector<std::uint64_t> drain_in_bulk(Container& container, std::size_t share) {
    using element_type = typename Container::value_type;
    std::vector<std::uint64_t> all;
    if constexpr (Container::is_fifo) {
        std::vector<element_type> taken;
        while (container.try_pop_n(std::back_inserter(taken), share) != 0) {
            EXPECT_LE(taken.size(), share);
            for (const element_type& element : taken) {
                all.push_back(number_of(element));
            }
            taken.clear();
        }
    } else {
        const std::size_t count =
            container.pop_all([&all](element_type&& element) noexcept { all.push_back(number_of(element)); });
        EXPECT_EQ(count, all.size());
    }
    return all;
}

/// What `drain` gives after the numbers were pushed one after the other.
template <class Container>
std::vector<std::uint64_t> in_order_of(std::vector<std::uint64_t> pushed) {
    if constexpr (!Container::is_fifo) {
        std::reverse(pushed.begin(), pushed.end());
    }
    return pushed;
}

/// Pushes the numbers as a range; true when the container took them all.
template <class Container>
bool push_as_range(Container& container, const std::vector<std::uint64_t>& wanted) {
    using element_type = typename Container::value_type;
    std::vector<element_type> elements;
    elements.reserve(wanted.size());
    for (const std::uint64_t number : wanted) {
        elements.push_back(make<element_type>(number));
    }
    bool all = false;
    if constexpr (Container::is_fifo) {
        const auto first = std::make_move_iterator(elements.begin());
        const auto last = std::make_move_iterator(elements.end());
        const auto rest = container.push_range(first, last);
        all = rest == last;
        // What was not taken is unchanged.
        for (auto left = rest; left != last; ++left) {
            EXPECT_EQ(number_of(*left.base()), wanted[static_cast<std::size_t>(left - first)]);
        }
    } else {
        all = container.push_range(elements.begin(), elements.end()) == conqueue_status::success;
        for (std::size_t i = 0; i < elements.size(); ++i) { // a stack copies
            EXPECT_EQ(number_of(elements[i]), wanted[i]);
        }
    }
    return all;
}

/// A container in a domain of its own. When the test ends nothing of either is left.
template <class Container>
class contained : public testing::Test {
  protected:
    contained() : container_(make_container<Container>::in(home_)) {}

    bool push(std::uint64_t number) { return container_.push(make<typename Container::value_type>(number)); }
    void push_all(std::uint64_t first, std::uint64_t last) {
        for (std::uint64_t number = first; number < last; ++number) {
            ASSERT_TRUE(push(number));
        }
    }

    domain home_;
    Container container_;
};

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

/// Who pushed an element, and as its how many-th.
constexpr std::uint64_t signed_number(std::size_t producer, std::uint64_t serial) {
    return std::uint64_t{producer} << 32 | serial;
}

/// Checks one consumer's take: a FIFO gives each producer's elements in the order in which it pushed them.
template <class Container>
void expect_order_of_each_producer(const std::vector<std::uint64_t>& taken) {
    if constexpr (Container::is_fifo) {
        std::map<std::uint64_t, std::uint64_t> next;
        for (const std::uint64_t number : taken) {
            auto& least = next[number >> 32];
            ASSERT_GE(number & 0xffffffffU, least) << "producer " << (number >> 32);
            least = (number & 0xffffffffU) + 1;
        }
    }
}

/// Each of `pushed` is in `taken` exactly once, and nothing else is.
inline void expect_same_elements(std::vector<std::uint64_t> pushed, std::vector<std::uint64_t> taken) {
    std::sort(pushed.begin(), pushed.end());
    std::sort(taken.begin(), taken.end());
    ASSERT_EQ(std::adjacent_find(taken.begin(), taken.end()), taken.end()) << "an element came out twice";
    std::vector<std::uint64_t> lost;
    std::set_difference(pushed.begin(), pushed.end(), taken.begin(), taken.end(), std::back_inserter(lost));
    ASSERT_TRUE(lost.empty()) << lost.size() << " of " << pushed.size() << " elements were lost, the first one is "
                              << lost.front();
    ASSERT_EQ(pushed.size(), taken.size()) << "elements came out that nobody had pushed";
}

inline std::vector<std::uint64_t> joined(const std::vector<std::vector<std::uint64_t>>& parts) {
    std::vector<std::uint64_t> all;
    for (const auto& part : parts) {
        all.insert(all.end(), part.begin(), part.end());
    }
    return all;
}

// Pitfall 18.
TYPED_TEST_P(race_conformance, every_push_that_succeeded_before_a_racing_close_is_popped_exactly_once) {
    using element_type = typename TypeParam::value_type;
    constexpr std::size_t producers = 3;
    constexpr std::size_t consumers = 2;
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

TYPED_TEST_P(race_conformance, threads_that_push_and_pop_by_turns_lose_nothing) {
    using element_type = typename TypeParam::value_type;
    constexpr std::size_t threads = 4;
    const std::uint64_t each = many(5000);
    std::vector<std::vector<std::uint64_t>> taken(threads);
    together(threads, [&](std::size_t index) {
        for (std::uint64_t serial = 0; serial < each; ++serial) {
            ASSERT_TRUE(this->container_.push(make<element_type>(signed_number(index, serial))));
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
    constexpr std::size_t producers = 2;
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

TYPED_TEST_P(lifetime_conformance, it_dies_with_what_many_threads_left_in_it) {
    domain home;
    for (std::uint64_t round = many(20); round != 0; --round) {
        auto container = make_container<TypeParam>::in(home);
        std::atomic<std::uint64_t> balance{0};
        together(4, [&](std::size_t index) {
            for (std::uint64_t i = 0; i < 700; ++i) {
                if (index % 2 == 0) {
                    if (!container.emplace(i)) {
                        return;
                    }
                    ++balance;
                } else if (container.try_pop()) {
                    --balance;
                } else if (i == 500) {
                    container.close();
                }
            }
        });
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

// ---- try_pop_n: for FIFOs of `move_only` --------------------------------------------------------------------------------------

template <class Container>
class bulk_pop_conformance : public contained<Container> {};
TYPED_TEST_SUITE_P(bulk_pop_conformance);

/// Takes elements until it has had enough, and throws then.
template <class Element>
class tired_iterator {
  public:
    struct had_enough {};
    tired_iterator(std::vector<Element>& into, std::size_t limit) : into_(&into), limit_(limit) {}
    tired_iterator& operator*() { return *this; }
    tired_iterator& operator++() { return *this; }
    tired_iterator& operator=(Element element) {
        if (into_->size() == limit_) {
            throw had_enough();
        }
        into_->push_back(std::move(element));
        return *this;
    }

  private:
    std::vector<Element>* into_;
    std::size_t limit_;
};

TYPED_TEST_P(bulk_pop_conformance, an_output_iterator_that_throws_loses_at_most_one_element) {
    using iterator = tired_iterator<typename TypeParam::value_type>;
    for (const std::size_t limit : {0U, 1U, 5U, 1023U, 1024U, 1500U}) {
        this->push_all(0, 2000);
        std::vector<typename TypeParam::value_type> taken;
        EXPECT_THROW(this->container_.try_pop_n(iterator(taken, limit), 2000), typename iterator::had_enough);
        ASSERT_EQ(taken.size(), limit);
        std::vector<std::uint64_t> all;
        for (const auto& element : taken) {
            all.push_back(number_of(element));
        }
        EXPECT_EQ(all, numbers(0, limit));
        const auto rest = drain(this->container_);
        EXPECT_GE(rest.size(), 2000 - limit - 1);
        EXPECT_EQ(rest, numbers(2000 - rest.size(), 2000)); // in order, nothing missing in between
    }
}

TYPED_TEST_P(bulk_pop_conformance, it_gives_no_more_than_it_was_asked_for) {
    this->push_all(0, 10);
    std::vector<typename TypeParam::value_type> taken(12);
    EXPECT_EQ(this->container_.try_pop_n(taken.data(), 0), 0U);
    EXPECT_EQ(taken[0], nullptr) << "nothing was asked for";
    EXPECT_EQ(this->container_.try_pop_n(taken.data(), 3), 3U);
    EXPECT_EQ(this->container_.try_pop_n(taken.data() + 3, 9), 7U);
    for (std::uint64_t number = 0; number < 10; ++number) {
        EXPECT_EQ(number_of(taken[number]), number);
    }
    EXPECT_EQ(this->container_.try_pop_n(taken.data(), 0), 0U);
    EXPECT_EQ(this->container_.try_pop_n(taken.data(), 1), 0U);
    this->container_.close();
    EXPECT_EQ(this->container_.try_pop_n(taken.data(), 1), 0U);
}

TYPED_TEST_P(bulk_pop_conformance, bulk_consumers_share_the_elements) {
    using element_type = typename TypeParam::value_type;
    constexpr std::size_t consumers = 3;
    const std::uint64_t count = many(20'000);
    std::vector<std::vector<std::uint64_t>> taken(consumers);
    together(consumers + 1, [&](std::size_t index) {
        if (index == consumers) {
            for (std::uint64_t number = 0; number < count; ++number) {
                ASSERT_TRUE(this->push(number));
            }
            this->container_.close();
            return;
        }
        std::vector<element_type> some(17);
        for (unsigned idle = 0;;) {
            const std::size_t got = this->container_.try_pop_n(some.data(), some.size());
            for (std::size_t i = 0; i < got; ++i) {
                taken[index].push_back(number_of(some[i]));
            }
            if (got != 0) {
                idle = 0;
            } else if (auto last = this->container_.try_pop()) {
                taken[index].push_back(number_of(*last));
            } else if (last.error() == conqueue_status::closed) {
                return;
            } else {
                std_env::relax(idle++);
            }
        }
    });
    for (const auto& part : taken) {
        EXPECT_TRUE(std::is_sorted(part.begin(), part.end()));
    }
    expect_same_elements(numbers(0, count), joined(taken));
}

REGISTER_TYPED_TEST_SUITE_P(bulk_pop_conformance, an_output_iterator_that_throws_loses_at_most_one_element,
                            it_gives_no_more_than_it_was_asked_for, bulk_consumers_share_the_elements);

// ---- out of memory, at each allocation in turn (pitfall 16) -----------------------------------------------------------------

template <class Container>
class memory_conformance : public testing::Test {};
TYPED_TEST_SUITE_P(memory_conformance);

/// Runs `script(allowed)` in new threads, with `allowed` = 0, 1, 2, ... allocations that succeed before all fail, until
/// it says that it met no failure. The script makes everything anew each time.
template <class Script>
void with_each_allocation_failing(Script script) {
    bool failed = true;
    for (std::uint64_t allowed = 0; failed; ++allowed) {
        std::thread([&] { failed = script(allowed); }).join();
        if (testing::Test::HasFatalFailure()) {
            FAIL() << "with " << allowed << " allocations before the failure";
        }
        ASSERT_LT(allowed, 20'000U) << "the allocations never suffice";
    }
}

/// Whether `operation` met bad_alloc after `allowed` allocations; what is left of these is in `allowed` afterwards.
template <class Operation>
bool runs_out_of_memory(std::uint64_t allowed, Operation operation) {
    const out_of_memory from_now(allowed);
    try {
        operation();
        return false;
    } catch (const std::bad_alloc&) {
        return true;
    }
}

TYPED_TEST_P(memory_conformance, a_failed_push_loses_nothing_and_the_container_works_on) {
    using element_type = typename TypeParam::value_type;
    constexpr std::uint64_t count = TypeParam::is_fifo ? 1024 * 2 + 10 : 70;
    with_each_allocation_failing([](std::uint64_t allowed) {
        domain home;
        std::optional<TypeParam> container;
        std::uint64_t next = 0;
        std::optional<element_type> refused;
        bool failed = runs_out_of_memory(allowed, [&] { container.emplace(home); });
        if (!failed) {
            std::vector<element_type> elements;
            for (std::uint64_t number = 0; number < count; ++number) {
                elements.push_back(make<element_type>(number));
            }
            failed = runs_out_of_memory(allowed, [&] {
                for (; next < count; ++next) {
                    container->push(std::move(elements[next]));
                }
            });
            if (failed) {
                refused.emplace(std::move(elements[next]));
            }
        } else {
            container.emplace(home);
        }
        if (refused) {
            EXPECT_EQ(number_of(*refused), next) << "a push that failed has moved from its argument";
            EXPECT_TRUE(container->push(*std::move(refused))) << "and works when there is memory again";
            ++next;
        }
        for (; next < count; ++next) {
            EXPECT_TRUE(container->push(make<element_type>(next)));
        }
        EXPECT_EQ(drain(*container), in_order_of<TypeParam>(numbers(0, count)));
        return failed;
    });
}

TYPED_TEST_P(memory_conformance, a_failed_range_loses_nothing_of_what_went_in_before) {
    using element_type = typename TypeParam::value_type;
    constexpr std::uint64_t count = TypeParam::is_fifo ? 1024 * 3 : 70;
    with_each_allocation_failing([](std::uint64_t allowed) {
        domain home;
        auto container = make_container<TypeParam>::in(home);
        EXPECT_TRUE(container.push(make<element_type>(0)));
        std::vector<element_type> elements;
        for (std::uint64_t number = 1; number < count; ++number) {
            elements.push_back(make<element_type>(number));
        }
        const bool failed = runs_out_of_memory(allowed, [&] {
            if constexpr (TypeParam::is_fifo) {
                container.push_range(std::make_move_iterator(elements.begin()),
                                     std::make_move_iterator(elements.end()));
            } else {
                container.push_range(elements.begin(), elements.end());
            }
        });
        auto inside = drain(container);
        if constexpr (TypeParam::is_fifo) {
            // A prefix went in, and the rest is where it was.
            EXPECT_EQ(inside, numbers(0, inside.size()));
            for (std::uint64_t number = std::max<std::uint64_t>(1, inside.size()); number < count; ++number) {
                EXPECT_EQ(number_of(elements[number - 1]), number);
            }
        } else {
            EXPECT_EQ(inside, failed ? numbers(0, 1) : in_order_of<TypeParam>(numbers(0, count)));
        }
        EXPECT_EQ(failed, inside.size() != count);
        return failed;
    });
}

TYPED_TEST_P(memory_conformance, a_pop_needs_no_memory_after_a_threads_first) {
    using element_type = typename TypeParam::value_type;
    domain home;
    auto container = make_container<TypeParam>::in(home);
    for (std::uint64_t number = 0; number < 3000; ++number) {
        ASSERT_TRUE(container.push(make<element_type>(number)));
    }
    std::thread([&] {
        const bool failed = runs_out_of_memory(0, [&] { static_cast<void>(container.try_pop()); });
        EXPECT_TRUE(failed) << "a thread's record comes from nowhere";
        {
            const auto guard = home.pin();
        }
        EXPECT_FALSE(runs_out_of_memory(0, [&] {
            for (int i = 0; i < 3000; ++i) {
                if (!container.try_pop()) {
                    throw std::bad_alloc();
                }
            }
            static_cast<void>(container.try_pop());
            container.close();
        }));
        EXPECT_EQ(container.try_pop().error(), conqueue_status::closed);
    }).join();
}

REGISTER_TYPED_TEST_SUITE_P(memory_conformance, a_failed_push_loses_nothing_and_the_container_works_on,
                            a_failed_range_loses_nothing_of_what_went_in_before,
                            a_pop_needs_no_memory_after_a_threads_first);

} // namespace epoque::test
