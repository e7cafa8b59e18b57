package wechat_test

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
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
	clients := gateway.NewClients(b.store, "test")
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

// TestGatewayCA: a gateway whose certificate no known authority has signed is reached with
// the file of that authority, and the error without it says so.
func TestGatewayCA(t *testing.T) {
	b := newBehind(t)
	server := httptest.NewUnstartedServer(b.g)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	file := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := b.config(b.client(gateway.Client{Name: "shop"}))
	cfg.Gateway = server.URL
	if _, err := newClient(t, cfg).Token(t.Context()); err == nil || !strings.Contains(err.Error(), "set ZHONGKONG_GATEWAY_CA (Config.GatewayCA) to the file") {
		t.Errorf("without the authority: %v", err)
	}
	cfg.GatewayCA = file
	client := newClient(t, cfg)
	if err := client.Get(t.Context(), domainIP, nil, nil); err != nil {
		t.Errorf("with the authority: %v", err)
	}
	if err := upAndDown(t, client); err != nil {
		t.Errorf("a file through the gateway: %v", err)
	}
}

// upAndDown sends a picture and takes it back.
func upAndDown(t *testing.T, client *wechat.Client) error {
	t.Helper()
	const size = 1 << 20
	answer, err := client.Upload(t.Context(), "/cgi-bin/media/upload?type=image", "media", "a.png", io.LimitReader(zeros{}, size))
	if err != nil {
		return err
	}
	var media struct {
		ID string `json:"media_id"`
	}
	if err := json.Unmarshal(answer, &media); err != nil {
		return err
	}
	body, _, err := client.Download(t.Context(), "/cgi-bin/media/get", url.Values{"media_id": {media.ID}})
	if err != nil {
		return err
	}
	content, err := io.ReadAll(body)
	if err == nil && len(content) != size {
		err = io.ErrUnexpectedEOF
	}
	return errors.Join(err, body.Close())
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestGatewayMistakes(t *testing.T) {
	good := wechat.Config{AppID: testAppID, Gateway: "https://gateway.invalid", GatewayKey: wechat.Secret("zkkey_made-up")}
	for want, change := range map[string]func(*wechat.Config){
		"both set":                         func(c *wechat.Config) { c.AppSecret = wechat.Secret(testSecret) },
		"without Config.Gateway":           func(c *wechat.Config) { c.Gateway = "" },
		"ZHONGKONG_GATEWAY_KEY) is empty":  func(c *wechat.Config) { c.GatewayKey = custody.Secret{} },
		"begin with https:// or http://":   func(c *wechat.Config) { c.Gateway = "gateway:8300" },
		"GATEWAY_CA): it cannot be read":   func(c *wechat.Config) { c.GatewayCA = "missing.pem" },
		"ZHONGKONG_GATEWAY_CA) is set wit": func(c *wechat.Config) { c.Gateway, c.GatewayCA = "", "ca.pem" },
		"GatewayTransport are both set":    func(c *wechat.Config) { c.GatewayCA, c.GatewayTransport = "ca.pem", http.DefaultTransport },
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
