package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// pipes is a listener without sockets, so that a bubble's time passes for them.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

// slowWeChat answers after a time, as long as somebody waits.
type slowWeChat struct{ takes time.Duration }

func (s slowWeChat) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	if r.URL.Path != "/cgi-bin/token" {
		select {
		case <-time.After(s.takes):
		case <-r.Context().Done():
			return nil, context.Cause(r.Context())
		}
	}
	return inMemory{}.RoundTrip(r)
}

// slowRequest is a request with a body that does not arrive, or with a slow answer.
type slowRequest struct {
	name   string
	length int // that it claims
	sent   int
	takes  time.Duration // of WeChat
	after  time.Duration // the answer comes
	want   string
}

// TestSlow: a body of which nothing arrives for 30 s is given up; a slow answer of WeChat's after a body that did arrive is waited for.
func TestSlow(t *testing.T) {
	for _, row := range []slowRequest{
		{"half a body", 1000, 500, 0, 30 * time.Second, `"errcode":44002`},
		{"half a longer body", 160 << 10, 500, 0, 30 * time.Second, `"errcode":44002`},
		{"half a body of a stranger", 1000, 500, 0, 30 * time.Second, `"errcode":40125`},
		{"a whole body, and a slow WeChat", 1000, 1000, 45 * time.Second, 45 * time.Second, `"errmsg":"ok"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if err := row.send(t); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// longAnswer is the length of one that no buffer holds.
const longAnswer = 64 << 20

// endless answers a download so.
type endless struct{ slowWeChat }

func (e endless) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := e.slowWeChat.RoundTrip(r)
	if err == nil && r.URL.Path == "/cgi-bin/media/get" {
		answer.ContentLength = longAnswer
		answer.Body = io.NopCloser(io.LimitReader(zeros{}, answer.ContentLength))
	}
	return answer, err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestSlowReader: who does not take an answer is waited for a minute, and who takes it
// slowly gets all of it.
func TestSlowReader(t *testing.T) {
	for name, row := range map[string]struct {
		pause time.Duration // before each MiB
		whole bool
	}{"slow": {50 * time.Second, true}, "asleep": {70 * time.Second, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				key, dial, end := served(t, endless{})
				defer end()
				conn := dial()
				defer func() { _ = conn.Close() }()
				go func() {
					_, _ = fmt.Fprintf(conn, "GET /cgi-bin/media/get HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nX-WeChat-AppID: %s\r\n\r\n", key, appID)
				}()
				answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = answer.Body.Close() }()
				read := int64(0)
				for err == nil {
					time.Sleep(row.pause)
					var n int64
					n, err = io.CopyN(io.Discard, answer.Body, 16<<20)
					read += n
				}
				if whole := read == longAnswer && errors.Is(err, io.EOF); whole != row.whole {
					t.Errorf("%d bytes came: %v", read, err)
				}
			})
		})
	}
}

// served is a gateway over a WeChat, without sockets.
func served(t *testing.T, weChat http.RoundTripper) (key string, dial func() net.Conn, end func()) {
	t.Helper()
	store := memory.New()
	g, err := gateway.New(t.Context(), gateway.Config{
		Accounts: []gateway.Account{{AppID: appID, Secret: custody.NewSecret(appSecret), TokenAPI: platform.Classic}},
		Store:    store, SealKeys: []custody.Secret{sealKey}, APIBase: "http://wechat.invalid", Transport: weChat,
	})
	if err != nil {
		t.Fatal(err)
	}
	clients := gateway.NewClients(store, "test")
	secret, err := clients.Add(t.Context(), gateway.Client{Name: "shop", Accounts: []string{appID}})
	if err != nil {
		t.Fatal(err)
	}
	g.Look(t.Context())
	listener := newPipes()
	server := &http.Server{Handler: g, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	return secret.Reveal(), listener.dial, func() {
		_ = server.Close()
		_ = g.Close()
	}
}

// send sends it, with a wrong key where that is what the gateway has to answer.
func (s slowRequest) send(t *testing.T) error {
	t.Helper()
	key, dial, end := served(t, slowWeChat{s.takes})
	defer end()
	if strings.Contains(s.want, "40125") {
		key = "wrong"
	}
	conn := dial()
	defer func() { _ = conn.Close() }()
	began := time.Now()
	go func() {
		_, _ = fmt.Fprintf(conn, "POST /cgi-bin/menu/create HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nX-WeChat-AppID: %s\r\nContent-Length: %d\r\n\r\n%s",
			key, appID, s.length, strings.Repeat("x", s.sent))
	}()
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if took := time.Since(began); took != s.after || !strings.Contains(string(body), s.want) {
		return errors.New("after " + took.String() + ": " + string(body))
	}
	return nil
}
