// SPDX-License-Identifier: BSL-1.0
//
// A queue of move-only elements, two producers and two consumers, and a configuration that readers see without locks:
// what a small service does with epoque. Prints `4000 orders, total 8002000` and exits 0.
#include "epoque/epoque.hpp"

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <thread>
#include <vector>

namespace {

struct order {
    std::uint64_t amount;
};

struct limits {
    std::uint64_t largest;
};

} // namespace

int main() {
    epoque::queue<std::unique_ptr<order>> orders;
    epoque::stack<std::uint64_t> totals;

    // Read-mostly data: readers pin, the writer swaps the pointer and retires the old object.
    std::atomic<limits*> current{new limits{4'000}};
    epoque::domain& domain = epoque::default_domain();

    std::vector<std::jthread> producers;
    for (std::uint64_t producer = 0; producer < 2; ++producer) {
        producers.emplace_back([&orders, producer] {
            for (std::uint64_t i = 1; i <= 2'000; ++i) {
                orders.push(std::make_unique<order>(order{2 * i - producer}));
            }
        });
    }

    std::vector<std::jthread> consumers;
    for (int consumer = 0; consumer < 2; ++consumer) {
        consumers.emplace_back([&] {
            std::uint64_t total = 0;
            for (;;) {
                auto next = orders.try_pop();
                if (next) {
                    const auto guard = domain.pin();
                    if ((*next)->amount <= current.load(std::memory_order_acquire)->largest) {
                        total += (*next)->amount;
                    }
                } else if (next.error() == epoque::conqueue_status::closed) {
                    break;
                } else {
                    std::this_thread::yield();
                }
            }
            totals.push(total);
        });
    }

    domain.retire(current.exchange(new limits{5'000}, std::memory_order_acq_rel)); // freed when no reader can see it

    producers.clear(); // joins
    orders.close();    // what is queued still comes out, then consumers see `closed`
    consumers.clear();

    std::uint64_t sum = 0;
    totals.pop_all([&sum](std::uint64_t total) noexcept { sum += total; });
    delete current.load(std::memory_order_relaxed);
    std::printf("4000 orders, total %llu\n", static_cast<unsigned long long>(sum));
    return sum == 8'002'000 ? 0 : 1;
}
