// Package remote is what the stores on a server have in common: one process
// among many, a network in between, and a clock that is not its own.
//
// # How a call stays atomic
//
// A call that writes reads the row together with the server's time, applies one
// rule of [store.Row], and lets the server swap the old row for the new one
// if nobody changed it meanwhile and the decision is not too old. If somebody
// did, it begins again. That costs two round trips where a transaction takes
// four and a script or procedure one, and one for a row that this process has
// just read or written. In return the rules exist once, in Go, for
// every server; and no lock is held while an answer travels, so a process that is
// frozen or cut off in the middle of a call hinders nobody.
//
// # Opening
//
// A server that cannot be reached does not stop a program: [Open] returns the
// store, and calls try again. One attempt to open is under way at a time; calls
// wait for it with their own ctx, and it outlives them, because a schema takes
// as long to make as it takes.
package remote

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/store"
)

const (
	// openTime is how long Open waits for a server that does not answer.
	openTime = 5 * time.Second

	// prepareTime bounds one attempt to open, migration included.
	prepareTime = 30 * time.Second

	// openPace is the least time between two attempts to open.
	openPace = 200 * time.Millisecond

	// callTime bounds a call whose ctx does not.
	callTime = 5 * time.Second

	// closeTime is how long Close waits for calls that are under way.
	closeTime = time.Second

	// grace is how long a call waits after its ctx's end for the driver's own
	// account of what happened.
	grace = 200 * time.Millisecond

	// lostAtMost is how many idle connections of a pool may turn out to be lost.
	lostAtMost = 4

	// decisionTime is how long after the reading of a row it may be swapped. A
	// process that was frozen in between decides anew.
	decisionTime = time.Second
)

// What the journal keeps of each key. It is trimmed after the first line that a
// process writes for a key and after every journalPace-th.
const (
	JournalLines = 1000
	JournalAge   = 30 * 24 * time.Hour
	journalPace  = 100
)

// Engine is a server as this package needs it. Its methods are called
// concurrently, and by several processes at once; they return when ctx ends, or
// soon after, and their errors say what to do, without secrets.
type Engine interface {
	// Prepare connects and makes sure of the schema. It is called again after a
	// *FaultError that passes, and after ErrUnprepared.
	Prepare(ctx context.Context) error

	// Read returns the rows of names, in that order, and the server's time.
	Read(ctx context.Context, names []string) ([]State, error)

	// Swap carries out a change, wholly or not at all, and reports whether it did.
	Swap(ctx context.Context, change Change) (bool, error)

	// Lines returns the newest lines of a journal that are not older than
	// JournalAge, newest first.
	Lines(ctx context.Context, name string, limit int) ([]custody.Entry, error)

	// Trim removes the lines of a journal beyond JournalLines, and those of every
	// key from before a time.
	Trim(ctx context.Context, name string, before time.Time) error

	// Close ends the calls that are under way and frees what there is.
	Close() error
}

// State is a row as it was read.
type State struct {
	Row     store.Row
	Found   bool      // there is one
	Version int64     // tells whether it was changed; the server's time in µs at its last change, or more
	Now     time.Time // the server's time of the reading
	Damage  error     // what is wrong with the row, which then counts as empty; nothing of its content

	clock reading // that of Now
}

// Change is what is written in one step.
type Change struct {
	Name  string
	Found bool  // there is a row of Name, and it has ...
	Old   int64 // ... this version; without a row there still must be none
	New   int64 // the version of the new row
	Row   store.Row
	Until time.Time // the server's time before which it has to happen

	Entry *custody.Entry // the journal's line; nil: none
	Tell  *custody.Key   // whom to give a notice of; nil: nobody
}

// Store implements [custody.Store] and [custody.Journal] over an [Engine].
type Store struct {
	engine     Engine
	server     Server
	log        *slog.Logger
	manyClocks bool // each message may be on another server than the last

	life  context.Context // ends with Close
	end   context.CancelFunc
	calls sync.WaitGroup // calls and attempts to open that are under way
	asked sync.WaitGroup // those that ask an open server; Close lets them finish

	mu      sync.Mutex // guards what follows; never held while waiting
	closed  bool
	ready   bool
	opening *attempt  // under way
	failure error     // of the last attempt; nil when it worked
	retry   time.Time // when to try again after failure
	started bool      // Open has returned the store
	warned  bool      // the failure was said
	lines   map[string]int
	claims  int // of new messages

	rows     memory[State]
	messages memory[MessageState]
	clock    reading // the last one
}

// attempt to open.
type attempt struct {
	done chan struct{}
	err  error // set before done is closed
}

var (
	_ custody.Store   = (*Store)(nil)
	_ custody.Journal = (*Store)(nil)
)

// Open makes a store over engine, which belongs to it from then on, and prepares
// it. A fault that is known to pass, or a server that does not answer within a few
// seconds, is said once at Warn; any other is returned.
func Open(ctx context.Context, engine Engine, server Server, logger *slog.Logger) (*Store, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{engine: engine, server: server, log: logger, lines: make(map[string]int)}
	if many, ok := engine.(interface{ ManyClocks() bool }); ok {
		s.manyClocks = many.ManyClocks()
	}
	s.life, s.end = context.WithCancel(context.Background())
	limited, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	err := s.prepared(limited)
	if ended := ctx.Err(); err != nil && (ended != nil || limited.Err() == nil && (!passes(err) || unknown(err))) {
		_ = s.Close()
		return nil, because(err, ended)
	}
	s.mu.Lock()
	s.started = true
	s.mu.Unlock()
	if err != nil {
		s.warn(err)
	}
	return s, nil
}

// Close implements [custody.Store]. What the server is being asked may finish within
// closeTime; whatever else is under way is broken off.
func (s *Store) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	var err error
	if first {
		finished := make(chan struct{})
		go func() { s.asked.Wait(); close(finished) }()
		select {
		case <-finished:
		case <-time.After(closeTime):
		}
		s.end()
		err = s.engine.Close()
	}
	s.calls.Wait()
	return err
}

// Life ends when the store is closed.
func (s *Store) Life() context.Context { return s.life }

// Go runs f until Close, which waits for it.
func (s *Store) Go(f func()) error {
	if err := s.enter(); err != nil {
		return err
	}
	go func() {
		defer s.calls.Done()
		f()
	}()
	return nil
}

// enter counts a call in, for Close to wait for.
func (s *Store) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.closedError()
	}
	s.calls.Add(1)
	return nil
}

func (s *Store) closedError() error {
	return named.Errorf("zhongkong", "the %s store is closed", s.server.Kind)
}

// prepared waits until the engine is ready, and starts an attempt to make it so
// when none is under way and the last one is long enough ago.
func (s *Store) prepared(ctx context.Context) error {
	s.mu.Lock()
	switch {
	case s.ready:
		s.mu.Unlock()
		return nil
	case s.closed:
		s.mu.Unlock()
		return s.closedError()
	case s.opening == nil && s.failure != nil && time.Now().Before(s.retry):
		defer s.mu.Unlock()
		return s.failure
	case s.opening == nil:
		s.opening = &attempt{done: make(chan struct{})}
		s.calls.Add(1)
		go s.prepare(s.opening)
	}
	a := s.opening
	s.mu.Unlock()
	select {
	case <-a.done:
		return a.err
	case <-ctx.Done():
		return because(&FaultError{
			Server: s.server, What: "is not open yet", Passes: true,
			Remedy: "see that it runs and can be reached from here; it is tried again by itself",
		}, ctx.Err())
	}
}

// prepare makes one attempt.
func (s *Store) prepare(a *attempt) {
	defer s.calls.Done()
	ctx, cancel := context.WithTimeout(s.life, prepareTime)
	defer cancel()
	a.err = s.engine.Prepare(ctx)
	s.mu.Lock()
	s.ready, s.failure, s.retry = a.err == nil, a.err, time.Now().Add(openPace)
	s.opening = nil
	started, warned := s.started, s.warned
	if a.err == nil {
		s.warned = false
	}
	s.mu.Unlock()
	switch {
	case s.life.Err() != nil:
	case a.err != nil && started:
		s.warn(a.err)
	case a.err == nil && warned:
		s.log.Info("the store is open now", slog.String("server", s.server.String()))
	}
	close(a.done)
}

// warn says once for each outage that the store is not open.
func (s *Store) warn(err error) {
	s.mu.Lock()
	said := s.warned || s.ready
	s.warned = true
	s.mu.Unlock()
	if !said {
		s.log.Warn("the store cannot be opened; every call tries again", slog.String("log_code", "store_not_open"),
			slog.String("server", s.server.String()), slog.Any("cause", err))
	}
}

// because joins what happened with the end of the ctx under which it did.
func because(err, ended error) error {
	if ended == nil || errors.Is(err, ended) {
		return err
	}
	return named.Errorf("zhongkong", "%w: %w", named.Plain(err), ended)
}

// call runs do on the open store. It returns when ctx ends, though a driver may
// not; what do returns then is dropped.
func call[T any](ctx context.Context, s *Store, do func(ctx context.Context) (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	limited, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	stop := context.AfterFunc(s.life, cancel)
	defer stop()
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	err := s.Go(func() {
		var a answer
		for range 2 {
			if a.err = s.prepared(limited); a.err == nil {
				a.value, a.err = ask(limited, s, do)
			}
			if !errors.Is(a.err, ErrUnprepared) {
				break
			}
			s.unprepare()
		}
		answers <- a
	})
	if err != nil {
		return none, err
	}
	a := answer{err: s.late()}
	select {
	case a = <-answers:
		if errors.Is(a.err, os.ErrDeadlineExceeded) {
			// A driver made ctx's deadline one of a connection, and that fired a
			// moment before ctx's own.
			select {
			case <-limited.Done():
			case <-time.After(grace):
			}
		}
	case <-limited.Done():
		select {
		case a = <-answers:
		case <-time.After(grace):
		}
	}
	switch {
	case a.err == nil:
		return a.value, nil
	case s.life.Err() != nil:
		return none, s.closedError()
	default:
		return none, because(a.err, limited.Err())
	}
}

// late is the error while nothing has answered.
func (s *Store) late() error { return named.Errorf("zhongkong", "no answer yet from %v", s.server) }

// ask runs do unless the store is closed.
func ask[T any](ctx context.Context, s *Store, do func(ctx context.Context) (T, error)) (answer T, err error) {
	s.mu.Lock()
	if s.closed {
		defer s.mu.Unlock()
		return answer, s.closedError()
	}
	s.asked.Add(1)
	s.mu.Unlock()
	defer s.asked.Done()
	return do(ctx)
}

// unprepare forgets that the engine was ready.
func (s *Store) unprepare() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = false
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
