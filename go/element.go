// SPDX-License-Identifier: BSL-1.0

package epoque

import (
	"fmt"
	"reflect"

	"epoque.dev/epoque/go/internal/native"
)

// checkElement says why values of type t can't be elements, or nil. Elements are copied bytewise into native memory,
// where the garbage collector sees no pointers.
func checkElement(op string, t reflect.Type) error {
	if where, culprit := pointerIn(t); culprit != nil {
		which := "it"
		if where != "" {
			which = "its part " + where
		}
		return &Error{
			Op: op,
			Msg: fmt.Sprintf("%v can't be an element: %s is of type %v, which holds a Go pointer, and elements lie where the "+
				"garbage collector does not look; use arrays instead of strings and slices, or send an index", t, which, culprit),
			sentinel: ErrPointers,
		}
	}
	switch size := t.Size(); {
	case size == 0:
		return invalid(op, "", "%v can't be an element: its size is 0, so there is nothing to copy; use a byte, or a counter",
			t)
	case size > native.MaxElementSize:
		return invalid(op, "", "%v can't be an element: its size is %d bytes, the limit %d; send an index or an offset", t, size,
			native.MaxElementSize)
	}
	return nil
}

// pointerIn finds a part of t that the garbage collector would have to see, and says where it is.
func pointerIn(t reflect.Type) (where string, culprit reflect.Type) {
	switch t.Kind() {
	case reflect.Array:
		if t.Len() == 0 {
			return "", nil
		}
		where, culprit = pointerIn(t.Elem())
		return "[0]" + where, culprit
	case reflect.Struct:
		for i := range t.NumField() {
			field := t.Field(i)
			if where, culprit = pointerIn(field.Type); culprit != nil {
				return "." + field.Name + where, culprit
			}
		}
		return "", nil
	case reflect.Bool,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return "", nil
	default:
		return "", t
	}
}
