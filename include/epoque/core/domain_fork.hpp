// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: domain. What a domain does in a fork's child; include domain.hpp.
///
/// The child has one thread, the caller of fork, and the memory of all. To the algorithms the others are asleep for ever,
/// which every one of them stands; what must be repaired is what waits for a thread (pins, barrier()'s turn, lists that it
/// had asked for) and what a thread alone may touch (lists and magazines, at any moment of a change: see
/// `garbage_list::mend`). Proof that they can be repaired: docs/memory-model.md#fork.
#pragma once

#include "epoque/domain.hpp"

namespace epoque {

template <class Env>
void basic_domain<Env>::continue_in_child(record_type* mine) noexcept {
    // [fork.contenders] relaxed: this process has one thread; so for all of this function.
    contenders_.store(0, Env::relaxed);
    // [fork.turn] relaxed: as [fork.contenders]. The caller keeps its turn: it forked in a deleter that barrier() runs.
    if (barrier_turn_.load(Env::relaxed) != mine) {
        // [fork.free] relaxed: as [fork.contenders].
        barrier_turn_.store(nullptr, Env::relaxed);
    }
    typename list::size found;
    const auto mend = [&found](list& broken) noexcept {
        const typename list::size size = broken.mend();
        found.objects += size.objects;
        found.bytes += size.bytes;
    };
    std::uint64_t objects = 0;
    std::uint64_t bytes = 0;
    // [fork.records] relaxed: as [fork.contenders].
    for (record_type* record = records_.load(Env::relaxed); record != nullptr; record = record->next) {
        for (list& bag : record->bag) {
            mend(bag);
        }
        mend(record->expired);
        mend(record->due);
        const typename list::size limbo = record->limbo.mend();
        found.objects += limbo.objects;
        found.bytes += limbo.bytes;
        record->limbo_size.add(limbo.bytes - record->limbo_size.get());
        pool_.mend(record->magazine);
        // [fork.takeover] relaxed: as [fork.contenders]. A barrier() that asked, or had the lists, is gone.
        record->takeover.store(core::none, Env::relaxed);
        if (record == mine) {
            found.objects += record->running_objects;
            found.bytes += record->running_bytes;
        } else {
            record->expired.splice(record->due);
            forget_thread(*record);
        }
        objects += record->retired_count.get() - record->freed_count.get();
        bytes += record->retired_size.get() - record->freed_size.get();
    }
    // [fork.aside] relaxed: as [fork.contenders].
    for (const hook* object = aside_.load(Env::relaxed); object != nullptr; object = object->next.get()) {
        ++found.objects;
        found.bytes += object->bytes;
    }
    // What is retired, not freed and nowhere: it was in the hands of threads that are gone.
    // [fork.lost] relaxed: as [fork.contenders].
    lost_objects_.store(objects - found.objects, Env::relaxed);
    // [fork.lost_bytes] relaxed: as [fork.contenders].
    lost_bytes_.store(bytes - found.bytes, Env::relaxed);
}

/// The record of a thread that a fork left behind, as if it had ended.
template <class Env>
void basic_domain<Env>::forget_thread(record_type& record) noexcept {
    record.nest = 0;
    record.passing = false;
    // [forget.hazard] relaxed: as [fork.contenders].
    record.hazard.store(0, Env::relaxed);
    // [forget.number] relaxed: the child's only thread. What structures keep by the old number, an operation may have in hand.
    record.number = records_made_.fetch_add(1, Env::relaxed);
    for (auto& slot : record.kept) {
        // [forget.kept] relaxed: as [fork.contenders].
        slot.store(0, Env::relaxed);
    }
    record.calm_state = record_type::idle;
    record.reclaiming = false;
    record.running_objects = 0;
    record.running_bytes = 0;
    // [forget.running] relaxed: as [fork.contenders].
    record.running.store(0, Env::relaxed);
    // [forget.state] relaxed: as [fork.contenders]; threads that are made later are ordered after it by their creation.
    record.state.store(record_type::idle, Env::relaxed);
    bool garbage = !record.expired.empty();
    for (const list& bag : record.bag) {
        garbage = garbage || !bag.empty();
    }
    // [forget.hint] relaxed: as [release.hint].
    record.has_garbage.store(garbage ? 1 : 0, Env::relaxed);
    disown(record);
}

} // namespace epoque
