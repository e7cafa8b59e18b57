package interop

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// built is the command zhongkong, built once into TestMain's folder.
var built = sync.OnceValues(func() (string, error) {
	path := filepath.Join(npmFolder, "zhongkong")
	build := exec.Command("go", "build", "-o", path, "./cmd/zhongkong")
	build.Dir, build.Env = "../..", environment // with its caches
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, output)
	}
	return path, nil
})

// installation is the configuration of gateways, as people make it.
type installation struct {
	file string
	env  []string
}

// install configures gateways on a store for the simulator's accounts: what more
// says of an account is written too.
func install(tb testing.TB, wx *simtest.Sim, store string, more func(a simulator.Account) map[string]any) *installation {
	tb.Helper()
	var accounts []map[string]any
	for _, a := range wx.Accounts() {
		account := map[string]any{"appid": a.AppID, "secret": a.Secret}
		if corp, agent, isCorp := strings.Cut(a.AppID, ":"); isCorp {
			account = map[string]any{"corpid": corp, "agentid": agent, "secret": a.Secret}
		}
		maps.Copy(account, more(a))
		accounts = append(accounts, account)
	}
	config, err := json.Marshal(map[string]any{"store": store, "api_base": wx.URL, "accounts": accounts}) // which is YAML too
	if err != nil {
		tb.Fatal(err)
	}
	i := &installation{file: filepath.Join(tb.TempDir(), "zhongkong.yaml")}
	if err := os.WriteFile(i.file, config, 0o600); err != nil {
		tb.Fatal(err)
	}
	var seal [32]byte
	_, _ = rand.Read(seal[:]) // never fails, by its documentation
	i.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + tb.TempDir(), "ZHONGKONG_SEAL_KEY=" + base64.StdEncoding.EncodeToString(seal[:])}
	return i
}

func (i *installation) command(tb testing.TB, arguments ...string) *exec.Cmd {
	tb.Helper()
	path, err := built()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.CommandContext(tb.Context(), path, append(arguments, "--config", i.file)...)
	cmd.Env = i.env
	return cmd
}

// admit makes a program known that may use some accounts, and returns its key.
func (i *installation) admit(tb testing.TB, name string, appIDs ...string) string {
	tb.Helper()
	arguments := []string{"client", "add", name}
	for _, id := range appIDs {
		arguments = append(arguments, "--account", id)
	}
	cmd := i.command(tb, arguments...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	key, err := cmd.Output()
	if err != nil {
		tb.Fatalf("zhongkong client add: %v\n%s", err, &stderr)
	}
	return strings.TrimSpace(string(key))
}

// served is a gateway at work.
type served struct {
	*exec.Cmd

	address string
	said    lines
}

var listening = regexp.MustCompile(`The gateway is at http://(\S+)`)

// serve starts a gateway at an address, which ends with the test.
func (i *installation) serve(tb testing.TB, address string) *served {
	tb.Helper()
	s := &served{Cmd: i.command(tb, "serve", "--listen", address)}
	s.Stdout, s.Stderr = &s.said, &s.said
	if err := s.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		s.kill()
		if tb.Failed() {
			tb.Logf("the gateway at %s says:\n%s", s.address, s.said.last(40))
		}
	})
	patience.Until(tb, "the gateway's address", func() bool {
		found := listening.FindStringSubmatch(s.said.last(40))
		if found != nil {
			s.address = found[1]
		}
		return found != nil
	})
	return s
}

// kill ends it as a crash does. Killing twice is safe.
func (s *served) kill() {
	_ = s.Process.Kill()
	_ = s.Wait()
}

// lines are what a process writes.
type lines struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// last returns the last n lines that are not of the access log.
func (l *lines) last(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var kept []string
	for line := range strings.Lines(l.text.String()) {
		if !strings.Contains(line, "errcode=0") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept[max(0, len(kept)-n):], "")
}
