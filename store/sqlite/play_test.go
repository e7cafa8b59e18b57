//go:build !unix

package sqlite

const roleVariable = "ZHONGKONG_SQLITE_TEST_ROLE"

// play is for tests with processes, which need signals.
func play(string) int { return 2 }
