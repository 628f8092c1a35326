// SPDX-License-Identifier: BSL-1.0
/// @file
/// The memory of one execution under the model checker. Relacy's own heap gives other addresses in a replay than in the
/// first run, and a structure may look at addresses (to spread threads over places, to hash); this one gives the same.
/// Freed blocks are wiped and, mostly, handed out again as soon as possible: ABA wants reuse.
#pragma once

#include "relacy.hpp"

#include <sys/mman.h>

namespace epoque::stress::model {

class heap {
  public:
    static heap& instance() {
        static heap only;
        return only;
    }

    /// Forgets everything; the previous execution may have failed anywhere.
    void begin_execution() noexcept {
        used_ = 0;
        count_ = 0;
    }
    std::size_t live() const noexcept {
        return static_cast<std::size_t>(std::count_if(blocks_.begin(),
                                                      blocks_.begin() + static_cast<std::ptrdiff_t>(count_),
                                                      [](const block& each) { return each.live; }));
    }

    /// Null when the execution used up the arena, which only an endless one does.
    void* allocate(std::size_t bytes, std::size_t align) {
        for (std::size_t i = count_; i-- > 0;) {
            block& each = blocks_[i];
            if (!each.live && each.bytes == bytes && each.align == align) {
                if (rl::ctx().rand(4, rl::sched_type_mem_realloc) != 0) {
                    each.live = true;
                    return arena_ + each.start;
                }
                break;
            }
        }
        const std::size_t step = std::max<std::size_t>(align, alignof(std::max_align_t));
        const std::size_t start = (used_ + step - 1) / step * step;
        if (count_ == blocks_.size() || start + bytes > arena_bytes) {
            return nullptr;
        }
        blocks_[count_++] = {start, bytes, align, true};
        used_ = start + bytes;
        return arena_ + start;
    }

    /// False: no such block is allocated.
    bool deallocate(void* memory, std::size_t bytes, std::size_t align) noexcept {
        for (std::size_t i = count_; i-- > 0;) {
            block& each = blocks_[i];
            if (arena_ + each.start == memory) {
                const bool fits = each.live && each.bytes == bytes && each.align == align;
                each.live = each.live && !fits;
                if (fits) {
                    std::memset(memory, 0xDB, bytes);
                }
                return fits;
            }
        }
        return false;
    }

  private:
    struct block {
        std::size_t start;
        std::size_t bytes;
        std::size_t align;
        bool live;
    };
    static constexpr std::size_t arena_bytes = std::size_t{1} << 24;
    static constexpr std::uintptr_t arena_address = 0x2000'0000'0000;

    heap() {
        // SAFETY: only a hint of an address; the kernel refuses where something else lies there.
        void* const wanted = reinterpret_cast<void*>(arena_address);
        void* const got = ::mmap(wanted, arena_bytes, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
        if (got != wanted) {
            std::fputs("model: the arena's address is taken; replays need it\n", stderr);
            std::abort();
        }
        arena_ = static_cast<std::byte*>(got);
    }

    std::byte* arena_ = nullptr;
    std::size_t used_ = 0;
    std::size_t count_ = 0;
    std::array<block, 4096> blocks_{};
};

} // namespace epoque::stress::model
