package custody_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

const life = 2 * time.Hour

// issuer is a made-up issuer of credentials: a test says what it answers and
// sees what it was asked.
type issuer struct {
	mu      sync.Mutex
	takes   time.Duration                                         // each fetch
	answer  func(n int, mode custody.Mode) (custody.Grant, error) // nil: value(n)
	probe   func(value string) custody.Verdict                    // nil: the latest value is accepted
	fetches []fetch
	probes  []string
	latest  string
}

type fetch struct {
	at   time.Time
	mode custody.Mode
}

func (i *issuer) kind() custody.Kind {
	return custody.Kind{Fetch: i.fetch, Probe: i.ask, Forceable: true, Idempotent: true}
}

// takesTime sets how long each fetch takes.
func (i *issuer) takesTime(d time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.takes = d
}

// answers sets what fetches are answered; n counts them from 1.
func (i *issuer) answers(f func(n int, mode custody.Mode) (custody.Grant, error)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = f
}

// says sets what probes find out.
func (i *issuer) says(f func(value string) custody.Verdict) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.probe = f
}

// classic is an issuer whose every fetch supersedes the value before.
func (i *issuer) classic() custody.Kind {
	return custody.Kind{Fetch: i.fetch, Probe: i.ask}
}

func (i *issuer) fetch(ctx context.Context, mode custody.Mode) (custody.Grant, error) {
	i.mu.Lock()
	i.fetches = append(i.fetches, fetch{time.Now(), mode})
	n, takes, answer := len(i.fetches), i.takes, i.answer
	i.mu.Unlock()
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return custody.Grant{}, ctx.Err()
		}
	}
	g, err := grant(n), error(nil)
	if answer != nil {
		g, err = answer(n, mode)
	}
	if err == nil {
		i.mu.Lock()
		i.latest = g.Value.Reveal()
		i.mu.Unlock()
	}
	return g, err
}

func (i *issuer) ask(_ context.Context, value string) custody.Verdict {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.probes = append(i.probes, value)
	switch {
	case i.probe != nil:
		return i.probe(value)
	case value == i.latest:
		return custody.Accepted
	}
	return custody.Rejected
}

// supersede lets somebody else fetch.
func (i *issuer) supersede() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.latest = "91_somebody-else's"
}

func (i *issuer) asked() []fetch {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]fetch(nil), i.fetches...)
}

func (i *issuer) probed() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.probes)
}

func value(n int) string { return fmt.Sprintf("91_value-%d", n) }

func grant(n int) custody.Grant {
	return custody.Grant{Value: custody.NewSecret(value(n)), ExpiresIn: life}
}

// config is what most tests start from.
func config(i *issuer, store custody.Store) custody.Config {
	return custody.Config{
		Key: accessToken, Kind: i.kind(), Store: store,
		Secret: custody.NewSecret("0123456789abcdef0123456789abcdef"),
	}
}

// open starts a Keeper that ends with the test.
func open(t *testing.T, cfg custody.Config) *custody.Keeper {
	t.Helper()
	k, err := custody.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return k
}

// bubble runs a test against one issuer and one store, with time of its own.
func bubble(t *testing.T, test func(t *testing.T, i *issuer, store *memory.Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		t.Cleanup(func() { _ = store.Close() })
		test(t, &issuer{}, store)
	})
}

func mustToken(t *testing.T, k *custody.Keeper, want string) custody.Token {
	t.Helper()
	token, err := k.Token(t.Context())
	if err != nil {
		t.Fatalf("Token: %v; want %s", err, want)
	}
	if token.Value() != want {
		t.Fatalf("Token: got %s, want %s", token.Value(), want)
	}
	return token
}

func mustFetches(t *testing.T, i *issuer, want int) {
	t.Helper()
	if got := len(i.asked()); got != want {
		t.Fatalf("%d fetches, want %d", got, want)
	}
}

// pass lets d go by and everything settle.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

var accessToken = custody.Key{Kind: "access_token", API: "stable", AppID: "wx0123456789abcdef"}
