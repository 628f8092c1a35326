// SPDX-License-Identifier: BSL-1.0
/// @file
/// Programs of calls of the C interface, with what a hostile or mistaken caller does: handles that are stale, forged or of
/// another kind, null pointers, sizes and counts at their limits, structs that claim another size, memory that runs out.
///
///     input:  steps    1 byte function, then its arguments
///
/// A model of the live objects knows which answers are legal. Where several arguments are wrong, each of their statuses
/// is; which comes first is not promised. Every call is also checked for what holds for all of them: out-pointers are
/// written only on success, errno stays, an error is filled exactly by a negative status and ends with NUL. Buffers are
/// exactly as large as the call was told, so that AddressSanitizer sees a step beyond.
#include "allocation.hpp"
#include "program.hpp"

#include "epoque.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <initializer_list>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace epoque::fuzz {
namespace {

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
constexpr functions kinds[] = {
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

class ffi_program {
  public:
    explicit ffi_program(program& input) : input_(input) {}
    ffi_program(const ffi_program&) = delete;
    ffi_program& operator=(const ffi_program&) = delete;

    void run() {
        for (int steps = 0; !input_.ended() && steps < most_steps; ++steps) {
            step();
        }
        while (!live_.empty()) {
            auto& [handle, left] = *live_.begin();
            check(kinds[left.kind - 1].destroy(handle, nullptr) == EPQ_OK, "a live handle can be destroyed");
            announce(handle, left);
            dead_.push_back(handle);
            live_.erase(live_.begin());
        }
        check(epq_domain_barrier(nullptr) == EPQ_OK, "the barrier ends well");
        epq_domain_stats stats{};
        stats.size = sizeof stats;
        check(epq_domain_get_stats(&stats, nullptr) == EPQ_OK, "the domain has statistics");
        check(stats.live_objects == 0 && stats.pending_objects == 0, "nothing is left when all was destroyed");
        for (const std::uint64_t handle : dead_) {
            for (const functions& kind : kinds) {
                check(kind.close(handle, nullptr) == EPQ_STALE, "a destroyed handle stays stale");
            }
        }
        drain_notifier();
    }

  private:
    static constexpr int most_steps = 300;
    static constexpr std::size_t most_elements = 16; // of one call

    struct object {
        unsigned kind;
        std::uint32_t element_size;
        std::uint64_t type_id;
        std::string name;
        std::uint64_t capacity;    // 0: none
        std::deque<bytes> content; // the next to be received: queue: front; stack: back
        bool closed = false;
        bool armed = false;
        std::uint64_t sends = 0;
        std::uint64_t receives = 0;
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
            check(std::equal(before.begin() + sizeof(epq_error), before.end(),
                             error_.memory().begin() + sizeof(epq_error)),
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

    void step() {
        const functions& kind = kinds[input_.below(std::size(kinds))];
        switch (input_.below(14)) {
        case 0:
        case 1:
            return create(kind);
        case 2:
        case 3:
            return try_send(kind);
        case 4:
        case 5:
            return try_recv(kind);
        case 6:
        case 7:
            return send_n(kind);
        case 8:
        case 9:
            return recv_n(kind);
        case 10:
            return stats(kind);
        case 11:
            return input_.flag() ? watch(kind) : take_announced();
        case 12:
            return input_.below(4) == 0 ? initialise() : end(kind, false);
        default:
            return end(kind, true);
        }
    }

    // ---- handles and what they deserve -----------------------------------------------------------------------------------

    std::uint64_t some_handle() {
        const std::size_t shape = input_.below(16);
        if (live_.empty() || shape == 15) {
            return input_.flag() ? input_.word() : 0;
        }
        if (shape == 14 && !dead_.empty()) {
            return dead_[input_.below(std::min<std::size_t>(dead_.size(), 64))];
        }
        std::uint64_t bits = std::next(live_.begin(), static_cast<std::ptrdiff_t>(input_.below(live_.size())))->first;
        if (shape == 13) {
            bits ^= std::uint64_t{1} << input_.below(64);
        }
        return bits;
    }

    object* object_of(std::uint64_t handle, const functions& kind, legal& statuses) {
        const auto found = live_.find(handle);
        if (found == live_.end()) {
            statuses.add(EPQ_STALE);
            return nullptr;
        }
        if (found->second.kind != kind.kind) {
            statuses.add(EPQ_KIND);
            return nullptr;
        }
        return &found->second;
    }

    /// The object's element size, or another one.
    std::size_t some_size(const object* of) {
        const std::size_t right = of == nullptr ? 8 : of->element_size;
        switch (input_.below(16)) {
        case 0:
            return right + 1;
        case 1:
            return 0;
        case 2:
            return SIZE_MAX - input_.below(2);
        case 3:
            return std::size_t{1} << input_.below(64);
        default:
            return right;
        }
    }

    // ---- life cycle ------------------------------------------------------------------------------------------------------

    void create(const functions& kind) {
        if (live_.size() >= 8) {
            return end(kind, true);
        }
        sized<epq_options> options(input_, sizeof(epq_options), offsetof(epq_options, capacity));
        epq_options& wanted = *options.get();
        static constexpr std::uint32_t sizes[] = {8, 1, 2, 3, 4, 7, 16, 24, 100, 4096, 0, 4097, 0xffffffff};
        wanted.element_size = sizes[input_.below(std::size(sizes))];
        wanted.type_id = input_.byte();
        const std::string name(input_.below(sizeof wanted.name + 1), 'n');
        std::memcpy(wanted.name, name.data(), name.size());
        wanted.flags = input_.below(16) == 1 ? 1 : 0;
        wanted.reserved = input_.below(16) == 1 ? 1 : 0;
        std::uint64_t capacity = kind.is_bounded ? 1 + input_.below(24) : 0;
        if (input_.below(16) == 1) {
            static constexpr std::uint64_t capacities[] = {0, 1, EPQ_MAX_CAPACITY + 1, UINT64_MAX};
            capacity = capacities[input_.below(std::size(capacities))];
        }
        if (options.has_all()) {
            wanted.capacity = capacity;
        } else {
            capacity = 0;
        }
        const bool beyond = options.large_enough() && options.has_all() && !options.exact() && input_.flag();
        if (beyond) {
            options.memory().back() = 1;
        }
        const bool null_options = input_.below(16) == 1;
        const bool null_out = input_.below(16) == 1;

        legal statuses;
        if (null_options || null_out || !options.large_enough() || wanted.element_size == 0 ||
            wanted.element_size > EPQ_MAX_ELEMENT_SIZE || wanted.flags != 0 || wanted.reserved != 0 ||
            name.size() == sizeof wanted.name ||
            (kind.is_bounded ? capacity == 0 || capacity > EPQ_MAX_CAPACITY : capacity != 0)) {
            statuses.add(EPQ_ARG);
        }
        if (beyond) {
            statuses.add(EPQ_ABI);
        }
        if (statuses.empty()) {
            statuses.add(EPQ_OK);
        }
        constexpr std::uint64_t untouched = 0x1234567;
        std::uint64_t out = untouched;
        surroundings around(input_);
        const epq_status status = around.make(statuses, [&](epq_error* error) {
            return kind.create(null_options ? nullptr : &wanted, null_out ? nullptr : &out, error);
        });
        if (status != EPQ_OK) {
            check(out == untouched, "a create that fails gives no handle");
            return;
        }
        check(live_.count(out) == 0 && std::find(dead_.begin(), dead_.end(), out) == dead_.end(),
              "no handle is given out twice");
        check(out >> 56 == kind.kind, "a handle says its kind");
        object made{};
        made.kind = kind.kind;
        made.element_size = wanted.element_size;
        made.type_id = wanted.type_id;
        made.name = name;
        made.capacity = capacity;
        live_.emplace(out, std::move(made));
    }

    /// Close or destroy.
    void end(const functions& kind, bool for_good) {
        const std::uint64_t handle = some_handle();
        legal statuses;
        object* of = object_of(handle, kind, statuses);
        if (statuses.empty()) {
            statuses.add(EPQ_OK);
        }
        surroundings around(input_);
        const epq_status status = around.make(statuses, [&](epq_error* error) {
            return for_good ? kind.destroy(handle, error) : kind.close(handle, error);
        });
        if (status != EPQ_OK) {
            return;
        }
        announce(handle, *of);
        if (for_good) {
            live_.erase(handle);
            dead_.push_back(handle);
        } else {
            of->closed = true;
        }
    }

    // ---- sending ---------------------------------------------------------------------------------------------------------

    bytes fresh_element(std::size_t size) {
        bytes made(size);
        ++last_;
        for (std::size_t i = 0; i < size; ++i) {
            made[i] = static_cast<unsigned char>(last_ >> (i % 8 * 8));
        }
        return made;
    }

    void try_send(const functions& kind) {
        const std::uint64_t handle = some_handle();
        legal statuses;
        object* of = object_of(handle, kind, statuses);
        const std::size_t size = some_size(of);
        const bytes element = fresh_element(std::min<std::size_t>(size, 8192));
        const bool null = input_.below(16) == 1;
        if (null) {
            statuses.add(EPQ_ARG);
        }
        if (of != nullptr && size != of->element_size) {
            statuses.add(EPQ_TYPE);
        }
        if (statuses.empty()) {
            statuses.add(of->closed ? EPQ_CLOSED : room_in(*of) == 0 ? EPQ_FULL : EPQ_OK);
        }
        surroundings around(input_);
        const unsigned char nothing = 0;
        const epq_status status = around.make(statuses, [&](epq_error* error) {
            return kind.try_send(handle, null ? nullptr : (element.empty() ? &nothing : element.data()), size, error);
        });
        if (status == EPQ_OK) {
            sent(handle, *of, element);
            announce(handle, *of);
        }
    }

    void send_n(const functions& kind) {
        const std::uint64_t handle = some_handle();
        legal statuses;
        object* of = object_of(handle, kind, statuses);
        const std::size_t size = some_size(of);
        std::size_t count = input_.below(most_elements + 1);
        const bool huge = input_.below(16) == 1 && size > 1;
        bytes elements;
        std::vector<bytes> each;
        if (size <= 8192) {
            for (std::size_t i = 0; i < count; ++i) {
                each.push_back(fresh_element(size));
                elements.insert(elements.end(), each.back().begin(), each.back().end());
            }
        }
        if (huge) {
            count = SIZE_MAX / 2 / size + 1 + input_.byte();
            statuses.add(EPQ_ARG);
        }
        const bool null = input_.below(16) == 1;
        const bool null_sent = input_.below(16) == 1;
        if ((null && count != 0) || null_sent || (size > 8192 && count > SIZE_MAX / 2 / size)) {
            statuses.add(EPQ_ARG);
        }
        if (of != nullptr && size != of->element_size) {
            statuses.add(EPQ_TYPE);
        }
        const bool legitimate = statuses.empty();
        const std::size_t fits = of == nullptr ? 0 : std::min(count, room_in(*of));
        if (legitimate) {
            statuses.add(count == 0     ? EPQ_OK
                         : of->closed   ? EPQ_CLOSED
                         : fits == 0    ? EPQ_FULL
                         : fits < count ? EPQ_PARTIAL
                                        : EPQ_OK);
            if (count > 1 && !kind.is_bounded) {
                statuses.add(EPQ_PARTIAL); // only if memory ran out, see below
            }
        }
        constexpr std::size_t untouched = 99999;
        std::size_t done = untouched;
        surroundings around(input_);
        const epq_status status = around.make(statuses, [&](epq_error* error) {
            return kind.send_n(handle, null ? nullptr : data_of(elements), size, count, null_sent ? nullptr : &done,
                               error);
        });
        if (status != EPQ_OK && status != EPQ_PARTIAL) {
            check(done == untouched, "a send that sends nothing writes no count");
            return;
        }
        check(status != EPQ_OK || done == count, "EPQ_OK has sent all");
        check(status != EPQ_PARTIAL || (done != 0 && done < count), "EPQ_PARTIAL has sent some");
        check(status != EPQ_PARTIAL || (kind.is_bounded ? done == fits : failing_allocation::happened()),
              "EPQ_PARTIAL has sent what fits, or what there was memory for");
        for (std::size_t i = 0; i < done; ++i) {
            sent(handle, *of, each[i]);
        }
        if (done != 0) {
            announce(handle, *of);
        }
    }

    static std::size_t room_in(const object& of) noexcept {
        return of.capacity == 0 ? SIZE_MAX : static_cast<std::size_t>(of.capacity) - of.content.size();
    }

    static unsigned char* data_of(bytes& of) noexcept {
        static unsigned char nothing = 0;
        return of.empty() ? &nothing : of.data();
    }

    static void sent(std::uint64_t, object& of, const bytes& element) {
        of.content.push_back(element);
        ++of.sends;
    }

    // ---- receiving -------------------------------------------------------------------------------------------------------

    /// Checks what arrived against what was to come.
    static void received(object& of, bool is_fifo, const unsigned char* elements, std::size_t count) {
        check(count <= of.content.size(), "nothing is received that was not sent");
        for (std::size_t i = 0; i < count; ++i) {
            const bytes& expected = is_fifo ? of.content.front() : of.content.back();
            check(std::memcmp(expected.data(), elements + i * expected.size(), expected.size()) == 0,
                  "what is received was sent, and comes in its turn");
            is_fifo ? of.content.pop_front() : of.content.pop_back();
            ++of.receives;
        }
    }

    void try_recv(const functions& kind) {
        const std::uint64_t handle = some_handle();
        legal statuses;
        object* of = object_of(handle, kind, statuses);
        const std::size_t size = some_size(of);
        bytes element(std::min<std::size_t>(size, 8192), 0xee);
        const bytes before = element;
        const bool null = input_.below(16) == 1;
        if (null) {
            statuses.add(EPQ_ARG);
        }
        if (of != nullptr && size != of->element_size) {
            statuses.add(EPQ_TYPE);
        }
        if (statuses.empty()) {
            statuses.add(!of->content.empty() ? EPQ_OK : of->closed ? EPQ_CLOSED : EPQ_EMPTY);
        }
        surroundings around(input_);
        const epq_status status = around.make(statuses, [&](epq_error* error) {
            return kind.try_recv(handle, null ? nullptr : data_of(element), size, error);
        });
        if (status == EPQ_OK) {
            received(*of, kind.is_fifo, element.data(), 1);
        } else {
            check(element == before, "a receive that fails writes nothing");
        }
    }

    void recv_n(const functions& kind) {
        const std::uint64_t handle = some_handle();
        legal statuses;
        object* of = object_of(handle, kind, statuses);
        const std::size_t size = some_size(of);
        std::size_t capacity = input_.below(most_elements + 1);
        bytes elements(capacity * std::min<std::size_t>(size, 4096), 0xee);
        if (input_.below(16) == 1 && size > 1) {
            capacity = SIZE_MAX / 2 / size + 1 + input_.byte();
        }
        const bytes before = elements;
        const bool null = input_.below(16) == 1;
        const bool null_received = input_.below(16) == 1;
        if (null || null_received || capacity == 0 || (size != 0 && capacity > SIZE_MAX / 2 / size)) {
            statuses.add(EPQ_ARG);
        }
        if (of != nullptr && size != of->element_size) {
            statuses.add(EPQ_TYPE);
        }
        const bool waits = input_.below(8) == 1;
        // Without limit only where there is nothing to wait for.
        const bool ready = of != nullptr && (!of->content.empty() || of->closed);
        const std::int64_t timeout = !waits ? 0 : ready && input_.flag() ? INT64_MIN + input_.byte() : 1000;
        if (statuses.empty()) {
            statuses.add(!of->content.empty() ? EPQ_OK : of->closed ? EPQ_CLOSED : waits ? EPQ_TIMEOUT : EPQ_EMPTY);
        }
        constexpr std::size_t untouched = 99999;
        std::size_t done = untouched;
        surroundings around(input_);
        const epq_status status = around.make(statuses, [&](epq_error* error) {
            return kind.recv_n(handle, null ? nullptr : data_of(elements), size, capacity,
                               null_received ? nullptr : &done, timeout, error);
        });
        if (status != EPQ_OK) {
            check(done == untouched && elements == before, "a receive that fails writes nothing");
            return;
        }
        check(done != 0 && done <= capacity, "EPQ_OK has received between one and the capacity");
        received(*of, kind.is_fifo, elements.data(), done);
    }

    // ---- observing -------------------------------------------------------------------------------------------------------

    void stats(const functions& kind) {
        const std::uint64_t handle = some_handle();
        legal statuses;
        object* of = object_of(handle, kind, statuses);
        sized<epq_stats> out(input_, sizeof(epq_stats), offsetof(epq_stats, capacity));
        const bytes before = out.memory();
        const bool null = input_.below(16) == 1;
        if (null || !out.large_enough()) {
            statuses.add(EPQ_ARG);
        }
        if (statuses.empty()) {
            statuses.add(EPQ_OK);
        }
        surroundings around(input_);
        const epq_status status = around.make(
            statuses, [&](epq_error* error) { return kind.stats(handle, null ? nullptr : out.get(), error); });
        if (status != EPQ_OK) {
            check(out.memory() == before, "statistics that fail write nothing");
            return;
        }
        const epq_stats& got = *out.get();
        check(got.element_size == of->element_size && got.type_id == of->type_id, "statistics say what the object is");
        check(got.name == of->name, "statistics say its name");
        check(got.sends == of->sends && got.receives == of->receives, "statistics count exactly while nothing runs");
        check(got.length == of->content.size(), "statistics say how long it is");
        check(!out.has_all() || got.capacity == of->capacity, "statistics say how much it holds");
        check(got.closed == (of->closed ? 1U : 0U), "statistics say whether it is closed");
        check(got.waiters == (of->armed ? 1U : 0U), "statistics count the watcher");
    }

    void initialise() {
        sized<epq_init_options> options(input_, sizeof(epq_init_options));
        sized<epq_init_reply> reply(input_, sizeof(epq_init_reply));
        static constexpr std::uint32_t versions[] = {EPQ_ABI_VERSION, 0,   999, EPQ_ABI_VERSION + 1, 2000,
                                                     0xffffffff,      1000};
        options.get()->abi_version = versions[input_.below(std::size(versions))];
        options.get()->incompat = input_.below(4) == 1 ? std::uint64_t{1} << 63 : 0;
        const bool null_options = input_.below(16) == 1;
        const bool null_reply = input_.flag();
        legal statuses;
        if (null_options || !options.large_enough() || (!null_reply && !reply.large_enough())) {
            statuses.add(EPQ_ARG);
        }
        const std::uint32_t version = options.get()->abi_version;
        if (version < EPQ_ABI_VERSION / 1000 * 1000 || version > EPQ_ABI_VERSION || options.get()->incompat != 0) {
            statuses.add(EPQ_ABI);
        }
        if (statuses.empty()) {
            statuses.add(EPQ_OK);
        }
        const bytes before = reply.memory();
        surroundings around(input_);
        const epq_status status = around.make(statuses, [&](epq_error* error) {
            return epq_init(null_options ? nullptr : options.get(), null_reply ? nullptr : reply.get(), error);
        });
        if (status == EPQ_OK && !null_reply) {
            check(reply.get()->abi_version == epq_abi_version(), "the reply tells the library's version");
        } else {
            check(reply.memory() == before, "an init that fails writes nothing");
        }
    }

    // ---- the notifier ----------------------------------------------------------------------------------------------------

    void watch(const functions& kind) {
        const std::uint64_t handle = some_handle();
        legal statuses;
        object* of = object_of(handle, kind, statuses);
        if (statuses.empty()) {
            statuses.add(EPQ_OK);
        }
        surroundings around(input_);
        if (around.make(statuses, [&](epq_error* error) { return kind.watch(handle, error); }) == EPQ_OK) {
            of->armed = true;
        }
    }
    void announce(std::uint64_t handle, object& of) {
        if (of.armed) {
            of.armed = false;
            announced_.insert(handle);
        }
    }
    void take_announced() {
        const std::size_t capacity = input_.below(4);
        std::vector<std::uint64_t> handles(capacity);
        std::size_t taken = 99999;
        std::uint32_t more = 99999;
        surroundings around(input_);
        const epq_status status = around.make({capacity == 0 ? EPQ_ARG : EPQ_OK}, [&](epq_error* error) {
            std::uint64_t none = 0;
            return epq_notifier_take(capacity == 0 ? &none : handles.data(), capacity, &taken, &more, error);
        });
        if (status != EPQ_OK) {
            check(taken == 99999 && more == 99999, "a take that fails writes nothing");
            return;
        }
        check(taken <= capacity, "no more is taken than there is room for");
        for (std::size_t i = 0; i < taken; ++i) {
            check(announced_.erase(handles[i]) == 1, "what was armed and got something is announced, once");
        }
        check(more == (announced_.empty() ? 0U : 1U), "`more` says whether there are more");
    }
    void drain_notifier() {
        std::uint64_t handles[8];
        std::size_t taken = 0;
        std::uint32_t more = 1;
        while (more != 0) {
            check(epq_notifier_take(handles, std::size(handles), &taken, &more, nullptr) == EPQ_OK, "a take succeeds");
            for (std::size_t i = 0; i < taken; ++i) {
                check(announced_.erase(handles[i]) == 1, "what was armed and got something is announced, once");
            }
        }
        check(announced_.empty(), "every announcement is handed out");
    }

    program& input_;
    std::map<std::uint64_t, object> live_;
    std::vector<std::uint64_t> dead_;
    std::set<std::uint64_t> announced_;
    std::uint64_t last_ = 0;
};

} // namespace
} // namespace epoque::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    epoque::fuzz::program input(data, size);
    epoque::fuzz::ffi_program(input).run();
    return 0;
}
