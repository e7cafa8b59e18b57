package gateway_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// ledger counts looks, and does not answer them while it hangs.
type ledger struct {
	*memory.Store

	looks atomic.Int64
	hangs atomic.Bool
}

func (l *ledger) Documents(ctx context.Context, after int64) ([]store.Document, error) {
	l.looks.Add(1)
	if l.hangs.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return l.Store.Documents(ctx, after)
}

// desk is a gateway in a bubble of time, without a network.
type desk struct {
	*gateway.Gateway

	t     *testing.T
	store *ledger
}

// inBubble runs a test with a gateway in a time of its own.
func inBubble(t *testing.T, do func(t *testing.T, d *desk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &desk{t: t, store: &ledger{Store: memory.New()}}
		g, err := gateway.New(t.Context(), gateway.Config{
			Accounts: []gateway.Account{{AppID: appID, Secret: custody.NewSecret(appSecret), TokenAPI: platform.Classic}},
			Store:    d.store, SealKeys: []custody.Secret{sealKey}, APIBase: "http://wechat.invalid", Transport: inMemory{},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = g.Close() }()
		d.Gateway = g
		do(t, d)
	})
}

func (d *desk) clients() *gateway.Clients {
	d.t.Helper()
	clients := gateway.NewClients(d.store.Store, "another gateway")
	return clients
}

// fetch fetches a token with a key.
func (d *desk) fetch(key string) reply {
	return d.get("/cgi-bin/token?grant_type=client_credential&appid=" + appID + "&secret=" + key)
}

func (d *desk) get(target string) (got reply) {
	answer := httptest.NewRecorder()
	d.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, target, http.NoBody))
	decode(d.t, answer.Body.String(), &got)
	got.body = answer.Body.String()
	return got
}

// within wants is to become true after so long at the latest.
func (d *desk) within(most time.Duration, what string, is func() bool) {
	d.t.Helper()
	for began := time.Now(); !is(); time.Sleep(100 * time.Millisecond) {
		if time.Since(began) > most {
			d.t.Fatalf("%s: not within %s", what, most)
		}
	}
}

// TestAddedElsewhere: what another gateway adds, rotates or brings works here within 2 s,
// as soon as somebody asks, and not at the next look. Refusals of what nobody has cost
// the store a look a second, all together.
func TestAddedElsewhere(t *testing.T) {
	inBubble(t, func(t *testing.T, d *desk) {
		time.Sleep(1100 * time.Millisecond) // after the look of the start, before the next one
		key, err := d.clients().Add(t.Context(), gateway.Client{Name: "shop", Accounts: []string{appID}})
		if err != nil {
			t.Fatal(err)
		}
		token := d.fetch(key.Reveal()).Token
		if token == "" {
			t.Fatal("a client that was just added is unknown, though nobody has looked for over a second")
		}
		time.Sleep(2 * time.Second) // between two looks again
		rotated, err := d.clients().Rotate(t.Context(), "shop", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		other := tokenFor(t, d, rotated.Reveal())
		if got := d.get(domainIP + "?access_token=" + other); got.Errcode != 0 {
			t.Errorf("a token of a key that was just rotated: %s", got.body)
		}

		spoiledKey, spoiledToken := spoiled(rotated.Reveal()), spoiled(token)
		before := d.store.looks.Load()
		for range 100 {
			var group sync.WaitGroup
			for range 20 {
				group.Go(func() {
					if got := d.fetch(spoiledKey); got.Errcode != 40125 && got.Errcode != 45011 {
						t.Error(got.body)
					}
					if got := d.get(domainIP + "?access_token=" + spoiledToken); got.Errcode != 40001 && got.Errcode != 45011 {
						t.Error(got.body)
					}
				})
			}
			group.Wait()
			time.Sleep(100 * time.Millisecond)
		}
		if n := d.store.looks.Load() - before; n < 10 || n > 17 {
			t.Errorf("4,000 refusals in 10 s cost %d looks at the store, want 10 and the gateway's own 5 at the most", n)
		}
		_ = d.fetch(spoiledKey) // a look, so that the next one is a second away
		late, err := d.clients().Add(t.Context(), gateway.Client{Name: "late", Accounts: []string{appID}})
		if err != nil {
			t.Fatal(err)
		}
		d.within(2*time.Second, "a client that is added right after a look", func() bool { return d.fetch(late.Reveal()).Token != "" })
	})
}

// tokenFor returns a gateway token that another gateway makes for a key.
func tokenFor(t *testing.T, d *desk, key string) string {
	t.Helper()
	g, err := gateway.New(t.Context(), gateway.Config{
		Accounts: []gateway.Account{{AppID: appID, Secret: custody.NewSecret(appSecret), TokenAPI: platform.Classic}},
		Store:    d.store.Store, SealKeys: []custody.Secret{sealKey}, APIBase: "http://wechat.invalid", Transport: inMemory{},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Close() }()
	other := &desk{Gateway: g, t: t}
	return other.fetch(key).Token
}

// TestLookHangs: a store that does not answer changes no answer, and keeps nobody whose
// key is unknown for longer than a second, nor beyond the end of the call.
func TestLookHangs(t *testing.T) {
	inBubble(t, func(t *testing.T, d *desk) {
		key, err := d.clients().Add(t.Context(), gateway.Client{Name: "shop", Accounts: []string{appID}})
		if err != nil {
			t.Fatal(err)
		}
		d.Look(t.Context())
		d.store.hangs.Store(true)
		for range 20 {
			began := time.Now()
			if got := d.fetch(spoiled(key.Reveal())); got.Errcode != 40125 {
				t.Errorf("an unknown key: %s", got.body)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("an unknown key was kept for %s", took)
			}
			began = time.Now()
			if got := d.fetch(key.Reveal()); got.Token == "" || time.Since(began) > 0 {
				t.Errorf("a known key, after %s: %s", time.Since(began), got.body)
			}
			time.Sleep(4 * time.Second) // 15 attempts a minute: beyond 20 they are answered alike
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		d.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, tokenTarget(spoiled(key.Reveal())), http.NoBody))
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("a caller was kept for %s, beyond its own context", took)
		}
		if looks := d.store.looks.Load(); looks < 20 {
			t.Errorf("%d looks", looks)
		}
	})
}

// TestAccountElsewhere: an account that another gateway's admin API has just brought is
// known here before its programs are told that it is not.
func TestAccountElsewhere(t *testing.T) {
	inBubble(t, func(t *testing.T, d *desk) {
		key, err := d.clients().Add(t.Context(), gateway.Client{Name: "shop", Accounts: []string{gateway.AllAccounts}})
		if err != nil {
			t.Fatal(err)
		}
		other, err := gateway.New(
			t.Context(),
			gateway.Config{Store: d.store.Store, SealKeys: []custody.Secret{sealKey}, APIBase: "http://wechat.invalid", Transport: inMemory{}},
		)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Close() }()
		d.Look(t.Context())
		time.Sleep(1100 * time.Millisecond)
		adminKey := strings.Repeat("k", 32)
		r := httptest.NewRequest(http.MethodPut, "/accounts", strings.NewReader(`{"accounts":[{"appid":"`+otherApp+`","secret":"other-`+appSecret+`"}]}`))
		r.Header.Set("Authorization", "Bearer "+adminKey)
		answer := httptest.NewRecorder()
		other.Admin(custody.NewSecret(adminKey), nil).ServeHTTP(answer, r)
		if answer.Code != http.StatusOK {
			t.Fatal(answer.Body)
		}
		if got := d.get("/cgi-bin/token?grant_type=client_credential&appid=" + otherApp + "&secret=" + key.Reveal()); got.Token == "" {
			t.Errorf("an account that another gateway has just brought: %s", got.body)
		}
	})
}
