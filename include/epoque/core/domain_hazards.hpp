// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: domain. Hazards: how an operation keeps one block that it looks into, and that alone; include domain.hpp.
///
/// A guard keeps everything that is retired while it lasts: right for users, whose regions reach they alone know what. An operation
/// of ours looks into one block at a time: a stack's node, a queue's segment, a deque's ring. It says which, and a thread that
/// sleeps in it keeps that block and nothing else.
///
///     reader, in its own record                 who unlinked X, with 512 blocks, or 256 KiB, in its limbo
///       hazard = X, light barrier                 heavy barrier
///       is X still linked? (else again)           free each block of the limbo that is no record's hazard
///       ... look into X ...
///       hazard = none
///
/// Invariants (proof: docs/memory-model.md#hazards):
///   H1  A thread looks into a linked block X only between a check, after `hazard = X` and its light barrier, that found X linked,
///       and the store that takes the hazard back; there, too, are the CASes that unlink X. (Who takes all at once owns them, and a
///       queue's only consumer unlinks alone: they need no hazard.)
///   H2  A block that was linked comes back to the pool only through a limbo, where it stays until a pass that began with a heavy
///       barrier, later than its unlinking from every word by which operations come to it, has found it in no record's hazard.
///   H3  A limbo is its record's owner's alone; it is in no list of garbage, and nobody's guard keeps it.
///   H4  An operation that begins while its thread's hazard is set runs inside another one (in an element's code, an iterator's, a
///       memory resource's). Its hazard is `everything` in place of X: while a pass reads that, it frees nothing. Its end gives
///       the outer one's back. So one word a thread is enough, whatever runs inside of what.
///   H1, H2 and H4 imply: nobody looks into a block that was freed, and one that is somebody's hazard does not come back: no ABA.
///
/// Bound: a thread's limbo holds at most 512 blocks or 256 KiB and one block, those that are hazards, and until the next pass
/// those few that the filter took for one; now and then another such limbo, of a thread that has ended. Only a thread that
/// sleeps in an operation inside an operation keeps more: as a guard does, everything; that counts as garbage (domain_options).
/// H4 goes by the order of calls: code that runs inside an operation must not switch to another fiber of its thread. Where the
/// kernel begins to refuse membarrier nothing is freed any more.
/// Progress: lock-free modulo membarrier, once in so many unlinkings. The only foreign code that runs here is the allocator's.
///
/// Sources: Michael, Hazard pointers, TPDS 2004. Dice, Herlihy, Kogan, Fast non-intrusive memory reclamation, ISMM 2016
/// (asymmetric barriers). The filter after Bloom, Space/time trade-offs in hash coding, 1970.
#pragma once

#include "epoque/base/config.hpp"
#include "epoque/domain.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace epoque {

namespace core {

/// Addresses, in 512 bytes whatever their number: never misses one, and takes another one for it once in 4,096 times.
/// Another pass (`number`) makes other mistakes, so that nothing is kept by mistake for long.
class address_filter {
  public:
    explicit address_filter(std::uint64_t number) noexcept : salt_(number * 0x9E3779B97F4A7C15) {}
    void add(std::uintptr_t address) noexcept { bits_[hash(address) / 64] |= std::uint64_t{1} << hash(address) % 64; }
    bool may_contain(std::uintptr_t address) const noexcept {
        return (bits_[hash(address) / 64] >> hash(address) % 64 & 1) != 0;
    }

  private:
    static constexpr std::size_t words = 64;

    std::size_t hash(std::uintptr_t address) const noexcept {
        std::uint64_t mixed = (std::uint64_t{address} ^ salt_) * 0xD1B54A32D192ED03;
        mixed ^= mixed >> 32;
        return static_cast<std::size_t>(mixed * 0x9E3779B97F4A7C15 >> 52); // 12 bits: one of 64 * words
    }

    const std::uint64_t salt_;
    std::array<std::uint64_t, words> bits_{};
};

/// The calling thread's hazard for the length of one operation.
template <class Env>
class hazard {
  public:
    EPOQUE_ALWAYS_INLINE explicit hazard(record<Env>& mine) noexcept : record_(mine) {
        // [hazard.outer] relaxed: our own store. Not 0: we run inside another operation (H4).
        outer_ = mine.hazard.load(Env::relaxed);
    }
    hazard(const hazard&) = delete;
    hazard& operator=(const hazard&) = delete;
    EPOQUE_ALWAYS_INLINE ~hazard() {
        if (held_) {
            release();
        }
    }

    /// Names the block that carries, or will carry, its hook here; in place of the one before. To be checked then (H1).
    EPOQUE_ALWAYS_INLINE void protect(const void* hook) noexcept {
        held_ = true;
        // [hazard.protect] barrier: pairs with [collect.heavy], [collect.hazard]
        //   If our barrier is first, whoever unlinks the block sees our hazard, and keeps it.
        //   If the heavy one is first, our check reads that the block is not linked any more.
        Env::store_light(record_.fast, record_.hazard, outer_ == 0 ? hazard_of(hook) : everything);
    }
    EPOQUE_ALWAYS_INLINE void release() noexcept {
        held_ = false;
        // [hazard.release] release: pairs with [collect.hazard]
        //   Whoever reads it frees the block after our last look into it.
        Env::store_release(record_.fast, record_.hazard, outer_);
    }

  private:
    record<Env>& record_;
    std::uintptr_t outer_ = 0;
    bool held_ = false;
};

} // namespace core

// inline: on the path of each pop of a stack, and no longer than a call of it.
template <class Env>
inline void basic_domain<Env>::retire_unguarded(record_type& record, hook* object) noexcept {
    record.retired_count.add(1);
    record.retired_size.add(object->bytes);
    record.limbo_size.add(object->bytes);
    record.limbo.append(object);
    constexpr std::int64_t least = Env::advance_bytes / Env::advance_objects;
    record.limbo_budget -= std::max<std::int64_t>(object->bytes, least);
    if (record.limbo_budget < 0) [[unlikely]] {
        free_unprotected(record);
    }
}

/// A pass through the limbo.
template <class Env>
void basic_domain<Env>::free_unprotected(record_type& record) noexcept {
    if (record.passing) {
        return; // a memory resource that uses a structure of this domain
    }
    record.passing = true;
    record.limbo_budget = Env::advance_bytes - Env::advance_bytes / Env::advance_objects;
    take_in_limbos(record, 1);
    core::address_filter hazards(++record.passes);
    // What comes in behind these was perhaps unlinked after the heavy barrier: the next pass's.
    std::uint64_t left = record.limbo.count();
    if (!collect_hazards(hazards)) {
        left = 0;
        record.limbo_budget /= 8; // somebody's hazard was everything, for a moment: soon again
    }
    std::uint64_t count = 0;
    std::uint64_t bytes = 0;
    for (; left != 0; --left) {
        hook* object = record.limbo.take_first();
        if (hazards.may_contain(core::hazard_of(object))) {
            record.limbo.append(object);
        } else {
            ++count;
            bytes += object->bytes;
            object->reclaim(object, record);
        }
    }
    record.limbo_size.add(0 - bytes); // first: pending_bytes()
    record.freed_count.add(count);
    record.freed_size.add(bytes);
    pool_.trim_mine(record.magazine);
    record.passing = false;
}

/// The limbos of up to `most` threads that have ended become the caller's: each pass takes one, so that none is forgotten.
template <class Env>
void basic_domain<Env>::take_in_limbos(record_type& mine, std::uint64_t most) noexcept {
    // [limbo.records] acquire: pairs with [domain_impl:acquire.link]
    //   As [domain_impl:acquire.list].
    for (record_type* record = records_.load(Env::acquire); record != nullptr && most != 0; record = record->next) {
        if (record != &mine && record->limbo_size.get() != 0 &&
            (own_for_a_moment(*record, core::vacant) || own_for_a_moment(*record, core::orphaned))) {
            const std::uint64_t bytes = record->limbo_size.get();
            record->limbo_size.add(0 - bytes);
            mine.limbo.splice(record->limbo);
            mine.limbo_size.add(bytes);
            disown(*record);
            --most;
        }
    }
}

/// A pass through the caller's limbo and those of threads that have ended.
template <class Env>
void basic_domain<Env>::collect_limbos(record_type& mine) noexcept {
    if (!mine.passing) {
        take_in_limbos(mine, UINT64_MAX);
    }
    free_unprotected(mine);
}

/// H2: what is unlinked when it is called, and in no hazard that it finds, is out of everybody's reach. False: nothing is, since the
/// kernel refuses, or somebody's hazard is everything (H4).
template <class Env>
bool basic_domain<Env>::collect_hazards(core::address_filter& found) noexcept {
    if (fast_) {
        // [collect.heavy] barrier: pairs with [hazard.protect]
        //   If our barrier is first, the reader's check reads what we had seen: the node is not linked any more.
        //   If the light one is first, we see its hazard.
        if (!Env::heavy()) {
            // [collect.failed] relaxed: a statistic.
            heavy_failures_.fetch_add(1, Env::relaxed);
            return false;
        }
    }
    // [collect.records] barrier: pairs with [domain_impl:acquire.link]
    //   If our read comes first, the new thread synchronizes with us before its first hazard.
    //   If the link comes first, we see the record.
    for (record_type* other = Env::load_heavy(fast_, records_); other != nullptr; other = other->next) {
        // [collect.hazard] barrier: pairs with [hazard.protect], [hazard.release]
        //   If our read is first (fallback) or the heavy barrier was, the reader's check reads what we had seen.
        //   If the hazard is first, we see it, or its end; acquire: the reader has done with the block then.
        const std::uintptr_t hazard = Env::load_heavy(fast_, other->hazard);
        if (hazard == core::everything) {
            return false;
        }
        if (hazard != 0) {
            found.add(hazard);
        }
    }
    return true;
}

} // namespace epoque
