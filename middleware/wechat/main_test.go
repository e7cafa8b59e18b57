package wechat_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// roleVariable tells what the binary of these tests shall do when a test runs it
// again, as another process.
const roleVariable = "ZHONGKONG_WECHAT_TEST_ROLE"

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	slog.SetDefault(slog.New(slog.DiscardHandler)) // which a Config without a Logger logs to
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role))
	}
	tier.Draws(20)
	testserver.Main(m)
}

const (
	testAppID  = "wx0123456789abcdef"
	testSecret = "0123456789abcdef0123456789abcdef"
	testToken  = "T0kenOfTheConsole"
	testAESKey = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"

	domainIP = "/cgi-bin/get_api_domain_ip"
)

// account returns the account that most tests use.
func account() []simulator.Account {
	return []simulator.Account{{AppID: testAppID, Secret: testSecret}}
}

// config is for that account, with its token in memory. It reaches no WeChat.
func config() wechat.Config {
	return wechat.Config{
		AppID:     testAppID,
		AppSecret: wechat.Secret(testSecret),
		Token:     wechat.Secret(testToken),
		StoreURL:  "memory:",
		Transport: unreachable{},
	}
}

// unreachable is a network that is down.
type unreachable struct{}

func (unreachable) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, context.DeadlineExceeded
}

// inMemory lets cfg reach a simulator without sockets.
func inMemory(tb testing.TB, cfg wechat.Config, options simulator.Options) (wechat.Config, *simtest.Sim) {
	tb.Helper()
	if options.Accounts == nil {
		options.Accounts = account()
	}
	wx := simtest.InMemory(tb, options)
	cfg.Transport = wx.RoundTripper()
	return cfg, wx
}

func newClient(tb testing.TB, cfg wechat.Config) *wechat.Client {
	tb.Helper()
	client, err := wechat.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := client.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return client
}

// mustToken returns the live token's value.
func mustToken(tb testing.TB, client *wechat.Client) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	token, err := client.Token(ctx)
	if err != nil {
		tb.Fatalf("Token: %v", err)
	}
	return token.Value()
}

// serve sends a request to an engine and returns its answer.
func serve(engine *gin.Engine, method, target, body string) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	engine.ServeHTTP(answer, httptest.NewRequest(method, target, strings.NewReader(body)))
	return answer
}
