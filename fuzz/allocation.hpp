// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: outside. Depends on: nothing. The operators new and delete of the whole program are in allocation.cpp.
///
/// `bad_alloc` at an allocation of the input's choice.
#pragma once

namespace epoque::fuzz {

/// While one lives, the `nth` operator new of this thread (1: the next) throws bad_alloc; those before and after don't.
/// 0: none does. They do not nest.
class failing_allocation {
  public:
    explicit failing_allocation(unsigned nth) noexcept;
    failing_allocation(const failing_allocation&) = delete;
    failing_allocation& operator=(const failing_allocation&) = delete;
    ~failing_allocation();

    /// Whether it has come to that.
    static bool happened() noexcept;
};

/// While one lives, this thread's allocations succeed, also under a failing_allocation, which waits meanwhile: for what the
/// structure calls back, such as a deleter, and what is not its own allocation.
class allocations_succeed {
  public:
    allocations_succeed() noexcept;
    allocations_succeed(const allocations_succeed&) = delete;
    allocations_succeed& operator=(const allocations_succeed&) = delete;
    ~allocations_succeed();

  private:
    const unsigned kept_;
};

} // namespace epoque::fuzz
