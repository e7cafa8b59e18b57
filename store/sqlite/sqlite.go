// Package sqlite keeps credentials in one SQLite file, which any number of
// processes of one machine share:
//
//	store, err := sqlite.Open(ctx, "zhongkong.db", sqlite.Options{Logger: logger})
//	if err != nil {
//		return err // the configuration is wrong; the text says what to change
//	}
//	defer store.Close()
//
// It is the store to begin with: nothing has to run next to the program, and a
// restart costs no fetch. The file has to lie on a disk of this machine; its
// write-ahead log does not work over a network file system, so programs on
// several machines share a server's store instead.
//
// # Files
//
// Next to zhongkong.db are zhongkong.db-wal and zhongkong.db-shm, which belong
// to it (a backup made by copying takes all three, or none while a program
// runs), and zhongkong.db.lock, an empty file under whose lock the database is
// made, migrated and set aside. All are created with mode 0600; files that
// exist keep their mode.
//
// # When the file is not well
//
// A missing folder is made when its parent is there. A database that is locked, or that
// has no such folder, does not stop a program: [Open] returns the store, says so once at Warn, and every call tries
// again. A file that is found damaged is set aside as zhongkong.db.corrupt-1, -2
// and so on, and an empty one takes its place: what is lost is a token, which is
// fetched anew, and the journal. A file that was removed or replaced under a
// running program is opened anew before the next call.
//
// # Clock
//
// The store's clock is the process's wall clock. A lease is measured on the
// monotonic clock too, so setting the wall clock back makes none longer.
//
// # With and without cgo
//
// A program that is built with cgo has SQLite in C (mattn/go-sqlite3), one that is built
// without has the same translated into Go (modernc.org/sqlite). Programs of both kinds
// share a file. On the few platforms that have neither, Open fails and says so.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store"
)

// Options of [Open]. The zero value is good.
type Options struct {
	// Logger receives what somebody should know: that the database cannot be
	// opened yet, that a damaged one was set aside. Nil discards.
	Logger *slog.Logger

	// NoMigrate leaves the schema alone: Open fails when it is not the one that
	// this program needs. [Migrate] makes it.
	NoMigrate bool
}

// Store implements [store.Store]. Make one with [Open].
type Store struct {
	path string // absolute
	log  *slog.Logger

	noMigrate bool // Options.NoMigrate

	now  func() time.Time     // the wall clock; tests step it
	mono func() time.Duration // the monotonic clock; tests step it

	calls   sync.WaitGroup
	done    chan struct{} // closed by Close: ends every wait
	opening chan struct{} // a place for one: who opens the file
	writing chan struct{} // a place for one: who writes

	mu      sync.Mutex // guards what follows; never held while waiting
	closed  bool
	file    *file        // nil while the database is not open
	failure error        // of the last attempt to open it; nil when that worked
	retry   time.Time    // when to try again after failure
	warned  bool         // the failure was said
	waiting []*operation // to be carried out, in the order of arrival
	sights  map[custody.Key]sight
	lines   map[string]int // written by this process to each key's journal

	claims atomic.Uint64 // of new messages by this process
}

var _ store.Store = (*Store)(nil)

// errClosed is what calls after Close get.
var errClosed = errors.New("zhongkong: the SQLite store is closed")

// Open opens the database at path and makes it when it does not exist. It is an
// error when the configuration cannot work: an empty path, a folder in the
// file's place, a file that is no SQLite database, a schema newer than this
// program, no permission. When the database cannot be opened now but may be
// later (it is locked, its folder and the parent of that are missing), Open waits a second at most for
// the lock, returns the store all the same, and the store keeps trying.
func Open(ctx context.Context, path string, options Options) (*Store, error) {
	s, err := newStore(path, options)
	if err != nil {
		return nil, err
	}
	s.makeFolder()
	if _, err := s.opened(ctx, false); err != nil {
		if ctx.Err() != nil || !passes(err) {
			_ = s.Close()
			return nil, err
		}
		return s, nil
	}
	s.warnOfReaders()
	return s, nil
}

// warnOfReaders says that everybody on this machine may read or write a database that is
// there already. Its owner may have meant that, so nothing is changed.
func (s *Store) warnOfReaders() {
	info, err := os.Stat(s.path)
	if mode := os.FileMode(0o007); err == nil && info.Mode().Perm()&mode != 0 && runtime.GOOS != "windows" {
		s.log.Warn("other users of this machine may read or write the database, which has the tokens in it: chmod o-rwx it, its -wal and its -shm",
			"log_code", "sqlite_readable_by_others", "path", s.path, "mode", fmt.Sprintf("%04o", info.Mode().Perm()))
	}
}

// newStore returns a store that has not opened anything yet.
func newStore(path string, options Options) (*Store, error) {
	if errDriver != nil {
		return nil, errDriver
	}
	path, err := absolute(path)
	if err != nil {
		return nil, err
	}
	log := options.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	start := time.Now()
	return &Store{
		path: path,
		log:  log,

		noMigrate: options.NoMigrate,

		now:     time.Now,
		mono:    func() time.Duration { return time.Since(start) },
		done:    make(chan struct{}),
		opening: make(chan struct{}, 1),
		writing: make(chan struct{}, 1),
		sights:  make(map[custody.Key]sight),
		lines:   make(map[string]int),
	}, nil
}

// Close implements [custody.Store]. It waits for the calls that are under way.
func (s *Store) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if first {
		close(s.done)
	}
	s.calls.Wait()
	s.mu.Lock()
	f := s.file
	s.file = nil
	s.mu.Unlock()
	if f != nil {
		return f.close()
	}
	return nil
}

// enter counts a call in, for Close to wait for.
func (s *Store) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	s.calls.Add(1)
	return nil
}
