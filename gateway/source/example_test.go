package source_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/gateway/source"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// A program without the AppSecret calls WeChat's API through a gateway.
func Example() {
	address, key, appID, end := exampleGateway() // https://zhongkong:8300, what zhongkong client add has printed
	defer end()

	src, err := source.New(source.Config{Gateway: address, Key: key, AppID: appID})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = src.Close() }()
	api, err := platform.New(platform.Config{Transport: src.Route(http.DefaultTransport)})
	if err != nil {
		fmt.Println(err)
		return
	}
	var answer struct {
		IPs []string `json:"ip_list"`
	}
	err = api.Client(src, appID).Get(context.Background(), "/cgi-bin/get_api_domain_ip", nil, &answer)
	fmt.Println(len(answer.IPs) > 0, err)
	// Output: true <nil>
}

// exampleGateway is a gateway in front of a simulated WeChat.
func exampleGateway() (address string, key custody.Secret, appID string, end func()) { //nolint:revive // of one example
	wx, err := simulator.New(simulator.Options{})
	if err != nil {
		log.Fatal(err)
	}
	account, store := wx.Accounts()[0], memory.New()
	g, err := gateway.New(context.Background(), gateway.Config{
		Accounts:  []gateway.Account{{AppID: account.AppID, Secret: custody.NewSecret(account.Secret)}},
		Store:     store,
		SealKeys:  []custody.Secret{custody.NewSecret(strings.Repeat("k", 32))},
		Transport: wx.RoundTripper(),
	})
	if err != nil {
		log.Fatal(err)
	}
	key, err = g.Clients("admin").Add(context.Background(), gateway.Client{Name: "shop", Accounts: []string{account.AppID}})
	if err != nil {
		log.Fatal(err)
	}
	g.Look(context.Background())
	server := httptest.NewServer(g)
	return server.URL, key, account.AppID, func() {
		server.CloseClientConnections()
		server.Close()
		_ = g.Close()
		_ = store.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	}
}
