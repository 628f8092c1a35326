// SPDX-License-Identifier: BSL-1.0

// Package epoque gives Go the lock-free queues and stacks of the C++ library epoque, shared with native threads.
//
// A [Queue] (FIFO) or [Stack] (LIFO) lies in native memory. Goroutines use it through this package, C and C++ threads
// through its [Handle] and the C interface ffi/epoque.h, at the same time.
//
//	orders, err := epoque.NewUnbounded[Order](epoque.WithName("orders"))
//	if err != nil {
//		return err
//	}
//	defer orders.Release()
//	startNativeWorkers(uint64(orders.Handle()))
//	for order := range orders.All(ctx) { // ends when a worker closes the queue, or ctx is done
//		...
//	}
//
// # Elements
//
// T must not contain Go pointers, because the garbage collector does not see native memory: numbers, bools, arrays and
// structs of these, up to 4096 bytes; no strings, slices, maps, channels, functions, interfaces. This is checked when the
// object is made ([ErrPointers]). Elements are copied bytewise.
//
// # Waiting and cancelling
//
// A goroutine that waits in Recv, RecvN or All is parked: it holds no OS thread, whoever sends. A context that is done,
// also one that was done before the call, ends the call with context.Cause(ctx), and nothing was sent or received.
// Senders never wait, since Queue and Stack are unbounded; their context only says whether to begin. Waiting goroutines
// are woken oldest first, but a goroutine that comes by at the right moment may get the element first.
//
// # The end
//
// Close ends the flow: senders get [ErrClosed] at once, receivers when they have received what was left. Release ends the
// object: everybody gets [ErrReleased]. Both may be called at any time and more than once. A forgotten Release is made up
// for by the garbage collector, which sees the Go side only: it does not wait for native code that still has the handle,
// and it does not know how much native memory an object holds.
//
// # Errors
//
// [ErrEmpty], [ErrFull], [ErrClosed] and [ErrBusy] are answers, returned as they are. What went wrong is an [*Error] with
// the operation, the object, the reason and the remedy; errors.Is finds its kind. [Retryable] tells what may go away by
// itself.
//
// # Happens before
//
// A send happens before the receive that returns its element, whether the other side is Go or native code. The race
// detector knows this for goroutines.
//
// # When to keep a channel
//
// Each call enters C, which costs more than a channel operation: one element at a time within Go, a channel is faster.
// Batches reverse that: see the benchmarks. Keep a channel too for elements with pointers, for select, and where senders
// must wait for receivers.
//
// # Building
//
// The C++ sources come with the module and are compiled by cgo: a C++20 compiler is needed (gcc 12, clang 16, or later)
// and nothing else. Built with CGO_ENABLED=0, the constructors return [ErrNoCgo].
package epoque
