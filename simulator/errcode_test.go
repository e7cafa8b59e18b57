package simulator_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// TestFetchRefusals sends each wrong fetch over a socket. A row's request has
// everything wrong that comes later in the order of checks, so that the order is
// tested with the errcodes.
func TestFetchRefusals(t *testing.T) {
	const outside = "192.0.2.1" // a whitelist on which loopback does not stand
	rows := []struct {
		name    string
		method  string // "" is the right one
		query   string // of the classic endpoint
		body    string // of stable_token; "" where the row is the classic endpoint's alone
		account simulator.Account
		fetches int // good fetches before
		errcode int
		errmsg  string
	}{
		{name: "method", method: "PUT", query: "", body: "{", errcode: 43001, errmsg: "require GET method"},
		{name: "no body", query: "none", body: "empty", errcode: 44002, errmsg: "empty post data"},
		{name: "not JSON", query: "none", body: "{", errcode: 47001, errmsg: "data format error"},
		{name: "wrong types", query: "none", body: `{"appid":7}`, errcode: 47001, errmsg: "data format error"},
		{name: "no appid", query: "grant_type=x", body: `{"grant_type":"x"}`, errcode: 41002, errmsg: "appid missing"},
		{name: "unknown appid", query: "appid=wx0000000000000000", body: `{"appid":"wx0000000000000000"}`, errcode: 40013, errmsg: "invalid appid"},
		{name: "appid in another case", query: "appid=WX0123456789ABCDEF", body: `{"appid":"WX0123456789ABCDEF"}`, errcode: 40013, errmsg: "invalid appid"},
		{
			name: "no grant_type", query: "appid=" + appid, body: `{"appid":"` + appid + `"}`,
			account: simulator.Account{State: simulator.SecretFrozen}, errcode: 40002, errmsg: "invalid grant_type",
		},
		{
			name: "no secret", query: "grant_type=client_credential&appid=" + appid, body: `{"grant_type":"client_credential","appid":"` + appid + `"}`,
			account: simulator.Account{State: simulator.SecretFrozen}, errcode: 41004, errmsg: "appsecret missing",
		},
		{name: "frozen secret", query: "wrong", body: "wrong", account: simulator.Account{State: simulator.SecretFrozen}, errcode: 40243, errmsg: "AppSecret已被冻结"},
		{
			name: "wrong secret", query: "wrong", body: "wrong",
			account: simulator.Account{State: simulator.Frozen, Whitelist: []string{outside}}, errcode: 40125, errmsg: "invalid appsecret",
		},
		{
			name: "banned", query: "right", body: "right", account: simulator.Account{State: simulator.Banned, Whitelist: []string{outside}},
			errcode: 50004, errmsg: "user not allow to use accesstoken, maybe for punishment",
		},
		{
			name: "frozen", query: "right", body: "right", account: simulator.Account{State: simulator.Frozen, Whitelist: []string{outside}},
			errcode: 50007, errmsg: "账号已冻结",
		},
		{
			name: "third party", query: "right", body: "right", account: simulator.Account{State: simulator.ThirdParty, Whitelist: []string{outside}},
			errcode: 61024, errmsg: "must use api(api_component_token) to get token for component acct",
		},
		{
			name: "whitelist", query: "right", body: "right", account: simulator.Account{State: simulator.ApprovalNeeded, Whitelist: []string{outside}},
			errcode: 40164, errmsg: "invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist",
		},
		{
			name: "whitelist of a mini program", query: "right", body: "right",
			account: simulator.Account{Kind: simulator.MiniProgram, Whitelist: []string{"192.0.2.*"}},
			errcode: 40164, errmsg: "invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist",
		},
		{
			name: "confirmation pending", query: "right", body: "right", account: simulator.Account{State: simulator.ConfirmationPending},
			errcode: 89501, errmsg: "公众号有未处理的确认请求，请稍候重试",
		},
		{
			name: "approval needed", query: "right", body: "right", account: simulator.Account{State: simulator.ApprovalNeeded},
			errcode: 89503, errmsg: "此次调用需要管理员确认，请耐心等候",
		},
		{
			name: "refused for a day", query: "right", body: "right", account: simulator.Account{State: simulator.RefusedForDay},
			errcode: 89506, errmsg: "该IP调用求请求已被公众号管理员拒绝，请24小时后再试，建议调用前与管理员沟通确认",
		},
		{
			name: "refused for an hour", query: "right", body: "right", account: simulator.Account{State: simulator.RefusedForHour},
			errcode: 89507, errmsg: "该IP调用求请求已被公众号管理员拒绝，请1小时后再试，建议调用前与管理员沟通确认",
		},
		{
			name: "minute limit", query: "right", body: "right", account: simulator.Account{MinuteFetches: 2, MinuteStable: 2, DailyFetches: 2, DailyStable: 2}, fetches: 2,
			errcode: 45011, errmsg: "api minute-quota reach limit, must slower, retry next minute",
		},
		{
			name: "day limit", query: "right", body: "right", account: simulator.Account{DailyFetches: 2, DailyStable: 2}, fetches: 2,
			errcode: 45009, errmsg: "reach max api daily quota limit",
		},
	}
	for _, row := range rows {
		row.account.AppID, row.account.Secret = appid, secret
		check := func(t *testing.T, path string, send func(wx *simtest.Sim) reply, fetch func(*simtest.Sim)) {
			t.Helper()
			wx := simtest.New(t, simulator.Options{Accounts: []simulator.Account{row.account}})
			atNoon(wx)
			for range row.fetches {
				fetch(wx)
			}
			before := time.Now().Unix() // which is a rid's time wherever the clock is
			a := send(wx)
			want, errcode := row.errmsg, row.errcode
			if row.method != "" && path == simulator.StableTokenPath {
				want, errcode = "require POST method", 43002
			}
			rid := ridForm.FindStringSubmatch(a.Errmsg)
			if a.status != http.StatusOK || a.Errcode != errcode || rid == nil || strings.TrimSuffix(a.Errmsg, rid[0]) != want {
				t.Errorf("%s answers %d %s\nwant 200, errcode %d, %q and a rid", path, a.status, a.raw, errcode, want)
			}
			if rid != nil {
				if at, _ := strconv.ParseInt(rid[1], 16, 64); at < before || at > before+5 {
					t.Errorf("the rid's time is %d, now is %d", at, before)
				}
			}
			if got := a.header.Get("Content-Type"); got != "application/json; encoding=utf-8" {
				t.Errorf("Content-Type is %q", got)
			}
			if a.Token != "" {
				t.Errorf("a token beside an errcode: %s", a.raw)
			}
		}
		if row.query != "none" {
			t.Run("token/"+row.name, func(t *testing.T) {
				check(t, simulator.TokenPath, func(wx *simtest.Sim) reply {
					query := row.query
					switch query {
					case "right":
						query = "grant_type=client_credential&appid=" + appid + "&secret=" + secret
					case "wrong":
						query = "grant_type=client_credential&appid=" + appid + "&secret=wrong"
					}
					return must(t, wx.Client(), request(t, either(row.method, "GET"), wx.URL+simulator.TokenPath+"?"+query, ""))
				}, func(wx *simtest.Sim) { classic(t, wx) })
			})
		}
		t.Run("stable_token/"+row.name, func(t *testing.T) {
			check(t, simulator.StableTokenPath, func(wx *simtest.Sim) reply {
				body := row.body
				switch body {
				case "right":
					body = stableBody(wx, false)
				case "wrong":
					body = strings.Replace(stableBody(wx, false), secret, "wrong", 1)
				case "empty":
					body = ""
				}
				return must(t, wx.Client(), request(t, either(row.method, "POST"), wx.URL+simulator.StableTokenPath, body))
			}, func(wx *simtest.Sim) { stable(t, wx, false) })
		})
	}
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// tokenPaths are paths that take a token.
var tokenPaths = []string{simulator.DomainIPPath, simulator.TicketPath, "/cgi-bin/menu/get", "/cgi-bin/message/custom/send", "/card/create"}

// use changes the account.
func use(t *testing.T, wx *simtest.Sim, change func(*simulator.Account)) {
	t.Helper()
	if err := wx.Update(appid, change); err != nil {
		t.Fatal(err)
	}
}

// TestTokenRefusals calls APIs with every sort of bad token, over a socket.
func TestTokenRefusals(t *testing.T) {
	const outside = "192.0.2.1"
	const invalid = "invalid credential, access_token is invalid or not latest, could get access_token by getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r"
	rows := []struct {
		name    string
		query   func(wx *simtest.Sim, token string) string
		errcode int
		errmsg  string
	}{
		{"missing", func(*simtest.Sim, string) string { return "" }, 41001, "access_token missing"},
		{"empty", func(*simtest.Sim, string) string { return "access_token=" }, 41001, "access_token missing"},
		{"another name", func(_ *simtest.Sim, token string) string { return "token=" + token }, 41001, "access_token missing"},
		{"malformed", func(*simtest.Sim, string) string { return "access_token=x" }, 40001, invalid},
		{"unknown", func(_ *simtest.Sim, token string) string {
			return "access_token=" + token[:len(token)-2] + "??"
		}, 40001, invalid},
		{"superseded", func(wx *simtest.Sim, token string) string {
			wx.Supersede(appid)
			wx.Clock.Advance(5 * time.Minute)
			wx.SetWhitelist(appid, outside)
			return "access_token=" + token
		}, 40001, invalid},
		{"third generation", func(wx *simtest.Sim, token string) string {
			wx.Supersede(appid)
			wx.Supersede(appid)
			return "access_token=" + token
		}, 40001, invalid},
		{"killed", func(wx *simtest.Sim, token string) string {
			wx.Kill(appid)
			wx.Clock.Advance(3 * time.Hour) // what came first counts
			return "access_token=" + token
		}, 40001, invalid},
		{"refused", func(wx *simtest.Sim, token string) string {
			wx.Refuse(token)
			return "access_token=" + token
		}, 40001, invalid},
		{"at its end", func(wx *simtest.Sim, token string) string {
			wx.Clock.Advance(2 * time.Hour)
			wx.SetWhitelist(appid, outside)
			return "access_token=" + token
		}, 42001, "access_token expired"},
		{"at its end, superseded later", func(wx *simtest.Sim, token string) string {
			wx.Clock.Advance(2 * time.Hour)
			wx.Supersede(appid)
			wx.Supersede(appid)
			return "access_token=" + token
		}, 42001, "access_token expired"},
		{"at its end during the overlap", func(wx *simtest.Sim, token string) string {
			wx.Clock.Advance(2*time.Hour - time.Minute)
			wx.Supersede(appid)
			wx.Clock.Advance(10 * time.Minute)
			return "access_token=" + token
		}, 42001, "access_token expired"},
		{"minute limit", func(wx *simtest.Sim, token string) string {
			limits := map[string]int{}
			for _, path := range tokenPaths {
				limits[path] = 1
			}
			use(t, wx, func(a *simulator.Account) { a.MinuteCalls, a.DailyCalls = 1, limits })
			for _, path := range tokenPaths {
				call(t, wx, path, token)
			}
			wx.SetWhitelist(appid, outside)
			return "access_token=" + token
		}, 45011, "api minute-quota reach limit, must slower, retry next minute"},
		{"day limit", func(wx *simtest.Sim, token string) string {
			limits := map[string]int{}
			for _, path := range tokenPaths {
				limits[path] = 5
			}
			use(t, wx, func(a *simulator.Account) { a.DailyCalls, a.Whitelist = limits, []string{outside} })
			for _, path := range tokenPaths {
				if err := wx.Spend(appid, path, 0); err != nil {
					t.Fatal(err)
				}
			}
			return "access_token=" + token
		}, 45009, "reach max api daily quota limit"},
		{"whitelist", func(wx *simtest.Sim, token string) string {
			wx.SetWhitelist(appid, outside)
			return "access_token=" + token
		}, 40164, "invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			wx := simtest.New(t, simulator.Options{Accounts: one()})
			atNoon(wx)
			query := row.query(wx, classic(t, wx).Token)
			for _, path := range tokenPaths {
				r := request(t, "POST", wx.URL+path+"?"+query, `{"access_token":"x"}`)
				r.Header.Set("Authorization", "Bearer x")
				a := must(t, wx.Client(), r)
				if a.status != http.StatusOK || a.Errcode != row.errcode || ridForm.ReplaceAllString(a.Errmsg, "") != row.errmsg ||
					!ridForm.MatchString(a.Errmsg) {
					t.Errorf("%s answers %d %s\nwant 200, errcode %d and %q", path, a.status, a.raw, row.errcode, row.errmsg)
				}
			}
		})
	}
}

func TestPaths(t *testing.T) {
	wx := simtest.New(t, simulator.Options{Accounts: one()})
	token := classic(t, wx).Token
	for _, path := range []string{
		"/cgi-bin/draft/add", "/wxaapi/newtmpl/gettemplate", "/card/create", "/datacube/getusersummary", "/customservice/getkflist",
		"/cgi-bin/a/b/c",
	} {
		if a := call(t, wx, path, token); a.status != 200 || a.Errcode != 0 || a.Errmsg != "ok" || !strings.Contains(a.raw, "not simulated") {
			t.Errorf("%s: %d %s", path, a.status, a.raw)
		}
	}
	if a := call(t, wx, simulator.DomainIPPath, token); a.status != 200 || len(a.IPs) == 0 || a.Errmsg != "" {
		t.Errorf("get_api_domain_ip: %d %s", a.status, a.raw)
	}
	for _, path := range []string{"/", "/cgi-bin", "/cgi-bin/", "/favicon.ico", "/sns/", "/sns/component/access_token", "/CGI-BIN/token"} {
		expectNotSimulated(t, path, call(t, wx, path, token))
	}
}

// expectNotSimulated: WeChat's form, and a text that tells a mistake in the path from an
// API that the simulator does not have.
func expectNotSimulated(t *testing.T, path string, a reply) {
	t.Helper()
	if want := "invalid url, not simulated: " + path; a.status != http.StatusNotFound || a.Errcode != 40066 ||
		strings.TrimSuffix(ridForm.ReplaceAllString(a.Errmsg, ""), ",") != want || !ridForm.MatchString(a.Errmsg) {
		t.Errorf("%s: %d %s, want 404, 40066, %q and a rid", path, a.status, a.raw, want)
	}
}

func TestWhitelist(t *testing.T) {
	wx := simtest.InMemory(t, simulator.Options{Accounts: []simulator.Account{
		{AppID: appid, Secret: secret, Whitelist: []string{"192.0.2.7", "198.51.100.0/24", "2001:db8::/32", "::ffff:203.0.113.5"}},
		{AppID: "wx00000000000000aa", Secret: "mini", Kind: simulator.MiniProgram, Whitelist: []string{"198.51.100.*"}},
	}})
	fetch := func(ip, appid, secret string) reply {
		client := &http.Client{Transport: wx.RoundTripperFrom(ip)}
		return must(
			t,
			client,
			request(t, "GET", fmt.Sprintf("%s%s?grant_type=client_credential&appid=%s&secret=%s", wx.URL, simulator.TokenPath, appid, secret), ""),
		)
	}
	for ip, want := range map[string]int{
		"192.0.2.7": 0, "192.0.2.8": 40164, "198.51.100.255": 0, "198.51.101.0": 40164, "2001:db8::9": 0, "2001:db9::": 40164,
		"::ffff:192.0.2.7": 0, "203.0.113.5": 0, "not an address": 40164,
	} {
		if a := fetch(ip, appid, secret); a.Errcode != want {
			t.Errorf("%s: %s", ip, a.raw)
		}
	}
	if a := fetch("2001:db9::1", appid, secret); !strings.HasPrefix(a.Errmsg,
		"invalid ip 2001:db9::1 ipv6 2001:db9::1, not in whitelist rid: ") {
		t.Error(a.Errmsg)
	}

	mini := fetch("198.51.100.1", "wx00000000000000aa", "mini")
	if mini.Token == "" {
		t.Fatal(mini.raw)
	}
	client := &http.Client{Transport: wx.RoundTripperFrom("192.0.2.99")}
	if a := must(t, client, request(t, "GET", wx.URL+simulator.DomainIPPath+"?access_token="+mini.Token, "")); a.Errcode != 0 {
		t.Errorf("a mini program's whitelist reached an API: %s", a.raw)
	}
}

func TestChunkedBody(t *testing.T) {
	for _, accept := range []bool{false, true} {
		for name, start := range ways {
			wx := start(t, simulator.Options{Accounts: one(), AcceptChunked: accept})
			r := request(t, "POST", wx.URL+simulator.StableTokenPath, stableBody(wx, false))
			r.ContentLength = 0 // what net/http takes for unknown
			a := must(t, wx.Client(), r)
			if accept && a.Token == "" {
				t.Errorf("%s: %d %s", name, a.status, a.raw)
			}
			if !accept && (a.status != http.StatusPreconditionFailed || a.raw != "") {
				t.Errorf("%s: %d %s, want 412 and nothing", name, a.status, a.raw)
			}
		}
	}
}
