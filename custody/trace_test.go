package custody_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// told is a Trace that writes down what it is told, one line each. It asks its
// Keeper for something each time, which would hang if a lock were held.
type told struct {
	keeper atomic.Pointer[custody.Keeper]

	mu    sync.Mutex // guards what follows
	lines []string
	full  []string // all that was told, for a look at what is in it
}

func (l *told) add(t *testing.T, info any, format string, args ...any) {
	if k := l.keeper.Load(); k != nil {
		_ = k.Status()
		over, cancel := context.WithCancel(context.Background())
		cancel()
		_, _ = k.Token(over)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
	l.full = append(l.full, fmt.Sprintf("%+v", info))
	if all := l.full[len(l.full)-1]; strings.Contains(all, "91_") || strings.Contains(all, "0123456789abcdef0123456789abcdef") {
		t.Errorf("a secret was told: %s", all)
	}
}

// take returns the lines since the last take, without those about the store if
// they are not asked for. What callers of Reject caused comes last: they go on in
// the moment in which there is a token, beside the renewal, which tells of it.
func (l *told) take(withStore bool) []string {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := slices.DeleteFunc(l.lines, func(line string) bool { return !withStore && strings.HasPrefix(line, "store ") })
	l.lines = nil
	late := func(line string) int {
		if strings.HasPrefix(line, "refused: ") {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(lines, func(a, b string) int { return late(a) - late(b) })
	return lines
}

func (l *told) must(t *testing.T, withStore bool, want ...string) {
	t.Helper()
	if got := l.take(withStore); !slices.Equal(got, want) {
		t.Errorf("told:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func (l *told) trace(t *testing.T) *custody.Trace {
	t.Helper()
	return &custody.Trace{
		Fetched: func(i custody.FetchedInfo) {
			outcome := "ok"
			if i.Err != nil {
				outcome = fmt.Sprintf("%s %d", i.Err.Class, i.Err.Code)
			}
			l.add(t, i, "fetched %s mode %d in %s: %s, %d of %d", i.Reason, i.Mode, i.Took, outcome, i.Today, i.Limit)
		},
		Renewed: func(i custody.RenewedInfo) {
			l.add(t, i, "renewed %s: %s, forced %t, in %s, left %s", i.Reason, i.Result, i.Forced, i.Took, i.Left)
		},
		Adopted: func(i custody.AdoptedInfo) { l.add(t, i, "adopted first %t, left %s", i.First, i.Left) },
		Shortened: func(i custody.ShortenedInfo) {
			l.add(t, i, "shortened to %s", i.Left)
		},
		Failed: func(i custody.FailedInfo) {
			l.add(t, i, "failed %s: %s %d, failures %d, elsewhere %t", i.Reason, i.Err.Class, i.Err.Code, i.Failures, i.Elsewhere)
		},
		Refused: func(i custody.RefusedInfo) {
			l.add(t, i, "refused: %s in %s, error %t", i.Result, i.Took, i.Err != nil)
		},
		Stored: func(i custody.StoredInfo) { l.add(t, i, "store %s %s in %s", i.Call, i.Outcome(), i.Took) },
	}
}

// open starts a Keeper of cfg that tells l.
func (l *told) open(t *testing.T, cfg custody.Config) *custody.Keeper {
	t.Helper()
	cfg.Trace = l.trace(t)
	k := open(t, cfg)
	l.keeper.Store(k)
	return k
}

// single is a store without its optional abilities.
func single(store custody.Store) custody.Store { return struct{ custody.Store }{store} }

const freshLeft = life - 20*time.Second // of a token that was just fetched

// TestTraceOfARenewal: each step of the first fetch and of the one ahead of the
// token's end, in order, with its time.
func TestTraceOfARenewal(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		i.takesTime(time.Second)
		var l told
		cfg := config(i, slow{store}) // Load takes 300 ms
		cfg.Kind.DailyFetches = 9
		mustToken(t, l.open(t, cfg), value(1))
		l.must(t, true,
			"store load not_found in 300ms", "store acquire ok in 0s", "store begin ok in 0s",
			"fetched missing mode 0 in 1s: ok, 1 of 9",
			"store save ok in 0s",
			"renewed missing: saved, forced false, in 1.3s, left "+(freshLeft-time.Second).String())
		pass(life - 30*time.Second)
		l.must(t, true,
			"store load ok in 300ms", "store acquire ok in 0s", "store begin ok in 0s",
			"fetched ahead mode 0 in 1s: ok, 2 of 9",
			"store save ok in 0s",
			"renewed ahead: saved, forced false, in 1.3s, left "+(freshLeft-time.Second).String())
	})
}

// TestTraceOfTheCommonCount: calls on the count that several credentials have in common are
// reported under its own key, the others under the credential's.
func TestTraceOfTheCommonCount(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		cfg := config(i, store)
		cfg.Kind.Shared = custody.Shared{Key: custody.Key{Kind: "fetches", AppID: "ww1"}, HourlyFetches: 9}
		var got []string
		cfg.Trace = &custody.Trace{Stored: func(i custody.StoredInfo) {
			name := map[custody.Key]string{cfg.Key: "credential", cfg.Kind.Shared.Key: "count"}[i.Key]
			got = append(got, fmt.Sprintf("%s of the %s", i.Call, name))
		}}
		mustToken(t, open(t, cfg), value(1))
		want := []string{
			"load of the credential", "acquire of the credential",
			"acquire of the count", "release of the count", "begin of the credential", "save of the credential",
		}
		if !slices.Equal(got, want) {
			t.Errorf("reported: %q, want %q", got, want)
		}
	})
}

// TestTraceOfAdoption: what another process renewed, or an earlier run, is told
// when it can be handed out: with a store that tells of changes, in the moment in
// which it was renewed.
func TestTraceOfAdoption(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		a := open(t, config(i, store))
		mustToken(t, a, value(1))
		pass(time.Minute)
		var l told
		var fence int64
		var at time.Time
		var has string
		cfg := config(i, store)
		cfg.Trace = l.trace(t)
		write := cfg.Trace.Adopted
		cfg.Trace.Adopted = func(info custody.AdoptedInfo) {
			if k := l.keeper.Load(); k != nil {
				token, _ := k.Token(context.Background())
				has = token.Value()
			}
			at, fence = time.Now(), info.Fence
			write(info)
		}
		b := open(t, cfg)
		mustToken(t, b, value(1))
		l.keeper.Store(b)
		l.must(t, false, "adopted first true, left "+(freshLeft-time.Minute).String())

		i.supersede()
		token, err := a.Reject(t.Context(), value(1))
		if err != nil {
			t.Fatal(err)
		}
		saved := time.Now()
		pass(0)
		l.must(t, false, "adopted first false, left "+freshLeft.String())
		if has != value(2) || fence != token.Fence() || !at.Equal(saved) {
			t.Errorf("adopted fence %d at %s, when Token gave %s; want %d at %s and the second value", fence, at, has, token.Fence(), saved)
		}
		pass(time.Hour)
		l.must(t, false) // looking again is not news
	})
}

// TestTraceOfFailures: whoever meets one is told what it was, others that it was
// met elsewhere.
func TestTraceOfFailures(t *testing.T) {
	t.Parallel()
	t.Run("issuer", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
			refuseAll(i, custody.FetchError{Class: custody.ClassBlocked, RetryAfter: 10 * time.Minute, Code: 40125, Err: errWrongSecret})
			var l, other told
			k := l.open(t, config(i, single(store)))
			pass(0)
			l.must(t, true,
				"store load not_found in 0s", "store acquire ok in 0s", "store begin ok in 0s",
				"fetched missing mode 0 in 0s: blocked 40125, 1 of 0",
				"store release ok in 0s",
				"failed missing: blocked 40125, failures 1, elsewhere false")
			for range 100 {
				if _, err := k.Token(t.Context()); err == nil {
					t.Fatal("there is a token")
				}
			}
			l.must(t, true) // callers of a failure cause nothing
			other.open(t, config(i, single(store)))
			other.must(t, false, "failed missing: blocked 40125, failures 1, elsewhere true")
		})
	})
	t.Run("store", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
			f := &faulty{Store: store}
			var l told
			cfg := config(i, f)
			cfg.Kind = i.classic()
			mustToken(t, l.open(t, cfg), value(1))
			l.take(true)
			f.acquire.Store(&errAway)
			pass(life - 30*time.Second)
			lines := l.take(true)
			if !slices.Contains(lines, "store acquire error in 0s") || !slices.Contains(lines, "failed ahead: transient 0, failures 1, elsewhere false") {
				t.Errorf("told:\n  %s", strings.Join(lines, "\n  "))
			}
		})
	})
	t.Run("daily limit", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
			var l told
			cfg := config(i, store)
			cfg.Kind.DailyFetches = 1
			k := l.open(t, cfg)
			mustToken(t, k, value(1))
			l.take(true)
			i.supersede()
			if _, err := k.Reject(t.Context(), value(1)); !errors.Is(err, custody.ErrDailyLimit) {
				t.Fatal(err)
			}
			l.must(t, false,
				"failed refused: quota 0, failures 0, elsewhere false",
				"refused: no_other in 0s, error true")
		})
	})
}

// TestTraceOfRefusals: each end of a Reject.
func TestTraceOfRefusals(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		var l told
		k := l.open(t, config(i, single(store)))
		mustToken(t, k, value(1))
		l.take(true)
		refused := func(value, want string) {
			t.Helper()
			_, _ = k.Reject(t.Context(), value)
			lines := l.take(false)
			if len(lines) == 0 || lines[len(lines)-1] != want {
				t.Errorf("told:\n  %s\nwant last:\n  %s", strings.Join(lines, "\n  "), want)
			}
		}
		refused(value(1), "refused: accepted in 0s, error false")
		refused(value(1), "refused: accepted in 1s, error false") // by the next probe
		refused(value(7), "refused: newer in 0s, error false")
		pass(2 * time.Minute)

		i.supersede()
		i.takesTime(2 * time.Second)
		refused(value(1), "refused: renewed in 2s, error false")

		other := open(t, config(i, single(store)))
		mustToken(t, other, value(2))
		i.supersede()
		if _, err := other.Reject(t.Context(), value(2)); err != nil {
			t.Fatal(err)
		}
		refused(value(2), "refused: newer in 0s, error false") // in the store

		i.supersede()
		over, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _ = k.Reject(over, value(3))
		l.must(t, false, "refused: abandoned in 1s, error true")
		pass(time.Second) // it goes on
		l.must(t, false, "fetched refused mode 0 in 2s: ok, 4 of 0", "renewed refused: saved, forced false, in 2s, left "+(freshLeft-2*time.Second).String())

		i.says(func(string) custody.Verdict { return custody.Rejected })
		refused(value(4), "refused: renewed in 2s, error false") // the new one is refused too
		refused(value(5), "refused: no_other in 2s, error true") // and still is: the breaker opens
		refused(value(5), "refused: no_other in 0s, error true")
	})
}

// TestTraceOfAForcedFetch: the issuer answers the refused value first.
func TestTraceOfAForcedFetch(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		i.answers(func(_ int, mode custody.Mode) (custody.Grant, error) {
			if mode == custody.Forced {
				return grant(2), nil
			}
			return grant(1), nil
		})
		var l told
		k := l.open(t, config(i, single(store)))
		mustToken(t, k, value(1))
		l.take(true)
		i.supersede()
		if _, err := k.Reject(t.Context(), value(1)); err != nil {
			t.Fatal(err)
		}
		l.must(t, false,
			"fetched refused mode 0 in 0s: ok, 2 of 0",
			"fetched refused mode 1 in 0s: ok, 3 of 0",
			"renewed refused: saved, forced true, in 0s, left "+freshLeft.String(),
			"refused: renewed in 0s, error false")
	})
}

// TestTraceOfResults: what becomes of a value that was fetched.
func TestTraceOfResults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(i *issuer, f *faulty)
		want    string // in the lines of the second renewal
	}{
		"same": {func(i *issuer, _ *faulty) {
			i.answers(func(int, custody.Mode) (custody.Grant, error) { return grant(1), nil })
		}, "renewed ahead: same, forced false, in 0s, left " + freshLeft.String()},
		"unsaved": {func(_ *issuer, f *faulty) { f.save.Store(&errAway) }, "renewed ahead: unsaved, forced false, in 0s, left " + freshLeft.String()},
		"overtaken": {func(_ *issuer, f *faulty) {
			err := custody.ErrFenced
			f.save.Store(&err)
		}, "renewed ahead: overtaken, forced false, in 0s, left 0s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
				f := &faulty{Store: store}
				var l told
				mustToken(t, l.open(t, config(i, f)), value(1))
				l.take(true)
				c.prepare(i, f)
				pass(life - 30*time.Second)
				if lines := l.take(false); !slices.Contains(lines, c.want) {
					t.Errorf("told:\n  %s\nwant among them:\n  %s", strings.Join(lines, "\n  "), c.want)
				}
			})
		})
	}
}

// TestTraceWithoutAStore: a fetch that nobody counts.
func TestTraceWithoutAStore(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		f := &faulty{Store: store}
		f.load.Store(&errAway)
		var l told
		mustToken(t, l.open(t, config(i, f)), value(1))
		l.must(t, false,
			"fetched missing mode 0 in 0s: ok, 0 of 0",
			"renewed missing: unsaved, forced false, in 15s, left "+freshLeft.String())
	})
}

// TestTraceOfShortening: an outcome that nobody knows shortens the life of what is
// handed out, here and in every other process.
func TestTraceOfShortening(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		unanswered(i)
		cfg := config(i, store)
		cfg.Kind = i.classic()
		var here, elsewhere told
		k := here.open(t, cfg)
		mustToken(t, k, value(1))
		mustToken(t, elsewhere.open(t, cfg), value(1))
		here.take(true)
		elsewhere.take(true)
		reject(t, i, k)
		want := "shortened to " + (cutLife - 20*time.Second).String()
		here.must(t, false,
			"fetched refused mode 0 in 0s: transient 0, 2 of 0", want,
			"failed refused: transient 0, failures 1, elsewhere false", "refused: no_other in 0s, error true")
		if lines := elsewhere.take(false); !slices.Contains(lines, want) {
			t.Errorf("the other process was told %q, want %q among it", lines, want)
		}
	})
}

// TestTraceOfMany: a call for the records of many Keepers is told once.
func TestTraceOfMany(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		s := custody.NewScheduler(custody.SchedulerConfig{})
		t.Cleanup(s.Close)
		var l, other told
		shared := l.trace(t)
		for n := range 10 {
			cfg := config(i, struct {
				custody.Store
				custody.ManyLoader
			}{store, store})
			cfg.Key.AppID = fmt.Sprintf("wx%016x", n)
			cfg.Scheduler, cfg.Trace = s, shared
			switch n {
			case 0:
				cfg.Trace = nil
			case 7:
				cfg.Trace = other.trace(t)
			}
			open(t, cfg)
		}
		pass(time.Second)
		lines := append(l.take(true), other.take(true)...)
		if n := strings.Count(strings.Join(lines, "\n"), "store load_many ok in 0s"); n != 1 {
			t.Errorf("told %d times:\n  %s", n, strings.Join(lines, "\n  "))
		}
	})
}

// TestJoinTraces: all are told, in their order; what none wants to know stays nil.
func TestJoinTraces(t *testing.T) {
	t.Parallel()
	var order []string
	say := func(text string) func(custody.RenewedInfo) {
		return func(custody.RenewedInfo) { order = append(order, text) }
	}
	stored := 0
	first, second := &custody.Trace{Renewed: say("first")}, &custody.Trace{Renewed: say("second"), Stored: func(custody.StoredInfo) { stored++ }}
	joined := custody.JoinTraces(nil, first, nil, second, &custody.Trace{})
	joined.Renewed(custody.RenewedInfo{})
	joined.Stored(custody.StoredInfo{})
	if !slices.Equal(order, []string{"first", "second"}) || stored != 1 || joined.Failed != nil {
		t.Errorf("told %q and of %d store calls; Failed is nil: %t", order, stored, joined.Failed == nil)
	}
	first.Renewed(custody.RenewedInfo{})
	if len(order) != 3 {
		t.Error("joining changed what was joined")
	}
	if custody.JoinTraces(nil, nil) != nil {
		t.Error("of none there is one")
	}
}

// TestTraceCostsTokenNothing: Token pays nothing for a Trace.
func TestTraceCostsTokenNothing(t *testing.T) {
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		var l told
		k := l.open(t, config(i, single(store)))
		mustToken(t, k, value(1))
		l.take(true) // the renewal is told after its token is handed out
		ctx := t.Context()
		if n := testing.AllocsPerRun(1000, func() { _, _ = k.Token(ctx) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
		l.must(t, true)
	})
}
