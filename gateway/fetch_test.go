package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store"
)

// TestFetch: the two endpoints, shaped like WeChat's.
func TestFetch(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	key := w.client(gateway.Client{Name: "shop"})
	classic := w.fetch(key)
	stable := w.post("/cgi-bin/stable_token", fmt.Sprintf(`{"grant_type":"client_credential","appid":%q,"secret":%q,"force_refresh":true}`, appID, key))
	for name, got := range map[string]reply{"classic": classic, "stable": stable} {
		if got.status != http.StatusOK || !strings.HasPrefix(got.Token, "zk_") || got.Expires != 7200 || strings.Contains(got.body, "errcode") ||
			got.header.Get("Content-Type") != "application/json; encoding=utf-8" {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
		if again := w.get("/cgi-bin/get_api_domain_ip?access_token=" + got.Token); again.Errcode != 0 ||
			!strings.Contains(again.body, "ip_list") {
			t.Errorf("%s: a call: %s", name, again.body)
		}
		if w.wx.Accepts(got.Token) {
			t.Errorf("%s: WeChat knows the gateway token", name)
		}
	}
	if w.issued() != 1 {
		t.Errorf("%d tokens were issued, want 1", w.issued())
	}
	if classic.Token == stable.Token {
		t.Error("two fetches gave the same token")
	}
}

// TestFetchRefused: WeChat's shape, and nothing about accounts for who has no key.
func TestFetchRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, nil)
	key := w.client(gateway.Client{Name: "shop"})
	ended := w.client(gateway.Client{Name: "ended", Ends: time.Now().Add(3 * time.Second)})
	slow := w.client(gateway.Client{Name: "slow", Rate: 0.001})
	wrong := key[:len(key)-2] + "AA"
	if wrong == key {
		wrong = key[:len(key)-2] + "BA"
	}
	patience.Until(t, "the end of a key", func() bool { return w.fetch(ended).Errcode == 40125 })
	query := func(grant, app, secret string) string {
		return "/cgi-bin/token?grant_type=" + grant + "&appid=" + app + "&secret=" + secret
	}
	const cc = "client_credential"
	w.get(query(cc, appID, slow))
	for _, row := range []struct {
		method, target, body string
		errcode              int
		errmsg               string
	}{
		{"GET", query(cc, appID, wrong), "", 40125, "invalid appsecret"},
		{"GET", query(cc, "wx0", wrong), "", 40125, "invalid appsecret"},
		{"GET", query(cc, appID, appSecret), "", 40125, "invalid appsecret"},
		{"GET", query(cc, appID, ended), "", 40125, "invalid appsecret"},
		{"GET", query(cc, appID, ""), "", 41004, "appsecret missing"},
		{"GET", query(cc, "", key), "", 41002, "appid missing"},
		{"GET", query(cc, otherApp, key), "", 40013, "invalid appid"},
		{"GET", query(cc, "wx0", key), "", 40013, "invalid appid"},
		{"GET", query("x", appID, key), "", 40002, "invalid grant_type"},
		{"GET", query(cc, appID, slow), "", 45011, "api minute-quota reach limit"},
		{"GET", "/cgi-bin/token?%zz", "", 41002, "appid missing"},
		{"POST", query(cc, appID, key), "", 43001, "require GET method"},
		{"GET", "/cgi-bin/stable_token", "", 43002, "require POST method"},
		{"POST", "/cgi-bin/stable_token", "", 44002, "empty post data"},
		{"POST", "/cgi-bin/stable_token", "{", 47001, "data format error"},
		{"POST", "/cgi-bin/stable_token", `{"appid":1}`, 47001, "data format error"},
		{"POST", "/cgi-bin/stable_token", `{"appid":"` + appID + `","secret":"` + wrong + `"}`, 40125, "invalid appsecret"},
	} {
		got := w.send(row.method, row.target, strings.NewReader(row.body))
		if got.status != http.StatusOK || got.Errcode != row.errcode || !strings.HasPrefix(got.Errmsg, row.errmsg) ||
			!strings.Contains(got.Errmsg, " (zhongkong) rid: ") {
			t.Errorf("%s %s %.40s: %d %s, want %d", row.method, row.target, row.body, got.status, got.body, row.errcode)
		}
	}
	if got := w.post("/cgi-bin/stable_token", strings.Repeat(" ", 70<<10)); got.status != http.StatusRequestEntityTooLarge || got.Errcode != 45001 {
		t.Errorf("a body of 70 KiB: %d %s", got.status, got.body)
	}
	w.mustNotShow(key, wrong, ended, slow, appSecret)
}

// mustNotShow holds the log to saying none of these.
func (w *world) mustNotShow(secrets ...string) {
	w.t.Helper()
	text := w.log.String()
	for i, secret := range secrets {
		if secret != "" && strings.Contains(text, secret) {
			w.t.Errorf("the log shows secret %d", i)
		}
	}
	for _, a := range w.wx.Accounts() {
		if token := w.wx.Latest(a.AppID, simulator.Classic); token != "" && strings.Contains(text, token) {
			w.t.Errorf("the log shows a real token of %s", a.AppID)
		}
	}
}

// TestRealToken: the real token for its own life, in the journal before it is given,
// and not given when the journal cannot be written.
func TestRealToken(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	key := w.client(gateway.Client{Name: "crm", Real: true})
	got := w.fetch(key)
	if !w.wx.Accepts(got.Token) || got.Expires > 7200 || got.Expires < 7100 {
		t.Fatalf("%s", got.body)
	}
	uses, err := w.store.(store.Ledger).Uses(t.Context(), 1)
	if err != nil || len(uses) != 1 || uses[0].Act != "hand out token" || uses[0].Actor != "client crm" || uses[0].Subject != appID {
		t.Errorf("%v %+v", err, uses)
	}
	// A real token is no gateway token: the gateway is no way around the whitelist.
	if call := w.get("/cgi-bin/get_api_domain_ip?access_token=" + got.Token); call.Errcode != 40001 {
		t.Error(call.body)
	}
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	if got := w.fetch(key); got.Errcode != -1 || got.Token != "" {
		t.Errorf("without a journal: %s", got.body)
	}
}

// TestAskAgain: a program that asks again soon causes a probe, at most one a second, and
// a renewal only of a token that WeChat refuses, whatever a probe has said before.
func TestAskAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, nil)
	key := w.client(gateway.Client{Name: "crm", Real: true})
	probes := func(w *world) int {
		n := 0
		for _, e := range w.wx.Events() {
			if e.AppID == appID && e.Path == simulator.DomainIPPath {
				n++
			}
		}
		return n
	}
	first, began := w.token(key), time.Now()
	for range 5 {
		if again := w.token(key); again != first {
			t.Fatal("a token that WeChat accepts was renewed")
		}
	}
	if n := probes(w); n < 1 || n > 1+int(time.Since(began)/time.Second) {
		t.Errorf("%d probes in %s, want one a second at the most", n, time.Since(began))
	}

	v := newWorld(t, simulator.Options{}, nil)
	key = v.client(gateway.Client{Name: "crm", Real: true})
	first = v.token(key)
	v.wx.Kill(appID)
	if again := v.token(key); again == first || !v.wx.Accepts(again) {
		t.Error("a token that WeChat refuses was not renewed")
	}
	if v.issued() != 2 {
		t.Errorf("%d tokens were issued, want 2", v.issued())
	}

	// Two processes of one program start, and right after that the token is killed.
	u := newWorld(t, simulator.Options{}, nil)
	key = u.client(gateway.Client{Name: "shop"})
	u.token(key)
	token := u.token(key)
	patience.Until(t, "the probe", func() bool { return probes(u) == 1 })
	u.wx.Kill(appID)
	if got := u.get("/cgi-bin/menu/get?access_token=" + token); got.Errcode == 40001 || u.issued() != 2 {
		t.Errorf("a token that was killed after it was probed: %s, %d tokens were issued, want 2", got.body, u.issued())
	}
}

// TestTicket: from a Keeper, for every program, however often it asks.
func TestTicket(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	key := w.client(gateway.Client{Name: "shop"})
	limited := w.client(gateway.Client{Name: "limited", Paths: []string{"/cgi-bin/menu/get"}})
	token := w.token(key)
	fetches := func() (n int) {
		for _, e := range w.wx.Events() {
			if e.Path == simulator.TicketPath {
				n++
			}
		}
		return n
	}
	seen := map[string]bool{}
	for range 10 {
		for _, kind := range []string{"jsapi", "wx_card"} {
			var got struct {
				Errcode int
				Errmsg  string
				Ticket  string
				Expires int `json:"expires_in"`
			}
			decode(t, w.get(simulator.TicketPath+"?type="+kind+"&access_token="+token).body, &got)
			if got.Errcode != 0 || got.Errmsg != "ok" || got.Ticket == "" || got.Expires < 7100 || got.Expires > 7200 {
				t.Fatalf("%+v", got)
			}
			seen[got.Ticket] = true
		}
	}
	if fetches() != 2 || len(seen) != 2 {
		t.Errorf("%d fetches, %d tickets, want 2 of each", fetches(), len(seen))
	}
	for target, errcode := range map[string]int{
		simulator.TicketPath + "?type=x&access_token=" + token:                       40035,
		simulator.TicketPath + "?type=jsapi":                                         41001,
		simulator.TicketPath + "?type=jsapi&access_token=" + w.token(limited):        48001,
		simulator.TicketPath + "?type=jsapi&access_token=" + token[:30] + token[31:]: 40001,
	} {
		if got := w.get(target); got.Errcode != errcode {
			t.Errorf("%s: %s, want %d", target, got.body, errcode)
		}
	}
}
