//go:build cgo && unix

package examples_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// fetch sends a request and returns the page and its address.
func fetch(t *testing.T, client *http.Client, method, address string, form url.Values) (page string, at *url.URL) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body), res.Request.URL
}

// TestLoginExample greets a visitor who consents on the pages of the simulated WeChat, and
// runs the lines to try.
func TestLoginExample(t *testing.T) {
	t.Parallel()
	a := login.start(t)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	page, at := fetch(t, browser, http.MethodGet, a.url+"/me?from=test", nil)
	follower := regexp.MustCompile(`<option value="(o[^"]+)"`).FindStringSubmatch(page)
	if follower == nil || at.Path != "/connect/oauth2/authorize" {
		t.Fatalf("the first page is %s: %s", at, page)
	}
	form := url.Values{"follower": {follower[1]}, "does": {"allow"}}
	page, at = fetch(t, browser, http.MethodPost, at.String(), form) // silent, but for the question who it is
	if at.Path != "/connect/oauth2/authorize" || at.Query().Get("scope") != "snsapi_userinfo" {
		t.Fatalf("the second page is %s: %s", at, page)
	}
	page, at = fetch(t, browser, http.MethodPost, at.String(), form)
	if page != "你好，小明！\n" || at.String() != a.url+"/me?from=test" {
		t.Errorf("the page is %s: %s", at, page)
	}
	if page, at = fetch(t, browser, http.MethodGet, a.url+"/", nil); !strings.Contains(page, "I know you again") || at.String() != a.url+"/" {
		t.Errorf("the next page is %s: %s", at, page)
	}

	var script strings.Builder
	for line := range strings.SplitSeq(a.printed(), "\n") {
		if line, ok := strings.CutPrefix(line, "  "); ok {
			script.WriteString(line + "\n")
		}
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-ec", script.String()).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte(`{"logged_in":"20`)) || !bytes.HasSuffix(out, []byte("ok")) {
		t.Errorf("%s\n%v %s", script.String(), err, out)
	}
	a.end(syscall.SIGTERM)
	if out := a.printed() + a.err.String(); strings.Contains(out, "state=") || strings.Contains(out, follower[1]) {
		t.Errorf("the log shows a login: %s", out)
	}
}

// TestLoginExampleConfigured serves an account of the environment.
func TestLoginExampleConfigured(t *testing.T) {
	t.Parallel()
	wx := newSimulator(t)
	a := login.start(t, append(configured(wx), "WECHAT_OPEN_BASE="+wx.URL, "WECHAT_ORIGIN=http://shop.example")...)
	b := newPhone(t, a.url, wx)
	if page := b.open("/me"); page != "你好，小明！\n" {
		t.Errorf("the page is %s", page)
	}
	a.end(syscall.SIGTERM)
	login.mustNotStart(t, []string{"PORT=0", "WECHAT_APPID=" + appid, "WECHAT_APPSECRET=" + secret, "WECHAT_ORIGIN=shop.example"}, "WECHAT_ORIGIN")
}
