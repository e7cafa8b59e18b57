package gate

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// conn is a connection on its way from stranger to peer. Deadlines for reading that
// others set are never later than its own while it is a stranger's.
type conn struct {
	net.Conn

	proven   atomic.Bool
	guest    *Guest // of the room, until then
	room     *Room  // also for requests that come later, and have to be proven again
	listened bool   // Read was called

	mu     sync.Mutex // guards what follows
	wanted time.Time  // the deadline that net/http has set
	hard   time.Time  // ours; zero once it is proven
	inside int        // requests under way
	served int        // of them, those that have arrived: their time is ours, not the peer's
}

func newConn(c net.Conn, room *Room) *conn {
	in := &conn{Conn: c, room: room, hard: time.Now().Add(Patience)}
	in.guest = room.Enter(in.addr(), func() { _ = c.Close() })
	in.mu.Lock()
	defer in.mu.Unlock()
	_ = in.apply()
	return in
}

func (c *conn) addr() netip.Addr {
	if remote := c.RemoteAddr(); remote != nil {
		return Address(remote.String())
	}
	return netip.Addr{}
}

// Read implements [net.Conn].
func (c *conn) Read(p []byte) (int, error) {
	if !c.listened {
		c.listened = true
		c.guest.Listen()
	}
	n, err := c.Conn.Read(p)
	if n > 0 && !c.proven.Load() {
		c.guest.Took(n)
	}
	return n, err
}

// Close implements [net.Conn].
func (c *conn) Close() error {
	c.guest.Exit()
	return c.Conn.Close()
}

// CloseWrite is what net/http ends an answer with when more of the request may come.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// SetDeadline implements [net.Conn].
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements [net.Conn].
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = t
	return c.apply()
}

// apply sets the nearer of both deadlines. The mutex is held.
func (c *conn) apply() error {
	t := c.wanted
	if !c.hard.IsZero() && c.served == 0 && (t.IsZero() || c.hard.Before(t)) {
		t = c.hard
	}
	return c.Conn.SetReadDeadline(t)
}

// prove makes it a peer's, for good.
func (c *conn) prove() {
	if c.proven.Swap(true) {
		return
	}
	c.guest.Exit()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hard = time.Time{}
	_ = c.apply()
}

// begin counts a request, and returns until when its body may be read; zero where only
// the request itself has to be proven.
func (c *conn) begin() (hard time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inside++
	return c.hard
}

// arrived counts a request of which all has been read.
func (c *conn) arrived() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.served++; c.served > 1 || c.hard.IsZero() {
		return
	}
	c.guest.Busy(1, false)
	_ = c.apply()
}

// end counts a request that was answered.
func (c *conn) end(arrived bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inside--
	if arrived {
		c.served--
	}
	if c.hard.IsZero() {
		return
	}
	less := 0
	if arrived && c.served == 0 {
		less = -1
	}
	c.guest.Busy(less, c.inside == 0)
	_ = c.apply()
}

// connKey is where the requests of a connection find it.
type connKey struct{}

func connContext(ctx context.Context, c net.Conn) context.Context {
	if over, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		c = over.NetConn()
	}
	if in, ok := c.(*conn); ok {
		return context.WithValue(ctx, connKey{}, in)
	}
	return ctx
}
