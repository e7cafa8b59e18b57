package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/gateway/fanout"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// TestBusyAddress: however many attempts fail at an address, each caller there is told
// what is wrong with its own: SDKs fetch again after 40001, and not after 45011.
func TestBusyAddress(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	key := w.client(gateway.Client{Name: "shop"})
	for range 40 {
		if got := w.fetch("wrong"); got.Errcode != 40125 {
			t.Fatal(got.body)
		}
	}
	if got := w.get(domainIP + "?access_token=zk_dead"); got.Errcode != 40001 {
		t.Error(got.body)
	}
	if got := w.get(domainIP + "?access_token=" + w.token(key)); got.Errcode != 0 {
		t.Error(got.body)
	}
	if n := strings.Count(w.log.String(), "refused a call"); n > 21 {
		t.Errorf("the log has %d lines", n)
	}
}

// TestRepeatedLines: a client that fetches its token all the time does not fill the
// journal, and is in it with the number of times.
func TestRepeatedLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := joinInBubble(t, simtest.InMemory(t, simulator.Options{Accounts: twoAccounts()}), memory.New(), nil)
		crm, erp := w.client(gateway.Client{Name: "crm", Real: true}), w.client(gateway.Client{Name: "erp", Real: true})
		w.token(erp)
		for i := range 501 {
			if got := w.get("/zhongkong/v1/accounts/"+appID+"/token", "Authorization", "Bearer "+crm); got.Token == "" {
				t.Fatal(got.body)
			}
			if i == 499 {
				time.Sleep(2 * time.Minute)
			}
		}
		uses, err := w.store.(store.Ledger).Uses(t.Context(), 1000)
		lines, told := 0, 0
		for _, use := range uses {
			if use.Act == "hand out token" && use.Actor == "client crm" {
				lines++
				var n int
				if _, err := fmt.Sscanf(use.Detail, "%d more", &n); err == nil {
					told += n - 1
				}
				told++
			}
		}
		if err != nil || lines > 12 || told != 501 {
			t.Errorf("%d lines tell of %d times (%v)", lines, told, err)
		}
	})
}

// TestStreamsOfOne: one client cannot take the streams of all.
func TestStreamsOfOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := joinInBubble(t, simtest.InMemory(t, simulator.Options{Accounts: twoAccounts()}), memory.New(), nil)
		greedy, other := w.client(gateway.Client{Name: "greedy"}), w.client(gateway.Client{Name: "other"})
		w.token(other)
		for range 3000 {
			r := w.request(http.MethodGet, "/zhongkong/v1/accounts/"+appID+"/events", nil, "Authorization", "Bearer "+greedy)
			go w.ServeHTTP(&quiet{header: http.Header{}}, r)
		}
		synctest.Wait()
		if got := w.get("/zhongkong/v1/accounts/"+appID+"/events", "Authorization", "Bearer "+greedy); got.status != http.StatusTooManyRequests {
			t.Errorf("the greedy one: %d %s", got.status, got.body)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		answer := &quiet{header: http.Header{}}
		r := w.request(http.MethodGet, "/zhongkong/v1/accounts/"+appID+"/events", nil, "Authorization", "Bearer "+other)
		go w.ServeHTTP(answer, r.WithContext(ctx))
		synctest.Wait()
		if kind := answer.header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") {
			t.Errorf("the other one got %s", kind)
		}
		w.Drain()
	})
}

// quiet is a writer that nobody reads.
type quiet struct{ header http.Header }

func (q *quiet) Header() http.Header            { return q.header }
func (*quiet) Write(p []byte) (int, error)      { return len(p), nil }
func (*quiet) WriteHeader(int)                  {}
func (*quiet) Flush()                           {}
func (*quiet) FlushError() error                { return nil }
func (*quiet) SetWriteDeadline(time.Time) error { return nil }

// TestOneTokenTwoAccounts: in plain mode a signature is good for whoever has the Token.
func TestOneTokenTwoAccounts(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	account := func(id, token string, mode fanout.Mode) gateway.Account {
		a := gateway.Account{AppID: id, Secret: custody.NewSecret(appSecret), Callback: &gateway.Callback{
			Token: custody.NewSecret(token), Subscribers: []gateway.Subscriber{newSystem("bot", gateway.Plain).Subscriber},
		}}
		if mode != gateway.Plain {
			a.Callback.AESKey = custody.NewSecret(pushAESKey)
		}
		return a
	}
	err := w.Replace([]gateway.Account{account(appID, "sameToken", gateway.Plain), account(otherApp, "sameToken", gateway.Plain)})
	if err == nil || !strings.Contains(err.Error(), appID) || !strings.Contains(err.Error(), otherApp) || strings.Contains(err.Error(), "sameToken") {
		t.Errorf("two plain accounts with one Token: %v", err)
	}
	for _, other := range []gateway.Account{account(otherApp, "anotherToken", gateway.Plain), account(otherApp, "sameToken", gateway.Safe)} {
		if err := w.Replace([]gateway.Account{account(appID, "sameToken", gateway.Plain), other}); err != nil {
			t.Error(err)
		}
	}
}

// TestReflected: whatever WeChat makes of the token that a call was made with, it does not
// reach the caller, and what else is said does.
func TestReflected(t *testing.T) {
	const spent = "91_real-token"
	w, _, token := upstream(t, func(out http.ResponseWriter, r *http.Request) {
		spoken := r.URL.Query().Get("access_token")
		header := out.Header()
		header.Set("Link", "</x?access_token="+spoken+">; rel=preload")
		out.WriteHeader(http.StatusEarlyHints)
		for _, name := range []string{"Content-Location", "Refresh", "Set-Cookie", "X-Debug"} {
			header.Set(name, "kept "+spoken)
		}
		size := 0
		_, _ = fmt.Sscanf(r.URL.Query().Get("size"), "%d", &size)
		header.Set("Content-Type", "text/plain")
		_, _ = io.WriteString(out, strings.Repeat("x", size)+spoken[:5])
		_ = http.NewResponseController(out).Flush()
		_, _ = io.WriteString(out, spoken[5:]+" "+appSecret+" the end")
		header.Set(http.TrailerPrefix+"X-Told", "kept "+spoken)
	})
	for _, size := range []int{0, 5000, 32<<10 - 8, 32 << 10, 200_000} {
		got := w.get(fmt.Sprintf("%s?size=%d&access_token=%s", domainIP, size, token))
		if all := got.body + fmt.Sprint(got.header, got.trailer); strings.Contains(all, spent) || strings.Contains(all, appSecret) {
			t.Errorf("%d: %s", size, all[max(0, len(all)-600):])
		}
		if len(got.body) != size+len(spent)+1+len(appSecret)+len(" the end") || !strings.HasSuffix(got.body, " the end") || !strings.HasPrefix(got.header.Get("X-Debug"), "kept ") ||
			!strings.HasPrefix(got.trailer.Get("X-Told"), "kept ") {
			t.Errorf("%d: %d bytes, %v, %v", size, len(got.body), got.header, got.trailer)
		}
	}
}

// TestTold: rid/get tells of the past in many spellings, on a path that has several too.
func TestTold(t *testing.T) {
	old := "91_" + strings.Repeat("Abc-0_", 20) // of a token that this gateway does not remember
	var told string
	w, _, token := upstream(t, func(out http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(out, told) })
	for _, path := range []string{"/cgi-bin/openapi/rid/get", "/CGI-BIN/openapi/RID/get"} {
		for _, secret := range []string{old, "user-refresh-0123456789"} {
			for _, form := range []string{
				`access_token=%s&a=b`, `access_token\u003d%s`, `access_token%%3D%s`, `access_token%%253D%s`, `{\"access_token\":\"%s\"}`, `{"name":"access_token","value":"%s"}`,
				`<access_token>%s</access_token>`, `access_token&#61;%s`, `refresh_token=%s`, `\\\"secret\\\": \\\"%s\\\"`, `Access_Token=%s`,
			} {
				told = `{"errcode":0,"request":"` + fmt.Sprintf(form, secret) + `","client_ip":"192.0.2.1"}`
				got := w.post(path+"?access_token="+token, `{"rid":"617682e0-00000000-00000000"}`)
				if strings.Contains(got.body, secret) || !strings.Contains(got.body, `"client_ip":"192.0.2.1"`) {
					t.Errorf("%s: %s", path, got.body)
				}
			}
		}
	}
}

// TestKeyAstray: a client key goes to nobody, wherever it stands; unknown methods do not
// go to WeChat either.
func TestKeyAstray(t *testing.T) {
	calls := 0
	w, key, token := upstream(t, func(out http.ResponseWriter, _ *http.Request) {
		calls++
		_, _ = io.WriteString(out, `{"errcode":0}`)
	})
	for _, got := range []reply{
		w.get("/cgi-bin/" + key + "?access_token=" + token),
		w.get(domainIP+"?access_token="+token, "User-Agent", "x "+key),
		w.get(domainIP+"?access_token="+token, "Wechatmp-Key", key),
		w.get(domainIP + "?access_token=" + token + "&key=" + key),
		w.send(http.MethodDelete, domainIP+"?access_token="+token, nil),
		w.send("PROPFIND", domainIP+"?access_token="+token, nil),
		w.send(http.MethodOptions, domainIP+"?access_token="+token, nil),
		w.post("/cgi-bin/component/api_component_token", `{"component_appid":"`+appID+`","component_appsecret":"`+key+`"}`),
	} {
		if got.Errcode != 48001 && got.Errcode != 40066 {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	if calls != 0 {
		t.Errorf("WeChat had %d calls", calls)
	}
}
