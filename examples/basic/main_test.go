//go:build cgo && unix

package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// program is the example, built for make test, to which the tests of it are left.
var program string

func TestMain(m *testing.M) { os.Exit(test(m)) }

func test(m *testing.M) int {
	if !tier.IsFull() {
		return m.Run()
	}
	folder, err := os.MkdirTemp("", "zhongkong-example-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	program = filepath.Join(folder, "basic")
	if out, err := exec.CommandContext(context.Background(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v: %s", err, out)
		return 1
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// app is the example at work.
type app struct {
	t     *testing.T
	cmd   *exec.Cmd
	temp  string   // its folder for temporary files
	lines []string // what it printed until it listened
	url   string
	err   strings.Builder
	rest  chan string // what it printed after that
}

// start starts the example with env, on a free port, and waits until it listens.
func start(t *testing.T, env ...string) *app {
	t.Helper()
	a := &app{t: t, temp: t.TempDir(), rest: make(chan string, 1)}
	a.cmd = command(t, append(env, "PORT=0", "TMPDIR="+a.temp)...)
	a.cmd.Stderr = &a.err
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if a.cmd.ProcessState == nil {
			_ = a.cmd.Process.Kill()
			_ = a.cmd.Wait()
		}
	})
	printed := bufio.NewReader(out)
	address := regexp.MustCompile(`http://127\.0\.0\.1:\d+(/healthz)?\n$`)
	for a.url == "" {
		line, err := printed.ReadString('\n')
		if err != nil {
			t.Fatalf("it ended: %v\n%s%s", err, strings.Join(a.lines, ""), &a.err)
		}
		a.lines = append(a.lines, line)
		if strings.Contains(line, "/healthz") || strings.HasPrefix(line, "Serving") {
			a.url = strings.TrimSuffix(strings.TrimSpace(address.FindString(line)), "/healthz")
		}
	}
	go func() {
		rest, _ := io.ReadAll(printed)
		a.rest <- string(rest)
	}()
	return a
}

func command(t *testing.T, env ...string) *exec.Cmd {
	t.Helper()
	tier.Full(t)
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{"HOME=" + cmd.Dir, "PATH=" + os.Getenv("PATH")}, env...)
	return cmd
}

// get returns status, header and body of an answer.
func (a *app) get(target string) (int, http.Header, string) {
	a.t.Helper()
	request, err := http.NewRequestWithContext(a.t.Context(), http.MethodGet, target, http.NoBody)
	if err != nil {
		a.t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

// end sends a signal and returns how long the program took to end with status 0.
func (a *app) end(signal syscall.Signal) time.Duration {
	a.t.Helper()
	start := time.Now()
	defer time.AfterFunc(patience.Bound, func() { _ = a.cmd.Process.Kill() }).Stop()
	if err := a.cmd.Process.Signal(signal); err != nil {
		a.t.Fatal(err)
	}
	a.lines = append(a.lines, <-a.rest)
	if err := a.cmd.Wait(); err != nil {
		a.t.Errorf("%s ends it with %v: %s", signal, err, &a.err)
	}
	return time.Since(start)
}

// TestSimulated tries every line that the example prints when nothing is
// configured, and both signals.
func TestSimulated(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			a := start(t)
			if first := a.lines[0]; !strings.Contains(first, "WECHAT_APPID is not set") || !strings.Contains(first, "simulated") ||
				!strings.Contains(first, a.temp) {
				t.Errorf("the first line is %q", first)
			}
			tried := 0
			for _, line := range a.lines {
				_, target, ok := strings.Cut(strings.TrimSpace(line), "curl ")
				if !ok {
					continue
				}
				tried++
				target = strings.Trim(target, "'")
				code, header, body := a.get(target)
				if code != http.StatusOK {
					t.Errorf("%s: %d %s", target, code, body)
				}
				switch path := strings.TrimPrefix(target, a.url); {
				case strings.HasPrefix(path, "/?"):
					if body != "4375120948345356249" || header.Get("Content-Type") != "text/plain; charset=utf-8" {
						t.Errorf("the verification is answered %q, %v", body, header)
					}
				case path == "/ip":
					var answer struct {
						IPs []string `json:"ip_list"`
					}
					if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.IPs) == 0 {
						t.Errorf("/ip: %s", body)
					}
				}
			}
			if tried != 4 {
				t.Errorf("%d lines to try, want 4: %s", tried, a.lines)
			}
			if code, _, body := a.get(a.url + "/"); code != http.StatusForbidden || body != "wrong" {
				t.Errorf("/: %d %s", code, body)
			}
			if s := a.status(); !s.Live || s.SecondsLeft < 7000 || s.SecondsLeft > 7200 || s.Fence == 0 || s.Origin != "fetched" ||
				!strings.HasPrefix(s.AppID, "wx") ||
				s.LastFailure != nil {
				t.Errorf("/status: %+v", s)
			}
			a.end(signal)
			if left, err := os.ReadDir(a.temp); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			if log := strings.Join(a.lines, ""); strings.Count(log, "signature=") != 1 || !strings.Contains(log, `"/ip"`) { // the line to try
				t.Errorf("the log shows a signature, or too little:\n%s", log)
			}
		})
	}
}

type statusAnswer struct {
	AppID       string  `json:"appid"`
	Live        bool    `json:"live"`
	SecondsLeft int     `json:"seconds_left"`
	Fence       int64   `json:"fence"`
	Origin      string  `json:"origin"`
	LastFailure *string `json:"last_failure"`
}

// status returns /status, which never holds the token.
func (a *app) status() statusAnswer {
	a.t.Helper()
	_, _, body := a.get(a.url + "/status")
	var s statusAnswer
	if err := json.Unmarshal([]byte(body), &s); err != nil || strings.Contains(body, "91_") {
		a.t.Errorf("/status: %s, %v", body, err)
	}
	return s
}

const (
	appid  = "wx0123456789abcdef"
	secret = "0123456789abcdef0123456789abcdef"
)

// configured is the environment of an account of wx.
func configured(wx *simtest.Sim) []string {
	return []string{
		"WECHAT_APPID=" + appid,
		"WECHAT_APPSECRET=" + wx.Secret(),
		"WECHAT_TOKEN=T0ken",
		"WECHAT_API_BASE=" + wx.URL,
		"ZHONGKONG_STORE=sqlite:zhongkong.db",
	}
}

func newSimulator(t *testing.T) *simtest.Sim {
	t.Helper()
	return simtest.New(t, simulator.Options{Accounts: []simulator.Account{{AppID: appid, Secret: secret}}})
}

// TestErrors: WeChat's errors are 502, having no token is 503, both as JSON in
// plain words.
func TestErrors(t *testing.T) {
	t.Parallel()
	wx := newSimulator(t)
	a := start(t, configured(wx)...)
	if code, _, body := a.get(a.url + "/ip"); code != http.StatusOK {
		t.Fatalf("/ip: %d %s", code, body)
	}
	for want, fault := range map[string]simulator.Fault{
		"errcode 45009": {Path: simulator.APICalls, Errcode: 45009},
		"not JSON":      {Path: simulator.APICalls, Body: "<html></html>"},
		"no answer to":  {Path: simulator.APICalls, Cut: simulator.CutBody},
	} {
		rule := wx.Inject(fault)
		code, header, body := a.get(a.url + "/ip")
		rule.Remove()
		var answer struct {
			Error string `json:"error"`
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil || code != http.StatusBadGateway || !strings.Contains(answer.Error, want) ||
			header.Get("Retry-After") != "" {
			t.Errorf("/ip: %d %v %s, want 502 and %q", code, header, body, want)
		}
	}
	a.end(syscall.SIGTERM)

	wx.SetSecret(appid, "fedcba9876543210fedcba9876543210")
	a = start(t, append(configured(wx), "WECHAT_APPSECRET="+secret)...)
	code, header, body := a.get(a.url + "/ip")
	seconds, _ := strconv.Atoi(header.Get("Retry-After"))
	if code != http.StatusServiceUnavailable || seconds < 590 || seconds > 600 || !strings.Contains(body, "40125") ||
		strings.Contains(body, secret) {
		t.Errorf("/ip with a wrong secret: %d %v %s, want 503 with Retry-After", code, header, body)
	}
	if s := a.status(); s.Live || s.LastFailure == nil || !strings.Contains(*s.LastFailure, "40125") {
		t.Errorf("/status with a wrong secret: %+v", s)
	}
	if code, _, body := a.get(a.url + "/healthz"); code != http.StatusOK || body != "ok" {
		t.Errorf("/healthz: %d %s", code, body)
	}
	a.end(syscall.SIGTERM)
}

// TestEndsWhileWeChatHangs: a caller that waits for WeChat does not keep the
// program.
func TestEndsWhileWeChatHangs(t *testing.T) {
	t.Parallel()
	wx := newSimulator(t)
	rule := wx.Delay(simulator.Everything, time.Hour)
	patience.InTime(t, "the end of the program", 5*time.Second, func() time.Duration {
		hits := rule.Hits()
		a := start(t, configured(wx)...)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+"/ip", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request); err == nil {
				_ = resp.Body.Close()
			}
		}()
		patience.Until(t, "the call to WeChat", func() bool { return rule.Hits() > hits })
		took := a.end(syscall.SIGTERM)
		<-ended
		return took
	})
}

// TestDoesNotStart, and says why and what to do.
func TestDoesNotStart(t *testing.T) {
	t.Parallel()
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() }) // after the subtests
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	for name, test := range map[string]struct {
		env  []string
		want []string
	}{
		"port taken": {[]string{"PORT=" + port}, []string{"port " + port, "PORT=3101 go run ./examples/basic"}},
		"no secret":  {[]string{"PORT=0", "WECHAT_APPID=" + appid}, []string{"WECHAT_APPSECRET"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := command(t, test.env...).CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("it ends with %v", err)
			}
			for _, part := range test.want {
				if !strings.Contains(string(out), part) {
					t.Errorf("it says %q, not %q", out, part)
				}
			}
			if strings.Contains(string(out), "goroutine") {
				t.Errorf("it panics: %s", out)
			}
		})
	}
}
