// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: domain. Depends on: domain.hpp.
///
/// The names of C++26's <rcu> (clause saferecl.rcu, P2545) for a domain, so that code can be written for one and moved to the
/// other: `rcu_obj_base`, `rcu_domain`, `rcu_default_domain`, `rcu_synchronize`, `rcu_barrier`, `rcu_retire`. What differs
/// is in docs/rcu.md.
#pragma once

#include "epoque/domain.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace epoque {

/// Lockable: `std::scoped_lock region(rcu_default_domain());` is a region of RCU protection.
using rcu_domain = domain;

/// The process's domain. Out of memory on the first call ends the program.
inline rcu_domain& rcu_default_domain() noexcept {
    return default_domain();
}

/// Waits for the end of every region that was opened before; domain::synchronize. Where that would throw, the program ends.
// NOLINTNEXTLINE(bugprone-exception-escape): the standard says noexcept
inline void rcu_synchronize(rcu_domain& dom = rcu_default_domain()) noexcept {
    dom.synchronize();
}

/// Waits until everything that was retired before has been deleted; domain::barrier. Where that would throw, the program
/// ends.
// NOLINTNEXTLINE(bugprone-exception-escape): as above
inline void rcu_barrier(rcu_domain& dom = rcu_default_domain()) noexcept {
    dom.barrier();
}

/// Deletes `*p` by `d(p)` once every region opened before has ended; domain::retire.
/// Throws: bad_alloc; `*p` is then still the caller's.
template <class T, class D = std::default_delete<T>>
void rcu_retire(T* p, D d = D(), rcu_domain& dom = rcu_default_domain()) {
    static_assert(std::is_move_constructible_v<D>);
    dom.retire(p, std::move(d));
}

/// The base of a type T whose objects retire themselves, without an allocation.
///
///     struct config : epoque::rcu_obj_base<config> { ... };
///     current.exchange(fresh)->retire();
///
/// T has it as its only such base, public and not virtual. Memory: 32 bytes an object, and the deleter.
template <class T, class D = std::default_delete<T>>
class rcu_obj_base {
  public:
    /// Deletes the object by `d(this)`, seen as a T*, once every region opened before has ended. At most once an object.
    ///
    /// Progress:        as domain::retire, also with a limit.
    /// Throws:          nothing; out of memory at a thread's first use of the domain ends the program.
    void retire(D d = D(), rcu_domain& dom = rcu_default_domain()) noexcept {
        static_assert(std::is_base_of_v<rcu_obj_base, T> && std::is_convertible_v<T*, rcu_obj_base*>,
                      "T must derive from rcu_obj_base<T, D>, publicly");
        static_assert(sizeof(node) <= sizeof(node_) && alignof(node) <= alignof(room));
        deleter_ = std::move(d);
        // SAFETY: the bytes are sized and aligned for a node, and used once: the object is retired once.
        dom.retire_with_hook(::new (static_cast<void*>(node_)) node(*this));
    }

  protected:
    // NOLINTBEGIN(bugprone-crtp-constructor-accessibility): protected is what the standard says
    rcu_obj_base() = default;
    rcu_obj_base(const rcu_obj_base&) = default;
    rcu_obj_base(rcu_obj_base&&) = default;
    // NOLINTEND(bugprone-crtp-constructor-accessibility)
    rcu_obj_base& operator=(const rcu_obj_base&) = default;
    rcu_obj_base& operator=(rcu_obj_base&&) = default;
    ~rcu_obj_base() = default;

  private:
    using hook = rcu_domain::hook;

    struct node : hook {
        explicit node(rcu_obj_base& object) noexcept
            : hook(&end, static_cast<std::uint32_t>(sizeof(T)), core::unpooled), of(&object) {}
        rcu_obj_base* of;
    };

    static void end(hook* self, core::record<std_env>&) noexcept {
        // SAFETY: this reclaimer is only ever given to the hook inside a `node`.
        rcu_obj_base* const base = static_cast<node*>(self)->of;
        D how; // out of the object that it deletes; D need not be move-constructible
        how = std::move(base->deleter_);
        how(static_cast<T*>(base));
    }

    [[no_unique_address]] D deleter_;
    // Bytes, so that a copy of the object copies nothing that means anything, and is as trivial as the deleter.
    struct room {
        void* words[4];
    };
    alignas(room) std::byte node_[sizeof(room)];
};

} // namespace epoque
