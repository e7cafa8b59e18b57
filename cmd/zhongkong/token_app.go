package main

import (
	"strings"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/environ"
	"github.com/zhongkong-go/zhongkong/internal/named"
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

// readCorp reads an app of WeCom, and what it shares with other accounts: store, keys and
// times. For a look the Secret need not be there.
func readCorp(get func(name string) string, look bool) (environ.Account, *company, error) {
	value := func(name string) string { return strings.TrimSpace(get(name)) }
	app := wecom.App{CorpID: value("WECOM_CORPID"), AgentID: value("WECOM_AGENTID"), Secret: custody.NewSecret(value("WECOM_SECRET"))}
	checked := app
	if look {
		checked.Secret = custody.NewSecret(unneeded)
	}
	if err := checked.Check(); err != nil {
		return environ.Account{}, nil, mistake("%s (WECOM_CORPID, WECOM_AGENTID, WECOM_SECRET)", named.Plain(err).Error())
	}
	cfg, err := environ.Checked(func(name string) string {
		switch name {
		case "WECHAT_APPID":
			return app.CorpID
		case "WECHAT_APPSECRET":
			return unneeded
		}
		if strings.HasPrefix(name, "WECHAT_") || strings.HasPrefix(name, "ZHONGKONG_GATEWAY") {
			return "" // of another account
		}
		return get(name)
	})
	if err != nil {
		return environ.Account{}, nil, mistake("%v", err)
	}
	cfg.AppID, cfg.AppSecret = app.ID(), app.Secret
	api, err := wecom.New(platform.Config{Base: value("WECOM_API_BASE"), Logger: cfg.Logger})
	if err != nil {
		return environ.Account{}, nil, mistake("WECOM_API_BASE: %s", named.Plain(err).Error())
	}
	return cfg, &company{api, app}, nil
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
