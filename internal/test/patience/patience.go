// Package patience is for tests of times on a machine that stands still at times: a
// try that it held up proves nothing. Only tests import it.
package patience

import (
	"testing"
	"time"
)

// InTime wants a try that takes at most as long as most, the first of three: what is
// late by a fault of its own is late again. try returns how long it took.
func InTime(t *testing.T, what string, most time.Duration, try func() time.Duration) {
	t.Helper()
	var took [3]time.Duration
	for i := range took {
		if took[i] = try(); took[i] <= most {
			return
		}
	}
	t.Errorf("%s took %v, want at most %v", what, took, most)
}

// Within calls try with a time, at first short and then twice the one before, until
// try took less than that, which is returned. What depends on the time may be looked
// at only then.
func Within(short time.Duration, try func(short time.Duration)) time.Duration {
	for {
		start := time.Now()
		try(short)
		if time.Since(start) < short {
			return short
		}
		short *= 2
	}
}

// WatchStill returns a function that tells for how long nothing of this process ran, at
// the most, since the watch began. It has to be called, once: it ends the watch.
func WatchStill() (longest func() time.Duration) {
	stop, told := make(chan struct{}), make(chan time.Duration)
	go func() {
		const step = 10 * time.Millisecond
		var most time.Duration
		for last := time.Now(); ; {
			select {
			case <-stop:
				told <- most
				return
			case <-time.After(step):
			}
			now := time.Now()
			most, last = max(most, now.Sub(last)-step), now
		}
	}()
	return func() time.Duration { close(stop); return <-told }
}
