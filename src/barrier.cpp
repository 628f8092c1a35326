// SPDX-License-Identifier: BSL-1.0
/// @file
/// The operating system's half of base/barrier.hpp: registers for membarrier once, and calls it.
#include "epoque/base/barrier.hpp"

#include <cstdlib>
#include <string_view>

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace epoque::barrier {
namespace {

enum class mode : std::uint8_t { undecided, asymmetric, fallback };
constinit std::atomic<mode> decided{mode::undecided}; // no function's static: a fork may happen while one is made

std::atomic<std::uint64_t> calls{0};
std::atomic<std::uint64_t> refusals{0};

bool membarrier(int command) noexcept {
    return ::syscall(SYS_membarrier, command, 0U, 0) == 0;
}

mode decide() noexcept {
    const char* wish =
        std::getenv("EPOQUE_BARRIER"); // NOLINT(concurrency-mt-unsafe): read once, nothing here writes it
    if (wish != nullptr && std::string_view(wish) == "fallback") {
        return mode::fallback;
    }
    // A kernel may know the command and still refuse it (seccomp), so it is tried once before anything relies on it.
    const bool works =
        membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) && membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    return works ? mode::asymmetric : mode::fallback;
}

} // namespace

bool asymmetric() noexcept {
    // [mode.look] relaxed: the word is all there is to the decision.
    mode known = decided.load(std::memory_order_relaxed);
    if (known == mode::undecided) [[unlikely]] {
        const mode found = decide();
        // [mode.decide] relaxed: as [mode.look]; who comes second takes the first one's decision.
        if (decided.compare_exchange_strong(known, found, std::memory_order_relaxed, std::memory_order_relaxed)) {
            known = found;
        }
    }
    return known == mode::asymmetric;
}

void after_fork() noexcept {
    // [fork.mode] relaxed: as [mode.look].
    if (decided.load(std::memory_order_relaxed) == mode::asymmetric) {
        membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
    }
}

bool heavy() noexcept {
    // [heavy.count] relaxed: a statistic.
    calls.fetch_add(1, std::memory_order_relaxed);
    if (asymmetric() && membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)) {
        return true;
    }
    // [heavy.refused] relaxed: a statistic.
    refusals.fetch_add(1, std::memory_order_relaxed);
    return false;
}

counters was_called() noexcept {
    // [heavy.read] relaxed: statistics.
    return {calls.load(std::memory_order_relaxed), refusals.load(std::memory_order_relaxed)};
}

} // namespace epoque::barrier
