// SPDX-License-Identifier: BSL-1.0
/// @file
/// Which domains live, and which records each thread has in them. Only rare paths come here: a thread's first use of a
/// domain, a thread's end, a domain's end, a fork.
///
/// The end of a thread is seen by a pthread key, not by a thread_local's destructor: keys are cleaned up after all
/// thread_local destructors have run (which may still use our structures), and again, a few times, for those that are
/// set anew meanwhile.
///
/// fork() copies one thread and the memory of all. Everything here is changed under one mutex, which the forking thread
/// holds meanwhile, so the child finds it whole; then each living domain is told to forget the other threads. Handlers
/// allocate and free nothing: another thread may be inside the allocator, and sanitizers lock theirs.
#include "epoque/base/barrier.hpp"
#include "epoque/base/env.hpp"

#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <vector>

#include <pthread.h>
#include <unistd.h>

namespace epoque {
namespace {

struct live_domain {
    std::uint64_t id;
    void* object;
    std_env::fork_hook after_fork;
    live_domain* next;
};

struct held_record {
    std::uint64_t domain;
    void* record;
    void (*at_end)(void*) noexcept;
};

/// A thread's records. In a list of all, so that a fork's child finds those whose thread is gone.
struct thread_records {
    std::vector<held_record> held;
    bool gone = false;
    thread_records* next = nullptr;
};

struct registry {
    std::mutex mutex;
    live_domain* domains = nullptr;
    thread_records* threads = nullptr;
    std::uint64_t last = 0; // ids are never used twice, so a thread's cache can't mistake a new domain for an old one
    bool has_key = false;   // and the fork handlers
    pthread_key_t key{};
};

// Never destroyed: threads may end after static destruction has begun. Never in the making either: a function's static
// whose maker vanished in a fork would keep the child waiting.
union immortal {
    constexpr immortal() noexcept : value() {}
    ~immortal() {} // NOLINT(modernize-use-equals-default): a defaulted one would be deleted
    registry value;
};
constinit immortal process;

constinit thread_local thread_records* records_of_this_thread = nullptr;

live_domain* find_domain(std::uint64_t id) noexcept {
    live_domain* each = process.value.domains;
    while (each != nullptr && each->id != id) {
        each = each->next;
    }
    return each;
}

template <class Node>
void unlink(Node*& first, const Node* gone) noexcept {
    Node** link = &first;
    while (*link != gone) {
        link = &(*link)->next;
    }
    *link = gone->next;
}

void end_of_thread(void* memory) {
    const std::unique_ptr<thread_records> records(static_cast<thread_records*>(memory));
    records_of_this_thread = nullptr;
    for (local_record& cached : detail::local_cache) {
        cached = local_record{};
    }
    const std::lock_guard lock(process.value.mutex);
    unlink(process.value.threads, records.get());
    for (const held_record& held : records->held) {
        if (find_domain(held.domain) != nullptr) {
            held.at_end(held.record);
        }
    }
}

void before_fork() {
    process.value.mutex.lock();
}

void after_fork_in_parent() {
    process.value.mutex.unlock();
}

void after_fork_in_child() {
    barrier::after_fork();
    for (thread_records* each = process.value.threads; each != nullptr; each = each->next) {
        each->gone = each != records_of_this_thread;
    }
    for (const live_domain* each = process.value.domains; each != nullptr; each = each->next) {
        if (each->after_fork != nullptr) {
            each->after_fork(each->object, std_env::find_local(each->id));
        }
    }
    process.value.mutex.unlock();
}

/// Under the mutex.
void make_key() {
    if (process.value.has_key) {
        return;
    }
    if (const int error = pthread_atfork(&before_fork, &after_fork_in_parent, &after_fork_in_child); error != 0) {
        throw std::bad_alloc(); // the only failure that POSIX allows here
    }
    if (const int error = pthread_key_create(&process.value.key, &end_of_thread); error != 0) {
        throw std::system_error(error, std::generic_category(), "epoque: no pthread key is left for thread ends");
    }
    process.value.has_key = true;
}

} // namespace

std::uint64_t std_env::open_domain(void* domain, fork_hook after_fork) {
    auto fresh = std::make_unique<live_domain>(live_domain{0, domain, after_fork, nullptr});
    const std::lock_guard lock(process.value.mutex);
    make_key();
    fresh->id = ++process.value.last;
    fresh->next = process.value.domains;
    process.value.domains = fresh.release();
    return process.value.domains->id;
}

void std_env::close_domain(std::uint64_t domain) noexcept {
    std::unique_ptr<live_domain> closed;
    const std::lock_guard lock(process.value.mutex);
    closed.reset(find_domain(domain));
    unlink(process.value.domains, closed.get());
}

void* std_env::find_local(std::uint64_t domain) noexcept {
    if (records_of_this_thread != nullptr) {
        for (const held_record& held : records_of_this_thread->held) {
            if (held.domain == domain) {
                return held.record;
            }
        }
    }
    return nullptr;
}

std::uint64_t std_env::thread_number() noexcept {
    return static_cast<std::uint64_t>(::gettid());
}

void std_env::remember_local(std::uint64_t domain, void* record, void (*at_end)(void*) noexcept) {
    const std::lock_guard lock(process.value.mutex);
    if (records_of_this_thread == nullptr) {
        auto fresh = std::make_unique<thread_records>();
        if (const int error = pthread_setspecific(process.value.key, fresh.get()); error != 0) {
            throw std::bad_alloc(); // the only failure that POSIX allows here
        }
        fresh->next = process.value.threads;
        process.value.threads = fresh.get();
        records_of_this_thread = fresh.release();
    }
    // Threads that a fork left behind, and records of domains that are gone, make room.
    for (thread_records* each = process.value.threads; each != nullptr;) {
        thread_records* const next = each->next;
        if (each->gone) {
            unlink(process.value.threads, each);
            delete each; // NOLINT(cppcoreguidelines-owning-memory): its thread would have done it
        }
        each = next;
    }
    std::erase_if(records_of_this_thread->held,
                  [](const held_record& held) { return find_domain(held.domain) == nullptr; });
    records_of_this_thread->held.push_back({domain, record, at_end});
}

} // namespace epoque
