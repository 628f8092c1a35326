// SPDX-License-Identifier: BSL-1.0
/// @file
/// What the rooms of the conformance suite share: what structures are made for, filling and draining, who pushed what.
#pragma once

#include "../support.hpp"
#include "epoque/concepts.hpp"
#include "epoque/domain.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace epoque::test {

/// What a structure is made for, as far as clauses depend on it. A structure that is made for less specialises it.
inline constexpr std::size_t any_number = std::numeric_limits<std::size_t>::max();
template <class Container>
struct made_for {
    static constexpr std::size_t producers = any_number; ///< threads that may push at the same time: 1 or any number
    static constexpr std::size_t consumers = any_number; ///< and that may pop
    /// A thread's first pop of the domain's containers takes a record, and with it memory.
    static constexpr bool pops_with_a_record = true;
};

/// As many threads as the test wants, and the structure allows.
template <class Container>
constexpr std::size_t producers(std::size_t wanted) {
    return std::min(wanted, made_for<Container>::producers);
}
template <class Container>
constexpr std::size_t consumers(std::size_t wanted) {
    return std::min(wanted, made_for<Container>::consumers);
}

/// The right to push, or to pop. Where one thread at a time has it, it goes from hand to hand.
template <std::size_t Threads>
class right {
    static_assert(Threads == 1 || Threads == any_number);

  public:
    void lock() {
        if constexpr (Threads == 1) {
            mutex_.lock();
        }
    }
    void unlock() {
        if constexpr (Threads == 1) {
            mutex_.unlock();
        }
    }

  private:
    std::mutex mutex_;
};

/// Ends a clause that says nothing about this structure; ci/tables prints the reason.
inline void does_not_apply(const char* why) {
    testing::Test::RecordProperty("does_not_apply", why);
    GTEST_SKIP() << "does not apply: " << why;
}

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

} // namespace epoque::test
