//go:build unix && chaos

package chaos

import (
	"flag"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

var (
	long   = flag.Duration("chaos", 0, "how long to disturb each engine, outages not counted; 0 leaves these tests out")
	outage = flag.Duration("outage", 0, "how long each outage of a store lasts; 0 means 5, 8 or 15 s")
	logs   = flag.Bool("logs", false, "print the logs of the processes")
)

const processes = 8

// asked leaves a test out unless it is asked for: it takes minutes, and a machine
// that does nothing else.
func asked(t *testing.T) {
	t.Helper()
	if *long == 0 {
		t.Skip("left to make chaos, which passes -chaos")
	}
}

// cutOff is the name of the trouble that has a process lose its way to WeChat.
const cutOff = "cut from WeChat"

// trouble is what is done to one process at a time, or to the store.
type trouble struct {
	name string
	all  bool // it meets every process
	do   func(r *run, w *worker)
}

func troubles(f *fleet) []trouble {
	all := []trouble{
		{"kill", false, func(_ *run, w *worker) {
			w.signal(syscall.SIGKILL)
			w.end()
			w.start()
		}},
		{"freeze", false, func(_ *run, w *worker) {
			w.signal(syscall.SIGSTOP)
			time.Sleep(usual.LeaseTTL + 500*time.Millisecond)
			w.signal(syscall.SIGCONT)
		}},
		{"invalidate", false, (*run).invalidate},
		{cutOff, false, func(_ *run, w *worker) {
			w.tell("cut")
			time.Sleep(2 * time.Second)
			w.tell("mend")
		}},
	}
	if f.shared.server != nil {
		all = append(all, trouble{"cut from the store", false, func(_ *run, w *worker) {
			w.proxy.Cut()
			time.Sleep(2 * time.Second)
			w.proxy.Heal()
		}}, trouble{"store restarted", true, func(r *run, _ *worker) {
			r.fleet.shared.stop(r.t)
			r.fleet.shared.start(r.t)
		}})
	}
	return all
}

// scene is what is done to the store while windows open.
type scene struct {
	name     string
	lasts    time.Duration
	readOnly bool
}

// A token is renewed 13.5 s before its end for callers, so the second one lasts from
// before a window until after the end.
var scenes = []scene{
	{"stopped", 5 * time.Second, false},
	{"stopped", 15 * time.Second, false},
	{"read-only", 8 * time.Second, true},
}

const (
	repairTime  = 3 * time.Second // after a token was invalidated, calls work again
	recoverTime = 5 * time.Second // after a store is back, all that wait have a token
	rest        = recoverTime + time.Second
	ahead       = 300 * time.Millisecond // of a window an outage begins
	phase       = 8 * time.Second        // of troubles before an outage
)

// run is eight processes on one engine while they are disturbed.
type run struct {
	t        *testing.T
	fleet    *fleet
	observer *observer
	accounts []account
	sims     []*simtest.Sim

	began    time.Time
	ready    time.Time // each account had its first token: before, eight processes and a server start
	troubles int
	windows  []window // of troubles
	outages  []out
	killed   []invalidated
}

// window is a time in which one process, or all, had a trouble.
type window struct {
	span
	name   string
	victim int // its worker; -1 for all
}

// out is an outage of the store.
type out struct {
	span
	scene
	windows, ends int
}

// invalidated is a token that WeChat's stand-in invalidated.
type invalidated struct {
	appID string
	at    time.Time
}

// invalidate invalidates the token of an account, as somebody does in the console: first
// that of WeCom's app, then those of the others in turn. That takes 3 s to repair, in which
// nothing else happens.
func (r *run) invalidate(*worker) {
	a := r.accounts[(len(r.accounts)-1+len(r.killed))%len(r.accounts)]
	r.killed = append(r.killed, invalidated{a.AppID, time.Now()})
	r.observer.sims[a.AppID].Kill(a.AppID)
	time.Sleep(repairTime + time.Second)
}

// start starts the stand-ins for WeChat and the workers. Both APIs, with an overlap and
// without one, have three accounts each. On SQLite there is an app of WeCom as well, whose
// token lives longer: an app may not fetch as often as 30 s would need.
func start(t *testing.T, e engine) *run {
	t.Helper()
	r := &run{t: t, began: time.Now(), observer: newObserver()}
	const lives, overlap, each = 30 * time.Second, 5 * time.Second, 6
	for i, o := range []time.Duration{overlap, -1} {
		sim := simtest.New(t, simulator.Options{Accounts: made(1+i*each, each), Life: lives, Overlap: o, Events: -1, Observe: r.observer.observe})
		sim.Inject(simulator.Fault{Path: refusedPath, Errcode: 40001})
		half := accounts(sim, max(o, time.Nanosecond), platform.Classic)
		for n := range half {
			if n%2 == 1 {
				half[n].API = platform.Stable
			}
			key := keyOf(t, half[n])
			r.observer.keys[key.AppID], r.observer.sims[key.AppID] = key, sim
		}
		r.accounts, r.sims = append(r.accounts, half...), append(r.sims, sim)
	}
	if e.name == "SQLite" {
		r.addApp()
	}
	r.fleet = newFleet(t, e, orders{Accounts: r.accounts, Users: 2, Pause: time.Second, Timing: usual, Refused: true, Logs: *logs})
	r.observer.store = r.fleet.store
	r.observer.watch(t)
	return r
}

// addApp adds WeCom and an app of it.
func (r *run) addApp() {
	corp := simtest.New(r.t, simulator.Options{Accounts: []simulator.Account{
		{AppID: "ww0123456789abcdef:1000002", Kind: simulator.WeCom, Secret: "madeUpSecretOfTheApp00000000000000000000002"},
	}, Life: 2 * time.Minute, Events: -1, Observe: r.observer.observe})
	corp.Inject(simulator.Fault{Path: refusedPath, Errcode: 40014})
	app := accounts(corp, 0, weCom)[0]
	r.observer.keys[app.AppID], r.observer.sims[app.AppID] = keyOf(r.t, app), corp
	r.accounts, r.sims = append(r.accounts, app), append(r.sims, corp)
}

// strays lets WeChat's stand-in refuse 1 % of good calls until the function that it
// returns is called.
func (r *run) strays() (end func()) {
	var rules []*simulator.Rule
	for _, sim := range r.sims {
		code := 40001
		if sim.Account().Kind == simulator.WeCom {
			code = 40014
		}
		for _, path := range []string{readPath, writePath, simulator.DomainIPPath} {
			rules = append(rules, sim.Inject(simulator.Fault{Path: path, Rate: 0.01, Errcode: code}))
		}
	}
	return func() {
		for _, rule := range rules {
			rule.Remove()
		}
	}
}

// disturb makes troubles for a while, and then waits until a window is about to open.
func (r *run) disturb(kinds []trouble) {
	end := r.strays()
	for began := time.Now(); time.Since(began) < phase; time.Sleep(300 * time.Millisecond) {
		r.trouble(kinds[r.troubles%len(kinds)])
	}
	end()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if left := time.Until(r.observer.next()); left > 0 && left <= ahead {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatal("FAIL: no window opened in a minute")
		}
	}
}

func (r *run) trouble(kind trouble) {
	n := r.troubles % processes
	r.troubles++
	s := span{from: time.Now()}
	kind.do(r, r.fleet.workers[n])
	s.to = time.Now()
	if kind.all {
		n = -1
		s.to = r.observer.answers(r.t, s.to)
	}
	r.windows = append(r.windows, window{s, kind.name, n})
}

// takeAway carries out a scene, and leaves the processes alone for a moment.
func (r *run) takeAway(s scene) {
	lasts := s.lasts
	if *outage > 0 {
		lasts = *outage
	}
	o := out{scene: s, span: span{from: time.Now()}}
	back := r.fleet.shared.start
	if s.readOnly {
		writable := r.fleet.shared.readOnly(r.t)
		back = func(*testing.T) { writable() }
	} else {
		r.fleet.shared.stop(r.t)
	}
	time.Sleep(lasts)
	back(r.t)
	o.to = time.Now()
	if !s.readOnly {
		o.to = r.observer.answers(r.t, o.to)
	}
	o.windows, o.ends = r.observer.crossed(o.span)
	r.outages = append(r.outages, o)
	time.Sleep(time.Until(o.to.Add(rest)))
}

// TestChaos disturbs eight processes on each engine, takes the store away from all of
// them, and prints what it cost. An engine on which something took too long has the cores
// for itself in the next two attempts; what must not happen at all fails at once.
func TestChaos(t *testing.T) {
	asked(t)
	all := engines()
	verdicts := make([]*verdict, len(all))
	t.Run("engines", func(t *testing.T) {
		for i, e := range all {
			t.Run(e.name, func(t *testing.T) {
				t.Parallel() // two at a time on two cores
				verdicts[i] = chaos(t, e)
			})
		}
	})
	for i, e := range all {
		if verdicts[i] == nil {
			continue // it failed, or was left out
		}
		t.Log("\n" + e.name + "\n" + verdicts[i].String())
		late := verdicts[i].overtime
		for n := 1; len(late) > 0 && n <= alone; n++ {
			patience.Again(t, e.name+": "+strings.Join(late, "; "))
			t.Run(fmt.Sprintf("%s alone, %d", e.name, n), func(t *testing.T) {
				v := chaos(t, e)
				t.Log("\n" + v.String())
				if late = v.overtime; n == alone {
					for _, line := range late {
						t.Error("FAIL: " + line)
					}
				}
			})
		}
	}
}

// alone is how often an engine on which something took too long has the cores for itself.
const alone = 2

// chaos makes one run.
func chaos(t *testing.T, e engine) *verdict {
	t.Helper()
	r := start(t, e)
	kinds := troubles(r.fleet)
	for _, a := range r.accounts {
		patience.Until(t, "the first token of "+a.AppID, func() bool { return issued(r.observer.sims[a.AppID], a.AppID) > 0 })
	}
	r.ready = time.Now()
	var outside time.Duration
	for n := 0; n < len(scenes) || outside < *long; n++ {
		began := time.Now()
		r.disturb(kinds)
		outside += time.Since(began)
		r.takeAway(scenes[n%len(scenes)])
	}
	return r.judge()
}
