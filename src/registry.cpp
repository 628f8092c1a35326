// SPDX-License-Identifier: BSL-1.0
/// @file
/// Which domains live, and which records each thread has in them. Only rare paths come here: a thread's first use of a
/// domain, a thread's end, a domain's end.
///
/// The end of a thread is seen by a pthread key, not by a thread_local's destructor: keys are cleaned up after all
/// thread_local destructors have run (which may still use our structures), and again, a few times, for those that are
/// set anew meanwhile.
#include "epoque/base/env.hpp"

#include <algorithm>
#include <memory>
#include <mutex>
#include <system_error>
#include <vector>

#include <pthread.h>

namespace epoque {
namespace {

struct held_record {
    std::uint64_t domain;
    void* record;
    void (*at_end)(void*) noexcept;
};

using thread_records = std::vector<held_record>;

struct live_domains {
    std::mutex mutex;
    std::vector<std::uint64_t> ids;
    std::uint64_t last = 0; // ids are never used twice, so a thread's cache can't mistake a new domain for an old one
};

// Never destroyed: threads may end after static destruction has begun.
live_domains& domains() {
    static auto* const leaked = new live_domains; // NOLINT(cppcoreguidelines-owning-memory)
    return *leaked;
}

constinit thread_local thread_records* records_of_this_thread = nullptr;

void end_of_thread(void* memory) {
    const std::unique_ptr<thread_records> records(static_cast<thread_records*>(memory));
    records_of_this_thread = nullptr;
    for (local_record& cached : detail::local_cache) {
        cached = local_record{};
    }
    live_domains& live = domains();
    const std::lock_guard lock(live.mutex);
    for (const held_record& held : *records) {
        if (std::find(live.ids.begin(), live.ids.end(), held.domain) != live.ids.end()) {
            held.at_end(held.record);
        }
    }
}

pthread_key_t exit_key() {
    static const pthread_key_t key = [] {
        pthread_key_t made{};
        if (const int error = pthread_key_create(&made, &end_of_thread); error != 0) {
            throw std::system_error(error, std::generic_category(), "epoque: no pthread key is left for thread ends");
        }
        return made;
    }();
    return key;
}

} // namespace

std::uint64_t std_env::open_domain() {
    exit_key();
    live_domains& live = domains();
    const std::lock_guard lock(live.mutex);
    live.ids.push_back(live.last + 1);
    return ++live.last;
}

void std_env::close_domain(std::uint64_t domain) noexcept {
    live_domains& live = domains();
    const std::lock_guard lock(live.mutex);
    std::erase(live.ids, domain);
}

void* std_env::find_local(std::uint64_t domain) noexcept {
    if (records_of_this_thread != nullptr) {
        for (const held_record& held : *records_of_this_thread) {
            if (held.domain == domain) {
                return held.record;
            }
        }
    }
    return nullptr;
}

void std_env::remember_local(std::uint64_t domain, void* record, void (*at_end)(void*) noexcept) {
    if (records_of_this_thread == nullptr) {
        auto fresh = std::make_unique<thread_records>();
        if (const int error = pthread_setspecific(exit_key(), fresh.get()); error != 0) {
            throw std::bad_alloc(); // the only failure that POSIX allows here
        }
        records_of_this_thread = fresh.release();
    }
    // Records of domains that are gone make room, so that a long-lived thread does not collect them.
    {
        live_domains& live = domains();
        const std::lock_guard lock(live.mutex);
        std::erase_if(*records_of_this_thread, [&live](const held_record& held) {
            return std::find(live.ids.begin(), live.ids.end(), held.domain) == live.ids.end();
        });
    }
    records_of_this_thread->push_back({domain, record, at_end});
}

} // namespace epoque
