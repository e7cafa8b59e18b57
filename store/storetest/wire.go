package storetest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
)

// Remote is a store on a server, for the checks of what a network does to it.
type Remote struct {
	// Open makes a new and empty place for data and returns two handles on it:
	// one that reaches the server by itself, and one that does so over wire. Both
	// are closed by the suite.
	Open func(t *testing.T) (direct, wired custody.Store, wire Wire)
}

// Wire is a connection that can be disturbed.
type Wire interface {
	Freeze()               // nothing passes, and no side notices
	LoseAnswers(after int) // after so many more answers none passes; requests do
	Cut()                  // connections are broken off and refused
	Heal()                 // it works again; what was under way is broken off
}

// lateness is how long after the end of its ctx a call may last: the second of
// the contract, and something for a busy machine.
const lateness = time.Second + 500*time.Millisecond

// wired is a fixture with a wire. Handle 0 is direct, handle 1 is not.
type wired struct {
	*fixture
	wire Wire
}

func newWired(t *testing.T, options Options) *wired {
	t.Helper()
	direct, far, wire := options.Remote.Open(t)
	f := newFixture(t, Options{Precision: options.Precision, Handles: 2, Open: func(*testing.T) func(*testing.T) custody.Store {
		handles := []custody.Store{direct, far}
		return func(*testing.T) custody.Store {
			next := handles[0]
			handles = handles[1:]
			return next
		}
	}})
	return &wired{fixture: f, wire: wire}
}

// step is one call of a renewal, made by the far handle.
type step struct {
	name string
	call func(ctx context.Context) error
}

// renewal is the calls of a renewal and what belongs to it. Each may be
// repeated, because its answer may be lost.
func (w *wired) renewal(attempt string, record *custody.Record, lease *custody.Lease) []step {
	s := w.store(1)
	return []step{
		{"Acquire", func(ctx context.Context) error {
			got, err := s.Acquire(ctx, w.key, attempt, longLease)
			if err == nil {
				*lease = got
				*record = sample(got, "value of "+attempt)
			}
			return err
		}},
		{"Begin", func(ctx context.Context) error { return s.Begin(ctx, *lease, nil) }},
		{"Save", func(ctx context.Context) error { return s.Save(ctx, *lease, *record) }},
		{"Release", func(ctx context.Context) error { return s.Release(ctx, *lease, nil) }},
		{"Shorten", func(ctx context.Context) error {
			return s.Shorten(ctx, w.key, lease.Fence, record.End.Add(-time.Minute))
		}},
	}
}

// checkFrozen: while nothing passes, each call ends with its ctx, by whatever
// way that ends; afterwards the next call works.
func checkFrozen(t *testing.T, w *wired) {
	var record custody.Record
	var lease custody.Lease
	steps := w.renewal("attempt", &record, &lease)
	s := w.store(1)
	steps = append(steps, step{"Load", func(ctx context.Context) error { _, err := s.Load(ctx, w.key); return err }})
	if j, ok := s.(custody.Journal); ok {
		steps = append(steps, step{"Journal", func(ctx context.Context) error { _, err := j.Journal(ctx, w.key, 1); return err }})
	}
	for _, step := range steps {
		for reason, end := range map[error]func(context.Context) (context.Context, context.CancelFunc){
			context.DeadlineExceeded: func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, 100*time.Millisecond)
			},
			context.Canceled: func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				time.AfterFunc(100*time.Millisecond, cancel)
				return ctx, cancel
			},
		} {
			what := step.name + " on a frozen network with a ctx of 100ms"
			patience.InTime(t, what, 100*time.Millisecond+lateness, func() time.Duration {
				w.wire.Freeze()
				defer w.wire.Heal()
				ctx, cancel := end(t.Context())
				defer cancel()
				start := time.Now()
				err := step.call(ctx)
				took := time.Since(start)
				if !errors.Is(err, reason) {
					t.Errorf("%s: got %v, want an error that is %v", what, err, reason)
				}
				mustFail(t, what, err)
				return took
			})
		}
		must(t, step.name+" after the network came back", step.call(in(t)))
	}
}

// checkLostAnswers: a call whose answer is lost, at whatever moment, has
// happened or has not; repeating it does what one call does.
func checkLostAnswers(t *testing.T, w *wired) {
	lost := 0
	for i := range 5 {
		for after := 0; w.loseAnswer(t, i, after); after++ {
			lost++
			if after > 20 {
				t.Fatalf("call %d of a renewal takes more than 20 answers", i)
			}
		}
	}
	if lost < 5 {
		t.Fatalf("%d answers were lost, want at least one of each call", lost)
	}
}

// loseAnswer makes a renewal whose call number i loses what the server answers after
// so many answers, and is repeated. It reports whether the call needed that many.
func (w *wired) loseAnswer(t *testing.T, i, after int) (lost bool) {
	t.Helper()
	w.key.AppID = "wx0123456789abcdef-" + string(rune('a'+i)) + string(rune('a'+after))
	var record custody.Record
	var lease custody.Lease
	steps := w.renewal("attempt", &record, &lease)
	must(t, "Load", ignoreNotFound(w.load1(t))) // so that connections are open
	for _, step := range steps[:i] {
		must(t, step.name, step.call(in(t)))
	}
	step := steps[i]
	w.wire.LoseAnswers(after)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	err := step.call(ctx)
	cancel()
	w.wire.Heal()
	if err != nil {
		mustFail(t, step.name+" without an answer", err)
		must(t, step.name+" again", step.call(in(t)))
	}
	for _, step := range steps[i+1:] {
		must(t, step.name, step.call(in(t)))
	}
	record.End = record.End.Add(-time.Minute) // the last step
	w.mustLoad(t, 0, record, lease.Fence)
	if saves := w.saves(t); saves != 1 {
		t.Fatalf("%s without an answer: the journal has %d lines of the Save, want 1", step.name, saves)
	}
	next := w.acquire(t, 0, "next", longLease)
	if n := next.Today; sameDay(lease, next) && (n < 1 || n > 2 || n == 2 && step.name != "Begin") {
		t.Fatalf("%s without an answer: %d fetches are counted", step.name, n)
	}
	if !next.Unfinished.IsZero() {
		t.Fatalf("%s without an answer: the fetch counts as unfinished", step.name)
	}
	return err != nil
}

// saves counts the lines about a Save in the journal; 1 where there is no journal.
func (w *wired) saves(t *testing.T) int {
	t.Helper()
	j, ok := w.store(0).(custody.Journal)
	if !ok {
		return 1
	}
	entries, err := j.Journal(in(t), w.key, 10)
	must(t, "Journal", err)
	saves := 0
	for _, entry := range entries {
		if entry.Event == custody.EventSave {
			saves++
		}
	}
	return saves
}

func (w *wired) load1(t *testing.T) error {
	_, err := w.store(1).Load(in(t), w.key)
	return err
}

func ignoreNotFound(err error) error {
	if errors.Is(err, custody.ErrNotFound) {
		return nil
	}
	return err
}

// checkCut: a server that is unavailable is an error at once, and one that was unavailable is
// used again without an error, though every connection is a new one.
func checkCut(t *testing.T, w *wired) {
	must(t, "Load", ignoreNotFound(w.load1(t)))
	for range 3 {
		w.wire.Cut()
		start := time.Now()
		err := w.load1(t)
		if took := time.Since(start); took > callTime/2 {
			t.Errorf("Load without a server took %v", took)
		}
		mustFail(t, "Load without a server", err)
		w.wire.Heal()
		must(t, "Load after the server came back", ignoreNotFound(w.load1(t)))
		lease := w.acquireAfter(t, 1, "attempt", shortLease)
		w.wire.Heal() // the idle connections break
		must(t, "Release over a broken connection", w.store(1).Release(in(t), lease, nil))
	}
	watcher, ok := w.store(1).(custody.Watcher)
	if !ok {
		return
	}
	keys, err := watcher.Watch(t.Context())
	must(t, "Watch", err)
	w.wire.Cut()
	w.wire.Heal()
	timeout := time.After(callTime)
	for n := 0; ; n++ {
		lease := w.acquireAfter(t, 0, "attempt", longLease)
		must(t, "Release", w.store(0).Release(in(t), lease, []byte{byte(n)}))
		select {
		case key, open := <-keys:
			if !open || key != w.key {
				t.Fatalf("notice of %v, open: %v", key, open)
			}
			return
		case <-time.After(100 * time.Millisecond):
		case <-timeout:
			t.Fatal("no notice after the connection broke")
		}
	}
}

// checkProcessClock lets the clock of the process be wrong. In a bubble it
// is in the year 2000 and jumps by what a test sleeps, while the server's
// goes its way.
func checkProcessClock(t *testing.T, f *fixture) {
	before := f.acquire(t, 0, "before", longLease)
	must(t, "Save", f.store(0).Save(in(t), before, sample(before, "value")))
	synctest.Test(t, func(t *testing.T) {
		s := f.open(t)
		defer func() { must(t, "Close", s.Close()) }()
		ctx := t.Context()
		lease, err := s.Acquire(ctx, f.key, "attempt", 30*time.Minute)
		must(t, "Acquire", err)
		if d := lease.Record.Now.Sub(before.Record.Now); d < 0 || d > 10*time.Minute {
			t.Fatalf("the store's time is %v, though it was %v a moment ago", lease.Record.Now, before.Record.Now)
		}
		if d := f.differ(lease.Record, sample(before, "value"), before.Fence); d != "" {
			t.Fatalf("the lease's record: %s", d)
		}
		time.Sleep(time.Hour) //nolint:forbidigo // steps the clock of the bubble, which is the process's alone
		_, err = s.Acquire(ctx, f.key, "other", 30*time.Minute)
		mustBeHeld(t, err, 30*time.Minute)
		must(t, "Begin", s.Begin(ctx, lease, nil))
		record := sample(lease, "second")
		must(t, "Save", s.Save(ctx, lease, record))
		time.Sleep(time.Hour) //nolint:forbidigo // again
		got, err := s.Load(ctx, f.key)
		must(t, "Load", err)
		if d := f.differ(got, record, lease.Fence); d != "" {
			t.Fatalf("Load: %s", d)
		}
		if left := got.End.Sub(got.Now); left < 50*time.Minute || left > time.Hour {
			t.Fatalf("%v are left of an hour that just began", left)
		}
	})
	if got := f.load(t, 0); got.Value != "second" {
		t.Fatalf("a process whose clock is right finds %q, want %q", got.Value, "second")
	}
}
