//go:build !race

package remotetest

const raceEnabled = false
