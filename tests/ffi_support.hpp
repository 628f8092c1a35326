// SPDX-License-Identifier: BSL-1.0
/// @file
/// What the tests of the C interface under threads share: its kinds under one name, calls that repeat what is only refused for
/// the moment, threads, and a fixture that looks whether anything was left. (Not support.hpp: that needs the C++ library, and these
/// programs only have the C interface.)
#pragma once

#include "epoque.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace epoque::test {

struct queues {
    using handle = epq_queue;
    static constexpr const char* name = "queue";
    static constexpr std::uint64_t capacity = 0;
    static constexpr auto create = epq_queue_create;
    static constexpr auto close = epq_queue_close;
    static constexpr auto destroy = epq_queue_destroy;
    static constexpr auto try_send = epq_queue_try_send;
    static constexpr auto try_recv = epq_queue_try_recv;
    static constexpr auto send_n = epq_queue_send_n;
    static constexpr auto recv_n = epq_queue_recv_n;
    static constexpr auto stats = epq_queue_stats;
    static constexpr auto watch = epq_queue_watch;
    static constexpr auto close_other = [](std::uint64_t bits) { return epq_stack_close({bits}, nullptr); };
};

struct stacks {
    using handle = epq_stack;
    static constexpr const char* name = "stack";
    static constexpr std::uint64_t capacity = 0;
    static constexpr auto create = epq_stack_create;
    static constexpr auto close = epq_stack_close;
    static constexpr auto destroy = epq_stack_destroy;
    static constexpr auto try_send = epq_stack_try_send;
    static constexpr auto try_recv = epq_stack_try_recv;
    static constexpr auto send_n = epq_stack_send_n;
    static constexpr auto recv_n = epq_stack_recv_n;
    static constexpr auto stats = epq_stack_stats;
    static constexpr auto watch = epq_stack_watch;
    static constexpr auto close_other = [](std::uint64_t bits) { return epq_bounded_close({bits}, nullptr); };
};

struct boundeds {
    using handle = epq_bounded;
    static constexpr const char* name = "bounded";
    static constexpr std::uint64_t capacity = 1024;
    static constexpr auto create = epq_bounded_create;
    static constexpr auto close = epq_bounded_close;
    static constexpr auto destroy = epq_bounded_destroy;
    static constexpr auto try_send = epq_bounded_try_send;
    static constexpr auto try_recv = epq_bounded_try_recv;
    static constexpr auto send_n = epq_bounded_send_n;
    static constexpr auto recv_n = epq_bounded_recv_n;
    static constexpr auto stats = epq_bounded_stats;
    static constexpr auto watch = epq_bounded_watch;
    static constexpr auto close_other = [](std::uint64_t bits) { return epq_spsc_close({bits}, nullptr); };
};

struct spscs {
    using handle = epq_spsc;
    static constexpr const char* name = "spsc";
    static constexpr std::uint64_t capacity = 1024;
    static constexpr auto create = epq_spsc_create;
    static constexpr auto close = epq_spsc_close;
    static constexpr auto destroy = epq_spsc_destroy;
    static constexpr auto try_send = epq_spsc_try_send;
    static constexpr auto try_recv = epq_spsc_try_recv;
    static constexpr auto send_n = epq_spsc_send_n;
    static constexpr auto recv_n = epq_spsc_recv_n;
    static constexpr auto stats = epq_spsc_stats;
    static constexpr auto watch = epq_spsc_watch;
    static constexpr auto close_other = [](std::uint64_t bits) { return epq_queue_close({bits}, nullptr); };
};

inline constexpr std::size_t size = sizeof(std::uint64_t);

/// `n` for what is repeated often; EPOQUE_TEST_SCALE=10 makes it ten times less, as in support.hpp.
inline int many(int n) {
    const char* wish = std::getenv("EPOQUE_TEST_SCALE"); // NOLINT(concurrency-mt-unsafe): nothing here writes it
    return std::max(1, n / std::max(1, wish == nullptr ? 1 : std::atoi(wish))); // NOLINT(cert-err34-c)
}

template <class Kind>
typename Kind::handle make(const char* name = "", std::uint64_t capacity = Kind::capacity) {
    epq_options options{};
    options.size = sizeof options;
    options.element_size = size;
    options.capacity = capacity;
    std::strncpy(options.name, name, sizeof options.name - 1);
    typename Kind::handle out{};
    epq_error error{};
    error.size = sizeof error;
    EXPECT_EQ(Kind::create(&options, &out, &error), EPQ_OK) << error.msg;
    return out;
}

/// Whether a call did nothing that another thread's next step may not change: no room, or another thread at this end of an spsc.
inline bool is_momentary(epq_status status) {
    return status == EPQ_FULL || status == EPQ_BUSY;
}

/// Does it again while it is momentary.
template <class Call>
epq_status settled(Call call) {
    epq_status status = call();
    while (is_momentary(status)) {
        std::this_thread::yield();
        status = call();
    }
    return status;
}

template <class Kind>
epq_status send(typename Kind::handle to, std::uint64_t value) {
    return settled([&] { return Kind::try_send(to, &value, size, nullptr); });
}

/// Waits for one element; `timeout` as in epq_*_recv_n.
template <class Kind>
epq_status receive(typename Kind::handle from, std::uint64_t& value, std::int64_t timeout = -1) {
    std::size_t received = 0;
    return settled([&] { return Kind::recv_n(from, &value, size, 1, &received, timeout, nullptr); });
}

template <class Kind>
epq_stats stats(typename Kind::handle of) {
    epq_stats out{};
    out.size = sizeof out;
    EXPECT_EQ(Kind::stats(of, &out, nullptr), EPQ_OK);
    return out;
}

template <class Kind>
void wait_for_waiters(typename Kind::handle at, std::uint64_t count) {
    while (stats<Kind>(at).waiters < count) {
        std::this_thread::yield();
    }
}

/// Threads that are joined at the end of their scope.
class crew {
  public:
    void add(std::function<void()> work) { threads_.emplace_back(std::move(work)); }
    ~crew() { join(); }
    crew() = default;
    crew(const crew&) = delete;
    crew& operator=(const crew&) = delete;
    void join() {
        for (std::thread& each : threads_) {
            each.join();
        }
        threads_.clear();
    }

  private:
    std::vector<std::thread> threads_;
};

template <class Kind>
class ffi : public testing::Test {
  protected:
    // Nothing that a test made is left, in use or as garbage or announced.
    void TearDown() override {
        std::array<std::uint64_t, 64> handles{};
        for (std::size_t taken = 1; taken != 0;) {
            std::uint32_t more = 0;
            ASSERT_EQ(epq_notifier_take(handles.data(), handles.size(), &taken, &more, nullptr), EPQ_OK);
        }
        ASSERT_EQ(epq_domain_barrier(nullptr), EPQ_OK);
        epq_domain_stats domain{};
        domain.size = sizeof domain;
        ASSERT_EQ(epq_domain_get_stats(&domain, nullptr), EPQ_OK);
        EXPECT_EQ(domain.live_objects, 0U);
        EXPECT_EQ(domain.pending_objects, 0U);
        EXPECT_EQ(domain.pinned, 0U);
    }
};

struct kind_names {
    template <class Kind>
    static std::string GetName(int) {
        return Kind::name;
    }
};

} // namespace epoque::test
