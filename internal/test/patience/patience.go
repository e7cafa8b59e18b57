// Package patience is for tests that share a machine with others. [Until] waits for a
// condition instead of a duration. The rest tries again what the machine may have held
// up, and reports each second attempt, so that no fault hides behind it:
//
//	patience: second attempt: TestClose: Close
//
// Only tests import this package.
package patience

import (
	"fmt"
	"io"
	"math"
	"os"
	"testing"
	"time"
)

const (
	// Bound is how long [Until] and [Wait] wait: so long that reaching it means
	// "never", on however busy a machine.
	Bound = 2 * time.Minute

	pace     = 5 * time.Millisecond // between two looks of Wait
	attempts = 3
	pause    = 2 * time.Second // between two attempts: a burst of other work has passed by then
)

// stderr receives the lines of [Again] a second time: go test shows a test's own log
// only with -v or when it fails.
var stderr io.Writer = os.Stderr

// Until waits until happened returns true, and ends the test if it never does.
func Until(tb testing.TB, what string, happened func() bool) {
	tb.Helper()
	if !Wait(happened) {
		tb.Fatalf("%s: not within %s", what, Bound)
	}
}

// Wait is [Until] for tests that have more to say when it returns false.
func Wait(happened func() bool) bool {
	for deadline := time.Now().Add(Bound); !happened(); time.Sleep(pace) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// Again reports that a test needs a second attempt. Tests that repeat themselves without
// the help of this package call it once.
func Again(tb testing.TB, what string) {
	tb.Helper()
	line := fmt.Sprintf("patience: second attempt: %s: %s", tb.Name(), what)
	tb.Log(line)
	_, _ = fmt.Fprintln(stderr, line)
}

// Attempts calls attempt until it succeeds, at most three times and seconds apart, and
// reports whether it did.
func Attempts(tb testing.TB, what string, attempt func() (ok bool)) bool {
	tb.Helper()
	for n := range attempts {
		if n == 1 {
			Again(tb, what)
		}
		if n > 0 {
			time.Sleep(pause)
		}
		if attempt() {
			return true
		}
	}
	return false
}

// InTime wants an attempt that takes at most as long as most: what is late by a fault of
// its own is late each time. attempt returns how long it took.
func InTime(tb testing.TB, what string, most time.Duration, attempt func() time.Duration) {
	tb.Helper()
	var took []time.Duration
	if !Attempts(tb, what, func() bool {
		took = append(took, attempt())
		return took[len(took)-1] <= most
	}) {
		tb.Errorf("%s took %v, want at most %v", what, took, most)
	}
}

// AtMost wants a measured ratio of at most limit, and logs the best one.
func AtMost(tb testing.TB, what string, limit float64, measure func() float64) {
	tb.Helper()
	best := math.Inf(1)
	ok := Attempts(tb, what, func() bool {
		best = min(best, measure())
		return best <= limit
	})
	conclude(tb, ok, fmt.Sprintf("%s: %.2f × (at most %.2f ×)", what, best, limit))
}

// AtLeast wants a measured ratio of at least limit, and logs the best one.
func AtLeast(tb testing.TB, what string, limit float64, measure func() float64) {
	tb.Helper()
	best := math.Inf(-1)
	ok := Attempts(tb, what, func() bool {
		best = max(best, measure())
		return best >= limit
	})
	conclude(tb, ok, fmt.Sprintf("%s: %.2f × (at least %.2f ×)", what, best, limit))
}

func conclude(tb testing.TB, ok bool, line string) {
	tb.Helper()
	if !ok {
		tb.Error(line)
		return
	}
	tb.Log(line)
}

// Within calls attempt with a time, at first short and then twice the one before, until
// attempt takes less than that time, which it returns. A test may check what depends on
// the time only after that.
func Within(tb testing.TB, what string, short time.Duration, attempt func(short time.Duration)) time.Duration {
	tb.Helper()
	for first := short; ; short *= 2 {
		switch {
		case short > Bound:
			tb.Fatalf("%s: takes longer than %s", what, short/2)
		case short == 2*first:
			Again(tb, what)
		}
		start := time.Now()
		attempt(short)
		if time.Since(start) < short {
			return short
		}
	}
}

// Undisturbed calls run, which returns what went wrong, and calls it again where that may
// be the machine's fault: nothing of this process ran for longer than most, or run has
// another excuse. It returns what went wrong in the last of at most three runs, and whether
// that one was disturbed, too.
func Undisturbed(
	tb testing.TB,
	what string,
	most time.Duration,
	run func() (wrong []string, excused bool),
) (wrong []string, disturbed bool) {
	tb.Helper()
	Attempts(tb, what, func() bool {
		still := WatchStill()
		var excused bool
		wrong, excused = run()
		stood := still()
		disturbed = len(wrong) > 0 && (excused || stood > most)
		if disturbed {
			tb.Logf("the machine stood still for %s, excused otherwise: %t: %q", stood, excused, wrong)
		}
		return !disturbed
	})
	return wrong, disturbed
}

// WatchStill watches for times in which nothing of this process ran. The function that
// it returns ends the watch, and returns the longest of them. It must be called once.
func WatchStill() (longest func() time.Duration) {
	stop, result := make(chan struct{}), make(chan time.Duration)
	go func() {
		const step = 10 * time.Millisecond
		var most time.Duration
		for last := time.Now(); ; {
			select {
			case <-stop:
				result <- most
				return
			case <-time.After(step):
			}
			now := time.Now()
			most, last = max(most, now.Sub(last)-step), now
		}
	}()
	return func() time.Duration { close(stop); return <-result }
}
