package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The packages are those of interop, in the versions of its lock file.
const packages = "../interop/testdata/npm"

// installNPM installs the packages that are measured into a temporary folder.
func (b *bench) installNPM() error {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is not installed", program)
		}
	}
	folder := filepath.Join(b.dir, "npm")
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	for _, file := range []string{packages + "/package.json", packages + "/package-lock.json", "npm/bench.js"} {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, filepath.Base(file)), data, 0o600); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(b.ctx, 2*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir, install.Env = folder, b.env
	if output, err := install.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%s\n", output) // it names a registry, which is nobody's business in a table
		return errors.New("npm ci fails")
	}
	b.npm = folder
	return nil
}

// nodeVersion says which packages, on which node.
func (b *bench) nodeVersion() string {
	if b.npm == "" {
		return ""
	}
	version := func(name string) string {
		var p struct{ Version string }
		data, err := os.ReadFile(filepath.Join(b.npm, "node_modules", name, "package.json"))
		if err == nil {
			err = json.Unmarshal(data, &p)
		}
		if err != nil {
			return "?"
		}
		return p.Version
	}
	node, _ := exec.CommandContext(b.ctx, "node", "--version").Output()
	return fmt.Sprintf("%s, co-wechat %s with wechat-crypto %s, node %s",
		version("co-wechat-api"), version("co-wechat"), version("wechat-crypto"), strings.TrimSpace(string(node)))
}

// node is bench.js, pointed at an account.
func (b *bench) node(where at, more ...string) (*exec.Cmd, error) {
	config, err := json.Marshal(where)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(
		context.WithoutCancel(b.ctx),
		"node",
		append([]string{"--no-deprecation", "bench.js", string(config)}, more...)...)
	cmd.Dir = b.npm
	cmd.Stderr = os.Stderr
	return cmd, nil
}

// nodeAccount is an account in the hands of a node process. Questions are answered
// as soon as node has the answer, in any order.
type nodeAccount struct {
	process *exec.Cmd
	in      io.WriteCloser
	last    atomic.Int64 // question's id
	done    chan struct{}

	mu      sync.Mutex // guards in's lines and what follows
	waiting map[int64]chan answered
}

type answered struct {
	ID     int64
	Result json.RawMessage
	Error  string
}

func (b *bench) openNode(where at) (*nodeAccount, error) {
	process, err := b.node(where)
	if err != nil {
		return nil, err
	}
	a := &nodeAccount{process: process, done: make(chan struct{}), waiting: make(map[int64]chan answered)}
	if a.in, err = process.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(a.done)
		for answers := json.NewDecoder(bufio.NewReader(out)); ; {
			var got answered
			if answers.Decode(&got) != nil {
				return
			}
			a.mu.Lock()
			to := a.waiting[got.ID]
			delete(a.waiting, got.ID)
			a.mu.Unlock()
			if to != nil {
				to <- got
			}
		}
	}()
	return a, nil
}

// ask has a method of bench.js called.
func (a *nodeAccount) ask(ctx context.Context, method string, arguments, out any) error {
	id, to := a.last.Add(1), make(chan answered, 1)
	question, err := json.Marshal(map[string]any{"id": id, "method": method, "arguments": arguments})
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.waiting[id] = to
	_, err = a.in.Write(append(question, '\n'))
	a.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case got := <-to:
		if got.Error != "" {
			return errors.New(got.Error)
		}
		if out == nil {
			return nil
		}
		return json.Unmarshal(got.Result, out)
	case <-a.done:
		return errors.New("node has ended")
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Minute):
		return errors.New("node does not answer")
	}
}

func (a *nodeAccount) token(ctx context.Context) (token string, err error) {
	return token, a.ask(ctx, "token", nil, &token)
}

func (a *nodeAccount) call(ctx context.Context) error { return a.ask(ctx, "call", nil, nil) }

// Close ends node.
func (a *nodeAccount) Close() error {
	_ = a.in.Close()
	<-a.done
	return a.process.Wait()
}

// callbacks has co-wechat answer pushes.
func (a *nodeAccount) callbacks(ctx context.Context, pushes []push, reply bool) (sample, error) {
	type one struct {
		URL  string `json:"url"`
		Body string `json:"body"`
	}
	all, text := make([]one, len(pushes)), ""
	for i, p := range pushes {
		all[i] = one{p.url, string(p.body)}
	}
	if reply {
		text = answer
	}
	var got struct {
		Took    float64
		Answers []struct {
			Status int
			Body   string
		}
	}
	if err := a.ask(ctx, "callbacks", map[string]any{"pushes": all, "answer": text}, &got); err != nil {
		return nil, err
	}
	for _, one := range got.Answers {
		if one.Status != 200 || reply != strings.Contains(one.Body, "<Encrypt>") {
			return nil, fmt.Errorf("status %d: %q", one.Status, one.Body)
		}
	}
	return sample{got.Took}, nil
}
