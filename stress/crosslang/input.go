// SPDX-License-Identifier: BSL-1.0
//go:build cgo && linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// problemKind is why a file is left out, wholly or from a comparison.
type problemKind string

const (
	problemUnreadable problemKind = "unreadable"
	problemDangling   problemKind = "dangling symbolic links"
	problemSpecial    problemKind = "not regular files"
	problemVanished   problemKind = "vanished while the suite ran"
	problemChanged    problemKind = "changed while being read"
)

// problemLines is how many lines are printed per kind; all are counted.
const problemLines = 20

// problems says in a line each what is wrong with files of the input, and counts.
type problems struct {
	console *console

	mu     sync.Mutex
	order  []problemKind
	counts map[problemKind]int
}

func newProblems(console *console) *problems {
	return &problems{console: console, counts: make(map[problemKind]int)}
}

// add reports one; why goes on after "path: ".
func (p *problems) add(kind problemKind, path, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.counts[kind] == 0 {
		p.order = append(p.order, kind)
	}
	p.counts[kind]++
	switch n := p.counts[kind]; {
	case n <= problemLines:
		p.console.line("%s: %s", printable(path), why)
	case n == problemLines+1:
		p.console.line("more files are %s; from here on they are only counted", kind)
	}
}

// notes gives a sentence per kind, for the report.
func (p *problems) notes() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var notes []string
	for _, kind := range p.order {
		notes = append(notes, fmt.Sprintf("%s: %s", kind, grouped(uint64(p.counts[kind]))))
	}
	return notes
}

// input is the files that are read.
type input struct {
	name  string // for people
	paths []string
	links int // symbolic links that were not followed
}

// findInput lists the regular files below the folder, or those that the list names if it is "-". Links are not followed
// below a folder: what they lead to is read where it lies.
func findInput(folder string, list io.Reader, problems *problems) (*input, error) {
	if folder == "-" {
		return readList(list, problems)
	}
	info, err := os.Stat(folder)
	if err != nil {
		return nil, fmt.Errorf("the input folder %s can't be used: %w; name a folder with --input", printable(folder), cause(err))
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("the input %s is not a folder; name a folder with --input, or give a list of files on standard input and say --input -",
			printable(folder))
	}
	in := &input{name: folder}
	root := folder
	if resolved, err := filepath.EvalSymlinks(folder); err == nil {
		root = resolved // a walk doesn't follow a link, not even the first
	}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			problems.add(problemUnreadable, path, fmt.Sprintf("can't be listed: %v; it is left out", cause(err)))
			return nil
		}
		if entry.Type()&fs.ModeSymlink != 0 {
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP) {
				problems.add(problemDangling, path, fmt.Sprintf("is a link that leads nowhere: %v; it is left out", cause(err)))
				return nil
			}
			in.links++
			return nil
		}
		in.consider(path, entry.Type(), problems)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(in.paths) == 0 {
		return nil, fmt.Errorf("there are no regular files below %s%s; name another folder with --input", printable(folder), leftOut(problems))
	}
	return in, nil
}

// readList takes the paths of the list: one a line, or separated by NUL bytes (find -print0).
func readList(list io.Reader, problems *problems) (*input, error) {
	text, err := io.ReadAll(list)
	if err != nil {
		return nil, fmt.Errorf("the list of files on standard input can't be read: %w", err)
	}
	separator := "\n"
	if bytes.IndexByte(text, 0) >= 0 {
		separator = "\x00"
	}
	in := &input{name: "the list on standard input"}
	for path := range strings.SplitSeq(string(text), separator) {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			kind, why := problemUnreadable, "can't be used: %v; it is left out"
			if link, lerr := os.Lstat(path); lerr == nil && link.Mode()&fs.ModeSymlink != 0 {
				kind, why = problemDangling, "is a link that leads nowhere: %v; it is left out"
			}
			problems.add(kind, path, fmt.Sprintf(why, cause(err)))
			continue
		}
		if info.IsDir() {
			problems.add(problemSpecial, path, "is a folder, not a file; it is left out")
			continue
		}
		in.consider(path, info.Mode().Type(), problems)
	}
	if len(in.paths) == 0 {
		return nil, fmt.Errorf("the list on standard input names no regular file%s; give one path a line", leftOut(problems))
	}
	return in, nil
}

// consider takes a regular file and reports another one.
func (in *input) consider(path string, mode fs.FileMode, problems *problems) {
	switch {
	case mode.IsRegular():
		in.paths = append(in.paths, path)
	case mode.IsDir():
	default:
		problems.add(problemSpecial, path, fmt.Sprintf("is %s, not a regular file; it is left out", describe(mode)))
	}
}

func leftOut(problems *problems) string {
	notes := problems.notes()
	if len(notes) == 0 {
		return ""
	}
	return " (left out: " + strings.Join(notes, "; ") + ")"
}

func describe(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "of an unknown kind"
}

// cause is an error without the operation and the path, which the line has already.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// printable is a path as it can be shown: quoted if it has bytes that a terminal would act on.
func printable(path string) string {
	if quoted := fmt.Sprintf("%q", path); quoted != `"`+path+`"` {
		return quoted
	}
	return path
}
