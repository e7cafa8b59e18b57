package store_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/zhongkong-go/zhongkong/store"
)

// TestUseShare: whoever has most lines loses first, and nobody's push another's out.
func TestUseShare(t *testing.T) {
	for _, c := range []struct {
		counts          []int
		most, each, all int
	}{
		{nil, 10, 10, 10},
		{[]int{10}, 10, 10, 10},
		{[]int{11}, 10, 9, 9},
		{[]int{100, 1, 5}, 20, 12, 18},
		{[]int{100, 100, 100}, 100, 30, 90},
		{[]int{1, 1, 1, 1}, 3, 1, 3},
		{[]int{486 * 3600, 1000}, 100_000, 89_000, 90_000},
	} {
		if each, all := store.UseShare(c.counts, c.most); each != c.each || all != c.all {
			t.Errorf("UseShare(%v, %d) = %d, %d, want %d, %d", c.counts, c.most, each, all, c.each, c.all)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		counts := rapid.SliceOf(rapid.IntRange(1, 50)).Draw(t, "counts")
		most := rapid.IntRange(1, 200).Draw(t, "most")
		each, all := store.UseShare(counts, most)
		total, kept, room := 0, 0, 0
		for _, n := range counts {
			total += n
			kept += min(n, each)
			room += min(n, each+1)
		}
		switch {
		case total <= most && kept != total:
			t.Fatalf("%d of %d lines are kept, although %d may be", kept, total, most)
		case total > most && each > 1 && kept > all:
			t.Fatalf("%d lines are kept, more than %d", kept, all)
		case total > most && len(counts) <= all && room <= all:
			t.Fatalf("each could have %d: that makes %d of %d", each+1, room, all)
		}
	})
}
