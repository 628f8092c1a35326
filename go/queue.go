// SPDX-License-Identifier: BSL-1.0

package epoque

import (
	"context"
	"iter"

	"epoque.dev/epoque/go/internal/native"
)

// A Queue is an unbounded first-in-first-out queue in native memory, for any number of senders and receivers, which may
// be goroutines and native threads at the same time.
//
// Elements that one sender sends are received in the order in which they were sent. Use it to share a flow of records
// with native threads, or by batches ([Queue.SendN], [Queue.RecvN]) as a faster channel. It does not hold senders back:
// where the receivers may fall behind for long, count what is on its way, or use a channel.
//
// All methods may be called by any number of goroutines at the same time. A nil or zero Queue answers [ErrArgument].
type Queue[T any] struct {
	port port[T]
}

// NewUnbounded makes an empty queue. It refuses a T that contains pointers ([ErrPointers]), has size 0, or is larger than
// 4096 bytes ([ErrArgument]).
func NewUnbounded[T any](opts ...Option) (*Queue[T], error) {
	p, err := newPort[T]("NewUnbounded", native.Queue, opts)
	if err != nil {
		return nil, err
	}
	return &Queue[T]{p}, nil
}

// core is the port, also of a nil Queue.
func (q *Queue[T]) core() port[T] {
	if q == nil {
		return port[T]{}
	}
	return q.port
}

// Send appends v at the tail. It never waits. If ctx is done already, nothing is sent and
// the error is context.Cause(ctx).
func (q *Queue[T]) Send(ctx context.Context, v T) error { return q.core().send(ctx, v) }

// TrySend is Send without a context.
func (q *Queue[T]) TrySend(v T) error { return q.core().trySend(v) }

// SendN sends all of vs, in this order; elements of other senders may come in between.
// It returns how many were sent: fewer than len(vs) only with an error ([ErrClosed], [ErrNoMemory]). One call into the
// library carries them all, so an element of a batch costs a small part of a Send. Once begun it is not cancelled.
func (q *Queue[T]) SendN(ctx context.Context, vs []T) (int, error) { return q.core().sendN(ctx, vs) }

// TrySendN is SendN without a context.
func (q *Queue[T]) TrySendN(vs []T) (int, error) { return q.core().trySendN(vs) }

// Recv takes the element at the head, and waits until there is one. It returns [ErrClosed] when the Queue is closed and
// drained, [ErrReleased] when it was or is released, and context.Cause(ctx) when ctx is done first, or already; then it
// has received nothing.
func (q *Queue[T]) Recv(ctx context.Context) (T, error) { return q.core().recv(ctx) }

// TryRecv takes the element at the head, or answers [ErrEmpty] or [ErrClosed].
func (q *Queue[T]) TryRecv() (T, error) { return q.core().tryRecv() }

// RecvN receives between 1 and len(dst) elements, oldest first. It waits, as Recv does, until there is one,
// and then takes what is there. It returns 0 only with an error. For throughput, prefer it to Recv.
func (q *Queue[T]) RecvN(ctx context.Context, dst []T) (int, error) { return q.core().recvN(ctx, dst) }

// TryRecvN is RecvN without waiting: it answers [ErrEmpty] where RecvN would wait.
func (q *Queue[T]) TryRecvN(dst []T) (int, error) { return q.core().tryRecvN(dst) }

// All receives in a loop: `for v := range q.All(ctx)`. It ends when Recv would return an error: closed and drained,
// released, or ctx done. Leaving the loop early loses nothing.
func (q *Queue[T]) All(ctx context.Context) iter.Seq[T] { return q.core().all(ctx) }

// Close ends the sending: every later send, in Go and in native code, gets [ErrClosed]. Receivers get what is there, and
// then ErrClosed. Closing again does nothing.
func (q *Queue[T]) Close() error { return q.core().close() }

// Release destroys the native object, with the elements that are in it. Every operation, also one that waits, returns
// [ErrReleased]; native code gets EPQ_STALE. Releasing again does nothing. It may be called at any time, from any
// goroutine. Without it, the garbage collector does the same when it finds that the Queue is unreachable.
func (q *Queue[T]) Release() { q.core().release() }

// Len is about how many elements there are: it may be out of date when it returns.
func (q *Queue[T]) Len() int { return q.core().length() }

// Stats reads the counters.
func (q *Queue[T]) Stats() (Stats, error) { return q.core().stats() }

// Handle is the number by which native code uses the Queue. It does not keep it alive: hold on to the Queue (for
// instance with runtime.KeepAlive) while native code works with it.
func (q *Queue[T]) Handle() Handle { return q.core().handle() }

// Name is what WithName said.
func (q *Queue[T]) Name() string { return q.core().label() }
