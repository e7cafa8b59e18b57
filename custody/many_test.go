package custody_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/platform"
)

// heap returns the live heap in bytes.
func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// crowd is a store with a live token for everybody, or for nobody, that loads
// many at once.
type crowd struct {
	custody.Store
	live bool

	mu     sync.Mutex
	loads  int
	groups []int
}

func (c *crowd) record(key custody.Key) custody.Record {
	now := time.Now()
	return custody.Record{Value: "91_" + key.AppID, End: now.Add(life), Life: life, Fence: 1, Now: now}
}

func (c *crowd) Load(_ context.Context, key custody.Key) (custody.Record, error) {
	c.mu.Lock()
	c.loads++
	c.mu.Unlock()
	if !c.live {
		return custody.Record{}, custody.ErrNotFound
	}
	return c.record(key), nil
}

func (c *crowd) LoadMany(_ context.Context, keys []custody.Key) (map[custody.Key]custody.Record, error) {
	c.mu.Lock()
	c.groups = append(c.groups, len(keys))
	c.mu.Unlock()
	records := make(map[custody.Key]custody.Record, len(keys))
	for _, key := range keys {
		if c.live {
			records[key] = c.record(key)
		}
	}
	return records, nil
}

func (c *crowd) Acquire(_ context.Context, key custody.Key, attempt string, _ time.Duration) (custody.Lease, error) {
	return custody.Lease{Key: key, Attempt: attempt, Fence: time.Now().UnixMicro(), Record: custody.Record{Now: time.Now()}}, nil
}

func (c *crowd) Begin(context.Context, custody.Lease, []byte) error        { return nil }
func (c *crowd) Save(context.Context, custody.Lease, custody.Record) error { return nil }
func (c *crowd) Release(context.Context, custody.Lease, []byte) error      { return nil }

// people opens n Keepers on one scheduler.
func people(t *testing.T, n int, store custody.Store, s *custody.Scheduler, kind func(appID string, secret custody.Secret) custody.Kind) []*custody.Keeper {
	t.Helper()
	keepers := make([]*custody.Keeper, n)
	for i := range keepers {
		appID := fmt.Sprintf("wx%016d", i)
		secret := custody.NewSecret(fmt.Sprintf("%032d", i))
		k, err := custody.New(custody.Config{
			Key:  custody.Key{Kind: "access_token", API: "stable", AppID: appID},
			Kind: kind(appID, secret), Store: store, Scheduler: s, Secret: secret,
		})
		if err != nil {
			t.Fatal(err)
		}
		keepers[i] = k
	}
	t.Cleanup(func() {
		for _, k := range keepers {
			_ = k.Close()
		}
		s.Close()
	})
	return keepers
}

// TestSpeedManyAccounts: 100,000 accounts load in under 10 s, take at most 1 KiB
// of heap each beside the token's own bytes, and no goroutine.
func TestSpeedManyAccounts(t *testing.T) {
	tier.Speed(t)
	const (
		n     = 100_000
		token = 3 + 18 + 16 // its bytes, and the string's header
	)
	client, err := platform.New(platform.Config{})
	if err != nil {
		t.Fatal(err)
	}
	goroutines, before, start := runtime.NumGoroutine(), heap(), time.Now()
	store := &crowd{live: true}
	keepers := people(t, n, store, custody.NewScheduler(custody.SchedulerConfig{}), func(appID string, secret custody.Secret) custody.Kind {
		return client.AccessToken(platform.Account{AppID: appID, Secret: secret}, platform.Stable)
	})
	for _, k := range keepers {
		for !k.Status().Live {
			time.Sleep(time.Millisecond)
		}
	}
	took := time.Since(start)
	each := (heap()-before)/n - token
	t.Logf("%d accounts loaded in %s, %.2f × of 10 s; %d bytes of heap each beside the token, %.2f × of 1 KiB", n, took.Round(time.Millisecond), took.Seconds()/10, each, float64(each)/1024)
	if took > 10*time.Second || each > 1024 {
		t.Errorf("want at most 10 s and 1,024 bytes each")
	}
	if extra := runtime.NumGoroutine() - goroutines; extra > 4 {
		t.Errorf("%d goroutines for %d idle accounts", extra, n)
	}
	if store.loads != 0 || slices.Max(store.groups) > custody.MaxLoadMany {
		t.Errorf("%d single loads, at most %d in one go", store.loads, slices.Max(store.groups))
	}
}

// busiest returns the largest number of fetches in any 10 s between from and to,
// and the mean of the 10 s in which there are any.
func busiest(fetches []fetch, from, to time.Time) (most int, mean float64) {
	counts := map[int64]int{}
	total := 0
	for _, f := range fetches {
		if !f.at.Before(from) && f.at.Before(to) {
			counts[f.at.Unix()/10]++
			total++
		}
	}
	for _, n := range counts {
		most = max(most, n)
	}
	return most, float64(total) / float64(len(counts))
}

// TestSpeedFirstFetches: on an empty store they are spread over an hour where
// nobody is in a hurry, a caller gets a token at once, and renewals come as evenly
// ever after: no 10 s have more than 1.5 times the mean.
func TestSpeedFirstFetches(t *testing.T) {
	tier.Speed(t)
	synctest.Test(t, func(t *testing.T) {
		const n = 50_000
		i := &issuer{}
		start := time.Now()
		keepers := people(t, n, &crowd{}, custody.NewScheduler(custody.SchedulerConfig{}), func(string, custody.Secret) custody.Kind { return i.kind() })
		synctest.Wait()
		mustFetches(t, i, 0)
		if _, err := keepers[n-1].Token(t.Context()); err != nil || time.Since(start) != 0 || len(i.asked()) != 1 {
			t.Errorf("a caller got %v after %s", err, time.Since(start))
		}
		pass(time.Hour + time.Minute)
		mustFetches(t, i, n)
		most, mean := busiest(i.asked(), start.Add(time.Second), start.Add(time.Hour))
		t.Logf("first fetches of %d accounts: the busiest 10 s have %.2f × the mean", n, float64(most)/mean)
		if float64(most) > 1.5*mean {
			t.Errorf("first fetches: %d in the busiest 10 s, %.1f in the mean", most, mean)
		}
		pass(2 * time.Hour)
		most, mean = busiest(i.asked(), start.Add(2*time.Hour), start.Add(2*time.Hour+50*time.Minute))
		t.Logf("renewals of %d accounts: the busiest 10 s have %.2f × the mean", n, float64(most)/mean)
		if float64(most) > 1.5*mean {
			t.Errorf("renewals: %d in the busiest 10 s, %.1f in the mean", most, mean)
		}
	})
}

// TestFirstCycleIsSpread: classic tokens of many accounts are fetched at once,
// since each costs a fetch anyway; their first renewals then come at any time of
// their lives and not all at the end.
func TestFirstCycleIsSpread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 3000
		i := &issuer{}
		start := time.Now()
		people(t, n, &crowd{}, custody.NewScheduler(custody.SchedulerConfig{}), func(string, custody.Secret) custody.Kind { return i.classic() })
		pass(life + 2*time.Minute)
		parts := [12]int{}
		for _, f := range i.asked()[n:] {
			if at := f.at.Sub(start); at < life {
				parts[at*12/life]++
			}
		}
		if least, most := slices.Min(parts[1:11]), slices.Max(parts[1:11]); least < n/12*7/10 || most > n/12*14/10 {
			t.Errorf("renewals of %d accounts in each of 12 parts of the first life: %v", n, parts)
		}
	})
}
