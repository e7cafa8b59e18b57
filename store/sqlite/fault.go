package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// fault is an error for the person who runs the program: which file, what is
// the matter, what to do.
type fault struct {
	path, what, remedy string

	passes bool // it may be over without a change of the configuration
	reason Reason
	err    error
}

func (f *fault) Error() string { return "zhongkong: " + f.Plain() }

// Plain is Error without the name in front, for people.
func (f *fault) Plain() string {
	s := fmt.Sprintf("the SQLite database %s %s: %s", f.path, f.what, f.remedy)
	if f.err != nil {
		s += " (" + f.err.Error() + ")"
	}
	return s
}

func (f *fault) Unwrap() error { return f.err }

// passes reports whether a failure to open is worth another try.
func passes(err error) bool {
	var f *fault
	return errors.As(err, &f) && f.passes
}

// code is what this package tells apart of SQLite's result codes.
type code int

const (
	foreign      code = iota // not of SQLite
	other                    // of no consequence here
	busy                     // somebody holds a lock
	corrupt                  // SQLITE_CORRUPT
	notADB                   // SQLITE_NOTADB
	moved                    // the file under the handle is not the one at its path
	noPermission             // the file or its folder may not be written
	cantOpen                 // SQLITE_CANTOPEN, whatever the cause, see denied
	full                     // the disk
	schema                   // SQLITE_ERROR: of our fixed statements, only the schema can be wrong
)

func isFolder(path string) error {
	return &fault{
		path: path, what: "is a folder",
		remedy: "give the path of a file, such as " + filepath.Join(path, "zhongkong.db"),
	}
}

func isLocked(path string, err error) error {
	return &fault{
		path: path, what: "is locked by another program", passes: true, reason: Locked, err: err,
		remedy: "let that program end its transaction, or end it; the database is then used by itself",
	}
}

// isBusy is for a call that could not even begin to wait for the lock.
func isBusy(path string, err error) error {
	if errors.Is(err, errClosed) {
		return err
	}
	return &fault{
		path: path, what: "has other calls of this program waiting for it", passes: true, reason: Locked, err: err,
		remedy: "try again; if it stays so, another program holds its lock",
	}
}

// explain says what an error of opening means for the person who has to act.
func explain(path string, err error) error {
	var done *fault
	if err == nil || errors.As(err, &done) {
		return err
	}
	permission := &fault{
		path: path, what: "may not be read and written by this program", reason: NoPermission, err: err,
		remedy: fmt.Sprintf("give the user it runs as (uid %d) that right to the file and to its folder, where SQLite keeps further files", os.Getuid()),
	}
	c := codeOf(err)
	switch {
	case errors.Is(err, fs.ErrNotExist), c == cantOpen && !exists(filepath.Dir(path)):
		if folder := filepath.Dir(path); !exists(folder) {
			return &fault{
				path: path, what: "has no folder", passes: true, err: err,
				remedy: "create " + folder + "; the database is then made there by itself",
			}
		}
		return &fault{path: path, what: "was removed while it was opened", passes: true, err: err, remedy: "leave it in place"}
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), c == noPermission, c == cantOpen && denied(path):
		return permission
	case errors.Is(err, syscall.ENOTDIR):
		return &fault{path: path, what: "cannot exist, because a part of its path is not a folder", err: err, remedy: "give another path"}
	case errors.Is(err, syscall.ENAMETOOLONG):
		return &fault{path: path, what: "has a name that is too long", err: err, remedy: "give a shorter path; five more characters are needed for the files next to it"}
	case c == busy:
		return isLocked(path, err)
	case c == notADB:
		return &fault{
			path: path, what: "is not a SQLite database", reason: NotDatabase, err: err,
			remedy: "give another path, or move that file away",
		}
	case c == full, errors.Is(err, syscall.ENOSPC):
		return &fault{path: path, what: "has no room left on its disk", passes: true, reason: Full, err: err, remedy: "make some"}
	default:
		return &fault{
			path:   path,
			what:   "cannot be used",
			passes: true,
			err:    err,
			remedy: "look at its disk and at the cause; it is tried again by itself",
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
