// SPDX-License-Identifier: BSL-1.0

//go:build cgo

package epoque

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"epoque.dev/epoque/go/internal/native"
)

func refused[T any](t *testing.T, want error, words ...string) {
	t.Helper()
	_, err := NewUnbounded[T]()
	_, err2 := NewStack[T]()
	for _, err := range []error{err, err2} {
		wantError(t, err, want)
		for _, word := range words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%q does not mention %q", err, word)
			}
		}
	}
}

func accepted[T any](t *testing.T) {
	t.Helper()
	q := must[*Queue[T]](t)(NewUnbounded[T]())
	q.Release()
	s := must[*Stack[T]](t)(NewStack[T]())
	s.Release()
}

func TestElementTypes(t *testing.T) {
	t.Run("a type that holds pointers is refused, and the culprit named", func(t *testing.T) {
		type inner struct {
			Count int
			Name  string
		}
		type outer struct {
			ID    [2]int
			Parts [3]inner
		}
		refused[string](t, ErrPointers, "string")
		refused[[]byte](t, ErrPointers, "[]uint8")
		refused[*int](t, ErrPointers, "*int")
		refused[map[int]int](t, ErrPointers, "map")
		refused[chan int](t, ErrPointers, "chan")
		refused[func()](t, ErrPointers, "func")
		refused[any](t, ErrPointers, "interface")
		refused[error](t, ErrPointers, "error")
		refused[unsafe.Pointer](t, ErrPointers, "unsafe.Pointer")
		refused[outer](t, ErrPointers, "outer", ".Parts[0].Name", "string")
	})
	t.Run("a type of size 0 is refused", func(t *testing.T) {
		refused[struct{}](t, ErrArgument, "size is 0")
		refused[[0]int](t, ErrArgument, "size is 0")
	})
	t.Run("a type that is too large is refused", func(t *testing.T) {
		refused[[native.MaxElementSize + 1]byte](t, ErrArgument, "4097", "4096")
	})
	t.Run("all else is accepted", func(t *testing.T) {
		type named struct {
			A bool
			B complex64
			C [4]struct{ X, Y float64 }
			D uintptr
			_ [0]func()
		}
		accepted[named](t)
		accepted[bool](t)
		accepted[[native.MaxElementSize]byte](t)
	})
}

func TestOptions(t *testing.T) {
	t.Run("a name is everywhere", func(t *testing.T) {
		q := newQueue(t, WithName("orders"))
		if q.Name() != "orders" || must[Stats](t)(q.Stats()).Name != "orders" {
			t.Error("the name is lost")
		}
		q.Release()
		if err := q.TrySend(1); !strings.Contains(err.Error(), `"orders"`) {
			t.Errorf("%q does not mention the name", err)
		}
	})
	t.Run("a name of 31 bytes fits", func(t *testing.T) {
		name := strings.Repeat("n", 31)
		if got := must[Stats](t)(newQueue(t, WithName(name)).Stats()).Name; got != name {
			t.Errorf("the name became %q", got)
		}
	})
	t.Run("a name that does not fit is refused", func(t *testing.T) {
		for _, name := range []string{strings.Repeat("n", 32), "a\x00b"} {
			_, err := NewUnbounded[int](WithName(name))
			wantError(t, err, ErrArgument)
		}
	})
}

func TestArguments(t *testing.T) {
	onBoth(t, "a nil context is refused", func(t *testing.T, e endpoint) {
		var none context.Context
		wantError(t, e.Send(none, 1), ErrArgument)
		_, err := e.Recv(none)
		wantError(t, err, ErrArgument)
	})
	onBoth(t, "an empty slice to receive into is refused", func(t *testing.T, e endpoint) {
		check(t, e.TrySend(1))
		_, err := e.RecvN(t.Context(), nil)
		wantError(t, err, ErrArgument)
		_, err = e.TryRecvN([]uint64{})
		wantError(t, err, ErrArgument)
	})
}

func TestStats(t *testing.T) {
	onBoth(t, "the counters tell what happened", func(t *testing.T, e endpoint) {
		must[int](t)(e.TrySendN(sequence(10)))
		for range 4 {
			must[uint64](t)(e.TryRecv())
		}
		check(t, e.Close())
		s := must[Stats](t)(e.Stats())
		want := Stats{Name: e.Name(), Handle: e.Handle(), ElementSize: 8, Sends: 10, Receives: 4, Length: 6, Closed: true}
		if s != want || e.Len() != 6 {
			t.Fatalf("Stats are %+v, Len is %d, want %+v", s, e.Len(), want)
		}
	})
	onBoth(t, "they tell how many wait", func(t *testing.T, e endpoint) {
		outcomes := park(t, e, 5)
		if s := must[Stats](t)(e.Stats()); s.Waiting != 5 {
			t.Errorf("%d wait, want 5", s.Waiting)
		}
		check(t, e.Close())
		wantOutcomes(t, outcomes, ErrClosed)
		if s := must[Stats](t)(e.Stats()); s.Waiting != 0 {
			t.Errorf("%d wait, want 0", s.Waiting)
		}
	})
	t.Run("the domain counts the objects that live", func(t *testing.T) {
		before := must[DomainStatistics](t)(DomainStats())
		const count = 1000 // outweighs what the collector may take away meanwhile
		for range count {
			newQueue(t)
		}
		after := must[DomainStatistics](t)(DomainStats())
		if after.LiveObjects < before.LiveObjects+count/2 {
			t.Errorf("%d objects before %d were made, %d after", before.LiveObjects, count, after.LiveObjects)
		}
	})
}

func TestErrors(t *testing.T) {
	t.Run("each status has its error", func(t *testing.T) {
		for status, want := range sentinels {
			err := (&object{}).answer("Send", status, &native.Failure{Code: status, Message: "why"})
			if status < 0 {
				var detail *Error
				if !errors.As(err, &detail) || detail.Code != int32(status) {
					t.Errorf("status %d became %#v", status, err)
				}
			}
			wantError(t, err, want)
		}
	})
	t.Run("an error reads as a sentence that names the object", func(t *testing.T) {
		err := failed("Send", "orders", &native.Failure{Code: native.System, Errno: int32(syscall.ENOMEM),
			Handle: uint64(native.Queue)<<56 | 7<<32 | 3, Message: "no memory for a segment"})
		const want = `epoque: Send on queue#7.3 "orders": no memory for a segment: cannot allocate memory`
		if err.Error() != want {
			t.Errorf("it reads %q, want %q", err, want)
		}
		wantError(t, err, syscall.ENOMEM)
	})
	t.Run("what may go away by itself is retryable", func(t *testing.T) {
		full := failed("Send", "", &native.Failure{Code: native.NoMemory, Retryable: true})
		for _, err := range []error{ErrEmpty, ErrFull, ErrBusy, full, fmt.Errorf("wrapped: %w", ErrEmpty)} {
			if !Retryable(err) {
				t.Errorf("%v is not retryable", err)
			}
		}
		gone := failed("Send", "", &native.Failure{Code: native.Stale})
		for _, err := range []error{nil, ErrClosed, gone, context.Canceled} {
			if Retryable(err) {
				t.Errorf("%v is retryable", err)
			}
		}
	})
	t.Run("a handle prints as kind, index and generation", func(t *testing.T) {
		for bits, want := range map[uint64]string{
			1<<56 | 5<<32 | 9: "queue#5.9",
			2<<56 | 5<<32 | 9: "stack#5.9",
			9<<56 | 5<<32 | 9: "handle#5.9",
		} {
			if got := Handle(bits).String(); got != want {
				t.Errorf("%#x prints as %q, want %q", bits, got, want)
			}
		}
	})
}
