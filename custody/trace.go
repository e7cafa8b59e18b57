package custody

import (
	"errors"
	"time"
)

// Trace is a set of functions that are told what a Keeper does: for metrics, for
// an audit, to pass a renewal on at once. Any of them may be nil, and so may the
// Trace. Keepers may share one.
//
//	var renewals atomic.Int64
//	cfg.Trace = &custody.Trace{
//		Renewed: func(custody.RenewedInfo) { renewals.Add(1) },
//	}
//
// Token, while it finds a live credential, tells nobody and pays nothing for it.
//
// Functions are called without a lock held, by whoever does what they tell of:
// those of one Keeper one after the other and in order, but for Refused, which runs
// in the caller of Reject, and a call of the store for many. They return soon: a
// renewal, and those who wait for its failure, wait for them. They may call Token
// with a ctx that ends, and Status, but neither Reject nor Close. What they panic
// with is not caught.
//
// What they are told holds no secret. An error has the text that callers, or the
// log, get too.
type Trace struct {
	// Fetched: a fetch was answered, or was not.
	Fetched func(FetchedInfo)

	// Renewed: a fetch brought a value, and Token hands it out, but for
	// RenewalOvertaken.
	Renewed func(RenewedInfo)

	// Adopted: the store has the value of another process, or of an earlier run of
	// this one, and Token hands it out. Where stores tell of changes, that is the
	// moment in which the other one saved it.
	Adopted func(AdoptedInfo)

	// Shortened: what Token hands out ends earlier than was told, since nobody
	// knows whether it was superseded.
	Shortened func(ShortenedInfo)

	// Failed: an attempt led to no new value. Its error is what callers get until
	// the next attempt, unless there is a live value.
	Failed func(FailedInfo)

	// Refused: a call of Reject is over.
	Refused func(RefusedInfo)

	// Stored: a call of the Store is over. One Keeper tells of a call for many.
	Stored func(StoredInfo)
}

// Reason says why a renewal is made.
type Reason string

// The reasons of a renewal.
const (
	ReasonAhead      Reason = "ahead"      // the end of the live value is near
	ReasonExpired    Reason = "expired"    // the value's time is over
	ReasonMissing    Reason = "missing"    // there was no value
	ReasonRefused    Reason = "refused"    // the issuer refused the value: see Keeper.Reject
	ReasonUnreadable Reason = "unreadable" // the stored value was sealed with another key
)

// detail is the reason as the journal tells it.
func (r Reason) detail() string {
	switch r {
	case ReasonRefused:
		return "the token was refused"
	case ReasonUnreadable:
		return "the stored token was sealed with another key"
	case ReasonMissing:
		return "there was no token"
	case ReasonExpired:
		return "the token was over"
	default:
		return "ahead of the token's end"
	}
}

// FetchedInfo is what Trace.Fetched is told.
type FetchedInfo struct {
	Key    Key
	Reason Reason
	Mode   Mode
	Took   time.Duration
	Err    *FetchError // nil for a clean answer

	// Today counts the fetches of this Beijing day over all processes on the store,
	// this one included, as the store knew it when it gave the lease; 0 where the
	// store was away. Limit is Kind.DailyFetches.
	Today, Limit int
}

// RenewalResult says what became of a value that was fetched.
type RenewalResult string

// The results of a renewal.
const (
	RenewalSaved     RenewalResult = "saved"     // it is new, and in the store
	RenewalSame      RenewalResult = "same"      // it is the one that there was: the issuer gave it again
	RenewalUnsaved   RenewalResult = "unsaved"   // the store has not taken it yet: it is used by this process
	RenewalOvertaken RenewalResult = "overtaken" // another process renewed meanwhile, and the store has that one's; this one's was dropped
)

// RenewedInfo is what Trace.Renewed is told.
type RenewedInfo struct {
	Key    Key
	Reason Reason
	Result RenewalResult
	Forced bool          // the issuer was asked for another value, though one was alive
	Took   time.Duration // from the first look at the store on
	Fence  int64         // see Token.Fence
	Left   time.Duration // see Token.Left; 0 for RenewalOvertaken
}

// AdoptedInfo is what Trace.Adopted is told.
type AdoptedInfo struct {
	Key   Key
	First bool          // this process had no value before, as after its start
	Fence int64         // see Token.Fence
	Left  time.Duration // see Token.Left
}

// ShortenedInfo is what Trace.Shortened is told.
type ShortenedInfo struct {
	Key   Key
	Fence int64         // see Token.Fence
	Left  time.Duration // see Token.Left
}

// FailedInfo is what Trace.Failed is told.
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
	RefusalAccepted  RefusalResult = "accepted"  // the issuer accepts the value when it is asked directly: nothing was renewed
	RefusalNoOther   RefusalResult = "no_other"  // there is no other value to be had now; Err says why
	RefusalAbandoned RefusalResult = "abandoned" // the caller's ctx ended first, or the Keeper was closed
)

// RefusedInfo is what Trace.Refused is told.
type RefusedInfo struct {
	Key    Key
	Result RefusalResult
	Took   time.Duration
	Err    error // of Reject; nil for RefusalRenewed and RefusalNewer
}

// StoreCall names a call of a [Store].
type StoreCall string

// The calls of a store that a Keeper makes.
const (
	CallLoad     StoreCall = "load"
	CallLoadMany StoreCall = "load_many"
	CallAcquire  StoreCall = "acquire"
	CallBegin    StoreCall = "begin"
	CallSave     StoreCall = "save"
	CallRelease  StoreCall = "release"
	CallShorten  StoreCall = "shorten"
)

// StoreOutcome sums up what a call of a store came to.
type StoreOutcome string

// The outcomes of a store call. Only the last one is a failure.
const (
	OutcomeOK       StoreOutcome = "ok"
	OutcomeNotFound StoreOutcome = "not_found" // ErrNotFound
	OutcomeHeld     StoreOutcome = "held"      // a *HeldError
	OutcomeFenced   StoreOutcome = "fenced"    // ErrFenced
	OutcomeError    StoreOutcome = "error"     // any other error: the store did not do it, or did not answer
)

// StoredInfo is what Trace.Stored is told.
type StoredInfo struct {
	Key  Key // the zero Key for CallLoadMany
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

// JoinTraces returns a Trace that tells all of traces, in their order; nil ones are
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

// trace returns the functions that are to be told.
func (k *Keeper) trace() *Trace {
	if k.cfg.Trace == nil {
		return &noTrace
	}
	return k.cfg.Trace
}

var noTrace Trace

// stored tells of a call of the store that was sent at sent.
func (k *Keeper) stored(call StoreCall, sent time.Time, err error) {
	if told := k.trace().Stored; told != nil {
		told(StoredInfo{Key: k.cfg.Key, Call: call, Took: time.Since(sent), Err: err})
	}
}

// fetched tells of the answer to a fetch that was sent at sent.
func (r *renewal) fetched(mode Mode, sent time.Time, today int, err error) {
	told := r.k.trace().Fetched
	if told == nil {
		return
	}
	info := FetchedInfo{
		Key: r.k.cfg.Key, Reason: r.why, Mode: mode, Took: time.Since(sent),
		Today: today, Limit: r.k.cfg.Kind.DailyFetches,
	}
	if err != nil {
		info.Err = fetchError(err)
	}
	told(info)
}

// renewed tells what became of h, which was fetched.
func (r *renewal) renewed(h *held, result RenewalResult) {
	told := r.k.trace().Renewed
	if told == nil {
		return
	}
	info := RenewedInfo{
		Key: r.k.cfg.Key, Reason: r.why, Result: result, Forced: r.forced,
		Took: time.Since(r.began), Fence: h.fence,
	}
	if result != RenewalOvertaken {
		info.Left = Token{h}.Left()
	}
	told(info)
}

// adopted tells that h, which the store had, is handed out in place of before.
func (r *renewal) adopted(h, before *held) {
	switch {
	case !h.live(time.Now()) || h.value.Reveal() == r.f.refused:
	case before == nil || before.fence != h.fence:
		if told := r.k.trace().Adopted; told != nil {
			told(AdoptedInfo{Key: r.k.cfg.Key, First: before == nil, Fence: h.fence, Left: Token{h}.Left()})
		}
	case before.left(h.base)-h.left(h.base) > time.Second:
		r.shortened(h)
	}
}

// shortened tells that h ends earlier than before.
func (r *renewal) shortened(h *held) {
	if told := r.k.trace().Shortened; told != nil {
		told(ShortenedInfo{Key: r.k.cfg.Key, Fence: h.fence, Left: Token{h}.Left()})
	}
}

// failed tells of f, which callers get as err.
func (r *renewal) failed(f *failure, err *Error) {
	if told := r.k.trace().Failed; told != nil {
		told(FailedInfo{Key: r.k.cfg.Key, Reason: r.reason(), Err: err, Failures: f.count, Elsewhere: err.Err == nil})
	}
}

// refused tells of a call of Reject that began at began and is over: with a value
// that was fetched because of it, with another one, or with err.
func (k *Keeper) refused(began time.Time, fetched bool, err error) {
	told := k.trace().Refused
	if told == nil {
		return
	}
	info := RefusedInfo{Key: k.cfg.Key, Result: RefusalNewer, Took: time.Since(began), Err: err}
	var e *Error
	switch {
	case fetched:
		info.Result = RefusalRenewed
	case err == nil:
	case !errors.As(err, &e):
		info.Result = RefusalAbandoned
	case e.Text == textAccepted:
		info.Result = RefusalAccepted
	default:
		info.Result = RefusalNoOther
	}
	told(info)
}

// loadedMany tells of a call for the records of many.
func loadedMany(of []*Keeper, sent time.Time, err error) {
	for _, k := range of {
		if told := k.trace().Stored; told != nil {
			told(StoredInfo{Call: CallLoadMany, Took: time.Since(sent), Err: err})
			return
		}
	}
}
