// SPDX-License-Identifier: BSL-1.0
//go:build cgo && linux

package main

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// arrivals is what one receiver sees: pairs of producer and sequence number.
type arrivals [][2]uint64

func settle(producers int, sent []uint64, receivers ...arrivals) findings {
	book := newLedger(producers)
	for _, seen := range receivers {
		w := newWitness(book, producers)
		for _, each := range seen {
			if w.arrived(uint32(each[0]), each[1]) {
				w.inOrder(uint32(each[0]), each[1])
			}
		}
		w.finish()
	}
	return book.settle(sent)
}

func TestALedgerFindsWhatIsPlanted(t *testing.T) {
	for _, c := range []struct {
		name      string
		sent      []uint64
		receivers []arrivals
		want      findings
	}{
		{"nothing at all", []uint64{0}, nil, findings{}},
		{"all in order", []uint64{3, 1}, []arrivals{{{0, 0}, {1, 0}, {0, 2}}, {{0, 1}}}, findings{received: 4, checked: 4}},
		{"one lost at the end", []uint64{3}, []arrivals{{{0, 0}, {0, 1}}},
			findings{received: 2, checked: 2, missing: 1, first: "element 2 of producer 0 never arrived"}},
		{"one lost at the beginning", []uint64{3}, []arrivals{{{0, 1}, {0, 2}}},
			findings{received: 2, checked: 2, missing: 1, first: "element 0 of producer 0 never arrived"}},
		{"two lost in the middle", []uint64{5}, []arrivals{{{0, 0}, {0, 3}, {0, 4}}},
			findings{received: 3, checked: 3, missing: 2, first: "element 1 of producer 0 never arrived"}},
		{"a producer lost as a whole", []uint64{1, 2}, []arrivals{{{0, 0}}},
			findings{received: 1, checked: 1, missing: 2, first: "element 0 of producer 1 never arrived"}},
		{"twice, at two receivers", []uint64{3}, []arrivals{{{0, 0}, {0, 1}, {0, 2}}, {{0, 1}}},
			findings{received: 4, checked: 4, duplicates: 1, first: "element 1 of producer 0 arrived twice"}},
		{"twice, at one receiver", []uint64{2}, []arrivals{{{0, 0}, {0, 0}, {0, 1}}},
			findings{received: 3, checked: 3, duplicates: 1, disordered: 1, first: "element 0 of producer 0 arrived twice",
				firstDisorder: "number 0 of source 0 arrived after number 0 at the same receiver"}},
		{"one lost and another twice", []uint64{3}, []arrivals{{{0, 0}, {0, 2}}, {{0, 2}}},
			findings{received: 3, checked: 3, duplicates: 1, missing: 1, first: "element 2 of producer 0 arrived twice"}},
		{"two swapped", []uint64{3}, []arrivals{{{0, 0}, {0, 2}, {0, 1}}},
			findings{received: 3, checked: 3, disordered: 1,
				firstDisorder: "number 1 of source 0 arrived after number 2 at the same receiver"}},
		{"two swapped, but at different receivers", []uint64{2}, []arrivals{{{0, 1}}, {{0, 0}}}, findings{received: 2, checked: 2}},
		{"more than were sent", []uint64{2}, []arrivals{{{0, 0}, {0, 1}, {0, 2}}},
			findings{received: 3, checked: 3, foreign: 1, first: "element 2 of producer 0 arrived, which sent only 2"}},
		{"from nobody", []uint64{0}, []arrivals{{{7, 0}}},
			findings{foreign: 1, first: "an element says that it is number 0 of producer 7, which does not exist"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := settle(len(c.sent), c.sent, c.receivers...); got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// A long random history, dealt out to receivers, with one fault planted in it: the ledger counts exactly that one.
func TestALedgerFindsOneFaultAmongMany(t *testing.T) {
	const producers, each, receivers = 3, 20_000, 4
	random := rand.New(rand.NewPCG(5, 6))
	for fault, want := range map[string]findings{
		"none": {}, "loss": {missing: 1}, "duplicate": {duplicates: 1},
	} {
		seen := make([]arrivals, receivers)
		next := make([]uint64, producers)
		at := uint64(random.IntN(each))
		for left := producers * each; left > 0; {
			producer := random.IntN(producers)
			who := random.IntN(receivers)
			for range random.IntN(40) {
				if next[producer] == each {
					break
				}
				times := 1
				if producer == 1 && next[producer] == at {
					times = map[string]int{"none": 1, "loss": 0, "duplicate": 2}[fault]
				}
				for i := range times {
					to := (who + i) % receivers
					seen[to] = append(seen[to], [2]uint64{uint64(producer), next[producer]})
				}
				next[producer]++
				left--
			}
		}
		got := settle(producers, []uint64{each, each, each}, seen...)
		if got.missing != want.missing || got.duplicates != want.duplicates || got.disordered != 0 || got.foreign != 0 {
			t.Errorf("%s: %+v", fault, got)
		}
		if got.once() != (fault == "none") {
			t.Errorf("%s: once is %v", fault, got.once())
		}
	}
}

func TestFindingsSayWhatIsWrong(t *testing.T) {
	f := settle(1, []uint64{3}, arrivals{{0, 2}, {0, 0}})
	if text := f.arrival(3); !strings.Contains(text, "1 missing") || !strings.Contains(text, "element 1 of producer 0 never arrived") {
		t.Error(text)
	}
	if text := f.order(); !strings.Contains(text, "1 out of order") || !strings.Contains(text, "number 0 of source 0") {
		t.Error(text)
	}
}
