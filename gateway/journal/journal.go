// Package journal writes who did what through a gateway: into the store, where every
// gateway's lines are together, and to sinks outside, where nobody who can write the
// store can take them away again.
package journal

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/store"
)

const (
	// eachMinute is how many equal lines of a minute stand in the journal one by one. Those
	// that follow are counted, and the minute's end brings a line with their number: one
	// program that fetches its token again and again must not push the lines of others out.
	eachMinute = 10

	// share is how many lines of a minute one actor has, equal or not. The minute's end
	// brings a line with the number of those that were dropped.
	share = 1000

	// noteTime is how long the store may take for a line.
	noteTime = 2 * time.Second
)

// Journal writes lines. It is safe for concurrent use.
type Journal struct {
	ledger store.Ledger
	log    *slog.Logger
	name   string // of this gateway
	sinks  []*Sink

	sending sync.Mutex // guards what follows: sinks get the lines in the order of their numbers
	number  uint64
	closed  bool

	mu     sync.Mutex              // guards what follows
	lines  map[store.Use]*repeated // of this minute
	actors map[string]*spoken      // of this minute
}

// repeated is a line that was written in this minute.
type repeated struct{ written, more int }

// spoken is what an actor has written in this minute.
type spoken struct{ written, dropped int }

// New returns a journal over a ledger. It closes the sinks in the end.
func New(ledger store.Ledger, log *slog.Logger, sinks ...*Sink) *Journal {
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails, by its documentation
	return &Journal{
		ledger: ledger, log: log, name: hex.EncodeToString(b[:]), sinks: sinks,
		lines: map[store.Use]*repeated{}, actors: map[string]*spoken{},
	}
}

// Note writes a line about a client, or counts it. What is counted, or beyond the
// actor's share, is no error.
func (j *Journal) Note(ctx context.Context, use store.Use) error {
	use = use.Fit()
	if !j.mayWrite(use) {
		return nil
	}
	if err := j.Must(ctx, use); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if l := j.lines[use]; l != nil {
		l.written++
	}
	return nil
}

// mayWrite reports whether a line is to be written by itself.
func (j *Journal) mayWrite(use store.Use) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	l, a := j.lines[use], j.actors[use.Actor]
	if a == nil {
		a = new(spoken)
		j.actors[use.Actor] = a
	}
	switch {
	case l != nil && l.written >= eachMinute:
		l.more++
		return false
	case a.written >= share:
		a.dropped++
		return false
	}
	if l == nil {
		j.lines[use] = new(repeated)
	}
	a.written++
	return true
}

// Must writes a line as it is: what admins do is rare, and each of it counts.
func (j *Journal) Must(ctx context.Context, use store.Use) error {
	j.sending.Lock()
	j.number++
	number := j.number
	if !j.closed {
		line := Line{time.Now().UTC(), j.name, number, use.Actor, use.Act, use.Subject, use.Detail}
		for _, s := range j.sinks {
			s.put(line)
		}
	}
	j.sending.Unlock()
	ctx, cancel := context.WithTimeout(ctx, noteTime)
	defer cancel()
	use.Detail = numbered(use.Detail, j.name, number)
	return j.ledger.Note(ctx, use.Fit())
}

// numbered puts the gateway's name and the line's number behind a detail, so that lines
// that are missing leave a gap.
func numbered(detail, gateway string, number uint64) string {
	end := fmt.Sprintf("#%d of %s", number, gateway)
	if detail == "" {
		return end
	}
	cut := store.Use{Detail: detail}
	if most := store.MaxUseDetail - len(end) - 1; len(detail) > most {
		cut.Detail = detail[:most-3]
	}
	return cut.Fit().Detail + " " + end
}

// Ledger returns the journal's ledger, whose lines go through the journal.
func (j *Journal) Ledger() store.Ledger { return through{j.ledger, j} }

type through struct {
	store.Ledger

	journal *Journal
}

// Note implements [store.Ledger].
func (t through) Note(ctx context.Context, use store.Use) error { return t.journal.Must(ctx, use) }

// Run ends each minute until ctx does.
func (j *Journal) Run(ctx context.Context) {
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			j.flush(ctx)
		}
	}
}

// Close writes what was counted, and gives the sinks a moment to take their last lines.
func (j *Journal) Close() {
	j.flush(context.Background())
	j.sending.Lock()
	j.closed = true
	j.sending.Unlock()
	for _, s := range j.sinks {
		s.Close()
	}
}

// flush writes how many lines were counted and dropped. A number that cannot be written
// is told by the log.
func (j *Journal) flush(ctx context.Context) {
	j.mu.Lock()
	lines, actors := j.lines, j.actors
	j.lines, j.actors = map[store.Use]*repeated{}, map[string]*spoken{}
	j.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	write := func(use store.Use, n int) {
		if err := j.Must(ctx, use); err != nil {
			j.log.Warn("lines of the journal are lost: the store did not take their number", "log_code", "gateway_journal_lost",
				"lines", n, "actor", use.Actor, "act", use.Act, "subject", use.Subject, "error", err)
		}
	}
	for use, l := range lines {
		if l.more > 0 {
			use.Detail = fmt.Sprintf("%d more of these in the last minute %s", l.more, use.Detail)
			write(use, l.more)
		}
	}
	for actor, a := range actors {
		if a.dropped > 0 {
			detail := fmt.Sprintf("%d lines dropped: an actor has %d in a minute", a.dropped, share)
			write(store.Use{Actor: actor, Act: "drop lines", Detail: detail}, a.dropped)
		}
	}
}
