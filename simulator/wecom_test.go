package simulator_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/simulator"
)

const (
	corpID    = "ww0123456789abcdef"
	agentApp  = corpID + ":1000002"
	otherApp  = corpID + ":1000003"
	foreigner = "wwfedcba9876543210:1000002"
)

func agents() []simulator.Account {
	key := "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
	return []simulator.Account{
		{AppID: "wx0123456789abcdef", Secret: "official"},
		{AppID: agentApp, Kind: simulator.WeCom, Secret: "first", Token: "QDG6eK", AESKey: key, Followers: []string{"zhangsan", "lisi"}},
		{AppID: otherApp, Kind: simulator.WeCom, Secret: "second"},
		{AppID: foreigner, Kind: simulator.WeCom, Secret: "third"},
	}
}

func newCorp(t *testing.T, options simulator.Options) *simulator.Simulator {
	t.Helper()
	options.Accounts, options.Seed = agents(), 1
	s, err := simulator.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// qyapi asks WeCom for a path with a query, from an address; a body is posted.
func qyapi(t *testing.T, s *simulator.Simulator, ip, path, body string) map[string]any {
	t.Helper()
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(t.Context(), method, "https://qyapi.weixin.qq.com"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.RoundTripperFrom(ip).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return answer
}

func code(answer map[string]any) int { return int(answer["errcode"].(float64)) }

func getToken(t *testing.T, s *simulator.Simulator, secret string) (value string, left int) {
	t.Helper()
	answer := qyapi(t, s, "127.0.0.1", "/cgi-bin/gettoken?corpid="+corpID+"&corpsecret="+secret, "")
	if code(answer) != 0 {
		t.Fatal(answer)
	}
	return answer["access_token"].(string), int(answer["expires_in"].(float64))
}

// TestGetToken: the same token with what is left of its life while it lives, another one
// for each secret, and a new one when WeCom has ended it early.
func TestGetToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCorp(t, simulator.Options{})
		first, left := getToken(t, s, "first")
		if left != 7200 {
			t.Errorf("expires_in is %d", left)
		}
		time.Sleep(7100 * time.Second)
		if again, left := getToken(t, s, "first"); again != first || left != 100 {
			t.Errorf("another token, or expires_in %d", left)
		}
		if other, _ := getToken(t, s, "second"); other == first {
			t.Error("two apps have one token")
		}
		time.Sleep(101 * time.Second)
		answer := qyapi(t, s, "127.0.0.1", "/cgi-bin/user/get?userid=zhangsan&access_token="+first, "")
		if code(answer) != 42001 {
			t.Errorf("an old token: %v", answer)
		}
		next, _ := getToken(t, s, "first")
		if next == first || !s.Accepts(next) {
			t.Error("the token that has ended is answered again")
		}
		s.Kill(agentApp)
		answer = qyapi(t, s, "127.0.0.1", "/cgi-bin/user/get?userid=zhangsan&access_token="+next, "")
		if errmsg := answer["errmsg"].(string); code(answer) != 40014 || !strings.HasPrefix(errmsg, "invalid access_token, hint: [") ||
			!strings.HasSuffix(errmsg, "], from ip: 127.0.0.1, more info at https://open.work.weixin.qq.com/devtool/query?e=40014") {
			t.Errorf("a token that was ended: %v", answer)
		}
		if last, _ := getToken(t, s, "first"); last == next {
			t.Error("a token that was ended is answered again")
		}
	})
}

// TestGetTokenRefusals: each refusal of gettoken has the fields of a success, empty.
func TestGetTokenRefusals(t *testing.T) {
	s := newCorp(t, simulator.Options{})
	for query, want := range map[string]int{
		"corpsecret=first":                       41002,
		"corpid=ww00&corpsecret=first":           40013,
		"corpid=" + corpID:                       41004,
		"corpid=" + corpID + "&corpsecret=x":     40001,
		"corpid=" + corpID + "&corpsecret=third": 40091,
	} {
		answer := qyapi(t, s, "127.0.0.1", "/cgi-bin/gettoken?"+query, "")
		if code(answer) != want || answer["access_token"] != "" || answer["expires_in"] != 0.0 {
			t.Errorf("%s: %v", query, answer)
		}
	}
	if s.Stats("").Stable.Calls != 5 {
		t.Errorf("the calls of nobody are %+v", s.Stats(""))
	}
}

// TestFaultyFetches: 2,000 faulty calls of gettoken block it for an hour, for the corp.
func TestFaultyFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCorp(t, simulator.Options{Events: -1})
		for range 2000 {
			if answer := qyapi(t, s, "127.0.0.1", "/cgi-bin/gettoken?corpid="+corpID+"&corpsecret=x", ""); code(answer) != 40001 {
				t.Fatal(answer)
			}
		}
		right := "/cgi-bin/gettoken?corpid=" + corpID + "&corpsecret=first"
		if answer := qyapi(t, s, "127.0.0.1", right, ""); code(answer) != 45009 {
			t.Errorf("after 2,000 faulty calls: %v", answer)
		}
		if answer := qyapi(t, s, "127.0.0.1", "/cgi-bin/gettoken?corpid=wwfedcba9876543210&corpsecret=third", ""); code(answer) != 0 {
			t.Errorf("another corp: %v", answer)
		}
		time.Sleep(time.Hour)
		if answer := qyapi(t, s, "127.0.0.1", right, ""); code(answer) != 0 {
			t.Errorf("an hour later: %v", answer)
		}
	})
}

// TestTrustedAddresses: gettoken answers any address, the APIs those that the app trusts.
func TestTrustedAddresses(t *testing.T) {
	s := newCorp(t, simulator.Options{})
	s.SetWhitelist(agentApp, "198.51.100.0/24")
	token, _ := getToken(t, s, "first")
	path := "/cgi-bin/get_api_domain_ip?access_token=" + token
	if answer := qyapi(t, s, "198.51.100.9", path, ""); code(answer) != 0 {
		t.Errorf("a trusted address: %v", answer)
	}
	answer := qyapi(t, s, "203.0.113.7", path, "")
	if errmsg := answer["errmsg"].(string); code(answer) != 60020 ||
		!strings.HasPrefix(errmsg, "not allow to access from your ip, hint: [") || !strings.Contains(errmsg, "], from ip: 203.0.113.7, more info at ") {
		t.Errorf("another one: %v", answer)
	}
	if !s.Accepts(token) {
		t.Error("60020 says something about the token")
	}
}

// TestCorpTickets: the corp's ticket is that of all its apps, each app has one of its own,
// and an app gets 100 in an hour, a corp 400.
func TestCorpTickets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCorp(t, simulator.Options{Events: -1})
		first, _ := getToken(t, s, "first")
		second, _ := getToken(t, s, "second")
		corp := qyapi(t, s, "127.0.0.1", "/cgi-bin/get_jsapi_ticket?access_token="+first, "")
		agent := qyapi(t, s, "127.0.0.1", "/cgi-bin/ticket/get?type=agent_config&access_token="+first, "")
		if other := qyapi(t, s, "127.0.0.1", "/cgi-bin/get_jsapi_ticket?access_token="+second, ""); other["ticket"] != corp["ticket"] || corp["ticket"] == "" {
			t.Errorf("%v and %v are of one corp", corp, other)
		}
		if other := qyapi(t, s, "127.0.0.1", "/cgi-bin/ticket/get?type=agent_config&access_token="+second, ""); other["ticket"] == agent["ticket"] {
			t.Errorf("%v is of two apps", other)
		}
		if value, _ := s.Ticket(agentApp, "agent_config"); value != agent["ticket"] {
			t.Errorf("Ticket says %q", value)
		}
		for range 99 {
			if answer := qyapi(t, s, "127.0.0.1", "/cgi-bin/ticket/get?type=agent_config&access_token="+first, ""); code(answer) != 0 {
				t.Fatal(answer)
			}
		}
		if answer := qyapi(t, s, "127.0.0.1", "/cgi-bin/ticket/get?type=agent_config&access_token="+first, ""); code(answer) != 45009 {
			t.Errorf("the 101st in an hour: %v", answer)
		}
		time.Sleep(61 * time.Minute)
		if answer := qyapi(t, s, "127.0.0.1", "/cgi-bin/ticket/get?type=agent_config&access_token="+first, ""); code(answer) != 0 {
			t.Errorf("after the hour: %v", answer)
		}
		s.KillTicket(agentApp, simulator.JSAPI)
		if answer := qyapi(t, s, "127.0.0.1", "/cgi-bin/get_jsapi_ticket?access_token="+second, ""); answer["ticket"] == corp["ticket"] {
			t.Error("a ticket that was killed is answered again")
		}
	})
}

// TestCorpSend: messages reach members of the app's own agent.
func TestCorpSend(t *testing.T) {
	s := newCorp(t, simulator.Options{})
	token, _ := getToken(t, s, "first")
	for body, want := range map[string]int{
		`{"touser":"zhangsan","msgtype":"text","agentid":1000002,"text":{"content":"你好"}}`:         0,
		`{"touser":"zhangsan|wangwu","msgtype":"text","agentid":"1000002","text":{"content":"x"}}`: 0,
		`{"toparty":"1","msgtype":"markdown","agentid":1000002,"markdown":{"content":"x"}}`:        0,
		`{"touser":"wangwu","msgtype":"text","agentid":1000002,"text":{"content":"x"}}`:            81013,
		`{"touser":"zhangsan","msgtype":"text","agentid":1000003,"text":{"content":"x"}}`:          301002,
		`{"touser":"zhangsan","msgtype":"text","agentid":7,"text":{"content":"x"}}`:                40056,
		`{"touser":"zhangsan","msgtype":"dance","agentid":1000002}`:                                40008,
		`{"touser":"zhangsan","msgtype":"text","agentid":1000002}`:                                 44004,
		`[]`: 47001,
	} {
		answer := qyapi(t, s, "127.0.0.1", "/cgi-bin/message/send?access_token="+token, body)
		if code(answer) != want {
			t.Errorf("%s: %v, want %d", body, answer, want)
		}
		if strings.Contains(body, "|wangwu") && answer["invaliduser"] != "wangwu" {
			t.Errorf("%s: %v", body, answer)
		}
	}
	if answer := qyapi(t, s, "127.0.0.1", "/cgi-bin/user/get?userid=lisi&access_token="+token, ""); answer["userid"] != "lisi" {
		t.Errorf("a member: %v", answer)
	}
	if answer := qyapi(t, s, "127.0.0.1", "/cgi-bin/user/get?userid=nobody&access_token="+token, ""); code(answer) != 60111 {
		t.Errorf("nobody: %v", answer)
	}
	for path, want := range map[string]int{"/cgi-bin/getcallbackip": 0, "/cgi-bin/department/list": 0} {
		if answer := qyapi(t, s, "127.0.0.1", path+"?access_token="+token, ""); code(answer) != want {
			t.Errorf("%s: %v", path, answer)
		}
	}
	for _, query := range []string{"", "?access_token=madeUp"} {
		if answer := qyapi(t, s, "127.0.0.1", "/cgi-bin/user/get"+query, ""); code(answer) != map[string]int{"": 41001}[query] && code(answer) != 40014 {
			t.Errorf("%q: %v", query, answer)
		}
	}
}

// TestCorpMedia: what one app of a corp has uploaded, another one gets.
func TestCorpMedia(t *testing.T) {
	s := newCorp(t, simulator.Options{})
	first, _ := getToken(t, s, "first")
	second, _ := getToken(t, s, "second")
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("media", "report.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(part, "年度报告")
	_ = form.Close()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://qyapi.weixin.qq.com/cgi-bin/media/upload?type=file&access_token="+first, &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	var uploaded map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &uploaded); err != nil || uploaded["media_id"] == "" || uploaded["type"] != "file" {
		t.Fatalf("%s: %v", w.Body, err)
	}
	get := httptest.NewRequestWithContext(t.Context(), http.MethodGet,
		fmt.Sprintf("https://qyapi.weixin.qq.com/cgi-bin/media/get?media_id=%s&access_token=%s", uploaded["media_id"], second), nil)
	w = httptest.NewRecorder()
	s.ServeHTTP(w, get)
	if w.Body.String() != "年度报告" {
		t.Errorf("downloaded %q", w.Body)
	}
	if answer := qyapi(t, s, "127.0.0.1", "/cgi-bin/media/get?media_id=x&access_token="+first, ""); code(answer) != 40007 {
		t.Errorf("no media: %v", answer)
	}
}

// TestBesideOfficialAccounts: one simulator plays both hosts, and tells them apart by
// token, Host and path.
func TestBesideOfficialAccounts(t *testing.T) {
	s := newCorp(t, simulator.Options{})
	official := s.Supersede("wx0123456789abcdef")
	ask := func(host, path string) string {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+path, nil)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Body.String()
	}
	if got := ask("api.weixin.qq.com", "/cgi-bin/user/get?access_token="+official); !strings.Contains(got, `"openid"`) {
		t.Error(got)
	}
	if got := ask("api.weixin.qq.com", "/cgi-bin/user/get?access_token=x"); !strings.Contains(got, `"errcode":40001`) {
		t.Error(got)
	}
	if got := ask("qyapi.weixin.qq.com", "/cgi-bin/user/get?access_token=x"); !strings.Contains(got, `"errcode":40014`) {
		t.Error(got)
	}
	if err := s.Update(agentApp, func(a *simulator.Account) { a.Kind = simulator.OfficialAccount }); err == nil {
		t.Error("a WeCom app became an official account")
	}
}

// TestCorpAccounts: what cannot be a WeCom app.
func TestCorpAccounts(t *testing.T) {
	for name, a := range map[string]simulator.Account{
		"no agent":   {AppID: corpID, Secret: "x"},
		"odd agent":  {AppID: corpID + ":sales", Secret: "x"},
		"no corp":    {AppID: ":1000002", Secret: "x"},
		"no AES key": {AppID: agentApp, Secret: "x", Token: "abc"},
		"plain":      {AppID: agentApp, Secret: "x", Mode: simulator.Plain},
	} {
		a.Kind = simulator.WeCom
		if _, err := simulator.New(simulator.Options{Accounts: []simulator.Account{a}}); err == nil {
			t.Errorf("%s: New takes it", name)
		}
	}
}

// TestCorpPushForm: a push carries msg_signature alone, and its envelope names corp and agent.
func TestCorpPushForm(t *testing.T) {
	s := newCorp(t, simulator.Options{})
	r, err := s.NewRequest(t.Context(), simulator.Push{
		AppID: agentApp, URL: "http://app.example/wecom?a=b", Message: simulator.Text("你好"),
		Timestamp: "1409659589", Nonce: "263014780", Random: "c41b64491c2468d0",
	})
	if err != nil {
		t.Fatal(err)
	}
	q := r.URL.Query()
	if q.Get("signature") != "" || q.Get("openid") != "" || q.Get("encrypt_type") != "" || len(q) != 4 ||
		q.Get("timestamp") != "1409659589" || q.Get("nonce") != "263014780" || len(q.Get("msg_signature")) != 40 {
		t.Errorf("the query is %s", r.URL.RawQuery)
	}
	body, _ := io.ReadAll(r.Body)
	if text := string(body); !strings.HasPrefix(text, "<xml><ToUserName><![CDATA["+corpID+"]]></ToUserName><Encrypt><![CDATA[") ||
		!strings.HasSuffix(text, "]]></Encrypt><AgentID><![CDATA[1000002]]></AgentID></xml>") {
		t.Errorf("the body is %s", text)
	}
}

// TestCorpLogin: the page sends the browser back with a code, which is good once.
func TestCorpLogin(t *testing.T) {
	s := newCorp(t, simulator.Options{})
	token, _ := getToken(t, s, "first")
	for _, page := range []string{"/connect/oauth2/authorize?response_type=code&scope=snsapi_base&", "/wwlogin/sso/login?login_type=CorpApp&"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://open.weixin.qq.com"+page+"appid="+corpID+"&agentid=1000002&state=s&redirect_uri="+
			url.QueryEscape("https://shop.example/me?a=b"), nil)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		back, err := url.Parse(w.Header().Get("Location"))
		if err != nil || w.Code != http.StatusFound || back.Host != "shop.example" || back.Query().Get("state") != "s" || back.Query().Get("a") != "b" {
			t.Fatalf("%d %s", w.Code, w.Header().Get("Location"))
		}
		path := "/cgi-bin/auth/getuserinfo?access_token=" + token + "&code=" + back.Query().Get("code")
		if answer := qyapi(t, s, "127.0.0.1", path, ""); answer["userid"] != "zhangsan" {
			t.Errorf("the member is %v", answer)
		}
		if answer := qyapi(t, s, "127.0.0.1", path, ""); code(answer) != 40029 {
			t.Errorf("a used code: %v", answer)
		}
	}
}
