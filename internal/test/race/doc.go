// Package race says whether this program was built with the race detector, under
// which times and allocations mean nothing.
package race
