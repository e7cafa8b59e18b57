package custody_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// mustRefuse checks for an ErrRefused whose next attempt lies in [least, most].
func mustRefuse(t *testing.T, err error, least, most time.Duration) {
	t.Helper()
	var e *custody.Error
	if !errors.Is(err, custody.ErrRefused) || !errors.As(err, &e) {
		t.Fatalf("Reject: got %v, want an ErrRefused", err)
	}
	if e.RetryAfter < least || e.RetryAfter > most {
		t.Errorf("RetryAfter is %s, want %s to %s", e.RetryAfter, least, most)
	}
}

// TestRejectByValue: 50 requests in each of two processes find the token
// superseded; one of them renews, all of them get the new one, and latecomers
// with the old one cause nothing.
func TestRejectByValue(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		c := &counted{Store: store}
		a, b := open(t, config(i, c)), open(t, config(i, c))
		mustToken(t, a, value(1))
		mustToken(t, b, value(1))
		i.supersede()
		i.takesTime(time.Second)
		var requests sync.WaitGroup
		for n := range 100 {
			k := []*custody.Keeper{a, b}[n%2]
			requests.Go(func() {
				token, err := k.Reject(t.Context(), value(1))
				if err != nil || token.Value() != value(2) {
					t.Errorf("Reject: %q, %v; want the second value", token.Value(), err)
				}
			})
		}
		requests.Wait()
		mustFetches(t, i, 2)
		calls := c.loads.Load() + c.writes.Load()
		for _, k := range []*custody.Keeper{a, b} {
			if token, err := k.Reject(t.Context(), value(1)); err != nil || token.Value() != value(2) {
				t.Errorf("a late Reject: %q, %v", token.Value(), err)
			}
		}
		if n := c.loads.Load() + c.writes.Load() - calls; n != 0 {
			t.Errorf("late Rejects made %d store calls, want none", n)
		}
		mustFetches(t, i, 2)
		if n := i.probed(); n != 3 {
			t.Errorf("%d probes, want 3: the old value once in each process, the new one once", n)
		}
	})
}

// TestRefusedValueIsNotLive: readers have the value until the issuer itself refuses it,
// and then wait for the other one.
func TestRefusedValueIsNotLive(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		k := open(t, config(i, slow{store}))
		mustToken(t, k, value(1))
		i.supersede()
		i.takesTime(time.Second)
		go func() { _, _ = k.Reject(t.Context(), value(1)) }()
		pass(299 * time.Millisecond) // of the look
		if !k.Status().Live {
			t.Error("Status says dead before the issuer was asked")
		}
		pass(time.Millisecond)
		for range 10 { // 1 s for the fetch
			if k.Status().Live {
				t.Error("Status says live although the issuer refuses the value")
			}
			pass(99 * time.Millisecond)
		}
		mustToken(t, k, value(2))
	})
}

// slow is a store whose Load takes 300 ms.
type slow struct{ custody.Store }

func (s slow) Load(ctx context.Context, key custody.Key) (custody.Record, error) {
	select {
	case <-time.After(300 * time.Millisecond):
		return s.Store.Load(ctx, key)
	case <-ctx.Done():
		return custody.Record{}, ctx.Err()
	}
}

// TestRejectFindsTheNewerOne: another process renewed, and told nobody.
func TestRejectFindsTheNewerOne(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		silent := struct{ custody.Store }{store}
		a, b := open(t, config(i, silent)), open(t, config(i, silent))
		mustToken(t, a, value(1))
		mustToken(t, b, value(1))
		i.supersede()
		if _, err := a.Reject(t.Context(), value(1)); err != nil {
			t.Fatal(err)
		}
		probes := i.probed()
		token, err := b.Reject(t.Context(), value(1))
		if err != nil || token.Value() != value(2) || token.Origin() != custody.OriginStore {
			t.Errorf("Reject: %q from %s, %v; want the second value from the store", token.Value(), token.Origin(), err)
		}
		mustFetches(t, i, 2)
		if i.probed() != probes {
			t.Error("the old value was probed although the store had a newer one")
		}
	})
}

// TestRejectOfALivingToken: the issuer accepts it when it is asked directly, once a
// second at most, so the call is repeated with it, and nothing is renewed.
func TestRejectOfALivingToken(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		k := open(t, config(i, store))
		mustToken(t, k, value(1))
		start := time.Now()
		for range 100 {
			if token, err := k.Reject(t.Context(), value(1)); err != nil || token.Value() != value(1) {
				t.Fatalf("Reject: %q, %v; want the value that is accepted", token.Value(), err)
			}
			mustToken(t, k, value(1))
		}
		if took := time.Since(start); took != 99*time.Second || i.probed() != 100 {
			t.Errorf("100 refusals, one after the other: %d probes in %s, want one a second", i.probed(), took)
		}
		var calls sync.WaitGroup
		for range 50 {
			calls.Go(func() { _, _ = k.Reject(t.Context(), value(1)) })
		}
		calls.Wait()
		if n := i.probed(); n != 101 {
			t.Errorf("%d probes for 50 refusals at once, want 1", n-100)
		}
		mustFetches(t, i, 1)
	})
}

// called is the context of a call of a path by a Transport, which remembers when it worked.
func called(t *testing.T, path string, worked time.Time) context.Context {
	t.Helper()
	return custody.WithCall(t.Context(), &custody.Call{Path: path, Worked: worked, Lived: worked})
}

// TestStrayRefusal: where the value has worked before, a call that is refused within
// the second after a probe is sent again without one; if that is refused too, it waits
// for the next probe.
func TestStrayRefusal(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		k := open(t, config(i, store))
		mustToken(t, k, value(1))
		worked := time.Now()
		start := worked
		reject := func(ctx context.Context, waits time.Duration) {
			t.Helper()
			began := time.Now()
			if token, err := k.Reject(ctx, value(1)); err != nil || token.Value() != value(1) {
				t.Errorf("Reject: %q, %v; want the same value", token.Value(), err)
			}
			if waited := time.Since(began); waited != waits {
				t.Errorf("waited %s, want %s", waited, waits)
			}
		}
		reject(called(t, "/a", worked), 0) // by a probe
		stray := called(t, "/a", worked)
		reject(stray, 0)           // without one
		reject(stray, time.Second) // by the next
		reject(called(t, "/new", time.Time{}), time.Second)
		if n := i.probed(); n != 3 || time.Since(start) != 2*time.Second {
			t.Errorf("%d probes in %s, want 3 in 2 s", n, time.Since(start))
		}
		mustFetches(t, i, 1)
	})
}

// TestPathThatIsAlwaysRefused is quarantined: it causes one probe in 10 s, its refusals
// are returned at once, and other paths have their probes. Success ends that.
func TestPathThatIsAlwaysRefused(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		k := open(t, config(i, store))
		mustToken(t, k, value(1))
		worked := time.Now()
		broken := called(t, "/broken", time.Time{})
		if token, err := k.Reject(broken, value(1)); err != nil || token.Value() != value(1) {
			t.Fatalf("the first refusal: %q, %v; want a repetition", token.Value(), err)
		}
		_, err := k.Reject(broken, value(1))
		mustRefuse(t, err, time.Second, 10*time.Second)
		before, start := i.probed(), time.Now()
		for range 300 {
			began := time.Now()
			_, err := k.Reject(called(t, "/broken", time.Time{}), value(1))
			mustRefuse(t, err, 0, 10*time.Second)
			if waited := time.Since(began); waited != 0 {
				t.Fatalf("a refusal of a quarantined path waited %s", waited)
			}
			pass(100 * time.Millisecond)
		}
		if n := i.probed() - before; n < 2 || n > 3 {
			t.Errorf("%d probes for it in %s, want one in 10 s", n, time.Since(start))
		}

		i.supersede()
		if token, err := k.Reject(called(t, "/good", worked), value(1)); err != nil || token.Value() != value(2) {
			t.Errorf("another path after an invalidation: %q, %v; want the second value", token.Value(), err)
		}
		if token, err := k.Reject(called(t, "/broken", time.Time{}), value(1)); err != nil || token.Value() != value(2) {
			t.Errorf("the broken path with the older value: %q, %v; want the newer one", token.Value(), err)
		}
		mustFetches(t, i, 2)
	})
}

// TestQuarantinedPathAlone: an invalidation that only a quarantined path meets is found
// within 10 s.
func TestQuarantinedPathAlone(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		k := open(t, config(i, store))
		mustToken(t, k, value(1))
		broken := called(t, "/broken", time.Time{})
		_, _ = k.Reject(broken, value(1))
		_, _ = k.Reject(broken, value(1))
		i.supersede()
		start := time.Now()
		for {
			token, err := k.Reject(called(t, "/broken", time.Time{}), value(1))
			if err == nil && token.Value() == value(2) {
				break
			}
			if time.Since(start) > 11*time.Second {
				t.Fatalf("after %s: %q, %v", time.Since(start), token.Value(), err)
			}
			pass(100 * time.Millisecond)
		}
		mustFetches(t, i, 2)
	})
}

// TestProbeWithoutVerdict counts as a refusal once in a minute, in all
// processes together.
func TestProbeWithoutVerdict(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		a, b := open(t, config(i, store)), open(t, config(i, store))
		mustToken(t, a, value(1))
		i.says(func(string) custody.Verdict { return custody.NoVerdict })
		if token, err := a.Reject(t.Context(), value(1)); err != nil || token.Value() != value(2) {
			t.Fatalf("first Reject: %q, %v; want the second value", token.Value(), err)
		}
		synctest.Wait()
		for range 20 {
			for _, k := range []*custody.Keeper{a, b} {
				_, err := k.Reject(t.Context(), value(2))
				mustRefuse(t, err, 0, time.Minute)
				mustToken(t, k, value(2))
			}
			pass(2 * time.Second)
		}
		mustFetches(t, i, 2)
		pass(21 * time.Second)
		if token, err := b.Reject(t.Context(), value(2)); err != nil || token.Value() != value(3) {
			t.Errorf("Reject after a minute: %q, %v; want the third value", token.Value(), err)
		}
	})
}

// TestRejectWithoutProbe is believed at once.
func TestRejectWithoutProbe(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		cfg := config(i, store)
		cfg.Kind.Probe = nil
		k := open(t, cfg)
		mustToken(t, k, value(1))
		if token, err := k.Reject(t.Context(), value(1)); err != nil || token.Value() != value(2) {
			t.Errorf("Reject: %q, %v; want the second value", token.Value(), err)
		}
	})
}

// TestProbeThatHangs is given up after ProbeTimeout, and so is the probe of the
// new value, within the lease.
func TestProbeThatHangs(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		cfg := config(i, store)
		cfg.Kind.Probe = func(ctx context.Context, _ string) custody.Verdict {
			<-ctx.Done()
			return custody.NoVerdict
		}
		k := open(t, cfg)
		mustToken(t, k, value(1))
		i.takesTime(7 * time.Second)
		start := time.Now()
		if token, err := k.Reject(t.Context(), value(1)); err != nil || token.Value() != value(2) {
			t.Errorf("Reject: %q, %v; want the second value", token.Value(), err)
		}
		if waited := time.Since(start); waited != 13*time.Second {
			t.Errorf("waited %s, want 13 s: 3 s for the probe, 7 s for the fetch, 3 s of the lease for the second probe", waited)
		}
	})
}

// stubborn is an issuer in the manner of stable_token: a normal fetch answers
// the living value, refused by its APIs or not; a forced one a new value.
func stubborn(i *issuer) {
	n := 1
	i.answers(func(_ int, mode custody.Mode) (custody.Grant, error) {
		if mode == custody.Forced {
			n++
		}
		return grant(n), nil
	})
}

func (i *issuer) forced() (n int) {
	for _, f := range i.asked() {
		if f.mode == custody.Forced {
			n++
		}
	}
	return n
}

// TestForce: a normal fetch comes first; only when it answers the refused value
// itself is a new one forced, never twice in 30 s, whichever process asks.
func TestForce(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		stubborn(i)
		a, b := open(t, config(i, store)), open(t, config(i, store))
		mustToken(t, a, value(1))
		i.supersede()
		if token, err := a.Reject(t.Context(), value(1)); err != nil || token.Value() != value(2) {
			t.Fatalf("Reject: %q, %v; want the forced value", token.Value(), err)
		}
		if asked := i.asked(); len(asked) != 3 || asked[1].mode != custody.Normal || asked[2].mode != custody.Forced {
			t.Fatalf("asked %v; want a normal fetch, then a forced one", asked[1:])
		}
		pass(5 * time.Second)
		i.supersede()
		_, err := b.Reject(t.Context(), value(2))
		mustRefuse(t, err, 20*time.Second, 30*time.Second)
		mustToken(t, b, value(2))
		fetches := len(i.asked())
		for _, k := range []*custody.Keeper{a, b} {
			_, err := k.Reject(t.Context(), value(2))
			mustRefuse(t, err, 0, 30*time.Second)
		}
		mustFetches(t, i, fetches)
		if n := i.forced(); n != 1 {
			t.Fatalf("%d forced fetches within 30 s, want 1", n)
		}
		pass(31 * time.Second)
		i.supersede()
		if token, err := b.Reject(t.Context(), value(2)); err != nil || token.Value() != value(3) {
			t.Errorf("Reject after 30 s: %q, %v; want the third value", token.Value(), err)
		}
	})
}

// TestStrayProbe: when a probe was a stray refusal as well, and forcing another value is
// not allowed yet, calls that work show that the value is good. Later strays are repeated.
func TestStrayProbe(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		stubborn(i)
		k := open(t, config(i, store))
		mustToken(t, k, value(1))
		stray := true
		i.says(func(string) custody.Verdict {
			if stray {
				stray = false
				return custody.Rejected
			}
			return custody.Accepted
		})
		if token, err := k.Reject(called(t, "/a", time.Now()), value(1)); err != nil || token.Value() != value(2) {
			t.Fatalf("Reject: %q, %v; want the forced value", token.Value(), err)
		}
		pass(5 * time.Second)
		stray = true
		_, err := k.Reject(called(t, "/a", time.Now()), value(2))
		mustRefuse(t, err, 20*time.Second, 30*time.Second)
		fetches := len(i.asked())
		pass(2 * time.Second)
		mustToken(t, k, value(2))
		if token, err := k.Reject(called(t, "/a", time.Now()), value(2)); err != nil || token.Value() != value(2) {
			t.Errorf("a stray after calls that worked: %q, %v; want the same value", token.Value(), err)
		}
		mustFetches(t, i, fetches)
	})
}

// TestForcedFetchesOfADay: 18 in a Beijing day, then again after midnight UTC+8.
func TestForcedFetchesOfADay(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		stubborn(i)
		k := open(t, config(i, store)) // bubbles begin at 2000-01-01 00:00 UTC, 08:00 in Beijing
		token, err := k.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		midnight := time.Now().Truncate(24 * time.Hour).Add(16 * time.Hour)
		for time.Until(midnight) > 2*time.Minute {
			i.supersede()
			if next, err := k.Reject(t.Context(), token.Value()); err == nil {
				token = next
			} else if !errors.Is(err, custody.ErrRefused) {
				t.Fatal(err)
			}
			pass(90 * time.Second)
		}
		if n := i.forced(); n != 18 {
			t.Errorf("%d forced fetches before midnight, want 18", n)
		}
		pass(time.Until(midnight) + time.Minute)
		i.supersede()
		token, err = k.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Reject(t.Context(), token.Value()); err != nil {
			t.Errorf("Reject after midnight: %v", err)
		}
		if n := i.forced(); n != 20 {
			t.Errorf("%d forced fetches after midnight, want 20: one as soon as it was allowed, one for the Reject", n)
		}
	})
}

// TestEverythingIsRefused: an account whose every token is refused costs three
// fetches in ten minutes, however many calls and processes, and callers get the
// refusal.
func TestEverythingIsRefused(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]func(*issuer) custody.Kind{"stable": (*issuer).kind, "classic": (*issuer).classic} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
				if name == "stable" {
					stubborn(i)
				}
				i.says(func(string) custody.Verdict { return custody.Rejected })
				cfg := config(i, store)
				cfg.Kind = kind(i)
				keepers := []*custody.Keeper{open(t, cfg), open(t, cfg), open(t, cfg)}
				start, refused := time.Now(), 0
				for time.Since(start) < 10*time.Minute {
					for _, k := range keepers {
						token, err := k.Token(t.Context())
						if err != nil {
							t.Fatalf("Token: %v: a token that the API refuses is still the only one there is", err)
						}
						if _, err := k.Reject(t.Context(), token.Value()); errors.Is(err, custody.ErrRefused) {
							refused++
						}
					}
					pass(time.Second)
				}
				if n := len(i.asked()); n > 3 {
					t.Errorf("%d fetches in ten minutes, want at most 3", n)
				}
				if refused < 3*590 {
					t.Errorf("%d callers got the refusal, want nearly all of 1,800", refused)
				}
				probes := i.probed()
				pass(time.Minute)
				token, err := keepers[0].Token(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				_, _ = keepers[0].Reject(t.Context(), token.Value())
				if i.probed() == probes {
					t.Error("after the breaker's time nothing was tried again")
				}
			})
		})
	}
}

// TestYoungDeaths: tokens that die long before their end three times in an hour
// are reported once.
func TestYoungDeaths(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		var log logtest.Log
		cfg := config(i, store)
		cfg.Logger = log.Logger(slog.LevelDebug)
		k := open(t, cfg)
		for n := 1; n <= 5; n++ {
			mustToken(t, k, value(n))
			i.supersede()
			if _, err := k.Reject(t.Context(), value(n)); err != nil {
				t.Fatal(err)
			}
			if got, want := strings.Count(log.String(), "another system fetches"), n/3; got != want {
				t.Errorf("after %d deaths: reported %d times, want %d", n, got, want)
			}
			pass(5 * time.Minute)
		}
	})
}

// TestRejectDuringARenewal waits for its result instead of asking on its own.
func TestRejectDuringARenewal(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		k := open(t, config(i, store))
		mustToken(t, k, value(1))
		i.takesTime(5 * time.Second)
		for len(i.asked()) < 2 {
			pass(time.Second)
		}
		token, err := k.Reject(t.Context(), value(1))
		if err != nil || token.Value() != value(2) {
			t.Errorf("Reject: %q, %v; want the value that was on its way", token.Value(), err)
		}
		mustFetches(t, i, 2)
		if i.probed() != 0 {
			t.Error("probed, although a renewal was under way")
		}
	})
}

// TestErrorsNameTheAccount and say when the next attempt is due.
func TestErrorsNameTheAccount(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		k := open(t, config(i, store))
		mustToken(t, k, value(1))
		broken := called(t, "/broken", time.Time{})
		_, _ = k.Reject(broken, value(1))
		_, err := k.Reject(broken, value(1))
		if err == nil {
			t.Fatal("a path that is always refused: no error")
		}
		for _, part := range []string{"access_token of wx0123456789abcdef", "nothing was renewed", "next attempt in 10s"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("the error lacks %q: %v", part, err)
			}
		}
	})
}
