// SPDX-License-Identifier: BSL-1.0
/// @file
/// Waiting in a channel (core/interest.hpp, core/waiters.hpp, core/waiting_*.hpp) under the model checker. The container is
/// a counter of tokens, so that what is checked is the waiting. A lost wake-up is an execution that never ends.
#include "env/model_test.hpp"

#include "epoque/channel.hpp"

namespace epoque::stress::model {
namespace {

using env = model_env;

/// What a push that sleeps on its way tells, and waits for.
struct sleepy {
    env::atomic<std::uint32_t> published{0};
    env::atomic<std::uint32_t> received{0};
};

/// A linearizable container of equal elements, in one word, that is no stronger than it must be.
class tokens {
  public:
    using value_type = std::uint64_t;
    static constexpr bool is_fifo = true;

    tokens(std::uint32_t filled, std::uint32_t capacity, sleepy& sleeping)
        : word_(filled), capacity_(capacity), sleeping_(sleeping) {}

    conqueue_status try_push(std::uint64_t&& value) {
        std::uint32_t seen = word_.load(env::acquire);
        do {
            if ((seen & closed) != 0) {
                return conqueue_status::closed;
            }
            if (seen == capacity_) {
                return conqueue_status::full;
            }
        } while (!word_.compare_exchange_strong(seen, seen + 1, env::acq_rel, env::acquire));
        if (value == slow) {
            sleeping_.published.store(1, env::release);
            while (sleeping_.received.load(env::relaxed) != 2) {
                env::pause();
            }
        }
        return conqueue_status::success;
    }
    expected<std::uint64_t, conqueue_status> try_pop() {
        std::uint32_t seen = word_.load(env::acquire);
        do {
            if ((seen & ~closed) == 0) {
                return unexpected((seen & closed) != 0 ? conqueue_status::closed : conqueue_status::empty);
            }
        } while (!word_.compare_exchange_strong(seen, seen - 1, env::acq_rel, env::acquire));
        return 1;
    }
    void close() noexcept { word_.fetch_or(closed, env::acq_rel); }
    bool is_closed() const noexcept { return (word_.load(env::acquire) & closed) != 0; }

    /// A push of this value puts its token in, and then sleeps until two have been received.
    static constexpr std::uint64_t slow = 99;

  private:
    static constexpr std::uint32_t closed = 1U << 16;
    env::atomic<std::uint32_t> word_;
    const std::uint32_t capacity_;
    sleepy& sleeping_;
};

using tested = channel<std::uint64_t, tokens, env>;

/// The channel is made anew for each execution; `Filled` of its `Capacity` tokens are in it.
template <class Derived, int Threads, std::uint32_t Filled = 0, std::uint32_t Capacity = 4>
struct waiting : suite<Derived, Threads> {
    sleepy sleeping;
    std::optional<tested> on;
    env::atomic<std::uint32_t>& received = sleeping.received;

    void setup() { on.emplace(Filled, Capacity, sleeping); }
    void finish() {
        require(on->was_waiting() == 0, "somebody is still counted");
        on.reset();
    }

    void push() { require(on->push(1), "it is not closed"); }
    void pop() { require(on->pop().has_value(), "it is not closed"); }
};

struct push_wakes_pop : waiting<push_wakes_pop, 2> {
    void body(unsigned thread) { thread == 0 ? push() : pop(); }
};

struct pop_wakes_push : waiting<pop_wakes_push, 2, 1, 1> {
    void body(unsigned thread) { thread == 0 ? pop() : push(); }
};

struct two_of_each : waiting<two_of_each, 4> {
    void body(unsigned thread) { thread < 2 ? push() : pop(); }
};

/// Each waits for the other by turns.
struct narrow : waiting<narrow, 2, 0, 1> {
    void body(unsigned thread) {
        for (int i = 0; i < 2; ++i) {
            thread == 0 ? push() : pop();
        }
    }
};

/// One wakes two: the second element is for the second waiter.
struct one_for_two : waiting<one_for_two, 3> {
    void body(unsigned thread) {
        if (thread == 0) {
            push();
            push();
        } else {
            pop();
        }
    }
};

/// A push that sleeps between its element and its look leaves nobody asleep beside elements, once another one looks.
struct stopped_push : waiting<stopped_push, 4> {
    void body(unsigned thread) {
        if (thread == 0) {
            on->push(tokens::slow);
        } else if (thread == 1) {
            while (sleeping.published.load(env::acquire) == 0) {
                env::pause();
            }
            push();
        } else {
            pop();
            received.fetch_add(1, env::relaxed);
        }
    }
};

struct close_wakes : waiting<close_wakes, 3, 0, 4> {
    void body(unsigned thread) {
        if (thread == 0) {
            on->close();
        } else {
            require(!on->pop().has_value(), "there was nothing");
        }
    }
};

struct close_wakes_push : waiting<close_wakes_push, 2, 1, 1> {
    void body(unsigned thread) {
        if (thread == 0) {
            on->close();
        } else {
            require(!on->push(1), "there was no room");
        }
    }
};

/// The waiter's stack is gone when it has returned: the canaries of its atomics tell who comes late.
struct timeout : waiting<timeout, 2> {
    void body(unsigned thread) {
        if (thread == 0) {
            push();
        } else {
            const auto got = on->pop_for(std::chrono::seconds(4));
            require(got || got.error() == conqueue_status::empty, "it is not closed");
            received.store(got ? 1 : 0, env::relaxed);
        }
    }
    void finish() {
        require(on->try_pop().has_value() == (received.load(env::relaxed) == 0), "the element was lost or came twice");
        waiting::finish();
    }
};

/// Two give up, one of the two may have been served.
struct timeouts : waiting<timeouts, 3> {
    void body(unsigned thread) {
        if (thread == 0) {
            push();
        } else if (on->pop_for(std::chrono::seconds(3))) {
            received.fetch_add(1, env::relaxed);
        }
    }
    void finish() {
        const std::uint32_t left = on->try_pop() ? 1 : 0;
        require(received.load(env::relaxed) + left == 1, "the element was lost or came twice");
        waiting::finish();
    }
};

/// Runs at once, ends by itself; the frame lies in the model's memory.
struct detached {
    struct promise_type {
        static void* operator new(std::size_t bytes) { return env::allocate(bytes, alignof(std::max_align_t)); }
        static void operator delete(void* frame, std::size_t bytes) noexcept {
            env::deallocate(frame, bytes, alignof(std::max_align_t));
        }
        detached get_return_object() noexcept { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() noexcept { fail("an exception"); }
    };
};

detached pop_async(std::optional<tested>& from, env::atomic<std::uint32_t>& received) {
    const auto got = co_await from->async_pop();
    received.store(got ? 1 : 2, env::release);
}

struct push_resumes : waiting<push_resumes, 2> {
    void body(unsigned thread) {
        if (thread == 0) {
            push();
        } else {
            pop_async(on, received);
        }
    }
    void finish() {
        require(received.load(env::relaxed) == 1, "the coroutine was forgotten");
        waiting::finish();
    }
};

struct close_resumes : waiting<close_resumes, 2> {
    void body(unsigned thread) {
        if (thread == 0) {
            on->close();
        } else {
            pop_async(on, received);
        }
    }
    void finish() {
        require(received.load(env::relaxed) == 2, "the coroutine was forgotten");
        waiting::finish();
    }
};

/// The channel ends as soon as the coroutine has gone on, while the thread that suspended it may still be on its way out.
struct end_after_resume : waiting<end_after_resume, 2> {
    void body(unsigned thread) {
        if (thread == 0) {
            push();
            while (received.load(env::acquire) == 0) {
                env::pause();
            }
            on.reset();
        } else {
            pop_async(on, received);
        }
    }
    void finish() {}
};

} // namespace
} // namespace epoque::stress::model

int main(int argc, char** argv) {
    using namespace epoque::stress::model;
    program tests("channel_model");
    const auto both_ways = [&tests]<class Suite>(test wanted) {
        wanted.executions = 40'000;
        const std::string name = wanted.name;
        tests.add<Suite>(wanted);
        wanted.mode = barrier_mode::fallback;
        wanted.name = name + "_fallback";
        tests.add<Suite>(wanted);
    };
    both_ways.operator()<push_wakes_pop>(
        {.name = "push_wakes_pop", .what = "a push wakes a thread on its way to sleep"});
    both_ways.operator()<pop_wakes_push>({.name = "pop_wakes_push", .what = "a pop wakes a push on its way to sleep"});
    both_ways.operator()<two_of_each>({.name = "two_of_each", .what = "two pushes, two that wait"});
    both_ways.operator()<narrow>({.name = "narrow", .what = "both sides wait for each other by turns"});
    both_ways.operator()<one_for_two>({.name = "one_for_two", .what = "one thread wakes two"});
    both_ways.operator()<stopped_push>(
        {.name = "stopped_push", .what = "a push that stops before its look leaves nobody asleep beside elements"});
    both_ways.operator()<close_wakes>(
        {.name = "close_wakes", .what = "a close wakes all threads on their way to sleep"});
    both_ways.operator()<close_wakes_push>({.name = "close_wakes_push", .what = "a close wakes a push"});
    both_ways.operator()<timeout>({.name = "timeout", .what = "a push meets a thread that gives up"});
    both_ways.operator()<timeouts>({.name = "timeouts", .what = "a push meets two threads that give up"});
    both_ways.operator()<push_resumes>({.name = "push_resumes", .what = "a push meets a coroutine that is suspended"});
    both_ways.operator()<close_resumes>(
        {.name = "close_resumes", .what = "a close meets a coroutine that is suspended"});
    both_ways.operator()<end_after_resume>(
        {.name = "end_after_resume", .what = "the channel ends while a thread comes back from suspending"});
    tests.add<push_wakes_pop>({.name = "push_wakes_pop_refused",
                               .what = "the kernel begins to refuse membarrier: who waits looks again and again",
                               .mode = barrier_mode::heavy_refused});
    for (const barrier_mode mode : {barrier_mode::light_removed, barrier_mode::heavy_removed}) {
        const std::string how = mode == barrier_mode::light_removed ? "_light_removed" : "_heavy_removed";
        tests.add<push_wakes_pop>({.name = "push_wakes_pop" + how,
                                   .what = "without its barrier the wake-up is lost",
                                   .executions = 100'000,
                                   .mode = mode,
                                   .expected = expectation::caught});
        tests.add<push_resumes>({.name = "push_resumes" + how,
                                 .what = "without its barrier the coroutine is forgotten",
                                 .executions = 100'000,
                                 .mode = mode,
                                 .expected = expectation::caught});
    }
    return tests.run(argc, argv);
}
