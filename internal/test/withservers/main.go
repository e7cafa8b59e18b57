// Command withservers runs what `make test` runs, with the URLs of database servers in the
// environment: those that the environment names already, or else servers of its own, which
// it stops at the end. It names a Chromium and a promtool in the same way. With CI=true or
// ZHONGKONG_TEST_INSTALL=1 it installs by apt what is missing. Its last lines say what was
// tested and what was left out; with ZHONGKONG_TEST_REQUIRE=1 nothing may be.
//
//	go run ./internal/test/withservers
//	go run ./internal/test/withservers go test ./store/redis
//
// With arguments, it runs that command instead of the stages of `make test`.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	needs := prepare(ctx, os.Getenv("CI") == "true" || os.Getenv("ZHONGKONG_TEST_INSTALL") == "1")
	defer func() {
		for _, n := range needs {
			if err := n.close(); err != nil {
				fmt.Fprintln(os.Stderr, "withservers:", err)
			}
		}
	}()
	environment := append(os.Environ(), tier.Variable+"=full")
	for _, n := range needs {
		if n.err == nil {
			environment = append(environment, n.variable+"="+n.value)
		}
	}
	var code int
	if len(args) > 0 {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = environment, os.Stdin, os.Stdout, os.Stderr
		code = wait(cmd)
	} else {
		code = runStages(environment)
	}
	return max(code, tell(needs))
}

// tell prints what was tested and what was not. It returns 1 if something was left out
// and nothing may be.
func tell(needs []need) (code int) {
	for _, n := range needs {
		if n.err == nil {
			fmt.Printf("tested with: %s\n", n.said)
		}
	}
	for _, n := range needs {
		if n.err != nil {
			fmt.Printf("LEFT OUT: %s (%s)\n", n.name, firstLine(n.err))
			code = 1
		}
	}
	if !testserver.Required() {
		return 0
	}
	if code != 0 {
		fmt.Println("Something was left out, and nothing may be here.")
	}
	return code
}

// need is a server or a program that tests use.
type need struct {
	name, variable string
	value          string // of the variable
	said           string // what it is and where it comes from
	err            error  // why the tests do without
	server         *testserver.Server
}

func (n need) close() error {
	if n.server == nil {
		return nil
	}
	return n.server.Close()
}

// prepare starts the servers and finds the programs, all at once.
func prepare(ctx context.Context, install bool) []need {
	needs := make([]need, len(testserver.Engines)+len(tools))
	var wg sync.WaitGroup
	for i, engine := range testserver.Engines {
		wg.Go(func() { needs[i] = prepareServer(ctx, engine, install) })
	}
	for i, tool := range tools {
		wg.Go(func() { needs[len(testserver.Engines)+i] = prepareTool(ctx, tool, install) })
	}
	wg.Wait()
	for _, n := range needs {
		if n.err != nil {
			fmt.Fprintf(os.Stderr, "withservers: %v\n", n.err)
		}
	}
	return needs
}

func prepareServer(ctx context.Context, engine testserver.Engine, install bool) need {
	n := need{name: string(engine), variable: engine.Variable(), value: os.Getenv(engine.Variable())}
	where := "given by " + n.variable
	if n.value == "" {
		if n.server, n.err = start(ctx, engine, install); n.err != nil {
			return n
		}
		n.value, where = n.server.URL, "started for this"
	}
	version, err := testserver.Ask(ctx, engine, n.value)
	if err != nil { // the tests will say more
		version = n.name + ", which does not answer"
	}
	n.said = version + ", " + where
	return n
}

func prepareTool(ctx context.Context, tool tool, install bool) need {
	n := need{name: tool.name, variable: tool.variable}
	var version string
	n.value, version, n.err = tool.get(ctx, install)
	n.said = version + ", at " + n.value
	return n
}

// start starts a server. If install, it installs what is missing.
func start(ctx context.Context, engine testserver.Engine, install bool) (*testserver.Server, error) {
	server, err := testserver.Start(ctx, engine)
	if !errors.Is(err, testserver.ErrNotInstalled) {
		return server, err
	}
	if !install {
		return nil, errors.New(testserver.LeftOut(engine))
	}
	if err := installed(ctx, engine.Package()); err != nil {
		return nil, err
	}
	return testserver.Start(ctx, engine)
}

// tool is a program that tests run.
type tool struct {
	name, variable, pkg string
	find                func() (string, error)
	version             func(ctx context.Context, path string) (string, error)
	leftOut             func() string
}

var tools = []tool{
	{
		"Chromium", testserver.ChromiumVariable, testserver.ChromiumPackage,
		testserver.FindChromium, testserver.ChromiumVersion, testserver.ChromiumLeftOut,
	},
	{
		"promtool", testserver.PromtoolVariable, testserver.PromtoolPackage,
		testserver.FindPromtool, testserver.PromtoolVersion, testserver.PromtoolLeftOut,
	},
	{
		string(testserver.PgBouncer), testserver.PgBouncer.Variable(), testserver.PgBouncer.Package(),
		testserver.FindPgBouncer, testserver.PgBouncerVersion, func() string { return testserver.LeftOut(testserver.PgBouncer) },
	},
}

// get finds a tool. If install, it installs what is missing.
func (t tool) get(ctx context.Context, install bool) (path, version string, err error) {
	path, err = t.find()
	if errors.Is(err, testserver.ErrNotInstalled) {
		if !install {
			return "", "", errors.New(t.leftOut())
		}
		if err := installed(ctx, t.pkg); err != nil {
			return "", "", err
		}
		path, err = t.find()
	}
	if err != nil {
		return "", "", err
	}
	version, err = t.version(ctx, path)
	if err != nil { // the tests will say more
		version = "a " + t.name + " that does not print its version"
	}
	return path, version, nil
}

// aptRuns is held while apt runs, which cannot run twice at a time.
var aptRuns sync.Mutex

// installed installs a package by apt.
func installed(ctx context.Context, name string) error {
	aptRuns.Lock()
	defer aptRuns.Unlock()
	fmt.Fprintf(os.Stderr, "withservers: installing %s\n", name)
	if apt(ctx, "install", "-y", "-qq", "--no-install-recommends", name) == nil {
		return nil
	}
	if err := apt(ctx, "update", "-qq"); err != nil {
		return err
	}
	return apt(ctx, "install", "-y", "-qq", "--no-install-recommends", name)
}

func apt(ctx context.Context, args ...string) error {
	args = append([]string{"env", "DEBIAN_FRONTEND=noninteractive", "apt-get"}, args...)
	if os.Getuid() != 0 {
		args = append([]string{"sudo", "-n"}, args...)
	}
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// interrupted is the exit code of a program that a signal ended.
const interrupted = 130

// wait runs a command and returns its exit code. It passes the signals that stop a
// program on to the command, and returns when that has exited, so that the servers
// are stopped too.
func wait(cmd *exec.Cmd) int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	cmd.WaitDelay = 10 * time.Second // for processes that keep its output open
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "withservers: %v\n", err)
		return 127
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	stopped := false
	for {
		select {
		case got := <-signals:
			stopped = true
			_ = cmd.Process.Signal(got)
		case err := <-done:
			var exit *exec.ExitError
			switch {
			case stopped:
				return interrupted
			case err == nil:
				return 0
			case errors.As(err, &exit) && exit.ExitCode() >= 0:
				return exit.ExitCode()
			default:
				return 1
			}
		}
	}
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
