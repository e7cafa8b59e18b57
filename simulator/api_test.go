package simulator_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/platform/errcode"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

const miniAppID = "wx00000000000000aa"

// both are an official account and a mini program.
func both() []simulator.Account {
	return append(one(), simulator.Account{AppID: miniAppID, Secret: "mini", Kind: simulator.MiniProgram})
}

type apiCall struct{ method, path, query, body string }

// ask calls an API with a token.
func ask(t *testing.T, wx *simtest.Sim, token string, call apiCall) reply {
	t.Helper()
	target := wx.URL + call.path + "?access_token=" + url.QueryEscape(token)
	if call.query != "" {
		target += "&" + call.query
	}
	return must(t, wx.Client(), request(t, call.method, target, call.body))
}

func follower(wx *simtest.Sim) string { return wx.Accounts()[0].Followers[0] }

// TestEndpointRefusals sends each wrong call that one API alone knows over a
// socket. The token is good; what the rows have wrong comes in the order of checks.
func TestEndpointRefusals(t *testing.T) {
	wx := simtest.New(t, simulator.Options{Accounts: both()})
	token, mini := wx.Supersede(appid), wx.Supersede(miniAppID)
	openid := follower(wx)
	foreignRID := ridForm.FindString(ask(t, wx, mini, apiCall{"POST", "/cgi-bin/clear_quota", "", `{}`}).Errmsg)[6:]
	oldRID := ridForm.FindString(ask(t, wx, token, apiCall{"POST", "/cgi-bin/clear_quota", "", `{}`}).Errmsg)[6:]
	for _, row := range []struct {
		name, method, path, query, body string
		errcode                         int
		errmsg                          string
	}{
		{"method before body", "GET", "/cgi-bin/clear_quota", "", "{", 43002, "require POST method"},
		{"GET only", "POST", simulator.TicketPath, "type=x", "{}", 43001, "require GET method"},
		{"no body", "POST", "/cgi-bin/message/custom/send", "", "", 44002, "empty post data"},
		{"escapes before JSON", "POST", "/cgi-bin/menu/create", "", `{"button":"\u4f60"`, 40033, `invalid charset. please check your request, if include \uxxxx will create fail!`},
		{"escapes in a template", "POST", "/cgi-bin/message/template/send", "", `{"touser":"\u006f"}`, 40033, `invalid charset. please check your request, if include \uxxxx will create fail!`},
		{"escapes in a message", "POST", "/cgi-bin/message/custom/send", "", `{"touser":"\\\u006f"}`, 40033, `invalid charset. please check your request, if include \uxxxx will create fail!`},
		{"not JSON", "POST", "/cgi-bin/message/custom/send", "", `{"touser":`, 47001, "data format error"},
		{"no object", "POST", "/cgi-bin/openapi/quota/get", "", `[]`, 47001, "data format error"},
		{"wrong types", "POST", "/cgi-bin/openapi/quota/get", "", `{"cgi_path":1}`, 47001, "data format error"},

		{"clear_quota of another", "POST", "/cgi-bin/clear_quota", "", `{"appid":"` + miniAppID + `"}`, 40013, "invalid appid"},
		{"quota/get, no path", "POST", "/cgi-bin/openapi/quota/get", "", `{}`, 76021, "cgi_path not found, please check"},
		{"quota/get, a URL", "POST", "/cgi-bin/openapi/quota/get", "", `{"cgi_path":"https://api.weixin.qq.com/cgi-bin/token"}`, 76021, "cgi_path not found, please check"},
		{"quota/get, a query", "POST", "/cgi-bin/openapi/quota/get", "", `{"cgi_path":"/cgi-bin/token?a=b"}`, 76021, "cgi_path not found, please check"},
		{"quota/get, sns", "POST", "/cgi-bin/openapi/quota/get", "", `{"cgi_path":"/sns/userinfo"}`, 76022, "could not use this cgi_path, no permission"},
		{"quota/get, another kind's", "POST", "/cgi-bin/openapi/quota/get", "", `{"cgi_path":"/wxa/getwxacode"}`, 76022, "could not use this cgi_path, no permission"},
		{"rid/get, unknown", "POST", "/cgi-bin/openapi/rid/get", "", `{"rid":"617682e0-09059ac5-34a8e2ea"}`, 76001, "rid not found"},
		{"rid/get, malformed", "POST", "/cgi-bin/openapi/rid/get", "", `{"rid":"617682E0-09059ac5-34a8e2ea"}`, 76002, "rid is error"},
		{"rid/get, another's", "POST", "/cgi-bin/openapi/rid/get", "", `{"rid":"` + foreignRID + `"}`, 76003, "could not query this rid with no permission"},
		{"callback/check, URL", "POST", "/cgi-bin/callback/check", "", `{"action":"all","check_operator":"DEFAULT"}`, 40201, "invalid check url"},
		{"callback/check, action", "POST", "/cgi-bin/callback/check", "", `{"action":"x","check_operator":"x"}`, 40202, "invalid check action"},
		{"callback/check, operator", "POST", "/cgi-bin/callback/check", "", `{"action":"all","check_operator":"x"}`, 40203, "invalid check operator"},

		{"ticket type", "GET", simulator.TicketPath, "type=x", "", 40035, "invalid parameter"},
		{"send to a stranger", "POST", "/cgi-bin/message/custom/send", "", `{"touser":"x"}`, 40003, "invalid openid"},
		{"typing to a stranger", "POST", "/cgi-bin/message/custom/typing", "", `{"touser":"x"}`, 40003, "invalid openid"},
		{"typing what", "POST", "/cgi-bin/message/custom/typing", "", `{"touser":"` + openid + `","command":"x"}`, 45072, "invalid command"},
		{"typing out of the blue", "POST", "/cgi-bin/message/custom/typing", "", `{"touser":"` + openid + `","command":"Typing"}`, 45080, errText(45080)},
		{"a message without type", "POST", "/cgi-bin/message/custom/send", "", `{"touser":"` + openid + `"}`, 40008, "invalid message type"},
		{"an empty text", "POST", "/cgi-bin/message/custom/send", "", `{"touser":"` + openid + `","msgtype":"text","text":{"content":""}}`, 44004, "empty content"},
		{"a message out of the blue", "POST", "/cgi-bin/message/custom/send", "", `{"touser":"` + openid + `","msgtype":"text","text":{"content":"x"}}`, 45015, "response out of time limit or subscription is canceled"},
		{"template to a stranger", "POST", "/cgi-bin/message/template/send", "", `{"touser":"x"}`, 40003, "invalid openid"},
		{"no template", "POST", "/cgi-bin/message/template/send", "", `{"touser":"` + openid + `"}`, 40037, "invalid template_id"},
		{"another's template", "POST", "/cgi-bin/message/template/send", "", `{"touser":"` + openid + `","template_id":"t"}`, 40037, "invalid template_id"},
		{"a template of no number", "POST", "/cgi-bin/template/api_add_template", "", `{}`, 40037, "invalid template_id"},
		{"another's template, deleted", "POST", "/cgi-bin/template/del_private_template", "", `{"template_id":"t"}`, 40037, "invalid template_id"},

		{"a BOM", "POST", "/cgi-bin/openapi/quota/get", "", "\ufeff" + `{"cgi_path":"/cgi-bin/token"}`, 47001, "data format error"},
		{"a field twice", "POST", "/cgi-bin/openapi/quota/get", "", `{"cgi_path":"/cgi-bin/x","cgi_path":"/cgi-bin/token"}`, 47001, "data format error"},
		{"a field twice, deep inside", "POST", "/cgi-bin/menu/create", "", `{"button":[{"type":"click","name":"a","key":"b"},{"type":"click","name":"a","key":"b","name":"c"}]}`, 47001, "data format error"},
		{"a field in capitals", "POST", "/cgi-bin/message/custom/send", "", `{"ToUser":"` + openid + `"}`, 40003, "invalid openid"},
		{"a field in capitals, inside", "POST", "/cgi-bin/openapi/quota/get", "", `{"CGI_PATH":"/cgi-bin/token"}`, 76021, "cgi_path not found, please check"},

		{"an empty menu", "POST", "/cgi-bin/menu/create", "", `{}`, 40016, "invalid button size"},
		{"no buttons", "POST", "/cgi-bin/menu/create", "", `{"button":[]}`, 40016, "invalid button size"},
		{"a button in place of the menu", "POST", "/cgi-bin/menu/create", "", `{"type":"view","name":"a","url":"http://a/"}`, 40016, "invalid button size"},
		{"four buttons", "POST", "/cgi-bin/menu/create", "", `{"button":[` + strings.Repeat(`{"type":"click","name":"a","key":"b"},`, 3) + `{"type":"click","name":"a","key":"b"}]}`, 40016, "invalid button size"},
		{"a button of no type", "POST", "/cgi-bin/menu/create", "", `{"button":[{"name":"a","key":"b"}]}`, 40017, "invalid button type"},
		{"a long name", "POST", "/cgi-bin/menu/create", "", `{"button":[{"type":"click","name":"一二三四五六","key":"b"}]}`, 40018, "invalid button name size"},
		{"a click without key", "POST", "/cgi-bin/menu/create", "", `{"button":[{"type":"click","name":"a"}]}`, 40019, "invalid button key size"},
		{"a view without url", "POST", "/cgi-bin/menu/create", "", `{"button":[{"type":"view","name":"a"}]}`, 40020, "invalid button url size"},
		{"media without id", "POST", "/cgi-bin/menu/create", "", `{"button":[{"type":"media_id","name":"a"}]}`, 40117, "invalid button media_id size"},
		{"six below one", "POST", "/cgi-bin/menu/create", "", `{"button":[{"name":"a","sub_button":[` + strings.Repeat(`{"type":"click","name":"a","key":"b"},`, 5) + `{"type":"click","name":"a","key":"b"}]}]}`, 40023, "invalid sub button size"},
		{"below, of no type", "POST", "/cgi-bin/menu/create", "", `{"button":[{"name":"a","sub_button":[{"type":"x","name":"a"}]}]}`, 40024, "invalid sub button type"},
		{"below, without a name", "POST", "/cgi-bin/menu/create", "", `{"button":[{"name":"a","sub_button":[{"type":"click","key":"b"}]}]}`, 40025, "invalid sub button name size"},
		{"below, without key", "POST", "/cgi-bin/menu/create", "", `{"button":[{"name":"a","sub_button":[{"type":"click","name":"a"}]}]}`, 40026, "invalid sub button key size"},
		{"below, without url", "POST", "/cgi-bin/menu/create", "", `{"button":[{"name":"a","sub_button":[{"type":"view","name":"a"}]}]}`, 40027, "invalid sub button url size"},
		{"below, without media", "POST", "/cgi-bin/menu/create", "", `{"button":[{"name":"a","sub_button":[{"type":"view_limited","name":"a"}]}]}`, 40118, "invalid sub button media_id size"},
		{"three levels", "POST", "/cgi-bin/menu/create", "", `{"button":[{"name":"a","sub_button":[{"name":"a","sub_button":[{"type":"click","name":"a","key":"b"}]}]}]}`, 40022, "invalid sub_menu level"},
		{"no buttons but texts", "POST", "/cgi-bin/menu/create", "", `{"button":["a"]}`, 47001, "data format error"},
		{"no menu yet", "GET", "/cgi-bin/menu/get", "", "", 46003, "menu no exist"},
		{"info of a stranger", "GET", "/cgi-bin/user/info", "openid=x", "", 40003, "invalid openid"},
		{"followers after a stranger", "GET", "/cgi-bin/user/get", "next_openid=x", "", 40003, "invalid openid"},
		{"upload type", "POST", "/cgi-bin/media/upload", "type=x", "x", 40004, "invalid media type"},
		{"upload without form", "POST", "/cgi-bin/media/upload", "type=image", "x", 41005, "media data missing"},
		{"unknown media", "GET", "/cgi-bin/media/get", "media_id=x", "", 40007, "invalid media_id"},
		{"QR code's action", "POST", "/cgi-bin/qrcode/create", "", `{"action_name":"x"}`, 40035, "invalid parameter"},
		{"QR code's scene", "POST", "/cgi-bin/qrcode/create", "", `{"action_name":"QR_STR_SCENE"}`, 40035, "invalid parameter"},
		{"QR code for too long", "POST", "/cgi-bin/qrcode/create", "", `{"expire_seconds":2592001,"action_name":"QR_SCENE","action_info":{"scene":{"scene_id":1}}}`, 40035, "invalid parameter"},
		{"a mini program's API", "POST", "/wxa/getwxacode", "", `{}`, 40001, "invalid credential, access_token is invalid or not latest, could get access_token by getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r"},
	} {
		t.Run(row.name, func(t *testing.T) {
			expect(t, ask(t, wx, token, apiCall{row.method, row.path, row.query, row.body}), row.errcode, row.errmsg)
		})
	}
	t.Run("an official account's API", func(t *testing.T) {
		for _, path := range []string{"/cgi-bin/menu/get", "/cgi-bin/user/get", simulator.TicketPath} {
			expect(t, ask(t, wx, mini, apiCall{"GET", path, "", ""}), 40001, errText(40001))
		}
	})
	t.Run("an old rid", func(t *testing.T) {
		wx.Clock.Advance(7*24*time.Hour + time.Second)
		expect(t, ask(t, wx, wx.Supersede(appid), apiCall{"POST", "/cgi-bin/openapi/rid/get", "", `{"rid":"` + oldRID + `"}`}), 76004, "rid is expired")
	})
}

func expect(t *testing.T, a reply, errcode int, errmsg string) {
	t.Helper()
	if a.status != http.StatusOK || a.Errcode != errcode || !ridForm.MatchString(a.Errmsg) ||
		ridForm.ReplaceAllString(a.Errmsg, "") != errmsg {
		t.Errorf("answers %d %s\nwant 200, errcode %d, %q and a rid", a.status, a.raw, errcode, errmsg)
	}
}

func errText(code int) string {
	info, _ := errcode.Lookup(code)
	return info.Text
}

// TestEveryErrcode injects every code of the table over a socket, those among them
// that need an account or a platform which nobody simulates.
func TestEveryErrcode(t *testing.T) {
	wx := simtest.New(t, simulator.Options{Accounts: one()})
	for _, info := range errcode.All() {
		for _, path := range []string{simulator.TokenPath, simulator.StableTokenPath, "/cgi-bin/menu/get"} {
			wx.Inject(simulator.Fault{Path: path, Times: 1, Errcode: info.Code})
			a := ask(t, wx, "x", apiCall{"POST", path, "", "{}"})
			want := info.Text
			switch {
			case info.Code == 40164:
				want = "invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist"
			case want == "":
				want = "unknown error"
			}
			expect(t, a, info.Code, want)
		}
	}
}

// atNoon moves the clock to the next noon in Beijing, so that no day or minute ends,
// and no quota begins anew, in the middle of a test.
func atNoon(wx *simtest.Sim) {
	now := wx.Clock.Now().UTC()
	noon := now.Truncate(24 * time.Hour).Add(4 * time.Hour)
	if noon.Before(now) {
		noon = noon.Add(24 * time.Hour)
	}
	wx.Clock.Advance(noon.Sub(now))
}

func TestClearQuota(t *testing.T) {
	accounts := both()
	accounts[0].DailyFetches, accounts[0].DailyForced = 2, 1
	wx := simtest.New(t, simulator.Options{Accounts: accounts})
	atNoon(wx)
	token := classic(t, wx).Token
	classic(t, wx)
	stable(t, wx, true)
	wx.Clock.Advance(time.Minute)
	if a := classic(t, wx); a.Errcode != 45009 {
		t.Fatal(a.raw)
	}
	right := "appid=" + appid + "&appsecret=" + secret
	v2 := func(method, query, body string) reply {
		return must(t, wx.Client(), request(t, method, wx.URL+"/cgi-bin/clear_quota/v2?"+query, body))
	}
	for _, row := range []struct {
		method, query, body string
		state               simulator.State
		errcode             int
		errmsg              string
	}{
		{"GET", "", "", 0, 43002, "require POST method"},
		{"POST", "", "{", 0, 47001, "data format error"},
		{"POST", "", "", 0, 41002, "appid missing"},
		{"POST", "appid=wx1", "", 0, 40013, "invalid appid"},
		{"POST", "", `{"appid":"` + appid + `"}`, simulator.SecretFrozen, 41004, "appsecret missing"},
		{"POST", "appid=" + appid + "&appsecret=x", "", simulator.SecretFrozen, 40243, "AppSecret已被冻结"},
		{"POST", "appid=" + appid + "&appsecret=x", "", 0, 40125, "invalid appsecret"},
		{"POST", right, "", simulator.Frozen, 50007, "账号已冻结"},
	} {
		use(t, wx, func(a *simulator.Account) { a.State = row.state })
		expect(t, v2(row.method, row.query, row.body), row.errcode, row.errmsg)
	}
	use(t, wx, func(a *simulator.Account) { a.State, a.Whitelist = 0, []string{"192.0.2.1"} })
	expect(t, v2("POST", right, ""), 40164, "invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist")
	use(t, wx, func(a *simulator.Account) { a.Whitelist = nil })

	// 10 a month, both forms together; wrong ones do not count.
	forms := []func() reply{
		func() reply { return v2("POST", right, "") },
		func() reply { return v2("POST", "", fmt.Sprintf(`{"appid":"%s","appsecret":"%s"}`, appid, secret)) },
		func() reply {
			return ask(t, wx, token, apiCall{"POST", "/cgi-bin/clear_quota", "", `{"appid":"` + appid + `"}`})
		},
	}
	for i := range 10 {
		if a := forms[i%3](); a.raw != `{"errcode":0,"errmsg":"ok"}` {
			t.Fatal(i, a.raw)
		}
		if i == 0 {
			if a := classic(t, wx); a.Errcode != 0 {
				t.Errorf("still out of quota: %s", a.raw)
			}
			if a := stable(t, wx, true); a.Errcode != 45009 {
				t.Errorf("the forced refreshes came back: %s", a.raw)
			}
			token = wx.Latest(appid, simulator.Classic)
		}
	}
	expect(t, v2("POST", right, ""), 48006, "forbid to clear quota because of reaching the limit")
	expect(t, ask(t, wx, token, apiCall{"POST", "/cgi-bin/clear_quota", "", `{"appid":"` + appid + `"}`}), 48006, errText(48006))
	if a := ask(t, wx, wx.Supersede(miniAppID), apiCall{"POST", "/cgi-bin/clear_quota", "", `{"appid":"` + miniAppID + `"}`}); a.raw != `{"errcode":0,"errmsg":"ok"}` {
		t.Errorf("another account: %s", a.raw)
	}
	wx.Clock.Advance(32 * 24 * time.Hour)
	if a := ask(t, wx, wx.Supersede(appid), apiCall{"POST", "/cgi-bin/clear_quota", "", `{"appid":"` + appid + `"}`}); a.Errcode != 0 {
		t.Errorf("the next month: %s", a.raw)
	}
}

func TestQuotaGet(t *testing.T) {
	wx := simtest.InMemory(t, simulator.Options{Accounts: one()})
	atNoon(wx)
	token := wx.Supersede(appid)
	quota := func(path string) string {
		t.Helper()
		return ask(t, wx, token, apiCall{"POST", "/cgi-bin/openapi/quota/get", "", `{"cgi_path":"` + path + `"}`}).raw
	}
	wx.Hear(appid, simulator.Text("在吗"))
	ask(t, wx, token, apiCall{"POST", "/cgi-bin/message/custom/send", "", `{"touser":"` + follower(wx) + `","msgtype":"text","text":{"content":"在"}}`})
	if got := quota("/cgi-bin/message/custom/send"); got != `{"errcode":0,"errmsg":"ok","quota":{"daily_limit":500000,"used":1,"remain":499999}}` {
		t.Error(got)
	}
	if err := wx.Spend(appid, simulator.TokenPath, 1); err != nil {
		t.Fatal(err)
	}
	if got := quota(simulator.TokenPath); got != `{"errcode":0,"errmsg":"ok","quota":{"daily_limit":2000,"used":1999,"remain":1}}` {
		t.Error(got)
	}
	use(t, wx, func(a *simulator.Account) { a.TestAccount, a.MinuteCalls = true, 30 })
	if got := quota("/cgi-bin/user/get"); got != `{"errcode":0,"errmsg":"ok","quota":{"daily_limit":100,"used":0,"remain":100},"rate_limit":{"call_count":30,"refresh_second":60}}` {
		t.Error(got)
	}
	if got := quota("/cgi-bin/draft/add"); !strings.Contains(got, `"daily_limit":0,"used":0,"remain":0`) {
		t.Error(got)
	}
	if a := ask(t, wx, token, apiCall{"POST", "/cgi-bin/openapi/quota/clear", "", `{"cgi_path":"` + simulator.TokenPath + `"}`}); a.raw != `{"errcode":0,"errmsg":"ok"}` {
		t.Error(a.raw)
	}
	if got := quota(simulator.TokenPath); !strings.Contains(got, `"used":0`) {
		t.Error(got)
	}
	for what, err := range map[string]error{
		"there is no account wx1": wx.Spend("wx1", simulator.TokenPath, 0),
		"has no daily limit":      wx.Spend(appid, "/cgi-bin/draft/add", 0),
		"201 calls":               wx.Spend(appid, simulator.TokenPath, 201),
		"-1 calls":                wx.Spend(appid, simulator.TokenPath, -1),
	} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want %q", err, what)
		}
	}
}

// TestNearlySpent: the last call of a day passes, the next does not.
func TestNearlySpent(t *testing.T) {
	wx := simtest.InMemory(t, simulator.Options{Accounts: one()})
	atNoon(wx)
	if err := wx.Spend(appid, simulator.TokenPath, 1); err != nil {
		t.Fatal(err)
	}
	if a, b := classic(t, wx), classic(t, wx); a.Errcode != 0 || b.Errcode != 45009 {
		t.Error(a.raw, b.raw)
	}
	wx.Clock.Advance(24 * time.Hour)
	if a := classic(t, wx); a.Errcode != 0 {
		t.Error("the next day:", a.raw)
	}
}

func TestRIDGet(t *testing.T) {
	wx := simtest.New(t, simulator.Options{Accounts: one(), Skew: -time.Hour})
	token := wx.Supersede(appid)
	failed := ask(t, wx, token, apiCall{"POST", "/cgi-bin/message/custom/send", "", `{"touser":"陌生人"}`})
	rid := ridForm.FindStringSubmatch(failed.Errmsg)
	wx.Clock.Advance(time.Hour)
	a := ask(t, wx, token, apiCall{"POST", "/cgi-bin/openapi/rid/get", "", `{"rid":"` + rid[0][6:] + `"}`})
	var got struct {
		Request struct {
			InvokeTime int64  `json:"invoke_time"`
			Cost       int    `json:"cost_in_ms"`
			URL        string `json:"request_url"`
			Body       string `json:"request_body"`
			Response   string `json:"response_body"`
			IP         string `json:"client_ip"`
		} `json:"request"`
	}
	if err := json.Unmarshal([]byte(a.raw), &got); err != nil {
		t.Fatal(err, a.raw)
	}
	r := got.Request
	if fmt.Sprintf("%08x", r.InvokeTime) != rid[1] || r.URL != "access_token="+token || r.Body != `{"touser":"陌生人"}` || r.Response != failed.raw || r.IP != "127.0.0.1" {
		t.Errorf("%+v", r)
	}
	if age := time.Since(time.Unix(r.InvokeTime, 0)); age < time.Hour-time.Second || age > time.Hour+time.Minute {
		t.Errorf("with a skew of an hour, and a clock that moved, the rid is %s old", age)
	}
}

func TestTickets(t *testing.T) {
	wx := simtest.InMemory(t, simulator.Options{Accounts: one(), Life: 10 * time.Minute})
	fetch := func(kind string) string {
		t.Helper()
		a := ask(t, wx, wx.Supersede(appid), apiCall{"GET", simulator.TicketPath, "type=" + kind, ""})
		var got struct {
			Ticket    string `json:"ticket"`
			ExpiresIn int    `json:"expires_in"`
		}
		if err := json.Unmarshal([]byte(a.raw), &got); err != nil || got.ExpiresIn != 600 || len(got.Ticket) != 86 || !strings.HasPrefix(a.raw, `{"errcode":0,"errmsg":"ok","ticket":"`) {
			t.Fatal(a.raw)
		}
		return got.Ticket
	}
	js, card := fetch("jsapi"), fetch("wx_card")
	wx.Clock.Advance(9 * time.Minute)
	if js == card || fetch("jsapi") != js {
		t.Error("not one ticket for each type")
	}
	wx.Clock.Advance(9 * time.Minute) // its life began anew
	if value, left := wx.Ticket(appid, simulator.JSAPI); value != js || left < 30*time.Second || left > time.Minute || fetch("jsapi") != js {
		t.Error(value, left)
	}
	if value, _ := wx.Ticket(appid, simulator.Card); value != "" || fetch("wx_card") == card {
		t.Error("a ticket outlived its life")
	}
	wx.KillTicket(appid, simulator.JSAPI)
	if fetch("jsapi") == js {
		t.Error("a ticket outlived KillTicket")
	}
	if got := wx.Stats(appid); got.JSAPI != (simulator.PoolStats{Calls: 4, Issued: 2}) ||
		got.Card != (simulator.PoolStats{Calls: 2, Issued: 2}) {
		t.Errorf("%+v", got)
	}
}

func TestMenu(t *testing.T) {
	wx := simtest.InMemory(t, simulator.Options{Accounts: one()})
	token := wx.Supersede(appid)
	menu := `{"button":[{"type":"click","name":"菜单 & \\u","key":"V1"}]}`
	for _, row := range [][4]string{
		{"POST", "create", menu, `{"errcode":0,"errmsg":"ok"}`},
		{"GET", "get", "", `{"menu":` + menu + `}`},
		{"GET", "delete", "", `{"errcode":0,"errmsg":"ok"}`},
	} {
		if a := ask(t, wx, token, apiCall{row[0], "/cgi-bin/menu/" + row[1], "", row[2]}); a.raw != row[3] {
			t.Errorf("%s: %s", row[1], a.raw)
		}
	}
	expect(t, ask(t, wx, token, apiCall{"GET", "/cgi-bin/menu/get", "", ""}), 46003, "menu no exist")

	lax := simtest.InMemory(t, simulator.Options{Accounts: one(), AcceptEscapes: true})
	if a := ask(t, lax, lax.Supersede(appid), apiCall{"POST", "/cgi-bin/menu/create", "", `{"button":[{"type":"click","name":"\u4f60","key":"b"}]}`}); a.Errcode != 0 {
		t.Error(a.raw)
	}
}

func TestFollowers(t *testing.T) {
	accounts := one()
	accounts[0].Followers, accounts[0].Templates = []string{"oA", "oB", "oC"}, []string{"t"}
	wx := simtest.InMemory(t, simulator.Options{Accounts: accounts})
	token := wx.Supersede(appid)
	for _, row := range [][3]string{
		{"user/get", "", `{"total":3,"count":3,"data":{"openid":["oA","oB","oC"]},"next_openid":"oC"}`},
		{"user/get", "next_openid=oB", `{"total":3,"count":1,"data":{"openid":["oC"]},"next_openid":"oC"}`},
		{"user/get", "next_openid=oC", `{"total":3,"count":0,"next_openid":""}`},
	} {
		if a := ask(t, wx, token, apiCall{"GET", "/cgi-bin/" + row[0], row[1], ""}); a.raw != row[2] {
			t.Errorf("%v: %s", row, a.raw)
		}
	}
	if a := ask(t, wx, token, apiCall{"GET", "/cgi-bin/user/info", "openid=oA&lang=en", ""}); !strings.HasPrefix(a.raw, `{"subscribe":1,"openid":"oA","language":"en","subscribe_time":`) {
		t.Error(a.raw)
	}
	wx.Hear(appid, simulator.Text("在吗"))
	for _, row := range [][2]string{
		{"custom/send", `{"touser":"oA","msgtype":"text","text":{"content":"你好"}}`},
		{"custom/typing", `{"touser":"oA","command":"Typing"}`},
	} {
		if a := ask(t, wx, token, apiCall{"POST", "/cgi-bin/message/" + row[0], "", row[1]}); a.raw != `{"errcode":0,"errmsg":"ok"}` {
			t.Errorf("%v: %s", row, a.raw)
		}
	}
	if a := ask(t, wx, token, apiCall{"POST", "/cgi-bin/message/template/send", "", `{"touser":"oA","template_id":"t","data":{}}`}); !strings.HasPrefix(a.raw, `{"errcode":0,"errmsg":"ok","msgid":2`) {
		t.Error(a.raw)
	}
}

func TestMedia(t *testing.T) {
	wx := simtest.New(t, simulator.Options{Accounts: one()})
	token := wx.Supersede(appid)
	upload := func(kind, content string) string {
		t.Helper()
		var form bytes.Buffer
		w := multipart.NewWriter(&form)
		part, _ := w.CreateFormFile("media", "图.png")
		_, _ = part.Write([]byte(content))
		_ = w.Close()
		r := request(t, "POST", wx.URL+"/cgi-bin/media/upload?access_token="+token+"&type="+kind, form.String())
		r.Header.Set("Content-Type", w.FormDataContentType())
		a := must(t, wx.Client(), r)
		var got map[string]any
		_ = json.Unmarshal([]byte(a.raw), &got)
		id, _ := got["media_id"].(string)
		if kind == "thumb" {
			id, _ = got["thumb_media_id"].(string)
		}
		if id == "" || got["type"] != kind {
			t.Fatal(a.raw)
		}
		return id
	}
	png := "\x89PNG\r\n\x1a\n" + strings.Repeat("\x00", 2<<20) // more than other bodies may have
	id := upload("image", png)
	upload("thumb", "x")
	a := ask(t, wx, token, apiCall{"GET", "/cgi-bin/media/get", "media_id=" + id, ""})
	if a.raw != png || a.header.Get("Content-Type") != "image/png" ||
		!strings.HasPrefix(a.header.Get("Content-Disposition"), "attachment; filename") {
		t.Errorf("%d bytes, %v", len(a.raw), a.header)
	}
	var e simulator.Event
	patience.Until(t, "the record of the call", func() bool { // so long an answer arrives before it
		e = wx.Events()[len(wx.Events())-1]
		return e.Path == "/cgi-bin/media/get"
	})
	if e.Response != fmt.Sprintf("(%d bytes)", len(png)) {
		t.Errorf("the record of %s holds %d bytes", e.Path, len(e.Response))
	}
	if a := ask(t, wx, token, apiCall{"GET", "/cgi-bin/media/get", "media_id=" + upload("video", "x"), ""}); !strings.HasPrefix(a.raw, `{"video_url":"http://`) {
		t.Error(a.raw)
	}
	for range 20 {
		upload("image", png)
	}
	expect(
		t,
		ask(t, wx, token, apiCall{"GET", "/cgi-bin/media/get", "media_id=" + id, ""}),
		40007,
		"invalid media_id",
	) // too much was uploaded since
	id = upload("image", png)
	wx.Clock.Advance(3 * 24 * time.Hour)
	expect(t, ask(t, wx, wx.Supersede(appid), apiCall{"GET", "/cgi-bin/media/get", "media_id=" + id, ""}), 40007, "invalid media_id")
}

func TestQRCode(t *testing.T) {
	wx := simtest.InMemory(t, simulator.Options{Accounts: one()})
	token := wx.Supersede(appid)
	create := func(body string) (ticket string, seconds any) {
		t.Helper()
		a := ask(t, wx, token, apiCall{"POST", "/cgi-bin/qrcode/create", "", body})
		var got map[string]any
		_ = json.Unmarshal([]byte(a.raw), &got)
		ticket, _ = got["ticket"].(string)
		if ticket == "" || got["url"] == nil {
			t.Fatal(a.raw)
		}
		return ticket, got["expire_seconds"]
	}
	show := func(ticket string) reply {
		return must(t, wx.Client(), request(t, "GET", wx.URL+"/cgi-bin/showqrcode?ticket="+url.QueryEscape(ticket), ""))
	}
	brief, seconds := create(`{"expire_seconds":600,"action_name":"QR_SCENE","action_info":{"scene":{"scene_id":123}}}`)
	if seconds != 600.0 {
		t.Error(seconds)
	}
	lasting, seconds := create(`{"action_name":"QR_LIMIT_STR_SCENE","action_info":{"scene":{"scene_str":"test"}}}`)
	if seconds != nil {
		t.Error(seconds)
	}
	for _, ticket := range []string{brief, lasting} {
		if a := show(ticket); a.status != 200 || !strings.HasPrefix(a.raw, "\xff\xd8\xff") || a.header.Get("Content-Type") != "image/jpg" {
			t.Errorf("%d %.8q", a.status, a.raw)
		}
	}
	wx.Clock.Advance(10 * time.Minute)
	if a, b, c := show(brief), show(lasting), show("x"); a.status != 404 || b.status != 200 || c.status != 404 {
		t.Error(a.status, b.status, c.status)
	}
}

func TestDiagnosisAnswers(t *testing.T) {
	wx := simtest.InMemory(t, simulator.Options{Accounts: one()})
	token := wx.Supersede(appid)
	use(t, wx, func(a *simulator.Account) { a.CallbackURL = "http://127.0.0.1:3100/" })
	for body, want := range map[string]string{
		`{"action":"all","check_operator":"DEFAULT"}`:  `{"dns":[{"ip":"203.0.113.30","real_operator":"UNICOM"}],"ping":[{"ip":"203.0.113.30","from_operator":"UNICOM","package_loss":"0%","time":"23.079ms"}]}`,
		`{"action":"dns","check_operator":"CHINANET"}`: `{"dns":[{"ip":"203.0.113.30","real_operator":"CHINANET"}]}`,
		`{"action":"ping","check_operator":"CAP"}`:     `{"ping":[{"ip":"203.0.113.30","from_operator":"CAP","package_loss":"0%","time":"23.079ms"}]}`,
	} {
		if a := ask(t, wx, token, apiCall{"POST", "/cgi-bin/callback/check", "", body}); a.raw != want {
			t.Error(a.raw)
		}
	}
	if a := ask(t, wx, token, apiCall{"GET", "/cgi-bin/getcallbackip", "", ""}); len(a.IPs) == 0 || a.Errcode != 0 {
		t.Error(a.raw)
	}
}
