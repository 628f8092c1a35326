// SPDX-License-Identifier: BSL-1.0

// Package epoquesrc holds epoque's C++ sources as embedded files.
//
// It exists for the go command's sake. The package that compiles the C++ library, go/internal/native, includes these
// sources from outside its own folder, where the go command would neither notice a change (a stale binary) nor copy them
// on `go mod vendor`. Because native imports this package, and this package embeds the sources, it does both.
//
// Go programs import epoque.dev/epoque/go.
package epoquesrc

import "embed"

// Files is the C++ library: headers, sources and the C interface.
//
//go:embed include src ffi
var Files embed.FS
