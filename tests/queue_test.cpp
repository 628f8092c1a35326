// SPDX-License-Identifier: BSL-1.0
/// @file
/// Tests of queue.hpp beyond the contract that it shares with other structures (conformance.hpp).
#include "epoque/queue.hpp"
#include "epoque/stack.hpp"
#include "support.hpp"

#include <boost/lockfree/queue.hpp>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <forward_list>
#include <functional>
#include <future>
#include <iterator>
#include <memory>
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

/// One operation of a random program; `amount` is for those that take several.
enum class step : std::uint8_t { push, push_range, pop, pop_n, look, advance, close };
using program = std::vector<std::pair<std::uint8_t, std::uint8_t>>;

step step_of(std::uint8_t choice) {
    if (choice == 0) {
        return step::close; // rare: most programs go on for a while
    }
    return static_cast<step>(choice % 6);
}

/// Runs the program on a queue and on a std::deque; every answer must be the same.
template <class Element, class Env>
void agrees_with_deque(const program& steps) {
    basic_domain<Env> home;
    queue<Element, Env> line(home);
    std::deque<std::uint64_t> model;
    bool closed = false;
    std::uint64_t next = 0;
    for (const auto& [choice, amount] : steps) {
        switch (step_of(choice)) {
        case step::push: {
            auto element = make<Element>(next);
            RC_ASSERT(line.push(std::move(element)) == !closed);
            if (closed) {
                RC_ASSERT(number_of(element) == next); // NOLINT(bugprone-use-after-move): refused, so not moved from
            } else {
                model.push_back(next);
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
            RC_ASSERT(static_cast<std::size_t>(rest - first) == (closed ? 0 : elements.size()));
            for (unsigned i = 0; i < elements.size() && !closed; ++i) {
                model.push_back(next + i);
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
            const std::size_t wanted = amount % 13;
            std::size_t got = 0;
            while (got < wanted && !model.empty()) { // a call may end early at a segment's end, but not with nothing
                const std::size_t now = line.try_pop_n(std::back_inserter(taken), wanted - got);
                RC_ASSERT(now > 0 && now <= wanted - got);
                for (std::size_t i = got; i < got + now; ++i) {
                    RC_ASSERT(number_of(taken[i]) == model.front());
                    model.pop_front();
                }
                got += now;
            }
            if (model.empty()) {
                RC_ASSERT(line.try_pop_n(std::back_inserter(taken), 1) == 0);
            }
            break;
        }
        case step::look:
            RC_ASSERT(line.was_empty() == model.empty());
            RC_ASSERT(line.was_size() == model.size());
            RC_ASSERT(line.is_closed() == closed);
            break;
        case step::advance:
            tick(home);
            break;
        case step::close:
            line.close();
            closed = true;
            break;
        }
    }
    RC_ASSERT(drain(line) == std::vector<std::uint64_t>(model.begin(), model.end()));
}

TEST(queue, agrees_with_a_deque_on_random_programs) {
    EXPECT_TRUE(rc::check("numbers, segments of 4", agrees_with_deque<std::uint64_t, small_env>));
    EXPECT_TRUE(rc::check("move-only, segments of 4", agrees_with_deque<move_only, small_env>));
    EXPECT_TRUE(rc::check("move-only, no pool", agrees_with_deque<move_only, unpooled_env>));
    EXPECT_TRUE(rc::check("numbers, as shipped", agrees_with_deque<std::uint64_t, std_env>));
    EXPECT_EQ(small_env::live_bytes(), 0U);
}

TEST(queue, agrees_with_boost_lockfree_on_random_programs) {
    EXPECT_TRUE(rc::check("pushes and pops", [](const std::vector<std::uint8_t>& steps) {
        basic_domain<small_env> home;
        queue<std::uint64_t, small_env> line(home);
        boost::lockfree::queue<std::uint64_t> boosts(16);
        for (const std::uint8_t choice : steps) {
            if (choice % 5 < 3) {
                RC_ASSERT(line.push(std::uint64_t{choice}) == boosts.push(choice));
            } else {
                std::uint64_t expected = 0;
                const bool some = boosts.pop(expected);
                const auto element = line.try_pop();
                RC_ASSERT(element.has_value() == some);
                RC_ASSERT((!some || *element == expected)); // in brackets: rapidcheck's || looks at both sides
            }
            RC_ASSERT(line.was_empty() == boosts.empty());
        }
    }));
}

TEST(queue, the_size_is_exact_while_nobody_else_is_there) {
    domain home;
    queue<std::uint64_t> line(home);
    for (std::uint64_t size = 0; size < 2600; ++size) {
        ASSERT_EQ(line.was_size(), size);
        ASSERT_EQ(line.was_empty(), size == 0);
        ASSERT_TRUE(line.push(size));
    }
    for (std::uint64_t size = 2600; size != 0; --size) {
        ASSERT_EQ(line.was_size(), size);
        ASSERT_TRUE(line.try_pop());
    }
    EXPECT_EQ(line.was_size(), 0U);
    EXPECT_TRUE(line.was_empty());
}

TEST(queue, a_range_may_come_from_any_iterator_that_can_be_gone_through_twice) {
    domain home;
    queue<std::uint64_t> line(home);
    const std::forward_list<std::uint64_t> list{0, 1, 2};
    EXPECT_EQ(line.push_range(list.begin(), list.end()), list.end());
    const std::uint64_t array[] = {3, 4};
    EXPECT_EQ(line.push_range(std::begin(array), std::end(array)), std::end(array));
    const std::vector<bool> proxies{true, false}; // *first is no reference to an element
    EXPECT_EQ(line.push_range(proxies.begin(), proxies.end()), proxies.end());
    const std::vector<std::uint32_t> converted{7, 8};
    EXPECT_EQ(line.push_range(converted.begin(), converted.end()), converted.end());
    EXPECT_EQ(line.push_range(list.begin(), list.begin()), list.begin()) << "an empty range";
    EXPECT_EQ(drain(line), (std::vector<std::uint64_t>{0, 1, 2, 3, 4, 1, 0, 7, 8}));
}

TEST(queue, a_copied_range_stays_with_the_caller) {
    domain home;
    queue<fragile> line(home);
    std::vector<fragile> elements;
    for (const std::uint64_t number : numbers(0, 10)) {
        elements.emplace_back(number);
    }
    EXPECT_EQ(line.push_range(elements.begin(), elements.end()), elements.end());
    for (std::uint64_t number = 0; number < 10; ++number) {
        EXPECT_EQ(elements[number].number(), number);
    }
    EXPECT_EQ(drain(line), numbers(0, 10));
}

// ---- capacity ----------------------------------------------------------------------------------------------------------

TEST(queue, it_is_empty_exactly_at_the_ends_of_segments_too) {
    for (const std::uint64_t count : {1023U, 1024U, 1025U, 2047U, 2048U, 2049U, 3072U}) {
        domain home;
        queue<std::uint64_t> line(home);
        for (std::uint64_t round = 0; round < 3; ++round) {
            for (std::uint64_t number = 0; number < count; ++number) {
                ASSERT_TRUE(line.push(number));
            }
            ASSERT_EQ(line.was_size(), count);
            ASSERT_EQ(drain(line), numbers(0, count));
            for (int i = 0; i < 5; ++i) {
                ASSERT_EQ(line.try_pop().error(), conqueue_status::empty);
                ASSERT_TRUE(line.was_empty());
                ASSERT_EQ(line.was_size(), 0U);
            }
        }
    }
}

TEST(queue, close_at_the_end_of_a_segment_with_every_share_popped) {
    for (std::uint64_t count = 0; count <= 12; ++count) { // segments of 4
        for (std::uint64_t popped = 0; popped <= count; ++popped) {
            basic_domain<small_env> home;
            queue<counted, small_env> line(home);
            for (std::uint64_t number = 0; number < count; ++number) {
                ASSERT_TRUE(line.emplace(number));
            }
            for (std::uint64_t number = 0; number < popped; ++number) {
                ASSERT_EQ(line.try_pop()->number(), number);
            }
            line.close();
            ASSERT_TRUE(line.is_closed());
            ASSERT_FALSE(line.emplace(count));
            ASSERT_EQ(line.was_size(), count - popped);
            line.close();
            ASSERT_EQ(drain(line), numbers(popped, count));
            ASSERT_EQ(line.try_pop().error(), conqueue_status::closed);
            ASSERT_EQ(line.was_size(), 0U);
        }
    }
    EXPECT_EQ(small_env::live_bytes(), 0U);
}

TEST(queue, many_segments_are_linked_drained_and_reclaimed) {
    const std::uint64_t count = 100 * std_env::segment_slots;
    domain home;
    queue<std::uint64_t> line(home);
    for (std::uint64_t number = 0; number < count; ++number) {
        ASSERT_TRUE(line.push(number));
    }
    EXPECT_EQ(drain(line), numbers(0, count));
    EXPECT_EQ(home.stats().retired_objects, 99U);
    home.barrier();
    EXPECT_EQ(home.stats().pending_objects, 0U);
}

TEST(queue, a_queue_that_runs_forever_does_not_grow) {
    basic_domain<small_env> home;
    queue<std::uint64_t, small_env> line(home);
    std::uint64_t most = 0;
    for (std::uint64_t number = 0; number < 40'000; ++number) {
        ASSERT_TRUE(line.push(number));
        ASSERT_TRUE(line.try_pop());
        most = std::max(most, small_env::live_blocks());
    }
    // One or two segments in use, 8 in the limbo, two bundles in the magazine and those in the depot.
    EXPECT_LT(most, 300U);
}

TEST(queue, polling_an_empty_queue_uses_nothing_up) {
    basic_domain<small_env> home;
    queue<std::uint64_t, small_env> line(home);
    ASSERT_TRUE(line.push(1U));
    ASSERT_TRUE(line.try_pop());
    const std::uint64_t blocks = small_env::live_blocks();
    std::vector<std::uint64_t> taken;
    for (int i = 0; i < 1000; ++i) {
        ASSERT_FALSE(line.try_pop());
        ASSERT_EQ(line.try_pop_n(std::back_inserter(taken), 10), 0U);
    }
    for (const std::uint64_t number : numbers(0, 3)) { // the other three cells of the segment
        ASSERT_TRUE(line.push(number));
    }
    EXPECT_EQ(small_env::live_blocks(), blocks);
    EXPECT_EQ(drain(line), numbers(0, 3));
}

// ---- lifetime ----------------------------------------------------------------------------------------------------------

TEST(queue, queues_of_the_default_domain_need_no_other) {
    queue<move_only> line;
    ASSERT_TRUE(line.push(make<move_only>(5)));
    EXPECT_EQ(**line.try_pop(), 5U);
}

TEST(queue, a_guard_that_stays_keeps_no_segment) {
    basic_domain<small_env> home;
    queue<counted, small_env> line(home);
    actor holder;
    holder([&] { home.lock(); });
    for (std::uint64_t number = 0; number < 400; ++number) {
        ASSERT_TRUE(line.emplace(number));
        ASSERT_TRUE(line.try_pop());
    }
    EXPECT_EQ(home.stats().retired_objects, 99U);
    EXPECT_LE(home.stats().pending_objects, std::uint64_t{small_env::advance_objects} + 1);
    holder([&] { home.unlock(); });
    home.barrier();
    EXPECT_EQ(home.stats().pending_objects, 0U);
}

// ---- exceptions --------------------------------------------------------------------------------------------------------

TEST(queue, a_copied_range_that_throws_has_pushed_what_came_before) {
    struct stops_at_three {
        explicit stops_at_three(std::uint64_t wanted) noexcept : number(wanted) {}
        stops_at_three(const stops_at_three& other) : number(other.number) {
            if (number == 3) {
                throw copy_failed();
            }
        }
        stops_at_three(stops_at_three&&) noexcept = default;
        std::uint64_t number;
    };
    domain home;
    queue<stops_at_three> line(home);
    std::vector<stops_at_three> elements;
    elements.reserve(6);
    for (const std::uint64_t number : numbers(0, 6)) {
        elements.emplace_back(number);
    }
    EXPECT_THROW(line.push_range(elements.begin(), elements.end()), copy_failed);
    for (std::uint64_t number = 0; number < 3; ++number) {
        EXPECT_EQ(line.try_pop()->number, number);
    }
    EXPECT_EQ(line.try_pop().error(), conqueue_status::empty);
    EXPECT_EQ(elements[4].number, 4U);
}

// ---- two threads: a push or a pop that sleeps at the worst moment ------------------------------------------------------------

/// An element whose move into the queue stops at a gate: the producer then has its ticket and has published nothing.
class slow {
  public:
    explicit slow(std::uint64_t number, gate* stop = nullptr) noexcept : element_(number), stop_(stop) {}
    slow(slow&& other) noexcept : element_(std::move(other.element_)), stop_(nullptr) {
        if (gate* const stop = std::exchange(other.stop_, nullptr); stop != nullptr) {
            stop->pass();
        }
    }
    slow& operator=(slow&&) = delete;
    std::uint64_t number() const noexcept { return element_.number(); }

  private:
    counted element_;
    gate* stop_;
};

class slow_producer : public testing::Test {
  protected:
    slow_producer() : live_before_(counted::live()) {}
    void TearDown() override { EXPECT_EQ(counted::live(), live_before_) << "elements leaked, or died twice"; }

    /// `producer` begins to push `number` and stops between its ticket and its publication.
    std::future<void> begin_push(std::uint64_t number, bool success = true) {
        auto push = producer_.start([this, number, success] {
            slow element(number, &stop_);
            EXPECT_EQ(line_->push(std::move(element)), success);
            if (!success) {
                EXPECT_EQ(element.number(), number); // NOLINT(bugprone-use-after-move): refused, so its owner's again
            }
        });
        stop_.wait_until_reached();
        return push;
    }

    domain home_;
    std::optional<queue<slow>> line_{std::in_place, home_};
    actor producer_;
    gate stop_;

  private:
    std::uint64_t live_before_;
};

TEST_F(slow_producer, its_slot_is_skipped_and_its_element_comes_later) {
    auto push = begin_push(1);
    ASSERT_TRUE(line_->push(slow(2)));
    EXPECT_EQ(line_->try_pop()->number(), 2U); // 1 has not been pushed yet: its push may come at any time
    EXPECT_EQ(line_->try_pop().error(), conqueue_status::empty);
    stop_.open();
    push.get();
    EXPECT_EQ(line_->try_pop()->number(), 1U);
    EXPECT_EQ(line_->try_pop().error(), conqueue_status::empty);
}

TEST_F(slow_producer, its_slot_is_not_skipped_when_it_publishes_in_time) {
    auto push = begin_push(1);
    ASSERT_TRUE(line_->push(slow(2)));
    stop_.open();
    push.get();
    EXPECT_EQ(line_->try_pop()->number(), 1U);
    EXPECT_EQ(line_->try_pop()->number(), 2U);
}

TEST_F(slow_producer, it_stops_nobody_else_over_many_segments) {
    auto push = begin_push(1'000'000);
    for (std::uint64_t number = 0; number < 3000; ++number) {
        ASSERT_TRUE(line_->push(slow(number)));
    }
    EXPECT_EQ(drain(*line_), numbers(0, 3000));
    stop_.open();
    push.get();
    EXPECT_EQ(drain(*line_), (std::vector<std::uint64_t>{1'000'000}));
}

/// An element whose next move in this thread stops at a gate, or does something.
class eventful {
  public:
    explicit eventful(std::uint64_t number) noexcept : element_(number) {}
    eventful(eventful&& other) noexcept : element_(after_the_event(other)) {}
    eventful& operator=(eventful&&) = delete;
    ~eventful() = default;
    std::uint64_t number() const noexcept { return element_.number(); }

    inline static thread_local std::function<void()> at_next_move;

  private:
    static counted after_the_event(eventful& other) noexcept {
        if (const auto event = std::exchange(at_next_move, nullptr)) {
            event();
        }
        return std::move(other.element_);
    }
    counted element_;
};

/// What others do for long while somebody sleeps: over many segments, which are freed, or kept.
template <class Queue>
void work_on(Queue& line) {
    for (std::uint64_t number = 0; number < 2000; ++number) {
        ASSERT_TRUE(line.emplace(number));
        const auto popped = line.try_pop();
        ASSERT_TRUE(popped);
        ASSERT_EQ(popped->number(), number);
    }
}

TEST(queue, an_operation_that_sleeps_keeps_one_segment) {
    for (const bool in_push : {true, false}) {
        basic_domain<small_env> home;
        queue<eventful, small_env> line(home);
        gate stop;
        actor sleeper;
        if (!in_push) {
            ASSERT_TRUE(line.emplace(7U));
        }
        auto asleep = sleeper.start([&] {
            eventful::at_next_move = [&stop] { stop.pass(); };
            if (in_push) {
                ASSERT_TRUE(line.emplace(7U));
            } else {
                ASSERT_EQ(line.try_pop()->number(), 7U);
            }
        });
        stop.wait_until_reached();
        for (int i = 0; i < 5; ++i) {
            work_on(line);
            EXPECT_LE(home.stats().pending_objects, std::uint64_t{small_env::advance_objects} + 2);
            home.barrier(); // it waits for nobody who is asleep in an operation
            EXPECT_LE(home.stats().pending_objects, 2U) << "the sleeper's, and perhaps one that was taken for it";
        }
        stop.open();
        asleep.get();
        if (in_push) {
            EXPECT_EQ(line.try_pop()->number(), 7U);
        }
        home.barrier();
        EXPECT_EQ(home.stats().pending_objects, 0U);
    }
}

TEST(queue, an_element_may_use_its_own_queue_and_others_while_it_is_moved_in_or_out) {
    basic_domain<small_env> home;
    queue<eventful, small_env> line(home);
    queue<eventful, small_env> other(home);
    stack<std::uint64_t, small_env> pile(home);
    const auto use_all = [&] {
        other.emplace(5U);
        eventful::at_next_move = [&] { work_on(other); }; // and inside of that
        ASSERT_EQ(other.try_pop()->number(), 5U);
        work_on(line); // leaves the segment that the outer operation is in
        for (std::uint64_t number = 0; number < 50; ++number) {
            ASSERT_TRUE(pile.push(number));
            ASSERT_TRUE(pile.try_pop());
        }
        work_on(line);
    };
    for (std::uint64_t number = 0; number < 10; ++number) {
        eventful::at_next_move = use_all;
        eventful element(number);
        ASSERT_TRUE(line.push(std::move(element))); // in
        ASSERT_EQ(line.was_size(), 1U);
        eventful::at_next_move = use_all;
        const auto popped = line.try_pop(); // out
        ASSERT_TRUE(popped);
        ASSERT_EQ(popped->number(), number);
        ASSERT_LE(home.stats().pending_objects, 5U * 1000) << "kept while the outer ones ran";
        work_on(line);
        ASSERT_LE(home.stats().pending_objects, std::uint64_t{small_env::advance_objects} + 1) << "and not longer";
    }
}

// Pitfall 18, the schedule: ticket, close, pop answers closed, and the push must not succeed any more.
TEST_F(slow_producer, it_finds_the_queue_closed_and_has_its_element_back) {
    auto push = begin_push(1, false);
    line_->close();
    EXPECT_EQ(line_->try_pop().error(), conqueue_status::closed);
    stop_.open();
    push.get();
    EXPECT_EQ(line_->try_pop().error(), conqueue_status::closed);
}

TEST_F(slow_producer, a_push_that_has_its_ticket_before_the_close_may_succeed_after_it) {
    auto push = begin_push(1);
    line_->close();
    stop_.open();
    push.get();
    EXPECT_EQ(line_->try_pop()->number(), 1U);
    EXPECT_EQ(line_->try_pop().error(), conqueue_status::closed);
}

TEST_F(slow_producer, the_queue_dies_with_skipped_slots) {
    auto push = begin_push(1);
    EXPECT_FALSE(line_->try_pop());
    ASSERT_TRUE(line_->push(slow(2)));
    stop_.open();
    push.get();
    line_.reset(); // 2 and, behind it, 1
}

TEST_F(slow_producer, a_range_that_is_overtaken_keeps_its_order) {
    auto push = producer_.start([this] {
        std::vector<slow> elements;
        elements.reserve(10);
        for (const std::uint64_t number : numbers(0, 10)) {
            elements.emplace_back(number, number == 4 ? &stop_ : nullptr);
        }
        const auto last = std::make_move_iterator(elements.end());
        EXPECT_EQ(line_->push_range(std::make_move_iterator(elements.begin()), last), last);
    });
    stop_.wait_until_reached();
    for (std::uint64_t number = 0; number < 4; ++number) {
        EXPECT_EQ(line_->try_pop()->number(), number);
    }
    EXPECT_EQ(line_->try_pop().error(), conqueue_status::empty); // skips the slots of 4 to 9
    ASSERT_TRUE(line_->push(slow(100)));
    stop_.open();
    push.get();
    EXPECT_EQ(drain(*line_), (std::vector<std::uint64_t>{100, 4, 5, 6, 7, 8, 9}));
}

/// The three outcomes of a hand-off in which both sides have seen each other. With CAS there is no such window.
class hand_off : public testing::Test {
  protected:
    void SetUp() override {
        if (!barrier::asymmetric()) {
            GTEST_SKIP() << "the fallback hands over by one CAS: there is no state in between";
        }
    }
    /// A producer of 7 and a consumer, each stopped where `staged_env` says.
    std::future<void> push_until(gate* after_publish, gate& before_publish) {
        return producer_.start([this, after_publish, &before_publish] {
            slow element(7, &before_publish);
            staged_env::after_publish = after_publish;
            EXPECT_TRUE(line_.push(std::move(element)));
        });
    }
    std::future<void> pop_until(gate* before_heavy, std::optional<std::uint64_t>& got) {
        return consumer_.start([this, before_heavy, &got] {
            staged_env::before_heavy = before_heavy;
            if (auto element = line_.try_pop()) {
                got = element->number();
            }
        });
    }

    basic_domain<staged_env> home_;
    queue<slow, staged_env> line_{home_};
    actor producer_;
    actor consumer_;
    gate built_;     // the producer has its ticket
    gate published_; // and has stored FULL, but not looked at the claim
    gate claimed_;   // the consumer gives up, but has not looked again
};

TEST_F(hand_off, the_consumer_that_gives_up_finds_the_element_after_all) {
    std::optional<std::uint64_t> got;
    auto push = push_until(&published_, built_);
    built_.wait_until_reached();
    auto pop = pop_until(&claimed_, got);
    claimed_.wait_until_reached();
    built_.open();
    published_.wait_until_reached();
    claimed_.open(); // reads FULL, and takes the element
    pop.get();
    EXPECT_EQ(got, 7U);
    published_.open(); // reads TAKEN
    push.get();
    EXPECT_EQ(line_.try_pop().error(), conqueue_status::empty) << "the element came out twice";
}

TEST_F(hand_off, the_producer_takes_its_element_back_and_pushes_it_again) {
    std::optional<std::uint64_t> got;
    auto push = push_until(nullptr, built_);
    built_.wait_until_reached();
    auto pop = pop_until(&claimed_, got);
    claimed_.wait_until_reached();
    built_.open(); // reads ABANDONING, and retracts
    push.get();
    claimed_.open(); // reads RETRACTED, and goes on to the next ticket
    pop.get();
    EXPECT_EQ(got, 7U);
    EXPECT_EQ(line_.try_pop().error(), conqueue_status::empty);
}

TEST_F(hand_off, the_consumer_skips_the_slot_before_the_producer_publishes) {
    std::optional<std::uint64_t> got;
    auto push = push_until(nullptr, built_);
    built_.wait_until_reached();
    auto pop = pop_until(nullptr, got);
    pop.get();
    EXPECT_FALSE(got.has_value());
    built_.open(); // reads SKIPPED
    push.get();
    EXPECT_EQ(line_.try_pop()->number(), 7U);
}

// ---- many threads ------------------------------------------------------------------------------------------------------

TEST(queue, elements_of_one_producer_stay_in_order_over_small_segments) {
    constexpr std::size_t producers = 2;
    constexpr std::size_t consumers = 2;
    const std::uint64_t each = many(20'000);
    basic_domain<small_env> home;
    queue<counted, small_env> line(home);
    std::atomic<std::size_t> producing{producers};
    std::atomic<std::uint64_t> popped{0};
    together(producers + consumers, [&](std::size_t index) {
        if (index < producers) {
            for (std::uint64_t serial = 0; serial < each; ++serial) {
                ASSERT_TRUE(line.emplace(std::uint64_t{index} << 32 | serial));
            }
            if (--producing == 0) {
                line.close();
            }
            return;
        }
        std::vector<std::uint64_t> next(producers);
        for (unsigned idle = 0;;) {
            auto element = line.try_pop();
            if (element) {
                const std::uint64_t number = element->number();
                ASSERT_GE(number & 0xffffffffU, next[number >> 32]);
                next[number >> 32] = (number & 0xffffffffU) + 1;
                popped.fetch_add(1, std::memory_order_relaxed);
                idle = 0;
            } else if (element.error() == conqueue_status::closed) {
                return;
            } else {
                std_env::relax(idle++);
            }
        }
    });
    EXPECT_EQ(popped, producers * each);
}

TEST(queue, a_queue_that_is_never_empty_never_says_so) {
    // Each thread puts an element in before it takes one out, so there is always one for whoever takes.
    const std::uint64_t rounds = many(20'000);
    basic_domain<small_env> home;
    queue<std::uint64_t, small_env> line(home);
    std::atomic<std::uint64_t> wrong{0};
    together(4, [&](std::size_t index) {
        for (std::uint64_t round = 0; round < rounds; ++round) {
            line.push(std::uint64_t{index});
            wrong += line.try_pop().has_value() ? 0U : 1U;
        }
    });
    EXPECT_EQ(wrong, 0U);
    EXPECT_TRUE(line.was_empty());
}

} // namespace
} // namespace epoque::test
