package simulator_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/simulator"
)

// TestAssumptionsAreListed: the page, which is the only list, names every errcode that
// the simulator gives, and the package's documentation points to it.
func TestAssumptionsAreListed(t *testing.T) {
	page := contents(t, "../docs/simulator-assumptions.md")
	named := make(map[string]bool)
	for _, code := range regexp.MustCompile(`\b[1-9][0-9]{4}\b`).FindAllString(page, -1) {
		named[code] = true
	}
	file, err := parser.ParseFile(token.NewFileSet(), "errcode.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	given := 0
	ast.Inspect(file, func(n ast.Node) bool {
		lit, isLit := n.(*ast.BasicLit)
		if !isLit || lit.Kind != token.INT || len(lit.Value) != 5 {
			return true
		}
		given++
		if !named[lit.Value] {
			t.Errorf("docs/simulator-assumptions.md does not name %s, which the simulator gives", lit.Value)
		}
		return true
	})
	for _, state := range []simulator.State{
		simulator.SecretFrozen, simulator.Banned, simulator.Frozen, simulator.ThirdParty, simulator.ConfirmationPending, simulator.ApprovalNeeded, simulator.RefusedForDay, simulator.RefusedForHour,
	} {
		if !named[strconv.Itoa(int(state))] {
			t.Errorf("docs/simulator-assumptions.md does not name the state %d", state)
		}
	}
	if given < 50 {
		t.Errorf("only %d errcodes found in errcode.go", given)
	}
	if doc := contents(t, "doc.go"); !strings.Contains(doc, "docs/simulator-assumptions.md") || strings.Count(doc, "//   - ") > 12 {
		t.Error("doc.go has to point to the list, and to have none of its own")
	}
}

func contents(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
