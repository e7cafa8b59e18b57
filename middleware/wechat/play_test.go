//go:build !unix

package wechat_test

// play is for tests with processes, which need signals.
func play(string) int { return 2 }
