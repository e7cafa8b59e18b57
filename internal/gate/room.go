package gate

import (
	"net/netip"
	"sync"
	"time"
)

// Room is what strangers share: so many places, and so many bytes that came from them
// and were not dealt with yet. A newcomer always gets in. When it is full somebody else
// has to leave: of the address that holds most, the one that has been idle the longest,
// and that had its chance to speak.
// It is safe for concurrent use.
type Room struct {
	places int
	bytes  int64
	full   func(netip.Addr) // receives whose guest had to leave; may be nil

	mu     sync.Mutex // guards what follows
	guests []*Guest
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
	at     int // among the room's guests; -1: it has left
	share  *share
	came   time.Time
	last   time.Time // that it gave a sign of life
	asked  time.Time // since when we listen to it; zero: not yet
	spoken bool      // something came from it
	busy   int       // its requests that have arrived, and wait for us
	bytes  int64
}

const (
	hearing = 20 * time.Millisecond // a guest to whom we listen has this long to begin to speak
	unheard = time.Second           // and any guest has this long
	look    = time.Millisecond      // between two looks whether somebody was heard
	looks   = 100
)

// heard reports whether the guest had its chance to speak.
func (g *Guest) heard(now time.Time) bool {
	return g.spoken || now.Sub(g.came) >= unheard || !g.asked.IsZero() && now.Sub(g.asked) >= hearing
}

// NewRoom returns a room of so many places and bytes.
func NewRoom(places int, bytes int64, full func(netip.Addr)) *Room {
	return &Room{places: places, bytes: bytes, full: full, shares: map[netip.Addr]*share{}}
}

// Enter gives a place to somebody from addr. leave is called, from any goroutine, when
// the guest has to go; it must not block.
func (r *Room) Enter(addr netip.Addr, leave func()) *Guest {
	now := time.Now()
	g := &Guest{room: r, addr: addr, leave: leave, came: now, last: now}
	r.mu.Lock()
	var out *Guest
	if len(r.guests) >= r.places {
		out = r.choose(func(s *share) int64 { return int64(s.guests) }, func(*Guest) bool { return true })
	}
	g.at = len(r.guests)
	r.guests = append(r.guests, g)
	s := r.shares[addr]
	if s == nil {
		s = new(share)
		r.shares[addr] = s
	}
	s.guests++
	g.share = s
	r.mu.Unlock()
	r.turnOut(out)
	return g
}

// Listen says that from now on we listen to the guest.
func (g *Guest) Listen() {
	g.room.mu.Lock()
	defer g.room.mu.Unlock()
	if g.asked.IsZero() {
		g.asked = time.Now()
	}
}

// Await waits until the next one may enter without turning out somebody whom we have not
// heard yet: connections are accepted faster than they are read, and who has just come
// with a good request would be gone before it was looked at. It waits for a tenth of a
// second at most.
func (r *Room) Await() {
	for range looks {
		if r.hasHeard() {
			return
		}
		time.Sleep(look)
	}
}

// hasHeard reports whether there is a place, or somebody who may leave.
func (r *Room) hasHeard() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.guests) < r.places {
		return true
	}
	holds := func(s *share) int64 { return int64(s.guests) }
	most, now, waits := r.most(holds), time.Now(), false
	for _, g := range r.guests {
		if g.busy > 0 || holds(g.share) < most {
			continue
		}
		if g.heard(now) {
			return true
		}
		waits = true
	}
	return !waits // where we work for all of them, waiting helps nobody
}

// Took counts bytes that came from the guest.
func (g *Guest) Took(n int) {
	r := g.room
	r.mu.Lock()
	g.last, g.spoken = time.Now(), true
	if g.at < 0 || r.bytes == 0 {
		r.mu.Unlock()
		return
	}
	g.bytes += int64(n)
	g.share.bytes += int64(n)
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
	if g.at >= 0 && dealt {
		g.share.bytes -= g.bytes
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
	if g.at < 0 {
		return
	}
	last := len(r.guests) - 1
	r.guests[g.at] = r.guests[last]
	r.guests[g.at].at = g.at
	r.guests[last] = nil
	r.guests, g.at = r.guests[:last], -1
	s := g.share
	s.guests--
	s.bytes -= g.bytes
	r.held -= g.bytes
	if s.guests == 0 {
		delete(r.shares, g.addr)
	}
}

// most returns what the address holds that holds most; several may. The caller holds mu.
func (r *Room) most(holds func(*share) int64) (n int64) {
	for _, s := range r.shares {
		n = max(n, holds(s))
	}
	return n
}

// choose takes out, of the address that holds most, the guest for which nobody works
// and of whom nothing was heard for the longest time.
func (r *Room) choose(holds func(*share) int64, may func(*Guest) bool) *Guest {
	most, now := r.most(holds), time.Now()
	var found *Guest
	for _, g := range r.guests {
		if holds(g.share) == most && may(g) && (found == nil || g.before(found, now)) {
			found = g
		}
	}
	if found != nil {
		r.remove(found)
	}
	return found
}

// before reports whether g has to leave before other.
func (g *Guest) before(other *Guest, now time.Time) bool {
	switch {
	case (g.busy > 0) != (other.busy > 0):
		return g.busy == 0
	case g.heard(now) != other.heard(now):
		return g.heard(now)
	}
	return g.last.Before(other.last)
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

// relieve has one guest leave, any one.
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
