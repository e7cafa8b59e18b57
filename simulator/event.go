package simulator

import (
	"sync"
	"time"
)

// Event is one call as the simulator saw it.
type Event struct {
	Time     time.Time // when it arrived, by Simulator.Clock
	AppID    string    // whose it was; "" when that could not be told
	Caller   string    // the IP it came from
	Method   string
	Path     string
	Query    string        // raw, with everything that was in it
	Request  string        // the first 4 KiB of the body
	Status   int           // the HTTP status; 0 when there was no answer
	Errcode  int           // of the answer, also of one that was lost
	Response string        // the first 4 KiB of the answer, also of one that was lost
	Fault    bool          // a fault happened to it
	Lost     bool          // the caller did not get the whole answer
	Latency  time.Duration // real time
}

// maxEventBody bounds what an Event keeps of a body.
const maxEventBody = 4 << 10

// Events returns the last calls, oldest first, at most Options.Events.
func (s *Simulator) Events() []Event { return s.events.all() }

// ring keeps the last size events.
type ring struct {
	size int

	mu     sync.Mutex
	events []Event
	next   int // where the next one goes once the ring is full
}

func (r *ring) add(e Event) {
	if r.size == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) < r.size {
		r.events = append(r.events, e)
		return
	}
	r.events[r.next] = e
	r.next = (r.next + 1) % r.size
}

func (r *ring) all() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Event, 0, len(r.events))
	all = append(all, r.events[r.next:]...)
	return append(all, r.events[:r.next]...)
}
