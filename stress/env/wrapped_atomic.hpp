// SPDX-License-Identifier: BSL-1.0
/// @file
/// A std::atomic that does something before each operation: the base of the Envs that run on real memory.
#pragma once

#include <atomic>
#include <cstddef>
#include <type_traits>

namespace epoque::stress {

/// `Hook::before()` is called ahead of every operation; `Hook::spurious()` says whether a weak CAS fails for no reason.
template <class T, class Hook>
class wrapped_atomic {
    using difference = std::conditional_t<std::is_pointer_v<T>, std::ptrdiff_t, T>;

  public:
    constexpr wrapped_atomic() noexcept : word_(T{}) {}
    constexpr wrapped_atomic(T value) noexcept : word_(value) {}
    wrapped_atomic(const wrapped_atomic&) = delete;
    wrapped_atomic& operator=(const wrapped_atomic&) = delete;

    T load(std::memory_order order) const noexcept {
        Hook::before();
        return word_.load(order);
    }
    void store(T value, std::memory_order order) noexcept {
        Hook::before();
        word_.store(value, order);
    }
    T exchange(T value, std::memory_order order) noexcept {
        Hook::before();
        return word_.exchange(value, order);
    }
    bool compare_exchange_weak(T& expected, T desired, std::memory_order success, std::memory_order failure) noexcept {
        Hook::before();
        if (Hook::spurious()) {
            expected = word_.load(failure);
            return false;
        }
        return word_.compare_exchange_weak(expected, desired, success, failure);
    }
    bool compare_exchange_strong(T& expected, T desired, std::memory_order success,
                                 std::memory_order failure) noexcept {
        Hook::before();
        return word_.compare_exchange_strong(expected, desired, success, failure);
    }
    T fetch_add(difference n, std::memory_order order) noexcept {
        Hook::before();
        return word_.fetch_add(n, order);
    }
    T fetch_sub(difference n, std::memory_order order) noexcept {
        Hook::before();
        return word_.fetch_sub(n, order);
    }
    T fetch_and(T bits, std::memory_order order) noexcept {
        Hook::before();
        return word_.fetch_and(bits, order);
    }
    T fetch_or(T bits, std::memory_order order) noexcept {
        Hook::before();
        return word_.fetch_or(bits, order);
    }
    T fetch_xor(T bits, std::memory_order order) noexcept {
        Hook::before();
        return word_.fetch_xor(bits, order);
    }

    /// The word itself, for the kernel.
    const std::atomic<T>& bare() const noexcept { return word_; }

  private:
    std::atomic<T> word_;
};

} // namespace epoque::stress
