// SPDX-License-Identifier: BSL-1.0
//go:build cgo && linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// The program itself is tested as a process: the test binary runs as the program when this is set.
const asProgram = "EPOQUE_STRESS_CROSSLANG_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

func program(arguments ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], arguments...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// finish runs a program to its end.
func finish(t *testing.T, cmd *exec.Cmd) (exit int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	if e := cmd.Run(); e != nil && !errors.As(e, new(*exec.ExitError)) {
		t.Fatal(e)
	}
	return cmd.ProcessState.ExitCode(), out.String(), err.String()
}

func readReport(t *testing.T, path string) (r report) {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	must(t, json.Unmarshal(text, &r))
	return r
}

func TestARunEndsWithAVerdictAndReports(t *testing.T) {
	folder := tree(t, "a.h", "sub/b.h", "sub/c.h")
	must(t, os.WriteFile(filepath.Join(folder, "long"), bytes.Repeat([]byte("z9_"), 20_000), 0o644))
	must(t, os.Symlink("nowhere", filepath.Join(folder, "dangling")))
	reports := t.TempDir()
	jsonFile, htmlFile := filepath.Join(reports, "r.json"), filepath.Join(reports, "r.html")
	exit, stdout, stderr := finish(t, program("--input", folder, "--seconds", "4", "--threads", "3", "--goroutines", "3", "--seed", "42",
		"--json", jsonFile, "--html", htmlFile, "--progress", "tty"))
	if exit != exitOK || !strings.Contains(stdout, "verdict: ok (seed 42") {
		t.Fatalf("exit %d\n%s\n%s", exit, stdout, stderr)
	}
	for _, want := range []string{"   2.              3  int\n", "z9_z9_"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing:\n%s", want, stdout)
		}
	}
	for _, want := range []string{"dangling: is a link that leads nowhere", "\r", "garbage"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%q is missing:\n%s", want, stderr)
		}
	}

	r := readReport(t, jsonFile)
	if r.Format != "epoque-stress/1" || r.Program != "epoque-stress-crosslang" || r.Verdict != verdictOK || r.Seed != 42 || r.Seconds <= 0 ||
		len(r.Command) != 17 || r.Machine.Compiler == "" || r.Machine.Cores == 0 {
		t.Errorf("%+v", r)
	}
	var names []string
	for _, s := range r.Scenarios {
		names = append(names, s.Name)
		if s.Engine != "crosslang" || s.Verdict != verdictOK || len(s.Checks) == 0 || s.Failure != nil {
			t.Errorf("%+v", s)
		}
		for _, name := range []string{"C++ -> Go", "Go -> C++", "peak garbage"} {
			if !slices.ContainsFunc(s.Figures, func(f figure) bool { return f.Name == name && f.Unit != "" }) {
				t.Errorf("%s: the figure %q is missing", s.Name, name)
			}
		}
		if len(s.Series) != 2 || s.Series[0].Name != "C++ -> Go" {
			t.Errorf("%s: series %+v", s.Name, s.Series)
		}
	}
	if !slices.Equal(names, []string{"identifiers", "echo"}) {
		t.Errorf("scenarios %v", names)
	}
	if !slices.Contains(r.Scenarios[0].Notes, "dangling symbolic links: 1") {
		t.Errorf("notes %q", r.Scenarios[0].Notes)
	}

	text, err := os.ReadFile(htmlFile)
	must(t, err)
	page := string(text)
	for _, want := range []string{"<title>epoque-stress-crosslang: ok</title>", "<svg", "prefers-color-scheme: dark", "every chunk arrives once", `name="viewport"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if outside := regexp.MustCompile(`(src|href)="[^"]*"`).FindAllString(page, -1); !slices.Equal(outside, []string{`href="data:,"`}) || strings.Contains(page, "://") {
		t.Errorf("the page refers to %q", outside)
	}
}

func TestOneThreadAndOneGoroutineAreEnough(t *testing.T) {
	exit, stdout, stderr := finish(t, program("-input", tree(t, "a.h"), "-seconds", "2", "-threads", "1", "-goroutines", "1"))
	if exit != exitOK {
		t.Errorf("exit %d\n%s\n%s", exit, stdout, stderr)
	}
}

func TestAListOnStandardInputIsRead(t *testing.T) {
	cmd := program("--input", "-", "--seconds", "1", "--scenario", "identifiers")
	cmd.Stdin = strings.NewReader(filepath.Join(tree(t, "a.h"), "a.h") + "\n/nonexistent\n")
	exit, stdout, stderr := finish(t, cmd)
	if exit != exitOK || !strings.Contains(stdout, "1 files of the list on standard input") || strings.Contains(stdout, "echo") || !strings.Contains(stderr, "/nonexistent: can't be used") {
		t.Errorf("exit %d\n%s\n%s", exit, stdout, stderr)
	}
}

func TestAWrongCallIsRefusedWithASentence(t *testing.T) {
	folder := tree(t, "a.h")
	for arguments, want := range map[string]string{
		"--seconds 0":                          "--seconds 0 is out of range: give 1 to 604800",
		"--seconds x":                          "invalid value \"x\"",
		"--threads -1":                         "--threads -1 is out of range",
		"--threads 257":                        "--threads 257 is out of range",
		"--goroutines 0":                       "--goroutines 0 is out of range",
		"--seed -1":                            "invalid value \"-1\"",
		"--progress loud":                      "--progress \"loud\" is unknown: give auto, tty or log",
		"--scenario nothing":                   "--scenario \"nothing\" is unknown: give identifiers, echo or all",
		"--colour":                             "not defined: -colour",
		folder:                                 "is no option; the folder to read is given as --input " + folder,
		"--input=":                             "--input is empty",
		"--json " + folder + "/missing/r.json": "the report can't be written",
		"--html " + folder:                     "is a directory",
	} {
		exit, stdout, stderr := finish(t, program(strings.Fields(arguments)...))
		if exit != exitUsage || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 || stdout != "" {
			t.Errorf("%s: exit %d, %q, %q", arguments, exit, stdout, stderr)
		}
	}
}

func TestHelpAndListAreNoRuns(t *testing.T) {
	for argument, want := range map[string]string{"--help": "-goroutines", "--list": "identifiers"} {
		if exit, stdout, stderr := finish(t, program(argument)); exit != exitOK || !strings.Contains(stdout, want) || stderr != "" {
			t.Errorf("%s: exit %d, %q, %q", argument, exit, stdout, stderr)
		}
	}
}

func TestAnInputThatCanNotBeUsedFails(t *testing.T) {
	folder := tree(t, "empty/", "file")
	for input, want := range map[string]string{
		"missing": "no such file or directory; name a folder with --input",
		"empty":   "there are no regular files below",
		"file":    "is not a folder",
	} {
		jsonFile := filepath.Join(t.TempDir(), "r.json")
		exit, stdout, stderr := finish(t, program("--input", filepath.Join(folder, input), "--json", jsonFile))
		if exit != exitFailed || !strings.Contains(stderr, want) || !strings.Contains(stdout, "verdict: failed") {
			t.Errorf("%s: exit %d, %q, %q", input, exit, stdout, stderr)
		}
		if r := readReport(t, jsonFile); r.Verdict != verdictFailed || len(r.Scenarios) != 1 || r.Scenarios[0].Verdict != verdictFailed {
			t.Errorf("%s: %+v", input, r)
		}
	}
}

// asNobody makes the program run as a user whom file permissions bind. It is copied to where that user may run it.
func asNobody(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	folder, err := os.MkdirTemp("", "epoque-nobody-*")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	must(t, os.Chmod(folder, 0o755))
	text, err := os.ReadFile(os.Args[0])
	must(t, err)
	cmd.Path = filepath.Join(folder, "program")
	must(t, os.WriteFile(cmd.Path, text, 0o755))
	cmd.Dir = folder
	const nobody = 65534
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
}

// openTree is a tree that every user can reach.
func openTree(t *testing.T, names ...string) string {
	t.Helper()
	folder := tree(t, names...)
	must(t, os.Chmod(folder, 0o755))
	must(t, os.Chmod(filepath.Dir(folder), 0o755))
	return folder
}

func TestFilesThatMayNotBeReadAreNamedAndLeftOut(t *testing.T) {
	folder := openTree(t, "a.h", "secret.h", "closed/b.h")
	must(t, os.Chmod(filepath.Join(folder, "secret.h"), 0))
	must(t, os.Chmod(filepath.Join(folder, "closed"), 0))
	t.Cleanup(func() { os.Chmod(filepath.Join(folder, "closed"), 0o755) })
	cmd := program("--input", folder, "--seconds", "1", "--scenario", "identifiers")
	asNobody(t, cmd)
	exit, stdout, stderr := finish(t, cmd)
	for _, want := range []string{"secret.h: can't be opened: permission denied; it is left out", "closed: can't be listed: permission denied; it is left out"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%q is missing:\n%s", want, stderr)
		}
	}
	if exit != exitOK || !strings.Contains(stdout, "note   unreadable: 2") {
		t.Errorf("exit %d\n%s\n%s", exit, stdout, stderr)
	}

	must(t, os.Chmod(filepath.Join(folder, "a.h"), 0))
	cmd = program("--input", folder, "--seconds", "1")
	asNobody(t, cmd)
	if exit, _, stderr := finish(t, cmd); exit != exitFailed || !strings.Contains(stderr, "none of the 2 files") {
		t.Errorf("nothing is readable: exit %d\n%s", exit, stderr)
	}
}

// Files are rewritten, removed and made again all the time while the program reads them.
func TestAnInputThatChangesAllTheTimeIsNoFailure(t *testing.T) {
	folder := tree(t, "steady.h")
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Add(1)
	go func() {
		defer writer.Done()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			path := filepath.Join(folder, fmt.Sprint(i%50))
			if i%7 == 0 {
				os.Remove(path)
			} else {
				os.WriteFile(path, bytes.Repeat(fmt.Appendf(nil, "word%d ", i), i%3000), 0o644)
			}
		}
	}()
	exit, stdout, stderr := finish(t, program("--input", folder, "--seconds", "2", "--scenario", "identifiers"))
	close(stop)
	writer.Wait()
	if exit != exitOK || !strings.Contains(stdout, "verdict: ok") {
		t.Errorf("exit %d\n%s\n%s", exit, stdout, stderr)
	}
}

func TestAnInterruptDrainsChecksAndSaysSo(t *testing.T) {
	for _, scenario := range []string{"identifiers", "echo"} {
		jsonFile := filepath.Join(t.TempDir(), "r.json")
		cmd := program("--input", tree(t, "a.h", "b.h"), "--seconds", "600", "--scenario", scenario, "--progress", "tty", "--json", jsonFile)
		var stdout bytes.Buffer
		cmd.Stdout = &stdout
		stderr, err := cmd.StderrPipe()
		must(t, err)
		must(t, cmd.Start())
		var said bytes.Buffer
		buffer := make([]byte, 4096)
		for !strings.Contains(said.String(), "pass") && !strings.Contains(said.String(), "round") {
			n, err := stderr.Read(buffer)
			said.Write(buffer[:n])
			must(t, err)
		}
		must(t, cmd.Process.Signal(syscall.SIGINT))
		rest, err := io.ReadAll(stderr)
		must(t, err)
		said.Write(rest)
		if err := cmd.Wait(); !errors.As(err, new(*exec.ExitError)) {
			t.Errorf("%s: ended with %v", scenario, err)
		}
		if exit := cmd.ProcessState.ExitCode(); exit != exitFailed || !strings.Contains(stdout.String(), "verdict: interrupted") ||
			!strings.Contains(said.String(), "interrupted: stops sending, drains, checks") {
			t.Errorf("%s: exit %d\n%s\n%s", scenario, exit, &stdout, &said)
		}
		r := readReport(t, jsonFile)
		if got := failedChecks(&r.Scenarios[0]); !slices.Equal(got, []string{"ran to its end"}) {
			t.Errorf("%s: failed %q", scenario, got)
		}
	}
}

func TestAReplayCommandCanBePasted(t *testing.T) {
	for word, want := range map[string]string{"/usr/include": "/usr/include", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$x": "'$x'"} {
		if got := shellWord(word); got != want {
			t.Errorf("%q: %s, want %s", word, got, want)
		}
	}
}

func TestAHangIsReportedAsAFailure(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	var stderr bytes.Buffer
	s := settings{console: &console{out: &stderr}, meter: &meter{}, patience: 1}
	result, goOn := runOne(t.Context(), kind{name: "stuck", run: func(context.Context, settings, *scenario) error { <-release; return nil }}, s)
	if goOn || result.Verdict != verdictFailed || result.Failure.Clause != "everything moves" || !strings.Contains(stderr.String(), "nothing has moved for 1ns: stuck") {
		t.Errorf("%+v, %s", result, &stderr)
	}
}
