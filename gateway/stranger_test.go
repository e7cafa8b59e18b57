package gateway_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/gateway/console"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// doors are what strangers can send a body to: a path, and the status of a claim of 1 TiB.
var doors = map[string]int{
	"/cgi-bin/stable_token":              http.StatusRequestEntityTooLarge,
	"/cgi-bin/menu/create":               http.StatusRequestEntityTooLarge,
	"/sns/jscode2session":                http.StatusRequestEntityTooLarge,
	"/sns/userinfo?access_token=91_user": http.StatusRequestEntityTooLarge,
	"/callback/" + appID:                 http.StatusRequestEntityTooLarge,
	"/healthz":                           http.StatusRequestEntityTooLarge,
	"/zhongkong/v1/accounts":             http.StatusRequestEntityTooLarge,
	"/admin/accounts":                    http.StatusRequestEntityTooLarge,
	"/page/login":                        http.StatusRequestEntityTooLarge,
	"/simulator/cgi-bin/stable_token":    http.StatusRequestEntityTooLarge,
	"/simulator/admin/clock":             http.StatusRequestEntityTooLarge,
}

// behindDoors serves a gateway with its page, its admin API and a simulator, without
// sockets, to strangers.
func behindDoors(t *testing.T) (key string, dial func() net.Conn, end func()) {
	t.Helper()
	wx := simtest.InMemory(t, simulator.Options{Accounts: twoAccounts()})
	store := memory.New()
	g, err := gateway.New(t.Context(), gateway.Config{
		Accounts: []gateway.Account{{
			AppID: appID, Secret: custody.NewSecret(appSecret), TokenAPI: platform.Classic,
			Callback: &gateway.Callback{
				Token: custody.NewSecret(pushToken), AESKey: custody.NewSecret(pushAESKey),
				Subscribers: []gateway.Subscriber{newSystem("shop", gateway.Plain).Subscriber},
			},
		}},
		Store: store, SealKeys: []custody.Secret{sealKey}, APIBase: "http://wechat.invalid", Transport: wx.RoundTripper(),
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
	admin := custody.NewSecret(strings.Repeat("k", 32))
	desk, err := console.New(console.Options{Gateway: g, Key: admin})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", g)
	mux.Handle("/admin/", http.StripPrefix("/admin", g.Admin(admin, nil)))
	mux.Handle("/page/", desk.Handler(http.NotFoundHandler()))
	mux.Handle("/simulator/", http.StripPrefix("/simulator", wx.Simulator))
	mux.Handle("/simulator/admin/", http.StripPrefix("/simulator/admin", wx.Admin()))
	listener := newPipes()
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	return secret.Reveal(), listener.dial, func() {
		_ = server.Close()
		desk.Close()
		_ = g.Close()
		time.Sleep(2 * time.Second) // net/http's own, after an answer that ends a connection
	}
}

// talk sends what a stranger sends, a letter a second after it, and returns the status
// of the answer, 0 for none, when it came, and when the connection was over.
func talk(conn net.Conn, head string) (status int, answered, over time.Duration) {
	began := time.Now()
	gone := make(chan struct{})
	var sending sync.WaitGroup
	defer sending.Wait()
	defer func() { _ = conn.Close() }()
	sending.Go(func() {
		_, err := io.WriteString(conn, head)
		for err == nil {
			select {
			case <-gone:
				return
			case <-time.After(time.Second):
				_, err = io.WriteString(conn, "1\r\nx\r\n")
			}
		}
	})
	defer close(gone)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil {
		status, answered = answer.StatusCode, time.Since(began)
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		for err == nil {
			_, err = conn.Read(make([]byte, 1))
		}
	}
	return status, answered, time.Since(began)
}

// TestClaims: a length that no path takes is refused before anything of it is read, and
// the connection ends.
func TestClaims(t *testing.T) {
	for path, want := range doors {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, dial, end := behindDoors(t)
				defer end()
				status, answered, over := talk(dial(), fmt.Sprintf("POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\nx", path, int64(1)<<40))
				if status != want || answered != 0 || over > 2*time.Second {
					t.Errorf("answered %d after %s, and over after %s", status, answered, over)
				}
			})
		})
	}
}

// TestDripping: a body of a stranger that arrives letter by letter is not waited for
// longer than 30 s, whether it says how long it is or not.
func TestDripping(t *testing.T) {
	for path := range doors {
		for name, length := range map[string]string{"chunked": "Transfer-Encoding: chunked", "long": "Content-Length: 60000"} {
			t.Run(path+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					_, dial, end := behindDoors(t)
					defer end()
					if _, _, over := talk(dial(), "POST "+path+" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"+
						length+"\r\n\r\n1\r\nx\r\n"); over > 31*time.Second {
						t.Errorf("over after %s", over)
					}
				})
			})
		}
	}
}

// TestUnsignedPush: what its query proves to be nobody's is refused before its body comes.
func TestUnsignedPush(t *testing.T) {
	for name, query := range map[string]string{
		"none":  "",
		"wrong": "?signature=0123456789012345678901234567890123456789&timestamp=1800000000&nonce=1&encrypt_type=aes&msg_signature=1",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, dial, end := behindDoors(t)
				defer end()
				status, answered, _ := talk(dial(), "POST /callback/"+appID+query+" HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\nx")
				if status != http.StatusForbidden || answered != 0 {
					t.Errorf("answered %d after %s", status, answered)
				}
			})
		})
	}
}

// TestSlowUpload: who has shown a key may be slow, as long as it goes on.
func TestSlowUpload(t *testing.T) {
	for name, row := range map[string]struct {
		pieces, each int
		pause        time.Duration
		ok           bool
	}{
		"408 KiB in 34 s": {34, 12 << 10, time.Second, true},
		"1 MiB in 8 min":  {512, 2 << 10, 937 * time.Millisecond, true},
		"a byte a second": {200, 1, time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				key, dial, end := served(t, slowWeChat{})
				defer end()
				conn := dial()
				var sending sync.WaitGroup
				defer sending.Wait()
				defer func() { _ = conn.Close() }()
				sending.Go(func() {
					_, err := fmt.Fprintf(conn, "POST /cgi-bin/media/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nX-WeChat-AppID: %s\r\nContent-Length: %d\r\n\r\n",
						key, appID, row.pieces*row.each)
					for i := 0; i < row.pieces && err == nil; i++ {
						time.Sleep(row.pause)
						_, err = io.WriteString(conn, strings.Repeat("x", row.each))
					}
				})
				answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if errors.Is(err, io.EOF) && !row.ok {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = answer.Body.Close() }()
				text, err := io.ReadAll(answer.Body)
				if ok := strings.Contains(string(text), `"errmsg":"ok"`); ok != row.ok {
					t.Errorf("%s %v", text, err)
				}
			})
		})
	}
}

// crowded counts the calls that wait for a WeChat that does not answer.
type crowded struct {
	slowWeChat

	now, most atomic.Int64
}

func (c *crowded) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.Path, "/sns/") {
		c.most.Store(max(c.most.Load(), c.now.Add(1)))
		defer c.now.Add(-1)
	}
	return c.slowWeChat.RoundTrip(r)
}

// TestKeylessCalls: calls without a key have places of their own, more of them while they
// wait for WeChat. The newest come through; of too many the oldest are answered that it is
// busy.
func TestKeylessCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wx := &crowded{slowWeChat: slowWeChat{20 * time.Second}}
		_, dial, end := served(t, wx)
		defer end()
		var all sync.WaitGroup
		var busy, ok atomic.Int64
		for i := range 600 {
			all.Go(func() {
				conn := dial()
				defer func() { _ = conn.Close() }()
				time.Sleep(time.Duration(i) * time.Millisecond)
				go func() {
					_, _ = io.WriteString(conn, "GET /sns/userinfo?access_token=91_user HTTP/1.1\r\nHost: x\r\n\r\n")
				}()
				answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = answer.Body.Close() }()
				switch text, _ := io.ReadAll(answer.Body); {
				case strings.Contains(string(text), `"errcode":-1`) && i < 600-320:
					busy.Add(1)
				case strings.Contains(string(text), `"errmsg":"ok"`) && i >= 600-320:
					ok.Add(1)
				default:
					t.Errorf("call %d: %s", i, text)
				}
			})
		}
		all.Wait()
		if wx.most.Load() > 321 || busy.Load() != 600-320 || ok.Load() != 320 {
			t.Errorf("%d at a time, %d busy, %d ok", wx.most.Load(), busy.Load(), ok.Load())
		}
	})
}
