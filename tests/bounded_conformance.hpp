// SPDX-License-Identifier: BSL-1.0
/// @file
/// The contract of a queue with a capacity, for one thread: what conformance.hpp, whose containers have always room, does not
/// ask. Each home's test instantiates it with its maker:
///
///     struct maker {
///         template <class T> using queue = ...;                                   // over small_env
///         template <class T> static queue<T> make(std::size_t capacity, basic_domain<small_env>& home);
///     };
#pragma once

#include "epoque/domain.hpp"
#include "support.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <forward_list>
#include <iterator>
#include <limits>
#include <new>
#include <utility>
#include <vector>

namespace epoque::test {

template <class Queue>
std::vector<std::uint64_t> drain(Queue& line) {
    std::vector<std::uint64_t> all;
    while (auto element = line.try_pop()) {
        all.push_back(number_of(*element));
    }
    return all;
}

template <class Maker>
class bounded_conformance : public testing::Test {
  protected:
    template <class T>
    auto make_queue(std::size_t capacity) {
        return Maker::template make<T>(capacity, home_);
    }
    void TearDown() override { EXPECT_EQ(counted::live(), live_before_) << "elements leaked, or died twice"; }

    basic_domain<small_env> home_;

  private:
    std::uint64_t live_before_ = counted::live();
};
TYPED_TEST_SUITE_P(bounded_conformance);

enum class step : std::uint8_t { push, push_range, pop, pop_n, look, close };
using program = std::vector<std::pair<std::uint8_t, std::uint8_t>>;

/// Runs the program on a queue and on a std::deque; every answer must be the same.
template <class Element, class Maker>
void agrees_with_deque(std::size_t capacity, const program& steps) {
    basic_domain<small_env> home;
    auto line = Maker::template make<Element>(capacity, home);
    std::deque<std::uint64_t> model;
    bool closed = false;
    std::uint64_t next = 0;
    const auto expected_push = [&] {
        return closed                     ? conqueue_status::closed
               : model.size() == capacity ? conqueue_status::full
                                          : conqueue_status::success;
    };
    for (const auto& [choice, amount] : steps) {
        switch (choice == 0 ? step::close : static_cast<step>(choice % 5)) {
        case step::push: {
            auto element = make<Element>(next);
            const conqueue_status expected = expected_push();
            RC_ASSERT(line.try_push(std::move(element)) == expected);
            if (expected == conqueue_status::success) {
                model.push_back(next);
            } else {
                RC_ASSERT(number_of(element) == next); // NOLINT(bugprone-use-after-move): refused, so not moved from
            }
            ++next;
            break;
        }
        case step::push_range: {
            std::vector<Element> elements;
            for (unsigned i = 0; i < amount % 11; ++i) {
                elements.push_back(make<Element>(next + i));
            }
            const auto first = std::make_move_iterator(elements.begin());
            const auto rest = line.push_range(first, std::make_move_iterator(elements.end()));
            const std::size_t fits = closed ? 0 : std::min(elements.size(), capacity - model.size());
            RC_ASSERT(static_cast<std::size_t>(rest - first) == fits);
            for (std::size_t i = 0; i < elements.size(); ++i) {
                if (i < fits) {
                    model.push_back(next + i);
                } else {
                    RC_ASSERT(number_of(elements[i]) == next + i);
                }
            }
            next += elements.size();
            break;
        }
        case step::pop: {
            const auto element = line.try_pop();
            RC_ASSERT(element.has_value() == !model.empty());
            if (model.empty()) {
                RC_ASSERT(element.error() == (closed ? conqueue_status::closed : conqueue_status::empty));
            } else {
                RC_ASSERT(number_of(*element) == model.front());
                model.pop_front();
            }
            break;
        }
        case step::pop_n: {
            std::vector<Element> taken;
            const std::size_t got = line.try_pop_n(std::back_inserter(taken), amount % 13);
            RC_ASSERT(got == std::min<std::size_t>(amount % 13, model.size()));
            for (const Element& each : taken) {
                RC_ASSERT(number_of(each) == model.front());
                model.pop_front();
            }
            break;
        }
        case step::look:
            RC_ASSERT(line.was_empty() == model.empty());
            RC_ASSERT(line.was_size() == model.size());
            RC_ASSERT(line.is_closed() == closed);
            break;
        case step::close:
            line.close();
            closed = true;
            break;
        }
    }
    RC_ASSERT(drain(line) == std::vector<std::uint64_t>(model.begin(), model.end()));
}

TYPED_TEST_P(bounded_conformance, it_agrees_with_a_deque_on_random_programs) {
    for (const std::size_t capacity : {1U, 2U, 3U, 8U, 13U}) {
        EXPECT_TRUE(rc::check(
            "numbers", [=](const program& steps) { agrees_with_deque<std::uint64_t, TypeParam>(capacity, steps); }));
        EXPECT_TRUE(rc::check("move-only",
                              [=](const program& steps) { agrees_with_deque<move_only, TypeParam>(capacity, steps); }));
    }
}

TYPED_TEST_P(bounded_conformance, a_range_may_come_from_any_iterator_that_can_be_gone_through_twice) {
    auto line = this->template make_queue<std::uint64_t>(20);
    const std::forward_list<std::uint64_t> list{0, 1, 2};
    EXPECT_EQ(line.push_range(list.begin(), list.end()), list.end());
    const std::vector<bool> proxies{true, false}; // *first is no reference to an element
    EXPECT_EQ(line.push_range(proxies.begin(), proxies.end()), proxies.end());
    const std::vector<std::uint32_t> converted{7, 8};
    EXPECT_EQ(line.push_range(converted.begin(), converted.end()), converted.end());
    EXPECT_EQ(line.push_range(list.begin(), list.begin()), list.begin()) << "an empty range";
    EXPECT_EQ(drain(line), (std::vector<std::uint64_t>{0, 1, 2, 1, 0, 7, 8}));
}

TYPED_TEST_P(bounded_conformance, it_takes_exactly_its_capacity_wherever_it_begins) {
    for (const std::size_t capacity : {1U, 2U, 3U, 5U, 8U, 1000U}) {
        auto line = this->template make_queue<move_only>(capacity);
        EXPECT_EQ(line.capacity(), capacity);
        for (std::uint64_t offset = 0; offset < 20; ++offset) {
            for (std::uint64_t number = 0; number < capacity; ++number) {
                ASSERT_EQ(line.try_push(make<move_only>(number)), conqueue_status::success);
                ASSERT_EQ(line.was_size(), number + 1);
            }
            auto one_more = make<move_only>(42);
            ASSERT_EQ(line.try_push(std::move(one_more)), conqueue_status::full);
            ASSERT_EQ(number_of(one_more), 42U); // NOLINT(bugprone-use-after-move): refused, so not moved from
            ASSERT_EQ(drain(line), numbers(0, capacity));
            ASSERT_EQ(line.try_pop().error(), conqueue_status::empty);
            ASSERT_EQ(line.try_push(make<move_only>(offset)), conqueue_status::success);
            ASSERT_TRUE(line.try_pop());
        }
    }
}

TYPED_TEST_P(bounded_conformance, a_range_that_does_not_fit_goes_in_as_far_as_there_is_room) {
    auto line = this->template make_queue<move_only>(7);
    ASSERT_EQ(line.try_push(make<move_only>(0)), conqueue_status::success);
    std::vector<move_only> elements;
    for (const std::uint64_t number : numbers(1, 11)) {
        elements.push_back(make<move_only>(number));
    }
    const auto first = std::make_move_iterator(elements.begin());
    const auto rest = line.push_range(first, std::make_move_iterator(elements.end()));
    EXPECT_EQ(rest - first, 6);
    for (std::size_t i = 6; i < elements.size(); ++i) {
        EXPECT_EQ(number_of(elements[i]), i + 1);
    }
    EXPECT_EQ(drain(line), numbers(0, 7));
}

TYPED_TEST_P(bounded_conformance, a_full_queue_that_is_closed_says_closed) {
    auto line = this->template make_queue<std::uint64_t>(3);
    for (const std::uint64_t number : numbers(0, 3)) {
        ASSERT_EQ(line.try_push(number), conqueue_status::success);
    }
    line.close();
    EXPECT_EQ(line.try_push(std::uint64_t{3}), conqueue_status::closed);
    EXPECT_EQ(drain(line), numbers(0, 3));
    EXPECT_EQ(line.try_pop().error(), conqueue_status::closed);
}

TYPED_TEST_P(bounded_conformance, close_at_every_fill_level_of_every_small_capacity) {
    for (std::size_t capacity = 1; capacity <= 5; ++capacity) {
        for (std::uint64_t before = 0; before <= 9; ++before) { // pushed and popped first
            for (std::uint64_t count = 0; count <= capacity; ++count) {
                auto line = this->template make_queue<std::uint64_t>(capacity);
                for (std::uint64_t number = 0; number < before; ++number) {
                    ASSERT_EQ(line.try_push(number), conqueue_status::success);
                    ASSERT_TRUE(line.try_pop());
                }
                for (std::uint64_t number = 0; number < count; ++number) {
                    ASSERT_EQ(line.try_push(number), conqueue_status::success);
                }
                line.close();
                ASSERT_EQ(line.try_push(std::uint64_t{9}), conqueue_status::closed);
                ASSERT_EQ(line.was_size(), count);
                ASSERT_EQ(drain(line), numbers(0, count));
                ASSERT_EQ(line.try_pop().error(), conqueue_status::closed);
            }
        }
    }
}

TYPED_TEST_P(bounded_conformance, a_capacity_of_zero_is_a_misuse) {
    EXPECT_DEATH(this->template make_queue<std::uint64_t>(0), "capacity 0.*at least 1");
}

TYPED_TEST_P(bounded_conformance, a_capacity_beyond_all_memory_throws) {
    EXPECT_THROW(this->template make_queue<std::uint64_t>(std::numeric_limits<std::size_t>::max()), std::bad_alloc);
    EXPECT_THROW(this->template make_queue<std::uint64_t>(std::numeric_limits<std::size_t>::max() / 8), std::bad_alloc);
}

TYPED_TEST_P(bounded_conformance, it_destroys_what_is_left_in_it) {
    const std::uint64_t live = counted::live();
    for (std::uint64_t begin = 0; begin < 8; ++begin) {
        for (std::uint64_t count = 0; count <= 5; ++count) {
            auto line = this->template make_queue<counted>(5);
            for (std::uint64_t number = 0; number < begin; ++number) {
                ASSERT_EQ(line.try_emplace(number), conqueue_status::success);
                ASSERT_TRUE(line.try_pop());
            }
            for (std::uint64_t number = 0; number < count; ++number) {
                ASSERT_EQ(line.try_emplace(number), conqueue_status::success);
            }
            if (count % 2 == 0) {
                line.close();
                ASSERT_EQ(line.try_emplace(7U), conqueue_status::closed);
            }
            ASSERT_EQ(counted::live() - live, count);
        }
        ASSERT_EQ(counted::live(), live);
    }
}

REGISTER_TYPED_TEST_SUITE_P(bounded_conformance, it_agrees_with_a_deque_on_random_programs,
                            a_range_may_come_from_any_iterator_that_can_be_gone_through_twice,
                            it_takes_exactly_its_capacity_wherever_it_begins,
                            a_range_that_does_not_fit_goes_in_as_far_as_there_is_room,
                            a_full_queue_that_is_closed_says_closed, close_at_every_fill_level_of_every_small_capacity,
                            a_capacity_of_zero_is_a_misuse, a_capacity_beyond_all_memory_throws,
                            it_destroys_what_is_left_in_it);

} // namespace epoque::test
