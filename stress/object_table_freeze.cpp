// SPDX-License-Identifier: BSL-1.0
/// @file
/// freeze_test: the table of handles.
#include "harness/freezing.hpp"
#include "object_table_scenario.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace epoque::stress {
namespace {

using env = scheduled_env;

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

    std::uint64_t garbage() const { return pending_; }
    void judge() {
        EXPECT_TRUE(sound_) << "a handle found another object, or a dead one";
        EXPECT_LE(pending_, most_pending_of_three) << "a sleeper kept more than what it looked into";
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
            check(office_->look_at_slot(0)); // without a guard
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
        pending_ = std::max(pending_, domain_->stats().pending_objects);
    }
    void check(bool good) { sound_ = sound_ && good; }

    first_does what_;
    std::uint64_t others_;
    bool sound_ = true;
    std::uint64_t pending_ = 0; // while the first thread slept
    std::optional<basic_domain<env>> domain_;
    std::optional<desk_table<env, 3>> office_;
};

class object_table_freeze : public freezing {};

TEST_P(object_table_freeze, a_frozen_thread_stops_no_handle) {
    using first_does = table_scenario::first_does;
    for (const first_does what : {first_does::look, first_does::create, first_does::destroy}) {
        freeze_everywhere([=] { return std::make_unique<table_scenario>(what, operations_of_the_others()); });
    }
}

TEST_P(object_table_freeze, the_table_stands_random_schedules) {
    random_schedules([] { return std::make_unique<table_scenario>(table_scenario::first_does::create, 10); }, 500);
}

INSTANTIATE_TEST_SUITE_P(both, object_table_freeze, testing::Bool(), mode_name());

} // namespace
} // namespace epoque::stress
