// SPDX-License-Identifier: BSL-1.0
//
// What each constant of the Env moves: the same structures with another value of one of them. The figures are in docs/options.md.
#include "epoque/bounded_queue.hpp"
#include "epoque/channel.hpp"
#include "epoque/domain.hpp"
#include "epoque/object_table.hpp"
#include "epoque/queue.hpp"
#include "epoque/stack.hpp"
#include "epoque/task_pool.hpp"

#include "contest.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <string>
#include <thread>
#include <vector>

namespace epoque::bench {
namespace {

template <std::size_t Slots>
struct segments_of : std_env {
    static constexpr std::size_t segment_slots = Slots;
};
template <unsigned Pauses>
struct abandons_after : std_env {
    static constexpr unsigned spin_before_abandon = Pauses;
};
template <unsigned Pauses>
struct parks_after : std_env {
    static constexpr unsigned spin_before_park = Pauses;
};
template <std::int64_t Objects>
struct advances_after : std_env {
    static constexpr std::int64_t advance_objects = Objects;
    static constexpr std::int64_t advance_bytes = Objects * 512;
};
template <std::size_t Cells>
struct spares_of : std_env {
    static constexpr std::size_t spare_cells = Cells;
};
template <std::uint32_t Slots>
struct chunks_of : std_env {
    static constexpr std::uint32_t table_chunk_slots = Slots;
    static constexpr std::uint32_t table_chunks = (1U << 24) / Slots;
};

template <class Env, class Container>
struct in_its_domain {
    static constexpr bool is_fifo = Container::is_fifo;
    bool push(std::uint64_t value) { return container.try_push(value) == conqueue_status::success; }
    bool pop(std::uint64_t& value) {
        auto popped = container.try_pop();
        if (!popped) {
            return false;
        }
        value = *popped;
        return true;
    }
    basic_domain<Env> home;
    Container container{home};

    in_its_domain() = default;
    explicit in_its_domain(std::size_t capacity) : container(capacity, home) {}
};
template <class Env>
using queues = in_its_domain<Env, queue<std::uint64_t, Env>>;
template <class Env>
using stacks = in_its_domain<Env, stack<std::uint64_t, Env>>;

/// A ring of 1,024 with so many spare cells made at once.
template <std::size_t Cells>
struct ring_with_spares : in_its_domain<spares_of<Cells>, bounded_queue<std::uint64_t, spares_of<Cells>>> {
    using base = in_its_domain<spares_of<Cells>, bounded_queue<std::uint64_t, spares_of<Cells>>>;
    ring_with_spares() : base(1024U) {}
};
/// The domain's memory comes from a resource: a virtual call in place of operator new.
struct queue_with_resource {
    static constexpr bool is_fifo = true;
    bool push(std::uint64_t value) { return container.push(value); }
    bool pop(std::uint64_t& value) {
        auto popped = container.try_pop();
        value = popped ? *popped : 0;
        return popped.has_value();
    }
    domain home{domain_options{.memory = std::pmr::new_delete_resource()}};
    queue<std::uint64_t> container{home};
};

/// Handles made and destroyed, 1,000 alive at a time; then one looked up over and over among a million.
template <class Env>
void handles(benchmark::State& state) {
    struct nothing {};
    constexpr std::uint8_t kind = 1;
    basic_domain<Env> home;
    {
        object_table<nothing, Env> table(home);
        std::vector<std::uint64_t> live(1000);
        for (auto _ : state) {
            for (std::uint64_t& each : live) {
                auto fresh = std::make_unique<nothing>();
                each = table.create(kind, fresh);
            }
            for (const std::uint64_t each : live) {
                typename object_table<nothing, Env>::keep held(home);
                nothing* ended = nullptr;
                benchmark::DoNotOptimize(table.destroy(held, each, kind, ended));
            }
        }
        home.barrier();
    }
    state.SetItemsProcessed(state.iterations() * 1000);
}

/// Tasks of 10,000 keys in order, by two submitters over two threads.
void keyed_tasks(benchmark::State& state, std::size_t lanes) {
    constexpr std::uint64_t tasks = 200'000;
    for (auto _ : state) {
        task_pool pool(task_pool_options{.threads = 2});
        keyed_lanes<std::uint64_t, task_pool> keyed(pool, lanes);
        std::atomic<std::uint64_t> done{0};
        starting_gun start(2);
        std::vector<std::jthread> all;
        for (std::uint64_t thread = 0; thread < 2; ++thread) {
            all.emplace_back([&, thread] {
                start.arrive_and_wait();
                for (std::uint64_t i = 0; i < tasks / 2; ++i) {
                    keyed.of((i * 2 + thread) * 7919 % 10'000).execute([&done] {
                        done.fetch_add(1, std::memory_order_relaxed);
                    });
                }
            });
        }
        all.clear();
        pool.shutdown();
        state.SetIterationTime(start.elapsed());
        if (done.load() != tasks) {
            state.SkipWithError("broken: tasks were lost");
        }
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(tasks));
}

/// An object retired by each of `threads`, and what waits at most.
template <class Env>
void retire(benchmark::State& state, unsigned threads) {
    constexpr std::uint64_t objects = 200'000;
    double garbage = 0;
    for (auto _ : state) {
        basic_domain<Env> home;
        starting_gun start(threads);
        std::vector<std::jthread> all;
        for (unsigned thread = 0; thread < threads; ++thread) {
            all.emplace_back([&] {
                start.arrive_and_wait();
                for (std::uint64_t i = 0; i < objects / threads; ++i) {
                    const auto pinned = home.pin();
                    home.retire(new std::uint64_t(i));
                }
            });
        }
        all.clear();
        state.SetIterationTime(start.elapsed());
        garbage = std::max(garbage, static_cast<double>(home.stats().peak_pending_bytes));
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(objects));
    state.counters["peak garbage"] = garbage;
}

template <class Env>
void ping_pong(benchmark::State& state) {
    basic_domain<Env> home;
    using line = channel<std::uint64_t, queue<std::uint64_t, Env>, Env>;
    line there(home);
    line back(home);
    std::jthread echo([&] {
        while (auto got = there.pop()) {
            back.push(*got);
        }
    });
    for (auto _ : state) {
        there.push(1);
        benchmark::DoNotOptimize(back.pop());
    }
    there.close();
    state.SetItemsProcessed(state.iterations());
}

template <class Contestant>
void enter_some(const std::string& what) {
    benchmark::RegisterBenchmark(("tuning/1 thread, pair/" + what).c_str(), &pair<Contestant>);
    for (const unsigned threads : {1U, 4U}) {
        const std::string scenario = std::to_string(threads) + "P" + std::to_string(threads) + "C";
        benchmark::RegisterBenchmark(("tuning/" + scenario + "/" + what).c_str(),
                                     [=](benchmark::State& state) { flow<Contestant>(state, threads, threads); })
            ->UseManualTime()
            ->Unit(benchmark::kMillisecond);
    }
}
template <class Env>
void enter_retire(const std::string& what) {
    for (const unsigned threads : {1U, 4U}) {
        benchmark::RegisterBenchmark(("tuning/retire, " + std::to_string(threads) + " threads/" + what).c_str(),
                                     [=](benchmark::State& state) { retire<Env>(state, threads); })
            ->UseManualTime()
            ->Unit(benchmark::kMillisecond);
    }
}

[[maybe_unused]] const bool entered = [] {
    enter_some<queues<segments_of<64>>>("queue, segment_slots 64");
    enter_some<queues<segments_of<256>>>("queue, segment_slots 256");
    enter_some<queues<segments_of<1024>>>("queue, segment_slots 1024");
    enter_some<queues<segments_of<4096>>>("queue, segment_slots 4096");
    enter_some<queues<abandons_after<1>>>("queue, spin_before_abandon 1");
    enter_some<queues<abandons_after<32>>>("queue, spin_before_abandon 32");
    enter_some<queues<abandons_after<1024>>>("queue, spin_before_abandon 1024");
    enter_some<stacks<advances_after<64>>>("stack, advance_objects 64");
    enter_some<stacks<advances_after<512>>>("stack, advance_objects 512");
    enter_some<stacks<advances_after<4096>>>("stack, advance_objects 4096");
    enter_retire<advances_after<64>>("advance_objects 64");
    enter_retire<advances_after<512>>("advance_objects 512");
    enter_retire<advances_after<4096>>("advance_objects 4096");
    enter_some<ring_with_spares<1>>("bounded_queue, spare_cells 1");
    enter_some<ring_with_spares<32>>("bounded_queue, spare_cells 32");
    enter_some<ring_with_spares<1024>>("bounded_queue, spare_cells 1024");
    enter_some<queues<std_env>>("queue, operator new");
    enter_some<queue_with_resource>("queue, memory resource");
    benchmark::RegisterBenchmark("tuning/handle, made and destroyed/table_chunk_slots 64", &handles<chunks_of<64>>);
    benchmark::RegisterBenchmark("tuning/handle, made and destroyed/table_chunk_slots 1024", &handles<chunks_of<1024>>);
    benchmark::RegisterBenchmark("tuning/handle, made and destroyed/table_chunk_slots 16384",
                                 &handles<chunks_of<16384>>);
    for (const std::size_t lanes : {1U, 8U, 64U, 1024U}) {
        benchmark::RegisterBenchmark(
            ("tuning/keyed_lanes, 2 submitters, 2 threads/count " + std::to_string(lanes)).c_str(),
            [=](benchmark::State& state) { keyed_tasks(state, lanes); })
            ->UseManualTime()
            ->Unit(benchmark::kMillisecond);
    }
    const auto ping = [](const char* what, auto run) {
        benchmark::RegisterBenchmark((std::string("tuning/channel ping-pong/spin_before_park ") + what).c_str(), run)
            ->UseRealTime();
    };
    ping("0", &ping_pong<parks_after<0>>);
    ping("32", &ping_pong<parks_after<32>>);
    ping("1024", &ping_pong<parks_after<1024>>);
    return true;
}();

} // namespace
} // namespace epoque::bench
