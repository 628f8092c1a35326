/* SPDX-License-Identifier: BSL-1.0
 *
 * epoque's C interface (C99): lock-free queues and stacks behind generation-tagged handles.
 *
 * Rules that hold for every function:
 *   - It never throws, aborts, calls back, or touches errno. Any thread may call it at any time, also while another
 *     thread closes or destroys the same object: a handle that is not live answers EPQ_STALE, one of another kind
 *     EPQ_KIND. A handle is a number; it may be copied, leaked, printed or forged.
 *   - It returns an epq_status: 0 is done, positive is normal flow, negative is an error. Out-pointers are written only
 *     on EPQ_OK and, where it says so, EPQ_PARTIAL.
 *   - `error` may be NULL. Otherwise `error->size` must be sizeof(epq_error) (else EPQ_ARG: nothing is done or written),
 *     and an error (negative status) fills it; a positive status leaves it as it is.
 *   - Structs with a `size` may be larger than this header's, as a newer header has them: what is behind must be zero in
 *     what the caller gives (else EPQ_ABI), and becomes zero in what it gets. Smaller, or above 4096: EPQ_ARG.
 *   - A thread's first call allocates its record: any function that touches an object may answer EPQ_NOMEM there; and
 *     EPQ_SYS when it is the process's first and no pthread key is left.
 *   - Elements are copied bytewise. Ownership of what they refer to is the callers' business.
 *
 * docs/boundary.md has a table per function: ownership, statuses and what to do, happens-before, allocation, blocking.
 */
#ifndef EPOQUE_H
#define EPOQUE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define EPQ_NOEXCEPT noexcept
extern "C" {
#else
#define EPQ_NOEXCEPT
#endif

#if defined(__GNUC__)
#define EPQ_API __attribute__((visibility("default")))
#else
#define EPQ_API
#endif

/* The interface version that this header describes: major * 1000 + minor. */
#define EPQ_ABI_VERSION 1000u

typedef enum epq_status {
    EPQ_OK = 0,

    /* Normal flow. */
    EPQ_FULL = 1,    /* the object holds its capacity: retry later */
    EPQ_EMPTY = 2,   /* nothing to receive now: retry later or wait */
    EPQ_CLOSED = 3,  /* send: takes no more. receive: takes no more and is drained */
    EPQ_TIMEOUT = 4, /* the time given ended first */
    EPQ_PARTIAL = 5, /* some, not all: the count says how many */
    EPQ_BUSY = 6,    /* neither done nor impossible: retry at once */

    /* Errors. */
    EPQ_STALE = -1,    /* the handle is not live: destroyed, forged, or of another process */
    EPQ_KIND = -2,     /* the handle is live, but of another kind */
    EPQ_ARG = -3,      /* an argument is null, too small, too large or misused */
    EPQ_NOMEM = -4,    /* memory ran out; nothing was changed */
    EPQ_ABI = -5,      /* header and library do not fit together */
    EPQ_TYPE = -6,     /* element size or type id differs from the object's */
    EPQ_LIMIT = -7,    /* a limit of the library is reached (handles) */
    EPQ_STATE = -8,    /* not possible now */
    EPQ_RIGHTS = -9,   /* the handle lacks the right to do this */
    EPQ_SYS = -10,     /* the operating system refused; sys_errno says why */
    EPQ_INTERNAL = -11 /* a defect of epoque: please report it */
} epq_status;

/* What a caller can do about an error. */
typedef enum epq_action {
    EPQ_ACTION_NONE = 0,
    EPQ_ACTION_RETRY = 1,   /* the same call may succeed later */
    EPQ_ACTION_RELEASE = 2, /* drop the handle */
    EPQ_ACTION_ESCALATE = 3 /* a bug or a limit: a person must look */
} epq_action;

typedef struct epq_error {
    uint32_t size;     /* in:  sizeof(epq_error) */
    int32_t code;      /* out: the epq_status */
    int32_t sys_errno; /* out: errno of a failed system call, else 0 */
    uint32_t op;       /* out: which function, an EPQ_OP_ number */
    uint64_t handle;   /* out: the handle it was about, else 0 */
    uint64_t trace;    /* in:  the caller's id; left as it is */
    uint32_t action;   /* out: an epq_action */
    uint32_t reserved; /* zero */
    char msg[96];      /* out: what, why, what to do; ends with NUL */
} epq_error;

enum {
    EPQ_OP_INIT = 1,
    EPQ_OP_QUEUE_CREATE = 10,
    EPQ_OP_QUEUE_CLOSE = 11,
    EPQ_OP_QUEUE_DESTROY = 12,
    EPQ_OP_QUEUE_TRY_SEND = 13,
    EPQ_OP_QUEUE_TRY_RECV = 14,
    EPQ_OP_QUEUE_SEND_N = 15,
    EPQ_OP_QUEUE_RECV_N = 16,
    EPQ_OP_QUEUE_STATS = 17,
    EPQ_OP_QUEUE_WATCH = 18,
    EPQ_OP_STACK_CREATE = 20,
    EPQ_OP_STACK_CLOSE = 21,
    EPQ_OP_STACK_DESTROY = 22,
    EPQ_OP_STACK_TRY_SEND = 23,
    EPQ_OP_STACK_TRY_RECV = 24,
    EPQ_OP_STACK_SEND_N = 25,
    EPQ_OP_STACK_RECV_N = 26,
    EPQ_OP_STACK_STATS = 27,
    EPQ_OP_STACK_WATCH = 28,
    EPQ_OP_NOTIFIER_OPEN = 30,
    EPQ_OP_NOTIFIER_TAKE = 31,
    EPQ_OP_DOMAIN_STATS = 40,
    EPQ_OP_DOMAIN_BARRIER = 41
};

/* Handles: kind 8 | index 24 | generation 32. 0 is never valid. One C type per kind. */
typedef struct epq_queue {
    uint64_t bits;
} epq_queue;
typedef struct epq_stack {
    uint64_t bits;
} epq_stack;

#define EPQ_KIND_QUEUE 1u
#define EPQ_KIND_STACK 2u

/* ---- library ---------------------------------------------------------------------------------------------------- */

/* Features a library may have; epq_init tells which this one has. */
#define EPQ_FEATURE_ASYMMETRIC_BARRIER (UINT64_C(1) << 0) /* membarrier is in use (compat) */
#define EPQ_FEATURE_EVENTFD (UINT64_C(1) << 1)            /* epq_notifier_open works (compat) */

typedef struct epq_init_options {
    uint32_t size;        /* in:  sizeof(epq_init_options) */
    uint32_t abi_version; /* in:  EPQ_ABI_VERSION of the caller's header */
    uint64_t incompat;    /* in:  features the caller can't do without; an unknown or missing one: EPQ_ABI */
} epq_init_options;

typedef struct epq_init_reply {
    uint32_t size;        /* in:  sizeof(epq_init_reply) */
    uint32_t abi_version; /* out: of the library */
    uint64_t features;    /* out: EPQ_FEATURE_ bits */
} epq_init_reply;

/* The library's EPQ_ABI_VERSION. */
EPQ_API uint32_t epq_abi_version(void) EPQ_NOEXCEPT;

/* Checks that header and library fit together. Idempotent; not required before other calls. `reply` may be NULL. */
EPQ_API epq_status epq_init(const epq_init_options* options, epq_init_reply* reply, epq_error* error) EPQ_NOEXCEPT;

/* A sentence with a remedy for each status; never NULL, static. */
EPQ_API const char* epq_strerror(int32_t status) EPQ_NOEXCEPT;

/* ---- queue: unbounded MPMC FIFO; stack: unbounded LIFO ------------------------------------------------------------ */

typedef struct epq_options {
    uint32_t size;         /* in: sizeof(epq_options) */
    uint32_t element_size; /* in: bytes, 1 to EPQ_MAX_ELEMENT_SIZE */
    uint64_t type_id;      /* in: 0, or the caller's id of the element's type, given back by _stats */
    uint32_t flags;        /* in: zero */
    uint32_t reserved;     /* in: zero */
    char name[32];         /* in: for messages and statistics; NUL-terminated; may be empty */
} epq_options;

#define EPQ_MAX_ELEMENT_SIZE 4096u

typedef struct epq_stats {
    uint32_t size;         /* in:  sizeof(epq_stats) */
    uint32_t element_size; /* out: bytes */
    uint64_t type_id;      /* out */
    uint64_t sends;        /* out: elements sent so far (racy); of a queue the tickets: a cell given up counts too */
    uint64_t receives;     /* out: elements received so far (racy); of a queue the tickets, as above */
    uint64_t length;       /* out: about how many elements it held during the call */
    uint64_t waiters;      /* out: native threads asleep in _recv_n, plus 1 if a watcher is armed */
    uint32_t closed;       /* out: 0 or 1 */
    uint32_t reserved;     /* out: zero */
    char name[32];         /* out */
} epq_stats;

EPQ_API epq_status epq_queue_create(const epq_options* options, epq_queue* out, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_stack_create(const epq_options* options, epq_stack* out, epq_error* error) EPQ_NOEXCEPT;

/* No send succeeds any more; receives drain what is there, then answer EPQ_CLOSED; every waiter wakes. Idempotent. */
EPQ_API epq_status epq_queue_close(epq_queue queue, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_stack_close(epq_stack stack, epq_error* error) EPQ_NOEXCEPT;

/* Ends the object for everybody: the handle is stale from now on, waiters wake with EPQ_STALE, undelivered elements are
 * dropped, memory goes when the last operation in flight has ended. */
EPQ_API epq_status epq_queue_destroy(epq_queue queue, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_stack_destroy(epq_stack stack, epq_error* error) EPQ_NOEXCEPT;

/* Sends one element. EPQ_CLOSED; EPQ_TYPE when element_size is not the object's; EPQ_NOMEM. */
EPQ_API epq_status epq_queue_try_send(epq_queue queue, const void* element, size_t element_size,
                                      epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_stack_try_send(epq_stack stack, const void* element, size_t element_size,
                                      epq_error* error) EPQ_NOEXCEPT;

/* Receives one element into `element`. EPQ_EMPTY, EPQ_CLOSED. */
EPQ_API epq_status epq_queue_try_recv(epq_queue queue, void* element, size_t element_size,
                                      epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_stack_try_recv(epq_stack stack, void* element, size_t element_size,
                                      epq_error* error) EPQ_NOEXCEPT;

/* Sends `count` elements that lie one after the other, in this order. Queue: FIFO, other threads' elements may come in
 * between; EPQ_PARTIAL: the queue was closed, or memory ran out, after *sent of them. Stack: at one moment, all or none;
 * the last ends on top. EPQ_OK: all, *sent == count. EPQ_CLOSED, EPQ_NOMEM: none. count 0 is EPQ_OK. */
EPQ_API epq_status epq_queue_send_n(epq_queue queue, const void* elements, size_t element_size, size_t count,
                                    size_t* sent, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_stack_send_n(epq_stack stack, const void* elements, size_t element_size, size_t count,
                                    size_t* sent, epq_error* error) EPQ_NOEXCEPT;

/* Receives between 1 and `capacity` elements; EPQ_OK as soon as there is one. Waits at most timeout_ns for the first:
 * 0 never waits (EPQ_EMPTY), negative waits without limit, otherwise EPQ_TIMEOUT. EPQ_CLOSED when closed and drained,
 * EPQ_STALE when it is destroyed meanwhile.
 * Blocks the calling OS thread while it waits: from Go use timeout 0 and the notifier. capacity 0 is EPQ_ARG. */
EPQ_API epq_status epq_queue_recv_n(epq_queue queue, void* elements, size_t element_size, size_t capacity,
                                    size_t* received, int64_t timeout_ns, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_stack_recv_n(epq_stack stack, void* elements, size_t element_size, size_t capacity,
                                    size_t* received, int64_t timeout_ns, epq_error* error) EPQ_NOEXCEPT;

EPQ_API epq_status epq_queue_stats(epq_queue queue, epq_stats* out, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_stack_stats(epq_stack stack, epq_stats* out, epq_error* error) EPQ_NOEXCEPT;

/* ---- notifier: how a runtime that must not block its threads learns that there is something to receive ------------ */

/* The process's eventfd (nonblocking, close-on-exec), made on the first call. It becomes readable when an armed object
 * has something to say. The caller must not close it. EPQ_SYS. */
EPQ_API epq_status epq_notifier_open(int32_t* fd, epq_error* error) EPQ_NOEXCEPT;

/* Arms the object: the next send, close or destroy disarms it, lists its handle for epq_notifier_take and writes the
 * eventfd. After arming, receive once more *before* sleeping: only what comes after the arming is announced. Arming twice is
 * arming once. Opens the notifier. EPQ_SYS: no eventfd; or the kernel has begun to refuse membarrier, and a send may then
 * be overlooked: poll instead, or start with EPOQUE_BARRIER=fallback in the environment. */
EPQ_API epq_status epq_queue_watch(epq_queue queue, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_stack_watch(epq_stack stack, epq_error* error) EPQ_NOEXCEPT;

/* Takes up to `capacity` announced handles, the first announced first. *more is 1 when some are left: call again. A handle
 * may be stale already, and there may be nothing to receive any more. EPQ_OK, also with *taken == 0. EPQ_BUSY: another
 * thread is taking right now. capacity 0 is EPQ_ARG. */
EPQ_API epq_status epq_notifier_take(uint64_t* handles, size_t capacity, size_t* taken, uint32_t* more,
                                     epq_error* error) EPQ_NOEXCEPT;

/* ---- domain: the reclamation behind all objects ------------------------------------------------------------------- */

typedef struct epq_domain_stats {
    uint32_t size;               /* in:  sizeof(epq_domain_stats) */
    uint32_t asymmetric;         /* out: 1 = membarrier, 0 = fallback */
    uint64_t epoch;              /* out */
    uint64_t threads;            /* out: records in use */
    uint64_t pinned;             /* out: of these, in a guard now (calls of this interface need none) */
    uint64_t pending_objects;    /* out: retired, not yet freed */
    uint64_t pending_bytes;      /* out: garbage, bytes */
    uint64_t peak_pending_bytes; /* out: highest seen at an advance of the epoch */
    uint64_t freed_objects;      /* out */
    uint64_t advances;           /* out: epochs so far */
    uint64_t heavy_barriers;     /* out */
    uint64_t refused_barriers;   /* out: heavy barriers the kernel refused */
    uint64_t live_objects;       /* out: handles that are live */
} epq_domain_stats;

EPQ_API epq_status epq_domain_get_stats(epq_domain_stats* out, epq_error* error) EPQ_NOEXCEPT;

/* Waits until everything that was retired before the call has been freed, but for memory of drained queues and popped
 * stack nodes that other threads keep for reuse (at most 512 blocks or 256 KiB each), and for a destroyed object that a call
 * is inside of: that one goes after the call. Blocks. For tests and shutdown.
 * EPQ_SYS: the kernel has begun to refuse membarrier, nothing can be reclaimed any more. */
EPQ_API epq_status epq_domain_barrier(epq_error* error) EPQ_NOEXCEPT;

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* EPOQUE_H */
