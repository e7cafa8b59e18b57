package gateway

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/gateway/clients"
)

// fetches serves the endpoints of tokens and tickets.
type fetches struct{ *desk }

// fetchRequest is what a token endpoint is asked.
type fetchRequest struct {
	GrantType string `json:"grant_type"`
	AppID     string `json:"appid"`
	Secret    string `json:"secret"`
	Force     bool   `json:"force_refresh"`
}

// serveToken answers GET /cgi-bin/token.
func (f fetches) serveToken(w *observed, r *http.Request) *refusal {
	if r.Method != http.MethodGet {
		return refuse(codeRequireGET, "the method is not GET")
	}
	var q fetchRequest
	if !q.read(r.URL.RawQuery) {
		return refuse(codeNoAppID, "the query cannot be read")
	}
	return f.fetch(w, r, q)
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
func (f fetches) serveStable(w *observed, r *http.Request) *refusal {
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
	return f.fetch(w, r, q)
}

// fetch hands a token out. A caller without a right key learns nothing about accounts.
func (f fetches) fetch(w *observed, r *http.Request, q fetchRequest) *refusal {
	now := time.Now()
	switch {
	case q.AppID == "":
		return refuse(codeNoAppID, "no appid was given")
	case q.Secret == "":
		return refuse(codeNoSecret, "no key was given: the secret is the client's zhongkong key")
	}
	c, key, refused := f.byKey(r.Context(), w, q.Secret, now)
	if refused != nil {
		return refused
	}
	if q.GrantType != "client_credential" {
		return refuse(codeGrantType, "the grant_type is not client_credential")
	}
	a, refused := f.ofClient(r.Context(), w, c, q.AppID)
	if refused != nil {
		return refused
	}
	if refused := admit(c); refused != nil {
		return refused
	}
	again := c.Fetched(a.AppID, now)
	if c.Real {
		return f.handOut(w, r, c, a, again || q.Force)
	}
	if again || q.Force {
		f.suspectInBackground(a.AppID) // the gateway token is good whatever comes of it
	}
	writeToken(w, f.clients.Mint(c, key, a.AppID, now), clients.StatedLife)
	return nil
}

// handOut gives the real token away, for what is left of its life, once the journal
// says so.
func (f fetches) handOut(w *observed, r *http.Request, c *clients.Live, a *account, suspicious bool) *refusal {
	ctx, cancel := context.WithTimeout(r.Context(), waitForToken)
	defer cancel()
	if suspicious {
		f.suspect(ctx, a.AppID)
	}
	token, err := f.current(a.AppID).Token(ctx)
	if err != nil {
		return noToken(err)
	}
	if refused := f.note(ctx, "client "+c.Name, "hand out token", a.AppID, ""); refused != nil {
		return refused
	}
	if _, isApp := a.weCom(); isApp {
		writeCorpToken(w, token.Value(), token.Left())
		return nil
	}
	writeToken(w, token.Value(), token.Left())
	return nil
}
