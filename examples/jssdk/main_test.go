package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs the example with env until the test ends, and returns what it printed
// and where it is.
func start(t *testing.T, env map[string]string) (printed, base string) {
	t.Helper()
	for _, name := range []string{"WECHAT_APPID", "PUBLIC_URL", "ZHONGKONG_GATEWAY", "ZHONGKONG_SEAL_KEY"} {
		t.Setenv(name, "")
	}
	t.Setenv("PORT", "0")
	for name, value := range env {
		t.Setenv(name, value)
	}
	ctx, stop := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, writer)
		_ = writer.Close()
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	for lines := bufio.NewScanner(reader); lines.Scan(); {
		printed += lines.Text() + "\n"
		if address, found := strings.CutPrefix(lines.Text(), "Open "); found {
			return printed, strings.TrimSuffix(address, "/")
		}
	}
	t.Fatalf("it ended: %s", printed)
	return "", ""
}

func get(t *testing.T, target string) (int, http.Header, string) {
	t.Helper()
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(target)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

var configLine = regexp.MustCompile(`(?m)^  const config = (\{.*\});$`)

// configOf takes the configuration out of the page.
func configOf(t *testing.T, body string) (config wechat.JSConfig) {
	t.Helper()
	m := configLine.FindStringSubmatch(body)
	if m == nil || json.Unmarshal([]byte(m[1]), &config) != nil {
		t.Fatalf("no configuration in the page:\n%s", body)
	}
	return config
}

const (
	appid  = "wx0123456789abcdef"
	secret = "0123456789abcdef0123456789abcdef"
)

func configured(t *testing.T) (map[string]string, *simtest.Sim) {
	t.Helper()
	wx := simtest.New(t, simulator.Options{Accounts: []simulator.Account{{AppID: appid, Secret: secret}}})
	return map[string]string{
		"WECHAT_APPID": appid, "WECHAT_APPSECRET": secret, "WECHAT_API_BASE": wx.URL, "ZHONGKONG_STORE": "memory:",
	}, wx
}

// TestPageIsSigned for the address at which it was asked for.
func TestPageIsSigned(t *testing.T) {
	for name, public := range map[string]string{"directly": "", "behind TLS": "https://example.com/"} {
		t.Run(name, func(t *testing.T) {
			env, wx := configured(t)
			env["PUBLIC_URL"] = public
			_, base := start(t, env)
			for _, path := range []string{"/", "/?from=singlemessage&isappinstalled=0", "/?q=%E5%95%86+a%20b&x"} {
				code, header, body := get(t, base+path)
				config := configOf(t, body)
				ticket, _ := wx.Ticket(appid, simulator.JSAPI)
				signed := base + path
				if public != "" {
					signed = "https://example.com" + path
				}
				if want := platform.JSSignature(ticket, config.NonceStr, config.Timestamp, signed); config.Signature != want || config.AppID != appid {
					t.Errorf("%s: %+v is not signed for %s", path, config, signed)
				}
				if code != http.StatusOK || header.Get("Cache-Control") != "no-store" || strings.Contains(body, ticket) {
					t.Errorf("%s: %d, %v; the ticket is shown: %v", path, code, header, strings.Contains(body, ticket))
				}
			}
			if n := wx.Stats(appid).JSAPI.Calls; n != 1 {
				t.Errorf("%d tickets for three pages, want 1", n)
			}
		})
	}
}

// TestSimulated: it runs with nothing configured, and leaves nothing behind.
func TestSimulated(t *testing.T) {
	temp := t.TempDir()
	t.Run("run", func(t *testing.T) {
		printed, base := start(t, map[string]string{"TMPDIR": temp, "TMP": temp})
		if !strings.Contains(printed, "WECHAT_APPID is not set") || !strings.Contains(printed, "simulated") || !strings.Contains(printed, temp) {
			t.Errorf("it says %q", printed)
		}
		_, _, body := get(t, base+"/")
		if config := configOf(t, body); !strings.Contains(printed, config.AppID) || len(config.Signature) != 40 {
			t.Errorf("%+v", config)
		}
		if code, _, body := get(t, base+"/healthz"); code != http.StatusOK || body != "ok" {
			t.Errorf("/healthz: %d %s", code, body)
		}
	})
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestNoTicket is 503 with the time of the next attempt, in plain words.
func TestNoTicket(t *testing.T) {
	env, _ := configured(t)
	env["WECHAT_APPSECRET"] = "fedcba9876543210fedcba9876543210"
	_, base := start(t, env)
	code, header, body := get(t, base+"/")
	seconds, _ := strconv.Atoi(header.Get("Retry-After"))
	if code != http.StatusServiceUnavailable || seconds < 590 || seconds > 600 ||
		!strings.Contains(body, "40125") || strings.Contains(body, env["WECHAT_APPSECRET"]) {
		t.Errorf("%d %v %s", code, header, body)
	}
}

// TestDoesNotStart, and says what to do.
func TestDoesNotStart(t *testing.T) {
	t.Setenv("WECHAT_APPID", appid)
	t.Setenv("WECHAT_APPSECRET", "")
	if err := run(t.Context(), io.Discard); err == nil || !strings.Contains(err.Error(), "WECHAT_APPSECRET") {
		t.Errorf("run: %v", err)
	}

	taken, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	t.Setenv("WECHAT_APPID", "")
	t.Setenv("PORT", port)
	if err := run(t.Context(), io.Discard); err == nil || !strings.Contains(err.Error(), "PORT=3101 go run ./examples/jssdk") {
		t.Errorf("run on a port that is taken: %v", err)
	}
}
