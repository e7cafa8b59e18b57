package callback

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// delivery is a push that was opened and read.
type delivery struct {
	m       *Message
	message string // the same as text
	late    bool   // its timestamp is old, so that only the store can tell whether to take it
}

// answer returns what to answer to a delivery, empty for "success". It is false
// when there is nobody to answer any more, or nothing may be answered, or WeChat is to
// deliver the message again.
func (e *Endpoint) answer(ctx context.Context, d delivery) (reply []byte, ok bool) {
	owner, key := NewOwner(d.m.FromUserName), keyFor(e.config.Account, d.m)
	once, attempt, number, age, err := e.claim(ctx, d, key, owner)
	if err != nil {
		return nil, false
	}
	limit := e.times.window
	if number >= lastDelivery || age >= e.times.last {
		limit = e.times.answer
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	deadline := time.Now().Add(limit)
	for {
		r := e.here(key) // as a rule the holder of the message
		if attempt > 0 && (r == nil || !r.adopt(once, owner)) {
			r = &run{e: e, once: once, key: key, owner: owner, attempt: attempt, m: d.m, message: d.message, done: make(chan struct{})}
			if !r.start(ctx) {
				return nil, false
			}
		}
		if r != nil {
			select {
			case <-r.done:
				switch r.outcome {
				case handled:
					return r.answer, true
				case again:
					return nil, false
				}
			case <-timer.C:
				return e.early(ctx, once, key, d)
			case <-ctx.Done():
				return nil, false
			}
		}
		attempt, reply, err = e.wait(ctx, once, key, owner, deadline)
		switch {
		case ctx.Err() != nil:
			return nil, false
		case errors.Is(err, context.DeadlineExceeded):
			return e.early(ctx, once, key, d)
		case attempt == 0:
			return reply, true
		}
	}
}

// keyFor is the message's key in a store, which other accounts may share: two of them can
// be told the same, as the apps of one company are.
func keyFor(account string, m *Message) string {
	key := m.Key()
	if account == "" {
		return key
	}
	sum := sha256.Sum256(appendPart(appendPart(nil, account), key))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// wait returns the answer of another process, or the attempt that is owner's when
// there will be none, or a DeadlineExceeded.
func (e *Endpoint) wait(ctx context.Context, once Once, key, owner string, deadline time.Time) (attempt int, answer []byte, err error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	for {
		attempt, sealed, err := once.Wait(ctx, key, owner, e.leaseFor())
		switch {
		case IsAnswerGone(err):
			e.answerGone()
			return 0, nil, nil
		case err == nil && attempt > 0:
			return attempt, nil, nil
		case err == nil:
			return 0, e.opened(once, key, sealed), nil
		case ctx.Err() != nil:
			return 0, nil, ctx.Err()
		}
		pause(ctx, e.times.retry) // the store is unavailable
	}
}

// answerGone says that a repetition cannot get the answer of the first delivery.
func (e *Endpoint) answerGone() {
	e.log.Warn("wechat: a message is repeated that was handled, and its answer is not kept any more: it is answered with success",
		slog.String("log_code", "callback_answer_gone"))
}

// leaseFor is the lease of a message in work. One that nobody may take up again
// is leased for as long as any is remembered.
func (e *Endpoint) leaseFor() time.Duration {
	if e.config.AtMostOnce {
		return rememberLong
	}
	return e.times.lease
}

// remember is how long is known that a message was handled: at least as long as its
// push would be taken for a fresh one.
func (e *Endpoint) remember(m *Message) time.Duration {
	return max(m.Remember(), 2*e.config.Verifier.freshness)
}

// claim asks the store, and only this process when the store does not answer: a
// message that is handled twice is better than one that is not, unless
// AtMostOnce says otherwise or the push is old.
//
//nolint:revive // function-result-limit: it is Once.Claim, and who answered
func (e *Endpoint) claim(
	ctx context.Context, d delivery, key, owner string,
) (once Once, attempt, number int, age time.Duration, err error) {
	r := e.here(key)
	alone := r != nil && r.once == &e.local || e.local.holds(key) // it began without the store
	if once = e.config.Once; once != nil && !alone {
		short, cancel := context.WithTimeout(ctx, e.times.call)
		defer cancel()
		attempt, number, age, err = once.Claim(short, e.config.Account, key, owner, e.leaseFor(), e.remember(d.m))
		if ctx.Err() == nil {
			e.storeAnswered(err)
		}
		if err != nil && e.config.AtMostOnce {
			e.leaveUnbegun(once, key, owner)
		}
		if err == nil || e.config.AtMostOnce || d.late || ctx.Err() != nil {
			return once, attempt, number, age, err
		}
		if r != nil {
			return once, 0, lastDelivery, 0, nil // it is handled here already; which delivery this is nobody knows
		}
	}
	attempt, number, age, err = e.local.Claim(ctx, "", key, owner, 0, 0)
	return &e.local, attempt, number, age, err
}

// storeAnswered says once when the store goes away and once when it is back.
func (e *Endpoint) storeAnswered(err error) {
	e.mu.Lock()
	before := e.warned
	e.warned = err != nil
	e.mu.Unlock()
	switch {
	case err != nil && !before && e.config.AtMostOnce:
		e.log.Warn("wechat: the store does not answer; messages are turned away until it does",
			slog.String("log_code", "callback_store_away_refusing"), slog.Any("error", err))
	case err != nil && !before:
		e.log.Warn("wechat: the store does not answer; until it does, each process handles a message once for itself",
			slog.String("log_code", "callback_store_away"), slog.Any("error", err))
	case err == nil && before:
		e.log.Info("wechat: the store answers again")
	}
}

// early answers before the handler does. From then on the message is in the
// inbox. What WeChat delivers for hours is left to its next delivery, which gets the
// handler's own answer: "success" would be another one, and the last.
func (e *Endpoint) early(ctx context.Context, once Once, key string, d delivery) (reply []byte, ok bool) {
	if d.m.insists() {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.times.call)
	defer cancel()
	finished, sealed, err := once.Keep(ctx, key, e.toKeep(once, key, d.message))
	switch {
	case IsAnswerGone(err):
		e.answerGone()
		return nil, true
	case err != nil:
		e.log.Error("wechat: a message in work is answered without being kept; it is lost if this process ends",
			slog.String("log_code", "callback_message_unkept"), slog.Any("error", err))
	case finished:
		return e.opened(once, key, sealed), true
	}
	if r := e.here(key); r != nil { // whichever delivery began it
		r.late.Store(true)
	}
	if e.working == nil || !answerable(d.m) {
		return nil, true
	}
	return e.working.render(d.m, time.Now()), true
}

// toKeep is what the inbox gets of a message.
func (e *Endpoint) toKeep(once Once, key, message string) []byte {
	if e.config.AtMostOnce || once == &e.local {
		return nil
	}
	return e.vault.seal(key, []byte(message))
}

// opened is the answer that Once has.
func (e *Endpoint) opened(once Once, key string, sealed []byte) []byte {
	if once == &e.local {
		return sealed
	}
	answer, err := e.vault.open(key, sealed)
	if err != nil {
		e.log.Error("wechat: the answer of another process cannot be read",
			slog.String("log_code", "callback_answer_unreadable"), slog.Any("error", err))
	}
	return answer
}

// answerable reports whether anybody would see a reply to m.
func answerable(m *Message) bool { return m.FromUserName != "" && !m.Event.is(Unsubscribe) }

// run is one attempt at handling a message.
type run struct {
	e       *Endpoint
	once    Once
	key     string
	attempt int
	m       *Message
	message string
	cancel  context.CancelCauseFunc
	older   *run // of the same message in this process, guarded by Endpoint.mu

	mu    sync.Mutex // guards what follows
	owner string
	over  bool // settled

	late atomic.Bool // WeChat was answered before
	left atomic.Bool // to others; the lease is not renewed

	done    chan struct{} // closed when the next two are known
	outcome outcome
	answer  []byte
}

// outcome is how a run ended, as far as the deliveries that wait for it are concerned.
type outcome int

const (
	handled outcome = iota // with its answer
	lost                   // another process holds the message now
	again                  // the next delivery runs the handler again
)

// settle notifies the deliveries that wait here.
func (r *run) settle(outcome outcome, answer []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		r.over, r.outcome, r.answer = true, outcome, answer
		close(r.done)
	}
}

// adopt gives the run a claim that another delivery in this process was granted,
// because the lease was not renewed in time, and reports whether it needs one.
func (r *run) adopt(once Once, owner string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over || r.once != once {
		return false
	}
	r.owner = owner
	return true
}

func (r *run) holder() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.owner
}

// valued has the values of a second context as well, after its own.
type valued struct {
	context.Context
	second context.Context
}

func (v valued) Value(key any) any {
	if value := v.Context.Value(key); value != nil {
		return value
	}
	return v.second.Value(key)
}

// start begins to handle the message, with the values of parent and of the
// configuration, and reports whether it did.
func (r *run) start(parent context.Context) bool {
	ctx, cancel := context.WithCancelCause(valued{context.WithoutCancel(parent), r.e.config.Context})
	r.cancel = cancel
	if !r.e.enter(r) {
		cancel(nil)
		r.e.leaveUnbegun(r.once, r.key, r.holder())
		return false
	}
	go func() {
		defer r.e.exit(r)
		defer cancel(nil)
		if r.leasable() {
			defer r.hold(ctx)()
		}
		r.handle(ctx)
	}()
	return true
}

// hold renews the lease until the returned function is called.
func (r *run) hold(ctx context.Context) (stop func() bool) {
	interval := r.e.times.lease / 3
	var timer *time.Timer
	started := make(chan struct{})
	timer = time.AfterFunc(interval, func() {
		<-started
		if r.left.Load() {
			return
		}
		short, stop := context.WithTimeout(context.WithoutCancel(ctx), interval)
		defer stop()
		owner := r.holder()
		held, kept, err := r.once.Hold(short, r.key, owner, r.e.times.lease)
		switch {
		case err == nil && !held && owner == r.holder():
			r.settle(lost, nil)
			r.cancel(errLost)
			return
		case kept:
			r.late.Store(true)
		}
		if ctx.Err() == nil {
			timer.Reset(interval)
		}
	})
	close(started)
	return timer.Stop
}

// errLost is the cause that a handler finds when its process was silent for so
// long that another one took the message over.
var errLost = errors.New("callback: another process has taken this message over")

// errGoexit is the failure of a handler that never returned.
var errGoexit = errors.New("callback: a handler ended its goroutine (runtime.Goexit, or FailNow of a test) and did not return")

// handle lets the router handle the message and sees to what comes of it, even where
// a handler ends the goroutine, whose deferred calls run all the same.
func (r *run) handle(ctx context.Context) {
	c := &Context{Context: ctx, Message: r.m, limits: r.e.config.Limits, late: r.late.Load}
	err := errGoexit
	defer func() { r.conclude(ctx, c, err) }()
	err = r.e.config.Router.run(c)
}

// conclude records what came of the message, or has it handled again.
func (r *run) conclude(ctx context.Context, c *Context, err error) {
	e := r.e
	if err != nil {
		e.fail(c, err)
		if e.ctx.Err() != nil && r.leasable() {
			// The shutdown cut it off: another process does better.
			if r.leave() {
				r.settle(lost, nil)
			} else {
				r.settle(handled, nil)
			}
			return
		}
		if r.wanted(c, err) && r.giveBack() {
			return
		}
	}
	var answer []byte
	if reply := c.reply; reply != nil && (reply.Type == TypeRaw || answerable(r.m)) {
		answer = reply.render(r.m, time.Now())
	}
	r.record(ctx, c, answer)
}

// wanted reports whether a message that was not handled is to be handled again. See
// the package documentation for the reasons.
func (r *run) wanted(c *Context, err error) bool {
	if _, ok := errors.AsType[*againError](err); ok {
		c.reply = nil
		return true
	}
	return c.reply == nil && r.m.insists() && !r.e.config.AtMostOnce
}

// giveBack leaves the message to its next delivery or, where WeChat was answered, to
// the inbox after a pause. It is false when neither will come.
func (r *run) giveBack() bool {
	e := r.e
	ctx, cancel := context.WithTimeout(context.Background(), e.times.call)
	defer cancel()
	if r.late.Load() {
		if !r.leasable() {
			return false
		}
		r.left.Store(true)
		pause := e.times.lease << min(r.attempt, maxAttempts)
		held, kept, err := r.once.Hold(ctx, r.key, r.holder(), pause)
		if err != nil {
			e.log.Warn("wechat: a message cannot be left for later; it is when its lease ends",
				slog.String("log_code", "callback_message_not_left"), slog.Any("error", err))
		}
		r.settle(lost, nil)
		return err != nil || !held || kept
	}
	r.left.Store(true)
	if _, _, err := r.once.Hold(ctx, r.key, r.holder(), 0); err != nil {
		e.log.Warn("wechat: a message cannot be left to its next delivery before its lease ends",
			slog.String("log_code", "callback_delivery_not_left"), slog.Any("error", err))
	}
	r.settle(again, nil)
	return true
}

// record writes the outcome down, until that succeeds, and sends an answer that is too
// late for WeChat.
func (r *run) record(ctx context.Context, c *Context, answer []byte) {
	e, reply := r.e, c.reply
	for try := 0; ; try++ {
		held, kept, err := r.finish(ctx, answer)
		if try == 0 {
			outcome := handled
			if err == nil && !held {
				outcome = lost
			}
			r.settle(outcome, answer)
		}
		if err == nil && !held {
			return
		}
		if kept {
			r.late.Store(true)
		}
		if r.late.Load() && len(answer) > 0 && (err == nil || try == finishTries) {
			answer = nil // it leaves here, and nobody else waits for it
			if err := r.send(ctx, reply); err != nil {
				c.logged = false
				e.fail(c, err)
			}
			try = 0
			continue
		}
		if err == nil {
			return
		}
		if try == finishTries || e.ctx.Err() != nil {
			e.log.Error("wechat: what became of a message cannot be recorded; it may be handled again",
				slog.String("log_code", "callback_outcome_unrecorded"), slog.Any("error", err))
			return
		}
		pause(e.ctx, e.times.retry<<min(try, 5))
	}
}

// finishTries is how often a failed record is written again, in about a minute.
const finishTries = 10

// fail takes an error to the one place for errors, or to the log.
func (e *Endpoint) fail(c *Context, err error) {
	if err = e.config.Router.fail(c, err); err == nil {
		return
	}
	attrs := []slog.Attr{
		slog.String("type", string(c.Message.Type)), slog.String("event", string(c.Message.Event)),
		slog.String("from", c.Message.FromUserName), slog.Any("error", err),
	}
	if panicked, ok := errors.AsType[*PanicError](err); ok {
		attrs = append(attrs, slog.String("stack", string(panicked.Stack)))
	}
	e.log.LogAttrs(c, slog.LevelError, "wechat: a message was not handled", append(attrs, slog.String("log_code", "callback_failure"))...)
}

func (r *run) finish(ctx context.Context, answer []byte) (held, kept bool, err error) {
	if r.once == &r.e.local {
		return r.once.Finish(ctx, r.key, r.holder(), answer, 0)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.e.times.call)
	defer cancel()
	return r.once.Finish(ctx, r.key, r.holder(), r.e.vault.seal(r.key, answer), r.remember())
}

// remember is Endpoint.remember of the message; of one that cannot be read nothing is
// known.
func (r *run) remember() time.Duration {
	if r.m == nil {
		return rememberLong
	}
	return r.e.remember(r.m)
}

var errNoSender = errors.New("callback: a reply came after WeChat was answered, and EndpointConfig.Sender is not set to send it")

// send sends a late reply.
func (r *run) send(ctx context.Context, reply *Reply) error {
	if r.e.config.Sender == nil {
		return errNoSender
	}
	err := insulated(func() error { return r.e.config.Sender.Send(ctx, r.m.FromUserName, reply) })
	if err != nil {
		return fmt.Errorf("callback: a late reply was not sent: %w", err)
	}
	return nil
}

// leasable reports whether another process can take the message over.
func (r *run) leasable() bool { return r.once != &r.e.local && !r.e.config.AtMostOnce }

// leaveUnbegun gives back what owner claimed, or may have claimed, and never began to
// handle. That is no second run, not even of what may run only once.
func (e *Endpoint) leaveUnbegun(once Once, key, owner string) {
	ctx, cancel := context.WithTimeout(context.Background(), e.times.call)
	defer cancel()
	_, _, _ = once.Hold(ctx, key, owner, 0)
}

// release ends the lease, so that others need not wait for its end.
func (r *run) release() {
	ctx, cancel := context.WithTimeout(context.Background(), r.e.times.call)
	defer cancel()
	if _, _, err := r.once.Hold(ctx, r.key, r.holder(), 0); err != nil {
		r.e.log.Warn("wechat: a message cannot be left to other processes before its lease ends",
			slog.String("log_code", "callback_lease_not_ended"), slog.Any("error", err))
	}
}

// leave leaves the message to its next delivery if WeChat insists on the handler's own
// answer, else puts it into the inbox for the process that looks there next. It reports whether the
// message is in good hands.
func (r *run) leave() bool {
	if !r.leasable() {
		return false
	}
	r.left.Store(true)
	if !r.late.Load() && r.m.insists() {
		r.release()
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.e.times.call)
	defer cancel()
	_, _, err := r.once.Keep(ctx, r.key, r.e.toKeep(r.once, r.key, r.message))
	if err != nil {
		r.e.log.Error("wechat: a message in work cannot be kept; it is lost with this process",
			slog.String("log_code", "callback_message_lost"), slog.Any("error", err))
	}
	r.release()
	return err == nil
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
