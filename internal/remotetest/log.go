package remotetest

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// Log is a log that a test reads.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements [io.Writer].
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// Logger writes into the log.
func (l *Log) Logger() *slog.Logger {
	if l == nil {
		return nil
	}
	return slog.New(slog.NewTextHandler(l, nil))
}

// Text is what was written.
func (l *Log) Text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// MustWarnOnce wants one line at Warn that says words.
func (l *Log) MustWarnOnce(tb testing.TB, words ...string) {
	tb.Helper()
	var lines []string
	for line := range strings.Lines(l.Text()) {
		if strings.Contains(line, "level=WARN") {
			lines = append(lines, line)
		}
	}
	if len(lines) != 1 {
		tb.Fatalf("%d lines at Warn, want one:\n%s", len(lines), strings.Join(lines, ""))
	}
	for _, word := range words {
		if !strings.Contains(lines[0], word) {
			tb.Errorf("the line at Warn does not say %q: %s", word, lines[0])
		}
	}
	MustHide(tb, l.Text())
}
