// SPDX-License-Identifier: BSL-1.0

//go:build cgo

package native

/*
#cgo CXXFLAGS: -std=c++20 -O2 -I${SRCDIR}/../../../include
#cgo LDFLAGS: -pthread

#cgo noescape native_close
#cgo nocallback native_close
#cgo noescape native_destroy
#cgo nocallback native_destroy
#cgo noescape native_try_send
#cgo nocallback native_try_send
#cgo noescape native_try_recv
#cgo nocallback native_try_recv
#cgo noescape native_send_n
#cgo nocallback native_send_n
#cgo noescape native_recv_n
#cgo nocallback native_recv_n
#cgo noescape native_stats
#cgo nocallback native_stats
#cgo noescape native_watch
#cgo nocallback native_watch
#cgo noescape epq_notifier_take
#cgo nocallback epq_notifier_take

#include "../../../ffi/epoque.h"

// One function per operation: the kind chooses the typed C function, which checks that the handle is of that kind.
// Elements are char*, not void*: cgo looks into what a void* points to at each call, which costs as much as the call.
#define OF_KIND(operation, ...)                                                                                        \
    (kind == EPQ_KIND_QUEUE ? epq_queue_##operation((epq_queue){bits}, __VA_ARGS__)                                     \
                            : epq_stack_##operation((epq_stack){bits}, __VA_ARGS__))

static int32_t native_create(uint32_t kind, const epq_options* options, uint64_t* bits, epq_error* error) {
    if (kind == EPQ_KIND_QUEUE) {
        epq_queue queue = {0};
        const int32_t status = epq_queue_create(options, &queue, error);
        *bits = queue.bits;
        return status;
    }
    epq_stack stack = {0};
    const int32_t status = epq_stack_create(options, &stack, error);
    *bits = stack.bits;
    return status;
}

static int32_t native_close(uint32_t kind, uint64_t bits, epq_error* error) { return OF_KIND(close, error); }

static int32_t native_destroy(uint32_t kind, uint64_t bits, epq_error* error) { return OF_KIND(destroy, error); }

static int32_t native_try_send(uint32_t kind, uint64_t bits, const char* element, size_t size, epq_error* error) {
    return OF_KIND(try_send, element, size, error);
}

static int32_t native_try_recv(uint32_t kind, uint64_t bits, char* element, size_t size, epq_error* error) {
    return OF_KIND(try_recv, element, size, error);
}

static int32_t native_send_n(uint32_t kind, uint64_t bits, const char* elements, size_t size, size_t count,
                             size_t* sent, epq_error* error) {
    return OF_KIND(send_n, elements, size, count, sent, error);
}

// Never waits: a goroutine that waited in here would hold an OS thread.
static int32_t native_recv_n(uint32_t kind, uint64_t bits, char* elements, size_t size, size_t capacity,
                             size_t* received, epq_error* error) {
    return OF_KIND(recv_n, elements, size, capacity, received, 0, error);
}

static int32_t native_stats(uint32_t kind, uint64_t bits, epq_stats* out, epq_error* error) {
    return OF_KIND(stats, out, error);
}

static int32_t native_watch(uint32_t kind, uint64_t bits, epq_error* error) { return OF_KIND(watch, error); }
*/
import "C"

import (
	"slices"
	"sync"
	"unsafe"

	_ "epoque.dev/epoque" // the C++ sources: a change there rebuilds this package
)

// Each pair must be equal: an index other than 0 does not compile.
var (
	_ = [1]struct{}{}[OK-C.EPQ_OK]
	_ = [1]struct{}{}[Full-C.EPQ_FULL]
	_ = [1]struct{}{}[Empty-C.EPQ_EMPTY]
	_ = [1]struct{}{}[Closed-C.EPQ_CLOSED]
	_ = [1]struct{}{}[Timeout-C.EPQ_TIMEOUT]
	_ = [1]struct{}{}[Partial-C.EPQ_PARTIAL]
	_ = [1]struct{}{}[Busy-C.EPQ_BUSY]
	_ = [1]struct{}{}[Stale-C.EPQ_STALE]
	_ = [1]struct{}{}[WrongKind-C.EPQ_KIND]
	_ = [1]struct{}{}[Argument-C.EPQ_ARG]
	_ = [1]struct{}{}[NoMemory-C.EPQ_NOMEM]
	_ = [1]struct{}{}[ABI-C.EPQ_ABI]
	_ = [1]struct{}{}[Type-C.EPQ_TYPE]
	_ = [1]struct{}{}[Limit-C.EPQ_LIMIT]
	_ = [1]struct{}{}[State-C.EPQ_STATE]
	_ = [1]struct{}{}[Rights-C.EPQ_RIGHTS]
	_ = [1]struct{}{}[System-C.EPQ_SYS]
	_ = [1]struct{}{}[Internal-C.EPQ_INTERNAL]
	_ = [1]struct{}{}[Queue-C.EPQ_KIND_QUEUE]
	_ = [1]struct{}{}[Stack-C.EPQ_KIND_STACK]
	_ = [1]struct{}{}[MaxElementSize-C.EPQ_MAX_ELEMENT_SIZE]
	_ = [1]struct{}{}[MaxNameLength+1-len(C.epq_options{}.name)]
)

// newError is an epq_error that is ready for a call. It lives on the caller's stack.
func newError() C.epq_error {
	return C.epq_error{size: C.sizeof_epq_error}
}

// failureOf is nil unless the status is an error. Only then does a call allocate.
func failureOf(status C.int32_t, e *C.epq_error) *Failure {
	if status >= 0 {
		return nil
	}
	return &Failure{
		Code:      Status(status),
		Errno:     int32(e.sys_errno),
		Handle:    uint64(e.handle),
		Retryable: e.action == C.EPQ_ACTION_RETRY,
		Message:   text(e.msg[:]),
	}
}

// text copies a C string of at most len(chars) characters. (C.GoString would move its argument to the heap.)
func text(chars []C.char) string {
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(chars))), len(chars))
	if end := slices.Index(bytes, 0); end >= 0 {
		bytes = bytes[:end]
	}
	return string(bytes)
}

// initOnce asks the library once.
var initOnce = sync.OnceValue(func() *Failure {
	options := C.epq_init_options{size: C.sizeof_epq_init_options, abi_version: C.EPQ_ABI_VERSION}
	e := newError()
	return failureOf(C.int32_t(C.epq_init(&options, nil, &e)), &e)
})

// Init checks once that header and library fit together, and that there is one library in the process.
func Init() *Failure { return initOnce() }

// Create makes an object. The name is at most MaxNameLength bytes, without NUL.
func Create(kind Kind, name string, elementSize uint32) (Ref, *Failure) {
	options := C.epq_options{size: C.sizeof_epq_options, element_size: C.uint32_t(elementSize)}
	for i := range min(len(name), MaxNameLength) {
		options.name[i] = C.char(name[i])
	}
	var bits C.uint64_t
	e := newError()
	failure := failureOf(C.native_create(C.uint32_t(kind), &options, &bits, &e), &e)
	return Ref{Bits: uint64(bits), Kind: kind}, failure
}

// Close ends the flow of elements into the object.
func (r Ref) Close() *Failure {
	e := newError()
	return failureOf(C.native_close(C.uint32_t(r.Kind), C.uint64_t(r.Bits), &e), &e)
}

// Destroy ends the object for everybody.
func (r Ref) Destroy() *Failure {
	e := newError()
	return failureOf(C.native_destroy(C.uint32_t(r.Kind), C.uint64_t(r.Bits), &e), &e)
}

// TrySend sends the element of `size` bytes at `element`.
func (r Ref) TrySend(element unsafe.Pointer, size uintptr) (Status, *Failure) {
	e := newError()
	status := C.native_try_send(C.uint32_t(r.Kind), C.uint64_t(r.Bits), (*C.char)(element), C.size_t(size), &e)
	return Status(status), failureOf(status, &e)
}

// TryRecv receives into the `size` bytes at `element`.
func (r Ref) TryRecv(element unsafe.Pointer, size uintptr) (Status, *Failure) {
	e := newError()
	status := C.native_try_recv(C.uint32_t(r.Kind), C.uint64_t(r.Bits), (*C.char)(element), C.size_t(size), &e)
	return Status(status), failureOf(status, &e)
}

// SendN sends `count` elements, and tells how many went.
func (r Ref) SendN(elements unsafe.Pointer, size, count uintptr) (int, Status, *Failure) {
	var sent C.size_t
	e := newError()
	status := C.native_send_n(C.uint32_t(r.Kind), C.uint64_t(r.Bits), (*C.char)(elements), C.size_t(size),
		C.size_t(count), &sent, &e)
	return int(sent), Status(status), failureOf(status, &e)
}

// RecvN receives up to `capacity` elements without waiting, and tells how many came.
func (r Ref) RecvN(elements unsafe.Pointer, size, capacity uintptr) (int, Status, *Failure) {
	var received C.size_t
	e := newError()
	status := C.native_recv_n(C.uint32_t(r.Kind), C.uint64_t(r.Bits), (*C.char)(elements), C.size_t(size),
		C.size_t(capacity), &received, &e)
	return int(received), Status(status), failureOf(status, &e)
}

// Stats reads the object's counters.
func (r Ref) Stats() (Stats, *Failure) {
	out := C.epq_stats{size: C.sizeof_epq_stats}
	e := newError()
	if failure := failureOf(C.native_stats(C.uint32_t(r.Kind), C.uint64_t(r.Bits), &out, &e), &e); failure != nil {
		return Stats{}, failure
	}
	return Stats{
		ElementSize: uint32(out.element_size),
		Sends:       uint64(out.sends),
		Receives:    uint64(out.receives),
		Length:      uint64(out.length),
		Waiters:     uint64(out.waiters),
		Closed:      out.closed != 0,
		Name:        text(out.name[:]),
	}, nil
}

// Watch arms the object: its next send, close or destroy is announced. See TakeNotices.
func (r Ref) Watch() *Failure {
	e := newError()
	return failureOf(C.native_watch(C.uint32_t(r.Kind), C.uint64_t(r.Bits), &e), &e)
}

// OpenNotifier gives the process's eventfd, which becomes readable when an armed object has something to say. The
// library owns it.
func OpenNotifier() (int, *Failure) {
	var fd C.int32_t
	e := newError()
	failure := failureOf(C.int32_t(C.epq_notifier_open(&fd, &e)), &e)
	return int(fd), failure
}

// TakeNotices takes announced handles, and tells whether some are left. One goroutine at a time. `handles` is not empty.
func TakeNotices(handles []uint64) (int, bool, *Failure) {
	var taken C.size_t
	var more C.uint32_t
	e := newError()
	status := C.int32_t(C.epq_notifier_take((*C.uint64_t)(unsafe.SliceData(handles)), C.size_t(len(handles)), &taken,
		&more, &e))
	return int(taken), more != 0 || Status(status) == Busy, failureOf(status, &e)
}

// GetDomainStats reads the counters of the reclamation behind all objects.
func GetDomainStats() (DomainStats, *Failure) {
	out := C.epq_domain_stats{size: C.sizeof_epq_domain_stats}
	e := newError()
	if failure := failureOf(C.int32_t(C.epq_domain_get_stats(&out, &e)), &e); failure != nil {
		return DomainStats{}, failure
	}
	return DomainStats{
		Asymmetric:       out.asymmetric != 0,
		Epoch:            uint64(out.epoch),
		Threads:          uint64(out.threads),
		Pinned:           uint64(out.pinned),
		PendingObjects:   uint64(out.pending_objects),
		PendingBytes:     uint64(out.pending_bytes),
		PeakPendingBytes: uint64(out.peak_pending_bytes),
		FreedObjects:     uint64(out.freed_objects),
		Advances:         uint64(out.advances),
		HeavyBarriers:    uint64(out.heavy_barriers),
		RefusedBarriers:  uint64(out.refused_barriers),
		LiveObjects:      uint64(out.live_objects),
	}, nil
}

// DomainBarrier waits, on an OS thread, until everything retired so far has been freed.
func DomainBarrier() *Failure {
	e := newError()
	return failureOf(C.int32_t(C.epq_domain_barrier(&e)), &e)
}
