package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// trailed is a store that says in which order the trail and documents are written, and
// whose trail fails when it is told to.
type trailed struct {
	*memory.Store

	full atomic.Bool

	mu    sync.Mutex // guards what follows
	order []string
}

func (s *trailed) wrote(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.order = append(s.order, what)
}

func (s *trailed) Note(ctx context.Context, use store.Use) error {
	if s.full.Load() {
		return errors.New("made up: the disk is full")
	}
	err := s.Store.Note(ctx, use)
	s.wrote("note " + use.Act)
	return err
}

func (s *trailed) Put(ctx context.Context, doc store.Document) (int64, error) {
	if doc.Kind != "probe" { // nobody's act
		s.wrote("put " + doc.Kind)
	}
	return s.Store.Put(ctx, doc)
}

// TestJournal: what admins do, and each hand-out of a real token, is in the journal
// before it is done, and is not done when it cannot be written. Renewals, calls and
// logins of people go on.
func TestJournal(t *testing.T) {
	t.Parallel()
	store := &trailed{Store: memory.New()}
	w := join(t, weChat(t, simulator.Options{}), store, nil)
	reloads := 0
	admin := w.Admin(custody.NewSecret(adminKey), func() error { reloads++; return nil })
	ask := func(method, target, body string) (status int) {
		t.Helper()
		return call(admin, method, target, body, adminKey).Code
	}
	client := fmt.Sprintf(`{"name":"new","accounts":[%q]}`, appID)
	accounts := `{"accounts":[{"appid":"wx00000000000000aa","secret":"made-up"}]}`
	type act struct{ method, target, body string }
	acts := []act{
		{"POST", "/clients", client},
		{"POST", "/clients/new/rotate", ""},
		{"DELETE", "/clients/new", ""},
		{"PUT", "/accounts", accounts},
		{"PUT", "/accounts", `{"accounts":[]}`},
		{"POST", "/reload", ""},
	}
	for _, a := range acts {
		if status := ask(a.method, a.target, a.body); status != 200 {
			t.Fatalf("%s %s: %d", a.method, a.target, status)
		}
	}
	want := []string{
		"note add client", "put client", "note rotate client", "put client", "note revoke client", "put client",
		"note replace accounts", "put accounts", "note replace accounts", "put accounts", "note reload",
	}
	if !slices.Equal(store.order, want) {
		t.Errorf("the order was\n%q, want\n%q", store.order, want)
	}

	shop, crm := w.client(gateway.Client{Name: "shop"}), w.client(gateway.Client{Name: "crm", Real: true})
	token, given := w.token(shop), w.token(crm)
	before, err := w.clients().List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	store.full.Store(true)
	for _, a := range append(acts, act{"POST", "/clients/shop/rotate", ""}, act{"DELETE", "/clients/shop", ""}) {
		if strings.HasPrefix(a.target, "/clients/new") {
			continue // is not there
		}
		if got := call(admin, a.method, a.target, a.body, adminKey); got.Code != 503 ||
			!strings.Contains(got.Body.String(), "journal cannot be written") {
			t.Errorf("%s %s without a journal: %d %s", a.method, a.target, got.Code, got.Body)
		}
	}
	after, err := w.clients().List(t.Context())
	if err != nil || len(after) != len(before) || reloads != 1 || len(w.Status()) != 2 {
		t.Errorf("%d clients (%v), want %d; %d reloads, want 1; %d accounts, want 2", len(after), err, len(before), reloads, len(w.Status()))
	}
	if got := w.fetch(crm); got.Errcode != -1 || got.Token != "" || strings.Contains(got.body, given) {
		t.Errorf("a real token without a journal: %s", got.body)
	}
	if got := w.fetch(shop); got.Token == "" {
		t.Errorf("a gateway token, which is no secret of WeChat's: %s", got.body)
	}
	issued := w.issued()
	w.wx.Kill(appID)
	if got := w.get(domainIP + "?access_token=" + token); got.Errcode != 0 || w.issued() != issued+1 {
		t.Errorf("a renewal without a journal: %s, %d more tokens", got.body, w.issued()-issued)
	}
	if got := w.get("/sns/jscode2session?appid=" + appID + "&secret=" + shop +
		"&js_code=x&grant_type=authorization_code"); strings.Contains(got.body, "zhongkong") {
		t.Errorf("a login without a journal: %s", got.body)
	}
	if !strings.Contains(w.log.String(), "the AppSecret is used, and the journal does not say so") {
		t.Error("nobody is told")
	}
	w.mustNotShow(shop, crm, token, given, appSecret)
}

// TestSecretIsJournaledFirst: when WeChat gets an AppSecret, from a client's call or
// from a fetch of the gateway's own, the journal has it already.
func TestSecretIsJournaledFirst(t *testing.T) {
	var store *memory.Store
	var atCall, atFetch []string
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/cgi-bin/token":
			key := custody.Key{Kind: "access_token", API: "classic", AppID: appID, Host: r.Host}
			lines, err := store.Journal(context.Background(), key, 10)
			for _, line := range lines {
				atFetch = append(atFetch, string(line.Event))
			}
			if err != nil {
				t.Error(err)
			}
			_, _ = io.WriteString(out, `{"access_token":"91_made-up","expires_in":7200}`)
		case "/sns/jscode2session":
			uses, err := store.Uses(context.Background(), 1)
			for _, use := range uses {
				atCall = append(atCall, use.Actor, use.Act, use.Subject, use.Detail)
			}
			if err != nil {
				t.Error(err)
			}
			_, _ = io.WriteString(out, `{"openid":"o1"}`)
		default:
			_, _ = io.WriteString(out, `{"ip_list":["127.0.0.1"]}`)
		}
	}))
	t.Cleanup(server.Close)
	store = memory.New()
	w := join(t, weChat(t, simulator.Options{}), store, func(c *gateway.Config) {
		c.APIBase, c.Accounts = server.URL, c.Accounts[:1]
	})
	key := w.client(gateway.Client{Name: "shop"})
	if got := w.get(domainIP, "Authorization", "Bearer "+key, "X-WeChat-AppID", appID); got.Errcode != 0 {
		t.Fatal(got.body)
	}
	if got := w.get("/sns/jscode2session?appid=" + appID + "&secret=" + key + "&js_code=x&grant_type=authorization_code"); got.body != `{"openid":"o1"}` {
		t.Fatal(got.body)
	}
	if want := []string{"client shop", "use AppSecret", appID, "/sns/jscode2session"}; len(atCall) != 4 ||
		!slices.Equal(atCall[:3], want[:3]) || !strings.HasPrefix(atCall[3], want[3]+" #") {
		t.Errorf("at a login the journal has %q, want %q", atCall, want)
	}
	if want := []string{string(custody.EventBegin)}; !slices.Equal(atFetch, want) {
		t.Errorf("at a fetch the credentials' journal has %q, want %q", atFetch, want)
	}
}
