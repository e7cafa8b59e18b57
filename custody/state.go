package custody

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// state is what the callers of a Keeper and its flights share.
type state struct {
	held atomic.Pointer[held] // stored by the running flight, or under mu when there is none

	mu       sync.Mutex // guards what follows
	flight   *waiters   // of the flight that is under way; nil for none
	failure  *failure   // of the last attempt; nil after a success
	refusals *refusals  // of the current value; nil while there were none
	asked    time.Time  // when the store was last asked for the record
	waiting  int32      // callers without a live value
	renews   int32      // calls of Renew
	renewed  int32      // those that a fetch was sent after
	noticed  bool       // the store says that the record changed
	back     bool       // the store does again what it failed to do
	closed   bool
}

// waiters is a flight as those see it that wait for it.
type waiters struct {
	ctx    context.Context // ends at Close; the Keeper itself, which may be one of 100,000, has none
	cancel context.CancelFunc
	wake   chan struct{} // one place: there is news of the store or of callers
	news   chan struct{} // closed when a live value is published; guarded by state.mu, which makes a new one
	done   chan struct{} // closed when the flight has landed
	err    error         // set before done is closed
}

func newWaiters() *waiters {
	f := &waiters{wake: make(chan struct{}, 1), news: make(chan struct{}), done: make(chan struct{})}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// stir ends a wait of the flight: there is something new to decide on.
func (f *waiters) stir() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// wait is the flight's own: for d, or until there is news.
func (f *waiters) wait(d time.Duration) {
	timer := time.NewTimer(max(d, time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.wake:
	case <-f.ctx.Done():
	}
}

// result returns the flight's error, nil before it has landed.
func (f *waiters) result() error {
	select {
	case <-f.done:
		return f.err
	default:
		return nil
	}
}

// current returns the held value, also while its issuer refuses it. The caller holds
// mu, or is the running flight.
func (s *state) current() *held {
	h := s.held.Load()
	if h != nil && h.refused != nil {
		return h.refused
	}
	return h
}

// book returns what is known of the refusals of value, the current one. The caller
// holds mu.
func (s *state) book(value Secret) *refusals {
	if s.refusals == nil {
		s.refusals = &refusals{}
	}
	return s.refusals.of(value)
}

// fill gives a view what it needs of the state.
func (s *state) fill(v *view) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v.held, v.failure, v.noticed = s.current(), s.failure, s.noticed
	v.callers, v.renew, v.back = s.waiting > 0, s.renews != s.renewed, s.back
	if v.held == nil || s.refusals == nil {
		return
	}
	r := s.book(v.held.value)
	v.doubt, v.probed, v.lived = r.doubt, r.probed, r.lived
	v.reports = len(r.probing()) > 0
	v.looks = len(r.reports) > 0 && !v.reports
}

// publish makes h the held value. One that its issuer refuses is live for nobody.
func (s *state) publish(h *held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusals != nil && s.book(h.value).doubt {
		s.held.Store(h.suspected())
		return
	}
	s.show(h)
}

// show stores a value that callers may have. The caller holds mu.
func (s *state) show(h *held) {
	s.held.Store(h)
	if !h.live(time.Now()) {
		return
	}
	if s.failure.overcome(h) {
		s.failure = nil // before anybody who waited looks
	}
	if f := s.flight; f != nil {
		close(f.news)
		f.news = make(chan struct{})
	}
}

// suspect takes the current value from callers: its issuer refuses it.
func (s *state) suspect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.current()
	if h == nil {
		return
	}
	s.book(h.value).doubt = true
	s.held.Store(h.suspected())
}

// probing returns the current value and the reports that a probe sent now answers.
func (s *state) probing() (Secret, []*report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.current()
	r := s.book(h.value)
	r.probed, r.verdict = time.Now(), NoVerdict
	return h.value, r.probing()
}

// settle takes the verdict of a probe of value.
func (s *state) settle(value Secret, asked []*report, verdict Verdict, refused error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.current()
	if h == nil || !h.value.Equal(value) {
		return
	}
	r := s.book(value)
	r.verdict = verdict
	switch verdict {
	case Accepted:
		if r.doubt {
			s.show(h)
		}
		r.accepted(asked, time.Now(), refused)
	case Rejected:
		r.doubt = true
		s.held.Store(h.suspected())
	}
}

// deny keeps what reports were told about the current value.
func (s *state) deny(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.current(); h != nil {
		s.book(h.value).denied = &denial{err, time.Now()}
	}
}

// answerLooks answers the reports that only waited for a look at the store.
func (s *state) answerLooks(refused error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusals != nil {
		s.refusals.end(true, refused)
	}
}

// heed takes note that the store is asked now, so that what it said before is covered
// by the answer.
func (s *state) heed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noticed = false
}

// useRecovery takes note that what the store lacks is brought to it now.
func (s *state) useRecovery() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.back = false
}

// lookedAt keeps when the store was asked for the record.
func (s *state) lookedAt(sent time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = later(s.asked, sent)
}

// trustTheClock places a value by the wall clock, of which nobody can tell what is left
// because the machine slept and the store does not answer: it is the best guess.
func (s *state) trustTheClock() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, h := time.Now(), s.held.Load()
	if h.zone(now) == zoneUnsure {
		s.show(h.placed(now, h.left(now)-h.drift(now)))
	}
}

// remember keeps what an attempt met.
func (s *state) remember(f *failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.current(); h != nil {
		f.fence = h.fence
	}
	s.failure = f
}

// failures returns how many attempts in a row failed.
func (s *state) failures() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil {
		return 0
	}
	return s.failure.count
}

// calledFor returns how often Renew was called.
func (s *state) calledFor() int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renews
}

// madeUpFor says that a fetch followed the first n calls of Renew.
func (s *state) madeUpFor(n int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renewed = n
}
