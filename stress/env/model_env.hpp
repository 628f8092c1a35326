// SPDX-License-Identifier: BSL-1.0
/// @file
/// `model_env`: the Env under which the real headers run inside Relacy, a model checker for the C++ memory model.
///
/// What it adds to Relacy:
///   * No `$` in our headers: each call carries its std::source_location, so traces show our lines (and their tags).
///   * A lifetime canary in every atomic: the constructor writes it, every operation reads it, the destructor writes it.
///     Relacy does not see a destruction as a write; with the canary, freeing something that another thread may still
///     touch is a data race in the very first execution that could have done it.
///   * Asymmetric barriers by their axioms (base/barrier.hpp, B1 and B2), not by the kernel's implementation: `light`
///     and `heavy` exchange vector clocks exactly as the axioms say, and nothing else. A forgotten `light()` is therefore
///     a bug here, although rl::systemwide_fence() (and most processors) would forgive it.
///   * Elements and plain fields that know whether they are alive, memory that is wiped when freed.
///   * Weakening by source line, for mutation runs: see `mutation`.
///
/// What Relacy does not model: load buffering, 2+2W, reads staler than two versions, failed CAS that reads a stale value.
#pragma once

#include "model_heap.hpp"
#include "relacy.hpp"

#include "epoque/base/config.hpp"
#include "epoque/base/env.hpp"

namespace epoque::stress::model {

inline constexpr std::size_t max_threads = 8;
inline constexpr std::size_t max_domains = 4;

/// How `light` and `heavy` behave in this run.
enum class barrier_mode {
    axioms,        ///< as base/barrier.hpp promises, and no stronger
    fallback,      ///< not asymmetric: read-modify-writes of one word
    light_removed, ///< broken on purpose: light() orders nothing. A check that passes under it proves nothing
    heavy_removed, ///< broken on purpose: heavy() claims to have happened and orders nothing
    heavy_refused, ///< asymmetric, but from some moment on the kernel refuses: heavy() answers false
};

constexpr std::string_view to_string(barrier_mode mode) noexcept {
    switch (mode) {
    case barrier_mode::axioms:
        return "axioms";
    case barrier_mode::fallback:
        return "fallback";
    case barrier_mode::light_removed:
        return "light removed";
    case barrier_mode::heavy_removed:
        return "heavy removed";
    case barrier_mode::heavy_refused:
        return "heavy refused";
    }
    return "unknown";
}

/// One planted bug: atomic operations and light barriers between two source lines lose their order.
struct mutation {
    std::string file{}; ///< end of the path; empty: no mutation
    unsigned first = 0; ///< lines, inclusive
    unsigned last = 0;
};

/// Chosen before a test's executions, the same for all of them.
struct settings {
    barrier_mode mode = barrier_mode::axioms;
    mutation planted;
};
inline settings& chosen() noexcept {
    static settings instance;
    return instance;
}

/// What the Env remembers of one execution; cleared before the next.
struct state {
    using clock = std::array<rl::timestamp_t, max_threads>;
    clock heavy_clock{};                          ///< what all heavy barriers so far make visible
    std::array<clock, max_threads> light_clock{}; ///< what each thread had done at its last light barrier
    bool refusing = false;

    struct remembered {
        std::uint64_t domain = 0;
        void* record = nullptr;
        void (*release)(void*) noexcept = nullptr;
    };
    std::int64_t time = 0;
    struct sleeper {
        const void* word = nullptr; ///< null: awake
    };
    std::array<sleeper, max_threads> asleep{};

    std::uint64_t domains_opened = 0;
    std::array<std::array<remembered, max_domains>, max_threads> records{};
    std::array<std::array<local_record, max_domains>, max_threads> cache{};
    std::array<void*, max_threads> worker{};
};
inline state& current() noexcept {
    static state instance;
    return instance;
}

/// Ends the execution as failed, with the reason in the trace.
inline void fail(const char* reason, std::source_location where = std::source_location::current()) {
    rl::ctx().fail_test(reason, rl::test_result_user_assert_failed,
                        rl::debug_info(where.function_name(), where.file_name(), where.line()));
}
inline void require(bool condition, const char* reason, std::source_location where = std::source_location::current()) {
    if (!condition) {
        fail(reason, where);
    }
}

namespace detail {

inline std::size_t thread() noexcept {
    return static_cast<std::size_t>(rl::ctx().current_thread());
}

inline rl::debug_info info(const std::source_location& where) noexcept {
    return rl::debug_info("", where.file_name(), where.line());
}

/// The canaries' own accesses are marked, so that traces can leave them out.
inline rl::debug_info lifetime(const std::source_location& where) noexcept {
    return rl::debug_info("lifetime", where.file_name(), where.line());
}

inline bool is_planted(const std::source_location& where) noexcept {
    const mutation& planted = chosen().planted;
    return !planted.file.empty() && where.line() >= planted.first && where.line() <= planted.last &&
           std::string_view(where.file_name()).ends_with(planted.file);
}

inline rl::memory_order order(rl::memory_order asked, const std::source_location& where) noexcept {
    return is_planted(where) ? rl::mo_relaxed : asked;
}

/// While one lives, the scheduler does not switch threads: construction of an object nobody knows yet.
class uninterrupted {
  public:
    uninterrupted() noexcept { rl::ctx().disable_preemption(); }
    ~uninterrupted() { rl::ctx().enable_preemption(); }
    uninterrupted(const uninterrupted&) = delete;
    uninterrupted& operator=(const uninterrupted&) = delete;
};

// What Relacy stores for a T: its traces print values, so enumerations travel as integers.
template <class T>
struct representation {
    using type = T;
};
template <class T>
    requires std::is_enum_v<T>
struct representation<T> {
    using type = std::underlying_type_t<T>;
};
template <class T>
using representation_t = typename representation<T>::type;

/// See the file's head.
class canary {
  public:
    canary() noexcept : alive_(1) {}
    ~canary() { alive_(rl::debug_info("lifetime", "destroyed", 0)).store(0); }
    canary(const canary&) = delete;
    canary& operator=(const canary&) = delete;
    void touch(const std::source_location& where) const { static_cast<void>(alive_(lifetime(where)).load()); }

  private:
    rl::var<int> alive_;
};

} // namespace detail

/// std::atomic's interface, without operators and without default orders.
template <class T>
class atomic {
    using rep = detail::representation_t<T>;
    using where = std::source_location;

  public:
    atomic() noexcept : atomic(T{}) {}
    atomic(T value) noexcept {
        const detail::uninterrupted whole;
        word_.store(static_cast<rep>(value), rl::mo_relaxed, rl::debug_info("lifetime", "constructed", 0));
    }
    atomic(const atomic&) = delete;
    atomic& operator=(const atomic&) = delete;

    T load(rl::memory_order order, where at = where::current()) const {
        alive_.touch(at);
        return static_cast<T>(word_.load(detail::order(order, at), detail::info(at)));
    }
    void store(T value, rl::memory_order order, where at = where::current()) {
        alive_.touch(at);
        word_.store(static_cast<rep>(value), detail::order(order, at), detail::info(at));
    }
    T exchange(T value, rl::memory_order order, where at = where::current()) {
        alive_.touch(at);
        return static_cast<T>(word_.exchange(static_cast<rep>(value), detail::order(order, at), detail::info(at)));
    }
    bool compare_exchange_weak(T& expected, T desired, rl::memory_order success, rl::memory_order failure,
                               where at = where::current()) {
        return compare_exchange<true>(expected, desired, success, failure, at);
    }
    bool compare_exchange_strong(T& expected, T desired, rl::memory_order success, rl::memory_order failure,
                                 where at = where::current()) {
        return compare_exchange<false>(expected, desired, success, failure, at);
    }
    T fetch_add(typename rl::atomic_add_type<rep>::type n, rl::memory_order order, where at = where::current()) {
        alive_.touch(at);
        return word_.fetch_add(n, detail::order(order, at), detail::info(at));
    }
    T fetch_sub(typename rl::atomic_add_type<rep>::type n, rl::memory_order order, where at = where::current()) {
        alive_.touch(at);
        return word_.fetch_sub(n, detail::order(order, at), detail::info(at));
    }
    T fetch_and(T bits, rl::memory_order order, where at = where::current()) {
        alive_.touch(at);
        return word_.fetch_and(bits, detail::order(order, at), detail::info(at));
    }
    T fetch_or(T bits, rl::memory_order order, where at = where::current()) {
        alive_.touch(at);
        return word_.fetch_or(bits, detail::order(order, at), detail::info(at));
    }
    T fetch_xor(T bits, rl::memory_order order, where at = where::current()) {
        alive_.touch(at);
        return word_.fetch_xor(bits, detail::order(order, at), detail::info(at));
    }

  private:
    // Relacy aborts where the failure order is stronger than the success order, which C++17 allows: raise the latter.
    static rl::memory_order raised(rl::memory_order success, rl::memory_order failure) noexcept {
        const bool acquires = failure == rl::mo_acquire || failure == rl::mo_consume;
        if (failure == rl::mo_seq_cst) {
            return rl::mo_seq_cst;
        }
        if (acquires && success == rl::mo_relaxed) {
            return rl::mo_acquire;
        }
        return acquires && success == rl::mo_release ? rl::mo_acq_rel : success;
    }

    template <bool Weak>
    bool compare_exchange(T& expected, T desired, rl::memory_order success, rl::memory_order failure, const where& at) {
        alive_.touch(at);
        success = detail::order(success, at);
        failure = detail::order(failure, at);
        rep found = static_cast<rep>(expected);
        const bool done = word_.compare_exchange(rl::bool_t<Weak>(), found, static_cast<rep>(desired),
                                                 raised(success, failure), failure, detail::info(at));
        expected = static_cast<T>(found);
        return done;
    }

    detail::canary alive_;
    rl::generic_atomic<rep, false> word_;
};

/// A plain shared field: every access is checked for races and lifetime.
template <class T>
class var {
    using rep = detail::representation_t<T>;
    using where = std::source_location;

  public:
    var() noexcept : var(T{}) {}
    explicit var(T value) noexcept : value_(static_cast<rep>(value)) {}
    ~var() { value_(rl::debug_info("lifetime", "destroyed", 0)).store(rep{}); }
    var(const var&) = delete;
    var& operator=(const var&) = delete;

    T get(where at = where::current()) const { return static_cast<T>(value_(detail::info(at)).load()); }
    void set(T value, where at = where::current()) { value_(detail::info(at)).store(static_cast<rep>(value)); }

  private:
    rl::var<rep> value_;
};

/// Room for an element that knows whether one lives in it.
template <class T>
class storage {
  public:
    storage() noexcept : lives_(0) {}
    ~storage() { lives_(rl::debug_info("lifetime", "destroyed", 0)).store(0); }
    storage(const storage&) = delete;
    storage& operator=(const storage&) = delete;

    template <class... Args>
    void construct(Args&&... args) noexcept(std::is_nothrow_constructible_v<T, Args...>) {
        require(lives_(here("construct")).load() == 0, "an element is constructed where one already lives");
        // SAFETY: nothing lives in bytes_, as was just checked.
        ::new (static_cast<void*>(bytes_)) T(std::forward<Args>(args)...);
        lives_(here("construct")).store(1);
    }
    T take() noexcept {
        T value(std::move(*get()));
        destroy();
        return value;
    }
    void destroy() noexcept {
        std::destroy_at(get());
        lives_(here("destroy")).store(0);
    }
    T* get() noexcept {
        require(lives_(here("get")).load() == 1, "an element is taken from where none lives");
        // SAFETY: a T lives in bytes_, as was just checked.
        return std::launder(reinterpret_cast<T*>(bytes_));
    }

  private:
    static rl::debug_info here(const char* what) noexcept { return rl::debug_info(what, "storage", 0); }

    rl::var<int> lives_;
    alignas(T) std::byte bytes_[sizeof(T)];
};

/// See base/env.hpp for what each member means.
struct model_env {
    static constexpr rl::memory_order relaxed = rl::mo_relaxed;
    static constexpr rl::memory_order acquire = rl::mo_acquire;
    static constexpr rl::memory_order release = rl::mo_release;
    static constexpr rl::memory_order acq_rel = rl::mo_acq_rel;
    static constexpr rl::memory_order seq_cst = rl::mo_seq_cst;

    template <class T>
    using atomic = model::atomic<T>;
    template <class T>
    using var = model::var<T>;
    template <class T>
    using storage = model::storage<T>;

    using where = std::source_location;

    // ---- asymmetric barriers -------------------------------------------------------------------------------------

    static bool asymmetric() noexcept { return chosen().mode != barrier_mode::fallback; }

    template <class V>
    static void store_release(bool fast, model::atomic<V>& own, std::type_identity_t<V> value,
                              where at = where::current()) {
        if (fast) {
            own.store(value, release, at);
        } else {
            own.exchange(value, acq_rel, at);
        }
    }
    template <class V>
    static void store_light(bool fast, model::atomic<V>& own, std::type_identity_t<V> value,
                            where at = where::current()) {
        if (fast) {
            own.store(value, release, at);
            pass_light(at);
        } else {
            own.exchange(value, acq_rel, at);
        }
    }

    template <class V>
    static void light(bool fast, model::atomic<V>& own, where at = where::current()) {
        if (fast) {
            pass_light(at);
        } else {
            own.fetch_add(0, acq_rel, at);
        }
    }

    template <class V>
    static V load_heavy(bool fast, model::atomic<V>& other, where at = where::current()) {
        return fast ? other.load(acquire, at) : other.fetch_add(0, acq_rel, at);
    }

    static bool heavy(where at = where::current());

    static void fork_point() noexcept {}

    // ---- time ----------------------------------------------------------------------------------------------------

    static void pause(where at = where::current()) { rl::ctx().yield(1, detail::info(at)); }
    static void relax(unsigned, where at = where::current()) { pause(at); }
    /// A second passes whenever somebody asks.
    static std::int64_t now() noexcept { return current().time += 1'000'000'000; }
    static void park(model::atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t deadline,
                     where at = where::current());
    static void unpark(model::atomic<std::uint32_t>& word, std::uint32_t count, where at = where::current());

    // ---- the thread's record in a domain ---------------------------------------------------------------------------

    static local_record& local(std::uint64_t domain) noexcept {
        return current().cache[detail::thread()][domain % max_domains];
    }
    using fork_hook = std_env::fork_hook;
    static std::uint64_t open_domain(void* domain = nullptr, fork_hook after_fork = nullptr);
    static void close_domain(std::uint64_t domain) noexcept;
    static void* find_local(std::uint64_t domain) noexcept;
    static void remember_local(std::uint64_t domain, void* record, void (*release)(void*) noexcept);
    static void*& worker() noexcept { return current().worker[detail::thread()]; }
    static std::uint64_t thread_number() noexcept { return detail::thread(); }
    /// What the end of a thread does: hands every record back.
    static void thread_exit() noexcept;

    // ---- memory ----------------------------------------------------------------------------------------------------

    static void* allocate(std::size_t bytes, std::size_t align);
    static void deallocate(void* block, std::size_t bytes, std::size_t align) noexcept;

    static constexpr bool pooling = false;

    // ---- constants ---------------------------------------------------------------------------------------------------

    static constexpr std::size_t segment_slots = 2;
    /// None: after a yield, Relacy lets a thread read only the newest value of what it read before, which would hide
    /// every bug of giving up too early.
    static constexpr unsigned spin_before_abandon = 0;
    static constexpr std::size_t spare_cells = 2;
    static constexpr unsigned spin_before_park = 0;
    static constexpr unsigned looks_before_park = 2;
    static constexpr std::int64_t advance_objects = 1;
    static constexpr std::int64_t advance_bytes = 1;
    static constexpr std::uint32_t table_chunk_slots = 2;
    static constexpr std::uint32_t table_chunks = 2;

  private:
    static void pass_light(const where& at);
    static void join(rl::timestamp_t* mine, const state::clock& other) noexcept {
        const auto threads = static_cast<std::size_t>(rl::ctx().get_thread_count());
        for (std::size_t i = 0; i < threads; ++i) {
            mine[i] = std::max(mine[i], other[i]);
        }
    }
    static void copy(state::clock& into, const rl::timestamp_t* mine) noexcept {
        const auto threads = static_cast<std::size_t>(rl::ctx().get_thread_count());
        std::copy_n(mine, threads, into.begin());
    }
};

// A light barrier comes after every heavy one that already took place (B1), so it sees what they saw (B2); and it is
// what a later heavy one will see of this thread.
inline void model_env::pass_light(const where& at) {
    rl::ctx().sched();
    state& now = current();
    if (chosen().mode == barrier_mode::light_removed || detail::is_planted(at)) {
        return;
    }
    rl::timestamp_t* mine = rl::ctx().threadx_->acq_rel_order_;
    join(mine, now.heavy_clock);
    copy(now.light_clock[detail::thread()], mine);
}

inline bool model_env::heavy(where at) {
    rl::ctx().sched();
    state& now = current();
    if (chosen().mode == barrier_mode::fallback) {
        return false;
    }
    if (chosen().mode == barrier_mode::heavy_refused) {
        now.refusing = now.refusing || rl::rand(2) == 0;
        if (now.refusing) {
            return false;
        }
    }
    if (chosen().mode == barrier_mode::heavy_removed || detail::is_planted(at)) {
        return true;
    }
    rl::timestamp_t* mine = rl::ctx().threadx_->acq_rel_order_;
    for (const state::clock& light : now.light_clock) {
        join(mine, light);
    }
    join(mine, now.heavy_clock);
    copy(now.heavy_clock, mine);
    return true;
}

// The kernel compares with the newest value and queues the thread in one step. The one who wakes passes nothing on but that.
inline void model_env::park(model::atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t deadline,
                            where at) {
    if (deadline != parking::never) {
        pause(at);
        return;
    }
    state::sleeper& self = current().asleep[detail::thread()];
    rl::ctx().sched();
    {
        const detail::uninterrupted by_the_kernel;
        if (word.fetch_add(0, relaxed, at) != expected) { // a read-modify-write: the newest value
            return;
        }
        self.word = &word;
    }
    while (self.word != nullptr) {
        pause(at);
    }
}

inline void model_env::unpark(model::atomic<std::uint32_t>& word, std::uint32_t count, where) {
    rl::ctx().sched();
    for (state::sleeper& each : current().asleep) {
        if (each.word == &word && count != 0) {
            each.word = nullptr;
            --count;
        }
    }
}

inline std::uint64_t model_env::open_domain(void*, fork_hook) {
    return ++current().domains_opened;
}

inline void model_env::close_domain(std::uint64_t domain) noexcept {
    for (std::size_t thread = 0; thread < max_threads; ++thread) {
        for (state::remembered& entry : current().records[thread]) {
            if (entry.domain == domain) {
                entry = {};
            }
        }
        for (local_record& entry : current().cache[thread]) {
            if (entry.owner == domain) {
                entry = {};
            }
        }
    }
}

inline void* model_env::find_local(std::uint64_t domain) noexcept {
    for (const state::remembered& entry : current().records[detail::thread()]) {
        if (entry.domain == domain) {
            return entry.record;
        }
    }
    return nullptr;
}

inline void model_env::remember_local(std::uint64_t domain, void* record, void (*release)(void*) noexcept) {
    for (state::remembered& entry : current().records[detail::thread()]) {
        if (entry.domain == 0) {
            entry = {domain, record, release};
            return;
        }
    }
    fail("a model thread uses more domains than model::max_domains");
}

inline void model_env::thread_exit() noexcept {
    const std::size_t thread = detail::thread();
    for (state::remembered& entry : current().records[thread]) {
        if (entry.domain != 0) {
            const state::remembered leaving = std::exchange(entry, {});
            current().cache[thread][leaving.domain % max_domains] = {};
            leaving.release(leaving.record);
        }
    }
}

inline void* model_env::allocate(std::size_t bytes, std::size_t align) {
    void* const block = heap::instance().allocate(bytes, align);
    require(block != nullptr, "the execution used up all memory of the model");
    return block;
}

inline void model_env::deallocate(void* block, std::size_t bytes, std::size_t align) noexcept {
    require(heap::instance().deallocate(block, bytes, align),
            "memory is freed that is not allocated, or not like this");
}

} // namespace epoque::stress::model

namespace epoque::stress {
using model::model_env;
} // namespace epoque::stress
