// SPDX-License-Identifier: BSL-1.0
//go:build cgo && linux

// Command epoque-stress-crosslang lets C++ threads and goroutines work on the same queues and stacks, on real input, and
// checks that nothing is lost, nothing comes twice, and every order holds. It ends with a verdict: exit code 0 ok, 1
// failed, 2 when it was called wrongly. With --json and --html it writes reports; `epoque-stress merge` joins the former
// with those of the pure C++ suite.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// patience is how long nothing may move before a run is given up: far longer than any disk or scheduler takes.
const patience = 2 * time.Minute

const (
	mostSeconds = 7 * 24 * 60 * 60
	mostWorkers = 256
)

func main() { os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr)) }

// options is the command line.
type options struct {
	input      string
	seconds    int
	threads    int
	goroutines int
	seed       uint64
	jsonFile   string
	htmlFile   string
	scenario   string
	progress   string
	list       bool
}

// parse reads the command line. Whatever is wrong with it is in the error, as a sentence.
func parse(arguments []string, help io.Writer) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("epoque-stress-crosslang", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	usual := max(2, runtime.NumCPU())
	flags.StringVar(&o.input, "input", "/usr/include", "the `folder` whose files are read; - reads a list of files from standard input")
	flags.IntVar(&o.seconds, "seconds", 20, "how long the scenarios run together; the first pass over the input always goes to its end")
	flags.IntVar(&o.threads, "threads", usual, "C++ threads in each role")
	flags.IntVar(&o.goroutines, "goroutines", usual, "goroutines in each role")
	flags.Uint64Var(&o.seed, "seed", 0, "of file order, batch sizes and pauses (default: another one each time)")
	flags.StringVar(&o.jsonFile, "json", "", "write the report to this `file`, for epoque-stress merge")
	flags.StringVar(&o.htmlFile, "html", "", "write the report as a page to this `file`")
	flags.StringVar(&o.scenario, "scenario", "all", "run only the one of this `name` (--list shows them)")
	flags.StringVar(&o.progress, "progress", "auto", "tty: one line, every second; log: a line every 15 s; auto: as standard error is")
	flags.BoolVar(&o.list, "list", false, "list the scenarios and end")
	err := flags.Parse(arguments)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(help, "usage: epoque-stress-crosslang [options]; -x and --x are the same")
		flags.SetOutput(help)
		flags.PrintDefaults()
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("%q is no option; the folder to read is given as --input %s", flags.Arg(0), flags.Arg(0))
	}
	for _, number := range []struct {
		name        string
		value, most int
	}{{"seconds", o.seconds, mostSeconds}, {"threads", o.threads, mostWorkers}, {"goroutines", o.goroutines, mostWorkers}} {
		if number.value < 1 || number.value > number.most {
			return nil, fmt.Errorf("--%s %d is out of range: give 1 to %d", number.name, number.value, number.most)
		}
	}
	switch o.progress {
	case "auto", "tty", "log":
	default:
		return nil, fmt.Errorf("--progress %q is unknown: give auto, tty or log", o.progress)
	}
	if _, err := choose(o.scenario); err != nil {
		return nil, err
	}
	if o.input == "" {
		return nil, errors.New("--input is empty: name a folder, or - for a list of files on standard input")
	}
	seeded := false
	flags.Visit(func(f *flag.Flag) { seeded = seeded || f.Name == "seed" })
	if !seeded {
		o.seed = uint64(rand.Uint32())
	}
	return o, nil
}

// choose gives the scenarios of a name.
func choose(name string) ([]kind, error) {
	if name == "all" {
		return kinds, nil
	}
	var names []string
	for _, each := range kinds {
		if each.name == name {
			return []kind{each}, nil
		}
		names = append(names, each.name)
	}
	return nil, fmt.Errorf("--scenario %q is unknown: give %s or all", name, strings.Join(names, ", "))
}

func run(command []string, stdin io.Reader, stdout, stderr io.Writer) int {
	console := &console{out: stderr}
	o, err := parse(command[1:], stdout)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		console.line("%v; --help lists the options", err)
		return exitUsage
	}
	if o.list {
		for _, each := range kinds {
			fmt.Fprintf(stdout, "%-12s %s\n", each.name, each.about)
		}
		return exitOK
	}
	console.terminal = o.progress == "tty" || o.progress == "auto" && isTerminal(stderr)

	// A report that can't be written is noticed now, not after the run.
	outputs := []output{
		{path: o.jsonFile, write: (*report).writeJSON},
		{path: o.htmlFile, write: (*report).writeHTML},
	}
	for i := range outputs {
		if err := outputs[i].open(); err != nil {
			console.line("the report can't be written: %v; name a file in a folder that exists and that you may write to", err)
			return exitUsage
		}
	}

	report := newReport(o.seed, command)
	runAll(o, report, console, stdin, stdout)
	for _, each := range outputs {
		if err := each.finish(report); err != nil {
			console.line("the report %s can't be written: %v", printable(each.path), err)
			return exitFailed
		}
	}
	if report.Verdict != verdictOK {
		return exitFailed
	}
	return exitOK
}

// output is a file that the report is written to.
type output struct {
	path  string
	write func(r *report, to io.Writer) error
	file  *os.File
}

func (o *output) open() (err error) {
	if o.path != "" {
		o.file, err = os.Create(o.path)
	}
	return err
}

func (o *output) finish(r *report) error {
	if o.file == nil {
		return nil
	}
	return errors.Join(o.write(r, o.file), o.file.Close())
}

// runAll runs the chosen scenarios, fills the report and prints the verdict.
func runAll(o *options, report *report, console *console, stdin io.Reader, stdout io.Writer) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		select {
		case <-signals:
			signal.Stop(signals) // a second one ends the program at once
			console.line("interrupted: stops sending, drains, checks; interrupt again to end at once")
			cancel()
		case <-ctx.Done():
		}
	}()
	chosen, _ := choose(o.scenario)
	for _, each := range chosen {
		result, goOn := runOne(ctx, each, settings{
			input: o.input, list: stdin, share: time.Duration(o.seconds) * time.Second / time.Duration(len(chosen)),
			threads: o.threads, goroutines: o.goroutines, seed: o.seed,
			console: console, results: stdout, meter: newMeter(), patience: patience,
		})
		if result.Failure != nil {
			result.Failure.Replay = fmt.Sprintf("epoque-stress-crosslang --scenario %s --input %s --seconds %d --threads %d --goroutines %d --seed %d",
				each.name, shellWord(o.input), o.seconds, o.threads, o.goroutines, o.seed)
		}
		report.add(*result)
		result.print(stdout)
		if !goOn {
			break
		}
	}
	verdict := report.Verdict
	if ctx.Err() != nil {
		verdict = "interrupted"
	}
	fmt.Fprintf(stdout, "verdict: %s (seed %d, %.1f s)\n", verdict, report.Seed, report.Seconds)
}

// shellWord quotes a word for a shell, if it needs that.
func shellWord(word string) string {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("/._-+=:,@", c)
	}
	if word != "" && !strings.ContainsFunc(word, func(c rune) bool { return !plain(c) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// runOne runs one scenario under the eyes of a meter. goOn is false when others can't follow: its threads hang.
func runOne(ctx context.Context, k kind, s settings) (result *scenario, goOn bool) {
	blank := func() *scenario {
		return &scenario{Name: k.name, Engine: "crosslang", Verdict: verdictOK, Figures: []figure{}, Checks: []check{}, Notes: []string{}}
	}
	started := time.Now()
	if ctx.Err() != nil {
		result = blank()
		result.Summary = "not run"
		result.expect("ran to its end", false, "interrupted before it began")
		return result, true
	}

	s.meter.enter(started.Add(s.share), func() string { return k.name })
	watching, cancel := context.WithCancel(context.Background())
	stalled := make(chan error, 1)
	go func() { stalled <- s.meter.run(watching, s.console, s.patience) }()
	ended := make(chan error, 1)
	running := blank()
	go func() { ended <- k.run(ctx, s, running) }()

	select {
	case err := <-ended:
		cancel()
		<-stalled
		result, goOn = running, err == nil
		if err != nil {
			s.console.line("%v", err)
			result.Summary = "could not run"
			result.expect("can run", false, "%v", err)
		}
	case err := <-stalled:
		cancel()
		result = blank() // the other one is still in use
		s.console.line("%s: %v", k.name, err)
		result.Summary = "hangs"
		result.expect("everything moves", false, "%v", err)
	}
	result.Series = s.meter.plots()
	result.Seconds = time.Since(started).Seconds()
	return result, goOn
}
