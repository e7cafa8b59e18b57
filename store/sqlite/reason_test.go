package sqlite

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/migrations"
)

// TestReasonOf: the errors of a look say what they are about.
func TestReasonOf(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	locked := filepath.Join(folder, "locked.db")
	db, err := sql.Open(driver, "file:"+locked+"?_txlock=exclusive")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), `CREATE TABLE other (n int)`); err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	store, err := Open(t.Context(), locked, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	_, err = store.Load(t.Context(), key)
	if got := ReasonOf(err); got != Locked {
		t.Errorf("%v: %s, want %s", err, got, Locked)
	}
	damaged := magic + strings.Repeat("\xff\x00damaged", 2000)
	for path, want := range map[string]Reason{
		write("text.db", strings.Repeat("no database\n", 100)): NotDatabase,
		write("damaged.db", damaged):                           Damaged,
		filepath.Join(write("file", ""), "below.db"):           Other,
		filepath.Join(folder, strings.Repeat("a", 300)):        Other,
		write("empty.db", ""):                                  "",
	} {
		_, err := Migrate(t.Context(), path, Options{}, migrations.Look)
		if want == "" && err == nil {
			continue
		}
		if got := ReasonOf(err); got != want {
			t.Errorf("%s: %v: %s, want %s", filepath.Base(path), err, got, want)
		}
	}
	if got := ReasonOf(errors.New("something else")); got != Other {
		t.Errorf("%s, want %s", got, Other)
	}
}
