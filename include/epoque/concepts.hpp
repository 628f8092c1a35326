// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: base. Depends on: base/{error,expected}.hpp.
///
/// What epoque asks of an element, and what a concurrent queue or stack offers (P0260R20, without the operations that
/// wait: those are channel's).
#pragma once

#include "epoque/base/error.hpp"
#include "epoque/base/expected.hpp"

#include <concepts>
#include <iterator>
#include <type_traits>
#include <utility>

namespace epoque {

/// An element can be moved into a slot and out again without a chance to fail: between taking a ticket and publishing
/// the slot there is no way back. Copyable is not asked for, nor a default constructor, nor assignment. (Without one that can't
/// throw, a refused element is built anew where it came from: that must not be a base of another object.)
template <class T>
concept element = std::is_object_v<T> && !std::is_const_v<T> && !std::is_array_v<T> &&
                  std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>;

/// A range that can be gone through twice, by the iterator's category of old: std::forward_iterator refuses
/// std::move_iterator, whose elements a failed bulk operation gives back.
template <class Iterator>
concept multi_pass_iterator =
    std::input_iterator<Iterator> &&
    std::derived_from<typename std::iterator_traits<Iterator>::iterator_category, std::forward_iterator_tag>;

/// The operations that never wait, and the closed state.
template <class Queue>
concept concurrent_container = element<typename Queue::value_type> &&
                               requires(Queue& queue, const Queue& observed, typename Queue::value_type value) {
                                   { queue.try_push(std::move(value)) } -> std::same_as<conqueue_status>;
                                   {
                                       queue.try_pop()
                                   } -> std::same_as<expected<typename Queue::value_type, conqueue_status>>;
                                   { queue.close() } noexcept;
                                   { observed.is_closed() } noexcept -> std::same_as<bool>;
                               };

/// A container that says its order is first in, first out.
template <class Queue>
concept concurrent_queue = concurrent_container<Queue> && Queue::is_fifo;

/// A container that says its order is last in, first out.
template <class Stack>
concept concurrent_stack = concurrent_container<Stack> && !Stack::is_fifo;

} // namespace epoque
