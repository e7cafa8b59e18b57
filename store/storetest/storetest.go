// Package storetest checks that a store keeps the contract of [custody.Store].
// A store of your own needs one line:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) custody.Store { return mystore.New() })
//	}
//
// A store that several processes share is checked better with [RunWith], which
// opens several handles on the same data.
//
// Whatever else a store can do is found out and checked as well: [custody.Watcher],
// [custody.Journal], [custody.ManyLoader], [store.Ledger], [store.Queue] and callback.Once.
// [RunOnce] and [RunQueue] check the last two by themselves.
//
// The suite takes its times from the store's answers, so a store whose clock is
// not this machine's passes as well. It needs a few seconds, most of them
// waiting for leases to end.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store"
)

// Options describe what the suite cannot find out by itself.
type Options struct {
	// Open makes a new place for data, empty, and returns a function that opens
	// one more handle on that place. Each handle stands for a process. A handle
	// is closed by the suite.
	Open func(t *testing.T) (handle func(t *testing.T) custody.Store)

	// Handles is how many are opened on a place: 0 means 4, 1 suits a store that
	// one process has for itself.
	Handles int

	// Precision is how finely the store keeps Record.End; 0 means the
	// microsecond of the contract. A store whose format is given, such as one
	// that keeps Unix milliseconds, says so here.
	Precision time.Duration

	// ServerClock says that the store's clock is not the process's: one that is
	// wrong by hours has no effect.
	ServerClock bool

	// Remote lets the suite disturb the network between the store and its server.
	// Nil: there is none.
	Remote *Remote
}

// Run checks a store that one process has for itself. Each call of open returns
// a new and empty one.
func Run(t *testing.T, open func(t *testing.T) custody.Store) {
	t.Helper()
	RunWith(t, Options{
		Open:    func(*testing.T) func(*testing.T) custody.Store { return open },
		Handles: 1,
	})
}

// RunWith checks a store as options describe it.
func RunWith(t *testing.T, options Options) {
	t.Helper()
	if options.Handles <= 0 {
		options.Handles = 4
	}
	if options.Precision <= 0 {
		options.Precision = time.Microsecond
	}
	for _, c := range []struct {
		name  string
		check func(t *testing.T, f *fixture)
	}{
		{"NotFound", checkNotFound},
		{"SaveAndLoad", checkSaveAndLoad},
		{"KeysApart", checkKeysApart},
		{"Sizes", checkSizes},
		{"Limits", checkLimits},
		{"Precision", checkPrecision},
		{"CallersBytes", checkCallersBytes},
		{"OneWinner", checkOneWinner},
		{"Held", checkHeld},
		{"OwnLeaseAgain", checkOwnLeaseAgain},
		{"FencesGrow", checkFencesGrow},
		{"LateHolderReplaced", checkLateHolderReplaced},
		{"LateHolderAlone", checkLateHolderAlone},
		{"SaveAgain", checkSaveAgain},
		{"Begin", checkBegin},
		{"BeginsAddUp", checkBeginsAddUp},
		{"Unfinished", checkUnfinished},
		{"Shorten", checkShorten},
		{"Notes", checkNotes},
		{"EndedContext", checkEndedContext},
		{"Close", checkClose},
		{"Watcher", checkWatcher},
		{"Journal", checkJournal},
		{"LoadMany", checkLoadMany},
		{"Ledger", checkLedger},
		{"Model", checkModel},
		{"Drawn", checkDrawn},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.check(t, newFixture(t, options))
		})
	}
	f := newFixture(t, options)
	if _, ok := f.store(0).(Once); ok {
		t.Run("Once", func(t *testing.T) { RunOnce(t, options) })
	}
	if _, ok := f.store(0).(store.Queue); ok {
		t.Run("Queue", func(t *testing.T) { RunQueue(t, options) })
	}
	if options.ServerClock {
		t.Run("ProcessClock", func(t *testing.T) {
			checkProcessClock(t, newFixture(t, options))
		})
	}
	if options.Remote == nil {
		return
	}
	for _, c := range []struct {
		name  string
		check func(t *testing.T, w *wired)
	}{
		{"Frozen", checkFrozen},
		{"LostAnswers", checkLostAnswers},
		{"Cut", checkCut},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.check(t, newWired(t, options))
		})
	}
}

// callTime is longer than any sound store needs for a call, on a slow machine.
const callTime = 20 * time.Second

// shortLease is a lease that a check waits to see the end of; longLease is one
// that lasts as long as any check.
const (
	shortLease = 60 * time.Millisecond
	longLease  = time.Hour
)

// fixture is one place for data and the handles on it.
type fixture struct {
	open      func(t *testing.T) custody.Store // one more handle
	handles   []custody.Store
	precision time.Duration
	key       custody.Key
}

func newFixture(t *testing.T, options Options) *fixture {
	t.Helper()
	f := &fixture{
		precision: options.Precision,
		key:       custody.Key{Kind: "access_token", API: "stable", AppID: "wx0123456789abcdef"},
	}
	f.open = options.Open(t)
	for range options.Handles {
		handle := f.open(t)
		t.Cleanup(func() {
			if err := handle.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		f.handles = append(f.handles, handle)
	}
	return f
}

// store returns the i-th handle, or the only one.
func (f *fixture) store(i int) custody.Store { return f.handles[i%len(f.handles)] }

// in gives a call its ctx.
func in(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callTime)
	t.Cleanup(cancel)
	return ctx
}

func (f *fixture) acquire(t *testing.T, i int, attempt string, ttl time.Duration) custody.Lease {
	t.Helper()
	lease, err := f.store(i).Acquire(in(t), f.key, attempt, ttl)
	if err != nil {
		t.Fatalf("Acquire(%q): %v", attempt, err)
	}
	if lease.Key != f.key || lease.Attempt != attempt {
		t.Fatalf("Acquire(%q) returned the lease of %q for %v", attempt, lease.Attempt, lease.Key)
	}
	return lease
}

// acquireAfter waits for the end of the lease that is in the way.
func (f *fixture) acquireAfter(t *testing.T, i int, attempt string, ttl time.Duration) custody.Lease {
	t.Helper()
	ctx := in(t)
	for {
		lease, err := f.store(i).Acquire(ctx, f.key, attempt, ttl)
		if err == nil {
			return lease
		}
		var held *custody.HeldError
		if !errors.As(err, &held) {
			t.Fatalf("Acquire(%q): %v", attempt, err)
		}
		wait(t, held.Left)
	}
}

// wait is for leases: no store tells when one has ended.
func wait(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d + time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
		t.Fatal("the test ended while it waited for a lease")
	}
}

func (f *fixture) load(t *testing.T, i int) custody.Record {
	t.Helper()
	record, err := f.store(i).Load(in(t), f.key)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return record
}

// loaded is load for a key that may have been leased only: whether that is a
// record without anything or none is the store's choice.
func (f *fixture) loaded(t *testing.T, i int) custody.Record {
	t.Helper()
	record, err := f.store(i).Load(in(t), f.key)
	if err != nil && !errors.Is(err, custody.ErrNotFound) {
		t.Fatalf("Load: %v", err)
	}
	return record
}

func must(t *testing.T, call string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", call, err)
	}
}

func mustFence(t *testing.T, call string, err error) {
	t.Helper()
	if !errors.Is(err, custody.ErrFenced) {
		t.Fatalf("%s: got %v, want ErrFenced", call, err)
	}
}

func mustBeHeld(t *testing.T, err error, ttl time.Duration) {
	t.Helper()
	var held *custody.HeldError
	if !errors.As(err, &held) {
		t.Fatalf("Acquire of a lease that is held: got %v, want a *HeldError", err)
	}
	if held.Left <= 0 || held.Left > ttl {
		t.Fatalf("HeldError.Left is %v, want more than 0 and at most the lease's %v", held.Left, ttl)
	}
}

// sample is a record that ends an hour after lease was given.
func sample(lease custody.Lease, value string) custody.Record {
	return custody.Record{
		Value: value,
		End:   lease.Record.Now.Add(time.Hour).Truncate(time.Second),
		Life:  2 * time.Hour,
		Notes: []byte(`{"note":"` + value + `"}`),
	}
}

// differ says how got, as a store answered it, is not what was saved under
// fence; "" when it is.
func (f *fixture) differ(got, saved custody.Record, fence int64) string {
	switch off := got.End.Sub(saved.End).Abs(); {
	case got.Value != saved.Value:
		return fmt.Sprintf("Value is %q, want %q", got.Value, saved.Value)
	case got.SealKey != saved.SealKey:
		return fmt.Sprintf("SealKey is %q, want %q", got.SealKey, saved.SealKey)
	case got.End.IsZero() != saved.End.IsZero() || off >= f.precision:
		return fmt.Sprintf("End is %v, want %v", got.End, saved.End)
	case got.Life != saved.Life:
		return fmt.Sprintf("Life is %v, want %v", got.Life, saved.Life)
	case got.Fence != fence:
		return fmt.Sprintf("Fence is %d, want %d", got.Fence, fence)
	case !bytes.Equal(got.Notes, saved.Notes):
		return fmt.Sprintf("Notes are %q, want %q", got.Notes, saved.Notes)
	case got.Now.IsZero():
		return "Now is not set: an answer says what time it is in the store"
	}
	return ""
}

func (f *fixture) mustLoad(t *testing.T, i int, saved custody.Record, fence int64) custody.Record {
	t.Helper()
	got := f.load(t, i)
	if d := f.differ(got, saved, fence); d != "" {
		t.Fatalf("Load: %s", d)
	}
	return got
}

// each runs f n times at once.
func each(n int, f func(i int)) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	all.Wait()
}
