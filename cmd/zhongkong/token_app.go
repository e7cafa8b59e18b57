package main

import (
	"fmt"
	"strings"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/environ"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/platform/wecom"
)

// company is the app of WeCom that a custodian is about.
type company struct {
	api *wecom.API
	app wecom.App
}

// isCorp reports whether the variables are those of an app of WeCom, and of no account else.
func isCorp(get func(name string) string) bool {
	return get("WECHAT_APPID") == "" && strings.TrimSpace(get("WECOM_CORPID")) != ""
}

// readApp reads an app of WeCom and where its API is, "" for WeCom's own. For a look the
// Secret need not be there.
func readApp(get func(name string) string, look bool) (app wecom.App, base string, err error) {
	value := func(name string) string { return strings.TrimSpace(get(name)) }
	app = wecom.App{CorpID: value("WECOM_CORPID"), AgentID: value("WECOM_AGENTID"), Secret: custody.NewSecret(value("WECOM_SECRET"))}
	base = value("WECOM_API_BASE")
	err = shape.Check(
		shape.Field{Name: "WECOM_CORPID", Kind: shape.AppID, Value: app.CorpID},
		shape.Field{Name: "WECOM_TOKEN", Kind: shape.Token, Value: value("WECOM_TOKEN")},
		shape.Field{Name: "WECOM_AES_KEY", Kind: shape.AESKey, Value: value("WECOM_AES_KEY")},
	)
	if err != nil {
		return app, base, err
	}
	checked := app
	if look {
		checked.Secret = custody.NewSecret(unneeded)
	}
	if err := checked.Check(); err != nil {
		return app, base, named.Plain(err)
	}
	if base != "" {
		if err := platform.CheckBase(base); err != nil {
			return app, base, fmt.Errorf("Config.APIBase (WECOM_API_BASE) %w", err)
		}
	}
	return app, base, nil
}

// readCorp reads an app of WeCom, and what it shares with other accounts: store, keys and
// times.
func readCorp(get func(name string) string, look bool) (environ.Account, *company, error) {
	app, base, err := readApp(get, look)
	if err != nil {
		return environ.Account{}, nil, usageError{err}
	}
	cfg, err := environ.Checked(func(name string) string {
		switch {
		case name == "WECHAT_APPID":
			return app.CorpID
		case name == "WECHAT_APPSECRET":
			return unneeded
		case strings.HasPrefix(name, "WECHAT_"), strings.HasPrefix(name, "ZHONGKONG_GATEWAY"):
			return "" // of another account
		}
		return get(name)
	})
	if err != nil {
		return environ.Account{}, nil, usageError{err}
	}
	cfg.AppID, cfg.AppSecret = app.ID(), app.Secret
	api, err := wecom.New(platform.Config{Base: base, Logger: cfg.Logger})
	if err != nil {
		return environ.Account{}, nil, usageError{named.Plain(err)}
	}
	return cfg, &company{api, app}, nil
}

// corpBase is where a gateway calls WeCom.
func corpBase(s *gateway.Settings) string {
	return gateway.Config{APIBase: s.APIBase, WeComBase: s.WeComBase}.WithDefaults().WeComBase
}

// key names the token.
func (c *custodian) key() custody.Key {
	if c.corp != nil {
		return c.corp.api.Key(c.corp.app)
	}
	return c.api.Key(c.cfg.AppID, c.cfg.TokenAPI)
}

// kind is how the token is fetched.
func (c *custodian) kind() custody.Kind {
	if c.corp != nil {
		return c.corp.api.AccessToken(c.corp.app)
	}
	return c.api.AccessToken(platform.Account{AppID: c.cfg.AppID, Secret: c.cfg.AppSecret}, c.cfg.TokenAPI)
}

// tickets names the tickets that the token may have.
func (c *custodian) tickets() []custody.Key {
	if c.corp != nil {
		return []custody.Key{c.corp.api.TicketKey(c.corp.app, wecom.CorpTicket), c.corp.api.TicketKey(c.corp.app, wecom.AgentTicket)}
	}
	return []custody.Key{c.api.TicketKey(c.cfg.AppID, platform.JSAPITicket), c.api.TicketKey(c.cfg.AppID, platform.CardTicket)}
}
