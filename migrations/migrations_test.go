package migrations_test

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/migrations"
)

// TestFiles keeps every dialect in a form that goose applies in order: numbered
// from 1, each number once, and with a way back.
func TestFiles(t *testing.T) {
	t.Parallel()
	dialects, err := fs.ReadDir(migrations.FS, ".")
	if err != nil {
		t.Fatal(err)
	}
	if len(dialects) == 0 {
		t.Fatal("no dialect is embedded")
	}
	name := regexp.MustCompile(`^\d{5}_[a-z0-9_]+\.sql$`)
	for _, dialect := range dialects {
		files, newest, err := migrations.Of(dialect.Name())
		numbers := map[string]bool{}
		if err != nil {
			t.Fatal(err)
		}
		entries, err := fs.ReadDir(files, ".")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(entries[0].Name(), "00001_") || int64(len(entries)) > newest {
			t.Errorf("%s: %d files from %s on, but the newest is number %d", dialect.Name(), len(entries), entries[0].Name(), newest)
		}
		for _, entry := range entries {
			if number, _, _ := strings.Cut(entry.Name(), "_"); numbers[number] {
				t.Errorf("%s: number %s appears twice", dialect.Name(), number)
			} else {
				numbers[number] = true
			}
			if !name.MatchString(entry.Name()) {
				t.Errorf("%s/%s is not named like 00001_what_it_does.sql", dialect.Name(), entry.Name())
			}
			text, err := fs.ReadFile(files, entry.Name())
			if err != nil {
				t.Fatal(err)
			}
			for _, mark := range []string{"-- +goose Up\n", "-- +goose Down\n"} {
				if !strings.Contains(string(text), mark) {
					t.Errorf("%s/%s lacks %q", dialect.Name(), entry.Name(), mark)
				}
			}
			if row := fmt.Sprintf("INTO zhongkong_oldest (version, oldest) VALUES (%s,", strings.TrimLeft(entry.Name()[:5], "0")); entry.Name() >= "00005" &&
				!strings.Contains(string(text), row) {
				t.Errorf("%s/%s does not note the oldest program that may run on it: %s", dialect.Name(), entry.Name(), row)
			}
		}
	}
}

func TestUnknownDialect(t *testing.T) {
	t.Parallel()
	if _, _, err := migrations.Of("clay tablets"); err == nil {
		t.Fatal("no error for a dialect that does not exist")
	}
}
