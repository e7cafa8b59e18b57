package remote

import (
	"context"
	"sync"
)

// groupMost is how many calls go together.
const groupMost = 100

// group carries out calls of one kind together: those that come while others are on
// their way go with the next round trip. No timer is involved, so one that is alone goes
// at once. When a group is refused, each of its calls is made by itself, and has an error
// of its own.
type group[T any] struct {
	run  func(items []T) error
	late error // says that nothing has answered yet

	mu      sync.Mutex // guards what follows
	waiting []grouped[T]
	leading bool // somebody carries out those that wait
}

type grouped[T any] struct {
	item T
	done chan error // with room for one
}

// do makes a call and waits for it until ctx ends; it may have happened then.
func (g *group[T]) do(ctx context.Context, item T) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	call := grouped[T]{item, make(chan error, 1)}
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
		g.mu.Lock()
		calls := g.waiting[:min(len(g.waiting), groupMost)]
		g.waiting = g.waiting[len(calls):]
		g.leading = len(calls) > 0
		g.mu.Unlock()
		if len(calls) == 0 {
			return
		}
		items := make([]T, len(calls))
		for i, call := range calls {
			items[i] = call.item
		}
		err := g.run(items)
		for i, call := range calls {
			if err != nil && len(calls) > 1 && !passes(err) {
				call.done <- g.run(items[i : i+1])
			} else {
				call.done <- err
			}
		}
	}
}
