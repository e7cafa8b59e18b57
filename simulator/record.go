package simulator

import "sync"

// ring keeps the last size items, so that a simulator that runs for weeks does
// not grow.
type ring[T any] struct {
	size int

	mu    sync.Mutex
	items []T
	next  int // where the next one goes once the ring is full
}

func (r *ring[T]) add(item T) {
	if r.size == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.items) < r.size {
		r.items = append(r.items, item)
		return
	}
	r.items[r.next] = item
	r.next = (r.next + 1) % r.size
}

// all returns a copy, oldest first.
func (r *ring[T]) all() []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]T, 0, len(r.items))
	all = append(all, r.items[r.next:]...)
	return append(all, r.items[:r.next]...)
}

// find returns the newest item for which is says true.
func (r *ring[T]) find(is func(*T) bool) (item T, found bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.items {
		at := &r.items[(r.next+len(r.items)-1-i)%len(r.items)]
		if is(at) {
			return *at, true
		}
	}
	return item, false
}
