// Command jssdk serves a page that uses WeChat's JS-SDK. The page comes with the
// configuration that wx.config wants, signed for its very address with a ticket
// that nobody here fetches, keeps or renews.
//
//	go run ./examples/jssdk
//
// runs it against a simulator of WeChat, in this process. With WECHAT_APPID and
// WECHAT_APPSECRET set it serves a real account (package wechat lists all
// variables); the page's domain has to be entered in its console (JS接口安全域名).
// PUBLIC_URL is where browsers see it, such as https://example.com, when something
// in front of it ends TLS or changes the host. PORT is 3100 unless set.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
)

//go:embed page.html
var pageHTML string

var page = template.Must(template.New("page.html").Parse(pageHTML))

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // the process ends, and with it what stop would undo
	}
}

func run(ctx context.Context, out io.Writer) error {
	cfg, end, err := configure(ctx, out)
	if err != nil {
		return err
	}
	defer end()
	cfg.CallbackPath = "/wechat" // leaves / to the page
	client, err := wechat.New(cfg)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()

	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(gin.LoggerWithFormatter(wechat.LogFormatter), gin.Recovery())
	r.Use(client.Middleware())
	r.SetHTMLTemplate(page)
	r.GET("/", show)
	r.GET("/healthz", func(c *gin.Context) { c.String(http.StatusOK, "ok") })
	return serve(ctx, out, r)
}

// configure takes the configuration from the environment, or starts a simulator.
func configure(ctx context.Context, out io.Writer) (wechat.Config, func(), error) {
	if os.Getenv("WECHAT_APPID") == "" {
		return simulate(ctx, out)
	}
	cfg, err := wechat.ConfigFromEnv()
	return cfg, func() {}, err
}

// show serves the page.
func show(c *gin.Context) {
	config, err := wechat.From(c).JSConfig(c.Request.Context(), address(c.Request))
	if err != nil {
		fail(c, err)
		return
	}
	c.Header("Cache-Control", "no-store") // the signature is for this address and time
	c.HTML(http.StatusOK, "page.html", config)
}

// address is the page's as the browser has it: that is what WeChat checks the
// signature against, down to the last parameter.
func address(r *http.Request) string {
	base := strings.TrimSuffix(os.Getenv("PUBLIC_URL"), "/")
	if base == "" {
		base = "http://" + r.Host
	}
	return base + r.URL.RequestURI()
}

// fail answers 503 when there is no ticket for now.
func fail(c *gin.Context, err error) {
	code := http.StatusInternalServerError
	var none *custody.Error
	if errors.As(err, &none) {
		code = http.StatusServiceUnavailable
		wait := none.RetryAfter
		if wait == 0 {
			wait = time.Minute // nothing is planned; somebody has to change something first
		}
		c.Header("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
	c.String(code, "%v", err)
}

// serve returns when ctx has ended and the requests under way were answered, or
// half a second later.
func serve(ctx context.Context, out io.Writer, handler http.Handler) error {
	port := os.Getenv("PORT")
	if port == "" {
		port = "3100"
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", ":"+port)
	if err != nil {
		return fmt.Errorf("cannot listen on port %s: %w\nIf another program uses the port, stop it or choose another one: PORT=3101 go run ./examples/jssdk", port, err)
	}
	_, port, _ = net.SplitHostPort(listener.Addr().String())
	_, _ = fmt.Fprintf(out, "Open http://127.0.0.1:%s/\n", port)

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
