// SPDX-License-Identifier: BSL-1.0

package epoque

import (
	"runtime"

	"epoque.dev/epoque/go/internal/native"
)

// Stats are an object's counters. They are read one after the other while others work: each was true at some moment
// during the call. They count what all users do, Go and native.
type Stats struct {
	Name        string
	Handle      Handle
	ElementSize int    // bytes
	Sends       uint64 // elements sent so far
	Receives    uint64 // elements received so far
	Length      uint64 // elements in it, about
	Waiting     int    // goroutines of this program that wait in Recv, RecvN or All
	// NativeWaiters are native threads that wait, plus one while the library is to tell this package of the next send.
	NativeWaiters uint64
	Closed        bool
}

func (o *object) stats() (Stats, error) {
	if o == nil {
		return Stats{}, unmade("Stats")
	}
	s, failure := o.ref.Stats()
	runtime.KeepAlive(o)
	if failure != nil {
		return Stats{}, o.failed("Stats", failure)
	}
	return Stats{
		Name:          s.Name,
		Handle:        Handle(o.ref.Bits),
		ElementSize:   int(s.ElementSize),
		Sends:         s.Sends,
		Receives:      s.Receives,
		Length:        s.Length,
		Waiting:       o.lot.waiting(),
		NativeWaiters: s.Waiters,
		Closed:        s.Closed,
	}, nil
}

// length is about how many elements there are; 0 if the object is no more.
func (o *object) length() int {
	s, err := o.stats()
	if err != nil {
		return 0
	}
	return int(s.Length)
}

// DomainStatistics are the counters of the memory reclamation that all objects of the process share.
type DomainStatistics struct {
	Asymmetric       bool   // membarrier(2) is in use; otherwise each operation pays a locked instruction
	Epoch            uint64 // the current one
	Threads          uint64 // OS threads that have a record
	Pinned           uint64 // of these, how many are in a guard of the C++ side
	PendingObjects   uint64 // retired and not yet freed
	PendingBytes     uint64 // of these, the bytes
	PeakPendingBytes uint64 // the highest seen at an advance of the epoch
	FreedObjects     uint64 // so far
	Advances         uint64 // of the epoch, so far
	HeavyBarriers    uint64 // so far
	RefusedBarriers  uint64 // heavy barriers that the kernel refused
	LiveObjects      uint64 // handles that are live
}

// DomainStats reads them.
func DomainStats() (DomainStatistics, error) {
	s, failure := native.GetDomainStats()
	if failure != nil {
		return DomainStatistics{}, failed("DomainStats", "", failure)
	}
	return DomainStatistics(s), nil
}
