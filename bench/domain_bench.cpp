// SPDX-License-Identifier: BSL-1.0
//
// What reclamation costs: a guard, a nested guard, a retire, against what else protects a reader.
#include "epoque/domain.hpp"

#include <benchmark/benchmark.h>

#include <memory>
#include <shared_mutex>

namespace epoque::bench {
namespace {

void guard(benchmark::State& state) {
    domain& home = default_domain();
    for (auto _ : state) {
        const auto pinned = home.pin();
        benchmark::ClobberMemory();
    }
}

void shared_lock(benchmark::State& state) {
    std::shared_mutex mutex;
    for (auto _ : state) {
        const std::shared_lock lock(mutex);
        benchmark::ClobberMemory();
    }
}

void shared_pointer(benchmark::State& state) {
    const auto object = std::make_shared<int>(1);
    for (auto _ : state) {
        auto copy = object;
        benchmark::DoNotOptimize(copy);
    }
}

void retire(benchmark::State& state) {
    domain& home = default_domain();
    for (auto _ : state) {
        home.retire(new std::uint64_t(1));
    }
    home.barrier();
}

void new_delete(benchmark::State& state) {
    for (auto _ : state) {
        auto object = std::make_unique<std::uint64_t>(1);
        benchmark::DoNotOptimize(object);
    }
}

[[maybe_unused]] const bool entered = [] {
    benchmark::RegisterBenchmark("domain/read side/epoque", &guard);
    benchmark::RegisterBenchmark("domain/read side/std::shared_mutex", &shared_lock);
    benchmark::RegisterBenchmark("domain/read side/std::shared_ptr copy", &shared_pointer);
    benchmark::RegisterBenchmark("domain/new and free/epoque", &retire);
    benchmark::RegisterBenchmark("domain/new and free/new + delete at once", &new_delete);
    return true;
}();

} // namespace
} // namespace epoque::bench
