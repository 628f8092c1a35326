// SPDX-License-Identifier: BSL-1.0
/// @file
/// Programs of snapshot operations against plain values, with views that stay. Each byte string is a program (program.hpp).
#include "allocation.hpp"
#include "elements.hpp"
#include "program.hpp"

#include "epoque/snapshot.hpp"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace epoque::fuzz {
namespace {

template <class T, class Env>
class snapshot_program {
  public:
    explicit snapshot_program(program& input) : input_(input) { open_domain(); }
    snapshot_program(const snapshot_program&) = delete;
    snapshot_program& operator=(const snapshot_program&) = delete;
    ~snapshot_program() { close_domain(); }

    void run() {
        for (int steps = 0; !input_.ended() && steps < most_steps; ++steps) {
            step();
        }
    }

  private:
    static constexpr int most_steps = 400;
    using shared_type = snapshot<T, Env>;

    struct pair {
        std::unique_ptr<shared_type> real;
        std::uint64_t number = 0;
        std::uint64_t version = 1;
    };
    /// A view that lives on, and what it must show. (A view can't be moved: it lies on the heap.)
    struct holder {
        explicit holder(const pair& of) : view(of.real->load()), number(of.number), version(of.version) {}
        typename shared_type::view view;
        std::uint64_t number;
        std::uint64_t version;
    };

    void step() {
        const std::size_t operation = input_.below(14);
        pair& on = snapshots_[input_.below(std::size(snapshots_))];
        switch (operation) {
        case 0:
        case 1:
            return store(on, failing());
        case 2:
        case 3:
            return update(on, failing());
        case 4:
            return compare_and_store(on, on.version, failing());
        case 5:
            return compare_and_store(on, on.version - 1 + 2 * input_.below(2), 0);
        case 6:
        case 7:
            return look(on);
        case 8:
            views_.push_back(std::make_unique<holder>(on));
            return;
        case 9:
            if (!views_.empty()) {
                views_.pop_back(); // the innermost guard ends first
            }
            return;
        case 10:
            if (views_.empty()) {
                on = fresh();
            }
            return;
        case 11:
            if (views_.empty()) {
                home_->retire(on.real.release());
                on = fresh();
            }
            return;
        case 12:
            if (views_.empty()) {
                home_->barrier();
                check(home_->stats().pending_objects == 0, "after barrier() nothing waits");
            }
            return;
        default:
            close_domain();
            open_domain();
        }
    }

    unsigned failing() { return input_.below(4) == 0 ? 1U : 0U; }

    void store(pair& on, unsigned failing) {
        const std::uint64_t number = ++last_;
        std::optional<T> value(zoo<T>::make(number));
        std::uint64_t version = 0;
        {
            const failing_allocation failure(failing);
            try {
                version = on.real->emplace(*std::move(value));
            } catch (const std::bad_alloc&) {
                check(failing_allocation::happened(), "store throws only what an allocation throws");
            }
        }
        if (version == 0) {
            // NOLINTNEXTLINE(bugprone-use-after-move): that it is not moved from is the check
            check(zoo<T>::number(*value) == number, "a store that fails leaves the value alone");
            return;
        }
        check(version == ++on.version, "a store makes the next version");
        on.number = number;
    }

    void update(pair& on, unsigned failing) {
        if constexpr (std::is_copy_constructible_v<T> && std::is_copy_assignable_v<T>) {
            const std::uint64_t number = ++last_;
            std::uint64_t version = 0;
            {
                const failing_allocation failure(failing);
                try {
                    version = on.real->update([&](T& value) {
                        check(zoo<T>::number(value) == on.number, "update begins with the current version");
                        value = zoo<T>::make(number);
                    });
                } catch (const std::bad_alloc&) {
                    check(failing_allocation::happened(), "update throws only what an allocation throws");
                    return;
                }
            }
            check(version == ++on.version, "an update makes the next version");
            on.number = number;
        } else {
            store(on, failing);
        }
    }

    void compare_and_store(pair& on, std::uint64_t expected, unsigned failing) {
        const std::uint64_t number = ++last_;
        T value = zoo<T>::make(number);
        bool stored = false;
        bool thrown = false;
        {
            const failing_allocation failure(failing);
            try {
                stored = on.real->compare_and_store(expected, std::move(value));
            } catch (const std::bad_alloc&) {
                thrown = true;
                check(failing_allocation::happened(), "compare_and_store throws only what an allocation throws");
            }
        }
        check(thrown || stored == (expected == on.version),
              "compare_and_store replaces the version it names, no other");
        if (stored) {
            on.number = number;
            ++on.version;
        } else {
            // NOLINTNEXTLINE(bugprone-use-after-move): that it is not moved from is the check
            check(zoo<T>::number(value) == number, "a compare_and_store that fails leaves the value alone");
        }
    }

    void look(const pair& on) {
        check(on.real->version() == on.version, "version counts the replacements");
        check(on.real->read([](const T& value) { return zoo<T>::number(value); }) == on.number,
              "a reader sees the current version");
        for (const auto& each : views_) {
            check(zoo<T>::number(*each->view) == each->number && each->view.version() == each->version,
                  "a view stays what it was");
        }
    }

    pair fresh() { return {std::make_unique<shared_type>(*home_, zoo<T>::make(++last_)), last_, 1}; }
    void open_domain() {
        home_ = std::make_unique<basic_domain<Env>>();
        for (pair& each : snapshots_) {
            each = fresh();
        }
    }
    void close_domain() {
        while (!views_.empty()) {
            views_.pop_back();
        }
        for (pair& each : snapshots_) {
            each = pair{};
        }
        home_.reset();
        check(counted::alive == 0, "every version is destroyed, once");
    }

    program& input_;
    std::unique_ptr<basic_domain<Env>> home_;
    pair snapshots_[2];
    std::vector<std::unique_ptr<holder>> views_;
    std::uint64_t last_ = 0;
};

} // namespace
} // namespace epoque::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace epoque::fuzz; // NOLINT(google-build-using-namespace)
    program input(data, size);
    switch (input.below(5)) {
    case 0:
        snapshot_program<std::uint64_t, small_env>(input).run();
        break;
    case 1:
        snapshot_program<counted, unpooled_env>(input).run();
        break;
    case 2:
        snapshot_program<wide, unpooled_env>(input).run();
        break;
    case 3:
        snapshot_program<std::unique_ptr<counted>, unpooled_env>(input).run();
        break;
    default:
        snapshot_program<wide, epoque::std_env>(input).run();
    }
    return 0;
}
