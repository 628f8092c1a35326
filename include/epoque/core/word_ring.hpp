// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: structures. Depends on: domain (core/record.hpp).
///
/// The memory of a work-stealing deque: atomic words behind a hook, a power of two of them, found by index. Who may read or
/// write which word when is the deque's business; so is the retirement of a ring that was outgrown.
#pragma once

#include "epoque/core/record.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <type_traits>

namespace epoque::core {

template <class T, class Env>
class word_ring : public retired<Env> { // the hook is used once, when the ring is outgrown
    using hook = retired<Env>;
    using word = typename Env::template atomic<T>;

  public:
    /// `memory` is the domain, or its pool: whoever made a ring ends it by either. Precondition: `slots` is a power of two.
    /// Throws: bad_alloc.
    template <class Memory>
    static word_ring* make(Memory& memory, std::uint64_t slots);
    template <class Memory>
    static void destroy(Memory& memory, word_ring* gone) noexcept;

    std::uint64_t slots() const noexcept { return mask_ + 1; }

    /// The slot of an index.
    word& operator[](std::uint64_t index) noexcept {
        // SAFETY: make() built a word at each of these addresses.
        return *std::launder(reinterpret_cast<word*>(reinterpret_cast<std::byte*>(this) + first_slot() +
                                                     (index & mask_) * sizeof(word)));
    }

  private:
    explicit word_ring(std::uint64_t slots) noexcept
        : hook(&end, clamped(bytes_for(slots)), unpooled), mask_(slots - 1) {}

    static void end(hook* self, record<Env>& runner) noexcept {
        // SAFETY: this reclaimer is only ever given to the hook inside a ring.
        destroy(runner.pool, static_cast<word_ring*>(self));
    }

    static constexpr std::size_t align() noexcept { return std::max(alignof(word_ring), alignof(word)); }
    static constexpr std::size_t first_slot() noexcept {
        return (sizeof(word_ring) + alignof(word) - 1) / alignof(word) * alignof(word);
    }
    static constexpr std::size_t bytes_for(std::uint64_t slots) noexcept {
        return first_slot() + static_cast<std::size_t>(slots) * sizeof(word);
    }
    static constexpr std::uint32_t clamped(std::size_t bytes) noexcept { // a figure for the domain's statistics
        return static_cast<std::uint32_t>(std::min<std::size_t>(bytes, std::numeric_limits<std::uint32_t>::max()));
    }

    const std::uint64_t mask_;
};

template <class T, class Env>
template <class Memory>
auto word_ring<T, Env>::make(Memory& memory, std::uint64_t slots) -> word_ring* {
    void* block = memory.allocate(bytes_for(slots), align());
    // SAFETY: a fresh block, large enough for the header and the words behind it, aligned for both.
    auto* made = ::new (block) word_ring(slots);
    for (std::uint64_t index = 0; index < slots; ++index) {
        // SAFETY: as above; each word lies in the block.
        ::new (static_cast<std::byte*>(block) + first_slot() + index * sizeof(word)) word(T());
    }
    return made;
}

template <class T, class Env>
template <class Memory>
void word_ring<T, Env>::destroy(Memory& memory, word_ring* gone) noexcept {
    const std::uint64_t slots = gone->slots();
    if constexpr (!std::is_trivially_destructible_v<word>) {
        for (std::uint64_t index = 0; index < slots; ++index) {
            std::destroy_at(&(*gone)[index]);
        }
    }
    std::destroy_at(gone);
    memory.deallocate(gone, bytes_for(slots), align());
}

} // namespace epoque::core
