// SPDX-License-Identifier: BSL-1.0
/// @file
/// Lock-freedom on real threads: one of three is stopped at a random instruction, and stays there until the others have
/// completed all of their operations. (freeze_test stops it at each atomic operation in turn, one thread at a time.)
///
/// The stop is a signal whose handler sleeps. An operation that waits for the stopped thread is a test that never ends. (A thread
/// that is inside the heap goes on until it has left: its locks are not ours to judge.)
///
/// EPOQUE_FROZEN_OPERATIONS: how many operations the others complete meanwhile, together (default 1,000,000).
/// EPOQUE_FROZEN_STOPS: how often the thread is stopped (default 20).
#include "harness/scale.hpp"

#include "epoque/bounded_queue.hpp"
#include "epoque/channel.hpp"
#include "epoque/deque.hpp"
#include "epoque/domain.hpp"
#include "epoque/mpsc_queue.hpp"
#include "epoque/object_table.hpp"
#include "epoque/queue.hpp"
#include "epoque/snapshot.hpp"
#include "epoque/spsc_queue.hpp"
#include "epoque/stack.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include <csignal>
#include <ctime>
#include <pthread.h>
#include <sched.h>

namespace epoque::stress {
namespace {

/// The heap, whose locks are not ours to judge: who is in here is not stopped.
class heap final : public std::pmr::memory_resource {
  public:
    static bool has_caller() noexcept { return inside_ != 0; }

  private:
    void* do_allocate(std::size_t size, std::size_t align) override {
        const visit now;
        return std::pmr::new_delete_resource()->allocate(size, align);
    }
    void do_deallocate(void* block, std::size_t size, std::size_t align) override {
        const visit now;
        std::pmr::new_delete_resource()->deallocate(block, size, align);
    }
    bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

    struct visit {
        visit() noexcept { inside_ = 1; }
        visit(const visit&) = delete;
        visit& operator=(const visit&) = delete;
        ~visit() { inside_ = 0; }
    };
    inline static thread_local volatile std::sig_atomic_t inside_ = 0;
};

/// Stops a thread wherever it is. One at a time.
class stopper {
  public:
    stopper() {
        struct sigaction action{};
        action.sa_handler = &stopper::hold;
        ::sigaction(SIGUSR1, &action, nullptr);
    }
    void stop(pthread_t thread) {
        go_on_.store(false, std::memory_order_relaxed);
        do {
            answer_.store(none, std::memory_order_relaxed);
            ::pthread_kill(thread, SIGUSR1);
            while (answer_.load(std::memory_order_acquire) == none) {
                ::sched_yield();
            }
        } while (answer_.load(std::memory_order_relaxed) == not_now);
    }
    void let_go() {
        go_on_.store(true, std::memory_order_release);
        while (answer_.load(std::memory_order_acquire) != none) {
            ::sched_yield();
        }
    }

  private:
    enum answer : int { none, stopped, not_now };

    static void hold(int) {
        const int kept = errno;
        if (heap::has_caller()) {
            answer_.store(not_now, std::memory_order_release);
        } else {
            answer_.store(stopped, std::memory_order_release);
            while (!go_on_.load(std::memory_order_acquire)) {
                const timespec nap{0, 100'000};
                ::nanosleep(&nap, nullptr);
            }
            answer_.store(none, std::memory_order_release);
        }
        errno = kept;
    }
    inline static std::atomic<answer> answer_{none};
    inline static std::atomic<bool> go_on_{false};
};

/// `Work` has `operate(thread, number)`: thread 0 is the one that is stopped. Afterwards `Work::is_even()`.
template <class Work>
void stop_at_random(std::uint64_t most_garbage = UINT64_MAX) {
    const std::uint64_t operations = many_in_turn(wished("EPOQUE_FROZEN_OPERATIONS", 1'000'000));
    const std::uint64_t stops = wished("EPOQUE_FROZEN_STOPS", 20);
    heap memory;
    std::uint64_t garbage = 0;
    {
        domain home(domain_options{.memory = &memory});
        Work work(home);
        std::atomic<bool> ended{false};
        std::atomic<std::uint64_t> completed{0};
        std::atomic<unsigned> warm{0}; // a thread's first operation takes the registry's mutex
        const auto body = [&](unsigned thread) {
            for (std::uint64_t number = 0; !ended.load(std::memory_order_relaxed); ++number) {
                work.operate(thread, number);
                if (number == 1'000) {
                    warm.fetch_add(1, std::memory_order_relaxed);
                }
                if (thread != 0) {
                    completed.fetch_add(1, std::memory_order_relaxed);
                }
            }
        };
        std::jthread victim(body, 0U);
        std::vector<std::jthread> others;
        for (unsigned thread = 1; thread < Work::threads; ++thread) {
            others.emplace_back(body, thread);
        }
        while (warm.load(std::memory_order_relaxed) != Work::threads) {
            ::sched_yield();
        }
        stopper signals;
        std::minstd_rand random(1);
        for (std::uint64_t stop = 0; stop < stops; ++stop) {
            const timespec nap{0, static_cast<long>(random() % 300'000)};
            ::nanosleep(&nap, nullptr);
            signals.stop(victim.native_handle());
            const std::uint64_t goal = completed.load(std::memory_order_relaxed) + operations;
            while (completed.load(std::memory_order_relaxed) < goal) {
                ::sched_yield();
                garbage = std::max(garbage, home.stats().pending_bytes);
            }
            signals.let_go();
        }
        ended.store(true, std::memory_order_relaxed);
        victim.join();
        others.clear();
        EXPECT_TRUE(work.is_even()) << "something was lost or doubled";
    }
    testing::Test::RecordProperty("most_garbage", std::to_string(garbage));
    EXPECT_LE(garbage, most_garbage);
}

/// What each thread pushed and popped.
struct balance_sheet {
    struct alignas(interference_size) line {
        std::uint64_t pushed = 0;
        std::uint64_t popped = 0;
    };
    line lines[3];

    void pushes(unsigned thread, std::uint64_t value) { lines[thread].pushed += value; }
    void pops(unsigned thread, std::uint64_t value) { lines[thread].popped += value; }
    template <class Container>
    bool is_even_after_all_of(Container& from) {
        std::uint64_t pushed = 0;
        std::uint64_t popped = 0;
        for (const line& each : lines) {
            pushed += each.pushed;
            popped += each.popped;
        }
        while (auto rest = from.try_pop()) {
            popped += *rest;
        }
        return pushed == popped;
    }
};

/// Everybody pushes and pops; or, with one consumer, that one pops.
template <class Container, unsigned Threads = 3, unsigned OnlyConsumer = 99, unsigned OnlyProducer = 99>
class pushing_and_popping {
  public:
    static constexpr unsigned threads = Threads;
    template <class... Arguments>
    explicit pushing_and_popping(Arguments&&... arguments) : shared_(std::forward<Arguments>(arguments)...) {}

    void operate(unsigned thread, std::uint64_t number) {
        const bool may_push = OnlyProducer == 99 || thread == OnlyProducer;
        const bool may_pop = OnlyConsumer == 99 || thread == OnlyConsumer;
        if (may_push && (!may_pop || number % 2 == 0)) {
            if (shared_.try_push(number + 1) == conqueue_status::success) {
                sheet_.pushes(thread, number + 1);
            }
        } else if (auto got = shared_.try_pop()) {
            sheet_.pops(thread, *got);
        }
    }
    bool is_even() { return sheet_.is_even_after_all_of(shared_); }

  private:
    Container shared_;
    balance_sheet sheet_;
};

using word = std::uint64_t;

/// docs/robustness.md: for each of three threads 256 KiB and a segment or node; and what a pass found to be a hazard.
constexpr std::uint64_t bound = 3 * ((std::uint64_t{256} << 10) + (std::uint64_t{64} << 10));

TEST(frozen_threads, of_a_queue) {
    stop_at_random<pushing_and_popping<queue<word>>>(bound);
}
TEST(frozen_threads, of_an_mpsc_queue_its_producer) {
    stop_at_random<pushing_and_popping<mpsc_queue<word>, 3, 1>>(bound);
}
TEST(frozen_threads, of_an_mpsc_queue_its_consumer) {
    stop_at_random<pushing_and_popping<mpsc_queue<word>, 3, 0>>(bound);
}
TEST(frozen_threads, of_a_stack) {
    stop_at_random<pushing_and_popping<stack<word>>>(bound);
}
TEST(frozen_threads, of_a_channel_where_nobody_waits) {
    stop_at_random<pushing_and_popping<channel<word>>>(bound);
}

struct bounded : bounded_queue<word> {
    explicit bounded(domain& home) : bounded_queue<word>(64, home) {}
};
TEST(frozen_threads, of_a_bounded_queue) {
    stop_at_random<pushing_and_popping<bounded>>();
}

struct pair_of_threads : spsc_queue<word> {
    explicit pair_of_threads(domain&) : spsc_queue<word>(64) {}
};
TEST(frozen_threads, of_an_spsc_queue_its_producer) {
    stop_at_random<pushing_and_popping<pair_of_threads, 2, 1, 0>>();
}
TEST(frozen_threads, of_an_spsc_queue_its_consumer) {
    stop_at_random<pushing_and_popping<pair_of_threads, 2, 0, 1>>();
}

template <unsigned Owner>
class owner_and_thieves {
  public:
    static constexpr unsigned threads = 3;
    explicit owner_and_thieves(domain& home) : shared_(home) {}
    void operate(unsigned thread, std::uint64_t number) {
        if (thread != Owner) {
            if (auto got = shared_.try_steal()) {
                sheet_.pops(thread, *got);
            }
        } else if (number % 8 < 5 && shared_.was_size() < 1'000) {
            shared_.push(number);
            sheet_.pushes(thread, number);
        } else if (auto got = shared_.try_pop()) {
            sheet_.pops(thread, *got);
        }
    }
    bool is_even() { return sheet_.is_even_after_all_of(shared_); }

  private:
    work_stealing_deque<word> shared_;
    balance_sheet sheet_;
};
TEST(frozen_threads, of_a_deque_its_owner) {
    stop_at_random<owner_and_thieves<0>>(bound);
}
TEST(frozen_threads, of_a_deque_a_thief) {
    stop_at_random<owner_and_thieves<1>>(bound);
}

class readers_and_writers {
  public:
    static constexpr unsigned threads = 3;
    explicit readers_and_writers(domain& home) : shared_(home, 0U) {}
    void operate(unsigned thread, std::uint64_t number) {
        if ((number + thread) % 4 == 0) {
            shared_.update([](std::uint64_t& value) { ++value; });
            updates_.fetch_add(1, std::memory_order_relaxed);
        } else {
            const auto now = shared_.load();
            wrong_.fetch_add(now.version() == *now + 1 ? 0U : 1U, std::memory_order_relaxed);
        }
    }
    bool is_even() { return wrong_ == 0 && *shared_.load() == updates_; }

  private:
    snapshot<word> shared_;
    std::atomic<std::uint64_t> updates_{0};
    std::atomic<std::uint64_t> wrong_{0};
};
/// docs/memory-model.md#garbage, for objects of up to 64 bytes: 512 of them between two attempts, three threads.
constexpr std::uint64_t bound_of_epochs = (5 * 3 * (512 + 1) + 7 * (512 + 1) + 2 * 3) * std::uint64_t{64};

TEST(frozen_threads, of_a_snapshot) {
    stop_at_random<readers_and_writers>(bound_of_epochs);
}

/// Handles are found by all, while thread 1 ends them and makes new ones. (Objects come from the heap, which has locks: the one who
/// is stopped does not allocate.)
class finders {
  public:
    static constexpr unsigned threads = 3;
    struct object {
        std::uint64_t number = 0;
    };
    explicit finders(domain& home) : home_(home), table_(home) {
        for (auto& handle : handles_) {
            handle.store(make(0));
        }
    }
    ~finders() { // NOLINT(bugprone-exception-escape): a barrier that fails ends the test
        for (auto& handle : handles_) {
            end(handle.load());
        }
        home_.barrier();
    }
    void operate(unsigned thread, std::uint64_t number) {
        auto& place = handles_[number % std::size(handles_)];
        if (thread == 1 && number % 16 == 0) {
            end(place.exchange(make(number), std::memory_order_acq_rel));
            return;
        }
        object_table<object>::keep held(home_);
        object* found = nullptr;
        const auto status = table_.find(held, place.load(std::memory_order_acquire), 1, found);
        if (status == find_status::found && found->number % 16 != 0) {
            wrong_.fetch_add(1, std::memory_order_relaxed);
        }
    }
    bool is_even() const { return wrong_ == 0; }

  private:
    std::uint64_t make(std::uint64_t number) {
        auto fresh = std::make_unique<object>(object{number});
        return table_.create(1, fresh);
    }
    void end(std::uint64_t handle) {
        object_table<object>::keep held(home_);
        object* gone = nullptr;
        static_cast<void>(table_.destroy(held, handle, 1, gone));
    }
    domain& home_;
    object_table<object> table_;
    std::atomic<std::uint64_t> handles_[8]{};
    std::atomic<std::uint64_t> wrong_{0};
};
TEST(frozen_threads, of_an_object_table) {
    stop_at_random<finders>(bound_of_epochs);
}

/// The check itself: a lock is noticed. (The others give up after a while, instead of never ending.)
class behind_a_lock {
  public:
    static constexpr unsigned threads = 3;
    explicit behind_a_lock(domain&) {}
    void operate(unsigned thread, std::uint64_t) {
        std::uint64_t tries = 0;
        while (lock_.test_and_set(std::memory_order_acquire)) {
            if (thread != 0 && ++tries == 20'000'000) {
                gave_up_ = true;
            }
            if (gave_up_) {
                return;
            }
        }
        for (int i = 0; i < 1'000; ++i) {
            inside_ = inside_ + 1;
        }
        lock_.clear(std::memory_order_release);
    }
    bool is_even() const { return true; }
    inline static std::atomic<bool> gave_up_{false};

  private:
    std::atomic_flag lock_;
    volatile std::uint64_t inside_ = 0;
};
TEST(frozen_threads, of_a_lock_are_noticed) {
    behind_a_lock::gave_up_ = false;
    stop_at_random<behind_a_lock>();
    EXPECT_TRUE(behind_a_lock::gave_up_) << "nobody noticed that the stopped thread held the lock";
}

} // namespace
} // namespace epoque::stress
