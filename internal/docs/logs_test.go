package docs

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// TestLogCodes: every line at Warn or Error of product code has a code of its own, and each
// code its text in both languages.
func TestLogCodes(t *testing.T) {
	calls, err := LogCalls("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(calls) < 80 {
		t.Errorf("%d calls were found only", len(calls))
	}
	texts, seen := readLogTexts(), map[string]string{}
	form := regexp.MustCompile(`^[a-z]+(_[a-z0-9]+)+$`)
	for _, c := range calls {
		if c.Code == "" {
			t.Errorf("%s: %q has no %s", c.Where, c.Message, logKey)
			continue
		}
		if before := seen[c.Code]; before != "" {
			t.Errorf("%s: %s is the code of %s too", c.Where, c.Code, before)
		}
		seen[c.Code] = c.Where
		if !form.MatchString(c.Code) {
			t.Errorf("%s: %q is no code: lower-case words with _ between them", c.Where, c.Code)
		}
		text, found := texts[c.Code]
		if !found || !strings.ContainsFunc(text.zh, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
			t.Errorf("%s: %s has no Chinese in logs.txt", c.Where, c.Code)
		}
		if c.Message == "" && text.en == "" {
			t.Errorf("%s: %s has neither a literal message nor an English text in logs.txt", c.Where, c.Code)
		}
	}
	for _, code := range slices.Sorted(maps.Keys(texts)) {
		if seen[code] == "" {
			t.Errorf("logs.txt: nobody logs %s any more", code)
		}
	}
}

// TestLogCallsAreFound: a call is found whatever it is called on, and an error's text is none.
func TestLogCallsAreFound(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.go": `package a

func f() {
	log.Warn("one", "log_code", "a_one", "error", err)
	k.log().ErrorContext(ctx, "two: "+
		"more", "n", 1)
	s.cfg.Logger.LogAttrs(ctx, level, "three", append(attrs, slog.String("log_code", "a_three"))...)
	log.LogAttrs(ctx, slog.LevelDebug, "not this")
	log.Info("nor this")
	http.Error(w, "nor this", 500)
	_ = err.Error()
	log.Warn(text, "log_code", "a_four")
}
`, "a_test.go": "package a\n\nfunc g() { log.Warn(\"nor this\") }\n"} {
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "a"), 0o755), os.WriteFile(filepath.Join(dir, "a", name), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	calls, err := LogCalls(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []LogCall{
		{"a/a.go:5", "a", "error", "", "two: more"},
		{"a/a.go:12", "a", "warn", "a_four", ""},
		{"a/a.go:4", "a", "warn", "a_one", "one"},
		{"a/a.go:7", "a", "warn, error", "a_three", "three"},
	}
	if !slices.Equal(calls, want) {
		t.Errorf("got %+v\nwant %+v", calls, want)
	}
}
