// SPDX-License-Identifier: BSL-1.0
//go:build cgo && linux

package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// sequential is the reference: the same files, read and counted by one goroutine, byte by byte, by code that shares nothing
// with the code under test.
type sequential struct {
	files   []fileOutcome
	tallies []tally
	names   map[string]*nameCount
	total   tally
	bytes   uint64
	seconds float64
}

type nameCount struct {
	times uint64
	mix   uint64
}

// countSequentially reads all files; done counts the bytes for who watches.
func countSequentially(ctx context.Context, paths []string, done *atomic.Uint64) (*sequential, error) {
	started := time.Now()
	s := &sequential{
		files:   make([]fileOutcome, len(paths)),
		tallies: make([]tally, len(paths)),
		names:   make(map[string]*nameCount),
	}
	buffer := make([]byte, 1<<16)
	for i, path := range paths {
		if err := s.read(ctx, i, path, buffer, done); err != nil {
			return nil, err
		}
		s.total.sum(s.tallies[i])
		s.bytes += s.files[i].bytes
	}
	s.seconds = time.Since(started).Seconds()
	return s, nil
}

func (s *sequential) read(ctx context.Context, index int, path string, buffer []byte, done *atomic.Uint64) error {
	outcome := &s.files[index]
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		*outcome = fileOutcome{state: fileOpenFailed, errno: errnoOf(err)}
		return nil
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		*outcome = fileOutcome{state: fileNotRegular}
		return nil
	}

	digest := fnv.New64a()
	var word []byte
	for outcome.state == fileNotRead {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := file.Read(buffer)
		digest.Write(buffer[:n])
		outcome.bytes += uint64(n)
		outcome.digest = digest.Sum64()
		done.Add(uint64(n))
		for _, c := range buffer[:n] {
			isLetter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
			isDigit := c >= '0' && c <= '9'
			if isLetter || isDigit && len(word) > 0 {
				word = append(word, c)
				continue
			}
			if len(word) > 0 {
				s.count(index, word)
				word = word[:0]
			}
		}
		if errors.Is(err, io.EOF) {
			outcome.state = fileRead
		} else if err != nil {
			outcome.state = fileReadFailed
			outcome.errno = errnoOf(err)
		}
	}
	if len(word) > 0 {
		s.count(index, word)
	}
	return nil
}

func (s *sequential) count(index int, word []byte) {
	name := s.names[string(word)]
	if name == nil {
		name = &nameCount{mix: nameMix(word)}
		s.names[string(word)] = name
	}
	name.times++
	s.tallies[index].add(len(word), name.mix, 1)
}

// nameMix is FNV-1a with MurmurHash3's finalizer; the C++ side computes the same.
func nameMix(name []byte) uint64 {
	h := fnv.New64a()
	h.Write(name)
	sum := h.Sum64()
	sum = (sum ^ sum>>33) * 0xff51afd7ed558ccd
	sum = (sum ^ sum>>33) * 0xc4ceb9fe1a85ec53
	return sum ^ sum>>33
}

func errnoOf(err error) int {
	var errno syscall.Errno
	errors.As(err, &errno)
	return int(errno)
}

// report says what is wrong with files that the sequential count could not read as a whole. The number that it read.
func (s *sequential) report(paths []string, problems *problems) (readable int) {
	for i, file := range s.files {
		if file.state == fileRead {
			readable++
			continue
		}
		kind, why := describeOutcome(file)
		problems.add(kind, paths[i], why+"; it is left out")
	}
	return readable
}

// describeOutcome says what kept a file from being read as a whole.
func describeOutcome(file fileOutcome) (problemKind, string) {
	errno := syscall.Errno(file.errno)
	switch {
	case file.state == fileNotRegular:
		return problemSpecial, "is no regular file any more"
	case file.state == fileReadFailed:
		return problemUnreadable, fmt.Sprintf("can't be read after byte %s: %v", grouped(file.bytes), errno)
	case errno == syscall.ENOENT || errno == syscall.ENOTDIR:
		return problemVanished, "is not there any more"
	}
	return problemUnreadable, fmt.Sprintf("can't be opened: %v", errno)
}
