package simulator

import (
	"context"
	"sync"
	"time"
)

// record is an Event as the admin API shows it.
type record struct {
	Event

	Number uint64    `json:"number"` // the first event is 1, and none is left out
	At     time.Time `json:"at"`     // when it ended, by this machine's clock
	Checks []check   `json:"checks,omitempty"`
}

// check is something that the receiver of a request looks at, WeChat or the app.
type check struct {
	OK   bool   `json:"ok"`
	What string `json:"what"`         // a parameter, "AppSecret"
	Of   string `json:"of,omitempty"` // its value, unless that is secret; of a token the pool and the end
}

// history are the last events, and who waits for the next one.
type history struct {
	records ring[record]

	mu   sync.Mutex
	last uint64
	next chan struct{} // closed by the next event; nil while nobody waits
}

func (h *history) add(r record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	r.Number = h.last
	h.records.add(r)
	if h.next != nil {
		close(h.next)
		h.next = nil
	}
}

// after returns the events with a greater number, and that of the last event. If there
// are none, it waits for the next one.
func (h *history) after(ctx context.Context, number uint64, wait time.Duration) (all []record, last uint64) {
	h.mu.Lock()
	if h.last <= number && wait > 0 {
		if h.next == nil {
			h.next = make(chan struct{})
		}
		next := h.next
		h.mu.Unlock()
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-next:
		case <-timer.C:
		case <-ctx.Done():
		}
		h.mu.Lock()
	}
	defer h.mu.Unlock()
	all = []record{}
	for _, r := range h.records.all() {
		if r.Number > number {
			all = append(all, r)
		}
	}
	return all, h.last
}
