package platform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
)

const (
	testTicket = "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg"
	goodTicket = `{"errcode":0,"errmsg":"ok","ticket":"` + testTicket + `","expires_in":7200}`
	deadToken  = `{"errcode":40001,"errmsg":"invalid credential, access_token is invalid or not latest rid: 6aac005a-01bfdbee-79769285"}`
)

// fetchTicketFrom has the kind fetch and returns its failure.
func fetchTicketFrom(tb testing.TB, api *API, tokens Tokens) (custody.Grant, *custody.FetchError) {
	tb.Helper()
	grant, err := api.Ticket(tokens, testAppID, JSAPITicket).Fetch(context.Background(), custody.Normal)
	if err == nil {
		return grant, nil
	}
	var failure *custody.FetchError
	if !errors.As(err, &failure) {
		tb.Fatalf("Fetch returned a %T, not a *FetchError: %v", err, err)
	}
	if !grant.Value.IsZero() {
		tb.Errorf("Fetch returned a grant beside %v", err)
	}
	mustNotTell(tb, err)
	return grant, failure
}

func TestTicket(t *testing.T) {
	var got *http.Request
	api := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		_, _ = io.WriteString(w, goodTicket)
	})
	for kind, name := range map[TicketType]string{JSAPITicket: "jsapi", CardTicket: "wx_card"} {
		k := api.Ticket(newFakeTokens(t), testAppID, kind)
		if err := k.Prepare(t.Context()); err != nil || got != nil {
			t.Errorf("Prepare: %v; it called WeChat: %v", err, got != nil)
		}
		grant, err := k.Fetch(t.Context(), custody.Normal)
		if err != nil || grant.Value.Reveal() != testTicket || grant.ExpiresIn != 2*time.Hour {
			t.Errorf("Fetch: %s, %v", grant.ExpiresIn, err)
		}
		if got.Method != http.MethodGet || got.URL.Path != "/cgi-bin/ticket/getticket" ||
			got.URL.Query().Get("type") != name || got.URL.Query().Get("access_token") != oldToken || len(got.URL.Query()) != 2 {
			t.Errorf("asked for %s %s", got.Method, got.URL)
		}
		if k.Idempotent || k.Forceable || k.Probe != nil || k.DailyFetches != 500 {
			t.Errorf("the kind is %+v", k)
		}
		key := api.TicketKey(testAppID, kind)
		if want := name + "_ticket/" + testAppID + "@" + strings.TrimPrefix(api.Base(), "http://"); key.String() != want {
			t.Errorf("the key is %s, want %s", key, want)
		}
		got = nil
	}
	if key := newAPI(t, Config{}).TicketKey(testAppID, JSAPITicket).String(); key != "jsapi_ticket/"+testAppID {
		t.Errorf("the key at WeChat's own is %s", key)
	}
}

// TestTicketOfARefusedToken: the token is rejected by value and the fetch
// repeated once.
func TestTicketOfARefusedToken(t *testing.T) {
	for _, code := range []int{40001, 40014, 42001} {
		for _, heals := range []bool{true, false} {
			var used []string
			api := serve(t, func(w http.ResponseWriter, r *http.Request) {
				used = append(used, r.URL.Query().Get("access_token"))
				if heals && len(used) == 2 {
					_, _ = io.WriteString(w, goodTicket)
					return
				}
				_, _ = fmt.Fprintf(w, `{"errcode":%d,"errmsg":"no"}`, code)
			})
			tokens := newFakeTokens(t)
			grant, failure := fetchTicketFrom(t, api, tokens)
			if heals && (failure != nil || grant.Value.Reveal() != testTicket) {
				t.Errorf("%d: %v", code, failure)
			}
			if !heals && (failure == nil || failure.Class != custody.ClassTransient || failure.Code != code || failure.Unanswered) {
				t.Errorf("%d: %+v, want a failure that passes", code, failure)
			}
			if !slices.Equal(used, []string{oldToken, newToken}) || !slices.Equal(tokens.rejected(), []string{oldToken}) {
				t.Errorf("%d: %d calls, %d rejections", code, len(used), len(tokens.rejected()))
			}
		}
	}
}

// TestTicketWithoutAToken fails as the token does, for as long, and calls nobody.
func TestTicketWithoutAToken(t *testing.T) {
	calls := 0
	api := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		calls++
		_, _ = io.WriteString(w, deadToken)
	})
	cause := &Error{Code: 40125, Path: stablePath, AppID: testAppID}
	none := &custody.Error{
		Key: api.Key(testAppID, Stable), Class: custody.ClassBlocked, Code: 40125, RetryAfter: 7 * time.Minute,
		Text: "the AppSecret is wrong", Err: cause,
	}
	check := func(what string, err error, code int, says string) {
		t.Helper()
		var failure *custody.FetchError
		if !errors.As(err, &failure) || failure.Class != custody.ClassBlocked || failure.RetryAfter != 7*time.Minute ||
			failure.Code != code || failure.Unanswered || failure.PerHost != (code != 40125) {
			t.Errorf("%s: %+v, want what the token's failure says", what, failure)
			return
		}
		if text := err.Error(); !strings.Contains(text, "no access_token to fetch it with: "+says) || strings.Contains(text, "next attempt") {
			t.Errorf("%s: %s", what, text)
		}
		mustNotTell(t, err)
	}
	tokens := newFakeTokens(t)
	tokens.tokenErr = none
	kind := api.Ticket(tokens, testAppID, JSAPITicket)
	err := kind.Prepare(t.Context())
	check("Prepare", err, 40125, "the AppSecret is wrong")
	if !errors.Is(err, cause) {
		t.Error("WeChat's own error is not inside")
	}
	_, err = kind.Fetch(t.Context(), custody.Normal)
	check("Fetch", err, 40125, "the AppSecret is wrong")
	if calls != 0 {
		t.Errorf("%d calls without a token", calls)
	}

	tokens = newFakeTokens(t)
	tokens.rejectErr = &custody.Error{Class: custody.ClassBlocked, RetryAfter: 7 * time.Minute, Text: "renewing does not help", Err: custody.ErrRefused}
	_, err = api.Ticket(tokens, testAppID, JSAPITicket).Fetch(t.Context(), custody.Normal)
	check("Fetch with a refused token", err, 0, "renewing does not help")
	if calls != 1 || !errors.Is(err, custody.ErrRefused) {
		t.Errorf("%d calls, %v", calls, err)
	}
}

// slowTokens never has a token.
type slowTokens struct{}

func (slowTokens) Token(ctx context.Context) (custody.Token, error) {
	<-ctx.Done()
	return custody.Token{}, fmt.Errorf("waiting: %w", ctx.Err())
}

func (s slowTokens) Reject(ctx context.Context, _ string) (custody.Token, error) {
	return s.Token(ctx)
}

// slowReject has one, and no other.
type slowReject struct {
	slowTokens

	token custody.Token
}

func (s slowReject) Token(context.Context) (custody.Token, error) { return s.token, nil }

// TestTicketWaitsNoLongerThanItsLease, whatever the token's renewal does.
func TestTicketWaitsNoLongerThanItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newAPI(t, Config{Transport: roundTripFunc(func(req *http.Request) (*http.Response, error) {
			return response(req, http.StatusOK, deadToken), nil
		})})
		for name, tokens := range map[string]Tokens{"Token": slowTokens{}, "Reject": slowReject{token: mint(t, oldToken)}} {
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
			start := time.Now()
			_, err := api.Ticket(tokens, testAppID, JSAPITicket).Fetch(ctx, custody.Normal)
			cancel()
			var failure *custody.FetchError
			if took := time.Since(start); took != 8*time.Second || !errors.As(err, &failure) ||
				failure.Class != custody.ClassTransient || failure.Unanswered || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %+v after %s", name, failure, took)
			}
		}
	})
}

func TestTicketFailures(t *testing.T) {
	for _, tc := range []struct {
		status     int
		body       string
		class      custody.Class
		code       int
		unanswered bool
		says       string
	}{
		{200, `{"errcode":-1,"errmsg":"system error"}`, custody.ClassTransient, -1, false, "errcode -1"},
		{200, `{"errcode":45009,"errmsg":"x"}`, custody.ClassQuota, 45009, false, "errcode 45009"},
		{200, `{"errcode":48001,"errmsg":"api unauthorized"}`, custody.ClassBlocked, 48001, false, "errcode 48001"},
		{200, `{"errcode":41001,"errmsg":"access_token missing"}`, custody.ClassBlocked, 41001, false, "errcode 41001"},
		{200, `{"errcode":40164,"errmsg":"invalid ip 192.0.2.1, not in whitelist"}`, custody.ClassBlocked, 40164, false, "192.0.2.1"},
		{200, `{"errcode":40013,"ticket":"x","expires_in":7200}`, custody.ClassTransient, 0, true, "errcode 40013 next to its ticket"},
		{200, `{"errcode":0,"errmsg":"ok","expires_in":7200}`, custody.ClassTransient, 0, true, "it holds no ticket"},
		{200, `{"errcode":0,"ticket":"","expires_in":7200}`, custody.ClassTransient, 0, true, "its ticket is empty"},
		{200, `{"errcode":0,"ticket":null,"expires_in":7200}`, custody.ClassTransient, 0, true, "its ticket is not a string"},
		{200, `{"errcode":0,"ticket":"x"}`, custody.ClassTransient, 0, true, "no expires_in"},
		{200, `{"access_token":"91_abc","expires_in":7200}`, custody.ClassTransient, 0, true, "it holds no ticket"},
		{502, "<html></html>", custody.ClassTransient, 0, true, "it is HTML"},
	} {
		_, failure := fetchTicketFrom(t, serve(t, says(tc.status, "application/json", tc.body)), newFakeTokens(t))
		if failure == nil || failure.Class != tc.class || failure.Code != tc.code || failure.Unanswered != tc.unanswered || !strings.Contains(failure.Error(), tc.says) {
			t.Errorf("%s: %+v", tc.body, failure)
		}
		if tc.code == 40164 && !failure.PerHost {
			t.Error("40164 is not this machine's alone")
		}
	}
	broken := newAPI(t, Config{Transport: roundTripFunc(func(req *http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("asking for %s: %w", req.URL, io.ErrUnexpectedEOF)
	})})
	if _, failure := fetchTicketFrom(t, broken, newFakeTokens(t)); failure == nil || !failure.Unanswered {
		t.Errorf("a connection that broke: %+v", failure)
	}
}

func TestParseTicketType(t *testing.T) {
	for text, want := range map[string]TicketType{"jsapi": JSAPITicket, "wx_card": CardTicket} {
		if got, err := ParseTicketType(text); got != want || err != nil {
			t.Errorf("ParseTicketType(%q) = %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "JSAPI", "card"} {
		if got, err := ParseTicketType(text); got != "" || err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", text)) {
			t.Errorf("ParseTicketType(%q) = %q, %v, want an error that quotes it", text, got, err)
		}
	}
	err := newAPI(t, Config{}).Ticket(newFakeTokens(t), testAppID, "card").Prepare(t.Context())
	var failure *custody.FetchError
	if !errors.As(err, &failure) || failure.Class != custody.ClassFatal {
		t.Errorf("Prepare for a ticket that does not exist: %v", err)
	}
}

// TestJSSignature against the signatures of WeChat's documentation.
func TestJSSignature(t *testing.T) {
	data, err := os.ReadFile("../callback/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		JSSDK []struct {
			ID        string `json:"id"`
			Ticket    string `json:"jsapi_ticket"`
			NonceStr  string `json:"noncestr"`
			Timestamp string `json:"timestamp"`
			URL       string `json:"url"`
			Signature string `json:"signature"`
		} `json:"jssdk"`
	}
	if err := json.Unmarshal(data, &vectors); err != nil || len(vectors.JSSDK) != 1 {
		t.Fatalf("%d vectors, %v", len(vectors.JSSDK), err)
	}
	for _, v := range vectors.JSSDK {
		timestamp, err := strconv.ParseInt(v.Timestamp, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range []string{v.URL, v.URL + "#", v.URL + "#wechat_redirect?a=b#c"} {
			if got := JSSignature(v.Ticket, v.NonceStr, timestamp, page); got != v.Signature {
				t.Errorf("%s, %s: %s, want %s", v.ID, page, got, v.Signature)
			}
		}
	}
	if got := JSSignature(testTicket, "Wm3WZYTPz0wzccnW", 1414587457, "http://mp.weixin.qq.com"); got != "f4d90daf4b3bca3078ab155816175ba34c443a7b" {
		t.Errorf("the older edition's example: %s", got)
	}
	if page := "https://example.com/商店?q=a+b%20c&d=%E5%95%86"; JSSignature("t", "n", 1, page) == JSSignature("t", "n", 1, url.QueryEscape(page)) {
		t.Error("the URL was escaped or unescaped")
	}
}
