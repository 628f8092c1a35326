// SPDX-License-Identifier: BSL-1.0
/// @file
/// Histories: what each thread asked a queue or stack, what it was answered, and when. The monitors judge them.
///
/// Intervals are closed: an operation took effect at some moment in [call, ret], both ends included, so equal stamps of
/// two threads mean "at the same time" and never prove an order. Values of one history are distinct.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace epoque::stress {

using stamp = std::uint64_t;
inline constexpr stamp never = std::numeric_limits<stamp>::max();

enum class operation : std::uint8_t { push, pop, close, steal };
enum class answer : std::uint8_t {
    success,
    empty,
    closed,
    full,
    pending, ///< the call never returned; it may or may not have taken effect
};

struct event {
    stamp call = 0;
    stamp ret = never;
    std::uint64_t value = 0; ///< of a push, and of a pop that succeeded
    std::uint32_t thread = 0;
    operation op = operation::push;
    answer got = answer::success;
    std::uint32_t batch = 0; ///< pops of one pop_all, in its order, share a number > 0; its last event answers `empty`

    friend bool operator==(const event&, const event&) = default;
};

using history = std::vector<event>;

/// Nanoseconds of the monotonic clock. The read-modify-writes keep the operation's loads from being executed before the
/// first stamp and its stores from being still on their way at the second one (on x86 a locked instruction is a full
/// fence): without them a correct structure could look wrong by a few nanoseconds.
class steady_stamps {
  public:
    static stamp before() noexcept {
        const stamp now = read();
        fence();
        return now;
    }
    static stamp after() noexcept {
        fence();
        return read();
    }

  private:
    static stamp read() noexcept {
        return static_cast<stamp>(std::chrono::steady_clock::now().time_since_epoch().count());
    }
    static void fence() noexcept {
        std::atomic<int> edge{0};
        edge.exchange(1, std::memory_order_seq_cst);
    }
};

/// One counter for all threads, for engines that run one thread at a time.
class counted_stamps {
  public:
    explicit counted_stamps(stamp& counter) noexcept : counter_(counter) {}
    stamp before() noexcept { return ++counter_; }
    stamp after() noexcept { return ++counter_; }

  private:
    stamp& counter_;
};

/// What came in and went out, where a history would be too long: how many elements, and the sum of their values.
struct tally {
    std::uint64_t pushed = 0;
    std::uint64_t popped = 0;
    std::uint64_t sum_pushed = 0;
    std::uint64_t sum_popped = 0;

    bool is_even() const noexcept { return pushed == popped && sum_pushed == sum_popped; }
    tally& operator+=(const tally& other) noexcept {
        pushed += other.pushed;
        popped += other.popped;
        sum_pushed += other.sum_pushed;
        sum_popped += other.sum_popped;
        return *this;
    }
};

/// One thread's part of a history. Its memory is allocated before the threads start.
template <class Stamps>
class recorder {
  public:
    recorder(std::uint32_t thread, std::size_t capacity, Stamps stamps = Stamps()) : thread_(thread), stamps_(stamps) {
        events_.reserve(capacity);
    }

    /// Room for `n` more events without allocation.
    bool has_room(std::size_t n) const noexcept { return events_.capacity() - events_.size() >= n; }
    /// Whether events are only counted from here on.
    void count_only(bool wanted) noexcept { counts_only_ = wanted; }
    const tally& counted() const noexcept { return counted_; }

    stamp call() noexcept { return stamps_.before(); }
    void returned(operation op, answer got, stamp call, std::uint64_t value = 0) {
        add({call, stamps_.after(), value, thread_, op, got, 0});
    }
    /// For operations that make several events: their return, and each event.
    stamp moment() noexcept { return stamps_.after(); }
    void add(const event& made) {
        if (!counts_only_) {
            events_.push_back(made);
        } else if (made.got == answer::success && made.op == operation::push) {
            ++counted_.pushed;
            counted_.sum_pushed += made.value;
        } else if (made.got == answer::success && made.op != operation::close) { // pop, steal
            ++counted_.popped;
            counted_.sum_popped += made.value;
        }
    }
    /// pop_all, `values` from the top down.
    void popped_all(stamp call, std::span<const std::uint64_t> values, std::uint32_t batch) {
        const stamp ret = stamps_.after();
        for (const std::uint64_t value : values) {
            add({call, ret, value, thread_, operation::pop, answer::success, batch});
        }
        add({call, ret, 0, thread_, operation::pop, answer::empty, batch});
    }
    const history& events() const noexcept { return events_; }

  private:
    std::uint32_t thread_;
    Stamps stamps_;
    history events_;
    bool counts_only_ = false;
    tally counted_;
};

} // namespace epoque::stress
