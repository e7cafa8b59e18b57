package custody

import (
	"context"
	"time"
)

// Kind describes a sort of credential: how to get it and how its issuer treats
// the value before. Everything else (when to renew, who renews, what to do
// after a failure) is the same for every kind and is the Keeper's.
type Kind struct {
	// Fetch asks the issuer for a value. It returns at ctx's end, and a
	// *FetchError when there is no clean answer.
	Fetch func(ctx context.Context, mode Mode) (Grant, error)

	// Prepare waits for what Fetch needs that may take a while, such as another
	// credential, before the lease is asked for: under a lease, everybody would
	// wait. Its errors are like Fetch's; they are nobody else's business and not
	// noted in the store. It returns at ctx's end. Nil: there is nothing.
	Prepare func(ctx context.Context) error

	// Probe asks the issuer whether it accepts value, with one cheap call. Nil
	// means that every refusal is believed.
	Probe func(ctx context.Context, value string) Verdict

	// Idempotent says that a normal fetch answers the value that lives and
	// supersedes nothing. A refused value is then first fetched normally.
	Idempotent bool

	// Forceable says that Fetch understands Forced.
	Forceable bool

	// DailyFetches bounds the fetches of one Beijing day over all processes that
	// share the store; 0 means no limit.
	DailyFetches int

	// HourlyFetches and MinuteFetches bound them in an hour and in a minute likewise,
	// each of which begins with the first fetch in it: two of them, back to back, may lie
	// within one hour of the issuer's, so half of its own limit is safe. 0 means no limit.
	// While the store is unavailable, each process counts its own.
	HourlyFetches, MinuteFetches int

	// Shared is a limit of this Kind and others together. The zero value means that there
	// is none.
	Shared Shared
}

// Mode is how Fetch asks.
type Mode int

// The modes of Fetch.
const (
	Normal Mode = iota // whatever the issuer gives
	Forced             // a new value even if one is alive
)

// Grant is a clean answer of the issuer.
type Grant struct {
	Value     Secret
	ExpiresIn time.Duration // from 1 s to 7 days
}

// Verdict is what a probe found out about a value.
type Verdict int

// The verdicts of a probe.
const (
	NoVerdict Verdict = iota // the issuer did not say: timeout, 5xx, busy
	Accepted                 // the issuer takes the value
	Rejected                 // the issuer refuses the value
)

// String returns "accepted", "rejected" or "no_verdict".
func (v Verdict) String() string {
	switch v {
	case Accepted:
		return "accepted"
	case Rejected:
		return "rejected"
	default:
		return "no_verdict"
	}
}

// Origin says how a token came into this process.
type Origin string

// The origins of a token.
const (
	OriginStore   Origin = "store"   // another process, or an earlier run, fetched and saved it
	OriginFetched Origin = "fetched" // this process fetched it
)

// Shared is a limit that the issuer sets to several credentials together, such as the
// tickets of all apps of a corp. A Kind that has one is never fetched without the store,
// where all processes count together.
type Shared struct {
	// Key names the count in the store, which is a record without a value. All Kinds with
	// this Key have the limit in common.
	Key Key

	// HourlyFetches bounds the fetches of all of them, and of all processes, in any hour; 0
	// means no limit.
	HourlyFetches int
}
