// Package example holds what the examples share and do not teach: signals, the port, a
// simulated WeChat for those who have no account, and the end of the program.
package example

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/lang"
	"github.com/zhongkong-go/zhongkong/internal/page"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/chat"
	"github.com/zhongkong-go/zhongkong/store/sqlite"
)

// Main runs the program until it returns or gets SIGINT or SIGTERM, which cancels its
// context. An error is printed and gives the exit status 1, and so does an error that
// wechat.Middleware panics with: a configuration that cannot work needs no stack.
func Main(run func(context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := caught(ctx, run); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, explained(err))
		os.Exit(1) //nolint:gocritic // the process ends, and with it what stop would undo
	}
}

// caught runs the program and returns the error that it panics with. A fault of the
// program itself, or a panic with something else, continues.
func caught(ctx context.Context, run func(context.Context) error) (err error) {
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case runtime.Error:
			panic(cause)
		case error:
			err = cause
		default:
			panic(cause)
		}
	}()
	return run(ctx)
}

// Options describe an example.
type Options struct {
	Name string    // its folder below examples
	Port string    // where it listens unless PORT says otherwise
	Out  io.Writer // nil means standard output

	// Callback is the path of the app to which the simulated WeChat pushes messages; "" is /.
	Callback string

	// Variable is what a real account has set; "" is WECHAT_APPID. With another one the
	// example reads its configuration by itself.
	Variable string

	// Accounts are those of the simulated WeChat, the first of which the example has. None
	// means one that is made up.
	Accounts []simulator.Account

	// Observe is notified of every request to the simulated WeChat.
	Observe func(simulator.Event)

	// Try prints what to try with the account of a simulated WeChat.
	Try func(app *App, account simulator.Account)
}

// App is an example that listens, with the configuration of its account.
type App struct {
	Config    wechat.Config
	URL       string // where it listens, on this machine
	Simulated bool   // Options.Variable is not set
	Chat      string // the simulated WeChat's page; "" without one

	listener net.Listener
	undo     []func() // the last one first
}

// Open listens and takes the account from the environment. Without Options.Variable it
// starts a simulated WeChat and takes its account.
func Open(ctx context.Context, o Options) (*App, error) {
	own := o.Variable != ""
	o.Variable = cmp.Or(o.Variable, "WECHAT_APPID")
	app := &App{Simulated: os.Getenv(o.Variable) == ""}
	var err error
	if !app.Simulated && !own {
		if app.Config, err = wechat.ConfigFromEnv(); err != nil {
			return nil, err
		}
	}
	if o.Out == nil {
		o.Out = os.Stdout
	}
	if err = app.listen(ctx, o); err != nil {
		return nil, err
	}
	if app.Simulated {
		err = app.simulate(ctx, o)
	} else {
		_, err = fmt.Fprint(o.Out, Say("Serving %s on %s\n", "账号 %s 在 %s 提供服务\n", os.Getenv(o.Variable), app.URL))
	}
	if err != nil {
		app.Close()
		return nil, err
	}
	return app, nil
}

func (app *App) listen(ctx context.Context, o Options) error {
	port := os.Getenv("PORT")
	if port == "" {
		port = o.Port
	}
	if err := shape.Port("PORT", port); err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", ":"+port)
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", Say("cannot listen on port %s", "无法监听端口 %s", port), err,
			Say("If another program uses the port, stop it or choose another one: PORT=3101 go run ./examples/%s",
				"如果端口已被其他程序占用，请停止该程序，或换一个端口：PORT=3101 go run ./examples/%s", o.Name))
	}
	app.listener = listener
	app.undo = append(app.undo, func() { _ = listener.Close() })
	_, port, _ = net.SplitHostPort(listener.Addr().String())
	app.URL = "http://127.0.0.1:" + port
	return nil
}

// simulate starts WeChat on loopback and opens a database in a temporary folder.
func (app *App) simulate(ctx context.Context, o Options) error {
	folder, err := os.MkdirTemp("", "zhongkong-")
	if err != nil {
		return err
	}
	app.undo = append(app.undo, func() { _ = os.RemoveAll(folder) })
	// The store is the example's, so that it can be closed before its folder is removed.
	store, err := sqlite.Open(ctx, filepath.Join(folder, "zhongkong.db"), sqlite.Options{Logger: slog.Default()})
	if err != nil {
		return err
	}
	app.undo = append(app.undo, func() { _ = store.Close() })
	accounts := slices.Clone(o.Accounts)
	if len(accounts) == 0 {
		accounts = []simulator.Account{simulator.MakeUpAccount(rand.Uint64())}
	}
	accounts[0].CallbackURL = app.URL + cmp.Or(o.Callback, "/")
	wx, err := Simulator(ctx, simulator.Options{Observe: o.Observe, Accounts: accounts})
	if err != nil {
		return err
	}
	app.undo = append(app.undo, wx.Close)

	account := wx.Accounts()[0] // made up, in safe mode
	app.Config = wechat.Config{
		AppID:     account.AppID,
		AppSecret: wechat.Secret(account.Secret),
		Token:     wechat.Secret(account.Token),
		AESKey:    wechat.Secret(account.AESKey),
		APIBase:   wx.URL,
		OpenBase:  wx.URL,
		Store:     store,
		Logger:    slog.Default(),
	}
	app.Chat = wx.Page
	_, err = fmt.Fprint(o.Out, Say("Chat with this app in a browser: %s (%s is not set, so this is %s, of a simulated WeChat, with a database in %s; all of it ends with this program)\n",
		"请用浏览器打开 %s，像粉丝一样与本程序对话（没有设置 %s，因此使用模拟微信的账号 %s，数据库在 %s；程序结束后全部消失）\n",
		wx.Page, o.Variable, account.AppID, folder))
	if o.Try != nil {
		o.Try(app, account)
	}
	return err
}

// WeChat is a simulated one on loopback.
type WeChat struct {
	*simulator.Simulator

	URL   string
	Page  string // its page for browsers
	Close func()
}

// Simulator starts a simulated WeChat on loopback, with its admin API and its page.
func Simulator(ctx context.Context, o simulator.Options) (*WeChat, error) {
	o.MadeUp = true
	wx, err := simulator.New(o)
	if err != nil {
		return nil, err
	}
	desk, err := chat.New(wx.Handler())
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		desk.Close()
		return nil, err
	}
	server := &http.Server{Handler: desk.Handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	url := "http://" + listener.Addr().String()
	return &WeChat{Simulator: wx, URL: url, Page: url + chat.Path, Close: func() {
		desk.Close()
		_ = server.Close()
	}}, nil
}

// Close stops listening and removes what belongs to a simulated WeChat.
func (app *App) Close() {
	for len(app.undo) > 0 {
		last := len(app.undo) - 1
		app.undo[last]()
		app.undo = app.undo[:last]
	}
}

// welcome is what a browser gets at the address of an example.
var welcome = page.Parse(template.Must(template.New("welcome").Parse(`<!doctype html>
<html lang="{{.Lang}}"{{with .Theme}} data-theme="{{.}}"{{end}}>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>zhongkong: {{.Name}}</title>
<style>:root{color-scheme:{{.Scheme}}}body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem}
.looks{display:flex;gap:1rem;justify-content:end}.looks a{color:inherit;padding:.25rem;text-decoration:none}
.looks [aria-current]{color:#0a8f4f}
.looks svg{fill:none;stroke:currentColor;stroke-width:1.4;vertical-align:middle}</style>
{{template "switches" .Looks}}
<h1>zhongkong: examples/{{.Name}}</h1>
<p>{{.What}}</p>
{{with .Chat}}<p><a href="{{.}}">{{$.ChatText}}</a></p>
{{end}}<ul>{{range .Paths}}<li><a href="{{.}}">{{.}}</a></li>{{end}}</ul>
</html>`)))

// The texts of the page.
var (
	whatReal = lang.Text{
		EN: "This is a Gin app with the WeChat account %s. WeChat pushes messages to this address; a browser has nothing to send here.",
		ZH: "这是接入了微信账号 %s 的 Gin 程序。微信把消息推送到这个地址，浏览器无需访问它。",
	}
	whatSimulated = lang.Text{
		EN: "This is a Gin app with the WeChat account %s, of a WeChat that is simulated in the same process. That pushes messages to this address; a browser has nothing to send here.",
		ZH: "这是接入了微信账号 %s 的 Gin 程序，微信服务端是在同一进程里模拟的，它把消息推送到这个地址；浏览器无需访问它。",
	}
	chatText = lang.Text{EN: "WeChat's side: write as a follower, see every request", ZH: "模拟的微信：以粉丝身份发消息，查看每个请求"}
)

// Page answers a browser that opens the app's address, which is WeChat's callback address
// too: what has no signature is not from there. It belongs before the middleware.
func (app *App) Page(name string, paths ...string) gin.HandlerFunc {
	what := whatReal
	if app.Simulated {
		what = whatSimulated
	}
	show := page.Choosing(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		looks := page.LooksOf(r)
		_ = welcome.Execute(w, struct {
			page.Looks

			Name, What, Chat, ChatText string
			Paths                      []string
		}{looks, name, fmt.Sprintf(what.In(looks.Lang), app.Config.AppID), app.Chat, chatText.In(looks.Lang), paths})
	}))
	return func(c *gin.Context) {
		query := c.Request.URL.Query()
		if c.Request.Method != http.MethodGet || c.Request.URL.Path != "/" || query.Has("signature") || query.Has("echostr") {
			return
		}
		c.Status(http.StatusOK) // there is no route
		show.ServeHTTP(c.Writer, c.Request)
		c.Abort()
	}
}

// Serve returns when ctx has ended and the requests under way were answered, or half a
// second later: WeChat repeats a push, and the next process answers it.
func (app *App) Serve(ctx context.Context, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(app.listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 500*time.Millisecond)
	defer cancel()
	if server.Shutdown(grace) != nil {
		_ = server.Close() // a caller that still waits is waiting for WeChat
	}
	return nil
}

// Unavailable returns when to try again, for a Retry-After header, if err says that
// there is no token or ticket now.
func Unavailable(err error) (seconds string, unavailable bool) {
	var none *custody.Error
	if !errors.As(err, &none) {
		return "", false
	}
	wait := none.RetryAfter
	if wait == 0 {
		wait = time.Minute // no attempt is planned: somebody has to change something first
	}
	return strconv.Itoa(int(math.Ceil(wait.Seconds()))), true
}
