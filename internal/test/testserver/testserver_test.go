package testserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
)

// TestMain is a process that holds servers when a test runs this binary again.
func TestMain(m *testing.M) {
	if os.Getenv(heldVariable) != "" {
		holdServers()
		return
	}
	testserver.Main(m)
}

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

// own starts a server of engine for the test.
func own(t *testing.T, engine testserver.Engine) *testserver.Server {
	t.Helper()
	return testserver.Own(t, engine, func(ctx context.Context) (*testserver.Server, error) { return testserver.Start(ctx, engine) })
}

// TestServers: each engine starts, starts again after a stop, and leaves nothing behind.
func TestServers(t *testing.T) {
	for _, engine := range testserver.Engines {
		t.Run(string(engine), func(t *testing.T) {
			folder := setTemp(t)
			start := time.Now()
			s := own(t, engine)
			t.Logf("%s took %v", s.Version, time.Since(start))
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
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

// heldVariable is set for a process that shall hold servers, for TestKilled.
const heldVariable = "ZHONGKONG_TESTSERVER_HELD"

// holdServers starts a server of each engine that is installed, prints their addresses
// and an empty line, and waits to be killed.
func holdServers() {
	for _, engine := range testserver.Engines {
		s, err := testserver.Start(context.Background(), engine)
		switch {
		case err == nil:
			fmt.Println(s.Addr)
		case !errors.Is(err, testserver.ErrNotInstalled):
			fmt.Println(err)
			os.Exit(1)
		}
	}
	fmt.Println()
	select {}
}

// TestKilled: when a process that holds servers is killed, the servers exit and their
// folders are removed.
func TestKilled(t *testing.T) {
	tier.Full(t)
	folder := setTemp(t)
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	holder := exec.CommandContext(t.Context(), binary)
	holder.Env = append(os.Environ(), heldVariable+"=1")
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	var addrs []string
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "" {
		addrs = append(addrs, lines.Text())
		conn, err := net.Dial("tcp", lines.Text())
		if err != nil {
			t.Errorf("the holder says %q: %v", lines.Text(), err)
			continue
		}
		_ = conn.Close()
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait()
	if len(addrs) == 0 {
		t.Skip("left out: no server is installed here")
	}
	for _, addr := range addrs {
		eventually(t, addr+" listens", func() bool {
			conn, err := net.Dial("tcp", addr)
			if err == nil {
				_ = conn.Close()
			}
			return err != nil
		})
	}
	eventually(t, "a folder is left", func() bool {
		left, err := filepath.Glob(filepath.Join(folder, "*"))
		return err == nil && len(left) == 0
	})
}

// eventually waits until done, and fails the test if that takes longer than a killed
// server may need on a busy machine.
func eventually(t *testing.T, otherwise string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute: %s", otherwise)
		}
	}
}
