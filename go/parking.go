// SPDX-License-Identifier: BSL-1.0

package epoque

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
	"weak"

	"epoque.dev/epoque/go/internal/native"
)

// # How goroutines wait, and why no wake-up is lost
//
// A goroutine that finds nothing parks on its object's lot: a list of channels, no OS thread. Native threads can't wake
// goroutines, so one dispatcher goroutine for the process sleeps on the library's eventfd in the network poller, takes
// the handles of objects that have something to say, and wakes one goroutine on the lot of each.
//
// The library promises, of an object:
//
//	N1  watch arms it. What was sent before the arming is there for a try that begins after it. The first send, close or
//	    destroy after the arming disarms the object and announces it: lists its handle, then writes the eventfd.
//	N2  when it is closed or destroyed, a try finds an element or the end, not nothing. (A try that overlaps a send which
//	    began before the close may find nothing; such a send announces itself when it ends, as in N1.)
//
// A receiver does, in this order:
//
//	R1  try                  an element or the end: done
//	R2  enter the lot's list
//	R3  arm
//	R4  try                  an element or the end: leave the list, R7
//	R5  sleep, until signalled or cancelled
//	                         cancelled: leave the list; if a signal was on its way to it, signal the next; done
//	R6  (the signaller took it off the list) try
//	                         an element or the end: R7. Nothing: R2, at the head of the list
//	R7  an element: signal the next on the list (chaining). The end: signal all. Done
//
// Claim. While W sleeps in R5 and an element e is there, (a) the object is announced, or about to be, and the dispatcher
// will signal somebody on the list, or (b) a receiver between R2 and R7 will yet try, or is about to signal the next.
// The same holds for the end in place of e.
//
// Proof. Let A be the last arming, by B. There is one, since W armed.
//
//   - e came before A. If B has not tried since, (b). If it has, it found something, by N1 since e is still there, and
//     went to R7. So it signals the next, which is there, for W is on the list; that one tries, finds something since e
//     is still there, and signals the next; and so on: (b). If one of them is cancelled, it signals the next instead.
//   - e came after A and found the object armed. Then it announces: (a). When the dispatcher delivers that, the list is
//     not empty, for W is on it; so it signals a receiver, which goes to R6: (b).
//   - e came after A and found it disarmed. Then something after A has announced: (a), or that was delivered and a
//     receiver M was signalled. If M has not tried, (b). If it found something, the chain began with it and has not
//     ended, as above, unless one of the chain found nothing; that one, or M, is on its way to R3, since A is the last
//     arming: (b).
//
// What follows:
//
//   - Each receiver arms for itself, before it sleeps. Nobody else arms: not the dispatcher, not a sender.
//   - What is sent between the dispatcher's take and the signalled receiver's sleep may be unannounced. The third case.
//   - A close or destroy by C++ is announced, and the end passes through R7 to all. Close and Release in Go signal all
//     themselves.
//   - A signalled receiver can't fail to go on: between R2 and R7 it runs none of the user's code. (The context's
//     methods are that: Done is called before R2, Cause after the list is left.)
//   - The dispatcher reads the eventfd, then takes until nothing is left. What is listed after its take makes the eventfd
//     readable after its read.
//   - Senders in Go signal a receiver directly, because the way through the eventfd takes long when all Ps are busy. The
//     proof does not need it, so a stale look at `wanted` does no harm.
//   - Such a send is announced as well. So that it does not wake two, nobody is signalled while another that was
//     signalled (the mover) has yet to begin R6: its try comes later, so it serves for both.
//   - The garbage collector: the dispatcher holds weak pointers. A parked goroutine's stack holds the object.

// A lot is where the goroutines wait that want to receive from one object. The zero value is ready.
type lot struct {
	wanted atomic.Bool // somebody is on the list and no mover is on its way; written under mu, read by senders

	mu     sync.Mutex
	head   *waiter // the next to be woken
	tail   *waiter
	count  int
	moving bool // a mover was signalled and has not begun R6
}

// A waiter is a goroutine's place on a lot. Its fields belong to the lot's mutex.
type waiter struct {
	signal     chan struct{} // capacity 1: signalling never blocks
	next, prev *waiter
	listed     bool
	mover      bool // it was signalled to go on for the others, too
}

var waiters = sync.Pool{New: func() any { return &waiter{signal: make(chan struct{}, 1)} }}

// enter puts w on the list: at the end, or at the head if it was there before and found nothing.
func (l *lot) enter(w *waiter, again bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.listed = true
	l.count++
	switch {
	case l.head == nil:
		l.head, l.tail = w, w
	case again:
		w.next, l.head.prev = l.head, w
		l.head = w
	default:
		w.prev, l.tail.next = l.tail, w
		l.tail = w
	}
	l.look()
}

// leave takes w off the list. If a signal was on its way to w, the next gets it.
func (l *lot) leave(w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.listed {
		l.unlink(w)
	} else {
		<-w.signal
		if w.mover {
			w.mover, l.moving = false, false
			l.signalNext()
		}
	}
	l.look()
}

// begin is R6: w has got its signal, and will try.
func (l *lot) begin(w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.mover {
		w.mover, l.moving = false, false
	}
	l.look()
}

// wake signals the next on the list, unless there is none or a mover is on its way. It costs one atomic load then.
func (l *lot) wake() {
	if l.wanted.Load() {
		l.wakeOne()
	}
}

func (l *lot) wakeOne() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.moving {
		l.signalNext()
	}
	l.look()
}

// flush signals everybody.
func (l *lot) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.head != nil {
		w := l.head
		l.unlink(w)
		w.signal <- struct{}{}
	}
	l.look()
}

func (l *lot) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

func (l *lot) signalNext() {
	if w := l.head; w != nil {
		l.unlink(w)
		w.mover, l.moving = true, true
		w.signal <- struct{}{}
	}
}

func (l *lot) unlink(w *waiter) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		l.head = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		l.tail = w.prev
	}
	w.next, w.prev, w.listed = nil, nil, false
	l.count--
}

func (l *lot) look() { l.wanted.Store(l.head != nil && !l.moving) }

// busyPause is how long a goroutine sleeps at most when the library answers Busy: the end of that is not announced.
const busyPause = time.Millisecond

// wait receives between 1 and `capacity` elements, and sleeps until there is one. R1 has been done.
func (o *object) wait(ctx context.Context, op string, elements unsafe.Pointer, size, capacity uintptr) (int, error) {
	cancelled := ctx.Done()
	w := waiters.Get().(*waiter)
	defer waiters.Put(w)
	for again := false; ; again = true {
		o.lot.enter(w, again)
		if failure := o.notices.enrol(o); failure != nil {
			o.lot.leave(w)
			return 0, o.failed(op, failure)
		}
		if failure := o.ref.Watch(); failure != nil {
			o.lot.leave(w)
			o.lot.flush()
			return 0, o.failed(op, failure)
		}
		n, status, failure := o.take(elements, size, capacity)
		if status == native.Empty || status == native.Busy {
			if !o.lot.sleep(w, cancelled, status == native.Busy) {
				return 0, context.Cause(ctx)
			}
			n, status, failure = o.take(elements, size, capacity)
		} else {
			o.lot.leave(w)
		}
		switch status {
		case native.Empty, native.Busy:
		case native.OK:
			o.lot.wake()
			return n, nil
		default:
			o.lot.flush()
			return 0, o.answer(op, status, failure)
		}
	}
}

// sleep is R5: it returns true when w should try again, false when it was cancelled. Either way w is off the list.
func (l *lot) sleep(w *waiter, cancelled <-chan struct{}, busy bool) bool {
	var pause <-chan time.Time
	if busy {
		timer := time.NewTimer(busyPause)
		defer timer.Stop()
		pause = timer.C
	}
	select {
	case <-w.signal:
		l.begin(w)
		return true
	case <-pause:
		l.leave(w)
		return true
	case <-cancelled:
		l.leave(w)
		return false
	}
}

// A dispatcher is a goroutine that turns the library's notices into wake-ups. The process has one; it starts when a
// goroutine waits for the first time, and stays.
type dispatcher struct {
	open func() (int, *native.Failure)
	take func(handles []uint64) (n int, more bool, failure *native.Failure)

	broken atomic.Pointer[native.Failure] // why there are no notices any more

	mu      sync.Mutex
	events  *os.File // nil until started
	objects map[uint64]weak.Pointer[object]
}

var notices = dispatcher{open: native.OpenNotifier, take: native.TakeNotices}

// enrol has notices for o delivered from now on. An error says that they can't be.
func (d *dispatcher) enrol(o *object) *native.Failure {
	if failure := d.broken.Load(); failure != nil || o.enrolled.Load() {
		return failure
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.events == nil {
		fd, failure := d.open()
		if failure != nil {
			return failure // not kept: the next wait may have better luck
		}
		d.events = os.NewFile(uintptr(fd), "epoque-notifier")
		d.objects = make(map[uint64]weak.Pointer[object])
		go d.run()
	}
	d.objects[o.ref.Bits] = weak.Make(o)
	o.enrolled.Store(true)
	return nil
}

// forget ends the delivery for a handle.
func (d *dispatcher) forget(bits uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.objects, bits)
}

// find gives the object of a handle, or nil if nobody in Go has it any more.
func (d *dispatcher) find(bits uint64) *object {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.objects[bits].Value()
}

func (d *dispatcher) run() {
	var count [8]byte
	handles := make([]uint64, 256)
	for {
		// An eventfd gives its count and goes to 0; until it isn't 0, Read parks this goroutine in the poller.
		if _, err := d.events.Read(count[:]); err != nil {
			d.fail(unreadable(err))
			return
		}
		for more := true; more; {
			var n int
			var failure *native.Failure
			if n, more, failure = d.take(handles); failure != nil {
				d.fail(failure)
				return
			}
			for _, bits := range handles[:n] {
				if o := d.find(bits); o != nil {
					o.lot.wakeOne()
				}
			}
		}
	}
}

// fail makes everybody who waits, now or later, return the failure: better than to sleep with no one to wake them.
func (d *dispatcher) fail(failure *native.Failure) {
	d.broken.Store(failure)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, object := range d.objects {
		if o := object.Value(); o != nil {
			o.lot.flush()
		}
	}
}

func unreadable(err error) *native.Failure {
	var errno syscall.Errno
	errors.As(err, &errno)
	return &native.Failure{
		Code:  native.System,
		Errno: int32(errno),
		Message: "the library's eventfd can't be read any more, so nobody can be woken; " +
			"look for code that closes file descriptors that it did not open",
	}
}
