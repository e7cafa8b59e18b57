package wechat_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// An app with one account. WeChat is the simulator here; a real app leaves
// Transport and StoreURL out.
func Example() {
	sim, err := simulator.New(simulator.Options{Accounts: []simulator.Account{
		{AppID: "wx0123456789abcdef", Secret: "0123456789abcdef0123456789abcdef"},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := wechat.New(wechat.Config{
		AppID:     "wx0123456789abcdef",
		AppSecret: wechat.Secret("0123456789abcdef0123456789abcdef"),
		Token:     wechat.Secret("AAAAA"),
		Transport: sim.RoundTripper(),
		StoreURL:  "memory:",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()
	menu := map[string]any{"button": []any{map[string]string{"type": "click", "name": "今日歌曲", "key": "V1001"}}}
	if err := client.Post(context.Background(), "/cgi-bin/menu/create", menu, nil); err != nil {
		fmt.Println(err)
		return
	}

	r := gin.New()
	r.Use(client.Middleware())
	r.GET("/menu", func(c *gin.Context) {
		wx := c.MustGet("wechat").(*wechat.Client)
		var menu json.RawMessage
		if err := wx.Get(c.Request.Context(), "/cgi-bin/menu/get", nil, &menu); err != nil {
			c.String(http.StatusBadGateway, err.Error())
			return
		}
		c.JSON(http.StatusOK, menu)
	})

	for _, target := range []string{
		"/menu",
		"/?timestamp=1714036504&nonce=1514711492&echostr=4375120948345356249&signature=" + callback.Signature("AAAAA", "1714036504", "1514711492"),
		"/?timestamp=1714036504&nonce=1514711492&echostr=4375120948345356249&signature=f464b24fc39322e44b38aa78f5edd27bd1441697",
	} {
		answer := httptest.NewRecorder()
		r.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, target, http.NoBody))
		fmt.Println(answer.Code, answer.Body)
	}
	// Output:
	// 200 {"menu":{"button":[{"key":"V1001","name":"今日歌曲","type":"click"}]}}
	// 200 4375120948345356249
	// 403 wrong
}

// In a group Gin does not run middlewares for paths without a route, so the
// callback is registered.
func ExampleClient_Callback() {
	client, err := wechat.New(wechat.Config{
		AppID:     "wx0123456789abcdef",
		AppSecret: wechat.Secret("0123456789abcdef0123456789abcdef"),
		Token:     wechat.Secret("AAAAA"),
		Freshness: -1, // the message below is old
		StoreURL:  "memory:",
		APIBase:   "http://127.0.0.1:3200", // a simulator's, so that nothing reaches WeChat
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()

	r := gin.New()
	group := r.Group("/shop")
	group.GET("/wechat", client.Callback())
	group.POST("/wechat", client.Callback(), func(c *gin.Context) {
		push, _ := client.Push(c)
		fmt.Printf("%s\n", push.Message) // and no answer: WeChat gets its success
	})

	answer := httptest.NewRecorder()
	r.ServeHTTP(answer, httptest.NewRequest(http.MethodPost,
		"/shop/wechat?timestamp=1714037059&nonce=486452656&signature="+callback.Signature("AAAAA", "1714037059", "486452656"),
		strings.NewReader("<xml><MsgType>text</MsgType></xml>")))
	fmt.Println(answer.Code, answer.Body)
	// Output:
	// <xml><MsgType>text</MsgType></xml>
	// 200 success
}

// A bot in safe mode. WeChat is the simulator here, which delivers as WeChat does.
func ExampleMessages() {
	sim, err := simulator.New(simulator.Options{Accounts: []simulator.Account{{
		AppID: "wx0123456789abcdef", Secret: "0123456789abcdef0123456789abcdef",
		Token: "AAAAA", AESKey: "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", // safe mode
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := wechat.New(wechat.Config{
		AppID:     "wx0123456789abcdef",
		AppSecret: wechat.Secret("0123456789abcdef0123456789abcdef"),
		Token:     wechat.Secret("AAAAA"),
		AESKey:    wechat.Secret("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"),
		Transport: sim.RoundTripper(),
		StoreURL:  "memory:",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()

	bot := callback.NewRouter()
	bot.Text("天气*", func(c *callback.Context) error {
		return c.ReplyText(strings.TrimSpace(c.Matches[1]) + ": 晴, 26°C")
	})
	bot.Event(callback.Subscribe, func(c *callback.Context) error {
		wx := wechat.From(c) // to call WeChat with
		var menu json.RawMessage
		if err := wx.Get(c, "/cgi-bin/menu/get", nil, &menu); err != nil {
			return c.ReplyText("欢迎") // there is no menu yet
		}
		return c.ReplyText("欢迎, 请看菜单")
	})
	bot.Default(func(c *callback.Context) error { return c.ReplyNothing() })

	r := gin.New()
	r.Use(client.Middleware())
	r.POST("/", wechat.Messages(bot))

	for _, message := range []simulator.Message{simulator.Text("天气 北京"), simulator.Subscribe(), simulator.Text("?")} {
		result, err := sim.Deliver(context.Background(), simulator.Push{Message: message, Handler: r})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(result)
	}
	// Output:
	// replied: the app replied with text; seen: 北京: 晴, 26°C
	// replied: the app replied with text; seen: 欢迎
	// silent: the app answered success
}
