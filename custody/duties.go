package custody

import (
	"errors"
	"time"
)

// duties are what a Keeper does for its scheduler and its hub.
type duties struct{ k *Keeper }

// start begins a flight. The caller holds mu; there is no other flight.
func (d duties) start() *voyage {
	f := d.board()
	d.k.flights.Go(f.run)
	return f.voyage
}

// board makes the flight that is under way from now on. The caller holds mu; there is
// no other flight.
func (d duties) board() *flight {
	f := &flight{k: d.k, voyage: newVoyage(), began: time.Now()}
	if known := d.k.known; known != nil {
		f.rec, f.at, f.notes = known.notes, known.at, parseNotes(known.notes.Notes)
	}
	d.k.state.voyage = f.voyage
	return f
}

// wakeUp implements the task of the scheduler: something is due.
func (d duties) wakeUp() {
	s := &d.k.state
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && s.voyage == nil {
		d.start()
	}
}

// notice implements follower: a flight looks at once, after what it is doing.
func (d duties) notice() {
	s := &d.k.state
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
	case s.voyage == nil:
		d.start()
	default:
		s.noticed = true
		s.voyage.stir()
	}
}

// compare implements follower: the record is looked up when it is another than the
// held one, or ends earlier.
func (d duties) compare(record Record, sent time.Time) {
	d.seed(record, sent, nil) // if nothing is known yet
	s := &d.k.state
	s.mu.Lock()
	h := s.current()
	same := s.voyage == nil && (h == nil || h.fence == record.Fence && record.End.Sub(record.Now) > h.left(time.Now())-time.Second)
	s.mu.Unlock()
	if !same {
		d.notice()
	}
}

// seed implements follower: it adopts a record that was loaded together with others',
// unless the Keeper has looked in the meantime. What is to be fetched waits for its
// turn, or for the first caller.
func (d duties) seed(record Record, sent time.Time, err error) {
	k := d.k
	s := &k.state
	s.mu.Lock()
	if s.closed || s.voyage != nil || s.held.Load() != nil {
		s.mu.Unlock()
		return
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		s.mu.Unlock()
		k.scheduler.set(&k.task, sent) // each for itself, at the Scheduler's pace
		return
	}
	f := d.board()
	k.flights.Add(1)
	defer k.flights.Done()
	s.mu.Unlock()
	f.began, f.looked = sent, sent
	f.adopt(record, sent)
	v := f.view()
	f.land(nil)
	if !v.needed(time.Now()) {
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
func (d duties) storeBack() {
	k := d.k
	s := &k.state
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if s.failure.ofStore() {
		s.failure = nil
	}
	if s.voyage != nil {
		s.voyage.stir()
		return
	}
	k.scheduler.set(&k.task, time.Now())
}

// plan tells the scheduler when to come back. The caller holds mu.
func (d duties) plan() {
	const (
		soon = time.Second      // an attempt ended without a result: another process holds the lease
		look = 30 * time.Second // while this process cannot renew, another one may
	)
	k := d.k
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
