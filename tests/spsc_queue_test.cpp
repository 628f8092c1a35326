// SPDX-License-Identifier: BSL-1.0
/// @file
/// Tests of spsc_queue.hpp beyond the contract that it shares with other structures (conformance.hpp).
#include "epoque/spsc_queue.hpp"

#include "bounded_conformance.hpp"
#include "support.hpp"

#include <boost/lockfree/spsc_queue.hpp>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <utility>
#include <vector>

namespace epoque::test {
namespace {

struct maker {
    template <class T>
    using queue = spsc_queue<T, small_env>;
    template <class T>
    static queue<T> make(std::size_t capacity, basic_domain<small_env>&) {
        return queue<T>(capacity);
    }
};
INSTANTIATE_TYPED_TEST_SUITE_P(spsc_queue, bounded_conformance, maker);

// ---- sequential --------------------------------------------------------------------------------------------------------

TEST(spsc_queue, agrees_with_boost_lockfree_on_random_programs) {
    EXPECT_TRUE(rc::check("pushes and pops", [](const std::vector<std::uint8_t>& steps) {
        spsc_queue<std::uint64_t> line(5);
        boost::lockfree::spsc_queue<std::uint64_t> boosts(5);
        for (const std::uint8_t choice : steps) {
            if (choice % 5 < 3) {
                RC_ASSERT((line.try_push(std::uint64_t{choice}) == conqueue_status::success) == boosts.push(choice));
            } else {
                std::uint64_t expected = 0;
                const bool some = boosts.pop(expected);
                const auto element = line.try_pop();
                RC_ASSERT(element.has_value() == some);
                RC_ASSERT((!some || *element == expected)); // in brackets: rapidcheck's || looks at both sides
            }
            RC_ASSERT(line.was_size() == boosts.read_available());
        }
    }));
}

// ---- memory --------------------------------------------------------------------------------------------------------------

TEST(spsc_queue, only_the_constructor_allocates) {
    const auto without_memory = [] {
        const out_of_memory now(0);
        const spsc_queue<std::uint64_t, small_env> line(3);
    };
    EXPECT_THROW(without_memory(), std::bad_alloc);
    spsc_queue<std::uint64_t, small_env> line(3);
    const out_of_memory from_now(0);
    for (std::uint64_t number = 0; number < 10; ++number) {
        ASSERT_EQ(line.try_push(number), conqueue_status::success);
        ASSERT_TRUE(line.try_pop());
    }
    line.close();
    ASSERT_EQ(line.try_pop().error(), conqueue_status::closed);
}

// ---- two threads -----------------------------------------------------------------------------------------------------------

/// The producer of a test with two threads pushes each number until there is room.
template <class Queue>
conqueue_status push_when_there_is_room(Queue& line, std::uint64_t number) {
    auto element = make<typename Queue::value_type>(number);
    for (unsigned round = 0;; ++round) {
        const conqueue_status status =
            line.try_push(std::move(element)); // NOLINT(bugprone-use-after-move): not if full
        if (status != conqueue_status::full) {
            return status;
        }
        std_env::relax(round);
    }
}

template <class Queue>
std::vector<std::uint64_t> pop_until_closed(Queue& line) {
    std::vector<std::uint64_t> taken;
    for (unsigned idle = 0;;) {
        auto element = line.try_pop();
        if (element) {
            taken.push_back(number_of(*element));
            idle = 0;
        } else if (element.error() == conqueue_status::closed) {
            return taken;
        } else {
            EXPECT_EQ(element.error(), conqueue_status::empty);
            std_env::relax(idle++);
        }
    }
}

template <class Element>
void hands_over_everything(std::size_t capacity, std::uint64_t count) {
    spsc_queue<Element> line(capacity);
    std::vector<std::uint64_t> taken;
    together(2, [&](std::size_t index) {
        if (index == 1) {
            taken = pop_until_closed(line);
            return;
        }
        for (std::uint64_t number = 0; number < count; ++number) {
            ASSERT_EQ(push_when_there_is_room(line, number), conqueue_status::success);
        }
        line.close();
    });
    EXPECT_EQ(taken, numbers(0, count));
}

TEST(spsc_queue, one_thread_to_another) {
    hands_over_everything<std::uint64_t>(1, many(2'000));
    hands_over_everything<std::uint64_t>(3, many(10'000));
    hands_over_everything<std::uint64_t>(1000, many(200'000));
    hands_over_everything<move_only>(3, many(5'000));
    hands_over_everything<aligned<128>>(100, many(20'000));
    hands_over_everything<large>(100, many(20'000));
}

TEST(spsc_queue, ranges_go_from_one_thread_to_another) {
    const std::uint64_t count = many(50'000);
    spsc_queue<counted> line(100);
    std::vector<std::uint64_t> taken;
    together(2, [&](std::size_t index) {
        if (index == 0) {
            std::vector<std::uint64_t> batch;
            for (std::uint64_t number = 0; number < count;) {
                batch = numbers(number, std::min(count, number + 1 + number % 37));
                std::vector<counted> elements;
                for (const std::uint64_t each : batch) {
                    elements.emplace_back(each);
                }
                auto next = std::make_move_iterator(elements.begin());
                const auto last = std::make_move_iterator(elements.end());
                for (unsigned round = 0; (next = line.push_range(next, last)) != last; ++round) {
                    std_env::relax(round);
                }
                number += batch.size();
            }
            line.close();
            return;
        }
        for (unsigned idle = 0;; ++idle) {
            std::vector<counted> some;
            const bool closed = line.is_closed(); // before: all that was pushed is there
            if (line.try_pop_n(std::back_inserter(some), 1 + idle % 50) == 0) {
                if (closed) {
                    return;
                }
                std_env::relax(1);
            }
            for (const counted& each : some) {
                taken.push_back(each.number());
            }
        }
    });
    EXPECT_EQ(taken, numbers(0, count));
}

// Pitfall 18.
TEST(spsc_queue, every_push_that_succeeded_before_a_racing_close_is_popped_exactly_once) {
    for (std::uint64_t round = 0; round < many(200); ++round) {
        spsc_queue<move_only> line(1 + round % 7);
        std::uint64_t pushed = 0;
        std::vector<std::uint64_t> taken;
        std::atomic<std::uint64_t> progress{0};
        together(3, [&](std::size_t index) {
            if (index == 0) {
                while (push_when_there_is_room(line, pushed) == conqueue_status::success) {
                    progress.store(++pushed, std::memory_order_relaxed);
                }
            } else if (index == 1) {
                taken = pop_until_closed(line);
            } else {
                for (unsigned looks = 0; progress.load(std::memory_order_relaxed) < round; ++looks) {
                    std_env::relax(looks % 32);
                }
                line.close();
                EXPECT_TRUE(line.is_closed());
            }
        });
        ASSERT_EQ(taken, numbers(0, pushed));
    }
}

/// Closes a queue when it is moved: it is in its cell already when the close comes.
struct closing_element {
    closing_element(std::uint64_t n, void* line) noexcept : element(n), to_close(line) {}
    closing_element(closing_element&& other) noexcept : element(std::move(other.element)), to_close(nullptr) {
        if (void* const line = std::exchange(other.to_close, nullptr); line != nullptr) {
            close(line);
        }
    }
    static void close(void* line) noexcept;
    counted element;
    void* to_close;
};
void closing_element::close(void* line) noexcept {
    static_cast<spsc_queue<closing_element>*>(line)->close();
}

TEST(spsc_queue, a_refused_push_has_its_element_back) {
    const std::uint64_t live = counted::live();
    {
        spsc_queue<closing_element> line(3);
        ASSERT_EQ(line.try_emplace(1U, nullptr), conqueue_status::success);
        closing_element second(2, &line);
        EXPECT_EQ(line.try_push(std::move(second)), conqueue_status::closed);
        EXPECT_EQ(second.element.number(), 2U); // NOLINT(bugprone-use-after-move): refused
        EXPECT_EQ(line.was_size(), 1U);
        EXPECT_EQ(line.try_pop()->element.number(), 1U);
        EXPECT_EQ(line.try_pop().error(), conqueue_status::closed);
        EXPECT_EQ(line.was_size(), 0U);
    }
    EXPECT_EQ(counted::live(), live);
}

TEST(spsc_queue, the_roles_may_move_to_other_threads) {
    spsc_queue<std::uint64_t> line(4);
    actor one;
    actor other;
    for (std::uint64_t number = 0; number < 100; ++number) {
        (number % 2 == 0 ? one : other)([&] { ASSERT_EQ(line.try_push(number), conqueue_status::success); });
        (number % 3 == 0 ? one : other)([&] { ASSERT_EQ(line.try_pop().value(), number); });
    }
}

} // namespace
} // namespace epoque::test
