// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: outside. Depends on: epoque/base, program.hpp.
///
/// What the containers' targets share: Envs whose constants are small enough for short programs to reach every edge, and
/// the zoo of elements, each of which can be made from a number and asked for it.
#pragma once

#include "program.hpp"

#include "epoque/base/env.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace epoque::fuzz {

/// Segments of four cells, chunks of two slots, an epoch every four retired objects.
struct small_env : std_env {
    static constexpr std::size_t segment_slots = 4;
    static constexpr std::size_t spare_cells = 2;
    static constexpr std::int64_t advance_objects = 4;
    static constexpr std::int64_t advance_bytes = 512;
    static constexpr std::uint32_t table_chunk_slots = 2;
    static constexpr std::uint32_t table_chunks = 4;
};

/// The same without the domain's pool, so that AddressSanitizer sees each block freed.
struct unpooled_env : small_env {
    static constexpr bool pooling = false;
};

/// An element that may be moved and not copied. Knows how many live, and notices use after its end.
class counted {
  public:
    explicit counted(std::uint64_t number) noexcept : number_(number) { ++alive; }
    counted(counted&& from) noexcept : number_(std::exchange(from.number_, moved_from)) {
        check(from.mark_ == living, "an element is moved from while it lives");
        ++alive;
    }
    counted& operator=(counted&& from) noexcept {
        check(mark_ == living && from.mark_ == living, "elements are assigned while they live");
        number_ = std::exchange(from.number_, moved_from);
        return *this;
    }
    ~counted() {
        check(mark_ == living, "an element is destroyed once");
        mark_ = dead;
        --alive;
    }
    std::uint64_t number() const noexcept {
        check(mark_ == living, "an element is read while it lives");
        return number_;
    }

    static inline std::int64_t alive = 0;

  private:
    static constexpr std::uint64_t moved_from = ~std::uint64_t{0};
    static constexpr std::uint32_t living = 0x11fe11fe;
    static constexpr std::uint32_t dead = 0xdeaddead;

    std::uint64_t number_;
    volatile std::uint32_t mark_ = living; // volatile: a store before the end of life is not dead code here
};

/// Large, over-aligned and copyable.
struct alignas(64) wide {
    explicit wide(std::uint64_t number) noexcept : counter(number), tail(~number) {}
    wide(const wide& from) noexcept : counter(from.number()), tail(~from.number()) {}
    wide& operator=(const wide& from) noexcept = default;
    ~wide() = default;

    std::uint64_t number() const noexcept { return counter.number(); }

    /// counted, with copies.
    struct copyable : counted {
        using counted::counted;
        copyable(const copyable& from) noexcept : counted(from.number()) {}
        copyable& operator=(const copyable& from) noexcept {
            counted::operator=(counted(from.number()));
            return *this;
        }
    };
    copyable counter;
    std::uint64_t filling[21] = {};
    std::uint64_t tail;
};

/// How a target makes an element from a number, and back.
template <class T>
struct zoo {
    static T make(std::uint64_t number) { return T(number); }
    static std::uint64_t number(const T& element) noexcept { return element.number(); }
};
template <>
struct zoo<std::uint64_t> {
    static std::uint64_t make(std::uint64_t number) noexcept { return number; }
    static std::uint64_t number(std::uint64_t element) noexcept { return element; }
};
template <>
struct zoo<wide> {
    static wide make(std::uint64_t number) noexcept { return wide(number); }
    static std::uint64_t number(const wide& element) noexcept {
        check(reinterpret_cast<std::uintptr_t>(&element) % alignof(wide) == 0,
              "an element is aligned as its type asks");
        check(element.tail == ~element.number(), "an element arrives whole");
        return element.number();
    }
};
template <>
struct zoo<std::unique_ptr<counted>> {
    static std::unique_ptr<counted> make(std::uint64_t number) { return std::make_unique<counted>(number); }
    static std::uint64_t number(const std::unique_ptr<counted>& element) noexcept {
        check(element != nullptr, "an element that owns something still does");
        return element->number();
    }
};

} // namespace epoque::fuzz
