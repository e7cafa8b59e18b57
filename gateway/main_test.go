package gateway_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/memory"
	"github.com/zhongkong-go/zhongkong/store/sqlite"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if weChat, ok := strings.CutPrefix(role, subscribersRole); ok {
			os.Exit(playSubscribers(weChat))
		}
		play(role)
	}
	if role := os.Getenv(fanoutVariable); role != "" {
		os.Exit(playFanout(role))
	}
	testserver.Main(m)
}

const (
	appID     = "wx0123456789abcdef"
	otherApp  = "wxfedcba9876543210"
	appSecret = "0123456789abcdef0123456789abcdef"
)

var sealKey = custody.NewSecret(strings.Repeat("s", 32))

// world is a gateway between programs and a simulated WeChat.
type world struct {
	*gateway.Gateway

	t     testing.TB
	wx    *simtest.Sim
	store store.Store
	log   *logtest.Log
	cfg   gateway.Config
	url   string // of the gateway, where it listens
	http  *http.Client

	stopUpstream func() // of a world that upstream made
}

// weChat is a simulated WeChat with two accounts.
func weChat(tb testing.TB, options simulator.Options) *simtest.Sim {
	tb.Helper()
	options.Accounts = twoAccounts()
	return simtest.New(tb, options)
}

func twoAccounts() []simulator.Account {
	return []simulator.Account{{AppID: appID, Secret: appSecret}, {AppID: otherApp, Secret: "other-" + appSecret}}
}

// inTwoGateways runs a test in a bubble, with two gateways on one database that differ by
// what change makes of the configuration of the first and second.
func inTwoGateways(t *testing.T, change func(i int, c *gateway.Config), do func(t *testing.T, one, two *world)) {
	t.Helper()
	path := newPath(t)
	synctest.Test(t, func(t *testing.T) {
		wx := simtest.InMemory(t, simulator.Options{Accounts: twoAccounts()})
		var worlds [2]*world
		for i := range worlds {
			worlds[i] = joinInBubble(t, wx, sqliteStore(t, path), func(c *gateway.Config) { change(i, c) })
		}
		do(t, worlds[0], worlds[1])
	})
}

func sqliteStore(tb testing.TB, path string) store.Store {
	tb.Helper()
	store, err := sqlite.Open(tb.Context(), path, sqlite.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = store.Close() })
	return store
}

// newWorld starts a gateway that listens on loopback. change may be nil.
func newWorld(tb testing.TB, options simulator.Options, change func(*gateway.Config)) *world {
	tb.Helper()
	return join(tb, weChat(tb, options), memory.New(), change)
}

// join starts one more gateway over a WeChat and a store, which listens on loopback.
func join(tb testing.TB, wx *simtest.Sim, store store.Store, change func(*gateway.Config)) *world {
	tb.Helper()
	w := start(tb, wx, store, change)
	server := httptest.NewServer(w)
	w.url, w.http = server.URL, server.Client()
	tb.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return w
}

// joinInBubble is join without sockets: wx is in memory, and the caller in a bubble.
func joinInBubble(tb testing.TB, wx *simtest.Sim, store store.Store, change func(*gateway.Config)) *world {
	tb.Helper()
	w := start(tb, wx, store, func(c *gateway.Config) {
		c.Transport = wx.RoundTripper()
		if change != nil {
			change(c)
		}
	})
	w.url, w.http = "http://gateway.invalid", &http.Client{Transport: direct{w}}
	return w
}

// direct is a network that leads to a handler.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	d.ServeHTTP(answer, r)
	return answer.Result(), nil
}

// start starts a gateway that ends with the test.
func start(tb testing.TB, wx *simtest.Sim, store store.Store, change func(*gateway.Config)) *world {
	tb.Helper()
	w := &world{t: tb, wx: wx, store: store, log: new(logtest.Log)}
	w.cfg = gateway.Config{
		Accounts: []gateway.Account{
			{AppID: appID, Secret: custody.NewSecret(appSecret), TokenAPI: platform.Classic},
			{AppID: otherApp, Secret: custody.NewSecret("other-" + appSecret)},
		},
		Store: store, SealKeys: []custody.Secret{sealKey}, APIBase: wx.URL,
		Timing: custody.Timing{StoreTimeout: 5 * time.Second, SaveTimeout: 4 * time.Second}, // the disk is busy with the other tests
		Logger: w.log.Logger(slog.LevelDebug), Access: w.log.Logger(slog.LevelDebug),
	}
	if change != nil {
		change(&w.cfg)
	}
	g, err := gateway.New(tb.Context(), w.cfg)
	if err != nil {
		tb.Fatal(err)
	}
	w.Gateway = g
	tb.Cleanup(func() {
		if err := g.Close(); err != nil {
			tb.Error(err)
		}
	})
	return w
}

// client adds a client and returns its key.
func (w *world) client(c gateway.Client) string {
	w.t.Helper()
	if c.Accounts == nil {
		c.Accounts = []string{appID}
	}
	key, err := w.clients().Add(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Look(w.t.Context())
	return key.Reveal()
}

func (w *world) clients() *gateway.Clients {
	w.t.Helper()
	clients := gateway.NewClients(w.store, "test")
	return clients
}

// reply is what a caller gets.
type reply struct {
	status  int
	header  http.Header
	trailer http.Header
	body    string
	Errcode int    `json:"errcode"`
	Errmsg  string `json:"errmsg"`
	Token   string `json:"access_token"`
	Expires int    `json:"expires_in"`
}

// send sends a request; headers are pairs.
func (w *world) send(method, target string, body io.Reader, headers ...string) reply {
	w.t.Helper()
	return w.do(w.request(method, target, body, headers...))
}

func (w *world) request(method, target string, body io.Reader, headers ...string) *http.Request {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.url+target, body)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func (w *world) do(r *http.Request) reply {
	w.t.Helper()
	got, err := w.try(r)
	if err != nil {
		w.t.Fatalf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	return got
}

func (w *world) try(r *http.Request) (reply, error) {
	w.t.Helper()
	res, err := w.http.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return reply{}, err
	}
	if described(r.URL.Path) {
		if err := contract().Check(r.Method, r.URL.Path, res.StatusCode, res.Header.Get("Content-Type"), text); err != nil {
			w.t.Error(err)
		}
	}
	got := reply{status: res.StatusCode, header: res.Header, trailer: res.Trailer, body: string(text)}
	_ = json.Unmarshal(text, &got)
	return got, nil
}

func (w *world) get(target string, headers ...string) reply {
	w.t.Helper()
	return w.send(http.MethodGet, target, nil, headers...)
}

func (w *world) post(target, body string, headers ...string) reply {
	w.t.Helper()
	return w.send(http.MethodPost, target, strings.NewReader(body), headers...)
}

// fetch fetches a token as an SDK does.
func (w *world) fetch(key string) reply {
	w.t.Helper()
	return w.get("/cgi-bin/token?" + url.Values{"grant_type": {"client_credential"}, "appid": {appID}, "secret": {key}}.Encode())
}

// token is fetch that has to succeed.
func (w *world) token(key string) string {
	w.t.Helper()
	got := w.fetch(key)
	if got.Token == "" || got.Errcode != 0 {
		w.t.Fatalf("no token: %s", got.body)
	}
	return got.Token
}

func (w *world) issued() int { return w.wx.Stats(appID).Classic.Issued }

func newPath(tb testing.TB) string {
	tb.Helper()
	return filepath.Join(tb.TempDir(), "zhongkong.db")
}

func decode(tb testing.TB, text string, out any) {
	tb.Helper()
	if err := json.Unmarshal([]byte(text), out); err != nil {
		tb.Fatalf("%v: %s", err, text)
	}
}
