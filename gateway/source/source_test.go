package source_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/gateway/source"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

var _ platform.Tokens = (*source.Source)(nil)

// TestPush: a token without an AppSecret, and the next one in the moment in which the
// gateway has it; meanwhile nobody waits.
func TestPush(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		one, two := w.source(
			w.client(gateway.Client{Name: "one", Real: true}),
			nil,
		), w.source(
			w.client(gateway.Client{Name: "two", Real: true}),
			nil,
		)
		first := w.token(one)
		if first != w.latest() || w.token(two) != first {
			t.Fatal("the token is not WeChat's latest")
		}
		pass(time.Hour)
		if n := w.handOuts(); n != 2 {
			t.Errorf("%d hand-outs in the journal, want 2", n)
		}
		w.wx.Kill(appID)
		start := time.Now()
		if _, err := one.Reject(w.t.Context(), first); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		pass(5 * time.Millisecond) // the spread of two subscribers, and a look whether they are there
		if got := w.token(two); got == first || got != w.latest() {
			t.Errorf("%s after the renewal, the other program does not have it", time.Since(start))
		}
		if n := w.handOuts(); n != 4 {
			t.Errorf("%d hand-outs in the journal, want 4", n)
		}
		if w.issued() != 2 {
			t.Errorf("%d tokens were issued, want 2", w.issued())
		}
	})
}

// TestADay: what programs hold is accepted by WeChat all day, with a fetch and one or
// two hand-outs for each renewal.
func TestADay(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		s := w.source(w.client(gateway.Client{Name: "crm", Real: true}), nil)
		for range 24 * 60 {
			if token := w.token(s); !w.wx.Accepts(token) {
				t.Fatal("a token that WeChat does not accept was handed out")
			}
			pass(time.Minute)
		}
		issued, hands := w.issued(), w.handOuts()
		if issued < 12 || issued > 13 {
			t.Errorf("%d tokens were issued in a day, want 12 or 13", issued)
		}
		if hands < issued || hands > 2*issued { // one at the event, and perhaps one before, when its own window begins first
			t.Errorf("%d hand-outs for %d tokens, want at most two for each", hands, issued)
		}
	})
}

// TestReject: by value, once for everybody; a token that WeChat accepts stays.
func TestReject(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		var sources []*source.Source
		for _, name := range []string{"one", "two", "three"} {
			sources = append(sources, w.source(w.client(gateway.Client{Name: name, Real: true}), nil))
		}
		first := w.token(sources[0])
		for _, s := range sources {
			w.token(s)
		}
		if same, err := sources[0].Reject(t.Context(), first); err != nil || same.Value() != first {
			t.Errorf("a token that WeChat accepts: %v", err)
		}
		if w.token(sources[0]) != first || w.issued() != 1 {
			t.Fatal("a token that WeChat accepts was renewed")
		}
		pass(2 * time.Second) // what was said a moment ago holds nothing back
		w.wx.Kill(appID)
		var all sync.WaitGroup
		for _, s := range sources {
			for range 20 {
				all.Go(func() {
					token, err := s.Reject(t.Context(), first)
					if err != nil || token.Value() == first {
						t.Errorf("Reject: %v, the same value %v", err, token.Value() == first)
					}
				})
			}
		}
		all.Wait()
		for _, s := range sources {
			if w.token(s) != w.latest() {
				t.Error("not everybody has the new token")
			}
		}
		if w.issued() != 2 {
			t.Errorf("%d tokens were issued, want 2", w.issued())
		}
		if text := w.log.String(); strings.Contains(text, first) || strings.Contains(text, w.latest()) {
			t.Error("the log shows a token")
		}
	})
}

// TestAway: the last token is used to its end; then callers read what is wrong, a
// gateway is asked once a second for all of them, and its return is noticed within 2 s.
func TestAway(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		s := w.source(w.client(gateway.Client{Name: "crm", Real: true}), nil)
		start, first := time.Now(), w.token(s)
		pass(time.Hour)
		w.kill(w.machines["one.invalid:80"])
		w.dialled()
		pass(30 * time.Minute)
		if n := w.dialled(); n > 2*90 {
			t.Errorf("%d connections were tried in half an hour while the token lived, want at most one of each gateway in 20 s", n)
		}
		pass(time.Until(start.Add(life - time.Minute)))
		if w.token(s) != first {
			t.Fatal("another token")
		}
		pass(2 * time.Minute)
		err := w.noToken(s)
		for _, want := range []string{
			appID, "http://one.invalid cannot be reached", "http://two.invalid cannot be reached",
			"connection refused", "next attempt in",
		} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the error lacks %q: %v", want, err)
			}
		}
		if err.Class != custody.ClassTransient || err.RetryAfter <= 0 {
			t.Errorf("class %s, retry after %s", err.Class, err.RetryAfter)
		}
		w.dialled()
		for range 600 {
			if err := w.noToken(s); err.RetryAfter > time.Second {
				t.Fatal(err)
			}
			pass(100 * time.Millisecond)
		}
		if n := w.dialled(); n < 2*50 || n > 2*70 {
			t.Errorf("%d connections were tried in a minute by 600 callers without a token, want about one of each gateway in a second", n)
		}
		w.gateway("one")
		w.within(2*time.Second, s, w.latest)
	})
}

// TestTwoGateways: one is killed, and nobody notices; push goes on by the other.
func TestTwoGateways(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		w.gateway("two")
		key := w.client(gateway.Client{Name: "crm", Real: true})
		s, other := w.source(key, nil), w.source(key, func(c *source.Config) { c.Gateway = "http://two.invalid" })
		first := w.token(s)
		pass(time.Minute)
		w.kill(w.machines["one.invalid:80"])
		pass(3 * time.Second)
		w.wx.Kill(appID)
		if _, err := other.Reject(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Millisecond)
		if w.token(s) == first {
			t.Error("the other gateway's renewal was not heard of")
		}
		for range 4 * 60 {
			if !w.wx.Accepts(w.token(s)) {
				t.Fatal("a token that WeChat does not accept")
			}
			pass(time.Minute)
		}
	})
}

// TestKeys: what is wrong is said in words, whoever else is refused at this address, and
// asked once a second at the most, as long as callers ask.
func TestKeys(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		key := w.client(gateway.Client{Name: "crm", Real: true})
		wrong := spoiled(key)
		s := w.source(wrong, nil)
		for range 4 * 60 {
			err := w.noToken(s)
			if err.Code != 40125 || err.Class != custody.ClassBlocked || !strings.Contains(err.Error(), "ZHONGKONG_GATEWAY_KEY") ||
				strings.Contains(err.Error(), wrong) {
				t.Fatal(err)
			}
			pass(250 * time.Millisecond)
		}
		asked := w.machines["one.invalid:80"].g.Numbers().WrongKeys
		if asked < 30 || asked > 65 {
			t.Errorf("the gateway was asked %d times in a minute by 240 callers", asked)
		}
		pass(10 * time.Minute)
		if n := w.machines["one.invalid:80"].g.Numbers().WrongKeys - asked; n > 15 {
			t.Errorf("the gateway was asked %d times in ten minutes without a caller", n)
		}

		revoked := w.source(key, nil)
		start, token := time.Now(), w.token(revoked)
		pass(time.Second)
		if err := w.clients().Revoke(t.Context(), "crm"); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		if w.token(revoked) != token {
			t.Error("the token at hand was given up")
		}
		pass(time.Until(start.Add(life)))
		if err := w.noToken(revoked); err.Code != 40125 || !strings.Contains(err.Error(), "the gateway refuses this program's key") {
			t.Error(err)
		}

		stranger := w.source(w.client(gateway.Client{Name: "shop", Real: true}), func(c *source.Config) { c.AppID = "wx0" })
		if err := w.noToken(stranger); err.Code != 40013 || !strings.Contains(err.Error(), "may not use this account") {
			t.Error(err)
		}
		if text := w.log.String(); strings.Contains(text, key) || strings.Contains(text, wrong) || strings.Contains(text, token) {
			t.Error("the log shows a secret")
		}
	})
}

// TestWhatWeChatSays to the gateway reaches the program as an errcode.
func TestWhatWeChatSays(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		key := w.client(gateway.Client{Name: "crm", Real: true})
		one := w.machines["one.invalid:80"].g
		if err := one.Replace([]gateway.Account{{
			AppID: appID, Secret: custody.NewSecret("wrong-" + appSecret),
			TokenAPI: platform.Classic,
		}}); err != nil {
			t.Fatal(err)
		}
		s := w.source(key, nil)
		if err := w.noToken(s); err.Code != 40125 || strings.Contains(err.Error(), "ZHONGKONG_GATEWAY_KEY") ||
			!strings.Contains(err.Error(), "WeChat answered") {
			t.Error(err)
		}
		if err := one.Replace([]gateway.Account{{AppID: appID, Secret: custody.NewSecret(appSecret), TokenAPI: platform.Classic}}); err != nil {
			t.Fatal(err)
		}
		w.within(2*time.Second, s, w.latest)
	})
}

// within wants s to have the token of want after so long at the latest.
func (w *world) within(most time.Duration, s *source.Source, want func() string) {
	w.t.Helper()
	began := time.Now()
	for {
		token, err := s.Token(w.t.Context())
		switch took := time.Since(began); {
		case err == nil && took <= most:
			if token.Value() != want() {
				w.t.Error("not the latest token")
			}
			return
		case took > most:
			w.t.Fatalf("no token after %s: %v", took, err)
		}
		pass(100 * time.Millisecond)
	}
}

// TestCorrected: a client that is added at the gateway again, and one whose account is
// allowed at last, have their token within 2 s, and notices of renewals soon after.
func TestCorrected(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		key := w.client(gateway.Client{Name: "crm", Real: true})
		docs, err := w.store.Documents(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		client := docs[slices.IndexFunc(docs, func(d store.Document) bool { return d.Name == "crm" })]
		if err := w.clients().Revoke(t.Context(), "crm"); err != nil {
			t.Fatal(err)
		}
		w.look()
		s := w.source(key, nil)
		for range 10 * 60 {
			if err := w.noToken(s); err.Code != 40125 {
				t.Fatal(err)
			}
			pass(time.Second)
		}
		client.Version = 0
		if _, err := w.store.Put(t.Context(), client); err != nil { // by another gateway: nobody looks here
			t.Fatal(err)
		}
		w.within(2*time.Second, s, w.latest)
		first := w.token(s)
		pass(3 * time.Second)
		w.wx.Kill(appID)
		one := w.machines["one.invalid:80"].g
		if _, err := one.Refresh(t.Context(), "test", appID); err != nil {
			t.Fatal(err)
		}
		pass(100 * time.Millisecond)
		if w.token(s) == first {
			t.Error("no notice of a renewal soon after the key worked again")
		}
	})
}

// TestRefusedWhileAway: a token that is refused while the memory of a gateway's absence
// lasts is renewed as soon as the gateway is back.
func TestRefusedWhileAway(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		s := w.source(w.client(gateway.Client{Name: "crm", Real: true}), nil)
		start, first := time.Now(), w.token(s)
		w.kill(w.machines["one.invalid:80"])
		pass(time.Until(start.Add(life - time.Minute))) // attempts to renew have failed for a while
		if s.Status().Failure == nil {
			t.Fatal("no attempt has failed")
		}
		if _, err := s.Reject(t.Context(), first); err == nil {
			t.Fatal("another token without a gateway")
		}
		w.gateway("one")
		w.wx.Kill(appID)
		pass(time.Second)
		token, err := s.Reject(t.Context(), first)
		if err != nil || token.Value() != w.latest() {
			t.Errorf("a second after the gateway's return: %v", err)
		}
	})
}

// TestStore: a start while the gateway is away, with the token of the run before,
// sealed in a store; with another key, it is not taken.
func TestStore(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		key, otherKey := w.client(gateway.Client{Name: "crm", Real: true}), w.client(gateway.Client{Name: "shop", Real: true})
		local := memory.New()
		with := func(c *source.Config) {
			c.Store, c.SealKeys = local, []custody.Secret{custody.NewSecret(strings.Repeat("k", 32))}
		}
		before := w.source(key, with)
		token := w.token(before)
		if err := before.Close(); err != nil {
			t.Fatal(err)
		}
		w.kill(w.machines["one.invalid:80"])
		pass(time.Hour)
		if w.token(w.source(key, with)) != token {
			t.Error("the token of the run before was not taken")
		}
		if err := w.noToken(w.source(otherKey, with)); err.Class != custody.ClassTransient {
			t.Error(err)
		}
	})
}

// TestOwnTokens: a client without the right to real tokens makes its calls through the
// gateway, and notices nothing of renewals behind it.
func TestOwnTokens(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		w.gateway("two")
		s := w.source(w.client(gateway.Client{Name: "shop"}), nil)
		token := w.token(s)
		if !strings.HasPrefix(token, "zk_") {
			t.Fatal("it is no gateway token")
		}
		api, err := platform.New(platform.Config{Transport: s.Route(unreachable{})})
		if err != nil {
			t.Fatal(err)
		}
		client := api.Client(s, appID)
		call := func() error { return client.Get(t.Context(), "/cgi-bin/get_api_domain_ip", nil, nil) }
		for range 5 {
			if err := call(); err != nil {
				t.Fatal(err)
			}
			w.wx.Kill(appID)
			pass(time.Minute)
		}
		if w.token(s) != token {
			t.Error("another gateway token")
		}
		w.kill(w.machines["one.invalid:80"])
		if err := call(); err != nil {
			t.Errorf("with one of two gateways: %v", err)
		}
		if same, err := s.Reject(t.Context(), token); err != nil || same.Value() != token {
			t.Errorf("a gateway token that is good: %v", err)
		}
		pass(3 * time.Hour)
		if w.token(s) == token {
			t.Error("a gateway token of three hours")
		}
		if err := call(); err != nil {
			t.Error(err)
		}
		if w.handOuts() != 0 {
			t.Errorf("%d real tokens were handed out", w.handOuts())
		}
	})
}

// unreachable is a network to WeChat that must not be used.
type unreachable struct{}

func (unreachable) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("%s was sent to %s", r.URL.Path, r.URL.Host)
}

// TestTicket: kept like the token.
func TestTicket(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		s := w.source(w.client(gateway.Client{Name: "shop"}), nil)
		for _, kind := range []string{"jsapi", "wx_card"} {
			first, err := s.Ticket(t.Context(), kind)
			if err != nil || first.Value() == "" || first.Left() < time.Hour {
				t.Fatal(err, first.Left())
			}
			again, err := s.Ticket(t.Context(), kind)
			if err != nil || again.Value() != first.Value() {
				t.Error(err, "another ticket")
			}
		}
		if _, err := s.Ticket(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "jsapi") {
			t.Error(err)
		}
		narrow := w.source(w.client(gateway.Client{Name: "narrow", Paths: []string{"/cgi-bin/menu/get"}}), nil)
		var none *custody.Error
		if _, err := narrow.Ticket(t.Context(), "jsapi"); !errors.As(err, &none) || none.Code != 48001 {
			t.Error(err)
		}
	})
}

// TestSilence: a stream without a sign of life is ended and begun again; a server that
// is no gateway is told from one.
func TestSilence(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		var mu sync.Mutex
		var began []time.Time
		w.serve("one", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/events") {
				_, _ = io.WriteString(rw, `{"appid":"`+appID+`","access_token":"91_x","expires_in":7200,"real":true,"fence":1}`)
				return
			}
			mu.Lock()
			began = append(began, time.Now())
			mu.Unlock()
			rw.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(rw).Flush()
			<-r.Context().Done()
		}))
		w.token(w.source("zkkey_x", nil))
		pass(3 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if len(began) < 3 || len(began) > 4 || began[1].Sub(began[0]) < 45*time.Second {
			t.Errorf("streams of a silent gateway began at %v", began)
		}
		w.serve("html", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "<html>") }))
		w.serve("other", http.NotFoundHandler())
		for name, want := range map[string]string{"html": "is it a gateway", "other": "is it a gateway"} {
			s := w.source("zkkey_x", func(c *source.Config) { c.Gateway = "http://" + name + ".invalid" })
			if err := w.noToken(s); !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestShortened: when the gateway does not know whether its token was superseded, and
// trusts it for the overlap alone, so do the programs.
func TestShortened(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const overlap = 4 * time.Second
		w := newWorld(t, simulator.Options{Life: 5 * overlap, Overlap: overlap})
		s := w.source(w.client(gateway.Client{Name: "crm", Real: true}), nil)
		first := w.token(s)
		w.mu.Lock()
		w.lossy = true
		w.mu.Unlock()
		before := s.Status().Left
		for w.issued() == 1 {
			pass(10 * time.Millisecond)
			before = s.Status().Left
		}
		pass(100 * time.Millisecond)
		left := w.machines["one.invalid:80"].g.Status()[0].Left
		if got := s.Status(); !got.Live || got.Left > left || before <= left {
			t.Errorf("the program trusts its token for %s (%s before), the gateway for %s", got.Left, before, left)
		}
		if w.token(s) != first {
			t.Error("another token")
		}
	})
}

// TestHangs: a gateway that takes the connection and says nothing leaves time for the
// next one.
func TestHangs(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		w.gateway("two")
		key := w.client(gateway.Client{Name: "crm", Real: true})
		w.serve("one", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		start := time.Now()
		w.token(w.source(key, nil))
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("a token after %s", took)
		}
	})
}

func TestConfigMistakes(t *testing.T) {
	t.Parallel()
	good := source.Config{Gateway: "https://one.invalid", Key: custody.NewSecret("zkkey_x"), AppID: appID}
	for want, change := range map[string]func(*source.Config){
		"Config.Gateway (ZHONGKONG_GATEWAY) is empty":    func(c *source.Config) { c.Gateway = " , " },
		"must begin with https:// or http://":            func(c *source.Config) { c.Gateway = "one:8300" },
		"no user name, password":                         func(c *source.Config) { c.Gateway = "https://user:hunter2@one" },
		"is no URL":                                      func(c *source.Config) { c.Gateway = "https://one:x" },
		"Config.Key (ZHONGKONG_GATEWAY_KEY) is empty":    func(c *source.Config) { c.Key = custody.Secret{} },
		"Config.Key (ZHONGKONG_GATEWAY_KEY) holds white": func(c *source.Config) { c.Key = custody.NewSecret("zkkey_x\n") },
		"AppID is empty":                                 func(c *source.Config) { c.AppID = "" },
		"a seal key has exactly 32":                      func(c *source.Config) { c.SealKeys = []custody.Secret{custody.NewSecret("x")} },
	} {
		cfg := good
		change(&cfg)
		s, err := source.New(cfg)
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestTokenAllocates nothing while the token lives.
func TestTokenAllocates(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		s := w.source(w.client(gateway.Client{Name: "crm", Real: true}), nil)
		w.token(s)
		ctx := context.Background()
		synctest.Wait() // what others still do would be counted as well
		if n := testing.AllocsPerRun(1000, func() { _, _ = s.Token(ctx) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
		if text := fmt.Sprintf("%+v %v", s, s); strings.Contains(text, "zkkey") || !strings.Contains(text, appID) {
			t.Error(text)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := s.Token(ctx); !errors.Is(err, custody.ErrClosed) {
			t.Error(err)
		}
		if _, err := s.Ticket(ctx, "jsapi"); !errors.Is(err, custody.ErrClosed) {
			t.Error(err)
		}
	})
}

// spoiled returns a key that nobody has.
func spoiled(key string) string {
	const at = 30
	c := "A"
	if key[at:at+1] == c {
		c = "B"
	}
	return key[:at] + c + key[at+1:]
}
