package wechat_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// behind is a gateway on loopback in front of a simulated WeChat.
type behind struct {
	t      *testing.T
	wx     *simtest.Sim
	store  *memory.Store
	g      *gateway.Gateway
	server *httptest.Server
}

func newBehind(t *testing.T) *behind {
	t.Helper()
	b := &behind{t: t, store: memory.New(), wx: simtest.New(t, simulator.Options{Accounts: []simulator.Account{
		{AppID: testAppID, Secret: testSecret, Token: testToken},
	}})}
	var err error
	if b.g, err = gateway.New(t.Context(), gateway.Config{
		Accounts: []gateway.Account{{AppID: testAppID, Secret: wechat.Secret(testSecret), TokenAPI: platform.Classic}},
		Store:    b.store, SealKeys: []custody.Secret{wechat.Secret(strings.Repeat("s", 32))}, APIBase: b.wx.URL,
	}); err != nil {
		t.Fatal(err)
	}
	b.server = httptest.NewServer(b.g)
	t.Cleanup(b.kill)
	return b
}

func (b *behind) kill() {
	b.server.CloseClientConnections()
	_ = b.server.Listener.Close()
	b.server.CloseClientConnections()
	b.server.Close()
	if err := b.g.Close(); err != nil {
		b.t.Error(err)
	}
}

// client adds a client of the gateway and returns its key.
func (b *behind) client(c gateway.Client) string {
	b.t.Helper()
	clients, err := gateway.NewClients(b.store, "test")
	if err != nil {
		b.t.Fatal(err)
	}
	c.Accounts = []string{testAppID}
	key, err := clients.Add(b.t.Context(), c)
	if err != nil {
		b.t.Fatal(err)
	}
	b.g.Look(b.t.Context())
	return key.Reveal()
}

// config is what the environment of a program behind the gateway gives.
func (b *behind) config(key string) wechat.Config {
	b.t.Helper()
	given := map[string]string{
		"WECHAT_APPID": testAppID, "WECHAT_TOKEN": testToken, "WECHAT_API_BASE": b.wx.URL,
		"ZHONGKONG_GATEWAY": b.server.URL, "ZHONGKONG_GATEWAY_KEY": key,
	}
	cfg, err := wechat.ConfigFrom(func(name string) string { return given[name] })
	if err != nil {
		b.t.Fatal(err)
	}
	return cfg
}

func (b *behind) issued() int { return b.wx.Stats(testAppID).Classic.Issued }

// TestGateway: the middleware without an AppSecret and without a database. A renewal
// at the gateway is used at once; a refused token is renewed once for everybody; with
// the gateway killed, the token goes on.
func TestGateway(t *testing.T) {
	t.Chdir(t.TempDir())
	b := newBehind(t)
	log := new(logtest.Log)
	var clients []*wechat.Client
	for _, name := range []string{"one", "two"} {
		cfg := b.config(b.client(gateway.Client{Name: name, Real: true}))
		cfg.Logger = log.Logger(slog.LevelDebug)
		clients = append(clients, newClient(t, cfg))
	}
	engine := gin.New()
	engine.Use(clients[0].Middleware())
	engine.GET("/ip", func(c *gin.Context) {
		var answer json.RawMessage
		if err := wechat.From(c).Get(c.Request.Context(), domainIP, nil, &answer); err != nil {
			c.String(http.StatusBadGateway, err.Error())
			return
		}
		c.JSON(http.StatusOK, answer)
	})
	ask := func() {
		t.Helper()
		if got := serve(engine, http.MethodGet, "/ip", ""); got.Code != http.StatusOK {
			t.Fatal(got.Body)
		}
	}
	ask()
	first := mustToken(t, clients[1])
	if !b.wx.Accepts(first) || b.issued() != 1 {
		t.Fatalf("%d tokens were issued, want 1", b.issued())
	}
	if _, err := clients[0].JSConfig(t.Context(), "https://example.com/"); err != nil {
		t.Error(err)
	}
	if _, err := clients[0].Ticket(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "wechat: ") {
		t.Error(err)
	}
	b.wx.Kill(testAppID)
	ask() // refused, renewed, sent again
	patience.Until(t, "the renewed token in the other program", func() bool { return mustToken(t, clients[1]) != first })
	if mustToken(t, clients[1]) != mustToken(t, clients[0]) || b.issued() != 2 {
		t.Errorf("%d tokens were issued, want 2", b.issued())
	}
	b.kill()
	for range 10 {
		ask()
	}
	if s := clients[0].Status(); !s.Live || s.Left < time.Hour {
		t.Errorf("Status: %+v", s)
	}
	if files, err := os.ReadDir("."); err != nil || len(files) != 0 {
		t.Errorf("files in the working directory: %v, %v", files, err)
	}
	if strings.Contains(log.String(), first) {
		t.Error("the log tells a token")
	}
}

// TestGatewayTokens: a client without real tokens calls through the gateway; its
// tokens never go to WeChat.
func TestGatewayTokens(t *testing.T) {
	b := newBehind(t)
	cfg := b.config(b.client(gateway.Client{Name: "shop"}))
	client := newClient(t, cfg)
	token := mustToken(t, client)
	for range 3 {
		if err := client.Get(t.Context(), domainIP, nil, nil); err != nil {
			t.Fatal(err)
		}
		if err := client.Post(t.Context(), "/cgi-bin/menu/create", map[string]any{"button": []any{}}, nil); err != nil {
			t.Log(err) // WeChat's opinion of the menu
		}
		b.wx.Kill(testAppID)
	}
	for _, e := range b.wx.Events() {
		if strings.Contains(e.Request, token) {
			t.Error("a gateway token went to WeChat")
		}
	}
	if mustToken(t, client) != token {
		t.Error("another gateway token")
	}
	b.kill()
	if err := client.Get(t.Context(), domainIP, nil, nil); err == nil || strings.Contains(err.Error(), token) {
		t.Errorf("with the gateway killed: %v", err)
	}
}

// TestGatewayMessages: without a chosen store, messages are remembered by the process,
// which the log says.
func TestGatewayMessages(t *testing.T) {
	b := newBehind(t)
	for name, store := range map[string]string{"forgets": "", "chosen": "memory:"} {
		log := new(logtest.Log)
		cfg := b.config(b.client(gateway.Client{Name: name}))
		cfg.Logger, cfg.StoreURL = log.Logger(slog.LevelDebug), store
		cfg.Messages = callback.NewRouter()
		newClient(t, cfg)
		if warned := strings.Contains(log.String(), "ZHONGKONG_STORE"); warned != (store == "") {
			t.Errorf("%s: warned %v", name, warned)
		}
	}
}

func TestGatewayMistakes(t *testing.T) {
	good := wechat.Config{AppID: testAppID, Gateway: "https://gateway.invalid", GatewayKey: wechat.Secret("zkkey_made-up")}
	for want, change := range map[string]func(*wechat.Config){
		"both set":                         func(c *wechat.Config) { c.AppSecret = wechat.Secret(testSecret) },
		"without Config.Gateway":           func(c *wechat.Config) { c.Gateway = "" },
		"ZHONGKONG_GATEWAY_KEY) is empty":  func(c *wechat.Config) { c.GatewayKey = custody.Secret{} },
		"begin with https:// or http://":   func(c *wechat.Config) { c.Gateway = "gateway:8300" },
		"Config.GatewayKey (ZHONGKONG_GAT": func(c *wechat.Config) { c.GatewayKey = wechat.Secret("zkkey made-up") },
	} {
		cfg := good
		change(&cfg)
		client, err := wechat.New(cfg)
		if err == nil {
			_ = client.Close()
		}
		if err == nil || !strings.HasPrefix(err.Error(), "wechat: ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "made-up") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
