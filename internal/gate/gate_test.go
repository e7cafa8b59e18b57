package gate_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/gate"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
)

// house answers "in" to who says the word in the header, and "out" to others, once the
// body is read.
type house struct{ most int64 }

func (h house) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var visit gate.Visit
	r, fits := visit.Enter(w, r, h.most)
	defer visit.Leave()
	if !fits {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	answer := "out"
	if r.Header.Get("Word") == "right" {
		visit.Prove()
		answer = "in"
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		w.WriteHeader(http.StatusRequestTimeout)
		return
	}
	_, _ = io.WriteString(w, answer)
}

// TestRoom: who comes gets in; who goes is the one that has been idle the longest, of
// the address that holds most.
func TestRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		many, few := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
		var gone []string
		room := gate.NewRoom(4, 100, nil)
		enter := func(addr netip.Addr, name string) *gate.Guest {
			time.Sleep(time.Second)
			return room.Enter(addr, func() { gone = append(gone, name) })
		}
		enter(few, "few")
		a, b := enter(many, "a"), enter(many, "b")
		c := enter(many, "c")
		expect := func(want string) {
			t.Helper()
			if got := strings.Join(gone, " "); got != want {
				t.Fatalf("gone are %q, want %q", got, want)
			}
		}
		a.Busy(1, false) // waits for us
		enter(many, "d")
		expect("b")
		time.Sleep(time.Second)
		c.Took(60)
		enter(many, "e")
		expect("b d")
		time.Sleep(time.Second)
		a.Took(50)
		expect("b d c") // holds bytes, and does not wait for us
		a.Took(40)
		expect("b d c")
		a.Took(20)
		expect("b d c a")
		a.Exit()
		b.Exit()
		enter(few, "g")
		enter(few, "h")
		enter(few, "i")
		expect("b d c a few")
	})
}

// TestHeard: connections come faster than they are read. Nobody leaves who had no chance
// to speak while somebody had, and the next one waits for that.
func TestHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		addr := netip.MustParseAddr("192.0.2.1")
		var gone []string
		room := gate.NewRoom(3, 100, nil)
		began := time.Now()
		enter := func(name string) *gate.Guest {
			room.Await()
			return room.Enter(addr, func() { gone = append(gone, name) })
		}
		expect := func(want string, after time.Duration) {
			t.Helper()
			if got, at := strings.Join(gone, " "), time.Since(began); got != want || at != after {
				t.Fatalf("gone are %q after %s, want %q after %s", got, at, want, after)
			}
		}
		a := enter("a")
		b, c := enter("b"), enter("c")
		b.Took(1)
		c.Listen()
		enter("d")
		expect("b", 0)
		enter("e") // waits until c had its time
		expect("b c", 20*time.Millisecond)
		a.Took(1)
		a.Busy(1, false)
		enter("f") // nobody was heard but a, for whom we work
		expect("b c d", 120*time.Millisecond)
		time.Sleep(time.Second)
		enter("g") // by now each had its chance
		expect("b c d e", 1120*time.Millisecond)
	})
}

// open starts a house that listens on loopback.
func open(t *testing.T, cfg gate.Config, change func(*http.Server)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := gate.New(cfg)
	server := g.Server(house{1 << 20})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if change == nil {
			_ = server.Serve(g.Listen(l))
			return
		}
		change(server)
		_ = server.ServeTLS(g.Listen(l), "", "")
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return l.Addr().String()
}

// TestFlood: many more connections than there are places, in each form, do not keep a
// program from being served, and hold no more than their places.
func TestFlood(t *testing.T) {
	const places, flood = 100, 700
	certificate := httptest.NewUnstartedServer(nil)
	certificate.StartTLS()
	t.Cleanup(certificate.Close)
	withTLS := func(s *http.Server) { s.TLSConfig = &tls.Config{Certificates: certificate.TLS.Certificates} }
	for name, row := range map[string]struct {
		tls  func(*http.Server)
		says string
	}{
		"silent":         {nil, ""},
		"half a header":  {nil, "POST / HTTP/1.1\r\nHost: x\r\nX: "},
		"half a body":    {nil, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 1000)},
		"chunks":         {nil, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nxxxxx\r\n"},
		"half a hello":   {withTLS, "\x16\x03\x01\x01\x00\x01"},
		"silent, TLS":    {withTLS, ""},
		"answered, idle": {nil, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			log := new(logtest.Log)
			addr := open(t, gate.Config{Places: places, Log: log.Logger(slog.LevelWarn)}, row.tls)
			scheme := "http"
			client := certificate.Client()
			if row.tls != nil {
				scheme = "https"
			}
			client.Transport.(*http.Transport).DisableKeepAlives = true
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			var open atomic.Int64
			var all sync.WaitGroup
			var conns []net.Conn
			defer all.Wait()
			defer func() {
				for _, c := range conns {
					_ = c.Close()
				}
			}()
			worst := time.Duration(0)
			for i := range flood {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				conns = append(conns, c)
				_, _ = io.WriteString(c, row.says)
				open.Add(1)
				all.Go(func() {
					_, _ = io.Copy(io.Discard, c)
					open.Add(-1)
				})
				if i%50 != 49 {
					continue
				}
				began := time.Now()
				r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, scheme+"://"+addr, strings.NewReader("hello"))
				r.Header.Set("Word", "right")
				res, err := client.Do(r)
				if err != nil {
					t.Fatalf("after %d: %v", i, err)
				}
				text, _ := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if string(text) != "in" {
					t.Fatalf("after %d: %d %s", i, res.StatusCode, text)
				}
				worst = max(worst, time.Since(began))
			}
			patience.Until(t, "no more connections are open than there are places", func() bool { return open.Load() <= places })
			runtime.GC()
			runtime.ReadMemStats(&after)
			if worst > time.Second {
				t.Errorf("a program waited for %s", worst)
			}
			if grown := int64(after.HeapInuse+after.StackInuse) - int64(before.HeapInuse+before.StackInuse); grown > 32<<20 {
				t.Errorf("%d bytes", grown)
			}
			if n := strings.Count(log.String(), "to make room for others"); n != 1 {
				t.Errorf("the log says so %d times", n)
			}
		})
	}
}

// pipes is a listener without sockets.
type pipes struct {
	conns chan net.Conn
	errs  chan error
	done  chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case err := <-p.errs:
		return nil, err
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p pipes) Close() error   { close(p.done); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// inBubble is a house that listens without sockets, where time is made up.
func inBubble(t *testing.T, log *logtest.Log, do func(t *testing.T, p pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := pipes{make(chan net.Conn), make(chan error), make(chan struct{})}
		g := gate.New(gate.Config{Log: log.Logger(slog.LevelWarn)})
		server := g.Server(house{1 << 20})
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = server.Serve(g.Listen(p))
		}()
		do(t, p)
		_ = server.Close()
		<-done
		time.Sleep(time.Second) // net/http's own
	})
}

// ask sends a request and reads the answer to its end.
func ask(conn net.Conn, in *bufio.Reader, head string) (answered, error) {
	if _, err := io.WriteString(conn, head); err != nil {
		return answered{}, err
	}
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		return answered{}, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return answered{res.StatusCode, res.Close, string(text)}, err
}

// answered is what a house said.
type answered struct {
	status int
	closes bool
	text   string
}

// TestStranger: a connection on which nothing was proven is told to go, and ends after
// 30 s at most; one on which something was goes on.
func TestStranger(t *testing.T) {
	for word, want := range map[string]bool{"wrong": false, "right": true} {
		inBubble(t, new(logtest.Log), func(t *testing.T, p pipes) {
			ours, theirs := net.Pipe()
			defer func() { _ = ours.Close() }()
			p.conns <- theirs
			in := bufio.NewReader(ours)
			began := time.Now()
			goes := false
			for time.Since(began) < 2*time.Minute {
				res, err := ask(ours, in, "GET / HTTP/1.1\r\nHost: x\r\nWord: "+word+"\r\n\r\n")
				if err != nil {
					break
				}
				goes = res.closes
				if word == "wrong" && goes != (time.Since(began) > 20*time.Second) {
					t.Errorf("after %s, told to go: %t", time.Since(began), goes)
				}
				time.Sleep(7 * time.Second)
			}
			if stayed := time.Since(began) >= 2*time.Minute; stayed != want || !want && !goes {
				t.Errorf("%s: over after %s, told so: %t", word, time.Since(began), goes)
			}
		})
	}
}

// TestBehindProxy: on a connection that was proven, each body has to be proven again.
func TestBehindProxy(t *testing.T) {
	inBubble(t, new(logtest.Log), func(t *testing.T, p pipes) {
		ours, theirs := net.Pipe()
		defer func() { _ = ours.Close() }()
		p.conns <- theirs
		in := bufio.NewReader(ours)
		if res, err := ask(ours, in, "GET / HTTP/1.1\r\nHost: x\r\nWord: right\r\n\r\n"); res.text != "in" {
			t.Fatal(res, err)
		}
		time.Sleep(time.Minute)
		began := time.Now()
		res, err := ask(ours, in, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx")
		if took := time.Since(began); err != nil || res.status != http.StatusRequestTimeout || took != gate.Patience {
			t.Errorf("after %s: %v", took, err)
		}
	})
}

// TestAcceptErrors: they are told once a minute.
func TestAcceptErrors(t *testing.T) {
	log := new(logtest.Log)
	inBubble(t, log, func(_ *testing.T, p pipes) {
		for range 70 {
			p.errs <- temporary{errors.New("too many open files")}
			time.Sleep(time.Second)
		}
	})
	if n := strings.Count(log.String(), "too many open files"); n != 2 {
		t.Errorf("%d lines: %s", n, log)
	}
}

type temporary struct{ error }

func (temporary) Timeout() bool   { return false }
func (temporary) Temporary() bool { return true }

// TestHTTP2: streams of HTTP/2 on a stranger's connection are within its 30 s too.
func TestHTTP2(t *testing.T) {
	certificate := httptest.NewUnstartedServer(nil)
	certificate.EnableHTTP2 = true
	certificate.StartTLS()
	t.Cleanup(certificate.Close)
	addr := open(t, gate.Config{Bytes: 100 << 10}, func(s *http.Server) {
		s.TLSConfig = &tls.Config{Certificates: certificate.TLS.Certificates, NextProtos: []string{"h2"}}
	})
	transport, ok := certificate.Client().Transport.(*http.Transport)
	if !ok {
		t.Fatal("the client has no transport of its own")
	}
	post := func(word string, size int) error { // over a connection of its own
		client := &http.Client{Transport: transport.Clone()}
		defer client.CloseIdleConnections()
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+addr, strings.NewReader(strings.Repeat("x", size)))
		r.Header.Set("Word", word)
		res, err := client.Do(r)
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }()
		text, err := io.ReadAll(res.Body)
		if err == nil && res.ProtoMajor != 2 {
			err = fmt.Errorf("%s %s", res.Proto, text)
		}
		return err
	}
	if err := post("wrong", 300<<10); err == nil {
		t.Error("a stranger could send more than strangers may")
	}
	if err := post("wrong", 10<<10); err != nil {
		t.Error(err)
	}
	// The client sends up to a window before the handler has begun, which is more than
	// strangers may where the machine is too busy to begin it.
	var err error
	if !patience.Attempts(t, "a proven client's body", func() bool { err = post("right", 300<<10); return err == nil }) {
		t.Error(err)
	}
}
