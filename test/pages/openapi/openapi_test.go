// Package openapi_test calls the gateway's API as programs and admins do, and compares
// the answers with the schemas of openapi.yaml. Status and content type of every other
// answer that the tests of package gateway see are compared there.
package openapi_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/logintest"
	"github.com/zhongkong-go/zhongkong/internal/test/openapitest"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

func TestMain(m *testing.M) { testserver.Main(m) }

const (
	contractURL = "http://zhongkong.invalid/openapi.json"

	appID     = "wx0123456789abcdef"
	badApp    = "wxfedcba9876543210" // its AppSecret is wrong
	appSecret = "0123456789abcdef0123456789abcdef"
	adminKey  = "made-up-admin-key-0123456789abcdef"
)

// contract is openapi.yaml with its schemas.
type contract struct {
	*openapitest.Contract

	mu      sync.Mutex
	schemas *jsonschema.Compiler
	met     map[string]bool // the places of the schemas that an answer was compared with
}

func newContract(t *testing.T) *contract {
	t.Helper()
	text, err := os.ReadFile("../../../gateway/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := &contract{schemas: jsonschema.NewCompiler(), met: map[string]bool{}}
	if c.Contract, err = openapitest.Read(text); err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(c.JSON))
	if err != nil {
		t.Fatal(err)
	}
	c.schemas.DefaultDraft(jsonschema.Draft2020) // that of OpenAPI 3.1
	c.schemas.AssertFormat()
	if err := c.schemas.AddResource(contractURL, document); err != nil {
		t.Fatal(err)
	}
	c.Validate = c.validate
	return c
}

// validate compares JSON with the schema at a place of the document.
func (c *contract) validate(at string, body []byte) error {
	c.mu.Lock()
	c.met[at] = true
	schema, err := c.schemas.Compile(contractURL + at)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: %s", err, body)
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("%w: %s", err, body)
	}
	return nil
}

// TestSchemas: every schema compiles.
func TestSchemas(t *testing.T) {
	c := newContract(t)
	names := openapitest.Dig(c.Document, "components", "schemas")
	if len(names) < 20 {
		t.Fatalf("only %d schemas were found", len(names))
	}
	for name := range names {
		if _, err := c.schemas.Compile(contractURL + "#/components/schemas/" + name); err != nil {
			t.Error(err)
		}
	}
}

// TestSchemasSee gives the check what it is there to find.
func TestSchemasSee(t *testing.T) {
	c := newContract(t)
	const json, token = "application/json; encoding=utf-8", "/zhongkong/v1/accounts/wx0/token"
	for name, test := range map[string]struct {
		path       string
		status     int
		body, want string
	}{
		"right":                  {token, 200, `{"appid":"wx0","access_token":"zk_x","expires_in":7200,"real":false}`, ""},
		"right, real":            {token, 200, `{"appid":"wx0","access_token":"91_x","expires_in":7,"real":true,"fence":1}`, ""},
		"refusal without fields": {token + "s", 404, `{}`, "error"},
		"refusal without rid":    {token, 401, `{"error":"x"}`, "rid"},
		"no JSON":                {token, 200, `{`, "EOF"},
		"unknown field":          {token, 200, `{"appid":"wx0","access_token":"zk_x","expires_in":7200,"real":false,"secret":""}`, "secret"},
		"missing field":          {token, 200, `{"appid":"wx0","access_token":"zk_x","real":false}`, "expires_in"},
		"real called own":        {token, 200, `{"appid":"wx0","access_token":"91_x","expires_in":7200,"real":false}`, "pattern"},
		"wrong type":             {"/clients", 200, `{"clients":{}}`, "array"},
	} {
		err := c.Check(http.MethodGet, test.path, test.status, json, []byte(test.body))
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// world is a gateway, at the address for programs and at the admin's.
type world struct {
	*contract

	t               *testing.T
	wx              *simtest.Sim
	gateway         *gateway.Gateway
	store           store.Store
	programs, admin *httptest.Server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	wx := simtest.New(
		t,
		simulator.Options{Accounts: []simulator.Account{{AppID: appID, Secret: appSecret}, {AppID: badApp, Secret: appSecret}}},
	)
	w := &world{contract: newContract(t), t: t, wx: wx, store: memory.New()}
	var err error
	w.gateway, err = gateway.New(t.Context(), gateway.Config{
		Accounts: []gateway.Account{
			{AppID: appID, Secret: custody.NewSecret(appSecret)},
			{AppID: badApp, Secret: custody.NewSecret("wrong-" + appSecret)},
		},
		Store: w.store, SealKeys: []custody.Secret{custody.NewSecret(strings.Repeat("s", 32))}, APIBase: wx.URL,
		Login: gateway.Login{Origin: loginOrigin, OpenBase: wx.URL},
	})
	if err != nil {
		t.Fatal(err)
	}
	reloads := 0
	w.programs = httptest.NewServer(w.gateway)
	w.admin = httptest.NewServer(w.gateway.Admin(custody.NewSecret(adminKey), func() error {
		if reloads++; reloads > 1 {
			return fmt.Errorf("line %d: made up", reloads)
		}
		return nil
	}))
	t.Cleanup(func() {
		w.programs.Close()
		w.admin.Close()
		if err := w.gateway.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// call calls the API of a server and compares the answer with the description.
func (w *world) call(server *httptest.Server, method, target, body, key string, status int) string { //nolint:revive // a row of calls
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, server.URL+target, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	res, err := server.Client().Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.Check(method, r.URL.Path, res.StatusCode, res.Header.Get("Content-Type"), answer); err != nil {
		w.t.Error(err)
	}
	if res.StatusCode != status {
		w.t.Errorf("%s %s: %d %s, want %d", method, target, res.StatusCode, answer, status)
	}
	return string(answer)
}

// row is a call of a table.
type row struct {
	method, target, body, key string
	status                    int
}

func (w *world) calls(server *httptest.Server, rows []row) {
	w.t.Helper()
	for _, r := range rows {
		w.call(server, r.method, r.target, r.body, r.key, r.status)
	}
}

const loginOrigin, shopOrigin = "https://login.example", "https://shop.example"

// ticket is what a browser brings to the client shop after a login.
func (w *world) ticket() string {
	w.t.Helper()
	b := logintest.New(w.t, w.wx.Simulator, map[string]http.Handler{loginOrigin: w.gateway, shopOrigin: http.NotFoundHandler()})
	at, page := b.Until(loginOrigin+"/login/shop?appid="+appID+"&redirect_uri="+url.QueryEscape(shopOrigin+"/back"), shopOrigin)
	u, err := url.Parse(at)
	if page != nil || err != nil {
		w.t.Fatalf("%s: %v, %v", at, page, err)
	}
	return u.Query().Get("ticket")
}

func (w *world) client(c gateway.Client) string {
	w.t.Helper()
	c.Accounts = []string{gateway.AllAccounts}
	key, err := w.gateway.Clients("test").Add(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.gateway.Look(w.t.Context())
	return key.Reveal()
}

// TestAnswers calls every operation, with success and with each kind of refusal, so
// that every schema of an answer is met.
func TestAnswers(t *testing.T) {
	w := newWorld(t)
	const v1 = "/zhongkong/v1/"
	const account, bad = v1 + "accounts/" + appID, v1 + "accounts/" + badApp
	own, realKey := w.client(gateway.Client{Name: "shop"}), w.client(gateway.Client{Name: "crm", Real: true})
	narrow, slow := w.client(
		gateway.Client{Name: "narrow", Paths: []string{"/cgi-bin/menu/get"}},
	), w.client(
		gateway.Client{Name: "slow", Rate: 0.0001},
	)
	rejection := `{"access_token":"91_x"}`
	w.calls(w.programs, []row{
		{"GET", "/healthz", "", "", 200},
		{"GET", v1 + "openapi.yaml", "", "", 200},
		{"GET", account + "/token", "", own, 200},
		{"GET", account + "/token", "", realKey, 200},
		{"GET", bad + "/token", "", realKey, 503}, // with class and retry_after
		{"GET", "/readyz", "", realKey, 503},      // with lacking
		{"GET", v1 + "accounts", "", own, 200},
		{"GET", v1 + "accounts", "", "", 401},
		{"GET", v1 + "accounts", "", "zkkey_x", 401},
		{"GET", v1 + "accounts", "", slow, 200},
		{"GET", v1 + "accounts", "", slow, 429},
		{"POST", v1 + "accounts", "", own, 405},
		{"GET", v1 + "nothing", "", own, 404},
		{"GET", v1 + "accounts/wx0/token", "", own, 403},
		{"POST", account + "/reject", rejection, own, 200},
		{"POST", account + "/reject", rejection, realKey, 200},
		{"POST", account + "/reject", "{}", own, 400},
		{"POST", account + "/reject", strings.Repeat(" ", 70<<10), own, 413},
		{"POST", bad + "/reject", rejection, realKey, 503},
		{"GET", account + "/tickets/jsapi", "", own, 200},
		{"GET", account + "/tickets/x", "", own, 400},
		{"POST", account + "/tickets/jsapi/reject", `{"ticket":"of yesterday"}`, own, 200},
		{"GET", account + "/tickets/jsapi", "", narrow, 403},
		{"GET", bad + "/tickets/wx_card", "", own, 503},
		{"GET", v1 + "accounts/wx0/events", "", own, 403},
	})
	w.event(account+"/events", own)
	sites := `{"returns":["` + shopOrigin + `/*"],"origins":["` + shopOrigin + `"]}`
	w.call(w.admin, "PUT", "/clients/shop/sites", sites, adminKey, 200)
	w.call(w.admin, "PUT", "/clients/shop/title", `{"title":"商城"}`, adminKey, 200)
	w.call(w.admin, "PUT", "/clients/shop/title", `{}`, adminKey, 400)
	w.gateway.Look(t.Context())
	w.call(w.programs, "GET", account+"/jsconfig?url="+url.QueryEscape(shopOrigin+"/page"), "", own, 200)
	w.call(w.programs, "POST", v1+"login", `{"ticket":"`+w.ticket()+`"}`, own, 200)
	w.call(w.programs, "POST", v1+"login", `{"ticket":"x"}`, own, 400)
	w.calls(w.admin, []row{
		{"GET", "/clients", "", adminKey, 200},
		{"GET", "/clients", "", "x", 401},
		{"POST", "/clients", `{"name":"erp","title":"进销存","accounts":["*"],"paths":["/cgi-bin/*"],"rate":100,"real":true,"ends":"2099-01-31T00:00:00Z"}`, adminKey, 200},
		{"POST", "/clients", `{"name":"erp","accounts":["*"]}`, adminKey, 409},
		{"POST", "/clients", `{"name":"erp 2","accounts":["*"]}`, adminKey, 400},
		{"GET", "/clients", "", adminKey, 200},
		{"POST", "/clients/erp/rotate?grace=1h", "", adminKey, 200},
		{"POST", "/clients/erp/rotate?grace=-1h", "", adminKey, 400},
		{"POST", "/clients/none/rotate", "", adminKey, 404},
		{"DELETE", "/clients/erp", "", adminKey, 200},
		{"DELETE", "/clients/erp", "", adminKey, 404},
		{"GET", "/accounts", "", adminKey, 200}, // with a failure
		{"PUT", "/accounts", `{"accounts":[{"appid":"wx1","secret":"a"}]}`, adminKey, 200},
		{"PUT", "/accounts", `{"accounts":[{"appid":"wx1"}]}`, adminKey, 400},
		{"PUT", "/accounts", `{"accounts":[{"appid":"` + appID + `","secret":"a"}]}`, adminKey, 409},
		{"POST", "/reload", "", adminKey, 200},
		{"POST", "/reload", "", adminKey, 400},
		{"GET", "/journal", "", adminKey, 200},
		{"GET", "/journal?limit=x", "", adminKey, 400},
	})
	if err := w.gateway.Replace([]gateway.Account{{AppID: appID, Secret: custody.NewSecret(appSecret)}}); err != nil {
		t.Fatal(err)
	}
	w.call(w.admin, "PUT", "/accounts", `{"accounts":[]}`, adminKey, 200)
	w.call(w.programs, "GET", "/readyz", "", "", 200)
	w.gateway.Drain()
	w.call(w.programs, "GET", "/readyz", "", "", 503) // with draining
	for _, at := range w.Schemas() {
		if !w.met[at] {
			t.Errorf("no answer was compared with the schema at %s", at)
		}
	}
}

// event subscribes and compares the first event with its schema.
func (w *world) event(target, key string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.programs.URL+target, http.NoBody)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	res, err := w.programs.Client().Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if err := w.Check(r.Method, r.URL.Path, res.StatusCode, res.Header.Get("Content-Type"), nil); err != nil {
		w.t.Fatal(err)
	}
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if data, found := strings.CutPrefix(lines.Text(), "data: "); found {
			if err := w.validate("#/components/schemas/TokenEvent", []byte(data)); err != nil {
				w.t.Error(err)
			}
			return
		}
	}
	w.t.Error("the stream ended before the first event")
}
