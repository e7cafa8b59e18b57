// Command withservers runs a command with the URLs of database servers in its
// environment: those that the environment names already, else servers of its
// own, which end with the command. Likewise it names a Chromium and a promtool.
// With CI=true or ZHONGKONG_TEST_INSTALL=1 it installs what is missing by apt. Its
// last lines say what there was and what was left out; with
// ZHONGKONG_TEST_REQUIRE=1 it is a failure if anything was.
//
//	go run ./internal/test/withservers go test ./...
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "withservers: which command shall run? Such as: withservers go test ./...")
		os.Exit(2)
	}
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	install := os.Getenv("CI") == "true" || os.Getenv("ZHONGKONG_TEST_INSTALL") == "1"
	environment := os.Environ()
	var tested, leftOut []string
	for _, engine := range testserver.Engines {
		url := os.Getenv(engine.Variable())
		where := "given by " + engine.Variable()
		if url == "" {
			server, err := start(ctx, engine, install)
			if err != nil {
				fmt.Fprintf(os.Stderr, "withservers: %v\n", err)
				leftOut = append(leftOut, fmt.Sprintf("%s (%s)", engine, firstLine(err)))
				continue
			}
			defer func() {
				if err := server.Close(); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			}()
			url, where = server.URL, "started for this"
			environment = append(environment, engine.Variable()+"="+url)
		}
		version, err := testserver.Ask(ctx, engine, url)
		if err != nil { // the tests will say more
			version = fmt.Sprintf("%s, which does not answer", engine)
		}
		tested = append(tested, fmt.Sprintf("%s, %s", version, where))
	}

	for _, tool := range tools {
		path, version, err := tool.get(ctx, install)
		if err != nil {
			leftOut = append(leftOut, fmt.Sprintf("%s (%s)", tool.name, firstLine(err)))
			continue
		}
		environment = append(environment, tool.variable+"="+path)
		tested = append(tested, version+", at "+path)
	}

	code := command(ctx, args, environment)
	for _, text := range tested {
		fmt.Printf("tested with: %s\n", text)
	}
	for _, text := range leftOut {
		fmt.Printf("LEFT OUT: %s\n", text)
	}
	if code == 0 && len(leftOut) > 0 && os.Getenv("ZHONGKONG_TEST_REQUIRE") == "1" {
		fmt.Println("Something was left out, and nothing may be here.")
		code = 1
	}
	return code
}

// start starts a server, and installs it before if it may.
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
		"Chromium", testserver.ChromiumVariable, testserver.ChromiumPackage, testserver.FindChromium, testserver.ChromiumVersion,
		testserver.ChromiumLeftOut,
	},
	{
		"promtool", testserver.PromtoolVariable, testserver.PromtoolPackage, testserver.FindPromtool, testserver.PromtoolVersion,
		testserver.PromtoolLeftOut,
	},
}

// get finds a tool, and installs it before if it may.
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
		version = "a " + t.name + " which does not tell its version"
	}
	return path, version, nil
}

// installed installs a package by apt.
func installed(ctx context.Context, name string) error {
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

// command runs the command and returns its exit code. A signal to end goes to
// the command, and this program ends after it, so that the servers end too.
func command(ctx context.Context, args, environment []string) int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = environment, os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "withservers: %v\n", err)
		return 127
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case got := <-signals:
			_ = cmd.Process.Signal(got)
		case err := <-done:
			var exit *exec.ExitError
			switch {
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
