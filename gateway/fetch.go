package gateway

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/store"
)

const (
	maxFetchBody = 64 << 10
	askedAgain   = 30 * time.Second // a program that asks again so soon may have met a refusal
	noteTimeout  = 2 * time.Second
	waitForToken = 15 * time.Second // of a caller that wants a real one
)

// fetchRequest is what a token endpoint is asked.
type fetchRequest struct {
	GrantType string `json:"grant_type"`
	AppID     string `json:"appid"`
	Secret    string `json:"secret"`
	Force     bool   `json:"force_refresh"`
}

// serveToken answers GET /cgi-bin/token.
func (g *Gateway) serveToken(w *observed, r *http.Request) *refusal {
	if r.Method != http.MethodGet {
		return refuse(codeRequireGET, "the method is not GET")
	}
	var q fetchRequest
	if !q.read(r.URL.RawQuery) {
		return refuse(codeNoAppID, "the query cannot be read")
	}
	return g.fetch(w, r, q)
}

// read takes the fields from a query, as [url.ParseQuery] reads it: of several values
// the first counts. It reports whether all of the query can be read.
func (q *fetchRequest) read(query string) bool {
	var seen [3]bool
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil || strings.Contains(pair, ";") {
			return false
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return false
		}
		for i, field := range [...]*string{&q.GrantType, &q.AppID, &q.Secret} {
			if name == [...]string{"grant_type", "appid", "secret"}[i] && !seen[i] {
				*field, seen[i] = value, true
			}
		}
	}
	return true
}

// serveStable answers POST /cgi-bin/stable_token.
func (g *Gateway) serveStable(w *observed, r *http.Request) *refusal {
	if r.Method != http.MethodPost {
		return refuse(codeRequirePOST, "the method is not POST")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxFetchBody+1))
	switch {
	case err != nil:
		return refuse(codeEmptyPost, "the body did not arrive")
	case len(body) == 0:
		return refuse(codeEmptyPost, "the body is empty")
	case len(body) > maxFetchBody:
		return refuse(codeFormat, "the body has more than %d bytes", maxFetchBody)
	}
	var q fetchRequest
	if err := readJSON(body, &q); err != nil {
		return refuse(codeFormat, "the body is not the JSON that was expected")
	}
	return g.fetch(w, r, q)
}

// fetch hands a token out. A caller without a right key learns nothing about accounts.
func (g *Gateway) fetch(w *observed, r *http.Request, q fetchRequest) *refusal {
	now := time.Now()
	switch {
	case q.AppID == "":
		return refuse(codeNoAppID, "no appid was given")
	case q.Secret == "":
		return refuse(codeNoSecret, "no key was given: the secret is the client's zhongkong key")
	}
	c, key, refused := g.byKey(r.Context(), w, q.Secret, now)
	if refused != nil {
		return refused
	}
	if q.GrantType != "client_credential" {
		return refuse(codeGrantType, "the grant_type is not client_credential")
	}
	a, refused := g.ofClient(r.Context(), w, c, q.AppID)
	if refused != nil {
		return refused
	}
	if refused := admit(c); refused != nil {
		return refused
	}
	again := c.fetched(a.AppID, now)
	if c.Real {
		return g.handOut(w, r, c, a, again || q.Force)
	}
	if again || q.Force {
		g.suspectInBackground(a.AppID) // the gateway token is good whatever comes of it
	}
	writeToken(w, g.tokens.mint(c.id, key, a.AppID, now), statedLife)
	return nil
}

// suspect reports the account's token to its Keeper as refused: a program that asks
// again so soon may have met a refusal at WeChat. The Keeper reads the store for a newer
// token and asks WeChat about this one, at most once a second, so a program that fetches
// twice for no reason costs no fetch.
func (g *Gateway) suspect(ctx context.Context, appID string) {
	tokens := current{g, appID}
	if token, err := tokens.Token(ctx); err == nil {
		_, _ = tokens.Reject(ctx, token.Value()) // the Keeper logs what matters
	}
}

// suspectInBackground is suspect for a caller that does not wait; one at a time for an
// account.
func (g *Gateway) suspectInBackground(appID string) {
	if _, running := g.suspecting.LoadOrStore(appID, nil); running || g.ctx.Err() != nil {
		return
	}
	g.background.Go(func() {
		defer g.suspecting.Delete(appID)
		ctx, cancel := context.WithTimeout(g.ctx, waitForToken)
		defer cancel()
		g.suspect(ctx, appID)
	})
}

// handOut gives the real token away, for what is left of its life, once the journal
// says so.
func (g *Gateway) handOut(w *observed, r *http.Request, c *client, a *account, suspicious bool) *refusal {
	ctx, cancel := context.WithTimeout(r.Context(), waitForToken)
	defer cancel()
	if suspicious {
		g.suspect(ctx, a.AppID)
	}
	token, err := current{g, a.AppID}.Token(ctx)
	if err != nil {
		return noToken(err)
	}
	if refused := g.note(ctx, "client "+c.Name, "hand out token", a.AppID, ""); refused != nil {
		return refused
	}
	writeToken(w, token.Value(), token.Left())
	return nil
}

// note writes the journal before the act, which does not happen when that fails.
func (g *Gateway) note(ctx context.Context, actor, act, subject, detail string) *refusal {
	ctx, cancel := context.WithTimeout(ctx, noteTimeout)
	defer cancel()
	err := g.journal.note(ctx, store.Use{Actor: actor, Act: act, Subject: subject, Detail: detail})
	if err != nil {
		return refuse(codeBusy, "the journal cannot be written, so it was not done: %v", err)
	}
	return nil
}
