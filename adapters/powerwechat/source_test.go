package powerwechat_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ArtisanCloud/PowerWeChat/v3/src/officialAccount"

	"github.com/zhongkong-go/zhongkong/adapters/powerwechat"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/simulator"
)

const appID = "wx0123456789abcdef"

// folder is for the files that the SDK writes.
var folder string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if folder, err = os.MkdirTemp("", "zhongkong-"); err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	if err := os.Setenv("HOME", folder); err != nil {
		panic(err)
	}
	return m.Run()
}

// simulated returns a simulator, a client of it with that AppSecret (it should be
// "made-up"), and the configuration of an app that goes there too.
func simulated(secret string) (*simulator.Simulator, *wechat.Client, *officialAccount.UserConfig) {
	wx, err := simulator.New(simulator.Options{Accounts: []simulator.Account{{AppID: appID, Secret: "made-up"}}})
	if err != nil {
		panic(err)
	}
	client, err := wechat.New(wechat.Config{
		AppID: appID, AppSecret: wechat.Secret(secret), Transport: wx.RoundTripper(), StoreURL: "memory:",
	})
	if err != nil {
		panic(err)
	}
	return wx, client, &officialAccount.UserConfig{
		AppID: appID,
		Http:  officialAccount.Http{Transport: wx.RoundTripper()},
		Log:   officialAccount.Log{Level: "error", File: filepath.Join(folder, "info.log"), Error: filepath.Join(folder, "error.log")},
	}
}

func open(tb testing.TB) (*simulator.Simulator, *powerwechat.Source, *officialAccount.OfficialAccount) {
	tb.Helper()
	wx, client, config := simulated("made-up")
	tb.Cleanup(func() { _ = client.Close() })
	app, err := officialAccount.NewOfficialAccount(config)
	if err != nil {
		tb.Fatal(err)
	}
	source := &powerwechat.Source{Tokens: client}
	app.AccessToken.GetCustomToken = source.CustomToken
	return wx, source, app
}

func call(ctx context.Context, app *officialAccount.OfficialAccount) error {
	answer, err := app.Base.GetCallbackIP(ctx)
	if err == nil && len(answer.IPList) == 0 {
		err = errors.New("no addresses")
	}
	return err
}

func TestCalls(t *testing.T) {
	wx, _, app := open(t)
	for range 3 {
		if err := call(t.Context(), app); err != nil {
			t.Fatal(err)
		}
	}
	token, err := app.AccessToken.GetToken(t.Context(), false)
	if err != nil || !wx.Accepts(token.AccessToken) || token.ExpiresIn < 7000 || token.ExpiresIn > 7200 {
		t.Errorf("GetToken: %v, %v", token, err)
	}
	if stats := wx.Stats(appID); stats.Stable.Issued != 1 || stats.Classic.Calls != 0 {
		t.Errorf("%+v, want one token, and none by the SDK's own way", stats)
	}
}

// TestRefused has a call meet a dead token: the SDK makes it again with another.
func TestRefused(t *testing.T) {
	wx, _, app := open(t)
	for range 2 {
		if err := call(t.Context(), app); err != nil {
			t.Error(err)
		}
		wx.Kill(appID)
	}
	if n := wx.Stats(appID).Stable.Issued; n != 2 {
		t.Errorf("%d tokens were issued, want 2", n)
	}
}

// TestRefusedTogether has many calls report the refusal of one token, as the SDK
// does: one renewal for all.
func TestRefusedTogether(t *testing.T) {
	wx, source, _ := open(t)
	source.CustomToken("", false)
	wx.Kill(appID)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			source.CustomToken("", true)
			if token, ok := source.CustomToken("", false)["access_token"].(string); !ok || !wx.Accepts(token) {
				t.Error("a token that WeChat refuses, or none")
			}
		})
	}
	all.Wait()
	if n := wx.Stats(appID).Stable.Issued; n != 2 {
		t.Errorf("%d tokens were issued, want 2", n)
	}
}

// TestRefusedForNothing reports a refusal of a token that WeChat accepts.
func TestRefusedForNothing(t *testing.T) {
	wx, _, app := open(t)
	before, err := app.AccessToken.GetToken(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	after, err := app.AccessToken.GetToken(t.Context(), true)
	if err != nil || after.AccessToken != before.AccessToken {
		t.Errorf("%v, want the same token", err)
	}
	if n := wx.Stats(appID).Stable.Issued; n != 1 {
		t.Errorf("%d tokens were issued, want 1", n)
	}
}

// TestErrors has no token to give: the SDK says so, OnError why.
func TestErrors(t *testing.T) {
	_, client, config := simulated("another")
	defer func() { _ = client.Close() }()
	app, err := officialAccount.NewOfficialAccount(config)
	if err != nil {
		t.Fatal(err)
	}
	var why error
	source := &powerwechat.Source{Tokens: client, OnError: func(err error) { why = err }}
	app.AccessToken.GetCustomToken = source.CustomToken
	if err := call(t.Context(), app); err == nil {
		t.Error("a call without a token")
	}
	var none *custody.Error
	if !errors.As(why, &none) || none.Code != 40125 {
		t.Errorf("%v, want a *custody.Error with 40125", why)
	}
}

// never has no token, and waits for one.
type never struct{}

func (never) Token(ctx context.Context) (custody.Token, error) {
	<-ctx.Done()
	return custody.Token{}, ctx.Err()
}

func (n never) Reject(ctx context.Context, _ string) (custody.Token, error) { return n.Token(ctx) }

// TestTimeout waits for a token no longer than it should.
func TestTimeout(t *testing.T) {
	var why error
	source := &powerwechat.Source{Tokens: never{}, Timeout: time.Millisecond, OnError: func(err error) { why = err }}
	if token := source.CustomToken("", false); token["access_token"] != nil || !errors.Is(why, context.DeadlineExceeded) {
		t.Errorf("%v, %v, want context.DeadlineExceeded", token, why)
	}
}

func Example() {
	_, client, config := simulated("made-up") // in an app: wechat.New(wechat.Config{AppID: …, AppSecret: …})
	defer func() { _ = client.Close() }()
	app, err := officialAccount.NewOfficialAccount(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	source := &powerwechat.Source{Tokens: client, OnError: func(err error) { fmt.Println(err) }}
	app.AccessToken.GetCustomToken = source.CustomToken

	answer, err := app.Base.GetCallbackIP(context.Background())
	fmt.Println(len(answer.IPList) > 0, err)
	// Output: true <nil>
}
