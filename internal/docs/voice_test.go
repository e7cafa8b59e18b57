package docs_test

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// voiceElsewhere are folders and files that TestVoice does not read, each with the reason.
var voiceElsewhere = map[string]string{
	"gateway":                         "its texts have not been gone through yet",
	"test":                            "read by developers of this module only",
	"internal/test":                   "the same",
	"internal/lang/sentence_words.go": "it repeats sentences of the gateway",
	"docs/logs.md":                    "it repeats log lines of the gateway",
	"internal/docs/voice.txt":         "the list",
	"internal/docs/voice_test.go":     "this test",
}

// TestVoice: no phrase of voice.txt is in the pages, in texts and comments of the code, or
// in the files for operators.
func TestVoice(t *testing.T) {
	phrases := voice(t)
	if len(phrases) < 30 {
		t.Fatalf("only %d phrases", len(phrases))
	}
	found, read := foreign(t, os.DirFS(root), phrases)
	if read < 300 {
		t.Errorf("only %d files were read", read)
	}
	for _, wrong := range found {
		t.Error(wrong)
	}
}

// TestVoiceSees gives the check what it has to find, and what it must not.
func TestVoiceSees(t *testing.T) {
	phrases := map[string]string{"goes on": "continues", "who wakes": "a waiter"}
	for name, c := range map[string]struct{ file, text, want string }{
		"in a page":              {"a.md", "# A\n\nIt goes on.", "a.md:3: \"goes on\": write continues"},
		"over two lines":         {"a.go", "package a\n\n// It goes\n// on.\n", "a.go:3: \"goes on\": write continues"},
		"over two lines of text": {"a.md", "A goroutine\nwho\nwakes", "a.md:2: \"who wakes\": write a waiter"},
		"at a beginning":         {"a.md", "Who wakes?", "a.md:1: \"who wakes\": write a waiter"},
		"over two paragraphs":    {"a.md", "It goes\n\non.", ""},
		"in a longer word":       {"a.md", "It forgoes on purpose.", ""},
		"in a test":              {"a_test.go", "// It goes on.", ""},
		"in another language":    {"a.zh-CN.md", "It goes on.", ""},
		"where nobody looks":     {"gateway/a.go", "// It goes on.", ""},
	} {
		t.Run(name, func(t *testing.T) {
			found, _ := foreign(t, fstest.MapFS{c.file: {Data: []byte(c.text)}}, phrases)
			switch {
			case c.want == "" && len(found) > 0, c.want != "" && (len(found) != 1 || found[0] != c.want):
				t.Errorf("found %q, want %q", found, c.want)
			}
		})
	}
}

// voice returns the phrases of voice.txt with what to write instead.
func voice(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("voice.txt")
	if err != nil {
		t.Fatal(err)
	}
	phrases := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		phrase, instead, ok := strings.Cut(line, " : ")
		if !ok || phrases[phrase] != "" {
			t.Fatalf("voice.txt: %q is no phrase with what to write instead, or is there twice", line)
		}
		phrases[phrase] = instead
	}
	return phrases
}

// between is what may be between two words of a phrase: blanks, or a new line of a
// comment or a paragraph.
const between = `[ \t]*(?:[ \t]|\n[ \t]*(?://|#|\*)?[ \t]*)`

// foreign returns where the phrases are in the files of a tree, and how many it has read.
func foreign(t *testing.T, tree fs.FS, phrases map[string]string) (found []string, read int) {
	t.Helper()
	var forms []string
	for phrase := range phrases {
		forms = append(forms, strings.ReplaceAll(regexp.QuoteMeta(phrase), " ", between))
	}
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) }) // the longest that fits
	form := regexp.MustCompile(`(?i)\b(?:` + strings.Join(forms, "|") + `)\b`)
	blanks := regexp.MustCompile(between)
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", ".cache", "node_modules", "testdata", "dist"}, d.Name()), elsewhere(name):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir() || !slices.Contains([]string{".go", ".md", ".tmpl", ".html", ".txt", ".yaml"}, path.Ext(name)),
			strings.HasSuffix(name, "_test.go"), strings.Contains(name, ".zh-CN."):
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		read++
		for _, at := range form.FindAllIndex(text, -1) {
			phrase := strings.ToLower(blanks.ReplaceAllString(string(text[at[0]:at[1]]), " "))
			line := 1 + strings.Count(string(text[:at[0]]), "\n")
			found = append(found, fmt.Sprintf("%s:%d: %q: write %s", name, line, phrase, phrases[phrase]))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found, read
}

func elsewhere(name string) bool {
	_, ok := voiceElsewhere[name]
	return ok
}
