package memory

import (
	"bytes"
	"context"
	"time"

	"github.com/zhongkong-go/zhongkong/store"
)

// message is what is known of a message that somebody claimed. Its times are of the
// monotonic clock.
type message struct {
	store.Claim
	content []byte            // for Take; nil when there is nothing to take
	counted *store.KeptAnswer // the answer; nil when there is none
	gone    bool              // the answer is
	changed chan struct{}     // closed when it is finished or given up; nil while nobody waits
}

// Claim implements callback.Once.
func (s *Store) Claim( //nolint:revive // the contract of messages, which all stores implement
	ctx context.Context,
	account, key, owner string,
	lease, keep time.Duration,
) (attempt, delivery int, age time.Duration, err error) {
	if err := store.CheckClaim(account, key, owner, nil); err != nil {
		return 0, 0, 0, err
	}
	var claimed store.Claimed
	err = s.do(ctx, func(now moment) error {
		s.sweep(now)
		m := s.messages[key]
		if m == nil {
			m = new(message)
			s.messages[key] = m
		}
		var fresh bool
		if claimed, fresh = m.Claim.Claim(now.us(), account, owner, lease, keep); fresh {
			s.answers.Forget(m.counted)
			m.content, m.counted, m.gone = nil, nil, false
		}
		return nil
	})
	return claimed.Attempt, claimed.Delivery, claimed.Age, err
}

// us is the monotonic clock as claims have it.
func (m moment) us() int64 { return m.mono.Microseconds() }

// sweep forgets what may be forgotten, when that may be half of all.
func (s *Store) sweep(now moment) {
	if len(s.messages) < 2*s.swept+1000 {
		return
	}
	for key, m := range s.messages {
		if !m.Known(now.us()) {
			s.answers.Forget(m.counted)
			delete(s.messages, key)
		}
	}
	s.swept = len(s.messages)
}

// Wait implements callback.Once.
func (s *Store) Wait(ctx context.Context, key, owner string, lease time.Duration) (attempt int, answer []byte, err error) {
	if err := store.CheckClaim("", key, owner, nil); err != nil {
		return 0, nil, err
	}
	for {
		var changed chan struct{}
		var left time.Duration
		err := s.about(ctx, key, func(now moment, m *message) error {
			if attempt, answer, left = m.Wait(now.us(), owner, lease); left > 0 {
				changed = m.change()
			}
			answer = bytes.Clone(answer)
			return m.lost()
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
	if err := store.CheckClaim("", key, owner, nil); err != nil {
		return false, false, err
	}
	err = s.about(ctx, key, func(now moment, m *message) error {
		if held, kept = m.Hold(now.us(), owner, lease); held && lease <= 0 {
			m.tell()
		}
		return nil
	})
	return held, kept, err
}

// Keep implements callback.Once.
func (s *Store) Keep(ctx context.Context, key string, content []byte) (finished bool, answer []byte, err error) {
	if err := store.CheckClaim("", key, "", content); err != nil {
		return false, nil, err
	}
	err = s.about(ctx, key, func(now moment, m *message) error {
		var write bool
		finished, answer, write = m.Keep(now.us(), content)
		answer = bytes.Clone(answer)
		if write {
			m.content = bytes.Clone(content)
			s.places++
			m.KeptUS = s.places // in the order of Keep, whatever the clock's resolution
			s.inbox[key] = m
		}
		return m.lost()
	})
	return finished, answer, err
}

// Finish implements callback.Once.
func (s *Store) Finish(ctx context.Context, key, owner string, answer []byte, keep time.Duration) (held, kept bool, err error) {
	if err := store.CheckClaim("", key, owner, answer); err != nil {
		return false, false, err
	}
	err = s.about(ctx, key, func(now moment, m *message) error {
		var drop bool
		held, kept, drop = m.Finish(now.us(), owner, bytes.Clone(answer), keep)
		if !drop {
			return nil
		}
		m.content = nil
		delete(s.inbox, key)
		if len(answer) > 0 {
			m.counted = s.answers.Add(store.ShareOf(owner), len(answer), func() { m.Answer, m.gone = nil, true })
		}
		m.tell()
		return nil
	})
	return held, kept, err
}

// Take implements callback.Once.
func (s *Store) Take(ctx context.Context, account, owner string, lease time.Duration) (key string, content []byte, attempt int, err error) { //nolint:revive,lll // the contract of messages, which all stores implement
	if err := store.CheckClaim(account, "", owner, nil); err != nil {
		return "", nil, 0, err
	}
	err = s.do(ctx, func(now moment) error {
		var first *message
		for k, m := range s.inbox {
			if m.Account == account && m.Waits(now.us()) && (first == nil || m.KeptUS < first.KeptUS) {
				first, key = m, k
			}
		}
		if first != nil {
			content, attempt = bytes.Clone(first.content), first.Take(now.us(), owner, lease)
		}
		return nil
	})
	return key, content, attempt, err
}

// Since implements callback.Recent: of what happened before the store was made, it knows
// nothing.
func (s *Store) Since() time.Time { return s.made }

// about is do for a message that is known.
func (s *Store) about(ctx context.Context, key string, f func(now moment, m *message) error) error {
	return s.do(ctx, func(now moment) error {
		m := s.messages[key]
		if m == nil || !m.Known(now.us()) {
			return store.ErrUnknown
		}
		return f(now, m)
	})
}

// lost is the error for an answer that there was no room for.
func (m *message) lost() error {
	if m.gone {
		return store.ErrAnswerGone
	}
	return nil
}

// change is closed by the next tell.
func (m *message) change() chan struct{} {
	if m.changed == nil {
		m.changed = make(chan struct{})
	}
	return m.changed
}

// tell wakes those who wait.
func (m *message) tell() {
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
}
