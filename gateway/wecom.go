package gateway

import (
	"net/http"
	"net/url"
	"time"

	"github.com/zhongkong-go/zhongkong/gateway/clients"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/platform/wecom"
)

// serveCorp answers GET /cgi-bin/gettoken as WeCom does: corpsecret is the client's key. The
// corpid may be corpid:agentid, and has to be where the client may use several apps of the
// corp.
func (f fetches) serveCorp(w *observed, r *http.Request) *refusal {
	now := time.Now()
	if r.Method != http.MethodGet {
		return refuse(codeRequireGET, "the method is not GET")
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	corp, secret := query.Get("corpid"), query.Get("corpsecret")
	switch {
	case err != nil || corp == "":
		return refuse(codeNoAppID, "no corpid was given, or the query cannot be read")
	case secret == "":
		return refuse(codeNoSecret, "no key was given: corpsecret is the client's zhongkong key")
	}
	c, key, refused := f.byKey(r.Context(), w, secret, now)
	if refused != nil {
		if refused.code == codeSecret {
			refused.code, refused.errmsg = codeToken, "invalid credential" // what WeCom says of a secret that is wrong
		}
		return refused
	}
	appID, refused := f.appOf(r, c, corp)
	if refused != nil {
		return refused
	}
	a, refused := f.ofClient(r.Context(), w, c, appID)
	if refused != nil {
		return refused
	}
	if refused := admit(c); refused != nil {
		return refused
	}
	again := c.Fetched(a.AppID, now)
	if c.Real {
		return f.handOut(w, r, c, a, again)
	}
	if again {
		f.suspectInBackground(a.AppID) // the gateway token is good whatever comes of it
	}
	writeCorpToken(w, f.clients.Mint(c, key, a.AppID, now), clients.StatedLife)
	return nil
}

// corpTicketOf returns the type of ticket that a call asks WeCom for: programs may ask as
// often as they like, where WeCom answers an app 100 times an hour.
func corpTicketOf(path string, r *http.Request) (t platform.TicketType, isTicket bool) {
	switch {
	case r.Method != http.MethodGet:
		return "", false
	case path == "/cgi-bin/get_jsapi_ticket":
		return platform.TicketType(wecom.CorpTicket), true
	case path == "/cgi-bin/ticket/get" && r.URL.Query().Get("type") == string(wecom.AgentTicket):
		return platform.TicketType(wecom.AgentTicket), true
	}
	return "", false
}

// appOf returns the one app of a corp that a client may use.
func (f fetches) appOf(r *http.Request, c *clients.Live, corp string) (appID string, refused *refusal) {
	if _, _, isApp := shape.App(corp); isApp {
		return corp, nil
	}
	for range 2 {
		for _, a := range *f.accounts.now.Load() {
			if app, isApp := a.weCom(); !isApp || app.CorpID != corp || !c.Uses(a.AppID) {
				continue
			}
			if appID != "" {
				return "", refuse(codeAppID, "the client may use several apps of this corp: give corpid as corpid:agentid, "+
					"or each program a client for one app")
			}
			appID = a.AppID
		}
		if appID != "" {
			return appID, nil
		}
		f.clients.Refresh(r.Context()) // the account may be new, and the client's right to it
		if now := f.clients.Find(c.ID()); now != nil {
			c = now
		}
	}
	return "", refuse(codeAppID, "none of the gateway's apps of this corp is one of the client's")
}
