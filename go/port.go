// SPDX-License-Identifier: BSL-1.0

package epoque

import (
	"context"
	"iter"
	"reflect"
	"runtime"
	"sync/atomic"
	"unsafe"

	"epoque.dev/epoque/go/internal/native"
)

// An object is a native object and its users in Go: all that Queue and Stack have in common, and that does not depend on
// the element type. Elements pass through put and take and nowhere else.
//
// Lifetime. The native object is destroyed by release, or, if the user forgot it, by a cleanup when the object becomes
// unreachable. Each method keeps the object reachable until the library has returned (runtime.KeepAlive): its last use
// of the receiver would otherwise be before the call, and the cleanup could destroy what the call works on.
type object struct {
	ref      native.Ref
	name     string
	released atomic.Bool // set before the native object is destroyed
	enrolled atomic.Bool // the dispatcher knows it
	notices  *dispatcher
	lot      lot
}

// newObject makes a native object for elements of type t.
func newObject(op string, kind native.Kind, t reflect.Type, opts []Option) (*object, error) {
	if err := checkElement(op, t); err != nil {
		return nil, err
	}
	o, err := gather(op, opts)
	if err != nil {
		return nil, err
	}
	if failure := native.Init(); failure != nil {
		return nil, failed(op, o.name, failure)
	}
	ref, failure := native.Create(kind, o.name, uint32(t.Size()))
	if failure != nil {
		return nil, failed(op, o.name, failure)
	}
	return adopt(ref, o.name, &notices), nil
}

// adopt makes the object that owns ref.
func adopt(ref native.Ref, name string, from *dispatcher) *object {
	o := &object{ref: ref, name: name, notices: from}
	runtime.AddCleanup(o, func(ref native.Ref) {
		ref.Destroy() // answers Stale if that was done before
		from.forget(ref.Bits)
	}, ref)
	return o
}

// answer turns the library's answer to op into an error.
func (o *object) answer(op string, status native.Status, failure *native.Failure) error {
	switch status {
	case native.OK:
		return nil
	case native.Empty:
		return ErrEmpty
	case native.Closed:
		return ErrClosed
	case native.Busy:
		return ErrBusy
	case native.Full:
		return ErrFull
	}
	return o.failed(op, failure)
}

func (o *object) failed(op string, failure *native.Failure) error {
	if failure == nil {
		return nil
	}
	if failure.Code == native.Stale && o.released.Load() {
		return &Error{Op: op, Name: o.name, Handle: Handle(o.ref.Bits), Code: int32(native.Stale),
			Msg: "Release was called; make a new one", sentinel: ErrReleased}
	}
	return failed(op, o.name, failure)
}

// unmade is the answer of a nil or zero Queue or Stack.
func unmade(op string) error {
	return invalid(op, "", "it is nil or a zero value; make one with NewUnbounded or NewStack")
}

// admit is nil when ctx lets an operation begin.
func (o *object) admit(ctx context.Context, op string) error {
	switch {
	case o == nil:
		return unmade(op)
	case ctx == nil:
		return invalid(op, o.name, "the context is nil; pass context.Background() to wait without limit")
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return nil
}

// put sends `count` elements in one go.
func (o *object) put(op string, elements unsafe.Pointer, size, count uintptr) (int, error) {
	if o == nil {
		return 0, unmade(op)
	}
	total := 0
	for {
		n, status, failure := o.ref.SendN(unsafe.Add(elements, uintptr(total)*size), size, count-uintptr(total))
		total += n
		if status == native.Partial {
			continue // closed, or out of memory: the next call says which
		}
		if total > 0 {
			o.lot.wake()
		}
		runtime.KeepAlive(o)
		return total, o.answer(op, status, failure)
	}
}

// putOne sends one element.
func (o *object) putOne(op string, element unsafe.Pointer, size uintptr) error {
	if o == nil {
		return unmade(op)
	}
	status, failure := o.ref.TrySend(element, size)
	if status != native.OK {
		return o.answer(op, status, failure)
	}
	o.lot.wake()
	runtime.KeepAlive(o)
	return nil
}

// take receives up to `capacity` elements without waiting.
func (o *object) take(elements unsafe.Pointer, size, capacity uintptr) (n int, status native.Status,
	failure *native.Failure) {
	if capacity == 1 {
		if status, failure = o.ref.TryRecv(elements, size); status == native.OK {
			n = 1
		}
	} else {
		n, status, failure = o.ref.RecvN(elements, size, capacity)
	}
	runtime.KeepAlive(o)
	return n, status, failure
}

// tryTake receives between 1 and `capacity` elements, or says why not.
func (o *object) tryTake(op string, elements unsafe.Pointer, size, capacity uintptr) (int, error) {
	if o == nil {
		return 0, unmade(op)
	}
	if capacity == 0 {
		return 0, o.noRoom(op)
	}
	n, status, failure := o.take(elements, size, capacity)
	return n, o.answer(op, status, failure)
}

// awaitTake is tryTake, but waits for the first element.
func (o *object) awaitTake(ctx context.Context, op string, elements unsafe.Pointer, size, capacity uintptr) (int, error) {
	if err := o.admit(ctx, op); err != nil {
		return 0, err
	}
	if capacity == 0 {
		return 0, o.noRoom(op)
	}
	n, status, failure := o.take(elements, size, capacity)
	if status == native.Empty || status == native.Busy {
		runtime.Gosched() // often the sender is another goroutine that only needs to run
		n, status, failure = o.take(elements, size, capacity)
	}
	if status == native.Empty || status == native.Busy {
		return o.wait(ctx, op, elements, size, capacity)
	}
	return n, o.answer(op, status, failure)
}

func (o *object) noRoom(op string) error {
	return invalid(op, o.name, "the slice to receive into is empty; make it at least 1 long")
}

func (o *object) close() error {
	if o == nil {
		return unmade("Close")
	}
	failure := o.ref.Close()
	if failure == nil {
		o.lot.flush()
	}
	runtime.KeepAlive(o)
	return o.failed("Close", failure)
}

func (o *object) release() {
	if o == nil || o.released.Swap(true) {
		return
	}
	o.ref.Destroy() // answers Stale if native code was first
	o.lot.flush()
	o.notices.forget(o.ref.Bits)
}

func (o *object) handle() Handle {
	if o == nil {
		return 0
	}
	return Handle(o.ref.Bits)
}

func (o *object) label() string {
	if o == nil {
		return ""
	}
	return o.name
}

// A port is an object with its element type: where typed values become bytes and back.
type port[T any] struct {
	*object
}

func newPort[T any](op string, kind native.Kind, opts []Option) (port[T], error) {
	o, err := newObject(op, kind, reflect.TypeFor[T](), opts)
	return port[T]{o}, err
}

func (p port[T]) send(ctx context.Context, v T) error {
	if err := p.admit(ctx, "Send"); err != nil {
		return err
	}
	return p.putOne("Send", unsafe.Pointer(&v), unsafe.Sizeof(v))
}

func (p port[T]) trySend(v T) error {
	return p.putOne("TrySend", unsafe.Pointer(&v), unsafe.Sizeof(v))
}

func (p port[T]) recv(ctx context.Context) (v T, err error) {
	_, err = p.awaitTake(ctx, "Recv", unsafe.Pointer(&v), unsafe.Sizeof(v), 1)
	return v, err
}

func (p port[T]) tryRecv() (v T, err error) {
	_, err = p.tryTake("TryRecv", unsafe.Pointer(&v), unsafe.Sizeof(v), 1)
	return v, err
}

func (p port[T]) sendN(ctx context.Context, vs []T) (int, error) {
	if err := p.admit(ctx, "SendN"); err != nil {
		return 0, err
	}
	return p.put("SendN", pointerTo(vs), sizeOf[T](), uintptr(len(vs)))
}

func (p port[T]) trySendN(vs []T) (int, error) {
	return p.put("TrySendN", pointerTo(vs), sizeOf[T](), uintptr(len(vs)))
}

func (p port[T]) recvN(ctx context.Context, dst []T) (int, error) {
	return p.awaitTake(ctx, "RecvN", pointerTo(dst), sizeOf[T](), uintptr(len(dst)))
}

func (p port[T]) tryRecvN(dst []T) (int, error) {
	return p.tryTake("TryRecvN", pointerTo(dst), sizeOf[T](), uintptr(len(dst)))
}

func (p port[T]) all(ctx context.Context) iter.Seq[T] {
	return func(yield func(T) bool) {
		for {
			if v, err := p.recv(ctx); err != nil || !yield(v) {
				return
			}
		}
	}
}

func pointerTo[T any](s []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }

func sizeOf[T any]() uintptr {
	var v T
	return unsafe.Sizeof(v)
}
