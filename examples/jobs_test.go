//go:build unix

package examples_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"go/format"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/docs"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

const (
	jobsFolder  = "../docs/jobs"
	jobsModule  = docs.Module + "/examples/jobs" // where the programs of the pages are, for the compiler
	longestPage = 60                             // lines
	madeUpSeal  = "c2VhbGluZy1rZXktb2YtdGhlLXRlc3RzLTMyLWJ5dGU="
)

// jobs are the pages of docs/jobs in the order of the index, with the test of each.
var jobs = []struct {
	slug  string
	works func(t *testing.T, j *job)
}{
	{"verify", jobVerify},
	{"reply", jobReply},
	{"menu", jobMenu},
	{"template", jobTemplate},
	{"qrcode", jobQRCode},
	{"crowd", jobCrowd},
	{"login", jobLogin},
	{"mini-login", jobMiniLogin},
	{"jssdk", jobJSSDK},
	{"upload", jobUpload},
	{"sites", jobSites},
	{"accounts", jobAccounts},
	{"environments", jobEnvironments},
	{"gateway", jobGateway},
	{"fixed-ip", jobFixedIP},
	{"wecom", jobWeCom},
	{"net-http", jobNetHTTP},
	{"moving", jobMoving},
	{"upgrade", jobUpgrade},
	{"doctor", jobDoctor},
}

// job is a page, in both languages.
type job struct {
	slug   string
	en, zh docs.Page
	lines  int // of the longer one
}

func readJob(t *testing.T, slug string) *job {
	t.Helper()
	j := &job{slug: slug}
	for ending, page := range map[string]*docs.Page{".md": &j.en, ".zh-CN.md": &j.zh} {
		text, err := os.ReadFile(filepath.Join(jobsFolder, slug+ending))
		if err != nil {
			t.Fatal(err)
		}
		*page = docs.Parse(string(text))
		j.lines = max(j.lines, bytes.Count(text, []byte("\n")))
	}
	return j
}

// block returns the nth block of a language, from 0.
func (j *job) block(t *testing.T, info string, n int) string {
	t.Helper()
	for _, b := range j.en.Blocks {
		if b.Info != info {
			continue
		}
		if n == 0 {
			return b.Text
		}
		n--
	}
	t.Fatalf("%s.md has too few blocks of %s", j.slug, info)
	return ""
}

// remark is what each language has words of its own for.
var remark = regexp.MustCompile(`(?m)\s*(?:(?:^|\s)#|//|<!--).*$`)

// TestJobPages: each page is short and in the index, its Go is formatted, and both languages
// show the same programs, files and commands.
func TestJobPages(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, ending := range []string{".md", ".zh-CN.md"} {
		index, err := os.ReadFile("../docs/README" + ending)
		if err != nil {
			t.Fatal(err)
		}
		for _, job := range jobs {
			known[job.slug+ending] = true
			if !bytes.Contains(index, []byte("(jobs/"+job.slug+ending+")")) {
				t.Errorf("docs/README%s has no link to jobs/%s%s", ending, job.slug, ending)
			}
		}
	}
	files, err := os.ReadDir(jobsFolder)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !known[file.Name()] {
			t.Errorf("docs/jobs/%s is under no test", file.Name())
		}
	}
	for _, job := range jobs {
		j := readJob(t, job.slug)
		if j.lines > longestPage {
			t.Errorf("%s has %d lines, more than %d", j.slug, j.lines, longestPage)
		}
		if len(j.en.Blocks) != len(j.zh.Blocks) || len(j.en.Blocks) == 0 {
			t.Errorf("%s has %d blocks in English, %d in Chinese", j.slug, len(j.en.Blocks), len(j.zh.Blocks))
			continue
		}
		for i, en := range j.en.Blocks {
			zh := j.zh.Blocks[i]
			if en.Info != zh.Info || remark.ReplaceAllString(en.Text, "") != remark.ReplaceAllString(zh.Text, "") {
				t.Errorf("%s: block %d differs between the languages in more than remarks:\n%s\n%s", j.slug, i+1, en.Text, zh.Text)
			}
			if en.Info != "go" {
				continue
			}
			if formatted, err := format.Source([]byte(en.Text)); err != nil || string(formatted) != en.Text {
				t.Errorf("%s: the program is not formatted (%v)", j.slug, err)
			}
		}
	}
}

// TestJobs does each job as its page says: the page's program is started and its commands
// are run, with a simulated WeChat.
func TestJobs(t *testing.T) {
	t.Parallel()
	for _, job := range jobs {
		t.Run(job.slug, func(t *testing.T) {
			t.Parallel()
			zhongkong.path(t) // or leaves the test to make test
			job.works(t, readJob(t, job.slug))
		})
	}
}

// jobPrograms is one command with the programs of all pages, each in a package of its own:
// to link it once is quicker than to link each.
var jobPrograms = &program{source: jobsModule, overlay: jobOverlay}

// jobOverlay writes the programs as the compiler is to see them, and returns the file that
// tells it. They differ from the pages by the names of package and main, and where they listen.
func jobOverlay(folder string) (string, error) {
	root, err := filepath.Abs("..")
	if err != nil {
		return "", err
	}
	replaced, failed := map[string]string{}, error(nil)
	write := func(name, text string) {
		at := filepath.Join(folder, strings.ReplaceAll(name, "/", "_"))
		replaced[filepath.Join(root, "examples", "jobs", filepath.FromSlash(name))] = at
		failed = cmp.Or(failed, os.WriteFile(at, []byte(text), 0o600))
	}
	var imports, cases strings.Builder
	pages, err := filepath.Glob(filepath.Join(jobsFolder, "*.md"))
	if err != nil {
		return "", err
	}
	for i, page := range pages {
		slug := strings.TrimSuffix(filepath.Base(page), ".md")
		if strings.Contains(slug, ".") {
			continue // the same in Chinese
		}
		text, err := os.ReadFile(page)
		if err != nil {
			return "", err
		}
		for _, block := range docs.Parse(string(text)).Blocks {
			if block.Info != "go" || !strings.HasPrefix(block.Text, "package main\n") {
				continue
			}
			write(slug+"/job.go", strings.NewReplacer("package main\n", "package job\n", "func main() {", "func Main() {", `":3100"`, "listen").Replace(block.Text))
			write(slug+"/listen.go", "package job\n\nimport \"os\"\n\nvar listen = os.Getenv(\"LISTEN\")\n")
			fmt.Fprintf(&imports, "\tjob%d %q\n", i, jobsModule+"/"+slug)
			fmt.Fprintf(&cases, "\tcase %q:\n\t\tjob%d.Main()\n", slug, i)
		}
	}
	write("main.go", "package main\n\nimport (\n\t\"os\"\n\n"+imports.String()+")\n\nfunc main() {\n\tswitch os.Args[1] {\n"+cases.String()+"\t}\n}\n")
	list, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(folder, "overlay.json")
	return overlay, cmp.Or(failed, os.WriteFile(overlay, list, 0o600))
}

// screen is what processes print.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// start starts the page's program in dir, and returns its address and what it prints.
func (j *job) start(t *testing.T, dir string, env []string) (address string, out *screen) {
	t.Helper()
	address = freeAddress(t)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), jobPrograms.path(t), j.slug)
	cmd.Dir = dir
	cmd.Env = append([]string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "GIN_MODE=release", "LISTEN=" + address}, env...)
	return address, background(t, cmd, address)
}

// does starts the page's program for the account of wx and returns what its first block of
// shell prints, and what the program does.
func (j *job) does(t *testing.T, wx *simtest.Sim, env ...string) (printed string, out *screen) {
	t.Helper()
	dir := t.TempDir()
	env = append(configured(wx), env...)
	address, out := j.start(t, dir, env)
	return j.try(t, 0, dir, env, "127.0.0.1:3100", address, "http://127.0.0.1:3200", wx.URL), out
}

// background starts a process that ends with the test, and waits until it listens.
func background(t *testing.T, cmd *exec.Cmd, address string) *screen {
	t.Helper()
	out := new(screen)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("%s printed:\n%s", filepath.Base(cmd.Path), out)
		}
	})
	listens := false
	patience.Until(t, "the start of "+cmd.String(), func() bool {
		select {
		case <-ended:
			return true
		default:
		}
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err == nil {
			listens = true
			_ = conn.Close()
		}
		return listens
	})
	if !listens {
		t.Fatalf("it ended: %s", out)
	}
	return out
}

// freeAddress returns an address at which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// elsewhere are the lines that a reader types in other terminals, or fills in: the test has
// started these programs and set these variables already.
var elsewhere = regexp.MustCompile(`(?m)^(?:(?:zhongkong (?:simulate|serve --config)|go run |node ).*|export .*…[^\n]*)\n`)

// knownKeys is the command zhongkong for a script that is quicker than a person: a gateway may
// take up to five seconds to know a client that was added.
const knownKeys = `#!/bin/sh
[ "$1 $2" = "client add" ] || exec PROGRAM "$@"
key=$(PROGRAM "$@") || exit
case " $* " in *" --config "*)
	while curl -sS http://127.0.0.1:8300/zhongkong/v1/accounts -H "Authorization: Bearer $key" | grep -q 40125; do sleep 0.3; done ;;
esac
echo "$key"
`

// try runs the page's nth block of shell in dir, and returns what that prints. pairs are what
// the page says and what it is in this test, such as "127.0.0.1:3100" and a free port.
func (j *job) try(t *testing.T, n int, dir string, env []string, pairs ...string) string {
	t.Helper()
	commands := strings.NewReplacer(pairs...).Replace(elsewhere.ReplaceAllString(j.block(t, "sh", n), ""))
	bin := t.TempDir()
	script := strings.NewReplacer(append(pairs, "PROGRAM", zhongkong.path(t))...).Replace(knownKeys)
	if err := os.WriteFile(filepath.Join(bin, "zhongkong"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", commands)
	cmd.Dir = dir
	cmd.Env = append([]string{"HOME=" + dir, "PATH=" + bin + ":" + os.Getenv("PATH"), "ZHONGKONG_LANG=en"}, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s\n%s", err, commands, out)
	}
	return string(out)
}

// serve starts a gateway at address with the configuration that the page shows, for the account
// of wx, and returns its folder.
func (j *job) serve(t *testing.T, wx *simtest.Sim, address string, pairs ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	config := strings.NewReplacer(append(pairs, "127.0.0.1:8300", address)...).Replace(j.block(t, "yaml", 0)) + "api_base: " + wx.URL + "\n"
	if err := os.WriteFile(filepath.Join(dir, "zhongkong.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), zhongkong.path(t), "serve", "--config", "zhongkong.yaml")
	cmd.Dir = dir
	cmd.Env = append([]string{"HOME=" + dir, "ZHONGKONG_SEAL_KEY=" + madeUpSeal, "ZHONGKONG_DRAIN_GRACE=0s"}, gatewaySecrets(wx)...)
	background(t, cmd, address)
	return dir
}

// gatewaySecrets are the variables that the configurations of the pages name.
func gatewaySecrets(wx *simtest.Sim) []string {
	return []string{"SHOP_APPSECRET=" + wx.Secret(), "SHOP_PUSH_TOKEN=" + token, "SHOP_PUSH_AES_KEY=" + aesKey, "LIVE_TOKEN=" + token, "TEST_TOKEN=" + token}
}

const aesKey = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"

// says wants each part in a text.
func says(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in:\n%s", part, text)
		}
	}
}
