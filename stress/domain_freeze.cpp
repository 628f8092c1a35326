// SPDX-License-Identifier: BSL-1.0
/// @file
/// freeze_test: the domain.
#include "domain_scenario.hpp"
#include "harness/freezing.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace epoque::stress {
namespace {

using env = scheduled_env;

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

    std::uint64_t garbage() const { return pending_; }
    void judge() {
        EXPECT_TRUE(sound_) << "a reader looked into a freed box";
        if (what_ != first_does::read) { // a guard of the user's keeps all
            EXPECT_LE(pending_, most_pending_of_three) << "a thread that retires keeps more than its own garbage";
        }
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
        pending_ = std::max(pending_, domain_->stats().pending_objects);
    }
    void check(bool good) { sound_ = sound_ && good; }

    first_does what_;
    std::uint64_t others_;
    bool sound_ = true;
    std::uint64_t pending_ = 0; // while the first thread slept
    std::optional<basic_domain<env>> domain_;
    std::optional<cell_table<env, 2>> table_;
};

class domain_freeze : public freezing {};

TEST_P(domain_freeze, a_frozen_thread_stops_nobody_from_reading_and_retiring) {
    using first_does = domain_scenario::first_does;
    for (const first_does what : {first_does::read, first_does::retire, first_does::end}) {
        freeze_everywhere([=] { return std::make_unique<domain_scenario>(what, operations_of_the_others()); });
    }
}

TEST_P(domain_freeze, the_domain_stands_random_schedules) {
    random_schedules([] { return std::make_unique<domain_scenario>(domain_scenario::first_does::end, 15); }, 500);
}

INSTANTIATE_TEST_SUITE_P(both, domain_freeze, testing::Bool(), mode_name());

} // namespace
} // namespace epoque::stress
