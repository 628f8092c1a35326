// SPDX-License-Identifier: BSL-1.0
/// @file
/// The model checker checked: small programs of which we know what must and must not happen. Each correct one is clean,
/// each broken one is caught; if one of the latter passes, no other model test of this library means anything.
#include "env/model_test.hpp"

namespace epoque::stress::model {
namespace {

using env = model_env;

/// Data behind a flag. `Publish` and `Observe` are the orders of the two accesses to the flag.
template <rl::memory_order Publish, rl::memory_order Observe>
struct message_passing : suite<message_passing<Publish, Observe>, 2> {
    env::var<int> data{0};
    env::atomic<int> flag{0};

    void body(unsigned thread) {
        if (thread == 0) {
            data.set(42);
            flag.store(1, Publish);
        } else if (flag.load(Observe) == 1) {
            require(data.get() == 42, "the flag was seen, its data not");
        }
    }
};

/// Each thread stores its word, then reads the other's: at least one must see the other's store.
struct store_buffering : suite<store_buffering, 2> {
    env::atomic<int> word[2];
    int seen[2] = {};

    // The second thread takes the heavy side.
    void body(unsigned thread) {
        const bool fast = env::asymmetric();
        if (thread == 0) {
            env::store_light(fast, word[0], 1);
            seen[0] = fast ? word[1].load(env::acquire) : 0;
            return;
        }
        word[1].store(1, env::release);
        env::heavy();
        seen[1] = env::load_heavy(fast, word[0]);
    }
    void finish() {
        require(!env::asymmetric() || seen[0] == 1 || seen[1] == 1, "both threads read the value from before");
    }
};

/// Without barriers the pair is two read-modify-writes of one word: whoever comes second sees what the first did before.
struct store_buffering_fallback : suite<store_buffering_fallback, 2> {
    env::atomic<int> own;
    env::var<int> mine{0};
    env::atomic<int> theirs{0};
    bool first_saw = false;
    bool second_saw = false;

    void body(unsigned thread) {
        if (thread == 0) {
            env::store_light(false, own, 1);
            env::light(false, own);
            first_saw = theirs.load(env::relaxed) == 1;
        } else {
            theirs.store(1, env::relaxed);
            second_saw = env::load_heavy(false, own) == 1;
        }
    }
    void finish() { require(first_saw || second_saw, "both threads read the value from before"); }
};

/// The same with two light sides: B1 does not order them, so both may miss.
struct two_light_sides : suite<two_light_sides, 2> {
    env::atomic<int> word[2];
    int seen[2] = {};

    void body(unsigned thread) {
        env::store_light(true, word[thread], 1);
        seen[thread] = word[1 - thread].load(env::acquire);
    }
    void finish() { require(seen[0] == 1 || seen[1] == 1, "two light barriers are not ordered"); }
};

/// The heavy side without the light one: the reader forgot its barrier between store and load.
struct forgotten_light : suite<forgotten_light, 2> {
    env::atomic<int> word[2];
    int seen[2] = {};

    void body(unsigned thread) {
        word[thread].store(1, env::release);
        if (thread == 1) {
            env::heavy();
        }
        seen[thread] = word[1 - thread].load(env::acquire);
    }
    void finish() { require(seen[0] == 1 || seen[1] == 1, "a light barrier was forgotten"); }
};

/// An object is unlinked and freed while a reader may hold it. `Waits`: the writer looks at the reader's pin, after a
/// heavy barrier, before it frees.
template <bool Waits>
struct free_under_reader : suite<free_under_reader<Waits>, 2> {
    struct node {
        env::atomic<int> value{7};
    };
    env::atomic<node*> shared{nullptr};
    env::atomic<int> pinned{0};

    static node* make() { return ::new (env::allocate(sizeof(node), alignof(node))) node; }
    static void drop(node* gone) {
        gone->~node();
        env::deallocate(gone, sizeof(node), alignof(node));
    }
    void setup() { shared.store(make(), env::release); }
    void body(unsigned thread) {
        const bool fast = env::asymmetric();
        if (thread == 0) {
            env::store_light(fast, pinned, 1);
            if (node* found = shared.load(env::acquire)) {
                require(found->value.load(env::relaxed) == 7, "the node was destroyed under its reader");
            }
            pinned.store(0, env::release);
            return;
        }
        node* gone = shared.exchange(nullptr, env::acq_rel);
        if (Waits) {
            env::heavy();
            while (env::load_heavy(fast, pinned) != 0) {
                env::pause();
            }
        }
        drop(gone);
    }
};

struct leak : suite<leak, 2> {
    void setup() { static_cast<void>(env::allocate(64, 64)); }
    void body(unsigned) {}
};

struct double_free : suite<double_free, 2> {
    void body(unsigned) {}
    void setup() {
        void* block = env::allocate(32, 128);
        env::deallocate(block, 32, 128);
        env::deallocate(block, 32, 128);
    }
};

/// Two threads take the element of one slot.
struct double_take : suite<double_take, 2> {
    env::storage<int> slot;
    env::atomic<int> turn{0};

    void setup() { slot.construct(5); }
    void body(unsigned) {
        turn.fetch_add(1, env::acq_rel);
        static_cast<void>(slot.take());
    }
};

struct race_on_var : suite<race_on_var, 2> {
    env::var<int> field{0};
    void body(unsigned thread) { field.set(static_cast<int>(thread)); }
};

/// A thread's record goes back when the thread ends, exactly once.
struct thread_exit_returns_records : suite<thread_exit_returns_records, 2> {
    env::atomic<int> taken{0};
    std::uint64_t domain = 0;

    static void give_back(void* counter) noexcept {
        static_cast<env::atomic<int>*>(counter)->fetch_sub(1, env::acq_rel);
    }
    void setup() { domain = env::open_domain(); }
    void body(unsigned) {
        require(env::find_local(domain) == nullptr, "a new thread knows a record already");
        taken.fetch_add(1, env::acq_rel);
        env::remember_local(domain, &taken, &give_back);
        require(env::find_local(domain) == &taken, "the record was forgotten");
    }
    void finish() {
        require(taken.load(env::acquire) == 0, "a thread kept its record after its end");
        env::close_domain(domain);
    }
};

} // namespace
} // namespace epoque::stress::model

int main(int argc, char** argv) {
    using namespace epoque::stress::model;
    constexpr expectation caught = expectation::caught;
    program tests("litmus_model");
    tests.add<message_passing<rl::mo_release, rl::mo_acquire>>(
        {.name = "message_passing", .what = "release and acquire on the flag order the data"});
    tests.add<message_passing<rl::mo_relaxed, rl::mo_acquire>>(
        {.name = "message_passing_relaxed_store", .what = "a relaxed store publishes nothing", .expected = caught});
    tests.add<message_passing<rl::mo_release, rl::mo_relaxed>>(
        {.name = "message_passing_relaxed_load", .what = "a relaxed load receives nothing", .expected = caught});
    tests.add<store_buffering>(
        {.name = "store_buffering", .what = "a light and a heavy barrier: one side sees the other"});
    tests.add<store_buffering>({.name = "store_buffering_light_removed",
                                .what = "the light side does nothing: both may miss",
                                .mode = barrier_mode::light_removed,
                                .expected = caught});
    tests.add<store_buffering>({.name = "store_buffering_heavy_removed",
                                .what = "the heavy side does nothing: both may miss",
                                .mode = barrier_mode::heavy_removed,
                                .expected = caught});
    tests.add<store_buffering_fallback>({.name = "store_buffering_fallback",
                                         .what = "read-modify-writes of one word do what the barriers do",
                                         .mode = barrier_mode::fallback});
    tests.add<two_light_sides>(
        {.name = "two_light_sides", .what = "two light barriers order nothing", .expected = caught});
    tests.add<forgotten_light>({.name = "forgotten_light",
                                .what = "a heavy barrier alone is not enough, whatever the kernel does in practice",
                                .expected = caught});
    tests.add<free_under_reader<true>>({.name = "free_after_reader", .what = "freed once no reader is pinned"});
    tests.add<free_under_reader<true>>({.name = "free_after_reader_fallback",
                                        .what = "the same by read-modify-writes of the reader's word",
                                        .mode = barrier_mode::fallback});
    tests.add<free_under_reader<true>>({.name = "free_after_reader_light_removed",
                                        .what = "the reader's pin is not ordered before its load",
                                        .mode = barrier_mode::light_removed,
                                        .expected = caught});
    tests.add<free_under_reader<false>>(
        {.name = "free_under_reader", .what = "freed without waiting", .expected = caught});
    tests.add<leak>({.name = "leak", .what = "memory that nobody frees", .executions = 1, .expected = caught});
    tests.add<double_free>({.name = "double_free", .what = "memory freed twice", .executions = 1, .expected = caught});
    tests.add<double_take>({.name = "double_take", .what = "one element, two takers", .expected = caught});
    tests.add<race_on_var>(
        {.name = "race_on_var", .what = "two unordered writes to a plain field", .expected = caught});
    tests.add<thread_exit_returns_records>(
        {.name = "thread_exit_returns_records", .what = "the end of a thread hands its record back"});
    return tests.run(argc, argv);
}
