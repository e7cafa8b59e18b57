package source_test

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/gateway/source"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// TestTLS: over real sockets, HTTP/2 and HTTP/1.1, to a gateway that wants a client
// certificate, with a CA of its own; without the CA, the error says so.
func TestTLS(t *testing.T) {
	wx := simtest.New(t, simulator.Options{Accounts: []simulator.Account{{AppID: appID, Secret: appSecret}}})
	store := memory.New()
	g, err := gateway.New(t.Context(), gateway.Config{
		Accounts: []gateway.Account{{AppID: appID, Secret: custody.NewSecret(appSecret), TokenAPI: platform.Classic}},
		Store:    store, SealKeys: []custody.Secret{custody.NewSecret(strings.Repeat("s", 32))}, APIBase: wx.URL,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Close() }()
	clients := gateway.NewClients(store, "test")
	key, err := clients.Add(t.Context(), gateway.Client{Name: "crm", Accounts: []string{appID}, Real: true})
	if err != nil {
		t.Fatal(err)
	}
	g.Look(t.Context())
	server := httptest.NewUnstartedServer(g)
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	server.StartTLS()
	defer server.Close()
	roots := server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs

	open := func(config *tls.Config, http2 bool) (*source.Source, func()) {
		t.Helper()
		transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: http2}
		s, err := source.New(source.Config{Gateway: server.URL, Key: key, AppID: appID, Transport: transport})
		if err != nil {
			t.Fatal(err)
		}
		return s, func() {
			_ = s.Close()
			transport.CloseIdleConnections()
		}
	}
	good := &tls.Config{RootCAs: roots, Certificates: server.TLS.Certificates}
	two, closeTwo := open(good.Clone(), true) // a Transport changes what it is given
	defer closeTwo()
	one, closeOne := open(good.Clone(), false)
	defer closeOne()
	first, err := two.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if token, err := one.Token(t.Context()); err != nil || token.Value() != first.Value() {
		t.Fatal(err, "another token")
	}
	wx.Kill(appID)
	if _, err := one.Reject(t.Context(), first.Value()); err != nil {
		t.Fatal(err)
	}
	patience.Until(t, "the renewed token", func() bool {
		token, err := two.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return token.Value() == wx.Latest(appID, simulator.Classic)
	})
	for want, config := range map[string]*tls.Config{
		"certificate signed by unknown authority": {Certificates: server.TLS.Certificates},
		"cannot be reached":                       {RootCAs: roots}, // TLS 1.3 says why when it is too late to be heard
	} {
		s, closeIt := open(config, true)
		if _, err := s.Token(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		closeIt()
	}
}
