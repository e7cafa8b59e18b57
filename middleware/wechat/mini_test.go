package wechat_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/sqlite"
)

func miniAccount() []simulator.Account {
	return []simulator.Account{{AppID: testAppID, Secret: testSecret, Kind: simulator.MiniProgram, OpenPlatform: "shop"}}
}

func miniEngine(client *wechat.Client, onLogin ...func(context.Context, *wechat.User, platform.MiniSession) error) *gin.Engine {
	r := gin.New()
	r.POST("/login", client.MiniLoginHandler(onLogin...))
	r.GET("/me", client.MiniUser(), greet)
	return r
}

func postLogin(t *testing.T, r *gin.Engine, code string) (status int, token, body string) {
	t.Helper()
	text, _ := json.Marshal(map[string]string{"code": code})
	w := serve(r, http.MethodPost, "/login", string(text))
	var out struct {
		Token   string `json:"token"`
		Expires int    `json:"expires_in"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || (w.Code == 200) != (out.Token != "" && out.Expires == 86400) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Code, out.Token, w.Body.String()
}

func getMe(t *testing.T, r *gin.Engine, authorization string) (int, string) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/me", nil)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w.Code, w.Body.String()
}

func TestMiniLoginHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(logtest.Log)
		cfg, wx := inMemory(t, config(), simulator.Options{Accounts: miniAccount()})
		cfg.Logger = log.Logger(slog.LevelDebug)
		var sessions []platform.MiniSession
		r := miniEngine(newClient(t, cfg), func(_ context.Context, u *wechat.User, s platform.MiniSession) error {
			if sessions = append(sessions, s); u.OpenID != s.OpenID || u.UnionID == "" {
				t.Errorf("%+v", u)
			}
			return nil
		})
		openid := wx.Account().Followers[0]
		code := wx.MiniCode(testAppID, "")
		_, token, body := postLogin(t, r, code)
		key := wx.SessionKey(testAppID, openid)
		if len(sessions) != 1 || sessions[0].Key.Reveal() != key || sessions[0].OpenID != openid {
			t.Fatalf("onLogin was told of %+v", sessions)
		}
		_, again, _ := postLogin(t, r, code) // its answer was lost on the way
		for _, token := range []string{token, again} {
			if status, page := getMe(t, r, "Bearer "+token); status != 200 || !strings.Contains(page, "openid="+openid+" unionid=o") {
				t.Errorf("%d %s", status, page)
			}
		}
		if len(sessions) != 1 || wx.Stats(testAppID).Errcodes[40163] != 0 {
			t.Errorf("%d logins of one code", len(sessions))
		}
		if strings.Contains(body, key) || strings.Contains(body, openid) || strings.Contains(log.String(), key) || strings.Contains(log.String(), code) ||
			strings.Contains(log.String(), openid) {
			t.Errorf("the session_key, code or openid is in %s or %s", body, log)
		}
		for _, bad := range []string{"", token, "Bearer", "Bearer ", "Bearer x", "Bearer " + token[:len(token)-2] + "AA", "bearer " + token} {
			if status, page := getMe(t, r, bad); status != http.StatusUnauthorized || !strings.Contains(page, `"error":"login_required"`) {
				t.Errorf("%q: %d %s", bad, status, page)
			}
		}
		time.Sleep(24 * time.Hour)
		if status, _ := getMe(t, r, "Bearer "+token); status != http.StatusUnauthorized {
			t.Errorf("a day later: %d", status)
		}
	})
}

func TestMiniLoginRefuses(t *testing.T) {
	cfg, wx := inMemory(t, config(), simulator.Options{Accounts: miniAccount()})
	var fails error
	r := miniEngine(newClient(t, cfg), func(context.Context, *wechat.User, platform.MiniSession) error { return fails })
	for _, body := range []string{"", "{", `{}`, `{"code":1}`, `{"code":"` + strings.Repeat("a", 513) + `"}`, strings.Repeat(" ", 5000) + `{"code":"a"}`} {
		if w := serve(r, http.MethodPost, "/login", body); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "bad_request") {
			t.Errorf("%.20s: %d %s", body, w.Code, w.Body)
		}
	}
	if status, _, body := postLogin(t, r, "made-up"); status != http.StatusUnauthorized || !strings.Contains(body, `"error":"code"`) || !strings.Contains(body, "wx.login") {
		t.Errorf("a code that is none: %d %s", status, body)
	}
	for _, row := range []struct {
		errcode, status int
		name            string
	}{{40163, 401, "code"}, {40226, 403, "blocked"}, {45011, 429, "too_many"}, {40125, 503, "unavailable"}, {-1, 503, "unavailable"}} {
		wx.ClearFaults()
		wx.Inject(simulator.Fault{Path: "/sns/jscode2session", Errcode: row.errcode})
		if status, _, body := postLogin(t, r, wx.MiniCode(testAppID, "")); status != row.status || !strings.Contains(body, `"error":"`+row.name+`"`) {
			t.Errorf("%d: %d %s", row.errcode, status, body)
		}
	}
	wx.ClearFaults()
	fails = errors.New("no room left")
	if status, _, body := postLogin(t, r, wx.MiniCode(testAppID, "")); status != 503 || strings.Contains(body, "room") {
		t.Errorf("onLogin failed: %d %s", status, body)
	}
	// A web session's cookie is no token, and the other way round.
	web := engine(newClient(t, func() wechat.Config { c := cfg; c.Origin = shopOrigin; return c }()), wechat.LoginConfig{})
	fails = nil
	_, token, _ := postLogin(t, r, wx.MiniCode(testAppID, ""))
	b := newBrowser(t)
	tag := sha256.Sum256([]byte(testAppID))
	b.cookies["x"] = &http.Cookie{Name: "__Host-zk_user_" + hex.EncodeToString(tag[:4]), Value: token}
	res := b.get(&shop{wx, web}, "/me")
	if res.status != http.StatusFound || len(res.cookies) != 1 || !strings.Contains(res.cookies[0].Name, hex.EncodeToString(tag[:4])) {
		t.Errorf("a mini program's token in a cookie: %d %v", res.status, res.cookies)
	}
}

// TestMiniLoginOnce: one code at two programs on one database at once: one exchange.
func TestMiniLoginOnce(t *testing.T) {
	wx := simtest.New(t, simulator.Options{Accounts: miniAccount()})
	wx.Inject(simulator.Fault{Path: "/sns/jscode2session", Delay: 50 * time.Millisecond})
	path := filepath.Join(t.TempDir(), "zhongkong.db")
	var engines [2]*gin.Engine
	for i := range engines {
		store, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		cfg := config()
		cfg.StoreURL, cfg.Store, cfg.APIBase, cfg.Transport = "", store, wx.URL, nil
		engines[i] = miniEngine(newClient(t, cfg))
	}
	code := wx.MiniCode(testAppID, "")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if w := serve(engines[i%2], http.MethodPost, "/login", `{"code":"`+code+`"}`); w.Code != http.StatusOK {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	all.Wait()
	n := 0
	for _, e := range wx.Events() {
		if e.Path == "/sns/jscode2session" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d exchanges", n)
	}
}

func TestMiniSession(t *testing.T) {
	cfg, wx := inMemory(t, config(), simulator.Options{Accounts: miniAccount()})
	client := newClient(t, cfg)
	ctx := t.Context()
	if _, err := client.MiniLogin(ctx, ""); err == nil {
		t.Error("no code is a code")
	}
	session, err := client.MiniLogin(ctx, wx.MiniCode(testAppID, ""))
	if err != nil {
		t.Fatal(err)
	}
	if valid, err := client.CheckSession(ctx, session.OpenID, session.Key); err != nil || !valid {
		t.Errorf("CheckSession: %v, %v", valid, err)
	}
	data, err := wx.UserData(testAppID, session.OpenID)
	if err != nil {
		t.Fatal(err)
	}
	var user struct{ OpenID, UnionID, NickName string }
	if err := client.DecryptUserData(session.Key, data.EncryptedData, data.IV, &user); err != nil || user.OpenID != session.OpenID || user.UnionID != session.UnionID {
		t.Errorf("DecryptUserData: %+v, %v", user, err)
	}
	if err := platform.VerifyUserData(session.Key, data.RawData, data.Signature); err != nil {
		t.Error(err)
	}
	newer, err := client.MiniLogin(ctx, wx.MiniCode(testAppID, ""))
	if err != nil {
		t.Fatal(err)
	}
	if valid, err := client.CheckSession(ctx, session.OpenID, session.Key); err != nil || valid {
		t.Errorf("CheckSession of the key before: %v, %v", valid, err)
	}
	if err := client.DecryptUserData(newer.Key, data.EncryptedData, data.IV, &user); !errors.Is(err, platform.ErrUserData) {
		t.Errorf("data of the session before: %v", err)
	}
	wx.Inject(simulator.Fault{Path: "/wxa/checksession", Errcode: 45011})
	if valid, err := client.CheckSession(ctx, newer.OpenID, newer.Key); err == nil || valid {
		t.Errorf("CheckSession without an answer: %v, %v", valid, err)
	}

	code := wx.PhoneCode(testAppID, session.OpenID)
	phone, err := client.PhoneNumber(ctx, code)
	if err != nil || phone.PureNumber != wx.PhoneNumber(session.OpenID) || phone.CountryCode != "86" || phone.Number == "" {
		t.Errorf("PhoneNumber: %+v, %v", phone, err)
	}
	var refusal *platform.Error
	if _, err := client.PhoneNumber(ctx, code); !errors.As(err, &refusal) || refusal.Code != 40029 {
		t.Errorf("PhoneNumber again: %v", err)
	}
}

// TestSessionKeys: kept on demand, sealed, for three days, found by each process on the
// store, and shown to no front end.
func TestSessionKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "zhongkong.db")
	synctest.Test(t, func(t *testing.T) {
		store, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = store.Close() }()
		log := new(logtest.Log)
		base, wx := inMemory(t, config(), simulator.Options{Accounts: miniAccount()})
		base.StoreURL, base.Store, base.Logger = "", store, log.Logger(slog.LevelDebug)
		openid := wx.Account().Followers[0]
		engineOf := func(keep bool) *gin.Engine {
			cfg := base
			cfg.KeepSessionKeys = keep
			client := newClient(t, cfg)
			r := miniEngine(client)
			r.GET("/data", client.MiniUser(), func(c *gin.Context) {
				var out struct {
					OpenID string `json:"openId"`
				}
				key, err := client.SessionKey(c)
				if err == nil {
					data, made := wx.UserData(testAppID, openid)
					err = errors.Join(made, client.DecryptUserData(key, data.EncryptedData, data.IV, &out))
				}
				c.JSON(http.StatusOK, gin.H{"openid": out.OpenID, "none": errors.Is(err, wechat.ErrNoSessionKey)})
			})
			return r
		}
		ask := func(r *gin.Engine, token string) string {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/data", nil)
			req.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			r.ServeHTTP(w, req)
			return w.Body.String()
		}
		one, two, none := engineOf(true), engineOf(true), engineOf(false)
		if _, token, _ := postLogin(t, none, wx.MiniCode(testAppID, "")); !strings.Contains(ask(one, token), `"none":true`) {
			t.Error("a session_key was kept unasked")
		}
		code := wx.MiniCode(testAppID, "")
		_, token, body := postLogin(t, one, code)
		_, again, _ := postLogin(t, two, code) // its answer was lost on the way
		for name, got := range map[string]string{"here": ask(one, token), "elsewhere": ask(two, token), "again": ask(one, again)} {
			if got != `{"none":false,"openid":"`+openid+`"}` {
				t.Errorf("%s: %s", name, got)
			}
		}
		if !strings.Contains(ask(none, token), `"none":true`) {
			t.Error("a program that keeps none finds one")
		}
		key := wx.SessionKey(testAppID, openid)
		for _, text := range []string{body, token, log.String()} {
			if key == "" || strings.Contains(text, key) {
				t.Errorf("the session_key is in %s", text)
			}
		}
		if file := read(t, path) + read(t, path+"-wal"); strings.Contains(file, key) || strings.Contains(file, openid) {
			t.Error("the database has the session_key or the openid in the clear")
		}
		// A user who logs in again and again has 50, and the others go on.
		for range 60 {
			time.Sleep(time.Second) // WeChat allows 100 a minute
			_, token, _ = postLogin(t, one, wx.MiniCode(testAppID, openid))
		}
		if !strings.Contains(ask(one, token), `"none":true`) || !strings.Contains(log.String(), "a session_key was not kept") {
			t.Error("one user has any number")
		}
		_, token, _ = postLogin(t, one, wx.MiniCode(testAppID, wx.Account().Followers[1]))
		openid = wx.Account().Followers[1]
		if got := ask(one, token); got != `{"none":false,"openid":"`+openid+`"}` {
			t.Errorf("another user: %s", got)
		}
	})
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(data)
}

// TestSessionKeysStore: a store that remembers no messages cannot keep any.
func TestSessionKeysStore(t *testing.T) {
	cfg := config()
	cfg.KeepSessionKeys, cfg.StoreURL = true, ""
	cfg.Store = store.Func(
		func(context.Context, custody.Key) ([]byte, error) { return nil, nil },
		func(context.Context, custody.Key, []byte) error { return nil },
	)
	if _, err := wechat.New(cfg); err == nil || !strings.Contains(err.Error(), "KeepSessionKeys") {
		t.Errorf("%v", err)
	}
}
