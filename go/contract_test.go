// SPDX-License-Identifier: BSL-1.0

//go:build cgo

package epoque

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"epoque.dev/epoque/go/internal/native"
)

// What Queue and Stack have in common, as far as tests care.
type endpoint interface {
	Send(context.Context, uint64) error
	TrySend(uint64) error
	SendN(context.Context, []uint64) (int, error)
	TrySendN([]uint64) (int, error)
	Recv(context.Context) (uint64, error)
	TryRecv() (uint64, error)
	RecvN(context.Context, []uint64) (int, error)
	TryRecvN([]uint64) (int, error)
	All(context.Context) iter.Seq[uint64]
	Close() error
	Release()
	Len() int
	Stats() (Stats, error)
	Handle() Handle
	Name() string
}

// under gives the object below, for tests that look inside or act as native code does.
func under(e endpoint) *object {
	switch e := e.(type) {
	case *Queue[uint64]:
		return e.port.object
	case *Stack[uint64]:
		return e.port.object
	}
	panic("not an endpoint of this package")
}

func newQueue(t testing.TB, opts ...Option) *Queue[uint64] {
	t.Helper()
	q, err := NewUnbounded[uint64](opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Release)
	return q
}

func newStack(t testing.TB, opts ...Option) *Stack[uint64] {
	t.Helper()
	s, err := NewStack[uint64](opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Release)
	return s
}

// onBoth runs the test for a Queue and for a Stack.
func onBoth(t *testing.T, name string, test func(t *testing.T, e endpoint)) {
	t.Helper()
	t.Run("queue: "+name, func(t *testing.T) { test(t, newQueue(t, WithName("tested queue"))) })
	t.Run("stack: "+name, func(t *testing.T) { test(t, newStack(t, WithName("tested stack"))) })
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want %v", err, want)
	}
}

// A crew is goroutines to wait for.
type crew struct{ sync.WaitGroup }

func (c *crew) do(work func()) {
	c.Add(1)
	go func() {
		defer c.Done()
		work()
	}()
}

// until waits for something that other goroutines bring about. The test's own timeout is its limit.
func until(condition func() bool) {
	for !condition() {
		time.Sleep(100 * time.Microsecond)
	}
}

// untilWaiting waits until exactly n goroutines are on the lot.
func untilWaiting(e endpoint, n int) {
	until(func() bool { return under(e).lot.waiting() == n })
}

func sequence(n int) []uint64 {
	s := make([]uint64, n)
	for i := range s {
		s[i] = uint64(i)
	}
	return s
}

func TestOrder(t *testing.T) {
	t.Run("a queue gives the oldest first", func(t *testing.T) {
		q := newQueue(t)
		for v := range uint64(1000) {
			check(t, q.TrySend(v))
		}
		for want := range uint64(1000) {
			if v := must[uint64](t)(q.TryRecv()); v != want {
				t.Fatalf("received %d, want %d", v, want)
			}
		}
	})
	t.Run("a stack gives the newest first", func(t *testing.T) {
		s := newStack(t)
		for v := range uint64(1000) {
			check(t, s.TrySend(v))
		}
		for i := range uint64(1000) {
			if v := must[uint64](t)(s.TryRecv()); v != 999-i {
				t.Fatalf("received %d, want %d", v, 999-i)
			}
		}
	})
	t.Run("a queue gives a batch in the order of its slice", func(t *testing.T) {
		q, got := newQueue(t), make([]uint64, 2000)
		must[int](t)(q.TrySendN(sequence(1500)))
		n := 0
		for n < 1500 {
			n += must[int](t)(q.TryRecvN(got[n:]))
		}
		if !slices.Equal(got[:n], sequence(1500)) {
			t.Fatal("the batch came out in another order, or with other elements")
		}
	})
	t.Run("a stack gives the last of a batch first", func(t *testing.T) {
		s, got := newStack(t), make([]uint64, 2000)
		must[int](t)(s.TrySendN(sequence(1500)))
		n := 0
		for n < 1500 {
			n += must[int](t)(s.TryRecvN(got[n:]))
		}
		slices.Reverse(got[:n])
		if !slices.Equal(got[:n], sequence(1500)) {
			t.Fatal("the batch came out in another order, or with other elements")
		}
	})
}

func TestSendAndReceive(t *testing.T) {
	onBoth(t, "an empty one says so", func(t *testing.T, e endpoint) {
		_, err := e.TryRecv()
		wantError(t, err, ErrEmpty)
		n, err := e.TryRecvN(make([]uint64, 4))
		wantError(t, err, ErrEmpty)
		if n != 0 {
			t.Fatalf("received %d of nothing", n)
		}
	})
	onBoth(t, "zero is an element like any other", func(t *testing.T, e endpoint) {
		check(t, e.Send(t.Context(), 0))
		if v := must[uint64](t)(e.Recv(t.Context())); v != 0 {
			t.Fatalf("received %d", v)
		}
		_, err := e.TryRecv()
		wantError(t, err, ErrEmpty)
	})
	onBoth(t, "an empty batch is sent at once", func(t *testing.T, e endpoint) {
		if n := must[int](t)(e.SendN(t.Context(), nil)); n != 0 {
			t.Fatalf("sent %d of nothing", n)
		}
		if n := must[int](t)(e.TrySendN([]uint64{})); n != 0 {
			t.Fatalf("sent %d of nothing", n)
		}
	})
	onBoth(t, "a receive of many takes no more than there is room for", func(t *testing.T, e endpoint) {
		must[int](t)(e.TrySendN(sequence(10)))
		got := make([]uint64, 10)
		if n := must[int](t)(e.RecvN(t.Context(), got[:3])); n < 1 || n > 3 || slices.Max(got[n:]) != 0 {
			t.Fatalf("received %d into room for 3: %v", n, got)
		}
	})
	onBoth(t, "a batch of a million arrives whole", func(t *testing.T, e endpoint) {
		const count = 1 << 20
		if n := must[int](t)(e.SendN(t.Context(), sequence(count))); n != count {
			t.Fatalf("sent %d of %d", n, count)
		}
		seen, buffer := make([]bool, count), make([]uint64, 1<<16)
		for left := count; left > 0; {
			n := must[int](t)(e.RecvN(t.Context(), buffer))
			for _, v := range buffer[:n] {
				if seen[v] {
					t.Fatalf("received %d twice", v)
				}
				seen[v] = true
			}
			left -= n
		}
	})
	t.Run("elements of every size arrive byte for byte", func(t *testing.T) {
		type record struct {
			ID    uint32
			Ratio float32
			Flags [3]bool
			Text  [21]byte
		}
		roundTrip(t, record{7, 0.5, [3]bool{true, false, true}, [21]byte{'a', 'b', 20: 'z'}})
		roundTrip(t, byte(200))
		roundTrip(t, int16(-3))
		roundTrip(t, [3]byte{1, 2, 3})
		roundTrip(t, complex(1, -2))
		roundTrip(t, uintptr(99))
		roundTrip(t, [native.MaxElementSize]byte{0: 1, native.MaxElementSize - 1: 2})
	})
	onBoth(t, "the loop over all ends when it is closed and drained", func(t *testing.T, e endpoint) {
		must[int](t)(e.TrySendN(sequence(100)))
		check(t, e.Close())
		sum := uint64(0)
		for v := range e.All(t.Context()) {
			sum += v
		}
		if sum != 4950 {
			t.Fatalf("the sum is %d, want 4950", sum)
		}
	})
	onBoth(t, "leaving the loop over all loses nothing", func(t *testing.T, e endpoint) {
		must[int](t)(e.TrySendN(sequence(10)))
		for range e.All(t.Context()) {
			break
		}
		if n := e.Len(); n != 9 {
			t.Fatalf("%d are left, want 9", n)
		}
	})
	onBoth(t, "the loop over all ends when the context does", func(t *testing.T, e endpoint) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		must[int](t)(e.TrySendN(sequence(10)))
		for range e.All(ctx) {
			cancel()
		}
		if n := e.Len(); n != 9 {
			t.Fatalf("%d are left, want 9", n)
		}
	})
}

func roundTrip[T comparable](t *testing.T, want T) {
	t.Helper()
	q := must[*Queue[T]](t)(NewUnbounded[T]())
	defer q.Release()
	s := must[*Stack[T]](t)(NewStack[T]())
	defer s.Release()
	check(t, q.TrySend(want))
	if got := must[T](t)(q.TryRecv()); got != want {
		t.Fatalf("%T through a queue: %v became %v", want, want, got)
	}
	must[int](t)(s.TrySendN([]T{want, want}))
	got := make([]T, 2)
	if n := must[int](t)(s.TryRecvN(got)); got[0] != want || n == 2 && got[1] != want {
		t.Fatalf("%T through a stack: %v became %v", want, want, got)
	}
}

func TestClose(t *testing.T) {
	onBoth(t, "a closed one takes no more, gives what is left, and then says closed", func(t *testing.T, e endpoint) {
		must[int](t)(e.TrySendN(sequence(3)))
		check(t, e.Close())
		wantError(t, e.TrySend(9), ErrClosed)
		wantError(t, e.Send(t.Context(), 9), ErrClosed)
		n, err := e.SendN(t.Context(), sequence(2))
		wantError(t, err, ErrClosed)
		if n != 0 {
			t.Fatalf("sent %d into a closed one", n)
		}
		for range 3 {
			must[uint64](t)(e.Recv(t.Context()))
		}
		_, err = e.TryRecv()
		wantError(t, err, ErrClosed)
		_, err = e.Recv(t.Context())
		wantError(t, err, ErrClosed)
		_, err = e.RecvN(t.Context(), make([]uint64, 2))
		wantError(t, err, ErrClosed)
		_, err = e.TryRecvN(make([]uint64, 2))
		wantError(t, err, ErrClosed)
	})
	onBoth(t, "closing again does nothing", func(t *testing.T, e endpoint) {
		for range 3 {
			check(t, e.Close())
		}
	})
	for name, fresh := range map[string]func() endpoint{
		"queue": func() endpoint { return newQueue(t) },
		"stack": func() endpoint { return newStack(t) },
	} {
		t.Run(name+": of sends that race with close, what succeeded arrives and nothing else", func(t *testing.T) {
			for range 50 { // a close in the middle of a batch takes some luck
				sent, received := raceWithClose(t, fresh())
				if sent != received {
					t.Fatalf("%d sends succeeded, %d elements arrived", sent, received)
				}
			}
		})
	}
}

// raceWithClose closes e while several goroutines send batches, and one receives until the end.
func raceWithClose(t *testing.T, e endpoint) (sent, received int) {
	t.Helper()
	const senders, batch = 4, 500
	var sending crew
	var counts [senders]int
	for i := range senders {
		sending.do(func() {
			for {
				n, err := e.TrySendN(sequence(batch))
				counts[i] += n
				if (err == nil) != (n == batch) {
					t.Errorf("sent %d of %d with error %v", n, batch, err)
				}
				if err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	buffer := make([]uint64, 64)
	for {
		n, err := e.RecvN(t.Context(), buffer)
		if err != nil {
			wantError(t, err, ErrClosed)
			break
		}
		if received += n; received > 5000 {
			check(t, e.Close())
		}
	}
	sending.Wait()
	for _, n := range counts {
		sent += n
	}
	return sent, received
}

func TestContext(t *testing.T) {
	onBoth(t, "a context that is done wins, even over an element", func(t *testing.T, e endpoint) {
		cause := errors.New("the reason")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		check(t, e.TrySend(1))
		wantError(t, e.Send(ctx, 2), cause)
		_, err := e.SendN(ctx, sequence(2))
		wantError(t, err, cause)
		_, err = e.Recv(ctx)
		wantError(t, err, cause)
		_, err = e.RecvN(ctx, make([]uint64, 2))
		wantError(t, err, cause)
		if n := e.Len(); n != 1 {
			t.Fatalf("%d elements, want 1", n)
		}
	})
	onBoth(t, "a cancelled wait gives the cause and takes nothing", func(t *testing.T, e endpoint) {
		cause := errors.New("the reason")
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error)
		go func() {
			_, err := e.Recv(ctx)
			ended <- err
		}()
		untilWaiting(e, 1)
		cancel(cause)
		wantError(t, <-ended, cause)
		untilWaiting(e, 0)
		check(t, e.TrySend(5))
		if v := must[uint64](t)(e.TryRecv()); v != 5 {
			t.Fatalf("received %d", v)
		}
	})
	onBoth(t, "a deadline ends a wait", func(t *testing.T, e endpoint) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := e.RecvN(ctx, make([]uint64, 2))
		wantError(t, err, context.DeadlineExceeded)
	})
}

func TestManyProducersAndConsumers(t *testing.T) {
	const producers, consumers, each = 4, 4, 30_000
	run := func(t *testing.T, e endpoint, fifo bool) {
		var sending, receiving crew
		for p := range producers {
			sending.do(func() {
				batch := make([]uint64, 0, 16)
				for i := range each {
					v := uint64(p)<<32 | uint64(i)
					if p%2 == 0 {
						if err := e.Send(t.Context(), v); err != nil {
							t.Error(err)
						}
						continue
					}
					if batch = append(batch, v); len(batch) == cap(batch) || i == each-1 {
						if _, err := e.SendN(t.Context(), batch); err != nil {
							t.Error(err)
						}
						batch = batch[:0]
					}
				}
			})
		}
		var counts [consumers][producers]int
		var sums [consumers][producers]uint64
		for c := range consumers {
			receiving.do(func() {
				var next [producers]uint64 // no element below this may come any more
				buffer := make([]uint64, 1+c*15)
				for {
					n, err := e.RecvN(t.Context(), buffer)
					if err != nil {
						if !errors.Is(err, ErrClosed) {
							t.Error(err)
						}
						return
					}
					for _, v := range buffer[:n] {
						p, i := v>>32, v&0xffffffff
						if fifo && i < next[p] {
							t.Errorf("consumer %d got number %d of producer %d after number %d", c, i, p, next[p]-1)
						}
						next[p] = i + 1
						counts[c][p]++
						sums[c][p] += i
					}
				}
			})
		}
		sending.Wait()
		check(t, e.Close())
		receiving.Wait()
		for p := range producers {
			count, sum := 0, uint64(0)
			for c := range consumers {
				count += counts[c][p]
				sum += sums[c][p]
			}
			if count != each || sum != each*(each-1)/2 {
				t.Errorf("of producer %d: %d elements with sum %d, want %d with sum %d", p, count, sum, each, each*(each-1)/2)
			}
		}
	}
	t.Run("a queue delivers each element once and keeps each producer's order", func(t *testing.T) { run(t, newQueue(t), true) })
	t.Run("a stack delivers each element once", func(t *testing.T) { run(t, newStack(t), false) })
}

func TestHappensBefore(t *testing.T) {
	onBoth(t, "what a sender wrote before the send is there after the receive", func(t *testing.T, e endpoint) {
		notes := make([]string, 1000) // plain memory: the race detector watches it
		go func() {
			for i := range notes {
				notes[i] = "written"
				if err := e.Send(t.Context(), uint64(i)); err != nil {
					t.Error(err)
				}
			}
		}()
		for range notes {
			if i := must[uint64](t)(e.Recv(t.Context())); notes[i] != "written" {
				t.Fatalf("note %d is %q", i, notes[i])
			}
		}
	})
}
