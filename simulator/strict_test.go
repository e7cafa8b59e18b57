package simulator_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// TestUploadForms: a part counts as a file when it has a plain filename.
func TestUploadForms(t *testing.T) {
	wx := simtest.InMemory(t, simulator.Options{Accounts: one()})
	token := wx.Supersede(appid)
	for _, row := range []struct {
		name, disposition, content string
		errcode                    int
	}{
		{"as SDKs do", `form-data; name="media"; filename="a.png"`, "x", 0},
		{"as curl does", `form-data; name="media"; filename="图 1.png"`, "x", 0},
		{"without quotes", `form-data; name=media; filename=a.png`, "x", 0},
		{"both forms", `form-data; name="media"; filename="a.png"; filename*=utf-8''%E5%9B%BE.png`, "x", 0},
		{"a semicolon in the name", `form-data; name="media"; filename="a;filename*=b.png"`, "x", 0},
		{"no filename", `form-data; name="media"`, "x", 41005},
		{"an empty filename", `form-data; name="media"; filename=""`, "x", 41005},
		{"the new form alone", `form-data; name="media"; filename*=utf-8''%E5%9B%BE.png`, "x", 41005},
		{"the new form alone, in capitals", `form-data; FileName*=UTF-8''a.png; name="media"`, "x", 41005},
		{"another field", `form-data; name="file"; filename="a.png"`, "x", 41005},
		{"nothing in it", `form-data; name="media"; filename="a.png"`, "", 41005},
	} {
		body := "--b\r\nContent-Disposition: " + row.disposition + "\r\n\r\n" + row.content + "\r\n--b--\r\n"
		upload := func(path string) reply {
			r := request(t, "POST", wx.URL+path+"?type=image&access_token="+url.QueryEscape(token), body)
			r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
			return must(t, wx.Client(), r)
		}
		if a := upload("/cgi-bin/media/upload"); a.Errcode != row.errcode || row.errcode == 0 && !strings.Contains(a.raw, "media_id") {
			t.Errorf("%s: %s, want errcode %d", row.name, a.raw, row.errcode)
		}
		if row.name == "another field" {
			row.errcode = 0 // other APIs have other fields
		}
		if a := upload("/cgi-bin/material/add_material"); a.Errcode != row.errcode {
			t.Errorf("%s, by an API that is not simulated: %s, want errcode %d", row.name, a.raw, row.errcode)
		}
	}
}

// TestStrictStableToken: its body is read like those of other APIs.
func TestStrictStableToken(t *testing.T) {
	wx := simtest.InMemory(t, simulator.Options{Accounts: one()})
	good := stableBody(wx, false)
	for body, want := range map[string]int{
		good:            0,
		"\ufeff" + good: 47001,
		good[:len(good)-1] + `,"appid":"` + appid + `"}`: 47001,
		strings.Replace(good, `"appid"`, `"AppID"`, 1):   41002,
	} {
		a := must(t, wx.Client(), request(t, "POST", wx.URL+simulator.StableTokenPath, body))
		if a.Errcode != want {
			t.Errorf("%q: %s, want errcode %d", body, a.raw, want)
		}
	}
	right := fmt.Sprintf(`{"appid":"%s","appsecret":"%s"}`, appid, secret)
	if a := must(t, wx.Client(), request(t, "POST", wx.URL+"/cgi-bin/clear_quota/v2", "\ufeff"+right)); a.Errcode != 47001 {
		t.Errorf("clear_quota/v2 with a BOM: %s", a.raw)
	}
}

// TestCustomMessageWindow: what may be sent to a follower, how often and how long.
func TestCustomMessageWindow(t *testing.T) {
	for _, row := range []struct {
		name  string
		appid string
		heard []simulator.Message
		count int
		lasts time.Duration
	}{
		{"a text", appid, []simulator.Message{simulator.Text("hi")}, 5, 48 * time.Hour},
		{"a click", appid, []simulator.Message{simulator.Click("V1")}, 3, time.Minute},
		{"a subscription", appid, []simulator.Message{simulator.Subscribe()}, 3, time.Minute},
		{"a scan", appid, []simulator.Message{simulator.Scan("1", "t")}, 3, time.Minute},
		{"a raw text", appid, []simulator.Message{{Raw: "<xml><MsgType><![CDATA[text]]></MsgType><Content>x</Content></xml>"}}, 5, 48 * time.Hour},
		{"a raw click", appid, []simulator.Message{{Raw: "<xml><MsgType><![CDATA[event]]></MsgType><Event><![CDATA[CLICK]]></Event></xml>"}}, 3, time.Minute},
		{"a text and a click", appid, []simulator.Message{simulator.Text("hi"), simulator.Click("V1")}, 5, 48 * time.Hour},
		{"a place that is reported", appid, []simulator.Message{composed(t, "LOCATION", "")}, 0, 0},
		{"a mini program's text", miniAppID, []simulator.Message{simulator.Text("hi")}, 5, 48 * time.Hour},
		{"entering a mini program's session", miniAppID, []simulator.Message{{Type: "event", Fields: []simulator.Field{{"Event", "user_enter_tempsession"}}}}, 2, time.Minute},
		{"a click in a mini program", miniAppID, []simulator.Message{simulator.Click("V1")}, 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			wx := simtest.InMemory(t, simulator.Options{Accounts: both(), Life: 100 * time.Hour})
			token := wx.Supersede(row.appid)
			var openid string
			for _, a := range wx.Accounts() {
				if a.AppID == row.appid {
					openid = a.Followers[0]
				}
			}
			send := func() int {
				return ask(t, wx, token, apiCall{"POST", "/cgi-bin/message/custom/send", "", `{"touser":"` + openid + `","msgtype":"text","text":{"content":"x"}}`}).Errcode
			}
			hear := func() {
				for _, m := range row.heard {
					wx.Hear(row.appid, m)
				}
			}
			if got := send(); got != 45015 {
				t.Errorf("before anything was heard: %d", got)
			}
			if hear(); row.count == 0 {
				if got := send(); got != 45015 {
					t.Errorf("it allows a message: %d", got)
				}
				return
			}
			for i := range row.count + 1 {
				want := 0
				if i == row.count {
					want = 45047
				}
				if got := send(); got != want {
					t.Errorf("message %d: %d, want %d", i+1, got, want)
				}
			}
			wx.Clock.Advance(row.lasts - time.Second)
			if got := send(); got != 45047 {
				t.Errorf("just before the end: %d, want 45047", got)
			}
			wx.Clock.Advance(time.Second)
			if got := send(); got != 45015 {
				t.Errorf("at the end: %d, want 45015", got)
			}
			hear()
			if got := send(); got != 0 {
				t.Errorf("after another: %d", got)
			}
		})
	}
}

// TestPushesOpenTheWindow: a push does what Hear does, and a forgery does not.
func TestPushesOpenTheWindow(t *testing.T) {
	wx := inMemory(t, simulator.Options{Accounts: []simulator.Account{pushing()}})
	openid, token := follower(wx), classic(t, wx).Token
	send := func() int {
		return ask(t, wx, token, apiCall{"POST", "/cgi-bin/message/custom/send", "", `{"touser":"` + openid + `","msgtype":"text","text":{"content":"x"}}`}).Errcode
	}
	typing := func() int {
		return ask(t, wx, token, apiCall{"POST", "/cgi-bin/message/custom/typing", "", `{"touser":"` + openid + `","command":"Typing"}`}).Errcode
	}
	deliver := func(p simulator.Push) {
		t.Helper()
		p.Handler = answering(http.StatusOK, "success")
		if _, err := wx.Deliver(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	deliver(simulator.Push{Message: simulator.Text("hi"), Attack: simulator.Tampered})
	deliver(simulator.Push{Message: simulator.Text("hi").By("o-nobody")})
	if _, err := wx.Verify(t.Context(), simulator.Push{Handler: answering(http.StatusOK, "x")}); err != nil {
		t.Fatal(err)
	}
	if a, b := send(), typing(); a != 45015 || b != 45080 {
		t.Errorf("a forgery, a stranger or a verification opened it: %d, %d", a, b)
	}
	deliver(simulator.Push{Message: simulator.Text("hi")})
	if a, b := typing(), send(); a != 0 || b != 0 {
		t.Errorf("after a push: %d, %d", a, b)
	}
	wx.Clock.Advance(31 * time.Second)
	if got := typing(); got != 45080 {
		t.Errorf("31 s later: %d", got)
	}

	wx.Clock.Advance(48 * time.Hour)
	token = classic(t, wx).Token
	if _, err := wx.NewRequest(t.Context(), simulator.Push{URL: "http://app.invalid/", Message: simulator.Click("V1")}); err != nil {
		t.Fatal(err)
	}
	if got := send(); got != 0 {
		t.Errorf("after a request that the app is given by hand: %d", got)
	}
}

// TestTemplates: an account has its own, and gets more by the API.
func TestTemplates(t *testing.T) {
	wx := simtest.InMemory(t, simulator.Options{Accounts: both()})
	token := wx.Supersede(appid)
	list := func() []string {
		t.Helper()
		var got struct {
			List []struct {
				ID string `json:"template_id"`
			} `json:"template_list"`
		}
		if a := ask(t, wx, token, apiCall{"GET", "/cgi-bin/template/get_all_private_template", "", ""}); json.Unmarshal([]byte(a.raw), &got) != nil {
			t.Fatal(a.raw)
		}
		var ids []string
		for _, one := range got.List {
			ids = append(ids, one.ID)
		}
		return ids
	}
	all := wx.Accounts()
	made := all[0].Templates
	if len(made) != 1 || len(made[0]) != 43 || len(all[1].Templates) != 0 || list()[0] != made[0] {
		t.Fatalf("made up: %v, %v, listed %v", made, all[1].Templates, list())
	}
	var added struct {
		ID string `json:"template_id"`
	}
	a := ask(t, wx, token, apiCall{"POST", "/cgi-bin/template/api_add_template", "", `{"template_id_short":"TM00015"}`})
	if json.Unmarshal([]byte(a.raw), &added) != nil || len(list()) != 2 || list()[1] != added.ID {
		t.Fatal(a.raw, list())
	}
	send := func(id string) int {
		return ask(t, wx, token, apiCall{"POST", "/cgi-bin/message/template/send", "", `{"touser":"` + follower(wx) + `","template_id":"` + id + `","data":{}}`}).Errcode
	}
	if a, b := send(made[0]), send(added.ID); a != 0 || b != 0 {
		t.Errorf("its own templates: %d, %d", a, b)
	}
	ask(t, wx, token, apiCall{"POST", "/cgi-bin/template/del_private_template", "", `{"template_id":"` + added.ID + `"}`})
	if got := send(added.ID); got != 40037 || len(list()) != 1 {
		t.Errorf("a deleted one: %d, %v", got, list())
	}
	for range 24 {
		ask(t, wx, token, apiCall{"POST", "/cgi-bin/template/api_add_template", "", `{"template_id_short":"TM00015"}`})
	}
	if a := ask(t, wx, token, apiCall{"POST", "/cgi-bin/template/api_add_template", "", `{"template_id_short":"TM00015"}`}); a.Errcode != 45026 {
		t.Errorf("the 26th: %s", a.raw)
	}
}
