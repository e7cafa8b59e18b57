package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/zhongkong-go/zhongkong/gateway/login"
	"github.com/zhongkong-go/zhongkong/internal/gate"
	"github.com/zhongkong-go/zhongkong/platform"
)

// apiLogin redeems a ticket of the login relay.
func (p *programs) apiLogin(w *observed, r *http.Request, c caller) *refusal {
	ticket, refused := readTicket(r, `{"ticket":"the one with which the browser came back"}`)
	if refused != nil {
		return refused
	}
	grant, refused := p.redeemed(r.Context(), login.Ticket, c.Live, ticket, "")
	if refused != nil {
		return refused
	}
	writeJSONLine(w, grant)
	return nil
}

// apiJSConfig signs a page for the JS-SDK: for a client with its key, and for everybody if
// the page is under an origin of a client that may use the account.
func (p *programs) apiJSConfig(w *observed, r *http.Request, _ caller) *refusal {
	pages := r.URL.Query()["url"]
	if len(pages) != 1 || len(pages[0]) > maxPage {
		return withText(refuse(codeParameter, "there is no url, or several, or a long one"),
			"url has to be the page's address, location.href, escaped")
	}
	if err := platform.CheckPage(pages[0]); err != nil {
		return withText(refuse(codeParameter, "%v", err), err.Error())
	}
	appID := r.PathValue("appid")
	ctx, cancel := context.WithTimeout(r.Context(), waitForToken)
	defer cancel()
	if _, found := bearer(r.Header); found {
		c, refused := p.caller(w, r)
		switch {
		case refused != nil:
			return refused
		case !c.Allows(ticketPath):
			return refuse(codeNotAllowed, "the path of tickets is not one of the client's")
		}
	} else {
		if refused := p.openTo(w, r, appID, platform.PageOrigin(pages[0])); refused != nil {
			return refused
		}
		leave, done := context.WithCancelCause(ctx)
		defer done(nil)
		defer p.visitors.Enter(gate.Address(r.RemoteAddr), func() { done(errCrowded) }).Exit()
		ctx = leave
	}
	ticket, err := p.current(appID).ticket(ctx, platform.JSAPITicket)
	if err != nil {
		return noToken(err)
	}
	id := appID
	if app, isApp := (Account{AppID: appID}).weCom(); isApp {
		id = app.CorpID
	}
	writeJSONLine(w, platform.NewJSConfig(id, ticket.Value(), pages[0]))
	return nil
}

// maxPage is how long the address of a page may be.
const maxPage = 8 << 10

// openTo lets a page without a key in if its origin is registered for the account, and says
// so to its browser.
func (p *programs) openTo(w *observed, r *http.Request, appID, origin string) *refusal {
	w.Header().Add("Vary", "Origin")
	if !p.clients.Registered(origin, appID, ticketPath, time.Now()) {
		p.clients.Refresh(r.Context())
	}
	from := r.Header.Get("Origin")
	switch {
	case !p.clients.Registered(origin, appID, ticketPath, time.Now()) || p.accounts.find(appID) == nil:
		return withText(refuse(codeNotAllowed, "no client of the account has registered the page's origin"),
			"without a key only pages under an origin that a client of this account has registered are signed (zhongkong client sites)")
	case from != "" && from != origin:
		return withText(refuse(codeNotAllowed, "the page asks for one of another origin"),
			"the page that asks and the one in url have different origins")
	case from != "":
		w.Header().Set("Access-Control-Allow-Origin", origin)
	}
	w.about(p.accounts.find(appID))
	return nil
}

// withText is a refusal of the gateway's own API in other words than those of its code.
func withText(r *refusal, text string) *refusal {
	r.text = text
	return r
}
