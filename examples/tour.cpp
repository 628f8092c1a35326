// SPDX-License-Identifier: BSL-1.0
//
// Every structure once, each for what it is there for. Prints a line for each and exits 0 if all was as it should be.
#include "epoque/epoque.hpp"

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

bool all_good = true;

void show(const char* what, bool good) {
    std::printf("%-22s %s\n", what, good ? "ok" : "NOT AS EXPECTED");
    all_good = all_good && good;
}

// Any number of producers and consumers, any number of elements; elements may be move-only.
void a_queue() {
    epoque::queue<std::unique_ptr<int>> line;
    {
        std::vector<std::jthread> producers;
        for (int producer = 0; producer < 2; ++producer) {
            producers.emplace_back([&line] {
                for (int number = 1; number <= 1'000; ++number) {
                    line.push(std::make_unique<int>(number));
                }
            });
        }
    }
    line.close();
    int sum = 0;
    while (auto next = line.try_pop()) {
        sum += **next;
    }
    show("queue", sum == 2 * 500'500 && line.is_closed());
}

// Room for exactly so many: back-pressure.
void a_bounded_queue() {
    epoque::bounded_queue<std::string> line(3);
    bool good = true;
    for (const char* word : {"one", "two", "three"}) {
        good = good && line.try_push(word) == epoque::conqueue_status::success;
    }
    good = good && line.try_push("four") == epoque::conqueue_status::full;
    show("bounded_queue", good && line.try_pop().value_or("") == "one");
}

// One producer, one consumer: neither ever waits for the other.
void an_spsc_queue() {
    epoque::spsc_queue<std::uint64_t> samples(1'000);
    std::jthread producer([&samples] {
        for (std::uint64_t sample = 1; sample <= 10'000;) {
            sample += samples.try_push(sample) == epoque::conqueue_status::success ? 1U : 0U;
        }
        samples.close();
    });
    std::uint64_t sum = 0;
    for (bool open = true; open;) {
        if (auto sample = samples.try_pop()) {
            sum += *sample;
        } else {
            open = sample.error() != epoque::conqueue_status::closed;
        }
    }
    show("spsc_queue", sum == 50'005'000);
}

// Many producers, one consumer: a mailbox.
void an_mpsc_queue() {
    epoque::mpsc_queue<int> mail;
    {
        std::jthread one([&mail] { mail.push(1); });
        std::jthread other([&mail] { mail.push(2); });
    }
    int sum = 0;
    while (auto letter = mail.try_pop()) {
        sum += *letter;
    }
    show("mpsc_queue", sum == 3);
}

// The newest first; all at once for who collects.
void a_stack() {
    epoque::stack<int> pile;
    for (int number = 1; number <= 3; ++number) {
        pile.push(number);
    }
    const bool newest = pile.try_pop().value_or(0) == 3;
    int rest = 0;
    pile.pop_all([&rest](int&& number) noexcept { rest = 10 * rest + number; });
    show("stack", newest && rest == 21);
}

// The owner's end, and the thieves'.
void a_work_stealing_deque() {
    epoque::work_stealing_deque<int> work;
    for (int task = 1; task <= 3; ++task) {
        work.push(task);
    }
    int stolen = 0;
    std::jthread([&] { stolen = work.try_steal().value_or(0); }).join();
    show("work_stealing_deque", stolen == 1 && work.try_pop().value_or(0) == 3);
}

// Readers see a whole, without a lock, while it is replaced.
void a_snapshot() {
    struct settings {
        std::string host;
        int port;
    };
    epoque::snapshot<settings> current(settings{"localhost", 80});
    const auto before = current.load(); // stays what it is
    current.update([](settings& next) { next.port = 8080; });
    const auto now = current.load();
    show("snapshot", before->port == 80 && now->port == 8080 && now.version() == before.version() + 1);
}

// A queue for who wants to wait: for an element, for room, for the end.
void a_channel() {
    epoque::channel<int> line;
    int sum = 0;
    {
        std::jthread consumer([&] {
            while (auto next = line.pop()) {
                sum += *next;
            }
        });
        for (int number = 1; number <= 100; ++number) {
            line.push(number);
        }
        line.close();
    }
    show("channel", sum == 5'050);
}

// Tasks, their results, and an order where one is wanted.
void a_task_pool() {
    epoque::task_pool pool({.threads = 2});
    auto answer = pool.submit([] { return 6 * 7; });
    show("task_pool", answer.get() == 42);
}

// Numbers for objects: what crosses a language's border instead of pointers.
void an_object_table() {
    epoque::domain& home = epoque::default_domain();
    const auto table = std::make_unique<epoque::object_table<std::string>>(home);
    auto object = std::make_unique<std::string>("behind a handle");
    const std::uint64_t handle = table->create(1, object);
    bool good = false;
    {
        epoque::object_table<std::string>::keep held(home); // what it finds lives as long as this
        std::string* found = nullptr;
        good = table->find(held, handle, 1, found) == epoque::find_status::found && *found == "behind a handle";
        good = good && table->destroy(held, handle, 1, found) == epoque::find_status::found;
        good = good && table->find(held, handle, 1, found) == epoque::find_status::stale;
    }
    home.barrier(); // before the table: the object that was destroyed is still in one of its slots
    show("object_table", good);
}

// Your own pointers: read inside a guard, retire what you have unlinked.
void a_domain() {
    epoque::domain home;
    std::atomic<int*> shared{new int(1)};
    int seen = 0;
    {
        const auto guard = home.pin();
        int* const there = shared.load(std::memory_order_acquire);
        home.retire(shared.exchange(new int(2), std::memory_order_acq_rel));
        seen = *there; // not freed before the guard ends
    }
    home.barrier(); // freed now
    show("domain", seen == 1 && home.stats().freed_objects == 1);
    delete shared.load(std::memory_order_relaxed);
}

} // namespace

int main() { // NOLINT(bugprone-exception-escape): what nobody expects ends the program, with a message
    a_queue();
    a_bounded_queue();
    an_spsc_queue();
    an_mpsc_queue();
    a_stack();
    a_work_stealing_deque();
    a_snapshot();
    a_channel();
    a_task_pool();
    an_object_table();
    a_domain();
    epoque::default_domain().barrier();
    return all_good ? 0 : 1;
}
