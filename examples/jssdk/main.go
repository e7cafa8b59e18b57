// Command jssdk serves a page that uses WeChat's JS-SDK. The page contains the
// configuration for wx.config, signed for the page's address with a ticket that the
// example neither fetches nor keeps nor renews.
//
//	go run ./examples/jssdk
//
// runs it against a simulator of WeChat, in this process. With WECHAT_APPID and
// WECHAT_APPSECRET set it serves a real account (package wechat lists all
// variables); the page's domain has to be entered in its console (JS接口安全域名).
// PUBLIC_URL is the address that browsers use, such as https://example.com, when a proxy
// in front terminates TLS or changes the host. PORT is 3100 unless set.
package main

import (
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/examples/internal/example"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
)

//go:embed page.html
var pageHTML string

var page = template.Must(template.New("page.html").Parse(pageHTML))

func main() {
	example.Main(func(ctx context.Context) error { return run(ctx, os.Stdout) })
}

func run(ctx context.Context, out io.Writer) error {
	app, err := example.Open(ctx, example.Options{Name: "jssdk", Port: "3100", Callback: "/wechat", Out: out})
	if err != nil {
		return err
	}
	defer app.Close()
	cfg := app.Config
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
	_, _ = fmt.Fprintln(out, example.Say("Open %s/", "请打开 %s/", app.URL))
	return app.Serve(ctx, r)
}

// show serves the page, or 503 when there is no ticket now.
func show(c *gin.Context) {
	config, err := wechat.From(c).JSConfig(c.Request.Context(), address(c.Request))
	seconds, unavailable := example.Unavailable(err)
	switch {
	case unavailable:
		c.Header("Retry-After", seconds)
		c.String(http.StatusServiceUnavailable, "%v", err)
	case err != nil:
		c.String(http.StatusInternalServerError, "%v", err)
	default:
		c.Header("Cache-Control", "no-store") // the signature is for this address and time
		c.HTML(http.StatusOK, "page.html", config)
	}
}

// address returns the page's address as the browser has it: WeChat checks the signature
// against that, down to the last parameter.
func address(r *http.Request) string {
	base := strings.TrimSuffix(os.Getenv("PUBLIC_URL"), "/")
	if base == "" {
		base = "http://" + r.Host
	}
	return base + r.URL.RequestURI()
}
