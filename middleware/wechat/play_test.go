//go:build !cgo || !unix

package wechat_test

// play is for tests with processes, which need SQLite and signals.
func play(string) int { return 2 }
