// SPDX-License-Identifier: BSL-1.0
/// @file
/// The snapshot under the model checker: readers against writers, writers against each other, nodes that are freed and come
/// back at the same address.
#include "env/model_test.hpp"

#include "snapshot_scenario.hpp"

#include <array>

namespace epoque::stress::model {
namespace {

using env = model_env;
using board = notice_board<env>;

template <class Derived, int Threads>
struct with_board : suite<Derived, Threads> {
    std::optional<basic_domain<env>> domain;
    std::optional<board> office;
    std::array<board::memory, static_cast<std::size_t>(Threads)> memories{};

    void setup() {
        domain.emplace();
        office.emplace(*domain);
    }
    void finish() {
        std::uint64_t turned = 0;
        for (const board::memory& each : memories) {
            turned += each.turned;
        }
        require(office->version() == 1 + turned, "a replacement was lost or counted twice");
        domain->barrier();
        require(office->live_pages() == 1, "a version was lost, or is still there");
        office.reset();
        domain.reset();
    }
    void sound(bool good) { require(good, "a version was torn, dead, out of order, or older than what was told"); }
};

struct read_and_write : with_board<read_and_write, 2> {
    void body(unsigned thread) {
        for (int i = 0; i < 3; ++i) {
            sound(thread == 0 ? office->look(memories[0]) : office->turn(memories[1]));
        }
    }
};

/// A view outlives the version's replacement, and its grace period if that were too short.
struct long_look : with_board<long_look, 2> {
    void body(unsigned thread) {
        if (thread == 0) {
            sound(office->look_long(memories[0], [this] { sound(office->look(memories[0])); }));
            return;
        }
        for (int i = 0; i < 6; ++i) {
            sound(office->turn(memories[1]));
        }
    }
};

/// More views at a time than a thread has keeps: the last one pins.
struct deep_look : with_board<deep_look, 2> {
    void body(unsigned thread) {
        if (thread == 0) {
            sound(office->look_long(memories[0], [this] {
                sound(office->look_long(memories[0], [this] { sound(office->look_long(memories[0], [] {})); }));
            }));
            return;
        }
        for (int i = 0; i < 6; ++i) {
            sound(office->turn(memories[1]));
        }
    }
};

/// A version that was retired, and that nobody keeps any more when barrier() is called, has ended when it returns: also where a
/// reclaimer has just seen the keep, and is about to retire the version again.
struct barrier_after_a_view : suite<barrier_after_a_view, 2> {
    static constexpr int versions = 5;
    struct marked {
        explicit marked(env::atomic<int>& mark) : gone(&mark) {}
        marked(const marked&) = delete;
        marked& operator=(const marked&) = delete;
        ~marked() { gone->store(1, env::release); }
        env::atomic<int>* gone;
    };
    env::atomic<int> gone[versions] = {};
    env::atomic<int> told{0};
    std::optional<basic_domain<env>> domain;
    std::optional<snapshot<marked, env>> shared;

    void setup() {
        domain.emplace();
        shared.emplace(*domain, gone[0]);
    }
    void body(unsigned thread) {
        if (thread == 1) {
            for (int version = 1; version < versions; ++version) {
                shared->emplace(gone[version]);
                told.store(version, env::release);
            }
            return;
        }
        static_cast<void>(shared->load()->gone);
        const int retired = told.load(env::acquire);
        domain->barrier();
        for (int version = 0; version < retired; ++version) {
            require(gone[version].load(env::acquire) == 1,
                    "barrier() returned before a version ended that nobody kept");
        }
    }
    void finish() {
        shared.reset();
        domain.reset();
        for (const auto& mark : gone) {
            require(mark.load(env::acquire) == 1, "a version was lost");
        }
    }
};

struct two_writers : with_board<two_writers, 3> {
    void body(unsigned thread) {
        for (int i = 0; i < 3; ++i) {
            sound(thread == 2 ? office->look(memories[2]) : office->turn(memories[thread]));
        }
    }
};

/// compare_and_store against update: a node that comes back at the same address must not fool it.
struct conditional : with_board<conditional, 3> {
    void body(unsigned thread) {
        for (int i = 0; i < 3; ++i) {
            if (thread == 0) {
                sound(office->turn_if_unchanged(memories[0]));
            } else if (thread == 1) {
                sound(office->turn(memories[1]));
            } else {
                sound(office->look(memories[2]));
            }
        }
    }
};

} // namespace
} // namespace epoque::stress::model

int main(int argc, char** argv) {
    using namespace epoque::stress::model;
    program tests("snapshot_model");
    const auto both = [&tests]<class Suite>(test wanted, std::type_identity<Suite>) {
        tests.add<Suite>(wanted);
        wanted.name += "_fallback";
        wanted.mode = barrier_mode::fallback;
        tests.add<Suite>(wanted);
    };
    both({.name = "read_and_write", .what = "one reads, one replaces"}, std::type_identity<read_and_write>());
    both({.name = "long_look", .what = "a view keeps its version, however often it is replaced"},
         std::type_identity<long_look>());
    both({.name = "deep_look", .what = "three views at a time, of which the last one pins"},
         std::type_identity<deep_look>());
    both({.name = "barrier_after_a_view", .what = "barrier() ends what nobody keeps any more"},
         std::type_identity<barrier_after_a_view>());
    both({.name = "two_writers", .what = "two update, one reads: no update is lost"},
         std::type_identity<two_writers>());
    both({.name = "conditional", .what = "compare_and_store against update"}, std::type_identity<conditional>());
    tests.add<long_look>({.name = "long_look_light_removed",
                          .what = "pins without their barrier: a version is freed under its reader",
                          .executions = 50'000,
                          .mode = barrier_mode::light_removed,
                          .expected = expectation::caught});
    return tests.run(argc, argv);
}
