// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: domain. The definitions of domain.hpp, in its order; include that one.
#pragma once

#include "epoque/domain.hpp"

namespace epoque {

template <class Env>
basic_domain<Env>::basic_domain(const domain_options& options)
    : fast_(Env::asymmetric()), options_(options),
      step_(options.max_pending_bytes == 0
                ? Env::advance_bytes
                : static_cast<std::int64_t>(std::clamp<std::uint64_t>(
                      options.max_pending_bytes / 16, Env::advance_bytes / Env::advance_objects, Env::advance_bytes))),
      pool_(options.memory) {
    id_ = Env::open_domain(this, &after_fork); // from here on a fork finds it, so all of it must be there
}

template <class Env>
void basic_domain<Env>::after_fork(void* self, void* record) noexcept {
    static_cast<basic_domain*>(self)->continue_in_child(static_cast<record_type*>(record));
}

template <class Env>
basic_domain<Env>::~basic_domain() {
    // [dtor.records] relaxed: destruction is exclusive; so for all of this function.
    for (record_type* record = records_.load(Env::relaxed); record != nullptr; record = record->next) {
        // [dtor.pinned] relaxed: as [dtor.records].
        if (record->state.load(Env::relaxed) != record_type::idle) {
            misuse("domain destroyed while a guard of it lives. End all guards first.");
        }
        // [dtor.hazard] relaxed: as [dtor.records].
        if (record->hazard.load(Env::relaxed) != 0) {
            misuse("domain destroyed while an operation on one of its structures runs. Let all threads leave first.");
        }
    }
    list due;
    for (bool found = true; found;) {
        // [dtor.again] relaxed: as [dtor.records]. Each time anew: a deleter that retires may have made a record.
        record_type* const first = records_.load(Env::relaxed);
        for (record_type* record = first; record != nullptr; record = record->next) {
            if (keeps_something(*record)) {
                misuse("domain destroyed while a view of one of its snapshots lives, or a use of a handle. End them "
                       "first.");
            }
            for (list& bag : record->bag) {
                due.splice(bag);
            }
            due.splice(record->expired);
            due.splice(record->limbo);
        }
        // [dtor.aside] relaxed: as [dtor.records].
        for (hook* object = aside_.exchange(nullptr, Env::relaxed); object != nullptr;) {
            hook* next = object->next.get();
            due.append(object);
            object = next;
        }
        found = !due.empty();
        if (found) {
            first->due.splice(due); // there is one, or nothing could have been retired
            run(*first);
        }
    }
    Env::close_domain(id_);
    // [dtor.free] relaxed: as [dtor.records].
    for (record_type* record = records_.load(Env::relaxed); record != nullptr;) {
        record_type* next = record->next;
        pool_.drain(record->magazine);
        std::destroy_at(record);
        pool_.deallocate(record, sizeof(record_type), alignof(record_type));
        record = next;
    }
}

// ---- a thread's record -----------------------------------------------------------------------------------------------

template <class Env>
auto basic_domain<Env>::attach() -> record_type& {
    void* found = Env::find_local(id_);
    if (found == nullptr) {
        record_type* record = acquire_record();
        try {
            Env::remember_local(id_, record, &release_record);
        } catch (...) {
            release_record(record);
            throw;
        }
        // [attach.thread] relaxed: for messages.
        record->thread.store(Env::thread_number(), Env::relaxed);
        found = record;
    }
    Env::local(id_) = local_record{id_, found};
    return *static_cast<record_type*>(found);
}

template <class Env>
auto basic_domain<Env>::acquire_record() -> record_type* {
    // [acquire.list] acquire: pairs with [acquire.link]
    //   The record's fields, `next` among them, were written before it was linked.
    for (record_type* record = records_.load(Env::acquire); record != nullptr; record = record->next) {
        if (own_for_a_moment(*record, core::vacant) || own_for_a_moment(*record, core::orphaned)) {
            record->calm_state = record_type::idle; // the first unpin looks what there is
            return record;
        }
    }
    void* memory = pool_.allocate(sizeof(record_type), alignof(record_type));
    // SAFETY: fresh memory of the record's size and alignment.
    // [acquire.number] relaxed: a number of its own, nothing else.
    auto* record = ::new (memory) record_type(fast_, records_made_.fetch_add(1, Env::relaxed), pool_);
    // [acquire.head] relaxed: only the expected value of [acquire.link].
    record->next = records_.load(Env::relaxed);
    // [acquire.link] acq_rel: pairs with [acquire.list], [meet.records], [scan.records], [walk.records],
    //   [barrier.records], [running.records], [peak.records], [stats.retired], [stats.records],
    //   [domain_hazards:collect.records], [domain_hazards:limbo.records], [domain_keeps:kept.records], [domain_limits:pending.records],
    //   [domain_limits:trim.records]
    //   Release: readers of the list see the record built. Acquire, and a read-modify-write: the fallback's heavy side
    //   does one on this word too. If our link comes first, its scan sees the record; if its read comes first, we
    //   synchronize with it before our first pin. On failure (relaxed) only the expected value changes.
    while (!records_.compare_exchange_weak(record->next, record, Env::acq_rel, Env::relaxed)) {
    }
    return record;
}

template <class Env>
void basic_domain<Env>::release_record(void* memory) noexcept {
    auto& record = *static_cast<record_type*>(memory);
    if (record.nest != 0) {
        misuse("a thread ended inside a guard (lock without unlock). Unlock the domain before the thread ends.");
    }
    if (keeps_something(record)) {
        misuse("a thread ended with a view of a snapshot that it had made. End the view before the thread.");
    }
    // [release.hint] relaxed: only decides whether adopters look; barrier() and the next owner look in any case.
    const bool garbage = record.has_garbage.load(Env::relaxed) != 0;
    // [release.owner] release: pairs with [own.take]
    //   The next owner sees the lists as we left them.
    record.owner.store(garbage ? core::orphaned : core::vacant, Env::release);
}

template <class Env>
bool basic_domain<Env>::own_for_a_moment(record_type& record, std::uint32_t expected) noexcept {
    // [own.peek] relaxed: only a hint; [own.take] decides.
    if (record.owner.load(Env::relaxed) != expected) {
        return false;
    }
    // [own.take] acquire: pairs with [release.owner], [disown.owner]
    //   We see the lists as the previous owner left them. On failure (relaxed) nothing was read.
    return record.owner.compare_exchange_strong(expected, core::held, Env::acquire, Env::relaxed);
}

template <class Env>
void basic_domain<Env>::disown(record_type& record) noexcept {
    // [disown.hint] relaxed: only decides whether adopters look; barrier() and the next owner look in any case.
    const bool garbage = record.has_garbage.load(Env::relaxed) != 0;
    // [disown.owner] release: pairs with [own.take]
    //   As [release.owner].
    record.owner.store(garbage ? core::orphaned : core::vacant, Env::release);
}

// ---- pin, unpin ------------------------------------------------------------------------------------------------------

template <class Env>
void basic_domain<Env>::enter(record_type& record) noexcept {
    if (record.nest++ != 0) [[unlikely]] {
        return;
    }
    // [pin.epoch] acquire: pairs with [advance.step]
    //   Who pins at an epoch must see the unlinkings that were known when it began: the scan lets us pass on the strength
    //   of that number. An older one only keeps the next advance waiting for us.
    const std::uint64_t epoch = epoch_.load(Env::acquire);
    // [pin.publish] barrier: pairs with [meet.heavy], [meet.state], [scan.state], [barrier.state]
    //   The store is a release so that it never breaks the release sequence headed by our last unpin.
    //   If our barrier is first, the advancing thread's scan sees us pinned.
    //   If the heavy barrier is first, we see every unlinking that its thread had seen, and cannot reach what is freed.
    Env::store_light(record.fast, record.state, record_type::pinned(epoch));
}

template <class Env>
void basic_domain<Env>::leave(record_type& record) noexcept {
    if (--record.nest != 0) [[unlikely]] {
        return;
    }
    // [unpin.state] relaxed: our own store.
    if (record.state.load(Env::relaxed) != record.calm_state) [[unlikely]] {
        leave_with_garbage(record); // the epoch has moved on, or expired garbage is left
        return;
    }
    // [unpin.idle] release: pairs with [scan.state], [barrier.state]
    //   All our accesses inside the guard happen before the advance that lets the objects be freed.
    Env::store_release(record.fast, record.state, record_type::idle);
}

/// leave, and nobody's deleters run.
template <class Env>
void basic_domain<Env>::leave_quietly(record_type& record) noexcept {
    if (--record.nest == 0) {
        // [quiet.idle] release: pairs with [scan.state], [barrier.state]
        //   As [unpin.idle].
        Env::store_release(record.fast, record.state, record_type::idle);
    }
}

template <class Env>
void basic_domain<Env>::leave_with_garbage(record_type& record) noexcept {
    const bool reclaims = !record.reclaiming;
    if (reclaims) {
        // [leave.state] relaxed: our own store; the epoch in it was acquired by [pin.epoch].
        take_due(record, record.state.load(Env::relaxed) >> 1);
    }
    // [leave.idle] release: pairs with [scan.state], [barrier.state]
    //   As [unpin.idle]; and barrier() must see `running` and the lists as we left them.
    Env::store_release(record.fast, record.state, record_type::idle);
    if (reclaims && !record.due.empty()) {
        run(record);
    }
    pool_.trim_mine(record.magazine);
}

// ---- retire ----------------------------------------------------------------------------------------------------------

template <class Env>
template <class T, class Deleter>
void basic_domain<Env>::retire(T* object, Deleter deleter) {
    static_assert(std::is_nothrow_move_constructible_v<Deleter>,
                  "a deleter that throws when moved could lose the object");
    struct owned : hook {
        owned(T* what, Deleter&& how, std::uint32_t pool) noexcept
            : hook(&reclaim_owned, static_cast<std::uint32_t>(sizeof(T) + sizeof(owned)), pool), object_(what),
              deleter_(std::move(how)) {}
        static void reclaim_owned(hook* self, record_type& runner) noexcept {
            // SAFETY: this reclaimer is only ever given to the hook inside an `owned`.
            auto* node = static_cast<owned*>(self);
            const std::uint32_t block_class = node->block_class;
            T* what = node->object_;
            Deleter how = std::move(node->deleter_);
            std::destroy_at(node);
            runner.deallocate(block_class, node, sizeof(owned), alignof(owned));
            how(what);
        }
        T* object_;
        [[no_unique_address]] Deleter deleter_;
    };
    record_type& record = local();
    const std::uint32_t block_class = pool_class(sizeof(owned), alignof(owned));
    void* memory = record.allocate(block_class, sizeof(owned), alignof(owned));
    // SAFETY: a fresh block of the node's size and alignment.
    put(record, ::new (memory) owned(object, std::move(deleter), block_class));
    pay(record);
}

template <class Env>
void basic_domain<Env>::retire_with_hook(hook* object) {
    record_type& record = local();
    put(record, object);
    pay(record);
}

/// After a retirement.
template <class Env>
void basic_domain<Env>::pay(record_type& record) noexcept {
    if (record.over_limit) [[unlikely]] {
        if (record.nest == 0 && !runs_inside_ours(record) && !keeps_something(record)) {
            relieve(record);
        } else {
            report_garbage(record);
        }
    }
}

/// Rule R2, for the time of a scope in which no foreign code runs.
template <class Env>
class basic_domain<Env>::list_access {
  public:
    explicit list_access(record_type& record) noexcept : record_(record) {
        if (record_.nest == 0) {
            // [lists.enter] barrier: pairs with [meet.heavy], [meet.state], [barrier.state], [scan.state]
            //   As [lists.order]; and rule R2. If our barrier is first, barrier() sees that we are here, and waits.
            //   If the heavy barrier is first, we read its `asked`, and keep our hands off the lists.
            Env::store_light(record_.fast, record_.state, record_type::at_lists);
        } else {
            // [lists.order] barrier: pairs with [meet.heavy], [meet.state]
            //   If our barrier is first, the advancing thread has seen the unlinking, and [advance.step] passes it on.
            //   If the heavy barrier is first, [retire.stamp] reads at least the epoch that its thread had read: never too old.
            Env::light(record_.fast, record_.state);
        }
    }
    list_access(const list_access&) = delete;
    list_access& operator=(const list_access&) = delete;
    ~list_access() {
        if (record_.nest == 0) {
            // [lists.leave] release: pairs with [barrier.state], [scan.state]
            //   barrier() must see `running` and the lists as we left them; and a scan may read this in place of our last unpin.
            Env::store_release(record_.fast, record_.state, record_type::idle);
        }
    }

  private:
    record_type& record_;
};

template <class Env>
void basic_domain<Env>::put(record_type& record, hook* object) noexcept {
    record.retired_count.add(1);
    record.retired_size.add(object->bytes);
    put_again(record, object);
}

/// put, of an object that counts as retired already.
template <class Env>
void basic_domain<Env>::put_again(record_type& record, hook* object) noexcept {
    const std::uint32_t bytes = object->bytes; // once it is in a list, barrier() may free it
    bool looked = false;
    {
        const list_access access(record);
        // [retire.stamp] acquire: pairs with [advance.step]
        //   bag_of() may find that the bag's old content is past its grace period by this very epoch (D3), and take_due().
        const std::uint64_t epoch = epoch_.load(Env::acquire);
        if (lists_are_mine(record)) {
            bag_of(record, epoch).append(object);
            // [retire.hint] relaxed: as [release.hint].
            record.has_garbage.store(1, Env::relaxed);
            if (!record.reclaiming && record.calm_state != record_type::pinned(epoch)) [[unlikely]] {
                take_due(record, epoch); // also in a guard, which may last for any number of operations
                looked = true;
            }
        } else {
            put_aside(object);
        }
    }
    if (looked) [[unlikely]] {
        if (!record.due.empty()) {
            run(record);
        }
        pool_.trim_mine(record.magazine);
    }
    constexpr std::int64_t least = Env::advance_bytes / Env::advance_objects;
    record.budget -= std::max<std::int64_t>(bytes, least);
    if (record.budget < 0) [[unlikely]] {
        record.budget = step_ - least;
        try_advance(record);
        if (options_.max_pending_bytes != 0) [[unlikely]] {
            check_limit(record);
        }
    }
}

template <class Env>
void basic_domain<Env>::put_aside(hook* object) noexcept {
    // [aside.head] relaxed: only the expected value of [aside.push].
    hook* head = aside_.load(Env::relaxed);
    do {
        object->next.set(head);
        // [aside.push] release: pairs with [stray.take]
        //   Whoever takes the list sees the links and the objects. On failure (relaxed) only `head` changes.
    } while (!aside_.compare_exchange_weak(head, object, Env::release, Env::relaxed));
}

template <class Env>
bool basic_domain<Env>::lists_are_mine(record_type& record) noexcept {
    // [lists.check] acquire: pairs with [barrier.return]
    //   After a takeover we see the lists as barrier() left them.
    std::uint32_t seen = record.takeover.load(Env::acquire);
    if (seen == core::none) [[likely]] {
        return true;
    }
    if (seen == core::asked) {
        // [lists.grant] release: pairs with [barrier.granted]
        //   barrier() sees our last changes of the lists. Failure (relaxed): barrier() is done with them or saw us idle.
        record.takeover.compare_exchange_strong(seen, core::granted, Env::release, Env::relaxed);
    }
    return false;
}

template <class Env>
auto basic_domain<Env>::bag_of(record_type& record, std::uint64_t epoch) noexcept -> list& {
    list& bag = record.bag[epoch % core::bags];
    if (bag.epoch() != epoch) [[unlikely]] {
        record.expired.splice(bag); // stamped four epochs ago or more
        bag.stamp(epoch);
    }
    return bag;
}

/// Moves the bags that are past their grace period at `epoch`, which the caller has acquired (D3), to `expired`.
template <class Env>
void basic_domain<Env>::sweep(record_type& record, std::uint64_t epoch) noexcept {
    bool left = false;
    for (list& bag : record.bag) {
        if (bag.epoch() + core::grace_epochs <= epoch) {
            record.expired.splice(bag);
        }
        left = left || !bag.empty();
    }
    // [sweep.hint] relaxed: as [release.hint]. `expired` counts as left until somebody empties it and sweeps again.
    record.has_garbage.store(left || !record.expired.empty() ? 1 : 0, Env::relaxed);
}

template <class Env>
void basic_domain<Env>::take_due(record_type& record, std::uint64_t epoch) noexcept {
    if (!lists_are_mine(record)) {
        return;
    }
    if (record.expired.empty()) {
        sweep(record, epoch);
    }
    const std::uint64_t expired = record.expired.count();
    // Two keep up with a thread that retires one object an operation; more, up to eight, when a backlog has built up.
    const std::uint64_t share = std::min(expired, std::min<std::uint64_t>(2 + expired / 256, 8));
    record.expired.move_first(share, record.due);
    count_waits(record, record, share);
    // Expired garbage that is left calls us again at the next unpin; otherwise only a new epoch does.
    const bool more = share != expired;
    record.calm_state = more ? record_type::idle : record_type::pinned(epoch);
    if (share != 0) {
        record.most_freed_at_once.raise_to(share);
        // [due.running] relaxed: the release of [leave.idle], [lists.leave] or [lists.grant] carries it to barrier(); and [run.order].
        record.running.store(1, Env::relaxed);
    }
}

/// Counts `objects` that were taken out of the lists of `from`; what is left in them was retired after them.
template <class Env>
void basic_domain<Env>::count_waits(record_type& runner, const record_type& from, std::uint64_t objects) noexcept {
    if (objects == 0) {
        return;
    }
    std::uint64_t after = from.expired.count();
    for (const list& bag : from.bag) {
        after += bag.count();
    }
    const auto bucket = static_cast<std::size_t>(std::bit_width(after));
    runner.retired_meanwhile[std::min(bucket, core::wait_buckets - 1)].add(objects);
}

template <class Env>
void basic_domain<Env>::run(record_type& record) noexcept {
    record.reclaiming = true;
    // [run.order] barrier: pairs with [meet.heavy], [meet.state]
    //   Between `running` and a reclaimer's look at what is kept. If our barrier is first, barrier() waits for us.
    //   If the heavy barrier is first, we see the end of every keep that had ended when barrier() was called.
    Env::light(record.fast, record.state);
    while (!record.due.empty()) {
        hook* object = record.due.take_first();
        ++record.running_objects;
        record.running_bytes += object->bytes;
        object->reclaim(object, record);
    }
    record.reclaiming = false;
    record.freed_count.add(std::exchange(record.running_objects, 0));
    record.freed_size.add(std::exchange(record.running_bytes, 0));
    // [run.done] release: pairs with [barrier.running]
    //   barrier() promises that the deleters have run.
    record.running.store(0, Env::release);
}

// ---- the epoch ---------------------------------------------------------------------------------------------------------

template <class Env>
void basic_domain<Env>::try_advance(record_type& record) noexcept {
    // Elected, so that heavy barriers are rare: the first one advances, the others go on. Not a lock: D1 holds for any
    // number of threads at once, and when the elected one sleeps, every 8th contender takes its place.
    // [advance.elect] relaxed: rationing only, nothing depends on it.
    if (contenders_.fetch_add(1, Env::relaxed) % 8 != 0) {
        return;
    }
    // [advance.from] acquire: pairs with [advance.step]
    //   D1 wants the reading of e before the heavy barrier; and we pass on what earlier advances waited for.
    advance_from(record, epoch_.load(Env::acquire));
    // [advance.reset] relaxed: as [advance.elect].
    contenders_.store(0, Env::relaxed);
    collect_strays(record);
}

template <class Env>
bool basic_domain<Env>::meet_all() noexcept {
    if (fast_) {
        // [meet.heavy] barrier: pairs with [pin.publish], [lists.enter], [lists.order], [stray.order], [run.order], [grace.order], [adopt.lists],
        //   [domain_keeps:keep.protect]
        //   If our barrier is first, the pinning thread sees what we had seen, above all the unlinkings of [advance.from].
        //   If the light one is first, our scan sees the pin.
        if (Env::heavy()) {
            return true;
        }
        // [meet.failed] relaxed: a statistic.
        heavy_failures_.fetch_add(1, Env::relaxed);
        return false;
    }
    // [meet.records] barrier: pairs with [acquire.link]
    //   If our read comes first, the new thread synchronizes with us before it pins.
    //   If the link comes first, we see the record.
    for (record_type* other = Env::load_heavy(fast_, records_); other != nullptr; other = other->next) {
        // [meet.state] barrier: pairs with [pin.publish], [lists.enter], [lists.order], [stray.order], [run.order], [grace.order]
        //   If our read-modify-write is first, the other thread sees the epoch we had read, or a later one.
        //   If theirs is first, we have now seen its unlinkings, and pass them on in the scan that follows.
        Env::load_heavy(fast_, other->state);
    }
    return true;
}

template <class Env>
bool basic_domain<Env>::advance_from(record_type& mine, std::uint64_t epoch) noexcept {
    if (!meet_all()) {
        return false;
    }
    // [peak.lost] relaxed: a statistic.
    std::uint64_t pending = 0 - lost_bytes_.load(Env::relaxed);
    // [scan.records] barrier: pairs with [acquire.link]
    //   If our read comes first, the new thread synchronizes with us before it pins.
    //   If the link comes first, we see the record.
    for (record_type* other = Env::load_heavy(fast_, records_); other != nullptr; other = other->next) {
        // [scan.state] barrier: pairs with [pin.publish], [unpin.idle], [leave.idle], [quiet.idle], [lists.enter], [lists.leave],
        //   [adopt.lists], [adopt.idle]
        //   If our read is first (fallback) or the heavy barrier was, the pinning thread cannot reach old garbage.
        //   If the pin is first, we see it here, and do not advance past it. Acquire: with its end, see [unpin.idle].
        const std::uint64_t state = Env::load_heavy(fast_, other->state);
        if (record_type::is_pinned(state) && state != record_type::pinned(epoch)) {
            // [scan.blocked] relaxed: a statistic.
            blocked_advances_.fetch_add(1, Env::relaxed);
            if (options_.on_stalled != nullptr) {
                note_blocked(mine, *other, state, epoch);
            }
            return false;
        }
        pending += other->retired_size.get();
    }
    // In the order of stats(), too: rather too low than too high.
    // [peak.records] acquire: pairs with [acquire.link]
    //   As [acquire.list].
    for (const record_type* other = records_.load(Env::acquire); other != nullptr; other = other->next) {
        pending -= other->freed_size.get();
    }
    // [advance.peak] relaxed: a statistic.
    std::uint64_t peak = peak_pending_bytes_.load(Env::relaxed);
    // [advance.raise] relaxed: a statistic.
    while (pending > peak && static_cast<std::int64_t>(pending) > 0 &&
           !peak_pending_bytes_.compare_exchange_weak(peak, pending, Env::relaxed, Env::relaxed)) {
    }
    // [advance.step] acq_rel: pairs with [pin.epoch], [retire.stamp], [advance.from], [grace.epoch],
    //   [grace.look], [stray.epoch], [adopt.from], [barrier.epoch], [domain_limits:trim.from]
    //   Who reads the new epoch sees the end of every guard that this and earlier advances waited for, and every unlinking
    //   that came before the light barriers before its heavy one.
    //   Failure (relaxed): somebody else did it.
    return epoch_.compare_exchange_strong(epoch, epoch + 1, Env::acq_rel, Env::relaxed);
}

/// Takes in garbage that lost its thread: what was put aside, and one exited thread's expired lists a call.
template <class Env>
void basic_domain<Env>::collect_strays(record_type& record) noexcept {
    const list_access access(record);
    if (!lists_are_mine(record)) {
        return;
    }
    take_aside(record);
    // [walk.records] acquire: pairs with [acquire.link]
    //   As [acquire.list].
    for (record_type* other = records_.load(Env::acquire); other != nullptr; other = other->next) {
        if (!own_for_a_moment(*other, core::orphaned)) {
            continue;
        }
        take_expired(*other, record.expired);
        disown(*other);
        record.calm_state = record_type::idle;
        // [adopt.hint] relaxed: as [release.hint].
        record.has_garbage.store(1, Env::relaxed);
        return;
    }
}

/// Stamps what was put aside, into the caller's lists, which are its own now.
template <class Env>
void basic_domain<Env>::take_aside(record_type& record) noexcept {
    // [stray.peek] acquire: pairs with [stray.take]
    //   barrier() concludes from null that whoever took the list has it, and must then see that thread's record and its
    //   `running`.
    if (aside_.load(Env::acquire) == nullptr) {
        return;
    }
    // [stray.was] relaxed: our own store. Not 0: we retire something in a deleter.
    const std::uint32_t was = record.running.load(Env::relaxed);
    // [stray.begin] relaxed: [stray.take] publishes it.
    record.running.store(1, Env::relaxed);
    // [stray.take] acq_rel: pairs with [aside.push], [stray.peek]
    //   Acquire: the links and the objects. Release: as [stray.peek].
    hook* object = aside_.exchange(nullptr, Env::acq_rel);
    // [stray.order] barrier: pairs with [meet.heavy], [meet.state]
    //   As [lists.order], for all unlinkings in the list: the epoch that we read next is a stamp of theirs (D2).
    Env::light(record.fast, record.state);
    // [stray.epoch] acquire: pairs with [advance.step]
    //   As [retire.stamp].
    const std::uint64_t epoch = epoch_.load(Env::acquire);
    while (object != nullptr) {
        hook* next = object->next.get();
        bag_of(record, epoch).append(object);
        object = next;
    }
    // [stray.hint] relaxed: as [release.hint].
    record.has_garbage.store(1, Env::relaxed);
    // [stray.done] release: pairs with [barrier.running]
    //   barrier() reads no older epoch than our stamp, and waits for its grace period.
    record.running.store(was, Env::release);
}

/// Moves what is past its grace period out of a record that the caller owns but that is not its thread's.
template <class Env>
void basic_domain<Env>::take_expired(record_type& record, list& due) noexcept {
    // [adopt.from] acquire: pairs with [advance.step]
    //   As [pin.epoch]; and D3, for what we take.
    const std::uint64_t epoch = epoch_.load(Env::acquire);
    // [adopt.lists] barrier: pairs with [barrier.state], [meet.heavy], [scan.state]
    //   Rule R2. If our barrier is first, barrier() sees that we are here, and waits.
    //   If the heavy barrier is first, we see its `asked` and keep our hands off the lists.
    Env::store_light(record.fast, record.state, record_type::at_lists);
    if (lists_are_mine(record)) {
        sweep(record, epoch);
        if (!record.expired.empty()) {
            due.splice(record.expired);
            // [adopt.count] release: pairs with [barrier.adoptions], [barrier.recount]
            //   Whoever counts us in sees our record linked; and [adopt.idle], [disown.owner] carry the count to barrier().
            adoptions_.fetch_add(1, Env::release);
        }
    }
    // [adopt.idle] release: pairs with [barrier.state], [scan.state]
    //   As [lists.leave].
    Env::store_release(record.fast, record.state, record_type::idle);
}

// ---- synchronize, barrier ----------------------------------------------------------------------------------------------

/// Whether the record's thread runs a deleter, or element code or a memory resource inside of a structure's operation: it must not
/// wait for others, who may wait for that operation.
template <class Env>
bool basic_domain<Env>::runs_inside_ours(const record_type& record) noexcept {
    // [inside.hazard] relaxed: the caller's own.
    return record.reclaiming || record.passing || record.hazard.load(Env::relaxed) != 0;
}

template <class Env>
bool basic_domain<Env>::may_wait(const record_type& record) const noexcept {
    return record.nest == 0 && !runs_inside_ours(record) && !keeps_something(record);
}

template <class Env>
void basic_domain<Env>::refuse(const record_type& record, const char* what) const noexcept {
    if (!may_wait(record)) {
        misuse(what);
    }
}

template <class Env>
void basic_domain<Env>::wait_for_grace(record_type& record) {
    // [grace.order] barrier: pairs with [meet.heavy], [meet.state]
    //   As [lists.order]. If our barrier is first, the advancing thread has seen what the caller unlinked.
    //   If the heavy barrier is first, [grace.epoch] reads at least the epoch that its thread had read.
    Env::light(record.fast, record.state);
    // [grace.epoch] acquire: pairs with [advance.step]
    //   The ends of the guards that we waited for happen before our return.
    const std::uint64_t stamp = epoch_.load(Env::acquire);
    for (unsigned round = 0;; ++round) {
        // [grace.look] acquire: pairs with [advance.step]
        //   As [grace.epoch].
        const std::uint64_t epoch = epoch_.load(Env::acquire);
        if (epoch >= stamp + core::grace_epochs) {
            return;
        }
        // [grace.failures] relaxed: a thread's own failure is in its own program order.
        const std::uint64_t failures = heavy_failures_.load(Env::relaxed);
        if (!advance_from(record, epoch)) {
            refuse_without_barriers(failures);
            Env::relax(round);
        }
    }
}

template <class Env>
void basic_domain<Env>::refuse_without_barriers(std::uint64_t before) const {
    // [refused.count] relaxed: a thread's own failure is in its own program order.
    if (heavy_failures_.load(Env::relaxed) != before) {
        throw std::system_error(std::make_error_code(std::errc::operation_not_permitted),
                                "epoque: the kernel refuses membarrier, which it granted when the process began (a "
                                "seccomp filter?). Nothing can be reclaimed; start with EPOQUE_BARRIER=fallback");
    }
}

template <class Env>
void basic_domain<Env>::synchronize() {
    record_type& record = local();
    refuse(
        record,
        "synchronize() called inside a guard, a view or a deleter, whose end it is there to wait for. End that first.");
    wait_for_grace(record);
}

template <class Env>
void basic_domain<Env>::barrier() {
    record_type& mine = local();
    refuse(mine,
           "barrier() called inside a guard, a view or a deleter, whose end it is there to wait for. End that first.");
    const turn only(*this, mine);
    free_all(mine);
}

template <class Env>
basic_domain<Env>::turn::turn(basic_domain& home, record_type& mine) noexcept : domain_(home) {
    record_type* nobody = nullptr;
    // [barrier.lock] acquire: pairs with [barrier.unlock]
    //   One barrier() at a time: R3 speaks of one. Failure (relaxed): another one's turn.
    for (unsigned round = 0; !domain_.barrier_turn_.compare_exchange_strong(nobody, &mine, Env::acquire, Env::relaxed);
         ++round) {
        nobody = nullptr;
        Env::relax(round);
    }
}

template <class Env>
basic_domain<Env>::turn::~turn() {
    // [barrier.unlock] release: pairs with [barrier.lock]
    //   As [barrier.lock].
    domain_.barrier_turn_.store(nullptr, Env::release);
}

/// What barrier() does in its turn.
template <class Env>
void basic_domain<Env>::free_all(record_type& mine) {
    // [free.failures] relaxed: as [grace.failures].
    const std::uint64_t failures = heavy_failures_.load(Env::relaxed);
    if (!meet_all()) { // a reclaimer that does not know what we know says `running` first (core/domain_keeps.hpp)
        refuse_without_barriers(failures);
    }
    wait_for_runners(); // and for what they retire again
    collect_strays(mine);
    wait_for_runners(); // and for what they took in before we looked
    wait_for_grace(mine);
    try {
        take_all(mine, mine.due);
    } catch (...) {
        run(mine);
        throw;
    }
    run(mine);
    collect_limbos(mine);
    wait_for_runners();
}

/// Until whoever had taken garbage out of a list before this call has run its deleters, or stamped it.
template <class Env>
void basic_domain<Env>::wait_for_runners() noexcept {
    // [running.records] acquire: pairs with [acquire.link]
    //   As [acquire.list].
    for (record_type* record = records_.load(Env::acquire); record != nullptr; record = record->next) {
        // [barrier.running] acquire: pairs with [run.done], [stray.done]
        //   Deleters that their thread had taken from its list before us have run; what it had taken in has its stamp.
        for (unsigned round = 0; record->running.load(Env::acquire) != 0; ++round) {
            Env::relax(round);
        }
    }
}

/// Moves what is past its grace period out of all records, also if adopters move it from one to another meanwhile.
template <class Env>
void basic_domain<Env>::take_all(record_type& mine, list& due) {
    // [barrier.adoptions] acquire: pairs with [adopt.count]
    //   Adopters that are counted in here are in the list that we read next. Whoever else moves garbage out of a record before
    //   we come to it counts it before, and we synchronize with that when we come to it ([barrier.state], [own.take]): the
    //   counts differ then, and we walk again.
    std::uint64_t counted = adoptions_.load(Env::acquire);
    for (bool settled = false; !settled;) {
        std::uint64_t own_moves = 0;
        // [barrier.records] acquire: pairs with [acquire.link]
        //   As [acquire.list]. Anew for each walk: the thread of a record that was linked meanwhile may have adopted.
        for (record_type* record = records_.load(Env::acquire); record != nullptr; record = record->next) {
            const std::uint64_t had = due.count();
            if (record == &mine) {
                take_expired(*record, due);
                count_waits(mine, *record, due.count() - had);
            } else if (own_for_a_moment(*record, core::vacant) || own_for_a_moment(*record, core::orphaned)) {
                take_expired(*record, due);
                count_waits(mine, *record, due.count() - had);
                disown(*record);
            } else {
                take_over(mine, *record, due);
                continue;
            }
            own_moves += due.count() != had ? 1U : 0U;
        }
        // [barrier.recount] acquire: pairs with [adopt.count]
        //   As [barrier.adoptions], for the next walk.
        const std::uint64_t recounted = adoptions_.load(Env::acquire);
        settled = recounted == counted + own_moves;
        counted = recounted;
    }
}

/// Rule R3: moves what is past its grace period out of the record of a thread that lives and may be asleep.
template <class Env>
void basic_domain<Env>::take_over(record_type& mine, record_type& record, list& due) {
    // [barrier.ask] relaxed: the heavy barrier (fallback: the read-modify-write of `state`) orders it against the pin.
    record.takeover.store(core::asked, Env::relaxed);
    // [ask.failures] relaxed: as [grace.failures].
    const std::uint64_t failures = heavy_failures_.load(Env::relaxed);
    if (meet_all()) {
        for (unsigned round = 0;; ++round) {
            // [barrier.state] barrier: pairs with [pin.publish], [unpin.idle], [leave.idle], [quiet.idle], [lists.enter], [lists.leave],
            //   [adopt.lists], [adopt.idle]
            //   If our barrier is first, the owner's next pin reads `asked` and leaves the lists to us.
            //   If its pin is first, we read it here and wait. Acquire: we see the lists as it left them.
            if (Env::load_heavy(fast_, record.state) == record_type::idle) {
                break;
            }
            // [barrier.granted] acquire: pairs with [lists.grant]
            //   As [barrier.state].
            if (record.takeover.load(Env::acquire) == core::granted) {
                break;
            }
            Env::relax(round);
        }
        // [barrier.epoch] acquire: pairs with [advance.step]
        //   D3.
        sweep(record, epoch_.load(Env::acquire));
        const std::uint64_t expired = record.expired.count();
        due.splice(record.expired);
        count_waits(mine, record, expired);
    }
    // [barrier.return] release: pairs with [lists.check]
    //   The owner sees the lists as we left them.
    record.takeover.store(core::none, Env::release);
    refuse_without_barriers(failures);
}

// ---- statistics ----------------------------------------------------------------------------------------------------------

template <class Env>
domain_stats basic_domain<Env>::stats() const noexcept {
    domain_stats sum;
    // [stats.epoch] relaxed: a statistic; so for all of this function.
    sum.epoch = epoch_.load(Env::relaxed);
    // What was retired is read first, of all threads, and what was freed last: whoever is preempted in between reports too
    // little garbage rather than too much.
    // [stats.retired] acquire: pairs with [acquire.link]
    //   As [acquire.list].
    for (const record_type* record = records_.load(Env::acquire); record != nullptr; record = record->next) {
        sum.retired_objects += record->retired_count.get();
        sum.pending_bytes += record->retired_size.get();
    }
    // [stats.records] acquire: pairs with [acquire.link]
    //   As [acquire.list].
    for (const record_type* record = records_.load(Env::acquire); record != nullptr; record = record->next) {
        // [stats.owner] relaxed: a statistic.
        sum.threads += record->owner.load(Env::relaxed) == core::held ? 1U : 0U;
        // [stats.state] relaxed: a statistic.
        const std::uint64_t state = record->state.load(Env::relaxed);
        if (record_type::is_pinned(state)) {
            ++sum.pinned;
            sum.oldest_pin_age = std::max(sum.oldest_pin_age, sum.epoch - std::min(sum.epoch, state >> 1));
        }
        sum.freed_objects += record->freed_count.get();
        sum.pending_bytes -= record->freed_size.get();
        for (std::size_t i = 0; i < core::wait_buckets; ++i) {
            sum.retired_meanwhile[i] += record->retired_meanwhile[i].get();
        }
        sum.most_freed_at_once = std::max(sum.most_freed_at_once, record->most_freed_at_once.get());
    }
    // [stats.lost] relaxed: a statistic.
    sum.lost_objects = lost_objects_.load(Env::relaxed);
    // [stats.lost_bytes] relaxed: a statistic.
    sum.pending_bytes -= lost_bytes_.load(Env::relaxed);
    sum.pending_objects = sum.retired_objects - std::min(sum.retired_objects, sum.freed_objects + sum.lost_objects);
    if (static_cast<std::int64_t>(sum.pending_bytes) < 0) {
        sum.pending_bytes = 0;
    }
    // [stats.peak] relaxed: a statistic.
    sum.peak_pending_bytes = std::max(peak_pending_bytes_.load(Env::relaxed), sum.pending_bytes);
    sum.advances = sum.epoch - 1;
    // [stats.blocked] relaxed: a statistic.
    sum.blocked_advances = blocked_advances_.load(Env::relaxed);
    // [stats.failures] relaxed: a statistic.
    sum.heavy_failures = heavy_failures_.load(Env::relaxed);
    sum.asymmetric = fast_;
    // [stats.stalls] relaxed: a statistic.
    sum.stalls = stalls_.load(Env::relaxed);
    return sum;
}

} // namespace epoque
