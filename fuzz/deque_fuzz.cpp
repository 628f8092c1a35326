// SPDX-License-Identifier: BSL-1.0
/// @file
/// Programs of deque operations against a std::deque, one thread in all roles. Each byte string is a program (program.hpp).
#include "allocation.hpp"
#include "elements.hpp"
#include "program.hpp"

#include "epoque/deque.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <memory>
#include <new>

namespace epoque::fuzz {
namespace {

template <class T, class Env>
class deque_program {
  public:
    explicit deque_program(program& input) : input_(input) { open_domain(); }
    deque_program(const deque_program&) = delete;
    deque_program& operator=(const deque_program&) = delete;
    ~deque_program() { close_domain(); }

    void run() {
        for (int steps = 0; !input_.ended() && steps < most_steps; ++steps) {
            step();
        }
    }

  private:
    static constexpr int most_steps = 400;

    struct pair {
        std::unique_ptr<work_stealing_deque<T, Env>> real;
        std::deque<T> model; // the newest is the last one
    };

    void step() {
        const std::size_t operation = input_.below(17);
        pair& on = deques_[input_.below(std::size(deques_))];
        switch (operation) {
        case 0:
        case 1:
        case 2:
            return push(on, input_.below(4) == 0 ? 1 + input_.byte() % 2U : 0U);
        case 3:
            for (std::size_t count = input_.below(40); count != 0; --count) {
                push(on, 0);
            }
            return;
        case 4:
        case 5:
        case 6:
            return pop(on);
        case 7:
        case 8:
        case 9:
            return steal(on);
        case 10:
            check(on.real->was_empty() == on.model.empty(), "was_empty is exact while nothing runs");
            check(on.real->was_size() == on.model.size(), "was_size is exact while nothing runs");
            return;
        case 11:
            on = pair{std::make_unique<work_stealing_deque<T, Env>>(*home_), {}};
            return;
        case 12:
            home_->retire(on.real.release());
            on = pair{std::make_unique<work_stealing_deque<T, Env>>(*home_), {}};
            return;
        case 13:
            home_->lock();
            ++pins_;
            return;
        case 14:
            if (pins_ != 0) {
                home_->unlock();
                --pins_;
            }
            return;
        case 15:
            return trim(on, input_.below(4) == 0 ? 1 : 0);
        default:
            close_domain();
            open_domain();
        }
    }

    void trim(pair& on, unsigned failing) {
        const failing_allocation failure(failing);
        check(on.real->trim() || failing_allocation::happened(), "trim fails only where an allocation does");
    }

    void push(pair& on, unsigned failing) {
        const auto value = static_cast<T>(++last_);
        bool thrown = false;
        {
            const failing_allocation failure(failing);
            try {
                on.real->push(value);
            } catch (const std::bad_alloc&) {
                thrown = true; // and the next operations show that nothing was pushed
                check(failing_allocation::happened(), "push throws only what an allocation throws");
            }
        }
        if (!thrown) {
            on.model.push_back(value);
        }
    }

    void pop(pair& on) {
        const auto got = on.real->try_pop();
        check(got.has_value() == !on.model.empty(), "pop finds an element if there is one");
        if (!got) {
            check(got.error() == conqueue_status::empty, "pop says empty");
            return;
        }
        check(*got == on.model.back(), "the owner takes the newest");
        on.model.pop_back();
    }

    void steal(pair& on) {
        const auto got = on.real->try_steal();
        check(got.has_value() == !on.model.empty(), "steal finds an element if there is one");
        if (!got) {
            check(got.error() == conqueue_status::empty, "steal says empty; busy takes a second thread");
            return;
        }
        check(*got == on.model.front(), "a thief takes the oldest");
        on.model.pop_front();
    }

    void open_domain() {
        home_ = std::make_unique<basic_domain<Env>>();
        for (pair& each : deques_) {
            each = pair{std::make_unique<work_stealing_deque<T, Env>>(*home_), {}};
        }
    }
    void close_domain() {
        for (pair& each : deques_) {
            each = pair{};
        }
        for (; pins_ != 0; --pins_) {
            home_->unlock();
        }
        home_.reset();
    }

    program& input_;
    std::unique_ptr<basic_domain<Env>> home_;
    pair deques_[3];
    unsigned pins_ = 0;
    std::uint64_t last_ = 0;
};

} // namespace
} // namespace epoque::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace epoque::fuzz; // NOLINT(google-build-using-namespace)
    program input(data, size);
    switch (input.below(4)) {
    case 0:
        deque_program<std::uint64_t, small_env>(input).run();
        break;
    case 1:
        deque_program<std::uint64_t, unpooled_env>(input).run();
        break;
    case 2:
        deque_program<std::uint8_t, unpooled_env>(input).run();
        break;
    default:
        deque_program<std::uint32_t, epoque::std_env>(input).run();
    }
    return 0;
}
