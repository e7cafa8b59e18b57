//go:build cgo

package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/zhongkong-go/zhongkong"
	"github.com/zhongkong-go/zhongkong/internal/bottest"
	"github.com/zhongkong-go/zhongkong/migrations"
	"github.com/zhongkong-go/zhongkong/store/storetest"
)

func TestMain(m *testing.M) {
	bottest.Main(func(ctx context.Context, address string) (bottest.Store, error) { return Open(ctx, address, Options{}) })
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role))
	}
	goleak.VerifyTestMain(m)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.RunWith(t, storetest.Options{Open: func(t *testing.T) func(t *testing.T) zhongkong.Store {
		t.Helper()
		path := newPath(t)
		return func(t *testing.T) zhongkong.Store {
			t.Helper()
			return open(t, path, nil)
		}
	}})
}

var key = zhongkong.Key{Kind: "access_token", API: "stable", AppID: "wx0123456789abcdef"}

func newPath(tb testing.TB) string {
	tb.Helper()
	return filepath.Join(tb.TempDir(), "zhongkong.db")
}

func open(tb testing.TB, path string, log *records) *Store {
	tb.Helper()
	s, err := Open(tb.Context(), path, Options{Logger: log.logger()})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// raw is somebody else's connection to the file.
func raw(tb testing.TB, path string) *sql.Conn {
	tb.Helper()
	db, err := sql.Open(driver, dsn(path, "mode=rwc&_busy_timeout=2000"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

func run(tb testing.TB, conn *sql.Conn, query string, args ...any) {
	tb.Helper()
	if _, err := conn.ExecContext(tb.Context(), query, args...); err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
}

// save takes a lease and saves value.
func save(tb testing.TB, s *Store, value string) zhongkong.Lease {
	tb.Helper()
	lease, err := s.Acquire(tb.Context(), key, "attempt for "+value, time.Hour)
	if err != nil {
		tb.Fatalf("Acquire: %v", err)
	}
	record := zhongkong.Record{Value: value, End: lease.Record.Now.Add(time.Hour), Life: 2 * time.Hour}
	if err := s.Save(tb.Context(), lease, record); err != nil {
		tb.Fatalf("Save: %v", err)
	}
	return lease
}

// mustLoad wants value; "" stands for no record.
func mustLoad(tb testing.TB, s *Store, value string) {
	tb.Helper()
	record, err := s.Load(tb.Context(), key)
	if errors.Is(err, zhongkong.ErrNotFound) && value == "" {
		return
	}
	if err != nil || record.Value != value {
		tb.Fatalf("Load: got %q, %v; want %q", record.Value, err, value)
	}
}

// records is a log that a test reads.
type records struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *records) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *records) logger() *slog.Logger {
	if r == nil {
		return nil
	}
	return slog.New(slog.NewTextHandler(r, nil))
}

// warnings returns the lines at Warn.
func (r *records) warnings() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for line := range strings.Lines(r.text.String()) {
		if strings.Contains(line, "level=WARN") {
			lines = append(lines, line)
		}
	}
	return lines
}

// mustWarnOnce wants one line at Warn that names words.
func (r *records) mustWarnOnce(tb testing.TB, words ...string) {
	tb.Helper()
	lines := r.warnings()
	if len(lines) != 1 {
		tb.Fatalf("%d lines at Warn, want one:\n%s", len(lines), strings.Join(lines, ""))
	}
	for _, word := range words {
		if !strings.Contains(lines[0], word) {
			tb.Errorf("the line at Warn does not say %q: %s", word, lines[0])
		}
	}
}

func names(tb testing.TB, folder string) []string {
	tb.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		tb.Fatal(err)
	}
	var all []string
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return all
}

// TestPaths: whatever a file is called, the database is that file and no other.
func TestPaths(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	for _, path := range []string{
		"plain.db",
		"with space.db",
		"what?.db",
		"what?mode=memory&cache=shared",
		"number#1.db",
		"100%.db",
		"100%25.db",
		"%41.db",
		"中控.db",
		"a+b&c=d;e.db",
		"'quoted\".db",
		"back\\slash.db",
		"file",
		"..db",
		"~",
		filepath.Join(folder, "absolute?#%.db"),
		"./folder #1/zhongkong.db",
		"./folder #1/../folder #1/again.db",
	} {
		t.Run(path, func(t *testing.T) {
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			before := names(t, filepath.Dir(path))
			s := open(t, path, nil)
			save(t, s, "value of "+path)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			name := filepath.Base(path)
			want := slices.Sorted(slices.Values(append(before, name, name+".lock")))
			if got := names(t, filepath.Dir(path)); !slices.Equal(got, want) {
				t.Fatalf("the folder holds %q, want %q", got, want)
			}
			mustLoad(t, open(t, path, nil), "value of "+path)
		})
	}
}

// TestWorkingDirectory: a relative path means what it meant at Open.
func TestWorkingDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	s := open(t, "zhongkong.db", nil)
	save(t, s, "value")
	t.Chdir(t.TempDir())
	mustLoad(t, s, "value")
	if got := names(t, "."); len(got) > 0 {
		t.Fatalf("the other folder holds %q", got)
	}
}

// The tests that measure how long a call takes are not parallel: each of them
// has the machine to itself as far as this package goes.

// TestFirstStarts: many first starts at once on one missing file. Each has to
// succeed.
func TestFirstStarts(t *testing.T) {
	path := newPath(t)
	const starts = 80
	errs := make([]error, starts)
	var winners sync.Map
	var all sync.WaitGroup
	for i := range starts {
		all.Go(func() {
			s, err := Open(t.Context(), path, Options{})
			if err != nil {
				errs[i] = err
				return
			}
			defer func() { _ = s.Close() }()
			lease, err := s.Acquire(t.Context(), key, fmt.Sprint(i), time.Hour)
			var held *zhongkong.HeldError
			if errors.As(err, &held) {
				return
			}
			winners.Store(lease.Attempt, true)
			errs[i] = err
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	n := 0
	winners.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d starts got the lease, want one", n)
	}
}

// TestMigratedOnce: the newest schema is looked at and not touched again.
func TestMigratedOnce(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	if err := open(t, path, nil).Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// The sidecar's lock is taken: who needs it would wait.
	side := raw(t, path+lockSuffix)
	run(t, side, "BEGIN EXCLUSIVE")
	if err := open(t, path, nil).Close(); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Fatal("opening a database that is up to date wrote into it")
	}
}

// TestMigrate: up, down and up again, with a look in between; looking makes no
// file, and a program that may not migrate says who does.
func TestMigrate(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	_, newest, err := migrations.Of("sqlite")
	if err != nil {
		t.Fatal(err)
	}
	run := func(action migrations.Action, version int64) {
		t.Helper()
		status, err := Migrate(t.Context(), path, Options{}, action)
		if err != nil {
			t.Fatalf("%s: %v", action, err)
		}
		if status.Version != version || status.Newest != newest || int64(len(status.Steps)) != newest {
			t.Fatalf("%s: got %+v, want version %d of %d", action, status, version, newest)
		}
		for _, step := range status.Steps {
			if step.Applied.IsZero() != (step.Number > version) {
				t.Fatalf("%s: at version %d: step %+v", action, version, step)
			}
		}
	}
	down := func() {
		t.Helper()
		for version := newest - 1; version >= 0; version-- {
			run(migrations.Down, version)
		}
	}
	run(migrations.Look, 0)
	run(migrations.Down, 0)
	if got := names(t, filepath.Dir(path)); len(got) > 0 {
		t.Fatalf("a look made %q", got)
	}
	if _, err := Open(t.Context(), path, Options{NoMigrate: true}); err == nil || !strings.Contains(err.Error(), "zhongkong migrate up") {
		t.Fatalf("Open without tables: %v", err)
	}
	run(migrations.Up, newest)
	run(migrations.Up, newest)
	run(migrations.Look, newest)
	down()
	run(migrations.Look, 0)
	run(migrations.Up, newest)
	s, err := Open(t.Context(), path, Options{NoMigrate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	save(t, s, "value")

	run(migrations.Look, newest)
	other := raw(t, path)
	if _, err := other.ExecContext(t.Context(), "INSERT INTO zhongkong_schema (version_id, is_applied) VALUES (4711, 1)"); err != nil {
		t.Fatal(err)
	}
	if _, err := Migrate(t.Context(), path, Options{}, migrations.Down); err == nil || !strings.Contains(err.Error(), "update this program") {
		t.Fatalf("Down of a newer schema: %v", err)
	}
	letter := filepath.Join(t.TempDir(), "letter.txt")
	if err := os.WriteFile(letter, bytes.Repeat([]byte("Dear reader. "), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Migrate(t.Context(), letter, Options{}, migrations.Look); err == nil || !strings.Contains(err.Error(), "is not a SQLite database") {
		t.Fatalf("a look at a letter: %v", err)
	}
}

// TestSettings looks at what every connection of the pool runs with.
func TestSettings(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), nil)
	for range connections {
		conn, err := s.file.db.Connx(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "25"} {
			var got string
			if err := conn.GetContext(t.Context(), &got, "PRAGMA "+pragma); err != nil || got != want {
				t.Errorf("%s is %q, %v; want %q", pragma, got, err, want)
			}
		}
	}
}

// TestOneTransaction: a transaction holds the write lock from its beginning, so
// that what it has read is still so when it writes.
func TestOneTransaction(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), nil)
	for i, want := range []code{foreign, busy} {
		tx, err := s.file.db.BeginTxx(t.Context(), nil)
		if err == nil {
			defer func() { _ = tx.Rollback() }()
		}
		if codeOf(err) != want {
			t.Errorf("transaction %d: %v", i, err)
		}
	}
}

// TestLockedAtStart: a database that somebody holds stops no start, and is used
// as soon as it is free.
func TestLockedAtStart(t *testing.T) {
	path := newPath(t)
	log := new(records)
	other := raw(t, path)
	run(t, other, "CREATE TABLE theirs (x)")
	run(t, other, "BEGIN EXCLUSIVE")

	s := open(t, path, log)
	log.mustWarnOnce(t, "locked", "end it", path)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := s.Load(ctx, key)
	if took := time.Since(start); took > 1300*time.Millisecond {
		t.Errorf("Load returned %v after its start, more than 1 s after its ctx's end", took)
	}
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "locked") {
		t.Errorf("Load: got %v, want an error that is DeadlineExceeded and says what is locked", err)
	}
	run(t, other, "ROLLBACK")
	save(t, s, "value")
	mustLoad(t, s, "value")
	log.mustWarnOnce(t)
}

// TestMissingFolder: the same for a folder that comes later.
func TestMissingFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "later")
	log := new(records)
	start := time.Now()
	s := open(t, filepath.Join(folder, "zhongkong.db"), log)
	if took := time.Since(start); took > openTime/2 {
		t.Errorf("Open took %v to see that a folder is missing", took)
	}
	log.mustWarnOnce(t, "create "+folder)
	_, err := s.Load(t.Context(), key)
	if err == nil || !strings.Contains(err.Error(), "create "+folder) {
		t.Fatalf("Load: got %v, want an error with the remedy", err)
	}
	made := make(chan error)
	go func() {
		time.Sleep(openPace / 2) // while a call waits
		made <- os.Mkdir(folder, 0o700)
	}()
	save(t, s, "value")
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	mustLoad(t, s, "value")
	log.mustWarnOnce(t)
}

// TestWrongConfiguration: what no waiting mends is an error of Open, which says
// what to do and changes nothing.
func TestWrongConfiguration(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("letter.txt", strings.Repeat("Dear reader, this is no database. ", 200))
	write("short.txt", "no")
	newer := open(t, at("newer.db"), nil)
	save(t, newer, "value")
	if err := newer.Close(); err != nil {
		t.Fatal(err)
	}
	other := raw(t, at("newer.db"))
	run(t, other, "INSERT INTO zhongkong_schema (version_id, is_applied) VALUES (4711, 1)")

	before := names(t, folder)
	for _, c := range []struct{ name, path, says string }{
		{"Empty", "", "give one, such as zhongkong.db"},
		{"Memory", ":memory:", "store/memory"},
		{"URI", "file:zhongkong.db?mode=memory", "give the path of a file"},
		{"Folder", folder, "is a folder: give the path of a file"},
		{"Slash", at("x") + "/", "is a folder: give the path of a file"},
		{"NUL", at("x\x00y"), "NUL"},
		{"NotADatabase", at("letter.txt"), "is not a SQLite database: give another path"},
		{"Short", at("short.txt"), "is not a SQLite database: give another path"},
		{"UnderAFile", at("letter.txt/zhongkong.db"), "give another path"},
		{"NewerSchema", at("newer.db"), "has the schema version 4711, and this program knows 4: a newer release wrote it: update"},
		{"Device", os.DevNull, "not an ordinary file"},
		{"LongName", at(strings.Repeat("x", 300)), "shorter"},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := new(records)
			s, err := Open(t.Context(), c.path, Options{Logger: log.logger()})
			if err == nil {
				_ = s.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "SQLite database") {
				t.Errorf("the error does not say %q: %v", c.says, err)
			}
			if lines := log.warnings(); len(lines) > 0 {
				t.Errorf("what Open returns is logged as well: %s", lines)
			}
		})
	}
	after := slices.DeleteFunc(names(t, folder), func(name string) bool {
		// Reading it under a lock takes these.
		return strings.HasSuffix(name, ".txt.lock") || strings.HasPrefix(name, "newer.db-")
	})
	before = slices.DeleteFunc(before, func(name string) bool { return strings.HasPrefix(name, "newer.db-") })
	if !slices.Equal(before, after) {
		t.Errorf("the folder held %q and holds %q", before, after)
	}
}

// TestEndedContextAtOpen: Open honours its ctx.
func TestEndedContextAtOpen(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	other := raw(t, path)
	run(t, other, "CREATE TABLE theirs (x)")
	run(t, other, "BEGIN EXCLUSIVE")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	s, err := Open(ctx, path, Options{})
	if err == nil {
		_ = s.Close()
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want an error that is DeadlineExceeded", err)
	}
}

// garble overwrites the file from offset on, without making it another file.
func garble(t *testing.T, path string, offset int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xA5}, int(info.Size()-offset)), offset); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedInUse: the file goes bad under two handles that meet it at once.
// One sets it aside, both go on with a new one, and it is said once.
func TestDamagedInUse(t *testing.T) {
	t.Parallel()
	for name, offset := range map[string]int64{"Header": 0, "Pages": 100} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			log := new(records)
			a, b := open(t, path, log), open(t, path, log)
			save(t, a, "lost")
			mustLoad(t, b, "lost")

			// A third connection empties the log, so that the pages have to come
			// from the file, and writes afterwards, so that nobody trusts what he
			// remembers of them.
			other := raw(t, path)
			const insert = "INSERT INTO zhongkong_journal (name, at_us, event, fence, attempt, detail) VALUES ('', 1, '', 0, '', '')"
			run(t, other, insert)
			run(t, other, "PRAGMA wal_checkpoint(TRUNCATE)")
			garble(t, path, offset)
			run(t, other, insert)
			damaged, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}

			var both sync.WaitGroup
			for _, s := range []*Store{a, b} {
				for range 4 {
					both.Go(func() {
						if _, err := s.Load(t.Context(), key); !errors.Is(err, zhongkong.ErrNotFound) {
							t.Errorf("Load: got %v, want ErrNotFound", err)
						}
					})
				}
			}
			both.Wait()
			log.mustWarnOnce(t, "set aside", path+".corrupt-1")
			if aside, err := os.ReadFile(path + ".corrupt-1"); err != nil || !bytes.Equal(aside, damaged) {
				t.Errorf("the file set aside is not the damaged one: %d bytes, want %d; %v", len(aside), len(damaged), err)
			}
			if _, err := os.Stat(path + ".corrupt-1-wal"); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(path + ".corrupt-2"); err == nil {
				t.Error("the new file was set aside as well")
			}

			save(t, a, "renewed")
			mustLoad(t, b, "renewed")
			// Whoever still has the damaged file open must not take the new
			// one's log away when it closes.
			_ = other.Close()
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			mustLoad(t, a, "renewed")
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			mustLoad(t, open(t, path, log), "renewed")
			log.mustWarnOnce(t)
		})
	}
}

// TestSetAsideOnce: who comes second finds that the file is another one already.
func TestSetAsideOnce(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	log := new(records)
	a, b := open(t, path, log), open(t, path, log)
	save(t, a, "lost")
	fa, fb := a.file, b.file
	if err := a.setAside(t.Context(), fa, errors.New("damaged")); err != nil {
		t.Fatal(err)
	}
	save(t, a, "renewed")
	if err := b.setAside(t.Context(), fb, errors.New("damaged")); err != nil {
		t.Fatal(err)
	}
	mustLoad(t, b, "renewed")
	log.mustWarnOnce(t, path+".corrupt-1")
}

// TestDamagedAtOpen: a file that was a database is set aside at Open as well,
// the second beside the first.
func TestDamagedAtOpen(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	for n := 1; n <= 3; n++ {
		s := open(t, path, nil)
		save(t, s, "lost")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		garble(t, path, int64(len(magic)*n)) // 16: even the page size is gone
		log := new(records)
		s = open(t, path, log)
		log.mustWarnOnce(t, fmt.Sprintf("%s.corrupt-%d", path, n))
		mustLoad(t, s, "")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDamagedRecordHeals: a row that holds nonsense is renewed like a missing
// one, and its fence still grows.
func TestDamagedRecordHeals(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	log := new(records)
	s := open(t, path, log)
	lease := save(t, s, "lost")
	run(t, raw(t, path), "UPDATE zhongkong_credentials SET end_us = -1, top = ?", lease.Fence+1_000_000_000_000)
	mustLoad(t, s, "")
	log.mustWarnOnce(t, "end_us", key.String())
	if next := save(t, s, "renewed"); next.Fence <= lease.Fence+1_000_000_000_000 {
		t.Errorf("fence %d, want one above the damaged row's", next.Fence)
	}
	mustLoad(t, s, "renewed")
}

// TestOtherFile: what happens to the path under an open store.
func TestOtherFile(t *testing.T) {
	t.Parallel()
	remove := func(t *testing.T, path string) {
		t.Helper()
		for _, suffix := range suffixes {
			if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name   string
		change func(t *testing.T, path string)
		want   string
	}{
		{"Removed", remove, ""},
		{"RemovedWithoutLog", func(t *testing.T, path string) {
			t.Helper()
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, ""},
		{"Replaced", func(t *testing.T, path string) {
			t.Helper()
			other := newPath(t)
			s := open(t, other, nil)
			save(t, s, "other")
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			remove(t, path)
			if err := os.Rename(other, path); err != nil {
				t.Fatal(err)
			}
		}, "other"},
		{"ReplacedByAnEmptyFile", func(t *testing.T, path string) {
			t.Helper()
			remove(t, path)
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, ""},
		{"FolderRenewed", func(t *testing.T, path string) {
			t.Helper()
			if err := os.RemoveAll(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
		}, ""},
		{"TablesDropped", func(t *testing.T, path string) {
			t.Helper()
			other := raw(t, path)
			for _, table := range []string{"zhongkong_credentials", "zhongkong_journal", "zhongkong_messages", "zhongkong_documents", "zhongkong_uses", "zhongkong_queue", "zhongkong_schema"} {
				run(t, other, "DROP TABLE "+table)
			}
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			a, b := open(t, path, nil), open(t, path, nil)
			save(t, a, "first")
			mustLoad(t, b, "first")
			c.change(t, path)
			mustLoad(t, a, c.want)
			mustLoad(t, b, c.want)
			save(t, b, "second")
			mustLoad(t, a, "second")
			if err := errors.Join(a.Close(), b.Close()); err != nil {
				t.Fatal(err)
			}
			mustLoad(t, open(t, path, nil), "second")
		})
	}
}

// TestReplacedByALetter: while the file is none, calls fail at once with the
// reason and nothing is set aside; then the store heals.
func TestReplacedByALetter(t *testing.T) {
	path := newPath(t)
	s := open(t, path, nil)
	save(t, s, "value")
	// SQLite would read what stands in the log of the file before.
	if err := errors.Join(os.Remove(path+"-wal"), os.Remove(path+"-shm")); err != nil {
		t.Fatal(err)
	}
	letter := path + ".txt"
	if err := os.WriteFile(letter, bytes.Repeat([]byte("Dear reader. "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(letter, path); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		start := time.Now()
		_, err := s.Load(t.Context(), key)
		if err == nil || !strings.Contains(err.Error(), "is not a SQLite database") {
			t.Fatalf("Load: got %v, want the reason", err)
		}
		if took := time.Since(start); took > openTime/2 {
			t.Errorf("Load took %v to say so", took)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for {
		_, err := s.Load(ctx, key)
		if errors.Is(err, zhongkong.ErrNotFound) {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("the store does not heal: %v", err)
		}
		time.Sleep(openPace / 4)
	}
	if _, err := os.Stat(path + ".corrupt-1"); err == nil {
		t.Error("a file that never was a database was set aside")
	}
}

// TestBusy: while another program writes, reading goes on, and a writer leaves
// when its ctx ends.
func TestBusy(t *testing.T) {
	path := newPath(t)
	s := open(t, path, nil)
	save(t, s, "value")
	other := raw(t, path)
	run(t, other, "BEGIN IMMEDIATE")
	after := make(chan error)
	go func() { // one that has time, in front of the others
		lease, err := s.Acquire(context.WithoutCancel(t.Context()), key, "patient", time.Hour)
		if err == nil && lease.Record.Value != "value" {
			err = fmt.Errorf("the lease's record has the value %q", lease.Record.Value)
		}
		after <- err
	}()
	for len(s.writing) == 0 {
		time.Sleep(time.Millisecond)
	}
	var calls sync.WaitGroup
	for i := range 64 {
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			start := time.Now()
			_, err := s.Acquire(ctx, key, fmt.Sprint(i), time.Hour)
			if took := time.Since(start); took > 1200*time.Millisecond {
				t.Errorf("Acquire took %v, more than 1 s after its ctx's end", took)
			}
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "lock") {
				t.Errorf("Acquire: got %v, want an error that is DeadlineExceeded and speaks of the lock", err)
			}
		})
	}
	mustLoad(t, s, "value")
	calls.Wait()

	// A new handle opens too: it has nothing to write.
	mustLoad(t, open(t, path, nil), "value")

	run(t, other, "COMMIT")
	if err := <-after; err != nil {
		t.Fatalf("Acquire of a call that waited for the lock: %v", err)
	}
}

// TestCloseEndsWaiting: Close does not wait for somebody else's lock.
func TestCloseEndsWaiting(t *testing.T) {
	path := newPath(t)
	s := open(t, path, nil)
	save(t, s, "value")
	run(t, raw(t, path), "BEGIN IMMEDIATE")
	result := make(chan error)
	go func() {
		_, err := s.Acquire(context.Background(), key, "waiting", time.Hour)
		result <- err
	}()
	for len(s.writing) == 0 {
		time.Sleep(time.Millisecond)
	}
	start := time.Now()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, errClosed) {
		t.Errorf("Acquire: got %v, want %v", err, errClosed)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("Close took %v", took)
	}
}

// clocks are those of a process: the wall clock can be set.
type clocks struct {
	wall time.Time
	mono time.Duration
}

func (c *clocks) pass(d time.Duration) { c.wall, c.mono = c.wall.Add(d), c.mono+d }

func (c *clocks) drive(stores ...*Store) {
	for _, s := range stores {
		s.now = func() time.Time { return c.wall }
		s.mono = func() time.Duration { return c.mono }
	}
}

func mustBeHeld(t *testing.T, s *Store, attempt string, least, most time.Duration) {
	t.Helper()
	_, err := s.Acquire(t.Context(), key, attempt, 12*time.Second)
	var held *zhongkong.HeldError
	if !errors.As(err, &held) || held.Left < least || held.Left > most {
		t.Fatalf("Acquire: got %v, want a *HeldError with %v to %v left", err, least, most)
	}
}

// TestClockSetBack: a lease lasts no longer than its time after another process
// saw it first, though the machine's clock was set back by an hour.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	a, b := open(t, path, nil), open(t, path, nil)
	c := &clocks{wall: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	c.drive(a, b)
	first, err := a.Acquire(t.Context(), key, "first", 12*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	c.wall = c.wall.Add(-time.Hour)
	c.pass(2 * time.Second)
	mustBeHeld(t, b, "second", 12*time.Second, 12*time.Second)
	mustBeHeld(t, a, "second", 10*time.Second, 10*time.Second) // this one saw it before
	c.pass(11 * time.Second)
	mustBeHeld(t, b, "second", time.Second, time.Second)
	c.pass(time.Second)
	second, err := b.Acquire(t.Context(), key, "second", 12*time.Second)
	if err != nil {
		t.Fatalf("Acquire after the lease's end: %v", err)
	}
	if second.Fence <= first.Fence {
		t.Errorf("fence %d after %d, want a higher one", second.Fence, first.Fence)
	}
	if err := a.Begin(t.Context(), first, nil); !errors.Is(err, zhongkong.ErrFenced) {
		t.Errorf("Begin of the replaced holder: got %v, want ErrFenced", err)
	}
}

// TestLeaseOfAnotherLength: a process that asks for short leases does not cut
// another's long one.
func TestLeaseOfAnotherLength(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	a, b := open(t, path, nil), open(t, path, nil)
	c := &clocks{wall: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	c.drive(a, b)
	if _, err := a.Acquire(t.Context(), key, "long", time.Minute); err != nil {
		t.Fatal(err)
	}
	mustBeHeld(t, b, "second", time.Minute, time.Minute)
	c.pass(59 * time.Second)
	mustBeHeld(t, b, "second", time.Second, time.Second)
	c.pass(time.Second)
	if _, err := b.Acquire(t.Context(), key, "second", 12*time.Second); err != nil {
		t.Fatal(err)
	}
}

// TestTodayEnds: the count of fetches begins anew at midnight in Beijing.
func TestTodayEnds(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), nil)
	c := &clocks{wall: time.Date(2026, 3, 1, 15, 59, 59, 0, time.UTC)} // 23:59:59 in Beijing
	c.drive(s)
	for i, want := range []int{0, 1, 0} {
		lease, err := s.Acquire(t.Context(), key, fmt.Sprint(i), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if lease.Today != want {
			t.Fatalf("lease %d: Today is %d, want %d", i, lease.Today, want)
		}
		if err := errors.Join(s.Begin(t.Context(), lease, nil), s.Release(t.Context(), lease, nil)); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			c.pass(time.Second)
		}
	}
}

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
	shown := func(want int) []zhongkong.Entry {
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
	record := zhongkong.Record{Value: "value", End: lease.Record.Now.Add(time.Hour), Life: 2 * time.Hour}
	if err := s.Save(t.Context(), lease, record); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Journal(t.Context(), key, 10); err != nil || len(got) != 1 {
		t.Fatalf("Journal: %v, %v; want one line", got, err)
	}
}

// TestBubble: the store lives in a synctest bubble, where time is the test's,
// and leaves no goroutine behind.
func TestBubble(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	synctest.Test(t, func(t *testing.T) {
		a, b := open(t, path, nil), open(t, path, nil)
		if _, err := a.Acquire(t.Context(), key, "first", 12*time.Second); err != nil {
			t.Fatal(err)
		}
		mustBeHeld(t, b, "second", 12*time.Second, 12*time.Second)
		time.Sleep(12 * time.Second)
		lease, err := b.Acquire(t.Context(), key, "second", 12*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Save(t.Context(), lease, zhongkong.Record{Value: "value"}); err != nil {
			t.Fatal(err)
		}
		mustLoad(t, a, "value")
		if err := errors.Join(a.Close(), b.Close()); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzRow puts whatever there is into a column of a record. Load gives a record
// or an error, and the credential can be renewed.
func FuzzRow(f *testing.F) {
	path := newPath(f)
	s := open(f, path, nil)
	// The same table without types, as a hand might make it.
	other := raw(f, path)
	run(f, other, "DROP TABLE zhongkong_credentials")
	run(f, other, `CREATE TABLE zhongkong_credentials (name PRIMARY KEY, value, seal_key, end_us, life_us, fence, notes,
		top, attempt, lease_end_us, begun_us, unfinished_us, day, fetches)`)
	run(f, other, "PRAGMA synchronous = OFF")
	columns := []string{
		"value", "seal_key", "end_us", "life_us", "fence", "notes",
		"top", "attempt", "lease_end_us", "begun_us", "unfinished_us", "day", "fetches",
	}
	for i := range columns {
		for kind := range uint8(5) {
			f.Add(uint8(i), kind, int64(-1), 1e300, []byte("access_token \xff\x00 令牌"))
		}
		f.Add(uint8(i), uint8(1), int64(1)<<62, 0.0, []byte{})
		f.Add(uint8(i), uint8(1), int64(1), 0.0, []byte{})
	}
	f.Fuzz(func(t *testing.T, column, kind uint8, n int64, x float64, text []byte) {
		now := time.Now().UnixMicro()
		run(t, other, "INSERT OR REPLACE INTO zhongkong_credentials VALUES (?, 'value', '', ?, 7200000000, ?, x'', ?, '', 0, 0, 0, 20000, 3)",
			key.String(), now+3600_000_000, now, now)
		value := []any{nil, n, x, string(text), text}[kind%5]
		name := columns[int(column)%len(columns)]
		run(t, other, "UPDATE zhongkong_credentials SET "+name+" = ?", value)

		record, err := s.Load(t.Context(), key)
		if err == nil && (record.Life < 0 || record.Fence < 0 || !record.End.IsZero() && record.End.UnixMicro() <= 0 || record.End.Year() > 9999) {
			t.Fatalf("Load believes %+v", record)
		}
		// Only a lease that somebody may hold is in the way; here nobody does.
		lease, err := s.Acquire(t.Context(), key, "attempt "+fmt.Sprint(time.Now().UnixNano()), time.Millisecond)
		if err != nil {
			t.Fatalf("with %T in %s: Acquire: %v", value, name, err)
		}
		if err := s.Save(t.Context(), lease, zhongkong.Record{Value: "renewed"}); err != nil {
			t.Fatalf("with %T in %s: Save: %v", value, name, err)
		}
		mustLoad(t, s, "renewed")
	})
}
