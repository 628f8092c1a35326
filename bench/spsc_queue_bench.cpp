// SPDX-License-Identifier: BSL-1.0
//
// `spsc_queue` against rings for one producer and one consumer that other people would take. All hold 1,024 elements.
#include "epoque/spsc_queue.hpp"

#include "contest.hpp"

#include <boost/lockfree/spsc_queue.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>

#if __has_include(<readerwriterqueue/readerwriterqueue.h>)
#include <readerwriterqueue/readerwriterqueue.h>
#define EPOQUE_BENCH_READERWRITERQUEUE 1
#endif

namespace epoque::bench {
namespace {

constexpr std::size_t capacity = 1024;

struct ours {
    static constexpr bool is_fifo = true;
    bool push(std::uint64_t value) { return queue_.try_push(std::uint64_t{value}) == conqueue_status::success; }
    bool pop(std::uint64_t& value) {
        auto popped = queue_.try_pop();
        if (!popped) {
            return false;
        }
        value = *popped;
        return true;
    }
    void push_n(const std::uint64_t* values, std::size_t count) {
        back_off wait;
        for (const auto* const last = values + count; (values = queue_.push_range(values, last)) != last;) {
            wait();
        }
    }
    std::size_t pop_n(std::uint64_t* values, std::size_t count) { return queue_.try_pop_n(values, count); }
    spsc_queue<std::uint64_t> queue_{capacity};
};

struct boost_lockfree {
    static constexpr bool is_fifo = true;
    bool push(std::uint64_t value) { return queue_.push(value); }
    bool pop(std::uint64_t& value) { return queue_.pop(value); }
    void push_n(const std::uint64_t* values, std::size_t count) {
        back_off wait;
        for (const auto* const last = values + count; (values = queue_.push(values, last)) != last;) {
            wait();
        }
    }
    std::size_t pop_n(std::uint64_t* values, std::size_t count) { return queue_.pop(values, count); }
    boost::lockfree::spsc_queue<std::uint64_t> queue_{capacity};
};

struct mutex_deque {
    static constexpr bool is_fifo = true;
    bool push(std::uint64_t value) {
        const std::lock_guard lock(mutex_);
        if (queue_.size() == capacity) {
            return false;
        }
        queue_.push_back(value);
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
    std::mutex mutex_;
    std::deque<std::uint64_t> queue_;
};

#ifdef EPOQUE_BENCH_READERWRITERQUEUE
struct moodycamel_readerwriter {
    static constexpr bool is_fifo = true;
    bool push(std::uint64_t value) { return queue_.try_enqueue(value); }
    bool pop(std::uint64_t& value) { return queue_.try_dequeue(value); }
    moodycamel::ReaderWriterQueue<std::uint64_t> queue_{capacity};
};
#endif

/// The scenarios with one thread on each side.
template <class Contestant>
void enter_single(const std::string& name) {
    benchmark::RegisterBenchmark(("spsc_queue/1 thread, pair/" + name).c_str(), &pair<Contestant>);
    benchmark::RegisterBenchmark(("spsc_queue/1P1C/" + name).c_str(),
                                 [](benchmark::State& state) { flow<Contestant>(state, 1, 1); })
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
}
template <class Contestant>
void enter_single_bulk(const std::string& name) {
    benchmark::RegisterBenchmark(("spsc_queue/1P1C, 32 at once/" + name).c_str(),
                                 [](benchmark::State& state) { flow<Contestant, 32>(state, 1, 1); })
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
}

[[maybe_unused]] const bool entered = [] {
    enter_single<ours>("epoque");
    enter_single<boost_lockfree>("boost::lockfree");
    enter_single<mutex_deque>("mutex + deque");
    enter_single_bulk<ours>("epoque");
    enter_single_bulk<boost_lockfree>("boost::lockfree");
#ifdef EPOQUE_BENCH_READERWRITERQUEUE
    enter_single<moodycamel_readerwriter>("moodycamel readerwriter");
#else
    absent_peers().emplace_back("spsc_queue: readerwriterqueue (install libreaderwriterqueue-dev and configure again)");
#endif
    return true;
}();

} // namespace
} // namespace epoque::bench
