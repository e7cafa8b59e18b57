//go:build !unix

package sqlite

import (
	"errors"
	"io/fs"
	"os"
)

// denied reports whether a database cannot be opened because this program lacks the right
// to. Elsewhere than on Unix, to close a file costs no locks.
func denied(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // the program's configuration names the file
	if err == nil {
		_ = f.Close()
	}
	return errors.Is(err, fs.ErrPermission)
}
