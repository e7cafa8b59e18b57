package custody

import (
	"context"
	"fmt"
	"time"
)

// Limits that every store has to hold, in bytes.
const (
	MaxValueBytes   = 4096 // Record.Value
	MaxNotesBytes   = 4096 // Record.Notes
	MaxAttemptBytes = 255  // attempt ids; ASCII
)

// MaxLoadMany is how many keys one call of ManyLoader.LoadMany asks for at most.
const MaxLoadMany = 500

// Store keeps the record of each credential and lends the right to renew it to
// one process at a time. This comment is the contract; package storetest checks
// it.
//
// # Time
//
// A store has one clock: a network engine its own, an embedded one the
// process's. Every time in a record is in that clock, and every answer says
// what time it is there (Now), so processes whose clocks are wrong still agree
// on what is left. Times are kept to the microsecond.
//
// # Leases and fences
//
// Acquire lends the right to renew a key for ttl. Each lease carries a fence,
//
//	fence = max(last fence + 1, the store's time in µs since 1970)
//
// which therefore only grows, even past a fail-over, a flush or a restored
// backup. Begin, Save and Release fail with [ErrFenced] once a higher fence was
// given out. The end of a lease alone fails only Begin: a holder
// that is late but was not replaced still saves.
//
// # Atomicity, concurrency, cancellation
//
// Each call happens wholly or not at all and is safe for concurrent use, by
// goroutines and by processes. A call returns at most one second after its
// ctx ended; it may then have happened or not, and the caller assumes neither.
//
// # Limits
//
// What is larger than the limits above, a key that [Key.Check] refuses, and texts that
// are not UTF-8 or hold NUL, are errors before anything happens, the same for every store.
// A journal's detail is cut instead.
//
// [Row] holds these rules as code. A store that can read and write a few
// columns or one blob atomically needs nothing more.
type Store interface {
	// Load returns the record of key, ErrNotFound when there never was one. A
	// record may have no value, only notes; one that has neither, because only
	// Acquire was called, may be ErrNotFound as well.
	Load(ctx context.Context, key Key) (Record, error)

	// Acquire takes the lease of key for ttl in the name of attempt, an id that
	// no other attempt has. It returns a *HeldError while another attempt's
	// lease lasts. The same attempt is given its own lease once more, under the same
	// fence and for ttl from now if that is longer: the answer to its first call
	// may have been lost, or its fetch is still running. The lease comes with the
	// record as it is at this moment.
	Acquire(ctx context.Context, key Key, attempt string, ttl time.Duration) (Lease, error)

	// Begin says that a fetch is about to be sent: it counts the fetch, remembers
	// the time and writes notes (nil: leaves them as they are). ErrFenced when the
	// lease has ended or a higher fence was given out; the fetch must then not be
	// sent. Each call counts.
	Begin(ctx context.Context, lease Lease, notes []byte) error

	// Save writes the record, nil notes included, with the lease's fence and ends
	// the lease. Saving the same record under the same fence twice is nil and does
	// not undo a Shorten. ErrFenced when a higher fence was given out, and only
	// then: a store that lost the row meanwhile takes it.
	Save(ctx context.Context, lease Lease, record Record) error

	// Release ends the lease and leaves the value alone; notes are written (nil:
	// left as they are). ErrFenced when a higher fence was given out.
	Release(ctx context.Context, lease Lease, notes []byte) error

	// Shorten moves the end of the value that was saved under fence to an earlier
	// time. It never makes a life longer, needs no lease, and does nothing when
	// another value, or none, is stored by now.
	Shorten(ctx context.Context, key Key, fence int64, end time.Time) error

	// Close frees what the store holds. Calls after it fail; closing twice is nil.
	Close() error
}

// Record is what a store keeps of one credential.
type Record struct {
	Value   string        // the credential as text, or sealed; at most MaxValueBytes; "" when there is none
	SealKey string        // names the key that sealed Value; "" when Value is in the clear
	End     time.Time     // when Value stops being good, in the store's clock
	Life    time.Duration // the life that the issuer stated when it gave Value
	Fence   int64         // the fence of the lease under which Value was saved
	Notes   []byte        // the Keepers' common memory (failures, forced fetches, breaker); at most MaxNotesBytes

	Now time.Time // the store's time at this answer; ignored by Save
}

// Format implements [fmt.Formatter]: the value does not print.
func (r Record) Format(f fmt.State, verb rune) {
	type plain Record // without methods
	p := plain(r)
	p.Value = NewSecret(p.Value).String()
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), p)
}

// Lease is the right to renew a key. Stores hand it out; Keepers hand it back
// unchanged but for Detail.
type Lease struct {
	Key     Key
	Attempt string
	Fence   int64

	Record     Record    // the second look: the record at the moment of Acquire
	Today      int       // fetches begun this Beijing day (UTC+8), in the store's clock
	Unfinished time.Time // Begin of an earlier attempt that was neither saved nor released; zero when there is none

	// Detail is a line for the journal about the call that is made with this
	// lease: the reason of a renewal, the cause of a failure. Never a secret.
	Detail string
}

// Watcher is an optional ability of a Store: it tells when a record changed.
type Watcher interface {
	// Watch returns a channel of the keys whose record was saved, released with
	// notes or shortened, by any process. It carries no data, may lose and may
	// repeat notices; a notice only makes a Keeper look. The channel is closed
	// after ctx ends or the store is closed.
	Watch(ctx context.Context) (<-chan Key, error)
}

// ManyLoader is an optional ability of a Store: it reads many records in one go,
// for programs with thousands of credentials.
type ManyLoader interface {
	// LoadMany returns the records of those keys that have one, each as Load
	// does; at most MaxLoadMany keys are asked for, perhaps none, or one twice. A
	// record that is damaged may be left out.
	LoadMany(ctx context.Context, keys []Key) (map[Key]Record, error)
}

// Journal is an optional ability of a Store: it remembers who fetched when and
// what came of it, for 30 days or 1,000 lines of each key.
type Journal interface {
	// Journal returns the newest entries of key, newest first, at most limit.
	Journal(ctx context.Context, key Key, limit int) ([]Entry, error)
}

// Entry is one line of a journal.
type Entry struct {
	At      time.Time // the store's clock
	Event   Event
	Fence   int64
	Attempt string
	Detail  string
}

// Event names the store call that an [Entry] is about.
type Event string

// The events of a journal.
const (
	EventBegin   Event = "begin"   // a fetch is about to be sent
	EventSave    Event = "save"    // a value was saved
	EventRelease Event = "release" // the lease ended without a value
)
