//go:build unix

package sqlite

import (
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"
)

// denied reports whether a database cannot be opened because this program lacks the right
// to: SQLite says only that it cannot. It opens nothing, since closing the file again would
// cost this process its locks on it (see creating).
func denied(path string) bool {
	const read, write, search = 4, 2, 1
	asked := map[string]uint32{filepath.Dir(path): read | write | search}
	for _, suffix := range suffixes {
		asked[path+suffix] = read | write
	}
	for name, mode := range asked {
		if err := syscall.Access(name, mode); errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
			return true
		}
	}
	return false
}
