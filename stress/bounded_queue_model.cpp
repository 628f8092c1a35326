// SPDX-License-Identifier: BSL-1.0
/// @file
/// The bounded queue under the model checker. With one or two places every word is used again in most executions, and with
/// two lockers a shelf the third thread makes another shelf.
#include "bounded_queue_scenario.hpp"
#include "env/model_lanes.hpp"

namespace epoque::stress::model {
namespace {

using env = model_env;

template <class Derived, int Threads, std::size_t Capacity, timing Timing>
using bounded_lanes = lanes<Derived, Threads, bounded_queue_of_numbers<env, Capacity>, container::queue, Timing>;

/// One place goes to and fro.
template <timing Timing>
struct one_place : bounded_lanes<one_place<Timing>, 2, 1, Timing> {
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
struct two_consumers : bounded_lanes<two_consumers<Timing>, 3, 2, Timing> {
    void body(unsigned thread) {
        for (int i = 0; i < 3; ++i) {
            if (thread == 0) {
                this->lane(0).push();
            } else {
                this->lane(thread).pop();
            }
        }
    }
};

template <timing Timing>
struct two_producers : bounded_lanes<two_producers<Timing>, 3, 2, Timing> {
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

/// Everybody pushes and pops: cells wander from thread to thread.
template <std::size_t Capacity, timing Timing>
struct everybody : bounded_lanes<everybody<Capacity, Timing>, 3, Capacity, Timing> {
    void body(unsigned thread) {
        for (int i = 0; i < 3; ++i) {
            this->lane(thread).push();
            this->lane(thread).pop();
        }
    }
};
template <timing Timing>
using everybody_at_one = everybody<1, Timing>;
template <timing Timing>
using everybody_at_three = everybody<3, Timing>;

/// Pushes race with close, into a queue with room or without.
template <timing Timing>
struct closing : bounded_lanes<closing<Timing>, 3, 2, Timing> {
    void body(unsigned thread) {
        if (thread == 0) {
            this->lane(0).push();
            this->lane(0).push();
        } else if (thread == 1) {
            this->lane(1).push();
            this->lane(1).close();
            require(!this->lane(1).push(), "a push after close succeeded");
            require(this->shared->is_closed(), "close() has returned, is_closed() says no");
        } else {
            this->lane(2).pop();
            this->lane(2).pop();
            this->lane(2).pop();
        }
    }
};

template <timing Timing>
struct two_closers : bounded_lanes<two_closers<Timing>, 3, 1, Timing> {
    void body(unsigned thread) {
        if (thread == 2) {
            this->lane(2).push();
            this->lane(2).push();
        } else {
            this->lane(thread).close();
            this->lane(thread).pop();
        }
    }
};

template <timing Timing>
struct bulk : bounded_lanes<bulk<Timing>, 3, 3, Timing> {
    void body(unsigned thread) {
        if (thread == 0) {
            this->lane(0).push_many(4);
        } else if (thread == 1) {
            this->lane(1).pop_many(2);
            this->lane(1).pop_many(2);
        } else {
            this->lane(2).push();
            this->lane(2).pop();
        }
    }
};

/// Two observers of a push and a pop: with one element in the queue before, after, or all the time, nobody may say full when
/// somebody else says empty.
struct observers : bounded_lanes<observers, 4, 2, timing::untimed> {
    using base = bounded_lanes<observers, 4, 2, timing::untimed>;
    bool full = false;
    bool empty = false;

    void setup() {
        base::setup();
        lane(0).push();
    }
    void body(unsigned thread) {
        if (thread == 0) {
            lane(0).push();
        } else if (thread == 1) {
            lane(1).pop();
        } else if (thread == 2) {
            full = !lane(2).push();
        } else {
            empty = lane(3).pop() == answer::empty;
        }
    }
    void finish() {
        require(!full || !empty, "one observer said full and the other one empty");
        base::finish();
    }
};

/// Also destroys the queue with elements in it.
struct owners : suite<owners, 3> {
    std::optional<basic_domain<env>> domain;
    std::optional<bounded_queue<parcel, env>> shared;

    void setup() {
        domain.emplace();
        shared.emplace(2, *domain);
    }
    void body(unsigned thread) {
        if (thread != 2) {
            for (std::uint64_t value = 1; value <= 3; ++value) {
                parcel mine(value);
                if (shared->try_push(std::move(mine)) != conqueue_status::success) {
                    require(static_cast<std::uint64_t>(mine) == value, "a refused push has moved from its argument");
                }
            }
            return;
        }
        for (int i = 0; i < 3; ++i) {
            if (auto got = shared->try_pop()) {
                const auto value = static_cast<std::uint64_t>(*got);
                require(value >= 1 && value <= 3, "an element did not arrive whole");
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
    program tests("bounded_queue_model");
    const auto both_ways = [&tests]<template <timing> class Suite>(test wanted) { // no barriers: one mode will do
        wanted.executions = 5'000;
        tests.add<Suite<timing::timed>>(wanted);
        wanted.name += "_untimed";
        tests.add<Suite<timing::untimed>>(wanted);
    };
    both_ways.operator()<one_place>({.name = "one_place", .what = "one place goes to and fro"});
    both_ways.operator()<two_consumers>({.name = "two_consumers", .what = "consumers compete"});
    both_ways.operator()<two_producers>({.name = "two_producers", .what = "producers compete"});
    both_ways.operator()<everybody_at_one>({.name = "everybody_at_one", .what = "three threads at one place"});
    both_ways.operator()<everybody_at_three>({.name = "everybody_at_three", .what = "three threads at three places"});
    both_ways.operator()<closing>({.name = "closing", .what = "close against pushes and pops"});
    both_ways.operator()<two_closers>({.name = "two_closers", .what = "two threads close, one pushes"});
    both_ways.operator()<bulk>({.name = "bulk", .what = "push_range and try_pop_n around the ring"});
    tests.add<observers>({.name = "observers", .what = "full and empty fit into one order", .executions = 10'000});
    tests.add<owners>({.name = "owners", .what = "elements that own memory; the queue ends with some inside"});
    tests.add<everybody_at_one<timing::timed>>({.name = "everybody_fallback",
                                                .what = "three threads at one place, without membarrier",
                                                .mode = barrier_mode::fallback});
    return tests.run(argc, argv);
}
