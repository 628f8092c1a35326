// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: adapters. Depends on: base, and on Boost.Lockfree, which whoever includes this has. Nothing of epoque includes it.
///
/// `boost_lockfree<Queue>`: boost::lockfree::queue, spsc_queue and stack as containers of epoque, so that
/// `channel<T, boost_lockfree<boost::lockfree::queue<T>>>` works.
///
/// What is weaker than in epoque's own containers: *close is not part of the structure*. A push that has looked at the
/// closed flag and has not yet put its element in when close() comes still succeeds, and a drain that answered `closed`
/// in between has missed the element. It stays in the container: a later try_pop finds it, and if there is none it is
/// lost. Where that matters, join the producers before close(), or use a container of epoque's. A push that begins after
/// close() has returned is always refused, and an element whose push returned before close() was called is always found.
#pragma once

#include "epoque/base/env.hpp"
#include "epoque/concepts.hpp"

#include <concepts>
#include <type_traits>
#include <utility>

#include <boost/lockfree/lockfree_forward.hpp>

namespace epoque {

namespace detail {

template <class Queue>
inline constexpr bool is_boost_stack = false;
template <class T, class... Options>
inline constexpr bool is_boost_stack<boost::lockfree::stack<T, Options...>> = true;

} // namespace detail

/// Use it when:      code moves from Boost.Lockfree to epoque step by step, or a channel should wait over Boost's containers.
/// Use instead:      epoque's `queue` or `stack`: close is exact, and elements may be of any nothrow-movable type.
/// Elements:         trivially copyable and default constructible.
/// Order:            Boost's: queue and spsc_queue first in, first out; stack last in, first out.
/// Memory, Progress, Concurrency: Boost's; spsc_queue: one thread pushes, one pops.
template <class Queue, class Env = std_env>
    requires std::is_trivially_copyable_v<typename Queue::value_type> &&
             std::default_initializable<typename Queue::value_type>
class boost_lockfree {
  public:
    using value_type = typename Queue::value_type;
    static constexpr bool is_fifo = !detail::is_boost_stack<Queue>;

    /// Over Queue(arguments...).
    template <class... Arguments>
        requires std::constructible_from<Queue, Arguments...>
    explicit boost_lockfree(Arguments&&... arguments) : queue_(std::forward<Arguments>(arguments)...) {}
    boost_lockfree(const boost_lockfree&) = delete;
    boost_lockfree& operator=(const boost_lockfree&) = delete;
    ~boost_lockfree() = default;

    /// Returns: success, closed, or full: Boost's push said no (no room, or no memory).
    conqueue_status try_push(const value_type& value) {
        // [push.closed] acquire: pairs with [close.mark]
        //   Who answers closed comes after the close.
        if (closed_.load(Env::acquire) != 0) [[unlikely]] {
            return conqueue_status::closed;
        }
        return queue_.push(value) ? conqueue_status::success : conqueue_status::full;
    }

    /// Returns: the element; empty, or closed: see the head of the file.
    expected<value_type, conqueue_status> try_pop() {
        value_type value{};
        if (queue_.pop(value)) {
            return value;
        }
        // [pop.closed] acquire: pairs with [close.mark]
        //   Whatever was pushed before the close is seen by the next look.
        if (closed_.load(Env::acquire) == 0) {
            return unexpected(conqueue_status::empty);
        }
        if (queue_.pop(value)) {
            return value;
        }
        return unexpected(conqueue_status::closed);
    }

    void close() noexcept {
        // [close.mark] release: pairs with [push.closed], [pop.closed]
        //   What was pushed before.
        closed_.store(1, Env::release);
    }
    bool is_closed() const noexcept {
        // [closed.look] relaxed: past tense.
        return closed_.load(Env::relaxed) != 0;
    }
    bool was_empty() const {
        if constexpr (requires { queue_.read_available(); }) {
            return queue_.read_available() == 0;
        } else {
            return queue_.empty();
        }
    }

  private:
    Queue queue_;
    typename Env::template atomic<int> closed_{0};
};

} // namespace epoque
