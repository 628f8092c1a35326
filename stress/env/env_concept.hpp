// SPDX-License-Identifier: BSL-1.0
/// @file
/// What an Env is, as a concept: every Env of the harness must offer all that std_env offers (base/env.hpp), so that the
/// headers compile with each of them. Checked where an Env is defined or tested.
#pragma once

#include "epoque/base/env.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace epoque::stress {

template <class Env, class Atomic, class T>
concept env_atomic = std::constructible_from<Atomic, T> && std::default_initializable<Atomic> &&
                     requires(Atomic word, const Atomic& seen, T value, T& expected) {
                         { seen.load(Env::acquire) } -> std::same_as<T>;
                         word.store(value, Env::release);
                         { word.exchange(value, Env::acq_rel) } -> std::same_as<T>;
                         {
                             word.compare_exchange_weak(expected, value, Env::acq_rel, Env::acquire)
                         } -> std::same_as<bool>;
                         {
                             word.compare_exchange_strong(expected, value, Env::seq_cst, Env::relaxed)
                         } -> std::same_as<bool>;
                     };

template <class Env, class Atomic, class T>
concept env_arithmetic_atomic = env_atomic<Env, Atomic, T> && requires(Atomic word, T value) {
    { word.fetch_add(value, Env::relaxed) } -> std::same_as<T>;
    { word.fetch_sub(value, Env::relaxed) } -> std::same_as<T>;
    { word.fetch_and(value, Env::relaxed) } -> std::same_as<T>;
    { word.fetch_or(value, Env::relaxed) } -> std::same_as<T>;
    { word.fetch_xor(value, Env::relaxed) } -> std::same_as<T>;
};

template <class Env>
concept environment =
    env_arithmetic_atomic<Env, typename Env::template atomic<std::uint64_t>, std::uint64_t> &&
    env_arithmetic_atomic<Env, typename Env::template atomic<std::uint32_t>, std::uint32_t> &&
    env_atomic<Env, typename Env::template atomic<void*>, void*> &&
    std::default_initializable<typename Env::template var<int>> &&
    std::constructible_from<typename Env::template var<int>, int> &&
    requires(typename Env::template var<int> field, const typename Env::template var<int>& seen,
             typename Env::template storage<int> slot, typename Env::template atomic<std::uint32_t> word,
             void (*at_end)(void*) noexcept, typename Env::fork_hook after_fork, void* block) {
        { seen.get() } -> std::same_as<int>;
        field.set(5);
        slot.construct(5);
        { slot.take() } -> std::same_as<int>;
        { slot.get() } -> std::same_as<int*>;
        slot.destroy();

        { Env::asymmetric() } -> std::same_as<bool>;
        Env::store_light(true, word, std::uint32_t{1});
        Env::store_release(true, word, std::uint32_t{1});
        Env::light(true, word);
        { Env::load_heavy(true, word) } -> std::same_as<std::uint32_t>;
        { Env::heavy() } -> std::same_as<bool>;
        Env::fork_point();
        Env::pause();
        Env::relax(0U);
        { Env::now() } -> std::same_as<std::int64_t>;
        Env::park(word, std::uint32_t{1}, std::int64_t{0});
        Env::unpark(word, std::uint32_t{1});

        { Env::local(std::uint64_t{1}) } -> std::same_as<local_record&>;
        { Env::open_domain(block, after_fork) } -> std::same_as<std::uint64_t>;
        Env::close_domain(std::uint64_t{1});
        { Env::find_local(std::uint64_t{1}) } -> std::same_as<void*>;
        Env::remember_local(std::uint64_t{1}, block, at_end);
        { Env::worker() } -> std::same_as<void*&>;
        { Env::thread_number() } -> std::same_as<std::uint64_t>;

        { Env::allocate(std::size_t{64}, std::size_t{64}) } -> std::same_as<void*>;
        Env::deallocate(block, std::size_t{64}, std::size_t{64});
        { Env::pooling } -> std::convertible_to<bool>;
        { Env::segment_slots } -> std::convertible_to<std::size_t>;
        { Env::spin_before_abandon } -> std::convertible_to<unsigned>;
        { Env::spare_cells } -> std::convertible_to<std::size_t>;
        { Env::spin_before_park } -> std::convertible_to<unsigned>;
        { Env::looks_before_park } -> std::convertible_to<unsigned>;
        { Env::advance_objects } -> std::convertible_to<std::int64_t>;
        { Env::advance_bytes } -> std::convertible_to<std::int64_t>;
        { Env::table_chunk_slots } -> std::convertible_to<std::uint32_t>;
        { Env::table_chunks } -> std::convertible_to<std::uint32_t>;
    };

static_assert(environment<std_env>);

} // namespace epoque::stress
