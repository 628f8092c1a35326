// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. Depends on: base (the Env is a parameter).
///
/// What a core knows of its elements: how far apart their cells lie, and nothing else. `typed_cells<T>` serves
/// `queue<T>` and `stack<T>`; `byte_cells` serves the C interface, where the size is known at run time only. There is
/// one algorithm, and one proof, for both.
#pragma once

#include "epoque/concepts.hpp"

#include <cstddef>
#include <cstring>
#include <iterator>
#include <memory>
#include <type_traits>
#include <utility>

namespace epoque::core {

/// Cells that hold a `T` behind a header of the core.
template <class T, class Env>
class typed_cells {
  public:
    /// Moving an element out of its cell calls nothing of the user's, who could use the same structure in it.
    static constexpr bool runs_no_code =
        std::is_trivially_move_constructible_v<T> && std::is_trivially_destructible_v<T>;
    template <class Header>
    struct cell : Header {
        typename Env::template storage<T> element;
    };
    template <class Header>
    static constexpr std::size_t stride() noexcept {
        return sizeof(cell<Header>);
    }
    template <class Header>
    static constexpr std::size_t align() noexcept {
        return alignof(cell<Header>);
    }
    /// Ends the (empty) room for the element, so that the memory can serve something else.
    template <class Cell>
    static void end_element(Cell& of) noexcept {
        std::destroy_at(&of.element);
    }
};

/// Cells that hold `size` bytes behind a header of the core. The bytes are only ever copied.
class byte_cells {
  public:
    static constexpr bool runs_no_code = true;
    template <class Header>
    struct cell : Header {
        // SAFETY: stride() reserves `size` bytes right behind the header.
        std::byte* bytes() noexcept { return reinterpret_cast<std::byte*>(this) + sizeof(cell); }
    };

    explicit byte_cells(std::size_t size) noexcept : size_(size) {}
    std::size_t size() const noexcept { return size_; }

    template <class Header>
    std::size_t stride() const noexcept {
        constexpr std::size_t unit = alignof(cell<Header>);
        return (sizeof(cell<Header>) + size_ + unit - 1) / unit * unit;
    }
    template <class Header>
    static constexpr std::size_t align() noexcept {
        return alignof(cell<Header>);
    }
    template <class Cell>
    static void end_element(Cell&) noexcept {}

  private:
    std::size_t size_;
};

/// A failed push can leave the element with the range: it is copied from there, made anew at each look, or a T that can be
/// moved back. (Not: moved from an object of another type.)
template <class Iterator, class T>
concept gives_back = std::is_constructible_v<T, std::iter_reference_t<Iterator>> &&
                     (!std::is_rvalue_reference_v<std::iter_reference_t<Iterator>> ||
                      std::is_same_v<std::iter_reference_t<Iterator>, T&&>);

/// Gives `value` the element back that was moved from it.
template <class T>
void give_back(T& value, std::type_identity_t<T>&& element) noexcept {
    if constexpr (std::is_nothrow_move_assignable_v<T>) {
        value = std::move(element);
    } else {
        // SAFETY: `value` was moved from by the construction that this undoes; nothing else refers to it during the call.
        // (`element` says that it must not be a base of another object.)
        std::destroy_at(std::addressof(value));
        std::construct_at(std::addressof(value), std::move(element));
    }
}

} // namespace epoque::core
