// SPDX-License-Identifier: BSL-1.0
/// @file
/// Model tests of queues and stacks: each thread works on its lane; at the end the container is drained, the domain
/// ends, and the history is judged. Nothing may be lost, doubled, reordered, leaked or touched after its end.
///
/// Each test runs in two ways. *Timed*: operations take stamps from one counter by acquire-release read-modify-writes, so
/// that histories can be judged; this also synchronises the threads and hides races. *Untimed*: no such help, so Relacy
/// sees every race; only what came in and went out is compared.
#pragma once

#include "model_test.hpp"

#include "../harness/linearizability.hpp"
#include "../harness/recorded.hpp"

#include "epoque/domain.hpp"

namespace epoque::stress::model {

/// Stamps for timed tests.
class model_stamps {
  public:
    explicit model_stamps(model_env::atomic<std::uint64_t>& clock) noexcept : clock_(&clock) {}
    stamp before() { return clock_->fetch_add(1, model_env::acq_rel); }
    stamp after() { return clock_->fetch_add(1, model_env::acq_rel); }

  private:
    model_env::atomic<std::uint64_t>* clock_;
};

enum class timing { timed, untimed };

/// `Container` is a queue or stack over model_env; `Derived::body(thread)` uses `lane(thread)`.
template <class Derived, int Threads, class Container, container Kind, timing Timing>
struct lanes : suite<Derived, Threads> {
    using stamps = std::conditional_t<Timing == timing::timed, model_stamps, no_stamps>;
    using lane_type = epoque::stress::lane<Container, stamps>;

    std::optional<basic_domain<model_env>> domain;
    std::optional<Container> shared;
    model_env::atomic<std::uint64_t> clock{1};
    std::vector<lane_type> all;

    lane_type& lane(unsigned thread) { return all[thread]; }

    void setup() {
        domain.emplace();
        shared.emplace(*domain);
        all.reserve(static_cast<std::size_t>(Threads) + 1);
        for (unsigned thread = 0; thread <= static_cast<unsigned>(Threads); ++thread) {
            if constexpr (Timing == timing::timed) {
                all.emplace_back(*shared, thread, 16, model_stamps(clock));
            } else {
                all.emplace_back(*shared, thread, 16);
            }
        }
    }

    void finish() {
        lane_type& last = all.back(); // one more "thread", after all others
        while (last.pop() == answer::success) {
        }
        const history events = joined(all);
        if constexpr (Timing == timing::timed) {
            if (const auto wrong = monitor_of<Container>(Kind)(events)) {
                fail(wrong->clause.c_str());
            }
        }
        require(balance_of(events).is_even, "an element was lost or came twice");
        shared.reset();
        domain.reset();
    }
};

/// Adds a test in each way: timed and untimed, with both barrier modes.
template <template <timing> class Suite>
void add_all_ways(program& tests, test wanted) {
    const std::string name = wanted.name;
    for (const barrier_mode mode : {barrier_mode::axioms, barrier_mode::fallback}) {
        wanted.mode = mode;
        const std::string suffix = mode == barrier_mode::fallback ? "_fallback" : "";
        wanted.name = name + suffix;
        tests.add<Suite<timing::timed>>(wanted);
        wanted.name = name + "_untimed" + suffix;
        tests.add<Suite<timing::untimed>>(wanted);
    }
}

/// An element that owns memory: whoever loses or doubles one leaks it or frees it twice.
class parcel {
  public:
    explicit parcel(std::uint64_t value)
        : content_(::new(model_env::allocate(sizeof(held), alignof(held))) held(value)) {}
    parcel(parcel&& other) noexcept : content_(std::exchange(other.content_, nullptr)) {}
    parcel& operator=(parcel&&) = delete;
    ~parcel() {
        if (content_ != nullptr) {
            std::destroy_at(content_);
            model_env::deallocate(content_, sizeof(held), alignof(held));
        }
    }
    explicit operator std::uint64_t() const { return content_->get(); }

  private:
    using held = model_env::var<std::uint64_t>;
    held* content_;
};

} // namespace epoque::stress::model
