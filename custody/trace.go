package custody

import (
	"errors"
	"time"
)

// Trace is a set of functions that receive what a Keeper does: for metrics, for
// an audit, to pass a renewal on at once. Any of them may be nil, and so may the
// Trace. Keepers may share one.
//
//	var renewals atomic.Int64
//	cfg.Trace = &custody.Trace{
//		Renewed: func(custody.RenewedInfo) { renewals.Add(1) },
//	}
//
// Token, while it finds a live credential, reports nothing and costs nothing more.
//
// Functions are called without a lock held, in the goroutine that does what they
// report: those of one Keeper one after the other and in order, except Refused, which
// runs in the caller of Reject, and Stored for a call for many or one that extends a
// lease. They return soon: a renewal, and callers that wait for its failure, wait for
// them. They may call Token
// with a ctx that ends, and Status, but neither Reject nor Close. What they panic
// with is not caught.
//
// What they receive holds no secret. An error has the text that callers, or the
// log, get too.
type Trace struct {
	// Fetched: a fetch was answered, or was not.
	Fetched func(FetchedInfo)

	// Probed: the issuer was asked directly whether it accepts a value whose refusal was
	// reported, or that was fetched because of a refusal.
	Probed func(ProbedInfo)

	// Renewed: a fetch brought a value, and Token hands it out, but for
	// RenewalOvertaken.
	Renewed func(RenewedInfo)

	// Adopted: the store has the value of another process, or of an earlier run of
	// this one, and Token hands it out. Where stores notify of changes, that is the
	// moment at which the other one saved it.
	Adopted func(AdoptedInfo)

	// Shortened: what Token hands out expires earlier than its issuer stated, since
	// nobody knows whether it was superseded.
	Shortened func(ShortenedInfo)

	// Failed: an attempt led to no new value. Its error is what callers get until
	// the next attempt, unless there is a live value.
	Failed func(FailedInfo)

	// Refused: a call of Reject returns.
	Refused func(RefusedInfo)

	// Stored: a call of the Store has returned. One Keeper reports a call for many.
	Stored func(StoredInfo)
}

// Reason says why a renewal is made.
type Reason string

// The reasons of a renewal.
const (
	ReasonAhead      Reason = "ahead"      // the end of the live value is near
	ReasonExpired    Reason = "expired"    // the value has expired
	ReasonMissing    Reason = "missing"    // there was no value
	ReasonRefused    Reason = "refused"    // the issuer refused the value: see Keeper.Reject
	ReasonUnreadable Reason = "unreadable" // the stored value was sealed with another key, or not at all
)

// detail is the reason as the journal shows it.
func (r Reason) detail() string {
	switch r {
	case ReasonRefused:
		return "the token was refused"
	case ReasonUnreadable:
		return "the stored token was not sealed with a key of this process"
	case ReasonMissing:
		return "there was no token"
	case ReasonExpired:
		return "the token had expired"
	default:
		return "ahead of the token's end"
	}
}

// FetchedInfo is what Trace.Fetched receives.
type FetchedInfo struct {
	Key    Key
	Reason Reason
	Mode   Mode
	Took   time.Duration
	Err    *FetchError // nil for a clean answer

	// Today counts the fetches of this Beijing day over all processes on the store,
	// this one included, as the store knew it when it gave the lease; 0 where the
	// store was unavailable. Limit is Kind.DailyFetches.
	Today, Limit int
}

// ProbedInfo is what Trace.Probed receives.
type ProbedInfo struct {
	Key     Key
	Verdict Verdict
	Took    time.Duration
}

// RenewalResult says what became of a value that was fetched.
type RenewalResult string

// The results of a renewal.
const (
	RenewalSaved     RenewalResult = "saved"     // it is new, and in the store
	RenewalSame      RenewalResult = "same"      // it is the one that there was: the issuer returned it
	RenewalUnsaved   RenewalResult = "unsaved"   // the store has not taken it yet: it is used by this process
	RenewalOvertaken RenewalResult = "overtaken" // another process renewed first, and the store has that one's; this one's was dropped
)

// RenewedInfo is what Trace.Renewed receives.
type RenewedInfo struct {
	Key    Key
	Reason Reason
	Result RenewalResult
	Forced bool          // the issuer was asked for another value, though one was alive
	Took   time.Duration // from the first look at the store on
	Fence  int64         // see Token.Fence
	Left   time.Duration // see Token.Left; 0 for RenewalOvertaken
}

// AdoptedInfo is what Trace.Adopted receives.
type AdoptedInfo struct {
	Key   Key
	First bool          // this process had no value before, as after its start
	Fence int64         // see Token.Fence
	Left  time.Duration // see Token.Left
}

// ShortenedInfo is what Trace.Shortened receives.
type ShortenedInfo struct {
	Key   Key
	Fence int64         // see Token.Fence
	Left  time.Duration // see Token.Left
}

// FailedInfo is what Trace.Failed receives.
type FailedInfo struct {
	Key       Key
	Reason    Reason // of the attempt
	Err       *Error
	Failures  int  // in a row, this one included; 0 where they are not counted
	Elsewhere bool // another process, or an earlier run, met it; this one fetches nothing for as long
}

// RefusalResult says what a call of Keeper.Reject came to.
type RefusalResult string

// The results of a refusal.
const (
	RefusalRenewed   RefusalResult = "renewed"   // another value was fetched because of it
	RefusalNewer     RefusalResult = "newer"     // there was a newer value already, here or in the store, or one was on its way
	RefusalAccepted  RefusalResult = "accepted"  // the issuer, when asked, accepts the value: the call is sent again with it, or not at all
	RefusalNoOther   RefusalResult = "no_other"  // there is no other value to be had now; Err says why
	RefusalAbandoned RefusalResult = "abandoned" // the caller's ctx ended first, or the Keeper was closed
)

// RefusedInfo is what Trace.Refused receives.
type RefusedInfo struct {
	Key    Key
	Result RefusalResult
	Took   time.Duration
	Err    error // of Reject; nil for RefusalRenewed, RefusalNewer and, as a rule, RefusalAccepted
}

// StoreCall names a call of a [Store].
type StoreCall string

// The calls of a store that a Keeper makes.
const (
	CallLoad     StoreCall = "load"      // Store.Load: the record of one credential
	CallLoadMany StoreCall = "load_many" // ManyLoader.LoadMany: those of many at once
	CallAcquire  StoreCall = "acquire"   // Store.Acquire: the lease, before a renewal
	CallBegin    StoreCall = "begin"     // Store.Begin: a fetch is counted before it is sent
	CallSave     StoreCall = "save"      // Store.Save: a new value, or a failure
	CallRelease  StoreCall = "release"   // Store.Release: the lease, before its end
	CallShorten  StoreCall = "shorten"   // Store.Shorten: the end of a value that WeChat refuses
)

// StoreOutcome sums up what a call of a store came to.
type StoreOutcome string

// The outcomes of a store call. Only the last one is a failure.
const (
	OutcomeOK       StoreOutcome = "ok"        // no error
	OutcomeNotFound StoreOutcome = "not_found" // ErrNotFound
	OutcomeHeld     StoreOutcome = "held"      // a *HeldError
	OutcomeFenced   StoreOutcome = "fenced"    // ErrFenced
	OutcomeError    StoreOutcome = "error"     // any other error: the store did not do it, or did not answer
)

// StoredInfo is what Trace.Stored receives.
type StoredInfo struct {
	Key  Key // of the record: Kind.Shared.Key for the common count, the zero Key for CallLoadMany
	Call StoreCall
	Took time.Duration
	Err  error
}

// Outcome sums up Err.
func (i StoredInfo) Outcome() StoreOutcome {
	var held *HeldError
	switch {
	case i.Err == nil:
		return OutcomeOK
	case errors.Is(i.Err, ErrNotFound):
		return OutcomeNotFound
	case errors.As(i.Err, &held):
		return OutcomeHeld
	case errors.Is(i.Err, ErrFenced):
		return OutcomeFenced
	default:
		return OutcomeError
	}
}

// JoinTraces returns a Trace that reports to all of traces, in their order; nil ones are
// left out. It is nil when there is none.
func JoinTraces(traces ...*Trace) *Trace {
	var joined *Trace
	for _, t := range traces {
		switch {
		case t == nil:
		case joined == nil:
			one := *t
			joined = &one
		default:
			joined.Fetched = both(joined.Fetched, t.Fetched)
			joined.Probed = both(joined.Probed, t.Probed)
			joined.Renewed = both(joined.Renewed, t.Renewed)
			joined.Adopted = both(joined.Adopted, t.Adopted)
			joined.Shortened = both(joined.Shortened, t.Shortened)
			joined.Failed = both(joined.Failed, t.Failed)
			joined.Refused = both(joined.Refused, t.Refused)
			joined.Stored = both(joined.Stored, t.Stored)
		}
	}
	return joined
}

func both[T any](first, second func(T)) func(T) {
	switch {
	case first == nil:
		return second
	case second == nil:
		return first
	}
	return func(info T) {
		first(info)
		second(info)
	}
}

// The following call the functions that are set. A nil Trace has none.

func (t *Trace) fetched(i FetchedInfo) {
	tell(t, func(t *Trace) func(FetchedInfo) { return t.Fetched }, i)
}

func (t *Trace) probed(i ProbedInfo) { tell(t, func(t *Trace) func(ProbedInfo) { return t.Probed }, i) }

func (t *Trace) renewed(i RenewedInfo) {
	tell(t, func(t *Trace) func(RenewedInfo) { return t.Renewed }, i)
}

func (t *Trace) adopted(i AdoptedInfo) {
	tell(t, func(t *Trace) func(AdoptedInfo) { return t.Adopted }, i)
}

func (t *Trace) shortened(i ShortenedInfo) {
	tell(t, func(t *Trace) func(ShortenedInfo) { return t.Shortened }, i)
}

func (t *Trace) failed(i FailedInfo) { tell(t, func(t *Trace) func(FailedInfo) { return t.Failed }, i) }

func (t *Trace) refused(i RefusedInfo) {
	tell(t, func(t *Trace) func(RefusedInfo) { return t.Refused }, i)
}

func (t *Trace) stored(i StoredInfo) { tell(t, func(t *Trace) func(StoredInfo) { return t.Stored }, i) }

func tell[T any](t *Trace, which func(*Trace) func(T), info T) {
	if t == nil {
		return
	}
	if do := which(t); do != nil {
		do(info)
	}
}
