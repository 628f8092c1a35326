// SPDX-License-Identifier: BSL-1.0
//go:build cgo && linux

package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

var identifier = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)

// countsByRegexp is the definition of what is counted.
func countsByRegexp(text []byte) map[string]uint64 {
	counts := make(map[string]uint64)
	for _, name := range identifier.FindAll(text, -1) {
		counts[string(name)]++
	}
	return counts
}

// countsOf adds up records, with the parts of long words in whatever order.
func countsOf(t *testing.T, records []countRecord) map[string]uint64 {
	t.Helper()
	counts := make(map[string]uint64)
	type key struct {
		file  uint32
		start uint64
	}
	parts := make(map[key][]countRecord)
	for _, record := range records {
		if record.length == 0 || record.length > textBytes {
			t.Fatalf("a record has %d bytes of text", record.length)
		}
		if record.flags&countPart != 0 {
			parts[key{record.file, record.wordStart}] = append(parts[key{record.file, record.wordStart}], record)
			continue
		}
		counts[string(record.text[:record.length])] += uint64(record.count)
	}
	for where, all := range parts {
		slices.SortFunc(all, func(a, b countRecord) int { return int(a.partOffset) - int(b.partOffset) })
		var word []byte
		for i, part := range all {
			if part.partOffset != uint64(len(word)) || (part.flags&countLastPart != 0) != (i == len(all)-1) {
				t.Fatalf("part %d of the word at %+v does not fit: %+v", i, where, part)
			}
			word = append(word, part.text[:part.length]...)
		}
		if name := identifier.Find(word); name != nil {
			counts[string(name)]++
		}
	}
	return counts
}

func countChunk(t *testing.T, text string) map[string]uint64 {
	t.Helper()
	var c chunk
	var k counter
	c.length = uint32(copy(c.payload[:], text))
	if int(c.length) < len(text) {
		t.Fatalf("%d bytes are more than a chunk", len(text))
	}
	return countsOf(t, k.count(&c, nil))
}

func TestACounterFindsWhatTheDefinitionFinds(t *testing.T) {
	for _, text := range []string{
		"", " ", "a", "_", "1", "1a", "a1 a1 a1", "0x1F", "12 34", "a-b.c", "x\x00y", "\xc3\xa4b", "__u32 __u32;", "a" + strings.Repeat(" a", 2023),
		strings.Repeat("n", textBytes), strings.Repeat("n", textBytes+1), "1" + strings.Repeat("n", textBytes+1) + " n",
		strings.Repeat("n", chunkBytes), strings.Repeat("9", chunkBytes),
	} {
		if got, want := countChunk(t, text), countsByRegexp([]byte(text)); !maps.Equal(got, want) {
			t.Errorf("%.40q: counted %v, the definition gives %v", text, got, want)
		}
	}
}

// randomText has short and long words, digits, and bytes of all kinds.
func randomText(random *rand.Rand, length int) []byte {
	const letters = "abcXYZ_0129"
	var text []byte
	for len(text) < length {
		size := 1 + random.IntN(12)
		switch random.IntN(60) {
		case 0:
			size = random.IntN(2 * textBytes)
		case 1:
			size = random.IntN(3 * chunkBytes)
		}
		for range size {
			text = append(text, letters[random.IntN(len(letters))])
		}
		for range 1 + random.IntN(3) {
			text = append(text, []byte(" \n.(\x00\xff")[random.IntN(6)])
		}
	}
	return text[:length]
}

func TestACounterFindsInRandomChunksWhatTheDefinitionFinds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		text := randomText(random, random.IntN(chunkBytes+1))
		if got, want := countChunk(t, string(text)), countsByRegexp(text); !maps.Equal(got, want) {
			t.Fatalf("%q: counted %v, the definition gives %v", text, got, want)
		}
	}
}

func TestTheSequentialCountFindsWhatTheDefinitionFinds(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	folder := t.TempDir()
	var paths []string
	var all []byte
	for i := range 10 {
		text := randomText(random, random.IntN(100_000))
		path := filepath.Join(folder, fmt.Sprint(i))
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
		all = append(append(all, text...), ' ')
	}
	var done atomic.Uint64
	s, err := countSequentially(context.Background(), paths, &done)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]uint64)
	var total tally
	for name, n := range s.names {
		got[name] = n.times
		total.add(len(name), nameMix([]byte(name)), n.times)
	}
	if want := countsByRegexp(all); !maps.Equal(got, want) {
		t.Errorf("%d different identifiers, the definition gives %d", len(got), len(want))
	}
	if total != s.total {
		t.Errorf("the table adds up to %+v, the files to %+v", total, s.total)
	}
	if done.Load() != s.bytes || s.bytes != uint64(len(all)-len(paths)) {
		t.Errorf("%d bytes were shown, %d counted, %d written", done.Load(), s.bytes, len(all)-len(paths))
	}
}

func TestBothLanguagesMixNamesAlike(t *testing.T) {
	for _, name := range []string{"", "a", "const", strings.Repeat("long_", 1000)} {
		if got, want := nativeNameMix(name), nameMix([]byte(name)); got != want {
			t.Errorf("%.20q: C++ says %x, Go %x", name, got, want)
		}
	}
}
