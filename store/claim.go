package store

import (
	"errors"
	"time"
)

// The limits of the arguments of callback.Once, in bytes.
const (
	MaxClaimName   = 64      // keys, accounts and owners
	MaxClaimAnswer = 1 << 20 // answers and messages: callback.MaxBody, and what a program's seal adds
)

// ErrUnknown is what the calls of callback.Once apart from Claim and Take return for a
// message that nobody has claimed, or that may be forgotten.
var ErrUnknown = errors.New("zhongkong: the store knows nothing of this message: it was not claimed, or is forgotten")

// ErrAnswerGone is what Wait and Keep of callback.Once return where the answer of a
// message was dropped because there was no room for it. Package callback knows it by its
// method.
var ErrAnswerGone error = goneError{}

type goneError struct{}

func (goneError) Error() string {
	return "zhongkong: this message was handled, and its answer is not kept any more"
}

// AnswerGone says that it is this error.
func (goneError) AnswerGone() {}

// Claim is the state of one message inside a store, and its methods are the rules of
// callback.Once: pure functions of the state and the store's time, without lock, clock
// or engine. A store reads the claim, applies one method and writes it back, in one
// atomic step. What was kept for Take is not in it; the methods say when to write it
// and when to drop it.
//
// Times are microseconds of one clock of the store. The zero Claim is a message that
// nobody has claimed yet, or that was forgotten. The tags name the columns of the SQL
// stores.
type Claim struct {
	Account    string `db:"account"`
	Owner      string `db:"owner"` // who handles it, or did last
	Attempts   int    `db:"attempts"`
	Deliveries int    `db:"deliveries"`
	FirstUS    int64  `db:"first_us"` // of the first Claim
	LeaseEndUS int64  `db:"lease_end_us"`
	EndUS      int64  `db:"end_us"`   // when it may be forgotten
	Finished   bool   `db:"finished"` // with Answer
	Answer     []byte `db:"answer"`
	Kept       bool   `db:"kept"`    // the deliveries are answered
	KeptUS     int64  `db:"kept_us"` // since when it waits to be handled; 0 = it does not
}

// Known reports whether the message was claimed and may not be forgotten yet.
func (c *Claim) Known(nowUS int64) bool { return c.Deliveries > 0 && !c.gone(nowUS) }

func (c *Claim) gone(nowUS int64) bool {
	return c.EndUS <= nowUS && c.KeptUS == 0 && (c.Finished || c.LeaseEndUS <= nowUS)
}

// Free reports whether somebody else may handle the message.
func (c *Claim) Free(nowUS int64) bool { return !c.Finished && c.LeaseEndUS <= nowUS }

// Claimed is what Claim of callback.Once returns.
type Claimed struct {
	Attempt  int // 0: somebody else holds or has finished it
	Delivery int
	Age      time.Duration
}

// Claim is Claim of callback.Once. With fresh, nothing was known of the message, and
// what was kept of one that is forgotten goes.
func (c *Claim) Claim(nowUS int64, account, owner string, lease, keep time.Duration) (claimed Claimed, fresh bool) {
	if fresh = !c.Known(nowUS); fresh {
		*c = Claim{Account: account, FirstUS: nowUS, EndUS: nowUS + keep.Microseconds()}
	}
	switch {
	case c.Finished:
		c.Deliveries++
	case !fresh && c.Owner == owner:
		c.LeaseEndUS, claimed.Attempt = nowUS+lease.Microseconds(), c.Attempts
	default:
		c.Deliveries++
		claimed.Attempt = c.Take(nowUS, owner, lease)
	}
	claimed.Delivery = c.Deliveries
	claimed.Age = max(0, time.Duration(nowUS-c.FirstUS)*time.Microsecond)
	return claimed, fresh
}

// Take makes owner the holder of a message that is free and returns the attempt, 0 if
// it is not. It is what Take of callback.Once does to the message that it finds.
func (c *Claim) Take(nowUS int64, owner string, lease time.Duration) (attempt int) {
	if !c.Free(nowUS) {
		return 0
	}
	c.Owner, c.LeaseEndUS = owner, nowUS+lease.Microseconds()
	c.Attempts++
	return c.Attempts
}

// Wait is one look of Wait of callback.Once: the answer of a finished message, the
// attempt if owner is the holder now, or for how long another holder's lease still
// lasts.
func (c *Claim) Wait(nowUS int64, owner string, lease time.Duration) (attempt int, answer []byte, left time.Duration) {
	if c.Finished {
		return 0, c.Answer, 0
	}
	if attempt = c.Take(nowUS, owner, lease); attempt > 0 {
		return attempt, nil, 0
	}
	return 0, nil, time.Duration(c.LeaseEndUS-nowUS) * time.Microsecond
}

// Hold is Hold of callback.Once.
func (c *Claim) Hold(nowUS int64, owner string, lease time.Duration) (held, kept bool) {
	if held = c.Owner == owner && !c.Finished; held {
		c.LeaseEndUS = nowUS + max(0, lease.Microseconds())
	}
	return held, c.Kept
}

// Keep is Keep of callback.Once. With write, message is to be stored.
func (c *Claim) Keep(nowUS int64, message []byte) (finished bool, answer []byte, write bool) {
	if c.Finished {
		return true, c.Answer, false
	}
	c.Kept = true
	if c.KeptUS == 0 && len(message) > 0 {
		c.KeptUS, write = max(nowUS, 1), true
	}
	return false, nil, write
}

// Finish is Finish of callback.Once. With drop, the message that was kept goes.
func (c *Claim) Finish(nowUS int64, owner string, answer []byte, keep time.Duration) (held, kept, drop bool) {
	held, kept = c.Owner == owner, c.Kept
	if !held || c.Finished || kept && len(answer) > 0 {
		return held, kept, false
	}
	c.Finished, c.Answer, c.KeptUS, c.EndUS = true, answer, 0, nowUS+keep.Microseconds()
	return held, kept, true
}

// Waits reports whether the message waits in the inbox and is free to be taken.
func (c *Claim) Waits(nowUS int64) bool { return c.KeptUS > 0 && c.Free(nowUS) }
