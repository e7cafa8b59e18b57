package page

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Bell wakes all waiters. It hands over no data: a waiter looks for
// himself at what is new, so that nobody who is slow makes anything pile up. The
// zero value is ready.
type Bell struct {
	mu   sync.Mutex
	next chan struct{}
}

// Next returns a channel that is closed when the bell rings next. Take it before
// you look.
func (b *Bell) Next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.next
}

// Ring wakes everybody who took Next before.
func (b *Bell) Ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}

// Piece is a piece of a page that has changed: it takes the place of the element
// with its id, or the last place in the list In when there is none yet.
type Piece struct {
	ID   string `json:"id"`
	In   string `json:"in,omitempty"`
	HTML string `json:"html"`
}

// writeTime is how long a browser may take to read what it is sent; then it is cut
// off, and comes back by itself.
const writeTime = 10 * time.Second

// Stream sends events to one browser (text/event-stream).
type Stream struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

// NewStream begins the answer.
func NewStream(w http.ResponseWriter) *Stream {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("X-Accel-Buffering", "no") // a proxy shall pass on at once
	w.WriteHeader(http.StatusOK)
	return &Stream{w, http.NewResponseController(w)}
}

// Retry tells the reader how long to wait before it comes back after an interruption.
func (s *Stream) Retry(wait time.Duration) error {
	return s.write(fmt.Appendf(nil, "retry: %d\n\n", wait.Milliseconds()))
}

// Send sends one event. The id is what the browser names, as Last-Event-ID, when it
// comes back after an interruption. The error is that of a browser which is gone or
// does not read.
func (s *Stream) Send(event, id string, data any) error {
	var b bytes.Buffer
	if event != "" {
		fmt.Fprintf(&b, "event: %s\nid: %s\ndata: ", event, id)
		if err := json.NewEncoder(&b).Encode(data); err != nil { // one line
			return err
		}
	} else {
		b.WriteString(":\n") // a comment: it only shows that both ends are there
	}
	b.WriteByte('\n')
	return s.write(b.Bytes())
}

func (s *Stream) write(text []byte) error {
	_ = s.rc.SetWriteDeadline(time.Now().Add(writeTime)) // what cannot do that cannot hang
	if _, err := s.w.Write(text); err != nil {
		return err
	}
	return s.rc.Flush()
}
