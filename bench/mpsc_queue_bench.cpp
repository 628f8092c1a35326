// SPDX-License-Identifier: BSL-1.0
//
// `mpsc_queue` against `queue` and what else one would take for one consumer.
#include "epoque/mpsc_queue.hpp"
#include "epoque/queue.hpp"

#include "contest.hpp"

#include <boost/lockfree/queue.hpp>

#include <cstddef>
#include <cstdint>

#if __has_include(<concurrentqueue/concurrentqueue.h>)
#include <concurrentqueue/concurrentqueue.h>
#define EPOQUE_BENCH_MOODYCAMEL 1
#endif

namespace epoque::bench {
namespace {

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
    void push_n(const std::uint64_t* values, std::size_t count) { queue_.push_range(values, values + count); }
    std::size_t pop_n(std::uint64_t* values, std::size_t count) { return queue_.try_pop_n(values, count); }
    Queue queue_;
};

struct boost_lockfree {
    static constexpr bool is_fifo = true;
    bool push(std::uint64_t value) { return queue_.push(value); }
    bool pop(std::uint64_t& value) { return queue_.pop(value); }
    boost::lockfree::queue<std::uint64_t> queue_{1024};
};

#ifdef EPOQUE_BENCH_MOODYCAMEL
struct moodycamel_queue {
    static constexpr bool is_fifo = true; // per producer, which is what is checked
    bool push(std::uint64_t value) { return queue_.enqueue(value); }
    bool pop(std::uint64_t& value) { return queue_.try_dequeue(value); }
    moodycamel::ConcurrentQueue<std::uint64_t> queue_;
};
#endif

/// The scenarios with one thread that pops.
template <class Contestant>
void enter_one_consumer(const std::string& name) {
    benchmark::RegisterBenchmark(("mpsc_queue/1 thread, pair/" + name).c_str(), &pair<Contestant>);
    for (const unsigned producers : {1U, 2U, 4U}) {
        benchmark::RegisterBenchmark(("mpsc_queue/" + std::to_string(producers) + "P1C/" + name).c_str(),
                                     [producers](benchmark::State& state) { flow<Contestant>(state, producers, 1); })
            ->UseManualTime()
            ->Unit(benchmark::kMillisecond);
    }
}

[[maybe_unused]] const bool entered = [] {
    enter_one_consumer<ours<mpsc_queue<std::uint64_t>>>("epoque");
    enter_one_consumer<ours<queue<std::uint64_t>>>("epoque queue");
    enter_one_consumer<boost_lockfree>("boost::lockfree");
#ifdef EPOQUE_BENCH_MOODYCAMEL
    enter_one_consumer<moodycamel_queue>("moodycamel");
#else
    absent_peers().emplace_back("mpsc_queue: moodycamel (install libconcurrentqueue-dev and configure again)");
#endif
    return true;
}();

} // namespace
} // namespace epoque::bench
