// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. Depends on: base, domain.
///
/// `snapshot<T>`: a value that is read often and replaced seldom, without a lock on either side.
///
///     current_ --> [hook | version 7 | value]         readers: load, keep it, load again: the same? read; keep it no more
///                  [hook | version 6 | value]  <-- retired; a reader that keeps it may still look at it
///
/// Invariants:
///   N1  A node is immutable from its publication to its end, but for the hook, which belongs to who retired it.
///   N2  current_ is never null and changes by CAS only; the version of the new node is that of the old one plus one. So the
///       versions that are read from current_ only grow.
///   N3  A node is retired once, by the CAS that took it out of current_, and ends when nobody keeps it
///       (core/domain_keeps.hpp, of which current_ is the source). What a thread keeps does not come back at the same address:
///       no ABA.
///
/// Progress: readers wait-free; writers lock-free, a CAS fails only because another one succeeded.
/// Linearizes: load, read and version at [domain_keeps:latest.check] or [domain_keeps:latest.pinned]; writers at [replace.swap];
/// a compare_and_store that fails there, or where it has read the version.
/// Proof: docs/memory-model.md#snapshot.
///
/// Sources: McKenney, Slingwine, Read-copy update, 1998.
#pragma once

#include "epoque/base/config.hpp"
#include "epoque/core/cells.hpp"
#include "epoque/domain.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace epoque {

/// One shared value and its history of replacements.
///
/// Use it when:      many threads read a whole that changes as a whole: configuration, routing tables, prices.
/// Use instead:      `std::atomic<T>` where T fits in a word; a mutex where writers are as frequent as readers; a
///                   `std::shared_ptr` where a reader hands what it read to another thread.
/// Elements:         any object type with a destructor that does not throw. `store` needs a move or copy constructor, `update`
///                   a copy constructor. Readers of all threads get `const T&` at the same time.
/// Order:            linearizable; versions count the replacements.
/// Memory:           40 bytes + sizeof(T) a version. An old version is destroyed by the thread that replaced it, when it
///                   replaces or retires something later and nobody can see the version any more; or by domain::barrier(); or after
///                   that thread's end by another one. A view keeps its version and no other; a thread's third view at the same
///                   time (or use of a handle) is a guard, and keeps all that is retired meanwhile. The domain goes by objects and
///                   bytes, not by time: where nothing else is retired, about 1,500 old versions, or 768 KiB of them, wait for
///                   later ones. It counts sizeof(T), not what T owns: if that is much, call domain::barrier() after a store. It
///                   does not wait for views.
/// Fairness:         none among writers; measured in docs/robustness.md#fairness.
/// Progress:         readers wait-free, writers lock-free.
/// Concurrency:      any thread, every member, but constructors and destructor.
///
///     epoque::snapshot<config> settings(read_file(path));
///     {
///         const auto now = settings.load();               // stays what it is until the view ends
///         connect(now->host, now->port);
///     }
///     settings.update([](config& next) { next.port = 8080; });
template <class T, class Env = std_env>
class snapshot {
    static_assert(std::is_object_v<T> && !std::is_const_v<T> && !std::is_array_v<T>);
    static_assert(std::is_nothrow_destructible_v<T>, "a deferred destructor has nobody to throw to");

    using domain_type = basic_domain<Env>;
    using record_type = core::record<Env>;
    using hook = core::retired<Env>;

    struct node : hook { // the hook is used once, when the node is replaced
        template <class... Args>
        node(domain_type& owner, std::uint32_t pool, Args&&... args)
            : hook(&node::end, size(), pool), home(owner), value(std::forward<Args>(args)...) {}
        static constexpr std::uint32_t size() noexcept { // a figure for the domain's statistics
            return static_cast<std::uint32_t>(
                std::min<std::size_t>(sizeof(node), std::numeric_limits<std::uint32_t>::max()));
        }
        static void end(hook* self, record_type& runner) noexcept;

        domain_type& home;
        typename Env::template var<std::uint64_t> version{1}; // written before the node is published
        T value;
    };

  public:
    using value_type = T;

    /// A version, kept for as long as this lives. Not copyable, not for another thread.
    class [[nodiscard]] view {
      public:
        view(const view&) = delete;
        view& operator=(const view&) = delete;
        ~view() = default;

        const T& operator*() const noexcept { return node_->value; }
        const T* operator->() const noexcept { return std::addressof(node_->value); }
        std::uint64_t version() const noexcept { return node_->version.get(); }

      private:
        friend class snapshot;
        explicit view(const snapshot& of) : kept_(of.home_), node_(kept_.latest(of.current_)) {}
        core::keep<Env> kept_;
        const node* node_;
    };

    /// The first version, built from `args`. Throws: bad_alloc, or what T's constructor throws.
    template <class... Args>
        requires(std::is_same_v<Env, std_env> && std::is_constructible_v<T, Args...>)
    explicit snapshot(Args&&... args) : snapshot(default_domain(), std::forward<Args>(args)...) {}
    /// The same, reclaimed by `home`, which must outlive the snapshot and every thread's last operation on it.
    template <class... Args>
        requires std::is_constructible_v<T, Args...>
    explicit snapshot(domain_type& home, Args&&... args);
    snapshot(const snapshot&) = delete;
    snapshot& operator=(const snapshot&) = delete;
    /// Destroys the last version; those before it are the domain's. Precondition: no operation runs and no view lives. May
    /// run inside a deleter.
    ~snapshot();

    /// Looks at the current version.
    ///
    /// Returns:         a view of it, which keeps it.
    /// Progress:        wait-free: where four writers in a row came in between, it pins for a moment.
    /// Linearizes at:   [domain_keeps:latest.check] or [domain_keeps:latest.pinned].
    /// Synchronization: with the writer of this version.
    /// Complexity:      O(1), with membarrier no read-modify-write. Runs nobody's destructor.
    /// Throws:          bad_alloc, on a thread's first use of the domain only.
    /// See:             docs/memory-model.md#snapshot
    view load() const { return view(*this); }

    /// What `look(const T&)` returns of the current version. As load; it throws what `look` throws. A reference into the
    /// version must not leave `look`.
    template <class Look>
        requires std::is_invocable_v<Look, const T&>
    auto read(Look&& look) const {
        const view now = load();
        return std::invoke(std::forward<Look>(look), *now);
    }

    /// The number of the current version; the first is 1. Progress: wait-free.
    std::uint64_t version() const { return load().version(); }

    /// Replaces the current version, whatever it is.
    ///
    /// Returns:         the number of the new one.
    /// Progress:        lock-free; allocates a node where the thread's pool has none.
    /// Linearizes at:   [replace.swap].
    /// Synchronization: with every read of this version.
    /// Complexity:      O(1), one read-modify-write; repeated when another writer came first. May run up to 8 deferred
    ///                  destructors, each after a look at all threads of the domain.
    /// Throws:          bad_alloc, or what T's constructor throws. The snapshot is then unchanged.
    std::uint64_t store(T value)
        requires std::is_move_constructible_v<T>
    {
        return emplace(std::move(value));
    }
    /// The same, built from `args` in place: also for a T that cannot be moved.
    template <class... Args>
        requires std::is_constructible_v<T, Args...>
    std::uint64_t emplace(Args&&... args);

    /// Replaces the current version by a copy that `change(T&)` has changed, if nobody else did meanwhile; otherwise again, from
    /// the new current version. `change` may thus be called several times and must not have other effects.
    ///
    /// Returns:         the number of the new version.
    /// Progress:        lock-free.
    /// Linearizes at:   [replace.swap].
    /// Throws:          bad_alloc, or what T's copy constructor or `change` throws; the snapshot is then unchanged.
    /// Synchronization, Complexity: as store.
    template <class Change>
        requires(std::is_copy_constructible_v<T> && std::is_invocable_v<Change&, T&>)
    std::uint64_t update(Change change);

    /// Replaces the current version by `value` if it is number `expected` (as a view says).
    ///
    /// Returns:         whether it did; if not, `value` is unchanged.
    /// Progress:        lock-free; it does not try again.
    /// Linearizes at:   [replace.swap]; as load when it finds another version there.
    /// Throws:          bad_alloc; snapshot and `value` are then unchanged.
    /// Synchronization, Complexity: as store.
    bool compare_and_store(std::uint64_t expected, T&& value)
        requires std::is_nothrow_move_constructible_v<T>;

  private:
    template <class V>
    using atomic = typename Env::template atomic<V>;

    /// A node that is not published yet; goes back where it came from unless it is.
    class draft {
      public:
        template <class... Args>
        draft(const snapshot& of, record_type& record, Args&&... args)
            : record_(record), block_class_(of.block_class_),
              block_(record.allocate(block_class_, sizeof(node), alignof(node))) {
            try {
                // SAFETY: a fresh block of the node's size and alignment.
                made_ = ::new (block_) node(of.home_, block_class_, std::forward<Args>(args)...);
            } catch (...) {
                record_.deallocate(block_class_, block_, sizeof(node), alignof(node));
                throw;
            }
        }
        draft(const draft&) = delete;
        draft& operator=(const draft&) = delete;
        ~draft() {
            if (made_ != nullptr) {
                std::destroy_at(made_);
                record_.deallocate(block_class_, block_, sizeof(node), alignof(node));
            }
        }
        node* operator->() const noexcept { return made_; }
        node* get() const noexcept { return made_; }
        void published() noexcept { made_ = nullptr; }

      private:
        record_type& record_;
        const std::uint32_t block_class_;
        void* const block_;
        node* made_ = nullptr;
    };

    bool replace(core::keep<Env>& kept, node* old, draft& next) noexcept;

    alignas(interference_size) atomic<node*> current_{nullptr}; // read by all, written by writers
    domain_type& home_;
    const std::uint32_t block_class_;
};

// ---- life cycle ----------------------------------------------------------------------------------------------------------

template <class T, class Env>
template <class... Args>
    requires std::is_constructible_v<T, Args...>
snapshot<T, Env>::snapshot(domain_type& home, Args&&... args)
    : home_(home), block_class_(home.pool_class(sizeof(node), alignof(node))) {
    draft first(*this, home_.own_record(), std::forward<Args>(args)...);
    // [init.current] relaxed: whoever shares the snapshot with other threads publishes it.
    current_.store(first.get(), Env::relaxed);
    first.published();
}

template <class T, class Env>
snapshot<T, Env>::~snapshot() {
    // [dtor.current] relaxed: destruction is exclusive, whoever ordered it ordered all use before it.
    node* last = current_.load(Env::relaxed);
    std::destroy_at(last);
    // To the allocator, not to the pool: a destructor has no record to hand, and getting one may throw.
    home_.deallocate(last, sizeof(node), alignof(node));
}

template <class T, class Env>
void snapshot<T, Env>::node::end(hook* self, record_type& runner) noexcept {
    // SAFETY: this reclaimer is only ever given to the hook inside a node.
    auto* gone = static_cast<node*>(self);
    if (gone->home.retired_again(runner, gone)) {
        return; // N3
    }
    const std::uint32_t block_class = gone->block_class;
    std::destroy_at(gone);
    runner.deallocate(block_class, gone, sizeof(node), alignof(node));
}

// ---- writers -------------------------------------------------------------------------------------------------------------

/// Puts `next` in the place of `old`, which is `kept`, and retired then; false when another node was there.
template <class T, class Env>
bool snapshot<T, Env>::replace(core::keep<Env>& kept, node* old, draft& next) noexcept {
    next->version.set(old->version.get() + 1);
    node* expected = old;
    // [replace.swap] release: pairs with [domain_keeps:latest.check], [domain_keeps:latest.pinned]
    //   The new node. The old one was acquired when it was read. Failure (relaxed): another node is there, of which we read nothing.  // LP
    if (!current_.compare_exchange_strong(expected, next.get(), Env::release, Env::relaxed)) {
        return false;
    }
    next.published();
    kept.release(); // destructors that run now may have views of their own
    home_.retire_hook(kept.mine(), old);
    return true;
}

template <class T, class Env>
template <class... Args>
    requires std::is_constructible_v<T, Args...>
std::uint64_t snapshot<T, Env>::emplace(Args&&... args) {
    draft next(*this, home_.own_record(), std::forward<Args>(args)...);
    for (;;) {
        core::keep<Env> kept(home_); // anew for each try: a writer that starves keeps nothing for long
        node* const old = kept.latest(current_);
        const std::uint64_t number = old->version.get() + 1;
        if (replace(kept, old, next)) {
            return number;
        }
    }
}

template <class T, class Env>
template <class Change>
    requires(std::is_copy_constructible_v<T> && std::is_invocable_v<Change&, T&>)
std::uint64_t snapshot<T, Env>::update(Change change) {
    for (;;) {
        core::keep<Env> kept(home_);
        node* const old = kept.latest(current_);
        const std::uint64_t number = old->version.get() + 1;
        draft next(*this, kept.mine(), std::as_const(old->value));
        change(next->value);
        if (replace(kept, old, next)) {
            return number;
        }
    }
}

template <class T, class Env>
bool snapshot<T, Env>::compare_and_store(std::uint64_t expected, T&& value)
    requires std::is_nothrow_move_constructible_v<T>
{
    core::keep<Env> kept(home_);
    node* const old = kept.latest(current_);
    if (old->version.get() != expected) {
        return false;
    }
    draft next(*this, kept.mine(), std::move(value));
    if (replace(kept, old, next)) {
        return true;
    }
    core::give_back(value, std::move(next->value));
    return false;
}

} // namespace epoque
