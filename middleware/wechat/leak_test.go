package wechat_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/internal/test/race"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

const testSealKey = "SealKeyOfExactly32Bytes+/=&?%<>!"

// mustNotTell wants no secret in texts, in no usual encoding. more are secrets
// beside those of this package's tests.
func mustNotTell(t *testing.T, texts ...string) { t.Helper(); mustNotTellOf(t, nil, texts...) }

func mustNotTellOf(t *testing.T, more []string, texts ...string) {
	t.Helper()
	for _, secret := range append([]string{testSecret, testToken, testAESKey, testSealKey}, more...) {
		for _, form := range []string{
			secret, url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret)),
			hex.EncodeToString([]byte(secret)), fmt.Sprintf("%d", []byte(secret)), fmt.Sprintf("%#v", []byte(secret)),
		} {
			for _, text := range texts {
				if at := strings.Index(text, form); at >= 0 {
					t.Errorf("a secret (%.4s…) is told: …%s", secret, text[max(0, at-80):at])
				}
			}
		}
	}
}

// prints returns everything that fmt, slog and JSON make of a value.
func prints(value any) []string {
	texts := []string{fmt.Sprint(value)}
	verbs := []string{"%v", "%+v", "%#v"}
	if !race.Enabled { // a verb that does not fit makes fmt walk into what other goroutines write
		verbs = append(verbs, "%s", "%q", "%x", "%X", "%d", "%t")
	}
	for _, verb := range verbs {
		texts = append(texts, fmt.Sprintf(verb, value))
	}
	out := new(logtest.Log)
	out.Logger(slog.LevelDebug).Info("printed", "value", value)
	if data, err := json.Marshal(value); err == nil {
		texts = append(texts, string(data))
	}
	return append(texts, out.String())
}

// TestNothingTells: whatever fails on the way to WeChat, neither the errors, nor
// the log at Debug, nor any print of what is involved shows a secret.
func TestNothingTells(t *testing.T) {
	live := simtest.New(t, simulatorOptions()) // gives the token that the failures must not tell
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // until then a server does not see that its client has gone
		<-r.Context().Done()
	}))
	t.Cleanup(silent.Close)
	strange := httptest.NewUnstartedServer(http.NotFoundHandler())
	strange.Config.ErrorLog = log.New(io.Discard, "", 0)
	strange.StartTLS()
	t.Cleanup(strange.Close)
	wrong := simtest.New(t, simulator.Options{Accounts: []simulator.Account{{AppID: testAppID, Secret: "another"}}})
	wrong.Inject(simulator.Fault{Path: simulator.Fetches, Errcode: 40125, Errmsg: "invalid appsecret " + testSecret})

	for name, base := range map[string]string{
		"connection refused": "http://" + testserver.Refusing(t),
		"timeout":            silent.URL,
		"TLS failure":        strange.URL,
		"40125":              wrong.URL,
	} {
		for api := range tokenAPIs {
			t.Run(name+"/"+string(api), func(t *testing.T) {
				t.Parallel()
				nothingTells(t, live, base, api)
			})
		}
	}
}

func nothingTells(t *testing.T, live *simtest.Sim, base string, api platform.TokenAPI) {
	out := new(logtest.Log)
	reach := new(switched)
	reach.to(live.URL)
	inner := memory.New()
	defer func() { _ = inner.Close() }()
	store := struct{ custody.Store }{inner} // without its Watch: nothing happens by itself
	cfg := config()
	cfg.PreviousToken, cfg.AESKey, cfg.PreviousAESKey = wechat.Secret(testToken), wechat.Secret(testAESKey), wechat.Secret(testAESKey)
	cfg.SealKeys = []custody.Secret{wechat.Secret(testSealKey)}
	cfg.TokenAPI, cfg.APIBase, cfg.Logger = api, base, out.Logger(slog.LevelDebug)
	cfg.Transport, cfg.StoreURL, cfg.Store = reach, "", store
	cfg.Timing = custody.Timing{FetchTimeout: 4 * time.Second, ProbeTimeout: 300 * time.Millisecond} // the first fetch succeeds

	client := newClient(t, cfg) // with a token, of the living simulator
	token, err := client.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	value := token.Value()
	reach.to(base) // and now the network fails

	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var told []string
	note := func(err error) {
		t.Helper()
		if err == nil {
			t.Error("it succeeded")
		}
		told = append(told, prints(err)...)
	}
	note(client.Get(ctx, domainIP, nil, nil))
	note(client.Post(ctx, "/cgi-bin/menu/create", struct{}{}, nil))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/cgi-bin/media/get", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := client.HTTPClient().Do(request); err == nil {
		_ = resp.Body.Close()
		told = append(told, prints(resp.Request.URL)...)
	} else {
		note(err)
	}
	_, err = client.Reject(t.Context(), value) // probe and fetch
	note(err)
	status := client.Status()
	if status.Failure == nil {
		t.Errorf("the fetch did not fail: %v", err)
	}

	keeper, err := custody.New(custody.Config{
		Key: custody.Key{Kind: "access_token", AppID: testAppID},
		Kind: custody.Kind{Fetch: func(context.Context, custody.Mode) (custody.Grant, error) {
			return custody.Grant{Value: custody.NewSecret(value), ExpiresIn: time.Hour}, nil
		}},
		Store: store, Secret: cfg.AppSecret, SealKeys: cfg.SealKeys, Logger: cfg.Logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = keeper.Close() }()
	if _, err := keeper.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	holder := struct {
		Config  wechat.Config
		Client  *wechat.Client
		Status  custody.Status
		config  wechat.Config
		client  *wechat.Client
		keeper  *custody.Keeper
		token   custody.Token
		pointer *custody.Token
	}{cfg, client, status, cfg, client, keeper, token, &token}
	for _, printed := range []any{cfg, &cfg, client, keeper, token, &token, status, holder, &holder, []any{holder}, map[string]any{"client": client}} {
		told = append(told, prints(printed)...)
	}
	told = append(told, prints(holder.config)...)
	told = append(told, prints(client.HTTPClient())...)
	mustNotTellOf(t, []string{value}, append(told, out.String())...)
	if text := out.String(); !strings.Contains(text, "level=DEBUG") || !strings.Contains(text, testAppID) {
		t.Errorf("the log says too little for this test to see anything:\n%s", text)
	}
}

// switched is a network whose way leads elsewhere at some time: requests go to
// base, whatever they were meant for.
type switched struct{ base atomic.Pointer[url.URL] }

func (s *switched) to(base string) {
	u, err := url.Parse(base)
	if err != nil {
		panic(err)
	}
	s.base.Store(u)
}

func (s *switched) RoundTrip(r *http.Request) (*http.Response, error) {
	base := s.base.Load()
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host, r.Host = base.Scheme, base.Host, base.Host
	return (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
}
