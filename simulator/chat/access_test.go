package chat_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zhongkong-go/zhongkong/internal/test/chattest"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/chat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestSecrets: nothing secret is in the page until it is asked for, and never where
// the accounts are real.
func TestSecrets(t *testing.T) {
	for _, madeUp := range []bool{true, false} {
		account := simulator.MakeUpAccount(7)
		d := chattest.Over(t, simulator.Options{Accounts: []simulator.Account{account}, MadeUp: madeUp})
		token := d.Fetch(false)
		d.Call("/cgi-bin/ticket/getticket", "")
		d.Post("/cgi-bin/stable_token", `{"appid":"`+account.AppID+`","secret":"mistyped-real-secret"}`)
		secrets := []string{token, account.Secret, account.Token, account.AESKey}
		for query, shown := range map[string]bool{"": false, "?secrets=1": madeUp} {
			_, html := d.Get(query)
			for _, secret := range secrets {
				if strings.Contains(html, secret) != shown {
					t.Errorf("made up %t, %q: a secret is there: %t, want %t", madeUp, query, !shown, shown)
				}
			}
			for _, v := range chat.Variables(account, "http://") {
				there := shown || madeUp && v.Name == "WECHAT_APPID" || v.Name == "WECHAT_API_BASE"
				if strings.Contains(html, v.Name+"="+v.Value) != there {
					t.Errorf("made up %t, %q: a line for %s, want that %t", madeUp, query, v.Name, there)
				}
			}
			if strings.Contains(html, `data-copy="value-secret"`) != shown || !strings.Contains(html, `data-copy="lines"`) {
				t.Errorf("made up %t, %q: the buttons do not fit what is shown", madeUp, query)
			}
			if strings.Contains(html, "mistyped-real-secret") {
				t.Errorf("%q shows a secret that was mistyped", query)
			}
			if !strings.Contains(html, token[len(token)-8:]) {
				t.Errorf("%q: the token's end is not there to tell it by", query)
			}
		}
	}
}

// TestGuarded: no other machine, no other name, no other page, and headers that let
// the page load nothing from elsewhere.
func TestGuarded(t *testing.T) {
	d := chattest.Start(t, simulator.Options{})
	for _, row := range []struct {
		name, method, caller, host, origin string
		status                             int
	}{
		{"this machine", "GET", "127.0.0.1:1", "127.0.0.1:3200", "", 200},
		{"another machine", "GET", "192.0.2.1:1", "127.0.0.1:3200", "", 403},
		{"a name made to point here", "GET", "127.0.0.1:1", "evil.example", "", 403},
		{"the page itself", "POST", "127.0.0.1:1", "127.0.0.1:3200", "http://127.0.0.1:3200", 303},
		{"another page", "POST", "127.0.0.1:1", "127.0.0.1:3200", "http://evil.example", 403},
	} {
		for _, path := range []string{"", "clock"} {
			if (path == "") != (row.method == "GET") {
				continue
			}
			r := httptest.NewRequest(row.method, chat.Path+path, strings.NewReader("advance=1h"))
			r.RemoteAddr, r.Host = row.caller, row.host
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if row.origin != "" {
				r.Header.Set("Origin", row.origin)
			}
			w := httptest.NewRecorder()
			before := d.WeChat.Clock.Now()
			d.Page.Handler().ServeHTTP(w, r)
			moved := d.WeChat.Clock.Now().Sub(before) > time.Minute
			if w.Code != row.status || moved != (row.status == 303) {
				t.Errorf("%s: %d, the clock moved: %t", row.name, w.Code, moved)
			}
			if row.status == 200 {
				policy := w.Header().Get("Content-Security-Policy")
				if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") ||
					strings.Contains(w.Body.String(), " style=") {
					t.Errorf("the policy is %q", policy)
				}
			}
		}
	}
	if status, _ := d.Get("../accounts"); status == http.StatusOK {
		t.Error("below the page is the admin API")
	}
}
