// Command basic is a Gin app with one WeChat account and no code about tokens.
//
//	go run ./examples/basic
//
// runs it against a simulator of WeChat, in this process, and prints what to try.
// With WECHAT_APPID, WECHAT_APPSECRET and WECHAT_TOKEN set it serves a real
// account (package wechat lists all variables). PORT is 3100 unless set.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/examples/internal/example"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/simulator"
)

func main() { example.Main(run) }

func run(ctx context.Context) error {
	app, err := example.Open(ctx, example.Options{Name: "basic", Port: "3100", Try: try})
	if err != nil {
		return err
	}
	defer app.Close()

	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(gin.LoggerWithFormatter(wechat.LogFormatter), gin.Recovery())
	r.Use(app.Page("basic", "/status", "/ip", "/healthz"))
	r.Use(wechat.Middleware(app.Config))
	r.GET("/status", status)
	r.GET("/ip", ip)
	r.GET("/healthz", func(c *gin.Context) { c.String(http.StatusOK, "ok") })
	return app.Serve(ctx, r)
}

// ip asks WeChat which addresses its API has. It answers 503 when there is no token to
// call WeChat with, and 502 when the call failed.
func ip(c *gin.Context) {
	wx := c.MustGet("wechat").(*wechat.Client)
	var answer json.RawMessage
	err := wx.Get(c.Request.Context(), "/cgi-bin/get_api_domain_ip", nil, &answer)
	seconds, unavailable := example.Unavailable(err)
	switch {
	case unavailable:
		c.Header("Retry-After", seconds)
		c.JSON(http.StatusServiceUnavailable, gin.H{"error": err.Error()})
	case err != nil:
		c.JSON(http.StatusBadGateway, gin.H{"error": err.Error()})
	default:
		c.JSON(http.StatusOK, answer)
	}
}

// status reports the state of the token, without the token.
func status(c *gin.Context) {
	s := c.MustGet("wechat").(*wechat.Client).Status()
	answer := gin.H{
		"appid": s.Key.AppID, "live": s.Live, "seconds_left": int(s.Left.Seconds()),
		"fence": s.Fence, "origin": s.Origin, "last_failure": nil,
	}
	if s.Failure != nil {
		answer["last_failure"] = s.Failure.Error()
	}
	c.JSON(http.StatusOK, answer)
}

// try prints what to try, first what WeChat requests when the address is entered in its
// console. The answer to that is the echostr.
func try(app *example.App, account simulator.Account) {
	timestamp, nonce := strconv.FormatInt(time.Now().Unix(), 10), "1514711492"
	verification := url.Values{
		"signature": {callback.Signature(account.Token, timestamp, nonce)},
		"timestamp": {timestamp}, "nonce": {nonce}, "echostr": {"4375120948345356249"},
	}
	fmt.Print(example.Say(`
Try in another terminal

  WeChat's verification, as when the address is entered in its console; the answer is the echostr:
  curl '%[1]s/?%[2]s'

  how the token is doing, a call of WeChat's API with it, and whether the program runs:
  curl %[1]s/status
  curl %[1]s/ip
  curl %[1]s/healthz

This example answers no messages; go run ./examples/bot does.

`, `
请在另一个终端里试试

  微信的服务器地址验证，与在后台填写地址时相同；应答就是 echostr：
  curl '%[1]s/?%[2]s'

  token 的状态、用它调用一次微信接口、程序是否在运行：
  curl %[1]s/status
  curl %[1]s/ip
  curl %[1]s/healthz

本示例不回复消息；go run ./examples/bot 会回复。

`, app.URL, verification.Encode()))
}
