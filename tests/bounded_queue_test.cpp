// SPDX-License-Identifier: BSL-1.0
/// @file
/// Tests of bounded_queue.hpp beyond the contracts that it shares with other structures (conformance.hpp,
/// bounded_conformance.hpp).
#include "epoque/bounded_queue.hpp"

#include "bounded_conformance.hpp"
#include "support.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <future>
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
    using queue = bounded_queue<T, small_env>;
    template <class T>
    static queue<T> make(std::size_t capacity, basic_domain<small_env>& home) {
        return queue<T>(capacity, home);
    }
};
INSTANTIATE_TYPED_TEST_SUITE_P(bounded_queue, bounded_conformance, maker);

// ---- sequential --------------------------------------------------------------------------------------------------------

TEST(bounded_queue, queues_of_the_default_domain_need_no_other) {
    bounded_queue<move_only> line(2);
    ASSERT_EQ(line.try_push(make<move_only>(5)), conqueue_status::success);
    EXPECT_EQ(**line.try_pop(), 5U);
}

TEST(bounded_queue, polling_an_empty_or_a_full_queue_uses_nothing_up) {
    basic_domain<small_env> home;
    bounded_queue<std::uint64_t, small_env> line(3, home);
    for (std::uint64_t round = 0; round < 100; ++round) {
        for (int i = 0; i < 100; ++i) {
            ASSERT_EQ(line.try_pop().error(), conqueue_status::empty);
        }
        for (const std::uint64_t number : numbers(0, 3)) {
            ASSERT_EQ(line.try_push(number), conqueue_status::success);
        }
        for (int i = 0; i < 100; ++i) {
            ASSERT_EQ(line.try_push(std::uint64_t{9}), conqueue_status::full);
        }
        ASSERT_EQ(drain(line), numbers(0, 3));
    }
}

TEST(bounded_queue, an_element_may_use_another_queue_while_it_moves) {
    struct nosy {
        nosy(std::uint64_t n, bounded_queue<std::uint64_t>* into) noexcept : number(n), log(into) {}
        nosy(nosy&& other) noexcept : number(other.number), log(other.log) {
            EXPECT_EQ(log->try_push(std::uint64_t{number}), conqueue_status::success);
        }
        std::uint64_t number;
        bounded_queue<std::uint64_t>* log;
    };
    bounded_queue<std::uint64_t> log(10);
    bounded_queue<nosy> line(2);
    ASSERT_EQ(line.try_push(nosy(7, &log)), conqueue_status::success);
    ASSERT_EQ(line.try_pop()->number, 7U);
    EXPECT_GE(log.was_size(), 2U);
}

/// Pushes into the queue that it is in while it moves.
struct intruder {
    intruder(std::uint64_t n, void* line) noexcept : number(n), into(line) {}
    intruder(intruder&& other) noexcept : number(other.number), into(nullptr) {
        if (void* const line = std::exchange(other.into, nullptr); line != nullptr) {
            push(line);
        }
    }
    static void push(void* line) noexcept;
    std::uint64_t number;
    void* into;
};
void intruder::push(void* line) noexcept {
    static_cast<bounded_queue<intruder>*>(line)->try_push(intruder(8, nullptr));
}

TEST(bounded_queue_death_test, an_element_that_uses_the_queue_it_is_in_is_a_misuse) {
    bounded_queue<intruder> line(3);
    EXPECT_DEATH(line.try_push(intruder(7, &line)), "move constructor.*Use another one");
}

// ---- memory ------------------------------------------------------------------------------------------------------------

TEST(bounded_queue, more_threads_than_spare_cells_get_more_of_them) {
    basic_domain<small_env> home; // two lockers a shelf
    bounded_queue<counted, small_env> line(3, home);
    std::vector<std::unique_ptr<actor>> threads;
    for (std::uint64_t number = 0; number < 9; ++number) {
        threads.push_back(std::make_unique<actor>());
    }
    for (int round = 0; round < 5; ++round) {
        for (std::uint64_t number = 0; number < 9; ++number) {
            (*threads[number])([&] { ASSERT_EQ(line.try_emplace(number), conqueue_status::success); });
            (*threads[8 - number])([&] { ASSERT_EQ(line.try_pop()->number(), number); });
        }
    }
    const std::uint64_t bytes = small_env::live_bytes();
    for (std::uint64_t number = 0; number < 9; ++number) { // their records, and their cells, serve others afterwards
        threads[number].reset();
        threads[number] = std::make_unique<actor>();
        (*threads[number])([&] { ASSERT_EQ(line.try_emplace(number), conqueue_status::success); });
        (*threads[number])([&] { ASSERT_EQ(line.try_pop()->number(), number); });
    }
    EXPECT_EQ(small_env::live_bytes(), bytes);
}

TEST(bounded_queue, everything_goes_back_to_the_allocator) {
    const std::uint64_t bytes = small_env::live_bytes();
    {
        basic_domain<small_env> home;
        bounded_queue<aligned<128>, small_env> line(5, home);
        for (int i = 0; i < 7; ++i) {
            actor other;
            other([&] { line.try_emplace(3U); });
        }
    }
    EXPECT_EQ(small_env::live_bytes(), bytes);
}

TEST(bounded_queue, it_runs_out_of_memory_at_each_allocation_and_loses_nothing) {
    const std::uint64_t live = counted::live();
    bool failed = true;
    for (std::uint64_t allowed = 0; failed; ++allowed) {
        ASSERT_LT(allowed, 100U);
        failed = false;
        basic_domain<small_env> home;
        std::optional<bounded_queue<counted, small_env>> line;
        try {
            const out_of_memory from_now(allowed);
            line.emplace(3, home);
        } catch (const std::bad_alloc&) {
            failed = true;
            continue;
        }
        std::vector<std::unique_ptr<actor>> threads;
        for (std::uint64_t number = 0; number < 3; ++number) { // the third one needs another shelf
            threads.push_back(std::make_unique<actor>());
            (*threads.back())([&] {
                counted element(number);
                bool refused = false;
                try {
                    const out_of_memory from_now(allowed);
                    ASSERT_EQ(line->try_push(std::move(element)), conqueue_status::success);
                } catch (const std::bad_alloc&) {
                    refused = true;
                }
                if (refused) {
                    failed = true;
                    ASSERT_EQ(element.number(), number); // NOLINT(bugprone-use-after-move): refused
                    ASSERT_EQ(line->try_push(std::move(element)), conqueue_status::success);
                }
            });
        }
        EXPECT_EQ(drain(*line), numbers(0, 3));
    }
    EXPECT_EQ(counted::live(), live);
}

// ---- two threads: an operation that sleeps at the worst moment ---------------------------------------------------------------

/// An element that stops at a gate while it is moved, once.
class slow {
  public:
    explicit slow(std::uint64_t number, gate* stop = nullptr) noexcept : element_(number), stop_(stop) {}
    slow(slow&& other) noexcept
        : element_(std::move(other.element_)), stop_(std::exchange(other.stop_later_, nullptr)) {
        if (gate* const stop = std::exchange(other.stop_, nullptr); stop != nullptr) {
            stop->pass();
        }
    }
    slow& operator=(slow&&) = delete;
    std::uint64_t number() const noexcept { return element_.number(); }
    void stop_at_second_move(gate* stop) noexcept { stop_later_ = stop; }

  private:
    counted element_;
    gate* stop_;
    gate* stop_later_ = nullptr;
};

TEST(bounded_queue, a_push_that_sleeps_takes_no_place_yet) {
    bounded_queue<slow> line(2);
    actor producer;
    gate stop;
    auto push = producer.start([&] {
        slow element(1, &stop);
        EXPECT_EQ(line.try_push(std::move(element)), conqueue_status::full);
        EXPECT_EQ(element.number(), 1U); // NOLINT(bugprone-use-after-move): refused, so its owner's again
    });
    stop.wait_until_reached();
    for (std::uint64_t round = 0; round < 100; ++round) { // the whole capacity is there for others, exactly
        ASSERT_EQ(line.try_emplace(2U), conqueue_status::success);
        ASSERT_EQ(line.try_emplace(3U), conqueue_status::success);
        ASSERT_EQ(line.try_emplace(4U), conqueue_status::full);
        ASSERT_EQ(drain(line), (std::vector<std::uint64_t>{2, 3}));
        ASSERT_EQ(line.try_pop().error(), conqueue_status::empty);
    }
    ASSERT_EQ(line.try_emplace(2U), conqueue_status::success);
    ASSERT_EQ(line.try_emplace(3U), conqueue_status::success);
    stop.open();
    push.get();
    EXPECT_EQ(drain(line), (std::vector<std::uint64_t>{2, 3}));
}

TEST(bounded_queue, a_pop_that_sleeps_with_its_element_has_left_its_place) {
    bounded_queue<slow> line(2);
    actor consumer;
    gate stop;
    slow first(1);
    first.stop_at_second_move(&stop);
    ASSERT_EQ(line.try_push(std::move(first)), conqueue_status::success);
    auto pop = consumer.start([&] { EXPECT_EQ(line.try_pop()->number(), 1U); });
    stop.wait_until_reached();
    for (std::uint64_t round = 0; round < 100; ++round) {
        ASSERT_EQ(line.try_pop().error(), conqueue_status::empty);
        ASSERT_EQ(line.try_emplace(2U), conqueue_status::success);
        ASSERT_EQ(line.try_emplace(3U), conqueue_status::success);
        ASSERT_EQ(line.try_emplace(4U), conqueue_status::full);
        ASSERT_EQ(drain(line), (std::vector<std::uint64_t>{2, 3}));
    }
    stop.open();
    pop.get();
}

TEST(bounded_queue, a_push_that_finds_the_queue_closed_has_its_element_back) {
    const std::uint64_t live = counted::live();
    {
        bounded_queue<slow> line(2);
        actor producer;
        gate stop;
        auto push = producer.start([&] {
            slow element(1, &stop);
            EXPECT_EQ(line.try_push(std::move(element)), conqueue_status::closed);
            EXPECT_EQ(element.number(), 1U); // NOLINT(bugprone-use-after-move): refused, so its owner's again
        });
        stop.wait_until_reached();
        line.close();
        EXPECT_EQ(line.try_pop().error(), conqueue_status::closed);
        stop.open();
        push.get();
        EXPECT_EQ(line.try_pop().error(), conqueue_status::closed);
    }
    EXPECT_EQ(counted::live(), live);
}

TEST(bounded_queue, a_range_that_is_overtaken_keeps_its_order) {
    bounded_queue<slow> line(8);
    actor producer;
    gate stop;
    auto push = producer.start([&] {
        std::vector<slow> elements;
        elements.reserve(6);
        for (const std::uint64_t number : numbers(0, 6)) {
            elements.emplace_back(number, number == 3 ? &stop : nullptr);
        }
        const auto last = std::make_move_iterator(elements.end());
        EXPECT_EQ(line.push_range(std::make_move_iterator(elements.begin()), last), last);
    });
    stop.wait_until_reached();
    ASSERT_EQ(line.try_emplace(100U), conqueue_status::success);
    stop.open();
    push.get();
    EXPECT_EQ(drain(line), (std::vector<std::uint64_t>{0, 1, 2, 100, 3, 4, 5}));
}

// ---- many threads ------------------------------------------------------------------------------------------------------

TEST(bounded_queue, elements_of_one_producer_stay_in_order) {
    constexpr std::size_t producers = 2;
    constexpr std::size_t consumers = 2;
    const std::uint64_t each = many(10'000);
    for (const std::size_t capacity : {1U, 3U, 100U}) {
        basic_domain<small_env> home;
        bounded_queue<counted, small_env> line(capacity, home);
        std::atomic<std::size_t> producing{producers};
        std::atomic<std::uint64_t> popped{0};
        together(producers + consumers, [&](std::size_t index) {
            if (index < producers) {
                for (std::uint64_t serial = 0; serial < each; ++serial) {
                    counted element(std::uint64_t{index} << 32 | serial);
                    // NOLINTNEXTLINE(bugprone-use-after-move): not moved from while the queue is full
                    for (unsigned round = 0; line.try_push(std::move(element)) != conqueue_status::success; ++round) {
                        std_env::relax(round);
                    }
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
}

TEST(bounded_queue, never_full_is_never_full_and_never_empty_never_empty) {
    // Four threads hold one element each: with capacity 4 there is always room, and always one for whoever takes.
    const std::uint64_t rounds = many(20'000);
    basic_domain<small_env> home;
    bounded_queue<std::uint64_t, small_env> line(4, home);
    std::atomic<std::uint64_t> wrong{0};
    together(4, [&](std::size_t index) {
        for (std::uint64_t round = 0; round < rounds; ++round) {
            wrong += line.try_push(std::uint64_t{index}) == conqueue_status::success ? 0U : 1U;
            wrong += line.try_pop().has_value() ? 0U : 1U;
        }
    });
    EXPECT_EQ(wrong, 0U);
    EXPECT_TRUE(line.was_empty());
}

} // namespace
} // namespace epoque::test
