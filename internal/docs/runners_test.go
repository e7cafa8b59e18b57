package docs_test

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/docs"
)

// generally returns the test that takes every block of this kind in the pages, "" when the
// block needs a line in runners.txt.
func generally(page string, b docs.Block) string {
	switch {
	case strings.HasPrefix(page, "docs/jobs/") && (b.Info != "js" || strings.HasPrefix(b.Text, "// app.mjs")):
		return "TestJobs"
	case b.Info == "go":
		return "TestPrograms"
	case b.Info == "yaml" && !strings.HasPrefix(b.Text, "# prometheus.yml"):
		return "TestConfigurations"
	case b.Info == "sh" && all(b, func(words []string) bool {
		return words[0] == "zhongkong" || len(words) > 2 && words[1] == "run" && strings.Contains(words[2], "cmd/zhongkong")
	}):
		return "TestCommandLinesOfThePages"
	case b.Info == "sh" && all(b, func(words []string) bool { return words[0] == "make" }):
		return "TestCommandsExist"
	case slices.Contains([]string{"", "json", "mermaid"}, b.Info) && !strings.HasPrefix(b.Text, "$ "):
		return "nothing to run"
	}
	return ""
}

// all reports whether each command of a block is of a kind, and it has one.
func all(b docs.Block, ours func(words []string) bool) bool {
	commands := b.Commands()
	return len(commands) > 0 && !slices.ContainsFunc(commands, func(words []string) bool { return !ours(words) })
}

// testName is a test that a reason names.
var testName = regexp.MustCompile(`\bTest\w+`)

// unrun returns the blocks of English pages that nothing runs, and the lines of the list that
// are wrong. tests returns the source that has a test.
func unrun(all map[string]docs.Page, list string, tests func(name string) string) (wrong []string) {
	listed := map[string]string{}
	for line := range strings.Lines(list) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.SplitN(strings.TrimSpace(line), " ", 3)
		if len(fields) < 3 {
			wrong = append(wrong, fmt.Sprintf("%q: want the page, the block's number and what runs it", line))
			continue
		}
		listed[fields[0]+" "+fields[1]] = fields[2]
	}
	for name, page := range all {
		if strings.Contains(name, ".zh-CN") { // TestSameBlocks
			continue
		}
		for i, b := range page.Blocks {
			place := name + " " + strconv.Itoa(i+1)
			by, there := listed[place]
			delete(listed, place)
			general := generally(name, b)
			switch reason, none := strings.CutPrefix(by, "-"); {
			case !there && general == "":
				wrong = append(wrong, fmt.Sprintf("%s: no test runs the block of %s at line %d, and runners.txt has no reason", place, b.Info, b.Line))
			case there && general != "":
				wrong = append(wrong, fmt.Sprintf("%s: %s takes the block: remove it from runners.txt", place, general))
			case none && strings.TrimSpace(reason) == "":
				wrong = append(wrong, place+": no reason")
			case none && slices.ContainsFunc(testName.FindAllString(reason, -1), func(name string) bool { return tests(name) == "" }):
				wrong = append(wrong, fmt.Sprintf("%s: no %s", place, testName.FindString(reason)))
			case there && !none && !strings.Contains(tests(by), path.Base(name)):
				wrong = append(wrong, fmt.Sprintf("%s: no %s that names the page", place, by))
			}
		}
	}
	for place := range listed {
		wrong = append(wrong, place+": there is no such block")
	}
	slices.Sort(wrong)
	return wrong
}

// TestRunners: every block of every page is run or read by a test, or runners.txt says why not.
func TestRunners(t *testing.T) {
	list, err := os.ReadFile("runners.txt")
	if err != nil {
		t.Fatal(err)
	}
	sources := testSources(t)
	for _, wrong := range unrun(pages(t, os.DirFS(root)), string(list), func(name string) string { return sources[name] }) {
		t.Error(wrong)
	}
	for _, name := range []string{"TestJobs", "TestPrograms", "TestConfigurations", "TestCommandLinesOfThePages", "TestCommandsExist"} {
		if sources[name] == "" {
			t.Errorf("there is no %s", name)
		}
	}
}

// testSources returns the files that have tests, by the tests' names.
func testSources(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	tests := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	tree := os.DirFS(root)
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", ".cache", "node_modules", "testdata", "dist"}, d.Name()):
			return fs.SkipDir
		case strings.HasSuffix(name, "_test.go"):
			text, err := fs.ReadFile(tree, name)
			if err != nil {
				return err
			}
			for _, m := range tests.FindAllSubmatch(text, -1) {
				found[string(m[1])] += string(text)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestRunnersSees gives the check the faults that it has to find.
func TestRunnersSees(t *testing.T) {
	page := map[string]docs.Page{"a.md": docs.Parse("```php\nf();\n```\n```sh\nzhongkong version\n```\n")}
	tests := func(name string) string { return map[string]string{"TestA": "reads a.md", "TestB": "reads b.md"}[name] }
	for list, want := range map[string]string{
		"":                       "no test runs",
		"a.md 1 TestA\n":         "",
		"a.md 1 - needs a moon":  "",
		"a.md 1 - \n":            "no reason",
		"a.md 1 TestB\n":         "no TestB",
		"a.md 1 TestC\n":         "no TestC",
		"a.md 1 -x\na.md 2 -x\n": "remove it",
		"a.md 1 -x\na.md 3 -x\n": "no such block",
		"a.md 1 - TestC does it": "no TestC",
	} {
		wrong := strings.Join(unrun(page, list, tests), "\n")
		if (want == "") != (wrong == "") || !strings.Contains(wrong, want) {
			t.Errorf("%q: found %q, want %q", list, wrong, want)
		}
	}
}

var (
	// comment is what each language has words of its own for.
	comment = regexp.MustCompile(`(?m)\s*(?:(?:^|\s)#|(?:^|\s)//).*$`)

	// inEnglish are the words in strings and the names that differ.
	inEnglish = strings.NewReplacer("完成", "done", "--lang zh", "--lang en", "CauseZH", "Cause", "RemedyZH", "Remedy", "CustodyZH", "Custody",
		"你的 openid 是 %s", "Your openid is %s.", "扛不住", "it does not survive that")
)

// TestSameBlocks: both languages of a page have the same blocks in the same order, with the same
// code. Pictures and what is printed are in the page's language.
func TestSameBlocks(t *testing.T) {
	for _, wrong := range unlike(pages(t, os.DirFS(root))) {
		t.Error(wrong)
	}
}

func unlike(all map[string]docs.Page) (wrong []string) {
	for name, page := range all {
		base, ok := strings.CutSuffix(name, ".zh-CN.md")
		if !ok {
			continue
		}
		other, ok := all[base+".md"]
		if !ok {
			other = all[path.Base(base)+".md"]
		}
		if n, m := len(page.Blocks), len(other.Blocks); n != m {
			wrong = append(wrong, fmt.Sprintf("%s has %d blocks, in English %d", name, n, m))
			continue
		}
		for i, zh := range page.Blocks {
			en := other.Blocks[i]
			zhText, enText := comment.ReplaceAllString(zh.Text, ""), comment.ReplaceAllString(en.Text, "")
			same := inEnglish.Replace(zhText) == enText
			if zh.Info == "" || zh.Info == "mermaid" {
				same = true
			}
			if zh.Info != en.Info || !same {
				wrong = append(wrong, fmt.Sprintf("%s:%d: block %d is another one than in English:\n%s\n%s", name, zh.Line, i+1, zhText, enText))
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

// TestSameBlocksSees gives the check the faults that it has to find.
func TestSameBlocksSees(t *testing.T) {
	const en = "```sh\nzhongkong version # which\n```\n"
	for zh, want := range map[string]bool{
		strings.Replace(en, "which", "哪个版本", 1): true,
		"": false,
		strings.Replace(en, "version", "help", 1): false,
		strings.Replace(en, "sh", "go", 1):        false,
	} {
		wrong := unlike(map[string]docs.Page{"a.md": docs.Parse(en), "a.zh-CN.md": docs.Parse(zh)})
		if (len(wrong) == 0) != want {
			t.Errorf("%q: %q", zh, wrong)
		}
	}
}
