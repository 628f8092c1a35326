// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: ffi. Depends on: call.hpp, objects.hpp, bounded_objects.hpp, object_table.hpp.
///
/// What there is once in a process, and how a call gets from a handle to its object.
#pragma once

#include "bounded_objects.hpp"
#include "call.hpp"
#include "epoque.h"
#include "notifier.hpp"
#include "objects.hpp"

#include "epoque/base/config.hpp"
#include "epoque/domain.hpp"
#include "epoque/object_table.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <memory>

#include <sys/random.h>

namespace epoque::ffi {

/// What there is once in a process: the table and the notifier, over the default domain.
class library {
  public:
    /// Throws: bad_alloc, system_error (as domain's constructor), on the first call.
    static library& instance() {
        // Never destroyed: threads of another runtime may call until the process ends.
        // Not made under a lock: a fork while another thread makes it would keep the child waiting.
        constinit static std::atomic<library*> only{nullptr};
        // [library.look] acquire: pairs with [library.make]
        //   It was built before it was published.
        library* found = only.load(std::memory_order_acquire);
        if (found == nullptr) [[unlikely]] {
            std::unique_ptr<library> fresh(new library);
            // [library.make] acq_rel: pairs with [library.look]
            //   As [library.look]. Failure (acquire): another thread's.
            if (only.compare_exchange_strong(found, fresh.get(), std::memory_order_acq_rel,
                                             std::memory_order_acquire)) {
                found = fresh.release();
            }
        }
        return *found;
    }

    domain& home() noexcept { return home_; }
    object_table<object>& table() noexcept { return table_; }
    notifier<>& announcer() noexcept { return announcer_; }

  private:
    library() : home_(default_domain()), table_(home_, seed()) {}

    /// Where generations begin: a number of an earlier run is not valid in this one. Below 2^31, so that each slot has
    /// at least 2^30 lives.
    static std::uint32_t seed() noexcept {
        std::uint32_t random = 0;
        if (::getrandom(&random, sizeof random, 0) != static_cast<ssize_t>(sizeof random)) {
            timespec time{}; // no /dev/urandom and no system call: the clock is enough against mistakes
            ::clock_gettime(CLOCK_REALTIME, &time);
            random = static_cast<std::uint32_t>(time.tv_nsec) * 2654435761U;
        }
        return random & 0x7ffffffeU;
    }

    domain& home_;
    object_table<object> table_;
    notifier<> announcer_;
};

/// What a call keeps of the table: the object that it works on.
using keep = object_table<object>::keep;
using rights = object_table<object>::rights_type;

/// Looks a handle up for `about`. OK, and `out`, for as long as `held` lives; or, said: STALE; KIND; RIGHTS, when it lacks one of
/// `needs`.
template <class Kind>
epq_status find(const call& about, keep& held, Kind*& out, rights needs) noexcept;

/// What a handle may be good for, EPQ_RIGHT_ bits as the table has them.
constexpr rights right(unsigned bits) noexcept {
    return static_cast<rights>(bits);
}

/// The rights in words, for a message; no longer than the five of them.
struct rights_text {
    explicit rights_text(unsigned bits) noexcept {
        static constexpr const char* words[] = {"send", "receive", "close", "observe", "destroy"};
        std::size_t length = 0;
        for (const char* word : words) {
            if ((bits & 1U) != 0) {
                const int written =
                    std::snprintf(text + length, sizeof text - length, "%s%s", length == 0 ? "" : ", ", word);
                length += written > 0 ? static_cast<std::size_t>(written) : 0;
            }
            bits >>= 1;
        }
    }
    char text[48] = {};
};

inline const char* word_of(std::uint64_t handle) noexcept {
    switch (handle_parts::of(handle).kind) {
    case EPQ_KIND_QUEUE:
        return queue_object::word;
    case EPQ_KIND_STACK:
        return stack_object::word;
    case EPQ_KIND_BOUNDED:
        return bounded_object::word;
    case EPQ_KIND_SPSC:
        return spsc_object::word;
    default:
        return "handle of an unknown kind";
    }
}

/// Says which of `needs` the handle lacks. (Of all of them, when it is not live any more.)
EPOQUE_COLD inline epq_status no_right(const call& about, rights needs) noexcept {
    const unsigned has = library::instance().table().was_rights(about.handle());
    const rights_text lacks(needs & ~has);
    return about.fail(EPQ_RIGHTS, "0x%016llx has no right to %s. Use one that has.",
                      static_cast<unsigned long long>(about.handle()), lacks.text);
}

/// Says STALE, KIND or RIGHTS.
template <class Kind>
EPOQUE_COLD epq_status not_found(const call& about, find_status why, rights needs) noexcept {
    if (why == find_status::no_right) {
        return no_right(about, needs);
    }
    const auto bits = static_cast<unsigned long long>(about.handle());
    if (why == find_status::wrong_kind) {
        return about.fail(EPQ_KIND, "0x%016llx is a %s, not a %s. Use the functions of its kind.", bits,
                          word_of(about.handle()), Kind::word);
    }
    return about.fail(EPQ_STALE, "%s 0x%016llx is not live: destroyed, or never created here. Drop it.", Kind::word,
                      bits);
}

template <class Kind>
epq_status find(const call& about, keep& held, Kind*& out, rights needs) noexcept {
    object* found = nullptr;
    const find_status status = library::instance().table().find(held, about.handle(), Kind::kind, found, needs);
    if (status != find_status::found) [[unlikely]] {
        return not_found<Kind>(about, status, needs);
    }
    out = static_cast<Kind*>(found); // the kind in the slot's word says so
    return EPQ_OK;
}

} // namespace epoque::ffi
