package custody_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// gathering makes Keepers that share a Scheduler. It counts their fetches, and the calls
// that the store did not answer in time.
func gathering(t *testing.T, n int, store custody.Store, life time.Duration) (keepers []*custody.Keeper, fetches, late *atomic.Int64) {
	t.Helper()
	late = new(atomic.Int64)
	trace := &custody.Trace{Stored: func(info custody.StoredInfo) {
		if errors.Is(info.Err, context.DeadlineExceeded) {
			late.Add(1)
		}
	}}
	s := custody.NewScheduler(custody.SchedulerConfig{})
	t.Cleanup(s.Close)
	fetches = new(atomic.Int64)
	for i := range n {
		keepers = append(keepers, open(t, custody.Config{
			Key: custody.Key{Kind: "access_token", AppID: fmt.Sprintf("wx%016d", i)}, Store: store, Scheduler: s, Trace: trace,
			Kind: custody.Kind{Idempotent: true, Fetch: func(context.Context, custody.Mode) (custody.Grant, error) {
				return custody.Grant{Value: custody.NewSecret(fmt.Sprint("value", fetches.Add(1))), ExpiresIn: life}, nil
			}},
		}))
	}
	return keepers, fetches, late
}

// ask asks all Keepers at once and returns how many callers got no token, and the last
// error.
func ask(t *testing.T, keepers []*custody.Keeper, patience time.Duration) (failed int, last error) {
	t.Helper()
	var mu sync.Mutex
	var callers sync.WaitGroup
	for _, k := range keepers {
		callers.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if _, err := k.Token(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed, last = failed+1, err
			}
		})
	}
	callers.Wait()
	return failed, last
}

// narrow is a store that serves few calls at once, each in its time, as a server with a
// pool of connections does.
type narrow struct {
	custody.Store
	places chan struct{}
	takes  time.Duration
	frozen atomic.Bool
}

func (s *narrow) serve(ctx context.Context) error {
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	case <-ctx.Done():
		return ctx.Err()
	}
	takes := s.takes
	if s.frozen.Load() {
		takes = time.Hour
	}
	select {
	case <-time.After(takes):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *narrow) Acquire(ctx context.Context, key custody.Key, attempt string, ttl time.Duration) (custody.Lease, error) {
	if err := s.serve(ctx); err != nil {
		return custody.Lease{}, err
	}
	return s.Store.Acquire(ctx, key, attempt, ttl)
}

func (s *narrow) Begin(ctx context.Context, lease custody.Lease, notes []byte) error {
	return errors.Join(s.serve(ctx), s.Store.Begin(ctx, lease, notes))
}

func (s *narrow) Save(ctx context.Context, lease custody.Lease, record custody.Record) error {
	return errors.Join(s.serve(ctx), s.Store.Save(ctx, lease, record))
}

// TestCrowdOnANarrowStoreAtScale: a store that answers is not said to be silent because many
// accounts wait for it, and none is fetched for twice.
func TestCrowdOnANarrowStoreAtScale(t *testing.T) {
	accounts := tier.Scale(t, 500, 5000)
	bubble(t, func(t *testing.T, _ *issuer, memory *memory.Store) {
		store := &narrow{Store: memory, places: make(chan struct{}, 8), takes: 10 * time.Millisecond}
		keepers, fetches, late := gathering(t, accounts, store, 2*time.Hour)
		if failed, err := ask(t, keepers, time.Minute); failed > 0 {
			t.Errorf("%d of %d callers got no token: %v", failed, accounts, err)
		}
		if n := fetches.Load(); n != int64(accounts) {
			t.Errorf("%d fetches for %d accounts", n, accounts)
		}
		if n := late.Load(); n > int64(accounts/100) {
			t.Errorf("%d calls were given no time to be answered", n)
		}
	})
}

// TestCrowdOnADeadStoreAtScale: where the store answers nobody, nobody waits for a turn: all
// accounts are served without it after StorePatience.
func TestCrowdOnADeadStoreAtScale(t *testing.T) {
	accounts := tier.Scale(t, 200, 2000)
	bubble(t, func(t *testing.T, _ *issuer, memory *memory.Store) {
		store := &narrow{Store: memory, places: make(chan struct{}, accounts), takes: time.Millisecond}
		store.frozen.Store(true)
		keepers, _, _ := gathering(t, accounts, store, 2*time.Hour)
		began := time.Now()
		if failed, err := ask(t, keepers, time.Minute); failed > 0 {
			t.Errorf("%d of %d callers got no token: %v", failed, accounts, err)
		}
		if took := time.Since(began); took > 25*time.Second {
			t.Errorf("it took %s until all were served without the store, whose patience is 15 s", took)
		}
	})
}

// TestShortLivesAtScale: 5,000 tokens that live for a minute are all renewed in time, by the
// Scheduler's own pace.
func TestShortLivesAtScale(t *testing.T) {
	accounts := tier.Scale(t, 500, 5000)
	bubble(t, func(t *testing.T, _ *issuer, store *memory.Store) {
		keepers, _, _ := gathering(t, accounts, store, time.Minute)
		if failed, err := ask(t, keepers, time.Minute); failed > 0 {
			t.Fatalf("%d callers got no token: %v", failed, err)
		}
		pass(time.Minute)
		for range 24 {
			pass(5 * time.Second)
			without := 0
			for _, k := range keepers {
				if !k.Status().Live {
					without++
				}
			}
			if without > accounts/200 {
				t.Fatalf("%d of %d accounts are without a token", without, accounts)
			}
		}
	})
}
