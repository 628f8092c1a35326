// SPDX-License-Identifier: BSL-1.0
/// @file
/// Several handles of one object through the C interface, under threads: rights, dup and revoke beside operations, waits and
/// destroys. What one thread can see is in c_api_test.c.
#include "ffi_support.hpp"

#include "epoque.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <random>
#include <thread>
#include <vector>

namespace {

using namespace epoque::test; // NOLINT(google-build-using-namespace): a test of that

template <class Kind>
class ffi_handles : public ffi<Kind> {};
using kinds = testing::Types<queues, stacks, boundeds, spscs>;
TYPED_TEST_SUITE(ffi_handles, kinds, kind_names);

template <class Handle>
Handle dup_of(Handle of, std::uint32_t rights) {
    Handle made{};
    EXPECT_EQ(epq_dup(of.bits, rights, &made.bits, nullptr), EPQ_OK);
    return made;
}

TYPED_TEST(ffi_handles, a_handle_without_the_right_does_nothing) {
    const auto all = make<TypeParam>();
    ASSERT_EQ(send<TypeParam>(all, 7), EPQ_OK);
    for (std::uint32_t rights = 1; rights <= EPQ_RIGHT_ALL; ++rights) {
        const auto some = dup_of(all, rights);
        const auto allowed = [rights](std::uint32_t right) { return (rights & right) != 0; };
        std::uint64_t value = 0;
        epq_stats out{};
        out.size = sizeof out;
        ASSERT_EQ(send<TypeParam>(some, 7), allowed(EPQ_RIGHT_SEND) ? EPQ_OK : EPQ_RIGHTS);
        ASSERT_EQ(TypeParam::try_recv(some, &value, size, nullptr), allowed(EPQ_RIGHT_RECEIVE) ? EPQ_OK : EPQ_RIGHTS);
        ASSERT_EQ(receive<TypeParam>(some, value, 1), !allowed(EPQ_RIGHT_RECEIVE) ? EPQ_RIGHTS
                                                      : allowed(EPQ_RIGHT_SEND)   ? EPQ_OK
                                                                                  : EPQ_TIMEOUT);
        ASSERT_EQ(TypeParam::stats(some, &out, nullptr), allowed(EPQ_RIGHT_OBSERVE) ? EPQ_OK : EPQ_RIGHTS);
        std::uint64_t more = 4242;
        for (std::uint32_t wish = 1; wish <= EPQ_RIGHT_ALL; ++wish) {
            const epq_status status = epq_dup(some.bits, wish, &more, nullptr);
            ASSERT_EQ(status, (rights & wish) == wish ? EPQ_OK : EPQ_RIGHTS);
            if (status == EPQ_OK) {
                ASSERT_EQ(epq_revoke(more, nullptr), EPQ_OK);
            }
        }
        ASSERT_EQ(epq_revoke(some.bits, nullptr), EPQ_OK);
        ASSERT_EQ(send<TypeParam>(some, 7), EPQ_STALE);
        while (TypeParam::try_recv(all, &value, size, nullptr) == EPQ_OK) {
        }
        ASSERT_EQ(send<TypeParam>(all, 7), EPQ_OK); // one for the next round
    }
    ASSERT_EQ(TypeParam::close(dup_of(all, EPQ_RIGHT_ALL & ~EPQ_RIGHT_CLOSE), nullptr), EPQ_RIGHTS);
    ASSERT_EQ(TypeParam::destroy(dup_of(all, EPQ_RIGHT_ALL & ~EPQ_RIGHT_DESTROY), nullptr), EPQ_RIGHTS);
    ASSERT_EQ(send<TypeParam>(all, 8), EPQ_OK);
    ASSERT_EQ(TypeParam::close(dup_of(all, EPQ_RIGHT_CLOSE), nullptr), EPQ_OK);
    ASSERT_EQ(send<TypeParam>(all, 8), EPQ_CLOSED) << "a close is everybody's";
    ASSERT_EQ(TypeParam::destroy(dup_of(all, EPQ_RIGHT_DESTROY), nullptr), EPQ_OK);
    ASSERT_EQ(send<TypeParam>(all, 8), EPQ_STALE) << "and so is a destroy";
}

TYPED_TEST(ffi_handles, a_dup_beside_a_destroy_is_stale_in_the_end) {
    for (int round = 0; round < many(1000); ++round) {
        const auto first = make<TypeParam>();
        std::array<std::uint64_t, 2> last{};
        std::atomic<int> winners{0};
        crew threads;
        for (std::uint64_t& mine : last) {
            threads.add([&, first] {
                std::uint64_t made = 0;
                epq_status status = EPQ_OK;
                for (int i = 0; i < 20 && (status = epq_dup(first.bits, EPQ_RIGHT_ALL, &made, nullptr)) == EPQ_OK;
                     ++i) {
                    mine = made;
                    const epq_status used = TypeParam::try_send({made}, &made, size, nullptr);
                    ASSERT_TRUE(used == EPQ_OK || used == EPQ_STALE || is_momentary(used)) << used;
                }
                ASSERT_TRUE(status == EPQ_OK || status == EPQ_STALE) << status;
            });
        }
        threads.add([&, first] { winners += TypeParam::destroy(first, nullptr) == EPQ_OK ? 1 : 0; });
        threads.add([&, first] { winners += TypeParam::destroy(first, nullptr) == EPQ_OK ? 1 : 0; });
        threads.join();
        ASSERT_EQ(winners.load(), 1);
        std::uint64_t value = 0;
        for (const std::uint64_t bits : last) {
            ASSERT_EQ(TypeParam::try_recv({bits}, &value, size, nullptr), EPQ_STALE);
        }
    }
}

TYPED_TEST(ffi_handles, a_revoke_wakes_who_waits_by_that_handle_and_only_that) {
    for (int round = 0; round < many(200); ++round) {
        const auto all = make<TypeParam>();
        const auto one = dup_of(all, EPQ_RIGHT_RECEIVE);
        const auto other = dup_of(all, EPQ_RIGHT_RECEIVE);
        crew revoked;
        crew served;
        for (int i = 0; i < 2; ++i) {
            revoked.add([one] {
                std::uint64_t value = 0;
                ASSERT_EQ(receive<TypeParam>(one, value), EPQ_STALE);
            });
            served.add([other] {
                std::uint64_t value = 0;
                ASSERT_EQ(receive<TypeParam>(other, value), EPQ_OK);
            });
        }
        if (round % 2 == 0) {
            wait_for_waiters<TypeParam>(all, static_cast<std::uint64_t>(round % 5));
        }
        ASSERT_EQ(epq_revoke(one.bits, nullptr), EPQ_OK);
        revoked.join();
        ASSERT_EQ(send<TypeParam>(all, 1), EPQ_OK);
        ASSERT_EQ(send<TypeParam>(all, 2), EPQ_OK);
        served.join();
        ASSERT_EQ(TypeParam::destroy(all, nullptr), EPQ_OK);
    }
}

TYPED_TEST(ffi_handles, a_destroy_wakes_the_waiters_of_all_handles) {
    for (int round = 0; round < many(200); ++round) {
        const auto all = make<TypeParam>();
        crew threads;
        for (int i = 0; i < 4; ++i) {
            threads.add([mine = dup_of(all, EPQ_RIGHT_RECEIVE)] {
                std::uint64_t value = 0;
                ASSERT_EQ(receive<TypeParam>(mine, value), EPQ_STALE);
            });
        }
        if (round % 2 == 0) {
            wait_for_waiters<TypeParam>(all, static_cast<std::uint64_t>(round % 5));
        }
        ASSERT_EQ(TypeParam::destroy(dup_of(all, EPQ_RIGHT_DESTROY), nullptr), EPQ_OK);
    }
}

TYPED_TEST(ffi_handles, the_object_ends_with_its_last_handle) {
    for (int round = 0; round < many(500); ++round) {
        const auto first = make<TypeParam>();
        std::vector<std::uint64_t> handles{first.bits};
        for (int i = 0; i < 3; ++i) {
            handles.push_back(dup_of(first, EPQ_RIGHT_ALL).bits);
        }
        crew threads;
        for (const std::uint64_t bits : handles) {
            threads.add([bits] {
                std::uint64_t value = 0;
                ASSERT_EQ(send<TypeParam>({bits}, 1), EPQ_OK);
                ASSERT_EQ(receive<TypeParam>({bits}, value), EPQ_OK);
                ASSERT_EQ(epq_revoke(bits, nullptr), EPQ_OK);
                ASSERT_EQ(epq_revoke(bits, nullptr), EPQ_STALE);
            });
        }
    } // the fixture looks whether anything is left
}

TYPED_TEST(ffi_handles, one_handle_of_an_object_is_watched) {
    const auto all = make<TypeParam>();
    const auto other = dup_of(all, EPQ_RIGHT_OBSERVE);
    ASSERT_EQ(TypeParam::watch(all, nullptr), EPQ_OK);
    epq_error error{};
    error.size = sizeof error;
    EXPECT_EQ(TypeParam::watch(other, &error), EPQ_RIGHTS);
    EXPECT_NE(std::string(error.msg).find("is watched by 0x"), std::string::npos) << error.msg;
    ASSERT_EQ(epq_revoke(all.bits, nullptr), EPQ_OK);
    std::array<std::uint64_t, 2> handles{};
    std::size_t taken = 0;
    std::uint32_t more = 1;
    ASSERT_EQ(epq_notifier_take(handles.data(), handles.size(), &taken, &more, nullptr), EPQ_OK);
    EXPECT_EQ(taken, 1U) << "a revoke is announced, as a destroy is";
    EXPECT_EQ(handles[0], all.bits);
    EXPECT_EQ(TypeParam::watch(other, nullptr), EPQ_RIGHTS);
    ASSERT_EQ(epq_revoke(other.bits, nullptr), EPQ_OK);
}

// ---- over all handles -----------------------------------------------------------------------------------------------------

TYPED_TEST(ffi_handles, a_list_shows_what_lives_throughout_and_a_shutdown_ends_all_beside_others) {
    const auto constant = make<TypeParam>("constant");
    std::atomic<bool> done{false};
    crew threads;
    for (unsigned seed = 1; seed <= 2; ++seed) {
        threads.add([&, seed] {
            std::mt19937_64 random(seed);
            while (!done.load()) { // the library works during a shutdown, and afterwards
                const auto mine = make<TypeParam>("passing");
                std::uint64_t further = 0;
                const epq_status dupped = epq_dup(mine.bits, EPQ_RIGHT_ALL, &further, nullptr);
                ASSERT_TRUE(dupped == EPQ_OK || dupped == EPQ_STALE) << dupped;
                const epq_status sent = send<TypeParam>(mine, 1);
                ASSERT_TRUE(sent == EPQ_OK || sent == EPQ_CLOSED || sent == EPQ_STALE) << sent;
                if (random() % 2 == 0) {
                    static_cast<void>(epq_revoke(mine.bits, nullptr));
                }
                const epq_status ended = TypeParam::destroy({random() % 2 == 0 ? further : mine.bits}, nullptr);
                ASSERT_TRUE(ended == EPQ_OK || ended == EPQ_STALE) << ended;
                static_cast<void>(TypeParam::destroy({further}, nullptr));
            }
        });
    }
    for (int round = 0; round < many(300); ++round) {
        std::array<epq_handle_info, 2> infos{};
        infos[0].size = sizeof infos[0];
        std::uint64_t cursor = 0;
        int seen = 0;
        do {
            std::size_t listed = 0;
            ASSERT_EQ(epq_list(&cursor, infos.data(), infos.size(), &listed, nullptr), EPQ_OK);
            for (std::size_t i = 0; i < listed; ++i) {
                seen += infos[i].handle == constant.bits ? 1 : 0;
                ASSERT_TRUE(std::string(infos[i].name) == "constant" || std::string(infos[i].name) == "passing");
            }
        } while (cursor != 0);
        ASSERT_EQ(seen, 1);
    }
    for (int round = 0; round < many(50); ++round) {
        const epq_status status = epq_shutdown(100'000, EPQ_SHUTDOWN_DESTROY, nullptr, nullptr);
        ASSERT_EQ(status, EPQ_OK);
        ASSERT_EQ(send<TypeParam>(constant, 1), EPQ_STALE);
    }
    done = true;
    threads.join();
    ASSERT_EQ(epq_shutdown(-1, EPQ_SHUTDOWN_DESTROY, nullptr, nullptr), EPQ_OK);
}

} // namespace
