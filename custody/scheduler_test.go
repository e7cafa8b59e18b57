package custody_test

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// TestSchedulerIsShared: 300 credentials need no goroutine each, their renewals
// ahead of time are paced, and each of them is in time.
func TestSchedulerIsShared(t *testing.T) { // alone: it counts all goroutines
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		before := runtime.NumGoroutine()
		const (
			accounts = 300
			pace     = 2 // a second
		)
		s := custody.NewScheduler(custody.SchedulerConfig{MaxRenewalsPerSecond: pace})
		t.Cleanup(s.Close)
		var keepers []*custody.Keeper
		for n := range accounts {
			cfg := config(i, struct{ custody.Store }{store}) // which loads none together: each begins by itself
			cfg.Key.AppID = fmt.Sprintf("wx%016d", n)
			cfg.Scheduler = s
			keepers = append(keepers, open(t, cfg))
		}
		pass(time.Minute)
		mustFetches(t, i, accounts)
		if n := runtime.NumGoroutine() - before; n > accounts/10 {
			t.Errorf("%d goroutines for %d idle credentials", n, accounts)
		}
		var worst int
		for range 70 {
			before := len(i.asked())
			pass(time.Second)
			if len(i.asked()) != before {
				t.Fatal("renewed in the first minutes")
			}
		}
		for range 7200 {
			before := len(i.asked())
			pass(time.Second)
			worst = max(worst, len(i.asked())-before)
		}
		if worst > pace+1 {
			t.Errorf("%d renewals began in one second, want at most %d", worst, pace)
		}
		for _, k := range keepers {
			if !k.Status().Live {
				t.Fatal("a credential was not renewed in time")
			}
		}
		mustFetches(t, i, 2*accounts)
	})
}

// TestCallersAreNotPaced: who waits for a token gets it at once.
func TestCallersAreNotPaced(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		s := custody.NewScheduler(custody.SchedulerConfig{MaxRenewalsPerSecond: 0.001})
		t.Cleanup(s.Close)
		for n := range 20 {
			cfg := config(i, store)
			cfg.Key.AppID = fmt.Sprintf("wx%016d", n)
			cfg.Scheduler = s
			k := open(t, cfg)
			start := time.Now()
			if _, err := k.Token(t.Context()); err != nil || time.Since(start) != 0 {
				t.Fatalf("Token: %v after %s", err, time.Since(start))
			}
		}
	})
}

// TestSchedulerClosedFirst: Keepers go on, without renewing ahead of time.
func TestSchedulerClosedFirst(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		s := custody.NewScheduler(custody.SchedulerConfig{})
		cfg := config(i, store)
		cfg.Scheduler = s
		k := open(t, cfg)
		mustToken(t, k, value(1))
		s.Close()
		s.Close()
		pass(life - 21*time.Second)
		mustFetches(t, i, 1)
		mustToken(t, k, value(1))
		pass(time.Minute)
		mustToken(t, k, value(2))
	})
}

func TestSchedulerConfigIsChecked(t *testing.T) {
	t.Parallel()
	for _, pace := range []float64{-1, math.NaN(), math.Inf(1)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("NewScheduler took a pace of %v", pace)
				}
			}()
			custody.NewScheduler(custody.SchedulerConfig{MaxRenewalsPerSecond: pace})
		}()
	}
}

// counted counts the calls of a store.
type counted struct {
	custody.Store
	loads, writes atomic.Int32
}

func (c *counted) Load(ctx context.Context, key custody.Key) (custody.Record, error) {
	c.loads.Add(1)
	return c.Store.Load(ctx, key)
}

func (c *counted) Acquire(ctx context.Context, key custody.Key, attempt string, ttl time.Duration) (custody.Lease, error) {
	c.writes.Add(1)
	return c.Store.Acquire(ctx, key, attempt, ttl)
}

func (c *counted) Begin(ctx context.Context, lease custody.Lease, notes []byte) error {
	c.writes.Add(1)
	return c.Store.Begin(ctx, lease, notes)
}

func (c *counted) Save(ctx context.Context, lease custody.Lease, record custody.Record) error {
	c.writes.Add(1)
	return c.Store.Save(ctx, lease, record)
}

func (c *counted) Release(ctx context.Context, lease custody.Lease, notes []byte) error {
	c.writes.Add(1)
	return c.Store.Release(ctx, lease, notes)
}

// TestRenewalCosts at most three store calls that write.
func TestRenewalCosts(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		c := &counted{Store: store}
		k := open(t, config(i, c))
		mustToken(t, k, value(1))
		if n := c.writes.Load(); n != 3 {
			t.Errorf("the first renewal made %d writing calls, want Acquire, Begin and Save", n)
		}
		reads := c.loads.Load()
		pass(life - 300*time.Second)
		if n := c.loads.Load() - reads; n != 0 {
			t.Errorf("%d reads while nothing was to do", n)
		}
		pass(280 * time.Second)
		mustToken(t, k, value(2))
		if n := c.writes.Load(); n != 6 {
			t.Errorf("two renewals made %d writing calls, want 6", n)
		}
	})
}
