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
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/named"
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
		s.log.Warn("a sink does not take the journal: lines are dropped, which the store has", "log_code", "gateway_journal_sink", "sink", s.kind, "dropped", s.dropped, "error", why)
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
			told := fmt.Sprintf("%d lines dropped before this one", lost)
			lines = append([]Line{{At: time.Now().UTC(), Gateway: l.Gateway, Act: "drop lines", Detail: told}}, lines...)
		}
		err := ctx.Err() // the gateway has ended, and the sink had its time
		if err == nil {
			limited, cancel := context.WithTimeout(ctx, sinkTime)
			err = s.write(limited, lines)
			cancel()
		}
		if err != nil {
			s.lose(len(own), err)
			continue
		}
		s.mu.Lock()
		s.dropped -= lost
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped > 0 { // what was said a moment ago is not the whole of it any more
		s.log.Warn("a sink ends without lines of the journal that were dropped, which the store has", "log_code", "gateway_journal_sink_ended", "sink", s.kind, "dropped", s.dropped)
	}
}

// Close waits for a moment, so that the last lines are taken; the log tells how many were
// not. Whoever gave the sink to [New] leaves it to the journal.
func (s *Sink) Close() {
	s.once.Do(func() {
		close(s.lines)
		ended := func(within time.Duration) bool {
			timer := time.NewTimer(within)
			defer timer.Stop()
			select {
			case <-s.done:
				return true
			case <-timer.C:
				return false
			}
		}
		late := !ended(lastTime)
		s.stop()
		if late && !ended(lastTime) { // a file on a disk that does not answer: nothing can end that
			s.log.Warn("a sink of the journal does not end: the lines that it was given last may be lost, which the store has",
				"log_code", "gateway_journal_sink_stuck", "sink", s.kind)
		}
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
		return nil, named.Errorf("journal", "%w", err)
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
// unix:///dev/log. TCP has no receipts: when the server has ended a connection, what was
// sent last on it is sent once more, and may be there twice, with the same number.
func Syslog(address string, log *slog.Logger) (*Sink, error) {
	network, where, err := syslogAddress(address)
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "-"
	}
	s := &syslog{network: network, where: where, host: host}
	return newSink("syslog", log, s.write, s.end), nil
}

// CheckSyslog says what is wrong with the address of a [Syslog].
func CheckSyslog(address string) error {
	_, _, err := syslogAddress(address)
	return err
}

func syslogAddress(address string) (network, where string, err error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return "", "", named.Errorf("journal", "the address of syslog is no URL")
	case u.Scheme == "unix" && u.Path != "" && u.Host == "":
		return "unixgram", u.Path, nil
	case (u.Scheme == "udp" || u.Scheme == "tcp") && u.Port() != "" && u.Path == "":
		return u.Scheme, u.Host, nil
	}
	return "", "", named.Errorf("journal", "%s is no address of syslog such as udp://host:514, tcp://host:601 or unix:///dev/log", shape.Show(address))
}

// syslog is a connection to a server.
type syslog struct {
	network, where, host string

	conn net.Conn
	gone chan struct{} // closed when the server has ended conn; nil where it cannot
	last []sentLine    // a moment ago, and perhaps not read
}

type sentLine struct {
	at   time.Time // first
	line Line
}

func (s *syslog) end() {
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
}

// write sends lines, over a new connection where the one at hand has ended: a write to it
// would succeed, and the lines be lost.
func (s *syslog) write(ctx context.Context, lines []Line) error {
	select {
	case <-s.gone:
		s.end()
		s.gone = nil
	default:
	}
	if s.conn != nil {
		err := s.send(ctx, lines)
		if err == nil {
			s.sent(lines)
		}
		if err == nil || s.network != "tcp" || ctx.Err() != nil {
			return err
		}
	}
	if err := s.dial(ctx); err != nil {
		return err
	}
	s.sent(nil)
	again := make([]Line, 0, len(s.last)+len(lines))
	for _, l := range s.last {
		again = append(again, l.line)
	}
	if err := s.send(ctx, append(again, lines...)); err != nil {
		return err
	}
	s.sent(lines)
	return nil
}

// sent remembers lines for a moment, in which it would come out that the connection had
// ended before they were read.
func (s *syslog) sent(lines []Line) {
	if s.network != "tcp" {
		return
	}
	now := time.Now()
	s.last = slices.DeleteFunc(s.last, func(l sentLine) bool { return now.Sub(l.at) > sinkTime })
	for _, l := range lines {
		s.last = append(s.last, sentLine{now, l})
	}
	s.last = slices.Clone(s.last[max(0, len(s.last)-batch):])
}

func (s *syslog) dial(ctx context.Context) (err error) {
	if s.conn, err = new(net.Dialer).DialContext(ctx, s.network, s.where); err != nil {
		s.conn = nil
		return err
	}
	if s.network == "tcp" {
		conn, gone := s.conn, make(chan struct{})
		s.gone = gone
		go func() {
			defer close(gone)
			_, _ = io.Copy(io.Discard, conn) // servers say nothing, so this ends with the connection
		}()
	}
	return nil
}

func (s *syslog) send(ctx context.Context, lines []Line) error {
	deadline, _ := ctx.Deadline()
	conn := s.conn
	_ = conn.SetWriteDeadline(deadline)
	defer context.AfterFunc(ctx, func() { _ = conn.SetWriteDeadline(time.Unix(1, 0)) })()
	for _, l := range lines {
		// <local0.notice>1 time host app process message-id data text.
		text := fmt.Sprintf("<133>1 %s %s zhongkong %d journal - %s",
			l.At.Format("2006-01-02T15:04:05.000000Z"), s.host, os.Getpid(), bytes.TrimSpace(encode([]Line{l})))
		if s.network == "tcp" { // counted, RFC 6587
			text = fmt.Sprintf("%d %s", len(text), text)
		}
		if _, err := io.WriteString(conn, text); err != nil {
			s.end()
			return err
		}
	}
	return nil
}

// Webhook posts lines to an address, as application/x-ndjson. What answers 2xx has taken
// them. No error shows the address, which may hold a secret.
func Webhook(address string, log *slog.Logger) (*Sink, error) {
	if err := CheckWebhook(address); err != nil {
		return nil, err
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

// CheckWebhook says what is wrong with the address of a [Webhook], without showing it.
func CheckWebhook(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return named.Errorf("journal", "the webhook has to begin with https:// or http:// and a host")
	case u.Scheme == "http" && !shape.Loopback(u.Hostname()):
		return named.Errorf("journal", "the webhook begins with http://, and the journal would travel in the clear: use https")
	}
	return nil
}

// CheckFile says why lines could not be appended to a file. It makes none.
func CheckFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if info, err = os.Stat(filepath.Dir(path)); err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is no folder", filepath.Dir(path))
		}
	case err == nil && info.IsDir():
		err = fmt.Errorf("%s is a folder", path)
	case err == nil:
		var f *os.File
		if f, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0); err == nil { //nolint:gosec // whoever configures the gateway names it
			err = f.Close()
		}
	}
	if err != nil {
		return named.Errorf("journal", "%w", err)
	}
	return nil
}
