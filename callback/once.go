package callback

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
)

// Once remembers what was handled, for all processes that share it: a message is
// claimed by the delivery that finds it first, held while it is handled, and
// finished with its answer, for which the other deliveries wait. The stores of
// this module implement it, and package storetest checks it; this comment is the
// contract.
//
// A key is at most 64 bytes of ASCII and belongs to one account, an account and
// an owner are at most 64 bytes, answers and messages at most [MaxBody] and
// some. An owner is one delivery of one message, see [NewOwner]. Every call happens
// wholly or not at all, is safe for concurrent use by goroutines and processes,
// and returns soon after its ctx ended; it may then have happened or not. Times
// are measured by one clock of the store. A call about a key that is not known
// is an error, apart from Claim.
type Once interface {
	// Claim makes owner the holder of key, for lease, if nobody has claimed it yet,
	// or if the holder's lease has expired and the key is not finished. It
	// returns the number of the attempt that owner's is, from 1 on, or 0 if
	// somebody else holds or has finished it; the number of the delivery, which is
	// that of the calls for key, this one included; and the time since the first
	// of them. The holder that calls again has what it had, for lease from now on,
	// and is not counted again. What is claimed is forgotten after keep, unless a
	// lease lasts longer or it was kept for Take.
	Claim(ctx context.Context, account, key, owner string, lease, keep time.Duration) (attempt, delivery int, age time.Duration, err error)

	// Wait returns the answer of a finished key, with attempt 0. It waits for
	// that, and if the lease of the holder ends before, makes owner the holder as
	// Claim does and returns the attempt. A store that bounds the answers it keeps
	// returns an error with a method AnswerGone() for one that it has dropped, here and
	// in Keep; that the key is finished it knows all the same.
	Wait(ctx context.Context, key, owner string, lease time.Duration) (attempt int, answer []byte, err error)

	// Hold makes owner's lease last for lease from now on, even if it was over,
	// and reports whether the key is still owner's and not finished, and whether
	// it was kept. A lease of 0 gives the key to the process that claims or takes it next.
	Hold(ctx context.Context, key, owner string, lease time.Duration) (held, kept bool, err error)

	// Keep says that the deliveries of key are answered before it is finished, and
	// keeps message for Take until it is; with an empty message there is nothing
	// to take. If key is finished already, Keep changes nothing and returns the
	// answer.
	Keep(ctx context.Context, key string, message []byte) (finished bool, answer []byte, err error)

	// Finish records the answer, which may be empty, forgets the message and ends
	// the lease, and remembers all that for keep. If key is not owner's any more
	// it does nothing and reports held false; the end of the lease alone takes
	// nothing from owner. If key was kept, nobody waits for an answer: Finish
	// reports that, and with an answer that is not empty it does nothing else.
	// Finishing again is as finishing once.
	Finish(ctx context.Context, key, owner string, answer []byte, keep time.Duration) (held, kept bool, err error)

	// Take makes owner the one who handles the message of account that was kept
	// first of those whose lease has ended, as Claim does. The key is "" if there
	// is none.
	Take(ctx context.Context, account, owner string, lease time.Duration) (key string, message []byte, attempt int, err error)
}

// maxLocal bounds how many messages local remembers, and maxAnswers the bytes of their
// answers, of which a follower has a share; the oldest go first.
const (
	maxLocal   = 1 << 16
	maxAnswers = 16 << 20
	maxShare   = maxAnswers / 16
)

// goneError is what local returns for an answer that it has dropped.
type goneError struct{}

func (goneError) Error() string {
	return "callback: this message was handled, and its answer is not kept any more"
}

func (goneError) AnswerGone() {}

// IsAnswerGone reports whether an error of a [Once] says that a message was handled and
// its answer dropped.
func IsAnswerGone(err error) bool {
	_, ok := errors.AsType[interface {
		error
		AnswerGone()
	}](err)
	return ok
}

// local is the Once of one process, without leases: the holder of a message is alive,
// and what it holds ends with the process. Its rules and bounds are those of store.Claim and
// store.AnswerBudget, written again: this package imports the standard library only, and
// stores do not import this one, whose tests run on them. TestLocalRules compares the two.
type local struct {
	mu         sync.Mutex // guards what follows, and the claims' fields
	young, old map[string]*claim
	answers    shelf             // of all followers
	followers  map[string]*shelf // of each
}

// shelf has the answers that are kept of messages, the oldest first, between some that are
// gone by now.
type shelf struct {
	claims []*claim
	kept   int // of claims, not gone
	bytes  int
}

func (s *shelf) add(c *claim) {
	s.claims, s.kept, s.bytes = append(s.claims, c), s.kept+1, s.bytes+len(c.answer)
	if len(s.claims) > 2*s.kept+64 {
		s.claims = slices.DeleteFunc(s.claims, func(c *claim) bool { return c.gone })
	}
}

// oldest takes the message off the shelf whose answer has been there for the longest.
func (s *shelf) oldest() *claim {
	for {
		c := s.claims[0]
		s.claims[0] = nil
		if s.claims = s.claims[1:]; !c.gone {
			return c
		}
	}
}

type claim struct {
	owner      string
	attempts   int
	deliveries int
	first      time.Time
	free       bool // its holder gave it back
	kept       bool
	finished   bool
	gone       bool // the answer is
	answer     []byte
	done       chan struct{} // closed when finished or free; nil while nobody waits
}

var errUnknown = errors.New("callback: this message was not claimed")

func (l *local) find(key string) *claim {
	if c := l.young[key]; c != nil {
		return c
	}
	return l.old[key]
}

// keep bounds the answers after one more.
func (l *local) keep(c *claim) {
	if len(c.answer) == 0 {
		return
	}
	_, follower, _ := strings.Cut(c.owner, ".")
	if l.followers == nil {
		l.followers = make(map[string]*shelf)
	}
	theirs := l.followers[follower]
	if theirs == nil {
		theirs = &shelf{}
		l.followers[follower] = theirs
	}
	l.answers.add(c)
	theirs.add(c)
	for theirs.bytes > maxShare {
		l.drop(theirs.oldest())
	}
	for l.answers.bytes > maxAnswers {
		l.drop(l.answers.oldest())
	}
}

// drop forgets the answer of a message.
func (l *local) drop(c *claim) {
	_, follower, _ := strings.Cut(c.owner, ".")
	theirs := l.followers[follower]
	for _, s := range []*shelf{&l.answers, theirs} {
		s.kept--
		s.bytes -= len(c.answer)
	}
	if theirs.kept == 0 {
		delete(l.followers, follower)
	}
	c.answer, c.gone = nil, true
}

// holds reports whether a message is handled, or was, without the store.
func (l *local) holds(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.find(key)
	return c != nil && !c.free
}

func (l *local) Claim(_ context.Context, _, key, owner string, _, _ time.Duration) (attempt, delivery int, age time.Duration, err error) { //nolint:revive,lll // the contract of messages, which all stores implement
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.find(key)
	if c == nil {
		if l.young == nil || len(l.young) >= maxLocal {
			l.old, l.young = l.young, make(map[string]*claim)
		}
		c = &claim{first: now, free: true}
		l.young[key] = c
	}
	if c.owner == owner && c.attempts > 0 && !c.finished {
		c.free = false
		return c.attempts, c.deliveries, now.Sub(c.first), nil
	}
	c.deliveries++
	return c.take(owner), c.deliveries, now.Sub(c.first), nil
}

// take makes owner the holder if nobody else is, and returns the attempt.
func (c *claim) take(owner string) int {
	if !c.free {
		return 0
	}
	c.owner, c.free = owner, false
	c.attempts++
	return c.attempts
}

func (l *local) Wait(ctx context.Context, key, owner string, _ time.Duration) (attempt int, answer []byte, err error) {
	for {
		done, attempt, answer, err := l.look(key, owner)
		if done == nil {
			return attempt, answer, err
		}
		select {
		case <-done:
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		}
	}
}

// look is one look of Wait, which continues when done is not nil.
func (l *local) look(key, owner string) (done <-chan struct{}, attempt int, answer []byte, err error) { //nolint:revive,lll // the contract of messages, which all stores implement
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.find(key)
	switch {
	case c == nil:
		return nil, 0, nil, errUnknown
	case c.gone:
		return nil, 0, nil, goneError{}
	case c.finished:
		return nil, 0, c.answer, nil
	case c.free:
		return nil, c.take(owner), nil, nil
	}
	if c.done == nil {
		c.done = make(chan struct{})
	}
	return c.done, 0, nil, nil
}

// tell wakes those who wait.
func (c *claim) tell() {
	if c.done != nil {
		close(c.done)
		c.done = nil
	}
}

func (l *local) Hold(_ context.Context, key, owner string, lease time.Duration) (held, kept bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.find(key)
	if c == nil {
		return false, false, errUnknown
	}
	held = c.owner == owner && !c.finished
	if held {
		c.free = lease <= 0
	}
	if held && c.free {
		c.tell()
	}
	return held, c.kept, nil
}

func (l *local) Keep(_ context.Context, key string, _ []byte) (finished bool, answer []byte, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.find(key)
	switch {
	case c == nil:
		return false, nil, errUnknown
	case c.gone:
		return true, nil, goneError{}
	case c.finished:
		return true, c.answer, nil
	default:
		c.kept = true
		return false, nil, nil
	}
}

func (l *local) Finish(_ context.Context, key, owner string, answer []byte, _ time.Duration) (held, kept bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.find(key)
	switch {
	case c == nil:
		return false, false, errUnknown
	case c.owner != owner:
		return false, c.kept, nil
	case c.kept && len(answer) > 0:
		return true, true, nil
	}
	if !c.finished {
		c.finished, c.free, c.answer = true, false, answer
		l.keep(c)
		c.tell()
	}
	return true, c.kept, nil
}

func (l *local) Take(context.Context, string, string, time.Duration) (key string, message []byte, attempt int, err error) { //nolint:revive,lll // the contract of messages, which all stores implement
	return "", nil, 0, nil
}
