// SPDX-License-Identifier: BSL-1.0
/// @file
/// Programs of table operations against a map of handles, with handles that were forged, are stale or of another kind.
///
///     input:  1 byte   Env
///             1 byte   how far from the wrap the generations begin
///             steps    1 byte operation, then its arguments
///
/// The small Env's table has eight slots, so that it runs full, and slots wear out (T1 in object_table.hpp).
#include "allocation.hpp"
#include "elements.hpp"
#include "program.hpp"

#include "epoque/object_table.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <vector>

namespace epoque::fuzz {
namespace {

struct thing {
    explicit thing(std::uint64_t number) noexcept : content(number) {}
    counted content;
};

template <class Env>
class table_program {
  public:
    explicit table_program(program& input) : input_(input) { open(); }
    table_program(const table_program&) = delete;
    table_program& operator=(const table_program&) = delete;
    // NOLINTNEXTLINE(bugprone-exception-escape): what escapes here ends the program, as any finding
    ~table_program() { close(); }

    void run() {
        for (int steps = 0; !input_.ended() && steps < most_steps; ++steps) {
            step();
        }
    }

  private:
    using table = object_table<thing, Env>;

    static constexpr int most_steps = 400;
    static constexpr std::uint32_t last_generation = 0xffffffff;

    struct entry {
        std::uint8_t kind;
        std::uint64_t number; // of its object
    };

    void step() {
        switch (input_.below(12)) {
        case 0:
        case 1:
        case 2:
            return create(input_.below(4) == 0 ? input_.byte() % 4U : 0U);
        case 3:
        case 4: {
            const std::uint64_t handle = some_handle();
            return find(handle, some_kind(handle));
        }
        case 5:
        case 6: {
            const std::uint64_t handle = some_handle();
            return destroy(handle, some_kind(handle));
        }
        case 7:
            home_->lock();
            ++pins_;
            return;
        case 8:
            if (pins_ != 0) {
                seen_.reset(); // deleters that this unpin runs may end it
                home_->unlock();
                --pins_;
            }
            return;
        case 9:
            if (pins_ == 0) {
                home_->barrier();
                check(counted::alive == static_cast<std::int64_t>(live_.size()),
                      "after barrier() only the objects of live handles are there");
            }
            return;
        case 10:
            return list();
        default:
            close();
            open();
        }
    }

    // ---- handles ---------------------------------------------------------------------------------------------------------

    /// One that was given out, or one with something changed.
    std::uint64_t some_handle() {
        const std::size_t shape = input_.below(8);
        if (issued_.empty() || shape == 7) {
            return input_.word();
        }
        const std::uint64_t issued =
            issued_[issued_.size() - 1 - input_.below(std::min<std::size_t>(issued_.size(), 32))];
        handle_parts parts = handle_parts::of(issued);
        switch (shape) {
        case 4:
            parts.generation += input_.flag() ? 1U : 2U;
            break;
        case 5:
            parts.index = (parts.index + 1 + input_.byte()) & 0xffffff;
            break;
        case 6:
            parts.kind = input_.byte();
            break;
        default:
            break;
        }
        return parts.bits();
    }
    std::uint8_t some_kind(std::uint64_t handle) {
        return input_.below(4) == 0 ? input_.byte() : handle_parts::of(handle).kind;
    }
    find_status legal_answer(std::uint64_t handle, std::uint8_t kind) const {
        const auto found = live_.find(handle);
        if (found == live_.end()) {
            return find_status::stale;
        }
        return found->second.kind == kind ? find_status::found : find_status::wrong_kind;
    }

    // ---- operations ------------------------------------------------------------------------------------------------------

    void create(unsigned failing) {
        const std::uint64_t number = ++last_;
        const auto kind = static_cast<std::uint8_t>(1 + input_.below(3));
        auto object = std::make_unique<thing>(number);
        std::uint64_t handle = 0;
        {
            const failing_allocation failure(failing);
            try {
                handle = table_->create(kind, object);
            } catch (const std::bad_alloc&) {
                check(failing_allocation::happened(), "create throws only what an allocation throws");
                check(object != nullptr && object->content.number() == number, "a create that throws takes nothing");
                return;
            }
        }
        if (handle == 0) {
            check(object != nullptr && object->content.number() == number, "a create without a slot takes nothing");
            const auto waiting = static_cast<std::size_t>(counted::alive) - 1 - live_.size();
            check(live_.size() + waiting + worn_out() >= table::max_slots, "a slot is refused only when none is free");
            return;
        }
        check(object == nullptr, "the table owns what it has a handle for");
        check(ever_.insert(handle).second, "no handle is given out twice");
        check(handle_parts::of(handle).kind == kind, "a handle says its kind");
        check((handle_parts::of(handle).generation & 1) == 1, "a live generation is odd");
        for (const std::uint64_t earlier : issued_) {
            check(handle_parts::of(earlier).index != handle_parts::of(handle).index ||
                      handle_parts::of(earlier).generation < handle_parts::of(handle).generation,
                  "a slot's generation only grows; one that is used up is never used again");
        }
        issued_.push_back(handle);
        live_.emplace(handle, entry{kind, number});
        check(table_->handle_at(handle_parts::of(handle).index) == handle, "handle_at finds the handle of a slot");
    }

    void find(std::uint64_t handle, std::uint8_t kind) {
        const auto pinned = home_->pin();
        thing* found = nullptr;
        const find_status status = table_->find(handle, kind, found);
        check(status == legal_answer(handle, kind), "find answers found, stale and wrong_kind as the handle deserves");
        if (status != find_status::found) {
            check(found == nullptr, "a look-up that fails writes no pointer");
            return;
        }
        check(found->content.number() == live_.at(handle).number, "find finds the handle's object");
        if (pins_ != 0) {
            seen_ = seen{found, live_.at(handle).number}; // usable until the outer pin ends
        }
    }

    void destroy(std::uint64_t handle, std::uint8_t kind) {
        typename table::keep held(*home_);
        thing* ended = nullptr;
        const find_status legal = legal_answer(handle, kind);
        check(table_->destroy(held, handle, kind, ended) == legal, "destroy answers as find does");
        if (legal == find_status::found) {
            check(ended->content.number() == live_.at(handle).number,
                  "an object lives for as long as somebody keeps it");
            live_.erase(handle);
            thing* gone = nullptr;
            check(table_->find(held, handle, kind, gone) == find_status::stale, "a destroyed handle is stale at once");
        }
        if (seen_) {
            check(seen_->object->content.number() == seen_->number, "what a pinned thread has found stays usable");
        }
    }

    void list() const {
        std::set<std::uint64_t> listed;
        for (std::uint32_t index = 0; index < std::min<std::uint32_t>(table::max_slots, 64); ++index) {
            if (const std::uint64_t handle = table_->handle_at(index); handle != 0) {
                listed.insert(handle);
            }
        }
        for (const auto& [handle, unused] : live_) {
            check(handle_parts::of(handle).index >= 64 || listed.erase(handle) == 1, "every live handle is listed");
        }
        check(listed.empty(), "only live handles are listed");
        check(table_->was_live() == live_.size(), "was_live is exact while nothing runs");
        check(table_->handle_at(table::max_slots) == 0 && table_->handle_at(~0U) == 0, "no slot, no handle");
    }

    /// Slots whose generation is used up.
    std::size_t worn_out() const {
        return static_cast<std::size_t>(std::count_if(issued_.begin(), issued_.end(), [this](std::uint64_t handle) {
            return handle_parts::of(handle).generation == last_generation && live_.count(handle) == 0;
        }));
    }

    // ---- life cycle ------------------------------------------------------------------------------------------------------

    void open() {
        home_ = std::make_unique<basic_domain<Env>>();
        table_ = std::make_unique<table>(*home_, last_generation - input_.byte());
    }
    void close() {
        seen_.reset();
        for (; pins_ != 0; --pins_) {
            home_->unlock();
        }
        home_->barrier();
        table_.reset();
        home_.reset();
        check(counted::alive == 0, "every object is destroyed with its handle, or with the table");
        live_.clear();
        issued_.clear();
        ever_.clear();
    }

    struct seen {
        thing* object;
        std::uint64_t number;
    };

    program& input_;
    std::unique_ptr<basic_domain<Env>> home_;
    std::unique_ptr<table> table_;
    std::map<std::uint64_t, entry> live_;
    std::vector<std::uint64_t> issued_;
    std::set<std::uint64_t> ever_;
    std::optional<seen> seen_;
    unsigned pins_ = 0;
    std::uint64_t last_ = 0;
};

} // namespace
} // namespace epoque::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace epoque::fuzz; // NOLINT(google-build-using-namespace)
    program input(data, size);
    if (input.below(4) != 3) {
        table_program<small_env>(input).run();
    } else {
        table_program<epoque::std_env>(input).run();
    }
    return 0;
}
