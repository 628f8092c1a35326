// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. Depends on: base, core/cells.hpp.
///
/// What lies between a typed container and its core, which sees cells only: one element out, many out, a range in.
#pragma once

#include "epoque/concepts.hpp"
#include "epoque/core/cells.hpp"

#include <cstddef>
#include <iterator>
#include <optional>
#include <type_traits>
#include <utility>

namespace epoque::core {

/// The element that `core.pop` takes, or why it took none.
template <class T, class Core>
expected<T, conqueue_status> pop_one(Core& core) {
    std::optional<T> value;
    conqueue_status why = conqueue_status::empty;
    core.pop(1, why, [&value](auto& slot) noexcept { value.emplace(slot.element.take()); });
    if (value.has_value()) [[likely]] {
        return std::move(*value);
    }
    return unexpected(why);
}

/// Up to `count` elements into `out`; returns how many. All in one operation of the core, where assigning through `out`
/// can't throw; otherwise one by one, so that an exception loses one element only.
template <class T, class Core, class Output>
std::size_t pop_many(Core& core, Output out, std::size_t count) {
    constexpr bool no_throw = noexcept(*out = std::declval<T>(), ++out);
    if constexpr (no_throw) {
        conqueue_status why = conqueue_status::empty;
        return count == 0 ? 0 : core.pop(count, why, [&out](auto& slot) noexcept {
            *out = slot.element.take();
            ++out;
        });
    } else {
        std::size_t taken = 0;
        for (; taken < count; ++taken) {
            auto value = pop_one<T>(core);
            if (!value) {
                break;
            }
            *out = *std::move(value);
            ++out;
        }
        return taken;
    }
}

template <class Iterator>
inline constexpr bool never_throws =
    std::is_nothrow_copy_assignable_v<Iterator> && noexcept(*std::declval<Iterator&>(), std::declval<Iterator&>()++);

/// Whether the elements of such a range can be built in their cells one after another, and taken back: neither the iterator
/// nor the construction of a T from it can throw, and an rvalue is a T. (Of a range of rvalues the iterator is believed:
/// std::move_iterator does not say so, and an element that was moved from can only be given back.)
template <class Iterator, class T>
inline constexpr bool goes_in_bulk =
    std::is_nothrow_constructible_v<T, std::iter_reference_t<Iterator>> &&
    (std::is_same_v<std::iter_reference_t<Iterator>, T&&> ||
     (std::is_lvalue_reference_v<std::iter_reference_t<Iterator>> && never_throws<Iterator>));

/// A range on its way into a core's bulk push.
template <class T, class Iterator>
class range_feed {
    static_assert(goes_in_bulk<Iterator, T>);

  public:
    explicit range_feed(Iterator first) : next_(first), newest_(first) {}

    /// Builds the next element in `slot`.
    template <class Cell>
    void put(Cell& slot) noexcept {
        newest_ = next_++;
        slot.element.construct(*newest_);
    }
    /// Takes the one that was put last back.
    template <class Cell>
    void undo(Cell& slot) noexcept {
        next_ = newest_;
        take_back(newest_, slot);
    }
    /// Takes the element of `slot` back to where `from` is.
    template <class Cell>
    static void take_back(Iterator from, Cell& slot) noexcept {
        if constexpr (std::is_lvalue_reference_v<std::iter_reference_t<Iterator>>) {
            slot.element.destroy();
        } else {
            T&& origin = *from;
            give_back(origin, slot.element.take());
        }
    }
    /// The first one that is not in.
    Iterator next() const { return next_; }

  private:
    Iterator next_;
    Iterator newest_;
};

} // namespace epoque::core
