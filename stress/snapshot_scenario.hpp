// SPDX-License-Identifier: BSL-1.0
/// @file
/// The snapshot's scenario, for every engine: pages that carry the number of their version twice, and are wiped at their
/// end. Every writer adds one, so a page's number is its version's, and the last version counts all that succeeded.
#pragma once

#include "epoque/snapshot.hpp"

#include <cstdint>
#include <utility>

namespace epoque::stress {

template <class Env>
class page {
  public:
    using counter = typename Env::template atomic<std::int64_t>;

    page(counter& live, std::uint64_t number) : live_(&live), number_(number), mirror_(~number) { born(); }
    page(const page& other) : live_(other.live_), number_(other.number()), mirror_(~other.number()) { born(); }
    // NOLINTNEXTLINE(performance-move-constructor-init): a moved page stays whole; its numbers are Env::var, which do not move
    page(page&& other) noexcept : page(std::as_const(other)) {}
    page& operator=(const page&) = delete;
    ~page() {
        number_.set(wiped);
        mirror_.set(wiped);
        live_->fetch_sub(1, Env::relaxed);
    }

    std::uint64_t number() const { return number_.get(); }
    bool is_sound() const { return mirror_.get() == ~number_.get(); }
    void turn() {
        const std::uint64_t next = number_.get() + 1;
        number_.set(next);
        mirror_.set(~next);
    }

  private:
    static constexpr std::uint64_t wiped = 0xDBDBDBDBDBDBDBDB;

    void born() { live_->fetch_add(1, Env::relaxed); }

    counter* live_;
    typename Env::template var<std::uint64_t> number_;
    typename Env::template var<std::uint64_t> mirror_;
};

/// A snapshot of a page. Operations answer whether all was sound; each thread has its own `memory`.
template <class Env>
class notice_board {
  public:
    /// What one thread knows: versions that it sees never go back.
    struct memory {
        std::uint64_t seen = 0;
        std::uint64_t turned = 0; ///< replacements that it made
    };

    explicit notice_board(basic_domain<Env>& domain) : shared_(domain, live_, std::uint64_t{1}) {}

    bool look(memory& mine) {
        // What somebody said to be there must be there, or something newer.
        const std::uint64_t told = told_.load(Env::acquire);
        const auto now = shared_.load();
        const bool sound = now->is_sound() && now->number() == now.version() && now.version() >= told;
        return note(mine, now.version(), false) && sound;
    }
    /// Looks twice at one version, with something in between.
    template <class Between>
    bool look_long(memory& mine, Between between) {
        const auto now = shared_.load();
        const std::uint64_t number = now->number();
        const bool in_order = note(mine, number, false);
        between();
        return now->is_sound() && now->number() == number && number == now.version() && in_order;
    }
    bool turn(memory& mine) {
        const std::uint64_t version = shared_.update([](page<Env>& next) { next.turn(); });
        ++mine.turned;
        told_.store(version, Env::release);
        return note(mine, version, true);
    }
    /// Tries to make the version after the one it sees.
    bool turn_if_unchanged(memory& mine) {
        const std::uint64_t seen = shared_.version();
        page<Env> next(live_, seen + 1);
        const bool done = shared_.compare_and_store(seen, std::move(next));
        mine.turned += done ? 1U : 0U;
        // NOLINTNEXTLINE(bugprone-use-after-move): refused, so not moved from
        return note(mine, done ? seen + 1 : seen, done) && (done || (next.is_sound() && next.number() == seen + 1));
    }

    std::uint64_t version() const { return shared_.version(); }
    std::int64_t live_pages() const { return live_.load(Env::acquire); }
    typename page<Env>::counter& live() noexcept { return live_; }

  private:
    /// A version that this thread made is newer than all that it has seen.
    static bool note(memory& mine, std::uint64_t version, bool made) {
        const bool sound = made ? version > mine.seen : version >= mine.seen;
        mine.seen = version;
        return sound;
    }

    typename page<Env>::counter live_{0};
    typename Env::template atomic<std::uint64_t> told_{0};
    snapshot<page<Env>, Env> shared_;
};

} // namespace epoque::stress
