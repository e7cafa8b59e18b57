package memory

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
)

var key = custody.Key{Kind: "access_token", AppID: "wx0123456789abcdef"}

// stepped is a store whose clocks a test moves.
func stepped() (s *Store, now *moment) {
	s = New()
	now = &moment{time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	s.now = func() moment { return *now }
	return s, now
}

func (m *moment) pass(d time.Duration) {
	m.time, m.mono = m.time.Add(d), m.mono+d
}

// TestClockSetBack: a lease ends after its time, and HeldError says no more than
// that, though the wall clock was set back by an hour.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, now := stepped()
	first, err := s.Acquire(ctx, key, "first", 12*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	now.time = now.time.Add(-time.Hour)
	now.pass(2 * time.Second)
	_, err = s.Acquire(ctx, key, "second", 12*time.Second)
	var held *custody.HeldError
	if !errors.As(err, &held) || held.Left != 10*time.Second {
		t.Fatalf("Acquire 2 s later: got %v, want a *HeldError with 10s left", err)
	}
	now.pass(10 * time.Second)
	if err := s.Begin(ctx, first, nil); !errors.Is(err, custody.ErrFenced) {
		t.Fatalf("Begin after the lease's end: got %v, want ErrFenced", err)
	}
	second, err := s.Acquire(ctx, key, "second", 12*time.Second)
	if err != nil {
		t.Fatalf("Acquire after the lease's end: %v", err)
	}
	if second.Fence <= first.Fence {
		t.Fatalf("fence %d after %d, want a higher one", second.Fence, first.Fence)
	}
}

// TestTodayEnds: the count of fetches begins anew at midnight in Beijing.
func TestTodayEnds(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, now := stepped()
	now.time = time.Date(2026, 3, 1, 15, 59, 59, 0, time.UTC) // 23:59:59 in Beijing
	for i, want := range []int{0, 1, 0} {
		lease, err := s.Acquire(ctx, key, strconv.Itoa(i), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if lease.Today != want {
			t.Fatalf("lease %d: Today is %d, want %d", i, lease.Today, want)
		}
		if err := s.Begin(ctx, lease, nil); err != nil {
			t.Fatal(err)
		}
		if err := s.Release(ctx, lease, nil); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			now.pass(time.Second)
		}
	}
}

// TestJournalEnds keeps the promise of 1,000 lines and of 30 days.
func TestJournalEnds(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, now := stepped()
	lease, err := s.Acquire(ctx, key, "attempt", 365*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1500 {
		lease.Detail = strconv.Itoa(i)
		if err := s.Begin(ctx, lease, nil); err != nil {
			t.Fatal(err)
		}
	}
	lines := func(want int, first, last string) {
		t.Helper()
		got, err := s.Journal(ctx, key, 5000)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != want || got[0].Detail != first || got[want-1].Detail != last {
			t.Fatalf("%d lines, want %d, from %s to %s", len(got), want, first, last)
		}
	}
	lines(1000, "1499", "500")
	now.pass(29 * 24 * time.Hour)
	lease.Detail = "later"
	if err := s.Begin(ctx, lease, nil); err != nil {
		t.Fatal(err)
	}
	lines(1000, "later", "501")
	now.pass(2 * 24 * time.Hour)
	lines(1, "later", "later")
	if n := len(s.entries[key].journal); n != 1 {
		t.Fatalf("the store still holds %d lines", n)
	}
}

// TestSaveAgainIsNoSecondLine: a Save that is repeated because its answer was
// lost is one event.
func TestSaveAgainIsNoSecondLine(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := New()
	lease, err := s.Acquire(ctx, key, "attempt", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.Save(ctx, lease, custody.Record{Value: "value", Notes: []byte("notes")}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Journal(ctx, key, 10); err != nil || len(got) != 1 {
		t.Fatalf("Journal: %v, %v; want one line", got, err)
	}
}

// TestWatchNeverWaits: who does not read its notices hinders nobody.
func TestWatchNeverWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New()
		ctx, cancel := context.WithCancel(t.Context())
		keys, err := s.Watch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 * notices {
			lease, err := s.Acquire(ctx, key, fmt.Sprint(i), time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Save(ctx, lease, custody.Record{Value: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
		if len(keys) != notices {
			t.Fatalf("%d notices wait, want %d", len(keys), notices)
		}
		cancel()
		synctest.Wait()
		if len(s.watchers) != 0 {
			t.Fatal("the watcher outlives its ctx")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
