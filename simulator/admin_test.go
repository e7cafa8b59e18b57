package simulator_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// admin calls the admin API over a socket.
func admin(t *testing.T, wx *simtest.Sim, method, path, body string) (status int, answer string) {
	t.Helper()
	a := must(t, wx.Client(), request(t, method, wx.URL+"/simulator"+path, body))
	return a.status, a.raw
}

func admitted(t *testing.T, wx *simtest.Sim, method, path, body string) string {
	t.Helper()
	status, answer := admin(t, wx, method, path, body)
	if status != http.StatusOK {
		t.Errorf("%s %s %s: %d %s", method, path, body, status, answer)
	}
	return answer
}

// TestAdminDoes what the methods do, one request each.
func TestAdminDoes(t *testing.T) {
	accounts := []simulator.Account{pushing()}
	wx := simtest.New(t, simulator.Options{Accounts: accounts})
	atNoon(wx)
	a := "/accounts/" + appid
	mine := classic(t, wx).Token

	admitted(t, wx, "POST", a+"/supersede", "")
	if got := wx.Inspect(mine); got.Current || got.Errcode != 0 {
		t.Errorf("after one: %+v", got)
	}
	admitted(t, wx, "POST", a+"/supersede", `{"pool":"classic","times":2}`)
	if wx.Accepts(mine) {
		t.Error("alive after three")
	}
	before := stable(t, wx, false).Token
	admitted(t, wx, "POST", a+"/supersede", `{"pool":"stable"}`)
	current := stable(t, wx, false).Token
	if current == before {
		t.Error("stable_token was not superseded")
	}
	admitted(t, wx, "POST", a+"/refuse", "")
	if wx.Accepts(current) || stable(t, wx, false).Token != current {
		t.Error("not refused, or stable_token knows")
	}
	mine = classic(t, wx).Token
	admitted(t, wx, "POST", a+"/kill", `{"token":"`+mine+`"}`)
	if wx.Accepts(mine) {
		t.Error("one token was not killed")
	}
	mine = classic(t, wx).Token
	admitted(t, wx, "POST", a+"/kill", "{}")
	if wx.Accepts(mine) {
		t.Error("the tokens were not killed")
	}

	admitted(t, wx, "POST", a+"/spend", `{"path":"/cgi-bin/token","left":1}`)
	classic(t, wx)
	if got := classic(t, wx).Errcode; got != 45009 {
		t.Error("the quota is not spent:", got)
	}
	now := wx.Clock.Now()
	answer := admitted(t, wx, "POST", "/clock", `{"advance":"24h","skew":"-10m"}`)
	if ahead := wx.Clock.Now().Sub(now); ahead < 24*time.Hour || ahead > 25*time.Hour || !strings.Contains(answer, `"skew": "-10m0s"`) {
		t.Error(ahead, answer)
	}
	if got := classic(t, wx).Errcode; got != 0 {
		t.Error("the next day:", got)
	}
	admitted(t, wx, "PATCH", a, `{"whitelist":["192.0.2.1"],"daily_calls":{"/cgi-bin/x":3},"kind":"mini"}`)
	if got := wx.Account(); len(got.Whitelist) != 1 || got.DailyCalls["/cgi-bin/x"] != 3 || got.Kind != simulator.MiniProgram ||
		got.Secret != secret {
		t.Errorf("%+v", got)
	}
	admitted(t, wx, "PATCH", a, `{"whitelist":[],"secret":"another","state":0,"kind":"official"}`)
	if got := wx.Account(); len(got.Whitelist) != 0 || got.Secret != "another" {
		t.Errorf("%+v", got)
	}
	if text := admitted(t, wx, "GET", "/", ""); !strings.Contains(text, "POST   /simulator/accounts/APPID/spend") {
		t.Error(text)
	}
	classic(t, wx)
	stable(t, wx, false)
	for _, path := range []string{"/accounts", "/events", "/faults", "/clock"} {
		text := admitted(t, wx, "GET", path, "")
		if strings.Contains(text, "another") || strings.Contains(text, accounts[0].AESKey) || strings.Contains(text, accounts[0].Token) ||
			!json.Valid([]byte(text)) {
			t.Errorf("%s shows a secret: %s", path, text)
		}
	}
	if text := admitted(t, wx, "GET", "/events?last=2", ""); strings.Count(text, `"path"`) != 2 || !strings.Contains(text, "secret=***") {
		t.Error(text)
	}
}

// TestAdminFaults: every kind of fault, from its JSON to the wire.
func TestAdminFaults(t *testing.T) {
	wx := simtest.New(t, simulator.Options{Accounts: one()})
	for body, check := range map[string]func(a reply, err error, took time.Duration) bool{
		`{"path":"/cgi-bin/token","times":1,"errcode":-1}`:                         func(a reply, _ error, _ time.Duration) bool { return a.Errcode == -1 },
		`{"path":"fetches","times":1,"errcode":40001,"errmsg":"old"}`:              func(a reply, _ error, _ time.Duration) bool { return a.Errmsg == "old" },
		`{"times":1,"status":502,"body":"<html>","content_type":"text/html"}`:      func(a reply, _ error, _ time.Duration) bool { return a.status == 502 && a.raw == "<html>" },
		`{"times":1,"status":200}`:                                                 func(a reply, _ error, _ time.Duration) bool { return a.status == 200 && a.raw == "" },
		`{"times":1,"cut":"short"}`:                                                func(a reply, err error, _ time.Duration) bool { return err == nil && a.raw != "" && a.Token == "" },
		`{"times":1,"cut":"body"}`:                                                 func(_ reply, err error, _ time.Duration) bool { return err != nil },
		`{"times":1,"content_type":"text/plain"}`:                                  func(a reply, _ error, _ time.Duration) bool { return a.header.Get("Content-Type") == "text/plain" },
		`{"times":1,"delay":"30ms","appid":"` + appid + `","rate":1,"after":true}`: func(a reply, _ error, took time.Duration) bool { return a.Token != "" && took >= 30*time.Millisecond },
	} {
		answer := admitted(t, wx, "POST", "/faults", body)
		if !strings.Contains(answer, `"hits": 0`) {
			t.Error(answer)
		}
		begun := time.Now()
		a, err := do(wx.Client(), request(t, "GET", classicURL(wx), ""))
		if !check(a, err, time.Since(begun)) {
			t.Errorf("%s: %v %d %s", body, err, a.status, a.raw)
		}
		if got := admitted(t, wx, "GET", "/faults", ""); strings.Contains(got, "hits") {
			t.Errorf("%s is still there: %s", body, got)
		}
	}
	admitted(t, wx, "POST", "/faults", `{"errcode":1}`)
	admitted(t, wx, "POST", "/faults", `{"errcode":2,"delay":"1s"}`)
	var list struct {
		Faults []struct {
			ID    int    `json:"id"`
			Delay string `json:"delay"`
		} `json:"faults"`
	}
	if err := json.Unmarshal([]byte(admitted(t, wx, "GET", "/faults", "")), &list); err != nil || len(list.Faults) != 2 || list.Faults[1].Delay != "1s" {
		t.Fatalf("%v %+v", err, list)
	}
	admitted(t, wx, "DELETE", "/faults/10", "")
	if got := classic(t, wx).Errcode; got != 1 {
		t.Error("the wrong fault was removed:", got)
	}
	admitted(t, wx, "DELETE", "/faults", "")
	if got := classic(t, wx).Errcode; got != 0 {
		t.Error("not removed:", got)
	}
}

// TestAdminRefuses wrong input with a clear error, and changes nothing.
func TestAdminRefuses(t *testing.T) {
	wx := simtest.New(t, simulator.Options{Accounts: []simulator.Account{pushing()}})
	token := wx.Supersede(appid)
	a := "/accounts/" + appid
	for _, row := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"PATCH", a, `{"state":1,"secret":"x"}`, 400, "the State of " + appid + " is 1, which does not exist"},
		{"PATCH", a, `{"whitelist":["1.2.3.4:80"],"secret":"x"}`, 400, "is neither an IP nor a CIDR"},
		{"PATCH", a, `{"secret":"x","whitelst":[]}`, 400, `unknown field "whitelst"`},
		{"PATCH", a, `{"secret":"x","kind":"robot"}`, 400, `"robot" is no kind of account: official, mini, website and wecom exist`},
		{"PATCH", a, `{"secret":"x"`, 400, "the body is not right: unexpected EOF"},
		{"PATCH", a, `{"secret":"x"}{}`, 400, "continues after its JSON object"},
		{"PATCH", a, `{"secret":"x","daily_fetches":"many"}`, 400, "cannot unmarshal string"},
		{"PATCH", a, `{"appid":"wx1","secret":"x"}`, 400, "must not change its AppID"},
		{"PATCH", a, `{"secret":""}`, 400, "the Secret of " + appid + " is empty"},
		{"PATCH", "/accounts/wx1", `{}`, 404, "there is no account wx1"},
		{"POST", "/accounts/wx1/kill", "", 404, "there is no account wx1"},
		{"POST", "/accounts/wx1/hear", "", 404, "there is no account wx1"},
		{"POST", a + "/hear", `{"follower":"oX"}`, 400, "oX is no follower"},
		{"POST", a + "/supersede", `{"pool":"x"}`, 400, `there is no pool "x"`},
		{"POST", a + "/supersede", `{"times":101}`, 400, "times is 101: 1 to 100"},
		{"POST", a + "/kill", `{"token":"x"}`, 400, "no live token of this account"},
		{"POST", a + "/kill", `{"all":true}`, 400, `unknown field "all"`},
		{"POST", a + "/refuse", "", 400, "the pool stable has no live token"},
		{"POST", a + "/spend", `{"path":"/x","left":1}`, 400, "/x has no daily limit"},
		{"POST", a + "/spend", `{"path":"/cgi-bin/token","left":9999}`, 400, "the limit is 2000 a day"},
		{"POST", "/clock", `{"advance":"-1s","skew":"1h"}`, 400, "no token becomes younger"},
		{"POST", "/clock", `{"advance":"2 hours","skew":"1h"}`, 400, `"2 hours" is no duration: write 90s, 5m or 2h`},
		{"POST", "/faults", `{}`, 400, "nothing would go wrong"},
		{"POST", "/faults", `{"path":"fetches","times":3}`, 400, "nothing would go wrong"},
		{"POST", "/faults", `{"errcode":1,"rate":2}`, 400, "Rate is 2: it has to lie between 0 and 1"},
		{"POST", "/faults", `{"errcode":1,"times":-1}`, 400, "Times is -1"},
		{"POST", "/faults", `{"status":99}`, 400, "Status is 99"},
		{"POST", "/faults", `{"delay":"-1s"}`, 400, "Delay is -1s"},
		{"POST", "/faults", `{"delay":1}`, 400, "delay"},
		{"POST", "/faults", `{"cut":"x"}`, 400, `there is no cut "x": answer, body and short exist`},
		{"POST", "/faults", `{"errcode":1,"path":"token"}`, 400, `Path is "token"`},
		{"POST", "/faults", `{"errcode":1,"appid":"wx1"}`, 400, "there is no account wx1"},
		{"DELETE", "/faults/7", "", 404, "there is no fault 7 at work"},
		{"POST", "/push", `{"type":"txt"}`, 400, `there is no message "txt"; there are: text, `},
		{"POST", "/push", `{"type":"text","set":{"Contnet":"x"}}`, 400, `text: there is no field "Contnet" to set; there are: Content, MsgId, CreateTime`},
		{"POST", "/push", `{"type":"subscribe","value":"x"}`, 400, "subscribe takes no value"},
		{"POST", "/push", `{"type":"text","set":{"MsgId":"x"}}`, 400, `MsgId is "x"`},
		{"POST", "/push", `{"type":"location","set":{"Scale":"x"}}`, 400, `"x" is none`},
		{"POST", "/push", `{"type":"text"}`, 400, "the address to push to: there is none"},
		{"POST", "/push", `{"type":"text","to":"http://127.0.0.1:1/","attack":"x"}`, 400, `there is no attack "x"`},
		{"POST", "/verify", `{"to":"127.0.0.1:1"}`, 400, "has to begin with http://"},
		{"GET", "/events?last=x", "", 400, `last is "x"`},
		{"GET", "/events?last=x&after=9&wait=60s", "", 400, `last is "x"`},
		{"GET", "/events?after=x", "", 400, `after is "x"`},
		{"GET", "/events?wait=x", "", 400, `"x" is no duration`},
		{"GET", "/accounts?secrets=1", "", 400, "are not made up"},
		{"POST", a + "/kill", `{"pool":"x"}`, 400, `there is no pool "x"`},
		{"POST", a + "/kill", `{"pool":"stable"}`, 400, "there is no live token to end"},
		{"POST", a + "/kill", `{"pool":"stable","token":"x"}`, 400, "a token or a pool"},
		{"POST", "/accounts/wx1/browser", "", 404, "there is no account wx1"},
		{"POST", "/request", `{"type":"text"}`, 400, "the address to push to: there is none"},
	} {
		before := wx.Account()
		status, answer := admin(t, wx, row.method, row.path, row.body)
		var got struct{ Error string }
		if err := json.Unmarshal([]byte(answer), &got); err != nil || status != row.status || !strings.Contains(got.Error, row.want) ||
			strings.Contains(got.Error, "simulator: ") {
			t.Errorf("%s %s %s: %d %s\nwant %d and %q", row.method, row.path, row.body, status, answer, row.status, row.want)
		}
		after := wx.Account()
		if before.Secret != after.Secret || before.Kind != after.Kind || len(after.Whitelist) != 0 {
			t.Errorf("%s %s changed the account to %+v", row.path, row.body, after)
		}
	}
	if !wx.Accepts(token) || wx.Stats(appid).Pushes != 0 || strings.Contains(admitted(t, wx, "GET", "/faults", ""), "hits") ||
		time.Until(wx.Clock.Now()) > time.Second || strings.Contains(admitted(t, wx, "GET", "/clock", ""), "1h") {
		t.Error("wrong input did something")
	}
	for _, row := range [][2]string{{"POST", "/accounts"}, {"GET", "/nothing"}, {"DELETE", "/clock"}} {
		if status, answer := admin(t, wx, row[0], row[1], ""); status != 404 || !strings.Contains(answer, "GET /simulator/ lists") {
			t.Errorf("%v: %d %s", row, status, answer)
		}
	}
}

func TestAdminPush(t *testing.T) {
	t.Parallel()
	wx := simtest.New(t, simulator.Options{Accounts: []simulator.Account{pushing()}, Patience: 2 * time.Second})
	app := httptest.NewServer(verifying(t, callback.Config{AESKey: text(pushing().AESKey)}))
	defer app.Close()
	var got struct {
		OK         bool
		Verdict    string
		Reason     string
		Deliveries []struct{ Request, Answer, Error string }
	}
	call := func(path, body string) {
		t.Helper()
		if err := json.Unmarshal([]byte(admitted(t, wx, "POST", path, body)), &got); err != nil {
			t.Fatal(err)
		}
	}
	call("/push", `{"type":"click","value":"V1","set":{"CreateTime":"1700000000"},"to":"`+app.URL+`","from":"oOther"}`)
	if !got.OK || got.Verdict != "silent" || got.Deliveries[0].Answer != "success" ||
		!strings.Contains(got.Deliveries[0].Request, "<Encrypt>") {
		t.Errorf("%+v", got)
	}
	call("/push", `{"type":"text","to":"`+app.URL+`","attack":"tampered"}`)
	if !got.OK || got.Verdict != "refused" {
		t.Errorf("%+v", got)
	}
	call("/verify", `{"to":"`+app.URL+`"}`)
	if !got.OK || got.Verdict != "verified" {
		t.Errorf("%+v", got)
	}
	app.Close()
	call("/push", `{"type":"text","to":"`+app.URL+`"}`)
	if got.OK || len(got.Deliveries) != 3 || !strings.Contains(got.Deliveries[2].Error, "nothing listens at") {
		t.Errorf("%+v", got)
	}
}

// TestAdminIsForThisMachine: no other machine, no web page.
func TestAdminIsForThisMachine(t *testing.T) {
	wx := simtest.InMemory(t, simulator.Options{Accounts: one()})
	for _, row := range []struct {
		name, caller, host, origin string
		status                     int
	}{
		{"loopback", "127.0.0.1:1", "127.0.0.1:3200", "", 200},
		{"loopback, IPv6", "[::1]:1", "[::1]:3200", "", 200},
		{"by name", "127.0.0.1:1", "localhost", "", 200},
		{"another machine", "192.0.2.1:1", "127.0.0.1:3200", "", 403},
		{"a name made to point here", "127.0.0.1:1", "evil.example:3200", "", 403},
		{"a web page", "127.0.0.1:1", "127.0.0.1:3200", "http://evil.example", 403},
	} {
		r := httptest.NewRequest(http.MethodPost, "/simulator/accounts/"+appid+"/kill", http.NoBody)
		r.RemoteAddr, r.Host = row.caller, row.host
		if row.origin != "" {
			r.Header.Set("Origin", row.origin)
		}
		token := wx.Supersede(appid)
		w := httptest.NewRecorder()
		wx.Handler().ServeHTTP(w, r)
		body, _ := io.ReadAll(w.Body)
		if w.Code != row.status || wx.Accepts(token) != (row.status != 200) {
			t.Errorf("%s: %d %s", row.name, w.Code, body)
		}
	}
	w := httptest.NewRecorder()
	wx.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/simulator/accounts", http.NoBody))
	if w.Code != 404 || !strings.Contains(w.Body.String(), "40066") {
		t.Errorf("ServeHTTP has the admin API: %d %s", w.Code, w.Body)
	}
}

// TestAdminSecrets: secrets are shown if they are made up and asked for, and then all of them.
func TestAdminSecrets(t *testing.T) {
	t.Parallel()
	keys, err := simulator.MakeUpSigning(signedAPI)
	if err != nil {
		t.Fatal(err)
	}
	account := pushing()
	account.Signing = &keys
	wx := simtest.New(t, simulator.Options{Accounts: []simulator.Account{account}, MadeUp: true})
	token := classic(t, wx).Token
	for query, shown := range map[string]bool{"": false, "?secrets=1": true} {
		text := admitted(t, wx, "GET", "/accounts"+query, "")
		for _, secret := range []string{account.Secret, account.Token, account.AESKey, token, "signing"} {
			if strings.Contains(text, `"`+secret+`"`) != shown {
				t.Errorf("%q: a secret is there: %t, want %t", query, !shown, shown)
			}
		}
	}
	admitted(t, wx, "POST", "/accounts/"+appid+"/kill", `{"pool":"classic"}`)
	if wx.Accepts(token) {
		t.Error("the pool's token was not killed")
	}
}

// TestAdminRequest: a push is written without being sent, and sent later under the same id.
func TestAdminRequest(t *testing.T) {
	t.Parallel()
	wx := simtest.New(t, simulator.Options{Accounts: []simulator.Account{pushing()}})
	app := httptest.NewServer(verifying(t, callback.Config{AESKey: text(pushing().AESKey)}))
	defer app.Close()
	var got struct {
		MsgID         int64 `json:"msg_id"`
		Method, URL   string
		Body, Message string
		Last          uint64
		Events        []simulator.Event
		Cookie        string `json:"set_cookie"`
	}
	call := func(method, path, body string) {
		t.Helper()
		if err := json.Unmarshal([]byte(admitted(t, wx, method, path, body)), &got); err != nil {
			t.Fatal(err)
		}
	}
	call("POST", "/request", `{"type":"click","value":"V1","to":"`+app.URL+`"}`)
	if got.Method != http.MethodPost || !strings.HasPrefix(got.URL, app.URL) || !strings.Contains(got.Body, "<Encrypt>") ||
		!strings.Contains(got.Message, "<EventKey><![CDATA[V1]]>") || len(wx.Events()) != 0 {
		t.Errorf("%+v, events %d", got, len(wx.Events()))
	}
	id, _ := json.Marshal(got.MsgID)
	admitted(t, wx, "POST", "/push", `{"type":"click","value":"V1","to":"`+app.URL+`","msg_id":`+string(id)+`}`)
	call("GET", "/events?after=0", "")
	if len(got.Events) != 1 || got.Events[0].MsgID != got.MsgID || got.Last != 1 {
		t.Errorf("%+v", got)
	}
	call("POST", "/accounts/"+appid+"/browser", `{"follower":"oOne"}`)
	if !strings.HasPrefix(got.Cookie, "simulator_follower=oOne; Path=/connect/") {
		t.Errorf("%q", got.Cookie)
	}
}

// TestAdminWaits: a call that waits is answered by the next event, with its checks.
func TestAdminWaits(t *testing.T) {
	t.Parallel()
	wx := simtest.New(t, simulator.Options{Accounts: one()})
	classic(t, wx)
	answer := make(chan string)
	go func() {
		_, text := admin(t, wx, "GET", "/events?after=1&wait=30s", "")
		answer <- text
	}()
	for waiting := true; waiting; {
		if _, err := do(wx.Client(), request(t, "GET", wx.URL+"/cgi-bin/get_api_domain_ip?access_token=invented", "")); err != nil {
			t.Fatal(err)
		}
		select {
		case text := <-answer:
			waiting = false
			if !strings.Contains(text, `"number": 2`) || strings.Contains(text, `"number": 1,`) || !strings.Contains(text, `"of": "unknown …"`) {
				t.Error(text)
			}
		default:
		}
	}
	if text := admitted(t, wx, "GET", "/events?after=9999&wait=1ms", ""); !strings.Contains(text, `"events": []`) {
		t.Error(text)
	}
	if text := admitted(t, wx, "GET", "/events?last=1000", ""); !strings.Contains(text, `"what": "AppSecret"`) {
		t.Error(text)
	}
}

// TestSwapped: a program that sends its secret for its name has not told everybody.
func TestSwapped(t *testing.T) {
	const corpSecret = "madeUpSecretOfTheApp00000000000000000000002"
	wx := simtest.New(t, simulator.Options{Accounts: []simulator.Account{
		simulator.MakeUpAccount(1), {AppID: "ww0123456789abcdef:1000002", Kind: simulator.WeCom, Secret: corpSecret},
	}})
	secret := wx.Account().Secret
	for _, path := range []string{
		simulator.TokenPath + "?grant_type=client_credential&appid=" + secret + "&secret=" + wx.Account().AppID,
		"/cgi-bin/gettoken?corpid=" + corpSecret + "&corpsecret=x",
	} {
		if _, err := do(wx.Client(), request(t, http.MethodGet, wx.URL+path, "")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := do(wx.Client(), request(t, http.MethodPost, wx.URL+simulator.StableTokenPath,
		`{"grant_type":"client_credential","appid":"`+secret+`","secret":"x"}`)); err != nil {
		t.Fatal(err)
	}
	text := admitted(t, wx, "GET", "/events", "")
	if n := strings.Count(text, `"what": "appid"`); n != 2 || strings.Contains(text, secret) || strings.Contains(text, corpSecret) {
		t.Errorf("%d checks of an appid in\n%s", n, text)
	}
}
