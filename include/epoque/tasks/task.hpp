// SPDX-License-Identifier: BSL-1.0
/// @file
/// Layer: tasks. Depends on: base.
///
/// Work of any type behind one pointer: what deques, queues and lanes carry.
#pragma once

#include "epoque/base/env.hpp"
#include "epoque/base/error.hpp"

#include <concepts>
#include <functional>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace epoque {

namespace core {

/// What becomes of a task: run, or dropped because its executor ends without running it.
enum class fate : bool { run, drop };

/// To be ended once, by `act`, which may free it. It lies in whatever has allocated it.
template <class Env>
struct task_node {
    using action = void (*)(task_node& self, fate what) noexcept;

    explicit task_node(action what) noexcept : act(what) {}
    task_node(const task_node&) = delete;
    task_node& operator=(const task_node&) = delete;

    const action act;

  protected:
    ~task_node() = default;
};

/// One object in memory of the Env's, which it gives back itself. Throws: bad_alloc, and what the constructor throws.
template <class Env, class Object, class... Arguments>
Object* make_by_env(Arguments&&... arguments) {
    struct block {
        void* memory = Env::allocate(sizeof(Object), alignof(Object));
        block() = default;
        block(const block&) = delete;
        block& operator=(const block&) = delete;
        ~block() {
            if (memory != nullptr) {
                Env::deallocate(memory, sizeof(Object), alignof(Object));
            }
        }
    } fresh;
    // SAFETY: memory of the object's size and alignment.
    auto* const made = ::new (fresh.memory) Object(std::forward<Arguments>(arguments)...);
    fresh.memory = nullptr;
    return made;
}
template <class Env, class Object>
void end_by_env(Object* gone) noexcept {
    std::destroy_at(gone);
    Env::deallocate(gone, sizeof(Object), alignof(Object));
}

/// A callable on its own: nobody waits for it.
template <class Env, class Callable>
class callable_node final : public task_node<Env> {
  public:
    template <class F>
    explicit callable_node(F&& work) // NOLINT(bugprone-forwarding-reference-overload): nodes are not copied
        : task_node<Env>(&callable_node::end), work_(std::forward<F>(work)) {}

  private:
    static void end(task_node<Env>& node, fate what) noexcept {
        auto& self = static_cast<callable_node&>(node);
        if (what == fate::run) {
            std::invoke(self.work_);
        }
        end_by_env<Env>(&self);
    }

    Callable work_;
};

} // namespace core

/// Something to be run once, by whoever has it last. Move-only, one pointer: an element for each of our queues, and a callable
/// for anybody's thread pool that takes move-only ones.
///
/// A task that is destroyed without having been run is dropped: whoever waits for its future learns that it was cancelled.
/// An exception that leaves the callable itself ends the program; `submit` (tasks/future.hpp) hands exceptions to its future.
template <class Env = std_env>
class basic_task {
    using node = core::task_node<Env>;

  public:
    basic_task() noexcept = default;
    /// Throws: bad_alloc, and what moving or copying the callable throws; `work` is then as that leaves it.
    template <class F>
        requires(!std::same_as<std::remove_cvref_t<F>, basic_task> && std::invocable<std::decay_t<F>&> &&
                 std::constructible_from<std::decay_t<F>, F>)
    basic_task(F&& work)
        : node_(core::make_by_env<Env, core::callable_node<Env, std::decay_t<F>>>(std::forward<F>(work))) {}
    basic_task(basic_task&& other) noexcept : node_(other.release()) {}
    basic_task& operator=(basic_task&& other) noexcept {
        basic_task(std::move(other)).swap(*this);
        return *this;
    }
    ~basic_task() {
        if (node_ != nullptr) {
            node_->act(*node_, core::fate::drop);
        }
    }

    /// Whether there is something to run.
    explicit operator bool() const noexcept { return node_ != nullptr; }
    /// Runs it; nothing is left then. Precondition: there is something.
    void operator()() noexcept {
        if (node_ == nullptr) {
            misuse("an empty task was called: it has been run, or moved from, before.");
        }
        node* const next = release();
        next->act(*next, core::fate::run);
    }
    void swap(basic_task& other) noexcept { std::swap(node_, other.node_); }

    /// For executors that carry the bare pointer: who calls release() sees to it that the node is ended.
    node* release() noexcept { return std::exchange(node_, nullptr); }
    static basic_task adopt(node& from) noexcept {
        basic_task result;
        result.node_ = &from;
        return result;
    }

  private:
    node* node_ = nullptr;
};

} // namespace epoque
