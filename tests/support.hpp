// SPDX-License-Identifier: BSL-1.0
/// @file
/// What the tests share: a zoo of elements, threads that do as they are told, memory that runs out on demand.
#pragma once

#include "epoque/domain.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <future>
#include <latch>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace epoque::test {

/// `n`, divided by the number that the environment's variable `scale` is.
inline std::uint64_t scaled(std::uint64_t n, const char* scale) {
    const char* wish = std::getenv(scale); // NOLINT(concurrency-mt-unsafe): nothing here writes it
    const std::uint64_t divisor = wish == nullptr ? 1 : std::max<std::uint64_t>(1, std::strtoull(wish, nullptr, 10));
    return std::max<std::uint64_t>(1, n / divisor);
}

/// `n` for a test that repeats something often; EPOQUE_TEST_SCALE=10 in the environment makes it ten times less.
inline std::uint64_t many(std::uint64_t n) {
    return scaled(n, "EPOQUE_TEST_SCALE");
}

/// The same for one thread alone, whose thousandth round is as its first to a sanitizer: their presets divide `n` by
/// EPOQUE_TEST_SERIAL_SCALE.
inline std::uint64_t many_by_one_thread(std::uint64_t n) {
    return scaled(many(n), "EPOQUE_TEST_SERIAL_SCALE");
}

// ---- elements ----------------------------------------------------------------------------------------------------------
// Each is made from a number by make<T>(n) and tells it by number_of(t).

/// Counts its instances, and notices when it is used before its construction or after its destruction.
class counted {
  public:
    explicit counted(std::uint64_t number) noexcept : number_(number) { born(); }
    counted(const counted& other) noexcept : number_(other.number()) { born(); }
    counted(counted&& other) noexcept : number_(std::exchange(other.number_, moved_away)) {
        other.check();
        born();
    }
    counted& operator=(const counted&) = delete;
    ~counted() {
        check();
        mark_ = 0;
        // [counted.die] relaxed: read when all threads have been joined.
        destructions_.fetch_add(1, std::memory_order_relaxed);
    }

    std::uint64_t number() const noexcept {
        check();
        return number_;
    }

    static std::uint64_t constructions() noexcept { return constructions_.load(std::memory_order_relaxed); }
    static std::uint64_t live() noexcept { return constructions() - destructions_.load(std::memory_order_relaxed); }

  private:
    static constexpr std::uint64_t alive = 0x0a11'7e0a'11fe'1234;
    static constexpr std::uint64_t moved_away = ~std::uint64_t{0};

    void born() noexcept { constructions_.fetch_add(1, std::memory_order_relaxed); }
    void check() const noexcept {
        if (mark_ != alive) {
            misuse("a counted element was used before its construction or after its destruction");
        }
    }

    inline static std::atomic<std::uint64_t> constructions_{0};
    inline static std::atomic<std::uint64_t> destructions_{0};
    std::uint64_t number_;
    std::uint64_t mark_ = alive;
};

/// Can't be copied, default-constructed or assigned: all that an element has to offer.
class least {
  public:
    explicit least(std::uint64_t number) noexcept : number_(number) {}
    least() = delete;
    least(const least&) = delete;
    least(least&& other) noexcept : number_(std::exchange(other.number_, moved_away)) {}
    least& operator=(const least&) = delete;
    least& operator=(least&&) = delete;
    ~least() = default;
    std::uint64_t number() const noexcept { return number_; }

  private:
    static constexpr std::uint64_t moved_away = ~std::uint64_t{0};
    std::uint64_t number_;
};

/// Must lie at a multiple of `Align`, and says when it does not.
template <std::size_t Align>
class alignas(Align) aligned {
  public:
    explicit aligned(std::uint64_t number) noexcept : number_(number) { check(); }
    aligned(const aligned& other) noexcept : number_(other.number_) { check(); }
    aligned& operator=(const aligned&) noexcept = default;
    ~aligned() { check(); }
    std::uint64_t number() const noexcept {
        check();
        return number_;
    }

  private:
    void check() const noexcept {
        if (reinterpret_cast<std::uintptr_t>(this) % Align != 0) {
            misuse("an over-aligned element lies at an address that is not aligned");
        }
    }
    std::uint64_t number_;
};

/// 200 bytes, each of which tells the number; a torn one is noticed.
class large {
  public:
    explicit large(std::uint64_t number) noexcept { words_.fill(number); }
    std::uint64_t number() const noexcept {
        const bool whole = std::all_of(words_.begin(), words_.end(), [this](auto word) { return word == words_[0]; });
        if (!whole) {
            misuse("a large element was torn");
        }
        return words_[0];
    }

  private:
    std::array<std::uint64_t, 25> words_{};
};
static_assert(sizeof(large) == 200);

/// Copies throw `copy_failed` while the thread's `copies_fail` is set; moves do not.
struct copy_failed : std::runtime_error {
    copy_failed() : std::runtime_error("a copy constructor failed, as the test wants it") {}
};
class fragile {
  public:
    explicit fragile(std::uint64_t number) : number_(std::make_unique<std::uint64_t>(number)) {}
    fragile(const fragile& other) : number_(other.clone()) {}
    fragile(fragile&&) noexcept = default;
    fragile& operator=(const fragile& other) {
        number_ = other.clone();
        return *this;
    }
    fragile& operator=(fragile&&) noexcept = default;
    ~fragile() = default;
    std::uint64_t number() const noexcept { return number_ ? *number_ : ~std::uint64_t{0}; }

    inline static thread_local bool copies_fail = false;

  private:
    std::unique_ptr<std::uint64_t> clone() const {
        if (copies_fail) {
            throw copy_failed();
        }
        return std::make_unique<std::uint64_t>(*number_);
    }
    std::unique_ptr<std::uint64_t> number_;
};

using move_only = std::unique_ptr<std::uint64_t>;

template <class T>
T make(std::uint64_t number) {
    if constexpr (std::is_same_v<T, move_only>) {
        return std::make_unique<std::uint64_t>(number);
    } else {
        return T(number);
    }
}
inline std::uint64_t number_of(std::uint64_t element) noexcept {
    return element;
}
inline std::uint64_t number_of(const move_only& element) noexcept {
    return element ? *element : ~std::uint64_t{0}; // moved away
}
template <class T>
    requires requires(const T& element) { element.number(); }
std::uint64_t number_of(const T& element) noexcept {
    return element.number();
}

/// The numbers first .. last-1.
inline std::vector<std::uint64_t> numbers(std::uint64_t first, std::uint64_t last) {
    std::vector<std::uint64_t> all;
    for (std::uint64_t number = first; number < last; ++number) {
        all.push_back(number);
    }
    return all;
}

// ---- threads -----------------------------------------------------------------------------------------------------------

/// A thread that does what it is told, one piece of work after the other: schedules become sequences of statements.
class actor {
  public:
    actor() : thread_([this] { act(); }) {}
    actor(const actor&) = delete;
    actor& operator=(const actor&) = delete;
    ~actor() { leave(); }

    /// Does `work` in the actor's thread and waits for its end. Throws what it throws.
    template <class Work>
    void operator()(Work work) {
        start(std::move(work)).get();
    }
    /// Begins `work` without waiting.
    template <class Work>
    [[nodiscard]] std::future<void> start(Work work) {
        std::packaged_task<void()> task(std::move(work));
        auto end = task.get_future();
        post(std::move(task));
        return end;
    }
    /// Ends the thread after what it was told so far.
    void leave() {
        if (thread_.joinable()) {
            post({});
            thread_.join();
        }
    }

  private:
    void post(std::packaged_task<void()> task) {
        {
            const std::lock_guard lock(mutex_);
            tasks_.push_back(std::move(task));
        }
        changed_.notify_one();
    }
    void act() {
        for (;;) {
            std::packaged_task<void()> task;
            {
                std::unique_lock lock(mutex_);
                changed_.wait(lock, [this] { return !tasks_.empty(); });
                task = std::move(tasks_.front());
                tasks_.pop_front();
            }
            if (!task.valid()) {
                return;
            }
            task();
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::packaged_task<void()>> tasks_;
    std::thread thread_; // the last member: it uses the others
};

/// Runs `work(0) .. work(threads-1)`, each in its own thread, begun together; returns when all have ended.
template <class Work>
void together(std::size_t threads, Work work) {
    std::latch start(static_cast<std::ptrdiff_t>(threads));
    std::vector<std::jthread> all;
    all.reserve(threads);
    for (std::size_t index = 0; index < threads; ++index) {
        all.emplace_back([&start, &work, index] {
            start.arrive_and_wait();
            work(index);
        });
    }
}

/// A place in the code where a thread stops until the test lets it go on.
class gate {
  public:
    /// For the thread that stops.
    void pass() {
        reached_.store(true, std::memory_order_release);
        for (unsigned round = 0; !open_.load(std::memory_order_acquire); ++round) {
            std_env::relax(round);
        }
    }
    /// For the test.
    void wait_until_reached() const {
        for (unsigned round = 0; !reached_.load(std::memory_order_acquire); ++round) {
            std_env::relax(round);
        }
    }
    bool was_reached() const { return reached_.load(std::memory_order_acquire); }
    void open() { open_.store(true, std::memory_order_release); }

  private:
    std::atomic<bool> reached_{false};
    std::atomic<bool> open_{false};
};

// ---- memory ------------------------------------------------------------------------------------------------------------

/// Makes the allocations of one thread fail: the n-th one from now on, and all that follow until it is switched off.
class out_of_memory {
  public:
    explicit out_of_memory(std::uint64_t after) noexcept { left_ = after; }
    out_of_memory(const out_of_memory&) = delete;
    out_of_memory& operator=(const out_of_memory&) = delete;
    ~out_of_memory() { left_ = never; }

    /// Whether the calling thread's next allocation fails; for who replaces an allocation function.
    static bool strikes() noexcept {
        if (left_ == never) {
            return false;
        }
        if (left_ == 0) {
            return true;
        }
        --left_;
        return false;
    }

  private:
    static constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();
    inline static thread_local std::uint64_t left_ = never;
};

/// Real threads, small constants (so that ends of segments, bags and chunks are met often), and memory that is counted
/// and obeys `out_of_memory`.
struct small_env : std_env {
    static constexpr std::size_t segment_slots = 4;
    static constexpr std::size_t spare_cells = 2;
    static constexpr std::int64_t advance_objects = 8;
    static constexpr std::uint32_t table_chunk_slots = 4;
    static constexpr std::uint32_t table_chunks = 4;

    static void* allocate(std::size_t bytes, std::size_t align) {
        if (out_of_memory::strikes()) {
            throw std::bad_alloc();
        }
        void* block = std_env::allocate(bytes, align);
        blocks_.fetch_add(1, std::memory_order_relaxed);
        bytes_.fetch_add(bytes, std::memory_order_relaxed);
        return block;
    }
    static void deallocate(void* block, std::size_t bytes, std::size_t align) noexcept {
        blocks_.fetch_sub(1, std::memory_order_relaxed);
        bytes_.fetch_sub(bytes, std::memory_order_relaxed);
        std_env::deallocate(block, bytes, align);
    }
    /// Blocks and bytes that are allocated now, in all domains and structures of this Env. Both 0: nothing leaked, and
    /// what was given back had the size with which it was taken.
    static std::uint64_t live_blocks() noexcept { return blocks_.load(std::memory_order_relaxed); }
    static std::uint64_t live_bytes() noexcept { return bytes_.load(std::memory_order_relaxed); }

  private:
    inline static std::atomic<std::uint64_t> blocks_{0};
    inline static std::atomic<std::uint64_t> bytes_{0};
};

/// As small_env, without pools: each block is fresh, so that AddressSanitizer sees every use after free.
struct unpooled_env : small_env {
    static constexpr bool pooling = false;
};

/// As small_env, with a kernel that knew membarrier when the program began, and refuses it ever since (seccomp).
struct refusing_env : small_env {
    static bool asymmetric() noexcept { return true; }
    static bool heavy() noexcept { return false; }
};

/// As small_env, with a kernel that begins to refuse when it is told to.
struct turning_env : small_env {
    inline static bool refuses = false;
    static bool heavy() noexcept { return !refuses && small_env::heavy(); }
};

/// As small_env, with places inside the algorithms where the calling thread can be made to stop, once.
struct staged_env : small_env {
    inline static thread_local gate* before_heavy = nullptr;  ///< a consumer that gives up: its claim is set
    inline static thread_local gate* after_publish = nullptr; ///< a producer: its cell says FULL, the claim is not read
    inline static thread_local gate* after_var_read = nullptr; ///< a pop of a stack: `next` is read

    template <class T>
    class var : public small_env::var<T> {
      public:
        using small_env::var<T>::var;
        T get() const noexcept {
            const T value = small_env::var<T>::get();
            stop(after_var_read);
            return value;
        }
    };
    template <class V>
    static void store_light(bool fast, std::atomic<V>& own, V value) noexcept {
        std_env::store_light(fast, own, value);
        if constexpr (std::is_same_v<V, std::uint32_t>) { // a cell's state; a record's has 64 bits
            stop(after_publish);
        }
    }
    static bool heavy() noexcept {
        stop(before_heavy);
        return std_env::heavy();
    }

  private:
    static void stop(gate*& here) noexcept {
        if (here != nullptr) {
            std::exchange(here, nullptr)->pass();
        }
    }
};

// ---- epochs ------------------------------------------------------------------------------------------------------------

/// One attempt to advance the epoch of a domain, by the calling thread: retires nothing, but 256 KiB of it.
template <class Env>
void tick(basic_domain<Env>& domain) {
    struct much {
        std::byte bytes[static_cast<std::size_t>(Env::advance_bytes)];
    };
    static much nothing;
    domain.retire(&nothing, [](much*) noexcept {});
}

} // namespace epoque::test
