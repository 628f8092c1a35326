// SPDX-License-Identifier: BSL-1.0
/// @file
/// Tests of spsc_queue.hpp beyond the contract that it shares with other structures (conformance.hpp).
#include "epoque/spsc_queue.hpp"
#include "support.hpp"

#include <boost/lockfree/spsc_queue.hpp>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <forward_list>
#include <iterator>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <utility>
#include <vector>

namespace epoque::test {
namespace {

template <class Queue>
std::vector<std::uint64_t> drain(Queue& line) {
    std::vector<std::uint64_t> all;
    while (auto element = line.try_pop()) {
        all.push_back(number_of(*element));
    }
    return all;
}

// ---- sequential --------------------------------------------------------------------------------------------------------

enum class step : std::uint8_t { push, push_range, pop, pop_n, look, close };
using program = std::vector<std::pair<std::uint8_t, std::uint8_t>>;

/// Runs the program on a queue and on a std::deque; every answer must be the same.
template <class Element>
void agrees_with_deque(std::size_t capacity, const program& steps) {
    spsc_queue<Element, small_env> line(capacity);
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

TEST(spsc_queue, agrees_with_a_deque_on_random_programs) {
    for (const std::size_t capacity : {1U, 2U, 3U, 8U, 13U}) {
        EXPECT_TRUE(rc::check("numbers", [=](const program& steps) { agrees_with_deque<std::uint64_t>(capacity, steps); }));
        EXPECT_TRUE(rc::check("move-only", [=](const program& steps) { agrees_with_deque<move_only>(capacity, steps); }));
    }
    EXPECT_EQ(small_env::live_bytes(), 0U);
}

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

TEST(spsc_queue, a_range_may_come_from_any_iterator_that_can_be_gone_through_twice) {
    spsc_queue<std::uint64_t> line(20);
    const std::forward_list<std::uint64_t> list{0, 1, 2};
    EXPECT_EQ(line.push_range(list.begin(), list.end()), list.end());
    const std::vector<bool> proxies{true, false}; // *first is no reference to an element
    EXPECT_EQ(line.push_range(proxies.begin(), proxies.end()), proxies.end());
    const std::vector<std::uint32_t> converted{7, 8};
    EXPECT_EQ(line.push_range(converted.begin(), converted.end()), converted.end());
    EXPECT_EQ(line.push_range(list.begin(), list.begin()), list.begin()) << "an empty range";
    EXPECT_EQ(drain(line), (std::vector<std::uint64_t>{0, 1, 2, 1, 0, 7, 8}));
}

// ---- capacity ----------------------------------------------------------------------------------------------------------

TEST(spsc_queue, it_takes_exactly_its_capacity_wherever_it_begins) {
    for (const std::size_t capacity : {1U, 2U, 3U, 5U, 8U, 1000U}) {
        spsc_queue<move_only> line(capacity);
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

TEST(spsc_queue, a_range_that_does_not_fit_goes_in_as_far_as_there_is_room) {
    spsc_queue<move_only> line(7);
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

TEST(spsc_queue, a_full_queue_that_is_closed_says_closed) {
    spsc_queue<std::uint64_t> line(3);
    for (const std::uint64_t number : numbers(0, 3)) {
        ASSERT_EQ(line.try_push(number), conqueue_status::success);
    }
    line.close();
    EXPECT_EQ(line.try_push(std::uint64_t{3}), conqueue_status::closed);
    EXPECT_EQ(drain(line), numbers(0, 3));
    EXPECT_EQ(line.try_pop().error(), conqueue_status::closed);
}

TEST(spsc_queue, close_at_every_fill_level_of_every_small_capacity) {
    for (std::size_t capacity = 1; capacity <= 5; ++capacity) {
        for (std::uint64_t before = 0; before <= 9; ++before) { // pushed and popped first
            for (std::uint64_t count = 0; count <= capacity; ++count) {
                spsc_queue<std::uint64_t> line(capacity);
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

TEST(spsc_queue_death_test, a_capacity_of_zero_is_a_misuse) {
    EXPECT_DEATH(spsc_queue<std::uint64_t>(0), "capacity 0.*at least 1");
}

TEST(spsc_queue, a_capacity_beyond_all_memory_throws) {
    EXPECT_THROW(spsc_queue<std::uint64_t>(std::numeric_limits<std::size_t>::max()), std::bad_alloc);
    EXPECT_THROW(spsc_queue<std::uint64_t>(std::numeric_limits<std::size_t>::max() / 8), std::bad_alloc);
}

// ---- lifetime, memory ----------------------------------------------------------------------------------------------------

TEST(spsc_queue, it_destroys_what_is_left_in_it) {
    const std::uint64_t live = counted::live();
    for (std::uint64_t begin = 0; begin < 8; ++begin) {
        for (std::uint64_t count = 0; count <= 5; ++count) {
            spsc_queue<counted> line(5);
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

TEST(spsc_queue, only_the_constructor_allocates) {
    EXPECT_THROW(
        {
            const out_of_memory now(0);
            const spsc_queue<std::uint64_t, small_env> line(3);
        },
        std::bad_alloc);
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
        const conqueue_status status = line.try_push(std::move(element)); // NOLINT(bugprone-use-after-move): not if full
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

TEST(spsc_queue, a_refused_push_has_its_element_back) {
    // The element is in its cell already when the close comes.
    struct closing_element {
        closing_element(std::uint64_t n, spsc_queue<closing_element>* line) noexcept : element(n), close(line) {}
        closing_element(closing_element&& other) noexcept : element(std::move(other.element)), close(other.close) {
            if (spsc_queue<closing_element>* const line = std::exchange(other.close, nullptr); line != nullptr) {
                close = nullptr;
                line->close();
            }
        }
        counted element;
        spsc_queue<closing_element>* close;
    };
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
