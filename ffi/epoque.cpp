// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: ffi. Depends on: call.hpp, inventory.hpp, library.hpp, operations.hpp.
///
/// The functions of epoque.h: those of a kind are in operations.hpp, those over all handles in inventory.hpp, the rest is here.
#include "epoque.h"

#include "call.hpp"
#include "inventory.hpp"
#include "library.hpp"
#include "operations.hpp"

#include "epoque/base/barrier.hpp"
#include "epoque/domain.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <system_error>

#include <sys/eventfd.h>
#include <unistd.h>

namespace epoque::ffi {
namespace {

/// Whether eventfd(2) is there at all; that no descriptor is left now does not count.
bool has_eventfd() noexcept {
    const int probe = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (probe >= 0) {
        ::close(probe);
        return true;
    }
    return errno == EMFILE || errno == ENFILE || errno == ENOMEM;
}

std::uint64_t features() noexcept {
    return (barrier::asymmetric() ? EPQ_FEATURE_ASYMMETRIC_BARRIER : 0) | (has_eventfd() ? EPQ_FEATURE_EVENTFD : 0);
}

constexpr std::uint32_t major_of(std::uint32_t version) noexcept {
    return version / 1000;
}

} // namespace
} // namespace epoque::ffi

// ---- the interface -----------------------------------------------------------------------------------------------------

using namespace epoque;      // NOLINT(google-build-using-namespace): the functions below belong to no namespace
using namespace epoque::ffi; // NOLINT(google-build-using-namespace)

uint32_t epq_abi_version(void) noexcept {
    return EPQ_ABI_VERSION;
}

epq_status epq_init(const epq_init_options* options, epq_init_reply* reply, epq_error* error) noexcept {
    const call about(EPQ_OP_INIT, 0, error);
    return about.run([&] {
        epq_init_options given{};
        if (const epq_status status = check_input(about, options, "epq_init_options", given); status != EPQ_OK) {
            return status;
        }
        if (reply != nullptr) {
            if (const epq_status status = check_output(about, reply, "epq_init_reply"); status != EPQ_OK) {
                return status;
            }
        }
        const std::uint32_t theirs = given.abi_version;
        if (major_of(theirs) != major_of(EPQ_ABI_VERSION) || theirs > EPQ_ABI_VERSION) {
            return about.fail(EPQ_ABI, "header %u, libepoque %u: %s", theirs, EPQ_ABI_VERSION,
                              theirs > EPQ_ABI_VERSION ? "the library is too old. Install a newer libepoque."
                                                       : "the header is too old. Rebuild with the library's epoque.h.");
        }
        const std::uint64_t have = features();
        if (const std::uint64_t missing = given.incompat & ~have; missing != 0) {
            return about.fail(EPQ_ABI, "needs features 0x%llx, which are not here. Update libepoque or do without.",
                              static_cast<unsigned long long>(missing));
        }
        if (reply != nullptr) {
            give(reply, epq_init_reply{0, EPQ_ABI_VERSION, have});
        }
        return EPQ_OK;
    });
}

const char* epq_strerror(int32_t status) noexcept {
    switch (status) {
    case EPQ_OK:
        return "done";
    case EPQ_FULL:
        return "the object holds its capacity: retry when something was received";
    case EPQ_EMPTY:
        return "nothing to receive now: retry later, or wait";
    case EPQ_CLOSED:
        return "closed: it takes no more, and has no more to receive; destroy the handle";
    case EPQ_TIMEOUT:
        return "the time given ended before there was anything to receive: wait again, or give up";
    case EPQ_PARTIAL:
        return "some elements were sent, not all: the count says how many; the next send says why";
    case EPQ_BUSY:
        return "another thread is in the same call: retry at once, or leave it to that thread";
    case EPQ_STALE:
        return "the handle is not live (destroyed, forged, or of another process): drop it";
    case EPQ_KIND:
        return "the handle is of another kind: call the functions of its kind";
    case EPQ_ARG:
        return "an argument is null, too small, too large or misused: the message says which";
    case EPQ_NOMEM:
        return "out of memory, nothing was changed: free some, then retry";
    case EPQ_ABI:
        return "header and library do not fit together: rebuild with the epoque.h of this libepoque";
    case EPQ_TYPE:
        return "the element size or type id is not the object's: both sides must agree on the element";
    case EPQ_LIMIT:
        return "all handles are in use: destroy those that are no longer needed";
    case EPQ_STATE:
        return "not possible now: the message says what has to happen before";
    case EPQ_RIGHTS:
        return "the handle lacks the right to do this: use one that has it";
    case EPQ_SYS:
        return "the operating system refused: sys_errno says why";
    case EPQ_INTERNAL:
        return "a defect of epoque: please report it with the message";
    default:
        return "not a status of this version of epoque: update the library";
    }
}

epq_status epq_queue_create(const epq_options* options, epq_queue* out, epq_error* error) noexcept {
    return create<queue_object>(options, out, error);
}
epq_status epq_stack_create(const epq_options* options, epq_stack* out, epq_error* error) noexcept {
    return create<stack_object>(options, out, error);
}
epq_status epq_bounded_create(const epq_options* options, epq_bounded* out, epq_error* error) noexcept {
    return create<bounded_object>(options, out, error);
}
epq_status epq_spsc_create(const epq_options* options, epq_spsc* out, epq_error* error) noexcept {
    return create<spsc_object>(options, out, error);
}

epq_status epq_queue_close(epq_queue queue, epq_error* error) noexcept {
    return ffi::close<queue_object>(queue.bits, error);
}
epq_status epq_stack_close(epq_stack stack, epq_error* error) noexcept {
    return ffi::close<stack_object>(stack.bits, error);
}
epq_status epq_bounded_close(epq_bounded bounded, epq_error* error) noexcept {
    return ffi::close<bounded_object>(bounded.bits, error);
}
epq_status epq_spsc_close(epq_spsc spsc, epq_error* error) noexcept {
    return ffi::close<spsc_object>(spsc.bits, error);
}

epq_status epq_queue_destroy(epq_queue queue, epq_error* error) noexcept {
    return destroy<queue_object>(queue.bits, error);
}
epq_status epq_stack_destroy(epq_stack stack, epq_error* error) noexcept {
    return destroy<stack_object>(stack.bits, error);
}
epq_status epq_bounded_destroy(epq_bounded bounded, epq_error* error) noexcept {
    return destroy<bounded_object>(bounded.bits, error);
}
epq_status epq_spsc_destroy(epq_spsc spsc, epq_error* error) noexcept {
    return destroy<spsc_object>(spsc.bits, error);
}

epq_status epq_queue_try_send(epq_queue queue, const void* element, size_t element_size, epq_error* error) noexcept {
    return try_send<queue_object>(queue.bits, element, element_size, error);
}
epq_status epq_stack_try_send(epq_stack stack, const void* element, size_t element_size, epq_error* error) noexcept {
    return try_send<stack_object>(stack.bits, element, element_size, error);
}
epq_status epq_bounded_try_send(epq_bounded bounded, const void* element, size_t element_size,
                                epq_error* error) noexcept {
    return try_send<bounded_object>(bounded.bits, element, element_size, error);
}
epq_status epq_spsc_try_send(epq_spsc spsc, const void* element, size_t element_size, epq_error* error) noexcept {
    return try_send<spsc_object>(spsc.bits, element, element_size, error);
}

epq_status epq_queue_try_recv(epq_queue queue, void* element, size_t element_size, epq_error* error) noexcept {
    return try_recv<queue_object>(queue.bits, element, element_size, error);
}
epq_status epq_stack_try_recv(epq_stack stack, void* element, size_t element_size, epq_error* error) noexcept {
    return try_recv<stack_object>(stack.bits, element, element_size, error);
}
epq_status epq_bounded_try_recv(epq_bounded bounded, void* element, size_t element_size, epq_error* error) noexcept {
    return try_recv<bounded_object>(bounded.bits, element, element_size, error);
}
epq_status epq_spsc_try_recv(epq_spsc spsc, void* element, size_t element_size, epq_error* error) noexcept {
    return try_recv<spsc_object>(spsc.bits, element, element_size, error);
}

epq_status epq_queue_send_n(epq_queue queue, const void* elements, size_t element_size, size_t count, size_t* sent,
                            epq_error* error) noexcept {
    return send_n<queue_object>(queue.bits, elements, element_size, count, sent, error);
}
epq_status epq_stack_send_n(epq_stack stack, const void* elements, size_t element_size, size_t count, size_t* sent,
                            epq_error* error) noexcept {
    return send_n<stack_object>(stack.bits, elements, element_size, count, sent, error);
}
epq_status epq_bounded_send_n(epq_bounded bounded, const void* elements, size_t element_size, size_t count,
                              size_t* sent, epq_error* error) noexcept {
    return send_n<bounded_object>(bounded.bits, elements, element_size, count, sent, error);
}
epq_status epq_spsc_send_n(epq_spsc spsc, const void* elements, size_t element_size, size_t count, size_t* sent,
                           epq_error* error) noexcept {
    return send_n<spsc_object>(spsc.bits, elements, element_size, count, sent, error);
}

epq_status epq_queue_recv_n(epq_queue queue, void* elements, size_t element_size, size_t capacity, size_t* received,
                            int64_t timeout_ns, epq_error* error) noexcept {
    return recv_n<queue_object>(queue.bits, {elements, element_size, capacity, received}, timeout_ns, error);
}
epq_status epq_stack_recv_n(epq_stack stack, void* elements, size_t element_size, size_t capacity, size_t* received,
                            int64_t timeout_ns, epq_error* error) noexcept {
    return recv_n<stack_object>(stack.bits, {elements, element_size, capacity, received}, timeout_ns, error);
}
epq_status epq_bounded_recv_n(epq_bounded bounded, void* elements, size_t element_size, size_t capacity,
                              size_t* received, int64_t timeout_ns, epq_error* error) noexcept {
    return recv_n<bounded_object>(bounded.bits, {elements, element_size, capacity, received}, timeout_ns, error);
}
epq_status epq_spsc_recv_n(epq_spsc spsc, void* elements, size_t element_size, size_t capacity, size_t* received,
                           int64_t timeout_ns, epq_error* error) noexcept {
    return recv_n<spsc_object>(spsc.bits, {elements, element_size, capacity, received}, timeout_ns, error);
}

epq_status epq_queue_stats(epq_queue queue, epq_stats* out, epq_error* error) noexcept {
    return stats<queue_object>(queue.bits, out, error);
}
epq_status epq_stack_stats(epq_stack stack, epq_stats* out, epq_error* error) noexcept {
    return stats<stack_object>(stack.bits, out, error);
}
epq_status epq_bounded_stats(epq_bounded bounded, epq_stats* out, epq_error* error) noexcept {
    return stats<bounded_object>(bounded.bits, out, error);
}
epq_status epq_spsc_stats(epq_spsc spsc, epq_stats* out, epq_error* error) noexcept {
    return stats<spsc_object>(spsc.bits, out, error);
}

epq_status epq_dup(uint64_t handle, uint32_t rights, uint64_t* out, epq_error* error) noexcept {
    return ffi::dup(handle, rights, out, error);
}

epq_status epq_revoke(uint64_t handle, epq_error* error) noexcept {
    return ffi::revoke(handle, error);
}

epq_status epq_list(uint64_t* cursor, epq_handle_info* infos, size_t capacity, size_t* listed,
                    epq_error* error) noexcept {
    return ffi::list(cursor, infos, capacity, listed, error);
}

epq_status epq_shutdown(int64_t timeout_ns, uint32_t flags, epq_shutdown_report* report, epq_error* error) noexcept {
    return ffi::shutdown(timeout_ns, flags, report, error);
}

epq_status epq_notifier_open(int32_t* fd, epq_error* error) noexcept {
    const call about(EPQ_OP_NOTIFIER_OPEN, 0, error);
    return about.run([&] {
        if (fd == nullptr) {
            return about.null("fd");
        }
        const int made = library::instance().announcer().event().open();
        if (made < 0) {
            return about.fail_sys(-made, "eventfd(2) failed (errno %d). Raise `ulimit -n`, or poll instead.", -made);
        }
        *fd = made;
        return EPQ_OK;
    });
}

epq_status epq_queue_watch(epq_queue queue, epq_error* error) noexcept {
    return watch<queue_object>(queue.bits, error);
}
epq_status epq_stack_watch(epq_stack stack, epq_error* error) noexcept {
    return watch<stack_object>(stack.bits, error);
}
epq_status epq_bounded_watch(epq_bounded bounded, epq_error* error) noexcept {
    return watch<bounded_object>(bounded.bits, error);
}
epq_status epq_spsc_watch(epq_spsc spsc, epq_error* error) noexcept {
    return watch<spsc_object>(spsc.bits, error);
}

epq_status epq_notifier_take(uint64_t* handles, size_t capacity, size_t* taken, uint32_t* more,
                             epq_error* error) noexcept {
    const call about(EPQ_OP_NOTIFIER_TAKE, 0, error);
    return about.run([&] {
        if (taken == nullptr) {
            return about.null("taken");
        }
        if (more == nullptr) {
            return about.null("more");
        }
        if (handles == nullptr) {
            return about.null("handles");
        }
        if (capacity == 0) {
            return about.fail(EPQ_ARG, "`capacity` is 0. Make room for at least one handle.");
        }
        std::size_t count = 0;
        bool left = false;
        if (!library::instance().announcer().take(handles, capacity, count, left)) {
            return EPQ_BUSY;
        }
        *taken = count;
        *more = left ? 1 : 0;
        return EPQ_OK;
    });
}

epq_status epq_domain_get_stats(epq_domain_stats* out, epq_error* error) noexcept {
    const call about(EPQ_OP_DOMAIN_STATS, 0, error);
    return about.run([&] {
        if (const epq_status status = check_output(about, out, "epq_domain_stats"); status != EPQ_OK) {
            return status;
        }
        library& here = library::instance();
        const domain_stats figures = here.home().stats();
        const barrier::counters barriers = barrier::was_called();
        epq_domain_stats reply{};
        reply.asymmetric = figures.asymmetric ? 1 : 0;
        reply.epoch = figures.epoch;
        reply.threads = figures.threads;
        reply.pinned = figures.pinned;
        reply.pending_objects = figures.pending_objects;
        reply.pending_bytes = figures.pending_bytes;
        reply.peak_pending_bytes = figures.peak_pending_bytes;
        reply.freed_objects = figures.freed_objects;
        reply.advances = figures.advances;
        reply.heavy_barriers = barriers.heavy;
        reply.refused_barriers = barriers.refused;
        reply.live_objects = here.table().was_live();
        give(out, reply);
        return EPQ_OK;
    });
}

epq_status epq_domain_barrier(epq_error* error) noexcept {
    const call about(EPQ_OP_DOMAIN_BARRIER, 0, error);
    return about.run([&] {
        domain& home = library::instance().home();
        if (const epq_status status = check_may_wait(about, home); status != EPQ_OK) {
            return status;
        }
        try {
            home.barrier();
        } catch (const std::system_error&) {
            return barriers_refused(about);
        }
        return EPQ_OK;
    });
}
