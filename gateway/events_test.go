package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// told is an event of an account's token.
type told struct {
	AppID   string
	Fence   int64
	Expires int   `json:"expires_in"`
	Spread  int64 `json:"spread_ms"`
	at      time.Time
}

// subscriber is one of the events of an account's token.
type subscriber struct {
	events chan told     // closed at the stream's end
	stop   func()        // ends it
	ended  chan struct{} // closed at the stream's end
}

// listen subscribes, and waits until that has begun.
func (w *world) listen(key string) *subscriber {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+apiBase+"/events", http.NoBody)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	res, err := w.http.Do(r) //nolint:bodyclose // by the goroutine below
	if err != nil {
		w.t.Fatal(err)
	}
	if err := contract().Check(http.MethodGet, r.URL.Path, res.StatusCode, res.Header.Get("Content-Type"), nil); err != nil {
		w.t.Fatal(err)
	}
	l := &subscriber{events: make(chan told, 1000), ended: make(chan struct{})}
	l.stop = func() {
		cancel()
		<-l.ended
	}
	w.t.Cleanup(l.stop)
	go func() {
		defer close(l.ended)
		defer close(l.events)
		defer func() { _ = res.Body.Close() }()
		lines := bufio.NewScanner(res.Body)
		name := ""
		for lines.Scan() {
			field, value, _ := strings.Cut(lines.Text(), ": ")
			switch {
			case field == "event":
				name = value
			case field == "data" && name == "token":
				e := told{at: time.Now()}
				if err := json.Unmarshal([]byte(value), &e); err != nil {
					w.t.Error(err)
				}
				l.events <- e
			}
		}
	}()
	return l
}

// next returns the next event.
func (l *subscriber) next(tb testing.TB) told {
	tb.Helper()
	select {
	case e, ok := <-l.events:
		if !ok {
			tb.Fatal("the stream ended")
		}
		return e
	case <-time.After(20 * time.Second):
		tb.Fatal("no event within 20 s")
	}
	return told{}
}

// mustEnd waits for the stream's end.
func (l *subscriber) mustEnd(tb testing.TB, why string) {
	tb.Helper()
	select {
	case <-l.ended:
	case <-time.After(20 * time.Second):
		tb.Errorf("%s: the stream did not end within 20 s", why)
	}
}

// renew lets WeChat end the token, and has it renewed.
func (w *world) renew(key string) {
	w.t.Helper()
	before := w.wx.Latest(appID, simulator.Classic)
	w.wx.Kill(appID)
	if got := w.post(apiBase+"/reject", `{"access_token":"`+before+`"}`, bearer(key)...); got.status != http.StatusOK {
		w.t.Fatal(got.body)
	}
}

func closedStore(tb testing.TB) store.Store {
	tb.Helper()
	store := memory.New()
	if err := store.Close(); err != nil {
		tb.Fatal(err)
	}
	return store
}

// TestEvents: the present state first, then each renewal; no token in it.
func TestEvents(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	crm, shop := w.client(gateway.Client{Name: "crm", Real: true}), w.client(gateway.Client{Name: "shop"})
	patience.Until(t, "a token", func() bool { return w.fence() != 0 })
	var subscribers []*subscriber
	for i, key := range []string{crm, shop} {
		l := w.listen(key)
		subscribers = append(subscribers, l)
		if e := l.next(t); e.Fence != w.fence() || e.Expires < 7100 || e.AppID != appID || e.Spread != int64(i+1) {
			t.Errorf("at first: %+v", e)
		}
	}
	hands := w.handOuts()
	w.renew(crm)
	for _, l := range subscribers {
		if e := l.next(t); e.Fence != w.fence() || e.Spread != 2 {
			t.Errorf("after a renewal: %+v", e)
		}
	}
	if n := w.handOuts() - hands; n != 1 {
		t.Errorf("%d hand-outs in the journal for one Reject and two subscribers, want 1", n)
	}
	late := w.listen(shop)
	if e := late.next(t); e.Fence != w.fence() {
		t.Errorf("who comes late: %+v", e)
	}
}

// TestEventsOverHTTP2: many streams on one connection.
func TestEventsOverHTTP2(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	server := httptest.NewUnstartedServer(w.Gateway)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	w.url, w.http = server.URL, server.Client()
	key := w.client(gateway.Client{Name: "crm", Real: true})
	var subscribers []*subscriber
	for range 3 {
		l := w.listen(key)
		l.next(t)
		subscribers = append(subscribers, l)
	}
	w.renew(key)
	for _, l := range subscribers {
		if e := l.next(t); e.Fence != w.fence() || e.Spread != 3 {
			t.Errorf("%+v", e)
		}
	}
	subscribers[0].stop()
	w.renew(key)
	subscribers[1].next(t)
	w.Drain()
	subscribers[1].mustEnd(t, "a gateway that is about to end")
	if got := w.get("/healthz"); got.status != http.StatusOK || got.header.Get("Content-Type") == "" {
		t.Error("another call of the connection: ", got.status)
	}
}

// TestEventsOfAnotherGateway: what one renews, the subscribers of the other hear of,
// where the store tells of changes.
func TestEventsOfAnotherGateway(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	second := join(t, w.wx, w.store, nil)
	key := w.client(gateway.Client{Name: "crm", Real: true})
	second.Look(t.Context())
	l := second.listen(key)
	l.next(t)
	w.renew(key)
	if e := l.next(t); e.Fence != w.fence() {
		t.Errorf("%+v, want fence %d", e, w.fence())
	}
}

// TestEventsEnd: with the client's key, with its account, with the account's place in
// the gateway, with the gateway.
func TestEventsEnd(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	gone, rotated := w.client(gateway.Client{Name: "gone"}), w.client(gateway.Client{Name: "rotated"})
	stays := w.client(gateway.Client{Name: "stays"})
	l, r, s := w.listen(gone), w.listen(rotated), w.listen(stays)
	s.next(t)
	if err := w.clients().Revoke(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	w.Look(t.Context())
	l.mustEnd(t, "a client that was revoked")
	if _, err := w.clients().Rotate(t.Context(), "rotated", 0); err != nil {
		t.Fatal(err)
	}
	w.Look(t.Context())
	r.mustEnd(t, "a key that was replaced")

	if err := w.Replace(w.cfg.Accounts[1:]); err != nil {
		t.Fatal(err)
	}
	s.mustEnd(t, "an account that was taken away")
	if err := w.Replace(w.cfg.Accounts); err != nil {
		t.Fatal(err)
	}
	s = w.listen(stays)
	s.next(t)
	changed := append([]gateway.Account{}, w.cfg.Accounts...)
	changed[0].DailyFetches = 77
	if err := w.Replace(changed); err != nil {
		t.Fatal(err)
	}
	w.renew(w.client(gateway.Client{Name: "crm", Real: true}))
	s.next(t)
	w.Drain()
	s.mustEnd(t, "a gateway that is about to end")
}

// TestEventsShortened: when nobody knows whether a token was superseded, subscribers
// hear that it ends earlier.
func TestEventsShortened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const overlap = 4 * time.Second
		wx := simtest.InMemory(t, simulator.Options{
			Accounts: []simulator.Account{{AppID: appID, Secret: appSecret}}, Life: 3 * overlap, Overlap: overlap,
		})
		cut := &cutting{base: wx.RoundTripper()}
		w := &world{t: t, wx: wx, store: memory.New()}
		var err error
		if w.Gateway, err = gateway.New(t.Context(), gateway.Config{
			Accounts: []gateway.Account{{AppID: appID, Secret: custody.NewSecret(appSecret), TokenAPI: platform.Classic}},
			Store:    w.store, SealKeys: []custody.Secret{sealKey}, Transport: cut, Overlap: overlap,
		}); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = w.Close() }()
		ctx, cancel := context.WithCancel(t.Context())
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, apiBase+"/events", http.NoBody)
		r.Header.Set("Authorization", "Bearer "+w.client(gateway.Client{Name: "shop"}))
		answer, ended := &streamed{ResponseRecorder: httptest.NewRecorder()}, make(chan struct{})
		go func() {
			defer close(ended)
			w.ServeHTTP(answer, r)
		}()
		defer func() {
			cancel()
			<-ended
		}()
		event := func(n int) told {
			t.Helper()
			for range 200 {
				var all []told
				for line := range strings.Lines(answer.text.String()) {
					if data, ok := strings.CutPrefix(line, "data: "); ok {
						var e told
						decode(t, data, &e)
						all = append(all, e)
					}
				}
				if len(all) > n {
					return all[n]
				}
				time.Sleep(100 * time.Millisecond)
			}
			t.Fatal("no event within 20 s")
			return told{}
		}
		first := event(0)
		cut.set(true)
		if e := event(1); e.Fence != first.Fence || e.Expires >= int(overlap/time.Second) {
			t.Errorf("%+v after %+v, want the same fence and less than %s", e, first, overlap)
		}
	})
}

// streamed is an answer that is read while it is written.
type streamed struct {
	*httptest.ResponseRecorder

	text logtest.Log
}

func (s *streamed) Write(b []byte) (int, error) { return s.text.Write(b) }

// cutting is a network that, when told so, loses the answers of fetches.
type cutting struct {
	base http.RoundTripper

	mu sync.Mutex
	on bool
}

func (c *cutting) set(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = on
}

func (c *cutting) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := c.base.RoundTrip(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || !c.on || r.URL.Path != "/cgi-bin/token" {
		return res, err
	}
	_ = res.Body.Close()
	return nil, http.ErrServerClosed
}
