// SPDX-License-Identifier: BSL-1.0
/// @file
/// Programs of an unbounded queue's operations against a std::deque.
///
///     steps    1 byte operation, then its arguments
///
/// Up to three queues share a domain, which is pinned in between, waited for, and replaced with everything in it. Each
/// step may have its n-th allocation fail; what was promised for that case is checked like everything else.
#pragma once

#include "allocation.hpp"
#include "elements.hpp"
#include "program.hpp"

#include "epoque/domain.hpp"

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

/// `Queue<T, Env>`: queue or mpsc_queue, by one thread.
template <template <class, class> class Queue, class T, class Env>
class unbounded_program {
  public:
    explicit unbounded_program(program& input) : input_(input) { open_domain(); }
    unbounded_program(const unbounded_program&) = delete;
    unbounded_program& operator=(const unbounded_program&) = delete;
    ~unbounded_program() { close_domain(); }

    void run() {
        for (int steps = 0; !input_.ended() && steps < most_steps; ++steps) {
            step();
        }
    }

  private:
    static constexpr int most_steps = 400;
    static constexpr std::size_t most_length = 64; // of a bulk operation

    struct pair {
        std::unique_ptr<Queue<T, Env>> real;
        std::deque<std::uint64_t> model;
        bool closed = false;
    };

    void step() {
        const std::size_t operation = input_.below(16);
        pair& on = queues_[input_.below(std::size(queues_))];
        switch (operation) {
        case 0:
        case 1:
            return push(on, input_.below(4) == 0 ? input_.byte() : 0U);
        case 2:
            return emplace(on);
        case 3:
            return push_range(on, input_.below(4) == 0 ? input_.byte() : 0U);
        case 4:
        case 5:
        case 6:
            return pop(on);
        case 7:
            return pop_some(on);
        case 8:
            return observe(on);
        case 9:
            on.real->close();
            on.closed = true;
            return observe(on);
        case 10:
            return reopen(on, input_.byte());
        case 11:
            return retire(on);
        case 12:
            home_->lock();
            ++pins_;
            return;
        case 13:
            if (pins_ != 0) {
                home_->unlock();
                --pins_;
            }
            return;
        case 14:
            if (pins_ == 0) {
                home_->barrier();
                check(home_->stats().pending_objects == 0, "after barrier() nothing waits");
            }
            return;
        default:
            close_domain();
            open_domain();
        }
    }

    // ---- pushing -------------------------------------------------------------------------------------------------------

    void push(pair& on, unsigned failing) {
        const std::uint64_t number = ++last_;
        T value = zoo<T>::make(number);
        conqueue_status status{};
        bool thrown = false;
        {
            const failing_allocation failure(failing);
            try {
                status = on.real->try_push(std::move(value));
            } catch (const std::bad_alloc&) {
                thrown = true;
                check(failing_allocation::happened(), "push throws only what an allocation throws");
            }
        }
        if (thrown || on.closed) {
            check(thrown || status == conqueue_status::closed, "a closed queue takes nothing");
            // NOLINTNEXTLINE(bugprone-use-after-move): that it is not moved from is the check
            check(zoo<T>::number(value) == number, "a push that fails leaves the value with the caller");
            return;
        }
        check(status == conqueue_status::success, "an open queue takes every element");
        on.model.push_back(number);
    }

    void emplace(pair& on) {
        const std::uint64_t number = ++last_;
        check(on.real->emplace(zoo<T>::make(number)) == !on.closed, "emplace succeeds until close");
        if (!on.closed) {
            on.model.push_back(number);
        }
    }

    void push_range(pair& on, unsigned failing) {
        const std::size_t count = input_.below(most_length);
        const std::uint64_t before = last_;
        std::vector<T> values;
        values.reserve(count);
        for (std::size_t i = 0; i < count; ++i) {
            values.push_back(zoo<T>::make(++last_));
        }
        std::size_t appended = 0;
        {
            const failing_allocation failure(failing);
            try {
                const auto rest =
                    on.real->push_range(std::make_move_iterator(values.begin()), std::make_move_iterator(values.end()));
                appended = static_cast<std::size_t>(rest.base() - values.begin());
                check(appended == (on.closed ? 0 : count), "push_range appends all, unless closed");
            } catch (const std::bad_alloc&) {
                check(failing_allocation::happened(), "push_range throws only what an allocation throws");
                check(on.real->was_size() >= on.model.size(), "a push_range that throws removes nothing");
                appended = on.real->was_size() - on.model.size();
                check(appended < count, "a push_range that throws has not appended everything");
            }
        }
        for (std::size_t i = 0; i < count; ++i) {
            if (i < appended) {
                on.model.push_back(before + 1 + i);
            } else {
                check(zoo<T>::number(values[i]) == before + 1 + i, "what push_range did not append is unchanged");
            }
        }
    }

    // ---- popping -------------------------------------------------------------------------------------------------------

    void pop(pair& on) {
        auto got = on.real->try_pop();
        if (on.model.empty()) {
            check(!got, "an empty queue has no element");
            check(got.error() == (on.closed ? conqueue_status::closed : conqueue_status::empty),
                  "an empty queue says empty, a closed one closed");
            return;
        }
        check(got.has_value(), "a queue that is not empty has an element");
        check(zoo<T>::number(*got) == on.model.front(), "the oldest element comes first");
        on.model.pop_front();
    }

    void pop_some(pair& on) {
        const std::size_t count = input_.below(most_length);
        std::vector<T> got;
        got.reserve(count);
        const std::size_t taken = on.real->try_pop_n(std::back_inserter(got), count);
        check(taken == got.size() && taken <= count, "try_pop_n says how many it took");
        check(taken == std::min(count, on.model.size()) || (taken != 0 && taken < on.model.size()),
              "try_pop_n takes what there is");
        for (const T& each : got) {
            check(zoo<T>::number(each) == on.model.front(), "try_pop_n takes the oldest elements, in order");
            on.model.pop_front();
        }
    }

    void observe(const pair& on) const {
        check(on.real->was_empty() == on.model.empty(), "was_empty is exact while nothing runs");
        check(on.real->was_size() == on.model.size(), "was_size is exact while nothing runs");
        check(on.real->is_closed() == on.closed, "is_closed is exact while nothing runs");
    }

    // ---- life cycles ---------------------------------------------------------------------------------------------------

    /// Another queue in its place; the old one goes with what is left in it.
    void reopen(pair& on, unsigned failing) {
        std::unique_ptr<Queue<T, Env>> fresh;
        {
            const failing_allocation failure(failing % 4);
            try {
                fresh = std::make_unique<Queue<T, Env>>(*home_);
            } catch (const std::bad_alloc&) {
                check(failing_allocation::happened(), "a queue's constructor throws only what an allocation throws");
                return;
            }
        }
        on = pair{std::move(fresh), {}, false};
    }

    /// The queue is destroyed by a deleter, whenever that runs.
    void retire(pair& on) {
        home_->retire(on.real.release());
        on = pair{std::make_unique<Queue<T, Env>>(*home_), {}, false};
    }

    void open_domain() {
        home_ = std::make_unique<basic_domain<Env>>();
        for (pair& each : queues_) {
            each = pair{std::make_unique<Queue<T, Env>>(*home_), {}, false};
        }
    }
    void close_domain() {
        for (pair& each : queues_) {
            each = pair{};
        }
        for (; pins_ != 0; --pins_) {
            home_->unlock();
        }
        home_.reset();
        check(counted::alive == 0, "every element is destroyed with its queue, once");
    }

    program& input_;
    std::unique_ptr<basic_domain<Env>> home_;
    pair queues_[3];
    unsigned pins_ = 0;
    std::uint64_t last_ = 0;
};

/// Runs an input: its first byte is the element type and the Env.
template <template <class, class> class Queue>
int run_unbounded(const std::uint8_t* data, std::size_t size) {
    program input(data, size);
    switch (input.below(6)) {
    case 0:
        unbounded_program<Queue, std::uint64_t, small_env>(input).run();
        break;
    case 1:
        unbounded_program<Queue, counted, unpooled_env>(input).run();
        break;
    case 2:
        unbounded_program<Queue, wide, unpooled_env>(input).run();
        break;
    case 3:
        unbounded_program<Queue, std::unique_ptr<counted>, unpooled_env>(input).run();
        break;
    case 4:
        unbounded_program<Queue, counted, small_env>(input).run();
        break;
    default:
        unbounded_program<Queue, std::uint64_t, std_env>(input).run();
    }
    return 0;
}

} // namespace epoque::fuzz
