package gateway

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

// failures counts failed attempts of each address in a minute. Keys have 256 random
// bits, so nobody finds one by trying; what is limited is the room that trying
// takes, in the log above all. A right key from a busy address is never refused:
// behind one address there may be a whole company.
type failures struct {
	log *slog.Logger

	mu     sync.Mutex // guards what follows
	start  time.Time
	counts map[netip.Addr]int
	silent int // attempts since start that were not logged
}

func newFailures(log *slog.Logger) *failures {
	return &failures{log: log, counts: map[netip.Addr]int{}}
}

// add counts an attempt and reports whether there were few enough of them.
func (f *failures) add(remote string, now time.Time) bool {
	addr := gate.Address(remote)
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.start) >= time.Minute {
		f.sayLocked()
		f.start = now
		clear(f.counts)
	}
	if _, known := f.counts[addr]; !known && len(f.counts) >= failureMemory {
		addr = netip.Addr{}
	}
	f.counts[addr]++
	if f.counts[addr] <= failuresAMinute {
		return true
	}
	f.silent++
	return false
}

// tell says what was not logged.
func (f *failures) tell() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sayLocked()
}

func (f *failures) sayLocked() {
	if f.silent > 0 {
		f.log.Warn("many attempts failed", "attempts", f.silent, "addresses", len(f.counts))
		f.silent = 0
	}
}
