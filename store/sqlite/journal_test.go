package sqlite

import (
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
)

// TestJournalEnds: 1,000 lines of a key are kept, for 30 days; one more pace of
// lines may stand in the file but is not shown.
func TestJournalEnds(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, nil)
	c := &clocks{wall: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	c.drive(s)
	other := raw(t, path)
	fill := func(name string, n int, at time.Time) {
		t.Helper()
		run(t, other, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
			INSERT INTO zhongkong_journal (name, at_us, event, fence, attempt, detail)
			SELECT ?, ?, 'begin', 1, '', i FROM n`, n, name, at.UnixMicro())
	}
	count := func(where string) (n int) {
		t.Helper()
		if err := other.QueryRowContext(t.Context(), "SELECT count(*) FROM zhongkong_journal WHERE "+where).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	shown := func(want int) []custody.Entry {
		t.Helper()
		lines, err := s.Journal(t.Context(), key, 5000)
		if err != nil || len(lines) != want {
			t.Fatalf("Journal: %d lines, %v; want %d", len(lines), err, want)
		}
		return lines
	}
	mine := "name = '" + key.String() + "'"
	fill(key.String(), 1200, c.wall)
	fill("another", 1200, c.wall)
	shown(1000)
	lease, err := s.Acquire(t.Context(), key, "attempt", 365*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	begin := func() {
		t.Helper()
		if err := s.Begin(t.Context(), lease, nil); err != nil {
			t.Fatal(err)
		}
	}
	begin() // the first line of this process trims
	if n := count(mine); n != 1000 {
		t.Errorf("%d lines stand in the file, want 1000", n)
	}
	if n := count("name = 'another'"); n != 1200 {
		t.Errorf("%d lines of another key stand in the file, want all 1200", n)
	}
	if lines := shown(1000); lines[0].Attempt != "attempt" || lines[999].Detail != "202" {
		t.Errorf("the lines go from %v to %v", lines[0], lines[999])
	}
	for range journalPace - 1 {
		begin()
	}
	if n := count(mine); n != 1000+journalPace-1 {
		t.Errorf("%d lines stand in the file, want %d: trimming is not done at every call", n, 1000+journalPace-1)
	}
	c.pass(31 * 24 * time.Hour)
	shown(0)
	begin()
	shown(1)
	if n := count("true"); n != 1 {
		t.Errorf("%d lines stand in the file, want the new one", n)
	}
}

// TestSaveAgainIsNoSecondLine: a Save that is repeated because its answer was
// lost is one event.
func TestSaveAgainIsNoSecondLine(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), nil)
	lease := save(t, s, "value")
	record := custody.Record{Value: "value", End: lease.Record.Now.Add(time.Hour), Life: 2 * time.Hour}
	if err := s.Save(t.Context(), lease, record); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Journal(t.Context(), key, 10); err != nil || len(got) != 1 {
		t.Fatalf("Journal: %v, %v; want one line", got, err)
	}
}
