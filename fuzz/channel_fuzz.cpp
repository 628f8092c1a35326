// SPDX-License-Identifier: BSL-1.0
/// @file
/// Programs of channel operations against two lists: what is inside, and which coroutines wait. One thread: coroutines wait,
/// are served, stopped and closed; deadlines are past.
///
/// Input: one byte for kind of channel and capacity, then one or two bytes a step.
#include "elements.hpp"
#include "program.hpp"

#include "../tests/detached.hpp"

#include "epoque/channel.hpp"
#include "epoque/stack.hpp"

#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <iterator>
#include <list>
#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>
#include <vector>

namespace epoque::fuzz {
namespace {

/// A bounded FIFO that is obviously right.
template <class T>
class bounded_list {
  public:
    using value_type = T;
    static constexpr bool is_fifo = true;
    explicit bounded_list(std::size_t capacity) : capacity_(capacity) {}
    conqueue_status try_push(T&& value) {
        if (closed_) {
            return conqueue_status::closed;
        }
        if (elements_.size() == capacity_) {
            return conqueue_status::full;
        }
        elements_.push_back(std::move(value));
        return conqueue_status::success;
    }
    expected<T, conqueue_status> try_pop() {
        if (elements_.empty()) {
            return unexpected(closed_ ? conqueue_status::closed : conqueue_status::empty);
        }
        T first(std::move(elements_.front()));
        elements_.pop_front();
        return first;
    }
    void close() noexcept { closed_ = true; }
    bool is_closed() const noexcept { return closed_; }

  private:
    std::list<T> elements_;
    std::size_t capacity_;
    bool closed_ = false;
};

using test::detached;

/// What became of an asynchronous operation.
struct outcome {
    std::stop_source stop{};
    std::optional<conqueue_status> status{};
    std::uint64_t number = 0; // of the element that came, or that was to go
};

template <class T, class Queue>
class channel_program {
    using tested = channel<T, Queue>;
    static constexpr std::size_t unlimited = ~std::size_t{0};

  public:
    channel_program(program& input, std::size_t capacity) : input_(input), capacity_(capacity) { open(); }
    channel_program(const channel_program&) = delete;
    channel_program& operator=(const channel_program&) = delete;
    ~channel_program() { end(); }

    void run() {
        for (int steps = 0; !input_.ended() && steps < 400; ++steps) {
            step();
            compare();
        }
    }

  private:
    void step() {
        switch (input_.below(12)) {
        case 0:
        case 1:
            return push();
        case 2:
        case 3:
            return pop();
        case 4:
        case 5:
            return wait_for_element();
        case 6:
            return wait_for_room();
        case 7:
            return stop(input_.byte());
        case 8:
            real_->close();
            closed_ = true;
            return settle();
        case 9:
            return push_for();
        case 10:
            return push_range();
        default:
            end();
            open();
        }
    }

    // ---- what happens ----------------------------------------------------------------------------------------------------

    void push() {
        const std::uint64_t number = ++last_;
        T value = zoo<T>::make(number);
        // NOLINTNEXTLINE(bugprone-use-after-move): that it is not moved from is the check
        pushed(number, real_->try_push(std::move(value)), value);
    }
    void push_for() {
        const std::uint64_t number = ++last_;
        T value = zoo<T>::make(number);
        // NOLINTNEXTLINE(bugprone-use-after-move): that it is not moved from is the check
        pushed(number, real_->push_for(std::move(value), std::chrono::seconds(-1)), value);
    }
    void pushed(std::uint64_t number, conqueue_status status, const T& value) {
        const conqueue_status wanted = closed_                       ? conqueue_status::closed
                                       : inside_.size() == capacity_ ? conqueue_status::full
                                                                     : conqueue_status::success;
        check(status == wanted, "a push succeeds where there is room and the channel is open");
        if (status == conqueue_status::success) {
            inside_.push_back(number);
            settle();
        } else {
            check(zoo<T>::number(value) == number, "a push that fails leaves the value with the caller");
        }
    }
    void push_range() {
        if constexpr (never_full<Queue> && Queue::is_fifo) {
            std::vector<T> values;
            const std::size_t count = input_.below(8);
            for (std::size_t i = 0; i < count; ++i) {
                values.push_back(zoo<T>::make(last_ + 1 + i));
            }
            const auto first = std::make_move_iterator(values.begin());
            const auto rest = real_->push_range(first, std::make_move_iterator(values.end()));
            check(static_cast<std::size_t>(rest - first) == (closed_ ? 0 : count), "all of a range, unless closed");
            for (std::size_t i = 0; i < count && !closed_; ++i) {
                inside_.push_back(last_ + 1 + i);
            }
            last_ += count;
            settle();
        }
    }
    void pop() {
        auto got = input_.flag() ? real_->try_pop() : real_->pop_for(std::chrono::seconds(0));
        if (inside_.empty()) {
            check(!got && got.error() == (closed_ ? conqueue_status::closed : conqueue_status::empty),
                  "an empty channel says empty, or closed");
            return;
        }
        check(got.has_value() && zoo<T>::number(*got) == take(), "elements come in the container's order");
        settle();
    }
    void wait_for_element() {
        poppers_.push_back(std::make_unique<outcome>());
        wait_to_pop(*real_, *poppers_.back());
        settle();
    }
    void wait_for_room() {
        if constexpr (!never_full<Queue>) {
            pushers_.push_back(std::make_unique<outcome>());
            pushers_.back()->number = ++last_;
            wait_to_push(*real_, *pushers_.back());
            settle();
        }
    }
    static detached wait_to_pop(tested& from, outcome& into) {
        auto got = co_await from.async_pop(into.stop.get_token());
        into.status = got ? conqueue_status::success : got.error();
        into.number = got ? zoo<T>::number(*got) : 0;
    }
    static detached wait_to_push(tested& to, outcome& into) {
        T value = zoo<T>::make(into.number);
        into.status = co_await to.async_push(std::move(value), into.stop.get_token());
        // NOLINTNEXTLINE(bugprone-use-after-move): that it is not moved from is the check
        check(into.status == conqueue_status::success || zoo<T>::number(value) == into.number,
              "a push that fails leaves the value with the caller");
    }
    void stop(std::size_t which) {
        auto& side = which % 2 == 0 ? poppers_ : pushers_;
        if (!side.empty()) {
            const std::size_t index = which / 2 % side.size();
            side[index]->stop.request_stop();
            check(side[index]->status.has_value() &&
                      *side[index]->status == (which % 2 == 0 ? conqueue_status::empty : conqueue_status::full),
                  "who is stopped answers at once");
            side.erase(side.begin() + static_cast<std::ptrdiff_t>(index));
        }
    }

    // ---- what must come of it --------------------------------------------------------------------------------------------

    std::uint64_t take() {
        const bool first = Queue::is_fifo;
        const std::uint64_t number = first ? inside_.front() : inside_.back();
        first ? inside_.pop_front() : inside_.pop_back();
        return number;
    }
    /// Elements meet those who wait for them, in the order of their arrival.
    void settle() {
        for (bool moved = true; moved;) {
            moved = false;
            while (!poppers_.empty() && (!inside_.empty() || closed_)) {
                const outcome& first = *poppers_.front();
                check(first.status.has_value(), "who waits longest is served when there is something");
                if (inside_.empty()) {
                    check(*first.status == conqueue_status::closed, "who waits is told of the end");
                } else {
                    check(*first.status == conqueue_status::success && first.number == take(),
                          "who waits longest gets the next element");
                }
                poppers_.pop_front();
                moved = true;
            }
            while (!pushers_.empty() && (inside_.size() < capacity_ || closed_)) {
                const outcome& first = *pushers_.front();
                check(first.status.has_value(), "who waits for room gets it");
                check(*first.status == (closed_ ? conqueue_status::closed : conqueue_status::success),
                      "who waits for room puts its element in, or is told of the end");
                if (!closed_) {
                    inside_.push_back(first.number);
                }
                pushers_.pop_front();
                moved = true;
            }
        }
    }
    void compare() {
        check(real_->is_closed() == closed_, "closed or not");
        check(real_->was_waiting() == poppers_.size() + pushers_.size(), "who waits is counted");
        for (const auto& each : poppers_) {
            check(!each->status.has_value(), "nobody is woken for nothing");
        }
        for (const auto& each : pushers_) {
            check(!each->status.has_value(), "nobody is woken for nothing");
        }
    }
    void open() {
        if constexpr (never_full<Queue>) {
            real_ = std::make_unique<tested>();
        } else {
            real_ = std::make_unique<tested>(capacity_);
        }
        closed_ = false;
    }
    void end() {
        real_->close();
        closed_ = true;
        settle();
        compare();
        while (auto rest = real_->try_pop()) {
            check(!inside_.empty() && zoo<T>::number(*rest) == take(), "what was inside comes out after the close");
        }
        check(inside_.empty(), "nothing is lost");
        real_.reset();
    }

    program& input_;
    const std::size_t capacity_;
    std::unique_ptr<tested> real_;
    std::deque<std::uint64_t> inside_;
    std::deque<std::unique_ptr<outcome>> poppers_; // those who wait, in the order of their arrival
    std::deque<std::unique_ptr<outcome>> pushers_;
    bool closed_ = false;
    std::uint64_t last_ = 0;
};

} // namespace
} // namespace epoque::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace epoque::fuzz; // NOLINT(google-build-using-namespace)
    program input(data, size);
    const std::size_t kind = input.below(8);
    switch (kind) {
    case 0:
        channel_program<std::uint64_t, epoque::queue<std::uint64_t>>(input, ~std::size_t{0}).run();
        break;
    case 1:
        channel_program<counted, epoque::queue<counted>>(input, ~std::size_t{0}).run();
        break;
    case 2:
        channel_program<counted, epoque::stack<counted>>(input, ~std::size_t{0}).run();
        break;
    default:
        channel_program<counted, bounded_list<counted>>(input, kind - 2).run();
    }
    check(counted::alive == 0, "every element is destroyed, once");
    return 0;
}
