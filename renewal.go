package zhongkong

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

const (
	minLife = time.Second // of a value; WeChat says 7200 s
	maxLife = 7 * 24 * time.Hour

	minBackOff = time.Second
	maxBackOff = time.Minute

	firstPause = 50 * time.Millisecond // between two looks at a store; doubles
	lastPause  = time.Second

	noteFatal  = time.Minute      // other processes leave a fatal failure alone for so long
	blockedFor = 10 * time.Minute // where a blocked failure does not say how long
)

// renewal is what one flight does: look at the store, and when that does not
// help take the lease, look again, fetch and save.
type renewal struct {
	k     *Keeper
	f     *flight
	began time.Time

	rec        Record // as the store last gave it
	notes      notes  // of rec, and what this renewal adds to them
	at         time.Time
	unreadable error // why the live value in rec cannot be opened
	first      bool  // there was no value before
	guess      bool  // the refusal is believed although the probe gave no verdict
}

// run returns nil when the credential is as it should be.
func (r *renewal) run() error {
	r.flush()
	if err := r.look(); err != nil {
		return err
	}
	if !r.needed() {
		r.giveBack()
		return nil
	}
	if err := r.blocked(); err != nil {
		return err
	}
	if err := r.probe(); err != nil {
		return err
	}
	lease, deadline, err := r.acquire()
	if err != nil || lease == nil {
		return err
	}
	return r.renew(*lease, deadline)
}

// storeTime tells t, on this process's clock, in the store's. It is early by up
// to the time that the store's answer took, never late.
func (r *renewal) storeTime(t time.Time) time.Time {
	if r.at.IsZero() { // nothing was heard of it
		return t
	}
	return r.rec.Now.Add(t.Sub(r.at))
}

func (r *renewal) storeNow() time.Time { return r.storeTime(time.Now()) }

// look loads the record and adopts what is in it. A store that does not answer
// is asked again while callers have no live credential.
func (r *renewal) look() error {
	patience := r.k.cfg.Timing.StorePatience
	switch {
	case r.k.held.Load().live(time.Now()):
		patience = 0
	case r.f.refused != "":
		patience = 2 * r.k.cfg.Timing.StoreTimeout
	}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := r.load()
		if err == nil {
			return nil
		}
		if time.Since(r.began)+pause > patience {
			return r.withoutStore(err)
		}
		if !sleep(r.f.ctx, pause) {
			return ErrClosed
		}
	}
}

func (r *renewal) load() error {
	ctx, cancel := context.WithTimeout(r.f.ctx, r.k.cfg.Timing.StoreTimeout)
	defer cancel()
	sent := time.Now()
	rec, err := r.k.cfg.Store.Load(ctx, r.k.cfg.Key)
	if errors.Is(err, ErrNotFound) {
		rec, err = Record{Now: rec.Now}, nil
		if rec.Now.IsZero() {
			rec.Now = time.Now()
		}
	}
	if err != nil {
		return err
	}
	r.adopt(rec, sent)
	return nil
}

// adopt takes over what the store answered to a call that was sent at sent. The
// store is right, with three exceptions: a record without a value takes nothing
// away, an older value does not replace one that could not be saved yet, and a
// dead value does not replace a newer one.
func (r *renewal) adopt(rec Record, sent time.Time) {
	r.rec, r.at, r.notes, r.unreadable = rec, time.Now(), parseNotes(rec.Notes), nil
	r.k.heard = r.at
	if rec.Value == "" {
		return
	}
	left := min(rec.End.Sub(rec.Now), rec.Life)
	mine := r.k.current()
	if mine != nil && mine.unsaved && rec.Fence < mine.fence {
		return
	}
	value, err := r.k.seals.open(r.k.cfg.Key.String(), rec.Value, rec.SealKey)
	if err != nil {
		if left > 0 {
			r.unreadable = err
		}
		return
	}
	h := newHeld(value, rec.Fence, OriginStore, rec.Life, sent, left)
	if mine != nil && mine.fence == rec.Fence {
		h.origin, h.spread = mine.origin, mine.spread
		h.place(sent, min(left, mine.left(sent))) // a life is never made longer
		if left > mine.left(sent)-time.Second {   // nor shorter by others, so its plan stands
			h.fresh = mine.fresh - sent.Sub(mine.base)
		}
	}
	if mine != nil && rec.Fence < mine.fence && !h.live(r.at) {
		return
	}
	r.k.publish(r.f, h)
}

// needed reports whether there is something to renew.
func (r *renewal) needed() bool {
	z := r.k.held.Load().zone(time.Now())
	if r.f.refused != "" {
		return z == zoneDead || z == zoneUnsure
	}
	return z != zoneFresh
}

// blocked returns the error that callers get while an attempt is not allowed.
func (r *renewal) blocked() error {
	k, now, storeNow := r.k, time.Now(), r.storeNow()
	k.mu.Lock()
	if k.failing(now) {
		err := k.failure.at(now)
		k.mu.Unlock()
		return err
	}
	k.mu.Unlock()
	if n, ok := r.notes.failure(k.cfg.fingerprints()); ok {
		if wait := time.UnixMicro(n.Next).Sub(storeNow); wait > 0 {
			return k.fail(&failure{
				err:   Error{Class: n.Class, Code: n.Code, Text: n.Text},
				count: n.Count, until: now.Add(wait),
			})
		}
	}
	if h := k.current(); r.f.refused != "" && h != nil {
		if wait := r.notes.breaker(storeNow, h.fence); wait > 0 {
			return r.trip(h.value, textBreaker, wait)
		}
		if wait := noVerdictGap - since(storeNow, r.notes.NoVerdictAt); r.guess && wait > 0 {
			return k.refusedError(textNoVerdict, wait)
		}
	}
	if wait := unreadableGap - since(storeNow, r.notes.UnreadableAt); r.unreadable != nil && wait > 0 {
		return k.fail(&failure{
			err: Error{
				Class: ClassBlocked, Text: ErrSealKey.Error() + ": " + r.unreadable.Error(),
				Err: fmt.Errorf("%w: %w", ErrSealKey, r.unreadable),
			},
			until: now.Add(wait),
		})
	}
	return nil
}

// trip remembers that refusals of value lead to nothing for wait, and returns
// what callers get.
func (r *renewal) trip(value Secret, text string, wait time.Duration) error {
	r.k.mu.Lock()
	r.k.breaker = &belief{value: value, until: time.Now().Add(wait), text: text}
	r.k.mu.Unlock()
	return r.k.refusedError(text, wait)
}

// probe asks the issuer about a value whose refusal was reported, before
// anything is taken or fetched on that report.
func (r *renewal) probe() error {
	k := r.k
	if r.f.refused == "" || k.cfg.Kind.Probe == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.f.ctx, k.cfg.Timing.ProbeTimeout)
	defer cancel()
	verdict := k.cfg.Kind.Probe(ctx, r.f.refused)
	switch {
	case r.f.ctx.Err() != nil:
		return ErrClosed
	case verdict == Rejected:
		return nil
	case verdict == Accepted:
		k.mu.Lock()
		k.accepted = &belief{value: NewSecret(r.f.refused), until: time.Now().Add(acceptedTime), text: textAccepted}
		k.mu.Unlock()
		return k.refusedError(textAccepted, acceptedTime)
	}
	r.guess = true
	return r.blocked()
}

// acquire takes the lease. It returns none when in the meantime somebody else
// did what was to do, and the time by which a fetch has to be over.
func (r *renewal) acquire() (*Lease, time.Time, error) {
	for {
		asked := time.Now() // the lease may have begun then
		lease, err := r.takeLease()
		var busy *HeldError
		switch {
		case err == nil:
			done, err := r.settled()
			if done || err != nil {
				r.release(lease, nil)
				return nil, time.Time{}, err
			}
			return &lease, asked.Add(r.k.cfg.Timing.FetchTimeout), nil
		case errors.As(err, &busy):
			done, err := r.watchHolder(time.Now().Add(busy.Left))
			if done || err != nil {
				return nil, time.Time{}, err
			}
		default:
			return nil, time.Time{}, r.withoutStore(err)
		}
	}
}

// takeLease asks for the lease and adopts the record that comes with it. A call
// without an answer may have had its effect, so it is made again for the same
// attempt.
func (r *renewal) takeLease() (Lease, error) {
	k, t := r.k, r.k.cfg.Timing
	attempt, first := k.attemptID(), time.Now()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		ctx, cancel := context.WithTimeout(r.f.ctx, t.StoreTimeout)
		sent := time.Now()
		lease, err := k.cfg.Store.Acquire(ctx, k.cfg.Key, attempt, t.LeaseTTL)
		cancel()
		if err == nil {
			r.adopt(lease.Record, sent)
			return lease, nil
		}
		var busy *HeldError
		if errors.As(err, &busy) || time.Since(first)+pause > t.FetchTimeout/2 || !sleep(r.f.ctx, pause) {
			return Lease{}, err
		}
	}
}

// settled reports whether nothing is left to do, or why nothing may be done.
func (r *renewal) settled() (done bool, err error) {
	if !r.needed() {
		return true, nil
	}
	return false, r.blocked()
}

// watchHolder looks at the record until somebody else's renewal has come to an
// end: with a result (done), with a failure (err), or without either.
func (r *renewal) watchHolder(end time.Time) (done bool, err error) {
	before := r.rec
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		if err := r.pause(min(pause, max(time.Until(end), time.Millisecond))); err != nil {
			return false, err
		}
		if r.load() == nil {
			if done, err := r.settled(); done || err != nil {
				return done, err
			}
			if r.rec.Fence != before.Fence || !bytes.Equal(r.rec.Notes, before.Notes) {
				return false, nil
			}
		}
		if !time.Now().Before(end) {
			return false, nil
		}
	}
}

// pause waits for d, or for the store's word that the record changed.
func (r *renewal) pause(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-r.f.noticed:
		return nil
	case <-r.f.ctx.Done():
		return ErrClosed
	}
}

// renew fetches under lease, until deadline at the latest, and saves.
func (r *renewal) renew(lease Lease, deadline time.Time) error {
	k := r.k
	if !k.cfg.Kind.Idempotent && !lease.Unfinished.IsZero() {
		r.cut(r.at.Add(lease.Unfinished.Sub(r.rec.Now)))
	}
	if most := k.cfg.Kind.DailyFetches; most > 0 && lease.Today >= most {
		return r.usedUp(lease, most)
	}
	now, before := r.storeNow(), k.current()
	if r.f.refused != "" && !r.guess && before != nil && before.left(time.Now()) > before.life/10 && r.notes.diedYoung(now) {
		k.log().Warn("tokens of this account keep dying long before their end: another system fetches for it as well; let that system take its token from here, or let both use the API that answers the living token")
	}
	if r.guess {
		r.notes.NoVerdictAt = now.UnixMicro()
	}
	if r.unreadable != nil {
		r.notes.UnreadableAt = now.UnixMicro()
	}
	r.first = before == nil && r.rec.Value == ""
	lease.Detail = r.reason()
	grant, sent, err := r.fetch(lease, Normal, deadline)
	if err != nil {
		return err
	}
	var wait time.Duration
	if r.isRefused(grant) && k.cfg.Kind.Forceable {
		if wait = r.notes.mayForce(r.storeNow()); wait == 0 {
			r.notes.force(r.storeNow())
			lease.Detail += "; forced"
			if grant, sent, err = r.fetch(lease, Forced, deadline); err != nil {
				return err
			}
		}
	}
	var trouble error
	switch {
	case r.isRefused(grant):
		wait = max(wait, minForcedGap)
		r.notes.BreakerEnd, r.notes.BreakerFence = r.storeNow().Add(wait).UnixMicro(), lease.Fence
		trouble = r.trip(grant.Value, textNoForce, wait)
	case r.f.refused != "" && r.refusesToo(grant, deadline):
		r.notes.BreakerEnd, r.notes.BreakerFence = r.storeNow().Add(breakerTime).UnixMicro(), 0
		trouble = r.trip(Secret{}, textBreaker, breakerTime)
	}
	again := before != nil && grant.Value.Equal(before.value)
	if err := r.save(lease, grant, sent, again); err != nil {
		return err
	}
	return trouble
}

// reason says for the journal why this renewal is made.
func (r *renewal) reason() string {
	h := r.k.current()
	switch {
	case r.f.refused != "":
		return "the token was refused"
	case r.unreadable != nil:
		return "the stored token was sealed with another key"
	case h == nil && r.rec.Value == "":
		return "there was no token"
	case !h.live(time.Now()):
		return "the token was over"
	default:
		return "ahead of the token's end"
	}
}

func (r *renewal) isRefused(g Grant) bool {
	return r.f.refused != "" && g.Value.Reveal() == r.f.refused
}

// refusesToo asks the issuer once about the value that takes a refused one's
// place. It must leave time for Save: deadline is SaveTimeout before the lease
// ends, or earlier.
func (r *renewal) refusesToo(g Grant, deadline time.Time) bool {
	t := r.k.cfg.Timing
	if r.k.cfg.Kind.Probe == nil {
		return false
	}
	until := time.Now().Add(t.ProbeTimeout)
	if last := deadline.Add(t.LeaseTTL - t.FetchTimeout - t.SaveTimeout); last.Before(until) {
		until = last
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(r.f.ctx), until)
	defer cancel()
	return r.k.cfg.Kind.Probe(ctx, g.Value.Reveal()) == Rejected
}

// fetch counts a fetch in the store and sends it. A fetch that could not be
// counted is not sent; one that was sent is awaited, also by Close.
func (r *renewal) fetch(lease Lease, mode Mode, deadline time.Time) (Grant, time.Time, error) {
	k := r.k
	if err := r.begin(lease); err != nil {
		r.release(lease, nil)
		return Grant{}, time.Time{}, r.storeFailed(err)
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(r.f.ctx), deadline)
	defer cancel()
	sent := time.Now()
	grant, err := k.cfg.Kind.Fetch(ctx, mode)
	if err == nil {
		err = r.check(grant, sent)
	}
	if err != nil {
		return Grant{}, sent, r.fetchFailed(lease, sent, err)
	}
	return grant, sent, nil
}

func (r *renewal) begin(lease Lease) error {
	ctx, cancel := context.WithTimeout(r.f.ctx, r.k.cfg.Timing.StoreTimeout)
	defer cancel()
	return r.k.cfg.Store.Begin(ctx, lease, r.notes.bytes())
}

// check keeps out what must never be handed out.
func (r *renewal) check(g Grant, sent time.Time) error {
	var text string
	switch stored, _ := r.k.seals.seal(r.k.cfg.Key.String(), g.Value); {
	case g.Value.IsZero():
		text = "the issuer gave an empty value"
	case g.ExpiresIn < minLife || g.ExpiresIn > maxLife:
		text = fmt.Sprintf("the issuer gave a life of %s; it must be from %s to %s", g.ExpiresIn, minLife, maxLife)
	case len(stored) > MaxValueBytes:
		text = fmt.Sprintf("the issuer gave a value that takes %d bytes in the store, more than %d", len(stored), MaxValueBytes)
	case !newHeld(g.Value, 0, OriginFetched, g.ExpiresIn, sent, g.ExpiresIn).live(time.Now()):
		text = fmt.Sprintf("the issuer gave a life of %s, which was over when the answer was here", g.ExpiresIn)
	default:
		return nil
	}
	return &FetchError{Class: ClassTransient, Unanswered: true, Err: errors.New(text)}
}

// save stores the grant and makes it the held value.
func (r *renewal) save(lease Lease, grant Grant, sent time.Time, again bool) error {
	k := r.k
	r.notes.clear(k.cfg.fingerprints())
	h := newHeld(grant.Value, lease.Fence, OriginFetched, grant.ExpiresIn, sent, grant.ExpiresIn)
	if again {
		// The issuer gave what was there before: ask again when half of it is over.
		h.fresh = min(h.fresh, h.end/2)
	}
	if r.first && !k.cfg.Kind.Idempotent {
		// Many that were fetched at the same time would be renewed so for ever.
		if due := k.scheduler.delay(h.fresh); due > 0 {
			h.fresh = due
		}
	}
	record := Record{End: r.storeTime(sent).Add(grant.ExpiresIn), Life: grant.ExpiresIn, Notes: r.notes.bytes()}
	record.Value, record.SealKey = k.seals.seal(k.cfg.Key.String(), grant.Value)

	err := k.saveRecord(lease, record)
	switch {
	case err == nil:
		k.unsaved = nil // whatever was left over belongs to an older value
		k.publish(r.f, h)
	case errors.Is(err, ErrFenced):
		k.log().Warn("the renewal took longer than its lease and another process renewed meanwhile; that token is used", "fence", lease.Fence)
		if err := r.load(); err != nil {
			return r.storeFailed(err)
		}
		if !k.cfg.Kind.Idempotent {
			r.cut(sent)
		}
		return r.blockedUnlessLive()
	default:
		k.log().Warn("the token was renewed but not saved; it is used here and saved when the store takes it", "fence", lease.Fence, "error", err)
		h.unsaved = true
		k.unsaved = &unsaved{save: &pendingSave{lease: lease, record: record}}
		k.unsaved.postpone()
		k.publish(r.f, h)
	}
	text := "renewed"
	if again {
		text = "the issuer gave the same token again"
	}
	k.log().Info(text, "fence", lease.Fence, "life", grant.ExpiresIn, "why", lease.Detail)
	return nil
}

// blockedUnlessLive is the end of a renewal that came too late.
func (r *renewal) blockedUnlessLive() error {
	if !r.needed() || r.k.held.Load().live(time.Now()) {
		return nil
	}
	return r.storeFailed(ErrFenced)
}

// cut takes into account that the current value may have been superseded at
// from (on this process's clock): it is trusted for the overlap alone, here and
// in the store. It returns what is left of it.
func (r *renewal) cut(from time.Time) time.Duration {
	k, now := r.k, time.Now()
	var left time.Duration
	if h := k.current(); h != nil {
		left = h.left(now)
		if most := from.Add(k.cfg.overlapOf(h.life)).Sub(now); most < left {
			left = most
			c := h.placed(now, left)
			c.fresh = min(left/2, c.dead)
			k.publish(r.f, c)
		}
	}
	if u := k.unsaved; u != nil && u.save != nil {
		if end := r.storeTime(from).Add(k.cfg.overlapOf(u.save.record.Life)); end.Before(u.save.record.End) {
			u.save.record.End = end
		}
	}
	if r.rec.Value == "" {
		return max(0, left)
	}
	if end := r.storeTime(from).Add(k.cfg.overlapOf(r.rec.Life)); end.Before(r.rec.End) {
		p := pendingShorten{fence: r.rec.Fence, end: end}
		if err := k.shortenRecord(p); err != nil {
			if k.unsaved == nil {
				k.unsaved = &unsaved{}
			}
			k.unsaved.shorten = &p
			k.unsaved.postpone()
		}
	}
	return max(0, left)
}

// fetchFailed notes a failure for the fleet and returns it.
func (r *renewal) fetchFailed(lease Lease, sent time.Time, err error) error {
	k := r.k
	cause := fetchError(err)
	account, host := k.cfg.fingerprints()
	by := account
	if cause.PerHost {
		by = host
	}
	count := k.failures()
	if n, ok := r.notes.failure(by); ok {
		count = max(count, n.Count)
	}
	f, wait := r.judge(cause, count+1)
	if cause.Unanswered && !k.cfg.Kind.Idempotent {
		left := r.cut(sent)
		if r.f.refused == "" || r.guess { // else the issuer refuses it anyway: nothing is gained by waiting
			wait = max(wait, left/2)
		}
	}
	f.until = time.Now().Add(wait)
	r.notes.fail(failureNote{
		By: by, Class: f.err.Class, Code: f.err.Code, Text: f.err.Text,
		Count: f.count, Next: r.storeNow().Add(wait).UnixMicro(),
	})
	lease.Detail = clip(f.err.Text, maxFailureText)
	r.release(lease, r.notes.bytes())
	return k.fail(f)
}

// fetchError returns what Fetch returned as the type that it should be.
func fetchError(err error) *FetchError {
	var cause *FetchError
	if !errors.As(err, &cause) {
		cause = &FetchError{Class: ClassTransient, Unanswered: true, Err: err}
	}
	return cause
}

// judge returns the count-th failure in a row as it is remembered, and how long
// to wait after it.
func (r *renewal) judge(cause *FetchError, count int) (*failure, time.Duration) {
	f := &failure{
		err:   Error{Class: cause.Class, Code: cause.Code, Text: cause.Error(), Err: cause.Err},
		count: count,
	}
	switch cause.Class {
	case ClassBlocked:
		if cause.RetryAfter > 0 {
			return f, cause.RetryAfter
		}
		return f, blockedFor
	case ClassQuota:
		now := r.storeNow()
		return f, nextBeijingMidnight(now).Sub(now)
	case ClassFatal:
		f.never = true
		return f, noteFatal
	default:
		f.err.Class = ClassTransient
		return f, backOff(count)
	}
}

// usedUp is the failure of a day with too many fetches. It is not noted for
// others: the store's count tells them, and a limit that was raised counts at
// once.
func (r *renewal) usedUp(lease Lease, most int) error {
	r.release(lease, nil)
	now := r.storeNow()
	wait := nextBeijingMidnight(now).Sub(now)
	return r.k.fail(&failure{
		err: Error{
			Class: ClassQuota,
			Text:  fmt.Sprintf("%d fetches were made today (UTC+8) and DailyFetches is %d: find out who makes them, or raise the limit", lease.Today, most),
			Err:   ErrDailyLimit,
		},
		until: time.Now().Add(wait),
	})
}

// storeFailed is the failure of a store that does not answer. Only this process
// knows about it.
func (r *renewal) storeFailed(err error) error {
	k := r.k
	if r.f.ctx.Err() != nil {
		return ErrClosed
	}
	count := k.failures() + 1
	return k.fail(&failure{
		err: Error{
			Class: ClassTransient,
			Text:  ErrStore.Error() + ": " + strings.TrimPrefix(err.Error(), "zhongkong: "),
			Err:   fmt.Errorf("%w: %w", ErrStore, err),
		},
		count: count,
		until: time.Now().Add(backOff(count)),
	})
}

// backOff returns how long to wait after the count-th failure in a row.
func backOff(count int) time.Duration {
	wait := minBackOff << min(max(count-1, 0), 10)
	wait = time.Duration(float64(min(wait, maxBackOff)) * (0.8 + 0.4*rand.Float64()))
	return min(max(wait, minBackOff), maxBackOff)
}

// release ends the lease as well as it can be done: when it fails, the lease
// ends by itself.
func (r *renewal) release(lease Lease, notes []byte) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.f.ctx), r.k.cfg.Timing.StoreTimeout)
	defer cancel()
	if err := r.k.cfg.Store.Release(ctx, lease, notes); err != nil {
		r.k.log().Debug("the lease was not released and ends by itself", "fence", lease.Fence, "error", err)
	}
}

// giveBack saves the held value into a store that lost it, without a fetch.
func (r *renewal) giveBack() {
	k := r.k
	if !r.lost() {
		return
	}
	lease, err := r.takeLease()
	if err != nil {
		return // whoever has the lease renews
	}
	if !r.lost() {
		r.release(lease, nil)
		return
	}
	h, now := k.current(), time.Now()
	record := Record{End: r.storeTime(now).Add(h.left(now)), Life: h.life, Notes: r.notes.bytes()}
	record.Value, record.SealKey = k.seals.seal(k.cfg.Key.String(), h.value)
	if err := k.saveRecord(lease, record); err != nil {
		k.log().Warn("the store lost the token and did not take it back", "error", err)
		return
	}
	c := *h
	c.fence = lease.Fence
	k.publish(r.f, &c)
	k.log().Info("the store had lost the token; it was saved again", "fence", lease.Fence)
}

// lost reports whether the store lacks the live value that it once had.
func (r *renewal) lost() bool {
	h, now := r.k.held.Load(), time.Now()
	if !h.live(now) || h.unsaved {
		return false
	}
	gone := r.rec.Value == "" || !r.rec.End.After(r.rec.Now)
	return gone && r.rec.Fence < h.fence
}
