package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/page"
)

const (
	maxSubscribers = 10_000           // of one gateway; the next are refused
	maxStreams     = 2_500            // of them, those of one client
	heartbeat      = 15 * time.Second // between two signs of life; proxies end what is silent for a minute
	reconnect      = time.Second      // what subscribers are told to wait before they come back
	spreadEach     = time.Millisecond // of the time over which subscribers ask for their tokens, for each of them
	headTime       = 10 * time.Second // for a subscriber to take an answer's head
)

// tokenEvent tells how an account's token is. It has no token in it: a stream lives
// for hours, often behind proxies that keep what they pass on, and a token is handed
// out in one place, which checks the client and writes the journal.
type tokenEvent struct {
	AppID     string `json:"appid"`
	Fence     int64  `json:"fence"`
	ExpiresIn int64  `json:"expires_in"`
	Spread    int64  `json:"spread_ms"`
}

// apiEvents streams what happens to an account's token (text/event-stream): how it is
// now, and again whenever it was renewed or its life was cut.
func (p *programs) apiEvents(w *observed, r *http.Request, c caller) *refusal {
	switch {
	case p.draining.Load() || p.ctx.Err() != nil:
		return &refusal{code: codeBusy, why: "the gateway is ending", retry: time.Second}
	case p.topics.count.Add(1) > maxSubscribers:
		p.topics.count.Add(-1)
		return &refusal{code: codeBusy, why: "there are too many subscribers", retry: time.Minute}
	case !c.Listen(maxStreams):
		p.topics.count.Add(-1)
		return &refusal{
			code: codeMinute, why: "the client has too many subscribers", retry: time.Minute,
			text: "the client has too many streams of events at this gateway: 2500 are enough for any program",
		}
	}
	w.status = http.StatusOK
	s := &subscription{p: p, caller: c, topic: p.topics.of(c.account.AppID), remote: r.RemoteAddr}
	s.topic.subscribers.Add(1)
	control := http.NewResponseController(w.ResponseWriter)
	if conn, _, err := control.Hijack(); err == nil {
		// What net/http keeps of a call, its buffers and a stack of 16 KiB, is let go: an
		// idle subscriber would cost six times as much.
		own := &hijacked{Conn: conn, header: w.Header()}
		s.gone = own.gone
		p.background.Go(func() {
			defer func() { _ = conn.Close() }()
			s.run(own)
		})
		return nil
	}
	// HTTP/2, which has many streams on a connection.
	s.done = r.Context().Done()
	s.gone = func() bool { return r.Context().Err() != nil }
	s.run(w.ResponseWriter) // not w, which would give a reader more time
	_ = control.SetWriteDeadline(time.Time{})
	return nil
}

// subscription is one stream of events.
type subscription struct {
	caller

	p      *programs
	topic  *topic
	remote string
	done   <-chan struct{} // closed when the subscriber has gone; nil where nobody says so
	gone   func() bool     // looks whether he has
}

// run streams to w until one of both ends has enough.
func (s *subscription) run(w http.ResponseWriter) {
	defer s.p.topics.count.Add(-1)
	defer s.Leave()
	defer s.topic.subscribers.Add(-1)
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	stream := page.NewStream(w)
	err := stream.Retry(reconnect)
	var told tokenEvent
	var until time.Time // of what was told
	for err == nil {
		news := s.topic.Next()
		if !s.p.mayListen(s.caller) {
			return
		}
		if err = s.tell(stream, &told, &until); err != nil {
			break
		}
		select {
		case <-news:
		case <-ticker.C:
			if s.gone() {
				return
			}
			err = stream.Send("", "", nil)
		case <-s.done:
			return
		case <-s.p.ctx.Done():
			return
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.p.log.Info("a subscriber was cut off: it does not read", "client", s.Name, "appid", s.account.AppID, "remote", s.remote)
	}
}

// tell sends the state of the token if it is another one than was told.
func (s *subscription) tell(stream *page.Stream, told *tokenEvent, until *time.Time) error {
	appID := s.account.AppID
	now := s.p.accounts.find(appID).status()
	if !now.Live || now.Fence == told.Fence && time.Until(*until)-now.Left < time.Second {
		return nil
	}
	*told = tokenEvent{appID, now.Fence, int64(now.Left / time.Second), s.topic.subscribers.Load() * int64(spreadEach/time.Millisecond)}
	*until = time.Now().Add(now.Left)
	return stream.Send("token", strconv.FormatInt(now.Fence, 10), *told)
}

// hijacked is a connection of HTTP/1 that was taken from net/http: an
// [http.ResponseWriter] whose answer ends with the connection.
type hijacked struct {
	net.Conn

	header http.Header
	err    error // of WriteHeader, which returns none
}

// Header implements [http.ResponseWriter].
func (h *hijacked) Header() http.Header { return h.header }

// WriteHeader implements [http.ResponseWriter].
func (h *hijacked) WriteHeader(status int) {
	h.header.Set("Connection", "close")
	h.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = h.header.Write(&b) // a buffer takes all
	b.WriteString("\r\n")
	h.header = nil
	_ = h.SetWriteDeadline(time.Now().Add(headTime))
	_, h.err = h.Write(b.Bytes())
}

// Write implements [http.ResponseWriter].
func (h *hijacked) Write(p []byte) (int, error) {
	if h.err != nil {
		return 0, h.err
	}
	return h.Conn.Write(p)
}

// FlushError is for [http.ResponseController]: nothing is kept back.
func (h *hijacked) FlushError() error { return nil }

// gone looks whether the other end has closed the connection. It has nothing to say;
// what it says all the same is thrown away.
func (h *hijacked) gone() bool {
	var b [64]byte
	_ = h.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := h.Read(b[:])
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// mayListen reports whether a subscription goes on: the client still has its key and
// the account, and the gateway goes on too.
func (p *programs) mayListen(c caller) bool {
	now := p.clients.Find(c.ID())
	if now == nil || p.draining.Load() || !now.Uses(c.account.AppID) || p.accounts.find(c.account.AppID) == nil {
		return false
	}
	return now.Has(c.key, time.Now())
}
