// SPDX-License-Identifier: BSL-1.0

//go:build cgo

package epoque

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"epoque.dev/epoque/go/internal/native"
)

// The native functions act on an endpoint as a C++ thread would: Go's own wake-ups know nothing of it, so that the
// only way to a goroutine is through the eventfd and the dispatcher.

func nativeSend(t testing.TB, e endpoint, vs ...uint64) {
	t.Helper()
	n, status, failure := under(e).ref.SendN(unsafe.Pointer(unsafe.SliceData(vs)), 8, uintptr(len(vs)))
	if n != len(vs) || status != native.OK {
		t.Fatalf("sent %d of %d: status %d, %v", n, len(vs), status, failure)
	}
}

func nativeClose(t testing.TB, e endpoint) {
	t.Helper()
	if failure := under(e).ref.Close(); failure != nil {
		t.Fatal(failure.Message)
	}
}

func nativeDestroy(t testing.TB, e endpoint) {
	t.Helper()
	if failure := under(e).ref.Destroy(); failure != nil {
		t.Fatal(failure.Message)
	}
}

// park has n goroutines call Recv, and returns when all of them sleep. Each outcome comes through the channel.
func park(t testing.TB, e endpoint, n int) <-chan error {
	outcomes := make(chan error, n)
	for range n {
		go func() {
			_, err := e.Recv(t.Context())
			outcomes <- err
		}()
	}
	untilWaiting(e, n)
	return outcomes
}

func wantOutcomes(t testing.TB, outcomes <-chan error, want error) {
	t.Helper()
	for range cap(outcomes) {
		if err := <-outcomes; !errors.Is(err, want) {
			t.Errorf("a waiting Recv ended with %v, want %v", err, want)
		}
	}
}

func TestWaiting(t *testing.T) {
	onBoth(t, "a receive waits for a send by Go", func(t *testing.T, e endpoint) {
		outcomes := park(t, e, 1)
		check(t, e.Send(t.Context(), 7))
		wantOutcomes(t, outcomes, nil)
	})
	onBoth(t, "a receive waits for a send by native code", func(t *testing.T, e endpoint) {
		outcomes := park(t, e, 1)
		nativeSend(t, e, 7)
		wantOutcomes(t, outcomes, nil)
	})
	onBoth(t, "a receive waits again and again", func(t *testing.T, e endpoint) {
		for range 1000 {
			outcomes := park(t, e, 1)
			nativeSend(t, e, 7)
			wantOutcomes(t, outcomes, nil)
		}
	})
	onBoth(t, "one native batch serves all who wait", func(t *testing.T, e endpoint) {
		const count = 500
		outcomes := park(t, e, count)
		nativeSend(t, e, sequence(count)...)
		wantOutcomes(t, outcomes, nil)
	})
	onBoth(t, "one batch by Go serves all who wait", func(t *testing.T, e endpoint) {
		const count = 500
		outcomes := park(t, e, count)
		must[int](t)(e.TrySendN(sequence(count)))
		wantOutcomes(t, outcomes, nil)
	})
	onBoth(t, "close wakes all who wait", func(t *testing.T, e endpoint) {
		outcomes := park(t, e, 100)
		check(t, e.Close())
		wantOutcomes(t, outcomes, ErrClosed)
	})
	onBoth(t, "close by native code wakes all who wait", func(t *testing.T, e endpoint) {
		outcomes := park(t, e, 100)
		nativeClose(t, e)
		wantOutcomes(t, outcomes, ErrClosed)
	})
	onBoth(t, "release wakes all who wait", func(t *testing.T, e endpoint) {
		outcomes := park(t, e, 100)
		e.Release()
		wantOutcomes(t, outcomes, ErrReleased)
	})
	onBoth(t, "destroy by native code wakes all who wait", func(t *testing.T, e endpoint) {
		outcomes := park(t, e, 100)
		nativeDestroy(t, e)
		wantOutcomes(t, outcomes, ErrStale)
	})
	onBoth(t, "what is left at the close goes to some who wait, closed to the others", func(t *testing.T, e endpoint) {
		outcomes := park(t, e, 100)
		nativeSend(t, e, sequence(30)...)
		nativeClose(t, e)
		served := 0
		for range cap(outcomes) {
			if err := <-outcomes; err == nil {
				served++
			} else {
				wantError(t, err, ErrClosed)
			}
		}
		if served != 30 {
			t.Fatalf("%d got an element, want 30", served)
		}
	})
	t.Run("many objects wait at the same time", func(t *testing.T) {
		const count = 1000 // more than the dispatcher takes in one go
		var endpoints [count]endpoint
		var outcomes [count]<-chan error
		for i := range count {
			endpoints[i] = newQueue(t)
			outcomes[i] = park(t, endpoints[i], 1)
		}
		for _, e := range endpoints {
			nativeSend(t, e, 1)
		}
		for _, o := range outcomes {
			wantOutcomes(t, o, nil)
		}
	})
	onBoth(t, "no wake-up is lost between batches, thieves and cancelled waiters", func(t *testing.T, e endpoint) {
		const batches = 20_000
		var received atomic.Int64
		var receivers crew
		for i := range 12 {
			receivers.do(func() {
				random := rand.New(rand.NewPCG(uint64(i), 1))
				buffer := make([]uint64, 2)
				for {
					ctx, cancel := context.WithCancel(t.Context())
					if i%3 == 0 { // an impatient one
						patience := random.IntN(50)
						go func() {
							for range patience {
								runtime.Gosched()
							}
							cancel()
						}()
					}
					n, err := e.RecvN(ctx, buffer[:1+i%2])
					cancel()
					if received.Add(int64(n)); errors.Is(err, ErrClosed) {
						return
					} else if err != nil && !errors.Is(err, context.Canceled) {
						t.Error(err)
						return
					}
				}
			})
		}
		sent := int64(0)
		random := rand.New(rand.NewPCG(1, 2))
		for range batches {
			vs := sequence(1 + random.IntN(4))
			nativeSend(t, e, vs...)
			sent += int64(len(vs))
			if random.IntN(4) == 0 { // a thief, who does not wait
				if _, err := e.TryRecv(); err == nil {
					received.Add(1)
				}
			}
			if random.IntN(8) == 0 { // everything must arrive while nobody sends
				until(func() bool { return received.Load() == sent })
			}
		}
		nativeClose(t, e)
		receivers.Wait()
		if received.Load() != sent {
			t.Fatalf("%d sent, %d received", sent, received.Load())
		}
	})
}

func TestLot(t *testing.T) {
	place := func() *waiter { return &waiter{signal: make(chan struct{}, 1)} }
	signalled := func(w *waiter) bool { return len(w.signal) == 1 }

	t.Run("it wakes the one who has waited longest", func(t *testing.T) {
		var l lot
		first, second := place(), place()
		l.enter(first, false)
		l.enter(second, false)
		l.wake()
		if !signalled(first) || signalled(second) {
			t.Fatal("the wrong one was woken")
		}
	})
	t.Run("who was woken for nothing goes back to the head", func(t *testing.T) {
		var l lot
		first, second := place(), place()
		l.enter(first, false)
		l.enter(second, false)
		l.wake()
		<-first.signal
		l.begin(first)
		l.enter(first, true)
		l.wake()
		if !signalled(first) || signalled(second) {
			t.Fatal("the wrong one was woken")
		}
	})
	t.Run("nobody else is woken while one is on its way", func(t *testing.T) {
		var l lot
		first, second := place(), place()
		l.enter(first, false)
		l.enter(second, false)
		l.wake()
		l.wakeOne()
		if signalled(second) {
			t.Fatal("two were woken")
		}
		<-first.signal
		l.begin(first)
		l.wake()
		if !signalled(second) {
			t.Fatal("the second was not woken")
		}
	})
	t.Run("who is cancelled after it was woken passes it on", func(t *testing.T) {
		var l lot
		first, second := place(), place()
		l.enter(first, false)
		l.enter(second, false)
		l.wake()
		l.leave(first)
		if !signalled(second) || signalled(first) {
			t.Fatal("the wake-up was lost")
		}
	})
	t.Run("who is cancelled before it was woken takes nothing along", func(t *testing.T) {
		var l lot
		first, second, third := place(), place(), place()
		l.enter(first, false)
		l.enter(second, false)
		l.enter(third, false)
		l.leave(second)
		l.leave(first)
		l.wake()
		if !signalled(third) || l.waiting() != 0 {
			t.Fatal("the third was not woken")
		}
	})
	t.Run("who sleeps because the library was busy wakes by itself", func(t *testing.T) {
		var l lot
		w := place()
		l.enter(w, false)
		if !l.sleep(w, nil, true) || l.waiting() != 0 {
			t.Fatal("it was not told to try again, or is still on the list")
		}
	})
	t.Run("a flush wakes all, and leaving after it wakes nobody", func(t *testing.T) {
		var l lot
		first, second, late := place(), place(), place()
		l.enter(first, false)
		l.enter(second, false)
		l.flush()
		if !signalled(first) || !signalled(second) {
			t.Fatal("not all were woken")
		}
		l.enter(late, false)
		l.leave(first)
		if signalled(late) {
			t.Fatal("somebody was woken for nothing")
		}
		l.wake()
		if !signalled(late) {
			t.Fatal("the late one was not woken")
		}
	})
}

func TestThreads(t *testing.T) {
	onBoth(t, "ten thousand goroutines that wait need few threads", func(t *testing.T, e endpoint) {
		const count = 10_000
		before := threads(t)
		outcomes := park(t, e, count)
		if grown := threads(t) - before; grown > 32 {
			t.Errorf("%d waiting goroutines added %d threads", count, grown)
		}
		if s := must[Stats](t)(e.Stats()); s.Waiting != count {
			t.Errorf("Stats says that %d wait, want %d", s.Waiting, count)
		}
		nativeSend(t, e, sequence(count)...)
		wantOutcomes(t, outcomes, nil)
		if grown := threads(t) - before; grown > 32 {
			t.Errorf("waking %d goroutines added %d threads", count, grown)
		}
	})
}

func threads(t *testing.T) int {
	t.Helper()
	status := must[[]byte](t)(os.ReadFile("/proc/self/status"))
	found := regexp.MustCompile(`(?m)^Threads:\s+(\d+)$`).FindSubmatch(status)
	if found == nil {
		t.Fatal("/proc/self/status has no line Threads")
	}
	return must[int](t)(strconv.Atoi(string(found[1])))
}

// deaf takes no notices.
func deaf([]uint64) (int, bool, *native.Failure) { return 0, false, nil }

// pipeDispatcher makes a dispatcher that reads a pipe in place of the eventfd.
func pipeDispatcher(t *testing.T, take func([]uint64) (int, bool, *native.Failure)) (*dispatcher, *os.File) {
	t.Helper()
	var fds [2]int
	check(t, syscall.Pipe2(fds[:], syscall.O_NONBLOCK|syscall.O_CLOEXEC))
	writer := os.NewFile(uintptr(fds[1]), "writer")
	t.Cleanup(func() { writer.Close() })
	return &dispatcher{open: func() (int, *native.Failure) { return fds[0], nil }, take: take}, writer
}

// newQueueOn makes a queue that gets its notices from d.
func newQueueOn(t *testing.T, d *dispatcher) *Queue[uint64] {
	t.Helper()
	ref, failure := native.Create(native.Queue, "", 8)
	if failure != nil {
		t.Fatal(failure.Message)
	}
	q := &Queue[uint64]{port[uint64]{adopt(ref, "", d)}}
	t.Cleanup(q.Release)
	return q
}

// parkAsleep is park, but returns only when the goroutines are in R5: on the list they are before.
func parkAsleep(t *testing.T, e endpoint, n int) <-chan error {
	t.Helper()
	outcomes := park(t, e, n)
	buffer := make([]byte, 1<<20)
	until(func() bool {
		asleep := 0
		for stack := range strings.SplitSeq(string(buffer[:runtime.Stack(buffer, true)]), "\n\n") {
			header, calls, _ := strings.Cut(stack, "\n")
			if strings.Contains(header, "[select") && strings.Contains(calls, "(*lot).sleep") {
				asleep++
			}
		}
		return asleep == n
	})
	return outcomes
}

// A receiver enrols between R2 and R3, under the dispatcher's mutex: whoever holds it can stop receivers there, and
// bring about what else would take luck. No dispatcher runs in these tests; they signal by hand.
func TestRaces(t *testing.T) {
	t.Run("an element that comes before the arming is found by the try after it", func(t *testing.T) {
		d, _ := pipeDispatcher(t, deaf)
		q := newQueueOn(t, d)
		d.mu.Lock()
		received := make(chan error)
		go func() {
			_, err := q.Recv(t.Context())
			received <- err
		}()
		untilWaiting(q, 1)
		nativeSend(t, q, 1) // unarmed: not announced
		d.mu.Unlock()
		check(t, <-received)
	})
	t.Run("a batch that comes before the arming reaches those who already sleep", func(t *testing.T) {
		d, _ := pipeDispatcher(t, deaf)
		q := newQueueOn(t, d)
		outcomes := parkAsleep(t, q, 2)
		nativeSend(t, q, 1) // disarms
		must[uint64](t)(q.TryRecv())
		under(q).enrolled.Store(false)
		d.mu.Lock()
		under(q).lot.wakeOne() // for nothing: it enters again, and stops before it arms
		untilWaiting(q, 2)
		nativeSend(t, q, 2, 3) // unarmed: not announced
		d.mu.Unlock()
		wantOutcomes(t, outcomes, nil)
	})
	t.Run("a close that comes before the arming reaches those who already sleep", func(t *testing.T) {
		d, _ := pipeDispatcher(t, deaf)
		q := newQueueOn(t, d)
		outcomes := parkAsleep(t, q, 3)
		nativeSend(t, q, 1)
		must[uint64](t)(q.TryRecv())
		under(q).enrolled.Store(false)
		d.mu.Lock()
		under(q).lot.wakeOne()
		untilWaiting(q, 3)
		nativeClose(t, q)
		d.mu.Unlock()
		wantOutcomes(t, outcomes, ErrClosed)
	})
	t.Run("a release that comes before the arming reaches those who already sleep", func(t *testing.T) {
		d, _ := pipeDispatcher(t, deaf)
		q := newQueueOn(t, d)
		outcomes := parkAsleep(t, q, 3)
		under(q).enrolled.Store(false)
		d.mu.Lock()
		under(q).lot.wakeOne()
		untilWaiting(q, 3)
		go q.Release() // needs the mutex, too, at its end
		until(func() bool { return under(q).released.Load() })
		d.mu.Unlock()
		wantOutcomes(t, outcomes, ErrReleased)
	})
}

func TestDispatcher(t *testing.T) {
	t.Run("if the eventfd can't be opened a wait says so, and the next one tries again", func(t *testing.T) {
		refused := &native.Failure{Code: native.System, Errno: int32(syscall.EMFILE), Message: "no more file descriptors"}
		d := &dispatcher{open: func() (int, *native.Failure) { return -1, refused }}
		q := newQueueOn(t, d)
		_, err := q.Recv(t.Context())
		wantError(t, err, ErrSystem)
		wantError(t, err, syscall.EMFILE)
		good, _ := pipeDispatcher(t, deaf)
		d.open, d.take = good.open, good.take
		outcomes := park(t, q, 1)
		check(t, q.TrySend(1))
		wantOutcomes(t, outcomes, nil)
	})
	t.Run("if the eventfd breaks all who wait are told, and later ones at once", func(t *testing.T) {
		d, writer := pipeDispatcher(t, deaf)
		q := newQueueOn(t, d)
		outcomes := park(t, q, 10)
		check(t, writer.Close())
		wantOutcomes(t, outcomes, ErrSystem)
		_, err := q.Recv(t.Context())
		wantError(t, err, ErrSystem)
		check(t, q.TrySend(3)) // what needs no waiting still works
		if v := must[uint64](t)(q.Recv(t.Context())); v != 3 {
			t.Fatalf("received %d", v)
		}
	})
	t.Run("if the library fails to tell all who wait are told", func(t *testing.T) {
		d, writer := pipeDispatcher(t, func([]uint64) (int, bool, *native.Failure) {
			return 0, false, &native.Failure{Code: native.Internal, Message: "broken"}
		})
		q := newQueueOn(t, d)
		outcomes := park(t, q, 10)
		must[int](t)(writer.Write([]byte("x")))
		wantOutcomes(t, outcomes, ErrInternal)
	})
	t.Run("a notice for nobody is ignored", func(t *testing.T) {
		var q *Queue[uint64]
		announced := make(chan struct{}, 1)
		d, writer := pipeDispatcher(t, func(handles []uint64) (int, bool, *native.Failure) {
			select {
			case <-announced:
				return 0, false, nil
			default:
			}
			announced <- struct{}{}
			handles[0], handles[1] = 12345, uint64(q.Handle())
			return 2, true, nil
		})
		q = newQueueOn(t, d)
		outcomes := park(t, q, 1)
		_, status, _ := under(q).ref.SendN(unsafe.Pointer(&[]uint64{1}[0]), 8, 1)
		if status != native.OK {
			t.Fatal("not sent")
		}
		must[int](t)(writer.Write([]byte("x")))
		wantOutcomes(t, outcomes, nil)
	})
}
