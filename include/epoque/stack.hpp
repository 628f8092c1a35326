// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. Depends on: base, domain, core/treiber_stack.hpp (the algorithm, its invariants and its sources).
///
/// `stack<T>`: the unbounded multi-producer multi-consumer LIFO.
#pragma once

#include "epoque/concepts.hpp"
#include "epoque/core/treiber_stack.hpp"

#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace epoque {

/// An unbounded LIFO for any number of threads.
///
/// Use it when:      the order does not matter or the newest is the best (free lists, work that is warm in the cache), or
///                   one thread takes everything at once (`pop_all`).
/// Use instead:      `queue` where somebody waits for the oldest element: a stack starves it.
/// Elements:         `element`: nothrow move-constructible and destructible; move-only is fine; no default constructor.
/// Order:            linearizable LIFO.
/// Memory:           a node of 8 bytes + sizeof(T), at least 32, from the domain's pool. A thread that sleeps inside an
///                   operation keeps one node from being reused. Up to 512 popped nodes (256 KiB) a thread wait for reuse.
/// Fairness:         none: under contention a thread may lose its CAS any number of times; measured in docs/robustness.md#fairness.
/// Progress:         lock-free, every operation.
/// Concurrency:      any thread, every member, but constructors and destructor.
/// Sources:          core/treiber_stack.hpp.
///
///     epoque::stack<connection> idle;
///     idle.push(connect(address));
///     auto warm = idle.try_pop();
///     use(warm ? *std::move(warm) : connect(address));
template <element T, class Env = std_env>
class stack {
    using core_type = core::treiber_stack<core::typed_cells<T, Env>, Env>;
    using cell = typename core_type::cell;

  public:
    using value_type = T;
    static constexpr bool is_fifo = false;

    /// An empty, open stack. Throws: bad_alloc, when the default domain has to be made.
    stack()
        requires std::is_same_v<Env, std_env>
        : stack(default_domain()) {}
    /// The same, reclaimed by `home`, which must outlive the stack and every thread's last operation on it.
    explicit stack(basic_domain<Env>& home) noexcept : core_(home, core::typed_cells<T, Env>()) {}
    stack(const stack&) = delete;
    stack& operator=(const stack&) = delete;
    /// Destroys the elements that are left. Precondition: no operation runs. May run inside a deleter.
    ~stack() {
        core_.destroy([](cell& node) noexcept { node.element.destroy(); });
    }

    /// Puts `value` on top.
    ///
    /// Returns:         true; false when the stack is closed, `value` is then unchanged.
    /// Progress:        lock-free; allocates a node where the thread's pool has none.
    /// Linearizes at:   [push.link], or [eliminate.take] of the pop that takes it on the way.
    /// Synchronization: with the pop that returns this value (release/acquire).
    /// Complexity:      O(1), one read-modify-write; repeated when another operation came first.
    /// Throws:          bad_alloc, or what T's copy constructor throws; stack and `value` are then unchanged.
    /// Pins:            nothing, and runs no deleters.
    /// See:             docs/memory-model.md#stack
    bool push(T&& value) { return try_push(std::move(value)) == conqueue_status::success; }
    bool push(const T& value)
        requires std::is_copy_constructible_v<T>
    {
        return push(T(value));
    }

    /// As push. Returns: success or closed.
    conqueue_status try_push(T&& value) {
        return core_.push(
            1, [&value](cell& node) noexcept { node.element.construct(std::move(value)); },
            [&value](cell& node) noexcept { core::give_back(value, node.element.take()); });
    }
    conqueue_status try_push(const T& value)
        requires std::is_copy_constructible_v<T>
    {
        return try_push(T(value));
    }

    /// Builds the element from `args`, then as push. What it built is destroyed where push would give it back.
    template <class... Args>
    bool emplace(Args&&... args)
        requires std::is_constructible_v<T, Args...>
    {
        return push(T(std::forward<Args>(args)...));
    }
    template <class... Args>
    conqueue_status try_emplace(Args&&... args)
        requires std::is_constructible_v<T, Args...>
    {
        return try_push(T(std::forward<Args>(args)...));
    }

    /// Pushes copies of [first, last) at one moment; the last one ends on top.
    ///
    /// Returns:         success, or closed (none was pushed).
    /// Linearizes at:   [push.link], all together.
    /// Complexity:      O(n), one read-modify-write; repeated as push.
    /// Throws:          bad_alloc; the stack is then unchanged.
    template <multi_pass_iterator Iterator>
    conqueue_status push_range(Iterator first, Iterator last)
        requires std::is_nothrow_constructible_v<T, const std::iter_value_t<Iterator>&>
    {
        return core_.push(
            static_cast<std::size_t>(std::distance(first, last)),
            [&first](cell& node) noexcept { node.element.construct(std::as_const(*first++)); },
            [](cell& node) noexcept { node.element.destroy(); });
    }

    /// Takes the top.
    ///
    /// Returns:         the element; or empty, or closed (empty, and nothing will come any more).
    /// Progress:        lock-free.
    /// Linearizes at:   [pop.unlink] or [eliminate.take]; `empty` and `closed` at [pop.head].
    /// Synchronization: with the push of this element; `closed` with the close.
    /// Complexity:      O(1), one read-modify-write; none on an empty stack; repeated when another operation came first.
    /// Throws:          bad_alloc, on a thread's first use of the domain only.
    /// Pins:            as push.
    expected<T, conqueue_status> try_pop() {
        std::optional<T> value;
        const conqueue_status status = core_.pop([&value](cell& node) noexcept { value.emplace(node.element.take()); });
        if (status == conqueue_status::success) [[likely]] {
            return std::move(*value); // NOLINT(bugprone-unchecked-optional-access): success says that `value` is there
        }
        return unexpected(status);
    }

    /// Takes everything that is there at one moment, from the top, by `consume(T&&)`.
    ///
    /// Returns:         how many.
    /// Progress:        lock-free to unlink, then O(n).
    /// Linearizes at:   [all.unlink], all together.
    /// Throws:          nothing but what a thread's first use of the domain throws; `consume` must not throw.
    template <class Consume>
    std::size_t pop_all(Consume consume)
        requires std::is_nothrow_invocable_v<Consume&, T&&>
    {
        return core_.pop_all([&consume](cell& node) noexcept { consume(node.element.take()); });
    }

    /// No push succeeds any more. Idempotent. Progress: wait-free. Linearizes at: [close.mark]. Throws: nothing.
    /// Synchronization: with every operation that answers closed.
    void close() noexcept { core_.close(); }

    /// Whether it is closed. Progress: wait-free.
    bool is_closed() const noexcept { return core_.is_closed(); }

    /// Whether it looked empty a moment ago. Progress: wait-free.
    bool was_empty() const noexcept { return core_.was_empty(); }

  private:
    core_type core_;
};

static_assert(concurrent_stack<stack<int>>);

} // namespace epoque
