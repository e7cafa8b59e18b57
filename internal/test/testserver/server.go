// Package testserver gives tests a real PostgreSQL, Redis or MySQL: the one that
// the environment names, or one of its own, made from what is installed, on a
// free loopback port with its data in a temporary folder. Only tests import it,
// and the command that runs them.
//
// A server ends with the process that started it, however that ends: a shell
// between the two reads from a pipe that nobody else holds, and when it is closed
// ends the server by its process id and removes the folder.
package testserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Password is that of every server here, made up.
const Password = "made-up-pa55word"

// Engine names a kind of server.
type Engine string

// The engines.
const (
	Postgres Engine = "PostgreSQL"
	Redis    Engine = "Redis"
	MySQL    Engine = "MySQL"
)

// Engines are all of them.
var Engines = []Engine{Redis, Postgres, MySQL}

// Variable is the environment variable with the URL of a server to use.
func (e Engine) Variable() string {
	return "ZHONGKONG_TEST_" + strings.ToUpper(map[Engine]string{Postgres: "postgres", Redis: "redis", MySQL: "mysql"}[e])
}

// Package is what to install with apt.
func (e Engine) Package() string {
	return map[Engine]string{Postgres: "postgresql", Redis: "redis-server", MySQL: "mariadb-server"}[e]
}

// ErrNotInstalled is returned by Start when there is no program to start.
var ErrNotInstalled = errors.New("it is not installed")

// Server is one that runs.
type Server struct {
	Engine  Engine
	Version string // what its program says of itself
	Addr    string // 127.0.0.1:port
	URL     string // with the password

	dir  string
	args []string // the program and its arguments

	mu    sync.Mutex // guards what follows
	shell *exec.Cmd  // nil while it does not run
	pipe  io.WriteCloser
}

// startTime is long enough for a server to start on a slow and busy machine.
const startTime = time.Minute

// shell is what stands between this process and the server.
const shell = `
	dir=$1; signal=$2; shift 2
	"$@" >>"$dir/log" 2>&1 &
	pid=$!
	read -r word
	kill "-$signal" $pid
	wait $pid
	[ "$word" = keep ] || rm -rf "$dir"
`

// start makes the folder, fills it with prepare, and starts what that returns.
func start(ctx context.Context, engine Engine, version string, prepare func(s *Server) (args []string, err error)) (*Server, error) {
	dir, err := os.MkdirTemp("", "zhongkong-"+strings.ToLower(string(engine))+"-")
	if err != nil {
		return nil, err
	}
	s := &Server{Engine: engine, Version: version, dir: dir}
	if err := chown(dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	for try := 1; ; try++ {
		s.Addr, err = freeAddr(ctx)
		if err == nil {
			s.args, err = prepare(s)
		}
		if err == nil {
			err = s.Start(ctx)
		}
		if err == nil {
			return s, nil
		}
		if try == 3 || ctx.Err() != nil { // somebody may have taken the port
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
}

// Start starts a server that was stopped, with its data and on its port.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shell != nil {
		return nil
	}
	cmd := exec.Command("sh", append([]string{"-c", shell, "sh", s.dir, s.signal()}, s.args...)...)
	cmd.Dir = s.dir
	cmd.Env = environment(s.dir)
	asOther(cmd)
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.shell, s.pipe = cmd, pipe
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		err := ready[s.Engine](ctx, s)
		if err == nil {
			return nil
		}
		if sleep(ctx, 20*time.Millisecond) != nil || s.died() {
			s.end("keep")
			return fmt.Errorf("%s does not start: %w\n%s", s.Engine, err, s.log())
		}
	}
}

// Dir is where the server works.
func (s *Server) Dir() string { return s.dir }

// signal is what ends a server at once and cleanly.
func (s *Server) signal() string {
	if s.Engine == Postgres {
		return "INT" // "fast": it does not wait for clients
	}
	return "TERM"
}

// died reports whether the server ended by itself, which its log says best.
func (s *Server) died() bool {
	text := s.log()
	return strings.Contains(text, "Address already in use") || strings.Contains(text, "could not bind")
}

func (s *Server) log() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	const most = 4000
	return string(text[max(0, len(text)-most):])
}

// Stop ends the server and keeps its data.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end("keep")
}

// Close ends the server and removes its data.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end("remove")
	return os.RemoveAll(s.dir)
}

func (s *Server) end(word string) {
	if s.shell == nil {
		return
	}
	_, _ = io.WriteString(s.pipe, word+"\n")
	_ = s.pipe.Close()
	_ = s.shell.Wait()
	s.shell = nil
}

// run carries out a command that prepares a server's data.
func (s *Server) run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = s.dir
	cmd.Env = environment(s.dir)
	asOther(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, bytes.TrimSpace(out))
	}
	return nil
}

// environment keeps the machine's own settings for clients and servers out.
func environment(dir string) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, "LC_ALL=C"}
}

// port is the port of Addr.
func (s *Server) port() string {
	_, port, _ := net.SplitHostPort(s.Addr)
	return port
}

func freeAddr(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// find returns the first of the programs that is installed. Distributions keep
// PostgreSQL's and MySQL's servers out of most users' PATH. With an empty PATH
// nothing is.
func find(names ...string) (string, error) {
	for _, name := range names {
		if os.Getenv("PATH") == "" {
			break
		}
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
		best, version := "", -1.0
		for _, pattern := range []string{
			"/usr/lib/postgresql/*/bin/", "/usr/pgsql-*/bin/", "/usr/sbin/", "/usr/libexec/",
			"/opt/homebrew/opt/*/bin/", "/usr/local/opt/*/bin/",
		} {
			paths, _ := filepath.Glob(pattern + name)
			for _, path := range paths {
				v, _ := strconv.ParseFloat(strings.Trim(filepath.Base(filepath.Dir(filepath.Dir(path))), "pgsqlotre-@"), 64)
				if v > version {
					best, version = path, v
				}
			}
		}
		if best != "" {
			return best, nil
		}
	}
	return "", fmt.Errorf("%w: there is no %s here", ErrNotInstalled, strings.Join(names, " and no "))
}

// versionOf is the first line of what a program says of itself.
func versionOf(ctx context.Context, program string) (string, error) {
	out, err := exec.CommandContext(ctx, program, "--version").CombinedOutput()
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line), err
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
