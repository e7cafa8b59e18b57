package memory

import (
	"bytes"
	"context"
	"errors"
	"time"
)

var errUnknown = errors.New("zhongkong: the memory store knows nothing of this message; it was not claimed, or is forgotten")

// message is what is known of a message that somebody claimed. Its times are of
// the monotonic clock.
type message struct {
	account    string
	owner      string // who handles it, or did last
	attempts   int
	deliveries int
	first      time.Duration // of the first Claim
	leaseEnd   time.Duration
	end        time.Duration // when it may be forgotten
	finished   bool
	kept       bool
	answer     []byte
	content    []byte // for Take; nil when there is nothing to take
	place      int    // in the order of Keep

	changed chan struct{} // closed when it is finished or given up
}

// take makes owner the holder.
func (m *message) take(now moment, owner string, lease time.Duration) int {
	m.owner, m.leaseEnd = owner, now.mono+lease
	m.attempts++
	return m.attempts
}

// forgotten reports whether a message may go.
func (m *message) forgotten(now moment) bool {
	return m.end <= now.mono && m.content == nil && (m.finished || m.leaseEnd <= now.mono)
}

// Claim implements callback.Once.
//
//nolint:revive // the signature is the contract of callback.Once, in built-in types
func (s *Store) Claim(
	ctx context.Context,
	account, key, owner string,
	lease, keep time.Duration,
) (attempt, delivery int, age time.Duration, err error) {
	err = s.do(ctx, func(now moment) error {
		s.sweep(now)
		m := s.messages[key]
		if m == nil || m.forgotten(now) {
			m = &message{account: account, first: now.mono, end: now.mono + keep, changed: make(chan struct{})}
			s.messages[key] = m
		}
		switch {
		case m.finished:
			m.deliveries++
		case m.owner == owner:
			m.leaseEnd, attempt = now.mono+lease, m.attempts
		default:
			m.deliveries++
			if m.leaseEnd <= now.mono {
				attempt = m.take(now, owner, lease)
			}
		}
		delivery, age = m.deliveries, now.mono-m.first
		return nil
	})
	return attempt, delivery, age, err
}

// sweep forgets what may be forgotten, when that may be half of all.
func (s *Store) sweep(now moment) {
	if len(s.messages) < 2*s.swept+1000 {
		return
	}
	for key, m := range s.messages {
		if m.forgotten(now) {
			delete(s.messages, key)
		}
	}
	s.swept = len(s.messages)
}

// Wait implements callback.Once.
func (s *Store) Wait(ctx context.Context, key, owner string, lease time.Duration) (attempt int, answer []byte, err error) {
	for {
		var changed chan struct{}
		var left time.Duration
		err := s.about(ctx, key, func(now moment, m *message) {
			switch {
			case m.finished:
				answer = bytes.Clone(m.answer)
			case m.leaseEnd <= now.mono:
				attempt = m.take(now, owner, lease)
			default:
				changed, left = m.changed, m.leaseEnd-now.mono
			}
		})
		if err != nil || changed == nil {
			return attempt, answer, err
		}
		timer := time.NewTimer(left)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// Hold implements callback.Once.
func (s *Store) Hold(ctx context.Context, key, owner string, lease time.Duration) (held, kept bool, err error) {
	err = s.about(ctx, key, func(now moment, m *message) {
		held, kept = m.owner == owner && !m.finished, m.kept
		if held {
			m.leaseEnd = now.mono + lease
		}
		if held && lease <= 0 {
			m.tell()
		}
	})
	return held, kept, err
}

// Keep implements callback.Once.
func (s *Store) Keep(ctx context.Context, key string, content []byte) (finished bool, answer []byte, err error) {
	err = s.about(ctx, key, func(_ moment, m *message) {
		if m.finished {
			finished, answer = true, bytes.Clone(m.answer)
			return
		}
		m.kept = true
		if m.content == nil && len(content) > 0 {
			m.content = bytes.Clone(content)
			s.places++
			m.place = s.places
			s.inbox[key] = m
		}
	})
	return finished, answer, err
}

// Finish implements callback.Once.
func (s *Store) Finish(ctx context.Context, key, owner string, answer []byte, keep time.Duration) (held, kept bool, err error) {
	err = s.about(ctx, key, func(now moment, m *message) {
		held, kept = m.owner == owner, m.kept
		if !held || m.finished || kept && len(answer) > 0 {
			return
		}
		m.finished, m.answer, m.content = true, bytes.Clone(answer), nil
		m.end = now.mono + keep
		delete(s.inbox, key)
		m.tell()
	})
	return held, kept, err
}

// Take implements callback.Once.
//
//nolint:revive // the signature is the contract of callback.Once, in built-in types
func (s *Store) Take(ctx context.Context, account, owner string, lease time.Duration) (key string, content []byte, attempt int, err error) {
	err = s.do(ctx, func(now moment) error {
		var first *message
		for k, m := range s.inbox {
			if m.account == account && m.leaseEnd <= now.mono && (first == nil || m.place < first.place) {
				first, key = m, k
			}
		}
		if first != nil {
			content, attempt = bytes.Clone(first.content), first.take(now, owner, lease)
		}
		return nil
	})
	return key, content, attempt, err
}

// about is do for a message that was claimed.
func (s *Store) about(ctx context.Context, key string, f func(now moment, m *message)) error {
	return s.do(ctx, func(now moment) error {
		m := s.messages[key]
		if m == nil {
			return errUnknown
		}
		f(now, m)
		return nil
	})
}

// tell wakes those who wait.
func (m *message) tell() {
	close(m.changed)
	m.changed = make(chan struct{})
}
