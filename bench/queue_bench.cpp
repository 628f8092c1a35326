// SPDX-License-Identifier: BSL-1.0
//
// `queue` against unbounded queues that other people would take.
#include "epoque/queue.hpp"

#include "contest.hpp"

#include <boost/lockfree/queue.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>

#if __has_include(<concurrentqueue/concurrentqueue.h>)
#include <concurrentqueue/concurrentqueue.h>
#define EPOQUE_BENCH_MOODYCAMEL 1
#endif

namespace epoque::bench {
namespace {

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
    queue<std::uint64_t> queue_;
};

struct boost_lockfree {
    static constexpr bool is_fifo = true;
    bool push(std::uint64_t value) { return queue_.push(value); }
    bool pop(std::uint64_t& value) { return queue_.pop(value); }
    boost::lockfree::queue<std::uint64_t> queue_{1024};
};

struct mutex_deque {
    static constexpr bool is_fifo = true;
    bool push(std::uint64_t value) {
        const std::lock_guard lock(mutex_);
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
    void push_n(const std::uint64_t* values, std::size_t count) {
        const std::lock_guard lock(mutex_);
        queue_.insert(queue_.end(), values, values + count);
    }
    std::size_t pop_n(std::uint64_t* values, std::size_t count) {
        const std::lock_guard lock(mutex_);
        const std::size_t taken = std::min(count, queue_.size());
        std::copy_n(queue_.begin(), taken, values);
        queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(taken));
        return taken;
    }
    std::mutex mutex_;
    std::deque<std::uint64_t> queue_;
};

#ifdef EPOQUE_BENCH_MOODYCAMEL
struct moodycamel_queue {
    static constexpr bool is_fifo = true; // per producer, which is what is checked
    bool push(std::uint64_t value) { return queue_.enqueue(value); }
    bool pop(std::uint64_t& value) { return queue_.try_dequeue(value); }
    void push_n(const std::uint64_t* values, std::size_t count) { queue_.enqueue_bulk(values, count); }
    std::size_t pop_n(std::uint64_t* values, std::size_t count) { return queue_.try_dequeue_bulk(values, count); }
    moodycamel::ConcurrentQueue<std::uint64_t> queue_;
};
#endif

[[maybe_unused]] const bool entered = [] {
    enter<ours>("queue", "epoque");
    enter<boost_lockfree>("queue", "boost::lockfree");
    enter<mutex_deque>("queue", "mutex + deque");
    enter_bulk<ours>("queue", "epoque");
    enter_bulk<mutex_deque>("queue", "mutex + deque");
#ifdef EPOQUE_BENCH_MOODYCAMEL
    enter<moodycamel_queue>("queue", "moodycamel");
    enter_bulk<moodycamel_queue>("queue", "moodycamel");
#else
    absent_peers().emplace_back("queue: moodycamel (install libconcurrentqueue-dev and configure again)");
#endif
    return true;
}();

} // namespace
} // namespace epoque::bench
