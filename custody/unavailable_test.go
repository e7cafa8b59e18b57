package custody_test

import (
	"errors"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// TestStoreThatOthersWrite: a process whose last write failed learns from what another
// process saved that the store takes writes. What failed hours ago does not use up the
// patience with the next failure.
func TestStoreThatOthersWrite(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		f := &faulty{Store: store}
		a := open(t, config(i, f))
		mustToken(t, a, value(1))
		f.acquire.Store(&errAway)
		time.Sleep(life - 5*time.Minute)
		for a.Status().Renewal > 0 {
			pass(100 * time.Millisecond)
		}
		b := open(t, config(i, store))
		b.Renew()
		for a.Status().Left < time.Hour || b.Status().Left < time.Hour {
			pass(time.Second) // until b has renewed, and a has seen it
		}
		f.acquire.Store(nil)
		mustFetches(t, i, 2)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}

		time.Sleep(life - 10*time.Minute)
		f.load.Store(&errAway)
		for a.Status().Failure == nil && len(i.asked()) == 2 {
			pass(100 * time.Millisecond)
		}
		pass(5 * time.Second)
		mustFetches(t, i, 2)
		f.load.Store(nil)
		pass(5 * time.Second)
		mustFetches(t, i, 3)
	})
}

// TestOlderRecordThatLives: a value that was fetched without the store is the newest
// until it ends. What the store has is handed out then, if that still lives.
func TestOlderRecordThatLives(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		i.answers(func(n int, _ custody.Mode) (custody.Grant, error) {
			g := grant(n)
			if n == 2 {
				g.ExpiresIn = 2 * time.Minute
			}
			return g, nil
		})
		other := open(t, config(i, store))
		mustToken(t, other, value(1))
		f := &faulty{Store: store}
		f.load.Store(&errAway)
		f.acquire.Store(&errAway)
		k := open(t, config(i, f))
		mustToken(t, k, value(2)) // after the patience with the store
		f.load.Store(nil)
		i.answers(func(int, custody.Mode) (custody.Grant, error) {
			return custody.Grant{}, &custody.FetchError{Class: custody.ClassTransient, Err: errAway}
		})
		pass(3 * time.Minute)
		mustToken(t, k, value(1))
	})
}

// TestUnsavedAndEnded: a value that the store did not take while it lived is not brought to
// it afterwards, where an older one may live longer.
func TestUnsavedAndEnded(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		f := &faulty{Store: silent(store)}
		k := open(t, config(i, f))
		mustToken(t, k, value(1))
		i.answers(func(n int, _ custody.Mode) (custody.Grant, error) {
			if n > 2 {
				return custody.Grant{}, &custody.FetchError{Class: custody.ClassTransient, Err: errors.New("busy")}
			}
			return custody.Grant{Value: custody.NewSecret(value(n)), ExpiresIn: 2 * time.Minute}, nil
		})
		f.save.Store(&errAway)
		k.Renew()
		pass(20 * time.Second)
		mustToken(t, k, value(2))
		f.acquire.Store(&errAway) // nobody renews in the meantime
		pass(5 * time.Minute)
		f.save.Store(nil)
		f.acquire.Store(nil)
		pass(5 * time.Minute)
		mustToken(t, k, value(1))
		if record, err := store.Load(t.Context(), config(i, f).Key); err != nil || !record.End.After(record.Now) || record.Value != value(1) {
			t.Errorf("the store has %q until %s, %v; want %q, which lives", record.Value, record.End, err, value(1))
		}
	})
}

// TestEndedWhileTheStoreFails: while a value lived, nobody waited for the store. Callers
// that come when it has ended do, although an attempt has failed a moment ago.
func TestEndedWhileTheStoreFails(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		i.answers(func(n int, _ custody.Mode) (custody.Grant, error) {
			return custody.Grant{Value: custody.NewSecret(value(n)), ExpiresIn: 12 * time.Second}, nil
		})
		f := &faulty{Store: store}
		cfg := config(i, f)
		cfg.Timing.FetchTimeout = time.Second // an attempt takes half of it
		k := open(t, cfg)
		mustToken(t, k, value(1))
		f.acquire.Store(&errAway)
		for k.Status().Live {
			time.Sleep(10 * time.Millisecond)
		}
		if failed := k.Status().Failure; failed == nil || failed.RetryAfter == 0 {
			t.Fatalf("when the token ended, %v lasted: nothing was proven", failed)
		}
		time.AfterFunc(2*time.Second, func() { f.acquire.Store(nil) })
		mustToken(t, k, value(2))
	})
}

// TestStoreSilentDuringAFetch: the lease of a holder whose store is silent while the
// issuer takes its time ends, and nobody takes it. The answer is saved under it, since an
// extension after its end would have made it another.
func TestStoreSilentDuringAFetch(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		f := &faulty{Store: silent(store)}
		i.answers(func(n int, _ custody.Mode) (custody.Grant, error) {
			f.acquire.Store(&errAway)
			time.AfterFunc(custody.Timing{}.WithDefaults().LeaseTTL+400*time.Millisecond, func() { f.acquire.Store(nil) })
			time.Sleep(7500 * time.Millisecond)
			return grant(n), nil
		})
		k := open(t, config(i, f))
		mustToken(t, k, value(1))
		mustFetches(t, i, 1)
		if record, err := store.Load(t.Context(), config(i, store).Key); err != nil || record.Value != value(1) {
			t.Errorf("the store has %q, %v; want the value that was fetched", record.Value, err)
		}
	})
}

// TestRefusedWhileLoadsFail: a call whose token was refused gets another process's newer one
// although the first look fails.
func TestRefusedWhileLoadsFail(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		f := &faulty{Store: silent(store)}
		a, b := open(t, config(i, f)), open(t, config(i, store))
		mustToken(t, a, value(1))
		b.Renew()
		pass(5 * time.Second)
		mustToken(t, b, value(2))
		f.load.Store(&errAway)
		time.AfterFunc(time.Second, func() { f.load.Store(nil) })
		if token, err := a.Reject(called(t, "/a", time.Time{}), value(1)); err != nil || token.Value() != value(2) {
			t.Errorf("Reject: %q, %v; want the newer value", token.Value(), err)
		}
	})
}
