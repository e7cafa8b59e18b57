//go:build unix

package wechat_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store/sqlite"
)

// job is what a process of these tests is: a program with the middleware. Its
// test sends it commands, one a line, and it answers each with a reply.
type job struct {
	Base, Database string
	AppID, Secret  string
	TokenAPI       platform.TokenAPI
	Timing         custody.Timing

	// Origin and OpenBase are those of Config, for logins; Gateway and its key too.
	Origin, OpenBase, Gateway, Key string

	// Freeze stops the process with SIGSTOP when the answer to its first fetch is
	// there, which is before it saves the token.
	Freeze bool
}

// reply is what came of a command.
type reply struct {
	Token  string         // of the command token; of serve, the URL
	Errors map[string]int // error texts, and how often; without what differs from one to the next
	OK     int            // calls that succeeded
	Frozen bool           // not the reply yet: the process is about to stop
}

// play is such a process's main.
func play(role string) int {
	var j job
	if err := json.Unmarshal([]byte(role), &j); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	out := json.NewEncoder(os.Stdout)
	cfg := wechat.Config{
		AppID: j.AppID, AppSecret: wechat.Secret(j.Secret), Token: wechat.Secret(testToken),
		TokenAPI: j.TokenAPI, APIBase: j.Base, StoreURL: "sqlite:" + j.Database, Timing: j.Timing,
		Origin: j.Origin, OpenBase: j.OpenBase, Gateway: j.Gateway, GatewayKey: wechat.Secret(j.Key),
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	if j.Freeze {
		cfg.Transport = &freezer{announce: func() { _ = out.Encode(reply{Frozen: true}) }}
	}
	client, err := wechat.New(cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	defer func() { _ = client.Close() }()

	var command string
	var a int
	for {
		if n, _ := fmt.Scanln(&command, &a); n == 0 {
			return 0 // the test closed our input
		}
		r := &results{reply: reply{Errors: map[string]int{}}}
		switch command {
		case "token":
			token, err := client.Token(context.Background())
			r.Token = token.Value()
			r.add(err)
		case "serve": // pages with a login, until the process ends
			server := httptest.NewServer(engine(client, wechat.LoginConfig{}))
			defer server.Close()
			r.Token = server.URL
		case "requests": // a of them at once
			r.requests(client, a)
		case "calls": // a of them, one after the other
			for range a {
				r.add(client.Get(context.Background(), domainIP, nil, nil))
			}
		}
		if err := out.Encode(r.reply); err != nil {
			return 1
		}
	}
}

// results collects a reply.
type results struct {
	mu sync.Mutex
	reply
}

func (r *results) add(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.OK++
		return
	}
	text, _, _ := strings.Cut(err.Error(), "; next attempt")
	r.Errors[text]++
}

// requests sends n requests at once to a Gin app whose handler calls WeChat.
func (r *results) requests(client *wechat.Client, n int) {
	engine := gin.New()
	engine.Use(client.Middleware())
	engine.GET("/ip", func(c *gin.Context) {
		var answer struct {
			IPs []string `json:"ip_list"`
		}
		err := c.MustGet("wechat").(*wechat.Client).Get(c.Request.Context(), domainIP, nil, &answer)
		if err == nil && len(answer.IPs) == 0 {
			err = errors.New("no addresses")
		}
		r.add(err)
		c.JSON(http.StatusOK, answer)
	})
	var all sync.WaitGroup
	for range n {
		all.Go(func() { serve(engine, http.MethodGet, "/ip", "") })
	}
	all.Wait()
}

// freezer stops its process once, between the answer to a fetch and the Save.
type freezer struct {
	announce func()
	over     atomic.Bool
}

func (f *freezer) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil || f.over.Swap(true) {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body)) // it is here, whatever time it will be
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	f.announce()
	if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
		return nil, err
	}
	<-continued // threads stop one after the other: this one must not run on into Save
	return resp, nil
}

// process is a running job.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	in      io.WriteCloser
	replies *json.Decoder
	log     *logtest.Log
}

// start starts a job. The end of the test ends it.
func start(t *testing.T, j job) *process {
	t.Helper()
	tier.Full(t)
	role, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, log: new(logtest.Log), cmd: exec.CommandContext(t.Context(), binary)}
	// The race detector sleeps for a second at the end of a process, unless told.
	p.cmd.Env = append(os.Environ(), roleVariable+"="+string(role), "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	p.cmd.Stderr = p.log
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.replies = json.NewDecoder(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})
	return p
}

// say sends a command, such as "token" or "calls 1000".
func (p *process) say(command string) {
	if _, err := io.WriteString(p.in, command+"\n"); err != nil {
		p.t.Errorf("%s: %v: %s", command, err, p.log)
	}
}

// hear waits for the next reply.
func (p *process) hear() reply {
	var r reply
	if err := p.replies.Decode(&r); err != nil {
		p.t.Errorf("no reply: %v: %s", err, p.log)
	}
	return r
}

// token asks for the live token.
func (p *process) token() string {
	p.say("token")
	r := p.hear()
	if len(r.Errors) > 0 {
		p.t.Errorf("Token: %v", r.Errors)
	}
	return r.Token
}

// quit ends the process as its own main does.
func (p *process) quit() {
	_ = p.in.Close()
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("the process ended with %v: %s", err, p.log)
	}
}

// all does something with every process at once.
func all(processes []*process, do func(i int, p *process)) {
	var group sync.WaitGroup
	for i, p := range processes {
		group.Go(func() { do(i, p) })
	}
	group.Wait()
}

func newJob(t *testing.T, wx *simtest.Sim, api platform.TokenAPI) job {
	t.Helper()
	return job{
		Base: wx.URL, Database: filepath.Join(t.TempDir(), "zhongkong.db"),
		AppID: testAppID, Secret: testSecret, TokenAPI: api,
		Timing: custody.Timing{StoreTimeout: 5 * time.Second, SaveTimeout: 4 * time.Second}, // the disk is busy with the other tests
	}
}

// TestTenRestarts within a token's life: one is issued.
func TestTenRestarts(t *testing.T) {
	t.Parallel()
	wx := simtest.New(t, simulatorOptions())
	j := newJob(t, wx, platform.Classic)
	for range 10 {
		p := start(t, j)
		if value := p.token(); !wx.Accepts(value) {
			t.Error("the token does not live")
		}
		p.quit()
	}
	if got := wx.Stats(testAppID).Classic; got.Calls != 1 || got.Issued != 1 {
		t.Errorf("%+v in ten starts, want one call and one token", got)
	}
}

// TestFourAtOnce: four processes start at once on no file, in eight rounds. One
// token is issued in each, and nobody fails.
func TestFourAtOnce(t *testing.T) {
	t.Parallel()
	wx := simtest.New(t, simulatorOptions())
	for round := 1; round <= 8; round++ {
		j := newJob(t, wx, platform.Classic)
		processes := make([]*process, 4)
		for i := range processes {
			processes[i] = start(t, j)
		}
		values := make([]string, len(processes))
		all(processes, func(i int, p *process) {
			values[i] = p.token()
			p.quit()
		})
		if distinct := slices.Compact(values); len(distinct) != 1 {
			t.Errorf("round %d: the processes have %d tokens", round, len(distinct))
		}
		if got := wx.Stats(testAppID).Classic; got.Calls != round || got.Issued != round {
			t.Fatalf("%+v after round %d, want one call and one token for each", got, round)
		}
	}
}

// TestSuperseded: somebody else fetched for the same account, and the token dies
// under 50 requests in two processes. All are answered, after one fetch.
func TestSuperseded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		api    platform.TokenAPI
		end    func(wx *simtest.Sim, value string)
		calls  int // fetch calls
		issued int // tokens issued to us
	}{
		"classic": {platform.Classic, func(wx *simtest.Sim, _ string) { wx.Supersede(testAppID) }, 1, 1},
		// The other party's token is answered to us as well.
		"stable": {platform.Stable, func(wx *simtest.Sim, _ string) { wx.SupersedeStable(testAppID) }, 1, 0},
		"killed": {platform.Stable, func(wx *simtest.Sim, _ string) { wx.Kill(testAppID) }, 1, 1},
		// stable_token answers the refused value: it has to be forced.
		"refused": {platform.Stable, func(wx *simtest.Sim, value string) { wx.Refuse(value) }, 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := simulatorOptions()
			options.Overlap = -1 // a superseded token is dead at once
			wx := simtest.New(t, options)
			j := newJob(t, wx, test.api)
			processes := []*process{start(t, j), start(t, j)}
			var value string
			for _, p := range processes {
				value = p.token()
			}
			before := tokenAPIs[test.api](wx)
			test.end(wx, value)
			if wx.Accepts(value) {
				t.Fatal("the token lives on")
			}
			wx.Delay(simulator.Fetches, 100*time.Millisecond)
			answered := make([]int, len(processes))
			all(processes, func(i int, p *process) {
				p.say("requests 25")
				r := p.hear()
				answered[i] = r.OK
				if len(r.Errors) > 0 {
					t.Errorf("process %d: %v", i, r.Errors)
				}
			})
			if answered[0]+answered[1] != 50 {
				t.Errorf("%d requests were answered, want 50", answered)
			}
			after := tokenAPIs[test.api](wx)
			if calls, issued := after.Calls-before.Calls, after.Issued-before.Issued; calls != test.calls || issued != test.issued {
				t.Errorf("%d fetches and %d tokens, want %d and %d", calls, issued, test.calls, test.issued)
			}
		})
	}
}

// shortTiming has a lease that a test can wait for.
func shortTiming() custody.Timing {
	return custody.Timing{FetchTimeout: 5 * time.Second, SaveTimeout: 3 * time.Second, LeaseTTL: 8 * time.Second, StoreTimeout: 5 * time.Second}
}

// TestKilled: a process dies between Acquire and Save. One of the others renews
// as soon as its lease is over.
func TestKilled(t *testing.T) {
	t.Parallel()
	for api, stats := range tokenAPIs {
		t.Run(string(api), func(t *testing.T) {
			t.Parallel()
			wx := simtest.New(t, simulatorOptions())
			wx.Inject(simulator.Fault{Path: simulator.Fetches, Times: 1, Delay: time.Hour})
			j := newJob(t, wx, api)
			j.Timing = shortTiming()
			victim := start(t, j)
			for stats(wx).Calls == 0 { // it has the lease and waits for WeChat
				pause(t)
			}
			others := []*process{start(t, j), start(t, j), start(t, j)}
			if err := victim.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			values := make([]string, len(others))
			all(others, func(i int, p *process) { values[i] = p.token() })
			if len(slices.Compact(values)) != 1 || !wx.Accepts(values[0]) {
				t.Error("the others do not share a live token")
			}
			if got := stats(wx); got.Calls != 2 || got.Issued != 1 {
				t.Errorf("%+v, want a second call, and the first token", got)
			}
			begins := journal(t, j, custody.EventBegin)
			if len(begins) != 2 {
				t.Fatalf("%d fetches in the journal, want 2", len(begins))
			}
			after := begins[1].At.Sub(begins[0].At)
			if lease := j.Timing.LeaseTTL; after < lease-time.Second || after > lease+5*time.Second {
				t.Errorf("the second fetch began %s after the first; the lease took %s", after, lease)
			}
		})
	}
}

// TestStopped: a process is frozen past its lease, with a new token in its hand,
// and another one renews. When it goes on, its Save is refused and it serves the
// newer token.
func TestStopped(t *testing.T) {
	t.Parallel()
	wx := simtest.New(t, simulatorOptions())
	j := newJob(t, wx, platform.Classic)
	j.Timing = shortTiming()
	frozen := j
	frozen.Freeze = true
	late := start(t, frozen)
	late.say("token")
	if !late.hear().Frozen {
		t.Fatal("the process does not stop")
	}
	first := wx.Latest(testAppID, simulator.Classic)
	newer := start(t, j).token()
	if newer == first || !wx.Accepts(newer) {
		t.Fatal("the other process did not renew")
	}
	if err := late.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if got := late.hear(); got.Token != newer || len(got.Errors) > 0 {
		t.Errorf("the late process serves another token than the newer one: %v", got.Errors)
	}
	if again := late.token(); again != newer {
		t.Error("the late process does not stay with the newer token")
	}
	late.quit() // and all that it logged is here
	if text := late.log.String(); !strings.Contains(text, "took longer than its lease") {
		t.Errorf("the late process's Save was not refused: %s", text)
	}
	if saves := journal(t, j, custody.EventSave); len(saves) != 1 {
		t.Errorf("%d tokens were saved, want one", len(saves))
	}
	if got := wx.Stats(testAppID).Classic; got.Issued != 2 {
		t.Errorf("%+v, want two tokens", got)
	}
}

// TestWrongConfigurations of an account cost two fetches at most, whatever calls
// and whatever restarts, and a corrected one is tried at once.
func TestWrongConfigurations(t *testing.T) {
	tier.Full(t)
	t.Parallel()
	for name, test := range map[string]struct {
		spoil  func(wx *simtest.Sim)
		says   string
		atOnce bool // once it is right
	}{
		"wrong secret":            {func(wx *simtest.Sim) { wx.SetSecret(testAppID, "fedcba9876543210fedcba9876543210") }, "errcode 40125", true},
		"missing whitelist entry": {func(wx *simtest.Sim) { wx.SetWhitelist(testAppID, "203.0.113.7") }, "127.0.0.1", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const processes, restarts, calls = 8, 5, 1000
			wx := simtest.New(t, simulatorOptions())
			test.spoil(wx)
			j := newJob(t, wx, platform.Stable)
			var crowd sync.WaitGroup
			for range processes {
				crowd.Go(func() {
					for range restarts {
						p := start(t, j)
						p.say(fmt.Sprintf("calls %d", calls))
						r := p.hear()
						p.quit()
						failed := 0
						for text, n := range r.Errors {
							failed += n
							if !strings.Contains(text, test.says) || !strings.Contains(text, testAppID) {
								t.Errorf("%d callers were told %q, want %q", n, text, test.says)
							}
						}
						if r.OK > 0 || failed != calls {
							t.Errorf("%d calls succeeded, %d failed", r.OK, failed)
						}
					}
				})
			}
			crowd.Wait()
			if got := wx.Stats(testAppID).Stable; got.Calls < 1 || got.Calls > 2 {
				t.Errorf("%d fetches, want one or two", got.Calls)
			}
			if test.atOnce {
				before := wx.Stats(testAppID).Stable.Calls
				j.Secret = wx.Secret()
				if value := start(t, j).token(); !wx.Accepts(value) || wx.Stats(testAppID).Stable.Calls != before+1 {
					t.Error("the corrected configuration was not tried at once")
				}
			}
		})
	}
}

// journal returns the entries of an event, oldest first.
func journal(t *testing.T, j job, event custody.Event) []custody.Entry {
	t.Helper()
	store, err := sqlite.Open(t.Context(), j.Database, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	api, err := platform.New(platform.Config{Base: j.Base})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := store.Journal(t.Context(), api.Key(j.AppID, j.TokenAPI), 100)
	if err != nil {
		t.Fatal(err)
	}
	entries = slices.DeleteFunc(entries, func(e custody.Entry) bool { return e.Event != event })
	slices.Reverse(entries)
	return entries
}

// pause lets another process get on.
func pause(t *testing.T) {
	t.Helper()
	select {
	case <-time.After(5 * time.Millisecond):
	case <-t.Context().Done():
		t.Fatal("the test is over")
	}
}
