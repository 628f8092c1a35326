// SPDX-License-Identifier: BSL-1.0
/// @file
/// The single-producer queue under the model checker: thread 0 pushes, thread 1 pops, thread 2 closes.
#include "env/model_lanes.hpp"
#include "spsc_queue_scenario.hpp"

namespace epoque::stress::model {
namespace {

using env = model_env;

template <class Derived, int Threads, std::size_t Capacity, timing Timing>
using spsc_lanes = lanes<Derived, Threads, spsc_queue_of_numbers<env, Capacity>, container::queue, Timing>;

/// Every cell is used again, so the producer meets full and the consumer empty.
template <timing Timing>
struct one_cell : spsc_lanes<one_cell<Timing>, 2, 1, Timing> {
    void body(unsigned thread) {
        for (int i = 0; i < 3; ++i) {
            if (thread == 0) {
                this->lane(0).push();
            } else {
                this->lane(1).pop();
            }
        }
    }
};

template <timing Timing>
struct three_cells : spsc_lanes<three_cells<Timing>, 2, 3, Timing> {
    void body(unsigned thread) {
        for (int i = 0; i < 5; ++i) {
            if (thread == 0) {
                this->lane(0).push();
            } else {
                this->lane(1).pop();
            }
        }
    }
};

/// Each side makes a success of its first operation and asks for more. That the producer says full and the consumer says empty
/// has no explanation: the queue had one element in it all that time.
struct both_refused : spsc_lanes<both_refused, 2, 2, timing::untimed> {
    bool full = false;
    bool empty = false;

    void setup() {
        spsc_lanes<both_refused, 2, 2, timing::untimed>::setup();
        lane(0).push();
    }
    void body(unsigned thread) {
        if (thread == 0) {
            lane(0).push();
            full = !lane(0).push();
        } else {
            lane(1).pop();
            empty = lane(1).pop() == answer::empty;
        }
    }
    void finish() {
        require(!full || !empty, "one side said full and the other one empty");
        spsc_lanes<both_refused, 2, 2, timing::untimed>::finish();
    }
};

/// A third thread closes: what was accepted comes out, and nothing after `closed`.
template <class Derived, timing Timing>
struct closing_lanes : spsc_lanes<Derived, 3, 2, Timing> {
    void body(unsigned thread) {
        if (thread == 0) {
            this->lane(0).push();
            this->lane(0).push();
        } else if (thread == 1) {
            this->lane(1).pop();
            this->lane(1).pop();
        } else {
            this->lane(2).close();
            require(this->shared->is_closed(), "close() has returned, is_closed() says no");
        }
    }
};

template <timing Timing>
struct closing : closing_lanes<closing<Timing>, Timing> {};

/// Nobody may be able to tell where the end is, until the producer comes by once more.
struct refused : closing_lanes<refused, timing::timed> {
    void finish() {
        lane(0).push();
        closing_lanes<refused, timing::timed>::finish();
    }
};

/// Two threads close, one of them the consumer, who then asks for what is left.
template <timing Timing>
struct two_closers : spsc_lanes<two_closers<Timing>, 3, 2, Timing> {
    void body(unsigned thread) {
        if (thread == 0) {
            this->lane(0).push();
            this->lane(0).push();
        } else if (thread == 1) {
            this->lane(1).close();
            while (this->lane(1).pop() == answer::success) {
            }
        } else {
            this->lane(2).close();
        }
    }
};

/// The producer closes, and is refused from then on.
template <timing Timing>
struct closed_by_the_producer : spsc_lanes<closed_by_the_producer<Timing>, 2, 2, Timing> {
    void body(unsigned thread) {
        if (thread == 0) {
            this->lane(0).push();
            this->lane(0).close();
            require(!this->lane(0).push(), "a push after close succeeded");
        } else {
            this->lane(1).pop();
            this->lane(1).pop();
        }
    }
};

template <timing Timing>
struct bulk : spsc_lanes<bulk<Timing>, 3, 3, Timing> {
    void body(unsigned thread) {
        if (thread == 0) {
            this->lane(0).push_many(2);
            this->lane(0).push_many(3);
        } else if (thread == 1) {
            this->lane(1).pop_many(2);
            this->lane(1).pop_many(4);
        } else {
            this->lane(2).close();
        }
    }
};

} // namespace
} // namespace epoque::stress::model

int main(int argc, char** argv) {
    using namespace epoque::stress::model;
    constexpr expectation caught = expectation::caught;
    program tests("spsc_queue_model");
    add_all_ways<one_cell>(tests, {.name = "one_cell", .what = "one cell goes to and fro", .executions = 4'000});
    add_all_ways<three_cells>(
        tests, {.name = "three_cells", .what = "a capacity that is no power of two", .executions = 4'000});
    add_all_ways<closing>(tests, {.name = "closing", .what = "a third thread closes", .executions = 10'000});
    add_all_ways<two_closers>(
        tests, {.name = "two_closers", .what = "the consumer and a third thread close", .executions = 4'000});
    add_all_ways<closed_by_the_producer>(
        tests, {.name = "closed_by_the_producer", .what = "the producer closes", .executions = 4'000});
    add_all_ways<bulk>(tests,
                       {.name = "bulk", .what = "push_range and try_pop_n against a close", .executions = 4'000});
    tests.add<closing<timing::timed>>({.name = "closing_light_removed",
                                       .what = "publication without its barrier",
                                       .executions = 200'000,
                                       .mode = barrier_mode::light_removed,
                                       .expected = caught});
    tests.add<closing<timing::timed>>({.name = "closing_heavy_removed",
                                       .what = "a close without its barrier",
                                       .executions = 200'000,
                                       .mode = barrier_mode::heavy_removed,
                                       .expected = caught});
    tests.add<both_refused>(
        {.name = "both_refused", .what = "full on one side and empty on the other", .executions = 10'000});
    tests.add<both_refused>({.name = "both_refused_fallback",
                             .what = "full on one side and empty on the other",
                             .mode = barrier_mode::fallback});
    tests.add<refused>({.name = "closing_heavy_refused",
                        .what = "the kernel begins to refuse membarrier",
                        .mode = barrier_mode::heavy_refused});
    return tests.run(argc, argv);
}
