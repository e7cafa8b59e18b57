package custody

import (
	"context"
	"slices"
	"sync"
	"time"
)

// The calls that change a store, of one process, which are under way at once.
const (
	turnsFirst = 16  // at the beginning
	turnsLeast = 4   // on a store that answers slowly
	turnsMost  = 512 // on one that answers at once
)

// turns is where calls that change a store wait for their turn, so that the time of a call
// does not include a queue: neither ours nor, as far as we can see it, the store's. How
// many are under way follows how fast the store answers. While it does nothing but fail,
// nobody waits: each call learns so from the store.
type turns struct {
	mu      sync.Mutex // guards what follows
	limit   float64
	running int
	failing bool
	served  time.Time          // when a call last succeeded
	shrunk  time.Time          // when the limit was last lowered
	waiting [2][]chan struct{} // by turn; closed for admission
}

// turn is when a call may go.
type turn int

const (
	first  turn = iota // what holds a lease goes before ...
	inTurn             // ... what wants one
)

// enter waits for a place. Each nil error is followed by one leave.
func (g *turns) enter(ctx context.Context, at turn) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g.mu.Lock()
	if g.failing || g.running < g.places() { // while there is a place, nobody waits
		g.running++
		g.mu.Unlock()
		return nil
	}
	admitted := make(chan struct{})
	g.waiting[at] = append(g.waiting[at], admitted)
	g.mu.Unlock()
	select {
	case <-admitted:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-admitted: // at the same moment
		g.running--
		g.admit()
	default:
		g.waiting[at] = slices.DeleteFunc(g.waiting[at], func(one chan struct{}) bool { return one == admitted })
	}
	return ctx.Err()
}

// leave ends a call that took so long, of the time that it had, and how it ended.
func (g *turns) leave(took, timeout time.Duration, err error) {
	failed := storeFailure(err)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	now := time.Now()
	if err == nil || isAnswer(err) {
		g.served = now
	}
	g.failing = failed && now.Sub(g.served) > 2*timeout
	switch {
	case failed || took > timeout/2:
		if now.Sub(g.shrunk) >= timeout/2 { // once for all calls that were under way
			g.limit, g.shrunk = max(g.limit/2, turnsLeast), now
		}
	case took < timeout/8 && g.running+1 >= g.places():
		g.limit = min(g.limit+1/g.limit+0.1, turnsMost)
	}
	g.admit()
}

func (g *turns) places() int {
	if g.limit == 0 {
		g.limit = turnsFirst
	}
	return int(g.limit)
}

// admit lets those in for whom there is a place. The mutex is held.
func (g *turns) admit() {
	for at := range g.waiting {
		for len(g.waiting[at]) > 0 && (g.failing || g.running < g.places()) {
			close(g.waiting[at][0])
			g.waiting[at] = g.waiting[at][1:]
			g.running++
		}
	}
}
