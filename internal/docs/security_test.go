package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// securityPages are SECURITY.md in its languages.
var securityPages = []string{"SECURITY.md", "docs/policy/SECURITY.zh-CN.md"}

// namedTests are those of a folder.
var namedTests = regexp.MustCompile("^([a-z][a-z0-9/]*):((?: `(?:Test|Fuzz)[A-Za-z0-9]+`)+)$")

// promises returns the promises of a page with the tests that stand beside each.
func promises(t *testing.T, page string) (all [][]string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	table := false
	for line := range strings.Lines(string(content)) {
		switch {
		case strings.HasPrefix(line, "| promise | tests |"), strings.HasPrefix(line, "| 保证 | 测试 |"):
			table = true
			continue
		case !strings.HasPrefix(line, "|"):
			table = false
		}
		if !table || strings.HasPrefix(line, "|---") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 2 {
			t.Fatalf("%s: %q is no promise with its tests", page, line)
		}
		var tests []string
		for of := range strings.SplitSeq(strings.TrimSpace(cells[1]), "; ") {
			parts := namedTests.FindStringSubmatch(of)
			if parts == nil {
				t.Fatalf("%s: %q is not a folder and tests in it", page, of)
			}
			for name := range strings.FieldsSeq(parts[2]) {
				tests = append(tests, parts[1]+"."+strings.Trim(name, "`"))
			}
		}
		all = append(all, tests)
	}
	return all
}

// TestPromises: each promise of SECURITY.md has tests, which exist where it says, and the
// same ones in both languages.
func TestPromises(t *testing.T) {
	first := promises(t, securityPages[0])
	if len(first) < 20 {
		t.Fatalf("%d promises found", len(first))
	}
	for _, page := range securityPages[1:] {
		other := promises(t, page)
		if !slices.EqualFunc(first, other, slices.Equal[[]string]) {
			t.Errorf("%s does not have the tests of %s, row by row", page, securityPages[0])
		}
	}
	for i, tests := range first {
		if len(tests) == 0 {
			t.Errorf("promise %d has no test", i+1)
		}
		for _, test := range tests {
			if why := lacking(test); why != "" {
				t.Errorf("promise %d: %s %s", i+1, test, why)
			}
		}
	}
}

// lacking says why a named test is none; "" for one that is there.
func lacking(test string) string {
	folder, name, _ := strings.Cut(test, ".")
	files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(folder), "*_test.go"))
	if err != nil || len(files) == 0 {
		return "is in a folder without tests"
	}
	for _, file := range files {
		content, err := os.ReadFile(file) //nolint:gosec // of the repository
		if err == nil && strings.Contains(string(content), "\nfunc "+name+"(") {
			return ""
		}
	}
	return "is not there"
}

// TestPromisesSees gives the check the faults that it has to find.
func TestPromisesSees(t *testing.T) {
	for test, want := range map[string]string{
		"internal/docs.TestPromises": "", "internal/docs.TestNothingOfTheKind": "not there", "internal/nowhere.TestPromises": "without tests",
	} {
		if why := lacking(test); (why == "") != (want == "") || !strings.Contains(why, want) {
			t.Errorf("%s: %q, want %q", test, why, want)
		}
	}
}
