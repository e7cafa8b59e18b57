package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

const adminKey = "made-up-admin-key-0123456789abcdef"

// call calls the admin API.
func call(h http.Handler, method, target, body, key string) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+key)
	h.ServeHTTP(answer, r)
	if err := contract().Check(method, r.URL.Path, answer.Code, answer.Header().Get("Content-Type"), answer.Body.Bytes()); err != nil {
		panic(err)
	}
	return answer
}

// TestAdmin: clients come, change their key and go, each act is in the journal.
func TestAdmin(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	reloads := 0
	admin := w.Admin(custody.NewSecret(adminKey), func() error {
		if reloads++; reloads > 1 {
			return errors.New("line 3: made up")
		}
		return nil
	})
	ask := func(method, target, body string, status int) string {
		t.Helper()
		got := call(admin, method, target, body, adminKey)
		if got.Code != status {
			t.Fatalf("%s %s: %d %s, want %d", method, target, got.Code, got.Body, status)
		}
		return got.Body.String()
	}
	var made struct{ Name, Key string }
	decode(t, ask("POST", "/clients", fmt.Sprintf(`{"name":"shop","accounts":[%q],"paths":["/cgi-bin/*"],"rate":100}`, appID), 200), &made)
	token := w.token(made.Key)
	if list := ask("GET", "/clients", "", 200); !strings.Contains(list, `"name": "shop"`) || strings.Contains(list, made.Key) || strings.Contains(list, "sha256") {
		t.Error(list)
	}
	ask("POST", "/clients", fmt.Sprintf(`{"name":"shop","accounts":[%q]}`, appID), 409)
	ask("POST", "/clients", `{"name":"shop 2","accounts":["*"]}`, 400)
	ask("POST", "/clients", `{"name":"crm"}`, 400)
	ask("POST", "/clients", `{"name":"crm","accounts":["*"],"pats":[]}`, 400)
	ask("POST", "/clients", `{"name":"crm","accounts":["*"],"paths":["/a/../b"]}`, 400)

	for body, status := range map[string]int{
		`{"returns":["https://shop.example/*"],"origins":["https://shop.example"]}`: 200,
		`{"origins":[]}`: 200, `{}`: 400, `[]`: 400, `{"returns":["http://shop.example/"]}`: 400, `{"origins":["shop.example"]}`: 400,
	} {
		ask("PUT", "/clients/shop/sites", body, status)
	}
	ask("PUT", "/clients/none/sites", `{"origins":[]}`, 404)
	ask("PUT", "/clients/shop/sites", `{"origins":["https://crm.example"]}`, 200)
	if list := ask("GET", "/clients", "", 200); !strings.Contains(list, "https://shop.example/*") || !strings.Contains(list, "https://crm.example") {
		t.Errorf("the sites: %s", list)
	}

	old := made.Key
	decode(t, ask("POST", "/clients/shop/rotate?grace=1h", "", 200), &made)
	for _, key := range []string{old, made.Key} {
		w.token(key)
	}
	if got := w.get(domainIP + "?access_token=" + token); got.Errcode != 0 {
		t.Error("a token fetched with the key that has a grace: ", got.body)
	}
	ask("POST", "/clients/shop/rotate", "", 200)
	if got := w.fetch(made.Key); got.Errcode != 40125 {
		t.Error("a key that was replaced without grace: ", got.body)
	}
	if got := w.get(domainIP + "?access_token=" + token); got.Errcode != 40001 {
		t.Error("its token: ", got.body)
	}
	ask("DELETE", "/clients/shop", "", 200)
	ask("DELETE", "/clients/shop", "", 404)
	ask("POST", "/clients/none/rotate", "", 404)
	ask("POST", "/clients/none/rotate?grace=-1h", "", 400)
	ask("POST", "/reload", "", 200)
	if text := ask("POST", "/reload", "", 400); !strings.Contains(text, "line 3") {
		t.Error(text)
	}
	journal := ask("GET", "/journal?limit=50", "", 200)
	for _, act := range []string{"add client", "rotate client", "set sites of client", "revoke client", "reload", "admin 192.0.2.1"} {
		if !strings.Contains(journal, act) {
			t.Errorf("the journal has no %q", act)
		}
	}
	ask("GET", "/journal?limit=x", "", 400)

	for _, key := range []string{"", "x", adminKey + "x"} {
		if got := call(admin, "GET", "/clients", "", key); got.Code != 401 || strings.Contains(got.Body.String(), "shop") {
			t.Error(got.Code, got.Body)
		}
	}
	for _, weak := range []string{"", "short"} {
		if got := call(w.Admin(custody.NewSecret(weak), nil), "GET", "/clients", "", weak); got.Code != 401 {
			t.Errorf("with the weak key %q: %d", weak, got.Code)
		}
	}
	w.mustNotShow(adminKey, old, made.Key)

	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	ask("POST", "/clients", fmt.Sprintf(`{"name":"late","accounts":[%q]}`, appID), 503)
	ask("DELETE", "/clients/shop", "", 503)
}

// TestAdminAccounts: they are everywhere within five seconds, sealed in the store, all
// or none.
func TestAdminAccounts(t *testing.T) {
	inTwoGateways(t, func(i int, c *gateway.Config) { c.Accounts = c.Accounts[:1-i] }, adminAccounts)
}

func adminAccounts(t *testing.T, w, second *world) {
	t.Helper()
	admin := w.Admin(custody.NewSecret(adminKey), nil)
	put := func(body string, status int) string {
		t.Helper()
		got := call(admin, "PUT", "/accounts", body, adminKey)
		if got.Code != status {
			t.Fatalf("%s: %d %s, want %d", body, got.Code, got.Body, status)
		}
		return got.Body.String()
	}
	key := w.client(gateway.Client{Name: "shop", Accounts: []string{"*"}})
	bearer := []string{"Authorization", "Bearer " + key, "X-WeChat-AppID", otherApp}
	if got := w.get(domainIP, bearer...); got.Errcode != 40013 {
		t.Fatal(got.body)
	}
	good := fmt.Sprintf(`{"accounts":[{"appid":%q,"secret":%q}]}`, otherApp, "other-"+appSecret)
	put(good, 200)
	if got := w.get(domainIP, bearer...); got.Errcode != 0 {
		t.Error(got.body)
	}
	fiveSeconds(t, "the second gateway", func() {
		patience.Until(t, "its call", func() bool { return second.get(domainIP, bearer...).Errcode == 0 })
	})
	const plain = `{"token":"madeUpToken0123456789","subscribers":[{"name":"shop","url":"https://shop.invalid/","token":"madeUp","mode":"plain"}]}`
	for _, row := range []struct {
		body, want string
		status     int
	}{
		{"{\"accounts\":[\n{\"appid\":\"wx1\",\"secret\":\"a\"},\n{\"appid\":\"wx2\"}]}", "line 3: the account wx2 has no secret", 400},
		{`{"accounts":[{"appid":"wx1","secret":{"file":"/etc/passwd"}}]}`, "brings its AppSecret itself", 400},
		{`{"accounts":[{"appid":"wx1","secret":{"env":"HOME"}}]}`, "brings its AppSecret itself", 400},
		{`{"accounts":[{"appid":"wx1","secret":"a"},{"appid":"` + appID + `","secret":"b"}]}`, "in the configuration file", 409},
		{`{"acounts":[]}`, `unknown field "acounts"`, 400},
		{"", "no list of accounts", 400},
		{"{}", "no list of accounts", 400},
		{"# nothing", "no list of accounts", 400},
		{"accounts:\n", "no list of accounts", 400},
		{`{"accounts":` + strings.Repeat("[", 60_000), "nested more than 24 deep", 400},
		{"accounts:\n" + strings.Repeat("- ", 60_000), "nested more than 24 deep", 400},
		{`{"accounts":[{"appid":"wx1","secret":"a","callback":` + plain + `},{"appid":"wx2","secret":"a","callback":` + plain + `}]}`, "its Token is that of account wx1 too", 409},
		{"accounts:\n !0\n00", "look for a tag", 400}, // the parser panics
	} {
		if text := put(row.body, row.status); !strings.Contains(text, strings.ReplaceAll(row.want, `"`, `\"`)) {
			t.Errorf("%s: %s", row.body, text)
		}
		if got := w.get(domainIP, bearer...); got.Errcode != 0 {
			t.Errorf("after a wrong change: %s", got.body)
		}
	}
	if list := call(admin, "GET", "/accounts", "", adminKey).Body.String(); !strings.Contains(list, otherApp) || strings.Contains(list, "other-"+appSecret) {
		t.Error(list)
	}
	if err := w.Replace([]gateway.Account{{AppID: otherApp, Secret: custody.NewSecret("x")}}); err == nil {
		t.Error("the file may bring an account of the admin API's")
	}
	docs, err := w.store.(store.Ledger).Documents(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range docs {
		if strings.Contains(string(doc.Body), appSecret) {
			t.Errorf("the st shows an AppSecret: %s", doc.Kind)
		}
	}
	put(`{"accounts":[]}`, 200)
	if got := w.get(domainIP, bearer...); got.Errcode != 40013 {
		t.Error(got.body)
	}
	w.mustNotShow(appSecret, "other-"+appSecret)
}

// TestReplace: whole or not at all, and calls that are under way notice nothing.
func TestReplace(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	key := w.client(gateway.Client{Name: "shop"})
	token := w.token(key)
	if got := w.get(domainIP + "?access_token=" + token); got.Errcode != 0 {
		t.Fatal(got.body)
	}
	for _, list := range [][]gateway.Account{
		{{AppID: "wx1", Secret: custody.NewSecret("a")}, {AppID: "wx2"}},
		{{AppID: "wx1", Secret: custody.NewSecret("a")}, {AppID: "wx1", Secret: custody.NewSecret("a")}},
		{{AppID: "wx 1", Secret: custody.NewSecret("a")}},
	} {
		if err := w.Replace(list); err == nil {
			t.Errorf("%v: no error", list)
		}
		if got := len(w.Status()); got != 2 {
			t.Fatalf("%d accounts after a wrong change, want 2", got)
		}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			answer := httptest.NewRecorder()
			w.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, domainIP+"?access_token="+token, http.NoBody))
			if !strings.Contains(answer.Body.String(), "ip_list") {
				t.Errorf("meanwhile: %s", answer.Body)
			}
		}
	}()
	changed := w.cfg.Accounts[0]
	for n := range 20 {
		changed.DailyFetches = n + 10
		if err := w.Replace([]gateway.Account{changed}); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	<-stopped
	if n := w.issued(); n != 1 {
		t.Errorf("%d tokens were issued, want 1", n)
	}
	if err := w.Replace(nil); err != nil {
		t.Error(err)
	}
	if got := w.get(domainIP + "?access_token=" + token); got.Errcode != 40013 {
		t.Error(got.body)
	}
}

// TestReady: which account has no token.
func TestReady(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	patience.Until(t, "readiness", func() bool { return w.get("/readyz").status == 200 })
	if got := w.get("/healthz"); got.status != 200 {
		t.Error(got.status)
	}
	bad := newWorld(t, simulator.Options{}, func(c *gateway.Config) { c.Accounts[0].Secret = custody.NewSecret("wrong-" + appSecret) })
	key, other := bad.client(gateway.Client{Name: "shop"}), bad.client(gateway.Client{Name: "other", Accounts: []string{otherApp}})
	defer func() {
		for who, headers := range map[string][]string{"nobody": nil, "a wrong key": {"Authorization", "Bearer x"}, "another client": {"Authorization", "Bearer " + other}} {
			if got := bad.get("/readyz", headers...); got.status != 503 || strings.Contains(got.body, appID) || strings.Contains(got.body, "40125") ||
				!strings.Contains(got.body, `"without_token"`) {
				t.Errorf("%s is told %d %s", who, got.status, got.body)
			}
		}
	}()
	patience.Until(t, "what is lacking", func() bool {
		got := bad.get("/readyz", "Authorization", "Bearer "+key)
		return got.status == 503 && strings.Contains(got.body, appID) && strings.Contains(got.body, "40125") &&
			!strings.Contains(got.body, otherApp)
	})
	bad.mustNotShow("wrong-" + appSecret)
}

func TestConfigMistakes(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	for want, change := range map[string]func(*gateway.Config){
		"Config.Store is nil":           func(c *gateway.Config) { c.Store = nil },
		"ZHONGKONG_SEAL_KEY":            func(c *gateway.Config) { c.SealKeys = nil },
		"a seal key has exactly 32":     func(c *gateway.Config) { c.SealKeys = []custody.Secret{custody.NewSecret("x")} },
		"Config.APIBase must begin":     func(c *gateway.Config) { c.APIBase = "ftp://x" },
		"Config.Limits.Body is -1":      func(c *gateway.Config) { c.Limits.Body = -1 },
		"account wx1: its AppSecret is": func(c *gateway.Config) { c.Accounts = []gateway.Account{{AppID: "wx1"}} },
	} {
		cfg := w.cfg
		change(&cfg)
		g, err := gateway.New(t.Context(), cfg)
		if err == nil {
			_ = g.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestPutBack: an older document of the admin API's accounts that somebody puts back into
// the store, sealed as it is, is not taken.
func TestPutBack(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	admin := w.Admin(custody.NewSecret(adminKey), nil)
	put := func(id string) store.Document {
		t.Helper()
		if got := call(admin, "PUT", "/accounts", fmt.Sprintf(`{"accounts":[{"appid":%q,"secret":"made-up"}]}`, id), adminKey); got.Code != 200 {
			t.Fatal(got.Body)
		}
		docs, err := w.store.(store.Ledger).Documents(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(docs, func(d store.Document) bool { return d.Kind == "accounts" })
		return docs[i]
	}
	has := func(id string) bool {
		return slices.ContainsFunc(w.Status(), func(s custody.Status) bool { return s.Key.AppID == id })
	}
	old, now := put("wx00000000000000aa"), put("wx00000000000000bb")
	old.Version = now.Version
	if _, err := w.store.(store.Ledger).Put(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	w.Look(t.Context())
	if has("wx00000000000000aa") || !has("wx00000000000000bb") || !strings.Contains(w.log.String(), "has put them back") {
		t.Errorf("the older accounts are back:\n%s", w.log)
	}
	put("wx00000000000000cc")
	if !has("wx00000000000000cc") {
		t.Error("the next ones are not taken")
	}
}

// unreadable is a store whose documents cannot be read any more once one was written.
type unreadable struct {
	store.Store

	wrote atomic.Bool
}

func (u *unreadable) Put(ctx context.Context, doc store.Document) (int64, error) {
	defer u.wrote.Store(true)
	return u.Store.Put(ctx, doc)
}

func (u *unreadable) Documents(ctx context.Context, after int64) ([]store.Document, error) {
	if u.wrote.Load() {
		return nil, errors.New("it went away")
	}
	return u.Store.Documents(ctx, after)
}

// TestAccountsNotTaken: accounts that were written and are not at work are no success.
func TestAccountsNotTaken(t *testing.T) {
	w := join(t, weChat(t, simulator.Options{}), &unreadable{Store: memory.New()}, nil)
	body := fmt.Sprintf(`{"accounts":[{"appid":%q,"secret":"made-up"}]}`, "wx00000000000000aa")
	if got := call(w.Admin(custody.NewSecret(adminKey), nil), "PUT", "/accounts", body, adminKey); got.Code != 503 || !strings.Contains(got.Body.String(), "are in the store, which does not answer") {
		t.Errorf("%d %s", got.Code, got.Body)
	}
}

// TestFailedStart: a gateway that does not start leaves nothing behind.
func TestFailedStart(t *testing.T) {
	before := goleak.IgnoreCurrent()
	inner := memory.New()
	defer func() { _ = inner.Close() }()
	good := gateway.Config{Store: inner, SealKeys: []custody.Secret{custody.NewSecret(strings.Repeat("k", 32))}}
	for name, change := range map[string]func(*gateway.Config){
		"a seal key": func(c *gateway.Config) { c.SealKeys = []custody.Secret{custody.NewSecret("short")} },
		"no store":   func(c *gateway.Config) { c.Store = nil },
		"a login":    func(c *gateway.Config) { c.Login.Origin = "no address" },
		"an account": func(c *gateway.Config) { c.Accounts = []gateway.Account{{AppID: appID}} },
		"limits":     func(c *gateway.Config) { c.Limits = gateway.Limits{BodyOnDisk: 100, Spool: 399} },
	} {
		sinks, err := gateway.Journal{File: filepath.Join(t.TempDir(), "journal.jsonl"), Syslog: "udp://127.0.0.1:9"}.Open(slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		cfg := good
		cfg.Journal = sinks
		change(&cfg)
		if g, err := gateway.New(t.Context(), cfg); err == nil {
			t.Errorf("%s: it starts", name)
			_ = g.Close()
		}
		if err := goleak.Find(before); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if _, err := (gateway.Journal{File: filepath.Join(t.TempDir(), "journal.jsonl"), Syslog: "made-up"}).Open(slog.New(slog.DiscardHandler)); err == nil {
		t.Error("syslog without an address opens")
	}
	if err := goleak.Find(before); err != nil {
		t.Errorf("a journal that does not open: %v", err)
	}
}

// TestAdminMemoryAtScale: no body makes a parser take gigabytes. Nested brackets of 128 KB once
// took 6.2 of them.
func TestAdminMemoryAtScale(t *testing.T) {
	size := tier.Scale(t, 1000, 10_000)
	w := newWorld(t, simulator.Options{}, nil)
	admin := w.Admin(custody.NewSecret(adminKey), nil)
	laughs := "accounts: []\na0: &a0 [x,x,x,x,x,x,x,x,x]\n"
	for i := range 8 {
		laughs += fmt.Sprintf("a%d: &a%[1]d [%s]\n", i+1, strings.Repeat(fmt.Sprintf("*a%d,", i), 9))
	}
	steps := ""
	for i := 0; len(steps) < 12*size; i++ {
		steps += strings.Repeat(" ", i) + "a:\n"
	}
	for name, body := range map[string]string{
		"brackets": `{"accounts":` + strings.Repeat("[", 13*size), "closed": `{"accounts":` + strings.Repeat("[]", 6*size), "aliases": laughs, "steps": steps,
		"accounts": `{"accounts":[` + strings.Repeat("{},", 4*size) + "{}]}", "keys": "{" + strings.Repeat("a:1,", 3*size) + "}",
		"questions": strings.Repeat("? a\n", 2*size), "quotes": strings.Repeat(`"`, 12*size), "comments": strings.Repeat("#\n", 6*size),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got := call(admin, "PUT", "/accounts", body, adminKey)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; got.Code != http.StatusBadRequest || took > 512<<20 {
			t.Errorf("%s: %d, with %d MiB: %.200s", name, got.Code, took>>20, got.Body)
		}
	}
}
