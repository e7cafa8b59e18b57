//go:build !cgo

package sqlite

import "errors"

// driver has nothing behind it in this program.
const driver = ""

// errDriver is what Open returns.
var errDriver = errors.New("zhongkong: this program was built without cgo, which SQLite needs: build it with CGO_ENABLED=1 and a C compiler, or use another store")

func codeOf(error) code { return foreign }
