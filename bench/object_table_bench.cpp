// SPDX-License-Identifier: BSL-1.0
//
// What a handle costs: a look-up, and a create with its destroy, against a map behind a lock.
#include "epoque/object_table.hpp"

#include <benchmark/benchmark.h>

#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>

namespace epoque::bench {
namespace {

constexpr std::uint8_t kind = 1;

struct object {
    std::uint64_t value = 1;
};

void find(benchmark::State& state) {
    domain& home = default_domain();
    const auto table = std::make_unique<object_table<object>>(home);
    auto fresh = std::make_unique<object>();
    const std::uint64_t handle = table->create(kind, fresh);
    std::uint64_t sum = 0;
    for (auto _ : state) {
        object_table<object>::keep held(home);
        object* found = nullptr;
        if (table->find(held, handle, kind, found) != find_status::found) {
            state.SkipWithError("broken: a live handle was not found");
            break;
        }
        sum += found->value;
    }
    benchmark::DoNotOptimize(sum);
    home.barrier();
}

void find_in_map(benchmark::State& state) {
    std::shared_mutex mutex;
    std::unordered_map<std::uint64_t, std::shared_ptr<object>> map{{1, std::make_shared<object>()}};
    std::uint64_t sum = 0;
    for (auto _ : state) {
        std::shared_ptr<object> found;
        {
            const std::shared_lock lock(mutex);
            found = map.find(1)->second;
        }
        sum += found->value;
    }
    benchmark::DoNotOptimize(sum);
}

void create_and_destroy(benchmark::State& state) {
    domain& home = default_domain();
    const auto table = std::make_unique<object_table<object>>(home);
    for (auto _ : state) {
        auto fresh = std::make_unique<object>();
        const std::uint64_t handle = table->create(kind, fresh);
        object_table<object>::keep held(home);
        object* gone = nullptr;
        if (table->destroy(held, handle, kind, gone) != find_status::found) {
            state.SkipWithError("broken: a live handle could not be destroyed");
            break;
        }
    }
    home.barrier();
}

void insert_and_erase(benchmark::State& state) {
    std::shared_mutex mutex;
    std::unordered_map<std::uint64_t, std::shared_ptr<object>> map;
    for (auto _ : state) {
        auto fresh = std::make_shared<object>();
        const std::unique_lock lock(mutex);
        map.emplace(1, std::move(fresh));
        map.erase(1);
    }
}

[[maybe_unused]] const bool entered = [] {
    benchmark::RegisterBenchmark("object_table/look-up/epoque", &find);
    benchmark::RegisterBenchmark("object_table/look-up/shared_mutex + map + shared_ptr", &find_in_map);
    benchmark::RegisterBenchmark("object_table/create and destroy/epoque", &create_and_destroy);
    benchmark::RegisterBenchmark("object_table/create and destroy/mutex + map", &insert_and_erase);
    return true;
}();

} // namespace
} // namespace epoque::bench
