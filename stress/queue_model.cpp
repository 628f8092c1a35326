// SPDX-License-Identifier: BSL-1.0
/// @file
/// The queue under the model checker. Segments have two cells and consumers give up after one pause, so that abandoning,
/// retracting and the change of segments happen in most executions.
#include "env/model_lanes.hpp"

#include "epoque/queue.hpp"

namespace epoque::stress::model {
namespace {

using env = model_env;
using tested = queue<std::uint64_t, env>;

template <class Derived, int Threads, timing Timing>
using queue_lanes = lanes<Derived, Threads, tested, container::queue, Timing>;

/// One producer, one consumer, one element: every step of the hand-off, and of giving up, against each other.
template <timing Timing>
struct hand_off : queue_lanes<hand_off<Timing>, 2, Timing> {
    void body(unsigned thread) {
        if (thread == 0) {
            this->lane(0).push();
        } else {
            this->lane(1).pop();
            this->lane(1).pop();
        }
    }
};

/// Over the end of a segment, and the end of a second one.
template <timing Timing>
struct segment_change : queue_lanes<segment_change<Timing>, 2, Timing> {
    void body(unsigned thread) {
        for (int i = 0; i < 4; ++i) {
            if (thread == 0) {
                this->lane(0).push();
            } else {
                this->lane(1).pop();
            }
        }
    }
};

/// Two consumers see the same element; one of them gets a ticket that no producer has.
template <timing Timing>
struct two_consumers : queue_lanes<two_consumers<Timing>, 3, Timing> {
    void body(unsigned thread) {
        for (int i = 0; i < 2; ++i) {
            if (thread == 0) {
                this->lane(0).push();
            } else {
                this->lane(thread).pop();
            }
        }
    }
};

template <timing Timing>
struct two_producers : queue_lanes<two_producers<Timing>, 3, Timing> {
    void body(unsigned thread) {
        for (int i = 0; i < 2; ++i) {
            if (thread == 2) {
                this->lane(2).pop();
            } else {
                this->lane(thread).push();
            }
        }
    }
};

/// Everybody pushes and pops; segments are retired and freed while others still look at them.
template <timing Timing>
struct everybody : queue_lanes<everybody<Timing>, 3, Timing> {
    void body(unsigned thread) {
        for (int i = 0; i < 3; ++i) {
            this->lane(thread).push();
            this->lane(thread).pop();
        }
    }
};

/// One thread comes late to a segment: the other one may leave it, retire it and free it between the load that found it and
/// the hazard that names it, or at any later moment.
template <timing Timing>
struct late_push : queue_lanes<late_push<Timing>, 2, Timing> {
    void body(unsigned thread) {
        if (thread == 0) {
            this->lane(0).push();
            this->lane(0).push();
            return;
        }
        for (int i = 0; i < 5; ++i) {
            this->lane(1).push();
            this->lane(1).pop();
        }
    }
};

template <timing Timing>
struct late_pop : queue_lanes<late_pop<Timing>, 2, Timing> {
    void body(unsigned thread) {
        if (thread == 0) {
            this->lane(0).pop();
            this->lane(0).pop();
            return;
        }
        for (int i = 0; i < 5; ++i) {
            this->lane(1).push();
            this->lane(1).pop();
        }
    }
};

template <timing Timing>
struct late_look : queue_lanes<late_look<Timing>, 2, Timing> {
    void body(unsigned thread) {
        if (thread == 0) {
            this->shared->was_empty();
            this->shared->was_size();
            this->lane(0).close();
            return;
        }
        for (int i = 0; i < 5; ++i) {
            this->lane(1).push();
            this->lane(1).pop();
        }
    }
};

/// Pushes race with close, at any place of a segment: what was accepted comes out, and nothing after `closed`.
template <timing Timing>
struct closing : queue_lanes<closing<Timing>, 3, Timing> {
    void body(unsigned thread) {
        if (thread == 0) {
            this->lane(0).push();
            this->lane(0).push();
        } else if (thread == 1) {
            this->lane(1).push();
            this->lane(1).close();
            require(!this->lane(1).push(), "a push after close succeeded");
        } else {
            this->lane(2).pop();
            this->lane(2).pop();
        }
    }
};

template <timing Timing>
struct two_closers : queue_lanes<two_closers<Timing>, 3, Timing> {
    void body(unsigned thread) {
        if (thread == 2) {
            this->lane(2).push();
            this->lane(2).push();
            this->lane(2).push();
        } else {
            this->lane(thread).close();
            require(this->shared->is_closed(), "close() has returned, is_closed() says no");
        }
    }
};

template <timing Timing>
struct bulk : queue_lanes<bulk<Timing>, 3, Timing> {
    void body(unsigned thread) {
        if (thread == 0) {
            this->lane(0).push_many(3);
        } else if (thread == 1) {
            this->lane(1).pop_many(2);
            this->lane(1).pop_many(2);
        } else {
            this->lane(2).pop();
        }
    }
};

/// An element that uses another queue while it is moved, as often as its thread is told to: a hazard inside a hazard.
class errand {
  public:
    explicit errand(std::uint64_t value) noexcept : value_(value) {}
    errand(errand&& other) noexcept : value_(0) {
        if (int& times = of_thread[detail::thread()]; times != 0) {
            --times;
            for (std::uint64_t i = 0; i < 3; ++i) {
                inner->push(i);
                static_cast<void>(inner->try_pop());
            }
        }
        value_ = other.value_;
    }
    errand& operator=(errand&&) = delete;
    ~errand() = default;

    inline static tested* inner = nullptr;
    inline static std::array<int, max_threads> of_thread{};

  private:
    std::uint64_t value_;
};

/// The other threads leave the segments of both queues meanwhile.
struct inside : suite<inside, 2> {
    std::optional<basic_domain<env>> domain;
    std::optional<queue<errand, env>> outer;
    std::optional<tested> inner;

    void setup() {
        domain.emplace();
        outer.emplace(*domain);
        inner.emplace(*domain);
        errand::inner = &*inner;
        errand::of_thread = {};
        outer->push(errand(1));
    }
    void body(unsigned thread) {
        if (thread == 0) {
            errand::of_thread[detail::thread()] = 1;
            static_cast<void>(outer->try_pop());
            errand::of_thread[detail::thread()] = 1;
            outer->push(errand(2));
            return;
        }
        for (std::uint64_t i = 0; i < 4; ++i) {
            outer->push(errand(i));
            static_cast<void>(outer->try_pop());
        }
        inner->push(7);
        static_cast<void>(inner->try_pop());
    }
    void finish() {
        errand::of_thread = {};
        outer.reset();
        inner.reset();
        domain.reset();
    }
};

/// Also destroys the queue with elements in it.
struct owners : suite<owners, 2> {
    std::optional<basic_domain<env>> domain;
    std::optional<queue<parcel, env>> shared;

    void setup() {
        domain.emplace();
        shared.emplace(*domain);
    }
    void body(unsigned thread) {
        if (thread == 0) {
            for (std::uint64_t value = 1; value <= 4; ++value) {
                shared->push(parcel(value));
            }
            return;
        }
        std::uint64_t last = 0;
        for (int i = 0; i < 3; ++i) {
            if (auto got = shared->try_pop()) {
                const auto value = static_cast<std::uint64_t>(*got);
                require(value > last, "one producer's elements came out of order");
                last = value;
            }
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
    constexpr expectation caught = expectation::caught;
    program tests("queue_model");
    add_all_ways<hand_off>(tests, {.name = "hand_off", .what = "one element; the consumer may give up at any moment"});
    add_all_ways<segment_change>(tests, {.name = "segment_change", .what = "both sides move on to the next segment"});
    add_all_ways<two_consumers>(tests,
                                {.name = "two_consumers", .what = "consumers compete, and overtake the producer"});
    add_all_ways<two_producers>(tests, {.name = "two_producers", .what = "producers compete at a segment's end"});
    add_all_ways<everybody>(tests, {.name = "everybody", .what = "three threads push and pop; segments are freed"});
    add_all_ways<late_push>(tests, {.name = "late_push", .what = "a segment is freed under a push"});
    add_all_ways<late_pop>(tests, {.name = "late_pop", .what = "a segment is freed under a pop"});
    add_all_ways<late_look>(tests, {.name = "late_look", .what = "a segment is freed under an observer, a close"});
    add_all_ways<closing>(tests, {.name = "closing", .what = "close against pushes and pops"});
    add_all_ways<two_closers>(tests,
                              {.name = "two_closers", .what = "two threads close, one pushes over a segment's end"});
    add_all_ways<bulk>(tests, {.name = "bulk", .what = "push_range and try_pop_n over a segment's end"});
    tests.add<owners>({.name = "owners", .what = "elements that own memory; the queue ends with some inside"});
    tests.add<owners>({.name = "owners_fallback",
                       .what = "elements that own memory; the queue ends with some inside",
                       .mode = barrier_mode::fallback});
    for (const barrier_mode mode : {barrier_mode::axioms, barrier_mode::fallback}) {
        tests.add<inside>({.name = mode == barrier_mode::fallback ? "inside_fallback" : "inside",
                           .what = "operations inside the operations of another queue",
                           .mode = mode});
    }
    for (const barrier_mode mode : {barrier_mode::light_removed, barrier_mode::heavy_removed}) {
        const std::string suffix = mode == barrier_mode::light_removed ? "_light_removed" : "_heavy_removed";
        const std::string what = mode == barrier_mode::light_removed
                                     ? "a hazard without its barrier: "
                                     : "a limbo is passed through without its barrier: ";
        tests.add<late_push<timing::untimed>>({.name = "late_push" + suffix,
                                               .what = what + "a segment is freed under a push",
                                               .executions = 100'000,
                                               .mode = mode,
                                               .expected = caught});
        tests.add<late_pop<timing::untimed>>({.name = "late_pop" + suffix,
                                              .what = what + "a segment is freed under a pop",
                                              .executions = 100'000,
                                              .mode = mode,
                                              .expected = caught});
    }
    tests.add<hand_off<timing::untimed>>({.name = "hand_off_light_removed",
                                          .what = "publication without its barrier",
                                          .mode = barrier_mode::light_removed,
                                          .expected = caught});
    tests.add<hand_off<timing::timed>>({.name = "hand_off_heavy_removed",
                                        .what = "giving up without its barrier",
                                        .executions = 100'000,
                                        .mode = barrier_mode::heavy_removed,
                                        .expected = caught});
    tests.add<everybody<timing::timed>>({.name = "everybody_heavy_refused",
                                         .what = "the kernel begins to refuse membarrier",
                                         .mode = barrier_mode::heavy_refused});
    return tests.run(argc, argv);
}
