package remote

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

// group carries out calls of one kind together: those that come while others are on
// their way go with the next round trip. No timer is involved, so one that is alone goes
// at once. A call whose caller has left is not begun, and a group that all callers have
// left is broken off. When a group is refused, each of its calls is made by itself, and
// has an error of its own.
type group[T any] struct {
	run  func(ctx context.Context, items []T) error
	fits func(items []T, next T) bool // next may go with items too
	late error                        // what a caller gets that leaves

	mu      sync.Mutex // guards what follows
	waiting []grouped[T]
	leading bool // somebody carries out those that wait
}

type grouped[T any] struct {
	ctx  context.Context //nolint:containedctx // of the call
	item T
	done chan error // with room for one
}

// do makes a call and waits for it until ctx ends; it may have happened then.
func (g *group[T]) do(ctx context.Context, item T) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	call := grouped[T]{ctx, item, make(chan error, 1)}
	g.mu.Lock()
	g.waiting = append(g.waiting, call)
	leads := !g.leading
	g.leading = true
	g.mu.Unlock()
	if leads {
		go g.lead()
	}
	select {
	case err := <-call.done:
		return err
	case <-ctx.Done():
		return because(g.late, ctx.Err())
	}
}

// lead makes calls until none waits.
func (g *group[T]) lead() {
	for {
		calls := g.next()
		if len(calls) == 0 {
			return
		}
		err := g.together(calls)
		for i := range calls {
			own := err
			if err != nil && len(calls) > 1 && splits(err) {
				own = g.together(calls[i : i+1])
			}
			calls[i].done <- own
		}
	}
}

// next takes the calls that go together next, without those whose caller has left.
func (g *group[T]) next() []grouped[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	var calls []grouped[T]
	var items []T
	n := 0
	for _, call := range g.waiting {
		if call.ctx.Err() == nil {
			if len(calls) > 0 && !g.fits(items, call.item) {
				break
			}
			calls, items = append(calls, call), append(items, call.item)
		}
		n++
	}
	g.waiting = slices.Delete(g.waiting, 0, n)
	g.leading = len(calls) > 0
	return calls
}

// together makes calls in one, which ends when all their callers have left.
func (g *group[T]) together(calls []grouped[T]) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var here atomic.Int64
	here.Store(int64(len(calls)))
	items := make([]T, len(calls))
	for i, call := range calls {
		items[i] = call.item
		defer context.AfterFunc(call.ctx, func() {
			if here.Add(-1) == 0 {
				cancel()
			}
		})()
	}
	return g.run(ctx, items)
}

// splits reports whether an error may be about one call of a group alone. That the server
// does not answer is about all of them.
func splits(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return false
	}
	return !passes(err) || unknown(err)
}
