// SPDX-License-Identifier: BSL-1.0
/// @file
/// The parts of task_pool under Relacy: workers that fall asleep beside submitters, the end, futures and lanes. A lost wake-up is
/// an execution that never ends; a task that is lost or run twice is counted, or leaks; what a task writes is plain memory.
#include "env/model_test.hpp"

#include "task_pool_scenario.hpp"

#include <optional>

namespace epoque::stress::model {
namespace {

using env = model_env;
using work = basic_task<env>;

// ---- workers ---------------------------------------------------------------------------------------------------------------

/// The first threads are the crew's workers.
template <class Derived, int Workers, int Others>
struct crewed : suite<Derived, Workers + Others> {
    std::optional<basic_domain<env>> domain;
    std::optional<crew_executor<env>> team;
    env::var<int> runs[4];
    env::atomic<int> refused{0};

    void setup() {
        for (auto& each : runs) {
            each.set(0);
        }
        domain.emplace();
        team.emplace(*domain, static_cast<unsigned>(Workers));
    }
    void finish() {
        team.reset();
        domain.reset();
    }
    void body(unsigned thread) {
        if (thread < Workers) {
            team->crew().work(thread);
        } else {
            static_cast<Derived*>(this)->other(thread - Workers);
        }
    }
    void count(unsigned which) { runs[which].set(runs[which].get() + 1); }
    void submit(unsigned which) {
        if (!team->execute([this, which] { count(which); })) {
            refused.fetch_add(1, env::relaxed);
        }
    }
    int total() {
        int sum = refused.load(env::relaxed);
        for (auto& each : runs) {
            sum += each.get();
        }
        return sum;
    }
};

/// Nothing comes after the task that could wake the worker in its place.
struct wake_up : crewed<wake_up, 1, 1> {
    env::atomic<int> ran{0};
    void other(unsigned) {
        for (int i = 1; i <= 2; ++i) {
            for (unsigned steps = rl::rand(150); steps != 0; --steps) {
                env::pause(); // so that the task comes at any step of the worker's on its way to sleep
            }
            team->execute([this] {
                count(0);
                ran.fetch_add(1, env::relaxed);
            });
            while (ran.load(env::relaxed) != i) {
                env::pause();
            }
        }
        team->crew().close();
    }
    void finish() {
        require(total() == 2 && refused.load(env::relaxed) == 0, "a task was lost or run twice");
        crewed::finish();
    }
};

struct two_workers : crewed<two_workers, 2, 1> {
    void other(unsigned) {
        submit(0);
        submit(1);
        team->crew().close();
    }
    void finish() {
        require(total() == 2, "a task was lost or run twice");
        crewed::finish();
    }
};

/// The crew is closed while somebody submits.
struct closing : crewed<closing, 1, 2> {
    void other(unsigned which) {
        if (which == 0) {
            submit(0);
            submit(1);
        } else {
            team->crew().close();
        }
    }
    void finish() {
        require(total() == 2, "a task was lost or run twice");
        crewed::finish();
    }
};

/// A task's tasks lie in its worker's deque; the other worker may sleep, and may think that this is the end.
struct breeding : crewed<breeding, 2, 1> {
    void other(unsigned) {
        team->execute([this] {
            submit(1);
            submit(2);
            count(0);
        });
        team->crew().close();
        team->crew().wait_for_end(core::never_passes());
        require(runs[0].get() + runs[1].get() + runs[2].get() == 3,
                "the end came before a task, or without what it did");
    }
    void finish() {
        require(total() == 3 && refused.load(env::relaxed) == 0, "a task was lost or run twice");
        crewed::finish();
    }
};

/// One worker; its task waits for another one, which only it can run.
struct waiting_worker : crewed<waiting_worker, 1, 1> {
    void other(unsigned) {
        auto second = epoque::submit(*team, [this] {
            count(1);
            return 7;
        });
        auto first = epoque::submit(*team, [this, &second] {
            count(0);
            return second.get();
        });
        team->crew().close();
        require(first.get() == 7, "another result");
    }
    void finish() {
        require(total() == 2, "a task was lost or run twice");
        crewed::finish();
    }
};

/// The first worker's task submits one and waits for a third one, which waits for the second. Whoever fell asleep must see it.
struct put_back : crewed<put_back, 3, 1> {
    env::atomic<int> second_ran{0};
    std::optional<future<void, env>> third;

    void other(unsigned) {
        third = epoque::submit(*team, [this] {
            while (second_ran.load(env::acquire) == 0) {
                env::pause();
            }
            count(2);
        });
        team->execute([this] {
            team->execute([this] {
                count(1);
                second_ran.store(1, env::release);
            });
            third->get();
            count(0);
        });
        team->crew().close();
    }
    void finish() {
        require(total() == 3, "a task was lost or run twice");
        third.reset();
        crewed::finish();
    }
};

// ---- futures ---------------------------------------------------------------------------------------------------------------

/// Hands tasks to the last thread, which runs them.
struct hand_over_executor {
    using env_type = env;
    env::atomic<core::task_node<env>*> slot[2];

    hand_over_executor() {
        for (auto& each : slot) {
            each.store(nullptr, env::relaxed);
        }
    }
    void execute(work&& task) {
        auto* const node = task.release();
        for (auto& each : slot) {
            core::task_node<env>* none = nullptr;
            if (each.compare_exchange_strong(none, node, env::release, env::relaxed)) {
                return;
            }
        }
        fail("more tasks than the executor has room for");
    }
    bool run_one(core::fate what = core::fate::run) {
        for (auto& each : slot) {
            if (auto* const node = each.exchange(nullptr, env::acquire); node != nullptr) {
                node->act(*node, what);
                return true;
            }
        }
        return false;
    }
};

template <class Derived, int Threads>
struct with_future : suite<Derived, Threads> {
    hand_over_executor executor;
    env::var<int> result{0};
    env::var<int> runs{0};
    std::optional<future<int, env>> answer;

    void setup() {
        answer = epoque::submit(executor, [this] {
            runs.set(runs.get() + 1);
            result.set(5);
            return 1;
        });
    }
    void finish() {
        while (executor.run_one()) {
        }
        answer.reset();
    }
};

struct wait_for_result : with_future<wait_for_result, 2> {
    void body(unsigned thread) {
        if (thread == 0) {
            executor.run_one();
        } else {
            require(answer->get() == 1 && result.get() == 5, "ready, but without its result");
            answer.reset();
        }
    }
};

/// The future goes while the task runs.
struct let_go : with_future<let_go, 2> {
    void body(unsigned thread) {
        if (thread == 0) {
            executor.run_one();
        } else {
            answer.reset();
        }
    }
    void finish() {
        require(runs.get() == 1, "a task was lost or run twice");
        with_future::finish();
    }
};

struct cancelling : with_future<cancelling, 2> {
    env::var<int> cancelled{0};
    void body(unsigned thread) {
        if (thread == 0) {
            executor.run_one();
        } else {
            cancelled.set(answer->cancel() ? 1 : 0);
        }
    }
    void finish() {
        require(runs.get() + cancelled.get() == 1, "cancelled and run, or neither");
        with_future::finish();
    }
};

/// The executor drops the task while somebody waits.
struct dropping : with_future<dropping, 2> {
    void body(unsigned thread) {
        if (thread == 0) {
            executor.run_one(core::fate::drop);
        } else {
            bool told = false;
            try {
                answer->get();
            } catch (const task_cancelled&) {
                told = true;
            }
            require(told, "a dropped task has a result");
            answer.reset();
        }
    }
};

/// As a coroutine does: something is run at the end, by whoever brings it about, or was too late.
struct subscribing : with_future<subscribing, 2> {
    struct follower : core::task_node<env> {
        explicit follower(subscribing& of) : core::task_node<env>(&follower::run), home(of) {}
        static void run(core::task_node<env>& node, core::fate) noexcept {
            static_cast<follower&>(node).home.followed();
        }
        subscribing& home;
    };
    std::optional<follower> next;
    env::var<int> follows{0};
    std::optional<core::promise_of<env, int>*> promise;

    void followed() {
        require(result.get() == 5, "followed by what does not see the result");
        follows.set(follows.get() + 1);
        answer.reset(); // the frame ends
    }
    void setup() {
        auto* const made = core::make_by_env<env, core::promise_to<env, task_of>>(core::origin<env>{},
                                                                                  std::stop_token(), task_of{this});
        answer.emplace(*made);
        promise = made;
        executor.execute(work::adopt(*made));
        next.emplace(*this);
    }
    struct task_of {
        subscribing* home;
        int operator()() const {
            home->result.set(5);
            return 1;
        }
    };
    void body(unsigned thread) {
        if (thread == 0) {
            executor.run_one();
        } else if (!(*promise)->subscribe(*next)) {
            followed();
        }
    }
    void finish() {
        require(follows.get() == 1, "a coroutine was resumed twice, or never");
        with_future::finish();
    }
};

// ---- lanes -----------------------------------------------------------------------------------------------------------------

/// Two threads put, each two tasks; another one serves; a fourth takes turns as a worker that waits does.
template <class Derived, int Threads>
struct with_lane : suite<Derived, Threads> {
    hand_over_executor executor;
    env::var<int> inside{0};
    env::var<int> last[2];
    env::atomic<int> done{0};
    core::lane_core<env>* lane = nullptr;

    void setup() {
        last[0].set(0);
        last[1].set(0);
        lane = core::lane_core<env>::make(&executor, [](void* to, work&& call, bool) {
            static_cast<hand_over_executor*>(to)->execute(std::move(call));
            return true;
        });
    }
    void finish() {
        while (executor.run_one()) {
        }
        require(last[0].get() == 2 && last[1].get() == 2, "a task of a lane was lost or run twice");
        lane->release();
    }
    void put(unsigned by) {
        for (int i = 1; i <= 2; ++i) {
            lane->put([this, by, i] {
                inside.set(inside.get() + 1); // a race, where two run at once
                require(last[by].get() == i - 1, "a lane lost its order");
                last[by].set(i);
                done.fetch_add(1, env::relaxed);
            });
        }
    }
    void serve() {
        while (done.load(env::relaxed) != 4) {
            if (!executor.run_one()) {
                env::pause();
            }
        }
    }
};

struct in_order : with_lane<in_order, 3> {
    void body(unsigned thread) {
        if (thread < 2) {
            put(thread);
        } else {
            serve();
        }
    }
};

struct turns : with_lane<turns, 4> {
    void body(unsigned thread) {
        if (thread < 2) {
            put(thread);
        } else if (thread == 2) {
            serve();
        } else if (lane->take_turn()) {
            lane->serve(core::fate::run);
        }
    }
};

/// Whoever puts serves: tasks of two threads, one lane.
struct served_by_putters : with_lane<served_by_putters, 2> {
    void setup() {
        with_lane::setup();
        lane->release();
        lane = core::lane_core<env>::make(nullptr, [](void*, work&& call, bool) {
            call();
            return true;
        });
    }
    void body(unsigned thread) { put(thread); }
};

} // namespace
} // namespace epoque::stress::model

int main(int argc, char** argv) {
    using namespace epoque::stress::model;
    program tests("task_pool_model");
    const auto both = [&tests]<class Suite>(std::type_identity<Suite>, test wanted) {
        const std::string name = wanted.name;
        tests.add<Suite>(wanted);
        wanted.mode = barrier_mode::fallback;
        wanted.name = name + "_fallback";
        tests.add<Suite>(wanted);
    };
    both(std::type_identity<wake_up>(), {.name = "wake_up", .what = "a worker falls asleep beside a task"});
    both(std::type_identity<two_workers>(), {.name = "two_workers", .what = "two tasks, two workers, one end"});
    both(std::type_identity<closing>(), {.name = "closing", .what = "closed while somebody submits"});
    both(std::type_identity<breeding>(),
         {.name = "breeding", .what = "a task's tasks are stolen, and none is left at the end"});
    both(
        std::type_identity<put_back>(),
        {.name = "put_back", .what = "a worker that waits puts back what another one waits for", .executions = 60'000});
    both(std::type_identity<waiting_worker>(),
         {.name = "waiting_worker", .what = "the only worker waits for a task that only it can run"});
    tests.add<wake_up>(
        {.name = "wake_up_light_removed",
         .what = "a submitter that does not order its look for sleepers: the end comes, or a sleep without one",
         .executions = 100'000,
         .mode = barrier_mode::light_removed,
         .expected = expectation::caught});
    tests.add<wake_up>({.name = "wake_up_heavy_removed",
                        .what = "a worker that does not order its last look",
                        .executions = 100'000,
                        .mode = barrier_mode::heavy_removed,
                        .expected = expectation::caught});
    tests.add<two_workers>({.name = "two_workers_heavy_refused",
                            .what = "the kernel begins to refuse membarrier",
                            .mode = barrier_mode::heavy_refused});
    tests.add<wait_for_result>(
        {.name = "wait_for_result", .what = "a thread waits for what a task comes to", .executions = 200'000});
    tests.add<let_go>({.name = "let_go", .what = "a future ends while its task runs", .executions = 200'000});
    tests.add<cancelling>({.name = "cancelling", .what = "cancelled, or run: one of both", .executions = 200'000});
    tests.add<dropping>(
        {.name = "dropping", .what = "the executor drops what somebody waits for", .executions = 200'000});
    tests.add<subscribing>(
        {.name = "subscribing", .what = "a coroutine is suspended while its task ends", .executions = 200'000});
    tests.add<in_order>({.name = "in_order", .what = "two put, one serves", .executions = 200'000});
    tests.add<turns>({.name = "turns", .what = "a turn is taken before its call comes", .executions = 200'000});
    tests.add<served_by_putters>(
        {.name = "served_by_putters", .what = "an executor that runs at once", .executions = 200'000});
    return tests.run(argc, argv);
}
