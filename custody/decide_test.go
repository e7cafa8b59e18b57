package custody

import (
	"errors"
	"testing"
	"time"
)

// TestDecide: what a flight does next, for each thing that it may know.
func TestDecide(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const life = 2 * time.Hour
	cfg := Config{}
	value := func(left time.Duration) *held {
		h := cfg.newHeld(NewSecret("91_value"), 7, life, now.Add(left-life), life)
		h.wall = h.base.UnixNano()
		return h
	}
	fresh, ending, dead := value(life), value(time.Minute), value(-time.Second)
	lease := &Lease{Fence: 8}
	failed := func(until time.Duration) *failure {
		return &failure{err: Error{Class: ClassBlocked, Err: errors.New("no")}, until: now.Add(until)}
	}
	errStore := errors.New("connection refused")
	for _, c := range []struct {
		name   string
		change func(*view)
		want   do
	}{
		{"first of all it looks", func(v *view) { v.looked = time.Time{} }, doLook},
		{"news of the store", func(v *view) { v.noticed = true }, doLook},
		{"a fresh value", func(*view) {}, doServe},
		{"the store lost it", func(v *view) { v.record = Record{Now: now} }, doGiveBack},
		{"and did not take it back", func(v *view) { v.record, v.gaveBack = Record{Now: now}, true }, doServe},
		{"something is not saved", func(v *view) { v.flushAt = now }, doFlush},
		{"and is tried again later", func(v *view) { v.flushAt = now.Add(time.Second) }, doServe},
		{"or when the store is back", func(v *view) { v.flushAt, v.back = now.Add(time.Second), true }, doFlush},

		{"the window has begun", func(v *view) { v.held = ending }, doAcquire},
		{"nothing is held", func(v *view) { v.held = nil }, doAcquire},
		{"the value is dead", func(v *view) { v.held = dead }, doAcquire},
		{"an issuer says that there is a newer one", func(v *view) { v.renew = true }, doAcquire},
		{"something is needed first", func(v *view) { v.held, v.prepares = nil, true }, doPrepare},
		{"and is there", func(v *view) { v.held, v.prepares, v.prepared = nil, true, true }, doAcquire},
		{"another has the lease", func(v *view) { v.held, v.heldUntil, v.asked = nil, now.Add(time.Second), now }, doWait},
		{"and is looked at", func(v *view) { v.held, v.heldUntil = nil, now.Add(time.Second) }, doLook},
		{"with the lease it fetches", func(v *view) { v.held, v.lease = nil, lease }, doFetch},
		{"the second look says that it is done", func(v *view) { v.lease = lease }, doRelease},
		{"the hour's fetches are used up", func(v *view) {
			v.held, v.lease, v.hourly, v.notes.Hour = nil, &Lease{}, 3, window{now.Add(-time.Minute).UnixMicro(), 3}
		}, doGiveUp},
		{"those of an hour that is over", func(v *view) {
			v.held, v.lease, v.hourly, v.notes.Hour = nil, &Lease{}, 3, window{now.Add(-time.Hour).UnixMicro(), 3}
		}, doFetch},
		{"the minute's fetches are used up", func(v *view) {
			v.held, v.lease, v.minutely, v.notes.Minute = nil, &Lease{}, 3, window{now.UnixMicro(), 3}
		}, doGiveUp},
		{"the day's fetches are used up", func(v *view) { v.held, v.lease, v.limit = nil, &Lease{Today: 3}, 3 }, doGiveUp},
		{"an answer is saved", func(v *view) { v.held, v.lease, v.grant = nil, lease, &Grant{Value: NewSecret("91_new")} }, doSave},

		{"a failure whose time is not over", func(v *view) { v.held, v.failure = nil, failed(time.Minute) }, doGiveUp},
		{"one whose time is", func(v *view) { v.held, v.failure = nil, failed(-time.Second) }, doAcquire},
		{"one that ends in seconds", func(v *view) {
			v.held, v.callers, v.failure = nil, true, failed(time.Second)
			v.failure.soon = true
		}, doWait},
		{"another process's failure", func(v *view) {
			v.held, v.account = nil, "a"
			v.notes.Failures = []failureNote{{By: "a", Class: ClassBlocked, Next: now.Add(time.Minute).UnixMicro()}}
		}, doGiveUp},
		{"that of another secret", func(v *view) {
			v.held, v.account = nil, "b"
			v.notes.Failures = []failureNote{{By: "a", Class: ClassBlocked, Next: now.Add(time.Minute).UnixMicro()}}
		}, doAcquire},
		{"a value sealed with another key, replaced lately", func(v *view) {
			v.held, v.unreadable, v.notes.UnreadableAt = nil, errors.New("key"), now.Add(-time.Minute).UnixMicro()
		}, doGiveUp},

		{"a refusal", func(v *view) { v.reports = true }, doProbe},
		{"a refusal after old evidence", func(v *view) { v.reports, v.looked = true, now.Add(-time.Second) }, doLook},
		{"a refusal within the second of a probe", func(v *view) { v.reports, v.probed = true, now.Add(-time.Millisecond) }, doWait},
		{"a refusal that needs a look only", func(v *view) { v.looks = true }, doAnswer},
		{"a refusal of what cannot be probed", func(v *view) { v.reports, v.probes = true, false }, doBelieve},
		{"a probe without a verdict", func(v *view) { v.reports, v.verdict = true, true }, doBelieve},
		{"the second in a minute", func(v *view) {
			v.reports, v.verdict, v.notes.NoVerdictAt = true, true, now.Add(-time.Second).UnixMicro()
		}, doGiveUp},
		{"the issuer refuses it", func(v *view) { v.reports, v.doubt, v.rejected = true, true, true }, doAcquire},
		{"it did in an earlier flight", func(v *view) { v.doubt = true }, doProbe},
		{"it does, and a failure lasts", func(v *view) { v.reports, v.doubt, v.failure = true, true, failed(time.Minute) }, doGiveUp},
		{"the breaker is open", func(v *view) { v.reports, v.notes.BreakerEnd = true, now.Add(time.Minute).UnixMicro() }, doGiveUp},
		{"and the value has worked since", func(v *view) {
			v.reports, v.lived, v.notes.BreakerEnd = true, now.Add(-time.Second), now.Add(time.Minute).UnixMicro()
		}, doProbe},
		{"a new value refused for the first time", func(v *view) {
			v.reports, v.doubt, v.rejected, v.probed = true, true, true, now
			v.notes.DoubtFence, v.notes.DoubtAt = 7, now.Add(-time.Second).UnixMicro()
		}, doWait},
		{"and again 2 s later", func(v *view) {
			v.reports, v.doubt, v.rejected, v.probed, v.lease = true, true, true, now, lease
			v.notes.DoubtFence, v.notes.DoubtAt = 7, now.Add(-2*time.Second).UnixMicro()
		}, doTrip},
		{"the issuer answers the refused value", func(v *view) {
			v.doubt, v.forceable, v.lease, v.grant = true, true, lease, &Grant{Value: NewSecret("91_value")}
		}, doFetch},
		{"and it was forced lately", func(v *view) {
			v.doubt, v.forceable, v.lease, v.grant = true, true, lease, &Grant{Value: NewSecret("91_value")}
			v.notes.ForcedAt = now.Add(-time.Second).UnixMicro()
		}, doSave},
		{"a value instead of a refused one", func(v *view) {
			v.doubt, v.lease, v.grant = true, lease, &Grant{Value: NewSecret("91_new")}
		}, doCheck},

		{"a silent store, and a live value", func(v *view) { v.looked, v.storeErr, v.tries = time.Time{}, errStore, 1 }, doGiveUp},
		{"a silent store, and none", func(v *view) { v.looked, v.held, v.storeErr, v.tries, v.asked = time.Time{}, nil, errStore, 1, now }, doWait},
		{"after the pause", func(v *view) { v.looked, v.held, v.storeErr, v.tries = time.Time{}, nil, errStore, 1 }, doLook},
		{"for too long", func(v *view) {
			v.looked, v.held, v.storeErr, v.tries, v.silent = time.Time{}, nil, errStore, 9, 15*time.Second
		}, doGiveUp},
		{"and nothing is superseded", func(v *view) {
			v.looked, v.held, v.storeErr, v.tries, v.silent, v.idempotent = time.Time{}, nil, errStore, 9, 15*time.Second, true
		}, doAlone},
		{"it reads and saves nothing, and nothing is superseded", func(v *view) {
			v.held, v.storeErr, v.tries, v.stuck, v.idempotent = nil, errStore, 9, 15*time.Second, true
		}, doAlone},
		{"a process that was told to, a minute before the end", func(v *view) {
			v.held, v.storeErr, v.tries, v.silent, v.alone = value(50*time.Second), errStore, 9, time.Minute, true
		}, doAlone},

		{"Close after the answer", func(v *view) { v.closing, v.lease, v.grant = true, lease, &Grant{} }, doSave},
		{"Close under a lease", func(v *view) { v.closing, v.lease = true, lease }, doRelease},
		{"Close", func(v *view) { v.closing, v.held = true, nil }, doServe},
	} {
		v := view{
			timing: Timing{}.WithDefaults(), probes: true, held: fresh,
			began: now, looked: now, asked: now.Add(-time.Minute), probed: now.Add(-time.Minute),
			record: Record{Value: "91_value", Fence: 7, End: now.Add(life), Now: now}, storeNow: now,
		}
		c.change(&v)
		if a := decide(&v, now); a.do != c.want {
			t.Errorf("%s: does %d, want %d", c.name, a.do, c.want)
		}
	}
}
