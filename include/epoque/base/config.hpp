// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: base. Depends on: nothing.
///
/// The only file of epoque that defines macros or asks which compiler, system or standard library it is built with.
#pragma once

#include <cstddef>
#include <version>

#define EPOQUE_VERSION_MAJOR 0
#define EPOQUE_VERSION_MINOR 1
#define EPOQUE_VERSION_PATCH 0

// std::expected, where the standard library has it; base/expected.hpp brings a shim where it has not.
#if defined(__cpp_lib_expected) && __cpp_lib_expected >= 202202L
#define EPOQUE_HAS_STD_EXPECTED 1
#else
#define EPOQUE_HAS_STD_EXPECTED 0
#endif

// One `pause`-like hint to the core: lets a sibling hardware thread run, and ends speculation on the awaited line.
#if defined(__x86_64__) || defined(__i386__)
#define EPOQUE_CPU_RELAX() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define EPOQUE_CPU_RELAX() __asm__ __volatile__("isb" ::: "memory")
#else
#define EPOQUE_CPU_RELAX() __asm__ __volatile__("" ::: "memory")
#endif

// A thread-local that is reached by one instruction relative to the thread pointer, also from a shared library.
#define EPOQUE_TLS_INITIAL_EXEC __attribute__((tls_model("initial-exec")))

// Keeps a rare path out of the caller's body, so that the fast path stays small enough to be inlined.
#define EPOQUE_COLD __attribute__((noinline, cold))
// The same for a path that is not rare, only long: `cold` would have it compiled for size.
#define EPOQUE_NOINLINE __attribute__((noinline))
// A small object lives in registers only where none of its members is called.
#define EPOQUE_ALWAYS_INLINE __attribute__((always_inline))

namespace epoque {

/// Distance that keeps two words from sharing a cache line *or* the adjacent line that x86 prefetches with it. Bytes.
inline constexpr std::size_t interference_size = 128;

} // namespace epoque
