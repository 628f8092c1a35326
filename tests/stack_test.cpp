// SPDX-License-Identifier: BSL-1.0
/// @file
/// Tests of stack.hpp beyond the contract that it shares with other structures (conformance.hpp).
#include "epoque/stack.hpp"
#include "support.hpp"

#include <boost/lockfree/stack.hpp>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <forward_list>
#include <memory>
#include <utility>
#include <vector>

namespace epoque::test {
namespace {

// ---- sequential --------------------------------------------------------------------------------------------------------

/// Operations of a random program; the second number is for those that take several.
enum class step : std::uint8_t { push, push_range, pop, pop_all, look, advance, close };
using program = std::vector<std::pair<std::uint8_t, std::uint8_t>>;

step step_of(std::uint8_t choice) {
    if (choice == 0) {
        return step::close; // rare: most programs go on for a while
    }
    constexpr step often[] = {step::push,       step::push, step::pop,     step::pop,
                              step::push_range, step::look, step::advance, step::pop_all};
    return often[choice % std::size(often)];
}

/// Runs the program on a stack and on a std::vector; every answer must be the same.
template <class Element, class Env>
void agrees_with_vector(const program& steps) {
    basic_domain<Env> home;
    stack<Element, Env> pile(home);
    std::vector<std::uint64_t> model;
    bool closed = false;
    std::uint64_t next = 0;
    for (const auto& [choice, amount] : steps) {
        switch (step_of(choice)) {
        case step::push: {
            auto element = make<Element>(next);
            RC_ASSERT(pile.push(std::move(element)) == !closed);
            if (closed) {
                RC_ASSERT(number_of(element) == next); // NOLINT(bugprone-use-after-move): refused, so not moved from
            } else {
                model.push_back(next);
            }
            ++next;
            break;
        }
        case step::push_range:
            if constexpr (std::is_nothrow_copy_constructible_v<Element>) {
                std::vector<Element> elements;
                for (unsigned i = 0; i < amount % 11; ++i) {
                    elements.push_back(make<Element>(next + i));
                }
                const conqueue_status status = pile.push_range(elements.begin(), elements.end());
                const bool pushed = !closed || elements.empty();
                RC_ASSERT(status == (pushed ? conqueue_status::success : conqueue_status::closed));
                for (unsigned i = 0; i < elements.size() && pushed; ++i) {
                    model.push_back(next + i);
                }
                next += elements.size();
            }
            break;
        case step::pop: {
            const auto element = pile.try_pop();
            RC_ASSERT(element.has_value() == !model.empty());
            if (model.empty()) {
                RC_ASSERT(element.error() == (closed ? conqueue_status::closed : conqueue_status::empty));
            } else {
                RC_ASSERT(number_of(*element) == model.back());
                model.pop_back();
            }
            break;
        }
        case step::pop_all: {
            std::vector<std::uint64_t> taken;
            const std::size_t count =
                pile.pop_all([&taken](Element&& element) noexcept { taken.push_back(number_of(element)); });
            std::reverse(model.begin(), model.end());
            RC_ASSERT(taken == model);
            RC_ASSERT(count == model.size());
            model.clear();
            break;
        }
        case step::look:
            RC_ASSERT(pile.was_empty() == model.empty());
            RC_ASSERT(pile.is_closed() == closed);
            break;
        case step::advance:
            tick(home);
            break;
        case step::close:
            pile.close();
            closed = true;
            break;
        }
    }
    for (; !model.empty(); model.pop_back()) {
        RC_ASSERT(number_of(*pile.try_pop()) == model.back());
    }
    RC_ASSERT(pile.was_empty());
}

TEST(stack, agrees_with_a_vector_on_random_programs) {
    EXPECT_TRUE(rc::check("numbers", agrees_with_vector<std::uint64_t, small_env>));
    EXPECT_TRUE(rc::check("move-only", agrees_with_vector<move_only, small_env>));
    EXPECT_TRUE(rc::check("over-aligned, no pool", agrees_with_vector<aligned<128>, unpooled_env>));
    EXPECT_EQ(small_env::live_bytes(), 0U);
}

TEST(stack, agrees_with_boost_lockfree_on_random_programs) {
    EXPECT_TRUE(rc::check("pushes and pops", [](const std::vector<std::uint8_t>& steps) {
        basic_domain<small_env> home;
        stack<std::uint64_t, small_env> pile(home);
        boost::lockfree::stack<std::uint64_t> boosts(16);
        for (const std::uint8_t choice : steps) {
            if (choice % 5 < 3) {
                RC_ASSERT(pile.push(std::uint64_t{choice}) == boosts.push(choice));
            } else {
                std::uint64_t expected = 0;
                const bool some = boosts.pop(expected);
                const auto element = pile.try_pop();
                RC_ASSERT(element.has_value() == some);
                RC_ASSERT((!some || *element == expected)); // in brackets: rapidcheck's || looks at both sides
            }
            RC_ASSERT(pile.was_empty() == boosts.empty());
        }
    }));
}

TEST(stack, a_range_ends_with_its_last_element_on_top) {
    domain home;
    stack<std::uint64_t> pile(home);
    const std::forward_list<std::uint64_t> list{1, 2, 3};
    EXPECT_EQ(pile.push_range(list.begin(), list.end()), conqueue_status::success);
    EXPECT_EQ(pile.push_range(list.begin(), list.begin()), conqueue_status::success) << "an empty range";
    EXPECT_EQ(pile.try_pop().value(), 3U);
    EXPECT_EQ(pile.try_pop().value(), 2U);
    EXPECT_EQ(pile.try_pop().value(), 1U);
}

TEST(stack, pop_all_leaves_a_closed_stack_closed) {
    domain home;
    stack<std::uint64_t> pile(home);
    ASSERT_TRUE(pile.push(1U));
    pile.close();
    EXPECT_EQ(pile.pop_all([](std::uint64_t&&) noexcept {}), 1U);
    EXPECT_TRUE(pile.is_closed());
    EXPECT_FALSE(pile.push(2U));
    EXPECT_EQ(pile.try_pop().error(), conqueue_status::closed);
    EXPECT_EQ(pile.pop_all([](std::uint64_t&&) noexcept {}), 0U);
}

TEST(stack, pop_all_may_push_what_it_takes_elsewhere) {
    domain home;
    stack<move_only> from(home);
    stack<move_only> to(home);
    for (const std::uint64_t number : numbers(0, 100)) {
        ASSERT_TRUE(from.push(make<move_only>(number)));
    }
    EXPECT_EQ(from.pop_all([&to](move_only&& element) noexcept { to.push(std::move(element)); }), 100U);
    for (const std::uint64_t number : numbers(0, 100)) { // turned over
        EXPECT_EQ(**to.try_pop(), number);
    }
}

// ---- capacity ----------------------------------------------------------------------------------------------------------

TEST(stack, a_stack_that_runs_forever_does_not_grow) {
    basic_domain<small_env> home;
    stack<std::uint64_t, small_env> pile(home);
    std::uint64_t most = 0;
    for (std::uint64_t number = 0; number < 40'000; ++number) {
        ASSERT_TRUE(pile.push(number));
        ASSERT_TRUE(pile.try_pop());
        most = std::max(most, small_env::live_blocks());
    }
    // Those in four bags of 8, what is expired, and two bundles of 64 in the magazine.
    EXPECT_LT(most, 300U);
}

TEST(stack, a_node_is_as_small_as_it_says) {
    basic_domain<small_env> home;
    stack<std::uint64_t, small_env> pile(home);
    ASSERT_TRUE(pile.push(0U));
    const std::uint64_t before = small_env::live_bytes();
    ASSERT_TRUE(pile.push(1U));
    EXPECT_EQ(small_env::live_bytes() - before, 32U) << "8 bytes and the element, at least 32";
}

// ---- lifetime ----------------------------------------------------------------------------------------------------------

TEST(stack, stacks_of_the_default_domain_need_no_other) {
    stack<move_only> pile;
    ASSERT_TRUE(pile.push(make<move_only>(5)));
    EXPECT_EQ(**pile.try_pop(), 5U);
}

TEST(stack, a_guard_that_stays_keeps_no_node) {
    basic_domain<small_env> home;
    stack<counted, small_env> pile(home);
    const std::uint64_t live = counted::live();
    actor holder;
    holder([&] { home.lock(); });
    for (std::uint64_t number = 0; number < 400; ++number) {
        ASSERT_TRUE(pile.emplace(number));
        ASSERT_TRUE(pile.try_pop());
    }
    EXPECT_EQ(counted::live(), live);
    EXPECT_EQ(home.stats().retired_objects, 400U);
    EXPECT_LE(home.stats().pending_objects, std::uint64_t{small_env::advance_objects});
    holder([&] { home.unlock(); });
    home.barrier();
    EXPECT_EQ(home.stats().pending_objects, 0U);
}

// ---- two threads -------------------------------------------------------------------------------------------------------

// A pop that has read the head and its `next` sleeps, while others pop both and push again. Were a node reused at once,
// the head would have the address that the sleeper expects, and its CAS would bring back a node that is gone.
TEST(stack, a_pop_that_sleeps_between_next_and_its_cas_is_not_fooled_by_reused_nodes) {
    basic_domain<staged_env> home;
    stack<std::uint64_t, staged_env> pile(home);
    ASSERT_TRUE(pile.push(1U));
    ASSERT_TRUE(pile.push(2U));
    gate next_read;
    actor sleeper;
    std::uint64_t got = 0;
    sleeper([&] { const auto guard = home.pin(); }); // the record is made, so that the first var read is `next`
    auto pop = sleeper.start([&] {
        staged_env::after_var_read = &next_read;
        got = pile.try_pop().value();
    });
    next_read.wait_until_reached();
    EXPECT_EQ(pile.try_pop().value(), 2U);
    EXPECT_EQ(pile.try_pop().value(), 1U);
    for (std::uint64_t round = 0; round < 20; ++round) { // gives every chance to reuse the nodes
        tick(home);
        ASSERT_TRUE(pile.push(100 + round));
        ASSERT_TRUE(pile.push(200 + round));
        EXPECT_EQ(pile.try_pop().value(), 200 + round);
        EXPECT_EQ(pile.try_pop().value(), 100 + round);
    }
    ASSERT_TRUE(pile.push(3U));
    ASSERT_TRUE(pile.push(4U));
    next_read.open();
    pop.get();
    EXPECT_EQ(got, 4U);
    EXPECT_EQ(pile.try_pop().value(), 3U);
    EXPECT_EQ(pile.try_pop().error(), conqueue_status::empty);
}

TEST(stack, a_pop_that_sleeps_keeps_one_node) {
    basic_domain<staged_env> home;
    stack<std::uint64_t, staged_env> pile(home);
    ASSERT_TRUE(pile.push(1U));
    gate next_read;
    actor sleeper;
    auto pop = sleeper.start([&] {
        staged_env::after_var_read = &next_read;
        EXPECT_EQ(pile.try_pop().error(), conqueue_status::empty);
    });
    next_read.wait_until_reached();
    for (std::uint64_t number = 0; number < 1000; ++number) {
        ASSERT_TRUE(pile.try_pop());
        ASSERT_TRUE(pile.push(number));
    }
    EXPECT_LE(home.stats().pending_objects, std::uint64_t{staged_env::advance_objects} + 1);
    EXPECT_LE(staged_env::live_blocks(), 30U) << "the others use the same few nodes again and again";
    ASSERT_TRUE(pile.try_pop());
    next_read.open();
    pop.get();
}

TEST(stack, pop_all_races_with_pushes_and_takes_each_element_once) {
    const std::uint64_t count = many(20'000);
    domain home;
    stack<counted> pile(home);
    std::vector<std::uint64_t> taken;
    together(2, [&](std::size_t index) {
        if (index == 0) {
            for (std::uint64_t number = 0; number < count; ++number) {
                ASSERT_TRUE(pile.emplace(number));
            }
            pile.close();
            return;
        }
        for (bool last = false; !last;) {
            last = pile.is_closed();
            const std::size_t before = taken.size();
            pile.pop_all([&taken](counted&& element) noexcept { taken.push_back(element.number()); });
            ASSERT_TRUE(std::is_sorted(taken.rbegin(), taken.rend() - static_cast<std::ptrdiff_t>(before)))
                << "the newest comes first";
            std::this_thread::yield();
        }
    });
    std::sort(taken.begin(), taken.end());
    EXPECT_EQ(taken, numbers(0, count));
}

// ---- many threads ------------------------------------------------------------------------------------------------------

TEST(stack, a_stack_that_is_never_empty_never_says_so) {
    // Each thread puts an element on before it takes one off, so there is always one for whoever takes.
    const std::uint64_t rounds = many(20'000);
    basic_domain<small_env> home;
    stack<counted, small_env> pile(home);
    std::atomic<std::uint64_t> wrong{0};
    together(4, [&](std::size_t index) {
        for (std::uint64_t round = 0; round < rounds; ++round) {
            pile.emplace(std::uint64_t{index});
            wrong += pile.try_pop().has_value() ? 0U : 1U;
        }
    });
    EXPECT_EQ(wrong, 0U);
    EXPECT_TRUE(pile.was_empty());
}

TEST(stack, ranges_go_in_whole) {
    constexpr std::size_t pushers = 3;
    constexpr std::uint64_t length = 7;
    const std::uint64_t rounds = many(2000);
    domain home;
    stack<std::uint64_t> pile(home);
    std::atomic<std::size_t> pushing{pushers};
    std::vector<std::vector<std::uint64_t>> piles;
    together(pushers + 1, [&](std::size_t index) {
        if (index < pushers) {
            for (std::uint64_t round = 0; round < rounds; ++round) {
                const auto range = numbers((index * rounds + round) * length, (index * rounds + round + 1) * length);
                ASSERT_EQ(pile.push_range(range.begin(), range.end()), conqueue_status::success);
            }
            --pushing;
            return;
        }
        for (bool last = false; !last;) {
            last = pushing == 0;
            auto& taken = piles.emplace_back();
            pile.pop_all([&taken](std::uint64_t&& element) noexcept { taken.push_back(element); });
            std::this_thread::yield();
        }
    });
    std::uint64_t ranges = 0;
    for (const auto& taken : piles) {
        ASSERT_EQ(taken.size() % length, 0U);
        for (std::size_t first = 0; first < taken.size(); first += length, ++ranges) {
            ASSERT_EQ(taken[first] % length, length - 1);
            for (std::size_t i = 1; i < length; ++i) {
                ASSERT_EQ(taken[first + i], taken[first] - i) << "another element came in between";
            }
        }
    }
    EXPECT_EQ(ranges, pushers * rounds);
}

} // namespace
} // namespace epoque::test
