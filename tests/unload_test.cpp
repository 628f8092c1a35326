// SPDX-License-Identifier: BSL-1.0
/// @file
/// What is left of the shared library after dlclose (pitfall 11). Not linked with it: this program opens it by its path.
#include "epoque.h"
#include "support.hpp"

#include <gtest/gtest.h>

#include <cstdint>

#include <dlfcn.h>

namespace epoque::test {
namespace {

/// The function of epoque.h with this name and type.
template <class Function>
Function* look_up(void* library, const char* name) {
    // SAFETY: the header declares it so.
    return reinterpret_cast<Function*>(::dlsym(library, name));
}

TEST(unload, a_thread_that_used_the_library_may_end_after_dlclose) {
    void* const library = ::dlopen(EPOQUE_C_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(library, nullptr) << ::dlerror(); // NOLINT(concurrency-mt-unsafe): one thread so far
    auto* const create = look_up<decltype(epq_queue_create)>(library, "epq_queue_create");
    auto* const send = look_up<decltype(epq_queue_try_send)>(library, "epq_queue_try_send");
    auto* const destroy = look_up<decltype(epq_queue_destroy)>(library, "epq_queue_destroy");
    ASSERT_NE(create, nullptr);
    ASSERT_NE(send, nullptr);
    ASSERT_NE(destroy, nullptr);

    epq_options options{};
    options.size = sizeof options;
    options.element_size = sizeof(std::uint64_t);
    actor user;
    user([&] { // and is known to the library from here on, which wants to hear of its end
        epq_queue queue{};
        ASSERT_EQ(create(&options, &queue, nullptr), EPQ_OK);
        const std::uint64_t element = 7;
        ASSERT_EQ(send(queue, &element, sizeof element, nullptr), EPQ_OK);
        ASSERT_EQ(destroy(queue, nullptr), EPQ_OK);
    });
    ASSERT_EQ(::dlclose(library), 0);
    EXPECT_NE(::dlopen(EPOQUE_C_LIBRARY, RTLD_NOW | RTLD_NOLOAD), nullptr) << "it is gone, and the thread is not";
    user.leave(); // calls into it
}

} // namespace
} // namespace epoque::test
