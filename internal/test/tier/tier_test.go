package tier_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/test/race"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
)

func TestFull(t *testing.T) {
	for _, row := range []struct {
		value string
		ran   bool
		count int
	}{{"", false, 3}, {"full", true, 7}, {"anything else", false, 3}} {
		t.Setenv(tier.Variable, row.value)
		if ran := ran(t, func(t *testing.T) { tier.Full(t) }); ran != row.ran {
			t.Errorf("%s=%q: ran %t, want %t", tier.Variable, row.value, ran, row.ran)
		}
		if count := tier.Count(3, 7); count != row.count {
			t.Errorf("%s=%q: %d draws, want %d", tier.Variable, row.value, count, row.count)
		}
	}
}

func TestSpeed(t *testing.T) {
	measurable := !race.Enabled && testing.CoverMode() == ""
	for value, want := range map[string]bool{"": false, "1": measurable} {
		t.Setenv(tier.SpeedVariable, value)
		if got := ran(t, func(t *testing.T) { tier.Speed(t) }); got != want {
			t.Errorf("%s=%q: ran %t, want %t", tier.SpeedVariable, value, got, want)
		}
		if got := ran(t, func(t *testing.T) { tier.Unraced(t) }); got != (value == "1" && !race.Enabled) {
			t.Errorf("%s=%q: Unraced ran %t", tier.SpeedVariable, value, got)
		}
	}
}

// ran reports whether a test passed the gate.
func ran(t *testing.T, gate func(t *testing.T)) bool {
	t.Helper()
	passed := false
	t.Run("gated", func(t *testing.T) {
		gate(t)
		passed = true
	})
	return passed
}

// nameless stands for a test whose name the last stage of make test does not look for.
type nameless struct {
	testing.TB

	fatal string
}

func (n *nameless) Helper()                           {}
func (n *nameless) Name() string                      { return "TestCrowd/part AtScale" }
func (n *nameless) Fatalf(format string, args ...any) { n.fatal = fmt.Sprintf(format, args...) }

// TestScaleAtScale: a part under the race detector, all of it without, and no test that would
// take a part only.
func TestScaleAtScale(t *testing.T) {
	want := 7
	if race.Enabled {
		want = 3
	}
	t.Run("part", func(t *testing.T) {
		if got := tier.Scale(t, 3, 7); got != want {
			t.Errorf("%d, want %d", got, want)
		}
	})
	n := &nameless{}
	if tier.Scale(n, 3, 7); !strings.HasPrefix(n.fatal, "TestCrowd: ") {
		t.Errorf("a test of another name is told %q", n.fatal)
	}
}
