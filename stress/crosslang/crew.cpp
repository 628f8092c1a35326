// SPDX-License-Identifier: BSL-1.0
/// @file
/// What all crews have in common, and the functions of workers.h that work on any crew.
#include "crew.hpp"

#include <chrono>
#include <exception>
#include <future>

namespace crosslang {

std::uint64_t dice::roll() noexcept {
    state_ += 0x9e3779b97f4a7c15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

} // namespace crosslang

void xl_crew::start() {
    // Nobody begins before all exist: a thread that already waited in an open object could not be called back.
    std::promise<bool> gate;
    const std::shared_future<bool> opened = gate.get_future().share();
    const auto body = [this, opened](std::uint32_t index) {
        if (!opened.get()) {
            return;
        }
        try {
            work(index);
        } catch (const std::exception& thrown) {
            fail(std::string("a native thread could not go on: ") + thrown.what());
        }
    };
    try {
        threads_.reserve(plan_.threads);
        for (std::uint32_t index = 0; index < plan_.threads; ++index) {
            threads_.emplace_back(body, index);
        }
    } catch (...) {
        gate.set_value(false);
        join();
        throw;
    }
    gate.set_value(true);
}

void xl_crew::stop() noexcept {
    // [crew.stop] relaxed: only asks; what the threads did is read after the join.
    stop_.store(true, std::memory_order_relaxed);
}

bool xl_crew::stopped() const noexcept {
    // [crew.stopped] relaxed: see [crew.stop].
    return stop_.load(std::memory_order_relaxed);
}

void xl_crew::join() noexcept {
    for (std::thread& thread : threads_) {
        thread.join();
    }
    threads_.clear();
}

void xl_crew::fail(const std::string& text) {
    {
        const std::lock_guard lock(mutex_);
        crosslang::keep_first(trouble_.text, text);
    }
    stop();
}

void xl_crew::fail(const char* function, epq_status status, const epq_error& error) {
    std::string text = std::string(function) + " answered " + std::to_string(status) + ": " + epq_strerror(status);
    if (error.msg[0] != '\0') {
        text += std::string(" (") + error.msg + ")";
    }
    fail(text);
}

bool xl_crew::trouble(xl_trouble& out) {
    const std::lock_guard lock(mutex_);
    out = trouble_;
    return trouble_.text[0] != '\0';
}

void xl_crew::count(std::uint32_t index, std::uint64_t elements, std::uint64_t bytes) noexcept {
    // [crew.count] relaxed: a figure to show; exact once the threads are joined.
    progress_[index].elements.fetch_add(elements, std::memory_order_relaxed);
    progress_[index].bytes.fetch_add(bytes, std::memory_order_relaxed);
}

std::uint64_t xl_crew::elements() const noexcept {
    std::uint64_t sum = 0;
    for (std::uint32_t index = 0; index < plan_.threads; ++index) {
        sum += elements(index);
    }
    return sum;
}

std::uint64_t xl_crew::elements(std::uint32_t index) const noexcept {
    // [crew.elements] relaxed: see [crew.count].
    return progress_[index].elements.load(std::memory_order_relaxed);
}

std::uint64_t xl_crew::bytes() const noexcept {
    std::uint64_t sum = 0;
    for (std::uint32_t index = 0; index < plan_.threads; ++index) {
        // [crew.bytes] relaxed: see [crew.count].
        sum += progress_[index].bytes.load(std::memory_order_relaxed);
    }
    return sum;
}

crosslang::dice xl_crew::dice_for(std::uint32_t index) const noexcept {
    crosslang::dice seed(plan_.seed + index);
    return crosslang::dice(seed.roll());
}

void xl_crew::wait_for_room(epq_queue queue) {
    while (!stopped()) {
        epq_stats stats{};
        stats.size = sizeof stats;
        epq_error error = crosslang::make_error();
        const epq_status status = epq_queue_stats(queue, &stats, &error);
        if (status != EPQ_OK) {
            fail("epq_queue_stats", status, error);
            return;
        }
        if (stats.length <= plan_.depth || stats.closed != 0) {
            return;
        }
        std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
}

std::size_t xl_crew::send_all(epq_queue queue, const void* elements, std::size_t element_size, std::size_t number) {
    epq_error error = crosslang::make_error();
    std::size_t sent = 0;
    const epq_status status = epq_queue_send_n(queue, elements, element_size, number, &sent, &error);
    const auto answered = [&](const char* what) {
        fail("epq_queue_send_n answered " + std::string(what) + " with " + std::to_string(sent) + " of " +
             std::to_string(number) + " elements sent");
    };
    switch (status) {
    case EPQ_OK:
        if (sent != number) {
            answered("OK");
        }
        return sent;
    case EPQ_PARTIAL:
        if (sent == 0 || sent >= number) {
            answered("PARTIAL");
        }
        return sent;
    case EPQ_CLOSED:
        if (sent != 0) {
            answered("CLOSED");
        }
        return 0;
    default:
        fail("epq_queue_send_n", status, error);
        return 0;
    }
}

std::int64_t xl_crew::pick_timeout(crosslang::dice& random) noexcept {
    constexpr std::int64_t moment_ns = 200'000;
    switch (random.roll() % 4) {
    case 0:
        return 0;
    case 1:
        return moment_ns;
    default:
        return -1;
    }
}

extern "C" {

void xl_crew_stop(xl_crew* crew) {
    crew->stop();
}

void xl_crew_join(xl_crew* crew) {
    crew->join();
}

int xl_crew_trouble(xl_crew* crew, xl_trouble* out) {
    return crew->trouble(*out) ? 1 : 0;
}

uint64_t xl_crew_elements(const xl_crew* crew) {
    return crew->elements();
}

uint64_t xl_crew_thread_elements(const xl_crew* crew, uint32_t thread) {
    return crew->elements(thread);
}

uint64_t xl_crew_bytes(const xl_crew* crew) {
    return crew->bytes();
}

void xl_crew_findings(xl_crew* crew, const uint64_t* sent, size_t producers, xl_findings* out) {
    *out = crew->book().settle(sent, producers);
}

void xl_crew_free(xl_crew* crew) {
    if (crew != nullptr) {
        crew->stop();
        crew->join();
        delete crew;
    }
}

int32_t xl_probe_queue(uint64_t queue, size_t element_size) {
    std::vector<std::byte> element(element_size);
    return epq_queue_try_recv({queue}, element.data(), element_size, nullptr);
}

int32_t xl_probe_stack(uint64_t stack, size_t element_size) {
    std::vector<std::byte> element(element_size);
    return epq_stack_try_recv({stack}, element.data(), element_size, nullptr);
}

const char* xl_compiler(void) {
#ifdef __clang__
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}

} // extern "C"
