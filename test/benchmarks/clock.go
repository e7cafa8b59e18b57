package main

import "time"

var epoch = time.Now()

// now is monotonic time in nanoseconds.
func now() time.Duration { return time.Since(epoch) }
