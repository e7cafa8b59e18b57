package gate

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Patience is what strangers have to bring their requests, and how long a proven
	// body may bring less than paceBytes.
	Patience = 30 * time.Second

	paceBytes = 32 << 10
	lastCall  = 20 * time.Second // after which a stranger's connection ends with its next answer
)

// Visit is one request. The zero value is ready, and good for one.
type Visit struct {
	conn    *conn // nil behind a listener that is not a Gate's
	control *http.ResponseController
	guest   *Guest      // of a request that has to be proven on a connection that is
	closing http.Header // of the answer, where it ends the connection for being a stranger's so long

	entered      bool
	proven, over atomic.Bool
	got          atomic.Int64 // since the deadline was set

	mu   sync.Mutex // guards what follows
	left bool
}

// Enter begins a request whose body may have most bytes. It reports whether what the
// request says of its length fits; where it does not, nothing may be read, and the
// connection ends with the answer. It returns a copy of r where there is a body:
// net/http looks at its own request for a body that waits for "100 Continue", and would
// wait for it too. The caller calls Leave at the end.
func (v *Visit) Enter(w http.ResponseWriter, r *http.Request, most int64) (in *http.Request, fits bool) {
	v.entered = true
	v.conn, _ = r.Context().Value(connKey{}).(*conn)
	var hard time.Time
	if v.conn != nil {
		hard = v.conn.begin()
	}
	now := time.Now()
	if !hard.IsZero() && hard.Sub(now) < Patience-lastCall {
		v.closing = w.Header()
		v.closing.Set("Connection", "close")
	}
	switch {
	case r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody:
		v.arrived()
		return r, true
	case r.ContentLength > most:
		w.Header().Set("Connection", "close")
		return r, false
	}
	v.control = http.NewResponseController(w)
	if hard.IsZero() {
		hard = now.Add(Patience)
		if v.conn != nil {
			v.guest = v.conn.room.Enter(v.conn.addr(), v.turnOut)
		}
	}
	if v.control.SetReadDeadline(hard) != nil {
		v.control = nil // a test's writer has none
	}
	copied := *r
	copied.Body = &body{r.Body, v}
	return &copied, true
}

// Prove says that it is known whose request this is.
func (v *Visit) Prove() {
	if !v.entered || v.proven.Swap(true) {
		return
	}
	if v.guest != nil {
		v.guest.Exit()
	}
	if v.conn != nil {
		v.conn.prove()
	}
	if v.closing != nil {
		v.closing.Del("Connection")
	}
	if v.control != nil && !v.over.Load() {
		_ = v.control.SetReadDeadline(time.Now().Add(Patience))
	}
}

// Leave ends the request.
func (v *Visit) Leave() {
	if !v.entered {
		return
	}
	v.entered = false
	if v.guest != nil {
		v.guest.Exit()
		v.mu.Lock()
		v.left = true
		v.mu.Unlock()
	}
	if v.conn != nil {
		v.conn.end(v.over.Load())
	}
}

// turnOut ends the reading of a body that has no place any more.
func (v *Visit) turnOut() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.left && v.control != nil { // else the connection is at its next request
		_ = v.control.SetReadDeadline(time.Now())
	}
}

// arrived says that nothing more of the request comes.
func (v *Visit) arrived() {
	if !v.over.Swap(true) && v.conn != nil {
		v.conn.arrived()
	}
}

// body is a request's, read in time.
type body struct {
	io.ReadCloser

	v *Visit
}

// Read implements [io.Reader]. After the last byte the deadline is taken off again: the
// server watches the connection for a caller who leaves, and would take its end for
// that.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	v := b.v
	switch {
	case err == io.EOF:
		if v.control != nil {
			_ = v.control.SetReadDeadline(time.Time{})
		}
		v.arrived()
	case v.proven.Load():
		if v.got.Add(int64(n)) >= paceBytes && v.control != nil {
			v.got.Store(0)
			_ = v.control.SetReadDeadline(time.Now().Add(Patience))
		}
	case v.guest != nil && n > 0:
		v.guest.Took(n)
	}
	return n, err
}
