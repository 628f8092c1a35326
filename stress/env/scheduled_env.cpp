// SPDX-License-Identifier: BSL-1.0
#include "scheduled_env.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include <cxxabi.h>
#include <pthread.h>
#include <ucontext.h>

// Sanitizers want to be told of fibers. Weak: absent, and null, where none is linked. The names are theirs.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {
[[gnu::weak]] void __sanitizer_start_switch_fiber(void** fake_stack, const void* bottom, std::size_t size);
[[gnu::weak]] void __sanitizer_finish_switch_fiber(void* fake_stack, const void** bottom, std::size_t* size);
[[gnu::weak]] void* __tsan_get_current_fiber(void);
[[gnu::weak]] void* __tsan_create_fiber(unsigned flags);
[[gnu::weak]] void __tsan_destroy_fiber(void* fiber);
[[gnu::weak]] void __tsan_switch_to_fiber(void* fiber, unsigned flags);
}
// NOLINTEND(bugprone-reserved-identifier)

namespace epoque::stress {
namespace {

constexpr std::size_t stack_bytes = std::size_t{1} << 18;

struct held_record {
    std::uint64_t domain = 0;
    void* record = nullptr;
    void (*at_end)(void*) noexcept = nullptr;
};

/// What a thread is to the domains: its records, and the cache of them.
struct identity {
    std::array<held_record, 8> records{};
    std::array<local_record, 4> cache{};
    void* worker = nullptr;
};

struct fiber {
    ucontext_t context{};
    std::unique_ptr<std::byte[]> stack;
    const void* stack_bottom = nullptr;
    std::size_t stack_size = 0;
    void* fake_stack = nullptr;        // AddressSanitizer's
    void* tsan = nullptr;              // ThreadSanitizer's
    std::array<void*, 2> exceptions{}; // the thread's __cxa_eh_globals while another fiber runs
    std::function<void()> body;
    std::uint64_t points = 0;
    const void* parked_on = nullptr; // a word's address; null: it may run
    bool ended = false;
    bool frozen = false;

    bool may_run() const { return !ended && !frozen && parked_on == nullptr; }
};

struct execution {
    schedule wanted;
    std::mt19937_64 random;
    std::array<fiber, scheduler::max_threads + 1> fibers; // 0: the caller of run
    std::size_t threads = 0;
    std::size_t running = 0;
    std::uint64_t steps = 0;
    std::uint64_t last_progress = 0;
    bool out_of_patience = false;
    bool froze = false;
};

execution* now = nullptr;
bool asymmetric_wanted = true;
std::uint64_t domains = 0;

std::array<identity, scheduler::max_threads + 1>& identities() {
    static std::array<identity, scheduler::max_threads + 1> all;
    return all;
}

void end_of_thread(std::size_t thread) {
    identity& self = identities()[thread];
    for (held_record& each : self.records) {
        if (each.domain != 0) {
            const held_record leaving = std::exchange(each, {});
            for (local_record& cached : self.cache) {
                cached = cached.owner == leaving.domain ? local_record{} : cached;
            }
            leaving.at_end(leaving.record);
        }
    }
}

// The exception being handled belongs to a fiber, but the C++ library keeps it by thread.
void* exception_state() {
    return static_cast<void*>(abi::__cxa_get_globals());
}

void finish_arrival() {
    fiber& self = now->fibers[now->running];
    if (__sanitizer_finish_switch_fiber != nullptr) {
        __sanitizer_finish_switch_fiber(self.fake_stack, nullptr, nullptr);
    }
    std::copy_n(self.exceptions.data(), 2, static_cast<void**>(exception_state()));
}

void switch_to(std::size_t next) {
    if (next == now->running) {
        return;
    }
    fiber& from = now->fibers[now->running];
    fiber& to = now->fibers[next];
    std::copy_n(static_cast<void**>(exception_state()), 2, from.exceptions.data());
    now->running = next;
    if (__sanitizer_start_switch_fiber != nullptr) {
        __sanitizer_start_switch_fiber(from.ended ? nullptr : &from.fake_stack, to.stack_bottom, to.stack_size);
    }
    if (__tsan_switch_to_fiber != nullptr) {
        __tsan_switch_to_fiber(to.tsan, 0);
    }
    ::swapcontext(&from.context, &to.context);
    finish_arrival();
}

// One that may run, other than the current one if possible; 0 (the caller of run) when there is none.
std::size_t choose() {
    std::array<std::size_t, scheduler::max_threads> ready{};
    std::size_t count = 0;
    for (std::size_t thread = 1; thread <= now->threads; ++thread) {
        if (now->fibers[thread].may_run() && thread != now->running) {
            ready[count++] = thread;
        }
    }
    if (count != 0) {
        return ready[now->random() % count];
    }
    return now->running != 0 && now->fibers[now->running].may_run() ? now->running : 0;
}

void run_body() {
    finish_arrival();
    fiber& self = now->fibers[now->running];
    self.body();
    end_of_thread(now->running);
    self.ended = true;
    switch_to(choose());
    std::abort(); // nobody switches to a fiber that has ended
}

bool is_victim() {
    return now->wanted.freeze_at != 0 && now->running == 1;
}

} // namespace

schedule_result scheduler::run(const schedule& wanted, std::vector<std::function<void()>> bodies) {
    auto* const all = new execution; // kept when stuck: its fibers can't be unwound
    all->wanted = wanted;
    all->random.seed(wanted.seed);
    all->threads = bodies.size();
    now = all;
    if (__tsan_get_current_fiber != nullptr) {
        all->fibers[0].tsan = __tsan_get_current_fiber();
    }
    {
        // AddressSanitizer must know our own stack to come back to it; any fiber's first arrival tells.
        pthread_attr_t attributes;
        void* bottom = nullptr;
        std::size_t size = 0;
        if (::pthread_getattr_np(::pthread_self(), &attributes) == 0) {
            ::pthread_attr_getstack(&attributes, &bottom, &size);
            ::pthread_attr_destroy(&attributes);
        }
        all->fibers[0].stack_bottom = bottom;
        all->fibers[0].stack_size = size;
    }
    for (std::size_t thread = 1; thread <= bodies.size(); ++thread) {
        fiber& each = all->fibers.at(thread);
        each.stack = std::make_unique<std::byte[]>(stack_bytes);
        each.stack_bottom = each.stack.get();
        each.stack_size = stack_bytes;
        each.body = std::move(bodies[thread - 1]);
        if (__tsan_create_fiber != nullptr) {
            each.tsan = __tsan_create_fiber(0);
        }
        ::getcontext(&each.context);
        each.context.uc_stack.ss_sp = each.stack.get();
        each.context.uc_stack.ss_size = stack_bytes;
        each.context.uc_link = nullptr;
        ::makecontext(&each.context, &run_body, 0);
    }

    switch_to(wanted.freeze_at != 0 ? 1 : choose());
    schedule_result out;
    if (!all->out_of_patience && all->froze) { // everybody else is done, or waits for it: the sleeper wakes up
        all->fibers[1].frozen = false;
        switch_to(1);
    }
    for (std::size_t thread = 1; thread <= all->threads; ++thread) { // who is parked now stays parked
        all->out_of_patience = all->out_of_patience || !all->fibers[thread].ended;
    }
    out.froze = all->froze;
    out.steps = all->steps;
    out.completed = !all->out_of_patience;
    if (all->out_of_patience) {
        for (std::size_t thread = 1; thread <= all->threads; ++thread) {
            const fiber& each = all->fibers[thread];
            out.stuck += std::string(out.stuck.empty() ? "thread " : ", thread ") + std::to_string(thread) +
                         (each.ended                  ? " ended"
                          : each.frozen               ? " frozen"
                          : each.parked_on != nullptr ? " parked, and nobody wakes it"
                                                      : " running in vain");
        }
        static auto* const kept =
            new std::vector<execution*>; // so that a leak checker sees that they are meant to stay
        kept->push_back(all);
        now = nullptr;
        return out;
    }
    for (std::size_t thread = 1; thread <= all->threads && __tsan_destroy_fiber != nullptr; ++thread) {
        __tsan_destroy_fiber(all->fibers[thread].tsan);
    }
    now = nullptr;
    delete all;
    return out;
}

std::size_t scheduler::current() noexcept {
    return now == nullptr ? 0 : now->running;
}

void scheduler::switch_point() {
    if (now == nullptr || now->running == 0) {
        return;
    }
    fiber& self = now->fibers[now->running];
    ++self.points;
    ++now->steps;
    if (now->steps - now->last_progress > now->wanted.patience) {
        now->out_of_patience = true;
        switch_to(0);
    }
    if (is_victim() && !now->froze) {
        if (self.points == now->wanted.freeze_at) {
            now->froze = true;
            self.frozen = true;
            switch_to(choose());
        }
        return; // alone until it freezes
    }
    if (now->wanted.switch_every != 0 && now->random() % now->wanted.switch_every == 0) {
        switch_to(choose());
    }
}

void scheduler::yield() {
    if (now == nullptr || now->running == 0) {
        return;
    }
    switch_point();
    if (!is_victim() || now->froze) {
        switch_to(choose());
    }
}

void scheduler::hold_back() {
    if (now != nullptr && now->running != 0) {
        switch_to(choose());
    }
}

void scheduler::park(const void* word) {
    if (now == nullptr || now->running == 0) {
        return;
    }
    now->fibers[now->running].parked_on = word;
    switch_to(choose());
}

void scheduler::unpark(const void* word, std::uint32_t count) {
    if (now == nullptr) {
        return;
    }
    for (std::size_t thread = 1; thread <= now->threads && count != 0; ++thread) {
        if (now->fibers[thread].parked_on == word) {
            now->fibers[thread].parked_on = nullptr;
            --count;
        }
    }
}

void scheduler::progress() noexcept {
    if (now != nullptr) {
        now->last_progress = now->steps;
    }
}

void scheduled_env::set_asymmetric(bool wanted) noexcept {
    asymmetric_wanted = wanted;
}

bool scheduled_env::asymmetric() noexcept {
    return asymmetric_wanted;
}

local_record& scheduled_env::local(std::uint64_t domain) noexcept {
    auto& cache = identities()[scheduler::current()].cache;
    return cache[domain % cache.size()];
}

void*& scheduled_env::worker() noexcept {
    return identities()[scheduler::current()].worker;
}

std::uint64_t scheduled_env::open_domain(void*, fork_hook) {
    return ++domains;
}

void scheduled_env::close_domain(std::uint64_t domain) noexcept {
    for (identity& each : identities()) {
        for (held_record& held : each.records) {
            held = held.domain == domain ? held_record{} : held;
        }
        for (local_record& cached : each.cache) {
            cached = cached.owner == domain ? local_record{} : cached;
        }
    }
}

void* scheduled_env::find_local(std::uint64_t domain) noexcept {
    for (const held_record& held : identities()[scheduler::current()].records) {
        if (held.domain == domain) {
            return held.record;
        }
    }
    return nullptr;
}

void scheduled_env::remember_local(std::uint64_t domain, void* record, void (*at_end)(void*) noexcept) {
    for (held_record& held : identities()[scheduler::current()].records) {
        if (held.domain == 0) {
            held = {domain, record, at_end};
            return;
        }
    }
    throw std::bad_alloc();
}

} // namespace epoque::stress
