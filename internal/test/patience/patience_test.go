package patience

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// recorder is a test that keeps what is said to it.
type recorder struct {
	testing.TB

	log, errs []string
}

func (r *recorder) Helper()      {}
func (r *recorder) Name() string { return "TestIt" }

func (r *recorder) Log(args ...any)   { r.log = append(r.log, fmt.Sprint(args...)) }
func (r *recorder) Error(args ...any) { r.errs = append(r.errs, fmt.Sprint(args...)) }

func (r *recorder) Logf(format string, args ...any) {
	r.log = append(r.log, fmt.Sprintf(format, args...))
}

func (r *recorder) Errorf(format string, args ...any) {
	r.errs = append(r.errs, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	panic(r)
}

// recorded runs use in a bubble with a test of its own, and returns what it said to that
// and to the standard error.
func recorded(t *testing.T, use func(r *recorder)) (r *recorder, said string) {
	t.Helper()
	var out strings.Builder
	stderr = &out
	defer func() { stderr = os.Stderr }()
	r = new(recorder)
	synctest.Test(t, func(*testing.T) {
		defer func() {
			if reason := recover(); reason != nil && reason != any(r) {
				panic(reason)
			}
		}()
		use(r)
	})
	return r, out.String()
}

const second = "patience: second attempt: TestIt: it"

// mustReport wants the line about a second attempt, once, in both places, or in neither.
func mustReport(t *testing.T, r *recorder, said string, want bool) {
	t.Helper()
	n, text := 0, ""
	if want {
		n, text = 1, second+"\n"
	}
	logged := 0
	for _, line := range r.log {
		if line == second {
			logged++
		}
	}
	if logged != n || said != text {
		t.Errorf("logged %q, said %q; want the line about a second attempt: %t", r.log, said, want)
	}
}

func TestUntil(t *testing.T) {
	r, said := recorded(t, func(r *recorder) {
		began := time.Now()
		Until(r, "it", func() bool { return time.Since(began) > time.Minute })
		if waited := time.Since(began); waited > time.Minute+pace {
			t.Errorf("it waited %s for what took a minute", waited)
		}
	})
	if len(r.errs) > 0 {
		t.Error(r.errs)
	}
	mustReport(t, r, said, false)
	r, _ = recorded(t, func(r *recorder) {
		Until(r, "it", func() bool { return false })
		t.Error("it returned, though it never happened")
	})
	if want := []string{"it: not within 2m0s"}; !slices.Equal(r.errs, want) {
		t.Errorf("%q, want %q", r.errs, want)
	}
}

func TestInTime(t *testing.T) {
	for _, row := range []struct {
		took  []time.Duration
		fails bool
	}{
		{took: []time.Duration{time.Second}},
		{took: []time.Duration{time.Minute, time.Second}},
		{took: []time.Duration{time.Minute, time.Minute, time.Second}},
		{took: []time.Duration{time.Minute, time.Minute, time.Minute}, fails: true},
	} {
		n := 0
		r, said := recorded(t, func(r *recorder) {
			began := time.Now()
			InTime(r, "it", time.Second, func() time.Duration { n++; return row.took[n-1] })
			if spread, want := time.Since(began), time.Duration(len(row.took)-1)*pause; spread != want {
				t.Errorf("%v: the attempts are spread over %s, want %s", row.took, spread, want)
			}
		})
		if n != len(row.took) || (len(r.errs) > 0) != row.fails {
			t.Errorf("%v: %d attempts, errors %q", row.took, n, r.errs)
		}
		mustReport(t, r, said, len(row.took) > 1)
	}
}

func TestRatios(t *testing.T) {
	for name, row := range map[string]struct {
		hold     func(tb testing.TB, what string, limit float64, measure func() float64)
		measured []float64
		log, err string
	}{
		"at most, at once":   {AtMost, []float64{2}, "it: 2.00 × (at most 2.00 ×)", ""},
		"at most, late":      {AtMost, []float64{9, 5, 1}, "it: 1.00 × (at most 2.00 ×)", ""},
		"at most, never":     {AtMost, []float64{9, 5, 7}, "", "it: 5.00 × (at most 2.00 ×)"},
		"at least, at once":  {AtLeast, []float64{2}, "it: 2.00 × (at least 2.00 ×)", ""},
		"at least, the next": {AtLeast, []float64{1, 3}, "it: 3.00 × (at least 2.00 ×)", ""},
		"at least, never":    {AtLeast, []float64{0.5, 1, 0.2}, "", "it: 1.00 × (at least 2.00 ×)"},
	} {
		n := 0
		r, said := recorded(t, func(r *recorder) {
			row.hold(r, "it", 2, func() float64 { n++; return row.measured[n-1] })
		})
		if n != len(row.measured) {
			t.Errorf("%s: %d attempts, want %d", name, n, len(row.measured))
		}
		if log := strings.Join(r.log, "|"); row.log != "" && !strings.HasSuffix(log, row.log) || strings.Join(r.errs, "|") != row.err {
			t.Errorf("%s: logged %q, errors %q", name, r.log, r.errs)
		}
		mustReport(t, r, said, n > 1)
	}
}

func TestWithin(t *testing.T) {
	for takes, want := range map[time.Duration][]time.Duration{
		time.Millisecond: {time.Second},
		3 * time.Second:  {time.Second, 2 * time.Second, 4 * time.Second},
	} {
		var given []time.Duration
		r, said := recorded(t, func(r *recorder) {
			got := Within(r, "it", time.Second, func(short time.Duration) {
				given = append(given, short)
				time.Sleep(takes)
			})
			if got != want[len(want)-1] || !slices.Equal(given, want) {
				t.Errorf("%s after %v, want %v", got, given, want)
			}
		})
		mustReport(t, r, said, len(want) > 1)
	}
	r, _ := recorded(t, func(r *recorder) {
		Within(r, "it", time.Second, func(short time.Duration) { time.Sleep(short) })
	})
	if len(r.errs) != 1 {
		t.Errorf("what is never quick enough: %q, want an error", r.errs)
	}
}

func TestUndisturbed(t *testing.T) {
	wrong := []string{"wrong"}
	for name, row := range map[string]struct {
		wrong     [][]string // of each run
		excused   bool
		disturbed bool
	}{
		"nothing wrong":          {[][]string{nil}, true, false},
		"wrong by itself":        {[][]string{wrong}, false, false},
		"well the second time":   {[][]string{wrong, nil}, true, false},
		"disturbed all the time": {[][]string{wrong, wrong, wrong}, true, true},
	} {
		n := 0
		r, said := recorded(t, func(r *recorder) {
			got, disturbed := Undisturbed(r, "it", time.Second, func() ([]string, bool) { n++; return row.wrong[n-1], row.excused })
			if !slices.Equal(got, row.wrong[len(row.wrong)-1]) || disturbed != row.disturbed {
				t.Errorf("%s: %q, disturbed %t", name, got, disturbed)
			}
		})
		if n != len(row.wrong) {
			t.Errorf("%s: %d runs, want %d", name, n, len(row.wrong))
		}
		mustReport(t, r, said, n > 1)
	}
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
