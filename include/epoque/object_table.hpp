// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: object_table. Depends on: base, domain.
///
/// Numbers for objects: what the C interface hands out instead of pointers.
///
///     handle:  kind 8 | index 24 | generation 32           0 is never valid
///     slot:    word = pending 1 | rights 8 | generation 32 | kind 8    odd generation: live, but for a dup that is under way
///              object = pointer                                        (pending). +1 at create and dup, +1 at its end
///              first = index of the object's first slot                several slots may name one object (dup);
///              names = live 32 | slots 31 | destroyed 1                there they are counted
///
///     chunks_ --> [chunk 0: 1,024 slots][chunk 1]...       chunks never move and are freed with the table
///
/// Invariants:
///   T1  A slot's generation only grows; it is odd exactly while the slot holds a live object, or is about to. A slot whose
///       generation would wrap is never used again, so a handle never becomes valid a second time.
///   T2  `object` and `first` are written only while the slot is in nobody's reach: before the store of an odd generation.
///   T3  A slot's index returns to the free list only after the grace period that began with its destroy, and when nobody keeps
///       the slot (core/domain_keeps.hpp). So a thread that is pinned, or keeps the slot, and has then seen the generation it
///       wants reads the pointer that belongs to it, and the object lives until the guard or the keep ends. (With immediate
///       reuse the memory would be protected, but not the identity.)
///   T4  A slot is a name of its object from the count in `names` that precedes its odd generation to the deferred step of T3, which
///       takes the count back; whoever takes the last one destroys the object, and returns the index of the first slot, which
///       is kept back until then. So the object ends after the last guard and keep that could have found it by any of its slots.
///   T5  The mark `destroyed` is set once. Who sets it, or finds it set, ends every slot that names the object, pending ones too; a
///       dup under way sees the mark, or finds its slot ended, before that slot is live. So when a destroy returns, but
///       for one that did not find its own handle live, no handle of the object is live, and none becomes so.
///   T6  `live` counts the slots from before their odd generation to their end: whoever takes the last one back answers for the
///       object's memory in the domain's statistics, and no dup begins afterwards.
///
/// Progress: find is wait-free; create, dup, revoke and destroy are lock-free (create and dup may allocate a chunk; a destroy of an
/// object with several slots looks at every slot that was ever used).
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
#include <type_traits>

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
enum class find_status : std::uint8_t { found, stale, wrong_kind, no_right };

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
    /// What a handle may be good for: bits that mean something to the users of the table.
    using rights_type = std::uint8_t;
    static constexpr rights_type all_rights = 0xff;

    /// `first_generation`: even; generations begin there, so that numbers of an earlier run are not valid in this one.
    explicit object_table(basic_domain<Env>& home, std::uint32_t first_generation = 0) noexcept
        : home_(home), first_generation_(first_generation & ~std::uint32_t{1}) {}
    object_table(const object_table&) = delete;
    object_table& operator=(const object_table&) = delete;
    /// Destroys the objects that are left. Precondition: no operation runs, no keep and no guard that was used with the table lives,
    /// and `home.barrier()` was called after the last; otherwise a `misuse`.
    ~object_table();

    /// Takes ownership of `object` under a new handle with `rights`.
    ///
    /// Returns:         the handle's bits; 0 when all slots are in use, `object` is then still the caller's.
    /// Progress:        lock-free; allocates one chunk per 1,024 slots.
    /// Linearizes at:   [fill.live].
    /// Synchronization: with every find that returns the object.
    /// Throws:          bad_alloc; `object` is then still the caller's.
    std::uint64_t create(std::uint8_t kind, std::unique_ptr<Object>& object, rights_type rights = all_rights);

    /// What a thread keeps of a table while it uses it: one object, and nothing else that is retired meanwhile.
    using keep = core::keep<Env>;

    /// The object behind a handle, for as long as `held` lives and keeps nothing else.
    ///
    /// Precondition:    `held` is the calling thread's, made for `home`.
    /// Returns:         found, and `out`; stale: the handle is not live; wrong_kind: it is live, of another kind; no_right: it lacks
    ///                  one of `needs`.
    /// Progress:        wait-free. Linearizes at: [find.word]. Throws: nothing.
    find_status find(keep& held, std::uint64_t handle, std::uint8_t kind, Object*& out,
                     rights_type needs = 0) noexcept {
        std::uint64_t word = 0;
        slot* at = nullptr;
        return look_up(&held, handle, kind, needs, at, word, out);
    }
    /// The same, for as long as the caller's guard lives: for who uses many objects at once.
    /// Precondition: the calling thread is pinned in `home`, since before the call.
    find_status find(std::uint64_t handle, std::uint8_t kind, Object*& out, rights_type needs = 0) noexcept {
        std::uint64_t word = 0;
        slot* at = nullptr;
        return look_up(nullptr, handle, kind, needs, at, word, out);
    }

    /// The current handle of a slot, 0 where it is not live. For lists; may be stale at once.
    std::uint64_t handle_at(std::uint32_t index) noexcept;
    /// The rights of a handle, 0 where it is not live. May be stale at once.
    rights_type was_rights(std::uint64_t handle) noexcept;
    /// How many slots were ever used a moment ago: handle_at() of all others is 0.
    std::uint32_t was_used() const noexcept {
        // [used.count] relaxed: a snapshot.
        return used_.load(Env::relaxed);
    }

    /// Another handle of the same object, with `rights`, a subset of `handle`'s. It is live until it is revoked, or the object
    /// destroyed by any of its handles.
    ///
    /// Returns:         found; `out` is the object, for as long as `held` keeps it; `made` the new handle, 0 when all slots are in
    ///                  use. no_right: `handle` lacks one of `rights`. stale: also when the object is being destroyed.
    /// Precondition:    as find.
    /// Progress:        lock-free; allocates as create. Linearizes at: [dup.live]. Throws: bad_alloc; nothing was changed then.
    find_status dup(keep& held, std::uint64_t handle, std::uint8_t kind, rights_type rights, Object*& out,
                    std::uint64_t& made);

    /// Ends this one handle now; and with the last one the object, when the last guard and keep that may use it have ended.
    /// A call that found the handle before may take effect after it, a dup or a destroy, too.
    ///
    /// Returns:         found; `out` is the object, for as long as `held` keeps it. Otherwise as find. Exactly one of several
    ///                  concurrent calls answers found.
    /// Precondition:    as find.
    /// Progress:        lock-free; may run up to 8 deferred deleters. Linearizes at: [kill.dead]. Throws: nothing.
    find_status revoke(keep& held, std::uint64_t handle, std::uint8_t kind, Object*& out) noexcept;

    /// Ends all handles of the object now, and the object when the last guard and keep that may use it have ended.
    ///
    /// Returns:         found; `out` is the object, for as long as `held` keeps it. Otherwise as find. Exactly one of several
    ///                  concurrent calls, by whichever handles of the object, answers found. Who is told stale finds `handle`
    ///                  stale from then on; where `out` is written, all others too: somebody else destroys the object.
    /// Precondition:    as find.
    /// Progress:        lock-free; may run up to 8 deferred deleters for each handle. Throws: nothing.
    /// Linearizes at:   [kill.dead], each handle for itself: several do not end at one moment.
    find_status destroy(keep& held, std::uint64_t handle, std::uint8_t kind, Object*& out,
                        rights_type needs = 0) noexcept;

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
    static constexpr std::uint32_t kept_back =
        max_slots + 1; // in next_free of a first slot that waits for the last name (T4)
    // slot::names.
    static constexpr std::uint64_t destroyed = 1;
    static constexpr std::uint64_t one_name = 2;
    static constexpr std::uint64_t one_live = std::uint64_t{1} << 32;
    static constexpr std::uint64_t names_of(std::uint64_t word) noexcept { return word % one_live - word % one_name; }

    /// A figure for the domain's statistics.
    static std::uint32_t size_of(const Object& ending) noexcept {
        std::size_t size = sizeof(Object);
        if constexpr (requires { ending.footprint(); }) {
            size = ending.footprint();
        }
        return static_cast<std::uint32_t>(std::min<std::size_t>(size, std::numeric_limits<std::uint32_t>::max()));
    }
    static constexpr std::uint64_t word_of(std::uint32_t generation, std::uint8_t kind,
                                           rights_type rights = 0) noexcept {
        return std::uint64_t{rights} << 40 | std::uint64_t{generation} << 8 | kind;
    }
    static constexpr std::uint64_t pending = std::uint64_t{1} << 48;
    static constexpr std::uint64_t identity = ((std::uint64_t{1} << 40) - 1) | pending; // all of a word but the rights
    static constexpr std::uint32_t generation_of(std::uint64_t word) noexcept {
        return static_cast<std::uint32_t>(word >> 8);
    }
    static constexpr bool is_used(std::uint64_t word) noexcept { return (generation_of(word) & 1) != 0; }

    struct slot {
        atomic<std::uint64_t> word{0};
        atomic<Object*> object{nullptr};
        atomic<std::uint64_t> names{0}; // of a first slot, T4 to T6
        atomic<std::uint32_t> next_free{no_slot};
        atomic<std::uint32_t> first{0};
        std::uint32_t index = 0;                       // constant once the chunk is linked
        alignas(hook) std::byte garbage[sizeof(hook)]; // hook of the last object, while its grace period runs
    };
    struct chunk {
        slot slots[chunk_slots];
        object_table* table = nullptr; // constant once the chunk is linked
    };

    find_status look_up(keep* held, std::uint64_t handle, std::uint8_t kind, rights_type needs, slot*& at,
                        std::uint64_t& word, Object*& out) noexcept;
    std::uint64_t fill(std::uint32_t index, Object* object, std::uint32_t first, std::uint64_t rest) noexcept;
    slot& first_of(const slot& at) noexcept;
    bool kill(record_type& record, slot& at, std::uint64_t& word) noexcept;
    EPOQUE_COLD void kill_all(record_type& record, std::uint32_t first) noexcept;
    static bool drop_name(slot& first) noexcept;
    static void forget_name(slot& first) noexcept;
    slot* slot_at(std::uint32_t index) noexcept;
    slot& known_slot(std::uint32_t index) noexcept;
    void add_chunk(std::uint32_t number);
    std::uint32_t take_free();
    std::uint32_t was_ending() noexcept;
    void put_free(std::uint32_t index) noexcept;
    void reuse(slot& ended) noexcept;
    static object_table& table_of(slot& at) noexcept;
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
    // [dtor.used] relaxed: destruction is exclusive, whoever ordered it ordered all use before it; so for all of this.
    const std::uint32_t used = used_.load(Env::relaxed);
    for (std::uint32_t index = 0; index < used; ++index) {
        slot& at = *slot_at(index);
        // [dtor.word] relaxed: as [dtor.used].
        if (is_used(at.word.load(Env::relaxed)) && drop_name(first_of(at))) {
            // [dtor.object] relaxed: as [dtor.used].
            std::unique_ptr<Object>(at.object.load(Env::relaxed)).reset();
        }
    }
    for (auto& each : chunks_) {
        // [dtor.chunk] relaxed: as [dtor.used].
        chunk* group = each.load(Env::relaxed);
        if (group == nullptr) {
            continue;
        }
        std::destroy_at(group);
        home_.deallocate(group, sizeof(chunk), alignof(chunk));
    }
}

/// How many slots are neither live nor free, while nobody else operates: they wait for their end. (Not those that are used
/// up: what waits in them can't be told from what has ended. Nor first slots that have ended and are kept back, T4.)
template <class Object, class Env>
std::uint32_t object_table<Object, Env>::was_ending() noexcept {
    // [ending.used] relaxed: nobody else operates; so for all of this function.
    const std::uint32_t used = used_.load(Env::relaxed);
    std::uint32_t ending = 0;
    for (std::uint32_t index = 0; index < used; ++index) {
        // [ending.word] relaxed: as [ending.used].
        const std::uint64_t word = slot_at(index)->word.load(Env::relaxed);
        // [ending.kept_back] relaxed: as [ending.used].
        const bool ended = slot_at(index)->next_free.load(Env::relaxed) == kept_back;
        ending += !is_used(word) && generation_of(word) != 0 && !ended ? 1U : 0U;
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
std::uint64_t object_table<Object, Env>::create(std::uint8_t kind, std::unique_ptr<Object>& object,
                                                rights_type rights) {
    const std::uint32_t index = take_free();
    if (index == no_slot) {
        return 0;
    }
    // [create.names] relaxed: T4; [fill.live] publishes it.
    known_slot(index).names.store(one_live + one_name, Env::relaxed);
    const std::uint64_t word = fill(index, object.release(), index, word_of(0, kind, rights));
    return handle_parts{kind, index, generation_of(word)}.bits();
}

/// Gives a slot that was taken its next generation; `rest`: what else its word says. Returns the word.
template <class Object, class Env>
std::uint64_t object_table<Object, Env>::fill(std::uint32_t index, Object* object, std::uint32_t first,
                                              std::uint64_t rest) noexcept {
    slot& at = known_slot(index);
    // [fill.object] relaxed: T2; [fill.live] publishes it.
    at.object.store(object, Env::relaxed);
    // [fill.first] relaxed: as [fill.object].
    at.first.store(first, Env::relaxed);
    // [fill.word] relaxed: the slot is ours, [take.pop] or [take.fresh] made it so.
    const std::uint64_t word = word_of(generation_of(at.word.load(Env::relaxed)) + 1, 0) | rest;
    // [fill.count] relaxed: a statistic. Before [fill.live], which carries it to whoever ends the handle: never below 0.
    live_.fetch_add(1, Env::relaxed);
    // [fill.live] release: pairs with [find.word], [scan.word]
    //   Who finds this generation sees the object built, and the pointer.  // LP of create
    at.word.store(word, Env::release);
    return word;
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
    static_assert(!std::is_same_v<Env, std_env> || sizeof(slot) == 64);
    fresh->table = this;
    for (std::uint32_t i = 0; i < chunk_slots; ++i) {
        fresh->slots[i].index = number * chunk_slots + i;
        // [chunk.word] relaxed: [chunk.link] publishes the chunk.
        fresh->slots[i].word.store(word_of(first_generation_, 0), Env::relaxed);
    }
    chunk* none = nullptr;
    // [chunk.link] release: pairs with [slot.chunk], [known.chunk]
    //   Who reads the pointer sees the slots initialised. Failure (relaxed): somebody else's chunk is there.
    if (!chunks_[number].compare_exchange_strong(none, fresh, Env::release, Env::relaxed)) {
        std::destroy_at(fresh);
        home_.deallocate(fresh, sizeof(chunk), alignof(chunk));
    }
}

// ---- find ----------------------------------------------------------------------------------------------------------------

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

/// A slot whose index the caller has from the table: its chunk is there.
template <class Object, class Env>
auto object_table<Object, Env>::known_slot(std::uint32_t index) noexcept -> slot& {
    // [known.chunk] acquire: pairs with [chunk.link]
    //   As [slot.chunk].
    return chunks_[index / chunk_slots].load(Env::acquire)->slots[index % chunk_slots];
}

template <class Object, class Env>
find_status object_table<Object, Env>::look_up(keep* held, std::uint64_t handle, std::uint8_t kind, rights_type needs,
                                               slot*& at, std::uint64_t& word, Object*& out) noexcept {
    const handle_parts parts = handle_parts::of(handle);
    at = slot_at(parts.index);
    if (at == nullptr || (parts.generation & 1) == 0) {
        return find_status::stale;
    }
    if (held != nullptr) {
        held->protect(at->garbage); // before the look at the word, which is the check
    }
    // [find.word] acquire: pairs with [fill.live], [dup.live], [kill.dead]
    //   The object was built before its generation was stored; `stale` comes after the destruction.  // LP
    word = at->word.load(Env::acquire);
    const bool good = (word & (identity | word_of(0, 0, needs))) == word_of(parts.generation, parts.kind, needs);
    if (!good || parts.kind != kind) {
        if (held != nullptr) {
            held->release(); // or it would keep whatever lives in the slot now
        }
        const bool live = (word & identity) == word_of(parts.generation, parts.kind);
        return !live ? find_status::stale : parts.kind != kind ? find_status::wrong_kind : find_status::no_right;
    }
    // [find.object] relaxed: T3: the slot was live after we were pinned, or kept it, so the pointer can't have changed since.
    out = at->object.load(Env::relaxed);
    return find_status::found;
}

/// The slot where the names of this slot's object are counted.
template <class Object, class Env>
auto object_table<Object, Env>::first_of(const slot& at) noexcept -> slot& {
    // [first.index] relaxed: as [find.object]; the first slot was there before.
    return known_slot(at.first.load(Env::relaxed));
}

// ---- dup, revoke, destroy ------------------------------------------------------------------------------------------------

template <class Object, class Env>
find_status object_table<Object, Env>::dup(keep& held, std::uint64_t handle, std::uint8_t kind, rights_type rights,
                                           Object*& out, std::uint64_t& made) {
    slot* at = nullptr;
    std::uint64_t word = 0;
    const find_status status = look_up(&held, handle, kind, rights, at, word, out);
    if (status != find_status::found) {
        return status;
    }
    slot& first = first_of(*at);
    made = 0;
    // [dup.peek] acquire: pairs with [destroy.mark], [kill.live]
    //   `stale` comes after the destruction that causes it.
    std::uint64_t names = first.names.load(Env::acquire);
    do {
        if ((names & destroyed) != 0 || names < one_live) {
            kill(held.mine(), *at, word); // who is told stale finds it so ever after
            return find_status::stale;
        }
        // [dup.count] acquire: pairs with [destroy.mark], [kill.live]
        //   T4: we keep a slot that is counted, so the object lives; [dup.check] is what a destroy meets. Failure (acquire): as
        //   [dup.peek].
    } while (!first.names.compare_exchange_weak(names, names + one_live + one_name, Env::acquire, Env::acquire));
    std::uint32_t index = no_slot;
    try {
        index = take_free();
    } catch (...) {
        forget_name(first);
        throw;
    }
    if (index == no_slot) {
        forget_name(first);
        return find_status::found;
    }
    slot& fresh = known_slot(index);
    std::uint64_t waiting = fill(index, out, first.index, word_of(0, kind, rights) | pending);
    const std::uint32_t generation = generation_of(waiting);
    // [dup.check] acq_rel: pairs with [destroy.mark]
    //   T5. If ours is first, the destroyer synchronizes with us and finds our slot; if the mark is first, we see it.
    if ((first.names.fetch_add(0, Env::acq_rel) & destroyed) != 0) {
        kill(held.mine(), fresh, waiting);
        // [dup.live] release: pairs with [find.word], [scan.word]
        //   As [fill.live]. Failure (acquire): a destroyer has ended the slot; as [dup.peek].  // LP
    } else if (fresh.word.compare_exchange_strong(waiting, waiting & ~pending, Env::release, Env::acquire)) {
        made = handle_parts{kind, index, generation}.bits();
        return find_status::found;
    }
    kill(held.mine(), *at, word);
    return find_status::stale;
}

/// A dup has come to nothing. Not the last name: the dup keeps one.
template <class Object, class Env>
void object_table<Object, Env>::forget_name(slot& first) noexcept {
    // [forget.name] release: pairs with [drop.name]
    //   T4, as every change of it; we have not used the object.
    first.names.fetch_sub(one_live + one_name, Env::release);
}

template <class Object, class Env>
find_status object_table<Object, Env>::revoke(keep& held, std::uint64_t handle, std::uint8_t kind,
                                              Object*& out) noexcept {
    slot* at = nullptr;
    std::uint64_t word = 0;
    const find_status status = look_up(&held, handle, kind, 0, at, word, out);
    if (status != find_status::found) {
        return status;
    }
    return kill(held.mine(), *at, word) ? find_status::found : find_status::stale;
}

template <class Object, class Env>
find_status object_table<Object, Env>::destroy(keep& held, std::uint64_t handle, std::uint8_t kind, Object*& out,
                                               rights_type needs) noexcept {
    slot* at = nullptr;
    std::uint64_t word = 0;
    const find_status status = look_up(&held, handle, kind, needs, at, word, out);
    if (status != find_status::found) {
        return status;
    }
    slot& first = first_of(*at);
    // [destroy.mark] acq_rel: pairs with [dup.peek], [dup.count], [dup.check], [destroy.mark]
    //   T5. Acquire: every dup that [dup.check] let go on has its slot filled. Release: as [dup.check]; and who comes second here
    //   sees what happened before the destruction.
    const std::uint64_t names = first.names.fetch_or(destroyed, Env::acq_rel);
    const bool ours = (names & destroyed) == 0;
    kill(held.mine(), *at, word);
    if (names_of(names) != one_name) {
        kill_all(held.mine(), first.index); // also where the mark is another's, who may have been stopped since
    }
    return ours ? find_status::found : find_status::stale;
}

/// Ends one life of a slot. False: it says something else, which is in `word` now. Precondition: the caller keeps a slot of that
/// object.
template <class Object, class Env>
bool object_table<Object, Env>::kill(record_type& record, slot& at, std::uint64_t& word) noexcept {
    // [kill.dead] acq_rel: pairs with [find.word], [scan.word]
    //   Who is told `stale` sees what happened before the destruction; also who came second here (failure: acquire). The
    //   light barrier in retire_hook orders it before the grace period begins.  // LP
    if (!at.word.compare_exchange_strong(word, word_of(generation_of(word) + 1, 0), Env::acq_rel, Env::acquire)) {
        return false;
    }
    // [kill.count] relaxed: a statistic.
    live_.fetch_sub(1, Env::relaxed);
    // [kill.live] acq_rel: pairs with [dup.peek], [dup.count], [kill.live]
    //   T6: of several that end at once one knows that it is the last. (The slot is still a name: the object lives.)
    const bool last = first_of(at).names.fetch_sub(one_live, Env::acq_rel) / one_live == 1;
    // [kill.object] relaxed: as [find.object]; nobody writes it before the deferred step.
    const std::uint32_t size = last ? size_of(*at.object.load(Env::relaxed)) : std::uint32_t{sizeof(slot)};
    // SAFETY: `garbage` is free: the slot's previous grace period was over before the slot was reused (T3).
    home_.retire_hook(record, ::new (static_cast<void*>(at.garbage)) hook(&end, size, core::unpooled));
    return true;
}

/// Ends every slot that names the object whose first slot this is. Precondition: the caller has met the mark, and keeps one of its
/// slots: so the first one is not used for another object meanwhile.
template <class Object, class Env>
void object_table<Object, Env>::kill_all(record_type& record, std::uint32_t first) noexcept {
    // [scan.used] relaxed: [destroy.mark] acquired what has to be seen of it.
    const std::uint32_t used = used_.load(Env::relaxed);
    for (std::uint32_t index = 0; index < used; ++index) {
        slot* each = slot_at(index);
        if (each == nullptr) {
            continue; // of a chunk that we need not know of yet
        }
        // [scan.word] acquire: pairs with [fill.live], [dup.live], [kill.dead]
        //   `first` of this life was written before; if it is of a later one, the word has changed, and kill fails.
        std::uint64_t word = each->word.load(Env::acquire);
        // [scan.first] relaxed: as [scan.word]. Once more where a dup has become live meanwhile.
        while (is_used(word) && each->first.load(Env::relaxed) == first && !kill(record, *each, word)) {
        }
    }
}

/// Whether it was the last one: then the object is the caller's.
template <class Object, class Env>
bool object_table<Object, Env>::drop_name(slot& first) noexcept {
    // [drop.name] acq_rel: pairs with [drop.name], [forget.name]
    //   T4: all uses by all slots are over before the last one ends the object.
    return names_of(first.names.fetch_sub(one_name, Env::acq_rel)) == one_name;
}

template <class Object, class Env>
auto object_table<Object, Env>::table_of(slot& at) noexcept -> object_table& {
    // SAFETY: slots lie in chunks, each at its index; a chunk begins with its slots.
    return *reinterpret_cast<chunk*>(&at - at.index % chunk_slots)->table;
}

template <class Object, class Env>
void object_table<Object, Env>::end(hook* garbage, record_type& runner) noexcept {
    // SAFETY: this reclaimer is only ever given to the hook inside a slot.
    auto* at = reinterpret_cast<slot*>(reinterpret_cast<std::byte*>(garbage) - offsetof(slot, garbage));
    object_table& table = table_of(*at);
    if (table.home_.retired_again(runner, garbage)) {
        return; // T3
    }
    std::destroy_at(garbage);
    slot& first = table.first_of(*at);
    if (at == &first) {
        // [end.keep_back] relaxed: [drop.name] carries it to whoever comes last, and writes over it.
        at->next_free.store(kept_back, Env::relaxed);
    }
    // [end.object] relaxed: the grace period is over, the slot is ours.
    Object* const object = at->object.load(Env::relaxed);
    const bool last = table.drop_name(first); // T4
    if (last) {
        std::unique_ptr<Object>(object).reset();
        table.reuse(first);
    }
    if (at != &first) {
        table.reuse(*at);
    }
}

/// Puts a slot back whose life, and whose use as a first slot, is over.
template <class Object, class Env>
void object_table<Object, Env>::reuse(slot& ended) noexcept {
    // [reuse.word] relaxed: as [end.object].
    if (generation_of(ended.word.load(Env::relaxed)) != 0) { // 0: the generation is used up, and so is the slot (T1)
        put_free(ended.index);
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
    const bool live = is_used(word) && (word & pending) == 0;
    return live ? handle_parts{static_cast<std::uint8_t>(word), index, generation_of(word)}.bits() : 0;
}

template <class Object, class Env>
auto object_table<Object, Env>::was_rights(std::uint64_t handle) noexcept -> rights_type {
    const handle_parts parts = handle_parts::of(handle);
    slot* at = slot_at(parts.index);
    if (at == nullptr || (parts.generation & 1) == 0) {
        return 0;
    }
    // [rights.word] relaxed: as [at.word].
    const std::uint64_t word = at->word.load(Env::relaxed);
    const bool live = (word & identity) == word_of(parts.generation, parts.kind);
    return live ? static_cast<rights_type>(word >> 40) : 0;
}

} // namespace epoque
