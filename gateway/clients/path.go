package clients

import (
	"fmt"
	"strings"

	"github.com/zhongkong-go/zhongkong/internal/shape"
)

// MaxPath is in bytes; WeChat's longest has about 60.
const MaxPath = 256

// CleanPath reports whether an escaped path is one that WeChat can have: segments
// of letters, digits, '_', '-' and inner dots. So there is nothing to decode, and
// nothing that two programs might read in two ways (.., //, %2f, \, ;).
func CleanPath(escaped string) bool {
	if len(escaped) < 2 || len(escaped) > MaxPath || escaped[0] != '/' {
		return false
	}
	start := true // of a segment
	for _, c := range []byte(escaped[1:]) {
		switch {
		case c == '/' && start:
			return false
		case c == '/':
			start = true
			continue
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-' && !start, c == '.' && !start:
		default:
			return false
		}
		start = false
	}
	return !start
}

// pathList says which paths a client may call. Empty means all.
type pathList struct {
	exact    map[string]bool
	prefixes []string // with a slash at the end
}

// newPathList reads paths such as /cgi-bin/menu/get, and /cgi-bin/message/* for all
// below.
func newPathList(paths []string) (l pathList, err error) {
	for _, path := range paths {
		prefix, all := strings.CutSuffix(path, "/*")
		switch {
		case !CleanPath(prefix):
			return pathList{}, fmt.Errorf("%s is no path such as /cgi-bin/menu/get or /cgi-bin/message/*", shape.Show(path))
		case all:
			l.prefixes = append(l.prefixes, prefix+"/")
		default:
			if l.exact == nil {
				l.exact = make(map[string]bool)
			}
			l.exact[path] = true
		}
	}
	return l, nil
}

// allows takes a clean path.
func (l pathList) allows(path string) bool {
	if len(l.exact) == 0 && len(l.prefixes) == 0 || l.exact[path] {
		return true
	}
	for _, prefix := range l.prefixes {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}
