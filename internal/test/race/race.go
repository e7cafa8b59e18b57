//go:build race

// Package race says whether this program was built with the race detector, under
// which times and allocations mean nothing.
package race

// Enabled is true under the race detector.
const Enabled = true
