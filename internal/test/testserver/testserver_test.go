package testserver_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
)

func TestMain(m *testing.M) { testserver.Main(m) }

// setTemp gives the test a folder for temporary files that others may use too.
func setTemp(t *testing.T) string {
	t.Helper()
	//nolint:usetesting // others cannot get to t.TempDir, whatever mode is given to what lies in it
	folder, err := os.MkdirTemp("", "zhongkong-testserver-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", folder)
	return folder
}

// TestServers: each engine starts, keeps its data over a stop, and leaves
// nothing behind.
func TestServers(t *testing.T) {
	for _, engine := range testserver.Engines {
		t.Run(string(engine), func(t *testing.T) {
			folder := setTemp(t)
			start := time.Now()
			s, err := testserver.Start(t.Context(), engine)
			if errors.Is(err, testserver.ErrNotInstalled) {
				t.Skip("left out: " + testserver.LeftOut(engine))
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s took %v", s.Version, time.Since(start))
			s.Stop()
			if conn, err := net.Dial("tcp", s.Addr); err == nil {
				_ = conn.Close()
				t.Error("it listens after Stop")
			}
			if err := s.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if left, _ := filepath.Glob(filepath.Join(folder, "*")); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// TestProxy: what it promises about the bytes that pass.
func TestProxy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan byte, 16)
	done := make(chan struct{})
	go func() { // answers each byte with the next one
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				b := make([]byte, 1)
				for {
					if _, err := conn.Read(b); err != nil {
						return
					}
					heard <- b[0]
					b[0]++
					if _, err := conn.Write(b); err != nil {
						return
					}
				}
			}()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	p := testserver.NewProxy(t, l.Addr().String())
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", p.Addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	ask := func(conn net.Conn, wait time.Duration) error {
		b := []byte{7}
		if _, err := conn.Write(b); err != nil {
			return err
		}
		_ = conn.SetReadDeadline(time.Now().Add(wait)) // not before: the byte has to leave on a slow machine too
		_, err := conn.Read(b)
		if err == nil && b[0] != 8 {
			t.Fatalf("answer %d, want 8", b[0])
		}
		return err
	}
	const long, short = 10 * time.Second, 50 * time.Millisecond
	conn, other := dial(), dial()
	for _, conn := range []net.Conn{conn, other} {
		if err := ask(conn, long); err != nil {
			t.Fatal(err)
		}
		<-heard
	}
	if n := p.Trips(); n != 2 {
		t.Errorf("%d round trips, want 2", n)
	}
	p.LoseAnswers(1)
	if err := ask(conn, long); err != nil {
		t.Errorf("the last answer: %v", err)
	}
	<-heard
	if err := ask(conn, short); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an answer that was lost: %v", err)
	}
	<-heard
	p.Freeze()
	if err := ask(other, short); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a request that was lost: %v", err)
	}
	p.Cut()
	if err := ask(conn, long); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("over a connection that was cut: %v", err)
	}
	p.Heal()
	if err := ask(dial(), long); err != nil {
		t.Error(err)
	}
	<-heard
	select {
	case <-heard:
		t.Error("the request that was lost arrived")
	default:
	}
}

// TestRefusing: nobody else gets the port.
func TestRefusing(t *testing.T) {
	addr := testserver.Refusing(t)
	for range 2 {
		if conn, err := net.Dial("tcp", addr); err == nil {
			_ = conn.Close()
			t.Fatal("it takes connections")
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	if l, err := net.Listen("tcp", addr); err == nil {
		_ = l.Close()
		t.Error("the port is free")
	}
}

// TestOrphan: the server of a process that is gone ends by itself.
func TestOrphan(t *testing.T) {
	folder := setTemp(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := testserver.StartRedis(ctx)
	if errors.Is(err, testserver.ErrNotInstalled) {
		t.Skip("left out: " + testserver.LeftOut(testserver.Redis))
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Orphan()
	timeout := time.After(20 * time.Second)
	for {
		left, err := filepath.Glob(filepath.Join(folder, "*"))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", s.Addr)
		if err != nil && len(left) == 0 {
			return
		}
		if err == nil {
			_ = conn.Close()
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-timeout:
			t.Fatalf("it still runs, or left %q", left)
		}
	}
}
