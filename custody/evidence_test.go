package custody_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/store/memory"
	"github.com/zhongkong-go/zhongkong/store/storetest"
)

// The tests of this file are about law 12: what a process remembers limits probes and
// fetches, and no error is returned while the evidence is at hand.

// silent hides what a store says of changes, so that processes have to look.
func silent(store custody.Store) custody.Store { return struct{ custody.Store }{store} }

// mustRecover calls try every 100 ms until it succeeds, and fails after most.
func mustRecover(t *testing.T, what string, most time.Duration, try func() bool) {
	t.Helper()
	start := time.Now()
	for !try() {
		if time.Since(start) > most {
			t.Fatalf("%s: not within %s", what, most)
		}
		pass(100 * time.Millisecond)
	}
}

// TestStrayBeforeAnInvalidation: a verdict that the token is good says nothing about the
// moment after it.
func TestStrayBeforeAnInvalidation(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]func(*issuer) custody.Kind{"stable": (*issuer).kind, "classic": (*issuer).classic} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
				cfg := config(i, silent(store))
				cfg.Kind = kind(i)
				var keepers []*custody.Keeper
				for range 4 {
					k := open(t, cfg)
					mustToken(t, k, value(1))
					if token, err := k.Reject(called(t, "/a", time.Now()), value(1)); err != nil || token.Value() != value(1) {
						t.Fatalf("a stray refusal: %q, %v; want a repetition", token.Value(), err)
					}
					keepers = append(keepers, k)
				}
				pass(3 * time.Second)
				i.supersede()
				for _, k := range keepers {
					mustRecover(t, "after the invalidation", 3*time.Second, func() bool {
						token, err := k.Reject(called(t, "/a", time.Now()), value(1))
						return err == nil && token.Value() == value(2)
					})
				}
				mustFetches(t, i, 2)
			})
		})
	}
}

// TestOldSecretUsesTheStoredToken: a process whose own attempts are blocked for ten
// minutes has what the others renew within two seconds of a caller's asking.
func TestOldSecretUsesTheStoredToken(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		cfg := config(i, silent(store))
		blocked := cfg
		blocked.Secret = custody.NewSecret("the secret of last year, 32 chars")
		blocked.Kind.Fetch = func(context.Context, custody.Mode) (custody.Grant, error) {
			return custody.Grant{}, &custody.FetchError{Class: custody.ClassBlocked, RetryAfter: 10 * time.Minute, Code: 40125, Err: errWrongSecret}
		}
		old := open(t, blocked)
		if _, err := old.Token(t.Context()); !errors.Is(err, errWrongSecret) {
			t.Fatalf("Token: %v; want the wrong secret", err)
		}
		right := open(t, cfg)
		mustToken(t, right, value(1))
		mustRecover(t, "the first token", 2*time.Second, func() bool {
			token, err := old.Token(t.Context())
			return err == nil && token.Value() == value(1)
		})
		i.supersede()
		if _, err := right.Reject(t.Context(), value(1)); err != nil {
			t.Fatal(err)
		}
		mustRecover(t, "after an invalidation", 2*time.Second, func() bool {
			token, err := old.Reject(t.Context(), value(1))
			return err == nil && token.Value() == value(2)
		})
	})
}

// TestStoreIsBack: whatever the store was unavailable for, callers that wait have a token
// within two seconds of its return, and nothing is fetched in vain.
func TestStoreIsBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		from     time.Duration // before the token's end
		long     time.Duration
		readOnly bool
	}{
		{"5 s in the window", 150 * time.Second, 5 * time.Second, false},
		{"a minute at the end", 50 * time.Second, time.Minute, false},
		{"from the window until long after the end", 280 * time.Second, 20 * time.Minute, false},
		{"read-only across the end", 280 * time.Second, 10 * time.Minute, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
				f := &faulty{Store: silent(store)}
				cfg := config(i, f)
				cfg.Kind = i.classic()
				keepers := []*custody.Keeper{open(t, cfg), open(t, cfg), open(t, cfg)}
				for _, k := range keepers {
					mustToken(t, k, value(1))
				}
				pass(life - c.from)
				before := len(i.asked())
				lacks := []*atomic.Pointer[error]{&f.acquire, &f.begin, &f.save, &f.release}
				if !c.readOnly {
					lacks = append(lacks, &f.load)
				}
				for _, call := range lacks {
					call.Store(&errAway)
				}
				ctx, cancel := context.WithCancel(t.Context())
				var callers sync.WaitGroup
				for _, k := range keepers {
					callers.Go(func() {
						for ctx.Err() == nil {
							limited, stop := context.WithTimeout(ctx, 5*time.Second)
							_, _ = k.Token(limited)
							stop()
							time.Sleep(200 * time.Millisecond)
						}
					})
				}
				pass(c.long)
				if n := len(i.asked()) - before; n != 0 {
					t.Errorf("%d fetches that could not be saved", n)
				}
				for _, call := range lacks {
					call.Store(nil)
				}
				start := time.Now()
				for _, k := range keepers {
					mustRecover(t, "after the store's return", 2*time.Second-time.Since(start), func() bool {
						_, err := k.Token(t.Context())
						return err == nil
					})
				}
				cancel()
				callers.Wait()
				pass(5 * time.Minute)
				mustFetches(t, i, 2)
			})
		})
	}
}

// TestReadOnlyStore: a kind whose fetch supersedes nothing is never without a token,
// although nothing can be saved for three hours.
func TestReadOnlyStore(t *testing.T) {
	t.Parallel()
	for name, calls := range map[string]func(*faulty) []*atomic.Pointer[error]{
		"nothing that writes": func(f *faulty) []*atomic.Pointer[error] {
			return []*atomic.Pointer[error]{&f.acquire, &f.begin, &f.save, &f.release}
		},
		"leases, but no counts": func(f *faulty) []*atomic.Pointer[error] { return []*atomic.Pointer[error]{&f.begin, &f.save} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
				i.answers(func(int, custody.Mode) (custody.Grant, error) { // one value for each life
					lived := time.Duration(time.Now().UnixNano()) % life
					n := int(time.Duration(time.Now().UnixNano()) / life)
					return custody.Grant{Value: custody.NewSecret(value(n)), ExpiresIn: max(life-lived, time.Minute)}, nil
				})
				f := &faulty{Store: store}
				k := open(t, config(i, f))
				if _, err := k.Token(t.Context()); err != nil {
					t.Fatal(err)
				}
				pass(time.Hour)
				for _, call := range calls(f) {
					call.Store(&errAway)
				}
				for range 3 * 60 * 60 {
					start := time.Now()
					if _, err := k.Token(t.Context()); err != nil || time.Since(start) > 0 {
						t.Fatalf("Token after %s: %v", time.Since(start), err)
					}
					pass(time.Second)
				}
				for _, call := range calls(f) {
					call.Store(nil)
				}
				pass(31 * time.Second)
				if record, err := store.Load(t.Context(), accessToken); err != nil || !record.End.After(record.Now) {
					t.Errorf("after the store saved again it holds a token until %s (%v)", record.End, err)
				}
			})
		})
	}
}

// TestSlowIssuer: answers after 9 s are waited for once a fetch has timed out; the lease
// lasts as long.
func TestSlowIssuer(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]func(*issuer) custody.Kind{"stable": (*issuer).kind, "classic": (*issuer).classic} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
				i.takesTime(9 * time.Second)
				cfg := config(i, silent(store))
				cfg.Kind = kind(i)
				start := time.Now()
				var got atomic.Int32
				var callers sync.WaitGroup
				for range 5 {
					k := open(t, cfg)
					callers.Go(func() {
						for time.Since(start) < 2*time.Minute {
							if _, err := k.Token(t.Context()); err == nil {
								got.Add(1)
								return
							}
							time.Sleep(time.Second)
						}
					})
				}
				callers.Wait()
				if took := time.Since(start); got.Load() != 5 || took > time.Minute {
					t.Errorf("%d of 5 processes have a token after %s, want all within a minute", got.Load(), took)
				}
				if n := len(i.asked()); n > 4 {
					t.Errorf("%d fetches, want at most 3 in vain", n)
				}
			})
		})
	}
}

// TestHolderKilledInItsFetch: without a living token, another process continues when the
// lease expires, which nobody extends any more.
func TestHolderKilledInItsFetch(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		lease, err := store.Acquire(t.Context(), accessToken, "killed", custody.Timing{}.WithDefaults().LeaseTTL)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Begin(t.Context(), lease, nil); err != nil {
			t.Fatal(err)
		}
		i.takesTime(time.Second)
		start := time.Now()
		mustToken(t, open(t, config(i, silent(store))), value(1))
		if took := time.Since(start); took > 6*time.Second {
			t.Errorf("continued after %s, want 5 s and the fetch", took)
		}
	})
}

// TestTwoWaysOut: of two addresses of a machine one is not in the whitelist. The second
// try may come from the other one; if it does not succeed either, both are named.
func TestTwoWaysOut(t *testing.T) {
	t.Parallel()
	refuse := func(address string) error {
		return &custody.FetchError{
			Class: custody.ClassBlocked, RetryAfter: 10 * time.Minute, Code: 40164, PerHost: true, Address: address,
			Err: fmt.Errorf("%s is not in the whitelist", address),
		}
	}
	t.Run("one is allowed", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
			i.answers(func(n int, _ custody.Mode) (custody.Grant, error) {
				if n == 1 {
					return custody.Grant{}, refuse("192.0.2.1")
				}
				return grant(n), nil
			})
			start := time.Now()
			mustToken(t, open(t, config(i, store)), value(2))
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("the second try came after %s", took)
			}
		})
	})
	t.Run("none is", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
			i.answers(func(n int, _ custody.Mode) (custody.Grant, error) {
				return custody.Grant{}, refuse(fmt.Sprintf("192.0.2.%d", n))
			})
			_, err := open(t, config(i, store)).Token(t.Context())
			var e *custody.Error
			if !errors.As(err, &e) || e.RetryAfter < 9*time.Minute || !strings.Contains(e.Text, "192.0.2.1") || !strings.Contains(e.Text, "192.0.2.2") {
				t.Errorf("Token: %v; want both addresses, and ten minutes", err)
			}
			mustFetches(t, i, 2)
		})
	})
}

// TestNewTokenThatLags: hosts of the issuer that do not know a new token yet open no
// breaker, and a second invalidation is repaired like the first.
func TestNewTokenThatLags(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		cfg := config(i, silent(store))
		cfg.Kind = i.classic()
		k := open(t, cfg)
		mustToken(t, k, value(1))
		i.supersede()
		known := time.Now().Add(time.Second)
		i.says(func(v string) custody.Verdict {
			if v == value(2) && !time.Now().Before(known) || v == value(3) {
				return custody.Accepted
			}
			return custody.Rejected
		})
		if token, err := k.Reject(t.Context(), value(1)); err != nil || token.Value() != value(2) {
			t.Fatalf("Reject: %q, %v", token.Value(), err)
		}
		if token, err := k.Reject(t.Context(), value(2)); err != nil || token.Value() != value(2) {
			t.Fatalf("a refusal in its first second: %q, %v; want a repetition with it", token.Value(), err)
		}
		pass(10 * time.Second)
		i.says(func(v string) custody.Verdict {
			if v == value(3) {
				return custody.Accepted
			}
			return custody.Rejected
		})
		mustRecover(t, "after the second invalidation", 3*time.Second, func() bool {
			token, err := k.Reject(t.Context(), value(2))
			return err == nil && token.Value() == value(3)
		})
		mustFetches(t, i, 3)
	})
}

// TestManyFailingAccountsAtScale: callers of 5,000 accounts that cannot be renewed cause at most
// 20 calls of the store a second: their looks travel together.
func TestManyFailingAccountsAtScale(t *testing.T) {
	n := tier.Scale(t, 500, 5000)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &crowd{}
		cause := &custody.FetchError{Class: custody.ClassBlocked, RetryAfter: time.Hour, Code: 40125, Err: errWrongSecret}
		keepers := people(t, n, store, custody.NewScheduler(custody.SchedulerConfig{}), func(string, custody.Secret) custody.Kind {
			return custody.Kind{Fetch: func(context.Context, custody.Mode) (custody.Grant, error) { return custody.Grant{}, cause }}
		})
		ask := func() {
			var callers sync.WaitGroup
			for _, k := range keepers {
				callers.Go(func() {
					if _, err := k.Token(t.Context()); !errors.Is(err, errWrongSecret) {
						t.Errorf("Token: %v", err)
					}
				})
			}
			callers.Wait()
		}
		ask()
		pass(time.Minute)
		store.mu.Lock()
		before := store.loads + len(store.groups)
		store.mu.Unlock()
		start := time.Now()
		for time.Since(start) < 10*time.Second {
			ask()
			time.Sleep(250 * time.Millisecond)
		}
		took := time.Since(start).Seconds()
		store.mu.Lock()
		calls := store.loads + len(store.groups) - before
		store.mu.Unlock()
		if rate := float64(calls) / took; rate > 20 || rate < 1 {
			t.Errorf("%.1f calls of the store a second for %d failing accounts, want at most 20, and some", rate, n)
		}
	})
}

// TestTwoWaysOutOfARefusal: a call whose token was refused waits for the second try, too.
func TestTwoWaysOutOfARefusal(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		k := open(t, config(i, store))
		mustToken(t, k, value(1))
		i.answers(func(n int, _ custody.Mode) (custody.Grant, error) {
			if n == 2 {
				return custody.Grant{}, &custody.FetchError{Class: custody.ClassBlocked, Code: 40164, PerHost: true, Err: errors.New("not in the whitelist")}
			}
			return grant(n), nil
		})
		i.says(func(v string) custody.Verdict {
			if v == value(1) {
				return custody.Rejected
			}
			return custody.Accepted
		})
		if token, err := k.Reject(called(t, "/a", time.Time{}), value(1)); err != nil || token.Value() != value(3) {
			t.Errorf("Reject: %q, %v; want what the second try brought", token.Value(), err)
		}
	})
}

// TestRefusalsUnderTheBreaker: what cannot be helped is looked up once a second, however
// many calls are refused.
func TestRefusalsUnderTheBreaker(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		counted, counts := storetest.Count(silent(store))
		stubborn(i)
		k := open(t, config(i, counted))
		mustToken(t, k, value(1))
		i.says(func(string) custody.Verdict { return custody.Rejected })
		_, _ = k.Reject(called(t, "/a", time.Time{}), value(1))
		pass(10 * time.Second)
		token, err := k.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		before := counts.Of("Load")
		const seconds, calls = 10, 20
		for range seconds * calls {
			if _, err := k.Reject(called(t, "/a", time.Time{}), token.Value()); err == nil {
				t.Fatal("a refusal under the breaker led to a token")
			}
			pass(time.Second / calls)
		}
		if looks := counts.Of("Load") - before; looks > seconds+2 {
			t.Errorf("%d looks in %d s for %d refusals", looks, seconds, seconds*calls)
		}
	})
}

// lateWatcher is a store whose subscription takes a moment to begin.
type lateWatcher struct{ *memory.Store }

func (s lateWatcher) Watch(ctx context.Context) (<-chan custody.Key, error) {
	time.Sleep(100 * time.Millisecond)
	return s.Store.Watch(ctx)
}

// TestNoticeWhileSeeded: what a subscription tells of while a Keeper adopts its first record
// is looked up, and the Keeper goes on renewing.
func TestNoticeWhileSeeded(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		mustToken(t, open(t, config(i, store)), value(1))
		s := custody.NewScheduler(custody.SchedulerConfig{})
		t.Cleanup(s.Close)
		cfg := config(i, lateWatcher{store})
		cfg.Scheduler = s
		adopted := false
		cfg.Trace = &custody.Trace{Adopted: func(custody.AdoptedInfo) {
			if !adopted {
				adopted = true
				time.Sleep(200 * time.Millisecond) // the subscription begins in the meantime
			}
		}}
		k := open(t, cfg)
		pass(time.Second)
		if !adopted {
			t.Fatal("no record was adopted")
		}
		pass(life + time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if token, err := k.Token(ctx); err != nil || token.Value() == value(1) {
			t.Errorf("after the token's end: %q, %v", token.Value(), err)
		}
	})
}
