//go:build !cgo && !(darwin || windows || freebsd || (linux && (386 || amd64 || arm || arm64 || loong64 || ppc64le || riscv64 || s390x)))

package sqlite

import (
	"errors"
	"runtime"
)

const driver = ""

var errDriver = errors.New("zhongkong: there is no SQLite in Go for " + runtime.GOOS + "/" + runtime.GOARCH +
	": build this program with CGO_ENABLED=1 and a C compiler, or use another store")

func resultOf(error) (result int, ok bool) { return 0, false }
