package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
)

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
			log := new(logtest.Log)
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
						err := patiently(t, "Load", func() error {
							_, err := s.Load(t.Context(), key)
							return err
						})
						if !errors.Is(err, custody.ErrNotFound) {
							t.Errorf("Load: got %v, want ErrNotFound", err)
						}
					})
				}
			}
			both.Wait()
			mustSetAsideOnce(t, log, path+".corrupt-1")
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
			mustSetAsideOnce(t, log, path+".corrupt-1")
		})
	}
}

// mustSetAsideOnce wants one line at Warn of that, and none but of a database that a
// busy machine takes long to make.
func mustSetAsideOnce(t *testing.T, log *logtest.Log, aside string) {
	t.Helper()
	lines := slices.DeleteFunc(log.Lines(slog.LevelWarn), func(line string) bool {
		return strings.Contains(line, "every call tries again")
	})
	if len(lines) != 1 || !strings.Contains(lines[0], "set aside") || !strings.Contains(lines[0], aside) {
		t.Fatalf("lines at Warn: %q, want one that says what was set aside as %s", lines, aside)
	}
}

// TestSetAsideOnce: who comes second finds that the file is another one already.
func TestSetAsideOnce(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	log := new(logtest.Log)
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
	log.MustWarnOnce(t, path+".corrupt-1")
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
		log := new(logtest.Log)
		s = open(t, path, log)
		log.MustWarnOnce(t, fmt.Sprintf("%s.corrupt-%d", path, n))
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
	log := new(logtest.Log)
	s := open(t, path, log)
	lease := save(t, s, "lost")
	run(t, raw(t, path), "UPDATE zhongkong_credentials SET end_us = -1, top = ?", lease.Fence+1_000_000_000_000)
	mustLoad(t, s, "")
	log.MustWarnOnce(t, "end_us", key.String())
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
			for _, table := range []string{
				"zhongkong_credentials", "zhongkong_journal", "zhongkong_messages", "zhongkong_documents",
				"zhongkong_uses", "zhongkong_queue", "zhongkong_oldest", "zhongkong_schema",
			} {
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
		patience.InTime(t, "Load from a letter", openTime/2, func() time.Duration {
			start := time.Now()
			_, err := s.Load(t.Context(), key)
			took := time.Since(start)
			if err == nil || !strings.Contains(err.Error(), "is not a SQLite database") {
				t.Fatalf("Load: got %v, want the reason", err)
			}
			return took
		})
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	patience.Until(t, "a new database", func() bool {
		_, err := s.Load(t.Context(), key)
		return errors.Is(err, custody.ErrNotFound)
	})
	if _, err := os.Stat(path + ".corrupt-1"); err == nil {
		t.Error("a file that never was a database was set aside")
	}
}
