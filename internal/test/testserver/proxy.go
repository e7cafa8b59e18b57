package testserver

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy stands between a client and a server, and spoils what passes.
type Proxy struct {
	Addr string // 127.0.0.1:port

	listener net.Listener
	target   string
	work     sync.WaitGroup

	mu     sync.Mutex // guards what follows
	mode   mode
	change chan struct{} // closed when mode changes
	conns  map[net.Conn]struct{}
	closed bool
	trips  int
	made   int               // ends of connections
	held   int               // how many wait for the network to come back
	spare  int               // answers that a deaf proxy still lets pass
	asked  map[net.Conn]bool // a request passed since the last answer
}

type mode int

const (
	open   mode = iota
	frozen      // nothing passes, and nobody is told
	deaf        // requests pass, answers do not
	cut         // connections are broken off and refused
)

// NewProxy leads to addr until the test ends.
func NewProxy(tb testing.TB, addr string) *Proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{
		Addr: l.Addr().String(), listener: l, target: addr,
		change: make(chan struct{}), conns: map[net.Conn]struct{}{}, asked: map[net.Conn]bool{},
	}
	p.work.Go(p.accept)
	tb.Cleanup(p.close)
	return p
}

// Freeze lets nothing pass, like a network that swallows packets.
func (p *Proxy) Freeze() { p.set(frozen) }

// LoseAnswers lets requests pass, and only so many answers more.
func (p *Proxy) LoseAnswers(after int) {
	p.mu.Lock()
	p.spare = after
	p.mu.Unlock()
	p.set(deaf)
}

// Cut breaks all connections and refuses new ones.
func (p *Proxy) Cut() { p.set(cut) }

// Heal lets everything pass. What was under way is broken off: a network that
// comes back does not know it either.
func (p *Proxy) Heal() {
	p.set(cut)
	p.set(open)
}

// Drop breaks all connections, once.
func (p *Proxy) Drop() { p.Heal() }

// Held counts the connections whose bytes a frozen network holds back.
func (p *Proxy) Held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}

// Connections counts the connections that were made and those that are open.
func (p *Proxy) Connections() (made, open int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.made / 2, len(p.conns) / 2 // each has two ends
}

// Trips counts how often an answer followed a request: round trips.
func (p *Proxy) Trips() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trips
}

func (p *Proxy) set(m mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = m
	close(p.change)
	p.change = make(chan struct{})
	if m == cut {
		for conn := range p.conns {
			_ = conn.Close()
		}
	}
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.set(cut)
	p.work.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		if !p.add(client) {
			_ = client.Close()
			continue
		}
		p.work.Go(func() { p.serve(client) })
	}
}

// add counts a connection in, unless there may be none.
func (p *Proxy) add(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.mode == cut {
		return false
	}
	p.made++
	p.conns[conn] = struct{}{}
	return true
}

func (p *Proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil || !p.add(server) {
		_ = client.Close()
		if err == nil {
			_ = server.Close()
		}
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.pass(server, client, client, true) })
	both.Go(func() { p.pass(client, server, client, false) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, client)
	delete(p.conns, server)
	delete(p.asked, client)
	p.mu.Unlock()
}

// pass copies what from says to to. Of a pair, client stands for both.
func (p *Proxy) pass(to, from, client net.Conn, request bool) {
	defer func() { _ = to.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if !p.wait(client, request) {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				_ = from.Close()
			}
			return
		}
	}
}

// wait returns when bytes may pass, and counts them; false: they are lost.
func (p *Proxy) wait(client net.Conn, request bool) bool {
	for {
		p.mu.Lock()
		answer := !request && p.asked[client] // the first bytes of one
		pass := p.mode == open || p.mode == deaf && (request || !answer || p.spare > 0)
		if pass && answer {
			p.trips++
			p.spare--
		}
		if pass {
			p.asked[client] = request
		}
		lost, change := p.closed || p.mode == cut, p.change
		if !lost && !pass {
			p.held++
		}
		p.mu.Unlock()
		switch {
		case lost:
			return false
		case pass:
			return true
		}
		<-change
		p.mu.Lock()
		p.held--
		p.mu.Unlock()
	}
}

// Quiet waits until nothing has passed for a moment. It reports whether
// something did meanwhile, for callers that repeat it until not.
func (p *Proxy) Quiet(tb testing.TB) bool {
	tb.Helper()
	before := p.Trips()
	time.Sleep(20 * time.Millisecond)
	return p.Trips() != before
}
