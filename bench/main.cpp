// SPDX-License-Identifier: BSL-1.0
//
// epoque-bench: Google Benchmark with the contestants of a scenario interleaved at random, nine repetitions unless told
// otherwise, and at the end one table: for each scenario the median time of epoque, and of each peer as a ratio to it.
// All options are Google Benchmark's (--benchmark_filter=queue, --benchmark_out=FILE --benchmark_out_format=json).
#include "contest.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace {

class table_reporter : public benchmark::ConsoleReporter {
  public:
    table_reporter() : ConsoleReporter(OO_Tabular) {}

    bool ReportContext(const Context& context) override {
        PrintBasicContext(&GetErrorStream(), context);
        return true;
    }
    void ReportRuns(const std::vector<Run>& runs) override {
        for (const Run& run : runs) {
            if (run.run_type != Run::RT_Iteration) {
                continue;
            }
            const std::string& name = run.run_name.function_name;
            const std::size_t cut = name.rfind('/');
            auto& contestant = scenarios_[name.substr(0, cut)][name.substr(cut + 1)];
            if (run.error_occurred) {
                contestant.broken = run.error_message;
            } else {
                contestant.nanoseconds.push_back(run.real_accumulated_time * 1e9 / items(run));
            }
        }
    }
    void Finalize() override {
        std::printf("%-34s %-32s %10s %21s %8s\n", "scenario", "contestant", "ns median", "min - max", "ratio");
        for (auto& [scenario, contestants] : scenarios_) {
            const double ours = contestants["epoque"].median();
            for (auto& [name, contestant] : contestants) {
                if (!contestant.broken.empty()) {
                    std::printf("%-34s %-32s %s\n", scenario.c_str(), name.c_str(), contestant.broken.c_str());
                } else if (const double median = contestant.median(); median > 0) {
                    std::printf("%-34s %-32s %10.2f %10.2f - %8.2f %8.2f\n", scenario.c_str(), name.c_str(), median,
                                contestant.nanoseconds.front(), contestant.nanoseconds.back(), median / ours);
                }
            }
        }
        std::printf("ns: for one element, or one operation. ratio: time of the contestant / time of epoque; above 1, "
                    "epoque is faster.\n");
        for (const std::string& peer : epoque::bench::absent_peers()) {
            std::printf("not measured, %s\n", peer.c_str());
        }
    }

    /// Whether an epoque structure lost, invented or reordered something. (A peer that does is shown as broken.)
    bool ours_is_broken() const {
        return std::any_of(scenarios_.begin(), scenarios_.end(), [](const auto& scenario) {
            const auto ours = scenario.second.find("epoque");
            return ours != scenario.second.end() && !ours->second.broken.empty();
        });
    }

  private:
    struct results {
        std::vector<double> nanoseconds;
        std::string broken;

        double median() {
            if (nanoseconds.empty()) {
                return 0;
            }
            std::sort(nanoseconds.begin(), nanoseconds.end());
            return nanoseconds[nanoseconds.size() / 2];
        }
    };

    static double items(const Run& run) {
        const auto rate = run.counters.find("items_per_second");
        return rate == run.counters.end() ? static_cast<double>(run.iterations)
                                          : rate->second.value * run.real_accumulated_time;
    }

    std::map<std::string, std::map<std::string, results>> scenarios_;
};

} // namespace

int main(int argc, char** argv) {
    std::vector<std::string> words{argv[0], "--benchmark_enable_random_interleaving=true", "--benchmark_repetitions=9"};
    words.insert(words.end(), argv + 1, argv + argc); // the user's come last, and win
    std::vector<char*> arguments;
    for (std::string& word : words) {
        arguments.push_back(word.data());
    }
    int count = static_cast<int>(arguments.size());
    benchmark::Initialize(&count, arguments.data());
    if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) {
        return 2;
    }
    table_reporter reporter;
    benchmark::RunSpecifiedBenchmarks(&reporter);
    benchmark::Shutdown();
    return reporter.ours_is_broken() ? 1 : 0;
}
