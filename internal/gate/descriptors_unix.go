//go:build unix

package gate

import (
	"math"
	"syscall"
)

// descriptors returns how many this process may have, 0 when there is no saying.
func descriptors() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(uint64(limit.Cur), math.MaxInt32)) //nolint:unconvert // int64 on some systems
}
