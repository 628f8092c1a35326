// SPDX-License-Identifier: BSL-1.0
//go:build cgo && linux

package main

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
)

// The Go side's oracle: was every element received once, and in its producer's order? (ledger.hpp is C++'s, by the same
// design.)
//
// A receiver writes down what it sees in its own witness, as runs of sequence numbers. Only now and then does it hand its
// runs to the common ledger, under a mutex: an oracle that synchronised the receivers at every element would order the
// very operations whose races it is there to reveal. The ledger keeps per producer a sorted list of disjoint runs, which
// is about as long as there are elements in flight, and one run from 0 to the number sent when all is well at the end.

// findings is what receivers saw.
type findings struct {
	received   uint64
	checked    uint64 // compared with the order of their producer
	disordered uint64 // came at one receiver after a later one of the same producer
	foreign    uint64 // no producer can have sent this: torn, overwritten, never written
	duplicates uint64 // came twice
	missing    uint64 // never came

	first         string // the first that is missing, twice or foreign, in words; empty: none
	firstDisorder string // the first that is out of order, in words; empty: none
}

func (f *findings) add(other findings) {
	f.received += other.received
	f.checked += other.checked
	f.disordered += other.disordered
	f.foreign += other.foreign
	f.duplicates += other.duplicates
	f.missing += other.missing
	keepFirst(&f.first, other.first)
	keepFirst(&f.firstDisorder, other.firstDisorder)
}

func keepFirst(field *string, text string) {
	if *field == "" {
		*field = text
	}
}

// once tells whether every element came, and none twice or from nowhere.
func (f *findings) once() bool { return f.missing == 0 && f.duplicates == 0 && f.foreign == 0 }

// arrival says how many came of those that were sent.
func (f *findings) arrival(sent uint64) string {
	text := fmt.Sprintf("%s sent, %s received", grouped(sent), grouped(f.received))
	if !f.once() {
		text += fmt.Sprintf(": %s missing, %s twice, %s that nobody sent (%s)", grouped(f.missing), grouped(f.duplicates), grouped(f.foreign), f.first)
	}
	return text
}

// order says how the producers' orders held.
func (f *findings) order() string {
	text := fmt.Sprintf("%s arrivals compared with the one before from the same producer", grouped(f.checked))
	if f.disordered > 0 {
		text += fmt.Sprintf(": %s out of order (%s)", grouped(f.disordered), f.firstDisorder)
	}
	return text
}

// span is the sequence numbers first, first+1 ... last-1.
type span struct{ first, last uint64 }

// ledger knows which sequence numbers of which producer were received, over all receivers.
type ledger struct {
	mu       sync.Mutex
	runs     [][]span // per producer: sorted, disjoint, not adjacent
	findings findings
}

func newLedger(producers int) *ledger { return &ledger{runs: make([][]span, producers)} }

// enter takes over what one receiver saw of one producer.
func (l *ledger) enter(producer int, seen []span) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Concat(l.runs[producer], seen)
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	known := l.runs[producer][:0]
	for _, next := range all {
		if len(known) == 0 || known[len(known)-1].last < next.first {
			known = append(known, next)
			continue
		}
		last := &known[len(known)-1]
		if next.first < last.last {
			l.findings.duplicates += min(last.last, next.last) - next.first
			keepFirst(&l.findings.first, fmt.Sprintf("element %d of producer %d arrived twice", next.first, producer))
		}
		last.last = max(last.last, next.last)
	}
	l.runs[producer] = known
}

// settle gives the sum of all findings, with what is missing from the sent[producer] elements. After all receivers have
// ended.
func (l *ledger) settle(sent []uint64) findings {
	l.mu.Lock()
	defer l.mu.Unlock()
	for producer, total := range sent {
		expected := uint64(0) // all below have been looked at
		gap := func(until uint64) {
			if expected < until {
				l.findings.missing += until - expected
				keepFirst(&l.findings.first, fmt.Sprintf("element %d of producer %d never arrived", expected, producer))
			}
		}
		for _, seen := range l.runs[producer] {
			gap(min(seen.first, total))
			expected = seen.last
			if beyond := max(seen.first, total); seen.last > total {
				l.findings.foreign += seen.last - beyond
				keepFirst(&l.findings.first, fmt.Sprintf("element %d of producer %d arrived, which sent only %d", beyond, producer, total))
			}
		}
		gap(total)
	}
	return l.findings
}

// runsKept is how many runs per producer a witness keeps before it hands them over.
const runsKept = 1024

// witness is what one receiver saw. For one goroutine.
type witness struct {
	book     *ledger
	seen     [][]span // per producer, in order of arrival
	next     []uint64 // per source: one more than the last number seen
	findings findings
}

// newWitness makes a witness; sources is how many number the elements in an order that must hold here.
func newWitness(book *ledger, sources int) *witness {
	return &witness{book: book, seen: make([][]span, len(book.runs)), next: make([]uint64, sources)}
}

// arrived notes element number sequence of producer. False: there is no such producer; it is counted as foreign.
func (w *witness) arrived(producer uint32, sequence uint64) bool {
	if int(producer) >= len(w.seen) {
		w.foreign(fmt.Sprintf("an element says that it is number %d of producer %d, which does not exist", sequence, producer))
		return false
	}
	w.findings.received++
	seen := w.seen[producer]
	if n := len(seen); n > 0 && seen[n-1].last == sequence {
		seen[n-1].last = sequence + 1
		return true
	}
	if len(seen) == runsKept {
		w.book.enter(int(producer), seen)
		seen = seen[:0]
	}
	w.seen[producer] = append(seen, span{sequence, sequence + 1})
	return true
}

// inOrder checks that what source numbered sequence is later than all that came from it before.
func (w *witness) inOrder(source uint32, sequence uint64) {
	if int(source) >= len(w.next) {
		w.foreign(fmt.Sprintf("an element says that it is number %d of source %d, which does not exist", sequence, source))
		return
	}
	w.findings.checked++
	if next := w.next[source]; sequence < next {
		w.findings.disordered++
		keepFirst(&w.findings.firstDisorder, fmt.Sprintf("number %d of source %d arrived after number %d at the same receiver", sequence, source, next-1))
		return
	}
	w.next[source] = sequence + 1
}

// foreign notes an element that nobody can have sent.
func (w *witness) foreign(text string) {
	w.findings.foreign++
	keepFirst(&w.findings.first, text)
}

// finish hands everything over. Before the goroutine ends.
func (w *witness) finish() {
	for producer, seen := range w.seen {
		w.book.enter(producer, seen)
	}
	w.book.mu.Lock()
	defer w.book.mu.Unlock()
	w.book.findings.add(w.findings)
	w.findings = findings{}
}
