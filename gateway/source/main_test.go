package source_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/gateway/source"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

func TestMain(m *testing.M) { testserver.Main(m) }

const (
	appID     = "wx0123456789abcdef"
	appSecret = "0123456789abcdef0123456789abcdef"
	life      = 2 * time.Hour
)

// bubble runs a test in a time of its own.
func bubble(t *testing.T, do func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { do(t, newWorld(t, simulator.Options{})) })
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// world is a network with a simulated WeChat and gateways, without sockets, so that a
// bubble's time passes for it.
type world struct {
	t     *testing.T
	wx    *simtest.Sim
	store *memory.Store // of the gateways
	log   *logtest.Log

	overlap time.Duration // of the gateways; 0 means WeChat's rule

	mu       sync.Mutex // guards what follows
	lossy    bool       // the answers to the gateways' fetches are lost
	machines map[string]*machine
	dials    int
}

// machine is a host of the network: a gateway, as a rule.
type machine struct {
	conns  chan net.Conn
	down   chan struct{}
	once   sync.Once
	server *http.Server
	g      *gateway.Gateway
}

func (m *machine) Accept() (net.Conn, error) {
	select {
	case conn := <-m.conns:
		return conn, nil
	case <-m.down:
		return nil, net.ErrClosed
	}
}

func (m *machine) Close() error { m.once.Do(func() { close(m.down) }); return nil }
func (*machine) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func newWorld(t *testing.T, options simulator.Options) *world {
	t.Helper()
	overlap := options.Overlap
	options.Accounts = []simulator.Account{{AppID: appID, Secret: appSecret}}
	w := &world{
		t:        t,
		wx:       simtest.InMemory(t, options),
		store:    memory.New(),
		log:      new(logtest.Log),
		overlap:  overlap,
		machines: map[string]*machine{},
	}
	w.gateway("one")
	return w
}

// lossy is the gateways' way to WeChat.
type lossy struct{ w *world }

// RoundTrip implements [http.RoundTripper].
func (l lossy) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.w.wx.RoundTripper().RoundTrip(r)
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if err != nil || !l.w.lossy || r.URL.Path != "/cgi-bin/token" {
		return resp, err
	}
	_ = resp.Body.Close()
	return nil, errors.New("connection reset")
}

// gateway starts one as name.invalid, or starts it again.
func (w *world) gateway(name string) {
	w.t.Helper()
	g, err := gateway.New(w.t.Context(), gateway.Config{
		Accounts: []gateway.Account{{AppID: appID, Secret: custody.NewSecret(appSecret), TokenAPI: platform.Classic}},
		Store:    w.store, SealKeys: []custody.Secret{custody.NewSecret(strings.Repeat("s", 32))},
		APIBase: "http://wechat.invalid", Transport: lossy{w}, Overlap: w.overlap, Logger: w.log.Logger(slog.LevelDebug),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.serve(name, g).g = g
}

// serve starts a server as name.invalid.
func (w *world) serve(name string, handler http.Handler) *machine {
	m := &machine{
		conns:  make(chan net.Conn),
		down:   make(chan struct{}),
		server: &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute},
	}
	go func() { _ = m.server.Serve(m) }()
	w.mu.Lock()
	w.machines[name+".invalid:80"] = m
	w.mu.Unlock()
	w.t.Cleanup(func() { w.kill(m) })
	return m
}

// kill ends a machine as a power cut does; only the test's own goroutines are waited
// for.
func (w *world) kill(m *machine) {
	_ = m.Close()
	_ = m.server.Close()
	if m.g != nil {
		_ = m.g.Close()
	}
}

func (w *world) dial(_ context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dials++
	m := w.machines[address]
	w.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: network, Err: errors.New("connection refused")}
	if m == nil {
		return nil, refused
	}
	ours, theirs := net.Pipe()
	select {
	case m.conns <- theirs:
		return ours, nil
	case <-m.down:
		return nil, refused
	}
}

// dialled returns how many connections were tried since it was asked last.
func (w *world) dialled() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.dials
	w.dials = 0
	return n
}

// client adds a client and returns its key.
func (w *world) client(c gateway.Client) string {
	w.t.Helper()
	c.Accounts = []string{appID}
	key, err := w.clients().Add(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.look()
	return key.Reveal()
}

func (w *world) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.machines {
		if m.g != nil {
			m.g.Look(context.Background())
		}
	}
}

func (w *world) clients() *gateway.Clients {
	w.t.Helper()
	return gateway.NewClients(w.store, "test")
}

// source starts a program with a key. change may be nil.
func (w *world) source(key string, change func(*source.Config)) *source.Source {
	w.t.Helper()
	transport := &http.Transport{DialContext: w.dial, MaxIdleConnsPerHost: 8}
	cfg := source.Config{
		Gateway: "http://one.invalid, http://two.invalid/", Key: custody.NewSecret(key), AppID: appID,
		Transport: transport, Logger: w.log.Logger(slog.LevelDebug),
	}
	if change != nil {
		change(&cfg)
	}
	s, err := source.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			w.t.Error(err)
		}
		transport.CloseIdleConnections()
	})
	return s
}

// token returns the live token, which has to be there.
func (w *world) token(s *source.Source) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	token, err := s.Token(ctx)
	if err != nil {
		w.t.Fatalf("Token: %v", err)
	}
	return token.Value()
}

// noToken returns the error of a Token that has to fail.
func (w *world) noToken(s *source.Source) *custody.Error {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	token, err := s.Token(ctx)
	var none *custody.Error
	if !errors.As(err, &none) {
		w.t.Fatalf("Token: %v, %v, want a *custody.Error", token, err)
	}
	return none
}

// latest is WeChat's latest token.
func (w *world) latest() string { return w.wx.Latest(appID, simulator.Classic) }

func (w *world) issued() int { return w.wx.Stats(appID).Classic.Issued }

func (w *world) handOuts() (n int) {
	w.t.Helper()
	uses, err := w.store.Uses(w.t.Context(), 10_000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, use := range uses {
		if use.Act == "hand out token" {
			n++
		}
	}
	return n
}
