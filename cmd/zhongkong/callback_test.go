//go:build unix

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// bot is a system with package callback in it, as a company writes one: it answers
// with its name.
func bot(t *testing.T, name, appID, token, aesKey string) *httptest.Server {
	t.Helper()
	config := callback.Config{AppID: appID, Token: custody.NewSecret(token), AESKey: custody.NewSecret(aesKey), Freshness: time.Minute}
	verifier, err := callback.NewVerifier(config)
	if err != nil {
		t.Fatal(err)
	}
	router := callback.NewRouter()
	router.Default(func(c *callback.Context) error { return c.ReplyText(name + " heard " + c.Message.Content) })
	endpoint, err := callback.NewEndpoint(callback.EndpointConfig{Verifier: verifier, Router: router})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(endpoint)
	t.Cleanup(server.Close)
	return server
}

// TestServeCallback: WeChat, the command and two systems with the endpoint of this
// module; SIGHUP sends what comes then to the other one.
func TestServeCallback(t *testing.T) {
	t.Parallel()
	const appID, token, own = "wx0000000000000001", "madeUpToken0123", "tokenOfTheSystems"
	aesKey, ownKey := strings.Repeat("a", 43), strings.Repeat("b", 43)
	wx := simtest.New(
		t,
		simulator.Options{Accounts: []simulator.Account{{AppID: appID, Secret: "secret-of-the-first", Token: token, AESKey: aesKey}}},
	)
	first, second := bot(t, "first", appID, own, ownKey), bot(t, "second", appID, own, ownKey)
	folder := t.TempDir()
	config := filepath.Join(folder, "zhongkong.yaml")
	write := func(url, mode string) {
		t.Helper()
		text := fmt.Sprintf(`
listen: 127.0.0.1:0
store: sqlite:%s
api_base: %s
accounts:
  - appid: %s
    secret: secret-of-the-first
    callback:
      token: {env: PUSH_TOKEN}
      aes_key: %s
      subscribers:
        - name: bot
          url: %s/wechat
          token: %s
          aes_key: %s
          mode: %s
`, filepath.Join(folder, "zhongkong.db"), wx.URL, appID, aesKey, url, own, ownKey, mode)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(first.URL, "safe")
	s := serve(t, []string{"ZHONGKONG_SEAL_KEY=" + testSeal, "PUSH_TOKEN=" + token, "ZHONGKONG_LOG_LEVEL=debug"}, "--config", config)
	address := s.base + "/callback/" + appID
	if result, err := wx.Verify(t.Context(), simulator.Push{URL: address}); err != nil || result.Verdict != simulator.Verified {
		t.Error(result, err)
	}
	push := func(content string) simulator.Result {
		t.Helper()
		result, err := wx.Push(t.Context(), address, simulator.Text(content))
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	if result := push("one"); result.Sees != "first heard one" {
		t.Error(result)
	}
	write(second.URL, "none")
	_ = s.Process.Signal(syscall.SIGHUP)
	s.until(t, regexp.MustCompile(`line 16: callback of `+appID+`: mode is`))
	if result := push("two"); result.Sees != "first heard two" {
		t.Error(result)
	}
	write(second.URL, "safe")
	_ = s.Process.Signal(syscall.SIGHUP)
	patience.Until(t, "the answer of the second system", func() bool { return push("three").Sees == "second heard three" })
	res, err := http.Get(address)
	if err != nil || res.StatusCode != http.StatusForbidden {
		t.Error(res, err)
	}
	_ = res.Body.Close()
	s.stop(t)
	for _, secret := range []string{"secret-of-the", token, own, aesKey, ownKey, testSeal, "heard", "three"} {
		if strings.Contains(s.out.String(), secret) {
			t.Errorf("the output shows %.10s…", secret)
		}
	}
}
