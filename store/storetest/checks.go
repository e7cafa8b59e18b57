package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong"
)

func checkNotFound(t *testing.T, f *fixture) {
	if _, err := f.store(0).Load(in(t), f.key); !errors.Is(err, zhongkong.ErrNotFound) {
		t.Fatalf("Load of a key that was never stored: got %v, want ErrNotFound", err)
	}
	must(t, "Shorten of a key that was never stored", f.store(0).Shorten(in(t), f.key, 1, time.Now()))
	if _, err := f.store(0).Load(in(t), f.key); !errors.Is(err, zhongkong.ErrNotFound) {
		t.Fatalf("Load after Shorten of a key that was never stored: got %v, want ErrNotFound", err)
	}
}

func checkSaveAndLoad(t *testing.T, f *fixture) {
	var last zhongkong.Record
	var fence int64
	for i, value := range []string{"first", "second"} {
		lease := f.acquire(t, i, "attempt-"+value, longLease)
		if d := f.differ(lease.Record, last, fence); d != "" {
			t.Fatalf("the lease's record, which is the second look: %s", d)
		}
		record := sample(lease, value)
		record.SealKey = "0a1b2c3d"
		must(t, "Save", f.store(i).Save(in(t), lease, record))
		for j := range f.handles {
			f.mustLoad(t, j, record, lease.Fence)
		}
		last, fence = record, lease.Fence
	}
}

func checkKeysApart(t *testing.T, f *fixture) {
	base := f.key
	other := func(change func(*zhongkong.Key)) zhongkong.Key {
		key := base
		change(&key)
		return key
	}
	keys := []zhongkong.Key{
		base,
		other(func(k *zhongkong.Key) { k.Kind = "jsapi_ticket" }),
		other(func(k *zhongkong.Key) { k.API = "classic" }),
		other(func(k *zhongkong.Key) { k.API = "" }),
		other(func(k *zhongkong.Key) { k.Host = "127.0.0.1:8080" }),
		other(func(k *zhongkong.Key) { k.AppID = strings.ToUpper(base.AppID) }),
		other(func(k *zhongkong.Key) { k.AppID = base.AppID + "%" }),
	}
	saved := make([]zhongkong.Record, len(keys))
	fences := make([]int64, len(keys))
	for i, key := range keys {
		f.key = key
		lease := f.acquire(t, i, fmt.Sprintf("attempt-%d", i), longLease)
		saved[i], fences[i] = sample(lease, fmt.Sprintf("value of %v", key)), lease.Fence
		must(t, "Save", f.store(i).Save(in(t), lease, saved[i]))
	}
	for i, key := range keys {
		f.key = key
		f.mustLoad(t, i+1, saved[i], fences[i])
	}
}

func checkSizes(t *testing.T, f *fixture) {
	full := func(s string, n int) string { return strings.Repeat(s, n/len(s)+1)[:n] }
	for name, text := range map[string]string{
		"ascii":   full("abcdefghij", zhongkong.MaxValueBytes),
		"unicode": full("中控令牌", zhongkong.MaxValueBytes/12*12),
		"signs":   `'"\;--%_?$1:name{}` + "\t\r\n\u2028\U0001F512",
	} {
		lease := f.acquire(t, 0, full("attempt-"+name+"-", zhongkong.MaxAttemptBytes), longLease)
		record := sample(lease, text)
		record.Notes = []byte(text)
		must(t, "Save of "+name, f.store(0).Save(in(t), lease, record))
		f.mustLoad(t, 1, record, lease.Fence)
	}
	lease := f.acquire(t, 0, "all bytes", longLease)
	record := sample(lease, "value")
	record.Notes = nil
	for i := range zhongkong.MaxNotesBytes {
		record.Notes = append(record.Notes, byte(i))
	}
	must(t, "Save of notes with every byte", f.store(0).Save(in(t), lease, record))
	f.mustLoad(t, 1, record, lease.Fence)
}

func checkPrecision(t *testing.T, f *fixture) {
	var lease zhongkong.Lease
	var record zhongkong.Record
	for _, us := range []int{0, 1, 499, 500, 999999, 123456} {
		lease = f.acquire(t, 0, fmt.Sprintf("attempt-%d", us), longLease)
		record = sample(lease, "value")
		record.Life = 7200*time.Second + 123456*time.Microsecond
		record.End = lease.Record.Now.Truncate(time.Second).Add(time.Hour + time.Duration(us)*time.Microsecond)
		must(t, "Save", f.store(0).Save(in(t), lease, record))
		f.mustLoad(t, 1, record, lease.Fence)
	}
	record.End = record.End.Add(-time.Minute - 333*time.Microsecond)
	must(t, "Shorten", f.store(0).Shorten(in(t), f.key, lease.Fence, record.End))
	f.mustLoad(t, 1, record, lease.Fence)
}

// checkCallersBytes: notes belong to whoever holds them, on both sides.
func checkCallersBytes(t *testing.T, f *fixture) {
	lease := f.acquire(t, 0, "attempt", longLease)
	record := sample(lease, "value")
	want := record
	want.Notes = bytes.Clone(record.Notes)
	must(t, "Save", f.store(0).Save(in(t), lease, record))
	clear(record.Notes)
	got := f.mustLoad(t, 0, want, lease.Fence)
	clear(got.Notes)
	f.mustLoad(t, 0, want, lease.Fence)
}

func checkOneWinner(t *testing.T, f *fixture) {
	const racers = 64
	appid := f.key.AppID
	for round := range 5 {
		f.key.AppID = fmt.Sprintf("%s-%d", appid, round)
		ctx := in(t)
		var winners atomic.Int32
		errs := make([]error, racers)
		each(racers, func(i int) {
			_, errs[i] = f.store(i).Acquire(ctx, f.key, fmt.Sprintf("racer-%d", i), longLease)
			if errs[i] == nil {
				winners.Add(1)
			}
		})
		for _, err := range errs {
			if err != nil {
				mustBeHeld(t, err, longLease)
			}
		}
		if n := winners.Load(); n != 1 {
			t.Fatalf("round %d: %d of %d racers got the lease, want 1", round, n, racers)
		}
	}
}

func checkHeld(t *testing.T, f *fixture) {
	const ttl = 10 * time.Second
	lease := f.acquire(t, 0, "holder", ttl)
	for i := range 4 {
		_, err := f.store(i).Acquire(in(t), f.key, fmt.Sprintf("other-%d", i), longLease)
		mustBeHeld(t, err, ttl)
	}
	must(t, "Release", f.store(1).Release(in(t), lease, nil))
	f.acquire(t, 2, "other", ttl)
}

func checkOwnLeaseAgain(t *testing.T, f *fixture) {
	lease := f.acquire(t, 0, "holder", longLease)
	must(t, "Begin", f.store(0).Begin(in(t), lease, nil))
	again := f.acquire(t, 1, "holder", longLease)
	if again.Fence != lease.Fence {
		t.Fatalf("the same attempt got the fence %d and then %d, want its own lease again", lease.Fence, again.Fence)
	}
	if !again.Unfinished.IsZero() {
		t.Fatalf("Unfinished is %v: a holder's own fetch is not a vanished holder's", again.Unfinished)
	}
	if again.Today != 1 {
		t.Fatalf("Today is %d, want 1", again.Today)
	}
	_, err := f.store(2).Acquire(in(t), f.key, "other", longLease)
	mustBeHeld(t, err, longLease)
	record := sample(lease, "value")
	must(t, "Save", f.store(3).Save(in(t), again, record))
	f.mustLoad(t, 0, record, lease.Fence)
}

func checkFencesGrow(t *testing.T, f *fixture) {
	var last zhongkong.Lease
	for i := range 20 {
		lease := f.acquire(t, i, fmt.Sprintf("attempt-%d", i), longLease)
		if lease.Fence <= last.Fence {
			t.Fatalf("fence %d after %d, want a higher one", lease.Fence, last.Fence)
		}
		// The engine may read its clock once for the fence and once for the
		// answer; it has not passed the answer before.
		if now := last.Record.Now; !now.IsZero() && lease.Fence < now.UnixMicro() {
			t.Fatalf("fence %d is below %d, the µs since 1970 that the store's clock has passed before", lease.Fence, now.UnixMicro())
		}
		if i%2 == 0 {
			must(t, "Save", f.store(i+1).Save(in(t), lease, sample(lease, "value")))
		} else {
			must(t, "Release", f.store(i+1).Release(in(t), lease, nil))
		}
		last = lease
	}
}

func checkLateHolderReplaced(t *testing.T, f *fixture) {
	late := f.acquire(t, 0, "late", shortLease)
	lease := f.acquireAfter(t, 1, "next", longLease)
	if lease.Fence <= late.Fence {
		t.Fatalf("fence %d after %d, want a higher one", lease.Fence, late.Fence)
	}
	refused := func() {
		t.Helper()
		mustFence(t, "Begin of a replaced holder", f.store(0).Begin(in(t), late, []byte("late")))
		mustFence(t, "Save of a replaced holder", f.store(0).Save(in(t), late, sample(late, "late")))
		mustFence(t, "Release of a replaced holder", f.store(0).Release(in(t), late, []byte("late")))
	}
	refused()
	_, err := f.store(2).Acquire(in(t), f.key, "third", longLease)
	mustBeHeld(t, err, longLease)
	record := sample(lease, "value")
	must(t, "Save", f.store(1).Save(in(t), lease, record))
	refused()
	f.mustLoad(t, 2, record, lease.Fence)
}

func checkLateHolderAlone(t *testing.T, f *fixture) {
	lease := f.acquire(t, 0, "late", shortLease)
	wait(t, 2*shortLease)
	mustFence(t, "Begin after the lease's end", f.store(0).Begin(in(t), lease, nil))
	record := sample(lease, "value")
	must(t, "Save of a late holder whom nobody replaced", f.store(0).Save(in(t), lease, record))
	f.mustLoad(t, 1, record, lease.Fence)

	lease = f.acquire(t, 0, "late again", shortLease)
	wait(t, 2*shortLease)
	must(t, "Release of a late holder whom nobody replaced", f.store(0).Release(in(t), lease, []byte("why")))
	record.Notes = []byte("why")
	got := f.load(t, 1)
	if d := f.differ(got, record, got.Fence); d != "" {
		t.Fatalf("Load: %s", d)
	}
}

func checkSaveAgain(t *testing.T, f *fixture) {
	lease := f.acquire(t, 0, "attempt", longLease)
	record := sample(lease, "value")
	for range 3 {
		must(t, "Save", f.store(0).Save(in(t), lease, record))
		f.mustLoad(t, 1, record, lease.Fence)
	}
	mustFence(t, "Begin after Save, which ends the lease", f.store(0).Begin(in(t), lease, nil))
	shorter := record
	shorter.End = record.End.Add(-time.Minute)
	must(t, "Shorten", f.store(1).Shorten(in(t), f.key, lease.Fence, shorter.End))
	must(t, "Save again after Shorten", f.store(0).Save(in(t), lease, record))
	f.mustLoad(t, 1, shorter, lease.Fence)
	next := f.acquire(t, 1, "next", longLease)
	mustFence(t, "Save again after a higher fence was given out", f.store(0).Save(in(t), lease, record))

	must(t, "Release", f.store(1).Release(in(t), next, nil))
	must(t, "Release again", f.store(1).Release(in(t), next, nil))
	record = sample(next, "late but not replaced")
	must(t, "Save after Release under the highest fence", f.store(1).Save(in(t), next, record))
	f.mustLoad(t, 0, record, next.Fence)
}

func checkBegin(t *testing.T, f *fixture) {
	lease := f.acquire(t, 0, "attempt", longLease)
	if lease.Today != 0 {
		t.Fatalf("Today is %d in a new store, want 0", lease.Today)
	}
	for range 3 {
		must(t, "Begin", f.store(0).Begin(in(t), lease, nil))
	}
	must(t, "Release", f.store(0).Release(in(t), lease, nil))
	mustFence(t, "Begin after Release", f.store(0).Begin(in(t), lease, nil))
	next := f.acquire(t, 1, "next", longLease)
	if !sameDay(lease, next) {
		t.Log("midnight in Beijing passed; the count of today is not checked")
	} else if next.Today != 3 {
		t.Fatalf("Today is %d after three fetches, want 3: each Begin counts, a refused one does not", next.Today)
	}
}

// checkBeginsAddUp finds the store that reads, adds and writes in three steps.
func checkBeginsAddUp(t *testing.T, f *fixture) {
	lease := f.acquire(t, 0, "attempt", longLease)
	const calls = 32
	ctx := in(t)
	errs := make([]error, calls)
	each(calls, func(i int) { errs[i] = f.store(i).Begin(ctx, lease, nil) })
	for _, err := range errs {
		must(t, "Begin", err)
	}
	again := f.acquire(t, 1, "attempt", longLease)
	if sameDay(lease, again) && again.Today != calls {
		t.Fatalf("Today is %d after %d fetches begun at once", again.Today, calls)
	}
	if journal, ok := f.store(2).(zhongkong.Journal); ok {
		entries, err := journal.Journal(in(t), f.key, 2*calls)
		must(t, "Journal", err)
		if len(entries) != calls {
			t.Fatalf("the journal has %d lines of %d fetches begun at once", len(entries), calls)
		}
	}
}

var beijing = time.FixedZone("UTC+8", 8*60*60)

// sameDay reports whether no midnight of UTC+8 lies between two leases.
func sameDay(a, b zhongkong.Lease) bool {
	return a.Record.Now.In(beijing).YearDay() == b.Record.Now.In(beijing).YearDay()
}

func checkUnfinished(t *testing.T, f *fixture) {
	vanish := func(attempt string, begin bool) (lease zhongkong.Lease, after time.Time) {
		t.Helper()
		for ttl := shortLease; ; ttl *= 2 {
			start := time.Now()
			lease = f.acquireAfter(t, 0, attempt, ttl)
			if begin {
				err := f.store(0).Begin(in(t), lease, nil)
				if errors.Is(err, zhongkong.ErrFenced) && time.Since(start) > ttl {
					attempt += "'" // a slow machine: the lease was over before
					continue
				}
				must(t, "Begin", err)
			}
			return lease, f.loaded(t, 0).Now
		}
	}
	between := func(got, from, to time.Time) {
		t.Helper()
		if got.IsZero() || got.Before(from) || !to.IsZero() && got.After(to) {
			t.Fatalf("Unfinished is %v, want the vanished holder's Begin, between %v and %v", got, from, to)
		}
	}
	// An attempt that did not begin leaves nothing behind.
	vanish("idle", false)
	lease, after := vanish("first", true)
	if !lease.Unfinished.IsZero() {
		t.Fatalf("Unfinished is %v after a holder that fetched nothing", lease.Unfinished)
	}
	second, _ := vanish("second", false)
	between(second.Unfinished, lease.Record.Now, after)
	third, after := vanish("third", true)
	if !third.Unfinished.Equal(second.Unfinished) {
		t.Fatalf("Unfinished is %v, then %v: the second holder fetched nothing", second.Unfinished, third.Unfinished)
	}
	// Of two unknown outcomes the later one counts.
	fourth := f.acquireAfter(t, 1, "fourth", longLease)
	between(fourth.Unfinished, third.Record.Now, after)
	must(t, "Save", f.store(1).Save(in(t), fourth, sample(fourth, "value")))
	if l := f.acquire(t, 0, "fifth", shortLease); !l.Unfinished.IsZero() {
		t.Fatalf("Unfinished is %v after a Save", l.Unfinished)
	}
	vanish("sixth", true)
	seventh := f.acquireAfter(t, 1, "seventh", longLease)
	if seventh.Unfinished.IsZero() {
		t.Fatal("Unfinished is not set after a holder that began and vanished")
	}
	must(t, "Release", f.store(1).Release(in(t), seventh, nil))
	if l := f.acquire(t, 0, "eighth", longLease); !l.Unfinished.IsZero() {
		t.Fatalf("Unfinished is %v after a Release", l.Unfinished)
	}
}

func checkShorten(t *testing.T, f *fixture) {
	lease := f.acquire(t, 0, "attempt", longLease)
	record := sample(lease, "value")
	must(t, "Save", f.store(0).Save(in(t), lease, record))
	shorten := func(fence int64, end time.Time) {
		t.Helper()
		must(t, "Shorten", f.store(0).Shorten(in(t), f.key, fence, end))
		f.mustLoad(t, 1, record, lease.Fence)
	}
	earlier := record.End.Add(-time.Minute)
	shorten(lease.Fence-1, earlier)
	shorten(lease.Fence+1, earlier)
	shorten(lease.Fence, record.End.Add(time.Minute))
	shorten(lease.Fence, record.End)
	record.End = earlier
	shorten(lease.Fence, earlier)
	shorten(lease.Fence, earlier.Add(time.Second))
	record.End = lease.Record.Now.Truncate(time.Second).Add(-time.Minute) // over already
	shorten(lease.Fence, record.End)

	next := f.acquire(t, 1, "next", longLease)
	shorten(next.Fence, record.End.Add(-time.Minute)) // its fence, but not its value yet
	record.End = record.End.Add(-time.Second)
	shorten(lease.Fence, record.End) // somebody else's lease is no hindrance
	must(t, "Save after Shorten", f.store(1).Save(in(t), next, sample(next, "newer")))
	must(t, "Shorten of an older value", f.store(0).Shorten(in(t), f.key, lease.Fence, earlier.Add(-time.Hour)))
	f.mustLoad(t, 0, sample(next, "newer"), next.Fence)
}

func checkNotes(t *testing.T, f *fixture) {
	notes := func(i int, want string) {
		t.Helper()
		if got := f.loaded(t, i); string(got.Notes) != want {
			t.Fatalf("Notes are %q, want %q", got.Notes, want)
		}
	}
	lease := f.acquire(t, 0, "first", longLease)
	must(t, "Begin", f.store(0).Begin(in(t), lease, []byte("begun")))
	notes(1, "begun")
	must(t, "Begin", f.store(0).Begin(in(t), lease, nil))
	notes(1, "begun")
	must(t, "Release", f.store(0).Release(in(t), lease, nil))
	notes(1, "begun")
	if record := f.load(t, 1); record.Value != "" || record.Fence != 0 {
		t.Fatalf("a record with notes alone has the value %q and the fence %d", record.Value, record.Fence)
	}
	lease = f.acquire(t, 1, "second", longLease)
	if string(lease.Record.Notes) != "begun" {
		t.Fatalf("the lease's notes are %q, want %q", lease.Record.Notes, "begun")
	}
	must(t, "Release", f.store(1).Release(in(t), lease, []byte("released")))
	notes(0, "released")
	lease = f.acquire(t, 0, "third", longLease)
	record := sample(lease, "value")
	must(t, "Save", f.store(0).Save(in(t), lease, record))
	lease = f.acquire(t, 0, "fourth", longLease)
	must(t, "Begin", f.store(0).Begin(in(t), lease, []byte{}))
	notes(1, "")
	record.Notes = nil
	must(t, "Save without notes", f.store(0).Save(in(t), lease, record))
	f.mustLoad(t, 1, record, lease.Fence)
}

func checkEndedContext(t *testing.T, f *fixture) {
	lease := f.acquire(t, 0, "first", longLease)
	record := sample(lease, "value")
	must(t, "Save", f.store(0).Save(in(t), lease, record))
	saved := lease
	lease = f.acquire(t, 0, "second", longLease)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	s := f.store(1)
	calls := map[string]func() error{
		"Load": func() error { _, err := s.Load(ended, f.key); return err },
		"Acquire": func() error {
			_, err := s.Acquire(ended, f.key, "second", longLease)
			return err
		},
		"Begin":   func() error { return s.Begin(ended, lease, []byte("ended")) },
		"Save":    func() error { return s.Save(ended, lease, sample(lease, "ended")) },
		"Release": func() error { return s.Release(ended, lease, []byte("ended")) },
		"Shorten": func() error {
			return s.Shorten(ended, f.key, saved.Fence, record.End.Add(-time.Minute))
		},
	}
	if j, ok := s.(zhongkong.Journal); ok {
		calls["Journal"] = func() error { _, err := j.Journal(ended, f.key, 1); return err }
	}
	for name, call := range calls {
		start := time.Now()
		err := call()
		if took := time.Since(start); took > time.Second {
			t.Errorf("%s with a ctx that had ended took %v, want at most 1 s", name, took)
		}
		mustFail(t, name+" with a ctx that had ended", err)
	}
	f.mustLoad(t, 0, record, saved.Fence)
	_, err := f.store(0).Acquire(in(t), f.key, "third", longLease)
	mustBeHeld(t, err, longLease)
	if again := f.acquire(t, 0, "second", longLease); again.Fence != lease.Fence || again.Today != 0 {
		t.Fatalf("the lease has the fence %d and %d fetches, want %d and none", again.Fence, again.Today, lease.Fence)
	}
	must(t, "Release", f.store(0).Release(in(t), lease, nil))
	if _, err := s.Acquire(ended, f.key, "fourth", longLease); err == nil {
		t.Error("Acquire with a ctx that had ended gave the lease")
	}
	f.acquire(t, 0, "fifth", longLease) // not held by the fourth
}

func checkClose(t *testing.T, f *fixture) {
	lease := f.acquire(t, 0, "attempt", longLease)
	s := f.store(0)
	must(t, "Close", s.Close())
	must(t, "Close again", s.Close())
	_, err := s.Load(in(t), f.key)
	mustFail(t, "Load after Close", err)
	_, err = s.Acquire(in(t), f.key, "next", longLease)
	mustFail(t, "Acquire after Close", err)
	mustFail(t, "Begin after Close", s.Begin(in(t), lease, nil))
	mustFail(t, "Save after Close", s.Save(in(t), lease, sample(lease, "value")))
	mustFail(t, "Release after Close", s.Release(in(t), lease, nil))
	mustFail(t, "Shorten after Close", s.Shorten(in(t), f.key, lease.Fence, time.Now()))
	if w, ok := s.(zhongkong.Watcher); ok {
		_, err := w.Watch(in(t))
		mustFail(t, "Watch after Close", err)
	}
	if j, ok := s.(zhongkong.Journal); ok {
		_, err := j.Journal(in(t), f.key, 1)
		mustFail(t, "Journal after Close", err)
	}
	if len(f.handles) > 1 {
		must(t, "Save through another handle", f.store(1).Save(in(t), lease, sample(lease, "value")))
	}
}

// mustFail wants an error that says nothing about the record.
func mustFail(t *testing.T, call string, err error) {
	t.Helper()
	var held *zhongkong.HeldError
	switch {
	case err == nil:
		t.Errorf("%s: no error", call)
	case errors.Is(err, zhongkong.ErrNotFound), errors.Is(err, zhongkong.ErrFenced), errors.As(err, &held):
		t.Errorf("%s: got %q, which says something about the record", call, err)
	}
}

func checkWatcher(t *testing.T, f *fixture) {
	watcher, ok := f.store(0).(zhongkong.Watcher)
	if !ok {
		t.Logf("%T has no Watch: processes see a change when they look next", f.store(0))
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	keys, err := watcher.Watch(ctx)
	must(t, "Watch", err)
	// A notice may be lost, so what caused it is done again until one arrives.
	notice := func(what string, cause func()) {
		t.Helper()
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		timeout := time.After(callTime)
		for cause(); ; {
			select {
			case key, open := <-keys:
				if !open {
					t.Fatalf("the channel ended before its ctx")
				}
				if key != f.key {
					t.Fatalf("notice of %v, want %v", key, f.key)
				}
				return
			case <-tick.C:
				cause()
			case <-timeout:
				t.Fatalf("no notice of %s", what)
			}
		}
	}
	drain := func() {
		for {
			select {
			case <-keys:
			case <-time.After(50 * time.Millisecond):
				return
			}
		}
	}
	n := 0
	acquire := func() zhongkong.Lease {
		n++
		return f.acquire(t, 1, fmt.Sprintf("attempt-%d", n), longLease)
	}
	var last zhongkong.Lease
	end := time.Now().Add(time.Hour)
	notice("a Save", func() {
		last = acquire()
		must(t, "Save", f.store(1).Save(in(t), last, sample(last, fmt.Sprintf("value-%d", n))))
	})
	drain()
	notice("a Shorten", func() {
		end = end.Add(-10 * time.Minute)
		must(t, "Shorten", f.store(1).Shorten(in(t), f.key, last.Fence, end))
	})
	drain()
	notice("a Release with notes", func() {
		must(t, "Release", f.store(1).Release(in(t), acquire(), fmt.Appendf(nil, "notes-%d", n)))
	})
	cancel()
	mustEnd(t, keys, "its ctx ended")

	keys, err = watcher.Watch(t.Context())
	must(t, "Watch", err)
	must(t, "Close", f.store(0).Close())
	mustEnd(t, keys, "the store was closed")
}

func mustEnd(t *testing.T, keys <-chan zhongkong.Key, why string) {
	t.Helper()
	timeout := time.After(callTime)
	for {
		select {
		case _, open := <-keys:
			if !open {
				return
			}
		case <-timeout:
			t.Fatalf("the channel of Watch is still open after %s", why)
		}
	}
}

func checkJournal(t *testing.T, f *fixture) {
	journal, ok := f.store(0).(zhongkong.Journal)
	if !ok {
		t.Logf("%T has no Journal", f.store(0))
		return
	}
	entries, err := journal.Journal(in(t), f.key, 10)
	must(t, "Journal of a key that was never stored", err)
	if len(entries) > 0 {
		t.Fatalf("Journal of a key that was never stored: %v", entries)
	}
	first := f.acquire(t, 1, "first", longLease)
	first.Detail = "the window opened: 窗口"
	must(t, "Begin", f.store(1).Begin(in(t), first, nil))
	first.Detail = ""
	must(t, "Save", f.store(1).Save(in(t), first, sample(first, "value")))
	second := f.acquire(t, 2, "second", longLease)
	second.Detail = "errcode 45009"
	must(t, "Release", f.store(2).Release(in(t), second, nil))
	second.Key.Host = "elsewhere"
	other, err := f.store(2).Acquire(in(t), second.Key, "third", longLease)
	must(t, "Acquire", err)
	must(t, "Release", f.store(2).Release(in(t), other, nil))

	want := []zhongkong.Entry{
		{Event: zhongkong.EventRelease, Fence: second.Fence, Attempt: "second", Detail: "errcode 45009"},
		{Event: zhongkong.EventSave, Fence: first.Fence, Attempt: "first"},
		{Event: zhongkong.EventBegin, Fence: first.Fence, Attempt: "first", Detail: "the window opened: 窗口"},
	}
	after := f.load(t, 0).Now
	for _, limit := range []int{10, 3, 2, 1, 0} {
		got, err := journal.Journal(in(t), f.key, limit)
		must(t, "Journal", err)
		if len(got) != min(limit, len(want)) {
			t.Fatalf("Journal with the limit %d: %d entries, want %d: %v", limit, len(got), min(limit, len(want)), got)
		}
		for i, entry := range got {
			at := entry.At
			entry.At = time.Time{}
			if entry != want[i] {
				t.Fatalf("entry %d, newest first, is %+v, want %+v", i, entry, want[i])
			}
			if at.Before(first.Record.Now) || at.After(after) {
				t.Fatalf("entry %d is of %v, want a time between %v and %v", i, at, first.Record.Now, after)
			}
		}
	}
}
