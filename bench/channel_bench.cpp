// SPDX-License-Identifier: BSL-1.0
//
// `channel`: what looking for waiters costs an operation that finds none, and waiting itself against a mutex and a condition
// variable.
#include "epoque/channel.hpp"

#include "contest.hpp"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>

namespace epoque::bench {
namespace {

/// For the contests of queues: nobody waits.
template <class Queue>
struct ours {
    static constexpr bool is_fifo = true;
    bool push(std::uint64_t value) { return queue_.push(value); }
    bool pop(std::uint64_t& value) {
        auto popped = queue_.try_pop();
        if (!popped) {
            return false;
        }
        value = *popped;
        return true;
    }
    Queue queue_;
};

/// What people write.
class mutex_condition {
  public:
    static constexpr bool is_fifo = true;
    bool push(std::uint64_t value) {
        {
            const std::lock_guard lock(mutex_);
            queue_.push_back(value);
        }
        changed_.notify_one();
        return true;
    }
    bool pop(std::uint64_t& value) {
        const std::lock_guard lock(mutex_);
        if (queue_.empty()) {
            return false;
        }
        value = queue_.front();
        queue_.pop_front();
        return true;
    }
    std::optional<std::uint64_t> pop() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !queue_.empty() || closed_; });
        if (queue_.empty()) {
            return std::nullopt;
        }
        const std::uint64_t value = queue_.front();
        queue_.pop_front();
        return value;
    }
    void close() {
        {
            const std::lock_guard lock(mutex_);
            closed_ = true;
        }
        changed_.notify_all();
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::uint64_t> queue_;
    bool closed_ = false;
};

/// `producers` push, `consumers` wait for each element; the time until the last one has left.
template <class Channel>
void waiting_flow(benchmark::State& state, unsigned producers, unsigned consumers) {
    constexpr std::uint64_t elements = 400'000;
    const std::uint64_t each = elements / producers;
    bool intact = true;
    for (auto _ : state) {
        Channel channel;
        std::atomic<unsigned> left{producers};
        std::atomic<std::uint64_t> sum{0};
        starting_gun start(producers + consumers);
        std::vector<std::jthread> threads;
        for (unsigned producer = 0; producer < producers; ++producer) {
            threads.emplace_back([&] {
                start.arrive_and_wait();
                for (std::uint64_t i = 1; i <= each; ++i) {
                    channel.push(i);
                }
                if (left.fetch_sub(1, std::memory_order_acq_rel) == 1) {
                    channel.close();
                }
            });
        }
        for (unsigned consumer = 0; consumer < consumers; ++consumer) {
            threads.emplace_back([&] {
                std::uint64_t own = 0;
                start.arrive_and_wait();
                while (auto got = channel.pop()) {
                    own += *got;
                }
                sum.fetch_add(own, std::memory_order_relaxed);
            });
        }
        threads.clear(); // joins
        state.SetIterationTime(start.elapsed());
        intact = intact && sum == producers * (each * (each + 1) / 2);
    }
    if (!intact) {
        state.SkipWithError("broken: elements were lost or doubled");
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(each * producers));
}

/// Two threads send one element to and fro: each waits for the other.
template <class Channel>
void ping_pong(benchmark::State& state) {
    Channel there;
    Channel back;
    std::jthread echo([&] {
        while (auto got = there.pop()) {
            back.push(*got);
        }
    });
    std::uint64_t number = 0;
    for (auto _ : state) {
        there.push(++number);
        if (back.pop() != number) {
            state.SkipWithError("broken: something else came back");
            break;
        }
    }
    there.close();
    state.SetItemsProcessed(state.iterations());
}

template <class Channel>
void enter_waiting(const std::string& name) {
    const auto flows = [&](unsigned producers, unsigned consumers) {
        const std::string scenario = std::to_string(producers) + "P" + std::to_string(consumers) + "C, waiting";
        benchmark::RegisterBenchmark(
            ("channel/" + scenario + "/" + name).c_str(),
            [=](benchmark::State& state) { waiting_flow<Channel>(state, producers, consumers); })
            ->UseManualTime()
            ->Unit(benchmark::kMillisecond);
    };
    flows(1, 1);
    flows(2, 2);
    flows(1, 4);
    flows(4, 4);
    benchmark::RegisterBenchmark(("channel/ping-pong/" + name).c_str(), &ping_pong<Channel>)->UseRealTime();
}

[[maybe_unused]] const bool entered = [] {
    enter<ours<channel<std::uint64_t>>>("channel", "epoque");
    enter<ours<queue<std::uint64_t>>>("channel", "epoque::queue");
    enter<mutex_condition>("channel", "mutex + condition");
    enter_waiting<channel<std::uint64_t>>("epoque");
    enter_waiting<mutex_condition>("mutex + condition");
    return true;
}();

} // namespace
} // namespace epoque::bench
