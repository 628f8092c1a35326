// SPDX-License-Identifier: BSL-1.0
/// @file
/// The deque under the model checker: the border between the owner and the thieves, the last element, the growth of the ring
/// (which begins with two slots), and the skip of indices. Timed and untimed as in env/model_lanes.hpp.
#include "env/model_lanes.hpp"

#include "deque_scenario.hpp"

namespace epoque::stress::model {
namespace {

using env = model_env;
using tested = deque_of_numbers<env>;

/// Thread 0 is the owner. `Filled` elements are there when the threads begin.
template <class Derived, int Threads, timing Timing, int Filled = 0>
struct workshop : suite<Derived, Threads> {
    using stamps = std::conditional_t<Timing == timing::timed, model_stamps, no_stamps>;
    using owner_type = deque_owner<tested, stamps>;
    using thief_type = deque_thief<tested, stamps>;

    std::optional<basic_domain<env>> domain;
    std::optional<tested> shared;
    model_env::atomic<std::uint64_t> clock{1};
    std::optional<owner_type> owner;
    std::vector<thief_type> thieves;

    void setup() {
        domain.emplace();
        shared.emplace(*domain);
        const auto made = [this] {
            if constexpr (Timing == timing::timed) {
                return model_stamps(clock);
            } else {
                return no_stamps();
            }
        };
        owner.emplace(*shared, 32, made());
        for (unsigned thread = 1; thread < Threads; ++thread) {
            thieves.emplace_back(*shared, thread, 16, made());
        }
        for (int i = 0; i < Filled; ++i) {
            owner->push();
        }
    }
    void finish() {
        while (owner->pop()) {
        }
        require(shared->was_empty(), "the owner found the deque empty, and it is not");
        if (const auto fault = find_fault(*owner, thieves, Timing == timing::timed)) {
            fail(*fault);
        }
        owner.reset();
        thieves.clear();
        shared.reset();
        domain.reset();
    }
    conqueue_status steal(unsigned thread) { return thieves[thread - 1].steal(); }
};

/// One element: the owner and the thieves want it.
template <timing Timing>
struct last_element : workshop<last_element<Timing>, 3, Timing, 1> {
    void body(unsigned thread) {
        if (thread == 0) {
            this->owner->pop();
        } else {
            this->steal(thread);
            this->steal(thread);
        }
    }
};

/// Two elements: the owner pops across the border while a thief moves it.
template <timing Timing>
struct border : workshop<border<Timing>, 2, Timing, 2> {
    void body(unsigned thread) {
        for (int i = 0; i < 2; ++i) {
            if (thread == 0) {
                this->owner->pop();
            } else {
                this->steal(1);
            }
        }
    }
};

/// A public part of several elements, from which all take.
template <timing Timing>
struct public_part : workshop<public_part<Timing>, 3, Timing, 4> {
    void body(unsigned thread) {
        for (int i = 0; i < 3; ++i) {
            if (thread == 0) {
                this->owner->pop();
            } else {
                this->steal(thread);
            }
        }
    }
};

/// The owner pops and pushes at the same indices, over and over.
template <timing Timing>
struct up_and_down : workshop<up_and_down<Timing>, 2, Timing, 1> {
    void body(unsigned thread) {
        if (thread == 0) {
            for (int i = 0; i < 3; ++i) {
                this->owner->push();
                this->owner->pop();
                this->owner->pop();
                this->owner->push();
            }
        } else {
            for (int i = 0; i < 5; ++i) {
                this->steal(1);
            }
        }
    }
};

/// The ring grows, and is freed, while thieves look at it; slots are used again.
template <timing Timing>
struct growth : workshop<growth<Timing>, 3, Timing, 1> {
    void body(unsigned thread) {
        if (thread == 0) {
            for (int i = 0; i < 5; ++i) {
                this->owner->push();
            }
            this->owner->pop();
            this->owner->push();
        } else {
            for (int i = 0; i < 3; ++i) {
                this->steal(thread);
            }
        }
    }
};

/// The ring shrinks, and is freed, while thieves look at it; then it grows again.
template <timing Timing>
struct shrinking : workshop<shrinking<Timing>, 3, Timing, 5> {
    void body(unsigned thread) {
        if (thread == 0) {
            this->owner->pop();
            this->owner->pop();
            this->owner->trim();
            this->owner->pop();
            this->owner->trim();
            this->owner->push();
            this->owner->push();
        } else {
            for (int i = 0; i < 3; ++i) {
                this->steal(thread);
            }
        }
    }
};

/// The deque runs empty with a public part ahead, and fills again.
template <timing Timing>
struct skip : workshop<skip<Timing>, 2, Timing, 4> {
    void body(unsigned thread) {
        if (thread == 0) {
            while (this->owner->pop()) {
            }
            this->owner->pop();
            this->owner->push();
            this->owner->push();
            this->owner->pop();
        } else {
            for (int i = 0; i < 4; ++i) {
                this->steal(1);
            }
        }
    }
};

/// A thief hears `empty` only when there is nothing, whatever the others do.
template <timing Timing>
struct honest_empty : workshop<honest_empty<Timing>, 3, Timing, 2> {
    void body(unsigned thread) {
        if (thread == 0) {
            this->owner->pop();
            this->owner->push();
            this->owner->pop();
            this->owner->pop();
        } else {
            this->steal(thread);
            this->steal(thread);
        }
    }
};

} // namespace
} // namespace epoque::stress::model

int main(int argc, char** argv) {
    using namespace epoque::stress::model;
    constexpr expectation caught = expectation::caught;
    program tests("deque_model");
    const auto all_ways = [&tests]<template <timing> class Suite>(test wanted) {
        const std::string name = wanted.name;
        for (const barrier_mode mode : {barrier_mode::axioms, barrier_mode::fallback}) {
            wanted.mode = mode;
            const std::string suffix = mode == barrier_mode::fallback ? "_fallback" : "";
            wanted.name = name + suffix;
            tests.add<Suite<timing::timed>>(wanted);
            wanted.name = name + "_untimed" + suffix;
            tests.add<Suite<timing::untimed>>(wanted);
        }
    };
    all_ways.operator()<last_element>({.name = "last_element", .what = "one element, an owner and two thieves"});
    all_ways.operator()<border>({.name = "border", .what = "the owner pops across the border while it moves"});
    all_ways.operator()<public_part>({.name = "public_part", .what = "all take from a public part"});
    all_ways.operator()<up_and_down>({.name = "up_and_down", .what = "indices are used again under a thief's eyes"});
    all_ways.operator()<growth>({.name = "growth", .what = "the ring grows and is freed while thieves look at it"});
    all_ways.operator()<shrinking>(
        {.name = "shrinking", .what = "the ring shrinks and is freed while thieves look at it"});
    all_ways.operator()<skip>(
        {.name = "skip", .what = "the deque runs empty with a public part ahead, and fills again"});
    all_ways.operator()<honest_empty>({.name = "honest_empty", .what = "`empty` is said only of an empty deque"});
    tests.add<border<timing::untimed>>(
        {.name = "border_light_removed",
         .what = "pops without their barrier: the owner and a thief take the same element",
         .executions = 100'000,
         .mode = barrier_mode::light_removed,
         .expected = caught});
    tests.add<border<timing::untimed>>({.name = "border_heavy_removed",
                                        .what = "a border that moves without its barrier",
                                        .executions = 100'000,
                                        .mode = barrier_mode::heavy_removed,
                                        .expected = caught});
    tests.add<growth<timing::timed>>({.name = "growth_heavy_refused",
                                      .what = "the kernel begins to refuse membarrier",
                                      .mode = barrier_mode::heavy_refused});
    return tests.run(argc, argv);
}
