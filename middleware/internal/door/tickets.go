package door

import (
	"sync"

	"github.com/zhongkong-go/zhongkong/custody"
)

// Tickets are the Keepers of an account's Tickets, made when they are asked for.
type Tickets[T ~string] struct {
	// Open makes the Keeper of a type, or says that there is no such type.
	Open func(kind T) (*custody.Keeper, error)

	keepers sync.Map // T to *custody.Keeper

	mu     sync.Mutex // guards adding a Keeper, and closing
	closed bool
}

// Keeper takes no lock when there is one.
func (t *Tickets[T]) Keeper(kind T) (*custody.Keeper, error) {
	if keeper, ok := t.keepers.Load(kind); ok {
		return keeper.(*custody.Keeper), nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, custody.ErrClosed
	}
	if keeper, ok := t.keepers.Load(kind); ok {
		return keeper.(*custody.Keeper), nil
	}
	keeper, err := t.Open(kind)
	if err != nil {
		return nil, err
	}
	t.keepers.Store(kind, keeper)
	return keeper, nil
}

// Close ends the Keepers at the same time; there will be no further one.
func (t *Tickets[T]) Close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	var all sync.WaitGroup
	t.keepers.Range(func(_, keeper any) bool {
		all.Go(func() { _ = keeper.(*custody.Keeper).Close() }) // its error is nil, as of all Keepers
		return true
	})
	all.Wait()
}
