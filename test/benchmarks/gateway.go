package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// callers call a server together.
const callers = 4

// stub answers everything as WeChat would, as quickly as net/http can.
type stub struct{}

func (stub) body(path string) string {
	if path == "/cgi-bin/token" {
		return `{"access_token":"91_` + strings.Repeat("x", 133) + `","expires_in":7200}`
	}
	return `{"errcode":0,"errmsg":"ok","msgid":200228332}`
}

func (s stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json; encoding=utf-8")
	_, _ = io.WriteString(w, s.body(r.URL.Path))
}

// RoundTrip is the same without a socket.
func (s stub) RoundTrip(r *http.Request) (*http.Response, error) {
	body := s.body(r.URL.Path)
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: int64(len(body)),
		Header: http.Header{"Content-Type": {"application/json; encoding=utf-8"}}, Body: io.NopCloser(strings.NewReader(body)),
	}, nil
}

// sink takes the lines of a log: writing them is measured too.
type sink struct{}

func (sink) Write(p []byte) (int, error) { return len(p), nil }

// openedGateway is one whose token lives, and what a program asks it with.
type openedGateway struct {
	*gateway.Gateway

	token string // the program's
	fetch string // path and query of a token
}

func (b *bench) openGateway(base string, transport http.RoundTripper) (*openedGateway, error) {
	const appID = "wx0123456789abcdef"
	store := memory.New()
	g, err := gateway.New(b.ctx, gateway.Config{
		Accounts: []gateway.Account{{AppID: appID, Secret: custody.NewSecret("made-up"), TokenAPI: platform.Classic}},
		Store:    store, SealKeys: []custody.Secret{custody.NewSecret(strings.Repeat("k", 32))}, APIBase: base, Transport: transport,
		Logger: slog.New(slog.DiscardHandler), Access: slog.New(slog.NewTextHandler(sink{}, nil)),
	})
	if err != nil {
		return nil, err
	}
	clients := gateway.NewClients(store, "benchmarks")
	key, err := clients.Add(b.ctx, gateway.Client{Name: "shop", Accounts: []string{appID}})
	if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	g.Look(b.ctx)
	o := &openedGateway{Gateway: g, fetch: "/cgi-bin/token?grant_type=client_credential&appid=" + appID + "&secret=" + key.Reveal()}
	for deadline := time.Now().Add(10 * time.Second); !g.Status()[0].Live; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return nil, errors.Join(errors.New("the gateway has no token after 10 s"), g.Close())
		}
	}
	answer := httptest.NewRecorder()
	g.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, o.fetch, http.NoBody))
	_, token, _ := strings.Cut(answer.Body.String(), `"access_token":"`)
	o.token, _, _ = strings.Cut(token, `"`)
	if o.token == "" {
		return nil, errors.Join(errors.New("the gateway gives no token: "+answer.Body.String()), g.Close())
	}
	return o, nil
}

func (o *openedGateway) call() string { return "/cgi-bin/message/custom/send?access_token=" + o.token }

// buffers are what a ReverseProxy copies bodies with.
type buffers struct{ pool sync.Pool }

func newBuffers() *buffers {
	return &buffers{sync.Pool{New: func() any { return new([32 << 10]byte) }}}
}

func (b *buffers) Get() []byte  { return b.pool.Get().(*[32 << 10]byte)[:] }
func (b *buffers) Put(p []byte) { b.pool.Put((*[32 << 10]byte)(p)) }

// bareProxy is a ReverseProxy that does nothing else. It has a BufferPool, as whoever
// needs a fast one gives it; without one it makes 32 KiB for each answer.
func bareProxy(base string, transport http.RoundTripper) (http.Handler, error) {
	to, err := url.Parse(base)
	return &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to) }, Transport: transport, BufferPool: newBuffers()}, err
}

// proxy measures the gateway beside a bare ReverseProxy in front of the same WeChat,
// and its token endpoint beside a handler that writes the same bytes.
func proxy(b *bench) ([]row, error) {
	weChat := httptest.NewServer(stub{})
	defer weChat.Close()
	g, err := b.openGateway(weChat.URL, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = g.Close() }()
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	defer transport.CloseIdleConnections()
	bare, err := bareProxy(weChat.URL, transport)
	if err != nil {
		return nil, err
	}
	answer := []byte(`{"access_token":"` + g.token + `","expires_in":7200}`)
	writer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; encoding=utf-8")
		_, _ = w.Write(answer)
	})
	const note = "4 callers on the same machine, each by its own connection; the median of short turns. The peers have no gateway."
	var rows []row
	for _, m := range []struct {
		id, what, target string
		body             []byte
		floor            http.Handler
		note             string
	}{
		{"proxy-get", "gateway, a call: time; p99", g.call(), nil, bare, "The floor is a bare httputil.ReverseProxy with a BufferPool. " + note},
		{
			"proxy-post", "gateway, a call with 2 KiB: time; p99", g.call(), bytes.Repeat([]byte("x"), 2<<10), bare,
			"The floor is a bare httputil.ReverseProxy with a BufferPool. " + note,
		},
		{
			"token-endpoint", "gateway, a token fetched: time; p99", g.fetch, nil, writer,
			"The floor is a handler that writes the same bytes. " + note,
		},
	} {
		servers := make(map[string]*httptest.Server)
		for name, handler := range map[string]http.Handler{ours: g, floor: m.floor} {
			s := httptest.NewServer(handler)
			defer s.Close()
			s.Client().Transport.(*http.Transport).MaxIdleConnsPerHost = callers
			servers[name] = s
		}
		medians, err := turns(max(b.rounds, 5)*8+1, []string{floor, ours}, func(name string) (sample, error) {
			return b.load(servers[name], m.target, m.body)
		})
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{ID: m.id, What: m.what, Cells: cells(medians, duration, duration), Note: m.note})
	}
	allocations, err := b.allocations()
	return append(rows, allocations), err
}

// load has the callers call a server, and returns the mean time of a call and the
// 99th percentile.
func (b *bench) load(s *httptest.Server, target string, body []byte) (sample, error) {
	const calls = 25 // of each
	times := make([]float64, callers*calls)
	failed := make([]error, callers)
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			for i := range calls {
				began := now()
				if failed[caller] = b.once(s, target, body); failed[caller] != nil {
					return
				}
				times[caller*calls+i] = float64(now() - began)
			}
		})
	}
	all.Wait()
	var sum float64
	for _, t := range times {
		sum += t
	}
	slices.Sort(times)
	return sample{sum / float64(len(times)), times[len(times)*99/100]}, errors.Join(failed...)
}

func (b *bench) once(s *httptest.Server, target string, body []byte) error {
	method, reader := http.MethodGet, io.Reader(http.NoBody)
	if body != nil {
		method, reader = http.MethodPost, bytes.NewReader(body)
	}
	r, err := http.NewRequestWithContext(b.ctx, method, s.URL+target, reader)
	if err != nil {
		return err
	}
	res, err := s.Client().Do(r)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err == nil && (!bytes.Contains(text, []byte(`"`)) || bytes.Contains(text, []byte("zhongkong"))) {
		err = errors.New("no answer: " + string(text))
	}
	return err
}

// nowhere is a ResponseWriter that costs nothing.
type nowhere struct{ header http.Header }

func (w nowhere) Header() http.Header            { return w.header }
func (nowhere) Write(p []byte) (int, error)      { return len(p), nil }
func (nowhere) WriteHeader(int)                  {}
func (nowhere) Flush()                           {}
func (nowhere) SetWriteDeadline(time.Time) error { return nil }

// allocations counts those of a call.
func (b *bench) allocations() (row, error) {
	const base = "http://wechat.invalid"
	g, err := b.openGateway(base, stub{})
	if err != nil {
		return row{}, err
	}
	defer func() { _ = g.Close() }()
	bare, err := bareProxy(base, stub{})
	if err != nil {
		return row{}, err
	}
	medians := make(map[string]sample)
	for name, handler := range map[string]http.Handler{ours: g, floor: bare} {
		medians[name] = sample{testing.AllocsPerRun(500, func() {
			handler.ServeHTTP(nowhere{http.Header{}}, httptest.NewRequest(http.MethodGet, g.call(), http.NoBody))
		})}
	}
	return row{
		ID: "proxy-allocations", What: "gateway, a call: allocations", Cells: cells(exactly(medians), digits),
		Note: "Without sockets; those of making the request are in both. The floor is a bare httputil.ReverseProxy with a BufferPool.",
	}, nil
}
