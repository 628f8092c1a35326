// SPDX-License-Identifier: BSL-1.0
/// @file
/// Replaces the global operators new and delete, so that an allocation can fail where the input says. Below them is
/// malloc, which a sanitizer watches as always.
#include "allocation.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>

namespace epoque::fuzz {
namespace {

thread_local unsigned left = 0; // until the one that fails; 0: none will
thread_local bool failed = false;

void* obtain(std::size_t bytes, std::size_t align) {
    if (left != 0) {
        --left;
        if (left == 0) {
            failed = true;
            throw std::bad_alloc();
        }
    }
    bytes = std::max<std::size_t>(bytes, 1);
    void* block = align <= alignof(std::max_align_t) ? std::malloc(bytes)
                                                     : std::aligned_alloc(align, (bytes + align - 1) / align * align);
    if (block == nullptr) {
        throw std::bad_alloc();
    }
    return block;
}

} // namespace

failing_allocation::failing_allocation(unsigned nth) noexcept {
    left = nth;
    failed = false;
}
failing_allocation::~failing_allocation() {
    left = 0;
}
bool failing_allocation::happened() noexcept {
    return failed;
}

allocations_succeed::allocations_succeed() noexcept : kept_(std::exchange(left, 0)) {}
allocations_succeed::~allocations_succeed() {
    left = kept_;
}

} // namespace epoque::fuzz

// NOLINTBEGIN(cppcoreguidelines-no-malloc,misc-new-delete-overloads): these are the operators themselves
void* operator new(std::size_t bytes) {
    return epoque::fuzz::obtain(bytes, 1);
}
void* operator new(std::size_t bytes, std::align_val_t align) {
    return epoque::fuzz::obtain(bytes, static_cast<std::size_t>(align));
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
    try {
        return epoque::fuzz::obtain(bytes, 1);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}
void operator delete(void* block) noexcept {
    std::free(block);
}
void operator delete(void* block, std::size_t) noexcept {
    std::free(block);
}
void operator delete(void* block, const std::nothrow_t&) noexcept {
    std::free(block);
}
void operator delete(void* block, std::align_val_t) noexcept {
    std::free(block);
}
void operator delete(void* block, std::size_t, std::align_val_t) noexcept {
    std::free(block);
}
// NOLINTEND(cppcoreguidelines-no-malloc,misc-new-delete-overloads)
