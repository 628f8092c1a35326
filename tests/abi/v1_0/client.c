/* SPDX-License-Identifier: BSL-1.0
 *
 * A program as version 1.0 of the C interface had them: compiled against the epoque.h beside it, which is frozen, and run with
 * the library of today. Every struct lies in a block of exactly its size, so that a sanitizer sees a step beyond, and before
 * bytes that must stay, for when there is none. Never changed; a new version of the interface gets a folder of its own.
 */
#include "epoque.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The header beside us, not the library's. */
typedef char header_is_frozen[EPQ_ABI_VERSION == 1000u ? 1 : -1];
typedef char options_are_frozen[sizeof(epq_options) == 56 ? 1 : -1];
typedef char stats_are_frozen[sizeof(epq_stats) == 88 ? 1 : -1];

static int failures;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "client.c:%d: not so: %s\n", __LINE__, #condition);                                        \
            ++failures;                                                                                                \
        }                                                                                                              \
    } while (0)

/* A struct of the interface, in a block of its size; with `behind` guarded bytes behind it. */
static void* block(size_t size, size_t behind) {
    unsigned char* memory = malloc(size + behind);
    uint32_t said = (uint32_t)size;
    if (memory == NULL) {
        abort();
    }
    memset(memory, 0, size);
    memset(memory + size, 0x5a, behind);
    memcpy(memory, &said, sizeof said);
    return memory;
}

static int is_untouched(const void* memory, size_t size, size_t behind) {
    const unsigned char* bytes = memory;
    size_t at;
    for (at = size; at < size + behind; ++at) {
        if (bytes[at] != 0x5a) {
            return 0;
        }
    }
    return 1;
}

static void run(size_t behind) {
    epq_init_options* init = block(sizeof *init, behind);
    epq_init_reply* reply = block(sizeof *reply, behind);
    epq_options* options = block(sizeof *options, behind);
    epq_stats* stats = block(sizeof *stats, behind);
    epq_domain_stats* domain = block(sizeof *domain, behind);
    epq_error* error = block(sizeof *error, behind);
    const uint64_t in[3] = {1, 2, 3};
    uint64_t out[3] = {0, 0, 0};
    uint64_t handles[2] = {0, 0};
    epq_queue queue = {0};
    epq_stack stack = {0};
    size_t count = 0;
    uint32_t more = 1;
    int32_t fd = -1;

    init->abi_version = EPQ_ABI_VERSION;
    init->incompat = EPQ_FEATURE_EVENTFD;
    CHECK(epq_init(init, reply, error) == EPQ_OK);
    CHECK(reply->abi_version >= EPQ_ABI_VERSION && reply->abi_version / 1000 == 1);
    CHECK(reply->abi_version == epq_abi_version() && (reply->features & EPQ_FEATURE_EVENTFD) != 0);

    options->element_size = sizeof *in;
    options->type_id = 7;
    strcpy(options->name, "of 1.0");
    CHECK(epq_queue_create(options, &queue, error) == EPQ_OK);
    CHECK(epq_stack_create(options, &stack, error) == EPQ_OK);
    CHECK(queue.bits >> 56 == EPQ_KIND_QUEUE && stack.bits >> 56 == EPQ_KIND_STACK);

    CHECK(epq_notifier_open(&fd, error) == EPQ_OK && fd >= 0);
    CHECK(epq_queue_watch(queue, error) == EPQ_OK);
    CHECK(epq_stack_watch(stack, error) == EPQ_OK);
    CHECK(epq_queue_try_send(queue, in, sizeof *in, error) == EPQ_OK);
    CHECK(epq_stack_try_send(stack, in, sizeof *in, error) == EPQ_OK);
    CHECK(epq_notifier_take(handles, 2, &count, &more, error) == EPQ_OK);
    CHECK(count == 2 && more == 0 && handles[0] == queue.bits && handles[1] == stack.bits);
    CHECK(epq_queue_send_n(queue, in + 1, sizeof *in, 2, &count, error) == EPQ_OK && count == 2);
    CHECK(epq_stack_send_n(stack, in + 1, sizeof *in, 2, &count, error) == EPQ_OK && count == 2);
    CHECK(epq_queue_recv_n(queue, out, sizeof *out, 3, &count, -1, error) == EPQ_OK && count == 3);
    CHECK(out[0] == 1 && out[1] == 2 && out[2] == 3);
    CHECK(epq_stack_recv_n(stack, out, sizeof *out, 2, &count, 0, error) == EPQ_OK && count == 2);
    CHECK(out[0] == 3 && out[1] == 2);
    CHECK(epq_stack_try_recv(stack, out, sizeof *out, error) == EPQ_OK && out[0] == 1);
    CHECK(epq_queue_try_recv(queue, out, sizeof *out, error) == EPQ_EMPTY);
    CHECK(epq_queue_recv_n(queue, out, sizeof *out, 1, &count, 1000, error) == EPQ_TIMEOUT);

    CHECK(epq_queue_stats(queue, stats, error) == EPQ_OK);
    CHECK(stats->size == sizeof *stats && stats->element_size == 8 && stats->type_id == 7 && stats->sends == 3);
    CHECK(stats->receives == 3 && stats->length == 0 && stats->closed == 0 && strcmp(stats->name, "of 1.0") == 0);
    CHECK(epq_stack_stats(stack, stats, error) == EPQ_OK && stats->sends == 3);
    CHECK(epq_domain_get_stats(domain, error) == EPQ_OK && domain->live_objects == 2);

    CHECK(epq_queue_close(queue, error) == EPQ_OK && epq_stack_close(stack, error) == EPQ_OK);
    CHECK(epq_queue_try_send(queue, in, sizeof *in, error) == EPQ_CLOSED);
    CHECK(epq_queue_destroy(queue, error) == EPQ_OK && epq_stack_destroy(stack, error) == EPQ_OK);
    CHECK(epq_queue_destroy(queue, error) == EPQ_STALE);
    CHECK(error->code == EPQ_STALE && error->op == EPQ_OP_QUEUE_DESTROY && error->handle == queue.bits);
    CHECK(error->action == EPQ_ACTION_RELEASE && error->msg[0] != 0);
    CHECK(epq_domain_barrier(error) == EPQ_OK);
    CHECK(strlen(epq_strerror(EPQ_FULL)) > 4);

    CHECK(is_untouched(init, sizeof *init, behind) && is_untouched(reply, sizeof *reply, behind));
    CHECK(is_untouched(options, sizeof *options, behind) && is_untouched(stats, sizeof *stats, behind));
    CHECK(is_untouched(domain, sizeof *domain, behind) && is_untouched(error, sizeof *error, behind));
    free(init);
    free(reply);
    free(options);
    free(stats);
    free(domain);
    free(error);
}

int main(void) {
    run(0);
    run(64);
    if (failures == 0) {
        printf("a client of version %u.%u works with a library of version %u.%u\n", EPQ_ABI_VERSION / 1000,
               EPQ_ABI_VERSION % 1000, epq_abi_version() / 1000, epq_abi_version() % 1000);
    }
    return failures != 0;
}
