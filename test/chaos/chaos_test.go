//go:build unix

package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store/open"
)

var long = flag.Duration("chaos", 0, "how long to disturb each engine; 0 leaves these tests out")

const processes = 8

// asked leaves a test out unless it is asked for: it takes minutes, and a machine
// that does nothing else.
func asked(t *testing.T) {
	t.Helper()
	if *long == 0 {
		t.Skip("left to make chaos, which passes -chaos")
	}
}

// engine is a store that eight processes share.
type engine struct {
	name string
	url  func(t *testing.T) (url string, server *testserver.Server) // server is nil where there is none
}

func engines() []engine {
	server := func(e testserver.Engine, start func(context.Context) (*testserver.Server, error)) engine {
		return engine{string(e), func(t *testing.T) (string, *testserver.Server) {
			t.Helper()
			s := testserver.Own(t, e, start)
			return s.URL, s
		}}
	}
	return []engine{
		{"SQLite", func(t *testing.T) (string, *testserver.Server) {
			t.Helper()
			return "sqlite:" + filepath.Join(t.TempDir(), "zhongkong.db"), nil
		}},
		server(testserver.Redis, func(ctx context.Context) (*testserver.Server, error) {
			return testserver.StartRedis(ctx, "--appendonly", "yes", "--appendfsync", "always")
		}),
		server(testserver.Postgres, func(ctx context.Context) (*testserver.Server, error) { return testserver.StartPostgres(ctx) }),
		server(testserver.MySQL, func(ctx context.Context) (*testserver.Server, error) { return testserver.StartMySQL(ctx) }),
	}
}

// worker is one of the processes.
type worker struct {
	t     *testing.T
	o     orders
	proxy *testserver.Proxy // to the store; nil on SQLite

	mu    sync.Mutex // guards what follows
	cmd   *exec.Cmd
	stdin io.WriteCloser
	over  chan struct{} // closed when its output ended
	last  report        // of the present process
	past  report        // of those before
	heard int           // reports of all of them
}

func (w *worker) start() {
	w.t.Helper()
	text, err := json.Marshal(w.o)
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), workerVariable+"="+string(text), "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	over := make(chan struct{})
	w.mu.Lock()
	w.cmd, w.stdin, w.over = cmd, stdin, over
	w.mu.Unlock()
	go func() {
		defer close(over)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var r report
			if json.Unmarshal(lines.Bytes(), &r) == nil {
				w.mu.Lock()
				w.last = r
				w.heard++
				w.mu.Unlock()
			}
		}
	}()
}

// news waits for one more report, or for the end of the process.
func (w *worker) news() {
	w.t.Helper()
	count := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.heard
	}
	before, deadline := count(), time.After(time.Minute)
	for count() == before {
		select {
		case <-w.over:
			return
		case <-deadline:
			w.t.Fatal("a process said nothing for a minute")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (w *worker) signal(s os.Signal) { _ = w.cmd.Process.Signal(s) }

func (w *worker) tell(line string) { _, _ = io.WriteString(w.stdin, line+"\n") }

// end waits for the process, which is told to end or was killed.
func (w *worker) end() {
	_ = w.stdin.Close()
	<-w.over
	_ = w.cmd.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.past = w.past.plus(w.last)
	w.last = report{}
}

func (r report) plus(o report) report {
	r.Calls += o.Calls
	r.Failed += o.Failed
	r.NoToken += o.NoToken
	r.Cut += o.Cut
	r.Longest = max(r.Longest, o.Longest)
	if r.FirstFail == "" {
		r.FirstFail = o.FirstFail
	}
	return r
}

// fleet is eight workers on one store.
type fleet struct {
	t       *testing.T
	url     string
	server  *testserver.Server
	store   custody.Store // the parent's own view
	workers []*worker
}

func newFleet(t *testing.T, e engine, o orders) *fleet {
	t.Helper()
	address, server := e.url(t)
	f := &fleet{t: t, url: address, server: server}
	store, err := open.Open(t.Context(), address, open.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f.store = store
	t.Cleanup(func() { _ = store.Close() })
	for id := range processes {
		w := &worker{t: t, o: o}
		w.o.ID, w.o.Store = id, address
		if server != nil {
			w.proxy = testserver.NewProxy(t, server.Addr)
			u, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			u.Host = w.proxy.Addr
			w.o.Store = u.String()
		}
		f.workers = append(f.workers, w)
		w.start()
		t.Cleanup(func() { _ = w.cmd.Process.Kill() })
	}
	return f
}

// end ends all workers and returns what their users met.
func (f *fleet) end() report {
	var total report
	var ends sync.WaitGroup
	for _, w := range f.workers {
		ends.Go(w.end)
	}
	ends.Wait()
	for _, w := range f.workers {
		total = total.plus(w.past)
	}
	return total
}

// journal reads the journal of an account, oldest line last.
func (f *fleet) journal(key custody.Key) []custody.Entry {
	f.t.Helper()
	var entries []custody.Entry
	var err error
	if !patience.Wait(func() bool { // a server may have been restarted just now
		entries, err = f.store.(custody.Journal).Journal(f.t.Context(), key, 1000)
		return err == nil
	}) {
		f.t.Fatal(err)
	}
	return entries
}

// saves returns how many renewals of an account were saved, by the journal.
func (f *fleet) saves(key custody.Key) (n int) {
	f.t.Helper()
	for _, e := range f.journal(key) {
		if e.Event == custody.EventSave {
			n++
		}
	}
	return n
}

func accounts(sim *simtest.Sim, overlap time.Duration, api platform.TokenAPI) (all []account) {
	for _, a := range sim.Accounts() {
		all = append(all, account{AppID: a.AppID, Secret: a.Secret, WeChat: sim.URL, Overlap: overlap, API: api})
	}
	return all
}

func made(n int) (all []simulator.Account) {
	for i := range n {
		all = append(all, simulator.Account{
			AppID: fmt.Sprintf("wx%016x", i+1), Secret: fmt.Sprintf("%032x", i+1), DailyFetches: -1, DailyStable: -1,
		})
	}
	return all
}

func keyOf(t *testing.T, a account) custody.Key {
	t.Helper()
	api, err := platform.New(platform.Config{Base: a.WeChat})
	if err != nil {
		t.Fatal(err)
	}
	return api.Key(a.AppID, a.API)
}

func issued(sim *simtest.Sim, appID string) int {
	s := sim.Stats(appID)
	return s.Classic.Issued + s.Stable.Issued
}

// TestNobodyIsKilled: eight processes with 100 users each over 20 renewals: 21
// tokens are issued to each account and no call fails, with WeChat's overlap and
// without any.
func TestNobodyIsKilled(t *testing.T) {
	asked(t)
	for _, e := range engines() {
		t.Run(e.name, func(t *testing.T) {
			const renewals, lives, overlap = 20, 4 * time.Second, 2 * time.Second
			with := simtest.New(t, simulator.Options{Accounts: made(1), Life: lives, Overlap: overlap, Events: -1})
			without := simtest.New(t, simulator.Options{Accounts: made(1), Life: lives, Overlap: -1, Events: -1})
			all := append(accounts(with, overlap, platform.Classic), accounts(without, time.Nanosecond, platform.Classic)...)
			f := newFleet(t, e, orders{Accounts: all, Users: 50, Pause: time.Second, Timing: timing})
			for n := 1; n <= renewals+1; n++ {
				patience.Until(t, fmt.Sprintf("token %d of each account", n), func() bool {
					return issued(with, all[0].AppID) >= n && issued(without, all[1].AppID) >= n
				})
			}
			total := f.end()
			for i, sim := range []*simtest.Sim{with, without} {
				saves, tokens := f.saves(keyOf(t, all[i])), issued(sim, all[i].AppID)
				if tokens != saves {
					t.Errorf("%d tokens issued, %d saved", tokens, saves)
				}
			}
			if total.Failed+total.NoToken+total.Cut > 0 {
				t.Errorf(
					"of %d calls %d were refused, %d found no token, %d did not arrive: %s",
					total.Calls,
					total.Failed,
					total.NoToken,
					total.Cut,
					total.FirstFail,
				)
			}
			t.Logf("%s: %d + %d tokens issued in as many renewals, %d calls, none failed, longest wait with a live token %s",
				e.name, issued(with, all[0].AppID), issued(without, all[1].AppID), total.Calls, total.Longest)
		})
	}
}

// trouble is what is done to one process at a time, or to the store.
type trouble struct {
	name string
	all  bool // it meets every process
	do   func(f *fleet, w *worker)
}

func troubles(f *fleet) []trouble {
	all := []trouble{
		{"kill", false, func(_ *fleet, w *worker) {
			w.signal(syscall.SIGKILL)
			w.end()
			w.start()
		}},
		{"freeze", false, func(_ *fleet, w *worker) {
			w.signal(syscall.SIGSTOP)
			time.Sleep(3 * time.Second) // past its lease
			w.signal(syscall.SIGCONT)
		}},
		{"cut from WeChat", false, func(_ *fleet, w *worker) {
			w.tell("cut")
			time.Sleep(2 * time.Second)
			w.tell("mend")
		}},
	}
	if f.server != nil {
		all = append(all, trouble{"cut from the store", false, func(_ *fleet, w *worker) {
			w.proxy.Cut()
			time.Sleep(2 * time.Second)
			w.proxy.Heal()
		}}, trouble{"store restarted", true, func(f *fleet, _ *worker) {
			if err := errors.Join(f.server.Stop(), f.server.Start(f.t.Context())); err != nil {
				f.t.Fatal(err)
			}
		}})
	}
	return all
}

// TestChaos disturbs eight processes on each engine, and prints what it cost.
func TestChaos(t *testing.T) {
	asked(t)
	const lives, overlap = 30 * time.Second, 5 * time.Second
	var table strings.Builder
	fmt.Fprintf(&table, "%-11s %8s %9s %7s %9s %8s %8s %7s %9s %13s\n", "engine", "troubles", "renewals", "issued", "API calls",
		"refused", "no token", "cut", "allowed", "longest wait")
	for _, e := range engines() {
		t.Run(e.name, func(t *testing.T) {
			sim := simtest.New(t, simulator.Options{Accounts: made(12), Life: lives, Overlap: overlap, Events: 100_000})
			all := accounts(sim, overlap, platform.Classic)
			f := newFleet(t, e, orders{Accounts: all, Users: 8, Pause: time.Second, Timing: timing})
			for _, a := range all {
				patience.Until(t, "the first token of "+a.AppID, func() bool { return issued(sim, a.AppID) > 0 })
			}
			var windows []window
			kinds := troubles(f)
			for n, end := 0, time.Now().Add(*long); time.Now().Before(end); n++ {
				w := f.workers[n%len(f.workers)]
				trouble := kinds[n%len(kinds)]
				begin := time.Now()
				trouble.do(f, w)
				victim := w.o.address()
				if trouble.all {
					victim = ""
				}
				windows = append(windows, window{victim, begin.Add(-timing.FetchTimeout - timing.SaveTimeout), time.Now().Add(timing.SaveTimeout)})
				time.Sleep(300 * time.Millisecond)
			}
			time.Sleep(3 * time.Second)
			total := f.end()
			renewals, tokens := 0, 0
			for _, a := range all {
				renewals += f.saves(keyOf(t, a))
				tokens += issued(sim, a.AppID)
			}
			allowed := fetchesWithin(sim, windows)
			fmt.Fprintf(&table, "%-11s %8d %9d %7d %9d %8d %8d %7d %9d %13s\n", e.name, len(windows), renewals, tokens, total.Calls,
				total.Failed, total.NoToken, total.Cut, allowed, total.Longest.Round(time.Microsecond))
			if tokens-renewals > allowed {
				t.Errorf("%d tokens for %d renewals: more than the %d fetches that a trouble met", tokens, renewals, allowed)
			}
			if total.Failed > 0 {
				t.Errorf("%d users saw a refusal: %s", total.Failed, total.FirstFail)
			}
		})
	}
	t.Log("\n" + table.String())
}

// window is a time in which a fetch of one process, or of all, may have been met
// by a trouble between its send and its Save.
type window struct {
	victim   string // the address from which its process calls; "" for all
	from, to time.Time
}

// fetchesWithin counts the tokens that the simulator issued in the windows.
func fetchesWithin(sim *simtest.Sim, windows []window) (n int) {
	for _, event := range sim.Events() {
		if event.Path != simulator.TokenPath || event.Errcode != 0 {
			continue
		}
		for _, w := range windows {
			if (w.victim == "" || w.victim == event.Caller) && event.Time.After(w.from) && event.Time.Before(w.to) {
				n++
				break
			}
		}
	}
	return n
}
