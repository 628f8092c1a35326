// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. Depends on: base, core/waiters.hpp.
///
/// What a waiter (core/waiters.hpp) waits to do: a push or a pop, tried by its owner before it is listed and by the dispatcher
/// afterwards, never by both at the same time.
#pragma once

#include "epoque/base/error.hpp"
#include "epoque/base/expected.hpp"
#include "epoque/core/waiters.hpp"

#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace epoque::core {

/// Whether `status` is final: more waiting changes nothing.
constexpr bool is_answer(conqueue_status status) noexcept {
    return status == conqueue_status::success || status == conqueue_status::closed;
}

template <class Queue>
class popping {
    using value_type = typename Queue::value_type;

  public:
    using result = expected<value_type, conqueue_status>;
    using memory = std::optional<value_type>; // of what was popped
    static constexpr awaited waits_for = awaited::an_element;
    static constexpr awaited makes = awaited::room;

    explicit popping(Queue& from) noexcept : from_(from) {}
    conqueue_status operator()(memory& into) const {
        result got = from_.try_pop();
        if (!got) {
            return got.error();
        }
        into.emplace(*std::move(got));
        return conqueue_status::success;
    }
    static result answer(conqueue_status status, memory& value) noexcept {
        if (status == conqueue_status::success) {
            return *std::move(value); // NOLINT(bugprone-unchecked-optional-access): success says that it is there
        }
        return unexpected(status);
    }

  private:
    Queue& from_;
};

template <class Queue>
class pushing {
    using value_type = typename Queue::value_type;

  public:
    using result = conqueue_status;
    struct memory {};
    static constexpr awaited waits_for = awaited::room;
    static constexpr awaited makes = awaited::an_element;

    /// `value` stays where it is until it is in the container.
    pushing(Queue& into, value_type& value) noexcept : into_(into), value_(value) {}
    conqueue_status operator()(memory&) const { return into_.try_push(std::move(value_)); }
    static result answer(conqueue_status status, memory&) noexcept { return status; }

  private:
    Queue& into_;
    value_type& value_;
};

/// `Kind`: waiting_thread or waiting_coroutine. `Action`: popping or pushing.
template <class Kind, class Action>
class waiting_operation : public Kind {
  public:
    template <class... Arguments>
    explicit waiting_operation(Action action, Arguments&&... arguments) noexcept
        : Kind(Action::waits_for, std::forward<Arguments>(arguments)...), action_(action) {}

    /// By the owner, while it is not listed. Throws: what the container throws.
    conqueue_status try_now() { return status_ = action_(memory_); }

    /// By the owner, when it has been answered or was never listed. Throws: what the container threw.
    typename Action::result answer() {
        if (error_) {
            std::rethrow_exception(std::exchange(error_, nullptr));
        }
        return Action::answer(status_, memory_);
    }
    conqueue_status status() const noexcept { return status_; }
    bool gave_up() const noexcept { return !error_ && !is_answer(status_); }

  private:
    bool attempt() noexcept final {
        try {
            return is_answer(try_now()) || (Kind::tries_when_busy && status_ == conqueue_status::busy);
        } catch (...) {
            error_ = std::current_exception();
            return true;
        }
    }
    void give_up() noexcept final {} // `status_` is the last attempt's

    const Action action_;
    [[no_unique_address]] typename Action::memory memory_;
    conqueue_status status_ = conqueue_status::busy;
    std::exception_ptr error_;
};

} // namespace epoque::core
