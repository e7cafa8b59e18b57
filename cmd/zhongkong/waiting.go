package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// quiet is how long a command waits without a word.
const quiet = time.Second

// waiting tells the person at the terminal what a command waits for: once it has taken
// longer than quiet, and then each cause that is logged at Warn, once. It is the command's
// log as well.
type waiting struct {
	t *terminal

	mu     sync.Mutex // guards what follows
	what   string     // is waited for
	causes []string   // lines to say, in the order in which they were first logged
	said   int        // of them
	late   bool       // quiet has passed
	over   bool       // the waiting has ended
	timer  *time.Timer
}

// waitFor begins to wait for what, such as "the store".
func waitFor(t *terminal, what string) *waiting {
	w := &waiting{t: t, what: what}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(quiet, w.tell)
	return w
}

// end ends the waiting.
func (w *waiting) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Stop()
	w.over = true
}

func (w *waiting) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.late = !w.over; w.over {
		return // ended at the same moment
	}
	if len(w.causes) == 0 {
		_, _ = fmt.Fprint(w.t.err, w.t.T("zhongkong: waiting for %s, which has not answered yet\n", w.t.T(w.what)))
	}
	w.catchUp()
}

// catchUp says the causes that were not said yet. The mutex is held.
func (w *waiting) catchUp() {
	for ; w.said < len(w.causes); w.said++ {
		_, _ = fmt.Fprintf(w.t.err, "zhongkong: %s\n", w.t.problem(errors.New(w.causes[w.said])))
	}
}

// Enabled implements [slog.Handler].
func (w *waiting) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle implements [slog.Handler].
func (w *waiting) Handle(_ context.Context, record slog.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := record.Message
	record.Attrs(func(a slog.Attr) bool {
		if a.Key == "cause" || a.Key == "error" {
			text = fmt.Sprintf("waiting for %s: %s", w.what, strings.TrimPrefix(a.Value.String(), "zhongkong: "))
			return false
		}
		return true
	})
	if slices.Contains(w.causes, text) {
		return nil
	}
	w.causes = append(w.causes, text)
	if w.late && !w.over {
		w.catchUp()
	}
	return nil
}

// WithAttrs implements [slog.Handler].
func (w *waiting) WithAttrs([]slog.Attr) slog.Handler { return w }

// WithGroup implements [slog.Handler].
func (w *waiting) WithGroup(string) slog.Handler { return w }
