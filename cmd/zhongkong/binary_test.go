//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
)

// built is the program, built once for all tests.
var built struct {
	sync.Once

	folder, path string
	err          error
}

// binary returns the path of the program. Tests of it are left to make test.
func binary(t *testing.T) string {
	t.Helper()
	tier.Full(t)
	built.Do(func() {
		//nolint:usetesting // it outlives the test that needs it first
		if built.folder, built.err = os.MkdirTemp("", "zhongkong-test-"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.folder, "zhongkong")
		if out, err := exec.Command("go", "build", "-o", built.path, ".").CombinedOutput(); err != nil {
			built.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

func TestMain(m *testing.M) {
	tier.Overlap()
	code := m.Run()
	_ = os.RemoveAll(built.folder)
	os.Exit(code)
}

// process is the built program at work.
type process struct {
	*exec.Cmd

	stdin io.WriteCloser
	out   *bufio.Scanner
	text  strings.Builder // what was read of it
	base  string
}

func launch(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.CommandContext(t.Context(), binary(t), args...)}
	p.Env = env
	p.Stderr = os.Stderr
	var err error
	if p.stdin, err = p.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewScanner(out)
	p.base = strings.TrimPrefix(p.until(t, "WECHAT_API_BASE="), "export WECHAT_API_BASE=")
	return p
}

// until reads lines up to one that has part in it.
func (p *process) until(t *testing.T, part string) string {
	t.Helper()
	for p.out.Scan() {
		p.text.WriteString(p.out.Text() + "\n")
		if strings.Contains(p.out.Text(), part) {
			return p.out.Text()
		}
	}
	t.Fatalf("no %q in the output:\n%s", part, p.text.String())
	return ""
}

func (p *process) variable(t *testing.T, name string) string {
	t.Helper()
	for line := range strings.Lines(p.text.String()) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), "export "+name+"="); found {
			return value
		}
	}
	t.Fatalf("no %s= in the output:\n%s", name, p.text.String())
	return ""
}

// end sends a signal and expects the program to end well. One that does not end is killed.
func (p *process) end(t *testing.T, signal os.Signal) (rest string) {
	t.Helper()
	defer time.AfterFunc(patience.Bound, func() { _ = p.Process.Kill() }).Stop()
	if err := p.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	for p.out.Scan() {
		rest += p.out.Text() + "\n"
	}
	if err := p.Wait(); err != nil {
		t.Errorf("after %s: %v\n%s", signal, err, rest)
	}
	return rest
}

func fetched(t *testing.T, method, url, body string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// TestBinary runs the built program as a developer does: made-up account, app,
// typed messages, a call, a fault, a log, a signal.
func TestBinary(t *testing.T) {
	t.Parallel()
	pushed := make(chan string, 10)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if echo := r.URL.Query().Get("echostr"); echo != "" {
			_, _ = io.WriteString(w, echo)
			return
		}
		body, _ := io.ReadAll(r.Body)
		pushed <- string(body)
		_, _ = io.WriteString(w, "success")
	}))
	defer app.Close()
	log := filepath.Join(t.TempDir(), "calls.log")
	p := launch(t, os.Environ(), "simulate", "--listen", "127.0.0.1:0", "--seed", "7", "--life", "2m", "--app", app.URL, "--log", log)
	appid, secret := p.variable(t, "WECHAT_APPID"), p.variable(t, "WECHAT_APPSECRET")
	p.variable(t, "WECHAT_TOKEN")
	p.variable(t, "WECHAT_AES_KEY")
	p.until(t, "What next")
	p.until(t, "✓ verified")

	_, _ = io.WriteString(p.stdin, "你好\n/subscribe\n/nothing\n")
	for range 2 {
		if body := <-pushed; !strings.Contains(body, "<Encrypt>") {
			t.Error(body)
		}
		p.until(t, "✓ silent: the app answered success")
	}
	p.until(t, `there is no message "nothing"; /list shows them all`)

	if !strings.Contains(p.text.String(), "Its page in the browser: "+p.base+"/simulator/page/\n") {
		t.Errorf("the page's address is not in the output:\n%s", p.text.String())
	}
	if status, html := fetched(t, "GET", p.base+"/simulator/page/", ""); status != 200 || !strings.Contains(html, "你好") ||
		strings.Contains(html, secret) {
		t.Errorf("the page: %d %s", status, html)
	}
	if _, html := fetched(t, "GET", p.base+"/simulator/page/?secrets=1", ""); !strings.Contains(html, secret) {
		t.Error("the page does not show the made-up secret to who asks for it")
	}

	token := p.base + "/cgi-bin/token?grant_type=client_credential&appid=" + appid + "&secret=" + secret
	if _, answer := fetched(t, "GET", token, ""); !strings.Contains(answer, `"expires_in":120}`) {
		t.Error(answer)
	}
	p.until(t, "GET  /cgi-bin/token                       ok")
	if status, answer := fetched(t, "POST", p.base+"/simulator/faults", `{"path":"fetches","times":1,"errcode":45011}`); status != 200 {
		t.Error(status, answer)
	}
	fetched(t, "GET", token, "")
	p.until(t, "45011 api minute-quota reach limit, must slower, … (fault)")

	rest := p.end(t, os.Interrupt)
	if !strings.Contains(rest, appid+": 2 token fetches, 1 token issued; 0 API calls; 3 pushes") {
		t.Errorf("the end says\n%s", rest)
	}
	content, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(content)) {
		if n++; !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
	if n != 5 || strings.Contains(string(content), secret) {
		t.Errorf("%d lines, want 5, without the secret:\n%s", n, content)
	}
}

// TestBinaryWithAccount: an account of one's own, whose secret is not printed, and
// SIGTERM while a call is delayed.
func TestBinaryWithAccount(t *testing.T) {
	t.Parallel()
	env := os.Environ()
	for name, value := range account {
		env = append(env, name+"="+value)
	}
	p := launch(t, env, "simulate", "--listen", "127.0.0.1:0", "--account", "WECHAT")
	p.until(t, "all else")
	if status, answer := fetched(t, "POST", p.base+"/simulator/faults", `{"delay":"1h"}`); status != 200 {
		t.Error(status, answer)
	}
	_, html := fetched(t, "GET", p.base+"/simulator/page/?secrets=1", "")
	checkSecrets(t, html)
	hung := make(chan struct{})
	go func() {
		defer close(hung)
		r, _ := http.NewRequestWithContext(
			t.Context(),
			http.MethodGet,
			p.base+"/cgi-bin/token?appid="+account["WECHAT_APPID"]+"&secret="+account["WECHAT_APPSECRET"],
			http.NoBody,
		)
		if res, err := http.DefaultClient.Do(r); err == nil {
			_ = res.Body.Close()
		}
	}()
	patience.Until(t, "the delayed call", func() bool {
		_, answer := fetched(t, "GET", p.base+"/simulator/accounts", "")
		return strings.Contains(answer, `"calls": 1`)
	})
	rest := p.end(t, syscall.SIGTERM)
	<-hung
	if !strings.Contains(rest, "1 token fetch, 0 tokens issued") {
		t.Error(rest)
	}
	checkSecrets(t, p.text.String(), rest)
}
