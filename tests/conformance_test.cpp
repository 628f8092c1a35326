// SPDX-License-Identifier: BSL-1.0
/// @file
/// Runs conformance.hpp over every structure and every kind of element. A new structure is a line in `for_each_structure`
/// (or in `for_each_queue`, when it is FIFO).
///
/// The global allocation functions of this executable are replaced: they obey `out_of_memory`.
#include "conformance.hpp"

#include "epoque/bounded_queue.hpp"
#include "epoque/channel.hpp"
#include "epoque/mpsc_queue.hpp"
#include "epoque/object_table.hpp"
#include "epoque/queue.hpp"
#include "epoque/spsc_queue.hpp"
#include "epoque/stack.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <type_traits>

void* operator new(std::size_t bytes) {
    if (epoque::test::out_of_memory::strikes()) {
        throw std::bad_alloc();
    }
    if (void* block = std::malloc(bytes == 0 ? 1 : bytes); block != nullptr) {
        return block;
    }
    throw std::bad_alloc();
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
    if (epoque::test::out_of_memory::strikes()) {
        throw std::bad_alloc();
    }
    const auto align = static_cast<std::size_t>(alignment);
    if (void* block = std::aligned_alloc(align, (bytes + align - 1) / align * align); block != nullptr) {
        return block;
    }
    throw std::bad_alloc();
}
// Not inlined: gcc 12 takes a visible free() for the wrong partner of a `new` that it does not look into.
[[gnu::noinline]] void operator delete(void* block) noexcept {
    std::free(block);
}
[[gnu::noinline]] void operator delete(void* block, std::size_t) noexcept {
    std::free(block);
}
[[gnu::noinline]] void operator delete(void* block, std::align_val_t) noexcept {
    std::free(block);
}
[[gnu::noinline]] void operator delete(void* block, std::size_t, std::align_val_t) noexcept {
    std::free(block);
}

namespace epoque::test {
namespace {

// ---- which structures, with which elements -------------------------------------------------------------------------------

template <class T>
using queue_of = queue<T>;
template <class T>
using stack_of = stack<T>;
template <class T>
using channel_of = channel<T>;

/// A queue with a capacity as the suites want it: room for 8,192, and pushes that wait for room.
template <class Queue>
class roomy : public Queue {
    using element_type = typename Queue::value_type;

  public:
    explicit roomy(domain& home)
        requires std::is_constructible_v<Queue, std::size_t, domain&>
        : Queue(8192, home) {}
    explicit roomy(domain&)
        requires(!std::is_constructible_v<Queue, std::size_t, domain&>)
        : Queue(8192) {}

    conqueue_status try_push(element_type&& value) {
        for (unsigned round = 0;; ++round) {
            // NOLINTNEXTLINE(bugprone-use-after-move): a push that was refused has not moved from it
            const conqueue_status status = Queue::try_push(std::move(value));
            if (status != conqueue_status::full) {
                return status;
            }
            std_env::relax(round);
        }
    }
    conqueue_status try_push(const element_type& value)
        requires std::is_copy_constructible_v<element_type>
    {
        return try_push(element_type(value));
    }
    template <class... Args>
    conqueue_status try_emplace(Args&&... args) {
        return try_push(element_type(std::forward<Args>(args)...));
    }
    bool push(element_type&& value) { return try_push(std::move(value)) == conqueue_status::success; }
    bool push(const element_type& value)
        requires std::is_copy_constructible_v<element_type>
    {
        return push(element_type(value));
    }
    template <class... Args>
    bool emplace(Args&&... args) {
        return push(element_type(std::forward<Args>(args)...));
    }
    template <class Iterator>
    Iterator push_range(Iterator first, Iterator last) {
        for (unsigned round = 0; (first = Queue::push_range(first, last)) != last && !this->is_closed(); ++round) {
            std_env::relax(round);
        }
        return first;
    }
};
template <class T>
using bounded_queue_of = roomy<bounded_queue<T>>;
template <class T>
using spsc_queue_of = roomy<spsc_queue<T>>;
template <class T>
using mpsc_queue_of = mpsc_queue<T>;

} // namespace

template <class T>
struct made_for<spsc_queue_of<T>> {
    static constexpr std::size_t producers = 1;
    static constexpr std::size_t consumers = 1;
    static constexpr bool pops_with_a_record = false; // it uses no domain
};
template <class T>
struct made_for<mpsc_queue<T>> {
    static constexpr std::size_t producers = any_number;
    static constexpr std::size_t consumers = 1;
    // Its consumer has a hazard only while the code of an element runs.
    static constexpr bool pops_with_a_record = !std::is_trivially_copyable_v<T>;
};

namespace {

template <class... Lists>
struct join;
template <class... Types>
struct join<testing::Types<Types...>> {
    using type = testing::Types<Types...>;
};
template <class... First, class... Second, class... Rest>
struct join<testing::Types<First...>, testing::Types<Second...>, Rest...> {
    using type = typename join<testing::Types<First..., Second...>, Rest...>::type;
};

template <class... Elements>
struct with {
    template <template <class> class... Structures>
    struct over {
        template <template <class> class Structure>
        using one = testing::Types<Structure<Elements>...>;
        using type = typename join<one<Structures>...>::type;
    };
};

template <class... Elements>
using for_each_queue = typename with<Elements...>::template over<queue_of, bounded_queue_of, channel_of, spsc_queue_of,
                                                                 mpsc_queue_of>::type;
template <class... Elements>
using for_each_structure = typename with<Elements...>::template over<queue_of, stack_of, bounded_queue_of, channel_of,
                                                                     spsc_queue_of, mpsc_queue_of>::type;

/// "queue.move_only"
struct names {
    template <class Container>
    static std::string GetName(int) {
        using element_type = typename Container::value_type;
        return structure(static_cast<Container*>(nullptr)) + "." + element(static_cast<element_type*>(nullptr));
    }

  private:
    template <class T>
    static std::string structure(queue<T>*) {
        return "queue";
    }
    template <class T>
    static std::string structure(bounded_queue<T>*) {
        return "bounded_queue";
    }
    template <class T>
    static std::string structure(spsc_queue<T>*) {
        return "spsc_queue";
    }
    template <class T>
    static std::string structure(mpsc_queue<T>*) {
        return "mpsc_queue";
    }
    template <class T>
    static std::string structure(stack<T>*) {
        return "stack";
    }
    template <class T>
    static std::string structure(channel<T>*) {
        return "channel";
    }
    static std::string element(std::uint64_t*) { return "number"; }
    static std::string element(move_only*) { return "move_only"; }
    static std::string element(counted*) { return "counted"; }
    static std::string element(least*) { return "least"; }
    static std::string element(large*) { return "large"; }
    static std::string element(fragile*) { return "fragile"; }
    template <std::size_t Align>
    static std::string element(aligned<Align>*) {
        return "aligned_" + std::to_string(Align);
    }
};

using every_element =
    for_each_structure<std::uint64_t, move_only, counted, least, aligned<64>, aligned<128>, large, fragile>;
INSTANTIATE_TYPED_TEST_SUITE_P(each, conformance, every_element, names);

using racing_elements = for_each_structure<move_only, counted, aligned<128>, large>;
INSTANTIATE_TYPED_TEST_SUITE_P(each, race_conformance, racing_elements, names);

// A stack copies its ranges.
using ranges = join<for_each_structure<counted, aligned<128>, large>, for_each_queue<move_only>>::type;
INSTANTIATE_TYPED_TEST_SUITE_P(each, range_conformance, ranges, names);

INSTANTIATE_TYPED_TEST_SUITE_P(each, lifetime_conformance, for_each_structure<counted>, names);
INSTANTIATE_TYPED_TEST_SUITE_P(each, exception_conformance, for_each_structure<fragile>, names);
INSTANTIATE_TYPED_TEST_SUITE_P(each, bulk_pop_conformance, for_each_structure<move_only>, names);

using memory_elements = join<for_each_structure<std::uint64_t>, for_each_queue<move_only>>::type;
INSTANTIATE_TYPED_TEST_SUITE_P(each, memory_conformance, memory_elements, names);

// ---- out of memory in what is no container -----------------------------------------------------------------------------------

TEST(memory, the_replaced_allocation_functions_obey) {
    // Called as functions: a new-expression may be optimised away together with its delete.
    const auto plain = [] { ::operator delete(::operator new(8)); };
    const auto over_aligned = [] {
        ::operator delete(::operator new(8, std::align_val_t{128}), std::align_val_t{128});
    };
    EXPECT_TRUE(runs_out_of_memory(0, plain));
    EXPECT_TRUE(runs_out_of_memory(0, over_aligned));
    EXPECT_FALSE(runs_out_of_memory(1, plain));
    EXPECT_FALSE(runs_out_of_memory(1, over_aligned));
    EXPECT_TRUE(runs_out_of_memory(1, [&] {
        plain();
        over_aligned();
    }));
}

TEST(memory, a_domain_that_cannot_be_made_leaves_nothing_behind) {
    with_each_allocation_failing([](std::uint64_t allowed) {
        std::unique_ptr<domain> home;
        return runs_out_of_memory(allowed, [&] { home = std::make_unique<domain>(); });
    });
}

TEST(memory, a_pin_that_fails_leaves_the_thread_unpinned_and_works_later) {
    domain home;
    {
        const auto guard = home.pin();
    }
    with_each_allocation_failing([&home](std::uint64_t allowed) {
        const bool failed = runs_out_of_memory(allowed, [&] { const auto guard = home.pin(); });
        EXPECT_EQ(home.stats().pinned, 0U);
        {
            const auto guard = home.pin();
            EXPECT_EQ(home.stats().pinned, 1U);
            EXPECT_EQ(home.stats().threads, 2U) << "a failed first pin has kept a record";
        }
        return failed;
    });
    EXPECT_EQ(home.stats().threads, 1U);
}

TEST(memory, a_retire_that_fails_leaves_the_object_with_the_caller) {
    with_each_allocation_failing([](std::uint64_t allowed) {
        const std::uint64_t live = counted::live();
        bool failed = false;
        {
            domain home;
            auto object = std::make_unique<counted>(42U);
            failed = runs_out_of_memory(allowed, [&] {
                home.retire(object.get());
                object.release(); // NOLINT(bugprone-unused-return-value): the domain owns it now
            });
            EXPECT_EQ(counted::live(), live + 1);
            if (failed) {
                EXPECT_EQ(object->number(), 42U);
                EXPECT_EQ(home.stats().retired_objects, 0U);
                home.retire(object.release());
            }
            home.barrier();
            EXPECT_EQ(counted::live(), live);
        }
        return failed;
    });
}

TEST(memory, an_object_that_finds_no_slot_stays_with_the_caller) {
    with_each_allocation_failing([](std::uint64_t allowed) {
        const std::uint64_t live = counted::live();
        bool failed = false;
        {
            domain home;
            object_table<counted> table(home);
            auto object = std::make_unique<counted>(42U);
            std::uint64_t handle = 0;
            failed = runs_out_of_memory(allowed, [&] { handle = table.create(1, object); });
            EXPECT_EQ(handle == 0, failed);
            EXPECT_EQ(object != nullptr, failed);
            if (failed) {
                EXPECT_EQ(object->number(), 42U);
                EXPECT_EQ(table.was_live(), 0U);
                handle = table.create(1, object);
            }
            {
                const auto guard = home.pin();
                counted* found = nullptr;
                EXPECT_EQ(table.find(handle, 1, found), find_status::found);
                EXPECT_EQ(found->number(), 42U);
            }
            home.barrier();
        }
        EXPECT_EQ(counted::live(), live);
        return failed;
    });
}

} // namespace
} // namespace epoque::test
