// SPDX-License-Identifier: BSL-1.0
//go:build cgo && linux

package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	epoque "epoque.dev/epoque/go"
)

// direction is which language receives.
type direction int

const (
	toGo direction = iota
	toNative
)

// observed is what the meter wants of a queue or stack.
type observed interface {
	Stats() (epoque.Stats, error)
}

// meter watches a scenario: how much has crossed in each direction, how much lies in between, and whether anything moves.
type meter struct {
	bytes atomic.Uint64 // work that no queue shows: bytes read by the sequential count

	garbage atomic.Uint64 // the most that was seen

	mu     sync.Mutex
	phase  func() string
	watch  []watched
	ended  [2]uint64 // received, by direction, from objects that are gone
	until  time.Time
	series [2][][2]float64

	peakBefore uint64 // the process's peak of garbage when the scenario began
}

func newMeter() *meter {
	m := &meter{}
	if domain, err := epoque.DomainStats(); err == nil {
		m.peakBefore = domain.PeakPendingBytes
	}
	return m
}

// lookAtGarbage keeps the highest amount of garbage that it ever sees.
func (m *meter) lookAtGarbage() {
	domain, err := epoque.DomainStats()
	if err != nil {
		return
	}
	seen := domain.PendingBytes
	if domain.PeakPendingBytes > m.peakBefore {
		seen = max(seen, domain.PeakPendingBytes) // a new peak: of this scenario
	}
	for {
		most := m.garbage.Load()
		if seen <= most || m.garbage.CompareAndSwap(most, seen) {
			return
		}
	}
}

type watched struct {
	object    observed
	direction direction
}

// reading is what the meter shows at one moment.
type reading struct {
	received [2]uint64
	depth    uint64
	moved    uint64 // grows as long as anything goes on
}

// enter sets the phase's name, as a function because it may say how far it is, and when the scenario's time is up.
func (m *meter) enter(until time.Time, phase func() string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.phase, m.until = phase, until
}

// add begins to watch an object, forget ends it; the object must be alive in between.
func (m *meter) add(object observed, way direction) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watch = append(m.watch, watched{object, way})
}

func (m *meter) forget(object observed) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watch = slices.DeleteFunc(m.watch, func(w watched) bool {
		if w.object != object {
			return false
		}
		if stats, err := object.Stats(); err == nil {
			m.ended[w.direction] += stats.Receives
		}
		return true
	})
}

func (m *meter) read() reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := reading{received: m.ended, moved: m.bytes.Load()}
	for _, w := range m.watch {
		if stats, err := w.object.Stats(); err == nil {
			r.received[w.direction] += stats.Receives
			r.depth += stats.Length
			r.moved += stats.Sends
		}
	}
	r.moved += r.received[toGo] + r.received[toNative]
	return r
}

// The console hears of a run every second on a terminal and every 15 s in a log; a plot gets a point a second.
const (
	tick     = time.Second
	logTicks = 15
)

// run shows progress until the context ends. It returns early, with a sentence, when nothing has moved for as long as its
// patience lasts.
func (m *meter) run(ctx context.Context, console *console, patience time.Duration) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	defer console.done()
	started := time.Now()
	before, at := m.read(), started
	stall := stallDetector{patience: patience, since: started, moved: before.moved}
	for ticks := 1; ; ticks++ {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		now, r := time.Now(), m.read()
		var rates [2]float64
		for way := range rates {
			rates[way] = float64(r.received[way]-min(r.received[way], before.received[way])) / now.Sub(at).Seconds() / 1e6
			if r.received != [2]uint64{} { // a plot begins when something crosses
				m.series[way] = append(m.series[way], [2]float64{now.Sub(started).Seconds(), rates[way]})
			}
		}
		before, at = r, now
		if console.terminal || ticks%logTicks == 0 {
			console.progress(m.status(now, rates, r.depth))
		}
		if stall.stalled(now, r.moved) {
			m.mu.Lock()
			defer m.mu.Unlock()
			return fmt.Errorf("nothing has moved for %v: %s, %s elements lie in the queues and stacks; a thread or goroutine waits for something that never comes, or a disk has stopped",
				patience, m.phase(), grouped(r.depth))
		}
	}
}

func (m *meter) status(now time.Time, rates [2]float64, depth uint64) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	garbage := "?"
	if domain, err := epoque.DomainStats(); err == nil {
		garbage = inBytes(domain.PendingBytes)
	}
	left := ""
	if !m.until.IsZero() {
		left = fmt.Sprintf("%.0f s left, ", max(0, m.until.Sub(now).Seconds()))
	}
	return fmt.Sprintf("%s%s: to Go %.2f, to C++ %.2f M/s, garbage %s, depth %s",
		left, m.phase(), rates[toGo], rates[toNative], garbage, grouped(depth))
}

// plots gives the rates over time, thinned out to what a page can show.
func (m *meter) plots() []series {
	names := [2]string{"C++ -> Go", "Go -> C++"}
	var all []series
	for way, points := range m.series {
		all = append(all, series{Name: names[way], Unit: "M elements/s", Points: thin(points)})
	}
	return all
}

// mostPoints is how many points of a series a report keeps.
const mostPoints = 600

// thin averages neighbours until few enough points are left.
func thin(points [][2]float64) [][2]float64 {
	for len(points) > mostPoints {
		half := make([][2]float64, 0, len(points)/2+1)
		for pair := range slices.Chunk(points, 2) {
			last := pair[len(pair)-1]
			half = append(half, [2]float64{last[0], (pair[0][1] + last[1]) / 2})
		}
		points = half
	}
	return points
}

// stallDetector tells when something has not moved for a while.
type stallDetector struct {
	patience time.Duration
	since    time.Time
	moved    uint64
}

func (s *stallDetector) stalled(now time.Time, moved uint64) bool {
	if moved != s.moved {
		s.moved, s.since = moved, now
	}
	return now.Sub(s.since) >= s.patience
}
