package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMigrate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "zhongkong.db")
	env := map[string]string{"ZHONGKONG_STORE": "sqlite:" + path}
	for _, c := range []struct {
		action string
		code   int
		says   string
	}{
		{"status", exitFailed, "run zhongkong migrate up"},
		{"up", exitOK, "the newest"},
		{"status", exitOK, "applied 00001_credentials.sql"},
		{"down", exitOK, "run zhongkong migrate up"},
		{"status", exitFailed, "missing 00005_oldest.sql"},
		{"up", exitOK, "the newest"},
	} {
		code, out, errs := started(t.Context(), env, "migrate", c.action)
		if code != c.code || !strings.Contains(out, c.says) || errs != "" {
			t.Errorf("migrate %s: exit code %d, want %d and %q\n%s%s", c.action, code, c.code, c.says, out, errs)
		}
	}
}

func TestMigrateMistakes(t *testing.T) {
	t.Parallel()
	letter := filepath.Join(t.TempDir(), "letter.txt")
	if err := os.WriteFile(letter, []byte(strings.Repeat("Dear reader. ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		store, action string
		code          int
		says          string
	}{
		{"memory:", "up", exitOK, "nothing to migrate"},
		{"redis://127.0.0.1:1", "status", exitOK, "nothing to migrate"},
		{"sqlite:" + letter, "up", exitFailed, "is not a SQLite database"},
		{"gopher://user:made-up-pa55word@host", "up", exitFailed, "zhongkong:"},
		{"postgres://user:made-up-pa55word@127.0.0.1:1/name", "status", exitFailed, "127.0.0.1"},
		{"memory:", "sideways", exitMistake, "must be one of"},
	} {
		code, out, errs := started(t.Context(), map[string]string{"ZHONGKONG_STORE": c.store}, "migrate", c.action)
		if code != c.code || !strings.Contains(out+errs, c.says) {
			t.Errorf("migrate %s of %s: exit code %d, want %d and %q\n%s%s", c.action, c.store, code, c.code, c.says, out, errs)
		}
		if strings.Contains(out+errs, "pa55word") {
			t.Errorf("migrate %s of %s shows the password:\n%s%s", c.action, c.store, out, errs)
		}
	}
}
