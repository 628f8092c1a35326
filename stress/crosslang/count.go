// SPDX-License-Identifier: BSL-1.0
//go:build cgo && linux

package main

// What the counting goroutines do with a chunk. An identifier is [A-Za-z_][A-Za-z0-9_]*, found from left to right, so
// that "0x1F" holds the identifier "x1F": what is left of a word, a run of [A-Za-z0-9_], without its leading digits.

const (
	classOther = iota
	classDigit
	classLetter
)

var classes = func() (table [256]uint8) {
	for c := range table {
		switch {
		case c >= '0' && c <= '9':
			table[c] = classDigit
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_':
			table[c] = classLetter
		}
	}
	return table
}()

// counter counts the identifiers of one chunk at a time, without allocating: a hash table of indices into the records
// that it appends.
type counter struct {
	slots [counterSlots]uint16 // index of a record of this chunk + 1; 0: free
}

// A chunk has at most chunkBytes/2 identifiers: the table is never more than half full, and every index fits.
const counterSlots = 4096

var _ [counterSlots - chunkBytes]struct{} // twice chunkBytes/2, or this does not compile

// count appends to records one record per distinct identifier of the chunk, and parts for what does not fit in one.
func (k *counter) count(c *chunk, records []countRecord) []countRecord {
	payload := c.payload[:c.length]
	if c.flags&chunkFragment != 0 {
		last := c.flags&chunkLastFragment != 0
		return appendParts(records, c.file, c.wordStart, c.offset-c.wordStart, payload, last)
	}

	clear(k.slots[:])
	begin := len(records)
	for at := 0; at < len(payload); {
		if classes[payload[at]] != classLetter {
			at++
			continue
		}
		start := at
		hash := uint32(2166136261)
		for at < len(payload) && classes[payload[at]] != classOther {
			hash = (hash ^ uint32(payload[at])) * 16777619
			at++
		}
		name := payload[start:at]
		if len(name) > textBytes {
			records = appendParts(records, c.file, c.offset+uint64(start), 0, name, true)
			continue
		}
		for slot := (hash ^ hash>>16) % counterSlots; ; slot = (slot + 1) % counterSlots {
			if k.slots[slot] == 0 {
				records = append(records, countRecord{})
				k.slots[slot] = uint16(len(records) - begin)
				record := &records[len(records)-1]
				record.file = c.file
				record.count = 1
				record.length = uint32(len(name))
				copy(record.text[:], name)
				break
			}
			record := &records[begin+int(k.slots[slot])-1]
			if record.length == uint32(len(name)) && string(record.text[:record.length]) == string(name) {
				record.count++
				break
			}
		}
	}
	return records
}

// appendParts appends the parts of a piece of a word; the piece begins after `before` bytes of the word.
func appendParts(records []countRecord, file uint32, wordStart, before uint64, piece []byte, last bool) []countRecord {
	for len(piece) > 0 {
		records = append(records, countRecord{})
		record := &records[len(records)-1]
		length := copy(record.text[:], piece)
		piece = piece[length:]
		record.file = file
		record.count = 1
		record.length = uint32(length)
		record.flags = countPart
		record.wordStart = wordStart
		record.partOffset = before
		if last && len(piece) == 0 {
			record.flags |= countLastPart
		}
		before += uint64(length)
	}
	return records
}
