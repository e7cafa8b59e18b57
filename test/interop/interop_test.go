package interop

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// leftOut are the peers that do not run here, and why. TestMain says so, on the
// last lines.
var leftOut = map[string]string{
	"PHP w7corp/easywechat":             "neither Go's proxy nor npm nor Debian's packages have a copy",
	"Node-RED node-red-contrib-wechats": "npm has no copy of this node for WeCom; Node-RED's own node for HTTP requests runs",
}

// environment is that before TestMain changed it.
var environment []string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "zhongkong-interop-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	environment = os.Environ()
	// PowerWeChat's cache writes a file at home.
	if err := os.Setenv("HOME", folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	npmFolder = folder
	if err := installNPM(folder); err != nil {
		npmError = err.Error()
		leftOut["npm co-wechat-api, co-wechat, co-wechat-oauth, wechat-crypto, wechat-enterprise-api, push-all-in-one, @openclaw-china/wecom-app, @node-red/nodes"] = npmError
	}
	code := m.Run()
	for name, why := range leftOut {
		fmt.Printf("interop: left out: %s: %s\n", name, why)
	}
	return code
}

// simulate starts a simulator whose tokens live for life (0: WeChat's own) and
// returns it with what an SDK has to be told.
func simulate(tb testing.TB, life time.Duration) (*simtest.Sim, target) {
	tb.Helper()
	options := simulator.Options{Life: life}
	if life > 5*time.Minute {
		options.Overlap = 5 * time.Minute // WeChat's own, for what counts on that
	}
	wx := simtest.New(tb, options)
	return wx, targetOf(wx)
}

func targetOf(wx *simtest.Sim) target {
	a := wx.Account()
	return target{URL: wx.URL, AppID: a.AppID, Secret: a.Secret, Token: a.Token, AESKey: a.AESKey}
}

// issued returns how many tokens an SDK was given.
func issued(wx *simtest.Sim, s sdk) int {
	stats := wx.Stats(wx.AppID())
	if s.stable {
		return stats.Stable.Issued
	}
	return stats.Classic.Issued
}

func mustCall(tb testing.TB, c client) {
	tb.Helper()
	if err := c.call(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

// TestVersions compares go.mod with what the SDKs are called here.
func TestVersions(t *testing.T) {
	output, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f",
		"{{.Path}}@{{.Version}}{{if .Replace}} (replaced){{end}}", "all").
		Output()
	if err != nil {
		t.Fatal(err)
	}
	linked := strings.Split(string(output), "\n")
	for _, s := range slices.Concat(sdks(t), corpSDKs(t)) {
		name, _, _ := strings.Cut(s.name, " (")
		if strings.HasPrefix(name, "npm ") {
			continue // TestNPMVersions
		}
		if !slices.Contains(linked, name) {
			t.Errorf("%s is not what is linked", name)
		}
	}
}

// each runs a test for every SDK, against a simulator of its own.
func each(t *testing.T, test func(t *testing.T, s sdk)) {
	t.Helper()
	for _, s := range sdks(t) {
		t.Run(s.name, func(t *testing.T) { test(t, s) })
	}
}

// TestToken gets a token and calls APIs with it, which costs one fetch.
func TestToken(t *testing.T) {
	each(t, func(t *testing.T, s sdk) {
		wx, at := simulate(t, 0)
		c := s.open(t, at)
		token, err := c.token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !wx.Accepts(token) {
			t.Error("WeChat does not know the token")
		}
		for range 3 {
			mustCall(t, c)
		}
		if n := issued(wx, s); n != 1 {
			t.Errorf("%d tokens were issued, want 1", n)
		}
	})
}

// TestEnd lets the SDK's own time for a token run out: no call fails.
func TestEnd(t *testing.T) {
	each(t, func(t *testing.T, s sdk) {
		if s.clocked {
			t.Log("its timer cannot be made to wait for less than 51 s; TestExpired is the end on WeChat's side")
			return
		}
		wx, at := simulate(t, s.life)
		c := s.open(t, at)
		mustCall(t, c)
		patience.Until(t, "a new token", func() bool {
			mustCall(t, c)
			return issued(wx, s) >= 2
		})
	})
}

// TestExpired has WeChat say 42001 while the SDK counts on its token.
func TestExpired(t *testing.T) {
	refused(t, 42001, func(wx *simtest.Sim, _ sdk) { wx.Clock.Advance(simulator.DefaultLife + time.Second) })
}

// TestSuperseded has another program fetch, and its token outlive ours: 40001.
func TestSuperseded(t *testing.T) {
	refused(t, 40001, func(wx *simtest.Sim, s sdk) {
		if s.stable {
			wx.SupersedeStable(wx.AppID())
		} else {
			wx.Supersede(wx.AppID())
		}
		wx.Clock.Advance(5*time.Minute + time.Second)
	})
}

// refused checks what an SDK does with a refused token: those that heal call again
// with a new one, the others hand the errcode on, each time.
func refused(t *testing.T, errcode int, spoil func(wx *simtest.Sim, s sdk)) {
	t.Helper()
	each(t, func(t *testing.T, s sdk) {
		wx, at := simulate(t, 0)
		c := s.open(t, at)
		mustCall(t, c)
		before, err := c.token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		spoil(wx, s)

		if !s.heals {
			for range 2 {
				if err := c.call(t.Context()); err == nil || !strings.Contains(err.Error(), fmt.Sprint(errcode)) {
					t.Errorf("error %v, want errcode %d", err, errcode)
				}
			}
			if n := issued(wx, s); n != 1 {
				t.Errorf("%d tokens were issued, want 1: it does not renew by itself", n)
			}
			return
		}
		mustCall(t, c)
		if n := wx.Stats(at.AppID).Errcodes[errcode]; n != 1 {
			t.Errorf("%d calls were refused with %d, want 1", n, errcode)
		}
		after, err := c.token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if after == before || !wx.Accepts(after) {
			t.Error("it goes on with the refused token")
		}
	})
}

// TestCallbacks has the SDK's own server answer WeChat's address verification and
// echo a follower's text, in plain text and encrypted in both directions.
func TestCallbacks(t *testing.T) {
	each(t, func(t *testing.T, s sdk) {
		if s.server == nil {
			t.Log("the same server as without stable_token")
			return
		}
		for _, mode := range []simulator.Mode{simulator.Plain, simulator.Compatible, simulator.Safe} {
			t.Run(string(mode), func(t *testing.T) {
				wx, at := simulate(t, 0)
				app := httptest.NewServer(s.server(t, at))
				defer app.Close()
				converse(t, wx, simulator.Push{URL: app.URL, Mode: mode})
			})
		}
	})
}

// converse verifies the address of a push and pushes some texts there.
func converse(t *testing.T, wx *simtest.Sim, push simulator.Push) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	result, err := wx.Verify(ctx, push)
	if err != nil || result.Verdict != simulator.Verified {
		t.Errorf("handshake: %v %v", err, result)
	}
	for _, content := range []string{"hello", "你好, 世界", strings.Repeat("汉", 200)} {
		push.Message = simulator.Text(content)
		result, err := wx.Deliver(ctx, push)
		if err != nil || result.Verdict != simulator.Replied || result.Sees != echo(content) {
			t.Errorf("%q: %v %v\n%+v", content, err, result, result.Deliveries)
		}
	}
}
