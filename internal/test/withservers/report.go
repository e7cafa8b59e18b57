package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// event is a line of go test -json.
type event struct {
	Action, Package, Test, Output, ImportPath string
}

// test names a test, or with an empty Test a package.
type test struct{ Package, Test string }

func (t test) String() string {
	if t.Test == "" {
		return t.Package
	}
	return t.Package + " " + t.Test
}

// report reads the events of go test as they come. It prints a line for each package,
// the output of tests that fail, measurements and second attempts; the log gets
// the output of all tests.
type report struct {
	out, log io.Writer
	rest     []byte // the beginning of a line
	measures bool

	kept         map[test][]string // output of tests that have not finished
	packages     map[string]bool   // that passed
	measurements int               // tests of speed that passed
	leftOut      map[string]int    // reasons, and how many tests each
	second       []string          // what the tests said of second attempts
	failed       []test            // of this stage
	grave        bool              // no busy machine did it: a data race, a panic, a build
	lost         []test            // what failed in the stages before
}

func newReport(out, log io.Writer) *report {
	return &report{out: out, log: log, kept: map[test][]string{}, packages: map[string]bool{}, leftOut: map[string]int{}}
}

func (r *report) begin(s stage) {
	r.measures = s.measures
	r.say("== " + s.name + "\n")
}

func (r *report) end(s stage, took time.Duration) {
	clear(r.kept)
	r.lost, r.failed, r.grave = append(r.lost, r.failed...), nil, false
	r.say(fmt.Sprintf("== %s: %d s\n", s.name, int(took.Seconds())))
}

// say prints text and writes it into the log.
func (r *report) say(text string) {
	_, _ = io.WriteString(r.out, text)
	_, _ = io.WriteString(r.log, text)
}

// Write takes the output of go test -json, in pieces of any length.
func (r *report) Write(p []byte) (int, error) {
	r.rest = append(r.rest, p...)
	for {
		line, rest, whole := bytes.Cut(r.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		r.line(line)
		r.rest = rest
	}
}

func (r *report) line(line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		r.say(string(line) + "\n")
		return
	}
	t := test{e.Package, e.Test}
	switch e.Action {
	case "output":
		_, _ = io.WriteString(r.log, e.Output)
		r.kept[t] = append(r.kept[t], e.Output)
		r.notice(e.Output)
	case "build-output":
		r.grave = true
		r.say(e.Output)
	case "pass", "skip", "fail":
		r.finish(t, e.Action)
	}
}

var (
	// place is what testing puts in front of a line.
	place       = regexp.MustCompile(`^\s*[\w.-]+\.go:\d+: `)
	secondTry   = regexp.MustCompile(`^patience: second attempt: (.*)$`)
	leftOutLine = regexp.MustCompile(`^left out: (.*)$`)
)

// notice collects what a line of output says for the summary.
func (r *report) notice(output string) {
	line := strings.TrimRight(place.ReplaceAllString(output, ""), "\n")
	if found := secondTry.FindStringSubmatch(line); found != nil {
		r.second = append(r.second, found[1])
		_, _ = fmt.Fprintln(r.out, line)
	}
	if found := leftOutLine.FindStringSubmatch(line); found != nil {
		r.leftOut[found[1]]++
	}
	if r.measures && strings.Contains(line, "×") {
		_, _ = fmt.Fprintln(r.out, line)
	}
}

// finish counts a test or a package that has finished, and prints what it said if it
// failed. A package that fails in the middle of tests has left their output.
func (r *report) finish(t test, action string) {
	lines := r.kept[t]
	delete(r.kept, t)
	if action == "fail" {
		r.failed = append(r.failed, t)
		r.grave = r.grave || slices.ContainsFunc(lines, isGrave)
		if t.Test == "" {
			for _, other := range slices.SortedFunc(maps.Keys(r.kept), func(a, b test) int { return strings.Compare(a.Test, b.Test) }) {
				if other.Package == t.Package {
					r.grave = r.grave || slices.ContainsFunc(r.kept[other], isGrave)
					r.print(r.kept[other])
					delete(r.kept, other)
				}
			}
		}
		r.print(lines)
		return
	}
	switch {
	case t.Test != "":
		if action == "pass" && r.measures && strings.HasPrefix(t.Test, "TestSpeed") && !strings.Contains(t.Test, "/") {
			r.measurements++
		}
	case action == "pass":
		r.packages[t.Package] = true
		r.print(lines[max(0, len(lines)-1):]) // ok, and how long it took
	}
}

func isGrave(line string) bool {
	return strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") || strings.Contains(line, "DATA RACE")
}

// print prints lines that the log has already.
func (r *report) print(lines []string) {
	for _, line := range lines {
		if !strings.HasPrefix(line, "=== ") {
			_, _ = io.WriteString(r.out, line)
		}
	}
}

// mostBusy is how many tests may fail because the machine was busy: more have another cause.
const mostBusy = 3

// busy returns the tests that failed, if a busy machine may be the cause of all of them.
func (r *report) busy() []test {
	var tests []test
	packages := map[string]bool{} // with a test that failed
	for _, t := range r.failed {
		if t.Test != "" && !strings.Contains(t.Test, "/") {
			tests = append(tests, t)
			packages[t.Package] = true
		}
	}
	for _, t := range r.failed {
		if !packages[t.Package] { // it ended before its tests, or its binary did not build
			return nil
		}
	}
	if r.grave || len(tests) > mostBusy {
		return nil
	}
	return tests
}

func (r *report) summary(passed bool) {
	r.say("== summary\n")
	r.say("left to other targets: chaos (make chaos), foreign SDKs (make interop), fuzzing (make fuzz)\n")
	r.say(fmt.Sprintf("packages that passed: %d\n", len(r.packages)))
	r.say(fmt.Sprintf("measurements that passed: %d\n", r.measurements))
	for _, why := range slices.Sorted(maps.Keys(r.leftOut)) {
		r.say(fmt.Sprintf("left out: %d of the tests: %s\n", r.leftOut[why], why))
	}
	for _, what := range r.second {
		r.say("second attempt: " + what + "\n")
	}
	for _, what := range r.lost {
		r.say("FAILED: " + what.String() + "\n")
	}
	if passed {
		r.say("All tests passed. All output: " + logFile + "\n")
	} else {
		r.say("Tests failed. All output: " + logFile + "\n")
	}
}
