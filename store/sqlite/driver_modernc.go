//go:build !cgo && (darwin || windows || freebsd || (linux && (386 || amd64 || arm || arm64 || loong64 || ppc64le || riscv64 || s390x)))

package sqlite

import (
	"errors"

	"modernc.org/sqlite"
)

const driver = "sqlite"

var errDriver error

func resultOf(err error) (result int, ok bool) {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return 0, false
	}
	return e.Code(), true
}
