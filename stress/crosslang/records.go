// SPDX-License-Identifier: BSL-1.0
//go:build cgo && linux

package main

// The elements that cross, as workers.h declares them and explains their fields; workers.go checks that both agree.

const (
	chunkBytes = 4048
	textBytes  = 80
)

// chunk travels from C++ to Go: a piece of a file.
type chunk struct {
	sequence  uint64
	offset    uint64
	wordStart uint64
	producer  uint32
	file      uint32
	length    uint32
	flags     uint32
	_         uint64
	payload   [chunkBytes]byte
}

const (
	chunkFragment     = 1
	chunkLastFragment = 2
)

// countRecord travels from Go to C++: how often one identifier occurs in one chunk, or a part of a long word.
type countRecord struct {
	sequence   uint64
	wordStart  uint64
	partOffset uint64
	producer   uint32
	file       uint32
	count      uint32
	length     uint32
	flags      uint32
	_          uint32
	text       [textBytes]byte
}

const (
	countPart     = 1
	countLastPart = 2
)

// message travels both ways in echo.
type message struct {
	sequence    uint64
	hopSequence uint64
	producer    uint32
	mover       uint32
	seal        uint64
}

// fileState is xl_state: what became of a file when it was read.
type fileState int

const (
	fileNotRead fileState = iota
	fileRead
	fileOpenFailed
	fileReadFailed
	fileNotRegular
	fileCut
)

// fileOutcome is what one reading of a file gave.
type fileOutcome struct {
	state  fileState
	bytes  uint64
	digest uint64 // FNV-1a of these bytes
	errno  int
}

// tally is the counts of one file in three numbers: equal counts have equal tallies, and other counts have other tallies
// but for one case in 2^64.
type tally struct {
	identifiers uint64 // occurrences
	bytes       uint64 // of all occurrences
	mix         uint64 // sum over all occurrences of nameMix(identifier), modulo 2^64
}

func (t *tally) add(name int, mix, times uint64) {
	t.identifiers += times
	t.bytes += uint64(name) * times
	t.mix += mix * times
}

func (t *tally) sum(other tally) {
	t.identifiers += other.identifiers
	t.bytes += other.bytes
	t.mix += other.mix
}
