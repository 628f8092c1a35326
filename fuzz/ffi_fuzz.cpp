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
#include "ffi_calls.hpp"
#include "program.hpp"

#include "epoque.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace epoque::fuzz {
namespace {

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
            const auto [handle, left] = *live_.begin();
            if ((left.rights & EPQ_RIGHT_DESTROY) != 0) {
                check(kinds[left.of->kind - 1].destroy(handle, nullptr) == EPQ_OK, "a live handle can be destroyed");
                announce(*left.of);
                forget_all(left.of);
            } else {
                check(epq_revoke(handle, nullptr) == EPQ_OK, "a live handle can be revoked");
                announce(*left.of);
                forget(handle);
            }
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
        std::uint64_t watcher = 0; // the handle that was watched first
        std::uint64_t sends = 0;
        std::uint64_t receives = 0;
    };

    void step() {
        const functions& kind = kinds[input_.below(std::size(kinds))];
        switch (input_.below(18)) {
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
        case 14:
            return dup();
        case 15:
            return revoke();
        case 16:
            return list();
        case 17:
            return input_.below(4) == 0 ? shutdown() : list();
        default:
            return end(kind, true);
        }
    }

    /// A live handle.
    struct named {
        std::shared_ptr<object> of;
        std::uint32_t rights;
    };

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

    object* object_of(std::uint64_t handle, const functions& kind, std::uint32_t needs, legal& statuses) {
        const auto found = live_.find(handle);
        if (found == live_.end()) {
            statuses.add(EPQ_STALE);
            return nullptr;
        }
        if (found->second.of->kind != kind.kind) {
            statuses.add(EPQ_KIND);
            return nullptr;
        }
        if ((found->second.rights & needs) != needs) {
            statuses.add(EPQ_RIGHTS);
            return nullptr;
        }
        return found->second.of.get();
    }
    void forget(std::uint64_t handle) {
        dead_.push_back(handle);
        live_.erase(handle);
    }
    void forget_all(const std::shared_ptr<object>& of) {
        std::vector<std::uint64_t> handles;
        for (const auto& [handle, each] : live_) {
            if (each.of == of) {
                handles.push_back(handle);
            }
        }
        for (const std::uint64_t handle : handles) {
            forget(handle);
        }
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
        live_.emplace(out, named{std::make_shared<object>(std::move(made)), EPQ_RIGHT_ALL});
    }

    /// Close or destroy.
    void end(const functions& kind, bool for_good) {
        const std::uint64_t handle = some_handle();
        legal statuses;
        object* of = object_of(handle, kind, for_good ? EPQ_RIGHT_DESTROY : EPQ_RIGHT_CLOSE, statuses);
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
        announce(*of);
        if (for_good) {
            forget_all(std::shared_ptr<object>(live_.at(handle).of));
        } else {
            of->closed = true;
        }
    }

    void dup() {
        if (live_.size() >= 12) {
            return revoke();
        }
        const std::uint64_t handle = some_handle();
        static constexpr std::uint32_t wishes[] = {EPQ_RIGHT_ALL, 0, EPQ_RIGHT_ALL + 1, 0xffffffff};
        const std::uint32_t rights =
            input_.below(8) == 1 ? wishes[input_.below(std::size(wishes))] : input_.byte() & EPQ_RIGHT_ALL;
        const bool null = input_.below(16) == 1;
        const auto found = live_.find(handle);
        legal statuses;
        if (rights == 0 || rights > EPQ_RIGHT_ALL || null) {
            statuses.add(EPQ_ARG);
        }
        if (found == live_.end()) {
            statuses.add(EPQ_STALE);
        } else if ((found->second.rights & rights) != rights) {
            statuses.add(EPQ_RIGHTS);
        }
        if (statuses.empty()) {
            statuses.add(EPQ_OK);
        }
        constexpr std::uint64_t untouched = 0x1234567;
        std::uint64_t out = untouched;
        surroundings around(input_);
        const epq_status status = around.make(
            statuses, [&](epq_error* error) { return epq_dup(handle, rights, null ? nullptr : &out, error); });
        if (status != EPQ_OK) {
            check(out == untouched, "a dup that fails gives no handle");
            return;
        }
        check(live_.count(out) == 0 && std::find(dead_.begin(), dead_.end(), out) == dead_.end(),
              "no handle is given out twice");
        check(out >> 56 == handle >> 56, "a dup is of its parent's kind");
        live_.emplace(out, named{found->second.of, rights});
    }

    void revoke() {
        const std::uint64_t handle = some_handle();
        const auto found = live_.find(handle);
        surroundings around(input_);
        const epq_status status = around.make({found == live_.end() ? EPQ_STALE : EPQ_OK},
                                              [&](epq_error* error) { return epq_revoke(handle, error); });
        if (status == EPQ_OK) {
            announce(*found->second.of);
            forget(handle);
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
        object* of = object_of(handle, kind, EPQ_RIGHT_SEND, statuses);
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
            announce(*of);
        }
    }

    void send_n(const functions& kind) {
        const std::uint64_t handle = some_handle();
        legal statuses;
        object* of = object_of(handle, kind, EPQ_RIGHT_SEND, statuses);
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
            announce(*of);
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
        object* of = object_of(handle, kind, EPQ_RIGHT_RECEIVE, statuses);
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
        object* of = object_of(handle, kind, EPQ_RIGHT_RECEIVE, statuses);
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
        object* of = object_of(handle, kind, EPQ_RIGHT_OBSERVE, statuses);
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

    void list() {
        const std::size_t capacity = input_.below(4);
        std::vector<epq_handle_info> infos(capacity + 1);
        std::uint64_t cursor = input_.below(4) == 1 ? input_.word() : 0;
        const bool complete = cursor == 0;
        std::size_t seen = 0;
        do {
            std::size_t listed = 99999;
            infos[0].size = sizeof infos[0];
            surroundings around(input_);
            const epq_status status = around.make({capacity == 0 ? EPQ_ARG : EPQ_OK}, [&](epq_error* error) {
                return epq_list(&cursor, infos.data(), capacity, &listed, error);
            });
            if (status != EPQ_OK) {
                check(listed == 99999, "a list that fails writes nothing");
                return;
            }
            check(listed <= capacity, "no more is listed than there is room for");
            for (std::size_t i = 0; i < listed; ++i) {
                const auto found = live_.find(infos[i].handle);
                check(found != live_.end(), "what is listed is live");
                const object& of = *found->second.of;
                check(infos[i].rights == found->second.rights && infos[i].kind == of.kind,
                      "a list says what it may do");
                check(infos[i].name == of.name && infos[i].length == of.content.size(), "a list says what it is");
                check(infos[i].closed == (of.closed ? 1U : 0U), "a list says whether it is closed");
            }
            seen += listed;
        } while (cursor != 0);
        check(!complete || seen == live_.size(), "all that is live is listed once");
    }

    void shutdown() {
        const bool destroys = input_.flag();
        const std::uint32_t flags = input_.below(8) == 1 ? input_.byte() : destroys ? EPQ_SHUTDOWN_DESTROY : 0;
        sized<epq_shutdown_report> report(input_, sizeof(epq_shutdown_report));
        const bool null = input_.below(4) == 1;
        const bool reserved = input_.below(16) == 1;
        report.get()->reserved = reserved ? 1 : 0;
        epq_handle_info infos[2] = {};
        infos[0].size = input_.below(8) == 1 ? input_.byte() : static_cast<std::uint32_t>(sizeof infos[0]);
        if (infos[0].size > sizeof infos[0]) {
            infos[0].size = sizeof infos[0];
        }
        report.get()->infos = input_.below(8) == 1 ? nullptr : infos;
        report.get()->capacity = input_.below(3);
        const bool bad_infos =
            report.get()->capacity != 0 && (report.get()->infos == nullptr || infos[0].size != sizeof infos[0]);
        legal statuses;
        if (flags > EPQ_SHUTDOWN_DESTROY || (!null && (!report.large_enough() || reserved || bad_infos))) {
            statuses.add(EPQ_ARG);
        } else {
            statuses.add(live_.empty() || flags == EPQ_SHUTDOWN_DESTROY ? EPQ_OK : EPQ_TIMEOUT);
        }
        const bytes before = report.memory();
        const std::size_t held = live_.size();
        surroundings around(input_);
        const epq_status status = around.make(
            statuses, [&](epq_error* error) { return epq_shutdown(0, flags, null ? nullptr : report.get(), error); });
        if (status != EPQ_OK && status != EPQ_TIMEOUT) {
            check(report.memory() == before, "a shutdown that fails reports nothing");
            if (status == EPQ_NOMEM) {
                check(failing_allocation::happened(), "memory ran out");
            }
            return;
        }
        if (!null) {
            check(report.get()->held == held, "a shutdown tells how many handles were held");
            check(report.get()->listed == std::min<std::size_t>(held, report.get()->capacity), "and lists what fits");
            check(report.get()->pending_objects == 0, "and waits for the reclamation");
        }
        for (auto& [handle, each] : live_) {
            if (!each.of->closed) {
                each.of->closed = true;
                announce(*each.of);
            }
        }
        while (flags == EPQ_SHUTDOWN_DESTROY && !live_.empty()) {
            announce(*live_.begin()->second.of);
            forget_all(std::shared_ptr<object>(live_.begin()->second.of));
        }
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
        object* of = object_of(handle, kind, EPQ_RIGHT_OBSERVE, statuses);
        if (statuses.empty()) {
            statuses.add(of->watcher == 0 || of->watcher == handle ? EPQ_OK : EPQ_RIGHTS);
        }
        surroundings around(input_);
        if (around.make(statuses, [&](epq_error* error) { return kind.watch(handle, error); }) == EPQ_OK) {
            of->watcher = handle;
            of->armed = true;
        }
    }
    void announce(object& of) {
        if (of.armed) {
            of.armed = false;
            announced_.insert(of.watcher);
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
    std::map<std::uint64_t, named> live_;
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
