// SPDX-License-Identifier: BSL-1.0

package epoque

import (
	"context"
	"iter"

	"epoque.dev/epoque/go/internal/native"
)

// A Stack is an unbounded last-in-first-out stack in native memory, for any number of senders and receivers, which may be
// goroutines and native threads at the same time.
//
// Use it where order does not matter and what was used last is best used next: free lists, buffers, partial results.
//
// All methods may be called by any number of goroutines at the same time. A nil or zero Stack answers [ErrArgument].
type Stack[T any] struct {
	port port[T]
}

// NewStack makes an empty stack. It refuses a T that contains pointers ([ErrPointers]), has size 0, or is larger than 4096
// bytes ([ErrArgument]).
func NewStack[T any](opts ...Option) (*Stack[T], error) {
	p, err := newPort[T]("NewStack", native.Stack, opts)
	if err != nil {
		return nil, err
	}
	return &Stack[T]{p}, nil
}

// core is the port, also of a nil Stack.
func (s *Stack[T]) core() port[T] {
	if s == nil {
		return port[T]{}
	}
	return s.port
}

// Send puts v on top. It never waits. If ctx is done already, nothing is sent and
// the error is context.Cause(ctx).
func (s *Stack[T]) Send(ctx context.Context, v T) error { return s.core().send(ctx, v) }

// TrySend is Send without a context.
func (s *Stack[T]) TrySend(v T) error { return s.core().trySend(v) }

// SendN sends all of vs: the last one ends on top; elements of other senders may come in between.
// It returns how many were sent: fewer than len(vs) only with an error ([ErrClosed], [ErrNoMemory]). One call into the
// library carries them all, so an element of a batch costs a small part of a Send. Once begun it is not cancelled.
func (s *Stack[T]) SendN(ctx context.Context, vs []T) (int, error) { return s.core().sendN(ctx, vs) }

// TrySendN is SendN without a context.
func (s *Stack[T]) TrySendN(vs []T) (int, error) { return s.core().trySendN(vs) }

// Recv takes the element on top, and waits until there is one. It returns [ErrClosed] when the Stack is closed and
// drained, [ErrReleased] when it was or is released, and context.Cause(ctx) when ctx is done first, or already; then it
// has received nothing.
func (s *Stack[T]) Recv(ctx context.Context) (T, error) { return s.core().recv(ctx) }

// TryRecv takes the element on top, or answers [ErrEmpty] or [ErrClosed].
func (s *Stack[T]) TryRecv() (T, error) { return s.core().tryRecv() }

// RecvN receives between 1 and len(dst) elements, newest first. It waits, as Recv does, until there is one,
// and then takes what is there. It returns 0 only with an error. For throughput, prefer it to Recv.
func (s *Stack[T]) RecvN(ctx context.Context, dst []T) (int, error) { return s.core().recvN(ctx, dst) }

// TryRecvN is RecvN without waiting: it answers [ErrEmpty] where RecvN would wait.
func (s *Stack[T]) TryRecvN(dst []T) (int, error) { return s.core().tryRecvN(dst) }

// All receives in a loop: `for v := range s.All(ctx)`. It ends when Recv would return an error: closed and drained,
// released, or ctx done. Leaving the loop early loses nothing.
func (s *Stack[T]) All(ctx context.Context) iter.Seq[T] { return s.core().all(ctx) }

// Close ends the sending: every later send, in Go and in native code, gets [ErrClosed]. Receivers get what is there, and
// then ErrClosed. Closing again does nothing.
func (s *Stack[T]) Close() error { return s.core().close() }

// Release destroys the native object, with the elements that are in it. Every operation, also one that waits, returns
// [ErrReleased]; native code gets EPQ_STALE. Releasing again does nothing. It may be called at any time, from any
// goroutine. Without it, the garbage collector does the same when it finds that the Stack is unreachable.
func (s *Stack[T]) Release() { s.core().release() }

// Len is about how many elements there are: it may be out of date when it returns.
func (s *Stack[T]) Len() int { return s.core().length() }

// Stats reads the counters.
func (s *Stack[T]) Stats() (Stats, error) { return s.core().stats() }

// Handle is the number by which native code uses the Stack. It does not keep it alive: hold on to the Stack (for
// instance with runtime.KeepAlive) while native code works with it.
func (s *Stack[T]) Handle() Handle { return s.core().handle() }

// Name is what WithName said.
func (s *Stack[T]) Name() string { return s.core().label() }
