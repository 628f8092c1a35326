// SPDX-License-Identifier: BSL-1.0

// Package native is the Go side of epoque's C interface (ffi/epoque.h), and the only package that uses cgo.
//
// It compiles the C++ library into the program and wraps each C function in a Go function that allocates nothing unless
// it fails. It has no policy: no waiting, no contexts, no element types. Those are package epoque's.
//
// With CGO_ENABLED=0 the same functions exist and answer [NoCgo].
package native

import "unsafe"

// A Status is what a C function returned (epq_status): 0 is done, positive is normal flow, negative is an error.
type Status int32

// The statuses of ffi/epoque.h.
const (
	OK      Status = 0
	Full    Status = 1
	Empty   Status = 2
	Closed  Status = 3
	Timeout Status = 4
	Partial Status = 5
	Busy    Status = 6

	Stale     Status = -1
	WrongKind Status = -2
	Argument  Status = -3
	NoMemory  Status = -4
	ABI       Status = -5
	Type      Status = -6
	Limit     Status = -7
	State     Status = -8
	Rights    Status = -9
	System    Status = -10
	Internal  Status = -11
)

// NoCgo is no status of C: this program was built without the library.
const NoCgo Status = -1000

// A Kind is a kind of object, as in the top byte of a handle.
type Kind uint32

// The kinds of ffi/epoque.h.
const (
	Queue Kind = 1 // unbounded MPMC FIFO
	Stack Kind = 2 // unbounded LIFO
)

// Limits of ffi/epoque.h.
const (
	MaxElementSize = 4096
	MaxNameLength  = 31
)

// A Ref is a typed handle: the number, and the kind that its holder takes it for. The library checks both at each call,
// so a Ref may be stale, forged or of the wrong kind without harm.
type Ref struct {
	Bits uint64
	Kind Kind
}

// A Failure is an error of the library (epq_error).
type Failure struct {
	Code      Status
	Errno     int32  // of a failed system call, else 0
	Handle    uint64 // the handle it was about, else 0
	Retryable bool   // the same call may succeed later
	Message   string // what, why, what to do
}

// Stats is epq_stats.
type Stats struct {
	ElementSize uint32
	Sends       uint64
	Receives    uint64
	Length      uint64
	Waiters     uint64
	Closed      bool
	Name        string
}

// DomainStats is epq_domain_stats.
type DomainStats struct {
	Asymmetric       bool
	Epoch            uint64
	Threads          uint64
	Pinned           uint64
	PendingObjects   uint64
	PendingBytes     uint64
	PeakPendingBytes uint64
	FreedObjects     uint64
	Advances         uint64
	HeavyBarriers    uint64
	RefusedBarriers  uint64
	LiveObjects      uint64
}

// api is the list of what both builds of this package have; it exists to hold them to the same signatures.
type api interface {
	Close() *Failure
	Destroy() *Failure
	TrySend(element unsafe.Pointer, size uintptr) (Status, *Failure)
	TryRecv(element unsafe.Pointer, size uintptr) (Status, *Failure)
	SendN(elements unsafe.Pointer, size, count uintptr) (int, Status, *Failure)
	RecvN(elements unsafe.Pointer, size, capacity uintptr) (int, Status, *Failure)
	Stats() (Stats, *Failure)
	Watch() *Failure
}

var (
	_ api                                                              = Ref{}
	_ func() *Failure                                                  = Init
	_ func(kind Kind, name string, elementSize uint32) (Ref, *Failure) = Create
	_ func() (int, *Failure)                                           = OpenNotifier
	_ func(handles []uint64) (int, bool, *Failure)                     = TakeNotices
	_ func() (DomainStats, *Failure)                                   = GetDomainStats
	_ func() *Failure                                                  = DomainBarrier
)
