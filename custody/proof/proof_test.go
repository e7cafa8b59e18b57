package proof_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// TestMain draws fewer schedules under the race detector.
func TestMain(m *testing.M) {
	tier.Draws(20)
	os.Exit(m.Run())
}

// schedule is what happens in one world, drawn before it begins so that it can
// be shrunk, printed and played again.
type schedule struct {
	API       platform.TokenAPI
	Overlap   time.Duration
	Processes int
	Steps     []step
}

type step struct {
	do   string
	proc int
	at   point
	eff  effect
	long time.Duration
	n    int
}

func (s step) String() string {
	switch s.do {
	case "live":
		return fmt.Sprintf("live %s with traffic at %d moments", s.long, s.n)
	case "trap":
		return fmt.Sprintf("process %d: %s %s", s.proc, s.eff, s.at)
	case "lost answers", "wrong answers", "busy":
		return fmt.Sprintf("%d %s", s.n, s.do)
	case "clock":
		return fmt.Sprintf("the store's clock jumps ahead by %s", s.long)
	case "store away", "read-only", "slow", "strays":
		return fmt.Sprintf("%s for %s", s.do, s.long)
	case "misuse", "kill", "restart":
		return fmt.Sprintf("%s process %d", s.do, s.proc)
	default:
		return s.do
	}
}

func (s schedule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d processes on %s, overlap %s", s.Processes, s.API, s.Overlap)
	for _, step := range s.Steps {
		b.WriteString("\n\t" + step.String())
	}
	return b.String()
}

// wrong are answers of a token endpoint that are no clean success.
var wrong = []string{
	"", "<html>busy</html>", `{"access_token":"91_x","expires_i`, `{"access_token":"","expires_in":7200}`,
	`{"access_token":"91_x","expires_in":0}`, `{"access_token":"91_x","expires_in":-1}`, `{"access_token":"91_x"}`,
	`{"access_token":"91_x","expires_in":1000000000000}`, `{"access_token":1,"expires_in":"7200"}`, "[]", "null",
	`{"errcode":-1,"errmsg":"system error","access_token":"91_x","expires_in":7200}`,
}

func drawStep(t *rapid.T, processes int) step {
	s := step{
		do: rapid.SampledFrom([]string{
			"live", "live", "live", "live", "trap", "trap", "trap", "restart", "kill", "misuse",
			"supersede", "supersede", "lost answers", "wrong answers", "busy", "clock",
			"strays", "broken path", "store away", "read-only", "slow", "another way out",
		}).Draw(t, "do"),
	}
	s.proc = rapid.IntRange(0, processes-1).Draw(t, "process")
	switch s.do {
	case "live":
		s.long = rapid.SampledFrom([]time.Duration{
			time.Second, 13 * time.Second, time.Minute, 4 * time.Minute, 10 * time.Minute, time.Hour, 115 * time.Minute, 2 * time.Hour, 2 * time.Hour, 2 * time.Hour,
		}).Draw(t, "long")
		s.n = rapid.IntRange(1, 6).Draw(t, "moments")
	case "trap":
		s.at = point{
			rapid.SampledFrom([]string{"fetch", "fetch", "save", "save", "begin", "acquire", "load", "release", "shorten", "probe"}).Draw(t, "call"),
			rapid.Bool().Draw(t, "after"),
		}
		s.eff = effect{
			rapid.SampledFrom([]string{"error", "delay", "freeze", "kill"}).Draw(t, "effect"),
			rapid.SampledFrom([]time.Duration{500 * time.Millisecond, 3 * time.Second, 9 * time.Second, 14 * time.Second, 14 * time.Second, 10 * time.Minute}).Draw(t, "for"),
		}
		if s.eff.kind == "error" || s.eff.kind == "kill" {
			s.eff.long = 0
		}
	case "lost answers", "busy":
		s.n = rapid.IntRange(1, 4).Draw(t, "times")
	case "wrong answers":
		s.n = rapid.IntRange(0, len(wrong)-1).Draw(t, "which")
	case "store away", "read-only", "slow", "strays":
		s.long = rapid.SampledFrom([]time.Duration{5 * time.Second, 30 * time.Second, 3 * time.Minute, 20 * time.Minute}).Draw(t, "for")
	case "clock":
		s.long = rapid.SampledFrom([]time.Duration{40 * time.Second, 10 * time.Minute, time.Hour}).Draw(t, "step")
	}
	return s
}

func drawSchedule(t *rapid.T, api platform.TokenAPI) schedule {
	s := schedule{
		API:       api,
		Overlap:   rapid.SampledFrom([]time.Duration{5 * time.Minute, time.Minute}).Draw(t, "overlap"),
		Processes: rapid.IntRange(1, 3).Draw(t, "processes"),
	}
	for range rapid.IntRange(1, 9).Draw(t, "steps") {
		s.Steps = append(s.Steps, drawStep(t, s.Processes))
	}
	return s
}

// play runs a schedule in a bubble and returns what happened that must never
// happen, with the diary of the world.
func play(t *testing.T, s schedule, breach string) (violations, diary []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var st custody.Store = memory.New()
		if breach == "no fence check" || breach == "no lease" {
			st = &lawless{breach: breach, rows: map[custody.Key]store.Row{}}
		}
		w := newWorld(t, s, breach, st)
		current := make([]*process, s.Processes)
		for i := range current {
			current[i] = w.spawn()
		}
		w.live(time.Second, 1)
		for _, step := range s.Steps {
			w.do(step, current)
		}
		w.calm(current)
		w.end()
		w.mu.Lock()
		defer w.mu.Unlock()
		violations, diary = w.violations, w.diary
	})
	return violations, diary
}

func (w *world) do(s step, current []*process) {
	var p *process
	if s.proc < len(current) {
		p = current[s.proc]
	}
	if w.spared(s) {
		return
	}
	switch s.do {
	case "live":
		w.live(s.long, s.n)
	case "trap":
		p.mu.Lock()
		p.traps[s.at] = s.eff
		p.mu.Unlock()
		if s.at.call == "probe" { // a refusal may then be believed without a verdict
			w.strangers("")
		}
	case "restart":
		p.mu.Lock()
		p.frozen = time.Time{}
		p.mu.Unlock()
		_ = p.k.Close()
		current[s.proc] = w.spawn()
		p.kill() // no more users
	case "kill":
		w.disturb(fmt.Sprintf("process %d: killed", p.id))
		p.kill()
		current[s.proc] = w.spawn()
	case "misuse":
		if w.breach != "not by value" && !p.isDead() && !p.isFrozen() {
			p.misuse()
		}
	case "supersede":
		w.strangers("somebody else fetches")
		switch w.api {
		case platform.Classic:
			w.sim.Supersede(w.appID)
		case weCom, corpTicket, agentTicket: // nobody can: WeCom ends it early
			w.kill()
		default:
			w.sim.SupersedeStable(w.appID)
		}
	case "lost answers":
		w.disturb(s.String())
		w.inject(simulator.Fault{Path: simulator.Fetches, Times: s.n, After: true, Cut: simulator.CutAnswer})
	case "wrong answers":
		w.disturb("a wrong answer: " + wrong[s.n])
		w.inject(simulator.Fault{Path: simulator.Fetches, Times: 1, After: s.n%2 == 0, Status: 200, Body: wrong[s.n]})
	case "busy":
		w.disturb(s.String())
		w.inject(simulator.Fault{Path: simulator.Fetches, Times: 3 * s.n, Errcode: -1})
	case "another way out": // of two addresses of this machine, this one is not in the whitelist
		w.disturb(s.String())
		code := 40164
		if w.api == weCom || w.ticket != nil {
			code = 60020 // which gettoken does not answer, as far as is known
		}
		w.inject(simulator.Fault{Path: simulator.Fetches, Times: 1, Errcode: code})
	case "strays", "broken path", "store away", "read-only", "slow":
		w.wrong(s)
	case "clock":
		w.mu.Lock()
		w.ahead += s.long
		w.mu.Unlock()
		w.disturb(s.String())
		w.strangers("") // a renewal may then come long before WeChat's end
	}
}

// wrong begins a state in which something does not do its part for a while.
func (w *world) wrong(s step) {
	w.disturb(s.String())
	w.mu.Lock()
	now := time.Now()
	end := now.Add(s.long)
	switch s.do {
	case "strays":
		w.stray = end
	case "broken path":
		w.broken = true
	case "store away":
		w.away = end
	case "read-only":
		w.readOnly, w.readOnlySince = end, now
	case "slow":
		w.slow = end
	}
	w.mu.Unlock()
	if s.do == "store away" || s.do == "read-only" {
		w.troubled(int(s.long/(110*time.Minute)) + 1)
		w.live(s.long+10*time.Second, 3) // across whatever is due
	}
}

// troubled counts n troubles more: each process may fetch without the store.
func (w *world) troubled(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.troubles += 8 * n * len(w.all)
}

// strangers notes that the fate of tokens is in other hands as well.
func (w *world) strangers(what string) {
	if what != "" {
		w.disturb(what)
	}
	w.mu.Lock()
	w.outside = time.Now()
	w.mu.Unlock()
}

func (w *world) inject(f simulator.Fault) {
	if w.ticket != nil {
		f.Path = w.ticket.path
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rules = append(w.rules, w.sim.Inject(f))
}

// calm ends all trouble, and checks that everything is well a while later and
// what the whole history cost.
func (w *world) calm(current []*process) {
	for _, p := range w.all {
		p.mu.Lock()
		clear(p.traps)
		p.mu.Unlock()
	}
	for _, r := range w.rules {
		r.Remove()
	}
	w.mu.Lock()
	now := time.Now()
	w.away, w.readOnly, w.slow = earlier(w.away, now), earlier(w.readOnly, now), earlier(w.slow, now)
	w.stray = earlier(w.stray, now)
	w.mu.Unlock()
	w.live(11*time.Minute, 4) // frozen ones thaw
	for i, p := range current {
		if p.isDead() {
			current[i] = w.spawn()
		}
	}
	w.live(11*time.Minute, 11)
	w.mu.Lock()
	w.note("calm")
	w.disturbed = time.Time{}
	w.mu.Unlock()
	w.live(130*time.Minute, 26)
	for _, p := range w.able() {
		if token, err := p.token(time.Second); err != nil || !w.accepts(token.Value()) {
			w.violation("process %d has no good token long after the last trouble: %v", p.id, err)
		}
	}
	w.mu.Lock()
	troubles, values, fetched := w.troubles, len(w.values), w.fetched
	w.mu.Unlock()
	if extra := w.issued() - values; extra > troubles {
		w.violation("%d tokens were issued and %d saved, with %d troubles", w.issued(), values, troubles)
	}
	lives := int(time.Since(w.start)/(110*time.Minute)) + 1
	each := 5
	if w.api == weCom || w.ticket != nil { // until the end gettoken answers the same token, whose end comes nearer: each time half of it
		each = 12
	}
	if most := each*lives + 6*troubles + 3; fetched > most {
		w.violation("%d fetches in %d lives with %d troubles, want at most %d", fetched, lives, troubles, most)
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// TestProofAtScale plays drawn schedules of delays, errors, lost answers, freezes,
// kills, restarts, strangers, wrong answers and clock steps, and checks after
// every step what must never happen. A failing schedule is shrunk and printed; the
// line that rapid prints plays it again. -rapid.checks sets how many.
func TestProofAtScale(t *testing.T) {
	t.Parallel()
	for _, api := range []platform.TokenAPI{platform.Classic, platform.Stable, weCom, corpTicket, agentTicket} {
		t.Run(string(api), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				s := drawSchedule(rt, api)
				if violations, diary := play(t, s, ""); len(violations) > 0 {
					rt.Fatalf("%s\n%s\n\nthe diary:\n%s", strings.Join(violations, "\n"), s, strings.Join(diary, "\n"))
				}
			})
		})
	}
}

// lawless is a store that breaks its contract on purpose.
type lawless struct {
	breach string
	mu     sync.Mutex
	rows   map[custody.Key]store.Row
}

func (l *lawless) do(key custody.Key, change func(now time.Time, row *store.Row) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	row := l.rows[key]
	if err := change(time.Now(), &row); err != nil {
		return err
	}
	l.rows[key] = row
	return nil
}

func (l *lawless) Load(_ context.Context, key custody.Key) (record custody.Record, err error) {
	err = l.do(key, func(now time.Time, row *store.Row) error {
		record = row.Record(now)
		return nil
	})
	return record, err
}

func (l *lawless) Acquire(_ context.Context, key custody.Key, attempt string, ttl time.Duration) (lease custody.Lease, err error) {
	err = l.do(key, func(now time.Time, row *store.Row) (err error) {
		if l.breach == "no lease" {
			row.Attempt = ""
		}
		lease, err = row.Acquire(now, key, attempt, ttl)
		return err
	})
	return lease, err
}

func (l *lawless) Begin(_ context.Context, lease custody.Lease, notes []byte) error {
	return l.do(lease.Key, func(now time.Time, row *store.Row) error { return row.Begin(now, lease, notes) })
}

func (l *lawless) Save(_ context.Context, lease custody.Lease, record custody.Record) error {
	return l.do(lease.Key, func(_ time.Time, row *store.Row) error {
		if l.breach == "no fence check" {
			lease.Fence = max(lease.Fence, row.Top)
		}
		return row.Save(lease, record)
	})
}

func (l *lawless) Release(_ context.Context, lease custody.Lease, notes []byte) error {
	return l.do(lease.Key, func(_ time.Time, row *store.Row) error { return row.Release(lease, notes) })
}

func (l *lawless) Shorten(_ context.Context, key custody.Key, fence int64, end time.Time) error {
	return l.do(key, func(_ time.Time, row *store.Row) error {
		row.Shorten(fence, end)
		return nil
	})
}

func (l *lawless) Close() error { return nil }

// TestBreachesUnraced breaks the protocol on purpose, one rule at a time, and wants each
// breach to be caught: a proof that cannot fail proves nothing.
func TestBreachesUnraced(t *testing.T) {
	tier.Unraced(t)
	t.Parallel()
	const most = 5000 // schedules; each breach shows itself long before
	for _, c := range []struct {
		breach string
		api    platform.TokenAPI
		caught string
	}{
		{"no fence check", platform.Classic, "a late holder saved over a newer token"},
		{"no lease", platform.Classic, "were issued"},
		{"no second look", platform.Classic, "a new token although the stored one was good"},
		{"not by value", platform.Classic, "a new token although the stored one was good"}, // without a probe, which would notice
		{"no shortening", platform.Classic, "a token was handed out that WeChat refuses, and nobody else"},
		{"no probe", platform.Stable, "a new token although the stored one was good"},
		{"readers wait", platform.Stable, "while a live token existed"},
		{"answers from an accepted verdict", platform.Classic, "although the store has had a live newer token"},
		{"answers from the breaker", platform.Stable, "although the store has had a live newer token"},
		{"answers from a failure", platform.Classic, "although the store has had a live newer token"},
		{"sleeps when the store is back", platform.Classic, "it says that the store does not answer, which has"},
		{"a read-only store counts as healthy", platform.Stable, "no token although nothing but saving fails"},
		{"no extension", platform.Stable, "and that one lives"},
		{"extends after the end", platform.Stable, "took the lease again"},
	} {
		t.Run(c.breach, func(t *testing.T) {
			t.Parallel()
			schedules := rapid.Custom(func(t *rapid.T) schedule { return drawSchedule(t, c.api) })
			others := map[string]int{}
			for seed := range most {
				violations, _ := play(t, schedules.Example(seed), c.breach)
				for _, v := range violations {
					if strings.Contains(v, c.caught) {
						t.Logf("caught by schedule %d: %s", seed+1, v)
						return
					}
					others[v[strings.Index(v, ":")+1:]]++
				}
			}
			t.Errorf("not caught by %d schedules; they met %v", most, others)
		})
	}
}

// TestSpeedProof: a drawn schedule costs at most a few times a world in which nothing
// happens, so that a proof of hundreds of thousands takes an hour and not a night.
func TestSpeedProof(t *testing.T) {
	tier.Speed(t)
	schedules := rapid.Custom(func(t *rapid.T) schedule {
		return drawSchedule(t, rapid.SampledFrom([]platform.TokenAPI{platform.Classic, platform.Stable}).Draw(t, "api"))
	})
	cost := func(plan func(n int) schedule) time.Duration {
		const count = 200
		computed := cpuTime()
		for n := range count {
			if violations, _ := play(t, plan(n), ""); len(violations) > 0 {
				t.Fatalf("schedule %d: %s", n, strings.Join(violations, "\n"))
			}
		}
		return (cpuTime() - computed) / count
	}
	patience.AtMost(t, "a drawn schedule, to a world in which nothing happens", 25, func() float64 {
		seed := int(time.Now().UnixNano() % 1_000_000)
		floor := cost(func(int) schedule { return schedule{API: platform.Classic, Overlap: 5 * time.Minute, Processes: 2} })
		drawn := cost(func(n int) schedule { return schedules.Example(seed + n) })
		t.Logf("%s for a drawn schedule: %.0f in a minute of two cores", drawn, 2*time.Minute.Seconds()/drawn.Seconds())
		return drawn.Seconds() / floor.Seconds()
	})
}
