// Command login greets the visitors of a web page by name, and logs in the users of a mini
// program.
//
//	go run ./examples/login
//
// runs it against a simulator of WeChat, in this process, and prints what to try. With
// WECHAT_APPID, WECHAT_APPSECRET and WECHAT_ORIGIN set it serves a real account (package
// wechat lists all variables): an official account for the page, or a mini program. PORT is
// 3100 unless set.
package main

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/examples/internal/example"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/platform"
)

func main() { example.Main(run) }

func run(ctx context.Context) error {
	app, err := example.Open(ctx, example.Options{Name: "login", Port: "3100", Accounts: accounts(), Try: try})
	if err != nil {
		return err
	}
	defer app.Close()
	client, err := wechat.New(app.Config)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	mini := client // of a real mini program; the simulator has an account for each
	if app.Simulated {
		if mini, err = newMini(app.Config); err != nil {
			return err
		}
		defer func() { _ = mini.Close() }()
	}

	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(gin.LoggerWithFormatter(wechat.LogFormatter), gin.Recovery())
	r.GET("/healthz", func(c *gin.Context) { c.String(http.StatusOK, "ok") })

	// The page: silent for a visitor who is known, a question for the name.
	login := client.Login(wechat.LoginConfig{OnLogin: func(_ context.Context, u *wechat.User, _ platform.UserGrant) error {
		app.Config.Logger.Info("somebody logged in", "userinfo", u.Userinfo) // here an account would be created
		return nil
	}})
	r.GET("/", login, func(c *gin.Context) {
		c.String(http.StatusOK, "You have an openid, and I know you again. /me greets you by name.\n")
	})
	r.GET("/me", login, func(c *gin.Context) {
		if wechat.AskUserinfo(c) {
			return
		}
		c.String(http.StatusOK, "你好，%s！\n", wechat.UserOf(c).Nickname)
	})

	// The mini program: its front end posts the code of wx.login and gets a token.
	r.POST("/mini/login", mini.MiniLoginHandler())
	r.GET("/mini/me", mini.MiniUser(), func(c *gin.Context) {
		c.JSON(http.StatusOK, gin.H{"logged_in": wechat.UserOf(c).LoggedIn})
	})
	return app.Serve(ctx, r)
}
