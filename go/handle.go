// SPDX-License-Identifier: BSL-1.0

package epoque

import (
	"fmt"

	"epoque.dev/epoque/go/internal/native"
)

// A Handle is the number by which native code knows an object: epq_queue{bits} or epq_stack{bits} in ffi/epoque.h. It
// may be copied, stored, printed, even made up: native code that uses one that is not live gets EPQ_STALE.
//
// A Handle does not keep its object alive; the [Queue] or [Stack] does. 0 is never the handle of an object.
type Handle uint64

// String gives kind, index and generation: "queue#7.3".
func (h Handle) String() string {
	kind := "handle"
	switch native.Kind(h >> 56) {
	case native.Queue:
		kind = "queue"
	case native.Stack:
		kind = "stack"
	}
	return fmt.Sprintf("%s#%d.%d", kind, uint64(h)>>32&0xffffff, uint32(h))
}
