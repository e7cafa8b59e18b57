package doctor

import (
	"context"
	"net/url"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform"
)

// corpCauses are causes of WeCom's, whose errcodes mean other things.
var corpCauses = map[int]string{
	-1:     "wechat_busy",
	40001:  "wrong_secret",
	40013:  "unknown_corpid",
	40056:  "wrong_agentid",
	40091:  "secret_of_another_corp",
	41002:  "request_changed",
	41004:  "request_changed",
	45009:  "too_many_calls",
	45033:  "too_many_calls",
	50003:  "app_disabled",
	60020:  "ip_not_trusted",
	301002: "wrong_agentid",
}

// agentPath tells about the app whose token it is called with, and changes nothing.
const agentPath = "/cgi-bin/agent/get"

// corpCredentials is credentials of an app of WeCom. It tries corpid and Secret at gettoken,
// which answers the token that lives, and from any address. Whether this machine's address is
// trusted, and whether the Secret is the one of the agentid, only a call of an API tells.
func (x *examination) corpCredentials(ctx context.Context, a Account) (*custody.Grant, []Finding) {
	secret := Finding{Check: Credentials, Account: a.AppID, State: Skipped}
	list := Finding{Check: Whitelist, Account: a.AppID, State: Skipped}
	if !x.reachedCorp {
		secret.Found = text("not tried: WeCom was not reached", "未检查：连不上企业微信")
		list.Found = secret.Found
		return nil, []Finding{secret, list}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*x.Wait)
	defer cancel()
	grant, err := x.kindOf(a).Fetch(ctx, custody.Normal)
	if err != nil {
		failed := x.refusal(err)
		failed.Account = a.AppID
		list.Found = text("not known before the credentials are right", "凭证正确之后才能知道")
		return nil, []Finding{failed, list}
	}
	secret.State, secret.Found = OK, text("WeCom takes corpid and Secret", "企业微信认可 CorpID 和 Secret")
	path, query := reachPath, url.Values{"access_token": {grant.Value.Reveal()}}
	if a.App.AgentID != "" {
		path, query = agentPath, url.Values{"access_token": {grant.Value.Reveal()}, "agentid": {a.App.AgentID}}
	}
	if err = x.clientOf(a).Get(ctx, path, query, nil); err == nil {
		list.State, list.Found = OK, text("WeCom takes a call from this machine's address", "企业微信接受本机 IP 的调用")
		return &grant, []Finding{secret, list}
	}
	failed := x.refusal(err)
	failed.Account = a.AppID
	switch failed.Cause {
	case "ip_not_trusted":
		return &grant, []Finding{secret, failed}
	case "wrong_agentid":
		failed.Found = text("the Secret is not that of the app %s: WeCom gives a token for it and then refuses the agentid (errcode %d)",
			"Secret 不是应用 %s 的：企业微信用它签发了 token，却拒绝了这个 agentid（errcode %d）", a.AppID, failed.Errcode)
		failed.Do = text("Copy AgentId and Secret of one app: 企业微信管理后台 → 应用管理 → the app.", "请从同一个应用复制 AgentId 和 Secret：企业微信管理后台 → 应用管理 → 该应用。")
		list.Found = text("not known before the credentials are right", "凭证正确之后才能知道")
		return &grant, []Finding{failed, list}
	}
	failed.Check = Whitelist
	return &grant, []Finding{secret, failed}
}

// keyOf is where a store has the token of an account.
func (x *examination) keyOf(a Account) custody.Key {
	if a.isApp() {
		return x.corp.Key(a.App)
	}
	return x.api.Key(a.AppID, a.TokenAPI)
}

func (x *examination) kindOf(a Account) custody.Kind {
	if a.isApp() {
		return x.corp.AccessToken(a.App)
	}
	return x.api.AccessToken(platform.Account{AppID: a.AppID, Secret: a.Secret}, a.TokenAPI)
}

// clientOf makes calls that bring their own token, which renew nothing.
func (x *examination) clientOf(a Account) *platform.Client {
	if a.isApp() {
		return x.corp.Client(nil, a.App)
	}
	return x.api.Client(nil, a.AppID)
}
