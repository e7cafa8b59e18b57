package docs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/docs"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
)

func TestGo(t *testing.T) {
	for name, c := range map[string]struct {
		text    string
		imports []string
		whole   bool
		wrong   bool
	}{
		"a program":    {text: "package main\nimport (\n\"fmt\"\nx \"net/http\"\n)\nfunc main() { fmt.Println(x.MethodGet) }", imports: []string{"fmt", "net/http"}, whole: true},
		"statements":   {text: "a := f(\"x\")\na.b()"},
		"declarations": {text: "func TestX(t *testing.T) {\n}\n\ntype a int"},
		"an omission":  {text: "a := f(…)", wrong: true},
		"half of one":  {text: "package main\nfunc main() {", whole: true, wrong: true},
	} {
		t.Run(name, func(t *testing.T) {
			program, err := docs.Block{Text: c.text}.Go()
			if !slices.Equal(program.Imports, c.imports) || program.Whole != c.whole || (err != nil) != c.wrong {
				t.Errorf("%+v, %v", program, err)
			}
		})
	}
}

func TestCommands(t *testing.T) {
	const text = `# a comment
zhongkong serve --config zhongkong.yaml     # another
WECHAT_APPID=wx… A_B=$(x -y z) go run ./examples/basic
curl "http://a/b?c=d&e" | grep '"x": "y"'; zhongkong push text "你好 a" \
  --to http://127.0.0.1:3100/
export A=b
export KEY=$(openssl rand -base64 32)   # keep it
post a 'b#c' >/dev/null && make test
`
	want := [][]string{
		{"zhongkong", "serve", "--config", "zhongkong.yaml"},
		{"go", "run", "./examples/basic"},
		{"curl", "http://a/b?c=d&e"},
		{"grep", `"x": "y"`},
		{"zhongkong", "push", "text", "你好 a", "--to", "http://127.0.0.1:3100/"},
		{"post", "a", "b#c"},
		{"make", "test"},
	}
	if got := (docs.Block{Text: text}).Commands(); !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
}

// TestPrograms parses every block of Go in the pages, and compiles whole programs;
// make interop compiles those that need another SDK.
func TestPrograms(t *testing.T) {
	compiled := 0
	for name, page := range pages(t, os.DirFS(root)) {
		for _, block := range page.Blocks {
			if block.Info != "go" {
				continue
			}
			program, err := block.Go()
			if err != nil {
				t.Errorf("%s:%d: %v", name, block.Line, err)
			}
			if err != nil || !program.Whole || program.Foreign() || strings.HasPrefix(name, "docs/jobs/") { // examples runs those
				continue
			}
			compiled++
			t.Run(fmt.Sprintf("%s:%d", filepath.Base(name), block.Line), func(t *testing.T) {
				t.Parallel()
				compile(t, block)
			})
		}
	}
	if compiled == 0 {
		t.Error("there is no whole program in the pages")
	}
}

func compile(t *testing.T, block docs.Block) {
	t.Helper()
	tier.Full(t)
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(block.Text), 0o600); err != nil {
		t.Fatal(err)
	}
	// The go command treats a file outside of the module as one inside of it. This
	// compiles it and does not link.
	cmd := exec.CommandContext(t.Context(), "go", "list", "-export", "-f", "{{.Name}}", file)
	cmd.Dir = root
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}

// TestCommandsExist: the pages test no package without code, and name only targets of
// make that exist. TestPaths looks at the folders.
func TestCommandsExist(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for name, page := range pages(t, os.DirFS(root)) {
		for _, block := range page.Blocks {
			if block.Info != "sh" {
				continue
			}
			for _, words := range block.Commands() {
				switch {
				case len(words) > 1 && words[0] == "go" && words[1] == "test" && slices.Contains(words, "."):
					t.Errorf("%s:%d: %q tests the package at the top, which has no code", name, block.Line, words)
				case len(words) > 1 && words[0] == "make" && !strings.Contains(string(makefile), "\n"+words[1]+":"):
					t.Errorf("%s:%d: the Makefile has no target %s", name, block.Line, words[1])
				}
			}
		}
	}
}
