// SPDX-License-Identifier: BSL-1.0
/// @file
/// The domain under the model checker: readers against retire, advance, barrier and the end of threads.
#include "env/model_test.hpp"

#include "domain_scenario.hpp"

namespace epoque::stress::model {
namespace {

using env = model_env;

/// A domain with one cell; the boxes must be gone when the domain is.
template <class Derived, int Threads>
struct one_cell : suite<Derived, Threads> {
    std::optional<basic_domain<env>> domain;
    std::optional<cell_table<env, 1>> table;

    void setup() {
        domain.emplace();
        table.emplace(*domain);
    }
    void finish() {
        const std::int64_t live = table->live();
        const domain_stats stats = domain->stats();
        require(live == 1 + static_cast<std::int64_t>(stats.pending_objects), "a retired box was lost or freed twice");
        require(stats.pinned == 0, "a record stayed pinned");
        finish_quietly();
    }
    void finish_quietly() {
        // The domain runs the deleters that still wait; these count down in the table.
        domain.reset();
        require(table->live() == 1, "the domain's end left a retired box behind, or freed one twice");
        table.reset();
    }
    void read(unsigned looks = 1) { require(table->read(0, looks), "a reader looked into a freed box"); }
};

struct reader_and_retirer : one_cell<reader_and_retirer, 2> {
    void body(unsigned thread) {
        if (thread == 0) {
            read();
            read();
            return;
        }
        for (std::uint64_t value = 1; value <= 6; ++value) {
            table->replace(0, value);
        }
    }
};

/// The reader pins late: between the stamp of the garbage and its end, several epochs may pass.
struct reader_and_two_retirers : one_cell<reader_and_two_retirers, 3> {
    void body(unsigned thread) {
        if (thread == 0) {
            read();
            read();
            return;
        }
        for (std::uint64_t value = 1; value <= 4; ++value) {
            table->replace(0, 10 * thread + value);
        }
    }
};

/// Who reads also retires, as the structures' operations do.
struct everybody_does_everything : one_cell<everybody_does_everything, 3> {
    void body(unsigned thread) {
        for (std::uint64_t value = 1; value <= 3; ++value) {
            read();
            table->replace(0, 10 * thread + value);
        }
    }
};

struct nested_guards : one_cell<nested_guards, 2> {
    void body(unsigned thread) {
        if (thread == 0) {
            const auto outer = domain->pin();
            read();
            domain->lock();
            read();
            domain->unlock();
            table->replace(0, 99); // retires inside a guard
            read();
            return;
        }
        for (std::uint64_t value = 1; value <= 5; ++value) {
            table->replace(0, value);
        }
    }
};

/// A thread ends and leaves garbage; the others go on and take it over.
struct garbage_of_ended_threads : one_cell<garbage_of_ended_threads, 3> {
    void body(unsigned thread) {
        if (thread == 0) {
            table->replace(0, 1); // and ends
            return;
        }
        if (thread == 1) {
            read();
            return;
        }
        for (std::uint64_t value = 1; value <= 6; ++value) {
            table->replace(0, 10 + value);
        }
    }
};

struct synchronize_waits : one_cell<synchronize_waits, 2> {
    void body(unsigned thread) {
        if (thread == 0) {
            read(2);
            read();
        } else {
            table->replace_and_wait(0, 1);
        }
    }
};

/// What was retired before barrier() has been freed after it, whoever retired it.
struct barrier_frees_everything : one_cell<barrier_frees_everything, 2> {
    env::atomic<int> retired{0};

    void body(unsigned thread) {
        if (thread == 0) {
            table->replace(0, 1);
            retired.store(1, env::release);
            read();
            return;
        }
        table->replace(0, 2);
        const bool both = retired.load(env::acquire) == 1;
        domain->barrier();
        require(!both || table->live() == 1, "barrier() returned before all was freed");
        require(table->live() <= 2, "barrier() returned before the caller's own garbage was freed");
    }
};

/// Two threads that retire and one that asks for their lists meanwhile.
struct barrier_and_retirers : one_cell<barrier_and_retirers, 3> {
    void body(unsigned thread) {
        if (thread == 0) {
            table->replace(0, 1);
            domain->barrier();
            return;
        }
        for (std::uint64_t value = 1; value <= 3; ++value) {
            table->replace(0, 10 * thread + value);
        }
    }
};

/// The same, and what was retired before a barrier() has been freed after it, also where one before it had the lists and
/// somebody else was taking in what was put aside meanwhile.
struct barrier_misses_nothing : one_cell<barrier_misses_nothing, 3> {
    static constexpr int each = 3;
    struct marking {
        env::atomic<int>* mark;
        void operator()(box<env>* gone) const noexcept {
            box<env>::drop(gone);
            mark->store(1, env::release);
        }
    };
    box_counter<env> extra;
    env::atomic<int> freed[2][each] = {};
    env::atomic<int> told[2] = {};

    void body(unsigned thread) {
        if (thread != 0) {
            for (int i = 0; i < each; ++i) {
                domain->retire(box<env>::make(extra, thread), marking{&freed[thread - 1][i]});
                told[thread - 1].store(i + 1, env::release);
            }
            return;
        }
        domain->barrier();
        const int seen[2] = {told[0].load(env::acquire), told[1].load(env::acquire)};
        domain->barrier();
        for (int who = 0; who < 2; ++who) {
            for (int i = 0; i < seen[who]; ++i) {
                require(freed[who][i].load(env::acquire) == 1,
                        "barrier() returned before what was retired earlier was freed");
            }
        }
    }
    void finish() {
        finish_quietly();
        require(extra.live.load(env::acquire) == 0, "a retired box was lost");
    }
};

struct two_barriers : one_cell<two_barriers, 2> {
    void body(unsigned thread) {
        table->replace(0, thread);
        domain->barrier();
        read();
    }
};

/// A deleter that retires again and reads.
struct deleters_retire : one_cell<deleters_retire, 2> {
    struct chained {
        deleters_retire* test;
        unsigned left;
        void operator()(box<env>* gone) const noexcept {
            box<env>::drop(gone);
            test->read();
            if (left != 0) {
                test->retire_chain(left - 1);
            }
        }
    };
    void retire_chain(unsigned left) { domain->retire(box<env>::make(extra, left), chained{this, left}); }
    box_counter<env> extra;

    void body(unsigned thread) {
        if (thread == 0) {
            retire_chain(2);
        }
        for (std::uint64_t value = 1; value <= 4; ++value) {
            table->replace(0, 10 * thread + value);
        }
    }
    void finish() {
        domain->barrier();
        finish_quietly();
        require(extra.live.load(env::acquire) == 0, "a box that a deleter retired was lost");
    }
};

} // namespace
} // namespace epoque::stress::model

int main(int argc, char** argv) {
    using namespace epoque::stress::model;
    constexpr expectation caught = expectation::caught;
    program tests("domain_model");
    const auto both = [&tests]<class Suite>(test wanted, std::type_identity<Suite>) {
        tests.add<Suite>(wanted);
        wanted.name += "_fallback";
        wanted.mode = barrier_mode::fallback;
        tests.add<Suite>(wanted);
    };
    both({.name = "reader_and_retirer", .what = "nothing is freed under a reader"},
         std::type_identity<reader_and_retirer>());
    both({.name = "reader_and_two_retirers", .what = "the same with two threads that retire and advance"},
         std::type_identity<reader_and_two_retirers>());
    both({.name = "everybody_does_everything", .what = "three threads read and retire"},
         std::type_identity<everybody_does_everything>());
    both({.name = "nested_guards", .what = "an inner guard's end does not unpin"}, std::type_identity<nested_guards>());
    both({.name = "garbage_of_ended_threads", .what = "an ended thread's garbage is freed by others"},
         std::type_identity<garbage_of_ended_threads>());
    both({.name = "synchronize_waits", .what = "synchronize() waits for readers of before"},
         std::type_identity<synchronize_waits>());
    both({.name = "barrier_frees_everything", .what = "barrier() frees what others retired before"},
         std::type_identity<barrier_frees_everything>());
    both({.name = "barrier_and_retirers", .what = "barrier() asks for the lists of threads that go on retiring"},
         std::type_identity<barrier_and_retirers>());
    both({.name = "barrier_misses_nothing", .what = "nor what was put aside while an earlier barrier() had the lists"},
         std::type_identity<barrier_misses_nothing>());
    both({.name = "two_barriers", .what = "two threads call barrier() at once"}, std::type_identity<two_barriers>());
    both({.name = "deleters_retire", .what = "deleters retire and read"}, std::type_identity<deleters_retire>());

    tests.add<reader_and_retirer>({.name = "heavy_refused",
                                   .what = "the kernel begins to refuse: garbage waits, nothing is freed early",
                                   .mode = barrier_mode::heavy_refused});
    tests.add<reader_and_retirer>({.name = "light_removed",
                                   .what = "a pin without its barrier",
                                   .mode = barrier_mode::light_removed,
                                   .expected = caught});
    tests.add<reader_and_retirer>({.name = "heavy_removed",
                                   .what = "an advance without its barrier",
                                   .mode = barrier_mode::heavy_removed,
                                   .expected = caught});
    return tests.run(argc, argv);
}
