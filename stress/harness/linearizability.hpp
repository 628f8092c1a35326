// SPDX-License-Identifier: BSL-1.0
/// @file
/// Was this history possible? Monitors for queues and stacks in O(n log n), a general search for small histories, and
/// what turns a failure into something a person can read: shrinking and pictures.
///
/// The fast monitors need distinct values. harness_test compares them with the general search on random histories, good
/// and bad, on every run: published algorithms of this kind have been wrong before.
#pragma once

#include "history.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace epoque::stress {

/// Why a history is impossible.
struct violation {
    std::string clause;                ///< in words
    std::vector<std::size_t> culprits; ///< indices of the events that the clause is about
};

/// A FIFO queue: push, pop, close; answers success, empty, closed.
///
/// Throws: std::invalid_argument when two pushes of the history carry the same value.
std::optional<violation> check_queue(const history& events);

/// The same with a capacity; also answers full. Weaker than the truth, never stricter: `full` must have been possible at some
/// moment for itself, and never are more values certainly inside than the capacity.
std::optional<violation> check_bounded_queue(const history& events, std::size_t capacity);

/// A LIFO stack, likewise. A pop_all (events with the same batch) is judged as pops at any moments of its interval, with
/// its own order checked: weaker than the truth, never stricter.
std::optional<violation> check_stack(const history& events);

/// A deque is a stack with an operation `steal` that takes the oldest element.
enum class container { queue, stack, deque };

/// The general search (Wing and Gong 1993, with memory of the states already tried). Exact, also for pop_all, for a
/// capacity and for values that repeat. Precondition: at most 64 operations; meant for 20.
bool is_linearizable(const history& events, container kind, std::size_t capacity = ~std::size_t{0});

using monitor = std::function<std::optional<violation>(const history&)>;

/// The smallest part of an impossible history that is still impossible. All operations on a value leave together, so
/// that the rest of a possible history stays possible. Returns the events in the order of their calls.
history shrink(const history& events, const monitor& check);

/// Thread columns, from call to return.
std::string draw_history(const history& events);

/// Shrinks, and says all that a reader needs: columns and the violated clause.
std::string explain(const history& events, const monitor& check);

} // namespace epoque::stress
