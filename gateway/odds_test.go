package gateway_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// TestOneSpelling: a key and a token have one spelling each, and so has what is asked with
// them.
func TestOneSpelling(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	key := w.client(gateway.Client{Name: "shop"})
	token := w.token(key)
	if got := w.get(domainIP + "?access_token=" + token[:20] + "%0A" + token[20:]); got.Errcode != 40001 {
		t.Errorf("a token with a newline in it: %s", got.body)
	}
	if got := w.fetch(key[:20] + "\n" + key[20:]); got.Errcode != 40125 {
		t.Errorf("a key with a newline in it: %s", got.body)
	}
	stable := func(extra string) string {
		return fmt.Sprintf(`{"grant_type":"client_credential","appid":%q,"secret":%q%s`, appID, key, extra)
	}
	for extra, want := range map[string]int{
		"}": 0, `,"x":1}`: 0, `,"secret":"x"}`: 47001, `,"Secret":"x"}`: 47001, "} {}": 47001, "}x": 47001, `,"x":` + strings.Repeat("[", 30): 47001,
	} {
		if got := w.post("/cgi-bin/stable_token", stable(extra)); got.Errcode != want {
			t.Errorf("%s: %s", extra, got.body)
		}
	}
	for scheme, want := range map[string]int{"Bearer ": 0, "bearer ": 0, "BEARER ": 0, "": 41001, "Basic ": 41001} {
		if got := w.get(domainIP, "Authorization", scheme+key, "X-WeChat-AppID", appID); got.Errcode != want {
			t.Errorf("%q: %s", scheme, got.body)
		}
	}
}

// TestAdminOdds: the admin API wants its key as it says, and one reading of what it gets.
func TestAdminOdds(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	admin := w.Admin(custody.NewSecret(adminKey), nil)
	w.client(gateway.Client{Name: "shop"})
	for scheme, want := range map[string]int{"Bearer ": 200, "bearer ": 200, "": 401, "Basic ": 401} {
		r := w.request(http.MethodGet, "/clients", http.NoBody, "Authorization", scheme+adminKey)
		r.RemoteAddr = "192.0.2.7:1"
		answer := &recorder{quiet: quiet{header: http.Header{}}}
		admin.ServeHTTP(answer, r)
		if answer.status != want {
			t.Errorf("%q: %d", scheme, answer.status)
		}
		if answer.header.Get("Cache-Control") != "no-store" {
			t.Error("the answer may be kept")
		}
	}
	patience.Until(t, "a wrong admin key in the journal", func() bool {
		uses, err := w.store.(store.Ledger).Uses(t.Context(), 100)
		for _, use := range uses {
			if use.Act == "wrong admin key" && strings.Contains(use.Actor, "192.0.2.7") {
				return err == nil
			}
		}
		return false
	})
	for _, body := range []string{
		`{"name":"a","accounts":["*"]} {"name":"b"}`, `{"name":"a","accounts":["wx1"],"accounts":["*"]}`, `{"name":"a","accounts":["wx1"],"Accounts":["*"]}`,
	} {
		if got := call(admin, "POST", "/clients", body, adminKey); got.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", body, got.Code, got.Body)
		}
	}
	if got := call(admin, "POST", "/clients/shop/rotate?grace=2562047h", "", adminKey); got.Code != http.StatusBadRequest {
		t.Errorf("a grace of 292 years: %d %s", got.Code, got.Body)
	}
	if _, err := w.clients().Rotate(t.Context(), "shop", 292*365*24*time.Hour); err == nil {
		t.Error("a grace of 292 years")
	}
}

type recorder struct {
	quiet

	status int
}

func (r *recorder) WriteHeader(status int) { r.status = status }

// TestNoStore: a token is nothing for a cache.
func TestNoStore(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	if got := w.fetch(w.client(gateway.Client{Name: "shop"})); got.Token == "" || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s %v", got.body, got.header)
	}
}

// TestSettingsHide: no way of printing settings shows the store's password.
func TestSettingsHide(t *testing.T) {
	s := gateway.Settings{Listen: "127.0.0.1:8300", Store: "postgres://me:made-up-password@db.invalid/x?password=made-up-password"}
	log := new(logtest.Log)
	log.Logger(slog.LevelInfo).Info("settings", "settings", s, "pointer", &s)
	for _, text := range []string{fmt.Sprintf("%v", s), fmt.Sprintf("%+v", &s), fmt.Sprintf("%#v", s), fmt.Sprint(&s), log.String()} {
		if strings.Contains(text, "made-up-password") || !strings.Contains(text, "127.0.0.1:8300") || !strings.Contains(text, "db.invalid") {
			t.Error(text)
		}
	}
}

// TestClearTextBase: an API base in the clear on another machine is told.
func TestClearTextBase(t *testing.T) {
	for base, want := range map[string]bool{
		"http://wechat.invalid": true, "http://192.0.2.1:8080": true, "https://wechat.invalid": false, "http://127.0.0.1:1": false, "http://[::1]:1": false, "http://localhost:1": false,
	} {
		log := new(logtest.Log)
		g, err := gateway.New(t.Context(), gateway.Config{Store: memory.New(), SealKeys: []custody.Secret{sealKey}, APIBase: base, Logger: log.Logger(slog.LevelWarn)})
		if err != nil {
			t.Fatal(err)
		}
		_ = g.Close()
		if got := strings.Contains(log.String(), "in the clear"); got != want {
			t.Errorf("%s: %s", base, log)
		}
	}
}

// TestNoTemporaryFile: a body that needs a file which cannot be made is not too long.
func TestNoTemporaryFile(t *testing.T) {
	t.Setenv("TMPDIR", "/nowhere/at/all")
	if os.TempDir() != "/nowhere/at/all" {
		t.Skip("the temporary folder is not TMPDIR's here")
	}
	w := newWorld(t, simulator.Options{}, nil)
	token := w.token(w.client(gateway.Client{Name: "shop"}))
	got := w.send(http.MethodPost, "/cgi-bin/media/upload?access_token="+token, struct{ *strings.Reader }{strings.NewReader(strings.Repeat("x", 600<<10))})
	if got.status != http.StatusServiceUnavailable || got.Errcode != -1 || !strings.Contains(w.log.String(), "TMPDIR") {
		t.Errorf("%d %s", got.status, got.body)
	}
}
