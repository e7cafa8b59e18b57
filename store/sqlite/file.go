package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"

	"github.com/zhongkong-go/zhongkong/migrations"
)

const (
	// openTime is how long a call waits for a database that is not open yet.
	openTime = time.Second

	// openPace is the least time between two attempts to open it.
	openPace = 200 * time.Millisecond

	// connections of a handle: one writes, the others read.
	connections = 4
)

// file is an opened database.
type file struct {
	db   *sqlx.DB
	name string      // what the Store was opened with
	path string      // the same with links followed
	info os.FileInfo // tells whether name still names this file

	using  sync.Mutex // held while a transaction is carried out; guards what follows
	writes *writer    // nil until something is written
	gone   bool       // closed
}

// close lets the transaction that is under way end.
func (f *file) close() error {
	f.using.Lock()
	if f.writes != nil {
		f.writes.close()
	}
	f.writes, f.gone = nil, true
	f.using.Unlock()
	return f.db.Close()
}

// current reports whether a new connection would meet the same file.
func (f *file) current() bool {
	info, err := os.Stat(f.name)
	return err == nil && os.SameFile(info, f.info)
}

// opened returns the open database, and opens it when it is not or when its
// path names another file by now. A patient caller tries again for openTime.
func (s *Store) opened(ctx context.Context, patient bool) (*file, error) {
	if f := s.present(); f != nil {
		return f, nil
	}
	short, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	if err := s.take(short, s.opening); err != nil {
		return nil, s.unopened(ctx, err)
	}
	defer func() { <-s.opening }()
	for {
		if f := s.present(); f != nil {
			return f, nil
		}
		s.mu.Lock()
		failure, pause := s.failure, time.Until(s.retry)
		s.mu.Unlock()
		if failure != nil && pause > 0 {
			if !passes(failure) {
				return nil, failure
			}
			if err := s.sleep(short, pause); err != nil {
				return nil, s.unopened(ctx, err)
			}
		}
		f, err := s.open(short)
		if errors.Is(err, errClosed) {
			return nil, err
		}
		s.note(f, err, patient)
		switch {
		case err == nil:
			return f, nil
		case short.Err() != nil:
			return nil, s.unopened(ctx, err)
		case !patient || !passes(err):
			return nil, err
		}
	}
}

// note keeps the outcome of an attempt to open the database, for the calls that
// come next and, once for each outage, for the reader of the log.
func (s *Store) note(f *file, err error, running bool) {
	s.mu.Lock()
	s.file, s.failure, s.retry = f, err, time.Now().Add(openPace)
	before := s.warned
	s.warned = err != nil && (before || running || passes(err))
	after := s.warned
	s.mu.Unlock()
	switch {
	case before && !after:
		s.log.Info("the database is open now", slog.String("path", s.path))
	case after && !before:
		s.log.Warn("the database cannot be opened; every call tries again", slog.String("log_code", "sqlite_not_open"),
			slog.String("path", s.path), slog.Any("cause", err))
	}
}

// unopened is the error of a call that waited for the database in vain.
func (s *Store) unopened(ctx context.Context, err error) error {
	if errors.Is(err, errClosed) {
		return err
	}
	s.mu.Lock()
	cause := s.failure
	s.mu.Unlock()
	if cause == nil {
		cause = isLocked(s.path, nil)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return cause
}

// present returns the database when it is open. Whether it is still the one at its path
// is looked at when it was used.
func (s *Store) present() *file {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.file
}

// retire closes a database that is no longer the one to use. Calls that still
// use it end first: the pool closes a connection when it comes back.
func (s *Store) retire(f *file) {
	s.mu.Lock()
	mine := s.file == f
	if mine {
		s.file = nil
	}
	s.mu.Unlock()
	if mine {
		_ = f.close()
	}
}

func (s *Store) retired(f *file) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.file != f
}

// open opens the file at s.path, makes it when it is not there, brings its
// schema up to date and sets it aside when it is damaged. What is in the way
// of a lock it waits for until ctx ends.
func (s *Store) open(ctx context.Context) (*file, error) {
	for {
		path, err := resolve(s.path)
		if err != nil {
			return nil, explain(path, err)
		}
		f, err := s.openPath(ctx, path)
		switch c := codeOf(err); {
		case err == nil && f.current():
			return f, nil
		case c == corrupt, c == notADB && wasDatabase(path), errors.Is(err, errHeader):
			err = s.setAside(ctx, f, err)
		}
		if f != nil {
			_ = f.close()
		}
		if err != nil {
			return nil, explain(path, err)
		}
		if ctx.Err() != nil {
			return nil, explain(path, fs.ErrNotExist) // removed again and again
		}
	}
}

// openPath returns the file together with an error of its content.
func (s *Store) openPath(ctx context.Context, path string) (*file, error) {
	if err := s.create(ctx, path); err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, isFolder(path)
	case !info.Mode().IsRegular():
		return nil, &fault{path: path, what: "is not an ordinary file", remedy: "give the path of one"}
	}
	db, err := sqlx.Open(driver, dsn(path, parameters))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	f := &file{db: db, name: s.path, path: path, info: info}
	return f, s.prepare(ctx, f)
}

// create makes a missing file, under the sidecar's lock: a process that sets a
// damaged one aside moves it and its log one after the other, and SQLite deletes a log
// that it finds next to an empty database.
func (s *Store) create(ctx context.Context, path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := s.persist(ctx, func() error {
		return locked(ctx, path, func() error { return create(path) })
	})
	if err == nil || codeOf(err) == busy || errors.Is(err, errClosed) || ctx.Err() != nil {
		return err
	}
	return create(path) // it says better what is in the way
}

// prepare brings the schema up to date. It looks first without the sidecar's
// lock: on most days there is nothing to do, and of many first starts at once
// one does it for all.
func (s *Store) prepare(ctx context.Context, f *file) error {
	return s.persist(ctx, func() error {
		ready, err := f.ready(ctx)
		if ready || err != nil {
			return err
		}
		if s.noMigrate {
			return &fault{
				path: f.path, what: "has not the schema that this program needs, and may not be migrated at start",
				remedy: "run `zhongkong migrate up` with this store's URL once, or let programs migrate at start",
			}
		}
		return locked(ctx, f.path, func() error {
			ready, err := f.ready(ctx)
			if ready || err != nil {
				return err
			}
			return f.migrate(ctx)
		})
	})
}

// errHeader: a statement that every database understands was not understood,
// because the header speaks of a format that never was.
var errHeader = errors.New("the header is damaged")

// set is the tables of a file.
var set = migrations.Set{Dialect: migrations.SQLite, Prefix: migrations.Prefix}

// ready reports whether the database can be used as it is. It writes nothing.
func (f *file) ready(ctx context.Context) (bool, error) {
	ctx = context.WithoutCancel(ctx)
	_, newest, err := migrations.Of(migrations.SQLite)
	if err != nil {
		return false, err
	}
	version, err := set.Version(ctx, f.db.DB)
	if err != nil {
		if codeOf(err) == schema {
			err = fmt.Errorf("%w: %w", errHeader, err)
		}
		return false, err
	}
	var mode string
	if tooNew, err := set.TooNew(ctx, f.db.DB, version); err != nil {
		return false, err
	} else if tooNew {
		return false, &fault{
			path: f.path, what: fmt.Sprintf("has the schema version %d, and this program knows %d", version, newest),
			remedy: "a newer release wrote it: update this program, or give it another path",
		}
	}
	if err := f.db.GetContext(ctx, &mode, `PRAGMA journal_mode`); err != nil {
		return false, err
	}
	if version < newest || mode != "wal" {
		return false, nil
	}
	// A file that may not be written opens all the same, and SQLite even begins a
	// transaction on it. A statement that would write, and has nothing to, finds
	// that out. It comes last, so that many first starts at once do not hinder the
	// one that makes the schema.
	_, err = f.db.ExecContext(ctx, `DELETE FROM `+migrations.Table+` WHERE false`)
	if err != nil && codeOf(err) != busy {
		return false, err
	}
	return true, nil
}

// migrate runs under the sidecar's lock, because goose has none for SQLite and
// the change to write-ahead logging suffers no company. Logging is a property of
// the file, so it is set here, once, and not by each connection.
func (f *file) migrate(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	files, _, err := migrations.Of(migrations.SQLite)
	if err != nil {
		return err
	}
	if _, err := f.db.ExecContext(ctx, `PRAGMA journal_mode = WAL`); err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, f.db.DB, files,
		goose.WithTableName(migrations.Table),
		goose.WithDisableGlobalRegistry(true),
		goose.WithSlog(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// locked runs f while this process alone holds the lock of the sidecar next to
// path. The lock is SQLite's own on another file, which works wherever SQLite
// does and ends with its process, however that ends. A lock that is held is an
// error with the code busy.
func locked(ctx context.Context, path string, f func() error) error {
	side := path + lockSuffix
	if err := create(side); err != nil {
		return explain(side, err)
	}
	db, err := sqlx.Open(driver, dsn(side, exclusive))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	tx, err := db.BeginTxx(context.WithoutCancel(ctx), nil)
	if codeOf(err) == busy {
		return err
	}
	if err != nil {
		return explain(side, err)
	}
	defer func() { _ = tx.Rollback() }()
	return f()
}

// setAside renames a damaged database and what belongs to it, so that the next
// look at its path finds nothing and makes a new one. Under the sidecar's lock
// it looks again first: of several processes that meet the damage one does it.
func (s *Store) setAside(ctx context.Context, f *file, cause error) error {
	return s.persist(ctx, func() error {
		return locked(ctx, f.path, func() error {
			if !f.current() {
				return nil
			}
			if runtime.GOOS == "windows" { // where an open file keeps its name
				_ = f.close()
			}
			aside := freeName(f.path)
			for _, suffix := range suffixes {
				err := os.Rename(f.path+suffix, aside+suffix)
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					return &fault{
						path: f.path + suffix, what: "is damaged and cannot be set aside", passes: true, err: err,
						remedy: "stop the programs that use it and move it away",
					}
				}
			}
			s.log.Warn("the database was damaged and is set aside; a new one takes its place and tokens are fetched anew",
				slog.String("log_code", "sqlite_set_aside"),
				slog.String("path", f.path), slog.String("aside", aside), slog.Any("cause", cause))
			return nil
		})
	})
}

// freeName returns the first path.corrupt-N of which nothing exists.
func freeName(path string) string {
next:
	for n := 1; ; n++ {
		name := path + ".corrupt-" + strconv.Itoa(n)
		for _, suffix := range suffixes {
			if _, err := os.Lstat(name + suffix); err == nil {
				continue next
			}
		}
		return name
	}
}

// persist repeats try while a lock is in its way, until ctx ends.
func (s *Store) persist(ctx context.Context, try func() error) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		err := try()
		if codeOf(err) != busy {
			return err
		}
		if stop := s.sleep(ctx, pause+rand.N(pause)); errors.Is(stop, errClosed) {
			return stop
		} else if stop != nil {
			return err
		}
	}
}

// take waits for the one place in slot.
func (s *Store) take(ctx context.Context, slot chan struct{}) error {
	select {
	case slot <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.done:
		return errClosed
	}
}

func (s *Store) sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.done:
		return errClosed
	}
}
