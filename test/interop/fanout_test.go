package interop

import (
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// TestGatewayCallbacks has WeChat push to the gateway, in plain text and encrypted,
// and every SDK's own server be the subscriber that answers, with keys that are not
// the account's: WeChat sees the SDK's answer under the account's.
func TestGatewayCallbacks(t *testing.T) {
	const token = "tokenOfTheSystems"
	aesKey := strings.Repeat("b", 43)
	modes := [][2]simulator.Mode{ // between WeChat and the gateway, and behind it
		{simulator.Safe, simulator.Safe},
		{simulator.Safe, simulator.Plain},
		{simulator.Compatible, simulator.Compatible},
		{simulator.Plain, simulator.Safe},
	}
	type chain struct { // each has an account of its own
		name, appID string
		mode        simulator.Mode
	}
	var chains []chain
	var accounts []simulator.Account
	callbacks := map[string]map[string]any{} // of the configuration, by appid
	for _, s := range sdks(t) {
		if s.server == nil {
			continue // the same server as without stable_token
		}
		for _, m := range modes {
			a := simulator.MakeUpAccount(uint64(len(accounts) + 1))
			accounts = append(accounts, a)
			at := target{URL: "http://wechat.invalid", AppID: a.AppID, Secret: a.Secret, Token: token, AESKey: aesKey}
			app := httptest.NewServer(s.server(t, at))
			t.Cleanup(app.Close)
			subscriber := map[string]any{"name": "sdk", "url": app.URL + "/wechat", "token": token, "mode": m[1]}
			if m[1] != simulator.Plain {
				subscriber["aes_key"] = aesKey
			}
			callback := map[string]any{"token": a.Token, "mode": m[0], "subscribers": []any{subscriber}}
			if m[0] != simulator.Plain {
				callback["aes_key"] = a.AESKey
			}
			callbacks[a.AppID] = map[string]any{"callback": callback}
			chains = append(chains, chain{fmt.Sprintf("%s, %s to %s", s.name, m[0], m[1]), a.AppID, m[0]})
		}
	}
	wx := simtest.New(t, simulator.Options{Accounts: accounts})
	made := install(t, wx, "sqlite:"+filepath.Join(t.TempDir(), "zhongkong.db"), func(a simulator.Account) map[string]any {
		return callbacks[a.AppID]
	})
	gateway := made.serve(t, "127.0.0.1:0")
	for _, c := range chains {
		t.Run(c.name, func(t *testing.T) {
			converse(t, wx, simulator.Push{URL: "http://" + gateway.address + "/callback/" + c.appID, AppID: c.appID, Mode: c.mode})
		})
	}
}
