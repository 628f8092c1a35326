// SPDX-License-Identifier: BSL-1.0
/// @file
/// Programs of tasks, futures and lanes over an executor that the program drives, against a model of what may have happened to
/// each task. Each byte string is a program (program.hpp).
#include "allocation.hpp"
#include "elements.hpp"
#include "program.hpp"

#include "epoque/tasks/executor.hpp"
#include "epoque/tasks/future.hpp"
#include "epoque/tasks/lane.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace epoque::fuzz {
namespace {

using work = basic_task<unpooled_env>;

/// Runs or drops what it was given when it is told to, the oldest first.
struct driven {
    using env_type = unpooled_env;
    void execute(work&& task) {
        if (!refuses) {
            const allocations_succeed while_it_is_mine;
            waiting.push_back(std::move(task));
        }
    }
    std::deque<work> waiting;
    bool refuses = false;
};

struct thrown : std::exception {};

constexpr std::size_t no_lane = 3;

/// What has become of a task.
enum class end : std::uint8_t { none, returned, threw, dropped };

struct told {
    end what = end::none;
    unsigned live = 0;           // callables
    std::size_t place = no_lane; // where it was submitted to
    std::size_t lane = no_lane;  // which one that was: places are used again
    std::size_t number = 0;
};

class tasks_program {
  public:
    explicit tasks_program(program& input) : input_(input) {}
    tasks_program(const tasks_program&) = delete;
    tasks_program& operator=(const tasks_program&) = delete;
    ~tasks_program() {
        while (run_one(core::fate::run)) {
        }
        futures_.clear();
        for (auto& each : lanes_) {
            each.reset();
        }
        while (run_one(core::fate::run)) {
        }
        for (const auto& each : all_) {
            check(each->live == 0, "each callable is destroyed once");
            check(each->what != end::none, "each task ends");
        }
    }

    void run() {
        for (int steps = 0; !input_.ended() && steps < most_steps; ++steps) {
            step();
        }
    }

  private:
    static constexpr int most_steps = 300;

    /// The callable: counts itself, and tells what it came to.
    class callable {
      public:
        callable(tasks_program& home, told& about, bool throws, bool nests)
            : home_(&home), about_(&about), throws_(throws), nests_(nests) {
            ++about.live;
        }
        callable(callable&& other) noexcept
            : home_(other.home_), about_(other.about_), throws_(other.throws_), nests_(other.nests_) {
            ++about_->live;
        }
        callable(const callable&) = delete;
        callable& operator=(const callable&) = delete;
        ~callable() {
            if (--about_->live == 0 && about_->what == end::none) {
                about_->what = end::dropped;
            }
        }
        std::size_t operator()() {
            check(about_->what == end::none, "a task is run once, and not when it was dropped");
            home_->note_order(*about_);
            about_->what = throws_ ? end::threw : end::returned;
            if (nests_) {
                home_->submit(about_->place, false, false);
            }
            if (throws_) {
                throw thrown();
            }
            return about_->number;
        }

      private:
        tasks_program* home_;
        told* about_;
        bool throws_;
        bool nests_;
    };

    void note_order(const told& task) {
        if (task.place != no_lane) {
            check(last_in_lane_[task.lane] < task.number, "a lane keeps its order");
            last_in_lane_[task.lane] = task.number;
        }
    }

    /// `fails`: which of its allocations; 0: none.
    void submit(std::size_t place, bool throws, bool nests, unsigned fails = 0) {
        if (place != no_lane && !lanes_[place]) {
            place = no_lane;
        }
        all_.push_back(std::make_unique<told>());
        told& about = *all_.back();
        about.place = place;
        about.lane = place == no_lane ? no_lane : lane_in_[place];
        about.number = ++submitted_;
        futures_.emplace_back();
        try {
            callable made(*this, about, throws, nests);
            const failing_allocation failing(fails);
            futures_.back().result =
                place == no_lane ? epoque::submit(executor_, std::move(made)) : lanes_[place]->submit(std::move(made));
        } catch (const std::bad_alloc&) {
            check(fails != 0, "an allocation fails only where the input says so");
            check(about.what == end::dropped || about.live != 0, "a task that could not be submitted is destroyed");
            futures_.pop_back();
            return;
        }
        futures_.back().about = &about;
    }

    bool run_one(core::fate what) {
        if (executor_.waiting.empty()) {
            return false;
        }
        work next = std::move(executor_.waiting.front());
        executor_.waiting.pop_front();
        if (what == core::fate::run) {
            next();
        }
        return true;
    }

    struct awaited {
        future<std::size_t, unpooled_env> result;
        told* about = nullptr;
    };

    awaited* any() { return futures_.empty() ? nullptr : &futures_[input_.below(futures_.size())]; }

    void look(awaited& at) {
        const bool ended = at.about->what != end::none && at.about->live == 0;
        check(at.result.is_ready() == ended, "a future is ready when its task has ended");
        check(at.result.wait_for(std::chrono::nanoseconds(0)) == ended, "a wait without patience says the same");
    }
    void take(awaited& at) {
        look(at);
        if (!at.result.is_ready()) {
            return;
        }
        try {
            check(at.result.get() == at.about->number && at.about->what == end::returned, "get returns the result");
        } catch (const task_cancelled&) {
            check(at.about->what == end::dropped, "get says that the task was cancelled");
        } catch (const thrown&) {
            check(at.about->what == end::threw, "get throws what the task threw");
        }
        std::swap(at, futures_.back());
        futures_.pop_back();
    }

    void step() {
        const std::size_t operation = input_.below(16);
        const std::size_t place = input_.below(no_lane);
        switch (operation) {
        case 0:
        case 1:
        case 2:
            return submit(no_lane, input_.below(4) == 0, input_.below(4) == 0);
        case 3:
        case 4:
        case 5:
        case 6:
            return submit(place, input_.below(4) == 0, input_.below(4) == 0);
        case 7:
        case 8: {
            run_one(core::fate::run);
            return;
        }
        case 9:
            run_one(core::fate::drop);
            return;
        case 10:
            if (awaited* const at = any(); at != nullptr) {
                const bool began = at->about->what == end::returned || at->about->what == end::threw;
                check(at->result.cancel() == !began, "what has not begun is cancelled");
                check(at->about->live == 0, "a cancelled callable is destroyed at once");
            }
            return;
        case 11:
            if (awaited* const at = any(); at != nullptr) {
                take(*at);
            }
            return;
        case 12:
            if (awaited* const at = any(); at != nullptr) {
                std::swap(*at, futures_.back());
                futures_.pop_back();
            }
            return;
        case 13:
            if (lanes_[place]) {
                lanes_[place].reset(); // its tasks are run all the same
            } else {
                lanes_[place].emplace(executor_);
                lane_in_[place] = last_in_lane_.size();
                last_in_lane_.push_back(0);
            }
            return;
        case 14:
            executor_.refuses = !executor_.refuses && input_.below(4) == 0;
            return;
        default:
            submit(input_.flag() ? place : no_lane, false, false, 1 + input_.byte() % 4U);
        }
    }

    program& input_;
    driven executor_;
    std::optional<lane<driven>> lanes_[no_lane];
    std::size_t lane_in_[no_lane] = {};
    std::vector<std::size_t> last_in_lane_;
    std::size_t submitted_ = 0;
    std::vector<std::unique_ptr<told>> all_;
    std::vector<awaited> futures_;
};

} // namespace
} // namespace epoque::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    epoque::fuzz::program input(data, size);
    epoque::fuzz::tasks_program(input).run();
    return 0;
}
