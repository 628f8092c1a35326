// SPDX-License-Identifier: BSL-1.0
//go:build cgo && linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	epoque "epoque.dev/epoque/go"
)

// counted makes a scenario whose sequential count has been done.
func counted(t *testing.T, texts ...[]byte) *identifiers {
	t.Helper()
	folder := t.TempDir()
	in := &input{name: folder}
	for i, text := range texts {
		path := filepath.Join(folder, fmt.Sprint(i))
		must(t, os.WriteFile(path, text, 0o644))
		in.paths = append(in.paths, path)
	}
	var done atomic.Uint64
	seq, err := countSequentially(context.Background(), in.paths, &done)
	must(t, err)
	console := &console{out: &bytes.Buffer{}}
	return &identifiers{
		settings: settings{threads: 2, goroutines: 3, seed: 1, console: console, results: &bytes.Buffer{}, meter: &meter{}},
		in:       in, problems: newProblems(console), seq: seq, changed: make(map[int]bool),
	}
}

// conclude runs a pass and gives the report.
func conclude(t *testing.T, r *identifiers) *scenario {
	t.Helper()
	must(t, r.pass(context.Background(), time.Now(), rand.New(rand.NewPCG(13, 14))))
	out := &scenario{Verdict: verdictOK}
	r.conclude(context.Background(), out)
	return out
}

func failedChecks(s *scenario) (names []string) {
	for _, c := range s.Checks {
		if !c.OK {
			names = append(names, c.Name)
		}
	}
	return names
}

func randomTexts() [][]byte {
	random := rand.New(rand.NewPCG(15, 16))
	texts := [][]byte{nil, []byte("only"), []byte("0x1F"), bytes.Repeat([]byte("w"), 5*chunkBytes)}
	for range 10 {
		texts = append(texts, randomText(random, random.IntN(40_000)))
	}
	return texts
}

func TestAPassCountsWhatTheDefinitionCounts(t *testing.T) {
	texts := randomTexts()
	r := counted(t, texts...)
	out := conclude(t, r)
	if out.Verdict != verdictOK || r.tablesCompared != 1 || r.filesCompared != uint64(len(texts)) {
		t.Errorf("%v, %d tables and %d files compared", failedChecks(out), r.tablesCompared, r.filesCompared)
	}
	want := countsByRegexp(bytes.Join(texts, []byte(" ")))
	names := slices.SortedFunc(maps.Keys(want), func(a, b string) int {
		if want[a] != want[b] {
			return int(want[b]) - int(want[a])
		}
		return strings.Compare(a, b)
	})
	for rank, each := range r.frequent {
		if each.name != names[rank] || each.times != want[names[rank]] {
			t.Errorf("rank %d: %.20q %d times, the definition gives %.20q %d times", rank, each.name, each.times, names[rank], want[names[rank]])
		}
	}
	if len(r.frequent) != mostShown || r.distinct != len(want) {
		t.Errorf("%d shown, %d different ones, the definition gives %d", len(r.frequent), r.distinct, len(want))
	}
	r.print()
	if text := fmt.Sprint(r.results); strings.Count(text, "\n") != mostShown+1 || !strings.Contains(text, names[0]) {
		t.Error(text)
	}
}

// Files that change between the sequential count and the pass are named and left out; all others are still compared.
func TestFilesThatChangedAreLeftOutOfTheComparison(t *testing.T) {
	texts := randomTexts()
	r := counted(t, texts...)
	must(t, os.WriteFile(r.in.paths[5], append(texts[5], "one more"...), 0o644))
	must(t, os.WriteFile(r.in.paths[6], bytes.ToUpper(texts[6]), 0o644)) // as long as before
	must(t, os.Remove(r.in.paths[7]))
	must(t, os.Remove(r.in.paths[8]))
	must(t, os.Mkdir(r.in.paths[8], 0o755))
	out := conclude(t, r)
	if out.Verdict != verdictOK || len(r.changed) != 4 || r.filesLeftOut != 4 || r.filesCompared != uint64(len(texts)-4) || r.tablesCompared != 0 {
		t.Errorf("%v, changed %v, %d left out, %d compared, %d tables", failedChecks(out), r.changed, r.filesLeftOut, r.filesCompared, r.tablesCompared)
	}
	said := fmt.Sprint(r.console.out)
	for file, want := range map[int]string{
		5: "changed while the suite was reading; its counts are not compared", 6: "changed while the suite was reading",
		7: "is not there any more", 8: "is no regular file any more",
	} {
		if !strings.Contains(said, r.in.paths[file]+": "+want) {
			t.Errorf("it does not say of file %d that it %q:\n%s", file, want, said)
		}
	}
	if got, want := len(r.problems.notes()), 3; got != want {
		t.Errorf("%d kinds of problems are counted, want %d: %v", got, want, r.problems.notes())
	}
	conclude(t, r)
	if strings.Count(fmt.Sprint(r.console.out), "\n") != 4 {
		t.Errorf("a second pass says it again:\n%s", r.console.out)
	}
}

func TestAWrongCountIsFound(t *testing.T) {
	texts := randomTexts()
	for name, c := range map[string]struct {
		plant func(r *identifiers)
		want  []string
	}{
		"one identifier of one file": {func(r *identifiers) { r.seq.tallies[4].add(1, nameMix([]byte("x")), 1) },
			[]string{"each file's counts equal a sequential count"}},
		"two of the same length swapped between files": {func(r *identifiers) {
			r.seq.tallies[4].mix += nameMix([]byte("ab")) - nameMix([]byte("ba"))
			r.seq.tallies[5].mix += nameMix([]byte("ba")) - nameMix([]byte("ab"))
		}, []string{"each file's counts equal a sequential count"}},
		"one identifier of the table": {func(r *identifiers) { r.seq.names["only"].times++ },
			[]string{"the whole table equals a sequential count"}},
		"one identifier too few in the table": {func(r *identifiers) { delete(r.seq.names, "only") },
			[]string{"the whole table equals a sequential count"}},
		"one identifier too many in the table": {func(r *identifiers) { r.seq.names["surplus+"] = &nameCount{times: 1} },
			[]string{"the whole table equals a sequential count"}},
		"a byte lost":  {func(r *identifiers) { r.bytesSent++ }, []string{"all bytes arrive"}},
		"a chunk lost": {func(r *identifiers) { r.queue.missing++ }, []string{"every chunk arrives once"}},
		"a count lost": {func(r *identifiers) { r.countsSent++ }, []string{"every count arrives once"}},
		"an order":     {func(r *identifiers) { r.queue.disordered++ }, []string{"each reader's order holds at each goroutine"}},
		"an error":     {func(r *identifiers) { r.failures = append(r.failures, "x") }, []string{"no call fails"}},
		"statistics":   {func(r *identifiers) { r.statistics.wrong = append(r.statistics.wrong, "x") }, []string{"statistics agree with what was counted"}},
		"handles":      {func(r *identifiers) { r.alive = append(r.alive, "x") }, []string{"released handles are stale"}},
	} {
		r := counted(t, texts...)
		c.plant(r)
		out := conclude(t, r)
		if got := failedChecks(out); out.Verdict != verdictFailed || !slices.Equal(got, c.want) || out.Failure == nil || out.Failure.Clause != c.want[0] {
			t.Errorf("%s: failed %q, want %q", name, got, c.want)
		}
	}
}

// settled is a link with given statistics.
type settled struct {
	link
	stats epoque.Stats
}

func (s settled) Stats() (epoque.Stats, error) { return s.stats, nil }

func TestStatisticsThatDoNotAgreeAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		stats   epoque.Stats
		isQueue bool
		wrong   int
		givenUp uint64
	}{
		"all well":                          {epoque.Stats{Sends: 10, Receives: 10}, false, 0, 0},
		"given-up cells":                    {epoque.Stats{Sends: 13, Receives: 13}, true, 0, 3},
		"given-up cells that nobody passed": {epoque.Stats{Sends: 10, Receives: 12}, true, 0, 2},
		"a stack has none":                  {epoque.Stats{Sends: 13, Receives: 13}, false, 1, 0},
		"a stack has less":                  {epoque.Stats{Sends: 9, Receives: 9}, false, 1, 0},
		"something left":                    {epoque.Stats{Sends: 10, Receives: 10, Length: 1}, true, 1, 0},
		"too few sent":                      {epoque.Stats{Sends: 9, Receives: 10}, true, 1, 0},
		"too few received":                  {epoque.Stats{Sends: 10, Receives: 9}, true, 1, 0},
	} {
		var a agreement
		a.atRest("it", settled{stats: c.stats}, c.isQueue, 10, 10)
		if len(a.wrong) != c.wrong || a.givenUp != c.givenUp {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

// A pass that is cut short is checked as exactly as a full one, file by file.
// tooOften is far more than can be read before a pass notices that its time is up.
const tooOften = 50_000

func repeat(r *identifiers) {
	r.in.paths = slices.Repeat(r.in.paths, tooOften)
	r.seq.files = slices.Repeat(r.seq.files, tooOften)
	r.seq.tallies = slices.Repeat(r.seq.tallies, tooOften)
}

func TestAPassThatIsCutIsStillExact(t *testing.T) {
	r := counted(t, randomText(rand.New(rand.NewPCG(17, 18)), 2*chunkBytes))
	const times = tooOften
	repeat(r)
	r.passes = 1 // the first is never cut
	out := conclude(t, r)
	want := []string{"at least one full pass"}
	if r.filesCompared == 0 {
		want = slices.Insert(want, 0, "each file's counts equal a sequential count")
	}
	if got := failedChecks(out); !slices.Equal(got, want) || r.filesLeftOut == 0 || r.filesCompared+r.filesLeftOut != times {
		t.Errorf("failed %q, want %q; %d files compared, %d left out; %s", got, want, r.filesCompared, r.filesLeftOut, firstOf(r.differences, "no difference"))
	}
}

func TestAnInterruptedRunSaysSo(t *testing.T) {
	r := counted(t, randomTexts()...)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	must(t, r.pass(ctx, time.Now(), rand.New(rand.NewPCG(19, 20))))
	out := &scenario{Verdict: verdictOK}
	r.conclude(ctx, out)
	if out.Failure == nil || out.Failure.Clause != "ran to its end" || !strings.Contains(out.Failure.History, "interrupted in pass 1") {
		t.Errorf("%+v", out.Failure)
	}
	for _, name := range failedChecks(out) {
		switch name {
		case "ran to its end", "at least one full pass", "each file's counts equal a sequential count":
		default:
			t.Errorf("it also says that %q failed", name)
		}
	}
}

func TestACutPassDoesNotReplaceTheTableOfAFullOne(t *testing.T) {
	r := counted(t, randomText(rand.New(rand.NewPCG(21, 22)), 2*chunkBytes))
	random := rand.New(rand.NewPCG(23, 24))
	must(t, r.pass(context.Background(), time.Now(), random))
	shown, distinct, occurrences := slices.Clone(r.frequent), r.distinct, r.counted
	repeat(r)
	must(t, r.pass(context.Background(), time.Now(), random))
	if r.passes != 2 || r.full != 1 || len(shown) == 0 {
		t.Fatalf("%d passes, %d of them full; %d shown", r.passes, r.full, len(shown))
	}
	if !slices.Equal(r.frequent, shown) || r.distinct != distinct || r.counted != occurrences {
		t.Errorf("%d identifiers, %d occurrences; they were %d and %d", r.distinct, r.counted, distinct, occurrences)
	}
}

func TestWhatCanNotBeReadAtAllIsRefused(t *testing.T) {
	folder := tree(t, "a")
	s := settings{input: "-", list: strings.NewReader(filepath.Join(folder, "a")), meter: &meter{}, console: &console{out: &bytes.Buffer{}},
		results: &bytes.Buffer{}, threads: 1, goroutines: 1}
	problems := newProblems(s.console)
	in, err := findInput(s.input, s.list, problems)
	must(t, err)
	must(t, os.Remove(in.paths[0]))
	var done atomic.Uint64
	seq, err := countSequentially(context.Background(), in.paths, &done)
	must(t, err)
	if readable := seq.report(in.paths, problems); readable != 0 {
		t.Errorf("%d files were readable", readable)
	}
	if got := problems.notes(); !slices.Equal(got, []string{"vanished while the suite ran: 1"}) {
		t.Errorf("%q", got)
	}
}
