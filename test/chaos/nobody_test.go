//go:build unix && chaos

package chaos

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// TestNobodyIsKilled: eight processes with 50 users each over 20 renewals: 21
// tokens are issued to each account and no call fails, with WeChat's overlap and
// without any, on one engine after the other: they fill two cores. A machine that stood still
// for longer than a call may take proves nothing: what it was doing, such as saving a token
// that has superseded another one, was late. All begin when each has its connections: a token lives for 4 s here,
// and eight processes that start cold on two cores take as long.
func TestNobodyIsKilled(t *testing.T) {
	asked(t)
	const overlap, still = 2 * time.Second, 250 * time.Millisecond
	for _, e := range engines() {
		t.Run(e.name, func(t *testing.T) {
			wrong, disturbed := patience.Undisturbed(t, "a run in which nobody is killed", still, func() ([]string, bool) {
				return nobodyIsKilled(t, e, overlap), false
			})
			switch {
			case disturbed:
				t.Skip("left out: this machine is too busy: run make chaos when it is not")
			case len(wrong) > 0:
				t.Error(strings.Join(wrong, "\n"))
			}
		})
	}
}

// nobodyIsKilled makes one such run, and returns what was not as it is promised.
func nobodyIsKilled(t *testing.T, e engine, overlap time.Duration) (wrong []string) {
	t.Helper()
	const renewals, lives = 20, 4 * time.Second
	with := simtest.New(t, simulator.Options{Accounts: made(1, 1), Life: lives, Overlap: overlap, Events: -1})
	without := simtest.New(t, simulator.Options{Accounts: made(2, 1), Life: lives, Overlap: -1, Events: -1})
	all := append(accounts(with, overlap, platform.Classic), accounts(without, time.Nanosecond, platform.Classic)...)
	f := newFleet(t, e, orders{Accounts: all, Users: 25, Pause: time.Second, Timing: timing, Logs: *logs, Together: true})
	for n := 1; n <= renewals+1; n++ {
		patience.Until(t, fmt.Sprintf("token %d of each account", n), func() bool {
			return issued(with, all[0].AppID) >= n && issued(without, all[1].AppID) >= n
		})
	}
	total := f.end()
	for i, sim := range []*simtest.Sim{with, without} {
		saves, tokens := f.saves(keyOf(t, all[i])), issued(sim, all[i].AppID)
		if tokens != saves {
			wrong = append(wrong, fmt.Sprintf("%d tokens issued, %d saved", tokens, saves))
			for _, e := range f.journal(keyOf(t, all[i])) {
				t.Logf("%s %s %d %s %s", e.At.Format(time.StampMicro), e.Event, e.Fence, e.Attempt, e.Detail)
			}
		}
	}
	if total.Failed+total.NoToken+total.Cut > 0 {
		wrong = append(wrong, fmt.Sprintf("of %d calls %d were refused, %d found no token, %d did not arrive: %s",
			total.Calls, total.Failed, total.NoToken, total.Cut, total.FirstFail))
	}
	t.Logf("%s: %d + %d tokens issued in as many renewals, %d calls, %d failed, longest wait with a live token %s",
		e.name, issued(with, all[0].AppID), issued(without, all[1].AppID), total.Calls, total.Failed+total.NoToken+total.Cut, total.Longest)
	return wrong
}
