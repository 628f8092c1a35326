// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: domain. How a domain keeps an eye on garbage that does not go away: stalls, the limit, trim(); include domain.hpp.
#pragma once

#include "epoque/domain.hpp"

namespace epoque {

// ---- stalls --------------------------------------------------------------------------------------------------------------

/// An advance at `epoch` found `other` pinned, at an older one: `state`.
template <class Env>
void basic_domain<Env>::note_blocked(record_type& mine, record_type& other, std::uint64_t state,
                                     std::uint64_t epoch) noexcept {
    // [blocked.look] relaxed: who counts what decides nothing but a report; so for all of this function.
    if (other.blocking_state.load(Env::relaxed) != state) {
        // [blocked.begin] relaxed: as [blocked.look].
        other.blocking_state.store(state, Env::relaxed);
        // [blocked.zero] relaxed: as [blocked.look].
        other.blocked_advances.store(0, Env::relaxed);
    }
    // [blocked.count] relaxed: as [blocked.look].
    const std::uint64_t count = other.blocked_advances.fetch_add(1, Env::relaxed) + std::uint64_t{1};
    // [blocked.once] relaxed: one thread's exchange finds that this pin has not been reported. (A guard pins anew at the same
    //   epoch only where it has not moved since, so the same state is the same stall.)
    if (count < options_.stalled_after || other.reported_state.exchange(state, Env::relaxed) == state) {
        return;
    }
    // [blocked.stalls] relaxed: a statistic.
    stalls_.fetch_add(1, Env::relaxed);
    // [blocked.thread] relaxed: for a message.
    const std::uint64_t thread = other.thread.load(Env::relaxed);
    report(mine, stall{stall::cause::old_guard, thread, epoch, state >> 1, count, pending_bytes()});
}

template <class Env>
void basic_domain<Env>::report(record_type& mine, const stall& what) noexcept {
    if (options_.on_stalled != nullptr) {
        // As a deleter: what it calls does not reclaim or wait.
        const bool was = std::exchange(mine.reclaiming, true);
        options_.on_stalled(what, options_.context);
        mine.reclaiming = was;
    }
}

// ---- the limit -----------------------------------------------------------------------------------------------------------

template <class Env>
std::uint64_t basic_domain<Env>::pending_bytes() const noexcept {
    // [pending.lost] relaxed: a statistic.
    std::uint64_t bytes = 0 - lost_bytes_.load(Env::relaxed);
    // [pending.records] acquire: pairs with [domain_impl:acquire.link]
    //   As [domain_impl:acquire.list].
    for (const record_type* record = records_.load(Env::acquire); record != nullptr; record = record->next) {
        // In this order: an object that another thread frees meanwhile counts too much rather than too little.
        bytes -= record->freed_size.get();
        // What is kept for reuse is nothing that waiting would free. What is above its bound (domain_hazards.hpp) counts.
        bytes -= std::min<std::uint64_t>(record->limbo_size.get(), 2 * Env::advance_bytes);
        bytes += record->retired_size.get();
    }
    return static_cast<std::int64_t>(bytes) < 0 ? 0 : bytes;
}

/// Once in `step_` bytes of a thread, where there is a limit.
template <class Env>
void basic_domain<Env>::check_limit(record_type& mine) noexcept {
    mine.over_limit = pending_bytes() > options_.max_pending_bytes;
    if (!mine.over_limit) {
        // [limit.below] relaxed: decides only whether the next excess is reported.
        over_limit_reported_.store(0, Env::relaxed);
    }
}

/// For who can't wait.
template <class Env>
void basic_domain<Env>::report_garbage(record_type& mine) noexcept {
    mine.over_limit = false; // until the next look
    // [limit.report] relaxed: as [limit.below].
    if (over_limit_reported_.exchange(1, Env::relaxed) == 0) {
        // [limit.epoch] relaxed: for a message.
        const std::uint64_t epoch = epoch_.load(Env::relaxed);
        report(mine, stall{stall::cause::too_much_garbage, Env::thread_number(), epoch, 0, 0, pending_bytes()});
    }
}

/// For who can: waits until the garbage of now has been freed, by this thread or by one that came before.
template <class Env>
void basic_domain<Env>::relieve(record_type& mine) noexcept {
    mine.over_limit = false;
    const turn only(*this, mine);
    if (pending_bytes() > options_.max_pending_bytes) {
        try {
            free_all(mine);
        } catch (...) { // NOLINT(bugprone-empty-catch): the kernel refuses barriers; nothing was freed, and we say so
        }
        if (pending_bytes() > options_.max_pending_bytes) { // also what somebody keeps
            report_garbage(mine);
        }
    }
}

// ---- trim ----------------------------------------------------------------------------------------------------------------

template <class Env>
void basic_domain<Env>::trim() noexcept {
    if (void* found = Env::find_local(id_); found != nullptr) {
        auto& mine = *static_cast<record_type*>(found);
        collect_limbos(mine);
        pool_.trim();
        pool_.trim_mine(mine.magazine);
        // A new epoch makes every thread look for garbage, and trim its magazine, at the end of its next guard or retirement.
        // [trim.from] acquire: pairs with [domain_impl:advance.step]
        //   As [domain_impl:advance.from].
        advance_from(mine, epoch_.load(Env::acquire));
    } else {
        pool_.trim();
    }
    // [trim.records] acquire: pairs with [domain_impl:acquire.link]
    //   As [domain_impl:acquire.list].
    for (record_type* record = records_.load(Env::acquire); record != nullptr; record = record->next) {
        if (own_for_a_moment(*record, core::vacant) || own_for_a_moment(*record, core::orphaned)) {
            pool_.trim_mine(record->magazine);
            disown(*record);
        }
    }
}

} // namespace epoque
