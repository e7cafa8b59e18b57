package simulator

import (
	"slices"
	"sync"
	"time"
)

// scenes are the tickets of parametric QR codes, the newest last.
type scenes struct {
	mu  sync.Mutex
	all []scene
}

type scene struct {
	ticket string
	end    time.Time // zero: never
}

func (s *scenes) add(one scene) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all = append(s.all, one); len(s.all) > maxScenes {
		s.all = slices.Delete(s.all, 0, 1)
	}
}

func (s *scenes) alive(ticket string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.all, func(one scene) bool {
		return one.ticket == ticket && (one.end.IsZero() || now.Before(one.end))
	})
}

const (
	maxScenes    = 256               // whatever a test makes, memory stays bounded
	maxSceneLife = 30 * 24 * 60 * 60 // seconds. WeChat: a temporary code lives at most 30 days
)
