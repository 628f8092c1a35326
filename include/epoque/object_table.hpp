// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: object_table. Depends on: base, domain.
///
/// Numbers for objects: what the C interface hands out instead of pointers.
///
///     handle:  kind 8 | index 24 | generation 32           0 is never valid
///     slot:    word = generation 32 | kind 8               odd generation: live. +1 at create, +1 at destroy
///              object = pointer
///
///     chunks_ --> [chunk 0: 1,024 slots][chunk 1]...       chunks never move and are freed with the table
///
/// Invariants:
///   T1  A slot's generation only grows; it is odd exactly while the slot holds a live object. A slot whose generation
///       would wrap is never used again, so a handle never becomes valid a second time.
///   T2  `object` is written only while the slot is in nobody's reach: before the store of an odd generation.
///   T3  A slot's index returns to the free list only after the grace period that began with its destroy, and when nobody keeps
///       the slot (core/domain_keeps.hpp). So a thread that is pinned, or keeps the slot, and has then seen the generation it
///       wants reads the pointer that belongs to it, and the object lives until the guard or the keep ends. (With immediate
///       reuse the memory would be protected, but not the identity.)
///   T4  The object itself is destroyed in the same deferred step, after the last guard and keep that could have found it.
///
/// Progress: find is wait-free; create and destroy are lock-free (create may allocate a chunk).
/// Proof: docs/memory-model.md#object_table.
#pragma once

#include "epoque/base/config.hpp"
#include "epoque/base/error.hpp"
#include "epoque/domain.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>

namespace epoque {

/// A handle, taken apart.
struct handle_parts {
    std::uint8_t kind;
    std::uint32_t index;
    std::uint32_t generation;

    static constexpr handle_parts of(std::uint64_t bits) noexcept {
        return {static_cast<std::uint8_t>(bits >> 56), static_cast<std::uint32_t>(bits >> 32) & 0xffffffU,
                static_cast<std::uint32_t>(bits)};
    }
    constexpr std::uint64_t bits() const noexcept {
        return std::uint64_t{kind} << 56 | std::uint64_t{index} << 32 | generation;
    }
};

/// What a look-up found.
enum class find_status : std::uint8_t { found, stale, wrong_kind };

/// Generation-tagged slots for objects derived from `Object`.
///
/// Use it when:      code that cannot hold references (another language, another module) must name objects, and must not
///                   be able to reach one that is gone.
/// Use instead:      pointers, inside one program in one language.
/// Elements:         `Object` has a virtual destructor where objects derive from it. If it has `std::size_t footprint() const noexcept`,
///                   destroy asks that, beside other users of the object, how many bytes its end will free: so much counts as
///                   garbage until then. Otherwise sizeof(Object).
/// Memory:           64 bytes a slot, and 8 bytes for each possible chunk; a slot is reused once the grace period of its last object is over.
/// Progress:         see above.
/// Concurrency:      any thread, every member, but constructors and destructor.
template <class Object, class Env = std_env>
class object_table {
  public:
    static constexpr std::uint32_t chunk_slots = Env::table_chunk_slots;
    static constexpr std::uint32_t max_slots = chunk_slots * Env::table_chunks;

    /// `first_generation`: even; generations begin there, so that numbers of an earlier run are not valid in this one.
    explicit object_table(basic_domain<Env>& home, std::uint32_t first_generation = 0) noexcept
        : home_(home), first_generation_(first_generation & ~std::uint32_t{1}) {}
    object_table(const object_table&) = delete;
    object_table& operator=(const object_table&) = delete;
    /// Destroys the objects that are left. Precondition: no operation runs, no keep and no guard that was used with the table lives,
    /// and `home.barrier()` was called after the last; otherwise a `misuse`.
    ~object_table();

    /// Takes ownership of `object` under a new handle.
    ///
    /// Returns:         the handle's bits; 0 when all slots are in use, `object` is then still the caller's.
    /// Progress:        lock-free; allocates one chunk per 1,024 slots.
    /// Linearizes at:   [create.live].
    /// Synchronization: with every find that returns the object.
    /// Throws:          bad_alloc; `object` is then still the caller's.
    std::uint64_t create(std::uint8_t kind, std::unique_ptr<Object>& object);

    /// What a thread keeps of a table while it uses it: one object, and nothing else that is retired meanwhile.
    using keep = core::keep<Env>;

    /// The object behind a handle, for as long as `held` lives and keeps nothing else.
    ///
    /// Precondition:    `held` is the calling thread's, made for `home`.
    /// Returns:         found, and `out`; stale: the handle is not live; wrong_kind: it is live, of another kind.
    /// Progress:        wait-free. Linearizes at: [find.word]. Throws: nothing.
    find_status find(keep& held, std::uint64_t handle, std::uint8_t kind, Object*& out) noexcept {
        std::uint64_t word = 0;
        slot* at = nullptr;
        return look_up(&held, handle, kind, at, word, out);
    }
    /// The same, for as long as the caller's guard lives: for who uses many objects at once.
    /// Precondition: the calling thread is pinned in `home`, since before the call.
    find_status find(std::uint64_t handle, std::uint8_t kind, Object*& out) noexcept {
        std::uint64_t word = 0;
        slot* at = nullptr;
        return look_up(nullptr, handle, kind, at, word, out);
    }

    /// The current handle of a slot, 0 where it is not live. For lists; may be stale at once.
    std::uint64_t handle_at(std::uint32_t index) noexcept;

    /// Ends the handle now, and the object when the last guard and keep that may use it have ended.
    ///
    /// Returns:         found; `out` is the object, for as long as `held` keeps it. Otherwise as find. Exactly one of several
    ///                  concurrent calls answers found.
    /// Precondition:    as find.
    /// Progress:        lock-free; may run up to 8 deferred deleters. Linearizes at: [destroy.dead]. Throws: nothing.
    find_status destroy(keep& held, std::uint64_t handle, std::uint8_t kind, Object*& out) noexcept;

    /// How many handles were live a moment ago.
    std::uint64_t was_live() const noexcept {
        // [live.count] relaxed: a statistic.
        return live_.load(Env::relaxed);
    }

  private:
    template <class T>
    using atomic = typename Env::template atomic<T>;
    using hook = core::retired<Env>;
    using record_type = core::record<Env>;

    static constexpr std::uint32_t no_slot = max_slots;

    /// A figure for the domain's statistics.
    static std::uint32_t size_of(const Object& ending) noexcept {
        std::size_t size = sizeof(Object);
        if constexpr (requires { ending.footprint(); }) {
            size = ending.footprint();
        }
        return static_cast<std::uint32_t>(std::min<std::size_t>(size, std::numeric_limits<std::uint32_t>::max()));
    }
    static constexpr std::uint64_t word_of(std::uint32_t generation, std::uint8_t kind) noexcept {
        return std::uint64_t{generation} << 8 | kind;
    }

    struct slot {
        atomic<std::uint64_t> word{0};
        atomic<Object*> object{nullptr};
        atomic<std::uint32_t> next_free{no_slot};
        object_table* table = nullptr; // this and the index: constant once the chunk is linked
        std::uint32_t index = 0;
        alignas(hook) std::byte garbage[sizeof(hook)]; // hook of the last object, while its grace period runs
    };
    struct chunk {
        slot slots[chunk_slots];
    };

    find_status look_up(keep* held, std::uint64_t handle, std::uint8_t kind, slot*& at, std::uint64_t& word,
                        Object*& out) noexcept;
    slot* slot_at(std::uint32_t index) noexcept;
    void add_chunk(std::uint32_t number);
    std::uint32_t take_free();
    std::uint32_t was_ending() noexcept;
    void put_free(std::uint32_t index) noexcept;
    static void end(hook* garbage, record_type& runner) noexcept;

    basic_domain<Env>& home_;
    const std::uint32_t first_generation_;
    alignas(interference_size) atomic<std::uint32_t> free_{no_slot}; // the head of the free list
    atomic<std::uint32_t> used_{0};                                  // slots that were ever used
    atomic<std::uint64_t> live_{0};
    alignas(interference_size) atomic<chunk*> chunks_[Env::table_chunks] = {};
};

template <class Object, class Env>
object_table<Object, Env>::~object_table() {
    if (was_ending() != 0) {
        misuse("object_table destroyed while objects of it that were destroyed still wait in the domain. End all keeps "
               "and "
               "guards that used it, and call barrier() of its domain first.");
    }
    for (auto& each : chunks_) {
        // [dtor.chunk] relaxed: destruction is exclusive, whoever ordered it ordered all use before it; so for all of this.
        chunk* group = each.load(Env::relaxed);
        if (group == nullptr) {
            continue;
        }
        for (slot& at : group->slots) {
            // [dtor.word] relaxed: as [dtor.chunk].
            if (((at.word.load(Env::relaxed) >> 8) & 1) != 0) {
                // [dtor.object] relaxed: as [dtor.chunk].
                std::unique_ptr<Object>(at.object.load(Env::relaxed)).reset();
            }
        }
        std::destroy_at(group);
        home_.deallocate(group, sizeof(chunk), alignof(chunk));
    }
}

/// How many slots are neither live nor free, while nobody else operates: their objects wait for their end. (Not those that are used
/// up: what waits in them can't be told from what has ended.)
template <class Object, class Env>
std::uint32_t object_table<Object, Env>::was_ending() noexcept {
    // [ending.used] relaxed: nobody else operates; so for all of this function.
    const std::uint32_t used = used_.load(Env::relaxed);
    std::uint32_t ending = 0;
    for (std::uint32_t index = 0; index < used; ++index) {
        // [ending.word] relaxed: as [ending.used].
        const std::uint64_t generation = slot_at(index)->word.load(Env::relaxed) >> 8;
        ending += (generation & 1) == 0 && generation != 0 ? 1U : 0U;
    }
    // [ending.free] relaxed: as [ending.used].
    std::uint32_t index = free_.load(Env::relaxed);
    while (index != no_slot) {
        --ending;
        // [ending.next] relaxed: as [ending.used].
        index = slot_at(index)->next_free.load(Env::relaxed);
    }
    return ending;
}

// ---- create ------------------------------------------------------------------------------------------------------------

template <class Object, class Env>
std::uint64_t object_table<Object, Env>::create(std::uint8_t kind, std::unique_ptr<Object>& object) {
    const std::uint32_t index = take_free();
    if (index == no_slot) {
        return 0;
    }
    slot& at = *slot_at(index);
    // [create.object] relaxed: T2; [create.live] publishes it.
    at.object.store(object.release(), Env::relaxed);
    // [create.word] relaxed: the slot is ours, [take.pop] or [take.fresh] made it so.
    const auto generation = static_cast<std::uint32_t>(at.word.load(Env::relaxed) >> 8) + 1;
    // [create.count] relaxed: a statistic. Before [create.live], which carries it to whoever destroys: never below 0.
    live_.fetch_add(1, Env::relaxed);
    // [create.live] release: pairs with [find.word]
    //   Who finds this generation sees the object built, and the pointer.  // LP
    at.word.store(word_of(generation, kind), Env::release);
    return handle_parts{kind, index, generation}.bits();
}

template <class Object, class Env>
std::uint32_t object_table<Object, Env>::take_free() {
    {
        keep held(home_);
        // [take.head] acquire: pairs with [put.push]
        //   The slot's chunk was linked before.
        std::uint32_t head = free_.load(Env::acquire);
        while (head != no_slot) {
            slot& first = *slot_at(head);
            held.protect(first.garbage); // from the check on: taken by another thread, it does not come back (T3)
            // [take.check] acquire: pairs with [put.push]
            //   `next_free` of the slot at the head was written before it got there.
            if (const std::uint32_t now = free_.load(Env::acquire); now != head) {
                head = now;
                continue;
            }
            // [take.next] relaxed: may be read while another thread takes the slot; our CAS fails then.
            const std::uint32_t next = first.next_free.load(Env::relaxed);
            // [take.pop] acquire: pairs with [put.push]
            //   The end of the last object is over before we reuse its slot. Failure (acquire): as [take.head].
            if (free_.compare_exchange_weak(head, next, Env::acquire, Env::acquire)) {
                return head;
            }
        }
    }
    // [take.used] relaxed: only the expected value of [take.fresh].
    std::uint32_t used = used_.load(Env::relaxed);
    do {
        if (used == max_slots) {
            return no_slot;
        }
        add_chunk(used / chunk_slots); // before the slot is taken, so that bad_alloc loses none
        // [take.fresh] relaxed: the index only has to be distinct; its chunk is published by [chunk.link].
    } while (!used_.compare_exchange_weak(used, used + 1, Env::relaxed, Env::relaxed));
    return used;
}

template <class Object, class Env>
void object_table<Object, Env>::add_chunk(std::uint32_t number) {
    // [chunk.peek] relaxed: only a hint; [chunk.link] decides.
    if (chunks_[number].load(Env::relaxed) != nullptr) {
        return;
    }
    void* memory = home_.allocate(sizeof(chunk), alignof(chunk));
    // SAFETY: fresh memory of the chunk's size and alignment.
    auto* fresh = ::new (memory) chunk;
    for (std::uint32_t i = 0; i < chunk_slots; ++i) {
        fresh->slots[i].table = this;
        fresh->slots[i].index = number * chunk_slots + i;
        // [chunk.word] relaxed: [chunk.link] publishes the chunk.
        fresh->slots[i].word.store(word_of(first_generation_, 0), Env::relaxed);
    }
    chunk* none = nullptr;
    // [chunk.link] release: pairs with [slot.chunk]
    //   Who reads the pointer sees the slots initialised. Failure (relaxed): somebody else's chunk is there.
    if (!chunks_[number].compare_exchange_strong(none, fresh, Env::release, Env::relaxed)) {
        std::destroy_at(fresh);
        home_.deallocate(fresh, sizeof(chunk), alignof(chunk));
    }
}

// ---- find, destroy -----------------------------------------------------------------------------------------------------

template <class Object, class Env>
auto object_table<Object, Env>::slot_at(std::uint32_t index) noexcept -> slot* {
    if (index >= max_slots) {
        return nullptr;
    }
    // [slot.chunk] acquire: pairs with [chunk.link]
    //   The slots were initialised before the chunk was linked.
    chunk* group = chunks_[index / chunk_slots].load(Env::acquire);
    return group == nullptr ? nullptr : &group->slots[index % chunk_slots];
}

template <class Object, class Env>
find_status object_table<Object, Env>::look_up(keep* held, std::uint64_t handle, std::uint8_t kind, slot*& at,
                                               std::uint64_t& word, Object*& out) noexcept {
    const handle_parts parts = handle_parts::of(handle);
    at = slot_at(parts.index);
    if (at == nullptr || (parts.generation & 1) == 0) {
        return find_status::stale;
    }
    if (held != nullptr) {
        held->protect(at->garbage); // before the look at the word, which is the check
    }
    // [find.word] acquire: pairs with [create.live], [destroy.dead]
    //   The object was built before its generation was stored; `stale` comes after the destruction.  // LP
    word = at->word.load(Env::acquire);
    const bool live = word == word_of(parts.generation, parts.kind);
    if (!live || parts.kind != kind) {
        if (held != nullptr) {
            held->release(); // or it would keep whatever lives in the slot now
        }
        return live ? find_status::wrong_kind : find_status::stale;
    }
    // [find.object] relaxed: T3: the slot was live after we were pinned, or kept it, so the pointer can't have changed since.
    out = at->object.load(Env::relaxed);
    return find_status::found;
}

template <class Object, class Env>
find_status object_table<Object, Env>::destroy(keep& held, std::uint64_t handle, std::uint8_t kind,
                                               Object*& out) noexcept {
    slot* at = nullptr;
    std::uint64_t word = 0;
    const find_status status = look_up(&held, handle, kind, at, word, out);
    if (status != find_status::found) {
        return status;
    }
    const auto generation = static_cast<std::uint32_t>(word >> 8) + 1;
    // [destroy.dead] acq_rel: pairs with [find.word]
    //   Who is told `stale` sees what happened before the destruction; also who came second here (failure: acquire). The
    //   light barrier in retire_hook orders it before the grace period begins.  // LP
    if (!at->word.compare_exchange_strong(word, word_of(generation, 0), Env::acq_rel, Env::acquire)) {
        return find_status::stale;
    }
    // [destroy.count] relaxed: a statistic.
    live_.fetch_sub(1, Env::relaxed);
    // SAFETY: `garbage` is free: the slot's previous grace period was over before the slot was reused (T3).
    home_.retire_hook(held.mine(), ::new (static_cast<void*>(at->garbage)) hook(&end, size_of(*out), core::unpooled));
    return find_status::found;
}

template <class Object, class Env>
void object_table<Object, Env>::end(hook* garbage, record_type& runner) noexcept {
    // SAFETY: this reclaimer is only ever given to the hook inside a slot.
    auto* at = reinterpret_cast<slot*>(reinterpret_cast<std::byte*>(garbage) - offsetof(slot, garbage));
    if (at->table->home_.retired_again(runner, garbage)) {
        return; // T3
    }
    std::destroy_at(garbage);
    // [end.object] relaxed: the grace period is over, the slot is ours.
    std::unique_ptr<Object>(at->object.load(Env::relaxed)).reset();
    // [end.word] relaxed: as [end.object].
    if (at->word.load(Env::relaxed) >> 8 != 0) { // 0: the generation is used up, and so is the slot (T1)
        at->table->put_free(at->index);
    }
}

template <class Object, class Env>
void object_table<Object, Env>::put_free(std::uint32_t index) noexcept {
    slot& freed = *slot_at(index);
    // [put.head] relaxed: only the expected value of [put.push].
    std::uint32_t head = free_.load(Env::relaxed);
    do {
        // [put.next] relaxed: [put.push] publishes it.
        freed.next_free.store(head, Env::relaxed);
        // [put.push] release: pairs with [take.head], [take.check], [take.pop]
        //   `next_free`, and the end of the object that was here. Failure (relaxed): only `head` changes.
    } while (!free_.compare_exchange_weak(head, index, Env::release, Env::relaxed));
}

template <class Object, class Env>
std::uint64_t object_table<Object, Env>::handle_at(std::uint32_t index) noexcept {
    slot* at = slot_at(index);
    if (at == nullptr) {
        return 0;
    }
    // [at.word] relaxed: a snapshot; whoever uses the handle looks it up again.
    const std::uint64_t word = at->word.load(Env::relaxed);
    const auto generation = static_cast<std::uint32_t>(word >> 8);
    return (generation & 1) == 0 ? 0 : handle_parts{static_cast<std::uint8_t>(word), index, generation}.bits();
}

} // namespace epoque
