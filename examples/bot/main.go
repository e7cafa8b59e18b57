// Command bot answers what followers write to a WeChat account: an echo, a menu, a
// welcome, pictures, and answers that take longer than WeChat waits.
//
//	go run ./examples/bot
//
// runs it against a simulator of WeChat, in this process, and prints what to try.
// With WECHAT_APPID, WECHAT_APPSECRET and WECHAT_TOKEN set it serves a real
// account (package wechat lists all variables). PORT is 3100 unless set.
package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/examples/internal/example"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
)

func main() { example.Main(run) }

func run(ctx context.Context) error {
	app, err := example.Open(ctx, example.Options{Name: "bot", Port: "3100", Observe: showLate, Try: try})
	if err != nil {
		return err
	}
	defer app.Close()
	cfg := app.Config
	cfg.Messages = newBot(cfg.Logger)
	cfg.Endpoint.Working = "这要一点时间, 请稍候" // the first reply when the answer will be late, instead of none

	client, err := wechat.New(cfg)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // waits for the handlers; the next start handles what is left
	go createMenu(ctx, client, cfg.Logger)

	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(gin.LoggerWithFormatter(wechat.LogFormatter), gin.Recovery())
	r.Use(client.Middleware())
	r.GET("/healthz", func(c *gin.Context) { c.String(http.StatusOK, "ok") })
	return app.Serve(ctx, r)
}

// The keys of the menu's buttons.
const (
	keyTime = "TIME"
	keyHelp = "HELP"
)

// menu is the menu below the chat.
var menu = map[string]any{"button": []map[string]string{
	{"type": "click", "name": "几点了", "key": keyTime},
	{"type": "click", "name": "帮助", "key": keyHelp},
}}

// createMenu creates the menu. An account that may not have one answers messages all the
// same.
func createMenu(ctx context.Context, client *wechat.Client, log *slog.Logger) {
	if err := client.Post(ctx, "/cgi-bin/menu/create", menu, nil); err != nil && ctx.Err() == nil {
		log.Warn("the menu was not created", "error", err)
	}
}

const help = "写 ping, 慢 (7 秒) 或 很慢 (20 秒), 或发一张图片; 其他文字原样返回。"

// newBot returns the handlers of all messages.
func newBot(log *slog.Logger) *callback.Router {
	bot := callback.NewRouter()
	bot.Use(callback.Logger(log), callback.Recover())
	bot.Text("ping", say("pong"))
	bot.Text("慢", after(7*time.Second, "慢, 但是到了"))    // WeChat's second request is answered with it
	bot.Text("很慢", after(20*time.Second, "很慢, 但是到了")) // is sent as a customer service message
	bot.Text("*", func(c *callback.Context) error { return c.ReplyText(c.Message.Content) })
	bot.Type(callback.TypeImage, func(c *callback.Context) error { return c.ReplyImage(c.Message.MediaID) })
	bot.Event(callback.Subscribe, say("欢迎! "+help))
	bot.Key(callback.Click, keyTime, func(c *callback.Context) error { return c.ReplyText(time.Now().Format("15:04:05")) })
	bot.Key(callback.Click, keyHelp, say(help))
	return bot // everything else is answered with nothing
}

// say answers with a text.
func say(text string) callback.Handler {
	return func(c *callback.Context) error { return c.ReplyText(text) }
}

// after answers with a text when the work is done.
func after(work time.Duration, text string) callback.Handler {
	return func(c *callback.Context) error {
		select {
		case <-time.After(work):
			return c.ReplyText(text)
		case <-c.Done():
			return context.Cause(c) // the program ends
		}
	}
}
