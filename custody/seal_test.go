package custody_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

var sealA, sealB = sealKey("a"), sealKey("b")

func sealKey(letter string) custody.Secret { return custody.NewSecret(strings.Repeat(letter, 32)) }

func sealed(i *issuer, store custody.Store, keys ...custody.Secret) custody.Config {
	cfg := config(i, store)
	cfg.SealKeys = keys
	return cfg
}

// TestSealed: the store does not see the value; a restart with the key does; and
// keys are rotated without a fetch.
func TestSealed(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		mustToken(t, open(t, sealed(i, store, sealA)), value(1))
		record, err := store.Load(t.Context(), accessToken)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(record.Value, value(1)) || len(record.SealKey) != 16 {
			t.Errorf("the store holds %q under seal key %q", record.Value, record.SealKey)
		}
		mustToken(t, open(t, sealed(i, store, sealA)), value(1))
		mustToken(t, open(t, sealed(i, store, sealB, sealA)), value(1))
		mustFetches(t, i, 1)
	})
}

// TestInTheClear: where there are seal keys, a value in the clear is not used: it is
// replaced, which the log says, and the new one is sealed.
func TestInTheClear(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		mustToken(t, open(t, config(i, store)), value(1))
		log := new(logtest.Log)
		cfg := sealed(i, store, sealA)
		cfg.Logger = log.Logger(slog.LevelWarn)
		mustToken(t, open(t, cfg), value(2))
		mustFetches(t, i, 2)
		if n := strings.Count(log.String(), "in the clear is not used"); n != 1 {
			t.Errorf("%d lines say so: %s", n, log)
		}
		record, err := store.Load(t.Context(), accessToken)
		if err != nil || record.SealKey == "" {
			t.Errorf("the store holds %v under no seal key: %v", record, err)
		}
	})
}

// put writes a value in the clear into the store, as somebody does who can.
func put(t *testing.T, store *memory.Store, value string) {
	t.Helper()
	lease, err := store.Acquire(t.Context(), accessToken, "somebody", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Save(t.Context(), lease, custody.Record{Value: value, End: lease.Record.Now.Add(2 * time.Hour), Life: 2 * time.Hour, Notes: lease.Record.Notes}); err != nil {
		t.Fatal(err)
	}
}

// TestPlanted: a value that somebody writes into the store is handed out by nobody who
// has a seal key. A process that holds a live one keeps it; one without fetches, once in
// two minutes.
func TestPlanted(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		holder := open(t, sealed(i, store, sealA))
		mustToken(t, holder, value(1))
		put(t, store, "planted")
		pass(10 * time.Second)
		mustToken(t, holder, value(1))
		mustFetches(t, i, 1)
		mustToken(t, open(t, sealed(i, store, sealA)), value(2))
		pass(10 * time.Second)
		put(t, store, "planted again")
		late := open(t, sealed(i, store, sealA))
		_, err := late.Token(t.Context())
		if e, ok := errors.AsType[*custody.Error](err); !errors.Is(err, custody.ErrSealKey) || !ok || e.RetryAfter > 2*time.Minute {
			t.Errorf("a second one in ten seconds: %v", err)
		}
		pass(2 * time.Minute)
		mustToken(t, late, value(3))
		mustFetches(t, i, 3)
	})
}

// TestAnotherSealKey: a live value that cannot be opened is renewed once in ten
// minutes, whichever process asks, and callers are told both key ids.
func TestAnotherSealKey(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		silent := struct{ custody.Store }{store}
		a := open(t, sealed(i, silent, sealA))
		mustToken(t, a, value(1))
		record, err := store.Load(t.Context(), accessToken)
		if err != nil {
			t.Fatal(err)
		}
		idA := record.SealKey
		b := open(t, sealed(i, silent, sealB)) // may renew: the first in ten minutes
		mustToken(t, b, value(2))
		record, err = store.Load(t.Context(), accessToken)
		if err != nil {
			t.Fatal(err)
		}
		idB := record.SealKey
		start := time.Now()
		for time.Since(start) < 9*time.Minute {
			c, err := custody.New(sealed(i, silent, sealA)) // restarts, again and again
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Token(t.Context())
			var e *custody.Error
			if !errors.Is(err, custody.ErrSealKey) || !errors.As(err, &e) || e.RetryAfter <= 0 || e.RetryAfter > 10*time.Minute {
				t.Fatalf("Token: %v; want ErrSealKey with a time", err)
			}
			if !strings.Contains(err.Error(), idA) || !strings.Contains(err.Error(), idB) {
				t.Fatalf("the error names not both of %s and %s: %v", idA, idB, err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			pass(time.Second)
		}
		mustFetches(t, i, 2)
		pass(2 * time.Minute)
		mustToken(t, open(t, sealed(i, silent, sealA)), value(3))
	})
}

// TestSealBelongsToItsName: a record that was copied to another credential does
// not open there.
func TestSealBelongsToItsName(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		mustToken(t, open(t, sealed(i, store, sealA)), value(1))
		record, err := store.Load(t.Context(), accessToken)
		if err != nil {
			t.Fatal(err)
		}
		other := custody.Key{Kind: "access_token", API: "stable", AppID: "wxfedcba9876543210"}
		lease, err := store.Acquire(t.Context(), other, "copy", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Save(t.Context(), lease, record); err != nil {
			t.Fatal(err)
		}
		cfg := sealed(i, store, sealA)
		cfg.Key = other
		mustToken(t, open(t, cfg), value(2))
	})
}

// oldRow is a store in which somebody has put an older row back.
type oldRow struct {
	custody.Store

	row atomic.Pointer[custody.Record]
}

func (o *oldRow) Load(ctx context.Context, key custody.Key) (custody.Record, error) {
	record, err := o.Store.Load(ctx, key)
	if row := o.row.Load(); row != nil && err == nil {
		now := record.Now
		record = *row
		record.Now = now
	}
	return record, err
}

func (o *oldRow) Acquire(ctx context.Context, key custody.Key, attempt string, ttl time.Duration) (custody.Lease, error) {
	lease, err := o.Store.Acquire(ctx, key, attempt, ttl)
	if row := o.row.Load(); row != nil && err == nil {
		now := lease.Record.Now
		lease.Record = *row
		lease.Record.Now = now
	}
	return lease, err
}

// TestOldRow: an older row that somebody puts back into the store does not replace what a
// process holds, and an older value that is put under a newer fence opens for nobody.
func TestOldRow(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		tampered := &oldRow{Store: store}
		holder := open(t, sealed(i, tampered, sealA))
		mustToken(t, holder, value(1))
		old, err := store.Load(t.Context(), accessToken)
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		holder.Renew()
		pass(5 * time.Second)
		mustToken(t, holder, value(2))

		tampered.row.Store(&old)
		pass(10 * time.Second)
		if token, err := holder.Reject(t.Context(), value(2)); err != nil || token.Value() != value(2) {
			t.Errorf("with the row of before: %q, %v", token.Value(), err)
		}
		mustFetches(t, i, 2)

		tampered.row.Store(nil) // the same value, saved anew
		lease, err := store.Acquire(t.Context(), accessToken, "somebody", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		again := custody.Record{Value: old.Value, SealKey: old.SealKey, End: lease.Record.Now.Add(2 * time.Hour), Life: 2 * time.Hour}
		if err := store.Save(t.Context(), lease, again); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Second)
		mustToken(t, holder, value(2))
		mustToken(t, open(t, sealed(i, store, sealA)), value(3))
	})
}

func TestSealKeysAreChecked(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "short", strings.Repeat("k", 31), strings.Repeat("k", 33)} {
		_, err := custody.New(sealed(&issuer{}, memory.New(), sealA, custody.NewSecret(key)))
		if err == nil || !strings.Contains(err.Error(), "SealKeys[1]") || (key != "" && strings.Contains(err.Error(), key)) {
			t.Errorf("New with a seal key of %d bytes: %v; want an error that names SealKeys[1] and not the key", len(key), err)
		}
	}
}

// TestSealText: for those who keep other secrets in a store.
func TestSealText(t *testing.T) {
	t.Parallel()
	keys := []custody.Secret{custody.NewSecret(strings.Repeat("a", 32)), custody.NewSecret(strings.Repeat("b", 32))}
	sealed, id, err := custody.Seal(keys[1:], "accounts", custody.NewSecret("made-up"))
	if err != nil || strings.Contains(sealed, "made-up") {
		t.Fatal(sealed, err)
	}
	if got, err := custody.Unseal(keys, "accounts", sealed, id); err != nil || got.Reveal() != "made-up" {
		t.Error(got.Reveal(), err)
	}
	for name, unseal := range map[string]func() (custody.Secret, error){
		"under another name": func() (custody.Secret, error) { return custody.Unseal(keys, "clients", sealed, id) },
		"without its key":    func() (custody.Secret, error) { return custody.Unseal(keys[:1], "accounts", sealed, id) },
		"as text":            func() (custody.Secret, error) { return custody.Unseal(keys, "accounts", "made-up", "") },
		"with half a key": func() (custody.Secret, error) {
			return custody.Unseal([]custody.Secret{custody.NewSecret("b")}, "accounts", sealed, id)
		},
	} {
		if got, err := unseal(); err == nil || !got.IsZero() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := custody.Seal(nil, "accounts", custody.NewSecret("made-up")); err == nil {
		t.Error("sealed without a key")
	}
}
