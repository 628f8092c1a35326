// SPDX-License-Identifier: BSL-1.0
/// @file
/// freeze_test: the snapshot.
#include "harness/freezing.hpp"
#include "snapshot_scenario.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace epoque::stress {
namespace {

using env = scheduled_env;
using board = notice_board<env>;

class board_scenario {
  public:
    enum class first_does { look, update, compare, everything };

    board_scenario(first_does what, std::uint64_t others) : what_(what), others_(others) {
        domain_.emplace();
        office_.emplace(*domain_);
    }

    std::vector<std::function<void()>> bodies() {
        return {[this] { first(); }, [this] { other(1); }, [this] { other(2); }};
    }

    std::uint64_t garbage() const { return pending_; }
    void judge() {
        EXPECT_TRUE(sound_) << "a version was torn, dead, out of order, or older than what was told";
        EXPECT_LE(pending_, most_pending_of_three) << "a sleeper kept more than what it looked into";
        std::uint64_t turned = 0;
        for (const board::memory& each : memories_) {
            turned += each.turned;
        }
        EXPECT_EQ(office_->version(), 1 + turned) << "a replacement was lost or counted twice";
        domain_->barrier();
        EXPECT_EQ(office_->live_pages(), 1);
        office_.reset();
        domain_.reset();
    }

  private:
    void first() {
        switch (what_) {
        case first_does::look:
            check(office_->look_long(memories_[0], [this] { check(office_->look(memories_[0])); }));
            break;
        case first_does::update:
            check(office_->turn(memories_[0]));
            break;
        case first_does::compare:
            check(office_->turn_if_unchanged(memories_[0]));
            break;
        case first_does::everything:
            other(0);
        }
    }
    void other(std::size_t thread) {
        for (std::uint64_t i = 0; i < others_; ++i) {
            check(office_->look(memories_[thread]));
            check((i + thread) % 3 == 0 ? office_->turn_if_unchanged(memories_[thread])
                                        : office_->turn(memories_[thread]));
            scheduler::progress();
        }
        pending_ = std::max(pending_, domain_->stats().pending_objects);
    }
    void check(bool good) { sound_ = sound_ && good; }

    first_does what_;
    std::uint64_t others_;
    bool sound_ = true;
    std::uint64_t pending_ = 0; // while the first thread slept
    std::array<board::memory, 3> memories_{};
    std::optional<basic_domain<env>> domain_;
    std::optional<board> office_;
};

using first_does = board_scenario::first_does;

class snapshot_freeze : public freezing {};

TEST_P(snapshot_freeze, a_frozen_reader_or_writer_stops_nobody) {
    for (const first_does what : {first_does::look, first_does::update, first_does::compare}) {
        freeze_everywhere([=] { return std::make_unique<board_scenario>(what, operations_of_the_others()); });
    }
}

TEST_P(snapshot_freeze, the_snapshot_stands_random_schedules) {
    random_schedules([] { return std::make_unique<board_scenario>(first_does::everything, 15); }, 500);
}

INSTANTIATE_TEST_SUITE_P(both, snapshot_freeze, testing::Bool(), mode_name());

} // namespace
} // namespace epoque::stress
