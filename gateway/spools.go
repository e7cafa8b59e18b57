package gateway

import "sync"

// spools are the bodies on the disk together. One client has a quarter of the room at
// most, so that its uploads leave room for those of others. What does not fit streams,
// and is sent once.
type spools struct {
	most int64

	mu  sync.Mutex // guards what follows
	all int64
	of  map[string]int64 // by client
}

// share is one client's; "" is that of all who have no key.
type share struct {
	all    *spools
	client string
}

// Grow implements [spool.Room].
func (s share) Grow(from, to int64) bool {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	n := to - from
	room := s.all.all+n <= s.all.most && s.all.of[s.client]+n <= s.all.most/4
	if !room {
		n = -from
	}
	s.add(n)
	return room
}

// Give implements [spool.Room].
func (s share) Give(n int64) {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	s.add(-n)
}

// add changes what is taken. The caller holds mu.
func (s share) add(n int64) {
	s.all.all += n
	if s.all.of[s.client] += n; s.all.of[s.client] == 0 {
		delete(s.all.of, s.client)
	}
}
