// Package logtest has a log that a test reads. Only tests import it.
package logtest

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// Log is what was logged. The zero value is ready; it is safe for concurrent use.
type Log struct {
	mu   sync.Mutex // guards what follows
	text bytes.Buffer
}

// Write implements [io.Writer].
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// Logger writes into the log, from level on. That of a nil Log is nil.
func (l *Log) Logger(level slog.Level) *slog.Logger {
	if l == nil {
		return nil
	}
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: level}))
}

// String is what was written.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Lines returns the lines of a level.
func (l *Log) Lines(level slog.Level) []string {
	var lines []string
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, "level="+level.String()) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// MustWarnOnce wants one line at Warn that says words.
func (l *Log) MustWarnOnce(tb testing.TB, words ...string) {
	tb.Helper()
	lines := l.Lines(slog.LevelWarn)
	if len(lines) != 1 {
		tb.Fatalf("%d lines at Warn, want one:\n%s", len(lines), strings.Join(lines, "\n"))
	}
	for _, word := range words {
		if !strings.Contains(lines[0], word) {
			tb.Errorf("the line at Warn does not say %q: %s", word, lines[0])
		}
	}
}
