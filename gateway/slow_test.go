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

	"github.com/zhongkong-go/zhongkong"
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

// TestSlow: a body that does not arrive is given up after 30 s and what its length
// allows; a slow answer of WeChat's after a body that did arrive is waited for.
func TestSlow(t *testing.T) {
	for _, row := range []struct {
		name   string
		length int // said
		sent   int
		takes  time.Duration // of WeChat
		after  time.Duration // the answer comes
		want   string
	}{
		{"half a body", 1000, 500, 0, 30 * time.Second, `"errcode":44002`},
		{"half a longer body", 160 << 10, 500, 0, 40 * time.Second, `"errcode":44002`},
		{"half a body of a stranger", 1000, 500, 0, 30 * time.Second, `"errcode":40125`},
		{"a whole body, and a slow WeChat", 1000, 1000, 45 * time.Second, 45 * time.Second, `"errmsg":"ok"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wrong := strings.Contains(row.want, "40125")
				if err := slow(t, wrong, row.length, row.sent, row.takes, row.after, row.want); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func slow(t *testing.T, wrong bool, length, sent int, takes, after time.Duration, want string) error {
	t.Helper()
	store := memory.New()
	g, err := gateway.New(t.Context(), gateway.Config{
		Accounts: []gateway.Account{{AppID: appID, Secret: zhongkong.NewSecret(appSecret), TokenAPI: platform.Classic}},
		Store:    store, SealKeys: []zhongkong.Secret{sealKey}, APIBase: "http://wechat.invalid", Transport: slowWeChat{takes},
	})
	if err != nil {
		return err
	}
	clients, err := gateway.NewClients(store, "test")
	if err != nil {
		return err
	}
	key, err := clients.Add(t.Context(), gateway.Client{Name: "shop", Accounts: []string{appID}})
	if err != nil {
		return err
	}
	g.Look(t.Context())
	if wrong {
		key = zhongkong.NewSecret("wrong")
	}
	listener := newPipes()
	server := &http.Server{Handler: g, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	defer func() {
		_ = server.Close()
		_ = g.Close()
	}()
	conn := listener.dial()
	defer func() { _ = conn.Close() }()
	began := time.Now()
	go func() {
		_, _ = fmt.Fprintf(conn, "POST /cgi-bin/menu/create HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nX-WeChat-AppID: %s\r\nContent-Length: %d\r\n\r\n%s",
			key.Reveal(), appID, length, strings.Repeat("x", sent))
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
	if took := time.Since(began); took != after || !strings.Contains(string(body), want) {
		return errors.New("after " + took.String() + ": " + string(body))
	}
	return nil
}
