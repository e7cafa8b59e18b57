// Package doctor finds out why an account has no token, or a program gets no
// messages: it looks at everything that stands between the two and WeChat, in the
// order in which one fault explains the next, and says what to do.
//
//	report := doctor.Run(ctx, doctor.Options{Accounts: accounts, StoreURL: url}, nil)
//
// # It harms nothing
//
// A store that is not there is not made, not migrated and not repaired; one that
// is gets a row of the doctor's own, which shows that it can be written. No token
// of /cgi-bin/token is ever fetched, because that would end the one in use, unless
// Options.Fetch asks for it, and then by a Keeper over the store: under its lease,
// counted, and only where no token lives. The AppSecret is tried at stable_token in
// normal mode, whose tokens live apart from those of /cgi-bin/token: it answers the
// token that lives, or issues the first.
//
// # Findings
//
// No finding holds a secret: neither a token nor an AppSecret, a key or the
// password of a store's URL.
package doctor

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/lang"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/platform/wecom"
)

// DefaultWait is what a fetch of a Keeper's may take, and so what is too long.
const DefaultWait = 8 * time.Second

// Options say what to look at.
type Options struct {
	Accounts []Account
	Base     string // of WeChat's API; "" is WeChat's own

	// WeComBase is that of WeCom's, for accounts that are its apps.
	WeComBase string

	// StoreURL names the store. "memory:" is each program's own, and not looked at.
	StoreURL string
	SealKeys []custody.Secret

	// Settings are those of a gateway; nil examines a program's own account.
	Settings *gateway.Settings
	File     string // where Settings were read; "" for the environment
	Absent   []Absent

	// Gateway is where the token is taken from instead of WeChat and a store.
	Gateway    string
	Key        custody.Secret // for Gateway
	GatewayTLS *tls.Config    // with the authority of ZHONGKONG_GATEWAY_CA; nil without one

	Callbacks []Address // that WeChat pushes to

	Fetch bool          // fetch a token through the store where none lives
	Wait  time.Duration // for each answer; 0 is DefaultWait

	Proxy func(*http.Request) (*url.URL, error) // nil is http.ProxyFromEnvironment
	Env   func(name string) string              // nil is os.Getenv
}

// Account is a WeChat account.
type Account struct {
	AppID    string
	Secret   custody.Secret
	TokenAPI platform.TokenAPI
	Daily    int // fetches a day; 0 is the kind's own limit

	// App is the app of WeCom that the account is; zero for any other account. AppID is its ID.
	App wecom.App
}

func (a Account) isApp() bool { return a.App.CorpID != "" }

// Absent is a secret of the configuration that is not here.
type Absent struct {
	Account string // whose AppSecret it is; "" for another secret
	Err     error
}

// State says how a check ended.
type State string

// The states of a check.
const (
	OK      State = "ok"
	Warning State = "warning" // it works, and somebody should know
	Problem State = "problem"
	Skipped State = "skipped" // it could not be looked at, or was not asked for
)

// The checks, in their order.
const (
	Configuration = "configuration" // can the configuration be used
	Files         = "files"         // who may read the files that hold secrets
	Certificate   = "certificate"   // the gateway's
	Listen        = "listen"        // the gateway's addresses
	Store         = "store"         // does it open, is it migrated, can it be written
	Gateway       = "gateway"       // does it know the key
	WeChat        = "wechat"        // can WeChat's API be reached
	Clock         = "clock"         // of this machine
	Credentials   = "credentials"   // AppID and AppSecret
	Whitelist     = "whitelist"     // may this machine's address call
	Token         = "token"         // the one in the store
	Quota         = "quota"         // of the day
	Callback      = "callback"      // handshake and push
)

// Checks are all checks in their order.
var Checks = []string{
	Configuration, Files, Certificate, Listen, Store, Gateway, WeChat, Clock, Credentials, Whitelist, Token,
	Quota, Callback,
}

// Finding is what one check found.
type Finding struct {
	Check   string
	Account string // the appid; "" where it concerns all
	Subject string // what else it is about, such as an address; ""
	State   State
	Cause   string // names the cause for programs; "" when all is well
	Errcode int    // WeChat's; 0 when there was none
	IP      string // the address that is missing in the whitelist
	Found   Text
	Do      Text // what to do about it; empty when there is nothing
	Took    time.Duration
}

// Report is all that was found.
type Report struct{ Findings []Finding }

// Count returns how many findings have the state.
func (r Report) Count(s State) (n int) {
	for _, f := range r.Findings {
		if f.State == s {
			n++
		}
	}
	return n
}

// ToDo returns the findings that ask for something: problems first, each in the
// order of the checks, nothing twice for one account.
func (r Report) ToDo() []Finding {
	type thing struct {
		do      Text
		account string
	}
	var all []Finding
	said := map[thing]bool{}
	for _, s := range []State{Problem, Warning, Skipped} {
		for _, f := range r.Findings {
			if to := (thing{f.Do, f.Account}); f.State == s && f.Do != (Text{}) && !said[to] {
				said[to] = true
				all = append(all, f)
			}
		}
	}
	return all
}

// Run looks at everything and tells each of every finding when it is made; a nil
// each receives nothing.
func Run(ctx context.Context, o Options, each func(Finding)) Report {
	if o.Wait == 0 {
		o.Wait = DefaultWait
	}
	if o.Proxy == nil {
		o.Proxy = http.ProxyFromEnvironment
	}
	if o.Env == nil {
		o.Env = os.Getenv
	}
	x := &examination{Options: o, each: each}
	defer x.close()
	x.examine(ctx)
	return x.report
}

// examination is one run.
type examination struct {
	Options

	each   func(Finding)
	report Report

	api     *platform.API
	corp    *wecom.API
	store   custody.Store // nil while there is none to ask
	reached bool          // WeChat answered

	reachedCorp bool // and WeCom
}

func (x *examination) close() {
	if x.store != nil {
		_ = x.store.Close()
	}
	if x.api != nil {
		x.api.CloseIdleConnections()
	}
	if x.corp != nil {
		x.corp.CloseIdleConnections()
	}
}

func (x *examination) examine(ctx context.Context) {
	x.do(ctx, x.configuration)
	x.do(ctx, x.files)
	if x.Settings != nil {
		x.do(ctx, x.certificate)
		x.do(ctx, x.listen)
	}
	if x.Gateway != "" {
		for _, a := range x.Accounts {
			x.do(ctx, func(ctx context.Context) []Finding { return x.viaGateway(ctx, a) })
		}
	} else {
		x.do(ctx, x.lookAtStore)
		if !slices.ContainsFunc(x.Accounts, Account.isApp) || slices.ContainsFunc(x.Accounts, func(a Account) bool { return !a.isApp() }) {
			x.do(ctx, x.reach)
		}
		if slices.ContainsFunc(x.Accounts, Account.isApp) {
			x.do(ctx, x.reachCorp)
		}
		for _, a := range x.Accounts {
			x.account(ctx, a)
		}
	}
	if len(x.Callbacks) == 0 {
		x.do(ctx, x.noCallback)
	}
	for _, address := range x.Callbacks {
		x.do(ctx, func(ctx context.Context) []Finding { return x.callback(ctx, address) })
	}
}

// setting names where a value comes from, in all languages: a variable, or the field of a
// configuration's file.
func (x *examination) setting(variable, field string) string {
	if x.Settings == nil || x.File == "" {
		return variable
	}
	return field + " (" + x.File + ")"
}

// storeSetting is where the store's URL comes from. A file need not have one.
func (x *examination) storeSetting() string {
	if x.Settings != nil && x.Settings.Store == "" {
		return "ZHONGKONG_STORE"
	}
	return x.setting("ZHONGKONG_STORE", "store")
}

// do runs a check unless the whole was given up, and tells what it found. The time
// is that of the check, told with its first finding.
func (x *examination) do(ctx context.Context, check func(context.Context) []Finding) {
	if ctx.Err() != nil {
		return
	}
	begun := time.Now()
	found := check(ctx)
	if ctx.Err() != nil {
		return // what it found is that it was broken off
	}
	for i, f := range found {
		if i == 0 && f.State != Skipped {
			f.Took = time.Since(begun)
		}
		x.report.Findings = append(x.report.Findings, f)
		if x.each != nil {
			x.each(f)
		}
	}
}

// Text is a text in both languages.
type Text = lang.Text

// text formats both with the same arguments; %[1]s and so on reorder them.
func text(en, zh string, args ...any) Text { return lang.Of(en, zh, args...) }

func one(f Finding) []Finding { return []Finding{f} }
