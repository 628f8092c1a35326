// SPDX-License-Identifier: BSL-1.0
/// @file
/// Tests of mpsc_queue.hpp beyond what it shares with queue (queue_test.cpp) and with other structures (conformance.hpp).
#include "epoque/mpsc_queue.hpp"
#include "support.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace epoque::test {
namespace {

// ---- sequential --------------------------------------------------------------------------------------------------------

TEST(mpsc_queue, agrees_with_a_deque_on_random_programs) {
    rc::check([](const std::vector<std::uint8_t>& steps) {
        basic_domain<small_env> home;
        mpsc_queue<std::unique_ptr<std::uint64_t>, small_env> line(home);
        std::deque<std::uint64_t> model;
        std::uint64_t next = 0;
        for (const std::uint8_t step : steps) {
            if (step % 3 == 0) {
                RC_ASSERT(line.push(std::make_unique<std::uint64_t>(next)));
                model.push_back(next++);
            } else if (step % 3 == 1) {
                const auto got = line.try_pop();
                RC_ASSERT(got.has_value() == !model.empty());
                if (!model.empty()) {
                    RC_ASSERT(**got == model.front());
                    model.pop_front();
                }
            } else {
                std::vector<std::unique_ptr<std::uint64_t>> got;
                const std::size_t taken = line.try_pop_n(std::back_inserter(got), step / 16);
                RC_ASSERT(taken == got.size());
                RC_ASSERT(taken != 0 || model.empty() || step / 16 == 0);
                for (const auto& each : got) {
                    RC_ASSERT(*each == model.front());
                    model.pop_front();
                }
            }
            RC_ASSERT(line.was_size() == model.size());
            RC_ASSERT(line.was_empty() == model.empty());
        }
    });
}

TEST(mpsc_queue, a_batch_ends_with_its_segment_and_the_next_one_goes_on) {
    basic_domain<small_env> home;
    mpsc_queue<std::uint64_t, small_env> line(home);
    for (std::uint64_t i = 0; i < 10; ++i) {
        line.push(i);
    }
    std::vector<std::uint64_t> got(10);
    std::size_t count = line.try_pop_n(got.data(), 10);
    EXPECT_EQ(count, small_env::segment_slots);
    for (std::size_t more = count; more != 0; count += more) {
        more = line.try_pop_n(got.data() + count, 10);
    }
    EXPECT_EQ(got, (std::vector<std::uint64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST(mpsc_queue, close_at_the_end_of_a_segment_is_closed_and_not_empty) {
    for (std::uint64_t elements = 0; elements <= 2 * small_env::segment_slots; ++elements) {
        basic_domain<small_env> home;
        mpsc_queue<std::uint64_t, small_env> line(home);
        for (std::uint64_t i = 0; i < elements; ++i) {
            line.push(i);
        }
        line.close();
        EXPECT_FALSE(line.push(99));
        for (std::uint64_t i = 0; i < elements; ++i) {
            EXPECT_EQ(line.try_pop().value(), i);
        }
        EXPECT_EQ(line.try_pop().error(), conqueue_status::closed);
    }
}

TEST(mpsc_queue, drained_segments_are_reclaimed) {
    basic_domain<small_env> home;
    mpsc_queue<std::uint64_t, small_env> line(home);
    for (std::uint64_t i = 0; i < many(20'000); ++i) {
        line.push(i);
        ASSERT_EQ(line.try_pop().value(), i);
    }
    home.barrier();
    EXPECT_GT(home.stats().freed_objects, many(20'000) / small_env::segment_slots - 10);
    EXPECT_EQ(home.stats().pending_objects, 0U);
}

TEST(mpsc_queue, the_consumer_needs_no_record_between_segments) {
    domain home;
    mpsc_queue<std::uint64_t> line(home);
    for (std::uint64_t i = 0; i < 500; ++i) {
        line.push(i);
    }
    actor consumer;
    consumer([&] {
        for (std::uint64_t i = 0; i < 500; ++i) {
            ASSERT_EQ(line.try_pop().value(), i);
        }
        EXPECT_EQ(line.try_pop().error(), conqueue_status::empty);
    });
    EXPECT_EQ(home.stats().threads, 1U) << "it has a record";
}

/// Pops the next one while it is moved out: the queue's own code is on the stack then.
class reentrant {
  public:
    explicit reentrant(std::uint64_t number) : number_(number) {}
    reentrant(reentrant&& other) noexcept : number_(other.number_) {
        if (auto* const pop = std::exchange(when_moved, nullptr)) {
            pop();
        }
    }
    reentrant& operator=(reentrant&&) = delete;
    ~reentrant() = default;
    std::uint64_t number() const { return number_; }

    inline static void (*when_moved)() = nullptr;

  private:
    std::uint64_t number_;
};

TEST(mpsc_queue, an_element_that_pops_while_it_is_moved_out_gets_the_next_one) {
    static std::optional<mpsc_queue<reentrant>> line;
    static std::vector<std::uint64_t> got;
    domain home;
    line.emplace(home);
    for (std::uint64_t i = 0; i < 6; ++i) {
        line->emplace(i);
    }
    static const auto pop = [] {
        auto next = line->try_pop();
        ASSERT_TRUE(next);
        got.push_back(next->number());
    };
    while (!line->was_empty()) {
        reentrant::when_moved = [] { pop(); };
        pop();
    }
    std::sort(got.begin(), got.end());
    EXPECT_EQ(got, (std::vector<std::uint64_t>{0, 1, 2, 3, 4, 5})) << "none twice, none lost";
    line.reset();
}

/// An element whose next move in this thread stops at a gate.
class asleep_when_moved {
  public:
    explicit asleep_when_moved(std::uint64_t number) : number_(number) {}
    asleep_when_moved(asleep_when_moved&& other) noexcept : number_(other.number_) {
        if (gate* const stop = std::exchange(at, nullptr); stop != nullptr) {
            stop->pass();
        }
    }
    asleep_when_moved& operator=(asleep_when_moved&&) = delete;
    ~asleep_when_moved() = default;
    std::uint64_t number() const { return number_; }

    inline static thread_local gate* at = nullptr;

  private:
    std::uint64_t number_;
};

/// As `reentrant`, but what it is moved from must still be there after it has popped.
class lingering {
  public:
    explicit lingering(std::uint64_t number) : number_(number) {}
    lingering(lingering&& other) noexcept : number_(0) {
        if (auto* const work = std::exchange(when_moved, nullptr)) {
            work();
        }
        number_ = other.number_;
    }
    lingering& operator=(lingering&&) = delete;
    ~lingering() = default;
    std::uint64_t number() const { return number_; }

    inline static void (*when_moved)() = nullptr;

  private:
    std::uint64_t number_;
};

TEST(mpsc_queue, an_element_that_is_moved_out_stays_where_it_is_while_its_own_code_leaves_the_segment) {
    static std::optional<mpsc_queue<lingering, small_env>> line;
    basic_domain<small_env> home;
    line.emplace(home);
    for (std::uint64_t number = 0; number < 10; ++number) {
        line->emplace(number);
        lingering::when_moved = [] {
            for (std::uint64_t i = 1000; i < 2000; ++i) { // the memory of segments comes back many times
                line->emplace(i);
                ASSERT_EQ(line->try_pop()->number(), i);
            }
        };
        const auto popped = line->try_pop();
        ASSERT_TRUE(popped);
        ASSERT_EQ(popped->number(), number);
    }
    EXPECT_LE(home.stats().pending_objects, std::uint64_t{small_env::advance_objects} + 1);
    line.reset();
}

TEST(mpsc_queue, a_producer_that_sleeps_keeps_one_segment) {
    basic_domain<small_env> home;
    mpsc_queue<asleep_when_moved, small_env> line(home);
    gate stop;
    actor sleeper;
    auto asleep = sleeper.start([&] {
        asleep_when_moved::at = &stop;
        ASSERT_TRUE(line.emplace(7U));
    });
    stop.wait_until_reached();
    for (std::uint64_t number = 0; number < 4000; ++number) {
        ASSERT_TRUE(line.emplace(number));
        ASSERT_EQ(line.try_pop()->number(), number);
    }
    EXPECT_LE(home.stats().pending_objects, std::uint64_t{small_env::advance_objects} + 2);
    stop.open();
    asleep.get();
    EXPECT_EQ(line.try_pop()->number(), 7U);
}

TEST(mpsc_queue, elements_left_in_it_are_destroyed_once) {
    const std::uint64_t live = counted::live();
    {
        domain home;
        mpsc_queue<counted> line(home);
        for (std::uint64_t i = 0; i < 3000; ++i) {
            line.emplace(i);
        }
        for (std::uint64_t i = 0; i < 1500; ++i) {
            ASSERT_TRUE(line.try_pop());
        }
        EXPECT_EQ(counted::live(), live + 1500);
    }
    EXPECT_EQ(counted::live(), live);
}

// ---- threads -------------------------------------------------------------------------------------------------------------

template <class Env>
void one_takes_what_all_send() {
    constexpr std::size_t producers = 3;
    const std::uint64_t each = many(20'000);
    basic_domain<Env> home;
    mpsc_queue<std::uint64_t, Env> line(home);
    std::atomic<std::size_t> sending{producers};
    std::vector<std::uint64_t> last(producers, 0);
    std::uint64_t received = 0;
    together(producers + 1, [&](std::size_t thread) {
        if (thread < producers) {
            for (std::uint64_t i = 1; i <= each; ++i) {
                line.push(thread << 32 | i);
            }
            if (--sending == 0) {
                line.close();
            }
            return;
        }
        for (unsigned round = 0;; ++round) {
            const auto got = line.try_pop();
            if (got) {
                std::uint64_t& before = last[*got >> 32];
                EXPECT_EQ(*got & 0xffffffff, before + 1) << "a producer's elements come in order, none is missing";
                before = *got & 0xffffffff;
                ++received;
                round = 0;
            } else if (got.error() == conqueue_status::closed) {
                break;
            } else {
                Env::relax(round);
            }
        }
    });
    EXPECT_EQ(received, producers * each);
}

TEST(mpsc_queue, one_takes_what_all_send) {
    one_takes_what_all_send<std_env>();
}
TEST(mpsc_queue, one_takes_what_all_send_over_small_segments) {
    one_takes_what_all_send<small_env>();
}

TEST(mpsc_queue, the_consumers_role_goes_from_thread_to_thread) {
    constexpr std::size_t threads = 3;
    const std::uint64_t all = many(9'000);
    basic_domain<small_env> home;
    mpsc_queue<std::uint64_t, small_env> line(home);
    std::atomic<std::size_t> turn{0};
    std::atomic<std::uint64_t> next{0};
    together(threads + 1, [&](std::size_t thread) {
        if (thread == threads) {
            for (std::uint64_t i = 0; i < all; ++i) {
                line.push(i);
            }
            return;
        }
        for (unsigned round = 0; next.load() != all; ++round) {
            if (turn.load() % threads != thread) {
                small_env::relax(round);
                continue;
            }
            for (int i = 0; i < 7; ++i) {
                if (const auto got = line.try_pop()) {
                    EXPECT_EQ(*got, next.load());
                    ++next;
                }
            }
            ++turn;
        }
    });
}

} // namespace
} // namespace epoque::test
