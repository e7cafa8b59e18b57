package columns_test

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/internal/columns"
)

// TestThereAndBack: a row comes back from the table as it was.
func TestThereAndBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		moment := func(name string) time.Time {
			us := rapid.Int64Range(0, time.Now().Add(8*24*time.Hour).UnixMicro()).Draw(t, name)
			return columns.Time(us)
		}
		row := store.Row{
			Value:      rapid.String().Draw(t, "value"),
			SealKey:    rapid.SampledFrom([]string{"", "0a1b2c3d"}).Draw(t, "seal key"),
			End:        moment("end"),
			Life:       time.Duration(rapid.Int64Range(0, 7*24*3600e6).Draw(t, "life in µs")) * time.Microsecond,
			Fence:      rapid.Int64Range(0, 1<<53).Draw(t, "fence"),
			Top:        rapid.Int64Range(0, 1<<53).Draw(t, "top"),
			Attempt:    rapid.String().Draw(t, "attempt"),
			LeaseEnd:   moment("lease end"),
			Begun:      moment("begun"),
			Unfinished: moment("unfinished"),
			Day:        rapid.IntRange(0, 30000).Draw(t, "day"),
			Fetches:    rapid.IntRange(0, 5000).Draw(t, "fetches"),
		}
		if notes := rapid.SliceOf(rapid.Byte()).Draw(t, "notes"); len(notes) > 0 {
			row.Notes = notes
		}
		got, err := columns.Read(columns.Of("name", &row).Values())
		if err != nil || !reflect.DeepEqual(got, row) {
			t.Fatalf("got %+v, %v; want %+v", got, err, row)
		}
	})
}

// TestDamage: whatever stands in a column, its name is told, its content is not,
// and the highest fence is kept where it can be read.
func TestDamage(t *testing.T) {
	t.Parallel()
	row := store.Row{Value: "made-up-token", Top: 17, End: time.UnixMicro(1)}
	names := []string{
		"value", "seal_key", "end_us", "life_us", "fence", "notes",
		"top", "attempt", "lease_end_us", "begun_us", "unfinished_us", "day", "fetches",
	}
	for i, name := range names {
		for _, damage := range []any{nil, 1.5, true, int64(-1), int64(math.MaxInt64), "made-up-token"} {
			all := columns.Of("name", &row).Values()
			if reflect.TypeOf(all[i]) == reflect.TypeOf(damage) && reflect.TypeOf(damage).Kind() == reflect.String {
				continue
			}
			if _, ok := all[i].([]byte); ok && damage == "made-up-token" {
				continue // some drivers tell bytes as a text
			}
			all[i] = damage
			got, err := columns.Read(all)
			if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "made-up-token") {
				t.Errorf("%T in %s: got the error %v", damage, name, err)
			}
			if want := (store.Row{Top: 17}); name != "top" && !reflect.DeepEqual(got, want) {
				t.Errorf("%T in %s: got %+v, want only the highest fence", damage, name, got)
			}
		}
	}
	if _, err := columns.Read(nil); err == nil {
		t.Error("no error for a row of no columns")
	}
}

// TestMicros: what no table can tell becomes the nearest time that it can.
func TestMicros(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want time.Time }{
		{time.Time{}, time.Time{}},
		{time.Unix(0, 0), time.UnixMicro(1)},
		{time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), time.UnixMicro(1)},
		{time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)},
	} {
		if got := columns.Time(columns.Micros(c.in)); !got.Equal(c.want) {
			t.Errorf("%v comes back as %v, want %v", c.in, got, c.want)
		}
	}
}

func TestCredentialDoesNotPrint(t *testing.T) {
	t.Parallel()
	row := store.Row{Value: "made-up-token"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if text := fmt.Sprintf(verb, columns.Of("name", &row)); strings.Contains(text, "made-up-token") {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}
