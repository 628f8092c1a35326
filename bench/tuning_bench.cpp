// SPDX-License-Identifier: BSL-1.0
//
// What each constant of the Env moves: the same structures with another value of one of them. The figures are in docs/options.md.
#include "epoque/channel.hpp"
#include "epoque/domain.hpp"
#include "epoque/queue.hpp"
#include "epoque/stack.hpp"

#include "contest.hpp"

#include <algorithm>
#include <cstdint>
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
};
template <class Env>
using queues = in_its_domain<Env, queue<std::uint64_t, Env>>;
template <class Env>
using stacks = in_its_domain<Env, stack<std::uint64_t, Env>>;

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
