package tier_test

import (
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
