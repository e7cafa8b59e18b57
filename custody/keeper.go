package custody

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// Keeper keeps one credential alive. Token hands it out, from memory while it
// lives; renewing ahead of its end, after a refusal, and in agreement with every
// other process on the same store is the Keeper's own business.
//
// All methods are safe for concurrent use.
type Keeper struct {
	cfg       Config
	seals     sealer
	calls     storeCalls
	scheduler *Scheduler
	task      task
	state     state

	// Owned by the running flight:
	unsaved *unsaved // what the store has not taken yet
	known   *known   // the notes that the store had last; nil where there were none

	flights sync.WaitGroup
	leaving sync.Once
	private bool // scheduler belongs to this Keeper alone
}

// known is what a flight without an answer of the store knows from the one before.
type known struct {
	notes Record // without a value
	at    time.Time
}

// unsaved is what the store has not taken yet.
type unsaved struct {
	save    *pendingSave
	shorten *pendingShorten
	due     time.Time // the next try
}

// forget drops a value that has ended: what the store has may live. It reports whether
// there is one to save.
func (u *unsaved) forget(current *held) bool {
	if u.save != nil && !current.live(time.Now()) {
		u.save = nil
	}
	return u.save != nil
}

type pendingSave struct {
	lease  Lease
	record Record
}

type pendingShorten struct {
	fence int64
	end   time.Time // in the store's clock
}

// New checks cfg and returns a Keeper that begins to load its credential in the
// background: the first caller of Token waits for it with a ctx of its own, the
// start of a program does not.
func New(cfg Config) (*Keeper, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	seals, err := newSealer(cfg.SealKeys)
	if err != nil {
		return nil, err
	}
	k := &Keeper{cfg: cfg, seals: seals, scheduler: cfg.Scheduler, private: cfg.Scheduler == nil}
	if k.private {
		k.scheduler = NewScheduler(SchedulerConfig{})
	}
	k.task.run = background{k}
	k.scheduler.add(&k.task)
	k.calls = storeCalls{cfg: &k.cfg, who: background{k}}
	k.state.mu.Lock() // a notice that comes at once waits for the hub to be known
	k.calls.hub = k.scheduler.join(cfg.Store, cfg.Key, background{k})
	k.state.mu.Unlock()
	if k.private || !k.calls.first() {
		background{k}.wakeUp()
	}
	return k, nil
}

// Token returns the live credential: at once when there is one, also while it
// is being renewed; else it waits for one until ctx ends. It returns ctx's error,
// [ErrClosed] or an [*Error] that says what is wrong and when the next attempt
// is due. Until then nobody is asked for another value, but the store is: once a
// second at most, for all callers, since another process may have renewed.
func (k *Keeper) Token(ctx context.Context) (Token, error) {
	if h := k.state.held.Load(); h != nil {
		now := time.Now()
		since := now.Sub(h.base)
		if since < h.dead && now.UnixNano()-h.wall-int64(since) <= int64(maxDrift) {
			return Token{h}, nil
		}
	}
	return k.await(ctx)
}

// await is Token without a live credential at hand.
func (k *Keeper) await(ctx context.Context) (Token, error) {
	s := &k.state
	for {
		s.mu.Lock()
		now, h, f := time.Now(), s.held.Load(), s.flight
		evident := f == nil && now.Sub(s.asked) < lookGap
		switch {
		case s.closed:
			s.mu.Unlock()
			return Token{}, ErrClosed
		case h.live(now):
			s.mu.Unlock()
			return Token{h}, nil
		case evident && h.lastResort(now) != nil:
			s.mu.Unlock()
			return Token{h.refused}, nil
		case evident && s.failure.lasts(now) && !s.failure.soon:
			err := k.named(s.failure.at(now))
			s.mu.Unlock()
			return Token{}, err
		case f == nil:
			f = background{k}.start()
		default:
			f.stir()
		}
		news := f.news
		s.waiting++
		s.mu.Unlock()
		var ended error
		select {
		case <-news:
		case <-f.done:
		case <-ctx.Done():
			ended = ctx.Err()
		}
		s.mu.Lock()
		s.waiting--
		h = s.held.Load()
		s.mu.Unlock()
		if ended != nil {
			return Token{}, k.gaveUp(ended)
		}
		if err := f.result(); err != nil && !h.live(time.Now()) {
			if last := h.lastResort(time.Now()); last != nil {
				return Token{last}, nil
			}
			return Token{}, err
		}
	}
}

// Reject says that the issuer refused the value refused in a call of its API,
// and returns the token to repeat the call with, once: another one, or the same one
// if the issuer accepts it when it is asked directly. A value that is no longer the
// current one, here or in the store, leads to no fetch: the newer one is returned. The
// current one is probed first, once a second at most; only when the issuer refuses it
// in the probe too is it renewed, once for everybody.
//
// It returns ctx's error, [ErrClosed] or an [*Error]; the renewal continues when
// ctx ends. An error that wraps [ErrRefused] says that there is nothing to repeat the
// call with: hand the refusal to the caller. See [Call] for what ctx may say.
func (k *Keeper) Reject(ctx context.Context, refused string) (Token, error) {
	began := time.Now()
	t, waited, err := k.reject(ctx, refused)
	result := RefusalNewer
	var e *Error
	switch {
	case err == nil && t.Value() == refused:
		result = RefusalAccepted
	case err == nil && t.Origin() == OriginFetched && waited:
		result = RefusalRenewed
	case err == nil:
	case !errors.As(err, &e):
		result = RefusalAbandoned
	case e.accepted:
		result = RefusalAccepted
	default:
		result = RefusalNoOther
	}
	k.cfg.Trace.refused(RefusedInfo{Key: k.cfg.Key, Result: result, Took: time.Since(began), Err: err})
	return t, err
}

// reject is Reject. It also reports whether it waited for a renewal.
func (k *Keeper) reject(ctx context.Context, refused string) (t Token, waited bool, err error) {
	s, call := &k.state, callOf(ctx)
	for {
		s.mu.Lock()
		now, h := time.Now(), s.current()
		switch {
		case s.closed:
			s.mu.Unlock()
			return Token{}, waited, ErrClosed
		case h == nil || h.value.Reveal() != refused:
			s.mu.Unlock()
			t, err := k.Token(ctx)
			if err != nil || t.Value() != refused {
				return t, waited, err
			}
			continue // the store still has the refused value: now it is the current one
		}
		report, err := k.report(h, call, now)
		s.mu.Unlock()
		if err != nil {
			return Token{}, waited, err
		}
		select {
		case <-report.done:
		case <-ctx.Done():
			return Token{}, waited, k.gaveUp(ctx.Err())
		}
		switch {
		case report.err != nil:
			return Token{}, waited, report.err
		case report.again:
			return Token{h}, waited, nil
		}
		waited = true // for another value
	}
}

// report takes note that the current value, h, was refused, or says at once why nothing can
// be done about that. The caller holds mu.
func (k *Keeper) report(h *held, call *Call, now time.Time) (*report, error) {
	s := &k.state
	book, evident := s.book(h.value), s.flight == nil && now.Sub(s.asked) < lookGap
	switch denied := book.denied; {
	case evident && book.doubt && s.failure.lasts(now) && !s.failure.soon:
		return nil, k.named(s.failure.at(now))
	case evident && denied != nil && call.Lived.Before(denied.at):
		return nil, denied.err
	}
	report := book.add(call, now)
	if report.look && evident {
		book.end(true, k.refusedError(refusal{refusedAccepted, quarantineGap}))
	}
	switch {
	case report.answered():
	case s.flight == nil:
		background{k}.start()
	default:
		s.flight.stir()
	}
	return report, nil
}

// Renew has the credential fetched now, in the background: for an issuer that says
// of its own accord when there is a newer one, as a gateway does (package source).
// Callers get the value at hand until the newer one is there. A renewal that is under
// way may have asked too early, so another one follows it. What holds back any other
// attempt (a failure, a daily limit) holds this one back too.
//
// It is of no use where nobody says so: Keepers renew in time on their own, and where
// each fetch supersedes the value before, this one does. For a value that was refused
// there is Reject.
func (k *Keeper) Renew() {
	s := &k.state
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.renews++
	if s.flight == nil {
		background{k}.start()
	} else {
		s.flight.stir()
	}
}

// refusedError is what Reject returns where nothing can be done.
func (k *Keeper) refusedError(r refusal) *Error {
	return &Error{
		Key: k.cfg.Key, Class: ClassBlocked, RetryAfter: r.wait, Text: refusedTexts[r.reason], Err: ErrRefused,
		accepted: r.reason == refusedAccepted,
	}
}

// named returns err with the name of the credential.
func (k *Keeper) named(err *Error) *Error {
	err.Key = k.cfg.Key
	return err
}

// gaveUp turns the end of a caller's ctx, or of the Keeper, into what it gets.
func (k *Keeper) gaveUp(err error) error {
	if errors.Is(err, ErrClosed) {
		return err
	}
	return fmt.Errorf("zhongkong: waiting for the %s of %s: %w", k.cfg.Key.Kind, k.cfg.Key.AppID, err)
}

// Status describes a Keeper for people and probes, without a secret.
type Status struct {
	Key     Key
	Live    bool          // a token can be handed out now
	Refused bool          // it is the last resort: its issuer refuses it, and no other is to be had yet
	Left    time.Duration // for how long; 0 when Live is false
	Life    time.Duration // that the issuer stated; 0 when Live is false
	Fence   int64         // the number of the renewal that brought it
	Origin  Origin        // how it came into this process
	Renewal time.Duration // until its renewal is due; 0 when it is
	Failure *Error        // what the last attempt met; nil after a success
}

// Status returns the state at this moment. It waits for nothing.
func (k *Keeper) Status() Status {
	k.state.mu.Lock()
	defer k.state.mu.Unlock()
	now := time.Now()
	s := Status{Key: k.cfg.Key}
	h := k.state.held.Load()
	if last := h.lastResort(now); last != nil && k.state.flight == nil {
		h, s.Refused = last, true
	}
	if h.live(now) {
		t := Token{h}
		s.Live, s.Left, s.Life, s.Fence, s.Origin = true, t.Left(), h.life, t.Fence(), t.Origin()
		s.Renewal = max(0, h.fresh-now.Sub(h.base))
	}
	if k.state.failure != nil {
		s.Failure = k.named(k.state.failure.at(now))
	}
	return s
}

// Close stops the Keeper and waits for its goroutines. A fetch that was already
// sent is awaited and saved, so Close may take as long as a fetch and a Save. The
// store stays open. Closing twice is safe.
func (k *Keeper) Close() error {
	s := &k.state
	s.mu.Lock()
	s.closed = true
	if s.flight != nil {
		s.flight.cancel()
	}
	s.mu.Unlock()
	k.flights.Wait()
	k.leaving.Do(k.leave)
	return nil
}

// leave is the end of Close.
func (k *Keeper) leave() {
	if u := k.unsaved; u != nil && u.forget(k.state.current()) {
		if err := k.calls.save(u.save.lease, u.save.record); err != nil && !errors.Is(err, ErrFenced) {
			k.log().Warn("the token in use was never saved: the next start renews it", "log_code", "custody_token_never_saved", "error", err)
		}
		k.unsaved = nil
	}
	k.state.held.Store(nil)
	k.scheduler.leave(k.calls.hub, k.cfg.Key, background{k})
	k.scheduler.remove(&k.task)
	if k.private {
		k.scheduler.Close()
	}
}

// log returns a logger that names the credential.
func (k *Keeper) log() *slog.Logger {
	return k.cfg.Logger.With("kind", k.cfg.Key.Kind, "appid", k.cfg.Key.AppID)
}

// Format implements [fmt.Formatter]: which credential it keeps.
func (k *Keeper) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "custody.Keeper(%s)", k.cfg.Key)
}

// attemptID is an id that no other attempt has: "host/pid/random", for the journal.
func attemptID() string {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	name = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == '/' {
			return '-'
		}
		return r
	}, name)
	return fmt.Sprintf("%.64s/%d/%s", name, os.Getpid(), rand.Text())
}

// keepNotes keeps what the store noted last, for a flight that gets no answer.
func (k *Keeper) keepNotes(rec Record, at time.Time) {
	if len(rec.Notes) == 0 {
		k.known = nil
		return
	}
	k.known = &known{notes: Record{Notes: rec.Notes, Now: rec.Now}, at: at}
}

// flush retries to save what the store has not taken.
func (k *Keeper) flush() {
	k.state.useRecovery()
	u := k.unsaved
	u.forget(k.state.current())
	if p := u.save; p != nil {
		// Fenced: another process renews by now. The look that follows adopts what
		// that one saved; until then ours is the newest.
		if err := k.calls.save(p.lease, p.record); err == nil || errors.Is(err, ErrFenced) {
			u.save = nil
		}
	}
	if p := u.shorten; p != nil && k.calls.shorten(p.fence, p.end) == nil {
		u.shorten = nil
	}
	if u.save == nil && u.shorten == nil {
		k.unsaved = nil
		return
	}
	u.due = time.Now().Add(k.calls.retry())
}
