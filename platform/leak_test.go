package platform

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
)

// TestNothingTells: whatever fails, neither its errors, nor the log at Debug, nor
// a print of the values involved shows AppSecret, token or query.
func TestNothingTells(t *testing.T) {
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // until then a server does not see that its client has gone
		<-r.Context().Done()
	}))
	t.Cleanup(silent.Close)
	strange := httptest.NewUnstartedServer(says(200, "", goodAnswer))
	strange.Config.ErrorLog = log.New(io.Discard, "", 0)
	strange.StartTLS()
	t.Cleanup(strange.Close)
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		query, _ := url.QueryUnescape(r.URL.RawQuery)
		w.Header().Set("Content-Type", r.URL.Query().Get("secret")+r.URL.Query().Get("access_token"))
		w.Header().Set("Location", "http://a b/"+query)
		w.WriteHeader(http.StatusFound)
		_, _ = io.WriteString(w, query+string(body))
	}))
	t.Cleanup(echo.Close)
	chatty := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"errcode":40125,"errmsg":"invalid appsecret %s%s rid: 6aac005a-01bfdbee-79769285"}`, testSecret, r.URL.Query().Get("access_token"))
	}))
	t.Cleanup(chatty.Close)
	talkative := roundTripFunc(func(req *http.Request) (*http.Response, error) {
		inner := &url.Error{Op: req.Method, URL: req.URL.String(), Err: io.ErrUnexpectedEOF}
		return nil, fmt.Errorf("%s %s %s: %w", req.URL, testSecret, oldToken, inner)
	})

	for name, cfg := range map[string]Config{
		"connection refused":         {Base: "http://" + testserver.Refusing(t)},
		"timeout":                    {Base: silent.URL, Timeout: 20 * time.Millisecond},
		"TLS failure":                {Base: strange.URL},
		"40125, quoting the secret":  {Base: chatty.URL},
		"an answer that echoes":      {Base: echo.URL},
		"a transport that tells all": {Transport: talkative},
	} {
		t.Run(name, func(t *testing.T) {
			logger, logged := debugLog()
			cfg.Logger = logger
			api := newAPI(t, cfg)
			tokens := newFakeTokens(t)
			client := api.Client(tokens, testAppID)
			account := testAccount()
			stable, classic := api.AccessToken(account, Stable), api.AccessToken(account, Classic)

			for _, kind := range []custody.Kind{stable, classic} {
				_, err := kind.Fetch(t.Context(), custody.Forced)
				if err == nil {
					t.Fatal("the fetch succeeded")
				}
				mustNotTell(t, err, kind)
				if kind.Probe(t.Context(), oldToken) == custody.Rejected {
					t.Error("the probe was answered")
				}
			}
			for _, err := range []error{
				client.Get(t.Context(), "/cgi-bin/x", nil, nil),
				client.Post(t.Context(), "/cgi-bin/x", map[string]string{"appsecret": testSecret}, nil),
			} {
				if err == nil {
					t.Fatal("the call succeeded")
				}
				mustNotTell(t, err)
			}
			resp, err := client.HTTPClient().Do(newRequest(t, "GET", api.Base()+"/cgi-bin/x", nil))
			if err != nil {
				mustNotTell(t, err)
			} else {
				mustNotTell(t, resp.Request, resp.Request.URL, resp.Header["Location"])
				discard(resp)
			}
			holder := struct {
				api     *API
				client  *Client
				account Account
				kind    custody.Kind
			}{api, client, account, stable}
			mustNotTell(t, cfg, *api, *client, *client.http, account, &account, holder, client.HTTPClient().Transport)
			mustNotTell(t, logged.String())
			if text := logged.String(); !strings.Contains(text, "called WeChat") || !strings.Contains(text, testAppID) {
				t.Errorf("the log says little: %s", text)
			}
		})
	}
}

// TestTransportPrintsNothing, also while it remembers refused tokens.
func TestTransportPrintsNothing(t *testing.T) {
	release := make(chan struct{})
	rejected := make(chan struct{})
	tokens := newFakeTokens(t)
	tokens.onReject = func(context.Context) {
		close(rejected)
		<-release
	}
	transport := &Transport{Tokens: tokens, Base: roundTripFunc(func(req *http.Request) (*http.Response, error) {
		return response(req, 200, refusalAnswer), nil
	})}
	req := newRequest(t, "POST", callURL, io.MultiReader(strings.NewReader("abc")))
	req.ContentLength = 3 // else it is kept, and could be sent again
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	discard(resp)
	<-rejected
	mustNotTell(t, transport)
	close(release)
}
