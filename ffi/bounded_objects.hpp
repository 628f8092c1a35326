// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: ffi. Depends on: base, domain, core/{swap_ring,spsc_ring}.hpp, objects.hpp.
///
/// The objects of a fixed capacity behind the handles; see objects.hpp for what a kind has.
///
/// The ring of one sender and one receiver is undefined behaviour for two threads at the same end, and the interface cannot
/// trust its callers to keep them apart. So each end has a flag that a call takes for as long as it is there:
///
///     spsc_object ---> sending_   0 | 1      taken by an exchange, given back by a store; one line of its own each
///                      receiving_ 0 | 1
///
/// Invariant:
///   B1  Only who has changed a flag from 0 to 1, and not yet back, is at that end of the ring. Who finds 1 does nothing and
///       answers BUSY. So the ring has one producer and one consumer at a time, and each of them sees what the one before it
///       did: the flag is released and acquired.
/// Cost: one read-modify-write of a line that nobody else writes as long as the callers keep their promise, once a call, however
/// many elements it moves.
/// Progress: wait-free. A thread that stops inside an end keeps that end BUSY, nothing else.
#pragma once

#include "epoque.h"
#include "objects.hpp"

#include "epoque/base/config.hpp"
#include "epoque/base/env.hpp"
#include "epoque/core/spsc_ring.hpp"
#include "epoque/core/swap_ring.hpp"
#include "epoque/domain.hpp"

#include <cstddef>
#include <cstdint>

namespace epoque::ffi {

/// About how many bytes so many cells of a ring have.
inline std::size_t ring_bytes(std::uint64_t cells, std::size_t element_size) noexcept {
    constexpr std::size_t word = 8; // of a cell
    return static_cast<std::size_t>(cells) * (element_size + word);
}

class bounded_object final : public object {
  public:
    static constexpr std::uint8_t kind = EPQ_KIND_BOUNDED;
    static constexpr const char* word = "bounded queue";
    static constexpr bool is_bounded = true;
    static constexpr op_numbers ops = {EPQ_OP_BOUNDED_CREATE,   EPQ_OP_BOUNDED_CLOSE,    EPQ_OP_BOUNDED_DESTROY,
                                       EPQ_OP_BOUNDED_TRY_SEND, EPQ_OP_BOUNDED_TRY_RECV, EPQ_OP_BOUNDED_SEND_N,
                                       EPQ_OP_BOUNDED_RECV_N,   EPQ_OP_BOUNDED_STATS,    EPQ_OP_BOUNDED_WATCH};

    /// Throws: bad_alloc.
    bounded_object(domain& home, const epq_options& options)
        : object(options),
          core_(static_cast<std::size_t>(options.capacity), home, core::byte_cells(options.element_size)) {}

    /// Where `sent` is less than `count`, `why` says why. Throws: bad_alloc; nothing was sent then.
    void send(const record_type&, const void* elements, std::size_t count, std::size_t& sent, conqueue_status& why) {
        sender from(elements, element_size());
        sent = core_.push(
            count, why, [&from](auto& cell) noexcept { from.put(cell); }, [&from](auto&) noexcept { from.undo(); });
    }
    /// Throws: bad_alloc; nothing was received then.
    std::size_t receive(const record_type&, void* elements, std::size_t capacity, conqueue_status& why) {
        receiver to(elements, element_size());
        return core_.pop(capacity, why, [&to](auto& cell) noexcept { to.take(cell); });
    }
    void close() noexcept override { core_.close(); }
    std::uint64_t capacity() const noexcept override { return core_.capacity(); }
    bool was_closed() const noexcept override { return core_.is_closed(); }
    bool was_empty() const noexcept { return core_.was_size() == 0; }
    std::uint64_t was_sent() const noexcept override { return core_.was_pushed(); }
    std::uint64_t was_received() const noexcept override { return core_.was_popped(); }
    std::size_t footprint() const noexcept override {
        constexpr std::size_t locker = 128; // of each spare cell, at most
        return sizeof *this + ring_bytes(core_.capacity() + std_env::spare_cells, element_size()) +
               std_env::spare_cells * locker;
    }

  private:
    core::swap_ring<core::byte_cells, std_env> core_;
};

/// One end of a queue for one thread at a time. See B1.
class alignas(interference_size) ring_end {
  public:
    /// Being at the end, for as long as this lives, if it was free.
    class visit {
      public:
        explicit visit(ring_end& at) noexcept
            // [end.take] acquire: pairs with [end.leave]
            //   B1: what the one before did to its side of the ring.
            : at_(at), alone_(at.taken_.exchange(1, std_env::acquire) == 0) {}
        visit(const visit&) = delete;
        visit& operator=(const visit&) = delete;
        ~visit() {
            if (alone_) {
                // [end.leave] release: pairs with [end.take]
                //   B1: what we did to our side of the ring.
                at_.taken_.store(0, std_env::release);
            }
        }
        bool alone() const noexcept { return alone_; }

      private:
        ring_end& at_;
        const bool alone_;
    };

  private:
    std_env::atomic<std::uint32_t> taken_{0};
};

class spsc_object final : public object {
  public:
    static constexpr std::uint8_t kind = EPQ_KIND_SPSC;
    static constexpr const char* word = "spsc queue";
    static constexpr bool is_bounded = true;
    static constexpr op_numbers ops = {EPQ_OP_SPSC_CREATE,   EPQ_OP_SPSC_CLOSE,    EPQ_OP_SPSC_DESTROY,
                                       EPQ_OP_SPSC_TRY_SEND, EPQ_OP_SPSC_TRY_RECV, EPQ_OP_SPSC_SEND_N,
                                       EPQ_OP_SPSC_RECV_N,   EPQ_OP_SPSC_STATS,    EPQ_OP_SPSC_WATCH};

    /// Throws: bad_alloc.
    spsc_object(domain&, const epq_options& options)
        : object(options),
          core_(static_cast<std::size_t>(options.capacity), core::byte_cells(options.element_size), nullptr) {}

    /// As bounded_object's; and `why` is busy when another thread is at this end. Throws nothing.
    void send(const record_type&, const void* elements, std::size_t count, std::size_t& sent,
              conqueue_status& why) noexcept {
        const ring_end::visit mine(sending_);
        if (!mine.alone()) [[unlikely]] {
            why = conqueue_status::busy;
            return;
        }
        sender from(elements, element_size());
        sent = core_.push(
            count, why, [&from](auto& cell) noexcept { from.put(cell); }, [&from](auto&) noexcept { from.undo(); });
    }
    std::size_t receive(const record_type&, void* elements, std::size_t capacity, conqueue_status& why) noexcept {
        const ring_end::visit mine(receiving_);
        if (!mine.alone()) [[unlikely]] {
            why = conqueue_status::busy;
            return 0;
        }
        receiver to(elements, element_size());
        return core_.pop(capacity, why, [&to](auto& cell) noexcept { to.take(cell); });
    }
    void close() noexcept override { core_.close(); }
    std::uint64_t capacity() const noexcept override { return core_.capacity(); }
    bool was_closed() const noexcept override { return core_.is_closed(); }
    bool was_empty() const noexcept { return core_.was_size() == 0; }
    std::uint64_t was_sent() const noexcept override { return core_.was_pushed(); }
    std::uint64_t was_received() const noexcept override { return core_.was_popped(); }
    std::size_t footprint() const noexcept override {
        return sizeof *this + ring_bytes(core_.capacity(), element_size());
    }

  private:
    core::spsc_ring<core::byte_cells, std_env> core_;
    ring_end sending_;
    ring_end receiving_;
};

} // namespace epoque::ffi
