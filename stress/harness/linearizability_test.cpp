// SPDX-License-Identifier: BSL-1.0
/// @file
/// The monitors against hand-made histories, against each other, and against the clock.
#include "linearizability.hpp"

#include "scale.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <random>

namespace epoque::stress {
namespace {

event push(std::uint32_t thread, stamp call, stamp ret, std::uint64_t value, answer got = answer::success) {
    return {call, ret, value, thread, operation::push, got, 0};
}
event pop(std::uint32_t thread, stamp call, stamp ret, std::uint64_t value) {
    return {call, ret, value, thread, operation::pop, answer::success, 0};
}
event nothing(std::uint32_t thread, stamp call, stamp ret, answer got = answer::empty) {
    return {call, ret, 0, thread, operation::pop, got, 0};
}
event shut(std::uint32_t thread, stamp call, stamp ret) {
    return {call, ret, 0, thread, operation::close, answer::success, 0};
}

void expect_both(const history& events, container kind, bool possible) {
    const auto wrong = kind == container::queue ? check_queue(events) : check_stack(events);
    EXPECT_EQ(!wrong, possible) << draw_history(events) << (wrong ? wrong->clause : "");
    EXPECT_EQ(is_linearizable(events, kind), possible) << draw_history(events);
}

TEST(queue_monitor, accepts_what_a_queue_can_do) {
    expect_both({}, container::queue, true);
    expect_both({push(1, 1, 2, 7), pop(1, 3, 4, 7), nothing(1, 5, 6)}, container::queue, true);
    expect_both({push(1, 1, 4, 7), push(2, 2, 3, 8), pop(1, 5, 6, 7), pop(2, 5, 6, 8)}, container::queue, true);
    expect_both({push(1, 1, 5, 7), nothing(2, 2, 3), pop(2, 4, 6, 7)}, container::queue, true);
}

TEST(queue_monitor, rejects_a_lost_order) {
    expect_both({push(1, 1, 2, 7), push(1, 3, 4, 8), pop(2, 5, 6, 8), pop(2, 7, 8, 7)}, container::queue, false);
    expect_both({push(1, 1, 2, 7), push(1, 3, 4, 8), pop(2, 5, 6, 8)}, container::queue,
                false); // 7 was overtaken for ever
}

TEST(queue_monitor, rejects_what_was_never_pushed_or_taken_twice_or_too_early) {
    expect_both({pop(1, 1, 2, 7)}, container::queue, false);
    expect_both({push(1, 1, 2, 7), pop(1, 3, 4, 7), pop(2, 3, 4, 7)}, container::queue, false);
    expect_both({pop(1, 1, 2, 7), push(2, 3, 4, 7)}, container::queue, false);
}

TEST(queue_monitor, empty_needs_an_empty_moment) {
    expect_both({push(1, 1, 2, 7), nothing(2, 3, 4), pop(2, 5, 6, 7)}, container::queue, false);
    // A relay: 8 is inside before 7 leaves.
    expect_both({push(1, 1, 2, 7), nothing(3, 3, 10), push(1, 4, 5, 8), pop(2, 6, 7, 7), pop(2, 11, 12, 8)},
                container::queue, false);
    // Not quite: 7 may leave at 6, 8 may enter at 6.
    expect_both({push(1, 1, 2, 7), nothing(3, 3, 10), push(1, 4, 6, 8), pop(2, 6, 7, 7), pop(2, 11, 12, 8)},
                container::queue, true);
}

TEST(queue_monitor, equal_stamps_prove_no_order) {
    expect_both({push(1, 1, 2, 7), push(2, 2, 3, 8), pop(1, 4, 5, 8), pop(2, 6, 7, 7)}, container::queue, true);
}

TEST(queue_monitor, a_closed_queue_takes_nothing_and_ends_when_drained) {
    expect_both({push(1, 1, 2, 7), shut(2, 3, 4), push(1, 5, 6, 8, answer::closed), pop(1, 7, 8, 7),
                 nothing(1, 9, 10, answer::closed)},
                container::queue, true);
    expect_both({shut(2, 3, 4), push(1, 5, 6, 8)}, container::queue, false);
    expect_both({push(1, 1, 2, 7, answer::closed)}, container::queue, false);
    expect_both({push(1, 1, 2, 7, answer::closed), shut(2, 3, 4)}, container::queue, false);
    expect_both({push(1, 1, 2, 7), shut(2, 3, 4), nothing(1, 5, 6, answer::closed)}, container::queue, false);
    expect_both({shut(2, 3, 4), nothing(1, 5, 6)}, container::queue, false); // must say closed, not empty
    expect_both({shut(2, 3, 6), nothing(1, 4, 5, answer::closed), push(3, 3, 9, 9), pop(4, 3, 9, 9)}, container::queue,
                true);
    expect_both({shut(2, 3, 6), nothing(1, 4, 5, answer::closed), push(3, 6, 9, 9), pop(4, 3, 9, 9)}, container::queue,
                false);
}

TEST(queue_monitor, calls_that_never_returned_may_have_happened_or_not) {
    const event sleeping_push{1, never, 7, 1, operation::push, answer::pending, 0};
    const event sleeping_pop{1, never, 0, 1, operation::pop, answer::pending, 0};
    expect_both({sleeping_push, nothing(2, 2, 3)}, container::queue, true);
    expect_both({sleeping_push, pop(2, 2, 3, 7)}, container::queue, true);
    expect_both({sleeping_pop, push(2, 2, 3, 7), nothing(2, 4, 5)}, container::queue, true);
    expect_both({push(2, 2, 3, 7), nothing(2, 4, 5)}, container::queue, false);
}

TEST(stack_monitor, accepts_what_a_stack_can_do) {
    expect_both({push(1, 1, 2, 7), push(1, 3, 4, 8), pop(2, 5, 6, 8), pop(2, 7, 8, 7), nothing(1, 9, 10)},
                container::stack, true);
    expect_both({push(1, 1, 2, 7), push(2, 3, 6, 8), pop(1, 4, 7, 7), pop(1, 8, 9, 8)}, container::stack, true);
}

TEST(stack_monitor, rejects_first_in_first_out) {
    expect_both({push(1, 1, 2, 7), push(1, 3, 4, 8), pop(2, 5, 6, 7), pop(2, 7, 8, 8)}, container::stack, false);
    expect_both({push(1, 1, 2, 7), push(1, 3, 4, 8), pop(2, 5, 6, 7)}, container::stack, false);
}

TEST(stack_monitor, pop_all_takes_everything_in_order) {
    const auto taken = [](std::vector<std::uint64_t> values) {
        recorder<counted_stamps> lane(2, 8, [] {
            static stamp clock = 100;
            return counted_stamps(clock);
        }());
        const stamp call = lane.call();
        lane.popped_all(call, values, 1);
        history all{push(1, 1, 2, 7), push(1, 3, 4, 8)};
        all.insert(all.end(), lane.events().begin(), lane.events().end());
        return all;
    };
    expect_both(taken({8, 7}), container::stack, true);
    expect_both(taken({7, 8}), container::stack, false);
    expect_both(taken({8}), container::stack, false);
}

// ---- random histories ------------------------------------------------------------------------------------------------------

class generator {
  public:
    generator(std::uint64_t seed, container kind, std::size_t capacity = ~std::size_t{0})
        : random_(seed), kind_(kind), capacity_(capacity) {}

    /// A possible history: operations take effect one after another on a real container.
    history good(std::size_t operations, std::uint32_t threads, bool may_close) {
        struct open_call {
            event what;
            bool effective = false;
        };
        std::vector<std::optional<open_call>> calls(threads);
        std::deque<std::uint64_t> content;
        bool closed = false;
        history out;
        stamp step = 0;
        const stamp coarse = 1 + pick(3); // several steps share a stamp
        std::size_t started = 0;
        while (out.size() < operations) {
            ++step;
            const auto thread = static_cast<std::uint32_t>(pick(threads));
            auto& call = calls[thread];
            if (!call) {
                if (started == operations) {
                    continue;
                }
                ++started;
                call.emplace();
                call->what = {step / coarse, never, 0, thread, operation::pop, answer::success, 0};
                if (may_close && pick(8) == 0) {
                    call->what.op = operation::close;
                } else if (pick(2) == 0) {
                    call->what.op = operation::push;
                    call->what.value = started;
                }
            } else if (!call->effective) {
                call->effective = true;
                take_effect(call->what, content, closed);
            } else {
                call->what.ret = step / coarse;
                out.push_back(call->what);
                call.reset();
            }
        }
        return out;
    }

    /// The same with something changed, so that it is often impossible.
    history damaged(std::size_t operations, std::uint32_t threads) {
        history out = good(operations, threads, pick(3) == 0);
        for (std::size_t changes = 1 + pick(4); changes != 0; --changes) {
            event& one = out[pick(out.size())];
            event& other = out[pick(out.size())];
            switch (pick(5)) {
            case 0: // two pops swap what they got
                if (one.op == operation::pop && other.op == operation::pop) {
                    std::swap(one.value, other.value);
                    std::swap(one.got, other.got);
                }
                break;
            case 1:
                if (one.op == operation::pop) {
                    one.got = pick(2) == 0 ? answer::empty : answer::closed;
                }
                break;
            case 2: // happens earlier or later
                if (pick(2) == 0) {
                    one.call += 3;
                    one.ret += 3 + pick(2);
                } else {
                    one.call -= std::min<stamp>(one.call, 3);
                    one.ret = std::max(one.call, one.ret - std::min<stamp>(one.ret, 3));
                }
                break;
            case 3:
                one.ret = one.call + (one.ret - one.call) / 2;
                break;
            default:
                if (one.op == operation::push) {
                    one.got = capacity_ != ~std::size_t{0} && pick(2) == 0 ? answer::full : answer::closed;
                }
            }
        }
        return out;
    }

  private:
    std::size_t pick(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_); }

    void take_effect(event& what, std::deque<std::uint64_t>& content, bool& closed) const {
        if (what.op == operation::close) {
            closed = true;
        } else if (what.op == operation::push) {
            const bool full = content.size() == capacity_;
            what.got = closed ? answer::closed : full ? answer::full : answer::success;
            if (!closed && !full) {
                content.push_back(what.value);
            }
        } else if (content.empty()) {
            what.got = closed ? answer::closed : answer::empty;
        } else if (kind_ == container::queue) {
            what.value = content.front();
            content.pop_front();
        } else {
            what.value = content.back();
            content.pop_back();
        }
    }

    std::mt19937_64 random_;
    container kind_;
    std::size_t capacity_;
};

TEST(bounded_queue_monitor, full_needs_a_full_moment_and_the_capacity_is_never_exceeded) {
    const auto expect = [](const history& events, std::size_t capacity, bool possible) {
        const auto wrong = check_bounded_queue(events, capacity);
        EXPECT_EQ(!wrong, possible) << draw_history(events) << (wrong ? wrong->clause : "");
        EXPECT_EQ(is_linearizable(events, container::queue, capacity), possible) << draw_history(events);
    };
    expect({push(1, 1, 2, 7), push(1, 3, 4, 8, answer::full), pop(1, 5, 6, 7)}, 1, true);
    expect({push(1, 1, 2, 7), push(1, 3, 4, 8, answer::full), pop(1, 5, 6, 7)}, 2, false);
    expect({push(1, 1, 2, 7), pop(1, 3, 4, 7), push(1, 5, 6, 8, answer::full)}, 1, false);
    expect({push(1, 1, 2, 7), pop(2, 3, 6, 7), push(1, 5, 8, 8, answer::full)}, 1, true); // at 5, before the pop
    expect({push(1, 1, 2, 7), push(1, 3, 4, 8), pop(1, 5, 6, 7), pop(1, 7, 8, 8)}, 1, false);
    expect({push(1, 1, 2, 7), push(1, 3, 6, 8), pop(2, 5, 6, 7), pop(1, 7, 8, 8)}, 1, true);
    expect({shut(1, 1, 2), push(1, 3, 4, 8, answer::full)}, 0, false);
}

TEST(bounded_queue_monitor, is_never_stricter_than_the_search) {
    std::uint64_t possible = 0;
    std::uint64_t missed = 0;
    constexpr std::uint64_t rounds = 30'000;
    for (std::uint64_t seed = 0; seed < rounds; ++seed) {
        const std::size_t capacity = 1 + seed % 3;
        generator make(seed, container::queue, capacity);
        const std::size_t operations = 2 + seed % 13;
        const history events = seed % 4 == 0 ? make.good(operations, 3, seed % 3 == 0) : make.damaged(operations, 3);
        const bool truth = is_linearizable(events, container::queue, capacity);
        const auto wrong = check_bounded_queue(events, capacity);
        possible += truth ? 1U : 0U;
        missed += !truth && !wrong ? 1U : 0U;
        ASSERT_FALSE(wrong && truth) << "seed " << seed << "\n" << draw_history(events) << wrong->clause;
        ASSERT_TRUE(truth || seed % 4 != 0) << "the generator made an impossible history, seed " << seed;
    }
    EXPECT_GT(possible, rounds / 4);
    EXPECT_LT(missed, (rounds - possible) / 10) << "of the impossible ones";
}

class agreement : public testing::TestWithParam<container> {};

TEST_P(agreement, monitor_and_search_answer_alike_on_random_histories) {
    const container kind = GetParam();
    const monitor fast = kind == container::queue ? check_queue : check_stack;
    const std::uint64_t rounds = many_in_turn(100'000);
    std::uint64_t possible = 0;
    for (std::uint64_t seed = 0; seed < rounds; ++seed) {
        generator make(seed, kind);
        const std::size_t operations = 2 + seed % 11;
        const std::uint32_t threads = 2 + static_cast<std::uint32_t>(seed / 7 % 3);
        const history events =
            seed % 8 == 0 ? make.good(operations, threads, seed % 3 == 0) : make.damaged(operations, threads);
        const bool truth = is_linearizable(events, kind);
        const auto wrong = fast(events);
        possible += truth ? 1U : 0U;
        ASSERT_EQ(!wrong, truth) << "seed " << seed << "\n" << draw_history(events) << (wrong ? wrong->clause : "");
        ASSERT_TRUE(truth || seed % 8 != 0) << "the generator made an impossible history, seed " << seed;
        if (wrong && seed % 16 == 1) {
            const history smallest = shrink(events, fast);
            ASSERT_TRUE(fast(smallest)) << "shrinking lost the violation, seed " << seed;
            ASSERT_FALSE(is_linearizable(smallest, kind));
        }
    }
    EXPECT_GT(possible, rounds / 4); // enough of both kinds
    EXPECT_GT(rounds - possible, rounds / 4);
    RecordProperty("possible", static_cast<int>(possible));
}

INSTANTIATE_TEST_SUITE_P(both, agreement, testing::Values(container::queue, container::stack),
                         [](const auto& chosen) { return chosen.param == container::queue ? "queue" : "stack"; });

TEST(monitors, judge_long_histories_in_reasonable_time) {
    for (const container kind : {container::queue, container::stack}) {
        generator make(1, kind);
        const history events = make.good(200'000, 8, false);
        const monitor fast = kind == container::queue ? check_queue : check_stack;
        EXPECT_FALSE(fast(events));
    }
}

TEST(monitors, repeated_values_are_refused) {
    EXPECT_THROW(check_queue({push(1, 1, 2, 7), push(2, 3, 4, 7)}), std::invalid_argument);
}

// ---- explanations ----------------------------------------------------------------------------------------------------------

TEST(explanation, is_small_and_says_what_is_wrong) {
    history events;
    for (std::uint64_t value = 1; value <= 200; ++value) {
        events.push_back(push(0, 10 * value, 10 * value + 1, value));
    }
    for (std::uint64_t value = 1; value <= 200; ++value) {
        const std::uint64_t got = value == 50 ? 151 : value == 151 ? 50 : value;
        events.push_back(pop(1, 5000 + 10 * value, 5001 + 10 * value, got));
    }
    const history smallest = shrink(events, check_queue);
    EXPECT_EQ(smallest.size(), 4U);
    const std::string text = explain(events, check_queue);
    EXPECT_NE(text.find("violated: "), std::string::npos) << text;
    EXPECT_NE(text.find("was pushed before"), std::string::npos) << text;
    EXPECT_NE(text.find("thread 2"), std::string::npos) << text;
}

TEST(explanation, names_the_values_that_were_inside) {
    const history events{push(1, 1, 2, 7), nothing(3, 3, 10), push(1, 4, 5, 8), pop(2, 6, 7, 7), pop(2, 11, 12, 8)};
    const std::string text = explain(events, check_queue);
    EXPECT_NE(text.find("7, 8 were in turn inside"), std::string::npos) << text;
}

} // namespace
} // namespace epoque::stress
