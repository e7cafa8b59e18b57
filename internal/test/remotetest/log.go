package remotetest

import (
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
)

// Log is a log that a test reads.
type Log struct{ logtest.Log }

// MustWarnOnce wants one line at Warn that says words, and no secret in the log.
func (l *Log) MustWarnOnce(tb testing.TB, words ...string) {
	tb.Helper()
	l.Log.MustWarnOnce(tb, words...)
	MustHide(tb, l.String())
}
