//go:build !cgo

package sqlite

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestWithoutCgo: the program still builds, and Open says what to do.
func TestWithoutCgo(t *testing.T) {
	t.Parallel()
	_, err := Open(t.Context(), filepath.Join(t.TempDir(), "zhongkong.db"), Options{})
	if err == nil || !strings.Contains(err.Error(), "build it with CGO_ENABLED=1 and a C compiler, or use another store") {
		t.Fatalf("got %v, want an error with the remedy", err)
	}
}
