// SPDX-License-Identifier: BSL-1.0
/// @file
/// What the process has after ten million elements have gone through a structure: as much memory as before, within 1 MiB. Not under
/// sanitizers, whose heaps keep what is freed.
///
/// EPOQUE_MEMORY_ELEMENTS: how many (default 10,000,000); a snapshot and a task pool get a tenth. More go through in rounds of
/// ten million, so that the 2^32 of pitfall 19 need no more memory than that.
#include "harness/scale.hpp"

#include "epoque/bounded_queue.hpp"
#include "epoque/channel.hpp"
#include "epoque/concepts.hpp"
#include "epoque/deque.hpp"
#include "epoque/domain.hpp"
#include "epoque/mpsc_queue.hpp"
#include "epoque/queue.hpp"
#include "epoque/snapshot.hpp"
#include "epoque/spsc_queue.hpp"
#include "epoque/stack.hpp"
#include "epoque/task_pool.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

#include <malloc.h>
#include <unistd.h>

namespace epoque::stress {
namespace {

std::int64_t resident_bytes() {
    std::ifstream statm("/proc/self/statm");
    std::int64_t total = 0;
    std::int64_t resident = 0;
    statm >> total >> resident;
    return resident * ::sysconf(_SC_PAGESIZE);
}

/// Runs `through(n)` in small, then with all elements. `tidy` gives back what the structure keeps for reuse.
template <class Through, class Tidy>
void expect_memory_back(Through through, Tidy tidy) {
    const std::uint64_t all = wished("EPOQUE_MEMORY_ELEMENTS", 10'000'000);
    const auto settle = [&] {
        tidy();
        ::malloc_trim(0); // what the allocator keeps
    };
    through(10'000);
    settle();
    const std::int64_t before = resident_bytes();
    through(all);
    const std::int64_t drained = resident_bytes();
    settle();
    const std::int64_t after = resident_bytes();
    std::printf("%12.1f MiB before, %8.1f drained, %8.1f after trim()\n", double(before) / (1 << 20),
                double(drained) / (1 << 20), double(after) / (1 << 20));
    EXPECT_LE(after - before, std::int64_t{1} << 20);
}

template <class Container>
bool put(Container& container, std::uint64_t element) {
    if constexpr (requires { container.try_push(element); }) {
        return container.try_push(element) == conqueue_status::success;
    } else {
        container.push(element); // a deque's
        return true;
    }
}
template <class Container>
constexpr bool is_fifo = false; // the owner's end of a deque
template <concurrent_container Container>
constexpr bool is_fifo<Container> = Container::is_fifo;

/// Ten million in, or what is left of `elements`, then all of them out, in the container's order; and again.
template <class Container>
void fill_and_drain(Container& container, std::uint64_t elements) {
    constexpr std::uint64_t at_once = 10'000'000;
    for (std::uint64_t first = 0; first < elements; first += at_once) {
        const std::uint64_t last = std::min(elements, first + at_once);
        for (std::uint64_t i = first; i < last; ++i) {
            if (!put(container, i)) {
                FAIL() << "element " << i << " was refused";
            }
        }
        std::uint64_t popped = 0;
        while (const auto element = container.try_pop()) {
            const std::uint64_t next = is_fifo<Container> ? first + popped : last - 1 - popped;
            if (*element != next) {
                FAIL() << *element << " came in place of " << next;
            }
            ++popped;
        }
        ASSERT_EQ(popped, last - first);
    }
}

template <class Container>
void expect_memory_back_of(domain& home, Container& container) {
    expect_memory_back([&](std::uint64_t elements) { fill_and_drain(container, elements); },
                       [&] {
                           home.barrier();
                           home.trim();
                       });
}

TEST(memory_of, a_queue) {
    domain home;
    queue<std::uint64_t> container(home);
    expect_memory_back_of(home, container);
}
TEST(memory_of, an_mpsc_queue) {
    domain home;
    mpsc_queue<std::uint64_t> container(home);
    expect_memory_back_of(home, container);
}
TEST(memory_of, a_stack) {
    domain home;
    stack<std::uint64_t> container(home);
    expect_memory_back_of(home, container);
}
TEST(memory_of, a_channel) {
    channel<std::uint64_t> container;
    expect_memory_back_of(default_domain(), container);
}

/// A few at a time: what these hold they reserve.
template <class Container>
void expect_nothing_of_passers_by(domain& home, Container& container) {
    expect_memory_back(
        [&](std::uint64_t elements) {
            for (std::uint64_t done = 0; done < elements; done += 50) {
                for (std::uint64_t i = done; i < done + 50; ++i) {
                    static_cast<void>(put(container, i));
                }
                std::uint64_t left = 50 * done + 49 * 50 / 2;
                while (const auto element = container.try_pop()) {
                    left -= *element;
                }
                if (left != 0) {
                    FAIL() << "something of " << done << " and what follows was lost or doubled";
                }
            }
        },
        [&] {
            home.barrier();
            home.trim();
        });
}

TEST(memory_of, a_bounded_queue) {
    domain home;
    bounded_queue<std::uint64_t> container(64, home);
    expect_nothing_of_passers_by(home, container);
}
TEST(memory_of, an_spsc_queue) {
    domain home;
    spsc_queue<std::uint64_t> container(64);
    expect_nothing_of_passers_by(home, container);
}
TEST(memory_of, a_deque) {
    domain home;
    work_stealing_deque<std::uint64_t> container(home);
    expect_memory_back([&](std::uint64_t elements) { fill_and_drain(container, elements); },
                       [&] {
                           EXPECT_TRUE(container.trim());
                           home.barrier();
                           home.trim();
                       });
}
TEST(memory_of, a_snapshot) {
    domain home;
    snapshot<std::string> cell(home, "a");
    expect_memory_back(
        [&](std::uint64_t elements) {
            for (std::uint64_t i = 0; i < elements / 10; ++i) {
                cell.store(std::string(100, 'x'));
            }
        },
        [&] {
            home.barrier();
            home.trim();
        });
}
TEST(memory_of, a_task_pool) {
    domain home;
    task_pool pool(task_pool_options{.threads = 2, .home = &home});
    expect_memory_back(
        [&](std::uint64_t elements) {
            for (std::uint64_t i = 0; i < elements / 10; ++i) {
                pool.execute([] {});
            }
            while (pool.stats().asleep != pool.size()) {
                ::usleep(1'000);
            }
        },
        [&] {
            home.barrier();
            home.trim();
        });
}

} // namespace
} // namespace epoque::stress
