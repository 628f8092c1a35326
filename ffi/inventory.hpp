// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: ffi. Depends on: call.hpp, library.hpp, operations.hpp, and through them on everything to their left.
///
/// What goes over all handles: the list of them, and the shutdown. Each handle is looked up as any call does, with a keep for as
/// long as it is looked at; what is created, revoked or destroyed meanwhile is seen or not.
#pragma once

#include "call.hpp"
#include "epoque.h"
#include "library.hpp"
#include "objects.hpp"
#include "operations.hpp"

#include "epoque/base/parking.hpp"
#include "epoque/domain.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <system_error>

namespace epoque::ffi {

/// Calls `visit(held, handle, object)` for live handles from slot `index` on, until it answers false. Returns the slot after the
/// last visited one, 0 when there are no more.
template <class Visit>
std::uint32_t for_each_live(library& here, std::uint32_t index, Visit visit) {
    for (const std::uint32_t used = here.table().was_used(); index < used; ++index) {
        const std::uint64_t handle = here.table().handle_at(index);
        if (handle == 0) {
            continue;
        }
        keep held(here.home());
        object* found = nullptr;
        if (here.table().find(held, handle, handle_parts::of(handle).kind, found) != find_status::found) {
            continue;
        }
        if (!visit(held, handle, *found)) {
            return index + 1;
        }
    }
    return 0;
}

/// An array of infos in the caller's memory, whose size may be another header's.
class info_array {
  public:
    info_array(epq_handle_info* infos, std::uint64_t capacity) noexcept
        : infos_(reinterpret_cast<std::byte*>(infos)), capacity_(infos == nullptr ? 0 : capacity),
          size_(capacity_ == 0 ? 0 : infos->size) {}

    bool full() const noexcept { return count_ == capacity_; }
    std::uint64_t count() const noexcept { return count_; }

    /// Precondition: it is not full.
    void add(library& here, std::uint64_t handle, const object& of) {
        const std::uint32_t good_for = here.table().was_rights(handle);
        if (good_for == 0) {
            return; // revoked since it was found
        }
        epq_handle_info info{};
        info.kind = handle_parts::of(handle).kind;
        info.handle = handle;
        info.rights = good_for;
        info.closed = of.was_closed() ? 1 : 0;
        const std::uint64_t received = of.was_received(); // the older one
        info.length = length_of(received, of.was_sent(), of.capacity());
        info.age_ns = static_cast<std::uint64_t>(std::max<std::int64_t>(parking::now() - of.created(), 0));
        info.creator = of.creator();
        std::memcpy(info.name, of.name(), sizeof info.name);
        // SAFETY: the caller says that there are `capacity` structs of `size` bytes; at that alignment, as check_infos asks.
        auto* const place = reinterpret_cast<epq_handle_info*>(infos_ + count_ * size_);
        std::memcpy(static_cast<void*>(place), &size_, sizeof size_);
        give(place, info);
        ++count_;
    }

  private:
    std::byte* const infos_;
    const std::uint64_t capacity_;
    const std::uint32_t size_;
    std::uint64_t count_ = 0;
};

/// Whether the caller's array is one.
inline epq_status check_infos(const call& about, const epq_handle_info* infos, std::uint64_t capacity) noexcept {
    if (const epq_status status = check_output(about, infos, "epq_handle_info"); status != EPQ_OK) {
        return status;
    }
    if (infos->size % alignof(epq_handle_info) != 0) {
        return about.fail(EPQ_ARG, "epq_handle_info.size is %u. Set it to sizeof(epq_handle_info).", infos->size);
    }
    return check_count(about, infos->size, static_cast<std::size_t>(capacity));
}

inline epq_status list(std::uint64_t* cursor, epq_handle_info* infos, std::size_t capacity, std::size_t* listed,
                       epq_error* error) noexcept {
    const call about(EPQ_OP_LIST, 0, error);
    return about.run([&] {
        if (cursor == nullptr) {
            return about.null("cursor");
        }
        if (listed == nullptr) {
            return about.null("listed");
        }
        if (infos == nullptr) {
            return about.null("infos");
        }
        if (capacity == 0) {
            return about.fail(EPQ_ARG, "`capacity` is 0. Make room for at least one info.");
        }
        if (const epq_status status = check_infos(about, infos, capacity); status != EPQ_OK) {
            return status;
        }
        library& here = library::instance();
        const std::uint64_t from = std::min<std::uint64_t>(*cursor, object_table<object>::max_slots);
        info_array to(infos, capacity);
        const std::uint32_t next = for_each_live(here, static_cast<std::uint32_t>(from),
                                                 [&](const keep&, std::uint64_t handle, const object& found) {
                                                     to.add(here, handle, found);
                                                     return !to.full();
                                                 });
        *cursor = next;
        *listed = static_cast<std::size_t>(to.count());
        return EPQ_OK;
    });
}

/// Closes all. Returns how many handles there are. `again`: what is closed already was told so.
inline std::uint64_t close_all(library& here, bool again) {
    std::uint64_t live = 0;
    for_each_live(here, 0, [&](const keep&, std::uint64_t, object& found) {
        ++live;
        if (!again || !found.was_closed()) { // whoever closed it may have been stopped before it told the waiters
            found.close();
            found.waiting().ended(here.announcer());
        }
        return true;
    });
    return live;
}

/// Destroys all objects. Returns how many.
inline std::uint64_t destroy_all(library& here) {
    std::uint64_t destroyed = 0;
    for_each_live(here, 0, [&](keep& held, std::uint64_t handle, object&) {
        object* ended = nullptr;
        if (here.table().destroy(held, handle, handle_parts::of(handle).kind, ended) == find_status::found) {
            ++destroyed;
        }
        if (ended != nullptr) {
            ended->waiting().ended(here.announcer());
        }
        return true;
    });
    return destroyed;
}

inline epq_status check_report(const call& about, const epq_shutdown_report* report) noexcept {
    if (const epq_status status = check_output(about, report, "epq_shutdown_report"); status != EPQ_OK) {
        return status;
    }
    if (report->reserved != 0) {
        return about.fail(EPQ_ARG, "epq_shutdown_report.reserved is 0x%x. Set it to zero.", report->reserved);
    }
    if (report->infos == nullptr && report->capacity != 0) {
        return about.null("infos");
    }
    return report->capacity == 0 ? EPQ_OK : check_infos(about, report->infos, report->capacity);
}

inline epq_status shutdown(std::int64_t timeout_ns, std::uint32_t flags, epq_shutdown_report* report,
                           epq_error* error) noexcept {
    const call about(EPQ_OP_SHUTDOWN, 0, error);
    return about.run([&] {
        if ((flags & ~EPQ_SHUTDOWN_DESTROY) != 0) {
            return about.fail(EPQ_ARG, "`flags` is 0x%x. Use EPQ_SHUTDOWN_ bits.", flags);
        }
        if (report != nullptr) {
            if (const epq_status status = check_report(about, report); status != EPQ_OK) {
                return status;
            }
        }
        library& here = library::instance();
        if (const epq_status status = check_may_wait(about, here.home()); status != EPQ_OK) {
            return status;
        }
        constexpr std::int64_t interval = 1'000'000;
        const std::int64_t deadline = parking::deadline_in(timeout_ns);
        // Again and again, as others may create meanwhile.
        std::uint64_t held = close_all(here, false);
        while (held != 0 && timeout_ns != 0 && parking::now() < deadline) {
            const std::atomic<std::uint32_t> nobody_wakes{0};
            parking::wait(nobody_wakes, 0, std::min(deadline, parking::deadline_in(interval)));
            held = close_all(here, true);
        }
        epq_shutdown_report reply{};
        reply.held = held;
        if (report != nullptr) {
            reply.infos = report->infos;
            reply.capacity = report->capacity;
            info_array to(report->infos, report->capacity);
            for_each_live(here, 0, [&](const keep&, std::uint64_t handle, const object& found) {
                if (!to.full()) {
                    to.add(here, handle, found);
                }
                return !to.full();
            });
            reply.listed = to.count();
        }
        if ((flags & EPQ_SHUTDOWN_DESTROY) != 0) {
            reply.destroyed = destroy_all(here);
        }
        try {
            here.home().barrier();
        } catch (const std::system_error&) {
            return barriers_refused(about);
        }
        if (report != nullptr) {
            reply.pending_objects = here.home().stats().pending_objects;
            give(report, reply);
        }
        return held == 0 || (flags & EPQ_SHUTDOWN_DESTROY) != 0 ? EPQ_OK : EPQ_TIMEOUT;
    });
}

} // namespace epoque::ffi
