// SPDX-License-Identifier: BSL-1.0
//
// `snapshot` against what else lets many read what few replace: a value of 64 bytes.
#include "epoque/snapshot.hpp"

#include "contest.hpp"

#include <array>
#include <memory>
#include <mutex>
#include <shared_mutex>

namespace epoque::bench {
namespace {

/// Each word is the version's number; a reader that sees two different ones has a broken contestant.
using table = std::array<std::uint64_t, 8>;

table filled(std::uint64_t number) {
    table made;
    made.fill(number);
    return made;
}
/// The number, or 0 where the table is torn.
std::uint64_t number_of(const table& seen) {
    return seen.front() == seen.back() ? seen.front() : 0;
}

struct ours {
    std::uint64_t read() {
        const auto now = table_.load();
        return number_of(*now);
    }
    void write(std::uint64_t number) { table_.store(filled(number)); }
    snapshot<table> table_{filled(1)};
};

struct atomic_shared_ptr {
    std::uint64_t read() {
        const std::shared_ptr<const table> now = table_.load(std::memory_order_acquire);
        return number_of(*now);
    }
    void write(std::uint64_t number) {
        table_.store(std::make_shared<const table>(filled(number)), std::memory_order_release);
    }
    std::atomic<std::shared_ptr<const table>> table_{std::make_shared<const table>(filled(1))};
};

struct shared_mutex_table {
    std::uint64_t read() {
        const std::shared_lock lock(mutex_);
        return number_of(table_);
    }
    void write(std::uint64_t number) {
        const std::unique_lock lock(mutex_);
        table_ = filled(number);
    }
    std::shared_mutex mutex_;
    table table_ = filled(1);
};

struct mutex_table {
    std::uint64_t read() {
        const std::lock_guard lock(mutex_);
        return number_of(table_);
    }
    void write(std::uint64_t number) {
        const std::lock_guard lock(mutex_);
        table_ = filled(number);
    }
    std::mutex mutex_;
    table table_ = filled(1);
};

template <class Contestant>
void read_alone(benchmark::State& state) {
    Contestant contestant;
    std::uint64_t sum = 0;
    for (auto _ : state) {
        sum += contestant.read();
    }
    benchmark::DoNotOptimize(sum);
}

template <class Contestant>
void write_alone(benchmark::State& state) {
    Contestant contestant;
    std::uint64_t next = 1;
    for (auto _ : state) {
        contestant.write(++next);
    }
}

/// `readers` threads read, each of them writes at one in `reads` operations.
template <class Contestant>
void mixed(benchmark::State& state, unsigned readers, std::uint64_t reads) {
    constexpr std::uint64_t operations = 400'000;
    bool intact = true;
    for (auto _ : state) {
        Contestant contestant;
        std::atomic<bool> whole{true};
        starting_gun start(readers);
        std::vector<std::jthread> threads;
        for (unsigned reader = 0; reader < readers; ++reader) {
            threads.emplace_back([&] {
                bool mine = true;
                start.arrive_and_wait();
                for (std::uint64_t i = 1; i <= operations / readers; ++i) {
                    if (i % reads == 0) {
                        contestant.write(i);
                    } else {
                        mine = mine && contestant.read() != 0;
                    }
                }
                if (!mine) {
                    whole = false;
                }
            });
        }
        threads.clear(); // joins
        state.SetIterationTime(start.elapsed());
        intact = intact && whole;
    }
    if (!intact) {
        state.SkipWithError("broken: a reader saw a torn value");
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(operations));
}

template <class Contestant>
void enter_snapshot(const std::string& name) {
    benchmark::RegisterBenchmark(("snapshot/read/" + name).c_str(), &read_alone<Contestant>);
    benchmark::RegisterBenchmark(("snapshot/write/" + name).c_str(), &write_alone<Contestant>);
    for (const unsigned threads : {2U, 4U}) {
        for (const std::uint64_t reads : {100U, 10'000U}) {
            const std::string scenario = std::to_string(threads) + " threads, 1 write in " + std::to_string(reads);
            benchmark::RegisterBenchmark(("snapshot/" + scenario + "/" + name).c_str(),
                                         [=](benchmark::State& state) { mixed<Contestant>(state, threads, reads); })
                ->UseManualTime()
                ->Unit(benchmark::kMillisecond);
        }
    }
}

[[maybe_unused]] const bool entered = [] {
    enter_snapshot<ours>("epoque");
    enter_snapshot<atomic_shared_ptr>("std::atomic<std::shared_ptr>");
    enter_snapshot<shared_mutex_table>("std::shared_mutex");
    enter_snapshot<mutex_table>("std::mutex");
    return true;
}();

} // namespace
} // namespace epoque::bench
