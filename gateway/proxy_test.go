package gateway_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store"
)

const domainIP = simulator.DomainIPPath

// TestCall: by token and by key, in the query and in headers.
func TestCall(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	key := w.client(gateway.Client{Name: "shop"})
	token := w.token(key)
	menu := `{"button":[{"type":"click","name":"菜单","key":"V1"}]}`
	for name, got := range map[string]reply{
		"token":          w.get(domainIP + "?access_token=" + token),
		"token, escaped": w.get(domainIP + "?a=b&access%5Ftoken=" + token + "&c=d"),
		"key":            w.get(domainIP, "Authorization", "Bearer "+key, "X-WeChat-AppID", appID),
		"post":           w.post("/cgi-bin/menu/create?access_token="+token, menu),
		"chunked":        w.send(http.MethodPost, "/cgi-bin/menu/create?access_token="+token, io.MultiReader(strings.NewReader(menu))),
	} {
		if got.status != http.StatusOK || got.Errcode != 0 {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	if got := w.get("/cgi-bin/menu/get?access_token=" + token); got.body != `{"menu":`+menu+"}" {
		t.Errorf("the answer was touched: %s", got.body)
	}
	// WeChat's own refusals go through untouched.
	if got := w.post("/cgi-bin/message/custom/send?access_token="+token, "{"); got.Errcode != 47001 ||
		strings.Contains(got.Errmsg, "zhongkong") {
		t.Error(got.body)
	}
	for _, e := range w.wx.Events() {
		// "zk" alone is in one of 25 of WeChat's random tokens.
		if text := e.Query + e.Request; strings.Contains(text, token) || strings.Contains(text, "zkkey_") {
			t.Errorf("WeChat saw something of the gateway's: %s %s", e.Path, e.Query)
		}
	}
	w.mustNotShow(key, token, appSecret)
}

// TestRecovery: a token that died, for whatever reason, is not the program's business.
func TestRecovery(t *testing.T) {
	for name, kill := range map[string]func(w *world){
		"superseded twice": func(w *world) { w.wx.Supersede(appID); w.wx.Supersede(appID) },
		"killed":           func(w *world) { w.wx.Kill(appID) },
		"expired":          func(w *world) { w.wx.Clock.Advance(3 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, simulator.Options{}, func(c *gateway.Config) {
				c.Limits = gateway.Limits{BodyInMemory: 1 << 10, BodyOnDisk: 100 << 10, Body: 300 << 10}
			})
			token := w.token(w.client(gateway.Client{Name: "shop"}))
			patience.Until(t, "a token of WeChat's", func() bool { return w.fence() != 0 })
			before := w.issued()
			kill(w)
			var group sync.WaitGroup
			for range 20 {
				group.Go(func() {
					r, _ := http.NewRequestWithContext(context.Background(), http.MethodPost, w.url+"/cgi-bin/callback/check?access_token="+token, strings.NewReader(`{"action":"all","check_operator":"DEFAULT"}`))
					res, err := w.http.Do(r)
					if err != nil {
						t.Error(err)
						return
					}
					defer func() { _ = res.Body.Close() }()
					if text, _ := io.ReadAll(res.Body); strings.Contains(string(text), `"errcode":4000`) || strings.Contains(string(text), `"errcode":4200`) {
						t.Errorf("%s", text)
					}
				})
			}
			group.Wait()
			if n := w.issued() - before; n != 1 {
				t.Errorf("%d tokens were issued, want 1", n)
			}
		})
	}
}

// upload returns a picture of that size as a form, and its media type.
func upload(tb testing.TB, size int) (body []byte, kind string) {
	tb.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	part, err := form.CreateFormFile("media", "picture.png")
	if err != nil {
		tb.Fatal(err)
	}
	_, _ = io.CopyN(part, rand.Reader, int64(size))
	_ = form.Close()
	return b.Bytes(), form.FormDataContentType()
}

// TestBodies: what is kept in memory or in a file is sent again after a refusal, with
// and without a length; what is longer is sent once, and the next call is well.
func TestBodies(t *testing.T) {
	w := newWorld(t, simulator.Options{}, func(c *gateway.Config) {
		c.Limits = gateway.Limits{BodyInMemory: 4 << 10, BodyOnDisk: 512 << 10, Body: 2 << 20}
	})
	token := w.token(w.client(gateway.Client{Name: "shop"}))
	for _, row := range []struct {
		size    int
		length  bool
		status  int
		errcode int // after the token was killed
		media   bool
	}{
		{1 << 10, true, 200, 0, true},
		{1 << 10, false, 200, 0, true},
		{100 << 10, true, 200, 0, true},
		{100 << 10, false, 200, 0, true},
		{1 << 20, true, 200, 40001, false},
		{1 << 20, false, 413, 45001, false},
		{3 << 20, true, 413, 45001, false},
		{3 << 20, false, 413, 45001, false},
	} {
		form, kind := upload(t, row.size)
		w.wx.Kill(appID)
		var got reply
		var err error
		for range 20 {
			body := io.Reader(bytes.NewReader(form))
			if !row.length {
				body = io.MultiReader(body)
			}
			got, err = w.try(w.request(http.MethodPost, "/cgi-bin/media/upload?type=image&access_token="+token, body, "Content-Type", kind))
			// A body that is refused unread may cost its sender the answer: the connection
			// breaks before he has read it.
			if row.status != http.StatusRequestEntityTooLarge || !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				break
			}
		}
		if err != nil {
			t.Fatalf("%d bytes, with length: %v: %v", row.size, row.length, err)
		}
		if got.status != row.status || got.Errcode != row.errcode || strings.Contains(got.body, "media_id") != row.media {
			t.Errorf("%d bytes, with length: %v: %d %s", row.size, row.length, got.status, got.body)
		}
		if !row.media {
			patience.Until(t, "a call after a body that was sent once", func() bool { return w.get(domainIP+"?access_token="+token).Errcode == 0 })
			continue
		}
		var media struct {
			ID string `json:"media_id"`
		}
		decode(t, got.body, &media)
		if down := w.get("/cgi-bin/media/get?media_id=" + url.QueryEscape(media.ID) + "&access_token=" + token); !bytes.Contains(form,
			[]byte(down.body)) || len(down.body) != row.size {
			t.Errorf("%d bytes came back as %d", row.size, len(down.body))
		}
	}
}

// TestAttacks: refused in WeChat's shape, logged without the key.
func TestAttacks(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	key := w.client(gateway.Client{Name: "shop", Paths: []string{"/cgi-bin/get_api_domain_ip", "/cgi-bin/menu/*"}})
	other := w.client(gateway.Client{Name: "other", Accounts: []string{otherApp}})
	revoked := w.client(gateway.Client{Name: "revoked"})
	token, dead := w.token(key), w.token(revoked)
	if err := w.clients().Revoke(t.Context(), "revoked"); err != nil {
		t.Fatal(err)
	}
	w.Look(t.Context())
	stranger := join(t, w.wx, w.store, func(c *gateway.Config) {
		c.SealKeys = []custody.Secret{custody.NewSecret(strings.Repeat("x", 32))}
		c.Accounts = nil
	})
	_ = stranger
	calls := w.wx.Stats(appID).APICalls
	bearer := func(key, app string) []string {
		return []string{"Authorization", "Bearer " + key, "X-WeChat-AppID", app}
	}
	changed := []byte(token)
	changed[20] ^= 1
	for _, row := range []struct {
		name, target string
		headers      []string
		errcode      int
	}{
		{"nothing", domainIP, nil, 41001},
		{"an empty token", domainIP + "?access_token=", nil, 41001},
		{"no token of ours", domainIP + "?access_token=91_abc", nil, 40001},
		{"a changed token", domainIP + "?access_token=" + string(changed), nil, 40001},
		{"a cut token", domainIP + "?access_token=" + token[:40], nil, 40001},
		{"a revoked client's token", domainIP + "?access_token=" + dead, nil, 40001},
		{"two tokens", domainIP + "?access_token=" + token + "&access_token=" + token, nil, 40001},
		{"two tokens, one escaped", domainIP + "?access_token=" + token + "&access%5ftoken=x", nil, 40001},
		{"a semicolon", domainIP + "?access_token=" + token + ";access_token=x", nil, 40066},
		{"half an escape", domainIP + "?access_token=" + token + "&x=%", nil, 40066},
		{"a wrong key", domainIP, bearer(key[:len(key)-4]+"AAAA", appID), 40125},
		{"a revoked key", domainIP, bearer(revoked, appID), 40125},
		{"the AppSecret", domainIP, bearer(appSecret, appID), 40125},
		{"another's account", domainIP, bearer(key, otherApp), 40013},
		{"another's account, the other way", domainIP, bearer(other, appID), 40013},
		{"no appid", domainIP, bearer(key, ""), 41002},
		{"two appids", domainIP, append(bearer(key, appID), "X-WeChat-AppID", otherApp), 40125},
		{"two keys", domainIP, append(bearer(key, appID), "Authorization", "Bearer "+other), 40125},
		{"key and token", domainIP + "?access_token=" + token, bearer(key, appID), 40001},
		{"the appid as a hop's header", domainIP, append(bearer(key, otherApp), "Connection", "X-WeChat-AppID"), 40013},
		{"another path", "/cgi-bin/user/get?access_token=" + token, nil, 48001},
		{"the folder of an allowed one", "/cgi-bin/menu?access_token=" + token, nil, 48001},
		{"beside an allowed one", "/cgi-bin/menuX/get?access_token=" + token, nil, 48001},
		{"up", "/cgi-bin/menu/../user/get?access_token=" + token, nil, 40066},
		{"up, escaped", "/cgi-bin/menu/%2e%2e/user/get?access_token=" + token, nil, 40066},
		{"an escaped slash", "/cgi-bin/menu%2Fget?access_token=" + token, nil, 40066},
		{"a double slash", "//cgi-bin/menu/get?access_token=" + token, nil, 40066},
		{"a double slash inside", "/cgi-bin//menu/get?access_token=" + token, nil, 40066},
		{"a backslash", "/cgi-bin/menu/..%5Cuser/get?access_token=" + token, nil, 40066},
		{"a parameter in the path", "/cgi-bin/menu/get;x=/?access_token=" + token, nil, 40066},
		{"a newline", "/cgi-bin/menu/get%0a?access_token=" + token, nil, 40066},
		{"the root", "/?access_token=" + token, nil, 40066},
		{"a key for WeChat", domainIP + "?access_token=" + token + "&secret=" + key, nil, 48001},
		{"a key for WeChat, escaped", domainIP + "?access_token=" + token + "&x=%7akkey%5F" + key[6:], nil, 48001},
		{"a key to an end user's API", "/sns/userinfo?access_token=u&openid=" + key, nil, 48001},
		{"a key to an end user's API, escaped", "/sns/userinfo?access_token=u&openid=%7akkey%5F" + key[6:], nil, 48001},
		{"a key for an end user's token", "/sns/userinfo?access_token=" + key, nil, 40001},
		{"a gateway token for an end user's", "/sns/auth?access_token=" + token, nil, 40001},
		{"two of an end user's tokens", "/sns/auth?access_token=u&access_token=v", nil, 40001},
		{"a wrong key to an end user's API", "/sns/userinfo?access_token=u", bearer(revoked, appID), 40125},
		{"a right key to an end user's API that it may not use", "/sns/userinfo?access_token=u", bearer(key, appID), 48001},
		{"an upgrade", domainIP + "?access_token=" + token, []string{"Connection", "Upgrade", "Upgrade", "websocket"}, 40066},
		{"the AppSecret on a secret path", "/sns/jscode2session?appid=" + appID + "&secret=" + appSecret + "&js_code=x", nil, 40125},
		{"no secret on a secret path", "/sns/jscode2session?appid=" + appID + "&js_code=x", nil, 41004},
		{"a path that the client may not use", "/sns/jscode2session?appid=" + appID + "&secret=" + key + "&js_code=x", nil, 48001},
		{"another's account on a secret path", "/sns/jscode2session?appid=" + otherApp + "&secret=" + key + "&js_code=x", nil, 40013},
		{"two secrets", "/sns/jscode2session?appid=" + appID + "&secret=" + key + "&secret=x", nil, 47001},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		path, query, _ := strings.Cut(row.target, "?")
		r.URL.Opaque, r.URL.RawQuery = "//"+r.URL.Host+path, query // as it stands, without net/url's help
		for i := 0; i < len(row.headers); i += 2 {
			r.Header.Add(row.headers[i], row.headers[i+1])
		}
		if got := w.do(r); got.status != http.StatusOK || got.Errcode != row.errcode || !strings.Contains(got.Errmsg, "(zhongkong) rid: ") {
			t.Errorf("%s: %d %s, want %d", row.name, got.status, got.body, row.errcode)
		}
	}
	if n := w.wx.Stats(appID).APICalls; n != calls {
		t.Errorf("%d calls reached WeChat", n-calls)
	}
	if got := stranger.get(domainIP + "?access_token=" + token); got.Errcode != 40001 {
		t.Errorf("another seal key: %s", got.body)
	}
	w.mustNotShow(key, other, revoked, token, dead, appSecret)
}

// TestManyWrongKeys: 10,000 of them fill no log, and who has a right one notices
// nothing, from the same address.
func TestManyWrongKeys(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	key := w.client(gateway.Client{Name: "shop"})
	token := w.token(key)
	wrong := key[:len(key)-4]
	var refused atomic.Int64
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			for i := range 1250 {
				r := httptest.NewRequest(
					http.MethodGet,
					fmt.Sprintf("/cgi-bin/token?grant_type=client_credential&appid=%s&secret=%s%04d", appID, wrong, n*1250+i),
					http.NoBody,
				)
				r.RemoteAddr = "192.0.2.1:1234"
				answer := httptest.NewRecorder()
				w.ServeHTTP(answer, r)
				if strings.Contains(answer.Body.String(), "40125") || strings.Contains(answer.Body.String(), "45011") {
					refused.Add(1)
				}
			}
		})
	}
	for range 50 {
		r := httptest.NewRequest(http.MethodGet, domainIP+"?access_token="+token, http.NoBody)
		r.RemoteAddr = "192.0.2.1:1235"
		answer := httptest.NewRecorder()
		w.ServeHTTP(answer, r)
		if !strings.Contains(answer.Body.String(), "ip_list") {
			t.Errorf("meanwhile: %s", answer.Body)
		}
	}
	group.Wait()
	if refused.Load() != 10_000 {
		t.Errorf("%d were refused, want 10,000", refused.Load())
	}
	if n := strings.Count(w.log.String(), "level=WARN"); n > 100 {
		t.Errorf("%d warnings", n)
	}
	w.mustNotShow(wrong)
}

// upstream is a WeChat of the test's own, behind a gateway with a token.
func upstream(t *testing.T, serve http.HandlerFunc) (*world, string, string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cgi-bin/token" {
			_, _ = io.WriteString(w, `{"access_token":"91_real-token","expires_in":7200}`)
			return
		}
		serve(w, r)
	}))
	t.Cleanup(server.Close)
	w := newWorld(t, simulator.Options{}, func(c *gateway.Config) {
		c.APIBase = server.URL
		c.Accounts = []gateway.Account{{AppID: appID, Secret: custody.NewSecret(appSecret), TokenAPI: platform.Classic}}
	})
	w.stopUpstream = func() {
		server.CloseClientConnections()
		server.Close()
	}
	key := w.client(gateway.Client{Name: "shop"})
	return w, key, w.token(key)
}

// TestSecretPaths: the key becomes the AppSecret, in query and body, and nothing else
// changes; each is in the journal.
func TestSecretPaths(t *testing.T) {
	var seen atomic.Value
	w, _, _ := upstream(t, func(out http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen.Store(r.URL.Query().Encode() + " " + string(body))
		_, _ = io.WriteString(out, `{"openid":"o1"}`)
	})
	key := w.client(gateway.Client{Name: "crm", Real: true})
	for target, want := range map[string]string{
		"GET /sns/jscode2session?appid=" + appID + "&secret=" + key +
			"&js_code=c&grant_type=authorization_code": "appid=" + appID + "&grant_type=authorization_code&js_code=c&secret=" + appSecret + " ",
		"GET /sns/oauth2/access_token?appid=" + appID + "&secret=" + key +
			"&code=c": "appid=" + appID + "&code=c&secret=" + appSecret + " ",
		"POST /cgi-bin/clear_quota/v2?appid=" + appID + "&appsecret=" +
			key: "appid=" + appID + "&appsecret=" + appSecret + " ",
		`POST /cgi-bin/clear_quota/v2 {"appid":"` + appID + `","appsecret":"` + key + `"}`:                                            ` {"appid":"` + appID + `","appsecret":"` + appSecret + `"}`,
		`POST /cgi-bin/component/api_component_token {"component_appid":"` + appID + `","component_appsecret":"` + key + `","n":1e3}`: ` {"component_appid":"` + appID + `","component_appsecret":"` + appSecret + `","n":1e3}`,
	} {
		part := strings.SplitN(target+" ", " ", 3)
		got := w.send(part[0], part[1], strings.NewReader(strings.TrimSpace(part[2])))
		if got.body != `{"openid":"o1"}` || seen.Load() != want {
			t.Errorf("%s: %s, WeChat saw %q, want %q", target, got.body, seen.Load(), want)
		}
	}
	if got := w.get("/sns/userinfo?access_token=91_end-user&openid=o1&lang=zh_CN"); got.body != `{"openid":"o1"}` || seen.Load() != "access_token=91_end-user&lang=zh_CN&openid=o1 " {
		t.Errorf("%s, WeChat saw %q", got.body, seen.Load())
	}
	if got := w.get("/sns/auth?access_token=91_end-user&openid=o1", "Authorization", "Bearer "+key); got.body != `{"openid":"o1"}` || seen.Load() != "access_token=91_end-user&openid=o1 " {
		t.Errorf("with a key: %s, WeChat saw %q", got.body, seen.Load())
	}
	if got := w.post("/sns/auth?access_token=91_end-user", strings.Repeat("x", 70<<10)); got.Errcode != 45001 {
		t.Errorf("a body to an end user's API: %d %s", got.status, got.body)
	}
	uses, err := w.store.(store.Ledger).Uses(t.Context(), 100)
	n := 0
	for _, use := range uses {
		if use.Act == "use AppSecret" && use.Actor == "client crm" {
			n++
		}
	}
	if err != nil || n != 5 {
		t.Errorf("%d uses of the AppSecret are in the journal, want 5 (%v)", n, err)
	}
	w.mustNotShow(key, appSecret, "91_end-user")
}

// TestHeaders: hop by hop, and nothing that says who called.
func TestHeaders(t *testing.T) {
	w, key, token := upstream(t, func(out http.ResponseWriter, r *http.Request) {
		for name, values := range r.Header {
			out.Header().Set("Saw-"+name, strings.Join(values, ","))
		}
		out.Header().Set("Saw-Host", r.Host)
		out.Header().Set("Connection", "X-Hop")
		out.Header().Set("X-Hop", "1")
		out.Header().Set("Location", "/elsewhere?access_token="+r.URL.Query().Get("access_token"))
		out.WriteHeader(http.StatusFound)
	})
	w.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	got := w.get(domainIP, "Authorization", "Bearer "+key, "X-WeChat-AppID", appID, "Connection", "X-Mine", "X-Mine", "1", "Cookie", "a=b",
		"X-Forwarded-For", "192.0.2.1", "Wechatmp-Kept", "1", "X-Original-URL", "/x", "X-HTTP-Method-Override", "DELETE", "Proxy-Authorization", "x", "Accept-Encoding", "gzip")
	if got.status != http.StatusFound || strings.Contains(got.header.Get("Location"), "91_real") || got.header.Get("X-Hop") != "" {
		t.Errorf("%d %v", got.status, got.header)
	}
	for _, name := range []string{
		"X-Original-Url", "X-Http-Method-Override", "Authorization", "X-Wechat-Appid", "X-Mine", "Cookie", "X-Forwarded-For", "Proxy-Authorization",
		"Connection",
	} {
		if saw := got.header.Get("Saw-" + name); saw != "" {
			t.Errorf("WeChat saw %s: %s", name, saw)
		}
	}
	if got.header.Get("Saw-Wechatmp-Kept") != "1" || !strings.HasPrefix(got.header.Get("Saw-Host"), "127.0.0.1:") {
		t.Error(got.header)
	}
	_ = token
}

// TestRedacted: rid/get tells of calls, and the gateway takes the secrets out.
func TestRedacted(t *testing.T) {
	w, _, token := upstream(t, func(out http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(out, `{"errcode":0,"request":{"invoke_time":1,"request_url":"access_token=91_real-token&a=b\u0026secret=`+appSecret+`",`+
			`"request_body":"{\"appsecret\":\"`+appSecret+`\",\"x\":\"y\"}","response_body":"{\"access_token\": \"91_real-token\"}","client_ip":"192.0.2.1"}}`)
	})
	got := w.post("/cgi-bin/openapi/rid/get?access_token="+token, `{"rid":"617682e0-00000000-00000000"}`)
	if strings.Contains(got.body, "91_real-token") || strings.Contains(got.body, appSecret) || !strings.Contains(got.body, `"client_ip":"192.0.2.1"`) || !strings.Contains(got.body, `access_token=[secret]&a=b\u0026secret=[secret]"`) {
		t.Error(got.body)
	}
}

// TestStreaming: a piece of an answer is with the caller before the next is made.
func TestStreaming(t *testing.T) {
	step := make(chan struct{})
	w, _, token := upstream(t, func(out http.ResponseWriter, r *http.Request) {
		out.Header().Set("Content-Type", "application/octet-stream")
		for range 3 {
			_, _ = io.WriteString(out, "piece")
			_ = http.NewResponseController(out).Flush()
			select {
			case <-step:
			case <-r.Context().Done():
				return
			}
		}
	})
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/cgi-bin/media/get?access_token="+token, http.NoBody)
	res, err := w.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	for range 3 {
		piece := make([]byte, 5)
		if _, err := io.ReadFull(res.Body, piece); err != nil || string(piece) != "piece" {
			t.Fatal(err, string(piece))
		}
		step <- struct{}{}
	}
}

// TestCancelled: a caller who goes away takes the call to WeChat along.
func TestCancelled(t *testing.T) {
	arrived, gone := make(chan struct{}), make(chan struct{})
	w, _, token := upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(gone)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, w.url+domainIP+"?access_token="+token, http.NoBody)
	if res, err := w.http.Do(r); err == nil {
		_ = res.Body.Close()
		t.Error("an answer")
	}
	select {
	case <-gone:
	case <-time.After(20 * time.Second):
		t.Error("the call to WeChat goes on")
	}
}

// TestNoWeChat: what WeChat says about the account, and its absence, in WeChat's shape.
func TestNoWeChat(t *testing.T) {
	w := newWorld(t, simulator.Options{}, func(c *gateway.Config) { c.Accounts[0].Secret = custody.NewSecret("wrong-" + appSecret) })
	token := w.token(w.client(gateway.Client{Name: "shop"}))
	if got := w.get(domainIP + "?access_token=" + token); got.Errcode != -3 || !strings.Contains(got.Errmsg, "(zhongkong) rid: ") {
		t.Error(got.body)
	}
	down, _, token := upstream(t, func(out http.ResponseWriter, _ *http.Request) {
		conn, _, err := out.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	})
	if got := down.get(domainIP + "?access_token=" + token); got.Errcode != -1 ||
		!strings.HasPrefix(got.Errmsg, "system error: this is the gateway and not WeChat speaking: WeChat or ") || !strings.Contains(got.Errmsg, " (zhongkong) rid: ") {
		t.Error(got.body)
	}
	down.mustNotShow("91_real-token", token)
}
