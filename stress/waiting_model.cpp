// SPDX-License-Identifier: BSL-1.0
/// @file
/// The waiting of the C interface (ffi/waiting.hpp, ffi/notifier.hpp, core/interest.hpp) under Relacy: sleepers, senders, a closer, a task
/// that parks and the dispatcher that wakes it. A lost wake-up or announcement is an execution that never ends.
#include "env/model_test.hpp"

#include "../ffi/waiting.hpp"

#include <optional>

namespace epoque::stress::model {
namespace {

using env = model_env;

/// The kernel's part: futexes whose sleepers see a wake only by it, with what the waker did before (the kernel's wake-up
/// orders that); and an event that is readable or not, and orders nothing.
struct model_kernel {
    static constexpr std::int64_t never = ffi::kernel::never;
    static std::int64_t deadline_in(std::int64_t) { return 0; }

    struct sleeping {
        bool queued = false;
        env::atomic<int> woken{0};
    };
    struct futexes {
        sleeping thread[max_threads];
    };
    inline static futexes* now = nullptr; // of this execution

    /// With a deadline it may return early, and does.
    static void wait(env::atomic<std::uint32_t>& word, std::uint32_t key, std::int64_t deadline) {
        if (deadline != never) {
            env::pause();
            return;
        }
        sleeping& self = now->thread[detail::thread()];
        {
            const detail::uninterrupted by_the_kernel; // it compares with the newest value, and queues, in one step
            if (word.fetch_add(0, env::relaxed) != key) {
                return;
            }
            self.woken.store(0, env::relaxed);
            self.queued = true;
        }
        while (self.woken.load(env::acquire) == 0) {
            env::pause();
        }
    }
    static void wake(env::atomic<std::uint32_t>&, std::uint32_t count) {
        const detail::uninterrupted by_the_kernel;
        for (sleeping& each : now->thread) {
            if (each.queued && count != 0) {
                each.queued = false;
                each.woken.store(1, env::release);
                --count;
            }
        }
    }

    class event {
      public:
        void signal() { readable_.store(1, env::relaxed); }
        /// Waits until it is readable, and reads it.
        void wait() {
            while (readable_.exchange(0, env::relaxed) == 0) {
                env::pause();
            }
        }

      private:
        env::atomic<int> readable_{0};
    };
};

using cell_type = ffi::waiting_cell<env, model_kernel>;
using sleeper_type = ffi::sleeper<env, model_kernel>;
using notifier_type = ffi::notifier<env, model_kernel>;

/// What senders, closers and receivers have in common. The object is a count of elements.
template <class Derived, int Threads>
struct waiting : suite<Derived, Threads> {
    model_kernel::futexes futexes;
    notifier_type notifier;
    cell_type* cell = cell_type::make();
    env::atomic<int> element[2]; // 1: there
    env::atomic<int> closed{0};

    void setup() { model_kernel::now = &futexes; }
    void finish() { cell->release(); }

    void send(unsigned which) {
        element[which].store(1, env::release);
        cell->sent(env::asymmetric(), notifier, 1);
    }
    /// Takes one element; 0: there is none; -1: closed.
    int take() {
        const int end = closed.load(env::acquire);
        for (env::atomic<int>& each : element) {
            int there = 1;
            if (each.load(env::acquire) == 1 && each.compare_exchange_strong(there, 2, env::acquire, env::relaxed)) {
                return 1;
            }
        }
        return end == 1 ? -1 : 0;
    }
    bool was_empty() { return element[0].load(env::relaxed) != 1 && element[1].load(env::relaxed) != 1; }

    /// As operations.hpp: wait_and_receive.
    int receive(sleeper_type& self) {
        self.order();
        for (;;) {
            const std::uint32_t key = self.key();
            const int got = take();
            if (got == 1 && !was_empty()) {
                self.pass_on();
            }
            if (got != 0) {
                return got;
            }
            self.sleep(key, model_kernel::never);
        }
    }
    int receive() {
        sleeper_type self(*cell);
        return receive(self);
    }
};

struct sleeping : waiting<sleeping, 2> {
    void body(unsigned thread) {
        if (thread == 0) {
            send(0);
        } else {
            require(receive() == 1, "woken for nothing");
        }
    }
};

struct two_of_each : waiting<two_of_each, 4> {
    void body(unsigned thread) {
        if (thread < 2) {
            send(thread);
        } else {
            require(receive() == 1, "woken for nothing");
        }
    }
};

/// The first sender stops between its element and its wake until both elements were received.
struct stopped_sender : waiting<stopped_sender, 4> {
    env::atomic<int> received{0};
    env::atomic<int> published{0};

    void body(unsigned thread) {
        if (thread == 0) {
            element[0].store(1, env::release);
            published.store(1, env::release);
            while (received.load(env::relaxed) != 2) {
                env::pause();
            }
            cell->sent(env::asymmetric(), notifier, 1);
        } else if (thread == 1) {
            while (published.load(env::acquire) == 0) {
                env::pause();
            }
            send(1);
        } else {
            require(receive() == 1, "woken for nothing");
            received.fetch_add(1, env::relaxed);
        }
    }
};

/// The closer also drops the object's reference: the sleeper's own one keeps the cell until it has left.
struct ending : waiting<ending, 2> {
    std::optional<sleeper_type> self;

    void setup() {
        waiting::setup();
        self.emplace(*cell);
    }
    void body(unsigned thread) {
        if (thread == 0) {
            closed.store(1, env::release);
            cell->ended(notifier);
            cell->release();
        } else {
            // Not as in receive(): the cell itself may only be reached by the sleeper.
            self->order();
            for (std::uint32_t key = self->key(); take() == 0; key = self->key()) {
                self->sleep(key, model_kernel::never);
            }
            self.reset();
        }
    }
    void finish() {}
};

/// The registration may come before, during or after the end.
struct registering_at_the_end : waiting<registering_at_the_end, 2> {
    void body(unsigned thread) {
        if (thread == 0) {
            closed.store(1, env::release);
            cell->ended(notifier);
        } else {
            require(receive() == -1, "woken for nothing");
        }
    }
};

/// A task that parks; the last thread is the dispatcher that unparks it.
template <class Derived, int Senders>
struct parking_task : waiting<Derived, Senders + 2> {
    using base = waiting<Derived, Senders + 2>;
    env::atomic<int> announced{0};
    env::atomic<int> done{0};
    static constexpr std::uint64_t handle = 0x0100000000000007;

    /// As docs/boundary.md says: look, arm, look again, park. False: the kernel refused the barrier.
    int receive() {
        for (;;) {
            const int before = announced.load(env::acquire);
            if (const int got = base::take(); got != 0) {
                return got;
            }
            if (base::cell->claim(handle) != handle || !base::cell->arm()) {
                return 0;
            }
            if (const int got = base::take(); got != 0) {
                return got;
            }
            while (announced.load(env::acquire) == before) {
                env::pause();
            }
        }
    }
    void dispatch() {
        while (done.fetch_add(0, env::relaxed) == 0) { // the newest value: the event orders nothing
            base::notifier.event().wait();
            take_all();
        }
    }
    void take_all() {
        for (bool more = true; more;) {
            std::uint64_t handles[1] = {0};
            std::size_t taken = 0;
            require(base::notifier.take(handles, 1, taken, more), "nobody else takes");
            if (taken == 1) {
                require(handles[0] == handle, "a handle that nobody announced");
                announced.fetch_add(1, env::release);
            }
        }
    }
    /// What was announced after the dispatcher had left is still listed.
    void finish() {
        take_all();
        base::finish();
    }
    void leave() {
        done.store(1, env::relaxed);
        base::notifier.event().signal();
    }
};

struct parking_for_a_send : parking_task<parking_for_a_send, 1> {
    void body(unsigned thread) {
        if (thread == 0) {
            send(0);
        } else if (thread == 1) {
            require(receive() == 1, "no element");
            leave();
        } else {
            dispatch();
        }
    }
};

struct parking_for_two_sends : parking_task<parking_for_two_sends, 2> {
    void body(unsigned thread) {
        if (thread < 2) {
            send(thread);
        } else if (thread == 2) {
            require(receive() == 1, "no element");
            require(receive() == 1, "no second element");
            leave();
        } else {
            dispatch();
        }
    }
};

struct parking_for_an_end : parking_task<parking_for_an_end, 1> {
    void body(unsigned thread) {
        if (thread == 0) {
            closed.store(1, env::release);
            cell->ended(notifier);
        } else if (thread == 1) {
            require(receive() == -1, "no end");
            leave();
        } else {
            dispatch();
        }
    }
};

/// What the second look is for.
struct parking_without_a_second_look : parking_task<parking_without_a_second_look, 1> {
    void body(unsigned thread) {
        if (thread == 0) {
            send(0);
        } else if (thread == 1) {
            while (take() == 0) {
                const int before = announced.load(env::acquire);
                cell->claim(handle);
                cell->arm();
                while (announced.load(env::acquire) == before) {
                    env::pause();
                }
            }
            leave();
        } else {
            dispatch();
        }
    }
};

} // namespace
} // namespace epoque::stress::model

int main(int argc, char** argv) {
    using namespace epoque::stress::model;
    program tests("waiting_model");
    const auto both_ways = [&tests]<class Suite>(test wanted) {
        const std::string name = wanted.name;
        tests.add<Suite>(wanted);
        wanted.mode = barrier_mode::fallback;
        wanted.name = name + "_fallback";
        tests.add<Suite>(wanted);
    };
    both_ways.operator()<sleeping>({.name = "sleeping", .what = "a send wakes a thread on its way to sleep"});
    both_ways.operator()<two_of_each>({.name = "two_of_each", .what = "two senders, two sleepers"});
    both_ways.operator()<stopped_sender>(
        {.name = "stopped_sender", .what = "a sender that stops before its wake leaves nobody asleep beside elements"});
    both_ways.operator()<ending>({.name = "ending", .what = "an end wakes a sleeper and frees nothing under it"});
    both_ways.operator()<registering_at_the_end>(
        {.name = "registering_at_the_end", .what = "an end wakes a thread on its way to sleep"});
    both_ways.operator()<parking_for_a_send>({.name = "parking_for_a_send", .what = "a send is announced"});
    both_ways.operator()<parking_for_two_sends>(
        {.name = "parking_for_two_sends", .what = "announcements that meet in the list are not lost"});
    both_ways.operator()<parking_for_an_end>({.name = "parking_for_an_end", .what = "an end is announced"});
    tests.add<sleeping>({.name = "sleeping_refused",
                         .what = "the kernel begins to refuse membarrier: the sleeper looks again and again",
                         .mode = barrier_mode::heavy_refused});
    for (const barrier_mode mode : {barrier_mode::light_removed, barrier_mode::heavy_removed}) {
        const std::string how = mode == barrier_mode::light_removed ? "_light_removed" : "_heavy_removed";
        tests.add<sleeping>({.name = "sleeping" + how,
                             .what = "without its barrier the send is lost",
                             .executions = 100'000,
                             .mode = mode,
                             .expected = expectation::caught});
        tests.add<parking_for_a_send>({.name = "parking" + how,
                                       .what = "without its barrier the announcement is lost",
                                       .executions = 100'000,
                                       .mode = mode,
                                       .expected = expectation::caught});
    }
    tests.add<parking_without_a_second_look>(
        {.name = "parking_without_a_second_look",
         .what = "the look after the arming left out: the element is not announced",
         .executions = 100'000,
         .expected = expectation::caught});
    return tests.run(argc, argv);
}
