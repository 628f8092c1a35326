// SPDX-License-Identifier: BSL-1.0
// A program of a user: everything of the C++ interface once, from two threads.
#include <epoque/epoque.hpp>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <thread>

int main() {
    epoque::queue<std::unique_ptr<int>> line;
    epoque::stack<int> pile;
    std::thread producer([&line] {
        for (int number = 1; number <= 10'000; ++number) {
            line.push(std::make_unique<int>(number));
        }
        line.close();
    });
    long sum = 0;
    for (bool open = true; open;) {
        if (auto number = line.try_pop()) {
            sum += **number;
            pile.push(**number);
        } else {
            open = number.error() != epoque::conqueue_status::closed;
        }
    }
    producer.join();
    pile.pop_all([&sum](int&& number) noexcept { sum -= number; });

    epoque::domain& home = epoque::default_domain();
    const auto table = std::make_unique<epoque::object_table<int>>(home);
    auto object = std::make_unique<int>(42);
    const std::uint64_t handle = table->create(1, object);
    {
        epoque::object_table<int>::keep held(home);
        int* found = nullptr;
        if (table->find(held, handle, 1, found) != epoque::find_status::found || *found != 42 ||
            table->destroy(held, handle, 1, found) != epoque::find_status::found) {
            std::fputs("the object was not behind its handle\n", stderr);
            return 1;
        }
    }
    home.barrier();
    if (sum != 0 || home.stats().pending_objects != 0) {
        std::fputs("something was lost\n", stderr);
        return 1;
    }
    return 0;
}
