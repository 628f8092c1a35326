// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: ffi. Depends on: base, domain, core/{segment_queue,treiber_stack}.hpp, waiting.hpp.
///
/// The objects behind the handles: a core over elements of any size, and what the interface adds to it. One class a kind,
/// all with the same members, so that each function of the interface is one template over the kind. The bounded kinds are in
/// bounded_objects.hpp.
///
/// A kind has:  kind, word (its name in messages), is_bounded, ops (the numbers of its functions);
///              send, receive, close, was_closed, was_empty, was_sent, was_received, capacity.
#pragma once

#include "epoque.h"
#include "waiting.hpp"

#include "epoque/base/parking.hpp"
#include "epoque/core/segment_queue.hpp"
#include "epoque/core/treiber_stack.hpp"
#include "epoque/domain.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <unistd.h>

namespace epoque::ffi {

using record_type = core::record<std_env>;

/// What all kinds have.
class object {
  public:
    object(const object&) = delete;
    object& operator=(const object&) = delete;
    virtual ~object() { waiting_->release(); }
    /// About how many bytes its end frees: what the domain counts as garbage.
    virtual std::size_t footprint() const noexcept = 0;

    // For who goes over all objects; each kind's own functions use its own members.
    virtual void close() noexcept = 0;
    virtual bool was_closed() const noexcept = 0;
    virtual std::uint64_t was_sent() const = 0;
    virtual std::uint64_t was_received() const = 0;
    virtual std::uint64_t capacity() const noexcept = 0;
    /// On parking's clock.
    std::int64_t created() const noexcept { return created_; }
    /// The kernel's number of the thread that created it.
    std::uint64_t creator() const noexcept { return creator_; }

    const char* name() const noexcept { return name_; }
    std::size_t element_size() const noexcept { return element_size_; }
    std::uint64_t type_id() const noexcept { return type_id_; }
    waiting_cell<>& waiting() const noexcept { return *waiting_; }

  protected:
    /// Precondition: the options are valid. Throws: bad_alloc.
    explicit object(const epq_options& options)
        : element_size_(options.element_size), type_id_(options.type_id), created_(parking::now()),
          creator_(static_cast<std::uint64_t>(::gettid())), waiting_(waiting_cell<>::make()) {
        std::memcpy(name_, options.name, sizeof name_);
    }
    /// What is inside, about.
    std::size_t bytes_of(std::uint64_t sent, std::uint64_t received) const noexcept {
        constexpr std::size_t header = 16; // of a cell or node
        return sent > received ? static_cast<std::size_t>(sent - received) * (element_size_ + header) : 0;
    }

  private:
    // Constant.
    const std::size_t element_size_;
    const std::uint64_t type_id_;
    const std::int64_t created_;
    const std::uint64_t creator_;
    waiting_cell<>* const waiting_; // one reference to it
    char name_[sizeof epq_options::name];
};

/// About how many elements there are, by counts of which `received` was read first. `capacity`: 0 for none.
constexpr std::uint64_t length_of(std::uint64_t received, std::uint64_t sent, std::uint64_t capacity) noexcept {
    const std::uint64_t length = sent > received ? sent - received : 0;
    return capacity != 0 && length > capacity ? capacity : length; // sends that came between the two looks
}

/// The numbers of a kind's functions, for epq_error.
struct op_numbers {
    std::uint32_t create, close, destroy, try_send, try_recv, send_n, recv_n, stats, watch;
};

/// Walks over the elements of a send.
class sender {
  public:
    sender(const void* elements, std::size_t size) noexcept
        : next_(static_cast<const std::byte*>(elements)), size_(size) {}

    template <class Cell>
    void put(Cell& cell) noexcept {
        std::memcpy(cell.bytes(), next_, size_);
        next_ += size_;
    }
    void undo() noexcept { next_ -= size_; }

  private:
    const std::byte* next_;
    const std::size_t size_;
};

/// Walks over the room for what is received.
class receiver {
  public:
    receiver(void* elements, std::size_t size) noexcept : next_(static_cast<std::byte*>(elements)), size_(size) {}

    template <class Cell>
    void take(Cell& cell) noexcept {
        std::memcpy(next_, cell.bytes(), size_);
        next_ += size_;
    }

  private:
    std::byte* next_;
    const std::size_t size_;
};

class queue_object final : public object {
  public:
    static constexpr std::uint8_t kind = EPQ_KIND_QUEUE;
    static constexpr const char* word = "queue";
    static constexpr bool is_bounded = false;
    static constexpr op_numbers ops = {EPQ_OP_QUEUE_CREATE,   EPQ_OP_QUEUE_CLOSE,    EPQ_OP_QUEUE_DESTROY,
                                       EPQ_OP_QUEUE_TRY_SEND, EPQ_OP_QUEUE_TRY_RECV, EPQ_OP_QUEUE_SEND_N,
                                       EPQ_OP_QUEUE_RECV_N,   EPQ_OP_QUEUE_STATS,    EPQ_OP_QUEUE_WATCH};

    /// Throws: bad_alloc.
    queue_object(domain& home, const epq_options& options)
        : object(options), core_(home, core::byte_cells(options.element_size)) {}

    /// Where `sent` is less than `count`, `why` says why. Throws: bad_alloc; `sent` then says how many were sent.
    void send(const record_type&, const void* elements, std::size_t count, std::size_t& sent, conqueue_status& why) {
        why = conqueue_status::closed;
        sender from(elements, element_size());
        core_.push(
            count, sent, [&from](auto& cell) noexcept { from.put(cell); }, [&from](auto&) noexcept { from.undo(); });
    }
    std::size_t receive(const record_type&, void* elements, std::size_t capacity, conqueue_status& why) {
        receiver to(elements, element_size());
        return core_.pop(capacity, why, [&to](auto& cell) noexcept { to.take(cell); });
    }
    void close() noexcept override { core_.close(); }
    std::uint64_t capacity() const noexcept override { return 0; }
    bool was_closed() const noexcept override { return core_.is_closed(); }
    bool was_empty() const { return core_.was_empty(); }
    // The tickets, which cost nothing; a cell that was abandoned counts on both sides.
    std::uint64_t was_sent() const override { return core_.was_sent(); }
    std::uint64_t was_received() const override { return core_.was_received(); }
    std::size_t footprint() const noexcept override { // in a destroy: the thread has its record, nothing throws
        constexpr std::size_t first_segment = std::size_t{64} << 10; // at most
        return sizeof *this + first_segment + bytes_of(was_sent(), was_received());
    }

  private:
    core::segment_queue<core::byte_cells, std_env> core_;
};

/// A counter for many threads: each adds to its own shard, mostly.
class sharded_counter {
  public:
    void add(const record_type& record, std::uint64_t n) noexcept {
        // [shard.add] relaxed: a statistic.
        shards_[shard_of(record)].value.fetch_add(n, std_env::relaxed);
    }
    std::uint64_t sum() const noexcept {
        std::uint64_t total = 0;
        for (const shard& each : shards_) {
            // [shard.sum] relaxed: a statistic.
            total += each.value.load(std_env::relaxed);
        }
        return total;
    }

  private:
    static constexpr std::size_t count = 8;
    static std::size_t shard_of(const record_type& record) noexcept {
        // SAFETY: only the number of the address is used.
        return static_cast<std::size_t>(reinterpret_cast<std::uintptr_t>(&record) / sizeof(record_type)) % count;
    }
    struct alignas(interference_size) shard {
        std_env::atomic<std::uint64_t> value{0};
    };
    shard shards_[count];
};

class stack_object final : public object {
  public:
    static constexpr std::uint8_t kind = EPQ_KIND_STACK;
    static constexpr const char* word = "stack";
    static constexpr bool is_bounded = false;
    static constexpr op_numbers ops = {EPQ_OP_STACK_CREATE,   EPQ_OP_STACK_CLOSE,    EPQ_OP_STACK_DESTROY,
                                       EPQ_OP_STACK_TRY_SEND, EPQ_OP_STACK_TRY_RECV, EPQ_OP_STACK_SEND_N,
                                       EPQ_OP_STACK_RECV_N,   EPQ_OP_STACK_STATS,    EPQ_OP_STACK_WATCH};

    /// Throws: bad_alloc.
    stack_object(domain& home, const epq_options& options)
        : object(options), core_(home, core::byte_cells(options.element_size)) {}

    /// All or nothing. Throws: bad_alloc; nothing was sent then.
    void send(const record_type& record, const void* elements, std::size_t count, std::size_t& sent,
              conqueue_status& why) {
        sender from(elements, element_size());
        why = core_.push(
            count, [&from](auto& cell) noexcept { from.put(cell); }, [&from](auto&) noexcept { from.undo(); });
        if (why == conqueue_status::success) {
            sent = count;
            sends_.add(record, count);
        }
    }
    std::size_t receive(const record_type& record, void* elements, std::size_t capacity, conqueue_status& why) {
        receiver to(elements, element_size());
        std::size_t taken = 0;
        while (taken < capacity) {
            why = core_.pop([&to](auto& cell) noexcept { to.take(cell); });
            if (why != conqueue_status::success) {
                break;
            }
            ++taken;
        }
        if (taken != 0) {
            receives_.add(record, taken);
        }
        return taken;
    }
    void close() noexcept override { core_.close(); }
    std::uint64_t capacity() const noexcept override { return 0; }
    bool was_closed() const noexcept override { return core_.is_closed(); }
    bool was_empty() const noexcept { return core_.was_empty(); }
    std::uint64_t was_sent() const noexcept override { return sends_.sum(); }
    std::uint64_t was_received() const noexcept override { return receives_.sum(); }
    std::size_t footprint() const noexcept override { return sizeof *this + bytes_of(was_sent(), was_received()); }

  private:
    core::treiber_stack<core::byte_cells, std_env> core_;
    sharded_counter sends_;
    sharded_counter receives_;
};

} // namespace epoque::ffi
