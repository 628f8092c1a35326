// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: domain. Depends on: base (the Env is a parameter).
///
/// What waits for its grace period: `retired`, the hook inside or in front of an unlinked object, and `garbage_list`,
/// a plain singly linked list of them. Neither is shared: whoever owns the record that a list lies in, owns the list
/// (core/record.hpp says when). The fields are `Env::var` so that the model checker sees a breach of that rule.
///
/// A fork's child finds the lists of other threads at any moment of a change. The chain that begins at a list's head is
/// whole at each of them, and no object is in two lists (`Env::fork_point` keeps the stores in this order); the rest of
/// the fields is made anew from the chain by `mend`.
#pragma once

#include <cstddef>
#include <cstdint>

namespace epoque::core {

/// Pool class of a block that no pool keeps.
inline constexpr std::uint32_t unpooled = ~std::uint32_t{0};

template <class Env>
struct record;

/// The hook of an object that waits for its grace period. Structures place it where the object no longer needs the
/// room (a stack node's hook lies in the storage of the element that was popped from it).
template <class Env>
struct retired {
    /// Ends the object and gives its memory back through `runner`, the record of the thread that runs it.
    using reclaimer = void (*)(retired* self, record<Env>& runner) noexcept;

    retired(reclaimer how, std::uint32_t size, std::uint32_t pool) noexcept
        : reclaim(how), bytes(size), block_class(pool) {}

    typename Env::template var<retired*> next{nullptr};
    const reclaimer reclaim;
    const std::uint32_t bytes;       ///< what freeing this gives back, for the statistics and the advance trigger
    const std::uint32_t block_class; ///< pool class of the block, for the reclaimer
};

/// A list of retired objects that were stamped with the same epoch, or that are all past their grace period.
template <class Env>
class garbage_list {
  public:
    using hook = retired<Env>;

    bool empty() const noexcept { return head_.get() == nullptr; }
    std::uint64_t count() const noexcept { return count_.get(); }
    std::uint64_t epoch() const noexcept { return epoch_.get(); }
    void stamp(std::uint64_t epoch) noexcept { epoch_.set(epoch); }

    void append(hook* object) noexcept {
        object->next.set(nullptr);
        link_tail(object, object, 1);
    }

    /// What a list holds.
    struct size {
        std::uint64_t objects = 0;
        std::uint64_t bytes = 0;
    };

    /// Makes the list whole that a thread was changing when a fork left it behind. An object that was on its way into the
    /// list, or out of it, is in no list.
    size mend() noexcept {
        size found;
        hook* last = nullptr;
        for (hook* object = head_.get(); object != nullptr; object = object->next.get()) {
            ++found.objects;
            found.bytes += object->bytes;
            last = object;
        }
        tail_.set(last);
        count_.set(found.objects);
        return found;
    }

    /// Takes the oldest object; the list is not empty.
    hook* take_first() noexcept {
        hook* first = head_.get();
        hook* second = first->next.get();
        head_.set(second);
        if (second == nullptr) {
            tail_.set(nullptr);
        }
        count_.set(count_.get() - 1);
        Env::fork_point();
        return first;
    }

    /// Moves the oldest `count` objects, which it has, to the end of `to`.
    void move_first(std::uint64_t count, garbage_list& to) noexcept {
        if (count == 0) {
            return;
        }
        hook* first = head_.get();
        hook* last = first;
        for (std::uint64_t i = 1; i < count; ++i) {
            last = last->next.get();
        }
        hook* rest = last->next.get();
        head_.set(rest);
        if (rest == nullptr) {
            tail_.set(nullptr);
        }
        count_.set(count_.get() - count);
        Env::fork_point();
        last->next.set(nullptr);
        to.link_tail(first, last, count);
    }

    /// Appends all of `other` and leaves it empty.
    void splice(garbage_list& other) noexcept {
        if (other.empty()) {
            return;
        }
        hook* const first = other.head_.get();
        hook* const last = other.tail_.get();
        const std::uint64_t count = other.count_.get();
        other.head_.set(nullptr);
        other.tail_.set(nullptr);
        other.count_.set(0);
        link_tail(first, last, count);
    }

  private:
    template <class T>
    using var = typename Env::template var<T>;

    void link_tail(hook* first, hook* last, std::uint64_t count) noexcept {
        Env::fork_point();
        if (tail_.get() == nullptr) {
            head_.set(first);
        } else {
            tail_.get()->next.set(first);
        }
        tail_.set(last);
        count_.set(count_.get() + count);
    }

    var<hook*> head_{nullptr};
    var<hook*> tail_{nullptr};
    var<std::uint64_t> count_{0};
    var<std::uint64_t> epoch_{0};
};

} // namespace epoque::core
