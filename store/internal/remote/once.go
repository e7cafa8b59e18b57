package remote

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/internal/columns"
)

// The looks of those who wait for another process's message.
const (
	firstLook = 20 * time.Millisecond
	lastLook  = 250 * time.Millisecond
)

// forgetPace is after how many new messages a process looks for old ones.
const forgetPace = 500

// MessageEngine is what an [Engine] has to be able to do besides, so that its
// store keeps the contract of callback.Once.
type MessageEngine interface {
	// ReadMessage returns what is known of a message, and the server's time.
	ReadMessage(ctx context.Context, name string) (MessageState, error)

	// SwapMessage carries out a change, wholly or not at all, and reports whether
	// it did.
	SwapMessage(ctx context.Context, change MessageChange) (bool, error)

	// FirstKept returns the name of the message of an account that was kept first
	// of those that wait and whose lease has ended, "" if there is none.
	FirstKept(ctx context.Context, account string) (name string, err error)

	// Content returns what was kept of a message, nothing if it is unknown.
	Content(ctx context.Context, name string) ([]byte, error)

	// Forget removes messages that may be forgotten, some thousand at most.
	Forget(ctx context.Context) error
}

// MessageState is a message as it was read.
type MessageState struct {
	columns.Message
	Found   bool
	Version int64 // tells whether it was changed; the server's time in µs at its last change, or more
	NowUS   int64 // the server's time of the reading

	clock reading // that of NowUS
}

// MessageChange is what is written of a message in one step.
type MessageChange struct {
	columns.Message
	Name    string
	Found   bool   // there is the message, and it has ...
	Old     int64  // ... this version; or else there still must be none
	New     int64  // the version then
	UntilUS int64  // the server's time before which it has to happen
	Content []byte // nil: stays what it is
}

// Once is a [Store] that keeps the contract of callback.Once too.
type Once struct {
	*Store
	pushes MessageEngine
}

// WithMessages is s with its engine's abilities.
func WithMessages(s *Store, engine MessageEngine) Once { return Once{Store: s, pushes: engine} }

// Claim implements callback.Once.
func (s Once) Claim( //nolint:revive // the contract of messages, which all stores implement
	ctx context.Context,
	account, key, owner string,
	lease, keep time.Duration,
) (attempt, delivery int, age time.Duration, err error) {
	if err := store.CheckClaim(account, key, owner, nil); err != nil {
		return 0, 0, 0, err
	}
	claimed, err := call(ctx, s.Store, func(ctx context.Context) (claimed store.Claimed, err error) {
		err = s.edit(ctx, key, true, func(state MessageState, m *columns.Message) (content []byte, err error) {
			var fresh bool
			if claimed, fresh = m.Claim(state.NowUS, account, owner, lease, keep); fresh {
				content = []byte{}
			}
			return content, nil
		})
		return claimed, err
	})
	if err == nil && claimed.Delivery == 1 {
		s.forget()
	}
	return claimed.Attempt, claimed.Delivery, claimed.Age, err
}

// forget lets go of old messages now and then, next to the call.
func (s Once) forget() {
	s.mu.Lock()
	s.claims++
	due := s.claims%forgetPace == 0
	s.mu.Unlock()
	if !due {
		return
	}
	_ = s.Go(func() {
		ctx, cancel := context.WithTimeout(s.life, callTime)
		defer cancel()
		if err := s.pushes.Forget(ctx); err != nil && s.life.Err() == nil {
			s.log.Debug("old messages were not forgotten", slog.String("server", s.server.String()), slog.Any("cause", err))
		}
	})
}

// Wait implements callback.Once. It looks every quarter of a second.
func (s Once) Wait(ctx context.Context, key, owner string, lease time.Duration) (attempt int, answer []byte, err error) {
	if err := store.CheckClaim("", key, owner, nil); err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	type look struct {
		attempt int
		answer  []byte
		left    time.Duration // of another one's lease
	}
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		l, err := about(ctx, s, key, func(now int64, m *columns.Message) (look, []byte) {
			var l look
			l.attempt, l.answer, l.left = m.Wait(now, owner, lease)
			return l, nil
		})
		if err != nil || l.left == 0 {
			return l.attempt, l.answer, err
		}
		if err := sleep(ctx, min(pause/2+rand.N(pause), l.left)); err != nil {
			if s.life.Err() != nil {
				err = s.closedError()
			}
			return 0, nil, err
		}
	}
}

// standing is what the holder of a message learns.
type standing struct{ held, kept bool }

// Hold implements callback.Once.
func (s Once) Hold(ctx context.Context, key, owner string, lease time.Duration) (held, kept bool, err error) {
	if err := store.CheckClaim("", key, owner, nil); err != nil {
		return false, false, err
	}
	is, err := about(ctx, s, key, func(now int64, m *columns.Message) (standing, []byte) {
		var is standing
		is.held, is.kept = m.Hold(now, owner, lease)
		return is, nil
	})
	return is.held, is.kept, err
}

// Keep implements callback.Once.
func (s Once) Keep(ctx context.Context, key string, message []byte) (finished bool, answer []byte, err error) {
	if err := store.CheckClaim("", key, "", message); err != nil {
		return false, nil, err
	}
	type kept struct {
		finished bool
		answer   []byte
	}
	s.forgetState(key) // Take goes by the server's own time of Keep
	k, err := about(ctx, s, key, func(now int64, m *columns.Message) (k kept, content []byte) {
		var write bool
		if k.finished, k.answer, write = m.Keep(now, message); write {
			content = message
		}
		return k, content
	})
	return k.finished, k.answer, err
}

// Finish implements callback.Once.
func (s Once) Finish(ctx context.Context, key, owner string, answer []byte, keep time.Duration) (held, kept bool, err error) {
	if err := store.CheckClaim("", key, owner, answer); err != nil {
		return false, false, err
	}
	is, err := about(ctx, s, key, func(now int64, m *columns.Message) (is standing, content []byte) {
		var drop bool
		if is.held, is.kept, drop = m.Finish(now, owner, answer, keep); drop {
			content = []byte{}
		}
		return is, content
	})
	return is.held, is.kept, err
}

// Take implements callback.Once.
func (s Once) Take(ctx context.Context, account, owner string, lease time.Duration) (key string, message []byte, attempt int, err error) { //nolint:revive,lll // the contract of messages, which all stores implement
	if err := store.CheckClaim(account, "", owner, nil); err != nil {
		return "", nil, 0, err
	}
	type taken struct {
		key     string
		message []byte
		attempt int
	}
	t, err := call(ctx, s.Store, func(ctx context.Context) (t taken, err error) {
		for t.attempt == 0 {
			t.key, err = s.pushes.FirstKept(ctx, account)
			if passes(err) && ctx.Err() == nil { // see readMany
				t.key, err = s.pushes.FirstKept(ctx, account)
			}
			if err != nil || t.key == "" {
				return taken{}, err
			}
			if t.message, err = s.pushes.Content(ctx, t.key); err != nil {
				return taken{}, err
			}
			err = s.edit(ctx, t.key, false, func(state MessageState, m *columns.Message) ([]byte, error) {
				t.attempt = 0
				if state.Found && m.Waits(state.NowUS) { // what is kept stays the same as long as it is
					t.attempt = m.Take(state.NowUS, owner, lease)
				}
				return nil, nil
			})
			if err != nil {
				return taken{}, err
			}
		}
		return t, nil
	})
	return t.key, t.message, t.attempt, err
}

// about is a call that edits a message which was claimed. What edit returns
// second is the content to write, nil for none.
func about[T any](ctx context.Context, s Once, key string, edit func(nowUS int64, m *columns.Message) (T, []byte)) (T, error) {
	return call(ctx, s.Store, func(ctx context.Context) (value T, err error) {
		err = s.edit(ctx, key, false, func(state MessageState, m *columns.Message) (content []byte, err error) {
			if !state.Found || !m.Known(state.NowUS) {
				return nil, store.ErrUnknown
			}
			value, content = edit(state.NowUS, m)
			return content, nil
		})
		return value, err
	})
}

// edit reads, edits and swaps a message until nobody came between. What edit
// returns is the content to write, nil for none. A message that may be new is taken for
// one first.
func (s Once) edit(
	ctx context.Context, name string, mayBeNew bool,
	edit func(state MessageState, m *columns.Message) ([]byte, error),
) error {
	var lost *MessageChange // one whose answer did not come
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		state, recalled, err := s.message(ctx, name, mayBeNew)
		mayBeNew = false
		switch {
		case err != nil:
			return err
		case lost != nil && !recalled && state.Version == lost.New && alike(state.Message, lost.Message):
			return nil
		}
		m := state.Message
		content, err := edit(state, &m)
		if err != nil || content == nil && reflect.DeepEqual(m, state.Message) {
			if recalled {
				continue // what is remembered may be wrong by now
			}
			return err
		}
		change := MessageChange{
			Message: m, Name: name, Content: content, Found: state.Found,
			Old: state.Version, New: max(state.Version+1, state.NowUS),
			UntilUS: state.NowUS + decisionTime.Microseconds(),
		}
		swapped, err := s.pushes.SwapMessage(ctx, change)
		switch {
		case recalled && passes(err) && ctx.Err() == nil:
			lost = &change // a connection may have been lost since the last call, see again
			continue
		case err != nil:
			return err
		case swapped:
			s.rememberMessage(name, MessageState{Message: m, Found: true, Version: change.New, clock: state.clock})
			return nil
		case recalled:
			continue
		}
		if err := sleep(ctx, pause+rand.N(pause)); err != nil {
			return named.Errorf("zhongkong", "others change this message all the time: %w", err)
		}
	}
}

// alike reports whether two states of a message are the same. No answer is an empty one.
func alike(a, b columns.Message) bool {
	same := bytes.Equal(a.Answer, b.Answer)
	a.Answer, b.Answer = nil, nil
	return same && reflect.DeepEqual(a, b)
}

// message is a message as it was a moment ago, or is now.
func (s Once) message(ctx context.Context, name string, mayBeNew bool) (state MessageState, recalled bool, err error) {
	if state, recalled = s.recallMessage(name, mayBeNew); recalled {
		return state, true, nil
	}
	var asked time.Time
	state, err = again(ctx, func() (MessageState, error) { asked = time.Now(); return s.pushes.ReadMessage(ctx, name) })
	if err == nil {
		state.clock = s.tick(time.UnixMicro(state.NowUS), asked)
	}
	return state, false, err
}
