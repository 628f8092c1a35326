// SPDX-License-Identifier: BSL-1.0
//
// `task_pool`: empty tasks from outside, one task there and its result back, fork and join; against Boost.Asio's thread_pool and
// against the pool that everybody has written once, a deque with a mutex and a condition variable.
#include "epoque/task_pool.hpp"

#include "contest.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

namespace epoque::bench {
namespace {

class epoque_pool {
  public:
    explicit epoque_pool(unsigned threads) : pool_(threads) {}
    template <class Work>
    void post(Work work) {
        pool_.execute(std::move(work));
    }
    template <class Work>
    auto submit(Work work) {
        return pool_.submit(std::move(work));
    }

  private:
    task_pool pool_;
};

/// std::packaged_task over something with a `post`.
template <class Pool>
class with_std_futures : public Pool {
  public:
    using Pool::Pool;
    template <class Work>
    auto submit(Work work) {
        auto task = std::make_shared<std::packaged_task<std::invoke_result_t<Work&>()>>(std::move(work));
        auto result = task->get_future();
        this->post([task] { (*task)(); });
        return result;
    }
};

class asio_pool {
  public:
    explicit asio_pool(unsigned threads) : pool_(threads) {}
    ~asio_pool() { pool_.join(); }
    template <class Work>
    void post(Work work) {
        boost::asio::post(pool_, std::move(work));
    }

  private:
    boost::asio::thread_pool pool_;
};

class mutex_pool {
  public:
    explicit mutex_pool(unsigned threads) {
        for (unsigned i = 0; i < threads; ++i) {
            threads_.emplace_back([this] { work(); });
        }
    }
    ~mutex_pool() {
        {
            const std::lock_guard lock(mutex_);
            closed_ = true;
        }
        changed_.notify_all();
        threads_.clear();
    }
    void post(std::function<void()> work) {
        {
            const std::lock_guard lock(mutex_);
            tasks_.push_back(std::move(work));
        }
        changed_.notify_one();
    }

  private:
    void work() {
        std::unique_lock lock(mutex_);
        for (;;) {
            changed_.wait(lock, [this] { return closed_ || !tasks_.empty(); });
            if (tasks_.empty()) {
                return;
            }
            const auto next = std::move(tasks_.front());
            tasks_.pop_front();
            lock.unlock();
            next();
            lock.lock();
        }
    }
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> tasks_;
    bool closed_ = false;
    std::vector<std::jthread> threads_;
};

/// The time until the last one of many empty tasks has been run; `submitters` threads submit them.
template <class Pool>
void empty_tasks(benchmark::State& state, unsigned submitters) {
    constexpr std::uint64_t tasks = 100'000;
    for (auto _ : state) {
        std::atomic<std::uint64_t> runs{0};
        starting_gun start(submitters);
        {
            Pool pool(2);
            std::vector<std::jthread> threads;
            for (unsigned each = 0; each < submitters; ++each) {
                threads.emplace_back([&] {
                    start.arrive_and_wait();
                    for (std::uint64_t i = 0; i < tasks / submitters; ++i) {
                        pool.post([&runs] { runs.fetch_add(1, std::memory_order_relaxed); });
                    }
                });
            }
            threads.clear();
        }
        state.SetIterationTime(start.elapsed());
        if (runs != tasks / submitters * submitters) {
            state.SkipWithError("broken: tasks were lost or doubled");
        }
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(tasks));
}

template <class Pool>
void there_and_back(benchmark::State& state) {
    Pool pool(2);
    std::uint64_t number = 0;
    for (auto _ : state) {
        if (pool.submit([number] { return number + 1; }).get() != number + 1) {
            state.SkipWithError("broken: another result");
            break;
        }
        ++number;
    }
    state.SetItemsProcessed(state.iterations());
}

std::uint64_t fibonacci(task_pool& pool, unsigned n) {
    if (n < 2) {
        return n;
    }
    auto left = pool.submit([&pool, n] { return fibonacci(pool, n - 1); });
    const std::uint64_t right = fibonacci(pool, n - 2);
    return left.get() + right;
}

/// 10,945 tasks and one. (The other pools' tasks can't wait for tasks.)
void fork_and_join(benchmark::State& state) {
    task_pool pool(2);
    for (auto _ : state) {
        if (pool.submit([&] { return fibonacci(pool, 20); }).get() != 6'765) {
            state.SkipWithError("broken: another sum");
            break;
        }
    }
    state.SetItemsProcessed(state.iterations() * 10'946);
}

template <class Pool>
void enter(const std::string& name) {
    for (const unsigned submitters : {1U, 2U}) {
        benchmark::RegisterBenchmark(
            ("task_pool/empty tasks, " + std::to_string(submitters) + " submitters/" + name).c_str(),
            [=](benchmark::State& state) { empty_tasks<Pool>(state, submitters); })
            ->UseManualTime()
            ->Unit(benchmark::kMillisecond);
    }
    benchmark::RegisterBenchmark(
        ("task_pool/there and back/" + name).c_str(),
        &there_and_back<std::conditional_t<std::is_same_v<Pool, epoque_pool>, epoque_pool, with_std_futures<Pool>>>)
        ->UseRealTime();
}

[[maybe_unused]] const bool entered = [] {
    enter<epoque_pool>("epoque");
    enter<asio_pool>("Boost.Asio");
    enter<mutex_pool>("mutex + condition");
    benchmark::RegisterBenchmark("task_pool/fork and join/epoque", &fork_and_join)->UseRealTime();
    return true;
}();

} // namespace
} // namespace epoque::bench
