// SPDX-License-Identifier: BSL-1.0
/// @file
/// The object table under the model checker: look-ups against destroy, and against create in the same slot; several handles of one
/// object, made, revoked and destroyed beside each other. The table has four slots in two chunks, so that indices come back soon.
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

// ---- several handles of one object ------------------------------------------------------------------------------------

/// One object under the name 7, with a handle, and in `dups` as many further ones.
template <class Derived, int Threads, std::size_t Dups>
struct with_names : with_desks<Derived, Threads> {
    static constexpr std::uint64_t name = 7;
    using keep = desks::table_type::keep;
    std::uint64_t handle = 0;
    std::uint64_t dups[Dups == 0 ? 1 : Dups] = {};

    void setup() {
        with_desks<Derived, Threads>::setup();
        auto made = std::make_unique<desks::object>(this->office->live_counter(), name);
        handle = table().create(desks::kind, made);
        for (std::size_t i = 0; i < Dups; ++i) {
            this->sound(dup(dups[i]) == find_status::found && dups[i] != 0);
        }
    }
    /// All handles are gone by now, and so must the object be.
    void finish() {
        this->domain->barrier();
        require(this->office->live_objects() == 0, "an object outlived its last handle");
        require(table().was_live() == 0, "a handle outlived its object");
        with_desks<Derived, Threads>::finish();
    }

    desks::table_type& table() { return this->office->table(); }
    find_status dup(std::uint64_t& made) {
        keep held(*this->domain);
        desks::object* found = nullptr;
        return table().dup(held, handle, desks::kind, 1, found, made);
    }
    /// Whether it was live; if so, it must be the object.
    bool look(std::uint64_t at) {
        keep held(*this->domain);
        desks::object* found = nullptr;
        const bool live = table().find(held, at, desks::kind, found, 1) == find_status::found;
        this->sound(!live || found->is(name));
        return live;
    }
    bool revoke(std::uint64_t at) {
        keep held(*this->domain);
        desks::object* found = nullptr;
        const bool done = table().revoke(held, at, desks::kind, found) == find_status::found;
        this->sound(!done || found->is(name));
        return done;
    }
    bool destroy(std::uint64_t at) {
        keep held(*this->domain);
        desks::object* found = nullptr;
        const bool done = table().destroy(held, at, desks::kind, found) == find_status::found;
        this->sound(!done || found->is(name));
        require(!look(at), "a handle is live after its destroy");
        return done;
    }
};

struct dup_and_destroy : with_names<dup_and_destroy, 3, 1> {
    std::uint64_t made = 0;

    void body(unsigned thread) {
        if (thread == 0) {
            if (dup(made) == find_status::found) {
                look(made);
            }
        } else if (thread == 1) {
            require(destroy(handle), "the only destroyer was refused");
            require(!look(dups[0]), "a handle is live after its object's destroy");
        } else {
            look(dups[0]);
            look(handle);
        }
    }
    void finish() {
        require(!look(made), "a handle that was made beside a destroy lives on");
        with_names::finish();
    }
};

/// The same with nothing else, so that all that orders the two is what they say.
struct dup_or_destroy : with_names<dup_or_destroy, 2, 1> {
    std::uint64_t made = 0;

    void body(unsigned thread) {
        if (thread == 0) {
            dup(made);
        } else {
            require(destroy(dups[0]), "the only destroyer was refused");
        }
    }
    void finish() {
        require(!look(made), "a handle that was made beside a destroy lives on");
        with_names::finish();
    }
};

/// Somebody goes through all slots, as epq_list does, after a destroy has returned.
struct dup_beside_a_walker : with_names<dup_beside_a_walker, 2, 1> {
    std::uint64_t made = 0;

    void body(unsigned thread) {
        if (thread == 0) {
            dup(made);
        } else {
            require(destroy(dups[0]), "the only destroyer was refused");
            for (std::uint32_t index = 0; index < 6; ++index) { // the dup's is the third slot; twice
                require(table().handle_at(index % 3) == 0, "a handle became live after the destroy");
            }
        }
    }
};

/// Who is told stale knows what happened before the destroy.
struct stale_dup : with_names<stale_dup, 2, 1> {
    env::var<int> before{0};
    std::uint64_t made = 0;

    void body(unsigned thread) {
        if (thread == 0) {
            if (dup(made) == find_status::stale) {
                require(before.get() == 1, "stale, and not after the destroy");
            }
        } else {
            before.set(1);
            require(destroy(dups[0]), "the only destroyer was refused");
        }
    }
};

struct revoke_beside_find : with_names<revoke_beside_find, 2, 1> {
    void body(unsigned thread) {
        if (thread == 0) {
            require(look(dups[0]), "the end of one handle ended another one");
            look(handle);
            require(look(dups[0]), "the end of one handle ended another one");
        } else {
            require(revoke(handle), "the only revoker was refused");
            require(!look(handle), "a handle is live after its revoke");
            office->create(0, 1); // in any slot that is free
        }
    }
    void finish() {
        require(look(dups[0]) && revoke(dups[0]), "the end of one handle ended another one");
        office->destroy(0);
        with_names::finish();
    }
};

struct last_handles : with_names<last_handles, 3, 1> {
    void body(unsigned thread) {
        if (thread == 0) {
            require(revoke(handle), "the only revoker was refused");
        } else if (thread == 1) {
            require(revoke(dups[0]), "the only revoker was refused");
            office->create(0, 1);
            office->create(1, 2); // again, in the other one's slot
        } else {
            look(handle);
            look(dups[0]);
        }
    }
    void finish() {
        office->destroy(0);
        office->destroy(1);
        with_names::finish();
    }
};

struct destroyers_by_two_handles : with_names<destroyers_by_two_handles, 2, 1> {
    int destroyed[2] = {};

    void body(unsigned thread) {
        destroyed[thread] = destroy(thread == 0 ? handle : dups[0]) ? 1 : 0;
        require(!look(thread == 0 ? dups[0] : handle), "another handle is live after a destroy, whoever won");
    }
    void finish() {
        require(destroyed[0] + destroyed[1] == 1, "an object was destroyed twice, or not at all");
        with_names::finish();
    }
};

struct destroy_beside_revoke : with_names<destroy_beside_revoke, 2, 1> {
    void body(unsigned thread) {
        if (thread == 0) {
            revoke(handle); // may come too late
        } else {
            require(destroy(dups[0]), "the only destroyer was refused");
            require(!look(handle), "a handle is live after its object's destroy");
        }
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
    both({.name = "dup_and_destroy", .what = "a handle that is made beside a destroy ends with the object"},
         std::type_identity<dup_and_destroy>());
    both({.name = "dup_or_destroy", .what = "a destroy sees the slot, or the dup sees the destroy"},
         std::type_identity<dup_or_destroy>());
    both({.name = "dup_beside_a_walker", .what = "no handle becomes live after its object's destroy"},
         std::type_identity<dup_beside_a_walker>());
    both({.name = "stale_dup", .what = "a dup that comes too late comes after the destroy"},
         std::type_identity<stale_dup>());
    both({.name = "revoke_beside_find", .what = "the end of one handle leaves the others and the object alone"},
         std::type_identity<revoke_beside_find>());
    both({.name = "last_handles", .what = "the object ends with its last handle, once"},
         std::type_identity<last_handles>());
    both({.name = "destroyers_by_two_handles", .what = "one of two destroys wins, by whichever handle"},
         std::type_identity<destroyers_by_two_handles>());
    both({.name = "destroy_beside_revoke", .what = "a destroy ends every handle, also beside a revoke"},
         std::type_identity<destroy_beside_revoke>());
    tests.add<find_and_reuse>({.name = "find_and_reuse_light_removed",
                               .what = "pins without their barrier",
                               .executions = 50'000,
                               .mode = barrier_mode::light_removed,
                               .expected = expectation::caught});
    return tests.run(argc, argv);
}
