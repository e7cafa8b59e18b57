package custody_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

func refuseAll(i *issuer, f custody.FetchError) {
	i.answers(func(int, custody.Mode) (custody.Grant, error) {
		e := f
		return custody.Grant{}, &e
	})
}

var errWrongSecret = errors.New("the AppSecret is wrong")

// TestBackOffs: how often each class of failure is tried again in an hour, with
// 1,000 calls a minute from three processes that are restarted all the time.
func TestBackOffs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		failure     custody.FetchError
		least, most int // fetches in 59 minutes
		retry       bool
	}{
		{"transient", custody.FetchError{Class: custody.ClassTransient}, 50, 75, true},
		{"blocked", custody.FetchError{Class: custody.ClassBlocked, RetryAfter: 10 * time.Minute}, 6, 6, true},
		{"blocked without a time", custody.FetchError{Class: custody.ClassBlocked}, 6, 6, true},
		{"blocked for this host", custody.FetchError{Class: custody.ClassBlocked, RetryAfter: 10 * time.Minute, PerHost: true}, 7, 7, true}, // the first one is tried again
		{"quota", custody.FetchError{Class: custody.ClassQuota}, 1, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
				c.failure.Err = errWrongSecret
				refuseAll(i, c.failure)
				start := time.Now()
				for time.Since(start) < 59*time.Minute {
					for range 3 {
						k, err := custody.New(config(i, store))
						if err != nil {
							t.Fatal(err)
						}
						for range 100 {
							_, err := k.Token(t.Context())
							var e *custody.Error
							if !errors.As(err, &e) {
								t.Fatalf("Token: %v, want a *custody.Error", err)
							}
							if e.Class != c.failure.Class || (e.RetryAfter > 0) != c.retry {
								t.Fatalf("Token: class %s, RetryAfter %s", e.Class, e.RetryAfter)
							}
							time.Sleep(100 * time.Millisecond)
						}
						if err := k.Close(); err != nil {
							t.Fatal(err)
						}
					}
				}
				if n := len(i.asked()); n < c.least || n > c.most {
					t.Errorf("%d fetches in 59 minutes, want %d to %d", n, c.least, c.most)
				}
			})
		})
	}
}

// TestTransientSteps: 1 s, doubling to 1 min, within 20 %.
func TestTransientSteps(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		refuseAll(i, custody.FetchError{Class: custody.ClassTransient, Err: errors.New("busy")})
		open(t, config(i, store))
		pass(10 * time.Minute)
		asked := i.asked()
		if len(asked) < 12 {
			t.Fatalf("%d fetches in ten minutes without any caller, want a dozen", len(asked))
		}
		want := time.Second
		for n := 1; n < len(asked); n++ {
			gap := asked[n].at.Sub(asked[n-1].at)
			if gap < max(time.Second, want*8/10) || gap > min(time.Minute, want*12/10)+50*time.Millisecond {
				t.Errorf("gap %d is %s, want about %s", n, gap, want)
			}
			want = min(2*want, time.Minute)
		}
		i.answers(nil)
		pass(time.Minute)
		k := open(t, config(i, store))
		token, err := k.Token(t.Context())
		if err != nil {
			t.Fatalf("after the trouble: %v", err)
		}
		refuseAll(i, custody.FetchError{Class: custody.ClassTransient, Err: errors.New("busy")})
		i.supersede()
		_, err = k.Reject(t.Context(), token.Value())
		var e *custody.Error
		if !errors.As(err, &e) || e.RetryAfter > 1200*time.Millisecond {
			t.Errorf("the next trouble: %v; want a back-off that begins anew", err)
		}
	})
}

// TestQuotaEndsAtMidnight in Beijing, which is 16:00 UTC.
func TestQuotaEndsAtMidnight(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		refuseAll(i, custody.FetchError{Class: custody.ClassQuota, Code: 45009, Err: errors.New("quota")})
		k := open(t, config(i, store))
		_, err := k.Token(t.Context())
		var e *custody.Error
		if !errors.As(err, &e) || e.RetryAfter != 16*time.Hour || e.Code != 45009 {
			t.Fatalf("Token: %+v; want 45009 with 16 h to go", err)
		}
		i.answers(nil)
		pass(16*time.Hour - time.Second)
		mustFetches(t, i, 1)
		pass(time.Minute)
		mustFetches(t, i, 2)
		mustToken(t, k, value(2))
	})
}

// TestFatal is not tried again by this process; a restart tries.
func TestFatal(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		refuseAll(i, custody.FetchError{Class: custody.ClassFatal, Code: 41002, Err: errors.New("no appid")})
		k := open(t, config(i, store))
		for range 100 {
			_, err := k.Token(t.Context())
			var e *custody.Error
			if !errors.As(err, &e) || e.Class != custody.ClassFatal || e.RetryAfter != 0 {
				t.Fatalf("Token: %v", err)
			}
			pass(time.Minute)
		}
		mustFetches(t, i, 1)
		i.answers(nil)
		mustToken(t, open(t, config(i, store)), value(2))
		pass(time.Minute)
		mustToken(t, k, value(2)) // the other one's success is its own
	})
}

// TestCorrectedSecret is tried at once, while the wrong one still waits.
func TestCorrectedSecret(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		refuseAll(i, custody.FetchError{Class: custody.ClassBlocked, RetryAfter: 10 * time.Minute, Code: 40125, Err: errWrongSecret})
		wrong := open(t, config(i, store))
		if _, err := wrong.Token(t.Context()); !errors.Is(err, errWrongSecret) {
			t.Fatalf("Token: %v; want the cause", err)
		}
		cfg := config(i, store)
		again := open(t, cfg)
		_, err := again.Token(t.Context())
		var e *custody.Error
		if !errors.As(err, &e) || e.Code != 40125 || e.Text != errWrongSecret.Error() {
			t.Errorf("Token with the same secret: %v; want the recorded failure", err)
		}
		mustFetches(t, i, 1)
		i.answers(nil)
		cfg.Secret = custody.NewSecret("fedcba9876543210fedcba9876543210")
		mustToken(t, open(t, cfg), value(2))
	})
}

// TestFailureKeepsTheLiveToken, and callers do not see it.
func TestFailureKeepsTheLiveToken(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		k := open(t, config(i, store))
		mustToken(t, k, value(1))
		refuseAll(i, custody.FetchError{Class: custody.ClassTransient, Err: errors.New("busy")})
		pass(life - 21*time.Second)
		mustToken(t, k, value(1))
		s := k.Status()
		if !s.Live || s.Failure == nil || s.Failure.Text != "busy" || s.Left != time.Second || s.Life != life {
			t.Errorf("Status: %+v", s)
		}
		i.answers(nil)
		pass(time.Minute)
		if s := k.Status(); !s.Live || s.Failure != nil || s.Fence <= 0 {
			t.Errorf("Status after the trouble: %+v", s)
		}
	})
}

// TestDailyFetches are counted in the store, for all processes and restarts.
func TestDailyFetches(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		cfg := config(i, store)
		cfg.Kind.DailyFetches = 5
		k := open(t, cfg)
		for n := 1; n < 5; n++ {
			mustToken(t, k, value(n))
			i.supersede()
			if _, err := k.Reject(t.Context(), value(n)); err != nil {
				t.Fatal(err)
			}
		}
		i.supersede()
		for range 10 {
			_, err := k.Reject(t.Context(), value(5))
			var e *custody.Error
			if !errors.Is(err, custody.ErrDailyLimit) || !errors.As(err, &e) || e.Class != custody.ClassQuota {
				t.Fatalf("Reject: %v; want ErrDailyLimit", err)
			}
			if e.RetryAfter != 16*time.Hour {
				t.Errorf("RetryAfter is %s, want 16 h", e.RetryAfter)
			}
			mustToken(t, k, value(5))
		}
		mustFetches(t, i, 5)
		cfg.Kind.DailyFetches = 6 // a limit that was raised counts at once
		if _, err := open(t, cfg).Reject(t.Context(), value(5)); err != nil {
			t.Errorf("Reject with a higher limit: %v", err)
		}
	})
}

// TestRateLimits: the fetches of an hour and of a minute are counted in the store, for all
// processes and restarts; an hour begins with its first fetch.
func TestRateLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		set  func(*custody.Kind)
		wait time.Duration
	}{
		{"hour", func(k *custody.Kind) { k.HourlyFetches = 3 }, time.Hour},
		{"minute", func(k *custody.Kind) { k.MinuteFetches = 3 }, time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
				cfg := config(i, store)
				c.set(&cfg.Kind)
				for n := 1; n <= 3; n++ { // each of them by a new process
					k := open(t, cfg)
					mustToken(t, k, value(max(1, n-1)))
					if n > 1 {
						i.supersede()
						if _, err := k.Reject(t.Context(), value(n-1)); err != nil {
							t.Fatal(err)
						}
					}
					time.Sleep(time.Second)
				}
				k := open(t, cfg)
				mustToken(t, k, value(3))
				i.supersede()
				_, err := k.Reject(t.Context(), value(3))
				var e *custody.Error
				if !errors.Is(err, custody.ErrRateLimit) || !errors.As(err, &e) || e.Class != custody.ClassBlocked {
					t.Fatalf("Reject: %v; want ErrRateLimit", err)
				}
				if left := c.wait - 3*time.Second; e.RetryAfter > left || e.RetryAfter < left-time.Second {
					t.Errorf("RetryAfter is %s, want %s", e.RetryAfter, left)
				}
				mustFetches(t, i, 3)
				time.Sleep(e.RetryAfter + time.Second)
				if _, err := k.Reject(t.Context(), value(3)); err != nil {
					t.Errorf("Reject when the %s was over: %v", c.name, err)
				}
				mustFetches(t, i, 4)
			})
		})
	}
}

// TestSharedLimit: several credentials of several processes have an hour's limit in common,
// whatever the hour begins with; none is fetched uncounted, so none without the store.
func TestSharedLimit(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		const limit = 6
		flaky := &faulty{Store: store}
		shared := custody.Shared{Key: custody.Key{Kind: "fetches", AppID: "ww1"}, HourlyFetches: limit}
		app := func(n int) *custody.Keeper {
			cfg := config(i, flaky)
			cfg.Key.AppID, cfg.Kind.Shared, cfg.FetchWithoutStore = fmt.Sprintf("ww1:%d", n), shared, true
			return open(t, cfg)
		}
		time.Sleep(5 * time.Minute)
		for n := range limit {
			if _, err := app(n).Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Minute)
		}
		k := app(limit)
		_, err := k.Token(t.Context())
		var e *custody.Error
		if !errors.Is(err, custody.ErrRateLimit) || !errors.As(err, &e) || e.Class != custody.ClassBlocked || !strings.Contains(e.Text, "ww1 together") {
			t.Fatalf("Token: %v; want ErrRateLimit", err)
		}
		mustFetches(t, i, limit)
		if first := time.Hour - limit*5*time.Minute; e.RetryAfter < first || e.RetryAfter > first+10*time.Minute {
			t.Errorf("RetryAfter is %s; the first fetch is an hour ago in %s", e.RetryAfter, first)
		}
		time.Sleep(e.RetryAfter + time.Second)
		if _, err := k.Token(t.Context()); err != nil {
			t.Error(err)
		}
		mustFetches(t, i, limit+1)

		flaky.acquire.Store(&errAway)
		flaky.load.Store(&errAway)
		last := app(limit + 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := last.Token(ctx); !errors.Is(err, custody.ErrStore) {
			t.Errorf("Token without the store: %v", err)
		}
		mustFetches(t, i, limit+1)
	})
}

// TestSharedLimitAtOnce: many that begin at once are counted one by one.
func TestSharedLimitAtOnce(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		const limit, apps = 50, 80
		var all sync.WaitGroup
		var refused atomic.Int32
		for n := range apps {
			cfg := config(i, store)
			cfg.Key.AppID = fmt.Sprintf("ww1:%d", n)
			cfg.Kind.Shared = custody.Shared{Key: custody.Key{Kind: "fetches", AppID: "ww1"}, HourlyFetches: limit}
			k := open(t, cfg)
			all.Go(func() {
				switch _, err := k.Token(t.Context()); {
				case errors.Is(err, custody.ErrRateLimit):
					refused.Add(1)
				case err != nil:
					t.Error(err)
				}
			})
		}
		all.Wait()
		mustFetches(t, i, limit)
		if n := refused.Load(); n != apps-limit {
			t.Errorf("%d were told that the limit is reached, want %d", n, apps-limit)
		}
	})
}

// TestLimitWithoutStore: while the store is away, a process counts its own fetches.
func TestLimitWithoutStore(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		flaky := &faulty{Store: store}
		flaky.acquire.Store(&errAway)
		flaky.load.Store(&errAway)
		cfg := config(i, flaky)
		cfg.FetchWithoutStore, cfg.Kind.HourlyFetches = true, 5
		i.answers(func(n int, _ custody.Mode) (custody.Grant, error) {
			return custody.Grant{Value: custody.NewSecret(value(n)), ExpiresIn: time.Minute}, nil
		})
		k := open(t, cfg)
		var last error
		for end := time.Now().Add(30 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Second) {
			if _, err := k.Token(t.Context()); err != nil {
				last = err
			}
		}
		mustFetches(t, i, 5)
		if !errors.Is(last, custody.ErrRateLimit) {
			t.Errorf("then: %v, want ErrRateLimit", last)
		}
	})
}

// faulty is a store whose calls a test makes fail.
type faulty struct {
	custody.Store
	load, acquire, begin, save, release atomic.Pointer[error]
	after                               atomic.Bool // the call has its effect, and its answer is lost
	saves                               atomic.Int32
}

var errAway = errors.New("connection refused")

func fault[T any](f *faulty, p *atomic.Pointer[error], call func() (T, error)) (T, error) {
	var zero T
	broken := p.Load()
	if broken == nil {
		return call()
	}
	if f.after.Load() {
		_, _ = call()
	}
	return zero, *broken
}

func (f *faulty) Load(ctx context.Context, key custody.Key) (custody.Record, error) {
	return fault(f, &f.load, func() (custody.Record, error) { return f.Store.Load(ctx, key) })
}

func (f *faulty) Acquire(ctx context.Context, key custody.Key, attempt string, ttl time.Duration) (custody.Lease, error) {
	return fault(f, &f.acquire, func() (custody.Lease, error) { return f.Store.Acquire(ctx, key, attempt, ttl) })
}

func (f *faulty) Begin(ctx context.Context, lease custody.Lease, notes []byte) error {
	_, err := fault(f, &f.begin, func() (struct{}, error) { return struct{}{}, f.Store.Begin(ctx, lease, notes) })
	return err
}

func (f *faulty) Save(ctx context.Context, lease custody.Lease, record custody.Record) error {
	f.saves.Add(1)
	_, err := fault(f, &f.save, func() (struct{}, error) { return struct{}{}, f.Store.Save(ctx, lease, record) })
	return err
}

func (f *faulty) Release(ctx context.Context, lease custody.Lease, notes []byte) error {
	_, err := fault(f, &f.release, func() (struct{}, error) { return struct{}{}, f.Store.Release(ctx, lease, notes) })
	return err
}

// TestStoreAway: live tokens are served; without one, callers wait for the store
// and are then told that it is the store; nothing is fetched meanwhile.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		f := &faulty{Store: store}
		cfg := config(i, f)
		cfg.Kind = i.classic()
		k := open(t, cfg)
		mustToken(t, k, value(1))
		away := errAway
		f.load.Store(&away)
		f.acquire.Store(&away)
		pass(life - 21*time.Second)
		mustToken(t, k, value(1))
		pass(2 * time.Second)
		for range 200 {
			_, err := k.Token(t.Context())
			var e *custody.Error
			if !errors.Is(err, custody.ErrStore) || !errors.Is(err, errAway) || !errors.As(err, &e) || e.Class != custody.ClassTransient {
				t.Fatalf("Token: %v; want ErrStore", err)
			}
			time.Sleep(time.Second)
		}
		mustFetches(t, i, 1)
		f.load.Store(nil)
		f.acquire.Store(nil)
		pass(time.Minute)
		mustToken(t, k, value(2))
	})
}

// TestStoreAwayWithAnIdempotentKind: a normal fetch issues nothing new, so each
// process may ask without the store, never forced; a store that is back is given
// what it missed, and nothing is fetched for that.
func TestStoreAwayWithAnIdempotentKind(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		i.answers(func(int, custody.Mode) (custody.Grant, error) { // one value for each life
			lived := time.Duration(time.Now().UnixNano()) % life
			n := int(time.Duration(time.Now().UnixNano()) / life)
			return custody.Grant{Value: custody.NewSecret(value(n)), ExpiresIn: max(life-lived, time.Minute)}, nil
		})
		f := &faulty{Store: store}
		keepers := []*custody.Keeper{open(t, config(i, f)), open(t, config(i, f))}
		for _, k := range keepers {
			if _, err := k.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		away := errAway
		f.load.Store(&away)
		f.acquire.Store(&away)
		for range 600 {
			pass(time.Minute)
			for _, k := range keepers {
				if _, err := k.Token(t.Context()); err != nil {
					t.Fatalf("Token while the store is away: %v", err)
				}
			}
		}
		token, _ := keepers[0].Token(t.Context())
		fetches := len(i.asked())
		if fetches > 2*5*8 {
			t.Errorf("%d fetches by two processes in ten hours", fetches)
		}
		i.supersede() // or else the issuer accepts the value when it is asked, and the same is right
		other, err := keepers[0].Reject(t.Context(), token.Value())
		if (err == nil && other.Value() == token.Value()) || i.forced() != 0 {
			t.Errorf("Reject while the store is away: %q, %v, with %d forced fetches; want another value or an error, and none", other.Value(), err, i.forced())
		}
		f.load.Store(nil)
		f.acquire.Store(nil)
		fetches = len(i.asked())
		start := time.Now()
		for len(i.asked()) == fetches && time.Since(start) < life {
			pass(time.Second)
		}
		pass(time.Second)
		if record, err := store.Load(t.Context(), accessToken); err != nil || !record.End.After(record.Now) {
			t.Errorf("after the store came back it holds a token until %s (%v)", record.End, err)
		}
	})
}

// TestStoreAwayAndAFailure: a wrong secret is asked about once in ten minutes,
// whether there is a store or not.
func TestStoreAwayAndAFailure(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		f := &faulty{Store: store}
		away := errAway
		f.load.Store(&away)
		f.acquire.Store(&away)
		refuseAll(i, custody.FetchError{Class: custody.ClassBlocked, RetryAfter: 10 * time.Minute, Code: 40125, Err: errWrongSecret})
		k := open(t, config(i, f))
		start := time.Now()
		for time.Since(start) < 29*time.Minute {
			if _, err := k.Token(t.Context()); err == nil {
				t.Fatal("Token succeeded")
			}
			pass(time.Second)
		}
		if n := len(i.asked()); n > 3 {
			t.Errorf("%d fetches in 29 minutes, want 3", n)
		}
	})
}

// TestFetchedWithoutStoreIsKept: a store that comes back with the older token,
// which still lives by its own count, does not replace the newer one; it is given
// that without a fetch, and others find it there.
func TestFetchedWithoutStoreIsKept(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		f := &faulty{Store: store}
		cfg := config(i, f)
		cfg.Kind, cfg.FetchWithoutStore = i.classic(), true
		k := open(t, cfg)
		mustToken(t, k, value(1))
		away := errAway
		f.load.Store(&away)
		f.acquire.Store(&away)
		pass(life - 80*time.Second)
		for len(i.asked()) < 2 {
			pass(time.Second)
		}
		mustToken(t, k, value(2))
		f.load.Store(nil)
		f.acquire.Store(nil)
		pass(40 * time.Second)
		mustToken(t, k, value(2))
		if record, err := store.Load(t.Context(), accessToken); err != nil || record.Value != value(2) {
			t.Errorf("the store holds %v (%v), want the newer value", record.Value, err)
		}
		mustToken(t, open(t, cfg), value(2))
		mustFetches(t, i, 2)
	})
}

// TestFirstTokenWithoutAStore: a caller whose process has never heard from its
// store has a token as soon as the store counts as away.
func TestFirstTokenWithoutAStore(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		f := &faulty{Store: store}
		away := errAway
		f.load.Store(&away)
		f.acquire.Store(&away)
		start := time.Now()
		mustToken(t, open(t, config(i, f)), value(1))
		if waited := time.Since(start); waited != 15*time.Second {
			t.Errorf("waited %s, want 15 s", waited)
		}
	})
}

// TestFetchWithoutStore: where fetches supersede one another, only a process that
// was told to fetches without the store, in the last minute of its token.
func TestFetchWithoutStore(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		f := &faulty{Store: store}
		cfg := config(i, f)
		cfg.Kind = i.classic()
		cautious := open(t, cfg)
		mustToken(t, cautious, value(1))
		cfg.FetchWithoutStore = true
		bold := open(t, cfg)
		mustToken(t, bold, value(1))
		away := errAway
		f.load.Store(&away)
		f.acquire.Store(&away)
		pass(life - 20*time.Second - time.Minute - time.Second)
		mustFetches(t, i, 1)
		pass(70 * time.Second) // the last minute, and the longest back-off
		mustFetches(t, i, 2)
		mustToken(t, bold, value(2))
		if _, err := cautious.Token(t.Context()); !errors.Is(err, custody.ErrStore) {
			t.Errorf("the other process: %v; want ErrStore", err)
		}
		mustFetches(t, i, 2)
		f.load.Store(nil)
		f.acquire.Store(nil)
	})
}

// TestStoreComesInTime: a caller without a token waits for a store that is away
// for a moment, as at the start of a whole system.
func TestStoreComesInTime(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		f := &faulty{Store: store}
		away := errAway
		f.load.Store(&away)
		k := open(t, config(i, f))
		time.AfterFunc(10*time.Second, func() { f.load.Store(nil) })
		start := time.Now()
		mustToken(t, k, value(1))
		if waited := time.Since(start); waited < 10*time.Second || waited > 12*time.Second {
			t.Errorf("waited %s for a store that was back after 10 s", waited)
		}
	})
}

// TestLostAnswers: calls that had their effect, and whose answers were lost.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	t.Run("Acquire", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
			f := &faulty{Store: store}
			f.after.Store(true)
			lost := errAway
			f.acquire.Store(&lost)
			time.AfterFunc(time.Second, func() { f.acquire.Store(nil) })
			start := time.Now()
			mustToken(t, open(t, config(i, f)), value(1))
			if waited := time.Since(start); waited > 3*time.Second {
				t.Errorf("waited %s: the attempt was not given its own lease again", waited)
			}
		})
	})
	t.Run("Begin", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
			f := &faulty{Store: store}
			f.after.Store(true)
			lost := errAway
			f.begin.Store(&lost)
			cfg := config(i, f)
			cfg.Kind = i.classic()
			k := open(t, cfg)
			if _, err := k.Token(t.Context()); !errors.Is(err, custody.ErrStore) {
				t.Errorf("Token: %v; want ErrStore", err)
			}
			mustFetches(t, i, 0) // an unanswered Begin means that the fetch is not sent
			f.begin.Store(nil)
			pass(2 * time.Second)
			mustToken(t, k, value(1))
		})
	})
	t.Run("Save", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
			f := &faulty{Store: store}
			f.after.Store(true)
			lost := errAway
			f.save.Store(&lost)
			k := open(t, config(i, f))
			mustToken(t, k, value(1)) // served although the answer was lost
			f.save.Store(nil)
			pass(5 * time.Minute)
			if n := f.saves.Load(); n != 2 {
				t.Errorf("%d saves, want 2: the lost one and its repetition", n)
			}
			mustToken(t, k, value(1))
			mustFetches(t, i, 1)
		})
	})
}

// TestFailureStaysUntilASuccess: a look that finds the old token alive, as the
// store's own notice of the failure causes, is no success; a new token, of
// whichever process, is.
func TestFailureStaysUntilASuccess(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		k := open(t, config(i, store))
		mustToken(t, k, value(1))
		refuseAll(i, custody.FetchError{Class: custody.ClassBlocked, RetryAfter: 10 * time.Minute, Err: errWrongSecret})
		i.supersede()
		if _, err := k.Reject(t.Context(), value(1)); !errors.Is(err, errWrongSecret) {
			t.Fatalf("Reject: %v", err)
		}
		pass(time.Minute)
		if s := k.Status(); !s.Live || !s.Refused || s.Failure == nil || !errors.Is(s.Failure, errWrongSecret) {
			t.Errorf("Status: %+v, want the failure", s)
		}
		probes := i.probed()
		if _, err := k.Reject(t.Context(), value(1)); !errors.Is(err, errWrongSecret) || i.probed() != probes {
			t.Errorf("a second Reject: %v, %d probes more", err, i.probed()-probes)
		}
		i.answers(nil)
		pass(10 * time.Minute)
		if _, err := k.Reject(t.Context(), value(1)); err != nil {
			t.Fatalf("Reject: %v", err)
		}
		if s := k.Status(); s.Failure != nil || s.Refused {
			t.Errorf("Status after the renewal: %+v", s)
		}
	})
}
