// SPDX-License-Identifier: BSL-1.0
/// @file
/// Tests of the domain in a fork's child. (stress/fork_points_test.cpp forks at each point of an operation in turn.)
#include "epoque/bounded_queue.hpp"
#include "epoque/domain.hpp"
#include "epoque/queue.hpp"
#include "epoque/stack.hpp"
#include "support.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

// Weak: null where ThreadSanitizer is not linked. NOLINTNEXTLINE(bugprone-reserved-identifier): its name
extern "C" [[gnu::weak]] void* __tsan_get_current_fiber(void);

namespace epoque::test {
namespace {

/// Whether a forked child may begin threads; ThreadSanitizer ends a child that does.
bool children_may_have_threads() {
    return __tsan_get_current_fiber == nullptr;
}

/// Ends the child when it hangs, and says how it ended: 0 for good.
int ending_of(pid_t child) {
    int status = 0;
    if (::waitpid(child, &status, 0) != child) {
        return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/// Forks. The child does `work`, which returns 0 or the number of what was wrong, and ends without destroying anything.
template <class Work>
int in_child(Work work) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(100);
        ::_exit(work());
    }
    return ending_of(child);
}

/// An object that says how often its deleter has run.
class tracked {
  public:
    void retire_to(domain& home) {
        home.retire(this, [](tracked* self) noexcept { self->freed_.fetch_add(1, std::memory_order_relaxed); });
    }
    int times_freed() const { return freed_.load(std::memory_order_relaxed); }

  private:
    std::atomic<int> freed_{0};
};

bool each_freed_once(const std::vector<tracked>& objects) {
    return std::all_of(objects.begin(), objects.end(), [](const tracked& each) { return each.times_freed() == 1; });
}

/// Everything that a program does with a domain. Returns 0, or the number of what was wrong.
int use_all_of(domain& home) {
    queue<std::uint64_t> line(home);
    stack<std::uint64_t> pile(home);
    for (std::uint64_t i = 0; i < 3000; ++i) { // across segments
        line.push(i);
        pile.push(i);
    }
    for (std::uint64_t i = 0; i < 3000; ++i) {
        if (line.try_pop().value() != i || pile.try_pop().value() != 2999 - i) {
            return 101;
        }
    }
    std::vector<tracked> objects(600);
    for (tracked& each : objects) {
        each.retire_to(home);
    }
    home.synchronize();
    home.barrier();
    if (!each_freed_once(objects)) {
        return 102;
    }
    const domain_stats stats = home.stats();
    return stats.pinned == 0 && stats.threads == 1 && stats.pending_objects == 0 ? 0 : 103;
}

template <class Condition>
void wait_until(Condition condition) {
    for (unsigned round = 0; !condition(); ++round) {
        std_env::relax(round);
    }
}

// ---- sequential --------------------------------------------------------------------------------------------------------

TEST(fork, a_child_goes_on_as_its_parent_does) {
    tracked object;
    domain home;
    object.retire_to(home);
    EXPECT_EQ(in_child([&] {
                  home.barrier();
                  return object.times_freed() != 1 ? 1 : use_all_of(home);
              }),
              0);
    home.barrier();
    EXPECT_EQ(object.times_freed(), 1);
    EXPECT_EQ(use_all_of(home), 0);
}

TEST(fork, a_child_may_fork_again) {
    domain home;
    actor other;
    other([&] { home.lock(); });
    EXPECT_EQ(in_child([&] { return in_child([&] { return use_all_of(home); }); }), 0);
    other([&] { home.unlock(); });
}

TEST(fork, a_child_may_make_and_end_domains) {
    auto before = std::make_unique<domain>();
    before->synchronize();
    EXPECT_EQ(in_child([&] {
                  before.reset();
                  domain home;
                  return use_all_of(home);
              }),
              0);
}

TEST(fork, the_callers_guard_goes_on_in_the_child) {
    tracked object;
    domain home;
    home.lock();
    object.retire_to(home);
    EXPECT_EQ(in_child([&] {
                  for (int i = 0; i < 5; ++i) {
                      tick(home);
                  }
                  if (home.stats().pinned != 1 || object.times_freed() != 0) {
                      return 1;
                  }
                  home.unlock();
                  home.barrier();
                  return object.times_freed() != 1 ? 2 : use_all_of(home);
              }),
              0);
    home.unlock();
}

TEST(fork, heavy_barriers_work_in_the_child) {
    EXPECT_EQ(in_child([] { return barrier::heavy() == barrier::asymmetric() ? 0 : 1; }), 0);
}

/// Forks when it is run, once.
struct forker {
    pid_t child = -1;
    void retire_to(domain& home) {
        home.retire(this, [](forker* self) noexcept { self->child = ::fork(); });
    }
};

TEST(fork, a_deleter_may_fork) {
    forker forks;
    std::vector<tracked> others(20);
    domain home;
    forks.retire_to(home);
    for (tracked& each : others) {
        each.retire_to(home);
    }
    while (forks.child == -1) {
        tick(home);
    }
    if (forks.child == 0) {
        ::alarm(100);
        const bool sane = home.stats().lost_objects == 0;
        home.barrier();
        ::_exit(!sane ? 1 : !each_freed_once(others) ? 2 : use_all_of(home));
    }
    EXPECT_EQ(ending_of(forks.child), 0);
    home.barrier();
    EXPECT_TRUE(each_freed_once(others));
}

TEST(fork, a_deleter_that_barrier_runs_may_fork_and_barrier_goes_on_in_both) {
    forker forks;
    std::vector<tracked> others(20);
    domain home;
    others[0].retire_to(home);
    forks.retire_to(home);
    for (std::size_t i = 1; i < others.size(); ++i) {
        others[i].retire_to(home);
    }
    home.barrier();
    if (forks.child == 0) {
        ::alarm(100);
        ::_exit(home.stats().lost_objects != 0 ? 1 : !each_freed_once(others) ? 2 : use_all_of(home));
    }
    EXPECT_EQ(ending_of(forks.child), 0);
    EXPECT_TRUE(each_freed_once(others));
    EXPECT_EQ(use_all_of(home), 0);
}

// ---- two threads -------------------------------------------------------------------------------------------------------

TEST(fork, guards_of_other_threads_end_in_the_child) {
    domain home;
    actor other;
    other([&] { home.lock(); });
    EXPECT_EQ(in_child([&] {
                  const domain_stats stats = home.stats();
                  if (stats.pinned != 0 || stats.threads != 0) { // the caller has not used it yet
                      return 1;
                  }
                  return use_all_of(home);
              }),
              0);
    EXPECT_EQ(home.stats().pinned, 1U) << "the parent's other thread is as it was";
    other([&] { home.unlock(); });
}

TEST(fork, every_domain_is_told) {
    constexpr std::size_t count = 10; // more than a thread caches
    std::vector<std::unique_ptr<domain>> domains(count);
    actor other;
    for (auto& each : domains) {
        each = std::make_unique<domain>();
        other([&] { each->lock(); });
    }
    other([] { default_domain().lock(); });
    EXPECT_EQ(in_child([&] {
                  for (const auto& each : domains) {
                      if (const int wrong = use_all_of(*each); wrong != 0) {
                          return wrong;
                      }
                  }
                  return use_all_of(default_domain());
              }),
              0);
    other([&] {
        default_domain().unlock();
        for (const auto& each : domains) {
            each->unlock();
        }
    });
}

TEST(fork, garbage_of_other_threads_is_freed_by_barrier_in_the_child) {
    std::vector<tracked> objects(2000);
    domain home;
    actor other;
    other([&] {
        home.lock();
        for (tracked& each : objects) {
            each.retire_to(home);
        }
    });
    EXPECT_EQ(in_child([&] {
                  home.barrier();
                  return each_freed_once(objects) ? 0 : 1;
              }),
              0);
    other([&] { home.unlock(); });
}

TEST(fork, garbage_of_other_threads_is_adopted_in_the_child) {
    std::vector<tracked> objects(300);
    domain home;
    home.synchronize(); // the caller has its record, so it does not inherit the other's
    actor other;
    other([&] {
        for (tracked& each : objects) {
            each.retire_to(home);
        }
    });
    EXPECT_EQ(in_child([&] {
                  for (int i = 0; i < 200 && !each_freed_once(objects); ++i) {
                      tick(home);
                      for (int j = 0; j < 64; ++j) {
                          const auto guard = home.pin();
                      }
                  }
                  return each_freed_once(objects) ? 0 : 1;
              }),
              0);
}

TEST(fork, a_barrier_that_another_thread_waits_in_keeps_nobody_waiting_in_the_child) {
    std::vector<tracked> objects(100);
    domain home;
    actor holder;
    actor waiter;
    holder([&] { home.lock(); });
    const std::uint64_t blocked = home.stats().blocked_advances;
    auto waiting = waiter.start([&] {
        for (tracked& each : objects) {
            each.retire_to(home);
        }
        home.barrier();
    });
    wait_until([&] { return home.stats().blocked_advances > blocked + 2; });
    EXPECT_EQ(in_child([&] {
                  home.barrier();
                  return !each_freed_once(objects) ? 1 : use_all_of(home);
              }),
              0);
    holder([&] { home.unlock(); });
    waiting.get();
}

TEST(fork, a_deleter_that_another_thread_runs_is_lost_and_what_it_has_not_begun_is_not) {
    std::vector<tracked> others(20);
    domain home;
    std::atomic<bool> running{false};
    std::atomic<bool> may_end{false};
    actor runner;
    auto run = runner.start([&] {
        home.retire(&may_end, [&](std::atomic<bool>* end) noexcept {
            running = true;
            wait_until([&] { return end->load(); });
        });
        for (tracked& each : others) {
            each.retire_to(home);
        }
        home.barrier();
    });
    wait_until([&] { return running.load(); });
    EXPECT_EQ(in_child([&] {
                  home.barrier();
                  const domain_stats stats = home.stats();
                  if (stats.lost_objects != 1 || stats.pending_objects != 0 || stats.pending_bytes != 0) {
                      return 1;
                  }
                  return !each_freed_once(others) ? 2 : use_all_of(home);
              }),
              0);
    may_end = true;
    run.get();
}

TEST(fork, threads_of_the_child_take_the_records_of_those_it_left_behind) {
    if (!children_may_have_threads()) {
        GTEST_SKIP() << "ThreadSanitizer ends a forked child that begins a thread (die_after_fork)";
    }
    domain home;
    home.synchronize();
    std::vector<std::unique_ptr<actor>> others(4);
    for (auto& each : others) {
        each = std::make_unique<actor>();
        (*each)([&] { home.lock(); });
    }
    EXPECT_EQ(in_child([&] {
                  std::atomic<int> wrong{0};
                  std::vector<tracked> objects(4000);
                  together(4, [&](std::size_t thread) {
                      wrong += home.stats().threads > 5 ? 1 : 0;
                      for (std::size_t i = 0; i < 1000; ++i) {
                          const auto guard = home.pin();
                          objects[thread * 1000 + i].retire_to(home);
                      }
                      home.barrier();
                  });
                  home.barrier();
                  return wrong != 0 ? 1 : !each_freed_once(objects) ? 2 : use_all_of(home);
              }),
              0);
    for (auto& each : others) {
        (*each)([&] { home.unlock(); });
    }
}

/// An element whose move waits where the test tells it to.
class slow_to_move {
  public:
    static inline std::atomic<int> gate{0}; // 0: open; 1: the next one stops; 2: it has

    explicit slow_to_move(int number) noexcept : number_(number) {}
    slow_to_move(slow_to_move&& other) noexcept : number_(other.number_) {
        int closed = 1;
        if (gate.compare_exchange_strong(closed, 2)) {
            wait_until([] { return gate != 2; });
        }
    }
    slow_to_move& operator=(slow_to_move&&) = delete;
    ~slow_to_move() = default;
    int number() const { return number_; }

  private:
    int number_;
};

TEST(fork, a_push_that_was_left_behind_costs_a_bounded_queue_one_spare_cell_and_stops_nobody) {
    if (!children_may_have_threads()) {
        GTEST_SKIP() << "ThreadSanitizer ends a forked child that begins a thread (die_after_fork)";
    }
    domain home;
    bounded_queue<slow_to_move> line(2, home);
    line.try_push(slow_to_move(1));
    actor other;
    slow_to_move::gate = 1;
    auto pushed = other.start([&] { line.try_push(slow_to_move(2)); });
    wait_until([] { return slow_to_move::gate == 2; });
    EXPECT_EQ(in_child([&] {
                  slow_to_move::gate = 0;
                  std::atomic<int> wrong{0};
                  together(2, [&](std::size_t) { // one of them inherits the record of the push
                      for (int i = 0; i < 100; ++i) {
                          const auto status = line.try_push(slow_to_move(i));
                          wrong += status != conqueue_status::success && status != conqueue_status::full ? 1 : 0;
                          static_cast<void>(line.try_pop());
                      }
                  });
                  while (line.try_pop()) {
                  }
                  for (int i = 0; i < 2; ++i) {
                      wrong += line.try_push(slow_to_move(i)) != conqueue_status::success ? 1 : 0;
                  }
                  wrong += line.try_push(slow_to_move(3)) != conqueue_status::full ? 1 : 0;
                  return wrong.load();
              }),
              0);
    slow_to_move::gate = 0;
    pushed.get();
    EXPECT_EQ(line.try_pop()->number(), 1);
    EXPECT_EQ(line.try_pop()->number(), 2);
}

// ---- many threads ------------------------------------------------------------------------------------------------------

TEST(fork, a_child_of_threads_at_any_moment_loses_little_and_frees_nothing_twice) {
    constexpr std::size_t threads = 4;
    constexpr std::uint64_t objects_each = 60'000;
    std::vector<std::vector<tracked>> objects;
    domain home;
    queue<std::uint64_t> line(home);
    stack<std::uint64_t> pile(home);
    for (std::size_t i = 0; i < threads; ++i) {
        objects.emplace_back(objects_each);
    }
    std::atomic<bool> stop{false};
    std::vector<std::jthread> crew;
    for (std::size_t thread = 0; thread < threads; ++thread) {
        crew.emplace_back([&, thread] {
            for (std::uint64_t i = 0; !stop; ++i) {
                if (i < objects_each) {
                    objects[thread][i].retire_to(home);
                }
                line.push(i * threads + thread);
                pile.push(i * threads + thread);
                static_cast<void>(line.try_pop());
                static_cast<void>(pile.try_pop());
                if (i % 512 == 0 && thread == 0) {
                    home.barrier();
                }
                if (i % 64 == 0 && thread == 1) { // a thread that comes and goes
                    std::thread([&] {
                        const auto guard = home.pin();
                        pile.push(~std::uint64_t{0});
                    }).join();
                }
            }
        });
    }
    for (std::uint64_t round = many(60); round != 0; --round) {
        const int ending = in_child([&] {
            home.barrier();
            const domain_stats stats = home.stats();
            if (stats.pinned != 0 || stats.pending_objects != 0) {
                return 1;
            }
            for (const auto& of_thread : objects) {
                for (const tracked& each : of_thread) {
                    if (each.times_freed() > 1) {
                        return 2;
                    }
                }
            }
            for (int i = 0; i < 2000; ++i) { // what is left in them is whole
                line.push(1);
                pile.push(1);
            }
            while (line.try_pop()) {
            }
            while (pile.try_pop()) {
            }
            return use_all_of(home);
        });
        ASSERT_EQ(ending, 0);
    }
    stop = true;
}

TEST(fork, threads_that_come_and_go_meanwhile_do_no_harm) {
    std::atomic<bool> stop{false};
    std::vector<std::jthread> crew;
    for (int i = 0; i < 2; ++i) {
        crew.emplace_back([&] {
            while (!stop) { // domains are made and ended, records remembered and given back
                domain brief;
                std::thread([&] { const auto guard = brief.pin(); }).join();
            }
        });
    }
    for (std::uint64_t round = many(60); round != 0; --round) {
        const int ending = in_child([] {
            domain home;
            return use_all_of(home);
        });
        ASSERT_EQ(ending, 0);
    }
    stop = true;
}

} // namespace
} // namespace epoque::test
