// SPDX-License-Identifier: BSL-1.0
//go:build cgo && linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
	"unsafe"

	epoque "epoque.dev/epoque/go"
)

// The scenario `identifiers`: C++ threads read files and send them, cut into chunks, through a queue; goroutines count the
// identifiers in each chunk and send the counts through a stack; C++ threads add them up.
//
// What is exact, and how. First one goroutine counts everything sequentially, and keeps per file the size, a digest of its
// bytes and the tally of its counts. Then pass follows pass, each with a queue and a stack of its own, for as long as
// there is time; the first always goes to its end. The readers keep size and digest too. A file whose bytes were others in
// a pass than in the sequential count has changed in between: it is named, and its counts are not compared. For every
// other file that the pass read to its end, the tally of the counts that came out must equal the sequential one; so a pass
// that was cut short, by time or by the user, is checked as exactly as a full one. When a pass is full and no file has
// changed, the whole tables are compared, identifier by identifier.

const (
	chunkDepth = 2048    // chunks in the queue, above which the readers wait: 8 MB
	countDepth = 1 << 16 // counts in the stack, above which the goroutines wait: 8 MB
	chunkBatch = 32      // most chunks per receive
	countBatch = 512     // about as many counts per send
	mostShown  = 20      // identifiers that are printed
	longShown  = 60      // bytes of a long identifier that are printed
	examples   = 3       // differences that are named
)

// identifiers is what the passes found together.
type identifiers struct {
	settings
	in       *input
	problems *problems
	seq      *sequential

	passes, full             int
	queue, stack             findings
	chunksSent, countsSent   uint64
	bytesSent, bytesReceived uint64
	seconds                  float64

	filesCompared, filesLeftOut uint64
	tablesCompared              int
	differences                 []string // between counts
	tables                      []string // between tables
	failures                    []string
	statistics                  agreement
	alive                       []string // handles that were released and are not stale
	changed                     map[int]bool
	frequent                    []nameTimes
	distinct                    int
	counted                     uint64
}

type nameTimes struct {
	name  string
	times uint64
}

func runIdentifiers(ctx context.Context, s settings, out *scenario) error {
	r := &identifiers{settings: s, problems: newProblems(s.console), changed: make(map[int]bool)}
	s.meter.enter(time.Time{}, func() string { return "looking for files" })
	in, err := findInput(s.input, s.list, r.problems)
	defer func() { out.Notes = append(out.Notes, r.problems.notes()...) }()
	if err != nil {
		return err
	}
	r.in = in
	r.random(0).Shuffle(len(in.paths), func(i, j int) { in.paths[i], in.paths[j] = in.paths[j], in.paths[i] })

	s.meter.enter(time.Time{}, func() string {
		return "sequential count, " + inBytes(s.meter.bytes.Load())
	})
	r.seq, err = countSequentially(ctx, in.paths, &s.meter.bytes)
	if err != nil {
		out.Summary = "interrupted before the first pass"
		out.expect("ran to its end", false, "interrupted during the sequential count")
		return nil
	}
	if r.seq.report(in.paths, r.problems) == 0 {
		return fmt.Errorf("none of the %d files of %s could be read%s; run as a user who may read them, or name another folder with --input",
			len(in.paths), printable(in.name), leftOut(r.problems))
	}

	deadline := time.Now().Add(s.share)
	random := r.random(1)
	for r.passes == 0 || ctx.Err() == nil && time.Now().Before(deadline) && len(r.failures) == 0 {
		if err := r.pass(ctx, deadline, random); err != nil {
			return err
		}
	}
	r.print()
	r.conclude(ctx, out)
	return nil
}

// pass sends the whole input through once. An error: it could not begin.
func (r *identifiers) pass(ctx context.Context, deadline time.Time, random *rand.Rand) error {
	c := &crossing{meter: r.meter}
	defer func() { r.alive = append(r.alive, c.dismantle()...) }()
	queue, err := openQueue[chunk](c, "chunks", toGo)
	if err != nil {
		return err
	}
	stack, err := openStack[countRecord](c, "counts", toNative)
	if err != nil {
		return err
	}
	mergers, err := c.hire(startMergers(stack.Handle(),
		plan{seed: random.Uint64(), threads: r.threads, producers: r.goroutines}, len(r.in.paths)))
	if err != nil {
		return err
	}
	readers, err := c.hire(startReaders(queue.Handle(),
		plan{seed: random.Uint64(), threads: r.threads, depth: chunkDepth}, r.in.paths))
	if err != nil {
		return err
	}
	first := r.passes == 0
	r.passes++
	number, started := r.passes, time.Now()
	r.meter.enter(deadline, func() string {
		return fmt.Sprintf("pass %d %.0f %%", number, 100*float64(readers.bytes())/float64(max(r.seq.bytes, 1)))
	})

	book := newLedger(r.threads)
	goroutines := make([]*countingGoroutine, r.goroutines)
	for index := range goroutines {
		goroutines[index] = &countingGoroutine{
			crossing: c, stack: stack, index: uint32(index), files: len(r.in.paths),
			random: r.random(random.Uint64()), witness: newWitness(book, r.threads),
		}
	}
	counting := c.spawn(r.goroutines, func(index int) error { return goroutines[index].run(queue) })
	end := c.supervise(func() {
		if ctx.Err() != nil || !first && time.Now().After(deadline) {
			readers.stop()
		}
	})
	readers.join()
	queue.Close()
	counting.Wait()
	stack.Close()
	mergers.join()
	end()
	r.seconds += time.Since(started).Seconds()
	r.meter.enter(deadline, func() string { return fmt.Sprintf("pass %d checked", number) })

	if err := c.cause(); err != nil {
		r.failures = append(r.failures, fmt.Sprintf("pass %d: %v", number, err))
	}
	r.account(queue, stack, readers, mergers, goroutines, book)
	r.compare(readers.files(len(r.in.paths)), mergers)
	return nil
}

// account adds up what one pass sent and received.
func (r *identifiers) account(queue, stack link, readers, mergers *crew, goroutines []*countingGoroutine, book *ledger) {
	chunks := readers.sent()
	onQueue := book.settle(chunks)
	counts := make([]uint64, len(goroutines))
	for index, goroutine := range goroutines {
		counts[index] = goroutine.sequence
		r.bytesReceived += goroutine.bytes
	}
	onStack := mergers.findings(counts)
	r.bytesSent += readers.bytes()
	r.chunksSent += sumOf(chunks)
	r.countsSent += sumOf(counts)
	r.queue.add(onQueue)
	r.stack.add(onStack)
	r.statistics.atRest(fmt.Sprintf("pass %d: the queue", r.passes), queue, true, sumOf(chunks), onQueue.received)
	r.statistics.atRest(fmt.Sprintf("pass %d: the stack", r.passes), stack, false, sumOf(counts), onStack.received)
}

// compare holds the counts that came out of one pass against the sequential ones.
func (r *identifiers) compare(files []fileOutcome, mergers *crew) {
	differ := func(format string, arguments ...any) {
		r.differences = append(r.differences, fmt.Sprintf("pass %d: ", r.passes)+fmt.Sprintf(format, arguments...))
	}
	if err := mergers.finish(); err != nil {
		differ("%v", err)
		return
	}
	tallies := mergers.tallies(len(files))
	full, same := true, true
	var total tally
	for i, now := range files {
		total.sum(tallies[i])
		switch {
		case now.state == fileNotRead || now.state == fileCut:
			full = false
			r.filesLeftOut++
		case now != r.seq.files[i]:
			same = false
			r.filesLeftOut++
			r.reportChange(i, now)
		case tallies[i] != r.seq.tallies[i]:
			differ("%s: %s identifiers of %s bytes were counted, sequentially %s of %s", printable(r.in.paths[i]),
				grouped(tallies[i].identifiers), grouped(tallies[i].bytes),
				grouped(r.seq.tallies[i].identifiers), grouped(r.seq.tallies[i].bytes))
		default:
			r.filesCompared++
		}
	}
	if full {
		r.full++
	}
	r.compareTables(mergers, total, full, same)
}

// reportChange names a file that was another one in a pass than in the sequential count, the first time.
func (r *identifiers) reportChange(file int, now fileOutcome) {
	if r.changed[file] {
		return
	}
	r.changed[file] = true
	kind, why := problemChanged, "changed while the suite was reading"
	if now.state != fileRead {
		kind, why = describeOutcome(now)
	}
	r.problems.add(kind, r.in.paths[file], why+"; its counts are not compared")
}

// compareTables looks at the table of all identifiers: it must add up to the tallies of the files, and equal the
// sequential one if that is of the same bytes. It is kept to be shown, unless that would replace a full pass's by a part.
func (r *identifiers) compareTables(mergers *crew, total tally, full, unchanged bool) {
	same := full && unchanged
	shown := full || r.full == 0
	differ := func(format string, arguments ...any) {
		r.tables = append(r.tables, fmt.Sprintf("pass %d: ", r.passes)+fmt.Sprintf(format, arguments...))
	}
	var sum tally
	distinct := mergers.distinct()
	var frequent []nameTimes
	for rank := range distinct {
		name, times := mergers.entry(rank)
		sum.add(len(name), nameMix(name), times)
		if rank < mostShown {
			frequent = append(frequent, nameTimes{string(name), times})
		}
		if want := r.seq.names[string(name)]; same && (want == nil || want.times != times) {
			expected := uint64(0)
			if want != nil {
				expected = want.times
			}
			differ("%s was counted %s times, sequentially %s times", shortened(string(name)), grouped(times), grouped(expected))
		}
	}
	if shown {
		r.distinct, r.counted, r.frequent = distinct, sum.identifiers, frequent
	}
	if sum != total {
		differ("the table adds up to %s identifiers, the files to %s", grouped(sum.identifiers), grouped(total.identifiers))
	}
	if same && distinct != len(r.seq.names) {
		differ("there are %s different identifiers, sequentially %s", grouped(uint64(distinct)), grouped(uint64(len(r.seq.names))))
	}
	if same {
		r.tablesCompared++
	}
}

// print shows the most frequent identifiers of the last full pass; of what the last pass read, if none was full.
func (r *identifiers) print() {
	what := "in"
	if r.full == 0 {
		what = "in what the last pass read of"
	}
	fmt.Fprintf(r.results, "The %d most frequent identifiers %s %s (%s occurrences, %s different ones):\n",
		len(r.frequent), what, printable(r.in.name), grouped(r.counted), grouped(uint64(r.distinct)))
	for i, each := range r.frequent {
		fmt.Fprintf(r.results, "%4d. %14s  %s\n", i+1, grouped(each.times), shortened(each.name))
	}
}

// conclude writes the scenario's report.
func (r *identifiers) conclude(ctx context.Context, out *scenario) {
	if ctx.Err() != nil {
		out.expect("ran to its end", false, "interrupted in pass %d; what had been sent was drained and checked", r.passes)
	}
	out.Summary = fmt.Sprintf("%s files of %s, %s; %d passes, %d of them full; %d C++ threads read, %d goroutines count, %d C++ threads add up.",
		grouped(uint64(len(r.in.paths))), printable(r.in.name), inBytes(r.seq.bytes), r.passes, r.full, r.threads, r.goroutines, r.threads)
	out.expect("no call fails", len(r.failures) == 0, "%s", firstOf(r.failures, "every send and receive did what it said"))
	out.expect("every chunk arrives once", r.queue.once() && r.queue.received == r.chunksSent, "%s", r.queue.arrival(r.chunksSent))
	out.expect("each reader's order holds at each goroutine", r.queue.disordered == 0, "%s", r.queue.order())
	out.expect("all bytes arrive", r.bytesSent == r.bytesReceived, "%s bytes sent, %s received", grouped(r.bytesSent), grouped(r.bytesReceived))
	out.expect("every count arrives once", r.stack.once() && r.stack.received == r.countsSent, "%s", r.stack.arrival(r.countsSent))
	compared := fmt.Sprintf("%s times a file's counts were compared, %s times left out (changed, or cut off)",
		grouped(r.filesCompared), grouped(r.filesLeftOut))
	out.expect("each file's counts equal a sequential count", len(r.differences) == 0 && r.filesCompared > 0, "%s", firstOf(r.differences, compared))
	tables := fmt.Sprintf("%d passes compared identifier by identifier: %s different ones, %s occurrences",
		r.tablesCompared, grouped(uint64(len(r.seq.names))), grouped(r.seq.total.identifiers))
	if r.tablesCompared == 0 {
		tables = "no pass was full and free of changes: compared file by file only"
	}
	out.expect("the whole table equals a sequential count", len(r.tables) == 0, "%s", firstOf(r.tables, tables))
	out.expect("statistics agree with what was counted", len(r.statistics.wrong) == 0, "%s", firstOf(r.statistics.wrong, "sends, receives and length, at rest, after every pass"))
	out.expect("released handles are stale", len(r.alive) == 0, "%s", firstOf(r.alive, fmt.Sprintf("%d handles, asked by C++", 2*r.passes)))
	out.expect("at least one full pass", r.full > 0, "%d of %d passes went to their end", r.full, r.passes)

	passed := r.queue.received*uint64(unsafe.Sizeof(chunk{})) + r.stack.received*uint64(unsafe.Sizeof(countRecord{}))
	out.traffic(r.queue.received, r.stack.received, r.seconds, r.meter.garbage.Load(), passed)
	out.measure("read", float64(r.bytesSent)/r.seconds/1e6, "MB/s")
	out.measure("sequential count", float64(r.seq.bytes)/r.seq.seconds/1e6, "MB/s")
	out.measure("input", float64(r.seq.bytes)/1e6, "MB")
	if r.in.links > 0 {
		out.note("%s symbolic links were not followed: what they lead to is read where it lies", grouped(uint64(r.in.links)))
	}
	names := make([]string, len(r.frequent))
	for i, each := range r.frequent {
		names[i] = fmt.Sprintf("%s %s", shortened(each.name), grouped(each.times))
	}
	out.note("most frequent: %s", strings.Join(names, ", "))
}

// firstOf gives the first of some findings and how many more there are, or what to say when there are none.
func firstOf(findings []string, none string) string {
	switch {
	case len(findings) == 0:
		return none
	case len(findings) <= examples:
		return strings.Join(findings, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(findings[:examples], "; "), len(findings)-examples)
}

// shortened cuts a long name so that a line can show it.
func shortened(name string) string {
	if len(name) <= longShown {
		return name
	}
	return fmt.Sprintf("%s... (%s bytes)", name[:longShown], grouped(uint64(len(name))))
}

// countingGoroutine receives chunks, counts, and sends counts.
type countingGoroutine struct {
	crossing *crossing
	stack    *epoque.Stack[countRecord]
	index    uint32
	files    int
	random   *rand.Rand
	witness  *witness

	counter  counter
	bytes    uint64 // received
	sequence uint64 // counts that were accepted
	outbox   []countRecord
}

func (g *countingGoroutine) run(queue *epoque.Queue[chunk]) error {
	defer g.witness.finish()
	err := receiveAll(queue, chunkBatch, g.random, func(chunks []chunk) error {
		for i := range chunks {
			c := &chunks[i]
			if int(c.file) >= g.files || c.length == 0 || c.length > chunkBytes {
				g.witness.foreign(fmt.Sprintf("a chunk is of file %d and has %d bytes: no reader sends that", c.file, c.length))
				continue
			}
			if g.witness.arrived(c.producer, c.sequence) {
				g.witness.inOrder(c.producer, c.sequence)
			}
			g.bytes += uint64(c.length)
			g.outbox = g.counter.count(c, g.outbox)
		}
		if len(g.outbox) >= countBatch {
			return g.flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return g.flush()
}

// flush sends the counts, in batches of varying size.
func (g *countingGoroutine) flush() error {
	for rest := g.outbox; len(rest) > 0; {
		batch := rest[:min(len(rest), 1+g.random.IntN(countBatch))]
		rest = rest[len(batch):]
		for i := range batch {
			batch[i].producer = g.index
			batch[i].sequence = g.sequence + uint64(i)
		}
		g.crossing.room(g.stack, countDepth)
		sent, closed, err := sendAll(g.stack, batch, g.random)
		g.sequence += uint64(sent)
		if err != nil {
			return err
		}
		if closed {
			return errors.New("the stack was closed before all counts were sent")
		}
	}
	g.outbox = g.outbox[:0]
	return nil
}
