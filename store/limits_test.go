package store_test

import (
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/store"
)

// TestJournalDetail: what the journal cannot keep is cut to what it can.
func TestJournalDetail(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a line: 窗口":                   "a line: 窗口",
		"a\x00b\xffc":                  "a\uFFFDb\uFFFDc",
		strings.Repeat("中", 400):       strings.Repeat("中", 340) + "…",
		strings.Repeat("x", 5000):      strings.Repeat("x", 1021) + "…",
		"x" + strings.Repeat("é", 600): "x" + strings.Repeat("é", 510) + "…",
	} {
		if got := store.JournalDetail(in); got != want {
			t.Errorf("%.20q... comes as %d bytes, want %d", in, len(got), len(want))
		}
	}
}

// TestFit: what a Ledger would refuse for its length is cut, and taken then.
func TestFit(t *testing.T) {
	long := strings.Repeat("wx0123456789abcdef, ", 1000)
	use := store.Use{Act: "add client", Actor: long, Subject: "\xff" + long, Detail: long}
	if use.Check() == nil {
		t.Fatal("the limits are higher than this test thinks")
	}
	fit := use.Fit()
	if err := fit.Check(); err != nil {
		t.Error(err)
	}
	if !strings.HasSuffix(fit.Detail, "…") || len(fit.Detail) != store.MaxUseDetail {
		t.Errorf("the detail has %d bytes", len(fit.Detail))
	}
}
