package wecom_test

import (
	"context"
	"fmt"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/platform/wecom"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

func Example() {
	app := wecom.App{CorpID: "ww0123456789abcdef", AgentID: "1000002", Secret: custody.NewSecret("madeUpSecretOfAgent000000000000000001000002")}
	wx, err := simulator.New(simulator.Options{Accounts: []simulator.Account{
		{Kind: simulator.WeCom, AppID: app.ID(), Secret: app.Secret.Reveal(), Followers: []string{"zhangsan"}},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	store := memory.New()
	defer func() { _ = store.Close() }()

	api, err := wecom.New(platform.Config{Transport: wx.RoundTripper()}) // leave it out to reach WeCom
	if err != nil {
		fmt.Println(err)
		return
	}
	keeper, err := custody.New(custody.Config{Key: api.Key(app), Kind: api.AccessToken(app), Store: store, Secret: app.Secret})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = keeper.Close() }()
	message := map[string]any{"touser": "zhangsan", "msgtype": "text", "agentid": 1000002, "text": map[string]string{"content": "done"}}
	err = api.Client(keeper, app).Post(context.Background(), "/cgi-bin/message/send", message, nil)
	fmt.Println(app.ID(), err)
	// Output: ww0123456789abcdef:1000002 <nil>
}
