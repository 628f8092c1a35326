// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: domain. Depends on: base (the Env is a parameter).
///
/// Memory for segments and nodes, kept by the domain: a magazine per thread and size, and a small depot between them
/// (after Bonwick's magazines and depots, USENIX 2001).
///
///     thread's magazine:   block -> block -> ...   fewer than 2 bundles; owned by the record's owner, no atomics
///     depot, per size:     [bundle][     ][bundle]...   exchange takes a bundle out, a CAS of null puts one in
///
/// Invariants:
///   P1  A block is in one place: in use, in one magazine, or in one bundle of the depot.
///   P2  Nobody looks into a block of the depot: bundles travel by pointer only, so there is no ABA and no access to
///       memory that another thread already uses again.
///   P3  The depot keeps at most `places(size)` bundles of a size, 8 to 32 and about 1 MiB; what is more goes back to the
///       allocator. So what a domain retains of a size is bounded: places + 2 for each thread, in bundles of at most
///       `bundle_bytes`, or of one block where that is larger. Blocks above `largest_block` are never kept. It is enough
///       for one thread's epoch (Env::advance_objects, advance_bytes), so that steady use allocates nothing.
///   P4  trim() empties the depot at once, and each magazine before its owner's next look for garbage (`trim_mine`).
///
/// Memory comes from a std::pmr::memory_resource where the domain was given one, else from Env.
///
/// Sizes are exact, not rounded: a structure registers its block size and gets a class number. When all `classes` are
/// taken, or where `Env::pooling` is false, blocks come from and go to the allocator directly (class `unpooled`).
///
/// Progress: wait-free, but for the allocator. Complexity: O(1), a depot visit per bundle is O(depot_bundles).
#pragma once

#include "epoque/base/config.hpp"
#include "epoque/core/garbage.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <new>
#include <utility>

namespace epoque::core {

/// The sizes and the depot of one domain.
template <class Env>
class pool {
    struct block {
        block* next;
    };

  public:
    static constexpr std::uint32_t classes = 32;
    static constexpr std::size_t depot_bundles = 32;
    static constexpr std::size_t depot_bytes = std::size_t{1} << 20;
    static constexpr std::size_t bundle_bytes = std::size_t{1} << 14;
    static constexpr std::size_t bundle_blocks = 512; // what a limbo gives back at once (domain_hazards.hpp)
    static constexpr std::size_t largest_block = std::size_t{1} << 17;

    /// One thread's free blocks. Owned with the record it lies in.
    class magazine {
        friend class pool;
        block* first_[classes] = {};
        std::uint32_t count_[classes] = {};
        std::uint32_t trims_ = 0; // of the pool's, when this was emptied for the last time
    };

    /// Null: Env's allocator.
    explicit pool(std::pmr::memory_resource* memory = nullptr) noexcept : memory_(memory) {}
    pool(const pool&) = delete;
    pool& operator=(const pool&) = delete;
    ~pool() {
        for (std::uint32_t index = 0; index < classes; ++index) {
            for (auto& place : shelves_[index].bundles) {
                // [dtor.shelf] relaxed: destruction is exclusive, whoever ordered it ordered all use before it.
                give_back(index, place.load(Env::relaxed));
            }
        }
    }

    /// Memory that no pool keeps. Throws: bad_alloc, or what the resource throws.
    void* allocate(std::size_t bytes, std::size_t align) {
        return memory_ != nullptr ? memory_->allocate(bytes, align) : Env::allocate(bytes, align);
    }
    /// The same back; also a block of any class.
    void deallocate(void* memory, std::size_t bytes, std::size_t align) noexcept {
        if (memory_ != nullptr) {
            memory_->deallocate(memory, bytes, align);
        } else {
            Env::deallocate(memory, bytes, align);
        }
    }

    static constexpr std::uint32_t bundle_size(std::size_t bytes) noexcept {
        // About bundle_bytes; no division on the path of every free.
        return static_cast<std::uint32_t>(
            std::clamp<std::size_t>(bundle_bytes >> std::bit_width(bytes - 1), 1, bundle_blocks));
    }
    /// How many bundles of blocks of this size the depot keeps.
    static constexpr std::size_t places(std::size_t bytes) noexcept {
        return std::clamp<std::size_t>(depot_bytes / (bundle_size(bytes) * bytes), 8, depot_bundles);
    }

    /// The class of blocks of this size and alignment, made where there is none yet.
    std::uint32_t class_of(std::size_t bytes, std::size_t align) noexcept {
        if (!Env::pooling || bytes > largest_block || align > 0xffff) { // the shape word has 16 bits for the alignment
            return unpooled;
        }
        const std::uint64_t wanted = (std::uint64_t{bytes} << 16) | align;
        for (std::uint32_t index = 0; index < classes; ++index) {
            auto& shape = shelves_[index].shape;
            // [class.find] relaxed: the word is all there is to a class; nothing else is published with it.
            std::uint64_t found = shape.load(Env::relaxed);
            if (found == 0) {
                // [class.claim] relaxed: as [class.find].
                if (shape.compare_exchange_strong(found, wanted, Env::relaxed, Env::relaxed)) {
                    return index;
                }
            }
            if (found == wanted) {
                return index;
            }
        }
        return unpooled;
    }

    /// A block for the class, its content undefined. Throws: bad_alloc.
    void* allocate(magazine& mine, std::uint32_t index, std::size_t bytes, std::size_t align) {
        if (index == unpooled) {
            return allocate(bytes, align);
        }
        if (mine.first_[index] == nullptr && !refill(mine, index)) {
            return allocate(bytes, align);
        }
        block* taken = mine.first_[index];
        mine.first_[index] = taken->next;
        --mine.count_[index];
        Env::fork_point(); // before the caller writes over the link
        return taken;
    }

    /// Takes a block back; nobody else may be able to reach it.
    void deallocate(magazine& mine, std::uint32_t index, void* memory, std::size_t bytes, std::size_t align) noexcept {
        if (index == unpooled) {
            deallocate(memory, bytes, align);
            return;
        }
        // SAFETY: the block is at least a pointer large and aligned (class_of's callers), and ours alone.
        block* const given = ::new (memory) block{mine.first_[index]};
        Env::fork_point();
        mine.first_[index] = given;
        if (++mine.count_[index] >= 2 * bundle_size(bytes)) {
            store_bundle(mine, index, bytes);
        }
    }

    /// Makes the magazine whole that a thread was changing when a fork left it behind: as garbage_list::mend, the chains
    /// are whole at each moment, and no block is in two places.
    void mend(magazine& left) noexcept {
        for (std::uint32_t index = 0; index < classes; ++index) {
            left.count_[index] = 0;
            for (const block* each = left.first_[index]; each != nullptr; each = each->next) {
                ++left.count_[index];
            }
        }
    }

    /// Empties a magazine into the allocator. It forgets the blocks first: the allocator writes over their links, and a fork's
    /// child, or a memory resource that uses this pool, must not find them here meanwhile.
    void drain(magazine& mine) noexcept {
        for (std::uint32_t index = 0; index < classes; ++index) {
            block* const chain = std::exchange(mine.first_[index], nullptr);
            mine.count_[index] = 0;
            Env::fork_point();
            give_back(index, chain);
        }
    }

    /// Empties the depot into the allocator, and asks the owners of all magazines to do the same with theirs.
    void trim() noexcept {
        // [trim.ask] relaxed: only asks; nothing is published with it.
        trims_.fetch_add(1, Env::relaxed);
        for (std::uint32_t index = 0; index < classes; ++index) {
            for (auto& place : shelves_[index].bundles) {
                // [trim.peek] relaxed: as [refill.peek].
                if (place.load(Env::relaxed) != nullptr) {
                    // [trim.take] acquire: pairs with [bundle.put]
                    //   As [refill.take].
                    give_back(index, place.exchange(nullptr, Env::acquire));
                }
            }
        }
    }

    /// Empties the magazine where trim() has asked since the last time; for its owner.
    void trim_mine(magazine& mine) noexcept {
        // [trim.look] relaxed: a late answer is one later.
        const std::uint32_t trims = trims_.load(Env::relaxed);
        if (mine.trims_ != trims) [[unlikely]] {
            mine.trims_ = trims;
            drain(mine);
        }
    }

  private:
    struct alignas(interference_size) shelf {
        typename Env::template atomic<std::uint64_t> shape{0}; // bytes << 16 | alignment; 0 while the class is free
        typename Env::template atomic<block*> bundles[depot_bundles] = {};
    };

    bool refill(magazine& mine, std::uint32_t index) noexcept {
        for (auto& place : shelves_[index].bundles) {
            // [refill.peek] relaxed: only a hint; [refill.take] decides.
            if (place.load(Env::relaxed) == nullptr) {
                continue;
            }
            // [refill.take] acquire: pairs with [bundle.put]
            //   The links inside the bundle, and every use of its blocks, must be over before we use them.
            if (block* bundle = place.exchange(nullptr, Env::acquire); bundle != nullptr) {
                mine.first_[index] = bundle;
                for (; bundle != nullptr; bundle = bundle->next) {
                    ++mine.count_[index];
                }
                return true;
            }
        }
        return false;
    }

    void store_bundle(magazine& mine, std::uint32_t index, std::size_t bytes) noexcept {
        const std::uint32_t size = bundle_size(bytes);
        block* bundle = mine.first_[index];
        block* last = bundle;
        for (std::uint32_t i = 1; i < size; ++i) {
            last = last->next;
        }
        mine.first_[index] = last->next;
        mine.count_[index] -= size;
        Env::fork_point();
        last->next = nullptr;
        for (std::size_t i = 0; i < places(bytes); ++i) {
            auto& place = shelves_[index].bundles[i];
            block* none = nullptr;
            // [bundle.peek] relaxed: only a hint; [bundle.put] decides.
            if (place.load(Env::relaxed) != nullptr) {
                continue;
            }
            // [bundle.put] release: pairs with [refill.take], [trim.take]
            //   Whoever takes the bundle must see its links and the end of every use of its blocks. On failure
            //   (relaxed) the next place is tried; nothing was read.
            if (place.compare_exchange_strong(none, bundle, Env::release, Env::relaxed)) {
                return;
            }
        }
        give_back(index, bundle);
    }

    void give_back(std::uint32_t index, block* chain) noexcept {
        // [give.shape] relaxed: the word never changes once the class has blocks, and we hold one of them.
        const std::uint64_t shape = shelves_[index].shape.load(Env::relaxed);
        while (chain != nullptr) {
            block* next = chain->next;
            deallocate(chain, shape >> 16, shape & 0xffff);
            chain = next;
        }
    }

    std::pmr::memory_resource* const memory_;
    typename Env::template atomic<std::uint32_t> trims_{0};
    shelf shelves_[classes];
};

} // namespace epoque::core
