// SPDX-License-Identifier: BSL-1.0
/// @file
/// How long a pop waits for a producer that has its place in the queue, but has not filled it (pitfall 6): long enough for one
/// that is only in the middle of its push, not for one that sleeps. Counted in pauses, not in time.
#include "epoque/mpsc_queue.hpp"
#include "epoque/queue.hpp"
#include "support.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <future>
#include <string>
#include <type_traits>
#include <utility>

namespace epoque::test {
namespace {

/// As small_env, and counts the pauses of a thread.
struct counting_env : small_env {
    inline static thread_local std::uint64_t pauses = 0;
    inline static thread_local std::function<void()> at_each_pause;

    static void pause() {
        ++pauses;
        if (at_each_pause) {
            at_each_pause();
        }
        std_env::pause();
    }
};

/// An element whose next move in this thread stops at a gate.
class slow {
  public:
    explicit slow(std::uint64_t number) noexcept : number_(number) {}
    slow(slow&& other) noexcept : number_(other.number_) {
        if (gate* const stop = std::exchange(at, nullptr); stop != nullptr) {
            stop->pass();
        }
    }
    slow& operator=(slow&&) = delete;
    ~slow() = default;
    std::uint64_t number() const noexcept { return number_; }

    inline static thread_local gate* at = nullptr;

  private:
    std::uint64_t number_;
};

/// A producer in the middle of its push, and the consumer: this thread.
template <class Queue>
class patience : public testing::Test {
  protected:
    patience() {
        push_ = producer_.start([this] {
            slow::at = &stop_;
            ASSERT_TRUE(line_.emplace(7U));
        });
        stop_.wait_until_reached();
        counting_env::pauses = 0;
    }
    ~patience() override {
        counting_env::at_each_pause = nullptr;
        let_it_finish();
    }
    void let_it_finish() {
        stop_.open();
        if (push_.valid()) {
            push_.get();
        }
    }

    basic_domain<counting_env> home_;
    Queue line_{home_};
    gate stop_;
    std::future<void> push_;
    actor producer_;
};
using queues = testing::Types<queue<slow, counting_env>, mpsc_queue<slow, counting_env>>;
struct names {
    template <class Queue>
    static std::string GetName(int) {
        return std::is_same_v<Queue, queue<slow, counting_env>> ? "queue" : "mpsc_queue";
    }
};
TYPED_TEST_SUITE(patience, queues, names);

// Kills a patience of 0, which gives up the cell of each producer that is a little late.
TYPED_TEST(patience, a_producer_that_is_a_few_pauses_late_keeps_its_cell) {
    constexpr std::uint64_t late = 16;
    counting_env::at_each_pause = [this] {
        if (counting_env::pauses == late) {
            this->let_it_finish();
        }
    };
    const auto popped = this->line_.try_pop();
    ASSERT_TRUE(popped) << "its cell was given up after " << counting_env::pauses << " pauses";
    EXPECT_EQ(popped->number(), 7U);
    EXPECT_EQ(counting_env::pauses, late) << "and taken as soon as it was filled";
    EXPECT_EQ(this->line_.try_pop().error(), conqueue_status::empty);
    EXPECT_EQ(this->line_.was_size(), 0U);
}

// Kills a patience of 1,000: a convoy of pops behind a producer that sleeps.
TYPED_TEST(patience, a_producer_that_sleeps_is_waited_for_shortly_and_once) {
    EXPECT_EQ(this->line_.try_pop().error(), conqueue_status::empty);
    EXPECT_GT(counting_env::pauses, 0U);
    EXPECT_LE(counting_env::pauses, 100U);
    counting_env::pauses = 0;
    EXPECT_EQ(this->line_.try_pop().error(), conqueue_status::empty);
    EXPECT_EQ(counting_env::pauses, 0U) << "its cell is given up for good";
    this->let_it_finish();
    EXPECT_EQ(this->line_.try_pop()->number(), 7U) << "in another cell";
}

} // namespace
} // namespace epoque::test
