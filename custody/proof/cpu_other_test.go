//go:build !unix

package proof_test

import "time"

var started = time.Now()

// cpuTime is the time since the start, as if this process ran alone on two cores.
func cpuTime() time.Duration { return 2 * time.Since(started) }
