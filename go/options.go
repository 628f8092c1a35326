// SPDX-License-Identifier: BSL-1.0

package epoque

import (
	"strings"

	"epoque.dev/epoque/go/internal/native"
)

// An Option changes how an object is made.
type Option func(*options)

type options struct {
	name string
}

// WithName names the object in errors and statistics, in Go and in native code. At most 31 bytes.
func WithName(name string) Option {
	return func(o *options) { o.name = name }
}

func gather(op string, opts []Option) (options, error) {
	var all options
	for _, opt := range opts {
		opt(&all)
	}
	if len(all.name) > native.MaxNameLength || strings.ContainsRune(all.name, 0) {
		return options{}, invalid(op, "", "the name %q has %d bytes; give at most %d, none of them NUL", all.name, len(all.name),
			native.MaxNameLength)
	}
	return all, nil
}
