//go:build linux && chaos

package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

const (
	descriptors = 4096 // of a gateway
	strangers   = 4500
	mayGrow     = 64 << 20
	lastsAtMost = 30 * time.Second
	adminKey    = "made-up-admin-key-0123456789abcdef"
)

// process is a zhongkong serve of its own, with few descriptors.
type process struct {
	*exec.Cmd

	t           *testing.T
	binary      string
	config      string
	base, admin string
	log         bytes.Buffer
}

// built returns the command.
func built(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "zhongkong")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../cmd/zhongkong").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// newProcess writes the configuration of a gateway over a store.
func newProcess(t *testing.T, binary, folder, name string, wx *simtest.Sim) *process {
	t.Helper()
	account := wx.Accounts()[0]
	p := &process{t: t, binary: binary, config: filepath.Join(folder, name+".yaml")}
	main, admin := freeAddress(t), freeAddress(t)
	p.base, p.admin = "http://"+main, "http://"+admin
	text := fmt.Sprintf("listen: %s\nstore: sqlite:%s\napi_base: %s\nadmin: {listen: %s, key: %s}\naccounts:\n"+
		"  - {appid: %s, secret: %s, callback: {token: pushTokenMadeUp, aes_key: %s, subscribers: [{name: shop, url: \"http://127.0.0.1:1/\", token: shopTokenMadeUp}]}}\n",
		main, filepath.Join(folder, "z.db"), wx.URL, admin, adminKey, account.AppID, account.Secret, strings.Repeat("a", 43))
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *process) start() {
	p.t.Helper()
	p.Cmd = exec.Command("sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$0" serve --config "$1"`, descriptors), p.binary, p.config)
	p.Env = append(os.Environ(), "ZHONGKONG_SEAL_KEY=c3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3M=", "ZHONGKONG_LOG_LEVEL=warn")
	p.Stderr = &p.log
	if err := p.Start(); err != nil {
		p.t.Fatal(err)
	}
	patience.Until(p.t, "readiness", func() bool { return readyAt(p.base) })
}

func (p *process) kill() {
	_ = p.Process.Kill()
	_ = p.Wait()
}

// memory is what the process has of it, in bytes.
func (p *process) memory() int64 {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	if err != nil {
		p.t.Error(err)
		return 0
	}
	_, rest, _ := strings.Cut(string(content), "VmRSS:")
	kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		p.t.Error(err)
	}
	return kb << 10
}

// client adds one and returns its key.
func (p *process) client() string {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.admin+"/clients", strings.NewReader(`{"name":"shop","accounts":["*"]}`))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminKey)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var got struct {
		Key string `json:"key"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || got.Key == "" {
		p.t.Fatalf("%d %v", resp.StatusCode, err)
	}
	return got.Key
}

func readyAt(base string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	r.Close = true
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// program is who calls, and about which account.
type program struct{ key, appID string }

// calls makes one call, and says what was wrong.
func calls(ctx context.Context, client *http.Client, base string, as program, post bool) error {
	method, target, body := http.MethodGet, "/cgi-bin/get_api_domain_ip", ""
	if post {
		method, target, body = http.MethodPost, "/cgi-bin/openapi/quota/get", `{"cgi_path":"/cgi-bin/get_api_domain_ip"}`
	}
	r, err := http.NewRequestWithContext(ctx, method, base+target, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+as.key)
	r.Header.Set("X-WeChat-AppID", as.appID)
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(text), "ip_list") && !strings.Contains(string(text), "daily_limit") {
		return fmt.Errorf("%s %w", text, err)
	}
	return nil
}

// forms are what strangers begin, and do not end.
func forms(appID string) map[string]string {
	half := func(path string, length int, sent string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%s", path, length, sent)
	}
	return map[string]string{
		"a byte of a body":       half("/cgi-bin/stable_token", 60<<10, "x"),
		"a chunk of a body":      "POST /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
		"an unsigned push":       half("/callback/"+appID+"?timestamp=1&nonce=1&signature="+strings.Repeat("0", 40), 500<<10, strings.Repeat("x", 32<<10)),
		"a form of the page":     half("/page/login", 60<<10, "key=x"),
		"a call without a key":   "GET /sns/userinfo?access_token=91_user&openid=o HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
		"a login without an end": half("/sns/jscode2session", 60<<10, "{"),
	}
}

// TestStrangers: 4,500 connections that prove nothing, against 4,096 descriptors, on each
// way that a gateway has: a client is served within a second all the time, the memory
// grows by 64 MiB at most, and none of them lives longer than 30 s. Who has shown a
// key may upload slowly meanwhile.
func TestStrangers(t *testing.T) {
	asked(t)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < strangers+1000 {
		t.Skipf("left out: %d descriptors are too few for %d strangers (%v)", limit.Cur, strangers, err)
	}
	binary := built(t)
	wx := simtest.New(t, simulator.Options{})
	wx.Delay("/sns/userinfo", time.Minute)
	appID := wx.Accounts()[0].AppID
	for name, form := range forms(appID) {
		t.Run(name, func(t *testing.T) {
			for n := 0; ; n++ { // a machine with other work is slow to answer anybody
				p := newProcess(t, binary, t.TempDir(), "one", wx)
				p.start()
				var much string
				func() {
					defer p.kill() // also after a fatal error
					much = flood(t, p, wx.URL, program{p.client(), appID}, form)
				}()
				switch {
				case t.Failed():
					t.Log(p.log.String())
				case much != "" && n < alone:
					patience.Again(t, much)
					continue
				case much != "":
					t.Error("FAIL: " + much)
				}
				return
			}
		})
	}
}

// flood returns what was more than it may be. What WeChat itself takes at most to answer the
// same client is the machine's.
func flood(t *testing.T, p *process, weChat string, as program, form string) (much string) {
	t.Helper()
	address := strings.TrimPrefix(p.base, "http://")
	if strings.HasPrefix(form, "POST /page/") {
		address = strings.TrimPrefix(p.admin, "http://")
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range 20 { // what the process has when it is at work
		if err := calls(t.Context(), client, p.base, as, false); err != nil {
			t.Fatal(err)
		}
	}
	before, most := p.memory(), atomic.Int64{}
	ctx, end := context.WithCancel(t.Context())
	var watching, all sync.WaitGroup
	var served, slowest, machine atomic.Int64
	watching.Go(func() {
		for ctx.Err() == nil {
			began := time.Now()
			if err := calls(t.Context(), client, p.base, as, false); err != nil {
				t.Errorf("the client is not served: %v", err)
				return
			}
			slowest.Store(max(slowest.Load(), int64(time.Since(began))))
			most.Store(max(most.Load(), p.memory()))
			served.Add(1)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	watching.Go(func() {
		for ctx.Err() == nil {
			began := time.Now()
			if err := directly(t.Context(), client, weChat); err != nil {
				t.Errorf("WeChat does not answer: %v", err)
				return
			}
			machine.Store(max(machine.Load(), int64(time.Since(began))))
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	watching.Go(func() {
		if err := slowUpload(t, p, as.key, as.appID); err != nil {
			t.Errorf("a slow upload is cut: %v", err)
		}
	})
	var longest atomic.Int64
	for range strangers {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			defer func() { _ = conn.Close() }()
			began := time.Now()
			_ = conn.SetDeadline(began.Add(2 * lastsAtMost))
			_, _ = io.WriteString(conn, form)
			_, _ = io.Copy(io.Discard, bufio.NewReader(conn)) // until the gateway has enough
			longest.Store(max(longest.Load(), int64(time.Since(began))))
		})
	}
	all.Wait()
	end()
	watching.Wait()
	grown := most.Load() - before
	figures := fmt.Sprintf("%d calls served, the slowest in %s, and by WeChat itself in %s; %d MiB more; the longest stranger %s",
		served.Load(), time.Duration(slowest.Load()), time.Duration(machine.Load()), grown>>20, time.Duration(longest.Load()))
	t.Log(figures)
	if time.Duration(slowest.Load()-machine.Load()) > time.Second || grown > mayGrow || time.Duration(longest.Load()) > lastsAtMost+2*time.Second {
		return figures
	}
	return ""
}

// directly asks WeChat for what needs no token, past the gateway.
func directly(ctx context.Context, client *http.Client, weChat string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, weChat+"/cgi-bin/get_api_domain_ip", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return err
}

// slowUpload sends 408 KiB in 34 s.
func slowUpload(t *testing.T, p *process, key, appID string) error {
	t.Helper()
	const pieces, each = 34, 12 << 10
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(p.base, "http://"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, err = fmt.Fprintf(conn, "POST /cgi-bin/openapi/quota/get HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"+
		"X-WeChat-AppID: %s\r\nContent-Length: %d\r\n\r\n", key, appID, pieces*each)
	for i := 0; i < pieces && err == nil; i++ {
		time.Sleep(time.Second)
		_, err = conn.Write(bytes.Repeat([]byte(" "), each))
	}
	if err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(text), `"errcode"`) || strings.Contains(string(text), "zhongkong") {
		return fmt.Errorf("%s %w", text, err)
	}
	return nil // WeChat has seen it
}

// balancer is a TCP balancer that asks /readyz each second.
type balancer struct {
	net.Listener

	backends []string
	ready    [2]atomic.Bool
	next     atomic.Int64
}

func (b *balancer) look() {
	for i, base := range b.backends {
		b.ready[i].Store(readyAt(base))
	}
}

func (b *balancer) run(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				b.look()
			}
		}
	}()
	for {
		conn, err := b.Accept()
		if err != nil {
			return
		}
		go b.carry(conn)
	}
}

func (b *balancer) carry(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	at := int(b.next.Add(1)) % len(b.backends)
	if !b.ready[at].Load() {
		at = 1 - at
	}
	to, err := net.Dial("tcp", strings.TrimPrefix(b.backends[at], "http://"))
	if err != nil {
		return
	}
	defer func() { _ = to.Close() }()
	go func() {
		_, _ = io.Copy(to, conn)
		_ = to.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(conn, to)
}

// TestRollingRestart: of 20,000 calls through a balancer, while two gateways are restarted
// one after the other, none is refused or cut, and each ends within 40 s.
func TestRollingRestart(t *testing.T) {
	asked(t)
	const wanted, callers = 20_000, 8
	binary, folder := built(t), t.TempDir()
	wx := simtest.New(t, simulator.Options{})
	appID := wx.Accounts()[0].AppID
	both := [2]*process{newProcess(t, binary, folder, "a", wx), newProcess(t, binary, folder, "b", wx)}
	for _, p := range both {
		p.start()
		defer func() { p.kill() }()
	}
	key := both[0].client()
	for _, p := range both { // the other one learns of the client within seconds
		patience.Until(t, "the client to be known", func() bool {
			return calls(t.Context(), http.DefaultClient, p.base, program{key, appID}, false) == nil
		})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{Listener: l, backends: []string{both[0].base, both[1].base}}
	b.look()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go b.run(ctx)
	defer func() { _ = l.Close() }()

	var made, failed atomic.Int64
	var restarted atomic.Bool
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			for n := 0; made.Add(1) <= wanted || !restarted.Load(); n++ {
				if err := calls(t.Context(), client, "http://"+l.Addr().String(), program{key, appID}, (n+i)%2 == 0); err != nil {
					failed.Add(1)
					t.Errorf("a call: %v", err)
				}
			}
		})
	}
	for i, p := range both {
		began := time.Now()
		if err := p.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := p.Wait(); err != nil || time.Since(began) > 40*time.Second {
			t.Errorf("it ended after %s: %v\n%s", time.Since(began), err, p.log.String())
		}
		p.start()
		patience.Until(t, "the balancer to see it", func() bool { return b.ready[i].Load() })
	}
	restarted.Store(true)
	group.Wait()
	t.Logf("%d calls, %d failed", made.Load()-callers, failed.Load())
}
