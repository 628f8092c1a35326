// SPDX-License-Identifier: BSL-1.0

//go:build cgo

package epoque

import (
	"context"
	"testing"
)

// A pair is one send and one receive by the same goroutine. Each benchmark has the channel's figure next to it.
func BenchmarkPair(b *testing.B) {
	b.Run("channel", func(b *testing.B) {
		c := make(chan uint64, 64)
		for b.Loop() {
			c <- 1
			<-c
		}
	})
	b.Run("queue", func(b *testing.B) { pairs(b, newQueue(b)) })
	b.Run("stack", func(b *testing.B) { pairs(b, newStack(b)) })
	b.Run("queue with a context", func(b *testing.B) {
		q := newQueue(b)
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		b.ReportAllocs()
		for b.Loop() {
			if q.Send(ctx, 1) != nil {
				b.Fatal("not sent")
			}
			if _, err := q.Recv(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func pairs(b *testing.B, e endpoint) {
	b.ReportAllocs()
	for b.Loop() {
		if e.TrySend(1) != nil {
			b.Fatal("not sent")
		}
		if _, err := e.TryRecv(); err != nil {
			b.Fatal(err)
		}
	}
}

// Batches of 64: ns per element that was sent and received.
func BenchmarkBatch64(b *testing.B) {
	const size = 64
	run := func(b *testing.B, e endpoint) {
		batch, buffer := sequence(size), make([]uint64, size)
		b.ReportAllocs()
		for b.Loop() {
			if n, err := e.TrySendN(batch); n != size {
				b.Fatal(err)
			}
			for left := size; left > 0; {
				n, err := e.TryRecvN(buffer)
				if err != nil {
					b.Fatal(err)
				}
				left -= n
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/size, "ns/element")
	}
	b.Run("channel", func(b *testing.B) {
		c := make(chan uint64, size)
		for b.Loop() {
			for range size {
				c <- 1
			}
			for range size {
				<-c
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/size, "ns/element")
	})
	b.Run("queue", func(b *testing.B) { run(b, newQueue(b)) })
	b.Run("stack", func(b *testing.B) { run(b, newStack(b)) })
}

// A ping-pong parks a goroutine for each element: what a wake-up costs.
func BenchmarkPingPong(b *testing.B) {
	b.Run("channel", func(b *testing.B) {
		ping, pong := make(chan uint64), make(chan uint64)
		go func() {
			for v := range ping {
				pong <- v
			}
			close(pong)
		}()
		for b.Loop() {
			ping <- 1
			<-pong
		}
		close(ping)
		<-pong
	})
	b.Run("queue", func(b *testing.B) {
		ping, pong := newQueue(b), newQueue(b)
		ctx := b.Context()
		b.ReportAllocs()
		go func() {
			defer pong.Close()
			for v := range ping.All(ctx) {
				if pong.Send(ctx, v) != nil {
					return
				}
			}
		}()
		for b.Loop() {
			if ping.Send(ctx, 1) != nil {
				b.Fatal("not sent")
			}
			if _, err := pong.Recv(ctx); err != nil {
				b.Fatal(err)
			}
		}
		check(b, ping.Close())
		_, err := pong.Recv(ctx)
		wantError(b, err, ErrClosed)
	})
}
