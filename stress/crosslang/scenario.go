// SPDX-License-Identifier: BSL-1.0
//go:build cgo && linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	epoque "epoque.dev/epoque/go"
)

// settings is what a scenario works with.
type settings struct {
	input      string
	list       io.Reader // the files, when input is "-"
	share      time.Duration
	threads    int // C++ threads in each role
	goroutines int // goroutines in each role
	seed       uint64
	console    *console
	results    io.Writer
	meter      *meter
	patience   time.Duration // how long nothing may move
}

// random gives a source of numbers that depends on the seed and on who asks.
func (s *settings) random(who uint64) *rand.Rand { return rand.New(rand.NewPCG(s.seed, who)) }

// kind is a scenario that can be chosen by name. Its run returns an error when it can't be run at all. When its context
// ends, the user has interrupted: it stops sending, drains, checks what there was.
type kind struct {
	name  string
	about string
	run   func(ctx context.Context, s settings, out *scenario) error
}

var kinds = []kind{
	{"identifiers", "C++ reads files -> queue -> Go counts their identifiers -> stack -> C++ adds up; against a sequential count", runIdentifiers},
	{"echo", "Go -> C++ -> Go and C++ -> Go -> C++ at the same time, closed under fire, drained, nothing lost or twice", runEcho},
}

// link is a queue or stack between the languages.
type link interface {
	observed
	Len() int
	Handle() epoque.Handle
	Close() error
	Release()
}

// crossing is one life of some links and of those who work on them: until all has been received, or one of them fails.
type crossing struct {
	meter *meter
	links []opened
	crews []*crew

	failed atomic.Bool
	mu     sync.Mutex
	err    error // the first
}

// opened is a link and what C++ is told about it.
type opened struct {
	link
	name  string
	probe func() int // the status of a receive by C++
}

func (c *crossing) enlist(l link, name string, way direction, probe func() int) {
	c.links = append(c.links, opened{l, name, probe})
	c.meter.add(l, way)
}

// openQueue and openStack add a link, which is received from in the given language.
func openQueue[T any](c *crossing, name string, way direction) (*epoque.Queue[T], error) {
	queue, err := epoque.NewUnbounded[T](epoque.WithName(name))
	if err != nil {
		return nil, err
	}
	handle, size := queue.Handle(), unsafe.Sizeof(*new(T))
	c.enlist(queue, name, way, func() int { return probeQueue(handle, size) })
	return queue, nil
}

func openStack[T any](c *crossing, name string, way direction) (*epoque.Stack[T], error) {
	stack, err := epoque.NewStack[T](epoque.WithName(name))
	if err != nil {
		return nil, err
	}
	handle, size := stack.Handle(), unsafe.Sizeof(*new(T))
	c.enlist(stack, name, way, func() int { return probeStack(handle, size) })
	return stack, nil
}

// fail ends the crossing: everything is closed, so that nobody waits any more.
func (c *crossing) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	c.failed.Store(true)
	for _, l := range c.links {
		l.Close()
	}
	for _, crew := range c.crews {
		crew.stop()
	}
}

// cause is the first failure; nil: none.
func (c *crossing) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// hire adds a crew.
func (c *crossing) hire(crew *crew, err error) (*crew, error) {
	if err == nil {
		c.crews = append(c.crews, crew)
	}
	return crew, err
}

// spawn runs n goroutines that take part. After all links and crews are there.
func (c *crossing) spawn(n int, body func(index int) error) *sync.WaitGroup {
	group := new(sync.WaitGroup)
	group.Add(n)
	for index := range n {
		go func() {
			defer group.Done()
			if err := body(index); err != nil {
				c.fail(err)
			}
		}()
	}
	return group
}

// supervise looks after the crews and the garbage, and calls each, until the function that it returns is called.
func (c *crossing) supervise(each func()) (end func()) {
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Add(1)
	go func() {
		defer group.Done()
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for {
			for _, crew := range c.crews {
				if err := crew.trouble(); err != nil {
					c.fail(err)
				}
			}
			c.meter.lookAtGarbage()
			each()
			select {
			case <-done:
				return
			case <-ticker.C:
			}
		}
	}()
	return func() {
		close(done)
		group.Wait()
	}
}

// room waits until the link holds at most depth elements, or the crossing has failed.
func (c *crossing) room(l link, depth int) {
	for l.Len() > depth && !c.failed.Load() {
		time.Sleep(50 * time.Microsecond)
	}
}

// dismantle stops and frees the crews and releases the links. Native code that still has their handles must then be told
// STALE; it gives the links of which that is not true.
func (c *crossing) dismantle() (alive []string) {
	c.fail(errDismantled)
	for _, crew := range c.crews {
		crew.free()
	}
	for _, l := range c.links {
		c.meter.forget(l.link)
		l.Release()
		if status := l.probe(); status != statusStale {
			alive = append(alive, fmt.Sprintf("a receive from %s, which was released, answered %d", l.name, status))
		}
	}
	return alive
}

// errDismantled makes whatever still runs end; nobody sees it.
var errDismantled = errors.New("dismantled")

// sender and receiver are the two ends of a link.
type sender[T any] interface {
	SendN(ctx context.Context, elements []T) (int, error)
	TrySendN(elements []T) (int, error)
}

type receiver[T any] interface {
	RecvN(ctx context.Context, into []T) (int, error)
	TryRecvN(into []T) (int, error)
}

// sendAll sends the batch in one of the ways there are, and gives the number that was accepted. closed: not all were,
// because the link takes no more.
func sendAll[T any](to sender[T], batch []T, random *rand.Rand) (sent int, closed bool, err error) {
	for sent < len(batch) {
		var n int
		var err error
		if random.IntN(2) == 0 {
			n, err = to.TrySendN(batch[sent:])
		} else {
			n, err = to.SendN(context.Background(), batch[sent:])
		}
		if n < 0 || n > len(batch)-sent {
			return sent, false, fmt.Errorf("a send of %d elements says that it sent %d", len(batch)-sent, n)
		}
		sent += n
		switch {
		case errors.Is(err, epoque.ErrClosed):
			return sent, true, nil
		case err != nil && !epoque.Retryable(err):
			return sent, false, err
		}
	}
	return sent, false, nil
}

// receiveAll receives batches of varying size in all ways there are, until the link is closed and drained.
func receiveAll[T any](from receiver[T], largest int, random *rand.Rand, take func([]T) error) error {
	buffer := make([]T, largest)
	for {
		wanted := buffer[:1+random.IntN(largest)]
		var n int
		var err error
		switch random.IntN(8) {
		case 0:
			n, err = from.TryRecvN(wanted)
		case 1:
			ctx, cancel := context.WithTimeout(context.Background(), 200*time.Microsecond)
			n, err = from.RecvN(ctx, wanted)
			cancel()
		default:
			n, err = from.RecvN(context.Background(), wanted)
		}
		switch {
		case n < 0 || n > len(wanted) || n == 0 && err == nil:
			return fmt.Errorf("a receive of up to %d elements says that it received %d", len(wanted), n)
		case n > 0:
			if err := take(wanted[:n]); err != nil {
				return err
			}
		case errors.Is(err, epoque.ErrClosed):
			return nil
		case errors.Is(err, context.DeadlineExceeded):
		case epoque.Retryable(err):
			runtime.Gosched()
		default:
			return err
		}
	}
}

// agreement compares links' own statistics with what was counted.
type agreement struct {
	givenUp uint64   // what queues counted too much: see atRest
	wrong   []string // what does not agree
}

// atRest looks at a link that nobody uses any more. A stack counts elements. A queue counts tickets: a cell that a receiver
// gave up is counted once too often as received, and, if a sender came by later, also as sent.
func (a *agreement) atRest(name string, l link, isQueue bool, sent, received uint64) {
	stats, err := l.Stats()
	if err != nil {
		a.wrong = append(a.wrong, fmt.Sprintf("%s: no statistics: %v", name, err))
		return
	}
	exact := stats.Sends == sent && stats.Receives == received
	atLeast := stats.Sends >= sent && stats.Receives >= received
	if stats.Length != 0 || !exact && !(isQueue && atLeast) {
		a.wrong = append(a.wrong, fmt.Sprintf("%s: says %s sent, %s received, %s left; counted %s sent, %s received", name,
			grouped(stats.Sends), grouped(stats.Receives), grouped(stats.Length), grouped(sent), grouped(received)))
		return
	}
	a.givenUp += stats.Receives - received
}

func sumOf(numbers []uint64) (sum uint64) {
	for _, n := range numbers {
		sum += n
	}
	return sum
}
