//go:build cgo

package sqlite

import (
	"errors"

	"github.com/mattn/go-sqlite3"
)

const driver = "sqlite3"

var errDriver error

func resultOf(err error) (result int, ok bool) {
	e, ok := errors.AsType[sqlite3.Error](err)
	return int(e.ExtendedCode), ok
}
