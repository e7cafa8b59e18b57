// Package testserver gives tests a real PostgreSQL, Redis or MySQL: the one that
// the environment names, or one of its own, made from what is installed, on a
// free loopback port with its data in a temporary folder. Only tests import it,
// and the command that runs them.
//
// A server ends with the process that started it, even if that is killed: a shell
// between the two reads from a pipe that no other process holds. When the pipe closes,
// the shell stops the server by its process id, kills it if it has not exited after
// a bound, and removes the folder.
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
	return "ZHONGKONG_TEST_" + strings.ToUpper(map[Engine]string{
		Postgres: "postgres", Redis: "redis", MySQL: "mysql", PgBouncer: "pgbouncer",
	}[e])
}

// Package is what to install with apt.
func (e Engine) Package() string {
	return map[Engine]string{
		Postgres: "postgresql", Redis: "redis-server", MySQL: "mariadb-server", PgBouncer: "pgbouncer",
	}[e]
}

// ErrNotInstalled is returned by Start when there is no program to start.
var ErrNotInstalled = errors.New("it is not installed")

// Server is a database server that belongs to this process.
type Server struct {
	Engine  Engine
	Version string // as its program prints it
	Addr    string // 127.0.0.1:port
	URL     string // with the password

	dir  string
	args []string                        // the program and its arguments
	ask  func(ctx context.Context) error // sends a query; nil is an answer

	mu    sync.Mutex // guards what follows
	shell *exec.Cmd  // nil while it does not run
	pipe  io.WriteCloser
	ended chan struct{} // closed when the shell has exited
}

var (
	// startTime is long enough for a server to start on a slow and busy machine.
	startTime = time.Minute
	// stopTime is what a server has between the signal that stops it and SIGKILL.
	stopTime = 10 * time.Second
	// shellTime is what the shell has on top of that before it is killed itself.
	shellTime = 20 * time.Second
)

// errExited is returned by Start when the program exited before it answered.
var errExited = errors.New("its program exited")

// shell runs between this process and the server. Its standard output is a pipe that
// the server inherits, so that this process sees its end when the server exits. sleep
// lets the shell collect the server's exit code, after which kill -0 fails.
const shell = `
	dir=$1; signal=$2; tries=$3; shift 3
	"$@" 3>&1 >>"$dir/log" 2>&1 </dev/null &
	pid=$!
	exec >/dev/null
	read -r word
	kill -s "$signal" $pid 2>/dev/null
	while kill -0 $pid 2>/dev/null; do
		if [ $tries = 0 ]; then kill -s KILL $pid; break; fi
		tries=$((tries - 1))
		sleep 0.02
	done
	wait $pid 2>/dev/null
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
		if try == 3 || !errors.Is(err, errExited) { // another process may have taken the port
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
}

// Start starts a server that was stopped, with its data and on its port. It returns
// when the server has answered a query; an error contains the end of the server's log.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shell != nil {
		return nil
	}
	exited, err := s.launch()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		err := s.answers(ctx)
		if err == nil {
			return nil
		}
		if cause := pause(ctx, exited); cause != nil {
			return errors.Join(fmt.Errorf("%s does not start: %w; the last answer: %w\n%s", s.Engine, cause, err, s.log()), s.end("keep"))
		}
	}
}

// answers sends the server one query, which has two seconds: a server that accepts
// connections before it can answer must not keep us.
func (s *Server) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return s.ask(ctx)
}

// pause waits a moment between two queries, unless there is no point in another.
func pause(ctx context.Context, exited <-chan struct{}) error {
	select {
	case <-time.After(20 * time.Millisecond):
		return nil
	case <-exited:
		return errExited
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// launch starts the shell and the server under it. exited is closed when the server
// has exited.
func (s *Server) launch() (exited <-chan struct{}, err error) {
	tries := strconv.Itoa(int(stopTime / (20 * time.Millisecond)))
	cmd := exec.Command("sh", append([]string{"-c", shell, "sh", s.dir, s.signal(), tries}, s.args...)...)
	cmd.Dir = s.dir
	cmd.Env = environment(s.dir)
	asOther(cmd)
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	alive, err := cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, pipe.Close())
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s.shell, s.pipe, s.ended = cmd, pipe, make(chan struct{})
	gone := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, alive)
		_ = alive.Close()
		close(gone)
	}()
	go func(ended chan struct{}) {
		_, _ = cmd.Process.Wait()
		close(ended)
	}(s.ended)
	return gone, nil
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

func (s *Server) log() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	const most = 4000
	return string(text[max(0, len(text)-most):])
}

// Stop stops the server and keeps its data.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end("keep")
}

// Close stops the server and removes its data.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.end("remove"), os.RemoveAll(s.dir))
}

// end gives the shell its word and waits for it, for no longer than the shell needs to
// kill a server that does not stop.
func (s *Server) end(word string) error {
	if s.shell == nil {
		return nil
	}
	shell, ended := s.shell, s.ended
	s.shell = nil
	_, _ = io.WriteString(s.pipe, word+"\n")
	_ = s.pipe.Close()
	select {
	case <-ended:
		return nil
	case <-time.After(stopTime + shellTime):
	}
	kill(shell)
	return fmt.Errorf("%s was killed: it had not stopped %s after it was asked to\n%s", s.Engine, stopTime+shellTime, s.log())
}

// run carries out a command that prepares a server's data.
func (s *Server) run(ctx context.Context, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = s.dir
	cmd.Env = environment(s.dir)
	cmd.WaitDelay = time.Second
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

// versionOf is the first line that a program prints about its version.
func versionOf(ctx context.Context, program string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--version")
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line), err
}
