package custody

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"time"
)

// flight is one run of the protocol on behalf of all callers that wait for it: a loop
// that asks decide what to do next and does it. It runs in a goroutine of its own and
// outlives its first caller.
type flight struct {
	*waiters

	k *Keeper

	began  time.Time
	looked time.Time // when the last look that was answered was sent
	asked  time.Time
	tries  int
	polls  int
	failed error // of the store, in the last try

	rec        Record // as the store last gave it
	at         time.Time
	notes      notes // of rec, and what this flight adds to them
	unreadable error // why the live value in rec cannot be opened
	gaveBack   bool

	rejected  bool // a probe says that the issuer refuses the current value
	noVerdict bool
	guess     bool // the refusal is believed although the probe gave no verdict
	prepared  bool
	heldUntil time.Time
	shared    string // the id of an Acquire of the common count without an answer
	attempt   attempt
}

// run is the loop.
func (f *flight) run() {
	for {
		v := f.view()
		now := time.Now()
		a := decide(&v, now)
		end, err := f.do(a, &v, now)
		if end && f.land(err) {
			return
		}
	}
}

// land ends the flight, unless there is something new to decide on.
func (f *flight) land(err error) bool {
	k := f.k
	s := &k.state
	s.mu.Lock()
	now, h := time.Now(), s.held.Load()
	pending := s.refusals != nil && len(s.refusals.reports) > 0
	if !s.closed && (s.noticed || err == nil && pending) {
		s.mu.Unlock()
		return false
	}
	if s.closed {
		err = ErrClosed
	}
	if pending {
		s.refusals.end(false, err)
	}
	if err == nil && h.live(now) && s.failure.overcome(h) {
		s.failure = nil
	}
	s.flight, s.back = nil, false
	f.cancel()
	f.err = err
	if !s.closed {
		background{k}.plan()
	}
	s.mu.Unlock()
	close(f.done)
	return true
}

// view collects what decide needs to know.
func (f *flight) view() view {
	k := f.k
	now := time.Now()
	v := view{
		timing: k.cfg.Timing, idempotent: k.cfg.Kind.Idempotent, forceable: k.cfg.Kind.Forceable,
		probes: k.cfg.Kind.Probe != nil, prepares: k.cfg.Kind.Prepare != nil,
		alone: k.cfg.FetchWithoutStore, limit: k.cfg.Kind.DailyFetches,
		hourly: k.cfg.Kind.HourlyFetches, minutely: k.cfg.Kind.MinuteFetches, shared: k.cfg.Kind.Shared.HourlyFetches > 0,

		closing: f.ctx.Err() != nil, guess: f.guess, rejected: f.rejected, verdict: f.noVerdict,
		began: f.began, looked: f.looked, asked: f.asked, tries: f.tries, polls: f.polls, storeErr: f.failed,
		record: f.rec, notes: f.notes, storeNow: f.storeTime(now), unreadable: f.unreadable, gaveBack: f.gaveBack,
		prepared: f.prepared, heldUntil: f.heldUntil,
		lease: f.attempt.lease, grant: f.attempt.grant, forced: f.attempt.forced, checked: f.attempt.checked,
	}
	v.silent, v.stuck = k.calls.health(now)
	if len(f.notes.Failures) > 0 {
		v.account, v.host = k.cfg.fingerprints()
	}
	if k.unsaved != nil {
		v.flushAt = k.unsaved.due
	}
	k.state.fill(&v)
	return v
}

// do carries out an action. It reports whether the flight is at its end.
func (f *flight) do(a action, v *view, now time.Time) (end bool, err error) {
	switch a.do {
	case doServe:
		return true, nil
	case doWait:
		f.wait(a.until.Sub(now))
	case doLook:
		f.look(v.failure.lasts(now) || !v.callers && !v.reports)
	case doFlush:
		f.k.flush()
	case doGiveBack:
		f.giveBack()
	case doProbe:
		f.probe()
	case doBelieve:
		f.guess = v.probes
		f.rejected = !v.probes
		f.k.state.suspect()
	case doPrepare:
		return f.prepare()
	case doAcquire:
		f.acquire()
	case doRelease:
		_ = f.release(nil)
	case doTrip:
		f.notes.trip(v.storeNow, breakerTime, 0)
		f.notes.doubt(v.storeNow, 0)
		_ = f.release(f.notes.bytes())
	case doFetch:
		renewal{f}.fetch(a.mode, v)
	case doCheck:
		renewal{f}.check(v)
	case doSave:
		renewal{f}.save(v)
	case doAlone:
		renewal{f}.alone(v)
	case doAnswer:
		f.k.state.answerLooks(f.k.refusedError(refusal{refusedAccepted, quarantineGap}))
	case doGiveUp:
		return f.giveUp(a)
	}
	return false, nil
}

// giveUp ends the flight with an error, which is remembered if it is a failure.
func (f *flight) giveUp(a action) (bool, error) {
	if f.attempt.lease != nil {
		_ = f.release(nil)
	}
	switch {
	case a.failure == nil:
		err := f.k.refusedError(a.refused)
		f.k.state.deny(err)
		return true, err
	case a.known:
		return true, f.k.named(a.failure.at(time.Now()))
	default:
		return true, f.fail(a.failure)
	}
}

// look asks the store for the record; see calls.load.
func (f *flight) look(patient bool) {
	f.k.state.heed() // the answer to this call has what it announces
	before := f.rec
	rec, sent, err := f.k.calls.load(f.ctx, patient)
	if errors.Is(err, ErrNotFound) {
		rec, err = Record{Now: rec.Now}, nil
		if rec.Now.IsZero() {
			rec.Now = time.Now()
		}
	}
	f.tried(sent, err)
	if err != nil {
		f.k.state.trustTheClock()
		return
	}
	if f.looked.IsZero() {
		f.tries = 0
	}
	f.looked = sent
	f.polls++
	f.adopt(rec, sent)
	if rec.Fence != before.Fence || !bytes.Equal(rec.Notes, before.Notes) {
		f.heldUntil = time.Time{} // the other's renewal has ended
	}
}

// tried keeps what a try at the store came to.
func (f *flight) tried(sent time.Time, err error) {
	f.asked, f.failed = time.Now(), err
	if err != nil {
		f.tries++
	}
	f.k.state.lookedAt(sent)
}

// adopt takes over what the store answered to a call that was sent at sent. The
// store is right, with three exceptions: a record without a value takes nothing
// away, an older value does not replace a live one (which could not be saved yet, or was
// replaced in the store by a backup or by somebody who writes there), and a dead value
// does not replace a newer one.
func (f *flight) adopt(rec Record, sent time.Time) {
	k := f.k
	f.rec, f.at, f.notes, f.unreadable = rec, time.Now(), parseNotes(rec.Notes), nil
	k.keepNotes(rec, f.at)
	if rec.Value == "" {
		return
	}
	left := min(rec.End.Sub(rec.Now), rec.Life)
	mine := k.state.current()
	if mine != nil && rec.Fence > mine.fence {
		k.calls.takes()
	}
	if mine != nil && rec.Fence < mine.fence && mine.live(f.at) && (mine.unsaved || k.state.held.Load().live(f.at)) {
		return // not of a value that was refused: the store's may be the one that another process fetched since
	}
	value, err := k.seals.open(sealName(k.cfg.Key, rec.Fence), rec.Value, rec.SealKey)
	if err != nil {
		if left > 0 {
			f.unreadable = err
		}
		return
	}
	h := k.cfg.newHeld(value, rec.Fence, rec.Life, sent, left)
	if mine != nil && mine.fence == rec.Fence {
		h.fetched, h.spread = mine.fetched, mine.spread
		h.place(sent, min(left, mine.left(sent))) // a life is never made longer
		if left > mine.left(sent)-time.Second {   // nor shorter by others, so its plan stands
			h.fresh = mine.fresh - sent.Sub(mine.base)
		}
	}
	if mine != nil && rec.Fence < mine.fence && !h.live(f.at) {
		return
	}
	if late := f.attempt.late; !late.IsZero() && (mine == nil || mine.fence != rec.Fence) {
		h = k.cfg.cut(h, renewal{f}.superseded(late), f.at) // before anybody has it
	}
	f.publish(h)
	f.adopted(h, mine)
}

// adopted reports that h, which the store had, is handed out instead of before.
func (f *flight) adopted(h, before *held) {
	k := f.k
	switch {
	case !k.state.held.Load().live(time.Now()):
	case before == nil || before.fence != h.fence:
		k.cfg.Trace.adopted(AdoptedInfo{Key: k.cfg.Key, First: before == nil, Fence: h.fence, Left: Token{h}.Left()})
	case before.left(h.base)-h.left(h.base) > time.Second:
		f.shortened(h)
	}
}

// shortened reports that h ends earlier than before.
func (f *flight) shortened(h *held) {
	f.k.cfg.Trace.shortened(ShortenedInfo{Key: f.k.cfg.Key, Fence: h.fence, Left: Token{h}.Left()})
}

// publish makes h the held value.
func (f *flight) publish(h *held) {
	before := f.k.state.current()
	if before == nil || !before.value.Equal(h.value) {
		f.rejected, f.noVerdict, f.guess = false, false, false
	}
	f.k.state.publish(h)
}

// probe asks the issuer about the current value, for all calls whose refusal has been
// reported by now.
func (f *flight) probe() {
	k := f.k
	value, reports := k.state.probing()
	ctx, cancel := context.WithTimeout(f.ctx, k.cfg.Timing.ProbeTimeout)
	defer cancel()
	sent := time.Now()
	verdict := k.cfg.Kind.Probe(ctx, value.Reveal())
	if f.ctx.Err() != nil {
		return
	}
	k.cfg.Trace.probed(ProbedInfo{Key: k.cfg.Key, Verdict: verdict, Took: time.Since(sent)})
	f.rejected, f.noVerdict = verdict == Rejected, verdict == NoVerdict
	k.state.settle(value, reports, verdict, k.refusedError(refusal{reason: refusedAccepted, wait: quarantineGap}))
}

// prepare has the kind wait for what its fetch needs. The wait is bounded by
// what the renewal of another credential takes at the longest.
func (f *flight) prepare() (bool, error) {
	t := f.k.cfg.Timing
	ctx, cancel := context.WithTimeout(f.ctx, t.StorePatience+t.LeaseTTL+t.FetchTimeout)
	defer cancel()
	err := f.k.cfg.Kind.Prepare(ctx)
	switch {
	case f.ctx.Err() != nil:
		return true, ErrClosed
	case err == nil:
		f.prepared = true
		return false, nil
	}
	failed, wait := judge(fetchError(err), f.k.state.failures()+1, f.storeNow())
	failed.soon, failed.until = false, time.Now().Add(wait)
	_ = f.fail(failed)
	renewal{f}.lookAgain() // another process may have renewed while this one waited
	return false, nil
}

// acquire asks for the lease and adopts the record that comes with it. A call without
// an answer may have had its effect, so it is repeated for the same attempt.
func (f *flight) acquire() {
	if f.attempt.id == "" {
		f.attempt.id = attemptID()
	}
	f.k.state.heed()
	lease, sent, err := f.k.calls.acquire(f.ctx, f.attempt.id, false)
	if busy, ok := errors.AsType[*HeldError](err); ok {
		f.tried(sent, nil)
		f.tries, f.polls, f.heldUntil = 0, 0, time.Now().Add(busy.Left)
		f.attempt.id = ""
		return
	}
	f.tried(sent, err)
	if err != nil {
		return
	}
	f.looked = sent
	f.attempt.lease, f.attempt.until = &lease, sent.Add(f.k.cfg.Timing.LeaseTTL)
	f.adopt(lease.Record, sent)
}

// release ends the lease as well as it can be done: when it fails, the lease expires.
// notes are written, nil leaves them as they are.
func (f *flight) release(notes []byte) error {
	lease := *f.attempt.lease
	f.attempt = attempt{late: f.attempt.late, lateOnce: f.attempt.lateOnce}
	err := f.k.calls.release(lease, notes)
	if err != nil {
		f.k.log().Debug("the lease was not released and expires", "fence", lease.Fence, "error", err)
	}
	return err
}

// giveBack saves the held value in a store that lost it, without a fetch.
func (f *flight) giveBack() {
	k := f.k
	f.gaveBack = true
	lease, sent, err := k.calls.acquire(f.ctx, attemptID(), false)
	if err != nil {
		return // the holder renews, or the store takes nothing
	}
	f.adopt(lease.Record, sent)
	if !k.cfg.Kind.Idempotent && !lease.Unfinished.IsZero() {
		renewal{f}.cut(f.at.Add(lease.Unfinished.Sub(f.rec.Now))) // a holder of whom nothing more was heard may have superseded it
	}
	v := f.view()
	now := time.Now()
	if !v.lost(now) {
		_ = k.calls.release(lease, nil)
		return
	}
	h := v.held
	record := Record{End: f.storeTime(now).Add(h.left(now)), Life: h.life, Notes: f.notes.bytes()}
	record.Value, record.SealKey = k.seals.seal(sealName(k.cfg.Key, lease.Fence), h.value)
	if err := k.calls.save(lease, record); err != nil {
		k.log().Warn("the store lacks the token and did not take it", "log_code", "custody_store_lacks_token", "error", err)
		return
	}
	c := *h
	c.fence, c.unsaved = lease.Fence, false
	f.publish(&c)
	k.log().Info("the store lacked the token; it was saved there without a fetch", "fence", lease.Fence)
}

// fail remembers what an attempt met and returns it as callers get it.
func (f *flight) fail(failed *failure) error {
	if f.ctx.Err() != nil {
		return ErrClosed
	}
	v := f.view()
	f.k.state.remember(failed)
	err := f.k.named(failed.at(time.Now()))
	level := slog.LevelWarn
	if failed.ofStore() && failed.count&(failed.count-1) != 0 {
		level = slog.LevelDebug // it is tried every second: the first time is said, then the second, fourth, eighth
	}
	f.k.log().Log(context.Background(), level, "no new token", "log_code", "custody_no_new_token",
		"error", err.Text, "class", err.Class, "code", err.Code, "retry_in", round(err.RetryAfter), "failures", failed.count)
	f.k.cfg.Trace.failed(FailedInfo{
		Key: f.k.cfg.Key, Reason: v.reason(time.Now()), Err: err, Failures: failed.count, Elsewhere: err.Err == nil,
	})
	return err
}

// storeTime tells t, on this process's clock, in the store's. It is early by up
// to the time that the store's answer took, never late.
func (f *flight) storeTime(t time.Time) time.Time {
	if f.at.IsZero() { // nothing was heard of it
		return t
	}
	return f.rec.Now.Add(t.Sub(f.at))
}

func (f *flight) storeNow() time.Time { return f.storeTime(time.Now()) }
