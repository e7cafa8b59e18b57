//go:build unix

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
func (f *fleet) begins(key custody.Key) (all []custody.Entry) {
	f.t.Helper()
	for _, e := range f.journal(key) {
		if e.Event == custody.EventBegin {
			all = append([]custody.Entry{e}, all...)
		}
	}
	return all
}

// killHolder waits for the n-th fetch to be on its way and kills the process that
// sent it.
func (f *fleet) killHolder(sim *simtest.Sim, key custody.Key, n int) {
	f.t.Helper()
	patience.Until(f.t, fmt.Sprintf("fetch number %d", n), func() bool { return sim.Stats(key.AppID).Classic.Calls >= n })
	begins := f.begins(key) // it was written down before the fetch was sent
	attempt := begins[len(begins)-1].Attempt
	for _, w := range f.workers {
		if strings.Contains(attempt, fmt.Sprintf("/%d/", w.cmd.Process.Pid)) {
			w.signal(syscall.SIGKILL)
			return
		}
	}
	f.t.Fatalf("the attempt %s is of no worker", attempt)
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
// notices; with none the next one fetches within a second of the lease's end.
func TestKilledInTheMiddle(t *testing.T) {
	asked(t)
	for _, e := range engines() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			sim := simtest.New(t, simulator.Options{Accounts: made(1, 1), Life: 30 * time.Second, Overlap: 5 * time.Second, Events: -1})
			sim.Delay(simulator.TokenPath, 2*time.Second)
			all := accounts(sim, 5*time.Second, platform.Classic)
			key := keyOf(t, all[0])
			f := newFleet(t, e, orders{Accounts: all, Users: 20, Pause: time.Second, Timing: patient})

			f.killHolder(sim, key, 1)
			patience.Until(t, "the next fetch", func() bool { return len(f.begins(key)) >= 2 })
			begins := f.begins(key)
			if gap := begins[1].At.Sub(begins[0].At); gap > patient.LeaseTTL+time.Second {
				t.Errorf("with no token: the next fetch came %s after the killed one, want %s", gap, patient.LeaseTTL+time.Second)
			}
			patience.Until(t, "a token", func() bool { return f.saves(key) >= 1 })
			var before report
			patience.Until(t, "the token in every process", func() bool {
				last := before
				before = f.reported()
				return before.Calls > last.Calls && before.unwell() == last.unwell()
			})

			f.killHolder(sim, key, 3)
			patience.Until(t, "the renewal after the second kill", func() bool { return len(f.begins(key)) >= 4 && f.saves(key) >= 2 })
			after := f.end()
			if failed := after.unwell() - before.unwell(); failed != 0 {
				t.Errorf("with a live token: %d calls failed: %s", failed, after.FirstFail)
			}
			if after.Calls <= before.Calls || after.Longest > time.Second { // who waits for a fetch waits 2 s
				t.Errorf("%d calls after %d, the longest wait with a live token was %s", after.Calls, before.Calls, after.Longest)
			}
		})
	}
}
