package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// A gateway in a program of your own. The program shop has a key instead of the AppSecret,
// and calls the gateway as it would call WeChat.
func Example() {
	account := simulator.Account{AppID: "wx0123456789abcdef", Secret: "0123456789abcdef0123456789abcdef"}
	wx, err := simulator.New(simulator.Options{Accounts: []simulator.Account{account}})
	if err != nil {
		fmt.Println(err)
		return
	}
	store := memory.New() // sqlite.Open, redis.Open …: several gateways share one
	defer func() { _ = store.Close() }()

	g, err := gateway.New(context.Background(), gateway.Config{
		Accounts:  []gateway.Account{{AppID: account.AppID, Secret: custody.NewSecret(account.Secret)}},
		Store:     store,
		SealKeys:  []custody.Secret{custody.NewSecret(strings.Repeat("k", 32))}, // 32 random bytes
		Transport: wx.RoundTripper(),                                            // leave it out to reach WeChat
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = g.Close() }()
	key, err := g.Clients("admin").Add(context.Background(), gateway.Client{Name: "shop", Accounts: []string{account.AppID}})
	if err != nil {
		fmt.Println(err)
		return
	}
	g.Look(context.Background()) // it looks every two seconds

	get := func(path string, query url.Values, answer any) {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path+"?"+query.Encode(), http.NoBody))
		if err := json.Unmarshal(w.Body.Bytes(), answer); err != nil {
			fmt.Println(err)
			return
		}
	}
	var token struct {
		Value string `json:"access_token"`
		Life  int    `json:"expires_in"`
	}
	get("/cgi-bin/token", url.Values{"grant_type": {"client_credential"}, "appid": {account.AppID}, "secret": {key.Reveal()}}, &token)
	var answer struct {
		Errcode int      `json:"errcode"`
		IPs     []string `json:"ip_list"`
	}
	get("/cgi-bin/get_api_domain_ip", url.Values{"access_token": {token.Value}}, &answer)
	fmt.Println(token.Life, answer.Errcode, len(answer.IPs) > 0)
	// Output: 7200 0 true
}
