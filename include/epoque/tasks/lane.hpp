// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: tasks. Depends on: base, tasks/executor.hpp, tasks/future.hpp, tasks/lane_core.hpp (the algorithm).
///
/// `lane` and `keyed_lanes`: tasks one after the other, in order, over an executor that runs many at once.
#pragma once

#include "epoque/tasks/executor.hpp"
#include "epoque/tasks/future.hpp"
#include "epoque/tasks/lane_core.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace epoque {

/// An executor whose tasks run one after the other, in the order in which they were put, on the threads of another executor.
///
/// Use it when:      tasks share data that nobody else touches: no lock is needed, each sees what the one before did.
/// Use instead:      `keyed_lanes` where each task belongs to one of many keys.
/// Order:            first in, first out. Linearizable: a task whose execute() returned before another one's began runs first.
/// Fairness:         a lane gives its thread back after 32 tasks, and goes on behind the executor's other tasks.
/// Memory:           64 bytes, and a block for each task beside the task's own.
/// Progress:         execute is lock-free, and as the executor's own where the lane was idle. A task that sleeps stops its lane, and
///                   so does a thread that sleeps inside the execute that found the lane idle.
/// Concurrency:      any thread, every member but constructor and destructor. The executor must outlive the lane's last task;
///                   the lane itself may go before: its tasks are run all the same.
///
///     epoque::lane account(pool);
///     account.execute([&] { balance += 10; });
///     auto now = account.submit([&] { return balance; });
template <executor Executor>
class lane {
  public:
    using env_type = typename detail::env_of<Executor>::type;

    /// Throws: bad_alloc.
    explicit lane(Executor& over) : over_(&over), core_(core_type::make(&over, &call)) {}
    lane(lane&& other) noexcept : over_(other.over_), core_(std::exchange(other.core_, nullptr)) {}
    lane& operator=(lane&& other) noexcept {
        std::swap(over_, other.over_);
        std::swap(core_, other.core_);
        return *this;
    }
    ~lane() {
        if (core_ != nullptr) {
            core_->release();
        }
    }

    /// Puts `work` behind the lane's other tasks.
    ///
    /// Returns:         true; false: the executor refuses the lane. Then, and where it throws or drops the lane's turn, all tasks
    ///                  that wait in the lane are dropped. (Where it throws between two turns, and leaves the task that it was given
    ///                  alone, the thread of the first one goes on instead.)
    /// Throws:          bad_alloc, `work` is then unchanged; what the executor throws.
    /// Linearizes at: [put.link]. Complexity: O(1), two read-modify-writes and an allocation.
    bool execute(basic_task<env_type>&& work) { return core().put(std::move(work)); }

    /// As epoque::submit(*this, work).
    template <class Work>
    auto submit(Work&& work) {
        return epoque::submit(*this, std::forward<Work>(work));
    }

    /// For epoque::submit.
    core::origin<env_type> origin() const noexcept {
        core::origin<env_type> from;
        if constexpr (requires { over_->origin(); }) {
            from = over_->origin();
        }
        if (from.lane != nullptr) {
            return {}; // a lane over a lane: who waits must not take the inner one's turn for the outer one's
        }
        from.lane = &core();
        return from;
    }
    auto get_stop_token() const
        requires requires(const Executor& executor) { executor.get_stop_token(); }
    {
        return over_->get_stop_token();
    }

  private:
    using core_type = core::lane_core<env_type>;

    core_type& core() const {
        if (core_ == nullptr) {
            misuse("a lane was used that had been moved from.");
        }
        return *core_;
    }
    /// The lane's turn, to the executor; `last`: behind its other tasks, where it knows the difference.
    static bool call(void* executor, basic_task<env_type>&& turn, bool last) {
        auto& where = *static_cast<Executor*>(executor);
        if constexpr (requires { where.execute_last(std::move(turn)); }) {
            if (last) {
                return taken_or_dropped(where.execute_last(std::move(turn)), turn);
            }
        }
        if constexpr (std::same_as<decltype(where.execute(std::move(turn))), bool>) {
            return taken_or_dropped(where.execute(std::move(turn)), turn);
        } else {
            where.execute(std::move(turn));
            return true;
        }
    }
    static bool taken_or_dropped(bool taken, basic_task<env_type>& turn) {
        if (!taken) {
            const basic_task<env_type> dropped(std::move(turn));
        }
        return taken;
    }

    Executor* over_;
    core_type* core_;
};

/// A lane for each key. Keys share a fixed number of lanes by their hash: tasks of one key run in order, and those of two keys
/// at the same time, unless they fall on one lane.
///
///     epoque::keyed_lanes<std::string, epoque::task_pool> by_customer(pool, 256);
///     by_customer.of(order.customer).execute([order] { book(order); });
template <class Key, executor Executor, class Hash = std::hash<Key>>
class keyed_lanes {
  public:
    /// Throws: bad_alloc. Precondition: `count` isn't 0.
    explicit keyed_lanes(Executor& over, std::size_t count = 64) {
        if (count == 0) {
            misuse("keyed_lanes with no lane: there is nowhere to put a task. Ask for one or more.");
        }
        lanes_.reserve(count);
        for (std::size_t number = 0; number < count; ++number) {
            lanes_.emplace_back(over);
        }
    }

    /// The key's lane; the same one always.
    lane<Executor>& of(const Key& key) {
        // Standard libraries hash a number to itself: mixed, so that keys in steps do not fall on a few lanes.
        const std::uint64_t mixed = std::uint64_t{Hash()(key)} * 0x9E3779B97F4A7C15;
        return lanes_[(mixed >> 32) % lanes_.size()];
    }
    std::size_t size() const noexcept { return lanes_.size(); }

  private:
    std::vector<lane<Executor>> lanes_;
};

} // namespace epoque
