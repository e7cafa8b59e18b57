package interop

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
)

// npmFolder is where TestMain installed the packages of testdata/npm; npmError is
// why it could not.
var npmFolder, npmError string

// installNPM installs the packages, in the versions of the lock file, into folder.
func installNPM(folder string) error {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is not installed", program)
		}
	}
	for _, name := range []string{"package.json", "package-lock.json", "peer.js", "corp.js"} {
		data, err := os.ReadFile(filepath.Join("testdata", "npm", name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = folder
	if output, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, output)
	}
	return nil
}

// npmMissing returns why there are no npm packages, "" when there are. CI has to
// have them.
func npmMissing(tb testing.TB) string {
	tb.Helper()
	if npmError != "" && os.Getenv("CI") != "" {
		tb.Fatalf("the npm packages are missing: %s", npmError)
	}
	return npmError
}

// coWechat keeps a token in memory until 10 s before its end, and fetches and
// calls again, up to three times, after 40001 and 42001. Its server of callbacks
// is the package co-wechat, which encrypts by wechat-crypto.
func coWechat() sdk {
	return sdk{
		name: "npm co-wechat-api@3.11.0, co-wechat@2.4.0",
		life: 11 * time.Second, hold: time.Second, heals: true,
		open: func(tb testing.TB, at target) client {
			tb.Helper()
			return startPeer(tb, at)
		},
		server: func(tb testing.TB, at target) http.Handler {
			tb.Helper()
			var address string
			if err := startPeer(tb, at).ask(tb.Context(), "serve", nil, &address); err != nil {
				tb.Fatal(err)
			}
			app, err := url.Parse(address)
			if err != nil {
				tb.Fatal(err)
			}
			return httputil.NewSingleHostReverseProxy(app)
		},
	}
}

// peer is a node process that does what it is told on stdin, a line of JSON for
// each question and for each answer.
type peer struct {
	mu      sync.Mutex // one question at a time
	in      io.Writer
	answers chan []byte
}

func startPeer(tb testing.TB, at target) *peer {
	tb.Helper()
	return startNode(tb, at, "peer.js")
}

// startNode starts a script, whose last argument is the target.
func startNode(tb testing.TB, at target, script ...string) *peer {
	tb.Helper()
	config, err := json.Marshal(at)
	if err != nil {
		tb.Fatal(err)
	}
	arguments := append([]string{"--no-deprecation"}, append(script, string(config))...)
	node := exec.CommandContext(context.WithoutCancel(tb.Context()), "node", arguments...)
	node.Dir = npmFolder
	node.Stderr = os.Stderr
	in, err := node.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := node.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := node.Start(); err != nil {
		tb.Fatal(err)
	}
	p := &peer{in: in, answers: make(chan []byte)}
	go func() {
		defer close(p.answers)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.answers <- append([]byte(nil), lines.Bytes()...)
		}
	}()
	tb.Cleanup(func() {
		_ = in.Close()            // ends it
		for open := true; open; { // an answer that nobody waited for
			_, open = <-p.answers
		}
		if err := node.Wait(); err != nil {
			tb.Errorf("node: %v", err)
		}
	})
	return p
}

// ask has a method of peer.js called.
func (p *peer) ask(ctx context.Context, method string, arguments, out any) error {
	question, err := json.Marshal(map[string]any{"method": method, "arguments": arguments})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.in.Write(append(question, '\n')); err != nil {
		return err
	}
	var line []byte
	select {
	case line = <-p.answers:
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(30 * time.Second):
		return errors.New("node does not answer")
	}
	var answer struct {
		Result json.RawMessage
		Error  string
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return fmt.Errorf("node answered %q: %w", line, err)
	}
	if answer.Error != "" {
		return errors.New(answer.Error)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer.Result, out)
}

func (p *peer) token(ctx context.Context) (token string, err error) {
	return token, p.ask(ctx, "token", nil, &token)
}

func (p *peer) call(ctx context.Context) error { return p.ask(ctx, "call", nil, nil) }

// TestNPMVersions compares what was installed with what this package says.
func TestNPMVersions(t *testing.T) {
	if why := npmMissing(t); why != "" {
		t.Skip(why)
	}
	for name, want := range map[string]string{
		"co-wechat": "2.4.0", "co-wechat-api": "3.11.0", "co-wechat-oauth": "2.0.1", "wechat-crypto": "0.0.2",
		"wechat-enterprise-api": "0.3.0", "push-all-in-one": "4.5.2", "@openclaw-china/wecom-app": "2026.4.24", "@node-red/nodes": "4.1.1",
	} {
		data, err := os.ReadFile(filepath.Join(npmFolder, "node_modules", name, "package.json"))
		if err != nil {
			t.Error(err)
		} else if !strings.Contains(string(data), fmt.Sprintf("%q: %q", "version", want)) {
			t.Errorf("%s is not of version %s", name, want)
		}
	}
}

// TestWechatCrypto opens with this module what wechat-crypto encrypted, and the
// other way round.
func TestWechatCrypto(t *testing.T) {
	if why := npmMissing(t); why != "" {
		t.Skip(why)
	}
	_, at := simulate(t, 0)
	p := startPeer(t, at)
	verifier, err := callback.NewVerifier(callback.Config{
		AppID: at.AppID, Token: custody.NewSecret(at.Token), AESKey: custody.NewSecret(at.AESKey),
	})
	if err != nil {
		t.Fatal(err)
	}
	const timestamp, nonce = "1714036504", "1514711492"
	for _, message := range []string{"<xml>a</xml>", "<xml>你好</xml>", "<xml>" + strings.Repeat("x", 4096) + "</xml>"} {
		var encrypt, signature string
		err := errors.Join(p.ask(t.Context(), "encrypt", map[string]string{"message": message}, &encrypt),
			p.ask(t.Context(), "sign", map[string]string{"timestamp": timestamp, "nonce": nonce, "encrypt": encrypt}, &signature))
		if err != nil {
			t.Fatal(err)
		}
		query := callback.Query{Timestamp: timestamp, Nonce: nonce, EncryptType: "aes", MsgSignature: signature}
		opened, pair, err := verifier.Open(query, []byte("<xml><ToUserName>gh</ToUserName><Encrypt>"+encrypt+"</Encrypt></xml>"))
		if err != nil || string(opened) != message {
			t.Errorf("Open: %v, %q", err, opened)
		}

		envelope, err := verifier.Seal(pair, timestamp, nonce, []byte(message))
		if err != nil {
			t.Fatal(err)
		}
		var back struct{ Message, ID string }
		err = errors.Join(p.ask(t.Context(), "decrypt", map[string]string{"encrypt": envelope.Encrypt}, &back),
			p.ask(t.Context(), "sign", map[string]string{"timestamp": timestamp, "nonce": nonce, "encrypt": envelope.Encrypt}, &signature))
		if err != nil || back.Message != message || back.ID != at.AppID || signature != envelope.MsgSignature {
			t.Errorf("decrypt: %v, %+v, signature %s, want %s", err, back, signature, envelope.MsgSignature)
		}
	}
}
