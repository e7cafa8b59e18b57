package journal_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/gateway/journal"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

var quiet = slog.New(slog.DiscardHandler)

// TestShares: an actor whose lines all differ has its share of a minute, and the journal
// says how many were dropped; nobody else's are.
func TestShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := memory.New()
		j := journal.New(ledger, quiet)
		go j.Run(t.Context())
		for i := range 1500 {
			if err := j.Note(t.Context(), store.Use{Actor: "client noisy", Act: "hand out token", Subject: fmt.Sprintf("wx%d", i)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := j.Note(t.Context(), store.Use{Actor: "client shop", Act: "hand out token", Subject: "wx1"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		uses, err := ledger.Uses(t.Context(), 10_000)
		lines, told, others := 0, "", 0
		for _, use := range uses {
			switch {
			case use.Act == "drop lines":
				told = use.Detail
			case use.Actor == "client noisy":
				lines++
			default:
				others++
			}
		}
		if err != nil || lines != 1000 || others != 1 || !strings.HasPrefix(told, "500 lines dropped") {
			t.Errorf("%d lines, %d of others, %q (%v)", lines, others, told, err)
		}
	})
}

// TestNumbers: the lines of a gateway are numbered, in the store and in its sinks, so
// that a missing one leaves a gap.
func TestNumbers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	sink, err := journal.File(path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	ledger := memory.New()
	j := journal.New(ledger, quiet, sink)
	long := strings.Repeat("中", store.MaxUseDetail)
	for i, detail := range []string{"", "grace 1h", long} {
		if err := j.Must(t.Context(), store.Use{Actor: "admin x", Act: "act", Subject: fmt.Sprint(i), Detail: detail}); err != nil {
			t.Fatal(err)
		}
	}
	j.Close()
	uses, err := ledger.Uses(t.Context(), 10)
	if err != nil || len(uses) != 3 {
		t.Fatal(uses, err)
	}
	var name string
	for i, use := range uses {
		at := strings.LastIndex(use.Detail, "#")
		var n int
		if _, err := fmt.Sscanf(use.Detail[at:], "#%d of %s", &n, &name); err != nil || n != 3-i {
			t.Errorf("line %d: %q (%v)", i, use.Detail[max(0, at-10):], err)
		}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range strings.Split(strings.TrimSpace(string(content)), "\n") {
		var l journal.Line
		if err := json.Unmarshal([]byte(text), &l); err != nil || l.Number != uint64(i+1) || l.Gateway != name || l.Actor != "admin x" {
			t.Errorf("line %d of the file: %.200s (%v)", i, text, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the file is %v (%v)", info.Mode(), err)
	}
}

// TestSyslog: each line is a message of RFC 5424.
func TestSyslog(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			var address string
			var read func() (string, error)
			if network == "udp" {
				conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = conn.Close() }()
				address = conn.LocalAddr().String()
				read = func() (string, error) {
					b := make([]byte, 4096)
					n, _, err := conn.ReadFrom(b)
					return string(b[:n]), err
				}
			} else {
				l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = l.Close() }()
				address = l.Addr().String()
				read = func() (string, error) {
					conn, err := l.Accept()
					if err != nil {
						return "", err
					}
					defer func() { _ = conn.Close() }()
					in := bufio.NewReader(conn)
					var n int
					if _, err := fmt.Fscanf(in, "%d ", &n); err != nil {
						return "", err
					}
					b := make([]byte, n)
					_, err = io.ReadFull(in, b)
					return string(b), err
				}
			}
			sink, err := journal.Syslog(network+"://"+address, quiet)
			if err != nil {
				t.Fatal(err)
			}
			j := journal.New(memory.New(), quiet, sink)
			if err := j.Must(t.Context(), store.Use{Actor: "client shop", Act: "hand out token", Subject: "wx1"}); err != nil {
				t.Fatal(err)
			}
			text, err := read()
			j.Close()
			if err != nil || !strings.HasPrefix(text, "<133>1 2") || !strings.Contains(text, " journal - {") || !strings.HasSuffix(text, `"subject":"wx1"}`) {
				t.Errorf("%q (%v)", text, err)
			}
		})
	}
}

// TestSlowSink: a sink that takes nothing keeps nobody waiting, costs a bounded memory,
// and is given the number of the lines that it lost.
func TestSlowSink(t *testing.T) {
	const secret = "made-up-secret"
	var stuck atomic.Bool
	stuck.Store(true)
	got := make(chan string, 1000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if stuck.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		got <- string(body)
	}))
	defer server.Close()
	log := new(logtest.Log)
	sink, err := journal.Webhook(server.URL+"/?key="+secret, log.Logger(slog.LevelWarn))
	if err != nil {
		t.Fatal(err)
	}
	j := journal.New(memory.New(), quiet, sink)
	defer j.Close()
	note := func() {
		t.Helper()
		if err := j.Must(t.Context(), store.Use{Actor: "admin x", Act: "act"}); err != nil {
			t.Fatal(err)
		}
	}
	for range 5000 {
		note()
	}
	patience.Until(t, "the log to tell", func() bool { return strings.Contains(log.String(), "lines are dropped") })
	stuck.Store(false)
	patience.Until(t, "a line that says how many were lost", func() bool {
		note()
		select {
		case text := <-got:
			return strings.Contains(text, "lines dropped before this one")
		default:
			return false
		}
	})
	if strings.Contains(log.String(), secret) {
		t.Error("the log shows the webhook's secret")
	}
}

// TestSinkMistakes: an address that cannot be is an error, which shows no secret.
func TestSinkMistakes(t *testing.T) {
	for address, open := range map[string]func(string, *slog.Logger) (*journal.Sink, error){
		"http://192.0.2.1/?made-up": journal.Webhook, "made-up": journal.Webhook, "https://": journal.Webhook,
		"udp://host": journal.Syslog, "http://host:514": journal.Syslog, "/dev/log": journal.Syslog, "unix://x/y": journal.Syslog,
		"/nowhere/at/all": journal.File,
	} {
		if _, err := open(address, quiet); err == nil || strings.Contains(err.Error(), "made-up") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestSyslogEnds: what was sent on a connection that the server has ended is sent again,
// so that no line is lost uncounted.
func TestSyslogEnds(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	var mu sync.Mutex
	got := map[string]bool{}
	has := func(subject string) bool {
		mu.Lock()
		defer mu.Unlock()
		return got[subject]
	}
	go func() {
		for first := true; ; first = false { // of the first connection one line is read
			conn, err := l.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(conn)
			for {
				var n int
				if _, err := fmt.Fscanf(in, "%d ", &n); err != nil {
					break
				}
				b := make([]byte, n)
				_, _ = io.ReadFull(in, b)
				_, subject, _ := strings.Cut(string(b), `"subject":"`)
				mu.Lock()
				got[strings.TrimSuffix(subject, `"}`)] = true
				mu.Unlock()
				if first {
					break
				}
			}
			_ = conn.Close()
		}
	}()
	sink, err := journal.Syslog("tcp://"+l.Addr().String(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	j := journal.New(memory.New(), quiet, sink)
	defer j.Close()
	noted := 0
	note := func() {
		t.Helper()
		if err := j.Must(t.Context(), store.Use{Actor: "client shop", Act: "act", Subject: fmt.Sprint(noted)}); err != nil {
			t.Fatal(err)
		}
		noted++
	}
	note()
	patience.Until(t, "the server to have read a line", func() bool { return has("0") })
	patience.Until(t, "lines to come again", func() bool {
		note()
		return has(fmt.Sprint(noted - 2))
	})
	for i := range noted - 1 {
		if !has(fmt.Sprint(i)) {
			t.Errorf("line %d of %d is lost", i, noted)
		}
	}
}

// TestStuckSyslog: a server that takes the connection and reads nothing keeps no gateway
// from its end, and the log tells how many lines were lost.
func TestStuckSyslog(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	log := new(logtest.Log)
	sink, err := journal.Syslog("tcp://"+l.Addr().String(), log.Logger(slog.LevelWarn))
	if err != nil {
		t.Fatal(err)
	}
	j := journal.New(memory.New(), quiet, sink)
	detail := strings.Repeat("x", 3000)
	patience.Until(t, "the queue to be full", func() bool {
		for range 500 {
			if err := j.Must(t.Context(), store.Use{Actor: "client shop", Act: "act", Detail: detail}); err != nil {
				t.Fatal(err)
			}
		}
		return strings.Contains(log.String(), "lines are dropped")
	})
	j.Close()
	if text := log.String(); !strings.Contains(text, "a sink ends without lines") || strings.Contains(text, "does not end") {
		t.Error(text)
	}
}
