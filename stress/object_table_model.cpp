// SPDX-License-Identifier: BSL-1.0
/// @file
/// The object table under the model checker: look-ups against destroy, and against create in the same slot. The table has
/// four slots in two chunks, so that indices come back soon.
#include "env/model_test.hpp"

#include "object_table_scenario.hpp"

namespace epoque::stress::model {
namespace {

using env = model_env;
using desks = desk_table<env, 2>;

template <class Derived, int Threads>
struct with_desks : suite<Derived, Threads> {
    std::optional<basic_domain<env>> domain;
    std::optional<desks> office;

    void setup() {
        domain.emplace();
        office.emplace(*domain);
    }
    void finish() {
        domain->barrier();
        require(office->live_objects() == static_cast<std::int64_t>(office->table().was_live()),
                "an object outlived its handle, or was destroyed with it still live");
        office->destroy(0);
        office->destroy(1);
        domain->barrier();
        require(office->live_objects() == 0, "an object was lost");
        office.reset();
        domain.reset();
    }
    void sound(bool good) { require(good, "a handle found another object, or a dead one"); }
};

struct find_and_destroy : with_desks<find_and_destroy, 2> {
    void setup() {
        with_desks::setup();
        office->create(0, 1);
    }
    void body(unsigned thread) {
        if (thread == 0) {
            sound(office->look(0));
            sound(office->look(0));
        } else {
            sound(office->destroy(0));
        }
    }
};

/// The slot is used again at once, if the table lets it.
struct find_and_reuse : with_desks<find_and_reuse, 2> {
    void body(unsigned thread) {
        for (std::uint64_t name = 1; name <= 4; ++name) {
            if (thread == 0) {
                sound(office->look(0));
                sound(office->look_wrongly(0));
            } else {
                sound(office->create(0, name));
            }
        }
    }
};

/// A handle that was guessed, not handed over: the table alone publishes the object.
struct guessed_handle : with_desks<guessed_handle, 2> {
    void body(unsigned thread) {
        for (std::uint64_t name = 1; name <= 3; ++name) {
            if (thread == 0) {
                sound(office->look_at_slot(0));
            } else {
                sound(office->create(0, name));
            }
        }
    }
};

/// Two threads create and destroy over the free list, one looks.
struct free_list : with_desks<free_list, 3> {
    void body(unsigned thread) {
        for (std::uint64_t name = 1; name <= 3; ++name) {
            if (thread == 2) {
                sound(office->look(name % 2));
            } else {
                sound(office->create(thread, 10 * thread + name));
                sound(name % 2 == 0 || office->destroy(thread));
            }
        }
    }
};

struct two_destroyers : with_desks<two_destroyers, 2> {
    std::uint64_t handle = 0;
    int destroyed[2] = {};

    void setup() {
        with_desks::setup();
        auto made = std::make_unique<desks::object>(office->live_counter(), 7);
        handle = office->table().create(desks::kind, made);
    }
    void body(unsigned thread) { destroyed[thread] = office->try_destroy(handle) ? 1 : 0; }
    void finish() {
        require(destroyed[0] + destroyed[1] == 1, "a handle was destroyed twice, or not at all");
        with_desks::finish();
    }
};

} // namespace
} // namespace epoque::stress::model

int main(int argc, char** argv) {
    using namespace epoque::stress::model;
    program tests("object_table_model");
    const auto both = [&tests]<class Suite>(test wanted, std::type_identity<Suite>) {
        tests.add<Suite>(wanted);
        wanted.name += "_fallback";
        wanted.mode = barrier_mode::fallback;
        tests.add<Suite>(wanted);
    };
    both({.name = "find_and_destroy", .what = "an object lives until the last look-up that found it"},
         std::type_identity<find_and_destroy>());
    both({.name = "find_and_reuse", .what = "a handle never finds the slot's next object"},
         std::type_identity<find_and_reuse>());
    both({.name = "guessed_handle", .what = "the table publishes an object, not the way its handle takes"},
         std::type_identity<guessed_handle>());
    both({.name = "free_list", .what = "slots go round between two threads"}, std::type_identity<free_list>());
    both({.name = "two_destroyers", .what = "one of two destroys wins"}, std::type_identity<two_destroyers>());
    tests.add<find_and_reuse>({.name = "find_and_reuse_light_removed",
                               .what = "pins without their barrier",
                               .executions = 50'000,
                               .mode = barrier_mode::light_removed,
                               .expected = expectation::caught});
    return tests.run(argc, argv);
}
