// SPDX-License-Identifier: BSL-1.0
//
// `work_stealing_deque` against a locked std::deque, and against Chase and Lev's deque as it is in the literature, with a
// full barrier in each pop and steal: one owner, some thieves.
#include "epoque/deque.hpp"

#include "contest.hpp"

#include <deque>
#include <memory>
#include <mutex>

namespace epoque::bench {
namespace {

/// What a contestant's steal answers.
enum class stolen : std::uint8_t { one, none };

struct ours {
    void push(std::uint64_t value) { deque_.push(value); }
    bool pop(std::uint64_t& value) {
        const auto popped = deque_.try_pop();
        value = popped ? *popped : 0;
        return popped.has_value();
    }
    stolen steal(std::uint64_t& value) {
        const auto got = deque_.try_steal();
        value = got ? *got : 0;
        return got ? stolen::one : stolen::none;
    }
    work_stealing_deque<std::uint64_t> deque_;
};

struct mutex_deque {
    void push(std::uint64_t value) {
        const std::lock_guard lock(mutex_);
        deque_.push_back(value);
    }
    bool pop(std::uint64_t& value) {
        const std::lock_guard lock(mutex_);
        if (deque_.empty()) {
            return false;
        }
        value = deque_.back();
        deque_.pop_back();
        return true;
    }
    stolen steal(std::uint64_t& value) {
        const std::lock_guard lock(mutex_);
        if (deque_.empty()) {
            return stolen::none;
        }
        value = deque_.front();
        deque_.pop_front();
        return stolen::one;
    }
    std::mutex mutex_;
    std::deque<std::uint64_t> deque_;
};

/// Chase and Lev with sequentially consistent accesses, in a ring that is large enough for every scenario here.
struct chase_lev {
    static constexpr std::uint64_t mask = (1U << 20) - 1;
    void push(std::uint64_t value) {
        const std::int64_t bottom = bottom_.load(std::memory_order_relaxed);
        slot(bottom).store(value, std::memory_order_relaxed);
        bottom_.store(bottom + 1, std::memory_order_release);
    }
    bool pop(std::uint64_t& value) {
        const std::int64_t bottom = bottom_.load(std::memory_order_relaxed) - 1;
        bottom_.exchange(bottom, std::memory_order_seq_cst);
        std::int64_t top = top_.load(std::memory_order_seq_cst);
        bool got = top <= bottom;
        if (got) {
            value = slot(bottom).load(std::memory_order_relaxed);
        }
        if (top >= bottom) {
            got = got && top_.compare_exchange_strong(top, top + 1, std::memory_order_seq_cst);
            bottom_.store(bottom + 1, std::memory_order_release);
        }
        return got;
    }
    stolen steal(std::uint64_t& value) {
        std::int64_t top = top_.load(std::memory_order_seq_cst);
        if (top >= bottom_.load(std::memory_order_seq_cst)) {
            return stolen::none;
        }
        value = slot(top).load(std::memory_order_relaxed);
        return top_.compare_exchange_strong(top, top + 1, std::memory_order_seq_cst) ? stolen::one : stolen::none;
    }
    std::atomic<std::uint64_t>& slot(std::int64_t index) { return ring_[static_cast<std::uint64_t>(index) & mask]; }

    alignas(interference_size) std::atomic<std::int64_t> bottom_{0};
    alignas(interference_size) std::atomic<std::int64_t> top_{0};
    std::unique_ptr<std::atomic<std::uint64_t>[]> ring_ =
        std::make_unique<std::atomic<std::uint64_t>[]>(mask + 1); // NOLINT(modernize-avoid-c-arrays)
};

/// The owner alone: a push and a pop.
template <class Contestant>
void owner_pair(benchmark::State& state) {
    const auto contestant = std::make_unique<Contestant>();
    std::uint64_t next = 0;
    std::uint64_t popped = 0;
    for (auto _ : state) {
        contestant->push(++next);
        if (!contestant->pop(popped) || popped != next) {
            state.SkipWithError("broken: it did not give back what it was given");
            break;
        }
    }
    state.SetItemsProcessed(state.iterations());
}

/// The owner pushes `burst` and pops what is left of them, while `thieves` steal; all elements are added up.
template <class Contestant>
void shared_work(benchmark::State& state, unsigned thieves, std::uint64_t burst) {
    constexpr std::uint64_t elements = 400'000;
    bool intact = true;
    for (auto _ : state) {
        const auto contestant = std::make_unique<Contestant>();
        std::atomic<std::uint64_t> sum{0};
        std::atomic<bool> done{false};
        starting_gun start(thieves + 1);
        std::vector<std::jthread> threads;
        threads.emplace_back([&] {
            std::uint64_t own = 0;
            std::uint64_t value = 0;
            start.arrive_and_wait();
            for (std::uint64_t next = 1; next <= elements;) {
                for (std::uint64_t end = next + burst; next < end; ++next) {
                    contestant->push(next);
                }
                while (contestant->pop(value)) {
                    own += value;
                }
            }
            done.store(true, std::memory_order_release);
            sum.fetch_add(own, std::memory_order_relaxed);
        });
        for (unsigned thief = 0; thief < thieves; ++thief) {
            threads.emplace_back([&] {
                std::uint64_t own = 0;
                std::uint64_t value = 0;
                start.arrive_and_wait();
                back_off wait;
                while (!done.load(std::memory_order_acquire)) {
                    if (contestant->steal(value) == stolen::one) {
                        own += value;
                    } else {
                        wait();
                    }
                }
                sum.fetch_add(own, std::memory_order_relaxed);
            });
        }
        threads.clear(); // joins
        state.SetIterationTime(start.elapsed());
        const std::uint64_t pushed = (elements + burst - 1) / burst * burst;
        intact = intact && sum == pushed * (pushed + 1) / 2;
    }
    if (!intact) {
        state.SkipWithError("broken: elements were lost or doubled");
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(elements));
}

/// The owner only pushes, thieves take all of it.
template <class Contestant>
void all_stolen(benchmark::State& state, unsigned thieves) {
    constexpr std::uint64_t elements = 400'000;
    bool intact = true;
    for (auto _ : state) {
        const auto contestant = std::make_unique<Contestant>();
        std::atomic<std::uint64_t> sum{0};
        std::atomic<std::uint64_t> left{elements};
        starting_gun start(thieves + 1);
        std::vector<std::jthread> threads;
        threads.emplace_back([&] {
            start.arrive_and_wait();
            for (std::uint64_t next = 1; next <= elements; ++next) {
                contestant->push(next);
            }
        });
        for (unsigned thief = 0; thief < thieves; ++thief) {
            threads.emplace_back([&] {
                std::uint64_t own = 0;
                std::uint64_t count = 0;
                std::uint64_t value = 0;
                start.arrive_and_wait();
                back_off wait;
                while (left.load(std::memory_order_relaxed) > count) {
                    if (contestant->steal(value) == stolen::one) {
                        own += value;
                        ++count;
                    } else {
                        left.fetch_sub(count, std::memory_order_relaxed);
                        count = 0;
                        wait();
                    }
                }
                left.fetch_sub(count, std::memory_order_relaxed);
                sum.fetch_add(own, std::memory_order_relaxed);
            });
        }
        threads.clear(); // joins
        state.SetIterationTime(start.elapsed());
        intact = intact && sum == elements * (elements + 1) / 2;
    }
    if (!intact) {
        state.SkipWithError("broken: elements were lost or doubled");
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(elements));
}

template <class Contestant>
void enter_deque(const std::string& name) {
    const auto timed = [&name](const std::string& scenario, auto body) {
        benchmark::RegisterBenchmark(("deque/" + scenario + "/" + name).c_str(), body)
            ->UseManualTime()
            ->Unit(benchmark::kMillisecond);
    };
    benchmark::RegisterBenchmark(("deque/owner alone, pair/" + name).c_str(), &owner_pair<Contestant>);
    timed("bursts of 100, 1 thief", [](benchmark::State& state) { shared_work<Contestant>(state, 1, 100); });
    timed("bursts of 100, 3 thieves", [](benchmark::State& state) { shared_work<Contestant>(state, 3, 100); });
    timed("all stolen, 1 thief", [](benchmark::State& state) { all_stolen<Contestant>(state, 1); });
    timed("all stolen, 3 thieves", [](benchmark::State& state) { all_stolen<Contestant>(state, 3); });
}

[[maybe_unused]] const bool entered = [] {
    enter_deque<ours>("epoque");
    enter_deque<chase_lev>("Chase-Lev, exchange in pop");
    enter_deque<mutex_deque>("mutex + std::deque");
    return true;
}();

} // namespace
} // namespace epoque::bench
