package callback

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// PanicError is the error that a handler's panic becomes.
type PanicError struct {
	Value any    // what was given to panic
	Stack []byte // of the goroutine, as runtime/debug.Stack has it
}

// Error shows the value and not the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("callback: a handler panicked: %v", e.Value) }

// Unwrap returns the value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// againError is the error of a handler that wants the message again.
type againError struct{ err error }

func (e *againError) Error() string {
	if e.err == nil {
		return "callback: the handler asks for the message again"
	}
	return e.err.Error()
}

func (e *againError) Unwrap() error { return e.err }

// Again makes err, which may be nil, one by which a handler asks for the message again:
// this delivery is answered with 503, and the next one runs the handler again. What it
// replied before is taken back. That WeChat delivers again after a 503 is an assumption:
// it does so when there is no answer, and is treated here as if a 503 were none. A
// message whose deliveries are answered by now is taken up from the inbox after a pause.
// It is given up after five attempts, those for earlier deliveries included.
func Again(err error) error { return &againError{err} }

// protect turns a panic of f into an error.
func protect(f func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &PanicError{Value: value, Stack: debug.Stack()}
		}
	}()
	return f()
}

// insulated is protect for what may also end its goroutine.
func insulated(f func() error) error {
	ended := make(chan error, 1)
	go func() {
		err := errGoexit
		defer func() { ended <- err }()
		err = protect(f)
	}()
	return <-ended
}

// Recover turns a panic of the handlers after it into a [*PanicError], so that
// those before it see an error. Panics of all others, and without it of all, are
// caught at the outermost end.
func Recover() Handler {
	return func(c *Context) error { return protect(c.Next) }
}

// Logger writes a line for each message when it was handled: its type, who sent
// it, what was replied and how long that took, at Info, or at Error what went
// wrong. What the follower wrote is not in it.
func Logger(log *slog.Logger) Handler {
	return func(c *Context) error {
		start := time.Now()
		err := protect(c.Next)
		attrs := []slog.Attr{
			slog.String("type", string(c.Message.Type)),
			slog.String("from", c.Message.FromUserName),
			slog.Duration("took", time.Since(start)),
		}
		if c.Message.Type == TypeEvent {
			attrs = append(attrs, slog.String("event", string(c.Message.Event)), slog.String("key", c.Message.EventKey))
		} else {
			attrs = append(attrs, slog.Int64("msg_id", c.Message.ID))
		}
		if c.Late() {
			attrs = append(attrs, slog.Bool("late", true))
		}
		if err != nil {
			c.logged = true
			attrs = append(attrs, slog.Any("error", err))
			if panicked, ok := errors.AsType[*PanicError](err); ok {
				attrs = append(attrs, slog.String("stack", string(panicked.Stack)))
			}
			log.LogAttrs(c, slog.LevelError, "wechat: a message was not handled",
				append(attrs, slog.String("log_code", "callback_failure_logged"))...)
			return err
		}
		if c.reply != nil {
			attrs = append(attrs, slog.String("reply", string(c.reply.Type)))
		}
		log.LogAttrs(c, slog.LevelInfo, "wechat: message handled", attrs...)
		return nil
	}
}

// Timeout ends the Context of the handlers after it when d has passed. It can only ask: a
// handler has to pass its Context on to what it waits for. One that returns later has
// failed, whatever it returns, and its message may be handled again.
func Timeout(d time.Duration) Handler {
	return func(c *Context) error {
		outer := c.Context
		ctx, cancel := context.WithTimeout(outer, d)
		defer cancel()
		c.Context = ctx
		defer func() { c.Context = outer }()
		err := c.Next()
		if err == nil && outer.Err() == nil {
			err = ctx.Err()
		}
		return err
	}
}

// RateLimit lets through n messages of each follower in any period, evenly
// after a burst, and gives the others to over; nil answers them with nothing.
// Events that a follower did not cause count as well, so put it into a group
// with texts, say. Each process counts for itself and remembers followers for
// two periods at most.
func RateLimit(n int, period time.Duration, over Handler) Handler {
	if n < 1 || period <= 0 {
		panic("callback: RateLimit needs at least 1 message and a period")
	}
	l := &limiter{step: period / time.Duration(n), period: period}
	return func(c *Context) error {
		switch {
		case l.allow(c.Message.FromUserName, time.Now()):
			return c.Next()
		case over == nil:
			return nil
		default:
			return over(c)
		}
	}
}

// limiter is the generic cell rate algorithm: of each follower it knows when the
// messages so far would have been due, had they come evenly.
type limiter struct {
	step, period time.Duration

	mu         sync.Mutex // guards what follows
	young, old map[string]time.Time
	begun      time.Time // when young was
}

func (l *limiter) allow(follower string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.young == nil || now.Sub(l.begun) >= l.period {
		l.old, l.young, l.begun = l.young, make(map[string]time.Time), now
	}
	due, ok := l.young[follower]
	if !ok {
		due = l.old[follower]
	}
	if due.Before(now) {
		due = now
	}
	due = due.Add(l.step)
	if due.Sub(now) > l.period {
		return false
	}
	l.young[follower] = due
	return true
}

// Observe calls f for each message when it was handled: the hook for metrics.
// Types and events are WeChat's, and fit for labels.
func Observe(f func(c *Context, took time.Duration, err error)) Handler {
	return func(c *Context) error {
		start := time.Now()
		err := protect(c.Next)
		f(c, time.Since(start), err)
		return err
	}
}
