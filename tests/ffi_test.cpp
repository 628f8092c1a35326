// SPDX-License-Identifier: BSL-1.0
/// @file
/// The C interface under threads: handles that others destroy, waits that senders, closers and destroyers end, the
/// notifier under load, and threads that stop at the worst moment. What one thread can see is in c_api_test.c.
///
/// A lost wake-up shows as a test that does not end; nothing here measures time, but for the lower bound of a timeout.
#include "ffi_support.hpp"

#include "epoque.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <dlfcn.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

// ---- a thread that stops between its element and its wake -------------------------------------------------------------

thread_local bool stops_before_wake = false;
std::atomic<int> stopped_wakes{0};
std::atomic<bool> stopped_may_go_on{true};

using system_call = long (*)(long, ...);
std::atomic<system_call> real_syscall{nullptr};

} // namespace

// In front of the C library's, for this program and the libepoque.so that it uses.
extern "C" long syscall(long number, ...) noexcept {
    system_call real = real_syscall.load();
    if (real == nullptr) {
        void* const found = ::dlsym(RTLD_NEXT, "syscall");
        static_assert(sizeof real == sizeof found);
        std::memcpy(static_cast<void*>(&real), static_cast<const void*>(&found), sizeof real);
        real_syscall = real;
    }
    std::va_list list;
    va_start(list, number);
    const long a = va_arg(list, long);
    const long b = va_arg(list, long);
    const long c = va_arg(list, long);
    if (number != SYS_futex) { // membarrier
        va_end(list);
        return real(number, a, b, c);
    }
    const long d = va_arg(list, long);
    const long e = va_arg(list, long);
    const long f = va_arg(list, long);
    va_end(list);
    if (stops_before_wake && (b & FUTEX_CMD_MASK) == FUTEX_WAKE) {
        ++stopped_wakes;
        while (!stopped_may_go_on.load()) {
            ::sched_yield();
        }
    }
    return real(number, a, b, c, d, e, f);
}

namespace {

using namespace epoque::test; // NOLINT(google-build-using-namespace): a test of that

using kinds = testing::Types<queues, stacks, boundeds, spscs>;
TYPED_TEST_SUITE(ffi, kinds, kind_names);

// ---- handles --------------------------------------------------------------------------------------------------------------

TYPED_TEST(ffi, one_of_two_concurrent_destroys_wins) {
    const auto rounds = static_cast<std::size_t>(many(3000));
    std::vector<std::atomic<int>> winners(rounds);
    std::vector<std::atomic<std::uint64_t>> handles(rounds);
    const auto destroyer = [&] {
        for (std::size_t round = 0; round < rounds; ++round) {
            std::uint64_t bits = 0;
            while ((bits = handles[round].load()) == 0) {
                std::this_thread::yield();
            }
            const epq_status status = TypeParam::destroy({bits}, nullptr);
            ASSERT_TRUE(status == EPQ_OK || status == EPQ_STALE) << status;
            winners[round] += status == EPQ_OK ? 1 : 0;
        }
    };
    crew threads;
    threads.add(destroyer);
    threads.add(destroyer);
    for (auto& handle : handles) {
        handle = make<TypeParam>().bits;
    }
    threads.join();
    for (const auto& count : winners) {
        ASSERT_EQ(count.load(), 1);
    }
}

TYPED_TEST(ffi, a_destroyed_handle_is_never_valid_again) {
    // Far more objects than one after the other need slots, so that slots are used again and again.
    std::vector<std::uint64_t> old;
    for (int i = 0; i < many(4000); ++i) {
        const auto handle = make<TypeParam>();
        ASSERT_EQ(send<TypeParam>(handle, 1), EPQ_OK);
        ASSERT_EQ(TypeParam::destroy(handle, nullptr), EPQ_OK);
        old.push_back(handle.bits);
        if (i % 500 == 499) {
            ASSERT_EQ(epq_domain_barrier(nullptr), EPQ_OK);
        }
    }
    const auto live = make<TypeParam>();
    std::uint64_t value = 0;
    for (const std::uint64_t bits : old) {
        ASSERT_NE(bits, live.bits);
        ASSERT_EQ(TypeParam::try_send({bits}, &value, size, nullptr), EPQ_STALE);
    }
    std::sort(old.begin(), old.end());
    EXPECT_EQ(std::adjacent_find(old.begin(), old.end()), old.end()) << "a handle was given out twice";
    ASSERT_EQ(TypeParam::destroy(live, nullptr), EPQ_OK);
}

TYPED_TEST(ffi, any_number_is_safe_while_another_thread_creates_and_destroys) {
    constexpr int objects = 8;
    std::array<std::atomic<std::uint64_t>, objects> shown{};
    std::atomic<bool> done{false};
    std::atomic<std::uint64_t> answered{0};
    for (auto& each : shown) {
        each = make<TypeParam>("shown").bits;
    }
    crew threads;
    for (unsigned seed = 1; seed <= 3; ++seed) {
        threads.add([&, seed] {
            std::mt19937_64 random(seed);
            std::set<std::uint64_t> dead;
            std::array<std::uint64_t, 4> room{};
            std::uint64_t calls = 0;
            while (!done.load()) {
                std::uint64_t bits = shown[random() % objects].load();
                const bool real = random() % 4 != 0;
                if (!real) {
                    switch (random() % 5) {
                    case 0:
                        bits = 0;
                        break;
                    case 1:
                        bits ^= std::uint64_t{1} << random() % 64;
                        break;
                    case 2:
                        bits += random() % 9 - 4;
                        break;
                    case 3:
                        bits = random();
                        break;
                    default:
                        ASSERT_TRUE([&] {
                            const epq_status status = TypeParam::close_other(bits);
                            return status == EPQ_KIND || status == EPQ_STALE;
                        }());
                        continue;
                    }
                }
                const typename TypeParam::handle handle{bits};
                std::size_t count = 0;
                epq_stats out{};
                out.size = sizeof out;
                epq_error error{};
                error.size = sizeof error;
                epq_status status = EPQ_OK;
                switch (random() % 50 == 0 ? 6 : random() % 6) {
                case 0:
                    status = TypeParam::try_send(handle, room.data(), size, &error);
                    break;
                case 1:
                    status = TypeParam::try_recv(handle, room.data(), size, &error);
                    break;
                case 2:
                    status = TypeParam::send_n(handle, room.data(), size, room.size(), &count, &error);
                    break;
                case 3:
                    status = TypeParam::recv_n(handle, room.data(), size, room.size(), &count, 1000, &error);
                    break;
                case 4:
                    status = TypeParam::stats(handle, &out, &error);
                    ASSERT_TRUE(status != EPQ_OK || std::string(out.name) == "shown");
                    break;
                case 5:
                    status = TypeParam::watch(handle, &error);
                    break;
                default:
                    status = TypeParam::close(handle, &error);
                    break;
                }
                ++calls;
                ASSERT_TRUE(status == EPQ_OK || status == EPQ_EMPTY || status == EPQ_TIMEOUT || status == EPQ_CLOSED ||
                            status == EPQ_PARTIAL || is_momentary(status) || status == EPQ_STALE ||
                            (!real && status == EPQ_KIND))
                    << status << " " << error.msg;
                // A forged number may become valid later; one that was, and is not, never again.
                if (real && status == EPQ_STALE && dead.size() < 10000) {
                    dead.insert(bits);
                } else if (status != EPQ_STALE && status != EPQ_KIND) {
                    ASSERT_EQ(dead.count(bits), 0U) << "stale, then " << status;
                }
            }
            answered += calls;
        });
    }
    std::mt19937_64 random(7);
    for (int round = 0; round < many(20000); ++round) {
        auto& place = shown[random() % objects];
        ASSERT_EQ(TypeParam::destroy({place.load()}, nullptr), EPQ_OK);
        place = make<TypeParam>("shown").bits;
    }
    done = true;
    threads.join();
    EXPECT_GT(answered.load(), 0U);
    for (auto& each : shown) {
        ASSERT_EQ(TypeParam::destroy({each.load()}, nullptr), EPQ_OK);
    }
}

TYPED_TEST(ffi, a_call_that_began_before_a_destroy_ends_well) {
    for (int round = 0; round < many(100); ++round) {
        const auto handle = make<TypeParam>();
        crew threads;
        for (int i = 0; i < 2; ++i) {
            threads.add([handle] {
                std::array<std::uint64_t, 600> many{};
                std::size_t count = 0;
                epq_status status = EPQ_OK;
                while (status == EPQ_OK) {
                    status = TypeParam::send_n(handle, many.data(), size, many.size(), &count, nullptr);
                    if (status == EPQ_OK || status == EPQ_PARTIAL || is_momentary(status)) {
                        status = TypeParam::recv_n(handle, many.data(), size, many.size(), &count, 0, nullptr);
                        status = status == EPQ_EMPTY || status == EPQ_BUSY ? EPQ_OK : status;
                    }
                }
                ASSERT_EQ(status, EPQ_STALE);
            });
        }
        while (stats<TypeParam>(handle).sends < 5000) {
            std::this_thread::yield();
        }
        ASSERT_EQ(TypeParam::destroy(handle, nullptr), EPQ_OK);
    }
}

// ---- native waits ---------------------------------------------------------------------------------------------------------

TYPED_TEST(ffi, a_timeout_is_honoured) {
    const auto handle = make<TypeParam>();
    for (const std::int64_t timeout : {1, 1000, 1'000'000, 20'000'000}) {
        std::uint64_t value = 0;
        const auto begin = std::chrono::steady_clock::now();
        ASSERT_EQ(receive<TypeParam>(handle, value, timeout), EPQ_TIMEOUT);
        EXPECT_GE((std::chrono::steady_clock::now() - begin).count(), timeout);
    }
    EXPECT_EQ(stats<TypeParam>(handle).waiters, 0U);
    ASSERT_EQ(TypeParam::destroy(handle, nullptr), EPQ_OK);
}

void delay(std::uint64_t steps) {
    for (; steps != 0; --steps) {
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }
}

/// Runs `first` and `second` for each round at about the same moment, now this one a little earlier, now that one.
void race(int rounds, const std::function<void(int)>& first, const std::function<void(int)>& second) {
    std::atomic<int> started{0};
    std::atomic<int> ended{0};
    const auto wait_until = [](const std::atomic<int>& counter, int value) {
        for (unsigned spins = 0; counter.load() < value; ++spins) {
            if (spins > 2000) {
                std::this_thread::yield();
            }
        }
    };
    const auto side = [&](unsigned seed, const std::function<void(int)>& act) {
        std::mt19937_64 random(seed);
        for (int round = 0; round < rounds; ++round) {
            started += 1;
            wait_until(started, 2 * round + 2);
            delay(random() % 2 * (random() % 1000));
            act(round);
            ended += 1;
            wait_until(ended, 2 * round + 2);
        }
    };
    std::thread other([&] { side(1, second); });
    side(2, first);
    other.join();
}

TYPED_TEST(ffi, a_send_is_seen_by_a_waiter_on_its_way_to_sleep) {
    const auto handle = make<TypeParam>();
    race(
        many(20000), [&](int round) { ASSERT_EQ(send<TypeParam>(handle, static_cast<std::uint64_t>(round)), EPQ_OK); },
        [&](int round) {
            std::uint64_t value = 0;
            ASSERT_EQ(receive<TypeParam>(handle, value), EPQ_OK);
            ASSERT_EQ(value, static_cast<std::uint64_t>(round));
        });
    ASSERT_EQ(TypeParam::destroy(handle, nullptr), EPQ_OK);
}

TYPED_TEST(ffi, many_waiters_and_senders_lose_and_double_nothing) {
    constexpr int receivers = 6;
    constexpr int senders = 3;
    const auto each = static_cast<std::uint64_t>(many(20000));
    const auto handle = make<TypeParam>();
    std::vector<std::atomic<std::uint8_t>> seen(senders * each);
    std::atomic<std::uint64_t> received{0};
    crew takers;
    for (int i = 0; i < receivers; ++i) {
        takers.add([&, i] {
            std::mt19937_64 random(static_cast<std::uint64_t>(i));
            std::array<std::uint64_t, 16> room{};
            for (;;) {
                std::size_t count = 0;
                const std::int64_t timeout = random() % 3 == 0 ? static_cast<std::int64_t>(random() % 100'000) : -1;
                const std::size_t capacity = 1 + random() % room.size();
                const epq_status status =
                    TypeParam::recv_n(handle, room.data(), size, capacity, &count, timeout, nullptr);
                if (status == EPQ_CLOSED) {
                    return;
                }
                if (status == EPQ_TIMEOUT || status == EPQ_EMPTY) {
                    ASSERT_GE(timeout, 0);
                    continue;
                }
                if (status == EPQ_BUSY) {
                    std::this_thread::yield();
                    continue;
                }
                ASSERT_EQ(status, EPQ_OK);
                ASSERT_GE(count, 1U);
                ASSERT_LE(count, capacity);
                for (std::size_t at = 0; at < count; ++at) {
                    ASSERT_EQ(seen[room[at]].fetch_add(1), 0) << "element " << room[at] << " came twice";
                }
                received += count;
            }
        });
    }
    {
        crew givers;
        for (int i = 0; i < senders; ++i) {
            givers.add([&, i] {
                std::mt19937_64 random(100 + static_cast<std::uint64_t>(i));
                std::array<std::uint64_t, 8> batch{};
                for (std::uint64_t next = 0; next < each;) {
                    const std::size_t count = std::min<std::uint64_t>(1 + random() % batch.size(), each - next);
                    for (std::size_t at = 0; at < count; ++at) {
                        batch[at] = static_cast<std::uint64_t>(i) * each + next + at;
                    }
                    std::size_t sent = 0;
                    const epq_status status =
                        settled([&] { return TypeParam::send_n(handle, batch.data(), size, count, &sent, nullptr); });
                    ASSERT_TRUE(sent == count ? status == EPQ_OK : status == EPQ_PARTIAL && TypeParam::capacity != 0);
                    next += sent;
                    if (random() % 64 == 0) { // let them all fall asleep
                        std::this_thread::sleep_for(std::chrono::microseconds(50));
                    }
                }
            });
        }
    }
    while (received.load() < senders * each) { // all arrive without the help of the close
        std::this_thread::yield();
    }
    ASSERT_EQ(TypeParam::close(handle, nullptr), EPQ_OK);
    takers.join();
    EXPECT_EQ(received.load(), senders * each);
    EXPECT_EQ(stats<TypeParam>(handle).waiters, 0U);
    ASSERT_EQ(TypeParam::destroy(handle, nullptr), EPQ_OK);
}

TYPED_TEST(ffi, a_batch_wakes_as_many_waiters_as_it_has_elements) {
    constexpr int waiters = 5;
    for (int round = 0; round < many(100); ++round) {
        const auto handle = make<TypeParam>();
        crew threads;
        for (int i = 0; i < waiters; ++i) {
            threads.add([handle] {
                std::uint64_t value = 0;
                ASSERT_EQ(receive<TypeParam>(handle, value), EPQ_OK);
            });
        }
        wait_for_waiters<TypeParam>(handle, waiters);
        const std::array<std::uint64_t, waiters> elements{};
        std::size_t sent = 0;
        ASSERT_EQ(TypeParam::send_n(handle, elements.data(), size, waiters, &sent, nullptr), EPQ_OK);
        threads.join();
        ASSERT_EQ(TypeParam::destroy(handle, nullptr), EPQ_OK);
    }
}

TYPED_TEST(ffi, close_wakes_every_waiter) {
    for (int round = 0; round < many(500); ++round) {
        const auto handle = make<TypeParam>();
        crew threads;
        for (int i = 0; i < 4; ++i) {
            threads.add([handle] {
                std::uint64_t value = 0;
                ASSERT_EQ(receive<TypeParam>(handle, value), EPQ_CLOSED);
            });
        }
        if (round % 2 == 0) {
            wait_for_waiters<TypeParam>(handle, static_cast<std::uint64_t>(round % 5));
        }
        ASSERT_EQ(TypeParam::close(handle, nullptr), EPQ_OK);
        threads.join();
        ASSERT_EQ(TypeParam::destroy(handle, nullptr), EPQ_OK);
    }
}

TYPED_TEST(ffi, destroy_wakes_every_waiter_and_frees_nothing_under_it) {
    for (int round = 0; round < many(500); ++round) {
        const auto handle = make<TypeParam>();
        crew threads;
        for (int i = 0; i < 4; ++i) {
            threads.add([handle] {
                std::uint64_t value = 0;
                ASSERT_EQ(receive<TypeParam>(handle, value), EPQ_STALE);
            });
        }
        if (round % 2 == 0) {
            wait_for_waiters<TypeParam>(handle, static_cast<std::uint64_t>(round % 5));
        }
        ASSERT_EQ(TypeParam::destroy(handle, nullptr), EPQ_OK);
        if (round % 3 == 0) {
            ASSERT_EQ(epq_domain_barrier(nullptr), EPQ_OK); // a sleeper is not pinned: nothing to wait for
        }
    }
}

TYPED_TEST(ffi, a_sleeping_waiter_holds_up_no_reclamation) {
    const auto handle = make<TypeParam>();
    crew threads;
    threads.add([handle] {
        std::uint64_t value = 0;
        ASSERT_EQ(receive<TypeParam>(handle, value), EPQ_OK);
    });
    wait_for_waiters<TypeParam>(handle, 1);
    const auto other = make<TypeParam>();
    ASSERT_EQ(TypeParam::destroy(other, nullptr), EPQ_OK);
    ASSERT_EQ(epq_domain_barrier(nullptr), EPQ_OK);
    ASSERT_EQ(send<TypeParam>(handle, 1), EPQ_OK);
    threads.join();
    ASSERT_EQ(TypeParam::destroy(handle, nullptr), EPQ_OK);
}

// ---- notifier -------------------------------------------------------------------------------------------------------------

/// A runtime in small: its receivers never block in the library; one dispatcher waits for the eventfd.
class runtime {
  public:
    explicit runtime(const std::vector<std::uint64_t>& handles) {
        for (const std::uint64_t bits : handles) {
            parked_.emplace(bits, std::make_unique<std::atomic<std::uint32_t>>(0));
        }
        EXPECT_EQ(epq_notifier_open(&fd_, nullptr), EPQ_OK);
        thread_ = std::thread([this] { dispatch(); });
    }
    runtime(const runtime&) = delete;
    runtime& operator=(const runtime&) = delete;
    ~runtime() {
        done_ = true;
        const std::uint64_t one = 1;
        EXPECT_EQ(::write(fd_, &one, sizeof one), static_cast<ssize_t>(sizeof one));
        thread_.join();
    }

    /// As boundary.md says: look, arm, look again, park.
    template <class Kind>
    epq_status receive(typename Kind::handle from, std::uint64_t& value) {
        std::atomic<std::uint32_t>& announced = *parked_.at(from.bits);
        for (;;) {
            const std::uint32_t before = announced.load();
            const auto look = [&] { return settled([&] { return Kind::try_recv(from, &value, size, nullptr); }); };
            epq_status status = look();
            if (status != EPQ_EMPTY) {
                return status;
            }
            status = Kind::watch(from, nullptr);
            if (status == EPQ_OK) {
                status = look();
            }
            if (status != EPQ_EMPTY) {
                return status;
            }
            announced.wait(before);
        }
    }

  private:
    void dispatch() {
        while (!done_.load()) {
            pollfd ready{fd_, POLLIN, 0};
            ASSERT_GE(::poll(&ready, 1, -1), 0);
            std::uint64_t value = 0;
            ASSERT_EQ(::read(fd_, &value, sizeof value), static_cast<ssize_t>(sizeof value));
            std::array<std::uint64_t, 2> handles{}; // small, so that something is left sometimes
            std::size_t taken = 0;
            std::uint32_t more = 1;
            while (more != 0) {
                ASSERT_EQ(epq_notifier_take(handles.data(), handles.size(), &taken, &more, nullptr), EPQ_OK);
                for (std::size_t i = 0; i < taken; ++i) {
                    if (const auto found = parked_.find(handles[i]); found != parked_.end()) {
                        found->second->fetch_add(1);
                        found->second->notify_all();
                    }
                }
            }
        }
    }

    std::map<std::uint64_t, std::unique_ptr<std::atomic<std::uint32_t>>>
        parked_; // constant; how often each was announced
    std::atomic<bool> done_{false};
    std::int32_t fd_ = -1;
    std::thread thread_;
};

TYPED_TEST(ffi, no_announcement_is_lost) {
    constexpr std::size_t objects = 5;
    constexpr int senders = 2;
    const auto each = static_cast<std::uint64_t>(many(20000));
    std::vector<std::uint64_t> handles;
    for (std::size_t i = 0; i < objects; ++i) {
        handles.push_back(make<TypeParam>().bits);
    }
    runtime receivers(handles);
    std::atomic<std::uint64_t> received{0};
    crew takers;
    for (std::size_t i = 0; i < 2 * objects; ++i) {
        takers.add([&, i] {
            std::uint64_t value = 0;
            epq_status status = EPQ_OK;
            while ((status = receivers.receive<TypeParam>({handles[i % objects]}, value)) == EPQ_OK) {
                received += 1;
            }
            ASSERT_EQ(status, EPQ_CLOSED);
        });
    }
    {
        crew givers;
        for (unsigned seed = 0; seed < senders; ++seed) {
            givers.add([&, seed] {
                std::mt19937_64 random(seed);
                for (std::uint64_t i = 0; i < each; ++i) {
                    ASSERT_EQ(send<TypeParam>({handles[random() % objects]}, i), EPQ_OK);
                    if (random() % 8 == 0) { // let them all park
                        std::this_thread::sleep_for(std::chrono::microseconds(random() % 40));
                    }
                }
            });
        }
    }
    while (received.load() < senders * each) { // all arrive without the help of the close
        std::this_thread::yield();
    }
    for (const std::uint64_t bits : handles) {
        ASSERT_EQ(TypeParam::close({bits}, nullptr), EPQ_OK);
    }
    takers.join();
    for (const std::uint64_t bits : handles) {
        ASSERT_EQ(TypeParam::destroy({bits}, nullptr), EPQ_OK);
    }
}

TYPED_TEST(ffi, a_destroy_is_announced_to_who_is_about_to_park) {
    std::vector<std::uint64_t> handles;
    for (int round = 0; round < many(300); ++round) {
        handles.push_back(make<TypeParam>().bits);
    }
    runtime receivers(handles);
    std::mt19937 random(3);
    for (const std::uint64_t bits : handles) {
        crew threads;
        threads.add([&, bits] {
            std::uint64_t value = 0;
            ASSERT_EQ(receivers.receive<TypeParam>({bits}, value), EPQ_STALE);
        });
        if (random() % 2 == 0) {
            wait_for_waiters<TypeParam>({bits}, 1);
        }
        ASSERT_EQ(TypeParam::destroy({bits}, nullptr), EPQ_OK);
    }
}

TYPED_TEST(ffi, an_announcement_outlives_its_object) {
    constexpr std::size_t count = 200;
    std::vector<std::uint64_t> handles;
    for (std::size_t i = 0; i < count; ++i) {
        const auto handle = make<TypeParam>();
        ASSERT_EQ(TypeParam::watch(handle, nullptr), EPQ_OK);
        ASSERT_EQ(TypeParam::destroy(handle, nullptr), EPQ_OK);
        handles.push_back(handle.bits);
    }
    ASSERT_EQ(epq_domain_barrier(nullptr), EPQ_OK);
    const auto next = make<TypeParam>(); // in a slot that one of them had
    ASSERT_EQ(TypeParam::watch(next, nullptr), EPQ_OK);
    ASSERT_EQ(send<TypeParam>(next, 1), EPQ_OK);
    handles.push_back(next.bits);
    std::vector<std::uint64_t> announced(count + 10);
    std::size_t taken = 0;
    std::uint32_t more = 1;
    ASSERT_EQ(epq_notifier_take(announced.data(), announced.size(), &taken, &more, nullptr), EPQ_OK);
    announced.resize(taken);
    EXPECT_EQ(announced, handles) << "in the order of the announcements";
    EXPECT_EQ(more, 0U);
    ASSERT_EQ(TypeParam::destroy(next, nullptr), EPQ_OK);
}

// ---- threads that stop at the worst moment --------------------------------------------------------------------------------

TYPED_TEST(ffi, a_sender_that_stops_before_its_wake_leaves_nobody_asleep_beside_elements) {
    constexpr std::uint64_t waiters = 3;
    for (int round = 0; round < many(200); ++round) {
        const auto handle = make<TypeParam>();
        std::atomic<int> received{0};
        crew threads;
        for (std::uint64_t i = 0; i < waiters; ++i) {
            threads.add([&, handle] {
                std::uint64_t value = 0;
                ASSERT_EQ(receive<TypeParam>(handle, value), EPQ_OK);
                received += 1;
            });
        }
        wait_for_waiters<TypeParam>(handle, waiters);
        std::this_thread::sleep_for(std::chrono::microseconds(200)); // registered; and now, most likely, asleep
        stopped_wakes = 0;
        stopped_may_go_on = false;
        threads.add([handle] {
            stops_before_wake = true;
            ASSERT_EQ(send<TypeParam>(handle, 1), EPQ_OK);
        });
        while (stopped_wakes.load() == 0) {
            std::this_thread::yield();
        }
        // Its element is there, its wake is not. Ours wakes one receiver, which finds two elements and takes one.
        ASSERT_EQ(send<TypeParam>(handle, 2), EPQ_OK);
        while (received.load() < 2) {
            std::this_thread::yield();
        }
        stopped_may_go_on = true;
        ASSERT_EQ(send<TypeParam>(handle, 3), EPQ_OK);
        threads.join();
        ASSERT_EQ(TypeParam::destroy(handle, nullptr), EPQ_OK);
    }
}

} // namespace
