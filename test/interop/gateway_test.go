package interop

import (
	"net/http/httptest"
	"testing"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// TestGateway has every SDK moved to the gateway as docs/moving.md says: another
// host, and a client's key where the AppSecret was. WeChat then ends the real token,
// which no caller notices, whether or not the SDK has an answer to 40001.
func TestGateway(t *testing.T) {
	each(t, func(t *testing.T, s sdk) {
		wx, at := simulate(t, 0)
		store := memory.New()
		clients := gateway.NewClients(store, "test")
		key, err := clients.Add(t.Context(), gateway.Client{Name: "shop", Accounts: []string{at.AppID}})
		if err != nil {
			t.Fatal(err)
		}
		g, err := gateway.New(t.Context(), gateway.Config{
			Accounts: []gateway.Account{{AppID: at.AppID, Secret: custody.NewSecret(at.Secret), TokenAPI: platform.Stable}},
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
		c := s.open(t, target{URL: server.URL, AppID: at.AppID, Secret: key.Reveal()})
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
