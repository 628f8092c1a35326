// SPDX-License-Identifier: BSL-1.0
/// @file
/// Out of memory, at each allocation in turn (pitfall 16).
#pragma once

#include "containers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <new>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace epoque::test {

// ---- out of memory, at each allocation in turn (pitfall 16) -----------------------------------------------------------------

template <class Container>
class memory_conformance : public testing::Test {};
TYPED_TEST_SUITE_P(memory_conformance);

/// Runs `script(allowed)` in new threads, with `allowed` = 0, 1, 2, ... allocations that succeed before all fail, until
/// it says that it met no failure. The script makes everything anew each time.
template <class Script>
void with_each_allocation_failing(Script script) {
    bool failed = true;
    for (std::uint64_t allowed = 0; failed; ++allowed) {
        std::thread([&] { failed = script(allowed); }).join();
        if (testing::Test::HasFatalFailure()) {
            FAIL() << "with " << allowed << " allocations before the failure";
        }
        ASSERT_LT(allowed, 20'000U) << "the allocations never suffice";
    }
}

/// Whether `operation` met bad_alloc after `allowed` allocations; what is left of these is in `allowed` afterwards.
template <class Operation>
bool runs_out_of_memory(std::uint64_t allowed, Operation operation) {
    const out_of_memory from_now(allowed);
    try {
        operation();
        return false;
    } catch (const std::bad_alloc&) {
        return true;
    }
}

TYPED_TEST_P(memory_conformance, a_failed_push_loses_nothing_and_the_container_works_on) {
    using element_type = typename TypeParam::value_type;
    constexpr std::uint64_t count = TypeParam::is_fifo ? 1024 * 2 + 10 : 70;
    with_each_allocation_failing([](std::uint64_t allowed) {
        domain home;
        std::optional<TypeParam> container;
        std::uint64_t next = 0;
        std::optional<element_type> refused;
        bool failed = runs_out_of_memory(allowed, [&] { container.emplace(home); });
        if (!failed) {
            std::vector<element_type> elements;
            for (std::uint64_t number = 0; number < count; ++number) {
                elements.push_back(make<element_type>(number));
            }
            failed = runs_out_of_memory(allowed, [&] {
                for (; next < count; ++next) {
                    container->push(std::move(elements[next]));
                }
            });
            if (failed) {
                refused.emplace(std::move(elements[next]));
            }
        } else {
            container.emplace(home);
        }
        if (refused) {
            EXPECT_EQ(number_of(*refused), next) << "a push that failed has moved from its argument";
            EXPECT_TRUE(container->push(*std::move(refused))) << "and works when there is memory again";
            ++next;
        }
        for (; next < count; ++next) {
            EXPECT_TRUE(container->push(make<element_type>(next)));
        }
        EXPECT_EQ(drain(*container), in_order_of<TypeParam>(numbers(0, count)));
        return failed;
    });
}

TYPED_TEST_P(memory_conformance, a_failed_range_loses_nothing_of_what_went_in_before) {
    using element_type = typename TypeParam::value_type;
    constexpr std::uint64_t count = TypeParam::is_fifo ? 1024 * 3 : 70;
    with_each_allocation_failing([](std::uint64_t allowed) {
        domain home;
        auto container = make_container<TypeParam>::in(home);
        EXPECT_TRUE(container.push(make<element_type>(0)));
        std::vector<element_type> elements;
        for (std::uint64_t number = 1; number < count; ++number) {
            elements.push_back(make<element_type>(number));
        }
        const bool failed = runs_out_of_memory(allowed, [&] {
            if constexpr (TypeParam::is_fifo) {
                container.push_range(std::make_move_iterator(elements.begin()),
                                     std::make_move_iterator(elements.end()));
            } else {
                container.push_range(elements.begin(), elements.end());
            }
        });
        auto inside = drain(container);
        if constexpr (TypeParam::is_fifo) {
            // A prefix went in, and the rest is where it was.
            EXPECT_EQ(inside, numbers(0, inside.size()));
            for (std::uint64_t number = std::max<std::uint64_t>(1, inside.size()); number < count; ++number) {
                EXPECT_EQ(number_of(elements[number - 1]), number);
            }
        } else {
            EXPECT_EQ(inside, failed ? numbers(0, 1) : in_order_of<TypeParam>(numbers(0, count)));
        }
        EXPECT_EQ(failed, inside.size() != count);
        return failed;
    });
}

TYPED_TEST_P(memory_conformance, a_pop_needs_no_memory_after_a_threads_first) {
    using element_type = typename TypeParam::value_type;
    domain home;
    auto container = make_container<TypeParam>::in(home);
    for (std::uint64_t number = 0; number < 3000; ++number) {
        ASSERT_TRUE(container.push(make<element_type>(number)));
    }
    std::thread([&] {
        const bool failed = runs_out_of_memory(0, [&] { static_cast<void>(container.try_pop()); });
        EXPECT_EQ(failed, made_for<TypeParam>::pops_with_a_record)
            << "a thread's record comes from nowhere, or is not needed";
        const int left = failed ? 3000 : 2999;
        {
            const auto guard = home.pin();
        }
        EXPECT_FALSE(runs_out_of_memory(0, [&] {
            for (int i = 0; i < left; ++i) {
                if (!container.try_pop()) {
                    throw std::bad_alloc();
                }
            }
            static_cast<void>(container.try_pop()); // finds nothing
            container.close();
        }));
        EXPECT_EQ(container.try_pop().error(), conqueue_status::closed);
    }).join();
}

REGISTER_TYPED_TEST_SUITE_P(memory_conformance, a_failed_push_loses_nothing_and_the_container_works_on,
                            a_failed_range_loses_nothing_of_what_went_in_before,
                            a_pop_needs_no_memory_after_a_threads_first);

} // namespace epoque::test
