package gate

import (
	"net/netip"
	"sync"
	"time"
)

// Room is what strangers share: so many places, and so many bytes that came from them
// and were not dealt with yet. A newcomer always gets in. When it is full somebody else
// has to leave: of the address that holds most, the one that has been idle the longest.
// It is safe for concurrent use.
type Room struct {
	places int
	bytes  int64
	full   func(netip.Addr) // is told whose guest had to leave; may be nil

	mu     sync.Mutex // guards what follows
	guests map[*Guest]struct{}
	shares map[netip.Addr]*share
	held   int64
}

// share is what the guests of one address hold.
type share struct {
	guests int
	bytes  int64
}

// Guest has a place in a Room.
type Guest struct {
	room  *Room
	addr  netip.Addr
	leave func()

	// The room's mutex guards what follows.
	last  time.Time // that it gave a sign of life
	busy  int       // its requests that have arrived, and wait for us
	bytes int64
}

// NewRoom returns a room of so many places and bytes.
func NewRoom(places int, bytes int64, full func(netip.Addr)) *Room {
	return &Room{places: places, bytes: bytes, full: full, guests: map[*Guest]struct{}{}, shares: map[netip.Addr]*share{}}
}

// Enter gives a place to somebody from addr. leave is called, from any goroutine, when
// the guest has to go; it must not block.
func (r *Room) Enter(addr netip.Addr, leave func()) *Guest {
	g := &Guest{room: r, addr: addr, leave: leave, last: time.Now()}
	r.mu.Lock()
	var out *Guest
	if len(r.guests) >= r.places {
		out = r.choose(func(s *share) int64 { return int64(s.guests) }, func(*Guest) bool { return true })
	}
	r.guests[g] = struct{}{}
	s := r.shares[addr]
	if s == nil {
		s = new(share)
		r.shares[addr] = s
	}
	s.guests++
	r.mu.Unlock()
	r.turnOut(out)
	return g
}

// Took counts bytes that came from the guest.
func (g *Guest) Took(n int) {
	r := g.room
	r.mu.Lock()
	g.last = time.Now()
	if _, here := r.guests[g]; !here || r.bytes == 0 {
		r.mu.Unlock()
		return
	}
	g.bytes += int64(n)
	r.shares[g.addr].bytes += int64(n)
	r.held += int64(n)
	var out *Guest
	if r.held > r.bytes {
		out = r.choose(func(s *share) int64 { return s.bytes }, func(g *Guest) bool { return g.bytes > 0 })
	}
	r.mu.Unlock()
	r.turnOut(out)
}

// Busy says that one more of the guest's requests waits for us, or one less. With none
// left, what it had sent is dealt with.
func (g *Guest) Busy(more int, dealt bool) {
	r := g.room
	r.mu.Lock()
	defer r.mu.Unlock()
	g.busy += more
	g.last = time.Now()
	if _, here := r.guests[g]; here && dealt {
		r.shares[g.addr].bytes -= g.bytes
		r.held -= g.bytes
		g.bytes = 0
	}
}

// Exit gives the place up. Doing so twice is safe.
func (g *Guest) Exit() {
	g.room.mu.Lock()
	defer g.room.mu.Unlock()
	g.room.remove(g)
}

// remove takes g off the books. The caller holds mu, as for choose.
func (r *Room) remove(g *Guest) {
	if _, here := r.guests[g]; !here {
		return
	}
	delete(r.guests, g)
	s := r.shares[g.addr]
	s.guests--
	s.bytes -= g.bytes
	r.held -= g.bytes
	if s.guests == 0 {
		delete(r.shares, g.addr)
	}
}

// choose takes out, of the address that holds most, the guest for which nobody works
// and of whom nothing was heard for the longest time.
func (r *Room) choose(holds func(*share) int64, may func(*Guest) bool) *Guest {
	most, from := int64(0), netip.Addr{}
	for addr, s := range r.shares {
		if n := holds(s); n > most {
			most, from = n, addr
		}
	}
	var found *Guest
	for g := range r.guests {
		if g.addr != from || !may(g) {
			continue
		}
		if found == nil || (g.busy > 0) != (found.busy > 0) && g.busy == 0 || (g.busy > 0) == (found.busy > 0) && g.last.Before(found.last) {
			found = g
		}
	}
	if found != nil {
		r.remove(found)
	}
	return found
}

// turnOut ends a guest that choose has taken out.
func (r *Room) turnOut(g *Guest) {
	if g == nil {
		return
	}
	g.leave()
	if r.full != nil {
		r.full(g.addr)
	}
}

// relieve has one guest leave, whoever it is.
func (r *Room) relieve() {
	r.mu.Lock()
	out := r.choose(func(s *share) int64 { return int64(s.guests) }, func(*Guest) bool { return true })
	r.mu.Unlock()
	r.turnOut(out)
}

// Address returns for whom guests are counted together: an IPv4 address, a /64 of IPv6,
// which is what one machine has. It is the zero Addr for what is none.
func Address(remote string) netip.Addr {
	port, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	addr := port.Addr().Unmap()
	if addr.Is6() {
		prefix, err := addr.Prefix(64)
		if err == nil {
			addr = prefix.Addr()
		}
	}
	return addr
}
