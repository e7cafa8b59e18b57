// Command wecom is an app of 企业微信 (WeCom): it answers what members write, sends messages to
// them, and knows them on its page.
//
//	go run ./examples/wecom
//
// runs it against a simulator of WeCom, in this process, and prints what to try. With
// WECOM_CORPID, WECOM_AGENTID, WECOM_SECRET, WECOM_TOKEN and WECOM_AES_KEY set it serves a real
// app (package wecom lists all variables), whose URL in the console ends in /wecom. PORT is
// 3100 unless set.
package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/examples/internal/example"
	"github.com/zhongkong-go/zhongkong/middleware/wecom"
	"github.com/zhongkong-go/zhongkong/simulator"
)

func main() { example.Main(run) }

// The simulated app.
const (
	corpID  = "ww0123456789abcdef"
	agentID = "1000002"
)

func run(ctx context.Context) error {
	app, err := example.Open(ctx, example.Options{
		Name: "wecom", Port: "3100", Variable: "WECOM_CORPID", Callback: "/wecom", Accounts: accounts(), Observe: show, Try: try,
	})
	if err != nil {
		return err
	}
	defer app.Close()
	cfg := wecom.Config{
		CorpID: corpID, AgentID: agentID, Secret: app.Config.AppSecret, Token: app.Config.Token, AESKey: app.Config.AESKey,
		APIBase: app.Config.APIBase, Store: app.Config.Store, Logger: app.Config.Logger,
	}
	if !app.Simulated {
		if cfg, err = wecom.ConfigFromEnv(); err != nil {
			return err
		}
	}
	cfg.Messages = newBot()
	client, err := wecom.New(cfg)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	gin.SetMode(gin.ReleaseMode)
	return app.Serve(ctx, newEngine(client))
}

// newBot returns the handlers of all messages.
func newBot() *callback.Router {
	bot := callback.NewRouter()
	bot.Use(callback.Recover())
	bot.Text("*", func(c *callback.Context) error { return c.ReplyText("收到：" + c.Message.Content) })
	bot.Event(wecom.EnterAgent, func(c *callback.Context) error { return c.ReplyText("你好，" + c.Message.FromUserName) })
	return bot // everything else is answered with nothing
}

func newEngine(client *wecom.Client) *gin.Engine {
	r := gin.New()
	r.Use(gin.LoggerWithFormatter(wecom.LogFormatter), gin.Recovery())
	r.Use(client.Middleware())
	r.GET("/healthz", func(c *gin.Context) { c.String(http.StatusOK, "ok") })

	// A page for members: silent in WeCom, a QR code elsewhere.
	r.GET("/", client.Login(wecom.LoginConfig{}), func(c *gin.Context) {
		c.String(http.StatusOK, "你好，%s！\n", wecom.UserOf(c).UserID)
	})

	// Members who have logged in get a message from the app. Other routes that send messages
	// need an authorization check of their own.
	r.GET("/remind", client.Login(wecom.LoginConfig{}), func(c *gin.Context) {
		reply := &callback.Reply{Type: callback.TypeText, Content: "别忘了开会"}
		if err := wecom.From(c).Send(c.Request.Context(), wecom.UserOf(c).UserID, reply); err != nil {
			if seconds, unavailable := example.Unavailable(err); unavailable {
				c.Header("Retry-After", seconds)
			}
			c.String(http.StatusServiceUnavailable, "%v\n", err)
			return
		}
		c.String(http.StatusOK, "sent\n")
	})
	return r
}

// accounts are those of the simulated WeCom.
func accounts() []simulator.Account {
	made := simulator.MakeUpAccount(1)
	return []simulator.Account{{
		AppID: corpID + ":" + agentID, Kind: simulator.WeCom, Secret: made.Secret, Token: made.Token, AESKey: made.AESKey,
		Followers: []string{"zhangsan", "lisi"},
	}}
}

func try(app *example.App, _ simulator.Account) {
	fmt.Println(example.Say("\nOpen in a browser\n\n  %[1]s/        a page that knows the member\n  %[1]s/remind  sends a message to the member\n",
		"\n请用浏览器打开\n\n  %[1]s/        知道成员是谁的页面\n  %[1]s/remind  给成员发一条消息\n", app.URL))
}

// show prints what members get.
func show(e simulator.Event) {
	if e.Path == "/cgi-bin/message/send" && e.Errcode == 0 {
		fmt.Println(example.Say("The member gets: %s", "成员收到：%s", e.Request))
	}
}
