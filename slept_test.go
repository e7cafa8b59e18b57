package zhongkong

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestMachineSlept: wall time ran ahead of monotonic time, so what the clock
// says about a token is wrong; it is looked up before the next use.
func TestMachineSlept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var data []byte
		var loads atomic.Int32
		store := StoreFunc(
			func(context.Context, Key) ([]byte, error) { loads.Add(1); return data, nil },
			func(_ context.Context, _ Key, d []byte) error { data = d; return nil },
		)
		var fetches atomic.Int32
		k, err := New(Config{
			Key: Key{Kind: "access_token", AppID: "wx0123456789abcdef"}, Store: store,
			Kind: Kind{Fetch: func(context.Context, Mode) (Grant, error) {
				fetches.Add(1)
				return Grant{Value: NewSecret("91_value"), ExpiresIn: 2 * time.Hour}, nil
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = k.Close() }()
		if _, err := k.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		sleep := func(d time.Duration) {
			synctest.Wait() // a flight that goes on would notice the sleep too
			h := *k.held.Load()
			h.wall -= int64(d)
			k.held.Store(&h)
		}
		before := loads.Load()
		sleep(29 * time.Second)
		if _, err := k.Token(t.Context()); err != nil || loads.Load() != before {
			t.Errorf("29 s: Token: %v after %d looks; want none", err, loads.Load()-before)
		}
		sleep(2 * time.Second)
		token, err := k.Token(t.Context())
		if err != nil || loads.Load() == before || token.Value() != "91_value" || fetches.Load() != 1 {
			t.Errorf("31 s: Token: %v after %d looks and %d fetches; want a look", err, loads.Load()-before, fetches.Load())
		}

		// The same while the store is away: the wall clock is the best guess.
		k.cfg.Store = broken{store}
		sleep(time.Hour)
		token, err = k.Token(t.Context())
		if want := time.Hour - 20*time.Second; err != nil || token.Left() > want || token.Left() < want-time.Minute {
			t.Errorf("after an hour's sleep: %s left, %v; want %s", token.Left(), err, want)
		}
		sleep(time.Hour)
		if token, err = k.Token(t.Context()); err == nil {
			t.Errorf("after two hours' sleep a token with %s was handed out", token.Left())
		}
	})
}

// TestFailureOfOneHost is noted under that host's fingerprint, so that others go
// on; the secret cannot be told from either.
func TestFailureOfOneHost(t *testing.T) {
	t.Parallel()
	for _, perHost := range []bool{false, true} {
		var data []byte
		cfg := Config{
			Key: Key{Kind: "access_token", AppID: "wx0123456789abcdef"}, Secret: NewSecret("0123456789abcdef"),
			Store: StoreFunc(
				func(context.Context, Key) ([]byte, error) { return data, nil },
				func(_ context.Context, _ Key, d []byte) error { data = d; return nil },
			),
			Kind: Kind{Fetch: func(context.Context, Mode) (Grant, error) {
				return Grant{}, &FetchError{Class: ClassBlocked, Code: 40164, PerHost: perHost, Err: errors.New("not in the whitelist")}
			}},
		}
		k, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Token(t.Context()); err == nil {
			t.Fatal("Token succeeded")
		}
		_ = k.Close()
		account, host := cfg.fingerprints()
		want := account
		if perHost {
			want = host
		}
		n := parseNotes(read(data).Notes)
		if len(n.Failures) != 1 || n.Failures[0].By != want || account == host {
			t.Errorf("PerHost %t: noted %+v, want one by %s", perHost, n.Failures, want)
		}
	}
}

type broken struct{ Store }

func (broken) Load(context.Context, Key) (Record, error) { return Record{}, context.DeadlineExceeded }

// TestZones holds the fast path of Token against zone.
func TestZones(t *testing.T) {
	t.Parallel()
	base := time.Now()
	h := Config{}.newHeld(NewSecret("91_value"), 1, OriginFetched, 2*time.Hour, base, 2*time.Hour)
	for at, want := range map[time.Duration]zone{
		0: zoneFresh, h.fresh - 1: zoneFresh, h.fresh: zoneAdvisory, h.dead - 1: zoneAdvisory, h.dead: zoneDead, 3 * time.Hour: zoneDead,
	} {
		if got := h.zone(base.Add(at)); got != want {
			t.Errorf("after %s: zone %d, want %d", at, got, want)
		}
	}
	if (*held)(nil).zone(base) != zoneDead {
		t.Error("nothing is not dead")
	}
	if h.suspected().live(base) || h.suspected().refused != h {
		t.Error("a suspected value is live, or does not remember")
	}
}

// FuzzNotes: whatever stands in a record's notes does not stop a Keeper, and
// what it writes fits and reads back.
func FuzzNotes(f *testing.F) {
	f.Add([]byte(nil), "text")
	f.Add([]byte("{}"), "the AppSecret is wrong")
	f.Add([]byte(`{"failures":[{"by":"a","class":"blocked","text":"x","count":3,"next":1}],"forced":3,"young":[1,2]}`), "\x00\u2028<>&\"")
	f.Add([]byte(`[]`), "密钥错误")
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		n := parseNotes(data)
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		n.failure("a", "b")
		n.breaker(now, 1)
		if wait := n.mayForce(now); wait < 0 || wait > 24*time.Hour {
			t.Errorf("a forced fetch has to wait %s", wait)
		}
		n.force(now)
		n.diedYoung(now)
		for range 6 {
			n.fail(failureNote{By: "a", Class: ClassBlocked, Text: text, Count: 1, Next: now.UnixMicro()})
		}
		out := n.bytes()
		if len(out) > MaxNotesBytes || !json.Valid(out) {
			t.Fatalf("%d bytes of notes, valid: %t", len(out), json.Valid(out))
		}
		again := parseNotes(out)
		if !bytes.Equal(again.bytes(), out) {
			t.Errorf("read back:\n%s\nwritten:\n%s", again.bytes(), out)
		}
	})
}

// FuzzStored: whatever stands in a store does not stop a StoreFunc or a Keeper's
// look, and what is written reads back.
func FuzzStored(f *testing.F) {
	f.Add([]byte(`{"access_token":"91_x","expires_in":1760000000000}`), "")
	f.Add([]byte(`{"access_token":"c2VhbGVk","expires_in":1,"seal_key":"0123456789abcdef","fence":9,"notes":{"forced":1}}`), "k")
	f.Add([]byte(`{"access_token":"","expires_in":-9223372036854775808,"life":9223372036854775807}`), "")
	f.Fuzz(func(t *testing.T, data []byte, seal string) {
		var row Row
		now := time.Now()
		read(data).into(&row, now)
		out := documentOf(row)
		var again Row
		read(out).into(&again, now)
		if !bytes.Equal(documentOf(again), out) {
			t.Errorf("read back:\n%s\nwritten:\n%s", documentOf(again), out)
		}
		var s sealer
		if len(seal) == sealKeyBytes {
			var err error
			if s, err = newSealer([]Secret{NewSecret(seal)}); err != nil {
				t.Fatal(err)
			}
		}
		if value, err := s.open("name", row.Value, row.SealKey); err == nil && row.SealKey != "" {
			t.Errorf("a forged value was opened: %q", value.Reveal())
		}
		h := Config{}.newHeld(NewSecret(row.Value), row.Fence, OriginStore, row.Life, now, min(row.End.Sub(now), row.Life))
		if h.dead > max(row.Life, 0) || (row.Life > 0 && h.live(now.Add(row.Life))) {
			t.Errorf("a life of %s is live for %s", row.Life, h.dead)
		}
	})
}
