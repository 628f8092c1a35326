// SPDX-License-Identifier: BSL-1.0
//go:build cgo && linux

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	epoque "epoque.dev/epoque/go"
)

func TestAStallIsWhenNothingMovesForLong(t *testing.T) {
	start := time.Now()
	s := stallDetector{patience: time.Minute, since: start, moved: 5}
	for _, step := range []struct {
		second int
		moved  uint64
		want   bool
	}{{59, 5, false}, {60, 6, false}, {119, 6, false}, {120, 6, true}, {121, 7, false}, {181, 7, true}} {
		if got := s.stalled(start.Add(time.Duration(step.second)*time.Second), step.moved); got != step.want {
			t.Errorf("after %d s: %v", step.second, got)
		}
	}
}

func TestPlotsAreThinnedByAveraging(t *testing.T) {
	var points [][2]float64
	for i := range 5 * mostPoints {
		points = append(points, [2]float64{float64(i), 3})
	}
	got := thin(points)
	if len(got) > mostPoints || len(got) < mostPoints/2 || got[len(got)-1] != points[len(points)-1] {
		t.Errorf("%d points, the last %v", len(got), got[len(got)-1])
	}
	if few := points[:mostPoints]; len(thin(few)) != mostPoints {
		t.Errorf("%d points became %d", mostPoints, len(thin(few)))
	}
}

// fixed is an object with given statistics.
type fixed struct{ stats epoque.Stats }

func (f *fixed) Stats() (epoque.Stats, error) { return f.stats, nil }

func TestAMeterAddsUpLivingAndEndedObjects(t *testing.T) {
	m := &meter{}
	m.enter(time.Time{}, func() string { return "test" })
	first := &fixed{epoque.Stats{Sends: 10, Receives: 7, Length: 3}}
	second := &fixed{epoque.Stats{Sends: 100, Receives: 60, Length: 40}}
	m.add(first, toGo)
	m.add(second, toNative)
	if r := m.read(); r.received != [2]uint64{7, 60} || r.depth != 43 {
		t.Errorf("%+v", r)
	}
	m.forget(first)
	second.stats.Receives = 61
	if r := m.read(); r.received != [2]uint64{7, 61} || r.depth != 40 {
		t.Errorf("after one has ended: %+v", r)
	}
	text := m.status(time.Now(), [2]float64{1.5, 2.25}, 43)
	for _, want := range []string{"test: ", "to Go 1.50", "to C++ 2.25 M/s", "depth 43", "garbage"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
}

func TestATerminalHasOneStatusLineBelowTheOthers(t *testing.T) {
	var out bytes.Buffer
	c := &console{out: &out, terminal: true}
	c.progress("10 %")
	c.line("a problem")
	c.progress("20 %")
	c.done()
	want := "\r10 %\x1b[K" + "\r\x1b[K" + "epoque-stress-crosslang: a problem\n" + "\r20 %\x1b[K" + "\r\x1b[K"
	if out.String() != want {
		t.Errorf("%q, want %q", &out, want)
	}
	out.Reset()
	c = &console{out: &out}
	c.progress("10 %")
	c.done()
	if want := "epoque-stress-crosslang: 10 %\n"; out.String() != want {
		t.Errorf("in a log: %q", &out)
	}
}

func TestAPlotFillsItsBox(t *testing.T) {
	p := plotOf([]series{{Name: "a", Unit: "M/s", Points: [][2]float64{{10, 0}, {20, 4}}}, {Name: "b", Unit: "M/s"}})
	if p == nil || len(p.Lines) != 2 || p.Lines[0].Points != "44.0,196.0 632.0,10.0" || p.From != "10 s" || p.Until != "20 s" {
		t.Errorf("%+v", p)
	}
	for _, few := range [][]series{nil, {{}}, {{Points: [][2]float64{{1, 1}}}}} {
		if p := plotOf(few); p != nil {
			t.Errorf("%v gives %+v", few, p)
		}
	}
}

func TestNumbersAreWrittenForPeople(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
	for value, want := range map[float64]string{0: "0", 0.01234: "0.0123", 1.5: "1.5", 123.4: "123", 1234567.8: "1,234,567"} {
		if got := number(value); got != want {
			t.Errorf("%v: %s, want %s", value, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0 bytes", 999: "999 bytes", 1500: "1.5 kB", 2_500_000: "2.5 MB"} {
		if got := inBytes(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
