// SPDX-License-Identifier: BSL-1.0

//go:build cgo

package epoque

import (
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"

	"epoque.dev/epoque/go/internal/native"
)

// operations are all that can be done with an endpoint; each is called with arguments that would do on a live one.
func operations(t testing.TB, e endpoint) map[string]func() error {
	return map[string]func() error{
		"Send":     func() error { return e.Send(t.Context(), 1) },
		"TrySend":  func() error { return e.TrySend(1) },
		"SendN":    func() error { _, err := e.SendN(t.Context(), sequence(3)); return err },
		"TrySendN": func() error { _, err := e.TrySendN(sequence(3)); return err },
		"Recv":     func() error { _, err := e.Recv(t.Context()); return err },
		"TryRecv":  func() error { _, err := e.TryRecv(); return err },
		"RecvN":    func() error { _, err := e.RecvN(t.Context(), make([]uint64, 3)); return err },
		"TryRecvN": func() error { _, err := e.TryRecvN(make([]uint64, 3)); return err },
		"Close":    e.Close,
		"Stats":    func() error { _, err := e.Stats(); return err },
	}
}

func TestRelease(t *testing.T) {
	onBoth(t, "every operation on a released one says so", func(t *testing.T, e endpoint) {
		check(t, e.TrySend(1))
		e.Release()
		for name, operation := range operations(t, e) {
			err := operation()
			wantError(t, err, ErrReleased)
			var detail *Error
			if !errors.As(err, &detail) || detail.Op != name || detail.Name != e.Name() || detail.Handle != e.Handle() {
				t.Errorf("%s gave %#v", name, err)
			}
		}
		for range e.All(t.Context()) {
			t.Error("a released one gave an element")
		}
		if e.Len() != 0 {
			t.Error("a released one has a length")
		}
	})
	onBoth(t, "every operation on one that native code destroyed says stale", func(t *testing.T, e endpoint) {
		nativeDestroy(t, e)
		for _, operation := range operations(t, e) {
			wantError(t, operation(), ErrStale)
		}
	})
	onBoth(t, "releasing again does nothing", func(t *testing.T, e endpoint) {
		for range 3 {
			e.Release()
		}
	})
	onBoth(t, "release while others work ends each of them with released", func(t *testing.T, e endpoint) {
		var workers crew
		var begun atomic.Int32
		for _, operation := range operations(t, e) {
			for range 2 {
				workers.do(func() {
					begun.Add(1)
					for {
						err := operation()
						if errors.Is(err, ErrReleased) {
							return
						}
						if err != nil && !errors.Is(err, ErrEmpty) && !errors.Is(err, ErrClosed) {
							t.Error(err)
							return
						}
					}
				})
			}
		}
		until(func() bool { return begun.Load() == 20 })
		for range 100 {
			runtime.Gosched()
		}
		e.Release()
		workers.Wait()
	})
	t.Run("a zero or nil one says so", func(t *testing.T) {
		for _, e := range []endpoint{(*Queue[uint64])(nil), (*Stack[uint64])(nil), new(Queue[uint64]), new(Stack[uint64])} {
			for name, operation := range operations(t, e) {
				err := operation()
				wantError(t, err, ErrArgument)
				var detail *Error
				if !errors.As(err, &detail) || detail.Op != name {
					t.Errorf("%s gave %#v", name, err)
				}
			}
			e.Release()
			for range e.All(t.Context()) {
				t.Error("nothing gave an element")
			}
			if e.Len() != 0 || e.Handle() != 0 || e.Name() != "" {
				t.Error("nothing has a length, a handle or a name")
			}
		}
	})
}

// whileCollecting runs the test, and the garbage collector without a break.
func whileCollecting(test func()) {
	var stop atomic.Bool
	var collector crew
	collector.do(func() {
		for !stop.Load() {
			runtime.GC()
		}
	})
	test()
	stop.Store(true)
	collector.Wait()
}

func TestGarbageCollection(t *testing.T) {
	t.Run("one that was forgotten is destroyed", func(t *testing.T) {
		makeAndForget := func() (refs []native.Ref) {
			for range 10 {
				q := must[*Queue[uint64]](t)(NewUnbounded[uint64]())
				s := must[*Stack[uint64]](t)(NewStack[uint64]())
				check(t, q.TrySend(1))
				check(t, s.TrySend(1))
				park(t, q, 0)
				refs = append(refs, under(q).ref, under(s).ref)
			}
			return refs
		}
		for _, ref := range makeAndForget() {
			until(func() bool {
				runtime.GC()
				_, failure := ref.Stats()
				return failure != nil && failure.Code == native.Stale
			})
		}
	})
	t.Run("one that goroutines waited on is forgotten by the dispatcher, too", func(t *testing.T) {
		bits := func() uint64 {
			q := must[*Queue[uint64]](t)(NewUnbounded[uint64]())
			outcomes := park(t, q, 1)
			check(t, q.TrySend(1))
			wantOutcomes(t, outcomes, nil)
			return uint64(q.Handle())
		}()
		until(func() bool {
			runtime.GC()
			notices.mu.Lock()
			defer notices.mu.Unlock()
			_, known := notices.objects[bits]
			return !known
		})
	})
	t.Run("one that only a waiting goroutine has is kept", func(t *testing.T) {
		ref, outcomes := func() (native.Ref, <-chan error) {
			q := must[*Queue[uint64]](t)(NewUnbounded[uint64]())
			outcomes := park(t, q, 1)
			return under(q).ref, outcomes
		}()
		for range 10 {
			runtime.GC()
		}
		v := uint64(1)
		if status, failure := ref.TrySend(unsafe.Pointer(&v), 8); status != native.OK {
			t.Fatalf("the queue is gone: %v", failure)
		}
		wantOutcomes(t, outcomes, nil)
	})
	t.Run("one is kept for as long as its last operation takes", func(t *testing.T) {
		// Each operation is the last use of its queue. (The library itself is safe from a destroy in the middle; what is at
		// stake is the time between reading the handle and the library's look at it.)
		batch := make([]uint64, 1<<12)
		last := []func(q *Queue[uint64]) error{
			func(q *Queue[uint64]) error { _, err := q.TrySendN(batch); return err },
			func(q *Queue[uint64]) error { _, err := q.TryRecvN(batch); return err },
			func(q *Queue[uint64]) error { _, err := q.SendN(t.Context(), batch); return err },
			func(q *Queue[uint64]) error { _, err := q.RecvN(t.Context(), batch); return err },
			func(q *Queue[uint64]) error { return q.TrySend(1) },
			func(q *Queue[uint64]) error { _, err := q.TryRecv(); return err },
			func(q *Queue[uint64]) error { _, err := q.Stats(); return err },
			func(q *Queue[uint64]) error { return q.Close() },
		}
		whileCollecting(func() {
			for round := range 20 * len(last) {
				q := must[*Queue[uint64]](t)(NewUnbounded[uint64]())
				must[int](t)(q.TrySendN(batch[:round%2*len(batch)/2+1]))
				check(t, last[round%len(last)](q))
			}
		})
	})
	onBoth(t, "collections do not disturb those who send, receive and wait", func(t *testing.T, e endpoint) {
		const count = 20_000
		whileCollecting(func() {
			var sender crew
			sender.do(func() {
				for v := range uint64(count) {
					if err := e.Send(t.Context(), v); err != nil {
						t.Error(err)
					}
				}
			})
			for range count {
				must[uint64](t)(e.Recv(t.Context()))
			}
			sender.Wait()
		})
	})
}
