// SPDX-License-Identifier: BSL-1.0

//go:build cgo

package epoque_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	epoque "epoque.dev/epoque/go"
)

// A queue between goroutines: one sends and closes, the other loops until everything has come.
func Example() {
	type order struct {
		ID    uint64
		Price float64
	}
	orders, err := epoque.NewUnbounded[order](epoque.WithName("orders"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer orders.Release()

	go func() {
		defer orders.Close()
		for id := range uint64(3) {
			if err := orders.Send(context.Background(), order{ID: id, Price: 9.5}); err != nil {
				return
			}
		}
	}()
	for o := range orders.All(context.Background()) {
		fmt.Println(o.ID, o.Price)
	}
	// Output:
	// 0 9.5
	// 1 9.5
	// 2 9.5
}

// Batches are how a queue is fast.
func ExampleQueue_RecvN() {
	q, err := epoque.NewUnbounded[int]()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer q.Release()

	ctx := context.Background()
	if _, err := q.SendN(ctx, []int{1, 2, 3, 4}); err != nil {
		fmt.Println(err)
		return
	}
	q.Close()

	sum, buffer := 0, make([]int, 64)
	for {
		n, err := q.RecvN(ctx, buffer)
		if errors.Is(err, epoque.ErrClosed) {
			break
		} else if err != nil {
			fmt.Println(err)
			return
		}
		for _, v := range buffer[:n] {
			sum += v
		}
	}
	fmt.Println(sum)
	// Output: 10
}

// A receive ends when its context does, and says why.
func ExampleQueue_Recv_cancel() {
	q, err := epoque.NewUnbounded[int]()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer q.Release()

	ctx, cancel := context.WithTimeoutCause(context.Background(), time.Millisecond, errors.New("the market has closed"))
	defer cancel()
	_, err = q.Recv(ctx)
	fmt.Println(err)
	// Output: the market has closed
}

func ExampleQueue_TryRecv() {
	q, err := epoque.NewUnbounded[int]()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer q.Release()

	_, err = q.TryRecv()
	fmt.Println(err, epoque.Retryable(err))
	q.Close()
	_, err = q.TryRecv()
	fmt.Println(err, epoque.Retryable(err))
	// Output:
	// epoque: empty true
	// epoque: closed false
}

// A stack as a free list: what was used last is used next.
func ExampleStack() {
	free, err := epoque.NewStack[uint32](epoque.WithName("free slots"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer free.Release()

	for slot := range uint32(3) {
		if err := free.TrySend(slot); err != nil {
			fmt.Println(err)
			return
		}
	}
	slot, err := free.TryRecv()
	fmt.Println(slot, err)
	// Output: 2 <nil>
}

// An element must not hold Go pointers; the error names the part that does.
func ExampleNewUnbounded_pointers() {
	type order struct {
		ID       uint64
		Customer string
	}
	_, err := epoque.NewUnbounded[order]()
	fmt.Println(errors.Is(err, epoque.ErrPointers))
	// Output: true
}
