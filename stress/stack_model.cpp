// SPDX-License-Identifier: BSL-1.0
/// @file
/// The stack under the model checker: reuse of nodes, elimination, pop_all and close.
#include "env/model_lanes.hpp"

#include "epoque/stack.hpp"

namespace epoque::stress::model {
namespace {

using env = model_env;
using tested = stack<std::uint64_t, env>;

template <class Derived, int Threads, timing Timing>
using stack_lanes = lanes<Derived, Threads, tested, container::stack, Timing>;

template <timing Timing>
struct push_and_pop : stack_lanes<push_and_pop<Timing>, 2, Timing> {
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

/// One thread looks at the top for long, the others pop it and push it again in the same memory.
template <timing Timing>
struct reuse : stack_lanes<reuse<Timing>, 3, Timing> {
    void body(unsigned thread) {
        this->lane(thread).push();
        this->lane(thread).pop();
        if (thread != 0) {
            this->lane(thread).push();
            this->lane(thread).pop();
        }
    }
};

/// Long enough for the grace period of a node to end while the first thread still looks at it.
template <timing Timing>
struct long_look : stack_lanes<long_look<Timing>, 2, Timing> {
    void body(unsigned thread) {
        if (thread == 0) {
            this->lane(0).pop();
            this->lane(0).pop();
            return;
        }
        for (int i = 0; i < 6; ++i) {
            this->lane(1).push();
            this->lane(1).pop();
        }
    }
};

/// Failed CASes on both sides: offers and takers.
template <timing Timing>
struct elimination : stack_lanes<elimination<Timing>, 3, Timing> {
    void body(unsigned thread) {
        for (int i = 0; i < 3; ++i) {
            if (thread == 2) {
                this->lane(2).pop();
            } else {
                this->lane(thread).push();
            }
        }
    }
};

template <timing Timing>
struct popping_all : stack_lanes<popping_all<Timing>, 3, Timing> {
    void body(unsigned thread) {
        if (thread == 0) {
            this->lane(0).push();
            this->lane(0).push();
            this->lane(0).pop();
        } else if (thread == 1) {
            this->lane(1).push_many(2);
        } else {
            this->lane(2).pop_all(1);
            this->lane(2).pop_all(2);
        }
    }
};

template <timing Timing>
struct closing : stack_lanes<closing<Timing>, 3, Timing> {
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
            this->lane(2).pop();
        }
    }
};

} // namespace
} // namespace epoque::stress::model

int main(int argc, char** argv) {
    using namespace epoque::stress::model;
    program tests("stack_model");
    add_all_ways<push_and_pop>(tests, {.name = "push_and_pop", .what = "one pushes, one pops"});
    add_all_ways<reuse>(tests, {.name = "reuse", .what = "nodes come back at the same address"});
    add_all_ways<long_look>(tests,
                            {.name = "long_look", .what = "nodes are freed and come back under a look at the top"});
    add_all_ways<elimination>(tests, {.name = "elimination", .what = "pushes meet pops beside the stack"});
    add_all_ways<popping_all>(tests, {.name = "popping_all", .what = "pop_all against pushes, push_range and pop"});
    add_all_ways<closing>(tests, {.name = "closing", .what = "close against pushes, pops and offers"});
    tests.add<long_look<timing::untimed>>({.name = "long_look_light_removed",
                                           .what = "a hazard without its barrier: a node is freed under its reader",
                                           .executions = 50'000,
                                           .mode = barrier_mode::light_removed,
                                           .expected = expectation::caught});
    tests.add<long_look<timing::untimed>>({.name = "long_look_heavy_removed",
                                           .what = "a limbo is passed through without its barrier",
                                           .executions = 50'000,
                                           .mode = barrier_mode::heavy_removed,
                                           .expected = expectation::caught});
    tests.add<long_look<timing::untimed>>({.name = "long_look_heavy_refused",
                                           .what = "the kernel begins to refuse membarrier: nothing is freed",
                                           .mode = barrier_mode::heavy_refused});
    return tests.run(argc, argv);
}
