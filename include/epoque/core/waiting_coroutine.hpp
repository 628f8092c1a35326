// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. Depends on: base, core/waiters.hpp.
///
/// A waiter (core/waiters.hpp) that is a coroutine: it lives in the awaiter, in the coroutine's frame.
///
/// The frame must not go while the thread that suspends it still touches the channel, so two have to come together before
/// the coroutine goes on: the dispatcher that has answered it, and the thread that has finished listing it. Who comes second
/// resumes it (`phase_`).
#pragma once

#include "epoque/base/config.hpp"
#include "epoque/base/env.hpp"
#include "epoque/base/error.hpp"
#include "epoque/core/waiters.hpp"

#include <cerrno>
#include <coroutine>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <system_error>
#include <utility>

namespace epoque::core {

/// `Resume` is called with the coroutine's handle, and sees to it that it is resumed.
template <class Env, class Resume>
class waiting_coroutine : public waiter<Env> {
  protected:
    waiting_coroutine(awaited what, Resume resume, std::stop_token stop) noexcept
        : waiter<Env>(what, true), resume_(std::move(resume)), stop_(std::move(stop)) {}
    ~waiting_coroutine() {
        // [end.phase] relaxed: in a correct program nobody changes it any more.
        if (phase_.load(Env::relaxed) == listed) {
            misuse("a coroutine that waits in a channel was destroyed; the channel would resume freed memory. End its "
                   "wait "
                   "first: close the channel, or request a stop by the token of async_pop or async_push.");
        }
    }

  public:
    /// Nobody would try again for it: it waits for the look of the operation that is in the way.
    static constexpr bool tries_when_busy = false;

    /// What await_suspend does. False: it has been answered, and goes on at once. Not inlined: a compiler might keep
    /// locals in the frame, which may be gone before this returns.
    EPOQUE_NOINLINE bool suspend(waiters<Env>& among, std::coroutine_handle<> self) {
        // [suspend.once] relaxed: nobody else knows of this wait yet.
        if (phase_.load(Env::relaxed) != 0) {
            misuse("what async_pop or async_push returned was awaited twice. Call it again for each co_await.");
        }
        self_ = self;
        // Before it is listed: afterwards it may be resumed at any moment, and its end would race with this.
        on_stop_.emplace(stop_, cancel{&among, this});
        if (!among.enter(*this)) {
            refused_ = true;
            among.cancel(*this);
        }
        // [suspend.list] acq_rel: pairs with [suspend.answer]
        //   If the answer is there, we see it; if not, whoever brings it sees that we are done with the channel.
        return (phase_.fetch_or(listed, Env::acq_rel) & answered) == 0;
    }
    /// What await_resume does first. Throws: system_error where `given_up` and the kernel had refused the barrier.
    void resumed(bool given_up) {
        on_stop_.reset(); // waits for a callback that runs in another thread
        if (given_up && refused_) {
            throw std::system_error(EPERM, std::generic_category(),
                                    "epoque: the kernel now refuses membarrier. Start with EPOQUE_BARRIER=fallback");
        }
    }
    bool stop_requested() const noexcept { return stop_.stop_requested(); }

  private:
    struct cancel {
        waiters<Env>* among;
        waiting_coroutine* self;
        void operator()() const noexcept { among->cancel(*self); }
    };
    enum : std::uint32_t { listed = 1, answered = 2 };

    void deliver() noexcept final {
        // [suspend.answer] acq_rel: pairs with [suspend.list]
        //   As there.
        if ((phase_.fetch_or(answered, Env::acq_rel) & listed) != 0) {
            Resume resume = std::move(resume_); // the frame may end inside the call
            resume(self_);
        }
    }

    Resume resume_;
    std::stop_token stop_;
    std::optional<std::stop_callback<cancel>> on_stop_;
    std::coroutine_handle<> self_;
    bool refused_ = false;
    typename Env::template atomic<std::uint32_t> phase_{0};
};

} // namespace epoque::core
