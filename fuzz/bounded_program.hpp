// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: outside. Depends on: epoque/base, allocation.hpp, elements.hpp, program.hpp.
///
/// Programs of a bounded queue's operations against a std::deque.
///
///     input:  1 byte   capacity
///             steps    1 byte operation, then its arguments
#pragma once

#include "allocation.hpp"
#include "elements.hpp"
#include "program.hpp"

#include "epoque/base/error.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace epoque::fuzz {
/// `Maker::make(capacity)` gives a std::unique_ptr to a queue of T.
template <class T, class Maker>
class bounded_program {
  public:
    bounded_program(program& input, Maker maker) : input_(input), maker_(maker) { reopen(0); }
    bounded_program(const bounded_program&) = delete;
    bounded_program& operator=(const bounded_program&) = delete;
    ~bounded_program() {
        line_.reset();
        check(counted::alive == 0, "every element is destroyed with its queue, once");
    }

    void run() {
        for (int steps = 0; !input_.ended() && steps < most_steps; ++steps) {
            step();
        }
    }

  private:
    static constexpr int most_steps = 400;
    static constexpr std::size_t most_length = 32; // of a bulk operation

    void step() {
        switch (input_.below(16)) {
        case 0:
        case 1:
        case 2:
        case 3:
            return push();
        case 4:
        case 5:
            return push_range();
        case 6:
        case 7:
        case 8:
        case 9:
            return pop();
        case 10:
        case 11:
            return pop_some();
        case 12:
        case 13:
            return observe();
        case 14:
            line_->close();
            closed_ = true;
            return observe();
        default:
            reopen(input_.byte());
        }
    }

    void push() {
        const std::uint64_t number = ++last_;
        T value = zoo<T>::make(number);
        const conqueue_status status = line_->try_push(std::move(value));
        if (closed_ || model_.size() == capacity_) {
            check(status == (closed_ ? conqueue_status::closed : conqueue_status::full), "closed before full");
            // NOLINTNEXTLINE(bugprone-use-after-move): that it is not moved from is the check
            check(zoo<T>::number(value) == number, "a push that fails leaves the value with the caller");
            return;
        }
        check(status == conqueue_status::success, "a queue with room takes every element");
        model_.push_back(number);
    }

    void push_range() {
        const std::size_t count = input_.below(most_length);
        const std::uint64_t before = last_;
        std::vector<T> values;
        values.reserve(count);
        for (std::size_t i = 0; i < count; ++i) {
            values.push_back(zoo<T>::make(++last_));
        }
        const auto rest =
            line_->push_range(std::make_move_iterator(values.begin()), std::make_move_iterator(values.end()));
        const auto appended = static_cast<std::size_t>(rest.base() - values.begin());
        check(appended == (closed_ ? 0 : std::min(count, capacity_ - model_.size())),
              "push_range appends as many as fit");
        for (std::size_t i = 0; i < count; ++i) {
            if (i < appended) {
                model_.push_back(before + 1 + i);
            } else {
                check(zoo<T>::number(values[i]) == before + 1 + i, "what push_range did not append is unchanged");
            }
        }
    }

    void pop() {
        auto got = line_->try_pop();
        if (model_.empty()) {
            check(!got, "an empty queue has no element");
            check(got.error() == (closed_ ? conqueue_status::closed : conqueue_status::empty),
                  "an empty queue says empty, a closed one closed");
            return;
        }
        check(got.has_value(), "a queue that is not empty has an element");
        check(zoo<T>::number(*got) == model_.front(), "the oldest element comes first");
        model_.pop_front();
    }

    void pop_some() {
        const std::size_t count = input_.below(most_length);
        std::vector<T> got;
        got.reserve(count);
        const std::size_t taken = line_->try_pop_n(std::back_inserter(got), count);
        check(taken == got.size() && taken == std::min(count, model_.size()), "try_pop_n takes what there is");
        for (const T& each : got) {
            check(zoo<T>::number(each) == model_.front(), "try_pop_n takes the oldest elements, in order");
            model_.pop_front();
        }
    }

    void observe() const {
        check(line_->was_empty() == model_.empty(), "was_empty is exact while nothing runs");
        check(line_->was_size() == model_.size(), "was_size is exact while nothing runs");
        check(line_->is_closed() == closed_, "is_closed is exact while nothing runs");
        check(line_->capacity() == capacity_, "the capacity is what was asked for");
    }

    /// Another queue in its place; the old one goes with what is left in it.
    void reopen(unsigned failing) {
        const std::size_t capacity = 1 + input_.below(33);
        {
            const failing_allocation failure(failing % 3);
            try {
                line_ = maker_.make(capacity);
            } catch (const std::bad_alloc&) {
                check(failing_allocation::happened(), "a constructor throws only what an allocation throws");
                return;
            }
        }
        capacity_ = capacity;
        model_.clear();
        closed_ = false;
    }

    program& input_;
    Maker maker_;
    decltype(std::declval<Maker&>().make(1)) line_;
    std::size_t capacity_ = 0;
    std::deque<std::uint64_t> model_;
    bool closed_ = false;
    std::uint64_t last_ = 0;
};

} // namespace epoque::fuzz
