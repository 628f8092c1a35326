// SPDX-License-Identifier: BSL-1.0
/// @file
/// The object table's scenario, for every engine: objects that know the handle they were created under. A look-up must
/// find that very object or nothing; an object that is used after its end shows it.
#pragma once

#include "epoque/object_table.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>

namespace epoque::stress {

/// Carries its handle's number twice; wiped at its end. Its memory is the Env's, so that engines watch it.
template <class Env>
class named_object {
  public:
    using counter = typename Env::template atomic<std::int64_t>;

    named_object(counter& live, std::uint64_t name) : live_(live), name_(name), mirror_(~name) {
        live_.fetch_add(1, Env::relaxed);
    }
    ~named_object() {
        name_.set(wiped);
        mirror_.set(wiped);
        live_.fetch_sub(1, Env::relaxed);
    }
    named_object(const named_object&) = delete;
    named_object& operator=(const named_object&) = delete;

    bool is(std::uint64_t name) const { return name_.get() == name && mirror_.get() == ~name; }
    bool is_sound() const { return mirror_.get() == ~name_.get(); }

    static void* operator new(std::size_t bytes) { return Env::allocate(bytes, alignof(named_object)); }
    static void operator delete(void* block, std::size_t bytes) noexcept {
        Env::deallocate(block, bytes, alignof(named_object));
    }

  private:
    static constexpr std::uint64_t wiped = 0xDBDBDBDBDBDBDBDB;

    counter& live_;
    typename Env::template var<std::uint64_t> name_;
    typename Env::template var<std::uint64_t> mirror_;
};

/// A table, and for each of a few desks the handle that lies there now. Each operation answers whether all was sound.
template <class Env, std::size_t Desks>
class desk_table {
  public:
    using object = named_object<Env>;
    using table_type = object_table<object, Env>;
    static constexpr std::uint8_t kind = 1;

    explicit desk_table(basic_domain<Env>& domain) : domain_(domain), table_(domain) {}

    /// Creates an object and puts it on the desk; whatever lay there before is destroyed.
    bool create(std::size_t desk, std::uint64_t name) {
        auto made = std::make_unique<object>(live_, name);
        const std::uint64_t handle = table_.create(kind, made);
        if (handle == 0) {
            return made != nullptr; // full: the object must still be ours
        }
        return put(desk, label::make(handle, name));
    }

    /// Looks the desk's object up.
    bool look(std::size_t desk) {
        std::uint64_t handle = 0;
        std::uint64_t name = 0;
        {
            const auto pinned = domain_.pin();
            const label* there = desks_[desk].load(Env::acquire);
            if (there == nullptr) {
                return true;
            }
            handle = there->handle;
            name = there->name;
        }
        typename table_type::keep held(domain_);
        object* found = nullptr;
        return table_.find(held, handle, kind, found) != find_status::found || found->is(name);
    }

    /// A handle of another kind or generation finds nothing.
    bool look_wrongly(std::size_t desk) {
        const auto pinned = domain_.pin();
        const label* there = desks_[desk].load(Env::acquire);
        object* found = nullptr;
        return there == nullptr ||
               (table_.find(there->handle, kind + 1, found) != find_status::found &&
                table_.find(there->handle + 1, kind, found) == find_status::stale && found == nullptr);
    }

    /// Looks up whatever a slot holds now, by a handle that nobody handed over: only the table orders the two threads.
    bool look_at_slot(std::uint32_t index) {
        typename table_type::keep held(domain_);
        const std::uint64_t handle = table_.handle_at(index);
        object* found = nullptr;
        return handle == 0 || table_.find(held, handle, kind, found) != find_status::found || found->is_sound();
    }

    /// Clears the desk and destroys its object.
    bool destroy(std::size_t desk) { return put(desk, nullptr); }

    /// Two threads may try; exactly one of them succeeds. Returns whether it was this one.
    bool try_destroy(std::uint64_t handle) {
        typename table_type::keep held(domain_);
        object* found = nullptr;
        return table_.destroy(held, handle, kind, found) == find_status::found;
    }

    table_type& table() noexcept { return table_; }
    typename object::counter& live_counter() noexcept { return live_; }
    std::int64_t live_objects() const { return live_.load(Env::acquire); }

  private:
    /// What lies on a desk: immutable, so that handle and name belong together.
    struct label {
        static label* make(std::uint64_t handle, std::uint64_t name) {
            // SAFETY: fresh memory of the label's size and alignment.
            return ::new (Env::allocate(sizeof(label), alignof(label))) label{handle, name};
        }
        struct deleter {
            void operator()(label* gone) const noexcept { Env::deallocate(gone, sizeof(label), alignof(label)); }
        };
        std::uint64_t handle;
        std::uint64_t name;
    };

    // Only the thread that took a label from its desk destroys the handle, so that must still be live.
    bool put(std::size_t desk, label* next) {
        label* old = desks_[desk].exchange(next, Env::acq_rel);
        if (old == nullptr) {
            return true;
        }
        bool sound = false;
        {
            typename table_type::keep held(domain_);
            object* found = nullptr;
            sound = table_.destroy(held, old->handle, kind, found) == find_status::found && found->is(old->name) &&
                    table_.find(held, old->handle, kind, found) == find_status::stale;
        }
        domain_.retire(old, typename label::deleter());
        return sound;
    }

    basic_domain<Env>& domain_;
    typename object::counter live_{0};
    table_type table_;
    typename Env::template atomic<label*> desks_[Desks] = {};
};

} // namespace epoque::stress
