package interop

import (
	"net/http/httptest"
	"testing"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// TestGateway has every SDK moved to the gateway as docs/moving.md says: another
// host, and a client's key where the AppSecret was. WeChat then ends the real token,
// which no caller notices, whether or not the SDK has an answer to 40001.
func TestGateway(t *testing.T) {
	each(t, func(t *testing.T, s sdk) {
		wx, at := simulate(t, 0)
		url, key := moved(t, wx, at)
		c := s.open(t, target{URL: url, AppID: at.AppID, Secret: key})
		for range 3 {
			mustCall(t, c)
		}
		token, err := c.token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if wx.Accepts(token) {
			t.Error("the SDK was given the real token")
		}
		wx.Kill(at.AppID)
		for range 3 {
			mustCall(t, c)
		}
		if after, err := c.token(t.Context()); err != nil || after != token {
			t.Errorf("the SDK had to fetch again: %v", err)
		}
		if stats := wx.Stats(at.AppID); stats.Stable.Issued != 2 || stats.Classic.Issued != 0 {
			t.Errorf("%d stable and %d classic tokens were issued, want 2 and none", stats.Stable.Issued, stats.Classic.Issued)
		}
	})
}

// moved starts a gateway for an account, and returns its address and the key of a client.
func moved(t *testing.T, wx *simtest.Sim, at target) (url, key string) {
	t.Helper()
	store := memory.New()
	clients := gateway.NewClients(store, "test")
	secret, err := clients.Add(t.Context(), gateway.Client{Name: "shop", Accounts: []string{at.AppID}})
	if err != nil {
		t.Fatal(err)
	}
	account := gateway.Account{AppID: at.AppID, Secret: custody.NewSecret(at.Secret)}
	if !isCorp(at.AppID) {
		account.TokenAPI = platform.Stable
	}
	g, err := gateway.New(t.Context(), gateway.Config{
		Accounts: []gateway.Account{account},
		Store:    store, SealKeys: []custody.Secret{custody.NewSecret("0123456789abcdef0123456789abcdef")}, APIBase: wx.URL,
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(g)
	t.Cleanup(func() {
		server.Close()
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return server.URL, secret.Reveal()
}
