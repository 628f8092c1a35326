// SPDX-License-Identifier: BSL-1.0
//go:build cgo && linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	epoque "epoque.dev/epoque/go"
)

func newQueue[T any](t *testing.T) *epoque.Queue[T] {
	t.Helper()
	queue, err := epoque.NewUnbounded[T]()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(queue.Release)
	return queue
}

func newStack[T any](t *testing.T) *epoque.Stack[T] {
	t.Helper()
	stack, err := epoque.NewStack[T]()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stack.Release)
	return stack
}

func started(t *testing.T) func(c *crew, err error) *crew {
	return func(c *crew, err error) *crew {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.free)
		return c
	}
}

func drain[T any](t *testing.T, from receiver[T]) (all []T) {
	t.Helper()
	random := rand.New(rand.NewPCG(7, 8))
	if err := receiveAll(from, 64, random, func(batch []T) error {
		all = append(all, batch...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func send[T any](t *testing.T, to interface {
	sender[T]
	Close() error
}, batch ...T) {
	t.Helper()
	if len(batch) > 0 {
		if n, err := to.SendN(context.Background(), batch); n != len(batch) || err != nil {
			t.Fatalf("sent %d of %d: %v", n, len(batch), err)
		}
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
}

// readChunks lets C++ read files, and gives their chunks in order.
func readChunks(t *testing.T, threads int, paths ...string) ([]fileOutcome, [][]chunk) {
	t.Helper()
	queue := newQueue[chunk](t)
	readers := started(t)(startReaders(queue.Handle(), plan{seed: 1, depth: 1 << 20, threads: threads}, paths))
	readers.join()
	if err := readers.trouble(); err != nil {
		t.Fatal(err)
	}
	queue.Close()
	chunks := make([][]chunk, len(paths))
	var received uint64
	for _, c := range drain(t, queue) {
		chunks[c.file] = append(chunks[c.file], c)
		received++
	}
	if received != readers.elements() {
		t.Errorf("the readers say that they sent %d chunks, %d arrived", readers.elements(), received)
	}
	return readers.files(len(paths)), chunks
}

func write(t *testing.T, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func isWord(c byte) bool { return classes[c] != classOther }

func TestReadersCutFilesBetweenWords(t *testing.T) {
	filler := func(n int) string { return strings.Repeat("ab, ", n/4+1)[:n] }
	for name, text := range map[string]string{
		"empty":                         "",
		"one byte":                      "x",
		"a chunk exactly":               filler(chunkBytes),
		"a chunk and a byte":            filler(chunkBytes + 1),
		"a word up to the border":       filler(chunkBytes-5) + " word ",
		"a word across the border":      filler(chunkBytes-2) + " word ",
		"a word that begins at it":      filler(chunkBytes-1) + " word ",
		"a word as long as a chunk":     strings.Repeat("w", chunkBytes),
		"the same between others":       "a " + strings.Repeat("w", chunkBytes) + " b",
		"a word one longer":             strings.Repeat("w", chunkBytes+1),
		"the same between others again": "a " + strings.Repeat("w", chunkBytes+1) + " b",
		"a word of two chunks":          "a " + strings.Repeat("w", 2*chunkBytes) + " b",
		"a word of many chunks":         "a " + strings.Repeat("w", 10*chunkBytes+17),
		"a word over the read buffer":   strings.Repeat("w", 300_000) + " b",
		"digits, then letters":          strings.Repeat("1", 2*chunkBytes) + "a b",
		"digits only":                   strings.Repeat("1", 3*chunkBytes),
		"nothing but blanks":            strings.Repeat(" ", 3*chunkBytes),
	} {
		t.Run(name, func(t *testing.T) { checkChunks(t, []byte(text)) })
	}
	random := rand.New(rand.NewPCG(9, 10))
	for i := range 20 {
		t.Run(fmt.Sprintf("random %d", i), func(t *testing.T) { checkChunks(t, randomText(random, random.IntN(60_000))) })
	}
}

func checkChunks(t *testing.T, text []byte) {
	files, perFile := readChunks(t, 1, write(t, "file", text))
	chunks := perFile[0]
	if files[0].state != fileRead || files[0].bytes != uint64(len(text)) {
		t.Errorf("the file was %+v", files[0])
	}
	var records []countRecord
	var k counter
	var all []byte
	for i, c := range chunks {
		payload := c.payload[:c.length]
		if c.sequence != uint64(i) || c.offset != uint64(len(all)) || c.length == 0 {
			t.Fatalf("chunk %d has sequence %d, offset %d, length %d", i, c.sequence, c.offset, c.length)
		}
		inside := len(all) > 0 && isWord(all[len(all)-1]) && isWord(payload[0])
		if inside && (c.flags&chunkFragment == 0 || c.wordStart >= c.offset) {
			t.Errorf("chunk %d begins inside a word and is no later fragment", i)
		}
		if c.flags&chunkFragment != 0 && slices.ContainsFunc(payload, func(b byte) bool { return !isWord(b) }) {
			t.Errorf("chunk %d is a fragment and not all of one word", i)
		}
		all = append(all, payload...)
		records = k.count(&c, records)
	}
	if !bytes.Equal(all, text) {
		t.Errorf("%d bytes arrived of %d, or others", len(all), len(text))
	}
	got, want := countsOf(t, records), countsByRegexp(text)
	if len(got) != len(want) {
		t.Errorf("%d different identifiers, the definition gives %d", len(got), len(want))
	}
	for name, times := range want {
		if got[name] != times {
			t.Errorf("%.40q: %d times, the definition gives %d", name, got[name], times)
		}
	}
}

func TestReadersSayWhatBecameOfEachFile(t *testing.T) {
	folder := t.TempDir()
	pipe := filepath.Join(folder, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	good := write(t, "good", []byte("int main;"))
	files, chunks := readChunks(t, 3, filepath.Join(folder, "missing"), folder, pipe, good, good+"/below")
	for i, want := range []fileOutcome{
		{state: fileOpenFailed, errno: int(syscall.ENOENT)},
		{state: fileNotRegular},
		{state: fileNotRegular},
		{state: fileRead, bytes: 9, digest: files[3].digest},
		{state: fileOpenFailed, errno: int(syscall.ENOTDIR)},
	} {
		if files[i] != want {
			t.Errorf("file %d: %+v, want %+v", i, files[i], want)
		}
	}
	if len(chunks[3]) != 1 || string(chunks[3][0].payload[:9]) != "int main;" {
		t.Errorf("the good file came as %d chunks", len(chunks[3]))
	}
}

func TestReadersThatAreStoppedSendWhatTheyStamped(t *testing.T) {
	path := write(t, "file", bytes.Repeat([]byte("word "), 400_000))
	paths := slices.Repeat([]string{path}, 50)
	queue := newQueue[chunk](t)
	readers := started(t)(startReaders(queue.Handle(), plan{seed: 1, depth: 10, threads: 2}, paths))
	first := make([]chunk, 1) // the readers wait for room: they can't end by themselves
	if _, err := queue.RecvN(context.Background(), first); err != nil {
		t.Fatal(err)
	}
	readers.stop()
	readers.join()
	queue.Close()
	book := newLedger(2)
	w := newWitness(book, 2)
	for _, c := range append(first, drain(t, queue)...) {
		w.arrived(c.producer, c.sequence)
		w.inOrder(c.producer, c.sequence)
	}
	w.finish()
	if f := book.settle(readers.sent()); !f.once() || f.disordered != 0 || f.received != readers.elements() {
		t.Errorf("%+v, sent %v", f, readers.sent())
	}
	cut := 0
	for _, file := range readers.files(len(paths)) {
		if file.state == fileCut {
			cut++
		}
	}
	if cut == 0 || cut > 2 {
		t.Errorf("%d files are said to be cut, by 2 readers", cut)
	}
}

func TestACrewReportsWhatItCanNotGoOnFor(t *testing.T) {
	queue := newQueue[message](t)
	readers := started(t)(startReaders(queue.Handle(), plan{seed: 1, depth: 10, threads: 1}, []string{write(t, "file", []byte("x"))}))
	readers.join()
	if err := readers.trouble(); err == nil || !strings.Contains(err.Error(), "epq_queue_send_n") {
		t.Errorf("chunks sent to a queue of messages: %v", err)
	}
	mergers := started(t)(startMergers(queue.Handle(), plan{seed: 1, threads: 2, producers: 1}, 1))
	mergers.join()
	if err := mergers.trouble(); err == nil || !strings.Contains(err.Error(), "epq_stack_recv_n") {
		t.Errorf("counts received from a queue: %v", err)
	}
}

func TestMergersPutLongWordsTogether(t *testing.T) {
	long := "0123" + strings.Repeat("abcdefg_", 100) // digits first: not part of the identifier
	parts := appendParts(nil, 1, 77, 0, []byte(long[:300]), false)
	parts = appendParts(parts, 1, 77, 300, []byte(long[300:]), true)
	parts = appendParts(parts, 1, 5000, 0, []byte(strings.Repeat("7", 200)), true) // no identifier at all
	records := append(parts, countRecord{file: 0, count: 3, length: 1, text: [textBytes]byte{'x'}},
		countRecord{file: 1, count: 2, length: 1, text: [textBytes]byte{'x'}})
	rand.New(rand.NewPCG(11, 12)).Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	for i := range records {
		records[i].sequence = uint64(i)
	}
	mergers, f := merge(t, records, 2)
	if err := mergers.finish(); err != nil || !f.once() || f.received != uint64(len(records)) {
		t.Fatalf("%v, %+v", err, f)
	}
	if name, times := mergers.entry(0); mergers.distinct() != 2 || string(name) != "x" || times != 5 {
		t.Errorf("%d identifiers, the first %q %d times", mergers.distinct(), name, times)
	}
	if name, times := mergers.entry(1); string(name) != long[4:] || times != 1 {
		t.Errorf("the long one came as %.20q with %d bytes, %d times", name, len(name), times)
	}
	var want tally
	want.add(1, nameMix([]byte("x")), 2)
	want.add(len(long)-4, nameMix([]byte(long[4:])), 1)
	if got := mergers.tallies(2)[1]; got != want {
		t.Errorf("file 1: %+v, want %+v", got, want)
	}
}

func merge(t *testing.T, records []countRecord, files int) (*crew, findings) {
	t.Helper()
	stack := newStack[countRecord](t)
	mergers := started(t)(startMergers(stack.Handle(), plan{seed: 1, threads: 2, producers: 1}, files))
	send(t, stack, records...)
	mergers.join()
	if err := mergers.trouble(); err != nil {
		t.Fatal(err)
	}
	return mergers, mergers.findings([]uint64{uint64(len(records))})
}

func TestMergersNoticeAMissingPart(t *testing.T) {
	parts := appendParts(nil, 0, 77, 0, bytes.Repeat([]byte("w"), 5*textBytes), true)
	for lost := range parts {
		records := slices.Delete(slices.Clone(parts), lost, lost+1)
		mergers, _ := merge(t, records, 1)
		if err := mergers.finish(); err == nil || !strings.Contains(err.Error(), "the word at byte 77 of file 0") {
			t.Errorf("part %d is missing: %v", lost, err)
		}
	}
}

func TestMergersNoticeCountsThatNobodySends(t *testing.T) {
	for name, record := range map[string]countRecord{
		"a file that does not exist": {file: 1, count: 1, length: 1},
		"too long":                   {count: 1, length: textBytes + 1},
		"empty":                      {count: 1},
		"no occurrence":              {length: 1},
	} {
		if _, f := merge(t, []countRecord{record}, 1); f.foreign != 1 || f.first == "" {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func sealed(producer uint32, sequence uint64, mover uint32, hop uint64) message {
	return message{sequence: sequence, hopSequence: hop, producer: producer, mover: mover, seal: seal(producer, sequence)}
}

// The C++ ledger and witness, through a crew of one receiver: every planted fault is found.
func TestNativeReceiversFindWhatIsPlanted(t *testing.T) {
	torn := sealed(0, 1, 0, 1)
	torn.seal++
	for name, c := range map[string]struct {
		messages []message
		want     findings
	}{
		"all well": {[]message{sealed(0, 0, 0, 0), sealed(1, 0, 0, 1), sealed(0, 1, 1, 0)}, findings{received: 3, checked: 3}},
		"lost":     {[]message{sealed(0, 0, 0, 0), sealed(1, 0, 0, 2)}, findings{received: 2, checked: 2, missing: 1}},
		"twice": {[]message{sealed(0, 0, 0, 0), sealed(1, 0, 0, 1), sealed(0, 1, 1, 0), sealed(0, 1, 1, 1)},
			findings{received: 4, checked: 4, duplicates: 1}},
		"out of order": {[]message{sealed(0, 0, 0, 1), sealed(1, 0, 0, 0), sealed(0, 1, 1, 0)},
			findings{received: 3, checked: 3, disordered: 1}},
		"torn": {[]message{sealed(0, 0, 0, 0), sealed(1, 0, 0, 1), torn},
			findings{received: 2, checked: 2, missing: 1, foreign: 1}},
		"from nobody": {[]message{sealed(0, 0, 0, 0), sealed(1, 0, 0, 1), sealed(0, 1, 1, 0), sealed(9, 0, 0, 2)},
			findings{received: 3, checked: 3, foreign: 1}},
		"by nobody": {[]message{sealed(0, 0, 0, 0), sealed(1, 0, 0, 1), sealed(0, 1, 9, 0)},
			findings{received: 3, checked: 2, foreign: 1}},
		"too many": {[]message{sealed(0, 0, 0, 0), sealed(0, 1, 0, 1), sealed(0, 2, 0, 2), sealed(1, 0, 1, 0)},
			findings{received: 4, checked: 4, foreign: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			queue := newQueue[message](t)
			receivers := started(t)(startReceivers(queue.Handle(), plan{seed: 1, threads: 1, producers: 2}, 2))
			send(t, queue, c.messages...)
			receivers.join()
			got := receivers.findings([]uint64{2, 1})
			if got.once() != (c.want.first == "" && c.want.missing+c.want.duplicates+c.want.foreign == 0) {
				t.Errorf("once is %v", got.once())
			}
			if (got.first == "") != got.once() || (got.firstDisorder == "") != (got.disordered == 0) {
				t.Errorf("what it says does not fit: %+v", got)
			}
			got.first, got.firstDisorder = "", ""
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestNativeReceiversFindDuplicatesAmongEachOther(t *testing.T) {
	const each = 50_000
	queue := newQueue[message](t)
	receivers := started(t)(startReceivers(queue.Handle(), plan{seed: 1, threads: 3, producers: 1}, 1))
	var messages []message
	for i := range uint64(each) {
		messages = append(messages, sealed(0, i, 0, i))
		if i == 40_000 {
			messages = append(messages, sealed(0, 7, 0, i))
		}
	}
	send(t, queue, messages...)
	receivers.join()
	if f := receivers.findings([]uint64{each}); f.duplicates != 1 || f.missing != 0 || !strings.HasPrefix(f.first, "element 7 of") {
		t.Errorf("%+v", f)
	}
}

func TestReleasedHandlesAreStaleForNativeCode(t *testing.T) {
	c := &crossing{meter: &meter{}}
	if _, err := openQueue[message](c, "queue", toGo); err != nil {
		t.Fatal(err)
	}
	if _, err := openStack[countRecord](c, "stack", toNative); err != nil {
		t.Fatal(err)
	}
	if status := c.links[0].probe(); status == statusStale {
		t.Error("a live queue is said to be stale")
	}
	if alive := c.dismantle(); len(alive) != 0 {
		t.Errorf("after the release: %v", alive)
	}
}
