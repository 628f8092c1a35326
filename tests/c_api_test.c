/* SPDX-License-Identifier: BSL-1.0
 *
 * Every function of the C interface, from C99, called into every status that docs/boundary.md gives it. Prints a matrix
 * function x status and what could not be reached, and fails when a documented status was not reached or another one was
 * answered. Also: errno is never touched, out-pointers are only written on success, each error says what it is about.
 */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include "c_api.h"
#include "epoque.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- memory that runs out: operator new of this program, written in C ---------------------------------------------------
 * In C, because sanitizer runtimes bring an operator new of their own into each C++ program, which can't be replaced. */

static int no_memory; /* every allocation fails; only changed while one thread allocates, as the next one */
static long allocations_left = -1; /* so many succeed, then one fails; negative: none fails */

static void* allocate(size_t bytes, size_t alignment) {
    void* block = NULL;
    const int fails = no_memory || (allocations_left >= 0 && allocations_left-- == 0);
    if (!fails && posix_memalign(&block, alignment, bytes) == 0) {
        return block;
    }
    union {
        void* object;
        void (*function)(void);
    } throw_bad_alloc;
    throw_bad_alloc.object = dlsym(RTLD_DEFAULT, "_ZSt17__throw_bad_allocv");
    if (throw_bad_alloc.object == NULL) {
        fprintf(stderr, "c_api_test: no std::__throw_bad_alloc in this C++ library\n");
        abort();
    }
    throw_bad_alloc.function();
    return NULL;
}
void* _Znwm(size_t bytes);
void* _ZnwmSt11align_val_t(size_t bytes, size_t alignment);
void _ZdlPv(void* block);
void _ZdlPvm(void* block, size_t bytes);
void _ZdlPvSt11align_val_t(void* block, size_t alignment);
void _ZdlPvmSt11align_val_t(void* block, size_t bytes, size_t alignment);
void* _Znwm(size_t bytes) {
    return allocate(bytes, 16);
}
void* _ZnwmSt11align_val_t(size_t bytes, size_t alignment) {
    return allocate(bytes, alignment);
}
void _ZdlPv(void* block) {
    free(block);
}
void _ZdlPvm(void* block, size_t bytes) {
    (void)bytes;
    free(block);
}
void _ZdlPvSt11align_val_t(void* block, size_t alignment) {
    (void)alignment;
    free(block);
}
void _ZdlPvmSt11align_val_t(void* block, size_t bytes, size_t alignment) {
    (void)bytes;
    (void)alignment;
    free(block);
}

/* Every function that touches the library, in a state in which it can only answer `wanted`. */
static void all_answer(epq_status wanted) {
    uint64_t element = 1;
    uint64_t handles[2];
    size_t count = 4242;
    uint32_t more = 4242;
    int32_t fd = 4242;
    epq_domain_stats domain;
    epq_handle_info info;
    uint64_t cursor = 0;
    int i;
    for (i = 0; i < kinds_count; ++i) {
        const struct kind* k = &kinds[i];
        const uint64_t any = k->number << 56 | 1;
        const epq_options options = good_options(k);
        epq_stats stats;
        uint64_t made = 4242;
        memset(&stats, 0, sizeof stats);
        stats.size = sizeof stats;
        EXPECT(of(k, f_create), wanted, 0, k->create(&options, &made, &error));
        EXPECT(of(k, f_close), wanted, any, k->close(any, &error));
        EXPECT(of(k, f_destroy), wanted, any, k->destroy(any, &error));
        EXPECT(of(k, f_try_send), wanted, any, k->try_send(any, &element, sizeof element, &error));
        EXPECT(of(k, f_try_recv), wanted, any, k->try_recv(any, &element, sizeof element, &error));
        EXPECT(of(k, f_send_n), wanted, any, k->send_n(any, &element, sizeof element, 1, &count, &error));
        EXPECT(of(k, f_recv_n), wanted, any, k->recv_n(any, &element, sizeof element, 1, &count, -1, &error));
        EXPECT(of(k, f_stats), wanted, any, k->stats(any, &stats, &error));
        EXPECT(of(k, f_watch), wanted, any, k->watch(any, &error));
        CHECK(made == 4242 && element == 1);
    }
    memset(&domain, 0, sizeof domain);
    domain.size = sizeof domain;
    EXPECT(f_notifier_open, wanted, 0, epq_notifier_open(&fd, &error));
    EXPECT(f_notifier_take, wanted, 0, epq_notifier_take(handles, 2, &count, &more, &error));
    EXPECT(f_domain_get_stats, wanted, 0, epq_domain_get_stats(&domain, &error));
    EXPECT(f_domain_barrier, wanted, 0, epq_domain_barrier(&error));
    EXPECT(f_dup, wanted, 1, epq_dup(1, EPQ_RIGHT_ALL, handles, &error));
    EXPECT(f_revoke, wanted, 1, epq_revoke(1, &error));
    memset(&info, 0, sizeof info);
    info.size = sizeof info;
    EXPECT(f_list, wanted, 0, epq_list(&cursor, &info, 1, &count, &error));
    EXPECT(f_shutdown, wanted, 0, epq_shutdown(0, 0, NULL, &error));
    CHECK(info.kind == 0 && cursor == 0);
    CHECK(count == 4242 && more == 4242 && fd == 4242 && domain.epoch == 0);
}

/* Before the library's first use: the process has no pthread key left, then no memory. */
static void test_first_use_may_fail(void) {
    enum { most = 4096 };
    static pthread_key_t keys[most];
    int made = 0;
    while (made < most && pthread_key_create(&keys[made], NULL) == 0) {
        ++made;
    }
    all_answer(EPQ_SYS);
    while (made > 0) {
        pthread_key_delete(keys[--made]);
    }
    no_memory = 1;
    all_answer(EPQ_NOMEM);
    no_memory = 0;
}

/* ---- the library ---------------------------------------------------------------------------------------------------------- */

static int asymmetric; /* the barrier mode of this run */

static void test_init(void) {
    struct {
        epq_init_options options;
        uint64_t newer;
    } larger;
    struct {
        epq_init_reply reply;
        uint64_t newer;
    } larger_reply;
    epq_init_options options;
    epq_init_reply reply;
    int status;

    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.abi_version = EPQ_ABI_VERSION;
    memset(&reply, 0, sizeof reply);
    reply.size = sizeof reply;
    CHECK(epq_abi_version() == EPQ_ABI_VERSION);
    EXPECT(f_init, EPQ_OK, 0, epq_init(&options, NULL, &error));
    EXPECT(f_init, EPQ_OK, 0, epq_init(&options, NULL, NULL));
    EXPECT(f_init, EPQ_OK, 0, epq_init(&options, &reply, &error));
    CHECK(reply.abi_version == EPQ_ABI_VERSION && (reply.features & EPQ_FEATURE_EVENTFD) != 0);
    asymmetric = (reply.features & EPQ_FEATURE_ASYMMETRIC_BARRIER) != 0;
    options.incompat = EPQ_FEATURE_EVENTFD;
    EXPECT(f_init, EPQ_OK, 0, epq_init(&options, &reply, &error));

    EXPECT(f_init, EPQ_ARG, 0, epq_init(NULL, &reply, &error));
    options.size = sizeof options - 1;
    EXPECT(f_init, EPQ_ARG, 0, epq_init(&options, &reply, &error));
    options.size = UINT32_MAX;
    EXPECT(f_init, EPQ_ARG, 0, epq_init(&options, &reply, &error));
    options.size = sizeof options;
    reply.size = 0;
    EXPECT(f_init, EPQ_ARG, 0, epq_init(&options, &reply, &error));

    reply.size = sizeof reply;
    reply.features = 4711;
    options.abi_version = EPQ_ABI_VERSION + 1;
    EXPECT(f_init, EPQ_ABI, 0, epq_init(&options, &reply, &error));
    CHECK(strstr(error.msg, "the library is too old. Install a newer libepoque.") != NULL);
    options.abi_version = EPQ_ABI_VERSION - 1000;
    EXPECT(f_init, EPQ_ABI, 0, epq_init(&options, &reply, &error));
    CHECK(strstr(error.msg, "the header is too old. Rebuild with the library's epoque.h.") != NULL);
    options.abi_version = EPQ_ABI_VERSION;
    options.incompat = UINT64_C(1) << 63;
    EXPECT(f_init, EPQ_ABI, 0, epq_init(&options, &reply, &error));
    CHECK(strstr(error.msg, "needs features 0x8000000000000000, which are not here.") != NULL);
    options.incompat = 0;
    options.abi_version = EPQ_ABI_VERSION / 1000 * 1000; /* an older minor version of the same major one */
    EXPECT(f_init, EPQ_OK, 0, epq_init(&options, NULL, &error));
    CHECK(reply.features == 4711);

    memset(&larger, 0, sizeof larger);
    larger.options.size = sizeof larger;
    larger.options.abi_version = EPQ_ABI_VERSION;
    memset(&larger_reply, 0xff, sizeof larger_reply);
    larger_reply.reply.size = sizeof larger_reply;
    EXPECT(f_init, EPQ_OK, 0, epq_init(&larger.options, &larger_reply.reply, &error));
    CHECK(larger_reply.newer == 0 && larger_reply.reply.size == sizeof larger_reply);
    larger.newer = 1;
    EXPECT(f_init, EPQ_ABI, 0, epq_init(&larger.options, NULL, &error));

    for (status = first_status; status <= last_status; ++status) {
        CHECK(epq_strerror(status) != NULL && strlen(epq_strerror(status)) >= 4);
    }
    CHECK(epq_strerror(12345) != NULL && epq_strerror(INT32_MIN) != NULL);
}

/* ---- one kind --------------------------------------------------------------------------------------------------------------- */

static void test_options(const struct kind* k) {
    struct {
        epq_options options;
        uint64_t newer;
    } larger;
    epq_options options = good_options(k);
    uint64_t out = 4242;
    const enum function f = of(k, f_create);

    EXPECT(f, EPQ_ARG, 0, k->create(NULL, &out, &error));
    EXPECT(f, EPQ_ARG, 0, k->create(&options, NULL, &error));
    options.size = offsetof(epq_options, capacity) - 1; /* less than version 1.0 had */
    EXPECT(f, EPQ_ARG, 0, k->create(&options, &out, &error));
    options.size = UINT32_MAX;
    EXPECT(f, EPQ_ARG, 0, k->create(&options, &out, &error));
    options = good_options(k);
    options.element_size = 0;
    EXPECT(f, EPQ_ARG, 0, k->create(&options, &out, &error));
    options.element_size = EPQ_MAX_ELEMENT_SIZE + 1;
    EXPECT(f, EPQ_ARG, 0, k->create(&options, &out, &error));
    options = good_options(k);
    options.flags = 1;
    EXPECT(f, EPQ_ARG, 0, k->create(&options, &out, &error));
    options = good_options(k);
    options.reserved = 1;
    EXPECT(f, EPQ_ARG, 0, k->create(&options, &out, &error));
    options = good_options(k);
    options.capacity = k->capacity == 0 ? 1 : 0;
    EXPECT(f, EPQ_ARG, 0, k->create(&options, &out, &error));
    options.capacity = EPQ_MAX_CAPACITY + 1;
    EXPECT(f, EPQ_ARG, 0, k->create(&options, &out, &error));
    options = good_options(k);
    memset(options.name, 'x', sizeof options.name);
    EXPECT(f, EPQ_ARG, 0, k->create(&options, &out, &error));
    larger.options = good_options(k);
    larger.options.size = sizeof larger;
    larger.newer = 7;
    EXPECT(f, EPQ_ABI, 0, k->create(&larger.options, &out, &error));
    CHECK(out == 4242);
    larger.newer = 0;
    EXPECT(f, EPQ_OK, 0, k->create(&larger.options, &out, &error));
    EXPECT(of(k, f_destroy), EPQ_OK, 0, k->destroy(out, NULL));

    /* The limits, and a name that is as long as can be. */
    options = good_options(k);
    options.element_size = EPQ_MAX_ELEMENT_SIZE;
    memset(options.name, 'x', sizeof options.name - 1);
    EXPECT(f, EPQ_OK, 0, k->create(&options, &out, &error));
    EXPECT(of(k, f_try_send), EPQ_TYPE, out, k->try_send(out, &out, EPQ_MAX_ELEMENT_SIZE - 1, &error));
    EXPECT(of(k, f_destroy), EPQ_OK, 0, k->destroy(out, NULL));
}

/* What a header of version 1.0 has, and every size up to ours: works, and nothing beyond the size is read or written. */
static void test_older_structs(const struct kind* k) {
    enum { first_options = offsetof(epq_options, capacity), first_stats = offsetof(epq_stats, capacity) };
    epq_options options = good_options(k);
    epq_stats stats;
    uint32_t size;
    uint64_t out = 4242;
    for (size = first_options; size < sizeof options; ++size) {
        options = good_options(k);
        options.size = size;
        options.capacity = UINT64_MAX; /* what happens to lie behind an older caller's struct */
        if (k->capacity == 0) {
            EXPECT(of(k, f_create), EPQ_OK, 0, k->create(&options, &out, &error));
            EXPECT(of(k, f_destroy), EPQ_OK, out, k->destroy(out, &error));
        } else {
            EXPECT(of(k, f_create), EPQ_ARG, 0, k->create(&options, &out, &error));
            CHECK(strstr(error.msg, "capacity is 0.") != NULL);
        }
    }
    out = make(k);
    for (size = first_stats; size < sizeof stats; ++size) {
        memset(&stats, 0x5a, sizeof stats);
        stats.size = size;
        EXPECT(of(k, f_stats), EPQ_OK, out, k->stats(out, &stats, &error));
        CHECK(stats.size == size && stats.element_size == 8 && stats.capacity == UINT64_C(0x5a5a5a5a5a5a5a5a));
    }
    stats.size = first_stats - 1;
    stats.sends = 4242;
    EXPECT(of(k, f_stats), EPQ_ARG, out, k->stats(out, &stats, &error));
    CHECK(stats.sends == 4242);
    EXPECT(of(k, f_destroy), EPQ_OK, out, k->destroy(out, &error));
}

static void test_flow(const struct kind* k) {
    const uint64_t in[3] = {11, 12, 13};
    const uint64_t handle = make(k);
    uint64_t out[4] = {0, 0, 0, 4242};
    uint64_t element = 5;
    size_t count = 4242;

    EXPECT(of(k, f_try_recv), EPQ_EMPTY, handle, k->try_recv(handle, &element, sizeof element, &error));
    EXPECT(of(k, f_recv_n), EPQ_EMPTY, handle, k->recv_n(handle, out, sizeof *out, 4, &count, 0, &error));
    EXPECT(of(k, f_recv_n), EPQ_TIMEOUT, handle, k->recv_n(handle, out, sizeof *out, 4, &count, 1000000, &error));
    CHECK(element == 5 && count == 4242);

    EXPECT(of(k, f_try_send), EPQ_OK, handle, k->try_send(handle, &element, sizeof element, &error));
    EXPECT(of(k, f_try_recv), EPQ_OK, handle, k->try_recv(handle, &out[0], sizeof element, &error));
    CHECK(out[0] == 5);
    EXPECT(of(k, f_send_n), EPQ_OK, handle, k->send_n(handle, in, sizeof *in, 3, &count, &error));
    CHECK(count == 3);
    EXPECT(of(k, f_recv_n), EPQ_OK, handle, k->recv_n(handle, out, sizeof *out, 4, &count, -1, &error));
    CHECK(count == 3 && out[1] == 12 && out[3] == 4242);
    CHECK(k->is_fifo ? out[0] == 11 && out[2] == 13 : out[0] == 13 && out[2] == 11);
    EXPECT(of(k, f_send_n), EPQ_OK, handle, k->send_n(handle, NULL, sizeof *in, 0, &count, NULL));
    CHECK(count == 0);

    /* Wrong sizes, counts, pointers. */
    count = 4242;
    EXPECT(of(k, f_try_send), EPQ_TYPE, handle, k->try_send(handle, &element, 4, &error));
    EXPECT(of(k, f_try_recv), EPQ_TYPE, handle, k->try_recv(handle, &element, 0, &error));
    EXPECT(of(k, f_send_n), EPQ_TYPE, handle, k->send_n(handle, in, 16, 1, &count, &error));
    EXPECT(of(k, f_recv_n), EPQ_TYPE, handle, k->recv_n(handle, out, 1, 4, &count, 0, &error));
    EXPECT(of(k, f_recv_n), EPQ_TYPE, handle, k->recv_n(handle, out, 0, 4, &count, -1, &error));
    EXPECT(of(k, f_try_send), EPQ_ARG, handle, k->try_send(handle, NULL, sizeof element, &error));
    EXPECT(of(k, f_try_recv), EPQ_ARG, handle, k->try_recv(handle, NULL, sizeof element, &error));
    EXPECT(of(k, f_send_n), EPQ_ARG, handle, k->send_n(handle, NULL, sizeof *in, 3, &count, &error));
    EXPECT(of(k, f_send_n), EPQ_ARG, handle, k->send_n(handle, in, sizeof *in, 3, NULL, &error));
    EXPECT(of(k, f_send_n), EPQ_ARG, handle, k->send_n(handle, in, sizeof *in, SIZE_MAX / 8, &count, &error));
    EXPECT(of(k, f_recv_n), EPQ_ARG, handle, k->recv_n(handle, NULL, sizeof *out, 3, &count, -1, &error));
    EXPECT(of(k, f_recv_n), EPQ_ARG, handle, k->recv_n(handle, out, sizeof *out, 3, NULL, -1, &error));
    EXPECT(of(k, f_recv_n), EPQ_ARG, handle, k->recv_n(handle, out, sizeof *out, 0, &count, -1, &error));
    EXPECT(of(k, f_recv_n), EPQ_ARG, handle, k->recv_n(handle, out, sizeof *out, SIZE_MAX / 8, &count, -1, &error));
    CHECK(count == 4242 && element == 5);

    /* Closed: drains, then says so; twice is fine. */
    EXPECT(of(k, f_try_send), EPQ_OK, handle, k->try_send(handle, &element, sizeof element, NULL));
    EXPECT(of(k, f_close), EPQ_OK, handle, k->close(handle, &error));
    EXPECT(of(k, f_close), EPQ_OK, handle, k->close(handle, NULL));
    EXPECT(of(k, f_try_send), EPQ_CLOSED, handle, k->try_send(handle, &element, sizeof element, &error));
    EXPECT(of(k, f_send_n), EPQ_CLOSED, handle, k->send_n(handle, in, sizeof *in, 3, &count, &error));
    EXPECT(of(k, f_recv_n), EPQ_OK, handle, k->recv_n(handle, out, sizeof *out, 4, &count, INT64_MAX, &error));
    CHECK(count == 1 && out[0] == 5);
    count = 4242;
    EXPECT(of(k, f_try_recv), EPQ_CLOSED, handle, k->try_recv(handle, out, sizeof *out, &error));
    EXPECT(of(k, f_recv_n), EPQ_CLOSED, handle, k->recv_n(handle, out, sizeof *out, 4, &count, INT64_MIN, &error));
    CHECK(count == 4242);
    EXPECT(of(k, f_destroy), EPQ_OK, handle, k->destroy(handle, &error));
}

static void test_stats(const struct kind* k) {
    struct {
        epq_stats stats;
        uint64_t newer;
    } larger;
    const uint64_t in[3] = {1, 2, 3};
    const uint64_t handle = make(k);
    uint64_t element;
    size_t count;
    epq_stats stats;

    memset(&stats, 0x5a, sizeof stats);
    stats.size = sizeof stats;
    (void)k->send_n(handle, in, sizeof *in, 3, &count, NULL);
    (void)k->try_recv(handle, &element, sizeof element, NULL);
    EXPECT(of(k, f_stats), EPQ_OK, handle, k->stats(handle, &stats, &error));
    CHECK(stats.size == sizeof stats && stats.element_size == 8 && stats.type_id == 99 && stats.reserved == 0);
    CHECK(stats.sends == 3 && stats.receives == 1 && stats.length == 2 && stats.waiters == 0 && stats.closed == 0);
    CHECK(strcmp(stats.name, "orders") == 0);
    (void)k->watch(handle, NULL);
    (void)k->close(handle, NULL);
    EXPECT(of(k, f_stats), EPQ_OK, handle, k->stats(handle, &stats, &error));
    CHECK(stats.closed == 1 && stats.waiters == 0 && stats.capacity == k->capacity);
    memset(&larger, 0xff, sizeof larger);
    larger.stats.size = sizeof larger;
    EXPECT(of(k, f_stats), EPQ_OK, handle, k->stats(handle, &larger.stats, &error));
    CHECK(larger.newer == 0);
    EXPECT(of(k, f_stats), EPQ_ARG, handle, k->stats(handle, NULL, &error));
    stats.size = 8;
    stats.sends = 4242;
    EXPECT(of(k, f_stats), EPQ_ARG, handle, k->stats(handle, &stats, &error));
    CHECK(stats.sends == 4242);
    EXPECT(of(k, f_destroy), EPQ_OK, handle, k->destroy(handle, NULL));
}

/* Every function of `k` on a handle that must answer `wanted`. */
static void all_refuse(const struct kind* k, uint64_t handle, epq_status wanted) {
    uint64_t element = 4242;
    size_t count = 4242;
    epq_stats stats;
    memset(&stats, 0, sizeof stats);
    stats.size = sizeof stats;
    EXPECT(of(k, f_close), wanted, handle, k->close(handle, &error));
    EXPECT(of(k, f_destroy), wanted, handle, k->destroy(handle, &error));
    EXPECT(of(k, f_try_send), wanted, handle, k->try_send(handle, &element, sizeof element, &error));
    EXPECT(of(k, f_try_recv), wanted, handle, k->try_recv(handle, &element, sizeof element, &error));
    EXPECT(of(k, f_send_n), wanted, handle, k->send_n(handle, &element, sizeof element, 1, &count, &error));
    EXPECT(of(k, f_recv_n), wanted, handle, k->recv_n(handle, &element, sizeof element, 1, &count, -1, &error));
    EXPECT(of(k, f_stats), wanted, handle, k->stats(handle, &stats, &error));
    EXPECT(of(k, f_watch), wanted, handle, k->watch(handle, &error));
    if (wanted == EPQ_STALE) {
        uint64_t out = 4242;
        EXPECT(f_dup, wanted, handle, epq_dup(handle, EPQ_RIGHT_ALL, &out, &error));
        EXPECT(f_revoke, wanted, handle, epq_revoke(handle, &error));
        CHECK(out == 4242);
    }
    CHECK(element == 4242 && count == 4242 && stats.element_size == 0);
}

static void test_handles(const struct kind* k, const struct kind* other) {
    const uint64_t live = make(k);
    const uint64_t gone = make(k);
    const uint64_t foreign = make(other);
    const uint64_t mask = UINT64_C(0xffffffff);
    EXPECT(of(k, f_destroy), EPQ_OK, gone, k->destroy(gone, &error));
    all_refuse(k, foreign, EPQ_KIND);
    CHECK(error.action == EPQ_ACTION_ESCALATE);
    all_refuse(k, gone, EPQ_STALE);
    CHECK(error.action == EPQ_ACTION_RELEASE);
    all_refuse(k, 0, EPQ_STALE);
    all_refuse(k, UINT64_MAX, EPQ_STALE);
    all_refuse(k, live + 2, EPQ_STALE);                                     /* a later generation */
    all_refuse(k, live - 2, EPQ_STALE);                                     /* an earlier one */
    all_refuse(k, live - 1, EPQ_STALE);                                     /* an even one */
    all_refuse(k, live ^ (UINT64_C(0x80) << 56), EPQ_STALE);                /* a kind that is none */
    all_refuse(k, (live & ~(mask << 32)) | other->number << 56, EPQ_STALE); /* another kind than its slot's */
    all_refuse(k, live | UINT64_C(0xffffff) << 32, EPQ_STALE);              /* an index out of range */
    all_refuse(k, (live & mask) | k->number << 56 | UINT64_C(0x7fffff) << 32, EPQ_STALE);
    EXPECT(of(other, f_destroy), EPQ_OK, foreign, other->destroy(foreign, &error));
    EXPECT(of(k, f_destroy), EPQ_OK, live, k->destroy(live, &error));
}

/* A handle for each set of rights: what it has no right to is refused, and what is refused has not happened. */
static void test_rights(const struct kind* k) {
    const uint64_t all = make(k);
    uint64_t element = 4242;
    uint64_t out = 4242;
    uint64_t some;
    size_t count = 4242;
    uint32_t rights;
    epq_stats stats;
    memset(&stats, 0, sizeof stats);
    stats.size = sizeof stats;
    EXPECT(f_dup, EPQ_ARG, all, epq_dup(all, 0, &out, &error));
    EXPECT(f_dup, EPQ_ARG, all, epq_dup(all, EPQ_RIGHT_ALL + 1, &out, &error));
    EXPECT(f_dup, EPQ_ARG, all, epq_dup(all, EPQ_RIGHT_ALL, NULL, &error));
    CHECK(out == 4242);
    for (rights = 1; rights <= EPQ_RIGHT_ALL; ++rights) {
        EXPECT(f_dup, EPQ_OK, all, epq_dup(all, rights, &some, &error));
        CHECK(some != all && some >> 56 == k->number);
        if ((rights & EPQ_RIGHT_SEND) == 0) {
            EXPECT(of(k, f_try_send), EPQ_RIGHTS, some, k->try_send(some, &element, sizeof element, &error));
            CHECK(strstr(error.msg, "has no right to send.") != NULL && error.action == EPQ_ACTION_ESCALATE);
            EXPECT(of(k, f_send_n), EPQ_RIGHTS, some, k->send_n(some, &element, sizeof element, 1, &count, &error));
        }
        if ((rights & EPQ_RIGHT_RECEIVE) == 0) {
            EXPECT(of(k, f_try_recv), EPQ_RIGHTS, some, k->try_recv(some, &element, sizeof element, &error));
            CHECK(strstr(error.msg, "has no right to receive.") != NULL);
            EXPECT(of(k, f_recv_n), EPQ_RIGHTS, some, k->recv_n(some, &element, sizeof element, 1, &count, -1, &error));
        }
        if ((rights & EPQ_RIGHT_CLOSE) == 0) {
            EXPECT(of(k, f_close), EPQ_RIGHTS, some, k->close(some, &error));
            CHECK(strstr(error.msg, "has no right to close.") != NULL);
        }
        if ((rights & EPQ_RIGHT_OBSERVE) == 0) {
            EXPECT(of(k, f_stats), EPQ_RIGHTS, some, k->stats(some, &stats, &error));
            CHECK(strstr(error.msg, "has no right to observe.") != NULL);
            EXPECT(of(k, f_watch), EPQ_RIGHTS, some, k->watch(some, &error));
        }
        if ((rights & EPQ_RIGHT_DESTROY) == 0) {
            EXPECT(of(k, f_destroy), EPQ_RIGHTS, some, k->destroy(some, &error));
            CHECK(strstr(error.msg, "has no right to destroy.") != NULL);
        }
        if (rights != EPQ_RIGHT_ALL) {
            EXPECT(f_dup, EPQ_RIGHTS, some, epq_dup(some, EPQ_RIGHT_ALL, &out, &error));
        }
        EXPECT(f_revoke, EPQ_OK, some, epq_revoke(some, &error));
        EXPECT(f_revoke, EPQ_STALE, some, epq_revoke(some, &error));
    }
    CHECK(element == 4242 && out == 4242 && count == 4242 && stats.element_size == 0);
    EXPECT(f_dup, EPQ_OK, all, epq_dup(all, EPQ_RIGHT_ALL, &some, &error));
    EXPECT(of(k, f_watch), EPQ_OK, all, k->watch(all, &error));
    EXPECT(of(k, f_watch), EPQ_RIGHTS, some, k->watch(some, &error)); /* an object is watched by one handle */
    EXPECT(f_revoke, EPQ_OK, all, epq_revoke(all, &error));
    EXPECT(of(k, f_try_send), EPQ_OK, some, k->try_send(some, &element, sizeof element, &error));
    EXPECT(of(k, f_destroy), EPQ_OK, some, k->destroy(some, &error));
    all_refuse(k, all, EPQ_STALE);
}

/* An error struct whose size nobody set: nothing is done, nothing is written. */
static void test_bad_error(const struct kind* k) {
    static const uint32_t sizes[3] = {0, sizeof(epq_error) - 1, UINT32_MAX};
    const uint64_t handle = make(k);
    const epq_options options = good_options(k);
    uint64_t element = 1;
    size_t count;
    epq_stats stats;
    uint64_t out;
    int i;
    stats.size = sizeof stats;
#define EXPECT_ARG(f, call)                                                                                            \
    do {                                                                                                               \
        fresh_error();                                                                                                 \
        error.size = sizes[i];                                                                                         \
        expect(__LINE__, (f), EPQ_ARG, (call), handle, #call);                                                         \
        CHECK(error.code == 0x5a5a5a5a);                                                                               \
    } while (0)
    for (i = 0; i < 3; ++i) {
        EXPECT_ARG(of(k, f_create), k->create(&options, &out, &error));
        EXPECT_ARG(of(k, f_close), k->close(handle, &error));
        EXPECT_ARG(of(k, f_destroy), k->destroy(handle, &error));
        EXPECT_ARG(of(k, f_try_send), k->try_send(handle, &element, sizeof element, &error));
        EXPECT_ARG(of(k, f_try_recv), k->try_recv(handle, &element, sizeof element, &error));
        EXPECT_ARG(of(k, f_send_n), k->send_n(handle, &element, sizeof element, 1, &count, &error));
        EXPECT_ARG(of(k, f_recv_n), k->recv_n(handle, &element, sizeof element, 1, &count, 0, &error));
        EXPECT_ARG(of(k, f_stats), k->stats(handle, &stats, &error));
        EXPECT_ARG(of(k, f_watch), k->watch(handle, &error));
        EXPECT_ARG(f_domain_barrier, epq_domain_barrier(&error));
        EXPECT_ARG(f_dup, epq_dup(handle, EPQ_RIGHT_ALL, &out, &error));
        EXPECT_ARG(f_revoke, epq_revoke(handle, &error));
        EXPECT_ARG(f_list, epq_list(&out, NULL, 1, &count, &error));
        EXPECT_ARG(f_shutdown, epq_shutdown(0, 0, NULL, &error));
    }
#undef EXPECT_ARG
    EXPECT(of(k, f_try_send), EPQ_OK, handle, k->try_send(handle, &element, sizeof element, &error)); /* still open */
    EXPECT(of(k, f_destroy), EPQ_OK, handle, k->destroy(handle, &error));
}

/* No memory in the middle of the flow: nothing is lost, and what is there can be received. */
static void test_no_memory(const struct kind* k) {
    enum { most = 300000 };
    static uint64_t many[most];
    const epq_options options = good_options(k);
    const uint64_t handle = make(k);
    uint64_t out = 4242;
    uint64_t sum = 0;
    uint64_t wanted = 0;
    size_t sent = 0;
    size_t count = 4242;
    epq_status status;
    size_t i;
    for (i = 0; i < most; ++i) {
        many[i] = i + 1;
    }
    no_memory = 1;
    EXPECT(of(k, f_create), EPQ_NOMEM, 0, k->create(&options, &out, &error));
    CHECK(out == 4242 && error.action == EPQ_ACTION_RETRY);
    fresh_error();
    status = k->send_n(handle, many, sizeof *many, most, &count, &error);
    if (k->number == EPQ_KIND_QUEUE) {
        expect(__LINE__, of(k, f_send_n), EPQ_PARTIAL, status, handle, "send_n of many");
        CHECK(count > 0 && count < most);
        sent = count;
    } else {
        expect(__LINE__, of(k, f_send_n), EPQ_NOMEM, status, handle, "send_n of many"); /* all or nothing */
        CHECK(count == 4242);
    }
    for (;;) { /* what the pool still has */
        fresh_error();
        status = k->try_send(handle, &many[sent], sizeof *many, &error);
        if (status != EPQ_OK) {
            break;
        }
        ++sent;
    }
    expect(__LINE__, of(k, f_try_send), EPQ_NOMEM, status, handle, "try_send");
    count = 4242;
    EXPECT(of(k, f_send_n), EPQ_NOMEM, handle, k->send_n(handle, many, sizeof *many, 1, &count, &error));
    CHECK(count == 4242);
    no_memory = 0;
    while (k->try_recv(handle, &out, sizeof out, NULL) == EPQ_OK) {
        sum += out;
    }
    for (i = 0; i < sent; ++i) {
        wanted += many[i];
    }
    CHECK(sum == wanted);
    EXPECT(of(k, f_try_send), EPQ_OK, handle, k->try_send(handle, &out, sizeof out, &error));
    EXPECT(of(k, f_destroy), EPQ_OK, handle, k->destroy(handle, &error));
}

/* A bounded kind to its limit, and no memory in a create. */
static void test_full(const struct kind* k) {
    epq_options options = good_options(k);
    const uint64_t in[5] = {1, 2, 3, 4, 5};
    uint64_t out[5] = {0, 0, 0, 0, 0};
    uint64_t handle = 4242;
    size_t count = 4242;
    no_memory = 1;
    EXPECT(of(k, f_create), EPQ_NOMEM, 0, k->create(&options, &handle, &error));
    no_memory = 0;
    CHECK(handle == 4242);
    options.capacity = 4;
    EXPECT(of(k, f_create), EPQ_OK, 0, k->create(&options, &handle, &error));
    EXPECT(of(k, f_send_n), EPQ_PARTIAL, handle, k->send_n(handle, in, sizeof *in, 5, &count, &error));
    CHECK(count == 4);
    count = 4242;
    EXPECT(of(k, f_try_send), EPQ_FULL, handle, k->try_send(handle, in, sizeof *in, &error));
    EXPECT(of(k, f_send_n), EPQ_FULL, handle, k->send_n(handle, in, sizeof *in, 5, &count, &error));
    CHECK(count == 4242);
    EXPECT(of(k, f_send_n), EPQ_OK, handle, k->send_n(handle, in, sizeof *in, 0, &count, &error));
    CHECK(count == 0);
    EXPECT(of(k, f_try_recv), EPQ_OK, handle, k->try_recv(handle, out, sizeof *out, &error));
    EXPECT(of(k, f_try_send), EPQ_OK, handle, k->try_send(handle, &in[4], sizeof *in, &error));
    EXPECT(of(k, f_close), EPQ_OK, handle, k->close(handle, &error)); /* of a full one: drains as it should */
    EXPECT(of(k, f_try_send), EPQ_CLOSED, handle, k->try_send(handle, in, sizeof *in, &error));
    EXPECT(of(k, f_recv_n), EPQ_OK, handle, k->recv_n(handle, &out[1], sizeof *out, 4, &count, -1, &error));
    CHECK(count == 4 && memcmp(in, out, sizeof in) == 0);
    EXPECT(of(k, f_try_recv), EPQ_CLOSED, handle, k->try_recv(handle, out, sizeof *out, &error));
    EXPECT(of(k, f_destroy), EPQ_OK, handle, k->destroy(handle, &error));
}

/* A thread's life with every function in it, in which the allocation number `fail_at` fails. Whatever a call says was
 * sent is received once, in order; whatever failed changed nothing and succeeds when it is repeated. */
struct scenario {
    const struct kind* kind;
    long fail_at;
    int failed; /* out: how many calls said NOMEM or PARTIAL */
};

struct large {
    uint64_t number;
    unsigned char rest[248]; /* so that a segment of the queue has few cells */
};

static epq_status note(struct scenario* s, epq_status status, epq_status wanted, enum function f) {
    if (status == EPQ_NOMEM) {
        ++s->failed;
    } else {
        expect(__LINE__, of(s->kind, f), wanted, status, error.handle, "a call of the scenario");
    }
    return status;
}

static void* run_scenario(void* argument) {
    enum { batch = 60, rounds = 5, all = batch * rounds };
    static struct large in[batch];
    static struct large out[all + 1];
    struct scenario* s = argument;
    const struct kind* k = s->kind;
    const size_t size = sizeof(struct large);
    epq_options options = good_options(k);
    uint64_t handle = 0;
    uint64_t next = 0; /* the first that was not sent */
    size_t received = 0;
    size_t i;
#define DO(f, wanted, call)                                                                                            \
    do {                                                                                                               \
        fresh_error();                                                                                                 \
    } while (note(s, (call), (wanted), (f)) == EPQ_NOMEM)

    options.element_size = (uint32_t)size;
    allocations_left = s->fail_at;
    DO(f_create, EPQ_OK, k->create(&options, &handle, &error));
    while (next < all) {
        const size_t count = batch - next % batch;
        size_t sent = 0;
        epq_status status;
        for (i = 0; i < count; ++i) {
            in[i].number = next + i;
        }
        fresh_error();
        status = k->send_n(handle, in, size, count, &sent, &error);
        CHECK(status == EPQ_OK || status == EPQ_PARTIAL || status == EPQ_NOMEM);
        CHECK((status == EPQ_OK) == (sent == count) && (status == EPQ_NOMEM) == (sent == 0));
        s->failed += status != EPQ_OK;
        next += sent;
    }
    in[0].number = next;
    DO(f_try_send, EPQ_OK, k->try_send(handle, in, size, &error));
    DO(f_close, EPQ_OK, k->close(handle, &error));
    for (;;) {
        size_t got = 0;
        const epq_status status = k->recv_n(handle, out + received, size, all + 2, &got, -1, NULL);
        if (status == EPQ_CLOSED) {
            break;
        }
        CHECK(status == EPQ_OK && got > 0 && received + got <= all + 1);
        received += got;
    }
    CHECK(received == all + 1);
    for (i = 0; i < received; ++i) {
        if (out[i].number != (k->is_fifo ? i : all - i)) {
            complain(__LINE__, "an element was lost, doubled or out of order");
            break;
        }
    }
    DO(f_destroy, EPQ_OK, k->destroy(handle, &error));
    allocations_left = -1;
#undef DO
    return NULL;
}

static void test_every_allocation_may_fail(const struct kind* k) {
    struct scenario s;
    uint32_t size;
    long count = 0;
    s.kind = k;
    /* The library pools blocks of up to 32 sizes; when these are used up, every block is an allocation. */
    for (size = 3000; size < 3000 + 40 * 16; size += 16) {
        epq_options options = good_options(k);
        uint64_t handle = 0;
        options.element_size = size;
        EXPECT(of(k, f_create), EPQ_OK, 0, k->create(&options, &handle, &error));
        EXPECT(of(k, f_destroy), EPQ_OK, handle, k->destroy(handle, &error));
    }
    for (s.fail_at = 0;; ++s.fail_at) {
        pthread_t thread;
        s.failed = 0;
        CHECK(pthread_create(&thread, NULL, run_scenario, &s) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
        if (s.failed == 0) {
            break;
        }
        ++count;
    }
    printf("%s to _destroy: each of %ld allocations has failed once, and nothing was lost\n", function_names[k->first],
           count);
    /* A thread's record, the object, its waiting cell, its first block (of a bounded one several), further blocks. */
    CHECK(count > (k->number == EPQ_KIND_SPSC ? 3 : 5));
}

/* ---- notifier ----------------------------------------------------------------------------------------------------------------- */

static void test_no_descriptors(void) {
    struct rlimit before;
    struct rlimit none;
    uint64_t handles[kinds_count];
    int32_t fd = 4242;
    int i;
    for (i = 0; i < kinds_count; ++i) {
        handles[i] = make(&kinds[i]);
    }
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    none = before;
    none.rlim_cur = 0;
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    EXPECT(f_notifier_open, EPQ_SYS, 0, epq_notifier_open(&fd, &error));
    CHECK(error.sys_errno == EMFILE && fd == 4242);
    for (i = 0; i < kinds_count; ++i) {
        EXPECT(of(&kinds[i], f_watch), EPQ_SYS, handles[i], kinds[i].watch(handles[i], &error));
    }
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    for (i = 0; i < kinds_count; ++i) {
        EXPECT(of(&kinds[i], f_destroy), EPQ_OK, handles[i], kinds[i].destroy(handles[i], NULL));
    }
}

static int readable(int32_t fd) {
    uint64_t value;
    const ssize_t got = read(fd, &value, sizeof value);
    return got == (ssize_t)sizeof value;
}

static void test_notifier(const struct kind* k) {
    const uint64_t first = make(k);
    const uint64_t second = make(k);
    const uint64_t third = make(k);
    uint64_t handles[3] = {0, 0, 0};
    uint64_t element = 1;
    size_t taken = 4242;
    uint32_t more = 4242;
    int32_t fd = -1;
    int32_t again = -1;

    EXPECT(f_notifier_open, EPQ_OK, 0, epq_notifier_open(&fd, &error));
    EXPECT(f_notifier_open, EPQ_OK, 0, epq_notifier_open(&again, NULL));
    CHECK(fd >= 0 && fd == again);
    EXPECT(f_notifier_open, EPQ_ARG, 0, epq_notifier_open(NULL, &error));
    EXPECT(f_notifier_take, EPQ_ARG, 0, epq_notifier_take(NULL, 3, &taken, &more, &error));
    EXPECT(f_notifier_take, EPQ_ARG, 0, epq_notifier_take(handles, 0, &taken, &more, &error));
    EXPECT(f_notifier_take, EPQ_ARG, 0, epq_notifier_take(handles, 3, NULL, &more, &error));
    EXPECT(f_notifier_take, EPQ_ARG, 0, epq_notifier_take(handles, 3, &taken, NULL, &error));
    CHECK(taken == 4242 && more == 4242);
    while (taken != 0) { /* what earlier tests have left */
        EXPECT(f_notifier_take, EPQ_OK, 0, epq_notifier_take(handles, 3, &taken, &more, &error));
    }
    CHECK(more == 0);

    (void)readable(fd);
    (void)k->try_send(first, &element, sizeof element, NULL);
    CHECK(!readable(fd)); /* not armed */
    EXPECT(of(k, f_watch), EPQ_OK, first, k->watch(first, &error));
    EXPECT(of(k, f_watch), EPQ_OK, first, k->watch(first, NULL));
    EXPECT(of(k, f_watch), EPQ_OK, second, k->watch(second, &error));
    EXPECT(of(k, f_watch), EPQ_OK, third, k->watch(third, &error));
    CHECK(!readable(fd)); /* armed, and nothing has happened since */
    (void)k->try_send(first, &element, sizeof element, NULL);
    CHECK(readable(fd));
    (void)k->close(second, NULL);
    (void)k->destroy(third, NULL);
    (void)k->try_send(first, &element, sizeof element, NULL); /* disarmed by the first */
    EXPECT(f_notifier_take, EPQ_OK, 0, epq_notifier_take(handles, 2, &taken, &more, &error));
    CHECK(taken == 2 && more == 1 && handles[0] == first && handles[1] == second);
    EXPECT(f_notifier_take, EPQ_OK, 0, epq_notifier_take(handles, 2, &taken, &more, &error));
    CHECK(taken == 1 && more == 0 && handles[0] == third);
    CHECK(readable(fd) && !readable(fd));
    EXPECT(of(k, f_destroy), EPQ_OK, first, k->destroy(first, NULL));
    EXPECT(of(k, f_destroy), EPQ_OK, second, k->destroy(second, NULL));
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int done_taking; /* under the mutex */

static int is_done(void) {
    int done;
    pthread_mutex_lock(&mutex);
    done = done_taking;
    pthread_mutex_unlock(&mutex);
    return done;
}

static void* take_always(void* unused) {
    uint64_t handles[1];
    size_t taken;
    uint32_t more;
    while (!is_done()) {
        int i;
        for (i = 0; i < 1000; ++i) {
            (void)epq_notifier_take(handles, 1, &taken, &more, NULL);
        }
    }
    return unused;
}

static void test_takers_exclude_each_other(void) {
    pthread_t thread;
    uint64_t handles[1];
    size_t taken = 4242;
    uint32_t more = 4242;
    epq_status status = EPQ_OK;
    CHECK(pthread_create(&thread, NULL, take_always, NULL) == 0);
    while (status == EPQ_OK) {
        taken = 4242;
        fresh_error();
        status = epq_notifier_take(handles, 1, &taken, &more, &error);
    }
    expect(__LINE__, f_notifier_take, EPQ_BUSY, status, 0, "epq_notifier_take while another thread is in it");
    CHECK(taken == 4242);
    pthread_mutex_lock(&mutex);
    done_taking = 1;
    pthread_mutex_unlock(&mutex);
    CHECK(pthread_join(thread, NULL) == 0);
}

/* ---- the ends of an spsc ------------------------------------------------------------------------------------------------------ */

enum { crowd = 2000 };
static int done_crowding; /* under the mutex */

struct crowd {
    uint64_t handle;
    unsigned char elements[crowd][1024];
};

/* Is in a send for about half of the time, and in a receive for the other half. */
static void* crowd_both_ends(void* argument) {
    struct crowd* c = argument;
    int done = 0;
    while (!done) {
        size_t count;
        (void)epq_spsc_send_n(spsc_of(c->handle), c->elements, sizeof c->elements[0], crowd, &count, NULL);
        (void)epq_spsc_recv_n(spsc_of(c->handle), c->elements, sizeof c->elements[0], crowd, &count, 0, NULL);
        pthread_mutex_lock(&mutex);
        done = done_crowding;
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static void test_ends_of_spsc(void) {
    static struct crowd c;
    static unsigned char element[1024];
    const struct kind* k = &kinds[3];
    const size_t size = sizeof element;
    epq_options options = good_options(k);
    pthread_t thread;
    size_t count = 4242;
    epq_status status;
    options.element_size = (uint32_t)size;
    options.capacity = crowd;
    EXPECT(of(k, f_create), EPQ_OK, 0, k->create(&options, &c.handle, &error));
    CHECK(pthread_create(&thread, NULL, crowd_both_ends, &c) == 0);
#define UNTIL_BUSY(f, call)                                                                                            \
    do {                                                                                                               \
        count = 4242;                                                                                                  \
        fresh_error();                                                                                                 \
        status = (call);                                                                                               \
        CHECK(status >= 0);                                                                                            \
    } while (status != EPQ_BUSY);                                                                                      \
    expect(__LINE__, of(k, (f)), EPQ_BUSY, status, 0, #call " while another thread is at this end");                   \
    CHECK(count == 4242)
    UNTIL_BUSY(f_try_send, k->try_send(c.handle, element, size, &error));
    UNTIL_BUSY(f_send_n, k->send_n(c.handle, element, size, 1, &count, &error));
    UNTIL_BUSY(f_try_recv, k->try_recv(c.handle, element, size, &error));
    UNTIL_BUSY(f_recv_n, k->recv_n(c.handle, element, size, 1, &count, 1, &error));
#undef UNTIL_BUSY
    pthread_mutex_lock(&mutex);
    done_crowding = 1;
    pthread_mutex_unlock(&mutex);
    CHECK(pthread_join(thread, NULL) == 0);
    EXPECT(of(k, f_destroy), EPQ_OK, c.handle, k->destroy(c.handle, &error));
}

/* ---- domain --------------------------------------------------------------------------------------------------------------------- */

static void test_domain(void) {
    epq_domain_stats stats;
    uint64_t live;
    uint64_t handle;
    memset(&stats, 0x5a, sizeof stats);
    stats.size = sizeof stats;
    EXPECT(f_domain_get_stats, EPQ_OK, 0, epq_domain_get_stats(&stats, &error));
    CHECK(stats.size == sizeof stats && (int)stats.asymmetric == asymmetric && stats.epoch > 0 && stats.threads >= 1);
    live = stats.live_objects;
    handle = make(&kinds[0]);
    (void)epq_domain_get_stats(&stats, NULL);
    CHECK(stats.live_objects == live + 1);
    (void)queue_destroy(handle, NULL);
    EXPECT(f_domain_barrier, EPQ_OK, 0, epq_domain_barrier(&error));
    (void)epq_domain_get_stats(&stats, NULL);
    CHECK(stats.live_objects == live && stats.pending_objects == 0 && stats.pending_bytes == 0);
    EXPECT(f_domain_get_stats, EPQ_ARG, 0, epq_domain_get_stats(NULL, &error));
    stats.size = 0;
    EXPECT(f_domain_get_stats, EPQ_ARG, 0, epq_domain_get_stats(&stats, &error));
}

/* ---- what there is, and an end in order ------------------------------------------------------------------------------------- */

enum { infos_count = 3 };

/* Whether one of the infos is about this handle. */
static const epq_handle_info* info_of(const epq_handle_info* infos, size_t count, uint64_t handle) {
    size_t i;
    for (i = 0; i < count; ++i) {
        if (infos[i].handle == handle) {
            return &infos[i];
        }
    }
    return NULL;
}

static void test_list(void) {
    struct {
        epq_handle_info info;
        uint64_t newer;
    } larger[2];
    const struct kind* k = &kinds[0];
    const uint64_t all = make(k);
    const uint64_t stack = make(&kinds[1]);
    epq_handle_info infos[infos_count];
    const epq_handle_info* found;
    uint64_t element = 1;
    uint64_t dup = 0;
    uint64_t cursor = 0;
    size_t seen[3] = {0, 0, 0};
    size_t listed = 4242;
    int i;

    (void)k->try_send(all, &element, sizeof element, NULL);
    EXPECT(f_dup, EPQ_OK, all, epq_dup(all, EPQ_RIGHT_SEND | EPQ_RIGHT_OBSERVE, &dup, &error));
    (void)kinds[1].close(stack, NULL);
    memset(infos, 0x5a, sizeof infos);
    infos[0].size = sizeof *infos;
    do { /* in parts of two; the third one stays as it is */
        EXPECT(f_list, EPQ_OK, 0, epq_list(&cursor, infos, 2, &listed, &error));
        CHECK(listed <= 2);
        if ((found = info_of(infos, listed, all)) != NULL) {
            ++seen[0];
            CHECK(found->kind == EPQ_KIND_QUEUE && found->rights == EPQ_RIGHT_ALL && found->closed == 0);
            CHECK(found->length == 1 && strcmp(found->name, "orders") == 0);
            CHECK(found->creator == (uint64_t)syscall(SYS_gettid) && found->age_ns < UINT64_C(3600000000000));
        }
        if ((found = info_of(infos, listed, dup)) != NULL) {
            ++seen[1];
            CHECK(found->rights == (EPQ_RIGHT_SEND | EPQ_RIGHT_OBSERVE) && found->length == 1);
        }
        if ((found = info_of(infos, listed, stack)) != NULL) {
            ++seen[2];
            CHECK(found->kind == EPQ_KIND_STACK && found->closed == 1 && found->length == 0);
        }
    } while (cursor != 0);
    CHECK(seen[0] == 1 && seen[1] == 1 && seen[2] == 1);
    CHECK(infos[2].size == 0x5a5a5a5au);
    memset(larger, 0xff, sizeof larger); /* of a newer header */
    larger[0].info.size = sizeof larger[0];
    EXPECT(f_list, EPQ_OK, 0, epq_list(&cursor, &larger[0].info, 2, &listed, &error));
    CHECK(listed == 2 && larger[1].info.size == sizeof larger[1] && larger[1].newer == 0 && larger[1].info.kind != 0);
    cursor = UINT64_MAX;
    EXPECT(f_list, EPQ_OK, 0, epq_list(&cursor, infos, 2, &listed, &error));
    CHECK(cursor == 0 && listed == 0);

    listed = 4242;
    EXPECT(f_list, EPQ_ARG, 0, epq_list(NULL, infos, 2, &listed, &error));
    EXPECT(f_list, EPQ_ARG, 0, epq_list(&cursor, NULL, 2, &listed, &error));
    EXPECT(f_list, EPQ_ARG, 0, epq_list(&cursor, infos, 2, NULL, &error));
    EXPECT(f_list, EPQ_ARG, 0, epq_list(&cursor, infos, 0, &listed, &error));
    EXPECT(f_list, EPQ_ARG, 0, epq_list(&cursor, infos, SIZE_MAX / 8, &listed, &error));
    for (i = 0; i < 3; ++i) {
        static const uint32_t sizes[3] = {sizeof *infos - 8, sizeof *infos + 4, 5000};
        infos[0].size = sizes[i];
        EXPECT(f_list, EPQ_ARG, 0, epq_list(&cursor, infos, 2, &listed, &error));
    }
    CHECK(listed == 4242);
    EXPECT(f_destroy, EPQ_OK, all, k->destroy(all, NULL));
    EXPECT(of(&kinds[1], f_destroy), EPQ_OK, stack, kinds[1].destroy(stack, NULL));
}

/* Drains until it is told that nothing comes any more, then ends its object. */
static void* drain_and_destroy(void* argument) {
    const uint64_t handle = *(const uint64_t*)argument;
    uint64_t element;
    size_t count;
    while (queue_recv_n(handle, &element, sizeof element, 1, &count, -1, NULL) == EPQ_OK) {
    }
    (void)queue_destroy(handle, NULL);
    return NULL;
}

static void test_shutdown(void) {
    const struct kind* k = &kinds[0];
    epq_handle_info infos[infos_count];
    epq_shutdown_report report;
    uint64_t handle = make(k);
    uint64_t element = 1;
    uint64_t dup = 0;
    pthread_t thread;

    memset(&report, 0, sizeof report);
    report.size = sizeof report;
    EXPECT(f_shutdown, EPQ_ARG, 0, epq_shutdown(0, 2, &report, &error));
    report.capacity = 1;
    EXPECT(f_shutdown, EPQ_ARG, 0, epq_shutdown(0, 0, &report, &error));
    report.infos = infos;
    infos[0].size = 8;
    EXPECT(f_shutdown, EPQ_ARG, 0, epq_shutdown(0, 0, &report, &error));
    report.capacity = 0;
    report.reserved = 1;
    EXPECT(f_shutdown, EPQ_ARG, 0, epq_shutdown(0, 0, &report, &error));
    report.reserved = 0;
    report.size = 8;
    EXPECT(f_shutdown, EPQ_ARG, 0, epq_shutdown(0, 0, &report, &error));
    EXPECT(of(k, f_try_send), EPQ_OK, handle,
           k->try_send(handle, &element, sizeof element, &error)); /* not closed yet */

    /* Held by nobody who would end it. */
    EXPECT(f_dup, EPQ_OK, handle, epq_dup(handle, EPQ_RIGHT_SEND, &dup, &error));
    report.size = sizeof report;
    report.capacity = infos_count;
    infos[0].size = sizeof *infos;
    EXPECT(f_shutdown, EPQ_TIMEOUT, 0, epq_shutdown(2000000, 0, &report, &error));
    CHECK(report.held == 2 && report.listed == 2 && report.destroyed == 0 && report.infos == infos);
    CHECK(info_of(infos, 2, handle) != NULL && info_of(infos, 2, dup) != NULL && infos[0].closed == 1);
    CHECK(strcmp(infos[0].name, "orders") == 0 && infos[0].age_ns >= 2000000);
    EXPECT(of(k, f_try_send), EPQ_CLOSED, dup, k->try_send(dup, &element, sizeof element, &error));
    EXPECT(of(k, f_try_recv), EPQ_OK, handle, k->try_recv(handle, &element, sizeof element, &error));
    EXPECT(f_shutdown, EPQ_TIMEOUT, 0, epq_shutdown(0, 0, NULL, &error));

    /* Destroyed in the end, and told what it was. */
    EXPECT(f_shutdown, EPQ_OK, 0, epq_shutdown(1000, EPQ_SHUTDOWN_DESTROY, &report, &error));
    CHECK(report.held == 2 && report.listed == 2 && report.destroyed == 1 && report.pending_objects == 0);
    EXPECT(of(k, f_destroy), EPQ_STALE, handle, k->destroy(handle, &error));
    EXPECT(f_shutdown, EPQ_OK, 0, epq_shutdown(-1, EPQ_SHUTDOWN_DESTROY, &report, &error)); /* again: nothing to do */
    CHECK(report.held == 0 && report.listed == 0 && report.destroyed == 0);

    /* Ended by its holder. What is created after a shutdown works. */
    handle = make(k);
    EXPECT(of(k, f_try_send), EPQ_OK, handle, k->try_send(handle, &element, sizeof element, &error));
    CHECK(pthread_create(&thread, NULL, drain_and_destroy, &handle) == 0);
    EXPECT(f_shutdown, EPQ_OK, 0, epq_shutdown(-1, 0, &report, &error));
    CHECK(report.held == 0 && report.destroyed == 0 && report.pending_objects == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

/* The last one: from here on this thread's kernel refuses membarrier, as a sandbox that closes after start-up may. */
static void* test_refused_barriers(void* unused) {
    struct sock_filter refuse[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof refuse / sizeof *refuse, refuse};
    uint64_t made[kinds_count];
    int i;
    for (i = 0; i < kinds_count; ++i) {
        made[i] = make(&kinds[i]);
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        printf("no seccomp here: how it goes on when the kernel begins to refuse membarrier was not tried\n");
        return unused;
    }
    for (i = 0; i < kinds_count; ++i) {
        const struct kind* k = &kinds[i];
        const uint64_t handle = made[i];
        uint64_t element = 1;
        size_t count;
        EXPECT(of(k, f_watch), asymmetric ? EPQ_SYS : EPQ_OK, handle, k->watch(handle, &error));
        EXPECT(of(k, f_recv_n), EPQ_TIMEOUT, handle, k->recv_n(handle, &element, 8, 1, &count, 3000000, &error));
        EXPECT(of(k, f_try_send), EPQ_OK, handle, k->try_send(handle, &element, 8, &error));
        EXPECT(of(k, f_recv_n), EPQ_OK, handle, k->recv_n(handle, &element, 8, 1, &count, -1, &error));
        EXPECT(of(k, f_close), EPQ_OK, handle, k->close(handle, &error));
        if (k->number == EPQ_KIND_SPSC && asymmetric) { /* the close is decided by the sender then */
            EXPECT(of(k, f_try_recv), EPQ_BUSY, handle, k->try_recv(handle, &element, 8, &error));
            EXPECT(of(k, f_recv_n), EPQ_BUSY, handle, k->recv_n(handle, &element, 8, 1, &count, -1, &error));
        }
        EXPECT(of(k, f_try_send), EPQ_CLOSED, handle, k->try_send(handle, &element, 8, &error));
        EXPECT(of(k, f_try_recv), EPQ_CLOSED, handle, k->try_recv(handle, &element, 8, &error));
        EXPECT(of(k, f_destroy), EPQ_OK, handle, k->destroy(handle, &error));
    }
    EXPECT(f_domain_barrier, asymmetric ? EPQ_SYS : EPQ_OK, 0, epq_domain_barrier(&error));
    EXPECT(f_shutdown, asymmetric ? EPQ_SYS : EPQ_OK, 0, epq_shutdown(0, 0, NULL, &error));
    return unused;
}

int main(void) {
    pthread_t thread;
    int i;
    test_first_use_may_fail();
    test_init();
    test_no_descriptors();
    for (i = 0; i < kinds_count; ++i) {
        test_options(&kinds[i]);
        test_older_structs(&kinds[i]);
        test_flow(&kinds[i]);
        test_handles(&kinds[i], &kinds[(i + 1) % kinds_count]);
        test_rights(&kinds[i]);
        test_bad_error(&kinds[i]);
        if (kinds[i].capacity == 0) {
            test_no_memory(&kinds[i]);
        } else {
            test_full(&kinds[i]);
        }
        test_notifier(&kinds[i]);
        test_stats(&kinds[i]);
    }
    test_ends_of_spsc();
    test_takers_exclude_each_other();
    test_domain();
    test_list();
    test_shutdown();
    for (i = 0; i < kinds_count; ++i) {
        test_every_allocation_may_fail(&kinds[i]);
    }
    CHECK(pthread_create(&thread, NULL, test_refused_barriers, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    print_matrix();
    if (failures != 0) {
        fprintf(stderr, "c_api_test: %d failures\n", failures);
        return 1;
    }
    printf("c_api_test: every documented status was answered (barriers: %s)\n", asymmetric ? "asymmetric" : "fallback");
    return 0;
}
