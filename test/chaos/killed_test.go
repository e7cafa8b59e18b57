//go:build unix && chaos

package chaos

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// begins returns the journal's lines about fetches that were begun, oldest first.
func (f *fleet) begins(key custody.Key) []custody.Entry {
	f.t.Helper()
	return f.events(key, custody.EventBegin)
}

// saved returns those about tokens that were saved.
func (f *fleet) saved(key custody.Key) []custody.Entry {
	f.t.Helper()
	return f.events(key, custody.EventSave)
}

func (f *fleet) events(key custody.Key, event custody.Event) (all []custody.Entry) {
	f.t.Helper()
	for _, e := range f.journal(key) {
		if e.Event == event {
			all = append([]custody.Entry{e}, all...)
		}
	}
	return all
}

// killHolder waits for the n-th fetch to be on its way and kills the process that
// sent it. It returns when.
func (f *fleet) killHolder(sim *simtest.Sim, key custody.Key, n int) time.Time {
	f.t.Helper()
	patience.Until(f.t, fmt.Sprintf("fetch number %d", n), func() bool { return sim.Stats(key.AppID).Classic.Calls >= n })
	begins := f.begins(key) // it was written down before the fetch was sent
	attempt := begins[len(begins)-1].Attempt
	for _, w := range f.workers {
		if strings.Contains(attempt, fmt.Sprintf("/%d/", w.cmd.Process.Pid)) {
			w.signal(syscall.SIGKILL)
			return time.Now()
		}
	}
	f.t.Fatalf("the attempt %s is of no worker", attempt)
	return time.Time{}
}

// unwell counts the calls that were not answered well.
func (r report) unwell() int { return r.Failed + r.NoToken + r.Cut }

// reported waits for one more report of each worker, and returns their sum.
func (f *fleet) reported() (total report) {
	for _, w := range f.workers {
		w.news()
		w.mu.Lock()
		total = total.plus(w.last)
		w.mu.Unlock()
	}
	return total
}

// TestKilledInTheMiddle of a fetch that takes 2 s: with a live token nobody
// notices; with none another process continues within the 5 s of a lease.
func TestKilledInTheMiddle(t *testing.T) {
	asked(t)
	for _, e := range engines() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			sim := simtest.New(t, simulator.Options{Accounts: made(1, 1), Life: 30 * time.Second, Overlap: 5 * time.Second, Events: -1})
			const fetch, tolerance = 2 * time.Second, time.Second
			sim.Delay(simulator.TokenPath, fetch)
			all := accounts(sim, 5*time.Second, platform.Classic)
			key := keyOf(t, all[0])
			f := newFleet(t, e, orders{Accounts: all, Users: 20, Pause: time.Second, Timing: usual})

			still := patience.WatchStill()
			killed := f.killHolder(sim, key, 1)
			patience.Until(t, "a token", func() bool { return f.saves(key) >= 1 })
			late := tolerance + still() // a machine that stands still holds up everybody
			begun, saved := f.begins(key)[1].At.Sub(killed), f.saved(key)[0].At.Sub(killed)
			if begun > usual.LeaseTTL+late || saved > usual.LeaseTTL+fetch+late {
				t.Errorf("with no token: %s after the kill another process fetched, and %s after it had a token, want %s, and %s more for the fetch",
					begun, saved, usual.LeaseTTL+late, fetch)
			}
			var before report
			patience.Until(t, "the token in every process", func() bool {
				last := before
				before = f.reported()
				return before.Calls > last.Calls && before.unwell() == last.unwell()
			})

			f.killHolder(sim, key, 3)
			patience.Until(t, "the renewal after the second kill", func() bool { return len(f.begins(key)) >= 4 && f.saves(key) >= 2 })
			after := f.end()
			t.Logf("%s: the next fetch %s after the kill, a token after %s", e.name, begun.Round(time.Millisecond), saved.Round(time.Millisecond))
			if failed := after.unwell() - before.unwell(); failed != 0 {
				t.Errorf("with a live token: %d calls failed: %s", failed, after.FirstFail)
			}
			if after.Calls <= before.Calls || after.Longest > time.Second { // who waits for a fetch waits 2 s
				t.Errorf("%d calls after %d, the longest wait with a live token was %s", after.Calls, before.Calls, after.Longest)
			}
		})
	}
}
