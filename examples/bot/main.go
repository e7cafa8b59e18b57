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
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // the process ends, and with it what stop would undo
	}
}

func run(ctx context.Context) error {
	listener, err := listen(ctx)
	if err != nil {
		return err
	}
	cfg, end, err := configure(ctx, listener.Addr())
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer end()
	cfg.Messages = newBot(cfg.Logger)
	cfg.Endpoint.Working = "这要一点时间, 请稍候" // in place of nothing, when the answer will be late

	client, err := wechat.New(cfg)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { _ = client.Close() }() // waits for the handlers, and leaves the rest to the next start
	go createMenu(ctx, client, cfg.Logger)

	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(gin.LoggerWithFormatter(wechat.LogFormatter), gin.Recovery())
	r.Use(client.Middleware())
	r.GET("/healthz", func(c *gin.Context) { c.String(http.StatusOK, "ok") })
	return serve(ctx, listener, r)
}

// The keys of the menu's buttons.
const (
	keyTime = "TIME"
	keyHelp = "HELP"
)

// menu is what stands below the chat.
var menu = map[string]any{"button": []map[string]string{
	{"type": "click", "name": "几点了", "key": keyTime},
	{"type": "click", "name": "帮助", "key": keyHelp},
}}

// createMenu puts the menu there. An account that may have none answers messages
// all the same.
func createMenu(ctx context.Context, client *wechat.Client, log *slog.Logger) {
	if err := client.Post(ctx, "/cgi-bin/menu/create", menu, nil); err != nil && ctx.Err() == nil {
		log.Warn("the menu was not created", "error", err)
	}
}

const help = "写 ping, 慢 (7 秒) 或 很慢 (20 秒), 或发一张图片; 其他文字原样返回。"

// newBot puts together what answers to what.
func newBot(log *slog.Logger) *callback.Router {
	bot := callback.NewRouter()
	bot.Use(callback.Logger(log), callback.Recover())
	bot.Text("ping", say("pong"))
	bot.Text("慢", after(7*time.Second, "慢, 但是到了"))    // WeChat's second request gets it
	bot.Text("很慢", after(20*time.Second, "很慢, 但是到了")) // leaves by the customer service
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

// configure takes the configuration from the environment, or starts a simulator.
func configure(ctx context.Context, address net.Addr) (wechat.Config, func(), error) {
	if os.Getenv("WECHAT_APPID") == "" {
		return simulate(ctx, address)
	}
	cfg, err := wechat.ConfigFromEnv()
	if err == nil {
		fmt.Printf("Serving %s on %s\n", cfg.AppID, localURL(address))
	}
	return cfg, func() {}, err
}

func listen(ctx context.Context) (net.Listener, error) {
	port := os.Getenv("PORT")
	if port == "" {
		port = "3100"
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", ":"+port)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on port %s: %w\nIf another program uses the port, stop it or choose another one: PORT=3101 go run ./examples/bot", port, err)
	}
	return listener, nil
}

func localURL(address net.Addr) string {
	_, port, _ := net.SplitHostPort(address.String())
	return "http://127.0.0.1:" + port
}

// serve returns when ctx has ended and the requests under way were answered, or
// half a second later: WeChat asks again, and the next process answers.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 500*time.Millisecond)
	defer cancel()
	if server.Shutdown(grace) != nil {
		_ = server.Close()
	}
	return nil
}
