package testserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zhongkong-go/zhongkong/internal/test/tier"
)

// shared are the servers that all tests of a process use.
var shared struct {
	sync.Mutex
	servers map[Engine]*Server
	errs    map[Engine]error
}

// URL returns the URL of a server that all tests of the process share: the one
// that the environment names, or else one of its own, which Main stops. Plain
// go test ./... leaves the test out; so does make test, with a word in its summary,
// where the engine is not installed.
func URL(tb testing.TB, engine Engine) string {
	tb.Helper()
	if url := os.Getenv(engine.Variable()); url != "" {
		return url
	}
	tier.Full(tb)
	shared.Lock()
	defer shared.Unlock()
	if shared.servers[engine] == nil && shared.errs[engine] == nil {
		if shared.servers == nil {
			shared.servers, shared.errs = map[Engine]*Server{}, map[Engine]error{}
		}
		shared.servers[engine], shared.errs[engine] = Start(context.Background(), engine)
	}
	mustStart(tb, engine, shared.errs[engine])
	return shared.servers[engine].URL
}

// Own starts a server for one test, which may stop or break it. Like URL, it leaves the
// test out of plain go test ./... unless the environment names a server of the engine.
func Own(tb testing.TB, engine Engine, start func(ctx context.Context) (*Server, error)) *Server {
	tb.Helper()
	if os.Getenv(engine.Variable()) == "" {
		tier.Full(tb)
	}
	s, err := start(tb.Context())
	mustStart(tb, engine, err)
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func mustStart(tb testing.TB, engine Engine, err error) {
	tb.Helper()
	switch {
	case errors.Is(err, ErrNotInstalled):
		leaveOut(tb, LeftOut(engine))
	case err != nil:
		tb.Fatal(err)
	}
}

// leaveOut leaves a test out for want of a program, where that is allowed.
func leaveOut(tb testing.TB, why string) {
	tb.Helper()
	if Required() {
		tb.Fatal(why + "; with " + RequireVariable + "=1 no test may be left out")
	}
	tb.Skip("left out: " + why)
}

// RequireVariable is "1" where no test may be left out.
const RequireVariable = "ZHONGKONG_TEST_REQUIRE"

// Required reports whether no test may be left out.
func Required() bool { return os.Getenv(RequireVariable) == "1" }

// LeftOut says that no server is installed and how to install one.
func LeftOut(engine Engine) string {
	return fmt.Sprintf("there is no %s here: install %s, or set %s, or let ZHONGKONG_TEST_INSTALL=1 make test install it", engine, engine.Package(), engine.Variable())
}

// Name returns a name that no other test has, for a place on a shared server. It
// begins with a letter and has digits and lower-case letters.
func Name() string { return "t" + strings.ToLower(rand.Text()[:12]) }

// Main runs the tests of a package, stops the servers that they share and looks
// for goroutines that were not stopped.
func Main(m *testing.M) {
	tier.Overlap()
	code := m.Run()
	for _, s := range shared.servers {
		if s == nil {
			continue
		}
		if err := s.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if code == 0 {
		if err := Leaks(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// Leaks looks for goroutines that were not stopped. Those that are about to return have
// more time than goleak gives them, which a slow machine needs.
func Leaks() error {
	for began := time.Now(); ; {
		err := goleak.Find()
		if err == nil || time.Since(began) > 10*time.Second {
			return err
		}
	}
}
