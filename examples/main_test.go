//go:build unix

// Package examples_test runs the examples as processes, as somebody does who tries them.
package examples_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

const (
	appid  = "wx0123456789abcdef"
	secret = "0123456789abcdef0123456789abcdef"
	token  = "T0kenOfTheConsole"
)

func TestMain(m *testing.M) {
	tier.Overlap()
	code := m.Run()
	for _, p := range programs {
		_ = os.RemoveAll(p.folder)
	}
	if code == 0 {
		goleak.VerifyTestMain(ended(0))
	}
	os.Exit(code)
}

// ended is the result of tests that were run.
type ended int

func (e ended) Run() int { return int(e) }

// program is built by the first test that needs it.
type program struct {
	source  string
	overlay func(folder string) (file string, err error) // what the compiler sees instead of files; nil is nothing
	once    sync.Once
	folder  string
	err     error
}

var (
	basic     = &program{source: "./basic"}
	bot       = &program{source: "./bot"}
	fleet     = &program{source: "./fleet"}
	login     = &program{source: "./login"}
	zhongkong = &program{source: "../cmd/zhongkong"}
	programs  = []*program{basic, bot, fleet, login, zhongkong, jobPrograms}
)

// path returns where the built program is. The tests of processes are left to make test.
func (p *program) path(t *testing.T) string {
	t.Helper()
	tier.Full(t)
	p.once.Do(func() {
		//nolint:usetesting // it outlives the test that needs it first
		if p.folder, p.err = os.MkdirTemp("", "zhongkong-example-"); p.err != nil {
			return
		}
		args := []string{"build", "-o", filepath.Join(p.folder, "program")}
		if p.overlay != nil {
			file, err := p.overlay(p.folder)
			if p.err = err; err != nil {
				return
			}
			args = append(args, "-overlay", file)
		}
		var out []byte
		if out, p.err = exec.Command("go", append(args, p.source)...).CombinedOutput(); p.err != nil {
			t.Logf("go build: %s", out)
		}
	})
	if p.err != nil {
		t.Fatal(p.err)
	}
	return filepath.Join(p.folder, "program")
}

// command returns a run of the program in a folder of its own.
func (p *program) command(t *testing.T, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), p.path(t))
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{"HOME=" + cmd.Dir, "PATH=" + os.Getenv("PATH")}, env...)
	return cmd
}

// app is an example at work.
type app struct {
	t    *testing.T
	cmd  *exec.Cmd
	temp string // its folder for temporary files
	url  string
	read chan struct{} // closed when there is nothing more to read of out

	mu  sync.Mutex
	out []string // the lines that it printed
	err strings.Builder
}

// start starts the program with env, on a free port, and waits until it listens.
func (p *program) start(t *testing.T, env ...string) *app {
	t.Helper()
	a := &app{t: t, temp: t.TempDir(), read: make(chan struct{})}
	a.cmd = p.command(t, append(env, "PORT=0", "TMPDIR="+a.temp)...)
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
	address := make(chan string, 2)
	go a.listen(out, address)
	select {
	case a.url = <-address:
	case <-a.read:
		t.Fatalf("it ended: %s %s", a.printed(), &a.err)
	}
	return a
}

// listen reads what the program prints, and passes on the address that it names with the
// last line of its beginning.
func (a *app) listen(out io.Reader, address chan<- string) {
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
}

// lines returns what the program has printed.
func (a *app) lines() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clip(a.out)
}

func (a *app) printed() string { return strings.Join(a.lines(), "\n") }

// end sends a signal, which has to end the program well, and returns how long that took.
// One that does not end is killed.
func (a *app) end(signal syscall.Signal) time.Duration {
	a.t.Helper()
	begun := time.Now()
	defer time.AfterFunc(patience.Bound, func() { _ = a.cmd.Process.Kill() }).Stop()
	if err := a.cmd.Process.Signal(signal); err != nil {
		a.t.Fatal(err)
	}
	<-a.read
	if err := a.cmd.Wait(); err != nil {
		a.t.Errorf("%s ends it with %v: %s", signal, err, &a.err)
	}
	if left, err := os.ReadDir(a.temp); err != nil || len(left) > 0 {
		a.t.Errorf("left behind: %v, %v", left, err)
	}
	return time.Since(begun)
}

func newSimulator(t *testing.T) *simtest.Sim {
	t.Helper()
	return simtest.New(t, simulator.Options{Accounts: []simulator.Account{{AppID: appid, Secret: secret, Token: token}}})
}

// configured is the environment of the account of wx, in plain mode.
func configured(wx *simtest.Sim) []string {
	return []string{
		"WECHAT_APPID=" + appid,
		"WECHAT_APPSECRET=" + wx.Secret(),
		"WECHAT_TOKEN=" + token,
		"WECHAT_API_BASE=" + wx.URL,
		"ZHONGKONG_STORE=sqlite:zhongkong.db",
	}
}

// mustNotStart runs the program with env, which has to end with status 1, without a
// panic, and say want.
func (p *program) mustNotStart(t *testing.T, env []string, want ...string) {
	t.Helper()
	cmd := p.command(t, env...)
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 1 || strings.Contains(string(out), "goroutine") {
		t.Errorf("%v: it ends with %d and says %s", env, code, out)
	}
	for _, part := range want {
		if !strings.Contains(string(out), part) {
			t.Errorf("%v: it says %q, not %q", env, out, part)
		}
	}
}

// takenPort returns a port at which somebody listens.
func takenPort(t *testing.T) string {
	t.Helper()
	_, port, _ := strings.Cut(simtest.New(t, simulator.Options{}).URL, "127.0.0.1:")
	return port
}
