// SPDX-License-Identifier: BSL-1.0
/// @file
/// Programs of pins and retirements against a model that knows which guards existed when an object was retired.
///
///     input:  1 byte   Env
///             steps    1 byte operation, then its arguments
///
/// Oracle: an object is freed once; not while a guard lives that existed when it was retired, of this thread or of the
/// sleeper, a second thread that pins and unpins where the input says; at the latest by barrier() or the domain's end. The
/// threads take turns, so that an input always does the same.
#include "allocation.hpp"
#include "elements.hpp"
#include "program.hpp"

#include "epoque/domain.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <semaphore>
#include <thread>
#include <utility>
#include <vector>

namespace epoque::fuzz {
namespace {

/// A second thread that does what it is told, one thing at a time, while the first one waits.
class companion {
  public:
    companion() : thread_([this] { work(); }) {}
    companion(const companion&) = delete;
    companion& operator=(const companion&) = delete;
    ~companion() {
        task_ = nullptr;
        given_.release();
        thread_.join();
    }
    void run(std::function<void()> task) {
        task_ = std::move(task);
        given_.release();
        done_.acquire();
    }

  private:
    void work() {
        for (given_.acquire(); task_; given_.acquire()) {
            task_();
            done_.release();
        }
    }

    std::function<void()> task_;
    std::binary_semaphore given_{0};
    std::binary_semaphore done_{0};
    std::thread thread_;
};

/// One per process: a thread for each input would be most of the time.
companion& other_thread() {
    static companion one;
    return one;
}

template <class Env>
class domain_program {
  public:
    explicit domain_program(program& input) : input_(input) { open(); }
    domain_program(const domain_program&) = delete;
    domain_program& operator=(const domain_program&) = delete;
    ~domain_program() { close(); }

    void run() {
        for (int steps = 0; !input_.ended() && steps < most_steps; ++steps) {
            step();
        }
    }

  private:
    static constexpr int most_steps = 400;

    enum class state : std::uint8_t { live, retired, freed };

    /// What the model knows of one object. Outlives it.
    struct life {
        domain_program& owner;
        state now = state::live;
        std::uint64_t my_guard = 0; // the outermost guards that lived when it was retired, by number; 0: none
        std::uint64_t sleepers_guard = 0;
        bool has_child = false; // its deleter retires another one

        void freed() {
            check(now == state::retired, "an object is freed once, and after it was retired");
            check(my_guard == 0 || my_guard != owner.my_guard_,
                  "nothing is freed under a guard of before its retirement");
            check(sleepers_guard == 0 || sleepers_guard != owner.sleepers_guard_,
                  "nothing is freed under another thread's guard of before its retirement");
            now = state::freed;
            ++owner.freed_;
            if (has_child) {
                const allocations_succeed here;
                owner.retire_one(false);
            }
        }
    };
    struct object {
        explicit object(life& of) noexcept : story(of) {}
        life& story;
        counted canary{1};
    };

    void step() {
        switch (input_.below(12)) {
        case 0:
            if (my_pins_++ == 0) {
                my_guard_ = ++guards_;
            }
            return home_->lock();
        case 1:
            return unpin();
        case 2:
        case 3:
        case 4:
            return retire_one(input_.below(4) == 0);
        case 5:
            return retire_failing(input_.byte());
        case 6:
            return scoped();
        case 7:
            return wake_sleeper(sleepers_guard_ == 0);
        case 8:
            return retire_elsewhere(input_.below(16));
        case 9:
            return wait(input_.flag());
        case 10:
            return compare();
        default:
            close();
            open();
        }
    }

    // ---- this thread -----------------------------------------------------------------------------------------------------

    void unpin() {
        if (my_pins_ == 0) {
            return;
        }
        if (--my_pins_ == 0) {
            my_guard_ = 0; // deleters that this unpin runs are outside
        }
        home_->unlock();
    }

    /// Guards as objects, three deep.
    void scoped() {
        const bool outermost = my_pins_ == 0;
        if (outermost) {
            my_guard_ = ++guards_;
        }
        my_pins_ += 3;
        {
            const auto outer = home_->pin();
            {
                const auto middle = home_->pin();
                const auto inner = home_->pin();
                retire_one(false);
            }
            retire_one(false);
            if (outermost) {
                my_guard_ = 0;
            }
            my_pins_ -= 3;
        }
    }

    std::unique_ptr<object> make(bool has_child) {
        stories_.push_back(std::make_unique<life>(life{*this}));
        stories_.back()->has_child = has_child;
        return std::make_unique<object>(*stories_.back());
    }
    void tell(life& of) const noexcept {
        of.now = state::retired;
        of.my_guard = my_guard_;
        of.sleepers_guard = sleepers_guard_;
    }

    void retire_one(bool has_child) {
        std::unique_ptr<object> fresh = make(has_child);
        life& story = fresh->story;
        tell(story);
        ++retired_;
        home_->retire(fresh.release(), [](object* gone) noexcept {
            life& of = gone->story;
            delete gone;
            of.freed();
        });
    }

    void retire_failing(unsigned nth) {
        std::unique_ptr<object> fresh = make(false);
        life& story = fresh->story;
        tell(story);
        const failing_allocation failure(nth % 4);
        try {
            home_->retire(fresh.get(), [](object* gone) noexcept {
                life& of = gone->story;
                delete gone;
                of.freed();
            });
        } catch (const std::bad_alloc&) {
            check(failing_allocation::happened(), "retire throws only what an allocation throws");
            check(story.now == state::retired, "a retire that throws frees nothing");
            story.now = state::freed; // by `fresh`
            return;
        }
        ++retired_;
        static_cast<void>(fresh.release());
    }

    void wait(bool for_deleters) {
        if (my_pins_ != 0 || sleepers_guard_ != 0) {
            return; // it would wait for ever
        }
        if (!for_deleters) {
            home_->synchronize();
            return;
        }
        std::vector<const life*> before;
        for (const auto& each : stories_) {
            if (each->now == state::retired) {
                before.push_back(each.get());
            }
        }
        home_->barrier();
        for (const life* each : before) {
            check(each->now == state::freed, "barrier() returns when all that was retired before has been freed");
        }
    }

    void compare() const {
        const domain_stats stats = home_->stats();
        check(stats.retired_objects == retired_, "stats().retired_objects counts every retirement");
        check(stats.freed_objects == freed_, "stats().freed_objects counts every deletion");
        check(stats.pending_objects == retired_ - freed_, "stats().pending_objects is what is left");
        check(stats.pinned == (my_guard_ != 0 ? 1U : 0U) + (sleepers_guard_ != 0 ? 1U : 0U),
              "stats().pinned counts the threads inside a guard");
        check(stats.oldest_pin_age <= 1, "the epoch never leaves a guard behind by more than one");
        check(stats.most_freed_at_once <= 8, "no call runs more than eight deleters");
    }

    // ---- the other thread ------------------------------------------------------------------------------------------------

    void wake_sleeper(bool pin) {
        if (pin) {
            sleepers_guard_ = ++guards_;
            other_thread().run([this] { home_->lock(); });
        } else {
            other_thread().run([this] {
                sleepers_guard_ = 0;
                home_->unlock();
            });
        }
    }

    /// A thread that comes, retires and ends; its garbage is somebody else's then.
    void retire_elsewhere(std::size_t count) {
        std::thread([this, count] {
            for (std::size_t i = 0; i < count; ++i) {
                retire_one(false);
            }
        }).join();
    }

    // ---- life cycle ------------------------------------------------------------------------------------------------------

    void open() {
        owned_ = std::make_unique<basic_domain<Env>>();
        home_ = owned_.get();
    }
    void close() {
        while (my_pins_ != 0) {
            unpin();
        }
        if (sleepers_guard_ != 0) {
            wake_sleeper(false);
        }
        compare();
        owned_.reset(); // its deleters still use home_
        check(freed_ == retired_, "a domain's end frees everything that was retired");
        check(counted::alive == 0, "and every object's parts");
        stories_.clear();
        retired_ = 0;
        freed_ = 0;
    }

    program& input_;
    std::unique_ptr<basic_domain<Env>> owned_;
    basic_domain<Env>* home_ = nullptr;
    std::vector<std::unique_ptr<life>> stories_;
    std::uint64_t retired_ = 0;
    std::uint64_t freed_ = 0;
    std::uint64_t guards_ = 0;         // outermost ones so far, of both threads
    std::uint64_t my_guard_ = 0;       // number of this thread's outermost guard, 0 for none
    std::uint64_t sleepers_guard_ = 0; // the other thread's
    unsigned my_pins_ = 0;
};

} // namespace
} // namespace epoque::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace epoque::fuzz; // NOLINT(google-build-using-namespace)
    program input(data, size);
    switch (input.below(3)) {
    case 0:
        domain_program<small_env>(input).run();
        break;
    case 1:
        domain_program<unpooled_env>(input).run();
        break;
    default:
        domain_program<epoque::std_env>(input).run();
    }
    return 0;
}
