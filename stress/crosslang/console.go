// SPDX-License-Identifier: BSL-1.0
//go:build cgo && linux

package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"syscall"
	"unsafe"
)

// console is where people look while the program runs (standard error): lines that stay, and, on a terminal, one status
// line below them that is written over.
type console struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	status   bool // a status line stands there now
}

// line prints a line that stays.
func (c *console) line(format string, arguments ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wipe()
	fmt.Fprintf(c.out, "epoque-stress-crosslang: "+format+"\n", arguments...)
}

// progress prints the status line; in a log, a line like others.
func (c *console) progress(text string) {
	if !c.terminal {
		c.line("%s", text)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(c.out, "\r%.*s\x1b[K", terminalWidth(c.out)-1, text)
	c.status = true
}

// done takes the status line away.
func (c *console) done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wipe()
}

func (c *console) wipe() {
	if c.status {
		fmt.Fprint(c.out, "\r\x1b[K")
		c.status = false
	}
}

// isTerminal tells whether the stream is a terminal.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	if !ok {
		return false
	}
	var settings syscall.Termios
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, file.Fd(), syscall.TCGETS, uintptr(unsafe.Pointer(&settings)))
	return errno == 0
}

// terminalWidth is the terminal's number of columns, or more than any line has if it can't be known.
func terminalWidth(stream any) int {
	const unknown = 1000
	file, ok := stream.(*os.File)
	if !ok {
		return unknown
	}
	var size struct{ rows, columns, x, y uint16 }
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, file.Fd(), syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size)))
	if errno != 0 || size.columns == 0 {
		return unknown
	}
	return int(size.columns)
}

// grouped writes 1234567 as 1,234,567.
func grouped(n uint64) string {
	text := strconv.FormatUint(n, 10)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// inBytes writes a number of bytes for people: 12.3 MB.
func inBytes(n uint64) string {
	value, units := float64(n), []string{"bytes", "kB", "MB", "GB", "TB"}
	unit := 0
	for value >= 1000 && unit < len(units)-1 {
		value /= 1000
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}
