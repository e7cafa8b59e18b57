//go:build unix

package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
)

// roleVariable tells what the binary of these tests shall do when a test runs it
// again, as another process, in the folder of its database.
const roleVariable = "ZHONGKONG_SQLITE_TEST_ROLE"

// base is the name that newPath gives a database.
const base = "zhongkong.db"

// play is such a process's main.
func play(role string) int {
	ctx := context.Background()
	if role == "nobody" {
		const nobody = 65534
		if err := errors.Join(syscall.Setgid(nobody), syscall.Setuid(nobody)); err != nil {
			fmt.Println(err)
			return 3
		}
	}
	if role == "hold" {
		path, err := absolute(base)
		if err == nil {
			err = locked(ctx, path, func() error {
				fmt.Print("held")
				<-time.After(time.Hour) // without cgo, to wait for nothing is a fatal error
				return nil
			})
		}
		fmt.Print(err)
		return 4
	}
	s, err := Open(ctx, base, Options{})
	if err != nil {
		fmt.Println(err)
		return 2
	}
	defer func() { _ = s.Close() }()
	switch role {
	case "nobody":
		return 0
	case "documents":
		return addDocuments(ctx, s)
	}
	var lease custody.Lease
	err = insist(func() (err error) {
		lease, err = s.Acquire(ctx, key, fmt.Sprint(os.Getpid()), time.Hour)
		return err
	}, func() { fmt.Println(again) })
	if _, ok := errors.AsType[*custody.HeldError](err); ok {
		return 0
	}
	if err == nil {
		err = s.Save(ctx, lease, custody.Record{Value: lease.Attempt})
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// again is what a process prints that needs a second attempt, as it has no test to tell.
const again = "again"

// process prepares play in a folder.
func process(t *testing.T, role, folder string) *exec.Cmd {
	t.Helper()
	tier.Full(t)
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	return cmd
}

// TestProcesses: eight processes start at once on one missing file, in several
// rounds. All of them succeed, and print nothing while the schema is made.
func TestProcesses(t *testing.T) {
	tier.Full(t)
	t.Parallel()
	for round := range 4 {
		path := newPath(t)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				out, err := process(t, "start", filepath.Dir(path)).CombinedOutput()
				out, twice := bytes.CutPrefix(out, []byte(again+"\n"))
				if twice {
					patience.Again(t, "Acquire in a process")
				}
				if err != nil || len(out) > 0 {
					t.Errorf("round %d: %v: %s", round, err, out)
				}
			})
		}
		all.Wait()
		s := open(t, path, nil)
		lines, err := s.Journal(t.Context(), key, 10)
		if err != nil || len(lines) == 0 || lines[0].Event != custody.EventSave {
			t.Fatalf("round %d: Journal: %v, %v; want a Save", round, lines, err)
		}
		mustLoad(t, s, lines[0].Attempt)
	}
}

// TestModes: nobody but the owner reads what we create, and files that exist
// keep their mode.
func TestModes(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, nil)
	save(t, s, "value")
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode(); mode != 0o600 {
			t.Errorf("zhongkong.db%s has the mode %v, want -rw-------", suffix, mode)
		}
	}
	path = newPath(t)
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, 0o660)); err != nil {
		t.Fatal(err)
	}
	save(t, open(t, path, nil), "value")
	for suffix, want := range map[string]fs.FileMode{"": 0o660, "-wal": 0o660, "-shm": 0o660, ".lock": 0o600} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode(); mode != want {
			t.Errorf("zhongkong.db%s has the mode %v, want %v", suffix, mode, want)
		}
	}
}

// TestPermission: no right to the file or its folder is a wrong configuration.
// Root may do anything, so it becomes somebody else for this.
func TestPermission(t *testing.T) {
	t.Parallel()
	//nolint:usetesting // others cannot get to t.TempDir, whatever mode is given to what lies in it
	top, err := os.MkdirTemp("", "zhongkong-permission-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(top) })
	if err := os.Chmod(top, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name         string
		folder, file fs.FileMode // of the file 0: there is none
		inUse, works bool
	}{
		{"NewFile", 0o777, 0, false, true},
		{"NewFileInShutFolder", 0o555, 0, false, false},
		{"WritableFile", 0o777, 0o666, false, true},
		{"WritableFileInShutFolder", 0o555, 0o666, false, false},
		{"ReadOnlyFile", 0o777, 0o444, false, false},
		{"ReadOnlyFileInUse", 0o777, 0o444, true, false}, // which can be read, and its log too
		{"UnreadableFile", 0o777, 0o200, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := filepath.Join(top, c.name)
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(folder, base)
			if c.file != 0 {
				s := open(t, path, nil)
				save(t, s, "value")
				if !c.inUse {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
				}
				for _, name := range names(t, folder) {
					if err := os.Chmod(filepath.Join(folder, name), c.file); err != nil {
						t.Fatal(err)
					}
				}
			}
			t.Cleanup(func() { _ = os.Chmod(folder, 0o700) })
			if err := os.Chmod(folder, c.folder); err != nil {
				t.Fatal(err)
			}
			var says string
			if os.Getuid() == 0 {
				out, err := process(t, "nobody", folder).CombinedOutput()
				if says = string(out); err != nil && says == "" {
					t.Fatal(err)
				}
			} else if s, err := Open(t.Context(), path, Options{}); err != nil {
				says = err.Error()
			} else {
				_ = s.Close()
			}
			if c.works && says != "" {
				t.Errorf("Open: %s", says)
			}
			if !c.works && !strings.Contains(says, "may not be read and written by this program: give the user") {
				t.Errorf("Open: got %q, want an error with the remedy", says)
			}
		})
	}
}

// TestLinks: a link leads to one database, whoever goes which way.
func TestLinks(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	target, link := filepath.Join(folder, "there", "target.db"), filepath.Join(folder, "link.db")
	if err := errors.Join(os.Mkdir(filepath.Dir(target), 0o700), os.Symlink("there/target.db", link)); err != nil {
		t.Fatal(err)
	}
	log := new(logtest.Log)
	a := open(t, link, log)
	save(t, a, "value")
	b := open(t, target, log)
	mustLoad(t, b, "value")
	for _, suffix := range []string{"", "-wal", ".lock"} {
		if _, err := os.Lstat(target + suffix); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(link + suffix); suffix != "" && err == nil {
			t.Errorf("link.db%s exists", suffix)
		}
	}
	// Another target is another database.
	if err := errors.Join(os.Remove(link), os.Symlink("there/second.db", link)); err != nil {
		t.Fatal(err)
	}
	mustLoad(t, a, "")
	save(t, a, "second")
	mustLoad(t, b, "value")
	if lines := log.Lines(slog.LevelWarn); len(lines) > 0 {
		t.Errorf("lines at Warn: %s", lines)
	}
}

// TestLockDiesWithItsProcess: a process that is killed while it holds the
// sidecar's lock hinders nobody afterwards.
func TestLockDiesWithItsProcess(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	killedHolder(t, process(t, "hold", filepath.Dir(path)), path)
}

// killedHolder starts cmd, which holds the sidecar's lock of path, and kills it.
func killedHolder(t *testing.T, cmd *exec.Cmd, path string) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	word := make([]byte, len("held"))
	if _, err := io.ReadFull(out, word); err != nil || string(word) != "held" {
		t.Fatalf("the process says %q, %v", word, err)
	}
	log := new(logtest.Log)
	s := open(t, path, log) // the lock is held: the start is not stopped
	log.MustWarnOnce(t, "locked")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	save(t, s, "value")
	if text := log.String(); !strings.Contains(text, "the database is open now") {
		t.Errorf("it is not said that the database is open: %s", text)
	}
}

// TestOpenToOthers: a database that everybody may read is used, and told.
func TestOpenToOthers(t *testing.T) {
	for mode, want := range map[fs.FileMode]bool{0o644: true, 0o666: true, 0o660: false, 0o600: false} {
		path := filepath.Join(t.TempDir(), "zhongkong.db")
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		log := new(logtest.Log)
		s, err := Open(t.Context(), path, Options{Logger: log.Logger(slog.LevelWarn)})
		if err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
		if got := strings.Contains(log.String(), "other users of this machine"); got != want {
			t.Errorf("%o: %s", mode, log)
		}
	}
}
