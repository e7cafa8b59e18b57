package platform

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// counted counts what arrives for a host.
type counted struct {
	http.Handler

	host string
	n    atomic.Int64
}

func (c *counted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Host == c.host {
		c.n.Add(1)
	}
	c.Handler.ServeHTTP(w, r)
}

// TestDetour: whatever is to go to a host without address or listener goes to WeChat's
// second one, fetches too, once each.
func TestDetour(t *testing.T) {
	for name, hosts := range map[string]map[string]http.Handler{"refused": {firstHost: nil}, "no address": {}} {
		t.Run(name, func(t *testing.T) {
			wx := simtest.New(t, simulator.Options{Accounts: []simulator.Account{{AppID: testAppID, Secret: testSecret}}})
			second := &counted{Handler: wx.Handler(), host: secondHost}
			hosts[secondHost] = second
			var text strings.Builder
			api := newAPI(t, Config{Transport: testserver.Network(t, hosts), Logger: slog.New(slog.NewTextHandler(&text, nil))})
			classic, err := api.AccessToken(testAccount(), Classic).Fetch(t.Context(), custody.Normal)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = api.AccessToken(testAccount(), Stable).Fetch(t.Context(), custody.Normal); err != nil {
				t.Fatal(err)
			}
			client := api.Client(&fakeTokens{current: mint(t, classic.Value.Reveal())}, testAppID)
			if err := client.Get(t.Context(), probePath, nil, nil); err != nil {
				t.Error(err)
			}
			if err := client.Post(t.Context(), "/cgi-bin/menu/create", map[string]any{"button": []any{map[string]string{"type": "click", "name": "a", "key": "b"}}}, nil); err != nil {
				t.Error(err)
			}
			stats := wx.Stats(testAppID)
			if stats.Classic.Issued != 1 || stats.Stable.Issued != 1 || second.n.Load() != 4 {
				t.Errorf("%d and %d tokens were issued, %d requests came", stats.Classic.Issued, stats.Stable.Issued, second.n.Load())
			}
			if n := strings.Count(text.String(), "level=WARN"); n != 1 {
				t.Errorf("%d warnings: %s", n, text.String())
			}
		})
	}
}

// TestNoDetour: where something was there to connect to, a request may have left, and
// a fetch is not made a second time; nor is one for a host that was chosen.
func TestNoDetour(t *testing.T) {
	wx := simtest.New(t, simulator.Options{Accounts: []simulator.Account{{AppID: testAppID, Secret: testSecret}}})
	cut := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = conn.Close()
		}
	})
	for name, row := range map[string]struct {
		base  string
		first http.Handler
		spoil func(*http.Transport)
		sent  bool
	}{
		"the answer is lost":    {first: cut, sent: true},
		"a strange certificate": {first: wx.Handler(), spoil: func(tr *http.Transport) { tr.TLSClientConfig.ServerName = "api.example.com" }},
		"a proxy that is away": {spoil: func(tr *http.Transport) {
			tr.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.invalid:3128"})
		}},
		"another host of WeChat's":  {base: "https://sh.api.weixin.qq.com"},
		"the second host is chosen": {base: "https://" + secondHost + ":8443"},
	} {
		t.Run(name, func(t *testing.T) {
			second := &counted{Handler: wx.Handler(), host: secondHost}
			transport := testserver.Network(t, map[string]http.Handler{firstHost: row.first, secondHost: second})
			if row.spoil != nil {
				row.spoil(transport)
			}
			api := newAPI(t, Config{Base: row.base, Transport: transport})
			_, err := api.AccessToken(testAccount(), Classic).Fetch(t.Context(), custody.Normal)
			var failure *custody.FetchError
			if !errors.As(err, &failure) || failure.Unanswered != row.sent || failure.PerHost == row.sent {
				t.Errorf("%v, want one that says whether it may have arrived %v, and, if not, that it concerns this machine", err, row.sent)
			}
			if second.n.Load() != 0 {
				t.Error("the second host was asked")
			}
		})
	}
	if n := wx.Stats(testAppID).Classic.Issued; n != 0 {
		t.Errorf("%d tokens were issued", n)
	}
}

// TestDetourNeedsProof: an error alone proves nothing. A transport that does not tell
// about its connections may have sent the request before.
func TestDetourNeedsProof(t *testing.T) {
	asked := 0
	dial := &net.OpError{Op: "dial", Err: errors.New("made up")}
	for name, rt := range map[string]roundTripFunc{
		"silent": func(*http.Request) (*http.Response, error) { asked++; return nil, dial },
		"tells of a connection before": func(r *http.Request) (*http.Response, error) {
			asked++
			trace := httptrace.ContextClientTrace(r.Context())
			trace.GetConn(r.URL.Host)
			trace.GotConn(httptrace.GotConnInfo{})
			return nil, dial
		},
		"another error": func(r *http.Request) (*http.Response, error) {
			asked++
			httptrace.ContextClientTrace(r.Context()).GetConn(r.URL.Host)
			return nil, &net.OpError{Op: "read", Err: errors.New("made up")}
		},
	} {
		asked = 0
		api := newAPI(t, Config{Transport: rt})
		if _, err := api.AccessToken(testAccount(), Classic).Fetch(t.Context(), custody.Normal); err == nil || asked != 1 {
			t.Errorf("%s: asked %d times, %v", name, asked, err)
		}
	}
}

// hosts is a transport without one: hosts that are away refuse, and it tells.
type hosts struct {
	away  map[string]bool
	rude  map[string]bool // hosts with which no TLS handshake succeeds
	asked []string
}

func (n *hosts) RoundTrip(r *http.Request) (*http.Response, error) {
	n.asked = append(n.asked, r.URL.Host)
	trace := httptrace.ContextClientTrace(r.Context())
	trace.GetConn(r.URL.Host)
	if n.away[r.URL.Host] {
		closeBody(r.Body)
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	}
	if n.rude[r.URL.Host] {
		closeBody(r.Body)
		return nil, errors.New("tls: handshake failure")
	}
	trace.GotConn(httptrace.GotConnInfo{})
	if r.Body != nil {
		if text, err := io.ReadAll(r.Body); err != nil || string(text) != "x" {
			return nil, fmt.Errorf("the body %q: %w", text, err)
		}
		closeBody(r.Body)
	}
	return response(r, http.StatusOK, `{"errcode":0}`), nil
}

// closable counts bodies that were closed.
type closable struct {
	io.Reader

	closed *int
}

func (c *closable) Close() error { *c.closed++; return nil }

// TestDetourMemory: a host that was away is not tried by every call, and is tried
// again. What is remembered chooses the order alone: before an error is returned the
// other host is tried, also with a body that is there once, as nothing of it was read.
func TestDetourMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &hosts{away: map[string]bool{firstHost: true}}
		api := newAPI(t, Config{Transport: n})
		send := func(body io.Reader) error {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, api.Base()+"/x", body)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := api.RoundTripper().RoundTrip(r)
			discard(resp)
			return err
		}
		expect := func(what string, failed bool, err error, hosts ...string) {
			t.Helper()
			if (err != nil) != failed || !slices.Equal(n.asked, hosts) {
				t.Errorf("%s: %v, asked %v, want %v", what, err, n.asked, hosts)
			}
			n.asked = nil
		}
		var closed int
		once := func() io.Reader { return &closable{strings.NewReader("x"), &closed} }
		expect("a body that is there once", false, send(once()), firstHost, secondHost)
		expect("the next one", false, send(once()), secondHost)
		n.away[secondHost] = true
		expect("a body that is there once, for nobody", true, send(once()), secondHost, firstHost)
		if closed != 3 {
			t.Errorf("%d of 3 bodies were closed", closed)
		}
		delete(n.away, secondHost)
		expect("a body that can be had again", false, send(strings.NewReader("x")), secondHost)
		time.Sleep(detourTime)
		expect("after a while", false, send(strings.NewReader("x")), firstHost, secondHost)
		n.away = map[string]bool{secondHost: true}
		expect("the second is away", false, send(nil), secondHost, firstHost)
		expect("after it was", false, send(nil), firstHost)
		n.away = map[string]bool{firstHost: true}
		expect("the first is away again", false, send(nil), firstHost, secondHost)
		n.away, n.rude = nil, map[string]bool{secondHost: true}
		expect("the second gives no TLS while the first is remembered as away", false, send(once()), secondHost, firstHost)
		n.away, n.rude = map[string]bool{secondHost: true}, map[string]bool{firstHost: true}
		expect("the first gives no TLS", true, send(nil), firstHost)
		n.rude, n.away[firstHost] = nil, true
		expect("both are away", true, send(nil), firstHost, secondHost)
		expect("both are still away", true, send(nil), firstHost, secondHost)
	})
}
