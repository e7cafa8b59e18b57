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

// cutLife is what is left of 7,200 s after a token was, perhaps, superseded: the
// overlap of 5 min less a reserve of 30 s.
const cutLife = 270 * time.Second

// unanswered makes the second fetch one whose outcome nobody knows.
func unanswered(i *issuer) {
	i.answers(func(n int, _ custody.Mode) (custody.Grant, error) {
		if n == 2 {
			return custody.Grant{}, &custody.FetchError{Class: custody.ClassTransient, Unanswered: true, Err: errors.New("no answer")}
		}
		return grant(n), nil
	})
}

// reject has the first value refused, nobody knows whether rightly, which leads
// to a second fetch that fails.
func reject(t *testing.T, i *issuer, k *custody.Keeper) {
	t.Helper()
	mustToken(t, k, value(1))
	i.says(func(string) custody.Verdict { return custody.NoVerdict })
	if _, err := k.Reject(t.Context(), value(1)); err == nil {
		t.Fatal("Reject succeeded")
	}
	mustFetches(t, i, 2)
	mustToken(t, k, value(1))
}

// TestUnansweredFetch: where each fetch supersedes the value before, the current
// one is trusted for the overlap alone, here and in the store, and the next
// attempt comes when half of that is over.
func TestUnansweredFetch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		overlap time.Duration // Config.Overlap
		cut     time.Duration
	}{
		{"WeChat's overlap", 0, cutLife},
		{"ten minutes", 10 * time.Minute, 10*time.Minute - 30*time.Second},
		{"one minute", time.Minute, 54 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
				unanswered(i)
				cfg := config(i, store)
				cfg.Kind, cfg.Overlap = i.classic(), c.overlap
				k := open(t, cfg)
				reject(t, i, k)
				start := time.Now()
				if left := k.Status().Left; left != c.cut-20*time.Second {
					t.Errorf("%s are left, want %s less the margin", left, c.cut)
				}
				record, err := store.Load(t.Context(), accessToken)
				if err != nil || record.End.Sub(record.Now) != c.cut {
					t.Errorf("in the store %s are left (%v), want %s", record.End.Sub(record.Now), err, c.cut)
				}
				pass(c.cut/2 - time.Second)
				mustFetches(t, i, 2)
				pass(2 * time.Second)
				mustFetches(t, i, 3)
				if gap := i.asked()[2].at.Sub(start); gap < c.cut/2 {
					t.Errorf("tried again after %s, want %s", gap, c.cut/2)
				}
				mustToken(t, k, value(3))
			})
		})
	}
}

// TestUnansweredFetchForARefusedToken: the issuer refuses the current value, so
// there is nothing to wait for: the ordinary back-off holds.
func TestUnansweredFetchForARefusedToken(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		unanswered(i)
		cfg := config(i, store)
		cfg.Kind = i.classic()
		k := open(t, cfg)
		mustToken(t, k, value(1))
		i.supersede()
		_, err := k.Reject(t.Context(), value(1))
		var e *custody.Error
		if !errors.As(err, &e) || e.RetryAfter > 1200*time.Millisecond {
			t.Fatalf("Reject: %v; want a failure that is tried again after a second", err)
		}
		pass(2 * time.Second)
		if token, err := k.Reject(t.Context(), value(1)); err != nil || token.Value() != value(3) {
			t.Errorf("Reject: %q, %v; want the third value", token.Value(), err)
		}
	})
}

// TestAnsweredFailure and failures of an idempotent kind cut nothing: the
// current value is still the latest.
func TestAnsweredFailure(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"an errcode", "idempotent"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
				cfg := config(i, store)
				unanswered(i)
				if name == "an errcode" {
					cfg.Kind = i.classic()
					i.answers(func(n int, _ custody.Mode) (custody.Grant, error) {
						if n == 2 {
							return custody.Grant{}, &custody.FetchError{Class: custody.ClassTransient, Code: -1, Err: errors.New("busy")}
						}
						return grant(n), nil
					})
				}
				k := open(t, cfg)
				reject(t, i, k)
				if left := k.Status().Left; left != life-20*time.Second {
					t.Errorf("%s are left, want all of it", left)
				}
			})
		})
	}
}

// TestShortenIsRepeated until the store takes it, and no look at the store makes
// the life longer meanwhile.
func TestShortenIsRepeated(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		unanswered(i)
		f := &deaf{Store: store}
		f.deaf.Store(true)
		cfg := config(i, f)
		cfg.Kind = i.classic()
		k := open(t, cfg)
		reject(t, i, k)
		pass(10 * time.Second)
		if left := k.Status().Left; left != cutLife-30*time.Second {
			t.Errorf("%s are left although the store still says otherwise", left)
		}
		f.deaf.Store(false)
		pass(30 * time.Second)
		record, err := store.Load(t.Context(), accessToken)
		if err != nil || record.End.Sub(record.Now) != cutLife-40*time.Second {
			t.Errorf("in the store %s are left (%v), want %s", record.End.Sub(record.Now), err, cutLife-40*time.Second)
		}
	})
}

// deaf is a store that takes no Shorten.
type deaf struct {
	custody.Store
	deaf atomic.Bool
}

func (d *deaf) Shorten(ctx context.Context, key custody.Key, fence int64, end time.Time) error {
	if d.deaf.Load() {
		return errAway
	}
	return d.Store.Shorten(ctx, key, fence, end)
}

// TestKilledHolder: a process took the lease, began and was never heard of
// again. The others wait for its lease's end, count the life from its Begin,
// and one of them renews.
func TestKilledHolder(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		cfg := config(i, store)
		cfg.Kind = i.classic()
		a, b := open(t, cfg), open(t, cfg)
		mustToken(t, a, value(1))
		mustToken(t, b, value(1))
		synctest.Wait() // no lease is theirs
		lease, err := store.Acquire(t.Context(), accessToken, "killed", 12*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Begin(t.Context(), lease, nil); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		i.supersede()
		i.takesTime(2 * time.Second)
		done := make(chan struct{}, 2)
		for _, k := range []*custody.Keeper{a, b} {
			go func() {
				defer func() { done <- struct{}{} }()
				if token, err := k.Reject(t.Context(), value(1)); err != nil || token.Value() != value(2) {
					t.Errorf("Reject: %q, %v; want the second value", token.Value(), err)
				}
			}()
		}
		pass(11 * time.Second)
		mustFetches(t, i, 1)
		pass(2 * time.Second)
		mustFetches(t, i, 2)
		record, err := store.Load(t.Context(), accessToken)
		if err != nil || record.End.Sub(begun) != cutLife {
			t.Errorf("during the renewal the old value's end in the store is %s after the unfinished Begin (%v), want %s", record.End.Sub(begun), err, cutLife)
		}
		<-done
		<-done
		mustFetches(t, i, 2)
	})
}

// TestKilledHolderWhileAlive: nobody notices while the old token lives, and it
// is renewed before its end.
func TestKilledHolderWhileAlive(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		k := open(t, config(i, store))
		mustToken(t, k, value(1))
		pass(life - 295*time.Second) // just before the window
		if _, err := store.Acquire(t.Context(), accessToken, "killed", 12*time.Second); err != nil {
			t.Fatal(err)
		}
		for range 270 {
			if _, err := k.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			pass(time.Second)
		}
		mustToken(t, k, value(2))
		mustFetches(t, i, 2)
	})
}

// standStill is what a holder of the lease meets who is stopped for so long that
// another process takes the lease and renews.
func standStill(store custody.Store) error {
	time.Sleep(15 * time.Second)
	ctx := context.Background()
	other, err := store.Acquire(ctx, accessToken, "another process", 12*time.Second)
	if err != nil {
		return err
	}
	return store.Save(ctx, other, custody.Record{Value: "91_newer", End: other.Record.Now.Add(life), Life: life})
}

// overtaken is a store whose holder stands still before one of its Begins or Saves.
type overtaken struct {
	custody.Store
	begin, save atomic.Bool
	still       atomic.Bool // the process is stopped: it extends no lease
}

// standStill stops the whole process while another renews.
func (o *overtaken) standStill() error {
	o.still.Store(true)
	defer o.still.Store(false)
	return standStill(o.Store)
}

func (o *overtaken) Acquire(ctx context.Context, key custody.Key, attempt string, ttl time.Duration) (custody.Lease, error) {
	if o.still.Load() {
		return custody.Lease{}, errAway
	}
	return o.Store.Acquire(ctx, key, attempt, ttl)
}

func (o *overtaken) Begin(ctx context.Context, lease custody.Lease, notes []byte) error {
	if o.begin.CompareAndSwap(true, false) {
		if err := standStill(o.Store); err != nil {
			return err
		}
	}
	return o.Store.Begin(context.WithoutCancel(ctx), lease, notes)
}

func (o *overtaken) Save(ctx context.Context, lease custody.Lease, record custody.Record) error {
	if o.save.CompareAndSwap(true, false) {
		if err := standStill(o.Store); err != nil {
			return err
		}
	}
	return o.Store.Save(context.WithoutCancel(ctx), lease, record)
}

// TestLateSave is refused, and the late process serves the newer token; where
// its fetch may have superseded that one, for the overlap alone.
func TestLateSave(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]func(*issuer) custody.Kind{"stable": (*issuer).kind, "classic": (*issuer).classic} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
				o := &overtaken{Store: store}
				o.save.Store(true)
				cfg := config(i, o)
				cfg.Kind = kind(i)
				k := open(t, cfg)
				token := mustToken(t, k, "91_newer")
				want := life - 20*time.Second
				if name == "classic" {
					want = cutLife - 20*time.Second // from its own beginning, which was after the late fetch
				}
				if token.Left() != want {
					t.Errorf("%s are left, want %s", token.Left(), want)
				}
				record, err := store.Load(t.Context(), accessToken)
				if err != nil || record.Value != "91_newer" {
					t.Errorf("the store holds %v (%v), want the newer value", record.Value, err)
				}
				mustFetches(t, i, 1)
			})
		})
	}
}

// TestLostLease: who stood still before, or in, a fetch that came to nothing looks
// at what the others did meanwhile, instead of telling callers that it failed.
func TestLostLease(t *testing.T) {
	t.Parallel()
	type setup func(*testing.T, *issuer, *overtaken)
	inTheFetch := func(t *testing.T, i *issuer, o *overtaken) {
		i.answers(func(n int, _ custody.Mode) (custody.Grant, error) {
			if n == 1 {
				return grant(n), nil
			}
			if err := o.standStill(); err != nil {
				t.Error(err)
			}
			return custody.Grant{}, &custody.FetchError{Class: custody.ClassTransient, Unanswered: true, Err: errors.New("deadline exceeded")}
		})
	}
	beforeIt := func(_ *testing.T, _ *issuer, o *overtaken) { o.begin.Store(true) }
	for _, c := range []struct {
		name    string
		kind    func(*issuer) custody.Kind
		prepare setup
		fetches int
		left    time.Duration
	}{
		{"before the fetch", (*issuer).kind, beforeIt, 1, life - 20*time.Second},
		{"before a fetch that supersedes", (*issuer).classic, beforeIt, 1, life - 20*time.Second},
		{"in the fetch", (*issuer).kind, inTheFetch, 2, life - 20*time.Second},
		{"in a fetch that supersedes", (*issuer).classic, inTheFetch, 2, cutLife - 20*time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
				o := &overtaken{Store: store} // which tells nobody of changes
				cfg := config(i, o)
				cfg.Kind = c.kind(i)
				k := open(t, cfg)
				mustToken(t, k, value(1))
				i.supersede()
				c.prepare(t, i, o)
				token, err := k.Reject(t.Context(), value(1))
				if err != nil || token.Value() != "91_newer" {
					t.Fatalf("Reject: %s, %v; want the newer value", token.Value(), err)
				}
				synctest.Wait() // it is shortened after it is handed out
				if token = mustToken(t, k, "91_newer"); token.Left() != c.left {
					t.Errorf("%s are left, want %s", token.Left(), c.left)
				}
				if s := k.Status(); s.Failure != nil {
					t.Errorf("a failure is remembered: %v", s.Failure)
				}
				record, err := store.Load(t.Context(), accessToken)
				if err != nil || record.Value != "91_newer" || record.End.Sub(record.Now) != c.left+20*time.Second {
					t.Errorf("the store holds %q for %s (%v)", record.Value, record.End.Sub(record.Now), err)
				}
				mustFetches(t, i, c.fetches)
			})
		})
	}
}

// TestLeaseLostForEver: a store that always says that the lease is another's costs
// one attempt, and no loop of fetches.
func TestLeaseLostForEver(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		f := &faulty{Store: store}
		fenced := custody.ErrFenced
		f.release.Store(&fenced)
		refuseAll(i, custody.FetchError{Class: custody.ClassTransient, Err: errors.New("busy")})
		k := open(t, config(i, f))
		if _, err := k.Token(t.Context()); err == nil {
			t.Error("there is a token")
		}
		if got := len(i.asked()); got > 2 {
			t.Errorf("%d fetches at once, want at most 2", got)
		}
	})
}

// TestNewsDuringAFailure: the store told that the record changed while an attempt
// failed, so a caller of Reject hears what it has before it hears of the failure.
func TestNewsDuringAFailure(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		o := &overtaken{Store: store}
		f := &faulty{Store: o}
		k := open(t, config(i, struct {
			*faulty
			custody.Watcher
		}{f, store}))
		mustToken(t, k, value(1))
		i.supersede()
		f.release.Store(&errAway) // so it does not learn that the lease is another's
		i.answers(func(int, custody.Mode) (custody.Grant, error) {
			if err := o.standStill(); err != nil {
				t.Error(err)
			}
			pass(time.Millisecond) // in which the notice arrives
			return custody.Grant{}, &custody.FetchError{Class: custody.ClassTransient, Err: errors.New("busy")}
		})
		token, err := k.Reject(t.Context(), value(1))
		if err != nil || token.Value() != "91_newer" {
			t.Errorf("Reject: %s, %v; want the newer value", token.Value(), err)
		}
	})
}

// TestUnsavedToken is served, and saved as soon as the store takes it; another
// process waits for that instead of fetching.
func TestUnsavedToken(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		f := &faulty{Store: store}
		away := errAway
		f.save.Store(&away)
		a := open(t, config(i, f))
		mustToken(t, a, value(1))
		b := open(t, config(i, store))
		pass(2 * time.Second) // the lease lasts for 5 s
		mustToken(t, a, value(1))
		f.save.Store(nil)
		mustToken(t, b, value(1))
		mustFetches(t, i, 1)
	})
}

// TestUnsavedTokenIsThenLost: once it was saved, a store that loses it is given
// it back.
func TestUnsavedTokenIsThenLost(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		s := &swapped{Store: store, notice: make(chan custody.Key)}
		s.now.Store(store)
		f := &faulty{Store: s}
		away := errAway
		f.save.Store(&away)
		k := open(t, config(i, struct {
			*faulty
			custody.Watcher
		}{f, s}))
		mustToken(t, k, value(1))
		f.save.Store(nil)
		pass(time.Minute)
		s.now.Store(memory.New())
		s.notice <- accessToken
		synctest.Wait()
		if record, err := s.Load(t.Context(), accessToken); err != nil || record.Value != value(1) {
			t.Errorf("the store holds %v (%v), want what it lost", record.Value, err)
		}
		mustFetches(t, i, 1)
	})
}

// TestStoreWentBack to a backup whose token is over: the live one is kept and
// saved again.
func TestStoreWentBack(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		backup := memory.New()
		lease, err := backup.Acquire(t.Context(), accessToken, "long ago", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if err := backup.Save(t.Context(), lease, custody.Record{Value: "91_old", End: lease.Record.Now.Add(time.Minute), Life: life}); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		s := &swapped{Store: store, notice: make(chan custody.Key)}
		s.now.Store(store)
		k := open(t, config(i, s))
		mustToken(t, k, value(1))
		s.now.Store(backup)
		s.notice <- accessToken
		synctest.Wait()
		mustToken(t, k, value(1))
		if record, err := backup.Load(t.Context(), accessToken); err != nil || record.Value != value(1) {
			t.Errorf("the store holds %v (%v), want the live value", record.Value, err)
		}
		mustFetches(t, i, 1)
	})
}

// TestUnsavedTokenIsSavedByClose, so that the next start has it.
func TestUnsavedTokenIsSavedByClose(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		f := &faulty{Store: store}
		away := errAway
		f.save.Store(&away)
		k, err := custody.New(config(i, f))
		if err != nil {
			t.Fatal(err)
		}
		mustToken(t, k, value(1))
		f.save.Store(nil)
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		mustToken(t, open(t, config(i, store)), value(1))
		mustFetches(t, i, 1)
	})
}

// TestUnsavedTokenIsNotReplacedByTheOlder one that the store still has.
func TestUnsavedTokenIsNotReplacedByTheOlder(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		f := &faulty{Store: store}
		k := open(t, config(i, f))
		mustToken(t, k, value(1))
		away := errAway
		f.save.Store(&away)
		i.supersede()
		if token, err := k.Reject(t.Context(), value(1)); err != nil || token.Value() != value(2) {
			t.Fatalf("Reject: %q, %v", token.Value(), err)
		}
		for range 100 { // each repetition of the Save looks at the store as well
			mustToken(t, k, value(2))
			pass(time.Second)
		}
		f.save.Store(nil)
		pass(2 * time.Minute)
		record, err := store.Load(t.Context(), accessToken)
		if err != nil || record.Value != value(2) {
			t.Errorf("the store holds %v (%v), want the second value", record.Value, err)
		}
	})
}

// swapped is a store that can lose everything, and tells so.
type swapped struct {
	custody.Store
	now    atomic.Pointer[memory.Store]
	notice chan custody.Key
}

func (s *swapped) Load(ctx context.Context, key custody.Key) (custody.Record, error) {
	return s.now.Load().Load(ctx, key)
}

func (s *swapped) Acquire(ctx context.Context, key custody.Key, attempt string, ttl time.Duration) (custody.Lease, error) {
	return s.now.Load().Acquire(ctx, key, attempt, ttl)
}

func (s *swapped) Begin(ctx context.Context, lease custody.Lease, notes []byte) error {
	return s.now.Load().Begin(ctx, lease, notes)
}

func (s *swapped) Save(ctx context.Context, lease custody.Lease, record custody.Record) error {
	return s.now.Load().Save(ctx, lease, record)
}

func (s *swapped) Release(ctx context.Context, lease custody.Lease, notes []byte) error {
	return s.now.Load().Release(ctx, lease, notes)
}

func (s *swapped) Watch(ctx context.Context) (<-chan custody.Key, error) {
	out := make(chan custody.Key)
	go func() {
		defer close(out)
		for {
			select {
			case key := <-s.notice:
				select {
				case out <- key:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

// TestStoreThatLostEverything: the live token is kept, and saved again without a
// fetch; other processes then find it.
func TestStoreThatLostEverything(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		s := &swapped{Store: store, notice: make(chan custody.Key)}
		s.now.Store(store)
		k := open(t, config(i, s))
		before := mustToken(t, k, value(1))
		pass(time.Hour)
		s.now.Store(memory.New())
		s.notice <- accessToken
		synctest.Wait()
		after := mustToken(t, k, value(1))
		if after.Fence() <= before.Fence() {
			t.Errorf("the fence went from %d to %d", before.Fence(), after.Fence())
		}
		if after.Left() != life-time.Hour-20*time.Second {
			t.Errorf("%s are left, want what was left before", after.Left())
		}
		other := mustToken(t, open(t, config(i, s)), value(1))
		if other.Left() != after.Left() || other.Origin() != custody.OriginStore {
			t.Errorf("another process has %s left from %s", other.Left(), other.Origin())
		}
		mustFetches(t, i, 1)
	})
}
