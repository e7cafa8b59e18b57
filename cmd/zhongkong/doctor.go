package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/cmd/zhongkong/internal/doctor"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/environ"
	"github.com/zhongkong-go/zhongkong/internal/lang"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/network"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/platform/wecom"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// doctorCmd finds out what is wrong.
type doctorCmd struct {
	All      doctorAllCmd      `cmd:"" default:"withargs" help:"Look at everything, in the order in which one fault explains the next. The command without a name."`
	Callback doctorCallbackCmd `cmd:"" help:"Ask a running app what WeChat will ask: the handshake and a push in every mode. Says which step failed, and what to do."`
}

// doctorAllCmd looks at everything.
type doctorAllCmd struct {
	Config      string        `help:"The gateway's configuration. Without it, the account is the environment's, as for zhongkong token: WECHAT_APPID, WECHAT_APPSECRET, WECHAT_TOKEN_API, WECHAT_API_BASE, ZHONGKONG_STORE, ZHONGKONG_SEAL_KEY; or ZHONGKONG_GATEWAY and ZHONGKONG_GATEWAY_KEY. Of an app of WeCom: WECOM_CORPID, WECOM_AGENTID, WECOM_SECRET, WECOM_API_BASE." placeholder:"FILE" short:"c"`
	Account     []string      `help:"Look at this account of the configuration alone. May be repeated." placeholder:"APPID"`
	CallbackURL []string      `name:"callback-url" help:"An address that WeChat pushes to: asked for the handshake, and sent a message \"ping\". With --config, Token and AES key are those of the account that the address names: https://HOST/callback/APPID. Otherwise it needs WECHAT_TOKEN, and WECHAT_AES_KEY in safe mode; of an app of WeCom, WECOM_TOKEN and WECOM_AES_KEY. May be repeated." placeholder:"URL"`
	Fetch       bool          `help:"Fetch a token through the store where none lives. With WECHAT_TOKEN_API=classic this ends one that programs without this store use."`
	Wait        time.Duration `help:"How long to wait for each answer; a fetch in programs takes 8s at most." default:"8s"`
	JSON        bool          `name:"json" help:"Print one JSON object, for programs."`
}

// Help is what is below the flags' list.
func (*doctorAllCmd) Help() string {
	return `It harms nothing. No token of /cgi-bin/token is fetched, which would end the one in use; the AppSecret is tried at stable_token in
normal mode, whose tokens live apart, and the token in the store by a call that changes nothing. A store is not made, migrated or
repaired: it gets one row of the doctor's own, which shows that it can be written.

  zhongkong doctor
  zhongkong doctor --config gateway.yaml
  zhongkong doctor --callback-url https://example.com/wechat
  zhongkong doctor --config gateway.yaml --callback-url https://wx.example.com/callback/wx0123456789abcdef
  zhongkong doctor --json
  zhongkong doctor callback --url https://example.com/wechat    the address alone, in every mode, with every forgery

--json: {"version", "ok", "problems", "warnings", "checks": [{"check", "account", "subject", "state", "cause", "errcode", "ip", "found",
"do", "took_ms"}], "todo": [TEXT]}. state is ok, warning, problem or skipped; cause is a word such as ip_not_whitelisted; fields that
say nothing are left out.

The exit code is 0 when there is no problem (warnings are none), 1 when there is one, 2 when the command or its configuration cannot
be understood.`
}

// Run examines.
func (c *doctorAllCmd) Run(ctx context.Context, t *terminal) error {
	if c.Wait <= 0 {
		return mistake("--wait %s: it has to be positive", c.Wait)
	}
	chart := &chart{t: t}
	options, err := c.options(t)
	if err != nil {
		report := doctor.Report{Findings: []doctor.Finding{doctor.Unreadable(err)}}
		if c.JSON {
			return firstError(chart.json(report), errMistake)
		}
		chart.line(report.Findings[0])
		chart.end(report)
		return errMistake
	}
	each := chart.line
	if c.JSON {
		each = nil
	}
	chart.several, chart.names = len(options.Accounts) > 1, map[string]string{}
	if options.Settings != nil {
		for _, a := range options.Settings.Accounts {
			chart.names[a.AppID] = a.Name
		}
	}
	if !c.JSON {
		chart.head()
	}
	report := doctor.Run(ctx, *options, each)
	if ctx.Err() != nil {
		return fmt.Errorf("given up")
	}
	if c.JSON {
		err = chart.json(report)
	} else {
		chart.end(report)
	}
	if err == nil && report.Count(doctor.Problem) > 0 {
		err = errFailed
	}
	return err
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// options are read from the configuration file or the environment. An error says
// what cannot be understood.
func (c *doctorAllCmd) options(t *terminal) (*doctor.Options, error) {
	env := func(name string) string { value, _ := t.env(name); return strings.TrimSpace(value) }
	o := &doctor.Options{Fetch: c.Fetch, Wait: c.Wait, Env: env}
	var err error
	switch {
	case c.Config != "":
		err = c.fromFile(t, o)
	case env("ZHONGKONG_GATEWAY") != "":
		err = viaGateway(env, o)
	case isCorp(env):
		err = fromAppVariables(t, o)
	default:
		err = fromVariables(t, o)
	}
	if err != nil {
		return nil, err
	}
	if err := c.choose(o); err != nil {
		return nil, err
	}
	for _, address := range c.CallbackURL {
		app, err := appAt(t, o.Settings, address)
		at := doctor.Address{URL: address, App: app}
		if err != nil { // the rest can be looked at
			at.Missing = lang.Text{EN: err.Error(), ZH: dictionary().In(lang.Chinese, err.Error())}
		}
		o.Callbacks = append(o.Callbacks, at)
	}
	return o, nil
}

// appAt finds whose Token and AES key an address has: those of the configuration's account that
// it names, as a gateway's address does; else those of the environment.
func appAt(t *terminal, settings *gateway.Settings, address string) (simulator.Account, error) {
	appID := ""
	if u, err := url.Parse(address); err == nil && settings != nil {
		_, appID, _ = strings.Cut(u.Path, "/callback/")
	}
	if appID == "" {
		found, err := findAccounts(usualAccount, t.env)
		if err != nil {
			return simulator.Account{}, err
		}
		if settings != nil && found[0].get("APPID") == "" && found[0].get("CORPID") == "" {
			return simulator.Account{}, errors.New("the address names no account of the configuration, as a gateway's does: …/callback/APPID")
		}
		return found[0].account(false, true)
	}
	for _, a := range settings.Accounts {
		switch {
		case a.AppID != appID:
		case a.Callback == nil:
			return simulator.Account{AppID: appID}, fmt.Errorf("the account %s has no callback in the configuration, or one whose secrets are not here", appID)
		default:
			app := simulator.Account{
				AppID: appID, Token: a.Callback.Token.Reveal(), AESKey: a.Callback.AESKey.Reveal(), Mode: simulator.Mode(a.Callback.Mode),
			}
			if _, _, isApp := shape.App(appID); isApp {
				app.Kind = simulator.WeCom
			}
			return app, nil
		}
	}
	return simulator.Account{}, fmt.Errorf("the configuration has no account %s", argument(appID))
}

// choose keeps the accounts that --account names.
func (c *doctorAllCmd) choose(o *doctor.Options) error {
	if len(c.Account) == 0 {
		return nil
	}
	var chosen []doctor.Account
	for _, appid := range c.Account {
		found := false
		for _, a := range o.Accounts {
			if a.AppID == appid {
				chosen, found = append(chosen, a), true
			}
		}
		if !found {
			return mistake("--account %s: the configuration has no such account", argument(appid))
		}
	}
	o.Accounts = chosen
	return nil
}

// fromFile takes what zhongkong serve would.
func (c *doctorAllCmd) fromFile(t *terminal, o *doctor.Options) (err error) {
	o.File = c.Config
	without := map[string]bool{} // accounts whose AppSecret is not here
	o.Settings, err = gateway.Parts{
		Secret: func(appID string) bool { return len(c.Account) == 0 || slices.Contains(c.Account, appID) },
		Absent: func(appID string, err error) {
			o.Absent = append(o.Absent, doctor.Absent{Account: appID, Err: err})
			if appID != "" {
				without[appID] = true
			}
		},
	}.Read(c.Config)
	if err != nil {
		return named.Plain(err)
	}
	if o.Settings.Listen == "" {
		o.Settings.Listen = defaultListen
	}
	if o.StoreURL = o.Settings.Store; o.StoreURL == "" {
		o.StoreURL = storeOf(t.env)
	}
	for _, a := range o.Absent { // of the accounts that are asked for, or of all there are
		if a.Account != "" && (len(c.Account) > 0 || len(without) == len(o.Settings.Accounts)) {
			return fmt.Errorf("%s: %w", c.Config, a.Err)
		}
	}
	o.Base = o.Settings.APIBase
	o.WeComBase = corpBase(o.Settings)
	if o.SealKeys, err = environ.SealKeys(func(name string) string { value, _ := t.env(name); return value }); err != nil {
		return err
	}
	for _, a := range o.Settings.Accounts {
		if without[a.AppID] {
			continue
		}
		account := doctor.Account{AppID: a.AppID, Secret: a.Secret, TokenAPI: a.TokenAPI, Daily: a.DailyFetches}
		if corp, agent, isApp := shape.App(a.AppID); isApp {
			account.App = wecom.App{CorpID: corp, AgentID: agent, Secret: a.Secret}
		}
		o.Accounts = append(o.Accounts, account)
	}
	return nil
}

// viaGateway is for a program that takes its token from a gateway.
func viaGateway(env func(string) string, o *doctor.Options) error {
	for name, what := range map[string]string{
		"WECHAT_APPID":          "the account whose token the gateway gives",
		"ZHONGKONG_GATEWAY_KEY": "the key that zhongkong client add showed on the gateway's machine",
	} {
		if env(name) == "" {
			return fmt.Errorf("ZHONGKONG_GATEWAY is set and %s is not: it is %s", name, what)
		}
	}
	o.Gateway, o.Key = env("ZHONGKONG_GATEWAY"), custody.NewSecret(env("ZHONGKONG_GATEWAY_KEY"))
	if ca := env("ZHONGKONG_GATEWAY_CA"); ca != "" {
		transport, err := network.ToGateway(ca)
		if err != nil {
			return fmt.Errorf("ZHONGKONG_GATEWAY_CA: %w", err)
		}
		o.GatewayTLS = transport.TLSClientConfig
	}
	o.Accounts = []doctor.Account{{AppID: env("WECHAT_APPID"), TokenAPI: "gateway"}}
	return nil
}

// fromVariables takes what a program with wechat.ConfigFromEnv would.
func fromVariables(t *terminal, o *doctor.Options) error {
	cfg, err := environ.Checked(func(name string) string {
		value, _ := t.env(name)
		return value
	})
	if err != nil {
		return err
	}
	o.Base, o.SealKeys = cfg.APIBase, cfg.SealKeys
	o.StoreURL = storeOf(t.env)
	o.Accounts = []doctor.Account{{AppID: cfg.AppID, Secret: cfg.AppSecret, TokenAPI: cfg.TokenAPI}}
	return nil
}

// fromAppVariables takes what a program with wecom.ConfigFromEnv would.
func fromAppVariables(t *terminal, o *doctor.Options) (err error) {
	get := func(name string) string { value, _ := t.env(name); return value }
	app, base, err := readApp(get, false)
	if err != nil {
		return err
	}
	o.WeComBase = base
	if o.SealKeys, err = environ.SealKeys(get); err != nil {
		return err
	}
	o.StoreURL = storeOf(t.env)
	o.Accounts = []doctor.Account{{AppID: app.ID(), Secret: app.Secret, App: app}}
	return nil
}
