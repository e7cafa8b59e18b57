//go:build unix && chaos

package chaos

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"sync"
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

	incidents []incident
	losses    []loss
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
			var l line
			if json.Unmarshal(lines.Bytes(), &l) == nil {
				w.take(l)
			}
		}
	}()
}

func (w *worker) take(l line) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case l.Report != nil:
		w.last = *l.Report
		w.heard++
	case l.Incident != nil:
		w.incidents = append(w.incidents, *l.Incident)
	case l.Loss != nil:
		w.losses = append(w.losses, *l.Loss)
	}
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
	r.Own += o.Own
	r.Longest = max(r.Longest, o.Longest)
	if r.FirstFail == "" {
		r.FirstFail = o.FirstFail
	}
	return r
}

// fleet is eight workers on one store.
type fleet struct {
	t       *testing.T
	shared  shared
	store   custody.Store // the parent's own view
	workers []*worker
}

func newFleet(t *testing.T, e engine, o orders) *fleet {
	t.Helper()
	f := &fleet{t: t, shared: e.open(t)}
	address, server := f.shared.url, f.shared.server
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
	if o.Together {
		for _, w := range f.workers {
			patience.Until(t, "a process is connected", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.heard > 0 })
		}
		for _, w := range f.workers {
			w.tell("begin")
		}
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
func (f *fleet) saves(key custody.Key) int { f.t.Helper(); return len(f.saved(key)) }

func accounts(sim *simtest.Sim, overlap time.Duration, api platform.TokenAPI) (all []account) {
	for _, a := range sim.Accounts() {
		all = append(all, account{AppID: a.AppID, Secret: a.Secret, WeChat: sim.URL, Overlap: overlap, API: api})
	}
	return all
}

// made makes up n accounts, of which the first has that number.
func made(first, n int) (all []simulator.Account) {
	for i := range n {
		i += first - 1
		all = append(all, simulator.Account{
			AppID: fmt.Sprintf("wx%016x", i+1), Secret: fmt.Sprintf("%032x", i+1), DailyFetches: -1, DailyStable: -1,
		})
	}
	return all
}

func keyOf(t *testing.T, a account) custody.Key {
	t.Helper()
	c, err := a.credential(nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.key
}

func issued(sim *simtest.Sim, appID string) int {
	s := sim.Stats(appID)
	return s.Classic.Issued + s.Stable.Issued
}
