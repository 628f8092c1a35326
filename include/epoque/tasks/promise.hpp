// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: tasks. Depends on: base, tasks/completion.hpp, core/deadline.hpp, tasks/lane_core.hpp.
///
/// A task with a future: the callable, then what came of it, in one block of memory (tasks/completion.hpp: F1 to F4).
#pragma once

#include "epoque/core/deadline.hpp"
#include "epoque/tasks/completion.hpp"
#include "epoque/tasks/lane_core.hpp"
#include "epoque/tasks/task.hpp"

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>
#include <variant>

namespace epoque::core {

template <class Env>
class crew;

/// Where a task was submitted, so that a worker that waits for it can help. The lane is kept by who has this.
template <class Env>
struct origin {
    crew<Env>* team = nullptr; ///< null: an executor of which we know nothing
    lane_core<Env>* lane = nullptr;
};

/// What does not depend on the types.
template <class Env>
class promise : public task_node<Env>, public completion<Env> {
    using completion_type = completion<Env>;
    using outcome = typename completion_type::outcome;

  public:
    origin<Env> from() const noexcept { return from_; }

    /// By a thread that waits for it: runs or drops it, unless it has begun. True: it did.
    bool end_here(fate what) noexcept {
        if (!this->claim()) {
            return false;
        }
        this->finish(end_claimed(what), false);
        return true;
    }
    /// Cancels it, unless it has begun: then asks it to stop. True: it will never begin.
    bool cancel() noexcept {
        if (end_here(fate::drop)) {
            return true;
        }
        if (!this->is_ready()) {
            ask_to_stop();
        }
        return this->is_ready() && this->was_cancelled();
    }
    /// Gives up the future's reference.
    void leave() noexcept {
        if (this->release()) {
            end();
        }
    }

    /// Waits for the end.
    void wait_for_end() {
        if (!crew<Env>::has_running(from_.team) || from_.team->assist(*this)) {
            this->wait(never_passes());
            return;
        }
        if (from_.lane == nullptr) {
            this->wait(never_passes()); // it runs somewhere
            return;
        }
        // Somebody has the lane's turn. When that one gives it up, perhaps nobody but us is free to take it: look now and then.
        constexpr std::int64_t now_and_then = 1'000'000;
        while (!this->wait(passes_in<Env>(now_and_then)) && !from_.team->assist(*this)) {
        }
    }

  protected:
    explicit promise(origin<Env> from) noexcept : task_node<Env>(&promise::arrive), from_(from) {
        if (from_.lane != nullptr) {
            from_.lane->retain();
        }
    }
    ~promise() {
        if (from_.lane != nullptr) {
            from_.lane->release();
        }
    }

  private:
    virtual void invoke() noexcept = 0;      ///< runs the callable, keeps what comes of it, ends the callable
    virtual void discard() noexcept = 0;     ///< ends the callable
    virtual void ask_to_stop() noexcept = 0; ///< of a running one
    virtual void end() noexcept = 0;         ///< of the object

    static void arrive(task_node<Env>& node, fate what) noexcept {
        auto& self = static_cast<promise&>(node);
        if (self.claim() ? self.finish(self.end_claimed(what), true) : self.release()) {
            self.end();
        }
    }
    outcome end_claimed(fate what) noexcept {
        if (what == fate::drop) {
            discard();
            return outcome::cancelled;
        }
        invoke();
        return outcome::done;
    }

    const origin<Env> from_;
};

/// With a result of type R: a value, a pointer for a reference, a monostate for none; or an exception.
template <class Env, class R>
class promise_of : public promise<Env> {
  public:
    using stored =
        std::conditional_t<std::is_void_v<R>, std::monostate,
                           std::conditional_t<std::is_reference_v<R>, std::add_pointer_t<R>, std::remove_cv_t<R>>>;

    /// Precondition: is_ready(), not was_cancelled(). Throws: what the task threw.
    R take() {
        if (std::exception_ptr* const thrown = std::get_if<exception>(&result_); thrown != nullptr) {
            std::rethrow_exception(std::exchange(*thrown, nullptr));
        }
        if constexpr (std::is_reference_v<R>) {
            return static_cast<R>(**std::get_if<value>(&result_));
        } else if constexpr (!std::is_void_v<R>) {
            return std::move(*std::get_if<value>(&result_));
        }
    }

  protected:
    using promise<Env>::promise;
    ~promise_of() = default;

    template <class Work>
    void run(Work&& work) noexcept { // NOLINT(bugprone-exception-escape): an exception_ptr is kept without one
        try {
            if constexpr (std::is_void_v<R>) {
                std::forward<Work>(work)();
                result_.template emplace<value>();
            } else if constexpr (std::is_reference_v<R>) {
                auto&& there = std::forward<Work>(work)();
                result_.template emplace<value>(std::addressof(there));
            } else {
                result_.template emplace<value>(std::forward<Work>(work)());
            }
        } catch (...) {
            result_.template emplace<exception>(std::current_exception());
        }
    }

  private:
    enum : std::size_t { value = 1, exception = 2 }; // by number: the value may be an exception_ptr
    struct nothing {};
    std::variant<nothing, stored, std::exception_ptr> result_;
};

template <class Callable>
inline constexpr bool takes_stop_token = std::is_invocable_v<Callable&, std::stop_token>;

template <class Callable>
struct result_of {
    using type = std::invoke_result_t<Callable&>;
};
template <class Callable>
    requires takes_stop_token<Callable>
struct result_of<Callable> {
    using type = std::invoke_result_t<Callable&, std::stop_token>;
};

/// The whole.
template <class Env, class Callable>
class promise_to final : public promise_of<Env, typename result_of<Callable>::type> {
    using base = promise_of<Env, typename result_of<Callable>::type>;

  public:
    /// Throws: what the callable's construction throws; bad_alloc, where it takes a stop token.
    template <class F>
    promise_to(origin<Env> from, const std::stop_token& outer, F&& work)
        : base(from), work_(std::in_place, std::forward<F>(work)), stop_(outer) {}

  private:
    struct stopping {
        explicit stopping(std::stop_token token) : outer(std::move(token)) {} // `own` allocates
        std::stop_source own;
        std::stop_token outer;
    };
    struct unstoppable {
        explicit unstoppable(const std::stop_token&) noexcept {}
    };

    void invoke() noexcept override {
        this->run([this]() -> decltype(auto) {
            if constexpr (takes_stop_token<Callable>) {
                const std::stop_callback passed_on(stop_.outer, [this] { stop_.own.request_stop(); });
                return std::invoke(*work_, stop_.own.get_token());
            } else {
                return std::invoke(*work_);
            }
        });
        work_.reset();
    }
    void discard() noexcept override { work_.reset(); }
    void ask_to_stop() noexcept override {
        if constexpr (takes_stop_token<Callable>) {
            stop_.own.request_stop();
        }
    }
    void end() noexcept override { end_by_env<Env>(this); }

    std::optional<Callable> work_;
    [[no_unique_address]] std::conditional_t<takes_stop_token<Callable>, stopping, unstoppable> stop_;
};

} // namespace epoque::core
