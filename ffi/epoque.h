/* SPDX-License-Identifier: BSL-1.0
 *
 * epoque's C interface (C99): lock-free queues and stacks, bounded and not, behind generation-tagged handles.
 *
 * Rules that hold for every function:
 *   - It never throws, aborts, calls back, or touches errno. Any thread may call it at any time, also while another
 *     thread closes or destroys the same object: a handle that is not live answers EPQ_STALE, one of another kind
 *     EPQ_KIND, one without the right to do it EPQ_RIGHTS. A handle is a number; it may be copied, leaked, printed or forged.
 *   - It returns an epq_status: 0 is done, positive is normal flow, negative is an error. Out-pointers are written only
 *     on EPQ_OK and, where it says so, EPQ_PARTIAL or EPQ_TIMEOUT.
 *   - `error` may be NULL. Otherwise `error->size` must be sizeof(epq_error) (else EPQ_ARG: nothing is done or written),
 *     and an error (negative status) fills it; a positive status leaves it as it is.
 *   - Structs with a `size` may be larger than this header's, as a newer header has them: what is behind must be zero in
 *     what the caller gives (else EPQ_ABI), and becomes zero in what it gets. They may be smaller, down to what version 1.0
 *     had, as an older header has them: a field that does not lie within `size` counts as zero, and is not written. Below
 *     that, or above 4096: EPQ_ARG.
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
#define EPQ_ABI_VERSION 1001u

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
    EPQ_OP_DOMAIN_BARRIER = 41,
    EPQ_OP_BOUNDED_CREATE = 50, /* since 1.1, as all that follow */
    EPQ_OP_BOUNDED_CLOSE = 51,
    EPQ_OP_BOUNDED_DESTROY = 52,
    EPQ_OP_BOUNDED_TRY_SEND = 53,
    EPQ_OP_BOUNDED_TRY_RECV = 54,
    EPQ_OP_BOUNDED_SEND_N = 55,
    EPQ_OP_BOUNDED_RECV_N = 56,
    EPQ_OP_BOUNDED_STATS = 57,
    EPQ_OP_BOUNDED_WATCH = 58,
    EPQ_OP_SPSC_CREATE = 60,
    EPQ_OP_SPSC_CLOSE = 61,
    EPQ_OP_SPSC_DESTROY = 62,
    EPQ_OP_SPSC_TRY_SEND = 63,
    EPQ_OP_SPSC_TRY_RECV = 64,
    EPQ_OP_SPSC_SEND_N = 65,
    EPQ_OP_SPSC_RECV_N = 66,
    EPQ_OP_SPSC_STATS = 67,
    EPQ_OP_SPSC_WATCH = 68,
    EPQ_OP_DUP = 70,
    EPQ_OP_REVOKE = 71,
    EPQ_OP_LIST = 72,
    EPQ_OP_SHUTDOWN = 73
};

/* Handles: kind 8 | index 24 | generation 32. 0 is never valid. One C type per kind. */
typedef struct epq_queue {
    uint64_t bits;
} epq_queue;
typedef struct epq_stack {
    uint64_t bits;
} epq_stack;
typedef struct epq_bounded {
    uint64_t bits;
} epq_bounded;
typedef struct epq_spsc {
    uint64_t bits;
} epq_spsc;

#define EPQ_KIND_QUEUE 1u
#define EPQ_KIND_STACK 2u
#define EPQ_KIND_BOUNDED 3u /* since 1.1 */
#define EPQ_KIND_SPSC 4u    /* since 1.1 */

/* What a handle may be good for. That of a _create has all rights, that of epq_dup those it was given. Since 1.1. */
#define EPQ_RIGHT_SEND 1u     /* _try_send, _send_n */
#define EPQ_RIGHT_RECEIVE 2u  /* _try_recv, _recv_n */
#define EPQ_RIGHT_CLOSE 4u    /* _close */
#define EPQ_RIGHT_OBSERVE 8u  /* _stats, _watch */
#define EPQ_RIGHT_DESTROY 16u /* _destroy */
#define EPQ_RIGHT_ALL 31u

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

/* ---- queue: unbounded MPMC FIFO; stack: unbounded LIFO; bounded: MPMC FIFO of fixed capacity; spsc: the same for one
 *      sender and one receiver at a time ----------------------------------------------------------------------------- */

typedef struct epq_options {
    uint32_t size;         /* in: sizeof(epq_options) */
    uint32_t element_size; /* in: bytes, 1 to EPQ_MAX_ELEMENT_SIZE */
    uint64_t type_id;      /* in: 0, or the caller's id of the element's type, given back by _stats */
    uint32_t flags;        /* in: zero */
    uint32_t reserved;     /* in: zero */
    char name[32];         /* in: for messages and statistics; NUL-terminated; may be empty */
    uint64_t capacity;     /* in: bounded, spsc: elements, 1 to EPQ_MAX_CAPACITY; queue, stack: zero. Since 1.1 */
} epq_options;

#define EPQ_MAX_ELEMENT_SIZE 4096u
#define EPQ_MAX_CAPACITY UINT64_C(4294967296) /* since 1.1 */

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
    uint64_t capacity;     /* out: 0 for a queue or a stack. Since 1.1 */
} epq_stats;

EPQ_API epq_status epq_queue_create(const epq_options* options, epq_queue* out, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_stack_create(const epq_options* options, epq_stack* out, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_bounded_create(const epq_options* options, epq_bounded* out, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_spsc_create(const epq_options* options, epq_spsc* out, epq_error* error) EPQ_NOEXCEPT;

/* No send succeeds any more; receives drain what is there, then answer EPQ_CLOSED; every waiter wakes. Idempotent. */
EPQ_API epq_status epq_queue_close(epq_queue queue, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_stack_close(epq_stack stack, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_bounded_close(epq_bounded bounded, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_spsc_close(epq_spsc spsc, epq_error* error) EPQ_NOEXCEPT;

/* Ends the object for everybody: all its handles are stale from now on, waiters wake with EPQ_STALE, undelivered elements are
 * dropped, memory goes when the last operation in flight has ended. */
EPQ_API epq_status epq_queue_destroy(epq_queue queue, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_stack_destroy(epq_stack stack, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_bounded_destroy(epq_bounded bounded, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_spsc_destroy(epq_spsc spsc, epq_error* error) EPQ_NOEXCEPT;

/* Sends one element. EPQ_CLOSED; EPQ_TYPE when element_size is not the object's; EPQ_NOMEM. bounded, spsc: EPQ_FULL.
 * spsc: EPQ_BUSY when another thread is in a send at this moment; nothing was sent. */
EPQ_API epq_status epq_queue_try_send(epq_queue queue, const void* element, size_t element_size,
                                      epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_stack_try_send(epq_stack stack, const void* element, size_t element_size,
                                      epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_bounded_try_send(epq_bounded bounded, const void* element, size_t element_size,
                                        epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_spsc_try_send(epq_spsc spsc, const void* element, size_t element_size,
                                     epq_error* error) EPQ_NOEXCEPT;

/* Receives one element into `element`. EPQ_EMPTY, EPQ_CLOSED. spsc: EPQ_BUSY when another thread is in a receive at this
 * moment, or (where the kernel has begun to refuse membarrier) until the sender has seen a close. */
EPQ_API epq_status epq_queue_try_recv(epq_queue queue, void* element, size_t element_size,
                                      epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_stack_try_recv(epq_stack stack, void* element, size_t element_size,
                                      epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_bounded_try_recv(epq_bounded bounded, void* element, size_t element_size,
                                        epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_spsc_try_recv(epq_spsc spsc, void* element, size_t element_size, epq_error* error) EPQ_NOEXCEPT;

/* Sends `count` elements that lie one after the other, in this order. Queue: FIFO, other threads' elements may come in
 * between; EPQ_PARTIAL: the queue was closed, or memory ran out, after *sent of them. Stack: at one moment, all or none;
 * the last ends on top. bounded: as a queue. spsc: one after the other, seen all at once. Both: EPQ_PARTIAL when no more fit,
 * or (bounded) it was closed, after *sent of them; EPQ_FULL when none fits. EPQ_OK: all, *sent == count. EPQ_CLOSED, EPQ_FULL,
 * EPQ_NOMEM, EPQ_BUSY (spsc, as _try_send): none. count 0 is EPQ_OK.
 * No send waits for room: retry later, or send to a queue. */
EPQ_API epq_status epq_queue_send_n(epq_queue queue, const void* elements, size_t element_size, size_t count,
                                    size_t* sent, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_stack_send_n(epq_stack stack, const void* elements, size_t element_size, size_t count,
                                    size_t* sent, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_bounded_send_n(epq_bounded bounded, const void* elements, size_t element_size, size_t count,
                                      size_t* sent, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_spsc_send_n(epq_spsc spsc, const void* elements, size_t element_size, size_t count, size_t* sent,
                                   epq_error* error) EPQ_NOEXCEPT;

/* Receives between 1 and `capacity` elements; EPQ_OK as soon as there is one. Waits at most timeout_ns for the first:
 * 0 never waits (EPQ_EMPTY), negative waits without limit, otherwise EPQ_TIMEOUT. EPQ_CLOSED when closed and drained,
 * EPQ_STALE when it is destroyed meanwhile.
 * Blocks the calling OS thread while it waits: from Go use timeout 0 and the notifier. capacity 0 is EPQ_ARG.
 * spsc: EPQ_BUSY as _try_recv, at once or while it waited. Several threads may wait; one at a time may receive. */
EPQ_API epq_status epq_queue_recv_n(epq_queue queue, void* elements, size_t element_size, size_t capacity,
                                    size_t* received, int64_t timeout_ns, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_stack_recv_n(epq_stack stack, void* elements, size_t element_size, size_t capacity,
                                    size_t* received, int64_t timeout_ns, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_bounded_recv_n(epq_bounded bounded, void* elements, size_t element_size, size_t capacity,
                                      size_t* received, int64_t timeout_ns, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_spsc_recv_n(epq_spsc spsc, void* elements, size_t element_size, size_t capacity,
                                   size_t* received, int64_t timeout_ns, epq_error* error) EPQ_NOEXCEPT;

EPQ_API epq_status epq_queue_stats(epq_queue queue, epq_stats* out, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_stack_stats(epq_stack stack, epq_stats* out, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_bounded_stats(epq_bounded bounded, epq_stats* out, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_spsc_stats(epq_spsc spsc, epq_stats* out, epq_error* error) EPQ_NOEXCEPT;

/* ---- handles with fewer rights (since 1.1) -------------------------------------------------------------------------- */

/* Another handle of the same object, of any kind, with `rights`: EPQ_RIGHT_ bits, at least one, all of which `handle` has
 * (else EPQ_RIGHTS). It lives on when `handle` is revoked, and may be revoked alone; _close ends the flow for all of an object's handles,
 * _destroy all of them. EPQ_LIMIT, EPQ_NOMEM. */
EPQ_API epq_status epq_dup(uint64_t handle, uint32_t rights, uint64_t* out, epq_error* error) EPQ_NOEXCEPT;

/* Ends this one handle, of any kind and with any rights: it is stale from now on, and who waits by it wakes with EPQ_STALE. The
 * object goes on for its other handles, and ends with the last one, as by _destroy. */
EPQ_API epq_status epq_revoke(uint64_t handle, epq_error* error) EPQ_NOEXCEPT;

/* ---- notifier: how a runtime that must not block its threads learns that there is something to receive ------------ */

/* The process's eventfd (nonblocking, close-on-exec), made on the first call. It becomes readable when an armed object
 * has something to say. The caller must not close it. EPQ_SYS. */
EPQ_API epq_status epq_notifier_open(int32_t* fd, epq_error* error) EPQ_NOEXCEPT;

/* Arms the object: the next send, close or destroy disarms it, lists its handle for epq_notifier_take and writes the
 * eventfd. After arming, receive once more *before* sleeping: only what comes after the arming is announced. Arming twice is
 * arming once. Opens the notifier. Of several handles of an object the first one that is watched is the one to watch, for the
 * object's life; another one: EPQ_RIGHTS. EPQ_SYS: no eventfd; or the kernel has begun to refuse membarrier, and a send may then
 * be overlooked: poll instead, or start with EPOQUE_BARRIER=fallback in the environment. */
EPQ_API epq_status epq_queue_watch(epq_queue queue, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_stack_watch(epq_stack stack, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_bounded_watch(epq_bounded bounded, epq_error* error) EPQ_NOEXCEPT;
EPQ_API epq_status epq_spsc_watch(epq_spsc spsc, epq_error* error) EPQ_NOEXCEPT;

/* Takes up to `capacity` announced handles, the first announced first. *more is 1 when some are left: call again. A handle
 * may be stale already, and there may be nothing to receive any more. EPQ_OK, also with *taken == 0. EPQ_BUSY: another
 * thread is taking right now. capacity 0 is EPQ_ARG. */
EPQ_API epq_status epq_notifier_take(uint64_t* handles, size_t capacity, size_t* taken, uint32_t* more,
                                     epq_error* error) EPQ_NOEXCEPT;

/* ---- what there is, and an end in order (since 1.1) ------------------------------------------------------------------- */

typedef struct epq_handle_info {
    uint32_t size;    /* in:  sizeof(epq_handle_info); that of the first one of an array is that of all */
    uint32_t kind;    /* out: an EPQ_KIND_ number */
    uint64_t handle;  /* out */
    uint32_t rights;  /* out: EPQ_RIGHT_ bits */
    uint32_t closed;  /* out: 0 or 1 */
    uint64_t length;  /* out: about how many elements the object held during the call */
    uint64_t age_ns;  /* out: since the object was created; of a dup, too */
    uint64_t creator; /* out: the thread that created the object, by the kernel's number (gettid) */
    char name[32];    /* out */
} epq_handle_info;

/* Lists live handles, in no order that means anything, up to `capacity` of them. *cursor is 0 for the first call and what the
 * call before left for the next one; 0 again when there are no more: so `do epq_list(&cursor, ...); while (cursor != 0);`.
 * Handles that live during the whole of such a loop are listed once, others once or not at all. EPQ_OK, also with
 * *listed == 0. capacity 0 is EPQ_ARG. */
EPQ_API epq_status epq_list(uint64_t* cursor, epq_handle_info* infos, size_t capacity, size_t* listed,
                            epq_error* error) EPQ_NOEXCEPT;

#define EPQ_SHUTDOWN_DESTROY 1u /* destroy what is still held when the time is over (with a negative timeout: never) */

typedef struct epq_shutdown_report {
    uint32_t size;            /* in:  sizeof(epq_shutdown_report) */
    uint32_t reserved;        /* in:  zero */
    epq_handle_info* infos;   /* in:  room for `capacity` infos, or NULL */
    uint64_t capacity;        /* in */
    uint64_t listed;          /* out: how many infos were written */
    uint64_t held;            /* out: handles that were still live when the time was over */
    uint64_t destroyed;       /* out: objects that this call destroyed */
    uint64_t pending_objects; /* out: retired, not yet freed, in the end */
} epq_shutdown_report;

/* Closes every object, waits up to timeout_ns (0: not at all; negative: without limit) until all handles have been destroyed or
 * revoked by their holders, who drain them first; then destroys the rest where `flags` has EPQ_SHUTDOWN_DESTROY; then waits
 * for the reclamation as epq_domain_barrier. `report` may be NULL. EPQ_OK: no handle is left. EPQ_TIMEOUT: some are; `report`,
 * which is written then, too, and epq_list say which. May be called again, and by several threads; what is created afterwards works.
 * Blocks the calling OS thread. EPQ_STATE: the thread is inside a guard, view or deleter of C++; nothing was done. EPQ_SYS as
 * epq_domain_barrier; infos may be written all the same. */
EPQ_API epq_status epq_shutdown(int64_t timeout_ns, uint32_t flags, epq_shutdown_report* report,
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
 * EPQ_SYS: the kernel has begun to refuse membarrier, nothing can be reclaimed any more. EPQ_STATE: the thread is inside a guard,
 * view or deleter of C++, whose end it would wait for. */
EPQ_API epq_status epq_domain_barrier(epq_error* error) EPQ_NOEXCEPT;

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* EPOQUE_H */
