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

TEST(mpsc_queue, the_consumer_holds_no_guard_between_segments) {
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
    EXPECT_EQ(home.stats().threads, 1U) << "it has a record, so it was pinned";
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
