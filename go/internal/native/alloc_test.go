// SPDX-License-Identifier: BSL-1.0

//go:build cgo && !asan

package native

import (
	"testing"
	"unsafe"
)

// The address sanitizer moves to the heap what is on the stack otherwise.
func TestAllocations(t *testing.T) {
	t.Run("a call that succeeds allocates nothing", func(t *testing.T) {
		ref := newRef(t, Queue)
		var v [4]uint64
		p := unsafe.Pointer(&v)
		if n := testing.AllocsPerRun(1000, func() {
			ref.TrySend(p, 8)
			ref.TryRecv(p, 8)
			ref.TryRecv(p, 8)
			ref.SendN(p, 8, 4)
			ref.RecvN(p, 8, 4)
			ref.Watch()
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}
