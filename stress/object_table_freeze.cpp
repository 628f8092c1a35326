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
#include <string>
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

/// Handles of one object: the first thread stops in a dup, a revoke or a destroy; the second then destroys by a handle of its own, and
/// goes through all slots; the third looks.
class names_scenario {
  public:
    enum class first_does { dup, revoke, destroy };

    explicit names_scenario(first_does what) : what_(what) {
        domain_.emplace();
        table_.emplace(*domain_);
        auto made = std::make_unique<object>(live_, name);
        handles_[0] = table_->create(kind, made);
        for (std::size_t i = 1; i < 3; ++i) {
            keep held(*domain_);
            object* found = nullptr;
            check(table_->dup(held, handles_[0], kind, 1, found, handles_[i]) == find_status::found);
        }
    }

    std::vector<std::function<void()>> bodies() {
        return {[this] { first(); }, [this] { destroy_and_walk(); }, [this] { look_around(); }};
    }
    void judge() {
        EXPECT_EQ(live_handles(), 0U) << "a handle outlived its object";
        EXPECT_TRUE(sound_) << "a handle found what it should not";
        EXPECT_EQ(destroyed_, 1U) << "an object is destroyed once";
        domain_->barrier();
        EXPECT_EQ(live_.load(env::relaxed), 0) << "an object was lost";
        table_.reset();
        domain_.reset();
    }

    static std::string work_of_the_others() { return "a destroy and five looks"; }

  private:
    using object = named_object<env>;
    using table_type = object_table<object, env>;
    using keep = table_type::keep;
    static constexpr std::uint8_t kind = 1;
    static constexpr std::uint64_t name = 7;

    void first() {
        keep held(*domain_);
        object* found = nullptr;
        std::uint64_t made = 0;
        switch (what_) {
        case first_does::dup:
            static_cast<void>(table_->dup(held, handles_[0], kind, 1, found, made));
            break;
        case first_does::revoke:
            static_cast<void>(table_->revoke(held, handles_[0], kind, found));
            break;
        case first_does::destroy:
            destroyed_ += table_->destroy(held, handles_[0], kind, found) == find_status::found ? 1U : 0U;
        }
    }
    void destroy_and_walk() {
        keep held(*domain_);
        object* found = nullptr;
        const bool ours = table_->destroy(held, handles_[1], kind, found) == find_status::found;
        destroyed_ += ours ? 1U : 0U;
        check(ours || what_ == first_does::destroy);
        // Whoever sleeps where. (Null: the sleeper has ended our handle, and perhaps not all others.)
        check(found == nullptr || live_handles() == 0);
        scheduler::progress();
    }
    void look_around() {
        for (int i = 0; i < 5; ++i) {
            keep held(*domain_);
            object* found = nullptr;
            check(table_->find(held, handles_[2], kind, found) != find_status::found || found->is(name));
            scheduler::progress();
        }
    }
    std::size_t live_handles() {
        std::size_t live = 0;
        for (std::uint32_t index = 0; index < table_->was_used(); ++index) {
            live += table_->handle_at(index) != 0 ? 1U : 0U;
        }
        return live;
    }
    void check(bool good) { sound_ = sound_ && good; }

    first_does what_;
    bool sound_ = true;
    unsigned destroyed_ = 0; // one thread runs at a time
    env::atomic<std::int64_t> live_{0};
    std::uint64_t handles_[3] = {};
    std::optional<basic_domain<env>> domain_;
    std::optional<table_type> table_;
};

class object_table_freeze : public freezing {};

TEST_P(object_table_freeze, no_handle_lives_after_a_destroy_whoever_sleeps_where) {
    using first_does = names_scenario::first_does;
    for (const first_does what : {first_does::dup, first_does::revoke, first_does::destroy}) {
        freeze_everywhere([=] { return std::make_unique<names_scenario>(what); });
    }
}

TEST_P(object_table_freeze, a_frozen_thread_stops_no_handle) {
    using first_does = table_scenario::first_does;
    for (const first_does what : {first_does::look, first_does::create, first_does::destroy}) {
        freeze_everywhere([=] { return std::make_unique<table_scenario>(what, operations_of_the_others()); });
    }
}

TEST_P(object_table_freeze, no_handle_lives_after_a_destroy_in_random_schedules) {
    random_schedules([] { return std::make_unique<names_scenario>(names_scenario::first_does::dup); }, 6'000, 50);
}

TEST_P(object_table_freeze, the_table_stands_random_schedules) {
    random_schedules([] { return std::make_unique<table_scenario>(table_scenario::first_does::create, 10); }, 500);
}

INSTANTIATE_TEST_SUITE_P(both, object_table_freeze, testing::Bool(), mode_name());

} // namespace
} // namespace epoque::stress
