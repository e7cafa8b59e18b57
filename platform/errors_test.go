package platform

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func refuse(path string, code int, errmsg string) *Error {
	return newError(request{path: path, appID: testAppID, secrets: []string{"s3cret"}}, code, errmsg)
}

func TestErrorReadsErrmsg(t *testing.T) {
	for _, tc := range []struct {
		code               int
		errmsg             string
		message, rid, addr string
	}{
		{40013, "invalid appid rid: 6aac005a-01bfdbee-79769285", "invalid appid", "6aac005a-01bfdbee-79769285", ""},
		{40029, "invalid code, rid: 6aac005a-01bfdbee-79769285", "invalid code", "6aac005a-01bfdbee-79769285", ""},
		{40013, "invalid appid hint: [i50PvA0089sha6]", "invalid appid hint: [i50PvA0089sha6]", "", ""},
		{40013, "invalid appid", "invalid appid", "", ""},
		{40013, "invalid appid rid: 6AAC005A-01bfdbee-79769285", "invalid appid rid: 6AAC005A-01bfdbee-79769285", "", ""},
		{40013, "rid: 6aac005a-01bfdbee", "rid: 6aac005a-01bfdbee", "", ""},
		{
			40164, "invalid ip 114.221.21.30 ipv6 ::ffff:114.221.21.30, not in whitelist rid: 658cff8e-7783352d-44cb33e5",
			"invalid ip 114.221.21.30 ipv6 ::ffff:114.221.21.30, not in whitelist", "658cff8e-7783352d-44cb33e5", "114.221.21.30",
		},
		{40164, "invalid ip 119.253.43.19, not in whitelist", "invalid ip 119.253.43.19, not in whitelist", "", "119.253.43.19"},
		{40164, "invalid ip 240e:1::2 ipv6 240e:1::2, not in whitelist hint: [xxxx]", "invalid ip 240e:1::2 ipv6 240e:1::2, not in whitelist hint: [xxxx]", "", "240e:1::2"},
		{40164, "invalid ip unknown ipv6 240e:1::2, not in whitelist", "invalid ip unknown ipv6 240e:1::2, not in whitelist", "", "240e:1::2"},
		{40164, "invalid ip not in whitelist", "invalid ip not in whitelist", "", ""},
		{40164, "invalid ip <script>, not in whitelist", "invalid ip <script>, not in whitelist", "", ""},
		{61004, "access clientip is not registered requestIP: 1.2.3.4 rid: 6aac005a-01bfdbee-79769285", "access clientip is not registered requestIP: 1.2.3.4", "6aac005a-01bfdbee-79769285", "1.2.3.4"},
		{40001, "first\nsecond rid: 6aac005a-01bfdbee-79769285", "first", "6aac005a-01bfdbee-79769285", ""},
		{40001, "first\x1b[31mred", "first", "", ""},
		{40001, "first\u202esecond", "first", "", ""},
		{40001, "全角　空格", "全角　空格", "", ""},
		{40001, "bad \xff byte", "bad  byte", "", ""},
		{40001, "your s3cret is wrong", "your [secret] is wrong", "", ""},
		{40001, "token 91_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_ is wrong", "token [secret] is wrong", "", ""},
		{40001, strings.Repeat("中", 100), strings.Repeat("中", 85), "", ""},
		{40001, strings.Repeat("x ", 200), strings.Repeat("x ", 128), "", ""},
		{40001, "", "", "", ""},
	} {
		want := &Error{Code: tc.code, Message: tc.message, RID: tc.rid, Path: "/cgi-bin/x", AppID: testAppID, IP: tc.addr}
		if diff := cmp.Diff(want, refuse("/cgi-bin/x", tc.code, tc.errmsg)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tc.errmsg, diff)
		}
	}
}

func TestErrorSaysWhatToDo(t *testing.T) {
	blocked := refuse(stablePath, 40164, "invalid ip 114.221.21.30 ipv6 ::ffff:114.221.21.30, not in whitelist rid: 658cff8e-7783352d-44cb33e5")
	for _, part := range []string{
		"/cgi-bin/stable_token", testAppID, "40164", "114.221.21.30", "658cff8e-7783352d-44cb33e5",
		"The address is 114.221.21.30. Add the address", "微信公众平台 → 设置与开发 → 基本配置", "微信开发者平台", "IP白名单",
	} {
		if !strings.Contains(blocked.Error(), part) {
			t.Errorf("%s\ndoes not say %q", blocked, part)
		}
	}
	for _, part := range []string{"本机出口 IP 为 114.221.21.30。请把该 IP 加入白名单", "设置与开发 → 基本配置", "IP白名单"} {
		if !strings.Contains(blocked.RemedyZH(), part) {
			t.Errorf("%s\ndoes not say %q", blocked.RemedyZH(), part)
		}
	}
	if got, other := refuse(classicPath, 40001, "").Remedy(), refuse("/cgi-bin/x", 40001, "").Remedy(); got == other || !strings.Contains(got, "AppSecret") {
		t.Errorf("40001 of a token endpoint: %s", got)
	}
	if got := refuse("/cgi-bin/x", 12345, "").Error(); !strings.Contains(got, "errcode 12345. WeChat answered a code that is not known here.") {
		t.Error(got)
	}
}

// TestWithoutURL: the text of a *url.Error holds the query, and with it the
// secret.
func TestWithoutURL(t *testing.T) {
	target := "https://api.weixin.qq.com/cgi-bin/token?appid=wx&secret=" + testSecret
	around := func(err error) error { return &url.Error{Op: "Get", URL: target, Err: err} }
	var op *net.OpError
	var dns *net.DNSError
	var authority x509.UnknownAuthorityError
	for name, tc := range map[string]struct {
		err error
		is  error
		as  any
	}{
		"deadline":            {around(context.DeadlineExceeded), context.DeadlineExceeded, nil},
		"canceled":            {around(context.Canceled), context.Canceled, nil},
		"refused":             {around(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}), syscall.ECONNREFUSED, &op},
		"no such host":        {around(&net.DNSError{Err: "no such host", Name: "api", IsNotFound: true}), nil, &dns},
		"TLS":                 {around(x509.UnknownAuthorityError{}), nil, &authority},
		"twice":               {around(around(io.ErrUnexpectedEOF)), io.ErrUnexpectedEOF, nil},
		"wrapped":             {fmt.Errorf("calling %s: %w", target, around(io.EOF)), io.EOF, nil},
		"joined":              {errors.Join(errors.New(target), around(io.EOF)), io.EOF, nil},
		"text of the secret":  {fmt.Errorf("bad %s: %w", testSecret, io.EOF), nil, nil},
		"hidden inside":       {&quietError{fmt.Errorf("%s: %w", target, context.DeadlineExceeded)}, context.DeadlineExceeded, nil},
		"hidden among":        {&quietManyError{[]error{io.EOF, errors.New(target)}}, nil, nil},
		"canceled and hidden": {&quietError{fmt.Errorf("%s: %w", target, context.Canceled)}, context.Canceled, nil},
	} {
		got := scrub(tc.err, []string{testSecret})
		mustNotTell(t, got)
		if tc.is != nil && !errors.Is(got, tc.is) {
			t.Errorf("%s: %v is not %v", name, got, tc.is)
		}
		if tc.as != nil && !errors.As(got, tc.as) {
			t.Errorf("%s: %v holds no %T", name, got, tc.as)
		}
	}
	clean := &net.OpError{Op: "read", Err: io.EOF}
	if got := scrub(clean, []string{testSecret}); got != error(clean) { //nolint:errorlint // the very same value
		t.Errorf("%v was changed to %v", clean, got)
	}
}

// quietError holds an error that its text does not show.
type quietError struct{ err error }

func (q *quietError) Error() string { return "quiet" }
func (q *quietError) Unwrap() error { return q.err }

type quietManyError struct{ errs []error }

func (q *quietManyError) Error() string   { return "quiet" }
func (q *quietManyError) Unwrap() []error { return q.errs }

func TestMediaType(t *testing.T) {
	for header, want := range map[string]string{
		"":                                 "",
		"text/html; charset=gbk":           "text/html",
		"application/json; encoding=utf-8": "application/json",
		"a b":                              "malformed Content-Type",
		"x/" + testSecret:                  "x/[secret]",
		"x/" + strings.Repeat("a.", 100):   "x/" + strings.Repeat("a.", 31),
	} {
		if got := mediaType(header); got != want {
			t.Errorf("mediaType(%q) = %q, want %q", header, got, want)
		}
	}
}

// TestNetworkRemedies: an error of a connection says what a person can do about it.
func TestNetworkRemedies(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	t.Cleanup(proxy.Close)
	through, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	inspects := httptest.NewUnstartedServer(http.NotFoundHandler())
	inspects.Config.ErrorLog = log.New(io.Discard, "", 0)
	inspects.StartTLS()
	t.Cleanup(inspects.Close)
	for _, row := range []struct {
		base  string
		proxy *url.URL
		says  string
	}{
		{DefaultBase, through, "cannot have got the request. The proxy of HTTPS_PROXY does not let this program through: have it allow CONNECT to api.weixin.qq.com:443"},
		{inspects.URL, nil, "cannot have got the request. This machine does not know the authority"},
	} {
		transport := newTransport().(*keepAlive).repeated
		transport.Proxy = http.ProxyURL(row.proxy)
		client := newAPI(t, Config{Base: row.base, Transport: transport}).Client(newFakeTokens(t), testAppID)
		var conn *ConnError
		if err := client.Get(t.Context(), "/cgi-bin/x", nil, nil); !errors.As(err, &conn) || conn.Sent || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%v, want %s", err, row.says)
		}
	}
}
