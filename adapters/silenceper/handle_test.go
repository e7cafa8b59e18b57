package silenceper_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	sdk "github.com/silenceper/wechat/v2"
	"github.com/silenceper/wechat/v2/cache"
	"github.com/silenceper/wechat/v2/officialaccount"
	"github.com/silenceper/wechat/v2/officialaccount/config"
	"github.com/silenceper/wechat/v2/util"

	"github.com/zhongkong-go/zhongkong/adapters/silenceper"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// open returns a simulator, to which the SDK and the client go.
func open(tb testing.TB) (*simtest.Sim, *silenceper.Handle, *officialaccount.OfficialAccount) {
	tb.Helper()
	wx := simtest.New(tb, simulator.Options{})
	client, err := wechat.New(wechat.Config{
		AppID: wx.AppID(), AppSecret: wechat.Secret(wx.Secret()), APIBase: wx.URL, StoreURL: "memory:",
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = client.Close() })
	util.SetURIModifier(func(uri string) string { return strings.Replace(uri, "https://api.weixin.qq.com", wx.URL, 1) })
	tb.Cleanup(func() { util.SetURIModifier(nil) })

	handle := &silenceper.Handle{Tokens: client}
	account := sdk.NewWechat().GetOfficialAccount(&config.Config{AppID: wx.AppID(), Cache: cache.NewMemory()})
	account.SetAccessTokenHandle(handle)
	return wx, handle, account
}

func TestCalls(t *testing.T) {
	wx, handle, account := open(t)
	for range 3 {
		if _, err := account.GetBasic().GetAPIDomainIP(); err != nil {
			t.Fatal(err)
		}
	}
	token, err := handle.GetAccessToken()
	if err != nil || !wx.Accepts(token) {
		t.Errorf("GetAccessToken: %v, a token that WeChat accepts: %v", err, wx.Accepts(token))
	}
	if stats := wx.Stats(wx.AppID()); stats.Stable.Issued != 1 || stats.Classic.Calls != 0 {
		t.Errorf("%+v, want one token, and none by the SDK's own way", stats)
	}
}

// TestDo has the token superseded from outside: Do makes the call again.
func TestDo(t *testing.T) {
	wx, handle, account := open(t)
	calls := 0
	call := func() error {
		calls++
		_, err := account.GetBasic().GetAPIDomainIP()
		return err
	}
	if err := handle.Do(t.Context(), call); err != nil || calls != 1 {
		t.Fatalf("%v after %d calls", err, calls)
	}
	wx.Kill(wx.AppID())
	var refusal *util.CommonError
	if err := call(); !errors.As(err, &refusal) || refusal.ErrCode != 40001 {
		t.Fatalf("without Do: %v, want 40001", err)
	}
	calls = 0
	if err := handle.Do(t.Context(), call); err != nil || calls != 2 {
		t.Errorf("%v after %d calls, want nil after 2", err, calls)
	}
	if n := wx.Stats(wx.AppID()).Stable.Issued; n != 2 {
		t.Errorf("%d tokens were issued, want 2", n)
	}
}

// TestDoReturnsErrors has two that no other token helps against.
func TestDoReturnsErrors(t *testing.T) {
	wx, handle, _ := open(t)
	other := errors.New("of the caller")
	if err := handle.Do(t.Context(), func() error { return other }); !errors.Is(err, other) {
		t.Errorf("%v, want the call's own error", err)
	}
	refusal := util.NewCommonError("X", 40001, "refused though the token is good")
	calls := 0
	err := handle.Do(t.Context(), func() error { calls++; return refusal })
	if !errors.Is(err, refusal) || calls != 2 {
		t.Errorf("%v after %d calls, want the refusal after one repetition", err, calls)
	}
	if n := wx.Stats(wx.AppID()).Stable.Issued; n != 1 {
		t.Errorf("%d tokens were issued, want 1: WeChat accepts it", n)
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
	handle := &silenceper.Handle{Tokens: never{}, Timeout: time.Millisecond}
	if _, err := handle.GetAccessToken(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want context.DeadlineExceeded", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	handle.Timeout = time.Hour
	if err := handle.Do(ctx, func() error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}

// simulated returns a client of a simulated WeChat, to which the SDK goes too.
func simulated() (*simulator.Simulator, *wechat.Client, func()) {
	wx, err := simulator.New(simulator.Options{Accounts: []simulator.Account{{AppID: "wx0123456789abcdef", Secret: "made-up"}}})
	if err != nil {
		panic(err)
	}
	client, err := wechat.New(wechat.Config{
		AppID: "wx0123456789abcdef", AppSecret: wechat.Secret("made-up"), Transport: wx.RoundTripper(), StoreURL: "memory:",
	})
	if err != nil {
		panic(err)
	}
	before := util.DefaultHTTPClient
	util.DefaultHTTPClient = &http.Client{Transport: wx.RoundTripper()}
	return wx, client, func() {
		util.DefaultHTTPClient = before
		_ = client.Close()
	}
}

func Example() {
	_, client, end := simulated() // in an app: wechat.New(wechat.Config{AppID: …, AppSecret: …})
	defer end()

	handle := &silenceper.Handle{Tokens: client}
	account := sdk.NewWechat().GetOfficialAccount(&config.Config{AppID: "wx0123456789abcdef", Cache: cache.NewMemory()})
	account.SetAccessTokenHandle(handle)

	addresses, err := account.GetBasic().GetAPIDomainIP()
	fmt.Println(len(addresses) > 0, err)
	// Output: true <nil>
}

func ExampleHandle_Do() {
	wx, client, end := simulated()
	defer end()
	handle := &silenceper.Handle{Tokens: client}
	account := sdk.NewWechat().GetOfficialAccount(&config.Config{AppID: "wx0123456789abcdef", Cache: cache.NewMemory()})
	account.SetAccessTokenHandle(handle)

	_, _ = account.GetBasic().GetAPIDomainIP()
	wx.Kill("wx0123456789abcdef") // as another program's fetches do

	var addresses []string
	err := handle.Do(context.Background(), func() (err error) {
		addresses, err = account.GetBasic().GetAPIDomainIP()
		return err
	})
	fmt.Println(len(addresses) > 0, err)
	// Output: true <nil>
}
