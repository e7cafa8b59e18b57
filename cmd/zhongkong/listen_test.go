package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/gate"
)

func newService(plain bool) *service {
	return &service{settings: new(gateway.Settings), log: slog.New(slog.DiscardHandler), plain: plain, gate: gate.New(gate.Config{})}
}

var answersOK = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })

// TestListen: plain HTTP stays on this machine unless somebody says otherwise.
func TestListen(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		address string
		plain   bool
		refused bool
	}{
		{"127.0.0.1:0", false, false},
		{"localhost:0", false, false},
		{"0.0.0.0:0", false, true},
		{":0", false, true},
		{"0.0.0.0:0", true, false},
	} {
		l, base, err := newService(row.plain).listen(t.Context(), door{row.address, row.plain, "say so.much: true"}, answersOK)
		var wrong usageError
		switch {
		case row.refused && (!errors.As(err, &wrong) || l != nil || !strings.Contains(err.Error(), "say so.much: true")):
			t.Errorf("%s, plain %v: %v, want a refusal", row.address, row.plain, err)
		case !row.refused && (err != nil || !strings.HasPrefix(base, "http://")):
			t.Errorf("%s, plain %v: %v, %s", row.address, row.plain, err, base)
		}
		if l != nil {
			_ = l.on.Close()
		}
	}
}

// piped is a listener without sockets, so that a bubble's time passes for it.
type piped struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *piped) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *piped) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *piped) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// TestSlowCallers: who sends no whole header, or nothing more, holds a connection for a
// bounded time; a header beyond 64 KiB is refused. Others are served meanwhile.
func TestSlowCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, _, err := newService(false).listen(t.Context(), door{address: "127.0.0.1:0"}, answersOK)
		if err != nil {
			t.Error(err)
			return
		}
		_ = l.on.Close()
		on := &piped{conns: make(chan net.Conn), done: make(chan struct{})}
		go func() { _ = l.Serve(on) }()
		defer func() { _ = l.Close() }()
		dial := func() net.Conn {
			ours, theirs := net.Pipe()
			on.conns <- theirs
			return ours
		}
		ends := func(send string) (answers []string, after time.Duration) {
			conn := dial()
			defer func() { _ = conn.Close() }()
			began := time.Now()
			go func() { _, _ = io.WriteString(conn, send) }()
			reader := bufio.NewReader(conn)
			for {
				res, err := http.ReadResponse(reader, nil)
				if err != nil {
					return answers, time.Since(began)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				answers = append(answers, res.Status[:3])
			}
		}
		const whole = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
		var group sync.WaitGroup
		for _, row := range []struct {
			name, send, answers string
			after               time.Duration
		}{
			{"nothing at all", "", "[]", 10 * time.Second},
			{"half a header", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", "[]", 10 * time.Second},
			{"a request, then nothing", whole, "[200]", 2 * time.Minute},
			{"a request, then half of one", whole + "GET / HT", "[200 400]", 10 * time.Second},
			{"a long header", "GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + strings.Repeat("x", 80<<10) + "\r\n\r\n", "[431]", 0},
		} {
			group.Go(func() {
				answers, after := ends(row.send)
				if fmt.Sprint(answers) != row.answers || after.Truncate(time.Second) != row.after {
					t.Errorf("%s: answered %v and ended after %s, want %s after %s", row.name, answers, after, row.answers, row.after)
				}
			})
		}
		time.Sleep(5 * time.Second)
		conn := dial()
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("meanwhile: %v", err)
		} else {
			_ = res.Body.Close()
		}
		_ = conn.Close()
		group.Wait()
	})
}

// TestAdminInTheClear: what the main listener may is not what the admin's may.
func TestAdminInTheClear(t *testing.T) {
	t.Parallel()
	for admin, refused := range map[bool]bool{false: true, true: false} {
		s := newService(true)
		s.keys = []custody.Secret{custody.NewSecret(strings.Repeat("s", 32))}
		s.settings = &gateway.Settings{
			Listen: "127.0.0.1:0", APIBase: "http://127.0.0.1:1", Store: "sqlite:" + filepath.Join(t.TempDir(), "zhongkong.db"), PlainHTTP: true,
			Admin: gateway.Admin{Listen: "0.0.0.0:0", PlainHTTP: admin, Key: custody.NewSecret(strings.Repeat("k", 32))},
		}
		ctx, cancel := context.WithCancel(t.Context())
		err := s.run(ctx, newTerminal(strings.NewReader(""), io.Discard, io.Discard, func(string) (string, bool) { return "", false }), func(string) { cancel() })
		cancel()
		if got := err != nil && strings.Contains(err.Error(), "admin.plain_http: true"); got != refused {
			t.Errorf("admin.plain_http %t: %v", admin, err)
		}
	}
}
