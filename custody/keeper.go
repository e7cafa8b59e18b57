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
	"sync/atomic"
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
	scheduler *Scheduler
	private   bool // scheduler belongs to this Keeper alone

	held atomic.Pointer[held] // stored by the running flight, or under mu when there is none

	mu       sync.Mutex // guards what follows
	flight   *flight    // the one renewal that is under way
	failure  *failure   // of the last attempt; nil after a success
	accepted *belief    // the issuer accepts this value, whatever an API call said
	breaker  *belief    // a refusal of this value leads to nothing now
	closed   bool

	// Owned by the running flight:
	unsaved *unsaved  // what the store has not yet taken
	heard   time.Time // the store's last answer

	flights sync.WaitGroup
	entry   entry // owned by the scheduler, as is the next
	counted bool
}

// failure is what the last attempt met.
type failure struct {
	err   Error // without RetryAfter
	count int   // in a row
	until time.Time
	never bool  // no further attempt by this process
	fence int64 // of the value that was held then; 0 for none
}

// at returns the error as a caller gets it at now.
func (f *failure) at(now time.Time) *Error {
	err := f.err
	if !f.never {
		err.RetryAfter = max(0, f.until.Sub(now))
	}
	return &err
}

// overcome reports whether the attempt that failed has been made good: there is
// another value by now, or the store answers again. That the value of then still
// lives says nothing about the next attempt.
func (f *failure) overcome(h *held) bool {
	return f == nil || f.fence != h.fence || errors.Is(f.err.Err, ErrStore)
}

// belief is something found out about a value that holds for a while.
type belief struct {
	value Secret // empty: of any value
	until time.Time
	text  string
}

// holds reports whether it is about value, and still believed at now.
func (b *belief) holds(value Secret, now time.Time) bool {
	return b != nil && now.Before(b.until) && (b.value.IsZero() || b.value.Equal(value))
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
	k := &Keeper{
		cfg:       cfg,
		seals:     seals,
		scheduler: cfg.Scheduler,
		private:   cfg.Scheduler == nil,
		heard:     time.Now(),
	}
	if k.private {
		k.scheduler = NewScheduler(SchedulerConfig{})
	}
	k.scheduler.add(k)
	k.scheduler.subscribe(k)
	if k.private || !k.scheduler.load(k) {
		k.wakeUp()
	}
	return k, nil
}

// Token returns the live credential: at once when there is one, also while it
// is being renewed; else it waits for one until ctx ends. It returns ctx's error,
// [ErrClosed] or an [*Error] that says what is wrong and when the next attempt
// is due; until then it is returned at once, without asking anybody.
func (k *Keeper) Token(ctx context.Context) (Token, error) {
	if h := k.held.Load(); h != nil {
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
	for {
		k.mu.Lock()
		now := time.Now()
		h := k.held.Load()
		z := h.zone(now)
		switch {
		case k.closed:
			k.mu.Unlock()
			return Token{}, ErrClosed
		case z == zoneFresh || z == zoneAdvisory:
			k.mu.Unlock()
			return Token{h}, nil
		case k.flight == nil && z == zoneDead && k.failing(now):
			err := k.failure.at(now)
			k.mu.Unlock()
			return Token{}, err
		case k.flight == nil:
			k.start("")
		}
		f := k.flight
		news := f.news
		k.mu.Unlock()
		if err := f.wait(ctx, news); err != nil {
			return Token{}, k.gaveUp(err)
		}
	}
}

// Reject says that the issuer refused the value refused in a call of its API,
// and returns the token to use instead. A value that is no longer the current
// one, here or in the store, leads to no fetch: the newer one is returned. The
// current one is probed first; only when the issuer refuses it again is it
// renewed, once for everybody.
//
// It returns ctx's error, [ErrClosed] or an [*Error]; the renewal goes on when
// ctx ends. An error that wraps [ErrRefused] says that there is no other value
// to be had now: hand the refusal to whoever made the call.
func (k *Keeper) Reject(ctx context.Context, refused string) (Token, error) {
	began := time.Now()
	t, f, err := k.reject(ctx, refused)
	fetched := err == nil && t.Origin() == OriginFetched && f != nil && f.refused == refused
	k.refused(began, fetched, err)
	return t, err
}

// reject is Reject. It also returns the flight that it waited for last, if any.
func (k *Keeper) reject(ctx context.Context, refused string) (Token, *flight, error) {
	for {
		k.mu.Lock()
		now := time.Now()
		h := k.held.Load()
		f := k.flight
		switch {
		case k.closed:
			k.mu.Unlock()
			return Token{}, nil, ErrClosed
		case f != nil:
			// wait for it below
		case h == nil || h.value.Reveal() != refused:
			k.mu.Unlock()
			t, err := k.Token(ctx)
			if err != nil || t.Value() != refused {
				return t, nil, err
			}
			continue // the store still has the refused value: now it is the current one
		default:
			if err := k.hopeless(h, now); err != nil {
				k.mu.Unlock()
				return Token{}, nil, err
			}
			if h.refused == nil {
				k.held.Store(h.suspected())
			}
			f = k.start(refused)
		}
		news := f.news
		k.mu.Unlock()
		if err := f.wait(ctx, news); err != nil {
			return Token{}, f, k.gaveUp(err)
		}
		if h := k.held.Load(); h.live(time.Now()) && h.value.Reveal() != refused {
			return Token{h}, f, nil
		}
		if f.over() && f.refused == refused && f.err != nil && f.next == nil {
			return Token{}, f, f.err
		}
	}
}

// Renew has the credential fetched now, in the background: for an issuer that says
// by itself when there is a newer one, as a gateway does (package source). Callers
// get the value at hand until the newer one is there. A renewal that is under way
// may have asked too early, so another one follows it. What holds back any other
// attempt (a failure, a daily limit) holds this one back too.
//
// It is of no use where nobody says so: Keepers renew in time on their own, and where
// each fetch supersedes the value before, this one does. For a value that was refused
// there is Reject.
func (k *Keeper) Renew() {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.closed:
	case k.flight != nil:
		k.flight.again = true
	default:
		k.renew()
	}
}

// renew starts a flight that finds something to do. The caller holds mu; there is no
// other flight.
func (k *Keeper) renew() {
	if h := k.held.Load(); h.live(time.Now()) {
		c := *h
		c.fresh = -1 // its window has begun
		k.held.Store(&c)
	}
	k.start("")
}

// hopeless returns the error of a Reject that can lead to no other value. The
// caller holds mu.
func (k *Keeper) hopeless(h *held, now time.Time) error {
	for _, b := range []*belief{k.accepted, k.breaker} {
		if b.holds(h.value, now) {
			return k.refusedError(b.text, b.until.Sub(now))
		}
	}
	if k.failing(now) {
		return k.failure.at(now)
	}
	return nil
}

// The reasons of ErrRefused, in words.
const (
	textAccepted  = "a call was refused, yet the issuer accepts the token when it is asked directly: look for another cause (another account's API, a missing permission, a wrong host); nothing was renewed"
	textBreaker   = "the issuer refused a token that was just renewed as well, so another renewal would not help: see what the account's console says"
	textNoForce   = "the issuer refuses its own current token, and a forced renewal is not allowed yet"
	textNoVerdict = "a call was refused, and the issuer does not say whether it accepts the token"
)

func (k *Keeper) refusedError(text string, retryAfter time.Duration) *Error {
	return &Error{Key: k.cfg.Key, Class: ClassBlocked, RetryAfter: retryAfter, Text: text, Err: ErrRefused}
}

// gaveUp turns the end of a caller's ctx, or of the Keeper, into what it gets.
func (k *Keeper) gaveUp(err error) error {
	if errors.Is(err, ErrClosed) {
		return err
	}
	return fmt.Errorf("zhongkong: waiting for the %s of %s: %w", k.cfg.Key.Kind, k.cfg.Key.AppID, err)
}

// failing reports whether an attempt failed and the next one is not due. The
// caller holds mu.
func (k *Keeper) failing(now time.Time) bool {
	return k.failure != nil && (k.failure.never || now.Before(k.failure.until))
}

// Status describes a Keeper for people and probes, without a secret.
type Status struct {
	Key     Key
	Live    bool          // a token can be handed out now
	Left    time.Duration // for how long; 0 when Live is false
	Life    time.Duration // that the issuer stated; 0 when Live is false
	Fence   int64         // the number of the renewal that brought it
	Origin  Origin        // how it came into this process
	Renewal time.Duration // until its renewal is due; 0 when it is
	Failure *Error        // what the last attempt met; nil after a success
}

// Status returns the state at this moment. It waits for nothing.
func (k *Keeper) Status() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	s := Status{Key: k.cfg.Key}
	if h := k.held.Load(); h.live(now) {
		t := Token{h}
		s.Live, s.Left, s.Life, s.Fence, s.Origin = true, t.Left(), h.life, t.Fence(), t.Origin()
		s.Renewal = max(0, h.fresh-now.Sub(h.base))
	}
	if k.failure != nil {
		s.Failure = k.failure.at(now)
	}
	return s
}

// Close stops the Keeper and waits for its goroutines. A fetch that was already
// sent is awaited and saved, so Close may take FetchTimeout + SaveTimeout. The
// store stays open. Closing twice is safe.
func (k *Keeper) Close() error {
	k.mu.Lock()
	k.closed = true
	if k.flight != nil {
		k.flight.cancel()
	}
	k.mu.Unlock()
	k.flights.Wait()
	if u := k.unsaved; u != nil && u.save != nil {
		if err := k.saveRecord(u.save.lease, u.save.record); err != nil && !errors.Is(err, ErrFenced) {
			k.log().Warn("the token in use was never saved: the next start renews it", "error", err)
		}
	}
	k.held.Store(nil)
	k.scheduler.unsubscribe(k)
	k.scheduler.remove(k)
	if k.private {
		k.scheduler.Close()
	}
	return nil
}

// wakeUp is the scheduler's call: something is due.
func (k *Keeper) wakeUp() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.closed && k.flight == nil {
		k.start("")
	}
}

// notice is the store's word that the record changed: a flight that waits for
// it looks at once, else a new one does, after the one under way if need be.
func (k *Keeper) notice() {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.closed:
	case k.flight == nil:
		k.start("")
	default:
		select {
		case k.flight.noticed <- struct{}{}:
		default:
		}
	}
}

// compare looks at the store again when record, which it gave to a question that
// was sent at sent, is another than the held one, or ends earlier.
func (k *Keeper) compare(record Record, sent time.Time) {
	k.seed(record, sent) // if nothing is known yet
	k.mu.Lock()
	h := k.current()
	same := k.flight == nil && (h == nil || h.fence == record.Fence && record.End.Sub(record.Now) > h.left(time.Now())-time.Second)
	k.mu.Unlock()
	if !same {
		k.notice()
	}
}

// plan tells the scheduler when to come back. The caller holds mu.
func (k *Keeper) plan() {
	const (
		again = time.Second      // an attempt ended without a result: somebody else holds the lease
		look  = 30 * time.Second // while this process cannot renew, another one may
	)
	now := time.Now()
	h := k.held.Load()
	var when time.Time
	switch {
	case k.failing(now):
		when = now.Add(look)
		if !k.failure.never && k.failure.until.Before(when) {
			when = k.failure.until
		}
	case h.zone(now) == zoneFresh:
		when = h.base.Add(h.fresh)
	default:
		when = now.Add(again)
	}
	if h.live(now) && h.unsaved && k.unsaved == nil && now.Add(look).Before(when) {
		when = now.Add(look) // the store may be back
	}
	if u := k.unsaved; u != nil && u.again.Before(when) {
		when = u.again
	}
	k.scheduler.set(k, when)
}

// fail remembers what an attempt met and returns it as callers get it.
func (r *renewal) fail(f *failure) *Error {
	err := r.k.remember(f)
	r.failed(f, err)
	return err
}

func (k *Keeper) remember(f *failure) *Error {
	k.mu.Lock()
	defer k.mu.Unlock()
	f.err.Key = k.cfg.Key
	if h := k.current(); h != nil {
		f.fence = h.fence
	}
	k.failure = f
	err := f.at(time.Now())
	k.log().Warn("no new token", "error", err.Text, "class", err.Class, "code", err.Code, "retry_in", round(err.RetryAfter), "failures", f.count)
	return err
}

// failures returns how many attempts in a row failed.
func (k *Keeper) failures() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failure == nil {
		return 0
	}
	return k.failure.count
}

// log returns a logger that names the credential.
func (k *Keeper) log() *slog.Logger {
	return k.cfg.Logger.With("kind", k.cfg.Key.Kind, "appid", k.cfg.Key.AppID)
}

// Format implements [fmt.Formatter]: which credential it keeps.
func (k *Keeper) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "custody.Keeper(%s)", k.cfg.Key)
}

// holder names this process in leases and journals: "host/pid".
func holder() string {
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
	return fmt.Sprintf("%.64s/%d", name, os.Getpid())
}

// attemptID is an id that no other attempt has.
func (k *Keeper) attemptID() string { return holder() + "/" + rand.Text() }
