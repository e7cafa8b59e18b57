package migrations

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
)

// Prefix begins the names of the tables, unless a deployment chooses another so
// that it can share a database with others.
const Prefix = "zhongkong_"

// Set is the tables of one deployment.
type Set struct {
	Dialect string
	Prefix  string // of every name; see CheckPrefix
}

// CheckPrefix returns an error unless prefix can begin the name of a table: a
// lower-case letter, then lower-case letters, digits and '_', 32 characters at
// most.
func CheckPrefix(prefix string) error {
	if !regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`).MatchString(prefix) {
		return fmt.Errorf("the prefix %q cannot begin a table's name: use at most 32 of a-z, 0-9 and '_', a letter first", prefix)
	}
	return nil
}

// Table is where goose writes down what was applied.
func (s Set) Table() string { return s.Prefix + strings.TrimPrefix(Table, Prefix) }

// Step is a migration, and when it was applied.
type Step struct {
	Number  int64
	Name    string    // the file's
	Applied time.Time // zero: it was not
}

// Status says how far a database is.
type Status struct {
	Version int64 // of the database; 0: it has no tables
	Newest  int64 // that this program knows
	Steps   []Step
}

// Action is what to do with a database.
type Action string

// The actions.
const (
	Up   Action = "up"     // apply what is missing
	Down Action = "down"   // undo the last step, with the data in it
	Look Action = "status" // change nothing
)

// Run carries out action and returns where the database is then. The caller
// keeps others from doing so at the same time.
func (s Set) Run(ctx context.Context, db *sql.DB, action Action) (Status, error) {
	files, newest, err := Of(s.Dialect)
	if err != nil {
		return Status{}, err
	}
	version, err := s.Version(ctx, db)
	if err != nil {
		return Status{}, err
	}
	if version > newest && action != Look {
		return Status{}, &NewerError{Version: version, Newest: newest}
	}
	if version == 0 && action != Up { // goose would make its table
		return s.None()
	}
	provider, err := goose.NewProvider(dialects[s.Dialect].goose, db, renamed{files, s.Prefix},
		goose.WithTableName(s.Table()),
		goose.WithDisableGlobalRegistry(true),
		goose.WithSlog(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		return Status{}, err
	}
	switch action {
	case Up:
		_, err = provider.Up(ctx)
	case Down:
		_, err = provider.Down(ctx)
	case Look:
	default:
		err = fmt.Errorf("migrations: there is no action %q; use %s, %s or %s", action, Up, Down, Look)
	}
	if err != nil {
		return Status{}, err
	}
	all, err := provider.Status(ctx)
	if err != nil {
		return Status{}, err
	}
	status := Status{Newest: newest}
	for _, one := range all {
		step := Step{Number: one.Source.Version, Name: path.Base(one.Source.Path)}
		if one.State == goose.StateApplied {
			step.Applied = one.AppliedAt
		}
		status.Steps = append(status.Steps, step)
	}
	status.Version, err = s.Version(ctx, db)
	return status, err
}

// None is the status of a database that has nothing yet.
func (s Set) None() (Status, error) {
	files, newest, err := Of(s.Dialect)
	if err != nil {
		return Status{}, err
	}
	status := Status{Newest: newest}
	names, err := fs.Glob(files, "*.sql")
	for _, name := range names {
		step := Step{Name: name}
		if _, err := fmt.Sscanf(name, "%d_", &step.Number); err != nil {
			return Status{}, err
		}
		status.Steps = append(status.Steps, step)
	}
	return status, err
}

// NewerError says that a newer program made the tables.
type NewerError struct {
	Version int64 // of the database
	Newest  int64 // that this program knows
}

// Error says which program has to be updated.
func (e *NewerError) Error() string {
	return fmt.Sprintf("the tables have the schema version %d, and this program knows %d: a newer release made them: update this program", e.Version, e.Newest)
}

// Version is the number of the last migration that db has seen, 0 when it has
// seen none. It only looks.
func (s Set) Version(ctx context.Context, db *sql.DB) (int64, error) {
	dialect, ok := dialects[s.Dialect]
	if !ok {
		return 0, fmt.Errorf("migrations: there are none for the dialect %q", s.Dialect)
	}
	var known bool
	if err := db.QueryRowContext(ctx, dialect.known, s.Table()).Scan(&known); err != nil || !known {
		return 0, err
	}
	var version int64
	err := db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM `+s.Table()+` WHERE is_applied`).Scan(&version)
	return version, err
}

// TooNew reports whether a database of a version must not be used by this program: a
// newer one made its tables, and has not noted there that this one may run on them.
func (s Set) TooNew(ctx context.Context, db *sql.DB, version int64) (bool, error) {
	_, newest, err := Of(s.Dialect)
	if err != nil || version <= newest {
		return false, err
	}
	table := s.Prefix + "oldest"
	var known bool
	if err := db.QueryRowContext(ctx, dialects[s.Dialect].known, table).Scan(&known); err != nil || !known {
		return true, err
	}
	var noted, oldest int64
	err = db.QueryRowContext(ctx, `SELECT coalesce(max(version), 0), coalesce(max(oldest), 0) FROM `+table).Scan(&noted, &oldest)
	return noted < version || oldest > newest, err
}

// dialects: known tells whether there is a table of a name.
var dialects = map[string]struct {
	goose goose.Dialect
	known string
}{
	SQLite:   {goose.DialectSQLite3, `SELECT count(*) > 0 FROM sqlite_schema WHERE type = 'table' AND name = ?`},
	Postgres: {goose.DialectPostgres, `SELECT to_regclass($1::text) IS NOT NULL`},
	MySQL:    {goose.DialectMySQL, `SELECT count(*) > 0 FROM information_schema.tables WHERE table_schema = database() AND table_name = ?`},
}

// renamed is files with another prefix in them.
type renamed struct {
	fs.FS
	prefix string
}

func (r renamed) Open(name string) (fs.File, error) {
	file, err := r.FS.Open(name)
	if err != nil || r.prefix == Prefix || !strings.HasSuffix(name, ".sql") {
		return file, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	text = bytes.ReplaceAll(text, []byte(Prefix), []byte(r.prefix))
	return &renamedFile{bytes.NewReader(text), renamedInfo{info, int64(len(text))}}, nil
}

type renamedFile struct {
	*bytes.Reader
	info renamedInfo
}

func (f *renamedFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *renamedFile) Close() error               { return nil }

type renamedInfo struct {
	fs.FileInfo
	size int64
}

func (i renamedInfo) Size() int64 { return i.size }
