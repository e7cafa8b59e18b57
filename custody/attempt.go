package custody

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// attempt is what a flight does under one lease.
type attempt struct {
	id    string
	lease *Lease
	until time.Time // the lease lasts at least so long, unless it is extended

	why     Reason
	begun   int // fetches under this lease
	grant   *Grant
	sent    time.Time // when the fetch that brought it was sent
	forced  bool
	checked bool

	// Of this flight, also after the lease:
	late     time.Time // when a fetch was sent that may have superseded what the store has; zero for none
	lateOnce bool      // the lease was another's before an attempt had ended
}

// renewal is a flight under a lease, or without one where the store is unavailable.
type renewal struct{ *flight }

// reason says why this renewal is made.
func (v *view) reason(now time.Time) Reason {
	switch {
	case v.doubt:
		return ReasonRefused
	case v.unreadable != nil:
		return ReasonUnreadable
	case v.held == nil && v.record.Value == "":
		return ReasonMissing
	case !v.held.live(now):
		return ReasonExpired
	default:
		return ReasonAhead
	}
}

// fetch counts a fetch in the store and sends it. A fetch that could not be counted is
// not sent; one that was sent is awaited, also by Close.
func (f renewal) fetch(mode Mode, v *view) {
	k, at := f.k, &f.attempt
	if !f.counted() {
		return
	}
	if at.begun == 0 {
		f.prologue(v)
	}
	if mode == Forced {
		f.notes.force(f.storeNow())
		at.forced = true
		at.lease.Detail += "; forced"
	}
	if k.cfg.Kind.HourlyFetches > 0 || k.cfg.Kind.MinuteFetches > 0 {
		f.notes.begin(f.storeNow())
	}
	renews := k.state.calledFor()
	if err := k.calls.begin(f.ctx, *at.lease, f.notes.bytes()); err != nil {
		f.beginFailed(err)
		return
	}
	at.begun++
	f.tries = 0
	timeout := f.notes.patience(k.cfg.Timing.FetchTimeout)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.ctx), timeout)
	defer cancel()
	sent := time.Now()
	stop := f.extend()
	grant, err := k.cfg.Kind.Fetch(ctx, mode)
	stop()
	timedOut := err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded)
	if err == nil {
		err = k.check(grant, sent)
	}
	f.fetched(mode, sent, at.lease.Today+at.begun, err)
	f.notes.took(time.Since(sent), k.cfg.Timing.FetchTimeout, timedOut)
	if err != nil {
		f.fetchFailed(sent, err, v)
		return
	}
	at.grant, at.sent = &grant, sent
	k.state.madeUpFor(renews)
}

// prologue is what belongs to the first fetch under a lease.
func (f renewal) prologue(v *view) {
	k, lease := f.k, f.attempt.lease
	if !k.cfg.Kind.Idempotent && !lease.Unfinished.IsZero() {
		f.cut(f.at.Add(lease.Unfinished.Sub(f.rec.Now)))
	}
	now, h := f.storeNow(), k.state.current()
	if v.doubt && !f.guess && h != nil && h.left(time.Now()) > h.life/10 && f.notes.diedYoung(now) {
		k.log().Warn("tokens of this account keep dying long before their end: another system fetches for it as well; let that system take its token from here, or let both use the API that answers the living token",
			"log_code", "custody_token_dies_early")
	}
	if f.guess {
		f.notes.NoVerdictAt = now.UnixMicro()
	}
	switch {
	case errors.Is(f.unreadable, errUnsealed):
		f.notes.UnsealedAt = now.UnixMicro()
		k.log().Warn("a token that is stored in the clear is not used, but replaced: a process that shares the store has no seal key, or somebody else has written it; give all processes the same seal keys",
			"log_code", "custody_token_unsealed")
	case f.unreadable != nil:
		f.notes.UnreadableAt = now.UnixMicro()
		k.log().Warn("a token that was sealed with another key is replaced: give all processes that share the store the same seal keys",
			"log_code", "custody_seal_key_differs", "cause", f.unreadable)
	}
	f.attempt.why = v.reason(time.Now())
	lease.Detail = f.attempt.why.detail()
}

// beginFailed ends an attempt whose fetch could not be counted. A lease that is
// another's by now is no failure, once: one has to look at what the other does.
func (f renewal) beginFailed(err error) {
	fenced := f.overtaken(err)
	_ = f.release(nil)
	if fenced {
		f.lookAgain()
		return
	}
	f.tried(f.asked, err)
}

// lookAgain has the record looked up before anything else.
func (f renewal) lookAgain() { f.looked, f.failed = time.Time{}, nil }

// overtaken reports whether err says that the lease is another's by now; once, as
// nothing but a stopped process should meet it.
func (f renewal) overtaken(err error) bool {
	if !errors.Is(err, ErrFenced) || f.attempt.lateOnce {
		return false
	}
	f.attempt.lateOnce = true
	return true
}

// extend makes the lease last while a fetch is under way. The function that it
// returns ends that, and waits for the call that is under way: one that reached the
// store after the lease was given back would take it anew. So would one after the lease
// has ended, and its new fence would keep this process's own answer out; without that,
// a holder who is late and was not replaced still saves.
func (f renewal) extend() (stop func()) {
	k := f.k
	every := k.cfg.Timing.LeaseTTL / 3
	ended := make(chan struct{})
	var done sync.WaitGroup
	id, until := f.attempt.id, f.attempt.until
	done.Go(func() {
		timer := time.NewTimer(every)
		defer timer.Stop()
		for {
			select {
			case <-ended:
				return
			case <-timer.C:
			}
			if !time.Now().Before(until) {
				return
			}
			switch _, sent, err := k.calls.acquire(context.Background(), id, true); {
			case err == nil:
				until = sent.Add(k.cfg.Timing.LeaseTTL)
			case isAnswer(err):
				return // it is another's: the answer, when it comes, is fenced off if that one renewed
			}
			timer.Reset(every)
		}
	})
	return func() {
		close(ended)
		done.Wait()
	}
}

// check keeps out what must never be handed out.
func (k *Keeper) check(g Grant, sent time.Time) error {
	var text string
	switch stored, _ := k.seals.seal(sealName(k.cfg.Key, 0), g.Value); {
	case g.Value.IsZero():
		text = "the issuer gave an empty value"
	case g.ExpiresIn < minLife || g.ExpiresIn > maxLife:
		text = fmt.Sprintf("the issuer gave a life of %s; it must be from %s to %s", g.ExpiresIn, minLife, maxLife)
	case len(stored) > MaxValueBytes:
		text = fmt.Sprintf("the issuer gave a value that takes %d bytes in the store, more than %d", len(stored), MaxValueBytes)
	case !k.cfg.granted(&g, 0, sent).live(time.Now()):
		text = fmt.Sprintf("the issuer gave a life of %s, which had ended when the answer arrived", g.ExpiresIn)
	default:
		return nil
	}
	return &FetchError{Class: ClassTransient, Unanswered: true, Err: errors.New(text)}
}

// fetchFailed notes a failure for the fleet and for this process.
func (f renewal) fetchFailed(sent time.Time, err error, v *view) {
	k := f.k
	cause := fetchError(err)
	account, host := k.cfg.fingerprints()
	by := account
	if cause.PerHost {
		by = host
	}
	count := k.state.failures()
	noted, _ := f.notes.failure(by)
	count = max(count, noted.Count)
	failed, wait := judge(cause, count+1, f.storeNow())
	failed.err.Text += otherAddress(noted.Address, cause.Address)
	superseded := cause.Unanswered && !k.cfg.Kind.Idempotent
	if superseded {
		left := f.cut(sent)
		if !v.doubt || f.guess { // else the issuer refuses it anyway: nothing is gained by waiting
			wait = max(wait, left/2)
		}
	}
	failed.until = time.Now().Add(wait)
	f.notes.fail(failureNote{
		By: by, Class: failed.err.Class, Code: failed.err.Code, Text: failed.err.Text,
		Count: failed.count, Next: f.storeNow().Add(wait).UnixMicro(), Address: cause.Address,
	})
	f.attempt.lease.Detail = clip(failed.err.Text, maxFailureText)
	err = f.release(f.notes.bytes())
	if f.overtaken(err) {
		f.lookAgain()
		if superseded {
			f.lateFetch(sent)
		}
		return
	}
	_ = f.fail(failed)
	if err != nil {
		f.lookAgain() // what the lease came with may be old by now
	}
}

// otherAddress names the address that an earlier try came from, when that was another:
// this machine has several ways out, and each of them needs to be allowed.
func otherAddress(before, now string) string {
	if before == "" || now == "" || before == now {
		return ""
	}
	return fmt.Sprintf(" An earlier try came from %s: this machine has several addresses, and all of them must be allowed.", before)
}

// fetched reports the answer to a fetch that was sent at sent.
func (f renewal) fetched(mode Mode, sent time.Time, today int, err error) {
	info := FetchedInfo{
		Key: f.k.cfg.Key, Reason: f.attempt.why, Mode: mode, Took: time.Since(sent),
		Today: today, Limit: f.k.cfg.Kind.DailyFetches,
	}
	if err != nil {
		info.Err = fetchError(err)
	}
	f.k.cfg.Trace.fetched(info)
}

// check asks the issuer once about the value that it gave instead of a refused one.
// Refused twice, seconds apart, such a value opens the breaker; see decide.
func (f renewal) check(v *view) {
	k, at := f.k, &f.attempt
	at.checked = true
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.ctx), k.cfg.Timing.ProbeTimeout)
	defer cancel()
	stop := f.extend()
	sent := time.Now()
	verdict := k.cfg.Kind.Probe(ctx, at.grant.Value.Reveal())
	stop()
	k.cfg.Trace.probed(ProbedInfo{Key: k.cfg.Key, Verdict: verdict, Took: time.Since(sent)})
	f.notes.doubt(v.storeNow, 0)
	if verdict == Rejected {
		f.notes.doubt(f.storeNow(), at.lease.Fence)
	}
}

// save stores the grant and makes it the held value.
func (f renewal) save(v *view) {
	k, at := f.k, f.attempt
	lease, grant, sent := *at.lease, *at.grant, at.sent
	now := time.Now()
	same := v.held != nil && grant.Value.Equal(v.held.value)
	if same && v.doubt {
		wait := max(f.notes.mayForce(f.storeNow()), minForcedGap)
		f.notes.trip(f.storeNow(), wait, lease.Fence)
	}
	f.notes.clear(k.cfg.fingerprints())
	h := k.cfg.granted(&grant, lease.Fence, sent)
	if same {
		// The issuer returned what was there before: ask once more when half of it has passed.
		h.fresh = min(h.fresh, h.end/2)
	}
	if v.held == nil && f.rec.Value == "" && !k.cfg.Kind.Idempotent {
		// Many that were fetched at the same time would be renewed at the same time for ever.
		if due := k.scheduler.delay(h.fresh); due > 0 {
			h.fresh = due
		}
	}
	record := Record{End: f.storeTime(sent).Add(grant.ExpiresIn), Life: grant.ExpiresIn, Notes: f.notes.bytes()}
	record.Value, record.SealKey = k.seals.seal(sealName(k.cfg.Key, lease.Fence), grant.Value)

	err := k.calls.save(lease, record)
	f.attempt = attempt{late: at.late, lateOnce: at.lateOnce}
	f.prepared = false
	result := RenewalSaved
	switch {
	case err == nil:
		k.unsaved = nil // what was left over belongs to an older value
		f.rec.Fence, f.rec.Value, f.rec.End, f.rec.Life = lease.Fence, record.Value, record.End, record.Life
		f.publish(h)
	case errors.Is(err, ErrFenced):
		k.log().Warn("the renewal took longer than its lease and another process renewed in the meantime; that token is used",
			"log_code", "custody_renewal_overtaken", "fence", lease.Fence)
		f.renewed(h, RenewalOvertaken, &at)
		f.lookAgain()
		if !k.cfg.Kind.Idempotent {
			f.lateFetch(sent)
		}
		return
	default:
		k.log().Warn("the token was renewed but not saved; it is used here and saved when the store takes it",
			"log_code", "custody_token_unsaved", "fence", lease.Fence, "error", err)
		h.unsaved = true
		k.unsaved = &unsaved{save: &pendingSave{lease: lease, record: record}, due: now.Add(k.calls.retry())}
		f.publish(h)
		result = RenewalUnsaved
	}
	text := "renewed"
	if same {
		text = "the issuer returned the same token"
		if result == RenewalSaved {
			result = RenewalSame
		}
	}
	f.renewed(h, result, &at)
	k.log().Info(text, "fence", lease.Fence, "life", grant.ExpiresIn, "why", lease.Detail)
}

// renewed reports what became of h, which was fetched.
func (f renewal) renewed(h *held, result RenewalResult, at *attempt) {
	info := RenewedInfo{
		Key: f.k.cfg.Key, Reason: at.why, Result: result, Forced: at.forced,
		Took: time.Since(f.began), Fence: h.fence,
	}
	if result != RenewalOvertaken {
		info.Left = Token{h}.Left()
	}
	f.k.cfg.Trace.renewed(info)
}

// alone asks the issuer in normal mode, without a lease and never forced, and serves
// the answer in this process. It counts as newer than what was held, and a store that
// comes back without a newer one is given it.
func (f renewal) alone(v *view) {
	k := f.k
	f.attempt.why = v.reason(time.Now())
	if v.hourly > 0 || v.minutely > 0 {
		f.notes.begin(f.storeNow())
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.ctx), f.notes.patience(k.cfg.Timing.FetchTimeout))
	defer cancel()
	sent := time.Now()
	renews := k.state.calledFor()
	grant, err := k.cfg.Kind.Fetch(ctx, Normal)
	timedOut := err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded)
	if err == nil {
		err = k.check(grant, sent)
	}
	f.fetched(Normal, sent, 0, err)
	f.notes.took(time.Since(sent), k.cfg.Timing.FetchTimeout, timedOut)
	defer func() { k.keepNotes(Record{Notes: f.notes.bytes(), Now: f.storeNow()}, time.Now()) }()
	if err != nil {
		cause := fetchError(err)
		if cause.Unanswered && !k.cfg.Kind.Idempotent {
			f.cut(sent)
		}
		failed, wait := judge(cause, k.state.failures()+1, f.storeNow())
		failed.until = time.Now().Add(wait)
		_ = f.fail(failed)
		f.lookAgain() // the store may be back, with what callers wait for
		return
	}
	if v.doubt && grant.Value.Equal(v.held.value) {
		f.notes.trip(f.storeNow(), minForcedGap, v.held.fence)
		_ = f.fail(&failure{
			err:   Error{Class: ClassBlocked, Text: refusedTexts[refusedUnforced], Err: ErrRefused},
			count: k.state.failures() + 1, until: time.Now().Add(minForcedGap),
		})
		return
	}
	fence := time.Now().UnixMicro()
	if v.held != nil {
		fence = max(fence, v.held.fence+1)
	}
	h := k.cfg.granted(&grant, fence, sent)
	h.unsaved, k.unsaved = true, nil // nothing is pending: it was fetched without a lease
	k.state.madeUpFor(renews)
	f.publish(h)
	f.failed, f.looked, f.gaveBack = nil, time.Now(), true
	at := f.attempt
	f.renewed(h, RenewalUnsaved, &at)
	silent, stuck := k.calls.health(time.Now())
	k.log().Warn("the store is unavailable; the token was fetched without it", "log_code", "custody_fetched_without_store",
		"silent", round(silent), "takes_nothing", round(stuck), "life", grant.ExpiresIn)
}

// lateFetch looks at what another process saved while a fetch of this one was under way,
// which may have superseded it.
func (f renewal) lateFetch(sent time.Time) {
	f.attempt.late = sent
	f.look(false)
	if f.failed == nil {
		f.cut(sent)
	}
}

// superseded returns since when the value in the record may be superseded by a
// fetch that was sent at sent and may have been late: not since before it was
// issued. All on this process's clock.
func (f renewal) superseded(sent time.Time) time.Time {
	issued := f.at.Add(min(0, f.rec.End.Add(-f.rec.Life).Sub(f.rec.Now)))
	if f.rec.Value == "" || issued.Before(sent) {
		return sent
	}
	return issued
}

// cut takes into account that a fetch which was sent at sent (on this process's
// clock) may have superseded the current value: it is trusted for the overlap
// only, here and in the store. It returns what is left of it.
func (f renewal) cut(sent time.Time) time.Duration {
	k, now, from := f.k, time.Now(), f.superseded(sent)
	var left time.Duration
	if h := k.state.current(); h != nil {
		if c := k.cfg.cut(h, from, now); c != h {
			h = c
			f.publish(c)
			f.shortened(c)
		}
		left = h.left(now)
	}
	if u := k.unsaved; u != nil && u.save != nil {
		if end := f.storeTime(from).Add(k.cfg.overlapOf(u.save.record.Life)); end.Before(u.save.record.End) {
			u.save.record.End = end
		}
	}
	if f.rec.Value == "" {
		return max(0, left)
	}
	if end := f.storeTime(from).Add(k.cfg.overlapOf(f.rec.Life)); end.Before(f.rec.End) {
		if err := k.calls.shorten(f.rec.Fence, end); err != nil {
			if k.unsaved == nil {
				k.unsaved = &unsaved{}
			}
			k.unsaved.shorten = &pendingShorten{fence: f.rec.Fence, end: end}
			k.unsaved.due = now.Add(k.calls.retry())
		}
	}
	return max(0, left)
}
