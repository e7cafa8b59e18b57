package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/docs"
)

// home is where Go's caches are; TestMain sends the SDKs to another one.
var home = os.Getenv("HOME")

// TestPrograms compiles the programs of docs/moving.md with the SDKs that they use;
// those with an adapter, in the adapter's module.
func TestPrograms(t *testing.T) {
	const adapters = "github.com/zhongkong-go/zhongkong/adapters/"
	for _, name := range []string{"moving.md", "moving.zh-CN.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		compiled := 0
		for _, block := range docs.Parse(string(text)).Blocks {
			if block.Info != "go" {
				continue
			}
			program, err := block.Go()
			if err != nil {
				t.Errorf("%s:%d: %v", name, block.Line, err)
			}
			if !program.Whole || !program.Foreign() {
				continue
			}
			compiled++
			t.Run(fmt.Sprintf("%s:%d", name, block.Line), func(t *testing.T) {
				folder := "."
				if i := slices.IndexFunc(program.Imports, func(path string) bool { return strings.HasPrefix(path, adapters) }); i >= 0 {
					folder = filepath.Join("..", "..", "adapters", strings.TrimPrefix(program.Imports[i], adapters))
				}
				file := filepath.Join(t.TempDir(), "main.go")
				if err := os.WriteFile(file, []byte(block.Text), 0o600); err != nil {
					t.Fatal(err)
				}
				cmd := exec.CommandContext(t.Context(), "go", "list", "-export", "-f", "{{.Name}}", file)
				cmd.Dir = folder
				cmd.Env = append(os.Environ(), "HOME="+home)
				if output, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%v\n%s", err, output)
				}
			})
		}
		if compiled != 6 {
			t.Errorf("%s has %d programs, want one by host name and one by adapter for each of three SDKs", name, compiled)
		}
	}
}
