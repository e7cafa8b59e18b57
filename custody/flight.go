package custody

import (
	"context"
	"time"
)

// flight is one renewal on behalf of everybody who waits for it. It runs in a
// goroutine of its own and outlives its first caller.
type flight struct {
	refused string // the value whose refusal caused it; "" for an ordinary one

	ctx     context.Context // ends at Close; the Keeper itself, which may be one of 100,000, has none
	cancel  context.CancelFunc
	noticed chan struct{} // one place: the store says that the record changed
	again   bool          // Renew was called meanwhile; guarded by Keeper.mu

	news chan struct{} // closed when a live value is published; guarded by Keeper.mu, which makes a new one
	done chan struct{} // closed when it is over
	err  error         // set before done is closed
	next *flight       // likewise: the one that follows it, as there is more to see; nil for none
}

// start begins a flight. The caller holds mu; there is no other flight.
func (k *Keeper) start(refused string) *flight {
	f := k.board(refused)
	k.flights.Go(func() {
		r := renewal{k: k, f: f, began: time.Now()}
		k.land(f, r.run())
	})
	return f
}

// seed adopts a record that was loaded together with others', unless the Keeper
// has looked for itself meanwhile. What is to be fetched waits for its turn, or
// for the first caller.
func (k *Keeper) seed(record Record, sent time.Time) {
	k.mu.Lock()
	if k.closed || k.flight != nil || k.held.Load() != nil {
		k.mu.Unlock()
		return
	}
	f := k.board("")
	k.flights.Add(1)
	defer k.flights.Done()
	k.mu.Unlock()
	r := renewal{k: k, f: f, began: sent}
	r.adopt(record, sent)
	needed := r.needed()
	k.land(f, nil)
	if !needed {
		return
	}
	var wait time.Duration
	if k.cfg.Kind.Idempotent {
		wait = k.scheduler.delay(k.scheduler.spread)
	}
	k.scheduler.set(k, sent.Add(wait))
}

// board makes the flight that is under way from now on. The caller holds mu;
// there is no other flight.
func (k *Keeper) board(refused string) *flight {
	f := &flight{
		refused: refused, noticed: make(chan struct{}, 1),
		news: make(chan struct{}), done: make(chan struct{}),
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	k.flight = f
	return f
}

// land ends f.
func (k *Keeper) land(f *flight, err error) {
	k.mu.Lock()
	now := time.Now()
	h := k.held.Load()
	if h != nil && h.refused != nil {
		h = h.refused // nothing took its place: it is the current value again
		k.held.Store(h)
	}
	if h != nil && h.zone(now) == zoneUnsure {
		// Nobody could tell what is left; the wall clock is the best guess.
		h = h.placed(now, h.left(now)-h.drift(now))
		k.held.Store(h)
	}
	if err == nil && h.live(now) && k.failure.overcome(h) {
		k.failure = nil
	}
	k.flight = nil
	f.cancel()
	f.err = err
	switch unseen := f.unseen(); {
	case k.closed:
	case f.again:
		k.renew()
	case unseen:
		k.start("")
	default:
		k.plan()
	}
	f.next = k.flight
	k.mu.Unlock()
	close(f.done)
}

// wait returns when a live value was published or the flight is over, and ctx's
// error when that ends first. news is the flight's, read under mu before.
func (f *flight) wait(ctx context.Context, news <-chan struct{}) error {
	select {
	case <-news:
		return nil
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unseen reports whether the store said that the record changed since the
// flight last asked for it. It says so once.
func (f *flight) unseen() bool {
	select {
	case <-f.noticed:
		return true
	default:
		return false
	}
}

// over reports whether the flight has landed.
func (f *flight) over() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// publish makes h the held value. The value under suspicion does not become
// live again before its flight ends.
func (k *Keeper) publish(f *flight, h *held) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f.refused != "" && h.value.Reveal() == f.refused {
		k.held.Store(h.suspected())
		return
	}
	k.held.Store(h)
	if h.live(time.Now()) {
		if k.failure.overcome(h) {
			k.failure = nil // before anybody who waited looks
		}
		close(f.news)
		f.news = make(chan struct{})
	}
}

// current returns the held value, also while it is under suspicion.
func (k *Keeper) current() *held {
	h := k.held.Load()
	if h != nil && h.refused != nil {
		return h.refused
	}
	return h
}
