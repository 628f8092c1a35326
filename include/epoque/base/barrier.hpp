// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: base. Depends on: nothing of epoque. The operating system's part is in src/barrier.cpp, and nowhere else.
///
/// Asymmetric barriers: `light()` costs nothing and stands on the fast path, `heavy()` costs a system call (250 ns to
/// 2 us) and stands on the rare path that has to know what the fast paths of all other threads did.
///
///     thread A (often)                 thread B (rarely)
///       store x                          store y
///       light()                          heavy()
///       load  y                          load  x        at least one of the two loads sees the other's store
///
/// Axioms, on which every proof in docs/memory-model.md rests. For a heavy barrier H and a light barrier L of another
/// thread:
///   B1  L is before H or after H; this agrees with both threads' program order.
///   B2  If L is before H, everything before L in its thread happens before everything after H in its thread; if L is
///       after H, everything before H happens before everything after L.
/// Nothing orders two light barriers, not even a heavy one that comes after the first and before the second: a heavy
/// barrier is no point in time, it meets each core at a moment of its own.
///
/// Where the kernel has `membarrier(PRIVATE_EXPEDITED)`, `light()` is a compiler barrier: between the call and the return
/// of `heavy()` the kernel runs a full fence on each core that runs a thread of this process, between two of its
/// instructions, hence before or after any light barrier in program order, never "in" it (membarrier(2)).
///
/// Where it has not (old kernel, seccomp, another system), there are no barriers at all: every publish-and-check pair
/// becomes two read-modify-writes of *one and the same word*, which are totally ordered by that word's modification
/// order and synchronize (acquire/release). That needs no fence, so ThreadSanitizer checks it and it holds on every
/// memory model. See `std_env` for the three operations that make the choice, and docs/memory-model.md#barriers.
///
/// The mode is decided once, before the first pin, and never changes. `EPOQUE_BARRIER=fallback` in the environment
/// forces the second one.
#pragma once

#include <atomic>
#include <cstdint>

namespace epoque::barrier {

/// Whether light/heavy pairs are available. Decides on the first call; the answer never changes afterwards.
/// Progress: blocking on the first call (a system call), wait-free afterwards.
bool asymmetric() noexcept;

/// The cheap side. A compiler barrier; only meaningful when `asymmetric()`.
inline void light() noexcept {
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

/// The dear side. Returns whether the barrier took place: `false` (not `asymmetric()`, or a seccomp filter that was
/// installed after start-up refuses the call) must never be treated as done.
/// Progress: lock-free modulo the kernel's own membarrier lock, which serialises callers. Complexity: 250 ns to 2 us.
bool heavy() noexcept;

/// For a fork's child: registers the new process, if `asymmetric()`. (Linux hands the registration on, but no document says
/// so.) A refusal shows in `heavy()`.
void after_fork() noexcept;

/// How often `heavy()` was called and how often the kernel refused, since the process began.
struct counters {
    std::uint64_t heavy;
    std::uint64_t refused;
};
counters was_called() noexcept;

} // namespace epoque::barrier
