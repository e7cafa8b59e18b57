//go:build cgo

package sqlite

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/mattn/go-sqlite3"
)

// driver is registered by go-sqlite3.
const driver = "sqlite3"

// errDriver is nil: SQLite is part of this program.
var errDriver error

// codeOf translates what the driver returns.
func codeOf(err error) code {
	var e sqlite3.Error
	if !errors.As(err, &e) {
		return foreign
	}
	switch e.Code {
	case sqlite3.ErrBusy, sqlite3.ErrLocked, sqlite3.ErrProtocol:
		return busy
	case sqlite3.ErrCorrupt:
		return corrupt
	case sqlite3.ErrNotADB:
		return notADB
	case sqlite3.ErrReadonly:
		if e.ExtendedCode == sqlite3.ErrReadonly.Extend(4) { // SQLITE_READONLY_DBMOVED
			return moved
		}
		return noPermission
	case sqlite3.ErrPerm, sqlite3.ErrAuth:
		return noPermission
	case sqlite3.ErrCantOpen:
		if errors.Is(e.SystemErrno, fs.ErrPermission) || e.SystemErrno == syscall.EROFS {
			return noPermission
		}
		return cantOpen
	case sqlite3.ErrFull:
		return full
	case sqlite3.ErrError, sqlite3.ErrSchema:
		return schema
	default:
		return other
	}
}
