//go:build race

package zhongkong_test

const raceEnabled = true
