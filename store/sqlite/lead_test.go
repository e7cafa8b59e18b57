package sqlite

import (
	"context"
	"testing"
)

// TestLeadOfWhatIsDone: a call whose operation was carried out, and which becomes the leader
// all the same, leads nothing. It would have ended its operation twice where a lock was held.
func TestLeadOfWhatIsDone(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, nil)
	mustLoad(t, s, "")
	run(t, raw(t, path), "BEGIN IMMEDIATE")
	op := &operation{f: s.present(), ctx: t.Context(), done: make(chan struct{})}
	op.finish(nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.lead(ctx, op)
	if op.err != nil {
		t.Errorf("its error became %v", op.err)
	}
}
