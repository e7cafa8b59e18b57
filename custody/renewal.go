package custody

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	minLife = time.Second // of a value; WeChat says 7200 s
	maxLife = 7 * 24 * time.Hour
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
	unreadable error     // why the live value in rec cannot be opened
	first      bool      // there was no value before
	guess      bool      // the refusal is believed although the probe gave no verdict
	lateOnce   bool      // the lease was over before an attempt was
	late       time.Time // when a fetch was sent that may have superseded what the store has; zero for none

	why    Reason
	forced bool
	begun  int // fetches under this lease
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
	if err := r.prepare(); err != nil {
		return err
	}
	for {
		lease, deadline, err := r.acquire()
		if err != nil || lease == nil {
			return err
		}
		if err := r.renew(*lease, deadline); !errors.Is(err, errOvertaken) {
			return err
		}
	}
}

// errOvertaken is the end of an attempt without a result whose lease was over
// before it was: another process may have renewed meanwhile, or does it now, so
// one has to look before one says that it failed.
var errOvertaken = errors.New("zhongkong: the lease ended before the attempt")

// overtaken reports whether err says that the lease is another's by now; once, as
// nothing but a stopped process should meet it.
func (r *renewal) overtaken(err error) bool {
	if !errors.Is(err, ErrFenced) || r.lateOnce {
		return false
	}
	r.lateOnce = true
	return true
}

// prepare has the kind wait for what its fetch needs. The wait is bounded by
// what the renewal of another credential takes at the longest.
func (r *renewal) prepare() error {
	k, t := r.k, r.k.cfg.Timing
	if k.cfg.Kind.Prepare == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.f.ctx, t.StorePatience+t.LeaseTTL+t.FetchTimeout)
	defer cancel()
	err := k.cfg.Kind.Prepare(ctx)
	switch {
	case err == nil:
		return nil
	case r.f.ctx.Err() != nil:
		return ErrClosed
	}
	f, wait := r.judge(fetchError(err), k.failures()+1)
	f.until = time.Now().Add(wait)
	return r.fail(f)
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

// renew fetches under lease, until deadline at the latest, and saves.
func (r *renewal) renew(lease Lease, deadline time.Time) error {
	k := r.k
	r.begun, r.forced = 0, false
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
	r.why = r.reason()
	lease.Detail = r.why.detail()
	grant, sent, err := r.fetch(lease, Normal, deadline)
	if err != nil {
		return err
	}
	var wait time.Duration
	if r.isRefused(grant) && k.cfg.Kind.Forceable {
		if wait = r.notes.mayForce(r.storeNow()); wait == 0 {
			r.notes.force(r.storeNow())
			r.forced = true
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

// reason says why this renewal is made.
func (r *renewal) reason() Reason {
	h := r.k.current()
	switch {
	case r.f.refused != "":
		return ReasonRefused
	case r.unreadable != nil:
		return ReasonUnreadable
	case h == nil && r.rec.Value == "":
		return ReasonMissing
	case !h.live(time.Now()):
		return ReasonExpired
	default:
		return ReasonAhead
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
		_ = r.release(lease, nil)
		if r.overtaken(err) {
			err = errOvertaken
		} else {
			err = r.storeFailed(err)
		}
		return Grant{}, time.Time{}, err
	}
	r.begun++
	ctx, cancel := context.WithDeadline(context.WithoutCancel(r.f.ctx), deadline)
	defer cancel()
	sent := time.Now()
	grant, err := k.cfg.Kind.Fetch(ctx, mode)
	if err == nil {
		err = r.check(grant, sent)
	}
	r.fetched(mode, sent, lease.Today+r.begun, err)
	if err != nil {
		return Grant{}, sent, r.fetchFailed(lease, sent, err)
	}
	return grant, sent, nil
}

func (r *renewal) begin(lease Lease) error {
	ctx, cancel := context.WithTimeout(r.f.ctx, r.k.cfg.Timing.StoreTimeout)
	defer cancel()
	sent := time.Now()
	err := r.k.cfg.Store.Begin(ctx, lease, r.notes.bytes())
	r.k.stored(CallBegin, sent, err)
	return err
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
	case !r.k.cfg.newHeld(g.Value, 0, OriginFetched, g.ExpiresIn, sent, g.ExpiresIn).live(time.Now()):
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
	h := k.cfg.newHeld(grant.Value, lease.Fence, OriginFetched, grant.ExpiresIn, sent, grant.ExpiresIn)
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
	result := RenewalSaved
	switch {
	case err == nil:
		k.unsaved = nil // whatever was left over belongs to an older value
		k.publish(r.f, h)
	case errors.Is(err, ErrFenced):
		k.log().Warn("the renewal took longer than its lease and another process renewed meanwhile; that token is used", "fence", lease.Fence)
		if !k.cfg.Kind.Idempotent {
			r.late = sent
		}
		r.renewed(h, RenewalOvertaken)
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
		result = RenewalUnsaved
	}
	text := "renewed"
	if again {
		text = "the issuer gave the same token again"
		if result == RenewalSaved {
			result = RenewalSame
		}
	}
	r.renewed(h, result)
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

// cut returns h, or what is left of it if it was superseded at from and that is
// less.
func (c Config) cut(h *held, from, now time.Time) *held {
	left := from.Add(c.overlapOf(h.life)).Sub(now)
	if left >= h.left(now) {
		return h
	}
	short := h.placed(now, left)
	short.fresh = min(left/2, short.dead)
	return short
}

// superseded returns since when the value in the record may be superseded by a
// fetch that was sent at sent and may have been late: not since before it was
// issued. All on this process's clock.
func (r *renewal) superseded(sent time.Time) time.Time {
	issued := r.at.Add(min(0, r.rec.End.Add(-r.rec.Life).Sub(r.rec.Now)))
	if r.rec.Value == "" || issued.Before(sent) {
		return sent
	}
	return issued
}

// cut takes into account that a fetch which was sent at sent (on this process's
// clock) may have superseded the current value: it is trusted for the overlap
// alone, here and in the store. It returns what is left of it.
func (r *renewal) cut(sent time.Time) time.Duration {
	k, now, from := r.k, time.Now(), r.superseded(sent)
	var left time.Duration
	if h := k.current(); h != nil {
		if c := k.cfg.cut(h, from, now); c != h {
			h = c
			k.publish(r.f, c)
			r.shortened(c)
		}
		left = h.left(now)
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
