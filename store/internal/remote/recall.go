package remote

import (
	"bytes"
	"maps"
	"time"
)

const (
	// recallTime is for how long after the server told its time a state is remembered, of
	// recallMost rows and as many messages at most.
	recallTime = 10 * time.Second
	recallMost = 4096

	// quick is how long the answer with the server's time may have taken to be used again: what
	// is reckoned from it is early by that much at most.
	quick = 200 * time.Millisecond
)

// memory is what a process has just read or written, by name. What is remembered is only a
// guess: the server accepts a swap only if the version still matches, and every error and
// every change that changes nothing is confirmed by a fresh read. So a renewal, which is
// Load, Acquire, Begin and Save, takes four round trips, and a message, which is Claim and
// Finish, two. Each state is given out once.
type memory[S any] struct {
	states map[string]remembered[S]
	swept  time.Time
}

type remembered[S any] struct {
	state S
	clock reading
}

func (m *memory[S]) put(name string, state S, clock reading) {
	if now := time.Now(); m.states == nil || now.Sub(m.swept) > recallTime {
		m.swept = now
		maps.DeleteFunc(m.states, func(_ string, r remembered[S]) bool { return now.Sub(r.clock.here) > recallTime })
	}
	if _, there := m.states[name]; m.states == nil || !there && len(m.states) >= recallMost {
		m.states = make(map[string]remembered[S])
	}
	m.states[name] = remembered[S]{state, clock}
}

func (m *memory[S]) take(name string) (remembered[S], bool) {
	r, ok := m.states[name]
	delete(m.states, name)
	return r, ok
}

// reading is when the server told its time, by both clocks.
type reading struct {
	server time.Time
	here   time.Time // when its answer arrived, with the monotonic clock
	took   time.Duration
}

// now returns the server's time by now, or a little earlier: its answer took time to arrive.
// ok is false when the reading is too old, or the answer was slow.
func (r reading) now() (server time.Time, ok bool) {
	age := time.Since(r.here)
	if r.here.IsZero() || age > recallTime || r.took > quick {
		return time.Time{}, false
	}
	return r.server.Add(age.Truncate(time.Microsecond)), true
}

// tick notes the server's time of an answer that has just come to what was asked at asked,
// unless an earlier answer, which was quicker, says more.
func (s *Store) tick(server, asked time.Time) reading {
	now := time.Now()
	r := reading{server, now, now.Sub(asked)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now, ok := s.clock.now(); !ok || now.Before(server) || server.Before(now.Add(-time.Second)) {
		s.clock = r
	}
	return r
}

// recall returns a row as it was a moment ago, with the server's time by now.
func (s *Store) recall(name string) (State, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.rows.take(name)
	if ok {
		r.state.Now, ok = r.clock.now()
		r.state.clock = r.clock
	}
	return r.state, ok
}

// remember keeps a row for [Store.recall].
func (s *Store) remember(name string, state State) {
	state.Row.Notes = bytes.Clone(state.Row.Notes) // the caller may write into its own
	s.mu.Lock()
	defer s.mu.Unlock()
	if state.Damage != nil {
		s.rows.take(name)
		return
	}
	s.rows.put(name, state, state.clock)
}

// recallMessage returns a message as it was a moment ago. If none is remembered and it may
// be new, it is taken for new: of a thousand pushes a few are repetitions.
func (s *Store) recallMessage(name string, mayBeNew bool) (MessageState, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.messages.take(name)
	if !ok {
		if !mayBeNew || s.manyClocks {
			return MessageState{}, false
		}
		r.clock = s.clock
	}
	now, ok := r.clock.now()
	r.state.NowUS, r.state.clock = now.UnixMicro(), r.clock
	return r.state, ok
}

// rememberMessage keeps a message for [Store.recallMessage], unless it is finished.
func (s *Store) rememberMessage(name string, state MessageState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !state.Finished {
		s.messages.put(name, state, state.clock)
	}
}

// forgetState lets the next call about a message read it.
func (s *Store) forgetState(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages.take(name)
}
