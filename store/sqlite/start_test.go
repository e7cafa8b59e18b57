package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/migrations"
)

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
			err = patiently(t, "Acquire", func() error {
				_, err := s.Acquire(t.Context(), key, fmt.Sprint(i), time.Hour)
				return err
			})
			if _, ok := errors.AsType[*custody.HeldError](err); ok {
				return
			}
			winners.Store(i, true)
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
	if _, err := Migrate(t.Context(), letter, Options{}, migrations.Look); err == nil ||
		!strings.Contains(err.Error(), "is not a SQLite database") {
		t.Fatalf("a look at a letter: %v", err)
	}
}

// TestLockedAtStart: a database that somebody holds stops no start, and is used
// as soon as it is free.
func TestLockedAtStart(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	log := new(logtest.Log)
	other := raw(t, path)
	run(t, other, "CREATE TABLE theirs (x)")
	run(t, other, "BEGIN EXCLUSIVE")

	s := open(t, path, log)
	log.MustWarnOnce(t, "locked", "end it", path)
	patience.InTime(t, "Load with a ctx of 300ms", 1300*time.Millisecond, func() time.Duration {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := s.Load(ctx, key)
		took := time.Since(start)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "locked") {
			t.Errorf("Load: got %v, want an error that is DeadlineExceeded and says what is locked", err)
		}
		return took
	})
	run(t, other, "ROLLBACK")
	save(t, s, "value")
	mustLoad(t, s, "value")
	log.MustWarnOnce(t)
}

// TestMissingFolder: the same for a folder that comes later.
func TestMissingFolder(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "parent", "later")
	var log *logtest.Log
	var s *Store
	patience.InTime(t, "Open where the folder is missing", openTime/2, func() time.Duration {
		log = new(logtest.Log)
		start := time.Now()
		s = open(t, filepath.Join(folder, "zhongkong.db"), log)
		return time.Since(start)
	})
	log.MustWarnOnce(t, "create "+folder)
	_, err := s.Load(t.Context(), key)
	if err == nil || !strings.Contains(err.Error(), "create "+folder) {
		t.Fatalf("Load: got %v, want an error with the remedy", err)
	}
	made := make(chan error)
	go func() {
		patience.Wait(func() bool { return len(s.opening) > 0 }) // a call waits
		made <- os.MkdirAll(folder, 0o700)
	}()
	save(t, s, "value")
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	mustLoad(t, s, "value")
	log.MustWarnOnce(t)
}

// TestFolderIsMade: the last folder of the path alone, which only its owner enters.
func TestFolderIsMade(t *testing.T) {
	t.Parallel()
	log := new(logtest.Log)
	folder := filepath.Join(t.TempDir(), "data")
	save(t, open(t, filepath.Join(folder, "zhongkong.db"), log), "value")
	info, err := os.Stat(folder)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 && runtime.GOOS != "windows" {
		t.Errorf("the folder has the mode %v", info.Mode())
	}
	if lines := log.Lines(slog.LevelWarn); len(lines) > 0 || !strings.Contains(log.String(), "is made") {
		t.Errorf("the log: %s", log)
	}
	folder = filepath.Join(t.TempDir(), "data")
	if _, err := Migrate(t.Context(), filepath.Join(folder, "zhongkong.db"), Options{}, migrations.Look); err != nil || exists(folder) {
		t.Errorf("a look: %v, and the folder exists: %t", err, exists(folder))
	}
	if _, err := Migrate(t.Context(), filepath.Join(folder, "zhongkong.db"), Options{}, migrations.Up); err != nil {
		t.Error(err)
	}
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
		{"Tilde", "~/zhongkong.db", "which only a shell replaces"},
		{"NotADatabase", at("letter.txt"), "is not a SQLite database: give another path"},
		{"Short", at("short.txt"), "is not a SQLite database: give another path"},
		{"UnderAFile", at("letter.txt/zhongkong.db"), "give another path"},
		{"NewerSchema", at("newer.db"), "has the schema version 4711, and this program knows 5: a newer release wrote it: update"},
		{"Device", os.DevNull, "not an ordinary file"},
		{"LongName", at(strings.Repeat("x", 300)), "shorter"},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := new(logtest.Log)
			s, err := Open(t.Context(), c.path, Options{Logger: log.Logger(slog.LevelInfo)})
			if err == nil {
				_ = s.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "SQLite database") {
				t.Errorf("the error does not say %q: %v", c.says, err)
			}
			if lines := log.Lines(slog.LevelWarn); len(lines) > 0 {
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

// TestNewerThatOnlyAdded: a newer program whose tables this one may use noted that.
func TestNewerThatOnlyAdded(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, nil)
	save(t, s, "value")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	other := raw(t, path)
	run(t, other, "INSERT INTO zhongkong_schema (version_id, is_applied) VALUES (4711, 1)")
	for oldest, opens := range map[int]bool{4711: false, 5: true} {
		run(t, other, fmt.Sprintf("INSERT OR REPLACE INTO zhongkong_oldest (version, oldest) VALUES (4711, %d)", oldest))
		s, err := Open(t.Context(), path, Options{})
		if (err == nil) != opens {
			t.Errorf("opening tables for programs from %d on: %v", oldest, err)
		}
		if err == nil {
			mustLoad(t, s, "value")
			_ = s.Close()
		}
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
