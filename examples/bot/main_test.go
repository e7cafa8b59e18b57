//go:build cgo && unix

package main_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// program is the example, and zhongkong the command that its lines to try name, built for
// make test, to which the tests of them are left.
var program, zhongkong string

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
	program = filepath.Join(folder, "bot")
	if out, err := exec.CommandContext(context.Background(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v: %s", err, out)
		return 1
	}
	zhongkong = filepath.Join(folder, "zhongkong")
	if out, err := exec.CommandContext(context.Background(), "go", "build", "-o", zhongkong,
		"../../cmd/zhongkong").CombinedOutput(); err != nil {
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
	t    *testing.T
	cmd  *exec.Cmd
	temp string // its folder for temporary files
	url  string
	read chan struct{} // closed when there is nothing more to read of out

	mu  sync.Mutex
	out []string // what it printed
	err strings.Builder
}

// start starts the example with env, on a free port, and waits until it listens.
func start(t *testing.T, env ...string) *app {
	t.Helper()
	a := &app{t: t, temp: t.TempDir(), read: make(chan struct{})}
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
	address := make(chan string, 1)
	go func() {
		defer close(a.read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			a.mu.Lock()
			a.out = append(a.out, lines.Text())
			a.mu.Unlock()
			if _, url, ok := strings.Cut(lines.Text(), " on http://127.0.0.1:"); ok && strings.HasPrefix(lines.Text(), "Serving") {
				address <- "http://127.0.0.1:" + url
			}
			if url, ok := strings.CutSuffix(lines.Text(), "/healthz"); ok {
				address <- strings.TrimPrefix(url, "  curl ")
			}
		}
	}()
	select {
	case a.url = <-address:
	case <-a.read:
		t.Fatalf("it ended: %s %s", a.printed(), &a.err)
	}
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

func (a *app) printed() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.out, "\n")
}

// end ends the program, which has to end well. One that does not end is killed.
func (a *app) end() time.Duration {
	a.t.Helper()
	begun := time.Now()
	defer time.AfterFunc(patience.Bound, func() { _ = a.cmd.Process.Kill() }).Stop()
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		a.t.Fatal(err)
	}
	<-a.read
	if err := a.cmd.Wait(); err != nil {
		a.t.Errorf("it ends with %v: %s", err, &a.err)
	}
	return time.Since(begun)
}

// TestLinesToTry runs every line that the example prints when nothing is configured, as
// a shell does, with a command that is built once and not in each line.
func TestLinesToTry(t *testing.T) {
	t.Parallel()
	a := start(t)
	if first, _, _ := strings.Cut(a.printed(), "\n"); !strings.Contains(first, "WECHAT_APPID is not set") || !strings.Contains(first, a.temp) {
		t.Errorf("the first line is %q", first)
	}
	var environment string
	answers := map[string]string{ // what a line prints
		"verify": "verified", "ping": "pong", "你好": "你好", "慢": "慢, 但是到了", "很慢": "请稍候",
		"click": "replied", "subscribe": "欢迎", "image": "image", "healthz": "ok",
	}
	var all sync.WaitGroup
	for line := range strings.SplitSeq(a.printed(), "\n") {
		line, ok := strings.CutPrefix(line, "  ")
		switch {
		case !ok:
			continue
		case strings.HasPrefix(line, "export "):
			environment = line + "; "
			continue
		}
		for word := range strings.FieldsSeq(strings.ReplaceAll(line, "/", " ")) {
			want, ok := answers[word]
			if !ok {
				continue
			}
			delete(answers, word)
			all.Go(func() {
				cmd := exec.CommandContext(t.Context(), "sh", "-c", environment+strings.Replace(line, "go run ./cmd/zhongkong ", zhongkong+" ", 1))
				cmd.Dir = filepath.Join("..", "..")
				if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
					t.Errorf("%s: %v, %s", line, err, out)
				}
			})
		}
	}
	all.Wait()
	if len(answers) > 0 {
		t.Errorf("no line to try has %v: %s", answers, a.printed())
	}
	patience.Wait(func() bool { return strings.Contains(a.printed(), "The follower gets later") })
	if out := a.printed(); !strings.Contains(out, "很慢, 但是到了") || strings.Count(out, "The follower gets later") != 1 {
		t.Errorf("what comes late: %s", out)
	}
	a.end()
	if left, err := os.ReadDir(a.temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if strings.Contains(a.printed(), "signature=") {
		t.Errorf("the log shows a signature: %s", a.printed())
	}
}

const (
	appid  = "wx0123456789abcdef"
	secret = "0123456789abcdef0123456789abcdef"
	token  = "T0kenOfTheConsole"
)

// configured is the environment of an account of wx, in plain mode.
func configured(wx *simtest.Sim) []string {
	return []string{
		"WECHAT_APPID=" + appid,
		"WECHAT_APPSECRET=" + secret,
		"WECHAT_TOKEN=" + token,
		"WECHAT_API_BASE=" + wx.URL,
		"ZHONGKONG_STORE=sqlite:zhongkong.db",
	}
}

func newSimulator(t *testing.T) *simtest.Sim {
	t.Helper()
	return simtest.New(t, simulator.Options{Accounts: []simulator.Account{{AppID: appid, Secret: secret, Token: token}}})
}

// custom counts the messages that reached followers late.
func custom(wx *simtest.Sim) (n int) {
	for _, e := range wx.Events() {
		if e.Path == "/cgi-bin/message/custom/send" && e.Errcode == 0 {
			n++
		}
	}
	return n
}

// TestConfigured: with an account in the environment it creates the menu, answers
// every kind of message, and takes up after a restart what it could not answer
// before its end.
func TestConfigured(t *testing.T) {
	t.Parallel()
	wx := newSimulator(t)
	store := "ZHONGKONG_STORE=sqlite:" + filepath.Join(t.TempDir(), "zhongkong.db")
	a := start(t, append(configured(wx), store)...)
	for _, test := range []struct {
		message simulator.Message
		sees    string
	}{
		{simulator.Text("ping"), "pong"},
		{simulator.Text("<你好>"), "<你好>"},
		{simulator.Image("http://pictures.invalid/1.jpg", "the-media-id"), "the-media-id"},
		{simulator.Subscribe(), "欢迎"},
		{simulator.Click("HELP"), "很慢"},
		{simulator.Unsubscribe(), ""},
		{simulator.Text("慢"), "慢, 但是到了"},
		{simulator.Text("很慢"), "请稍候"},
	} {
		if result, err := wx.Push(t.Context(), a.url, test.message); err != nil || !result.OK() || !strings.Contains(result.Sees, test.sees) {
			t.Errorf("%v: %v, %v", test.message, result, err)
		}
	}
	if took := a.end(); took > 15*time.Second { // 5 s are for the handler
		t.Errorf("it took %s to end", took)
	}
	menus := 0
	for _, e := range wx.Events() {
		if e.Path == "/cgi-bin/menu/create" && e.Errcode == 0 {
			menus++
		}
	}
	late := custom(wx) // the handler may just have been done

	a = start(t, append(configured(wx), store)...)
	patience.Wait(func() bool { return custom(wx) > 0 })
	if n := custom(wx); n != 1 || menus != 1 {
		t.Errorf("%d late answers (%d before the restart), %d menus; want one each", n, late, menus)
	}
	a.end()
}

// TestDoesNotStart, and says why and what to do.
func TestDoesNotStart(t *testing.T) {
	t.Parallel()
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	for want, env := range map[string][]string{
		"PORT=3101 go run ./examples/bot": {"PORT=" + port},
		"WECHAT_APPSECRET":                {"PORT=0", "WECHAT_APPID=" + appid},
	} {
		cmd := command(t, env...)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), want) || strings.Contains(string(out), "goroutine") {
			t.Errorf("%v: it ends with %v and says %s, want %q", env, err, out, want)
		}
	}
}
