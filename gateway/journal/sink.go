package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/shape"
)

const (
	queue    = 1024             // lines that wait for a sink; more are dropped, and counted
	batch    = 256              // lines that are handed over at once
	sinkTime = 5 * time.Second  // for a sink to take them
	lastTime = 2 * time.Second  // for its last ones, when the gateway ends
	sayEvery = time.Minute      // between two lines of the log about a sink
	idleSink = 30 * time.Second // of a webhook's connection
)

// Line is what a sink gets: JSON, one a line.
type Line struct {
	At      time.Time `json:"at"`
	Gateway string    `json:"gateway"` // a name that each gateway makes up when it starts
	Number  uint64    `json:"number"`  // of its lines, from 1: a gap shows what is missing
	Actor   string    `json:"actor,omitempty"`
	Act     string    `json:"act"`
	Subject string    `json:"subject,omitempty"`
	Detail  string    `json:"detail,omitempty"`
}

// Sink is a place outside the store where the journal goes too. It never keeps anybody
// waiting: what it does not take in time is dropped, and it is given the number.
type Sink struct {
	kind  string
	write func(ctx context.Context, lines []Line) error
	end   func()
	log   *slog.Logger

	lines chan Line
	done  chan struct{} // closed at the end of the goroutine
	stop  context.CancelFunc
	once  sync.Once

	mu      sync.Mutex // guards what follows
	dropped int
	said    time.Time
}

func newSink(kind string, log *slog.Logger, write func(context.Context, []Line) error, end func()) *Sink {
	ctx, stop := context.WithCancel(context.Background())
	s := &Sink{kind: kind, write: write, end: end, log: log, lines: make(chan Line, queue), done: make(chan struct{}), stop: stop}
	go s.run(ctx)
	return s
}

// put gives the sink a line, or drops it.
func (s *Sink) put(l Line) {
	select {
	case s.lines <- l:
	default:
		s.lose(1, errors.New("it is too slow"))
	}
}

// lose counts lines that the sink does not get, and says so once a minute.
func (s *Sink) lose(n int, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped += n
	if time.Since(s.said) >= sayEvery {
		s.said = time.Now()
		s.log.Warn("a sink does not take the journal: lines are dropped, which the store has", "sink", s.kind, "dropped", s.dropped, "error", why)
	}
}

// run hands lines over until the sink is closed, and then what is left.
func (s *Sink) run(ctx context.Context) {
	defer close(s.done)
	defer s.end()
	for l := range s.lines {
		lines := []Line{l}
		for len(lines) < batch && len(s.lines) > 0 {
			lines = append(lines, <-s.lines)
		}
		own := lines
		s.mu.Lock()
		lost := s.dropped
		s.mu.Unlock()
		if lost > 0 {
			lines = append([]Line{{At: time.Now().UTC(), Gateway: l.Gateway, Act: "drop lines", Detail: fmt.Sprintf("%d lines dropped before this one", lost)}}, lines...)
		}
		limited, cancel := context.WithTimeout(ctx, sinkTime)
		err := s.write(limited, lines)
		cancel()
		if err != nil {
			s.lose(len(own), err)
			continue
		}
		s.mu.Lock()
		s.dropped -= lost
		s.mu.Unlock()
	}
}

// close waits for a moment, so that the last lines are taken. put may not be called any
// more.
func (s *Sink) close() {
	s.once.Do(func() {
		close(s.lines)
		late := time.AfterFunc(lastTime, s.stop)
		<-s.done
		late.Stop()
		s.stop()
	})
}

func encode(lines []Line) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, l := range lines {
		_ = e.Encode(l) // texts and numbers
	}
	return b.Bytes()
}

// File appends to a file, which is made for its owner alone. One that somebody moves
// away is opened anew.
func File(path string, log *slog.Logger) (*Sink, error) {
	open := func() (*os.File, error) {
		return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600) //nolint:gosec // whoever configures the gateway names it
	}
	f, err := open()
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	write := func(_ context.Context, lines []Line) error {
		there, err := os.Stat(path)
		own, ownErr := f.Stat()
		if err != nil || ownErr != nil || !os.SameFile(there, own) {
			next, err := open()
			if err != nil {
				return err
			}
			_ = f.Close()
			f = next
		}
		_, err = f.Write(encode(lines))
		return err
	}
	return newSink("file", log, write, func() { _ = f.Close() }), nil
}

// Syslog sends to a server of syslog (RFC 5424): udp://host:514, tcp://host:601 or
// unix:///dev/log.
func Syslog(address string, log *slog.Logger) (*Sink, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("journal: the address of syslog is no URL")
	}
	network, where := u.Scheme, u.Host
	switch {
	case network == "unix" && u.Path != "" && u.Host == "":
		network, where = "unixgram", u.Path
	case (network == "udp" || network == "tcp") && u.Port() != "" && u.Path == "":
	default:
		return nil, fmt.Errorf("journal: %s is no address of syslog such as udp://host:514, tcp://host:601 or unix:///dev/log", shape.Show(address))
	}
	host, err := os.Hostname()
	if err != nil {
		host = "-"
	}
	var conn net.Conn
	end := func() {
		if conn != nil {
			_ = conn.Close()
			conn = nil
		}
	}
	write := func(ctx context.Context, lines []Line) error {
		if conn == nil {
			if conn, err = new(net.Dialer).DialContext(ctx, network, where); err != nil {
				conn = nil
				return err
			}
		}
		deadline, _ := ctx.Deadline()
		_ = conn.SetWriteDeadline(deadline)
		for _, l := range lines {
			// <local0.notice>1 time host app process message-id data text.
			text := fmt.Sprintf("<133>1 %s %s zhongkong %d journal - %s",
				l.At.Format("2006-01-02T15:04:05.000000Z"), host, os.Getpid(), bytes.TrimSpace(encode([]Line{l})))
			if network == "tcp" { // counted, RFC 6587
				text = fmt.Sprintf("%d %s", len(text), text)
			}
			if _, err := io.WriteString(conn, text); err != nil {
				end()
				return err
			}
		}
		return nil
	}
	return newSink("syslog", log, write, end), nil
}

// Webhook posts lines to an address, as application/x-ndjson. What answers 2xx has taken
// them. No error shows the address, which may hold a secret.
func Webhook(address string, log *slog.Logger) (*Sink, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return nil, errors.New("journal: the webhook has to begin with https:// or http:// and a host")
	case u.Scheme == "http" && !shape.Loopback(u.Hostname()):
		return nil, errors.New("journal: the webhook begins with http://, and the journal would travel in the clear: use https")
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, IdleConnTimeout: idleSink, ForceAttemptHTTP2: true}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	write := func(ctx context.Context, lines []Line) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(encode(lines)))
		if err != nil {
			return errors.New("the address cannot be used")
		}
		r.Header.Set("Content-Type", "application/x-ndjson")
		resp, err := client.Do(r)
		if err != nil {
			if cause, ok := errors.AsType[*url.Error](err); ok {
				err = cause.Err
			}
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
		if resp.StatusCode < 200 || resp.StatusCode > 299 {
			return fmt.Errorf("it answered %d", resp.StatusCode)
		}
		return nil
	}
	return newSink("webhook", log, write, transport.CloseIdleConnections), nil
}
