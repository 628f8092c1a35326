// SPDX-License-Identifier: BSL-1.0

package epoque

import (
	"errors"
	"fmt"
	"syscall"

	"epoque.dev/epoque/go/internal/native"
)

// Normal answers. They come as they are, without allocation; compare with errors.Is or ==.
var (
	// ErrEmpty: there is nothing to receive now. Wait with Recv, or try later.
	ErrEmpty = errors.New("epoque: empty")
	// ErrFull: the object holds its capacity. A Queue and a Stack are unbounded and never say so.
	ErrFull = errors.New("epoque: full")
	// ErrClosed: to a sender, no more is taken; to a receiver, no more will come and all there was has been received.
	ErrClosed = errors.New("epoque: closed")
	// ErrBusy: another thread is in the middle of an operation that decides the answer. Try again at once.
	ErrBusy = errors.New("epoque: busy")
)

// What an [*Error] unwraps to.
var (
	// ErrReleased: Release was called on this object.
	ErrReleased = errors.New("epoque: released")
	// ErrStale: native code destroyed the object.
	ErrStale = errors.New("epoque: stale handle")
	// ErrKind: the handle is of another kind of object.
	ErrKind = errors.New("epoque: handle of another kind")
	// ErrType: the element's size differs from the object's.
	ErrType = errors.New("epoque: element type differs")
	// ErrPointers: the element type contains a Go pointer. Elements lie in memory that the garbage collector does not see.
	ErrPointers = errors.New("epoque: element type contains pointers")
	// ErrArgument: an argument can't be right: a nil context, an empty slice to receive into, an element type of size 0
	// or too large, a nil or zero Queue or Stack.
	ErrArgument = errors.New("epoque: invalid argument")
	// ErrNoMemory: memory ran out; nothing was changed.
	ErrNoMemory = errors.New("epoque: out of memory")
	// ErrLimit: a limit of the library is reached.
	ErrLimit = errors.New("epoque: limit reached")
	// ErrState: not possible now.
	ErrState = errors.New("epoque: not possible in this state")
	// ErrRights: the handle lacks the right to do this.
	ErrRights = errors.New("epoque: handle lacks the right")
	// ErrABI: Go package and native library do not fit together.
	ErrABI = errors.New("epoque: library does not fit")
	// ErrSystem: the operating system refused; Error.Errno says why.
	ErrSystem = errors.New("epoque: system call failed")
	// ErrInternal: a defect of epoque. Please report it.
	ErrInternal = errors.New("epoque: internal error")
	// ErrNoCgo: the program was built with CGO_ENABLED=0 and so without the native library.
	ErrNoCgo = errors.New("epoque: built without cgo")
)

// sentinels are the errors for the statuses of the native library.
var sentinels = map[native.Status]error{
	native.Full:      ErrFull,
	native.Empty:     ErrEmpty,
	native.Closed:    ErrClosed,
	native.Busy:      ErrBusy,
	native.Stale:     ErrStale,
	native.WrongKind: ErrKind,
	native.Argument:  ErrArgument,
	native.NoMemory:  ErrNoMemory,
	native.ABI:       ErrABI,
	native.Type:      ErrType,
	native.Limit:     ErrLimit,
	native.State:     ErrState,
	native.Rights:    ErrRights,
	native.System:    ErrSystem,
	native.Internal:  ErrInternal,
	native.NoCgo:     ErrNoCgo,
}

// An Error says which operation on which object failed, why, and what to do. It unwraps to one of the Err values above.
type Error struct {
	Op     string        // the method or function, "TrySend"
	Name   string        // the object's name, as given by WithName
	Handle Handle        // the object's handle, or 0
	Code   int32         // the native library's epq_status, or 0 if the error arose in Go
	Errno  syscall.Errno // of a failed system call, or 0
	Msg    string        // what, why, what to do

	sentinel error
	retry    bool
}

// Error gives one line.
func (e *Error) Error() string {
	text := "epoque: " + e.Op
	if e.Handle != 0 {
		text += " on " + e.Handle.String()
	}
	if e.Name != "" {
		text += fmt.Sprintf(" %q", e.Name)
	}
	text += ": " + e.Msg
	if e.Errno != 0 {
		text += ": " + e.Errno.Error()
	}
	return text
}

// Unwrap gives the Err value that the error is a case of.
func (e *Error) Unwrap() error { return e.sentinel }

// Is reports whether target is the error's Errno.
func (e *Error) Is(target error) bool {
	errno, ok := target.(syscall.Errno)
	return ok && errno != 0 && errno == e.Errno
}

// Retryable reports whether the same call may succeed later without anybody changing the program or its environment.
func Retryable(err error) bool {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.retry
	}
	return errors.Is(err, ErrFull) || errors.Is(err, ErrEmpty) || errors.Is(err, ErrBusy)
}

// invalid is the error for an argument that can't be right.
func invalid(op, name, format string, args ...any) *Error {
	return &Error{Op: op, Name: name, Msg: fmt.Sprintf(format, args...), sentinel: ErrArgument}
}

// failed turns what the library answered into an error.
func failed(op, name string, failure *native.Failure) *Error {
	return &Error{
		Op:       op,
		Name:     name,
		Handle:   Handle(failure.Handle),
		Code:     int32(failure.Code),
		Errno:    syscall.Errno(failure.Errno),
		Msg:      failure.Message,
		sentinel: sentinels[failure.Code],
		retry:    failure.Retryable,
	}
}
