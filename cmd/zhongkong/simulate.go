package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/gate"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/simulator"
	page "github.com/zhongkong-go/zhongkong/simulator/chat"
)

// simulateCmd plays WeChat.
type simulateCmd struct {
	Listen  string        `help:"Where to listen, 127.0.0.1:3200 unless told. Other machines reach it only when told so here." default:"127.0.0.1:3200" placeholder:"HOST:PORT"`
	App     string        `help:"Your app's callback address: messages go there, and lines that you type." placeholder:"URL"`
	Account []string      `help:"An account of yours: NAME reads NAME_APPID, NAME_APPSECRET, NAME_TOKEN, NAME_AES_KEY from the environment; a file with such lines will do too. May be repeated. Without it, one is made up." placeholder:"NAME|FILE" sep:"none"`
	Life    time.Duration `help:"How long tokens live, and what expires_in states. WeChat: 2h." default:"2h"`
	Overlap time.Duration `help:"How long a superseded token works on. Without it, a 24th of the life, at most 5m; --overlap=-1s: not at all."`
	Skew    time.Duration `help:"How far WeChat's clock is ahead of this machine's, in pushes and rids; --skew=-10m: behind."`
	Seed    uint64        `help:"Makes up the same account, tokens and faults in every run. Without it, others each time." placeholder:"NUMBER"`
	EnvFile string        `name:"env-file" help:"Write the variables of the account to a file too, for programs that read one: lines of NAME=value, readable by you alone." placeholder:"FILE"`
	Log     string        `help:"Append every call and push to a file, a line of JSON each." placeholder:"FILE"`
}

// Help is what is below the flags' list.
func (*simulateCmd) Help() string {
	return `Point your SDK's API host at it instead of https://api.weixin.qq.com. Besides NAME_APPID and the like, an account may have
NAME_KIND (official, mini, website, wecom), NAME_MODE (plain, compatible, safe), NAME_FORMAT (xml, json),
NAME_ORIGINAL_ID, NAME_WHITELIST and NAME_TEMPLATES (a,b).
While it runs, a page for the browser is at /simulator/page/ of the same address: the accounts, a chat with your app, every request.
Faults, the clock and pushes are at /simulator/ for programs.`
}

// Run serves until the context ends.
func (c *simulateCmd) Run(ctx context.Context, t *terminal) (err error) {
	options := simulator.Options{Life: c.Life, Overlap: c.Overlap, Skew: c.Skew, Seed: c.Seed}
	var names []string
	if options.Accounts, names, err = c.accounts(t); err != nil {
		return err
	}
	if names == nil {
		if options.Seed == 0 {
			options.Seed = uint64(time.Now().UnixNano())%1_000_000 + 1 // short enough to type again
		}
		options.Accounts = []simulator.Account{simulator.MakeUpAccount(options.Seed), makeUpApp(options.Seed)}
	}
	for i := range options.Accounts {
		options.Accounts[i].CallbackURL = c.App
	}
	calls := &callLog{t: t}
	options.Observe = calls.observe
	options.MadeUp = names == nil
	wx, err := simulator.New(options)
	if err != nil {
		return mistake("%s", inFlags(err))
	}
	desk, err := page.New(wx.Handler())
	if err != nil {
		return err
	}
	defer desk.Close()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen at %s: %w. Choose another address, or any free port with --listen 127.0.0.1:0", c.Listen, err)
	}
	if err := shape.Path("the path of --log", c.Log); err != nil {
		_ = listener.Close()
		return usageError{err}
	}
	if c.Log != "" {
		calls.redact = wx.Redact
		if calls.file, err = os.OpenFile(c.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
			_ = listener.Close()
			return mistake("--log: %v", err)
		}
		defer func() { err = errors.Join(err, calls.file.Close()) }()
	}
	if c.EnvFile != "" {
		base, _ := baseOf(listener.Addr())
		if err := c.writeEnv(wx.Accounts()[0], base, names == nil); err != nil {
			_ = listener.Close()
			return err
		}
	}
	c.greet(t, wx, listener.Addr(), names, options.Seed)
	return c.serve(ctx, t, wx, desk, listener)
}

var callbackURL = regexp.MustCompile(`the CallbackURL of \S+: `)

// inFlags names the flags where a package's error names options.
func inFlags(err error) string {
	text := strings.NewReplacer("simulator: ", "", "Options.Accounts: ", "", "Options.Life", "--life", "Options.Overlap", "--overlap").
		Replace(err.Error())
	return callbackURL.ReplaceAllString(text, "--app: ")
}

// baseOf returns the address by which programs on this machine reach a listener,
// and whether others can reach it too.
func baseOf(listener net.Addr) (base string, open bool) {
	addr, err := netip.ParseAddrPort(listener.String())
	switch {
	case err != nil:
		return "http://" + listener.String(), true
	case addr.Addr().IsUnspecified():
		return fmt.Sprintf("http://127.0.0.1:%d", addr.Port()), true
	default:
		return "http://" + addr.String(), !addr.Addr().IsLoopback()
	}
}

// makeUpApp invents an app of WeCom, which depends on seed alone.
func makeUpApp(seed uint64) simulator.Account {
	a := simulator.MakeUpAccount(^seed)
	a.AppID, a.Kind, a.OriginalID, a.Followers = "ww"+strings.TrimPrefix(a.AppID, "wx")+":1000002", simulator.WeCom, "", nil
	a.Secret, a.Templates = simulator.MakeUpAccount(^seed-1).AESKey, nil // 43 letters and digits, as WeCom's are
	return a
}

// serve serves until the context ends, and says how much was done.
func (c *simulateCmd) serve(ctx context.Context, t *terminal, wx *simulator.Simulator, desk *page.Page, listener net.Listener) (err error) {
	keeper := gate.New(gate.Config{})
	server := keeper.Server(desk.Handler())
	server.RegisterOnShutdown(desk.Close) // ends what is live on the page
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(keeper.Listen(listener)) }()
	var chatting sync.WaitGroup
	chatCtx, endChat := context.WithCancel(ctx)
	if c.App != "" {
		chatting.Go(func() { chat(chatCtx, t, wx, c.App) })
	}

	select {
	case err = <-failed:
	case <-ctx.Done():
		patient, cancel := context.WithTimeout(context.WithoutCancel(ctx), 500*time.Millisecond)
		defer cancel()
		if server.Shutdown(patient) != nil {
			_ = server.Close() // calls that a fault still delays
		}
		err = nil
	}
	endChat()
	chatting.Wait()
	c.part(t, wx)
	return err
}

// accounts reads what --account names, and returns the names of their variables.
func (c *simulateCmd) accounts(t *terminal) (all []simulator.Account, names []string, err error) {
	for _, name := range c.Account {
		found, err := findAccounts(name, t.env)
		if err != nil {
			return nil, nil, err
		}
		for _, v := range found {
			a, err := v.account(true, c.App != "")
			if err != nil {
				return nil, nil, err
			}
			all, names = append(all, a), append(names, v.name)
		}
	}
	return all, names, nil
}

// greet prints what to do next. The export lines are plain, to be pasted into a shell.
func (c *simulateCmd) greet(t *terminal, wx *simulator.Simulator, at net.Addr, names []string, seed uint64) {
	base, open := baseOf(at)
	t.say("%s %s", t.bold("WeChat, simulated, at"), t.bold(base))
	t.say("%s %s", t.bold("Its page in the browser:"), base+page.Path)
	if open {
		t.say("%s", t.yellow("Other machines can reach it. Its page and its admin API answer this one only."))
	}
	first := wx.Accounts()[0]
	if names == nil {
		t.say("\n%s\n", t.dim(fmt.Sprintf("A made-up account (--seed %d makes it up again). Paste this where your program runs:", seed)))
	} else {
		t.say("")
		for i, a := range wx.Accounts() {
			t.say("  %s  %s, %s", a.AppID, names[i], a.Kind)
		}
		t.say("\n%s\n", t.dim("Your program has the accounts already. What it still needs is the API's address:"))
	}
	for _, v := range variables(first, base, names == nil) {
		t.say("%s", v.Export(runtime.GOOS))
	}
	if names == nil {
		t.say("%s", t.dim(t.T("An app of WeCom is made up too: choose it on the page, which has its variables.")))
	}
	for _, a := range wx.Accounts() {
		if a.Kind == simulator.WeCom {
			t.say("Members of %s, by userid: %s", a.AppID, strings.Join(a.Followers, ", "))
		}
	}

	appid, secret, app := first.AppID, first.Secret, c.App
	if names != nil { // it need not be made up
		secret = "$" + names[0] + "_APPSECRET"
	}
	fetch := fmt.Sprintf(`curl "%s/cgi-bin/token?grant_type=client_credential&appid=%s&secret=%s"`, base, appid, secret)
	usual := "http://127.0.0.1:3100/"
	if corp, _, isApp := shape.App(appid); isApp {
		fetch = fmt.Sprintf(`curl "%s/cgi-bin/gettoken?corpid=%s&corpsecret=%s"`, base, corp, "$"+names[0]+"_SECRET")
		usual += "wecom"
	}
	app = cmp.Or(app, usual)
	t.say("\n%s", t.bold("What next"))
	for _, line := range [][2]string{
		{"get a token", fetch},
		{"push a message", fmt.Sprintf(`curl %s/simulator/push -d '{"type":"text","value":"你好","to":"%s"}'`, base, app)},
		{"let a token age", fmt.Sprintf(`curl %s/simulator/clock -d '{"advance":"2h"}'`, base)},
		{"let calls fail", fmt.Sprintf(`curl %s/simulator/faults -d '{"path":"fetches","times":3,"errcode":-1}'`, base)},
		{"all else", fmt.Sprintf(`curl %s/simulator/`, base)},
	} {
		t.say("  %s %s", pad(t.T(line[0]), 16), t.dim(line[1]))
	}
	switch {
	case c.App != "":
		t.say("\nWhat you type is sent to your app as a follower's message; %s shows more. Ctrl-C ends it.\n", t.bold("/help"))
	default:
		t.say("\nWith %s your app gets messages as well. Ctrl-C ends it.\n", t.bold("--app "+app))
	}
}

// variables are those of the program; an account of its own it has already.
func variables(a simulator.Account, base string, madeUp bool) []page.Variable {
	if !madeUp {
		a = simulator.Account{Kind: a.Kind}
	}
	return page.Variables(a, base)
}

// writeEnv writes the variables to the file of --env-file. One that is there is written anew.
func (c *simulateCmd) writeEnv(a simulator.Account, base string, madeUp bool) error {
	var text strings.Builder
	for _, v := range variables(a, base, madeUp) {
		text.WriteString(v.Name + "=" + v.Value + "\n")
	}
	if err := shape.Path("the path of --env-file", c.EnvFile); err != nil {
		return usageError{err}
	}
	if err := os.WriteFile(c.EnvFile, []byte(text.String()), 0o600); err != nil {
		return mistake("--env-file: %v", err)
	}
	return nil
}

// part says how much was done.
func (c *simulateCmd) part(t *terminal, wx *simulator.Simulator) {
	t.say("")
	for _, a := range wx.Accounts() {
		s := wx.Stats(a.AppID)
		t.say(
			"%s %s",
			t.dim(a.AppID+":"),
			fmt.Sprintf(
				"%s, %s issued; %s; %s",
				count(s.Classic.Calls+s.Stable.Calls, "token fetch", "token fetches"),
				count(
					s.Classic.Issued+s.Stable.Issued,
					"token",
					"tokens",
				),
				count(s.APICalls, "API call", "API calls"),
				count(s.Pushes, "push", "pushes"),
			),
		)
	}
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// callLog shows each call on a line and appends it to the file.
type callLog struct {
	t      *terminal
	file   *os.File
	redact func(simulator.Event) simulator.Event

	mu     sync.Mutex
	broken bool // the file could not be written; said once
}

func (l *callLog) observe(e simulator.Event) {
	t := l.t
	arrow, where := t.dim("←"), e.Path
	if e.Push {
		arrow, where = t.dim("→"), e.Caller+e.Path
	}
	took := "<1ms"
	if e.Latency >= time.Millisecond {
		took = e.Latency.Round(time.Millisecond).String()
	}
	t.say("%s %s %-4s %-36s %s  %s", t.dim(time.Now().Format(time.TimeOnly)), arrow, e.Method, oneLine(where, 60), t.ending(e), t.dim(took))
	if l.file == nil {
		return
	}
	line, err := json.Marshal(l.redact(e))
	if err == nil {
		l.mu.Lock()
		_, err = l.file.Write(append(line, '\n'))
		said := l.broken
		l.broken = l.broken || err != nil
		l.mu.Unlock()
		if err != nil && !said {
			t.say("%s", t.red("--log: "+err.Error()))
		}
	}
}

// ending says how a call ended.
func (t *terminal) ending(e simulator.Event) string {
	fault := ""
	if e.Fault {
		fault = t.yellow(" (fault)")
	}
	switch {
	case e.Status == 0:
		return t.red("no answer") + fault
	case e.Errcode != 0:
		var answer struct {
			Errmsg string `json:"errmsg"`
		}
		_ = json.Unmarshal([]byte(e.Response), &answer)
		text, _, _ := strings.Cut(answer.Errmsg, " rid: ")
		return t.red(fmt.Sprintf("%d %s", e.Errcode, oneLine(text, 44))) + fault
	case e.Lost:
		return t.red("cut off") + fault
	case e.Status != http.StatusOK:
		return t.red(fmt.Sprint(e.Status)) + fault
	default:
		return t.green("ok") + fault
	}
}
