package sqlite

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
)

// clocks are those of a process: the wall clock can be set.
type clocks struct {
	wall time.Time
	mono time.Duration
}

func (c *clocks) pass(d time.Duration) { c.wall, c.mono = c.wall.Add(d), c.mono+d }

func (c *clocks) drive(stores ...*Store) {
	for _, s := range stores {
		s.now = func() time.Time { return c.wall }
		s.mono = func() time.Duration { return c.mono }
	}
}

func mustBeHeld(t *testing.T, s *Store, least, most time.Duration) {
	t.Helper()
	_, err := s.Acquire(t.Context(), key, "second", 12*time.Second)
	var held *custody.HeldError
	if !errors.As(err, &held) || held.Left < least || held.Left > most {
		t.Fatalf("Acquire: got %v, want a *HeldError with %v to %v left", err, least, most)
	}
}

// TestClockSetBack: a lease lasts no longer than its time after another process
// saw it first, though the machine's clock was set back by an hour.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	a, b := open(t, path, nil), open(t, path, nil)
	c := &clocks{wall: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	c.drive(a, b)
	first, err := a.Acquire(t.Context(), key, "first", 12*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	c.wall = c.wall.Add(-time.Hour)
	c.pass(2 * time.Second)
	mustBeHeld(t, b, 12*time.Second, 12*time.Second)
	mustBeHeld(t, a, 10*time.Second, 10*time.Second) // this one saw it before
	c.pass(11 * time.Second)
	mustBeHeld(t, b, time.Second, time.Second)
	c.pass(time.Second)
	second, err := b.Acquire(t.Context(), key, "second", 12*time.Second)
	if err != nil {
		t.Fatalf("Acquire after the lease's end: %v", err)
	}
	if second.Fence <= first.Fence {
		t.Errorf("fence %d after %d, want a higher one", second.Fence, first.Fence)
	}
	if err := a.Begin(t.Context(), first, nil); !errors.Is(err, custody.ErrFenced) {
		t.Errorf("Begin of the replaced holder: got %v, want ErrFenced", err)
	}
}

// TestLeaseOfAnotherLength: a process that asks for short leases does not cut
// another's long one.
func TestLeaseOfAnotherLength(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	a, b := open(t, path, nil), open(t, path, nil)
	c := &clocks{wall: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	c.drive(a, b)
	if _, err := a.Acquire(t.Context(), key, "long", time.Minute); err != nil {
		t.Fatal(err)
	}
	mustBeHeld(t, b, time.Minute, time.Minute)
	c.pass(59 * time.Second)
	mustBeHeld(t, b, time.Second, time.Second)
	c.pass(time.Second)
	if _, err := b.Acquire(t.Context(), key, "second", 12*time.Second); err != nil {
		t.Fatal(err)
	}
}

// TestTodayEnds: the count of fetches begins anew at midnight in Beijing.
func TestTodayEnds(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), nil)
	c := &clocks{wall: time.Date(2026, 3, 1, 15, 59, 59, 0, time.UTC)} // 23:59:59 in Beijing
	c.drive(s)
	for i, want := range []int{0, 1, 0} {
		lease, err := s.Acquire(t.Context(), key, fmt.Sprint(i), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if lease.Today != want {
			t.Fatalf("lease %d: Today is %d, want %d", i, lease.Today, want)
		}
		if err := errors.Join(s.Begin(t.Context(), lease, nil), s.Release(t.Context(), lease, nil)); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			c.pass(time.Second)
		}
	}
}
