package custody_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// TestPrepareHoldsNoLease: while one process waits for what its fetch needs,
// another one that has it renews, and the first one then fetches nothing.
func TestPrepareHoldsNoLease(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		slow := config(i, store)
		slow.Kind.Prepare = func(ctx context.Context) error {
			select {
			case <-time.After(20 * time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		a := open(t, slow)
		synctest.Wait()
		start := time.Now()
		mustToken(t, open(t, config(i, store)), value(1))
		if waited := time.Since(start); waited != 0 {
			t.Errorf("the other process waited %s", waited)
		}
		mustToken(t, a, value(1))
		mustFetches(t, i, 1)
	})
}

// TestPrepareFails: no lease is taken, no fetch is counted, nobody else is told,
// a live value is served on, and the next attempt comes when the error says.
func TestPrepareFails(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		cause := errors.New("there is no access_token")
		c := &counted{Store: store}
		cfg := config(i, c)
		var tries atomic.Int32
		var mended atomic.Bool
		cfg.Kind.Prepare = func(context.Context) error {
			tries.Add(1)
			if !mended.Load() {
				return &custody.FetchError{Class: custody.ClassBlocked, RetryAfter: 10 * time.Minute, Code: 40125, Err: cause}
			}
			return nil
		}
		k := open(t, cfg)
		for range 3 {
			_, err := k.Token(t.Context())
			var e *custody.Error
			if !errors.As(err, &e) || !errors.Is(err, cause) || e.Code != 40125 || e.Class != custody.ClassBlocked || e.RetryAfter != 10*time.Minute {
				t.Fatalf("Token: %v", err)
			}
		}
		if n := c.writes.Load(); n != 0 || tries.Load() != 1 {
			t.Errorf("%d leases, %d tries; want none and one", n, tries.Load())
		}
		mustFetches(t, i, 0)
		healthy := open(t, config(i, store))
		mustToken(t, healthy, value(1))
		pass(31 * time.Second) // it looks meanwhile
		mustToken(t, k, value(1))
		if err := healthy.Close(); err != nil {
			t.Error(err)
		}

		before := tries.Load()
		pass(life - 31*time.Second - 2*time.Minute) // in the window
		mustToken(t, k, value(1))
		if n := tries.Load() - before; n != 1 {
			t.Errorf("%d tries in the window, want 1", n)
		}
		mended.Store(true)
		pass(10 * time.Minute)
		mustToken(t, k, value(2))
		mustFetches(t, i, 2)
	})
}

// TestPrepareThatHangs ends with Close, and after the time that another renewal
// takes at the longest; what it returns then counts as passing.
func TestPrepareThatHangs(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		cfg := config(i, store)
		cfg.Kind.Prepare = func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		k := open(t, cfg)
		start := time.Now()
		_, err := k.Token(t.Context())
		var e *custody.Error
		if took := time.Since(start); !errors.As(err, &e) || e.Class != custody.ClassTransient || took != 28*time.Second {
			t.Errorf("Token: %v after %s; want a failure that passes after 15 + 5 + 8 s", err, took)
		}
		k = open(t, cfg)
		synctest.Wait()
		start = time.Now()
		if err := k.Close(); err != nil || time.Since(start) != 0 {
			t.Errorf("Close: %v after %s", err, time.Since(start))
		}
	})
}
