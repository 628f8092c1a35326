// SPDX-License-Identifier: BSL-1.0
/// @file
/// Lock-freedom, tried out: a thread is frozen at each switch point of an operation in turn, and the others must still
/// complete all of theirs. Then the sleeper wakes up, and nothing may be lost, doubled, reordered or touched after its end.
/// The same scenarios also run under random schedules without freezing.
///
/// EPOQUE_FREEZE_OPERATIONS: how many operations the others complete for each point (default 300).
#include "domain_scenario.hpp"
#include "env/scheduled_env.hpp"
#include "harness/linearizability.hpp"
#include "harness/recorded.hpp"
#include "object_table_scenario.hpp"

#include "epoque/queue.hpp"
#include "epoque/stack.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>

namespace epoque::stress {
namespace {

using env = scheduled_env;

std::uint64_t operations_of_the_others() {
    const char* wish = std::getenv("EPOQUE_FREEZE_OPERATIONS"); // NOLINT(concurrency-mt-unsafe): one thread
    return wish == nullptr ? 300 : std::strtoull(wish, nullptr, 10);
}

struct mode_name {
    std::string operator()(const testing::TestParamInfo<bool>& info) const {
        return info.param ? "barriers" : "fallback";
    }
};

/// Both ways of base/barrier.hpp.
class freezing : public testing::TestWithParam<bool> {
  protected:
    void SetUp() override { env::set_asymmetric(GetParam()); }

    /// Freezes the first body at its 1st, 2nd, ... switch point until it has none left. `make` builds a fresh scenario
    /// whose `bodies()` run and whose `judge()` looks at what came of it.
    template <class Make>
    void freeze_everywhere(Make make) {
        std::uint64_t point = 1;
        for (;; ++point) {
            auto scenario = make();
            schedule wanted;
            wanted.seed = point;
            wanted.freeze_at = point;
            const schedule_result result = scheduler::run(wanted, scenario->bodies());
            ASSERT_TRUE(result.completed) << "frozen at point " << point << ": " << result.stuck;
            scenario->judge();
            if (HasFatalFailure() || HasNonfatalFailure()) {
                FAIL() << "the first thread was frozen at its switch point " << point;
            }
            if (!result.froze) {
                break;
            }
        }
        EXPECT_GT(point, 3U) << "an operation with hardly a switch point: does it use the Env?";
        RecordProperty("points", static_cast<int>(point - 1));
    }

    template <class Make>
    void random_schedules(Make make, std::uint64_t executions) {
        for (std::uint64_t seed = 1; seed <= executions; ++seed) {
            auto scenario = make();
            schedule wanted;
            wanted.seed = seed;
            wanted.switch_every = 1 + static_cast<std::uint32_t>(seed % 7);
            const schedule_result result = scheduler::run(wanted, scenario->bodies());
            ASSERT_TRUE(result.completed) << "seed " << seed << ": " << result.stuck;
            scenario->judge();
            if (HasFatalFailure() || HasNonfatalFailure()) {
                FAIL() << "seed " << seed;
            }
        }
    }
};

// ---- queue and stack ---------------------------------------------------------------------------------------------------------

enum class victim { push, pop, push_many, pop_many, close, mixed };

/// One thread does one operation, two others many.
template <class Container, container Kind>
class container_scenario {
  public:
    container_scenario(victim what, std::uint64_t filled, std::uint64_t others) : what_(what), others_(others) {
        shared_.emplace(domain_);
        for (std::uint32_t thread = 0; thread < 4; ++thread) {
            lanes_.emplace_back(*shared_, thread, 64 + 2 * others + filled, counted_stamps(clock_));
        }
        for (std::uint64_t i = 0; i < filled; ++i) {
            lanes_[3].push();
        }
    }

    std::vector<std::function<void()>> bodies() {
        return {[this] { first(); }, [this] { other(1); }, [this] { other(2); }};
    }

    void judge() {
        while (lanes_[3].pop() == answer::success) {
        }
        const history events = joined(lanes_);
        const monitor check = Kind == container::queue ? check_queue : check_stack;
        if (check(events)) {
            ADD_FAILURE() << explain(events, check);
        }
        const balance sums = balance_of(events);
        EXPECT_TRUE(sums.is_even) << sums.pushed << " pushed, " << sums.popped << " popped";
        shared_.reset();
    }

  private:
    void first() {
        lane_type& mine = lanes_[0];
        switch (what_) {
        case victim::push:
            mine.push();
            break;
        case victim::pop:
            mine.pop();
            break;
        case victim::push_many:
            mine.push_many(6);
            break;
        case victim::pop_many:
            if constexpr (Kind == container::queue) {
                mine.pop_many(6);
            } else {
                mine.pop_all(1);
            }
            break;
        case victim::close:
            mine.push();
            mine.close();
            break;
        case victim::mixed:
            for (std::uint64_t i = 0; i < others_; ++i) {
                other_operation(0, i);
            }
        }
    }
    void other(std::uint32_t thread) {
        for (std::uint64_t i = 0; i < others_; ++i) {
            other_operation(thread, i);
            scheduler::progress();
        }
    }
    void other_operation(std::uint32_t thread, std::uint64_t i) {
        if ((i + thread) % 2 == 0) {
            lanes_[thread].push();
        } else {
            lanes_[thread].pop();
        }
    }

    using lane_type = lane<Container, counted_stamps>;

    victim what_;
    std::uint64_t others_;
    stamp clock_ = 0;
    basic_domain<env> domain_;
    std::optional<Container> shared_;
    std::vector<lane_type> lanes_;
};

using queue_scenario = container_scenario<queue<std::uint64_t, env>, container::queue>;
using stack_scenario = container_scenario<stack<std::uint64_t, env>, container::stack>;

template <class Scenario>
auto with(victim what, std::uint64_t filled, std::uint64_t others) {
    return [=] { return std::make_unique<Scenario>(what, filled, others); };
}

TEST_P(freezing, a_frozen_push_stops_no_queue_operation) {
    for (const std::uint64_t filled : {0U, 3U, 4U}) { // also at a segment's end
        freeze_everywhere(with<queue_scenario>(victim::push, filled, operations_of_the_others()));
    }
}

TEST_P(freezing, a_frozen_pop_stops_no_queue_operation) {
    for (const std::uint64_t filled : {0U, 1U, 4U, 5U}) {
        freeze_everywhere(with<queue_scenario>(victim::pop, filled, operations_of_the_others()));
    }
}

TEST_P(freezing, frozen_bulk_operations_stop_no_queue_operation) {
    freeze_everywhere(with<queue_scenario>(victim::push_many, 2, operations_of_the_others()));
    freeze_everywhere(with<queue_scenario>(victim::pop_many, 7, operations_of_the_others()));
}

TEST_P(freezing, a_frozen_close_stops_no_queue_operation) {
    for (const std::uint64_t filled : {0U, 3U}) {
        freeze_everywhere(with<queue_scenario>(victim::close, filled, operations_of_the_others()));
    }
}

TEST_P(freezing, the_queue_stands_random_schedules) {
    random_schedules(with<queue_scenario>(victim::mixed, 0, 20), 400);
    random_schedules(with<queue_scenario>(victim::close, 0, 10), 400);
}

TEST_P(freezing, a_frozen_push_stops_no_stack_operation) {
    for (const std::uint64_t filled : {0U, 2U}) {
        freeze_everywhere(with<stack_scenario>(victim::push, filled, operations_of_the_others()));
    }
}

TEST_P(freezing, a_frozen_pop_stops_no_stack_operation) {
    for (const std::uint64_t filled : {0U, 2U}) {
        freeze_everywhere(with<stack_scenario>(victim::pop, filled, operations_of_the_others()));
    }
}

TEST_P(freezing, frozen_bulk_operations_stop_no_stack_operation) {
    freeze_everywhere(with<stack_scenario>(victim::push_many, 2, operations_of_the_others()));
    freeze_everywhere(with<stack_scenario>(victim::pop_many, 7, operations_of_the_others()));
}

TEST_P(freezing, a_frozen_close_stops_no_stack_operation) {
    freeze_everywhere(with<stack_scenario>(victim::close, 2, operations_of_the_others()));
}

TEST_P(freezing, the_stack_stands_random_schedules) {
    random_schedules(with<stack_scenario>(victim::mixed, 0, 20), 400);
    random_schedules(with<stack_scenario>(victim::close, 0, 10), 400);
}

// ---- domain ------------------------------------------------------------------------------------------------------------------

class domain_scenario {
  public:
    enum class first_does { read, retire, end };

    domain_scenario(first_does what, std::uint64_t others) : what_(what), others_(others) {
        domain_.emplace();
        table_.emplace(*domain_);
    }

    std::vector<std::function<void()>> bodies() {
        return {[this] { first(); }, [this] { other(1); }, [this] { other(2); }};
    }

    void judge() {
        EXPECT_TRUE(sound_) << "a reader looked into a freed box";
        domain_->barrier();
        EXPECT_EQ(table_->live(), table_->cells()) << "after barrier() retired boxes are still alive";
        domain_.reset();
        table_.reset();
    }

  private:
    void first() {
        switch (what_) {
        case first_does::read:
            check(table_->read(0, 3));
            break;
        case first_does::retire:
            table_->replace(0, 1);
            break;
        case first_does::end:
            table_->replace(0, 1);
            table_->replace(1, 2);
            table_->replace(0, 3); // and the thread ends with garbage
        }
    }
    void other(std::uint64_t thread) {
        for (std::uint64_t i = 0; i < others_; ++i) {
            check(table_->read(i % 2));
            table_->replace((i + thread) % 2, i);
            scheduler::progress();
        }
    }
    void check(bool good) { sound_ = sound_ && good; }

    first_does what_;
    std::uint64_t others_;
    bool sound_ = true;
    std::optional<basic_domain<env>> domain_;
    std::optional<cell_table<env, 2>> table_;
};

TEST_P(freezing, a_frozen_thread_stops_nobody_from_reading_and_retiring) {
    using first_does = domain_scenario::first_does;
    for (const first_does what : {first_does::read, first_does::retire, first_does::end}) {
        freeze_everywhere([=] { return std::make_unique<domain_scenario>(what, operations_of_the_others()); });
    }
}

TEST_P(freezing, the_domain_stands_random_schedules) {
    random_schedules([] { return std::make_unique<domain_scenario>(domain_scenario::first_does::end, 15); }, 500);
}

// ---- object table --------------------------------------------------------------------------------------------------------------

class table_scenario {
  public:
    enum class first_does { look, create, destroy };

    table_scenario(first_does what, std::uint64_t others) : what_(what), others_(others) {
        domain_.emplace();
        office_.emplace(*domain_);
        office_->create(0, 1);
    }

    std::vector<std::function<void()>> bodies() {
        return {[this] { first(); }, [this] { other(1); }, [this] { other(2); }};
    }

    void judge() {
        EXPECT_TRUE(sound_) << "a handle found another object, or a dead one";
        for (std::size_t desk = 0; desk < 3; ++desk) {
            office_->destroy(desk);
        }
        domain_->barrier();
        EXPECT_EQ(office_->live_objects(), 0) << "an object was lost";
        office_.reset();
        domain_.reset();
    }

  private:
    void first() {
        switch (what_) {
        case first_does::look:
            check(office_->look(0));
            break;
        case first_does::create:
            check(office_->create(0, 2));
            break;
        case first_does::destroy:
            check(office_->destroy(0));
        }
    }
    void other(std::size_t thread) {
        for (std::uint64_t i = 0; i < others_; ++i) {
            check(office_->create(thread, 10 * i + thread));
            check(office_->look(i % 3));
            check(office_->look_wrongly(i % 3));
            check(i % 3 != 0 || office_->destroy(thread));
            scheduler::progress();
        }
    }
    void check(bool good) { sound_ = sound_ && good; }

    first_does what_;
    std::uint64_t others_;
    bool sound_ = true;
    std::optional<basic_domain<env>> domain_;
    std::optional<desk_table<env, 3>> office_;
};

TEST_P(freezing, a_frozen_thread_stops_no_handle) {
    using first_does = table_scenario::first_does;
    for (const first_does what : {first_does::look, first_does::create, first_does::destroy}) {
        freeze_everywhere([=] { return std::make_unique<table_scenario>(what, operations_of_the_others()); });
    }
}

TEST_P(freezing, the_table_stands_random_schedules) {
    random_schedules([] { return std::make_unique<table_scenario>(table_scenario::first_does::create, 10); }, 500);
}

INSTANTIATE_TEST_SUITE_P(both, freezing, testing::Bool(), mode_name());

// ---- the check itself ----------------------------------------------------------------------------------------------------------

TEST(frozen_lock, is_noticed) {
    // A spin lock is not lock-free: somebody frozen inside stops the others.
    env::atomic<std::uint32_t> lock{0};
    std::uint64_t count = 0;
    const auto locked = [&] {
        for (int i = 0; i < 3; ++i) {
            while (lock.exchange(1, env::acquire) != 0) {
                env::pause();
            }
            ++count;
            lock.store(0, env::release);
            scheduler::progress();
        }
    };
    bool stuck = false;
    for (std::uint64_t point = 1; point <= 6 && !stuck; ++point) {
        lock.store(0, env::relaxed);
        schedule wanted;
        wanted.freeze_at = point;
        wanted.patience = 10'000;
        stuck = !scheduler::run(wanted, {locked, locked}).completed;
    }
    EXPECT_TRUE(stuck);
}

TEST(scheduler, repeats_an_execution_by_its_seed) {
    const auto trace = [](std::uint64_t seed) {
        std::string order;
        env::atomic<std::uint32_t> word{0};
        const auto body = [&](char name) {
            return [&order, &word, name] {
                for (int i = 0; i < 20; ++i) {
                    word.fetch_add(1U, env::relaxed);
                    order += name;
                }
            };
        };
        schedule wanted;
        wanted.seed = seed;
        EXPECT_TRUE(scheduler::run(wanted, {body('a'), body('b'), body('c')}).completed);
        return order;
    };
    EXPECT_EQ(trace(7), trace(7));
    EXPECT_NE(trace(7), trace(8));
}

TEST(scheduler, survives_exceptions_in_its_threads) {
    int caught = 0;
    env::atomic<std::uint32_t> word{0};
    const auto thrower = [&] {
        for (int i = 0; i < 10; ++i) {
            try {
                word.fetch_add(1U, env::relaxed);
                throw i; // NOLINT(misc-throw-by-value-catch-by-reference): a number is all there is to it
            } catch (const int thrown) {
                word.fetch_add(1U, env::relaxed); // another thread may throw while we handle ours
                caught += thrown == i ? 1 : 0;
            }
        }
    };
    schedule wanted;
    wanted.switch_every = 1;
    EXPECT_TRUE(scheduler::run(wanted, {thrower, thrower, thrower}).completed);
    EXPECT_EQ(caught, 30);
}

} // namespace
} // namespace epoque::stress
