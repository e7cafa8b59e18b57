// Package tier says which of the three tiers of tests runs, so that a test can keep
// to its own: `go test ./...` for each save, `make test` for each change, and `.ci/run`
// for everything. CONTRIBUTING.md describes them.
package tier

import (
	"flag"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/test/race"
)

const (
	// Variable names the tier: "full" in `make test` and above, unset for `go test ./...`.
	Variable = "ZHONGKONG_TEST"
	// SpeedVariable is "1" in the stage of make test that runs without the race detector.
	SpeedVariable = "ZHONGKONG_TEST_SPEED"
)

// IsFull reports whether the tests of `make test` run.
func IsFull() bool { return os.Getenv(Variable) == "full" }

// Full leaves a test to `make test`: one that starts processes, builds commands,
// or takes seconds to repeat what a shorter test has shown.
func Full(tb testing.TB) {
	tb.Helper()
	if !IsFull() {
		tb.Skip("left to make test")
	}
}

// Overlap lets more parallel tests of a package run at once than there are cores, where
// most of what they do is wait. It is for TestMain, before m.Run.
func Overlap() {
	flag.Parse()
	_ = flag.Set("test.parallel", strconv.Itoa(Count(32, 4)))
}

// Count returns how often a drawn test draws: quick for each save, full in `make test`.
func Count(quick, full int) int {
	if IsFull() {
		return full
	}
	return quick
}

// Scale returns how many of something a test takes that is about many: full, and raced under
// the race detector, which needs the same accesses and not as many of them. The name of the
// test ends in AtScale, by which the stage of `make test` without the race detector finds it.
func Scale(tb testing.TB, raced, full int) int {
	tb.Helper()
	if name, _, _ := strings.Cut(tb.Name(), "/"); !strings.HasSuffix(name, "AtScale") {
		tb.Fatalf("%s: the name of a test with tier.Scale ends in AtScale, or the full number is never taken", name)
	}
	if race.Enabled {
		return raced
	}
	return full
}

// Draws lets rapid draw so many times under the race detector, unless -rapid.checks says how
// often. It is for TestMain, before m.Run, of a package whose drawn tests are all named
// …AtScale: the stage without the race detector draws as often as rapid does by itself.
func Draws(raced int) {
	flag.Parse()
	given := !race.Enabled
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		_ = flag.Set("rapid.checks", strconv.Itoa(raced))
	}
}

// Unraced leaves a test to the stage of `make test` without the race detector: one that
// computes for minutes, which the detector would make many. Its name ends in Unraced.
func Unraced(tb testing.TB) {
	tb.Helper()
	switch {
	case os.Getenv(SpeedVariable) != "1":
		tb.Skip("left to make test: " + SpeedVariable + "=1 runs it")
	case race.Enabled:
		tb.Skip("left to the stage without the race detector")
	}
}

// Speed leaves a test of time or allocations to the stage of `make test` that runs
// such tests one after the other. Its name begins with TestSpeed. Neither means anything under the race detector, under
// coverage, or next to the tests of other packages.
func Speed(tb testing.TB) {
	tb.Helper()
	switch {
	case os.Getenv(SpeedVariable) != "1":
		tb.Skip("left to make test: " + SpeedVariable + "=1 measures")
	case race.Enabled:
		tb.Skip("the race detector is on: times mean nothing")
	case testing.CoverMode() != "":
		tb.Skip("coverage is on: times mean nothing")
	}
}
