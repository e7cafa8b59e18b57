package custody

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	firstPause = 50 * time.Millisecond // between two looks at a store; doubles
	lastPause  = time.Second
)

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
		left := patience - time.Since(r.began)
		if left <= 0 {
			return r.withoutStore(err)
		}
		if !sleep(r.f.ctx, min(pause, left)) {
			return ErrClosed
		}
	}
}

func (r *renewal) load() error {
	ctx, cancel := context.WithTimeout(r.f.ctx, r.k.cfg.Timing.StoreTimeout)
	defer cancel()
	r.f.unseen() // what it tells of, the answer to this call has
	sent := time.Now()
	rec, err := r.k.cfg.Store.Load(ctx, r.k.cfg.Key)
	r.k.stored(CallLoad, sent, err)
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
	h := r.k.cfg.newHeld(value, rec.Fence, OriginStore, rec.Life, sent, left)
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
	if !r.late.IsZero() && (mine == nil || mine.fence != rec.Fence) {
		h = r.k.cfg.cut(h, r.superseded(r.late), r.at) // before anybody has it
	}
	r.k.publish(r.f, h)
	r.adopted(h, mine)
}

// needed reports whether there is something to renew.
func (r *renewal) needed() bool {
	z := r.k.held.Load().zone(time.Now())
	if r.f.refused != "" {
		return z == zoneDead || z == zoneUnsure
	}
	return z != zoneFresh
}

// settled reports whether nothing is left to do, or why nothing may be done.
func (r *renewal) settled() (done bool, err error) {
	if !r.needed() {
		return true, nil
	}
	return false, r.blocked()
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
			return r.fail(&failure{
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
		return r.fail(&failure{
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
		_ = r.release(lease, nil)
		return
	}
	h, now := k.current(), time.Now()
	record := Record{End: r.storeTime(now).Add(h.left(now)), Life: h.life, Notes: r.notes.bytes()}
	record.Value, record.SealKey = k.seals.seal(k.cfg.Key.String(), h.value)
	if err := k.saveRecord(lease, record); err != nil {
		k.log().Warn("the store lacks the token and did not take it", "error", err)
		return
	}
	c := *h
	c.fence, c.unsaved = lease.Fence, false
	k.publish(r.f, &c)
	k.log().Info("the store lacked the token; it was saved there without a fetch", "fence", lease.Fence)
}

// lost reports whether the store lacks the live value that is held: it had it
// once, or it was away when that was fetched.
func (r *renewal) lost() bool {
	h, now := r.k.held.Load(), time.Now()
	if !h.live(now) || r.k.unsaved != nil || r.rec.Fence >= h.fence {
		return false
	}
	return h.unsaved || r.rec.Value == "" || !r.rec.End.After(r.rec.Now)
}
