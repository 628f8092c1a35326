// SPDX-License-Identifier: BSL-1.0
//go:build cgo && linux

package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"os"
	"runtime"
	"strings"
	"time"

	epoque "epoque.dev/epoque/go"
)

// report is what a run found, in the form "epoque-stress/1" that `epoque-stress merge` joins with others.
type report struct {
	Format    string     `json:"format"`
	Program   string     `json:"program"`
	Verdict   string     `json:"verdict"`
	Seed      uint64     `json:"seed"`
	Started   string     `json:"started"`
	Seconds   float64    `json:"seconds"`
	Command   []string   `json:"command"`
	Machine   machine    `json:"machine"`
	Scenarios []scenario `json:"scenarios"`

	begun time.Time
}

type machine struct {
	CPU               string `json:"cpu"`
	Cores             int    `json:"cores"`
	Kernel            string `json:"kernel"`
	Compiler          string `json:"compiler"`
	Go                string `json:"go"`
	AsymmetricBarrier bool   `json:"asymmetric_barrier"`
}

type scenario struct {
	Name    string   `json:"name"`
	Engine  string   `json:"engine"`
	Verdict string   `json:"verdict"`
	Seconds float64  `json:"seconds"`
	Summary string   `json:"summary"`
	Figures []figure `json:"figures"`
	Checks  []check  `json:"checks"`
	Series  []series `json:"series,omitempty"`
	Notes   []string `json:"notes"`
	Failure *failure `json:"failure,omitempty"`
}

type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

type check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

type series struct {
	Name   string       `json:"name"`
	Unit   string       `json:"unit"`
	Points [][2]float64 `json:"points"`
}

type failure struct {
	Clause  string `json:"clause"`
	History string `json:"history"`
	Replay  string `json:"replay"`
}

const (
	verdictOK     = "ok"
	verdictFailed = "failed"
)

func newReport(seed uint64, command []string) *report {
	r := &report{
		Format: "epoque-stress/1", Program: "epoque-stress-crosslang", Verdict: verdictOK, Seed: seed,
		Started: time.Now().UTC().Format(time.RFC3339), Command: command, Scenarios: []scenario{}, begun: time.Now(),
		Machine: machine{
			CPU: "unknown", Cores: runtime.NumCPU(), Kernel: "unknown", Compiler: nativeCompiler(), Go: runtime.Version(),
		},
	}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.SplitSeq(string(text), "\n") {
			if name, ok := strings.CutPrefix(line, "model name"); ok {
				r.Machine.CPU = strings.Trim(name, " \t:")
				break
			}
		}
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		r.Machine.Kernel = "Linux " + strings.TrimSpace(string(text))
	}
	if domain, err := epoque.DomainStats(); err == nil {
		r.Machine.AsymmetricBarrier = domain.Asymmetric
	}
	return r
}

// print shows what a scenario found.
func (s *scenario) print(out io.Writer) {
	fmt.Fprintf(out, "%s: %s (%.1f s)\n  %s\n", s.Name, s.Verdict, s.Seconds, s.Summary)
	for _, f := range s.Figures {
		fmt.Fprintf(out, "  %-18s %12s %s\n", f.Name, number(f.Value), f.Unit)
	}
	for _, c := range s.Checks {
		mark := "ok    "
		if !c.OK {
			mark = "FAILED"
		}
		fmt.Fprintf(out, "  %s %s: %s\n", mark, c.Name, c.Detail)
	}
	for _, n := range s.Notes {
		fmt.Fprintf(out, "  note   %s\n", n)
	}
	if s.Failure != nil {
		fmt.Fprintf(out, "  replay %s\n", s.Failure.Replay)
	}
}

func (r *report) add(s scenario) {
	r.Scenarios = append(r.Scenarios, s)
	if s.Verdict != verdictOK {
		r.Verdict = verdictFailed
	}
	r.Seconds = time.Since(r.begun).Seconds()
}

// expect adds a check; one that fails fails the scenario, and the first such is its failure.
func (s *scenario) expect(name string, ok bool, detail string, arguments ...any) {
	text := fmt.Sprintf(detail, arguments...)
	s.Checks = append(s.Checks, check{name, ok, text})
	if !ok && s.Verdict == verdictOK {
		s.Verdict = verdictFailed
		s.Failure = &failure{Clause: name, History: text}
	}
}

func (s *scenario) measure(name string, value float64, unit string) {
	s.Figures = append(s.Figures, figure{name, value, unit})
}

func (s *scenario) note(format string, arguments ...any) {
	s.Notes = append(s.Notes, fmt.Sprintf(format, arguments...))
}

// Garbage may pile up for as long as some thread is preempted in the middle of an operation. More than this much, and more
// than this part of all that passed through, means that it is not given back as it arises.
const (
	muchGarbage     = 256 << 20
	garbageFraction = 4
)

// traffic adds the figures that every scenario has: elements that each language received from the other, and the garbage
// at its worst. passed is how many bytes of elements went through.
func (s *scenario) traffic(toGo, toNative uint64, seconds float64, garbage, passed uint64) {
	s.measure("C++ -> Go", float64(toGo)/seconds/1e6, "M elements/s")
	s.measure("Go -> C++", float64(toNative)/seconds/1e6, "M elements/s")
	s.measure("peak garbage", float64(garbage), "bytes")
	s.expect("garbage is given back as it arises", garbage <= max(muchGarbage, passed/garbageFraction),
		"%s at its worst, while %s of elements passed through", inBytes(garbage), inBytes(passed))
}

func (r *report) writeJSON(out io.Writer) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", " ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(r)
}

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"plot":    plotOf,
	"number":  number,
	"seconds": func(s float64) string { return fmt.Sprintf("%.1f s", s) },
	"join":    func(words []string) string { return strings.Join(words, " ") },
}).Parse(pageText))

// writeHTML writes one page that needs nothing else.
func (r *report) writeHTML(out io.Writer) error { return page.Execute(out, r) }

// number writes a figure's value for people.
func number(value float64) string {
	switch {
	case value >= 1e4:
		return grouped(uint64(value))
	case value >= 100 || value == float64(int64(value)):
		return fmt.Sprintf("%.0f", value)
	}
	return fmt.Sprintf("%.3g", value)
}

// plot is a chart of a scenario's series, in the units of its view box.
type plot struct {
	Width, Height float64
	Lines         []plotLine
	Ticks         []plotTick
	From, Until   string
	Unit          string
}

type plotLine struct {
	Name   string
	Class  string
	Points string
}

type plotTick struct {
	Y     float64
	Label string
}

const (
	plotWidth, plotHeight  = 640.0, 220.0
	plotLeft, plotTop      = 44.0, 10.0
	plotRight, plotBottom  = 632.0, 196.0
	plotTicks, plotMinimum = 4, 1e-6
)

// plotOf gives nil if there is too little to plot.
func plotOf(all []series) *plot {
	first, last, top := math.Inf(1), 0.0, plotMinimum
	for _, s := range all {
		for _, p := range s.Points {
			first, last, top = min(first, p[0]), max(last, p[0]), max(top, p[1])
		}
	}
	if first >= last {
		return nil
	}
	x := func(seconds float64) float64 { return plotLeft + (plotRight-plotLeft)*(seconds-first)/(last-first) }
	y := func(value float64) float64 { return plotBottom - (plotBottom-plotTop)*value/top }
	p := &plot{Width: plotWidth, Height: plotHeight, From: fmt.Sprintf("%.0f s", first), Until: fmt.Sprintf("%.0f s", last), Unit: all[0].Unit}
	for i, s := range all {
		var text strings.Builder
		for _, point := range s.Points {
			fmt.Fprintf(&text, "%.1f,%.1f ", x(point[0]), y(point[1]))
		}
		p.Lines = append(p.Lines, plotLine{s.Name, fmt.Sprintf("line%d", i), strings.TrimSpace(text.String())})
	}
	for i := range plotTicks + 1 {
		value := top * float64(i) / plotTicks
		p.Ticks = append(p.Ticks, plotTick{y(value), fmt.Sprintf("%.3g", value)})
	}
	return p
}
