// SPDX-License-Identifier: BSL-1.0
/// @file
/// The C interface compiled into a C++ program, as into a Go one: they share the default domain.
#include "epoque.h"

#include "epoque/domain.hpp"

#include <gtest/gtest.h>

namespace epoque::test {
namespace {

TEST(ffi_built_in, what_would_wait_for_the_callers_own_guard_is_refused) {
    epq_error error{};
    error.size = sizeof error;
    {
        const auto pinned = default_domain().pin();
        EXPECT_EQ(epq_domain_barrier(&error), EPQ_STATE);
        EXPECT_STRNE(error.msg, "");
        EXPECT_EQ(epq_shutdown(0, 0, nullptr, &error), EPQ_STATE);
    }
    EXPECT_EQ(epq_domain_barrier(&error), EPQ_OK);
}

} // namespace
} // namespace epoque::test
