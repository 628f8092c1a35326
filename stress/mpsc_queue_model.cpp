// SPDX-License-Identifier: BSL-1.0
/// @file
/// The single-consumer queue under the model checker: what queue_model.cpp asks, of the consumer that neither pins nor takes
/// tickets. Thread 0 is the consumer.
#include "env/model_lanes.hpp"

#include "epoque/mpsc_queue.hpp"

namespace epoque::stress::model {
namespace {

using env = model_env;
using tested = mpsc_queue<std::uint64_t, env>;

template <class Derived, int Threads, timing Timing>
using mpsc_lanes = lanes<Derived, Threads, tested, container::queue, Timing>;

/// One element: every step of the hand-off, and of giving up, against each other.
template <timing Timing>
struct hand_off : mpsc_lanes<hand_off<Timing>, 2, Timing> {
    void body(unsigned thread) {
        if (thread != 0) {
            this->lane(1).push();
        } else {
            this->lane(0).pop();
            this->lane(0).pop();
        }
    }
};

/// Over the ends of segments, which are freed while a producer still looks at them.
template <timing Timing>
struct segment_change : mpsc_lanes<segment_change<Timing>, 3, Timing> {
    void body(unsigned thread) {
        for (int i = 0; i < 4; ++i) {
            if (thread != 0) {
                this->lane(thread).push();
            } else {
                this->lane(0).pop();
            }
        }
    }
};

/// A producer, an observer, a close comes late to a segment: the consumer may leave it, retire it and free it between the load
/// that found it and the hazard that names it, or at any later moment.
template <timing Timing>
struct late_push : mpsc_lanes<late_push<Timing>, 2, Timing> {
    void body(unsigned thread) {
        if (thread != 0) {
            this->lane(1).push();
            this->lane(1).push();
            return;
        }
        for (int i = 0; i < 5; ++i) {
            this->lane(0).push();
            this->lane(0).pop();
        }
    }
};

template <timing Timing>
struct late_look : mpsc_lanes<late_look<Timing>, 2, Timing> {
    void body(unsigned thread) {
        if (thread != 0) {
            this->shared->was_empty();
            this->shared->was_size();
            this->lane(1).close();
            return;
        }
        for (int i = 0; i < 5; ++i) {
            this->lane(0).push();
            this->lane(0).pop();
        }
    }
};

/// The consumer pushes, too.
template <timing Timing>
struct both_ends : mpsc_lanes<both_ends<Timing>, 2, Timing> {
    void body(unsigned thread) {
        for (int i = 0; i < 3; ++i) {
            this->lane(thread).push();
            if (thread == 0) {
                this->lane(0).pop();
            }
        }
    }
};

/// Pushes race with close, at any place of a segment: what was accepted comes out, and nothing after `closed`.
template <timing Timing>
struct closing : mpsc_lanes<closing<Timing>, 3, Timing> {
    void body(unsigned thread) {
        if (thread == 0) {
            this->lane(0).pop();
            this->lane(0).pop();
            this->lane(0).pop();
        } else if (thread == 1) {
            this->lane(1).push();
            this->lane(1).close();
            require(!this->lane(1).push(), "a push after close succeeded");
        } else {
            this->lane(2).push();
            this->lane(2).push();
        }
    }
};

template <timing Timing>
struct bulk : mpsc_lanes<bulk<Timing>, 3, Timing> {
    void body(unsigned thread) {
        if (thread == 0) {
            this->lane(0).pop_many(3);
            this->lane(0).pop_many(2);
        } else if (thread == 1) {
            this->lane(1).push_many(3);
        } else {
            this->lane(2).push();
        }
    }
};

/// An observer reads deq and enq while the consumer goes on (Q6): it must not say empty of a queue that never is.
struct observed : suite<observed, 3> {
    std::optional<basic_domain<env>> domain;
    std::optional<tested> shared;

    void setup() {
        domain.emplace();
        shared.emplace(*domain);
        shared->push(1);
    }
    void body(unsigned thread) {
        if (thread == 0) {
            require(shared->try_pop().has_value(), "the first element is there");
        } else if (thread == 1) {
            shared->push(2);
            shared->push(3);
        } else {
            shared->was_empty(); // segments may be freed meanwhile
            shared->was_size();
        }
    }
    void finish() {
        shared.reset();
        domain.reset();
    }
};

/// An element that pops on, over the ends of segments, while it is moved out.
class eager {
  public:
    explicit eager(std::uint64_t value) noexcept : value_(value) {}
    eager(eager&& other) noexcept : value_(0) {
        if (detail::thread() == 0 && std::exchange(pops, false)) {
            for (int i = 0; i < 4; ++i) {
                pop();
            }
        }
        value_ = other.value_;
    }
    eager& operator=(eager&&) = delete;
    ~eager() = default;

    inline static void (*pop)() = nullptr;
    inline static bool pops = false;

  private:
    std::uint64_t value_;
};

struct popping_on : suite<popping_on, 2> {
    inline static mpsc_queue<eager, env>* line = nullptr;
    std::optional<basic_domain<env>> domain;
    std::optional<mpsc_queue<eager, env>> shared;

    void setup() {
        domain.emplace();
        shared.emplace(*domain);
        line = &*shared;
        eager::pop = [] { static_cast<void>(line->try_pop()); };
        eager::pops = false;
        shared->push(eager(1));
        shared->push(eager(2));
        shared->push(eager(3));
    }
    void body(unsigned thread) {
        if (thread != 0) {
            shared->push(eager(4));
            shared->push(eager(5));
            return;
        }
        for (int i = 0; i < 2; ++i) {
            eager::pops = true;
            static_cast<void>(shared->try_pop());
        }
        eager::pops = false;
    }
    void finish() {
        shared.reset();
        domain.reset();
    }
};

/// The consumer's role is handed over by a release and an acquire.
struct handed_over : suite<handed_over, 3> {
    std::optional<basic_domain<env>> domain;
    std::optional<mpsc_queue<parcel, env>> shared;
    env::atomic<std::uint32_t> turn{0};

    void setup() {
        domain.emplace();
        shared.emplace(*domain);
    }
    void body(unsigned thread) {
        if (thread == 2) {
            for (std::uint64_t value = 1; value <= 4; ++value) {
                shared->push(parcel(value));
            }
            return;
        }
        if (thread == 1 && turn.load(env::acquire) == 0) {
            return; // not mine
        }
        std::uint64_t last = 0;
        for (int i = 0; i < 2; ++i) {
            if (auto got = shared->try_pop()) {
                const auto value = static_cast<std::uint64_t>(*got);
                require(value > last, "one producer's elements came out of order");
                last = value;
            }
        }
        if (thread == 0) {
            turn.store(1, env::release);
        }
    }
    void finish() {
        shared.reset();
        domain.reset();
    }
};

} // namespace
} // namespace epoque::stress::model

int main(int argc, char** argv) {
    using namespace epoque::stress::model;
    program tests("mpsc_queue_model");
    add_all_ways<hand_off>(tests, {.name = "hand_off", .what = "one element; the consumer may give up at any moment"});
    add_all_ways<segment_change>(tests, {.name = "segment_change", .what = "over segments' ends, which are freed"});
    add_all_ways<late_push>(tests, {.name = "late_push", .what = "a segment is freed under a push"});
    add_all_ways<late_look>(tests, {.name = "late_look", .what = "a segment is freed under an observer, a close"});
    add_all_ways<both_ends>(tests, {.name = "both_ends", .what = "the consumer pushes, too"});
    add_all_ways<closing>(tests, {.name = "closing", .what = "close against pushes and pops"});
    add_all_ways<bulk>(tests, {.name = "bulk", .what = "push_range and try_pop_n over a segment's end"});
    for (const barrier_mode mode : {barrier_mode::axioms, barrier_mode::fallback}) {
        const std::string suffix = mode == barrier_mode::fallback ? "_fallback" : "";
        tests.add<popping_on>(
            {.name = "popping_on" + suffix, .what = "an element pops while it is popped", .mode = mode});
        tests.add<observed>({.name = "observed" + suffix, .what = "an observer beside both ends", .mode = mode});
        tests.add<handed_over>(
            {.name = "handed_over" + suffix, .what = "the consumer's role changes hands", .mode = mode});
    }
    tests.add<hand_off<timing::timed>>({.name = "hand_off_heavy_removed",
                                        .what = "giving up without its barrier",
                                        .executions = 100'000,
                                        .mode = barrier_mode::heavy_removed,
                                        .expected = expectation::caught});
    tests.add<both_ends<timing::timed>>({.name = "both_ends_heavy_refused",
                                         .what = "the kernel begins to refuse membarrier",
                                         .mode = barrier_mode::heavy_refused});
    return tests.run(argc, argv);
}
