package chanxuehong_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/chanxuehong/wechat/mp/base"
	"github.com/chanxuehong/wechat/mp/core"

	"github.com/zhongkong-go/zhongkong/adapters/chanxuehong"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/simulator"
)

const appID = "wx0123456789abcdef"

// simulated returns a simulator, a client of it, and an http.Client for the SDK.
func simulated() (*simulator.Simulator, *wechat.Client, *http.Client) {
	wx, err := simulator.New(simulator.Options{Accounts: []simulator.Account{{AppID: appID, Secret: "made-up"}}})
	if err != nil {
		panic(err)
	}
	client, err := wechat.New(wechat.Config{
		AppID: appID, AppSecret: wechat.Secret("made-up"), Transport: wx.RoundTripper(), StoreURL: "memory:",
	})
	if err != nil {
		panic(err)
	}
	return wx, client, &http.Client{Transport: wx.RoundTripper()}
}

func open(tb testing.TB) (*simulator.Simulator, *chanxuehong.Server, *core.Client) {
	tb.Helper()
	wx, client, sdk := simulated()
	tb.Cleanup(func() { _ = client.Close() })
	server := &chanxuehong.Server{Tokens: client}
	return wx, server, core.NewClient(server, sdk)
}

func TestCalls(t *testing.T) {
	wx, server, sdk := open(t)
	for range 3 {
		if _, err := base.GetCallbackIP(sdk); err != nil {
			t.Fatal(err)
		}
	}
	if token, err := server.RefreshToken(""); err != nil || !wx.Accepts(token) {
		t.Errorf("RefreshToken of nothing: %v, a token that WeChat accepts: %v", err, wx.Accepts(token))
	}
	if stats := wx.Stats(appID); stats.Stable.Issued != 1 || stats.Classic.Calls != 0 {
		t.Errorf("%+v, want one token, and none by the SDK's own way", stats)
	}
}

// TestRefused has many calls meet a dead token at once: one renewal for all.
func TestRefused(t *testing.T) {
	wx, _, sdk := open(t)
	if _, err := base.GetCallbackIP(sdk); err != nil {
		t.Fatal(err)
	}
	wx.Kill(appID)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := base.GetCallbackIP(sdk); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := wx.Stats(appID).Stable.Issued; n != 2 {
		t.Errorf("%d tokens were issued, want 2", n)
	}
}

// TestLateRefusal rejects a token that was replaced long ago: nothing is renewed.
func TestLateRefusal(t *testing.T) {
	wx, server, sdk := open(t)
	old, err := server.Token()
	if err != nil {
		t.Fatal(err)
	}
	wx.Kill(appID)
	if _, err := base.GetCallbackIP(sdk); err != nil {
		t.Fatal(err)
	}
	token, err := server.RefreshToken(old)
	if err != nil || token == old || !wx.Accepts(token) {
		t.Errorf("RefreshToken of an old one: %v, the same %v, good %v", err, token == old, wx.Accepts(token))
	}
	if n := wx.Stats(appID).Stable.Issued; n != 2 {
		t.Errorf("%d tokens were issued, want 2", n)
	}
}

// TestRefusedForNothing rejects a token that WeChat accepts: the call is repeated with it.
func TestRefusedForNothing(t *testing.T) {
	wx, server, _ := open(t)
	token, err := server.Token()
	if err != nil {
		t.Fatal(err)
	}
	if same, err := server.RefreshToken(token); err != nil || same != token {
		t.Errorf("%q, %v; want the same token", same, err)
	}
	if n := wx.Stats(appID).Stable.Issued; n != 1 {
		t.Errorf("%d tokens were issued, want 1", n)
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
	server := &chanxuehong.Server{Tokens: never{}, Timeout: time.Millisecond}
	if _, err := server.Token(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Token: %v, want context.DeadlineExceeded", err)
	}
	if _, err := server.RefreshToken("refused"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("RefreshToken: %v, want context.DeadlineExceeded", err)
	}
}

func Example() {
	_, client, http := simulated() // in an app: wechat.New(wechat.Config{AppID: …, AppSecret: …})
	defer func() { _ = client.Close() }()

	sdk := core.NewClient(&chanxuehong.Server{Tokens: client}, http)

	addresses, err := base.GetCallbackIP(sdk)
	fmt.Println(len(addresses) > 0, err)
	// Output: true <nil>
}
