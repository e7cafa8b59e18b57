package remote

import (
	"bytes"
	"time"
)

const (
	// recallTime is for how long a state is remembered, of recallMost rows and as many
	// messages at most.
	recallTime = 10 * time.Second
	recallMost = 4096
)

// memory is what a process has just read or written, by name. To swap it is right if
// nobody changed the row since; it decides nothing else. So a renewal, which is Load,
// Acquire, Begin and Save, takes four round trips, and a message, which is Claim and
// Finish, two. Each state is given out once.
type memory[S any] struct{ states map[string]S }

func (m *memory[S]) put(name string, state S) {
	if m.states == nil || len(m.states) >= recallMost {
		m.states = make(map[string]S)
	}
	m.states[name] = state
}

func (m *memory[S]) take(name string) (S, bool) {
	state, ok := m.states[name]
	delete(m.states, name)
	return state, ok
}

// reading is when the server told its time, by both clocks.
type reading struct {
	server time.Time
	here   time.Time // when the answer was there, with the monotonic clock
}

// now returns the server's time as it must be by now; it is no earlier than that. ok is
// false when the reading is too old.
func (r reading) now() (now reading, ok bool) {
	age := time.Since(r.here)
	if r.here.IsZero() || age > recallTime {
		return reading{}, false
	}
	age = age.Truncate(time.Microsecond)
	return reading{r.server.Add(age), r.here.Add(age)}, true
}

// tick notes the server's time of an answer that has just come.
func (s *Store) tick(server time.Time) time.Time {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock = reading{server, now}
	return now
}

// recall returns a row as it was a moment ago, with the server's time by now.
func (s *Store) recall(name string) (State, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state, ok := s.rows.take(name)
	if !ok {
		return State{}, false
	}
	now, ok := reading{state.Now, state.read}.now()
	state.Now, state.read = now.server, now.here
	return state, ok
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
	s.rows.put(name, state)
}

// recallMessage returns a message as it was a moment ago. Without one it is a new message
// if it may be: of a thousand pushes a few are repetitions.
func (s *Store) recallMessage(name string, mayBeNew bool) (MessageState, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state, ok := s.messages.take(name)
	if !ok {
		if !mayBeNew || s.manyClocks {
			return MessageState{}, false
		}
		state.NowUS, state.read = s.clock.server.UnixMicro(), s.clock.here
	}
	now, ok := reading{time.UnixMicro(state.NowUS), state.read}.now()
	state.NowUS, state.read = now.server.UnixMicro(), now.here
	return state, ok
}

// rememberMessage keeps a message for [Store.recallMessage]. One that is finished is done
// with.
func (s *Store) rememberMessage(name string, state MessageState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !state.Finished {
		s.messages.put(name, state)
	}
}
