package clients

import (
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/gate"
)

const (
	failuresAMinute = 20     // of one address, that are looked at and logged
	failureMemory   = 10_000 // addresses; those beyond share one count
)

// Attempts counts failed attempts of each address in a minute. Keys have 256 random
// bits, so nobody finds one by trying; what is limited is the room that trying
// takes, in the log above all. A right key from a busy address is never refused:
// behind one address there may be a whole company.
type Attempts struct {
	log *slog.Logger

	mu     sync.Mutex // guards what follows
	start  time.Time
	counts map[netip.Addr]int
	silent int // attempts since start that were not logged
}

// NewAttempts returns one that has counted nothing.
func NewAttempts(log *slog.Logger) *Attempts {
	return &Attempts{log: log, counts: map[netip.Addr]int{}}
}

// Add counts an attempt and reports whether there were few enough of them.
func (a *Attempts) Add(remote string, now time.Time) bool {
	addr := gate.Address(remote)
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.start) >= time.Minute {
		a.sayLocked()
		a.start = now
		clear(a.counts)
	}
	if _, known := a.counts[addr]; !known && len(a.counts) >= failureMemory {
		addr = netip.Addr{}
	}
	a.counts[addr]++
	if a.counts[addr] <= failuresAMinute {
		return true
	}
	a.silent++
	return false
}

// Tell says what was not logged.
func (a *Attempts) Tell() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sayLocked()
}

func (a *Attempts) sayLocked() {
	if a.silent > 0 {
		a.log.Warn("many attempts failed", "log_code", "clients_many_attempts_failed", "attempts", a.silent, "addresses", len(a.counts))
		a.silent = 0
	}
}
