package custody

import (
	"errors"
	"time"
)

// background is what a Keeper does for its scheduler and its hub.
type background struct{ k *Keeper }

// start begins a flight. The caller holds mu; there is no other flight.
func (b background) start() *waiters {
	f := b.board()
	b.k.flights.Go(f.run)
	return f.waiters
}

// board makes the flight that is under way from now on. The caller holds mu; there is
// no other flight.
func (b background) board() *flight {
	f := &flight{k: b.k, waiters: newWaiters(), began: time.Now()}
	if known := b.k.known; known != nil {
		f.rec, f.at, f.notes = known.notes, known.at, parseNotes(known.notes.Notes)
	}
	b.k.state.flight = f.waiters
	return f
}

// wakeUp implements the task of the scheduler: something is due.
func (b background) wakeUp() {
	s := &b.k.state
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && s.flight == nil {
		b.start()
	}
}

// notice implements follower: a flight looks at once, after what it is doing.
func (b background) notice() {
	s := &b.k.state
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
	case s.flight == nil:
		b.start()
	default:
		s.noticed = true
		s.flight.stir()
	}
}

// compare implements follower: the record is looked up when it is another than the
// held one, or ends earlier.
func (b background) compare(record Record, sent time.Time) {
	b.seed(record, sent, nil) // if nothing is known yet
	s := &b.k.state
	s.mu.Lock()
	h := s.current()
	same := s.flight == nil && (h == nil || h.fence == record.Fence && record.End.Sub(record.Now) > h.left(time.Now())-time.Second)
	s.mu.Unlock()
	if !same {
		b.notice()
	}
}

// seed implements follower: it adopts a record that was loaded together with others',
// unless the Keeper has looked in the meantime. What is to be fetched waits for its
// turn, or for the first caller.
func (b background) seed(record Record, sent time.Time, err error) {
	k := b.k
	s := &k.state
	s.mu.Lock()
	if s.closed || s.flight != nil || s.held.Load() != nil {
		s.mu.Unlock()
		return
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		s.mu.Unlock()
		k.scheduler.set(&k.task, sent) // each for itself, at the Scheduler's pace
		return
	}
	f := b.board()
	k.flights.Add(1)
	defer k.flights.Done()
	s.mu.Unlock()
	f.began, f.looked = sent, sent
	f.adopt(record, sent)
	v := f.view()
	switch {
	case !f.land(nil): // there is news
		k.flights.Go(f.run)
		return
	case !v.needed(time.Now()):
		return
	}
	var wait time.Duration
	if k.cfg.Kind.Idempotent {
		wait = k.scheduler.delay(k.scheduler.spread)
	}
	k.scheduler.set(&k.task, sent.Add(wait))
}

// storeBack implements follower: what the store failed is retried, at the
// Scheduler's pace where no caller waits.
func (b background) storeBack() {
	k := b.k
	s := &k.state
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if s.failure.ofStore() {
		s.failure = nil
	}
	s.back = true
	if s.flight != nil {
		s.flight.stir()
		return
	}
	k.scheduler.set(&k.task, time.Now())
}

// plan tells the scheduler when to come back. The caller holds mu.
func (b background) plan() {
	const (
		soon = time.Second      // an attempt ended without a result: another process holds the lease
		look = 30 * time.Second // while this process cannot renew, another one may
	)
	k := b.k
	s := &k.state
	now := time.Now()
	h := s.held.Load()
	var when time.Time
	switch {
	case s.failure.ofStore():
		when = now.Add(k.calls.retry())
	case s.failure.lasts(now):
		when = now.Add(look)
		if !s.failure.never {
			when = earlier(when, s.failure.until)
		}
	case s.renews == s.renewed && h.zone(now) == zoneFresh:
		when = h.base.Add(h.fresh)
	case h != nil && h.refused != nil && h.refused.zone(now) == zoneFresh:
		when = earlier(h.refused.base.Add(h.refused.fresh), now.Add(look))
	default:
		when = now.Add(soon)
	}
	if h.live(now) && h.unsaved && k.unsaved == nil {
		when = earlier(when, now.Add(look)) // the store may be back
	}
	if u := k.unsaved; u != nil {
		when = earlier(when, u.due)
	}
	k.scheduler.set(&k.task, when)
}
