// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: ffi. Depends on: base (the Env and the Kernel are parameters; stress/waiting_model.cpp has others).
///
/// How a runtime that must not block its threads is told which objects have something to say: a list of announcements, and
/// an eventfd that is readable when there may be one.
///
///     ready_ --> item --> item --> null       any thread lists; one thread at a time takes all, and hands them out in the
///                                             order of their listing; each listing writes the eventfd
///
/// Invariants:
///   N1  An item lives while something refers to it: its object, a waiter that is registered, the list. A reference is only
///       ever added by a thread that keeps the object and found it live, so there is one already.
///   N2  An item is in the list once at most: only who changes `listed` from 0 to 1 links it, and only who takes it from the
///       list changes it back, before the handle is handed out. So whatever was done before an announcement happens before
///       a handing out that follows it, whether the announcement linked the item or found it linked.
///
/// Progress: announce is lock-free, plus one system call that does not block; it allocates nothing. A thread that is preempted
/// between claiming an item and linking it delays that item; it delays no operation and no other item.
#pragma once

#include "epoque/base/env.hpp"
#include "epoque/base/parking.hpp"

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>

#include <sys/eventfd.h>
#include <unistd.h>

namespace epoque::ffi {

/// What the operating system does for waiting. Nothing else of it is used here or in waiting.hpp.
struct kernel {
    static constexpr std::int64_t never = parking::never;
    static std::int64_t deadline_in(std::int64_t nanoseconds) noexcept { return parking::deadline_in(nanoseconds); }
    static void wait(const std::atomic<std::uint32_t>& word, std::uint32_t key, std::int64_t deadline) noexcept {
        parking::wait(word, key, deadline);
    }
    static void wake(const std::atomic<std::uint32_t>& word, std::uint32_t count) noexcept {
        parking::wake(word, count);
    }

    /// An eventfd.
    class event {
      public:
        /// The descriptor, made on the first call; negative: minus the errno that eventfd(2) gave.
        int open() noexcept {
            // [open.look] relaxed: only a number; the kernel orders what is done with it.
            int made = fd_.load(std_env::relaxed);
            if (made >= 0) {
                return made;
            }
            const int fresh = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
            if (fresh < 0) {
                return -errno;
            }
            // [open.set] relaxed: as [open.look]. Failure (relaxed): another thread's is there, ours goes.
            if (!fd_.compare_exchange_strong(made, fresh, std_env::relaxed, std_env::relaxed)) {
                ::close(fresh);
                return made;
            }
            return fresh;
        }
        /// Makes it readable. Precondition: open() has succeeded before whatever made the caller come here.
        void signal() noexcept {
            const std::uint64_t one = 1;
            // [signal.fd] relaxed: as [open.look].
            // Full (EAGAIN) means readable, which is all we want.
            [[maybe_unused]] const ssize_t written = ::write(fd_.load(std_env::relaxed), &one, sizeof one);
        }

      private:
        std_env::atomic<int> fd_{-1};
    };
};

/// What the notifier lists: a part of what outlives an object. See N1, N2.
template <class Env>
class announcement {
    template <class T>
    using atomic = typename Env::template atomic<T>;

  public:
    announcement() = default;
    announcement(const announcement&) = delete;
    announcement& operator=(const announcement&) = delete;

    void retain() noexcept {
        // [retain.add] relaxed: the caller has a reference, or keeps the object, which has one.
        references_.fetch_add(1, Env::relaxed);
    }
    void release() noexcept {
        // [release.sub] acq_rel: pairs with [release.sub]
        //   Every use happens before the end, whoever comes last.
        if (references_.fetch_sub(1, Env::acq_rel) == 1) {
            end();
        }
    }

    /// What to announce: the first handle that claims. Returns which one has. To be published by the caller before anybody
    /// announces. (One for ever: an announcement that is listed has no room for two.)
    std::uint64_t claim(std::uint64_t handle) noexcept {
        std::uint64_t owner = 0;
        // [handle.set] relaxed: [interest:announce.set] publishes it. Failure (relaxed): it is only compared.
        return handle_.compare_exchange_strong(owner, handle, Env::relaxed, Env::relaxed) ? handle : owner;
    }

  protected:
    virtual ~announcement() = default;

  private:
    template <class, class>
    friend class notifier;

    /// Destroys and deallocates the whole.
    virtual void end() noexcept = 0;

    atomic<std::uint32_t> references_{1}; // N1; the first is the object's
    atomic<std::uint32_t> listed_{0};     // N2
    atomic<std::uint64_t> handle_{0};
    // In the list: the lister's until it is linked, then the taker's until it clears listed_.
    typename Env::template var<announcement*> next_{nullptr};
};

/// The process's list of announced objects, and the eventfd that says that it may not be empty.
template <class Env = std_env, class Kernel = kernel>
class notifier {
    template <class T>
    using atomic = typename Env::template atomic<T>;
    using item_type = announcement<Env>;

  public:
    typename Kernel::event& event() noexcept { return event_; }

    /// Lists an item that the caller has disarmed. Precondition: the caller keeps the object.
    void announce(item_type& item) noexcept {
        // [announce.list] acq_rel: pairs with [take.clear]
        //   N2. Acquire: the taker's last use of `next_`. Release, where it is listed already: the taker that clears the flag
        //   sees what we announce.
        if (item.listed_.exchange(1, Env::acq_rel) == 0) {
            item.retain();
            // [announce.head] relaxed: only the expected value of [announce.push].
            item_type* head = ready_.load(Env::relaxed);
            do {
                item.next_.set(head);
                // [announce.push] release: pairs with [take.all]
                //   `next_`, and what we announce. Failure (relaxed): only `head` changes.
            } while (!ready_.compare_exchange_weak(head, &item, Env::release, Env::relaxed));
        }
        event_.signal(); // also when somebody else has listed it: that thread may be preempted before its own
    }

    /// Takes up to `capacity` handles, the first announced first. False: another thread is here.
    bool take(std::uint64_t* handles, std::size_t capacity, std::size_t& taken, bool& more) noexcept {
        // [take.lock] acq_rel: pairs with [take.unlock]
        //   `rest_` as the last taker left it. Release: the one who holds it sees, as it leaves, what we were signalled for.
        if (taking_.exchange(1, Env::acq_rel) != 0) {
            return false;
        }
        taken = 0;
        while (taken < capacity) {
            if (rest_.get() == nullptr && !fetch()) {
                break;
            }
            item_type& item = *rest_.get();
            rest_.set(item.next_.get());
            // [take.clear] acq_rel: pairs with [announce.list]
            //   N2. Release: from here on `next_` is the next lister's. Acquire: what was announced while it was listed.
            item.listed_.exchange(0, Env::acq_rel);
            // [take.handle] relaxed: [take.all] or [take.clear] ordered it after [handle.set].
            handles[taken++] = item.handle_.load(Env::relaxed);
            item.release();
        }
        // [take.more] relaxed: a hint; whoever lists later signals later.
        more = rest_.get() != nullptr || ready_.load(Env::relaxed) != nullptr;
        // [take.unlock] acq_rel: pairs with [take.lock]
        //   Release: `rest_`. Acquire: the announcements for which those came that were turned away meanwhile.
        taking_.exchange(0, Env::acq_rel);
        // [take.again] relaxed: [take.unlock] acquired what must be seen here.
        if (ready_.load(Env::relaxed) != nullptr) {
            event_.signal(); // somebody who was turned away may have read the signal
        }
        return true;
    }

  private:
    /// Takes the whole list over into `rest_` (empty), the oldest first; false when there is none.
    bool fetch() noexcept {
        // [take.all] acquire: pairs with [announce.push]
        //   The items' `next_`, and what is announced. The head is only changed by read-modify-writes, so every
        //   lister's release is in the sequence that we read from.
        for (item_type* item = ready_.exchange(nullptr, Env::acquire); item != nullptr;) {
            item_type* next = item->next_.get();
            item->next_.set(rest_.get());
            rest_.set(item);
            item = next;
        }
        return rest_.get() != nullptr;
    }

    atomic<item_type*> ready_{nullptr};
    atomic<std::uint32_t> taking_{0};
    typename Env::template var<item_type*> rest_{nullptr}; // taken over, not yet handed out: whoever holds taking_
    typename Kernel::event event_;
};

} // namespace epoque::ffi
