package store

import (
	"context"
	"time"
)

// Queue is an optional ability of a Store: it keeps what has to be delivered until
// it was. Package gateway keeps in it what WeChat pushed and a subscriber has not
// got yet, so that all gateways of a store deliver it, each delivery at least once.
//
// A line is what goes to one receiver, and a lane is what of it has to arrive in
// order: a delivery waits for those of its lane that were pushed before, for no
// other. Deliveries that are pushed at the same time have no order. An owner is
// the process that tries to deliver at the moment, with a lease.
//
// What the contract of [Store] says about time, concurrency and cancellation holds
// here as well, and about atomicity for each delivery by itself. Lines, lanes, ids and
// owners are printable ASCII without white space; what [Delivery.Check] and
// [CheckDelivery] refuse is an error before anything happens.
type Queue interface {
	// Push appends deliveries, each to the end of its lane. One whose Line and ID are
	// in the queue is left as it is there, so that a Push that failed can be repeated.
	Push(ctx context.Context, deliveries []Delivery) error

	// Turn says of a delivery that was pushed with an Owner whether it still waits,
	// and whether it is owner's and first of its lane, so that owner may deliver it.
	Turn(ctx context.Context, line, id, owner string) (turn, waits bool, err error)

	// Lend gives owner deliveries of a line for lease: those that are free and first of
	// their lane, no more than most. Those that became free long ago come first. Body,
	// Lane, ID, Attempts and Pushed are set. Nobody else is given them until the lease
	// has ended.
	Lend(ctx context.Context, line, owner string, lease time.Duration, most int) ([]Delivery, error)

	// Done removes a delivery, whichever process has it, so that the next of its lane is first.
	// One that is not there is no error.
	Done(ctx context.Context, line, id string) error

	// Later gives a delivery that is owner's back: it is free after wait. One that is
	// another's by now, or not there, is left alone.
	Later(ctx context.Context, line, id, owner string, wait time.Duration) error

	// Lines returns the lines in which something waits, in the order of their names.
	Lines(ctx context.Context) ([]Line, error)

	// Trim removes the deliveries of a line that were pushed longer than keep ago, and
	// of more than most the oldest; it returns how many they were. It may leave some
	// for the next call.
	Trim(ctx context.Context, line string, keep time.Duration, most int) (dropped int, err error)
}

// Delivery is what a [Queue] keeps.
type Delivery struct {
	Line string // whom it is for
	Lane string // within Line; what has one is delivered in order
	ID   string // within Line
	Body []byte // not empty

	// Owner, if not "", has the delivery from Push on, for Wait: a lease. Without one
	// it is free after Wait.
	Owner string
	Wait  time.Duration

	Attempts int       // how often it was lent; ignored by Push
	Pushed   time.Time // in the store's clock; ignored by Push
}

// Line is what waits for one receiver.
type Line struct {
	Name    string
	Waiting int           // deliveries, those that are lent too
	Oldest  time.Duration // since the first of them was pushed
	Free    time.Duration // until one of them is free, first of its lane or not; 0 when one is
}
