// SPDX-License-Identifier: BSL-1.0
/// @file
/// Programs of stack operations against a std::vector. The input and the life cycles are as in queue_fuzz.cpp.
#include "allocation.hpp"
#include "elements.hpp"
#include "program.hpp"

#include "epoque/stack.hpp"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

namespace epoque::fuzz {
namespace {

template <class T, class Env>
class stack_program {
  public:
    explicit stack_program(program& input) : input_(input) { open_domain(); }
    stack_program(const stack_program&) = delete;
    stack_program& operator=(const stack_program&) = delete;
    ~stack_program() { close_domain(); }

    void run() {
        for (int steps = 0; !input_.ended() && steps < most_steps; ++steps) {
            step();
        }
    }

  private:
    static constexpr int most_steps = 400;
    static constexpr std::size_t most_length = 64; // of a bulk operation

    struct pair {
        std::unique_ptr<stack<T, Env>> real;
        std::vector<std::uint64_t> model; // the top is the last one
        bool closed = false;
    };

    void step() {
        const std::size_t operation = input_.below(16);
        pair& on = stacks_[input_.below(std::size(stacks_))];
        switch (operation) {
        case 0:
        case 1:
            return push(on, input_.below(4) == 0 ? 1U : 0U);
        case 2:
            return emplace(on);
        case 3:
            return push_range(on, input_.below(4) == 0 ? input_.byte() : 0U);
        case 4:
        case 5:
        case 6:
            return pop(on);
        case 7:
            return pop_all(on);
        case 8:
            return observe(on);
        case 9:
            on.real->close();
            on.closed = true;
            return observe(on);
        case 10:
            on = pair{std::make_unique<stack<T, Env>>(*home_), {}, false};
            return;
        case 11:
            home_->retire(on.real.release());
            on = pair{std::make_unique<stack<T, Env>>(*home_), {}, false};
            return;
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
            check(thrown || status == conqueue_status::closed, "a closed stack takes nothing");
            // NOLINTNEXTLINE(bugprone-use-after-move): that it is not moved from is the check
            check(zoo<T>::number(value) == number, "a push that fails leaves the value with the caller");
            return;
        }
        check(status == conqueue_status::success, "an open stack takes every element");
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
        if constexpr (std::is_nothrow_copy_constructible_v<T>) {
            const std::size_t count = input_.below(most_length);
            std::vector<T> values;
            std::vector<std::uint64_t> numbers;
            for (std::size_t i = 0; i < count; ++i) {
                numbers.push_back(++last_);
                values.push_back(zoo<T>::make(last_));
            }
            bool thrown = false;
            {
                const failing_allocation failure(failing);
                try {
                    const conqueue_status status = on.real->push_range(values.cbegin(), values.cend());
                    check(count == 0 || status == (on.closed ? conqueue_status::closed : conqueue_status::success),
                          "push_range pushes all, unless closed");
                } catch (const std::bad_alloc&) {
                    thrown = true; // and the next pops show that nothing was pushed
                    check(failing_allocation::happened(), "push_range throws only what an allocation throws");
                }
            }
            if (!thrown && !on.closed) {
                on.model.insert(on.model.end(), numbers.begin(), numbers.end());
            }
        } else {
            push(on, failing);
        }
    }

    // ---- popping -------------------------------------------------------------------------------------------------------

    void pop(pair& on) {
        auto got = on.real->try_pop();
        if (on.model.empty()) {
            check(!got, "an empty stack has no element");
            check(got.error() == (on.closed ? conqueue_status::closed : conqueue_status::empty),
                  "an empty stack says empty, a closed one closed");
            return;
        }
        check(got.has_value(), "a stack that is not empty has an element");
        check(zoo<T>::number(*got) == on.model.back(), "the newest element comes first");
        on.model.pop_back();
    }

    void pop_all(pair& on) {
        std::vector<std::uint64_t> got;
        got.reserve(on.model.size());
        const std::size_t taken = on.real->pop_all([&got](T&& each) noexcept { got.push_back(zoo<T>::number(each)); });
        check(taken == got.size(), "pop_all says how many it took");
        check(std::vector(got.rbegin(), got.rend()) == on.model, "pop_all takes everything, from the top");
        on.model.clear();
    }

    void observe(const pair& on) const {
        check(on.real->was_empty() == on.model.empty(), "was_empty is exact while nothing runs");
        check(on.real->is_closed() == on.closed, "is_closed is exact while nothing runs");
    }

    // ---- life cycles ---------------------------------------------------------------------------------------------------

    void open_domain() {
        home_ = std::make_unique<basic_domain<Env>>();
        for (pair& each : stacks_) {
            each = pair{std::make_unique<stack<T, Env>>(*home_), {}, false};
        }
    }
    void close_domain() {
        for (pair& each : stacks_) {
            each = pair{};
        }
        for (; pins_ != 0; --pins_) {
            home_->unlock();
        }
        home_.reset();
        check(counted::alive == 0, "every element is destroyed with its stack, once");
    }

    program& input_;
    std::unique_ptr<basic_domain<Env>> home_;
    pair stacks_[3];
    unsigned pins_ = 0;
    std::uint64_t last_ = 0;
};

} // namespace
} // namespace epoque::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace epoque::fuzz; // NOLINT(google-build-using-namespace)
    program input(data, size);
    switch (input.below(6)) {
    case 0:
        stack_program<std::uint64_t, small_env>(input).run();
        break;
    case 1:
        stack_program<counted, unpooled_env>(input).run();
        break;
    case 2:
        stack_program<wide, unpooled_env>(input).run();
        break;
    case 3:
        stack_program<std::unique_ptr<counted>, unpooled_env>(input).run();
        break;
    case 4:
        stack_program<counted, small_env>(input).run();
        break;
    default:
        stack_program<std::uint64_t, epoque::std_env>(input).run();
    }
    return 0;
}
