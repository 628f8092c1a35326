// SPDX-License-Identifier: BSL-1.0

//go:build cgo

package native

import (
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"
)

func newRef(t *testing.T, kind Kind) Ref {
	t.Helper()
	ref, failure := Create(kind, "tested", 8)
	if failure != nil {
		t.Fatal(failure.Message)
	}
	t.Cleanup(func() { ref.Destroy() })
	return ref
}

func TestFailures(t *testing.T) {
	t.Run("a failure says what, why and what to do", func(t *testing.T) {
		ref := newRef(t, Queue)
		if failure := ref.Destroy(); failure != nil {
			t.Fatal(failure.Message)
		}
		var v uint64
		status, failure := ref.TrySend(unsafe.Pointer(&v), 8)
		if status != Stale || failure.Code != Stale || failure.Handle != ref.Bits || failure.Retryable {
			t.Fatalf("status %d, %+v", status, failure)
		}
		if failure.Message == "" || strings.ContainsRune(failure.Message, 0) {
			t.Fatalf("the message is %q", failure.Message)
		}
	})
	t.Run("a name arrives whole", func(t *testing.T) {
		for _, name := range []string{"", "n", strings.Repeat("n", MaxNameLength)} {
			ref, failure := Create(Stack, name, 1)
			if failure != nil {
				t.Fatal(failure.Message)
			}
			stats, failure := ref.Stats()
			if failure != nil || stats.Name != name {
				t.Errorf("%q became %q, %v", name, stats.Name, failure)
			}
			ref.Destroy()
		}
	})
	t.Run("the library initializes, again and again", func(t *testing.T) {
		for range 3 {
			if failure := Init(); failure != nil {
				t.Fatal(failure.Message)
			}
		}
	})
	t.Run("the domain's barrier ends, and every object destroyed before it is freed", func(t *testing.T) {
		before, failure := GetDomainStats()
		if failure != nil {
			t.Fatal(failure.Message)
		}
		const objects = 10
		for range objects {
			newRef(t, Queue).Destroy()
		}
		if failure := DomainBarrier(); failure != nil {
			t.Fatal(failure.Message)
		}
		after, failure := GetDomainStats()
		if failure != nil {
			t.Fatal(failure.Message)
		}
		if after.FreedObjects < before.FreedObjects+objects {
			t.Errorf("%d were freed before %d more were destroyed; %d are freed after", before.FreedObjects, objects, after.FreedObjects)
		}
	})
}

func TestHandles(t *testing.T) {
	answers := func(ref Ref) []Status {
		var v [4]uint64
		p := unsafe.Pointer(&v)
		codeOf := func(failure *Failure) Status {
			if failure == nil {
				return OK
			}
			return failure.Code
		}
		sent, _ := ref.TrySend(p, 8)
		received, _ := ref.TryRecv(p, 8)
		_, sentN, _ := ref.SendN(p, 8, 4)
		_, receivedN, _ := ref.RecvN(p, 8, 4)
		_, stats := ref.Stats()
		return []Status{sent, received, sentN, receivedN, codeOf(stats), codeOf(ref.Watch()), codeOf(ref.Close())}
	}
	t.Run("a made-up handle is stale", func(t *testing.T) {
		live := newRef(t, Queue)
		for _, kind := range []Kind{Queue, Stack} {
			for _, bits := range []uint64{
				0, 1, ^uint64(0), uint64(kind) << 56, uint64(kind)<<56 | 1, uint64(kind)<<56 | 0xffffff<<32 | 1, live.Bits + 2,
			} {
				ref := Ref{Bits: bits, Kind: kind}
				for i, answer := range append(answers(ref), ref.Destroy().Code) {
					if answer != Stale && answer != WrongKind {
						t.Errorf("operation %d on %#x, taken for kind %d, answers %d", i, bits, kind, answer)
					}
				}
			}
		}
	})
	t.Run("a handle of another kind says so", func(t *testing.T) {
		q, s := newRef(t, Queue), newRef(t, Stack)
		for i, answer := range append(answers(Ref{Bits: q.Bits, Kind: Stack}),
			answers(Ref{Bits: s.Bits, Kind: Queue})...) {
			if answer != WrongKind {
				t.Errorf("operation %d answers %d, want %d", i%7, answer, WrongKind)
			}
		}
	})
	t.Run("an element of another size is refused", func(t *testing.T) {
		var v uint64
		status, failure := newRef(t, Queue).TrySend(unsafe.Pointer(&v), 4)
		if status != Type || failure == nil || failure.Message == "" {
			t.Fatalf("the answer is %d, %v", status, failure)
		}
	})
	t.Run("handles answer from any goroutine while others create and destroy", func(t *testing.T) {
		const slots = 8
		var handles [slots]atomic.Uint64
		var stop atomic.Bool
		var users, makers sync.WaitGroup
		kindOf := func(slot int) Kind { return Queue + Kind(slot%2) }
		for i := range 4 {
			users.Add(1)
			go func() {
				defer users.Done()
				random := rand.New(rand.NewPCG(uint64(i), 3))
				for !stop.Load() {
					slot := random.IntN(slots)
					for _, answer := range answers(Ref{Bits: handles[slot].Load(), Kind: kindOf(slot)}) {
						switch answer {
						case OK, Empty, Closed, Partial, Stale, WrongKind:
						default:
							t.Errorf("the answer is %d", answer)
						}
					}
				}
			}()
		}
		for i := range 2 {
			makers.Add(1)
			go func() {
				defer makers.Done()
				random := rand.New(rand.NewPCG(uint64(i), 4))
				for range 20_000 {
					slot := random.IntN(slots)
					ref, failure := Create(kindOf(slot), "", 8)
					if failure != nil {
						t.Error(failure.Message)
						return
					}
					old := Ref{Bits: handles[slot].Swap(ref.Bits), Kind: kindOf(slot)}
					if failure := old.Destroy(); old.Bits != 0 && failure != nil {
						t.Error(failure.Message)
					}
				}
			}()
		}
		makers.Wait()
		stop.Store(true)
		users.Wait()
		for slot := range slots {
			Ref{Bits: handles[slot].Load(), Kind: kindOf(slot)}.Destroy()
		}
	})
}
