package patience

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestInTime(t *testing.T) {
	for _, row := range []struct {
		took  []time.Duration
		tries int
	}{
		{[]time.Duration{time.Second}, 1},
		{[]time.Duration{time.Minute, time.Minute, time.Second}, 3},
	} {
		tries := 0
		InTime(t, "it", time.Second, func() time.Duration { tries++; return row.took[tries-1] })
		if tries != row.tries {
			t.Errorf("%v: %d tries, want %d", row.took, tries, row.tries)
		}
	}
	var late testing.T
	tries := 0
	InTime(&late, "it", time.Second, func() time.Duration { tries++; return time.Minute })
	if !late.Failed() || tries != 3 {
		t.Errorf("what is always late: %d tries, failed %t; want three and a failure", tries, late.Failed())
	}
}

func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var given []time.Duration
		got := Within(time.Second, func(short time.Duration) {
			given = append(given, short)
			time.Sleep(3 * time.Second)
		})
		if want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}; got != want[2] || !slices.Equal(given, want) {
			t.Errorf("%s after %v, want %v", got, given, want)
		}
	})
}

func TestWatchStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		still := WatchStill()
		time.Sleep(time.Minute)
		if longest := still(); longest != 0 {
			t.Errorf("%s, though nothing stood still", longest)
		}
	})
}
