package custody

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// The errors that callers of a Keeper tell apart with [errors.Is].
var (
	// ErrClosed is returned by every method of a Keeper after Close.
	ErrClosed = errors.New("zhongkong: the keeper is closed")

	// ErrRefused is returned by Reject when the refusal leads to no other value
	// now and sending the call again does not help: the call's path is refused while the
	// issuer accepts the token when asked directly, or the issuer refuses every token
	// of the account, or a forced renewal is not allowed yet, or the issuer did not say
	// whether it accepts the token. See Error.RetryAfter.
	ErrRefused = errors.New("the issuer refuses this account's token")

	// ErrSealKey is returned by Token and Reject when a live value is stored but
	// none of Config.SealKeys opens it, or it is in the clear although there are some.
	ErrSealKey = errors.New("the stored token was not sealed with a key of this process")

	// ErrDailyLimit is returned by Token and Reject when as many fetches as
	// Kind.DailyFetches allows were begun today (UTC+8).
	ErrDailyLimit = errors.New("today's fetches are used up")

	// ErrRateLimit is returned by Token and Reject when as many fetches as
	// Kind.HourlyFetches, Kind.MinuteFetches or Kind.Shared allows were begun in that time.
	ErrRateLimit = errors.New("the fetches of this hour or minute are used up")

	// ErrStore is wrapped by what Token and Reject return when no live token is
	// at hand and the store does not answer, or answers and saves nothing.
	ErrStore = errors.New("the store does not answer")
)

// The errors of the [Store] contract.
var (
	// ErrNotFound is returned by Store.Load when nothing was ever stored.
	ErrNotFound = errors.New("no record")

	// ErrFenced is returned by Store.Begin, Save and Release when a higher fence
	// was given out, so that somebody else renews by now, and by Begin when the
	// lease has ended.
	ErrFenced = errors.New("a later lease was given out")
)

// HeldError is returned by Store.Acquire while another attempt holds the lease.
type HeldError struct {
	Left time.Duration // until the lease ends by itself
}

// Error says when the lease ends.
func (e *HeldError) Error() string {
	return fmt.Sprintf("another process is renewing; its lease ends in %s", round(e.Left))
}

// Class says what sort of failure a fetch met, and with it what to wait for.
type Class string

// The classes of failures.
const (
	ClassTransient Class = "transient" // temporary: retried after 1 s, doubling to 1 min
	ClassBlocked   Class = "blocked"   // somebody has to change something: retried after RetryAfter
	ClassQuota     Class = "quota"     // a daily quota is used up: retried after midnight UTC+8
	ClassFatal     Class = "fatal"     // the request itself is wrong: not retried by this process
)

// FetchError is what Kind.Fetch returns when there is no new value. Any other
// error counts as transient and unanswered.
type FetchError struct {
	Class      Class
	RetryAfter time.Duration // ClassBlocked: when to retry; else 0
	Code       int           // the issuer's error code, 0 when it gave none
	PerHost    bool          // the cause belongs to this machine (its IP address, its network), not to the account: others need not wait

	// Address is the address of this machine as the issuer names it in its refusal, ""
	// when it names none. It is set with PerHost.
	Address string

	// Unanswered says that the request may have reached the issuer and no clean
	// answer came back, so that nobody knows which value is the latest.
	Unanswered bool

	// Err says in plain words what happened and what to do. Its text is kept in
	// the store for other processes to show: it must not contain a secret.
	Err error
}

// Error is the text of Err.
func (e *FetchError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *FetchError) Unwrap() error { return e.Err }

// Error is what Token and Reject return when there is no token to give, apart
// from the error of the caller's ctx and [ErrClosed].
type Error struct {
	Key        Key
	Class      Class
	Code       int           // the issuer's error code, 0 when there was none
	RetryAfter time.Duration // until the next attempt, before which calls get this error and nothing is fetched; 0 when none is planned
	Text       string        // what happened and what to do, in plain words, without secrets
	Err        error         // the cause; nil when another process met it

	accepted bool // of Reject: the issuer accepts the value when it is asked directly
}

// Error begins with the name of the module; see Plain.
func (e *Error) Error() string { return "zhongkong: " + e.Plain() }

// Plain is Error without the name of the module in front, for people.
func (e *Error) Plain() string {
	s := e.Key.Kind + " of " + e.Key.AppID + ": " + e.Text
	if e.RetryAfter > 0 {
		return strings.TrimSuffix(s, ".") + "; next attempt in " + round(e.RetryAfter).String()
	}
	return s
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// round rounds a duration to what a person wants to read.
func round(d time.Duration) time.Duration {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(100 * time.Millisecond)
	default:
		return d.Round(time.Millisecond)
	}
}
