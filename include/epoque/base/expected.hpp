// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: base. Depends on: config.hpp.
///
/// `expected` and `unexpected`: the standard's where it has them (C++23), else the part of them that epoque's
/// interface needs. The shim follows [expected.object]: same names, same preconditions; no monadic operations.
#pragma once

#include "epoque/base/config.hpp"

#if EPOQUE_HAS_STD_EXPECTED

#include <expected>

namespace epoque {
using std::expected;
using std::unexpected;
} // namespace epoque

#else

#include <type_traits>
#include <utility>
#include <variant>

namespace epoque {

/// An error on its way into an `expected`.
template <class E>
class unexpected {
  public:
    constexpr explicit unexpected(E error) : error_(std::move(error)) {}
    constexpr const E& error() const& noexcept { return error_; }
    constexpr E&& error() && noexcept { return std::move(error_); }

  private:
    E error_;
};

/// A `T`, or the reason why there is none.
template <class T, class E>
class [[nodiscard]] expected {
  public:
    using value_type = T;
    using error_type = E;

    constexpr expected(T value) noexcept(std::is_nothrow_move_constructible_v<T>)
        : state_(std::in_place_index<0>, std::move(value)) {}
    constexpr expected(unexpected<E> error) noexcept(std::is_nothrow_move_constructible_v<E>)
        : state_(std::in_place_index<1>, std::move(error).error()) {}

    constexpr bool has_value() const noexcept { return state_.index() == 0; }
    constexpr explicit operator bool() const noexcept { return has_value(); }

    /// Throws: `std::bad_variant_access` when there is no value (std::expected: `bad_expected_access`).
    constexpr T& value() & { return std::get<0>(state_); }
    constexpr const T& value() const& { return std::get<0>(state_); }
    constexpr T&& value() && { return std::get<0>(std::move(state_)); }

    /// Precondition: `has_value()`.
    constexpr T& operator*() & noexcept { return *std::get_if<0>(&state_); }
    constexpr const T& operator*() const& noexcept { return *std::get_if<0>(&state_); }
    constexpr T&& operator*() && noexcept { return std::move(*std::get_if<0>(&state_)); }
    constexpr T* operator->() noexcept { return std::get_if<0>(&state_); }
    constexpr const T* operator->() const noexcept { return std::get_if<0>(&state_); }

    /// Precondition: `!has_value()`.
    constexpr const E& error() const& noexcept { return *std::get_if<1>(&state_); }

    template <class U>
    constexpr T value_or(U&& other) && {
        return has_value() ? *std::move(*this) : static_cast<T>(std::forward<U>(other));
    }

  private:
    std::variant<T, E> state_;
};

/// The same for what fits in a register. A union's bytes would go through memory when it is returned, where a byte that was
/// just written (which of the two there is) stalls the read of the word around it: 10 ns, measured with gcc 12.
template <class T, class E>
    requires(std::is_trivially_copyable_v<T> && std::is_default_constructible_v<T> && sizeof(T) <= sizeof(void*) &&
             std::is_trivially_copyable_v<E> && std::is_default_constructible_v<E>)
class [[nodiscard]] expected<T, E> {
  public:
    using value_type = T;
    using error_type = E;

    constexpr expected(T value) noexcept : value_(value), has_value_(true) {}
    constexpr expected(unexpected<E> error) noexcept : error_(error.error()), has_value_(false) {}

    constexpr bool has_value() const noexcept { return has_value_; }
    constexpr explicit operator bool() const noexcept { return has_value(); }

    /// Throws: as above.
    constexpr T& value() & {
        check();
        return value_;
    }
    constexpr const T& value() const& {
        check();
        return value_;
    }
    constexpr T&& value() && {
        check();
        return std::move(value_);
    }

    /// Precondition: `has_value()`.
    constexpr T& operator*() & noexcept { return value_; }
    constexpr const T& operator*() const& noexcept { return value_; }
    constexpr T&& operator*() && noexcept { return std::move(value_); }
    constexpr T* operator->() noexcept { return &value_; }
    constexpr const T* operator->() const noexcept { return &value_; }

    /// Precondition: `!has_value()`.
    constexpr const E& error() const& noexcept { return error_; }

    template <class U>
    constexpr T value_or(U&& other) && {
        return has_value() ? value_ : static_cast<T>(std::forward<U>(other));
    }

  private:
    constexpr void check() const {
        if (!has_value_) {
            throw std::bad_variant_access();
        }
    }

    T value_{};
    E error_{};
    bool has_value_;
};

} // namespace epoque

#endif
