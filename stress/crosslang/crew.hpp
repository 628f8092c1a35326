// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: stress. Depends on: ffi/epoque.h, workers.h, ledger.hpp.
///
/// A crew: native threads with one task. Go starts it, asks how far it is, joins it and frees it. A thread that meets
/// something it can't go on with reports trouble and ends; Go then closes the objects, so that everybody ends.
#pragma once

#include "epoque.h"
#include "ledger.hpp"
#include "workers.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace crosslang {

/// Small, fast, good enough to vary batch sizes and pauses (Steele, Lea, Flood: SplitMix64).
class dice {
  public:
    explicit dice(std::uint64_t seed) noexcept : state_(seed) {}

    std::uint64_t roll() noexcept;

    /// 1 to `most`.
    std::size_t up_to(std::size_t most) noexcept { return static_cast<std::size_t>(roll() % most) + 1; }

  private:
    std::uint64_t state_;
};

/// How far one thread is. Written by it alone, read by who shows progress.
struct alignas(128) progress {
    std::atomic<std::uint64_t> elements{0};
    std::atomic<std::uint64_t> bytes{0};
};

inline epq_error make_error() noexcept {
    epq_error error{};
    error.size = sizeof error;
    return error;
}

} // namespace crosslang

/// The opaque type of workers.h.
struct xl_crew {
  public:
    explicit xl_crew(const xl_plan& plan)
        : plan_(plan), progress_(std::make_unique<crosslang::progress[]>(plan.threads)), ledger_(plan.producers) {}
    virtual ~xl_crew() = default;
    xl_crew(const xl_crew&) = delete;
    xl_crew& operator=(const xl_crew&) = delete;

    /// Throws std::system_error when the system has no more threads; none has begun its work then.
    void start();

    void stop() noexcept;

    /// Also before destruction: the threads use the derived class's members.
    void join() noexcept;

    bool trouble(xl_trouble& out);
    std::uint64_t elements() const noexcept;
    std::uint64_t elements(std::uint32_t index) const noexcept;
    std::uint64_t bytes() const noexcept;
    crosslang::ledger& book() noexcept { return ledger_; }
    const xl_plan& plan() const noexcept { return plan_; }

  protected:
    /// What thread `index` does.
    virtual void work(std::uint32_t index) = 0;

    bool stopped() const noexcept;

    /// The crew can't go on: keeps the first sentence, stops the crew.
    void fail(const std::string& text);
    void fail(const char* function, epq_status status, const epq_error& error);

    /// Adds to what thread `index` has done. By that thread.
    void count(std::uint32_t index, std::uint64_t elements, std::uint64_t bytes) noexcept;

    crosslang::dice dice_for(std::uint32_t index) const noexcept;

    /// Waits until the queue holds at most plan().depth elements, is closed, or the crew is told to stop.
    void wait_for_room(epq_queue queue);

    /// Sends all of them; returns how many were accepted. Fewer: the queue is closed, or trouble.
    std::size_t send_all(epq_queue queue, const void* elements, std::size_t element_size, std::size_t number);

    /// Receives batches until the object is closed and drained, or trouble. `receive` is epq_queue_recv_n or
    /// epq_stack_recv_n without its object; `take(elements, number)` gets each batch, false from it ends the loop.
    template <class Element, class Receive, class Take>
    void receive_all(const char* function, crosslang::dice& random, Receive receive, Take take);

  private:
    /// How long to let the library wait: without limit, a moment, not at all; so that sleeping, timing out and polling
    /// are all in use.
    static std::int64_t pick_timeout(crosslang::dice& random) noexcept;

    xl_plan plan_;
    std::unique_ptr<crosslang::progress[]> progress_; // one per thread
    crosslang::ledger ledger_;
    std::atomic<bool> stop_{false}; // written by Go's threads and by fail()
    std::mutex mutex_;              // guards trouble_
    xl_trouble trouble_{};
    std::vector<std::thread> threads_;
};

namespace crosslang {

/// Makes a crew and starts it. Null and a sentence when memory or threads are missing.
template <class Make>
xl_crew* start_crew(xl_trouble& trouble, Make make) noexcept {
    try {
        std::unique_ptr<xl_crew> crew = make();
        crew->start();
        return crew.release();
    } catch (const std::exception& thrown) {
        keep_first(trouble.text, std::string("the native threads could not be started: ") + thrown.what());
        return nullptr;
    }
}

} // namespace crosslang

template <class Element, class Receive, class Take>
void xl_crew::receive_all(const char* function, crosslang::dice& random, Receive receive, Take take) {
    constexpr std::size_t capacity = 256;
    const auto batch = std::make_unique<std::array<Element, capacity>>();
    for (;;) {
        epq_error error = crosslang::make_error();
        std::size_t received = 0;
        const std::size_t wanted = random.up_to(capacity);
        const epq_status status =
            receive(batch->data(), sizeof(Element), wanted, &received, pick_timeout(random), &error);
        if (status == EPQ_EMPTY || status == EPQ_BUSY) {
            std::this_thread::yield();
        } else if (status == EPQ_OK && received >= 1 && received <= wanted) {
            if (!take(batch->data(), received)) {
                return;
            }
        } else if (status == EPQ_OK) {
            fail(std::string(function) + " answered OK with " + std::to_string(received) + " elements where 1 to " +
                 std::to_string(wanted) + " are allowed");
            return;
        } else if (status == EPQ_CLOSED) {
            return;
        } else if (status != EPQ_TIMEOUT) {
            fail(function, status, error);
            return;
        }
    }
}
