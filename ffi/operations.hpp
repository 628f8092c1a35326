// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: ffi. Depends on: call.hpp, waiting.hpp, library.hpp, and through them on everything to their left.
///
/// What the functions of epoque.h do, each a template over the kind: check what was given, look the handle up and keep its
/// object, do one operation of the object's core, say how it went. docs/boundary.md is their contract.
///
/// The keep, from the look-up to the last use of the object: that, and nothing else, keeps the object alive when another
/// thread destroys it. A waiter keeps nothing while it sleeps, and looks the handle up again when it wakes.
#pragma once

#include "call.hpp"
#include "epoque.h"
#include "library.hpp"
#include "objects.hpp"
#include "waiting.hpp"

#include "epoque/base/parking.hpp"
#include "epoque/domain.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>

namespace epoque::ffi {

template <class Kind>
epq_status check_size(const call& about, const Kind& object, std::size_t element_size) noexcept {
    if (element_size != object.element_size()) [[unlikely]] {
        return about.fail(EPQ_TYPE, "%s '%s' takes %zu bytes, not %zu. Pass its size.", Kind::word, object.name(),
                          object.element_size(), element_size);
    }
    return EPQ_OK;
}

/// So that sizes in bytes never overflow, and pointer differences do not either.
inline epq_status check_count(const call& about, std::size_t element_size, std::size_t count) noexcept {
    if (element_size != 0 && count > SIZE_MAX / 2 / element_size) [[unlikely]] {
        return about.fail(EPQ_ARG, "%zu elements of %zu bytes do not fit into memory. Check the count.", count,
                          element_size);
    }
    return EPQ_OK;
}

template <class Kind>
epq_status check_options(const call& about, const epq_options* in, epq_options& options) noexcept {
    if (const epq_status status = check_input(about, in, "epq_options", options); status != EPQ_OK) {
        return status;
    }
    if (options.element_size == 0 || options.element_size > EPQ_MAX_ELEMENT_SIZE) {
        return about.fail(EPQ_ARG, "epq_options.element_size is %u. Use 1 to %u; send larger things by reference.",
                          options.element_size, EPQ_MAX_ELEMENT_SIZE);
    }
    if (options.flags != 0 || options.reserved != 0) {
        return about.fail(EPQ_ARG, "epq_options.flags is 0x%x, reserved 0x%x. Set both to zero.", options.flags,
                          options.reserved);
    }
    if (std::memchr(options.name, 0, sizeof options.name) == nullptr) {
        return about.fail(EPQ_ARG, "epq_options.name does not end. Use up to %zu bytes and a NUL.",
                          sizeof options.name - 1);
    }
    const auto capacity = static_cast<unsigned long long>(options.capacity);
    if (!Kind::is_bounded && capacity != 0) {
        return about.fail(EPQ_ARG, "epq_options.capacity is %llu, but a %s has no bound. Set it to zero.", capacity,
                          Kind::word);
    }
    if (Kind::is_bounded && (capacity == 0 || capacity > EPQ_MAX_CAPACITY)) {
        return about.fail(EPQ_ARG, "epq_options.capacity is %llu. A %s holds 1 to %llu elements.", capacity, Kind::word,
                          static_cast<unsigned long long>(EPQ_MAX_CAPACITY));
    }
    return EPQ_OK;
}

// ---- life cycle --------------------------------------------------------------------------------------------------------

template <class Kind, class Handle>
epq_status create(const epq_options* options, Handle* out, epq_error* error) noexcept {
    const call about(Kind::ops.create, 0, error);
    return about.run([&] {
        if (out == nullptr) {
            return about.null("out");
        }
        epq_options given{};
        if (const epq_status status = check_options<Kind>(about, options, given); status != EPQ_OK) {
            return status;
        }
        library& here = library::instance();
        std::unique_ptr<object> made = std::make_unique<Kind>(here.home(), given);
        const std::uint64_t bits = here.table().create(Kind::kind, made, right(EPQ_RIGHT_ALL));
        if (bits == 0) {
            return about.fail(EPQ_LIMIT, "%s '%s': all %u handles are in use. Destroy some.", Kind::word, made->name(),
                              object_table<object>::max_slots);
        }
        out->bits = bits;
        return EPQ_OK;
    });
}

template <class Kind>
epq_status close(std::uint64_t handle, epq_error* error) noexcept {
    const call about(Kind::ops.close, handle, error);
    return about.run([&] {
        library& here = library::instance();
        keep held(here.home());
        Kind* found = nullptr;
        const epq_status status = find(about, held, found, right(EPQ_RIGHT_CLOSE));
        if (status == EPQ_OK) {
            found->close();
            found->waiting().ended(here.announcer());
        }
        return status;
    });
}

template <class Kind>
epq_status destroy(std::uint64_t handle, epq_error* error) noexcept {
    const call about(Kind::ops.destroy, handle, error);
    return about.run([&] {
        library& here = library::instance();
        keep held(here.home());
        object* ended = nullptr;
        constexpr rights needs = right(EPQ_RIGHT_DESTROY);
        const find_status status = here.table().destroy(held, handle, Kind::kind, ended, needs);
        if (ended != nullptr) {
            ended->waiting().ended(
                here.announcer()); // also where another thread destroys it, which may have been stopped
        }
        return status == find_status::found ? EPQ_OK : not_found<Kind>(about, status, needs);
    });
}

// ---- further handles ---------------------------------------------------------------------------------------------------

/// Says STALE of a handle of any kind.
EPOQUE_COLD inline epq_status not_live(const call& about) noexcept {
    return about.fail(EPQ_STALE, "0x%016llx is not live: destroyed, revoked, or never created here. Drop it.",
                      static_cast<unsigned long long>(about.handle()));
}

inline epq_status dup(std::uint64_t handle, std::uint32_t wanted, std::uint64_t* out, epq_error* error) noexcept {
    const call about(EPQ_OP_DUP, handle, error);
    return about.run([&] {
        if (out == nullptr) {
            return about.null("out");
        }
        if (wanted == 0 || (wanted & ~EPQ_RIGHT_ALL) != 0) {
            return about.fail(EPQ_ARG, "`rights` is 0x%x. Give EPQ_RIGHT_ bits, at least one; all are 0x%x.", wanted,
                              EPQ_RIGHT_ALL);
        }
        library& here = library::instance();
        keep held(here.home());
        object* found = nullptr;
        std::uint64_t made = 0;
        const find_status status =
            here.table().dup(held, handle, handle_parts::of(handle).kind, right(wanted), found, made);
        if (status == find_status::no_right) {
            return no_right(about, right(wanted));
        }
        if (status != find_status::found) {
            if (found != nullptr) {
                found->waiting().ended(here.announcer()); // somebody may have guessed the handle, and wait by it
            }
            return not_live(about);
        }
        if (made == 0) {
            return about.fail(EPQ_LIMIT, "all %u handles are in use. Revoke or destroy some.",
                              object_table<object>::max_slots);
        }
        *out = made;
        return EPQ_OK;
    });
}

inline epq_status revoke(std::uint64_t handle, epq_error* error) noexcept {
    const call about(EPQ_OP_REVOKE, handle, error);
    return about.run([&] {
        library& here = library::instance();
        keep held(here.home());
        object* found = nullptr;
        if (here.table().revoke(held, handle, handle_parts::of(handle).kind, found) != find_status::found) {
            return not_live(about);
        }
        found->waiting().ended(here.announcer()); // those who wait by another handle go on waiting
        return EPQ_OK;
    });
}

// ---- send --------------------------------------------------------------------------------------------------------------

/// Why nothing could be sent or received.
constexpr epq_status refusal(conqueue_status why) noexcept {
    switch (why) {
    case conqueue_status::full:
        return EPQ_FULL;
    case conqueue_status::busy:
        return EPQ_BUSY;
    case conqueue_status::empty:
        return EPQ_EMPTY;
    default:
        return EPQ_CLOSED;
    }
}

/// Sends and wakes. `why` says why not all. What was sent before memory ran out stays sent; bad_alloc is thrown only when
/// nothing was.
template <class Kind>
std::size_t send(library& here, record_type& record, Kind& to, const void* elements, std::size_t count,
                 conqueue_status& why) {
    std::size_t sent = 0;
    try {
        to.send(record, elements, count, sent, why);
    } catch (const std::bad_alloc&) {
        if (sent == 0) {
            throw;
        }
    }
    if (sent != 0) [[likely]] {
        to.waiting().sent(record.fast, here.announcer(), sent);
    }
    return sent;
}

template <class Kind>
epq_status try_send(std::uint64_t handle, const void* element, std::size_t element_size, epq_error* error) noexcept {
    const call about(Kind::ops.try_send, handle, error);
    return about.run([&] {
        if (element == nullptr) [[unlikely]] {
            return about.null("element");
        }
        library& here = library::instance();
        keep held(here.home());
        Kind* found = nullptr;
        epq_status status = find(about, held, found, right(EPQ_RIGHT_SEND));
        if (status == EPQ_OK) [[likely]] {
            status = check_size(about, *found, element_size);
        }
        if (status == EPQ_OK) [[likely]] {
            conqueue_status why = conqueue_status::success;
            if (send(here, held.mine(), *found, element, 1, why) == 0) {
                status = refusal(why);
            }
        }
        return status;
    });
}

template <class Kind>
epq_status send_n(std::uint64_t handle, const void* elements, std::size_t element_size, std::size_t count,
                  std::size_t* sent, epq_error* error) noexcept {
    const call about(Kind::ops.send_n, handle, error);
    return about.run([&] {
        if (sent == nullptr) {
            return about.null("sent");
        }
        if (elements == nullptr && count != 0) {
            return about.null("elements");
        }
        library& here = library::instance();
        keep held(here.home());
        Kind* found = nullptr;
        epq_status status = find(about, held, found, right(EPQ_RIGHT_SEND));
        if (status == EPQ_OK) {
            status = check_size(about, *found, element_size);
        }
        if (status == EPQ_OK) {
            status = check_count(about, element_size, count);
        }
        if (status != EPQ_OK) {
            return status;
        }
        conqueue_status why = conqueue_status::success;
        const std::size_t done = count == 0 ? 0 : send(here, held.mine(), *found, elements, count, why);
        if (done == 0 && count != 0) {
            return refusal(why);
        }
        *sent = done;
        return done == count ? EPQ_OK : EPQ_PARTIAL;
    });
}

// ---- receive -----------------------------------------------------------------------------------------------------------

/// Where received elements go.
struct destination {
    void* elements;
    std::size_t element_size;
    std::size_t capacity;
    std::size_t* received; // null: the capacity is 1 and the count goes without saying
};

/// Takes what is there. OK, EMPTY, CLOSED or BUSY.
template <class Kind>
epq_status take(const record_type& record, Kind& from, const destination& to) {
    conqueue_status why = conqueue_status::empty;
    const std::size_t taken = from.receive(record, to.elements, to.capacity, why);
    if (taken == 0) {
        return refusal(why);
    }
    if (to.received != nullptr) {
        *to.received = taken;
    }
    return EPQ_OK;
}

/// One look, without waiting.
template <class Kind>
epq_status receive(const call& about, const destination& to) {
    keep held(library::instance().home());
    Kind* found = nullptr;
    epq_status status = find(about, held, found, right(EPQ_RIGHT_RECEIVE));
    if (status == EPQ_OK) [[likely]] {
        status = check_size(about, *found, to.element_size);
    }
    return status == EPQ_OK ? take(held.mine(), *found, to) : status;
}

/// Wakes the next sleeper at its end, however that comes: with BUSY (whoever is at this end may have looked before the element
/// came), a handle that was revoked meanwhile, no memory, or elements left.
class passing_on {
  public:
    explicit passing_on(sleeper<>& self) noexcept : self_(self) {}
    passing_on(const passing_on&) = delete;
    passing_on& operator=(const passing_on&) = delete;
    ~passing_on() {
        if (needed_) {
            self_.pass_on();
        }
    }
    void not_needed() noexcept { needed_ = false; }

  private:
    sleeper<>& self_;
    bool needed_ = true;
};

/// The object was empty: waits. See waiting.hpp, W1 to W4. The element size was checked by the look before; a handle never
/// names another object.
template <class Kind>
EPOQUE_COLD epq_status wait_and_receive(const call& about, const destination& to, std::int64_t deadline) {
    domain& home = library::instance().home();
    std::optional<sleeper<>> self;
    {
        keep held(home);
        Kind* found = nullptr;
        if (const epq_status status = find(about, held, found, right(EPQ_RIGHT_RECEIVE)); status != EPQ_OK) {
            return status;
        }
        self.emplace(found->waiting());
    }
    self->order();
    for (;;) {
        const std::uint32_t key = self->key();
        {
            keep held(home);
            Kind* found = nullptr;
            epq_status status = find(about, held, found, right(EPQ_RIGHT_RECEIVE));
            passing_on next(*self); // W5: we may have been woken for an element that we leave behind
            if (status == EPQ_OK) {
                status = take(held.mine(), *found, to);
            }
            if (status == EPQ_EMPTY || (status == EPQ_OK && found->was_empty())) {
                next.not_needed();
            }
            if (status != EPQ_EMPTY) {
                return status;
            }
        }
        if (parking::now() >= deadline) {
            return EPQ_TIMEOUT;
        }
        self->sleep(key, deadline);
    }
}

template <class Kind>
epq_status try_recv(std::uint64_t handle, void* element, std::size_t element_size, epq_error* error) noexcept {
    const call about(Kind::ops.try_recv, handle, error);
    return about.run([&] {
        if (element == nullptr) [[unlikely]] {
            return about.null("element");
        }
        return receive<Kind>(about, {element, element_size, 1, nullptr});
    });
}

template <class Kind>
epq_status recv_n(std::uint64_t handle, const destination& to, std::int64_t timeout_ns, epq_error* error) noexcept {
    const call about(Kind::ops.recv_n, handle, error);
    return about.run([&] {
        if (to.received == nullptr) {
            return about.null("received");
        }
        if (to.elements == nullptr) {
            return about.null("elements");
        }
        if (to.capacity == 0) {
            return about.fail(EPQ_ARG, "`capacity` is 0. Make room for at least one element.");
        }
        if (const epq_status status = check_count(about, to.element_size, to.capacity); status != EPQ_OK) {
            return status;
        }
        const epq_status status = receive<Kind>(about, to);
        if (status != EPQ_EMPTY || timeout_ns == 0) {
            return status;
        }
        return wait_and_receive<Kind>(about, to, parking::deadline_in(timeout_ns));
    });
}

/// Whether the calling thread may wait for others' guards.
inline epq_status check_may_wait(const call& about, domain& home) {
    if (!home.may_wait()) {
        return about.fail(EPQ_STATE, "the calling thread is inside a C++ guard, view or deleter. Leave that first.");
    }
    return EPQ_OK;
}

/// The kernel has begun to refuse what it granted when the process began.
inline epq_status barriers_refused(const call& about) noexcept {
    return about.fail_sys(EPERM, "the kernel now refuses membarrier (seccomp?). Start with EPOQUE_BARRIER=fallback.");
}

// ---- observe -----------------------------------------------------------------------------------------------------------

template <class Kind>
epq_status stats(std::uint64_t handle, epq_stats* out, epq_error* error) noexcept {
    const call about(Kind::ops.stats, handle, error);
    return about.run([&] {
        if (const epq_status status = check_output(about, out, "epq_stats"); status != EPQ_OK) {
            return status;
        }
        keep held(library::instance().home());
        Kind* found = nullptr;
        if (const epq_status status = find(about, held, found, right(EPQ_RIGHT_OBSERVE)); status != EPQ_OK) {
            return status;
        }
        epq_stats reply{};
        reply.element_size = static_cast<std::uint32_t>(found->element_size());
        reply.type_id = found->type_id();
        reply.receives = found->was_received(); // the older one, so that the length is not negative for no reason
        reply.sends = found->was_sent();
        reply.waiters = found->waiting().was_waiting();
        reply.capacity = found->capacity();
        reply.length = length_of(reply.receives, reply.sends, reply.capacity);
        reply.closed = found->was_closed() ? 1 : 0;
        std::memcpy(reply.name, found->name(), sizeof reply.name);
        give(out, reply);
        return EPQ_OK;
    });
}

template <class Kind>
epq_status watch(std::uint64_t handle, epq_error* error) noexcept {
    const call about(Kind::ops.watch, handle, error);
    return about.run([&] {
        library& here = library::instance();
        if (const int fd = here.announcer().event().open(); fd < 0) {
            return about.fail_sys(-fd, "eventfd(2) failed (errno %d). Raise `ulimit -n`, or poll instead.", -fd);
        }
        keep held(here.home());
        Kind* found = nullptr;
        if (const epq_status status = find(about, held, found, right(EPQ_RIGHT_OBSERVE)); status != EPQ_OK) {
            return status;
        }
        if (const std::uint64_t owner = found->waiting().claim(handle); owner != handle) {
            const bool live = here.table().was_rights(owner) != 0;
            return about.fail(EPQ_RIGHTS, "%s '%s' is watched by 0x%016llx%s, and by one handle in its life.",
                              Kind::word, found->name(), static_cast<unsigned long long>(owner),
                              live ? "" : " (revoked)");
        }
        if (!found->waiting().arm()) {
            return barriers_refused(about);
        }
        return EPQ_OK;
    });
}

} // namespace epoque::ffi
