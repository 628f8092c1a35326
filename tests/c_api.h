/* SPDX-License-Identifier: BSL-1.0
 *
 * What the tests of the C interface in C99 share: the matrix function x status, which says what docs/boundary.md promises and
 * what was reached; a check of every answer, with errno and the error struct; and all kinds behind one table.
 */
#ifndef EPOQUE_TESTS_C_API_H
#define EPOQUE_TESTS_C_API_H

#include "epoque.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* ---- the matrix ------------------------------------------------------------------------------------------------------ */

enum { first_status = EPQ_INTERNAL, last_status = EPQ_BUSY, statuses = last_status - first_status + 1 };
static const char* const status_names[statuses] = {"INTERNAL", "SYS",   "RIGHTS", "STATE",   "LIMIT",   "TYPE",
                                                   "ABI",      "NOMEM", "ARG",    "KIND",    "STALE",   "OK",
                                                   "FULL",     "EMPTY", "CLOSED", "TIMEOUT", "PARTIAL", "BUSY"};

enum function {
    f_init,
    f_create,
    f_close,
    f_destroy,
    f_try_send,
    f_try_recv,
    f_send_n,
    f_recv_n,
    f_stats,
    f_watch, /* of the queue; those of the other kinds follow, f_kind functions each */
    f_kind = 9,
    f_stack = f_kind,
    f_bounded = 2 * f_kind,
    f_spsc = 3 * f_kind,
    f_notifier_open = f_watch + f_spsc + 1,
    f_notifier_take,
    f_domain_get_stats,
    f_domain_barrier,
    f_dup,
    f_revoke,
    f_list,
    f_shutdown,
    functions
};
#define NAMES(kind)                                                                                                    \
    "epq_" kind "_create", "epq_" kind "_close", "epq_" kind "_destroy", "epq_" kind "_try_send",                      \
        "epq_" kind "_try_recv", "epq_" kind "_send_n", "epq_" kind "_recv_n", "epq_" kind "_stats",                   \
        "epq_" kind "_watch"
static const char* const function_names[functions] = {
    "epq_init", /* in the order of the enumeration, as the next table */
    NAMES("queue"),      NAMES("stack"),      NAMES("bounded"),       NAMES("spsc"), /* and those of the process */
    "epq_notifier_open", "epq_notifier_take", "epq_domain_get_stats", "epq_domain_barrier",
    "epq_dup", /* those of any handle */
    "epq_revoke",        "epq_list",          "epq_shutdown",
};

/* What docs/boundary.md says that each function answers. ARG, NOMEM and SYS are everybody's: a bad epq_error; a process
 * or thread that has no memory, or no pthread key, for its first call. */
#define BIT(status) (1u << ((status) - first_status))
#define ALWAYS (BIT(EPQ_OK) | BIT(EPQ_ARG) | BIT(EPQ_NOMEM) | BIT(EPQ_SYS))
#define MAKES (ALWAYS | BIT(EPQ_ABI) | BIT(EPQ_LIMIT))
#define HANDLE (ALWAYS | BIT(EPQ_STALE) | BIT(EPQ_KIND) | BIT(EPQ_RIGHTS))
#define FLOW (HANDLE | BIT(EPQ_TYPE) | BIT(EPQ_CLOSED))
#define FULL BIT(EPQ_FULL)
#define PARTIAL BIT(EPQ_PARTIAL)
#define BUSY BIT(EPQ_BUSY)
/* A kind's: what its try_send, its send_n, and both its receives answer beside what all kinds' do. */
#define ANSWERS(one, many, receive)                                                                                    \
    MAKES, HANDLE, HANDLE, FLOW | (one), FLOW | BIT(EPQ_EMPTY) | (receive), FLOW | (many),                             \
        FLOW | BIT(EPQ_EMPTY) | BIT(EPQ_TIMEOUT) | (receive), HANDLE, HANDLE
static const unsigned documented[functions] = {
    BIT(EPQ_OK) | BIT(EPQ_ARG) | BIT(EPQ_ABI),
    ANSWERS(0, PARTIAL, 0),
    ANSWERS(0, 0, 0), /* all or nothing: never PARTIAL */
    ANSWERS(FULL, FULL | PARTIAL, 0),
    ANSWERS(FULL | BUSY, FULL | PARTIAL | BUSY, BUSY),
    ALWAYS,
    ALWAYS | BUSY,
    ALWAYS,
    ALWAYS | BIT(EPQ_STATE),
    ALWAYS | BIT(EPQ_STALE) | BIT(EPQ_RIGHTS) | BIT(EPQ_LIMIT),
    ALWAYS | BIT(EPQ_STALE),
    ALWAYS,
    ALWAYS | BIT(EPQ_TIMEOUT) | BIT(EPQ_STATE),
};

/* What cannot be brought about here, and why. */
static const unsigned out_of_reach = BIT(EPQ_LIMIT) | BIT(EPQ_INTERNAL) | BIT(EPQ_STATE);
static const char* const why_out_of_reach =
    "LIMIT needs 16,777,216 live objects (about 20 GiB); INTERNAL would be a defect.\n"
    "STATE needs a guard of C++: ffi_built_in_test.\n";

static unsigned reached[functions];
static int failures;

static const char* name_of(int status) {
    return status < first_status || status > last_status ? "?" : status_names[status - first_status];
}

static void complain(int line, const char* what) {
    fprintf(stderr, "c_api_test.c:%d: %s\n", line, what);
    ++failures;
}

static epq_error error; /* of the latest call */

static void fresh_error(void) {
    memset(&error, 0x5a, sizeof error);
    error.size = sizeof error;
    error.trace = 4711;
    errno = 77;
}

static void check_error(int line, epq_status status, uint64_t handle) {
    static const int untouched = 0x5a5a5a5a;
    if (error.trace != 4711) {
        complain(line, "error.trace was changed");
    }
    if (status >= 0) {
        if (error.code != untouched) {
            complain(line, "error was written although the status is no error");
        }
        return;
    }
    if (error.size != sizeof error) {
        return; /* there was no room to say anything */
    }
    if (error.code != (int32_t)status || error.op == 0 || error.reserved != 0 || error.action == EPQ_ACTION_NONE) {
        complain(line, "error does not describe the failure");
    }
    if (memchr(error.msg, 0, sizeof error.msg) == NULL || strlen(error.msg) < 20) {
        complain(line, "error.msg does not end, or says nothing");
    }
    if (strlen(error.msg) == sizeof error.msg - 1) {
        fprintf(stderr, "c_api_test.c:%d: the message was cut: %s\n", line, error.msg);
        ++failures;
    }
    if (error.handle != handle) {
        complain(line, "error.handle is not the handle that was passed");
    }
    if ((status == EPQ_SYS) != (error.sys_errno != 0)) {
        complain(line, "error.sys_errno does not go with the status");
    }
}

static void expect(int line, enum function f, epq_status wanted, epq_status got, uint64_t handle, const char* text) {
    if (errno != 77) {
        complain(line, "errno was touched");
    }
    if (got != wanted) {
        fprintf(stderr, "c_api_test.c:%d: %s\n  answered %s (%s), not %s\n", line, text, name_of(got),
                got < 0 && error.size == sizeof error ? error.msg : epq_strerror(got), name_of(wanted));
        ++failures;
        return;
    }
    check_error(line, got, handle);
    reached[f] |= BIT(got);
}

/* EXPECT(function, status, handle, call): the call must answer the status. */
#define EXPECT(f, wanted, handle, call)                                                                                \
    do {                                                                                                               \
        fresh_error();                                                                                                 \
        expect(__LINE__, (f), (wanted), (call), (handle), #call);                                                      \
    } while (0)

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            complain(__LINE__, "not so: " #condition);                                                                 \
        }                                                                                                              \
    } while (0)

/* ---- all kinds behind one table ----------------------------------------------------------------------------------------- */

struct kind {
    enum function first; /* its create */
    uint64_t number;
    int is_fifo;
    uint64_t capacity; /* to create it with; 0: it has none */
    epq_status (*create)(const epq_options*, uint64_t*, epq_error*);
    epq_status (*close)(uint64_t, epq_error*);
    epq_status (*destroy)(uint64_t, epq_error*);
    epq_status (*try_send)(uint64_t, const void*, size_t, epq_error*);
    epq_status (*try_recv)(uint64_t, void*, size_t, epq_error*);
    epq_status (*send_n)(uint64_t, const void*, size_t, size_t, size_t*, epq_error*);
    epq_status (*recv_n)(uint64_t, void*, size_t, size_t, size_t*, int64_t, epq_error*);
    epq_status (*stats)(uint64_t, epq_stats*, epq_error*);
    epq_status (*watch)(uint64_t, epq_error*);
};

#define ADAPT(type)                                                                                                    \
    static epq_##type type##_of(uint64_t bits) {                                                                       \
        epq_##type handle;                                                                                             \
        handle.bits = bits;                                                                                            \
        return handle;                                                                                                 \
    }                                                                                                                  \
    static epq_status type##_create(const epq_options* options, uint64_t* out, epq_error* e) {                         \
        epq_##type handle = type##_of(out == NULL ? 0 : *out);                                                         \
        epq_status status = epq_##type##_create(options, out == NULL ? NULL : &handle, e);                             \
        if (out != NULL) {                                                                                             \
            *out = handle.bits;                                                                                        \
        }                                                                                                              \
        return status;                                                                                                 \
    }                                                                                                                  \
    static epq_status type##_close(uint64_t h, epq_error* e) {                                                         \
        return epq_##type##_close(type##_of(h), e);                                                                    \
    }                                                                                                                  \
    static epq_status type##_destroy(uint64_t h, epq_error* e) {                                                       \
        return epq_##type##_destroy(type##_of(h), e);                                                                  \
    }                                                                                                                  \
    static epq_status type##_try_send(uint64_t h, const void* from, size_t size, epq_error* e) {                       \
        return epq_##type##_try_send(type##_of(h), from, size, e);                                                     \
    }                                                                                                                  \
    static epq_status type##_try_recv(uint64_t h, void* to, size_t size, epq_error* e) {                               \
        return epq_##type##_try_recv(type##_of(h), to, size, e);                                                       \
    }                                                                                                                  \
    static epq_status type##_send_n(uint64_t h, const void* from, size_t size, size_t n, size_t* sent, epq_error* e) { \
        return epq_##type##_send_n(type##_of(h), from, size, n, sent, e);                                              \
    }                                                                                                                  \
    static epq_status type##_recv_n(uint64_t h, void* to, size_t size, size_t n, size_t* got, int64_t ns,              \
                                    epq_error* e) {                                                                    \
        return epq_##type##_recv_n(type##_of(h), to, size, n, got, ns, e);                                             \
    }                                                                                                                  \
    static epq_status type##_stats(uint64_t h, epq_stats* out, epq_error* e) {                                         \
        return epq_##type##_stats(type##_of(h), out, e);                                                               \
    }                                                                                                                  \
    static epq_status type##_watch(uint64_t h, epq_error* e) {                                                         \
        return epq_##type##_watch(type##_of(h), e);                                                                    \
    }

ADAPT(queue)
ADAPT(stack)
ADAPT(bounded)
ADAPT(spsc)

/* The capacity: room for all that a test sends without receiving. */
enum { kinds_count = 4, room = 512 };
#define KIND(type, offset, number, is_fifo, capacity)                                                                  \
    {(enum function)(f_create + (offset)),                                                                             \
     (number),                                                                                                         \
     (is_fifo),                                                                                                        \
     (capacity),                                                                                                       \
     type##_create,                                                                                                    \
     type##_close,                                                                                                     \
     type##_destroy,                                                                                                   \
     type##_try_send,                                                                                                  \
     type##_try_recv,                                                                                                  \
     type##_send_n,                                                                                                    \
     type##_recv_n,                                                                                                    \
     type##_stats,                                                                                                     \
     type##_watch}
static const struct kind kinds[kinds_count] = {
    KIND(queue, 0, EPQ_KIND_QUEUE, 1, 0), KIND(stack, f_stack, EPQ_KIND_STACK, 0, 0),
    KIND(bounded, f_bounded, EPQ_KIND_BOUNDED, 1, room), KIND(spsc, f_spsc, EPQ_KIND_SPSC, 1, room)};

/* The kind's number of a queue function. */
static enum function of(const struct kind* k, enum function f) {
    return (enum function)((int)k->first + (int)f - (int)f_create);
}

static epq_options good_options(const struct kind* k) {
    epq_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.element_size = sizeof(uint64_t);
    options.type_id = 99;
    options.capacity = k->capacity;
    strcpy(options.name, "orders");
    return options;
}

static uint64_t make(const struct kind* k) {
    const epq_options options = good_options(k);
    uint64_t handle = 0;
    EXPECT(of(k, f_create), EPQ_OK, 0, k->create(&options, &handle, &error));
    return handle;
}

/* ---- verdict ---------------------------------------------------------------------------------------------------------------------- */

static void print_matrix(void) {
    int f;
    int s;
    printf("\n%-22s", "");
    for (s = statuses - 1; s >= 0; --s) {
        printf(" %-8s", status_names[s]);
    }
    printf("\n");
    for (f = 0; f < functions; ++f) {
        printf("%-22s", function_names[f]);
        for (s = statuses - 1; s >= 0; --s) {
            const unsigned bit = 1u << s;
            const char* cell = ".";
            if ((reached[f] & bit) != 0) {
                cell = "reached";
            } else if ((documented[f] & out_of_reach & bit) != 0) {
                cell = "-";
            } else if ((documented[f] & bit) != 0) {
                cell = "MISSING";
            }
            if ((reached[f] & ~documented[f] & bit) != 0) {
                cell = "NEW";
            }
            if (strcmp(cell, "MISSING") == 0 || strcmp(cell, "NEW") == 0) {
                ++failures;
            }
            printf(" %-8s", cell);
        }
        printf("\n");
    }
    printf("reached: answered in this run; -: documented, out of reach; .: not an answer of this function\n%s",
           why_out_of_reach);
}

#endif /* EPOQUE_TESTS_C_API_H */
