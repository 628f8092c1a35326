// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: outside. Depends on: allocation.hpp, program.hpp, epoque.h.
///
/// How ffi_fuzz.cpp calls the C interface: the kinds behind one table, structs in as much memory as they claim, and what holds for
/// every call.
#pragma once

#include "allocation.hpp"
#include "program.hpp"

#include "epoque.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <set>
#include <vector>

namespace epoque::fuzz {

using bytes = std::vector<unsigned char>;

/// A set of statuses.
class legal {
  public:
    legal() = default;
    legal(std::initializer_list<epq_status> some) : statuses_(some) {}
    void add(epq_status status) { statuses_.insert(status); }
    bool contains(epq_status status) const { return statuses_.count(status) != 0; }
    bool empty() const { return statuses_.empty(); }

  private:
    std::set<epq_status> statuses_;
};

/// The functions of a kind, over bits.
struct functions {
    unsigned kind;
    bool is_fifo;
    bool is_bounded;
    epq_status (*create)(const epq_options*, std::uint64_t*, epq_error*);
    epq_status (*close)(std::uint64_t, epq_error*);
    epq_status (*destroy)(std::uint64_t, epq_error*);
    epq_status (*try_send)(std::uint64_t, const void*, std::size_t, epq_error*);
    epq_status (*try_recv)(std::uint64_t, void*, std::size_t, epq_error*);
    epq_status (*send_n)(std::uint64_t, const void*, std::size_t, std::size_t, std::size_t*, epq_error*);
    epq_status (*recv_n)(std::uint64_t, void*, std::size_t, std::size_t, std::size_t*, std::int64_t, epq_error*);
    epq_status (*stats)(std::uint64_t, epq_stats*, epq_error*);
    epq_status (*watch)(std::uint64_t, epq_error*);
};

template <unsigned Kind, class Handle, auto Create, auto Close, auto Destroy, auto TrySend, auto TryRecv, auto SendN,
          auto RecvN, auto Stats, auto Watch>
constexpr functions functions_of(bool is_fifo, bool is_bounded) {
    return {Kind,
            is_fifo,
            is_bounded,
            [](const epq_options* options, std::uint64_t* out, epq_error* error) {
                Handle made{out == nullptr ? 0 : *out};
                const epq_status status = Create(options, out == nullptr ? nullptr : &made, error);
                if (out != nullptr) {
                    *out = made.bits;
                }
                return status;
            },
            [](std::uint64_t bits, epq_error* error) { return Close({bits}, error); },
            [](std::uint64_t bits, epq_error* error) { return Destroy({bits}, error); },
            [](std::uint64_t bits, const void* element, std::size_t size, epq_error* error) {
                return TrySend({bits}, element, size, error);
            },
            [](std::uint64_t bits, void* element, std::size_t size, epq_error* error) {
                return TryRecv({bits}, element, size, error);
            },
            [](std::uint64_t bits, const void* elements, std::size_t size, std::size_t count, std::size_t* sent,
               epq_error* error) { return SendN({bits}, elements, size, count, sent, error); },
            [](std::uint64_t bits, void* elements, std::size_t size, std::size_t capacity, std::size_t* received,
               std::int64_t timeout,
               epq_error* error) { return RecvN({bits}, elements, size, capacity, received, timeout, error); },
            [](std::uint64_t bits, epq_stats* out, epq_error* error) { return Stats({bits}, out, error); },
            [](std::uint64_t bits, epq_error* error) { return Watch({bits}, error); }};
}

/// In the order of their numbers, from 1 on.
inline constexpr functions kinds[] = {
    functions_of<EPQ_KIND_QUEUE, epq_queue, epq_queue_create, epq_queue_close, epq_queue_destroy, epq_queue_try_send,
                 epq_queue_try_recv, epq_queue_send_n, epq_queue_recv_n, epq_queue_stats, epq_queue_watch>(true, false),
    functions_of<EPQ_KIND_STACK, epq_stack, epq_stack_create, epq_stack_close, epq_stack_destroy, epq_stack_try_send,
                 epq_stack_try_recv, epq_stack_send_n, epq_stack_recv_n, epq_stack_stats, epq_stack_watch>(false,
                                                                                                           false),
    functions_of<EPQ_KIND_BOUNDED, epq_bounded, epq_bounded_create, epq_bounded_close, epq_bounded_destroy,
                 epq_bounded_try_send, epq_bounded_try_recv, epq_bounded_send_n, epq_bounded_recv_n, epq_bounded_stats,
                 epq_bounded_watch>(true, true),
    functions_of<EPQ_KIND_SPSC, epq_spsc, epq_spsc_create, epq_spsc_close, epq_spsc_destroy, epq_spsc_try_send,
                 epq_spsc_try_recv, epq_spsc_send_n, epq_spsc_recv_n, epq_spsc_stats, epq_spsc_watch>(true, true),
};

/// A struct with a size field, in exactly as much memory as the field claims, if that is at least what version 1.0 had.
template <class Struct>
class sized {
  public:
    sized(program& input, std::uint32_t right) : sized(input, right, right) {}
    sized(program& input, std::uint32_t right, std::uint32_t first) {
        switch (input.below(16)) {
        case 0:
            size_ = static_cast<std::uint32_t>(input.below(right));
            break;
        case 1:
            size_ = right + 1 + input.byte();
            break;
        case 2:
            size_ = input.flag() ? 0xffffffffU : 5000;
            break;
        default:
            size_ = right;
        }
        memory_.assign(size_ < first ? sizeof(Struct) : std::min<std::size_t>(size_, 8192), 0);
        std::memcpy(memory_.data(), &size_, sizeof size_);
        exact_ = size_ == right;
        has_all_ = size_ >= right;
        large_enough_ = size_ >= first && size_ <= 4096;
    }
    Struct* get() noexcept { return reinterpret_cast<Struct*>(memory_.data()); }
    bool exact() const noexcept { return exact_; }
    /// Whether it has the fields that came after version 1.0.
    bool has_all() const noexcept { return has_all_; }
    bool large_enough() const noexcept { return large_enough_; }
    bytes& memory() noexcept { return memory_; }

  private:
    std::uint32_t size_ = 0;
    bool exact_ = false;
    bool has_all_ = false;
    bool large_enough_ = false;
    bytes memory_; // from operator new, so aligned for everything
};

/// What surrounds a call: the caller's error struct, an allocation that fails, errno.
class surroundings {
  public:
    explicit surroundings(program& input) : given_(input.below(4) != 0), error_(input, sizeof(epq_error)) {
        failing_ = input.below(8) == 0 ? 1U + static_cast<unsigned>(input.below(8)) : 0;
        std::memset(error_.get()->msg, 'x', sizeof error_.get()->msg);
        error_.get()->trace = trace;
        error_.get()->code = untouched;
    }

    /// Makes the call. `statuses` are those that its arguments allow; the rest is ours to know.
    template <class Call>
    epq_status make(legal statuses, Call call) {
        epq_error* const error = given_ ? error_.get() : nullptr;
        const bytes before = error_.memory();
        errno = 4711;
        epq_status status{};
        bool exhausted = false;
        {
            const failing_allocation failure(failing_);
            status = call(error);
            exhausted = failing_allocation::happened();
        }
        check(errno == 4711, "no call changes errno");
        if (exhausted) {
            statuses.add(EPQ_NOMEM);
        }
        if (given_ && !error_.exact()) {
            statuses.add(EPQ_ARG);
        }
        check(!given_ || error_.large_enough() || status == EPQ_ARG, "an epq_error of a wrong size is refused");
        check(statuses.contains(status), "a call answers what its arguments deserve");
        check(epq_strerror(status) != nullptr && epq_strerror(status)[0] != 0, "every status has its sentence");
        if (!given_ || !error_.large_enough() || status >= 0) {
            check(error_.memory() == before, "an epq_error is written only by an error, and where it fits");
            return status;
        }
        check(error->code == status, "epq_error.code is the status");
        check(error->trace == trace, "epq_error.trace is the caller's");
        check(error->op != 0, "epq_error.op says which function");
        check(error->action != EPQ_ACTION_NONE, "an error says what can be done");
        check(std::memchr(error->msg, 0, sizeof error->msg) != nullptr && error->msg[0] != 0,
              "a message is there and ends");
        check(std::equal(before.begin() + sizeof(epq_error), before.end(), error_.memory().begin() + sizeof(epq_error)),
              "nothing is written behind an epq_error");
        return status;
    }

  private:
    static constexpr std::uint64_t trace = 0x7ace7ace7ace7ace;
    static constexpr std::int32_t untouched = 0x55555555;

    bool given_;
    sized<epq_error> error_;
    unsigned failing_ = 0;
};

} // namespace epoque::fuzz
