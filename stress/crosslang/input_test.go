// SPDX-License-Identifier: BSL-1.0
//go:build cgo && linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// tree makes files and folders (names that end with /) with some content, and gives the folder.
func tree(t *testing.T, names ...string) string {
	t.Helper()
	folder := t.TempDir()
	for _, name := range names {
		path := filepath.Join(folder, name)
		var err error
		if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(path, 0o755)
		} else {
			err = os.MkdirAll(filepath.Dir(path), 0o755)
			if err == nil {
				err = os.WriteFile(path, []byte("int "+filepath.Base(name)+" = 1;\n"), 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAllRegularFilesBelowAFolderAreFound(t *testing.T) {
	folder := tree(t, "a.h", "sub/b.h", "sub/deep/c.h", "empty/")
	must(t, os.Symlink("a.h", filepath.Join(folder, "link.h")))
	must(t, os.Symlink("sub", filepath.Join(folder, "linked")))
	must(t, os.Symlink("nowhere", filepath.Join(folder, "dangling")))
	must(t, os.Symlink("loop", filepath.Join(folder, "loop")))
	must(t, syscall.Mkfifo(filepath.Join(folder, "pipe"), 0o600))

	var said bytes.Buffer
	problems := newProblems(&console{out: &said})
	in, err := findInput(folder, nil, problems)
	must(t, err)
	var names []string
	for _, path := range in.paths {
		name, err := filepath.Rel(folder, path)
		must(t, err)
		names = append(names, name)
	}
	if want := []string{"a.h", "sub/b.h", "sub/deep/c.h"}; !slices.Equal(names, want) {
		t.Errorf("found %v, want %v", names, want)
	}
	if in.links != 2 {
		t.Errorf("%d links were not followed, want 2", in.links)
	}
	for _, want := range []string{"/dangling: is a link that leads nowhere", "/loop: is a link that leads nowhere", "/pipe: is a named pipe, not a regular file"} {
		if strings.Count(said.String(), want) != 1 {
			t.Errorf("it does not say %q once:\n%s", want, &said)
		}
	}
	if got, want := problems.notes(), []string{"dangling symbolic links: 2", "not regular files: 1"}; !slices.Equal(got, want) {
		t.Errorf("the report says %q, want %q", got, want)
	}
}

func TestAFolderMayBeGivenAsALink(t *testing.T) {
	folder := tree(t, "real/a.h")
	must(t, os.Symlink("real", filepath.Join(folder, "link")))
	in, err := findInput(filepath.Join(folder, "link"), nil, newProblems(&console{out: &bytes.Buffer{}}))
	if err != nil || len(in.paths) != 1 {
		t.Errorf("%v, %+v", err, in)
	}
}

func TestWhatCanNotBeReadAsAFolderIsRefused(t *testing.T) {
	folder := tree(t, "file", "empty/")
	for input, want := range map[string]string{
		"missing": "no such file or directory; name a folder",
		"file":    "is not a folder",
		"empty":   "there are no regular files below",
	} {
		var said bytes.Buffer
		_, err := findInput(filepath.Join(folder, input), nil, newProblems(&console{out: &said}))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), input) {
			t.Errorf("%s: %v", input, err)
		}
	}
}

func TestAListNamesFiles(t *testing.T) {
	folder := tree(t, "a.h", "b\n.h", "sub/")
	must(t, os.Symlink("nowhere", filepath.Join(folder, "dangling")))
	path := func(name string) string { return filepath.Join(folder, name) }
	for name, c := range map[string]struct {
		list  string
		found int
		notes []string
	}{
		"lines":         {path("a.h") + "\n\n" + path("a.h") + "\n", 2, nil},
		"no last break": {path("a.h"), 1, nil},
		"NUL bytes":     {path("a.h") + "\x00" + path("b\n.h") + "\x00", 2, nil},
		"others":        {path("a.h") + "\n" + path("sub") + "\n" + path("missing") + "\n" + path("dangling"), 1, []string{"not regular files: 1", "unreadable: 1", "dangling symbolic links: 1"}},
	} {
		problems := newProblems(&console{out: &bytes.Buffer{}})
		in, err := findInput("-", strings.NewReader(c.list), problems)
		if err != nil || len(in.paths) != c.found || !slices.Equal(problems.notes(), c.notes) {
			t.Errorf("%s: %v, %+v, %q", name, err, in, problems.notes())
		}
	}
	if _, err := findInput("-", strings.NewReader("\n"+path("sub")), newProblems(&console{out: &bytes.Buffer{}})); err == nil || !strings.Contains(err.Error(), "names no regular file (left out: not regular files: 1)") {
		t.Errorf("a list without a file: %v", err)
	}
}

func TestProblemsArePrintedUpToALimitAndCountedBeyond(t *testing.T) {
	var said bytes.Buffer
	problems := newProblems(&console{out: &said})
	for i := range problemLines + 30 {
		problems.add(problemUnreadable, fmt.Sprint(i), "can't be read")
	}
	problems.add(problemChanged, "x\x1b[2J", "changed")
	if lines := strings.Count(said.String(), "\n"); lines != problemLines+2 {
		t.Errorf("%d lines:\n%s", lines, &said)
	}
	if strings.Contains(said.String(), "\x1b") {
		t.Errorf("a path reached the terminal unquoted: %q", &said)
	}
	if got, want := problems.notes(), []string{"unreadable: 50", "changed while being read: 1"}; !slices.Equal(got, want) {
		t.Errorf("the report says %q, want %q", got, want)
	}
}
