package platform

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestEvidence: what a transport reports decides whether WeChat can have got a request.
func TestEvidence(t *testing.T) {
	for name, row := range map[string]struct {
		dial func(ctx context.Context) (net.Conn, error)
		sent bool
	}{
		"no listener": {func(context.Context) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: errors.New("refused")}
		}, false},
		"closed after the request": {func(context.Context) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				if r, err := http.ReadRequest(bufio.NewReader(theirs)); err == nil {
					_, _ = io.Copy(io.Discard, r.Body)
				}
				_ = theirs.Close()
			}()
			return ours, nil
		}, true},
		"closed in the middle of the request": {func(context.Context) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				_, _ = io.ReadFull(theirs, make([]byte, 1<<19))
				_ = theirs.Close()
			}()
			return ours, nil
		}, false},
		"silent": {func(context.Context) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, theirs) }()
			return ours, nil
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				transport := &http.Transport{
					DialContext:           func(ctx context.Context, _, _ string) (net.Conn, error) { return row.dial(ctx) },
					ResponseHeaderTimeout: time.Second,
				}
				defer transport.CloseIdleConnections()
				api := newAPI(t, Config{Base: "http://wechat.invalid", Transport: KeepAlive(transport)})
				client := api.Client(&fakeTokens{current: mint(t, "91_x")}, testAppID)
				err := client.Post(t.Context(), "/cgi-bin/menu/create", []string{strings.Repeat("x", 1<<20)}, nil)
				var failure *ConnError
				if !errors.As(err, &failure) || failure.Sent != row.sent || strings.Contains(err.Error(), "may have got") != row.sent {
					t.Errorf("%v, want one that says whether it may have arrived: %v", err, row.sent)
				}
			})
		})
	}
}

// TestKeepAlive: a POST takes no connection that a server may be about to close; a GET,
// which net/http repeats, does.
func TestKeepAlive(t *testing.T) {
	var conns atomic.Int64
	synctest.Test(t, func(t *testing.T) {
		transport := &http.Transport{IdleConnTimeout: time.Minute}
		transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
			conns.Add(1)
			ours, theirs := net.Pipe()
			go answerAll(theirs)
			return ours, nil
		}
		rt := KeepAlive(transport)
		send := func(method, body string) {
			t.Helper()
			r := httptest.NewRequest(method, "http://wechat.invalid/", strings.NewReader(body))
			if body == "" {
				r.Body = http.NoBody
			}
			resp, err := rt.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			discard(resp)
		}
		for _, row := range []struct {
			method string
			idle   time.Duration
			conns  int64
		}{
			{"GET", 0, 1},
			{"GET", 30 * time.Second, 1},
			{"GET", 30 * time.Second, 1},
			{"POST", 0, 2},
			{"POST", 3 * time.Second, 2},
			{"POST", 5 * time.Second, 3},
			{"POST", 30 * time.Second, 4},
		} {
			time.Sleep(row.idle)
			send(row.method, map[string]string{"POST": "x"}[row.method])
			if n := conns.Load(); n != row.conns {
				t.Errorf("%s after %s: %d connections, want %d", row.method, row.idle, n, row.conns)
			}
		}
		closeIdle(rt)
	})
}

// answerAll answers the requests of a connection until it is closed.
func answerAll(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
	}
}
