//go:build !race

package wechat_test

const raceEnabled = false
