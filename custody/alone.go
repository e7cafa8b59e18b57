package custody

import (
	"context"
	"time"
)

// lastChance is when a process with Config.FetchWithoutStore stops waiting for
// its store: this long before its token's end, or life/10.
const lastChance = time.Minute

// withoutStore goes on where the store does not answer: with a fetch that needs
// no agreement with anybody, or with the failure.
func (r *renewal) withoutStore(cause error) error {
	if r.f.ctx.Err() != nil || !r.mayFetchAlone() {
		return r.storeFailed(cause)
	}
	return r.fetchAlone()
}

// mayFetchAlone reports whether the store is away and a fetch without it does no
// harm that was not asked for.
func (r *renewal) mayFetchAlone() bool {
	k, now := r.k, time.Now()
	h := k.held.Load()
	if now.Sub(k.heard) < k.cfg.Timing.StorePatience || !r.needed() {
		return false
	}
	if k.cfg.Kind.Idempotent {
		return true
	}
	return k.cfg.FetchWithoutStore && (!h.live(now) || h.dead-now.Sub(h.base) < min(lastChance, h.life/10))
}

// fetchAlone asks the issuer in normal mode, without a lease and never forced,
// and serves the answer in this process. It counts as newer than what was held,
// and a store that comes back without a newer one is given it.
func (r *renewal) fetchAlone() error {
	k := r.k
	if err := r.blocked(); err != nil { // what was met before holds with and without a store
		return err
	}
	if err := r.probe(); err != nil {
		return err
	}
	before := k.current()
	r.why = r.reason()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.f.ctx), k.cfg.Timing.FetchTimeout)
	defer cancel()
	sent := time.Now()
	grant, err := k.cfg.Kind.Fetch(ctx, Normal)
	if err == nil {
		err = r.check(grant, sent)
	}
	r.fetched(Normal, sent, 0, err)
	if err != nil {
		cause := fetchError(err)
		if cause.Unanswered && !k.cfg.Kind.Idempotent {
			r.cut(sent)
		}
		f, wait := r.judge(cause, k.failures()+1)
		f.until = time.Now().Add(wait)
		return r.fail(f)
	}
	if r.isRefused(grant) {
		return r.trip(grant.Value, textNoForce, minForcedGap)
	}
	fence := time.Now().UnixMicro()
	if before != nil {
		fence = max(fence, before.fence+1)
	}
	h := r.k.cfg.newHeld(grant.Value, fence, OriginFetched, grant.ExpiresIn, sent, grant.ExpiresIn)
	h.unsaved, k.unsaved = true, nil // nothing is pending: it was fetched without a lease
	k.publish(r.f, h)
	r.renewed(h, RenewalUnsaved)
	k.log().Warn("the store is away; the token was fetched without it", "away", round(time.Since(k.heard)), "life", grant.ExpiresIn)
	return nil
}
