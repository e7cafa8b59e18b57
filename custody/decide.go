package custody

import (
	"errors"
	"fmt"
	"time"
)

const (
	lookGap    = time.Second           // evidence that is older is looked up before an error or a refusal is returned
	firstPause = 50 * time.Millisecond // between two looks, or two tries, at a store; doubles
	lastPause  = time.Second           // the longest of these
	lastChance = time.Minute           // before a token's end, or life/10, Config.FetchWithoutStore stops waiting for the store
)

// do is what a flight does next.
type do int

const (
	doServe    do = iota // nothing is left to do
	doWait               // until action.until, or until there is news
	doLook               // ask the store for the record
	doFlush              // bring to the store what it has not taken yet
	doGiveBack           // save the live value in a store that lost it
	doProbe              // ask the issuer about the current value
	doBelieve            // take the refusal for true
	doPrepare            // wait for what the fetch needs
	doAcquire            // take the lease
	doRelease            // give the lease back, nothing was done under it
	doTrip               // open the breaker
	doFetch              // ask the issuer for a value, in action.mode
	doCheck              // ask the issuer about the value that it gave instead of a refused one
	doSave               // save the value that was fetched
	doAlone              // fetch without the store
	doAnswer             // tell reports that only waited for a look: there is nothing else
	doGiveUp             // end with action.failure, or action.refused
)

// action is what decide returns.
type action struct {
	do    do
	until time.Time // of doWait
	mode  Mode      // of doFetch

	failure *failure // of doGiveUp: to be remembered and returned
	known   bool     // failure is the one that is remembered already
	refused refusal  // of doGiveUp: why the refused value is all there is
}

// refusal is the issuer's refusal of the current value, where nothing is to be done
// about it now.
type refusal struct {
	reason refusedReason
	wait   time.Duration // until something may be done about it
}

type refusedReason int

const (
	refusedNot       refusedReason = iota
	refusedAccepted                // the issuer accepts the value, and refuses this path
	refusedBreaker                 // a new value was refused as well
	refusedUnforced                // the issuer returns the refused value, and a forced fetch is not allowed yet
	refusedNoVerdict               // the issuer does not say
)

var refusedTexts = map[refusedReason]string{
	refusedAccepted:  "calls of this path are refused, yet the issuer accepts the token when it is asked directly: look for another cause (another account's API, a missing permission, a wrong host); nothing was renewed",
	refusedBreaker:   "the issuer refused a token that was just renewed as well, so another renewal would not help: see what the account's console says",
	refusedUnforced:  "the issuer refuses its own current token, and a forced renewal is not allowed yet",
	refusedNoVerdict: "a call was refused, and the issuer does not say whether it accepts the token",
}

// view is everything that a decision depends on.
type view struct {
	// What the configuration says.
	timing     Timing
	idempotent bool
	forceable  bool
	probes     bool
	prepares   bool
	alone      bool // FetchWithoutStore
	limit      int  // fetches a day; 0 for no limit
	hourly     int  // fetches an hour
	minutely   int  // fetches a minute
	shared     bool // there is a limit of several credentials together
	account    string
	host       string // the fingerprints of failures

	closing bool // Close was called

	// What callers want.
	callers bool // some wait without a live value
	reports bool // some wait for a probe of the current value
	looks   bool // some wait for a look only
	renew   bool // Renew was called

	// What this process knows.
	held     *held // the current value; nil for none
	doubt    bool  // the issuer refuses it
	guess    bool  // and that is believed without a verdict
	rejected bool  // a probe of this flight says so
	verdict  bool  // a probe of this flight gave none
	probed   time.Time
	lived    time.Time
	failure  *failure
	back     bool      // the store does again what it failed to do
	flushAt  time.Time // when to bring to the store what it lacks; zero for nothing

	// What the store said.
	began      time.Time // of the flight
	looked     time.Time // when the last look that was answered was sent; zero for none in this flight
	asked      time.Time // the last try
	tries      int       // that failed, since one of the same sort succeeded
	polls      int       // looks at another's renewal
	storeErr   error     // of the last try; nil when it was answered
	noticed    bool      // the store says that the record changed
	silent     time.Duration
	stuck      time.Duration // for how long it has taken nothing
	record     Record
	notes      notes
	storeNow   time.Time
	unreadable error
	gaveBack   bool // or tried

	// How far this renewal is.
	prepared  bool
	lease     *Lease
	heldUntil time.Time // the lease is another's until then
	grant     *Grant
	forced    bool
	checked   bool // doCheck was done
}

// decide says what to do next. It is the whole of the protocol: a pure function of
// what is known and the time.
func decide(v *view, now time.Time) action { //nolint:gocyclo // it is read from top to bottom, and nowhere else
	switch {
	case v.closing && v.grant != nil:
		return action{do: doSave}
	case v.closing && v.lease != nil:
		return action{do: doRelease}
	case v.closing:
		return action{do: doServe}
	case v.grant != nil:
		return answered(v, now)
	}
	if !v.flushAt.IsZero() && (v.back || !now.Before(v.flushAt)) {
		return action{do: doFlush}
	}
	if a, ok := evidence(v, now); ok {
		return a
	}
	if !v.needed(now) && !v.reports {
		switch {
		case v.lease != nil:
			return action{do: doRelease}
		case v.lost(now) && !v.gaveBack:
			return action{do: doGiveBack}
		case v.looks:
			return action{do: doAnswer}
		default:
			return action{do: doServe}
		}
	}
	if a, ok := refused(v, now); ok {
		return a
	}
	if a, ok := blocked(v, now); ok {
		return a
	}
	switch {
	case v.prepares && !v.prepared:
		return action{do: doPrepare}
	case v.lease == nil:
		return lease(v, now)
	case v.limit > 0 && v.lease.Today >= v.limit:
		return action{do: doGiveUp, failure: usedUp(v, now)}
	case v.tripped(now):
		return action{do: doTrip}
	}
	if f := v.tooMany(now); f != nil {
		return action{do: doGiveUp, failure: f}
	}
	return action{do: doFetch, mode: Normal}
}

// needed reports whether there is something to renew.
func (v *view) needed(now time.Time) bool {
	return v.doubt || v.renew || v.held.zone(now) != zoneFresh
}

// live reports whether callers are served in the meantime.
func (v *view) live(now time.Time) bool { return !v.doubt && v.held.live(now) }

// lost reports whether the store lacks the live value that is held: it had it once,
// or was unavailable when that was fetched.
func (v *view) lost(now time.Time) bool {
	if v.looked.IsZero() || !v.live(now) || !v.flushAt.IsZero() || v.record.Fence >= v.held.fence {
		return false
	}
	return v.held.unsaved || v.record.Value == "" || !v.record.End.After(v.record.Now)
}

// evidence has the store looked at before anything is done, and before an error or a
// refusal is returned on what is older than a second.
func evidence(v *view, now time.Time) (action, bool) {
	switch {
	case v.noticed, v.looked.IsZero() && v.storeErr == nil:
		return action{do: doLook}, true
	case v.storeErr != nil && v.lease == nil:
		return storeFails(v, now), true
	case v.reports && v.lease == nil && now.Sub(v.looked) >= lookGap:
		return action{do: doLook}, true
	}
	return action{}, false
}

// storeFails is what to do after the store failed a try.
func storeFails(v *view, now time.Time) action {
	if v.mayFetchAlone(now) {
		if a, ok := refused(v, now); ok {
			return a
		}
		if a, ok := blocked(v, now); ok {
			return a
		}
		if f := v.tooMany(now); f != nil {
			return action{do: doGiveUp, failure: f}
		}
		return action{do: doAlone}
	}
	var left time.Duration
	switch t := v.timing; {
	case v.doubt || v.reports:
		left = 2*t.StoreTimeout - now.Sub(v.began)
	case v.live(now) && v.looked.IsZero():
	case v.live(now): // the lease, which was asked for in vain
		left = t.FetchTimeout/2 - now.Sub(v.began)
	default:
		left = t.StorePatience - max(v.silent, v.stuck)
	}
	if left <= 0 {
		return action{do: doGiveUp, failure: unavailable(v, now)}
	}
	next := v.asked.Add(pause(v.tries))
	if now.Before(next) {
		return action{do: doWait, until: earlier(next, now.Add(left))}
	}
	return action{do: doLook}
}

// pause returns the time between two tries, after n of them.
func pause(n int) time.Duration {
	return min(firstPause<<min(max(n-1, 0), 10), lastPause)
}

// mayFetchAlone reports whether the store counts as unavailable, for reading or for
// writing, and a fetch without it does no harm that was not asked for.
func (v *view) mayFetchAlone(now time.Time) bool {
	if max(v.silent, v.stuck) < v.timing.StorePatience || !v.needed(now) || v.shared {
		return false
	}
	if v.idempotent {
		return true
	}
	return v.alone && (!v.live(now) || v.held.dead-now.Sub(v.held.base) < min(lastChance, v.held.life/10))
}

// refused handles reports that the current value was refused: the issuer is asked before
// anything is taken or fetched on such a report. Where the issuer refused it before and
// no attempt is due, nothing is gained by another probe.
func refused(v *view, now time.Time) (action, bool) {
	if !v.reports && (!v.doubt || v.held.zone(now) != zoneFresh) {
		return action{}, false // nobody asks, or it is due for renewal anyway
	}
	if a, ok := blocked(v, now); ok && v.doubt {
		return a, true
	}
	if wait := v.breaker(now); wait > 0 {
		reason := refusedBreaker
		if v.notes.BreakerFence != 0 {
			reason = refusedUnforced
		}
		return action{do: doGiveUp, refused: refusal{reason, wait}}, true
	}
	if !v.rejected && !v.guess {
		next := v.probed.Add(probeGap)
		switch {
		case !v.probes:
			return action{do: doBelieve}, true
		case v.verdict:
			if wait := noVerdictGap - since(v.storeNow, v.notes.NoVerdictAt); wait > 0 {
				return action{do: doGiveUp, refused: refusal{refusedNoVerdict, wait}}, true
			}
			return action{do: doBelieve}, true
		case now.Before(next):
			return action{do: doWait, until: next}, true
		}
		return action{do: doProbe}, true
	}
	if first, ok := v.secondRefusal(now); ok && v.rejected && v.probed.Before(first.Add(provenAfter)) {
		if second := first.Add(provenAfter); now.Before(second) {
			return action{do: doWait, until: second}, true
		}
		return action{do: doProbe}, true
	}
	return action{}, false
}

// breaker returns for how long refusals are only reported. Evidence that the value
// has worked since ends that; for a value that could not be forced, which may have been
// refused by chance, until a probe refuses it again.
func (v *view) breaker(now time.Time) time.Duration {
	if v.held == nil {
		return 0
	}
	wait := v.notes.breaker(v.storeNow, v.held.fence)
	if wait > 0 && v.notes.BreakerFence != 0 && !v.rejected && v.lived.After(v.probed) {
		return 0
	}
	if wait > 0 && v.notes.BreakerFence == 0 && v.livedFor(now, v.storeNow.Sub(time.UnixMicro(v.notes.BreakerEnd).Add(-breakerTime))) {
		return 0
	}
	return wait
}

// livedFor reports whether there is evidence of the last d that the value works.
func (v *view) livedFor(now time.Time, d time.Duration) bool {
	return !v.lived.IsZero() && v.lived.After(now.Add(-d))
}

// secondRefusal returns when the current value was refused for the first time, if it
// was fetched because of a refusal, and has never been seen to work.
func (v *view) secondRefusal(now time.Time) (first time.Time, ok bool) {
	if v.held == nil {
		return time.Time{}, false
	}
	ago, ok := v.notes.doubted(v.storeNow, v.held.fence)
	if !ok || ago > breakerTime || v.livedFor(now, ago) {
		return time.Time{}, false
	}
	return now.Add(-ago), true
}

// tripped reports whether the issuer refused a new value twice, far enough apart.
func (v *view) tripped(now time.Time) bool {
	first, ok := v.secondRefusal(now)
	return ok && v.rejected && !v.probed.Before(first.Add(provenAfter))
}

// blocked says why no attempt is allowed now.
func blocked(v *view, now time.Time) (action, bool) {
	if f := v.failure; f.lasts(now) {
		if f.soon && (v.callers || v.reports) {
			return action{do: doWait, until: f.until}, true
		}
		return action{do: doGiveUp, failure: f, known: true}, true
	}
	if n, ok := v.notes.failure(v.account, v.host); ok {
		if wait := time.UnixMicro(n.Next).Sub(v.storeNow); wait > 0 {
			return action{do: doGiveUp, failure: &failure{
				err:   Error{Class: n.Class, Code: n.Code, Text: n.Text},
				count: n.Count, until: now.Add(wait),
			}}, true
		}
	}
	if wait := v.unreadableWait(); wait > 0 {
		return action{do: doGiveUp, failure: &failure{
			err: Error{
				Class: ClassBlocked, Text: ErrSealKey.Error() + ": " + v.unreadable.Error(),
				Err: fmt.Errorf("%w: %w", ErrSealKey, v.unreadable),
			},
			until: now.Add(wait),
		}}, true
	}
	return action{}, false
}

// unreadableWait returns how long a stored value that cannot be used is left alone.
func (v *view) unreadableWait() time.Duration {
	switch {
	case v.unreadable == nil:
		return 0
	case errors.Is(v.unreadable, errUnsealed):
		return unsealedGap - since(v.storeNow, v.notes.UnsealedAt)
	default:
		return unreadableGap - since(v.storeNow, v.notes.UnreadableAt)
	}
}

// lease says how to get the lease.
func lease(v *view, now time.Time) action {
	if now.Before(v.heldUntil) {
		next := v.asked.Add(pause(v.polls + 1))
		if now.Before(next) {
			return action{do: doWait, until: earlier(next, v.heldUntil)}
		}
		return action{do: doLook}
	}
	return action{do: doAcquire}
}

// answered says what becomes of the issuer's answer.
func answered(v *view, now time.Time) action {
	same := v.doubt && v.held != nil && v.grant.Value.Equal(v.held.value)
	switch {
	case same && v.forceable && !v.forced && v.notes.mayForce(v.storeNow) == 0 && v.tooMany(now) == nil:
		return action{do: doFetch, mode: Forced}
	case !same && v.doubt && v.probes && !v.checked:
		return action{do: doCheck}
	default:
		return action{do: doSave}
	}
}

// usedUp is the failure of a day with too many fetches. It is not noted for
// others: the store's count tells them, and a limit that was raised counts at
// once.
func usedUp(v *view, now time.Time) *failure {
	return &failure{
		err: Error{
			Class: ClassQuota,
			Text:  fmt.Sprintf("%d fetches were made today (UTC+8) and DailyFetches is %d: find out who makes them, or raise the limit", v.lease.Today, v.limit),
			Err:   ErrDailyLimit,
		},
		until: now.Add(nextBeijingMidnight(v.storeNow).Sub(v.storeNow)),
	}
}

// tooMany is the failure of an hour or a minute with too many fetches; nil for none. Like
// usedUp it is not noted: the counts are in the notes already.
func (v *view) tooMany(now time.Time) *failure {
	for _, w := range []struct {
		window
		length time.Duration
		limit  int
		text   string
	}{
		{v.notes.Hour, time.Hour, v.hourly, "%d fetches were made in an hour, as many as are allowed: find out who makes them"},
		{v.notes.Minute, time.Minute, v.minutely, "%d fetches were made in a minute, as many as are allowed: find out who makes them"},
	} {
		left := w.left(v.storeNow, w.length)
		if w.limit == 0 || w.Count < w.limit || left == 0 {
			continue
		}
		return &failure{
			err:   Error{Class: ClassBlocked, Text: fmt.Sprintf(w.text, w.Count), Err: ErrRateLimit},
			until: now.Add(left),
		}
	}
	return nil
}

// unavailable is the failure of a store that does not do what is needed. Only this
// process knows about it. What is said is what was observed.
// While a value lives nobody has waited for the store yet: if it ends before the next try,
// its callers wait for that.
func unavailable(v *view, now time.Time) *failure {
	f := storeFailed(v.storeErr, !v.looked.IsZero(), v.failure, now)
	f.soon = v.live(now)
	return f
}
