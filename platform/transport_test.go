package platform

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

const (
	refusalAnswer = `{"errcode":40001,"errmsg":"invalid credential, access_token is invalid or not latest rid: 6aac005a-01bfdbee-79769285"}`
	goodCall      = `{"errcode":0,"errmsg":"ok"}`
	callURL       = DefaultBase + "/cgi-bin/x"
)

// wechat stands in WeChat's place without a network: it refuses every token but
// newToken, with answer.
type wechat struct {
	answer string
	status int
	header http.Header

	mu     sync.Mutex
	tokens []string
	bodies []string
	raw    []string
}

func (w *wechat) RoundTrip(req *http.Request) (*http.Response, error) {
	token, body := req.URL.Query().Get("access_token"), ""
	if req.Body != nil {
		text, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		body = string(text)
		_ = req.Body.Close()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tokens, w.bodies, w.raw = append(w.tokens, token), append(w.bodies, body), append(w.raw, req.URL.RawQuery)
	if token == newToken {
		return response(req, 200, goodCall), nil
	}
	resp := response(req, max(200, w.status), w.answer)
	maps.Copy(resp.Header, w.header)
	return resp, nil
}

// closing counts how often a body was closed.
type closing struct {
	io.Reader
	closed atomic.Int32
}

func (c *closing) Close() error {
	c.closed.Add(1)
	return nil
}

func readBody(tb testing.TB, resp *http.Response) string {
	tb.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Errorf("the body: %v", err)
	}
	if err := resp.Body.Close(); err != nil {
		tb.Errorf("closing the body: %v", err)
	}
	return string(body)
}

func newRequest(tb testing.TB, method, target string, body io.Reader) *http.Request {
	tb.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, target, body)
	if err != nil {
		tb.Fatal(err)
	}
	return req
}

func TestTransportAddsTheToken(t *testing.T) {
	for query, want := range map[string]string{
		"":                             "",
		"type=jsapi":                   "type=jsapi&",
		"b=2&a=1&a=%E4%b8%AD+x%20;&&=": "b=2&a=1&a=%E4%b8%AD+x%20;&&=&",
		"xaccess_token=1":              "xaccess_token=1&",
		"Access_Token=1":               "Access_Token=1&",
		"a=access_token=1":             "a=access_token=1&",
		"%zz=1":                        "%zz=1&",
	} {
		server := &wechat{answer: goodCall}
		transport := &Transport{Base: server, Tokens: newFakeTokens(t)}
		req := newRequest(t, "GET", callURL, nil)
		req.URL.RawQuery = query
		before := req.Clone(req.Context())
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if got := readBody(t, resp); got != goodCall {
			t.Errorf("body %q", got)
		}
		if got, want := server.raw[0], want+"access_token="+url.QueryEscape(oldToken); got != want {
			t.Errorf("query %q, want %q", got, want)
		}
		if resp.Request != req || req.URL.RawQuery != query || !maps.EqualFunc(req.Header, before.Header, func(a, b []string) bool { return cmp.Equal(a, b) }) {
			t.Errorf("the request was changed, or is not the response's own: %v", resp.Request.URL)
		}
	}
}

// TestTransportKeepsTheHeader: what a transport below does to a header is seen neither by the
// caller nor by the next attempt.
func TestTransportKeepsTheHeader(t *testing.T) {
	server := &wechat{answer: refusalAnswer}
	base := roundTripFunc(func(req *http.Request) (*http.Response, error) {
		if got := req.Header.Get("X-Attempt"); got != "mine" {
			t.Errorf("an attempt begins with %q", got)
		}
		req.Header.Set("X-Attempt", "changed")
		return server.RoundTrip(req)
	})
	req := newRequest(t, "GET", callURL, nil)
	req.Header.Set("X-Attempt", "mine")
	resp, err := (&Transport{Base: base, Tokens: newFakeTokens(t)}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if got := readBody(t, resp); got != goodCall || len(server.tokens) != 2 || req.Header.Get("X-Attempt") != "mine" {
		t.Errorf("%q after %d attempts, and the caller's header is %v", got, len(server.tokens), req.Header)
	}
}

func TestTransportRecovers(t *testing.T) {
	for name, tc := range map[string]struct {
		method string
		body   func() io.Reader
		want   string
	}{
		"GET":                 {"GET", func() io.Reader { return nil }, ""},
		"POST without a body": {"POST", func() io.Reader { return http.NoBody }, ""},
		"POST of a reader":    {"POST", func() io.Reader { return strings.NewReader("中文") }, "中文"},
		"POST of bytes":       {"POST", func() io.Reader { return bytes.NewReader([]byte("abc")) }, "abc"},
		"POST of a buffer":    {"POST", func() io.Reader { return bytes.NewBufferString("abc") }, "abc"},
	} {
		t.Run(name, func(t *testing.T) {
			server := &wechat{answer: refusalAnswer}
			tokens := newFakeTokens(t)
			req := newRequest(t, tc.method, callURL+"?a=1", tc.body())
			resp, err := (&Transport{Base: server, Tokens: tokens}).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			if got := readBody(t, resp); got != goodCall || resp.Request != req {
				t.Errorf("answer %q to %s", got, resp.Request.URL)
			}
			if diff := cmp.Diff([]string{oldToken, newToken}, server.tokens); diff != "" {
				t.Errorf("tokens (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{tc.want, tc.want}, server.bodies); diff != "" {
				t.Errorf("bodies (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{oldToken}, tokens.rejected()); diff != "" {
				t.Errorf("rejected (-want +got):\n%s", diff)
			}
		})
	}
}

// TestStream: an answer without a length is passed on as soon as it cannot be a refusal.
func TestStream(t *testing.T) {
	for first, want := range map[string]bool{
		`{"event":1}`: true, `[`: true, `{}`: true, `{"errcode":0,`: true, "{ \"errcode\" : 45009 ,": true, `{"errmsg`: false, `{"errmsg":"x",`: false,
		`{"errcode":4000`: false, `{"errcode":40001,"errmsg":`: false, `{`: false, `{"err`: false, `{"errc\u006fde":`: false, `{"errcode":"4`: false,
	} {
		synctest.Test(t, func(t *testing.T) {
			in, out := io.Pipe()
			go func() { _, _ = io.WriteString(out, first) }()
			passed := false
			go func() {
				refusal(&http.Response{StatusCode: http.StatusOK, ContentLength: -1, Body: in}, errcode.API)
				passed = true
			}()
			synctest.Wait()
			if passed != want {
				t.Errorf("%s: passed on %v, want %v", first, passed, want)
			}
			_ = out.Close()
			synctest.Wait()
		})
	}
}

// TestRecogniser: what is a refusal of the token, and what only looks like one.
func TestRecogniser(t *testing.T) {
	padded := func(size int) string { // a refusal of that many bytes
		return `{"errcode":40001,"errmsg":"` + strings.Repeat("x", size-len(`{"errcode":40001,"errmsg":""}`)) + `"}`
	}
	for name, tc := range map[string]struct {
		body string
		want bool
	}{
		"40001":                  {`{"errcode":40001,"errmsg":"invalid credential"}`, true},
		"40014":                  {`{"errcode":40014}`, true},
		"42001":                  {`{"errmsg":"access_token expired","errcode":42001}`, true},
		"white space":            {" \r\n\t{ \"errcode\" :\n40001 } \n", true},
		"raw control characters": {"{\"errcode\":40001,\"errmsg\":\"a\x00\x01\x1f\nb\"}", true},
		"invalid UTF-8":          {"{\"errcode\":40001,\"errmsg\":\"\xff\"}", true},
		"escaped name":           {`{"errc\u006fde":40001}`, true},
		"4096 bytes":             {padded(4096), true},
		"4097 bytes":             {padded(4097), false},
		"4096 bytes and a space": {padded(4096) + " ", false},
		"5 KiB of space before":  {strings.Repeat(" ", 5<<10) + refusalAnswer, false},
		"a megabyte":             {padded(1 << 20), false},
		"success":                {goodCall, false},
		"another code":           {`{"errcode":40013,"errmsg":"invalid appid"}`, false},
		"42007":                  {`{"errcode":42007}`, false},
		"41001":                  {`{"errcode":41001}`, false},
		"nested":                 {`{"data":{"errcode":40001},"list":[{"errcode":40001}]}`, false},
		"in a string":            {`{"errmsg":"\"errcode\":40001"}`, false},
		"in a string, raw":       {`{"content":"{'errcode':40001}"}`, false},
		"in an array":            {`[{"errcode":40001}]`, false},
		"a string":               {`{"errcode":"40001"}`, false},
		"a fraction":             {`{"errcode":40001.0}`, false},
		"an exponent":            {`{"errcode":4.0001e4}`, false},
		"beyond int32":           {`{"errcode":4294927297}`, false}, // 40001 + 2^32 - … must not wrap
		"other case":             {`{"ErrCode":40001}`, false},
		"cut off":                {`{"errcode":40001`, false},
		"more behind it":         {`{"errcode":40001}{}`, false},
		"text before it":         {`callback({"errcode":40001})`, false},
		"byte order mark":        {"\ufeff" + refusalAnswer, false},
		"gzip":                   {"\x1f\x8b\x08\x00{\"errcode\":40001}", false},
		"empty":                  {"", false},
		"null":                   {"null", false},
		"brace":                  {"{", false},
	} {
		t.Run(name, func(t *testing.T) {
			chunked := &http.Response{StatusCode: http.StatusOK, ContentLength: -1, Body: io.NopCloser(iotest.DataErrReader(strings.NewReader(tc.body)))}
			if code := refusal(chunked, errcode.API); (code != 0) != tc.want {
				t.Errorf("of unknown length: %d, want refused %v", code, tc.want)
			}
			if got := readBody(t, chunked); got != tc.body {
				t.Errorf("of unknown length: handed on as %.80q", got)
			}
			for _, header := range []http.Header{
				{},
				{"Content-Type": {"application/json; encoding=utf-8"}},
				{"Content-Type": {"text/plain"}},
				{"Content-Type": {"image/jpeg"}},
				{"Content-Type": {"text/html; charset=gbk"}},
			} {
				for _, status := range []int{200, 400, 500, 302} {
					server := &wechat{answer: tc.body, status: status, header: header}
					tokens := newFakeTokens(t)
					resp, err := (&Transport{Base: server, Tokens: tokens}).RoundTrip(newRequest(t, "GET", callURL, nil))
					if err != nil {
						t.Fatal(err)
					}
					want := tc.body
					if tc.want {
						want = goodCall
					}
					if got := readBody(t, resp); got != want {
						t.Fatalf("%d %v: body %.80q, want %.80q", status, header, got, want)
					}
					if got := len(tokens.rejected()) > 0; got != tc.want {
						t.Errorf("%d %v: refused %v, want %v", status, header, got, tc.want)
					}
				}
			}
		})
	}
}

// TestRecogniserReads no further than it needs, and hands on what it read.
func TestRecogniserReads(t *testing.T) {
	for name, tc := range map[string]struct {
		body string
		most int64 // bytes read before the response is handed on
	}{
		"an image":           {"\xff\xd8\xff" + strings.Repeat("x", 1<<20), 1},
		"space and an array": {"   [" + strings.Repeat("x", 1<<20), 4},
		"a long object":      {`{"list":"` + strings.Repeat("x", 1<<20) + `"}`, maxRefusalBytes + 1},
		"a short object":     {goodCall, int64(len(goodCall))},
		"a short text":       {"success", 1},
	} {
		for _, chunk := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader} {
			counted := &counting{Reader: chunk(strings.NewReader(tc.body))}
			body := &closing{Reader: counted}
			resp := &http.Response{StatusCode: http.StatusOK, Body: body, ContentLength: -1}
			if code := refusal(resp, errcode.API); code != 0 {
				t.Errorf("%s: refused with %d", name, code)
			}
			if allowed := max(tc.most, 512); counted.n > allowed {
				t.Errorf("%s: %d bytes were read, want at most %d", name, counted.n, allowed)
			}
			if got := readBody(t, resp); got != tc.body {
				t.Errorf("%s: %d bytes were handed on, want %d", name, len(got), len(tc.body))
			}
			if body.closed.Load() == 0 {
				t.Errorf("%s: the body was not closed", name)
			}
		}
	}
	long := &counting{Reader: strings.NewReader(strings.Repeat("{", 5<<10))}
	resp := &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(long), ContentLength: 5 << 10}
	if refusal(resp, errcode.API); long.n > 0 {
		t.Errorf("%d bytes were read of an answer that says it is too long", long.n)
	}
	upgraded := &struct{ io.ReadWriteCloser }{}
	resp = &http.Response{StatusCode: http.StatusSwitchingProtocols, Body: upgraded, ContentLength: -1}
	if refusal(resp, errcode.API); resp.Body != upgraded {
		t.Error("the body of a 101 was touched")
	}
}

type counting struct {
	io.Reader
	n int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// TestBrokenBody: an answer that breaks off is handed on with its error.
func TestBrokenBody(t *testing.T) {
	failure := errors.New("reset")
	for _, text := range []string{"", `{"errcode":40001}`, `{"errcode":`} {
		resp := &http.Response{
			StatusCode: http.StatusOK, ContentLength: -1,
			Body: io.NopCloser(io.MultiReader(strings.NewReader(text), iotest.ErrReader(failure))),
		}
		if code := refusal(resp, errcode.API); code != 0 {
			t.Errorf("%q: refused with %d", text, code)
		}
		got, err := io.ReadAll(resp.Body)
		if string(got) != text || !errors.Is(err, failure) {
			t.Errorf("%q: read %q, %v", text, got, err)
		}
	}
}

// TestOriginalRefusal is what the caller gets whenever nothing better is to be
// had.
func TestOriginalRefusal(t *testing.T) {
	for name, tc := range map[string]struct {
		change   func(*fakeTokens, *http.Request) *http.Request
		rejected int
	}{
		"Reject fails": {func(f *fakeTokens, r *http.Request) *http.Request {
			f.rejectErr = custody.ErrRefused
			return r
		}, 1},
		"Reject gives the empty token": {func(f *fakeTokens, r *http.Request) *http.Request {
			f.next = custody.Token{}
			return r
		}, 1},
		"GetBody fails": {func(_ *fakeTokens, r *http.Request) *http.Request {
			r.GetBody = func() (io.ReadCloser, error) { return nil, io.ErrUnexpectedEOF }
			return r
		}, 1},
		"the context ends while it is renewed": {func(f *fakeTokens, r *http.Request) *http.Request {
			ctx, cancel := context.WithCancel(r.Context())
			f.onReject = func(context.Context) { cancel() }
			return r.WithContext(ctx)
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			server, tokens := &wechat{answer: refusalAnswer, status: http.StatusInternalServerError}, newFakeTokens(t)
			req := tc.change(tokens, newRequest(t, "POST", callURL, strings.NewReader("abc")))
			resp, err := (&Transport{Base: server, Tokens: tokens}).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			if got := readBody(t, resp); got != refusalAnswer || resp.StatusCode != http.StatusInternalServerError || resp.Request != req {
				t.Errorf("%d %q", resp.StatusCode, got)
			}
			if len(server.tokens) != 1 || len(tokens.rejected()) != tc.rejected {
				t.Errorf("sent %d times, rejected %d times", len(server.tokens), len(tokens.rejected()))
			}
		})
	}
}

// TestRepeatedWithTheSameToken: a call that the issuer's direct answer contradicts is
// repeated, but not for ever.
func TestRepeatedWithTheSameToken(t *testing.T) {
	for _, c := range []struct{ refusals, sent int }{{1, 2}, {2, 3}, {100, 3}} {
		var sent atomic.Int32
		tokens := newFakeTokens(t)
		tokens.next = tokens.current
		transport := &Transport{Tokens: tokens, Base: roundTripFunc(func(req *http.Request) (*http.Response, error) {
			if int(sent.Add(1)) > c.refusals {
				return response(req, 200, `{"errcode":0}`), nil
			}
			return response(req, 200, refusalAnswer), nil
		})}
		resp, err := transport.RoundTrip(newRequest(t, "POST", callURL, strings.NewReader("abc")))
		if err != nil {
			t.Fatal(err)
		}
		if got := readBody(t, resp); (got == refusalAnswer) != (c.refusals == 100) || int(sent.Load()) != c.sent {
			t.Errorf("%d refusals: %q after %d requests, want %d", c.refusals, got, sent.Load(), c.sent)
		}
	}
}

// TestReplayedTwice at most, whatever Tokens gives; then the refusal is the caller's.
func TestReplayedTwice(t *testing.T) {
	var sent atomic.Int32
	tokens := newFakeTokens(t)
	transport := &Transport{Tokens: tokens, Base: roundTripFunc(func(req *http.Request) (*http.Response, error) {
		sent.Add(1)
		return response(req, 200, refusalAnswer), nil
	})}
	resp, err := transport.RoundTrip(newRequest(t, "GET", callURL, nil))
	if err != nil {
		t.Fatal(err)
	}
	if got := readBody(t, resp); got != refusalAnswer || sent.Load() != 3 || len(tokens.rejected()) != 3 {
		t.Errorf("%q after %d requests and %d rejections", got, sent.Load(), len(tokens.rejected()))
	}
}

// TestReplayBreaks: the second request may have had its effect, so its error is
// the caller's and not the refusal of the first.
func TestReplayBreaks(t *testing.T) {
	var sent atomic.Int32
	transport := &Transport{Tokens: newFakeTokens(t), Base: roundTripFunc(func(req *http.Request) (*http.Response, error) {
		if sent.Add(1) == 2 {
			return nil, &url.Error{Op: "Get", URL: req.URL.String(), Err: io.ErrUnexpectedEOF}
		}
		return response(req, 200, refusalAnswer), nil
	})}
	resp, err := transport.RoundTrip(newRequest(t, "GET", callURL, nil))
	discard(resp)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v, want the error of the second request", err)
	}
	mustNotTell(t, err)
}

// TestStreamIsNotReplayed: the caller of a stream that has a length, and is not kept, gets
// the refusal at once, and the token is renewed for the next.
func TestStreamIsNotReplayed(t *testing.T) {
	stale, tokens := mint(t, oldToken), newFakeTokens(t)
	stream := func(body io.ReadCloser) *http.Request {
		req := newRequest(t, "POST", callURL, body)
		req.ContentLength = 3
		return req
	}
	synctest.Test(t, func(t *testing.T) {
		server := &wechat{answer: refusalAnswer}
		tokens.onReject = func(ctx context.Context) {
			select {
			case <-ctx.Done():
				t.Error("the renewal ended with the request that caused it")
			case <-time.After(5 * time.Second):
			}
		}
		transport := &Transport{Base: server, Tokens: tokens}
		ctx, cancel := context.WithCancel(t.Context())
		for range 10 { // one Reject does for all
			body := &closing{Reader: strings.NewReader("abc")}
			req := stream(body).WithContext(ctx)
			start := time.Now()
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			if got := readBody(t, resp); got != refusalAnswer || time.Since(start) > 0 {
				t.Errorf("%q after %s", got, time.Since(start))
			}
			if body.closed.Load() == 0 {
				t.Error("the body was not closed")
			}
		}
		cancel() // the renewal outlives the request
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if got := tokens.rejected(); len(got) != 1 || got[0] != oldToken {
			t.Errorf("rejected %q", got)
		}
		if token, _ := tokens.Token(t.Context()); token.Value() != newToken {
			t.Error("the token was not renewed")
		}
		// A Reject that never ends is given up.
		tokens.onReject = func(ctx context.Context) { <-ctx.Done() }
		tokens.current = stale
		resp, err := transport.RoundTrip(stream(&closing{Reader: strings.NewReader("abc")}))
		if err != nil {
			t.Fatal(err)
		}
		readBody(t, resp)
		time.Sleep(rejectTimeout)
		synctest.Wait()
		if got := tokens.rejected(); len(got) != 2 {
			t.Errorf("rejected %q", got)
		}
	})
}

// TestOwnTokenIsKept and never replayed.
func TestOwnTokenIsKept(t *testing.T) {
	for _, query := range []string{
		"access_token=mine", "a=1&access_token=mine&b=2", "access%5Ftoken=mine", "access_token=", "access_token", "a&acces%73_token=x",
	} {
		server, tokens := &wechat{answer: refusalAnswer}, newFakeTokens(t)
		tokens.tokenErr = errors.New("nobody asked")
		req := newRequest(t, "GET", callURL+"?"+query, nil)
		resp, err := (&Transport{Base: server, Tokens: tokens}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if got := readBody(t, resp); got != refusalAnswer || len(server.raw) != 1 || server.raw[0] != query || len(tokens.rejected()) > 0 {
			t.Errorf("%s: sent %q, answered %q", query, server.raw, got)
		}
	}
}

func TestForeignHost(t *testing.T) {
	api, err := New(Config{Base: "http://gateway:8080"})
	if err != nil {
		t.Fatal(err)
	}
	transport := &Transport{API: api, Tokens: newFakeTokens(t), Base: roundTripFunc(func(req *http.Request) (*http.Response, error) {
		t.Errorf("%s was sent", req.URL)
		return nil, io.EOF
	})}
	for _, target := range []string{
		"https://evil.example/cgi-bin/x", "http://api.weixin.qq.com/cgi-bin/x", "https://gateway:8080/x",
		"https://evil.example/?access_token=mine", "https://" + newToken[:7] + ".example/",
	} {
		body := &closing{Reader: strings.NewReader("abc")}
		resp, err := transport.RoundTrip(newRequest(t, "POST", target, body))
		discard(resp)
		if !errors.Is(err, ErrForeignHost) || body.closed.Load() == 0 {
			t.Errorf("%s: %v, body closed %d times", target, err, body.closed.Load())
		}
	}
	resp, err := transport.RoundTrip(&http.Request{Method: http.MethodGet})
	discard(resp)
	if err == nil {
		t.Error("a request without a URL was sent")
	}
}

// TestRedirects: to our own host with a token of its own, to others never.
func TestRedirects(t *testing.T) {
	foreign := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s went to a foreign host", r.URL)
	}))
	t.Cleanup(foreign.Close)
	var location string
	var second *http.Request
	api := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/second" {
			second = r
			_, _ = io.WriteString(w, goodCall)
			return
		}
		w.Header().Set("Location", location)
		w.WriteHeader(http.StatusFound)
	})
	client := api.Client(newFakeTokens(t), testAppID)

	for _, location = range []string{
		foreign.URL, foreign.URL + "/?access_token=" + url.QueryEscape(oldToken), foreign.URL + "/" + url.PathEscape(oldToken),
	} {
		resp, err := client.HTTPClient().Do(newRequest(t, "GET", api.Base()+"/first", nil))
		discard(resp)
		if reflected := strings.Contains(location, "/"+url.PathEscape(oldToken)); !errors.Is(err, ErrForeignHost) && !reflected {
			t.Errorf("%s: %v", location, err)
		}
		if err != nil {
			mustNotTell(t, err)
		}
		err = client.Get(t.Context(), "/first", nil, nil)
		var conn *ConnError
		if err == nil || errors.As(err, &conn) {
			t.Errorf("%s: Get returned %v", location, err)
		}
		mustNotTell(t, err)
	}

	location = "/second?b=2&access_token=" + url.QueryEscape(oldToken)
	resp, err := client.HTTPClient().Do(newRequest(t, "GET", api.Base()+"/first?a=1", nil))
	if err != nil {
		t.Fatal(err)
	}
	readBody(t, resp)
	if got, want := second.URL.RawQuery, "b=2&access_token="+url.QueryEscape(oldToken); got != want {
		t.Errorf("the second request asks %q, want %q", got, want)
	}
	if text := resp.Request.URL.String() + second.Referer(); strings.Contains(text, "91_old") {
		t.Errorf("the response shows the token: %s", text)
	}
}

func TestLocationHidesTheToken(t *testing.T) {
	escaped := url.QueryEscape(oldToken)
	for location, want := range map[string]string{
		"":                                      "",
		"/x?a=1#f":                              "/x?a=1#f",
		"/x?access_token=mine":                  "/x?access_token=mine",
		"/x?access_token=" + escaped:            "/x",
		"/x?a=1&access_token=" + escaped:        "/x?a=1",
		"/x?access_token=" + escaped + "&a=%zz": "/x?a=%zz",
		"/x?t=" + oldToken + "&a=1":             "", // its & and = cannot be told from the query's
		"/x?access_token=" + escaped + "#top":   "/x#top",
		"/" + url.PathEscape(oldToken):          "",
		"/x#" + escaped:                         "",
		"http://a b\x00/" + escaped:             "",
		"//" + escaped + "/":                    "",
	} {
		header := http.Header{}
		if location != "" {
			header.Set("Location", location)
		}
		hideToken(header, oldToken)
		if got := header.Get("Location"); got != want {
			t.Errorf("%q becomes %q, want %q", location, got, want)
		}
	}
}

func TestTransportWithoutABase(t *testing.T) {
	if got := (&Transport{}).base(); got != http.DefaultTransport {
		t.Errorf("base is %T, want net/http's own", got)
	}
}

func TestTransportWithoutAToken(t *testing.T) {
	tokens := newFakeTokens(t)
	transport := &Transport{Tokens: tokens, Base: roundTripFunc(func(req *http.Request) (*http.Response, error) {
		t.Errorf("%s was sent", req.URL)
		return nil, io.EOF
	})}
	for _, failure := range []error{
		&custody.Error{Class: custody.ClassBlocked, RetryAfter: time.Minute, Text: "the AppSecret is wrong"},
		custody.ErrClosed, context.Canceled,
	} {
		tokens.tokenErr = failure
		body := &closing{Reader: strings.NewReader("abc")}
		resp, err := transport.RoundTrip(newRequest(t, "POST", callURL, body))
		discard(resp)
		if !errors.Is(err, failure) || err.Error() != failure.Error() || body.closed.Load() == 0 {
			t.Errorf("%v, want %v; body closed %d times", err, failure, body.closed.Load())
		}
	}
	tokens.tokenErr, tokens.current = nil, custody.Token{}
	resp, err := transport.RoundTrip(newRequest(t, "GET", callURL, nil))
	discard(resp)
	if err == nil {
		t.Error("an empty token was sent")
	}
}

func TestTransportOverHTTP(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, fmt.Sprintf("%s %s %d %v", r.URL.Query().Get("access_token")[:6], body, r.ContentLength, r.TransferEncoding))
		if r.URL.Query().Get("access_token") != newToken {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, refusalAnswer)
			return
		}
		_, _ = io.WriteString(w, goodCall)
	}))
	t.Cleanup(server.Close)
	api := newAPI(t, Config{Base: server.URL})
	client := api.Client(newFakeTokens(t), testAppID).HTTPClient()
	resp, err := client.Post(server.URL+"/cgi-bin/x", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if body := readBody(t, resp); body != goodCall {
		t.Errorf("answer %q", body)
	}
	if diff := cmp.Diff([]string{"91_old {} 2 []", "91_new {} 2 []"}, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}
