package chat_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/simulator/chat"
)

// TestOnlyTheAPI: the page has no Simulator. Of its package it takes types, constants and
// MakeUpAccount; everything else goes by the admin API.
func TestOnlyTheAPI(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			s, isSelector := n.(*ast.SelectorExpr)
			if !isSelector {
				return true
			}
			if of, isName := s.X.(*ast.Ident); isName && of.Name == "simulator" {
				found++
				if slices.Contains([]string{"Simulator", "New", "Options", "Push"}, s.Sel.Name) {
					t.Errorf("%s: simulator.%s", name, s.Sel.Name)
				}
			}
			return true
		})
	}
	if found < 20 {
		t.Errorf("only %d names of package simulator were found", found)
	}
}

// TestNoSimulator: a handler that is none is refused at the start.
func TestNoSimulator(t *testing.T) {
	if _, err := chat.New(http.NotFoundHandler()); err == nil || !strings.Contains(err.Error(), "is it the handler of a simulator?") {
		t.Error(err)
	}
}
