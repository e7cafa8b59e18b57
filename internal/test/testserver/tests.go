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
)

// shared are the servers that all tests of a process use.
var shared struct {
	sync.Mutex
	servers map[Engine]*Server
	errs    map[Engine]error
}

// noted are the engines without which tests were left out.
var noted = struct {
	sync.Mutex
	leftOut map[Engine]bool
}{leftOut: map[Engine]bool{}}

// URL returns the URL of a server that all tests of the process share: the one
// that the environment names, else one of its own, which Main ends. Where there
// is none and none can be started, the test is left out, and says so.
func URL(tb testing.TB, engine Engine) string {
	tb.Helper()
	if url := os.Getenv(engine.Variable()); url != "" {
		return url
	}
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

// Own starts a server for one test, which may do to it what it likes.
func Own(tb testing.TB, engine Engine, start func(ctx context.Context) (*Server, error)) *Server {
	tb.Helper()
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
		noted.Lock()
		noted.leftOut[engine] = true
		noted.Unlock()
		tb.Skip("left out: " + LeftOut(engine))
	case err != nil:
		tb.Fatal(err)
	}
}

// LeftOut says that there is no server and how to get one.
func LeftOut(engine Engine) string {
	return fmt.Sprintf("there is no %s here: install %s, or set %s, or let ZHONGKONG_TEST_INSTALL=1 make test install it", engine, engine.Package(), engine.Variable())
}

// Name returns a name that no other test has, for a place on a shared server. It
// begins with a letter and has digits and lower-case letters.
func Name() string { return "t" + strings.ToLower(rand.Text()[:12]) }

// Main runs the tests of a package, ends the servers that they share and looks
// for goroutines that nobody ended.
func Main(m *testing.M) {
	code := m.Run()
	for engine := range noted.leftOut { // go test ./... shows it with -v or when something fails
		fmt.Fprintln(os.Stderr, "left out:", LeftOut(engine))
	}
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

// Leaks looks for goroutines that nobody ended. Those that are about to end have more
// time for it than goleak gives them, which a slow machine needs.
func Leaks() error {
	for began := time.Now(); ; {
		err := goleak.Find()
		if err == nil || time.Since(began) > 10*time.Second {
			return err
		}
	}
}
