// SPDX-License-Identifier: BSL-1.0
//go:build cgo && linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
	"unsafe"

	epoque "epoque.dev/epoque/go"
)

// The scenario `echo`: two flows at the same time, each through two queues.
//
//	goroutines  --out-->  C++ threads   --back-->   goroutines
//	C++ threads --in--->  goroutines    --return--> C++ threads
//
// Senders stamp each message with their number and a sequence number; those in the middle (movers) check the senders'
// order, stamp their own number and sequence number on it, and pass it on; receivers check the movers' order and note what
// came. A round ends when the first queue of each flow is closed *while its senders are sending*: what a send says was
// accepted must arrive, nothing else, and nothing twice. Then everything drains, and the next round begins with new queues.

const (
	messageDepth = 1 << 16 // messages in a queue, above which its senders wait: 2 MB
	messageBatch = 256
	shortRound   = 200 * time.Millisecond
	longRound    = 2 * time.Second
)

// echo is what the rounds found together.
type echo struct {
	settings
	rounds     int
	seconds    float64
	flows      [2]flow // goroutines -> C++ -> goroutines, C++ -> goroutines -> C++
	failures   []string
	statistics agreement
	alive      []string
}

// flow is what was found on one way there and back.
type flow struct {
	sent     uint64
	middle   findings
	received findings
}

func runEcho(ctx context.Context, s settings, out *scenario) error {
	e := &echo{settings: s}
	deadline := time.Now().Add(s.share)
	random := e.random(2)
	for e.rounds == 0 || ctx.Err() == nil && time.Now().Before(deadline) && len(e.failures) == 0 {
		round := shortRound + time.Duration(random.Int64N(int64(longRound-shortRound)))
		if left := time.Until(deadline); round+shortRound > left {
			round = max(left, shortRound)
		}
		if err := e.round(ctx, deadline, round, random); err != nil {
			return err
		}
	}
	e.conclude(ctx, out)
	return nil
}

// round lets the messages flow for the given time. An error: it could not begin.
func (e *echo) round(ctx context.Context, deadline time.Time, length time.Duration, random *rand.Rand) error {
	c := &crossing{meter: e.meter}
	defer func() { e.alive = append(e.alive, c.dismantle()...) }()
	var queues [4]*epoque.Queue[message]
	for i, way := range []direction{toNative, toGo, toGo, toNative} {
		var err error
		if queues[i], err = openQueue[message](c, []string{"out", "back", "in", "return"}[i], way); err != nil {
			return err
		}
	}
	out, back, in, home := queues[0], queues[1], queues[2], queues[3]

	native := plan{threads: e.threads, depth: messageDepth}
	planFor := func(producers int) plan {
		p := native
		p.seed, p.producers = random.Uint64(), producers
		return p
	}
	receivers, err := c.hire(startReceivers(home.Handle(), planFor(e.threads), e.goroutines))
	if err != nil {
		return err
	}
	movers, err := c.hire(startMovers(out.Handle(), back.Handle(), planFor(e.goroutines)))
	if err != nil {
		return err
	}
	senders, err := c.hire(startSenders(in.Handle(), planFor(0)))
	if err != nil {
		return err
	}
	e.rounds++
	number, started := e.rounds, time.Now()
	e.meter.enter(deadline, func() string { return fmt.Sprintf("round %d", number) })

	backBook, inBook := newLedger(e.goroutines), newLedger(e.threads)
	sent, moved := make([]uint64, e.goroutines), make([]uint64, e.goroutines)
	seed := random.Uint64()
	dice := func(role, index int) *rand.Rand { return e.random(seed + uint64(role*e.goroutines+index)) }
	spawn := func(body func(index int) error) *sync.WaitGroup { return c.spawn(e.goroutines, body) }
	receiving := spawn(func(index int) error {
		return receiveMessages(back, dice(0, index), newWitness(backBook, e.threads))
	})
	moving := spawn(func(index int) (err error) {
		moved[index], err = moveMessages(c, in, home, uint32(index), dice(1, index), newWitness(inBook, e.threads))
		return err
	})
	sending := spawn(func(index int) (err error) {
		sent[index], err = sendMessages(c, out, uint32(index), dice(2, index))
		return err
	})

	interrupted := false
	end := c.supervise(func() {
		if !interrupted && (ctx.Err() != nil || time.Since(started) > length) {
			interrupted = true
			out.Close()
			in.Close()
		}
	})
	sending.Wait()
	senders.join()
	movers.join()
	moving.Wait()
	back.Close()
	home.Close()
	receiving.Wait()
	receivers.join()
	end()
	e.seconds += time.Since(started).Seconds()

	if err := c.cause(); err != nil {
		e.failures = append(e.failures, fmt.Sprintf("round %d: %v", number, err))
	}
	first := flow{sent: sumOf(sent), middle: movers.findings(sent), received: backBook.settle(sent)}
	second := flow{sent: senders.elements(), middle: inBook.settle(senders.sent()), received: receivers.findings(senders.sent())}
	for _, each := range []struct {
		name           string
		queue          link
		sent, received uint64
	}{
		{"out", out, first.sent, first.middle.received},
		{"back", back, movers.elements(), first.received.received},
		{"in", in, second.sent, second.middle.received},
		{"return", home, sumOf(moved), second.received.received},
	} {
		e.statistics.atRest(fmt.Sprintf("round %d: %s", number, each.name), each.queue, true, each.sent, each.received)
	}
	e.flows[0].add(first)
	e.flows[1].add(second)
	return nil
}

func (f *flow) add(other flow) {
	f.sent += other.sent
	f.middle.add(other.middle)
	f.received.add(other.received)
}

// sendMessages sends until the queue is closed.
func sendMessages(c *crossing, to *epoque.Queue[message], producer uint32, random *rand.Rand) (sent uint64, err error) {
	batch := make([]message, messageBatch)
	for {
		if random.IntN(1024) == 0 { // a lull, so that the receivers fall asleep now and then
			time.Sleep(time.Millisecond)
		}
		c.room(to, messageDepth)
		wanted := batch[:1+random.IntN(messageBatch)]
		for i := range wanted {
			sequence := sent + uint64(i)
			wanted[i] = message{sequence: sequence, producer: producer, seal: seal(producer, sequence)}
		}
		n, closed, err := sendAll(to, wanted, random)
		sent += uint64(n)
		if closed || err != nil {
			return sent, err
		}
	}
}

// moveMessages passes on what comes, until the first queue is closed and drained.
func moveMessages(c *crossing, from, to *epoque.Queue[message], mover uint32, random *rand.Rand, witness *witness) (moved uint64, err error) {
	defer witness.finish()
	err = receiveAll(from, messageBatch, random, func(messages []message) error {
		for i := range messages {
			m := &messages[i]
			if witness.sealed(m) && witness.arrived(m.producer, m.sequence) {
				witness.inOrder(m.producer, m.sequence)
			}
			m.mover, m.hopSequence = mover, moved+uint64(i)
		}
		c.room(to, messageDepth)
		n, closed, err := sendAll(to, messages, random)
		moved += uint64(n)
		if closed && err == nil {
			err = errors.New("the second queue was closed while the first still had messages")
		}
		return err
	})
	return moved, err
}

// receiveMessages checks what comes, until the queue is closed and drained.
func receiveMessages(from *epoque.Queue[message], random *rand.Rand, witness *witness) error {
	defer witness.finish()
	return receiveAll(from, messageBatch, random, func(messages []message) error {
		for i := range messages {
			m := &messages[i]
			if witness.sealed(m) && witness.arrived(m.producer, m.sequence) {
				witness.inOrder(m.mover, m.hopSequence)
			}
		}
		return nil
	})
}

// sealed checks that a message is as its sender made it; if not, it is counted as foreign.
func (w *witness) sealed(m *message) bool {
	if m.seal == seal(m.producer, m.sequence) {
		return true
	}
	w.foreign(fmt.Sprintf("a message says that it is number %d of producer %d, and its seal does not fit: torn or overwritten",
		m.sequence, m.producer))
	return false
}

// conclude writes the scenario's report.
func (e *echo) conclude(ctx context.Context, out *scenario) {
	if ctx.Err() != nil {
		out.expect("ran to its end", false, "interrupted in round %d; what had been sent was drained and checked", e.rounds)
	}
	there, other := &e.flows[0], &e.flows[1]
	out.Summary = fmt.Sprintf("%d rounds, each closed while the senders were sending: %s messages Go -> C++ -> Go, %s messages C++ -> Go -> C++; %d threads and %d goroutines in each role.",
		e.rounds, grouped(there.sent), grouped(other.sent), e.threads, e.goroutines)
	out.expect("no call fails", len(e.failures) == 0, "%s", firstOf(e.failures, "every send and receive did what it said"))
	for i, hops := range [2][3]string{{"Go", "C++", "Go"}, {"C++", "Go", "C++"}} {
		f := &e.flows[i]
		way := fmt.Sprintf("%s -> %s -> %s", hops[0], hops[1], hops[2])
		out.expect("every message arrives once: "+way, f.middle.once() && f.received.once() && f.sent > 0 && f.received.received == f.sent,
			"half way: %s; at the end: %s", f.middle.arrival(f.sent), f.received.arrival(f.sent))
		out.expect("each producer's order holds at each consumer: "+way, f.middle.disordered == 0 && f.received.disordered == 0,
			"half way: %s; at the end: %s", f.middle.order(), f.received.order())
	}
	out.expect("statistics agree with what was counted", len(e.statistics.wrong) == 0, "%s", firstOf(e.statistics.wrong, "sends, receives and length, at rest, after every round"))
	out.expect("released handles are stale", len(e.alive) == 0, "%s", firstOf(e.alive, fmt.Sprintf("%d handles, asked by C++", 4*e.rounds)))
	toGo := there.received.received + other.middle.received
	toNative := there.middle.received + other.received.received
	out.traffic(toGo, toNative, e.seconds, e.meter.garbage.Load(), (toGo+toNative)*uint64(unsafe.Sizeof(message{})))
	out.measure("given-up cells", float64(e.statistics.givenUp), "of the queues")
}
