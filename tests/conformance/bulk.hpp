// SPDX-License-Identifier: BSL-1.0
/// @file
/// Many elements at once: what each way to pop them promises.
#pragma once

#include "containers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace epoque::test {

// ---- many at once: for containers of `move_only` -----------------------------------------------------------------------------

/// try_pop_n, which asks for a number of elements. The other way is pop_all.
template <class Container>
concept pops_a_number =
    requires(Container& container, typename Container::value_type* out) { container.try_pop_n(out, std::size_t{1}); };

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
    if constexpr (!pops_a_number<TypeParam>) {
        does_not_apply("pop_all gives its elements to a function that does not throw");
    } else {
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
}

TYPED_TEST_P(bulk_pop_conformance, it_gives_no_more_than_it_was_asked_for) {
    if constexpr (!pops_a_number<TypeParam>) {
        does_not_apply("pop_all is asked for no number");
    } else {
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
}

/// Appends the numbers of up to 17 elements (or of all that there are, where that is the only way); how many.
template <class Container>
std::size_t take_some(Container& container, std::vector<std::uint64_t>& into) {
    if constexpr (pops_a_number<Container>) {
        std::vector<typename Container::value_type> some(17);
        const std::size_t got = container.try_pop_n(some.data(), some.size());
        for (std::size_t i = 0; i < got; ++i) {
            into.push_back(number_of(some[i]));
        }
        return got;
    } else {
        return container.pop_all([&into](auto&& element) noexcept { into.push_back(number_of(element)); });
    }
}

TYPED_TEST_P(bulk_pop_conformance, bulk_consumers_share_the_elements) {
    if constexpr (test::consumers<TypeParam>(2) < 2) {
        does_not_apply("one thread pops");
    } else {
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
            for (unsigned idle = 0;;) {
                if (take_some(this->container_, taken[index]) != 0) {
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
        if constexpr (TypeParam::is_fifo) {
            for (const auto& part : taken) {
                EXPECT_TRUE(std::is_sorted(part.begin(), part.end()));
            }
        }
        expect_same_elements(numbers(0, count), joined(taken));
    }
}

REGISTER_TYPED_TEST_SUITE_P(bulk_pop_conformance, an_output_iterator_that_throws_loses_at_most_one_element,
                            it_gives_no_more_than_it_was_asked_for, bulk_consumers_share_the_elements);

} // namespace epoque::test
