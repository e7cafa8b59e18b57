package callback

import (
	"context"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
)

// takeUp handles messages that were answered and whose process is gone.
func (e *Endpoint) takeUp() {
	slots := make(chan struct{}, maxTaken)
	for e.taking.Err() == nil {
		select {
		case slots <- struct{}{}:
		case <-e.taking.Done():
			return
		}
		r, err := e.take()
		if errors.Is(err, errUnreadable) {
			<-slots
			pause(e.taking, e.times.unreadable)
			continue
		}
		if e.taking.Err() == nil {
			e.storeAnswered(err)
		}
		if r == nil || !r.start(context.Background()) {
			<-slots
			pause(e.taking, e.times.look/2+mathrand.N(e.times.look))
			continue
		}
		go func() {
			<-r.done
			<-slots
		}()
	}
}

// errUnreadable is what take met: the store did answer, and others may read the message.
// They have time to: each look counts as an attempt.
var errUnreadable = errors.New("callback: a message from before cannot be read")

// take returns the next message that nobody handles, nil if there is none.
func (e *Endpoint) take() (*run, error) {
	owner := NewOwner("")
	ctx, cancel := context.WithTimeout(e.taking, e.times.call)
	defer cancel()
	key, sealed, attempt, err := e.config.Once.Take(ctx, e.config.Account, owner, e.times.lease)
	if err != nil || key == "" {
		return nil, err
	}
	if r := e.here(key); r != nil && r.adopt(e.config.Once, owner) {
		return nil, nil // it is being handled here; the store had lost sight of that
	}
	r := &run{e: e, once: e.config.Once, key: key, owner: owner, attempt: attempt, done: make(chan struct{})}
	message, err := e.vault.open(key, sealed)
	if err == nil {
		r.message = string(message)
		r.m, err = parseMessage(r.message)
	}
	if err != nil {
		e.log.Error("wechat: a message from before cannot be taken up",
			slog.String("log_code", "callback_inbox_unreadable"), slog.Any("error", err))
		return nil, errUnreadable
	}
	if attempt > maxAttempts {
		e.log.Error("wechat: a message is given up: it was handled several times without an end",
			slog.String("log_code", "callback_message_given_up"), slog.Int("attempts", attempt-1))
		_, _, err = r.finish(ctx, nil)
		return nil, err
	}
	r.late.Store(true)
	e.log.Info("wechat: a message from before is taken up", slog.Int("attempt", attempt))
	return r, nil
}
