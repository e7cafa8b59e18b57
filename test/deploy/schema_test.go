// Package deploy_test checks the files that operators use as they are, with libraries that
// users of zhongkong do not download.
package deploy_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/text"
)

// root is the top of the repository.
const root = "../.."

// schema is the one of the configuration.
func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	s, err := compiler.Compile(filepath.Join(root, "deploy", "zhongkong.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// against compares YAML with a schema.
func against(s *jsonschema.Schema, content string) error {
	document, err := yaml.YAMLToJSON([]byte(content))
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return err
	}
	return s.Validate(value)
}

// blocks returns what stands in the fenced blocks of YAML in a page.
func blocks(t *testing.T, path string) (found []string) {
	t.Helper()
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	err = ast.Walk(goldmark.DefaultParser().Parse(text.NewReader(source)), func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if block, ok := node.(*ast.FencedCodeBlock); ok && entering && string(block.Language(source)) == "yaml" {
			found = append(found, string(block.Lines().Value(source)))
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// other reports whether YAML says itself that it is something else than our configuration:
// an object of Kubernetes, or a file whose name its first line gives.
func other(content string) bool {
	first, _, _ := strings.Cut(content, "\n")
	name, named := strings.CutPrefix(first, "# ")
	return strings.Contains("\n"+content, "\napiVersion: ") || named && strings.Contains(name, ".y") && !strings.HasPrefix(name, "zhongkong.yaml")
}

// files matches patterns below the top of the repository.
func files(t *testing.T, patterns ...string) (all []string) {
	t.Helper()
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	return all
}

// TestConfigurations: every configuration in the pages and in deploy is one, by the schema.
func TestConfigurations(t *testing.T) {
	s := schema(t)
	checked := 0
	for _, page := range files(t, "*.md", "docs/*.md", "docs/*/*.md") {
		for _, block := range blocks(t, page) {
			if other(block) {
				continue
			}
			checked++
			if err := against(s, block); err != nil {
				t.Errorf("%s: %v\n%s", page, err, block)
			}
		}
	}
	for _, path := range files(t, "deploy/zhongkong.yaml", "deploy/*/zhongkong.yaml", "deploy/*/*/zhongkong.yaml") {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		checked++
		if err := against(s, string(content)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if checked < 10 {
		t.Errorf("only %d configurations were found", checked)
	}
}

// TestSchemaRefuses: the schema finds what people get wrong.
func TestSchemaRefuses(t *testing.T) {
	s := schema(t)
	for name, content := range map[string]string{
		"a field that is not there":     "listn: 127.0.0.1:8300",
		"a field of another group":      "admin: {secret: x}",
		"a number where a text belongs": "store: 5",
		"a list that is none":           "accounts: {appid: wx1, secret: x}",
		"an account without a secret":   "accounts: [{appid: wx1}]",
		"an unknown way to the token":   "accounts: [{appid: wx1, secret: x, token_api: fast}]",
		"a secret in two places":        "accounts: [{appid: wx1, secret: {env: A, file: b}}]",
		"a duration without a unit":     "timing: {fetch_timeout: '8'}",
		"a subscriber without a token":  "accounts: [{appid: wx1, secret: x, callback: {token: t, subscribers: [{name: a, url: 'https://b.example'}]}}]",
	} {
		if against(s, content) == nil {
			t.Errorf("%s is accepted: %s", name, content)
		}
	}
}
