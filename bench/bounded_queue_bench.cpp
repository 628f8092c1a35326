// SPDX-License-Identifier: BSL-1.0
//
// `bounded_queue` against bounded queues that other people would take. All hold 1,024 elements.
#include "epoque/bounded_queue.hpp"

#include "contest.hpp"

#include <boost/lockfree/queue.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>

#if __has_include(<atomic_queue/atomic_queue.h>)
#include <atomic_queue/atomic_queue.h>
#define EPOQUE_BENCH_ATOMIC_QUEUE 1
#endif
#if __has_include(<xenium/vyukov_bounded_queue.hpp>)
#include <xenium/vyukov_bounded_queue.hpp>
#define EPOQUE_BENCH_XENIUM 1
#endif

namespace epoque::bench {
namespace {

constexpr std::size_t capacity = 1024;

template <class Contestant>
void push_all(Contestant& into, const std::uint64_t* values, std::size_t count) {
    back_off wait;
    for (const auto* const last = values + count; values != last; ++values) {
        while (!into.push(*values)) {
            wait();
        }
    }
}

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
    bounded_queue<std::uint64_t> queue_{capacity};
};

/// The bar: Vyukov's ring, 2010, two read-modify-writes a pair. It is not lock-free (a thread that sleeps between its ticket and
/// its store stops everybody behind it), and its capacity is a power of two.
struct vyukov_ring {
    static constexpr bool is_fifo = true;
    vyukov_ring() {
        for (std::size_t index = 0; index < capacity; ++index) {
            cells_[index].turn.store(index, std::memory_order_relaxed);
        }
    }
    bool push(std::uint64_t value) {
        std::size_t ticket = tail_.load(std::memory_order_relaxed);
        for (;;) {
            cell& mine = cells_[ticket % capacity];
            const auto behind = static_cast<std::ptrdiff_t>(mine.turn.load(std::memory_order_acquire) - ticket);
            if (behind == 0) {
                if (tail_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_relaxed)) {
                    mine.value = value;
                    mine.turn.store(ticket + 1, std::memory_order_release);
                    return true;
                }
            } else if (behind < 0) {
                return false;
            } else {
                ticket = tail_.load(std::memory_order_relaxed);
            }
        }
    }
    bool pop(std::uint64_t& value) {
        std::size_t ticket = head_.load(std::memory_order_relaxed);
        for (;;) {
            cell& mine = cells_[ticket % capacity];
            const auto behind = static_cast<std::ptrdiff_t>(mine.turn.load(std::memory_order_acquire) - ticket - 1);
            if (behind == 0) {
                if (head_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_relaxed)) {
                    value = mine.value;
                    mine.turn.store(ticket + capacity, std::memory_order_release);
                    return true;
                }
            } else if (behind < 0) {
                return false;
            } else {
                ticket = head_.load(std::memory_order_relaxed);
            }
        }
    }

  private:
    struct cell {
        std::atomic<std::size_t> turn;
        std::uint64_t value;
    };
    cell cells_[capacity]{};
    alignas(interference_size) std::atomic<std::size_t> tail_{0};
    alignas(interference_size) std::atomic<std::size_t> head_{0};
};

struct boost_lockfree {
    static constexpr bool is_fifo = true;
    bool push(std::uint64_t value) { return queue_.bounded_push(value); }
    bool pop(std::uint64_t& value) { return queue_.pop(value); }
    boost::lockfree::queue<std::uint64_t, boost::lockfree::capacity<capacity>> queue_;
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
    void push_n(const std::uint64_t* values, std::size_t count) { push_all(*this, values, count); }
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

#ifdef EPOQUE_BENCH_ATOMIC_QUEUE
struct max0125_atomic_queue {
    static constexpr bool is_fifo = true;
    bool push(std::uint64_t value) { return queue_.try_push(value); }
    bool pop(std::uint64_t& value) { return queue_.try_pop(value); }
    atomic_queue::AtomicQueue2<std::uint64_t, capacity> queue_;
};
#endif

#ifdef EPOQUE_BENCH_XENIUM
struct xenium_vyukov {
    static constexpr bool is_fifo = true;
    bool push(std::uint64_t value) { return queue_.try_push(std::uint64_t{value}); }
    bool pop(std::uint64_t& value) { return queue_.try_pop(value); }
    xenium::vyukov_bounded_queue<std::uint64_t> queue_{capacity};
};
#endif

[[maybe_unused]] const bool entered = [] {
    enter<ours>("bounded_queue", "epoque");
    enter<vyukov_ring>("bounded_queue", "Vyukov's ring");
    enter<boost_lockfree>("bounded_queue", "boost::lockfree");
    enter<mutex_deque>("bounded_queue", "mutex + deque");
    enter_bulk<ours>("bounded_queue", "epoque");
    enter_bulk<mutex_deque>("bounded_queue", "mutex + deque");
#ifdef EPOQUE_BENCH_ATOMIC_QUEUE
    enter<max0125_atomic_queue>("bounded_queue", "atomic_queue");
#else
    absent_peers().emplace_back("bounded_queue: atomic_queue (install libatomic-queue-dev and configure again)");
#endif
#ifdef EPOQUE_BENCH_XENIUM
    enter<xenium_vyukov>("bounded_queue", "xenium Vyukov");
#else
    absent_peers().emplace_back("bounded_queue: xenium (install libxenium-dev and configure again)");
#endif
    return true;
}();

} // namespace
} // namespace epoque::bench
