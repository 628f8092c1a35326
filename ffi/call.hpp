// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: ffi. Depends on: epoque.h.
///
/// What every function of the C interface shares: how it says what went wrong, and that nothing is ever thrown out of it.
///
/// A message names what, which object, why, and what to do. It shows handles, names and numbers, never an address.
#pragma once

#include "epoque.h"

#include "epoque/base/config.hpp"

#include <cerrno>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <system_error>

static_assert(sizeof(std::size_t) == 8, "the interface's sizes and capacities are 64-bit numbers");

namespace epoque::ffi {

/// No struct of the interface will ever be larger: a size beyond is garbage, and must not make us read or write that far.
inline constexpr std::uint32_t max_struct_size = 4096;

constexpr epq_action action_for(epq_status status) noexcept {
    switch (status) {
    case EPQ_STALE:
        return EPQ_ACTION_RELEASE;
    case EPQ_NOMEM:
    case EPQ_STATE:
        return EPQ_ACTION_RETRY;
    case EPQ_KIND:
    case EPQ_ARG:
    case EPQ_ABI:
    case EPQ_TYPE:
    case EPQ_LIMIT:
    case EPQ_RIGHTS:
    case EPQ_SYS:
    case EPQ_INTERNAL:
        return EPQ_ACTION_ESCALATE;
    default:
        return EPQ_ACTION_NONE;
    }
}

/// One call of one function: which, about what, and where its error goes.
class call {
  public:
    call(std::uint32_t op, std::uint64_t handle, epq_error* error) noexcept : op_(op), handle_(handle), error_(error) {}

    std::uint64_t handle() const noexcept { return handle_; }

    /// Runs `body`, which returns a status. What it throws becomes one: bad_alloc NOMEM, system_error SYS, the rest
    /// INTERNAL. errno is afterwards what it was before.
    template <class Body>
    epq_status run(Body body) const noexcept {
        if (error_ != nullptr && (error_->size < sizeof(epq_error) || error_->size > max_struct_size)) {
            return EPQ_ARG; // and there is no room to say it in
        }
        const keep_errno kept;
        try {
            return body();
        } catch (...) {
            return caught();
        }
    }

    /// Fills the caller's error and returns `status`.
    [[gnu::format(printf, 3, 4)]] EPOQUE_COLD epq_status fail(epq_status status, const char* format,
                                                              ...) const noexcept {
        std::va_list arguments;
        va_start(arguments, format);
        fill(status, 0, format, arguments);
        va_end(arguments);
        return status;
    }

    /// The same for a system call that failed with `number`.
    [[gnu::format(printf, 3, 4)]] EPOQUE_COLD epq_status fail_sys(int number, const char* format, ...) const noexcept {
        std::va_list arguments;
        va_start(arguments, format);
        fill(EPQ_SYS, number, format, arguments);
        va_end(arguments);
        return EPQ_SYS;
    }

    /// An argument that must not be null.
    EPOQUE_COLD epq_status null(const char* argument) const noexcept {
        return fail(EPQ_ARG, "`%s` is a null pointer. Pass a valid address.", argument);
    }

  private:
    class keep_errno {
      public:
        keep_errno() noexcept : place_(errno), value_(place_) {}
        keep_errno(const keep_errno&) = delete;
        keep_errno& operator=(const keep_errno&) = delete;
        ~keep_errno() { place_ = value_; }

      private:
        int& place_;
        const int value_;
    };

    void fill(epq_status status, int number, const char* format, std::va_list arguments) const noexcept {
        if (error_ == nullptr) {
            return;
        }
        error_->code = status;
        error_->sys_errno = number;
        error_->op = op_;
        error_->handle = handle_;
        error_->action = action_for(status);
        error_->reserved = 0;
        std::memset(error_->msg, 0, sizeof error_->msg);
        std::vsnprintf(error_->msg, sizeof error_->msg, format, arguments);
    }

    /// Only inside a handler.
    EPOQUE_COLD epq_status caught() const noexcept {
        try {
            throw;
        } catch (const std::bad_alloc&) {
            return fail(EPQ_NOMEM, "out of memory; nothing was changed. Free some, then retry.");
        } catch (const std::system_error& refused) {
            return fail_sys(refused.code().value(), "%s", refused.what());
        } catch (const std::exception& unknown) {
            return fail(EPQ_INTERNAL, "a defect of epoque, please report it: %s", unknown.what());
        } catch (...) {
            return fail(EPQ_INTERNAL, "a defect of epoque, please report it: it threw what is no std::exception.");
        }
    }

    const std::uint32_t op_;
    const std::uint64_t handle_;
    epq_error* const error_;
};

/// What version 1.0 knew of a struct: the least size that it may have.
template <class Struct>
inline constexpr std::size_t first_size = sizeof(Struct);
template <>
inline constexpr std::size_t first_size<epq_options> = 56;
template <>
inline constexpr std::size_t first_size<epq_stats> = 88;
static_assert(first_size<epq_options> == offsetof(epq_options, capacity));
static_assert(first_size<epq_stats> == offsetof(epq_stats, capacity));

/// How many bytes of a struct that is `size` long hold whole fields that we know. (Fields that came after 1.0 have 8 bytes.)
template <class Struct>
constexpr std::size_t known_bytes(std::uint32_t size) noexcept {
    return size < sizeof(Struct) ? size - size % 8 : sizeof(Struct);
}

template <class Struct>
epq_status check_struct_size(const call& about, std::uint32_t size, const char* type) noexcept {
    if (size < first_size<Struct> || size > max_struct_size) {
        return about.fail(EPQ_ARG, "%s.size is %u. Set it to sizeof(%s), which is %zu.", type, size, type,
                          sizeof(Struct));
    }
    return EPQ_OK;
}

/// Takes over a struct that the caller filled, if it is one that this library understands: at least as large as version 1.0's;
/// what it has less than ours is zero in `given`; and where it is larger (a newer header), nothing is set in what we don't know.
template <class Struct>
epq_status check_input(const call& about, const Struct* in, const char* type, Struct& given) noexcept {
    if (in == nullptr) {
        return about.null("options");
    }
    const std::uint32_t size = in->size;
    if (const epq_status status = check_struct_size<Struct>(about, size, type); status != EPQ_OK) {
        return status;
    }
    // SAFETY: the caller says that its struct is `size` bytes long.
    const auto* bytes = reinterpret_cast<const unsigned char*>(in);
    for (std::size_t at = sizeof(Struct); at < size; ++at) {
        if (bytes[at] != 0) {
            return about.fail(EPQ_ABI, "%s sets byte %zu, which only a newer libepoque knows. Update it.", type, at);
        }
    }
    given = Struct{};
    std::memcpy(&given, in, known_bytes<Struct>(size));
    return EPQ_OK;
}

/// Whether there is room for a reply.
template <class Struct>
epq_status check_output(const call& about, const Struct* out, const char* type) noexcept {
    return out == nullptr ? about.null("out") : check_struct_size<Struct>(about, out->size, type);
}

/// Hands a reply over, as much of it as the caller's header knows; what a newer header has behind it becomes zero. `size` stays
/// the caller's.
template <class Struct>
void give(Struct* out, Struct reply) noexcept {
    reply.size = out->size;
    std::memcpy(static_cast<void*>(out), &reply, known_bytes<Struct>(reply.size));
    if (reply.size > sizeof(Struct)) {
        // SAFETY: the caller says that its struct is `size` bytes long.
        std::memset(reinterpret_cast<unsigned char*>(out) + sizeof(Struct), 0, reply.size - sizeof(Struct));
    }
}

} // namespace epoque::ffi
