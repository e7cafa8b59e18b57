package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
)

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
	var last custody.Lease
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
	if journal, ok := f.store(2).(custody.Journal); ok {
		entries, err := journal.Journal(in(t), f.key, 2*calls)
		must(t, "Journal", err)
		if len(entries) != calls {
			t.Fatalf("the journal has %d lines of %d fetches begun at once", len(entries), calls)
		}
	}
}

var beijing = time.FixedZone("UTC+8", 8*60*60)

// sameDay reports whether no midnight of UTC+8 lies between two leases.
func sameDay(a, b custody.Lease) bool {
	return a.Record.Now.In(beijing).YearDay() == b.Record.Now.In(beijing).YearDay()
}

func checkUnfinished(t *testing.T, f *fixture) {
	vanish := func(attempt string, begin bool) (lease custody.Lease, after time.Time) {
		t.Helper()
		for ttl := shortLease; ; ttl *= 2 {
			if ttl == 2*shortLease {
				patience.Again(t, "a Begin within its lease")
			}
			start := time.Now()
			lease = f.acquireAfter(t, 0, attempt, ttl)
			if begin {
				err := f.store(0).Begin(in(t), lease, nil)
				if errors.Is(err, custody.ErrFenced) && time.Since(start) > ttl {
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
