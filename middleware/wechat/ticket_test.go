package wechat_test

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// touched notes which kinds of credentials a store was asked for.
type touched struct {
	custody.Store

	mu    sync.Mutex
	kinds map[string]int
}

func (s *touched) note(key custody.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kinds == nil {
		s.kinds = map[string]int{}
	}
	s.kinds[key.Kind]++
}

func (s *touched) count(kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kinds[kind]
}

func (s *touched) Load(ctx context.Context, key custody.Key) (custody.Record, error) {
	s.note(key)
	return s.Store.Load(ctx, key)
}

func (s *touched) Acquire(ctx context.Context, key custody.Key, attempt string, ttl time.Duration) (custody.Lease, error) {
	s.note(key)
	return s.Store.Acquire(ctx, key, attempt, ttl)
}

// withTickets is a client on a store of the test's, in a bubble.
func withTickets(t *testing.T, test func(t *testing.T, cfg wechat.Config, wx *simtest.Sim, store *touched)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		inner := memory.New()
		t.Cleanup(func() { _ = inner.Close() })
		store := &touched{Store: inner}
		cfg, wx := inMemory(t, config(), simulatorOptions())
		cfg.StoreURL, cfg.Store = "", store
		test(t, cfg, wx, store)
	})
}

func mustTicket(tb testing.TB, client *wechat.Client, kind platform.TicketType) custody.Token {
	tb.Helper()
	ticket, err := client.Ticket(tb.Context(), kind)
	if err != nil {
		tb.Fatalf("Ticket: %v", err)
	}
	return ticket
}

// TestTicketsAreLazy: nothing is kept that nobody asked for.
func TestTicketsAreLazy(t *testing.T) {
	withTickets(t, func(t *testing.T, cfg wechat.Config, wx *simtest.Sim, store *touched) {
		client := newClient(t, cfg)
		mustToken(t, client)
		time.Sleep(5 * time.Hour)
		if n := store.count("jsapi_ticket") + store.count("wx_card_ticket"); n != 0 {
			t.Errorf("%d calls of the store about tickets, before any was asked for", n)
		}
		ticket := mustTicket(t, client, platform.JSAPITicket)
		if want, _ := wx.Ticket(testAppID, simulator.JSAPI); ticket.Value() != want || ticket.Origin() != custody.OriginFetched || ticket.Left() < 7000*time.Second {
			t.Errorf("the ticket is not WeChat's, or has %s left", ticket.Left())
		}
		if store.count("wx_card_ticket") != 0 || wx.Stats(testAppID).Card.Calls != 0 {
			t.Error("the other ticket is kept, too")
		}
		if card := mustTicket(t, client, platform.CardTicket); card.Value() == ticket.Value() {
			t.Error("both types have the same ticket")
		}
		if _, err := client.Ticket(t.Context(), "card"); err == nil || !strings.Contains(err.Error(), `no ticket of type "card"`) {
			t.Errorf("a type that does not exist: %v", err)
		}
		record, err := store.Store.Load(t.Context(), custody.Key{Kind: "jsapi_ticket", AppID: testAppID})
		if err != nil || record.Value != ticket.Value() {
			t.Errorf("stored: %v", err)
		}
	})
}

// TestTicketsOfAFleet: first calls at once, in two processes, cost one fetch; a
// restart none; a day 24 at the most, and there is always a live one.
func TestTicketsOfAFleet(t *testing.T) {
	withTickets(t, func(t *testing.T, cfg wechat.Config, wx *simtest.Sim, _ *touched) {
		clients := []*wechat.Client{newClient(t, cfg), newClient(t, cfg)}
		var all sync.WaitGroup
		for n := range 100 {
			all.Go(func() { _, _ = clients[n%2].Ticket(t.Context(), platform.JSAPITicket) })
		}
		all.Wait()
		if got := wx.Stats(testAppID).JSAPI; got.Calls != 1 {
			t.Errorf("%+v, want one call", got)
		}
		restarted := newClient(t, cfg)
		if ticket := mustTicket(t, restarted, platform.JSAPITicket); ticket.Origin() != custody.OriginStore {
			t.Errorf("after a restart it is %s", ticket.Origin())
		}
		for range 24 * 60 {
			time.Sleep(time.Minute)
			for _, client := range clients {
				before := time.Now()
				ticket := mustTicket(t, client, platform.JSAPITicket)
				if current, _ := wx.Ticket(testAppID, simulator.JSAPI); ticket.Value() != current || time.Since(before) != 0 {
					t.Fatal("a ticket that is not WeChat's, or one that had to be waited for")
				}
			}
		}
		if got := wx.Stats(testAppID).JSAPI; got.Calls > 25 {
			t.Errorf("%+v in a day, want at most 25 calls", got)
		}
	})
}

// TestTicketOfADeadToken: WeChat refuses the token with which the ticket is
// fetched. It is renewed, once, and the ticket's caller does not notice.
func TestTicketOfADeadToken(t *testing.T) {
	for api, stats := range tokenAPIs {
		withTickets(t, func(t *testing.T, cfg wechat.Config, wx *simtest.Sim, _ *touched) {
			cfg.TokenAPI = api
			client := newClient(t, cfg)
			mustToken(t, client)
			wx.Kill(testAppID)
			mustTicket(t, client, platform.JSAPITicket)
			if got := stats(wx); got.Issued != 2 || wx.Stats(testAppID).JSAPI.Calls != 1 {
				t.Errorf("%s: %+v, and %d calls for the ticket; want two tokens and one call that came through", api, got, wx.Stats(testAppID).JSAPI.Calls)
			}
		})
	}
}

// TestTicketNeedsAToken: with a wrong AppSecret there is neither, both say so, and
// nobody asks WeChat for a ticket.
func TestTicketNeedsAToken(t *testing.T) {
	withTickets(t, func(t *testing.T, cfg wechat.Config, wx *simtest.Sim, store *touched) {
		cfg.AppSecret = wechat.Secret("fedcba9876543210fedcba9876543210")
		client := newClient(t, cfg)
		for range 100 {
			_, err := client.JSConfig(t.Context(), "https://example.com/")
			var none *custody.Error
			var refusal *platform.Error
			if !errors.As(err, &none) || none.Key.Kind != "jsapi_ticket" || none.Code != 40125 || none.RetryAfter <= 9*time.Minute ||
				!errors.As(err, &refusal) || refusal.Code != 40125 || !strings.Contains(err.Error(), "no access_token to fetch it with") {
				t.Fatalf("JSConfig: %v", err)
			}
			mustNotTellOf(t, []string{cfg.AppSecret.Reveal()}, err.Error())
		}
		if got := wx.Stats(testAppID); got.Stable.Calls != 1 || got.JSAPI.Calls != 0 {
			t.Errorf("%+v, want one call for the token and none for the ticket", got)
		}
		if record, err := store.Store.Load(t.Context(), custody.Key{Kind: "jsapi_ticket", AppID: testAppID}); !errors.Is(err, custody.ErrNotFound) {
			t.Errorf("a lease was taken, or something noted: %v, %v", record, err)
		}
	})
}

// TestTicketOutlivesItsCaller, who waits with a ctx of its own.
func TestTicketOutlivesItsCaller(t *testing.T) {
	withTickets(t, func(t *testing.T, cfg wechat.Config, wx *simtest.Sim, _ *touched) {
		client := newClient(t, cfg)
		mustToken(t, client)
		wx.Delay(simulator.TicketPath, 3*time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := client.Ticket(ctx, platform.JSAPITicket); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Ticket: %v", err)
		}
		start := time.Now()
		mustTicket(t, client, platform.JSAPITicket)
		if took := time.Since(start); took != 2*time.Second || wx.Stats(testAppID).JSAPI.Calls != 1 {
			t.Errorf("the second caller waited %s for %d fetches", took, wx.Stats(testAppID).JSAPI.Calls)
		}
	})
}

// TestTicketsAfterClose, whether one was kept or not.
func TestTicketsAfterClose(t *testing.T) {
	withTickets(t, func(t *testing.T, cfg wechat.Config, _ *simtest.Sim, _ *touched) {
		client := newClient(t, cfg)
		mustTicket(t, client, platform.JSAPITicket)
		for range 2 {
			if err := client.Close(); err != nil {
				t.Error(err)
			}
		}
		for _, kind := range []platform.TicketType{platform.JSAPITicket, platform.CardTicket} {
			if _, err := client.Ticket(t.Context(), kind); !errors.Is(err, custody.ErrClosed) {
				t.Errorf("%s after Close: %v", kind, err)
			}
		}
		if _, err := client.JSConfig(t.Context(), "https://example.com/"); !errors.Is(err, custody.ErrClosed) {
			t.Errorf("JSConfig after Close: %v", err)
		}
	})
}

// TestDailyFetchesOfATicket are bounded as the token's.
func TestDailyFetchesOfATicket(t *testing.T) {
	withTickets(t, func(t *testing.T, cfg wechat.Config, wx *simtest.Sim, _ *touched) {
		cfg.DailyFetches = 3
		client := newClient(t, cfg)
		wx.Inject(simulator.Fault{Path: simulator.TicketPath, Errcode: -1})
		var err error
		for range 600 {
			_, err = client.Ticket(t.Context(), platform.JSAPITicket)
			time.Sleep(time.Second)
		}
		if got := wx.Stats(testAppID).JSAPI.Calls; !errors.Is(err, custody.ErrDailyLimit) || got > 3 {
			t.Errorf("%d calls in ten minutes, %v; want three, and ErrDailyLimit", got, err)
		}
	})
}

// documented is the ticket of the example in WeChat's documentation.
const documented = "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg"

func TestJSConfig(t *testing.T) {
	withTickets(t, func(t *testing.T, cfg wechat.Config, wx *simtest.Sim, _ *touched) {
		out := new(logtest.Log)
		cfg.Logger = out.Logger(slog.LevelDebug)
		wx.Inject(simulator.Fault{Path: simulator.TicketPath, Body: `{"errcode":0,"errmsg":"ok","ticket":"` + documented + `","expires_in":7200}`})
		client := newClient(t, cfg)
		nonces := map[string]bool{}
		var told []string
		for _, page := range []string{"http://mp.weixin.qq.com/?params=value", "https://example.com/%E5%95%86?a=b+c&d=%20", "https://example.com:8443/", "http://example.com:443/a.b/..c?q=../x&amp=1"} {
			for _, fragment := range []string{"", "#", "#/route?x=1#y"} {
				got, err := client.JSConfig(t.Context(), page+fragment)
				if err != nil {
					t.Fatal(err)
				}
				sum := sha1.Sum(fmt.Appendf(nil, "jsapi_ticket=%s&noncestr=%s&timestamp=%d&url=%s", documented, got.NonceStr, got.Timestamp, page))
				if got.Signature != hex.EncodeToString(sum[:]) || got.AppID != testAppID || got.Timestamp != time.Now().Unix() || len(got.NonceStr) < 16 || nonces[got.NonceStr] {
					t.Errorf("%s: %+v", page, got)
				}
				nonces[got.NonceStr] = true
				data, err := json.Marshal(got)
				if want := fmt.Sprintf(`{"appId":"%s","timestamp":%d,"nonceStr":"%s","signature":"%s"}`, testAppID, got.Timestamp, got.NonceStr, got.Signature); err != nil || string(data) != want {
					t.Errorf("as JSON %s, %v; want %s", data, err, want)
				}
				told = append(told, string(data))
				time.Sleep(time.Second)
			}
		}
		told = append(told, prints(client)...)
		mustNotTellOf(t, []string{documented}, append(told, out.String())...)
		if n := strings.Count(out.String(), "called WeChat"); n != 2 {
			t.Errorf("%d calls, want one for the token and one for the ticket:\n%s", n, out)
		}
	})
}

// TestJSConfigOfNoPage: what only a browser would notice is said at once, without
// a call and without the URL, which may hold an OAuth code.
func TestJSConfigOfNoPage(t *testing.T) {
	cfg, wx := inMemory(t, config(), simulatorOptions())
	client := newClient(t, cfg)
	for page, says := range map[string]string{
		"":                                     "must begin with https://",
		"/cart?code=made-up":                   "must begin with https://",
		"example.com/cart?code=made-up":        "must begin with https://",
		"//example.com/cart?code=made-up":      "must begin with https://",
		"https:///cart?code=made-up":           "must begin with https://",
		"javascript:alert(1)?code=made-up":     "must begin with https://",
		"https://a b/cart?code=made-up":        "cannot be parsed",
		"https://u:p@example.com?code=made-up": "holds a user name",

		"https://example.com?code=made-up":            "has no path",
		"https://example.com#code=made-up":            "has no path",
		"HTTPS://example.com/?code=made-up":           "capital letters",
		"https://Example.com/?code=made-up":           "capital letters",
		"https://example.com:443/?code=made-up":       "has the port",
		"http://example.com:80/?code=made-up":         "has the port",
		"https://example.com:/?code=made-up":          "has the port",
		"https://example.com/?a=b&amp;code=made-up":   "&amp;",
		"https://example.com/商品?code=made-up":         "%E4%B8%AD",
		"https://example.com/?q=商品&code=made-up":      "%E4%B8%AD",
		"https://商店.example.com/?code=made-up":        "a browser encodes",
		"https://example.com/a b?code=made-up":        "a space",
		"https://example.com/?q=a b&code=made-up":     "a space",
		`https://example.com/?q="a"&code=made-up`:     "a space or one of",
		`https://example.com/a\b?code=made-up`:        `has a \`,
		"https://example.com/a/../b?code=made-up":     "has . or ..",
		"https://example.com/./b?code=made-up":        "has . or ..",
		"https://example.com/a/%2E%2e/b?code=made-up": "has . or ..",
	} {
		if _, err := client.JSConfig(t.Context(), page); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "made-up") {
			t.Errorf("%q: %v, want %q", page, err, says)
		}
	}
	if got := wx.Stats(testAppID).JSAPI.Calls; got != 0 {
		t.Errorf("%d tickets fetched", got)
	}
}

// TestCardSignature: what a card ticket is for is the signature that callbacks
// have. The values are a test vector of another implementation.
func TestCardSignature(t *testing.T) {
	if got := callback.Signature("dddd", "aaaa", "ffff", "bbbb", "eeee", "cccc"); got != "89a0e60888a9471f75dc5eb0ee86431ddbec1fd9" {
		t.Error(got)
	}
}
