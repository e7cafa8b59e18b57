package testserver

import (
	"context"
	"testing"
	"time"
)

// StartProgram starts a program as a server; ask is the query that it answers when it
// is ready. It takes stopTime to stop at most, and the time of a start for an answer.
func StartProgram(ctx context.Context, ask func(ctx context.Context) error, args ...string) (*Server, error) {
	return start(ctx, "program", "1", func(s *Server) ([]string, error) {
		s.ask = ask
		return args, nil
	})
}

// SetTimes sets how long a server has to start and to stop.
func SetTimes(t *testing.T, start, stop time.Duration) {
	t.Helper()
	startBefore, stopBefore := startTime, stopTime
	startTime, stopTime = start, stop
	t.Cleanup(func() { startTime, stopTime = startBefore, stopBefore })
}
