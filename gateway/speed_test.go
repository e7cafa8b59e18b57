package gateway_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

const answered = `{"errcode":0,"errmsg":"ok","msgid":200228332}`

// weChatStub answers everything as WeChat would, as quickly as net/http can.
func weChatStub(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	body := answered
	if r.URL.Path == "/cgi-bin/token" {
		body = `{"access_token":"91_` + strings.Repeat("x", 133) + `","expires_in":7200}`
	}
	w.Header().Set("Content-Type", "application/json; encoding=utf-8")
	_, _ = io.WriteString(w, body)
}

// quickGateway returns a gateway whose token lives, and a gateway token and key.
func quickGateway(tb testing.TB, base string, transport http.RoundTripper) (g *gateway.Gateway, token, key string) {
	tb.Helper()
	store := memory.New()
	g, err := gateway.New(tb.Context(), gateway.Config{
		Accounts: []gateway.Account{{AppID: appID, Secret: custody.NewSecret(appSecret), TokenAPI: platform.Classic}},
		Store:    store, SealKeys: []custody.Secret{sealKey}, APIBase: base, Transport: transport,
		Logger: slog.New(slog.DiscardHandler), Access: slog.New(slog.NewTextHandler(sink{}, nil)),
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = g.Close() })
	clients := gateway.NewClients(store, "test")
	secret, err := clients.Add(tb.Context(), gateway.Client{Name: "shop", Accounts: []string{appID}})
	if err != nil {
		tb.Fatal(err)
	}
	g.Look(tb.Context())
	answer := httptest.NewRecorder()
	g.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, tokenTarget(secret.Reveal()), http.NoBody))
	var got reply
	decode(tb, answer.Body.String(), &got)
	patience.Until(tb, "a live token", func() bool { return g.Status()[0].Live })
	return g, got.Token, secret.Reveal()
}

func tokenTarget(key string) string {
	return "/cgi-bin/token?grant_type=client_credential&appid=" + appID + "&secret=" + key
}

// load calls a server n times from each of four callers, and returns how long all of
// it and each call took.
func load(tb testing.TB, client *http.Client, target string, body []byte, n int) (whole time.Duration, each []time.Duration) {
	tb.Helper()
	const callers = 4
	each = make([]time.Duration, callers*n)
	var group sync.WaitGroup
	start := time.Now()
	for caller := range callers {
		group.Go(func() {
			for i := range n {
				began := time.Now()
				method, reader := http.MethodGet, io.Reader(http.NoBody)
				if body != nil {
					method, reader = http.MethodPost, bytes.NewReader(body)
				}
				r, err := http.NewRequestWithContext(tb.Context(), method, target, reader)
				if err != nil {
					panic(err)
				}
				res, err := client.Do(r)
				if err != nil {
					panic(err)
				}
				text, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if err != nil || !bytes.Contains(text, []byte(`"`)) || bytes.Contains(text, []byte("zhongkong")) {
					panic("no answer: " + string(text))
				}
				each[caller*n+i] = time.Since(began)
			}
		})
	}
	group.Wait()
	return time.Since(start), each
}

// rival is a server and what to ask it.
type rival struct {
	client *http.Client
	target string
	body   []byte
}

func newRival(tb testing.TB, handler http.Handler, target string, body []byte) rival {
	tb.Helper()
	server := httptest.NewServer(handler)
	tb.Cleanup(server.Close)
	server.Client().Transport.(*http.Transport).MaxIdleConnsPerHost = 16
	return rival{server.Client(), server.URL + target, body}
}

// compare returns the throughput of a over b's, and a's p99 over b's, by medians of
// short turns so that whatever slows the machine down meets both.
func compare(tb testing.TB, a, b rival) (throughput, p99 float64) {
	tb.Helper()
	const turns, calls = 41, 25
	var whole [2][]time.Duration
	var tails [2][]time.Duration
	for turn := range turns {
		for i := range 2 {
			i ^= turn & 1 // each is as often the first
			r := [2]rival{a, b}[i]
			took, each := load(tb, r.client, r.target, r.body, calls)
			whole[i] = append(whole[i], took)
			slices.Sort(each)
			tails[i] = append(tails[i], each[len(each)*99/100])
		}
	}
	for i := range 2 {
		slices.Sort(whole[i])
		slices.Sort(tails[i])
	}
	return float64(whole[1][turns/2]) / float64(whole[0][turns/2]), float64(tails[0][turns/2]) / float64(tails[1][turns/2])
}

// bareProxy is a ReverseProxy that does nothing else, with a BufferPool as we have one.
func bareProxy(tb testing.TB, base string, transport http.RoundTripper) http.Handler {
	tb.Helper()
	to, err := url.Parse(base)
	if err != nil {
		tb.Fatal(err)
	}
	return &httputil.ReverseProxy{
		Rewrite:    func(p *httputil.ProxyRequest) { p.SetURL(to) },
		Transport:  transport,
		BufferPool: &buffers{sync.Pool{New: func() any { return new([32 << 10]byte) }}},
	}
}

// buffers are those of a ReverseProxy whose owner has thought of them.
type buffers struct{ sync.Pool }

func (b *buffers) Get() []byte  { return b.Pool.Get().(*[32 << 10]byte)[:] }
func (b *buffers) Put(p []byte) { b.Pool.Put((*[32 << 10]byte)(p)) }

// TestSpeedProxy holds the proxy to 0.65 of the throughput of a bare ReverseProxy in
// front of the same WeChat and to twice its p99, for calls with and without a body.
func TestSpeedProxy(t *testing.T) {
	tier.Speed(t)
	weChat := httptest.NewServer(http.HandlerFunc(weChatStub))
	defer weChat.Close()
	g, token, _ := quickGateway(t, weChat.URL, nil)
	bareTransport := &http.Transport{MaxIdleConnsPerHost: 256}
	defer bareTransport.CloseIdleConnections()
	for name, body := range map[string][]byte{"GET": nil, "POST of 2 KiB": bytes.Repeat([]byte("x"), 2<<10)} {
		target := "/cgi-bin/message/custom/send?access_token=" + token
		ours, floor := newRival(t, g, target, body), newRival(t, bareProxy(t, weChat.URL, bareTransport), target, body)
		var throughput, p99 float64
		patience.Attempts(t, "proxy, "+name, func() bool {
			throughput, p99 = compare(t, ours, floor)
			return throughput >= 0.65 && p99 <= 2
		})
		t.Logf("proxy, %s: %.2f × the throughput of a bare ReverseProxy (at least 0.65 ×), p99 %.2f × (at most 2 ×)", name, throughput, p99)
		if throughput < 0.65 || p99 > 2 {
			t.Errorf("%s: throughput %.2f ×, want at least 0.65 ×; p99 %.2f ×, want at most 2 ×", name, throughput, p99)
		}
	}
}

// TestSpeedTokenEndpoint holds it to 0.8 of the throughput of a handler that writes
// the same bytes.
func TestSpeedTokenEndpoint(t *testing.T) {
	tier.Speed(t)
	weChat := httptest.NewServer(http.HandlerFunc(weChatStub))
	defer weChat.Close()
	g, token, key := quickGateway(t, weChat.URL, nil)
	bytesOfIt := []byte(`{"access_token":"` + token + `","expires_in":7200}`)
	bare := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; encoding=utf-8")
		_, _ = w.Write(bytesOfIt)
	})
	ours, floor := newRival(t, g, tokenTarget(key), nil), newRival(t, bare, tokenTarget(key), nil)
	patience.AtLeast(t, "token endpoint, throughput to that of a bare handler", 0.8, func() float64 {
		throughput, _ := compare(t, ours, floor)
		return throughput
	})
}

// inMemory answers requests without a socket, the same way each time.
type inMemory struct{}

func (inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	body := answered
	if r.URL.Path == "/cgi-bin/token" {
		body = `{"access_token":"91_made-up","expires_in":7200}`
	}
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: int64(len(body)),
		Header: http.Header{"Content-Type": {"application/json; encoding=utf-8"}}, Body: io.NopCloser(strings.NewReader(body)),
	}, nil
}

// sink takes the lines of a log, so that writing them is measured too.
type sink struct{}

func (sink) Write(p []byte) (int, error) { return len(p), nil }

// nowhere is a ResponseWriter that costs nothing.
type nowhere struct{ header http.Header }

func (w nowhere) Header() http.Header            { return w.header }
func (nowhere) Write(p []byte) (int, error)      { return len(p), nil }
func (nowhere) WriteHeader(int)                  {}
func (nowhere) Flush()                           {}
func (nowhere) SetWriteDeadline(time.Time) error { return nil }

// written counts what is written to connections.
type written struct {
	net.Conn
	times *atomic.Int64
}

func (w written) Write(p []byte) (int, error) {
	w.times.Add(1)
	return w.Conn.Write(p)
}

// TestOneWrite: a call without a body, or with a small one, goes to WeChat in one write.
func TestOneWrite(t *testing.T) {
	t.Parallel()
	weChat := httptest.NewServer(http.HandlerFunc(weChatStub))
	defer weChat.Close()
	var writes atomic.Int64
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return written{conn, &writes}, err
	}}
	defer transport.CloseIdleConnections()
	g, token, _ := quickGateway(t, weChat.URL, transport)
	for _, size := range []int{0, 2 << 10} {
		before, answer := writes.Load(), httptest.NewRecorder()
		body := bytes.NewReader(make([]byte, size))
		g.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/cgi-bin/message/custom/send?access_token="+token, body))
		if n := writes.Load() - before; answer.Body.String() != answered || n != 1 {
			t.Errorf("a call with %d bytes was sent in %d writes: %s", size, n, answer.Body)
		}
	}
}

// TestSpeedProxyAllocations: a call has at most 40 more than with a bare ReverseProxy.
func TestSpeedProxyAllocations(t *testing.T) {
	tier.Speed(t)
	g, token, _ := quickGateway(t, "http://wechat.invalid", inMemory{})
	floor := bareProxy(t, "http://wechat.invalid", inMemory{})
	run := func(h http.Handler) float64 {
		return testing.AllocsPerRun(500, func() {
			r := httptest.NewRequest(http.MethodGet, "/cgi-bin/menu/get?access_token="+token, http.NoBody)
			h.ServeHTTP(nowhere{http.Header{}}, r)
		})
	}
	ours, bare := run(g), run(floor)
	t.Logf("proxy: %.0f allocations a call more than a bare ReverseProxy (at most 40): %.2f ×", ours-bare, ours/bare)
	if ours-bare > 40 {
		t.Errorf("%v allocations, a bare ReverseProxy has %v", ours, bare)
	}
}
