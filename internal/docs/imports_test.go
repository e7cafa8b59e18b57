package zhongkong_test

import (
	"bytes"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/zhongkong-go/zhongkong"

// importTable says which packages of this module the code of a folder may
// import, and what it may link in the end. "x/..." is x and what is below; of
// several lines for a folder its own counts, else the longest. Tests may import anything.
// .golangci.yml holds the same table over single files.
var importTable = map[string]struct {
	imports []string // of this module
	std     bool     // links the standard library only, beside these
	never   []string // not linked, not even through others
}{
	".":                {std: true},
	"callback":         {std: true},
	"platform":         {imports: []string{".", "platform/errcode"}},
	"platform/errcode": {std: true},
	"source":           {imports: []string{"."}},
	"migrations":       {},
	"store/...":        {imports: []string{".", "migrations", "store/internal/..."}},
	"store/storetest":  {imports: []string{".", "internal/patience"}},
	"store/open":       {imports: []string{".", "migrations", "store/..."}},
	"simulator/...":    {imports: []string{"callback", "platform/errcode", "simulator/..."}},
	"simulator/chat":   {imports: []string{"callback", "platform/errcode", "simulator", "internal/page"}},
	"middleware/wechat": {
		imports: []string{".", "callback", "platform/...", "source", "store/memory", "store/sqlite"},
		never: []string{
			"github.com/redis", "github.com/jackc/pgx", "github.com/go-sql-driver", "github.com/prometheus",
			module + "/store/redis", module + "/store/postgres", module + "/store/mysql", module + "/store/open",
			module + "/simulator", module + "/gateway",
		},
	},
	"gateway/console":    {imports: []string{".", "gateway", "internal/page", "platform/..."}},
	"gateway":            {imports: []string{".", "callback", "internal/page", "platform/...", "store/open"}, never: []string{"github.com/prometheus"}},
	"gateway/...":        {imports: []string{".", "callback", "gateway/...", "platform/...", "store/open"}},
	"cmd/...":            {imports: []string{"./..."}},
	"internal/...":       {imports: []string{".", "callback", "internal/...", "store/..."}}, // for tests alone
	"internal/patience":  {std: true},                                                       // for tests alone
	"internal/page":      {std: true},                                                       // what web pages share
	"internal/markdown":  {std: true},                                                       // what tests of the documentation read it with
	"internal/errordocs": {imports: []string{"platform/errcode"}},                           // writes docs/errors.md
	"internal/release":   {std: true},                                                       // make release
	"internal/figures":   {std: true},                                                       // what docs show of benchmarks' result
	"chaos":              {},
	"examples/...":       {imports: []string{"./..."}},
}

// listed is a line of go list.
type listed struct {
	standard bool
	imports  []string
}

func TestImports(t *testing.T) {
	var failed bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", `{{.ImportPath}} {{.Standard}} {{join .Imports " "}}`, "./...")
	cmd.Stderr = &failed
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &failed)
	}
	packages := make(map[string]listed)
	for line := range strings.Lines(string(output)) {
		fields := strings.Fields(line)
		packages[fields[0]] = listed{standard: fields[1] == "true", imports: fields[2:]}
	}
	if _, ok := packages[module]; !ok {
		t.Fatal("go list does not know the root package")
	}
	for _, violation := range violations(packages) {
		t.Error(violation)
	}
}

// TestImportsSees gives the check what it is there to find.
func TestImportsSees(t *testing.T) {
	for name, test := range map[string]struct {
		packages map[string]listed
		want     string
	}{
		"root imports gin":              {map[string]listed{module: {imports: []string{"gin"}}, "gin": {}}, "links gin"},
		"root links it through another": {map[string]listed{module: {imports: []string{"a"}}, "a": {standard: true, imports: []string{"gin"}}, "gin": {}}, "links gin"},
		"root imports callback":         {map[string]listed{module: {imports: []string{module + "/callback"}}}, "imports callback"},
		"platform imports callback":     {map[string]listed{module + "/platform": {imports: []string{module + "/callback"}}}, "imports callback"},
		"a store imports another":       {map[string]listed{module + "/store/redis": {imports: []string{module + "/store/memory"}}}, "imports store/memory"},
		"middleware links Redis": {
			map[string]listed{
				module + "/middleware/wechat": {imports: []string{module + "/store/sqlite"}},
				module + "/store/sqlite":      {imports: []string{"github.com/redis/go-redis/v9"}},
			}, "links github.com/redis/go-redis/v9",
		},
		"the gateway links Prometheus": {
			map[string]listed{
				module + "/gateway":         {imports: []string{"github.com/prometheus/client_golang/prometheus"}},
				module + "/gateway/metrics": {imports: []string{module + "/gateway", "github.com/prometheus/client_golang/prometheus"}},
			}, "gateway links github.com/prometheus/client_golang/prometheus",
		},
		"a folder of no line":         {map[string]listed{module + "/util": {}}, "no line"},
		"cgo in the standard library": {map[string]listed{module: {imports: []string{"net"}}, "net": {standard: true, imports: []string{"C"}}}, ""},
		"right":                       {map[string]listed{module: {imports: []string{"fmt"}}, "fmt": {standard: true}, module + "/cmd/zhongkong": {imports: []string{module, "kong"}}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(violations(test.packages), "\n")
			if !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
				t.Errorf("violations %q, want %q", got, test.want)
			}
		})
	}
}

func violations(packages map[string]listed) []string {
	var found []string
	for _, path := range slices.Sorted(maps.Keys(packages)) {
		folder, ok := folderOf(path)
		if !ok {
			continue
		}
		line, ok := lineOf(folder)
		if !ok {
			found = append(found, folder+" has no line in the import table")
			continue
		}
		rule := importTable[line]
		for _, imported := range packages[path].imports {
			other, ours := folderOf(imported)
			if ours && !slices.ContainsFunc(rule.imports, func(pattern string) bool { return matches(pattern, other) }) {
				found = append(found, fmt.Sprintf("%s imports %s, which the table does not allow", folder, other))
			}
		}
		for _, linked := range closure(packages, path) {
			_, ours := folderOf(linked)
			foreign := rule.std && !ours && !packages[linked].standard
			banned := slices.ContainsFunc(rule.never, func(prefix string) bool { return linked == prefix || strings.HasPrefix(linked, prefix+"/") })
			if foreign || banned {
				found = append(found, fmt.Sprintf("%s links %s, which the table does not allow", folder, linked))
			}
		}
	}
	return found
}

// closure returns what path links, sorted.
func closure(packages map[string]listed, path string) []string {
	seen := make(map[string]bool)
	var visit func(string)
	visit = func(path string) {
		for _, imported := range packages[path].imports {
			if imported == "C" { // cgo, as in net
				continue
			}
			if _, known := packages[imported]; !known && packages[path].standard {
				imported = "vendor/" + imported // the standard library's copies
			}
			if !seen[imported] {
				seen[imported] = true
				visit(imported)
			}
		}
	}
	visit(path)
	return slices.Sorted(maps.Keys(seen))
}

// folderOf returns the folder of a package of this module.
func folderOf(path string) (folder string, ours bool) {
	if path == module {
		return ".", true
	}
	return strings.CutPrefix(path, module+"/")
}

// lineOf returns the line of the table that is folder's own, else the longest that
// is meant for it.
func lineOf(folder string) (line string, ok bool) {
	for pattern := range importTable {
		if pattern == folder {
			return pattern, true
		}
		if matches(pattern, folder) && (!ok || len(pattern) > len(line)) {
			line, ok = pattern, true
		}
	}
	return line, ok
}

func matches(pattern, folder string) bool {
	parent, below := strings.CutSuffix(pattern, "/...")
	return folder == parent || below && (parent == "." || strings.HasPrefix(folder, parent+"/"))
}
