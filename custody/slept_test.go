package custody_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store"
)

// TestMachineSlept: wall time ran ahead of monotonic time, so what the clock
// says about a token is wrong; it is looked up before the next use.
func TestMachineSlept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var data []byte
		var loads atomic.Int32
		var away atomic.Bool
		kept := &failing{away: &away, Store: store.Func(
			func(context.Context, custody.Key) ([]byte, error) { loads.Add(1); return data, nil },
			func(_ context.Context, _ custody.Key, d []byte) error { data = d; return nil },
		)}
		var fetches atomic.Int32
		k, err := custody.New(custody.Config{
			Key: custody.Key{Kind: "access_token", AppID: "wx0123456789abcdef"}, Store: kept,
			Kind: custody.Kind{Fetch: func(context.Context, custody.Mode) (custody.Grant, error) {
				fetches.Add(1)
				return custody.Grant{Value: custody.NewSecret("91_value"), ExpiresIn: 2 * time.Hour}, nil
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
			k.Sleep(d)
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
		away.Store(true)
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
		cfg := custody.Config{
			Key: custody.Key{Kind: "access_token", AppID: "wx0123456789abcdef"}, Secret: custody.NewSecret("0123456789abcdef"),
			Store: store.Func(
				func(context.Context, custody.Key) ([]byte, error) { return data, nil },
				func(_ context.Context, _ custody.Key, d []byte) error { data = d; return nil },
			),
			Kind: custody.Kind{Fetch: func(context.Context, custody.Mode) (custody.Grant, error) {
				return custody.Grant{}, &custody.FetchError{Class: custody.ClassBlocked, Code: 40164, PerHost: perHost, Err: errors.New("not in the whitelist")}
			}},
		}
		k, err := custody.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Token(t.Context()); err == nil {
			t.Fatal("Token succeeded")
		}
		_ = k.Close()
		account, host := cfg.Fingerprints()
		want := account
		if perHost {
			want = host
		}
		var kept struct {
			Notes json.RawMessage `json:"notes"`
		}
		if err := json.Unmarshal(data, &kept); err != nil {
			t.Fatal(err)
		}
		if by := custody.NotedFailures(kept.Notes); len(by) != 1 || by[0] != want || account == host {
			t.Errorf("PerHost %t: noted for %q, want %q alone", perHost, by, want)
		}
	}
}

type failing struct {
	custody.Store
	away *atomic.Bool
}

func (f *failing) Load(ctx context.Context, key custody.Key) (custody.Record, error) {
	if f.away.Load() {
		return custody.Record{}, context.DeadlineExceeded
	}
	return f.Store.Load(ctx, key)
}
