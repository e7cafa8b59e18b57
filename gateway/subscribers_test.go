package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// subscribersRole makes the binary of these tests a gateway that does nothing but
// serve, and tells how much memory it takes.
const subscribersRole = "subscribers "

// serving is what that process says first.
type serving struct {
	URL    string
	Memory string // where it tells its memory
	Key    string // of a client with real tokens
}

// used is how much memory a process has, in bytes.
type used struct {
	Own int64 // what Go's heap and stacks use
	All int64 // what the process has of the machine's (RSS), 0 where nobody says
}

func playSubscribers(weChat string) int {
	ctx := context.Background()
	store := memory.New()
	g, err := gateway.New(ctx, gateway.Config{
		Accounts: []gateway.Account{{AppID: appID, Secret: custody.NewSecret(appSecret), TokenAPI: platform.Classic}},
		Store:    store, SealKeys: []custody.Secret{sealKey}, APIBase: weChat,
	})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	clients := gateway.NewClients(store, "test")
	key, err := clients.Add(ctx, gateway.Client{Name: "crm", Accounts: []string{appID}, Real: true})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	g.Look(ctx)
	memory := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		debug.FreeOSMemory()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		u := used{Own: int64(m.HeapInuse + m.StackInuse)}
		if text, err := os.ReadFile("/proc/self/statm"); err == nil {
			var size, resident int64
			if n, _ := fmt.Sscan(string(text), &size, &resident); n == 2 {
				u.All = resident * int64(os.Getpagesize())
			}
		}
		_ = json.NewEncoder(w).Encode(u)
	}))
	_ = json.NewEncoder(os.Stdout).Encode(serving{httptest.NewServer(g).URL, memory.URL, key.Reveal()})
	_, _ = io.Copy(io.Discard, os.Stdin) // until who started it ends
	return 0
}

// TestSpeedSubscribers: 2,000 idle subscribers cost a gateway, which runs in a process of
// its own, less than 60 MiB, and hear of a renewal within a second, some of whom do not
// read.
func TestSpeedSubscribers(t *testing.T) {
	tier.Speed(t)
	const (
		subscribers = 2000
		idlers      = 20 // of them do not read
		most        = 60 << 20
		within      = time.Second
	)
	wx := weChat(t, simulator.Options{})
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), roleVariable+"="+subscribersRole+wx.URL)
	child.Stderr = os.Stderr
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = stdin.Close()
		_ = child.Process.Kill()
		_ = child.Wait()
	}()
	var at serving
	if err := json.NewDecoder(stdout).Decode(&at); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, wx: wx, url: at.URL, http: &http.Client{Transport: &http.Transport{}}}
	defer w.http.CloseIdleConnections()
	w.get(apiBase+"/token", bearer(at.Key)...)
	measure := func() (u used) {
		t.Helper()
		res, err := w.http.Get(at.Memory)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		if err := json.NewDecoder(res.Body).Decode(&u); err != nil {
			t.Fatal(err)
		}
		return u
	}
	before := measure()

	heard := make(chan int64, subscribers)
	crowd := newCrowd(strings.TrimPrefix(at.URL, "http://"), at.Key, heard)
	defer crowd.leave()
	if err := crowd.join(subscribers, idlers); errors.Is(err, syscall.EMFILE) {
		t.Skipf("left out: ulimit -n is too low for %d connections", subscribers)
	} else if err != nil {
		t.Fatal(err)
	}
	_ = slowest(t, heard, subscribers-idlers, 0) // the present state
	after := measure()
	whole := max(after.All, after.Own)
	t.Logf("%d idle subscribers: the process has %.1f MiB, %.2f × of 60 MiB (at most 1 ×), %.1f KiB for each", subscribers,
		mib(whole), float64(whole)/most, mib(after.Own-before.Own)*1024/subscribers)
	if whole > most {
		t.Errorf("the gateway has %.1f MiB, want at most 60 MiB", mib(whole))
	}

	var took time.Duration
	patience.Attempts(t, "a renewal that reaches all subscribers", func() bool {
		began := time.Now()
		w.renew(at.Key)
		took = slowest(t, heard, subscribers-idlers, began.UnixNano())
		return took <= within
	})
	t.Logf("%d subscribers: a renewal reaches the last after %s, WeChat's part included, %.2f × of %s (at most 1 ×)", subscribers,
		took.Round(time.Millisecond), took.Seconds()/within.Seconds(), within)
	if took > within {
		t.Errorf("the last subscriber heard of it after %s, want %s", took, within)
	}
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// slowest waits until n have heard of something, and returns how long after began the
// last one did.
func slowest(t *testing.T, heard <-chan int64, n int, began int64) time.Duration {
	t.Helper()
	late := time.After(time.Minute)
	var last int64
	for range n {
		select {
		case at := <-heard:
			last = max(last, at-began)
		case <-late:
			t.Fatal("not all subscribers heard of it within a minute")
		}
	}
	return time.Duration(last)
}

// crowd are subscribers who cost little.
type crowd struct {
	address, key string
	heard        chan<- int64 // is told when one hears of something, in Unix ns

	mu    sync.Mutex
	conns []net.Conn
	group sync.WaitGroup
}

func newCrowd(address, key string, heard chan<- int64) *crowd {
	return &crowd{address: address, key: key, heard: heard}
}

// join subscribes n times; the first of them do not read.
func (c *crowd) join(n, idlers int) error {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for failed.Load() == nil {
				i := int(next.Add(1))
				if i > n {
					return
				}
				if err := c.subscribe(i > idlers); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	group.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (c *crowd) subscribe(reads bool) error {
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.conns = append(c.conns, conn)
	c.mu.Unlock()
	if _, err := fmt.Fprintf(conn, "GET %s/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", apiBase, c.key); err != nil ||
		!reads {
		return err
	}
	c.group.Go(func() {
		lines := bufio.NewScanner(conn)
		lines.Buffer(make([]byte, 0, 512), 4096)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "data: ") {
				c.heard <- time.Now().UnixNano()
			}
		}
	})
	return nil
}

func (c *crowd) leave() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.group.Wait()
}

// TestWhoDoesNotRead is cut off after ten seconds; the others hear of each renewal in
// the same moment. Who has gone is noticed. The connections have no buffers, and time is a bubble's.
func TestWhoDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wx := simtest.InMemory(t, simulator.Options{Accounts: []simulator.Account{{AppID: appID, Secret: appSecret}}})
		store, log := memory.New(), new(logtest.Log)
		g, err := gateway.New(t.Context(), gateway.Config{
			Accounts: []gateway.Account{{AppID: appID, Secret: custody.NewSecret(appSecret), TokenAPI: platform.Classic}},
			Store:    store, SealKeys: []custody.Secret{sealKey}, APIBase: "http://wechat.invalid", Transport: wx.RoundTripper(), Logger: log.Logger(slog.LevelDebug),
		})
		if err != nil {
			t.Fatal(err)
		}
		listener := newPipes()
		server := &http.Server{Handler: g, ReadHeaderTimeout: 10 * time.Second}
		go func() { _ = server.Serve(listener) }()
		defer func() {
			_ = server.Close()
			_ = g.Close()
		}()
		transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return listener.dial(), nil }}
		defer transport.CloseIdleConnections()
		w := &world{Gateway: g, t: t, wx: wx, store: store, url: "http://gateway.invalid", http: &http.Client{Transport: transport}}
		key := w.client(gateway.Client{Name: "crm", Real: true})
		w.get(apiBase+"/token", bearer(key)...)

		const readers = 30
		var all []*subscriber
		for range readers {
			all = append(all, w.listen(key))
		}
		for _, l := range all {
			l.next(t)
		}
		idler := listener.dial()
		defer func() { _ = idler.Close() }()
		_, _ = fmt.Fprintf(idler, "GET %s/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", apiBase, key)
		began := time.Now()
		for range 3 {
			w.renew(key)
			for _, l := range all {
				if e := l.next(t); e.Fence != w.fence() || !e.at.Equal(time.Now()) {
					t.Errorf("a reader heard of %d at %s, want %d at once", e.Fence, e.at.Sub(began), w.fence())
				}
			}
			time.Sleep(time.Second)
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if strings.Contains(log.String(), "cut off") {
			t.Error("cut off before ten seconds were over")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := strings.Count(log.String(), "cut off"); n != 1 {
			t.Errorf("%d were cut off, want 1", n)
		}
		_ = idler.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := io.Copy(io.Discard, idler); err != nil {
			t.Errorf("its connection was not closed: %v", err)
		}
		w.renew(key)
		for _, l := range all {
			if e := l.next(t); e.Spread != readers {
				t.Errorf("%d subscribers, want %d", e.Spread, readers)
			}
			l.stop()
		}
		time.Sleep(16 * time.Second) // the next sign of life
		if e := w.listen(key).next(t); e.Spread != 1 {
			t.Errorf("%d subscribers after all have gone and one came, want 1", e.Spread)
		}
	})
}
