package sqlite

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/internal/storeurl"
)

// suffixes of the files that belong to a database. The order is the one in
// which they are set aside: without its database a log is never read again.
var suffixes = []string{"", "-wal", "-shm", "-journal"}

// lockSuffix names the sidecar.
const lockSuffix = ".lock"

// What every connection is opened with. mode=rw: SQLite itself creates nothing,
// because it would do so with mode 0644. The busy timeout is short and the rest
// of the waiting is done in Go, because a wait inside SQLite does not hear that
// its ctx ended.
const (
	common     = "mode=rw&_busy_timeout=25&_synchronous=FULL"
	parameters = common + "&_txlock=immediate"
	exclusive  = common + "&_txlock=exclusive"
)

// dsn writes an absolute path as a URI, because only there every character can be escaped:
// in the plain form the driver takes all after a '?' for parameters.
func dsn(path, query string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/folder/file
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: query}).String()
}

// ParseURL returns the path of a store's URL, for programs that get their store in
// one word: sqlite:zhongkong.db, sqlite:/var/lib/zhongkong.db or, the same,
// sqlite:///var/lib/zhongkong.db. Percent signs mean nothing, and parameters there are
// none.
func ParseURL(address string) (path string, err error) { return storeurl.Path(address) }

// absolute checks what a person wrote and makes it independent of the working
// directory.
func absolute(path string) (string, error) {
	switch {
	case path == "":
		return "", named.Errorf("zhongkong", "the path of the SQLite database is empty: give one, such as zhongkong.db")
	case path == ":memory:" || strings.HasPrefix(path, "file:"):
		return "", named.Errorf("zhongkong", "the path of the SQLite database is %s: give the path of a file, without SQLite's URI syntax; store/memory keeps nothing on disk", path)
	case strings.ContainsRune(path, 0):
		return "", named.Errorf("zhongkong", "the path of the SQLite database contains a NUL character")
	}
	if err := shape.Path("the path of the SQLite database", path); err != nil {
		return "", named.Errorf("zhongkong", "%w", err)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", &fault{
			path:   path,
			what:   "has no absolute path, because the working directory cannot be told",
			remedy: "give an absolute path",
			err:    err,
		}
	}
	if strings.HasSuffix(filepath.ToSlash(path), "/") {
		return "", isFolder(abs)
	}
	return abs, nil
}

// resolve follows links, as SQLite does: the files next to the database are
// next to what the link leads to. Neither that nor its folder need exist; the
// path is good for a message in any case.
func resolve(path string) (string, error) {
	for range 40 {
		target, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	folder, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return path, err
	}
	return filepath.Join(folder, filepath.Base(path)), nil
}

// makeFolder makes the folder of a database where its parent is there, and leaves it to the
// opening to say what is wrong. It is for the start alone: a folder that vanishes under a
// running program is a disk that was unmounted.
func (s *Store) makeFolder() {
	path, _ := resolve(s.path)
	folder := filepath.Dir(path)
	if exists(folder) || !exists(filepath.Dir(folder)) {
		return
	}
	if err := os.Mkdir(folder, 0o700); err == nil {
		s.log.Info("the folder of the database was missing and is made", slog.String("folder", folder))
	}
}

// creating is held while a file is created and by a call that is about to open one.
// POSIX drops all of a process's locks on a file when the process closes any
// descriptor of it. So the descriptor that creates a file has to be closed
// before SQLite locks the same file anywhere in the process: a matter of the
// process, and therefore no field of a Store.
var creating sync.Mutex

// create makes an empty file that its owner alone may read and write, unless
// there is one. SQLite takes an empty file for an empty database, and gives the
// files next to a database the database's mode.
func create(path string) error {
	creating.Lock()
	defer creating.Unlock()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the program's configuration names the file
	if errors.Is(err, fs.ErrExist) {
		return nil // another process was faster
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// magic begins every SQLite database but an empty one.
const magic = "SQLite format 3\x00"

// wasDatabase reports whether path begins like a database. It opens the file,
// which costs this process its locks on it (see creating), so it is only asked
// of a file that SQLite has just refused.
func wasDatabase(path string) bool {
	creating.Lock()
	defer creating.Unlock()
	f, err := os.Open(path) //nolint:gosec // the same file
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, len(magic))
	n, _ := f.Read(head)
	return string(head[:n]) == magic
}
