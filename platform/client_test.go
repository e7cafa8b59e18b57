package platform

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zhongkong-go/zhongkong/custody"
)

func TestClientAsks(t *testing.T) {
	type asked struct {
		Method, URI, Type, Body string
		Length                  int64
	}
	var got asked
	server := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		uri := strings.Replace(r.RequestURI, "access_token="+url.QueryEscape(oldToken), "TOKEN", 1)
		got = asked{Method: r.Method, URI: uri, Type: r.Header.Get("Content-Type"), Body: string(body), Length: r.ContentLength}
		_, _ = io.WriteString(w, goodCall)
	}
	plain := serve(t, server)
	prefixed := newAPI(t, Config{Base: plain.Base() + "/we%20chat/"})
	for name, tc := range map[string]struct {
		api  *API
		call func(*Client) error
		want asked
	}{
		"Get": {plain, func(c *Client) error {
			return c.Get(t.Context(), "/cgi-bin/x", nil, nil)
		}, asked{Method: "GET", URI: "/cgi-bin/x?TOKEN"}},
		"Get with a query": {plain, func(c *Client) error {
			return c.Get(t.Context(), "/cgi-bin/x?a=1&b=%zz", url.Values{"c": {"中 文"}}, nil)
		}, asked{Method: "GET", URI: "/cgi-bin/x?a=1&b=%zz&c=%E4%B8%AD+%E6%96%87&TOKEN"}},
		"Get with an escaped path": {plain, func(c *Client) error {
			return c.Get(t.Context(), "/cgi-bin/a%2Fb%20c", url.Values{"c": {"1"}}, nil)
		}, asked{Method: "GET", URI: "/cgi-bin/a%2Fb%20c?c=1&TOKEN"}},
		"Get behind a base with a path": {prefixed, func(c *Client) error {
			return c.Get(t.Context(), "/cgi-bin/x", nil, nil)
		}, asked{Method: "GET", URI: "/we%20chat/cgi-bin/x?TOKEN"}},
		"Post": {plain, func(c *Client) error {
			return c.Post(t.Context(), "/cgi-bin/x?type=image", map[string]string{"name": "<中&文>"}, nil)
		}, asked{Method: "POST", URI: "/cgi-bin/x?type=image&TOKEN", Type: "application/json", Body: `{"name":"<中&文>"}`, Length: 20}},
		"Post of nothing": {plain, func(c *Client) error {
			return c.Post(t.Context(), "/cgi-bin/x", nil, nil)
		}, asked{Method: "POST", URI: "/cgi-bin/x?TOKEN", Type: "application/json", Body: `{}`, Length: 2}},
	} {
		if err := tc.call(tc.api.Client(newFakeTokens(t), testAppID)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: the request differs (-want +got):\n%s", name, diff)
		}
	}
}

func TestClientDecodes(t *testing.T) {
	answer := "{\"errcode\":0,\"nickname\":\"a\x01b\",\"msgid\":23892468385179204,\"list\":[1,2]}"
	client := serve(t, says(200, "text/plain", answer)).Client(newFakeTokens(t), testAppID)
	clean := strings.ReplaceAll(answer, "\x01", " ")

	var typed struct {
		Nickname string
		MsgID    int64
		List     []int
	}
	if err := client.Get(t.Context(), "/cgi-bin/x", nil, &typed); err != nil || typed.Nickname != "a b" || typed.MsgID != 23892468385179204 || len(typed.List) != 2 {
		t.Errorf("%+v, %v", typed, err)
	}
	var raw json.RawMessage
	if err := client.Get(t.Context(), "/cgi-bin/x", nil, &raw); err != nil || string(raw) != clean {
		t.Errorf("%q, %v", raw, err)
	}
	var text []byte
	if err := client.Post(t.Context(), "/cgi-bin/x", nil, &text); err != nil || string(text) != clean {
		t.Errorf("%q, %v", text, err)
	}
	var values map[string]any
	if err := client.Get(t.Context(), "/cgi-bin/x", nil, &values); err != nil || values["nickname"] != "a b" {
		t.Errorf("%v, %v", values, err)
	}
	list := serve(t, says(200, "", `[1,2]`)).Client(newFakeTokens(t), testAppID)
	var numbers []int
	if err := list.Get(t.Context(), "/cgi-bin/x", nil, &numbers); err != nil || len(numbers) != 2 {
		t.Errorf("%v, %v", numbers, err)
	}
}

func TestClientErrors(t *testing.T) {
	var refusal *Error
	var unusable *AnswerError
	for name, tc := range map[string]struct {
		status int
		body   string
		target any
		says   string
	}{
		"errcode":                  {200, `{"errcode":48001,"errmsg":"api unauthorized rid: 6aac005a-01bfdbee-79769285"}`, &refusal, "errcode 48001, api unauthorized (rid 6aac005a-01bfdbee-79769285)"},
		"errcode with 500":         {500, `{"errcode":-1,"errmsg":"system error"}`, &refusal, "errcode -1"},
		"errmsg of a strange type": {200, `{"errcode":48001,"errmsg":{}}`, &refusal, "errcode 48001."},
		"errcode a string":         {200, `{"errcode":"48001"}`, &unusable, "errcode is not a whole number"},
		"HTML":                     {200, `<html>`, &unusable, "HTML or XML, not JSON (HTTP 200, text/html, 6 bytes)"},
		"502":                      {502, `<html>`, &unusable, "(HTTP 502,"},
		"500 with JSON":            {500, `{"ip_list":[]}`, &unusable, "HTTP status is not 200"},
		"404":                      {404, ``, &unusable, "it is empty (HTTP 404"},
		"cut JSON":                 {200, `{"ip_list":[`, &unusable, "breaks off"},
		"too long":                 {200, strings.Repeat(" ", maxAnswer+1), &unusable, "longer than 8388608 bytes"},
		"another shape":            {200, `{"ip_list":"1.2.3.4"}`, &unusable, "does not fit the type"},
	} {
		client := serve(t, says(tc.status, "text/html", tc.body)).Client(newFakeTokens(t), testAppID)
		var out struct {
			IPList []string `json:"ip_list"`
		}
		err := client.Get(t.Context(), "/cgi-bin/x", url.Values{"q": {"private"}}, &out)
		if err == nil || !errors.As(err, tc.target) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want a %T that says %s", name, err, tc.target, tc.says)
			continue
		}
		if text := err.Error(); !strings.Contains(text, testAppID) || !strings.Contains(text, "/cgi-bin/x") || strings.Contains(text, "private") {
			t.Errorf("%s: %s: want path and appid without the query", name, text)
		}
		mustNotTell(t, err)
	}
	var mismatch *json.UnmarshalTypeError
	client := serve(t, says(200, "", `{"a":1}`)).Client(newFakeTokens(t), testAppID)
	if err := client.Get(t.Context(), "/cgi-bin/x", nil, &struct{ A string }{}); !errors.As(err, &mismatch) {
		t.Errorf("%v holds no *json.UnmarshalTypeError", err)
	}
}

func TestClientWithoutAToken(t *testing.T) {
	tokens := newFakeTokens(t)
	client := newAPI(t, Config{}).Client(tokens, testAppID)
	tokens.tokenErr = &custody.Error{RetryAfter: time.Minute, Text: "the AppSecret is wrong"}
	if err := client.Get(t.Context(), "/cgi-bin/x", nil, nil); !errors.Is(err, tokens.tokenErr) || err.Error() != tokens.tokenErr.Error() {
		t.Errorf("%v, want the Keeper's own error", err)
	}
	var failure *custody.Error
	resp, err := client.HTTPClient().Do(newRequest(t, "GET", callURL, nil))
	discard(resp)
	if !errors.As(err, &failure) || failure.RetryAfter != time.Minute {
		t.Errorf("%v holds no *custody.Error", err)
	}
}

func TestClientRefusesPaths(t *testing.T) {
	client := newAPI(t, Config{Transport: roundTripFunc(func(req *http.Request) (*http.Response, error) {
		t.Errorf("%s was sent", req.URL)
		return nil, io.EOF
	})}).Client(newFakeTokens(t), testAppID)
	for _, path := range []string{
		"", "cgi-bin/x", "?a=1", "https://evil.example/hunter2", "//evil.example/hunter2", "https:hunter2", "///x",
		"/cgi-bin/../x", "/..", "/cgi-bin/%2e%2e/x", "/cgi-bin/..%2fx", "/./x", `/cgi-bin\..\x`, "/x#hunter2", "/x%00", "/x\n", "/%zz?hunter2",
		"https://me:hunter2@evil.example/",
	} {
		for _, err := range []error{client.Get(t.Context(), path, nil, nil), client.Post(t.Context(), path, nil, nil)} {
			if err == nil || !strings.Contains(err.Error(), "not the path of an API") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q: %v, want an error that does not quote it", path, err)
			}
		}
	}
	for _, path := range []string{"/cgi-bin/x?name=a b", "/cgi-bin/my file"} {
		if err := client.Get(t.Context(), path, nil, nil); err == nil || !strings.Contains(err.Error(), "a space: write %20") {
			t.Errorf("%q: %v", path, err)
		}
	}
	type text string
	for _, body := range []any{`{"a":1}`, text("hunter2"), json.Number("1")} {
		err := client.Post(t.Context(), "/cgi-bin/x", body, nil)
		if err == nil || !strings.Contains(err.Error(), "json.RawMessage(text)") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%T: %v, want an error that says what to give", body, err)
		}
	}
	if err := client.Post(t.Context(), "/cgi-bin/x", []string{"a\x01"}, nil); err == nil || !strings.Contains(err.Error(), "U+0001") {
		t.Errorf("a body that has no JSON: %v", err)
	}
}

func TestClientTimesOut(t *testing.T) {
	tokens := newFakeTokens(t)
	synctest.Test(t, func(t *testing.T) {
		client := newAPI(t, Config{Transport: roundTripFunc(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		})}).Client(tokens, testAppID)
		for _, tc := range []struct {
			given, want time.Duration
		}{{time.Second, time.Second}, {time.Hour, 30 * time.Second}} {
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), tc.given)
			err := client.Get(ctx, "/cgi-bin/x", nil, nil)
			cancel()
			var conn *ConnError
			if !errors.As(err, &conn) || !conn.Sent || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != tc.want {
				t.Errorf("%v after %s, want a deadline after %s", err, time.Since(start), tc.want)
			}
			mustNotTell(t, err)
		}
	})
}

func TestClientIsTheCallersOwn(t *testing.T) {
	client := newAPI(t, Config{Timeout: time.Minute}).Client(newFakeTokens(t), testAppID)
	first := client.HTTPClient()
	if first.Timeout != time.Minute {
		t.Errorf("timeout %s", first.Timeout)
	}
	first.Timeout, first.Transport = 0, nil
	if second := client.HTTPClient(); second.Timeout != time.Minute || second.Transport == nil {
		t.Error("a change of one HTTPClient changed the next")
	}
	client.CloseIdleConnections()
	client.HTTPClient().CloseIdleConnections()
}
