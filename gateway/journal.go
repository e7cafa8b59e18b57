package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/store"
)

// eachMinute is how many equal lines of a minute stand in the journal one by one. Those
// that follow are counted, and the minute's end brings a line with their number: one
// program that fetches its token again and again must not push the lines of others out.
const eachMinute = 10

// noteTimeout is how long the store may take for a line.
const noteTimeout = 2 * time.Second

// journal writes what clients do. What admins do is rare, and written as it is.
type journal struct {
	ledger store.Ledger
	log    *slog.Logger

	mu    sync.Mutex              // guards what follows
	lines map[store.Use]*repeated // of this minute
}

// repeated is a line that was written in this minute.
type repeated struct {
	written int
	more    int
}

func newJournal(ledger store.Ledger, log *slog.Logger) *journal {
	return &journal{ledger: ledger, log: log, lines: map[store.Use]*repeated{}}
}

// note writes a line, or counts it.
func (j *journal) note(ctx context.Context, use store.Use) error {
	use = use.Fit()
	j.mu.Lock()
	l := j.lines[use]
	if l == nil {
		l = new(repeated)
		j.lines[use] = l
	}
	counted := l.written >= eachMinute
	if counted {
		l.more++
	}
	j.mu.Unlock()
	if counted {
		return nil
	}
	if err := j.ledger.Note(ctx, use); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	l.written++
	return nil
}

// run ends each minute until ctx does.
func (j *journal) run(ctx context.Context) {
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

// flush writes how many lines were counted. A number that cannot be written is told by
// the log.
func (j *journal) flush(ctx context.Context) {
	j.mu.Lock()
	lines := j.lines
	j.lines = map[store.Use]*repeated{}
	j.mu.Unlock()
	for use, l := range lines {
		if l.more == 0 {
			continue
		}
		use.Detail = fmt.Sprintf("%d more of these in the last minute %s", l.more, use.Detail)
		short, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
		err := j.ledger.Note(short, use.Fit())
		cancel()
		if err != nil {
			j.log.Warn("lines of the journal are lost: the store did not take their number", "log_code", "gateway_journal_lost",
				"lines", l.more, "actor", use.Actor, "act", use.Act, "subject", use.Subject, "error", err)
		}
	}
}
