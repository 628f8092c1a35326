// SPDX-License-Identifier: BSL-1.0
//go:build cgo && linux

package main

/*
#cgo CPPFLAGS: -I${SRCDIR}/../../ffi
#cgo CXXFLAGS: -std=c++20 -O2
#cgo LDFLAGS: -Wl,--unresolved-symbols=ignore-all
#include <stdlib.h>
#include "workers.h"
*/
import "C"

import (
	"errors"
	"strings"
	"unsafe"

	_ "epoque.dev/epoque" // so that the C++ workers are compiled again when epoque.h changes
	epoque "epoque.dev/epoque/go"
)

// Go and C++ agree on the elements that cross, or this does not compile: an index other than 0.
var (
	_ = [1]struct{}{}[unsafe.Sizeof(chunk{})-C.sizeof_xl_chunk]
	_ = [1]struct{}{}[unsafe.Offsetof(chunk{}.offset)-unsafe.Offsetof(C.xl_chunk{}.offset)]
	_ = [1]struct{}{}[unsafe.Offsetof(chunk{}.wordStart)-unsafe.Offsetof(C.xl_chunk{}.word_start)]
	_ = [1]struct{}{}[unsafe.Offsetof(chunk{}.producer)-unsafe.Offsetof(C.xl_chunk{}.producer)]
	_ = [1]struct{}{}[unsafe.Offsetof(chunk{}.file)-unsafe.Offsetof(C.xl_chunk{}.file)]
	_ = [1]struct{}{}[unsafe.Offsetof(chunk{}.length)-unsafe.Offsetof(C.xl_chunk{}.length)]
	_ = [1]struct{}{}[unsafe.Offsetof(chunk{}.flags)-unsafe.Offsetof(C.xl_chunk{}.flags)]
	_ = [1]struct{}{}[unsafe.Offsetof(chunk{}.payload)-unsafe.Offsetof(C.xl_chunk{}.payload)]

	_ = [1]struct{}{}[unsafe.Sizeof(countRecord{})-C.sizeof_xl_count]
	_ = [1]struct{}{}[unsafe.Offsetof(countRecord{}.wordStart)-unsafe.Offsetof(C.xl_count{}.word_start)]
	_ = [1]struct{}{}[unsafe.Offsetof(countRecord{}.partOffset)-unsafe.Offsetof(C.xl_count{}.part_offset)]
	_ = [1]struct{}{}[unsafe.Offsetof(countRecord{}.producer)-unsafe.Offsetof(C.xl_count{}.producer)]
	_ = [1]struct{}{}[unsafe.Offsetof(countRecord{}.file)-unsafe.Offsetof(C.xl_count{}.file)]
	_ = [1]struct{}{}[unsafe.Offsetof(countRecord{}.count)-unsafe.Offsetof(C.xl_count{}.count)]
	_ = [1]struct{}{}[unsafe.Offsetof(countRecord{}.length)-unsafe.Offsetof(C.xl_count{}.length)]
	_ = [1]struct{}{}[unsafe.Offsetof(countRecord{}.flags)-unsafe.Offsetof(C.xl_count{}.flags)]
	_ = [1]struct{}{}[unsafe.Offsetof(countRecord{}.text)-unsafe.Offsetof(C.xl_count{}.text)]

	_ = [1]struct{}{}[unsafe.Sizeof(message{})-C.sizeof_xl_message]
	_ = [1]struct{}{}[unsafe.Offsetof(message{}.hopSequence)-unsafe.Offsetof(C.xl_message{}.hop_sequence)]
	_ = [1]struct{}{}[unsafe.Offsetof(message{}.producer)-unsafe.Offsetof(C.xl_message{}.producer)]
	_ = [1]struct{}{}[unsafe.Offsetof(message{}.mover)-unsafe.Offsetof(C.xl_message{}.mover)]
	_ = [1]struct{}{}[unsafe.Offsetof(message{}.seal)-unsafe.Offsetof(C.xl_message{}.seal)]

	_ = [1]struct{}{}[chunkBytes-C.XL_CHUNK_BYTES]
	_ = [1]struct{}{}[textBytes-C.XL_TEXT_BYTES]
	_ = [1]struct{}{}[chunkFragment-C.XL_CHUNK_FRAGMENT]
	_ = [1]struct{}{}[chunkLastFragment-C.XL_CHUNK_LAST_FRAGMENT]
	_ = [1]struct{}{}[countPart-C.XL_COUNT_PART]
	_ = [1]struct{}{}[countLastPart-C.XL_COUNT_LAST_PART]
	_ = [1]struct{}{}[fileCut-C.XL_CUT]
	_ = [1]struct{}{}[fileNotRegular-C.XL_NOT_REGULAR]
)

// plan is what every crew is told.
type plan struct {
	seed      uint64 // of batch sizes and pauses
	depth     uint64 // a sender waits while the object holds more elements than this
	threads   int
	producers int // how many number themselves at the other end of the object received from
}

func (p plan) c() *C.xl_plan {
	return &C.xl_plan{
		seed: C.uint64_t(p.seed), depth: C.uint64_t(p.depth),
		threads: C.uint32_t(p.threads), producers: C.uint32_t(p.producers),
	}
}

// crew is a group of native threads with one task.
type crew struct {
	c       *C.xl_crew
	threads int
}

func newCrew(c *C.xl_crew, p plan, trouble *C.xl_trouble) (*crew, error) {
	if c == nil {
		return nil, errors.New(C.GoString(&trouble.text[0]))
	}
	return &crew{c, p.threads}, nil
}

// startReaders starts threads that read the files and send chunks to the queue.
func startReaders(queue epoque.Handle, p plan, paths []string) (*crew, error) {
	list := C.CString(strings.Join(paths, "\x00"))
	defer C.free(unsafe.Pointer(list))
	var trouble C.xl_trouble
	c := C.xl_readers_start(C.uint64_t(queue), p.c(), list, C.size_t(len(paths)), &trouble)
	return newCrew(c, p, &trouble)
}

// files tells what became of each file. After join.
func (c *crew) files(number int) []fileOutcome {
	out := make([]C.xl_file, number)
	C.xl_readers_files(c.c, unsafe.SliceData(out), C.size_t(number))
	files := make([]fileOutcome, number)
	for i, f := range out {
		files[i] = fileOutcome{
			state: fileState(f.state), bytes: uint64(f.bytes), digest: uint64(f.digest), errno: int(f.error),
		}
	}
	return files
}

// startMergers starts threads that receive counts from the stack and add them up.
func startMergers(stack epoque.Handle, p plan, files int) (*crew, error) {
	var trouble C.xl_trouble
	c := C.xl_mergers_start(C.uint64_t(stack), p.c(), C.size_t(files), &trouble)
	return newCrew(c, p, &trouble)
}

// finish joins the parts of long words and adds the threads' counts up. After join, once.
func (c *crew) finish() error {
	var trouble C.xl_trouble
	if C.xl_mergers_finish(c.c, &trouble) == 0 {
		return errors.New(C.GoString(&trouble.text[0]))
	}
	return nil
}

// tallies gives the tally of each file. After finish.
func (c *crew) tallies(number int) []tally {
	out := make([]C.xl_tally, number)
	C.xl_mergers_tallies(c.c, unsafe.SliceData(out), C.size_t(number))
	tallies := make([]tally, number)
	for i, t := range out {
		tallies[i] = tally{uint64(t.identifiers), uint64(t.bytes), uint64(t.mix)}
	}
	return tallies
}

func (c *crew) distinct() int { return int(C.xl_mergers_distinct(c.c)) }

// entry gives the identifier of a rank: 0 is the most frequent. The text is only valid until free.
func (c *crew) entry(rank int) (name []byte, times uint64) {
	var text *C.char
	var length C.size_t
	times = uint64(C.xl_mergers_entry(c.c, C.size_t(rank), &text, &length))
	return unsafe.Slice((*byte)(unsafe.Pointer(text)), int(length)), times
}

// startSenders starts threads that send messages to the queue until it is closed.
func startSenders(queue epoque.Handle, p plan) (*crew, error) {
	var trouble C.xl_trouble
	return newCrew(C.xl_senders_start(C.uint64_t(queue), p.c(), &trouble), p, &trouble)
}

// startMovers starts threads that move messages from one queue to the other until the first is closed and drained.
func startMovers(from, to epoque.Handle, p plan) (*crew, error) {
	var trouble C.xl_trouble
	return newCrew(C.xl_movers_start(C.uint64_t(from), C.uint64_t(to), p.c(), &trouble), p, &trouble)
}

// startReceivers starts threads that receive messages until the queue is closed and drained.
func startReceivers(queue epoque.Handle, p plan, movers int) (*crew, error) {
	var trouble C.xl_trouble
	return newCrew(C.xl_receivers_start(C.uint64_t(queue), p.c(), C.uint32_t(movers), &trouble), p, &trouble)
}

// stop asks the threads to end soon.
func (c *crew) stop() { C.xl_crew_stop(c.c) }

// join waits until all threads have ended.
func (c *crew) join() { C.xl_crew_join(c.c) }

// free stops and joins the threads and frees the crew.
func (c *crew) free() {
	C.xl_crew_free(c.c)
	c.c = nil
}

// trouble tells what a thread could not go on for; nil: nothing.
func (c *crew) trouble() error {
	var trouble C.xl_trouble
	if C.xl_crew_trouble(c.c, &trouble) == 0 {
		return nil
	}
	return errors.New(C.GoString(&trouble.text[0]))
}

// elements sent (readers, senders) or received (the others) so far, and their payload in bytes.
func (c *crew) elements() uint64 { return uint64(C.xl_crew_elements(c.c)) }
func (c *crew) bytes() uint64    { return uint64(C.xl_crew_bytes(c.c)) }

// sent gives the elements per thread. After join.
func (c *crew) sent() []uint64 {
	sent := make([]uint64, c.threads)
	for i := range sent {
		sent[i] = uint64(C.xl_crew_thread_elements(c.c, C.uint32_t(i)))
	}
	return sent
}

// findings gives what the crew's receivers saw. sent[p] is what producer p got accepted; nil: nothing is held to be
// missing. After join.
func (c *crew) findings(sent []uint64) findings {
	var f C.xl_findings
	C.xl_crew_findings(c.c, (*C.uint64_t)(unsafe.SliceData(sent)), C.size_t(len(sent)), &f)
	return findings{
		received: uint64(f.received), checked: uint64(f.checked), disordered: uint64(f.disordered),
		foreign: uint64(f.foreign), duplicates: uint64(f.duplicates), missing: uint64(f.missing),
		first: C.GoString(&f.first[0]), firstDisorder: C.GoString(&f.first_disorder[0]),
	}
}

// seal is what the message must carry that is number sequence of its producer.
func seal(producer uint32, sequence uint64) uint64 {
	return uint64(C.xl_seal(C.uint32_t(producer), C.uint64_t(sequence)))
}

// nativeNameMix is the C++ side's nameMix.
func nativeNameMix(name string) uint64 {
	text := C.CString(name)
	defer C.free(unsafe.Pointer(text))
	return uint64(C.xl_name_mix(text, C.size_t(len(name))))
}

// probeQueue and probeStack let C++ try to receive, and give the status.
func probeQueue(queue epoque.Handle, elementSize uintptr) int {
	return int(C.xl_probe_queue(C.uint64_t(queue), C.size_t(elementSize)))
}

func probeStack(stack epoque.Handle, elementSize uintptr) int {
	return int(C.xl_probe_stack(C.uint64_t(stack), C.size_t(elementSize)))
}

// statusStale is EPQ_STALE.
const statusStale = -1

// nativeCompiler names the compiler of the C++ side.
func nativeCompiler() string { return C.GoString(C.xl_compiler()) }
