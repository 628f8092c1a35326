// SPDX-License-Identifier: BSL-1.0
/// @file
/// The domain's scenario, for every engine: cells hold pointers to boxes; readers look into boxes inside a guard, writers
/// put new boxes in and retire the old ones. A box that is read after its end shows it: it is wiped, and its two fields
/// no longer fit together.
#pragma once

#include "epoque/domain.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace epoque::stress {

/// Counts boxes that live, so that an engine can tell at the end whether all were freed, and none twice.
template <class Env>
struct box_counter {
    typename Env::template atomic<std::int64_t> live{0};
};

/// What cells point to.
template <class Env>
class box {
  public:
    static box* make(box_counter<Env>& counter, std::uint64_t value) {
        void* memory = Env::allocate(sizeof(box), alignof(box));
        counter.live.fetch_add(1, Env::relaxed);
        // SAFETY: fresh memory of the box's size and alignment.
        return ::new (memory) box(counter, value);
    }
    static void drop(box* gone) noexcept {
        box_counter<Env>& counter = gone->counter_;
        gone->value_.set(wiped);
        gone->mirror_.set(wiped);
        std::destroy_at(gone);
        Env::deallocate(gone, sizeof(box), alignof(box));
        counter.live.fetch_sub(1, Env::relaxed);
    }
    struct deleter {
        void operator()(box* gone) const noexcept { drop(gone); }
    };

    /// Whether this is a box that nobody has destroyed.
    bool is_sound() const { return mirror_.get() == ~value_.get(); }
    std::uint64_t value() const { return value_.get(); }

  private:
    static constexpr std::uint64_t wiped = 0xDBDBDBDBDBDBDBDB;

    box(box_counter<Env>& counter, std::uint64_t value) : counter_(counter), value_(value), mirror_(~value) {}

    box_counter<Env>& counter_;
    typename Env::template var<std::uint64_t> value_;
    typename Env::template var<std::uint64_t> mirror_;
};

/// The scenario's operations. The domain is the caller's, so that engines can look at it and end it when they like.
template <class Env, std::size_t Cells>
class cell_table {
  public:
    using box_type = box<Env>;
    using domain_type = basic_domain<Env>;

    explicit cell_table(domain_type& domain) : domain_(domain) {
        for (auto& cell : cells_) {
            cell.store(box_type::make(counter_, 0), Env::release);
        }
    }
    ~cell_table() {
        for (auto& cell : cells_) {
            box_type::drop(cell.load(Env::acquire));
        }
    }
    cell_table(const cell_table&) = delete;
    cell_table& operator=(const cell_table&) = delete;

    /// Reads a cell inside a guard; `looks` times, so that the reader stays a while. False: a destroyed box was seen.
    bool read(std::size_t cell, unsigned looks = 1) {
        const auto guard = domain_.pin();
        const box_type* found = cells_[cell].load(Env::acquire);
        bool sound = true;
        for (; looks != 0; --looks) {
            sound = sound && found->is_sound();
        }
        return sound;
    }

    /// Puts a new box in and retires the old one.
    void replace(std::size_t cell, std::uint64_t value) { domain_.retire(exchange(cell, value), retire_deleter()); }

    /// Puts a new box in and waits until nobody can look at the old one, then frees it at once.
    void replace_and_wait(std::size_t cell, std::uint64_t value) {
        box_type* old = exchange(cell, value);
        domain_.synchronize();
        box_type::drop(old);
    }

    std::int64_t live() const { return counter_.live.load(Env::acquire); }
    static constexpr std::int64_t cells() { return static_cast<std::int64_t>(Cells); }

  private:
    using retire_deleter = typename box_type::deleter;

    box_type* exchange(std::size_t cell, std::uint64_t value) {
        return cells_[cell].exchange(box_type::make(counter_, value), Env::acq_rel);
    }

    domain_type& domain_;
    box_counter<Env> counter_;
    std::array<typename Env::template atomic<box_type*>, Cells> cells_{};
};

} // namespace epoque::stress
