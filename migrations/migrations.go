// Package migrations holds the tables of the SQL stores as numbered SQL files,
// one folder per dialect, in the form that goose applies. The files travel
// inside the program, so a binary never meets a schema it does not know how to
// make; anyone who prefers goose's own command or another tool finds plain SQL.
//
// A file that was released is never edited: a change is the next number.
package migrations

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Table is where goose writes down which files a database has seen. It is not
// goose's default, because a database may also hold the tables of an
// application that uses goose itself.
const Table = "zhongkong_schema"

// The dialects, each for the store of that name.
const (
	SQLite   = "sqlite"   // store/sqlite
	Postgres = "postgres" // store/postgres
	MySQL    = "mysql"    // store/mysql; for MariaDB too
)

// FS holds every file, as dialect/number_name.sql.
//
//go:embed */*.sql
var FS embed.FS

// Of returns the files of one dialect and the number of the newest, which is the
// version of a database that has seen them all.
func Of(dialect string) (files fs.FS, newest int64, err error) {
	names, err := fs.Glob(FS, path.Join(dialect, "*.sql"))
	if err != nil || len(names) == 0 {
		return nil, 0, fmt.Errorf("migrations: there are none for the dialect %q", dialect)
	}
	for _, name := range names {
		number, _, _ := strings.Cut(path.Base(name), "_")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 1 {
			return nil, 0, fmt.Errorf("migrations: %s does not begin with a number and '_'", name)
		}
		newest = max(newest, n)
	}
	files, err = fs.Sub(FS, dialect)
	return files, newest, err
}
