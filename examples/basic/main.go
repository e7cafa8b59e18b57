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
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/custody"
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

	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(gin.LoggerWithFormatter(wechat.LogFormatter), gin.Recovery())
	r.Use(wechat.Middleware(cfg))
	r.GET("/status", status)
	r.GET("/ip", ip)
	r.GET("/healthz", func(c *gin.Context) { c.String(http.StatusOK, "ok") })
	return serve(ctx, listener, r)
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

// ip asks WeChat which addresses its API has.
func ip(c *gin.Context) {
	wx := c.MustGet("wechat").(*wechat.Client)
	var answer json.RawMessage
	if err := wx.Get(c.Request.Context(), "/cgi-bin/get_api_domain_ip", nil, &answer); err != nil {
		fail(c, err)
		return
	}
	c.JSON(http.StatusOK, answer)
}

// status tells how the token is doing.
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

// fail answers 503 when there is no token to call WeChat with, and 502 when
// WeChat's answer to the call is the trouble.
func fail(c *gin.Context, err error) {
	code := http.StatusBadGateway
	var none *custody.Error
	if errors.As(err, &none) {
		code = http.StatusServiceUnavailable
		wait := none.RetryAfter
		if wait == 0 {
			wait = time.Minute // nothing is planned; somebody has to change something first
		}
		c.Header("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
	c.JSON(code, gin.H{"error": err.Error()})
}

func listen(ctx context.Context) (net.Listener, error) {
	port := os.Getenv("PORT")
	if port == "" {
		port = "3100"
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", ":"+port)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on port %s: %w\nIf another program uses the port, stop it or choose another one: PORT=3101 go run ./examples/basic", port, err)
	}
	return listener, nil
}

func localURL(address net.Addr) string {
	_, port, _ := net.SplitHostPort(address.String())
	return "http://127.0.0.1:" + port
}

// serve returns when ctx has ended and the requests under way were answered, or
// half a second later.
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
		_ = server.Close() // whoever is still waiting waits for WeChat
	}
	return nil
}
