// SPDX-License-Identifier: BSL-1.0
/// @file
/// Tests of channel.hpp and of adapters/boost_lockfree.hpp: waiting. What a channel shares with the container under it, the
/// contract, is in conformance_test.cpp.
#include "detached.hpp"
#include "epoque/adapters/boost_lockfree.hpp"
#include "epoque/bounded_queue.hpp"
#include "epoque/channel.hpp"
#include "epoque/mpsc_queue.hpp"
#include "epoque/spsc_queue.hpp"
#include "epoque/stack.hpp"
#include "support.hpp"

#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <boost/lockfree/stack.hpp>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <future>
#include <iterator>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <stop_token>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace epoque::test {
namespace {

using namespace std::chrono_literals;

/// A bounded FIFO that is obviously right. It can be told to answer `busy`, or to throw, a few times.
template <class T>
class locked_queue {
  public:
    using value_type = T;
    static constexpr bool is_fifo = true;

    explicit locked_queue(std::size_t capacity) : capacity_(capacity) {}

    conqueue_status try_push(T&& value) {
        const std::lock_guard lock(mutex_);
        if (const auto trouble = trouble_of_today(); trouble != conqueue_status::success) {
            return trouble;
        }
        if (closed_) {
            return conqueue_status::closed;
        }
        if (elements_.size() == capacity_) {
            return conqueue_status::full;
        }
        elements_.push_back(std::move(value));
        return conqueue_status::success;
    }
    expected<T, conqueue_status> try_pop() {
        const std::lock_guard lock(mutex_);
        if (const auto trouble = trouble_of_today(); trouble != conqueue_status::success) {
            return unexpected(trouble);
        }
        if (elements_.empty()) {
            return unexpected(closed_ ? conqueue_status::closed : conqueue_status::empty);
        }
        T first(std::move(elements_.front()));
        elements_.pop_front();
        return first;
    }
    template <class Iterator>
    Iterator push_range(Iterator first, Iterator last) {
        for (; first != last && try_push(*first) == conqueue_status::success; ++first) {
        }
        return first;
    }
    template <class Output>
    std::size_t try_pop_n(Output out, std::size_t count) {
        std::size_t taken = 0;
        for (; taken < count; ++taken) {
            auto got = try_pop();
            if (!got) {
                break;
            }
            *out = *std::move(got);
            ++out;
        }
        return taken;
    }
    void close() noexcept {
        const std::lock_guard lock(mutex_);
        closed_ = true;
    }
    bool is_closed() const noexcept {
        const std::lock_guard lock(mutex_);
        return closed_;
    }

    /// `operations` answer busy, after the next `others`.
    static void be_busy(int operations, int others = 0) {
        busy_ = operations;
        busy_in_ = others;
    }
    /// The operation after the next `operations` ones throws bad_alloc.
    static void fail_after(int operations) { failing_ = operations; }

  private:
    static conqueue_status trouble_of_today() {
        if (const int now = --busy_in_; now < 0 && now >= -busy_) {
            return conqueue_status::busy;
        }
        if (const int now = failing_--; now == 0) {
            throw std::bad_alloc();
        }
        return conqueue_status::success;
    }

    inline static std::atomic<int> busy_{0};
    inline static std::atomic<int> busy_in_{0};
    inline static std::atomic<int> failing_{-1};
    mutable std::mutex mutex_;
    std::deque<T> elements_;
    const std::size_t capacity_;
    bool closed_ = false;
};
static_assert(concurrent_queue<locked_queue<int>> && !never_full<locked_queue<int>>);

template <class T, class Env = std_env>
using bounded = channel<T, locked_queue<T>, Env>;

static_assert(concurrent_queue<channel<move_only>> && concurrent_stack<channel<move_only, stack<move_only>>>);
static_assert(concurrent_queue<bounded<move_only>>);
static_assert(never_full<queue<int>> && never_full<stack<int>>);
static_assert(!never_full<bounded_queue<int>> && !never_full<spsc_queue<int>>);

/// Until `count` operations wait in the channel.
template <class Channel>
void until_waiting(const Channel& on, std::size_t count) {
    for (unsigned round = 0; on.was_waiting() != count; ++round) {
        std_env::relax(round);
    }
}

// ---- sequential ----------------------------------------------------------------------------------------------------------

TEST(channel, gives_the_order_of_its_container) {
    channel<int> fifo;
    channel<int, stack<int>> lifo;
    for (int i = 0; i < 3; ++i) {
        EXPECT_TRUE(fifo.push(i));
        EXPECT_TRUE(lifo.push(i));
    }
    EXPECT_EQ(fifo.pop(), 0);
    EXPECT_EQ(lifo.pop(), 2);
    EXPECT_EQ(*fifo.try_pop(), 1);
    EXPECT_EQ(*lifo.pop_for(1h), 1);
    EXPECT_EQ(*fifo.pop(std::stop_token()), 2);
    EXPECT_EQ(*lifo.pop_until(std::chrono::system_clock::now()), 0);
    EXPECT_TRUE(fifo.was_empty());
    EXPECT_TRUE(lifo.was_empty());
}

TEST(channel, gives_what_it_has_after_close_and_then_nothing) {
    channel<int> on;
    on.push(1);
    on.push(2);
    on.close();
    EXPECT_TRUE(on.is_closed());
    EXPECT_FALSE(on.push(3));
    EXPECT_EQ(on.pop(), 1);
    EXPECT_EQ(*on.pop_for(0s), 2);
    EXPECT_EQ(on.pop(), std::nullopt);
    EXPECT_EQ(on.pop_for(1h).error(), conqueue_status::closed);
    EXPECT_EQ(on.try_pop().error(), conqueue_status::closed);
}

TEST(channel, a_deadline_in_the_past_answers_at_once) {
    bounded<int> on(1U);
    const std::chrono::nanoseconds least = std::chrono::nanoseconds::min();
    EXPECT_EQ(on.pop_for(0s).error(), conqueue_status::empty);
    EXPECT_EQ(on.pop_for(least).error(), conqueue_status::empty);
    EXPECT_EQ(on.pop_until(std::chrono::steady_clock::time_point::min()).error(), conqueue_status::empty);
    EXPECT_EQ(on.pop_until(std::chrono::system_clock::time_point::min()).error(), conqueue_status::empty);
    ASSERT_EQ(on.push_for(1, least), conqueue_status::success);
    EXPECT_EQ(on.push_for(2, 0s), conqueue_status::full);
    EXPECT_EQ(on.push_for(2, least), conqueue_status::full);
    EXPECT_EQ(on.push_until(2, std::chrono::steady_clock::time_point::min()), conqueue_status::full);
    EXPECT_EQ(on.push_until(2, std::chrono::system_clock::time_point::min()), conqueue_status::full);
    EXPECT_EQ(*on.pop_for(least), 1) << "an element that is there is taken";
}

TEST(channel, a_deadline_in_the_future_is_not_answered_before_it) {
    bounded<int> on(1U);
    const auto after = [](auto clock, auto operation) {
        using clock_type = decltype(clock);
        const auto deadline = clock_type::now() + 3ms;
        operation(deadline);
        EXPECT_GE(clock_type::now(), deadline);
    };
    const auto pops = [&](auto deadline) { EXPECT_EQ(on.pop_until(deadline).error(), conqueue_status::empty); };
    const auto pushes = [&](auto deadline) { EXPECT_EQ(on.push_until(2, deadline), conqueue_status::full); };
    after(std::chrono::steady_clock(), pops);
    after(std::chrono::system_clock(), pops);
    after(std::chrono::steady_clock(), [&](auto) { EXPECT_FALSE(on.pop_for(3ms)); });
    on.push(1);
    after(std::chrono::steady_clock(), pushes);
    after(std::chrono::system_clock(), pushes);
    after(std::chrono::steady_clock(), [&](auto) { EXPECT_EQ(on.push_for(2, 3ms), conqueue_status::full); });
    after(std::chrono::steady_clock(),
          [&](auto) { EXPECT_EQ(on.push_for(2, std::chrono::duration<double>(0.003)), conqueue_status::full); });
    EXPECT_EQ(on.was_waiting(), 0U);
}

TEST(channel, durations_round_up_and_saturate) {
    using core::nanoseconds_of;
    EXPECT_EQ(nanoseconds_of(3us), 3'000);
    EXPECT_EQ(nanoseconds_of(-3us), 0);
    EXPECT_EQ(nanoseconds_of(std::chrono::duration<double, std::nano>(0.25)), 1);
    EXPECT_EQ(nanoseconds_of(std::chrono::hours::max()), parking::never);
    EXPECT_EQ(nanoseconds_of(std::chrono::hours::min()), 0);
    EXPECT_EQ(nanoseconds_of(std::chrono::duration<double>(std::numeric_limits<double>::infinity())), parking::never);
    EXPECT_EQ(nanoseconds_of(std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN())), 0);
    EXPECT_EQ(core::moment_in<std_env>(parking::never), parking::never);
}

TEST(channel, a_stop_that_was_requested_before_is_no_wait) {
    bounded<int> on(1U);
    std::stop_source stopped;
    stopped.request_stop();
    EXPECT_EQ(on.pop(stopped.get_token()).error(), conqueue_status::empty);
    EXPECT_EQ(on.push(1, stopped.get_token()), conqueue_status::success) << "room that is there is used";
    EXPECT_EQ(on.push(2, stopped.get_token()), conqueue_status::full);
    EXPECT_EQ(*on.pop(stopped.get_token()), 1) << "an element that is there is taken";
    EXPECT_EQ(on.pop_for(1h, stopped.get_token()).error(), conqueue_status::empty);
}

TEST(channel, failed_push_leaves_the_value_with_the_caller) {
    bounded<move_only> on(1U);
    on.push(make<move_only>(1));
    auto value = make<move_only>(2);
    std::stop_source stopped;
    stopped.request_stop();
    // NOLINTBEGIN(bugprone-use-after-move): that it is not moved from is the test
    const auto still_ours = [&value](conqueue_status status, conqueue_status wanted) {
        EXPECT_EQ(status, wanted);
        EXPECT_EQ(number_of(value), 2U);
    };
    still_ours(on.try_push(std::move(value)), conqueue_status::full);
    still_ours(on.push_for(std::move(value), 1ms), conqueue_status::full);
    still_ours(on.push(std::move(value), stopped.get_token()), conqueue_status::full);
    on.close();
    still_ours(on.try_push(std::move(value)), conqueue_status::closed);
    still_ours(on.push_for(std::move(value), 1h), conqueue_status::closed);
    still_ours(on.push(std::move(value), stopped.get_token()), conqueue_status::closed);
    EXPECT_FALSE(on.push(std::move(value)));
    EXPECT_EQ(number_of(value), 2U);
    // NOLINTEND(bugprone-use-after-move)
}

TEST(channel, bulk_operations_are_the_containers) {
    channel<move_only> on;
    std::vector<move_only> in;
    for (std::uint64_t i = 0; i < 10; ++i) {
        in.push_back(make<move_only>(i));
    }
    const auto last = std::make_move_iterator(in.end());
    EXPECT_EQ(on.push_range(std::make_move_iterator(in.begin()), last), last);
    std::vector<move_only> out;
    EXPECT_EQ(on.pop_n(std::back_inserter(out), 4), 4U);
    EXPECT_EQ(on.try_pop_n(std::back_inserter(out), 100), 6U);
    EXPECT_EQ(on.try_pop_n(std::back_inserter(out), 100), 0U);
    EXPECT_EQ(on.pop_n(std::back_inserter(out), 0), 0U);
    on.close();
    EXPECT_EQ(on.pop_n(std::back_inserter(out), 100), 0U);
    for (std::uint64_t i = 0; i < 10; ++i) {
        EXPECT_EQ(number_of(out[i]), i);
    }

    channel<int, stack<int>> pile;
    const int numbers[] = {1, 2, 3};
    EXPECT_EQ(pile.push_range(std::begin(numbers), std::end(numbers)), conqueue_status::success);
    std::vector<int> taken;
    EXPECT_EQ(pile.pop_all([&taken](int&& each) noexcept { taken.push_back(each); }), 3U);
    EXPECT_EQ(taken, (std::vector{3, 2, 1}));
}

TEST(channel, passes_its_arguments_on_and_lives_in_the_containers_domain) {
    domain home;
    {
        channel<int> on(home);
        for (int i = 0; i < 5000; ++i) {
            on.push(i);
        }
        for (int i = 0; i < 5000; ++i) {
            ASSERT_EQ(on.pop(), i);
        }
        EXPECT_NE(home.stats().retired_objects, 0U);
    }
    home.barrier();
    EXPECT_EQ(home.stats().pending_objects, 0U);
}

// ---- exceptions ------------------------------------------------------------------------------------------------------------

TEST(channel, what_the_container_throws_reaches_the_caller_and_the_value_stays) {
    bounded<move_only> on(1U);
    locked_queue<move_only>::fail_after(0);
    auto value = make<move_only>(7);
    EXPECT_THROW(on.push(std::move(value)), std::bad_alloc);
    EXPECT_EQ(number_of(value), 7U); // NOLINT(bugprone-use-after-move): that it is not moved from is the test
    locked_queue<move_only>::fail_after(0);
    EXPECT_THROW(on.pop(), std::bad_alloc);
    EXPECT_EQ(on.was_waiting(), 0U);
}

TEST(channel, what_the_container_throws_at_the_waker_reaches_the_one_who_waits) {
    bounded<int> on(1U);
    actor waiter;
    auto waiting = waiter.start([&] { EXPECT_THROW(on.pop(), std::bad_alloc); });
    until_waiting(on, 1);
    locked_queue<int>::fail_after(1); // the push succeeds, the pop on the waiter's behalf does not
    EXPECT_EQ(on.try_push(1), conqueue_status::success);
    waiting.get();
    EXPECT_EQ(*on.try_pop(), 1) << "the element is not lost";
}

TEST(channel, busy_is_tried_again_and_given_up_in_time) {
    bounded<int> on(1U);
    on.push(1);
    locked_queue<int>::be_busy(5);
    EXPECT_EQ(on.pop(), 1);
    locked_queue<int>::be_busy(1);
    EXPECT_EQ(on.try_pop().error(), conqueue_status::busy);
    locked_queue<int>::be_busy(1);
    EXPECT_EQ(on.pop_for(0s).error(), conqueue_status::busy);
    actor waiter;
    auto waiting = waiter.start([&] { EXPECT_EQ(on.pop(), 2); });
    until_waiting(on, 1);
    locked_queue<int>::be_busy(3, 1); // the push is done, the pop on the waiter's behalf finds it busy
    EXPECT_EQ(on.try_push(2), conqueue_status::success);
    waiting.get();
}

TEST(channel, a_kernel_that_refuses_barriers_makes_threads_poll) {
    bounded<int, refusing_env> on(1U);
    actor waiter;
    auto waiting = waiter.start([&] {
        for (int i = 0; i < 20; ++i) {
            ASSERT_EQ(on.pop(), i);
        }
        EXPECT_EQ(on.pop_for(2ms).error(), conqueue_status::empty);
    });
    for (int i = 0; i < 20; ++i) {
        EXPECT_TRUE(on.push(i));
    }
    waiting.get();
}

// ---- two threads -----------------------------------------------------------------------------------------------------------

TEST(channel, a_push_wakes_a_pop_that_waits) {
    channel<move_only> on;
    actor waiter;
    for (std::uint64_t i = 0; i < 20; ++i) {
        auto waiting = waiter.start([&] { EXPECT_EQ(number_of(*on.pop()), i); });
        until_waiting(on, 1);
        on.push(make<move_only>(i));
        waiting.get();
        EXPECT_EQ(on.was_waiting(), 0U);
    }
}

TEST(channel, a_pop_wakes_a_push_that_waits) {
    bounded<move_only> on(1U);
    on.push(make<move_only>(0));
    actor waiter;
    for (std::uint64_t i = 1; i < 20; ++i) {
        auto waiting = waiter.start([&] { EXPECT_TRUE(on.push(make<move_only>(i))); });
        until_waiting(on, 1);
        EXPECT_EQ(number_of(*on.pop()), i - 1);
        waiting.get();
    }
}

TEST(channel, a_bulk_push_wakes_as_many_as_it_has_elements) {
    channel<int> on;
    std::vector<actor> waiters(4);
    std::vector<std::future<void>> waiting;
    for (std::size_t i = 0; i < waiters.size(); ++i) {
        waiting.push_back(waiters[i].start([&] { EXPECT_TRUE(on.pop()); }));
    }
    until_waiting(on, 4);
    const int two[] = {1, 2};
    on.push_range(std::begin(two), std::end(two));
    until_waiting(on, 2);
    on.push_range(std::begin(two), std::end(two));
    for (auto& each : waiting) {
        each.get();
    }
    EXPECT_TRUE(on.was_empty());
}

TEST(channel, waiters_are_served_in_the_order_of_their_arrival) {
    channel<int> on;
    std::vector<actor> waiters(4);
    std::vector<std::future<void>> waiting;
    for (int i = 0; i < 4; ++i) {
        waiting.push_back(waiters[static_cast<std::size_t>(i)].start([&on, i] { EXPECT_EQ(on.pop(), i); }));
        until_waiting(on, static_cast<std::size_t>(i) + 1);
    }
    for (int i = 0; i < 4; ++i) {
        on.push(i);
        until_waiting(on, static_cast<std::size_t>(3 - i));
    }
    for (auto& each : waiting) {
        each.get();
    }
}

TEST(channel, a_range_that_does_not_fit_waits_for_room) {
    bounded<move_only> on(3U);
    actor producer;
    std::vector<move_only> in;
    for (std::uint64_t i = 0; i < 20; ++i) {
        in.push_back(make<move_only>(i));
    }
    const auto first = std::make_move_iterator(in.begin());
    const auto last = std::make_move_iterator(in.end());
    auto pushing = producer.start([&] { EXPECT_EQ(on.push_range(first, last) - first, 15); });
    for (std::uint64_t i = 0; i < 12; ++i) {
        ASSERT_EQ(number_of(*on.pop()), i);
    }
    until_waiting(on, 1); // the range is stuck at 15, with 12, 13 and 14 inside
    on.close();
    pushing.get();
    for (std::uint64_t i = 15; i < 20; ++i) {
        EXPECT_EQ(number_of(in[i]), i) << "what was not pushed is unchanged";
    }
    std::vector<move_only> rest;
    EXPECT_EQ(on.pop_n(std::back_inserter(rest), 100), 3U);
    EXPECT_EQ(number_of(rest.front()), 12U);
}

TEST(channel, close_wakes_everybody_who_waits) {
    bounded<move_only> full(1U);
    full.push(make<move_only>(0));
    channel<move_only> empty;
    std::vector<actor> waiters(8);
    std::vector<std::future<void>> waiting;
    for (std::size_t i = 0; i < 4; ++i) {
        waiting.push_back(waiters[i].start([&] { EXPECT_FALSE(empty.pop()); }));
        waiting.push_back(waiters[i + 4].start([&full, i] {
            auto value = make<move_only>(i);
            EXPECT_FALSE(full.push(std::move(value)));
            EXPECT_EQ(number_of(value), i); // NOLINT(bugprone-use-after-move): that it is not moved from is the test
        }));
    }
    until_waiting(empty, 4);
    until_waiting(full, 4);
    empty.close();
    full.close();
    for (auto& each : waiting) {
        each.get();
    }
    EXPECT_EQ(number_of(*full.pop()), 0U);
    EXPECT_FALSE(full.pop());
}

TEST(channel, a_stop_request_ends_a_wait) {
    bounded<int> on(1U);
    std::stop_source pops;
    actor waiter;
    auto popping = waiter.start([&] { EXPECT_EQ(on.pop(pops.get_token()).error(), conqueue_status::empty); });
    until_waiting(on, 1);
    pops.request_stop();
    popping.get();
    on.push(1);
    std::stop_source pushes;
    auto pushing = waiter.start([&] { EXPECT_EQ(on.push_for(2, 24h, pushes.get_token()), conqueue_status::full); });
    until_waiting(on, 1);
    pushes.request_stop();
    pushing.get();
    EXPECT_EQ(on.was_waiting(), 0U);
}

TEST(channel, a_cancelled_waiter_leaves_the_others_in_their_order) {
    channel<int> on;
    std::vector<actor> waiters(3);
    std::stop_source second;
    auto one = waiters[0].start([&] { EXPECT_EQ(on.pop(), 1); });
    until_waiting(on, 1);
    auto two = waiters[1].start([&] { EXPECT_FALSE(on.pop(second.get_token())); });
    until_waiting(on, 2);
    auto three = waiters[2].start([&] { EXPECT_EQ(on.pop(), 2); });
    until_waiting(on, 3);
    second.request_stop();
    two.get();
    EXPECT_EQ(on.was_waiting(), 2U);
    on.push(1);
    one.get();
    on.push(2);
    three.get();
}

// ---- many threads -----------------------------------------------------------------------------------------------------------

/// Counts what went in and came out of a channel, by sums.
struct account {
    std::atomic<std::uint64_t> in{0};
    std::atomic<std::uint64_t> out{0};
    std::atomic<std::uint64_t> pushes{0};
    std::atomic<std::uint64_t> pops{0};

    void pushed(std::uint64_t number) {
        in.fetch_add(number, std::memory_order_relaxed);
        pushes.fetch_add(1, std::memory_order_relaxed);
    }
    void popped(std::uint64_t number) {
        out.fetch_add(number, std::memory_order_relaxed);
        pops.fetch_add(1, std::memory_order_relaxed);
    }
    void expect_even() const {
        EXPECT_EQ(in.load(), out.load());
        EXPECT_EQ(pushes.load(), pops.load());
    }
};

TEST(channel, many_wait_for_few_elements_and_each_arrives_once) {
    channel<move_only> on;
    account sums;
    const std::uint64_t each = many(400);
    together(8, [&](std::size_t index) {
        if (index < 6) {
            while (auto got = on.pop()) {
                sums.popped(number_of(*got));
            }
            return;
        }
        for (std::uint64_t i = 0; i < each; ++i) {
            const std::uint64_t number = index << 32 | i;
            sums.pushed(number);
            ASSERT_TRUE(on.push(make<move_only>(number)));
            if (i % 4 == 0) { // so that they fall asleep again
                std::this_thread::yield();
            }
        }
        if (sums.pushes.load() == 2 * each) {
            on.close();
        }
    });
    sums.expect_even();
}

template <class Channel>
void both_sides_wait(Channel& on, std::size_t producers, std::size_t consumers, std::uint64_t each) {
    account sums;
    std::atomic<std::size_t> left{producers};
    together(producers + consumers, [&](std::size_t index) {
        if (index < producers) {
            for (std::uint64_t i = 0; i < each; ++i) {
                const std::uint64_t number = index << 32 | i;
                ASSERT_TRUE(on.push(make<typename Channel::value_type>(number)));
                sums.pushed(number);
            }
            if (left.fetch_sub(1) == 1) {
                on.close();
            }
            return;
        }
        std::vector<std::uint64_t> next(producers);
        while (auto got = on.pop()) {
            const std::uint64_t number = number_of(*got);
            sums.popped(number);
            if (Channel::is_fifo) {
                ASSERT_GE(number & 0xffffffffU, next[number >> 32]);
                next[number >> 32] = (number & 0xffffffffU) + 1;
            }
        }
    });
    sums.expect_even();
    EXPECT_EQ(on.was_waiting(), 0U);
}

TEST(channel, a_small_channel_makes_both_sides_wait_and_loses_nothing) {
    for (const std::size_t capacity : {1U, 2U, 7U}) {
        bounded<move_only> on(capacity);
        both_sides_wait(on, 3, 3, many(700));
    }
}

TEST(channel, both_sides_wait_over_a_bounded_queue) {
    for (const std::size_t capacity : {1U, 3U}) {
        channel<move_only, bounded_queue<move_only>> on(capacity);
        both_sides_wait(on, 3, 3, many(2000));
    }
}

// C2: the container has one producer and one consumer; while one of them sleeps, the other acts for it.
TEST(channel, both_sides_wait_over_a_queue_for_two_threads) {
    channel<move_only, spsc_queue<move_only>> on(2U);
    both_sides_wait(on, 1, 1, many(8000));
}

TEST(channel, timeouts_and_stop_requests_race_with_pushes_and_lose_nothing) {
    bounded<move_only> on(2U);
    account sums;
    const std::uint64_t each = many(600);
    std::atomic<int> producers{2};
    together(6, [&](std::size_t index) {
        std::uint64_t random = index + 1;
        const auto patience = [&random] {
            random = random * 6364136223846793005U + 1442695040888963407U;
            return std::chrono::nanoseconds((random >> 33) % 60'000);
        };
        if (index < 2) {
            for (std::uint64_t i = 0; i < each; ++i) {
                auto value = make<move_only>(index << 32 | i);
                while (on.push_for(std::move(value), patience()) != conqueue_status::success) {
                    ASSERT_EQ(number_of(value), index << 32 | i); // NOLINT(bugprone-use-after-move)
                }
                sums.pushed(index << 32 | i);
            }
            if (producers.fetch_sub(1) == 1) {
                on.close();
            }
            return;
        }
        for (;;) {
            std::stop_source stopping;
            std::optional<std::jthread> stopper;
            if (index == 2) {
                stopper.emplace([&] { stopping.request_stop(); });
            }
            auto got = index < 4 ? on.pop(stopping.get_token()) : on.pop_for(patience());
            if (got) {
                sums.popped(number_of(*got));
            } else if (got.error() == conqueue_status::closed) {
                return;
            }
        }
    });
    sums.expect_even();
    EXPECT_EQ(on.was_waiting(), 0U);
}

TEST(channel, a_racing_close_loses_no_element_and_no_waiter) {
    for (std::uint64_t round = many(60); round != 0; --round) {
        bounded<move_only> on(2U);
        account sums;
        together(6, [&](std::size_t index) {
            if (index < 2) {
                for (std::uint64_t i = 0;; ++i) {
                    auto value = make<move_only>(i);
                    if (!on.push(std::move(value))) {
                        EXPECT_EQ(number_of(value), i); // NOLINT(bugprone-use-after-move): it is still ours
                        return;
                    }
                    sums.pushed(i);
                }
            }
            if (index < 5) {
                while (auto got = on.pop()) {
                    sums.popped(number_of(*got));
                }
                return;
            }
            for (unsigned idle = 0; sums.pops.load() < round; ++idle) {
                std_env::relax(idle);
            }
            on.close();
        });
        sums.expect_even();
    }
}

// ---- coroutines --------------------------------------------------------------------------------------------------------------

/// Runs at once; whoever has it may destroy it.
class held {
  public:
    struct promise_type {
        held get_return_object() noexcept { return held(std::coroutine_handle<promise_type>::from_promise(*this)); }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() noexcept { std::terminate(); }
    };
    explicit held(std::coroutine_handle<promise_type> self) noexcept : self_(self) {}
    held(const held&) = delete;
    held& operator=(const held&) = delete;
    ~held() { self_.destroy(); }
    bool done() const { return self_.done(); }

  private:
    std::coroutine_handle<promise_type> self_;
};

/// Resumes when it is told to.
class toy_scheduler {
  public:
    auto resumer() {
        return [this](std::coroutine_handle<> ready) {
            const std::lock_guard lock(mutex_);
            ready_.push_back(ready);
        };
    }
    std::size_t run() {
        for (std::size_t count = 0;; ++count) {
            std::coroutine_handle<> next;
            {
                const std::lock_guard lock(mutex_);
                if (ready_.empty()) {
                    return count;
                }
                next = ready_.front();
                ready_.pop_front();
            }
            next.resume();
        }
    }

  private:
    std::mutex mutex_;
    std::deque<std::coroutine_handle<>> ready_;
};

template <class Channel>
detached consume(Channel& from, std::vector<std::uint64_t>& into, bool& ended) {
    while (auto got = co_await from.async_pop()) {
        into.push_back(number_of(*got));
    }
    ended = true;
}

TEST(channel, a_push_resumes_a_coroutine_that_waits) {
    channel<move_only> on;
    std::vector<std::uint64_t> got;
    bool ended = false;
    on.push(make<move_only>(0));
    consume(on, got, ended);
    EXPECT_EQ(got.size(), 1U) << "an element that is there is taken without suspending";
    EXPECT_EQ(on.was_waiting(), 1U);
    for (std::uint64_t i = 1; i < 5; ++i) {
        on.push(make<move_only>(i));
        EXPECT_EQ(got.size(), i + 1);
    }
    EXPECT_FALSE(ended);
    on.close();
    EXPECT_TRUE(ended);
    EXPECT_EQ(got, numbers(0, 5));
}

detached produce(bounded<move_only>& into, std::uint64_t count, std::vector<conqueue_status>& answers) {
    for (std::uint64_t i = 0; i < count; ++i) {
        auto value = make<move_only>(i);
        answers.push_back(co_await into.async_push(std::move(value)));
        if (answers.back() != conqueue_status::success) {
            EXPECT_EQ(number_of(value), i); // NOLINT(bugprone-use-after-move): that it is not moved from is the test
        }
    }
}

TEST(channel, a_pop_resumes_a_coroutine_that_waits_for_room) {
    bounded<move_only> on(2U);
    std::vector<conqueue_status> answers;
    produce(on, 6, answers);
    EXPECT_EQ(answers.size(), 2U);
    EXPECT_EQ(number_of(*on.pop()), 0U);
    EXPECT_EQ(answers.size(), 3U);
    EXPECT_EQ(number_of(*on.try_pop()), 1U);
    on.close();
    EXPECT_EQ(answers.size(), 6U);
    EXPECT_EQ(answers[3], conqueue_status::success);
    EXPECT_EQ(answers[4], conqueue_status::closed);
    EXPECT_EQ(number_of(*on.pop()), 2U);
    EXPECT_EQ(number_of(*on.pop()), 3U);
    EXPECT_FALSE(on.pop());
}

template <class Resume>
detached pop_once(channel<int>& from, std::optional<expected<int, conqueue_status>>& into, Resume resume,
                  std::stop_token stop = {}) {
    into.emplace(co_await from.async_pop(resume, stop));
}

TEST(channel, a_coroutine_is_resumed_where_its_scheduler_says) {
    channel<int> on;
    toy_scheduler scheduler;
    std::optional<expected<int, conqueue_status>> got;
    pop_once(on, got, scheduler.resumer());
    on.push(7);
    EXPECT_FALSE(got) << "it has its element, but waits for its turn";
    EXPECT_EQ(on.was_waiting(), 0U);
    EXPECT_EQ(scheduler.run(), 1U);
    EXPECT_EQ(**got, 7);
    on.push(8);
    pop_once(on, got, scheduler.resumer());
    EXPECT_EQ(scheduler.run(), 0U) << "what need not wait is not scheduled";
    EXPECT_EQ(**got, 8);
}

TEST(channel, a_stop_request_resumes_a_coroutine) {
    channel<int> on;
    std::stop_source stopping;
    std::optional<expected<int, conqueue_status>> stopped;
    std::optional<expected<int, conqueue_status>> other;
    pop_once(on, stopped, resume_inline(), stopping.get_token());
    pop_once(on, other, resume_inline());
    EXPECT_EQ(on.was_waiting(), 2U);
    stopping.request_stop();
    ASSERT_TRUE(stopped.has_value());
    EXPECT_EQ(stopped->error(), conqueue_status::empty);
    EXPECT_EQ(on.was_waiting(), 1U);
    pop_once(on, stopped, resume_inline(), stopping.get_token());
    EXPECT_EQ(on.was_waiting(), 1U) << "a stop that was requested before is no wait";
    on.push(5);
    EXPECT_EQ(**other, 5);
}

TEST(channel, coroutines_and_threads_wait_in_one_line) {
    channel<int> on;
    std::optional<expected<int, conqueue_status>> first;
    std::optional<expected<int, conqueue_status>> third;
    pop_once(on, first, resume_inline());
    actor thread;
    auto second = thread.start([&] { EXPECT_EQ(on.pop(), 2); });
    until_waiting(on, 2);
    pop_once(on, third, resume_inline());
    for (int i = 1; i <= 3; ++i) {
        on.push(i);
    }
    second.get();
    EXPECT_EQ(**first, 1);
    EXPECT_EQ(**third, 3);
}

detached pop_and_end(std::unique_ptr<channel<move_only>>& from, std::uint64_t& got) {
    auto element = co_await from->async_pop();
    from.reset();
    got = number_of(*element);
}

detached pop_and_wait(channel<int>& from, std::future<void>& other) {
    static_cast<void>(co_await from.async_pop());
    other.get();
}

// D4.
TEST(channel, a_coroutine_that_is_resumed_may_wait_for_a_thread_that_is_told_with_it) {
    channel<int> on;
    std::future<void> ended;
    pop_and_wait(on, ended);
    actor thread;
    ended = thread.start([&] { EXPECT_EQ(on.pop(), std::nullopt); });
    until_waiting(on, 2);
    on.close(); // answers both at once, the coroutine first; that one waits for the thread inside
}

// D4.
TEST(channel, a_coroutine_that_is_resumed_may_end_the_channel) {
    auto on = std::make_unique<channel<move_only>>();
    std::uint64_t got = 0;
    pop_and_end(on, got);
    on->push(make<move_only>(3));
    EXPECT_EQ(got, 3U);
    EXPECT_EQ(on, nullptr);
}

detached pop_catching(bounded<int>& from, bool& caught) {
    try {
        static_cast<void>(co_await from.async_pop());
    } catch (const std::bad_alloc&) {
        caught = true;
    }
}

TEST(channel, what_the_container_throws_at_the_waker_reaches_the_coroutine) {
    bounded<int> on(1U);
    bool caught = false;
    pop_catching(on, caught);
    locked_queue<int>::fail_after(1);
    EXPECT_EQ(on.try_push(1), conqueue_status::success);
    EXPECT_TRUE(caught);
    EXPECT_EQ(*on.try_pop(), 1);
}

detached pop_refused(bounded<int, refusing_env>& from, bool& refused) {
    try {
        static_cast<void>(co_await from.async_pop());
    } catch (const std::system_error& error) {
        refused = error.code() == std::errc::operation_not_permitted;
    }
}

TEST(channel, a_kernel_that_refuses_barriers_is_reported_to_coroutines) {
    bounded<int, refusing_env> on(1U);
    bool refused = false;
    pop_refused(on, refused);
    EXPECT_TRUE(refused);
    EXPECT_EQ(on.was_waiting(), 0U);
}

using turning_channel = channel<int, spsc_queue<int, turning_env>, turning_env>;

detached pop_answer(turning_channel& from, conqueue_status& answer) {
    const auto got = co_await from.async_pop();
    answer = got ? conqueue_status::success : got.error();
}

TEST(channel, a_close_that_the_kernel_leaves_undecided_reaches_a_coroutine_with_the_producers_next_push) {
    if (!turning_env::asymmetric()) {
        GTEST_SKIP() << "without membarrier a close is decided at once";
    }
    turning_channel on(4U);
    conqueue_status answer = conqueue_status::busy;
    pop_answer(on, answer);
    ASSERT_EQ(on.was_waiting(), 1U);
    turning_env::refuses = true;
    on.close();
    EXPECT_EQ(on.was_waiting(), 1U) << "the close is not decided: there may be an element on its way";
    EXPECT_EQ(on.try_push(1), conqueue_status::closed);
    turning_env::refuses = false;
    EXPECT_EQ(answer, conqueue_status::closed);
    EXPECT_EQ(on.was_waiting(), 0U);
}

detached count_all(channel<move_only>& from, account& sums, std::atomic<int>& left) {
    while (auto got = co_await from.async_pop()) {
        sums.popped(number_of(*got));
    }
    left.fetch_sub(1);
}

TEST(channel, many_coroutines_and_threads_share_a_channel_and_lose_nothing) {
    channel<move_only> on;
    account sums;
    std::atomic<int> left{20};
    const std::uint64_t each = many(500);
    std::atomic<int> producers{2};
    together(5, [&](std::size_t index) {
        if (index < 2) {
            for (int i = 0; i < 10; ++i) {
                count_all(on, sums, left);
            }
            for (std::uint64_t i = 0; i < each; ++i) {
                sums.pushed(i);
                ASSERT_TRUE(on.push(make<move_only>(i)));
            }
            if (producers.fetch_sub(1) == 1) {
                on.close();
            }
            return;
        }
        while (auto got = on.pop()) {
            sums.popped(number_of(*got));
        }
    });
    sums.expect_even();
    EXPECT_EQ(left.load(), 0);
}

detached pop_or_stop(channel<move_only>& from, account& sums, std::stop_token stop, std::atomic<int>& left) {
    if (auto got = co_await from.async_pop(std::move(stop))) {
        sums.popped(number_of(*got));
    }
    left.fetch_sub(1);
}

TEST(channel, stop_requests_race_with_pushes_to_coroutines) {
    channel<move_only> on;
    account sums;
    for (std::uint64_t round = many(300); round != 0; --round) {
        std::stop_source stopping;
        std::atomic<int> left{3};
        together(3, [&](std::size_t index) {
            if (index == 0) {
                for (int i = 0; i < 3; ++i) {
                    pop_or_stop(on, sums, stopping.get_token(), left);
                }
            } else if (index == 1) {
                stopping.request_stop();
            } else {
                on.push(make<move_only>(round));
                sums.pushed(round);
            }
        });
        EXPECT_EQ(left.load(), 0);
        EXPECT_EQ(on.was_waiting(), 0U);
    }
    while (auto rest = on.try_pop()) {
        sums.popped(number_of(*rest));
    }
    sums.expect_even();
}

detached pop_and_tell(channel<move_only>& from, std::atomic<bool>& told) {
    static_cast<void>(co_await from.async_pop());
    told.store(true, std::memory_order_release);
}

// The thread that suspends a coroutine must be done with the channel before another one resumes it.
TEST(channel, may_end_as_soon_as_its_last_coroutine_has_been_resumed) {
    for (std::uint64_t round = many(300); round != 0; --round) {
        auto on = std::make_unique<channel<move_only>>();
        std::atomic<bool> told{false};
        std::atomic<bool> begun{false};
        together(2, [&](std::size_t index) {
            if (index == 0) {
                pop_and_tell(*on, told);
                begun.store(true, std::memory_order_relaxed);
                return;
            }
            channel<move_only>* there = on.get();
            there->push(make<move_only>(round));
            for (unsigned idle = 0; !told.load(std::memory_order_acquire); ++idle) {
                std_env::relax(idle);
            }
            on.reset(); // the first thread may still be on its way out of pop_and_tell
        });
    }
}

/// A waiter that never gets what it waits for.
class hopeless final : public core::waiter<std_env> {
  public:
    hopeless() : waiter(core::awaited::an_element) {}
    bool given_up = false;
    bool told = false;

  private:
    bool attempt() noexcept override { return false; }
    void give_up() noexcept override { given_up = true; }
    void deliver() noexcept override { told = true; }
};

// A stop request may come after a coroutine has looked for one, and before it is listed.
TEST(waiters, one_that_was_cancelled_before_it_arrives_is_given_up) {
    core::waiters<std_env> line;
    hopeless early;
    hopeless late;
    line.enter(late);
    line.cancel(early);
    EXPECT_FALSE(early.told);
    line.enter(early);
    EXPECT_TRUE(early.given_up && early.told);
    EXPECT_FALSE(late.told);
    line.cancel(late);
    EXPECT_TRUE(late.given_up && late.told);
    EXPECT_EQ(line.was_waiting(), 0U);
}

class channel_death : public testing::Test {
  protected:
    channel_death() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

held pop_held(channel<int>& from) {
    static_cast<void>(co_await from.async_pop());
}

TEST_F(channel_death, a_coroutine_is_destroyed_while_it_waits) {
    EXPECT_DEATH(
        {
            channel<int> on;
            const held waiting = pop_held(on);
        },
        "a coroutine that waits in a channel was destroyed");
}

detached pop_twice(channel<int>& from) {
    auto once = from.async_pop();
    static_cast<void>(co_await once);
    static_cast<void>(co_await once);
}

TEST_F(channel_death, a_coroutine_awaits_the_same_operation_twice) {
    EXPECT_DEATH(
        {
            channel<int> on;
            pop_twice(on);
            on.push(1);
        },
        "awaited twice");
}

TEST_F(channel_death, the_channel_is_destroyed_while_a_coroutine_waits) {
    EXPECT_DEATH(
        {
            auto on = std::make_unique<channel<int>>();
            const held waiting = pop_held(*on);
            on.reset();
        },
        "a channel was destroyed while");
}

TEST(channel, over_an_mpsc_queue_many_send_to_one_that_waits) {
    channel<std::uint64_t, mpsc_queue<std::uint64_t>> line;
    constexpr std::size_t senders = 3;
    const std::uint64_t each = many(5'000);
    std::vector<std::uint64_t> last(senders, 0);
    std::jthread consumer([&] {
        while (const auto got = line.pop()) {
            const std::size_t sender = *got % senders;
            EXPECT_EQ(*got / senders, ++last[sender]) << "of sender " << sender;
        }
    });
    together(senders, [&](std::size_t sender) {
        for (std::uint64_t i = 1; i <= each; ++i) {
            ASSERT_TRUE(line.push(i * senders + sender));
            if (i % 100 == 0) {
                std::this_thread::yield(); // so that the consumer falls asleep now and then
            }
        }
    });
    line.close();
    consumer.join();
    EXPECT_EQ(last, std::vector<std::uint64_t>(senders, each));
}

TEST(channel, a_coroutine_may_be_destroyed_after_its_wait) {
    channel<int> on;
    const held waiting = pop_held(on);
    EXPECT_FALSE(waiting.done());
    on.close();
    EXPECT_TRUE(waiting.done());
}

// ---- Boost.Lockfree ------------------------------------------------------------------------------------------------------------

using boost_queue = boost_lockfree<boost::lockfree::queue<std::uint64_t>>;
using boost_ring = boost_lockfree<boost::lockfree::spsc_queue<std::uint64_t>>;
using boost_pile = boost_lockfree<boost::lockfree::stack<std::uint64_t>>;
static_assert(concurrent_queue<boost_queue> && concurrent_queue<boost_ring> && concurrent_stack<boost_pile>);

template <class Container>
void answers_like_a_container(std::vector<std::uint64_t> order) {
    Container on(16U);
    EXPECT_TRUE(on.was_empty());
    EXPECT_EQ(on.try_pop().error(), conqueue_status::empty);
    for (const std::uint64_t i : {1U, 2U, 3U}) {
        EXPECT_EQ(on.try_push(i), conqueue_status::success);
    }
    EXPECT_FALSE(on.was_empty());
    on.close();
    EXPECT_TRUE(on.is_closed());
    EXPECT_EQ(on.try_push(4), conqueue_status::closed);
    for (const std::uint64_t i : order) {
        EXPECT_EQ(*on.try_pop(), i);
    }
    EXPECT_EQ(on.try_pop().error(), conqueue_status::closed);
}

TEST(boost_lockfree, containers_answer_like_ours) {
    answers_like_a_container<boost_queue>({1, 2, 3});
    answers_like_a_container<boost_ring>({1, 2, 3});
    answers_like_a_container<boost_pile>({3, 2, 1});
}

TEST(boost_lockfree, a_ring_that_is_full_says_so) {
    boost_ring on(2U);
    EXPECT_EQ(on.try_push(1), conqueue_status::success);
    EXPECT_EQ(on.try_push(2), conqueue_status::success);
    EXPECT_EQ(on.try_push(3), conqueue_status::full);
    EXPECT_EQ(*on.try_pop(), 1U);
    EXPECT_EQ(on.try_push(3), conqueue_status::success);
}

// C2: the ring has one producer and one consumer; while one of them sleeps, the other acts for it.
TEST(boost_lockfree, a_channel_waits_over_a_ring) {
    channel<std::uint64_t, boost_ring> on(3U);
    both_sides_wait(on, 1, 1, many(4000));
}

TEST(boost_lockfree, a_channel_waits_over_a_queue_and_a_stack) {
    channel<std::uint64_t, boost_queue> fifo(16U);
    both_sides_wait(fifo, 1, 1, many(2000));
    channel<std::uint64_t, boost_pile> lifo(16U);
    both_sides_wait(lifo, 1, 1, many(2000));
}

// The weaker contract, as the head of the header says: a push that has looked before the close may come after the drain.
struct paused_env : std_env {
    inline static thread_local gate* after_look = nullptr;
    template <class T>
    class atomic : public std_env::atomic<T> {
      public:
        using std_env::atomic<T>::atomic;
        T load(std::memory_order order) const noexcept {
            const T value = std_env::atomic<T>::load(order);
            if (after_look != nullptr) {
                std::exchange(after_look, nullptr)->pass();
            }
            return value;
        }
    };
};

TEST(boost_lockfree, a_push_that_meets_a_close_may_come_after_the_drain) {
    boost_lockfree<boost::lockfree::queue<std::uint64_t>, paused_env> on(16U);
    actor producer;
    gate between;
    auto pushing = producer.start([&] {
        paused_env::after_look = &between;
        EXPECT_EQ(on.try_push(1), conqueue_status::success);
    });
    between.wait_until_reached();
    on.close();
    EXPECT_EQ(on.try_pop().error(), conqueue_status::closed) << "the drain has missed it";
    between.open();
    pushing.get();
    EXPECT_EQ(*on.try_pop(), 1U) << "it is there";
    EXPECT_EQ(on.try_pop().error(), conqueue_status::closed);
}

} // namespace
} // namespace epoque::test
